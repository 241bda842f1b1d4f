package io.lowtouch.android

import android.Manifest.permission.ACCESS_COARSE_LOCATION
import android.Manifest.permission.ACCESS_FINE_LOCATION
import android.Manifest.permission.BLUETOOTH_CONNECT
import android.Manifest.permission.BLUETOOTH_SCAN
import android.app.Application
import android.app.Notification
import android.bluetooth.BluetoothAdapter
import android.bluetooth.BluetoothGatt
import android.bluetooth.BluetoothProfile
import android.bluetooth.le.ScanResult
import android.content.ComponentName
import android.content.Context
import android.content.ContextWrapper
import android.content.Intent
import android.net.ConnectivityManager
import android.net.NetworkCapabilities
import android.os.Looper
import android.provider.Settings
import io.lowtouch.BleException
import io.lowtouch.BleScanFilter
import io.lowtouch.NetworkStanding
import java.time.Duration
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.test.runCurrent
import kotlinx.coroutines.test.runTest
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.shadows.ShadowBluetoothDevice
import org.robolectric.shadows.ShadowNetworkCapabilities
import org.robolectric.shadows.ShadowPowerManager

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [26, 35])
internal class PhoneTest {
    private val context: Application = RuntimeEnvironment.getApplication()

    @Test
    fun `each Android names the permissions that it wants`() {
        for (sdk in 26..30) {
            assertEquals(listOf(ACCESS_FINE_LOCATION), BlePermissions.needed(sdk))
            assertTrue(BlePermissions.scansNeedLocation(sdk))
        }
        for (sdk in 31..35) {
            assertEquals(listOf(BLUETOOTH_SCAN, BLUETOOTH_CONNECT), BlePermissions.needed(sdk))
            assertFalse(BlePermissions.scansNeedLocation(sdk))
        }
    }

    @Test
    fun `what to do about a missing permission depends on whether Android still asks`() {
        assertEquals(PermissionAdvice.Nothing, BlePermissions.advice(emptyList(), mayAskAgain = false))
        val modern = listOf(BLUETOOTH_SCAN)
        assertEquals(PermissionAdvice.Ask(modern), BlePermissions.advice(modern, mayAskAgain = true))
        assertEquals(PermissionAdvice.OpenSettings(modern), BlePermissions.advice(modern, mayAskAgain = false))
        val old = listOf(ACCESS_FINE_LOCATION)
        assertEquals(PermissionAdvice.ExplainLocation(old), BlePermissions.advice(old, mayAskAgain = true))
    }

    @Test
    fun `what was granted is not missing`() {
        assertEquals(BlePermissions.needed(), BlePermissions.missing(context))
        shadowOf(context).grantPermissions(*BlePermissions.needed().toTypedArray())
        assertEquals(emptyList<String>(), BlePermissions.missing(context))
    }

    @Test
    @Config(sdk = [26])
    fun `up to Android 9 the coarse location is enough`() {
        shadowOf(context).grantPermissions(ACCESS_COARSE_LOCATION)
        assertEquals(emptyList<String>(), BlePermissions.missing(context))
        assertTrue(BlePermissions.isGranted(context, ACCESS_FINE_LOCATION, sdk = 28))
        assertFalse(BlePermissions.isGranted(context, ACCESS_FINE_LOCATION, sdk = 29))
    }

    @Test
    @Config(sdk = [26])
    fun `location that is switched off is named on Android up to 11`() = runTest {
        shadowOf(context).grantPermissions(*BlePermissions.needed().toTypedArray())
        shadowOf(BluetoothAdapter.getDefaultAdapter()).setEnabled(true)
        @Suppress("DEPRECATION")
        Settings.Secure.putInt(context.contentResolver, Settings.Secure.LOCATION_MODE, Settings.Secure.LOCATION_MODE_OFF)
        val failure = runCatching { AndroidBle(context).scan(BleScanFilter(emptyList(), null)) }.exceptionOrNull()
        assertEquals(BleException.LocationOff::class.java, failure?.javaClass)
    }

    @Test
    @Config(sdk = [35])
    fun `the sixth scan within half a minute is refused here, since Android would say nothing`() = runTest {
        shadowOf(context).grantPermissions(*BlePermissions.needed().toTypedArray())
        shadowOf(BluetoothAdapter.getDefaultAdapter()).setEnabled(true)
        val ble = AndroidBle(context)
        repeat(5) { ble.scan(BleScanFilter(emptyList(), null)).stop() }
        val failure = runCatching { ble.scan(BleScanFilter(emptyList(), null)) }.exceptionOrNull()
        assertEquals(BleException.ScanThrottled::class.java, failure?.javaClass)
        org.robolectric.shadows.ShadowSystemClock.advanceBy(Duration.ofSeconds(31))
        ble.scan(BleScanFilter(emptyList(), null)).stop()
    }

    @Test
    @Config(sdk = [35])
    fun `a device is connected to as it was heard, since Android takes a bare address for a public one`() = runTest {
        shadowOf(context).grantPermissions(*BlePermissions.needed().toTypedArray())
        val adapter = BluetoothAdapter.getDefaultAdapter()
        shadowOf(adapter).setEnabled(true)
        val heard = ShadowBluetoothDevice.newInstance("C0:00:00:00:00:01")
        var attempts = 0
        shadowOf(heard).setGattConnectionInterceptor { attempts += 1 }
        val ble = AndroidBle(context)
        val scan = ble.scan(BleScanFilter(emptyList(), null))
        @Suppress("DEPRECATION")
        val report = ScanResult(heard, null, -50, 0)
        shadowOf(adapter.bluetoothLeScanner).activeScans.single().scanCallback()?.onScanResult(1, report)
        scan.stop()
        val failure = runCatching { ble.connect(heard.address) }.exceptionOrNull()
        assertEquals(BleException.NotInReach::class.java, failure?.javaClass)
        assertEquals(AndroidBle.ATTEMPTS, attempts)
    }

    @Test
    @Config(sdk = [35])
    fun `a hundred who listen share one scan`() = runTest {
        shadowOf(context).grantPermissions(*BlePermissions.needed().toTypedArray())
        val adapter = BluetoothAdapter.getDefaultAdapter()
        shadowOf(adapter).setEnabled(true)
        val ble = AndroidBle(context)
        val receivers = shadowOf(context).registeredReceivers.size
        val scans = List(100) { ble.scan(BleScanFilter(emptyList(), null)) }
        assertEquals(1, shadowOf(adapter.bluetoothLeScanner).activeScans.size)
        scans.forEach { it.stop() }
        assertEquals(0, shadowOf(adapter.bluetoothLeScanner).activeScans.size)
        assertEquals("nothing listens on", receivers, shadowOf(context).registeredReceivers.size)
    }

    @Test
    @Config(sdk = [35])
    fun `a hundred who each listen for another name need no more starts than Android allows`() = runTest {
        shadowOf(context).grantPermissions(*BlePermissions.needed().toTypedArray())
        val adapter = BluetoothAdapter.getDefaultAdapter()
        shadowOf(adapter).setEnabled(true)
        val ble = AndroidBle(context)
        val scans = List(100) { ble.scan(BleScanFilter(emptyList(), "PROV_$it")) }
        assertEquals(1, shadowOf(adapter.bluetoothLeScanner).activeScans.size)
        scans.forEach { it.stop() }
        assertEquals(0, shadowOf(adapter.bluetoothLeScanner).activeScans.size)
    }

    @Test
    @Config(sdk = [35])
    fun `a scan of which nobody hears is let go, and one that is listened to goes on`() = runTest {
        val ble = ready()
        val scanner = shadowOf(BluetoothAdapter.getDefaultAdapter().bluetoothLeScanner)
        ble.scan(BleScanFilter(emptyList(), null))
        assertEquals(1, scanner.activeScans.size)
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(6))
        assertEquals(0, scanner.activeScans.size)
        val scan = ble.scan(BleScanFilter(emptyList(), null))
        val listening = launch(start = CoroutineStart.UNDISPATCHED) { scan.next() }
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(60))
        assertEquals(1, scanner.activeScans.size)
        listening.cancelAndJoin()
        scan.stop()
        assertEquals(0, scanner.activeScans.size)
    }

    @Test
    @Config(sdk = [35])
    fun `a connection of which nobody hears is let go, and one that is spoken to stays`() = runTest {
        val ble = ready()
        val device = BluetoothAdapter.getDefaultAdapter().getRemoteDevice("24:0A:C4:CE:03:C0")
        val made = mutableListOf<BluetoothGatt>()
        shadowOf(device).setGattConnectionInterceptor {
            made += it
            shadowOf(it).gattCallback.onConnectionStateChange(it, BluetoothGatt.GATT_SUCCESS, BluetoothProfile.STATE_CONNECTED)
        }
        ble.connect(device.address)
        assertFalse(shadowOf(made.single()).isClosed)
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(6))
        assertTrue(shadowOf(made.single()).isClosed)
        val connection = ble.connect(device.address)
        val waiting = launch(start = CoroutineStart.UNDISPATCHED) { connection.disconnected() }
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(60))
        assertFalse(shadowOf(made.last()).isClosed)
        waiting.cancelAndJoin()
        connection.disconnect()
        assertTrue(shadowOf(made.last()).isClosed)
    }

    private fun ready(): AndroidBle {
        shadowOf(context).grantPermissions(*BlePermissions.needed().toTypedArray())
        shadowOf(BluetoothAdapter.getDefaultAdapter()).setEnabled(true)
        return AndroidBle(context)
    }

    @OptIn(ExperimentalCoroutinesApi::class)
    @Test
    fun `a network that comes and goes is told, and nothing listens on afterwards`() = runTest {
        val connectivity = context.getSystemService(Context.CONNECTIVITY_SERVICE) as ConnectivityManager
        val network = PhoneNetwork(context)
        standsFor(connectivity, NetworkCapabilities.NET_CAPABILITY_INTERNET)
        assertEquals(NetworkStanding.ONLINE, network.next(null))
        val next = async(start = CoroutineStart.UNDISPATCHED) { network.next(NetworkStanding.ONLINE) }
        runCurrent()
        assertFalse(next.isCompleted)
        val callbacks = shadowOf(connectivity).networkCallbacks
        assertEquals(1, callbacks.size)
        val gone = checkNotNull(connectivity.activeNetwork)
        standsFor(connectivity, null)
        callbacks.toList().forEach { it.onLost(gone) }
        assertEquals(NetworkStanding.OFFLINE, next.await())
        assertEquals(0, shadowOf(connectivity).networkCallbacks.size)
    }

    @OptIn(ExperimentalCoroutinesApi::class)
    @Test
    fun `who waits for the network and is cancelled ends as cancelled`() = runTest {
        val connectivity = context.getSystemService(Context.CONNECTIVITY_SERVICE) as ConnectivityManager
        standsFor(connectivity, NetworkCapabilities.NET_CAPABILITY_INTERNET)
        var end: Throwable? = null
        val given = launch(start = CoroutineStart.UNDISPATCHED) {
            end = runCatching { PhoneNetwork(context).next(NetworkStanding.ONLINE) }.exceptionOrNull()
        }
        runCurrent()
        assertEquals(1, shadowOf(connectivity).networkCallbacks.size)
        given.cancelAndJoin()
        assertTrue("$end", end is CancellationException)
        assertEquals(0, shadowOf(connectivity).networkCallbacks.size)
    }

    /** What the network that the phone uses can do; Robolectric's own can do nothing. */
    private fun standsFor(connectivity: ConnectivityManager, capability: Int?) {
        val can = ShadowNetworkCapabilities.newInstance()
        if (capability != null) shadowOf(can).addCapability(capability)
        shadowOf(connectivity).setNetworkCapabilities(connectivity.activeNetwork, can)
    }

    @Test
    fun `a pairing in the background holds the processor awake, and lets it go`() {
        val shown = Notification.Builder(context, "pairing").build()
        PairingForeground.begin(context, shown)
        PairingForeground.begin(context, shown)
        val started = shadowOf(context).nextStartedService
        val service = Robolectric.buildService(PairingForeground::class.java, started).create().startCommand(0, 1)
        assertTrue(ShadowPowerManager.getLatestWakeLock().isHeld)
        assertNotNull(shadowOf(service.get()).lastForegroundNotification)
        PairingForeground.end(context)
        assertNull(shadowOf(context).nextStoppedService)
        PairingForeground.end(context)
        assertNotNull(shadowOf(context).nextStoppedService)
        service.destroy()
        assertFalse(ShadowPowerManager.getLatestWakeLock().isHeld)
    }

    @Test
    fun `a pairing that nobody ends does not hold the processor awake for good`() {
        PairingForeground.begin(context, Notification.Builder(context, "pairing").build())
        val service = Robolectric.buildService(PairingForeground::class.java).create().startCommand(0, 1)
        assertTrue(ShadowPowerManager.getLatestWakeLock().isHeld)
        org.robolectric.shadows.ShadowSystemClock.advanceBy(Duration.ofMinutes(16))
        assertFalse(ShadowPowerManager.getLatestWakeLock().isHeld)
        PairingForeground.end(context)
        service.destroy()
    }

    @Test
    fun `a pairing that is over before its service runs does not have it stopped, which would end the app`() {
        PairingForeground.begin(context, Notification.Builder(context, "pairing").build())
        val started = shadowOf(context).nextStartedService
        PairingForeground.end(context)
        assertNull(shadowOf(context).nextStoppedService)
        val service = Robolectric.buildService(PairingForeground::class.java, started).create().startCommand(0, 1)
        assertNotNull(shadowOf(service.get()).lastForegroundNotification)
        assertTrue(shadowOf(service.get()).isStoppedBySelf)
        service.destroy()
        assertFalse(ShadowPowerManager.getLatestWakeLock().isHeld)
    }

    @Test
    fun `a service that Android does not start counts for nothing, and another's ends when it is over`() {
        val shown = Notification.Builder(context, "pairing").build()
        PairingForeground.begin(context, shown)
        val service = Robolectric.buildService(PairingForeground::class.java, shadowOf(context).nextStartedService).create().startCommand(0, 1)
        val outOfSight = object : ContextWrapper(context) {
            override fun startForegroundService(service: Intent): ComponentName? = error("startForegroundService() not allowed")
        }
        assertTrue(runCatching { PairingForeground.begin(outOfSight, shown) }.exceptionOrNull() is IllegalStateException)
        PairingForeground.end(context)
        assertNotNull(shadowOf(context).nextStoppedService)
        service.destroy()
    }

    @Test
    fun `nor one that began while the service of another ran`() {
        val shown = Notification.Builder(context, "pairing").build()
        PairingForeground.begin(context, shown)
        val service = Robolectric.buildService(PairingForeground::class.java, shadowOf(context).nextStartedService).create().startCommand(0, 1)
        PairingForeground.begin(context, shown)
        PairingForeground.end(context)
        PairingForeground.end(context)
        assertNull(shadowOf(context).nextStoppedService)
        service.startCommand(0, 2)
        assertTrue(shadowOf(service.get()).isStoppedBySelf)
        service.destroy()
    }
}
