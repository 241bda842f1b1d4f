//! The label: the QR code on the device, which says how to reach it and proves that its holder is near it.

use std::fmt;

use lowtouch_links::LinkAddress;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, PairingError};

mod draw;
mod make;
mod picture;

pub use draw::{qr_png, qr_svg, qr_terminal};
pub use make::{MadeLabel, NewLabel, POP_ALPHABET, POP_LENGTH, SaltAndVerifier, make};
pub use picture::{MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS, from_picture, text_from_picture};

/// The user name of ESP-IDF's examples and apps when a label names none.
pub const DEFAULT_USERNAME: &str = "wifiprov";

/// Longest label text that is looked at, in bytes; a QR code of version 40 holds 2,953.
pub const MAX_TEXT: usize = 4096;

/// What stands on a device's label. `Debug` leaves the secrets out.
#[derive(Clone)]
pub struct Label {
    /// What the device calls itself over the air, for example `PROV_CE03C0`.
    pub name: String,
    /// For Security 2; [`DEFAULT_USERNAME`] when the label has none.
    pub username: String,
    /// Proof of possession: the password of Security 2, optional with Security 1.
    pub pop: Option<SecretString>,
    /// How the device is reached, as the label says it.
    pub transport: Option<Transport>,
    /// Of the session.
    pub security: Security,
    /// Passphrase of the device's own access point (SoftAP).
    pub softap_password: Option<SecretString>,
    /// Which network the device wants to be put on.
    pub network: Network,
}

/// Session security of protocomm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Security {
    /// No protection. Only with an explicit flag.
    None,
    /// X25519 + PoP, AES-CTR without integrity.
    X25519,
    /// SRP-6a and AES-GCM.
    Srp6a,
}

impl From<Security> for u8 {
    fn from(security: Security) -> u8 {
        match security {
            Security::None => 0,
            Security::X25519 => 1,
            Security::Srp6a => 2,
        }
    }
}

impl TryFrom<u8> for Security {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Security::None),
            1 => Ok(Security::X25519),
            2 => Ok(Security::Srp6a),
            other => Err(format!("security {other} is not known")),
        }
    }
}

/// The label's word for how the device is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// Bluetooth Low Energy.
    Ble,
    /// The device's own access point.
    Softap,
    /// A serial line (a word of Lowtouch's; ESP-IDF has none for it).
    Serial,
    /// Something that this build does not know; the link has to be given by hand.
    Other(String),
}

impl Transport {
    /// As the label spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Transport::Ble => "ble",
            Transport::Softap => "softap",
            Transport::Serial => "serial",
            Transport::Other(other) => other,
        }
    }
}

impl From<&str> for Transport {
    fn from(text: &str) -> Self {
        match text {
            "ble" => Transport::Ble,
            "softap" => Transport::Softap,
            "serial" => Transport::Serial,
            other => Transport::Other(other.into()),
        }
    }
}

/// The label's word for the network that the device wants to be put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Network {
    /// Wi-Fi.
    Wifi,
    /// Thread.
    Thread,
}

/// Why a text or picture is no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Nothing there.
    #[error("the label is empty")]
    Empty,
    /// Something else was read.
    #[error("this is {0}, not a device label")]
    NotALabel(ReadInstead),
    /// A needed key is missing or has a value of the wrong kind.
    #[error("the label lacks `{0}`, or it is not a text where one is needed")]
    Incomplete(&'static str),
    /// A key has a value that this version does not know.
    #[error("the label's `{key}` is not supported")]
    Unsupported {
        /// Which key.
        key: &'static str,
    },
    /// Neither PNG nor JPEG, or damaged.
    #[error("the picture cannot be read: {0}")]
    Picture(String),
    /// Over [`MAX_PICTURE_BYTES`] or [`MAX_PICTURE_PIXELS`].
    #[error("the picture is too large: {0}")]
    PictureTooLarge(String),
    /// No QR code found, or it cannot be read.
    #[error("no readable QR code in the picture")]
    NoCode,
    /// More than one QR code.
    #[error("{0} different QR codes in the picture")]
    SeveralCodes(usize),
    /// The PoP or name that a label is to be made of does not fit.
    #[error("a label cannot be made: {0}")]
    CannotMake(&'static str),
}

/// What was read instead of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadInstead {
    /// `https://…`
    WebAddress,
    /// `WIFI:…`
    WifiCode,
    /// `MT:…`
    MatterCode,
    /// `X-HM://…`
    HomeKitCode,
    /// `DPP:…`
    EasyConnectCode,
    /// `lowtouch:invite#…`
    Invite,
    /// `BEGIN:VCARD` and the like.
    ContactOrEvent,
    /// Letters and digits.
    SerialNumber,
    /// JSON of something else.
    OtherJson,
    /// Longer than [`MAX_TEXT`].
    TooLong,
    /// Any other text.
    OtherText,
}

impl fmt::Display for ReadInstead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReadInstead::WebAddress => "a web address",
            ReadInstead::WifiCode => "a Wi-Fi code",
            ReadInstead::MatterCode => "a Matter setup code",
            ReadInstead::HomeKitCode => "a HomeKit setup code",
            ReadInstead::EasyConnectCode => "a Wi-Fi Easy Connect code",
            ReadInstead::Invite => "an invite",
            ReadInstead::ContactOrEvent => "a contact or calendar entry",
            ReadInstead::SerialNumber => "a serial number or other short code",
            ReadInstead::OtherJson => "JSON without the keys of a label",
            ReadInstead::TooLong => "a text longer than any label",
            ReadInstead::OtherText => "some other text",
        })
    }
}

impl From<LabelError> for PairingError {
    fn from(error: LabelError) -> Self {
        let code = match &error {
            LabelError::Empty => ErrorCode::LabelEmpty,
            LabelError::NotALabel(ReadInstead::Invite) => ErrorCode::LabelIsInvite,
            LabelError::NotALabel(_) => ErrorCode::LabelNotALabel,
            LabelError::Incomplete(_) | LabelError::CannotMake(_) => ErrorCode::LabelIncomplete,
            LabelError::Unsupported { .. } => ErrorCode::LabelUnsupported,
            LabelError::Picture(_) => ErrorCode::PictureUnreadable,
            LabelError::PictureTooLarge(_) => ErrorCode::PictureTooLarge,
            LabelError::NoCode => ErrorCode::PictureWithoutCode,
            LabelError::SeveralCodes(_) => ErrorCode::PictureWithSeveralCodes,
        };
        PairingError::with_detail(code, error.to_string())
    }
}

/// Reads the text of a label: ESP-IDF's QR JSON. Keys that are not known are ignored, as apps of other makers add some.
///
/// # Errors
/// Every other text gets an error that says what it is instead. No error repeats the text, which may hold a secret.
pub fn parse(text: &str) -> Result<Label, LabelError> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0');
    if text.is_empty() {
        return Err(LabelError::Empty);
    }
    if text.len() > MAX_TEXT {
        return Err(LabelError::NotALabel(ReadInstead::TooLong));
    }
    let json: serde_json::Value = serde_json::from_str(text).map_err(|_| LabelError::NotALabel(read_instead(text)))?;
    let serde_json::Value::Object(json) = json else {
        return Err(LabelError::NotALabel(read_instead(text)));
    };
    if !["ver", "name", "pop", "transport", "security"].iter().any(|key| json.contains_key(*key)) {
        return Err(LabelError::NotALabel(ReadInstead::OtherJson));
    }
    let text_of = |key: &'static str| match json.get(key) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(LabelError::Incomplete(key)),
    };

    match text_of("ver")?.as_deref() {
        Some("v1") => {}
        Some(_) => return Err(LabelError::Unsupported { key: "ver" }),
        None => return Err(LabelError::Incomplete("ver")),
    }
    let name = text_of("name")?.filter(|name| !name.is_empty()).ok_or(LabelError::Incomplete("name"))?;
    let security = match json.get("security") {
        None | Some(serde_json::Value::Null) => Security::Srp6a,
        Some(value) => {
            // Some makers' tools write the number as a text.
            let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
            number
                .and_then(|number| u8::try_from(number).ok())
                .and_then(|number| Security::try_from(number).ok())
                .ok_or(LabelError::Unsupported { key: "security" })?
        }
    };
    let pop = text_of("pop")?.filter(|pop| !pop.is_empty()).map(SecretString::from);
    if security == Security::Srp6a && pop.is_none() {
        return Err(LabelError::Incomplete("pop"));
    }
    let network = match text_of("network")?.as_deref() {
        None | Some("wifi") => Network::Wifi,
        Some("thread") => Network::Thread,
        Some(_) => return Err(LabelError::Unsupported { key: "network" }),
    };
    Ok(Label {
        name,
        username: text_of("username")?
            .filter(|username| !username.is_empty())
            .unwrap_or_else(|| DEFAULT_USERNAME.into()),
        pop,
        transport: text_of("transport")?.as_deref().map(Transport::from),
        security,
        softap_password: text_of("password")?.filter(|password| !password.is_empty()).map(SecretString::from),
        network,
    })
}

fn read_instead(text: &str) -> ReadInstead {
    let starts = |prefix: &str| text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    if starts("http://") || starts("https://") || starts("www.") {
        ReadInstead::WebAddress
    } else if starts("WIFI:") {
        ReadInstead::WifiCode
    } else if starts("MT:") {
        ReadInstead::MatterCode
    } else if starts("X-HM:") {
        ReadInstead::HomeKitCode
    } else if starts("DPP:") {
        ReadInstead::EasyConnectCode
    } else if starts("lowtouch:invite") {
        ReadInstead::Invite
    } else if starts("BEGIN:") || starts("MECARD:") {
        ReadInstead::ContactOrEvent
    } else if text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/#".contains(c)) {
        ReadInstead::SerialNumber
    } else {
        ReadInstead::OtherText
    }
}

impl std::str::FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        parse(text)
    }
}

/// The address that ESP-IDF's devices give themselves in their own Wi-Fi (ESP-IDF's default for SoftAP).
const SOFTAP: &str = "http://192.168.4.1";

impl Label {
    /// How the label itself says that the device is reached: in its own Wi-Fi, or over Bluetooth by its name. `None` where
    /// the label does not say, or means a transport that this build does not know.
    pub fn link(&self) -> Option<LinkAddress> {
        match self.transport.as_ref()? {
            Transport::Softap => SOFTAP.parse().ok(),
            Transport::Ble => format!("ble://{}", self.name).parse().ok(),
            _ => None,
        }
    }

    /// The link that a person gave, or else the label's own.
    ///
    /// # Errors
    /// `link-unsupported` for what is no link's address, and where neither says how the device is reached.
    pub fn link_or(&self, given: Option<&str>) -> Result<LinkAddress, PairingError> {
        let wrong = |why: String| PairingError::with_detail(ErrorCode::LinkUnsupported, why);
        match given {
            Some(given) => given.parse().map_err(|error: lowtouch_links::AddressError| wrong(error.to_string())),
            None => self.link().ok_or_else(|| wrong("the label does not say how the device is reached".into())),
        }
    }

    /// The label's text, as it goes into the QR code.
    pub fn to_text(&self) -> SecretString {
        let mut json = serde_json::Map::new();
        let mut put = |key: &str, value: serde_json::Value| json.insert(key.into(), value);
        put("ver", "v1".into());
        put("name", self.name.as_str().into());
        if self.security == Security::Srp6a {
            put("username", self.username.as_str().into());
        }
        if let Some(pop) = &self.pop {
            put("pop", pop.expose_secret().into());
        }
        if let Some(transport) = &self.transport {
            put("transport", transport.as_str().into());
        }
        put("security", u8::from(self.security).into());
        if let Some(password) = &self.softap_password {
            put("password", password.expose_secret().into());
        }
        put("network", if self.network == Network::Thread { "thread" } else { "wifi" }.into());
        serde_json::Value::Object(json).to_string().into()
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Label")
            .field("name", &self.name)
            .field("username", &self.username)
            .field("pop", &self.pop.as_ref().map(|_| "[redacted]"))
            .field("transport", &self.transport)
            .field("security", &self.security)
            .field("softap_password", &self.softap_password.as_ref().map(|_| "[redacted]"))
            .field("network", &self.network)
            .finish()
    }
}
