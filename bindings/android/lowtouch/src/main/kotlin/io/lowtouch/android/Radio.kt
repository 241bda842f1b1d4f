package io.lowtouch.android

import android.bluetooth.BluetoothAdapter
import android.bluetooth.BluetoothDevice
import android.bluetooth.le.BluetoothLeScanner
import android.bluetooth.le.ScanCallback
import android.bluetooth.le.ScanFilter
import android.bluetooth.le.ScanResult
import android.bluetooth.le.ScanSettings
import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.location.LocationManager
import android.os.Build
import android.os.ParcelUuid
import android.os.SystemClock
import android.provider.Settings
import io.lowtouch.BleAdvertisement
import io.lowtouch.BleException
import io.lowtouch.BleScan
import io.lowtouch.BleScanFilter
import io.lowtouch.BleServiceData
import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.ClosedReceiveChannelException

/** Android silently ignores the sixth start of a scan within 30 s (ScanManager's EXCESSIVE_SCANNING). */
private const val STARTS = 5
private const val STARTS_WITHIN_MS = 30_000L
/** So many of them let through only what is wanted. */
private const val FILTERED_STARTS = 3
/** Reports that a slow reader may be behind; the oldest go. */
private const val BEHIND = 256
/** HCI's "RSSI is not available" (Bluetooth Core, Vol 4, Part E, 7.7.65.2). */
private const val NO_RSSI = 127

/**
 * The one scan that all who listen share: Android counts the starts of an app's scans and gives nothing to one that starts too often.
 * The filter is the union of what the listeners want, since only a filtered scan goes on while the screen is off (Android 8.1).
 */
internal class Radio(private val context: Context) {
    private val heard = HeardDevices()
    private val lock = Any()
    // Under the lock:
    private val listeners = mutableSetOf<Listener>()
    private val starts = ArrayDeque<Long>()
    private var running: Running? = null

    fun device(address: String): BluetoothDevice? = heard[address]

    fun listen(filter: BleScanFilter): BleScan {
        val needed = BlePermissions.forScanning()
        val adapter = usableAdapter(context, needed)
        if (BlePermissions.scansNeedLocation() && !locationIsOn()) throw BleException.LocationOff()
        val listener = Listener(filter)
        synchronized(lock) {
            listeners += listener
            try {
                guarded(needed) { restart(adapter) }
            } catch (failure: Throwable) {
                listeners -= listener
                throw failure
            }
        }
        letGoUnlessUsed({ listener.isUsed }) { listener.end() }
        return listener
    }

    /** With the lock held. A scan whose filter lets enough through goes on. */
    private fun restart(adapter: BluetoothAdapter) {
        val wanted = Wanted.of(listeners.map { it.filter })
        if (running?.wanted?.covers(wanted) == true) return
        val now = SystemClock.elapsedRealtime()
        while (starts.isNotEmpty() && now - starts.first() >= STARTS_WITHIN_MS) starts.removeFirst()
        if (starts.size >= STARTS) throw BleException.ScanThrottled()
        val scanner = adapter.bluetoothLeScanner ?: throw BleException.AdapterOff()
        running?.stop()
        running = null
        // The last starts are for everything, so that however many want something else need no further one.
        val begun = Running(scanner, if (starts.size < FILTERED_STARTS) wanted else Wanted(true, emptySet()))
        begun.start()
        running = begun
        starts.addLast(now)
    }

    private fun leave(listener: Listener) {
        synchronized(lock) {
            if (listeners.remove(listener) && listeners.isEmpty()) {
                running?.stop()
                running = null
            }
        }
    }

    private fun fail(failure: () -> BleException) {
        val all = synchronized(lock) {
            running?.stop()
            running = null
            listeners.toList().also { listeners.clear() }
        }
        all.forEach { it.reports.close(failure()) }
    }

    private fun report(result: ScanResult) {
        heard.remember(result.device)
        val record = result.scanRecord
        val report = BleAdvertisement(
            result.device.address,
            record?.deviceName,
            result.rssi.takeUnless { it == NO_RSSI }?.toShort(),
            record?.serviceUuids.orEmpty().map { it.uuid },
            record?.serviceData.orEmpty().map { (of, data) -> BleServiceData(of.uuid, data) },
        )
        synchronized(lock) { listeners.toList() }.forEach { it.reports.trySend(report) }
    }

    @Suppress("DEPRECATION")
    private fun locationIsOn(): Boolean {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) {
            return (context.getSystemService(Context.LOCATION_SERVICE) as LocationManager).isLocationEnabled
        }
        val mode = Settings.Secure.getInt(context.contentResolver, Settings.Secure.LOCATION_MODE, Settings.Secure.LOCATION_MODE_OFF)
        return mode != Settings.Secure.LOCATION_MODE_OFF
    }

    private inner class Listener(val filter: BleScanFilter) : BleScan {
        val reports = Channel<BleAdvertisement>(BEHIND, BufferOverflow.DROP_OLDEST)

        @Volatile var isUsed = false
            private set

        override suspend fun next(): BleAdvertisement {
            isUsed = true
            return try {
                reports.receive()
            } catch (_: ClosedReceiveChannelException) {
                throw BleException.Failed("the scan was stopped")
            }
        }

        override suspend fun stop() = end()

        fun end() {
            leave(this)
            reports.close()
        }
    }

    /** What a scan lets through: everything, or these services and names. */
    private class Wanted(val everything: Boolean, val filters: Set<BleScanFilter>) {
        fun covers(other: Wanted) = everything || (!other.everything && filters.containsAll(other.filters))

        fun toFilters(): List<ScanFilter>? {
            if (everything) return null
            val services = filters.flatMap { it.services }.distinct().map { ScanFilter.Builder().setServiceUuid(ParcelUuid(it)).build() }
            val names = filters.mapNotNull { it.name }.distinct().map { ScanFilter.Builder().setDeviceName(it).build() }
            return services + names
        }

        companion object {
            fun of(filters: List<BleScanFilter>) =
                Wanted(filters.any { it.services.isEmpty() && it.name == null }, filters.toSet())
        }
    }

    private inner class Running(private val scanner: BluetoothLeScanner, val wanted: Wanted) : ScanCallback() {
        /** Nothing else says that Bluetooth was turned off: the scan just falls silent. */
        private val switch = object : BroadcastReceiver() {
            override fun onReceive(context: Context?, intent: Intent) {
                val state = intent.getIntExtra(BluetoothAdapter.EXTRA_STATE, BluetoothAdapter.STATE_ON)
                if (state != BluetoothAdapter.STATE_ON) fail { BleException.AdapterOff() }
            }
        }

        fun start() {
            val settings = ScanSettings.Builder().setScanMode(ScanSettings.SCAN_MODE_LOW_LATENCY).build()
            scanner.startScan(wanted.toFilters(), settings, this)
            // A system broadcast, so it needs no flag of Android 14.
            context.registerReceiver(switch, IntentFilter(BluetoothAdapter.ACTION_STATE_CHANGED))
        }

        fun stop() {
            try {
                scanner.stopScan(this)
            } catch (_: SecurityException) {
                // The permission was taken away, and the scan with it.
            } catch (_: IllegalStateException) {
                // Bluetooth was turned off meanwhile.
            }
            runCatching { context.unregisterReceiver(switch) }
        }

        override fun onScanResult(callbackType: Int, result: ScanResult) = report(result)

        override fun onBatchScanResults(results: List<ScanResult>) = results.forEach(::report)

        override fun onScanFailed(errorCode: Int) = fail {
            // SCAN_FAILED_SCANNING_TOO_FREQUENTLY, which has a name only from Android 11 on.
            if (errorCode == 6) BleException.ScanThrottled() else BleException.Failed("Android's scan failed with $errorCode")
        }
    }
}
