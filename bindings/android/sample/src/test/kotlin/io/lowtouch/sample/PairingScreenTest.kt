package io.lowtouch.sample

import io.lowtouch.Action
import io.lowtouch.Attestation
import io.lowtouch.ErrorCode
import io.lowtouch.Failure
import io.lowtouch.NetworkStep
import io.lowtouch.Paired
import io.lowtouch.PairingEvent
import io.lowtouch.PairingWarning
import io.lowtouch.RetryReason
import io.lowtouch.Step
import io.lowtouch.WaitingFor
import java.io.File
import java.time.Duration
import java.util.UUID
import javax.xml.parsers.DocumentBuilderFactory
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

/** Robolectric only for org.json, which Android has. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
internal class PairingScreenTest {
    private val bindings = File(System.getProperty("bindings.folder"))

    @Test
    fun `the page shows what bindings-scenarios-pages says`() {
        val pages = JSONObject(bindings.resolve("scenarios/pages.json").readText()).getJSONArray("pages").objects()
        assertTrue(pages.isNotEmpty())
        for (page in pages) {
            val name = page.getString("name")
            val screen = page.getJSONArray("events").objects().map(::event).fold(PairingScreen("PROV_1"), PairingScreen::after)
            assertEquals(name, page.getString("title"), screen.title.key)
            assertEquals(name, page.optString("text"), screen.text?.key.orEmpty())
            assertEquals(name, page.getString("button"), camel(screen.button.name))
            val lines = page.getJSONArray("lines")
            assertEquals(name, lines.length(), screen.lines.size)
            for ((index, line) in screen.lines.withIndex()) {
                val expected = lines.getJSONArray(index)
                assertEquals(name, expected.getString(0), line.step.name.lowercase().replace('_', '-'))
                assertEquals(name, expected.getString(1), line.state.name.lowercase())
                assertEquals(name, if (expected.isNull(2)) null else expected.getString(2), line.detail?.key)
            }
        }
    }

    @Test
    fun `every word that the page can say is there in every language`() {
        val words = Step.entries.filter { it != Step.UNKNOWN }.map { Words.of(it) } +
            WaitingFor.entries.filter { it != WaitingFor.UNKNOWN }.map { Words.of(it) } +
            NetworkStep.entries.filter { it != NetworkStep.UNKNOWN }.map { Words.of(it) } +
            RetryReason.entries.filter { it != RetryReason.UNKNOWN }.map { Words.of(it) } +
            Action.entries.map { Words.of(it) } +
            io.lowtouch.errorCodes().map { failure(it.key, it.action) }.flatMap { listOf(Words.title(it), Words.text(it)) } +
            listOfNotNull(
                Words.of(PairingWarning.SecurityDowngraded(2u, 1u)), Words.of(PairingWarning.CodesGuessed(3u)),
                Words.of(PairingWarning.IdScopeOverridden("a", "b")), Words.of(PairingWarning.OwnerNotChecked),
            )
        for (language in listOf("", "-de", "-es", "-zh")) {
            val said = strings(language)
            for (one in words) assertTrue("${one.key} is not in values$language", one.key in said)
        }
    }

    @Test
    fun `the details for support hold code and step`() {
        val screen = PairingScreen("x").after(PairingEvent.Failed(failure("wrong-pop", Action.CHECK_POP).copy(step = Step.SECURE)))
        assertEquals("wrong-pop\nSECURE", screen.details)
        assertFalse(PairingScreen("x").details != null)
    }

    private fun strings(language: String): Set<String> {
        val file = bindings.resolve("android/lowtouch/src/main/res/values$language/lowtouch_strings.xml")
        val resources = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(file).documentElement.childNodes
        return (0 until resources.length).mapNotNull { resources.item(it).attributes?.getNamedItem("name")?.nodeValue }.toSet()
    }

    private fun event(event: JSONObject): PairingEvent {
        val kind = event.keys().next()
        val values = event.optJSONArray(kind) ?: JSONArray().put(event.getString(kind))
        val first = values.getString(0)
        return when (kind) {
            "stepStarted" -> PairingEvent.StepStarted(step(first), WaitingFor.valueOf(values.getString(1).uppercase()), Duration.ofSeconds(30))
            "stepDone" -> PairingEvent.StepDone(step(first), Duration.ofSeconds(1), 1u)
            "offline" -> PairingEvent.Offline(step(first), Duration.ofMinutes(15))
            "finished" -> PairingEvent.Finished(paired(first))
            "failed" -> PairingEvent.Failed(failure(first, Action.valueOf(upper(values.getString(1)))))
            else -> error("unknown event $kind")
        }
    }

    private fun step(name: String) = Step.valueOf(name.uppercase().replace('-', '_'))

    private fun upper(camel: String) = camel.replace(Regex("[A-Z]")) { "_${it.value}" }.uppercase()

    private fun camel(upper: String) = upper.lowercase().replace(Regex("_([a-z])")) { it.groupValues[1].uppercase() }

    private fun failure(code: String, action: Action) =
        Failure(ErrorCode.valueOf(code.uppercase().replace('-', '_')), action, code, "", null, null, null, null, null)

    private fun paired(hub: String) =
        Paired(UUID(0, 1), "r", "ble://x", Attestation.X509, "i", "0ne", hub, "d", null, 1u, 1u, 1u, 1u, Duration.ofSeconds(3))

    private fun JSONArray.objects(): List<JSONObject> = (0 until length()).map { getJSONObject(it) }
}
