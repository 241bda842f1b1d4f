//! Every place where the app can be killed × every exchange that can be lost: the real journal against the real device
//! role. The device is wholly on its old configuration or wholly on the new one, the journal claims nothing that the device
//! has not, and a rerun ends with the same hand-off.

use std::time::Duration;

use lowtouch_handoff::dps_config::{Attestation, Config};
use lowtouch_installer::Step;
use lowtouch_installer::fault::{Message, Point, Write};
use lowtouch_installer::journal::State;
use lowtouch_installer::pairing::Paired;
use lowtouch_installer::{ErrorCode, PairingError};
use provisioning_api_contract as wire;

use crate::fake::{Bench, FakeDevice, HUB, POP, Trouble, request, security};

/// Far beyond every deadline of a pairing, on the simulated clock: what has not ended by then hangs.
const FOREVER: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy)]
enum Kind {
    Key,
    Certificate,
}

impl Kind {
    fn of_api(self) -> wire::Attestation {
        match self {
            Kind::Key => wire::Attestation::SymmetricKey,
            Kind::Certificate => wire::Attestation::X509,
        }
    }

    fn of_device(self) -> Attestation {
        match self {
            Kind::Key => Attestation::SymmetricKey,
            Kind::Certificate => Attestation::X509,
        }
    }

    fn other(self) -> Self {
        match self {
            Kind::Key => Kind::Certificate,
            Kind::Certificate => Kind::Key,
        }
    }

    /// Security 1: its handshake costs no time worth mentioning, and is as many exchanges as that of Security 2.
    fn device(self, flash: Option<Vec<u8>>) -> FakeDevice {
        let device = FakeDevice::with(security(1, POP), &[self.of_device()]);
        device.lock().flash = flash;
        device.reboot();
        device
    }
}

fn points() -> Vec<Option<Point>> {
    let mut points = vec![None];
    points
        .extend(Step::ALL.into_iter().filter(|step| *step != Step::Network).map(|step| Some(Point::BeforeStep(step))));
    let rare = [Write::DpsSaid, Write::Error];
    for write in Write::ALL.into_iter().filter(|write| !rare.contains(write)) {
        points.extend([Some(Point::BeforeWrite(write)), Some(Point::AfterWrite(write))]);
    }
    points.extend([Message::Stage, Message::Commit].map(|message| Some(Point::AfterSend(message))));
    points.push(Some(Point::AfterStep(Step::Record)));
    points
}

async fn pair(bench: &Bench, device: &FakeDevice, trouble: Trouble) -> Result<Paired, PairingError> {
    let pairing = bench.installer.pair_over(request(1), device.link(trouble)).outcome();
    tokio::time::timeout(FOREVER, pairing).await.expect("a pairing that hangs")
}

/// A device that works with a hub already, by a credential of the other kind: what its flash holds, and its configuration.
async fn old(kind: Kind) -> (Vec<u8>, Config) {
    let (bench, device) = (Bench::new(kind.other().of_api()).await, kind.other().device(None));
    pair(&bench, &device, Trouble::None).await.unwrap();
    let flash = device.lock().flash.clone().unwrap();
    (flash, device.in_force().unwrap().0)
}

/// What the journal says the device acknowledged or said, the device has.
async fn nothing_is_claimed(bench: &Bench, device: &FakeDevice, new: &Config, at: &str) -> bool {
    let mut open = false;
    for entry in bench.installer.journal().list(2).await.unwrap() {
        let id = entry.handoff_id;
        if !bench.api.handoff_ids.lock().unwrap().contains(&id) {
            continue;
        }
        open |= entry.state == State::Open;
        let (config, assigned) = device.in_force().unwrap();
        let is_new = config == *new;
        if entry.acknowledged.staged_at.is_some() {
            let staged = device.lock().staged();
            assert!(is_new || staged.as_deref() == Some(id.as_bytes()), "staged in the journal alone: {at}");
        }
        if entry.acknowledged.committed_at.is_some() {
            assert!(is_new, "committed in the journal alone: {at}");
        }
        if let Some(said) = entry.device_said {
            assert!(is_new, "assigned in the journal alone: {at}");
            assert_eq!(said.hub, assigned.map(|assigned| assigned.hub), "assigned in the journal alone: {at}");
        }
    }
    open
}

async fn every_kill_and_every_loss(kind: Kind, trouble: fn(u64) -> Trouble) {
    let (flash, old) = old(kind).await;
    let bench = Bench::new(kind.of_api()).await;
    let undisturbed = kind.device(Some(flash.clone()));
    pair(&bench, &undisturbed, Trouble::None).await.unwrap();
    let new = undisturbed.in_force().unwrap().0;
    assert_ne!(old, new);
    let exchanges = undisturbed.lock().asked.len() as u64;

    // One more than there are: nothing is lost, and every kill stands alone.
    for lost in 0..=exchanges {
        for point in points() {
            let at = format!("{:?}, killed at {point:?}", trouble(lost));
            let device = kind.device(Some(flash.clone()));
            bench.api.handoff_ids.lock().unwrap().clear();
            if let Some(point) = point {
                bench.faults.kill_at(point);
            }
            let first = pair(&bench, &device, trouble(lost)).await;
            bench.faults.disarm();
            let in_force = device.in_force().unwrap().0;
            assert!(in_force == old || in_force == new, "neither old nor new: {at}");
            if lost < exchanges && device.lock().asked.len() as u64 <= lost {
                // Killed before it came to that.
                continue;
            }
            let open = nothing_is_claimed(&bench, &device, &new, &at).await;
            if point.is_none() {
                // One exchange lost is mended by the pairing itself.
                assert_eq!(first.unwrap_or_else(|error| panic!("{at}: {error:?}")).hub, HUB);
            }

            let paired = pair(&bench, &device, Trouble::None).await.unwrap_or_else(|error| panic!("{at}: {error:?}"));
            assert_eq!(paired.hub, HUB, "{at}");
            assert_eq!(device.in_force().unwrap().0, new, "{at}");
            assert!(!nothing_is_claimed(&bench, &device, &new, &at).await, "left open: {at}");
            if open {
                let ids = bench.api.handoff_ids.lock().unwrap().clone();
                assert!(ids.iter().all(|id| *id == paired.handoff_id), "one hand-off: {at}");
            }
            // Every registration was with the new configuration, however often it was committed.
            assert!(device.lock().registrations.iter().all(|config| *config == new), "{at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_anywhere_and_a_request_lost_anywhere_with_a_symmetric_key() {
    every_kill_and_every_loss(Kind::Key, Trouble::LostBefore).await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_anywhere_and_an_answer_lost_anywhere_with_a_symmetric_key() {
    every_kill_and_every_loss(Kind::Key, Trouble::LostAfter).await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_anywhere_and_the_devices_power_lost_anywhere_with_a_symmetric_key() {
    every_kill_and_every_loss(Kind::Key, Trouble::PowerLostAfter).await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_anywhere_and_a_request_lost_anywhere_with_a_certificate() {
    every_kill_and_every_loss(Kind::Certificate, Trouble::LostBefore).await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_anywhere_and_an_answer_lost_anywhere_with_a_certificate() {
    every_kill_and_every_loss(Kind::Certificate, Trouble::LostAfter).await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_anywhere_and_the_devices_power_lost_anywhere_with_a_certificate() {
    every_kill_and_every_loss(Kind::Certificate, Trouble::PowerLostAfter).await;
}

#[tokio::test(start_paused = true)]
async fn a_device_that_goes_for_good_at_any_exchange_ends_the_pairing_and_the_next_one_finishes_it() {
    for kind in [Kind::Key, Kind::Certificate] {
        let (flash, old) = old(kind).await;
        let bench = Bench::new(kind.of_api()).await;
        for gone in 0..8 {
            let device = kind.device(Some(flash.clone()));
            let error = pair(&bench, &device, Trouble::GoneAfter(gone)).await.err();
            if let Some(error) = error {
                assert!(
                    matches!(error.code, ErrorCode::LinkLost | ErrorCode::DeviceNotFound | ErrorCode::ConfirmTimeout),
                    "{gone}: {error:?}"
                );
                let paired = pair(&bench, &device, Trouble::None).await.unwrap();
                assert_eq!(paired.hub, HUB, "{gone}");
            }
            assert_ne!(device.in_force().unwrap().0, old, "{gone}");
        }
    }
}
