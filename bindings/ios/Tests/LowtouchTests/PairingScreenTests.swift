import Foundation
import LowtouchBindings
import PairingWords
import Testing

@Suite struct PairingScreenTests {
    struct Pages: Decodable {
        let pages: [Page]
    }

    struct Page: Decodable, CustomTestStringConvertible {
        let name: String
        let events: [[String: Event]]
        let title: String
        let text: String?
        let button: String
        let lines: [[String?]]
        var testDescription: String { name }
    }

    enum Event: Decodable {
        case one(String)
        case two(String, String)

        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            if let one = try? value.decode(String.self) {
                self = .one(one)
            } else {
                let two = try value.decode([String].self)
                self = .two(two[0], two[1])
            }
        }
    }

    static let bindings = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../..")

    static var pages: [Page] {
        get throws {
            try JSONDecoder().decode(Pages.self, from: Data(contentsOf: bindings.appendingPathComponent("scenarios/pages.json"))).pages
        }
    }

    @Test(arguments: try PairingScreenTests.pages)
    func page(_ page: Page) throws {
        var screen = PairingScreen(device: "PROV_1")
        for event in page.events { screen = screen.after(try pairingEvent(event)) }
        #expect(screen.title.key == page.title)
        #expect(screen.text?.key == page.text)
        #expect("\(screen.button)" == page.button)
        #expect(screen.lines.map { [kebab($0.step), "\($0.state)", $0.detail?.key] } == page.lines)
    }

    @Test func everyWordThatThePageCanSayIsThereInEveryLanguage() throws {
        struct Catalog: Decodable {
            struct Text: Decodable { let localizations: [String: Localization] }
            struct Localization: Decodable {}
            let strings: [String: Text]
        }
        let file = Self.bindings.appendingPathComponent("ios/Sources/PairingWords/Resources/Localizable.xcstrings")
        let catalog = try JSONDecoder().decode(Catalog.self, from: Data(contentsOf: file))
        let steps: [Step] = [.discover, .connect, .secure, .identify, .allocate, .network, .handOff, .confirm, .record, .unknown]
        let warnings: [PairingWarning] = [
            .securityDowngraded(label: 2, device: 1), .codesGuessed(count: 3), .idScopeOverridden(given: "a", sent: "b"), .ownerNotChecked,
        ]
        var words: [Words] = steps.compactMap { Words($0) } + warnings.compactMap { Words($0) }
        words += [WaitingFor.device, .api, .cloud, .journal, .unknown].compactMap { Words($0) }
        words += [RetryReason.immediate, .backOff, .retryAfter, .throttled, .unknown].compactMap { Words($0) }
        words += [.title(failure("later", .nothing, .unknown)), .text(failure("later", .nothing, .unknown))]
        for code in errorCodes() {
            let failure = failure(code.key, code.action)
            words += [.title(failure), .text(failure), Words(code.action)]
        }
        for one in words {
            let languages = catalog.strings[one.key]?.localizations.keys.sorted()
            #expect(languages == ["de", "en", "es", "zh-Hans"], "\(one.key)")
        }
    }

    private func pairingEvent(_ event: [String: Event]) throws -> PairingEvent {
        let (kind, value) = try #require(event.first)
        switch (kind, value) {
        case ("stepStarted", .two(let step, let waitingFor)):
            return .stepStarted(step: try self.step(step), waitingFor: waitingFor == "api" ? .api : .device, deadline: 30)
        case ("stepDone", .one(let step)): return .stepDone(step: try self.step(step), took: 1, roundTrips: 1)
        case ("offline", .one(let step)): return .offline(step: try self.step(step), atMost: 900)
        case ("finished", .one(let hub)): return .finished(paired: paired(hub))
        case ("failed", .two(let code, let action)):
            let found = try #require(errorCodes().first { "\($0.action)" == action }).action
            return .failed(failure: failure(code, found))
        default: throw Unknown(event: kind)
        }
    }

    private struct Unknown: Error { let event: String }

    private func step(_ name: String) throws -> Step {
        let all: [Step] = [.discover, .connect, .secure, .identify, .allocate, .network, .handOff, .confirm, .record]
        return try #require(all.first { kebab($0) == name })
    }

    private func kebab(_ value: Step) -> String { value == .handOff ? "hand-off" : "\(value)" }

    private func failure(_ key: String, _ action: Action, _ code: ErrorCode? = nil) -> Failure {
        Failure(
            code: code ?? errorCodes().first { $0.key == key }?.code ?? .unknown, action: action, hintKey: key, hint: "", step: nil, detail: nil, retryAfter: nil,
            requestId: nil, missingRole: nil)
    }

    private func paired(_ hub: String) -> Paired {
        Paired(
            handoffId: UUID(), registrationId: "r", link: "ble://x", attestation: .x509, dpsInstance: "i", idScope: "0ne", hub: hub, deviceId: "d",
            substatus: nil, roundTripsToCommit: 1, roundTrips: 1, bytesSent: 1, bytesReceived: 1, took: 3)
    }
}
