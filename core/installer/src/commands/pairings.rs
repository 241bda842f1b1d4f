//! The pairings of this process: begun by a page, seen by every page, kept for a while after their end.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{CommandError, Commands, Nothing, labels};
use crate::error::{ErrorCode, PairingError};
use crate::events::{EventLog, PairingEvent, Step};
use crate::pairing::{PairRequest, Paired, Pairing, SecurityFlags, Ssid, WifiCredentials};

/// How many may run at once: a bench of 32, twice.
const MOST_RUNNING: usize = 64;
/// How many are kept, running or not; an ended one has about 5 kB of events.
const MOST_KEPT: usize = 500;

/// `pairing_start`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PairingStart {
    /// Of the device.
    pub label_id: Uuid,
    /// How to reach it, where not as the label says.
    pub link: Option<String>,
    /// For a device that needs a network. The demo's devices get the demo's Wi-Fi without it.
    pub wifi: Option<WifiGiven>,
    /// Pair a device without any protection.
    #[serde(default)]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<bool>"))]
    pub allow_security0: bool,
    /// Pair a device that announces less security than its label.
    #[serde(default)]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<bool>"))]
    pub allow_downgrade: bool,
}

/// A Wi-Fi for the device.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WifiGiven {
    /// Its name, as a person types it or as `wifi_networks` has it.
    pub ssid: String,
    /// The name's bytes in hex, where `wifi_networks` has them.
    pub ssid_hex: Option<String>,
    /// Absent for an open network.
    #[cfg_attr(feature = "typescript", ts(as = "Option<String>"))]
    pub passphrase: Option<SecretString>,
    /// The network does not tell its name.
    #[serde(default)]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<bool>"))]
    pub hidden: bool,
}

/// A pairing of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PairingRef {
    /// Names it as long as this process lives. The journal has another name for it, the hand-off ID.
    pub pairing_id: Uuid,
}

/// How a pairing of this process stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PairingSeen {
    /// Names it.
    pub pairing_id: Uuid,
    /// Of its label.
    pub label_id: Uuid,
    /// The label's name for the device.
    pub name: String,
    /// The link.
    pub link: String,
    /// When it was begun here.
    pub started_at: Timestamp,
    /// How it stands.
    pub state: PairingState,
    /// Part of the demo.
    pub demo: bool,
    /// Names it in the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handoff_id: Option<Uuid>,
    /// The step that runs, or ran last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// Where it was assigned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// Why it ended without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
}

/// How a pairing of this process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PairingState {
    /// Under way.
    Running,
    /// The device is assigned.
    Finished,
    /// It did not work.
    Failed,
    /// A person ended it.
    Cancelled,
}

struct Run {
    seen: PairingSeen,
    log: EventLog,
    cancel: CancellationToken,
}

/// Newest first.
pub(super) struct Pairings {
    runs: Mutex<VecDeque<Run>>,
    running: watch::Sender<usize>,
}

impl Default for Pairings {
    fn default() -> Self {
        Pairings { runs: Mutex::default(), running: watch::Sender::new(0) }
    }
}

impl Drop for Pairings {
    fn drop(&mut self) {
        self.cancel_all();
    }
}

impl Pairings {
    fn with<T>(&self, look: impl FnOnce(&mut VecDeque<Run>) -> T) -> T {
        look(&mut self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn running(&self) -> usize {
        *self.running.borrow()
    }

    /// Whether one over a real radio runs.
    pub(super) fn on_the_radio(&self) -> bool {
        self.with(|runs| {
            runs.iter().any(|run| run.seen.state == PairingState::Running && run.seen.link.starts_with("ble:"))
        })
    }

    /// Labels of devices that were paired here.
    pub(super) fn done(&self, label: Uuid) -> bool {
        self.with(|runs| runs.iter().any(|run| run.seen.label_id == label && run.seen.state == PairingState::Finished))
    }

    /// The label of a pairing of this process, by its name in the journal.
    pub(super) fn label_of(&self, handoff: Uuid) -> Option<Uuid> {
        self.with(|runs| {
            let run = runs.iter().find(|run| run.seen.handoff_id == Some(handoff));
            run.map(|run| run.seen.label_id)
        })
    }

    pub(super) fn cancel_all(&self) {
        self.with(|runs| runs.iter().for_each(|run| run.cancel.cancel()));
    }

    /// Waits until none runs any more.
    pub(super) async fn ended(&self) {
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Forgets those of a demo that has ended; waits until they have.
    pub(super) async fn forget_demo(&self) {
        let of_demo = |run: &Run| run.seen.demo;
        self.with(|runs| runs.iter().filter(|run| of_demo(run)).for_each(|run| run.cancel.cancel()));
        let mut running = self.running.subscribe();
        while self.with(|runs| runs.iter().any(|run| of_demo(run) && run.seen.state == PairingState::Running)) {
            if running.changed().await.is_err() {
                break;
            }
        }
        self.with(|runs| runs.retain(|run| !of_demo(run)));
    }

    fn add(&self, run: Run) -> Result<(), CommandError> {
        self.with(|runs| {
            let running = runs.iter().filter(|run| run.seen.state == PairingState::Running).count();
            if running >= MOST_RUNNING {
                return Err(PairingError::with_detail(
                    ErrorCode::TooManyPairings,
                    format!("{running} run; at most {MOST_RUNNING} do"),
                )
                .into());
            }
            if runs.len() >= MOST_KEPT
                && let Some(oldest) = runs.iter().rposition(|run| run.seen.state != PairingState::Running)
            {
                runs.remove(oldest);
            }
            runs.push_front(run);
            self.running.send_replace(running + 1);
            Ok(())
        })
    }

    /// Notes what an event says. Whether anybody would see a difference.
    fn note(&self, id: Uuid, event: &PairingEvent) -> bool {
        self.with(|runs| {
            let Some(run) = runs.iter_mut().find(|run| run.seen.pairing_id == id) else { return false };
            match event {
                PairingEvent::Started { handoff_id, .. } => run.seen.handoff_id = Some(*handoff_id),
                PairingEvent::StepStarted { step, .. } => run.seen.step = Some(*step),
                _ => return false,
            }
            true
        })
    }

    fn end(&self, id: Uuid, outcome: &Result<Paired, PairingError>) {
        self.with(|runs| {
            if let Some(run) = runs.iter_mut().find(|run| run.seen.pairing_id == id) {
                match outcome {
                    Ok(paired) => {
                        run.seen.state = PairingState::Finished;
                        run.seen.hub = Some(paired.hub.clone());
                    }
                    Err(error) => {
                        let cancelled = error.code == ErrorCode::Cancelled;
                        run.seen.state = if cancelled { PairingState::Cancelled } else { PairingState::Failed };
                        run.seen.code = Some(error.code);
                    }
                }
            }
            let running = runs.iter().filter(|run| run.seen.state == PairingState::Running).count();
            self.running.send_replace(running);
        });
    }
}

impl Commands {
    /// `pairing_start`.
    ///
    /// # Errors
    /// `label-forgotten`, `link-unsupported`, `wifi-invalid`, `too-many-pairings`; `api-token-missing` and whatever else
    /// keeps the provisioning API from being asked at all.
    pub async fn pairing_start(&self, args: PairingStart) -> Result<PairingRef, CommandError> {
        let kept = self.0.labels.get(args.label_id)?;
        let link = labels::link_of(&kept, args.link.as_deref())?;
        let wifi = args.wifi.map(credentials).transpose()?;
        let world = self.0.demo.world();
        let wifi = match &world {
            Some(world) => world.wifi_for(args.label_id, wifi),
            None => wifi,
        };
        let installer = self.installer().await?;
        let name = kept.label.name.clone();
        let request = PairRequest {
            wifi,
            security: SecurityFlags { allow_none: args.allow_security0, allow_downgrade: args.allow_downgrade },
            ..PairRequest::new(kept.label, link.clone())
        };
        let pairing = installer.pair(request);
        let pairing_id = Uuid::new_v4();
        self.0.pairings.add(Run {
            seen: PairingSeen {
                pairing_id,
                label_id: args.label_id,
                name,
                link: link.to_string(),
                started_at: Timestamp::now(),
                state: PairingState::Running,
                demo: world.is_some(),
                handoff_id: None,
                step: None,
                hub: None,
                code: None,
            },
            log: pairing.log().clone(),
            cancel: pairing.canceller(),
        })?;
        self.changed();
        tokio::spawn(follow(std::sync::Arc::downgrade(&self.0), pairing_id, pairing));
        Ok(PairingRef { pairing_id })
    }

    /// `pairing_cancel`.
    ///
    /// # Errors
    /// `pairing-forgotten`.
    pub async fn pairing_cancel(&self, args: PairingRef) -> Result<Nothing, CommandError> {
        self.0.pairings.with(|runs| {
            let run = runs.iter().find(|run| run.seen.pairing_id == args.pairing_id);
            run.map(|run| run.cancel.cancel()).ok_or(ErrorCode::PairingForgotten)
        })?;
        Ok(Nothing {})
    }

    /// `pairings`.
    ///
    /// # Errors
    /// None.
    pub async fn pairings(&self, _: Nothing) -> Result<Vec<PairingSeen>, CommandError> {
        Ok(self.0.pairings.with(|runs| runs.iter().map(|run| run.seen.clone()).collect()))
    }

    /// `pairing_watch`.
    ///
    /// # Errors
    /// `pairing-forgotten`.
    pub fn pairing_watch(&self, args: PairingRef) -> Result<BoxStream<'static, PairingEvent>, CommandError> {
        let log = self.0.pairings.with(|runs| {
            let run = runs.iter().find(|run| run.seen.pairing_id == args.pairing_id);
            run.map(|run| run.log.clone()).ok_or(ErrorCode::PairingForgotten)
        })?;
        Ok(log.subscribe().boxed())
    }
}

/// Holds the pairing until its end. It does not hold the commands: when those go, the pairing is cancelled.
async fn follow(inner: std::sync::Weak<super::Inner>, id: Uuid, pairing: Pairing) {
    let log = pairing.log().clone();
    let mut events = pairing.events();
    let note = |event: &PairingEvent| {
        if let Some(inner) = inner.upgrade()
            && inner.pairings.note(id, event)
        {
            inner.changed.send_modify(|count| *count += 1);
        }
    };
    let outcome = pairing.outcome();
    tokio::pin!(outcome);
    let outcome = loop {
        tokio::select! {
            outcome = &mut outcome => break outcome,
            Some(event) = events.next() => note(&event),
        }
    };
    if let Err(error) = &outcome
        && !log.is_over()
    {
        // The pairing's task broke; whoever watches is told.
        log.emit(PairingEvent::Failed { hint: error.hint().into(), error: error.clone() });
    }
    if let Some(inner) = inner.upgrade() {
        inner.pairings.end(id, &outcome);
        inner.changed.send_modify(|count| *count += 1);
    }
}

fn credentials(given: WifiGiven) -> Result<WifiCredentials, CommandError> {
    let ssid = match &given.ssid_hex {
        None => Ssid::from(given.ssid),
        Some(hex) => Ssid::from(
            hex::decode(hex)
                .map_err(|_| PairingError::with_detail(ErrorCode::WifiInvalid, "the name's bytes are not in hex"))?,
        ),
    };
    let passphrase = given.passphrase.unwrap_or_default();
    let wifi =
        if given.hidden { WifiCredentials::hidden(ssid, passphrase) } else { WifiCredentials::new(ssid, passphrase) };
    wifi.check()?;
    Ok(wifi)
}
