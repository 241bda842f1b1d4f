import Foundation
import LowtouchBindings

/// The events of one pairing, from its first one on; ends after `finished` or `failed`. When the task that reads is cancelled, the pairing
/// is: it ends with `failed`, and a rerun takes it up where it stopped.
public struct PairingEvents: AsyncSequence, Sendable {
    let pairing: Pairing

    public struct AsyncIterator: AsyncIteratorProtocol, Sendable {
        let pairing: Pairing
        /// Taken already, to be given next.
        var taken: ArraySlice<PairingEvent> = []

        public mutating func next() async -> PairingEvent? {
            if taken.isEmpty {
                // UniFFI does not carry a task's cancellation to Rust.
                taken = await withTaskCancellationHandler { [pairing] in
                    await pairing.nextEvents()[...]
                } onCancel: { [pairing] in
                    pairing.cancel()
                }
            }
            return taken.popFirst()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(pairing: pairing) }
}

extension Pairing {
    /// What happens, as an `AsyncSequence`. For one reader: two share the events between them.
    public var events: PairingEvents { PairingEvents(pairing: self) }

    /// How it ended; cancelled with the calling task.
    public func result() async throws -> Paired {
        try await withTaskCancellationHandler {
            try await outcome()
        } onCancel: {
            cancel()
        }
    }
}
