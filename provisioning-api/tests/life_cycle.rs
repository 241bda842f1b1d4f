//! Reprovision, move, transfer, decommission: here, at DPS, and when the service is killed in between.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use azure_emulator::{Fault, On};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Admin, Answer, Api, client, csr, device_sas, emulator, finish, instance, nobody, register, sas, until};
use provisioning_api::Office;
use provisioning_api_contract::{
    Allocation, BulkReport, CertificateResponse, Device, DeviceChange, EffectKind, EventList, Lifecycle,
    OwnerSignatureResponse, ProblemCode, SymmetricKeyResponse, Transfer, TransferList, TransferState,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

impl Admin<'_> {
    async fn get(&self, path: &str) -> Answer {
        self.api.send(Method::GET, path, Some(&self.token), None).await
    }

    async fn device(&self, id: &str) -> Device {
        self.get(&format!("/v1/devices/{id}")).await.ok()
    }

    async fn etag(&self, id: &str) -> String {
        self.get(&format!("/v1/devices/{id}")).await.headers["etag"].to_str().unwrap().to_owned()
    }

    async fn post(&self, path: &str, etag: Option<&str>, body: Value) -> Answer {
        let mut request = self.api.http.post(format!("{}{path}", self.api.running.url)).bearer_auth(&self.token);
        if let Some(etag) = etag {
            request = request.header("if-match", etag);
        }
        finish(request.json(&body)).await
    }

    /// Whatever the device is.
    async fn change(&self, id: &str, what: &str, body: Value) -> Answer {
        self.post(&format!("/v1/devices/{id}/{what}"), Some("*"), body).await
    }

    async fn add(&self, id: &str, attestation: &str) {
        let body = json!({ "attestation": attestation });
        let answer = self.api.send(Method::PUT, &format!("/v1/devices/{id}"), Some(&self.token), Some(body)).await;
        assert!(answer.status.is_success());
    }

    async fn allocate(&self, id: &str, handoff: Uuid) -> Answer {
        let body = json!({ "handoffId": handoff, "attestations": ["x509", "symmetricKey"] });
        self.post(&format!("/v1/devices/{id}/allocation"), None, body).await
    }

    async fn key(&self, id: &str, handoff: Uuid) -> String {
        let path = format!("/v1/devices/{id}/symmetric-key");
        self.post(&path, None, json!({ "handoffId": handoff })).await.ok::<SymmetricKeyResponse>().key
    }

    async fn assigned(&self, id: &str, handoff: Uuid) {
        let outcome = json!({ "status": "assigned", "assignedHub": "hub-1", "deviceId": id });
        let body = json!({ "handoffId": handoff, "outcome": outcome });
        self.post(&format!("/v1/devices/{id}/outcome"), None, body).await.done();
    }

    /// Allocates, gives a key, registers at the emulator, and says so.
    async fn pair(&self, dps: &azure_emulator::Running, id: &str) -> (Allocation, String) {
        let handoff = Uuid::new_v4();
        let allocation: Allocation = self.allocate(id, handoff).await.ok();
        let key = self.key(id, handoff).await;
        registers(dps, &allocation, &key).await.unwrap();
        self.assigned(id, handoff).await;
        (allocation, key)
    }

    /// Waits until nothing is to be done at DPS any more.
    async fn settled(&self, id: &str) {
        until(async || self.device(id).await.pending.is_empty()).await;
    }
}

async fn registers(dps: &azure_emulator::Running, allocation: &Allocation, key: &str) -> Result<Value, String> {
    let registered = register(&client(&dps.ca_pem), allocation, Some(device_sas(allocation, key))).await;
    registered.map_err(|answer| format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)))
}

/// What DPS has there, as its operator sees it.
async fn at_dps(dps: &azure_emulator::Running, what: &str) -> Option<Value> {
    let token = sas("127.0.0.1", &dps.service_key, "provisioningserviceowner");
    let url = format!("{}/{what}?api-version=2021-10-01", dps.url());
    let answer = finish(client(&dps.ca_pem).get(url).header("authorization", token)).await;
    (answer.status == StatusCode::OK).then(|| answer.ok())
}

fn kinds(change: &DeviceChange) -> Vec<EffectKind> {
    change.effects.iter().map(|effect| effect.kind).collect()
}

const WHY: &str = "the hall was sold";

#[tokio::test]
async fn a_decommissioned_device_is_barred_at_dps_and_comes_back_by_an_import_alone() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let admin = Admin::operator(&api);
    admin.add("SN-1", "symmetricKey").await;
    let (allocation, key) = admin.pair(&dps, "SN-1").await;

    let dry: DeviceChange = admin.change("sn-1", "decommission?dryRun=true", json!({ "reason": WHY })).await.ok();
    assert_eq!((dry.dry_run, dry.device.lifecycle), (true, Lifecycle::Decommissioned));
    assert_eq!(kinds(&dry), [EffectKind::Barred]);
    assert!(!dry.effects[0].can_be_undone);
    assert_eq!(admin.device("sn-1").await.lifecycle, Lifecycle::Assigned);

    admin.change("sn-1", "decommission", json!({ "reason": " " })).await.refused(400, ProblemCode::BadRequest);
    let done: DeviceChange = admin.change("sn-1", "decommission", json!({ "reason": WHY })).await.ok();
    assert_eq!(done.device.lifecycle, Lifecycle::Decommissioned);
    admin.settled("sn-1").await;
    assert_eq!(at_dps(&dps, "enrollments/SN-1").await.unwrap()["provisioningStatus"], "disabled");
    assert!(at_dps(&dps, "registrations/SN-1").await.is_none());
    let again = registers(&dps, &allocation, &key).await;
    assert!(again.is_err() || again.unwrap()["status"] == "disabled");

    // To a pairing it is unknown; nothing but an import is possible.
    admin.allocate("sn-1", Uuid::new_v4()).await.refused(404, ProblemCode::DeviceUnknown);
    for (what, body) in [
        ("decommission", json!({ "reason": WHY })),
        ("move", json!({ "dpsInstance": "north", "reason": WHY })),
        ("reprovision", json!({ "policy": "reset", "reason": WHY })),
        ("transfer", json!({ "toTenant": "x", "expiresAt": "2027-01-01T00:00:00Z", "reason": WHY })),
    ] {
        admin.change("sn-1", what, body).await.refused(409, ProblemCode::LifecycleConflict);
    }
    let put = api.put("/v1/devices/sn-1", json!({ "model": "x" })).await;
    put.refused(409, ProblemCode::LifecycleConflict);

    let file = "registrationId,attestation\nSN-1,symmetricKey\n".as_bytes();
    let format = provisioning_api::ImportFormat::Csv;
    let report = api.running.office().import(Uuid::new_v4(), None, format, false, None, file).await.unwrap();
    assert_eq!(report.added, 1);
    // The bar is lifted before the new key is given, whether the outbox had its turn or not; the former key stays out.
    let (allocation, new_key) = admin.pair(&dps, "SN-1").await;
    assert_ne!(new_key, key);
    assert_eq!(at_dps(&dps, "enrollments/SN-1").await.unwrap()["provisioningStatus"], "enabled");
    registers(&dps, &allocation, &key).await.unwrap_err();
    let events: EventList = admin.get("/v1/devices/sn-1/events?order=oldest").await.ok();
    let whats: Vec<_> = events.events.iter().map(|event| event.what.as_str()).collect();
    for what in ["decommissioned", "barred at DPS", "device taken into service again", "no longer barred at DPS"] {
        assert!(whats.contains(&what), "{whats:?}");
    }
    let why = events.events.iter().find(|event| event.what == "decommissioned").unwrap();
    assert_eq!(why.reason.as_deref(), Some(WHY));
    assert!(why.who.starts_with("Ada ("));
}

#[tokio::test]
async fn certificates_of_a_decommissioned_device_are_revoked_and_its_bar_is_by_certificate() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let admin = Admin::operator(&api);
    admin.add("sn-1", "x509").await;
    let handoff = Uuid::new_v4();
    admin.allocate("sn-1", handoff).await.ok::<Allocation>();
    let body = json!({ "handoffId": handoff, "csr": csr("sn-1").0 });
    admin.post("/v1/devices/sn-1/certificate", None, body).await.ok::<CertificateResponse>();
    let done: DeviceChange = admin.change("sn-1", "decommission", json!({ "reason": WHY })).await.ok();
    let expected = [EffectKind::HandoffEnded, EffectKind::Barred, EffectKind::CertificatesRevoked];
    assert_eq!(kinds(&done), expected);
    admin.settled("sn-1").await;
    let enrollment = at_dps(&dps, "enrollments/sn-1").await.unwrap();
    assert_eq!(
        (&enrollment["provisioningStatus"], &enrollment["attestation"]["type"]),
        (&json!("disabled"), &json!("x509"))
    );
    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    let why: String = sqlx::query_scalar("SELECT revoked_why FROM certificates").fetch_one(&db).await.unwrap();
    assert_eq!(why, WHY);
}

#[tokio::test]
async fn a_moved_device_works_where_it_was_until_it_is_assigned_at_the_new_instance() {
    let (north, _north) = emulator().await;
    let (south, _south) = emulator().await;
    let south_instance = provisioning_api::InstanceConfig { id_scope: "0neSouth".into(), ..instance("south", &south) };
    let south_instance = provisioning_api::InstanceConfig { id_scope: south.id_scope.clone(), ..south_instance };
    let api = Api::start(vec![instance("north", &north), south_instance]).await;
    let admin = Admin::operator(&api);
    admin.add("sn-1", "symmetricKey").await;
    let (allocation, key) = admin.pair(&north, "sn-1").await;
    assert_eq!(allocation.dps_instance, "north");

    let here = admin.change("sn-1", "move", json!({ "dpsInstance": "north", "reason": WHY })).await;
    here.refused(400, ProblemCode::BadRequest);
    let nowhere = admin.change("sn-1", "move", json!({ "dpsInstance": "nowhere", "reason": WHY })).await;
    nowhere.refused(400, ProblemCode::BadRequest);
    let moved: DeviceChange = admin.change("sn-1", "move", json!({ "dpsInstance": "south", "reason": WHY })).await.ok();
    assert_eq!(kinds(&moved), [EffectKind::RegistrationRemovedLater, EffectKind::PairAgain]);
    assert_eq!(moved.device.lifecycle, Lifecycle::Expected);
    // It is offline to us, and goes on at the old instance.
    assert_eq!(admin.device("sn-1").await.pending, ["remove at north, once the device is assigned elsewhere"]);
    assert_eq!(registers(&north, &allocation, &key).await.unwrap()["status"], "assigned");

    let (allocation, _) = admin.pair(&south, "sn-1").await;
    assert_eq!(allocation.dps_instance, "south");
    admin.settled("sn-1").await;
    assert!(at_dps(&north, "registrations/sn-1").await.is_none());
    assert!(at_dps(&south, "registrations/sn-1").await.is_some());

    // There and back, before it was ever paired there: what it came back to is not taken from it.
    admin.change("sn-1", "move", json!({ "dpsInstance": "north", "reason": WHY })).await.ok::<DeviceChange>();
    admin.change("sn-1", "move", json!({ "dpsInstance": "south", "reason": WHY })).await.ok::<DeviceChange>();
    admin.pair(&south, "sn-1").await;
    admin.settled("sn-1").await;
    assert!(at_dps(&south, "registrations/sn-1").await.is_some());
}

#[tokio::test]
async fn of_two_administrators_who_move_the_same_device_one_is_told() {
    let api = Api::start(vec![nobody("north"), nobody("south")]).await;
    let admin = Admin::operator(&api);
    admin.add("sn-1", "symmetricKey").await;
    let etag = admin.etag("sn-1").await;
    let to = |name: &str| json!({ "dpsInstance": name, "reason": WHY });
    let path = "/v1/devices/sn-1/move";
    admin.post(path, None, to("north")).await.refused(428, ProblemCode::PreconditionRequired);
    let (one, other) =
        tokio::join!(admin.post(path, Some(&etag), to("north")), admin.post(path, Some(&etag), to("south")));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort();
    assert_eq!(statuses, [200, 412]);
    // A dry run changes nothing, its ETag included; a change does.
    let etag = admin.etag("sn-1").await;
    admin
        .post("/v1/devices/sn-1/decommission?dryRun=true", Some(&etag), json!({ "reason": WHY }))
        .await
        .ok::<DeviceChange>();
    assert_eq!(admin.etag("sn-1").await, etag);
    let late = api.http.put(format!("{}/v1/devices/sn-1", api.running.url)).bearer_auth(&admin.token);
    let late = finish(late.header("if-match", "\"0\"").json(&json!({ "model": "x" }))).await;
    late.refused(412, ProblemCode::PreconditionFailed);
}

#[tokio::test]
async fn of_two_administrators_who_pin_the_same_device_one_is_told() {
    let api = Api::start(vec![nobody("north"), nobody("south")]).await;
    let put = async |etag: Option<&str>, body: Value| {
        let request = api.http.put(format!("{}/v1/devices/sn-1", api.running.url)).bearer_auth(&api.administrator);
        finish(etag.into_iter().fold(request, |request, etag| request.header("if-match", etag)).json(&body)).await
    };
    let to = |name: &str| json!({ "dpsInstance": name, "reason": WHY });
    assert_eq!(put(None, json!({ "model": "pump" })).await.status, 201);
    // Nobody has wished anything of it yet, and the same wish again is none.
    for _ in 0..2 {
        let pinned = put(None, json!({ "dpsInstance": "north", "attestation": "x509" })).await;
        assert_eq!(pinned.status, 200);
    }
    // Another one, or none any more, is what somebody did who saw the first.
    let unpinned = json!({ "model": "valve", "reason": WHY });
    let other_attestation = json!({ "dpsInstance": "north", "attestation": "symmetricKey", "reason": WHY });
    for body in [to("south"), unpinned.clone(), other_attestation] {
        put(None, body).await.refused(428, ProblemCode::PreconditionRequired);
    }
    let etag = Admin::operator(&api).etag("sn-1").await;
    put(Some(&etag), json!({ "dpsInstance": "south" })).await.refused(400, ProblemCode::BadRequest);
    let (one, other) = tokio::join!(put(Some(&etag), to("south")), put(Some(&etag), unpinned));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort();
    assert_eq!(statuses, [200, 412]);
}

#[tokio::test]
async fn reprovisioning_sets_dps_own_policies_and_outlives_a_new_certificate() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let admin = Admin::operator(&api);
    admin.add("sn-1", "symmetricKey").await;
    let early = admin.change("sn-1", "reprovision", json!({ "policy": "reset", "reason": WHY })).await;
    early.refused(409, ProblemCode::LifecycleConflict);
    let (allocation, key) = admin.pair(&dps, "sn-1").await;
    for (policy, update, migrate) in [("keepData", false, false), ("reset", true, false)] {
        let body = json!({ "policy": policy, "reason": WHY });
        let changed: DeviceChange = admin.change("sn-1", "reprovision", body).await.ok();
        assert_eq!(kinds(&changed), [EffectKind::PolicySet, EffectKind::RegisterAgain]);
        admin.settled("sn-1").await;
        let set = at_dps(&dps, "enrollments/sn-1").await.unwrap()["reprovisionPolicy"].clone();
        assert_eq!(set, json!({ "updateHubAssignment": update, "migrateDeviceData": migrate }));
        // With its own key, which is the derived one.
        assert_eq!(registers(&dps, &allocation, &key).await.unwrap()["status"], "assigned");
    }
    admin.change("sn-1", "reprovision", json!({ "policy": "migrateData", "reason": WHY })).await.ok::<DeviceChange>();
    admin.settled("sn-1").await;
    assert!(at_dps(&dps, "enrollments/sn-1").await.is_none(), "the group's policy is the same");

    admin.add("sn-2", "x509").await;
    for round in 0..2 {
        let handoff = Uuid::new_v4();
        let allocation: Allocation = admin.allocate("sn-2", handoff).await.ok();
        let (request, device_key) = csr("sn-2");
        let body = json!({ "handoffId": handoff, "csr": request });
        let given: CertificateResponse = admin.post("/v1/devices/sn-2/certificate", None, body).await.ok();
        let chain = given.certificate_chain.iter().map(|der| STANDARD.decode(der).unwrap()).collect();
        let http = common::client_with(&dps.ca_pem, Some((chain, &device_key)));
        let state =
            register(&http, &allocation, None).await.unwrap_or_else(|answer| panic!("{round}: {}", answer.status));
        assert_eq!(state["status"], "assigned");
        admin.assigned("sn-2", handoff).await;
        admin.change("sn-2", "reprovision", json!({ "policy": "keepData", "reason": WHY })).await.ok::<DeviceChange>();
        admin.settled("sn-2").await;
        assert!(at_dps(&dps, "enrollments/sn-2").await.is_some());
    }
}

/// Stops the service, lets the time pass in the database, and starts it again.
async fn later(api: Api, sql: &'static str, instances: Vec<provisioning_api::InstanceConfig>) -> Api {
    api.running.stop().await;
    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    sqlx::query(sql).execute(&db).await.unwrap();
    db.close().await;
    let config = common::config(api.folder.path(), instances);
    Api::over(api.folder, config, common::options()).await
}

#[tokio::test]
async fn what_is_to_be_done_at_dps_is_done_after_a_kill_and_after_dps_was_down() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    {
        let admin = Admin::operator(&api);
        admin.add("sn-1", "symmetricKey").await;
        admin.pair(&dps, "sn-1").await;
        admin.add("sn-2", "symmetricKey").await;
        admin.pair(&dps, "sn-2").await;
    }
    // DPS cannot be reached when the change is made, and the service ends before it can.
    let down = provisioning_api::InstanceConfig { id_scope: dps.id_scope.clone(), ..nobody("north") };
    let api = api.restart(vec![down]).await;
    {
        let admin = Admin::operator(&api);
        admin.change("sn-1", "decommission", json!({ "reason": WHY })).await.ok::<DeviceChange>();
        until(async || admin.device("sn-1").await.pending[0].contains('(')).await;
        assert!(at_dps(&dps, "enrollments/sn-1").await.is_none());
    }
    let api = later(api, "UPDATE outbox SET due_at = 0, taken_until = 0", vec![instance("north", &dps)]).await;
    {
        let admin = Admin::operator(&api);
        admin.settled("sn-1").await;
        assert_eq!(at_dps(&dps, "enrollments/sn-1").await.unwrap()["provisioningStatus"], "disabled");

        // Done at DPS, and killed before that was written down: the connection ends after the work.
        dps.faults().inject(On::Registrations, Fault::ResetAfter, 1);
        admin.change("sn-2", "decommission", json!({ "reason": WHY })).await.ok::<DeviceChange>();
        admin.settled("sn-2").await;
    }
    // The same from the beginning, as a kill between DPS and the database leaves it.
    let again = "UPDATE outbox SET done_at = NULL, due_at = 0, taken_until = 0";
    let api = later(api, again, vec![instance("north", &dps)]).await;
    let admin = Admin::operator(&api);
    admin.settled("sn-1").await;
    admin.settled("sn-2").await;
    for id in ["sn-1", "sn-2"] {
        assert_eq!(at_dps(&dps, &format!("enrollments/{id}")).await.unwrap()["provisioningStatus"], "disabled");
        assert!(at_dps(&dps, &format!("registrations/{id}")).await.is_none());
    }
}

#[tokio::test]
async fn what_was_put_off_before_the_clock_was_put_back_is_done_all_the_same() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    {
        let admin = Admin::operator(&api);
        admin.add("sn-1", "symmetricKey").await;
        admin.pair(&dps, "sn-1").await;
    }
    let down = provisioning_api::InstanceConfig { id_scope: dps.id_scope.clone(), ..nobody("north") };
    let api = api.restart(vec![down]).await;
    Admin::operator(&api).change("sn-1", "decommission", json!({ "reason": WHY })).await.ok::<DeviceChange>();
    // As if it had been tried a year later than now.
    let ahead = "UPDATE outbox SET due_at = due_at + 31536000000, taken_until = due_at + 31536000000";
    let api = later(api, ahead, vec![instance("north", &dps)]).await;
    Admin::operator(&api).settled("sn-1").await;
    assert_eq!(at_dps(&dps, "enrollments/sn-1").await.unwrap()["provisioningStatus"], "disabled");
}

fn offer_to(tenant: &str) -> Value {
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    json!({ "toTenant": tenant, "expiresAt": until, "reason": "sold with the hall" })
}

#[tokio::test]
async fn a_device_changes_its_tenant_by_offer_and_acceptance_and_the_old_ones_access_ends_at_once() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let (old, new, third) =
        (Admin::of(&api, "old").await, Admin::of(&api, "new").await, Admin::of(&api, "third").await);
    old.add("sn-1", "symmetricKey").await;
    let (before, _) = old.pair(&dps, "sn-1").await;
    // A pairing that goes on, which the transfer ends.
    let open = Uuid::new_v4();
    old.allocate("sn-1", open).await.ok::<Allocation>();

    old.change("sn-1", "transfer", offer_to("old")).await.refused(400, ProblemCode::BadRequest);
    let late = json!({ "toTenant": "new", "expiresAt": "2020-01-01T00:00:00Z", "reason": "x" });
    old.change("sn-1", "transfer", late).await.refused(400, ProblemCode::BadRequest);
    new.change("sn-1", "transfer", offer_to("new")).await.refused(404, ProblemCode::DeviceUnknown);
    let offer: Transfer = old.change("sn-1", "transfer", offer_to("new")).await.ok();
    assert_eq!(offer.state, TransferState::Offered);
    old.change("sn-1", "transfer", offer_to("third")).await.refused(409, ProblemCode::LifecycleConflict);

    // Until then it is the old one's; the offer is seen by two.
    new.get("/v1/devices/sn-1").await.refused(404, ProblemCode::DeviceUnknown);
    let list: TransferList = new.get("/v1/transfers").await.ok();
    assert_eq!(list.transfers, std::slice::from_ref(&offer));
    assert!(third.get("/v1/transfers").await.ok::<TransferList>().transfers.is_empty());
    let accept = format!("/v1/transfers/{}/accept", offer.id);
    third.post(&accept, None, json!({})).await.refused(404, ProblemCode::TransferUnknown);
    old.post(&accept, None, json!({})).await.refused(403, ProblemCode::Forbidden);
    let withdraw = format!("/v1/transfers/{}/withdraw", offer.id);
    new.post(&withdraw, None, json!({})).await.refused(403, ProblemCode::Forbidden);

    let dry: DeviceChange = new.post(&format!("{accept}?dryRun=true"), None, json!({})).await.ok();
    assert_eq!(
        kinds(&dry),
        [
            EffectKind::HandoffEnded,
            EffectKind::AccessEnded,
            EffectKind::RegistrationRemovedLater,
            EffectKind::PairAgain
        ]
    );
    new.get("/v1/devices/sn-1").await.refused(404, ProblemCode::DeviceUnknown);
    // Accepted twice at the same time: once.
    let (one, other) = tokio::join!(new.post(&accept, None, json!({})), new.post(&accept, None, json!({})));
    let (good, bad) = if one.status.is_success() { (one, other) } else { (other, one) };
    assert_eq!(good.ok::<DeviceChange>().device.lifecycle, Lifecycle::Expected);
    bad.refused(409, ProblemCode::TransferEnded);
    for answer in ["decline", "accept"] {
        let again = new.post(&format!("/v1/transfers/{}/{answer}", offer.id), None, json!({})).await;
        again.refused(409, ProblemCode::TransferEnded);
    }

    // The old tenant: nothing more, not even how the pairing that went on ended.
    old.get("/v1/devices/sn-1").await.refused(404, ProblemCode::DeviceUnknown);
    let outcome = json!({ "handoffId": open, "outcome": { "status": "failed", "code": "cancelled", "text": "" } });
    old.post("/v1/devices/sn-1/outcome", None, outcome).await.refused(404, ProblemCode::DeviceUnknown);
    let device = new.device("sn-1").await;
    assert_eq!((device.outcome, device.handoff_id), (None, None), "what was the old one's is not told");
    let own: EventList = old.get("/v1/events?device=SN-1").await.ok();
    assert_eq!(own.events[0].what, "given to another tenant");
    let theirs: EventList = new.get("/v1/devices/sn-1/events").await.ok();
    assert_eq!(
        theirs.events.iter().map(|event| event.what.as_str()).collect::<Vec<_>>(),
        ["taken over from another tenant"]
    );

    // The next hand-off: signed by the old one's key, which the device has, and carrying the new one's.
    let handoff = Uuid::new_v4();
    let allocation: Allocation = new.allocate("sn-1", handoff).await.ok();
    assert_ne!(allocation.owner_public_key, before.owner_public_key);
    let held = Sha256::digest(STANDARD.decode(before.owner_public_key.as_ref().unwrap()).unwrap());
    assert_eq!(allocation.former_owner_key_ids, [STANDARD.encode(held)]);
    let ask = |held: &[u8]| {
        json!({
            "handoffId": handoff, "operation": "stage", "nonce": STANDARD.encode([1; 32]), "digest": STANDARD.encode([2; 32]),
            "ownerKeyId": STANDARD.encode(held),
        })
    };
    let path = "/v1/devices/sn-1/owner-signature";
    new.post(path, None, ask(&[0; 32])).await.refused(400, ProblemCode::BadRequest);
    let signed: OwnerSignatureResponse = new.post(path, None, ask(&held)).await.ok();
    assert_eq!(Some(&signed.owner_public_key), before.owner_public_key.as_ref());
    let field = |bytes: &[u8]| [u16::try_from(bytes.len()).unwrap().to_be_bytes().as_slice(), bytes].concat();
    let root = Sha256::digest(pem::parse(allocation.endpoint_ca.as_deref().unwrap()).unwrap().contents());
    let message = [
        b"lowtouch dps-config v1 stage\0".as_slice(),
        &field(b"sn-1"),
        handoff.as_bytes(),
        &[1; 32],
        &[2; 32],
        &field(allocation.id_scope.as_bytes()),
        &field(allocation.global_device_endpoint.as_bytes()),
        &field(&root),
        &field(&STANDARD.decode(allocation.owner_public_key.as_ref().unwrap()).unwrap()),
        &signed.expires.as_second().to_be_bytes(),
    ]
    .concat();
    let spki = STANDARD.decode(&signed.owner_public_key).unwrap();
    ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, &spki[26..])
        .verify(&message, &STANDARD.decode(&signed.signature).unwrap())
        .unwrap();
    new.assigned("sn-1", handoff).await;
    let allocation: Allocation = new.allocate("sn-1", Uuid::new_v4()).await.ok();
    assert!(allocation.former_owner_key_ids.is_empty(), "it is known to have the new key");
}

#[tokio::test]
async fn an_offer_that_is_declined_withdrawn_or_too_late_leaves_everything_as_it_was() {
    let api = Api::start(vec![nobody("north")]).await;
    let (old, new) = (Admin::of(&api, "old").await, Admin::of(&api, "new").await);
    old.add("sn-1", "symmetricKey").await;
    for (who, answer) in [(&new, "decline"), (&old, "withdraw")] {
        let offer: Transfer = old.change("sn-1", "transfer", offer_to("new")).await.ok();
        let ended: Transfer = who.post(&format!("/v1/transfers/{}/{answer}", offer.id), None, json!({})).await.ok();
        assert!(matches!(ended.state, TransferState::Declined | TransferState::Withdrawn));
        let late = new.post(&format!("/v1/transfers/{}/accept", offer.id), None, json!({})).await;
        late.refused(409, ProblemCode::TransferEnded);
    }
    // Nobody told whether there is such a tenant.
    let offer: Transfer = old.change("sn-1", "transfer", offer_to("nobody-at-all")).await.ok();
    old.post(&format!("/v1/transfers/{}/withdraw", offer.id), None, json!({})).await.ok::<Transfer>();

    let offer: Transfer = old.change("sn-1", "transfer", offer_to("new")).await.ok();
    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    sqlx::query("UPDATE transfers SET expires_at = 1").execute(&db).await.unwrap();
    let late = new.post(&format!("/v1/transfers/{}/accept", offer.id), None, json!({})).await;
    late.refused(409, ProblemCode::TransferEnded);
    assert!(new.get("/v1/transfers").await.ok::<TransferList>().transfers.is_empty());
    // Which is no hindrance to another one.
    let again: Transfer = old.change("sn-1", "transfer", offer_to("new")).await.ok();
    old.change("sn-1", "decommission", json!({ "reason": WHY })).await.ok::<DeviceChange>();
    let ended = new.post(&format!("/v1/transfers/{}/accept", again.id), None, json!({})).await;
    ended.refused(409, ProblemCode::TransferEnded);
}

#[tokio::test]
async fn many_devices_are_changed_as_they_were_counted_and_not_otherwise() {
    let api = Api::start(vec![nobody("north"), nobody("south")]).await;
    let (operator, other) = (Admin::operator(&api), Admin::of(&api, "other").await);
    let file = (0..250).map(|number| format!("sn-{number:04},hall\n")).collect::<String>();
    let file = format!("registrationId,site\n{file}");
    let format = provisioning_api::ImportFormat::Csv;
    api.running.office().import(Uuid::new_v4(), None, format, false, None, file.as_bytes()).await.unwrap();
    let ask = |extra: Value| {
        let mut body = json!({ "operation": "decommission", "select": { "site": "hall" }, "reason": WHY });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let path = "/v1/bulk-changes";
    let dry: BulkReport = operator.post(&format!("{path}?dryRun=true"), None, ask(json!({}))).await.ok();
    assert_eq!((dry.count, dry.changed, dry.remaining, dry.registration_ids.len()), (250, 0, 250, 200));
    operator.post(path, None, ask(json!({}))).await.refused(400, ProblemCode::BadRequest);
    operator.post(path, None, ask(json!({ "expected": 249 }))).await.refused(412, ProblemCode::PreconditionFailed);
    operator
        .post(path, None, ask(json!({ "expected": 250, "select": {} })))
        .await
        .refused(400, ProblemCode::BadRequest);
    // Those of others are not counted.
    let none: BulkReport = other.post(&format!("{path}?dryRun=true"), None, ask(json!({}))).await.ok();
    assert_eq!(none.count, 0);
    let done: BulkReport = operator.post(path, None, ask(json!({ "expected": 250 }))).await.ok();
    assert_eq!((done.changed, done.remaining), (200, 50));
    let done: BulkReport = operator.post(path, None, ask(json!({ "expected": 50 }))).await.ok();
    assert_eq!((done.changed, done.remaining), (50, 0));
    assert_eq!(operator.device("sn-0240").await.lifecycle, Lifecycle::Decommissioned);
    assert_eq!(api.running.office().verify_events(None, None).await.unwrap().fault, None);
}

#[tokio::test]
async fn events_are_found_by_device_account_kind_and_time_in_pages_and_each_tenant_sees_its_own() {
    let api = Api::start(vec![nobody("north")]).await;
    let (operator, north, south) =
        (Admin::operator(&api), Admin::of(&api, "north").await, Admin::of(&api, "south").await);
    for number in 0..5 {
        north.add(&format!("n-{number}"), "x509").await;
        south.add(&format!("s-{number}"), "x509").await;
    }
    let list = async |admin: &Admin<'_>, query: &str| admin.get(&format!("/v1/events{query}")).await.ok::<EventList>();
    let own = list(&north, "?what=device%20added&order=oldest&limit=3").await;
    let ids: Vec<_> = own.events.iter().map(|event| event.registration_id.clone().unwrap()).collect();
    assert_eq!(ids, ["n-0", "n-1", "n-2"]);
    let rest = list(&north, &format!("?what=device%20added&order=oldest&limit=3&cursor={}", own.next.unwrap())).await;
    assert_eq!((rest.events.len(), rest.next), (2, None));
    assert!(list(&north, "?device=s-1").await.events.is_empty());
    let who = own.events[0].who.replace(' ', "%20");
    assert_eq!(list(&operator, &format!("?who={who}")).await.events.len(), 5);
    assert_eq!(list(&operator, "?device=S-1").await.events.len(), 1);
    assert!(list(&operator, "?since=2100-01-01T00:00:00Z").await.events.is_empty());
    assert!(list(&operator, "?until=2100-01-01T00:00:00Z&limit=500").await.events.len() >= 10);
    north.get("/v1/events?cursor=x").await.refused(400, ProblemCode::BadRequest);
    north.get("/v1/devices/s-1/events").await.refused(404, ProblemCode::DeviceUnknown);
    let installer = api.send(Method::GET, "/v1/events", Some(&api.installer), None).await;
    installer.refused(403, ProblemCode::Forbidden);
    // A clock that was put back does not change their order: it is that of their numbers.
    let file = common::database::url(api.folder.path());
    let newest = list(&operator, "?limit=2").await.events;
    assert!(newest[0].id > newest[1].id);
    drop(Office::open(&file).await.unwrap());
}

/// What was asked of DPS since `from` that changes individual enrollments: bulk operations, and single ones.
fn enrollment_writes(dps: &azure_emulator::Running, from: usize) -> (Vec<u16>, usize) {
    let seen = dps.seen().split_off(from);
    let bulk = seen.iter().filter(|one| one.method == "POST" && one.path == "/enrollments").map(|one| one.status);
    let single = seen.iter().filter(|one| one.method != "GET" && one.path.starts_with("/enrollments/")).count();
    (bulk.collect(), single)
}

/// Takes these out of service in one change, and waits until DPS bars all of them.
async fn scrap(admin: &Admin<'_>, dps: &azure_emulator::Running, ids: &[String]) {
    let body = json!({
        "operation": "decommission", "reason": "scrapped", "expected": ids.len(), "select": { "registrationIds": ids },
    });
    admin.post("/v1/bulk-changes", None, body).await.ok::<BulkReport>();
    for id in ids {
        admin.settled(id).await;
        let enrollment = at_dps(dps, &format!("enrollments/{id}")).await.unwrap();
        assert_eq!(enrollment["provisioningStatus"], "disabled", "{id}");
    }
}

async fn allocated(admin: &Admin<'_>, numbers: std::ops::Range<usize>) -> Vec<String> {
    let ids: Vec<String> = numbers.map(|number| format!("sn-{number}")).collect();
    for id in &ids {
        admin.add(id, "symmetricKey").await;
        admin.allocate(id, Uuid::new_v4()).await.ok::<Allocation>();
    }
    ids
}

#[tokio::test]
async fn devices_that_go_out_together_are_barred_ten_in_a_request_and_one_that_is_left_by_itself() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let admin = Admin::operator(&api);
    let mut from = 0;
    for (count, bulk, single) in [(10, 1, 0), (11, 1, 1), (20, 2, 0)] {
        let ids = allocated(&admin, from..from + count).await;
        from += count;
        let before = dps.seen().len();
        scrap(&admin, &dps, &ids).await;
        assert_eq!(enrollment_writes(&dps, before), (vec![200; bulk], single), "{count} devices");
    }
}

#[tokio::test]
async fn what_a_bulk_request_did_not_do_is_done_one_by_one() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let admin = Admin::operator(&api);
    // One of them has an enrollment of its own already, which a bulk request does not replace.
    let ids = allocated(&admin, 0..10).await;
    admin.add("sn-own", "symmetricKey").await;
    let (allocation, key) = admin.pair(&dps, "sn-own").await;
    admin.change("sn-own", "reprovision", json!({ "policy": "keepData", "reason": "x" })).await.ok::<DeviceChange>();
    admin.settled("sn-own").await;
    let before = dps.seen().len();
    let with_own = [&ids[..9], &["sn-own".to_owned()]].concat();
    scrap(&admin, &dps, &with_own).await;
    assert_eq!(enrollment_writes(&dps, before), (vec![200], 1));
    registers(&dps, &allocation, &key).await.unwrap_err();

    // DPS takes the whole request for wrong, or answers nonsense: each device is barred all the same.
    for (number, (fault, status)) in
        [(Fault::Status { status: 400, retry_after: None }, 400), (Fault::Garbage, 200)].into_iter().enumerate()
    {
        let ids = allocated(&admin, 100 * (number + 1)..100 * (number + 1) + 10).await;
        let before = dps.seen().len();
        dps.faults().inject(On::Enrollments, fault, 1);
        scrap(&admin, &dps, &ids).await;
        assert_eq!(enrollment_writes(&dps, before), (vec![status], 10));
    }
}
