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
        val cameras = context.getSystemService(Context.CAMERA_SERVICE) as CameraManager
        try {
            val back = cameras.cameraIdList.firstOrNull {
                cameras.getCameraCharacteristics(it)[CameraCharacteristics.LENS_FACING] == CameraCharacteristics.LENS_FACING_BACK
            } ?: return
            cameras.openCamera(back, opened(holder.surface), handler)
        } catch (_: CameraAccessException) {
            // Another app has it; the surface stays dark, and comes anew when the person comes back.
        }
    }

    override fun surfaceChanged(holder: SurfaceHolder, format: Int, width: Int, height: Int) {}

    override fun surfaceDestroyed(holder: SurfaceHolder) = stop()

    fun stop() {
        session?.close()
        device?.close()
        session = null
        device = null
        thread.quitSafely()
    }

    private fun opened(preview: Surface) = object : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            device = camera
            @Suppress("DEPRECATION") // Its successor is of Android 9.
            camera.createCaptureSession(listOf(preview, stills.surface), configured(camera, preview), handler)
        }

        override fun onDisconnected(camera: CameraDevice) = camera.close()

        override fun onError(camera: CameraDevice, error: Int) = camera.close()
    }

    private fun configured(camera: CameraDevice, preview: Surface) = object : CameraCaptureSession.StateCallback() {
        override fun onConfigured(configured: CameraCaptureSession) {
            session = configured
            val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW).apply {
                addTarget(preview)
                set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
            }
            configured.setRepeatingRequest(request.build(), null, handler)
            still(camera)
        }

        override fun onConfigureFailed(configured: CameraCaptureSession) = configured.close()
    }

    private fun still(camera: CameraDevice) {
        val session = session ?: return
        try {
            val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_STILL_CAPTURE).apply { addTarget(stills.surface) }
            session.capture(request.build(), null, handler)
            handler.postDelayed({ still(camera) }, EVERY_MS)
        } catch (_: IllegalStateException) {
            // Stopped meanwhile.
        } catch (_: CameraAccessException) {
            // Taken away meanwhile.
        }
    }

    private companion object {
        const val WIDTH = 1280
        const val HEIGHT = 720
        const val EVERY_MS = 500L
    }
}
