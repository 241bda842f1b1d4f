//! Who may pair what, and when: work orders, their schedules, and their download.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, Api, any_devices, csr, derived, emulator, finish, group_key, instance};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, Serializable as _};
use jiff::{Timestamp, ToSpan as _};
use provisioning_api::{InstanceConfig, Placement, Role};
use provisioning_api_contract::{
    Attestation, CertificateResponse, Device, DeviceRequest, EventList, NewWorkOrder, OFFLINE_INFO, OfflineDevice,
    OfflineOrder, OnlineReason, OrderState, ProblemCode, SealedDevice, WorkOrder, WorkOrderList, offline_aad,
};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

/// An installer of their own, with no order yet.
struct Installer<'a> {
    api: &'a Api,
    token: String,
    name: &'static str,
}

impl<'a> Installer<'a> {
    async fn new(api: &'a Api, name: &'static str) -> Self {
        let token = api.running.issue_token(Role::Installer, name).await.unwrap().expose_secret().to_owned();
        Self { api, token, name }
    }

    async fn order(&self, order: NewWorkOrder) -> WorkOrder {
        self.api.running.office().open_order(self.name, None, order).await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.api.send(Method::POST, path, Some(&self.token), Some(body)).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.api.send(Method::GET, path, Some(&self.token), None).await
    }

    async fn allocate(&self, id: &str, handoff: Uuid) -> Answer {
        self.allocate_by(id, handoff, "symmetricKey").await
    }

    async fn allocate_by(&self, id: &str, handoff: Uuid, attestation: &str) -> Answer {
        self.post(
            &format!("/v1/devices/{id}/allocation"),
            json!({ "handoffId": handoff, "attestations": [attestation] }),
        )
        .await
    }
}

fn named(devices: &[&str]) -> NewWorkOrder {
    NewWorkOrder { devices: devices.iter().map(|id| (*id).to_owned()).collect(), any_of: None, ..any_devices(1) }
}

async fn change(api: &Api, order: &WorkOrder, body: Value) -> Answer {
    let url = format!("{}/v1/work-orders/{}", api.running.url, order.id);
    finish(api.http.patch(url).bearer_auth(&api.administrator).header("if-match", "*").json(&body)).await
}

#[tokio::test]
async fn an_installer_reaches_the_devices_of_their_open_orders_and_all_else_is_unknown() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    for id in ["mine", "theirs", "nobodys"] {
        api.add(id).await;
    }
    let (mia, theo) = (Installer::new(&api, "Mia").await, Installer::new(&api, "Theo").await);
    let order = mia.order(named(&["MINE"])).await;
    theo.order(named(&["theirs"])).await;

    let handoff = Uuid::new_v4();
    Api::allocated(&mia.allocate("mine", handoff).await);
    let unknown = mia.get("/v1/devices/never-heard-of").await.refused(404, ProblemCode::DeviceUnknown);
    for id in ["theirs", "nobodys"] {
        let body = json!({ "handoffId": handoff, "attestations": ["symmetricKey"] });
        let certificate = json!({ "handoffId": handoff, "csr": csr(id).0 });
        let key = json!({ "handoffId": handoff });
        let outcome = json!({ "handoffId": handoff, "outcome": { "status": "failed", "code": "c", "text": "" } });
        let signature = json!({ "handoffId": handoff, "operation": "reset", "nonce": STANDARD.encode([1; 32]) });
        let mut answers = vec![mia.get(&format!("/v1/devices/{id}?dps=true")).await];
        for (path, body) in [
            ("allocation", body),
            ("certificate", certificate),
            ("symmetric-key", key),
            ("outcome", outcome),
            ("owner-signature", signature),
        ] {
            answers.push(mia.post(&format!("/v1/devices/{id}/{path}"), body).await);
        }
        for answer in answers {
            let problem = answer.refused(404, ProblemCode::DeviceUnknown);
            assert_eq!((problem.title, problem.detail), (unknown.title.clone(), unknown.detail.clone()));
        }
    }
    // Another's order is as unknown as one that does not exist.
    for id in [order.id, Uuid::new_v4()] {
        theo.get(&format!("/v1/work-orders/{id}")).await.refused(404, ProblemCode::OrderUnknown);
        let key = json!({ "publicKey": STANDARD.encode([9; 32]) });
        theo.post(&format!("/v1/work-orders/{id}/offline"), key).await.refused(404, ProblemCode::OrderUnknown);
    }
    let list: WorkOrderList = mia.get("/v1/work-orders?state=open").await.ok();
    assert_eq!(list.work_orders.iter().map(|one| one.id).collect::<Vec<_>>(), [order.id]);
    let whole: WorkOrder = mia.get(&format!("/v1/work-orders/{}", order.id)).await.ok();
    assert_eq!((whole.devices[0].registration_id.as_str(), whole.open_now), ("mine", true));
    mia.post("/v1/work-orders", json!({})).await.refused(403, ProblemCode::Forbidden);
}

#[tokio::test]
async fn a_pairing_that_began_may_finish_when_its_order_is_closed_and_not_when_it_is_cancelled() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    for id in ["a", "b"] {
        api.add(id).await;
    }
    let mia = Installer::new(&api, "Mia").await;
    let order = mia.order(named(&["a", "b"])).await;
    let handoff = Uuid::new_v4();
    Api::allocated(&mia.allocate_by("a", handoff, "x509").await);
    let closed: WorkOrder = change(&api, &order, json!({ "state": "closed" })).await.ok();
    assert_eq!((closed.state, closed.open_now), (OrderState::Closed, false));

    let body = json!({ "handoffId": handoff, "csr": csr("a").0 });
    mia.post("/v1/devices/a/certificate", body).await.ok::<CertificateResponse>();
    Api::allocated(&mia.allocate_by("a", handoff, "x509").await);
    // Another pairing is not the one that began, and another device's has not begun.
    mia.allocate_by("a", Uuid::new_v4(), "x509").await.problem();
    mia.allocate_by("b", Uuid::new_v4(), "x509").await.refused(404, ProblemCode::DeviceUnknown);
    let outcome = json!({ "status": "assigned", "assignedHub": "h", "deviceId": "a" });
    let told = json!({ "handoffId": handoff, "outcome": outcome });
    mia.post("/v1/devices/a/outcome", told.clone()).await.done();
    mia.get("/v1/devices/a").await.refused(404, ProblemCode::DeviceUnknown);
    // An answer that got lost is asked for again.
    mia.post("/v1/devices/a/outcome", told).await.done();

    change(&api, &order, json!({ "state": "open" })).await.ok::<WorkOrder>();
    let handoff = Uuid::new_v4();
    Api::allocated(&mia.allocate("b", handoff).await);
    change(&api, &order, json!({ "state": "cancelled" })).await.ok::<WorkOrder>();
    mia.post("/v1/devices/b/symmetric-key", json!({ "handoffId": handoff }))
        .await
        .refused(404, ProblemCode::DeviceUnknown);
    change(&api, &order, json!({ "state": "open" })).await.refused(409, ProblemCode::OrderNotOpen);
}

#[tokio::test]
async fn at_most_n_is_n_however_many_ask_at_once() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    let mia = Installer::new(&api, "Mia").await;
    for number in 0..20 {
        let request = DeviceRequest { model: Some("pump".into()), ..DeviceRequest::default() };
        api.running.add_device(&format!("pump-{number}"), request).await.unwrap();
    }
    let request = DeviceRequest { model: Some("valve".into()), ..DeviceRequest::default() };
    api.running.add_device("valve-1", request).await.unwrap();
    let mut order = any_devices(7);
    order.any_of.as_mut().unwrap().model = Some("pump".into());
    let order = mia.order(order).await;

    // What the app says of the model is not what counts.
    let lie = json!({ "handoffId": Uuid::new_v4(), "attestations": ["symmetricKey"], "model": "pump" });
    mia.post("/v1/devices/valve-1/allocation", lie).await.refused(404, ProblemCode::DeviceUnknown);

    let handoffs: Vec<_> = (0..20).map(|_| Uuid::new_v4()).collect();
    let allocate = |number: usize| {
        let (mia, handoff) = (&mia, handoffs[number]);
        async move { mia.allocate(&format!("pump-{number}"), handoff).await }
    };
    let answers = futures::future::join_all((0..20).map(allocate)).await;
    let taken: BTreeSet<_> = (0..20).filter(|&number| answers[number].status.is_success()).collect();
    assert_eq!(taken.len(), 7);
    for number in 0..20 {
        let again = allocate(number).await;
        match taken.contains(&number) {
            true => drop(Api::allocated(&again)),
            false => drop(again.refused(404, ProblemCode::DeviceUnknown)),
        }
    }
    let order: WorkOrder = mia.get(&format!("/v1/work-orders/{}", order.id)).await.ok();
    assert_eq!((order.taken, order.devices.len()), (7, 7));
    let more: WorkOrder = change(&api, &order, json!({ "atMost": 8 })).await.ok();
    assert_eq!(more.any_of.unwrap().at_most, 8);
    let left = (0..20).find(|number| !taken.contains(number)).unwrap();
    Api::allocated(&allocate(left).await);
}

#[tokio::test]
async fn an_order_is_open_in_its_times_and_hours_only() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    api.add("a").await;
    let mia = Installer::new(&api, "Mia").await;
    let now = Timestamp::now();
    let in_hours = |from: i64, until: i64| {
        let clock = |hours: i64| (now + hours.hours()).to_zoned(jiff::tz::TimeZone::UTC).strftime("%H:00").to_string();
        json!({ "from": clock(from), "until": clock(until), "timeZone": "Etc/UTC" })
    };
    let with = |name: &str, value: Value| {
        let mut order = serde_json::to_value(named(&["a"])).unwrap();
        order[name] = value;
        serde_json::from_value::<NewWorkOrder>(order).unwrap()
    };
    for closed in
        [with("opens", json!(now + 1.hour())), with("closes", json!(now - 1.hour())), with("hours", in_hours(2, 4))]
    {
        let order = mia.order(closed).await;
        assert!(!order.open_now);
        mia.allocate("a", Uuid::new_v4()).await.refused(404, ProblemCode::DeviceUnknown);
        let key = json!({ "publicKey": STANDARD.encode([9; 32]) });
        mia.post(&format!("/v1/work-orders/{}/offline", order.id), key).await.refused(409, ProblemCode::OrderNotOpen);
    }
    mia.order(with("hours", in_hours(-1, 2))).await;
    Api::allocated(&mia.allocate("a", Uuid::new_v4()).await);
}

#[tokio::test]
async fn what_is_no_order_is_refused_and_hostile_text_stays_text() {
    let api = Api::start(vec![common::nobody("north")]).await;
    api.add("a").await;
    let token = api.running.issue_token(Role::Installer, "Mia").await.unwrap();
    let me: Value = api.send(Method::GET, "/v1/me", Some(token.expose_secret()), None).await.ok();
    let good = json!({ "site": "Plant 4", "installer": me["accountId"], "devices": ["a"] });
    let open = |body: Value| api.send(Method::POST, "/v1/work-orders", Some(&api.administrator), Some(body));
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for body in [
        with("site", json!("")),
        with("site", json!("x".repeat(201))),
        with("site", json!("Plant\r\nSet-Cookie: a=b")),
        with("site", json!("\u{1b}[2J")),
        with("site", json!("\u{202e}4 tnalP")),
        with("installer", json!("database")),
        with("installer", json!("' OR 1=1 --")),
        with("tenant", json!("acme")),
        with("devices", json!([])),
        with("devices", json!(["a", "b"])),
        with("devices", json!(["a'; DROP TABLE devices; --"])),
        with("anyOf", json!({ "atMost": 0 })),
        with("anyOf", json!({ "atMost": -1 })),
        with("hours", json!({ "from": "8", "until": "9", "timeZone": "UTC" })),
        with("closes", json!("yesterday")),
        with("surprise", json!(1)),
    ] {
        open(body.clone()).await.refused(400, ProblemCode::BadRequest);
    }
    let site = "Robert'); DROP TABLE work_orders; -- <script>alert(1)</script>";
    let order: WorkOrder = open(with("site", json!(site))).await.ok();
    assert_eq!(order.site, site);
    let list: WorkOrderList = api.send(Method::GET, "/v1/work-orders", Some(&api.administrator), None).await.ok();
    assert!(list.work_orders.iter().any(|one| one.site == site));
    api.get("/v1/work-orders/not-a-uuid").await.refused(400, ProblemCode::BadRequest);
    api.get("/v1/work-orders?state=%27").await.refused(400, ProblemCode::BadRequest);
    // Two administrators.
    let url = format!("{}/v1/work-orders/{}", api.running.url, order.id);
    let patch = |etag: &str| {
        finish(
            api.http
                .patch(&url)
                .bearer_auth(&api.administrator)
                .header("if-match", etag)
                .json(&json!({ "state": "closed" })),
        )
    };
    patch(&order.etag).await.ok::<WorkOrder>();
    patch(&order.etag).await.refused(412, ProblemCode::PreconditionFailed);
    let bare = finish(api.http.patch(&url).bearer_auth(&api.administrator).json(&json!({}))).await;
    bare.refused(428, ProblemCode::PreconditionRequired);
}

fn slow(name: &str, dps: &azure_emulator::Running, limit: u32) -> InstanceConfig {
    let placement = Placement { registrations_per_minute: limit, ..Placement::default() };
    InstanceConfig { placement, ..instance(name, dps) }
}

#[tokio::test]
async fn scheduled_devices_get_slots_that_no_instance_is_overrun_by_and_keep_them() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![slow("north", &dps, 2)]).await;
    let ids: Vec<String> = (0..12).map(|number| format!("sn-{number}")).collect();
    for id in &ids {
        api.add(id).await;
    }
    let token = api.running.issue_token(Role::Installer, "Mia").await.unwrap();
    let me: Value = api.send(Method::GET, "/v1/me", Some(token.expose_secret()), None).await.ok();
    // Two orders; all schedules of an instance count together.
    let mut slots = Vec::new();
    for half in [&ids[..6], &ids[6..]] {
        let body = json!({ "site": "S", "installer": me["accountId"], "devices": half, "schedule": true });
        let answer = api.send(Method::POST, "/v1/work-orders", Some(&api.administrator), Some(body)).await;
        slots.extend(
            answer.ok::<WorkOrder>().devices.into_iter().map(|one| (one.starts_at.unwrap(), one.registration_id)),
        );
    }
    slots.sort();
    for three in slots.windows(3) {
        assert!(three[2].0.duration_since(three[0].0).as_secs() >= 59, "{three:?}");
    }
    let (last, id) = slots.last().unwrap();
    assert!(last.duration_since(Timestamp::now()).as_secs() >= 4 * 60);
    let mia = Installer { api: &api, token: token.expose_secret().to_owned(), name: "Mia" };
    let handoff = Uuid::new_v4();
    for _ in 0..2 {
        let left = || last.duration_since(Timestamp::now()).as_secs();
        let before = left();
        let allocation = Api::allocated(&mia.allocate(id, handoff).await);
        assert_eq!(allocation.starts_at, Some(*last), "a rerun keeps the slot");
        let wait = i64::try_from(allocation.starts_in_s.unwrap()).unwrap();
        assert!((left()..=before + 1).contains(&wait));
    }
    // An order that ends before there is room for its devices is not opened: the last one's turn is in minutes.
    let body = json!({ "site": "S", "installer": me["accountId"], "devices": [id], "schedule": true, "closes": Timestamp::now() + 1.second() });
    let answer = api.send(Method::POST, "/v1/work-orders", Some(&api.administrator), Some(body)).await;
    answer.refused(409, ProblemCode::OrderNotOpen);
    // Devices that nobody named get theirs when they are paired.
    api.add("late").await;
    let mut order = any_devices(1);
    order.schedule = true;
    let theo = Installer::new(&api, "Theo").await;
    theo.order(order).await;
    let allocation = Api::allocated(&theo.allocate("late", Uuid::new_v4()).await);
    assert!(allocation.starts_at.unwrap() > *last);
}

type Keys = (<X25519HkdfSha256 as Kem>::PrivateKey, <X25519HkdfSha256 as Kem>::PublicKey);

fn unseal(keys: &Keys, order: &OfflineOrder, sealed: &SealedDevice) -> Option<OfflineDevice> {
    let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&STANDARD.decode(&sealed.enc).unwrap()).unwrap();
    let aad = offline_aad(order.order.id, &order.account_id, &sealed.registration_id, order.not_after);
    let text = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &keys.0,
        &enc,
        OFFLINE_INFO,
        &STANDARD.decode(&sealed.ciphertext).unwrap(),
        &aad,
    );
    serde_json::from_slice(&text.ok()?).unwrap()
}

#[tokio::test]
async fn a_downloaded_order_opens_for_its_app_alone_and_is_honoured_when_the_network_is_back() {
    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    for (id, attestation) in
        [("Key-1", Some(Attestation::SymmetricKey)), ("cert-1", Some(Attestation::X509)), ("free-1", None)]
    {
        api.running.add_device(id, DeviceRequest { attestation, ..DeviceRequest::default() }).await.unwrap();
    }
    let mia = Installer::new(&api, "Mia").await;
    let order = mia.order(named(&["key-1", "cert-1", "free-1"])).await;
    let keys: Keys = X25519HkdfSha256::gen_keypair();
    let path = format!("/v1/work-orders/{}/offline", order.id);
    let body = json!({ "publicKey": STANDARD.encode(keys.1.to_bytes()) });
    let answer = mia.post(&path, body.clone()).await;
    let given: OfflineOrder = answer.ok();
    let reasons: Vec<_> = given.online.iter().map(|one| (one.registration_id.as_str(), one.reason)).collect();
    assert_eq!(reasons, [("cert-1", OnlineReason::CertificateNeedsDevice), ("free-1", OnlineReason::AttestationOpen)]);
    let left = given.not_after.duration_since(Timestamp::now()).as_hours();
    assert!((166..=168).contains(&left), "{left} h");

    let device = unseal(&keys, &given, &given.sealed[0]).unwrap();
    assert_eq!(
        (device.allocation.registration_id.as_str(), device.allocation.id_scope.as_str()),
        ("Key-1", dps.id_scope.as_str())
    );
    assert_eq!(device.key, derived(&group_key(&dps).await, "Key-1"));
    assert!(!String::from_utf8_lossy(&answer.body).contains(&device.key), "the key is in the clear");
    // Any other app, order, account, device or end: it does not open.
    assert!(unseal(&X25519HkdfSha256::gen_keypair(), &given, &given.sealed[0]).is_none());
    let other = |change: &dyn Fn(&mut OfflineOrder, &mut SealedDevice)| {
        let (mut order, mut sealed) = (given.clone(), given.sealed[0].clone());
        change(&mut order, &mut sealed);
        unseal(&keys, &order, &sealed).is_none()
    };
    assert!(other(&|order, _| order.order.id = Uuid::new_v4()));
    assert!(other(&|order, _| order.account_id.push('x')));
    assert!(other(&|order, _| order.not_after += 1.second()));
    assert!(other(&|_, sealed| sealed.registration_id = "key-2".into()));

    // Once more: the same in a new seal, and nothing is allocated twice.
    let again: OfflineOrder = mia.post(&path, body).await.ok();
    let twice = unseal(&keys, &again, &again.sealed[0]).unwrap();
    assert_eq!((&twice.key, &twice.allocation), (&device.key, &device.allocation));
    assert_ne!(again.sealed[0].enc, given.sealed[0].enc);
    // Whose app has the key stands in the device's own events, each time that it was given.
    let events = api.send(Method::GET, "/v1/devices/key-1/events", Some(&api.administrator), None).await;
    let events: EventList = events.ok();
    let given_keys: Vec<_> = events.events.iter().filter(|event| event.what == "symmetric key given").collect();
    assert_eq!(given_keys.len(), 2);
    for event in given_keys {
        assert!(event.who.starts_with("Mia ("), "{}", event.who);
        assert_eq!(event.detail.as_ref().unwrap()["workOrder"], order.id.to_string());
    }
    for bad in [json!(""), json!("AAAA"), json!(STANDARD.encode([0; 32])), json!(STANDARD.encode([9; 33]))] {
        mia.post(&path, json!({ "publicKey": bad })).await.refused(400, ProblemCode::BadRequest);
    }
    // An administrator reads the order, and is not the one that it is sealed for.
    let body = json!({ "publicKey": STANDARD.encode(keys.1.to_bytes()) });
    let answer = api.send(Method::POST, &path, Some(&api.administrator), Some(body)).await;
    answer.refused(404, ProblemCode::OrderUnknown);

    // The order is done and closed when the app is back, and tells of a hand-off that the API never heard of.
    change(&api, &order, json!({ "state": "closed" })).await.ok::<WorkOrder>();
    let handoff = Uuid::new_v4();
    let outcome = json!({ "status": "assigned", "assignedHub": "hub-1", "deviceId": "key-1" });
    let told = json!({ "handoffId": handoff, "outcome": outcome });
    let stranger = Installer::new(&api, "Eve").await;
    stranger.post("/v1/devices/key-1/outcome", told.clone()).await.refused(404, ProblemCode::DeviceUnknown);
    for _ in 0..2 {
        mia.post("/v1/devices/key-1/outcome", told.clone()).await.done();
    }
    let answer = api.send(Method::GET, "/v1/devices/key-1", Some(&api.administrator), None).await;
    let device: Device = answer.ok();
    assert_eq!(device.handoff_id, Some(handoff));
    // Told once more when another pairing has ended since: that one is the last, and stays it.
    let next = Uuid::new_v4();
    let body = json!({ "handoffId": next, "attestations": ["symmetricKey"] });
    let administrator = Some(api.administrator.as_str());
    api.send(Method::POST, "/v1/devices/key-1/allocation", administrator, Some(body)).await.ok::<Value>();
    let failed = json!({ "handoffId": next, "outcome": { "status": "failed", "code": "c", "text": "" } });
    api.send(Method::POST, "/v1/devices/key-1/outcome", administrator, Some(failed)).await.done();
    mia.post("/v1/devices/key-1/outcome", told).await.done();
    let answer = api.send(Method::GET, "/v1/devices/key-1", administrator, None).await;
    assert_eq!(answer.ok::<Device>().handoff_id, Some(next));
    // One that was not given out is not told of that way.
    let told = json!({ "handoffId": handoff, "outcome": { "status": "failed", "code": "c", "text": "" } });
    mia.post("/v1/devices/cert-1/outcome", told).await.refused(409, ProblemCode::NotAllocated);
}
