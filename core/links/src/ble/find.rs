use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use btleplug::api::{BDAddr, Central as _, CentralEvent, Peripheral as _, PeripheralProperties, ScanFilter};
use btleplug::platform::{Adapter, Peripheral, PeripheralId};
use futures::StreamExt as _;
use tokio::time::{Instant, sleep_until, timeout};

use super::found::NAMESAKES;
use super::mishap::Mishap;
use super::{AdapterProblem, Found, Progress, Target, adapter, stack};
use crate::LinkError;

/// BlueZ lists devices of earlier scans at once. One that is not heard within this time is tried nevertheless.
const STALE: Duration = Duration::from_secs(3);
/// How often the list of devices is read during a scan, in addition to whenever something is heard.
const LOOK: Duration = Duration::from_millis(200);
/// How long the Bluetooth service may take for a call that needs no radio.
const CALL: Duration = Duration::from_secs(5);

/// Listens for `duration` and says what was heard, strongest first. What other programs' scans hear is in it too (BlueZ
/// gives every program the union), so filter by [`Found::kind`].
///
/// # Errors
/// [`LinkError::Adapter`] when no adapter can be used; [`LinkError::Lost`] when the adapter goes away meanwhile.
pub async fn scan(duration: Duration) -> Result<Vec<Found>, LinkError> {
    stack::run(async move {
        let mut scan = Scan::start().await?;
        let until = Instant::now() + duration;
        let mut heard = BTreeMap::new();
        loop {
            for (_, found, fresh) in scan.look().await? {
                if fresh {
                    heard.insert(found.address.clone(), found);
                }
            }
            if Instant::now() >= until {
                break;
            }
            scan.wait(until).await?;
        }
        let mut heard: Vec<_> = heard.into_values().collect();
        heard.sort_by(|a, b| {
            b.rssi.unwrap_or(i16::MIN).cmp(&a.rssi.unwrap_or(i16::MIN)).then(a.address.cmp(&b.address))
        });
        Ok(heard)
    })
    .await?
}

/// The one device that `target` means. A link to its address that is opened within 10 s needs no scan of its own.
///
/// # Errors
/// [`LinkError::Adapter`]; [`LinkError::NotFound`] after `within`; [`LinkError::Ambiguous`].
pub async fn find(
    target: Target,
    within: Duration,
    progress: impl Fn(Progress) + Send + Sync + 'static,
) -> Result<Found, LinkError> {
    stack::run(async move { Ok(locate(&target, within, &progress).await?.2) }).await?
}

/// As [`find`], on the runtime of [`stack`].
pub(super) async fn locate(
    target: &Target,
    within: Duration,
    progress: &(impl Fn(Progress) + Sync),
) -> Result<(Adapter, Peripheral, Found), LinkError> {
    let known = just_found(target).await;
    if let Some((adapter, peripheral, found)) = known {
        progress(Progress::Matched(found.clone()));
        return Ok((adapter, peripheral, found));
    }
    let mut scan = Scan::start().await?;
    progress(Progress::Scanning);
    let mut heard = 0;
    let begun = Instant::now();
    let until = begun + within;
    let mut first_match = None;
    loop {
        let seen = scan.look().await?;
        let now_heard = seen.iter().filter(|(_, _, fresh)| *fresh).count();
        let mut matches: Vec<_> = seen.into_iter().filter(|(_, found, _)| found.is(target)).collect();
        if matches.is_empty() && now_heard != heard {
            heard = now_heard;
            progress(Progress::Heard(heard));
        }
        if matches.iter().any(|(_, _, fresh)| *fresh) {
            matches.retain(|(_, _, fresh)| *fresh);
        } else if begun.elapsed() < STALE.min(within) {
            matches.clear();
        }
        let now = Instant::now();
        if !matches.is_empty() {
            let settled = match target {
                Target::Address(_) => now,
                Target::Name(_) => (*first_match.get_or_insert(now) + NAMESAKES).min(until),
            };
            if matches.len() > 1 {
                let mut addresses: Vec<_> = matches.into_iter().map(|(_, found, _)| found.address).collect();
                addresses.sort();
                return Err(LinkError::Ambiguous { name: target.to_string(), addresses });
            }
            if now >= settled
                && let Some((peripheral, found, _)) = matches.pop()
            {
                remember(&found);
                progress(Progress::Matched(found.clone()));
                return Ok((scan.adapter.clone(), peripheral, found));
            }
            scan.wait(settled).await?;
            continue;
        }
        if now >= until {
            return Err(LinkError::NotFound { what: format!("ble://{target}") });
        }
        scan.wait(until).await?;
    }
}

/// The last device that was found, and when. The service lists it for a while after the scan (BlueZ: 30 s).
static LAST: Mutex<Option<(Instant, Found)>> = Mutex::new(None);
const RECENT: Duration = Duration::from_secs(10);

fn remember(found: &Found) {
    if let Ok(mut last) = LAST.lock() {
        *last = Some((Instant::now(), found.clone()));
    }
}

/// Serves once: when the device cannot be connected to, the next attempt listens again.
async fn just_found(target: &Target) -> Option<(Adapter, Peripheral, Found)> {
    let Target::Address(_) = target else { return None };
    let (_, found) = LAST.lock().ok()?.take_if(|(when, found)| when.elapsed() < RECENT && found.is(target))?;
    let adapter = adapter::usable().await.ok()?;
    let listed = timeout(CALL, adapter.peripherals()).await.ok()?.ok()?;
    let peripheral =
        listed.into_iter().find(|peripheral| address(&peripheral.id(), peripheral.address()) == found.address);
    Some((adapter, peripheral?, found))
}

/// A running scan; it stops when dropped.
struct Scan {
    adapter: Adapter,
    events: std::pin::Pin<Box<dyn futures::Stream<Item = CentralEvent> + Send>>,
}

impl Scan {
    async fn start() -> Result<Self, LinkError> {
        let adapter = adapter::usable().await?;
        let begin = async {
            let events = adapter.events().await?;
            // No filter: BlueZ would give us what others scan for all the same, and many devices advertise no service.
            adapter.start_scan(ScanFilter::default()).await?;
            Ok::<_, Mishap>(events)
        };
        match timeout(CALL, begin).await.unwrap_or(Err(Mishap::Silent)) {
            Ok(events) => Ok(Self { adapter, events }),
            Err(mishap) => {
                tracing::debug!(?mishap, "the scan does not start");
                match mishap {
                    // The adapter was there a moment ago.
                    Mishap::Gone => Err(AdapterProblem::NoAdapter.into()),
                    Mishap::Silent => Err(LinkError::Timeout { what: "scan", after: CALL }),
                    mishap => Err(AdapterProblem::of(&mishap).map_or(
                        LinkError::Unsupported { what: "The Bluetooth adapter cannot scan at the moment.".to_owned() },
                        LinkError::from,
                    )),
                }
            }
        }
    }

    /// What is known now: peripherals, and whether each was heard since this scan began.
    async fn look(&mut self) -> Result<Vec<(Peripheral, Found, bool)>, LinkError> {
        let listed = timeout(CALL, self.adapter.peripherals()).await.map_err(|_| Mishap::Silent);
        let peripherals = match listed.and_then(|listed| listed.map_err(Mishap::from)) {
            Ok(peripherals) => peripherals,
            Err(mishap) => return Err(AdapterProblem::of(&mishap).map_or(LinkError::Lost, LinkError::from)),
        };
        let mut seen = Vec::new();
        for peripheral in peripherals {
            // A device that goes away meanwhile, or lacks what it must have, is no find.
            let Ok(Ok(Some(properties))) = timeout(CALL, peripheral.properties()).await else { continue };
            // BlueZ keeps the RSSI for as long as a scan hears the device; a connected one does not advertise.
            let fresh =
                properties.rssi.is_some() || matches!(timeout(CALL, peripheral.is_connected()).await, Ok(Ok(true)));
            let found = found(&peripheral.id(), properties);
            seen.push((peripheral, found, fresh));
        }
        if seen.is_empty() && !matches!(timeout(CALL, self.adapter.adapter_info()).await, Ok(Ok(_))) {
            return Err(AdapterProblem::NoAdapter.into());
        }
        Ok(seen)
    }

    /// Until there may be news, at the latest at `until`.
    async fn wait(&mut self, until: Instant) -> Result<(), LinkError> {
        let pause = sleep_until(until.min(Instant::now() + LOOK));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return Ok(()),
                event = self.events.next() => match event {
                    Some(CentralEvent::StateUpdate(btleplug::api::CentralState::PoweredOff)) => {
                        return Err(AdapterProblem::Off.into());
                    }
                    // The list is read at the next look: a busy place is full of advertisements.
                    Some(_) => {}
                    None => {
                        (&mut pause).await;
                        return Ok(());
                    }
                },
            }
        }
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        let adapter = self.adapter.clone();
        // The service scans on for as long as a program that asked for it lives.
        let stop = async move {
            if let Ok(Err(error)) = timeout(CALL, adapter.stop_scan()).await {
                tracing::debug!(%error, "the scan does not stop");
            }
        };
        let _ = stack::detach(stop);
    }
}

fn found(id: &PeripheralId, properties: PeripheralProperties) -> Found {
    Found::new(
        properties.advertisement_name.or(properties.local_name),
        address(id, properties.address),
        properties.rssi,
        properties.services,
        &properties.service_data,
    )
}

fn address(id: &PeripheralId, address: BDAddr) -> String {
    if address == BDAddr::default() { id.to_string() } else { address.to_string() }
}
