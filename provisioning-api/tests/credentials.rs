//! What a device was given before it was scrapped, transferred, moved or pinned anew, and what of it DPS still takes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::time::Duration;

use azure_emulator::{CertificatePolicy, Fault, On};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Admin, Answer, Api, client, client_with, csr, device_sas, finish, instance, register, sas, until};
use provisioning_api::ImportFormat;
use provisioning_api_contract::{
    Allocation, Attestation, CertificateResponse, Device, DeviceChange, EffectKind, EventList, ProblemCode,
    SymmetricKeyResponse, Transfer,
};
use rcgen::KeyPair;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

type Dps = azure_emulator::Running;

/// One that lets a device ask as often as these tests do.
async fn emulator() -> (Dps, TempDir) {
    emulator_with(Vec::new()).await
}

async fn emulator_with(certificate_policies: Vec<CertificatePolicy>) -> (Dps, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = azure_emulator::Config::new(folder.path());
    (config.assigning_polls, config.polls_per_10_s) = (0, None);
    config.certificate_policies = certificate_policies;
    (azure_emulator::Emulator::start(config).await.unwrap(), folder)
}

/// What a device holds after a pairing.
enum Held {
    Key(String),
    Certificate(Vec<Vec<u8>>, Box<KeyPair>),
}

struct Paired {
    allocation: Allocation,
    held: Held,
}

impl Paired {
    /// Registers at the instance that it was allocated, with what it holds: the status, or why not.
    async fn registers(&self, dps: &Dps) -> String {
        let registered = match &self.held {
            Held::Key(key) => {
                register(&client(&dps.ca_pem), &self.allocation, Some(device_sas(&self.allocation, key))).await
            }
            Held::Certificate(chain, key) => {
                register(&client_with(&dps.ca_pem, Some((chain.clone(), key.as_ref()))), &self.allocation, None).await
            }
        };
        registered.map_or_else(|answer| answer.status.to_string(), |state| state["status"].as_str().unwrap().to_owned())
    }

    /// The same at another instance, as whoever took what it holds would try it.
    async fn registers_at(&self, dps: &Dps) -> String {
        let allocation = Allocation {
            id_scope: dps.id_scope.clone(),
            global_device_endpoint: dps.endpoint(),
            ..self.allocation.clone()
        };
        let held = match &self.held {
            Held::Key(key) => Held::Key(key.clone()),
            Held::Certificate(chain, key) => {
                Held::Certificate(chain.clone(), Box::new(KeyPair::from_pem(&key.serialize_pem()).unwrap()))
            }
        };
        Self { allocation, held }.registers(dps).await
    }
}

fn is_refused(status: &str) -> bool {
    status == "disabled" || status.starts_with("401")
}

const WHY: &str = "the hall was sold";

impl Admin<'_> {
    async fn send(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.api.http.request(method, format!("{}{path}", self.api.running.url));
        finish(request.bearer_auth(&self.token).header("if-match", "*").json(&body)).await
    }

    /// Into the inventory, or pinned otherwise.
    async fn put(&self, id: &str, mut body: Value) {
        body["reason"] = WHY.into();
        let answer = self.send(Method::PUT, &format!("/v1/devices/{id}"), body).await;
        assert!(answer.status.is_success(), "{}", String::from_utf8_lossy(&answer.body));
    }

    async fn change(&self, id: &str, what: &str, mut body: Value) -> DeviceChange {
        body["reason"] = WHY.into();
        self.send(Method::POST, &format!("/v1/devices/{id}/{what}"), body).await.ok()
    }

    async fn reprovision(&self, id: &str, policy: &str) {
        self.change(id, "reprovision", json!({ "policy": policy })).await;
        self.settled(id).await;
    }

    async fn allocate(&self, id: &str, handoff: Uuid, body: Value) -> Answer {
        let mut asked = json!({ "handoffId": handoff, "attestations": ["tpm", "x509", "symmetricKey"] });
        asked.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        self.send(Method::POST, &format!("/v1/devices/{id}/allocation"), asked).await
    }

    /// A whole pairing, without the registration.
    async fn pair(&self, id: &str) -> Paired {
        let handoff = Uuid::new_v4();
        let allocation: Allocation = self.allocate(id, handoff, json!({})).await.ok();
        let held = match allocation.attestation {
            Attestation::X509 => {
                let (request, key) = csr(id);
                let body = json!({ "handoffId": handoff, "csr": request });
                let path = format!("/v1/devices/{id}/certificate");
                let given: CertificateResponse = self.send(Method::POST, &path, body).await.ok();
                let chain = given.certificate_chain.iter().map(|der| STANDARD.decode(der).unwrap()).collect();
                Held::Certificate(chain, key.into())
            }
            _ => {
                let path = format!("/v1/devices/{id}/symmetric-key");
                let given = self.send(Method::POST, &path, json!({ "handoffId": handoff })).await;
                Held::Key(given.ok::<SymmetricKeyResponse>().key)
            }
        };
        self.assigned(id, handoff).await;
        Paired { allocation, held }
    }

    async fn assigned(&self, id: &str, handoff: Uuid) {
        let outcome = json!({ "status": "assigned", "assignedHub": "hub-1", "deviceId": id });
        let body = json!({ "handoffId": handoff, "outcome": outcome });
        self.send(Method::POST, &format!("/v1/devices/{id}/outcome"), body).await.done();
    }

    async fn decommission(&self, id: &str) -> DeviceChange {
        let done = self.change(id, "decommission", json!({})).await;
        self.settled(id).await;
        done
    }

    async fn import(&self, id: &str, attestation: &str) {
        let file = format!("registrationId,attestation\n{id},{attestation}\n");
        let office = self.api.running.office();
        office.import(Uuid::new_v4(), None, ImportFormat::Csv, false, None, file.as_bytes()).await.unwrap();
    }

    async fn pending(&self, id: &str) -> Vec<String> {
        let path = format!("/v1/devices/{id}");
        self.api.send(Method::GET, &path, Some(&self.token), None).await.ok::<Device>().pending
    }

    /// Waits until nothing is to be done at DPS any more.
    async fn settled(&self, id: &str) {
        until(async || self.pending(id).await.is_empty()).await;
    }

    /// Offers the device to the other one, who accepts.
    async fn gives(&self, id: &str, to: &Admin<'_>, tenant: &str) -> DeviceChange {
        let expires_at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let body = json!({ "toTenant": tenant, "expiresAt": expires_at, "reason": WHY });
        let offer: Transfer = self.send(Method::POST, &format!("/v1/devices/{id}/transfer"), body).await.ok();
        to.send(Method::POST, &format!("/v1/transfers/{}/accept", offer.id), json!({})).await.ok()
    }
}

/// What DPS has there, as its operator sees it.
async fn at_dps(dps: &Dps, what: &str) -> Option<Value> {
    let token = sas("127.0.0.1", &dps.service_key, "provisioningserviceowner");
    let url = format!("{}/{what}?api-version=2025-07-01-preview", dps.url());
    let answer = finish(client(&dps.ca_pem).get(url).header("authorization", token)).await;
    (answer.status == StatusCode::OK).then(|| answer.ok())
}

async fn policy_at(dps: &Dps, id: &str) -> (bool, bool) {
    let policy = at_dps(dps, &format!("enrollments/{id}")).await.unwrap()["reprovisionPolicy"].clone();
    (policy["updateHubAssignment"].as_bool().unwrap(), policy["migrateDeviceData"].as_bool().unwrap())
}

fn barred(change: &DeviceChange) -> Vec<&str> {
    let bars = change.effects.iter().filter(|effect| effect.kind == EffectKind::Barred);
    bars.map(|effect| effect.dps_instance.as_deref().unwrap()).collect()
}

#[tokio::test]
async fn a_scrapped_device_is_barred_at_every_instance_that_would_take_its_certificate_and_at_those_that_come_later() {
    let (north, _north) = emulator().await;
    let (south, _south) = emulator().await;
    let (west, _west) = emulator().await;
    let mut api = Api::start(vec![instance("north", &north), instance("south", &south)]).await;
    let scrapped = {
        let admin = Admin::operator(&api);
        admin.put("sn-1", json!({ "attestation": "x509", "dpsInstance": "north" })).await;
        let scrapped = admin.pair("sn-1").await;
        // Our CA is known at the other instance.
        admin.put("sn-2", json!({ "attestation": "x509", "dpsInstance": "south" })).await;
        assert_eq!(admin.pair("sn-2").await.registers(&south).await, "assigned");
        assert_eq!(scrapped.registers_at(&south).await, "assigned", "or this test tells nothing");
        let done = admin.decommission("sn-1").await;
        assert_eq!(barred(&done), ["north", "south"]);
        scrapped
    };
    for dps in [&north, &south] {
        assert!(at_dps(dps, "registrations/sn-1").await.is_none());
        let status = scrapped.registers_at(dps).await;
        assert!(is_refused(&status), "{status}");
    }
    api = api.restart(vec![instance("north", &north), instance("south", &south), instance("west", &west)]).await;
    let admin = Admin::operator(&api);
    until(async || at_dps(&west, "enrollments/sn-1").await.is_some()).await;
    admin.settled("sn-1").await;
    admin.put("sn-3", json!({ "attestation": "x509", "dpsInstance": "west" })).await;
    assert_eq!(admin.pair("sn-3").await.registers(&west).await, "assigned");
    let status = scrapped.registers_at(&west).await;
    assert!(is_refused(&status), "{status}");
}

#[tokio::test]
async fn a_scrapped_device_is_barred_where_it_was_before_it_was_moved_as_well() {
    let (north, _north) = emulator().await;
    let (south, _south) = emulator().await;
    let api = Api::start(vec![instance("north", &north), instance("south", &south)]).await;
    let admin = Admin::operator(&api);
    admin.put("sn-1", json!({ "attestation": "symmetricKey" })).await;
    let first = admin.pair("sn-1").await;
    assert_eq!(first.allocation.dps_instance, "north");
    admin.change("sn-1", "move", json!({ "dpsInstance": "south" })).await;
    let second = admin.pair("sn-1").await;
    admin.settled("sn-1").await;
    let dry = admin.change("sn-1", "decommission?dryRun=true", json!({})).await;
    assert_eq!(barred(&dry), ["south", "north"]);
    admin.decommission("sn-1").await;
    for (paired, dps) in [(&first, &north), (&second, &south)] {
        let status = paired.registers(dps).await;
        assert!(is_refused(&status), "{status}");
    }
}

#[tokio::test]
async fn a_device_that_comes_back_by_an_import_gets_another_credential_and_the_former_one_stays_out_of_force() {
    let (north, _north) = emulator().await;
    let (south, _south) = emulator().await;
    let api = Api::start(vec![instance("north", &north), instance("south", &south)]).await;
    let admin = Admin::operator(&api);
    for (id, attestation) in [("sn-key", "symmetricKey"), ("sn-certificate", "x509")] {
        admin.put(id, json!({ "attestation": attestation, "dpsInstance": "north" })).await;
        let former = admin.pair(id).await;
        assert_eq!(former.registers(&north).await, "assigned");
        admin.decommission(id).await;
        admin.import(id, attestation).await;
        // Until it is paired nothing lets it in; from then on, what it was given last, and that alone.
        let status = former.registers(&north).await;
        assert!(is_refused(&status), "{status}");
        admin.change(id, "move", json!({ "dpsInstance": "north" })).await;
        let again = admin.pair(id).await;
        assert_eq!(again.registers(&north).await, "assigned", "{id}");
        admin.reprovision(id, "keepData").await;
        assert_eq!(policy_at(&north, id).await, (false, false));
        admin.reprovision(id, "migrateData").await;
        assert_eq!(policy_at(&north, id).await, (true, true));
        assert_eq!(again.registers(&north).await, "assigned", "{id}");
        let status = former.registers(&north).await;
        assert!(is_refused(&status), "{id}: {status}");

        // Wherever it goes: neither is good where it was, nor the former one where it is.
        admin.change(id, "move", json!({ "dpsInstance": "south" })).await;
        let there = admin.pair(id).await;
        admin.settled(id).await;
        assert_eq!(there.registers(&south).await, "assigned", "{id}");
        for paired in [&former, &again] {
            let status = paired.registers(&north).await;
            assert!(is_refused(&status), "{id}: {status}");
        }
        let status = former.registers_at(&south).await;
        assert!(is_refused(&status), "{id}: {status}");
        // And back, where it was barred in between.
        admin.change(id, "move", json!({ "dpsInstance": "north" })).await;
        let back = admin.pair(id).await;
        assert_eq!(back.registers(&north).await, "assigned", "{id}");
        let status = former.registers(&north).await;
        assert!(is_refused(&status), "{id}: {status}");
        let events = api.send(Method::GET, &format!("/v1/devices/{id}/events"), Some(&admin.token), None).await;
        let whats: Vec<_> = events.ok::<EventList>().events.into_iter().map(|event| event.what).collect();
        assert!(whats.iter().filter(|what| *what == "no longer barred at DPS").count() >= 2, "{whats:?}");
    }
}

#[tokio::test]
async fn after_a_transfer_the_new_tenants_credential_and_policy_count_and_the_old_ones_do_not() {
    let (north, _north) = emulator().await;
    let (south, _south) = emulator().await;
    let api = Api::start(vec![instance("north", &north), instance("south", &south)]).await;
    let (old, new) = (Admin::of(&api, "old").await, Admin::of(&api, "new").await);
    for (id, attestation, elsewhere) in
        [("sn-key", "symmetricKey", &[][..]), ("sn-certificate", "x509", &["south"][..])]
    {
        old.put(id, json!({ "attestation": attestation, "dpsInstance": "north" })).await;
        let before = old.pair(id).await;
        old.reprovision(id, "keepData").await;
        assert_eq!(before.registers(&north).await, "assigned");
        let accepted = old.gives(id, &new, "new").await;
        assert_eq!(barred(&accepted), elsewhere);
        let revoked = accepted.effects.iter().any(|effect| effect.kind == EffectKind::CertificatesRevoked);
        assert_eq!(revoked, attestation == "x509");
        // It goes on until the new tenant gives it another one.
        assert_eq!(before.registers(&north).await, "assigned");
        new.change(id, "move", json!({ "dpsInstance": "north" })).await;
        let after = new.pair(id).await;
        assert_eq!(after.registers(&north).await, "assigned", "{id}");
        new.settled(id).await;
        assert_eq!(policy_at(&north, id).await, (true, true), "the old tenant's policy is still there");
        for dps in [&north, &south] {
            let status = before.registers_at(dps).await;
            assert!(is_refused(&status), "{id}: {status}");
        }
        new.reprovision(id, "reset").await;
        let status = before.registers(&north).await;
        assert!(is_refused(&status), "{id}: {status}");
    }
}

#[tokio::test]
async fn a_transferred_device_that_is_assigned_elsewhere_is_barred_where_it_was() {
    let (north, _north) = emulator().await;
    let (south, _south) = emulator().await;
    let api = Api::start(vec![instance("north", &north), instance("south", &south)]).await;
    let (old, new) = (Admin::of(&api, "old").await, Admin::of(&api, "new").await);
    old.put("sn-1", json!({ "attestation": "symmetricKey", "dpsInstance": "north" })).await;
    let before = old.pair("sn-1").await;
    old.gives("sn-1", &new, "new").await;
    new.change("sn-1", "move", json!({ "dpsInstance": "south" })).await;
    assert_eq!(before.registers(&north).await, "assigned");
    let after = new.pair("sn-1").await;
    new.settled("sn-1").await;
    assert_eq!(after.registers(&south).await, "assigned");
    let status = before.registers(&north).await;
    assert!(is_refused(&status), "{status}");
}

fn tpm(of: u8) -> Value {
    json!({ "tpm": { "endorsementKey": STANDARD.encode([of; 64]) } })
}

#[tokio::test]
async fn a_device_that_is_pinned_to_another_attestation_is_paired_at_the_same_instance() {
    let (north, _north) = emulator().await;
    let api = Api::start(vec![instance("north", &north)]).await;
    let admin = Admin::operator(&api);
    for (id, policy) in [("sn-1", None), ("sn-2", Some("reset"))] {
        admin.put(id, json!({ "attestation": "tpm" })).await;
        for attestation in ["x509", "tpm", "symmetricKey", "tpm"] {
            let handoff = Uuid::new_v4();
            // The TPM's turn, which every other attestation comes after.
            let allocation: Allocation = admin.allocate(id, handoff, tpm(1)).await.ok();
            assert_eq!(allocation.attestation, Attestation::Tpm);
            assert_eq!(at_dps(&north, &format!("enrollments/{id}")).await.unwrap()["attestation"]["type"], "tpm");
            admin.assigned(id, handoff).await;
            if let Some(policy) = policy {
                admin.reprovision(id, policy).await;
            }
            admin.put(id, json!({ "attestation": attestation })).await;
            if attestation != "tpm" {
                assert_eq!(admin.pair(id).await.registers(&north).await, "assigned", "{id} {attestation}");
                if policy.is_some() {
                    assert_eq!(policy_at(&north, id).await, (true, false), "{id} {attestation}");
                }
                admin.put(id, json!({ "attestation": "tpm" })).await;
            }
        }
    }
}

#[tokio::test]
async fn a_policy_that_was_asked_for_before_a_move_goes_with_a_tpm_and_with_a_downloaded_key() {
    let (north, _north) = emulator().await;
    let (south, _south) = emulator().await;
    let api = Api::start(vec![instance("north", &north), instance("south", &south)]).await;
    let admin = Admin::operator(&api);
    admin.put("sn-tpm", json!({ "attestation": "tpm", "dpsInstance": "north" })).await;
    let handoff = Uuid::new_v4();
    admin.allocate("sn-tpm", handoff, tpm(1)).await.ok::<Allocation>();
    admin.assigned("sn-tpm", handoff).await;
    admin.reprovision("sn-tpm", "keepData").await;
    admin.change("sn-tpm", "move", json!({ "dpsInstance": "south" })).await;
    admin.allocate("sn-tpm", Uuid::new_v4(), tpm(1)).await.ok::<Allocation>();
    assert_eq!(policy_at(&south, "sn-tpm").await, (false, false));

    admin.put("sn-key", json!({ "attestation": "symmetricKey", "dpsInstance": "north" })).await;
    admin.pair("sn-key").await;
    admin.reprovision("sn-key", "reset").await;
    admin.change("sn-key", "move", json!({ "dpsInstance": "south" })).await;
    let me: Value = api.get("/v1/me").await.ok();
    let order = json!({ "site": "Plant 4", "installer": me["accountId"], "devices": ["sn-key"] });
    let order: Value = admin.send(Method::POST, "/v1/work-orders", order).await.ok();
    let asked = json!({ "publicKey": STANDARD.encode([9_u8; 32]) });
    let path = format!("/v1/work-orders/{}/offline", order["id"].as_str().unwrap());
    let given: Value = api.post(&path, asked).await.ok();
    assert_eq!(given["sealed"].as_array().unwrap().len(), 1, "{given}");
    assert_eq!(policy_at(&south, "sn-key").await, (true, false));
}

#[tokio::test]
async fn a_tpms_enrollment_that_was_there_before_names_the_credential_policy() {
    let field = CertificatePolicy { name: "field".into(), valid: Duration::from_secs(86_400) };
    let (dps, _folder) = emulator_with(vec![field]).await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let handoff = Uuid::new_v4();
    let ask = async |api: &Api| {
        let mut body = tpm(1);
        body["certificateFromDps"] = true.into();
        let allocation: Allocation = Admin::operator(api).allocate("sn-1", handoff, body).await.ok();
        allocation.certificate_from_dps
    };
    Admin::operator(&api).put("sn-1", json!({ "attestation": "tpm" })).await;
    assert!(!ask(&api).await);
    let issuing =
        provisioning_api::InstanceConfig { certificate_policy: Some("field".into()), ..instance("north", &dps) };
    let api = api.restart(vec![issuing]).await;
    assert!(ask(&api).await);
    let enrollment = at_dps(&dps, "enrollments/sn-1").await.unwrap();
    assert_eq!(
        (&enrollment["credentialPolicyName"], &enrollment["attestation"]["type"]),
        (&json!("field"), &json!("tpm"))
    );
}

#[tokio::test]
async fn a_pause_that_dps_asks_for_is_at_most_a_quarter_of_an_hour_and_an_absurd_one_ends_nothing() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let admin = Admin::operator(&api);
    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    for (number, seconds) in [2 * 60 * 60, u64::MAX].into_iter().enumerate() {
        let id = format!("sn-{number}");
        admin.put(&id, json!({ "attestation": "symmetricKey" })).await;
        admin.pair(&id).await;
        let told = Some(Duration::from_secs(seconds));
        dps.faults().inject(On::Enrollments, Fault::Status { status: 429, retry_after: told }, 1);
        admin.change(&id, "decommission", json!({})).await;
        until(async || admin.pending(&id).await.first().is_some_and(|task| task.contains("throttling"))).await;
        let due: i64 = sqlx::query_scalar("SELECT due_at FROM outbox WHERE registration_id = $1 AND done_at IS NULL")
            .bind(&id)
            .fetch_one(&db)
            .await
            .unwrap();
        let left = due - jiff::Timestamp::now().as_millisecond();
        assert!((10 * 60 * 1000..=15 * 60 * 1000).contains(&left), "{seconds} s: {left} ms");
    }
    // What else there is to do is done meanwhile.
    admin.put("sn-9", json!({ "attestation": "symmetricKey" })).await;
    admin.pair("sn-9").await;
    admin.decommission("sn-9").await;
}

#[tokio::test]
async fn a_certificate_whose_answer_was_lost_at_dps_is_not_given_before_dps_knows_it() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let admin = Admin::operator(&api);
    admin.put("sn-1", json!({ "attestation": "x509" })).await;
    admin.pair("sn-1").await;
    admin.reprovision("sn-1", "keepData").await;
    let handoff = Uuid::new_v4();
    let allocation: Allocation = admin.allocate("sn-1", handoff, json!({})).await.ok();
    let (request, key) = csr("sn-1");
    let ask =
        || admin.send(Method::POST, "/v1/devices/sn-1/certificate", json!({ "handoffId": handoff, "csr": request }));
    let later = Some(Duration::from_secs(60));
    dps.faults().inject(On::Enrollments, Fault::Status { status: 429, retry_after: later }, 100);
    for _ in 0..2 {
        ask().await.refused(502, ProblemCode::DpsUnavailable);
    }
    dps.faults().clear();
    let given: CertificateResponse = ask().await.ok();
    let chain = given.certificate_chain.iter().map(|der| STANDARD.decode(der).unwrap()).collect();
    let paired = Paired { allocation, held: Held::Certificate(chain, key.into()) };
    assert_eq!(paired.registers(&dps).await, "assigned");
}
