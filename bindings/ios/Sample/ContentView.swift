import LowtouchBindings
import PairingWords
import SwiftUI

struct ContentView: View {
    let model: Model

    var body: some View {
        NavigationStack {
            page.padding().toolbar {
                Button(Words("phone_history_title").text) { model.history() }
            }
        }
    }

    @ViewBuilder private var page: some View {
        switch model.page {
        case .signIn(let failure):
            scan(Words("phone_signIn_title"), failure.map(Words.title) ?? Words("phone_signIn_text"))
        case .confirm(let invite):
            VStack(spacing: 16) {
                Text(Words("phone_signIn_to", invite.server().host() ?? "").text).font(.title)
                Button(Words("phone_signIn_confirm").text) { model.confirm(invite) }.buttonStyle(.borderedProminent).controlSize(.large)
            }
        case .scan(let failure):
            scan(Words("phone_scan_label"), failure.map(Words.title) ?? Words("phone_scan_labelText"))
        case .pairing(let screen): PairingView(screen: screen, press: model.press)
        case .history(let entries): HistoryView(entries: entries, back: model.start)
        }
    }

    private func scan(_ title: Words, _ text: Words) -> some View {
        VStack(alignment: .leading, spacing: 16) {
            Text(title.text).font(.title)
            Text(text.text)
            QrCamera(onText: model.scanned)
        }
    }
}

struct PairingView: View {
    let screen: PairingScreen
    let press: (PairingScreen.Button) -> Void

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
    let entries: [JournalEntry]
    let back: () -> Void

    var body: some View {
        List(entries, id: \.handoffId) { entry in
            VStack(alignment: .leading) {
                Text(entry.name)
                Text(Words.state(entry.state).text).font(.footnote)
            }
        }
        .overlay { if entries.isEmpty { Text(Words("phone_history_empty").text) } }
        .safeAreaInset(edge: .bottom) { Button(Words("phone_scan_label").text, action: back) }
    }
}
