//! Wi-Fi networks as a device hears them, and what it takes to join one.

use std::fmt;

use lowtouch_handoff::prov_scan::AccessPoint;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, Serializer};

use crate::error::{ErrorCode, PairingError};

/// Longest network name, in bytes (IEEE 802.11).
const MAX_SSID: usize = 32;

/// Length of a passphrase, in bytes (WPA). ESP-IDF's provisioning takes 63 at most, so the 64 digits of a raw key do not fit.
const PASSPHRASE: std::ops::RangeInclusive<usize> = 8..=63;

/// A network's name: bytes, most often UTF-8. Whoever is near can choose one, so `Display` escapes what could disturb a
/// terminal or deceive a reader: control characters, changes of direction, invisible characters, bytes that are not UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Ssid(Vec<u8>);

impl Ssid {
    /// As it goes through the air.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A network that does not tell its name has none, or one of zeroes.
    pub fn is_hidden(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }
}

impl From<&str> for Ssid {
    fn from(text: &str) -> Self {
        Ssid(text.as_bytes().to_vec())
    }
}

impl From<String> for Ssid {
    fn from(text: String) -> Self {
        Ssid(text.into_bytes())
    }
}

impl From<Vec<u8>> for Ssid {
    fn from(bytes: Vec<u8>) -> Self {
        Ssid(bytes)
    }
}

impl fmt::Display for Ssid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    plain if !disturbs(plain) => fmt::Write::write_char(f, plain)?,
                    other => write!(f, "{}", other.escape_unicode())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Ssid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for Ssid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Characters that move the cursor, turn the direction of what follows, or cannot be seen (Unicode's Cc and the Cf and
/// Zl/Zp that matter, other blanks than the plain one, private use).
fn disturbs(character: char) -> bool {
    character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}'
            | '\u{e0000}'..='\u{10ffff}')
}

/// How a network lets devices in, by the numbers of ESP-IDF's `wifi_auth_mode_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WifiAuth {
    /// Everybody.
    Open,
    /// WEP: broken since 2001.
    Wep,
    /// WPA with a passphrase.
    Wpa,
    /// WPA2 with a passphrase.
    Wpa2,
    /// WPA and WPA2.
    WpaWpa2,
    /// WPA3 with a passphrase.
    Wpa3,
    /// WPA2 and WPA3.
    Wpa2Wpa3,
    /// A user name or a certificate for each device (802.1X, EAP).
    Enterprise,
    /// A kind that this program does not know. The device may.
    Unknown,
}

impl WifiAuth {
    pub(super) fn of(number: i32) -> Self {
        match number {
            0 => WifiAuth::Open,
            1 => WifiAuth::Wep,
            2 => WifiAuth::Wpa,
            3 => WifiAuth::Wpa2,
            4 => WifiAuth::WpaWpa2,
            6 | 11 => WifiAuth::Wpa3,
            7 | 12 => WifiAuth::Wpa2Wpa3,
            5 | 10 | 14..=16 => WifiAuth::Enterprise,
            _ => WifiAuth::Unknown,
        }
    }

    /// Whether a passphrase lets a device in. `None`: not known.
    pub fn wants_passphrase(self) -> Option<bool> {
        match self {
            WifiAuth::Open => Some(false),
            WifiAuth::Unknown => None,
            _ => Some(true),
        }
    }

    /// Networks of one name are one network where a device joins them with the same thing.
    fn kind(self) -> u8 {
        match self {
            WifiAuth::Open => 0,
            WifiAuth::Enterprise => 1,
            WifiAuth::Wep => 2,
            WifiAuth::Unknown => 3,
            _ => 4,
        }
    }
}

/// Why a network of a scan cannot be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NotJoinable {
    /// It wants a user name or a certificate, and `prov-config` carries a passphrase only.
    Enterprise,
    /// WEP protects nothing.
    Wep,
    /// It does not tell its name; it is joined by giving the name with [`WifiCredentials::hidden`].
    Hidden,
}

/// A network that the device hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct WifiNetwork {
    /// Its name; empty for a hidden network. In JSON escaped as `Display` has it.
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub ssid: Ssid,
    /// The name's bytes in hex, where `ssid` in JSON is not the name itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssid_hex: Option<String>,
    /// Of the strongest access point, in dBm: -30 is next to it, -90 is hardly heard.
    pub rssi: i32,
    /// Of the strongest access point.
    pub channel: u32,
    /// How it lets devices in.
    pub auth: WifiAuth,
    /// Of the strongest access point, as `02:10:20:30:40:00`.
    pub bssid: String,
    /// How many access points have this name.
    pub access_points: u32,
    /// Whether it can be chosen.
    pub joinable: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<NotJoinable>,
}

impl WifiNetwork {
    /// One access point as a device tells it, for tests of what shows a list. `auth`: of `wifi_auth_mode_t`.
    #[doc(hidden)]
    pub fn heard(ssid: &[u8], rssi: i32, auth: i32) -> Self {
        WifiNetwork::of(&AccessPoint { ssid: ssid.to_vec(), channel: 6, rssi, bssid: vec![2, 0, 0, 0, 0, 1], auth })
    }

    /// To join this network, without another look at what is around.
    pub fn credentials(&self, passphrase: SecretString) -> WifiCredentials {
        WifiCredentials { ssid: self.ssid.clone(), passphrase, hidden: false, auth: Some(self.auth) }
    }

    fn of(heard: &AccessPoint) -> Self {
        let ssid = if heard.ssid.iter().all(|byte| *byte == 0) { Ssid::default() } else { Ssid(heard.ssid.clone()) };
        let auth = WifiAuth::of(heard.auth);
        let reason = match auth {
            _ if ssid.is_hidden() => Some(NotJoinable::Hidden),
            WifiAuth::Enterprise => Some(NotJoinable::Enterprise),
            WifiAuth::Wep => Some(NotJoinable::Wep),
            _ => None,
        };
        let bssid: Vec<_> = heard.bssid.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        WifiNetwork {
            ssid_hex: (ssid.to_string().as_bytes() != ssid.as_bytes()).then(|| hex(ssid.as_bytes())),
            ssid,
            rssi: heard.rssi,
            channel: heard.channel,
            auth,
            bssid: bssid.join(":"),
            access_points: 1,
            joinable: reason.is_none(),
            reason,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One entry a network: access points of one name that are joined with the same thing are one, with the strongest's
/// signal. Strongest first; hidden networks, which may be one or many, stand each for itself at the end.
pub(super) fn grouped(heard: &[AccessPoint]) -> Vec<WifiNetwork> {
    let mut networks: Vec<WifiNetwork> = Vec::new();
    // No name is longer; such an entry could not be chosen.
    for found in heard.iter().filter(|heard| heard.ssid.len() <= MAX_SSID).map(WifiNetwork::of) {
        let same = |known: &&mut WifiNetwork| {
            !found.ssid.is_hidden() && known.ssid == found.ssid && known.auth.kind() == found.auth.kind()
        };
        match networks.iter_mut().find(same) {
            Some(known) => {
                let access_points = known.access_points + 1;
                if found.rssi > known.rssi {
                    *known = found;
                }
                known.access_points = access_points;
            }
            None => networks.push(found),
        }
    }
    networks.sort_by_key(|network| (network.ssid.is_hidden(), std::cmp::Reverse(network.rssi)));
    networks
}

/// Wi-Fi for the device.
#[derive(Debug, Clone)]
pub struct WifiCredentials {
    /// 1 to 32 bytes.
    pub ssid: Ssid,
    /// 8 to 63 printable ASCII characters; empty for an open network.
    pub passphrase: SecretString,
    /// The network does not tell its name, so no scan shows it by that.
    pub hidden: bool,
    /// As a scan said; `None`: not known.
    pub auth: Option<WifiAuth>,
}

impl WifiCredentials {
    /// For a network that tells its name.
    pub fn new(ssid: impl Into<Ssid>, passphrase: impl Into<SecretString>) -> Self {
        WifiCredentials { ssid: ssid.into(), passphrase: passphrase.into(), hidden: false, auth: None }
    }

    /// For a network that does not tell its name.
    pub fn hidden(ssid: impl Into<Ssid>, passphrase: impl Into<SecretString>) -> Self {
        WifiCredentials { hidden: true, ..WifiCredentials::new(ssid, passphrase) }
    }

    /// Whether a device could join with these, before anything is sent.
    ///
    /// # Errors
    /// `wifi-invalid` for the lengths and characters; where [`auth`](Self::auth) is known also `wifi-enterprise` and
    /// `wifi-security-differs`.
    pub fn check(&self) -> Result<(), PairingError> {
        let invalid = |detail: &str| Err(PairingError::with_detail(ErrorCode::WifiInvalid, detail));
        let passphrase = self.passphrase.expose_secret();
        if self.ssid.0.is_empty() || self.ssid.0.len() > MAX_SSID {
            return invalid(&format!("the name has {} bytes", self.ssid.0.len()));
        }
        if passphrase.len() == 64 && passphrase.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return invalid(
                "64 hex digits are the network's raw key; devices take its passphrase, of 8 to 63 characters",
            );
        }
        if !passphrase.is_empty() && !PASSPHRASE.contains(&passphrase.len()) {
            return invalid(&format!("the passphrase has {} bytes", passphrase.len()));
        }
        if !passphrase.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return invalid("the passphrase has a character that is not printable ASCII");
        }
        self.auth.map_or(Ok(()), |auth| self.fits(auth))
    }

    /// Compares with what the device hears.
    pub(super) fn check_against(&self, networks: &[WifiNetwork]) -> Result<(), PairingError> {
        let mut misfit = None;
        for network in networks.iter().filter(|network| network.ssid == self.ssid) {
            match self.fits(network.auth) {
                Ok(()) => return Ok(()),
                Err(error) => misfit = misfit.or(Some(error)),
            }
        }
        Err(misfit.unwrap_or_else(|| PairingError::with_detail(ErrorCode::WifiNotFound, names(networks))))
    }

    fn fits(&self, auth: WifiAuth) -> Result<(), PairingError> {
        let open = self.passphrase.expose_secret().is_empty();
        match (auth, auth.wants_passphrase()) {
            (WifiAuth::Enterprise, _) => Err(ErrorCode::WifiEnterprise.into()),
            (WifiAuth::Wep, _) => {
                Err(PairingError::with_detail(ErrorCode::WifiSecurityDiffers, "the network uses WEP"))
            }
            (_, Some(false)) if !open => {
                Err(PairingError::with_detail(ErrorCode::WifiSecurityDiffers, "the network is open"))
            }
            (_, Some(true)) if open => {
                Err(PairingError::with_detail(ErrorCode::WifiSecurityDiffers, "the network wants a passphrase"))
            }
            _ => Ok(()),
        }
    }
}

/// The names that were seen, for an error's detail.
fn names(networks: &[WifiNetwork]) -> String {
    /// More help nobody.
    const MOST: usize = 12;
    let mut names: Vec<String> = Vec::new();
    for network in networks.iter().filter(|network| !network.ssid.is_hidden()) {
        let name = format!("\"{}\"", network.ssid);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let hidden = networks.iter().filter(|network| network.ssid.is_hidden()).count();
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let mut text = if names.is_empty() {
        "the device sees no network by name".into()
    } else {
        format!("the device sees {}", names.join(", "))
    };
    if more > 0 {
        text += &format!(", and {more} more");
    }
    if hidden > 0 {
        text += &format!("; {hidden} without a name");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(ssid: &[u8], rssi: i32, auth: i32) -> AccessPoint {
        AccessPoint { ssid: ssid.to_vec(), channel: 6, rssi, bssid: vec![2, 0x10, 0, 0, 0, 0xff], auth }
    }

    #[test]
    fn access_points_of_one_name_are_one_network_with_the_strongest_signal() {
        let networks = grouped(&[
            heard(b"", -20, 3),
            heard(b"Plant", -80, 3),
            heard(b"Plant", -50, 7),
            heard(b"Plant", -60, 0),
            heard(b"\0\0\0\0", -30, 3),
            heard(b"Office", -40, 5),
            heard(b"Plant", -70, 3),
        ]);
        let told: Vec<_> =
            networks.iter().map(|n| (n.ssid.to_string(), n.rssi, n.auth, n.access_points, n.reason)).collect();
        assert_eq!(
            told,
            [
                ("Office".into(), -40, WifiAuth::Enterprise, 1, Some(NotJoinable::Enterprise)),
                ("Plant".into(), -50, WifiAuth::Wpa2Wpa3, 3, None),
                // An open network of the same name is another one, perhaps somebody's trap.
                ("Plant".into(), -60, WifiAuth::Open, 1, None),
                ("".into(), -20, WifiAuth::Wpa2, 1, Some(NotJoinable::Hidden)),
                ("".into(), -30, WifiAuth::Wpa2, 1, Some(NotJoinable::Hidden)),
            ]
        );
        assert!(networks.iter().all(|network| network.joinable == network.reason.is_none()));
        assert_eq!(networks[0].bssid, "02:10:00:00:00:ff");
    }

    #[test]
    fn hostile_names_are_escaped_and_stay_exact() {
        for (bytes, shown) in [
            (b"\x1b[2J\x07\r\n".as_slice(), r"\u{1b}[2J\u{7}\u{d}\u{a}"),
            ("\u{202e}tnalP".as_bytes(), r"\u{202e}tnalP"),
            ("Plant\u{200b}".as_bytes(), r"Plant\u{200b}"),
            (b"a\xff\xfeb\0", r"a\xff\xfeb\u{0}"),
            (br"back\slash", r"back\\slash"),
            (b"\xc2\x9b31m", r"\u{9b}31m"),
            ("caf\u{e9}-\u{7f51} 4".as_bytes(), "caf\u{e9}-\u{7f51} 4"),
            (b"exactly-32-bytes-long-ssid-00001", "exactly-32-bytes-long-ssid-00001"),
        ] {
            let network = &grouped(&[heard(bytes, -50, 3)])[0];
            assert_eq!(network.ssid.to_string(), shown);
            assert_eq!(network.ssid.as_bytes(), bytes);
            assert_eq!(network.ssid_hex.is_some(), shown.as_bytes() != bytes);
        }
        assert!(grouped(&[heard(&[b'x'; 33], -50, 3)]).is_empty(), "no name has 33 bytes");
    }

    #[test]
    fn passphrases_are_checked_before_anything_is_sent() {
        let detail = |ssid: &str, passphrase: &str| {
            let error = WifiCredentials::new(ssid, passphrase).check().unwrap_err();
            assert_eq!(error.code, ErrorCode::WifiInvalid);
            error.detail.unwrap()
        };
        assert!(detail("", "12345678").contains("0 bytes"));
        assert!(detail(&"x".repeat(33), "12345678").contains("33 bytes"));
        assert!(detail("Shed", "1234567").contains("7 bytes"));
        assert!(detail("Shed", &"g".repeat(64)).contains("64 bytes"));
        assert!(detail("Shed", &"aF".repeat(32)).contains("raw key"));
        for odd in ["pass\tphrase", "passw\u{f6}rter", "pass\nphrase"] {
            let said = detail("Shed", odd);
            assert!(said.contains("ASCII") && !said.contains("phrase\n"), "{said}");
        }
        for good in ["", "12345678", &"x".repeat(63), "with blank ~"] {
            WifiCredentials::new("Shed", good).check().unwrap();
        }
    }

    #[test]
    fn what_a_scan_says_is_compared_before_anything_is_sent() {
        let networks = grouped(&[
            heard(b"Office", -40, 5),
            heard(b"Cafe", -50, 0),
            heard(b"Old", -50, 1),
            heard(b"Twin", -50, 0),
            heard(b"Twin", -60, 3),
            heard(b"New", -60, 99),
            heard(b"", -60, 3),
        ]);
        let code = |ssid: &str, passphrase: &str| {
            WifiCredentials::new(ssid, passphrase).check_against(&networks).err().map(|error| error.code)
        };
        assert_eq!(code("Office", "12345678"), Some(ErrorCode::WifiEnterprise));
        assert_eq!(code("Cafe", "12345678"), Some(ErrorCode::WifiSecurityDiffers));
        assert_eq!(code("Old", "12345678"), Some(ErrorCode::WifiSecurityDiffers));
        assert_eq!(code("Cafe", ""), None);
        assert_eq!((code("Twin", ""), code("Twin", "12345678")), (None, None));
        assert_eq!((code("New", ""), code("New", "12345678")), (None, None));
        let error = WifiCredentials::new("cafe", "").check_against(&networks).unwrap_err();
        assert_eq!(error.code, ErrorCode::WifiNotFound);
        let said = r#"the device sees "Office", "Cafe", "Old", "Twin", "New"; 1 without a name"#;
        assert_eq!(error.detail.as_deref(), Some(said));
        let credentials = networks[0].credentials("12345678".to_owned().into());
        assert_eq!(credentials.check().unwrap_err().code, ErrorCode::WifiEnterprise);
    }

    #[test]
    fn every_number_of_the_firmware_has_its_kind() {
        use WifiAuth::{Enterprise, Open, Unknown, Wep, Wpa, Wpa2, Wpa2Wpa3, Wpa3, WpaWpa2};
        let kinds = [
            Open, Wep, Wpa, Wpa2, WpaWpa2, Enterprise, Wpa3, Wpa2Wpa3, Unknown, Unknown, Enterprise, Wpa3, Wpa2Wpa3,
            Unknown, Enterprise, Enterprise, Enterprise, Unknown,
        ];
        for (number, kind) in (0..).zip(kinds) {
            assert_eq!(WifiAuth::of(number), kind, "{number}");
        }
        assert_eq!(WifiAuth::of(-1), Unknown);
    }
}
