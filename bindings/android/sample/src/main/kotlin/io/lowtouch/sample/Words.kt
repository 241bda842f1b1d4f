package io.lowtouch.sample

import io.lowtouch.Action
import io.lowtouch.ErrorCode
import io.lowtouch.Failure
import io.lowtouch.NetworkStep
import io.lowtouch.PairingWarning
import io.lowtouch.RetryReason
import io.lowtouch.Step
import io.lowtouch.WaitingFor

/**
 * Words by the key of `lowtouch_strings.xml`, with the values that go into them. What is shown is decided here, in which language
 * only on the screen.
 */
data class Words(val key: String, val values: List<Any>, val count: Int?) {
    constructor(key: String, vararg values: String) : this(key, values.toList(), null)

    companion object {
        /** Words that change with a number, which is their first value. */
        fun counted(key: String, count: UInt) = count.toInt().let { Words(key, listOf(it), it) }

        // Null: one that this app has no words for.

        fun of(step: Step) = known("codes_steps", step.name)

        fun of(waitingFor: WaitingFor) = known("codes_waitingFor", waitingFor.name)

        fun of(network: NetworkStep) = known("codes_networkStates", network.name)

        fun of(reason: RetryReason) = known("codes_retryReasons", reason.name)

        fun title(failure: Failure) = of(failure, "title")

        fun text(failure: Failure) = of(failure, "text")

        private fun of(failure: Failure, which: String) =
            Words(if (failure.code == ErrorCode.UNKNOWN) "codes_unknownCode_$which" else "codes_errors_${key(failure.hintKey)}_$which")

        fun of(action: Action) = Words("codes_actions_${key(if (action == Action.UNKNOWN) Action.NOTHING.name else action.name)}")

        fun of(warning: PairingWarning): Words? = when (warning) {
            PairingWarning.SessionUnprotected -> Words("codes_warnings_session_unprotected")
            PairingWarning.SessionWithoutIntegrity -> Words("codes_warnings_session_without_integrity")
            PairingWarning.SessionNonceReuse -> Words("codes_warnings_session_nonce_reuse")
            is PairingWarning.SecurityDowngraded ->
                Words("codes_warnings_security_downgraded", warning.device.toString(), warning.label.toString())
            PairingWarning.OwnerNotChecked -> Words("codes_warnings_owner_not_checked")
            PairingWarning.AlreadyOwned -> Words("codes_warnings_already_owned")
            is PairingWarning.CodesGuessed -> counted("codes_warnings_codes_guessed", warning.count)
            is PairingWarning.OutcomeNotRecorded -> Words("codes_warnings_outcome_not_recorded")
            PairingWarning.ConfirmedByApi -> Words("codes_warnings_confirmed_by_api")
            is PairingWarning.IdScopeOverridden -> Words("codes_warnings_id_scope_overridden", warning.sent, warning.given)
            is PairingWarning.EndpointOverridden -> Words("codes_warnings_endpoint_overridden", warning.sent, warning.given)
            PairingWarning.WifiNotCleared -> Words("codes_warnings_wifi_not_cleared")
            PairingWarning.Unknown -> null
        }

        private fun known(group: String, name: String) = if (name == "UNKNOWN") null else Words("${group}_${key(name)}")

        /** `HAND_OFF` and `wrong-pop` as they end a key. */
        private fun key(name: String) = name.lowercase().replace('-', '_')
    }
}
