import Foundation
import LowtouchBindings
import Testing

@testable import Lowtouch

/// A cancelled task reaches the library, whatever it waits for. Jobs of the real library: PairingTests.
@Suite struct JobsTests {
    @Test(.timeLimit(.minutes(1))) func aCancelledTaskGivesUpTheSignInOnAnotherScreen() async {
        let signIn = DeviceCode()
        let waiting = Task { try await signIn.result() }
        await signIn.call.begun()
        waiting.cancel()
        #expect(signIn.call.isCancelled)
        signIn.call.end()
        await #expect(throws: SignInError.self) { try await waiting.value }
    }

    @Test(.timeLimit(.minutes(1))) func aCancelledTaskGivesUpTheSignInInTheBrowser() async {
        let signIn = Browser()
        let waiting = Task { try await signIn.result(redirected: URL(string: "io.lowtouch:/finished?code=1")!) }
        await signIn.call.begun()
        waiting.cancel()
        #expect(signIn.call.isCancelled)
        signIn.call.end()
        await #expect(throws: SignInError.self) { try await waiting.value }
    }

    @Test(.timeLimit(.minutes(1))) func aTaskThatWasCancelledBeforeItWaitsGivesUpToo() async {
        let signIn = DeviceCode()
        let waiting = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await signIn.result()
        }
        await signIn.call.begun()
        #expect(signIn.call.isCancelled)
        signIn.call.end()
        await #expect(throws: SignInError.self) { try await waiting.value }
    }
}

/// A call that, as the library's, does not hear that its task was cancelled.
private final class Call: @unchecked Sendable {
    private let (beginnings, begin) = AsyncStream<Void>.makeStream()
    private let (endings, ending) = AsyncStream<Void>.makeStream()
    private let lock = NSLock()
    private var cancelled = false

    var isCancelled: Bool { lock.withLock { cancelled } }

    func begun() async { for await _ in beginnings { return } }

    func run() async throws -> SignedIn {
        begin.yield()
        await Task.detached { [endings] in for await _ in endings {} }.value
        throw SignInError.Cancelled(failure: Failure(
            code: .cancelled, action: .nothing, hintKey: "cancelled", hint: "", step: nil, detail: nil, retryAfter: nil, requestId: nil,
            missingRole: nil))
    }

    func cancel() { lock.withLock { cancelled = true } }
    func end() { ending.finish() }
}

private final class DeviceCode: DeviceCodeSignIn, @unchecked Sendable {
    let call = Call()

    init() { super.init(noHandle: NoHandle()) }
    required init(unsafeFromHandle handle: UInt64) { fatalError("no such object") }

    override func finish() async throws -> SignedIn { try await call.run() }
    override func cancel() { call.cancel() }
}

private final class Browser: BrowserSignIn, @unchecked Sendable {
    let call = Call()

    init() { super.init(noHandle: NoHandle()) }
    required init(unsafeFromHandle handle: UInt64) { fatalError("no such object") }

    override func finish(redirected: URL) async throws -> SignedIn { try await call.run() }
    override func cancel() { call.cancel() }
}
