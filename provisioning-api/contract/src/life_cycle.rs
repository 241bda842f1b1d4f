//! What administrators do with devices over their life.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Device;

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

/// What DPS does with a device's hub and its data when the device registers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ReprovisionPolicy {
    /// It stays at its hub, and its data too: DPS's "never re-provision".
    KeepData,
    /// Another hub may get it, with its data: DPS's "re-provision and migrate data".
    MigrateData,
    /// Another hub may get it, with the enrollment's initial twin: DPS's "re-provision and reset to initial config".
    Reset,
}

/// `POST /v1/devices/{registrationId}/reprovision` (administrators).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReprovisionRequest {
    /// What DPS does when the device registers again.
    pub policy: ReprovisionPolicy,
    /// Why; for the record of events.
    pub reason: String,
}

/// `POST /v1/devices/{registrationId}/move` (administrators): to another DPS instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MoveRequest {
    /// The instance's name.
    pub dps_instance: String,
    /// Why; for the record of events.
    pub reason: String,
}

/// `POST /v1/devices/{registrationId}/decommission` (administrators).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecommissionRequest {
    /// Why; for the record of events.
    pub reason: String,
}

/// `POST /v1/devices/{registrationId}/transfer` (administrators): offers a device to another tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransferRequest {
    /// The tenant's name. Whether there is one of that name is not told.
    pub to_tenant: String,
    /// Until when it may be accepted; at most 90 days from now.
    pub expires_at: Timestamp,
    /// Why; for the record of events, and shown to the other tenant.
    pub reason: String,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum TransferState {
    /// Waits for the other tenant.
    Offered,
    /// The device is the other tenant's.
    Accepted,
    /// The other tenant does not want it.
    Declined,
    /// The old tenant took the offer back, or the device was decommissioned.
    Withdrawn,
    /// Nobody answered in time.
    Expired,
}

/// A device on offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Transfer {
    /// For accepting, declining and taking back.
    pub id: Uuid,
    /// The device.
    pub registration_id: String,
    /// Its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whose it was when it was offered.
    pub from_tenant: String,
    /// To whom.
    pub to_tenant: String,
    /// Why.
    pub reason: String,
    /// How far it is.
    pub state: TransferState,
    /// When it was offered.
    pub offered_at: Timestamp,
    /// Until when it may be accepted.
    pub expires_at: Timestamp,
}

/// `GET /v1/transfers`: the open offers from and to the caller's tenant, oldest first, at most 1,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TransferList {
    /// The offers.
    pub transfers: Vec<Transfer>,
}

/// The answer to a change of one device, or, with `?dryRun=true`, what it would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeviceChange {
    /// The device after the change.
    pub device: Device,
    /// True: nothing was changed.
    pub dry_run: bool,
    /// What follows from it.
    pub effects: Vec<Effect>,
}

/// What follows from a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// Stable, for programs.
    pub kind: EffectKind,
    /// Where, if it is at DPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dps_instance: Option<String>,
    /// For people.
    pub text: String,
    /// False: no later change brings back what this takes.
    pub can_be_undone: bool,
}

/// The kinds of [`Effect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum EffectKind {
    /// The pairing that goes on ends.
    HandoffEnded,
    /// The device must be paired again.
    PairAgain,
    /// The device must register again.
    RegisterAgain,
    /// The registration at the former instance is removed once the device is assigned at the new one.
    RegistrationRemovedLater,
    /// The registration is removed, and the registration ID is barred at the instance.
    Barred,
    /// The device's certificates are marked as revoked.
    CertificatesRevoked,
    /// The offer of the device to another tenant ends.
    OfferEnded,
    /// The device leaves the open work orders.
    OrdersEnded,
    /// The tenant loses sight of the device.
    AccessEnded,
    /// DPS follows another policy when the device registers again.
    PolicySet,
    /// A kind that this build does not know.
    #[serde(other)]
    Unknown,
}

/// What is to be done with many devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum BulkOperation {
    /// To the DPS instance of the request.
    Move,
    /// Out of service.
    Decommission,
}

/// `POST /v1/bulk-changes` (administrators): one change for many devices, at most 200 in a request.
///
/// First with `?dryRun=true`, which counts; then with that count in `expected`, so that nobody does more than was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BulkRequest {
    /// What is done.
    pub operation: BulkOperation,
    /// With which devices; what is said must all be true of them, and something must be said.
    pub select: BulkSelection,
    /// With `move`: where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dps_instance: Option<String>,
    /// How many devices the dry run counted. Required but in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// Why; for the record of events.
    pub reason: String,
}

/// Which devices a [`BulkRequest`] is about. Decommissioned ones never are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BulkSelection {
    /// These; at most 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_ids: Option<Vec<String>>,
    /// Those that have this DPS instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dps_instance: Option<String>,
    /// Those of this model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Those at this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// The answer to [`BulkRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct BulkReport {
    /// True: nothing was changed.
    pub dry_run: bool,
    /// How many devices the selection has (before the change).
    pub count: u64,
    /// How many of them were changed by this request.
    pub changed: u64,
    /// How many are left for the next request, which expects this number.
    pub remaining: u64,
    /// Those that were changed (dry run: that the next request would change).
    pub registration_ids: Vec<String>,
    /// What follows for these, each kind once.
    pub effects: Vec<Effect>,
}
