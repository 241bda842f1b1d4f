//! Staggered schedules of work orders and imports together: no DPS instance is sent more devices a minute than it may have.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeMap;

use common::{Api, finish, instance, nobody};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use provisioning_api::{InstanceConfig, Placement};
use provisioning_api_contract::{Allocation, Device, ImportReport, ImportState, OrderDevice, ProblemCode, WorkOrder};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row as _;
use uuid::Uuid;

const MINUTE: i64 = 60_000;

fn limited(name: &str, registrations_per_minute: u32, capacity: u64) -> InstanceConfig {
    let placement = Placement { registrations_per_minute, ..Placement::default() };
    InstanceConfig { placement, capacity, ..nobody(name) }
}

async fn import(api: &Api, query: &str, id: Uuid, names: impl IntoIterator<Item = String>) -> common::Answer {
    let rows: String = names.into_iter().map(|name| format!("{name}\n")).collect();
    let url = format!("{}/v1/imports{query}", api.running.url);
    let request = api.http.post(url).bearer_auth(&api.administrator).header("idempotency-key", id.to_string());
    finish(request.header("content-type", "text/csv").body(format!("registrationId\n{rows}"))).await
}

async fn installer(api: &Api) -> String {
    let accounts = api.running.office().accounts().await.unwrap();
    accounts.iter().find(|account| account.name == "Ida").unwrap().id.clone()
}

async fn open(api: &Api, devices: &[String]) -> WorkOrder {
    let body = json!({ "site": "Plant 4", "installer": installer(api).await, "devices": devices, "schedule": true });
    api.send(Method::POST, "/v1/work-orders", Some(&api.administrator), Some(body)).await.ok()
}

/// Every slot that was given, by instance.
async fn slots(api: &Api) -> BTreeMap<String, Vec<i64>> {
    let path = common::database::url(api.folder.path());
    let db = common::database::pool(&path).await;
    let rows = sqlx::query("SELECT slot_instance, dps_instance, starts_at FROM devices WHERE starts_at IS NOT NULL")
        .fetch_all(&db)
        .await
        .unwrap();
    let mut slots: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for row in rows {
        let (slot, place): (String, String) = (row.get("slot_instance"), row.get("dps_instance"));
        assert_eq!(slot, place, "a slot of the instance that the device goes to");
        slots.entry(slot).or_default().push(row.get("starts_at"));
    }
    slots.values_mut().for_each(|slots| slots.sort_unstable());
    slots
}

#[derive(Debug, Clone)]
enum Ask {
    /// Devices that come in with a schedule, from so many minutes from now on.
    Import { devices: usize, in_minutes: Option<i64> },
    /// Devices that are there without one, in an order that has one.
    Order { devices: usize },
    /// Devices of an import that asked for nothing, which is then repeated with a schedule.
    Later { devices: usize },
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let devices = || 1..25_usize;
    let from = prop_oneof![2 => Just(None), 1 => (0..4_i64).prop_map(Some)];
    prop::collection::vec(
        prop_oneof![
            3 => (devices(), from).prop_map(|(devices, in_minutes)| Ask::Import { devices, in_minutes }),
            3 => devices().prop_map(|devices| Ask::Order { devices }),
            1 => devices().prop_map(|devices| Ask::Later { devices }),
        ],
        1..7,
    )
}

#[test]
fn no_sixty_seconds_hold_more_registrations_of_an_instance_than_its_limit_over_orders_and_imports() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let limits = (1..6_u32, 1..6_u32, 5..60_u64);
    runner
        .run(&(limits, asks()), |((north, south, capacity), asks)| {
            runtime.block_on(async {
                let instances = vec![limited("north", north, capacity), limited("south", south, 1_000_000)];
                let api = Api::start(instances).await;
                let mut made = 0;
                for ask in &asks {
                    let mut names = |count: usize| {
                        made += count;
                        (made - count..made).map(|number| format!("sn-{number}")).collect::<Vec<_>>()
                    };
                    match ask {
                        Ask::Import { devices, in_minutes } => {
                            let from =
                                in_minutes.map(|minutes| Timestamp::now() + jiff::SignedDuration::from_mins(minutes));
                            let query = from.map(|from| format!("&scheduleFrom={from}")).unwrap_or_default();
                            let names = names(*devices);
                            let report: ImportReport =
                                import(&api, &format!("?schedule=true{query}"), Uuid::new_v4(), names).await.ok();
                            let schedule = report.schedule.unwrap();
                            assert_eq!(schedule.scheduled, *devices as u64);
                            assert!(from.is_none_or(|from| schedule.first.unwrap() >= from), "before its time");
                        }
                        Ask::Order { devices } => {
                            let names = names(*devices);
                            import(&api, "", Uuid::new_v4(), names.clone()).await.ok::<ImportReport>();
                            let order = open(&api, &names).await;
                            assert!(order.devices.iter().all(|device| device.starts_at.is_some()));
                        }
                        Ask::Later { devices } => {
                            let names = names(*devices);
                            import(&api, "", Uuid::new_v4(), names.clone()).await.ok::<ImportReport>();
                            let report: ImportReport = import(&api, "?schedule=true", Uuid::new_v4(), names).await.ok();
                            assert_eq!((report.added, report.already_there), (0, *devices as u64));
                            assert_eq!(report.schedule.unwrap().scheduled, *devices as u64);
                        }
                    }
                }
                let given = slots(&api).await;
                prop_assert_eq!(given.values().map(Vec::len).sum::<usize>(), made);
                for (name, limit) in [("north", north), ("south", south)] {
                    let slots = given.get(name).cloned().unwrap_or_default();
                    for (index, start) in slots.iter().enumerate() {
                        // A slot's place is rounded down to a millisecond.
                        let within = slots[index..].iter().take_while(|slot| **slot < start + MINUTE - 1).count();
                        prop_assert!(
                            within <= limit as usize,
                            "{} in a minute at {}, which may {}",
                            within,
                            name,
                            limit
                        );
                    }
                }
                prop_assert!(given.get("north").is_none_or(|slots| slots.len() as u64 <= capacity));
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn the_app_is_told_the_slot_that_an_import_gave_and_a_rerun_keeps_it() {
    let (dps, _folder) = common::emulator().await;
    let placement = Placement { registrations_per_minute: 1, ..Placement::default() };
    let api = Api::start(vec![InstanceConfig { placement, ..instance("north", &dps) }]).await;
    let from = Timestamp::now() + jiff::SignedDuration::from_mins(10);
    let query = format!("?schedule=true&scheduleFrom={from}");
    let id = Uuid::new_v4();
    let report: ImportReport = import(&api, &query, id, ["sn-1".into(), "sn-2".into()]).await.ok();
    let schedule = report.schedule.clone().unwrap();
    assert_eq!((schedule.scheduled, schedule.from), (2, schedule.from));
    let seen = async |id: &str| api.get(&format!("/v1/devices/{id}")).await.ok::<Device>().starts_at;
    assert_eq!((seen("sn-1").await, seen("sn-2").await), (schedule.first, schedule.last));
    let handoff = Uuid::new_v4();
    for _ in 0..2 {
        let allocation: Allocation = api.allocate("sn-2", handoff, &["symmetricKey"]).await.ok();
        assert_eq!(allocation.starts_at, schedule.last);
        assert!((600..=720).contains(&allocation.starts_in_s.unwrap()));
    }
    // The same file goes on under its schedule, and under no other one.
    let again: ImportReport = import(&api, &query, id, ["sn-1".into(), "sn-2".into()]).await.ok();
    assert_eq!(again, report);
    let read: ImportReport =
        api.send(Method::GET, &format!("/v1/imports/{id}"), Some(&api.administrator), None).await.ok();
    assert_eq!(read, report);
    let later = Timestamp::now() + jiff::SignedDuration::from_mins(99);
    for query in [String::new(), format!("?schedule=true&scheduleFrom={later}")] {
        let other = import(&api, &query, id, ["sn-1".into(), "sn-2".into()]).await;
        other.refused(409, ProblemCode::ImportConflict);
    }
    let far = Timestamp::now() + jiff::SignedDuration::from_hours(24 * 400);
    for query in [format!("?scheduleFrom={later}"), format!("?schedule=true&scheduleFrom={far}")] {
        import(&api, &query, Uuid::new_v4(), ["sn-3".into()]).await.refused(400, ProblemCode::BadRequest);
    }
}

#[tokio::test]
async fn a_device_that_finds_no_place_comes_in_and_gets_its_slot_when_it_is_paired() {
    let (dps, _folder) = common::emulator().await;
    let placement = Placement { registrations_per_minute: 1, ..Placement::default() };
    let north = InstanceConfig { placement, capacity: 1, ..instance("north", &dps) };
    let api = Api::start(vec![north.clone()]).await;
    let report: ImportReport =
        import(&api, "?schedule=true", Uuid::new_v4(), ["sn-1".into(), "sn-2".into()]).await.ok();
    assert_eq!((report.state, report.added), (ImportState::Complete, 2));
    assert_eq!(report.schedule.unwrap().scheduled, 1);
    api.allocate("sn-2", Uuid::new_v4(), &["symmetricKey"]).await.refused(409, ProblemCode::NoInstance);
    let api = api.restart(vec![InstanceConfig { capacity: 2, ..north }]).await;
    let allocation: Allocation = api.allocate("sn-2", Uuid::new_v4(), &["symmetricKey"]).await.ok();
    let first: Device = api.get("/v1/devices/sn-1").await.ok();
    let apart = allocation.starts_at.unwrap().as_millisecond() - first.starts_at.unwrap().as_millisecond();
    assert!(apart >= MINUTE, "{apart} ms after the first");

    // From the command line: the same.
    let office = api.running.office();
    let (id, format) = (Uuid::new_v4(), provisioning_api::ImportFormat::Csv);
    let file = "registrationId\nsn-3\n".as_bytes();
    let report = office.import(id, None, format, false, Some(None), file).await.unwrap();
    assert_eq!(report.schedule.unwrap().scheduled, 0);
    let api = api.restart(vec![InstanceConfig { capacity: 3, ..instance("north", &dps) }]).await;
    let allocation: Allocation = api.allocate("sn-3", Uuid::new_v4(), &["symmetricKey"]).await.ok();
    assert!(allocation.starts_at.is_some());
}

#[tokio::test]
async fn an_orders_hours_hold_for_a_slot_that_an_import_gave() {
    let api = Api::start(vec![limited("north", 1, 100)]).await;
    import(&api, "?schedule=true", Uuid::new_v4(), ["sn-1".into(), "sn-2".into()]).await.ok::<ImportReport>();
    let tomorrow = Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let mut body =
        json!({ "site": "x", "installer": installer(&api).await, "devices": ["sn-1", "sn-2"], "schedule": true });
    body["opens"] = Value::from(tomorrow.to_string());
    let order: WorkOrder = api.send(Method::POST, "/v1/work-orders", Some(&api.administrator), Some(body)).await.ok();
    assert!(order.devices.iter().all(|OrderDevice { starts_at, .. }| starts_at.unwrap() >= tomorrow));
}

/// All that was given so far, as [`slots`], by device.
async fn starts(api: &Api, names: &[String]) -> Vec<Option<Timestamp>> {
    let mut starts = Vec::new();
    for name in names {
        let path = format!("/v1/devices/{name}");
        let device: Device = api.send(Method::GET, &path, Some(&api.administrator), None).await.ok();
        starts.push(device.starts_at);
    }
    starts
}

#[tokio::test]
async fn a_file_that_is_imported_beside_the_service_gets_its_slots_at_once() {
    let api = Api::start(vec![limited("north", 1, 100), limited("south", 1, 100)]).await;
    let name = |number: usize| format!("sn-{number}");
    let rows = |numbers: std::ops::Range<usize>| {
        format!("registrationId\n{}", numbers.map(|number| format!("sn-{number}\n")).collect::<String>())
    };
    let beside = async |api: &Api, numbers| {
        let (rows, format) = (rows(numbers), provisioning_api::ImportFormat::Csv);
        let report =
            api.running.office().import(Uuid::new_v4(), None, format, false, Some(None), rows.as_bytes()).await;
        report.unwrap().schedule.unwrap()
    };
    assert_eq!(beside(&api, 0..4).await.scheduled, 4);
    import(&api, "?schedule=true", Uuid::new_v4(), (4..8).map(name)).await.ok::<ImportReport>();
    let given = slots(&api).await;
    assert_eq!(given.keys().collect::<Vec<_>>(), ["north", "south"]);
    for slots in given.values() {
        assert_eq!(slots.len(), 4);
        assert!(slots.windows(2).all(|two| two[1] - two[0] >= MINUTE), "{slots:?}");
    }
    // What an administrator changed counts, and so does what the configuration has lost.
    let drain = api.http.patch(format!("{}/v1/instances/south", api.running.url)).bearer_auth(&api.administrator);
    let drain = drain.header("if-match", "*").json(&json!({ "state": "draining", "reason": "moving" }));
    finish(drain).await.ok::<Value>();
    beside(&api, 8..9).await;
    assert_eq!(slots(&api).await["north"].len(), 5);
    let api = api.restart(vec![limited("south", 1, 100)]).await;
    let schedule = beside(&api, 9..10).await;
    assert_eq!((schedule.scheduled, schedule.first), (0, None));
}

#[tokio::test]
async fn an_import_before_any_service_has_run_leaves_the_slots_to_the_pairing() {
    let (dps, _folder) = common::emulator().await;
    let folder = tempfile::tempdir().unwrap();
    let office = provisioning_api::Office::open(&common::database::url(folder.path())).await.unwrap();
    let file = "registrationId\nsn-1\n".as_bytes();
    let format = provisioning_api::ImportFormat::Csv;
    let report = office.import(Uuid::new_v4(), None, format, false, Some(None), file).await.unwrap();
    assert_eq!(report.schedule.unwrap().scheduled, 0);
    office.close().await;
    let config = common::config(folder.path(), vec![instance("north", &dps)]);
    let api = Api::over(folder, config, common::options()).await;
    let allocation: Allocation = api.allocate("sn-1", Uuid::new_v4(), &["symmetricKey"]).await.ok();
    assert!(allocation.starts_at.is_some());
}

#[tokio::test]
async fn a_dry_run_tells_the_slots_that_the_import_then_gives_and_keeps_nothing() {
    let eu = Placement { registrations_per_minute: 90, region: Some("eu".into()), ..Placement::default() };
    let eu = InstanceConfig { placement: eu, capacity: 1000, ..nobody("eu") };
    let api = Api::start(vec![eu, limited("north", 300, 1000), limited("tiny", 300, 2)]).await;
    // There already: one without a slot; one with a place; one that was taken out of service.
    import(&api, "", Uuid::new_v4(), ["there".into(), "gone".into()]).await.ok::<ImportReport>();
    import(&api, "?schedule=true", Uuid::new_v4(), ["placed".into()]).await.ok::<ImportReport>();
    let gone = api.http.post(format!("{}/v1/devices/gone/decommission", api.running.url));
    let gone = gone.bearer_auth(&api.administrator).header("if-match", "*").json(&json!({ "reason": "scrapped" }));
    finish(gone).await.ok::<Value>();
    // More than a batch, some of it twice, and one that no instance can take.
    let mut rows = String::from("registrationId,region\nthere,\ngone,\nplaced,\nfar,mars\n");
    for number in 0..1200 {
        let region = if number % 7 == 0 { "eu" } else { "" };
        rows += &format!("sn-{number},{region}\n");
    }
    rows += "sn-5,\nsn-1199,\n";
    let from = Timestamp::now() + jiff::SignedDuration::from_mins(10);
    let send = async |query: &str| -> ImportReport {
        let url = format!("{}/v1/imports?schedule=true&scheduleFrom={from}{query}", api.running.url);
        let request = api.http.post(url).bearer_auth(&api.administrator);
        let request = request.header("idempotency-key", Uuid::new_v4().to_string()).header("content-type", "text/csv");
        finish(request.body(rows.clone())).await.ok()
    };
    let before = slots(&api).await;
    let rehearsed = send("&dryRun=true").await;
    assert_eq!(slots(&api).await, before);
    api.send(Method::GET, "/v1/devices/sn-1", Some(&api.administrator), None)
        .await
        .refused(404, ProblemCode::DeviceUnknown);
    assert_eq!((rehearsed.added, rehearsed.bad_rows), (1202, 0));
    let would = rehearsed.schedule.unwrap();
    let real = send("").await.schedule.unwrap();
    assert_eq!((would.scheduled, would.from, would.first, would.last), (1202, real.from, real.first, real.last));
    assert_eq!((real.scheduled, real.slots.len()), (1202, 0));
    assert_eq!(would.slots.len(), 100);
    let names: Vec<String> = would.slots.iter().map(|slot| slot.registration_id.clone()).collect();
    let said: Vec<_> = would.slots.iter().map(|slot| Some(slot.starts_at)).collect();
    assert_eq!(starts(&api, &names).await, said);
    assert_eq!(names[..3], ["there", "gone", "sn-0"]);
    assert_eq!(would.slots[2].dps_instance, "eu");
}

#[tokio::test]
async fn a_dry_run_of_an_order_tells_its_slots_and_opens_none() {
    let api = Api::start(vec![limited("north", 2, 100)]).await;
    let names: Vec<String> = (0..5).map(|number| format!("sn-{number}")).collect();
    import(&api, "", Uuid::new_v4(), names.clone()).await.ok::<ImportReport>();
    let opens = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let body = json!({
        "site": "Plant 4", "installer": installer(&api).await, "devices": names, "schedule": true, "opens": opens,
    });
    let send = async |query: &str| {
        let path = format!("/v1/work-orders{query}");
        api.send(Method::POST, &path, Some(&api.administrator), Some(body.clone())).await
    };
    let rehearsed = send("?dryRun=true").await;
    assert_eq!(rehearsed.status, 200);
    let rehearsed: WorkOrder = rehearsed.ok();
    assert!(slots(&api).await.is_empty());
    let path = format!("/v1/work-orders/{}", rehearsed.id);
    let unknown = api.send(Method::GET, &path, Some(&api.administrator), None).await;
    unknown.refused(404, ProblemCode::OrderUnknown);
    let real = send("").await;
    assert_eq!(real.status, 201);
    assert_eq!(real.ok::<WorkOrder>().devices, rehearsed.devices);
    assert!(rehearsed.devices.iter().all(|device| device.starts_at.unwrap() >= opens));
}
