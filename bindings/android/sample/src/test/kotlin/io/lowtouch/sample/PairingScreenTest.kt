package io.lowtouch.sample

import io.lowtouch.Action
import io.lowtouch.Attestation
import io.lowtouch.ErrorCode
import io.lowtouch.Failure
import io.lowtouch.Paired
import io.lowtouch.PairingEvent
import io.lowtouch.Step
import io.lowtouch.WaitingFor
import io.lowtouch.errorCodes
import java.io.File
import java.time.Duration
import java.util.UUID
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized
import org.junit.runners.Parameterized.Parameters

/** Every page of `bindings/scenarios/pages.json`, which the Swift sample's test reads too. */
@RunWith(Parameterized::class)
internal class PairingScreenTest(@Suppress("unused") private val name: String, private val page: JSONObject) {
    @Test
    fun page() {
        val screen = page.getJSONArray("events").objects().map(::event).fold(PairingScreen("PROV_1"), PairingScreen::after)
        assertEquals(page.getString("title"), screen.title.key)
        assertEquals(page.text("text"), screen.text?.key)
        assertEquals(page.getString("button"), screen.button.name.camelCase())
        val lines = screen.lines.map { listOf(it.step.name.kebab(), it.state.name.lowercase(), it.detail?.key) }
        assertEquals(page.getJSONArray("lines").arrays().map { line -> List(3) { line.text(it) } }, lines)
    }

    private fun event(event: JSONObject): PairingEvent {
        val kind = event.keys().next()
        fun one() = event.getString(kind)
        fun two() = event.getJSONArray(kind).let { it.getString(0) to it.getString(1) }
        return when (kind) {
            "stepStarted" -> two().let { (step, waitingFor) ->
                PairingEvent.StepStarted(step(step), WaitingFor.valueOf(waitingFor.uppercase()), Duration.ofSeconds(30))
            }
            "stepDone" -> PairingEvent.StepDone(step(one()), Duration.ofSeconds(1), 1u)
            "offline" -> PairingEvent.Offline(step(one()), Duration.ofMinutes(15))
            "finished" -> PairingEvent.Finished(paired(one()))
            "failed" -> two().let { (code, action) -> PairingEvent.Failed(failure(code, action)) }
            else -> error("unknown event $kind")
        }
    }

    private fun step(name: String) = Step.entries.single { it.name.kebab() == name }

    private fun failure(key: String, action: String) = Failure(
        code = errorCodes().find { it.key == key }?.code ?: ErrorCode.UNKNOWN,
        action = Action.entries.single { it.name.camelCase() == action },
        hintKey = key, hint = "", step = null, detail = null, retryAfter = null, requestId = null, missingRole = null,
    )

    private fun paired(hub: String) = Paired(
        handoffId = UUID.randomUUID(), registrationId = "r", link = "ble://x", attestation = Attestation.X509, dpsInstance = "i",
        idScope = "0ne", hub = hub, deviceId = "d", substatus = null, roundTripsToCommit = 1uL, roundTrips = 1uL, bytesSent = 1uL,
        bytesReceived = 1uL, took = Duration.ofSeconds(3),
    )

    companion object {
        @JvmStatic
        @Parameters(name = "{0}")
        fun pages(): List<Array<Any>> {
            val file = File(System.getProperty("bindings.folder"), "scenarios/pages.json")
            return JSONObject(file.readText()).getJSONArray("pages").objects().map { arrayOf(it.getString("name"), it) }
        }

        private fun JSONArray.objects() = List(length(), ::getJSONObject)

        private fun JSONArray.arrays() = List(length(), ::getJSONArray)

        private fun JSONArray.text(at: Int): String? = if (isNull(at)) null else getString(at)

        private fun JSONObject.text(key: String): String? = if (has(key)) getString(key) else null

        private fun String.kebab() = lowercase().replace('_', '-')

        /** `NEXT_DEVICE` as `nextDevice`. */
        private fun String.camelCase() = lowercase().replace(Regex("_(.)")) { it.groupValues[1].uppercase() }
    }
}
