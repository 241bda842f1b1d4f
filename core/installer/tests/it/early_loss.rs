//! A link that is lost before there is a session.

use lowtouch_handoff::dps_config::Attestation::SymmetricKey;
use lowtouch_installer::{ErrorCode, Step};
use provisioning_api_contract as wire;

use crate::fake::{Bench, FakeDevice, HUB, Trouble};

#[tokio::test(start_paused = true)]
async fn a_link_lost_before_the_session_is_opened_again() {
    for trouble in [Trouble::LostBefore as fn(u64) -> Trouble, Trouble::LostAfter, Trouble::PowerLostAfter] {
        for number in 0..3 {
            let bench = Bench::new(wire::Attestation::SymmetricKey).await;
            let device = FakeDevice::new(&[SymmetricKey]);
            let paired = bench.pair(device.link(trouble(number))).await;
            assert_eq!(paired.unwrap_or_else(|error| panic!("{:?}: {error:?}", trouble(number))).hub, HUB);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_lost_in_the_handshake_is_never_called_a_wrong_pop() {
    for number in [1, 2] {
        let bench = Bench::new(wire::Attestation::SymmetricKey).await;
        let device = FakeDevice::new(&[SymmetricKey]);
        let error = bench.pair(device.link(Trouble::GoneAfter(number))).await.unwrap_err();
        assert_eq!((error.code, error.step), (ErrorCode::DeviceNotFound, Some(Step::Secure)), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_whose_session_another_app_takes_in_the_first_exchange_is_asked_once_more() {
    let bench = Bench::new(wire::Attestation::SymmetricKey).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    assert_eq!(bench.pair(device.link(Trouble::RefusedOnce(0))).await.unwrap().hub, HUB);
}

#[tokio::test(start_paused = true)]
async fn what_refuses_the_first_exchange_twice_is_not_a_device() {
    let bench = Bench::new(wire::Attestation::SymmetricKey).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    let error = bench.pair(device.link(Trouble::RefusedFrom(0))).await.unwrap_err();
    assert_eq!((error.code, error.step), (ErrorCode::NotADevice, Some(Step::Connect)));
}
