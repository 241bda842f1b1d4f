import Foundation
import Testing

@testable import Lowtouch

/// A clock that stands still until a test moves it.
final class SimulatedClock: Clock, @unchecked Sendable {
    struct Instant: InstantProtocol {
        let offset: Duration
        func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - offset }
        static func < (a: Instant, b: Instant) -> Bool { a.offset < b.offset }
    }

    private struct Sleeper {
        let id: Int
        let until: Instant
        let continuation: CheckedContinuation<Void, any Error>
    }

    private let lock = NSLock()
    private var time = Instant(offset: .zero)
    private var sleepers: [Sleeper] = []
    private var ids = 0
    private var watchers: [CheckedContinuation<Void, Never>] = []

    var now: Instant { lock.withLock { time } }
    var minimumResolution: Duration { .zero }

    func sleep(until: Instant, tolerance: Duration?) async throws {
        let id = lock.withLock {
            ids += 1
            return ids
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (watching, over): ([CheckedContinuation<Void, Never>], Bool) = lock.withLock {
                    if Task.isCancelled || until <= time { return ([], true) }
                    sleepers.append(Sleeper(id: id, until: until, continuation: continuation))
                    defer { watchers = [] }
                    return (watchers, false)
                }
                if over {
                    if Task.isCancelled { continuation.resume(throwing: CancellationError()) } else { continuation.resume() }
                }
                watching.forEach { $0.resume() }
            }
        } onCancel: {
            let sleeper = lock.withLock {
                sleepers.firstIndex { $0.id == id }.map { sleepers.remove(at: $0) }
            }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Waits until somebody sleeps, then lets so much time go by.
    func pass(_ duration: Duration) async { await pass(duration) { _ in true } }

    /// Waits until somebody sleeps who wakes within `duration`, then lets that time go by.
    func wake(within duration: Duration) async { await pass(duration) { $0.until <= self.time.advanced(by: duration) } }

    private func pass(_ duration: Duration, when: (Sleeper) -> Bool) async {
        while !lock.withLock({ sleepers.contains(where: when) }) {
            await withCheckedContinuation { continuation in
                let already = lock.withLock {
                    let already = sleepers.contains(where: when)
                    if !already { watchers.append(continuation) }
                    return already
                }
                if already { continuation.resume() }
            }
        }
        let due = lock.withLock {
            time = time.advanced(by: duration)
            let due = sleepers.filter { $0.until <= time }
            sleepers.removeAll { $0.until <= time }
            return due
        }
        due.forEach { $0.continuation.resume() }
    }
}

/// `bindings/scenarios/ble.json`, as far as Swift runs it.
struct ScenarioList: Decodable {
    struct Device: Decodable {
        let name: String
        let rssi: Int
        let mtu: UInt16
    }
    struct Characteristic: Decodable {
        let uuid: UUID
        let description: String?
        let readable: Bool
        let writable: Bool
    }
    struct Layout: Decodable {
        let service: UUID
        let characteristics: [String: Characteristic]
    }
    let device: Device
    let layout: Layout
    let scenarios: [Scenario]

    static func load() throws -> ScenarioList {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../../scenarios")
        return try JSONDecoder().decode(ScenarioList.self, from: Data(contentsOf: folder.appendingPathComponent("ble.json")))
    }
}

struct Scenario: Decodable, CustomTestStringConvertible {
    struct Phone: Decodable {
        let adapter: String?
        let permission: String?
    }
    struct DeviceChange: Decodable {
        let mtu: UInt16?
    }
    struct Rule: Decodable {
        let at: String
        let nth: Nth?
        let does: String
        let status: Int32?
        let code: UInt8?
        let seconds: Int?
    }
    enum Nth: Decodable {
        case every
        case number(Int)
        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            if let number = try? value.decode(Int.self) { self = .number(number) } else { self = .every }
        }
    }
    struct After: Decodable {
        let connections: Int
        let open: Int
        let listening: Bool
    }
    let name: String
    let except: [String: String]?
    let phone: Phone?
    let device: DeviceChange?
    let script: [Rule]?
    let steps: [ScenarioStep]
    let after: After
    var testDescription: String { name }

    static var forApple: [Scenario] {
        get throws { try ScenarioList.load().scenarios.filter { $0.except?["ios"] == nil } }
    }
}

struct ScenarioStep: Decodable, Sendable {
    let `do`: String
    let error: String?
    let status: Int32?
    let code: UInt8?
    let cancelAfter: Int?
    let expect: Expectation?
    let descriptions: Bool?
    let to: String?
    let from: String?
    let value: String?
    let calls: [ScenarioStep]?
    let name: String?

    enum CodingKeys: String, CodingKey {
        case `do`, error, status, code, expect, descriptions, to, from, value, calls
        case cancelAfter = "cancel-after"
        case name = "for"
    }
}

enum Expectation: Decodable, Sendable {
    case number(Int)
    case text(String)
    case values([String: Value?])
    enum Value: Decodable, Sendable, Equatable {
        case number(Int)
        case text(String)
        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            if let number = try? value.decode(Int.self) { self = .number(number) } else { self = .text(try value.decode(String.self)) }
        }
    }
    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let number = try? value.decode(Int.self) {
            self = .number(number)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else {
            self = .values(try value.decode([String: Value?].self))
        }
    }
}

/// A phone's radio with one device in reach, as a scenario scripts them. As in CoreBluetooth commands return at once and answers come later.
final class ScriptedRadio: Radio, @unchecked Sendable {
    static let device = UUID(uuidString: "240AC4CE-03C0-4000-8000-000000000001")!
    let events: AsyncStream<RadioEvent>
    private let tell: AsyncStream<RadioEvent>.Continuation
    private let list: ScenarioList
    private let rules: [Scenario.Rule]
    private let mtu: UInt16
    private let clock: SimulatedClock
    private let names: [String]
    private let lock = NSLock()
    // Under the lock:
    private var counts: [String: Int] = [:]
    private var stored: [Int: Data] = [:]
    private var attempted = false
    private var isUp = false
    private var running = 0
    private(set) var connections = 0
    private(set) var listening = false
    private(set) var mostAtOnce = 0
    private var begun = 0
    private var beginWaiters: [(Int, CheckedContinuation<Void, Never>)] = []

    init(_ list: ScenarioList, _ scenario: Scenario, _ clock: SimulatedClock) {
        (events, tell) = AsyncStream.makeStream()
        self.list = list
        self.clock = clock
        rules = scenario.script ?? []
        mtu = scenario.device?.mtu ?? list.device.mtu
        names = list.layout.characteristics.keys.sorted { list.layout.characteristics[$0]!.uuid.uuidString < list.layout.characteristics[$1]!.uuid.uuidString }
        let state: RadioState =
            switch (scenario.phone?.adapter, scenario.phone?.permission) {
            case ("off", _): .off
            case ("none", _): .unsupported
            case (_, "missing"): .unauthorized
            default: .on
            }
        tell.yield(.state(state))
    }

    var open: Int { lock.withLock { attempted || isUp ? 1 : 0 } }

    var silentAt: String? { rules.first { $0.does == "silent" }?.at }

    private func rule(_ at: String) -> Scenario.Rule? {
        let nth = lock.withLock {
            counts[at, default: 0] += 1
            return counts[at]!
        }
        return rules.first {
            guard $0.at == at else { return false }
            switch $0.nth {
            case .every: return true
            case .number(let number): return number == nth
            case nil: return nth == 1
            }
        }
    }

    /// Returns when the radio has been told so many things in all.
    func told(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let already = lock.withLock {
                if begun < count { beginWaiters.append((count, continuation)) }
                return begun >= count
            }
            if already { continuation.resume() }
        }
    }

    var toldSoFar: Int { lock.withLock { begun } }

    private func was() {
        let ready = lock.withLock {
            begun += 1
            let ready = beginWaiters.filter { $0.0 <= begun }
            beginWaiters.removeAll { $0.0 <= begun }
            return ready
        }
        ready.forEach { $0.1.resume() }
    }

    func idle() {
        if let rule = rule("idle"), rule.does == "disconnect" { gone(rule.status!) }
    }

    private func gone(_ status: Int32) {
        lock.withLock {
            attempted = false
            isUp = false
            running = 0
        }
        tell.yield(.disconnected(Self.device, status: status))
    }

    private func turnOff() {
        lock.withLock {
            attempted = false
            isUp = false
            listening = false
        }
        tell.yield(.state(.off))
    }

    func listen(for wanted: Listening) {
        lock.withLock { listening = true }
        if rule("scan")?.does == "off" {
            turnOff()
        } else {
            tell.yield(
                .heard(Heard(device: Self.device, name: list.device.name, rssi: list.device.rssi, services: [list.layout.service], serviceData: [:])))
        }
        was()
    }

    func stopListening() {
        lock.withLock { listening = false }
        was()
    }

    func connect(_ device: UUID) -> Bool {
        let number = lock.withLock {
            connections += 1
            attempted = true
            return connections
        }
        let rule = rule("connect")
        Task {
            switch rule?.does {
            case "silent":
                if !hasCancel {
                    while isTried(number) { await clock.wake(within: .seconds(10)) }
                    await clock.wake(within: .seconds(1))
                }
                return
            case "fail":
                lock.withLock { attempted = false }
                tell.yield(.connectFailed(device))
                await clock.wake(within: .seconds(1))
                return
            case "disconnect":
                lock.withLock { attempted = false }
                tell.yield(.disconnected(device, status: rule!.status!))
                await clock.wake(within: .seconds(1))
                return
            case "slow": await clock.pass(.seconds(rule!.seconds!))
            default: break
            }
            lock.withLock {
                attempted = false
                isUp = true
            }
            tell.yield(.connected(device))
        }
        was()
        return true
    }

    private func isTried(_ number: Int) -> Bool { lock.withLock { attempted && connections == number } }

    /// Whether the scenario gives calls up: then the test moves the clock.
    var hasCancel = false

    func disconnect(_ device: UUID) {
        let was = lock.withLock {
            defer {
                attempted = false
                isUp = false
            }
            return attempted || isUp
        }
        if was { tell.yield(.disconnected(device, status: 0)) }
    }

    func begin(_ operation: GattOperation, on device: UUID) {
        let at =
            switch operation {
            case .services: "discover"
            case .characteristics, .descriptors: ""
            case .describe: "describe"
            case .write: "write"
            case .read: "read"
            }
        let rule = rule(at)
        lock.withLock {
            running += 1
            mostAtOnce = max(mostAtOnce, running)
        }
        Task {
            switch rule?.does {
            case "silent":
                while !hasCancel && open == 1 { await clock.wake(within: .seconds(30)) }
                return
            case "disconnect": return gone(rule!.status!)
            case "off": return turnOff()
            case "slow": await clock.pass(.seconds(rule!.seconds!))
            default: break
            }
            lock.withLock { running -= 1 }
            tell.yield(.answered(device, operation, rule?.does == "att" ? .failure(.att(rule!.code!)) : answer(operation)))
        }
        was()
    }

    private func answer(_ operation: GattOperation) -> Result<GattAnswer, GattFailure> {
        let layout = list.layout.characteristics
        switch operation {
        case .services: return .success(.services([list.layout.service]))
        case .characteristics:
            let all = names.map { FoundCharacteristic(uuid: layout[$0]!.uuid, readable: layout[$0]!.readable, writable: layout[$0]!.writable) }
            return .success(.characteristics(all))
        case .descriptors(_, let place): return .success(.descriptors(hasDescription: layout[names[place]]!.description != nil))
        case .describe(_, let place): return .success(.value(Data(layout[names[place]]!.description!.utf8)))
        case .write(_, let place, let value):
            lock.withLock { stored[place] = Data(value.reversed()) }
            return .success(.done)
        case .read(_, let place): return .success(.value(lock.withLock { stored[place] ?? Data() }))
        }
    }

    func mtu(of device: UUID) -> UInt16 { mtu }
}
