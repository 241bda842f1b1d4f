//! The durable record of every pairing.

use std::time::SystemTime;

use lowtouch_installer as core;
use uuid::Uuid;

use crate::failure::mirror;
use crate::{Attestation, DevicePhase, ErrorCode, Step};

mirror! {
    /// How a pairing stands.
    EntryState of core::journal::State {
        /// Under way or interrupted; the next run for the same label finishes it.
        Open,
        /// The device is registered, and the API knows.
        Assigned,
        /// The device said that it failed; the next run begins anew.
        Failed,
    }
}

/// One pairing. What the API gave, what the device acknowledged and what DPS said are three facts.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct JournalEntry {
    /// The idempotency key of the whole pairing.
    pub handoff_id: Uuid,
    /// The label's name for the device.
    pub name: String,
    /// The link of the last run.
    pub link: String,
    /// When the first run began.
    pub started_at: SystemTime,
    /// The last write.
    pub updated_at: SystemTime,
    /// How often it was run.
    pub runs: u32,
    /// How it stands.
    pub state: EntryState,
    /// As the device said it.
    pub registration_id: Option<String>,
    /// As the device said it.
    pub model: Option<String>,
    /// As the device said it.
    pub firmware: Option<String>,
    /// What the API gave.
    pub given: Option<Given>,
    /// What the device acknowledged.
    pub acknowledged: Acknowledged,
    /// What the device said in the end.
    pub device_said: Option<DeviceSaid>,
    /// What DPS said, asked through the API.
    pub dps_said: Option<DpsSaid>,
    /// When the API was told how it ended.
    pub recorded_at: Option<SystemTime>,
    /// The last run's error, if it ended in one.
    pub error: Option<EntryError>,
}

/// What the API gave.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Given {
    /// When.
    pub at: SystemTime,
    /// The DPS instance's name.
    pub dps_instance: String,
    /// `0ne…`.
    pub id_scope: String,
    /// Host or host:port.
    pub global_device_endpoint: String,
    /// How the device attests.
    pub attestation: Attestation,
}

/// What the device acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Acknowledged {
    /// SHA-256 of the configuration in hex.
    pub digest: Option<String>,
    /// When it was staged.
    pub staged_at: Option<SystemTime>,
    /// When the commit was about to be sent.
    pub committing_at: Option<SystemTime>,
    /// When it was committed.
    pub committed_at: Option<SystemTime>,
}

/// What the device said in the end.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct DeviceSaid {
    /// When.
    pub at: SystemTime,
    /// `Assigned` or `Failed`.
    pub phase: DevicePhase,
    /// The hub.
    pub hub: Option<String>,
    /// The hub's name for the device.
    pub device_id: Option<String>,
    /// DPS's substatus.
    pub substatus: Option<String>,
    /// The failure's code.
    pub code: Option<String>,
    /// The device's own words.
    pub text: Option<String>,
    /// Whether the device went back to its earlier configuration.
    pub rolled_back: Option<bool>,
}

/// What DPS said.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct DpsSaid {
    /// When.
    pub at: SystemTime,
    /// As DPS spells it.
    pub status: String,
    /// The hub.
    pub hub: Option<String>,
    /// The hub's name for the device.
    pub device_id: Option<String>,
}

/// How the last run ended, if in an error.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct EntryError {
    /// When.
    pub at: SystemTime,
    /// The code.
    pub code: ErrorCode,
    /// The step.
    pub step: Option<Step>,
}

impl From<core::journal::Entry> for JournalEntry {
    fn from(entry: core::journal::Entry) -> Self {
        Self {
            handoff_id: entry.handoff_id,
            name: entry.name,
            link: entry.link,
            started_at: entry.started_at.into(),
            updated_at: entry.updated_at.into(),
            runs: entry.runs,
            state: entry.state.into(),
            registration_id: entry.registration_id,
            model: entry.model,
            firmware: entry.firmware,
            given: entry.given.map(|given| Given {
                at: given.at.into(),
                dps_instance: given.dps_instance,
                id_scope: given.id_scope,
                global_device_endpoint: given.global_device_endpoint,
                attestation: given.attestation.into(),
            }),
            acknowledged: Acknowledged {
                digest: entry.acknowledged.digest,
                staged_at: entry.acknowledged.staged_at.map(SystemTime::from),
                committing_at: entry.acknowledged.committing_at.map(SystemTime::from),
                committed_at: entry.acknowledged.committed_at.map(SystemTime::from),
            },
            device_said: entry.device_said.map(|said| DeviceSaid {
                at: said.at.into(),
                phase: match said.phase.as_str() {
                    "assigned" => DevicePhase::Assigned,
                    "failed" => DevicePhase::Failed,
                    _ => DevicePhase::Unknown,
                },
                hub: said.hub,
                device_id: said.device_id,
                substatus: said.substatus,
                code: said.code,
                text: said.text,
                rolled_back: said.rolled_back,
            }),
            dps_said: entry.dps_said.map(|said| DpsSaid {
                at: said.at.into(),
                status: said.status,
                hub: said.hub,
                device_id: said.device_id,
            }),
            recorded_at: entry.recorded_at.map(SystemTime::from),
            error: entry.error.map(|error| EntryError {
                at: error.at.into(),
                code: core::ErrorCode::of(&error.code).map_or(ErrorCode::Unknown, ErrorCode::from),
                step: error.step.as_deref().and_then(core::Step::of).map(Step::from),
            }),
        }
    }
}

/// What came of telling the API of pairings that ended without it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Told {
    /// Pairings that the API now knows of.
    pub told: Vec<Uuid>,
    /// Pairings that it did not take; they stay in the journal.
    pub refused: Vec<Untellable>,
}

/// A pairing that the API did not take.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Untellable {
    /// Which.
    pub handoff_id: Uuid,
    /// Why.
    pub code: ErrorCode,
}

impl From<core::Told> for Told {
    fn from(told: core::Told) -> Self {
        let refused = told.refused.into_iter().map(|(handoff_id, code)| Untellable { handoff_id, code: code.into() });
        Self { told: told.told, refused: refused.collect() }
    }
}
