//! Everything that the emulator remembers, behind one lock, in memory only.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rand::random;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::allocation;
use crate::config::Hub;
use crate::emulator::HubDevice;
use crate::enrollment::{Enrollment, Kind, new_etag};
use crate::error_body::azure_time;

/// After this long an assignment is done even if nobody polls.
const ASSIGNING_TAKES_AT_MOST: SignedDuration = SignedDuration::from_secs(10);

/// The state of one DPS instance and its hubs. IDs are case-insensitive: the maps' keys are in lower case.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) individuals: BTreeMap<String, Enrollment>,
    pub(crate) groups: BTreeMap<String, Enrollment>,
    pub(crate) registrations: BTreeMap<String, Registration>,
    /// Operation ID → registration ID in lower case.
    operations: HashMap<String, String>,
    hub_devices: BTreeMap<(String, String), HubDevice>,
    /// The key that a TPM was given last to prove itself with, by registration ID in lower case.
    pub(crate) tpm_keys: HashMap<String, [u8; 32]>,
    recent_registers: VecDeque<Timestamp>,
    recent_polls: HashMap<String, VecDeque<Timestamp>>,
}

/// [`State`] behind its lock.
#[derive(Default)]
pub(crate) struct SharedState(Mutex<State>);

impl SharedState {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A device's registration.
#[derive(Clone)]
pub(crate) struct Registration {
    pub(crate) registration_id: String,
    /// The enrollment group that let it in; `None`: its individual enrollment.
    pub(crate) group: Option<String>,
    pub(crate) etag: String,
    attestation: &'static str,
    created: Timestamp,
    updated: Timestamp,
    outcome: Outcome,
    /// What was issued with it: DER, leaf first.
    issued: Vec<Vec<u8>>,
    /// The hub's key for a TPM, and its blob.
    hub_key: Option<([u8; 32], Vec<u8>)>,
    /// Set while the operation goes on; the outcome is then not to be seen yet.
    pending: Option<Pending>,
}

#[derive(Clone)]
struct Pending {
    polls_left: u32,
    since: Timestamp,
    /// Where the device stood before.
    previous_hub: Option<String>,
}

/// How a registration ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Assigned { hub: String, device_id: String, substatus: &'static str },
    Failed { error_code: u32, message: String },
    Disabled,
}

/// Who registers, as the attestation settled it.
pub(crate) struct Registering<'a> {
    pub(crate) registration_id: &'a str,
    pub(crate) enrollment: &'a Enrollment,
    pub(crate) kind: Kind,
    /// `symmetricKey`, `x509` or `tpm`.
    pub(crate) attestation: &'static str,
    /// The key that a TPM signs with at its hub, and the blob that brings it there.
    pub(crate) hub_key: Option<([u8; 32], Vec<u8>)>,
    /// The certificate that it gets when it is assigned: DER, leaf first; empty: it asked for none.
    pub(crate) issued: Vec<Vec<u8>>,
}

impl State {
    pub(crate) fn enrollments(&self, kind: Kind) -> &BTreeMap<String, Enrollment> {
        match kind {
            Kind::Individual => &self.individuals,
            Kind::Group => &self.groups,
        }
    }

    pub(crate) fn enrollments_mut(&mut self, kind: Kind) -> &mut BTreeMap<String, Enrollment> {
        match kind {
            Kind::Individual => &mut self.individuals,
            Kind::Group => &mut self.groups,
        }
    }

    /// Takes an enrollment away with the registrations that it let in. The devices stay in their hubs, as they do in Azure.
    pub(crate) fn remove_enrollment(&mut self, kind: Kind, key: &str) {
        self.enrollments_mut(kind).remove(key);
        match kind {
            Kind::Individual => {
                if self.registrations.get(key).is_some_and(|registration| registration.group.is_none()) {
                    self.remove_registration(key);
                }
            }
            Kind::Group => {
                let of_group = |registration: &Registration| {
                    registration.group.as_ref().is_some_and(|group| group.eq_ignore_ascii_case(key))
                };
                let gone: Vec<_> =
                    self.registrations.iter().filter(|(_, one)| of_group(one)).map(|(key, _)| key.clone()).collect();
                for key in gone {
                    self.remove_registration(&key);
                }
            }
        }
    }

    pub(crate) fn remove_registration(&mut self, key: &str) {
        self.tpm_keys.remove(key);
        self.registrations.remove(key);
        self.operations.retain(|_, registration| registration != key);
    }

    /// Starts a registration and gives its operation ID. `failure` makes it end badly.
    pub(crate) fn register(
        &mut self,
        who: &Registering<'_>,
        hubs: &[Hub],
        polls: u32,
        failure: Option<(u32, String)>,
        now: Timestamp,
    ) -> String {
        let key = who.registration_id.to_ascii_lowercase();
        self.settle(&key, now, true);
        let before = self.registrations.get(&key).cloned();
        let previous_hub = before.as_ref().and_then(|before| before.assigned_hub()).map(str::to_owned);
        let outcome = outcome(who, &key, hubs, before.as_ref(), failure);
        self.registrations.insert(
            key.clone(),
            Registration {
                registration_id: who.registration_id.to_owned(),
                group: (who.kind == Kind::Group).then(|| who.enrollment.id.clone()),
                etag: registration_etag(),
                attestation: who.attestation,
                created: before.map_or(now, |before| before.created),
                updated: now,
                hub_key: who.hub_key.clone().filter(|_| matches!(outcome, Outcome::Assigned { .. })),
                issued: if matches!(outcome, Outcome::Assigned { .. }) { who.issued.clone() } else { Vec::new() },
                outcome,
                pending: Some(Pending { polls_left: polls, since: now, previous_hub }),
            },
        );
        let operation_id = format!("4.{:016x}.{}", random::<u64>(), Uuid::new_v4());
        // The operations of one device replace each other, so that the map does not grow without end.
        self.operations.retain(|_, registration| *registration != key);
        self.operations.insert(operation_id.clone(), key);
        operation_id
    }

    /// The registration behind an operation ID of this device, after one more poll.
    pub(crate) fn poll(&mut self, registration_id: &str, operation_id: &str, now: Timestamp) -> Option<&Registration> {
        let key = registration_id.to_ascii_lowercase();
        if self.operations.get(operation_id) != Some(&key) {
            return None;
        }
        self.settle(&key, now, false);
        self.registrations.get(&key)
    }

    /// The registration as it stands; asking for it counts as a poll too, so that a device that lost its operation ID sees it end.
    pub(crate) fn look_up(&mut self, registration_id: &str, now: Timestamp) -> Option<&Registration> {
        let key = registration_id.to_ascii_lowercase();
        self.settle(&key, now, false);
        self.registrations.get(&key)
    }

    /// Ends every operation whose time is over.
    pub(crate) fn settle_all(&mut self, now: Timestamp) {
        let overdue = |registration: &Registration| {
            registration
                .pending
                .as_ref()
                .is_some_and(|pending| now.duration_since(pending.since) >= ASSIGNING_TAKES_AT_MOST)
        };
        let keys: Vec<_> =
            self.registrations.iter().filter(|(_, one)| overdue(one)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.settle(&key, now, true);
        }
    }

    pub(crate) fn hub_devices(&self) -> Vec<HubDevice> {
        self.hub_devices.values().cloned().collect()
    }

    /// Counts one registration; the answer is in how many seconds to come again if it is one too many.
    pub(crate) fn throttle_register(&mut self, per_minute: u32, now: Timestamp) -> Option<u64> {
        throttle(&mut self.recent_registers, per_minute, SignedDuration::from_mins(1), now)
    }

    /// Counts one poll of this device, likewise.
    pub(crate) fn throttle_poll(&mut self, registration_id: &str, per_10_s: u32, now: Timestamp) -> Option<u64> {
        let recent = self.recent_polls.entry(registration_id.to_ascii_lowercase()).or_default();
        throttle(recent, per_10_s, SignedDuration::from_secs(10), now)
    }

    /// Counts a poll down, and when it was the last one (or `at_once`) makes the outcome true: in the registration and in the hubs.
    fn settle(&mut self, key: &str, now: Timestamp, at_once: bool) {
        let Some(registration) = self.registrations.get_mut(key) else { return };
        let Some(pending) = &mut registration.pending else { return };
        let overdue = now.duration_since(pending.since) >= ASSIGNING_TAKES_AT_MOST;
        if pending.polls_left > 0 && !overdue && !at_once {
            pending.polls_left -= 1;
            return;
        }
        let previous_hub = pending.previous_hub.take();
        registration.pending = None;
        registration.updated = now;
        registration.etag = registration_etag();
        if let Outcome::Assigned { hub, device_id, .. } = &registration.outcome {
            if let Some(previous_hub) = previous_hub.filter(|previous| previous != hub) {
                self.hub_devices.remove(&(previous_hub, device_id.clone()));
            }
            let device = HubDevice {
                hub: hub.clone(),
                device_id: device_id.clone(),
                registration_id: registration.registration_id.clone(),
                certificate: registration.issued.first().cloned(),
                tpm_key: registration.hub_key.as_ref().map(|(key, _)| *key),
            };
            self.hub_devices.insert((hub.clone(), device_id.clone()), device);
        }
    }
}

impl Registration {
    /// `assigning`, `assigned`, `failed` or `disabled`.
    pub(crate) fn status(&self) -> &'static str {
        match (&self.pending, &self.outcome) {
            (Some(_), _) => "assigning",
            (None, Outcome::Assigned { .. }) => "assigned",
            (None, Outcome::Failed { .. }) => "failed",
            (None, Outcome::Disabled) => "disabled",
        }
    }

    /// As both APIs show it.
    pub(crate) fn to_json(&self) -> Value {
        let mut json = json!({
            "registrationId": self.registration_id,
            "createdDateTimeUtc": azure_time(self.created),
            "status": self.status(),
            "lastUpdatedDateTimeUtc": azure_time(self.updated),
            "etag": self.etag,
        });
        json[self.attestation] = match &self.group {
            Some(group) => json!({"enrollmentGroupId": group}),
            None => json!({}),
        };
        if self.pending.is_none() {
            match &self.outcome {
                Outcome::Assigned { hub, device_id, substatus } => {
                    json["assignedHub"] = hub.as_str().into();
                    json["deviceId"] = device_id.as_str().into();
                    json["substatus"] = (*substatus).into();
                }
                Outcome::Failed { error_code, message } => {
                    json["errorCode"] = (*error_code).into();
                    json["errorMessage"] = message.as_str().into();
                }
                Outcome::Disabled => {}
            }
        }
        json
    }

    /// As the device that asks for its own operation sees it.
    pub(crate) fn to_json_for_device(&self) -> Value {
        let mut json = self.to_json();
        if self.pending.is_none() && !self.issued.is_empty() {
            json["issuedCertificateChain"] = self.issued.iter().map(|der| STANDARD.encode(der)).collect();
        }
        if let (None, Some((_, blob))) = (&self.pending, &self.hub_key) {
            json["tpm"] = json!({"authenticationKey": STANDARD.encode(blob)});
        }
        json
    }

    fn assigned_hub(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Assigned { hub, .. } => Some(hub),
            _ => None,
        }
    }
}

fn outcome(
    who: &Registering<'_>,
    key: &str,
    hubs: &[Hub],
    before: Option<&Registration>,
    failure: Option<(u32, String)>,
) -> Outcome {
    if !who.enrollment.enabled {
        return Outcome::Disabled;
    }
    if let Some((error_code, message)) = failure {
        return Outcome::Failed { error_code, message };
    }
    let device_id = who.enrollment.device_id.clone().unwrap_or_else(|| who.registration_id.to_owned());
    let policy = who.enrollment.reprovision;
    if let Some(Outcome::Assigned { hub, substatus, device_id }) = before.map(|before| &before.outcome)
        && !policy.update_hub_assignment
    {
        return Outcome::Assigned { hub: hub.clone(), device_id: device_id.clone(), substatus };
    }
    let current = before.and_then(Registration::assigned_hub);
    match allocation::choose(hubs, &who.enrollment.allocation, key, current) {
        None => Outcome::Failed { error_code: 400_209, message: "No IoT hub is linked for this enrollment.".into() },
        Some(hub) => {
            let substatus = match before.map(|before| &before.outcome) {
                Some(Outcome::Assigned { hub: before, substatus, .. }) if *before == hub.host_name => substatus,
                Some(Outcome::Assigned { .. }) if policy.migrate_device_data => "deviceDataMigrated",
                Some(Outcome::Assigned { .. }) => "deviceDataReset",
                _ => "initialAssignment",
            };
            Outcome::Assigned { hub: hub.host_name.clone(), device_id, substatus }
        }
    }
}

/// A registration's ETag is one of Azure's, quotes and all, in base64.
fn registration_etag() -> String {
    STANDARD.encode(new_etag())
}

fn throttle(recent: &mut VecDeque<Timestamp>, limit: u32, window: SignedDuration, now: Timestamp) -> Option<u64> {
    while recent.front().is_some_and(|first| now.duration_since(*first) >= window) {
        recent.pop_front();
    }
    if recent.len() < limit as usize {
        recent.push_back(now);
        return None;
    }
    let free_at = recent.front().map_or(window, |first| window - now.duration_since(*first));
    Some(u64::try_from(free_at.as_millis()).unwrap_or_default().div_ceil(1000).max(1))
}
