package io.lowtouch.android

import android.app.Application
import android.bluetooth.BluetoothAdapter
import android.bluetooth.BluetoothGatt
import android.bluetooth.BluetoothGattCallback
import android.bluetooth.BluetoothGattCharacteristic
import android.bluetooth.BluetoothGattDescriptor
import android.bluetooth.BluetoothGattService
import android.bluetooth.BluetoothManager
import android.bluetooth.BluetoothProfile
import android.bluetooth.BluetoothStatusCodes
import android.bluetooth.le.ScanRecord
import android.bluetooth.le.ScanResult
import android.content.Context
import android.content.Intent
import android.os.Build
import android.provider.Settings
import java.util.UUID
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.yield
import org.json.JSONArray
import org.json.JSONObject
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Implementation
import org.robolectric.annotation.Implements
import org.robolectric.shadow.api.Shadow
import org.robolectric.shadows.ShadowBluetoothAdapter
import org.robolectric.shadows.ShadowBluetoothGatt

/**
 * A phone with one device in reach, as a scenario of `bindings/scenarios/ble.json` scripts them. Android's own classes run; only what
 * would reach the Bluetooth process ends here. As in Android a client takes one operation at a time and answers later.
 */
internal class ScriptedPhone(
    private val context: Application,
    private val list: JSONObject,
    scenario: JSONObject,
    private val scope: CoroutineScope,
) {
    private class Rule(val at: String, val nth: Int?, val does: String, val status: Int, val seconds: Int)

    private val rules = (scenario.optJSONArray("script") ?: JSONArray()).objects().map {
        Rule(
            it.getString("at"),
            if (it.optString("nth") == "every") null else it.optInt("nth", 1),
            it.getString("does"),
            it.optInt("status", it.optInt("code")),
            it.optInt("seconds"),
        )
    }
    private val counts = mutableMapOf<String, Int>()
    private val mtu = scenario.optJSONObject("device")?.optInt("mtu") ?: list.getJSONObject("device").getInt("mtu")
    private val stored = mutableMapOf<UUID, ByteArray>()
    val address: String = list.getJSONObject("device").getString("address")
    val service: UUID = UUID.fromString(list.getJSONObject("layout").getString("service"))
    private val clients = mutableListOf<ScriptedGatt>()
    val connections get() = clients.size
    val open get() = clients.count { !it.isClosed }
    var mostAtOnce = 0
        private set

    init {
        current = this
        val phone = scenario.optJSONObject("phone") ?: JSONObject()
        val adapter = phone.optString("adapter", "on")
        ShadowBluetoothAdapter.setIsBluetoothSupported(adapter != "none")
        if (adapter != "none") shadowOf(adapter()).setEnabled(adapter == "on")
        val permissions = BlePermissions.needed().toTypedArray()
        if (phone.optString("permission") == "missing") {
            shadowOf(context).denyPermissions(*permissions)
        } else {
            shadowOf(context).grantPermissions(*permissions)
        }
        @Suppress("DEPRECATION")
        Settings.Secure.putInt(context.contentResolver, Settings.Secure.LOCATION_MODE, Settings.Secure.LOCATION_MODE_HIGH_ACCURACY)
        if (adapter == "on") {
            val device = adapter().getRemoteDevice(address)
            shadowOf(adapter().bluetoothLeScanner).addScanResult(advertisement(device))
            shadowOf(device).setGattConnectionInterceptor { made(Shadow.extract(it)) }
        }
    }

    val listening get() = adapterOrNull()?.bluetoothLeScanner?.let { shadowOf(it).scanCallbacks.isNotEmpty() } ?: false

    private fun adapterOrNull(): BluetoothAdapter? =
        (context.getSystemService(Context.BLUETOOTH_SERVICE) as BluetoothManager).adapter

    private fun adapter() = checkNotNull(adapterOrNull())

    private fun advertisement(device: android.bluetooth.BluetoothDevice): ScanResult {
        val name = list.getJSONObject("device").getString("name").toByteArray()
        val uuid = service.toString().replace("-", "").chunked(2).map { it.toInt(16).toByte() }.reversed().toByteArray()
        // Complete local name (0x09) and complete list of 128-bit services (0x07).
        val raw = byteArrayOf((name.size + 1).toByte(), 0x09) + name + byteArrayOf(17, 0x07) + uuid
        val parse = ScanRecord::class.java.getDeclaredMethod("parseFromBytes", ByteArray::class.java)
        val record = parse.invoke(null, raw) as ScanRecord
        @Suppress("DEPRECATION")
        return ScanResult(device, record, list.getJSONObject("device").getInt("rssi"), 0)
    }

    // --- the script ---

    private fun rule(at: String): Rule? {
        val nth = (counts[at] ?: 0) + 1
        counts[at] = nth
        return rules.firstOrNull { it.at == at && (it.nth == null || it.nth == nth) }
    }

    /** A scan that has begun. */
    fun listens() {
        if (rule("scan")?.does == "off") scope.launch { turnOff() }
    }

    /** After each step. */
    fun idle() {
        val rule = rule("idle") ?: return
        if (rule.does == "disconnect") clients.last().gone(rule.status)
    }

    private fun turnOff() {
        shadowOf(adapter()).setEnabled(false)
        val change = Intent(BluetoothAdapter.ACTION_STATE_CHANGED).putExtra(BluetoothAdapter.EXTRA_STATE, BluetoothAdapter.STATE_OFF)
        context.sendBroadcast(change)
        shadowOf(android.os.Looper.getMainLooper()).idle()
        clients.forEach { it.gone(22) }
    }

    private fun made(client: ScriptedGatt) {
        clients += client
        client.made(this)
        val rule = rule("connect")
        scope.launch {
            when (rule?.does) {
                "silent" -> return@launch
                "fail" -> return@launch client.gone(GATT_ERROR)
                "disconnect" -> return@launch client.gone(rule.status)
                "slow" -> delay(rule.seconds * 1000L)
                else -> yield()
            }
            client.up()
        }
    }

    /** @return whether Android takes the call. `answer` gets the status. */
    fun begin(client: ScriptedGatt, at: String, answer: (Int) -> Unit): Boolean {
        val rule = rule(at)
        if (client.busy || client.isClosed || rule?.does == "refuse-call") return false
        client.busy = true
        mostAtOnce = maxOf(mostAtOnce, clients.count { it.busy })
        scope.launch {
            when (rule?.does) {
                "silent" -> return@launch
                "disconnect" -> return@launch client.gone(rule.status)
                "off" -> return@launch turnOff()
                "slow" -> delay(rule.seconds * 1000L)
                else -> yield()
            }
            client.busy = false
            if (client.isClosed) return@launch
            answer(
                when (rule?.does) {
                    "att" -> rule.status
                    "refuse" -> BluetoothGatt.GATT_FAILURE
                    else -> BluetoothGatt.GATT_SUCCESS
                },
            )
        }
        return true
    }

    fun agreedMtu(asked: Int) = minOf(asked, mtu)

    fun wrote(to: UUID, value: ByteArray) {
        stored[to] = value.reversedArray()
    }

    fun reads(from: UUID) = stored[from] ?: ByteArray(0)

    fun services(): List<BluetoothGattService> {
        val made = BluetoothGattService(service, BluetoothGattService.SERVICE_TYPE_PRIMARY)
        val characteristics = list.getJSONObject("layout").getJSONObject("characteristics")
        for (name in characteristics.keys().asSequence()) {
            val one = characteristics.getJSONObject(name)
            val properties = (if (one.getBoolean("readable")) BluetoothGattCharacteristic.PROPERTY_READ else 0) or
                (if (one.getBoolean("writable")) BluetoothGattCharacteristic.PROPERTY_WRITE else 0)
            val characteristic = BluetoothGattCharacteristic(UUID.fromString(one.getString("uuid")), properties, 0x11)
            if (!one.isNull("description")) {
                val descriptor = BluetoothGattDescriptor(DESCRIPTION, BluetoothGattDescriptor.PERMISSION_READ)
                texts[descriptor] = one.getString("description").toByteArray()
                characteristic.addDescriptor(descriptor)
            }
            made.addCharacteristic(characteristic)
        }
        return listOf(made)
    }

    val texts = mutableMapOf<BluetoothGattDescriptor, ByteArray>()

    companion object {
        lateinit var current: ScriptedPhone
        val DESCRIPTION: UUID = UUID.fromString("00002901-0000-1000-8000-00805f9b34fb")
    }
}

internal fun JSONArray.objects(): List<JSONObject> = (0 until length()).map { getJSONObject(it) }

/** Android's client, as far as it would talk to the Bluetooth process. */
@Implements(BluetoothGatt::class)
internal class ScriptedGatt : ShadowBluetoothGatt() {
    private lateinit var phone: ScriptedPhone
    private val callback: BluetoothGattCallback get() = gattCallback
    private val client: BluetoothGatt get() = real
    @org.robolectric.annotation.RealObject private lateinit var real: BluetoothGatt
    private var found: List<BluetoothGattService> = emptyList()
    private var isUp = false
    var busy = false

    fun made(phone: ScriptedPhone) {
        this.phone = phone
    }

    fun up() {
        if (isClosed) return
        isUp = true
        callback.onConnectionStateChange(client, BluetoothGatt.GATT_SUCCESS, BluetoothProfile.STATE_CONNECTED)
    }

    fun gone(status: Int) {
        busy = false
        if (isClosed) return
        isUp = false
        callback.onConnectionStateChange(client, status, BluetoothProfile.STATE_DISCONNECTED)
    }

    @Implementation
    override fun disconnect() {
        // Android says so only when there was a connection.
        if (isUp) gone(BluetoothGatt.GATT_SUCCESS)
    }

    @Implementation
    override fun requestMtu(mtu: Int): Boolean {
        // The one operation that does not make a BluetoothGatt busy.
        val taken = phone.begin(this, "mtu") { callback.onMtuChanged(client, phone.agreedMtu(mtu), it) }
        busy = false
        return taken
    }

    @Implementation
    override fun discoverServices(): Boolean = phone.begin(this, "discover") {
        found = phone.services()
        callback.onServicesDiscovered(client, it)
    }

    @Implementation
    override fun getServices(): List<BluetoothGattService> = found

    @Implementation
    fun readCharacteristic(of: BluetoothGattCharacteristic): Boolean = phone.begin(this, "read") { status ->
        val value = if (status == BluetoothGatt.GATT_SUCCESS) phone.reads(of.uuid) else ByteArray(0)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            callback.onCharacteristicRead(client, of, value, status)
        } else {
            @Suppress("DEPRECATION")
            of.value = value
            @Suppress("DEPRECATION")
            callback.onCharacteristicRead(client, of, status)
        }
    }

    @Suppress("DEPRECATION")
    @Implementation
    override fun writeCharacteristic(of: BluetoothGattCharacteristic): Boolean = write(of, of.value)

    @Implementation(minSdk = Build.VERSION_CODES.TIRAMISU)
    override fun writeCharacteristic(of: BluetoothGattCharacteristic, value: ByteArray, type: Int): Int =
        if (write(of, value)) BluetoothStatusCodes.SUCCESS else BluetoothStatusCodes.ERROR_GATT_WRITE_REQUEST_BUSY

    private fun write(of: BluetoothGattCharacteristic, value: ByteArray): Boolean = phone.begin(this, "write") { status ->
        if (status == BluetoothGatt.GATT_SUCCESS) phone.wrote(of.uuid, value)
        callback.onCharacteristicWrite(client, of, status)
    }

    @Implementation
    fun readDescriptor(of: BluetoothGattDescriptor): Boolean = phone.begin(this, "describe") { status ->
        val value = if (status == BluetoothGatt.GATT_SUCCESS) phone.texts.getValue(of) else ByteArray(0)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            callback.onDescriptorRead(client, of, status, value)
        } else {
            @Suppress("DEPRECATION")
            of.value = value
            @Suppress("DEPRECATION")
            callback.onDescriptorRead(client, of, status)
        }
    }
}
