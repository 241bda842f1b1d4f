//! Work orders: the devices that one installer is to do at one site, and their download for use without a network.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Allocation, Lifecycle};

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

/// How a work order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum OrderState {
    /// Its installer may pair its devices, within its times.
    Open,
    /// Done. Pairings that had begun may finish; it can be opened again.
    Closed,
    /// Called off, with effect at once and for good.
    Cancelled,
}

/// The hours of the day in which an order is open, by the clock on the site's wall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpeningHours {
    /// `HH:MM`, the first minute. Later than `until`: over midnight.
    pub from: String,
    /// `HH:MM`, the first minute that is outside.
    pub until: String,
    /// IANA name: `Europe/Berlin`.
    pub time_zone: String,
}

/// Any devices of a model, not named one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnyOf {
    /// The model as the inventory has it; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// At most so many devices beside those that are named.
    pub at_most: u32,
}

/// `POST /v1/work-orders` (administrators).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewWorkOrder {
    /// Where; 1 to 200 characters of plain text.
    pub site: String,
    /// Who: the ID of an installer's account.
    pub installer: String,
    /// Whose devices. Absent: the installer's tenant, or the caller's, or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Registration IDs of devices; at most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Any devices of a model, beside or instead of the named ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_of: Option<AnyOf>,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens: Option<Timestamp>,
    /// Not from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes: Option<Timestamp>,
    /// Only in these hours of each day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<OpeningHours>,
    /// Give every device a slot to start in, so that no DPS instance gets more registrations a minute than it may.
    #[serde(default)]
    pub schedule: bool,
}

/// A work order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct WorkOrder {
    /// Its ID.
    pub id: Uuid,
    /// Whose devices.
    pub tenant: String,
    /// Where.
    pub site: String,
    /// Who: an account's ID.
    pub installer: String,
    /// How it stands.
    pub state: OrderState,
    /// Whether its devices can be paired at this moment: its state, its times and its hours say so.
    pub open_now: bool,
    /// Any devices of a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_of: Option<AnyOf>,
    /// How many of [`AnyOf::at_most`] are taken.
    pub taken: u32,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens: Option<Timestamp>,
    /// Not from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes: Option<Timestamp>,
    /// Only in these hours of each day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<OpeningHours>,
    /// Whether its devices get slots to start in.
    pub schedule: bool,
    /// The devices that are named or were taken. Left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<OrderDevice>,
    /// When it was made.
    pub created_at: Timestamp,
    /// For `If-Match`.
    pub etag: String,
}

/// A device of a work order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct OrderDevice {
    /// As the inventory spells it.
    pub registration_id: String,
    /// Where it stands.
    pub lifecycle: Lifecycle,
    /// Its slot, where the order has a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
}

/// `GET /v1/work-orders`: an installer's own, an administrator's and auditor's tenant's; in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct WorkOrderList {
    /// Without their devices.
    pub work_orders: Vec<WorkOrder>,
}

/// `PATCH /v1/work-orders/{id}` (administrators); `If-Match` must carry the order's ETag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkOrderChange {
    /// A cancelled order stays cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<OrderState>,
    /// Another end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes: Option<Timestamp>,
    /// Another number for `anyOf`; what is taken already stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// More devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// Devices that are no longer in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// `POST /v1/work-orders/{id}/offline`: an open order for use where there is no network. For its installer only.
///
/// Repeating it gives the same allocations and keys, sealed anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfflineRequest {
    /// The app's X25519 public key: 32 bytes in base64. Its private half never leaves the app.
    pub public_key: String,
}

/// The answer to [`OfflineRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OfflineOrder {
    /// The order with its devices.
    pub order: WorkOrder,
    /// Whose app may open the seals: part of what is sealed.
    pub account_id: String,
    /// An app uses nothing of this after it; whole seconds, and part of what is sealed.
    pub not_after: Timestamp,
    /// A sealed [`OfflineDevice`] for each device that can be paired without the API.
    pub sealed: Vec<SealedDevice>,
    /// The other devices of the order, and why they need the API.
    pub online: Vec<OnlineDevice>,
}

/// An [`OfflineDevice`] in JSON, sealed with HPKE (RFC 9180), mode base: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
/// ChaCha20Poly1305. `info` is [`OFFLINE_INFO`], the additional data [`offline_aad`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SealedDevice {
    /// As the inventory spells it.
    pub registration_id: String,
    /// HPKE's encapsulated key in base64.
    pub enc: String,
    /// The ciphertext and its tag in base64.
    pub ciphertext: String,
}

/// What a [`SealedDevice`] holds. Not `Debug`: it has a secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfflineDevice {
    /// Where the device belongs.
    pub allocation: Allocation,
    /// The device's own key in base64.
    pub key: String,
}

/// A device that cannot be paired without the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct OnlineDevice {
    /// As the inventory spells it.
    pub registration_id: String,
    /// Why.
    pub reason: OnlineReason,
}

/// Why a device needs the API while it is paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum OnlineReason {
    /// A certificate is signed for a request that only the device can make.
    CertificateNeedsDevice,
    /// It may choose its attestation; a key is made ahead only for devices that are pinned to a symmetric key.
    AttestationOpen,
    /// It has an owner, whose signature is over a number that only the device can make.
    OwnerNeedsDevice,
    /// It is being paired at this moment, by another app or in another order.
    BeingPaired,
    /// No DPS instance can take it now.
    NoInstance,
    /// Its DPS instance did not do what was asked.
    DpsUnavailable,
    /// A reason that this build does not know.
    #[serde(other)]
    Unknown,
}

/// HPKE's `info` of a [`SealedDevice`].
pub const OFFLINE_INFO: &[u8] = b"lowtouch work order offline v1";

/// HPKE's additional data of a [`SealedDevice`]: what must be the same when it is opened. Order, account, device (in lower
/// case) and end (seconds since 1970); texts with their lengths (4 bytes), all numbers big-endian.
#[must_use]
pub fn offline_aad(order: Uuid, account_id: &str, registration_id: &str, not_after: Timestamp) -> Vec<u8> {
    let mut aad = order.as_bytes().to_vec();
    for text in [account_id, &registration_id.to_ascii_lowercase()] {
        aad.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        aad.extend_from_slice(text.as_bytes());
    }
    aad.extend_from_slice(&not_after.as_second().to_be_bytes());
    aad
}
