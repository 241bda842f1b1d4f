import LowtouchBindings

/// What a QR code turned out to be.
public enum Scanned: Sendable {
    case invite(Invite)
    case label(Label)
    /// Neither; why is said to the person.
    case other(Failure)

    public init(_ text: String) {
        do {
            self = text.hasPrefix("lowtouch:invite") ? .invite(try Invite.parse(text: text)) : .label(try Label.parse(text: text))
        } catch {
            self = .other(Failure(error))
        }
    }
}

extension Words {
    public static func state(_ state: EntryState) -> Words {
        switch state {
        case .assigned: Words("phone_history_assigned")
        case .failed: Words("phone_history_failed")
        case .open, .unknown: Words("phone_history_open")
        }
    }
}
