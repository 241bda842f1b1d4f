import Foundation
import LowtouchBindings

/// Words by the key of `Localizable.xcstrings`, with the values that go into them. What is shown is decided here, in which language only
/// on the screen.
public struct Words: Hashable, Sendable {
    public let key: String
    public let values: [String]
    public let count: Int?

    public init(_ key: String, _ values: String..., count: Int? = nil) {
        self.key = key
        self.values = values
        self.count = count
    }

    // Nil: one that this app has no words for.
    public init?(_ step: Step) { self.init(known: step, of: "codes_steps") }
    public init?(_ waitingFor: WaitingFor) { self.init(known: waitingFor, of: "codes_waitingFor") }
    public init?(_ network: NetworkStep) { self.init(known: network, of: "codes_networkStates") }
    public init?(_ reason: RetryReason) { self.init(known: reason, of: "codes_retryReasons") }
    public init(_ action: Action) { self.init("codes_actions_\(Words.key(action == .unknown ? .nothing : action))") }

    public static func title(_ failure: Failure) -> Words { of(failure, "title") }
    public static func text(_ failure: Failure) -> Words { of(failure, "text") }

    private static func of(_ failure: Failure, _ which: String) -> Words {
        Words(failure.code == .unknown ? "codes_unknownCode_\(which)" : "codes_errors_\(part(failure.hintKey))_\(which)")
    }

    /// Nil: one that this app has no words for.
    public init?(_ warning: PairingWarning) {
        switch warning {
        case .sessionUnprotected: self.init("codes_warnings_session_unprotected")
        case .sessionWithoutIntegrity: self.init("codes_warnings_session_without_integrity")
        case .sessionNonceReuse: self.init("codes_warnings_session_nonce_reuse")
        case .securityDowngraded(let label, let device): self.init("codes_warnings_security_downgraded", "\(device)", "\(label)")
        case .ownerNotChecked: self.init("codes_warnings_owner_not_checked")
        case .alreadyOwned: self.init("codes_warnings_already_owned")
        case .codesGuessed(let count): self.init("codes_warnings_codes_guessed", count: Int(count))
        case .outcomeNotRecorded: self.init("codes_warnings_outcome_not_recorded")
        case .confirmedByApi: self.init("codes_warnings_confirmed_by_api")
        case .idScopeOverridden(let given, let sent): self.init("codes_warnings_id_scope_overridden", sent, given)
        case .endpointOverridden(let given, let sent): self.init("codes_warnings_endpoint_overridden", sent, given)
        case .wifiNotCleared: self.init("codes_warnings_wifi_not_cleared")
        case .unknown: return nil
        }
    }

    private init?(known value: Any, of group: String) {
        let key = Words.key(value)
        if key == "unknown" { return nil }
        self.init("\(group)_\(key)")
    }

    /// `.handOff` as it ends a key: `hand_off`.
    private static func key(_ value: Any) -> String {
        "\(value)".reduce(into: "") { $0 += $1.isUppercase ? "_\($1.lowercased())" : String($1) }
    }

    /// `wrong-pop` as it stands in a key.
    private static func part(_ code: String) -> String { code.replacingOccurrences(of: "-", with: "_") }
}

#if canImport(Darwin)
    extension Words {
        /// In the person's language.
        public var text: String {
            let format = Bundle.module.localizedString(forKey: key, value: nil, table: nil)
            let arguments: [any CVarArg] = (count.map { [$0] } ?? []) + values
            return arguments.isEmpty ? format : String.localizedStringWithFormat(format, arguments)
        }
    }

    extension String {
        fileprivate static func localizedStringWithFormat(_ format: String, _ arguments: [any CVarArg]) -> String {
            String(format: format, locale: .current, arguments: arguments)
        }
    }
#endif
