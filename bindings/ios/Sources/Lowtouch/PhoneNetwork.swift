#if canImport(Network)
    import Foundation
    import LowtouchBindings
    import Network

    /// Whether the phone has a network, by `NWPathMonitor`. Whether the internet is behind it shows only when a call is made.
    public final class PhoneNetwork: NetworkState, Sendable {
        public init() {}

        public func next(known: NetworkStanding?) async throws -> NetworkStanding {
            // One monitor a call: it is told the present path at once, and ends with the stream.
            let standings = AsyncStream<NetworkStanding> { continuation in
                let monitor = NWPathMonitor()
                monitor.pathUpdateHandler = { continuation.yield($0.status == .satisfied ? .online : .offline) }
                continuation.onTermination = { _ in monitor.cancel() }
                monitor.start(queue: DispatchQueue(label: "io.lowtouch.network"))
            }
            for await standing in standings where standing != known { return standing }
            throw CancellationError()
        }
    }
#endif
