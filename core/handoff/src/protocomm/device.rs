//! The device's side of a protocomm session.

use std::fmt;

use secrecy::SecretString;

/// What the device was given in the factory.
#[derive(Clone)]
pub enum DeviceSecurity {
    /// No protection at all.
    Security0,
    /// X25519 and AES-CTR.
    Security1 {
        /// The proof of possession; empty for none (`no_pop`).
        pop: SecretString,
    },
    /// SRP-6a and AES-GCM. The device does not know the password, only its verifier.
    Security2 {
        /// The label's `username`.
        username: String,
        /// The verifier's salt, 1 to 64 bytes, as [`make_verifier`](super::srp6a::make_verifier) made it.
        salt: Vec<u8>,
        /// g^x modulo N, big-endian, at most 384 bytes.
        verifier: Vec<u8>,
        /// 1: the nonce advances; 0: it never changes, as ESP-IDF up to 5.4 has it (for tests and old clients only).
        patch_ver: u8,
    },
}

impl fmt::Debug for DeviceSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Security0 => "Security0",
            Self::Security1 { .. } => "Security1",
            Self::Security2 { .. } => "Security2",
        })
    }
}

/// One link connection's session. A new connection starts with a new one.
pub struct SecureSession {
    _security: DeviceSecurity,
}

impl SecureSession {
    /// No session yet: the first request must be a handshake's.
    #[must_use]
    pub fn new(security: DeviceSecurity) -> Self {
        Self { _security: security }
    }

    /// Answers one request of the endpoint [`ENDPOINT`](super::ENDPOINT). `entropy` is 64 fresh random bytes for every
    /// call. A client may start again at any time; that ends the session that stood.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn handshake(&mut self, request: &[u8], entropy: &[u8; 64]) -> Result<Vec<u8>, Refusal> {
        let _ = (request, entropy);
        Err(Refusal::Garbage)
    }

    /// Decrypts a request.
    ///
    /// # Errors
    /// [`Refusal::NoSession`], [`Refusal::Forged`], [`Refusal::Exhausted`].
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Refusal> {
        let _ = sealed;
        Err(Refusal::NoSession)
    }

    /// Encrypts the response to the request that was opened last.
    ///
    /// # Errors
    /// [`Refusal::NoSession`], [`Refusal::Exhausted`].
    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, Refusal> {
        let _ = plain;
        Err(Refusal::NoSession)
    }

    /// Whether the handshake is complete.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        false
    }
}

impl fmt::Debug for SecureSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureSession").finish_non_exhaustive()
    }
}

/// Why the device's handler fails. The reason is for the device's own log: the client sees only that the handler failed
/// (BLE: an ATT error, HTTP: the socket closes), as with ESP-IDF, and a guesser learns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The client's proof is wrong: somebody guessed, or misread the label. Count these.
    #[error("wrong proof of possession")]
    WrongProof,
    /// The proof has not 64 bytes (Security 2) or 32 bytes (Security 1).
    #[error("a proof of the wrong length")]
    ProofLength,
    /// The request is for another security version.
    #[error("a handshake of another security version")]
    WrongSecurityVersion,
    /// The request cannot be decoded or lacks a field.
    #[error("a request that makes no sense")]
    Garbage,
    /// The request is longer than [`MAX_MESSAGE`](super::MAX_MESSAGE).
    #[error("a request that is too long")]
    TooLong,
    /// The second half of a handshake without its first.
    #[error("a proof without a handshake")]
    OutOfTurn,
    /// Security 1: a public key of low order.
    #[error("a public key of low order")]
    LowOrderKey,
    /// Security 2: A ≡ 0 (mod N), A that has not 384 bytes, or u = 0.
    #[error("a public key that the protocol forbids")]
    ForbiddenKey,
    /// The username is empty or too long.
    #[error("an empty or overlong username")]
    Username,
    /// The device's own salt, verifier or `sec_patch_ver` cannot be used.
    #[error("the device's own credentials cannot be used")]
    OwnCredentials,
    /// No handshake was completed on this connection.
    #[error("no session")]
    NoSession,
    /// The message was changed on the way, came out of turn, or belongs to another session.
    #[error("a message that does not belong to this session")]
    Forged,
    /// The message counter is used up.
    #[error("the session has carried as many messages as it may")]
    Exhausted,
}
