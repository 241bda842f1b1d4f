//! Work orders for use without a network: allocations and keys made ahead, sealed for one installer's app with HPKE.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeS, Serializable as _};
use jiff::{SignedDuration, Timestamp};
use provisioning_api_contract::{
    Allocation, Attestation, Lifecycle, OFFLINE_INFO, OfflineDevice, OfflineOrder, OfflineRequest, OnlineDevice,
    OnlineReason, OrderDevice, ProblemCode, SealedDevice, offline_aad,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::api::ApiError;
use crate::app::App;
use crate::devices::{self, Record};
use crate::enrollments::EnrollmentError;
use crate::orders::{self, Order};
use crate::registration_id::RegistrationId;
use crate::store::{now, time};
use crate::tokens::Caller;
use crate::{credentials, events, outbox, pairing, placement};

/// How long what was downloaded is good, if its order does not end before: a week's round in a place without a network.
const VALIDITY: SignedDuration = SignedDuration::from_hours(7 * 24);

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;

/// What of an order can be given ahead.
///
/// # Errors
/// `order-unknown` unless it is the caller's own, `order-not-open`, `bad-request` for a key that is none.
pub(crate) async fn download(
    app: &App,
    id: Uuid,
    request: &OfflineRequest,
    caller: &Caller,
) -> Result<OfflineOrder, ApiError> {
    let key = STANDARD.decode(&request.public_key).ok().and_then(|bytes| PublicKey::from_bytes(&bytes).ok());
    let key = key.ok_or_else(|| {
        ApiError::new(ProblemCode::BadRequest).detail("publicKey must be an X25519 public key, 32 bytes in base64")
    })?;
    let mut db = app.store.read().acquire().await?;
    let order = orders::find(&mut db, caller, id).await?;
    // Sealed for its installer: an administrator, who may read the order, is not the one.
    if order.account_id != caller.account_id {
        return Err(ApiError::new(ProblemCode::OrderUnknown));
    }
    let open = || if order.is_open(now()) { Ok(()) } else { Err(ApiError::new(ProblemCode::OrderNotOpen)) };
    open()?;
    let wire = orders::with_devices(&mut db, &order).await?;
    drop(db);

    let not_after = end(&order);
    let mut ready = Vec::new();
    let mut online = Vec::new();
    for device in &wire.devices {
        match prepare(app, &order, device, caller).await? {
            Ok(prepared) => ready.push(prepared),
            Err(reason) => {
                online.push(OnlineDevice { registration_id: device.registration_id.clone(), reason });
            }
        }
    }

    let mut sealed = Vec::with_capacity(ready.len());
    for device in &ready {
        let id = &device.allocation.registration_id;
        let text = Zeroizing::new(serde_json::to_vec(device).map_err(|error| ApiError::internal(&error))?);
        let aad = offline_aad(order.id, &caller.account_id, id, not_after);
        // It fails for public keys of low order only, with which anybody could open it.
        let (enc, ciphertext) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &key,
            OFFLINE_INFO,
            &text,
            &aad,
        )
        .map_err(|_| ApiError::new(ProblemCode::BadRequest).detail("publicKey is not usable"))?;
        sealed.push(SealedDevice {
            registration_id: id.clone(),
            enc: STANDARD.encode(enc.to_bytes()),
            ciphertext: STANDARD.encode(ciphertext),
        });
    }

    // Recorded before anything leaves, and only while the order is still open.
    let mut tx = app.store.begin().await?;
    let order = orders::find(&mut tx, caller, id).await?;
    if !order.is_open(now()) {
        return Err(ApiError::new(ProblemCode::OrderNotOpen));
    }
    let who = caller.who();
    let app_key = hex::encode(&Sha256::digest(key.to_bytes())[..8]);
    let keys_given = json!({ "workOrder": order.id, "appKey": app_key, "notAfter": not_after });
    let mut given = Vec::with_capacity(sealed.len());
    for device in sealed {
        let key: Option<String> = sqlx::query_scalar(
            "UPDATE work_order_devices SET offline_at = COALESCE(offline_at, $3) WHERE order_id = $1
                 AND device_key = (SELECT key FROM devices WHERE name = $2 AND tenant = $4) RETURNING device_key",
        )
        .bind(order.id.to_string())
        .bind(device.registration_id.to_ascii_lowercase())
        .bind(now())
        .bind(&order.tenant)
        .fetch_optional(&mut *tx)
        .await?;
        // It left the order while the others were prepared: its key does not leave.
        let Some(key) = key else {
            online.push(OnlineDevice { registration_id: device.registration_id, reason: OnlineReason::Unknown });
            continue;
        };
        events::record(&mut tx, &who, "symmetric key given", &key, None, Some(&keys_given)).await?;
        given.push(device);
    }
    let detail = json!({
        "workOrder": order.id,
        "appKey": app_key,
        "notAfter": not_after,
        "devices": given.iter().map(|device| &device.registration_id).collect::<Vec<_>>(),
    });
    events::record_of(&mut tx, Some(&order.tenant), &who, "work order given for offline use", &detail).await?;
    tx.commit().await?;
    Ok(OfflineOrder { order: wire, account_id: caller.account_id.clone(), not_after, sealed: given, online })
}

/// Whole seconds, for they are part of what is sealed.
fn end(order: &Order) -> Timestamp {
    let latest = time(now()).checked_add(VALIDITY).unwrap_or(Timestamp::MAX);
    let end = order.closes.map_or(latest, |closes| time(closes).min(latest));
    Timestamp::from_second(end.as_second()).unwrap_or(end)
}

/// The device's allocation and key, or why it needs the API.
async fn prepare(
    app: &App,
    order: &Order,
    device: &OrderDevice,
    caller: &Caller,
) -> Result<Result<OfflineDevice, OnlineReason>, ApiError> {
    let Some(id) = RegistrationId::parse(&device.registration_id) else { return Ok(Err(OnlineReason::Unknown)) };
    let mut tx = placement::begin(&app.store).await?;
    let found = devices::of_tenant(&mut tx, &order.tenant, &id).await?;
    let found = found.filter(|found| found.lifecycle != Lifecycle::Decommissioned);
    let Some(found) = found else { return Ok(Err(OnlineReason::Unknown)) };
    if let Err(reason) = can_be_given(app, &found) {
        return Ok(Err(reason));
    }
    let known = placement::known(app, &mut tx).await?;
    let (name, _) = match placement::place(&known, &mut tx, &found, &found.key()).await {
        Ok(place) => place,
        Err(error) if error.code() == ProblemCode::NoInstance => return Ok(Err(OnlineReason::NoInstance)),
        Err(error) => return Err(error),
    };
    outbox::arrive(&mut tx, &found, &name, Attestation::SymmetricKey, &caller.who()).await?;
    tx.commit().await?;

    let instance = pairing::instance(app, &name)?;
    if outbox::finish_for(app, &found.key(), &name).await.is_err() {
        return Ok(Err(OnlineReason::DpsUnavailable));
    }
    match app.enrollments().ensure(instance, Attestation::SymmetricKey).await {
        Ok(()) => {}
        Err(EnrollmentError::Dps(_) | EnrollmentError::Disabled(_)) => return Ok(Err(OnlineReason::DpsUnavailable)),
        Err(error) => return Err(error.into()),
    }
    let Some(group_key) = app.enrollments().group_key(instance).await? else {
        return Ok(Err(OnlineReason::DpsUnavailable));
    };

    let issues = instance.certificate_policy(&mut *app.store.read().acquire().await?).await?.is_some();
    let owner = app.owner(&found.tenant).await?;
    let former_owner_key_ids = app.former_key_ids(&found).await?;
    let mut tx = app.store.begin().await?;
    let row: Option<i64> = sqlx::query_scalar(
        "UPDATE devices SET attestation = 'symmetricKey', allocated_at = COALESCE(allocated_at, $3), updated_at = $3,
             lifecycle = CASE WHEN lifecycle = 'expected' THEN 'allocated' ELSE lifecycle END
         WHERE key = $1 AND dps_instance = $2 AND (allocated_at IS NULL OR attestation = 'symmetricKey')
         RETURNING allocated_at",
    )
    .bind(found.key())
    .bind(&name)
    .bind(now())
    .fetch_optional(&mut *tx)
    .await?;
    // Moved, or allocated otherwise, while DPS was asked.
    let Some(allocated_at) = row else { return Ok(Err(OnlineReason::BeingPaired)) };
    let mut given = found.clone();
    (given.dps_instance, given.attestation) = (Some(name.clone()), Some(Attestation::SymmetricKey));
    outbox::renew_policy(&mut tx, &given, &caller.who()).await?;
    let key = credentials::symmetric_key(&mut tx, &group_key, &found.key(), &found.registration_id).await?;
    outbox::may_hold(&mut tx, &found.key()).await?;
    if found.allocated_at.is_none() {
        let detail = json!({ "dpsInstance": name, "attestation": "symmetricKey", "workOrder": order.id });
        events::record(&mut tx, &caller.who(), "allocated", &found.key(), None, Some(&detail)).await?;
    }
    tx.commit().await?;
    if outbox::finish_for(app, &found.key(), &name).await.is_err() {
        return Ok(Err(OnlineReason::DpsUnavailable));
    }
    Ok(Ok(OfflineDevice {
        key,
        allocation: Allocation {
            registration_id: found.registration_id,
            dps_instance: name,
            id_scope: instance.config.id_scope.clone(),
            global_device_endpoint: instance.config.global_device_endpoint.clone(),
            endpoint_ca: pairing::endpoint_ca(&instance.config),
            attestation: Attestation::SymmetricKey,
            allocated_at: time(allocated_at),
            owner_public_key: Some(owner.public_key()),
            former_owner_key_ids,
            starts_at: device.starts_at,
            // It is opened at another time than it is made.
            starts_in_s: None,
            // Nobody has asked the device yet; the app does.
            certificate_from_dps: issues,
        },
    }))
}

fn can_be_given(app: &App, device: &Record) -> Result<(), OnlineReason> {
    let settled = device.attestation.filter(|_| device.allocated_at.is_some());
    match settled.or(device.pinned_attestation) {
        Some(Attestation::SymmetricKey) => {}
        Some(_) => return Err(OnlineReason::CertificateNeedsDevice),
        None => return Err(OnlineReason::AttestationOpen),
    }
    if device.pinned_attestation.is_some_and(|pinned| pinned != Attestation::SymmetricKey) {
        return Err(OnlineReason::CertificateNeedsDevice);
    }
    if device.lifecycle == Lifecycle::Assigned {
        return Err(OnlineReason::OwnerNeedsDevice);
    }
    // No hand-off is this one: whatever is under way is another's.
    pairing::free_for(app, device, Uuid::nil()).map_err(|_| OnlineReason::BeingPaired)
}
