//! Who may what: every path of openapi.json with every role, devices by their own certificates, and what a stranger cannot tell.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;

use common::{Answer, Api, client_with, csr, finish, nobody};
use provisioning_api::Role;
use provisioning_api_contract::{Allocation, Device, Me, ProblemCode};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

/// The extractors of src/api/auth.rs.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Who {
    Anybody,
    SignedIn,
    Reader,
    ReaderOrItself,
    Installer,
    InstallerOrItself,
    Itself,
    Auditor,
    Administrator,
}

/// A new path stands here with its decision, or the test fails.
const DECISIONS: &[(&str, &str, Who)] = &[
    ("get", "/healthz", Who::Anybody),
    ("get", "/.well-known/oauth-protected-resource", Who::Anybody),
    ("get", "/.well-known/oauth-authorization-server", Who::Anybody),
    ("get", "/oauth/authorize", Who::Anybody),
    ("post", "/oauth/authorize", Who::Anybody),
    ("post", "/oauth/device_authorization", Who::Anybody),
    ("get", "/oauth/device", Who::Anybody),
    ("post", "/oauth/device", Who::Anybody),
    ("post", "/oauth/invite", Who::Anybody),
    ("post", "/oauth/token", Who::Anybody),
    ("post", "/oauth/revoke", Who::Anybody),
    ("get", "/v1/me", Who::SignedIn),
    ("get", "/v1/devices/{registrationId}", Who::ReaderOrItself),
    ("put", "/v1/devices/{registrationId}", Who::Administrator),
    ("post", "/v1/devices/{registrationId}/allocation", Who::InstallerOrItself),
    ("post", "/v1/devices/{registrationId}/certificate", Who::Installer),
    ("post", "/v1/devices/{registrationId}/certificate/renewal", Who::Itself),
    ("post", "/v1/devices/{registrationId}/symmetric-key", Who::Installer),
    ("post", "/v1/devices/{registrationId}/owner-signature", Who::Installer),
    ("post", "/v1/devices/{registrationId}/outcome", Who::Installer),
    ("get", "/v1/devices/{registrationId}/events", Who::Auditor),
    ("post", "/v1/devices/{registrationId}/reprovision", Who::Administrator),
    ("post", "/v1/devices/{registrationId}/move", Who::Administrator),
    ("post", "/v1/devices/{registrationId}/decommission", Who::Administrator),
    ("post", "/v1/devices/{registrationId}/transfer", Who::Administrator),
    ("post", "/v1/bulk-changes", Who::Administrator),
    ("get", "/v1/transfers", Who::Auditor),
    ("post", "/v1/transfers/{transferId}/accept", Who::Administrator),
    ("post", "/v1/transfers/{transferId}/decline", Who::Administrator),
    ("post", "/v1/transfers/{transferId}/withdraw", Who::Administrator),
    ("get", "/v1/events", Who::Auditor),
    ("get", "/v1/instances", Who::Auditor),
    ("patch", "/v1/instances/{name}", Who::Administrator),
    ("post", "/v1/allocations/dry-run", Who::Auditor),
    ("post", "/v1/imports", Who::Administrator),
    ("get", "/v1/imports/{importId}", Who::Auditor),
    ("get", "/v1/imports/{importId}/problems", Who::Auditor),
    ("post", "/v1/invites", Who::Administrator),
    ("get", "/v1/invites", Who::Auditor),
    ("delete", "/v1/invites/{inviteId}", Who::Administrator),
    ("post", "/v1/work-orders", Who::Administrator),
    ("get", "/v1/work-orders", Who::Reader),
    ("get", "/v1/work-orders/{id}", Who::Reader),
    ("patch", "/v1/work-orders/{id}", Who::Administrator),
    ("post", "/v1/work-orders/{id}/offline", Who::Installer),
    ("get", "/v1/authorities", Who::Auditor),
    ("post", "/v1/authorities", Who::Administrator),
    ("post", "/v1/authorities/{fingerprint}/activation", Who::Administrator),
    ("delete", "/v1/authorities/{fingerprint}", Who::Administrator),
];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Asking {
    Nobody,
    Installer,
    Administrator,
    Auditor,
    Device,
}

impl Who {
    fn lets(self, asking: Asking) -> bool {
        use Asking::{Administrator, Auditor, Device, Installer, Nobody};
        match self {
            Self::Anybody => true,
            Self::SignedIn => asking != Nobody,
            Self::Reader => matches!(asking, Installer | Administrator | Auditor),
            Self::ReaderOrItself => asking != Nobody,
            Self::Installer => matches!(asking, Installer | Administrator),
            Self::InstallerOrItself => matches!(asking, Installer | Administrator | Device),
            Self::Itself => asking == Device,
            Self::Auditor => matches!(asking, Administrator | Auditor),
            Self::Administrator => asking == Administrator,
        }
    }
}

/// A CA of devices, as a factory has it.
struct Factory {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Factory {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Factory");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    /// A client that shows this device's certificate.
    fn device(&self, api: &Api, common_name: Option<&str>, dns: &[&str]) -> reqwest::Client {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        client_with(&api.running.ca_pem, Some((vec![leaf.der().to_vec()], &key)))
    }

    async fn api(&self) -> Api {
        self.api_with(|_| {}).await
    }

    async fn api_with(&self, change: impl FnOnce(&mut provisioning_api::Options)) -> Api {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("factory.pem");
        std::fs::write(&file, &self.pem).unwrap();
        let config = common::config(folder.path(), vec![nobody("north")]);
        let mut options = common::options();
        options.zero_touch_ca = vec![file];
        options.limits.strangers_per_minute = 100_000;
        options.limits.dps_budget = std::time::Duration::from_millis(100);
        change(&mut options);
        Api::over(folder, config, options).await
    }
}

async fn ask(http: &reqwest::Client, api: &Api, method: &str, path: &str, token: Option<&str>) -> Answer {
    let method: Method = method.to_uppercase().parse().unwrap();
    // Whatever it is: so that who is refused is not refused for not having looked.
    let mut request = http.request(method.clone(), format!("{}{path}", api.running.url)).header("if-match", "*");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if path.starts_with("/oauth/") && method == Method::POST {
        request = request.header("content-type", "application/x-www-form-urlencoded");
    } else if method != Method::GET && method != Method::DELETE {
        request = request.json(&body(path));
    }
    finish(request).await
}

/// As [`ask`], with this body.
async fn tell(api: &Api, method: &str, path: &str, token: &str, body: &Value) -> Answer {
    let method: Method = method.to_uppercase().parse().unwrap();
    let request = api.http.request(method, format!("{}{path}", api.running.url)).bearer_auth(token);
    finish(request.header("if-match", "*").json(body)).await
}

/// As each path wants it, so that who is refused is not refused for the form.
fn body(path: &str) -> Value {
    let handoff = Uuid::nil();
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    if path.starts_with("/v1/instances/") {
        return json!({ "capacity": 5, "reason": "x" });
    }
    if path.starts_with("/v1/work-orders/") && !path.ends_with("/offline") {
        return json!({ "state": "closed" });
    }
    match path.rsplit('/').next().unwrap() {
        "allocation" => json!({ "handoffId": handoff, "attestations": ["x509"] }),
        "certificate" => json!({ "handoffId": handoff, "csr": csr("sn-1").0 }),
        "renewal" => json!({ "csr": csr("sn-1").0 }),
        "symmetric-key" => json!({ "handoffId": handoff }),
        "owner-signature" => json!({ "handoffId": handoff, "operation": "reset", "nonce": zeros }),
        "outcome" => {
            json!({ "handoffId": handoff, "outcome": { "status": "failed", "code": "cancelled", "text": "" } })
        }
        "reprovision" => json!({ "policy": "reset", "reason": "x" }),
        "move" => json!({ "dpsInstance": "north", "reason": "x" }),
        "decommission" => json!({ "reason": "x" }),
        "transfer" => {
            let until = jiff::Timestamp::now() + std::time::Duration::from_secs(3600);
            json!({ "toTenant": "elsewhere", "expiresAt": until, "reason": "x" })
        }
        "offline" => json!({ "publicKey": "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=" }),
        _ => json!({}),
    }
}

fn filled(path: &str, device: &str) -> String {
    let path = path.replace("{registrationId}", device).replace("{name}", "nowhere").replace("{fingerprint}", "00");
    ["{importId}", "{transferId}", "{inviteId}", "{id}"]
        .iter()
        .fold(path, |path, name| path.replace(name, "00000000-0000-0000-0000-000000000000"))
}

#[tokio::test]
async fn every_path_has_a_decision_about_every_role_and_holds_it() {
    let described: Value = serde_json::from_str(&provisioning_api::openapi()).unwrap();
    let described: BTreeSet<(String, String)> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())))
        .collect();
    let decided: BTreeSet<(String, String)> =
        DECISIONS.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described.difference(&decided).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "undecided");
    assert_eq!(decided.difference(&described).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "gone");

    let factory = Factory::new();
    let api = factory.api().await;
    api.add("sn-1").await;
    let (_, auditor) = api.running.office().issue_token(Role::Auditor, "Otto", 1).await.unwrap();
    let device = factory.device(&api, Some("sn-1"), &[]);
    for (method, path, who) in DECISIONS {
        let filled = filled(path, "sn-1");
        for asking in [Asking::Nobody, Asking::Installer, Asking::Auditor, Asking::Device, Asking::Administrator] {
            // Removes the device, which the others then ask for in vain.
            if path.ends_with("/decommission") && asking == Asking::Administrator {
                continue;
            }
            let (http, token) = match asking {
                Asking::Nobody => (&api.http, None),
                Asking::Installer => (&api.http, Some(api.installer.as_str())),
                Asking::Administrator => (&api.http, Some(api.administrator.as_str())),
                Asking::Auditor => (&api.http, Some(auditor.expose_secret())),
                Asking::Device => (&device, None),
            };
            let answer = ask(http, &api, method, &filled, token).await;
            let status = answer.status.as_u16();
            let context = format!("{method} {path}, {asking:?}: {status} {}", String::from_utf8_lossy(&answer.body));
            match (who.lets(asking), asking) {
                // RFC 6749's own 401, for a client that is unknown.
                (true, _) if filled.starts_with("/oauth/") => assert!(status < 500, "{context}"),
                (true, _) => assert!(![401, 403, 405, 500].contains(&status), "{context}"),
                (false, Asking::Nobody) => assert_eq!(status, 401, "{context}"),
                (false, _) => {
                    assert_eq!(status, 403, "{context}");
                    answer.refused(403, ProblemCode::Forbidden);
                }
            }
        }
    }
}

/// All of an answer but what is new in each, and the names that were asked for.
fn alike(answer: &Answer, names: &[&str]) -> (u16, String, Vec<(String, String)>) {
    let without = |text: &str| names.iter().fold(text.to_owned(), |text, name| text.replace(name, "NAME"));
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.remove("requestId");
        body.remove("importId");
    }
    let headers = answer.headers.iter().filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), without(value.to_str().unwrap()))).collect();
    (answer.status.as_u16(), without(&body.to_string()), headers)
}

/// What there is of a tenant, and what is asked for instead that nobody has.
struct There {
    token: String,
    /// Names in paths and bodies: of the tenant, and of nobody.
    pairs: Vec<(String, String)>,
}

/// A tenant with one of everything that has an ID.
async fn furnished(api: &Api, tenant: &str, device: &str) -> There {
    let office = api.running.office();
    office.add_tenant(tenant).await.unwrap();
    let (_, token) = office.issue_tenant_token(Role::Administrator, "Ann", tenant, 1).await.unwrap();
    let token = token.expose_secret().to_owned();
    let put = async |path: &str, body: Value| api.send(Method::PUT, path, Some(&token), Some(body)).await;
    assert!(put(&format!("/v1/devices/{device}"), json!({})).await.status.is_success());
    let order = provisioning_api_contract::NewWorkOrder { devices: vec![device.to_owned()], ..common::any_devices(5) };
    let order = office.open_order("Ivo", Some(tenant), order).await.unwrap();
    let offer = json!({ "toTenant": "elsewhere", "expiresAt": jiff::Timestamp::now() + std::time::Duration::from_secs(3600), "reason": "x" });
    let request = api.http.post(format!("{}/v1/devices/{device}/transfer", api.running.url)).bearer_auth(&token);
    let transfer: Value = finish(request.header("if-match", "*").json(&offer)).await.ok();
    let import = Uuid::new_v4().to_string();
    let request = api.http.post(format!("{}/v1/imports", api.running.url)).bearer_auth(&token);
    let request = request.header("idempotency-key", &import).header("content-type", "text/csv");
    assert!(finish(request.body("registrationId\nsn-9\n")).await.status.is_success());
    office.invite(Role::Installer, "Ida", Some(tenant), 5).await.unwrap();
    let invite = office.invites().await.unwrap().remove(0).id;
    let account = order.installer;
    let nobody = || Uuid::new_v4().to_string();
    let pairs = vec![
        (device.to_owned(), "sn-0".to_owned()),
        (order.id.to_string(), nobody()),
        (transfer["id"].as_str().unwrap().to_owned(), nobody()),
        (import, nobody()),
        (invite, nobody()),
        (account, nobody()),
        (format!("own-{tenant}"), "own-0".to_owned()),
        (tenant.to_owned(), "no-tenant".to_owned()),
    ];
    There { token, pairs }
}

/// The one of two names that is there, or the one that is not.
type Pick = fn((&str, &str)) -> String;
/// Method, path with what is there, path with what is not, and the two bodies.
type Ask = (String, String, String, Option<(Value, Value)>);

#[tokio::test]
async fn what_is_not_yours_is_as_unknown_as_what_does_not_exist() {
    let factory = Factory::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("factory.pem");
    std::fs::write(&file, &factory.pem).unwrap();
    let own = provisioning_api::Placement { tenant: Some("acme".into()), ..Default::default() };
    let own = provisioning_api::InstanceConfig { placement: own, ..nobody("own-acme") };
    let config = common::config(folder.path(), vec![nobody("north"), own]);
    let mut options = common::options();
    options.zero_touch_ca = vec![file];
    options.limits.requests_per_minute = 1_000_000;
    options.limits.dps_budget = std::time::Duration::from_millis(100);
    let api = Api::over(folder, config, options).await;
    let there = furnished(&api, "acme", "sn-1").await;
    let office = api.running.office();
    office.add_tenant("other").await.unwrap();
    let mut foreign = Vec::new();
    for role in [Role::Installer, Role::Administrator, Role::Auditor] {
        let (_, token) = office.issue_tenant_token(role, "Fay", "other", 1).await.unwrap();
        foreign.push((role, token.expose_secret().to_owned()));
    }
    let of = |index: usize| (there.pairs[index].0.as_str(), there.pairs[index].1.as_str());
    let [device, order, transfer, import, invite, account, instance, tenant] = std::array::from_fn(of);
    let place = |path: &str, pick: Pick| {
        path.replace("{registrationId}", &pick(device))
            .replace("/work-orders/{id}", &format!("/work-orders/{}", pick(order)))
            .replace("{transferId}", &pick(transfer))
            .replace("{importId}", &pick(import))
            .replace("{inviteId}", &pick(invite))
            .replace("{name}", &pick(instance))
            .replace("{fingerprint}", "00")
    };
    let (known, unknown): (Pick, Pick) = (|pair| pair.0.to_owned(), |pair| pair.1.to_owned());
    let mut asks: Vec<Ask> = DECISIONS
        .iter()
        .filter(|(_, path, _)| path.contains('{'))
        .map(|(method, path, _)| ((*method).to_owned(), place(path, known), place(path, unknown), None))
        .collect();
    // Names in bodies and parameters.
    let body_of = |method: &str, path: &str, make: &dyn Fn(Pick) -> Value| {
        (method.to_owned(), path.to_owned(), path.to_owned(), Some((make(known), make(unknown))))
    };
    let body = |path: &str, make: &dyn Fn(Pick) -> Value| body_of("post", path, make);
    // One's own device, which one would move to another tenant's instance.
    let (_, fay) = &foreign[1];
    assert_eq!(tell(&api, "put", "/v1/devices/sn-own", fay, &json!({})).await.status, 201);
    asks.extend([
        body("/v1/work-orders", &|pick| {
            json!({ "site": "x", "installer": pick(account), "anyOf": { "atMost": 1 } })
        }),
        body("/v1/allocations/dry-run", &|pick| json!({ "registrationId": pick(device) })),
        body("/v1/allocations/dry-run", &|pick| json!({ "dpsInstance": pick(instance) })),
        body("/v1/allocations/dry-run", &|pick| json!({ "tenant": pick(tenant) })),
        body("/v1/bulk-changes?dryRun=true", &|pick| {
            json!({ "operation": "decommission", "reason": "x", "select": { "registrationIds": [pick(device)] } })
        }),
        body("/v1/bulk-changes?dryRun=true", &|pick| {
            json!({ "operation": "move", "reason": "x", "dpsInstance": pick(instance), "select": { "registrationIds": ["sn-own"] } })
        }),
        body("/v1/bulk-changes?dryRun=true", &|pick| {
            json!({ "operation": "decommission", "reason": "x", "select": { "dpsInstance": pick(instance) } })
        }),
        body("/v1/devices/sn-own/move?dryRun=true", &|pick| json!({ "dpsInstance": pick(instance), "reason": "x" })),
        body_of("put", "/v1/devices/sn-own", &|pick| json!({ "dpsInstance": pick(instance), "reason": "x" })),
        body_of("put", "/v1/devices/sn-new", &|pick| json!({ "dpsInstance": pick(instance) })),
        body("/v1/invites", &|pick| json!({ "role": "installer", "name": "Eve", "tenant": pick(tenant) })),
    ]);
    for path in ["/v1/work-orders?after=", "/v1/events?device=", "/v1/events?who=", "/v1/me?tenant="] {
        let pair = match path {
            "/v1/work-orders?after=" => order,
            "/v1/me?tenant=" => tenant,
            _ => device,
        };
        asks.push(("get".into(), format!("{path}{}", pair.0), format!("{path}{}", pair.1), None));
    }
    // A device of one's own of that name comes last: then it is known.
    asks.sort_by_key(|(method, ..)| method == "put");
    let names: Vec<&str> = there.pairs.iter().flat_map(|(one, other)| [one.as_str(), other.as_str()]).collect();
    for (method, theirs, nobodys, bodies) in &asks {
        for (role, token) in &foreign {
            let ask = async |path: &str, body: Option<Value>| match body {
                None => ask(&api.http, &api, method, path, Some(token)).await,
                Some(body) => tell(&api, method, path, token, &body).await,
            };
            let (one, other) = bodies.clone().unzip();
            let (one, other) = (ask(theirs, one).await, ask(nobodys, other).await);
            let context = format!("{method} {theirs} {role:?}");
            assert_eq!(alike(&one, &names), alike(&other, &names), "{context}");
            assert!(!one.status.is_server_error() || one.status == 502, "{context} {}", one.status);
        }
        // To a device, every other one is unknown.
        if theirs.contains("/devices/") && method != "put" {
            let stranger = factory.device(&api, Some("sn-9"), &[]);
            let one = ask(&stranger, &api, method, theirs, None).await;
            let other = ask(&stranger, &api, method, nobodys, None).await;
            assert_eq!(alike(&one, &names), alike(&other, &names), "{method} {theirs} device");
        }
    }
    // An import under another's ID, of another's devices; an order and an offer with another's names.
    let import_file = async |id: &str, file: String| {
        let request = api.http.post(format!("{}/v1/imports", api.running.url)).bearer_auth(fay);
        let request = request.header("idempotency-key", id).header("content-type", "text/csv");
        finish(request.body(file)).await
    };
    let import_as =
        async |id: &str, device: &str| import_file(id, format!("registrationId,model\n{device}-x,pump\n")).await;
    let (one, other) = (import_as(import.0, "sn-9").await, import_as(import.1, "sn-8").await);
    assert_eq!(alike(&one, &names), alike(&other, &names));
    assert!(one.status.is_success());
    // The same for the instance that a row pins its device to.
    let pinned = async |to: &str| {
        import_file(&Uuid::new_v4().to_string(), format!("registrationId,dpsInstance\nsn-7-x,{to}\n")).await
    };
    let (one, other) = (pinned(instance.0).await, pinned(instance.1).await);
    assert_eq!(alike(&one, &names), alike(&other, &names));
    assert_eq!(one.ok::<Value>()["problems"][0]["code"], "unknown-value");
    for (which, to) in [("sn-8-x", tenant.0), ("sn-9-x", tenant.1)] {
        let offer = json!({ "toTenant": to, "expiresAt": jiff::Timestamp::now() + std::time::Duration::from_secs(3600), "reason": "x" });
        let request = api.http.post(format!("{}/v1/devices/{which}/transfer", api.running.url)).bearer_auth(fay);
        assert_eq!(finish(request.header("if-match", "*").json(&offer)).await.status, 201);
    }
    // What is the caller's own is told, so that the above says something.
    let own: Device = api.send(Method::GET, "/v1/devices/sn-1", Some(&there.token), None).await.ok();
    assert_eq!(own.registration_id, "sn-1");
    for (token, device, to) in [(&there.token, "sn-1", instance.0), (fay, "sn-own", "north")] {
        let to = json!({ "dpsInstance": to, "reason": "x" });
        let moved = tell(&api, "post", &format!("/v1/devices/{device}/move?dryRun=true"), token, &to).await;
        assert_eq!(moved.status, 200, "{device}");
        assert_eq!(tell(&api, "put", &format!("/v1/devices/{device}"), token, &to).await.status, 200, "{device}");
    }
    let path = format!("/v1/work-orders/{}", order.0);
    assert!(api.send(Method::GET, &path, Some(&there.token), None).await.status.is_success());
    assert_eq!(api.send(Method::GET, &path, Some(fay), None).await.status, 404);
    // And no administrator of a tenant invites into all of them.
    let body = json!({ "role": "administrator", "name": "Eve" });
    api.send(Method::POST, "/v1/invites", Some(fay), Some(body)).await;
    assert_eq!(office.invites().await.unwrap()[0].tenant.as_deref(), Some("other"));
}

#[tokio::test]
async fn a_device_with_its_own_certificate_reaches_itself_and_nothing_else() {
    let factory = Factory::new();
    let api = factory.api().await;
    for id in ["SN-1", "sn-2", "sn-3"] {
        api.add(id).await;
    }
    let device = factory.device(&api, Some("sn-1"), &[]);
    let me: Me = ask(&device, &api, "get", "/v1/me", None).await.ok();
    assert_eq!((me.name.as_str(), me.role), ("SN-1", provisioning_api_contract::Role::Device));
    assert_eq!(me.tenant.as_deref(), Some("default"));
    let itself: Device = ask(&device, &api, "get", "/v1/devices/sn-1", None).await.ok();
    assert_eq!(itself.registration_id, "SN-1");
    ask(&device, &api, "get", "/v1/devices/sn-2", None).await.refused(404, ProblemCode::DeviceUnknown);
    ask(&device, &api, "post", "/v1/devices/sn-2/allocation", None).await.refused(404, ProblemCode::DeviceUnknown);
    ask(&device, &api, "post", "/v1/devices/sn-1/symmetric-key", None).await.refused(403, ProblemCode::Forbidden);
    // DPS is not there; that it is asked says that the device may.
    ask(&device, &api, "post", "/v1/devices/sn-1/allocation", None).await.refused(502, ProblemCode::DpsUnavailable);

    // A name of its own may stand in the other place; one of two names is nobody's.
    let by_san = factory.device(&api, None, &["sn-2"]);
    let _: Device = ask(&by_san, &api, "get", "/v1/devices/sn-2", None).await.ok();
    for nobody in [
        factory.device(&api, None, &["sn-1", "sn-2"]),
        factory.device(&api, Some("not allowed"), &[]),
        factory.device(&api, Some("sn-9"), &[]),
    ] {
        ask(&nobody, &api, "get", "/v1/devices/sn-1", None).await.refused(401, ProblemCode::Unauthenticated);
    }
    // A person's token counts even if the machine shows a certificate.
    let me: Me = ask(&device, &api, "get", "/v1/me", Some(&api.administrator)).await.ok();
    assert_eq!(me.name, "Ada");
    ask(&device, &api, "get", "/v1/me", Some("lowtouch_wrong")).await.refused(401, ProblemCode::Unauthenticated);

    // One that was taken out of service is out at the next call, too.
    let scrap =
        api.http.post(format!("{}/v1/devices/sn-2/decommission", api.running.url)).bearer_auth(&api.administrator);
    let scrap = scrap.header("if-match", "*").json(&json!({ "reason": "scrapped" }));
    assert!(finish(scrap).await.status.is_success());
    ask(&by_san, &api, "get", "/v1/me", None).await.refused(401, ProblemCode::Unauthenticated);

    // A disabled one is out at the next call.
    let account = api.running.office().accounts().await.unwrap();
    let account = account.iter().find(|account| account.name == "SN-1").unwrap();
    assert_eq!((account.role.as_str(), account.issuer.as_deref()), ("device", Some("device-certificate")));
    assert!(api.running.office().set_account_disabled(&account.id, true).await.unwrap());
    ask(&device, &api, "get", "/v1/me", None).await.refused(401, ProblemCode::Unauthenticated);
}

#[tokio::test]
async fn a_certificate_of_another_ca_does_not_get_as_far_as_a_request() {
    let factory = Factory::new();
    let api = factory.api().await;
    api.add("sn-1").await;
    let forged = Factory::new().device(&api, Some("sn-1"), &[]);
    assert!(forged.get(format!("{}/v1/me", api.running.url)).send().await.is_err());
    // Where no CA for zero-touch is configured, none but our own is known.
    let plain = Api::start(vec![]).await;
    plain.add("sn-1").await;
    let device = factory.device(&plain, Some("sn-1"), &[]);
    assert!(device.get(format!("{}/v1/me", plain.running.url)).send().await.is_err());
}

#[tokio::test]
async fn an_auditor_reads_all_and_changes_nothing() {
    let (dps, _folder) = common::emulator().await;
    let api = Api::start(vec![common::instance("north", &dps)]).await;
    api.put("/v1/devices/sn-1", json!({})).await;
    let handoff = Uuid::new_v4();
    let path = |what: &str| format!("/v1/devices/sn-1{what}");
    let (_, auditor) = api.running.office().issue_token(Role::Auditor, "Otto", 1).await.unwrap();
    let auditor = Some(auditor.expose_secret());
    let request = json!({ "handoffId": handoff, "attestations": ["symmetricKey"] });
    let administrator = Some(api.administrator.as_str());
    let _: Allocation = api.send(Method::POST, &path("/allocation"), administrator, Some(request.clone())).await.ok();
    let _: Device = api.send(Method::GET, &path(""), auditor, None).await.ok();
    for (what, body) in [("/allocation", request), ("/symmetric-key", json!({ "handoffId": handoff }))] {
        api.send(Method::POST, &path(what), auditor, Some(body)).await.refused(403, ProblemCode::Forbidden);
    }
}

/// How far the times of two answers lie apart: the medians in microseconds, and how often one of the one kind takes longer than
/// one of the other (0.5: nothing to be learnt), with its standard error.
fn apart(one: &mut [f64], other: &mut [f64]) -> (f64, f64, f64, f64) {
    for times in [&mut *one, &mut *other] {
        times.sort_unstable_by(f64::total_cmp);
    }
    let longer: usize = one.iter().map(|time| other.partition_point(|other| other < time)).sum();
    let (n, m) = (one.len() as f64, other.len() as f64);
    let error = ((n + m + 1.0) / (12.0 * n * m)).sqrt();
    (one[one.len() / 2], other[other.len() / 2], longer as f64 / (n * m), error)
}

/// For docs/benchmarks.md.
#[tokio::test]
#[ignore = "measures, and asserts nothing"]
async fn measured_how_long_the_answers_to_unknown_and_not_yours_take() {
    const SAMPLES: usize = 4000;
    let factory = Factory::new();
    let api = factory.api_with(|options| options.limits.requests_per_minute = 10_000_000).await;
    let there = furnished(&api, "acme", "sn-1").await;
    let office = api.running.office();
    office.add_tenant("other").await.unwrap();
    let mut callers = Vec::new();
    for (who, role, tenant) in [
        ("administrator of another tenant", Role::Administrator, "other"),
        ("installer of another tenant", Role::Installer, "other"),
        ("installer of the tenant, in no order", Role::Installer, "acme"),
    ] {
        let (_, token) = office.issue_tenant_token(role, "Fay", tenant, 1).await.unwrap();
        callers.push((who, token.expose_secret().to_owned()));
    }
    let pairs = [("/v1/devices/", &there.pairs[0]), ("/v1/work-orders/", &there.pairs[1])];
    for (who, token) in &callers {
        for (path, (theirs, nobodys)) in &pairs {
            let mut times = [Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES)];
            for sample in 0..SAMPLES {
                // Now the one first, now the other.
                for index in [sample % 2, 1 - sample % 2] {
                    let path = format!("{path}{}", [theirs, nobodys][index]);
                    let from = std::time::Instant::now();
                    let answer = api.send(Method::GET, &path, Some(token), None).await;
                    times[index].push(from.elapsed().as_secs_f64() * 1e6);
                    assert_eq!(answer.status, 404);
                }
            }
            let [one, other] = &mut times;
            let (one, other, share, error) = apart(one, other);
            println!(
                "{who}, {path}: not theirs {one:.0} us, unknown {other:.0} us, longer in {share:.3} ± {error:.3} of pairs"
            );
        }
    }
}
