//! Finding a device by radio before a link to it is opened.

use std::time::Duration;

use lowtouch_links::ble::{self, Progress};
use lowtouch_links::{LinkAddress, foreign};

use super::LinkFrom;
use super::context::Context;
use super::refusal::of_link;
use crate::error::PairingError;
use crate::events::{PairingEvent, Step, WaitingFor};
use crate::journal::Journal;

/// What a step keeps for itself, so that the link's own words (which name the problem) come before its deadline.
const MARGIN: Duration = Duration::from_secs(2);

/// Resolves `ble://NAME` to the address of the one device of that name, and tells how far that got.
pub(super) async fn found(context: &Context, from: LinkFrom, deadline: Duration) -> Result<LinkFrom, PairingError> {
    let (radio, target) = match &from {
        #[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
        LinkFrom::Address(LinkAddress::Ble { target }) => (None, ble::Target::parse(target)),
        LinkFrom::Radio(radio, target) => (Some(radio.clone()), target.clone()),
        _ => return Ok(from),
    };
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
        let found = match &radio {
            Some(radio) => foreign::find(&**radio, &target, within, told).await,
            None => own(target, within, told).await,
        };
        found.map_err(|error| of_link(&error, None))
    });
    let address = found.await?.address;
    Ok(match radio {
        Some(radio) => LinkFrom::Radio(radio, ble::Target::Address(address)),
        None => LinkFrom::Address(LinkAddress::Ble { target: address }),
    })
}

#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
use ble::find as own;

/// There the app has the radio.
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
async fn own(target: ble::Target, _: Duration, _: impl Fn(Progress)) -> Result<ble::Found, lowtouch_links::LinkError> {
    Err(lowtouch_links::LinkError::NotFound { what: format!("ble://{target}") })
}

/// What an earlier run learned of the device's services, and what this one did: a device need not be asked twice. The
/// journal's table is only a shortcut, so nothing fails for it.
pub(super) struct Layouts {
    journal: Journal,
    /// The address, and what the journal has of it.
    known: Option<(String, Option<String>)>,
}

impl Layouts {
    /// Tells the radio what the journal knows of the device that `from` reaches.
    pub(super) fn recall(journal: &Journal, from: &LinkFrom) -> impl Future<Output = Layouts> + Send + use<> {
        // Taken out before anything is awaited: an opened link cannot be looked at from two threads.
        let target = match from {
            LinkFrom::Address(LinkAddress::Ble { target }) => Some(target.clone()),
            LinkFrom::Radio(_, ble::Target::Address(address)) => Some(address.clone()),
            _ => None,
        };
        Layouts::recall_of(journal.clone(), target)
    }

    async fn recall_of(journal: Journal, target: Option<String>) -> Layouts {
        let mut known = None;
        if let Some(target) = &target {
            let kept = journal.layout(target).await.unwrap_or_default();
            // One of another version, or of another device, is of no use.
            let layout = kept.as_deref().and_then(|kept| serde_json::from_str::<ble::Layout>(kept).ok());
            let ours = layout.filter(|layout| layout.address() == target && ble::known_layout(target).is_none());
            ble::remember_layouts(ours);
            known = Some((target.clone(), kept));
        }
        Layouts { journal, known }
    }

    /// Writes down what has changed: learned, or found to be wrong.
    pub(super) async fn keep(self) {
        let Some((address, kept)) = self.known else { return };
        let now = ble::known_layout(&address).and_then(|layout| serde_json::to_string(&layout).ok());
        if now != kept
            && let Err(error) = self.journal.keep_layout(&address, now.as_deref()).await
        {
            tracing::debug!(code = error.code.as_str(), "the layout is not kept");
        }
    }
}
