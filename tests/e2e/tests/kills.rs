//! Killed anywhere and started again: the app at every step and journal write, the device at every message, every persisted
//! write and every request to DPS. A rerun of the same label finishes the pairing, and there is never a second one.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::time::{Duration, Instant};

use lowtouch_device::faults::{FaultPlan, KillPoint, Misanswer};
use lowtouch_device::sim::{Attestation, SimLink};
use lowtouch_installer::fault::{Message, Point, Write};
use lowtouch_installer::journal::State;
use lowtouch_installer::{ErrorCode, Installer, Step};
use lowtouch_test_support::{PATIENCE, World, any_port, outcome, request};

/// A device that lost its power is back after this long.
const BOOT: Duration = Duration::from_millis(50);

/// Over HTTP with a certificate: proto-ver, two for the session, identify, stage, commit, then status.
const FIRST_STATUS_REQUEST: u32 = 7;

/// How long a person tries the same label again and again.
const PERSISTENCE: Duration = Duration::from_secs(20);

fn points() -> Vec<Point> {
    let steps = Step::ALL.into_iter().filter(|step| *step != Step::Network);
    let mut points: Vec<Point> = steps.flat_map(|step| [Point::BeforeStep(step), Point::AfterStep(step)]).collect();
    let rare = [Write::DpsSaid, Write::Error];
    let writes = Write::ALL.into_iter().filter(|write| !rare.contains(write));
    points.extend(writes.flat_map(|write| [Point::BeforeWrite(write), Point::AfterWrite(write)]));
    points.extend([Point::AfterSend(Message::Stage), Point::AfterSend(Message::Commit)]);
    points
}

async fn the_app_is_killed_at_every_point(attestation: Attestation) {
    let world = World::start().await;
    for (number, point) in points().into_iter().enumerate() {
        let mut config = world.device_config(SimLink::Http(any_port()));
        config.attestations = vec![attestation];
        let device = world.device(config).await;
        let folder = format!("app-{number}");

        let doomed = world.installer_config(&folder);
        doomed.faults.kill_at(point);
        let installer = Installer::new(doomed.clone()).await.unwrap();
        let killed = outcome(installer.pair(request(&device))).await;
        assert!(killed.is_err(), "{point:?} was never reached");
        drop(installer);

        let installer = world.installer(&folder).await;
        let paired =
            outcome(installer.pair(request(&device))).await.unwrap_or_else(|error| panic!("{point:?}: {error:?}"));
        assert_eq!(world.hub_devices(device.registration_id()).len(), 1, "{point:?}");
        assert_eq!(world.hub_devices(device.registration_id())[0].hub, paired.hub, "{point:?}");
        let entries = installer.journal().list(100).await.unwrap();
        let open = entries.iter().filter(|entry| entry.state == State::Open).count();
        assert_eq!(open, 0, "{point:?}: an unfinished pairing is left in the journal");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_killed_at_any_step_finishes_the_pairing_with_a_certificate_when_started_again() {
    the_app_is_killed_at_every_point(Attestation::X509).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_killed_at_any_step_finishes_the_pairing_with_a_symmetric_key_when_started_again() {
    the_app_is_killed_at_every_point(Attestation::SymmetricKey).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_after_a_kill_takes_up_the_same_hand_off() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    let doomed = world.installer_config("app");
    doomed.faults.kill_at(Point::AfterSend(Message::Commit));
    let installer = Installer::new(doomed).await.unwrap();
    let _ = outcome(installer.pair(request(&device))).await;
    let begun = installer.journal().list(100).await.unwrap();
    drop(installer);

    let installer = world.installer("app").await;
    let paired = outcome(installer.pair(request(&device))).await.unwrap();
    assert_eq!(begun.len(), 1);
    assert_eq!(paired.handoff_id, begun[0].handoff_id);
}

fn device_kills() -> Vec<KillPoint> {
    let mut kills = Vec::new();
    kills.extend((1..=9).flat_map(|n| [KillPoint::BeforeMessage(n), KillPoint::AfterMessage(n)]));
    kills
        .extend((1..=4).flat_map(|n| [KillPoint::BeforeWrite(n), KillPoint::DuringWrite(n), KillPoint::AfterWrite(n)]));
    kills.extend((1..=3).flat_map(|n| [KillPoint::BeforeDpsRequest(n), KillPoint::AfterDpsRequest(n)]));
    kills
}

async fn the_device_is_killed_at_every_point(link: fn() -> SimLink, attestation: Attestation) {
    let world = World::start().await;
    for (number, kill) in device_kills().into_iter().enumerate() {
        let mut config = world.device_config(link());
        config.attestations = vec![attestation];
        config.faults = FaultPlan::kill_once(kill, Some(BOOT));
        let device = world.device(config).await;
        let mut settings = world.installer_config(&format!("app-{number}"));
        // What is lost is noticed by its silence over a serial line.
        settings.deadlines.exchange = Duration::from_secs(2);
        let installer = Installer::new(settings).await.unwrap();

        let began = Instant::now();
        let paired = loop {
            match outcome(installer.pair(request(&device))).await {
                Ok(paired) => break paired,
                // It is booting, or waits for DPS to let go of what it had begun.
                Err(_) if began.elapsed() < PERSISTENCE => tokio::time::sleep(BOOT).await,
                Err(error) => panic!("{kill:?}: {error:?}"),
            }
        };
        let identities = world.hub_devices(device.registration_id());
        assert_eq!(identities.len(), 1, "{kill:?}");
        assert_eq!(identities[0].hub, paired.hub, "{kill:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_loses_power_anywhere_is_paired_in_the_end_over_http_with_a_certificate() {
    the_device_is_killed_at_every_point(|| SimLink::Http(any_port()), Attestation::X509).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_loses_power_anywhere_is_paired_in_the_end_over_the_simulated_radio_with_a_symmetric_key() {
    the_device_is_killed_at_every_point(|| SimLink::BleSim(any_port()), Attestation::SymmetricKey).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_at_any_step_leaves_a_pairing_that_a_rerun_finishes() {
    let world = World::start().await;
    for (number, step) in Step::ALL.into_iter().filter(|step| *step != Step::Network).enumerate() {
        let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
        let installer = world.installer(&format!("app-{number}")).await;
        let pairing = installer.pair(request(&device));
        let mut events = pairing.events();
        while let Some(event) = events.next().await {
            if matches!(event, lowtouch_installer::PairingEvent::StepStarted { step: started, .. } if started == step) {
                pairing.cancel();
                break;
            }
        }
        match outcome(pairing).await {
            Err(error) => assert_eq!(error.code, ErrorCode::Cancelled, "{step:?}"),
            // The last step can be over before the cancellation is seen.
            Ok(_) => assert!(step >= Step::Confirm, "{step:?}"),
        }
        outcome(installer.pair(request(&device))).await.unwrap_or_else(|error| panic!("{step:?}: {error:?}"));
        assert_eq!(world.hub_devices(device.registration_id()).len(), 1, "{step:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_under_the_journal_is_named_and_loses_nothing() {
    let world = World::start().await;
    for (number, write) in [Write::Begin, Write::Given, Write::Committing, Write::DeviceSaid].into_iter().enumerate() {
        let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
        let full = world.installer_config(&format!("app-{number}"));
        full.faults.disk_full_at(write);
        let installer = Installer::new(full.clone()).await.unwrap();
        let error = outcome(installer.pair(request(&device))).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::JournalDiskFull, "{write:?}");
        full.faults.disarm();
        outcome(installer.pair(request(&device))).await.unwrap_or_else(|error| panic!("{write:?}: {error:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_flash_is_full_keeps_its_old_state_and_says_so() {
    let world = World::start().await;
    let mut config = world.device_config(SimLink::Http(any_port()));
    config.faults = FaultPlan { disk_full: vec![1], ..FaultPlan::default() };
    let device = world.device(config).await;
    let installer = world.installer("app").await;
    assert_eq!(outcome(installer.pair(request(&device))).await.unwrap_err().code, ErrorCode::DeviceStorage);
    outcome(installer.pair(request(&device))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_gone_for_good_after_the_commit_is_completed_from_what_dps_says() {
    let world = World::start().await;
    let mut config = world.device_config(SimLink::Http(any_port()));
    // The device registers, but over the link it never answers again, from the first status request on.
    let silence = (FIRST_STATUS_REQUEST..1000).map(|message| (message, Misanswer::Silence)).collect();
    config.faults = FaultPlan { misanswers: silence, ..FaultPlan::default() };
    let device = world.device(config).await;
    let mut settings = world.installer_config("app");
    settings.deadlines.exchange = Duration::from_millis(500);
    settings.deadlines.confirm = Duration::from_secs(20);
    let installer = Installer::new(settings).await.unwrap();
    let paired = outcome(installer.pair(request(&device))).await.unwrap();
    assert_eq!(world.hub_devices(device.registration_id())[0].hub, paired.hub);
    let entry = installer.journal().list(100).await.unwrap().remove(0);
    assert!(entry.device_said.is_none() && entry.dps_said.is_some(), "what DPS said is not what the device said");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_paired_twice_at_once_gets_one_hub() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    let (one, two) = (world.installer("one").await, world.installer("two").await);
    let both = async { tokio::join!(outcome(one.pair(request(&device))), outcome(two.pair(request(&device)))) };
    let (first, second) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert!(first.is_ok() || second.is_ok(), "{first:?} {second:?}");
    for error in [first.err(), second.err()].into_iter().flatten() {
        let told =
            [ErrorCode::DeviceBusy, ErrorCode::SessionForeign, ErrorCode::SessionFailed, ErrorCode::HandoffConflict];
        assert!(told.contains(&error.code), "{error:?}");
    }
    assert_eq!(world.hub_devices(device.registration_id()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_app_does_not_pair_one_device_twice_at_once() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    let installer = world.installer("app").await;
    let (first, second) = (installer.pair(request(&device)), installer.pair(request(&device)));
    let results = [outcome(first).await, outcome(second).await];
    let refused: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].code, ErrorCode::AlreadyPairing);
}
