//! Telling the API of pairings that ended without it: once when asked, or in the background from an app's start on.

use std::collections::BTreeSet;
use std::time::Duration;

use provisioning_api_contract as wire;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::error::{ErrorCode, PairingError};
use crate::installer::Installer;
use crate::journal::{Entry, State};
use crate::retry::{Delays, Policy, Throttling};

/// How often the journal is looked at: it is a file of this machine, and other processes write it as well.
const LOOK: Duration = Duration::from_secs(15);

/// Between two rounds that did not get through. Within a round the calls have their own retries, and wait for a network.
const ROUNDS: Policy = Policy {
    first: Duration::from_secs(60),
    longest: Duration::from_secs(30 * 60),
    budget: Duration::MAX,
    tries: u32::MAX,
    immediate: false,
    throttling: Throttling::NONE,
    offline: Duration::ZERO,
};

/// What [`Installer::tell`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Pairings that the API now knows of.
    pub told: Vec<Uuid>,
    /// Pairings that it did not take, and why; they stay in the journal.
    pub refused: Vec<(Uuid, ErrorCode)>,
}

/// The API is told in the background as long as this is kept; dropping it ends that at once, also in the middle of a call:
/// what was not written down as told is told again later, which changes nothing at the API.
#[derive(Debug)]
pub struct Telling {
    task: JoinHandle<()>,
    progress: watch::Receiver<Progress>,
}

#[derive(Debug, Clone, Default)]
struct Progress {
    /// Ended, whatever came of them.
    rounds: u64,
    told: Told,
}

impl Telling {
    /// What was told so far.
    #[must_use]
    pub fn told(&self) -> Told {
        self.progress.borrow().told.clone()
    }

    /// Comes back when more was told or refused than [`told`](Self::told) had when this was called last.
    pub async fn changed(&mut self) -> Told {
        let before = self.progress.borrow_and_update().told.clone();
        // The sender lives as long as the task, and the task as long as this.
        let _ = self.progress.wait_for(|progress| progress.told != before).await;
        self.told()
    }

    /// For a command that is about to end: the first round, if it ends within this time; then it is over.
    pub async fn finish(mut self, within: Duration) -> Told {
        let _ = tokio::time::timeout(within, self.progress.wait_for(|progress| progress.rounds > 0)).await;
        self.told()
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Installer {
    /// Tells the API of every pairing that ended while it could not be reached.
    ///
    /// # Errors
    /// `api-not-set`, `journal-…`, and what keeps the API from being told anything at all.
    pub async fn tell(&self) -> Result<Told, PairingError> {
        let mut done = Told::default();
        self.tell_all(&mut BTreeSet::new(), &mut done).await?;
        Ok(done)
    }

    /// As [`tell`](Self::tell), by itself: now, when this machine's network is back, and whenever the journal has something
    /// new to tell. One for a process is enough; several, and other processes, do not tell anything twice.
    ///
    /// Must be called within a tokio runtime. Without an API nothing happens.
    #[must_use = "dropping it ends it"]
    pub fn tell_in_background(&self) -> Telling {
        let (sender, progress) = watch::channel(Progress::default());
        let task = tokio::spawn(keep_telling(self.clone(), sender));
        Telling { task, progress }
    }

    /// One round. What was refused before is not asked again.
    async fn tell_all(&self, refused: &mut BTreeSet<Uuid>, done: &mut Told) -> Result<(), PairingError> {
        let api = self.api.clone().ok_or(ErrorCode::ApiNotSet)?;
        for entry in self.journal.untold().await? {
            let id = entry.handoff_id;
            let (Some(registration_id), Some((outcome, state))) = (&entry.registration_id, outcome(&entry)) else {
                continue;
            };
            if refused.contains(&id) {
                continue;
            }
            let request = wire::OutcomeRequest { handoff_id: id, outcome };
            // Locked for a call, not for the waiting in between: a pairing that begins meanwhile goes first, and tells it
            // itself.
            let once = || async {
                let Ok(_lock) = self.journal.lock(&crate::journal::device_key(registration_id)) else {
                    return Ok(false);
                };
                if self.journal.show(id).await?.recorded_at.is_some() {
                    return Ok(false);
                }
                api.outcome(registration_id, &request).await?;
                self.journal.recorded(id, state).await?;
                Ok(true)
            };
            match self.endpoint.call(|_| {}, once).await {
                Ok(true) => done.told.push(id),
                Ok(false) => {}
                Err(error) => match error.code {
                    ErrorCode::DeviceUnknown | ErrorCode::HandoffConflict | ErrorCode::NotAllocated => {
                        refused.insert(id);
                        done.refused.push((id, error.code));
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }
}

async fn keep_telling(installer: Installer, progress: watch::Sender<Progress>) {
    let delays = || Delays::of(ROUNDS, installer.endpoint.dice());
    let (mut refused, mut between) = (BTreeSet::new(), delays());
    loop {
        let mut done = Told::default();
        let round = installer.tell_all(&mut refused, &mut done).await;
        progress.send_modify(|progress| {
            progress.rounds += 1;
            progress.told.told.extend(done.told);
            progress.told.refused.extend(done.refused);
        });
        let pause = match round {
            Ok(()) => {
                between = delays();
                LOOK
            }
            Err(error) if error.code == ErrorCode::ApiNotSet => return,
            // It was waited for the network already.
            Err(error) if error.code == ErrorCode::Offline => continue,
            Err(error) => {
                tracing::debug!(code = %error.code, "the provisioning API cannot be told yet");
                between.next().unwrap_or(ROUNDS.longest)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

fn outcome(entry: &Entry) -> Option<(wire::Outcome, State)> {
    let said = entry.device_said.as_ref()?;
    match (said.phase.as_str(), &said.hub, &said.device_id) {
        ("assigned", Some(hub), Some(device_id)) => Some((
            wire::Outcome::Assigned {
                assigned_hub: hub.clone(),
                device_id: device_id.clone(),
                substatus: said.substatus.clone(),
            },
            State::Assigned,
        )),
        ("failed", ..) => {
            let code = said.code.clone().unwrap_or_default();
            Some((wire::Outcome::Failed { code, text: said.text.clone().unwrap_or_default() }, State::Failed))
        }
        _ => None,
    }
}
