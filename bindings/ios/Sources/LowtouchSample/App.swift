import Foundation
import Lowtouch
import LowtouchBindings
import Observation
import PairingWords

/// What the sample app shows, and what a press does. Knows no SwiftUI; the views draw `page` and call back. Android has the same in `App.kt`.
@available(iOS 17, macOS 14, *)
@MainActor @Observable
public final class App {
    public enum Page: Sendable {
        /// Nobody is signed in: scan an invite.
        case signIn(Failure?)
        /// An invite was read: the person confirms whom they sign in to.
        case confirm(Invite, isSent: Bool)
        /// Scan a label.
        case scan(Failure?)
        case pairing(PairingScreen)
        /// With why it could not be read.
        case history([Line], Failure?)
    }

    public struct Line: Identifiable, Sendable {
        public let id: UUID
        public let device: String
        public let state: Words
        public let hub: String?
    }

    public private(set) var page = Page.scan(nil)
    private let open: () throws -> Installer
    private var opened: Installer?
    private var running: Task<Void, Never>?
    private var label: Label?

    /// - Parameter open: makes the one installer of this process. What fails there is said on the page, and tried again by what needs it.
    public init(open: @escaping () throws -> Installer) { self.open = open }

    public func start() {
        do { page = try signedIn() ? .scan(nil) : .signIn(nil) } catch { page = .signIn(Failure(error)) }
    }

    private func installer() throws -> Installer {
        let installer = try opened ?? open()
        opened = installer
        return installer
    }

    private func signedIn() throws -> Bool { try installer().accounts().current != nil }

    public func scanned(_ code: Scanned) {
        // The camera may have read one more while its page went.
        switch page {
        case .signIn, .scan: break
        case .confirm, .pairing, .history: return
        }
        do {
            switch code {
            case .invite(let invite): page = .confirm(invite, isSent: false)
            case .label(let label): if try signedIn() { pair(label) } else { page = .signIn(nil) }
            case .other(let failure): page = try signedIn() ? .scan(failure) : .signIn(failure)
            }
        } catch { page = .signIn(Failure(error)) }
    }

    public func confirm() {
        // An invite is good for one sign-in: a second press would be refused.
        guard case .confirm(let invite, isSent: false) = page else { return }
        page = .confirm(invite, isSent: true)
        Task {
            do {
                _ = try await installer().signInWithInvite(invite: invite, caPem: nil)
                page = .scan(nil)
            } catch { page = .signIn(Failure(error)) }
        }
    }

    private func pair(_ label: Label) {
        self.label = label
        var screen = PairingScreen(device: label.name())
        page = .pairing(screen)
        let former = running
        running = Task {
            // One that was cancelled may still be telling its device.
            await former?.value
            // Cancelled while it waited: it has not begun, and does not.
            if Task.isCancelled { return }
            do {
                let pairing = try await installer().pair(request: PairingRequest(label: label))
                for await event in pairing.events {
                    screen = screen.after(event)
                    show(screen)
                }
                // Told above.
                _ = try? await pairing.result()
            } catch { show(screen.failed(Failure(error))) }
        }
    }

    /// A pairing that was cancelled says so in the end, when its page is gone.
    private func show(_ screen: PairingScreen) {
        if !Task.isCancelled { page = .pairing(screen) }
    }

    /// - Returns: what only the screen can do: settings, copying.
    public func press(_ button: PairingScreen.Button) -> PairingScreen.Button? {
        // The button may have changed under the finger.
        guard case .pairing(let screen) = page, screen.button == button else { return nil }
        switch button {
        case .cancel:
            running?.cancel()
            page = .scan(nil)
        case .nextDevice, .scanLabel: page = .scan(nil)
        case .tryAgain: label.map(pair)
        case .signIn: page = .signIn(nil)
        case .allow, .copyDetails: return button
        }
        return nil
    }

    /// The app is in front again, perhaps from the settings or from iOS's question: what failed for want of a permission is tried again.
    /// One that is still refused fails at once, with the same page.
    public func cameToFront() {
        if case .pairing(let screen) = page, screen.button == .allow { label.map(pair) }
    }

    public func history() {
        guard case .scan = page else { return }
        Task {
            let found: Page
            do {
                found = .history(
                    try await installer().journal(limit: 200).map {
                        Line(id: $0.handoffId, device: $0.name, state: .state($0.state), hub: $0.deviceSaid?.hub ?? $0.dpsSaid?.hub)
                    }, nil)
            } catch { found = .history([], Failure(error)) }
            // Unless a label was scanned meanwhile.
            if case .scan = page { page = found }
        }
    }
}
