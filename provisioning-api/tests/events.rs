//! Whose events are whose: a tenant's auditors see what happened in their tenant, and nothing of another's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Answer, Api, any_devices, finish, nobody};
use provisioning_api::{InstanceConfig, Placement, Role};
use provisioning_api_contract::{Event, EventList, NewInvite, NewWorkOrder, OrderState, WorkOrder};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

async fn token(api: &Api, role: Role, tenant: &str) -> String {
    let office = api.running.office();
    office.add_tenant(tenant).await.unwrap();
    let (_, token) = office.issue_tenant_token(role, "Ann", tenant, 1).await.unwrap();
    token.expose_secret().to_owned()
}

async fn events(api: &Api, token: &str) -> Vec<Event> {
    let answer = api.send(Method::GET, "/v1/events?order=oldest&limit=500", Some(token), None).await;
    answer.ok::<EventList>().events
}

fn count(events: &[Event], what: &str) -> usize {
    events.iter().filter(|event| event.what == what).count()
}

async fn patch(api: &Api, token: &str, path: &str, body: Value) -> Answer {
    let request = api.http.patch(format!("{}{path}", api.running.url)).bearer_auth(token);
    finish(request.header("if-match", "*").json(&body)).await
}

async fn form(api: &Api, path: &str, fields: &[(&str, &str)]) -> Value {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = api.http.post(format!("{}{path}", api.running.url));
    finish(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await.ok()
}

async fn sign_in(api: &Api, invite: &str) {
    let verifier = "a-verifier-of-this-test-that-is-long-enough-for-rfc-7636";
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let fields = [
        ("client_id", "lowtouch"),
        ("invite", invite),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let code = form(api, "/oauth/invite", &fields).await["code"].as_str().unwrap().to_owned();
    let fields =
        [("grant_type", "authorization_code"), ("client_id", "lowtouch"), ("code", &code), ("code_verifier", verifier)];
    form(api, "/oauth/token", &fields).await;
}

#[tokio::test]
async fn a_tenants_auditors_see_its_orders_its_people_and_its_instances_and_nothing_of_anothers() {
    let own = Placement { tenant: Some("acme".into()), ..Placement::default() };
    let api = Api::start(vec![nobody("north"), InstanceConfig { placement: own, ..nobody("own-acme") }]).await;
    let administrator = token(&api, Role::Administrator, "acme").await;
    let (auditor, other) = (token(&api, Role::Auditor, "acme").await, token(&api, Role::Auditor, "globex").await);
    let before = events(&api, &other).await;
    assert_eq!((count(&before, "tenant added"), count(&before, "token issued"), before.len()), (1, 1, 2));
    let office = api.running.office();

    let invite = async |name: &str| {
        let body = json!({ "role": "installer", "name": name });
        api.send(Method::POST, "/v1/invites", Some(&administrator), Some(body)).await.ok::<NewInvite>()
    };
    sign_in(&api, &invite("Ivo").await.code).await;
    let withdrawn = format!("/v1/invites/{}", invite("Eve").await.id);
    api.send(Method::DELETE, &withdrawn, Some(&administrator), None).await.done();
    let accounts = office.accounts().await.unwrap();
    let ivo = accounts.iter().find(|account| account.name == "Ivo").unwrap().id.clone();

    let body = json!({ "site": "Plant 4", "installer": ivo, "anyOf": { "atMost": 1 } });
    let order: WorkOrder = api.send(Method::POST, "/v1/work-orders", Some(&administrator), Some(body)).await.ok();
    let path = format!("/v1/work-orders/{}", order.id);
    assert!(patch(&api, &administrator, &path, json!({ "atMost": 2 })).await.status.is_success());
    office.end_order(order.id, OrderState::Closed).await.unwrap();
    // By the operator, in the tenant's name.
    office.open_order("Ivo", Some("acme"), NewWorkOrder { ..any_devices(1) }).await.unwrap();

    let change = |capacity: u32| json!({ "capacity": capacity, "reason": "grown" });
    assert!(patch(&api, &administrator, "/v1/instances/own-acme", change(5)).await.status.is_success());
    assert!(patch(&api, &api.administrator, "/v1/instances/north", change(6)).await.status.is_success());
    assert!(office.set_account_disabled(&ivo, true).await.unwrap());
    let (id, _) = office.issue_tenant_token(Role::Installer, "Ole", "acme", 1).await.unwrap();
    assert!(office.revoke_token(&id).await.unwrap());

    let theirs = events(&api, &auditor).await;
    for (what, times) in [
        ("tenant added", 1),
        ("token issued", 3),
        ("token revoked", 1),
        ("invite made", 2),
        ("invite used", 1),
        ("invite withdrawn", 1),
        ("signed in", 1),
        ("session ended", 1),
        ("account disabled", 1),
        ("work order opened", 2),
        ("work order changed", 2),
        ("instance changed", 1),
    ] {
        assert_eq!(count(&theirs, what), times, "{what}");
    }
    assert!(theirs.iter().all(|event| event.tenant.as_deref() == Some("acme")));
    assert_eq!(events(&api, &other).await, before);
    // What is nobody's, the operator's own people see.
    let all = events(&api, &api.administrator).await;
    assert_eq!((count(&all, "instance changed"), count(&all, "device CA made")), (2, 1));
    assert_eq!(office.verify_events(None, None).await.unwrap().fault, None);
}
