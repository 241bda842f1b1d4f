//! Files of devices: what comes in, what does not, and how it goes on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::time::{Duration, Instant};

use axum::body::Bytes;
use common::{Answer, Api, nobody};
use http_body_util::StreamBody;
use hyper::body::Frame;
use provisioning_api::{Office, Role};
use provisioning_api_contract::{
    EventList, ImportProblemCode, ImportProblemList, ImportReport, ImportState, ProblemCode,
};
use reqwest::Body;
use secrecy::ExposeSecret as _;
use uuid::Uuid;

struct Importer<'a> {
    api: &'a Api,
    token: String,
}

impl<'a> Importer<'a> {
    fn new(api: &'a Api) -> Self {
        Self { api, token: api.administrator.clone() }
    }

    async fn of_tenant(api: &'a Api, tenant: &str) -> Self {
        Self { api, token: administrator(api, tenant).await }
    }

    async fn send(&self, id: Uuid, query: &str, kind: &str, body: impl Into<Body>) -> Answer {
        let url = format!("{}/v1/imports{query}", self.api.running.url);
        let request = self.api.http.post(url).bearer_auth(&self.token).header("idempotency-key", id.to_string());
        common::finish(request.header("content-type", kind).body(body)).await
    }

    async fn csv(&self, id: Uuid, text: impl Into<String>) -> ImportReport {
        self.send(id, "", "text/csv", text.into()).await.ok()
    }
}

async fn administrator(api: &Api, tenant: &str) -> String {
    let office = api.running.office();
    office.add_tenant(tenant).await.unwrap();
    let issued = office.issue_tenant_token(Role::Administrator, tenant, tenant, 1).await.unwrap();
    issued.1.expose_secret().to_owned()
}

fn rows(numbers: std::ops::Range<u32>) -> String {
    let rows = numbers.map(|number| format!("SN-{number},pump,symmetricKey\n"));
    format!("registrationId,model,attestation\n{}", rows.collect::<String>())
}

/// A body in pieces.
fn parts<const N: usize>(
    parts: [std::io::Result<String>; N],
) -> impl futures::Stream<Item = std::io::Result<Frame<Bytes>>> + Send + Sync {
    futures::stream::iter(parts.map(|part| part.map(|text| Frame::data(Bytes::from(text)))))
}

fn codes(report: &ImportReport) -> Vec<(u64, &str, ImportProblemCode)> {
    report.problems.iter().map(|problem| (problem.row, problem.column.as_str(), problem.code)).collect()
}

#[tokio::test]
async fn a_file_comes_in_as_csv_and_as_json_lines_and_once_only() {
    let api = Api::start(vec![nobody("north")]).await;
    let (importer, id) = (Importer::new(&api), Uuid::new_v4());
    let file = "registrationId,model,attestation,region,ring,dpsInstance,site\nSN-1,pump,x509,eu,test,north,Hall 1\nsn-2,,,,,,\n";
    let report = importer.csv(id, file).await;
    assert_eq!((report.state, report.added, report.committed_rows, report.bad_rows), (ImportState::Complete, 2, 2, 0));
    let device: serde_json::Value =
        api.send(reqwest::Method::GET, "/v1/devices/sn-1", Some(&api.administrator), None).await.ok();
    assert_eq!(device["registrationId"], "SN-1");
    for (field, value) in [("model", "pump"), ("region", "eu"), ("ring", "test"), ("site", "Hall 1")] {
        assert_eq!(device[field], value);
    }
    // The same again changes nothing, and says the same.
    assert_eq!(importer.csv(id, file).await, report);
    // Under another ID, and written otherwise: all there already.
    let lines = "{\"registrationId\":\"SN-1\",\"ring\":\"test\"}\n{\"registrationId\":\"SN-2\"}\n{\"registrationId\":\"SN-3\"}\n";
    let other = Uuid::new_v4();
    let report: ImportReport = importer.send(other, "", "application/jsonl", lines).await.ok();
    assert_eq!((report.state, report.added, report.already_there), (ImportState::Complete, 1, 2));
    // Looked up later, and each device has its event.
    let path = format!("/v1/imports/{other}");
    let seen: ImportReport = api.send(reqwest::Method::GET, &path, Some(&api.administrator), None).await.ok();
    assert_eq!((seen.rows, seen.added, seen.state), (3, 1, ImportState::Complete));
    let events = api.send(reqwest::Method::GET, "/v1/devices/sn-3/events", Some(&api.administrator), None).await;
    let events: EventList = events.ok();
    assert_eq!(events.events[0].what, "device added");
    assert_eq!(events.events[0].detail.as_ref().unwrap()["import"], other.to_string());
    assert_eq!(api.running.office().verify_events(None, None).await.unwrap().fault, None);
}

#[tokio::test]
async fn every_bad_row_is_told_its_batch_stays_out_and_the_mended_file_goes_on() {
    let api = Api::start(vec![nobody("north")]).await;
    let (importer, id) = (Importer::new(&api), Uuid::new_v4());
    let bad =
        "bad id,pump,x509\nSN-5001,pump,paper\nSN-1,valve,symmetricKey\nSN-5002,pump\nSN-2500,pump,x509\n,pump,\n";
    let (good, more) = (rows(0..2500), "SN-6000,pump,x509\n");
    let report = importer.csv(id, format!("{good}{bad}{more}")).await;
    assert_eq!((report.state, report.committed_rows, report.bad_rows), (ImportState::Open, 2000, 5));
    assert_eq!(
        codes(&report),
        [
            (2501, "registrationId", ImportProblemCode::RegistrationId),
            (2502, "attestation", ImportProblemCode::UnknownValue),
            (2504, "", ImportProblemCode::WrongNumberOfValues),
            (2506, "registrationId", ImportProblemCode::Missing),
            (2503, "registrationId", ImportProblemCode::DuplicateInFile),
        ]
    );
    assert_eq!(report.problems[0].line, 2502);
    let list = format!("/v1/imports/{id}/problems?limit=2");
    let page: ImportProblemList = api.send(reqwest::Method::GET, &list, Some(&api.administrator), None).await.ok();
    assert_eq!(page.problems.iter().map(|problem| problem.row).collect::<Vec<_>>(), [2501, 2502]);
    let next = format!("{list}&cursor={}", page.next.unwrap());
    let page: ImportProblemList = api.send(reqwest::Method::GET, &next, Some(&api.administrator), None).await.ok();
    assert_eq!(page.problems.iter().map(|problem| problem.row).collect::<Vec<_>>(), [2503, 2504]);

    // Mended behind what is committed: it goes on. The first 2,000 rows are passed over.
    let mended = format!("{good}SN-5001,pump,x509\n{more}");
    let report = importer.csv(id, mended.clone()).await;
    assert_eq!((report.state, report.committed_rows, report.added), (ImportState::Complete, 2502, 2502));
    // Changed before it, cut, or longer than what was finished: another file.
    for changed in [mended.replacen("SN-7,pump", "SN-7,valve", 1), rows(0..2000), format!("{mended}SN-9,pump,x509\n")] {
        let refused = importer.send(id, "", "text/csv", changed).await;
        refused.refused(409, ProblemCode::ImportConflict);
    }
}

#[tokio::test]
async fn the_same_device_twice_is_fine_with_the_same_values_and_bad_with_others() {
    let api = Api::start(vec![nobody("north")]).await;
    let importer = Importer::new(&api);
    let same = "registrationId,model\nSN-1,pump\nsn-1,pump\n".replace("sn-1", "SN-1");
    let report = importer.csv(Uuid::new_v4(), same).await;
    assert_eq!((report.added, report.already_there, report.state), (1, 1, ImportState::Complete));
    // Within one batch, and against the inventory.
    let report = importer.csv(Uuid::new_v4(), "registrationId,model\nSN-2,pump\nSN-2,valve\nSN-1,valve\n").await;
    assert_eq!(
        codes(&report),
        [
            (2, "registrationId", ImportProblemCode::DuplicateInFile),
            (3, "model", ImportProblemCode::DifferentInInventory),
        ]
    );
    assert_eq!((report.committed_rows, report.added), (0, 0));
    // In another batch of the same file: still the file, not the inventory.
    let file = format!("{}SN-3,valve,symmetricKey\n", rows(3..1503));
    let report = importer.csv(Uuid::new_v4(), file).await;
    assert_eq!(codes(&report), [(1501, "registrationId", ImportProblemCode::DuplicateInFile)]);
    assert!(report.problems[0].text.contains("row 1 "), "{}", report.problems[0].text);
}

#[tokio::test]
async fn another_tenants_devices_and_imports_are_as_if_they_were_not_there() {
    let api = Api::start(vec![nobody("north")]).await;
    let (north, south) = (Importer::of_tenant(&api, "north").await, Importer::of_tenant(&api, "south").await);
    assert_eq!(north.csv(Uuid::new_v4(), "registrationId,model\nSN-1,pump\n").await.added, 1);
    // With the same values or others.
    let id = Uuid::new_v4();
    let report = south.csv(id, "registrationId,model\nsn-1,valve\nsn-2,valve\n").await;
    assert_eq!((report.added, report.already_there, report.problems), (2, 0, vec![]));
    // Nor are imports of others.
    let path = format!("/v1/imports/{id}");
    let foreign = api.send(reqwest::Method::GET, &path, Some(&north.token), None).await;
    foreign.refused(404, ProblemCode::ImportUnknown);
    let own: ImportReport = north.send(id, "", "text/csv", "registrationId\nSN-9\n").await.ok();
    assert_eq!((own.added, own.tenant.as_str()), (1, "north"));
    let seen: ImportReport = api.send(reqwest::Method::GET, &path, Some(&south.token), None).await.ok();
    assert_eq!((seen.added, seen.tenant.as_str()), (2, "south"));
    // Whoever sees both says which.
    let both = api.send(reqwest::Method::GET, &path, Some(&api.administrator), None).await;
    both.refused(400, ProblemCode::BadRequest);
    let path = format!("{path}?tenant=north");
    let seen: ImportReport = api.send(reqwest::Method::GET, &path, Some(&api.administrator), None).await.ok();
    assert_eq!(seen.tenant, "north");
    north.send(id, "?tenant=south", "text/csv", "registrationId\nSN-9\n").await.refused(403, ProblemCode::Forbidden);
    let nobodys = Importer::new(&api).send(Uuid::new_v4(), "?tenant=none", "text/csv", "registrationId\nSN-9\n").await;
    nobodys.refused(400, ProblemCode::BadRequest);
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_keeps_nothing() {
    let api = Api::start(vec![nobody("north")]).await;
    let (importer, id) = (Importer::new(&api), Uuid::new_v4());
    let file = "registrationId,model\nSN-1,pump\nSN-1,pump\nSN-2,pump\nSN-2,valve\nbad id,x\n";
    let report: ImportReport = importer.send(id, "?dryRun=true", "text/csv", file).await.ok();
    assert!(report.dry_run);
    assert_eq!((report.rows, report.bad_rows, report.committed_rows), (5, 2, 0));
    assert_eq!((report.added, report.already_there), (2, 1));
    assert!(api.running.office().devices("", 10).await.unwrap().is_empty());
    let path = format!("/v1/imports/{id}");
    let none = api.send(reqwest::Method::GET, &path, Some(&api.administrator), None).await;
    none.refused(404, ProblemCode::ImportUnknown);
}

#[tokio::test]
async fn a_file_that_is_none_is_told_and_one_that_is_refused_early_is_answered() {
    let api = Api::start(vec![nobody("north")]).await;
    let importer = Importer::new(&api);
    // 20 MB behind a header that is wrong: the answer is read, not a broken pipe.
    let long = format!("registrationId,modle\n{}", "SN-1,x\n".repeat(3_000_000));
    let report = importer.csv(Uuid::new_v4(), long).await;
    assert_eq!(codes(&report), [(0, "modle", ImportProblemCode::UnknownColumn)]);
    assert!(report.problems[0].text.contains("did you mean model?"));
    let report = importer.csv(Uuid::new_v4(), "").await;
    assert_eq!(codes(&report), [(0, "", ImportProblemCode::Empty)]);
    for kind in ["application/json", "text/csv; charset=iso-8859-1", "text/plain"] {
        let refused = importer.send(Uuid::new_v4(), "", kind, "registrationId\nSN-1\n").await;
        refused.refused(415, ProblemCode::UnsupportedMediaType);
    }
    let url = format!("{}/v1/imports", api.running.url);
    let nameless = api.http.post(&url).bearer_auth(&importer.token).header("content-type", "text/csv").body("x");
    common::finish(nameless).await.refused(400, ProblemCode::BadRequest);
    let installer = Importer { api: &api, token: api.installer.clone() };
    installer.send(Uuid::new_v4(), "", "text/csv", "registrationId\nSN-1\n").await.refused(403, ProblemCode::Forbidden);
}

#[tokio::test]
async fn a_slow_upload_ends_a_large_one_too_and_both_keep_what_was_committed() {
    let api = Api::start_with(vec![nobody("north")], |options| {
        options.limits.import_patience = Duration::from_secs(2);
        options.limits.import_bytes_per_second = 1_000_000;
        options.limits.import_bytes = 100_000;
        // The bounds of other requests are not those of an import.
        options.limits.request_timeout = Duration::from_millis(200);
    })
    .await;
    let (importer, id) = (Importer::new(&api), Uuid::new_v4());
    let never = futures::StreamExt::chain(parts([Ok(rows(0..1500))]), futures::stream::pending());
    let refused = importer.send(id, "", "text/csv", Body::wrap(StreamBody::new(never))).await;
    assert!(refused.refused(400, ProblemCode::BadRequest).detail.unwrap().contains("too slowly"));
    assert_eq!(importer.csv(id, rows(0..1500)).await.added, 1500);
    let large = importer.send(Uuid::new_v4(), "", "text/csv", rows(10_000..20_000)).await;
    large.refused(413, ProblemCode::TooLarge);
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_after_a_restart() {
    let api = Api::start(vec![nobody("north")]).await;
    let id = Uuid::new_v4();
    {
        let importer = Importer::new(&api);
        let url = format!("{}/v1/imports", api.running.url);
        let parts = parts([Ok(rows(0..3500)), Err(std::io::Error::other("pulled out"))]);
        let request = api.http.post(url).bearer_auth(&importer.token).header("idempotency-key", id.to_string());
        let broken = request.header("content-type", "text/csv").body(Body::wrap(StreamBody::new(parts))).send().await;
        assert!(broken.is_err() || !broken.unwrap().status().is_success());
    }
    let api = api.restart(vec![nobody("north")]).await;
    let report = Importer::new(&api).csv(id, rows(0..4000)).await;
    assert_eq!((report.state, report.added), (ImportState::Complete, 4000));
    assert_eq!(api.running.office().verify_events(None, None).await.unwrap().fault, None);
}

#[tokio::test]
async fn normal_traffic_goes_on_beside_imports_from_this_process_and_another() {
    let api = Api::start(vec![nobody("north")]).await;
    let (importer, id) = (Importer::new(&api), Uuid::new_v4());
    let database = common::database::url(api.folder.path());
    // To SQLite a store of its own is another process.
    let local = tokio::spawn(async move {
        let office = Office::open(&database).await.unwrap();
        let file = rows(100_000..110_000);
        office
            .import(Uuid::new_v4(), None, provisioning_api::ImportFormat::Csv, false, None, file.as_bytes())
            .await
            .unwrap()
    });
    let beside = async {
        let mut longest = Duration::ZERO;
        for number in 0..30 {
            let from = Instant::now();
            let body = serde_json::json!({ "model": "pump" });
            let answer = api.put(&format!("/v1/devices/beside-{number}"), body).await;
            assert!(answer.status.is_success(), "{}", answer.status);
            longest = longest.max(from.elapsed());
        }
        longest
    };
    let (report, longest) = tokio::join!(importer.csv(id, rows(0..10_000)), beside);
    assert_eq!((report.added, local.await.unwrap().added), (10_000, 10_000));
    // SQLite's own patience is 5 s (store.rs); what is normal on an idle machine stands in docs/benchmarks.md.
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    assert_eq!(api.running.office().verify_events(None, None).await.unwrap().fault, None);
}
