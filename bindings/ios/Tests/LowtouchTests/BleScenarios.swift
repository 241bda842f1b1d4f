import Foundation
import LowtouchBindings
import Testing

@testable import Lowtouch

/// Every scenario of `bindings/scenarios/ble.json` that a phone of Apple's can meet.
@Suite struct BleScenarios {
    @Test(arguments: try Scenario.forApple)
    func scenario(_ scenario: Scenario) async throws {
        let list = try ScenarioList.load()
        let clock = SimulatedClock()
        let radio = ScriptedRadio(list, scenario, clock)
        radio.hasCancel = scenario.steps.contains { $0.cancelAfter != nil }
        let run = Run(list: list, radio: radio, clock: clock, ble: PhoneBle(radio: radio, clock: clock))
        for step in scenario.steps {
            try await run.step(step)
            radio.idle()
        }
        #expect(radio.connections == scenario.after.connections, "connections made")
        #expect(radio.open == scenario.after.open, "connections left open")
        #expect(radio.listening == scenario.after.listening, "listens on")
        #expect(radio.mostAtOnce <= 1, "operations at once")
    }
}

private final class Run: @unchecked Sendable {
    let list: ScenarioList
    let radio: ScriptedRadio
    let clock: SimulatedClock
    let ble: PhoneBle
    private var connection: (any BleConnection)?

    init(list: ScenarioList, radio: ScriptedRadio, clock: SimulatedClock, ble: PhoneBle) {
        self.list = list
        self.radio = radio
        self.clock = clock
        self.ble = ble
    }

    func step(_ step: ScenarioStep) async throws {
        if step.cancelAfter != nil { return await cancelled(step) }
        do {
            try await call(step)
            #expect(step.error == nil, "\(step) went well")
        } catch let error as BleError {
            #expect(name(error) == step.error, "\(step): \(error)")
            if case .Disconnected(let status) = error, let expected = step.status { #expect(status == expected) }
            if case .Att(let code) = error { #expect(code == step.code) }
        }
    }

    /// Starts the call, lets it get as far as it gets, gives it up.
    private func cancelled(_ step: ScenarioStep) async {
        let call = Task { try await self.call(step) }
        await radio.told(reach(step))
        call.cancel()
        let ended = await call.result
        #expect(throws: (any Error).self) { try ended.get() }
    }

    /// How many commands the radio has had when the script's silence begins.
    private func reach(_ step: ScenarioStep) -> Int {
        let before = radio.toldSoFar
        // Discovery of descriptors: services, characteristics, the first descriptors, then the description that never comes.
        return step.do == "discover" && radio.silentAt == "describe" ? before + 4 : before + 1
    }

    private func name(_ error: BleError) -> String { String("\(error)".prefix { $0 != "(" }) }

    private func call(_ step: ScenarioStep) async throws {
        switch step.do {
        case "scan": try await scan(step)
        case "connect": connection = try await ble.connect(address: ScriptedRadio.device.uuidString)
        case "mtu":
            guard case .number(let expected) = step.expect else { return }
            #expect(try await connection!.requestMtu(mtu: 517) == UInt16(expected))
        case "discover": try await discover(step)
        case "write": try await connection!.write(characteristic: id(step.to!), value: bytes(step.value!))
        case "read":
            guard case .text(let expected) = step.expect else {
                _ = try await connection!.read(characteristic: id(step.from!))
                return
            }
            #expect(try await connection!.read(characteristic: id(step.from!)) == bytes(expected))
        case "disconnected": throw BleError.Disconnected(status: try await connection!.disconnected())
        case "disconnect": try await connection!.disconnect()
        case "both":
            try await withThrowingTaskGroup(of: Void.self) { group in
                for one in step.calls! { group.addTask { try await self.call(one) } }
                try await group.waitForAll()
            }
        default: Issue.record("unknown step \(step)")
        }
    }

    private func scan(_ step: ScenarioStep) async throws {
        let scan = try await ble.scan(filter: BleScanFilter(services: [list.layout.service], name: step.name))
        do {
            var heard = try await scan.next()
            while heard.name != step.name { heard = try await scan.next() }
            #expect(heard.rssi == Int16(list.device.rssi))
            #expect(heard.services == [list.layout.service])
        } catch {
            try await scan.stop()
            throw error
        }
        try await scan.stop()
    }

    private func discover(_ step: ScenarioStep) async throws {
        let services = try await connection!.discover(descriptions: step.descriptions!)
        guard case .values(let expected) = step.expect else { return }
        let found = try #require(services.first { $0.uuid == list.layout.service })
        for (name, text) in expected {
            let layout = list.layout.characteristics[name]!
            let characteristic = try #require(found.characteristics.first { $0.id.uuid == layout.uuid })
            let description = characteristic.description.map { Expectation.Value.text(String(decoding: $0, as: UTF8.self)) }
            #expect(description == text, "\(name)")
            #expect(characteristic.writable == layout.writable && characteristic.readable == layout.readable)
        }
    }

    private func id(_ name: String) -> BleCharacteristicId {
        BleCharacteristicId(service: list.layout.service, uuid: list.layout.characteristics[name]?.uuid ?? UUID(), instance: 0)
    }

    private func bytes(_ hex: String) -> Data {
        var rest = Substring(hex)
        var bytes = Data()
        while !rest.isEmpty {
            bytes.append(UInt8(rest.prefix(2), radix: 16)!)
            rest = rest.dropFirst(2)
        }
        return bytes
    }
}
