package io.lowtouch.android

import android.app.Application
import android.bluetooth.BluetoothAdapter
import android.bluetooth.BluetoothGatt
import android.bluetooth.BluetoothGattCharacteristic
import android.bluetooth.BluetoothGattDescriptor
import android.bluetooth.BluetoothGattService
import android.bluetooth.BluetoothProfile
import android.bluetooth.BluetoothStatusCodes
import android.bluetooth.le.ScanRecord
import android.bluetooth.le.ScanResult
import android.os.Build
import android.provider.Settings
import io.lowtouch.Installer
import io.lowtouch.InstallerSettings
import io.lowtouch.Invite
import io.lowtouch.Label
import io.lowtouch.NetworkStanding
import io.lowtouch.NetworkState
import io.lowtouch.PairingEvent
import io.lowtouch.PairingRequest
import io.lowtouch.events
import io.lowtouch.pairing
import java.io.Closeable
import java.io.DataInputStream
import java.io.DataOutputStream
import java.io.File
import java.io.IOException
import java.net.InetAddress
import java.net.Socket
import java.nio.ByteBuffer
import java.security.Security
import java.util.UUID
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicInteger
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.last
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.json.JSONObject
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.Implementation
import org.robolectric.annotation.Implements
import org.robolectric.annotation.RealObject
import org.robolectric.internal.bytecode.InstrumentationConfiguration
import org.robolectric.shadow.api.Shadow
import org.robolectric.shadows.ShadowBluetoothGatt

/** JNA's own library can be loaded once in a process, and every Android has a class loader of its own here. */
internal class WithJna(test: Class<*>) : RobolectricTestRunner(test) {
    override fun createClassLoaderConfig(method: org.junit.runners.model.FrameworkMethod): InstrumentationConfiguration =
        InstrumentationConfiguration.Builder(super.createClassLoaderConfig(method)).doNotAcquirePackage("com.sun.jna").build()
}

/**
 * Devices are paired through the real Rust library, over Android's own Bluetooth classes: only what would go to the Bluetooth process goes to a
 * simulated device instead, and answers come on another thread, as there.
 */
@RunWith(WithJna::class)
@Config(sdk = [26, 35], shadows = [NetworkedGatt::class])
internal class RealPairingTest {
    @get:Rule
    val folder = TemporaryFolder()
    private val context: Application = RuntimeEnvironment.getApplication()
    private lateinit var world: World

    @Before
    fun begin() {
        Security.addProvider(KeystoreSecretsTest.MemoryKeystore())
        KeystoreSecretsTest.MemoryKeystore.keys.clear()
        KeystoreSecretsTest.MemoryKeystore.trouble = false
        world = World()
        NetworkedGatt.loseAtWrites = emptySet()
        NetworkedGatt.writes.set(0)
        shadowOf(context).grantPermissions(*BlePermissions.needed().toTypedArray())
        @Suppress("DEPRECATION")
        Settings.Secure.putInt(context.contentResolver, Settings.Secure.LOCATION_MODE, Settings.Secure.LOCATION_MODE_HIGH_ACCURACY)
        shadowOf(BluetoothAdapter.getDefaultAdapter()).setEnabled(true)
    }

    @After
    fun end() {
        world.close()
        Security.removeProvider("AndroidKeyStore")
    }

    private val heard = java.util.concurrent.CopyOnWriteArrayList<ScanResult>()

    /** Again and again, as devices do; Robolectric's own scanner reports each once. */
    private suspend fun advertise() {
        val scanner = shadowOf(BluetoothAdapter.getDefaultAdapter().bluetoothLeScanner)
        while (true) {
            for (scan in scanner.activeScans) heard.forEach { scan.scanCallback()?.onScanResult(1, it) }
            delay(50)
        }
    }

    private fun test(work: suspend (Installer) -> Unit) = runBlocking(Dispatchers.Default) {
        withTimeout(180_000) {
            val advertising = launch { advertise() }
            val settings = InstallerSettings(dataDir = folder.newFolder().path, extraCaPem = world.caPem)
            Installer(settings, KeystoreSecrets(context), Online, AndroidBle(context), Logcat()).use { installer ->
                Invite.parse(world.invite("Ines")).use { installer.signInWithInvite(it, null) }
                work(installer)
                installer.shutDown()
            }
            advertising.cancelAndJoin()
        }
        assertEquals("clients left open", 0, NetworkedGatt.open.get())
        assertEquals(0, shadowOf(BluetoothAdapter.getDefaultAdapter().bluetoothLeScanner).activeScans.size)
    }

    private fun request(device: World.Device) = PairingRequest(Label.parse(device.label), link = "ble://${device.name}")

    @Test
    fun `a device is paired to assigned`() = test { installer ->
        val device = world.device().also(::hear)
        val last = installer.pairing(request(device)).last()
        assertTrue("$last", last is PairingEvent.Finished)
        assertEquals(world.hubs(device), listOf((last as PairingEvent.Finished).paired.hub))
    }

    @Test
    fun `a pairing that is cancelled in the middle lets the device go, and the next one finishes it`() = test { installer ->
        val device = world.device().also(::hear)
        coroutineScope {
            val pairing = installer.pair(request(device))
            val reading = launch {
                pairing.events().first { it is PairingEvent.Secured }
                pairing.cancel()
            }
            reading.join()
            runCatching { pairing.outcome() }
            pairing.close()
            reading.cancelAndJoin()
        }
        val again = installer.pairing(request(device)).toList()
        assertTrue("${again.last()}", again.last() is PairingEvent.Finished)
        assertTrue(again.filterIsInstance<PairingEvent.Started>().single().resumed)
    }

    @Test
    fun `a device that is lost and comes back is paired`() = test { installer ->
        NetworkedGatt.loseAtWrites = setOf(4, 9)
        val device = world.device().also(::hear)
        val last = installer.pairing(request(device)).last()
        assertTrue("$last", last is PairingEvent.Finished)
        assertEquals(1, world.hubs(device).size)
    }

    @Test
    fun `twenty devices at once share one radio`() = test { installer ->
        val devices = List(20) { world.device().also(::hear) }
        val ends = coroutineScope { devices.map { async { installer.pairing(request(it)).last() } }.awaitAll() }
        for (end in ends) assertTrue("$end", end is PairingEvent.Finished)
        for (device in devices) assertEquals(1, world.hubs(device).size)
    }

    private fun hear(device: World.Device) {
        val adapter = BluetoothAdapter.getDefaultAdapter()
        val remote = adapter.getRemoteDevice(NetworkedGatt.address(device.port))
        shadowOf(remote).setGattConnectionInterceptor { Shadow.extract<NetworkedGatt>(it).made(device.port) }
        val name = device.name.toByteArray()
        val parse = ScanRecord::class.java.getDeclaredMethod("parseFromBytes", ByteArray::class.java)
        val record = parse.invoke(null, byteArrayOf((name.size + 1).toByte(), 0x09) + name) as ScanRecord
        @Suppress("DEPRECATION")
        heard += ScanResult(remote, record, -50, 0)
    }

    private object Online : NetworkState {
        override suspend fun next(known: NetworkStanding?) = if (known == NetworkStanding.ONLINE) awaitCancellation() else NetworkStanding.ONLINE
    }
}

/** The process `lowtouch-world`: a real provisioning API, emulated DPS instances and simulated devices. */
internal class World : Closeable {
    class Device(made: JSONObject) {
        val label: String = made.getString("label")
        val registrationId: String = made.getString("registrationId")
        val name: String = JSONObject(label).getString("name")
        val port = made.getString("address").substringAfterLast(':').substringBefore('?').toInt()
    }

    private val process = ProcessBuilder(File(System.getProperty("lowtouch.target"), "lowtouch-world").path)
        .redirectError(ProcessBuilder.Redirect.INHERIT).start()
    private val said = process.inputStream.bufferedReader()
    val caPem: String = answer().getString("caPem")

    private fun answer() = JSONObject(said.readLine() ?: error("lowtouch-world ended"))

    private fun ask(key: String, value: Any): JSONObject {
        process.outputStream.write("${JSONObject().put(key, value)}\n".toByteArray())
        process.outputStream.flush()
        return answer()
    }

    fun invite(name: String): String = ask("invite", name).getString("invite")

    fun device() = Device(ask("device", JSONObject()))

    fun hubs(device: Device): List<String> = ask("hub", device.registrationId).getJSONArray("hubs").run { List(length(), ::getString) }

    override fun close() {
        process.outputStream.close()
        process.waitFor()
    }
}

/** Speaks the simulated GATT of core/links (simulated/remote.rs) over loopback TCP. */
@Implements(BluetoothGatt::class)
internal class NetworkedGatt : ShadowBluetoothGatt() {
    @RealObject private lateinit var real: BluetoothGatt
    private val thread = Executors.newSingleThreadExecutor { Thread(it, "binder").apply { isDaemon = true } }
    private var socket: Socket? = null
    private var service: BluetoothGattService? = null
    private val texts = ConcurrentHashMap<BluetoothGattDescriptor, ByteArray>()
    @Volatile private var closed = false

    fun made(port: Int) {
        open.incrementAndGet()
        thread.execute {
            try {
                val socket = Socket(InetAddress.getLoopbackAddress(), port).apply { tcpNoDelay = true }
                this.socket = socket
                val (status, table) = ask(1, "lowtouch simulated GATT 1".toByteArray())
                if (status != 0) throw IOException("busy")
                service = parse(ByteBuffer.wrap(table))
                gattCallback.onConnectionStateChange(real, BluetoothGatt.GATT_SUCCESS, BluetoothProfile.STATE_CONNECTED)
            } catch (_: IOException) {
                gone(GATT_ERROR)
            }
        }
    }

    private fun gone(status: Int) {
        socket?.close()
        socket = null
        if (!closed) gattCallback.onConnectionStateChange(real, status, BluetoothProfile.STATE_DISCONNECTED)
    }

    private fun parse(table: ByteBuffer): BluetoothGattService {
        val made = BluetoothGattService(UUID.fromString("1775244d-6b43-439b-877c-060f2d9bed07"), BluetoothGattService.SERVICE_TYPE_PRIMARY)
        while (table.hasRemaining()) {
            val properties = BluetoothGattCharacteristic.PROPERTY_READ or BluetoothGattCharacteristic.PROPERTY_WRITE
            val characteristic = BluetoothGattCharacteristic(UUID(table.getLong(), table.getLong()), properties, 0x11)
            val descriptor = BluetoothGattDescriptor(ScriptedPhone.DESCRIPTION, BluetoothGattDescriptor.PERMISSION_READ)
            texts[descriptor] = ByteArray(table.get().toInt()).also { table.get(it) }
            characteristic.addDescriptor(descriptor)
            made.addCharacteristic(characteristic)
        }
        return made
    }

    /** Kind, length, payload; the answer's kind is 0, or 1 for an ATT error, or something that ends the connection. */
    private fun ask(kind: Int, payload: ByteArray): Pair<Int, ByteArray> {
        val socket = socket ?: throw IOException("not connected")
        val out = DataOutputStream(socket.getOutputStream().buffered())
        out.writeByte(kind)
        out.writeShort(payload.size)
        out.write(payload)
        out.flush()
        val input = DataInputStream(socket.getInputStream())
        val status = input.readUnsignedByte()
        return status to ByteArray(input.readUnsignedShort()).also(input::readFully)
    }

    private fun operation(kind: Int, payload: ByteArray, answer: (Int, ByteArray) -> Unit): Boolean {
        if (closed) return false
        thread.execute {
            try {
                val (status, value) = ask(kind, payload)
                when (status) {
                    0 -> answer(BluetoothGatt.GATT_SUCCESS, value)
                    1 -> answer(value[0].toInt() and 0xff, ByteArray(0))
                    else -> gone(8)
                }
            } catch (_: IOException) {
                gone(8)
            }
        }
        return true
    }

    @Implementation
    override fun disconnect() {
        thread.execute { gone(BluetoothGatt.GATT_SUCCESS) }
    }

    @Implementation
    override fun close() {
        if (!closed) open.decrementAndGet()
        closed = true
        thread.execute { socket?.close() }
        thread.shutdown()
    }

    @Implementation
    override fun requestMtu(mtu: Int): Boolean {
        thread.execute { gattCallback.onMtuChanged(real, minOf(mtu, 185), BluetoothGatt.GATT_SUCCESS) }
        return true
    }

    @Implementation
    override fun discoverServices(): Boolean {
        thread.execute { gattCallback.onServicesDiscovered(real, BluetoothGatt.GATT_SUCCESS) }
        return true
    }

    @Implementation
    override fun getServices(): List<BluetoothGattService> = listOfNotNull(service)

    @Implementation
    @Suppress("DEPRECATION")
    fun readDescriptor(of: BluetoothGattDescriptor): Boolean {
        thread.execute {
            val text = texts.getValue(of)
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
                gattCallback.onDescriptorRead(real, of, BluetoothGatt.GATT_SUCCESS, text)
            } else {
                of.value = text
                gattCallback.onDescriptorRead(real, of, BluetoothGatt.GATT_SUCCESS)
            }
        }
        return true
    }

    @Implementation
    @Suppress("DEPRECATION")
    fun readCharacteristic(of: BluetoothGattCharacteristic): Boolean = operation(3, bytes(of.uuid)) { status, value ->
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            gattCallback.onCharacteristicRead(real, of, value, status)
        } else {
            of.value = value
            gattCallback.onCharacteristicRead(real, of, status)
        }
    }

    @Implementation
    @Suppress("DEPRECATION")
    override fun writeCharacteristic(of: BluetoothGattCharacteristic): Boolean = write(of, of.value)

    @Implementation(minSdk = Build.VERSION_CODES.TIRAMISU)
    override fun writeCharacteristic(of: BluetoothGattCharacteristic, value: ByteArray, type: Int): Int =
        if (write(of, value)) BluetoothStatusCodes.SUCCESS else BluetoothStatusCodes.ERROR_GATT_WRITE_REQUEST_BUSY

    private fun write(of: BluetoothGattCharacteristic, value: ByteArray): Boolean {
        if (writes.incrementAndGet() in loseAtWrites) {
            thread.execute { gone(8) }
            return true
        }
        return operation(2, bytes(of.uuid) + value) { status, _ -> gattCallback.onCharacteristicWrite(real, of, status) }
    }

    private fun bytes(uuid: UUID): ByteArray =
        ByteBuffer.allocate(16).putLong(uuid.mostSignificantBits).putLong(uuid.leastSignificantBits).array()

    companion object {
        val open = AtomicInteger()
        val writes = AtomicInteger()
        @Volatile var loseAtWrites: Set<Int> = emptySet()

        fun address(port: Int) = "02:00:00:00:%02X:%02X".format(port shr 8, port and 0xff)
    }
}
