package io.lowtouch

import java.nio.file.Path
import java.time.Duration
import java.util.concurrent.ConcurrentLinkedQueue
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertInstanceOf
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.EnumSource

/** A test that takes longer hangs. */
private const val PATIENCE_MS = 120_000L

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class PairingTest {
    private lateinit var world: World

    @BeforeAll
    fun start() {
        world = World()
    }

    @AfterAll
    fun end() = world.close()

    private fun test(work: suspend () -> Unit) = runBlocking(Dispatchers.Default) { withTimeout(PATIENCE_MS) { work() } }

    private fun request(device: Device) = PairingRequest(Label.parse(device.label), link = "ble://${device.name}")

    @Test
    fun `a device is paired to assigned over a Kotlin radio`(@TempDir folder: Path) = test {
        val device = world.device()
        val radio = SimulatedRadio({ listOf(device) })
        Phone(world, folder, radio).signedIn().use { installer ->
            val events = installer.pairing(request(device)).toList()
            val finished = assertInstanceOf(PairingEvent.Finished::class.java, events.last())
            assertEquals(device.registrationId, finished.paired.registrationId)
            assertEquals(world.hubs(device), listOf(finished.paired.hub))
            assertInstanceOf(PairingEvent.StepStarted::class.java, events.first())
            assertTrue(events.any { it is PairingEvent.DeviceFound && it.name == device.name && it.rssi == (-50).toShort() })
            val steps = events.filterIsInstance<PairingEvent.StepDone>().map { it.step }
            for (step in listOf(Step.DISCOVER, Step.CONNECT, Step.SECURE, Step.IDENTIFY, Step.ALLOCATE, Step.HAND_OFF, Step.CONFIRM, Step.RECORD)) {
                assertTrue(step in steps, "$step is not in $steps")
            }
            val entry = installer.journal(10u).single()
            assertEquals(EntryState.ASSIGNED, entry.state)
            assertEquals(finished.paired.handoffId, entry.handoffId)
            assertEquals(entry, installer.journalEntry(entry.handoffId))
            installer.shutDown()
        }
        assertEquals(emptySet<SimulatedConnection>(), radio.open)
        assertEquals(0, radio.scanning.get())
    }

    @Test
    fun `without anybody signed in nothing is paired and the error says what to do`(@TempDir folder: Path) = test {
        val device = world.device()
        Phone(world, folder, SimulatedRadio({ listOf(device) })).installer().use { installer ->
            val error = assertThrows<PairingException.SignInNeeded> { runBlocking { installer.pair(request(device)) } }
            assertEquals(ErrorCode.API_TOKEN_MISSING, error.failure.code)
            assertEquals(Action.SIGN_IN_AGAIN, error.failure.action)
            assertEquals("api-token-missing", error.failure.hintKey)
        }
    }

    @Test
    fun `a cancelled coroutine cancels its pairing and the next one finishes it`(@TempDir folder: Path) = test {
        val device = world.device()
        val reached = CompletableDeferred<Unit>()
        var hold = true
        val radio = SimulatedRadio({ listOf(device) }) { call, count, _ ->
            if (hold && call == Call.WRITE && count == 8) {
                reached.complete(Unit)
                awaitCancellation()
            }
        }
        Phone(world, folder, radio).signedIn().use { installer ->
            val pairing = installer.pair(request(device))
            val seen = ConcurrentLinkedQueue<PairingEvent>()
            kotlinx.coroutines.coroutineScope {
                val collecting = launch { pairing.events().collect { seen += it } }
                reached.await()
                collecting.cancel()
            }
            // The cancel has reached the core: its outcome is there.
            val cancelled = assertThrows<PairingException.Cancelled> { runBlocking { pairing.outcome() } }
            assertEquals(ErrorCode.CANCELLED, cancelled.failure.code)
            assertFalse(seen.any { it is PairingEvent.Finished })
            pairing.close()
            hold = false
            val again = installer.pairing(request(device)).toList()
            assertTrue(again.filterIsInstance<PairingEvent.Started>().single().resumed)
            assertInstanceOf(PairingEvent.Finished::class.java, again.last())
            assertEquals(1, world.hubs(device).size)
            installer.shutDown()
        }
        assertEquals(emptySet<SimulatedConnection>(), radio.open)
    }

    @Test
    fun `a closed pairing is a cancelled one`(@TempDir folder: Path) = test {
        val device = world.device()
        val reached = CompletableDeferred<Unit>()
        val cancelled = CompletableDeferred<Unit>()
        val radio = SimulatedRadio({ listOf(device) }) { call, _, _ ->
            if (call == Call.DISCOVER) {
                reached.complete(Unit)
                try {
                    awaitCancellation()
                } finally {
                    cancelled.complete(Unit)
                }
            }
        }
        Phone(world, folder, radio).signedIn().use { installer ->
            val pairing = installer.pair(request(device))
            reached.await()
            pairing.close()
            cancelled.await()
            installer.shutDown()
        }
        assertEquals(emptySet<SimulatedConnection>(), radio.open)
    }

    @Test
    fun `who has seen enough of a pairing does not end it`(@TempDir folder: Path) = test {
        val device = world.device()
        Phone(world, folder, SimulatedRadio({ listOf(device) })).signedIn().use { installer ->
            installer.pair(request(device)).use { pairing ->
                assertInstanceOf(PairingEvent.StepStarted::class.java, pairing.events().first())
                val hub = pairing.awaitOutcome().hub
                assertEquals(world.hubs(device), listOf(hub))
            }
            installer.shutDown()
        }
    }

    @Test
    fun `who stops collecting a pairing has ended it, and the same device can be paired at once`(@TempDir folder: Path) = test {
        val device = world.device()
        val radio = SimulatedRadio({ listOf(device) }, parting = 300.milliseconds)
        Phone(world, folder, radio).signedIn().use { installer ->
            // Its device is connected, and takes a moment to be let go.
            repeat(5) { installer.pairing(request(device)).first { it is PairingEvent.Secured } }
            val again = installer.pairing(request(device)).toList()
            assertInstanceOf(PairingEvent.Finished::class.java, again.last(), again.last().toString())
            val thrown = assertThrows<IllegalStateException> {
                runBlocking { installer.pairing(request(device)).collect { error("the app has a fault") } }
            }
            assertEquals("the app has a fault", thrown.message)
            assertInstanceOf(PairingEvent.Finished::class.java, installer.pairing(request(device)).toList().last())
            installer.shutDown()
        }
        assertEquals(emptySet<SimulatedConnection>(), radio.open)
    }

    @Test
    fun `a cancelled wait cancels the job that it waits for`(@TempDir folder: Path) = test {
        val device = world.device()
        // Nobody in reach, so both search until they are told to stop.
        Phone(world, folder, SimulatedRadio({ emptyList() }), connectDeadline = Duration.ofSeconds(20)).signedIn().use { installer ->
            val label = Label.parse(device.label)
            installer.setNetwork(label, WifiCredentials("wifi", "geheim12"), "ble://${device.name}").use { job ->
                coroutineScope {
                    launch(start = CoroutineStart.UNDISPATCHED) { job.awaitOutcome() }.cancelAndJoin()
                }
                assertThrows<DeviceException.Cancelled> { runBlocking { job.outcome() } }
            }
            installer.pair(request(device)).use { pairing ->
                coroutineScope {
                    launch(start = CoroutineStart.UNDISPATCHED) { pairing.awaitOutcome() }.cancelAndJoin()
                }
                assertThrows<PairingException.Cancelled> { runBlocking { pairing.outcome() } }
            }
            installer.shutDown()
        }
    }

    /** Before the first, and once more in the middle, of every kind of call. */
    @ParameterizedTest
    @EnumSource(value = Call::class, names = ["MTU", "DISCOVER", "WRITE", "READ"])
    fun `a link that is lost at any point is opened again and the device is paired`(call: Call, @TempDir folder: Path) = test {
        val device = world.device()
        val at = if (call == Call.WRITE || call == Call.READ) setOf(1, 4, 9) else setOf(1)
        val radio = SimulatedRadio({ listOf(device) }) { seen, count, connection ->
            if (seen == call && count in at) {
                connection!!.lose()
                throw BleException.Disconnected(8)
            }
        }
        Phone(world, folder, radio).signedIn().use { installer ->
            val events = installer.pairing(request(device)).toList()
            assertInstanceOf(PairingEvent.Finished::class.java, events.last())
            assertEquals(1, world.hubs(device).size)
            installer.shutDown()
        }
        assertEquals(emptySet<SimulatedConnection>(), radio.open)
    }

    @Test
    fun `a link that is lost silently during a call is noticed by closed`(@TempDir folder: Path) = test {
        val device = world.device()
        val radio = SimulatedRadio({ listOf(device) }) { seen, count, connection ->
            if (seen == Call.READ && count == 5) {
                connection!!.lose()
                awaitCancellation()
            }
        }
        Phone(world, folder, radio).signedIn().use { installer ->
            val events = installer.pairing(request(device)).toList()
            assertTrue(events.any { it is PairingEvent.Reconnecting })
            assertInstanceOf(PairingEvent.Finished::class.java, events.last())
            installer.shutDown()
        }
    }

    @ParameterizedTest
    @EnumSource(Call::class)
    fun `an exception of the app is an error and no crash`(call: Call, @TempDir folder: Path) = test {
        val device = world.device()
        var bad = true
        val radio = SimulatedRadio({ listOf(device) }) { seen, _, _ ->
            check(!(bad && seen == call)) { "the app has a fault" }
        }
        Phone(world, folder, radio, connectDeadline = Duration.ofSeconds(10)).signedIn().use { installer ->
            val events = installer.pairing(request(device)).toList()
            if (call == Call.MTU) {
                // Lived without.
                assertInstanceOf(PairingEvent.Finished::class.java, events.last())
            } else {
                val failed = assertInstanceOf(PairingEvent.Failed::class.java, events.last())
                assertTrue(
                    failed.failure.code in setOf(ErrorCode.BLUETOOTH_UNAVAILABLE, ErrorCode.LINK_LOST, ErrorCode.DEVICE_SILENT),
                    failed.toString(),
                )
                bad = false
                val last = installer.pairing(request(device)).toList().last()
                assertInstanceOf(PairingEvent.Finished::class.java, last, last.toString())
            }
            installer.shutDown()
        }
        assertEquals(emptySet<SimulatedConnection>(), radio.open)
        assertEquals(0, radio.scanning.get())
    }

    @ParameterizedTest
    @EnumSource(value = Call::class, names = ["SCAN", "CONNECT", "DISCOVER", "READ"])
    fun `a call that never comes back costs its deadline and no more`(call: Call, @TempDir folder: Path) = test {
        val device = world.device()
        var bad = true
        // Not even cancellation gets it back.
        val radio = SimulatedRadio({ listOf(device) }) { seen, _, _ ->
            if (bad && seen == call) kotlinx.coroutines.withContext(kotlinx.coroutines.NonCancellable) { awaitForEver() }
        }
        val second = Duration.ofSeconds(1)
        val phone = Phone(world, folder, radio, exchangeDeadline = second, connectDeadline = Duration.ofSeconds(4))
        phone.signedIn().use { installer ->
            val failed = assertInstanceOf(PairingEvent.Failed::class.java, installer.pairing(request(device)).toList().last())
            assertTrue(failed.failure.code in setOf(ErrorCode.DEVICE_NOT_FOUND, ErrorCode.DEVICE_SILENT), failed.toString())
            bad = false
            installer.shutDown()
        }
    }

    private suspend fun awaitForEver() = CompletableDeferred<Unit>().await()

    @Test
    fun `what a phone says of permissions and its radio is said with a code and an action`(@TempDir folder: Path) = test {
        val device = world.device()
        var problem: BleException? = null
        val radio = SimulatedRadio({ listOf(device) }) { call, _, _ -> if (call == Call.SCAN) problem?.let { throw it } }
        Phone(world, folder, radio, connectDeadline = Duration.ofSeconds(4)).signedIn().use { installer ->
            val cases = listOf(
                BleException.PermissionMissing(listOf("android.permission.BLUETOOTH_SCAN")) to ErrorCode.LINK_PERMISSION_DENIED,
                BleException.AdapterOff() to ErrorCode.BLUETOOTH_UNAVAILABLE,
                BleException.NoAdapter() to ErrorCode.BLUETOOTH_UNAVAILABLE,
                BleException.LocationOff() to ErrorCode.BLUETOOTH_UNAVAILABLE,
                BleException.ScanThrottled() to ErrorCode.LINK_BUSY,
            )
            for ((thrown, code) in cases) {
                problem = thrown
                val pairing = installer.pair(request(device))
                val error = assertThrows<PairingException> { runBlocking { pairing.outcome() } }
                assertEquals(code, error.failure().code)
                assertEquals(thrown is BleException.PermissionMissing, error is PairingException.PermissionNeeded)
                pairing.close()
            }
            problem = null
            assertEquals(device.name, installer.nearby(Duration.ofMillis(300)).single().name)
            installer.shutDown()
        }
    }

    @Test
    fun `a phone without a network waits for it and says so`(@TempDir folder: Path) = test {
        val device = world.device()
        val network = SwitchedNetwork()
        val radio = SimulatedRadio({ listOf(device) }) { call, count, _ ->
            if (call == Call.CONNECT && count == 1) network.standing.value = NetworkStanding.OFFLINE
        }
        Phone(world, folder, radio, network = network).signedIn().use { installer ->
            val pairing = installer.pair(request(device))
            val seen = mutableListOf<PairingEvent>()
            pairing.events().collect {
                seen += it
                if (it is PairingEvent.Offline) network.standing.value = NetworkStanding.ONLINE
            }
            pairing.close()
            val kinds = seen.map { it::class.simpleName }
            // Whether the call was made before the phone said so is a matter of chance; the end is not.
            assertEquals("Finished", kinds.last(), kinds.toString())
            installer.shutDown()
        }
    }

    @Test
    fun `secrets are kept by the phone and are in no log`(@TempDir folder: Path) = test {
        val device = world.device()
        val lines = ConcurrentLinkedQueue<LogRecord>()
        val log = object : LogSink {
            override suspend fun write(records: List<LogRecord>) {
                lines += records
            }
        }
        val secrets = MemoryStore()
        Phone(world, folder, SimulatedRadio({ listOf(device) }), secrets, log = log).signedIn("Mira").use { installer ->
            assertInstanceOf(PairingEvent.Finished::class.java, installer.pairing(request(device)).toList().last())
            installer.shutDown()
        }
        val kept = secrets.kept.entries.single { it.key.startsWith("sign-in ") }
        val tokens = org.json.JSONObject(String(kept.value))
        val pop = org.json.JSONObject(device.label).getString("pop")
        val secretTexts = listOf(tokens.getString("access"), tokens.getString("refresh"), pop)
        assertTrue(lines.any { it.target.startsWith("lowtouch") }, "nothing was logged")
        for (secret in secretTexts) {
            assertFalse(lines.any { secret in it.message })
            for (file in folder.toFile().walk().filter { it.isFile }) {
                assertFalse(secret in file.readBytes().toString(Charsets.ISO_8859_1), "a secret is in $file")
            }
        }
    }

    @Test
    fun `a log and a secret store that fail stop nothing that can go on`(@TempDir folder: Path) = test {
        val device = world.device()
        val log = object : LogSink {
            override suspend fun write(records: List<LogRecord>) = error("the app has a fault")
        }
        var broken = false
        val secrets = object : SecretStore {
            val inner = MemoryStore()
            override suspend fun get(name: String): ByteArray? = if (broken) error("the app has a fault") else inner.get(name)
            override suspend fun set(name: String, `value`: ByteArray) = inner.set(name, value)
            override suspend fun delete(name: String) = inner.delete(name)
        }
        Phone(world, folder, SimulatedRadio({ listOf(device) }), secrets, log = log).signedIn().use { installer ->
            assertInstanceOf(PairingEvent.Finished::class.java, installer.pairing(request(device)).toList().last())
            installer.shutDown()
        }
        broken = true
        Phone(world, folder, SimulatedRadio({ listOf(device) }), secrets, log = log).installer().use { installer ->
            val error = assertThrows<AccountException.Failed> { runBlocking { installer.whoAmI() } }
            assertEquals(ErrorCode.KEYRING_FAILED, error.failure.code)
        }
    }

    @Test
    fun `an invite works once, and other texts are told from labels`(@TempDir folder: Path) = test {
        val text = world.invite("Otto")
        val error = assertThrows<LabelException.SomethingElse> { Label.parse(text) }
        assertEquals(Other.INVITE, error.other)
        Phone(world, folder, null).installer().use { installer ->
            val invite = Invite.parse(text)
            assertFalse("code" in invite.toString())
            val signedIn = installer.signInWithInvite(invite, null)
            assertEquals(Role.INSTALLER, signedIn.account.role)
            assertEquals(signedIn.account.name, installer.accounts().current)
            val used = assertThrows<SignInException.StartAgain> { runBlocking { installer.signInWithInvite(invite, null) } }
            assertEquals(ErrorCode.INVITE_REFUSED, used.failure.code)
            assertEquals(1, installer.orders().size)
            assertEquals(CheckStatus.OK, installer.doctor().checks.single { it.topic == CheckTopic.SIGN_IN }.status)
            assertEquals(null, installer.signOut(null).notRevoked)
            assertTrue(installer.accounts().all.single().signedOut)
            invite.close()
            installer.shutDown()
        }
    }
}

/** Of whichever kind it is. */
fun PairingException.failure(): Failure = when (this) {
    is PairingException.Cancelled -> failure
    is PairingException.SignInNeeded -> failure
    is PairingException.PermissionNeeded -> failure
    is PairingException.Failed -> failure
}
