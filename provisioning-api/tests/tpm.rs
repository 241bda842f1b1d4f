//! A TPM: its endorsement key comes in, and an individual enrollment is made for it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Api, emulator, instance};
use provisioning_api_contract::{Allocation, Attestation, ProblemCode};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

fn key(of: u8) -> String {
    STANDARD.encode([of; 64])
}

fn asked(attestations: Value, endorsement_key: Option<String>) -> Value {
    let mut asked = json!({ "handoffId": Uuid::new_v4(), "attestations": attestations });
    if let Some(key) = endorsement_key {
        asked["tpm"] = json!({ "endorsementKey": key });
    }
    asked
}

#[tokio::test]
async fn a_devices_tpm_is_enrolled_by_itself_and_no_other_takes_its_place() {
    let (emulator, _files) = emulator().await;
    let api = Api::start(vec![instance("one", &emulator)]).await;
    api.add("sn-1").await;
    let path = "/v1/devices/sn-1/allocation";
    let mut first = asked(json!(["tpm", "x509"]), Some(key(1)));
    let allocation: Allocation = api.send(Method::POST, path, Some(&api.installer), Some(first.clone())).await.ok();
    assert_eq!(allocation.attestation, Attestation::Tpm);
    let enrolled =
        emulator.seen().iter().filter(|seen| seen.method == "PUT" && seen.path == "/enrollments/sn-1").count();
    assert_eq!(enrolled, 1);
    let again: Allocation = api.send(Method::POST, path, Some(&api.installer), Some(first.clone())).await.ok();
    assert_eq!(again.allocated_at, allocation.allocated_at);

    // The same hand-off from a device with another TPM: the inventory has the first one's key by now.
    first["tpm"] = json!({ "endorsementKey": key(2) });
    api.send(Method::POST, path, Some(&api.installer), Some(first))
        .await
        .refused(409, ProblemCode::AttestationMismatch);
}

#[tokio::test]
async fn without_its_key_a_tpm_is_not_used_and_a_torn_key_is_refused() {
    let (emulator, _files) = emulator().await;
    let api = Api::start(vec![instance("one", &emulator)]).await;
    api.add("sn-1").await;
    let path = "/v1/devices/sn-1/allocation";
    let only_tpm = asked(json!(["tpm"]), None);
    api.send(Method::POST, path, Some(&api.installer), Some(only_tpm))
        .await
        .refused(409, ProblemCode::AttestationMismatch);
    for torn in ["", "no base64", "c2hvcnQ="] {
        let torn = asked(json!(["tpm"]), Some(torn.into()));
        api.send(Method::POST, path, Some(&api.installer), Some(torn)).await.refused(400, ProblemCode::BadRequest);
    }
    let both: Allocation =
        api.send(Method::POST, path, Some(&api.installer), Some(asked(json!(["tpm", "x509"]), None))).await.ok();
    assert_eq!(both.attestation, Attestation::X509);
}
