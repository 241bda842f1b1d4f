//! Devices that belong to somebody.

use lowtouch_handoff::device::Profile;
use lowtouch_handoff::dps_config::device::Settings;
use lowtouch_handoff::dps_config::{Attestation, Network, owner_key_id};
use lowtouch_installer::pairing::Paired;
use lowtouch_installer::{ErrorCode, PairingError};
use provisioning_api_contract as wire;

use crate::fake::{Bench, FakeDevice, POP, Trouble, code, security};

/// An Ed25519 key of that number.
fn owner(number: u8) -> Vec<u8> {
    [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice(), &[number; 32]].concat()
}

fn device(checks_owner: bool) -> FakeDevice {
    let mut settings = Settings::new("device-1");
    settings.attestations = vec![Attestation::SymmetricKey];
    settings.checks_owner = checks_owner;
    let mut profile = Profile::new(security(2, POP), settings);
    profile.wifi = false;
    profile.other_network = Network::Connected;
    FakeDevice::of(profile)
}

async fn bench(number: u8) -> Bench {
    let bench = Bench::new(wire::Attestation::SymmetricKey).await;
    *bench.api.owner.lock().unwrap() = Some(owner(number));
    bench
}

async fn pair(bench: &Bench, device: &FakeDevice, trouble: Trouble) -> Result<Paired, PairingError> {
    bench.pair(device.link(trouble)).await
}

#[tokio::test(start_paused = true)]
async fn the_first_hand_off_sets_the_owner_and_the_second_one_is_signed_at_no_further_round_trip() {
    let (bench, device) = (bench(1).await, device(true));
    let first = pair(&bench, &device, Trouble::None).await.unwrap();
    assert_eq!(*bench.api.signed.lock().unwrap(), 0);
    assert_eq!(device.in_force().unwrap().0.owner_public_key, owner(1));
    let second = pair(&bench, &device, Trouble::None).await.unwrap();
    assert_eq!(*bench.api.signed.lock().unwrap(), 1);
    assert!(device.in_force().unwrap().0.owner_public_key.is_empty(), "it has the key already");
    assert_eq!((first.round_trips_to_commit, second.round_trips_to_commit), (6, 6));
}

#[tokio::test(start_paused = true)]
async fn a_link_lost_at_any_exchange_of_a_signed_hand_off_is_signed_again_in_the_new_session() {
    for lost in 0..10 {
        for trouble in [Trouble::LostBefore(lost), Trouble::LostAfter(lost), Trouble::PowerLostAfter(lost)] {
            let (bench, device) = (bench(1).await, device(true));
            pair(&bench, &device, Trouble::None).await.unwrap();
            let again = pair(&bench, &device, trouble).await.unwrap();
            let (_, hub) = device.in_force().unwrap();
            assert_eq!(hub.unwrap().hub, again.hub, "{lost}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_was_transferred_is_signed_for_by_its_former_owner_and_keeps_the_new_ones_key_from_then_on() {
    for checks_owner in [true, false] {
        let device = device(checks_owner);
        let (old, new) = (bench(1).await, bench(2).await);
        pair(&old, &device, Trouble::None).await.unwrap();
        *new.api.former.lock().unwrap() = vec![owner(3), owner(1)];
        pair(&new, &device, Trouble::None).await.unwrap();
        assert_eq!(device.in_force().unwrap().0.owner_public_key, owner(2));
        assert_eq!(*new.api.signed.lock().unwrap(), u32::from(checks_owner));
        pair(&new, &device, Trouble::None).await.unwrap();
        assert!(device.in_force().unwrap().0.owner_public_key.is_empty(), "it has the new key");
        assert_eq!(pair(&old, &device, Trouble::None).await.unwrap_err().code, ErrorCode::NotOwner);
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_device_is_left_alone_before_anything_is_made_or_sent() {
    for checks_owner in [true, false] {
        let device = device(checks_owner);
        let (mine, theirs) = (bench(1).await, bench(2).await);
        pair(&mine, &device, Trouble::None).await.unwrap();
        let before = device.in_force();
        let error = pair(&theirs, &device, Trouble::None).await.unwrap_err();
        assert_eq!((error.code, error.step), (ErrorCode::NotOwner, Some(lowtouch_installer::Step::Allocate)));
        assert!(error.hint().contains("Only its owner can hand it over"));
        assert_eq!(device.in_force(), before);
        assert_eq!(*theirs.api.signed.lock().unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_without_owners_cannot_hand_an_owned_device_over_and_leaves_others_unowned() {
    let (old, device) = (Bench::new(wire::Attestation::SymmetricKey).await, device(true));
    pair(&old, &device, Trouble::None).await.unwrap();
    assert!(device.in_force().unwrap().0.owner_public_key.is_empty());
    pair(&bench(1).await, &device, Trouble::None).await.unwrap();
    assert_eq!(code(pair(&old, &device, Trouble::None).await), ErrorCode::NotOwner);
    assert_ne!(owner_key_id(&owner(1)), owner_key_id(&owner(2)));
}
