import Foundation
import LowtouchBindings

/// Bluetooth LE as iOS has it, for an `Installer`. One for the whole app; any number of pairings share it, and the radio listens only while
/// somebody scans.
///
/// iOS asks the person for Bluetooth at the first use and shows `NSBluetoothAlwaysUsageDescription`, without which it ends the app.
public final class PhoneBle: BleCentral, Sendable {
    private let central: Central

    init(radio: any Radio, clock: any Clock<Duration> = ContinuousClock()) {
        central = Central(radio: radio, clock: clock)
        let (central, events) = (central, radio.events)
        Task { [weak central] in
            for await event in events { await central?.handle(event) }
        }
    }

    public func scan(filter: BleScanFilter) async throws -> any BleScan {
        PhoneScan(central: central, id: try await central.listen(filter))
    }

    /// Connects; a connection that does not come about is tried anew, three times in all. When the calling task is cancelled the
    /// attempt is ended and the device let go.
    public func connect(address: String) async throws -> any BleConnection {
        PhoneConnection(central: central, id: try await central.connect(address))
    }
}

private final class PhoneScan: BleScan, Sendable {
    let central: Central
    let id: UInt64

    init(central: Central, id: UInt64) {
        self.central = central
        self.id = id
    }

    func next() async throws -> BleAdvertisement { try await central.next(id) }
    func stop() async { await central.leave(id) }

    deinit {
        let (central, id) = (central, id)
        Task { await central.leave(id) }
    }
}

private final class PhoneConnection: BleConnection, Sendable {
    let central: Central
    let id: UInt64

    init(central: Central, id: UInt64) {
        self.central = central
        self.id = id
    }

    /// iOS settles the MTU by itself while it connects.
    func requestMtu(mtu: UInt16) async throws -> UInt16 { try await central.mtu(id) }
    func discover(descriptions: Bool) async throws -> [BleService] { try await central.discover(id, descriptions) }
    func write(characteristic: BleCharacteristicId, value: Data) async throws { try await central.write(id, characteristic, value) }
    func read(characteristic: BleCharacteristicId) async throws -> Data { try await central.read(id, characteristic) }
    func disconnected() async throws -> Int32 { try await central.closed(id) }

    /// Also when the calling task is cancelled.
    func disconnect() async { await Task { [central, id] in await central.close(id) }.value }

    deinit {
        let (central, id) = (central, id)
        Task { await central.close(id) }
    }
}
