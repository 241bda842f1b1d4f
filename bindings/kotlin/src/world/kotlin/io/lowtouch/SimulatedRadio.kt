package io.lowtouch

import java.io.DataInputStream
import java.io.DataOutputStream
import java.net.InetAddress
import java.net.Socket
import java.nio.ByteBuffer
import java.util.UUID
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.delay
import kotlinx.coroutines.isActive
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext

/** What the radio is asked for, in the order in which a pairing asks. */
enum class Call { SCAN, NEXT, CONNECT, MTU, DISCOVER, WRITE, READ }

/**
 * A phone's Bluetooth for tests: it hears [devices] and speaks with them over the simulated GATT of core/links
 * (simulated/remote.rs). [before] sees every call first, and may throw, wait, or end the connection; [parting] is how long a device
 * takes to be let go.
 */
class SimulatedRadio(
    private val devices: () -> Collection<Device>,
    internal val parting: Duration = Duration.ZERO,
    private val before: suspend (Call, count: Int, SimulatedConnection?) -> Unit = { _, _, _ -> },
) : BleCentral {
    val open: MutableSet<SimulatedConnection> = ConcurrentHashMap.newKeySet()
    val scanning = AtomicInteger()
    private val counts = ConcurrentHashMap<Call, AtomicInteger>()

    suspend fun see(call: Call, connection: SimulatedConnection? = null) =
        before(call, counts.getOrPut(call) { AtomicInteger() }.incrementAndGet(), connection)

    override suspend fun scan(filter: BleScanFilter): BleScan {
        see(Call.SCAN)
        scanning.incrementAndGet()
        return object : BleScan {
            private var heard = 0
            private var stopped = false

            override suspend fun next(): BleAdvertisement {
                see(Call.NEXT)
                val all = devices().toList()
                if (heard >= all.size) {
                    // Again and again, as devices do.
                    delay(20)
                    heard = 0
                }
                val device = all.getOrNull(heard++) ?: awaitCancellation()
                return BleAdvertisement(address(device), device.name, -50, listOf(), listOf())
            }

            override suspend fun stop() {
                if (!stopped) scanning.decrementAndGet()
                stopped = true
            }
        }
    }

    override suspend fun connect(address: String): BleConnection {
        see(Call.CONNECT)
        val device = devices().find { address(it) == address } ?: throw BleException.NotInReach()
        val connection = try {
            // Whole or not at all: a connection that nobody gets would keep its device busy.
            withContext(NonCancellable + Dispatchers.IO) { SimulatedConnection(this@SimulatedRadio, device.port) }
        } catch (refused: java.io.IOException) {
            throw BleException.NotInReach()
        }
        open += connection
        if (!currentCoroutineContext().isActive) {
            connection.lose(0)
            throw CancellationException()
        }
        return connection
    }

    /** As a phone shows it: made of the port. */
    private fun address(device: Device) = "02:00:00:00:%02X:%02X".format(device.port shr 8, device.port and 0xff)
}

private const val CONNECT = 1
private const val WRITE = 2
private const val READ = 3

class SimulatedConnection(private val radio: SimulatedRadio, port: Int) : BleConnection {
    private val socket = Socket(InetAddress.getLoopbackAddress(), port).apply { tcpNoDelay = true }
    private val out = DataOutputStream(socket.getOutputStream().buffered())
    private val input = DataInputStream(socket.getInputStream().buffered())
    private val oneAtATime = Mutex()
    private val ended = CompletableDeferred<Int>()
    private val table = try {
        ask(CONNECT, "lowtouch simulated GATT 1".toByteArray())
    } catch (failed: BleException) {
        socket.close()
        throw failed
    }

    /** The device goes out of reach. */
    fun lose(status: Int = 8) {
        socket.close()
        ended.complete(status)
        radio.open -= this
    }

    override suspend fun requestMtu(mtu: UShort): UShort {
        radio.see(Call.MTU, this)
        return 247u
    }

    override suspend fun discover(descriptions: Boolean): List<BleService> {
        radio.see(Call.DISCOVER, this)
        val bytes = ByteBuffer.wrap(table)
        val characteristics = buildList {
            while (bytes.hasRemaining()) {
                val uuid = UUID(bytes.getLong(), bytes.getLong())
                val name = ByteArray(bytes.get().toInt()).also { bytes.get(it) }
                val id = BleCharacteristicId(SERVICE, uuid, 0u)
                add(BleCharacteristic(id, readable = true, writable = true, description = name.takeIf { descriptions }))
            }
        }
        return listOf(BleService(SERVICE, characteristics))
    }

    override suspend fun write(characteristic: BleCharacteristicId, `value`: ByteArray) {
        radio.see(Call.WRITE, this)
        operation(WRITE, id(characteristic) + value)
    }

    override suspend fun read(characteristic: BleCharacteristicId): ByteArray {
        radio.see(Call.READ, this)
        return operation(READ, id(characteristic))
    }

    override suspend fun disconnected(): Int = ended.await()

    override suspend fun disconnect() {
        delay(radio.parting)
        withContext(Dispatchers.IO) { lose(0) }
    }

    private suspend fun operation(kind: Int, payload: ByteArray) = oneAtATime.withLock {
        withContext(Dispatchers.IO) {
            try {
                ask(kind, payload)
            } catch (gone: java.io.IOException) {
                lose()
                throw BleException.Disconnected(8)
            }
        }
    }

    /** Kind, length, payload; the answer's kind is 0, or an ATT error, busy, disconnected. */
    private fun ask(kind: Int, payload: ByteArray): ByteArray {
        out.writeByte(kind)
        out.writeShort(payload.size)
        out.write(payload)
        out.flush()
        val status = input.readUnsignedByte()
        val answer = ByteArray(input.readUnsignedShort()).also(input::readFully)
        return when (status) {
            0 -> answer
            1 -> throw BleException.Att(answer[0].toUByte())
            2 -> throw BleException.NotInReach()
            else -> throw BleException.Disconnected(status)
        }
    }

    private fun id(characteristic: BleCharacteristicId): ByteArray = ByteBuffer.allocate(16)
        .putLong(characteristic.uuid.mostSignificantBits)
        .putLong(characteristic.uuid.leastSignificantBits)
        .array()

    private companion object {
        val SERVICE: UUID = UUID.fromString("1775244d-6b43-439b-877c-060f2d9bed07")
    }
}
