//! The inventory: which devices are expected, and where each stands.

use provisioning_api_contract::{Attestation, Device, DeviceRequest, Lifecycle, Outcome, ProblemCode, Ring};
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use crate::accounts::{self, External, Known};
use crate::api::ApiError;
use crate::connection::DeviceCertificate;
use crate::etag::Seen;
use crate::events::Event;
use crate::registration_id::RegistrationId;
use crate::role::Role;
use crate::store::{Store, flag, now, time};
use crate::tokens::Caller;
use crate::words::{from_word, word};
use crate::{changes, config, events, orders, renewal};

/// Whose a device is when nobody said otherwise.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// A device as the database has it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    key: String,
    pub(crate) tenant: String,
    pub(crate) registration_id: String,
    pub(crate) model: Option<String>,
    pub(crate) pinned_attestation: Option<Attestation>,
    /// Of its TPM: TPM2B_PUBLIC in base64.
    pub(crate) endorsement_key: Option<String>,
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
    /// Who began it, and when.
    pub(crate) handoff_account: Option<String>,
    pub(crate) handoff_begun_at: i64,
    /// Where its data must stay.
    pub(crate) region: Option<String>,
    pub(crate) ring: Ring,
    /// Its slot in a staggered schedule.
    pub(crate) starts_at: Option<i64>,
    /// From when on it may lie, where the import asked for a schedule.
    pub(crate) schedule_from: Option<i64>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) site: Option<String>,
    /// For the ETag.
    pub(crate) version: i64,
}

impl Record {
    /// What everything that is kept of it is found by.
    pub(crate) fn key(&self) -> String {
        self.key.clone()
    }

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
            region: self.region.clone(),
            ring: self.ring,
            site: self.site.clone(),
            starts_at: self.starts_at.filter(|_| self.lifecycle == Lifecycle::Expected).map(time),
            pending: Vec::new(),
            dps: None,
        }
    }
}

/// The device, or the one answer for all that are not expected here. Another tenant's is as unknown as one that does not
/// exist; so is, to an installer, one that is in none of their open work orders. That takes as long as this.
pub(crate) async fn find(db: &mut AnyConnection, caller: &Caller, id: &RegistrationId) -> Result<Record, ApiError> {
    let mut found = Vec::new();
    for device in candidates(db, caller, id).await? {
        if caller.role != Role::Installer || orders::admits(db, caller, &device).await? {
            found.push(device);
        }
    }
    only(found)?.ok_or_else(|| ApiError::new(ProblemCode::DeviceUnknown))
}

/// What the caller's tenant has of this name; for an installer at least one, so that as much is read and asked about a device
/// that there is not: then it is any other device, without its key, by which it is in no order and is left out in the end.
async fn candidates(db: &mut AnyConnection, caller: &Caller, id: &RegistrationId) -> Result<Vec<Record>, ApiError> {
    if caller.role != Role::Installer {
        return named(db, caller.tenant.as_deref(), id).await;
    }
    let rows = sqlx::query(
        "SELECT * FROM devices WHERE name = $1 AND ($2 IS NULL OR tenant = $2)
         UNION ALL SELECT * FROM devices WHERE key = (SELECT MIN(key) FROM devices)
             AND NOT EXISTS (SELECT 1 FROM devices WHERE name = $1 AND ($2 IS NULL OR tenant = $2))",
    )
    .bind(id.name())
    .bind(&caller.tenant)
    .fetch_all(db)
    .await?;
    let mut found: Vec<Record> = rows.iter().map(record).collect::<Result<_, _>>()?;
    for device in &mut found {
        if device.registration_id.to_ascii_lowercase() != id.name() || !caller.sees(&device.tenant) {
            device.key.clear();
        }
    }
    Ok(found)
}

/// Callers of no tenant see all that have this name.
fn only(mut found: Vec<Record>) -> Result<Option<Record>, ApiError> {
    found.retain(|device| !device.key.is_empty());
    if found.len() > 1 {
        let text = "several tenants have a device of this registration ID; say which one with ?tenant=";
        return Err(ApiError::new(ProblemCode::BadRequest).detail(text));
    }
    Ok(found.pop())
}

/// All devices of this name, or the tenant's.
async fn named(db: &mut AnyConnection, tenant: Option<&str>, id: &RegistrationId) -> Result<Vec<Record>, ApiError> {
    let rows = match tenant {
        Some(tenant) => {
            sqlx::query("SELECT * FROM devices WHERE name = $1 AND tenant = $2").bind(id.name()).bind(tenant)
        }
        None => sqlx::query("SELECT * FROM devices WHERE name = $1").bind(id.name()),
    };
    let rows = rows.fetch_all(db).await?;
    Ok(rows.iter().map(record).collect::<Result<_, _>>()?)
}

/// The tenant's device of this name, if it has one.
pub(crate) async fn of_tenant(
    db: &mut AnyConnection,
    tenant: &str,
    id: &RegistrationId,
) -> Result<Option<Record>, ApiError> {
    Ok(named(db, Some(tenant), id).await?.pop())
}

/// By what everything that is kept of it is found by.
pub(crate) async fn by_key(db: &mut AnyConnection, key: &str) -> Result<Option<Record>, ApiError> {
    let row = sqlx::query("SELECT * FROM devices WHERE key = $1").bind(key).fetch_optional(db).await?;
    Ok(row.map(|row| record(&row)).transpose()?)
}

/// The key of a device that is new: its name, if no device of whichever tenant has that. `@` is in no registration ID.
pub(crate) fn new_key(name: &str, is_taken: bool) -> String {
    if is_taken { format!("{name}@{}", Uuid::new_v4().simple()) } else { name.to_owned() }
}

/// Whether a device of another tenant was allocated under this name, or is about to be: then this one is not. A
/// certificate of ours is good at every instance, and says no tenant.
pub(crate) async fn is_anothers(db: &mut AnyConnection, device: &Record) -> Result<bool, sqlx::Error> {
    is_held(db, name_of(&device.key), &device.key).await
}

/// The same for a device that is not there yet: any that has the name is another.
pub(crate) async fn is_held(db: &mut AnyConnection, name: &str, but_by: &str) -> Result<bool, sqlx::Error> {
    let other = sqlx::query(
        "SELECT 1 FROM held_names WHERE name = $1 AND device_key <> $2
         UNION ALL SELECT 1 FROM devices WHERE name = $1 AND key <> $2 AND dps_instance IS NOT NULL LIMIT 1",
    )
    .bind(name)
    .bind(but_by)
    .fetch_optional(db)
    .await?;
    Ok(other.is_some())
}

/// The name of a device, from its key.
pub(crate) fn name_of(key: &str) -> &str {
    key.split('@').next().unwrap_or(key)
}

/// As [`find`], for pairing: a device that is out of service is as unknown as any other.
pub(crate) async fn find_in_service(
    db: &mut AnyConnection,
    caller: &Caller,
    id: &RegistrationId,
) -> Result<Record, ApiError> {
    let device = find(db, caller, id).await?;
    match device.lifecycle {
        Lifecycle::Decommissioned => Err(ApiError::new(ProblemCode::DeviceUnknown)),
        _ => Ok(device),
    }
}

/// As [`find`], for telling how a pairing of it ended.
pub(crate) async fn find_to_tell(
    db: &mut AnyConnection,
    caller: &Caller,
    id: &RegistrationId,
) -> Result<Record, ApiError> {
    let mut found = Vec::new();
    for device in candidates(db, caller, id).await? {
        let theirs = caller.role != Role::Installer || orders::may_tell(db, caller, &device).await?;
        if theirs && device.lifecycle != Lifecycle::Decommissioned {
            found.push(device);
        }
    }
    only(found)?.ok_or_else(|| ApiError::new(ProblemCode::DeviceUnknown))
}

/// A device that proved with its own certificate who it is; `None` when it is not expected here, or not any more.
///
/// One of our own is good while it is not revoked and its device was not given to another tenant after it.
///
/// A factory's certificate says no tenant. Of several who expect the device it is the first one's: whoever puts the name of
/// another's device into their inventory does not get that device.
pub(crate) async fn itself(store: &Store, certificate: &DeviceCertificate) -> Result<Option<Caller>, ApiError> {
    let mut db = store.read().acquire().await?;
    let key = match renewal::given(&mut db, certificate).await? {
        Some(given) if given.is_good() => given.device_key,
        None if certificate.is_factorys => certificate.registration_id.name(),
        _ => return Ok(None),
    };
    let device = by_key(&mut db, &key).await?;
    drop(db);
    let Some(device) = device.filter(|device| device.lifecycle != Lifecycle::Decommissioned) else { return Ok(None) };
    let (key, tenant) = (device.key(), Some(device.tenant.as_str()));
    let who =
        External { issuer: CERTIFICATE, subject: &key, name: &device.registration_id, role: Role::Device, tenant };
    let Known::Active(account_id) = accounts::external(store, &who).await? else { return Ok(None) };
    Ok(Some(Caller {
        account_id,
        name: device.registration_id,
        role: Role::Device,
        tenant: Some(device.tenant),
        expires_at: certificate.not_after,
    }))
}

/// The issuer of devices' accounts; no URL, so that it cannot be configured as one.
const CERTIFICATE: &str = "device-certificate";

/// Puts a device into the inventory or changes what is asked of it; true when it is new.
///
/// A device that may no longer be where it is, or attest as it does, is free to be allocated anew. Where it loses its place so,
/// or what it was pinned to, `seen` and a reason are asked for.
///
/// # Errors
/// `precondition-required`, `precondition-failed`, `bad-request`, `lifecycle-conflict`.
pub(crate) async fn put(
    store: &Store,
    id: &RegistrationId,
    request: &DeviceRequest,
    caller: &Caller,
    seen: Option<&Seen>,
) -> Result<bool, ApiError> {
    let region = match &request.region {
        Some(text) => Some(
            config::region(text)
                .ok_or_else(|| ApiError::new(ProblemCode::BadRequest).detail("a region is 1 to 64 of a-z 0-9 -"))?,
        ),
        None => None,
    };
    let reason = request.reason.as_deref().map(changes::check_reason).transpose()?;
    let mut tx = store.begin().await?;
    let attestation = request.attestation.map(word);
    let before = only(named(&mut tx, caller.tenant.as_deref(), id).await?)?;
    let taken = sqlx::query("SELECT 1 FROM devices WHERE key = $1").bind(id.name()).fetch_optional(&mut *tx).await?;
    let key = before.as_ref().map_or_else(|| new_key(&id.name(), taken.is_some()), Record::key);
    if let Some(seen) = seen {
        seen.check(before.as_ref().map_or(0, |before| before.version))?;
    }
    if before.as_ref().is_some_and(|before| before.lifecycle == Lifecycle::Decommissioned) {
        let text = "the device is decommissioned; only an import takes it into service again";
        return Err(ApiError::new(ProblemCode::LifecycleConflict).detail(text));
    }
    let moved = before.as_ref().is_some_and(|before| does_not_fit(before, request, region.as_deref()));
    let loses = before.as_ref().is_some_and(|before| {
        let replaces_pin = before.pinned_instance.is_some() && before.pinned_instance != request.dps_instance;
        let replaces_attestation =
            before.pinned_attestation.is_some() && before.pinned_attestation != request.attestation;
        (moved && before.dps_instance.is_some()) || replaces_pin || replaces_attestation
    });
    if loses {
        if seen.is_none() {
            return Err(ApiError::new(ProblemCode::PreconditionRequired));
        }
        // Without one it is as bad as an empty one.
        changes::check_reason(reason.unwrap_or_default())?;
    }
    sqlx::query(
        "INSERT INTO devices (key, registration_id, model, pinned_attestation, pinned_instance, created_at, updated_at, tenant, region, ring)
         VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, COALESCE($9, 'production'))
         ON CONFLICT (key) DO UPDATE SET model = COALESCE($3, devices.model), pinned_attestation = $4, pinned_instance = $5, updated_at = $6,
             region = COALESCE($8, devices.region), ring = COALESCE($9, devices.ring)",
    )
    .bind(&key)
    .bind(id.as_str())
    .bind(&request.model)
    .bind(&attestation)
    .bind(&request.dps_instance)
    .bind(now())
    .bind(caller.tenant.as_deref().unwrap_or(DEFAULT_TENANT))
    .bind(&region)
    .bind(request.ring.map(word))
    .execute(&mut *tx)
    .await?;
    if moved {
        sqlx::query(
            "UPDATE devices SET dps_instance = NULL, attestation = NULL, allocated_at = NULL, handoff_open = 0, lifecycle = 'expected',
                 starts_at = NULL, slot_instance = NULL, slot_taken_at = NULL, reserved_at = NULL, reserved_until = NULL WHERE key = $1",
        )
        .bind(&key)
        .execute(&mut *tx)
        .await?;
    }
    if let Some(before) = before.as_ref().filter(|_| moved) {
        changes::leave(&mut tx, before, &caller.who(), &mut Vec::new()).await?;
    }
    let what = match (&before, moved) {
        (None, _) => "device added",
        (Some(_), false) => "device changed",
        (Some(_), true) => "device freed to be allocated anew",
    };
    let detail = json!({
        "model": request.model, "attestation": attestation, "dpsInstance": request.dps_instance, "region": region,
        "ring": request.ring,
    });
    let (who, detail) = (caller.who(), Some(&detail));
    let event = Event { who: &who, what, device_key: Some(&key), reason, detail, ..Event::default() };
    events::add(&mut tx, &[event]).await?;
    tx.commit().await?;
    Ok(before.is_none())
}

/// Whether the device may no longer be where it is, or attest as it does.
fn does_not_fit(before: &Record, request: &DeviceRequest, region: Option<&str>) -> bool {
    let elsewhere =
        request.dps_instance.as_ref().is_some_and(|pin| before.dps_instance.as_ref().is_some_and(|at| at != pin));
    let otherwise = request.attestation.is_some_and(|pin| before.attestation.is_some_and(|at| at != pin));
    // Where it is may not be where its data must stay, or not of its ring.
    let replaced =
        (region.is_some() && region != before.region.as_deref()) || request.ring.is_some_and(|to| to != before.ring);
    elsewhere || otherwise || replaced
}

/// All devices after this key, in the order of their keys, at most `limit`.
pub(crate) async fn list(store: &Store, after: &str, limit: u32) -> Result<Vec<Device>, ApiError> {
    let rows = sqlx::query("SELECT * FROM devices WHERE key > $1 ORDER BY key LIMIT $2")
        .bind(after.to_ascii_lowercase())
        .bind(i64::from(limit))
        .fetch_all(store.read())
        .await?;
    rows.iter().map(|row| Ok(record(row)?.to_device())).collect()
}

fn record(row: &AnyRow) -> Result<Record, sqlx::Error> {
    let enumerated = |column: &str| -> Result<Option<String>, sqlx::Error> { row.try_get(column) };
    Ok(Record {
        key: row.try_get("key")?,
        tenant: row.try_get("tenant")?,
        registration_id: row.try_get("registration_id")?,
        model: row.try_get("model")?,
        endorsement_key: row.try_get("endorsement_key")?,
        pinned_attestation: enumerated("pinned_attestation")?.as_deref().and_then(from_word),
        pinned_instance: row.try_get("pinned_instance")?,
        lifecycle: from_word(row.try_get("lifecycle")?).unwrap_or(Lifecycle::Expected),
        dps_instance: row.try_get("dps_instance")?,
        attestation: enumerated("attestation")?.as_deref().and_then(from_word),
        allocated_at: row.try_get("allocated_at")?,
        handoff_id: enumerated("handoff_id")?.as_deref().and_then(|id| id.parse().ok()),
        handoff_at: row.try_get::<Option<i64>, _>("handoff_at")?.unwrap_or_default(),
        handoff_open: flag(row, "handoff_open")?,
        handoff_account: row.try_get("handoff_account")?,
        handoff_begun_at: row.try_get::<Option<i64>, _>("handoff_begun_at")?.unwrap_or_default(),
        region: row.try_get("region")?,
        ring: from_word(row.try_get("ring")?).unwrap_or_default(),
        starts_at: row.try_get("starts_at")?,
        schedule_from: row.try_get("schedule_from")?,
        outcome: enumerated("outcome")?.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        site: row.try_get("site")?,
        version: row.try_get("version")?,
    })
}
