//! Whole hand-offs over every link, with everything that can go wrong on the device's side.
// Helpers of tests may panic as tests do; clippy's own exception sees only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::app::{App, AppError, deadlines, failure, symmetric};
use common::endpoint::{Endpoint, assigned_state, endpoint, error, ok};
use lowtouch_device::faults::{FaultPlan, KillPoint, Misanswer};
use lowtouch_device::retry::RetryPolicy;
use lowtouch_device::sim::{Running, Security, SimConfig, SimError, SimLink, Simulated, Wifi};
use lowtouch_device::storage::StorageError;
use lowtouch_handoff::dps_config::{
    Config, FailureCode, Network, Phase, Result as Code, X509Credential, config::Credential,
};
use lowtouch_handoff::protocomm::client::HandshakeError;
use lowtouch_handoff::prov_config::client::{self as prov_config, WifiStatus};
use lowtouch_handoff::prov_config::{CTRL_ENDPOINT, ENDPOINT as PROV_CONFIG, FailReason, WifiCredentials};
use lowtouch_handoff::prov_scan::{
    ENDPOINT as PROV_SCAN,
    client::{Scan, ScanStep},
};
use lowtouch_links::LinkError;
use serde_json::json;
use tempfile::TempDir;

const ID: [u8; 16] = [0x42; 16];

fn http() -> SimLink {
    SimLink::Http("127.0.0.1:0".parse().unwrap())
}

fn ble() -> SimLink {
    SimLink::BleSim("127.0.0.1:0".parse().unwrap())
}

fn config(folder: &TempDir, link: SimLink) -> SimConfig {
    let mut config = SimConfig::new(link, folder.path().join("state"));
    config.registration_id = Some("dev:1".into());
    config.retry = RetryPolicy {
        base: Duration::from_millis(5),
        cap: Duration::from_millis(20),
        retries: 3,
        budget: Duration::from_secs(10),
        throttle_cap: Duration::from_secs(1),
    };
    config
}

fn requests(endpoint: &Endpoint) -> usize {
    endpoint.script.seen.lock().unwrap().len()
}

async fn assigning_endpoint() -> Endpoint {
    endpoint("127.0.0.1", vec![ok(assigned_state())]).await
}

fn config_for(device: &Running, endpoint: &Endpoint) -> Config {
    symmetric(device, &endpoint.addr.to_string(), &endpoint.ca)
}

/// A certificate for the key in the CSR, under a CA made for it.
fn certify(csr: &[u8]) -> Vec<Vec<u8>> {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let csr = rcgen::CertificateSigningRequestParams::from_der(&csr.to_vec().into()).unwrap();
    let leaf = csr.signed_by(&issuer).unwrap();
    vec![leaf.der().to_vec(), ca_certificate.der().to_vec()]
}

#[tokio::test]
async fn every_link_and_every_security_carries_a_whole_hand_off_that_a_reboot_does_not_forget() {
    let table = [
        (http(), Security::V2 { patch_ver: 1 }),
        (http(), Security::V1),
        (SimLink::Pty, Security::V2 { patch_ver: 1 }),
        (SimLink::Pty, Security::V0),
        (ble(), Security::V2 { patch_ver: 0 }),
        (ble(), Security::V2 { patch_ver: 1 }),
    ];
    for (link, security) in table {
        let what = format!("{link:?} {security:?}");
        let (folder, dps) = (TempDir::new().unwrap(), assigning_endpoint().await);
        let mut config = config(&folder, link);
        config.security = security;
        let device = Simulated::start(config).await.unwrap();
        let mut app = App::connect(&device).await.expect(&what);
        let identity = app.identify().await.unwrap();
        assert_eq!(identity.registration_id, "dev:1");
        assert_eq!(identity.network(), Network::Connected);
        assert_eq!(identity.phase(), Phase::Empty);
        // A certificate chain does not fit into one BLE value.
        let mut given = config_for(&device, &dps);
        given.credential = Some(Credential::X509(X509Credential { certificate_chain: certify(&identity.csr) }));
        assert_eq!(app.hand_off(ID, &given).await.unwrap(), Code::Ok, "{what}");
        let end = app.end().await.unwrap();
        assert_eq!(end.assigned.as_ref().expect(&what).hub, "hub-1.azure-devices.net");
        let asked = requests(&dps);

        drop(app);
        device.kill().await;
        assert!(device.status().await.is_none(), "a device without power says nothing");
        device.power_on().await.unwrap();
        let mut app = App::connect(&device).await.expect(&what);
        let status = app.status().await.unwrap();
        assert_eq!((status.phase(), status.assigned), (Phase::Assigned, end.assigned), "{what}");
        assert_eq!(requests(&dps), asked, "a device that knows its hub leaves DPS alone");
        assert_eq!(device.boots(), 2);
        device.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_pop_is_refused_on_every_link_and_the_right_one_still_works() {
    for link in [http(), SimLink::Pty, ble()] {
        let folder = TempDir::new().unwrap();
        let device = Simulated::start(config(&folder, link)).await.unwrap();
        let refused = App::connect_with(&device, "not-the-pop").await;
        assert!(matches!(refused, Err(AppError::Handshake(HandshakeError::WrongPop))));
        assert!(App::connect(&device).await.is_ok());
    }
}

#[tokio::test]
async fn who_guesses_on_is_slowed_down() {
    let folder = TempDir::new().unwrap();
    let device = Simulated::start(config(&folder, http())).await.unwrap();
    for _ in 0..4 {
        assert!(App::connect_with(&device, "not-the-pop").await.is_err());
    }
    assert!(App::connect(&device).await.is_err(), "the right one has to wait too");
}

#[tokio::test]
async fn a_device_that_loses_power_anywhere_is_wholly_old_or_wholly_new_and_a_rerun_finishes() {
    let mut points = Vec::new();
    // proto-ver, two of the handshake, identify, stage, commit, status
    for n in 1..=7 {
        points.extend([KillPoint::BeforeMessage(n), KillPoint::AfterMessage(n)]);
    }
    // stage, commit, assigned
    for n in 1..=3 {
        points.extend([KillPoint::BeforeWrite(n), KillPoint::DuringWrite(n), KillPoint::AfterWrite(n)]);
    }
    points.extend([KillPoint::BeforeDpsRequest(1), KillPoint::AfterDpsRequest(1)]);
    for point in points {
        let (folder, dps) = (TempDir::new().unwrap(), assigning_endpoint().await);
        let mut config = config(&folder, http());
        config.faults = FaultPlan::kill_once(point, Some(Duration::from_millis(20)));
        let device = Simulated::start(config).await.unwrap();
        let given = config_for(&device, &dps);
        let mut tries = 0;
        let end = loop {
            tries += 1;
            assert!(tries < 20, "{point:?}: the rerun does not finish");
            let attempt = async {
                let mut app = App::connect(&device).await?;
                let identity = app.identify().await?;
                if identity.active_handoff_id.is_empty() {
                    assert!(matches!(identity.phase(), Phase::Empty | Phase::Staged), "{point:?}");
                } else {
                    assert_eq!(identity.active_handoff_id, ID, "{point:?}");
                }
                assert_eq!(app.hand_off(ID, &given).await?, Code::Ok, "{point:?}");
                app.end().await
            };
            match attempt.await {
                Ok(end) => break end,
                // HTTP cannot tell a device that died from one that refuses: both close the socket.
                Err(AppError::Link(_) | AppError::Handshake(_)) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        assert_eq!(end.phase(), Phase::Assigned, "{point:?}");
        assert_eq!(end.handoff_id, ID, "{point:?}");
        assert_eq!(device.boots(), 2, "{point:?} did not strike");
        device.stop().await;
    }
}

#[tokio::test]
async fn a_full_flash_is_said_and_leaves_the_device_as_it_was() {
    for full in [1, 2] {
        let (folder, dps) = (TempDir::new().unwrap(), assigning_endpoint().await);
        let mut config = config(&folder, http());
        config.faults.disk_full = vec![full];
        let device = Simulated::start(config).await.unwrap();
        let given = config_for(&device, &dps);
        let mut app = App::connect(&device).await.unwrap();
        assert_eq!(app.hand_off(ID, &given).await.unwrap(), Code::Storage);
        assert_eq!(requests(&dps), 0, "nothing was committed");
        assert_eq!(app.hand_off(ID, &given).await.unwrap(), Code::Ok, "the flash has room again");
        assert_eq!(app.end().await.unwrap().phase(), Phase::Assigned);
    }
}

#[tokio::test]
async fn a_credential_that_dps_refuses_is_rolled_back_to_the_hub_before() {
    let (folder, good) = (TempDir::new().unwrap(), assigning_endpoint().await);
    let bad = endpoint("127.0.0.1", vec![error(401, 401_002)]).await;
    let device = Simulated::start(config(&folder, http())).await.unwrap();
    let mut app = App::connect(&device).await.unwrap();
    assert_eq!(app.hand_off(ID, &config_for(&device, &good)).await.unwrap(), Code::Ok);
    assert_eq!(app.end().await.unwrap().phase(), Phase::Assigned);
    assert_eq!(app.hand_off([7; 16], &config_for(&device, &bad)).await.unwrap(), Code::Ok);
    let end = app.end().await.unwrap();
    assert_eq!(end.phase(), Phase::Failed);
    assert_eq!(failure(&end), FailureCode::Credential);
    let failed = end.failed.unwrap();
    assert!(failed.rolled_back);
    assert_eq!(failed.dps_error_code, 401_002);
    let identity = app.identify().await.unwrap();
    assert_eq!(identity.active_handoff_id, ID, "the first hand-off is in force again");
}

#[tokio::test]
async fn a_certificate_for_another_key_is_refused_before_anything_changes() {
    let (folder, dps) = (TempDir::new().unwrap(), assigning_endpoint().await);
    let device = Simulated::start(config(&folder, http())).await.unwrap();
    let mut app = App::connect(&device).await.unwrap();
    let other = TempDir::new().unwrap();
    let other = Simulated::start(config(&other, http())).await.unwrap();
    let csr = App::connect(&other).await.unwrap().identify().await.unwrap().csr;
    let mut given = config_for(&device, &dps);
    given.credential = Some(Credential::X509(X509Credential { certificate_chain: certify(&csr) }));
    assert_eq!(app.hand_off(ID, &given).await.unwrap(), Code::Credential);
    assert_eq!(app.status().await.unwrap().phase(), Phase::Empty);
}

async fn wifi_status(app: &mut App) -> WifiStatus {
    let asked = async {
        loop {
            let reply = app.exchange(PROV_CONFIG, &prov_config::get_status()).await.unwrap();
            match prov_config::parse_status(&reply).unwrap() {
                WifiStatus::Connecting { .. } => tokio::time::sleep(Duration::from_millis(20)).await,
                ended => return ended,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.expect("Wi-Fi comes to no end")
}

async fn join(app: &mut App, ssid: &str, passphrase: &str) -> WifiStatus {
    let credentials = WifiCredentials::new(ssid.as_bytes(), passphrase.as_bytes());
    let reply = app.exchange(PROV_CONFIG, &prov_config::set(&credentials).unwrap()).await.unwrap();
    prov_config::parse_set(&reply).unwrap();
    let reply = app.exchange(PROV_CONFIG, &prov_config::apply()).await.unwrap();
    prov_config::parse_apply(&reply).unwrap();
    wifi_status(app).await
}

#[tokio::test]
async fn a_wrong_wifi_password_is_said_reset_and_tried_again_and_the_right_one_outlives_a_reboot() {
    let (folder, dps) = (TempDir::new().unwrap(), assigning_endpoint().await);
    let mut config = config(&folder, SimLink::Pty);
    config.wifi = Some(Wifi { ssid: "Plant 4".into(), passphrase: "right".into() });
    let device = Simulated::start(config).await.unwrap();
    let mut app = App::connect(&device).await.unwrap();
    assert_eq!(app.identify().await.unwrap().network(), Network::Needed);

    let mut scan = Scan::new(4000);
    let found = loop {
        let reply = app.exchange(PROV_SCAN, &scan.next().unwrap()).await.unwrap();
        if let ScanStep::Done(found) = scan.handle(&reply).unwrap() {
            break found;
        }
    };
    assert!(found.len() > 2);
    assert_eq!(found[0].ssid, b"Plant 4");

    assert_eq!(join(&mut app, "Plant 4", "wrong").await, WifiStatus::Failed(FailReason::Auth));
    let reply = app.exchange(CTRL_ENDPOINT, &prov_config::reset()).await.unwrap();
    prov_config::parse_ctrl(&reply).unwrap();
    assert_eq!(join(&mut app, "Plant 5", "right").await, WifiStatus::Failed(FailReason::NotFound));
    let reply = app.exchange(CTRL_ENDPOINT, &prov_config::reset()).await.unwrap();
    prov_config::parse_ctrl(&reply).unwrap();
    assert!(matches!(join(&mut app, "Plant 4", "right").await, WifiStatus::Connected(_)));
    assert_eq!(app.hand_off(ID, &config_for(&device, &dps)).await.unwrap(), Code::Ok);
    assert_eq!(app.end().await.unwrap().phase(), Phase::Assigned);

    drop(app);
    device.kill().await;
    device.power_on().await.unwrap();
    let mut app = App::connect(&device).await.unwrap();
    assert!(matches!(wifi_status(&mut app).await, WifiStatus::Connected(_)));
}

#[tokio::test]
async fn a_device_that_answers_garbage_or_nothing_spoils_one_exchange_and_not_the_next_connection() {
    for link in [http(), SimLink::Pty] {
        for misanswer in [Misanswer::Garbage, Misanswer::Silence, Misanswer::Refuse] {
            let folder = TempDir::new().unwrap();
            let mut config = config(&folder, link.clone());
            config.faults.misanswers = vec![(1, misanswer)];
            let device = Simulated::start(config).await.unwrap();
            let address = device.address().parse().unwrap();
            let mut short = deadlines();
            short.exchange = Duration::from_millis(700);
            let mut app = lowtouch_links::open(&address, short).await.unwrap();
            let answer = app.exchange("proto-ver", b"---").await;
            match misanswer {
                Misanswer::Garbage => assert_eq!(answer.unwrap(), [0xff; 17]),
                Misanswer::Silence => assert!(matches!(answer, Err(LinkError::Timeout { .. })), "{answer:?}"),
                _ => assert!(matches!(answer, Err(LinkError::Refused { .. })), "{answer:?}"),
            }
            drop(app);
            assert!(App::connect(&device).await.is_ok(), "{link:?} {misanswer:?}");
        }
    }
}

#[tokio::test]
async fn the_reset_button_makes_the_device_new_again() {
    let (folder, dps) = (TempDir::new().unwrap(), assigning_endpoint().await);
    let device = Simulated::start(config(&folder, http())).await.unwrap();
    let mut app = App::connect(&device).await.unwrap();
    assert_eq!(app.hand_off(ID, &config_for(&device, &dps)).await.unwrap(), Code::Ok);
    assert_eq!(app.end().await.unwrap().phase(), Phase::Assigned);
    device.press_reset_button().await;
    assert_eq!(app.status().await.unwrap().phase(), Phase::Empty);
}

#[tokio::test]
async fn a_damaged_or_foreign_record_stops_the_boot_with_words_and_is_left_as_it_is() {
    let (folder, dps) = (TempDir::new().unwrap(), assigning_endpoint().await);
    let device = Simulated::start(config(&folder, http())).await.unwrap();
    let mut app = App::connect(&device).await.unwrap();
    assert_eq!(app.hand_off(ID, &config_for(&device, &dps)).await.unwrap(), Code::Ok);
    device.stop().await;
    let record = folder.path().join("state").join("config");
    let whole = std::fs::read(&record).unwrap();
    std::fs::write(&record, &whole[..whole.len() / 2]).unwrap();
    let error = Simulated::start(config(&folder, http())).await.unwrap_err();
    assert!(matches!(error, SimError::Storage(StorageError::Damaged { .. })), "{error:?}");
    assert_eq!(std::fs::read(&record).unwrap().len(), whole.len() / 2);
    let mut button = config(&folder, http());
    button.factory_reset = true;
    let device = Simulated::start(button).await.unwrap();
    assert_eq!(device.status().await.unwrap().phase(), Phase::Empty);
}

#[tokio::test]
async fn a_certificate_that_dps_issued_for_another_key_is_refused_and_none_at_all_is_said() {
    let state = |chain: &[Vec<u8>]| {
        let mut state = assigned_state();
        state["issuedCertificateChain"] = chain.iter().map(|der| STANDARD.encode(der)).collect();
        ok(json!({ "operationId": "4.op", "status": "assigned", "registrationState": state }))
    };
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "dev:1");
    let foreign = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec();
    for (chain, fails) in [(vec![foreign], true), (vec![vec![0x30; 8]], true), (Vec::new(), false)] {
        let (folder, dps) = (TempDir::new().unwrap(), endpoint("127.0.0.1", vec![state(&chain)]).await);
        let device = Simulated::start(config(&folder, http())).await.unwrap();
        let mut app = App::connect(&device).await.unwrap();
        let config = Config { certificate_from_dps: true, ..config_for(&device, &dps) };
        assert_eq!(app.hand_off([9; 16], &config).await.unwrap(), Code::Ok);
        let end = app.end().await.unwrap();
        let seen = dps.script.seen.lock().unwrap().clone();
        assert!(seen[0].path.ends_with("/register?api-version=2025-07-01-preview") && seen[0].body["csr"].is_string());
        match fails {
            true => assert_eq!(failure(&end), FailureCode::Credential),
            false => assert_eq!(end.assigned.unwrap().certificate_ends, 0),
        }
    }
}
