//! When a certificate is to be renewed; and the renewal of the one that DPS issued for the hub: the device registers again, with a
//! new request.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lowtouch_handoff::dps_config::device::RegistrationEvent;
use sha2::{Digest as _, Sha256};

use super::registration::{Job, Told, register};
use crate::certificate::{self, Validity};

/// Azure: renew when four fifths of the time are over. A device begins a little earlier, each at its own moment, so that devices
/// that were paired on one day do not all come at once.
const ISSUED_BY_DPS: Range<f64> = 0.7..0.8;
/// The clock may be set meanwhile: it is looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);
/// What devices that were off too long spread their renewals over, or a hundredth of the certificate's life where that is less.
const SPREAD: Duration = Duration::from_secs(60);
/// Between two rounds of tries: a tenth of the certificate's life, within these.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));

/// Waits until the certificate is to be renewed, and then registers until it is. It ends when it is dropped: when the new certificate
/// is kept, or another configuration is in force.
pub(super) async fn run(mut job: Job, leaf: Vec<u8>, told: Told) {
    let Some(validity) = certificate::validity(&leaf) else {
        tracing::error!("the certificate of the hub says no end; it is not renewed");
        return;
    };
    wait_until_due(validity, &leaf, ISSUED_BY_DPS).await;
    loop {
        // It comes only when the device is in a network, and the senders live as long as the device.
        let _ = job.online.wait_for(|online| *online).await;
        tracing::info!("the certificate of the hub is to be renewed");
        match register(&job, |_| ()).await {
            // When it cannot be kept, this goes on.
            Ok(event @ (RegistrationEvent::Issued { .. } | RegistrationEvent::Assigned(_))) => told.tell(event),
            Ok(_) => {}
            Err(failure) => {
                tracing::warn!(code = ?failure.code, text = failure.text, "the certificate of the hub is not renewed yet");
            }
        }
        pause(validity).await;
    }
}

/// Before the next round of tries.
pub(super) async fn pause(validity: Validity) {
    let life = Duration::from_secs(validity.ends - validity.begins);
    let pause = (life / 10).clamp(PAUSES.0, PAUSES.1);
    tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
}

/// `shares`: of its life, when it is to be renewed at the earliest and at the latest.
pub(super) async fn wait_until_due(validity: Validity, leaf: &[u8], shares: Range<f64>) {
    let due = due(validity, leaf, shares);
    loop {
        let now = unix_now();
        if now >= due {
            break;
        }
        tokio::time::sleep((due - now).min(LOOK_AGAIN)).await;
    }
    if unix_now() > Duration::from_secs(validity.ends) {
        let spread = SPREAD.min(Duration::from_secs(validity.ends - validity.begins) / 100);
        tokio::time::sleep(spread.mul_f64(rand::random::<f64>())).await;
    }
}

/// Since 1970-01-01 UTC. The same for one certificate after every restart.
fn due(validity: Validity, leaf: &[u8], shares: Range<f64>) -> Duration {
    let digest: [u8; 32] = Sha256::digest(leaf).into();
    let own = f64::from(u16::from_be_bytes([digest[0], digest[1]])) / f64::from(u16::MAX);
    let life = Duration::from_secs(validity.ends - validity.begins);
    Duration::from_secs(validity.begins) + life.mul_f64(shares.start + (shares.end - shares.start) * own)
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_due_between_seven_tenths_and_four_fifths_of_its_life(begins in 0..4_000_000_000_u64, life in 1..400_000_000_u64, leaf: Vec<u8>) {
            let validity = Validity { begins, ends: begins + life };
            let due = due(validity, &leaf, ISSUED_BY_DPS).as_secs_f64() - begins as f64;
            let life = life as f64;
            prop_assert!(due >= life * 0.7 - 1.0 && due <= life * 0.8 + 1.0);
        }
    }

    #[test]
    fn certificates_of_one_day_are_not_all_due_at_once() {
        let of_90_days = Validity { begins: 0, ends: 90 * 86_400 };
        let days: std::collections::BTreeSet<_> =
            (0..100_u8).map(|device| due(of_90_days, &[device], ISSUED_BY_DPS).as_secs() / 86_400).collect();
        assert!(days.len() >= 8, "{days:?}");
    }
}
