//! The endpoints `prov-config` and `prov-ctrl`: give a device its Wi-Fi network, watch it connect, and clear a failed
//! attempt so that a wrong password never needs a factory reset.
//!
//! [`client`] is the installer's side, [`device`] the device's. Facts: PROTOCOLS.md; the field numbers stand in
//! proto/prov.proto.

pub mod client;
pub mod device;

use std::fmt;

use secrecy::{ExposeSecret as _, SecretSlice};

pub use crate::wire::prov::{AuthMode, FailReason, Status, WifiConnected};

/// The endpoint's name.
pub const ENDPOINT: &str = "prov-config";

/// The name of the endpoint that clears a failed attempt.
pub const CTRL_ENDPOINT: &str = "prov-ctrl";

/// Longest SSID, in bytes (IEEE 802.11).
pub const MAX_SSID: usize = 32;

/// Longest passphrase, in bytes (WPA2; firmware keeps 64 with its end mark).
pub const MAX_PASSPHRASE: usize = 63;

/// A Wi-Fi network and the right to join it.
#[derive(Clone)]
pub struct WifiCredentials {
    /// 1 to 32 bytes, often but not always UTF-8.
    pub ssid: Vec<u8>,
    /// At most 63 bytes; empty for an open network.
    pub passphrase: SecretSlice<u8>,
    /// One access point of several with this SSID.
    pub bssid: Option<[u8; 6]>,
    /// Where to look first; 0: anywhere.
    pub channel: i32,
}

impl WifiCredentials {
    /// Any access point with this SSID. An empty passphrase means an open network.
    #[must_use]
    pub fn new(ssid: &[u8], passphrase: &[u8]) -> Self {
        Self { ssid: ssid.to_vec(), passphrase: passphrase.to_vec().into(), bssid: None, channel: 0 }
    }

    /// Whether the lengths are those that a device takes.
    ///
    /// # Errors
    /// Which one is not.
    pub fn check(&self) -> Result<(), WifiCredentialsError> {
        if self.ssid.is_empty() || self.ssid.len() > MAX_SSID {
            return Err(WifiCredentialsError::Ssid);
        }
        if self.passphrase.expose_secret().len() > MAX_PASSPHRASE {
            return Err(WifiCredentialsError::Passphrase);
        }
        Ok(())
    }
}

impl fmt::Debug for WifiCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WifiCredentials")
            .field("ssid", &String::from_utf8_lossy(&self.ssid))
            .field("open", &self.passphrase.expose_secret().is_empty())
            .finish_non_exhaustive()
    }
}

/// A length that no device takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WifiCredentialsError {
    /// Not 1 to 32 bytes.
    #[error("a network name has 1 to 32 bytes")]
    Ssid,
    /// More than 63 bytes.
    #[error("a Wi-Fi password has at most 63 bytes")]
    Passphrase,
}

/// Why an answer of `prov-config`, `prov-ctrl` or `prov-scan` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// It cannot be decoded, or it is longer than any link carries.
    #[error("the device's answer cannot be decoded")]
    Garbage,
    /// It answers another request.
    #[error("the device answered another request")]
    WrongMessage,
    /// The device refuses.
    #[error("the device refuses the network step ({0:?})")]
    Refused(Status),
}

/// `Ok` for success, else the refusal. A number that protocomm does not define is a device's own fault.
pub(crate) fn succeeded(status: i32) -> Result<(), ReplyError> {
    match Status::try_from(status).unwrap_or(Status::InternalError) {
        Status::Success => Ok(()),
        refused => Err(ReplyError::Refused(refused)),
    }
}
