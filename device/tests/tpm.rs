//! TPM attestation against the emulated DPS, with a real TPM in software: swtpm. Skipped where there is none.
// Helpers of tests may panic as tests do; clippy's own exception sees only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "../../tests/support/src/swtpm.rs"]
mod swtpm;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::app::{App, failure};
use common::azure::{World, issuing, world_with};
use hmac::{Hmac, KeyInit as _, Mac as _};
use lowtouch_device::faults::KillPoint;
use lowtouch_device::sim::{Attestation, SimConfig};
use lowtouch_device::tpm::{Chip, Tpm as _, TpmError, TpmPublicKeys};
use lowtouch_handoff::dps_config::{
    Config, FailureCode, Result as Code, StatusResponse, TpmCredential, config::Credential,
};
use serde_json::{Value, json};
use sha2::Sha256;
use swtpm::{Swtpm, swtpm};

fn with(tpm: &Swtpm) -> impl FnOnce(&mut SimConfig) {
    let at = tpm.at.clone();
    move |config| {
        config.tpm = Some(at);
        config.attestations = vec![Attestation::Tpm];
    }
}

async fn public_keys(tpm: &Swtpm) -> TpmPublicKeys {
    let at = tpm.at.clone();
    tokio::task::spawn_blocking(move || Chip::new(at).public_keys()).await.unwrap().unwrap()
}

async fn enroll(world: &World, endorsement_key: &[u8], policy: bool) {
    let id = world.device.registration_id();
    let tpm = json!({ "endorsementKey": STANDARD.encode(endorsement_key) });
    let mut body = json!({ "registrationId": id, "attestation": { "type": "tpm", "tpm": tpm } });
    if policy {
        body["credentialPolicyName"] = "field".into();
    }
    world.put(&format!("/enrollments/{id}"), body).await;
}

async fn hand_over(world: &World, certificate_from_dps: bool) -> StatusResponse {
    let config = Config { certificate_from_dps, ..world.config(Credential::Tpm(TpmCredential {})) };
    let mut app = App::connect(&world.device).await.unwrap();
    assert_eq!(app.hand_off([1; 16], &config).await.unwrap(), Code::Ok);
    app.end().await.unwrap()
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// The status of each registration that DPS saw.
fn registrations(world: &World) -> Vec<u16> {
    let seen = world.azure.seen();
    seen.iter().filter(|seen| seen.path.ends_with("/register")).map(|seen| seen.status).collect()
}

#[tokio::test]
async fn a_device_proves_its_tpm_and_signs_for_its_hub_with_the_key_that_only_this_tpm_could_take_in() {
    let Some(tpm) = swtpm().await else { return };
    let world = world_with("tpm-1", |_| (), with(&tpm)).await;
    let identity = App::connect(&world.device).await.unwrap().identify().await.unwrap();
    let keys = public_keys(&tpm).await;
    assert_eq!(identity.tpm_endorsement_key, keys.endorsement_key, "made once, and kept in the TPM");
    assert_eq!(identity.tpm_storage_root_key, keys.storage_root_key);
    enroll(&world, &identity.tpm_endorsement_key, false).await;
    let end = hand_over(&world, false).await;
    let assigned = end.assigned.unwrap_or_else(|| panic!("{:?}", end.failed));
    assert_eq!(registrations(&world), [401, 202]);
    let known = &world.azure.hub_devices()[0];
    assert_eq!((&known.hub, known.device_id.as_str()), (&assigned.hub, "tpm-1"));
    let key = known.tpm_key.expect("the hub has a key for the TPM");
    let at = tpm.at.clone();
    let signed = tokio::task::spawn_blocking(move || Chip::new(at).sign(b"hub/devices/tpm-1")).await.unwrap();
    assert_eq!(signed.unwrap(), hmac(&key, b"hub/devices/tpm-1"));
    assert_eq!(world.device.hub().await.unwrap().hub, assigned.hub);
}

#[tokio::test]
async fn a_tpm_that_is_not_the_enrolled_one_is_refused_and_gets_no_key() {
    let (Some(enrolled), Some(other)) = (swtpm().await, swtpm().await) else { return };
    let world = world_with("tpm-2", |_| (), with(&other)).await;
    enroll(&world, &public_keys(&enrolled).await.endorsement_key, false).await;
    assert_eq!(failure(&hand_over(&world, false).await), FailureCode::Credential);
    assert_eq!(registrations(&world), [401]);
}

#[tokio::test]
async fn a_key_that_dps_made_for_one_tpm_is_worth_nothing_to_another_one_or_when_a_bit_of_it_is_changed() {
    let (Some(mine), Some(other)) = (swtpm().await, swtpm().await) else { return };
    let world = world_with("tpm-3", |_| (), with(&mine)).await;
    let keys = public_keys(&mine).await;
    enroll(&world, &keys.endorsement_key, false).await;
    // The other one's storage root key beside my endorsement key: made for neither.
    let mixed = TpmPublicKeys { storage_root_key: public_keys(&other).await.storage_root_key, ..keys.clone() };
    let (blob, for_neither) = (challenge(&world, &keys).await, challenge(&world, &mixed).await);
    let (mine, other) = (mine.at.clone(), other.at.clone());
    let tried = tokio::task::spawn_blocking(move || {
        let (mine, other) = (Chip::new(mine), Chip::new(other));
        let refused = |result: Result<(), TpmError>| matches!(result, Err(TpmError::Refused { .. } | TpmError::Blob));
        assert!(refused(other.activate(&blob)), "another TPM");
        assert!(refused(mine.activate(&for_neither)), "another storage root key");
        assert!(refused(mine.activate(&[])) && refused(mine.activate(&blob[..blob.len() / 2])));
        for bit in (0..blob.len() - 2).step_by(37) {
            let mut changed = blob.clone();
            changed[bit] ^= 1;
            assert!(refused(mine.activate(&changed)), "byte {bit}");
        }
        assert!(refused(mine.sign(b"early").map(drop)), "nothing was taken in");
        mine.activate(&blob).unwrap();
        mine.activate(&blob).unwrap();
        assert_eq!(mine.sign(b"now").unwrap().len(), 32);
    });
    tried.await.unwrap();
}

/// What DPS tells a device that has shown nothing but these keys.
async fn challenge(world: &World, keys: &TpmPublicKeys) -> Vec<u8> {
    let id = world.device.registration_id();
    let tpm = json!({
        "endorsementKey": STANDARD.encode(&keys.endorsement_key),
        "storageRootKey": STANDARD.encode(&keys.storage_root_key),
    });
    let url = format!("{}/{}/registrations/{id}/register", world.azure.url(), world.azure.id_scope);
    let request = world.http().put(format!("{url}?api-version=2021-06-01"));
    let answer = request.json(&json!({ "registrationId": id, "tpm": tpm })).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["errorCode"], &body["keyName"]), (&json!(401_002), &json!("registration")));
    STANDARD.decode(body["authenticationKey"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_device_that_loses_its_power_anywhere_in_the_registration_proves_its_tpm_again_and_finishes() {
    for kill in [
        KillPoint::AfterDpsRequest(1),
        KillPoint::BeforeDpsRequest(2),
        KillPoint::AfterDpsRequest(3),
        KillPoint::BeforeWrite(3),
    ] {
        let Some(tpm) = swtpm().await else { return };
        let sim = |sim: &mut SimConfig| {
            with(&tpm)(sim);
            sim.faults.kill = vec![kill];
            sim.faults.restart_after = Some(Duration::from_millis(50));
        };
        let world = world_with("tpm-4", |azure| azure.assigning_polls = 0, sim).await;
        enroll(&world, &public_keys(&tpm).await.endorsement_key, false).await;
        let config = world.config(Credential::Tpm(TpmCredential {}));
        let mut app = App::connect(&world.device).await.unwrap();
        // The power may go before the commit is answered.
        let _ = app.hand_off([1; 16], &config).await;
        let assigned = async {
            loop {
                let hub = world.device.hub().await;
                match hub.filter(|_| world.device.boots() == 2) {
                    Some(hub) => return hub.hub,
                    None => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let hub = tokio::time::timeout(Duration::from_secs(30), assigned).await.unwrap_or_else(|_| panic!("{kill:?}"));
        assert_eq!(world.azure.hub_devices()[0].hub, hub);
        let key = world.azure.hub_devices()[0].tpm_key.unwrap();
        let at = tpm.at.clone();
        let signed = tokio::task::spawn_blocking(move || Chip::new(at).sign(b"x")).await.unwrap().unwrap();
        assert_eq!(signed, hmac(&key, b"x"), "{kill:?}: the TPM holds the key that the hub knows");
    }
}

#[tokio::test]
async fn a_tpm_gets_a_certificate_for_its_hub_where_dps_issues_them() {
    let Some(tpm) = swtpm().await else { return };
    let world = world_with("tpm-5", issuing(Duration::from_secs(86_400)), with(&tpm)).await;
    enroll(&world, &public_keys(&tpm).await.endorsement_key, true).await;
    let end = hand_over(&world, true).await;
    assert!(end.assigned.unwrap_or_else(|| panic!("{:?}", end.failed)).certificate_ends > 0);
    assert_eq!(world.device.hub().await.unwrap().certificate_chain.len(), 3);
}

#[tokio::test]
async fn a_hand_off_for_a_tpm_to_a_device_without_one_is_refused() {
    let world = world_with("tpm-6", |_| (), |_| ()).await;
    let mut app = App::connect(&world.device).await.unwrap();
    let config = world.config(Credential::Tpm(TpmCredential {}));
    assert_eq!(app.hand_off([1; 16], &config).await.unwrap(), Code::Unsupported);
}
