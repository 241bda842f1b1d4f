//! The Wi-Fi around a simulated device: one network that it can join, and neighbours that it cannot.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::sim::Wifi;

/// A radio takes its time; long enough that an app sees "connecting" at least once, short enough for a demo.
pub(crate) const JOINING_TAKES: Duration = Duration::from_millis(150);

/// A network that a scan finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) ssid: String,
    pub(crate) bssid: [u8; 6],
    pub(crate) channel: u8,
    /// dBm.
    pub(crate) rssi: i8,
    pub(crate) open: bool,
}

/// Why the device did not get into the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// The passphrase is wrong.
    Auth,
    /// No such network.
    NotFound,
}

/// All networks in reach, strongest first.
pub(crate) fn scan(own: Option<&Wifi>) -> Vec<Heard> {
    let mut heard = vec![
        Heard { ssid: "Neighbour".into(), bssid: [2, 0x10, 0x20, 0x30, 0x40, 1], channel: 1, rssi: -71, open: false },
        Heard { ssid: "Cafe guest".into(), bssid: [2, 0x10, 0x20, 0x30, 0x40, 2], channel: 6, rssi: -83, open: true },
    ];
    if let Some(wifi) = own {
        let open = wifi.passphrase.expose_secret().is_empty();
        let bssid = [2, 0x10, 0x20, 0x30, 0x40, 0];
        heard.insert(0, Heard { ssid: wifi.ssid.clone(), bssid, channel: 11, rssi: -48, open });
    }
    heard
}

/// Whether the device gets in.
pub(crate) fn join(own: Option<&Wifi>, ssid: &[u8], passphrase: &SecretString) -> Result<(), JoinError> {
    let neighbours = scan(None);
    match own {
        Some(wifi) if wifi.ssid.as_bytes() == ssid => {
            let right = wifi.passphrase.expose_secret() == passphrase.expose_secret();
            if right { Ok(()) } else { Err(JoinError::Auth) }
        }
        _ if neighbours.iter().any(|heard| heard.ssid.as_bytes() == ssid) => Err(JoinError::Auth),
        _ => Err(JoinError::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_passphrase_gets_in_and_only_what_exists_is_found() {
        let wifi = Wifi { ssid: "Plant".into(), passphrase: "secret-4".into() };
        assert_eq!(scan(Some(&wifi))[0].ssid, "Plant");
        assert_eq!(join(Some(&wifi), b"Plant", &"secret-4".into()), Ok(()));
        assert_eq!(join(Some(&wifi), b"Plant", &"wrong".into()), Err(JoinError::Auth));
        assert_eq!(join(Some(&wifi), b"plant", &"secret-4".into()), Err(JoinError::NotFound));
        assert_eq!(join(Some(&wifi), b"Neighbour", &"x".into()), Err(JoinError::Auth));
    }
}
