import LowtouchSample
import PairingWords
import SwiftUI

struct ContentView: View {
    let app: LowtouchSample.App
    // Changes when a question of iOS's is answered, and when the person comes back from the settings.
    @Environment(\.scenePhase) private var phase
    @State private var copied = false

    var body: some View {
        page.padding().onChange(of: phase) { _, now in
            if now == .active { app.cameToFront() }
        }
    }

    @ViewBuilder private var page: some View {
        switch app.page {
        case .signIn(let failure):
            scan(Words("phone_signIn_title"), failure.map(Words.title) ?? Words("phone_signIn_text"))
        case .confirm(let invite, let isSent):
            VStack(spacing: 16) {
                Text(Words("phone_signIn_to", invite.server().host() ?? "").text).font(.title)
                Button(Words("phone_signIn_confirm").text) { app.confirm() }
                    .buttonStyle(.borderedProminent).controlSize(.large).disabled(isSent)
                if isSent { ProgressView() }
            }
        case .scan(let failure):
            VStack {
                scan(Words("phone_scan_label"), failure.map(Words.title) ?? Words("phone_scan_labelText"))
                Button(Words("phone_history_title").text) { app.history() }.controlSize(.large)
            }
        case .pairing(let screen):
            PairingView(screen: screen, copied: copied, press: press).onDisappear { copied = false }
        case .history(let lines, let failure): HistoryView(lines: lines, failure: failure.map(Words.title), back: app.start)
        }
    }

    private func scan(_ title: Words, _ text: Words) -> some View {
        VStack(alignment: .leading, spacing: 16) {
            Text(title.text).font(.title)
            Text(text.text)
            if phase == .active && QrCamera.isRefused {
                Text(Words("phone_scan_noCamera").text)
                Button(Words("phone_bluetooth_settings").text, action: openSettings)
            } else {
                QrCamera { app.scanned(Scanned($0)) }
            }
        }
    }

    private func press(_ button: PairingScreen.Button) {
        switch app.press(button) {
        case .allow: openSettings()
        case .copyDetails:
            if case .pairing(let screen) = app.page { UIPasteboard.general.string = screen.details }
            copied = true
        default: break
        }
    }

    private func openSettings() {
        if let settings = URL(string: UIApplication.openSettingsURLString) { UIApplication.shared.open(settings) }
    }
}

struct PairingView: View {
    let screen: PairingScreen
    let copied: Bool
    let press: @MainActor (PairingScreen.Button) -> Void

    var body: some View {
        VStack(alignment: .leading, spacing: 12) {
            Text(screen.title.text).font(.title)
            if let text = screen.text { Text(text.text) }
            ForEach(screen.lines) { line in
                Label {
                    VStack(alignment: .leading) {
                        Text(line.words.text)
                        if let detail = line.detail { Text(detail.text).font(.footnote).foregroundStyle(.secondary) }
                    }
                } icon: {
                    switch line.state {
                    case .running: ProgressView()
                    case .done: Image(systemName: "checkmark.circle.fill").foregroundStyle(.green)
                    case .failed: Image(systemName: "xmark.octagon.fill").foregroundStyle(.red)
                    }
                }
            }
            ForEach(screen.warnings, id: \.self) { Label($0.text, systemImage: "exclamationmark.triangle") }
            Spacer()
            if copied { Text(Words("phone_pairing_copied").text) }
            Button(screen.buttonWords.text) { press(screen.button) }
                .buttonStyle(.borderedProminent).controlSize(.large).frame(maxWidth: .infinity)
        }
        // VoiceOver hears each step as it happens.
        .onChange(of: screen.lines) { _, lines in
            if let last = lines.last { AccessibilityNotification.Announcement(last.words.text).post() }
        }
    }
}

struct HistoryView: View {
    let lines: [LowtouchSample.App.Line]
    /// Why they could not be read.
    let failure: Words?
    let back: @MainActor () -> Void

    var body: some View {
        List(lines) { line in
            VStack(alignment: .leading) {
                Text(line.device)
                Text([line.state.text, line.hub].compactMap { $0 }.joined(separator: ", ")).font(.footnote)
            }
        }
        .overlay { if lines.isEmpty { Text((failure ?? Words("phone_history_empty")).text) } }
        .safeAreaInset(edge: .bottom) { Button(Words("phone_scan_label").text, action: back) }
    }
}
