//! Wrong input and broken parts, each with its own code and nothing lost.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::time::Duration;

use azure_emulator::{Fault, On};
use lowtouch_device::faults::{FaultPlan, Misanswer};
use lowtouch_device::sim::{Security, SimLink};
use lowtouch_installer::{ErrorCode, Installer, label};
use lowtouch_test_support::{World, any_port, outcome, request};

#[tokio::test]
async fn a_wrong_pop_is_called_a_wrong_pop_over_every_link() {
    let world = World::start().await;
    let installer = world.installer("app").await;
    for link in [SimLink::Http(any_port()), SimLink::Pty, SimLink::BleSim(any_port())] {
        for security in [Security::V1, Security::V2 { patch_ver: 1 }] {
            let mut config = world.device_config(link.clone());
            config.pop = Some("abcd1234".to_owned().into());
            config.security = security;
            let device = world.device(config).await;
            let mut wrong = request(&device);
            wrong.label = label::parse(&device.label().replace("abcd1234", "abcd1235")).unwrap();
            let error = outcome(installer.pair(wrong)).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::WrongPop, "{link:?} {security:?}");
            outcome(installer.pair(request(&device))).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_device_that_the_inventory_does_not_expect_gets_nothing() {
    let world = World::start().await;
    let config = world.device_config(SimLink::Http(any_port()));
    let device = lowtouch_device::sim::Simulated::start(config).await.unwrap();
    let error = outcome(world.installer("app").await.pair(request(&device))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::DeviceUnknown);
}

#[tokio::test]
async fn a_token_that_is_not_valid_asks_for_a_new_sign_in() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    let mut settings = world.installer_config("app");
    settings.token = Some("nobody's token".to_owned().into());
    let installer = Installer::new(settings).await.unwrap();
    let error = outcome(installer.pair(request(&device))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ApiUnauthenticated);
}

#[tokio::test]
async fn an_api_with_a_foreign_certificate_is_not_trusted() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    let mut settings = world.installer_config("app");
    settings.extra_ca_pem = Some(world.dps[0].ca_pem.clone());
    let installer = Installer::new(settings).await.unwrap();
    let error = outcome(installer.pair(request(&device))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ApiTlsForeign);
}

#[tokio::test]
async fn a_credential_that_dps_refuses_is_rolled_back_and_said() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    for dps in &world.dps {
        dps.faults().inject(On::DeviceApi, Fault::RefuseCredential, 20);
    }
    let installer = world.installer("app").await;
    let error = outcome(installer.pair(request(&device))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::DpsCredential);
    assert!(world.hub_devices(device.registration_id()).is_empty());

    for dps in &world.dps {
        dps.faults().clear();
    }
    outcome(installer.pair(request(&device))).await.unwrap();
}

#[tokio::test]
async fn a_refused_new_credential_leaves_a_working_device_on_its_old_one() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    let installer = world.installer("app").await;
    let before = outcome(installer.pair(request(&device))).await.unwrap();
    for dps in &world.dps {
        dps.faults().inject(On::DeviceApi, Fault::RefuseCredential, 20);
    }
    let error = outcome(installer.pair(request(&device))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::DpsCredential);

    let link = device.address().parse().unwrap();
    let label = label::parse(device.label()).unwrap();
    let info = lowtouch_installer::device_info(&link, Some(label), Default::default()).await.unwrap();
    let identity = info.identity.unwrap();
    assert_eq!(identity.active_handoff_id, Some(before.handoff_id), "the old configuration is in force");
}

#[tokio::test]
async fn a_device_that_dps_throttles_waits_as_told_and_is_assigned() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    for dps in &world.dps {
        dps.faults().throttle(On::Register, Some(Duration::from_secs(1)), 1);
    }
    outcome(world.installer("app").await.pair(request(&device))).await.unwrap();
}

#[tokio::test]
async fn a_dps_that_does_not_answer_the_api_is_named_and_a_rerun_works() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    for dps in &world.dps {
        dps.faults().inject(On::ServiceApi, Fault::Status { status: 500, retry_after: None }, 100);
    }
    let mut settings = world.installer_config("app");
    settings.deadlines.allocate = Duration::from_secs(5);
    let installer = Installer::new(settings).await.unwrap();
    let error = outcome(installer.pair(request(&device))).await.unwrap_err();
    assert!(matches!(error.code, ErrorCode::DpsUnavailable | ErrorCode::ApiTimeout), "{error:?}");
    for dps in &world.dps {
        dps.faults().clear();
    }
    outcome(world.installer("app").await.pair(request(&device))).await.unwrap();
}

/// Pairs a device that answers the nth request over the link wrongly, for n from 1 to 8, and gives the ends to `told`.
async fn misanswering(misanswer: Misanswer, told: fn(ErrorCode) -> bool) {
    let world = World::start().await;
    for message in 1..=8 {
        let mut config = world.device_config(SimLink::Http(any_port()));
        config.faults = FaultPlan { misanswers: vec![(message, misanswer)], ..FaultPlan::default() };
        let device = world.device(config).await;
        let mut settings = world.installer_config(&format!("app-{message}"));
        settings.deadlines.exchange = Duration::from_secs(1);
        settings.deadlines.confirm = Duration::from_secs(20);
        let installer = Installer::new(settings).await.unwrap();
        match outcome(installer.pair(request(&device))).await {
            // The rest of the way was taken up again by itself.
            Ok(_) => {}
            Err(error) => {
                assert!(told(error.code), "message {message}: {error:?}");
                outcome(installer.pair(request(&device))).await.unwrap_or_else(|error| panic!("{message}: {error:?}"));
            }
        }
    }
}

#[tokio::test]
async fn a_device_that_goes_silent_at_any_message_ends_in_words_and_not_in_a_wait() {
    misanswering(Misanswer::Silence, |code| matches!(code, ErrorCode::DeviceSilent | ErrorCode::LinkLost)).await;
}

#[tokio::test]
async fn a_device_that_answers_garbage_at_any_message_is_told_apart_from_a_wrong_pop() {
    misanswering(Misanswer::Garbage, |code| {
        matches!(
            code,
            ErrorCode::DeviceGarbage | ErrorCode::NotADevice | ErrorCode::SessionForeign | ErrorCode::SessionFailed
        )
    })
    .await;
}

#[tokio::test]
async fn a_device_that_answers_too_much_at_any_message_is_not_read_to_the_end() {
    misanswering(Misanswer::TooLong, |code| matches!(code, ErrorCode::DeviceAnswerTooLong | ErrorCode::NotADevice))
        .await;
}

#[tokio::test]
async fn an_api_that_is_not_there_is_called_unreachable_and_the_device_is_untouched() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    let mut settings = world.installer_config("app");
    // Port 9 is discard (RFC 863), which nothing here serves.
    settings.api_url = Some("https://127.0.0.1:9".into());
    settings.deadlines.allocate = Duration::from_secs(3);
    let installer = Installer::new(settings).await.unwrap();
    let error = outcome(installer.pair(request(&device))).await.unwrap_err();
    assert!(matches!(error.code, ErrorCode::ApiUnreachable | ErrorCode::ApiTimeout), "{error:?}");
    outcome(world.installer("app").await.pair(request(&device))).await.unwrap();
}
