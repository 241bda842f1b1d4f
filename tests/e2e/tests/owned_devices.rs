//! Whose device it is: the first hand-off decides, the owner's signature keeps it so, and only the button gives it back.
// Helpers of tests may panic as tests do; clippy's own exception sees only the test functions.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lowtouch_device::sim::{self, Attestation, SimLink};
use lowtouch_installer::pairing::{DeviceIdentity, Paired};
use lowtouch_installer::{ErrorCode, Installer, PairingError, PairingEvent, Warning, label};
use lowtouch_test_support::{World, any_port, outcome, request};

/// What the device says of itself to who holds its label.
async fn identity(device: &sim::Running) -> DeviceIdentity {
    let label = label::parse(device.label()).unwrap();
    let link = device.address().parse().unwrap();
    lowtouch_installer::device_info(&link, Some(label), Default::default()).await.unwrap().identity.unwrap()
}

/// A pairing's end, and what it warned of.
async fn told(installer: &Installer, device: &sim::Running) -> (Result<Paired, PairingError>, Vec<Warning>) {
    let pairing = installer.pair(request(device));
    let mut events = pairing.events();
    let ended = outcome(pairing).await;
    let mut warnings = Vec::new();
    while let Some(event) = events.next().await {
        if let PairingEvent::Warning { warning } = event {
            warnings.push(warning);
        }
    }
    (ended, warnings)
}

#[tokio::test]
async fn the_first_pairing_sets_the_owner_and_every_phone_of_the_same_installation_can_pair_again() {
    let world = World::with_instances(|instance| instance.ca_in_firmware = true).await;
    for (attestation, most) in [(Attestation::SymmetricKey, 6), (Attestation::X509, 8)] {
        let mut config = world.device_config(SimLink::BleSim(any_port()));
        config.attestations = vec![attestation];
        config.dps_ca_pem = Some(world.dps_roots());
        let device = world.device(config).await;
        assert!(!identity(&device).await.owned);
        let mut handed_off = Vec::new();
        for phone in ["first phone", "second phone", "first phone"] {
            let (paired, warnings) = told(&world.installer(phone).await, &device).await;
            let paired = paired.unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
            assert!(paired.round_trips_to_commit <= most, "{attestation:?}: {}", paired.round_trips_to_commit);
            assert!(identity(&device).await.owned);
            handed_off.push(paired.handoff_id);
        }
        assert_eq!(identity(&device).await.active_handoff_id, handed_off.pop(), "the last one is in force");
    }
}

#[tokio::test]
async fn a_second_installer_with_a_photo_of_the_label_gets_nowhere_until_the_button_is_pressed() {
    let (ours, theirs) = (World::start().await, World::start().await);
    let device = ours.device(ours.device_config(SimLink::Http(any_port()))).await;
    theirs.expect(device.registration_id()).await;
    let (our_app, their_app) = (ours.installer("app").await, theirs.installer("app").await);
    let before = outcome(our_app.pair(request(&device))).await.unwrap();

    for _ in 0..2 {
        let error = outcome(their_app.pair(request(&device))).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::NotOwner);
        assert!(error.hint().contains("Only its owner can hand it over"), "{}", error.hint());
    }
    assert_eq!(identity(&device).await.active_handoff_id, Some(before.handoff_id), "the device is untouched");
    assert!(theirs.hub_devices(device.registration_id()).is_empty());
    outcome(our_app.pair(request(&device))).await.unwrap();

    device.press_reset_button().await;
    assert!(!identity(&device).await.owned);
    outcome(their_app.pair(request(&device))).await.unwrap();
    assert_eq!(theirs.hub_devices(device.registration_id()).len(), 1);
    assert_eq!(outcome(our_app.pair(request(&device))).await.unwrap_err().code, ErrorCode::NotOwner);
}

#[tokio::test]
async fn a_reset_over_the_air_needs_the_owners_word_and_gives_the_device_back_to_nobody() {
    let (ours, theirs) = (World::start().await, World::start().await);
    let device = ours.device(ours.device_config(SimLink::Http(any_port()))).await;
    theirs.expect(device.registration_id()).await;
    let (our_app, their_app) = (ours.installer("app").await, theirs.installer("app").await);
    let link = device.address().parse().unwrap();
    let label = label::parse(device.label()).unwrap();
    let paired = outcome(our_app.pair(request(&device))).await.unwrap();

    let refused = their_app.reset_device(&link, &label, Default::default()).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(identity(&device).await.active_handoff_id, Some(paired.handoff_id), "the device is untouched");

    let reset = our_app.reset_device(&link, &label, Default::default()).await.unwrap();
    assert!(reset.was_owned);
    assert_eq!(reset.registration_id, device.registration_id());
    let now = identity(&device).await;
    assert!(!now.owned && now.active_handoff_id.is_none());
    // Once more, as after a lost answer, does no harm; and nobody's device is everybody's.
    assert!(!our_app.reset_device(&link, &label, Default::default()).await.unwrap().was_owned);
    outcome(our_app.pair(request(&device))).await.unwrap();
}

#[tokio::test]
async fn firmware_that_does_not_check_is_named_and_still_left_alone_by_honest_strangers() {
    let (ours, theirs) = (World::start().await, World::start().await);
    let mut config = ours.device_config(SimLink::Http(any_port()));
    config.checks_owner = false;
    let device = ours.device(config).await;
    theirs.expect(device.registration_id()).await;
    let our_app = ours.installer("app").await;
    for _ in 0..2 {
        let (paired, warnings) = told(&our_app, &device).await;
        paired.unwrap();
        assert_eq!(warnings, [Warning::OwnerNotChecked]);
    }
    let stranger = theirs.installer("app").await;
    assert_eq!(outcome(stranger.pair(request(&device))).await.unwrap_err().code, ErrorCode::NotOwner);
}

#[tokio::test]
async fn wrong_codes_slow_the_device_down_then_close_it_and_the_app_says_which() {
    let world = World::start().await;
    let mut config = world.device_config(SimLink::Http(any_port()));
    config.pop = Some("abcd1234".to_owned().into());
    config.guesses.first_wait = Duration::from_secs(2);
    config.guesses.longest_wait = Duration::from_secs(2);
    config.guesses.close_after = 6;
    let device = world.device(config).await;
    let installer = world.installer("app").await;
    let guess = async || {
        let mut wrong = request(&device);
        wrong.label = label::parse(&device.label().replace("abcd1234", "abcd1235")).unwrap();
        outcome(installer.pair(wrong)).await.unwrap_err().code
    };

    for _ in 0..4 {
        assert_eq!(guess().await, ErrorCode::WrongPop);
    }
    let slowed = outcome(installer.pair(request(&device))).await.unwrap_err();
    assert_eq!(slowed.code, ErrorCode::DeviceSlowedDown, "the right code waits too: {slowed:?}");
    assert!(matches!(slowed.retry_after_s, Some(1..=2)), "{slowed:?}");
    let waiting = async {
        loop {
            match told(&installer, &device).await {
                (Err(error), _) if error.code == ErrorCode::DeviceSlowedDown => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                (ended, warnings) => return (ended.unwrap(), warnings),
            }
        }
    };
    let (_, warnings) = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
    assert_eq!(warnings, [Warning::CodesGuessed { count: 4 }], "the device tells its owner");

    let closing = async {
        loop {
            match guess().await {
                ErrorCode::WrongPop => {}
                ErrorCode::DeviceSlowedDown => tokio::time::sleep(Duration::from_millis(100)).await,
                other => return other,
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), closing).await.unwrap(), ErrorCode::DeviceClosed);
    let closed = outcome(installer.pair(request(&device))).await.unwrap_err();
    assert_eq!(closed.code, ErrorCode::DeviceClosed, "to the right code too");
    assert!(closed.hint().contains("button"), "{}", closed.hint());
    device.press_reset_button().await;
    outcome(installer.pair(request(&device))).await.unwrap();
}
