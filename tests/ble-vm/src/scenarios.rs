//! What is done over the radio.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use lowtouch_device::faults::{FaultPlan, KillPoint};
use lowtouch_device::sim;
use lowtouch_installer::pairing::{PairRequest, Paired, Pairing};
use lowtouch_installer::{ErrorCode, Installer, PairingEvent, Step, label};
use lowtouch_test_support::{World, outcome, request};
use serde_json::{Value, json};

use crate::radio::Radio;
use crate::sniffer;

pub(crate) type Scenario = fn(Radio) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// In the order in which they run.
pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("a device is paired to its hub, cold and with its layout cached", |radio| Box::pin(paired_and_measured(radio))),
    ("a wrong PoP is called a wrong PoP", |radio| Box::pin(wrong_pop(radio))),
    ("a device that loses its power in the middle of the commit is assigned in the end", |radio| {
        Box::pin(power_lost(radio))
    }),
    ("a connection that ends once it is secure is opened again, and the pairing goes on", |radio| {
        Box::pin(disconnected(radio, |event| matches!(event, PairingEvent::Secured { .. })))
    }),
    ("a connection that ends while the hand-off begins is opened again, and the pairing goes on", |radio| {
        Box::pin(disconnected(radio, |event| matches!(event, PairingEvent::StepStarted { step: Step::HandOff, .. })))
    }),
    ("a connection that ends after the commit is opened again, and the pairing goes on", |radio| {
        Box::pin(disconnected(radio, |event| matches!(event, PairingEvent::HandedOff { .. })))
    }),
];

/// How long a person tries the same label again and again.
const PERSISTENCE: Duration = Duration::from_secs(30);
/// Over BLE with a certificate: proto-ver, two for the session, identify, stage, commit.
const COMMIT: u32 = 6;

/// The roots of DPS are in the firmware, as in the field: handing them over would cost an exchange.
async fn world() -> World {
    World::with_instances(|instance| instance.ca_in_firmware = true).await
}

async fn device(world: &World, radio: &Radio, faults: FaultPlan) -> sim::Running {
    let mut config = world.device_config(radio.device_link());
    config.dps_ca_pem = Some(world.dps_roots());
    config.faults = faults;
    world.device(config).await
}

/// One identity in one hub, and it is the one that the app was told.
fn assert_assigned(world: &World, device: &sim::Running, paired: &Paired) {
    let identities = world.hub_devices(device.registration_id());
    assert_eq!(identities.len(), 1, "one identity in one hub");
    assert_eq!(identities[0].hub, paired.hub);
}

async fn paired_and_measured(radio: Radio) {
    let world = world().await;
    let installer = world.installer("app").await;
    for state in ["cold", "cached"] {
        // The same adapter, so the same address: bluetoothd and the link know what is behind it.
        let device = device(&world, &radio, FaultPlan::default()).await;
        let start = SystemTime::now();
        let pairing = installer.pair(request(&device));
        let committed = tokio::spawn(committed(pairing.events()));
        let paired = outcome(pairing).await.expect("paired");
        assert_assigned(&world, &device, &paired);
        let committed = committed.await.unwrap();
        report(state, start, committed, &paired);
        device.stop().await;
    }
}

/// When the device said that it had put the configuration in force.
async fn committed(mut events: lowtouch_installer::Events) -> SystemTime {
    while let Some(event) = events.next().await {
        if let PairingEvent::HandedOff { .. } = event {
            return SystemTime::now();
        }
    }
    panic!("nothing was handed off")
}

fn report(state: &str, start: SystemTime, committed: SystemTime, paired: &Paired) {
    let air = sniffer::since(start);
    let connecting = *air.connecting.first().expect("btmon saw the connection begin");
    let seconds = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default().as_secs_f64();
    let to_commit: Vec<u8> =
        air.requests.iter().filter(|(_, at)| *at <= committed).map(|(opcode, _)| *opcode).collect();
    let mut by_opcode: BTreeMap<u8, u32> = BTreeMap::new();
    for opcode in &to_commit {
        *by_opcode.entry(*opcode).or_default() += 1;
    }
    let by_opcode: Vec<String> = by_opcode.iter().map(|(opcode, count)| format!("{opcode:#04x}:{count}")).collect();
    println!(
        "       {state}: found after {:.2} s; from connect to commit {} ATT operations in {:.2} s, {} exchanges \
         ({}); whole pairing {} ATT operations, {:.2} s",
        seconds(start, connecting),
        to_commit.len(),
        seconds(connecting, committed),
        paired.round_trips_to_commit,
        by_opcode.join(" "),
        air.requests.len(),
        paired.seconds,
    );
}

async fn wrong_pop(radio: Radio) {
    let world = world().await;
    let device = device(&world, &radio, FaultPlan::default()).await;
    let installer = world.installer("app").await;
    let mut text: Value = serde_json::from_str(device.label()).unwrap();
    text["pop"] = json!("not-this-one");
    let wrong = PairRequest::new(label::parse(&text.to_string()).unwrap(), device.address().parse().unwrap());
    let error = outcome(installer.pair(wrong)).await.expect_err("a wrong PoP");
    assert_eq!(error.code, ErrorCode::WrongPop, "{error:?}");
    assert!(world.hub_devices(device.registration_id()).is_empty());
    device.stop().await;
}

async fn power_lost(radio: Radio) {
    let world = world().await;
    // It has put the configuration in force, and its answer is lost.
    let kill = FaultPlan::kill_once(KillPoint::AfterMessage(COMMIT), Some(Duration::from_millis(50)));
    let device = device(&world, &radio, kill).await;
    let paired = persist(&world.installer("app").await, || request(&device)).await;
    assert_eq!(device.boots(), 2, "the power was lost once");
    assert_assigned(&world, &device, &paired);
    device.stop().await;
}

async fn disconnected(radio: Radio, moment: fn(&PairingEvent) -> bool) {
    let world = world().await;
    let installer = world.installer("app").await;
    let device = device(&world, &radio, FaultPlan::default()).await;
    let pairing = installer.pair(request(&device));
    let mut events = pairing.events();
    let scissors = radio.clone();
    let cut = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if moment(&event) {
                scissors.cut().await;
                break;
            }
        }
        while let Some(event) = events.next().await {
            if let PairingEvent::Reconnecting { .. } = event {
                return true;
            }
        }
        false
    });
    let paired = match outcome(pairing).await {
        Ok(paired) => paired,
        // What a disconnect may cost is a rerun, never more.
        Err(error) if error.code == ErrorCode::LinkLost => persist(&installer, || request(&device)).await,
        Err(error) => panic!("{error:?}"),
    };
    assert_assigned(&world, &device, &paired);
    assert!(cut.await.unwrap(), "the connection was lost and made again");
    device.stop().await;
    // bluetoothd 5.66 keeps the cut connection's server, and crashes when it tells it that the device's services are gone.
    radio.restart().await;
}

/// The same label, until it works.
async fn persist(installer: &Installer, again: impl Fn() -> PairRequest) -> Paired {
    let began = Instant::now();
    loop {
        let pairing: Pairing = installer.pair(again());
        match outcome(pairing).await {
            Ok(paired) => return paired,
            Err(error) if began.elapsed() < PERSISTENCE => {
                println!("       tried again after {}: {error}", error.code.as_str());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}
