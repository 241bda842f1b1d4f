//! Two real processes on one database: what one alone promises, they promise together.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;
#[path = "common/service.rs"]
mod service;

use std::collections::BTreeSet;

use common::{Answer, Api, any_devices, database, emulator, finish};
use futures::StreamExt as _;
use provisioning_api::{Office, Role};
use provisioning_api_contract::{BulkReport, ImportReport};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use service::Service;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The first process and another one.
async fn two(dps: &azure_emulator::Running, lines: &str) -> [Service; 2] {
    let one = Service::start_with(&[("north", dps), ("south", dps)], lines).await;
    let other = one.beside().await;
    [one, other]
}

async fn add(service: &Service, id: &str, body: Value) {
    let put = service.request(Method::PUT, &format!("/v1/devices/{id}")).json(&body);
    assert!(finish(put).await.status.is_success());
}

/// Asks as the holder of this token.
async fn allocate(service: &Service, token: &str, id: &str, handoff: Uuid) -> Answer {
    let body = json!({ "handoffId": handoff, "attestations": ["symmetricKey"] });
    let url = format!("{}/v1/devices/{id}/allocation", service.url);
    finish(service.http.post(url).bearer_auth(token).json(&body)).await
}

#[tokio::test]
#[ignore = "cargo xtask test postgres"]
async fn two_replicas_give_a_device_one_place_and_no_instance_more_devices_than_it_may_have() {
    let (dps, _folder) = emulator().await;
    let both = two(&dps, "capacity = 12").await;
    for number in 0..30 {
        add(&both[0], &format!("sn-{number}"), json!({})).await;
    }
    let both = &both;
    let asks = (0..30).map(|number| async move {
        let (id, handoff, token) = (format!("sn-{number}"), Uuid::new_v4(), &both[0].token);
        let (one, other) =
            tokio::join!(allocate(&both[0], token, &id, handoff), allocate(&both[1], token, &id, handoff));
        assert_eq!(one.status, other.status, "{id}");
        if !one.status.is_success() {
            return None;
        }
        let place = Api::allocated(&one).dps_instance;
        assert_eq!(place, Api::allocated(&other).dps_instance, "{id} has two places");
        Some(place)
    });
    let places: Vec<_> = futures::stream::iter(asks).buffer_unordered(8).collect().await;
    let given: Vec<_> = places.into_iter().flatten().collect();
    assert_eq!(given.len(), 24);
    for instance in ["north", "south"] {
        assert_eq!(given.iter().filter(|place| *place == instance).count(), 12);
    }
    assert_eq!(both[0].count("SELECT MAX(allocated) FROM instances").await, 12);
    both[0].events_are_whole().await;
}

#[tokio::test]
#[ignore = "cargo xtask test postgres"]
async fn an_order_of_at_most_n_is_n_over_all_replicas() {
    let (dps, _folder) = emulator().await;
    let both = two(&dps, "").await;
    for number in 0..20 {
        add(&both[0], &format!("sn-{number}"), json!({})).await;
    }
    let office = Office::open(&database::url(both[0].folder.path())).await.unwrap();
    let (_, token) = office.issue_token(Role::Installer, "Ida", 1).await.unwrap();
    office.open_order("Ida", None, any_devices(7)).await.unwrap();
    office.close().await;
    let (both, token) = (&both, token.expose_secret());
    let asks = (0..20_usize).map(|number| async move {
        allocate(&both[number % 2], token, &format!("sn-{number}"), Uuid::new_v4()).await.status.is_success()
    });
    let done: Vec<_> = futures::stream::iter(asks).buffer_unordered(8).collect().await;
    assert_eq!(done.into_iter().filter(|done| *done).count(), 7);
    assert_eq!(both[0].count("SELECT taken FROM work_orders").await, 7);
    both[1].events_are_whole().await;
}

#[tokio::test]
#[ignore = "cargo xtask test postgres"]
async fn two_imports_at_two_replicas_share_the_minutes_of_a_schedule() {
    let (dps, _folder) = emulator().await;
    let both = two(&dps, "registrations_per_minute = 50").await;
    let upload = |service: &Service, from: u32| {
        let rows: String = (from..from + 400).map(|number| format!("sn-{number},pump\n")).collect();
        let request = service.request(Method::POST, "/v1/imports?schedule=true").header("content-type", "text/csv");
        request.header("idempotency-key", Uuid::new_v4().to_string()).body(format!("registrationId,model\n{rows}"))
    };
    let (one, other) = tokio::join!(finish(upload(&both[0], 0)), finish(upload(&both[1], 1000)));
    for report in [one, other] {
        assert_eq!(report.ok::<ImportReport>().schedule.unwrap().scheduled, 400);
    }
    assert_eq!(both[0].count("SELECT MAX(taken) FROM slots").await, 50);
    let given = "SELECT COUNT(*) FROM (SELECT DISTINCT slot_instance, starts_at FROM devices WHERE starts_at IS NOT NULL) AS one";
    assert_eq!(both[0].count(given).await, 800, "a slot twice");
    both[0].events_are_whole().await;
}

#[tokio::test]
#[ignore = "cargo xtask test postgres"]
async fn what_a_killed_replica_left_to_do_at_dps_the_other_one_does_once() {
    let (dps, _folder) = emulator().await;
    let mut both = two(&dps, "").await;
    let ids: Vec<_> = (0..24).map(|number| format!("sn-{number}")).collect();
    for id in &ids {
        add(&both[0], id, json!({ "dpsInstance": "north" })).await;
        allocate(&both[1], &both[0].token, id, Uuid::new_v4()).await.ok::<Value>();
    }
    let body =
        json!({ "operation": "decommission", "reason": "x", "expected": 24, "select": { "registrationIds": ids } });
    let done: BulkReport = both[0].post("/v1/bulk-changes", body).await.unwrap().ok();
    assert_eq!(done.changed, 24);
    const DONE: &str = "SELECT COUNT(*) FROM outbox WHERE done_at IS NOT NULL";
    both[1].reaches(DONE, 4).await;
    both[0].kill();
    // What it was at is its until a minute is over; nobody waits for that here.
    sqlx::query("UPDATE outbox SET taken_until = 0 WHERE done_at IS NULL").execute(&both[1].database).await.unwrap();
    both[1].reaches(DONE, 24).await;
    assert_eq!(both[1].count("SELECT COUNT(*) FROM outbox").await, 24);
    assert_eq!(both[1].count("SELECT COUNT(*) FROM events WHERE what = 'barred at DPS'").await, 24);
    assert_eq!(both[1].count("SELECT COUNT(DISTINCT device_key) FROM events WHERE what = 'barred at DPS'").await, 24);
    both[1].events_are_whole().await;
}

#[tokio::test]
#[ignore = "cargo xtask test postgres"]
async fn two_replicas_together_ask_an_instance_no_more_than_it_may_be_asked() {
    const PER_MINUTE: f64 = 1200.0;
    let (dps, _folder) = emulator().await;
    let both = two(&dps, "operations_per_minute = 1200").await;
    let handoff = Uuid::new_v4();
    add(&both[0], "sn-1", json!({ "dpsInstance": "north" })).await;
    allocate(&both[0], &both[0].token, "sn-1", handoff).await.ok::<Value>();
    let (both, from, begun) = (&both, dps.seen().len(), std::time::Instant::now());
    let asks = (0..400_usize).map(|number| async move {
        finish(both[number % 2].request(Method::GET, "/v1/devices/sn-1?dps=true")).await.status.is_success()
    });
    let done: Vec<_> = futures::stream::iter(asks).buffer_unordered(64).collect().await;
    let (asked, seconds) = ((dps.seen().len() - from) as f64, begun.elapsed().as_secs_f64());
    // A tenth at once and the rest evenly, both together: so no minute has more.
    let may = PER_MINUTE * 0.1 + PER_MINUTE * 0.9 * seconds / 60.0;
    assert!(asked <= may + 1.0, "{asked} in {seconds} s, and {may} are allowed");
    assert!(done.iter().filter(|done| **done).count() >= 100, "hardly anybody was answered: {asked}");
}

async fn form(service: &Service, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = service.http.post(format!("{}{path}", service.url)).body(body);
    finish(request.header("content-type", "application/x-www-form-urlencoded")).await
}

#[tokio::test]
#[ignore = "cargo xtask test postgres"]
async fn two_successors_of_one_refresh_token_that_are_used_at_two_replicas_end_the_sign_in() {
    use base64::Engine as _;
    let (dps, _folder) = emulator().await;
    let both = two(&dps, "").await;
    let office = Office::open(&database::url(both[0].folder.path())).await.unwrap();
    let (_, invite, _) = office.invite(Role::Installer, "Ida", None, 15).await.unwrap();
    office.close().await;
    let verifier = "a-verifier-of-this-test-that-is-long-enough-for-rfc-7636";
    let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let (client, challenge) = (("client_id", "lowtouch"), ("code_challenge", challenge.as_str()));
    let fields = [client, ("invite", invite.expose_secret()), challenge, ("code_challenge_method", "S256")];
    let code: Value = form(&both[0], "/oauth/invite", &fields).await.ok();
    let grant = ("grant_type", "authorization_code");
    let fields = [client, grant, ("code", code["code"].as_str().unwrap()), ("code_verifier", verifier)];
    let first: Value = form(&both[1], "/oauth/token", &fields).await.ok();
    let refresh = async |service: &Service, token: &str| {
        let fields = [client, ("grant_type", "refresh_token"), ("refresh_token", token)];
        form(service, "/oauth/token", &fields).await
    };
    // Both answer: to them it is an app that lost the first answer. One of the successors is void.
    let token = first["refresh_token"].as_str().unwrap();
    let (one, other) = tokio::join!(refresh(&both[0], token), refresh(&both[1], token));
    let successors: Vec<String> =
        [one, other].iter().map(|answer| answer.ok::<Value>()["refresh_token"].as_str().unwrap().to_owned()).collect();
    assert_eq!(successors.iter().collect::<BTreeSet<_>>().len(), 2);
    let (one, other) = tokio::join!(refresh(&both[0], &successors[0]), refresh(&both[1], &successors[1]));
    let answers = [one, other];
    assert!(answers.iter().any(|answer| answer.status == 400), "both successors were taken");
    // Whoever came first has nothing of it now: somebody had a copy.
    for answer in answers.iter().filter(|answer| answer.status.is_success()) {
        let token = answer.ok::<Value>()["refresh_token"].as_str().unwrap().to_owned();
        assert_eq!(refresh(&both[0], &token).await.status, 400);
    }
    assert_eq!(both[0].count("SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL").await, 0);
    both[1].events_are_whole().await;
}
