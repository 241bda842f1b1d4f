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
            private let folder: URL
            private var radio = NetworkedRadio([])
            private var installer: Installer?

            init() throws {
                world = try World()
                folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            }

            deinit {
                world.end()
                try? FileManager.default.removeItem(at: folder)
            }

            /// The app on a phone that has these devices around it.
            private func app(_ devices: [World.Device] = [], connectDeadline: TimeInterval? = nil) -> App {
                radio = NetworkedRadio(devices)
                let app = App {
                    let installer = try Installer(
                        settings: InstallerSettings(
                            dataDir: self.folder.path, extraCaPem: self.world.caPem, connectDeadline: connectDeadline),
                        secrets: KeychainSecrets(keychain: MemoryKeychain()), network: AlwaysOnline(), radio: PhoneBle(radio: self.radio), log: nil)
                    self.installer = installer
                    return installer
                }
                app.start()
                return app
            }

            /// Waits for a page.
            private func page<T>(_ app: App, _ wanted: (App.Page) -> T?) async -> T {
                while true {
                    if let found = wanted(app.page) { return found }
                    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                        withObservationTracking { _ = app.page } onChange: { continuation.resume() }
                    }
                }
            }

            private func signInPage(_ app: App) async -> Failure? {
                await page(app) { if case .signIn(let failure) = $0 { .some(failure) } else { nil } }
            }

            private func scanPage(_ app: App) async -> Failure? {
                await page(app) { if case .scan(let failure) = $0 { .some(failure) } else { nil } }
            }

            private func end(_ app: App) async -> PairingScreen {
                await page(app) { if case .pairing(let screen) = $0, screen.end != nil { screen } else { nil } }
            }

            private func signIn(_ app: App) async throws {
                app.scanned(Scanned(try world.invite("Ines")))
                app.confirm()
                #expect(await scanPage(app) == nil)
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
                #expect(await signInPage(app) == nil)
                app.scanned(try ble(device))
                #expect(await signInPage(app) == nil)
                app.scanned(Scanned(try world.invite("Ines")))
                let host = await page(app) { if case .confirm(let invite, isSent: false) = $0 { invite.server().host() } else { nil } }
                #expect(host == "127.0.0.1" || host == "localhost")
                app.confirm()
                app.confirm()
                #expect(await scanPage(app) == nil)
            }

            @Test(.timeLimit(.minutes(1))) func anInviteThatWasUsedSaysSoAndAWebAddressIsNoLabel() async throws {
                let app = app()
                let invite = try world.invite("Ines")
                app.scanned(Scanned(invite))
                app.confirm()
                #expect(await scanPage(app) == nil)
                app.scanned(Scanned(invite))
                app.confirm()
                #expect(await page(app) { if case .signIn(let failure?) = $0 { failure.code } else { nil } } == ErrorCode.inviteRefused)
                app.scanned(Scanned("https://a.example/"))
                #expect(await page(app) { if case .scan(let failure?) = $0 { failure.code } else { nil } } == ErrorCode.labelNotALabel)
            }

            @Test(.timeLimit(.minutes(2))) func aScannedLabelIsPairedItsStepsAreSeenAsTheyHappenAndTheNextDeviceCanBeScanned() async throws {
                let device = try world.device()
                let app = app([device])
                try await signIn(app)
                app.scanned(try ble(device))
                // A second code before the camera, a button that is gone: neither disturbs it.
                app.scanned(Scanned("https://a.example/"))
                #expect(app.press(.nextDevice) == nil)
                var running: Set<Step> = []
                let end = await page(app) { page -> PairingScreen? in
                    guard case .pairing(let screen) = page else { return nil }
                    running.formUnion(screen.lines.filter { $0.state == .running }.map(\.step))
                    return screen.end == nil ? nil : screen
                }
                let hub = try done(end).hub
                #expect(try world.hubs(device) == [hub])
                #expect(end.lines.allSatisfy { $0.state == .done })
                #expect(running.isSuperset(of: [.connect, .secure, .handOff]))
                #expect(end.button == .nextDevice)
                #expect(app.press(end.button) == nil)
                #expect(await scanPage(app) == nil)
                app.history()
                let lines = await page(app) { if case .history(let lines, nil) = $0 { lines } else { nil } }
                #expect(lines.map(\.device) == [device.name])
                #expect(lines.map(\.state.key) == ["phone_history_assigned"])
                #expect(lines.map(\.hub) == [hub])
                app.start()
                #expect(await scanPage(app) == nil)
                try await letGo()
            }

            @Test(.timeLimit(.minutes(2))) func aWrongCodeSaysSoAndAsksForTheLabelAgainAndTheRightOnePairs() async throws {
                let device = try world.device()
                let app = app([device])
                try await signIn(app)
                app.scanned(try ble(device, pop: "00000000"))
                let wrong = await end(app)
                #expect(wrong.title.key == "codes_errors_wrong_pop_title")
                #expect(wrong.button == .scanLabel)
                #expect(wrong.lines.last?.state == .failed)
                #expect(wrong.details?.hasPrefix("wrong-pop") == true)
                #expect(app.press(.scanLabel) == nil)
                #expect(await scanPage(app) == nil)
                app.scanned(try ble(device))
                _ = try done(await end(app))
                try await letGo()
            }

            @Test(.timeLimit(.minutes(2))) func aPairingThatIsCancelledNeverComesBackOnThePageAndTheSameLabelFinishesIt() async throws {
                let device = try world.device()
                let app = app([device])
                try await signIn(app)
                app.scanned(try ble(device))
                await page(app) { if case .pairing(let screen) = $0, screen.lines.contains(where: { $0.step == .secure }) { () } else { nil } }
                #expect(app.press(.cancel) == nil)
                #expect(await scanPage(app) == nil)
                // At once: the end of the old pairing comes in the middle of the new one.
                app.scanned(try ble(device))
                _ = try done(await end(app))
                #expect(try world.hubs(device).count == 1)
                try await letGo()
            }

            @Test(.timeLimit(.minutes(2))) func aDeviceThatIsNotThereIsPairedByTryingAgainWhenItIs() async throws {
                let device = try world.device()
                let app = app(connectDeadline: 1)
                try await signIn(app)
                app.scanned(try ble(device))
                let missing = await end(app)
                #expect(missing.button == .tryAgain)
                radio.bring(device)
                #expect(app.press(.tryAgain) == nil)
                _ = try done(await page(app) { if case .pairing(let screen) = $0, case .done = screen.end { screen } else { nil } })
                try await letGo()
            }

            @Test(.timeLimit(.minutes(1))) func anInstallerThatCannotBeMadeSaysWhyAndIsMadeByTheNextTry() async throws {
                var pem = "no certificate"
                let app = App {
                    try Installer(
                        settings: InstallerSettings(dataDir: self.folder.path, extraCaPem: pem),
                        secrets: KeychainSecrets(keychain: MemoryKeychain()), network: AlwaysOnline(), radio: nil, log: nil)
                }
                app.start()
                #expect(await signInPage(app)?.code == .apiCaInvalid)
                pem = world.caPem
                try await signIn(app)
            }

            @Test(.timeLimit(.minutes(1))) func aHistoryThatCannotBeReadSaysSoInsteadOfBeingEmpty() async throws {
                let app = app()
                try await signIn(app)
                try await installer?.shutDown()
                app.history()
                let lines: Int = await page(app) { if case .history(let lines, _?) = $0 { lines.count } else { nil } }
                #expect(lines == 0)
            }
        }
    }
#endif
