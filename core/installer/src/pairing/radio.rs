//! Finding a device by radio before a link to it is opened.

use std::time::Duration;

use lowtouch_links::LinkAddress;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
use lowtouch_links::ble::{self, Progress};

use super::LinkFrom;
use super::context::Context;
use super::refusal::of_link;
use crate::error::PairingError;
use crate::events::{PairingEvent, Step, WaitingFor};

/// What a step keeps for itself, so that the link's own words (which name the problem) come before its deadline.
const MARGIN: Duration = Duration::from_secs(2);

/// Resolves `ble://NAME` to the address of the one device of that name, and tells how far that got.
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
pub(super) async fn found(context: &Context, from: LinkFrom, deadline: Duration) -> Result<LinkFrom, PairingError> {
    let LinkFrom::Address(LinkAddress::Ble { target }) = &from else { return Ok(from) };
    let target = ble::Target::parse(target);
    let events = context.events.clone();
    let told = move |progress| match progress {
        Progress::Scanning => events.emit(PairingEvent::Searching { heard: 0 }),
        Progress::Heard(heard) => events.emit(PairingEvent::Searching { heard }),
        Progress::Matched(found) => events.emit(PairingEvent::DeviceFound {
            name: found.name.unwrap_or_default(),
            address: found.address,
            rssi: found.rssi,
        }),
        _ => {}
    };
    let within = deadline.saturating_sub(MARGIN);
    let found = context.step(Step::Discover, WaitingFor::Device, deadline, async {
        ble::find(target, within, told).await.map_err(|error| of_link(&error, None))
    });
    Ok(LinkFrom::Address(LinkAddress::Ble { target: found.await?.address }))
}

/// A phone's radio is its own program's: it brings its link along.
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
pub(super) async fn found(_: &Context, from: LinkFrom, _: Duration) -> Result<LinkFrom, PairingError> {
    Ok(from)
}
