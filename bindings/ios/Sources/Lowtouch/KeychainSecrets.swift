import Foundation
import LowtouchBindings

/// What a keychain answers; the numbers are those of `OSStatus`.
enum KeychainStatus {
    static let success: Int32 = 0
    static let notFound: Int32 = -25300
    static let duplicate: Int32 = -25299
    /// The device was not unlocked since its start, or is locked now.
    static let locked: Int32 = -25308
    static let denied: Int32 = -25293
    /// The app lacks the entitlement for the access group.
    static let noEntitlement: Int32 = -34018
}

/// The four calls of Security.framework, for one service.
protocol Keychain: Sendable {
    func copy(_ account: String) -> (Int32, Data?)
    func add(_ account: String, _ value: Data) -> Int32
    func update(_ account: String, _ value: Data) -> Int32
    func delete(_ account: String) -> Int32
}

/// Secrets in the keychain: readable after the first unlock since the start, so that a pairing goes on while the phone is locked, on this
/// device only, and in no backup that another device could use.
public final class KeychainSecrets: SecretStore, Sendable {
    private let keychain: any Keychain
    /// The keychain's calls block.
    private let queue = DispatchQueue(label: "io.lowtouch.secrets")

    init(keychain: any Keychain) {
        self.keychain = keychain
    }

    public func get(name: String) async throws -> Data? {
        try await run { keychain in
            let (status, value) = keychain.copy(name)
            if status == KeychainStatus.notFound { return nil }
            try check(status)
            return value
        }
    }

    public func set(name: String, value: Data) async throws {
        try await run { keychain in
            let status = keychain.add(name, value)
            try check(status == KeychainStatus.duplicate ? keychain.update(name, value) : status)
        }
    }

    public func delete(name: String) async throws {
        try await run { keychain in
            let status = keychain.delete(name)
            if status != KeychainStatus.notFound { try check(status) }
        }
    }

    private func run<T: Sendable>(_ work: @escaping @Sendable (any Keychain) throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { [keychain] in continuation.resume(with: Result { try work(keychain) }) }
        }
    }
}

private func check(_ status: Int32) throws {
    switch status {
    case KeychainStatus.success: return
    case KeychainStatus.locked: throw SecretStoreError.Locked
    case KeychainStatus.denied, KeychainStatus.noEntitlement: throw SecretStoreError.Denied
    default: throw SecretStoreError.Failed(detail: "OSStatus \(status)")
    }
}

#if canImport(Security)
    import Security

    extension KeychainSecrets {
        /// - Parameters:
        ///   - service: under which the app's secrets are kept; another service, other secrets.
        ///   - accessGroup: for apps that share them; nil for the app's own.
        public convenience init(service: String = "io.lowtouch", accessGroup: String? = nil) {
            self.init(keychain: SystemKeychain(service: service, accessGroup: accessGroup))
        }
    }

    private struct SystemKeychain: Keychain {
        let service: String
        let accessGroup: String?

        private func query(_ account: String, _ more: [CFString: Any] = [:]) -> CFDictionary {
            var query: [CFString: Any] = [
                kSecClass: kSecClassGenericPassword, kSecAttrService: service, kSecAttrAccount: account,
                kSecUseDataProtectionKeychain: true,
            ]
            if let accessGroup { query[kSecAttrAccessGroup] = accessGroup }
            return query.merging(more) { $1 } as CFDictionary
        }

        func copy(_ account: String) -> (Int32, Data?) {
            var found: CFTypeRef?
            let status = SecItemCopyMatching(query(account, [kSecReturnData: true, kSecMatchLimit: kSecMatchLimitOne]), &found)
            return (status, found as? Data)
        }

        func add(_ account: String, _ value: Data) -> Int32 {
            SecItemAdd(
                query(account, [kSecValueData: value, kSecAttrAccessible: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly]), nil)
        }

        func update(_ account: String, _ value: Data) -> Int32 {
            SecItemUpdate(query(account), [kSecValueData: value] as CFDictionary)
        }

        func delete(_ account: String) -> Int32 {
            SecItemDelete(query(account))
        }
    }
#endif
