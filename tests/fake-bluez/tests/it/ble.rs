//! The real `ble://` link through the real btleplug and a real D-Bus, against a bluetoothd that does what a test says.

use std::time::Duration;

use crate::common::{ADDRESS, ENDPOINTS, Echo, PROBE, Scene, echo};
use fake_bluez::{AdapterState, Bus, Device, Fault, Probe, Rule, World};
use futures::StreamExt as _;
use lowtouch_links::simulated::{Characteristic, SERVICE, SERVICE_COMMON};
use uuid::Uuid;

const GONE: (&str, &str) = ("org.freedesktop.DBus.Error.UnknownObject", "gone");

#[tokio::test]
async fn a_device_is_found_by_name_and_answers() {
    let mut scene = Scene::new().await;
    scene.probe.open("PROV_1", 5000, 5000).await.value();
    assert_eq!(scene.probe.exchanged("proto-ver", b"---").await.value(), hex::encode("proto-ver:---"));
    let facts = scene.probe.facts().await;
    assert_eq!((&facts["mtu"], &facts["address"], &facts["rssi"]), (&517.into(), &ADDRESS.into(), &(-60).into()));
    scene.probe.closed().await.value();
    assert!(!scene.bluez.is_connected(ADDRESS).await);
    assert!(!scene.bluez.is_scanning().await);
    scene.probe.finish().await;
}

#[tokio::test]
async fn a_device_is_found_by_address_and_other_endpoints_are_unknown() {
    let mut scene = Scene::new().await;
    scene.probe.open(&ADDRESS.to_lowercase(), 5000, 5000).await.value();
    scene.probe.exchanged("prov-scan", b"x").await.fails_with("UnknownEndpoint");
    scene.probe.exchanged("dps-config", b"x").await.value();
    scene.probe.exchanged("dps-config", &[0; 513]).await.fails_with("TooLong { len: 513, max: 512 }");
    scene.probe.exchanged("dps-config", &[0; 400]).await.value();
}

#[tokio::test]
async fn a_refusal_is_told_from_a_lost_connection() {
    let mut scene = Scene::new().await;
    scene.probe.open("PROV_1", 5000, 5000).await.value();
    scene.probe.exchanged("prov-session", b"refuse").await.fails_with("Refused { endpoint: \"prov-session\" }");
    // The link goes on after a refusal.
    scene.probe.exchanged("prov-session", b"x").await.value();
    scene.rule(Rule::first("WriteValue", Fault::Error("org.bluez.Error.Failed", "Not connected"))).await;
    scene.probe.exchanged("prov-session", b"x").await.fails_with("Lost");
    scene.probe.exchanged("prov-session", b"x").await.fails_with("Interrupted");
    scene.probe.reconnected().await.value();
    scene.rule(Rule::first("WriteValue", Fault::Error("org.bluez.Error.NotPermitted", "Not paired"))).await;
    let answer = scene.probe.exchanged("prov-session", b"x").await;
    assert!(answer.words.contains("Bluetooth pairing"), "{answer:?}");
}

#[tokio::test]
async fn a_disconnect_is_noticed_at_once_at_any_call() {
    let mut scene = Scene::new().await;
    scene.probe.open("PROV_1", 5000, 20_000).await.value();
    for (member, fault) in [
        ("WriteValue", Fault::Disconnect),
        ("WriteValue", Fault::DisconnectAfter),
        ("ReadValue", Fault::Disconnect),
        ("ReadValue", Fault::DisconnectAfter),
    ] {
        scene.rule(Rule::first(member, fault)).await;
        let answer = scene.probe.exchanged("prov-session", b"x").await;
        answer.fails_with("Lost");
        assert!(answer.took < Duration::from_secs(5), "{answer:?}");
        scene.probe.reconnected().await.value();
        scene.probe.exchanged("prov-session", b"y").await.value();
    }
    // While a call is pending that is never answered.
    scene.rule(Rule::first("ReadValue", Fault::Never)).await;
    let ((), answer) = tokio::join!(
        async {
            scene.bluez.called("ReadValue", 6).await;
            scene.bluez.disconnect(ADDRESS).await;
        },
        scene.probe.exchanged("prov-session", b"x")
    );
    answer.fails_with("Lost");
    assert!(answer.took < Duration::from_secs(5), "{answer:?}");
    // And while nothing is going on.
    scene.probe.reconnected().await.value();
    scene.bluez.disconnect(ADDRESS).await;
    let written = scene.bluez.calls("WriteValue").await;
    scene.probe.exchanged("prov-session", b"x").await.fails_with("Lost");
    assert!(scene.bluez.calls("WriteValue").await <= written + 1);
    scene.probe.reconnected().await.value();
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_a_timeout_and_never_taken_for_the_next() {
    let mut scene = Scene::new().await;
    scene.probe.open("PROV_1", 5000, 1500).await.value();
    scene.rule(Rule::first("ReadValue", Fault::Slow(Duration::from_millis(2000)))).await;
    let answer = scene.probe.exchanged("prov-session", b"first").await;
    answer.fails_with("Timeout { what: \"exchange\", after: 1.5s }");
    scene.probe.exchanged("prov-session", b"second").await.fails_with("Interrupted");
    scene.probe.reconnected().await.value();
    let second = scene.probe.exchanged("prov-session", b"second").await.value();
    assert_eq!(second, hex::encode("prov-session:second"));
}

#[tokio::test]
async fn a_dropped_exchange_leaves_a_link_that_reconnects() {
    let mut scene = Scene::new().await;
    scene.probe.open("PROV_1", 5000, 20_000).await.value();
    scene.rule(Rule::first("WriteValue", Fault::Never)).await;
    scene.probe.dropped("prov-session", b"x", 100).await.value();
    scene.probe.exchanged("prov-session", b"x").await.fails_with("Interrupted");
    scene.probe.reconnected().await.value();
    assert_eq!(scene.bluez.calls("Disconnect").await, 1, "the device's session must start afresh");
    scene.probe.exchanged("prov-session", b"x").await.value();
}

#[tokio::test]
async fn connecting_is_tried_again_within_its_deadline() {
    let mut scene = Scene::new().await;
    let abort = Fault::Error("org.bluez.Error.Failed", "le-connection-abort-by-local");
    scene.rule(Rule::first("Connect", abort.clone())).await;
    scene.rule(Rule::first("Connect", Fault::Disconnect)).await;
    scene.rule(Rule::first("Connect", Fault::Error("org.bluez.Error.InProgress", "In Progress"))).await;
    scene.rule(Rule::first("ReadDescriptor", Fault::Disconnect)).await;
    scene.probe.open("PROV_1", 8000, 5000).await.value();
    assert_eq!(scene.bluez.calls("Connect").await, 5);
    scene.probe.closed().await.value();
    scene.rule(Rule::every("Connect", abort)).await;
    let answer = scene.probe.open("PROV_1", 1500, 5000).await;
    answer.fails_with("Timeout { what: \"connect\", after: 1.5s }");
    assert!(answer.took < Duration::from_secs(5), "{answer:?}");
}

#[tokio::test]
async fn a_service_that_never_answers_ends_at_the_deadline() {
    for member in ["Connect", "Introspect", "ReadDescriptor"] {
        let mut scene = Scene::new().await;
        scene.rule(Rule::every(member, Fault::Never)).await;
        let answer = scene.probe.open("PROV_1", 1000, 1000).await;
        answer.fails_with("Timeout { what: \"connect\"");
        assert!(answer.took < Duration::from_secs(8), "{member}: {answer:?}");
    }
}

#[tokio::test]
async fn the_layout_of_a_known_device_is_not_read_again_until_it_changes() {
    let mut scene = Scene::new().await;
    scene.probe.open("PROV_1", 5000, 5000).await.value();
    let cold = scene.probe.facts().await["operations"].as_u64().unwrap();
    assert_eq!(scene.bluez.calls("ReadDescriptor").await, 3);
    scene.probe.closed().await.value();
    scene.probe.open("PROV_1", 5000, 5000).await.value();
    let cached = scene.probe.facts().await["operations"].as_u64().unwrap();
    assert_eq!(scene.bluez.calls("ReadDescriptor").await, 3);
    assert!(cached < cold, "{cached} {cold}");
    // A refusal may mean other firmware with its endpoints elsewhere.
    scene.probe.exchanged("prov-session", b"refuse").await.fails_with("Refused");
    scene.probe.reconnected().await.value();
    assert_eq!(scene.bluez.calls("ReadDescriptor").await, 6);
}

#[tokio::test]
async fn services_that_change_are_discovered_again() {
    let mut scene = Scene::new().await;
    scene.probe.open("PROV_1", 5000, 5000).await.value();
    scene.rule(Rule::first("WriteValue", Fault::ChangeServices)).await;
    scene.probe.exchanged("prov-session", b"x").await.fails_with("Lost");
    scene.probe.reconnected().await.value();
    scene.probe.exchanged("prov-session", b"x").await.value();
}

#[tokio::test]
async fn a_device_without_descriptors_is_known_by_its_uuids() {
    let mut device = Device::new("PROV_1", echo(SERVICE_COMMON, ENDPOINTS));
    device.gatt.descriptors = false;
    device.gatt.service = SERVICE_COMMON;
    let mut scene = Scene::of([(ADDRESS, device)]).await;
    scene.probe.open("PROV_1", 5000, 5000).await.value();
    for endpoint in ["prov-session", "proto-ver", "dps-config"] {
        let answer = scene.probe.exchanged(endpoint, b"x").await.value();
        assert_eq!(answer, hex::encode(format!("{endpoint}:x")));
    }
}

#[tokio::test]
async fn an_mtu_of_23_or_none_at_all_works() {
    for mtu in [Some(23), None] {
        let mut device = Device::new("PROV_1", echo(SERVICE, ENDPOINTS));
        device.mtu = mtu;
        let mut scene = Scene::of([(ADDRESS, device)]).await;
        scene.probe.open("PROV_1", 5000, 5000).await.value();
        assert_eq!(scene.probe.facts().await["mtu"], 23);
        let before = scene.probe.facts().await["operations"].as_u64().unwrap();
        scene.probe.exchanged("dps-config", &[b'x'; 400]).await.value();
        let after = scene.probe.facts().await["operations"].as_u64().unwrap();
        // 400 bytes in prepared writes of 18 and their execution; 411 back in reads of 22.
        assert_eq!(after - before, 23 + 1 + 19);
    }
}

#[tokio::test]
async fn two_devices_of_one_name_are_both_named() {
    let device = || Device::new("PROV_1", echo(SERVICE, ENDPOINTS));
    let mut stale = device();
    stale.rssi = None;
    let mut scene = Scene::of([("AA:00:00:00:00:01", device()), ("AA:00:00:00:00:02", device())]).await;
    let answer = scene.probe.open("PROV_1", 5000, 5000).await;
    answer.fails_with("Ambiguous");
    for part in ["AA:00:00:00:00:01", "AA:00:00:00:00:02", "ble://AA:00:00:00:00:01"] {
        assert!(answer.words.contains(part), "{answer:?}");
    }
    assert_eq!(scene.bluez.calls("Connect").await, 0);
    scene.probe.open("AA:00:00:00:00:02", 5000, 5000).await.value();
    assert!(scene.bluez.is_connected("AA:00:00:00:00:02").await);
    // One that BlueZ remembers, but that is not heard, is no second one.
    scene.probe.closed().await.value();
    scene.bluez.change(|world| world.devices.insert("AA:00:00:00:00:01".to_owned(), stale)).await;
    scene.probe.open("PROV_1", 5000, 5000).await.value();
    assert!(scene.bluez.is_connected("AA:00:00:00:00:02").await);
}

#[tokio::test]
async fn a_hostile_device_gets_no_further_than_an_error() {
    let mut scene = Scene::new().await;
    scene.probe.open("PROV_1", 5000, 5000).await.value();
    scene.rule(Rule::first("ReadValue", Fault::Value(vec![7; 513]))).await;
    scene.probe.exchanged("prov-session", b"x").await.fails_with("TooLong { len: 513, max: 512 }");
    scene.probe.reconnected().await.value();
    scene.rule(Rule::first("ReadValue", Fault::Value(Vec::new()))).await;
    assert_eq!(scene.probe.exchanged("prov-session", b"x").await.value(), "");
    scene.rule(Rule::first("ReadValue", Fault::Slow(Duration::from_millis(500)))).await;
    let ((), answer) =
        tokio::join!(scene.bluez.notify(ADDRESS, 5000), scene.probe.exchanged("prov-session", b"under fire"));
    assert_eq!(answer.value(), hex::encode("prov-session:under fire"));

    let endless =
        (0..300).map(|number| Characteristic { uuid: Uuid::from_u128(number), endpoint: format!("e{number}") });
    let device = Device::new("PROV_2", Echo::with(endless.collect()));
    scene.bluez.change(|world| world.devices.insert("AA:00:00:00:00:02".to_owned(), device)).await;
    scene.probe.open("PROV_2", 5000, 5000).await.fails_with("Garbage");
    assert!(!scene.bluez.is_connected("AA:00:00:00:00:02").await);
}

#[tokio::test]
async fn a_device_that_is_no_provisioning_device_is_left_alone() {
    let heart_rate = Uuid::from_u128(0x0000180d_0000_1000_8000_00805f9b34fb);
    let mut device = Device::new("Watch", echo(heart_rate, ["measurement"]));
    device.gatt.service = heart_rate;
    let mut scene = Scene::of([(ADDRESS, device)]).await;
    scene.probe.open("Watch", 5000, 5000).await.fails_with("Garbage");
    assert!(!scene.bluez.is_connected(ADDRESS).await);
}

#[tokio::test]
async fn a_device_that_is_not_there_is_not_found() {
    let mut scene = Scene::new().await;
    let answer = scene.probe.open("PROV_2", 1000, 5000).await;
    answer.fails_with("NotFound { what: \"ble://PROV_2\" }");
    // It stops to advertise before anybody connects, and the service forgets it.
    scene.rule(Rule::every("Connect", Fault::Error(GONE.0, GONE.1))).await;
    let answer = scene.probe.open("PROV_1", 1500, 5000).await;
    assert!(answer.error.as_deref().is_some_and(|error| error.starts_with("Timeout") || error.starts_with("NotFound")));
}

#[tokio::test]
async fn an_adapter_that_cannot_be_used_says_why_and_what_to_do() {
    for (state, problem, mend) in [
        (AdapterState::Absent, "NoAdapter", "Plug in"),
        (AdapterState::Off, "Off", "power on"),
        (AdapterState::Blocked, "Blocked", "rfkill unblock"),
    ] {
        let mut scene = Scene::new().await;
        scene.bluez.change(|world| world.adapter = state).await;
        for answer in [scene.probe.open("PROV_1", 1000, 1000).await, scene.probe.scan(500).await] {
            answer.fails_with(&format!("Adapter {{ problem: {problem}"));
            assert!(answer.words.contains(mend), "{answer:?}");
        }
    }
    let bus = Bus::that_denies_bluez().await;
    let bluez = fake_bluez::FakeBluez::start(&bus, World::new([])).await;
    let mut probe = Probe::start(PROBE, bus.address()).await;
    probe.scan(500).await.fails_with("Adapter { problem: NoPermission");
    drop(bluez);
    // A bus without bluetoothd, and no bus at all.
    let bus = Bus::start().await;
    let nowhere = format!("unix:path={}", bus.folder().join("nowhere").display());
    for address in [bus.address(), &nowhere] {
        let mut probe = Probe::start(PROBE, address).await;
        let answer = probe.scan(500).await;
        answer.fails_with("Adapter { problem: NoService");
        assert!(answer.words.contains("systemctl enable --now bluetooth"), "{answer:?}");
    }
}

#[tokio::test]
async fn an_adapter_that_is_pulled_out_is_no_hang() {
    let mut scene = Scene::new().await;
    scene.probe.open("PROV_1", 5000, 20_000).await.value();
    scene.rule(Rule::first("WriteValue", Fault::PullAdapter)).await;
    let answer = scene.probe.exchanged("prov-session", b"x").await;
    answer.fails_with("Lost");
    assert!(answer.took < Duration::from_secs(8), "{answer:?}");
    scene.probe.reconnected().await.fails_with("Adapter { problem: NoAdapter");
    scene.bluez.change(|world| world.adapter = AdapterState::On).await;
    scene.probe.reconnected().await.value();
    scene.probe.exchanged("prov-session", b"x").await.value();
}

#[tokio::test]
async fn a_bluetoothd_that_restarts_is_a_lost_connection() {
    let Scene { mut probe, bluez, bus } = Scene::new().await;
    probe.open("PROV_1", 5000, 20_000).await.value();
    bluez.change(|world| world.rules.push(Rule::first("WriteValue", Fault::Never))).await;
    let (world, answer) = tokio::join!(
        async {
            bluez.called("WriteValue", 1).await;
            bluez.stop().await
        },
        probe.exchanged("prov-session", b"x")
    );
    answer.fails_with("Lost");
    assert!(answer.took < Duration::from_secs(8), "{answer:?}");
    probe.reconnected().await.fails_with("Adapter { problem: NoService");
    let _bluez = fake_bluez::FakeBluez::start(&bus, world).await;
    probe.reconnected().await.value();
    probe.exchanged("prov-session", b"x").await.value();
}

#[tokio::test]
async fn a_missing_property_is_a_device_or_an_adapter_less_but_never_a_hang() {
    for (interface, property, error) in [
        ("Adapter1", "Modalias", "Adapter { problem: NoAdapter"),
        ("Device1", "AddressType", "NotFound"),
        ("GattCharacteristic1", "Flags", "Timeout { what: \"connect\""),
        ("GattService1", "UUID", "Timeout { what: \"connect\""),
    ] {
        let mut scene = Scene::new().await;
        scene.bluez.change(|world| world.missing.push((interface, property))).await;
        scene.probe.open("PROV_1", 1000, 1000).await.fails_with(error);
    }
}

#[tokio::test]
async fn a_scan_shows_what_is_heard_strongest_first() {
    let device = |name: &str, rssi| {
        let mut device = Device::new(name, echo(SERVICE, ENDPOINTS));
        device.rssi = rssi;
        device
    };
    let mut improv = device("Lamp", Some(-80));
    improv.services = Vec::new();
    let improv_data = Uuid::from_u128(0x00004677_0000_1000_8000_00805f9b34fb);
    improv.service_data.insert(improv_data, vec![4, 0, 0, 0, 0, 0]);
    let mut other = device("Watch", Some(-90));
    other.services = Vec::new();
    let mut scene = Scene::of([
        ("AA:00:00:00:00:01", other),
        ("AA:00:00:00:00:02", improv),
        ("AA:00:00:00:00:03", device("PROV_3", Some(-40))),
        ("AA:00:00:00:00:04", device("PROV_4", Some(127))),
        ("AA:00:00:00:00:05", device("PROV_5", None)),
    ])
    .await;
    let found = scene.probe.scan(500).await.value();
    let rows: Vec<_> = found.as_array().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        rows,
        [
            r#"{"name":"PROV_3","address":"AA:00:00:00:00:03","rssi":-40,"kind":"protocomm","provisioned":null}"#,
            r#"{"name":"Lamp","address":"AA:00:00:00:00:02","rssi":-80,"kind":"improv","provisioned":true}"#,
            r#"{"name":"Watch","address":"AA:00:00:00:00:01","rssi":-90,"kind":"unknown","provisioned":null}"#,
            r#"{"name":"PROV_4","address":"AA:00:00:00:00:04","rssi":null,"kind":"protocomm","provisioned":null}"#,
        ]
    );
    scene.bluez.stopped_scanning().await;
}

#[tokio::test]
async fn a_device_that_was_just_found_is_connected_without_another_scan() {
    let other = Device::new("Watch", echo(SERVICE, ENDPOINTS));
    let device = Device::new("PROV_1", echo(SERVICE, ENDPOINTS));
    let mut scene = Scene::of([(ADDRESS, device), ("AA:00:00:00:00:02", other)]).await;
    scene.probe.find("PROV_2", 600).await.fails_with("NotFound");
    let found = scene.probe.find("PROV_1", 5000).await.value();
    assert_eq!(found["address"], ADDRESS);
    let progress: Vec<_> = found["progress"].as_array().unwrap().iter().map(|told| told.as_str().unwrap()).collect();
    assert_eq!(progress[0], "Scanning");
    assert!(progress[1].starts_with("Matched(Found { name: Some(\"PROV_1\")"), "{progress:?}");
    assert_eq!(scene.bluez.calls("StartDiscovery").await, 2);
    scene.probe.open(ADDRESS, 5000, 5000).await.value();
    assert_eq!(scene.bluez.calls("StartDiscovery").await, 2);
}

#[tokio::test]
async fn whatever_call_fails_is_late_or_never_answered_the_link_ends_in_time_and_the_next_one_works() {
    let members = [
        "GetManagedObjects",
        "GetAll",
        "Set",
        "SetDiscoveryFilter",
        "StartDiscovery",
        "StopDiscovery",
        "Connect",
        "Get",
        "Introspect",
        "ReadDescriptor",
        "WriteValue",
        "ReadValue",
        "Disconnect",
    ];
    let faults = [
        Fault::Error("org.bluez.Error.Failed", "Operation failed"),
        Fault::Error(GONE.0, GONE.1),
        Fault::Slow(Duration::from_millis(1200)),
        Fault::Never,
    ];
    let cases = members.into_iter().flat_map(|member| faults.clone().map(|fault| (member, fault)));
    // Each case waits most of its time; all at once would be two hundred processes.
    let cases = futures::stream::iter(cases).map(|(member, fault)| async move {
        let mut scene = Scene::new().await;
        scene.rule(Rule::first(member, fault.clone())).await;
        let answer = scene.probe.open("PROV_1", 1500, 1000).await;
        assert!(answer.took < Duration::from_secs(14), "{member} {fault:?}: {answer:?}");
        if answer.error.is_none() {
            let answer = scene.probe.exchanged("prov-session", b"x").await;
            assert!(answer.took < Duration::from_secs(8), "{member} {fault:?}: {answer:?}");
            scene.probe.closed().await.value();
        }
        scene.bluez.change(|world| world.rules.clear()).await;
        let again = scene.probe.open("PROV_1", 8000, 8000).await;
        assert!(again.error.is_none(), "{member} {fault:?}: {again:?}, before: {answer:?}");
        scene.probe.exchanged("prov-session", b"x").await.value();
        scene.probe.finish().await;
    });
    cases.buffer_unordered(26).for_each(|()| async {}).await;
}
