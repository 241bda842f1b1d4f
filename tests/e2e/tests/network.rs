//! The network step between the real installer and the simulated device, over every link.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::time::Duration;

use lowtouch_device::sim::{Running, SimConfig, SimLink, Simulated, Wifi, read_around};
use lowtouch_installer::pairing::{
    Deadlines, NetworkRequest, NetworkSet, NotJoinable, SecurityFlags, WifiAuth, WifiCredentials,
};
use lowtouch_installer::{ErrorCode, PairingError, label, network_only, wifi_scan};
use tempfile::TempDir;

fn any_port() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn device(link: SimLink, change: impl FnOnce(&mut SimConfig)) -> (Running, TempDir) {
    let folder = TempDir::new().unwrap();
    let mut config = SimConfig::new(link, folder.path());
    config.wifi = Some(Wifi { ssid: "Plant 4".into(), passphrase: "right horse".into() });
    change(&mut config);
    (Simulated::start(config).await.unwrap(), folder)
}

async fn set(device: &Running, wifi: WifiCredentials) -> Result<NetworkSet, PairingError> {
    let request = NetworkRequest {
        label: label::parse(device.label()).unwrap(),
        link: device.address().parse().unwrap(),
        wifi,
        security: SecurityFlags::default(),
        deadlines: Deadlines::default(),
    };
    tokio::time::timeout(Duration::from_secs(60), network_only(request).outcome()).await.expect("it hangs")
}

fn wifi(ssid: &str, passphrase: &str) -> WifiCredentials {
    WifiCredentials::new(ssid, passphrase.to_owned())
}

async fn code(device: &Running, wifi: WifiCredentials) -> ErrorCode {
    set(device, wifi).await.unwrap_err().code
}

/// Scan, wrong password, right password; power lost; another network.
async fn whole_step(link: SimLink) {
    let (device, _folder) = device(link, |_| {}).await;
    let label = label::parse(device.label()).unwrap();
    let networks = wifi_scan(&device.address().parse().unwrap(), label, SecurityFlags::default()).await.unwrap();
    let told: Vec<_> = networks.iter().map(|n| (n.ssid.to_string(), n.auth, n.access_points, n.reason)).collect();
    assert_eq!(
        told,
        [
            ("Plant 4".into(), WifiAuth::Wpa2, 1, None),
            ("Office".into(), WifiAuth::Enterprise, 1, Some(NotJoinable::Enterprise)),
            ("Neighbour".into(), WifiAuth::Wpa2, 2, None),
            ("Cafe guest".into(), WifiAuth::Open, 1, None),
            (String::new(), WifiAuth::Wpa2, 1, Some(NotJoinable::Hidden)),
        ]
    );
    assert_eq!(code(&device, wifi("Plant 4", "wrong horse")).await, ErrorCode::WifiWrongPassword);
    assert_eq!(
        code(&device, networks[0].credentials("wrong again".to_owned().into())).await,
        ErrorCode::WifiWrongPassword
    );
    // What did not work is not kept.
    device.kill().await;
    device.power_on().await.unwrap();
    let joined = set(&device, wifi("Plant 4", "right horse")).await.unwrap();
    assert_eq!(joined.ip.as_deref(), Some("192.168.50.23"));
    // proto-ver, two of the session, four of a scan of six access points, set, apply, status twice.
    assert_eq!(joined.round_trips, 11);
    let hidden = WifiCredentials::hidden("Hidden plant", "hidden-passphrase".to_owned());
    assert_eq!(set(&device, hidden).await.unwrap().ssid, "Hidden plant", "a connected device takes another network");
}

#[tokio::test]
async fn a_wrong_password_needs_no_reset_over_http() {
    whole_step(SimLink::Http(any_port())).await;
}

#[tokio::test]
async fn a_wrong_password_needs_no_reset_over_a_serial_line() {
    whole_step(SimLink::Pty).await;
}

#[tokio::test]
async fn a_wrong_password_needs_no_reset_over_bluetooth() {
    whole_step(SimLink::BleSim(any_port())).await;
}

#[tokio::test]
async fn networks_of_other_kinds_are_refused_with_words_or_joined_as_they_want() {
    let (device, _folder) = device(SimLink::Http(any_port()), |_| {}).await;
    assert_eq!(code(&device, wifi("Office", "right horse")).await, ErrorCode::WifiEnterprise);
    assert_eq!(code(&device, wifi("Cafe guest", "right horse")).await, ErrorCode::WifiSecurityDiffers);
    let error = set(&device, wifi("Hidden plant", "hidden-passphrase")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::WifiNotFound);
    let seen = error.detail.unwrap();
    assert!(seen.contains("\"Plant 4\"") && seen.contains("1 without a name"), "{seen}");
    let wrong = WifiCredentials::hidden("No such plant", "right horse".to_owned());
    assert_eq!(code(&device, wrong).await, ErrorCode::WifiNotFound);
    assert_eq!(set(&device, wifi("Cafe guest", "")).await.unwrap().ssid, "Cafe guest");
}

#[tokio::test]
async fn firmware_without_prov_ctrl_is_named_over_every_link() {
    for link in [SimLink::Http(any_port()), SimLink::Pty, SimLink::BleSim(any_port())] {
        let (device, _folder) = device(link, |config| config.prov_ctrl = false).await;
        assert_eq!(code(&device, wifi("Plant 4", "wrong horse")).await, ErrorCode::WifiWrongPassword);
        assert_eq!(code(&device, wifi("Plant 4", "right horse")).await, ErrorCode::WifiResetNeeded);
    }
}

#[tokio::test]
async fn a_hostile_name_in_the_air_is_escaped_and_can_be_chosen_all_the_same() {
    let (device, _folder) = device(SimLink::Pty, |config| {
        config.wifi = None;
        let around = r#"[{"ssidHex":"1b5d303b6f776e656407ff","passphrase":"right horse"},
            {"ssid":"exactly-32-bytes-long-ssid-00001","passphrase":"right horse"}]"#;
        config.around = Some(read_around(around).unwrap());
    })
    .await;
    let label = label::parse(device.label()).unwrap();
    let networks = wifi_scan(&device.address().parse().unwrap(), label, SecurityFlags::default()).await.unwrap();
    assert_eq!(networks[0].ssid.to_string(), r"\u{1b}]0;owned\u{7}\xff");
    for network in &networks {
        set(&device, network.credentials("right horse".to_owned().into())).await.unwrap();
    }
}
