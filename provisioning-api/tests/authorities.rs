//! The device CA: from files, rotated with overlap, removed when nothing of it is valid.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Api, config, emulator, finish, instance, nobody, options};
use provisioning_api::{DeviceCa, Options};
use provisioning_api_contract::EventList;
use provisioning_api_contract::{
    AuthorityInfo, AuthorityList, AuthorityState, CertificateResponse, InstanceList, ProblemCode,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, X509Certificate};

async fn list(api: &Api) -> Vec<AuthorityInfo> {
    let answer = api.send(Method::GET, "/v1/authorities", Some(&api.administrator), None).await;
    answer.ok::<AuthorityList>().authorities
}

async fn certificate(api: &Api, id: &str) -> CertificateResponse {
    api.add(id).await;
    let handoff = Uuid::new_v4();
    let asked = json!({ "handoffId": handoff, "attestations": ["x509"] });
    api.send(Method::POST, &format!("/v1/devices/{id}/allocation"), Some(&api.installer), Some(asked))
        .await
        .ok::<serde_json::Value>();
    let (csr, _) = common::csr(id);
    let asked = json!({ "handoffId": handoff, "csr": csr });
    api.send(Method::POST, &format!("/v1/devices/{id}/certificate"), Some(&api.installer), Some(asked)).await.ok()
}

/// What happened to device CAs, and to which, the oldest first.
async fn changes(api: &Api) -> Vec<(String, String)> {
    let path = "/v1/events?order=oldest&limit=500";
    let all: EventList = api.send(Method::GET, path, Some(&api.administrator), None).await.ok();
    let changes = all.events.into_iter().filter(|event| event.what.starts_with("device CA"));
    changes.map(|event| (event.what, event.detail.unwrap()["authority"].as_str().unwrap().to_owned())).collect()
}

/// The PEM certificate of which the leaf is signed.
fn is_signed_by(response: &CertificateResponse, ca: &str) -> bool {
    let leaf = STANDARD.decode(&response.certificate_chain[0]).unwrap();
    let ca = pem::parse(ca).unwrap();
    let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
    let (_, ca) = X509Certificate::from_der(ca.contents()).unwrap();
    leaf.verify_signature(Some(ca.public_key())).is_ok()
}

#[tokio::test]
async fn the_next_ca_is_known_to_dps_before_it_signs_and_the_former_one_as_long_as_its_certificates_are_valid() {
    let (emulator, _files) = emulator().await;
    let api = Api::start(vec![instance("one", &emulator)]).await;
    let administrator = Some(api.administrator.as_str());
    let first = certificate(&api, "sn-1").await;
    let old = list(&api).await.remove(0);
    assert_eq!((old.state, old.valid_certificates), (AuthorityState::Current, 1));
    assert!(is_signed_by(&first, &old.certificate));

    let next: AuthorityInfo = api.send(Method::POST, "/v1/authorities", administrator, None).await.ok();
    let again: AuthorityInfo = api.send(Method::POST, "/v1/authorities", administrator, None).await.ok();
    assert_eq!(next, again, "a lost answer makes no second one");
    assert_eq!(next.state, AuthorityState::Next);
    assert!(emulator.seen().iter().any(|seen| seen.method == "PUT" && seen.path.ends_with(&next.enrollment_group)));
    assert!(is_signed_by(&certificate(&api, "sn-2").await, &old.certificate), "it signs nothing yet");

    let path = format!("/v1/authorities/{}/activation", next.fingerprint);
    api.send(Method::POST, &path, administrator, None).await.ok::<AuthorityInfo>();
    api.send(Method::POST, &path, administrator, None).await.ok::<AuthorityInfo>();
    assert!(is_signed_by(&certificate(&api, "sn-3").await, &next.certificate));
    let states: Vec<_> = list(&api).await.into_iter().map(|one| (one.fingerprint, one.state)).collect();
    assert!(states.contains(&(next.fingerprint.clone(), AuthorityState::Current)));
    assert!(states.contains(&(old.fingerprint.clone(), AuthorityState::Former)));

    let path = |one: &AuthorityInfo| format!("/v1/authorities/{}", one.fingerprint);
    for one in [&old, &next] {
        api.send(Method::DELETE, &path(one), administrator, None).await.refused(409, ProblemCode::AuthorityInUse);
    }
    api.send(Method::DELETE, "/v1/authorities/00", administrator, None).await.refused(404, ProblemCode::NotFound);
    for (method, path) in [(Method::GET, "/v1/authorities"), (Method::POST, "/v1/authorities")] {
        api.send(method, path, Some(&api.installer), None).await.refused(403, ProblemCode::Forbidden);
    }

    // What signs is in the database, not in the process.
    let instances = vec![instance("one", &emulator)];
    let api = api.restart(instances).await;
    assert!(is_signed_by(&certificate(&api, "sn-4").await, &next.certificate));
}

#[tokio::test]
async fn a_former_ca_of_which_nothing_is_valid_is_removed_with_its_groups_and_its_key() {
    let (emulator, _files) = emulator().await;
    let api = Api::start_with(vec![instance("one", &emulator)], |options| {
        options.limits.certificate_validity = Duration::from_secs(1);
    })
    .await;
    let administrator = Some(api.administrator.as_str());
    certificate(&api, "sn-1").await;
    let old = list(&api).await.remove(0);
    let next: AuthorityInfo = api.send(Method::POST, "/v1/authorities", administrator, None).await.ok();
    api.send(Method::POST, &format!("/v1/authorities/{}/activation", next.fingerprint), administrator, None)
        .await
        .ok::<AuthorityInfo>();
    let path = format!("/v1/authorities/{}", old.fingerprint);
    let end = tokio::time::Instant::now() + Duration::from_secs(5);
    while list(&api).await.iter().any(|one| one.valid_certificates > 0) {
        assert!(tokio::time::Instant::now() < end, "a certificate of one second does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    api.send(Method::DELETE, &path, administrator, None).await.done();
    assert_eq!(list(&api).await.len(), 1);
    assert!(emulator.seen().iter().any(|seen| seen.method == "DELETE" && seen.path.ends_with(&old.enrollment_group)));
    api.send(Method::DELETE, &path, administrator, None).await.refused(404, ProblemCode::NotFound);
}

#[tokio::test]
async fn a_ca_from_files_signs_with_its_chain_and_is_not_rotated_here() {
    let (emulator, _files) = emulator().await;
    let folder = tempfile::tempdir().unwrap();
    let ca = |name: &str, path_length: u8| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    };
    let root = CertifiedIssuer::self_signed(ca("root", 1), KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let key_pem = key.serialize_pem();
    let intermediate = ca("intermediate", 0).signed_by(&key, &root).unwrap();
    let device_ca = DeviceCa { certificates: folder.path().join("ca.pem"), key: folder.path().join("ca.key") };
    std::fs::write(&device_ca.certificates, format!("{}{}", intermediate.pem(), root.pem())).unwrap();
    std::fs::write(&device_ca.key, key_pem).unwrap();

    let config = config(folder.path(), vec![instance("one", &emulator)]);
    let with_files = Options { device_ca: Some(device_ca), ..options() };
    let api = Api::over(folder, config.clone(), with_files.clone()).await;
    // Started again with the same files, nothing is another.
    api.running.stop().await;
    let api = Api::over(api.folder, config, with_files).await;
    let given = certificate(&api, "sn-1").await;
    assert_eq!(given.certificate_chain.len(), 2, "its own and the intermediate one; the root is left out");
    assert_eq!(STANDARD.decode(&given.certificate_chain[1]).unwrap(), intermediate.der().as_ref());
    assert!(is_signed_by(&given, &intermediate.pem()));
    let listed = list(&api).await;
    assert!(listed.len() == 1 && listed[0].from_files, "{listed:?}");
    let administrator = Some(api.administrator.as_str());
    api.send(Method::POST, "/v1/authorities", administrator, None).await.refused(409, ProblemCode::AuthorityInUse);

    // Without the files again: one of our own, and the other is a former one.
    let api = api.restart(vec![instance("one", &emulator)]).await;
    let own = certificate(&api, "sn-2").await;
    assert!(!is_signed_by(&own, &intermediate.pem()));
    assert_eq!(list(&api).await.iter().filter(|one| one.state == AuthorityState::Former && one.from_files).count(), 1);
    let own = list(&api).await.into_iter().find(|one| one.state == AuthorityState::Current).unwrap().fingerprint;
    let current = |of: &String| ("device CA made current".to_owned(), of.clone());
    let expected = [current(&listed[0].fingerprint), ("device CA made".into(), own.clone()), current(&own)];
    assert_eq!(changes(&api).await, expected);
}

/// Changes an instance's state as whoever read it last.
async fn set_state(api: &Api, name: &str, state: &str) {
    let listed: InstanceList = api.send(Method::GET, "/v1/instances", Some(&api.administrator), None).await.ok();
    let etag = &listed.instances.iter().find(|one| one.name == name).unwrap().etag;
    let request = api.http.patch(format!("{}/v1/instances/{name}", api.running.url)).bearer_auth(&api.administrator);
    let body = json!({ "state": state, "reason": "the region is out" });
    finish(request.header("if-match", etag).json(&body)).await.ok::<serde_json::Value>();
}

#[tokio::test]
async fn an_instance_that_an_administrator_marked_as_down_does_not_keep_the_ca_from_being_changed() {
    let (emulator, _files) = emulator().await;
    let api = Api::start(vec![instance("one", &emulator), nobody("two")]).await;
    let administrator = Some(api.administrator.as_str());
    let refused = api.send(Method::POST, "/v1/authorities", administrator, None).await;
    refused.refused(502, ProblemCode::DpsUnavailable);
    set_state(&api, "two", "down").await;
    let next: AuthorityInfo = api.send(Method::POST, "/v1/authorities", administrator, None).await.ok();
    let path = format!("/v1/authorities/{}", next.fingerprint);
    let current: AuthorityInfo = api.send(Method::POST, &format!("{path}/activation"), administrator, None).await.ok();
    assert_eq!(current.state, AuthorityState::Current);
    let former = list(&api).await.into_iter().find(|one| one.state == AuthorityState::Former).unwrap();
    let path = format!("/v1/authorities/{}", former.fingerprint);
    api.send(Method::DELETE, &path, administrator, None).await.done();
}

#[tokio::test]
async fn the_group_of_a_removed_ca_goes_from_an_instance_that_was_down_when_that_is_over() {
    let (one, _one) = emulator().await;
    let (two, _two) = emulator().await;
    let instances = || vec![instance("one", &one), instance("two", &two)];
    let api = Api::start(instances()).await;
    let administrator = Some(api.administrator.as_str());
    let next: AuthorityInfo = api.send(Method::POST, "/v1/authorities", administrator, None).await.ok();
    set_state(&api, "two", "down").await;
    let path = format!("/v1/authorities/{}", next.fingerprint);
    api.send(Method::DELETE, &path, administrator, None).await.done();
    let removals = |dps: &azure_emulator::Running| {
        let group =
            |seen: &azure_emulator::Seen| seen.method == "DELETE" && seen.path.ends_with(&next.enrollment_group);
        dps.seen().iter().filter(|seen| group(seen)).map(|seen| seen.status).collect::<Vec<_>>()
    };
    assert_eq!((removals(&one), removals(&two)), (vec![204], vec![]));
    set_state(&api, "two", "active").await;
    let _api = api.restart(instances()).await;
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while removals(&two).is_empty() {
        assert!(tokio::time::Instant::now() < end, "its group is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(removals(&two), [204]);
}
