//! What one pairing asks of the API, in its order: allocation, a credential, the outcome.
//!
//! Every step can be repeated under the same hand-off ID and then gives the same answer.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provisioning_api_contract::{
    Allocation, AllocationRequest, Attestation, CertificateResponse, Lifecycle, Outcome, OutcomeRequest, ProblemCode,
    SymmetricKeyResponse, TpmKeys,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use crate::api::ApiError;
use crate::app::App;
use crate::authority::CsrError;
use crate::certificates::Wish;
use crate::config::InstanceConfig;
use crate::devices::{self, Record};
use crate::enrollments::Instance;
use crate::placement::{self, Slots};
use crate::registration_id::RegistrationId;
use crate::store::{now, time};
use crate::tokens::Caller;
use crate::words::word;
use crate::{credentials, events, orders, outbox};

/// Texts that come from devices and apps are cut to this many characters before they are kept.
const MAX_TEXT: usize = 512;

pub(crate) struct Reservation {
    registration_id: String,
    instance: String,
    attestation: Attestation,
    allocated_at: Option<i64>,
    /// Whether this hand-off asks for the first time, or again after it failed.
    starts: bool,
    /// Its slot, in a staggered schedule.
    starts_at: Option<i64>,
    /// As it was before.
    device: Record,
}

/// Which instance the device belongs to. The reservation comes first, in one transaction; then the enrollment is made in
/// DPS; then the reservation becomes an allocation. When DPS does not do its part, the next try goes on from there.
pub(crate) async fn allocate(
    app: &App,
    id: &RegistrationId,
    request: &AllocationRequest,
    caller: &Caller,
) -> Result<Allocation, ApiError> {
    let reservation = reserve(app, id, request, caller).await?;
    let instance = instance(app, &reservation.instance)?;
    // What an earlier life of it left to do there: it may be barred yet.
    outbox::finish_for(app, &reservation.device.key(), &reservation.instance).await?;
    let owner = app.owner(&reservation.device.tenant).await?;
    let issues = instance.certificate_policy(&mut *app.store.read().acquire().await?).await?.is_some();
    match (reservation.attestation, &request.tpm) {
        (Attestation::Tpm, Some(keys)) => {
            let key = reservation.device.key();
            let policy = outbox::reprovision_policy(&mut *app.store.read().acquire().await?, &key).await?;
            app.enrollments().ensure_tpm(instance, &reservation.registration_id, keys, policy).await?;
        }
        (attestation, _) => app.enrollments().ensure(instance, attestation).await?,
    }
    let allocated_at = match reservation.allocated_at {
        Some(at) if !reservation.starts => at,
        at => {
            let tpm = request.tpm.as_ref().filter(|_| reservation.attestation == Attestation::Tpm);
            let endorsement_key = tpm.map(|keys| keys.endorsement_key.as_str());
            settle(app, request.handoff_id, &reservation, at, endorsement_key, caller).await?
        }
    };
    Ok(Allocation {
        registration_id: reservation.registration_id,
        dps_instance: reservation.instance,
        id_scope: instance.config.id_scope.clone(),
        global_device_endpoint: instance.config.global_device_endpoint.clone(),
        endpoint_ca: endpoint_ca(&instance.config),
        attestation: reservation.attestation,
        allocated_at: time(allocated_at),
        owner_public_key: Some(owner.public_key()),
        former_owner_key_ids: app.former_key_ids(&reservation.device).await?,
        starts_at: reservation.starts_at.map(time),
        starts_in_s: reservation.starts_at.map(seconds_until),
        certificate_from_dps: request.certificate_from_dps && issues,
    })
}

pub(crate) async fn reserve(
    app: &App,
    id: &RegistrationId,
    request: &AllocationRequest,
    caller: &Caller,
) -> Result<Reservation, ApiError> {
    let mut tx = placement::begin(&app.store).await?;
    let device = devices::find_in_service(&mut tx, caller, id).await?;
    let key = device.key();
    let mine = device.handoff_id == Some(request.handoff_id);
    free_for(app, &device, request.handoff_id)?;
    let attestation = attestation(&device, request)?;
    let order = orders::claim(&mut tx, caller, &device, request.handoff_id).await?;
    let known = placement::known(app, &mut tx).await?;
    let (name, is_new) = placement::place(&known, &mut tx, &device, &key).await?;
    outbox::arrive(&mut tx, &device, &name, attestation, &caller.who()).await?;
    let starts = !mine || device.lifecycle != Lifecycle::Assigned;
    let starts_at = match known.iter().find(|one| one.candidate.name == name) {
        Some(instance) if starts => slot(&mut tx, &device, order.as_ref(), instance).await?,
        _ => None,
    };
    if starts {
        sqlx::query(
            "UPDATE devices SET dps_instance = $2, attestation = $3,
                 handoff_begun_at = CASE WHEN handoff_id IS NOT DISTINCT FROM $4 AND handoff_account IS NOT DISTINCT FROM $8 THEN handoff_begun_at ELSE $5 END,
                 handoff_id = $4, handoff_account = $8, handoff_at = $5, handoff_open = 1,
                 model = COALESCE(model, $6), firmware = COALESCE($7, firmware), updated_at = $5
             WHERE key = $1",
        )
        .bind(&key)
        .bind(&name)
        .bind(word(attestation))
        .bind(request.handoff_id.to_string())
        .bind(now())
        .bind(request.model.as_deref().map(cut))
        .bind(request.firmware.as_deref().map(cut))
        .bind(&caller.account_id)
        .execute(&mut *tx)
        .await?;
        if is_new {
            let detail = json!({ "dpsInstance": name, "attestation": attestation });
            events::record(&mut tx, &caller.who(), "instance reserved", &key, Some(request.handoff_id), Some(&detail))
                .await?;
        }
    }
    tx.commit().await?;
    Ok(Reservation {
        registration_id: device.registration_id.clone(),
        instance: name,
        attestation,
        allocated_at: device.allocated_at,
        starts: !mine || (device.lifecycle != Lifecycle::Assigned && device.lifecycle != Lifecycle::Allocated),
        starts_at,
        device,
    })
}

/// When the device is to start: where its order or its import has a schedule, or it was given a slot before.
async fn slot(
    db: &mut AnyConnection,
    device: &Record,
    order: Option<&orders::Order>,
    instance: &placement::Known,
) -> Result<Option<i64>, ApiError> {
    let mut slots = Slots::default();
    let slot = match order {
        Some(order) if order.schedule => Some(order.slot(db, &mut slots, device, instance).await?),
        _ if (device.starts_at.is_some() || device.schedule_from.is_some())
            && device.lifecycle != Lifecycle::Assigned =>
        {
            let from = device.schedule_from.unwrap_or_default();
            let times = placement::Times { from, closed: &|_| None, until: None };
            slots.take(db, &device.key(), instance, &times).await?
        }
        _ => None,
    };
    slots.save(db).await?;
    Ok(slot)
}

/// Whole seconds, rounded up.
fn seconds_until(at: i64) -> u64 {
    u64::try_from(at.saturating_sub(now()).max(0)).unwrap_or(0).div_ceil(1000)
}

/// Whether a TPM is the one that the inventory has, or the inventory has none.
fn is_expected(device: &Record, keys: &TpmKeys) -> Result<bool, ApiError> {
    let decode = |text: &str| STANDARD.decode(text).ok().filter(|key| (32..=2048).contains(&key.len()));
    let wrong = || ApiError::new(ProblemCode::BadRequest).detail("a TPM's keys are TPM2B_PUBLIC in base64");
    let endorsement_key = decode(&keys.endorsement_key).ok_or_else(wrong)?;
    if let Some(root) = &keys.storage_root_key {
        decode(root).ok_or_else(wrong)?;
    }
    Ok(device.endorsement_key.as_deref().and_then(decode).is_none_or(|expected| expected == endorsement_key))
}

/// The one that it has, or the first that the device can do and may.
fn attestation(device: &Record, request: &AllocationRequest) -> Result<Attestation, ApiError> {
    let settled = device.attestation.filter(|_| device.allocated_at.is_some());
    let has_tpm = match &request.tpm {
        Some(keys) => is_expected(device, keys)?,
        None => false,
    };
    request
        .attestations
        .iter()
        .copied()
        .filter(|one| has_tpm || *one != Attestation::Tpm)
        .filter(|one| device.pinned_attestation.is_none_or(|pinned| pinned == *one))
        .find(|one| settled.is_none_or(|settled| settled == *one))
        .ok_or_else(|| ApiError::new(ProblemCode::AttestationMismatch))
}

/// The enrollment is there: from now on the answer is given.
async fn settle(
    app: &App,
    handoff_id: Uuid,
    reservation: &Reservation,
    first: Option<i64>,
    endorsement_key: Option<&str>,
    caller: &Caller,
) -> Result<i64, ApiError> {
    let key = reservation.device.key();
    let mut tx = app.store.begin().await?;
    let at = first.unwrap_or_else(now);
    let row = sqlx::query(
        "UPDATE devices SET allocated_at = COALESCE(allocated_at, $2), lifecycle = 'allocated', updated_at = $2,
             endorsement_key = COALESCE(endorsement_key, $6)
         WHERE key = $1 AND handoff_id = $3 AND dps_instance = $4 AND attestation = $5 RETURNING allocated_at",
    )
    .bind(&key)
    .bind(at)
    .bind(handoff_id.to_string())
    .bind(&reservation.instance)
    .bind(word(reservation.attestation))
    .bind(endorsement_key)
    .fetch_optional(&mut *tx)
    .await?;
    // Moved by an administrator, or taken over, while DPS was asked.
    let row = row.ok_or_else(|| ApiError::new(ProblemCode::HandoffConflict))?;
    outbox::may_hold(&mut tx, &key).await?;
    let detail = json!({ "dpsInstance": reservation.instance, "attestation": reservation.attestation });
    events::record(&mut tx, &caller.who(), "allocated", &key, Some(handoff_id), Some(&detail)).await?;
    tx.commit().await?;
    Ok(row.try_get("allocated_at")?)
}

/// Signs the device's certificate request.
pub(crate) async fn certify(
    app: &App,
    id: &RegistrationId,
    handoff_id: Uuid,
    csr: &str,
    caller: &Caller,
) -> Result<CertificateResponse, ApiError> {
    let instance = credential(app, caller, id, handoff_id, Attestation::X509).await?;
    let csr = STANDARD.decode(csr.trim()).map_err(|_| rejected(CsrError::NotARequest))?;
    app.enrollments().ensure(instance, Attestation::X509).await?;

    let digest = hex::encode(Sha256::digest(&csr));
    let mut tx = app.store.begin().await?;
    let authority = app.authorities.current(&mut tx, &app.vault).await.map_err(|error| ApiError::internal(&error))?;
    let device = held(&mut tx, caller, id, handoff_id, Attestation::X509).await?;
    go_on(&mut tx, &device.key()).await?;
    let (device_key, handoff) = (device.key(), handoff_id.to_string());
    let wish = Wish { device_key: &device_key, handoff_id: &handoff, authority: &authority, digest: &digest };
    if let Some(answer) = wish.before(&mut tx).await? {
        tx.commit().await?;
        // The first answer may not have been given because DPS did not learn of the certificate.
        outbox::finish_for(app, &device_key, &instance.config.name).await?;
        return Ok(answer);
    }
    // The inventory's spelling, which the device is told to register under.
    let spelled = RegistrationId::parse(&device.registration_id).unwrap_or_else(|| id.clone());
    let (serial, answer) = wish.sign(app, &mut tx, &csr, &spelled, Some(&instance.config)).await?;
    let detail = json!({ "serial": serial, "authority": authority.fingerprint });
    events::record(&mut tx, &caller.who(), "certificate issued", &device_key, Some(handoff_id), Some(&detail)).await?;
    outbox::renew_policy(&mut tx, &device, &caller.who()).await?;
    tx.commit().await?;
    outbox::finish_for(app, &device_key, &instance.config.name).await?;
    Ok(answer)
}

/// Why a certificate request is not signed.
pub(crate) fn rejected(error: CsrError) -> ApiError {
    match error {
        CsrError::Signing | CsrError::CaEnds => ApiError::internal(&error),
        error => ApiError::new(ProblemCode::CsrRejected).detail(error.to_string()),
    }
}

/// Derives the device's key.
///
/// DPS derives it from the registration ID as the device spells it in its request, although it compares registration IDs
/// without regard to case. The device registers under the spelling that the allocation gave it, which is the
/// inventory's, and so that spelling is what the key is made of.
pub(crate) async fn derive_key(
    app: &App,
    id: &RegistrationId,
    handoff_id: Uuid,
    caller: &Caller,
) -> Result<SymmetricKeyResponse, ApiError> {
    let instance = credential(app, caller, id, handoff_id, Attestation::SymmetricKey).await?;
    app.enrollments().ensure(instance, Attestation::SymmetricKey).await?;
    let group_key = app.enrollments().group_key(instance).await?;
    let group_key = group_key.ok_or_else(|| ApiError::internal(&std::io::Error::other("the group's key is gone")))?;

    let mut tx = app.store.begin().await?;
    let device = held(&mut tx, caller, id, handoff_id, Attestation::SymmetricKey).await?;
    go_on(&mut tx, &device.key()).await?;
    events::record(&mut tx, &caller.who(), "symmetric key given", &device.key(), Some(handoff_id), None).await?;
    outbox::renew_policy(&mut tx, &device, &caller.who()).await?;
    let key = credentials::symmetric_key(&mut tx, &group_key, &device.key(), &device.registration_id).await?;
    tx.commit().await?;
    outbox::finish_for(app, &device.key(), &instance.config.name).await?;
    Ok(SymmetricKeyResponse { key })
}

/// The instance of a device that is in this hand-off.
async fn credential<'a>(
    app: &'a App,
    caller: &Caller,
    id: &RegistrationId,
    handoff_id: Uuid,
    attestation: Attestation,
) -> Result<&'a Instance, ApiError> {
    let mut db = app.store.read().acquire().await?;
    let device = held(&mut db, caller, id, handoff_id, attestation).await?;
    instance(app, device.dps_instance.as_deref().unwrap_or_default())
}

/// The device, when it is allocated with this attestation and in this hand-off.
async fn held(
    db: &mut AnyConnection,
    caller: &Caller,
    id: &RegistrationId,
    handoff_id: Uuid,
    attestation: Attestation,
) -> Result<Record, ApiError> {
    let device = devices::find_in_service(db, caller, id).await?;
    if device.attestation != Some(attestation) {
        return Err(ApiError::new(ProblemCode::NotAllocated));
    }
    in_handoff(device, handoff_id)
}

/// Takes a pairing's hold of its device once more: allocated, and in this hand-off.
pub(crate) async fn hold(
    db: &mut AnyConnection,
    caller: &Caller,
    id: &RegistrationId,
    handoff_id: Uuid,
) -> Result<Record, ApiError> {
    let device = in_handoff(devices::find_in_service(db, caller, id).await?, handoff_id)?;
    go_on(db, &device.key()).await?;
    Ok(device)
}

/// The device is allocated, and no other hand-off than this one is under way at it.
pub(crate) async fn not_in_another(
    app: &App,
    db: &mut AnyConnection,
    caller: &Caller,
    id: &RegistrationId,
    handoff_id: Uuid,
) -> Result<(), ApiError> {
    let device = devices::find_in_service(db, caller, id).await?;
    if device.allocated_at.is_none() {
        return Err(ApiError::new(ProblemCode::NotAllocated));
    }
    free_for(app, &device, handoff_id)
}

/// Another hand-off that was begun lately and has no outcome yet goes first.
pub(crate) fn free_for(app: &App, device: &Record, handoff_id: Uuid) -> Result<(), ApiError> {
    if device.handoff_id == Some(handoff_id) || !device.handoff_open {
        return Ok(());
    }
    let age = now().saturating_sub(device.handoff_at);
    // A time that lies ahead is from before the clock was put back; nobody waits for it.
    if age < -placement::CLOCK_SKEW {
        return Ok(());
    }
    let age = Duration::from_millis(age.max(0) as u64);
    match app.limits.handoff_hold.checked_sub(age).filter(|left| !left.is_zero()) {
        Some(left) => Err(ApiError::new(ProblemCode::HandoffConflict).retry_after(Some(left))),
        None => Ok(()),
    }
}

/// The PEM roots that a device of this instance needs beside its own.
pub(crate) fn endpoint_ca(config: &InstanceConfig) -> Option<String> {
    config.ca_pem.clone().filter(|_| !config.ca_in_firmware)
}

fn in_handoff(device: Record, handoff_id: Uuid) -> Result<Record, ApiError> {
    if device.allocated_at.is_none() {
        return Err(ApiError::new(ProblemCode::NotAllocated));
    }
    if device.handoff_id != Some(handoff_id) {
        return Err(ApiError::new(ProblemCode::HandoffConflict));
    }
    Ok(device)
}

/// A pairing that goes on keeps its hold of the device.
async fn go_on(db: &mut AnyConnection, key: &str) -> Result<(), ApiError> {
    sqlx::query("UPDATE devices SET handoff_at = $1 WHERE key = $2").bind(now()).bind(key).execute(db).await?;
    Ok(())
}

/// Keeps how a pairing ended. Repeating it changes nothing; a pairing that failed may still be finished, one that was
/// finished does not fail any more.
pub(crate) async fn record_outcome(
    app: &App,
    id: &RegistrationId,
    request: &OutcomeRequest,
    caller: &Caller,
) -> Result<(), ApiError> {
    let mut tx = app.store.begin().await?;
    let mut device = devices::find_to_tell(&mut tx, caller, id).await?;
    let (key, handoff_id) = (device.key(), request.handoff_id.to_string());
    let outcome = tidy(&request.outcome);
    let text = serde_json::to_string(&outcome).map_err(|error| ApiError::internal(&error))?;
    let before: Option<String> =
        sqlx::query_scalar("SELECT outcome FROM outcomes WHERE device_key = $1 AND handoff_id = $2")
            .bind(&key)
            .bind(&handoff_id)
            .fetch_optional(&mut *tx)
            .await?;
    let before: Option<Outcome> = before.as_deref().and_then(|text| serde_json::from_str(text).ok());
    // One that failed and was begun once more may fail once more. What other hand-offs there are since does not matter.
    let goes_on = device.handoff_open && device.handoff_id == Some(request.handoff_id);
    if before.as_ref() == Some(&outcome) && !goes_on {
        return Ok(());
    }
    if device.handoff_id != Some(request.handoff_id)
        && free_for(app, &device, request.handoff_id).is_ok()
        && orders::was_given_offline(&mut tx, caller, &device).await?
    {
        // It was paired where the API could not be asked: this is the first that is heard of it.
        adopt(&mut tx, &mut device, request.handoff_id, caller).await?;
    }
    if device.handoff_id != Some(request.handoff_id) {
        return Err(match device.handoff_id {
            None => ApiError::new(ProblemCode::NotAllocated),
            Some(_) => ApiError::new(ProblemCode::HandoffConflict),
        });
    }
    let (lifecycle, what) = match (&before, &outcome) {
        (Some(Outcome::Assigned { .. }), Outcome::Failed { .. }) => {
            return Err(
                ApiError::new(ProblemCode::HandoffConflict).detail("this pairing has already ended in an assignment")
            );
        }
        (_, Outcome::Assigned { .. }) if device.allocated_at.is_none() => {
            return Err(ApiError::new(ProblemCode::NotAllocated));
        }
        (_, Outcome::Assigned { .. }) => (Lifecycle::Assigned, "assigned"),
        (_, Outcome::Failed { .. }) => (Lifecycle::Failed, "failed"),
    };
    sqlx::query(
        "INSERT INTO outcomes (device_key, handoff_id, outcome, recorded_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (device_key, handoff_id) DO UPDATE SET outcome = $3, recorded_at = $4",
    )
    .bind(&key)
    .bind(&handoff_id)
    .bind(&text)
    .bind(now())
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE devices SET lifecycle = $2, outcome = $3, handoff_open = 0, updated_at = $4 WHERE key = $1")
        .bind(&key)
        .bind(word(lifecycle))
        .bind(&text)
        .bind(now())
        .execute(&mut *tx)
        .await?;
    if let (Lifecycle::Assigned, Some(instance)) = (lifecycle, &device.dps_instance) {
        outbox::assigned(&mut tx, &key, instance).await?;
        outbox::holds(&mut tx, &device).await?;
    }
    let detail = serde_json::to_value(&outcome).ok();
    events::record(&mut tx, &caller.who(), what, &key, Some(request.handoff_id), detail.as_ref()).await?;
    tx.commit().await?;
    app.outbox.notify_one();
    Ok(())
}

/// Takes a hand-off that was made without the API for the device's last one.
async fn adopt(db: &mut AnyConnection, device: &mut Record, handoff_id: Uuid, caller: &Caller) -> Result<(), ApiError> {
    sqlx::query(
        "UPDATE devices SET handoff_id = $2, handoff_account = $3, handoff_at = $4, handoff_begun_at = $4, handoff_open = 1
         WHERE key = $1",
    )
    .bind(device.key())
    .bind(handoff_id.to_string())
    .bind(&caller.account_id)
    .bind(now())
    .execute(&mut *db)
    .await?;
    (device.handoff_id, device.handoff_open) = (Some(handoff_id), true);
    events::record(db, &caller.who(), "paired without the API", &device.key(), Some(handoff_id), None).await?;
    Ok(())
}

pub(crate) fn instance<'a>(app: &'a App, name: &str) -> Result<&'a Instance, ApiError> {
    let gone = || ApiError::new(ProblemCode::NoInstance).detail("the device's DPS instance is not configured any more");
    app.instances.get(name).ok_or_else(gone)
}

fn tidy(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Assigned { assigned_hub, device_id, substatus } => Outcome::Assigned {
            assigned_hub: cut(assigned_hub),
            device_id: cut(device_id),
            substatus: substatus.as_deref().map(cut),
        },
        Outcome::Failed { code, text } => Outcome::Failed { code: cut(code), text: cut(text) },
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
