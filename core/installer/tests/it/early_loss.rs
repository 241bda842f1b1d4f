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
