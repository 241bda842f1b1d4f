// What UniFFI does not write: events as a Flow, and coroutines whose cancellation reaches the core.

package io.lowtouch

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.isActive
import kotlinx.coroutines.withContext

/**
 * All events of this pairing, from the first one to the last. Collect it once: a pairing tells each event once.
 *
 * When the collecting coroutine is cancelled, the pairing is cancelled. The object stays open: [Pairing.close] it in the end.
 */
fun Pairing.events(): Flow<PairingEvent> = eventFlow(::cancel, ::nextEvents)

/** As [Pairing.events]. */
fun NetworkJob.events(): Flow<PairingEvent> = eventFlow(::cancel, ::nextEvents)

/** Waits for the end. When the waiting coroutine is cancelled, the pairing is cancelled. */
suspend fun Pairing.awaitOutcome(): Paired = cancelledWith(::cancel) { outcome() }

/** Waits for the end. When the waiting coroutine is cancelled, the job is cancelled. */
suspend fun NetworkJob.awaitOutcome(): NetworkSet = cancelledWith(::cancel) { outcome() }

/**
 * A pairing as a cold Flow: it begins when the Flow is collected, ends with [PairingEvent.Finished] or
 * [PairingEvent.Failed], and is cancelled when the collection ends early, for whatever reason. When the collection has ended so has the
 * pairing (a device that was being spoken to is told, at most some seconds): the same device can be paired again.
 *
 * @throws PairingException when it does not even begin.
 */
fun Installer.pairing(request: PairingRequest): Flow<PairingEvent> = flow {
    pair(request).use { pairing ->
        try {
            emitAll(pairing.events())
        } catch (early: Throwable) {
            pairing.cancel()
            throw early
        } finally {
            withContext(NonCancellable) { runCatching { pairing.outcome() } }
        }
    }
}

/** Waits until the person has signed in. When the waiting coroutine is cancelled, the sign-in is given up. */
suspend fun DeviceCodeSignIn.awaitFinish(): SignedIn = cancelledWith(::cancel) { finish() }

private fun eventFlow(cancel: () -> Unit, next: suspend () -> List<PairingEvent>): Flow<PairingEvent> = flow {
    cancelledWith(cancel) {
        while (true) {
            next().ifEmpty { return@cancelledWith }.forEach { emit(it) }
        }
    }
}

private suspend fun <T> cancelledWith(cancel: () -> Unit, work: suspend () -> T): T = try {
    work()
} catch (cancelled: CancellationException) {
    // A Flow that has seen enough (first, take) ends with the same exception; its coroutine goes on.
    if (!currentCoroutineContext().isActive) cancel()
    throw cancelled
}
