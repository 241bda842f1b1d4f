package io.lowtouch.sample.ui

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.view.Surface
import android.view.SurfaceHolder
import android.view.SurfaceView

/**
 * The back camera's picture, and two stills a second for whoever reads them. The core reads QR codes itself, so no barcode library
 * is needed. The camera's permission must have been given.
 */
@SuppressLint("MissingPermission", "ViewConstructor")
class QrCamera(context: Context, private val onPicture: (ByteArray) -> Unit) : SurfaceView(context), SurfaceHolder.Callback {
    private val thread = HandlerThread("qr-camera").apply { start() }
    private val handler = Handler(thread.looper)
    private val stills = ImageReader.newInstance(WIDTH, HEIGHT, ImageFormat.JPEG, 2)
    // On the thread alone:
    private var isStopped = false
    private var isOpening = false
    private var device: CameraDevice? = null
    private var session: CameraCaptureSession? = null

    init {
        holder.addCallback(this)
        stills.setOnImageAvailableListener({ reader ->
            reader.acquireLatestImage()?.use { image ->
                val buffer = image.planes[0].buffer
                val picture = ByteArray(buffer.remaining()).also(buffer::get)
                post { onPicture(picture) }
            }
        }, handler)
    }

    override fun surfaceCreated(holder: SurfaceHolder) {
        handler.post { open(holder.surface) }
    }

    override fun surfaceChanged(holder: SurfaceHolder, format: Int, width: Int, height: Int) {}

    override fun surfaceDestroyed(holder: SurfaceHolder) = stop()

    /** Also while the camera is being opened: it is closed when it is open. */
    fun stop() {
        handler.post {
            if (isStopped) return@post
            isStopped = true
            session?.close()
            session = null
            close()
            stills.close()
        }
    }

    private fun open(preview: Surface) {
        if (isStopped) return
        val cameras = context.getSystemService(Context.CAMERA_SERVICE) as CameraManager
        // Another app may have it; the surface stays dark, and comes anew when the person comes back.
        unlessGone {
            val back = cameras.cameraIdList.firstOrNull {
                cameras.getCameraCharacteristics(it)[CameraCharacteristics.LENS_FACING] == CameraCharacteristics.LENS_FACING_BACK
            } ?: return
            isOpening = true
            return cameras.openCamera(back, opened(preview), handler)
        }
        isOpening = false
    }

    private fun opened(preview: Surface) = object : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            isOpening = false
            device = camera
            if (isStopped) return close()
            unlessGone {
                @Suppress("DEPRECATION") // Its successor is of Android 9.
                camera.createCaptureSession(listOf(preview, stills.surface), configured(camera, preview), handler)
            }
        }

        override fun onDisconnected(camera: CameraDevice) = over(camera)

        override fun onError(camera: CameraDevice, error: Int) = over(camera)

        private fun over(camera: CameraDevice) {
            isOpening = false
            device = camera
            session = null
            close()
        }
    }

    /** The thread is needed until the camera is open, to close it. */
    private fun close() {
        device?.close()
        device = null
        if (isStopped && !isOpening) thread.quitSafely()
    }

    private fun configured(camera: CameraDevice, preview: Surface) = object : CameraCaptureSession.StateCallback() {
        override fun onConfigured(configured: CameraCaptureSession) {
            if (isStopped) return configured.close()
            session = configured
            unlessGone {
                val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW).apply {
                    addTarget(preview)
                    set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
                }
                configured.setRepeatingRequest(request.build(), null, handler)
                still(camera)
            }
        }

        override fun onConfigureFailed(configured: CameraCaptureSession) = configured.close()
    }

    private fun still(camera: CameraDevice) {
        val session = session ?: return
        unlessGone {
            val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_STILL_CAPTURE).apply { addTarget(stills.surface) }
            session.capture(request.build(), null, handler)
            handler.postDelayed({ still(camera) }, EVERY_MS)
        }
    }

    /** The camera is taken away, the surface goes, the person does, at any moment. */
    private inline fun unlessGone(work: () -> Unit) {
        try {
            work()
        } catch (_: CameraAccessException) {
            // Another app, or the system.
        } catch (_: IllegalStateException) {
            // Closed meanwhile.
        } catch (_: IllegalArgumentException) {
            // Its surface is no more.
        }
    }

    private companion object {
        const val WIDTH = 1280
        const val HEIGHT = 720
        const val EVERY_MS = 500L
    }
}
