//! Whole pairings through the real btleplug: installer → link → D-Bus → the simulated device's own role → DPS.

use crate::common::{ADDRESS, ENDPOINTS, PROBE, Scene, echo};
use fake_bluez::{AdapterState, Device, FakeBluez, Fault, Probe, Rule};
use lowtouch_device::sim::{Running, SimLink};
use lowtouch_installer::pairing::PairRequest;
use lowtouch_installer::{ErrorCode, label};
use lowtouch_links::simulated::{Remote, SERVICE};
use lowtouch_links::{Deadlines, LinkAddress};
use lowtouch_test_support::{World, any_port, outcome, request};
use secrecy::ExposeSecret as _;

/// The device's own GATT server behind the fake bluetoothd.
async fn in_reach(device: &Running, mtu: u16) -> Scene {
    let LinkAddress::BleSim { peripheral, .. } = device.address().parse().unwrap() else {
        panic!("no simulated radio")
    };
    let mut in_reach = Device::new("PROV_1", Remote::new(peripheral, Deadlines::default()));
    in_reach.mtu = Some(mtu);
    let mut scene = Scene::of([(ADDRESS, in_reach)]).await;
    scene.probe.open("PROV_1", 5000, 10_000).await.value();
    scene
}

fn with_pop(mut request: PairRequest, device: &Running, pop: &str) -> PairRequest {
    let text: serde_json::Value = serde_json::from_str(device.label()).unwrap();
    let text = device.label().replace(text["pop"].as_str().unwrap(), pop);
    request.label = label::parse(&text).unwrap();
    request
}

#[tokio::test]
async fn a_device_is_paired_at_any_mtu_and_a_wrong_code_is_called_that() {
    let world = World::start().await;
    let installer = world.installer("app").await;
    for mtu in [23, 517] {
        let device = world.device(world.device_config(SimLink::BleSim(any_port()))).await;
        let scene = in_reach(&device, mtu).await;
        let wrong = with_pop(request(&device), &device, "wrong123");
        let error = outcome(installer.pair_over(wrong, Box::new(scene.probe))).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::WrongPop);

        let scene = in_reach(&device, mtu).await;
        let paired = outcome(installer.pair_over(request(&device), Box::new(scene.probe))).await.unwrap();
        assert!(!paired.hub.is_empty());
        assert_eq!(world.hub_devices(device.registration_id()).len(), 1);
    }
}

#[tokio::test]
async fn a_pairing_goes_on_after_a_disconnect_at_any_exchange() {
    let world = World::start().await;
    let installer = world.installer("app").await;
    let cases =
        [(1, Fault::Disconnect), (4, Fault::DisconnectAfter), (7, Fault::Disconnect), (9, Fault::DisconnectAfter)];
    let cases = cases.into_iter().map(async |(exchange, fault)| {
        let device = world.device(world.device_config(SimLink::BleSim(any_port()))).await;
        let scene = in_reach(&device, 185).await;
        scene.rule(Rule::after("WriteValue", exchange, fault)).await;
        let paired = outcome(installer.pair_over(request(&device), Box::new(scene.probe))).await;
        if let Err(error) = paired {
            // What a disconnect may cost is a rerun, never more.
            assert_eq!(error.code, ErrorCode::LinkLost, "exchange {exchange}");
            let scene = in_reach(&device, 185).await;
            outcome(installer.pair_over(request(&device), Box::new(scene.probe))).await.unwrap();
        }
        assert_eq!(world.hub_devices(device.registration_id()).len(), 1);
    });
    futures::future::join_all(cases).await;
}

/// The device under the name on its label behind a fake bluetoothd, and what a program needs to pair it by that label.
async fn labelled(world: &World, device: &Running) -> (Scene, serde_json::Value) {
    let name = label::parse(device.label()).unwrap().name;
    let LinkAddress::BleSim { peripheral, .. } = device.address().parse().unwrap() else {
        panic!("no simulated radio")
    };
    let ours = Device::new(&name, Remote::new(peripheral, Deadlines::default()));
    let settings = world.installer_config("app");
    let setup = serde_json::json!({
        "api": settings.api_url, "ca": settings.extra_ca_pem, "folder": world.folder().join("probe"),
        "token": settings.token.unwrap().expose_secret(),
    });
    (Scene::of([(ADDRESS, ours)]).await, setup)
}

#[tokio::test]
async fn what_one_program_learned_of_a_device_the_next_need_not_read() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::BleSim(any_port()))).await;
    let (mut scene, setup) = labelled(&world, &device).await;
    let mut reads = Vec::new();
    for _ in 0..2 {
        let events = scene.probe.pair(device.label(), setup.clone()).await;
        assert_eq!(events.last().unwrap()["event"], "finished", "{:?}", events.last());
        reads.push(scene.bluez.calls("ReadDescriptor").await);
        scene.probe = Probe::start(PROBE, scene.bus.address()).await;
    }
    assert!(reads[0] > 0);
    assert_eq!(reads[0], reads[1], "descriptors are read once");

    // The connection breaks: perhaps the device is not what it was, so it is asked again.
    scene
        .rule(Rule::every(
            "WriteValue",
            Fault::Error("org.bluez.Error.Failed", "Operation failed with ATT error: 0x01"),
        ))
        .await;
    let events = scene.probe.pair(device.label(), setup.clone()).await;
    assert_eq!(events.last().unwrap()["event"], "failed", "{:?}", events.last());
    scene.bluez.change(|world| world.rules.clear()).await;
    scene.probe = Probe::start(PROBE, scene.bus.address()).await;
    let events = scene.probe.pair(device.label(), setup).await;
    assert_eq!(events.last().unwrap()["event"], "finished", "{:?}", events.last());
    assert_eq!(scene.bluez.calls("ReadDescriptor").await, 2 * reads[0]);
}

#[tokio::test]
async fn an_adapter_that_is_pulled_out_during_a_pairing_is_named_and_a_rerun_finishes() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::BleSim(any_port()))).await;
    let (mut scene, setup) = labelled(&world, &device).await;
    // One write is one exchange: the first of the session, one of the hand-off, the commit or after it.
    for exchange in [1, 5, 7] {
        scene.rule(Rule::after("WriteValue", exchange, Fault::PullAdapter)).await;
        let events = scene.probe.pair(device.label(), setup.clone()).await;
        let last = events.last().unwrap();
        assert_eq!(last["code"], "bluetooth-unavailable", "exchange {exchange}: {last}");
        assert!(last["detail"].as_str().unwrap().contains("Plug in a Bluetooth adapter"), "{last}");
        scene.bluez.change(|world| (world.adapter, world.rules) = (AdapterState::On, Vec::new())).await;
    }
    let events = scene.probe.pair(device.label(), setup).await;
    assert_eq!(events.last().unwrap()["event"], "finished", "{:?}", events.last());
    assert!(events.iter().any(|event| event["event"] == "started" && event["resumed"] == true));
    assert_eq!(world.hub_devices(device.registration_id()).len(), 1);
}

#[tokio::test]
async fn a_bluetoothd_that_ends_during_a_pairing_is_named_and_a_rerun_finishes() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::BleSim(any_port()))).await;
    let (Scene { mut probe, bluez, bus }, setup) = labelled(&world, &device).await;
    bluez.change(|world| world.rules.push(Rule::after("WriteValue", 5, Fault::Never))).await;
    let (known, events) = tokio::join!(
        async {
            bluez.called("WriteValue", 6).await;
            bluez.stop().await
        },
        probe.pair(device.label(), setup.clone())
    );
    let last = events.last().unwrap();
    assert_eq!(last["code"], "bluetooth-unavailable", "{last}");
    assert!(last["detail"].as_str().unwrap().contains("systemctl enable --now bluetooth"), "{last}");

    let _bluez = FakeBluez::start(&bus, known).await;
    let events = probe.pair(device.label(), setup).await;
    assert_eq!(events.last().unwrap()["event"], "finished", "{:?}", events.last());
    assert_eq!(world.hub_devices(device.registration_id()).len(), 1);
}

#[tokio::test]
async fn a_label_alone_finds_its_device_and_the_pairing_says_how_far_it_got() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::BleSim(any_port()))).await;
    let name = label::parse(device.label()).unwrap().name;
    let LinkAddress::BleSim { peripheral, .. } = device.address().parse().unwrap() else {
        panic!("no simulated radio")
    };
    let ours = Device::new(&name, Remote::new(peripheral, Deadlines::default()));
    let other = Device::new("PROV_OTHER", echo(SERVICE, ENDPOINTS));
    let mut scene = Scene::of([(ADDRESS, ours), ("AA:00:00:00:00:02", other)]).await;
    let settings = world.installer_config("app");
    let setup = serde_json::json!({
        "api": settings.api_url, "ca": settings.extra_ca_pem, "folder": world.folder().join("probe"),
        "token": settings.token.unwrap().expose_secret(),
    });
    let events = scene.probe.pair(device.label(), setup.clone()).await;
    let find = |name: &str| events.iter().find(|event| event["event"] == name);
    assert_eq!(find("searching").unwrap()["heard"], 0);
    let found = find("device-found").unwrap();
    assert_eq!((&found["name"], &found["address"], &found["rssi"]), (&name.into(), &ADDRESS.into(), &(-60).into()));
    assert_eq!(events.last().unwrap()["event"], "finished", "{:?}", events.last());
    assert_eq!(scene.bluez.calls("StartDiscovery").await, 1);

    scene.bluez.change(|world| world.adapter = AdapterState::Off).await;
    let events = scene.probe.pair(device.label(), setup).await;
    let last = events.last().unwrap();
    assert_eq!(last["code"], "bluetooth-unavailable");
    assert!(last["detail"].as_str().unwrap().contains("bluetoothctl power on"), "{last}");
}
