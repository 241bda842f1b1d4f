//! The Wi-Fi around a simulated device: networks of every kind that an installer meets.

use std::time::Duration;

use lowtouch_handoff::prov_config::{AuthMode, MAX_PASSPHRASE, MAX_SSID};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::sim::Wifi;

/// A radio takes its time; long enough that an app sees "connecting" at least once, short enough for a demo.
pub(crate) const JOINING_TAKES: Duration = Duration::from_millis(150);

/// An access point near the device.
#[derive(Debug, Clone)]
pub struct AccessPoint {
    /// 1 to 32 bytes.
    pub ssid: Vec<u8>,
    /// It does not tell its name, and lets in who knows it.
    pub hidden: bool,
    /// How it lets devices in.
    pub auth: AuthMode,
    /// Lets devices in; `None`: nobody here knows it. Without meaning for an open network.
    pub passphrase: Option<SecretString>,
    /// dBm.
    pub rssi: i8,
    /// 1 to 14 at 2.4 GHz.
    pub channel: u8,
}

impl AccessPoint {
    fn new(ssid: &str, auth: AuthMode, rssi: i8, channel: u8) -> Self {
        Self { ssid: ssid.into(), hidden: false, auth, passphrase: None, rssi, channel }
    }
}

/// An access point as a file describes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Described {
    ssid: Option<String>,
    ssid_hex: Option<String>,
    #[serde(default)]
    hidden: bool,
    auth: Option<String>,
    passphrase: Option<SecretString>,
    #[serde(default = "usual_rssi")]
    rssi: i8,
    #[serde(default = "usual_channel")]
    channel: u8,
}

fn usual_rssi() -> i8 {
    -60
}

fn usual_channel() -> u8 {
    6
}

/// Reads a list of access points: a JSON array of objects with `ssid` (or `ssidHex` for bytes that are no text),
/// `passphrase`, `auth` (`open`, `wep`, `wpa`, `wpa2`, `wpa-wpa2`, `wpa3`, `wpa2-wpa3`, `enterprise`), `hidden`, `rssi`
/// and `channel`. Only the name is needed; with a passphrase `auth` is WPA2, without one it is open.
///
/// # Errors
/// What is wrong, in words; never the passphrase.
pub fn read_around(json: &str) -> Result<Vec<AccessPoint>, String> {
    let described: Vec<Described> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    described.into_iter().map(access_point).collect()
}

fn access_point(described: Described) -> Result<AccessPoint, String> {
    let ssid = match (described.ssid, described.ssid_hex) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(digits)) => from_hex(&digits).ok_or("ssidHex is no hex")?,
        _ => return Err("give ssid or ssidHex".to_owned()),
    };
    if ssid.is_empty() || ssid.len() > MAX_SSID {
        return Err("an SSID has 1 to 32 bytes".to_owned());
    }
    if described.passphrase.as_ref().is_some_and(|passphrase| passphrase.expose_secret().len() > MAX_PASSPHRASE) {
        return Err("a passphrase has at most 63 bytes".to_owned());
    }
    let auth = match (described.auth.as_deref(), &described.passphrase) {
        (Some("open"), _) | (None, None) => AuthMode::Open,
        (Some("wpa2"), _) | (None, Some(_)) => AuthMode::Wpa2Psk,
        (Some("wep"), _) => AuthMode::Wep,
        (Some("wpa"), _) => AuthMode::WpaPsk,
        (Some("wpa-wpa2"), _) => AuthMode::WpaWpa2Psk,
        (Some("wpa3"), _) => AuthMode::Wpa3Psk,
        (Some("wpa2-wpa3"), _) => AuthMode::Wpa2Wpa3Psk,
        (Some("enterprise"), _) => AuthMode::Wpa2Enterprise,
        (Some(other), _) => return Err(format!("auth {other:?} is not known")),
    };
    let (hidden, passphrase) = (described.hidden, described.passphrase);
    Ok(AccessPoint { ssid, hidden, auth, passphrase, rssi: described.rssi, channel: described.channel })
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// What is near a device unless it is told otherwise: each kind once, and one network with two access points.
fn usual() -> Vec<AccessPoint> {
    let hidden = AccessPoint {
        hidden: true,
        passphrase: Some("hidden-passphrase".into()),
        ..AccessPoint::new("Hidden plant", AuthMode::Wpa2Psk, -66, 3)
    };
    vec![
        AccessPoint::new("Neighbour", AuthMode::Wpa2Psk, -71, 1),
        AccessPoint::new("Neighbour", AuthMode::Wpa2Wpa3Psk, -79, 9),
        AccessPoint::new("Office", AuthMode::Wpa2Enterprise, -58, 6),
        AccessPoint::new("Cafe guest", AuthMode::Open, -83, 6),
        hidden,
    ]
}

/// A network that a scan finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Empty for a hidden one.
    pub(crate) ssid: Vec<u8>,
    pub(crate) bssid: [u8; 6],
    pub(crate) channel: u8,
    /// dBm.
    pub(crate) rssi: i8,
    pub(crate) auth: AuthMode,
}

/// Why the device did not get into the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// The passphrase is wrong.
    Auth,
    /// No such network, or none of its name that lets devices in like this.
    NotFound,
}

fn all(own: Option<&Wifi>, around: Option<&[AccessPoint]>) -> Vec<AccessPoint> {
    let mut all = around.map_or_else(usual, <[AccessPoint]>::to_vec);
    if let Some(wifi) = own {
        let open = wifi.passphrase.expose_secret().is_empty();
        let auth = if open { AuthMode::Open } else { AuthMode::Wpa2Psk };
        let passphrase = Some(wifi.passphrase.clone());
        all.insert(0, AccessPoint { passphrase, ..AccessPoint::new(&wifi.ssid, auth, -48, 11) });
    }
    all
}

fn heard(number: usize, access_point: &AccessPoint) -> Heard {
    Heard {
        ssid: if access_point.hidden { Vec::new() } else { access_point.ssid.clone() },
        bssid: [2, 0x10, 0x20, 0x30, 0x40, u8::try_from(number).unwrap_or(0xff)],
        channel: access_point.channel,
        rssi: access_point.rssi,
        auth: access_point.auth,
    }
}

/// All networks in reach, strongest first.
pub(crate) fn scan(own: Option<&Wifi>, around: Option<&[AccessPoint]>) -> Vec<Heard> {
    let mut found: Vec<_> =
        all(own, around).iter().enumerate().map(|(number, access_point)| heard(number, access_point)).collect();
    found.sort_by_key(|heard| std::cmp::Reverse(heard.rssi));
    found
}

/// Whether the device gets in, and into which.
pub(crate) fn join(
    own: Option<&Wifi>,
    around: Option<&[AccessPoint]>,
    ssid: &[u8],
    passphrase: &SecretString,
) -> Result<Heard, JoinError> {
    let passphrase = passphrase.expose_secret();
    let mut refused = JoinError::NotFound;
    for (number, access_point) in all(own, around).iter().enumerate().filter(|(_, near)| near.ssid == ssid) {
        // With a passphrase ESP-IDF wants WPA or better, without one an open network; it knows no user name.
        match access_point.auth {
            AuthMode::Wpa2Enterprise | AuthMode::Wep => {}
            AuthMode::Open if passphrase.is_empty() => return Ok(heard(number, access_point)),
            AuthMode::Open => {}
            _ if passphrase.is_empty() => {}
            _ if access_point.passphrase.as_ref().is_some_and(|right| right.expose_secret() == passphrase) => {
                return Ok(heard(number, access_point));
            }
            _ => refused = JoinError::Auth,
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(own: Option<&Wifi>, ssid: &str, passphrase: &str) -> Result<(), JoinError> {
        join(own, None, ssid.as_bytes(), &passphrase.into()).map(drop)
    }

    #[test]
    fn only_the_right_passphrase_gets_in_and_only_what_exists_is_found() {
        let wifi = Wifi { ssid: "Plant".into(), passphrase: "secret-4".into() };
        let own = Some(&wifi);
        assert_eq!(scan(own, None)[0].ssid, b"Plant");
        assert_eq!(joined(own, "Plant", "secret-4"), Ok(()));
        assert_eq!(joined(own, "Plant", "wrong"), Err(JoinError::Auth));
        assert_eq!(joined(own, "Plant", ""), Err(JoinError::NotFound));
        assert_eq!(joined(own, "plant", "secret-4"), Err(JoinError::NotFound));
        assert_eq!(joined(own, "Neighbour", "x"), Err(JoinError::Auth));
        assert_eq!(joined(own, "Office", "x"), Err(JoinError::NotFound));
        assert_eq!(joined(own, "Cafe guest", ""), Ok(()));
        assert_eq!(joined(own, "Cafe guest", "x"), Err(JoinError::NotFound));
        assert_eq!(joined(own, "Hidden plant", "hidden-passphrase"), Ok(()));
        assert!(scan(own, None).iter().all(|heard| heard.ssid != b"Hidden plant"));
        assert!(scan(own, None).is_sorted_by_key(|heard| std::cmp::Reverse(heard.rssi)));
    }

    #[test]
    fn what_is_around_is_read_from_a_list_and_mistakes_are_named() {
        let around = read_around(
            r#"[{"ssid":"Plant 5","passphrase":"secret-5"},{"ssidHex":"1bff","auth":"wpa3"},{"ssid":"Cafe"},
                {"ssid":"Deep","passphrase":"secret-6","hidden":true,"rssi":-90,"channel":13}]"#,
        )
        .unwrap();
        let auths: Vec<_> = around.iter().map(|near| near.auth).collect();
        assert_eq!(auths, [AuthMode::Wpa2Psk, AuthMode::Wpa3Psk, AuthMode::Open, AuthMode::Wpa2Psk]);
        assert_eq!(around[1].ssid, [0x1b, 0xff]);
        assert!(join(None, Some(&around), b"Deep", &"secret-6".into()).is_ok());
        assert_eq!(scan(None, Some(&around)).last().unwrap().ssid, b"");
        for bad in ["{}", "[{}]", r#"[{"ssid":""}]"#, r#"[{"ssidHex":"1b0"}]"#, r#"[{"ssid":"a","auth":"wpa9"}]"#] {
            assert!(read_around(bad).is_err(), "{bad}");
        }
        let long = "x".repeat(64);
        let told = read_around(&format!(r#"[{{"ssid":"a","passphrase":"{long}"}}]"#)).unwrap_err();
        assert!(!told.contains(&long), "{told}");
    }
}
