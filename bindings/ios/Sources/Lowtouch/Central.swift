import Foundation
import LowtouchBindings

/// One attempt to connect. iOS itself never gives one up; a device in reach takes well under a second.
private let attemptTime = Duration.seconds(10)
private let attempts = 3
/// Between two attempts, times the attempt's number.
private let pause = Duration.milliseconds(250)
/// ATT's transaction time-out (Bluetooth Core, Vol 3, Part F, 3.3.3).
private let operationTime = Duration.seconds(30)
/// How long a disconnect may take before nobody waits for it any more.
private let goodbyeTime = Duration.seconds(5)
/// How long iOS may take to say whether Bluetooth is on. The question to the person is no part of it: meanwhile the state is unauthorized.
private let startTime = Duration.seconds(5)
/// Reports that a slow reader may be behind; the oldest go.
private let behind = 256
/// ATT errors 0x05, 0x08, 0x0c and 0x0f (Bluetooth Core, Vol 3, Part F, 3.4.1.1).
private let wantsBonding: Set<UInt8> = [0x05, 0x08, 0x0c, 0x0f]

/// The state of all scans and connections. Everything that happens, and every call, passes through this one actor, so nothing is seen
/// half-done. Operations of one connection take turns; one that was given up or whose time is up ends its connection, since its answer
/// could be taken for the next one's.
actor Central {
    private struct Link {
        let device: UUID
        var isUp = false
        var ended: BleError?
        /// Who waits for the connection.
        var connecting: UInt64?
        /// The operation that runs, and who waits for its answer.
        var pending: (GattOperation, UInt64)?
        var isTaken = false
        var queue: [UInt64] = []
        var waitingForEnd: [UInt64] = []
        var services: [(uuid: UUID, characteristics: [FoundCharacteristic])] = []
    }

    private struct Listener {
        let filter: BleScanFilter
        var reports: [BleAdvertisement] = []
        var waiting: UInt64?
    }

    private enum Halt: Error {
        case late
        case cancelled
        case failed(BleError)
    }

    private let radio: any Radio
    private let clock: any Clock<Duration>
    private var state = RadioState.unknown
    private var waitingForState: [UInt64] = []
    private var links: [UInt64: Link] = [:]
    private var listeners: [UInt64: Listener] = [:]
    private var listening: Listening?
    private var inBackground = false
    /// Devices whose connection outlived the app's former process, until Bluetooth is on and takes commands.
    private var outlived: Set<UUID> = []
    /// Devices whose connection we ended and whose end was not told yet: that news must not end the next connection.
    private var leaving: [UUID: [UInt64]] = [:]
    private var waits: [UInt64: CheckedContinuation<GattAnswer, any Error>] = [:]
    private var last: UInt64 = 0

    init(radio: any Radio, clock: any Clock<Duration>) {
        self.radio = radio
        self.clock = clock
    }

    // MARK: Scans

    func listen(_ filter: BleScanFilter) async throws -> UInt64 {
        try await usable()
        let id = next()
        listeners[id] = Listener(filter: filter)
        // In the background a device that somebody else has heard is told to nobody again.
        tune(anew: inBackground)
        return id
    }

    /// In front everything is listened for, since some firmware advertises its name only; behind, what iOS reports there.
    private func tune(anew: Bool = false) {
        var wanted: Listening?
        if !listeners.isEmpty {
            let services = Set(listeners.values.flatMap(\.filter.services)).sorted { $0.uuidString < $1.uuidString }
            wanted = inBackground ? .services(services) : .everything
        }
        if wanted == listening && !(anew && wanted != nil) { return }
        listening = wanted
        if let wanted { radio.listen(for: wanted) } else { radio.stopListening() }
    }

    func next(_ id: UInt64) async throws -> BleAdvertisement {
        while true {
            guard listeners[id] != nil else {
                try refuse()
                throw BleError.Failed(detail: "the scan was stopped")
            }
            if !listeners[id]!.reports.isEmpty { return listeners[id]!.reports.removeFirst() }
            do {
                _ = try await wait(nil) { listeners[id]!.waiting = $0 }
            } catch Halt.failed(let error) {
                throw error
            } catch {
                throw CancellationError()
            }
        }
    }

    func leave(_ id: UInt64) {
        guard let listener = listeners.removeValue(forKey: id) else { return }
        listener.waiting.map { resolve($0, .failure(.failed(.Failed(detail: "the scan was stopped")))) }
        tune()
    }

    // MARK: Connections

    func connect(_ address: String) async throws -> UInt64 {
        try await usable()
        guard let device = UUID(uuidString: address) else { throw BleError.NotInReach }
        for attempt in 1...attempts {
            // Whoever had it: iOS has one connection to a device.
            for (other, link) in links where link.device == device { end(other, .Disconnected(status: 0)) }
            let id = next()
            links[id] = Link(device: device)
            do {
                _ = try await wait(attemptTime) { waiter in
                    links[id]!.connecting = waiter
                    if !radio.connect(device) { resolve(waiter, .failure(.failed(.NotInReach))) }
                }
                return id
            } catch Halt.cancelled {
                end(id, .Disconnected(status: 0))
                links[id] = nil
                throw CancellationError()
            } catch Halt.failed(.AdapterOff) {
                links[id] = nil
                throw BleError.AdapterOff
            } catch {
                end(id, .NotInReach)
                links[id] = nil
            }
            if attempt < attempts { try await clock.sleep(for: pause * attempt) }
        }
        throw BleError.NotInReach
    }

    func mtu(_ id: UInt64) throws -> UInt16 {
        radio.mtu(of: try alive(id).device)
    }

    func discover(_ id: UInt64, _ descriptions: Bool) async throws -> [BleService] {
        guard case .services(let uuids) = try await operate(id, .services) else { return [] }
        var found: [BleService] = []
        var layout: [(uuid: UUID, characteristics: [FoundCharacteristic])] = []
        for (index, uuid) in uuids.enumerated() {
            guard case .characteristics(let characteristics) = try await operate(id, .characteristics(service: index)) else { continue }
            layout.append((uuid, characteristics))
            var described: [BleCharacteristic] = []
            var seen: [UUID: UInt32] = [:]
            for (place, characteristic) in characteristics.enumerated() {
                let instance = seen[characteristic.uuid, default: 0]
                seen[characteristic.uuid] = instance + 1
                described.append(
                    BleCharacteristic(
                        id: BleCharacteristicId(service: uuid, uuid: characteristic.uuid, instance: instance),
                        readable: characteristic.readable,
                        writable: characteristic.writable,
                        description: descriptions ? try await describe(id, index, place) : nil))
            }
            found.append(BleService(uuid: uuid, characteristics: described))
        }
        links[id]?.services = layout
        return found
    }

    /// One that cannot be read is as one that is not there.
    private func describe(_ id: UInt64, _ service: Int, _ characteristic: Int) async throws -> Data? {
        do {
            let has = try await operate(id, .descriptors(service: service, characteristic: characteristic))
            guard case .descriptors(hasDescription: true) = has else { return nil }
            guard case .value(let text) = try await operate(id, .describe(service: service, characteristic: characteristic)) else { return nil }
            return text
        } catch BleError.Att {
            return nil
        } catch BleError.WantsBonding {
            return nil
        }
    }

    func write(_ id: UInt64, _ characteristic: BleCharacteristicId, _ value: Data) async throws {
        let (service, place) = try find(id, characteristic)
        _ = try await operate(id, .write(service: service, characteristic: place, value: value))
    }

    func read(_ id: UInt64, _ characteristic: BleCharacteristicId) async throws -> Data {
        let (service, place) = try find(id, characteristic)
        guard case .value(let value) = try await operate(id, .read(service: service, characteristic: place)) else {
            throw BleError.Failed(detail: "iOS answers without a value")
        }
        return value
    }

    /// The status with which the connection ended by itself.
    func closed(_ id: UInt64) async throws -> Int32 {
        while let link = links[id], link.ended == nil {
            do {
                _ = try await wait(nil) { links[id]!.waitingForEnd.append($0) }
            } catch Halt.cancelled {
                throw CancellationError()
            } catch {}
        }
        let reason = links[id]?.ended ?? .Disconnected(status: 0)
        guard case .Disconnected(let status) = reason else { throw reason }
        return status
    }

    /// Waits until the device is let go, for `goodbyeTime` at most.
    func close(_ id: UInt64) async {
        guard let link = links[id] else { return }
        end(id, .Disconnected(status: 0))
        links[id]?.services = []
        if leaving[link.device] != nil { _ = try? await wait(goodbyeTime) { leaving[link.device]?.append($0) } }
    }

    // MARK: One operation at a time

    private func operate(_ id: UInt64, _ operation: GattOperation) async throws -> GattAnswer {
        try await takeTurn(id)
        defer { passTurn(id) }
        let device = try alive(id).device
        do {
            return try await wait(operationTime) {
                links[id]!.pending = (operation, $0)
                radio.begin(operation, on: device)
            }
        } catch Halt.failed(let error) {
            throw error
        } catch Halt.late {
            end(id, .Disconnected(status: 0))
            throw BleError.Failed(detail: "no answer after \(operationTime)")
        } catch {
            end(id, .Disconnected(status: 0))
            throw CancellationError()
        }
    }

    private func takeTurn(_ id: UInt64) async throws {
        while try alive(id).isTaken {
            do {
                _ = try await wait(nil) { links[id]!.queue.append($0) }
            } catch Halt.failed(let error) {
                throw error
            } catch {
                throw CancellationError()
            }
        }
        links[id]!.isTaken = true
    }

    private func passTurn(_ id: UInt64) {
        guard links[id] != nil else { return }
        links[id]!.pending = nil
        links[id]!.isTaken = false
        // All look again; one of them gets it.
        let queue = links[id]!.queue
        links[id]!.queue = []
        queue.forEach { resolve($0, .success(.done)) }
    }

    private func alive(_ id: UInt64) throws -> Link {
        guard let link = links[id] else { throw BleError.Disconnected(status: 0) }
        if let ended = link.ended { throw ended }
        return link
    }

    private func find(_ id: UInt64, _ wanted: BleCharacteristicId) throws -> (Int, Int) {
        var left = wanted.instance
        for (index, service) in try alive(id).services.enumerated() where service.uuid == wanted.service {
            for (place, characteristic) in service.characteristics.enumerated() where characteristic.uuid == wanted.uuid {
                if left == 0 { return (index, place) }
                left -= 1
            }
        }
        throw BleError.Failed(detail: "no characteristic \(wanted.uuid) in service \(wanted.service)")
    }

    /// Everybody who waits for something of this connection hears why it ended. The device is let go.
    private func end(_ id: UInt64, _ reason: BleError, told: Bool = false) {
        guard let link = links[id], link.ended == nil else { return }
        links[id]!.ended = reason
        links[id]!.isUp = false
        if !told { letGo(link.device) }
        let waiting = [link.connecting, link.pending?.1].compactMap { $0 } + link.queue
        links[id]!.queue = []
        waiting.forEach { resolve($0, .failure(.failed(reason))) }
        link.waitingForEnd.forEach { resolve($0, .success(.done)) }
    }

    // MARK: What the radio tells

    func handle(_ event: RadioEvent) {
        switch event {
        case .state(let now):
            state = now
            if now != .unknown {
                let waiting = waitingForState
                waitingForState = []
                waiting.forEach { resolve($0, .success(.done)) }
            }
            switch now {
            case .on:
                // After a restart of iOS's own Bluetooth nothing listens any more.
                tune(anew: true)
                letGoOfOutlived()
            case .unknown: break
            case .off, .unsupported, .unauthorized: fellSilent()
            }
        case .inBackground(let now):
            inBackground = now
            if state == .on { tune() }
        case .heard(let heard):
            for id in listeners.keys { report(heard, to: id) }
        case .connected(let device):
            if let id = live(device), let waiter = links[id]!.connecting {
                leave(device)
                links[id]!.isUp = true
                links[id]!.connecting = nil
                resolve(waiter, .success(.done))
            } else {
                // Nobody wants it any more.
                radio.disconnect(device)
            }
        case .connectFailed(let device):
            if let id = live(device) { end(id, .NotInReach, told: true) }
        case .disconnected(let device, let status):
            if leaving[device] != nil {
                leave(device)
            } else if let id = live(device) {
                end(id, .Disconnected(status: status), told: true)
            }
        case .answered(let device, let operation, let result):
            guard let id = live(device), let (pending, waiter) = links[id]!.pending, pending == operation else { return }
            switch result {
            case .success(let answer): resolve(waiter, .success(answer))
            case .failure(.att(let code)):
                resolve(waiter, .failure(.failed(wantsBonding.contains(code) ? .WantsBonding : .Att(code: code))))
            case .failure(.other(let detail)): resolve(waiter, .failure(.failed(.Failed(detail: detail))))
            }
        case .restored(let devices):
            outlived.formUnion(devices)
            if state == .on { letGoOfOutlived() }
        }
    }

    /// A pairing does not outlive its process; the journal finishes it at the next start, over a session of its own. Until then the
    /// device, which has one connection at a time, must be heard again.
    private func letGoOfOutlived() {
        if outlived.isEmpty { return }
        // iOS has kept the scan too.
        if listening == nil { radio.stopListening() }
        for device in outlived where live(device) == nil { letGo(device) }
        outlived = []
    }

    private func letGo(_ device: UUID) {
        leaving[device] = leaving[device] ?? []
        radio.disconnect(device)
    }

    private func live(_ device: UUID) -> UInt64? {
        links.first { $0.value.device == device && $0.value.ended == nil }?.key
    }

    private func leave(_ device: UUID) {
        leaving.removeValue(forKey: device)?.forEach { resolve($0, .success(.done)) }
    }

    private func report(_ heard: Heard, to id: UInt64) {
        let report = BleAdvertisement(
            address: heard.device.uuidString,
            name: heard.name,
            rssi: heard.rssi.map { Int16(clamping: $0) },
            services: heard.services,
            serviceData: heard.serviceData.map { BleServiceData(uuid: $0.key, data: $0.value) })
        listeners[id]!.reports.append(report)
        if listeners[id]!.reports.count > behind { listeners[id]!.reports.removeFirst() }
        if let waiter = listeners[id]!.waiting {
            listeners[id]!.waiting = nil
            resolve(waiter, .success(.done))
        }
    }

    private func fellSilent() {
        for id in links.keys { end(id, .AdapterOff, told: true) }
        for device in leaving.keys { leave(device) }
        outlived = []
        let waiting = listeners.values.compactMap(\.waiting)
        listeners = [:]
        tune()
        let reason: BleError = (try? refuse()) == nil ? refusal() : .AdapterOff
        waiting.forEach { resolve($0, .failure(.failed(reason))) }
    }

    // MARK: Waiting

    private func usable() async throws {
        if state == .unknown {
            do {
                _ = try await wait(startTime) { waitingForState.append($0) }
            } catch Halt.cancelled {
                throw CancellationError()
            } catch {
                throw BleError.Failed(detail: "iOS does not say whether Bluetooth is on")
            }
        }
        try refuse()
    }

    private func refuse() throws {
        if state != .on { throw refusal() }
    }

    private func refusal() -> BleError {
        switch state {
        case .unsupported: .NoAdapter
        case .unauthorized: .PermissionMissing(permissions: ["NSBluetoothAlwaysUsageDescription"])
        case .on, .off, .unknown: .AdapterOff
        }
    }

    private func next() -> UInt64 {
        last += 1
        return last
    }

    /// Suspends until somebody resolves the number that `begin` is given, the time is up, or the calling task is cancelled.
    private func wait(_ within: Duration?, _ begin: (UInt64) -> Void) async throws -> GattAnswer {
        let id = next()
        let timer = within.map { within in
            Task { [clock, weak self] in
                try await clock.sleep(for: within)
                await self?.resolve(id, .failure(.late))
            }
        }
        defer { timer?.cancel() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                waits[id] = continuation
                if Task.isCancelled { resolve(id, .failure(.cancelled)) } else { begin(id) }
            }
        } onCancel: {
            Task { await self.resolve(id, .failure(.cancelled)) }
        }
    }

    private func resolve(_ id: UInt64, _ result: Result<GattAnswer, Halt>) {
        waits.removeValue(forKey: id)?.resume(with: result.mapError { $0 })
    }
}
