//! The inventory: which devices are expected, and where each stands.

use provisioning_api_contract::{Attestation, Device, DeviceRequest, Lifecycle, Outcome, ProblemCode};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use uuid::Uuid;

use crate::api::ApiError;
use crate::events;
use crate::registration_id::RegistrationId;
use crate::store::{Store, now};
use crate::tokens::Caller;
use crate::words::{from_word, word};

/// Whose a device is when nobody said otherwise.
const DEFAULT_TENANT: &str = "default";

/// A device as the database has it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) tenant: String,
    pub(crate) registration_id: String,
    pub(crate) model: Option<String>,
    pub(crate) pinned_attestation: Option<Attestation>,
    pub(crate) pinned_instance: Option<String>,
    pub(crate) lifecycle: Lifecycle,
    /// From the reservation on.
    pub(crate) dps_instance: Option<String>,
    pub(crate) attestation: Option<Attestation>,
    /// When an app was first told; `None` for a mere reservation.
    pub(crate) allocated_at: Option<i64>,
    pub(crate) handoff_id: Option<Uuid>,
    pub(crate) handoff_at: i64,
    /// Whether the pairing of `handoff_id` goes on.
    pub(crate) handoff_open: bool,
    pub(crate) outcome: Option<Outcome>,
}

impl Record {
    /// What callers see: a reservation that nobody was told of is not shown.
    pub(crate) fn to_device(&self) -> Device {
        let told = self.allocated_at.is_some();
        Device {
            registration_id: self.registration_id.clone(),
            model: self.model.clone(),
            lifecycle: self.lifecycle,
            dps_instance: self.dps_instance.clone().filter(|_| told),
            attestation: self.attestation.filter(|_| told),
            handoff_id: self.handoff_id,
            outcome: self.outcome.clone(),
            dps: None,
        }
    }
}

/// The device, or the one answer for all that are not expected here.
pub(crate) async fn find(db: &mut SqliteConnection, caller: &Caller, id: &RegistrationId) -> Result<Record, ApiError> {
    let row = sqlx::query("SELECT * FROM devices WHERE key = ?").bind(id.key()).fetch_optional(db).await?;
    let record = row.map(|row| record(&row)).transpose()?;
    // Another tenant's is as unknown as one that does not exist.
    record.filter(|device| caller.sees(&device.tenant)).ok_or_else(|| ApiError::new(ProblemCode::DeviceUnknown))
}

/// Puts a device into the inventory or changes what is asked of it; true when it is new.
///
/// A device that may no longer be where it is, or attest as it does, is free to be allocated anew.
pub(crate) async fn put(
    store: &Store,
    id: &RegistrationId,
    request: &DeviceRequest,
    caller: &Caller,
) -> Result<bool, ApiError> {
    let mut tx = store.begin().await?;
    let key = id.key();
    let attestation = request.attestation.map(word);
    let before = sqlx::query("SELECT * FROM devices WHERE key = ?").bind(&key).fetch_optional(&mut *tx).await?;
    let before = before.map(|row| record(&row)).transpose()?;
    if before.as_ref().is_some_and(|before| !caller.sees(&before.tenant)) {
        // Registration IDs are one space over all tenants, as in DPS; this says no more than that it cannot be had.
        return Err(ApiError::new(ProblemCode::Forbidden));
    }
    sqlx::query(
        "INSERT INTO devices (key, registration_id, model, pinned_attestation, pinned_instance, created_at, updated_at, tenant)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)
         ON CONFLICT (key) DO UPDATE SET model = COALESCE(?3, model), pinned_attestation = ?4, pinned_instance = ?5, updated_at = ?6",
    )
    .bind(&key)
    .bind(id.as_str())
    .bind(&request.model)
    .bind(&attestation)
    .bind(&request.dps_instance)
    .bind(now())
    .bind(caller.tenant.as_deref().unwrap_or(DEFAULT_TENANT))
    .execute(&mut *tx)
    .await?;
    let moved = before.as_ref().is_some_and(|before| {
        let elsewhere =
            request.dps_instance.as_ref().is_some_and(|pin| before.dps_instance.as_ref().is_some_and(|at| at != pin));
        let otherwise = request.attestation.is_some_and(|pin| before.attestation.is_some_and(|at| at != pin));
        elsewhere || otherwise
    });
    if moved {
        sqlx::query(
            "UPDATE devices SET dps_instance = NULL, attestation = NULL, allocated_at = NULL, handoff_open = 0, lifecycle = 'expected' WHERE key = ?",
        )
        .bind(&key)
        .execute(&mut *tx)
        .await?;
    }
    let what = match (&before, moved) {
        (None, _) => "device added",
        (Some(_), false) => "device changed",
        (Some(_), true) => "device freed to be allocated anew",
    };
    let detail = json!({ "model": request.model, "attestation": attestation, "dpsInstance": request.dps_instance });
    events::record(&mut tx, &caller.who(), what, Some(&key), None, Some(&detail)).await?;
    tx.commit().await?;
    Ok(before.is_none())
}

/// All devices after this key, in the order of their keys, at most `limit`.
pub(crate) async fn list(store: &Store, after: &str, limit: u32) -> Result<Vec<Device>, ApiError> {
    let rows = sqlx::query("SELECT * FROM devices WHERE key > ? ORDER BY key LIMIT ?")
        .bind(after.to_ascii_lowercase())
        .bind(limit)
        .fetch_all(store.read())
        .await?;
    rows.iter().map(|row| Ok(record(row)?.to_device())).collect()
}

fn record(row: &SqliteRow) -> Result<Record, sqlx::Error> {
    let enumerated = |column: &str| -> Result<Option<String>, sqlx::Error> { row.try_get(column) };
    Ok(Record {
        tenant: row.try_get("tenant")?,
        registration_id: row.try_get("registration_id")?,
        model: row.try_get("model")?,
        pinned_attestation: enumerated("pinned_attestation")?.as_deref().and_then(from_word),
        pinned_instance: row.try_get("pinned_instance")?,
        lifecycle: from_word(row.try_get("lifecycle")?).unwrap_or(Lifecycle::Expected),
        dps_instance: row.try_get("dps_instance")?,
        attestation: enumerated("attestation")?.as_deref().and_then(from_word),
        allocated_at: row.try_get("allocated_at")?,
        handoff_id: enumerated("handoff_id")?.as_deref().and_then(|id| id.parse().ok()),
        handoff_at: row.try_get::<Option<i64>, _>("handoff_at")?.unwrap_or_default(),
        handoff_open: row.try_get("handoff_open")?,
        outcome: enumerated("outcome")?.as_deref().and_then(|text| serde_json::from_str(text).ok()),
    })
}
