//! Espressif's *protocomm*: the secured session under ESP-IDF's unified provisioning, Security 0, 1 and 2.
//!
//! [`client`] is the installer's side, [`device`] the device's. A session is made by two exchanges on the endpoint
//! [`ENDPOINT`] (one for Security 0); afterwards both sides [`seal`](client::Session::seal) and
//! [`open`](client::Session::open) the values of every other endpoint.

mod channel;
pub mod client;
pub mod device;
mod envelope;
#[cfg(test)]
mod recorded_sessions;
mod security1;
pub mod srp6a;

/// The endpoint that carries the handshake.
pub const ENDPOINT: &str = "prov-session";

/// Longest handshake message that either side accepts, in bytes: the largest value any link carries (HTTP and serial,
/// 4096). A Security 2 handshake needs about 420.
pub const MAX_MESSAGE: usize = 4096;

/// What a device says about a handshake or an endpoint's request (`Status` in protocomm's `constants.proto`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Success = 0,
    /// The device speaks another security scheme.
    InvalidSecScheme = 1,
    /// The request could not be decoded.
    InvalidProto = 2,
    /// Another client holds the only session.
    TooManySessions = 3,
    /// A field has a value that the device refuses.
    InvalidArgument = 4,
    /// The device failed for a reason of its own.
    InternalError = 5,
    /// A cryptographic step failed, often a wrong proof of possession.
    CryptoError = 6,
    /// The request belongs to no session that the device knows.
    InvalidSession = 7,
}

impl Status {
    /// The status with this number, or `None` for a number that protocomm does not define.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            0 => Self::Success,
            1 => Self::InvalidSecScheme,
            2 => Self::InvalidProto,
            3 => Self::TooManySessions,
            4 => Self::InvalidArgument,
            5 => Self::InternalError,
            6 => Self::CryptoError,
            7 => Self::InvalidSession,
            _ => return None,
        })
    }
}

/// What a session does not protect against. A face shows it to the installer before anything secret is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Weakness {
    /// Security 0: everything travels in the clear and nobody proves anything.
    NoEncryption,
    /// Security 1: encrypted, but a message changed on the way is not noticed (AES-CTR without a MAC).
    NoMac,
    /// Security 2 with `sec_patch_ver` 0 (ESP-IDF up to 5.4): the AES-GCM nonce never changes, so a listener learns the
    /// XOR of the messages and can forge others.
    NonceNeverChanges,
}
