import Foundation
import LowtouchBindings
import Testing

@testable import Lowtouch

/// What the scenarios cannot say, since a phone of another maker does not have it.
@Suite struct CentralTests {
    private let radio = HandRadio()
    private let device = UUID()

    private func connection() async throws -> any BleConnection {
        radio.tell.yield(.state(.on))
        let ble = PhoneBle(radio: radio)
        async let connection = ble.connect(address: device.uuidString)
        await radio.told("connect")
        radio.tell.yield(.connected(device))
        return try await connection
    }

    @Test(.timeLimit(.minutes(1))) func aConnectionThatOutlivedTheProcessIsLetGoAsSoonAsBluetoothTakesCommands() async {
        let central = Central(radio: radio, clock: ContinuousClock())
        // In the order of Core Bluetooth, which takes no command yet.
        await central.handle(.restored([device]))
        #expect(radio.all == [])
        await central.handle(.state(.on))
        #expect(radio.all == ["stop", "disconnect"])
        // Once.
        await central.handle(.state(.on))
        #expect(radio.all == ["stop", "disconnect"])
    }

    @Test(.timeLimit(.minutes(1))) func whatOutlivedTheProcessIsGoneWhenBluetoothWasOffMeanwhile() async {
        let central = Central(radio: radio, clock: ContinuousClock())
        await central.handle(.restored([device]))
        await central.handle(.state(.off))
        await central.handle(.state(.on))
        #expect(radio.all == [])
    }

    @Test(.timeLimit(.minutes(1))) func theEndOfAConnectionThatOutlivedTheProcessDoesNotEndTheNewOne() async throws {
        radio.saysGoodbye = false
        let central = Central(radio: radio, clock: ContinuousClock())
        await central.handle(.restored([device]))
        await central.handle(.state(.on))
        async let connection = central.connect(device.uuidString)
        await radio.told("connect")
        await central.handle(.disconnected(device, status: 0))
        await central.handle(.connected(device))
        #expect(try await central.mtu(connection) == 185)
        #expect(radio.attempts == 1)
    }

    @Test(.timeLimit(.minutes(1))) func inTheBackgroundIsListenedForWhatTheScansAskForAndInFrontForEverything() async throws {
        let central = Central(radio: radio, clock: ContinuousClock())
        let (one, two) = (UUID(uuidString: "00000000-0000-4000-8000-000000000001")!, UUID(uuidString: "00000000-0000-4000-8000-000000000002")!)
        await central.handle(.state(.on))
        let first = try await central.listen(BleScanFilter(services: [one], name: "PROV_1"))
        let second = try await central.listen(BleScanFilter(services: [two, one], name: "PROV_2"))
        // One scan for both, which need not begin anew.
        #expect(radio.scans == [.everything])
        await central.handle(.inBackground(true))
        #expect(radio.scans.last == .services([one, two]))
        await central.leave(second)
        #expect(radio.scans.last == .services([one]))
        await central.handle(.inBackground(false))
        #expect(radio.scans.last == .everything)
        await central.leave(first)
        #expect(radio.all.last == "stop")
        // iOS started the app again, behind.
        await central.handle(.inBackground(true))
        _ = try await central.listen(BleScanFilter(services: [two], name: "PROV_3"))
        #expect(radio.scans.last == .services([two]))
    }

    @Test(.timeLimit(.minutes(1))) func whoListensInTheBackgroundHearsWhatAnotherHasHeardAlready() async throws {
        let central = Central(radio: radio, clock: ContinuousClock())
        let filter = BleScanFilter(services: [UUID()], name: nil)
        await central.handle(.state(.on))
        await central.handle(.inBackground(true))
        _ = try await central.listen(filter)
        _ = try await central.listen(filter)
        // iOS reports a device there once for each scan.
        #expect(radio.scans == [.services(filter.services), .services(filter.services)])
    }

    @Test(.timeLimit(.minutes(1))) func aScanGoesOnAfterBluetoothStartedAnewAndEndsWhenItWasTurnedOff() async throws {
        let central = Central(radio: radio, clock: ContinuousClock())
        await central.handle(.state(.on))
        _ = try await central.listen(BleScanFilter(services: [], name: nil))
        await central.handle(.state(.unknown))
        await central.handle(.state(.on))
        #expect(radio.all == ["listen", "listen"])
        await central.handle(.state(.off))
        await central.handle(.state(.on))
        #expect(radio.all == ["listen", "listen", "stop"])
    }

    @Test(.timeLimit(.minutes(1))) func aConnectionThatComesAboutAfterItWasGivenUpIsLetGo() async {
        radio.tell.yield(.state(.on))
        let ble = PhoneBle(radio: radio)
        let connecting = Task { [device] in try await ble.connect(address: device.uuidString) }
        await radio.told("connect")
        connecting.cancel()
        await radio.told("disconnect")
        radio.tell.yield(.connected(device))
        await radio.told("disconnect")
        await #expect(throws: CancellationError.self) { try await connecting.value }
    }

    @Test(.timeLimit(.minutes(1))) func theEndOfTheOldConnectionDoesNotEndTheNewOne() async throws {
        radio.saysGoodbye = false
        radio.tell.yield(.state(.on))
        let ble = PhoneBle(radio: radio)
        async let first = ble.connect(address: device.uuidString)
        await radio.told("connect")
        radio.tell.yield(.connected(device))
        let old = try await first
        async let closing: Void = old.disconnect()
        await radio.told("disconnect")
        async let second = ble.connect(address: device.uuidString)
        await radio.told("connect")
        // iOS tells it now, and the new connection afterwards.
        radio.tell.yield(.disconnected(device, status: 22))
        radio.tell.yield(.connected(device))
        #expect(try await second.requestMtu(mtu: 517) == 185)
        try await closing
        #expect(radio.attempts == 2)
    }

    @Test(.timeLimit(.minutes(1)), arguments: [0x05, 0x08, 0x0c, 0x0f] as [UInt8])
    func aDeviceThatWantsABondIsSaidAsSuch(_ code: UInt8) async throws {
        let connection = try await connection()
        let services = Task { try await connection.discover(descriptions: false) }
        await radio.told("begin")
        radio.tell.yield(.answered(device, .services, .failure(.att(code))))
        await #expect(throws: BleError.WantsBonding) { try await services.value }
    }

    @Test(.timeLimit(.minutes(1))) func twoCharacteristicsOfOneUuidAreToldApart() async throws {
        let connection = try await connection()
        let (service, twin) = (UUID(), FoundCharacteristic(uuid: UUID(), readable: true, writable: false))
        async let services = connection.discover(descriptions: false)
        await radio.told("begin")
        radio.tell.yield(.answered(device, .services, .success(.services([service]))))
        await radio.told("begin")
        radio.tell.yield(.answered(device, .characteristics(service: 0), .success(.characteristics([twin, twin]))))
        let second = try #require(try await services.first?.characteristics.last)
        #expect(second.id.instance == 1)
        async let value = connection.read(characteristic: second.id)
        await radio.told("begin")
        radio.tell.yield(.answered(device, .read(service: 0, characteristic: 1), .success(.value(Data([7])))))
        #expect(try await value == Data([7]))
    }
}

/// A radio whose every answer is given by hand.
private final class HandRadio: Radio, @unchecked Sendable {
    let events: AsyncStream<RadioEvent>
    let tell: AsyncStream<RadioEvent>.Continuation
    /// Whether the end of a connection is told as soon as it is wanted.
    var saysGoodbye = true
    private(set) var attempts = 0
    private let commands: AsyncStream<String>
    private let command: AsyncStream<String>.Continuation
    private let lock = NSLock()
    private var commanded: [String] = []
    private var listenings: [Listening] = []

    /// Everything that it was told to do.
    var all: [String] { lock.withLock { commanded } }
    var scans: [Listening] { lock.withLock { listenings } }

    init() {
        (events, tell) = AsyncStream.makeStream()
        (commands, command) = AsyncStream.makeStream()
    }

    /// Returns when it was told to do that, once more.
    func told(_ wanted: String) async {
        for await command in commands where command == wanted { return }
    }

    private func was(_ name: String) {
        lock.withLock { commanded.append(name) }
        command.yield(name)
    }

    func listen(for wanted: Listening) {
        lock.withLock { listenings.append(wanted) }
        was("listen")
    }
    func stopListening() { was("stop") }
    func connect(_ device: UUID) -> Bool {
        attempts += 1
        was("connect")
        return true
    }
    func disconnect(_ device: UUID) {
        was("disconnect")
        if saysGoodbye { tell.yield(.disconnected(device, status: 0)) }
    }
    func begin(_ operation: GattOperation, on device: UUID) { was("begin") }
    func mtu(of device: UUID) -> UInt16 { 185 }
}
