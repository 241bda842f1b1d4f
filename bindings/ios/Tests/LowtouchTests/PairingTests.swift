#if os(Linux)
    import Foundation
    import LowtouchBindings
    import PairingWords
    import Testing

    @testable import Lowtouch

    extension InTheWorld {
        /// Devices are paired from Swift, through the real Rust library, over `PhoneBle` as it is on a phone but for CoreBluetooth itself.
        @Suite final class PairingTests {
            private let world: World

            init() throws { world = try World() }

            deinit { world.end() }

            private func installer(_ radio: NetworkedRadio) async throws -> Installer {
                let installer = try Installer(
                    settings: InstallerSettings(dataDir: world.folder.path, extraCaPem: world.caPem), secrets: KeychainSecrets(keychain: MemoryKeychain()),
                    network: AlwaysOnline(), radio: PhoneBle(radio: radio), log: nil)
                _ = try await installer.signInWithInvite(invite: Invite.parse(text: world.invite("Ines")), caPem: nil)
                return installer
            }

            private func request(_ device: World.Device) throws -> PairingRequest {
                PairingRequest(label: try Label.parse(text: device.label), link: "ble://\(device.name)")
            }

            /// With what it failed.
            private func code<T>(_ ended: Result<T, any Error>) -> ErrorCode? {
                guard case .failure(let error) = ended else { return nil }
                return Failure(error).code
            }

            @Test(.timeLimit(.minutes(2))) func aDeviceIsPairedToAssigned() async throws {
                let device = try world.device()
                let radio = NetworkedRadio([device])
                let installer = try await installer(radio)
                let pairing = try await installer.pair(request: request(device))
                var last: PairingEvent?
                for await event in pairing.events { last = event }
                guard case .finished(let paired) = last else {
                    Issue.record("ended with \(String(describing: last))")
                    return
                }
                #expect(paired.registrationId == device.registrationId)
                #expect(try world.hubs(device) == [paired.hub])
                #expect(try await pairing.result() == paired)
                let entries = try await installer.journal(limit: 10)
                #expect(entries.map(\.state) == [.assigned])
                try await installer.shutDown()
                #expect(radio.open == 0)
            }

            @Test(.timeLimit(.minutes(2))) func aCancelledTaskCancelsItsPairingAndTheNextOneFinishesIt() async throws {
                let device = try world.device()
                let radio = NetworkedRadio([device])
                let installer = try await installer(radio)
                let request = try request(device)
                let reading = Task {
                    let pairing = try await installer.pair(request: request)
                    var last: PairingEvent?
                    for await event in pairing.events {
                        last = event
                        // From inside, so that it is in the middle.
                        if case .stepDone(.secure, _, _) = event { withUnsafeCurrentTask { $0?.cancel() } }
                    }
                    return last
                }
                guard case .failed(let failure) = try await reading.value else {
                    Issue.record("a cancelled pairing ended otherwise")
                    return
                }
                #expect(failure.code == .cancelled)
                var resumed = false
                var last: PairingEvent?
                for await event in try await installer.pair(request: request).events {
                    if case .started(_, true, _, _) = event { resumed = true }
                    last = event
                }
                #expect(resumed)
                guard case .finished = last else {
                    Issue.record("ended with \(String(describing: last))")
                    return
                }
                try await installer.shutDown()
                #expect(radio.open == 0)
            }

            @Test(.timeLimit(.minutes(2))) func aDeviceIsFoundAndPairedWhileThePhoneIsLocked() async throws {
                let device = try world.device()
                let radio = NetworkedRadio([device])
                radio.goToTheBackground()
                let installer = try await installer(radio)
                let paired = try await installer.pair(request: request(device)).result()
                #expect(try world.hubs(device) == [paired.hub])
                try await installer.shutDown()
                #expect(radio.open == 0)
            }

            @Test(.timeLimit(.minutes(2))) func aCancelledTaskCancelsTheJobThatItWaitsForOrReads() async throws {
                let device = try world.device()
                // Nobody in reach, so all search until they are told to stop.
                let installer = try await installer(NetworkedRadio([]))
                let label = try Label.parse(text: device.label)
                let wifi = WifiCredentials(ssid: "wifi", passphrase: "marked-secret")
                let link = "ble://\(device.name)"

                let job = try await installer.setNetwork(label: label, wifi: wifi, link: link)
                let waiting = Task { try await job.result() }
                waiting.cancel()
                #expect(code(await waiting.result) == .cancelled)

                let read = try await installer.setNetwork(label: label, wifi: wifi, link: link)
                let reading = Task {
                    var last: PairingEvent?
                    for await event in read.events {
                        last = event
                        withUnsafeCurrentTask { $0?.cancel() }
                    }
                    return last
                }
                guard case .failed(let failure) = await reading.value else {
                    Issue.record("a cancelled job ended otherwise")
                    return
                }
                #expect(failure.code == .cancelled)

                let pairing = try await installer.pair(request: request(device))
                let pairs = Task { try await pairing.result() }
                pairs.cancel()
                #expect(code(await pairs.result) == .cancelled)
                try await installer.shutDown()
            }

            @Test(.timeLimit(.minutes(2))) func aLostConnectionIsMadeAnew() async throws {
                let device = try world.device()
                let radio = NetworkedRadio([device], loseAtWrites: [4, 9])
                let installer = try await installer(radio)
                let paired = try await installer.pair(request: request(device)).result()
                #expect(try world.hubs(device) == [paired.hub])
                try await installer.shutDown()
                #expect(radio.open == 0)
            }

            @Test(.timeLimit(.minutes(4))) func twentyPairingsRunAtOnce() async throws {
                let devices = try (0..<20).map { _ in try world.device() }
                let radio = NetworkedRadio(devices)
                let installer = try await installer(radio)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for device in devices {
                        let request = try request(device)
                        group.addTask { _ = try await installer.pair(request: request).result() }
                    }
                    try await group.waitForAll()
                }
                for device in devices { #expect(try world.hubs(device).count == 1) }
                try await installer.shutDown()
                #expect(radio.open == 0)
            }
        }
    }
#endif
