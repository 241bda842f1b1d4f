package io.lowtouch.sample

import io.lowtouch.Failure
import io.lowtouch.Invite
import io.lowtouch.InviteException
import io.lowtouch.Label
import io.lowtouch.LabelException
import io.lowtouch.readQrPicture

/** What a QR code in the camera's picture turned out to be. */
sealed interface Scanned {
    class AnInvite(val invite: Invite) : Scanned
    class ALabel(val label: Label) : Scanned

    /** Neither; said to the person. */
    data class Other(val failure: Failure) : Scanned

    /** No code in the picture: the camera takes the next one. */
    data object Nothing : Scanned

    companion object {
        /** @param picture JPEG or PNG. Takes tens of milliseconds, so not on the main thread. */
        fun inPicture(picture: ByteArray): Scanned = try {
            of(readQrPicture(picture))
        } catch (_: LabelException) {
            Nothing
        }

        fun of(text: String): Scanned = try {
            if (text.startsWith(INVITE)) AnInvite(Invite.parse(text)) else ALabel(Label.parse(text))
        } catch (refused: LabelException.SomethingElse) {
            Other(refused.failure)
        } catch (refused: LabelException.Unusable) {
            Other(refused.failure)
        } catch (refused: InviteException.NotAnInvite) {
            Other(refused.failure)
        } catch (refused: InviteException.Failed) {
            Other(refused.failure)
        }

        private const val INVITE = "lowtouch:invite"
    }
}
