import Foundation

/// What a phone's Bluetooth can be told and what it tells: the line between what is tested everywhere and CoreBluetooth.
///
/// Commands return at once; what becomes of them is in `events`, in order. ``CoreBluetoothRadio`` is the real one.
protocol Radio: Sendable {
    /// What happens, from the radio's start on. Read by one reader.
    var events: AsyncStream<RadioEvent> { get }

    /// Listens from now on, for this instead of what was listened for before. Devices that were reported already are reported again.
    func listen(for wanted: Listening)
    func stopListening()
    /// False when iOS does not know the device (any more): it must be heard first.
    func connect(_ device: UUID) -> Bool
    /// Ends a connection or an attempt at one. Only while Bluetooth is on: before, Core Bluetooth does not listen.
    func disconnect(_ device: UUID)
    func begin(_ operation: GattOperation, on device: UUID)
    /// The negotiated MTU in bytes, as far as iOS shows it.
    func mtu(of device: UUID) -> UInt16
}

/// What a scan is to report.
enum Listening: Equatable, Sendable {
    case everything
    /// What advertises one of these. In the background iOS reports nothing else, and of each device one advertisement a scan.
    case services([UUID])
}

/// Services, characteristics and descriptors by their place in what was discovered.
enum GattOperation: Hashable, Sendable {
    case services
    case characteristics(service: Int)
    case descriptors(service: Int, characteristic: Int)
    case describe(service: Int, characteristic: Int)
    case write(service: Int, characteristic: Int, value: Data)
    case read(service: Int, characteristic: Int)
}

enum GattAnswer: Sendable {
    case services([UUID])
    case characteristics([FoundCharacteristic])
    /// Whether there is a 0x2901 among the descriptors.
    case descriptors(hasDescription: Bool)
    case value(Data)
    case done
}

struct FoundCharacteristic: Sendable, Equatable {
    let uuid: UUID
    let readable: Bool
    let writable: Bool
}

enum GattFailure: Error, Sendable, Equatable {
    /// An ATT error of the device.
    case att(UInt8)
    /// Something else, for the log.
    case other(String)
}

enum RadioState: Sendable, Equatable {
    /// Not started, or starting anew: an answer comes soon.
    case unknown
    case on
    case off
    case unsupported
    case unauthorized
}

struct Heard: Sendable, Equatable {
    let device: UUID
    let name: String?
    let rssi: Int?
    let services: [UUID]
    let serviceData: [UUID: Data]
}

enum RadioEvent: Sendable {
    case state(RadioState)
    /// The app went to the background, or came from there.
    case inBackground(Bool)
    case heard(Heard)
    case connected(UUID)
    case connectFailed(UUID)
    /// `status`: a Bluetooth error code (Bluetooth Core, Vol 1, Part F).
    case disconnected(UUID, status: Int32)
    case answered(UUID, GattOperation, Result<GattAnswer, GattFailure>)
    /// iOS started the app again and these devices are connected to it. Comes before the first state.
    case restored([UUID])
}
