//! Devices send certificate requests with their registrations, and get chains that the hubs can verify.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at once")]

mod common;

use azure_emulator::CertificatePolicy;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, Device, Dps, PREVIEW, SERVICE, derive};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const KEY: [u8; 32] = [7; 32];
const VALID: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn group(policy: Option<&str>) -> Value {
    let mut group = json!({
        "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": STANDARD.encode(KEY)}},
    });
    if let Some(policy) = policy {
        group["credentialPolicyName"] = policy.into();
    }
    group
}

async fn start() -> Dps {
    let mut dps = Dps::start_with(|config| {
        config.certificate_policies = vec![CertificatePolicy { name: "field".into(), valid: VALID }];
        config.assigning_polls = 0;
        config.polls_per_10_s = None;
    })
    .await;
    dps.version = PREVIEW;
    dps
}

async fn put(dps: &Dps, group: Value) -> Answer {
    dps.service(Method::PUT, "/enrollmentGroups/g", &[], Some(group)).await
}

fn device<'a>(dps: &'a Dps, id: &'a str) -> Device<'a> {
    let mut device = dps.with_key(id, &derive(&KEY, id));
    device.version = PREVIEW;
    device
}

fn csr(common_name: &str, key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serialize_request(key).unwrap().der().to_vec()
}

async fn register(device: &Device<'_>, csr: &[u8]) -> Answer {
    let body = json!({"registrationId": device.registration_id, "csr": STANDARD.encode(csr)});
    device.call(Method::PUT, "/register", body).await.unwrap()
}

async fn issued(device: &Device<'_>, csr: &[u8]) -> Vec<Vec<u8>> {
    let accepted = register(device, csr).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
    let done = device.poll(accepted.body["operationId"].as_str().unwrap()).await;
    let chain = done.body["registrationState"]["issuedCertificateChain"].as_array().cloned().unwrap_or_default();
    chain.iter().map(|der| STANDARD.decode(der.as_str().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn a_chain_for_the_devices_own_key_comes_with_the_assignment_and_the_hub_learns_of_it() {
    let dps = start().await;
    assert_eq!(put(&dps, group(Some("field"))).await.body["credentialPolicyName"], "field");
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let chain = issued(&device(&dps, "dev"), &csr("dev", &key)).await;
    let parsed: Vec<_> = chain.iter().map(|der| X509Certificate::from_der(der).unwrap().1).collect();
    let [leaf, policy, root] = parsed.as_slice() else { panic!("{} certificates", parsed.len()) };
    assert_eq!(leaf.subject().to_string(), "CN=dev");
    use rcgen::PublicKeyData as _;
    assert_eq!(leaf.public_key().raw, key.subject_public_key_info());
    assert_eq!(leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp(), VALID.as_secs() as i64);
    leaf.verify_signature(Some(policy.public_key())).unwrap();
    policy.verify_signature(Some(root.public_key())).unwrap();
    assert_eq!(dps.running.issuance_root(), Some(chain[2].as_slice()));
    assert_eq!(dps.running.hub_devices()[0].certificate.as_ref(), Some(&chain[0]));

    let again = issued(&device(&dps, "dev"), &csr("dev", &key)).await;
    assert_ne!(again[0], chain[0], "registering again renews");
    assert_eq!(dps.running.hub_devices()[0].certificate.as_ref(), Some(&again[0]));
}

#[tokio::test]
async fn a_request_for_another_name_with_a_weak_or_foreign_key_or_no_request_at_all_is_refused() {
    let dps = start().await;
    put(&dps, group(Some("field"))).await;
    let device = device(&dps, "dev");
    let key = KeyPair::generate().unwrap();
    let good = csr("dev", &key);
    let mut broken = good.clone();
    *broken.last_mut().unwrap() ^= 1;
    let ed25519 = csr("dev", &KeyPair::generate_for(&PKCS_ED25519).unwrap());
    for wrong in [csr("dev2", &key), broken, ed25519, good[1..].to_vec(), Vec::new()] {
        let answer = register(&device, &wrong).await;
        assert_eq!((answer.status, &answer.body["errorCode"]), (StatusCode::BAD_REQUEST, &json!(400_004)));
    }
    let body = json!({"registrationId": "dev", "csr": "-----BEGIN"});
    assert_eq!(device.call(Method::PUT, "/register", body).await.unwrap().status, StatusCode::BAD_REQUEST);
    assert!(dps.running.hub_devices().is_empty());
    assert_eq!(issued(&device, &csr("DEV", &key)).await.len(), 3, "names are compared without regard to case");
}

#[tokio::test]
async fn without_a_policy_a_request_is_refused_and_an_older_version_passes_it_over() {
    let mut dps = start().await;
    put(&dps, group(None)).await;
    let key = KeyPair::generate().unwrap();
    let mut device = device(&dps, "dev");
    assert_eq!(register(&device, &csr("dev", &key)).await.status, StatusCode::BAD_REQUEST);
    device.version = common::DEVICE;
    assert!(issued(&device, &csr("dev", &key)).await.is_empty());
    assert_eq!(dps.running.hub_devices()[0].certificate, None);
    drop(device);

    let unknown = dps.service(Method::PUT, "/enrollmentGroups/h", &[], Some(group(Some("nobody's")))).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    dps.version = SERVICE;
    let older = dps.service(Method::PUT, "/enrollmentGroups/h", &[], Some(group(Some("field")))).await;
    assert_eq!(older.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_device_that_sends_no_request_is_assigned_as_ever() {
    let dps = start().await;
    put(&dps, group(Some("field"))).await;
    let device = device(&dps, "dev");
    let accepted = device.register().await;
    let done = device.poll(accepted.body["operationId"].as_str().unwrap()).await;
    assert_eq!(done.body["status"], "assigned");
    assert!(done.body["registrationState"].get("issuedCertificateChain").is_none());
}
