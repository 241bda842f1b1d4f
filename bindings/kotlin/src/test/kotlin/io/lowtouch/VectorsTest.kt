package io.lowtouch

import java.io.File
import org.json.JSONArray
import org.json.JSONObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Test

/** What every language must answer: bindings/vectors. */
class VectorsTest {
    private fun vectors(name: String) =
        JSONArray(File(System.getProperty("lowtouch.vectors"), name).readText()).map { it as JSONObject }

    private fun kebab(value: Enum<*>) = value.name.lowercase().replace('_', '-')

    private fun JSONObject.text(key: String): String? = if (isNull(key)) null else getString(key)

    @Test
    fun `labels are read as in every language`() {
        for (vector in vectors("labels.json")) {
            val text = vector.getString("text")
            try {
                Label.parse(text).use { label ->
                    assertEquals(vector.text("name"), label.name(), text)
                    assertEquals(vector.text("link"), label.link(), text)
                    assertEquals(vector.text("security"), kebab(label.security()), text)
                    val transport = when (val seen = label.transport()) {
                        null -> null
                        is LabelTransport.Ble -> "ble"
                        is LabelTransport.Softap -> "softap"
                        is LabelTransport.Serial -> "serial"
                        is LabelTransport.Other -> seen.word
                    }
                    assertEquals(vector.text("transport"), transport, text)
                }
            } catch (error: LabelException.SomethingElse) {
                assertEquals(vector.text("key"), error.failure.hintKey, text)
                assertEquals(vector.text("other"), kebab(error.other), text)
            } catch (error: LabelException.Unusable) {
                assertEquals(vector.text("key"), error.failure.hintKey, text)
                assertEquals(vector.text("other"), null, text)
            }
        }
    }

    @Test
    fun `the codes are those of every language`() {
        val kept = vectors("error-codes.json").map { it.getString("key") to it.getString("action") }
        assertEquals(kept, errorCodes().map { it.key to kebab(it.action) })
        assertFalse(errorCodes().any { it.code == ErrorCode.UNKNOWN })
    }

    @Test
    fun `what holds a secret does not print it`() {
        val label = Label.parse("""{"ver":"v1","name":"PROV_1","pop":"marked-secret","transport":"ble"}""")
        val wifi = WifiCredentials("site", "marked-secret")
        val invite = Invite.parse("lowtouch:invite#server=https://a.example&code=marked-secret")
        for (printed in listOf(label, wifi, invite, PairingRequest(label, wifi = wifi))) {
            assertFalse("marked-secret" in printed.toString())
        }
        assertEquals("https://a.example/", invite.server().toString())
    }
}
