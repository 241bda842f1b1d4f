package io.lowtouch.sample.ui

import android.app.Application
import android.content.Context
import android.graphics.ImageFormat
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.media.ImageReader
import android.os.HandlerThread
import android.view.SurfaceHolder
import java.lang.reflect.Proxy
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.ShadowCameraManager
import org.robolectric.util.ReflectionHelpers

/** Robolectric has no camera of Android 8. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
internal class QrCameraTest {
    private val context: Application = RuntimeEnvironment.getApplication()
    private val preview = ImageReader.newInstance(64, 64, ImageFormat.JPEG, 1).surface
    private val holder = Proxy.newProxyInstance(javaClass.classLoader, arrayOf(SurfaceHolder::class.java)) { _, method, _ ->
        if (method.name == "getSurface") preview else null
    } as SurfaceHolder

    @Before
    fun camera() {
        val back = ShadowCameraCharacteristics.newCameraCharacteristics()
        shadowOf(back).set(CameraCharacteristics.LENS_FACING, CameraCharacteristics.LENS_FACING_BACK)
        shadowOf(context.getSystemService(Context.CAMERA_SERVICE) as CameraManager).addCamera("0", back)
    }

    /** Robolectric would wait for the last one's thread, which is over. */
    @After
    fun forget() = ReflectionHelpers.setStaticField(ShadowCameraManager::class.java, "lastCallbackHandler", null)

    @Test
    fun `stopped before it is open, the camera is closed all the same`() {
        val (view, thread) = made()
        shadowOf(thread.looper).pause()
        view.surfaceCreated(holder)
        view.stop()
        shadowOf(thread.looper).unPause()
        assertOver(thread)
    }

    @Test
    fun `stopped while it is open, the camera is closed and its thread ends`() {
        val (view, thread) = made()
        view.surfaceCreated(holder)
        shadowOf(thread.looper).idle()
        assertTrue(opened().single().isOpen())
        view.stop()
        view.stop()
        assertOver(thread)
    }

    @Test
    fun `stopped without ever having had a surface, its thread ends`() {
        val (view, thread) = made()
        view.stop()
        assertOver(thread, cameras = 0)
    }

    private fun made(): Pair<QrCamera, HandlerThread> {
        fun threads() = Thread.getAllStackTraces().keys.filter { it.name == "qr-camera" }
        val others = threads()
        val view = QrCamera(context) {}
        return view to (threads() - others).single() as HandlerThread
    }

    private fun assertOver(thread: HandlerThread, cameras: Int = 1) {
        thread.join(10_000)
        assertFalse("the thread is left", thread.isAlive)
        assertEquals(cameras, opened().size)
        assertFalse("the camera is left on", opened().any { it.isOpen() })
    }

    private fun opened(): Set<CameraDevice> = ReflectionHelpers.getStaticField(ShadowCameraManager::class.java, "createdCameras")

    private fun CameraDevice.isOpen() = runCatching { createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW) }.isSuccess
}
