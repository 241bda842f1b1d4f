package io.lowtouch.sample

import io.lowtouch.Action
import io.lowtouch.ErrorCode
import io.lowtouch.Failure
import io.lowtouch.NetworkStep
import io.lowtouch.PairingEvent
import io.lowtouch.PairingWarning
import io.lowtouch.RetryReason
import io.lowtouch.Step
import io.lowtouch.WaitingFor
import io.lowtouch.errorCodes
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Test

internal class WordsTest {
    @Test
    fun `every word that a page can say is there in every language, also for what this app does not know`() {
        val said = buildList {
            addAll(Step.entries.mapNotNull(Words::of))
            addAll(WaitingFor.entries.mapNotNull(Words::of))
            addAll(NetworkStep.entries.mapNotNull(Words::of))
            addAll(RetryReason.entries.mapNotNull(Words::of))
            Action.entries.forEach { add(Words.of(it)) }
            val codes = errorCodes().map { it.code to it.key } + (ErrorCode.UNKNOWN to "of-a-later-core")
            codes.forEach { (code, key) ->
                val failure = Failure(code, Action.NOTHING, key, "", null, null, null, null, null)
                val ended = PairingScreen("PROV_1").after(PairingEvent.Failed(failure))
                addAll(listOfNotNull(ended.title, ended.text, ended.buttonWords))
            }
            addAll(WARNINGS.mapNotNull(Words::of))
            addAll(listOf("assigned", "failed", "open", "title", "empty").map { Words("phone_history_$it") })
            addAll(listOf("pairing_copied", "scan_labelText", "signIn_title", "signIn_text", "signIn_to", "signIn_confirm").map { Words("phone_$it") })
            addAll(listOf("bluetooth_why", "bluetooth_allow", "bluetooth_location", "bluetooth_settings", "camera_why", "scan_noCamera").map { Words("phone_$it") })
            add(Words.counted("phone_pairing_heard", 2u))
            add(Words.counted("phone_pairing_runs", 1u))
        }
        for (language in listOf("values", "values-de", "values-es", "values-zh")) {
            val file = File(System.getProperty("bindings.folder"), "android/lowtouch/src/main/res/$language/lowtouch_strings.xml")
            val there = Regex("<(string|plurals) name=\"([^\"]+)\"").findAll(file.readText()).map { it.groupValues[2] to (it.groupValues[1] == "plurals") }.toMap()
            assertEquals(language, emptyList<Words>(), said.filter { there[it.key] != (it.count != null) }.distinct())
        }
    }

    private companion object {
        val WARNINGS = listOf(
            PairingWarning.SessionUnprotected, PairingWarning.SessionWithoutIntegrity, PairingWarning.SessionNonceReuse,
            PairingWarning.SecurityDowngraded(2u, 1u), PairingWarning.OwnerNotChecked, PairingWarning.AlreadyOwned,
            PairingWarning.CodesGuessed(3u), PairingWarning.OutcomeNotRecorded(ErrorCode.API_UNREACHABLE), PairingWarning.ConfirmedByApi,
            PairingWarning.IdScopeOverridden("a", "b"), PairingWarning.EndpointOverridden("a", "b"), PairingWarning.WifiNotCleared,
            PairingWarning.Unknown,
        )
    }
}
