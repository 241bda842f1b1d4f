import Foundation
import LowtouchBindings
import Testing

/// What every language must answer: bindings/vectors.
@Suite struct VectorsTests {
    struct LabelVector: Decodable, CustomTestStringConvertible {
        let text: String
        let name: String?
        let transport: String?
        let security: String?
        let link: String?
        let key: String?
        let other: String?
        var testDescription: String { key ?? name ?? "" }
    }

    struct CodeVector: Decodable, Equatable {
        let key: String
        let action: String
    }

    static func read<T: Decodable>(_ name: String) throws -> [T] {
        let file = PairingScreenTests.bindings.appendingPathComponent("vectors/\(name)")
        return try JSONDecoder().decode([T].self, from: Data(contentsOf: file))
    }

    static var labels: [LabelVector] { get throws { try read("labels.json") } }

    /// `.handOff` is `hand-off`, `.homeKitCode` is `home-kit-code`.
    private func kebab(_ value: Any) -> String {
        "\(value)".reduce(into: "") { $0 += $1.isUppercase ? "-\($1.lowercased())" : String($1) }
    }

    @Test(arguments: try VectorsTests.labels)
    func labelsAreReadAsInEveryLanguage(_ vector: LabelVector) throws {
        do {
            let label = try Label.parse(text: vector.text)
            #expect(label.name() == vector.name)
            #expect(label.link() == vector.link)
            #expect(kebab(label.security()) == vector.security)
            let transport: String? =
                switch label.transport() {
                case nil: nil
                case .ble: "ble"
                case .softap: "softap"
                case .serial: "serial"
                case .other(let word): word
                }
            #expect(transport == vector.transport)
        } catch LabelError.SomethingElse(let other, let failure) {
            #expect(failure.hintKey == vector.key)
            #expect(kebab(other) == vector.other)
        } catch LabelError.Unusable(let failure) {
            #expect(failure.hintKey == vector.key)
            #expect(vector.other == nil)
        }
    }

    @Test func theCodesAreThoseOfEveryLanguage() throws {
        let kept: [CodeVector] = try Self.read("error-codes.json")
        #expect(errorCodes().map { CodeVector(key: $0.key, action: kebab($0.action)) } == kept)
    }

    @Test func whatHoldsASecretDoesNotPrintIt() throws {
        let label = try Label.parse(text: #"{"ver":"v1","name":"PROV_1","pop":"marked-secret","transport":"ble"}"#)
        let wifi = WifiCredentials(ssid: "site", passphrase: "marked-secret")
        let invite = try Invite.parse(text: "lowtouch:invite#server=https://a.example&code=marked-secret")
        let request = PairingRequest(label: label, wifi: wifi)
        for printed in [label, wifi, invite, request] as [Any] {
            var dumped = ""
            dump(printed, to: &dumped)
            #expect(!"\(printed)\(dumped)".contains("marked-secret"))
        }
        #expect(invite.server().absoluteString == "https://a.example/")
    }
}
