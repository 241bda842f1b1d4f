//! A device renews the certificate that it got here: when it may, when it may not, and what is good meanwhile.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, Api, client_with, csr, emulator, finish, instance, register};
use provisioning_api::Role;
use provisioning_api_contract::{
    Allocation, AuthorityInfo, CertificateResponse, DeviceChange, EventList, ProblemCode, Transfer,
};
use rcgen::KeyPair;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

/// A device with a certificate of ours.
struct Paired {
    id: String,
    allocation: Allocation,
    chain: Vec<Vec<u8>>,
    key: KeyPair,
}

fn chain(response: &CertificateResponse) -> Vec<Vec<u8>> {
    response.certificate_chain.iter().map(|der| STANDARD.decode(der).unwrap()).collect()
}

/// Allocates, signs, and says that it was assigned.
async fn pair(api: &Api, id: &str) -> Paired {
    api.add(id).await;
    let handoff = Uuid::new_v4();
    let allocation = Api::allocated(&api.allocate(id, handoff, &["x509"]).await);
    let (request, key) = csr(id);
    let given: CertificateResponse = api.certificate(id, handoff, &request).await.ok();
    api.assigned(id, handoff).await.done();
    Paired { id: id.to_owned(), allocation, chain: chain(&given), key }
}

impl Paired {
    /// A client that shows the device's certificate.
    fn http(&self, ca_pem: &str) -> reqwest::Client {
        client_with(ca_pem, Some((self.chain.clone(), &self.key)))
    }

    async fn registers(&self, dps: &azure_emulator::Running) -> String {
        let state = register(&self.http(&dps.ca_pem), &self.allocation, None).await;
        state.map_or_else(|answer| answer.status.to_string(), |state| state["status"].as_str().unwrap().to_owned())
    }

    async fn renews(&self, api: &Api, request: &str) -> Answer {
        asks(&self.http(&api.running.ca_pem), api, &self.id, request).await
    }
}

async fn asks(http: &reqwest::Client, api: &Api, id: &str, request: &str) -> Answer {
    let url = format!("{}/v1/devices/{id}/certificate/renewal", api.running.url);
    finish(http.post(url).json(&json!({ "csr": request }))).await
}

/// As if all certificates had been given so many days earlier than they were; they end when they did.
async fn age(api: &Api, days: i64) {
    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    let back = days * 24 * 60 * 60 * 1000;
    sqlx::query("UPDATE certificates SET issued_at = issued_at - $1").bind(back).execute(&db).await.unwrap();
}

async fn change(api: &Api, id: &str, what: &str, body: Value) -> Answer {
    let request = api.http.post(format!("{}/v1/devices/{id}/{what}", api.running.url));
    finish(request.bearer_auth(&api.administrator).header("if-match", "*").json(&body)).await
}

#[tokio::test]
async fn a_device_renews_with_a_new_key_and_both_certificates_are_good() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let old = pair(&api, "SN-1").await;
    age(&api, 400).await;
    let (request, key) = csr("sn-1");
    let given: CertificateResponse = old.renews(&api, &request).await.ok();
    assert_eq!(given, old.renews(&api, &request).await.ok(), "whoever lost the answer asks once more");
    let same_key = STANDARD.encode(request_of(&key, "sn-1"));
    assert_eq!(given, old.renews(&api, &same_key).await.ok(), "the key counts, not the request's signature");
    assert_ne!(chain(&given)[0], old.chain[0]);
    let new = Paired { chain: chain(&given), key, id: old.id.clone(), allocation: old.allocation.clone() };
    // A power cut before the device has switched leaves it with the old one.
    assert_eq!((new.registers(&dps).await, old.registers(&dps).await), ("assigned".into(), "assigned".into()));
    new.renews(&api, &csr("sn-1").0).await.refused(429, ProblemCode::Throttled);

    let events: EventList = api.send(Method::GET, "/v1/events?limit=500", Some(&api.administrator), None).await.ok();
    let renewed: Vec<_> = events.events.iter().filter(|event| event.what == "certificate renewed").collect();
    assert_eq!(renewed.len(), 1);
    let detail = renewed[0].detail.as_ref().unwrap();
    assert!(detail["serial"].is_string() && detail["renews"].is_string() && detail["serial"] != detail["renews"]);
    assert!(renewed[0].who.contains("SN-1"), "{}", renewed[0].who);
}

fn request_of(key: &KeyPair, name: &str) -> Vec<u8> {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.serialize_request(key).unwrap().der().to_vec()
}

#[tokio::test]
async fn an_enrollment_of_its_own_knows_the_new_certificate_and_the_old_one() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let old = pair(&api, "sn-1").await;
    assert_eq!(old.registers(&dps).await, "assigned");
    change(&api, "sn-1", "reprovision", json!({ "policy": "keepData", "reason": "x" })).await.ok::<DeviceChange>();
    age(&api, 400).await;
    let (request, key) = csr("sn-1");
    let given: CertificateResponse = old.renews(&api, &request).await.ok();
    let new = Paired { chain: chain(&given), key, id: old.id.clone(), allocation: old.allocation.clone() };
    assert_eq!((new.registers(&dps).await, old.registers(&dps).await), ("assigned".into(), "assigned".into()));
}

#[tokio::test]
async fn a_renewal_that_comes_early_is_told_when_it_may_come() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let device = pair(&api, "sn-1").await;
    let early = device.renews(&api, &csr("sn-1").0).await;
    early.refused(429, ProblemCode::Throttled);
    let wait: i64 = early.headers["retry-after"].to_str().unwrap().parse().unwrap();
    let half = 365 * 24 * 60 * 60 / 2;
    assert!((half - 600..=half).contains(&wait), "{wait}");
    // And however good it is, a device does not get ever new ones.
    age(&api, 400).await;
    for _ in 0..10 {
        device.renews(&api, &csr("sn-1").0).await.ok::<CertificateResponse>();
    }
    device.renews(&api, &csr("sn-1").0).await.refused(429, ProblemCode::Throttled);
}

#[tokio::test]
async fn nobody_renews_for_another_device_or_without_a_certificate() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let device = pair(&api, "sn-1").await;
    pair(&api, "sn-2").await;
    age(&api, 400).await;
    let http = device.http(&api.running.ca_pem);
    asks(&http, &api, "sn-2", &csr("sn-2").0).await.refused(404, ProblemCode::DeviceUnknown);
    asks(&http, &api, "sn-3", &csr("sn-3").0).await.refused(404, ProblemCode::DeviceUnknown);
    for request in [csr("sn-2").0, csr("").0, STANDARD.encode("no request"), "%".to_owned()] {
        device.renews(&api, &request).await.refused(422, ProblemCode::CsrRejected);
    }
    // Somebody else's signature: the request of one key signed by another.
    let (mut forged, other) = (request_of(&device.key, "sn-1"), request_of(&csr("sn-1").1, "sn-1"));
    let end = forged.len() - 60;
    forged.splice(end.., other[other.len() - 60..].iter().copied());
    device.renews(&api, &STANDARD.encode(forged)).await.refused(422, ProblemCode::CsrRejected);
    let path = "/v1/devices/sn-1/certificate/renewal";
    let body = || Some(json!({ "csr": csr("sn-1").0 }));
    api.send(Method::POST, path, None, body()).await.refused(401, ProblemCode::Unauthenticated);
    for token in [&api.installer, &api.administrator] {
        api.send(Method::POST, path, Some(token), body()).await.refused(403, ProblemCode::Forbidden);
    }
    // A certificate of somebody else's CA does not come through the handshake.
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "sn-1");
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap().der().to_vec();
    let stranger = client_with(&api.running.ca_pem, Some((vec![own], &key)));
    stranger.post(format!("{}{path}", api.running.url)).json(&body()).send().await.unwrap_err();
    let events: EventList = api.send(Method::GET, "/v1/events?limit=500", Some(&api.administrator), None).await.ok();
    assert!(events.events.iter().all(|event| event.what != "certificate renewed"));
}

#[tokio::test]
async fn a_device_that_was_revoked_decommissioned_or_given_away_renews_nothing() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let [revoked, scrapped, given] = [pair(&api, "sn-1").await, pair(&api, "sn-2").await, pair(&api, "sn-3").await];
    age(&api, 400).await;
    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    sqlx::query("UPDATE certificates SET revoked_at = 1, revoked_why = 'lost' WHERE device_key = 'sn-1'")
        .execute(&db)
        .await
        .unwrap();
    change(&api, "sn-2", "decommission", json!({ "reason": "scrapped" })).await.ok::<DeviceChange>();

    let office = api.running.office();
    office.add_tenant("globex").await.unwrap();
    let (_, theirs) = office.issue_tenant_token(Role::Administrator, "Gil", "globex", 1).await.unwrap();
    let expires = jiff::Timestamp::now() + Duration::from_secs(3600);
    let offer = json!({ "toTenant": "globex", "expiresAt": expires, "reason": "sold" });
    let offer: Transfer = change(&api, "sn-3", "transfer", offer).await.ok();
    given.renews(&api, &csr("sn-3").0).await.ok::<CertificateResponse>();
    let path = format!("/v1/transfers/{}/accept", offer.id);
    api.send(Method::POST, &path, Some(theirs.expose_secret()), None).await.ok::<DeviceChange>();

    for device in [&revoked, &scrapped, &given] {
        let answer = device.renews(&api, &csr(&device.id).0).await;
        answer.refused(401, ProblemCode::Unauthenticated);
    }
}

#[tokio::test]
async fn a_certificate_that_ends_renews_nothing_on_a_connection_that_outlives_it_either() {
    let (dps, _folder) = emulator().await;
    let seconds = |options: &mut provisioning_api::Options| {
        options.limits.certificate_validity = Duration::from_secs(3);
    };
    let api = Api::start_with(vec![instance("north", &dps)], seconds).await;
    let device = pair(&api, "sn-1").await;
    let (kept, path) = (device.http(&api.running.ca_pem), format!("{}/v1/devices/sn-1", api.running.url));
    let deadline = Instant::now() + Duration::from_secs(20);
    while finish(kept.get(&path)).await.status == StatusCode::OK {
        assert!(Instant::now() < deadline, "it never ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    asks(&kept, &api, "sn-1", &csr("sn-1").0).await.refused(401, ProblemCode::Unauthenticated);
    // TLS counts whole seconds: a fresh connection is refused now, or a moment later.
    let fresh = device.http(&api.running.ca_pem).post(format!("{path}/certificate/renewal"));
    let answer = fresh.json(&json!({ "csr": csr("sn-1").0 })).send().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn a_certificate_of_a_former_ca_is_renewed_by_the_one_that_signs_now_and_shown_at_once() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let device = pair(&api, "sn-1").await;
    age(&api, 400).await;
    let administrator = Some(api.administrator.as_str());
    let next: AuthorityInfo = api.send(Method::POST, "/v1/authorities", administrator, None).await.ok();
    let path = format!("/v1/authorities/{}/activation", next.fingerprint);
    api.send(Method::POST, &path, administrator, None).await.ok::<AuthorityInfo>();
    let (request, key) = csr("sn-1");
    let given: CertificateResponse = device.renews(&api, &request).await.ok();
    let new = Paired { chain: chain(&given), key, id: device.id, allocation: device.allocation };
    assert_eq!(new.registers(&dps).await, "assigned");
    // TLS learns of the next CA as soon as it is made, not when the files are looked at the next time.
    let deadline = Instant::now() + Duration::from_secs(10);
    let url = format!("{}/v1/devices/sn-1", api.running.url);
    while !new.http(&api.running.ca_pem).get(&url).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK) {
        assert!(Instant::now() < deadline, "it is not let in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
