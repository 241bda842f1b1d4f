import LowtouchBindings

/// What the pairing page shows: a value, and `after` an event the next one. It knows neither SwiftUI nor a thread; Android has the same
/// in `PairingScreen.kt`.
public struct PairingScreen: Sendable {
    /// A step that has begun. Those to come are not shown: which of them there will be is the device's affair.
    public struct Line: Identifiable, Sendable, Equatable {
        public let step: Step
        public var state: State
        public let words: Words
        public var detail: Words?
        public var id: Step { step }
    }

    public enum State: Sendable { case running, done, failed }

    public enum End: Sendable {
        case done(Paired)
        case failed(Failure)
    }

    /// The one big button: always the right next thing.
    public enum Button: Sendable, CaseIterable { case cancel, nextDevice, tryAgain, signIn, allow, scanLabel, copyDetails }

    public private(set) var device: String
    public private(set) var lines: [Line] = []
    public private(set) var warnings: [Words] = []
    public private(set) var end: End?

    public init(device: String) { self.device = device }

    public var title: Words {
        switch end {
        case nil: Words("phone_pairing_title", device)
        case .done(let paired): Words("phone_pairing_done", paired.hub)
        case .failed(let failure): failure.code == .cancelled ? Words("phone_pairing_cancelled") : .title(failure)
        }
    }

    public var text: Words? {
        switch end {
        case nil: nil
        case .done: Words("phone_pairing_doneText", device)
        case .failed(let failure): failure.code == .cancelled ? nil : .text(failure)
        }
    }

    public var button: Button {
        switch end {
        case nil: .cancel
        case .done: .nextDevice
        case .failed(let failure) where failure.code == .cancelled: .scanLabel
        case .failed(let failure):
            switch failure.action {
            case .signInAgain: .signIn
            // Anything else (a locked keychain, a full disk) the person sees to elsewhere, as the text says.
            case .grantPermission: failure.code == .linkPermissionDenied ? .allow : .tryAgain
            case .checkPop, .checkLabel, .checkLink: .scanLabel
            case .updateApp, .updateFirmware, .askAdministrator, .contactSupport: .copyDetails
            case .nothing: .nextDevice
            default: .tryAgain
            }
        }
    }

    public var buttonWords: Words {
        switch button {
        case .cancel: Words("phone_pairing_cancel")
        case .nextDevice: Words("phone_pairing_next")
        case .tryAgain: Words(Action.retry)
        case .signIn: Words(Action.signInAgain)
        case .allow: Words("phone_bluetooth_settings")
        case .scanLabel: Words("phone_scan_label")
        case .copyDetails: Words(Action.askAdministrator)
        }
    }

    /// What support asks for: no secrets. Nil while nothing failed.
    public var details: String? {
        guard case .failed(let failure) = end else { return nil }
        return [failure.hintKey, failure.step.map { "\($0)" }, failure.detail, failure.requestId?.uuidString].compactMap { $0 }.joined(
            separator: "\n")
    }

    public func after(_ event: PairingEvent) -> PairingScreen {
        var next = self
        switch event {
        case .started(_, _, let name, _): next.device = name
        case .stepStarted(let step, let waitingFor, _):
            guard let words = Words(step) else { break }
            next.lines.removeAll { $0.step == step }
            next.lines.append(Line(step: step, state: .running, words: words, detail: Words(waitingFor)))
        case .stepDone(let step, _, _): next.change(step) { ($0.state, $0.detail) = (.done, nil) }
        case .searching(let heard): next.change(.discover) { $0.detail = Words("phone_pairing_heard", count: Int(heard)) }
        case .retrying(let step, _, _, let reason): next.change(step) { $0.detail = Words(reason) }
        case .offline(let step, _): next.change(step) { $0.detail = Words("phone_pairing_offline") }
        case .online(let step, _): next.change(step) { $0.detail = nil }
        case .network(let state): next.change(.network) { $0.detail = Words(state) }
        case .warning(let warning): Words(warning).map { next.warnings.append($0) }
        case .finished(let paired): next.end = .done(paired)
        case .failed(let failure): next = failed(failure)
        default: break
        }
        return next
    }

    /// For a pairing that could not even begin.
    public func failed(_ failure: Failure) -> PairingScreen {
        var next = self
        next.end = .failed(failure)
        for index in next.lines.indices where next.lines[index].state == .running {
            (next.lines[index].state, next.lines[index].detail) = (.failed, nil)
        }
        return next
    }

    private mutating func change(_ step: Step, _ change: (inout Line) -> Void) {
        for index in lines.indices where lines[index].step == step { change(&lines[index]) }
    }
}
