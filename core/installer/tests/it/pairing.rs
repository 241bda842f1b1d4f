use std::sync::Arc;
use std::time::Duration;

use lowtouch_handoff::dps_config::Attestation::{SymmetricKey, X509};
use lowtouch_installer::fault::{Message, Point, Write};
use lowtouch_installer::journal::State;
use lowtouch_installer::pairing::{NetworkRequest, SecurityFlags, WifiCredentials};
use lowtouch_installer::{ErrorCode, PairingError, PairingEvent, Step, Warning, device_info_over, network_only_over};
use provisioning_api_contract as wire;

use crate::fake::{
    Bench, Dps, FakeDevice, HUB, StubApi, Trouble, WIFI_PASSWORD, access_point, code, label, request, security,
};

const SYMMETRIC: wire::Attestation = wire::Attestation::SymmetricKey;

#[tokio::test(start_paused = true)]
async fn a_device_with_a_symmetric_key_is_committed_in_six_exchanges() {
    let bench = Bench::new(SYMMETRIC).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    let paired = bench.pair(device.link(Trouble::None)).await.unwrap();
    assert_eq!((paired.hub.as_str(), paired.device_id.as_str()), (HUB, "device-1"));
    assert_eq!(paired.round_trips_to_commit, 6);
    let entry = bench.installer.journal().show(paired.handoff_id).await.unwrap();
    assert_eq!(entry.state, State::Assigned);
    assert_eq!(entry.given.unwrap().dps_instance, "dps-a");
    assert!(entry.acknowledged.committed_at.is_some());
    assert_eq!(entry.device_said.unwrap().hub.as_deref(), Some(HUB));
    assert_eq!(bench.api.outcomes.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_device_is_told_to_ask_dps_for_a_certificate_only_where_it_can_and_is_to() {
    for (able, asked) in [(true, true), (true, false), (false, true)] {
        let api = StubApi { certificate_from_dps: asked, ..StubApi::plain(SYMMETRIC) };
        let bench = Bench::with_api(Arc::new(api)).await;
        let device = FakeDevice::new(&[SymmetricKey]);
        let device = if able { device.asking_dps() } else { device };
        bench.pair(device.link(Trouble::None)).await.unwrap();
        // Such an answer comes to a device that cannot from an order that was downloaded before anybody asked it.
        assert_eq!(device.lock().registrations[0].certificate_from_dps, able && asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_chain_of_1200_bytes_over_ble_takes_eight_exchanges() {
    let bench = Bench::new(wire::Attestation::X509).await;
    let device = FakeDevice::new(&[X509, SymmetricKey]);
    let paired = bench.pair(device.link(Trouble::None)).await.unwrap();
    assert_eq!(paired.attestation, wire::Attestation::X509);
    assert!(paired.round_trips_to_commit <= 9, "{}", paired.round_trips_to_commit);
    insta::assert_snapshot!(paired.round_trips_to_commit);
}

#[tokio::test(start_paused = true)]
async fn events_come_whole_however_late_one_subscribes() {
    let bench = Bench::new(SYMMETRIC).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    let pairing = bench.installer.pair_over(request(2), device.link(Trouble::None));
    let mut early = pairing.events();
    let mut late = pairing.events();
    let mut events = Vec::new();
    while let Some(event) = early.next().await {
        events.push(event);
    }
    let mut again = Vec::new();
    while let Some(event) = late.next().await {
        again.push(event);
    }
    assert_eq!(events, again);
    pairing.outcome().await.unwrap();
    let lines: Vec<serde_json::Value> = events.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    insta::assert_json_snapshot!(lines, {
        "[].handoffId" => "[id]",
        "[].seconds" => "[s]",
        "[].digest" => "[digest]",
        "[].bytesSent" => "[n]",
        "[].bytesReceived" => "[n]",
    });
    for event in &events {
        let text = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<PairingEvent>(&text).unwrap(), event);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_pop_is_called_that_and_not_a_write_error() {
    for version in [1, 2] {
        let bench = Bench::new(SYMMETRIC).await;
        let device = FakeDevice::with(security(version, "another-pop"), &[SymmetricKey]);
        let pairing = bench.installer.pair_over(request(version), device.link(Trouble::None));
        let error = pairing.outcome().await.unwrap_err();
        assert_eq!((error.code, error.step), (ErrorCode::WrongPop, Some(Step::Secure)), "security {version}");
        assert!(error.hint().contains("does not match this device"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_weaker_than_its_label_gets_nothing_unless_allowed() {
    let bench = Bench::new(SYMMETRIC).await;
    let weak = FakeDevice::with(security(1, crate::fake::POP), &[SymmetricKey]);
    assert_eq!(code(bench.pair(weak.link(Trouble::None)).await), ErrorCode::SecurityDowngrade);
    let mut allowed = request(2);
    allowed.security = SecurityFlags { allow_downgrade: true, allow_none: false };
    let pairing = bench.installer.pair_over(allowed, weak.link(Trouble::None));
    let mut events = pairing.events();
    pairing.outcome().await.unwrap();
    let mut warnings = Vec::new();
    while let Some(event) = events.next().await {
        if let PairingEvent::Warning { warning } = event {
            warnings.push(warning);
        }
    }
    assert!(warnings.contains(&Warning::SecurityDowngraded { label: 2, device: 1 }));
    assert!(warnings.contains(&Warning::SessionWithoutIntegrity));
    assert!(warnings.contains(&Warning::OwnerNotChecked));
}

#[tokio::test(start_paused = true)]
async fn security_0_needs_an_explicit_flag() {
    let bench = Bench::new(SYMMETRIC).await;
    let open = FakeDevice::with(security(0, ""), &[SymmetricKey]);
    let pairing = bench.installer.pair_over(request(0), open.link(Trouble::None));
    assert_eq!(code(pairing.outcome().await), ErrorCode::SecurityNoneRefused);
    let mut stronger_label = request(2);
    stronger_label.security.allow_none = true;
    let pairing = bench.installer.pair_over(stronger_label, open.link(Trouble::None));
    assert_eq!(code(pairing.outcome().await), ErrorCode::SecurityDowngrade, "the label says 2");
    let mut allowed = request(0);
    allowed.security.allow_none = true;
    bench.installer.pair_over(allowed, open.link(Trouble::None)).outcome().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_device_silent_at_any_exchange_ends_in_a_clear_error_and_a_rerun_finishes() {
    for from in 0..9 {
        let bench = Bench::new(SYMMETRIC).await;
        *bench.api.dps.lock().unwrap() = None;
        let device = FakeDevice::new(&[SymmetricKey]);
        let outcome = bench.pair(device.link(Trouble::SilentFrom(from))).await;
        if let Ok(paired) = &outcome {
            assert!(from >= paired.round_trips, "{from}");
            continue;
        }
        let found = code(outcome);
        assert!(matches!(found, ErrorCode::DeviceSilent | ErrorCode::ConfirmTimeout), "{from}: {found}");
        let paired = bench.pair(device.link(Trouble::None)).await.unwrap();
        assert_eq!(paired.hub, HUB);
        assert_eq!(bench.installer.journal().list(10).await.unwrap().len(), 1, "one pairing, {from}");
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_too_long_and_foreign_answers_have_codes_of_their_own() {
    for (from, trouble, expected) in [
        (0, Trouble::GarbageFrom as fn(u64) -> Trouble, ErrorCode::DeviceGarbage),
        (1, Trouble::GarbageFrom, ErrorCode::DeviceGarbage),
        (3, Trouble::GarbageFrom, ErrorCode::DeviceGarbage),
        (0, Trouble::TooLongFrom, ErrorCode::DeviceAnswerTooLong),
        (1, Trouble::TooLongFrom, ErrorCode::DeviceAnswerTooLong),
        (4, Trouble::TooLongFrom, ErrorCode::DeviceAnswerTooLong),
        (3, Trouble::ForeignFrom, ErrorCode::SessionForeign),
        (5, Trouble::ForeignFrom, ErrorCode::SessionForeign),
    ] {
        let bench = Bench::new(SYMMETRIC).await;
        let device = FakeDevice::new(&[SymmetricKey]);
        let found = code(bench.pair(device.link(trouble(from))).await);
        assert_eq!(found, expected, "{:?}", trouble(from));
        bench.pair(device.link(Trouble::None)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_lost_at_any_exchange_after_connecting_is_opened_again_and_the_pairing_goes_on() {
    for trouble in [Trouble::LostBefore as fn(u64) -> Trouble, Trouble::LostAfter, Trouble::PowerLostAfter] {
        for at in 3..9 {
            let bench = Bench::new(SYMMETRIC).await;
            let device = FakeDevice::new(&[SymmetricKey]);
            let paired = bench.pair(device.link(trouble(at))).await;
            let paired = paired.unwrap_or_else(|error| panic!("{:?}: {error:?}", trouble(at)));
            assert_eq!(paired.hub, HUB);
            assert_eq!(bench.api.handoff_ids.lock().unwrap().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_gone_after_the_commit_is_confirmed_by_the_api() {
    let bench = Bench::new(SYMMETRIC).await;
    *bench.api.dps.lock().unwrap() = Some(wire::DpsRegistration {
        status: "assigned".into(),
        assigned_hub: Some(HUB.into()),
        device_id: Some("device-1".into()),
        last_updated: None,
    });
    let device = FakeDevice::new(&[SymmetricKey]);
    let pairing = bench.installer.pair_over(request(2), device.link(Trouble::GoneAfter(5)));
    let mut events = pairing.events();
    let paired = pairing.outcome().await.unwrap();
    assert_eq!(paired.hub, HUB);
    let entry = bench.installer.journal().show(paired.handoff_id).await.unwrap();
    assert_eq!(entry.dps_said.unwrap().hub.as_deref(), Some(HUB));
    assert_eq!(entry.device_said, None, "the device itself said nothing");
    assert_eq!(entry.acknowledged.committed_at, None, "nor did it acknowledge");
    let mut confirmed = false;
    while let Some(event) = events.next().await {
        confirmed |= event == PairingEvent::Warning { warning: Warning::ConfirmedByApi };
    }
    assert!(confirmed);
}

#[tokio::test(start_paused = true)]
async fn an_older_registration_in_dps_confirms_nothing() {
    let bench = Bench::new(SYMMETRIC).await;
    *bench.api.dps.lock().unwrap() = Some(wire::DpsRegistration {
        status: "assigned".into(),
        assigned_hub: Some("old-hub".into()),
        device_id: Some("device-1".into()),
        last_updated: Some("2020-01-01T00:00:00Z".parse().unwrap()),
    });
    let device = FakeDevice::new(&[SymmetricKey]);
    let found = code(bench.pair(device.link(Trouble::GoneAfter(5))).await);
    assert_eq!(found, ErrorCode::LinkLost);
}

#[tokio::test(start_paused = true)]
async fn dps_refusing_the_credential_is_told_and_recorded_and_the_next_run_begins_anew() {
    let bench = Bench::new(SYMMETRIC).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    device.lock().dps = Dps::Refuses;
    let error = bench.pair(device.link(Trouble::None)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::DpsCredential);
    assert!(error.detail.unwrap().contains("401002"));
    assert!(device.in_force().is_none(), "the device rolled back");
    assert!(
        matches!(&bench.api.outcomes.lock().unwrap()[0].outcome, wire::Outcome::Failed { code, .. } if code == "dps-credential")
    );
    device.lock().dps = Dps::Assigns;
    bench.pair(device.link(Trouble::None)).await.unwrap();
    let entries = bench.installer.journal().list(10).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.state).collect::<Vec<_>>(), [State::Assigned, State::Failed]);
    assert_ne!(entries[0].handoff_id, entries[1].handoff_id);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_never_gets_an_answer_from_dps_is_waited_for_until_the_deadline() {
    let bench = Bench::new(SYMMETRIC).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    device.lock().dps = Dps::NeverAnswers;
    let error = bench.pair(device.link(Trouble::None)).await.unwrap_err();
    assert_eq!((error.code, error.step), (ErrorCode::ConfirmTimeout, Some(Step::Confirm)));
}

fn points() -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for step in Step::ALL {
        points.extend([Point::BeforeStep(step), Point::AfterStep(step)]);
    }
    for write in Write::ALL {
        points.extend([Point::BeforeWrite(write), Point::AfterWrite(write)]);
    }
    points.extend([Point::AfterSend(Message::Stage), Point::AfterSend(Message::Commit)]);
    points
}

#[tokio::test(start_paused = true)]
async fn cancelling_anywhere_leaves_nothing_staged_and_a_rerun_finishes() {
    for point in points() {
        let bench = Bench::new(SYMMETRIC).await;
        let device = FakeDevice::new(&[SymmetricKey]);
        bench.faults.cancel_at(point);
        let first = bench.pair(device.link(Trouble::None)).await;
        bench.faults.disarm();
        let Err(error) = first else {
            let late = matches!(point, Point::AfterStep(Step::Record) | Point::AfterWrite(Write::Recorded));
            assert!(late || !bench.faults.seen().contains(&point), "{point:?}");
            continue;
        };
        assert_eq!(error.code, ErrorCode::Cancelled, "{point:?}");
        assert!(device.lock().staged().is_none(), "{point:?}: the device is free for others at once");
        bench.pair(device.link(Trouble::None)).await.unwrap();
        let after_the_end = point == Point::AfterWrite(Write::Recorded);
        assert_eq!(
            bench.installer.journal().list(10).await.unwrap().len(),
            1 + usize::from(after_the_end),
            "{point:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_app_killed_anywhere_leaves_a_pairing_that_a_rerun_finishes() {
    let points = points();
    let mut reached = 0;
    for (attestation, of_device) in [(SYMMETRIC, SymmetricKey), (wire::Attestation::X509, X509)] {
        for point in &points {
            let bench = Bench::new(attestation).await;
            let device = FakeDevice::new(&[of_device]);
            bench.faults.kill_at(*point);
            let first = bench.pair(device.link(Trouble::None)).await;
            if !bench.faults.seen().contains(point) {
                first.unwrap();
                continue;
            }
            reached += 1;
            assert_eq!(code(first), ErrorCode::Internal, "{point:?}");
            bench.faults.disarm();
            let paired = bench.pair(device.link(Trouble::None)).await;
            let paired = paired.unwrap_or_else(|error| panic!("{point:?}: {error:?}"));
            assert_eq!(paired.hub, HUB, "{point:?}");
            let ids = bench.api.handoff_ids.lock().unwrap().clone();
            let after_the_end = matches!(point, Point::AfterWrite(Write::Recorded) | Point::AfterStep(Step::Record));
            if !after_the_end {
                assert!(ids.iter().all(|id| *id == paired.handoff_id), "{point:?}: one hand-off ID");
                assert_eq!(device.lock().registrations.len(), 1, "{point:?}: committed once");
                assert_eq!(bench.installer.journal().list(10).await.unwrap().len(), 1, "{point:?}");
            }
        }
    }
    assert!(reached >= 60, "{reached}");
}

#[tokio::test(start_paused = true)]
async fn cancelling_at_every_step_stops_there_and_a_rerun_finishes() {
    for step in Step::ALL {
        if step == Step::Network {
            continue;
        }
        let bench = Bench::new(SYMMETRIC).await;
        let device = FakeDevice::new(&[SymmetricKey]);
        let pairing = bench.installer.pair_over(request(2), device.link(Trouble::None));
        let mut events = pairing.events();
        let cancel = pairing.canceller();
        let watch = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if matches!(event, PairingEvent::StepStarted { step: started, .. } if started == step) {
                    cancel.cancel();
                }
            }
        });
        assert_eq!(code(pairing.outcome().await), ErrorCode::Cancelled, "{step:?}");
        watch.await.unwrap();
        bench.pair(device.link(Trouble::None)).await.unwrap();
        assert_eq!(bench.installer.journal().list(10).await.unwrap().len(), 1, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_device_twice_at_once_is_refused_the_second_time() {
    let bench = Bench::new(SYMMETRIC).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    let first = bench.installer.pair_over(request(2), device.link(Trouble::None));
    let mut events = first.events();
    while !matches!(events.next().await, Some(PairingEvent::Started { .. })) {}
    assert_eq!(code(bench.pair(device.link(Trouble::None)).await), ErrorCode::AlreadyPairing);
    first.outcome().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_at_any_journal_write_ends_the_pairing_and_nothing_is_lost() {
    for write in Write::ALL {
        if matches!(write, Write::DpsSaid | Write::Error) {
            continue;
        }
        let bench = Bench::new(SYMMETRIC).await;
        let device = FakeDevice::new(&[SymmetricKey]);
        bench.faults.disk_full_at(write);
        assert_eq!(code(bench.pair(device.link(Trouble::None)).await), ErrorCode::JournalDiskFull, "{write:?}");
        if matches!(write, Write::Begin | Write::Identified | Write::Given | Write::Prepared | Write::Committing) {
            assert!(device.in_force().is_none(), "{write:?}: what cannot be recorded is not done");
        }
        bench.faults.disarm();
        bench.pair(device.link(Trouble::None)).await.unwrap();
        assert_eq!(device.lock().registrations.len(), 1, "{write:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_api_is_tried_again_where_that_helps_and_not_where_it_does_not() {
    for (failure, again) in [
        (ErrorCode::ApiThrottled, true),
        (ErrorCode::ApiInternal, true),
        (ErrorCode::ApiUnreachable, true),
        (ErrorCode::ApiUnauthenticated, false),
        (ErrorCode::ApiForbidden, false),
        (ErrorCode::DeviceUnknown, false),
        (ErrorCode::HandoffConflict, false),
    ] {
        let bench = Bench::new(SYMMETRIC).await;
        bench.api.failures.lock().unwrap().push_back(PairingError::new(failure));
        let device = FakeDevice::new(&[SymmetricKey]);
        let outcome = bench.pair(device.link(Trouble::None)).await;
        match again {
            true => assert_eq!(outcome.unwrap().hub, HUB, "{failure}"),
            false => assert_eq!(code(outcome), failure),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_that_hangs_ends_at_the_steps_deadline() {
    let bench = Bench::with_api(Arc::new(StubApi { hangs: true, ..StubApi::plain(SYMMETRIC) })).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    let error = bench.pair(device.link(Trouble::None)).await.unwrap_err();
    assert_eq!((error.code, error.step), (ErrorCode::ApiTimeout, Some(Step::Allocate)));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_the_api_cannot_take_now_is_told_by_the_next_run() {
    let bench = Bench::new(SYMMETRIC).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    let pairing = bench.installer.pair_over(request(2), device.link(Trouble::None));
    let mut events = pairing.events();
    let api = bench.api.clone();
    let watch = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if matches!(event, PairingEvent::StepStarted { step: Step::Record, .. }) {
                api.failures.lock().unwrap().push_back(ErrorCode::ApiForbidden.into());
            }
        }
    });
    let paired = pairing.outcome().await.unwrap();
    watch.await.unwrap();
    assert_eq!(bench.installer.journal().show(paired.handoff_id).await.unwrap().state, State::Open);
    assert!(bench.api.outcomes.lock().unwrap().is_empty());
    let again = bench.pair(device.link(Trouble::None)).await.unwrap();
    assert_eq!(again.handoff_id, paired.handoff_id);
    assert_eq!(bench.api.outcomes.lock().unwrap().len(), 1);
    assert_eq!(bench.installer.journal().show(paired.handoff_id).await.unwrap().state, State::Assigned);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_needs_wi_fi_gets_it_or_says_what_is_missing() {
    let bench = Bench::new(SYMMETRIC).await;
    let device = FakeDevice::new(&[SymmetricKey]).with_wifi(WIFI_PASSWORD);
    assert_eq!(code(bench.pair(device.link(Trouble::None)).await), ErrorCode::NetworkNeeded);
    let with = |passphrase: &str| {
        let mut with = request(2);
        with.wifi = Some(WifiCredentials::new("Shed", passphrase.to_owned()));
        with
    };
    let wrong = bench.installer.pair_over(with("not this"), device.link(Trouble::None)).outcome().await;
    assert_eq!(code(wrong), ErrorCode::WifiWrongPassword);
    bench.installer.pair_over(with(WIFI_PASSWORD), device.link(Trouble::None)).outcome().await.unwrap();
    assert_eq!(bench.installer.journal().list(10).await.unwrap().len(), 1, "all runs were one pairing");
}

#[tokio::test(start_paused = true)]
async fn a_pairing_names_an_enterprise_network_before_it_sends_anything_and_tries_one_that_a_scan_missed() {
    let bench = Bench::new(SYMMETRIC).await;
    let device = FakeDevice::new(&[SymmetricKey]).with_wifi(WIFI_PASSWORD);
    device.lock().heard = Some(vec![access_point("Office", -40, 5)]);
    let with = |ssid: &str| {
        let mut with = request(2);
        with.wifi = Some(WifiCredentials::new(ssid, WIFI_PASSWORD.to_owned()));
        with
    };
    let refused = bench.installer.pair_over(with("Office"), device.link(Trouble::None)).outcome().await;
    assert_eq!(code(refused), ErrorCode::WifiEnterprise);
    assert!(!device.lock().asked.contains(&"prov-config".to_owned()), "nothing was sent");
    bench.installer.pair_over(with("Shed"), device.link(Trouble::None)).outcome().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wi_fi_alone_needs_no_api_and_a_wrong_password_no_reset() {
    let device = FakeDevice::new(&[SymmetricKey]).with_wifi(WIFI_PASSWORD);
    let set = |passphrase: &str| {
        let wifi = WifiCredentials::new("Shed", passphrase.to_owned());
        let request = NetworkRequest {
            label: label(2),
            link: "http://192.0.2.1".parse().unwrap(),
            wifi,
            security: SecurityFlags::default(),
            deadlines: Default::default(),
        };
        network_only_over(request, device.link(Trouble::None)).outcome()
    };
    assert_eq!(code(set("not this").await), ErrorCode::WifiWrongPassword);
    assert_eq!(set(WIFI_PASSWORD).await.unwrap().ip.as_deref(), Some("192.168.7.9"));
    assert_eq!(code(set(&"x".repeat(64)).await), ErrorCode::WifiInvalid);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_pairing_is_cancelled() {
    let bench = Bench::new(SYMMETRIC).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    let pairing = bench.installer.pair_over(request(2), device.link(Trouble::None));
    let mut events = pairing.events();
    drop(pairing);
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(PairingEvent::Failed { error, .. }) if error.code == ErrorCode::Cancelled));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(device.in_force().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rerun_without_the_device_completes_the_journal_from_dps() {
    let bench = Bench::new(SYMMETRIC).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    assert_eq!(code(bench.pair(device.link(Trouble::GoneAfter(5))).await), ErrorCode::LinkLost);
    *bench.api.dps.lock().unwrap() = Some(wire::DpsRegistration {
        status: "assigned".into(),
        assigned_hub: Some(HUB.into()),
        device_id: Some("device-1".into()),
        last_updated: None,
    });
    let paired = bench.pair(device.link(Trouble::SilentFrom(0))).await.unwrap();
    assert_eq!(paired.hub, HUB);
    let entry = bench.installer.journal().show(paired.handoff_id).await.unwrap();
    assert_eq!((entry.state, entry.runs), (State::Assigned, 2));
}

#[tokio::test(start_paused = true)]
async fn two_devices_whose_labels_have_one_name_are_two_pairings() {
    let bench = Bench::new(SYMMETRIC).await;
    let first = FakeDevice::new(&[SymmetricKey]);
    bench.faults.kill_at(Point::AfterWrite(Write::Staged));
    bench.pair(first.link(Trouble::None)).await.unwrap_err();
    bench.faults.disarm();
    let second = FakeDevice::new(&[SymmetricKey]).named("device-2");
    let paired_second = bench.pair(second.link(Trouble::None)).await.unwrap();
    let paired_first = bench.pair(first.link(Trouble::None)).await.unwrap();
    assert_eq!(paired_second.registration_id, "device-2");
    assert_eq!(paired_first.registration_id, "device-1");
    assert_ne!(paired_first.handoff_id, paired_second.handoff_id);
    assert_eq!(bench.installer.journal().list(10).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_device_says_what_it_is_in_the_clear_and_who_it_is_inside_a_session() {
    let device = FakeDevice::new(&[SymmetricKey]);
    let flags = SecurityFlags::default();
    let clear = device_info_over(device.link(Trouble::None), None, flags).await.unwrap();
    assert_eq!((clear.security, clear.security_patch), (2, 1));
    assert_eq!(clear.lowtouch.as_deref(), Some(&["symmetric_key".to_owned()][..]));
    assert_eq!(clear.identity, None);
    let inside = device_info_over(device.link(Trouble::None), Some(label(2)), flags).await.unwrap();
    assert_eq!(inside.identity.unwrap().registration_id, "device-1");
    let silent = device_info_over(device.link(Trouble::SilentFrom(0)), None, flags).await;
    assert_eq!(code(silent), ErrorCode::DeviceSilent);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_was_not_recorded_is_recorded_by_the_next_run() {
    for point in [Point::BeforeWrite(Write::DeviceSaid), Point::AfterWrite(Write::DeviceSaid)] {
        let bench = Bench::new(SYMMETRIC).await;
        let device = FakeDevice::new(&[SymmetricKey]);
        device.lock().dps = Dps::Refuses;
        bench.faults.kill_at(point);
        bench.pair(device.link(Trouble::None)).await.unwrap_err();
        bench.faults.disarm();
        assert_eq!(code(bench.pair(device.link(Trouble::None)).await), ErrorCode::DpsCredential);
        assert_eq!(bench.installer.journal().list(10).await.unwrap()[0].state, State::Failed);
        assert_eq!(bench.api.outcomes.lock().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_that_is_down_for_long_is_not_hammered_by_a_batch() {
    let bench = Bench::new(SYMMETRIC).await;
    for _ in 0..100 {
        bench.api.failures.lock().unwrap().push_back(ErrorCode::ApiUnreachable.into());
    }
    for _ in 0..3 {
        let device = FakeDevice::new(&[SymmetricKey]);
        assert_eq!(code(bench.pair(device.link(Trouble::None)).await), ErrorCode::ApiUnreachable);
    }
    let calls = 100 - bench.api.failures.lock().unwrap().len();
    // Ten open the circuit; then one call each 20 s, three of which fit into a call's budget.
    assert!(calls <= 16, "{calls}");
}
