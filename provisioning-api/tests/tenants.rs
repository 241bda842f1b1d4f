//! Tenants that name their devices alike.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{Answer, Api, emulator, finish, instance};
use provisioning_api::Role;
use provisioning_api_contract::{Allocation, Device, DryRun, EventList, Lifecycle, ProblemCode, RuledOut, Transfer};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

async fn administrator(api: &Api, tenant: &str) -> String {
    let office = api.running.office();
    office.add_tenant(tenant).await.unwrap();
    let (_, token) = office.issue_tenant_token(Role::Administrator, tenant, tenant, 1).await.unwrap();
    token.expose_secret().to_owned()
}

async fn change(api: &Api, token: &str, path: &str, body: Value) -> Answer {
    let request = api.http.post(format!("{}{path}", api.running.url)).bearer_auth(token);
    finish(request.header("if-match", "*").json(&body)).await
}

fn allocation(handoff: Uuid) -> Value {
    json!({ "handoffId": handoff, "attestations": ["x509", "symmetricKey"] })
}

#[tokio::test]
async fn each_tenant_has_its_own_device_of_a_name_and_only_the_first_is_given_a_credential() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let (acme, globex) = (administrator(&api, "acme").await, administrator(&api, "globex").await);
    let operator = api.administrator.clone();
    let path = "/v1/devices/PUMP-1";
    for (token, model) in [(&acme, "A"), (&globex, "G")] {
        let put = api.send(Method::PUT, path, Some(token), Some(json!({ "model": model }))).await;
        assert_eq!(put.status, 201);
        let again = api.send(Method::PUT, path, Some(token), Some(json!({ "model": model }))).await;
        assert_eq!(again.status, 200);
    }
    for (token, model) in [(&acme, "A"), (&globex, "G")] {
        let device: Device = api.send(Method::GET, path, Some(token), None).await.ok();
        assert_eq!((device.model.as_deref(), device.registration_id.as_str()), (Some(model), "PUMP-1"));
        for path in ["/v1/devices/pump-1/events", "/v1/events?device=pump-1"] {
            let events: EventList = api.send(Method::GET, path, Some(token), None).await.ok();
            let what: Vec<_> = events.events.iter().map(|event| event.what.as_str()).collect();
            assert_eq!(what, ["device changed", "device added"]);
            assert!(events.events.iter().all(|event| event.registration_id.as_deref() == Some("pump-1")));
        }
    }
    // Whoever sees both says which; a tenant that is not there is told.
    api.send(Method::GET, path, Some(&operator), None).await.refused(400, ProblemCode::BadRequest);
    let nowhere = api.send(Method::GET, &format!("{path}?tenant=nowhere"), Some(&operator), None).await;
    nowhere.refused(400, ProblemCode::BadRequest);
    let device: Device = api.send(Method::GET, &format!("{path}?tenant=globex"), Some(&operator), None).await.ok();
    assert_eq!(device.model.as_deref(), Some("G"));
    api.send(Method::GET, &format!("{path}?tenant=globex"), Some(&acme), None)
        .await
        .refused(403, ProblemCode::Forbidden);
    let both: EventList = api.send(Method::GET, "/v1/events?device=pump-1", Some(&operator), None).await.ok();
    assert_eq!(both.events.len(), 4);

    // A certificate says no tenant, and DPS knows a name once: the second is told that there is no place.
    let handoff = Uuid::new_v4();
    let allocate = format!("{path}/allocation");
    let given: Allocation = api.send(Method::POST, &allocate, Some(&globex), Some(allocation(handoff))).await.ok();
    assert_eq!(given.registration_id, "PUMP-1");
    let none = api.send(Method::POST, &allocate, Some(&acme), Some(allocation(Uuid::new_v4()))).await;
    none.refused(409, ProblemCode::NoInstance);
    let dry = json!({ "registrationId": "pump-1" });
    let dry: DryRun = api.send(Method::POST, "/v1/allocations/dry-run", Some(&acme), Some(dry)).await.ok();
    assert_eq!((dry.chosen, dry.instances[0].ruled_out.clone()), (None, vec![RuledOut::Full]));
    let moved = change(&api, &acme, &format!("{path}/move"), json!({ "dpsInstance": "north", "reason": "x" })).await;
    moved.refused(409, ProblemCode::NoInstance);

    // Out of service it keeps its name: its certificate and its key are out there.
    let outcome = json!({ "status": "assigned", "assignedHub": "hub-1", "deviceId": "pump-1" });
    let outcome = json!({ "handoffId": handoff, "outcome": outcome });
    api.send(Method::POST, &format!("{path}/outcome"), Some(&globex), Some(outcome)).await.done();
    let out = change(&api, &globex, &format!("{path}/decommission"), json!({ "reason": "broken" })).await;
    assert!(out.status.is_success());
    let none = api.send(Method::POST, &allocate, Some(&acme), Some(allocation(Uuid::new_v4()))).await;
    none.refused(409, ProblemCode::NoInstance);
    let own: Device = api.send(Method::GET, path, Some(&acme), None).await.ok();
    assert_eq!(own.lifecycle, Lifecycle::Expected);
    assert_eq!(api.running.office().verify_events(None, None).await.unwrap().fault, None);
}

#[tokio::test]
async fn a_tenant_that_has_a_device_of_the_name_takes_no_other_one_over() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let (acme, globex) = (administrator(&api, "acme").await, administrator(&api, "globex").await);
    for token in [&acme, &globex] {
        api.send(Method::PUT, "/v1/devices/pump-1", Some(token), Some(json!({}))).await;
    }
    api.send(Method::PUT, "/v1/devices/pump-2", Some(&acme), Some(json!({}))).await;
    let until = jiff::Timestamp::now() + std::time::Duration::from_secs(3600);
    let offer = json!({ "toTenant": "globex", "expiresAt": until, "reason": "sold" });
    let accept = async |id: &str| {
        let offered: Transfer = change(&api, &acme, &format!("/v1/devices/{id}/transfer"), offer.clone()).await.ok();
        change(&api, &globex, &format!("/v1/transfers/{}/accept", offered.id), json!({})).await
    };
    accept("pump-1").await.refused(409, ProblemCode::LifecycleConflict);
    assert!(accept("pump-2").await.status.is_success());
    // The name is free in the old tenant, and the device is the new one's.
    let put = api.send(Method::PUT, "/v1/devices/pump-2", Some(&acme), Some(json!({ "model": "new" }))).await;
    assert_eq!(put.status, 201);
    let theirs: Device = api.send(Method::GET, "/v1/devices/pump-2", Some(&globex), None).await.ok();
    assert_eq!(theirs.model, None);
}
