import Lowtouch
import LowtouchBindings
import LowtouchSample
import SwiftUI

// The whole app: sign in by invite, scan a label, pair with live steps, history. An Xcode project with this folder, the package and
// Info.plist is all it takes (docs/mobile.md). This folder only draws and needs Apple's SDK: nobody has compiled it yet
// (docs/compatibility.md). What is drawn is decided in LowtouchSample, which is tested.
@main
struct SampleApp: SwiftUI.App {
    private let app: LowtouchSample.App

    init() {
        app = LowtouchSample.App {
            let folder = URL.applicationSupportDirectory.appending(path: "lowtouch")
            return try Installer(
                settings: InstallerSettings(dataDir: folder.path), secrets: KeychainSecrets(), network: PhoneNetwork(), radio: PhoneBle(), log: nil)
        }
        // Now, so that iOS can hand back what it kept for the app.
        app.start()
    }

    var body: some Scene {
        WindowGroup { ContentView(app: app) }
    }
}
