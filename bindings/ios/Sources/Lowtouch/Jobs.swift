import Foundation
import LowtouchBindings

// What UniFFI does not write: events as an `AsyncSequence`, and waits whose task's cancellation reaches the core. Kotlin has the same in
// `Flows.kt`. UniFFI 0.32 carries a coroutine's cancellation to Rust, but no task's.

/// The events of one job, from its first one on; ends after `finished` or `failed`. When the task that reads is cancelled, the job is: it
/// ends with `failed`, and a rerun of a pairing takes it up where it stopped.
public struct PairingEvents: AsyncSequence, Sendable {
    fileprivate let next: @Sendable () async -> [PairingEvent]
    fileprivate let cancel: @Sendable () -> Void

    public struct AsyncIterator: AsyncIteratorProtocol, Sendable {
        fileprivate let job: PairingEvents
        /// Taken already, to be given next.
        private var taken: ArraySlice<PairingEvent> = []

        fileprivate init(job: PairingEvents) { self.job = job }

        public mutating func next() async -> PairingEvent? {
            if taken.isEmpty {
                taken = await withTaskCancellationHandler { [job] in
                    await job.next()[...]
                } onCancel: { [job] in
                    job.cancel()
                }
            }
            return taken.popFirst()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(job: self) }
}

extension Pairing {
    /// What happens, as an `AsyncSequence`. For one reader: two share the events between them.
    public var events: PairingEvents { PairingEvents(next: nextEvents, cancel: cancel) }

    /// How it ended; cancelled with the calling task.
    public func result() async throws -> Paired { try await cancelled(with: cancel, outcome) }
}

extension NetworkJob {
    /// As of a ``Pairing``.
    public var events: PairingEvents { PairingEvents(next: nextEvents, cancel: cancel) }

    /// How it ended; cancelled with the calling task.
    public func result() async throws -> NetworkSet { try await cancelled(with: cancel, outcome) }
}

extension DeviceCodeSignIn {
    /// Waits until the person has signed in on the other screen; given up with the calling task. Works once.
    public func result() async throws -> SignedIn { try await cancelled(with: cancel, finish) }
}

extension BrowserSignIn {
    /// With the address that the browser came back to; given up with the calling task. Works once.
    public func result(redirected: URL) async throws -> SignedIn {
        try await cancelled(with: cancel) { try await self.finish(redirected: redirected) }
    }
}

private func cancelled<T: Sendable>(
    with cancel: @escaping @Sendable () -> Void, _ work: @Sendable () async throws -> T
) async throws -> T {
    try await withTaskCancellationHandler(operation: work, onCancel: cancel)
}
