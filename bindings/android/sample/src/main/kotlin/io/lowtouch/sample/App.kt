package io.lowtouch.sample

import io.lowtouch.AccountException
import io.lowtouch.EntryState
import io.lowtouch.Failure
import io.lowtouch.Installer
import io.lowtouch.Invite
import io.lowtouch.JournalException
import io.lowtouch.Label
import io.lowtouch.PairingException
import io.lowtouch.PairingRequest
import io.lowtouch.SignInException
import io.lowtouch.pairing
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.launch

/** What the app shows, and what a press does. Knows no Android; the activity draws [page] and calls back. */
class App(private val installer: Installer, private val scope: CoroutineScope) {
    sealed interface Page {
        /** Nobody is signed in: scan an invite. */
        data class SignIn(val failure: Failure? = null) : Page

        /** An invite was read: the person confirms whom they sign in to. */
        class Confirm(val invite: Invite) : Page {
            val server: String get() = invite.server().host
        }

        /** Scan a label. */
        data class Scan(val failure: Failure? = null) : Page
        data class Pairing(val screen: PairingScreen) : Page
        data class History(val lines: List<Line>) : Page
    }

    data class Line(val device: String, val state: Words, val hub: String?)

    private val shown = MutableStateFlow<Page>(Page.Scan())
    val page: StateFlow<Page> get() = shown
    private var running: Job? = null
    private var label: Label? = null

    fun start() {
        shown.value = if (signedIn()) Page.Scan() else Page.SignIn()
    }

    private fun signedIn() = try {
        installer.accounts().current != null
    } catch (_: AccountException) {
        false
    }

    fun scanned(code: Scanned) {
        when (code) {
            is Scanned.AnInvite -> shown.value = Page.Confirm(code.invite)
            is Scanned.ALabel -> if (signedIn()) pair(code.label) else shown.value = Page.SignIn()
            is Scanned.Other -> shown.value = if (signedIn()) Page.Scan(code.failure) else Page.SignIn(code.failure)
            Scanned.Nothing -> {}
        }
    }

    fun confirm(invite: Invite) {
        scope.launch {
            shown.value = try {
                installer.signInWithInvite(invite, null)
                Page.Scan()
            } catch (refused: SignInException) {
                Page.SignIn(refused.failure())
            }
        }
    }

    private fun pair(label: Label) {
        this.label = label
        var screen = PairingScreen(label.name())
        shown.value = Page.Pairing(screen)
        running = scope.launch {
            try {
                // Ends with the scope: cancelled, and finished by the next run.
                installer.pairing(PairingRequest(label)).collect { event ->
                    screen = screen.after(event)
                    shown.value = Page.Pairing(screen)
                }
            } catch (refused: PairingException) {
                shown.value = Page.Pairing(screen.copy(end = PairingScreen.End.Failed(refused.failure())))
            }
        }
    }

    /** @return what only the screen can do: settings, copying. */
    fun press(button: PairingScreen.Button): PairingScreen.Button? {
        when (button) {
            PairingScreen.Button.CANCEL -> running?.cancel().also { shown.value = Page.Scan() }
            PairingScreen.Button.NEXT_DEVICE, PairingScreen.Button.SCAN_LABEL -> shown.value = Page.Scan()
            PairingScreen.Button.TRY_AGAIN -> label?.let(::pair)
            PairingScreen.Button.SIGN_IN -> shown.value = Page.SignIn()
            PairingScreen.Button.ALLOW, PairingScreen.Button.COPY_DETAILS -> return button
        }
        return null
    }

    fun history() {
        scope.launch {
            val entries = try {
                installer.journal(HISTORY)
            } catch (_: JournalException) {
                emptyList()
            }
            shown.value = Page.History(
                entries.map { entry ->
                    val state = when (entry.state) {
                        EntryState.ASSIGNED -> "assigned"
                        EntryState.FAILED -> "failed"
                        EntryState.OPEN, EntryState.UNKNOWN -> "open"
                    }
                    Line(entry.name, Words("phone_history_$state"), entry.deviceSaid?.hub ?: entry.dpsSaid?.hub)
                },
            )
        }
    }

    private companion object {
        val HISTORY = 200u
    }
}

internal fun SignInException.failure(): Failure = when (this) {
    is SignInException.Cancelled -> failure
    is SignInException.StartAgain -> failure
    is SignInException.CaptivePortal -> failure
    is SignInException.Failed -> failure
}

internal fun PairingException.failure(): Failure = when (this) {
    is PairingException.Cancelled -> failure
    is PairingException.SignInNeeded -> failure
    is PairingException.PermissionNeeded -> failure
    is PairingException.Failed -> failure
}
