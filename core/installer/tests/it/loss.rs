//! Pairings over a radio that loses connections. `cargo bench -p lowtouch-installer --bench loss` does it a thousand
//! times over.

use lowtouch_handoff::dps_config::Attestation;
use lowtouch_installer::PairingEvent;
use lowtouch_installer::pairing::Paired;
use lowtouch_links::simulated::Radio;
use provisioning_api_contract as wire;
use std::time::Duration;

use crate::fake::{Bench, Dps, FakeDevice, HUB, request};

/// Of one pairing.
#[derive(Debug)]
pub(crate) struct Tale {
    pub(crate) paired: Paired,
    /// How often the link was opened again after the session was first asked for.
    pub(crate) reconnects: usize,
}

/// A radio of 30 ms an ATT operation and the MTU that BlueZ asks for, that loses this share of them, and with each the connection: 420 ms later, as Linux
/// has it (`supervision_timeout` of net/bluetooth/hci_core.c).
pub(crate) fn radio(loss: f64, layout_known: bool, seed: u64) -> Radio {
    Radio {
        mtu: 517,
        latency: Duration::from_millis(30),
        loss,
        supervision: Duration::from_millis(420),
        layout_known,
        seed,
        ..Radio::default()
    }
}

pub(crate) async fn pair(
    bench: &Bench,
    device: &FakeDevice,
    radio: Radio,
) -> Result<Tale, lowtouch_installer::PairingError> {
    let pairing = bench.installer.pair_over(request(2), device.over(radio));
    let mut events = pairing.events();
    let paired = pairing.outcome().await?;
    let mut reconnects = 0;
    while let Some(event) = events.next().await {
        reconnects += usize::from(matches!(event, PairingEvent::Reconnecting { .. }));
    }
    Ok(Tale { paired, reconnects })
}

#[tokio::test(start_paused = true)]
async fn a_radio_that_loses_every_fifth_operation_pairs_all_the_same_within_the_budget() {
    let bench = Bench::new(wire::Attestation::SymmetricKey).await;
    for seed in 0..30 {
        let device = FakeDevice::new(&[Attestation::SymmetricKey]);
        let tale = pair(&bench, &device, radio(0.2, true, seed)).await;
        let tale = tale.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert_eq!(tale.paired.hub, HUB);
        let registered = device.lock().registrations.len();
        assert_eq!(registered, 1, "seed {seed}: one registration, however often the commit was repeated");
        assert!(device.lock().dps == Dps::Assigns);
    }
}

#[tokio::test(start_paused = true)]
async fn a_radio_that_loses_nothing_needs_no_retry() {
    let bench = Bench::new(wire::Attestation::SymmetricKey).await;
    let device = FakeDevice::new(&[Attestation::SymmetricKey]);
    let tale = pair(&bench, &device, radio(0.0, false, 1)).await.unwrap();
    assert_eq!((tale.reconnects, tale.paired.round_trips_to_commit), (0, 6));
}
