//! The installer's side of a protocomm session.

use std::fmt;

use secrecy::SecretString;

use super::{Status, Weakness};

/// What the client brings to the handshake. Which variant: `sec_ver` of the device's `proto-ver`; what is in it: the
/// device's label.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// No protection at all. Only behind an explicit flag.
    Security0,
    /// X25519 and AES-CTR.
    Security1 {
        /// The proof of possession; empty for a device that announces `no_pop`.
        pop: SecretString,
    },
    /// SRP-6a and AES-GCM.
    Security2 {
        /// The label's `username`, 1 to [`MAX_USERNAME`](super::srp6a::MAX_USERNAME) bytes.
        username: String,
        /// The label's `pop`.
        password: SecretString,
        /// `sec_patch_ver` of the device's `proto-ver`: 0 (absent) or 1.
        patch_ver: u8,
    },
}

/// A handshake in flight: it waits for the device's response to the request that was handed out last.
pub struct Handshake {
    _private: (),
}

impl Handshake {
    /// Starts a handshake and returns the first request for the endpoint [`ENDPOINT`](super::ENDPOINT).
    ///
    /// `entropy` is 64 fresh random bytes; their first 32 become the client's private key.
    ///
    /// # Errors
    /// [`HandshakeError::Username`] for an empty or overlong username, [`HandshakeError::PatchVersion`] for a
    /// `sec_patch_ver` that is not known.
    pub fn start(
        credentials: Credentials,
        entropy: &[u8; 64],
    ) -> Result<(Handshake, Vec<u8>), HandshakeError> {
        let _ = (credentials, entropy);
        Err(HandshakeError::Garbage)
    }

    /// Takes the device's response to the last request.
    ///
    /// # Errors
    /// See [`HandshakeError`]; the handshake is over and a new one may be started on the same link.
    pub fn handle(self, response: &[u8]) -> Result<Next, HandshakeError> {
        let _ = response;
        Err(HandshakeError::Garbage)
    }

    /// Says what it means that the link reported the device's refusal of the last request (BLE: an ATT error, HTTP: a
    /// closed socket) in place of a response: devices refuse a wrong security version or a wrong proof of possession so.
    #[must_use]
    pub fn refused(self) -> HandshakeError {
        HandshakeError::WrongPop
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

/// What to do after a response.
#[derive(Debug)]
pub enum Next {
    /// Send these bytes to the endpoint [`ENDPOINT`](super::ENDPOINT) and give the response to the handshake.
    Send(Handshake, Vec<u8>),
    /// The session stands.
    Secured(Session),
}

/// A session that stands. Requests are sealed and responses opened strictly in turn, one after the other: both sides
/// count them (Security 2) or share one keystream (Security 1). After a lost message start a new handshake.
pub struct Session {
    _private: (),
}

impl Session {
    /// Encrypts a request for any endpoint but `proto-ver` and `prov-session`.
    ///
    /// # Errors
    /// [`SessionError::Exhausted`] after 2³² messages.
    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, SessionError> {
        let _ = plain;
        Err(SessionError::Forged)
    }

    /// Decrypts a response.
    ///
    /// # Errors
    /// [`SessionError::Forged`] where the device's tag does not fit: changed on the way, or out of turn.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, SessionError> {
        let _ = sealed;
        Err(SessionError::Forged)
    }

    /// By how many bytes [`seal`](Self::seal) makes a message longer: 16 for Security 2, else 0.
    #[must_use]
    pub fn overhead(&self) -> usize {
        0
    }

    /// What this session does not protect against, `None` for Security 2 as it should be.
    #[must_use]
    pub fn weakness(&self) -> Option<Weakness> {
        None
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The device refused our proof: the proof of possession (or the username) is not this device's.
    #[error("the device refused the proof of possession")]
    WrongPop,
    /// The device could not prove that it knows the proof of possession: it is not the device on the label.
    #[error("the device could not prove that it belongs to this label")]
    DeviceNotProven,
    /// The device speaks another security version than the credentials are for.
    #[error("the device uses another security version")]
    WrongSecurityVersion,
    /// The device answered with a status other than success.
    #[error("the device answered with status {0:?}")]
    Device(Status),
    /// The response cannot be decoded, lacks a field, or is not the answer to our request.
    #[error("the device's answer makes no sense")]
    Garbage,
    /// The response is longer than [`MAX_MESSAGE`](super::MAX_MESSAGE).
    #[error("the device's answer is too long ({0} bytes)")]
    TooLong(usize),
    /// Security 1: the device's public key has a low order, so the shared secret would be known to anybody.
    #[error("the device sent an unsafe public key")]
    LowOrderKey,
    /// Security 2: the device's public key is 0 modulo N, too long, or makes u = 0.
    #[error("the device sent a public key that the protocol forbids")]
    ForbiddenKey,
    /// The username is empty or longer than [`MAX_USERNAME`](super::srp6a::MAX_USERNAME) bytes.
    #[error("the username must have 1 to {} bytes", super::srp6a::MAX_USERNAME)]
    Username,
    /// A `sec_patch_ver` that is neither 0 nor 1.
    #[error("unknown sec_patch_ver {0}")]
    PatchVersion(u8),
}

/// Why a message was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The message was changed on the way, came out of turn, or belongs to another session.
    #[error("the message does not belong to this session")]
    Forged,
    /// The message counter is used up; make a new session.
    #[error("the session has carried as many messages as it may")]
    Exhausted,
}
