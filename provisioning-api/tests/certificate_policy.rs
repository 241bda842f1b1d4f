//! DPS instances that issue devices' certificates themselves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use azure_emulator::CertificatePolicy;
use common::{Answer, Api, client, finish, group_key, instance, sas};
use provisioning_api::InstanceConfig;
use provisioning_api_contract::{Allocation, EventList, Instance, InstanceList, ProblemCode};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

async fn emulator() -> (azure_emulator::Running, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = azure_emulator::Config::new(folder.path());
    config.assigning_polls = 0;
    let policy = |name: &str| CertificatePolicy { name: name.into(), valid: std::time::Duration::from_secs(86_400) };
    config.certificate_policies = vec![policy("field"), policy("plant")];
    (azure_emulator::Emulator::start(config).await.unwrap(), folder)
}

fn issuing(dps: &azure_emulator::Running, policy: &str) -> InstanceConfig {
    InstanceConfig { certificate_policy: Some(policy.into()), ..instance("north", dps) }
}

async fn allocate(api: &Api, id: &str, body: Value) -> Answer {
    api.post(&format!("/v1/devices/{id}/allocation"), body).await
}

/// What DPS has of an enrollment or a group.
async fn in_dps(dps: &azure_emulator::Running, path: &str) -> Value {
    let token = sas("127.0.0.1", &dps.service_key, "provisioningserviceowner");
    let url = format!("{}{path}?api-version=2025-07-01-preview", dps.url());
    let answer = client(&dps.ca_pem).get(url).header("authorization", token).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_device_that_can_is_told_to_ask_dps_and_its_group_names_the_policy() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![issuing(&dps, "field")]).await;
    let said = |able: bool| json!({ "handoffId": Uuid::new_v4(), "attestations": ["symmetricKey"], "certificateFromDps": able });
    for (id, able) in [("SN-1", true), ("SN-2", false)] {
        api.add(id).await;
        let allocation: Allocation = allocate(&api, id, said(able)).await.ok();
        assert_eq!(allocation.certificate_from_dps, able);
    }
    assert_eq!(in_dps(&dps, "/enrollmentGroups/lowtouch-symmetric").await["credentialPolicyName"], "field");
    let listed = api.send(Method::GET, "/v1/instances", Some(&api.administrator), None).await;
    let listed: InstanceList = listed.ok();
    assert_eq!(listed.instances[0].certificate_policy.as_deref(), Some("field"));
}

#[tokio::test]
async fn an_instance_that_issues_nothing_tells_nobody_to_ask() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    api.add("SN-1").await;
    let body = json!({ "handoffId": Uuid::new_v4(), "attestations": ["x509"], "certificateFromDps": true });
    let allocation: Allocation = allocate(&api, "SN-1", body).await.ok();
    assert!(!allocation.certificate_from_dps);
}

#[tokio::test]
async fn a_group_that_was_there_before_names_the_policy_before_the_next_answer_and_keeps_its_key() {
    let (dps, _folder) = emulator().await;
    let ask = || json!({ "handoffId": Uuid::new_v4(), "attestations": ["symmetricKey"], "certificateFromDps": true });
    let mut api = Api::start(vec![instance("north", &dps)]).await;
    api.add("SN-1").await;
    allocate(&api, "SN-1", ask()).await.ok::<Allocation>();
    let key = group_key(&dps).await;
    for policy in ["field", "plant"] {
        api = api.restart(vec![issuing(&dps, policy)]).await;
        let id = format!("SN-{policy}");
        api.add(&id).await;
        assert!(allocate(&api, &id, ask()).await.ok::<Allocation>().certificate_from_dps);
        assert_eq!(in_dps(&dps, "/enrollmentGroups/lowtouch-symmetric").await["credentialPolicyName"], policy);
    }
    assert_eq!(group_key(&dps).await, key);
}

#[tokio::test]
async fn an_enrollment_of_its_own_names_the_policy_as_the_group_does() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![issuing(&dps, "field")]).await;
    api.add("SN-1").await;
    let handoff = Uuid::new_v4();
    api.allocate("SN-1", handoff, &["symmetricKey"]).await.ok::<Allocation>();
    api.symmetric_key("SN-1", handoff).await.ok::<Value>();
    api.assigned("SN-1", handoff).await.done();
    let url = format!("{}/v1/devices/SN-1/reprovision", api.running.url);
    let reset = api.http.post(url).bearer_auth(&api.administrator).header("if-match", "*");
    finish(reset.json(&json!({ "policy": "reset", "reason": "sold" }))).await.ok::<Value>();
    let waiting = async {
        loop {
            let enrollment = in_dps(&dps, "/enrollments/SN-1").await;
            if enrollment.get("attestation").is_some() {
                return enrollment;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let enrollment = tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await.unwrap();
    assert_eq!(enrollment["credentialPolicyName"], "field");
}

/// Changes the instance as whoever read it last.
async fn patch(api: &Api, mut change: Value) -> Answer {
    change["reason"] = "the namespace changed".into();
    let listed: InstanceList = api.send(Method::GET, "/v1/instances", Some(&api.administrator), None).await.ok();
    let request = api.http.patch(format!("{}/v1/instances/north", api.running.url)).bearer_auth(&api.administrator);
    finish(request.header("if-match", &listed.instances[0].etag).json(&change)).await
}

#[tokio::test]
async fn an_administrator_changes_the_policy_while_the_service_runs_and_every_replica_goes_by_it() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![issuing(&dps, "field")]).await;
    let tells = async |api: &Api, id: &str| {
        api.add(id).await;
        let ask = json!({ "handoffId": Uuid::new_v4(), "attestations": ["symmetricKey"], "certificateFromDps": true });
        allocate(api, id, ask).await.ok::<Allocation>().certificate_from_dps
    };
    let named = async || in_dps(&dps, "/enrollmentGroups/lowtouch-symmetric").await["credentialPolicyName"].clone();
    assert!(tells(&api, "SN-1").await);
    let key = group_key(&dps).await;

    let changed: Instance = patch(&api, json!({ "certificatePolicy": "plant" })).await.ok();
    assert_eq!(changed.certificate_policy.as_deref(), Some("plant"));
    assert!(tells(&api, "SN-2").await);
    assert_eq!(named().await, "plant");

    // None at all: nobody is told to ask any more, and what the group names is left to whoever looks after Azure.
    let changed: Instance = patch(&api, json!({ "certificatePolicy": "" })).await.ok();
    assert_eq!(changed.certificate_policy, None);
    assert!(!tells(&api, "SN-3").await);
    let api = api.restart(vec![issuing(&dps, "field")]).await;
    assert!(!tells(&api, "SN-4").await);
    patch(&api, json!({ "state": "active" })).await.ok::<Instance>();
    assert!(!tells(&api, "SN-5").await);

    let changed: Instance = patch(&api, json!({ "fromFile": true })).await.ok();
    assert_eq!(changed.certificate_policy.as_deref(), Some("field"));
    assert!(tells(&api, "SN-6").await);
    assert_eq!((named().await, group_key(&dps).await), ("field".into(), key));

    let events: EventList = api.send(Method::GET, "/v1/events?limit=500", Some(&api.administrator), None).await.ok();
    let policies = events.events.iter().filter(|event| event.what == "instance changed").map(|event| {
        let detail = event.detail.as_ref().unwrap();
        (detail["before"]["certificatePolicy"].clone(), detail["after"]["certificatePolicy"].clone())
    });
    let mut policies: Vec<_> = policies.collect();
    policies.sort_by_key(|(before, after)| (before.to_string(), after.to_string()));
    let said = |before: Option<&str>, after: Option<&str>| (json!(before), json!(after));
    let expected =
        [said(Some("field"), Some("plant")), said(Some("plant"), None), said(None, Some("field")), said(None, None)];
    assert_eq!(policies, expected);
}

#[tokio::test]
async fn a_policy_that_no_namespace_can_have_is_refused_and_nothing_changes() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![issuing(&dps, "field")]).await;
    for name in [" ".to_owned(), "x".repeat(129)] {
        patch(&api, json!({ "certificatePolicy": name })).await.refused(400, ProblemCode::BadRequest);
    }
    let stale = api.http.patch(format!("{}/v1/instances/north", api.running.url)).bearer_auth(&api.administrator);
    let stale = stale.header("if-match", "\"0\"").json(&json!({ "certificatePolicy": "plant", "reason": "x" }));
    finish(stale).await.refused(412, ProblemCode::PreconditionFailed);
    let listed: InstanceList = api.send(Method::GET, "/v1/instances", Some(&api.administrator), None).await.ok();
    assert_eq!(listed.instances[0].certificate_policy.as_deref(), Some("field"));
}
