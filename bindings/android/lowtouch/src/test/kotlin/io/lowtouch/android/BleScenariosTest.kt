package io.lowtouch.android

import android.app.Application
import android.os.Build
import io.lowtouch.BleCharacteristicId
import io.lowtouch.BleConnection
import io.lowtouch.BleException
import io.lowtouch.BleScanFilter
import java.io.File
import java.util.UUID
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.test.runTest
import kotlinx.coroutines.withContext
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Assert.fail
import org.junit.Assume.assumeTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.ParameterizedRobolectricTestRunner
import org.robolectric.ParameterizedRobolectricTestRunner.Parameters
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

/** Every scenario of `bindings/scenarios/ble.json`, on the oldest Android that is supported and on the newest that is compiled against. */
@RunWith(ParameterizedRobolectricTestRunner::class)
@Config(sdk = [26, 35], shadows = [ScriptedGatt::class])
internal class BleScenariosTest(private val name: String) {
    private val list = JSONObject(LIST.readText())
    private val scenario = list.getJSONArray("scenarios").objects().single { it.getString("name") == name }

    @Test
    fun scenario() {
        val except = scenario.optJSONObject("except") ?: JSONObject()
        assumeTrue(except.optString("android"), !except.has("android"))
        val here = "android-${Build.VERSION.SDK_INT}"
        assumeTrue(except.optString(here), !except.has(here))
        runTest {
            val context = RuntimeEnvironment.getApplication() as Application
            val phone = ScriptedPhone(context, list, scenario, backgroundScope)
            val run = Run(AndroidBle(context), phone)
            for (step in scenario.getJSONArray("steps").objects()) {
                run.step(step)
                phone.idle()
            }
            val after = scenario.getJSONObject("after")
            assertEquals("connections made", after.getInt("connections"), phone.connections)
            assertEquals("connections left open", after.getInt("open"), phone.open)
            assertEquals("listens on", after.getBoolean("listening"), phone.listening)
            assertTrue("more than one operation at once", phone.mostAtOnce <= 1)
        }
    }

    private inner class Run(private val ble: AndroidBle, private val phone: ScriptedPhone) {
        private var connection: BleConnection? = null

        suspend fun step(step: JSONObject) {
            val cancelAfter = step.optInt("cancel-after")
            if (cancelAfter > 0) {
                coroutineScope {
                    val call = launch {
                        call(step)
                        fail("$step ended by itself")
                    }
                    delay(cancelAfter * 1000L)
                    call.cancel()
                    call.join()
                }
                return
            }
            val expected = step.optString("error")
            try {
                call(step)
            } catch (failure: BleException) {
                assertEquals("$step", expected, failure.javaClass.simpleName)
                check(step, failure)
                return
            }
            assertEquals("$step went well", "", expected)
        }

        private fun check(step: JSONObject, failure: BleException) {
            if (failure is BleException.Disconnected && step.has("status")) assertEquals(step.getInt("status"), failure.status)
            if (failure is BleException.Att) assertEquals(step.getInt("code"), failure.code.toInt())
            if (failure is BleException.PermissionMissing) assertTrue(BlePermissions.needed().containsAll(failure.permissions))
        }

        private suspend fun call(step: JSONObject) {
            when (step.getString("do")) {
                "scan" -> scan(step)
                "connect" -> connection = ble.connect(phone.address)
                "mtu" -> {
                    val agreed = link().requestMtu(step.getInt("ask").toUShort()).toInt()
                    if (step.has("expect")) assertEquals("$step", step.getInt("expect"), agreed)
                }
                "discover" -> discover(step)
                "write" -> link().write(id(step.getString("to")), bytes(step.getString("value")))
                "read" -> {
                    val value = link().read(id(step.getString("from")))
                    if (step.has("expect")) assertArrayEquals("$step", bytes(step.getString("expect")), value)
                }
                "disconnected" -> throw BleException.Disconnected(link().disconnected())
                "disconnect" -> link().disconnect()
                "both" -> coroutineScope { step.getJSONArray("calls").objects().map { async { call(it) } }.awaitAll() }
                else -> fail("unknown step $step")
            }
        }

        private suspend fun scan(step: JSONObject) {
            val scan = ble.scan(BleScanFilter(listOf(phone.service), step.getString("for")))
            phone.listens()
            try {
                var heard = scan.next()
                while (heard.name != step.getString("for")) heard = scan.next()
                assertEquals(step.getJSONObject("expect").getInt("rssi"), heard.rssi?.toInt())
                assertEquals(listOf(phone.service), heard.services)
                assertEquals(phone.address, heard.address)
            } finally {
                withContext(NonCancellable) { scan.stop() }
            }
        }

        private suspend fun discover(step: JSONObject) {
            val services = link().discover(step.getBoolean("descriptions"))
            val found = services.single { it.uuid == phone.service }.characteristics.associateBy { it.id.uuid }
            val expected = step.optJSONObject("expect") ?: return
            for (name in expected.keys()) {
                val characteristic = found.getValue(uuid(name))
                val text = if (expected.isNull(name)) null else expected.getString(name)
                assertEquals(name, text, characteristic.description?.decodeToString())
                assertEquals(name, layout(name).getBoolean("writable"), characteristic.writable)
                assertEquals(name, layout(name).getBoolean("readable"), characteristic.readable)
            }
        }

        private fun link() = checkNotNull(connection) { "no connection" }

        private fun id(name: String) = BleCharacteristicId(phone.service, uuid(name), 0u)
    }

    private fun layout(name: String) = list.getJSONObject("layout").getJSONObject("characteristics").getJSONObject(name)

    private fun uuid(name: String) = if (name == "nowhere") UUID(0, 0) else UUID.fromString(layout(name).getString("uuid"))

    private fun bytes(hex: String) = hex.chunked(2).map { it.toInt(16).toByte() }.toByteArray()

    companion object {
        private val LIST = File(System.getProperty("bindings.folder"), "scenarios/ble.json")

        /** Names alone: the objects themselves belong to another class loader than the tests. */
        @JvmStatic
        @Parameters(name = "{0}")
        fun names(): List<Array<Any>> =
            Regex("\\n   \"name\": \"([^\"]+)\"").findAll(LIST.readText()).map { arrayOf<Any>(it.groupValues[1]) }.toList()
    }
}
