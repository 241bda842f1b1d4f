//! The real process, killed in the middle of its work (SIGKILL) and started again on its files: nothing is lost, nothing is
//! done twice, and the record of events is whole.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;
#[path = "common/service.rs"]
mod service;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use common::{client, csr, emulator, finish};
use futures::StreamExt as _;
use provisioning_api_contract::{
    Allocation, BulkReport, CertificateResponse, Device, ImportReport, ImportState, Lifecycle,
};
use reqwest::Method;
use serde_json::{Value, json};
use service::Service;
use uuid::Uuid;

const ROWS: i64 = 8000;

#[tokio::test]
async fn an_import_that_is_killed_goes_on_where_it_was_and_brings_each_device_once() {
    let (dps, _dps_folder) = emulator().await;
    let mut service = Service::start(&[("north", &dps)]).await;
    let rows: String = (0..ROWS).map(|number| format!("sn-{number:05},pump\n")).collect();
    let (file, id) = (format!("registrationId,model\n{rows}"), Uuid::new_v4().to_string());
    let upload = |service: &Service| {
        let request = service.request(Method::POST, "/v1/imports?schedule=true").header("idempotency-key", &id);
        request.header("content-type", "text/csv").body(file.clone())
    };
    // Between two batches, or in the middle of one, as it comes.
    for least in [1, 1000, 2500, 4000, 6000] {
        let going = tokio::spawn(upload(&service).send());
        service.reaches("SELECT COALESCE(MAX(committed_rows), 0) FROM imports", least).await;
        service.kill();
        assert!(going.await.unwrap().is_err(), "it was done before it was killed");
        let committed = service.count("SELECT committed_rows FROM imports").await;
        assert_eq!(committed % 1000, 0, "a batch is wholly in or not at all");
        assert_eq!(service.count("SELECT COUNT(*) FROM devices").await, committed);
        service.start_again();
        service.events_are_whole().await;
    }
    let report: ImportReport = finish(upload(&service)).await.ok();
    assert_eq!((report.state, report.added, report.bad_rows), (ImportState::Complete, ROWS as u64, 0));
    assert_eq!(report.schedule.unwrap().scheduled, ROWS as u64);
    assert_eq!(service.count("SELECT COUNT(*) FROM devices WHERE starts_at IS NOT NULL").await, ROWS);
    assert_eq!(service.count("SELECT COUNT(DISTINCT starts_at) FROM devices").await, ROWS, "a slot twice");
    assert!(service.count("SELECT MAX(taken) FROM slots").await <= 1000);
    assert_eq!(service.count("SELECT allocated FROM instances").await, ROWS);
    assert_eq!(service.count("SELECT COUNT(*) FROM events WHERE what = 'device added'").await, ROWS);
    assert_eq!(service.count("SELECT COUNT(DISTINCT device_key) FROM events WHERE what = 'device added'").await, ROWS);
    service.events_are_whole().await;
}

async fn pair(service: &Service, id: &str) {
    let handoff = Uuid::new_v4();
    let path = |what: &str| format!("/v1/devices/{id}/{what}");
    let body = json!({ "handoffId": handoff, "attestations": ["symmetricKey"] });
    service.post(&path("allocation"), body).await.unwrap().ok::<Allocation>();
    assert!(service.post(&path("symmetric-key"), json!({ "handoffId": handoff })).await.unwrap().status.is_success());
    let outcome = json!({ "status": "assigned", "assignedHub": "hub-1", "deviceId": id });
    service.post(&path("outcome"), json!({ "handoffId": handoff, "outcome": outcome })).await.unwrap().done();
}

async fn at_dps(dps: &azure_emulator::Running, id: &str) -> Option<Value> {
    let token = common::sas("127.0.0.1", &dps.service_key, "provisioningserviceowner");
    let url = format!("{}/enrollments/{id}?api-version=2021-10-01", dps.url());
    let answer = finish(client(&dps.ca_pem).get(url).header("authorization", token)).await;
    answer.status.is_success().then(|| answer.ok())
}

#[tokio::test]
async fn what_is_to_be_done_at_dps_is_done_in_the_end_and_recorded_once_however_often_the_service_is_killed() {
    let (north, _north_folder) = emulator().await;
    let (south, _south_folder) = emulator().await;
    let mut service = Service::start(&[("north", &north), ("south", &south)]).await;
    let names = |kind: &str| (0..8).map(|number| format!("{kind}-{number}")).collect::<Vec<_>>();
    for id in [names("gone"), names("moved"), names("kept")].concat() {
        let put = service.request(Method::PUT, &format!("/v1/devices/{id}")).json(&json!({ "dpsInstance": "north" }));
        assert!(finish(put).await.status.is_success());
        pair(&service, &id).await;
    }
    let bulk = |operation: &str, kind: &str| {
        let mut body = json!({ "operation": operation, "reason": "x", "expected": 8, "select": { "registrationIds": names(kind) } });
        if operation == "move" {
            body["dpsInstance"] = "south".into();
        }
        body
    };
    let done: BulkReport = service.post("/v1/bulk-changes", bulk("decommission", "gone")).await.unwrap().ok();
    assert_eq!(done.changed, 8);
    let done: BulkReport = service.post("/v1/bulk-changes", bulk("move", "moved")).await.unwrap().ok();
    assert_eq!(done.changed, 8);
    for id in names("kept") {
        let body = json!({ "policy": "keepData", "reason": "x" });
        assert!(service.post(&format!("/v1/devices/{id}/reprovision"), body).await.unwrap().status.is_success());
    }
    // What was moved is removed at the old place once it is assigned at the new one.
    for id in names("moved") {
        pair(&service, &id).await;
    }
    const DONE: &str = "SELECT COUNT(*) FROM outbox WHERE done_at IS NOT NULL";
    for least in [1, 5, 9, 14, 20] {
        service.reaches(DONE, least).await;
        service.kill();
        // A task that it was at is its until a minute is over; nobody waits for that here.
        sqlx::query("UPDATE outbox SET taken_until = 0").execute(&service.database).await.unwrap();
        service.start_again();
        service.events_are_whole().await;
    }
    service.reaches(DONE, 24).await;
    assert_eq!(service.count("SELECT COUNT(*) FROM outbox").await, 24);
    for id in names("gone") {
        assert_eq!(at_dps(&north, &id).await.unwrap()["provisioningStatus"], "disabled", "{id}");
    }
    for id in names("moved") {
        assert!(at_dps(&north, &id).await.is_none(), "{id}");
    }
    for id in names("kept") {
        assert_eq!(at_dps(&north, &id).await.unwrap()["reprovisionPolicy"]["migrateDeviceData"], false, "{id}");
    }
    const TOLD: &str = "SELECT COUNT(*) FROM events WHERE what IN
        ('barred at DPS', 'registration removed at DPS', 'reprovisioning policy set at DPS')";
    assert_eq!(service.count(TOLD).await, 24, "each is recorded once");
    service.events_are_whole().await;
}

const PAIRED: usize = 40;

#[tokio::test]
async fn a_pairing_that_goes_on_after_a_kill_gets_the_same_place_and_the_same_certificate() {
    let (north, _north_folder) = emulator().await;
    let (south, _south_folder) = emulator().await;
    let mut service = Service::start(&[("north", &north), ("south", &south)]).await;
    let pairings: Vec<_> = (0..PAIRED)
        .map(|number| {
            let id = format!("sn-{number}");
            let (request, _) = csr(&id);
            (id, Uuid::new_v4(), request)
        })
        .collect();
    for (id, ..) in &pairings {
        let put = service.request(Method::PUT, &format!("/v1/devices/{id}")).json(&json!({}));
        assert!(finish(put).await.status.is_success());
    }
    // What each was told so far: it must not change.
    let mut told: Vec<(Option<Allocation>, Option<CertificateResponse>, bool)> = vec![(None, None, false); PAIRED];
    let mut round = 0;
    while told.iter().any(|(.., ended)| !ended) {
        round += 1;
        assert!(round < 20, "it comes to no end");
        // Killed while four of them are at it: after ever more certificates, and before the first answer.
        let asks = futures::stream::iter(pairings.iter().zip(told.clone())).map(|((id, handoff, request), told)| {
            let service = &service;
            async move {
                let path = |what: &str| format!("/v1/devices/{id}/{what}");
                let (mut place, mut certificate, ended) = told;
                if ended {
                    return (place, certificate, true);
                }
                let body = json!({ "handoffId": handoff, "attestations": ["x509"] });
                let Ok(answer) = service.post(&path("allocation"), body).await else {
                    return (place, certificate, false);
                };
                let now: Allocation = answer.ok();
                assert_eq!(place.get_or_insert_with(|| now.clone()), &now, "{id} is elsewhere");
                let body = json!({ "handoffId": handoff, "csr": request });
                let Ok(answer) = service.post(&path("certificate"), body).await else {
                    return (place, certificate, false);
                };
                let now: CertificateResponse = answer.ok();
                assert_eq!(certificate.get_or_insert_with(|| now.clone()), &now, "{id} has another certificate");
                let outcome = json!({ "status": "assigned", "assignedHub": "hub-1", "deviceId": id });
                let body = json!({ "handoffId": handoff, "outcome": outcome });
                let Ok(answer) = service.post(&path("outcome"), body).await else { return (place, certificate, false) };
                answer.done();
                (place, certificate, true)
            }
        });
        let all = asks.buffered(4).collect::<Vec<_>>();
        let killed = async {
            let least = [0, 3, 8, 15, 24, 33].get(round - 1)?;
            service.reaches("SELECT COUNT(*) FROM certificates", *least).await;
            let pid = service.child.id().to_string();
            // By hand: the process belongs to the struct that the requests borrow.
            assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
            Some(())
        };
        let (all, was_killed) = tokio::join!(all, killed);
        told = all;
        if was_killed.is_some() {
            assert_eq!(service.child.wait().unwrap().signal(), Some(9));
            service.start_again();
            service.events_are_whole().await;
        }
    }
    for (id, ..) in &pairings {
        let device: Device = finish(service.request(Method::GET, &format!("/v1/devices/{id}"))).await.ok();
        assert_eq!(device.lifecycle, Lifecycle::Assigned, "{id}");
    }
    let places: BTreeSet<_> = told.iter().map(|(place, ..)| &place.as_ref().unwrap().dps_instance).collect();
    assert_eq!(places.len(), 2);
    let paired = PAIRED as i64;
    assert_eq!(service.count("SELECT CAST(SUM(allocated) AS BIGINT) FROM instances").await, paired);
    assert_eq!(service.count("SELECT COUNT(*) FROM certificates").await, paired, "one for each");
    for what in ["certificate issued", "assigned", "instance reserved"] {
        let found: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM events WHERE what = $1")
            .bind(what)
            .fetch_one(&service.database)
            .await
            .unwrap();
        assert_eq!(found, paired, "{what}");
    }
    service.events_are_whole().await;
}
