package io.lowtouch.sample

import io.lowtouch.Action
import io.lowtouch.ErrorCode
import io.lowtouch.Failure
import io.lowtouch.Paired
import io.lowtouch.PairingEvent
import io.lowtouch.Step

/**
 * What the pairing page shows: a value, and [after] an event the next one. It knows neither Android nor a thread; iOS has the same in
 * `PairingScreen.swift`.
 */
data class PairingScreen(
    val device: String,
    val lines: List<Line> = emptyList(),
    val warnings: List<Words> = emptyList(),
    val end: End? = null,
) {
    /** A step that has begun. Those to come are not shown: which of them there will be is the device's affair. */
    data class Line(val step: Step, val state: State, val words: Words, val detail: Words? = null)

    enum class State { RUNNING, DONE, FAILED }

    sealed interface End {
        data class Done(val paired: Paired) : End
        data class Failed(val failure: Failure) : End
    }

    /** The one big button: always the right next thing. */
    enum class Button { CANCEL, NEXT_DEVICE, TRY_AGAIN, SIGN_IN, ALLOW, SCAN_LABEL, COPY_DETAILS }

    val title: Words
        get() = when (end) {
            null -> Words("phone_pairing_title", device)
            is End.Done -> Words("phone_pairing_done", end.paired.hub)
            is End.Failed -> if (wasCancelled(end)) Words("phone_pairing_cancelled") else Words.title(end.failure)
        }

    val text: Words?
        get() = when (end) {
            null -> null
            is End.Done -> Words("phone_pairing_doneText", device)
            is End.Failed -> Words.text(end.failure).takeUnless { wasCancelled(end) }
        }

    val button: Button
        get() = when (end) {
            null -> Button.CANCEL
            is End.Done -> Button.NEXT_DEVICE
            is End.Failed -> if (wasCancelled(end)) Button.SCAN_LABEL else button(end.failure)
        }

    val buttonWords: Words
        get() = when (button) {
            Button.CANCEL -> Words("phone_pairing_cancel")
            Button.NEXT_DEVICE -> Words("phone_pairing_next")
            Button.TRY_AGAIN -> Words.of(Action.RETRY)
            Button.SIGN_IN -> Words.of(Action.SIGN_IN_AGAIN)
            Button.ALLOW -> Words("phone_bluetooth_allow")
            Button.SCAN_LABEL -> Words("phone_scan_label")
            Button.COPY_DETAILS -> Words.of(Action.ASK_ADMINISTRATOR)
        }

    /** What support asks for: no secrets. Null while nothing failed. */
    val details: String?
        get() = (end as? End.Failed)?.failure?.run {
            listOfNotNull(hintKey, step?.name, detail, requestId?.toString()).joinToString("\n")
        }

    fun after(event: PairingEvent): PairingScreen = when (event) {
        is PairingEvent.Started -> copy(device = event.name)
        is PairingEvent.StepStarted -> Words.of(event.step)?.let { words ->
            copy(lines = lines.filterNot { it.step == event.step } + Line(event.step, State.RUNNING, words, Words.of(event.waitingFor)))
        } ?: this
        is PairingEvent.StepDone -> changed(event.step) { it.copy(state = State.DONE, detail = null) }
        is PairingEvent.Searching -> changed(Step.DISCOVER) { line ->
            line.copy(detail = Words.counted("phone_pairing_heard", event.heard))
        }
        is PairingEvent.Retrying -> changed(event.step) { it.copy(detail = Words.of(event.reason)) }
        is PairingEvent.Offline -> changed(event.step) { it.copy(detail = Words("phone_pairing_offline")) }
        is PairingEvent.Online -> changed(event.step) { it.copy(detail = null) }
        is PairingEvent.Network -> changed(Step.NETWORK) { it.copy(detail = Words.of(event.state)) }
        is PairingEvent.Warning -> copy(warnings = warnings + listOfNotNull(Words.of(event.warning)))
        is PairingEvent.Finished -> copy(end = End.Done(event.paired))
        is PairingEvent.Failed -> copy(end = End.Failed(event.failure), lines = lines.map(::stopped))
        else -> this
    }

    private fun changed(step: Step, change: (Line) -> Line) = copy(lines = lines.map { if (it.step == step) change(it) else it })

    private fun stopped(line: Line) = if (line.state == State.RUNNING) line.copy(state = State.FAILED, detail = null) else line

    private fun wasCancelled(end: End.Failed) = end.failure.code == ErrorCode.CANCELLED

    private fun button(failure: Failure) = when (failure.action) {
        Action.SIGN_IN_AGAIN -> Button.SIGN_IN
        // Anything else (a locked keystore, a full disk) the person sees to elsewhere, as the text says.
        Action.GRANT_PERMISSION -> if (failure.code == ErrorCode.LINK_PERMISSION_DENIED) Button.ALLOW else Button.TRY_AGAIN
        Action.CHECK_POP, Action.CHECK_LABEL, Action.CHECK_LINK -> Button.SCAN_LABEL
        Action.UPDATE_APP, Action.UPDATE_FIRMWARE, Action.ASK_ADMINISTRATOR, Action.CONTACT_SUPPORT -> Button.COPY_DETAILS
        Action.NOTHING -> Button.NEXT_DEVICE
        else -> Button.TRY_AGAIN
    }
}
