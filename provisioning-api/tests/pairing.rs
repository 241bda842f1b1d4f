//! Pairings against the emulator: what the API gives is what DPS takes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::time::Duration;

use azure_emulator::{Fault, On};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Api, client, client_with, csr, derived, device_sas, emulator, finish, group_key, instance, register};
use provisioning_api::{InstanceConfig, Limits, Role};
use provisioning_api_contract::{
    Attestation, CertificateResponse, Device, EventList, InstanceList, InstanceState, Lifecycle, Outcome,
    OwnerSignatureResponse, ProblemCode, SymmetricKeyResponse,
};
use reqwest::Method;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

#[tokio::test]
async fn a_device_with_a_certificate_registers_and_its_outcome_is_kept() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    api.add("SN-1").await;
    let handoff = Uuid::new_v4();
    let allocation = Api::allocated(&api.allocate("sn-1", handoff, &["x509", "symmetricKey"]).await);
    assert_eq!((allocation.registration_id.as_str(), allocation.dps_instance.as_str()), ("SN-1", "north"));
    assert_eq!((allocation.attestation, &allocation.id_scope), (Attestation::X509, &dps.id_scope));
    assert_eq!(allocation.endpoint_ca.as_deref(), Some(dps.ca_pem.as_str()));

    let (request, key) = csr("sn-1");
    let answer: CertificateResponse = api.certificate("sn-1", handoff, &request).await.ok();
    let again: CertificateResponse = api.certificate("SN-1", handoff, &request).await.ok();
    assert_eq!(answer, again, "a repeated request gets the same certificate");
    let chain = answer.certificate_chain.iter().map(|der| STANDARD.decode(der).unwrap()).collect();
    let http = client_with(&dps.ca_pem, Some((chain, &key)));
    let state = register(&http, &allocation, None).await.unwrap_or_else(|answer| panic!("{:?}", answer.body));
    assert_eq!(state["status"], "assigned");

    let outcome = json!({ "status": "assigned", "assignedHub": state["assignedHub"], "deviceId": state["deviceId"], "substatus": state["substatus"] });
    let body = json!({ "handoffId": handoff, "outcome": outcome });
    for _ in 0..2 {
        api.post("/v1/devices/sn-1/outcome", body.clone()).await.done();
    }
    let device: Device = api.get("/v1/devices/sn-1?dps=true").await.ok();
    assert_eq!((device.lifecycle, device.handoff_id), (Lifecycle::Assigned, Some(handoff)));
    assert!(matches!(device.outcome, Some(Outcome::Assigned { .. })));
    let registration = device.dps.unwrap();
    assert_eq!(registration.status, "assigned");
    assert_eq!(registration.assigned_hub.as_deref(), state["assignedHub"].as_str());
    assert!(registration.last_updated.is_some());
}

#[tokio::test]
async fn a_device_with_a_derived_key_registers_under_the_inventorys_spelling() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    api.add("Sn-2").await;
    let handoff = Uuid::new_v4();
    let allocation = Api::allocated(&api.allocate("SN-2", handoff, &["symmetricKey"]).await);
    let before: Device = api.get("/v1/devices/sn-2?dps=true").await.ok();
    assert_eq!(before.dps.unwrap().status, "unassigned");

    let key: SymmetricKeyResponse = api.symmetric_key("SN-2", handoff).await.ok();
    let again: SymmetricKeyResponse = api.symmetric_key("sn-2", handoff).await.ok();
    assert_eq!(key.key, again.key);
    // The emulator takes the lower case, too; whether DPS does is not known.
    assert_eq!(key.key, derived(&group_key(&dps).await, "Sn-2"));
    let state = register(&client(&dps.ca_pem), &allocation, Some(device_sas(&allocation, &key.key))).await;
    assert_eq!(state.unwrap_or_else(|answer| panic!("{:?}", answer.body))["status"], "assigned");
    api.certificate("sn-2", handoff, &csr("sn-2").0).await.refused(409, ProblemCode::NotAllocated);
}

#[tokio::test]
async fn a_hundred_requests_for_one_device_get_one_answer_and_one_place() {
    let (north, _a) = emulator().await;
    let (south, _b) = emulator().await;
    let api = Api::start(vec![instance("north", &north), instance("south", &south)]).await;
    api.add("sn-1").await;
    let handoff = Uuid::new_v4();
    let answers = futures::future::join_all((0..100).map(|_| api.allocate("sn-1", handoff, &["x509"]))).await;
    let first = Api::allocated(&answers[0]);
    assert_eq!(first.dps_instance, "north");
    for answer in &answers {
        assert_eq!(Api::allocated(answer), first);
    }
    assert_eq!(usage(&api).await, [("north".into(), 1), ("south".into(), 0)]);
}

#[tokio::test]
async fn a_hundred_devices_at_once_spread_evenly() {
    let (north, _a) = emulator().await;
    let (south, _b) = emulator().await;
    let api = Api::start(vec![instance("north", &north), instance("south", &south)]).await;
    for number in 0..100 {
        api.add(&format!("sn-{number}")).await;
    }
    let ids: Vec<_> = (0..100).map(|number| format!("sn-{number}")).collect();
    let answers = futures::future::join_all(ids.iter().map(|id| api.allocate(id, Uuid::new_v4(), &["x509"]))).await;
    for answer in &answers {
        Api::allocated(answer);
    }
    assert_eq!(usage(&api).await, [("north".into(), 50), ("south".into(), 50)]);
}

#[tokio::test]
async fn of_two_pairings_at_once_the_second_waits_until_the_first_has_ended() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    api.add("sn-1").await;
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let first = Api::allocated(&api.allocate("sn-1", one, &["symmetricKey"]).await);
    let refused = api.allocate("sn-1", two, &["symmetricKey"]).await;
    refused.refused(409, ProblemCode::HandoffConflict);
    assert!(refused.headers.contains_key("retry-after"));
    api.symmetric_key("sn-1", two).await.refused(409, ProblemCode::HandoffConflict);
    api.assigned("sn-1", two).await.refused(409, ProblemCode::HandoffConflict);

    api.failed("sn-1", one).await.done();
    let device: Device = api.get("/v1/devices/sn-1").await.ok();
    assert_eq!(device.lifecycle, Lifecycle::Failed);
    // The first one may be run again and finish what it began.
    assert_eq!(Api::allocated(&api.allocate("sn-1", one, &["symmetricKey"]).await), first);
    api.assigned("sn-1", one).await.done();
    api.failed("sn-1", one).await.refused(409, ProblemCode::HandoffConflict);
    assert_eq!(Api::allocated(&api.allocate("sn-1", one, &["symmetricKey"]).await), first);
    let device: Device = api.get("/v1/devices/sn-1").await.ok();
    assert_eq!(device.lifecycle, Lifecycle::Assigned, "looking again does not take the assignment back");
    // And then the second one gets the same instance.
    assert_eq!(Api::allocated(&api.allocate("sn-1", two, &["symmetricKey"]).await), first);
}

#[tokio::test]
async fn an_outcome_that_is_kept_may_be_told_again_whatever_has_happened_since_and_that_changes_nothing() {
    let (north, _a) = emulator().await;
    let (south, _b) = emulator().await;
    let api = Api::start(vec![instance("north", &north), instance("south", &south)]).await;
    let administrator = Some(api.administrator.as_str());
    for (id, ends_well) in [("good-1", true), ("bad-1", false)] {
        api.add(id).await;
        let state = async || {
            let etag = api.get(&format!("/v1/devices/{id}")).await.headers["etag"].to_str().unwrap().to_owned();
            let events = api.send(Method::GET, &format!("/v1/devices/{id}/events"), administrator, None).await;
            (etag, events.ok::<EventList>().events.len())
        };
        let allocated = async |handoff| {
            Api::allocated(&api.allocate(id, handoff, &["symmetricKey"]).await);
        };
        let (one, two, three) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        let tell = async || if ends_well { api.assigned(id, one).await } else { api.failed(id, one).await };
        let again = async |when: &str| {
            let before = state().await;
            tell().await.done();
            assert_eq!(state().await, before, "{id}, {when}");
        };
        allocated(one).await;
        tell().await.done();
        again("at once").await;
        allocated(two).await;
        again("while the next pairing goes on").await;
        api.failed(id, two).await.done();
        again("when the next pairing has failed").await;
        allocated(three).await;
        api.assigned(id, three).await.done();
        again("when another one has succeeded").await;
        let to = if Api::allocated(&api.allocate(id, three, &["symmetricKey"]).await).dps_instance == "north" {
            "south"
        } else {
            "north"
        };
        let moved = api.http.post(format!("{}/v1/devices/{id}/move", api.running.url)).bearer_auth(&api.administrator);
        let moved = moved.header("if-match", "*").json(&json!({ "dpsInstance": to, "reason": "x" }));
        assert_eq!(finish(moved).await.status, 200);
        again("when it was moved").await;
        allocated(Uuid::new_v4()).await;
        again("while it is paired at the new place").await;
    }
}

#[tokio::test]
async fn a_pairing_that_went_silent_does_not_hold_a_device_for_ever() {
    let (dps, _folder) = emulator().await;
    let hold = |options: &mut provisioning_api::Options| {
        options.limits = Limits { handoff_hold: Duration::ZERO, ..options.limits.clone() }
    };
    let api = Api::start_with(vec![instance("north", &dps)], hold).await;
    api.add("sn-1").await;
    let first = Api::allocated(&api.allocate("sn-1", Uuid::new_v4(), &["x509"]).await);
    assert_eq!(Api::allocated(&api.allocate("sn-1", Uuid::new_v4(), &["x509"]).await), first);
}

#[tokio::test]
async fn a_certificate_request_for_another_devices_name_is_refused() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    api.add("sn-1").await;
    let handoff = Uuid::new_v4();
    Api::allocated(&api.allocate("sn-1", handoff, &["x509"]).await);
    for bad in [csr("sn-2").0, "AAAA".into(), "not base64!".into(), String::new()] {
        api.certificate("sn-1", handoff, &bad).await.refused(422, ProblemCode::CsrRejected);
    }
    let _: CertificateResponse = api.certificate("sn-1", handoff, &csr("sn-1").0).await.ok();
}

#[tokio::test]
async fn dps_having_a_bad_moment_is_asked_again() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    api.add("sn-1").await;
    for fault in [
        Fault::Status { status: 429, retry_after: Some(Duration::from_secs(1)) },
        Fault::Status { status: 500, retry_after: None },
        Fault::Reset,
        Fault::ResetAfter,
    ] {
        dps.faults().inject(On::EnrollmentGroups, fault, 1);
    }
    Api::allocated(&api.allocate("sn-1", Uuid::new_v4(), &["x509"]).await);
    assert_eq!(dps.faults().waiting(), 0);
}

#[tokio::test]
async fn a_group_that_was_made_although_the_answer_was_lost_is_found_again() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    api.add("sn-1").await;
    // The look before it is answered (late); then the group is made, and nobody hears of it.
    dps.faults().inject(On::EnrollmentGroups, Fault::Slow(Duration::ZERO), 1);
    dps.faults().inject(On::EnrollmentGroups, Fault::ResetAfter, 1);
    let handoff = Uuid::new_v4();
    let allocation = Api::allocated(&api.allocate("sn-1", handoff, &["symmetricKey"]).await);
    let key: SymmetricKeyResponse = api.symmetric_key("sn-1", handoff).await.ok();
    let state = register(&client(&dps.ca_pem), &allocation, Some(device_sas(&allocation, &key.key))).await;
    assert!(state.is_ok());
}

#[tokio::test]
async fn when_dps_refuses_or_is_down_nothing_is_half_made_and_a_rerun_converges() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    api.add("sn-1").await;
    let handoff = Uuid::new_v4();
    for (fault, times) in [
        (Fault::RefuseCredential, 1),
        (Fault::Garbage, 1),
        (Fault::Status { status: 400, retry_after: None }, 1),
        (Fault::Status { status: 503, retry_after: Some(Duration::from_secs(60)) }, 1),
        (Fault::Slow(Duration::from_secs(30)), 10),
    ] {
        dps.faults().inject(On::EnrollmentGroups, fault.clone(), times);
        let answer = api.allocate("sn-1", handoff, &["symmetricKey"]).await;
        answer.refused(502, ProblemCode::DpsUnavailable);
        dps.faults().clear();
        let device: Device = api.get("/v1/devices/sn-1").await.ok();
        assert_eq!((device.lifecycle, device.dps_instance), (Lifecycle::Expected, None), "{fault:?}");
        api.symmetric_key("sn-1", handoff).await.refused(409, ProblemCode::NotAllocated);
    }
    Api::allocated(&api.allocate("sn-1", handoff, &["symmetricKey"]).await);
    assert_eq!(usage(&api).await, [("north".into(), 1)]);
}

#[tokio::test]
async fn a_reservation_that_nobody_was_told_of_goes_elsewhere_when_its_instance_goes_down() {
    let (south, _folder) = emulator().await;
    let limits = |options: &mut provisioning_api::Options| options.limits.dps_budget = Duration::from_millis(300);
    let api = Api::start_with(vec![common::nobody("north"), instance("south", &south)], limits).await;
    api.add("sn-1").await;
    let handoff = Uuid::new_v4();
    api.allocate("sn-1", handoff, &["x509"]).await.refused(502, ProblemCode::DpsUnavailable);
    let down = InstanceConfig { state: InstanceState::Down, ..common::nobody("north") };
    let api = api.restart(vec![down, instance("south", &south)]).await;
    let allocation = Api::allocated(&api.allocate("sn-1", handoff, &["x509"]).await);
    assert_eq!(allocation.dps_instance, "south");
    assert_eq!(usage(&api).await, [("north".into(), 0), ("south".into(), 1)]);
}

#[tokio::test]
async fn the_same_answer_comes_after_a_restart_and_from_a_draining_instance() {
    let (north, _a) = emulator().await;
    let (south, _b) = emulator().await;
    let api = Api::start(vec![instance("north", &north), instance("south", &south)]).await;
    api.add("sn-1").await;
    let handoff = Uuid::new_v4();
    let first = Api::allocated(&api.allocate("sn-1", handoff, &["symmetricKey"]).await);
    let key: SymmetricKeyResponse = api.symmetric_key("sn-1", handoff).await.ok();

    let draining = InstanceConfig { state: InstanceState::Draining, ..instance("north", &north) };
    let api = api.restart(vec![draining, instance("south", &south)]).await;
    assert_eq!(Api::allocated(&api.allocate("sn-1", handoff, &["symmetricKey"]).await), first);
    let again: SymmetricKeyResponse = api.symmetric_key("sn-1", handoff).await.ok();
    assert_eq!(key.key, again.key);
    api.add("sn-2").await;
    assert_eq!(Api::allocated(&api.allocate("sn-2", Uuid::new_v4(), &["x509"]).await).dps_instance, "south");

    let down = InstanceConfig { state: InstanceState::Down, ..instance("north", &north) };
    let api = api.restart(vec![down, instance("south", &south)]).await;
    api.allocate("sn-1", handoff, &["symmetricKey"]).await.refused(409, ProblemCode::NoInstance);
}

#[tokio::test]
async fn a_lost_database_takes_the_groups_key_over_so_that_devices_keep_theirs() {
    let (dps, _folder) = emulator().await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let api = Api::start(vec![instance("north", &dps)]).await;
        api.add("sn-1").await;
        let handoff = Uuid::new_v4();
        Api::allocated(&api.allocate("sn-1", handoff, &["symmetricKey"]).await);
        let key: SymmetricKeyResponse = api.symmetric_key("sn-1", handoff).await.ok();
        keys.push(key.key);
    }
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn an_administrator_moves_a_device_by_naming_its_instance() {
    let (north, _a) = emulator().await;
    let (south, _b) = emulator().await;
    let api = Api::start(vec![instance("north", &north), instance("south", &south)]).await;
    api.add("sn-1").await;
    let handoff = Uuid::new_v4();
    assert_eq!(Api::allocated(&api.allocate("sn-1", handoff, &["x509"]).await).dps_instance, "north");
    api.put("/v1/devices/sn-1", json!({ "dpsInstance": "nowhere" })).await.refused(400, ProblemCode::BadRequest);
    let put = async |etag: Option<&str>, body: Value| {
        let request = api.http.put(format!("{}/v1/devices/sn-1", api.running.url)).bearer_auth(&api.administrator);
        finish(etag.into_iter().fold(request, |request, etag| request.header("if-match", etag)).json(&body)).await
    };
    // It has a place there, which somebody else may have given it since: as for a move, they say what they saw, and why.
    let etag = api.get("/v1/devices/sn-1").await.headers["etag"].to_str().unwrap().to_owned();
    let south = json!({ "dpsInstance": "south", "reason": "the hall was sold" });
    put(None, south.clone()).await.refused(428, ProblemCode::PreconditionRequired);
    put(Some("\"0\""), south.clone()).await.refused(412, ProblemCode::PreconditionFailed);
    put(Some(&etag), json!({ "dpsInstance": "south" })).await.refused(400, ProblemCode::BadRequest);
    put(Some(&etag), json!({ "dpsInstance": "south", "reason": " " })).await.refused(400, ProblemCode::BadRequest);
    let device: Device = put(Some(&etag), south).await.ok();
    let events = api.send(Method::GET, "/v1/devices/sn-1/events?limit=1", Some(&api.administrator), None).await;
    let freed = events.ok::<EventList>().events.remove(0);
    assert_eq!(
        (freed.what.as_str(), freed.reason.as_deref()),
        ("device freed to be allocated anew", Some("the hall was sold"))
    );
    assert_eq!((device.lifecycle, device.dps_instance), (Lifecycle::Expected, None));
    assert_eq!(Api::allocated(&api.allocate("sn-1", handoff, &["x509"]).await).dps_instance, "south");
    assert_eq!(usage(&api).await, [("north".into(), 0), ("south".into(), 1)]);
}

#[tokio::test]
async fn a_dps_with_a_foreign_certificate_is_not_talked_to() {
    let (dps, _a) = emulator().await;
    let (other, _b) = emulator().await;
    let foreign = InstanceConfig { ca_pem: Some(other.ca_pem.clone()), ..instance("north", &dps) };
    let api = Api::start_with(vec![foreign], |options| options.limits.dps_budget = Duration::from_millis(500)).await;
    api.add("sn-1").await;
    api.allocate("sn-1", Uuid::new_v4(), &["x509"]).await.refused(502, ProblemCode::DpsUnavailable);
}

#[tokio::test]
async fn every_change_left_an_event() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    api.add("sn-1").await;
    let handoff = Uuid::new_v4();
    for _ in 0..2 {
        Api::allocated(&api.allocate("sn-1", handoff, &["x509"]).await);
    }
    let _: CertificateResponse = api.certificate("sn-1", handoff, &csr("sn-1").0).await.ok();
    api.assigned("sn-1", handoff).await.done();
    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    let events: Vec<(String, String)> =
        sqlx::query_as("SELECT what, who FROM events WHERE device_key = 'sn-1' ORDER BY id")
            .fetch_all(&db)
            .await
            .unwrap();
    let what: Vec<_> = events.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(
        what,
        ["device added", "taken for a work order", "instance reserved", "allocated", "certificate issued", "assigned"]
    );
    assert!(events[1..].iter().all(|(_, who)| who.starts_with("Ida (")), "{events:?}");
}

#[tokio::test]
async fn an_allocated_devices_hand_off_is_signed_and_the_signature_is_recorded() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    api.add("sn-1").await;
    let handoff = Uuid::new_v4();
    let (nonce, digest) = ([7; 32], [9; 32]);
    let path = "/v1/devices/SN-1/owner-signature";
    let stage = json!({ "handoffId": handoff, "operation": "stage", "nonce": STANDARD.encode(nonce), "digest": STANDARD.encode(digest) });
    api.post(path, stage.clone()).await.refused(409, ProblemCode::NotAllocated);
    let allocation = Api::allocated(&api.allocate("sn-1", handoff, &["x509"]).await);

    let before = jiff::Timestamp::now();
    let answer: OwnerSignatureResponse = api.post(path, stage.clone()).await.ok();
    assert_eq!(allocation.owner_public_key.as_ref(), Some(&answer.owner_public_key));
    assert_eq!(answer.expires.subsec_nanosecond(), 0);
    let left = answer.expires.duration_since(before).as_secs();
    assert!((598..=600).contains(&left), "{left} s");
    let expires = answer.expires.as_second().to_be_bytes();
    // The app gave no more than nonce and digest: the rest is what the API allocated.
    let field = |bytes: &[u8]| [u16::try_from(bytes.len()).unwrap().to_be_bytes().as_slice(), bytes].concat();
    let roots: Vec<u8> = CertificateDer::pem_slice_iter(allocation.endpoint_ca.as_deref().unwrap().as_bytes())
        .flat_map(|root| Sha256::digest(root.unwrap()))
        .collect();
    assert_eq!(roots.len(), 32);
    let signed = [
        b"lowtouch dps-config v1 stage\0".as_slice(),
        &field(b"sn-1"),
        handoff.as_bytes(),
        &nonce,
        &digest,
        &field(allocation.id_scope.as_bytes()),
        &field(allocation.global_device_endpoint.as_bytes()),
        &field(&roots),
        &field(b""),
        &expires,
    ]
    .concat();
    let holds = |signature: &str, message: &[u8]| {
        let spki = STANDARD.decode(&answer.owner_public_key).unwrap();
        ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, &spki[26..])
            .verify(message, &STANDARD.decode(signature).unwrap())
            .is_ok()
    };
    assert!(holds(&answer.signature, &signed));

    let reset = json!({ "handoffId": handoff, "operation": "reset", "nonce": STANDARD.encode(nonce) });
    let answer: OwnerSignatureResponse = api.post(path, reset.clone()).await.ok();
    let expires = answer.expires.as_second().to_be_bytes();
    let signed = [b"lowtouch dps-config v1 reset\0".as_slice(), &field(b"sn-1"), &nonce, &expires].concat();
    assert!(holds(&answer.signature, &signed));
    // A reset is a job of its own, and waits for a hand-off that is under way.
    let another = json!({ "handoffId": Uuid::new_v4(), "operation": "reset", "nonce": STANDARD.encode(nonce) });
    api.post(path, another.clone()).await.refused(409, ProblemCode::HandoffConflict);
    api.assigned("sn-1", handoff).await.done();
    let _: OwnerSignatureResponse = api.post(path, another).await.ok();

    let with = |body: &serde_json::Value, name: &str, value: serde_json::Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };
    for wrong in [
        with(&stage, "nonce", json!(STANDARD.encode([7; 31]))),
        with(&stage, "digest", json!("no base64")),
        with(&stage, "digest", json!(null)),
        with(&reset, "digest", json!(STANDARD.encode(digest))),
        with(&reset, "operation", json!("transfer")),
    ] {
        api.post(path, wrong).await.refused(400, ProblemCode::BadRequest);
    }
    api.post(path, with(&stage, "handoffId", json!(Uuid::new_v4()))).await.refused(409, ProblemCode::HandoffConflict);
    api.post("/v1/devices/sn-2/owner-signature", stage.clone()).await.refused(404, ProblemCode::DeviceUnknown);
    api.send(Method::POST, path, None, Some(stage)).await.refused(401, ProblemCode::Unauthenticated);

    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    let events: Vec<(String, String)> =
        sqlx::query_as("SELECT who, detail FROM events WHERE what = 'owner''s signature given' ORDER BY id")
            .fetch_all(&db)
            .await
            .unwrap();
    assert_eq!(events.len(), 3, "only what was signed: {events:?}");
    assert!(events[0].0.starts_with("Ida ("));
    let detail: serde_json::Value = serde_json::from_str(&events[0].1).unwrap();
    assert_eq!((&detail["operation"], &detail["digest"]), (&json!("stage"), &json!("09".repeat(32))));
}

#[tokio::test]
async fn the_owner_is_the_same_after_a_restart_and_another_one_in_another_installation() {
    let (dps, _folder) = emulator().await;
    let mut owners = Vec::new();
    let mut api = Api::start(vec![instance("north", &dps)]).await;
    api.add("sn-1").await;
    for _ in 0..2 {
        let allocation = Api::allocated(&api.allocate("sn-1", Uuid::nil(), &["x509"]).await);
        owners.push(allocation.owner_public_key.unwrap());
        api = api.restart(vec![instance("north", &dps)]).await;
    }
    let other = Api::start(vec![instance("north", &dps)]).await;
    other.add("sn-1").await;
    let theirs = Api::allocated(&other.allocate("sn-1", Uuid::nil(), &["x509"]).await).owner_public_key.unwrap();
    assert_eq!(owners[0], owners[1]);
    assert_ne!(owners[0], theirs);
}

/// Which instance has how many, by name, as an administrator sees it.
async fn usage(api: &Api) -> Vec<(String, u64)> {
    let token = api.running.issue_token(Role::Administrator, "usage").await.unwrap();
    let list: InstanceList = api.send(Method::GET, "/v1/instances", Some(token.expose_secret()), None).await.ok();
    list.instances.into_iter().map(|instance| (instance.name, instance.allocated)).collect()
}
