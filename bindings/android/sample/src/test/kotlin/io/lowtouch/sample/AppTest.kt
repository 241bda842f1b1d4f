package io.lowtouch.sample

import io.lowtouch.BleException
import io.lowtouch.Call
import io.lowtouch.Device
import io.lowtouch.ErrorCode
import io.lowtouch.Installer
import io.lowtouch.InstallerSettings
import io.lowtouch.MemoryStore
import io.lowtouch.Phone
import io.lowtouch.SimulatedRadio
import io.lowtouch.Step
import io.lowtouch.SwitchedNetwork
import io.lowtouch.World
import io.lowtouch.sample.App.Page
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.atomic.AtomicBoolean
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.yield
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** The whole app below its screens: the real library, a real provisioning API, simulated devices. */
internal class AppTest {
    @get:Rule
    val folder = TemporaryFolder()

    private class Hand(val app: App, val installer: Installer, val world: World, val devices: MutableList<Device>) {
        fun device() = world.device().also(devices::add)

        fun scan(text: String) = app.scanned(Scanned.of(text))

        suspend inline fun <reified P : Page> page(crossinline which: (P) -> Boolean = { true }): P =
            app.page.first { it is P && which(it) } as P

        suspend fun end(): PairingScreen = page<Page.Pairing> { it.screen.end != null }.screen

        suspend fun signIn() {
            scan(world.invite("Ines"))
            page<Page.Confirm>()
            app.confirm()
            // An impatient finger: the invite is sent once, and the second answer would be a refusal.
            app.confirm()
            page<Page.Scan>()
            installer.whoAmI()
            assertTrue("${app.page.value}", app.page.value is Page.Scan)
        }
    }

    private fun test(
        before: suspend (Call, Int) -> Unit = { _, _ -> },
        isAllowed: () -> Boolean = { true },
        parting: Duration = Duration.ZERO,
        work: suspend Hand.() -> Unit,
    ) = runBlocking(Dispatchers.Default.limitedParallelism(1)) {
        World().use { world ->
            val devices = CopyOnWriteArrayList<Device>()
            val radio = SimulatedRadio({ devices }, parting) { call, count, _ -> before(call, count) }
            val life = Job()
            Phone(world, folder.newFolder().toPath(), radio).installer().use { installer ->
                // One thread, as a screen has.
                val app = App(CoroutineScope(coroutineContext + life), isAllowed) { installer }
                withTimeout(120_000) {
                    app.start()
                    Hand(app, installer, world, devices).work()
                }
                life.cancelAndJoin()
                installer.shutDown()
            }
            assertTrue("a connection is left", radio.open.isEmpty())
        }
    }

    @Test
    fun `a label before an invite asks to sign in, and an invite says whom to before anything is sent`() = test {
        assertNull(page<Page.SignIn>().failure)
        scan(device().label)
        assertNull(page<Page.SignIn>().failure)
        scan(world.invite("Ines"))
        assertTrue(world.api.contains(page<Page.Confirm>().server))
        app.confirm()
        page<Page.Scan>()
    }

    @Test
    fun `an invite that was used says so, and a web address is no label`() = test {
        val invite = world.invite("Ines")
        scan(invite)
        app.confirm()
        page<Page.Scan>()
        scan(invite)
        app.confirm()
        assertEquals(ErrorCode.INVITE_REFUSED, page<Page.SignIn> { it.failure != null }.failure?.code)
        scan("https://a.example/")
        assertEquals(ErrorCode.LABEL_NOT_A_LABEL, page<Page.Scan> { it.failure != null }.failure?.code)
    }

    @Test
    fun `a scanned label is paired, its steps are seen as they happen, and the next device can be scanned`() = test {
        signIn()
        val seen = CopyOnWriteArrayList<PairingScreen>()
        val others = CopyOnWriteArrayList<Page>()
        val watching = CoroutineScope(Dispatchers.Unconfined).launch { app.page.collect { if (it is Page.Pairing) seen += it.screen else others += it } }
        val device = device()
        scan(ble(device.label))
        // A second code before the camera, a button that is gone: neither disturbs it.
        scan("https://a.example/")
        assertNull(app.press(PairingScreen.Button.NEXT_DEVICE))
        assertTrue("${app.page.value}", app.page.value is Page.Pairing)
        val end = end()
        watching.cancelAndJoin()
        assertEquals(world.hubs(device), listOf((end.end as PairingScreen.End.Done).paired.hub))
        assertEquals("only the page before it", 1, others.size)
        assertTrue("${end.lines}", end.lines.all { it.state == PairingScreen.State.DONE })
        val running = seen.flatMap { it.lines }.filter { it.state == PairingScreen.State.RUNNING }.map { it.step }.distinct()
        assertTrue("$running", running.containsAll(listOf(Step.CONNECT, Step.SECURE, Step.HAND_OFF)))
        assertEquals(PairingScreen.Button.NEXT_DEVICE, end.button)
        assertNull(app.press(end.button))
        page<Page.Scan>()
        app.history()
        assertEquals(listOf(device.name), page<Page.History>().lines.map { it.device })
    }

    @Test
    fun `a history that cannot be read says so instead of being empty`() = test {
        signIn()
        installer.shutDown()
        app.history()
        assertNotNull(page<Page.History>().failure)
    }

    @Test
    fun `an installer that cannot be made says why, and is made by the next try`() = runBlocking(Dispatchers.Default.limitedParallelism(1)) {
        World().use { world ->
            var pem = "no certificate"
            val app = App(this, { true }) {
                Installer(InstallerSettings(folder.newFolder().path, extraCaPem = pem), MemoryStore(), SwitchedNetwork(), null, null)
            }
            app.start()
            assertEquals(ErrorCode.API_CA_INVALID, (app.page.value as Page.SignIn).failure?.code)
            pem = world.caPem
            app.start()
            assertNull((app.page.value as Page.SignIn).failure)
        }
    }

    @Test
    fun `a wrong code says so and asks for the label again, and the right one pairs`() = test {
        signIn()
        val device = device()
        scan(ble(device.label) { put("pop", "00000000") })
        val end = end()
        assertEquals("codes_errors_wrong_pop_title", end.title.key)
        assertEquals(PairingScreen.Button.SCAN_LABEL, end.button)
        assertEquals(PairingScreen.State.FAILED, end.lines.last().state)
        assertTrue("${end.details}", end.details!!.startsWith("wrong-pop"))
        assertNull(app.press(end.button))
        page<Page.Scan>()
        scan(ble(device.label))
        page<Page.Pairing> { it.screen.end is PairingScreen.End.Done }
    }

    @Test
    fun `a pairing that is cancelled lets the device go, and the same label finishes it`() {
        val writing = CompletableDeferred<Unit>()
        test({ call, count -> if (call == Call.WRITE && count == 4) writing.complete(Unit) }) {
            signIn()
            val device = device()
            scan(ble(device.label))
            writing.await()
            assertNull(app.press(PairingScreen.Button.CANCEL))
            page<Page.Scan>()
            scan(ble(device.label))
            val end = end()
            assertTrue("${end.title}", end.end is PairingScreen.End.Done)
            assertEquals(1, world.hubs(device).size)
        }
    }

    @Test
    fun `one that is cancelled before it began waits for the one before it, and so does the next`() {
        val writing = CompletableDeferred<Unit>()
        test({ call, count -> if (call == Call.WRITE && count == 4) writing.complete(Unit) }, parting = 500.milliseconds) {
            signIn()
            val device = device()
            scan(ble(device.label))
            writing.await()
            assertNull(app.press(PairingScreen.Button.CANCEL))
            scan(ble(device.label))
            // So that it waits for the first.
            yield()
            assertNull(app.press(PairingScreen.Button.CANCEL))
            scan(ble(device.label))
            val end = end()
            assertTrue("${end.title}", end.end is PairingScreen.End.Done)
        }
    }

    @Test
    fun `the first label waits for the answer to the question for Bluetooth, and is paired then`() {
        val isAllowed = AtomicBoolean()
        test(isAllowed = isAllowed::get) {
            signIn()
            val device = device()
            scan(ble(device.label))
            assertEquals(device.name, page<Page.Ask>().label.name())
            // The camera reads on, and the app is in front again after a look elsewhere.
            scan(ble(device.label))
            app.cameToFront()
            assertTrue("${app.page.value}", app.page.value is Page.Ask)
            isAllowed.set(true)
            app.answered()
            assertTrue(end().end is PairingScreen.End.Done)
        }
    }

    @Test
    fun `a no is said with the way to a yes, which pairs the same label`() {
        val isAllowed = AtomicBoolean()
        test({ call, _ -> if (call == Call.SCAN && !isAllowed.get()) throw BleException.PermissionMissing(listOf("BLUETOOTH_SCAN")) }, isAllowed::get) {
            signIn()
            suspend fun refused(label: String) {
                isAllowed.set(false)
                scan(label)
                app.answered()
                val end = end()
                assertEquals(ErrorCode.LINK_PERMISSION_DENIED, (end.end as PairingScreen.End.Failed).failure.code)
                assertEquals("the screen's affair", PairingScreen.Button.ALLOW, app.press(end.button))
                // Answered with no once more, and back from the settings without a change.
                app.answered()
                app.cameToFront()
                assertEquals(end, (app.page.value as Page.Pairing).screen)
            }
            val ways = listOf<() -> Unit>(
                { app.answered() },
                { app.cameToFront() },
                { assertNull(app.press(PairingScreen.Button.ALLOW)) },
            )
            for (yes in ways) {
                refused(ble(device().label))
                isAllowed.set(true)
                yes()
                val done = end()
                assertTrue("${done.title}", done.end is PairingScreen.End.Done)
                app.press(done.button)
            }
        }
    }

    @Test
    fun `a device that is not reached by Bluetooth needs no permission for it`() = test(isAllowed = { false }) {
        signIn()
        scan(JSONObject(device().label).put("transport", "softap").toString())
        assertTrue("${app.page.value}", app.page.value is Page.Pairing)
        app.press(PairingScreen.Button.CANCEL)
    }

    /** The same label, of a device that is reached by Bluetooth. */
    private fun ble(label: String, change: JSONObject.() -> Unit = {}) =
        JSONObject(label).put("transport", "ble").apply(change).toString()
}
