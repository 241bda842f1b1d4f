//! What stands on a device's label.

use std::sync::Arc;

use lowtouch_installer::label as core;
use lowtouch_installer::pairing;
use secrecy::ExposeSecret as _;

use crate::LabelError;

/// A device's label. It holds the proof of possession, which it does not give out again.
#[derive(uniffi::Object)]
pub struct Label {
    core: core::Label,
}

/// Session security of protocomm, as the label says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum LabelSecurity {
    /// Security 0: no protection.
    None,
    /// Security 1: encrypted, without integrity.
    X25519,
    /// Security 2: SRP-6a and AES-GCM.
    Srp6a,
}

/// How the device is reached, as the label says it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum LabelTransport {
    /// Bluetooth Low Energy.
    Ble,
    /// The device's own access point.
    Softap,
    /// A serial line.
    Serial,
    /// Something that this version does not know.
    Other {
        /// The label's word.
        word: String,
    },
}

#[uniffi::export]
impl Label {
    /// Reads the text of a label's QR code.
    #[uniffi::constructor]
    pub fn parse(text: String) -> Result<Arc<Self>, LabelError> {
        Ok(Arc::new(Self { core: core::parse(&text)? }))
    }

    /// Reads the QR code in a picture (PNG or JPEG).
    #[uniffi::constructor]
    pub fn from_picture(picture: Vec<u8>) -> Result<Arc<Self>, LabelError> {
        Self::parse(read_qr_picture(picture)?)
    }

    /// What the device calls itself over the air.
    pub fn name(&self) -> String {
        self.core.name.clone()
    }

    /// How the device is reached, if the label says so.
    pub fn transport(&self) -> Option<LabelTransport> {
        self.core.transport.as_ref().map(|transport| match transport {
            core::Transport::Ble => LabelTransport::Ble,
            core::Transport::Softap => LabelTransport::Softap,
            core::Transport::Serial => LabelTransport::Serial,
            other => LabelTransport::Other { word: other.as_str().to_owned() },
        })
    }

    /// Of the session.
    pub fn security(&self) -> LabelSecurity {
        match self.core.security {
            core::Security::None => LabelSecurity::None,
            core::Security::X25519 => LabelSecurity::X25519,
            core::Security::Srp6a => LabelSecurity::Srp6a,
        }
    }

    /// The link that the label means: `ble://NAME`, or `http://192.168.4.1` in the device's own Wi-Fi.
    pub fn link(&self) -> Option<String> {
        self.core.link().map(|link| link.to_string())
    }
}

impl Label {
    pub(crate) fn core(&self) -> core::Label {
        self.core.clone()
    }
}

/// The text of the one QR code in a picture (PNG or JPEG): a label's or an invite's. It may hold a secret.
#[uniffi::export]
pub fn read_qr_picture(picture: Vec<u8>) -> Result<String, LabelError> {
    Ok(core::text_from_picture(&picture)?.expose_secret().to_owned())
}

/// A Wi-Fi network's name and passphrase. An object, so that nothing prints it.
#[derive(uniffi::Object)]
pub struct WifiCredentials {
    ssid: String,
    passphrase: secrecy::SecretString,
    hidden: bool,
}

#[uniffi::export]
impl WifiCredentials {
    /// `ssid`: 1 to 32 bytes. `passphrase`: 8 to 63 printable ASCII characters; empty for an open network. `hidden`: the
    /// network does not tell its name.
    #[uniffi::constructor(default(hidden = false))]
    pub fn new(ssid: String, passphrase: String, hidden: bool) -> Arc<Self> {
        Arc::new(Self { ssid, passphrase: passphrase.into(), hidden })
    }
}

impl WifiCredentials {
    pub(crate) fn core(&self) -> pairing::WifiCredentials {
        let make = if self.hidden { pairing::WifiCredentials::hidden } else { pairing::WifiCredentials::new };
        make(self.ssid.clone(), self.passphrase.clone())
    }
}
