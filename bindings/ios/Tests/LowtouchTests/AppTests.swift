#if os(Linux)
    import Foundation
    import LowtouchBindings
    import LowtouchSample
    import Observation
    import PairingWords
    import Testing

    @testable import Lowtouch

    extension InTheWorld {
        /// The whole sample app below its screens: the real library, a real provisioning API, simulated devices. AppTest.kt has the same.
        @Suite @MainActor final class AppTests {
            private let world: World
            private var radio = NetworkedRadio([])
            private var installer: Installer?

            init() throws { world = try World() }

            deinit { world.end() }

            /// The app on a phone that has these devices around it.
            private func app(
                _ devices: [World.Device] = [], connectDeadline: TimeInterval? = nil, bluetooth: RadioState = .on
            ) -> App {
                radio = NetworkedRadio(devices, state: bluetooth)
                let app = App {
                    let installer = try Installer(
                        settings: InstallerSettings(
                            dataDir: self.world.folder.path, extraCaPem: self.world.caPem, connectDeadline: connectDeadline),
                        secrets: KeychainSecrets(keychain: MemoryKeychain()), network: AlwaysOnline(), radio: PhoneBle(radio: self.radio), log: nil)
                    self.installer = installer
                    return installer
                }
                app.start()
                return app
            }

            /// Waits for a page, until the test's time is up.
            private func page<T>(_ app: App, _ wanted: (App.Page) -> T?) async throws -> T {
                while true {
                    try Task.checkCancellation()
                    if let found = wanted(app.page) { return found }
                    let changed = AsyncStream<Void> { change in
                        withObservationTracking { _ = app.page } onChange: { change.finish() }
                    }
                    for await _ in changed {}
                }
            }

            private func signInPage(_ app: App) async throws -> Failure? {
                try await page(app) { if case .signIn(let failure) = $0 { .some(failure) } else { nil } }
            }

            private func scanPage(_ app: App) async throws -> Failure? {
                try await page(app) { if case .scan(let failure) = $0 { .some(failure) } else { nil } }
            }

            private func end(_ app: App) async throws -> PairingScreen {
                try await page(app) { if case .pairing(let screen) = $0, screen.end != nil { screen } else { nil } }
            }

            private func signIn(_ app: App) async throws {
                app.scanned(Scanned(try world.invite("Ines")))
                app.confirm()
                // An impatient finger: the invite is sent once, and the second answer would be a refusal.
                app.confirm()
                #expect(try await scanPage(app) == nil)
                _ = try await installer?.whoAmI()
                if case .scan = app.page {} else { Issue.record("\(app.page)") }
            }

            /// The same label, of a device that is reached by Bluetooth.
            private func ble(_ device: World.Device, pop: String? = nil) throws -> Scanned {
                var label = try #require(try JSONSerialization.jsonObject(with: Data(device.label.utf8)) as? [String: Any])
                label["transport"] = "ble"
                if let pop { label["pop"] = pop }
                return Scanned(String(decoding: try JSONSerialization.data(withJSONObject: label), as: UTF8.self))
            }

            private func done(_ screen: PairingScreen) throws -> Paired {
                guard case .done(let paired) = screen.end else { throw Ended(screen: screen) }
                return paired
            }

            private struct Ended: Error { let screen: PairingScreen }

            private func letGo() async throws {
                try await installer?.shutDown()
                #expect(radio.open == 0, "a connection is left")
            }

            @Test(.timeLimit(.minutes(1))) func aLabelBeforeAnInviteAsksToSignInAndAnInviteSaysWhomToBeforeAnythingIsSent() async throws {
                let device = try world.device()
                let app = app([device])
                #expect(try await signInPage(app) == nil)
                app.scanned(try ble(device))
                #expect(try await signInPage(app) == nil)
                app.scanned(Scanned(try world.invite("Ines")))
                let host = try await page(app) { if case .confirm(let invite, isSent: false) = $0 { invite.server().host() } else { nil } }
                #expect(host == "127.0.0.1" || host == "localhost")
                app.confirm()
                #expect(try await scanPage(app) == nil)
            }

            @Test(.timeLimit(.minutes(1))) func anInviteThatWasUsedSaysSoAndAWebAddressIsNoLabel() async throws {
                let app = app()
                let invite = try world.invite("Ines")
                app.scanned(Scanned(invite))
                app.confirm()
                #expect(try await scanPage(app) == nil)
                app.scanned(Scanned(invite))
                app.confirm()
                #expect(try await page(app) { if case .signIn(let failure?) = $0 { failure.code } else { nil } } == ErrorCode.inviteRefused)
                app.scanned(Scanned("https://a.example/"))
                #expect(try await page(app) { if case .scan(let failure?) = $0 { failure.code } else { nil } } == ErrorCode.labelNotALabel)
            }

            @Test(.timeLimit(.minutes(1))) func aScannedLabelIsPairedItsStepsAreSeenAsTheyHappenAndTheNextDeviceCanBeScanned() async throws {
                let device = try world.device()
                let app = app([device])
                try await signIn(app)
                app.scanned(try ble(device))
                // A second code before the camera, a button that is gone: neither disturbs it.
                app.scanned(Scanned("https://a.example/"))
                #expect(app.press(.nextDevice) == nil)
                if case .pairing = app.page {} else { Issue.record("\(app.page)") }
                var running: Set<Step> = []
                let end = try await page(app) { page -> PairingScreen? in
                    guard case .pairing(let screen) = page else {
                        Issue.record("\(page)")
                        return nil
                    }
                    running.formUnion(screen.lines.filter { $0.state == .running }.map(\.step))
                    return screen.end == nil ? nil : screen
                }
                let hub = try done(end).hub
                #expect(try world.hubs(device) == [hub])
                #expect(end.lines.allSatisfy { $0.state == .done })
                #expect(running.isSuperset(of: [.connect, .secure, .handOff]))
                #expect(end.button == .nextDevice)
                #expect(app.press(end.button) == nil)
                #expect(try await scanPage(app) == nil)
                app.history()
                let lines = try await page(app) { if case .history(let lines, nil) = $0 { lines } else { nil } }
                #expect(lines.map(\.device) == [device.name])
                #expect(lines.map(\.state.key) == ["phone_history_assigned"])
                #expect(lines.map(\.hub) == [hub])
                app.start()
                #expect(try await scanPage(app) == nil)
                try await letGo()
            }

            @Test(.timeLimit(.minutes(1))) func aWrongCodeSaysSoAndAsksForTheLabelAgainAndTheRightOnePairs() async throws {
                let device = try world.device()
                let app = app([device])
                try await signIn(app)
                app.scanned(try ble(device, pop: "00000000"))
                let wrong = try await end(app)
                #expect(wrong.title.key == "codes_errors_wrong_pop_title")
                #expect(wrong.button == .scanLabel)
                #expect(wrong.lines.last?.state == .failed)
                #expect(wrong.details?.hasPrefix("wrong-pop") == true)
                #expect(app.press(.scanLabel) == nil)
                #expect(try await scanPage(app) == nil)
                app.scanned(try ble(device))
                _ = try done(try await end(app))
                try await letGo()
            }

            @Test(.timeLimit(.minutes(1))) func aPairingThatIsCancelledNeverComesBackOnThePageAndTheSameLabelFinishesIt() async throws {
                let device = try world.device()
                let app = app([device])
                try await signIn(app)
                app.scanned(try ble(device))
                try await page(app) { if case .pairing(let screen) = $0, screen.lines.contains(where: { $0.step == .secure }) { () } else { nil } }
                #expect(app.press(.cancel) == nil)
                #expect(try await scanPage(app) == nil)
                // At once: the end of the old pairing comes in the middle of the new one.
                app.scanned(try ble(device))
                _ = try done(try await end(app))
                #expect(try world.hubs(device).count == 1)
                try await letGo()
            }

            @Test(.timeLimit(.minutes(1))) func aDeviceThatIsNotThereIsPairedByTryingAgainWhenItIs() async throws {
                let device = try world.device()
                let app = app(connectDeadline: 5)
                try await signIn(app)
                app.scanned(try ble(device))
                let missing = try await end(app)
                #expect(missing.button == .tryAgain)
                radio.bring(device)
                #expect(app.press(.tryAgain) == nil)
                _ = try done(try await end(app))
                try await letGo()
            }

            @Test(.timeLimit(.minutes(1))) func aPairingThatLacksAPermissionIsTriedAgainWhenThePersonComesBackFromTheSettings() async throws {
                let device = try world.device()
                let app = app([device], bluetooth: .unauthorized)
                try await signIn(app)
                // Nothing failed yet.
                app.cameToFront()
                if case .scan = app.page {} else { Issue.record("\(app.page)") }
                app.scanned(try ble(device))
                #expect(try await end(app).button == .allow)
                // To the settings, which only the screen can open.
                #expect(app.press(.allow) == .allow)
                #expect(try await end(app).button == .allow)
                // And back with nothing changed: the same page once more.
                app.cameToFront()
                #expect(try await end(app).button == .allow)
                radio.turn(.on)
                // iOS tells it in its own time.
                var screen = try await end(app)
                while screen.button == .allow {
                    app.cameToFront()
                    screen = try await end(app)
                }
                let hub = try done(screen).hub
                #expect(try world.hubs(device) == [hub])
                // What is done is not done again.
                app.cameToFront()
                #expect(try await end(app).button == .nextDevice)
                try await letGo()
            }

            @Test(.timeLimit(.minutes(1))) func anInstallerThatCannotBeMadeSaysWhyAndIsMadeByTheNextTry() async throws {
                var pem = "no certificate"
                let app = App {
                    try Installer(
                        settings: InstallerSettings(dataDir: self.world.folder.path, extraCaPem: pem),
                        secrets: KeychainSecrets(keychain: MemoryKeychain()), network: AlwaysOnline(), radio: nil, log: nil)
                }
                app.start()
                #expect(try await signInPage(app)?.code == .apiCaInvalid)
                pem = world.caPem
                try await signIn(app)
            }

            @Test(.timeLimit(.minutes(1))) func aHistoryThatCannotBeReadSaysSoInsteadOfBeingEmpty() async throws {
                let app = app()
                try await signIn(app)
                try await installer?.shutDown()
                app.history()
                let lines: Int = try await page(app) { if case .history(let lines, _?) = $0 { lines.count } else { nil } }
                #expect(lines == 0)
            }
        }
    }
#endif
