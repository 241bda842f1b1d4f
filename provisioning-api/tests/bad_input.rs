//! What is refused, each with its code, and with nothing half-made. No DPS is needed here.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::time::Duration;

use common::{Api, finish, nobody};
use provisioning_api_contract::{Device, Lifecycle, ProblemCode};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

#[tokio::test]
async fn nobody_gets_in_without_a_valid_token() {
    let api = Api::start(vec![]).await;
    api.add("sn-1").await;
    for token in [None, Some(""), Some("lowtouch_wrong")] {
        let answer = api.send(Method::GET, "/v1/devices/sn-1", token, None).await;
        answer.refused(401, ProblemCode::Unauthenticated);
        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with("Bearer ") && challenge.contains("resource_metadata=\"https://"), "{challenge}");
    }
    let url = format!("{}/v1/devices/sn-1", api.running.url);
    finish(api.http.get(&url).header("authorization", format!("Basic {}", api.installer)))
        .await
        .refused(401, ProblemCode::Unauthenticated);
    let twice = api.http.get(&url).bearer_auth(&api.installer).bearer_auth(&api.installer);
    finish(twice).await.refused(401, ProblemCode::Unauthenticated);
}

#[tokio::test]
async fn a_revoked_token_ends_at_the_next_call() {
    let api = Api::start(vec![]).await;
    let tokens = api.running.office().tokens().await.unwrap();
    let ida = tokens.iter().find(|token| token.name == "Ida").unwrap();
    api.add("sn-1").await;
    let _: Device = api.get("/v1/devices/sn-1").await.ok();
    assert!(api.running.office().revoke_token(&ida.id).await.unwrap());
    api.get("/v1/devices/sn-1").await.refused(401, ProblemCode::Unauthenticated);
}

#[tokio::test]
async fn an_installer_may_not_administer() {
    let api = Api::start(vec![]).await;
    let installer = Some(api.installer.as_str());
    api.send(Method::PUT, "/v1/devices/sn-1", installer, Some(json!({}))).await.refused(403, ProblemCode::Forbidden);
    api.send(Method::GET, "/v1/instances", installer, None).await.refused(403, ProblemCode::Forbidden);
    api.get("/v1/devices/sn-1").await.refused(404, ProblemCode::DeviceUnknown);
}

#[tokio::test]
async fn an_unknown_device_is_the_same_answer_everywhere() {
    let api = Api::start(vec![nobody("a")]).await;
    let handoff = Uuid::new_v4();
    let answers = [
        api.get("/v1/devices/sn-1").await,
        api.allocate("sn-1", handoff, &["x509"]).await,
        api.certificate("sn-1", handoff, "AAAA").await,
        api.symmetric_key("sn-1", handoff).await,
        api.assigned("sn-1", handoff).await,
    ];
    for answer in answers {
        let problem = answer.refused(404, ProblemCode::DeviceUnknown);
        assert_eq!(problem.detail, None);
    }
}

#[tokio::test]
async fn what_the_framework_refuses_is_a_problem_too() {
    let api = Api::start(vec![]).await;
    api.get("/v2/devices").await.refused(404, ProblemCode::NotFound);
    api.get("/").await.refused(404, ProblemCode::NotFound);
    let answer = api.send(Method::DELETE, "/v1/devices/sn-1", Some(&api.administrator), None).await;
    answer.refused(405, ProblemCode::MethodNotAllowed);
    assert!(answer.headers.contains_key("allow"));
    api.get("/v1/devices/sn-1?dps=perhaps").await.refused(400, ProblemCode::BadRequest);
}

#[tokio::test]
async fn a_body_that_is_none_of_ours_is_refused_and_not_repeated() {
    let api = Api::start(vec![]).await;
    api.add("sn-1").await;
    let url = format!("{}/v1/devices/sn-1/allocation", api.running.url);
    let post = |kind: &str, body: Vec<u8>| {
        finish(api.http.post(&url).bearer_auth(&api.installer).header("content-type", kind).body(body))
    };
    let json = "application/json";
    post("text/plain", b"{}".to_vec()).await.refused(415, ProblemCode::UnsupportedMediaType);
    post(json, b"{".to_vec()).await.refused(400, ProblemCode::BadRequest);
    post(json, vec![0xff; 10]).await.refused(400, ProblemCode::BadRequest);
    post(json, vec![b'['; 60_000]).await.refused(400, ProblemCode::BadRequest);
    post(json, vec![b' '; 65 * 1024]).await.refused(413, ProblemCode::TooLarge);
    let handoff = Uuid::new_v4();
    for body in [
        json!({ "handoffId": "top-secret", "attestations": ["x509"] }),
        json!({ "handoffId": handoff, "attestations": ["x509"], "top-secret": 1 }),
        json!({ "handoffId": handoff, "attestations": ["top-secret"] }),
        json!({ "handoffId": handoff, "attestations": [] }),
        json!({ "handoffId": handoff, "attestations": vec!["x509"; 9] }),
    ] {
        let answer = post(json, body.to_string().into_bytes()).await;
        answer.refused(400, ProblemCode::BadRequest);
        assert!(!String::from_utf8_lossy(&answer.body).contains("top-secret"));
    }
}

#[tokio::test]
async fn a_registration_id_that_dps_would_not_take_is_refused() {
    let api = Api::start(vec![]).await;
    for id in ["a.", "a%20b", "%ff", "a%2fb", "a%0d%0ab", "'%20OR%201=1--", &"x".repeat(129)] {
        api.get(&format!("/v1/devices/{id}")).await.refused(400, ProblemCode::BadRequest);
        api.put(&format!("/v1/devices/{id}"), json!({})).await.refused(400, ProblemCode::BadRequest);
    }
}

#[tokio::test]
async fn registration_ids_differ_by_more_than_case_and_keep_their_spelling() {
    let api = Api::start(vec![]).await;
    let answer = api.put("/v1/devices/Sn-1", json!({ "model": "M1" })).await;
    assert_eq!(answer.status, 201);
    let answer = api.put("/v1/devices/sN-1", json!({})).await;
    assert_eq!(answer.status, 200);
    let device: Device = api.get("/v1/devices/SN-1").await.ok();
    assert_eq!((device.registration_id.as_str(), device.model.as_deref()), ("Sn-1", Some("M1")));
    assert_eq!(device.lifecycle, Lifecycle::Expected);
}

#[tokio::test]
async fn a_caller_who_asks_too_often_is_told_when_to_come_back() {
    let api = Api::start_with(vec![], |options| options.limits.requests_per_minute = 3).await;
    for _ in 0..3 {
        api.get("/v1/devices/sn-1").await.refused(404, ProblemCode::DeviceUnknown);
    }
    let answer = api.get("/v1/devices/sn-1").await;
    answer.refused(429, ProblemCode::Throttled);
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn without_an_instance_that_may_take_it_a_device_is_not_allocated() {
    let full = provisioning_api::InstanceConfig { capacity: 0, ..nobody("full") };
    let draining = provisioning_api::InstanceConfig {
        state: provisioning_api_contract::InstanceState::Draining,
        ..nobody("draining")
    };
    let api = Api::start(vec![full, draining]).await;
    api.add("sn-1").await;
    api.allocate("sn-1", Uuid::new_v4(), &["x509"]).await.refused(409, ProblemCode::NoInstance);
    let device: Device = api.get("/v1/devices/sn-1").await.ok();
    assert_eq!((device.lifecycle, device.dps_instance), (Lifecycle::Expected, None));
}

#[tokio::test]
async fn an_attestation_that_is_not_allowed_is_refused() {
    let api = Api::start(vec![nobody("a")]).await;
    api.put("/v1/devices/sn-1", json!({ "attestation": "x509" })).await;
    for able in [&["symmetricKey"][..], &["tpm"]] {
        api.allocate("sn-1", Uuid::new_v4(), able).await.refused(409, ProblemCode::AttestationMismatch);
    }
}

#[tokio::test]
async fn nothing_is_given_before_the_allocation() {
    let api = Api::start(vec![nobody("a")]).await;
    api.add("sn-1").await;
    let handoff = Uuid::new_v4();
    api.certificate("sn-1", handoff, "AAAA").await.refused(409, ProblemCode::NotAllocated);
    api.symmetric_key("sn-1", handoff).await.refused(409, ProblemCode::NotAllocated);
    api.assigned("sn-1", handoff).await.refused(409, ProblemCode::NotAllocated);
}

#[tokio::test]
async fn a_fault_of_the_database_is_a_500_that_says_nothing_of_it() {
    let api = Api::start(vec![]).await;
    api.add("sn-1").await;
    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    sqlx::query("ALTER TABLE devices RENAME TO elsewhere").execute(&db).await.unwrap();
    let problem = api.get("/v1/devices/sn-1").await.refused(500, ProblemCode::Internal);
    assert_eq!(problem.detail, None);
}

#[tokio::test]
async fn a_database_in_anothers_hands_is_a_reason_to_come_back() {
    let api = Api::start(vec![nobody("a")]).await;
    api.add("sn-1").await;
    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    let lock = common::database::writer(&db).await;
    let answer = api.assigned("sn-1", Uuid::new_v4()).await;
    answer.refused(429, ProblemCode::Throttled);
    assert!(answer.headers.contains_key("retry-after"));
    // Looking goes on meanwhile, and writing afterwards.
    let _: Device = api.get("/v1/devices/sn-1").await.ok();
    lock.rollback().await.unwrap();
    api.assigned("sn-1", Uuid::new_v4()).await.refused(409, ProblemCode::NotAllocated);
}

#[tokio::test]
async fn when_dps_is_down_the_answer_says_so_and_the_device_stays_where_it_was() {
    let api =
        Api::start_with(vec![nobody("a")], |options| options.limits.dps_budget = Duration::from_millis(200)).await;
    api.add("sn-1").await;
    let handoff = Uuid::new_v4();
    for _ in 0..2 {
        api.allocate("sn-1", handoff, &["x509"]).await.refused(502, ProblemCode::DpsUnavailable);
    }
    let device: Device = api.get("/v1/devices/sn-1").await.ok();
    assert_eq!((device.lifecycle, device.dps_instance), (Lifecycle::Expected, None));
}

#[tokio::test]
async fn the_service_ends_in_order_and_starts_again_on_its_files() {
    let api = Api::start(vec![nobody("a")]).await;
    api.add("sn-1").await;
    let (ca, installer) = (api.running.ca_pem.clone(), api.installer.clone());
    let api = api.restart(vec![nobody("a")]).await;
    assert_eq!(api.running.ca_pem, ca);
    let _: Device = api.send(Method::GET, "/v1/devices/sn-1", Some(&installer), None).await.ok();
    api.send(Method::GET, "/healthz", None, None).await.done();
}

/// Words that would be statements, lines of a header, a script or a path, if anybody took them for that.
const HOSTILE: [&str; 6] = [
    "'; DROP TABLE devices; --",
    "' OR '1'='1",
    "x\r\nset-cookie: stolen=1\r\n\r\n<script>alert(1)</script>",
    "\u{0}\u{202e}\u{feff}",
    "../../../etc/passwd",
    "%27%20OR%201%3D1%0d%0aset-cookie:x=1",
];

#[tokio::test]
async fn statements_and_header_lines_in_whatever_is_taken_stay_text_or_are_refused() {
    let api = Api::start(vec![nobody("north")]).await;
    api.put("/v1/devices/sn-1", json!({ "model": "pump" })).await;
    let administrator = Some(api.administrator.as_str());
    let handoff = Uuid::new_v4();
    let mut answers = Vec::new();
    for words in HOSTILE {
        let escaped: String = url::form_urlencoded::byte_serialize(words.as_bytes()).collect();
        let bodies = [
            ("PUT", "/v1/devices/sn-2", json!({ "model": words })),
            ("PUT", "/v1/devices/sn-2", json!({ "region": words, "dpsInstance": words })),
            (
                "POST",
                "/v1/devices/sn-1/allocation",
                json!({ "handoffId": handoff, "attestations": ["x509"], "model": words, "firmware": words }),
            ),
            (
                "POST",
                "/v1/devices/sn-1/outcome",
                json!({ "handoffId": handoff, "outcome": { "status": "failed", "code": words, "text": words } }),
            ),
            ("POST", "/v1/devices/sn-1/certificate", json!({ "handoffId": handoff, "csr": words })),
            (
                "POST",
                "/v1/bulk-changes?dryRun=true",
                json!({ "operation": "decommission", "reason": words, "select": { "site": words, "model": words, "registrationIds": [words] } }),
            ),
            ("POST", "/v1/allocations/dry-run", json!({ "registrationId": words })),
            ("POST", "/v1/work-orders", json!({ "site": words, "installer": words, "devices": [words] })),
            ("POST", "/v1/invites", json!({ "role": "installer", "name": words, "tenant": words })),
        ];
        for (method, path, body) in bodies {
            let method: Method = method.parse().unwrap();
            answers.push(api.send(method, path, administrator, Some(body)).await);
        }
        for path in [
            format!("/v1/devices/{escaped}"),
            format!("/v1/devices/sn-1?tenant={escaped}"),
            format!("/v1/events?device={escaped}&who={escaped}&what={escaped}"),
            format!("/v1/events?cursor={escaped}"),
            format!("/v1/work-orders?after={escaped}"),
            format!("/v1/imports/{escaped}"),
            format!("/v1/invites?{escaped}"),
            format!("/oauth/authorize?client_id=lowtouch&state={escaped}&redirect_uri={escaped}"),
            format!("/oauth/device?user_code={escaped}"),
        ] {
            answers.push(api.send(Method::GET, &path, administrator, None).await);
        }
        // What a header cannot carry does not get as far as a request.
        for name in ["if-match", "idempotency-key", "x-request-id", "authorization"] {
            let Ok(value) = reqwest::header::HeaderValue::from_bytes(words.as_bytes()) else { continue };
            let url = format!("{}/v1/devices/sn-1", api.running.url);
            let request = api.http.put(url).header(name, value).json(&json!({}));
            let request = if name == "authorization" { request } else { request.bearer_auth(&api.administrator) };
            answers.push(finish(request).await);
        }
        let row = format!("registrationId,model,site\nsn-9,\"{}\",x\n", words.replace('"', "\"\""));
        let request =
            api.http.post(format!("{}/v1/imports?dryRun=true", api.running.url)).bearer_auth(&api.administrator);
        let request = request.header("idempotency-key", Uuid::new_v4().to_string()).header("content-type", "text/csv");
        answers.push(finish(request.body(row)).await);
    }
    for answer in &answers {
        // DPS is not there: who gets as far as that hears it.
        assert!(answer.status.as_u16() < 500 || answer.status == 502, "{}", String::from_utf8_lossy(&answer.body));
        assert!(!answer.headers.contains_key("set-cookie"));
        for (name, value) in &answer.headers {
            assert!(!value.as_bytes().windows(6).any(|part| part == b"stolen"), "{name}");
        }
    }
    // All that was there is as it was.
    let device: Device = api.get("/v1/devices/sn-1").await.ok();
    assert_eq!(device.model.as_deref(), Some("pump"));
    assert_eq!(api.running.office().verify_events(None, None).await.unwrap().fault, None);
}

#[tokio::test]
async fn a_clock_that_is_put_back_holds_no_device_for_as_long() {
    let (dps, _folder) = common::emulator().await;
    let api = Api::start(vec![common::instance("north", &dps)]).await;
    api.add("sn-1").await;
    let first: provisioning_api_contract::Allocation =
        api.allocate("sn-1", Uuid::new_v4(), &["symmetricKey"]).await.ok();
    api.allocate("sn-1", Uuid::new_v4(), &["symmetricKey"]).await.refused(409, ProblemCode::HandoffConflict);
    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    // As if all that had been done a year later than now.
    sqlx::query(
        "UPDATE devices SET handoff_at = handoff_at + 31536000000, handoff_begun_at = handoff_begun_at + 31536000000",
    )
    .execute(&db)
    .await
    .unwrap();
    let again: provisioning_api_contract::Allocation =
        api.allocate("sn-1", Uuid::new_v4(), &["symmetricKey"]).await.ok();
    assert_eq!(again.dps_instance, first.dps_instance);
}
