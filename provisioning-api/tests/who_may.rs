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
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("factory.pem");
        std::fs::write(&file, &self.pem).unwrap();
        let config = common::config(folder.path(), vec![nobody("north")]);
        let mut options = common::options();
        options.zero_touch_ca = vec![file];
        options.limits.strangers_per_minute = 100_000;
        options.limits.dps_budget = std::time::Duration::from_millis(100);
        Api::over(folder, config, options).await
    }
}

async fn ask(http: &reqwest::Client, api: &Api, method: &str, path: &str, token: Option<&str>) -> Answer {
    let method: Method = method.to_uppercase().parse().unwrap();
    let mut request = http.request(method.clone(), format!("{}{path}", api.running.url));
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

/// As each path wants it, so that who is refused is not refused for the form.
fn body(path: &str) -> Value {
    let handoff = Uuid::nil();
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    match path.rsplit('/').next().unwrap() {
        "allocation" => json!({ "handoffId": handoff, "attestations": ["x509"] }),
        "certificate" => json!({ "handoffId": handoff, "csr": csr("sn-1").0 }),
        "symmetric-key" => json!({ "handoffId": handoff }),
        "owner-signature" => json!({ "handoffId": handoff, "operation": "reset", "nonce": zeros }),
        "outcome" => {
            json!({ "handoffId": handoff, "outcome": { "status": "failed", "code": "cancelled", "text": "" } })
        }
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

/// All of an answer but what is new in each.
fn alike(answer: &Answer) -> (u16, Value, Vec<String>) {
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.remove("requestId");
    }
    let names = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
    (answer.status.as_u16(), body, names)
}

#[tokio::test]
async fn what_is_not_yours_is_as_unknown_as_what_does_not_exist() {
    let factory = Factory::new();
    let api = factory.api().await;
    for id in ["sn-1", "sn-2"] {
        api.add(id).await;
    }
    let office = api.running.office();
    office.add_tenant("other").await.unwrap();
    let mut foreign = Vec::new();
    for role in [Role::Installer, Role::Administrator, Role::Auditor] {
        let (_, token) = office.issue_tenant_token(role, "Fay", "other", 1).await.unwrap();
        foreign.push((role, token.expose_secret().to_owned()));
    }
    for (method, path, _) in DECISIONS {
        // Putting a device in is the exception: docs/sign-in-api.md says what it tells, and to whom.
        if !path.contains("{registrationId}") || *method == "put" {
            continue;
        }
        for (role, token) in &foreign {
            let known = ask(&api.http, &api, method, &filled(path, "sn-1"), Some(token)).await;
            let unknown = ask(&api.http, &api, method, &filled(path, "sn-0"), Some(token)).await;
            assert_eq!(alike(&known), alike(&unknown), "{method} {path} {role:?}");
            assert!([400, 403, 404].contains(&known.status.as_u16()), "{method} {path} {role:?} {}", known.status);
        }
        // To a device, every other one is unknown.
        let device = factory.device(&api, Some("sn-2"), &[]);
        let known = ask(&device, &api, method, &filled(path, "sn-1"), None).await;
        let unknown = ask(&device, &api, method, &filled(path, "sn-0"), None).await;
        assert_eq!(alike(&known), alike(&unknown), "{method} {path} device");
    }
    // Another tenant's invite is as unknown as one that does not exist.
    office.invite(Role::Installer, "Ida", Some("default"), 5).await.unwrap();
    let invite = office.invites().await.unwrap().remove(0).id;
    let (_, fay) = &foreign[1];
    let known = ask(&api.http, &api, "delete", &format!("/v1/invites/{invite}"), Some(fay)).await;
    let unknown = ask(&api.http, &api, "delete", &filled("/v1/invites/{inviteId}", ""), Some(fay)).await;
    assert_eq!(alike(&known), alike(&unknown));
    known.refused(404, ProblemCode::NotFound);
    let listed: Value = ask(&api.http, &api, "get", "/v1/invites", Some(fay)).await.ok();
    assert_eq!(listed["invites"], json!([]));
    // And no administrator of a tenant invites into another one, or into all.
    let body = json!({ "role": "administrator", "name": "Eve", "tenant": "default" });
    api.send(Method::POST, "/v1/invites", Some(fay), Some(body)).await.refused(400, ProblemCode::BadRequest);
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
    // Where no CA is configured, no certificate is asked for, and one that is shown all the same says nothing.
    let plain = Api::start(vec![]).await;
    plain.add("sn-1").await;
    let device = factory.device(&plain, Some("sn-1"), &[]);
    ask(&device, &plain, "get", "/v1/devices/sn-1", None).await.refused(401, ProblemCode::Unauthenticated);
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
