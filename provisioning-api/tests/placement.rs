//! Which instance a device gets, who may change what is decided over, and what is said about it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{Answer, Api, emulator, finish, instance, nobody};
use provisioning_api::{InstanceConfig, Placement, Role, read_instances};
use provisioning_api_contract::{
    DeviceRequest, DryRun, Instance, InstanceList, InstanceState, ProblemCode, Ring, RuledOut,
};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

async fn patch(api: &Api, name: &str, etag: Option<&str>, body: Value) -> Answer {
    let request = api.http.patch(format!("{}/v1/instances/{name}", api.running.url)).bearer_auth(&api.administrator);
    let request = match etag {
        Some(etag) => request.header("if-match", etag),
        None => request,
    };
    finish(request.json(&body)).await
}

async fn instances(api: &Api) -> Vec<Instance> {
    let answer = api.send(Method::GET, "/v1/instances", Some(&api.administrator), None).await;
    answer.ok::<InstanceList>().instances
}

async fn dry_run(api: &Api, body: Value) -> Answer {
    api.send(Method::POST, "/v1/allocations/dry-run", Some(&api.administrator), Some(body)).await
}

fn placed(name: &str, placement: Placement) -> InstanceConfig {
    InstanceConfig { placement, ..nobody(name) }
}

#[tokio::test]
async fn a_dry_run_explains_every_rule_that_an_instance_breaks_and_reserves_nothing() {
    let eu = Placement { region: Some("eu".into()), ..Placement::default() };
    let api = Api::start(vec![
        placed("a-other", Placement { tenant: Some("acme".into()), ..eu.clone() }),
        placed("b-us", Placement { region: Some("us".into()), ..Placement::default() }),
        placed("c-nowhere", Placement::default()),
        placed("d-test", Placement { ring: Ring::Test, ..eu.clone() }),
        InstanceConfig { state: InstanceState::Draining, ..placed("e-draining", eu.clone()) },
        InstanceConfig { state: InstanceState::Down, ..placed("f-down", eu.clone()) },
        InstanceConfig { capacity: 0, ..placed("g-full", eu.clone()) },
        placed("h-good", eu.clone()),
        placed("i-good", eu),
    ])
    .await;
    let request = DeviceRequest { region: Some("EU".into()), ..DeviceRequest::default() };
    api.running.add_device("sn-1", request).await.unwrap();
    for body in [json!({ "registrationId": "SN-1" }), json!({ "region": "eu" })] {
        let answer: DryRun = dry_run(&api, body).await.ok();
        assert_eq!((answer.chosen.as_deref(), answer.settled), (Some("h-good"), false));
        let reasons: Vec<_> = answer.instances.iter().map(|one| (one.name.as_str(), one.ruled_out.clone())).collect();
        assert_eq!(
            reasons,
            [
                ("a-other", vec![RuledOut::OtherTenant]),
                ("b-us", vec![RuledOut::Region]),
                ("c-nowhere", vec![RuledOut::Region]),
                ("d-test", vec![RuledOut::Ring]),
                ("e-draining", vec![RuledOut::Draining]),
                ("f-down", vec![RuledOut::Down]),
                ("g-full", vec![RuledOut::Full]),
                ("h-good", vec![]),
                ("i-good", vec![]),
            ]
        );
    }
    let pinned: DryRun = dry_run(&api, json!({ "region": "eu", "dpsInstance": "i-good" })).await.ok();
    assert_eq!(pinned.chosen.as_deref(), Some("i-good"));
    let none: DryRun = dry_run(&api, json!({ "region": "cn" })).await.ok();
    assert_eq!(none.chosen, None);
    assert!(instances(&api).await.iter().all(|one| one.allocated == 0));

    dry_run(&api, json!({ "registrationId": "sn-1", "region": "eu" })).await.refused(400, ProblemCode::BadRequest);
    dry_run(&api, json!({ "registrationId": "nobody" })).await.refused(404, ProblemCode::DeviceUnknown);
    dry_run(&api, json!({ "region": "e u'; DROP TABLE devices" })).await.refused(400, ProblemCode::BadRequest);
    api.post("/v1/allocations/dry-run", json!({})).await.refused(403, ProblemCode::Forbidden);
    let auditor = api.running.issue_token(Role::Auditor, "Otto").await.unwrap().expose_secret().to_owned();
    let answer = api.send(Method::POST, "/v1/allocations/dry-run", Some(&auditor), Some(json!({}))).await;
    assert_eq!(answer.ok::<DryRun>().instances.len(), 9);
}

#[tokio::test]
async fn of_two_administrators_who_change_one_instance_the_second_reads_it_again() {
    let api = Api::start(vec![nobody("north"), nobody("south")]).await;
    let seen = instances(&api).await[0].etag.clone();
    let first = json!({ "state": "draining", "capacity": 5, "registrationsPerMinute": 7, "reason": "moving out" });
    let changed: Instance = patch(&api, "north", Some(&seen), first).await.ok();
    assert_eq!((changed.state, changed.capacity, changed.registrations_per_minute), (InstanceState::Draining, 5, 7));
    let second = json!({ "state": "down", "reason": "broken" });
    patch(&api, "north", Some(&seen), second.clone()).await.refused(412, ProblemCode::PreconditionFailed);
    patch(&api, "north", None, second.clone()).await.refused(428, ProblemCode::PreconditionRequired);
    patch(&api, "north", Some(&changed.etag), second).await.ok::<Instance>();
    assert_eq!(instances(&api).await[0].state, InstanceState::Down);
    assert_eq!(instances(&api).await[0].capacity, 5);

    // What was said goes before the file, after a restart too, until it is taken back.
    let api = api.restart(vec![nobody("north"), nobody("south")]).await;
    let before = instances(&api).await.remove(0);
    assert_eq!((before.state, before.capacity), (InstanceState::Down, 5));
    let back = json!({ "fromFile": true, "capacity": 9, "reason": "well again" });
    let after: Instance = patch(&api, "north", Some(&before.etag), back).await.ok();
    assert_eq!((after.state, after.capacity, after.registrations_per_minute), (InstanceState::Active, 9, 1000));

    for body in [
        json!({ "state": "down" }),
        json!({ "state": "down", "reason": " " }),
        json!({ "registrationsPerMinute": 0, "reason": "x" }),
    ] {
        patch(&api, "north", Some("*"), body).await.refused(400, ProblemCode::BadRequest);
    }
    patch(&api, "west", Some("*"), json!({ "reason": "x" })).await.refused(404, ProblemCode::NotFound);
}

#[tokio::test]
async fn an_instance_that_goes_away_under_load_takes_no_device_with_it() {
    let (north, _a) = emulator().await;
    let (south, _b) = emulator().await;
    let both = || vec![instance("north", &north), instance("south", &south)];
    let api = Api::start(both()).await;
    let handoffs: Vec<_> = (0..20).map(|_| Uuid::new_v4()).collect();
    for number in 0..20 {
        api.add(&format!("sn-{number}")).await;
    }
    let allocate = |number: usize| {
        let (api, handoff) = (&api, handoffs[number]);
        async move { api.allocate(&format!("sn-{number}"), handoff, &["symmetricKey"]).await }
    };
    // Half of them are on their way when the instance is taken down.
    let down = async {
        let body = json!({ "state": "down", "reason": "deleted by mistake" });
        patch(&api, "north", Some("*"), body).await.ok::<Instance>()
    };
    let (answers, _) = tokio::join!(futures::future::join_all((0..20).map(allocate)), down);
    let mut on_north = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        if answer.status.is_success() {
            if Api::allocated(answer).dps_instance == "north" {
                on_north.push(number);
            }
        } else {
            answer.refused(409, ProblemCode::NoInstance);
        }
    }
    // Whoever was refused is placed elsewhere at the next try; whoever is on it waits for it.
    for number in 0..20 {
        let answer = allocate(number).await;
        match on_north.contains(&number) {
            true => drop(answer.refused(409, ProblemCode::NoInstance)),
            false => assert_eq!(Api::allocated(&answer).dps_instance, "south"),
        }
    }
    // The same when the configuration loses it, and the list says so.
    let api = api.restart(vec![instance("south", &south)]).await;
    let lost = instances(&api).await.remove(0);
    assert_eq!((lost.name.as_str(), lost.configured, lost.state), ("north", false, InstanceState::Down));
    assert_eq!(lost.allocated, on_north.len() as u64);
    assert_eq!(lost.id_scope, north.id_scope);
    // It comes back, and so do its devices.
    let api = api.restart(both()).await;
    patch(&api, "north", Some("*"), json!({ "fromFile": true, "reason": "back" })).await.ok::<Instance>();
    for &number in &on_north {
        let answer = api.allocate(&format!("sn-{number}"), handoffs[number], &["symmetricKey"]).await;
        assert_eq!(Api::allocated(&answer).dps_instance, "north");
    }
}

#[tokio::test]
async fn a_tenants_administrator_neither_sees_nor_changes_what_is_not_theirs() {
    let own = placed("own", Placement { tenant: Some("default".into()), ..Placement::default() });
    let api = Api::start(vec![
        own,
        nobody("shared"),
        placed("foreign", Placement { tenant: Some("acme".into()), ..Placement::default() }),
    ])
    .await;
    // Its own instance and not the shared one, for it has one of its own.
    api.add("sn-1").await;
    let answer: DryRun = dry_run(&api, json!({ "registrationId": "sn-1" })).await.ok();
    assert_eq!(answer.chosen.as_deref(), Some("own"));
    let shared = answer.instances.iter().find(|one| one.name == "shared").unwrap();
    assert_eq!(shared.ruled_out, [RuledOut::Shared]);
}

#[tokio::test]
async fn old_configuration_files_mean_what_they_meant_and_new_keys_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dps.toml");
    std::fs::write(folder.path().join("key"), "a2V5").unwrap();
    let old = "[[instance]]\nname = \"n\"\nid_scope = \"0ne\"\nservice_endpoint = \"https://h\"\nkey_file = \"key\"\n";
    std::fs::write(&file, old).unwrap();
    let read = read_instances(&file).unwrap().remove(0);
    assert_eq!((read.placement, read.capacity), (Placement::default(), 1_000_000));
    let new = "region = \"West-Europe\"\ntenant = \"acme\"\nring = \"test\"\nregistrations_per_minute = 9\nlinked_hubs = [\"h1\"]\nstamp = \"s1\"\n";
    std::fs::write(&file, format!("{old}{new}")).unwrap();
    let read = read_instances(&file).unwrap().remove(0).placement;
    assert_eq!(
        (read.region.as_deref(), read.tenant.as_deref(), read.ring),
        (Some("west-europe"), Some("acme"), Ring::Test)
    );
    assert_eq!((read.registrations_per_minute, read.stamp.as_deref()), (9, Some("s1")));
    for wrong in ["region = \"a b\"\n", "registrations_per_minute = 0\n", "ring = \"beta\"\n"] {
        std::fs::write(&file, format!("{old}{wrong}")).unwrap();
        assert!(read_instances(&file).is_err(), "{wrong}");
    }
}
