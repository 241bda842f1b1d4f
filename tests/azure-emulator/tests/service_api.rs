//! The service API over real TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at once")]

mod common;

use azure_emulator::SigningCa;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Dps, sas};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn an_enrollment_is_made_once_replaced_by_etag_and_deleted() {
    let dps = Dps::start().await;
    for (path, id) in [("/enrollments/one", "registrationId"), ("/enrollmentGroups/one", "enrollmentGroupId")] {
        let document = json!({id: "one", "attestation": {"type": "symmetricKey"}});
        let made = dps.service(Method::PUT, path, &[], Some(document.clone())).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.body);
        let key = made.body["attestation"]["symmetricKey"]["primaryKey"].as_str().unwrap();
        assert_eq!(STANDARD.decode(key).unwrap().len(), 64, "generated keys have 64 bytes");

        let again = dps.service(Method::PUT, path, &[], Some(document.clone())).await;
        assert_eq!(again.status, StatusCode::CONFLICT, "a PUT without an ETag never replaces");
        let stale = dps.service(Method::PUT, path, &[("if-match", "\"other\"")], Some(document.clone())).await;
        assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
        let etag = made.body["etag"].as_str().unwrap();
        let mut changed = made.body.clone();
        changed["provisioningStatus"] = json!("disabled");
        changed["attestation"] = json!({"type": "symmetricKey"});
        let replaced = dps.service(Method::PUT, path, &[("if-match", etag)], Some(changed)).await;
        assert_eq!(
            (replaced.status, &replaced.body["provisioningStatus"]),
            (StatusCode::OK, &json!("disabled")),
            "{}",
            replaced.body
        );
        assert_eq!(replaced.body["attestation"], made.body["attestation"], "keys that are not sent again stay");
        assert_ne!(replaced.body["etag"], made.body["etag"]);

        let shown = dps.service(Method::GET, &path.to_uppercase(), &[], None).await;
        assert_eq!((shown.status, shown.body), (StatusCode::OK, replaced.body), "paths and IDs have no case");
        let mechanism = dps.service(Method::POST, &format!("{path}/attestationMechanism"), &[], None).await;
        assert_eq!(mechanism.body, made.body["attestation"]);

        assert_eq!(
            dps.service(Method::DELETE, path, &[("if-match", etag)], None).await.status,
            StatusCode::PRECONDITION_FAILED
        );
        assert_eq!(dps.service(Method::DELETE, path, &[], None).await.status, StatusCode::NO_CONTENT);
        let gone = dps.service(Method::DELETE, path, &[], None).await;
        assert_eq!((gone.status, &gone.body["errorCode"]), (StatusCode::NOT_FOUND, &json!(404_201)));
        let nothing_there = dps.service(Method::PUT, path, &[("if-match", etag)], Some(document)).await;
        assert_eq!(nothing_there.status, StatusCode::PRECONDITION_FAILED);
    }
}

#[tokio::test]
async fn a_certificate_group_shows_what_stands_in_the_certificate_and_can_be_sent_back() {
    let dps = Dps::start().await;
    let ca = SigningCa::new("line 7").unwrap();
    let attestation =
        json!({"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": ca.certificate_pem()}}}});
    let made = dps.put_group("g", attestation).await;
    let primary = &made.body["attestation"]["x509"]["signingCertificates"]["primary"];
    assert_eq!((&primary["certificate"], &primary["info"]["subjectName"]), (&Value::Null, &json!("CN=line 7")));
    let etag = made.body["etag"].as_str().unwrap();
    let same = dps.service(Method::PUT, "/enrollmentGroups/g", &[("if-match", etag)], Some(made.body.clone())).await;
    assert_eq!(same.body["attestation"], made.body["attestation"], "{}", same.body);
    dps.with_certificate("dev", &ca.device("dev").unwrap()).provision().await;
}

#[tokio::test]
async fn documents_that_azure_would_refuse_are_refused() {
    let dps = Dps::start().await;
    let leaf = SigningCa::new("root").unwrap().device("leaf").unwrap().chain_pem;
    let with = |more: Value| {
        let mut document = json!({"attestation": {"type": "symmetricKey"}});
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        document
    };
    let cases = [
        ("not an object", json!([])),
        ("no attestation", json!({})),
        ("another ID", with(json!({"enrollmentGroupId": "h"}))),
        ("an unknown attestation", json!({"attestation": {"type": "password"}})),
        (
            "a key that is no base64",
            json!({"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "!"}}}),
        ),
        (
            "a key of 15 bytes",
            json!({"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": STANDARD.encode([1; 15])}}}),
        ),
        ("no certificate", json!({"attestation": {"type": "x509", "x509": {"signingCertificates": {}}}})),
        (
            "a leaf as signing certificate",
            json!({"attestation": {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": leaf}}}}}),
        ),
        ("a hub that is not linked", with(json!({"iotHubs": ["elsewhere.azure-devices.net"]}))),
        ("static without a hub", with(json!({"allocationPolicy": "static"}))),
        ("an unknown policy", with(json!({"allocationPolicy": "best"}))),
        ("an unknown status", with(json!({"provisioningStatus": "maybe"}))),
    ];
    for (what, document) in cases {
        let answer = dps.service(Method::PUT, "/enrollmentGroups/g", &[], Some(document)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}: {}", answer.body);
        assert!(answer.body["message"].is_string(), "{what}");
    }
}

#[tokio::test]
async fn tokens_of_another_host_policy_key_or_time_are_refused() {
    let dps = Dps::start().await;
    let key = STANDARD.decode(&dps.running.service_key).unwrap();
    let endpoint = dps.running.endpoint();
    for (host, policy, key, expires_in, status) in [
        ("127.0.0.1", "provisioningserviceowner", &key, 60, StatusCode::NOT_FOUND),
        (&*endpoint, "provisioningserviceowner", &key, 60, StatusCode::NOT_FOUND),
        ("elsewhere", "provisioningserviceowner", &key, 60, StatusCode::UNAUTHORIZED),
        ("127.0.0.1", "registration", &key, 60, StatusCode::UNAUTHORIZED),
        ("127.0.0.1", "provisioningserviceowner", &vec![0; 32], 60, StatusCode::UNAUTHORIZED),
        ("127.0.0.1", "provisioningserviceowner", &key, -1, StatusCode::UNAUTHORIZED),
    ] {
        let token = sas(key, host, policy, expires_in);
        let answer = dps.service_as(&token, Method::GET, "/enrollments/none", &[], None).await;
        assert_eq!(answer.status, status, "{host} {policy} {expires_in}");
    }
}

#[tokio::test]
async fn a_query_comes_in_pages_that_neither_repeat_nor_hide_anything() {
    let dps = Dps::start().await;
    for n in 0..5 {
        dps.put_individual(&format!("dev-{n}"), json!({"attestation": {"type": "symmetricKey"}})).await;
    }
    let mut ids = Vec::new();
    let mut continuation = String::new();
    loop {
        let headers = [("x-ms-max-item-count", "2"), ("x-ms-continuation", continuation.as_str())];
        let page = dps
            .service(Method::POST, "/enrollments/query", &headers, Some(json!({"query": "SELECT * FROM enrollments"})))
            .await;
        assert_eq!((page.status, page.header("x-ms-item-type")), (StatusCode::OK, Some("enrollment")), "{}", page.body);
        ids.extend(page.body.as_array().unwrap().iter().map(|one| one["registrationId"].as_str().unwrap().to_owned()));
        match page.header("x-ms-continuation") {
            Some(next) => continuation = next.to_owned(),
            None => break,
        }
        // Deleting what was shown must not make the next page skip one.
        if ids.len() == 2 {
            dps.service(Method::DELETE, "/enrollments/dev-0", &[], None).await;
        }
    }
    assert_eq!(ids, ["dev-0", "dev-1", "dev-2", "dev-3", "dev-4"]);
    let unknown =
        dps.service(Method::POST, "/enrollments/query", &[], Some(json!({"query": "DROP TABLE enrollments"}))).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_bulk_operation_takes_ten_and_reports_each_failure() {
    let dps = Dps::start().await;
    let enrollments = |ids: std::ops::Range<u32>| {
        ids.map(|n| json!({"registrationId": format!("dev-{n}"), "attestation": {"type": "symmetricKey"}}))
            .collect::<Vec<_>>()
    };
    let bulk = async |mode: &str, ids| {
        dps.service(Method::POST, "/enrollments", &[], Some(json!({"mode": mode, "enrollments": enrollments(ids)})))
            .await
    };
    assert_eq!(bulk("create", 0..11).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bulk("create", 0..10).await.body, json!({"isSuccessful": true, "errors": []}));
    let partly = bulk("create", 9..11).await;
    assert_eq!((partly.status, &partly.body["isSuccessful"]), (StatusCode::OK, &json!(false)));
    assert_eq!(
        (&partly.body["errors"][0]["registrationId"], partly.body["errors"].as_array().unwrap().len()),
        (&json!("dev-9"), 1)
    );
    assert_eq!(bulk("update", 0..10).await.body["isSuccessful"], true);
    assert_eq!(bulk("delete", 2..11).await.body["isSuccessful"], true);
    let left = dps.service(Method::POST, "/enrollments/query", &[], Some(json!({"query": "*"}))).await;
    assert_eq!(left.body.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn registrations_are_shown_queried_by_group_and_deleted_while_the_hub_keeps_the_device() {
    let dps = Dps::start().await;
    let made = dps.put_group("g", json!({"type": "symmetricKey"})).await;
    let group_key =
        STANDARD.decode(made.body["attestation"]["symmetricKey"]["secondaryKey"].as_str().unwrap()).unwrap();
    let done = dps.with_key("dev", &common::derive(&group_key, "dev")).provision().await;
    let shown = dps.service(Method::GET, "/registrations/DEV", &[], None).await;
    assert_eq!(shown.body, done["registrationState"]);
    let of_group = dps.service(Method::POST, "/registrations/g/query", &[], Some(json!({"query": "*"}))).await;
    assert_eq!((&of_group.body[0], of_group.header("x-ms-item-type")), (&shown.body, Some("deviceRegistration")));
    assert_eq!(
        dps.service(Method::POST, "/registrations/h/query", &[], Some(json!({"query": "*"}))).await.status,
        StatusCode::NOT_FOUND
    );

    let etag = shown.body["etag"].as_str().unwrap();
    assert_eq!(
        dps.service(Method::DELETE, "/registrations/dev", &[("if-match", "x")], None).await.status,
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(
        dps.service(Method::DELETE, "/registrations/dev", &[("if-match", etag)], None).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(dps.service(Method::GET, "/registrations/dev", &[], None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(dps.running.hub_devices().len(), 1);
}
