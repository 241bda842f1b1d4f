#if os(Linux)
    import Foundation
    import Glibc
    import LowtouchBindings
    import Testing

    @testable import Lowtouch

    /// What needs a `World`: one after the other, for two at once do not end.
    @Suite(.serialized) enum InTheWorld {}

    /// The process `lowtouch-world`: a real provisioning API, emulated DPS instances and simulated devices.
    final class World: @unchecked Sendable {
        struct Device: Decodable {
            let label: String
            let address: String
            let registrationId: String
            var port: UInt16 { UInt16(address.split(separator: ":").last!.prefix { $0.isNumber })! }
            var name: String { try! JSONDecoder().decode([String: Loose].self, from: Data(label.utf8))["name"]!.text }
        }

        /// A label's fields are texts and numbers.
        struct Loose: Decodable {
            let text: String
            init(from decoder: any Decoder) throws {
                let value = try decoder.singleValueContainer()
                text = (try? value.decode(String.self)) ?? ""
            }
        }

        private let process = Process()
        private let asked = Pipe()
        private let said = Pipe()
        private let lock = NSLock()
        private var rest = Data()
        let caPem: String
        /// For the library's files; gone with the world.
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)

        init() throws {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let programs = ProcessInfo.processInfo.environment["LOWTOUCH_TARGET"] ?? "../../target/debug"
            process.executableURL = URL(fileURLWithPath: programs).appendingPathComponent("lowtouch-world")
            process.standardInput = asked
            process.standardOutput = said
            try process.run()
            var line = Data()
            while let byte = try? said.fileHandleForReading.read(upToCount: 1), byte.first != 0x0a { line.append(byte) }
            caPem = try JSONDecoder().decode([String: String].self, from: line)["caPem"]!
        }

        func end() {
            try? asked.fileHandleForWriting.close()
            process.waitUntilExit()
            try? FileManager.default.removeItem(at: folder)
        }

        private func ask<T: Decodable>(_ question: some Encodable) throws -> T {
            try lock.withLock {
                try asked.fileHandleForWriting.write(contentsOf: JSONEncoder().encode(question) + Data("\n".utf8))
                var line = Data()
                while let byte = try said.fileHandleForReading.read(upToCount: 1), byte.first != 0x0a { line.append(byte) }
                return try JSONDecoder().decode(T.self, from: line)
            }
        }

        func invite(_ name: String) throws -> String {
            let answer: [String: String] = try ask(["invite": name])
            return answer["invite"]!
        }

        func device() throws -> Device { try ask(["device": [String: String]()]) }

        func hubs(_ device: Device) throws -> [String] {
            let answer: [String: [String]] = try ask(["hub": device.registrationId])
            return answer["hubs"]!
        }
    }

    /// A phone's radio whose devices speak the simulated GATT of core/links (simulated/remote.rs) over loopback TCP. As in CoreBluetooth commands
    /// return at once and answers come later.
    final class NetworkedRadio: Radio, @unchecked Sendable {
        let events: AsyncStream<RadioEvent>
        private let tell: AsyncStream<RadioEvent>.Continuation
        private let queue = DispatchQueue(label: "radio")
        // On the queue:
        private var devices: [World.Device]
        private var sockets: [UUID: Int32] = [:]
        private var tables: [UUID: [(FoundCharacteristic, String)]] = [:]
        private var writes = 0
        private var listening: Listening?
        private var inBackground = false
        private var loseAt: Set<Int>
        private let service: UUID

        init(_ devices: [World.Device], loseAtWrites: Set<Int> = [], state: RadioState = .on) {
            (events, tell) = AsyncStream.makeStream()
            self.devices = devices
            loseAt = loseAtWrites
            service = UUID(uuidString: "1775244d-6b43-439b-877c-060f2d9bed07")!
            tell.yield(.state(state))
        }

        /// The person has answered iOS's question, or has been to the settings.
        func turn(_ state: RadioState) { tell.yield(.state(state)) }

        func goToTheBackground() {
            queue.sync { inBackground = true }
            tell.yield(.inBackground(true))
        }

        /// One more comes into reach.
        func bring(_ device: World.Device) { queue.sync { devices.append(device) } }

        var open: Int { queue.sync { sockets.count } }

        static func identifier(_ device: World.Device) -> UUID {
            UUID(uuidString: "00000000-0000-4000-8000-" + String(format: "%012X", Int(device.port)))!
        }

        func listen(for wanted: Listening) {
            queue.async { [self] in
                let listens = listening != nil
                listening = wanted
                if !listens { advertise() }
            }
        }

        func stopListening() { queue.async { self.listening = nil } }

        /// Whether iOS reports a device with this service now.
        private var reports: Bool {
            guard case .services(let wanted) = listening else { return !inBackground }
            return wanted.contains(service)
        }

        /// Again and again, as devices do.
        private func advertise() {
            if listening == nil { return }
            for device in devices where reports {
                tell.yield(.heard(Heard(device: Self.identifier(device), name: device.name, rssi: -50, services: [service], serviceData: [:])))
            }
            queue.asyncAfter(deadline: .now() + .milliseconds(50)) { [weak self] in self?.advertise() }
        }

        func connect(_ device: UUID) -> Bool {
            guard let found = queue.sync(execute: { devices.first { Self.identifier($0) == device } }) else { return false }
            queue.async { [self] in
                let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                var address = sockaddr_in()
                address.sin_family = sa_family_t(AF_INET)
                address.sin_port = found.port.bigEndian
                address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
                let connected = withUnsafePointer(to: &address) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                    }
                }
                sockets[device] = socket
                guard connected == 0, let table = exchange(device, 1, Data("lowtouch simulated GATT 1".utf8)), table.status == 0 else {
                    drop(device)
                    tell.yield(.connectFailed(device))
                    return
                }
                tables[device] = parse(table.value)
                tell.yield(.connected(device))
            }
            return true
        }

        func disconnect(_ device: UUID) {
            queue.async { [self] in
                if drop(device) { tell.yield(.disconnected(device, status: 0)) }
            }
        }

        @discardableResult private func drop(_ device: UUID) -> Bool {
            guard let socket = sockets.removeValue(forKey: device) else { return false }
            Glibc.close(socket)
            return true
        }

        func mtu(of device: UUID) -> UInt16 { 185 }

        func begin(_ operation: GattOperation, on device: UUID) {
            queue.async { [self] in
                let table = tables[device] ?? []
                func value(_ answer: (status: UInt8, value: Data)?, _ make: (Data) -> GattAnswer) {
                    switch answer {
                    case (0, let value)?: tell.yield(.answered(device, operation, .success(make(value))))
                    case (1, let value)?: tell.yield(.answered(device, operation, .failure(.att(value.first ?? 0))))
                    default:
                        drop(device)
                        tell.yield(.disconnected(device, status: 8))
                    }
                }
                switch operation {
                case .services: value((0, Data())) { _ in .services([service]) }
                case .characteristics: value((0, Data())) { _ in .characteristics(table.map(\.0)) }
                case .descriptors: value((0, Data())) { _ in .descriptors(hasDescription: true) }
                case .describe(_, let place): value((0, Data(table[place].1.utf8))) { .value($0) }
                case .write(_, let place, let bytes):
                    writes += 1
                    if loseAt.remove(writes) != nil { return value(nil) { _ in .done } }
                    value(exchange(device, 2, bytesOf(table[place].0.uuid) + bytes)) { _ in .done }
                case .read(_, let place): value(exchange(device, 3, bytesOf(table[place].0.uuid))) { .value($0) }
                }
            }
        }

        private func bytesOf(_ uuid: UUID) -> Data { withUnsafeBytes(of: uuid.uuid) { Data($0) } }

        private func parse(_ table: Data) -> [(FoundCharacteristic, String)] {
            var rest = table[...]
            var found: [(FoundCharacteristic, String)] = []
            while rest.count > 16 {
                let bytes = Array(rest.prefix(16))
                let uuid = NSUUID(uuidBytes: bytes) as UUID
                let length = Int(rest[rest.startIndex + 16])
                let name = String(decoding: rest.dropFirst(17).prefix(length), as: UTF8.self)
                found.append((FoundCharacteristic(uuid: uuid, readable: true, writable: true), name))
                rest = rest.dropFirst(17 + length)
            }
            return found
        }

        private func exchange(_ device: UUID, _ kind: UInt8, _ payload: Data) -> (status: UInt8, value: Data)? {
            guard let socket = sockets[device] else { return nil }
            let message = Data([kind, UInt8(payload.count >> 8), UInt8(payload.count & 0xff)]) + payload
            guard message.withUnsafeBytes({ send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }) == message.count,
                let head = receive(socket, 3), let value = receive(socket, Int(head[1]) << 8 | Int(head[2]))
            else { return nil }
            return (head[0], value)
        }

        private func receive(_ socket: Int32, _ count: Int) -> Data? {
            var bytes = [UInt8](repeating: 0, count: count)
            var have = 0
            while have < count {
                let got = bytes.withUnsafeMutableBytes { recv(socket, $0.baseAddress! + have, count - have, 0) }
                if got <= 0 { return nil }
                have += got
            }
            return Data(bytes)
        }
    }

    final class AlwaysOnline: NetworkState, Sendable {
        func next(known: NetworkStanding?) async throws -> NetworkStanding {
            if known != .online { return .online }
            try await Task.sleep(for: .seconds(3600 * 24 * 365))
            return .online
        }
    }
#endif
