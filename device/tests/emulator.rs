//! The whole device against the emulated DPS, which really verifies credentials.
// Helpers of tests may panic as tests do; clippy's own exception sees only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use azure_emulator::{Fault, On};
use common::app::{App, failure};
use common::azure::{KEY, World, issuing, world, world_with};
use lowtouch_device::faults::KillPoint;
use lowtouch_handoff::dps_config::{Config, FailureCode, Phase, Result as Code, X509Credential, config::Credential};
use serde_json::json;
use tempfile::TempDir;

#[tokio::test]
async fn a_symmetric_key_registers_and_the_hub_knows_the_device() {
    let world = world("sym-1").await;
    world.enroll_symmetric("enabled").await;
    let mut app = App::connect(&world.device).await.unwrap();
    assert_eq!(app.hand_off([1; 16], &world.symmetric(KEY)).await.unwrap(), Code::Ok);
    let end = app.end().await.unwrap();
    let assigned = end.assigned.unwrap_or_else(|| panic!("{:?}", end.failed));
    assert_eq!((assigned.device_id.as_str(), assigned.substatus.as_str()), ("sym-1", "initialAssignment"));
    assert!(world.azure.hub_devices().iter().any(|known| known.hub == assigned.hub && known.device_id == "sym-1"));
    assert!(world.folder.path().exists());
}

#[tokio::test]
async fn a_certificate_from_the_devices_own_csr_registers_under_the_groups_ca() {
    let world = world("x509-1").await;
    let key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "Plant CA");
    let ca_certificate = ca.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(ca, key);
    let signing = json!({ "primary": { "certificate": ca_certificate.pem() } });
    let attestation = json!({ "type": "x509", "x509": { "signingCertificates": signing } });
    world.put("/enrollmentGroups/plant", json!({ "enrollmentGroupId": "plant", "attestation": attestation })).await;

    let mut app = App::connect(&world.device).await.unwrap();
    let csr = app.identify().await.unwrap().csr;
    let csr = rcgen::CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
    let leaf = csr.signed_by(&issuer).unwrap().der().to_vec();
    let given = world.config(Credential::X509(X509Credential { certificate_chain: vec![leaf] }));
    assert_eq!(app.hand_off([2; 16], &given).await.unwrap(), Code::Ok);
    let end = app.end().await.unwrap();
    assert_eq!(end.assigned.unwrap_or_else(|| panic!("{:?}", end.failed)).device_id, "x509-1");
}

#[tokio::test]
async fn a_wrong_key_an_unknown_device_and_a_disabled_one_are_told_apart() {
    let world = world("odd-1").await;
    let mut app = App::connect(&world.device).await.unwrap();
    assert_eq!(app.hand_off([3; 16], &world.symmetric(KEY)).await.unwrap(), Code::Ok);
    let unknown = failure(&app.end().await.unwrap());
    assert!(matches!(unknown, FailureCode::FailureNotFound | FailureCode::Credential), "{unknown:?}");
    world.enroll_symmetric("enabled").await;
    assert_eq!(app.hand_off([4; 16], &world.symmetric([1; 32])).await.unwrap(), Code::Ok);
    assert_eq!(failure(&app.end().await.unwrap()), FailureCode::Credential);
}

#[tokio::test]
async fn a_disabled_enrollment_is_said_as_such() {
    let world = world("off-1").await;
    world.enroll_symmetric("disabled").await;
    let mut app = App::connect(&world.device).await.unwrap();
    assert_eq!(app.hand_off([5; 16], &world.symmetric(KEY)).await.unwrap(), Code::Ok);
    let end = app.end().await.unwrap();
    assert_eq!(failure(&end), FailureCode::Disabled, "{end:?}");
}

#[tokio::test]
async fn throttling_resets_and_a_slow_start_do_not_end_a_registration() {
    let world = world("busy-1").await;
    world.enroll_symmetric("enabled").await;
    let faults = world.azure.faults();
    faults.throttle(On::Lookup, Some(Duration::from_secs(1)), 1);
    faults.inject(On::Register, Fault::Reset, 1);
    faults.inject(On::Operation, Fault::Status { status: 503, retry_after: None }, 2);
    let mut app = App::connect(&world.device).await.unwrap();
    assert_eq!(app.hand_off([6; 16], &world.symmetric(KEY)).await.unwrap(), Code::Ok);
    let end = app.end().await.unwrap();
    assert_eq!(end.phase(), Phase::Assigned, "{end:?}");
    assert_eq!(faults.waiting(), 0);
}

/// Long enough that nothing is renewed in a test.
const DAYS: Duration = Duration::from_secs(90 * 86_400);
/// Renewed while a test waits: after 2.8 to 3.2 s.
const SHORT: Duration = Duration::from_secs(4);

/// When a certificate ends, in seconds since 1970-01-01 UTC.
fn ends(certificate: &[u8]) -> i64 {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    X509Certificate::from_der(certificate).unwrap().1.validity().not_after.timestamp()
}

/// A TLS server that takes only clients whose certificates this root issued, as a hub does.
async fn hub_admits(root: &[u8], device: &lowtouch_device::hub::HubIdentity, folder: &std::path::Path) -> bool {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.to_vec().into()).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().collect::<Result<_, _>>().unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap())
        .unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serve = async {
        let mut stream = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(server)).accept(far).await?;
        stream.write_all(b"welcome").await?;
        stream.shutdown().await
    };
    let connect = async {
        let connector = tokio_rustls::TlsConnector::from(device.tls.clone());
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), near).await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await.map(|_| said)
    };
    let (served, said) = tokio::join!(serve, connect);
    served.is_ok() && said.is_ok_and(|said| said == "welcome")
}

#[tokio::test]
async fn dps_issues_the_certificate_that_the_device_shows_its_hub_and_a_reboot_keeps_it() {
    let mut ca = None;
    let folder = TempDir::new().unwrap();
    let tls = folder.path().join("tls");
    let world = world_with(
        "iss-1",
        |azure| {
            issuing(DAYS)(azure);
            azure.tls_dir.clone_from(&tls);
        },
        |sim| sim.dps_ca_pem = std::fs::read_to_string(tls.join("ca.pem")).ok().inspect(|pem| ca = Some(pem.clone())),
    )
    .await;
    assert!(ca.is_some());
    let end = world.issue().await;
    let assigned = end.assigned.clone().unwrap_or_else(|| panic!("{:?}", end.failed));
    let leaf = world.hub_certificate(&[]).await;
    assert_eq!(i64::try_from(assigned.certificate_ends).unwrap(), ends(&leaf));
    assert_eq!(world.azure.hub_devices()[0].certificate.as_ref(), Some(&leaf));
    let hub = world.device.hub().await.unwrap();
    let root = world.azure.issuance_root().unwrap();
    assert!(hub_admits(root, &hub, &tls).await);
    assert!(!hub_admits(&world.ca(), &hub, &tls).await, "a hub that trusts another root turns it away");

    world.device.kill().await;
    world.device.power_on().await.unwrap();
    assert_eq!(world.hub_certificate(&[]).await, leaf);
    assert_eq!(registrations(&world), 1, "a certificate that is good is not asked for again");
}

fn registrations(world: &World) -> usize {
    world.azure.seen().iter().filter(|seen| seen.path.ends_with("/register") && seen.status == 202).count()
}

#[tokio::test]
async fn a_certificate_is_renewed_before_its_end_however_often_dps_refuses_first() {
    let world = world_with("iss-2", issuing(SHORT), |sim| sim.retry.retries = 0).await;
    world.issue().await;
    let first = world.hub_certificate(&[]).await;
    world.azure.faults().inject(On::Register, Fault::Status { status: 500, retry_after: None }, 1);
    let second = world.hub_certificate(&first).await;
    assert!(ends(&second) > ends(&first));
    assert!(world.azure.seen().iter().any(|seen| seen.path.ends_with("/register") && seen.status == 500));
    let mut app = App::connect(&world.device).await.unwrap();
    let status = app.status().await.unwrap();
    assert_eq!(status.phase(), Phase::Assigned, "a renewal is not a trial");
    assert!(i64::try_from(status.assigned.unwrap().certificate_ends).unwrap() >= ends(&second));
    let third = world.hub_certificate(&second).await;
    assert!(ends(&third) >= ends(&second), "and again");
}

#[tokio::test]
async fn a_device_that_loses_its_power_in_a_renewal_has_the_old_certificate_or_the_new_one_and_goes_on() {
    // Two requests and three writes belong to the hand-off.
    let kills = [
        KillPoint::BeforeDpsRequest(3),
        KillPoint::AfterDpsRequest(3),
        KillPoint::AfterDpsRequest(4),
        KillPoint::BeforeWrite(4),
        KillPoint::DuringWrite(4),
        KillPoint::AfterWrite(4),
    ];
    let worlds = kills.into_iter().map(|kill| async move {
        let world = world_with("iss-3", issuing(SHORT), |sim| {
            sim.faults.kill = vec![kill];
            sim.faults.restart_after = Some(Duration::from_millis(50));
        })
        .await;
        world.issue().await;
        let first = world.hub_certificate(&[]).await;
        let second = world.hub_certificate(&first).await;
        assert!(ends(&second) > ends(&first), "{kill:?}");
        assert_eq!(world.device.boots(), 2, "{kill:?}");
        let status = App::connect(&world.device).await.unwrap().status().await.unwrap();
        assert_eq!(status.phase(), Phase::Assigned, "{kill:?}");
    });
    futures::future::join_all(worlds).await;
}

#[tokio::test]
async fn a_dps_that_issues_nothing_refuses_the_request_and_the_device_goes_back_to_what_it_had() {
    let world = world_with("iss-4", issuing(DAYS), |_| ()).await;
    world.enroll_symmetric("enabled").await;
    let mut app = App::connect(&world.device).await.unwrap();
    let config = Config { certificate_from_dps: true, ..world.symmetric(KEY) };
    assert_eq!(app.hand_off([8; 16], &config).await.unwrap(), Code::Ok);
    let end = app.end().await.unwrap();
    assert_eq!(failure(&end), FailureCode::Assignment);
    let failed = end.failed.unwrap();
    assert!(failed.text.contains("no credential policy") && failed.rolled_back, "{failed:?}");
}

#[tokio::test]
async fn firmware_that_cannot_ask_dps_says_so_and_shows_the_hub_what_it_shows_dps() {
    let world = world_with("iss-5", issuing(DAYS), |sim| sim.certificate_from_dps = false).await;
    assert!(!App::connect(&world.device).await.unwrap().identify().await.unwrap().certificate_from_dps);
    assert_eq!(world.issue().await.assigned.unwrap().certificate_ends, 0);
    assert!(world.device.hub().await.unwrap().certificate_chain.is_empty());
    assert_eq!(world.azure.hub_devices()[0].certificate, None);
}
