//! What is in reach: heard by the radio, plugged in, or made by the demo.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use lowtouch_links::ble;
use lowtouch_links::serial::{Accessibility, ports};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::streams::{Changes, told};
use super::{CommandError, Commands, Nothing};
use crate::error::{ErrorCode, PairingError};
use crate::pairing::link_error;

/// One round of listening. A device that advertises is heard within one.
const LISTEN: Duration = Duration::from_secs(3);
/// A device that was not heard for so long has gone.
const GONE: Duration = Duration::from_secs(12);
/// Between two tries of an adapter that cannot be used, and two looks at the serial ports.
const AGAIN: Duration = Duration::from_secs(3);

/// What is in reach.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct NearbySeen {
    /// Those that can be paired first, then the strongest.
    pub devices: Vec<NearbyDevice>,
    /// Where is looked, and whether that can be done.
    pub sources: Vec<NearbySource>,
}

/// Something in reach.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NearbyDevice {
    /// How it is reached, for `pairing_start`.
    pub link: String,
    /// What it calls itself; of a serial port what the system knows of it. Chosen by whoever made it: any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of the radio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Signal strength in dBm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rssi: Option<i16>,
    /// `protocomm` (what Lowtouch pairs), `improv`, `smp`, `serial-port` or `unknown`.
    pub kind: String,
    /// Whether it has been provisioned, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<bool>,
    /// Where it was found.
    pub via: Via,
    /// Whether it can be used now.
    pub usable: Usable,
    /// Its label, where that is known: the demo's devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_id: Option<Uuid>,
    /// The Wi-Fi that it needs, where that is known: the demo's devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wifi: Option<NearbyWifi>,
}

/// A Wi-Fi whose passphrase is known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct NearbyWifi {
    /// Its name.
    pub ssid: String,
}

/// Where something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Via {
    /// Bluetooth LE.
    Ble,
    /// A serial port.
    Serial,
    /// The demo.
    Demo,
}

/// Whether something can be used now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "state", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Usable {
    /// Nothing is known to be in the way.
    Ready,
    /// This user may not.
    PermissionDenied {
        /// What to do about it.
        mend: String,
    },
    /// Another program has it.
    Busy {
        /// What to do about it.
        mend: String,
    },
}

/// A way of looking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NearbySource {
    /// Which.
    pub via: Via,
    /// Whether it works.
    pub state: SourceState,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// What to do about it, in plain English.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What exactly was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Whether a way of looking works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SourceState {
    /// It is not known yet.
    Starting,
    /// It does.
    Listening,
    /// It waits until a pairing that needs the radio has ended.
    Paused,
    /// It does not.
    Unavailable,
}

/// What one source knows.
#[derive(Clone)]
struct Known {
    source: NearbySource,
    devices: Vec<NearbyDevice>,
}

impl Known {
    fn new(via: Via) -> Self {
        Known { source: NearbySource::new(via, SourceState::Starting), devices: Vec::new() }
    }
}

impl NearbySource {
    fn new(via: Via, state: SourceState) -> Self {
        NearbySource { via, state, code: None, hint: None, detail: None }
    }

    fn unavailable(via: Via, error: &PairingError) -> Self {
        NearbySource {
            code: Some(error.code),
            hint: Some(error.hint().into()),
            detail: error.detail.clone(),
            ..NearbySource::new(via, SourceState::Unavailable)
        }
    }
}

impl Commands {
    /// `nearby`. Looks only as long as somebody reads the stream.
    ///
    /// # Errors
    /// None.
    pub fn nearby(&self, _: Nothing) -> Result<BoxStream<'static, NearbySeen>, CommandError> {
        let commands = self.clone();
        Ok(told(move |tell| async move {
            let changes = Changes::new(tell);
            let radio = Arc::new(watch::Sender::new(Known::new(Via::Ble)));
            let serial = Arc::new(watch::Sender::new(Known::new(Via::Serial)));
            let (mut radio_news, mut serial_news) = (radio.subscribe(), serial.subscribe());
            let mut news = commands.0.changed.subscribe();
            let show = async {
                loop {
                    let seen = match commands.0.demo.world() {
                        Some(world) => NearbySeen {
                            devices: world.in_reach(|label| commands.0.pairings.done(label)),
                            sources: vec![NearbySource::new(Via::Demo, SourceState::Listening)],
                        },
                        None => seen([radio_news.borrow_and_update().clone(), serial_news.borrow_and_update().clone()]),
                    };
                    changes.tell(seen).await;
                    tokio::select! {
                        _ = radio_news.changed() => {}
                        _ = serial_news.changed() => {}
                        _ = news.changed() => {}
                    }
                }
            };
            tokio::join!(show, listen(&commands, &radio), look(&commands, &serial));
        }))
    }
}

fn seen(known: [Known; 2]) -> NearbySeen {
    let mut seen = NearbySeen { devices: Vec::new(), sources: Vec::new() };
    for known in known {
        seen.sources.push(known.source);
        seen.devices.extend(known.devices);
    }
    seen.devices.sort_by_key(|device| {
        let pairable = device.kind == "protocomm" && device.provisioned != Some(true);
        (!pairable, std::cmp::Reverse(device.rssi), device.link.clone())
    });
    seen
}

/// Rounds of listening; none while a pairing has the radio, or the demo is shown.
async fn listen(commands: &Commands, known: &watch::Sender<Known>) {
    let mut heard: BTreeMap<String, (Instant, NearbyDevice)> = BTreeMap::new();
    loop {
        if commands.0.demo.world().is_some() {
            sleep(AGAIN).await;
            continue;
        }
        if commands.0.pairings.on_the_radio() {
            known.send_modify(|known| known.source = NearbySource::new(Via::Ble, SourceState::Paused));
            sleep(AGAIN).await;
            continue;
        }
        match ble::scan(LISTEN).await {
            Ok(found) => {
                let now = Instant::now();
                for found in found {
                    let device = NearbyDevice {
                        link: format!("ble://{}", found.address),
                        name: found.name,
                        address: Some(found.address.clone()),
                        rssi: found.rssi,
                        kind: found.kind.as_str().into(),
                        provisioned: found.provisioned,
                        via: Via::Ble,
                        usable: Usable::Ready,
                        label_id: None,
                        wifi: None,
                    };
                    heard.insert(found.address, (now, device));
                }
                heard.retain(|_, (at, _)| now.duration_since(*at) < GONE);
                let devices = heard.values().map(|(_, device)| device.clone()).collect();
                known.send_replace(Known { source: NearbySource::new(Via::Ble, SourceState::Listening), devices });
            }
            Err(error) => {
                heard.clear();
                let source = NearbySource::unavailable(Via::Ble, &link_error(&error));
                known.send_replace(Known { source, devices: Vec::new() });
                sleep(AGAIN).await;
            }
        }
    }
}

async fn look(commands: &Commands, known: &watch::Sender<Known>) {
    loop {
        if commands.0.demo.world().is_none() {
            let found = tokio::task::spawn_blocking(ports).await.unwrap_or_default();
            let devices = found.into_iter().map(|port| NearbyDevice {
                link: format!("serial://{}", port.path),
                name: port.description,
                address: Some(port.path),
                rssi: None,
                kind: "serial-port".into(),
                provisioned: None,
                via: Via::Serial,
                usable: match port.accessibility {
                    Accessibility::PermissionDenied { mend } => Usable::PermissionDenied { mend },
                    Accessibility::Busy => Usable::Busy { mend: "Close the program that uses it.".into() },
                    _ => Usable::Ready,
                },
                label_id: None,
                wifi: None,
            });
            let devices = devices.collect();
            known.send_replace(Known { source: NearbySource::new(Via::Serial, SourceState::Listening), devices });
        }
        sleep(AGAIN).await;
    }
}
