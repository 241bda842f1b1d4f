//! A running pairing.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use lowtouch_installer as core;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::events::seconds;
use crate::runtime::Tasks;
use crate::{Attestation, DeviceError, Label, PairingError, PairingEvent, WifiCredentials};

/// What is to be paired, and how.
#[derive(uniffi::Record)]
pub struct PairingRequest {
    /// The device's label.
    pub label: Arc<Label>,
    /// Another link than the label's own: `ble://NAME`, `ble://ADDRESS`, `http://192.168.4.1`.
    #[uniffi(default = None)]
    pub link: Option<String>,
    /// Given to the device if it says that it needs a network.
    #[uniffi(default = None)]
    pub wifi: Option<Arc<WifiCredentials>>,
    /// Security 0 (no protection at all) is allowed.
    #[uniffi(default = false)]
    pub allow_no_security: bool,
    /// A device that announces less security than its label is allowed.
    #[uniffi(default = false)]
    pub allow_downgrade: bool,
}

/// A paired device. Round trips and bytes are those of the link.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct Paired {
    /// The idempotency key of the pairing.
    pub handoff_id: Uuid,
    /// As on the label.
    pub registration_id: String,
    /// The link.
    pub link: String,
    /// How the device attests.
    pub attestation: Attestation,
    /// The DPS instance's name.
    pub dps_instance: String,
    /// `0ne…`.
    pub id_scope: String,
    /// The assigned hub's host name.
    pub hub: String,
    /// The hub's name for the device.
    pub device_id: String,
    /// DPS's substatus, as DPS spells it.
    pub substatus: Option<String>,
    /// Link exchanges until the commit was acknowledged.
    pub round_trips_to_commit: u64,
    /// Link exchanges of the whole pairing.
    pub round_trips: u64,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of answers.
    pub bytes_received: u64,
    /// From start to end.
    pub took: Duration,
}

impl From<core::pairing::Paired> for Paired {
    fn from(paired: core::pairing::Paired) -> Self {
        Self {
            handoff_id: paired.handoff_id,
            registration_id: paired.registration_id,
            link: paired.link,
            attestation: paired.attestation.into(),
            dps_instance: paired.dps_instance,
            id_scope: paired.id_scope,
            hub: paired.hub,
            device_id: paired.device_id,
            substatus: paired.substatus,
            round_trips_to_commit: paired.round_trips_to_commit,
            round_trips: paired.round_trips,
            bytes_sent: paired.bytes_sent,
            bytes_received: paired.bytes_received,
            took: seconds(paired.seconds),
        }
    }
}

/// A device on its network.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct NetworkSet {
    /// The label's name for the device.
    pub name: String,
    /// The link.
    pub link: String,
    /// The network's name, with what could deceive a reader escaped.
    pub ssid: String,
    /// The device's address there, if it said so.
    pub ip: Option<String>,
    /// Link exchanges.
    pub round_trips: u64,
    /// From start to end.
    pub took: Duration,
}

impl From<core::pairing::NetworkSet> for NetworkSet {
    fn from(set: core::pairing::NetworkSet) -> Self {
        Self {
            name: set.name,
            link: set.link,
            ssid: set.ssid,
            ip: set.ip,
            round_trips: set.round_trips,
            took: seconds(set.seconds),
        }
    }
}

/// What a pairing and a Wi-Fi-only job have in common.
struct Job<T> {
    events: Mutex<core::Events>,
    cancel: CancellationToken,
    outcome: watch::Receiver<Option<Result<T, core::PairingError>>>,
    /// The threads that it runs on.
    _tasks: Arc<Tasks>,
}

impl<T: Clone + Send + Sync + 'static> Job<T> {
    /// Must be called on the core's threads.
    fn new(tasks: Arc<Tasks>, pairing: core::pairing::Pairing<T>) -> Result<Self, core::PairingError> {
        let events = Mutex::new(pairing.events());
        let cancel = pairing.canceller();
        let (ended, outcome) = watch::channel(None);
        let (closing, cancelled) = (tasks.closing().clone(), cancel.clone());
        tasks.job(async move {
            let outcome = pairing.outcome();
            tokio::pin!(outcome);
            let outcome = tokio::select! {
                biased;
                () = closing.cancelled() => {
                    cancelled.cancel();
                    outcome.await
                }
                outcome = &mut outcome => outcome,
            };
            ended.send_replace(Some(outcome));
        })?;
        Ok(Self { events, cancel, outcome, _tasks: tasks })
    }

    async fn next_event(&self) -> Option<PairingEvent> {
        self.events.lock().await.next().await.map(PairingEvent::from)
    }

    async fn next_events(&self) -> Vec<PairingEvent> {
        let mut events = self.events.lock().await;
        let Some(first) = events.next().await else { return Vec::new() };
        let mut taken = vec![first.into()];
        while let Some(Some(event)) = events.next().now_or_never() {
            taken.push(event.into());
        }
        taken
    }

    async fn outcome(&self) -> Result<T, core::PairingError> {
        let mut outcome = self.outcome.clone();
        let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        outcome.unwrap_or_else(|| Err(core::ErrorCode::Cancelled.into()))
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// A running pairing. When the object is closed or forgotten, it is cancelled.
#[derive(uniffi::Object)]
pub struct Pairing(Job<core::pairing::Paired>);

impl Pairing {
    pub(crate) fn new(tasks: Arc<Tasks>, pairing: core::pairing::Pairing) -> Result<Arc<Self>, core::PairingError> {
        Ok(Arc::new(Self(Job::new(tasks, pairing)?)))
    }
}

#[uniffi::export]
impl Pairing {
    /// The next event, from the first one on; null after the last one. One caller at a time gets it.
    pub async fn next_event(&self) -> Option<PairingEvent> {
        self.0.next_event().await
    }

    /// As [`next_event`](Self::next_event), and all that are there with it, in one call; empty after the last one.
    pub async fn next_events(&self) -> Vec<PairingEvent> {
        self.0.next_events().await
    }

    /// Stops at the next possible moment. What was begun is in the journal, and the next pairing of the same label
    /// continues there.
    pub fn cancel(&self) {
        self.0.cancel.cancel();
    }

    /// Waits for the end. May be called more than once.
    pub async fn outcome(&self) -> Result<Paired, PairingError> {
        Ok(self.0.outcome().await?.into())
    }
}

/// A running job that puts a device on Wi-Fi and does nothing else. When the object is closed or forgotten, it is cancelled.
#[derive(uniffi::Object)]
pub struct NetworkJob(Job<core::pairing::NetworkSet>);

impl NetworkJob {
    pub(crate) fn new(
        tasks: Arc<Tasks>,
        job: core::pairing::Pairing<core::pairing::NetworkSet>,
    ) -> Result<Arc<Self>, core::PairingError> {
        Ok(Arc::new(Self(Job::new(tasks, job)?)))
    }
}

#[uniffi::export]
impl NetworkJob {
    /// The next event, from the first one on; null after the last one. One caller at a time gets it.
    pub async fn next_event(&self) -> Option<PairingEvent> {
        self.0.next_event().await
    }

    /// As [`next_event`](Self::next_event), and all that are there with it, in one call; empty after the last one.
    pub async fn next_events(&self) -> Vec<PairingEvent> {
        self.0.next_events().await
    }

    /// Stops at the next possible moment.
    pub fn cancel(&self) {
        self.0.cancel.cancel();
    }

    /// Waits for the end. May be called more than once.
    pub async fn outcome(&self) -> Result<NetworkSet, DeviceError> {
        Ok(self.0.outcome().await?.into())
    }
}
