//! Work orders with all real parts: a schedule that is waited for, and a site without a network.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use lowtouch_device::sim::{Attestation, Running as Simulated, SimLink};
use lowtouch_installer::retry::Policy;
use lowtouch_installer::secrets::Memory;
use lowtouch_installer::{Config, ErrorCode, Installer, PairingEvent};
use lowtouch_test_support::{World, any_port, outcome, request};
use provisioning_api::Role;
use provisioning_api_contract as wire;
use secrecy::SecretString;

fn named(devices: &[&str], schedule: bool) -> wire::NewWorkOrder {
    wire::NewWorkOrder {
        site: "Plant 4".into(),
        installer: String::new(),
        tenant: None,
        devices: devices.iter().map(|id| (*id).to_owned()).collect(),
        any_of: None,
        opens: None,
        closes: None,
        hours: None,
        schedule,
    }
}

/// A token of an installer with this order, and nothing else.
async fn installer_with(world: &World, order: wire::NewWorkOrder) -> (SecretString, wire::WorkOrder) {
    let order = world.api.office().open_order("Mia", None, order).await.unwrap();
    (world.api.issue_token(Role::Installer, "Mia").await.unwrap(), order)
}

#[tokio::test]
async fn a_device_is_paired_where_there_is_no_network_and_the_api_is_told_afterwards() {
    let world = World::start().await;
    let mut config = world.device_config(SimLink::BleSim(any_port()));
    config.attestations = vec![Attestation::SymmetricKey];
    config.dps_ca_pem = Some(world.dps_roots());
    let id = config.registration_id.clone().unwrap();
    let device = world.device(config).await;
    let pin =
        wire::DeviceRequest { attestation: Some(wire::Attestation::SymmetricKey), ..wire::DeviceRequest::default() };
    world.api.add_device(&id, pin).await.unwrap();
    let (token, order) = installer_with(&world, named(&[&id], false)).await;

    let secrets: Arc<Memory> = Arc::default();
    let online = Config { token: Some(token), secrets: Some(secrets), ..world.installer_config("field") };
    let app = Installer::new(online.clone()).await.unwrap();
    let given = app.download_order(order.id).await.unwrap();
    assert_eq!((given.sealed.len(), given.online.len()), (1, 0));
    let files = std::fs::read_dir(world.data_folder("field"))
        .unwrap()
        .filter_map(|file| std::fs::read(file.unwrap().path()).ok());
    let kept: Vec<u8> = files.flatten().collect();
    let holds = |text: &[u8]| kept.windows(text.len()).any(|window| window == text);
    assert!(holds(given.sealed[0].ciphertext.as_bytes()), "it is not kept");
    assert!(!holds(b"idScope"), "what is sealed is kept in the clear");
    drop(app);

    // Nobody listens at this port.
    let retry = Policy { tries: 1, ..Policy::API };
    let offline = Config { api_url: Some("https://127.0.0.1:1".into()), retry, ..online.clone() };
    let app = Installer::new(offline).await.unwrap();
    let pairing = app.pair(request(&device));
    let mut events = pairing.events();
    let paired = outcome(pairing).await.unwrap();
    assert_eq!(paired.attestation, wire::Attestation::SymmetricKey);
    let mut unsealed = false;
    while let Some(event) = events.next().await {
        unsealed |= matches!(event, PairingEvent::Unsealed { order: of } if of == order.id);
    }
    assert!(unsealed);
    assert_eq!(app.tell().await.unwrap_err().code, ErrorCode::ApiUnreachable);
    drop(app);

    // The app starts again where there is a network: nobody has to ask for it.
    let app = Installer::new(online).await.unwrap();
    let mut telling = app.tell_in_background();
    let told = tokio::time::timeout(std::time::Duration::from_secs(60), telling.changed()).await.unwrap();
    assert_eq!((told.told, told.refused), (vec![paired.handoff_id], vec![]));
    assert!(app.tell().await.unwrap().told.is_empty(), "it is told once");
    let known = app.api().unwrap().look_up(&id, false).await.unwrap();
    assert_eq!((known.lifecycle, known.handoff_id), (wire::Lifecycle::Assigned, Some(paired.handoff_id)));
}

/// The slot that a pairing waits for; `None` when it ended without waiting. It is cancelled.
async fn turn(app: &Installer, device: &Simulated) -> Option<jiff::Timestamp> {
    let pairing = app.pair(request(device));
    let mut events = pairing.events();
    let turn = loop {
        match events.next().await.expect("an event") {
            PairingEvent::WaitingForSlot { starts_at, wait_s } => {
                assert!(wait_s <= 20, "{wait_s} s");
                break starts_at;
            }
            event if event.is_final() => return None,
            _ => {}
        }
    };
    pairing.cancel();
    assert_eq!(outcome(pairing).await.unwrap_err().code, ErrorCode::Cancelled);
    Some(turn)
}

#[tokio::test]
async fn a_slot_is_shown_and_waited_for_and_a_rerun_after_a_cancel_keeps_it() {
    // A slot every ten seconds.
    let world = World::with_instances(|instance| {
        instance.placement.registrations_per_minute = 6;
        if instance.name == "dps-b" {
            instance.state = wire::InstanceState::Down;
        }
    })
    .await;
    let mut devices = Vec::new();
    for _ in 0..2 {
        let mut config = world.device_config(SimLink::BleSim(any_port()));
        config.dps_ca_pem = Some(world.dps_roots());
        devices.push(world.device(config).await);
    }
    let ids: Vec<_> = devices.iter().map(|device| device.registration_id().to_owned()).collect();
    let any = wire::AnyOf { model: None, at_most: 2 };
    let (token, _) = installer_with(&world, wire::NewWorkOrder { any_of: Some(any), ..named(&[], true) }).await;
    let app = Installer::new(Config { token: Some(token), ..world.installer_config("app") }).await.unwrap();
    // The first one's slot is within ten seconds, the second one's ten seconds after it.
    turn(&app, &devices[0]).await;
    let first = turn(&app, &devices[1]).await.expect("a slot to wait for");
    let again = turn(&app, &devices[1]).await.expect("a slot to wait for");
    assert_eq!(first, again, "the rerun has another slot");
    outcome(app.pair(request(&devices[1]))).await.unwrap();
    assert!(jiff::Timestamp::now() >= first, "it did not wait for its slot");
    assert_eq!(world.hub_devices(&ids[1]).len(), 1);
}
