import LowtouchBindings

extension Failure {
    /// What to tell the person of whatever a call of the library threw. An error that is none of the library's is a fault in the app or in us.
    public init(_ error: any Error) {
        switch error {
        case SettingsError.Invalid(let failure), SettingsError.Failed(let failure),
            AccountError.NotThere(let failure), AccountError.Failed(let failure),
            SignInError.Cancelled(let failure), SignInError.StartAgain(let failure), SignInError.CaptivePortal(let failure),
            SignInError.Failed(let failure),
            InviteError.NotAnInvite(let failure), InviteError.Failed(let failure),
            LabelError.SomethingElse(_, let failure), LabelError.Unusable(let failure),
            PairingError.Cancelled(let failure), PairingError.SignInNeeded(let failure), PairingError.PermissionNeeded(let failure),
            PairingError.Failed(let failure),
            DeviceError.Cancelled(let failure), DeviceError.PermissionNeeded(let failure), DeviceError.Failed(let failure),
            JournalError.NotThere(let failure), JournalError.SignInNeeded(let failure), JournalError.Failed(let failure),
            OrderError.NotOpen(let failure), OrderError.SignInNeeded(let failure), OrderError.Failed(let failure):
            self = failure
        default:
            self.init(
                code: .internal, action: .contactSupport, hintKey: "internal", hint: "This program has a fault.", step: nil,
                detail: "\(error)", retryAfter: nil, requestId: nil, missingRole: nil)
        }
    }
}
