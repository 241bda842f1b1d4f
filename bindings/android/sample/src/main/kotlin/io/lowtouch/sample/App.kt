package io.lowtouch.sample

import io.lowtouch.AccountException
import io.lowtouch.EntryState
import io.lowtouch.Failure
import io.lowtouch.Installer
import io.lowtouch.Invite
import io.lowtouch.JournalEntry
import io.lowtouch.JournalException
import io.lowtouch.Label
import io.lowtouch.LabelTransport
import io.lowtouch.PairingEvent
import io.lowtouch.PairingException
import io.lowtouch.PairingRequest
import io.lowtouch.SettingsException
import io.lowtouch.SignInException
import io.lowtouch.pairing
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/**
 * What the app shows, and what a press does. Knows no Android; the activity draws [page] and calls back, on one thread. iOS has the same
 * in `App.swift`.
 *
 * @param isAllowed whether the person has allowed all that Bluetooth needs.
 * @param open makes the one installer of this process. What fails there is said on the page, and tried again by what needs it.
 */
class App(private val scope: CoroutineScope, private val isAllowed: () -> Boolean, open: () -> Installer) {
    sealed interface Page {
        /** Nobody is signed in: scan an invite. */
        data class SignIn(val failure: Failure? = null) : Page

        /** An invite was read: the person confirms whom they sign in to. */
        class Confirm(val invite: Invite, val isSent: Boolean = false) : Page {
            val server: String get() = invite.server().host
        }

        /** Scan a label. */
        data class Scan(val failure: Failure? = null) : Page

        /** A label was read: the person waits for the device, so now is when a question for Bluetooth is understood. */
        class Ask(val label: Label) : Page
        data class Pairing(val screen: PairingScreen) : Page

        /** With why it could not be read. */
        data class History(val lines: List<Line>, val failure: Failure? = null) : Page
    }

    data class Line(val device: String, val state: Words, val hub: String?)

    private val shown = MutableStateFlow<Page>(Page.Scan())
    val page: StateFlow<Page> get() = shown
    private val installer by lazy(open)
    private var running: Job? = null
    private var label: Label? = null

    fun start() {
        shown.value = ifSignedIn { Page.Scan() }
    }

    private fun ifSignedIn(failure: Failure? = null, page: () -> Page): Page = try {
        if (installer.accounts().current != null) page() else Page.SignIn(failure)
    } catch (refused: SettingsException) {
        Page.SignIn(refused.failure())
    } catch (refused: AccountException) {
        Page.SignIn(refused.failure())
    }

    fun scanned(code: Scanned) {
        // The camera may have read one more while its page went.
        if (shown.value !is Page.SignIn && shown.value !is Page.Scan) return
        when (code) {
            is Scanned.AnInvite -> shown.value = Page.Confirm(code.invite)
            is Scanned.ALabel -> shown.value = ifSignedIn { if (isAllowed() || !wantsBluetooth(code.label)) pair(code.label) else Page.Ask(code.label) }
            is Scanned.Other -> shown.value = ifSignedIn(code.failure) { Page.Scan(code.failure) }
            Scanned.Nothing -> {}
        }
    }

    fun confirm() {
        // An invite is good for one sign-in: a second press would be refused.
        val asked = (shown.value as? Page.Confirm)?.takeUnless { it.isSent } ?: return
        shown.value = Page.Confirm(asked.invite, isSent = true)
        scope.launch {
            shown.value = try {
                installer.signInWithInvite(asked.invite, null)
                Page.Scan()
            } catch (refused: SettingsException) {
                Page.SignIn(refused.failure())
            } catch (refused: SignInException) {
                Page.SignIn(refused.failure())
            }
        }
    }

    private fun wantsBluetooth(label: Label) = label.transport().let { it == null || it is LabelTransport.Ble }

    private fun pair(label: Label): Page {
        this.label = label
        val first = PairingScreen(label.name())
        val former = running
        running = scope.launch {
            var screen = first
            // One that was cancelled may still be telling its device, also when this one is cancelled meanwhile: the next waits for both.
            withContext(NonCancellable) { former?.join() }
            ensureActive()
            try {
                // Ends with the scope: cancelled, and finished by the next run.
                installer.pairing(PairingRequest(label)).collect { event ->
                    screen = screen.after(event)
                    shown.value = Page.Pairing(screen)
                }
            } catch (refused: PairingException) {
                shown.value = Page.Pairing(screen.after(PairingEvent.Failed(refused.failure())))
            }
        }
        return Page.Pairing(first)
    }

    /** Android's question was answered. A "no" is said by the pairing, with what to do. */
    fun answered() {
        val asked = shown.value as? Page.Ask
        if (asked != null) shown.value = pair(asked.label) else cameToFront()
    }

    /** The app is in front again, perhaps from the settings: what stood still for want of a permission goes on. */
    fun cameToFront() {
        if (!isAllowed()) return
        when (val page = shown.value) {
            is Page.Ask -> shown.value = pair(page.label)
            is Page.Pairing -> if (page.screen.button == PairingScreen.Button.ALLOW) again()
            else -> {}
        }
    }

    private fun again() {
        label?.let { shown.value = pair(it) }
    }

    /** @return what only the screen can do: settings, copying. */
    fun press(button: PairingScreen.Button): PairingScreen.Button? {
        // The button may have changed under the finger.
        if ((shown.value as? Page.Pairing)?.screen?.button != button) return null
        when (button) {
            PairingScreen.Button.CANCEL -> running?.cancel().also { shown.value = Page.Scan() }
            PairingScreen.Button.NEXT_DEVICE, PairingScreen.Button.SCAN_LABEL -> shown.value = Page.Scan()
            PairingScreen.Button.TRY_AGAIN -> again()
            PairingScreen.Button.SIGN_IN -> shown.value = Page.SignIn()
            PairingScreen.Button.ALLOW -> if (isAllowed()) again() else return button
            PairingScreen.Button.COPY_DETAILS -> return button
        }
        return null
    }

    fun history() {
        if (shown.value !is Page.Scan) return
        scope.launch {
            val found = try {
                Page.History(installer.journal(HISTORY).map(::line))
            } catch (refused: JournalException) {
                Page.History(emptyList(), refused.failure())
            }
            // Unless a label was scanned meanwhile.
            if (shown.value is Page.Scan) shown.value = found
        }
    }

    private fun line(entry: JournalEntry): Line {
        val state = when (entry.state) {
            EntryState.ASSIGNED -> "assigned"
            EntryState.FAILED -> "failed"
            EntryState.OPEN, EntryState.UNKNOWN -> "open"
        }
        return Line(entry.name, Words("phone_history_$state"), entry.deviceSaid?.hub ?: entry.dpsSaid?.hub)
    }

    private companion object {
        val HISTORY = 200u
    }
}

internal fun SettingsException.failure(): Failure = when (this) {
    is SettingsException.Invalid -> failure
    is SettingsException.Failed -> failure
}

internal fun AccountException.failure(): Failure = when (this) {
    is AccountException.NotThere -> failure
    is AccountException.Failed -> failure
}

internal fun JournalException.failure(): Failure = when (this) {
    is JournalException.NotThere -> failure
    is JournalException.SignInNeeded -> failure
    is JournalException.Failed -> failure
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
