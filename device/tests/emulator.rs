//! The whole device against the emulated DPS, which really verifies credentials.
// Helpers of tests may panic as tests do; clippy's own exception sees only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use azure_emulator::{Config as Azure, Emulator, Fault, On};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::app::{App, failure};
use hmac::{Hmac, KeyInit as _, Mac as _};
use lowtouch_device::sim::{Running, SimConfig, SimLink, Simulated};
use lowtouch_handoff::dps_config::{
    Config, FailureCode, Phase, Result as Code, SymmetricKeyCredential, X509Credential, config::Credential,
};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use url::form_urlencoded::byte_serialize;

const KEY: [u8; 32] = [9; 32];

struct World {
    folder: TempDir,
    azure: azure_emulator::Running,
    device: Running,
}

async fn world(registration_id: &str) -> World {
    let folder = TempDir::new().unwrap();
    let azure = Emulator::start(Azure::new(folder.path().join("tls"))).await.unwrap();
    let mut config = SimConfig::new(SimLink::Http("127.0.0.1:0".parse().unwrap()), folder.path().join("state"));
    config.registration_id = Some(registration_id.into());
    config.retry.base = Duration::from_millis(10);
    let device = Simulated::start(config).await.unwrap();
    World { folder, azure, device }
}

impl World {
    /// A request to the service API, as the provisioning API makes it.
    async fn put(&self, path: &str, body: Value) {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca().into()).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let resource = encode(&self.azure.endpoint());
        let expires = jiff::Timestamp::now().as_second() + 600;
        let key = STANDARD.decode(&self.azure.service_key).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{resource}\n{expires}").as_bytes());
        let signature = encode(&STANDARD.encode(mac.finalize().into_bytes()));
        let token = format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn={}", Azure::POLICY);
        let answer = http
            .put(format!("{}{path}?api-version=2021-10-01", self.azure.url()))
            .header("Authorization", token)
            .json(&body)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status} {}", answer.text().await.unwrap());
    }

    async fn enroll_symmetric(&self, provisioning_status: &str) {
        let id = self.device.registration_id();
        let keys = json!({ "primaryKey": STANDARD.encode(KEY), "secondaryKey": STANDARD.encode([8; 32]) });
        let attestation = json!({ "type": "symmetricKey", "symmetricKey": keys });
        let body = json!({
            "registrationId": id, "attestation": attestation, "provisioningStatus": provisioning_status,
        });
        self.put(&format!("/enrollments/{id}"), body).await;
    }

    fn ca(&self) -> Vec<u8> {
        pem::parse(&self.azure.ca_pem).unwrap().into_contents()
    }

    fn config(&self, credential: Credential) -> Config {
        Config {
            id_scope: self.azure.id_scope.clone(),
            global_device_endpoint: self.azure.endpoint(),
            registration_id: self.device.registration_id().into(),
            credential: Some(credential),
            endpoint_ca: vec![self.ca()],
            owner_public_key: Vec::new(),
        }
    }

    fn symmetric(&self, key: [u8; 32]) -> Config {
        self.config(Credential::SymmetricKey(SymmetricKeyCredential { key: key.to_vec() }))
    }
}

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
