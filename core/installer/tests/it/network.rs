//! The network step against the device role: what is sent, what is said, and how it is tried again.

use lowtouch_handoff::dps_config::Attestation::SymmetricKey;
use lowtouch_handoff::prov_config::device::StationEvent;
use lowtouch_handoff::prov_config::{FailReason, WifiConnected};
use lowtouch_installer::pairing::{NetworkRequest, NetworkSet, SecurityFlags, WifiAuth, WifiCredentials, WifiNetwork};
use lowtouch_installer::{ErrorCode, PairingError, PairingEvent, Warning, network_only_over, wifi_scan_over};

use crate::fake::{FakeDevice, Trouble, WIFI_PASSWORD, access_point, label};

fn device() -> FakeDevice {
    FakeDevice::new(&[SymmetricKey]).with_wifi(WIFI_PASSWORD)
}

fn wifi(ssid: &str, passphrase: &str) -> WifiCredentials {
    WifiCredentials::new(ssid, passphrase.to_owned())
}

/// The outcome and the warnings.
async fn set(device: &FakeDevice, wifi: WifiCredentials) -> (Result<NetworkSet, PairingError>, Vec<Warning>) {
    let request = NetworkRequest {
        label: label(2),
        link: "http://192.0.2.1".parse().unwrap(),
        wifi,
        security: SecurityFlags::default(),
        deadlines: Default::default(),
    };
    let running = network_only_over(request, device.link(Trouble::None));
    let mut events = running.events();
    let mut warnings = Vec::new();
    while let Some(event) = events.next().await {
        if let PairingEvent::Warning { warning } = event {
            warnings.push(warning);
        }
    }
    (running.outcome().await, warnings)
}

async fn failure(device: &FakeDevice, wifi: WifiCredentials) -> PairingError {
    set(device, wifi).await.0.unwrap_err()
}

async fn scan(device: &FakeDevice) -> Result<Vec<WifiNetwork>, PairingError> {
    wifi_scan_over(device.link(Trouble::None), label(2), SecurityFlags::default()).await
}

fn asked(device: &FakeDevice, endpoint: &str) -> usize {
    device.lock().asked.iter().filter(|asked| *asked == endpoint).count()
}

#[tokio::test(start_paused = true)]
async fn a_scan_tells_what_the_device_hears_and_changes_nothing() {
    let device = device();
    device.lock().heard = Some(vec![
        access_point("Cafe", -80, 0),
        access_point("Shed", -70, 3),
        access_point("", -20, 3),
        access_point("Shed", -40, 3),
        access_point("Office", -60, 5),
    ]);
    let networks = scan(&device).await.unwrap();
    let told: Vec<_> = networks.iter().map(|n| (n.ssid.to_string(), n.rssi, n.access_points, n.joinable)).collect();
    assert_eq!(
        told,
        [
            ("Shed".into(), -40, 2, true),
            ("Office".into(), -60, 1, false),
            ("Cafe".into(), -80, 1, true),
            (String::new(), -20, 1, false),
        ]
    );
    // Start, status, four results, one result.
    assert_eq!(asked(&device, "prov-scan"), 4);
    assert_eq!(asked(&device, "prov-config") + asked(&device, "prov-ctrl"), 0);
    let json = serde_json::to_value(&networks[1]).unwrap();
    let expected = serde_json::json!({ "ssid": "Office", "rssi": -60, "channel": 6, "auth": "enterprise",
        "bssid": "02:00:00:00:00:01", "accessPoints": 1, "joinable": false, "reason": "enterprise" });
    assert_eq!(json, expected);
    device.lock().heard = Some(Vec::new());
    assert_eq!(scan(&device).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_never_ends_is_given_up_and_a_device_without_one_says_so() {
    let deaf = device();
    deaf.lock().heard = None;
    assert_eq!(scan(&deaf).await.unwrap_err().code, ErrorCode::WifiScanFailed);
    let joined = set(&deaf, wifi("Shed", WIFI_PASSWORD)).await.0;
    assert_eq!(joined.unwrap().ip.as_deref(), Some("192.168.7.9"), "it can join all the same");
    let wired = FakeDevice::new(&[SymmetricKey]);
    assert_eq!(scan(&wired).await.unwrap_err().code, ErrorCode::NetworkUnsupported);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_work_is_said_before_anything_is_sent() {
    let device = device();
    device.lock().heard =
        Some(vec![access_point("Shed", -50, 3), access_point("Cafe", -60, 0), access_point("Office", -70, 5)]);
    for (wifi, code) in [
        (wifi("Office", WIFI_PASSWORD), ErrorCode::WifiEnterprise),
        (wifi("Cafe", WIFI_PASSWORD), ErrorCode::WifiSecurityDiffers),
        (wifi("Shed", ""), ErrorCode::WifiSecurityDiffers),
        (wifi("shed", WIFI_PASSWORD), ErrorCode::WifiNotFound),
        (wifi("Shed", "short"), ErrorCode::WifiInvalid),
        (WifiCredentials { auth: Some(WifiAuth::Enterprise), ..wifi("X", WIFI_PASSWORD) }, ErrorCode::WifiEnterprise),
    ] {
        let error = failure(&device, wifi).await;
        assert_eq!(error.code, code);
        if code == ErrorCode::WifiNotFound {
            assert_eq!(error.detail.as_deref(), Some(r#"the device sees "Shed", "Cafe", "Office""#));
        }
    }
    assert_eq!(asked(&device, "prov-config"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_step_takes_ten_exchanges_with_a_look_around_and_seven_without() {
    let device = device();
    let exchanges = async |wifi| set(&device, wifi).await.0.unwrap().round_trips;
    // proto-ver, two of the session, three of the scan, set, apply, two times status.
    assert_eq!(exchanges(wifi("Shed", WIFI_PASSWORD)).await, 10);
    device.reboot();
    assert_eq!(exchanges(scan(&device).await.unwrap()[0].credentials(WIFI_PASSWORD.to_owned().into())).await, 7);
    device.reboot();
    assert_eq!(exchanges(WifiCredentials::hidden("Shed", WIFI_PASSWORD.to_owned())).await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_hidden_network_is_joined_by_its_name_and_an_open_one_without_a_passphrase() {
    let device = device();
    device.lock().heard = Some(vec![access_point("", -50, 3)]);
    let (joined, _) = set(&device, WifiCredentials::hidden("Shed", WIFI_PASSWORD.to_owned())).await;
    assert_eq!(joined.unwrap().ssid, "Shed");
    let error = failure(&device, wifi("Shed", WIFI_PASSWORD)).await;
    assert_eq!(error.code, ErrorCode::WifiNotFound, "without the word hidden it must be seen");
    let open = FakeDevice::new(&[SymmetricKey]).with_wifi("");
    open.lock().heard = Some(vec![access_point("Cafe", -50, 0)]);
    set(&open, wifi("Cafe", "")).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_network_that_one_scan_missed_is_looked_for_again() {
    let device = device();
    device.lock().heard = Some(Vec::new());
    let error = failure(&device, wifi("Shed", WIFI_PASSWORD)).await;
    assert_eq!(error.detail.as_deref(), Some("the device sees no network by name"));
    assert_eq!(asked(&device, "prov-scan"), 4, "two scans that found nothing");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_cleared_over_the_link_as_often_as_it_takes() {
    let device = device();
    for _ in 0..3 {
        let (outcome, warnings) = set(&device, wifi("Shed", "not this one")).await;
        assert_eq!(outcome.unwrap_err().code, ErrorCode::WifiWrongPassword);
        assert_eq!(warnings, []);
    }
    assert_eq!(asked(&device, "prov-ctrl"), 3);
    set(&device, wifi("Shed", WIFI_PASSWORD)).await.0.unwrap();
    // A device that is on a network takes another one too.
    set(&device, wifi("Shed", WIFI_PASSWORD)).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn firmware_without_prov_ctrl_says_wrong_password_with_a_warning_and_then_that_its_button_is_needed() {
    let device = device();
    device.lock().prov_ctrl = false;
    let (outcome, warnings) = set(&device, wifi("Shed", "not this one")).await;
    assert_eq!(outcome.unwrap_err().code, ErrorCode::WifiWrongPassword);
    assert_eq!(warnings, [Warning::WifiNotCleared]);
    let error = failure(&device, wifi("Shed", WIFI_PASSWORD)).await;
    assert_eq!(error.code, ErrorCode::WifiResetNeeded);
    // Firmware that clears itself.
    device.reboot();
    set(&device, wifi("Shed", WIFI_PASSWORD)).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_of_somebody_before_is_waited_for_and_cleared_but_not_for_ever() {
    let device = device();
    // It never says what comes of it.
    device.lock().joining = Some(Vec::new());
    assert_eq!(failure(&device, wifi("Shed", WIFI_PASSWORD)).await.code, ErrorCode::WifiTimeout);
    device.lock().joining = None;
    assert_eq!(failure(&device, wifi("Shed", WIFI_PASSWORD)).await.code, ErrorCode::WifiResetNeeded);
    let later = device.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        later.station(StationEvent::Failed(FailReason::Auth));
    });
    set(&device, wifi("Shed", WIFI_PASSWORD)).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connected_without_an_address_is_not_connected() {
    for ip in ["", "0.0.0.0"] {
        let device = device();
        let connected =
            |ip: &str| StationEvent::Connected(WifiConnected { ip4_addr: ip.into(), ..WifiConnected::default() });
        // Late is early enough.
        device.lock().joining = Some(vec![connected(ip), connected(ip), connected("10.0.0.7")]);
        assert_eq!(set(&device, wifi("Shed", WIFI_PASSWORD)).await.0.unwrap().ip.as_deref(), Some("10.0.0.7"));
        device.reboot();
        device.lock().joining = Some(vec![connected(ip)]);
        assert_eq!(failure(&device, wifi("Shed", WIFI_PASSWORD)).await.code, ErrorCode::WifiNoAddress);
        // And it is cleared.
        device.lock().joining = None;
        set(&device, wifi("Shed", WIFI_PASSWORD)).await.0.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_hostile_name_reaches_a_person_escaped_only() {
    let device = device();
    device.lock().heard = Some(vec![access_point("\x1b]0;owned\x07\u{202e}", -50, 3), access_point("Sh\ned", -60, 3)]);
    let error = failure(&device, wifi("Shed", WIFI_PASSWORD)).await;
    let detail = error.detail.unwrap();
    assert!(detail.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{detail}");
    let networks = scan(&device).await.unwrap();
    let exact = networks[1].credentials(WIFI_PASSWORD.to_owned().into());
    let joined = set(&device, exact).await.0.unwrap();
    assert_eq!(joined.ssid, r"Sh\u{a}ed");
}
