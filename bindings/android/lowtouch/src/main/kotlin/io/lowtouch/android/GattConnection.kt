package io.lowtouch.android

import android.annotation.TargetApi
import android.bluetooth.BluetoothDevice
import android.bluetooth.BluetoothGatt
import android.bluetooth.BluetoothGattCallback
import android.bluetooth.BluetoothGattCharacteristic
import android.bluetooth.BluetoothGattDescriptor
import android.bluetooth.BluetoothProfile
import android.bluetooth.BluetoothStatusCodes
import android.content.Context
import android.os.Build
import io.lowtouch.BleCharacteristic
import io.lowtouch.BleCharacteristicId
import io.lowtouch.BleConnection
import io.lowtouch.BleException
import io.lowtouch.BleService
import java.util.UUID
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.TimeoutCancellationException
import kotlinx.coroutines.delay
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.withTimeoutOrNull
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds

/** One attempt to connect. Android's own takes 30 s, longer than people wait; a device in reach takes well under a second. */
private val ATTEMPT = 10.seconds
/** Between two attempts, times the attempt's number: the stack cleans up meanwhile. */
private val PAUSE = 250.milliseconds
/** ATT's transaction time-out (Bluetooth Core, Vol 3, Part F, 3.3.3). */
private val OPERATION = 30.seconds
/** A device that does not answer the MTU request by then is talked to without. */
private val MTU_REQUEST = 5.seconds
/** How long a disconnect may take before the client is closed all the same. */
private val GOODBYE = 5.seconds
/** ATT's smallest MTU, in bytes (Bluetooth Core, Vol 3, Part G, 5.2.1). */
private const val SMALLEST_MTU = 23
/** Characteristic User Description (Bluetooth Assigned Numbers, 3.7). */
private val USER_DESCRIPTION: UUID = UUID.fromString("00002901-0000-1000-8000-00805f9b34fb")

/** What an operation ends with: ATT errors 0x05, 0x08, 0x0c and 0x0f (Bluetooth Core, Vol 3, Part F, 3.4.1.1), and Android's GATT_AUTH_FAIL. */
private val WANTS_BONDING = setOf(0x05, 0x08, 0x0c, 0x0f, 0x89)
/**
 * What an attempt to connect ends with, whose numbers are others (0x08 is a time-out there): authentication failed, key missing, MIC failed
 * (Bluetooth Core, Vol 1, Part F, 1.3), and GATT_AUTH_FAIL.
 */
private val CONNECTS_BONDED_ONLY = setOf(0x05, 0x06, 0x3d, 0x89)
/** Android's GATT_ERROR: trouble in its own stack. No device sends it to say something. */
internal const val GATT_ERROR = 0x85
private const val GATT_CONNECTION_CONGESTED = 0x8f

/**
 * A connection over [BluetoothGatt], which takes one operation at a time and answers on a thread of its own: calls wait for their turn,
 * and each has its own time. An operation that was given up or whose time is up leaves the stack waiting for its answer for good,
 * so the connection ends with it. Whatever happens, the client is closed once: Android has 32 for all apps.
 */
internal class GattConnection private constructor(private val context: Context) : BluetoothGattCallback(), BleConnection {
    private sealed interface Kind {
        data object Mtu : Kind
        data object Discover : Kind
        data class Read(val of: BluetoothGattCharacteristic) : Kind
        data class Write(val to: BluetoothGattCharacteristic) : Kind
        data class Describe(val of: BluetoothGattDescriptor) : Kind
    }

    private class Answer(val status: Int, val value: ByteArray)
    private class Pending(val kind: Kind, val answer: CompletableDeferred<Answer>)

    private val turn = Mutex()
    private val up = CompletableDeferred<Unit>()
    private val ended = CompletableDeferred<BleException>()
    private val down = CompletableDeferred<Unit>()
    private val lock = Any()
    // Under the lock:
    private var gatt: BluetoothGatt? = null
    private var closed = false
    private var pending: Pending? = null
    @Volatile private var mtu = SMALLEST_MTU
    @Volatile private var isUsed = false

    // --- what Rust calls ---

    override suspend fun requestMtu(mtu: UShort): UShort {
        val answer = try {
            operation(Kind.Mtu, MTU_REQUEST, endsWithoutAnswer = false) { it.requestMtu(mtu.toInt()) }
        } catch (_: BleException.Failed) {
            null
        }
        // The number itself is in `mtu`, whoever asked for it.
        if (answer != null && answer.status == GATT_ERROR) throw BleException.Disconnected(answer.status)
        return this.mtu.toUShort()
    }

    override suspend fun discover(descriptions: Boolean): List<BleService> {
        check(operation(Kind.Discover) { it.discoverServices() })
        val services = guarded(NEEDED) { client().services }
        return services.map { service ->
            val seen = mutableMapOf<UUID, UInt>()
            BleService(
                service.uuid,
                service.characteristics.map { found ->
                    val instance = seen.getOrDefault(found.uuid, 0u)
                    seen[found.uuid] = instance + 1u
                    BleCharacteristic(
                        BleCharacteristicId(service.uuid, found.uuid, instance),
                        found.properties and BluetoothGattCharacteristic.PROPERTY_READ != 0,
                        found.properties and BluetoothGattCharacteristic.PROPERTY_WRITE != 0,
                        if (descriptions) describe(found) else null,
                    )
                },
            )
        }
    }

    override suspend fun write(characteristic: BleCharacteristicId, value: ByteArray) {
        val target = find(characteristic)
        check(operation(Kind.Write(target)) { it.begin(target, value) })
    }

    override suspend fun read(characteristic: BleCharacteristicId): ByteArray {
        val target = find(characteristic)
        return check(operation(Kind.Read(target)) { it.readCharacteristic(target) })
    }

    override suspend fun disconnected(): Int {
        isUsed = true
        return when (val reason = ended.await().again()) {
            is BleException.Disconnected -> reason.status
            else -> throw reason
        }
    }

    override suspend fun disconnect(): Unit = withContext(NonCancellable) {
        end(BleException.Disconnected(BluetoothGatt.GATT_SUCCESS))
        val client = synchronized(lock) { gatt.takeUnless { closed } } ?: return@withContext
        try {
            client.disconnect()
            withTimeoutOrNull(GOODBYE) { down.await() }
        } catch (_: SecurityException) {
            // The permission was taken away: the system has let go by itself.
        }
        letGo()
    }

    // --- one operation at a time ---

    /**
     * @param endsWithoutAnswer whether the connection is of no use any more when no answer comes.
     * @throws BleException what ended the connection, or [BleException.Failed] when the call was not taken or not answered.
     */
    private suspend fun operation(
        kind: Kind,
        within: Duration = OPERATION,
        endsWithoutAnswer: Boolean = true,
        begin: (BluetoothGatt) -> Boolean,
    ): Answer = turn.withLock {
        isUsed = true
        val answer = CompletableDeferred<Answer>()
        val client = synchronized(lock) {
            reason()?.let { throw it }
            pending = Pending(kind, answer)
            client()
        }
        var begun = false
        try {
            begun = guarded(NEEDED) { begin(client) }
            if (!begun) throw BleException.Failed("Android did not take the call: ${kind.name()}")
            withTimeout(within) { answer.await() }
        } catch (_: TimeoutCancellationException) {
            throw BleException.Failed("no answer after $within: ${kind.name()}")
        } finally {
            synchronized(lock) { pending = null }
            if (begun && endsWithoutAnswer && (!answer.isCompleted || answer.isCancelled)) {
                abandon(BleException.Disconnected(BluetoothGatt.GATT_SUCCESS))
            }
        }
    }

    private fun Kind.name() = this::class.simpleName.orEmpty().lowercase()

    private fun check(answer: Answer): ByteArray = when (val status = answer.status) {
        BluetoothGatt.GATT_SUCCESS -> answer.value
        in WANTS_BONDING -> throw BleException.WantsBonding()
        GATT_ERROR, GATT_CONNECTION_CONGESTED -> {
            abandon(BleException.Disconnected(status))
            throw BleException.Disconnected(status)
        }
        in 0x01..0xff -> throw BleException.Att(status.toUByte())
        else -> throw BleException.Failed("status $status")
    }

    private suspend fun describe(characteristic: BluetoothGattCharacteristic): ByteArray? {
        val descriptor = characteristic.getDescriptor(USER_DESCRIPTION) ?: return null
        return try {
            check(operation(Kind.Describe(descriptor)) { it.readDescriptor(descriptor) })
        } catch (_: BleException.Att) {
            null
        } catch (_: BleException.WantsBonding) {
            null
        }
    }

    private fun find(id: BleCharacteristicId): BluetoothGattCharacteristic {
        reason()?.let { throw it }
        val services = guarded(NEEDED) { client().services }
        val candidates = services.filter { it.uuid == id.service }.flatMap { it.characteristics }
        return candidates.filter { it.uuid == id.uuid }.getOrNull(id.instance.toInt())
            ?: throw BleException.Failed("no characteristic ${id.uuid} in service ${id.service}")
    }

    @Suppress("DEPRECATION")
    private fun BluetoothGatt.begin(target: BluetoothGattCharacteristic, value: ByteArray): Boolean {
        val withResponse = BluetoothGattCharacteristic.WRITE_TYPE_DEFAULT
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            return writeCharacteristic(target, value, withResponse) == BluetoothStatusCodes.SUCCESS
        }
        target.writeType = withResponse
        target.value = value
        return writeCharacteristic(target)
    }

    // --- what Android calls, on a thread of its own ---

    override fun onConnectionStateChange(client: BluetoothGatt, status: Int, newState: Int) {
        if (newState == BluetoothProfile.STATE_CONNECTED && status == BluetoothGatt.GATT_SUCCESS) {
            up.complete(Unit)
        } else if (newState == BluetoothProfile.STATE_DISCONNECTED) {
            down.complete(Unit)
            val off = runCatching { usableAdapter(context, emptyList()) }.exceptionOrNull() is BleException.AdapterOff
            abandon(if (off) BleException.AdapterOff() else BleException.Disconnected(status))
        }
    }

    override fun onMtuChanged(client: BluetoothGatt, mtu: Int, status: Int) {
        if (status == BluetoothGatt.GATT_SUCCESS) this.mtu = mtu
        answered(Kind.Mtu, status)
    }

    override fun onServicesDiscovered(client: BluetoothGatt, status: Int) = answered(Kind.Discover, status)

    override fun onCharacteristicWrite(client: BluetoothGatt, of: BluetoothGattCharacteristic, status: Int) =
        answered(Kind.Write(of), status)

    /** Android 13 and later. */
    override fun onCharacteristicRead(client: BluetoothGatt, of: BluetoothGattCharacteristic, value: ByteArray, status: Int) =
        answered(Kind.Read(of), status, value)

    /** Up to Android 12; the value is in the characteristic, and the next answer overwrites it. */
    @Deprecated("Android 13 calls the one with the value")
    @Suppress("DEPRECATION")
    override fun onCharacteristicRead(client: BluetoothGatt, of: BluetoothGattCharacteristic, status: Int) =
        answered(Kind.Read(of), status, of.value?.copyOf() ?: ByteArray(0))

    /** Android 13 and later. */
    override fun onDescriptorRead(client: BluetoothGatt, of: BluetoothGattDescriptor, status: Int, value: ByteArray) =
        answered(Kind.Describe(of), status, value)

    /** Up to Android 12. */
    @Deprecated("Android 13 calls the one with the value")
    @Suppress("DEPRECATION")
    override fun onDescriptorRead(client: BluetoothGatt, of: BluetoothGattDescriptor, status: Int) =
        answered(Kind.Describe(of), status, of.value?.copyOf() ?: ByteArray(0))

    /** An answer to something that nobody waits for any more is dropped. */
    private fun answered(kind: Kind, status: Int, value: ByteArray = ByteArray(0)) {
        val waiting = synchronized(lock) { pending?.takeIf { it.kind == kind } }
        waiting?.answer?.complete(Answer(status, value))
    }

    // --- the end ---

    private fun client(): BluetoothGatt = gatt ?: throw BleException.Disconnected(BluetoothGatt.GATT_SUCCESS)

    @OptIn(kotlinx.coroutines.ExperimentalCoroutinesApi::class)
    private fun reason(): BleException? = if (ended.isCompleted) ended.getCompleted().again() else null

    private fun end(reason: BleException) {
        val waiting = synchronized(lock) {
            ended.complete(reason)
            pending
        }
        up.completeExceptionally(reason.again())
        waiting?.answer?.completeExceptionally(reason.again())
    }

    /** Ends at once, without waiting for the radio. */
    private fun abandon(reason: BleException) {
        end(reason)
        val client = synchronized(lock) { gatt.takeUnless { closed } } ?: return
        try {
            client.disconnect()
        } catch (_: SecurityException) {
            // See disconnect().
        }
        letGo()
    }

    private fun letGo() {
        val client = synchronized(lock) {
            if (closed) return
            closed = true
            gatt
        }
        try {
            client?.close()
        } catch (_: SecurityException) {
            // The system closes the clients of an app that may not have them.
        }
    }

    /** One attempt. Its client is closed unless it is the connection's. */
    private suspend fun attempt(device: BluetoothDevice) {
        try {
            val client = device.connectGatt(context, false, this, BluetoothDevice.TRANSPORT_LE)
                ?: throw BleException.Failed("Android gives no GATT client")
            val late = synchronized(lock) {
                gatt = client
                ended.isCompleted
            }
            if (late) letGo()
            withTimeoutOrNull(ATTEMPT) { up.await() } ?: throw BleException.NotInReach()
        } catch (failure: Throwable) {
            abandon(BleException.NotInReach())
            throw failure
        }
    }

    internal companion object {
        private val NEEDED get() = BlePermissions.forConnecting()

        suspend fun open(context: Context, device: BluetoothDevice): GattConnection {
            for (attempt in 1..AndroidBle.ATTEMPTS) {
                val connection = GattConnection(context)
                try {
                    connection.attempt(device)
                    letGoUnlessUsed({ connection.isUsed }) { connection.abandon(BleException.Disconnected(BluetoothGatt.GATT_SUCCESS)) }
                    return connection
                } catch (failure: BleException) {
                    when (failure) {
                        is BleException.AdapterOff -> throw failure
                        is BleException.Disconnected -> if (failure.status in CONNECTS_BONDED_ONLY) throw BleException.WantsBonding()
                        else -> {}
                    }
                }
                if (attempt < AndroidBle.ATTEMPTS) delay(PAUSE * attempt)
            }
            throw BleException.NotInReach()
        }
    }
}

/** The same failure for another caller: an exception that two threads throw collects both their traces. */
private fun BleException.again(): BleException = when (this) {
    is BleException.Disconnected -> BleException.Disconnected(status)
    is BleException.AdapterOff -> BleException.AdapterOff()
    is BleException.NotInReach -> BleException.NotInReach()
    else -> this
}
