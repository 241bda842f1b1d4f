package io.lowtouch.android

import android.bluetooth.BluetoothAdapter
import android.bluetooth.BluetoothDevice
import android.bluetooth.BluetoothManager
import android.content.Context
import android.os.Handler
import android.os.Looper
import io.lowtouch.BleCentral
import io.lowtouch.BleConnection
import io.lowtouch.BleException
import io.lowtouch.BleScan
import io.lowtouch.BleScanFilter
import java.util.Collections

/**
 * Bluetooth LE as Android has it, for an `Installer`. One for the whole app; any number of pairings share it, and its radio listens only
 * while somebody scans.
 *
 * It asks for no permission itself: see [BlePermissions]. Bonding is never asked for. Calls may come from any thread.
 *
 * @param context any; the application's is kept.
 */
public class AndroidBle(context: Context) : BleCentral {
    private val context = context.applicationContext
    private val radio = Radio(this.context)

    override suspend fun scan(filter: BleScanFilter): BleScan = radio.listen(filter)

    /**
     * Connects; a connection that does not come about is tried anew, [ATTEMPTS] times in all. When the caller gives up the
     * attempt is ended and the radio let go.
     */
    override suspend fun connect(address: String): BleConnection {
        val adapter = usableAdapter(context, BlePermissions.forConnecting())
        val device = radio.device(address) ?: try {
            adapter.getRemoteDevice(address)
        } catch (_: IllegalArgumentException) {
            throw BleException.NotInReach()
        }
        return guarded(BlePermissions.forConnecting()) { GattConnection.open(context, device) }
    }

    internal companion object {
        /**
         * Status 133 is Android's word for "the connection did not come about", and the usual answer to the first attempt on many
         * phones. A second attempt with a fresh client helps most of the time, a fourth never.
         */
        const val ATTEMPTS = 3
    }
}

/** The adapter, or what keeps it from being used. */
@Throws(BleException::class)
internal fun usableAdapter(context: Context, needed: List<String>): BluetoothAdapter {
    val adapter = (context.getSystemService(Context.BLUETOOTH_SERVICE) as? BluetoothManager)?.adapter
        ?: throw BleException.NoAdapter()
    val missing = BlePermissions.missing(context, needed)
    if (missing.isNotEmpty()) throw BleException.PermissionMissing(missing)
    if (!adapter.isEnabled) throw BleException.AdapterOff()
    return adapter
}

/** Android throws [SecurityException] for a permission that is missing, also for one that was taken away a moment ago. */
internal inline fun <T> guarded(needed: List<String>, call: () -> T): T = try {
    call()
} catch (_: SecurityException) {
    throw BleException.PermissionMissing(needed)
}

/**
 * The core at once calls what it asked for. When it gives up in the very moment in which a connection or a scan comes about, it never
 * hears of that (UniFFI drops the result with the call) and will not end it: a device that is connected is found by nobody.
 */
internal fun letGoUnlessUsed(isUsed: () -> Boolean, letGo: () -> Unit) {
    Handler(Looper.getMainLooper()).postDelayed({ if (!isUsed()) letGo() }, UNUSED_MS)
}

/** The core's own deadline for what needs no answer of a device. */
private const val UNUSED_MS = 5_000L

/**
 * Devices as scans heard them: a device that is made from its address alone is taken for one with a public address, and one with a
 * random address is then never reached.
 */
internal class HeardDevices {
    private val devices: MutableMap<String, BluetoothDevice> = Collections.synchronizedMap(
        object : LinkedHashMap<String, BluetoothDevice>() {
            override fun removeEldestEntry(eldest: MutableMap.MutableEntry<String, BluetoothDevice>?) = size > KEPT
        },
    )

    operator fun get(address: String): BluetoothDevice? = devices[address]

    fun remember(device: BluetoothDevice) {
        devices[device.address] = device
    }

    private companion object {
        /** A hall full of devices; each entry is some hundred bytes. */
        const val KEPT = 512
    }
}
