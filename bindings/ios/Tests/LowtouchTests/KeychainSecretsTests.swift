import Foundation
import LowtouchBindings
import Testing

@testable import Lowtouch

/// A keychain in memory, with the answers of Security.framework.
final class MemoryKeychain: Keychain, @unchecked Sendable {
    private let lock = NSLock()
    private var items: [String: Data] = [:]
    var trouble: Int32?
    /// Only when something that is there is replaced.
    var troubleAtUpdate: Int32?

    private func work<T>(_ work: () -> T) -> T { lock.withLock(work) }

    func copy(_ account: String) -> (Int32, Data?) {
        work { trouble.map { ($0, nil) } ?? items[account].map { (KeychainStatus.success, $0) } ?? (KeychainStatus.notFound, nil) }
    }

    func add(_ account: String, _ value: Data) -> Int32 {
        work {
            if let trouble { return trouble }
            if items[account] != nil { return KeychainStatus.duplicate }
            items[account] = value
            return KeychainStatus.success
        }
    }

    func update(_ account: String, _ value: Data) -> Int32 {
        work {
            if let troubleAtUpdate { return troubleAtUpdate }
            items[account] = value
            return KeychainStatus.success
        }
    }

    func delete(_ account: String) -> Int32 {
        work { trouble ?? (items.removeValue(forKey: account) == nil ? KeychainStatus.notFound : KeychainStatus.success) }
    }
}

@Suite struct KeychainSecretsTests {
    private let keychain = MemoryKeychain()

    @Test func whatWasKeptIsThereUntilItIsDeleted() async throws {
        let secrets = KeychainSecrets(keychain: keychain)
        #expect(try await secrets.get(name: "token") == nil)
        try await secrets.set(name: "token", value: Data("old".utf8))
        try await secrets.set(name: "token", value: Data("new".utf8))
        #expect(try await secrets.get(name: "token") == Data("new".utf8))
        try await secrets.delete(name: "token")
        try await secrets.delete(name: "token")
        #expect(try await secrets.get(name: "token") == nil)
    }

    @Test(arguments: [
        (KeychainStatus.locked, SecretStoreError.Locked), (KeychainStatus.denied, .Denied), (KeychainStatus.noEntitlement, .Denied),
        (-50, .Failed(detail: "OSStatus -50")),
    ])
    func whatTheKeychainRefusesHasAName(_ status: Int32, _ error: SecretStoreError) async {
        keychain.trouble = status
        let secrets = KeychainSecrets(keychain: keychain)
        await #expect(throws: error) { try await secrets.get(name: "a") }
        await #expect(throws: error) { try await secrets.set(name: "a", value: Data()) }
        await #expect(throws: error) { try await secrets.delete(name: "a") }
    }

    @Test func aValueThatCannotBeReplacedIsNotSaidToBe() async throws {
        let secrets = KeychainSecrets(keychain: keychain)
        try await secrets.set(name: "token", value: Data("old".utf8))
        keychain.troubleAtUpdate = KeychainStatus.locked
        await #expect(throws: SecretStoreError.Locked) { try await secrets.set(name: "token", value: Data("new".utf8)) }
        #expect(try await secrets.get(name: "token") == Data("old".utf8))
    }
}
