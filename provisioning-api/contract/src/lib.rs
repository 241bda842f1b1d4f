//! Wire types of the provisioning API under `/v1`, the one place that the service and its clients share.
//!
//! The service describes itself from these types (`provisioning-api/openapi.json`). Bodies are JSON in camelCase; times
//! are RFC 3339 in UTC; binary values are standard base64. Errors are problem details (RFC 9457), [`Problem`].

mod allocation;
mod events;
mod imports;
mod life_cycle;
mod sign_in;
mod work_orders;

mod authorities;

pub use authorities::{AuthorityInfo, AuthorityList, AuthorityState};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use allocation::{Considered, DryRun, DryRunRequest, InstanceChange, RuledOut};
pub use events::{Event, EventList, EventOrder};
pub use imports::{
    ImportProblem, ImportProblemCode, ImportProblemList, ImportReport, ImportSchedule, ImportSlot, ImportState,
};
pub use life_cycle::{
    BulkOperation, BulkReport, BulkRequest, BulkSelection, DecommissionRequest, DeviceChange, Effect, EffectKind,
    MoveRequest, ReprovisionPolicy, ReprovisionRequest, Transfer, TransferList, TransferRequest, TransferState,
};
pub use sign_in::{Invite, InviteList, InviteRequest, Me, NewInvite, Role};
pub use work_orders::{
    AnyOf, NewWorkOrder, OFFLINE_INFO, OfflineDevice, OfflineOrder, OfflineRequest, OnlineDevice, OnlineReason,
    OpeningHours, OrderDevice, OrderState, SealedDevice, WorkOrder, WorkOrderChange, WorkOrderList, offline_aad,
};

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

/// How a device proves itself to DPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Attestation {
    /// A client certificate for a key that the device made.
    X509,
    /// A key derived for this one device from the enrollment group's key.
    SymmetricKey,
    /// A TPM 2.0 endorsement key.
    Tpm,
}

/// `POST /v1/devices/{registrationId}/allocation`: which DPS instance does this device belong to?
///
/// The same device always gets the same answer until an administrator moves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllocationRequest {
    /// The app's ID for this pairing, and the idempotency key of everything that follows from it.
    pub handoff_id: Uuid,
    /// What the device can do, best first. The answer is one of them.
    pub attestations: Vec<Attestation>,
    /// The device's own word for its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The device's firmware version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// The keys of the device's TPM; without them its TPM is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<TpmKeys>,
    /// The device can ask DPS for the certificate that it uses at its hub.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub certificate_from_dps: bool,
}

/// The public keys by which DPS knows a TPM 2.0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TpmKeys {
    /// The endorsement key: TPM2B_PUBLIC in base64. Where the inventory has one, it must be the same.
    pub endorsement_key: String,
    /// The storage root key: TPM2B_PUBLIC in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_root_key: Option<String>,
}

/// The answer to [`AllocationRequest`]. The enrollment already exists in the DPS instance when it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// As the inventory spells it.
    pub registration_id: String,
    /// The name of the DPS instance.
    pub dps_instance: String,
    /// The instance's ID scope, `0ne…`.
    pub id_scope: String,
    /// Host or host:port that the device registers with.
    pub global_device_endpoint: String,
    /// Certificates (PEM) that the device must trust for the endpoint beside the public roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_ca: Option<String>,
    /// The chosen attestation; next ask for `certificate` or `symmetric-key` accordingly.
    pub attestation: Attestation,
    /// When this device was first allocated.
    pub allocated_at: Timestamp,
    /// The owner's public key (SubjectPublicKeyInfo DER in base64) that the device keeps from this hand-off on. Absent: the
    /// API is older than owners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_public_key: Option<String>,
    /// SHA-256 (base64) of the keys of owners before this one, any of which the device may still keep: the API signs with
    /// that one, and `owner_public_key` takes its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_owner_key_ids: Vec<String>,
    /// The device's slot: its hand-off is not to begin before it. Absent: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// The seconds until then by the API's clock, for an app whose own clock is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_in_s: Option<u64>,
    /// The device is to ask DPS for the certificate that it uses at its hub, if it can; what `attestation` gives it is for DPS only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub certificate_from_dps: bool,
}

/// `POST /v1/devices/{registrationId}/certificate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRequest {
    /// The pairing that needs it.
    pub handoff_id: Uuid,
    /// DER PKCS#10 in base64; its common name must be the registration ID.
    pub csr: String,
}

/// `POST /v1/devices/{registrationId}/certificate/renewal`, by the device over TLS with the certificate that is renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRenewalRequest {
    /// DER PKCS#10 in base64; its common name must be the registration ID. Of the same key or of a new one.
    pub csr: String,
}

/// The answer to [`CertificateRequest`] and [`CertificateRenewalRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CertificateResponse {
    /// DER in base64, leaf first, root left out.
    pub certificate_chain: Vec<String>,
    /// When the leaf ends.
    pub not_after: Timestamp,
}

/// `POST /v1/devices/{registrationId}/symmetric-key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SymmetricKeyRequest {
    /// The pairing that needs it.
    pub handoff_id: Uuid,
}

/// The answer to [`SymmetricKeyRequest`]. Not `Debug`: it is a secret.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SymmetricKeyResponse {
    /// The device's own key in base64: HMAC-SHA256 of the registration ID under the group key, which never leaves the API.
    pub key: String,
}

/// What an owner's signature allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum OwnerOperation {
    /// To give an owned device another configuration.
    Stage,
    /// To take configuration, credential and owner from it over the air.
    Reset,
}

/// `POST /v1/devices/{registrationId}/owner-signature`: an owned device asks for its owner's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnerSignatureRequest {
    /// The pairing that needs it.
    pub handoff_id: Uuid,
    /// What is to be allowed.
    pub operation: OwnerOperation,
    /// The device's nonce of this session: 32 bytes in base64.
    pub nonce: String,
    /// SHA-256 of the configuration, 32 bytes in base64; with `stage` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// SHA-256 of the owner's key that the device keeps, 32 bytes in base64. Absent: the key of its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_key_id: Option<String>,
}

/// The answer to [`OwnerSignatureRequest`]. What is signed stands in docs/dps-config.md, Owners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OwnerSignatureResponse {
    /// SubjectPublicKeyInfo DER in base64.
    pub owner_public_key: String,
    /// ECDSA P-256 with SHA-256 (DER) or Ed25519 (64 bytes), as the key says; base64.
    pub signature: String,
    /// Whole seconds; a device that knows the time refuses the signature after it.
    pub expires: Timestamp,
}

/// What became of a pairing, as the device itself said it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(tag = "status", rename_all = "camelCase")]
pub enum Outcome {
    /// The device registered.
    // Named on the variant, for utoipa does not follow `rename_all_fields`.
    #[serde(rename_all = "camelCase")]
    Assigned {
        /// The hub's host name.
        assigned_hub: String,
        /// The hub's name for the device.
        device_id: String,
        /// DPS's substatus, as DPS spells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        substatus: Option<String>,
    },
    /// It did not, and said why.
    Failed {
        /// A stable code of the app or the device.
        code: String,
        /// For the log; no secrets.
        text: String,
    },
}

/// `POST /v1/devices/{registrationId}/outcome`; repeating it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OutcomeRequest {
    /// The pairing that ended.
    pub handoff_id: Uuid,
    /// How it ended.
    pub outcome: Outcome,
}

/// Where a device stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Lifecycle {
    /// In the inventory, never paired.
    Expected,
    /// Has an instance, and a credential may have been given.
    Allocated,
    /// Registered at a hub.
    Assigned,
    /// The last pairing failed.
    Failed,
    /// Out of service; only a new import brings it back.
    Decommissioned,
}

/// What DPS itself says of a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DpsRegistration {
    /// `unassigned`, `assigning`, `assigned`, `failed` or `disabled`.
    pub status: String,
    /// The hub's host name, once assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_hub: Option<String>,
    /// The hub's name for the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// When DPS last changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<Timestamp>,
}

/// `GET /v1/devices/{registrationId}`; with `?dps=true` the registration is looked up in DPS as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// As the inventory spells it.
    pub registration_id: String,
    /// The device's model, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where it stands.
    pub lifecycle: Lifecycle,
    /// The DPS instance, once allocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dps_instance: Option<String>,
    /// How it attests, once allocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
    /// The pairing that allocated or ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff_id: Option<Uuid>,
    /// The last outcome that an app recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Where its data must stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its ring.
    #[serde(default)]
    pub ring: Ring,
    /// Where it is to be, as the inventory says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Its slot in a staggered schedule: its hand-off is not to begin before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// What is still to be done for it at DPS, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
    /// What DPS says, when it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dps: Option<DpsRegistration>,
}

/// `PUT /v1/devices/{registrationId}` (administrators): puts a device into the inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceRequest {
    /// The device's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The only attestation that this device may use; absent: the best that it can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
    /// The only instance that this device may go to; absent: the least used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dps_instance: Option<String>,
    /// Where its data must stay, as the instances name their regions; absent: as it was, which at first is anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its ring; absent: as it was, which at first is production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<Ring>,
    /// Why, for the events; needed where the device loses its place, or what it was pinned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `GET /v1/instances`: the DPS instances and how full they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its name here.
    pub name: String,
    /// `0ne…`.
    pub id_scope: String,
    /// Host or host:port that devices register with.
    pub global_device_endpoint: String,
    /// Whether it takes new devices.
    pub state: InstanceState,
    /// How many devices are allocated to it, reservations included.
    pub allocated: u64,
    /// How many it may hold.
    pub capacity: u64,
    /// How many scheduled registrations it gets in a minute.
    pub registrations_per_minute: u32,
    /// Where it keeps data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whose it is; absent: shared by all tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Its ring.
    pub ring: Ring,
    /// The hubs that it assigns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub linked_hubs: Vec<String>,
    /// The scale unit that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<String>,
    /// The credential policy by which it issues devices' certificates itself; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_policy: Option<String>,
    /// False: devices are on it, and this server's configuration has it no more. They keep it, and nobody else gets it.
    pub configured: bool,
    /// Whether this replica asks the instance's service API; absent when it is not configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<Circuit>,
    /// For `If-Match`.
    pub etag: String,
}

/// A circuit breaker's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Circuit {
    /// It is asked.
    Closed,
    /// It did not answer many times in a row and is left alone for a while.
    Open,
    /// One call is trying whether it answers again.
    HalfOpen,
}

/// Devices and instances that try what is new, apart from all others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Ring {
    /// Where tests run.
    Test,
    /// Everything else.
    #[default]
    Production,
}

/// Whether an instance takes new devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum InstanceState {
    /// Takes new devices.
    Active,
    /// Keeps what it has, takes no new ones.
    Draining,
    /// Out of service.
    Down,
}

/// The list of [`Instance`]s, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct InstanceList {
    /// By name.
    pub instances: Vec<Instance>,
}

/// An error (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `about:blank`, as the code says it all.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The HTTP status again.
    pub status: u16,
    /// What happened, the same words for the same code.
    pub title: String,
    /// What happened this time; no secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Stable, for programs.
    pub code: ProblemCode,
    /// To be quoted to the operator; stands in the API's log.
    pub request_id: Uuid,
}

fn about_blank() -> String {
    "about:blank".into()
}

/// The stable codes of [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProblemCode {
    /// 400: the body or a parameter is malformed.
    BadRequest,
    /// 401: no token, or one that is not valid (any more).
    Unauthenticated,
    /// 403: the token's role does not allow it.
    Forbidden,
    /// 404: the inventory has no such device (or it is not yours).
    DeviceUnknown,
    /// 404: there is no such work order (or it is not yours).
    OrderUnknown,
    /// 409: the work order is not open now.
    OrderNotOpen,
    /// 412: it was changed by somebody else since it was read; read it again.
    PreconditionFailed,
    /// 428: `If-Match` is missing.
    PreconditionRequired,
    /// 404: there is no such import (or it is not yours).
    ImportUnknown,
    /// 409: another file, or another upload, has this import ID.
    ImportConflict,
    /// 404: there is no such offer (or it is not yours).
    TransferUnknown,
    /// 409: the offer was answered already, or is too old.
    TransferEnded,
    /// 409: this cannot be done with the device where it stands in its life.
    LifecycleConflict,
    /// 404: no such path.
    NotFound,
    /// 405: the path knows other methods.
    MethodNotAllowed,
    /// 409: the device is being paired under another hand-off ID.
    HandoffConflict,
    /// 409: it was not allocated yet, or with another attestation.
    NotAllocated,
    /// 409: no attestation that the device can do is allowed for it.
    AttestationMismatch,
    /// 409: the device CA signs, or devices have valid certificates of it.
    AuthorityInUse,
    /// 422: the CSR is not one, is weak, or its name is not the registration ID.
    CsrRejected,
    /// 413: the body is too large.
    TooLarge,
    /// 415: not JSON.
    UnsupportedMediaType,
    /// 429: too many requests; `Retry-After` says when.
    Throttled,
    /// 409: no DPS instance can take this device now.
    NoInstance,
    /// 502: the DPS instance refused or did not answer.
    DpsUnavailable,
    /// 503: the token is another issuer's, whose keys cannot be had now.
    IssuerUnavailable,
    /// 500: the API's own fault.
    Internal,
    /// A code that this build does not know.
    #[serde(other)]
    Unknown,
}
