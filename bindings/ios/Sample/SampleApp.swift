import Lowtouch
import LowtouchBindings
import PairingWords
import SwiftUI

// The whole app: sign in by invite, scan a label, pair with live steps, history. An Xcode project with this folder, the package and
// Info.plist is all it takes (docs/mobile.md). Needs Apple's SDK: nobody has compiled it yet (docs/compatibility.md).
@main
struct SampleApp: App {
    // When the app starts, so that iOS can hand back what it kept for it.
    @State private var model = Model()

    var body: some Scene {
        WindowGroup { ContentView(model: model) }
    }
}

/// Presses and events in, pages out. What a page says is decided in PairingWords, which is tested.
@MainActor @Observable
final class Model {
    enum Page {
        case signIn(Failure?)
        case confirm(Invite)
        case scan(Failure?)
        case pairing(PairingScreen)
        case history([JournalEntry])
    }

    private(set) var page = Page.scan(nil)
    private let installer: Installer?
    private var label: LowtouchBindings.Label?
    private var running: Task<Void, Never>?

    init() {
        let folder = URL.applicationSupportDirectory.appending(path: "lowtouch")
        installer = try? Installer(
            settings: InstallerSettings(dataDir: folder.path), secrets: KeychainSecrets(), network: PhoneNetwork(), radio: PhoneBle(), log: nil)
        start()
    }

    private var signedIn: Bool { (try? installer?.accounts().current) != nil }

    func start() { page = signedIn ? .scan(nil) : .signIn(nil) }

    func scanned(_ text: String) {
        switch Scanned(text) {
        case .invite(let invite): page = .confirm(invite)
        case .label(let label) where signedIn: pair(label)
        case .label: page = .signIn(nil)
        case .other(let failure): page = signedIn ? .scan(failure) : .signIn(failure)
        }
    }

    func confirm(_ invite: Invite) {
        guard let installer else { return }
        Task {
            do {
                _ = try await installer.signInWithInvite(invite: invite, caPem: nil)
                page = .scan(nil)
            } catch let error as SignInError {
                page = .signIn(error.failure)
            } catch {}
        }
    }

    func pair(_ label: LowtouchBindings.Label) {
        guard let installer else { return }
        self.label = label
        var screen = PairingScreen(device: label.name())
        page = .pairing(screen)
        running = Task {
            do {
                let pairing = try await installer.pair(request: PairingRequest(label: label))
                for await event in pairing.events {
                    screen = screen.after(event)
                    page = .pairing(screen)
                }
            } catch let error as PairingError {
                page = .pairing(screen.failed(error.failure))
            } catch {}
        }
    }

    func press(_ button: PairingScreen.Button) {
        switch button {
        case .cancel:
            running?.cancel()
            page = .scan(nil)
        case .nextDevice, .scanLabel: page = .scan(nil)
        case .tryAgain: label.map(pair)
        case .signIn: page = .signIn(nil)
        case .allow: UIApplication.shared.open(URL(string: UIApplication.openSettingsURLString)!)
        case .copyDetails:
            if case .pairing(let screen) = page { UIPasteboard.general.string = screen.details }
        }
    }

    func history() {
        guard let installer else { return }
        Task { page = .history((try? await installer.journal(limit: 200)) ?? []) }
    }
}
