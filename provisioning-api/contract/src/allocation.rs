//! Where devices go: the DPS instances, what is kept about them, and why one is chosen.

use serde::{Deserialize, Serialize};

use crate::{InstanceState, Ring};

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

/// `PATCH /v1/instances/{name}` (administrators): changes an instance while the API runs. What is said here is kept in
/// the database and goes before the configuration file's value. `If-Match` must carry the instance's ETag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceChange {
    /// Whether it takes new devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<InstanceState>,
    /// How many devices it may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// How many scheduled registrations it gets in a minute; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrations_per_minute: Option<u32>,
    /// The credential policy by which the instance issues devices' certificates; empty: it issues none from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_policy: Option<String>,
    /// Forget what was changed before and go back to the file, but for what this request says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_file: bool,
    /// Why; for the record of events.
    pub reason: String,
}

/// `POST /v1/allocations/dry-run` (administrators, auditors): where a device would go, and why. Nothing is reserved.
///
/// With a registration ID the device's own attributes count, and the others must be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DryRunRequest {
    /// A device of the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_id: Option<String>,
    /// Of a device that might be: its tenant. Absent: the caller's, or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Of a device that might be: where its data must stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Of a device that might be: its ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<Ring>,
    /// Of a device that might be: the only instance that it may go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dps_instance: Option<String>,
}

/// The answer to [`DryRunRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// The instance that the device would get; absent: none can take it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The device has its instance already, and keeps it whatever the rules would say today.
    pub settled: bool,
    /// Every instance of the configuration that the caller may know of, by name.
    pub instances: Vec<Considered>,
}

/// One instance of a [`DryRun`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Considered {
    /// Its name.
    pub name: String,
    /// Every rule that it breaks for this device; empty: it could take the device.
    pub ruled_out: Vec<RuledOut>,
    /// Devices that it has, reservations included, without the device in question.
    pub allocated: u64,
    /// Devices that it may have.
    pub capacity: u64,
    /// Parts per million of its capacity that are used: the least of these is chosen, and of equal ones the first name.
    pub used_ppm: u64,
}

/// Why an instance cannot take a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RuledOut {
    /// It is another tenant's.
    OtherTenant,
    /// It is shared, and the device's tenant has an instance of its own for this region and ring.
    Shared,
    /// The device's data must stay in a region, and the instance is in another one or does not say where it is.
    Region,
    /// It is of another ring.
    Ring,
    /// It is draining.
    Draining,
    /// It is down.
    Down,
    /// It has as many devices as it may.
    Full,
    /// The device may only go to another one.
    Pinned,
    /// A rule that this build does not know.
    #[serde(other)]
    Unknown,
}
