//! Waiting for a device's slot in a staggered schedule.

use std::time::Duration;

use jiff::Timestamp;
use provisioning_api_contract::Allocation;

use super::context::Context;
use crate::error::{ErrorCode, PairingError};
use crate::events::{PairingEvent, Step};

/// Nobody stands beside a device for longer; the slot is kept, and a later run finds it.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Waits until the device's hand-off may begin; it can be cancelled, and a rerun has the same slot.
pub(super) async fn wait(context: &Context, allocation: &Allocation) -> Result<(), PairingError> {
    let Some(starts_at) = allocation.starts_at else { return Ok(()) };
    let left = match allocation.starts_in_s {
        // By the API's clock: this machine's may be wrong.
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::try_from(starts_at.duration_since(Timestamp::now())).unwrap_or_default(),
    };
    if left.is_zero() {
        return Ok(());
    }
    let wait_s = left.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
    if left > PATIENCE {
        let mut error = PairingError::with_detail(ErrorCode::SlotLater, format!("its turn is at {starts_at}"));
        error.retry_after_s = Some(wait_s);
        return Err(error.at(Step::Allocate));
    }
    context.emit(PairingEvent::WaitingForSlot { starts_at, wait_s });
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(PairingError::new(ErrorCode::Cancelled).at(Step::Allocate)),
        () = tokio::time::sleep(left) => Ok(()),
    }
}
