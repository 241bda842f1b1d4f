import Foundation
import LowtouchBindings
import LowtouchSample
import PairingWords
import Testing

/// Pairings of the sample app take turns: one that was cancelled may still be telling its device.
@Suite @MainActor struct TurnsTests {
    private func label(_ name: String) -> Scanned {
        Scanned(#"{"ver":"v1","name":"\#(name)","pop":"marked-secret","transport":"ble"}"#)
    }

    @Test(.timeLimit(.minutes(1))) func aPairingThatIsCancelledWhileItWaitsForTheFormerNeverBegins() async {
        let installer = Counted()
        let app = App { installer }
        app.start()
        app.scanned(label("PROV_1"))
        let first = await installer.nextPairing()
        #expect(app.press(.cancel) == nil)
        // Waits for the first, which does not end yet, and is cancelled there.
        app.scanned(label("PROV_2"))
        #expect(app.press(.cancel) == nil)
        app.scanned(label("PROV_3"))
        first.end()
        let last = await installer.nextPairing()
        #expect(installer.begun == ["PROV_1", "PROV_3"])
        last.end()
    }
}

/// Somebody is signed in; pairings do nothing and end when the test says so.
private final class Counted: Installer, @unchecked Sendable {
    private let (pairings, pairing) = AsyncStream<Endless>.makeStream()
    private let lock = NSLock()
    private var names: [String] = []

    var begun: [String] { lock.withLock { names } }

    init() { super.init(noHandle: NoHandle()) }
    required init(unsafeFromHandle handle: UInt64) { fatalError("no such object") }

    func nextPairing() async -> Endless {
        for await pairing in pairings { return pairing }
        fatalError("the stream has no end")
    }

    override func accounts() throws -> Accounts { Accounts(current: "Ines@a.example", all: []) }

    override func pair(request: PairingRequest) async throws -> Pairing {
        let begun = Endless()
        lock.withLock { names.append(request.label.name()) }
        pairing.yield(begun)
        return begun
    }
}

private final class Endless: Pairing, @unchecked Sendable {
    private let (endings, ended) = AsyncStream<Void>.makeStream()

    init() { super.init(noHandle: NoHandle()) }
    required init(unsafeFromHandle handle: UInt64) { fatalError("no such object") }

    func end() { ended.finish() }

    override func cancel() {}
    override func nextEvents() async -> [PairingEvent] {
        await Task.detached { [endings] in for await _ in endings {} }.value
        return []
    }
    override func outcome() async throws -> Paired {
        throw PairingError.Cancelled(failure: Failure(
            code: .cancelled, action: .nothing, hintKey: "cancelled", hint: "", step: nil, detail: nil, retryAfter: nil, requestId: nil,
            missingRole: nil))
    }
}
