//! A device from one tenant to another: offered by the one, accepted by the other.
//!
//! The device itself keeps the old owner's key until its next hand-off, which that key signs and which carries the new one.

use provisioning_api_contract::{DeviceChange, EffectKind, ProblemCode, Transfer, TransferRequest, TransferState};
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use crate::api::ApiError;
use crate::app::App;
use crate::changes::{certificates_revoked, check_reason, effect, free, leave, leave_orders, step, told};
use crate::devices::{self, Record};
use crate::etag::Seen;
use crate::events::{self, Event};
use crate::life_cycle::Step;
use crate::registration_id::RegistrationId;
use crate::store::{now, time};
use crate::tokens::Caller;
use crate::words::word;
use crate::{credentials, outbox};

/// The longest offer.
const LONGEST: i64 = 90 * 24 * 60 * 60 * 1000;

/// Names of tenants are no longer.
const MAX_TENANT: usize = 128;

/// How an offer is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accept,
    Decline,
    Withdraw,
}

struct Offer {
    id: String,
    device_key: String,
    from: String,
    to: String,
    state: TransferState,
    wire: Transfer,
}

/// Offers a device to another tenant.
pub(crate) async fn offer(
    app: &App,
    caller: &Caller,
    id: &RegistrationId,
    seen: &Seen,
    request: &TransferRequest,
) -> Result<Transfer, ApiError> {
    let wrong = |text: &str| ApiError::new(ProblemCode::BadRequest).detail(text);
    let reason = check_reason(&request.reason)?;
    let (at, until) = (now(), request.expires_at.as_millisecond());
    if until <= at || until > at.saturating_add(LONGEST) {
        return Err(wrong("expiresAt must lie within the next 90 days"));
    }
    let to = request.to_tenant.trim();
    if to.is_empty() || to.len() > MAX_TENANT || to.chars().any(char::is_control) {
        return Err(wrong("toTenant is no name of a tenant"));
    }
    let mut tx = app.store.begin().await?;
    let device = devices::find(&mut tx, caller, id).await?;
    seen.check(device.version)?;
    if device.tenant == to {
        return Err(wrong("the device is this tenant's already"));
    }
    let key = device.key();
    sqlx::query("UPDATE transfers SET state = 'expired', ended_at = $2 WHERE device_key = $1 AND state = 'offered' AND expires_at <= $2")
        .bind(&key)
        .bind(at)
        .execute(&mut *tx)
        .await?;
    step(&mut tx, &device, Step::Offer).await?;
    let transfer = Uuid::new_v4();
    sqlx::query(
        "INSERT INTO transfers (id, device_key, from_tenant, to_tenant, reason, state, offered_by, offered_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, 'offered', $6, $7, $8)",
    )
    .bind(transfer.to_string())
    .bind(&key)
    .bind(&device.tenant)
    .bind(to)
    .bind(reason)
    .bind(caller.who())
    .bind(at)
    .bind(until)
    .execute(&mut *tx)
    .await?;
    touch(&mut tx, &key).await?;
    let detail = json!({ "transfer": transfer, "toTenant": to, "expiresAt": request.expires_at });
    let who = caller.who();
    let event = Event {
        who: &who,
        what: "offered to another tenant",
        device_key: Some(&key),
        reason: Some(reason),
        detail: Some(&detail),
        ..Event::default()
    };
    events::add(&mut tx, &[event]).await?;
    let offer = find(&mut tx, caller, transfer).await?;
    tx.commit().await?;
    Ok(offer.wire)
}

/// The open offers from and to the caller's tenant.
pub(crate) async fn list(db: &mut AnyConnection, caller: &Caller) -> Result<Vec<Transfer>, ApiError> {
    let rows = sqlx::query(
        "SELECT transfers.*, registration_id, model FROM transfers JOIN devices ON devices.key = device_key
         WHERE state = 'offered' AND expires_at > $1 AND ($2 IS NULL OR from_tenant = $2 OR to_tenant = $2)
         ORDER BY offered_at, id LIMIT 1000",
    )
    .bind(now())
    .bind(&caller.tenant)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| read(row).map(|offer| offer.wire)).collect()
}

/// Accepts, declines or takes back. Exactly one answer counts.
pub(crate) async fn answer(
    app: &App,
    caller: &Caller,
    id: Uuid,
    answer: Answer,
    dry_run: bool,
) -> Result<(Transfer, Option<DeviceChange>), ApiError> {
    let mut tx = app.store.begin().await?;
    let offer = find(&mut tx, caller, id).await?;
    // Each side has its own answers; both see the offer, so that this tells nothing new.
    let mine = if answer == Answer::Withdraw { &offer.from } else { &offer.to };
    if !caller.sees(mine) {
        return Err(ApiError::new(ProblemCode::Forbidden));
    }
    if offer.state != TransferState::Offered {
        let text = format!("the offer is {} already", word(offer.state));
        return Err(ApiError::new(ProblemCode::TransferEnded).detail(text));
    }
    let unknown = || ApiError::new(ProblemCode::TransferUnknown);
    let device = devices::by_key(&mut tx, &offer.device_key).await?.filter(|device| device.tenant == offer.from);
    let device = device.ok_or_else(unknown)?;
    let (state, change) = match answer {
        Answer::Accept => {
            (TransferState::Accepted, Some(accept(app, &mut tx, caller, &offer, &device, dry_run).await?))
        }
        Answer::Decline => {
            (TransferState::Declined, decline(&mut tx, caller, &offer, &device, "offer declined").await?)
        }
        Answer::Withdraw => {
            (TransferState::Withdrawn, decline(&mut tx, caller, &offer, &device, "offer taken back").await?)
        }
    };
    sqlx::query("UPDATE transfers SET state = $2, ended_by = $3, ended_at = $4 WHERE id = $1")
        .bind(&offer.id)
        .bind(word(state))
        .bind(caller.who())
        .bind(now())
        .execute(&mut *tx)
        .await?;
    if !dry_run {
        tx.commit().await?;
        app.outbox.notify_one();
    }
    Ok((Transfer { state, ..offer.wire }, change))
}

async fn decline(
    db: &mut AnyConnection,
    caller: &Caller,
    offer: &Offer,
    device: &Record,
    what: &str,
) -> Result<Option<DeviceChange>, ApiError> {
    step(db, device, Step::Decline).await?;
    touch(db, &offer.device_key).await?;
    let (who, detail) = (caller.who(), json!({ "transfer": offer.id, "toTenant": offer.to }));
    let event = Event {
        who: &who,
        what,
        device_key: Some(&offer.device_key),
        tenant: Some(&offer.from),
        detail: Some(&detail),
        ..Event::default()
    };
    events::add(db, &[event]).await?;
    Ok(None)
}

async fn accept(
    app: &App,
    db: &mut AnyConnection,
    caller: &Caller,
    offer: &Offer,
    device: &Record,
    dry_run: bool,
) -> Result<DeviceChange, ApiError> {
    let after = step(db, device, Step::Accept).await?;
    if let Some(id) = RegistrationId::parse(&device.registration_id)
        && devices::of_tenant(db, &offer.to, &id).await?.is_some()
    {
        let text = "your tenant has a device of this registration ID already";
        return Err(ApiError::new(ProblemCode::LifecycleConflict).detail(text));
    }
    let (key, who) = (&offer.device_key, caller.who());
    let mut effects = Vec::new();
    if device.handoff_open {
        effects.push(effect(
            EffectKind::HandoffEnded,
            None,
            "the pairing that goes on ends without an assignment",
            true,
        ));
    }
    let text = "the old tenant's people see the device no more; only they can give it back, by a transfer";
    effects.push(effect(EffectKind::AccessEnded, None, text, false));
    leave_orders(db, key, &mut effects).await?;
    // Where it is at work it goes on with what it has, until the new tenant gives it something else.
    let revoked = credentials::withdraw(db, key, "given to another tenant").await?;
    certificates_revoked(revoked, &mut effects);
    for instance in outbox::bar_elsewhere(app, db, device, told(device), &who).await? {
        let text = "what the device was given so far is refused there from now on";
        effects.push(effect(EffectKind::Barred, Some(&instance), text, false));
    }
    free(db, device).await?;
    // What the old tenant wished of it is not the new one's wish; where its data must stay is.
    sqlx::query(
        "UPDATE devices SET tenant = $2, lifecycle = $3, pinned_instance = NULL, site = NULL, reprovision = NULL, outcome = NULL,
             import_id = NULL, import_row = NULL, schedule_from = NULL, updated_at = $4
         WHERE key = $1",
    )
    .bind(key)
    .bind(&offer.to)
    .bind(word(after.lifecycle))
    .bind(now())
    .execute(&mut *db)
    .await?;
    leave(db, device, &who, &mut effects).await?;
    let detail = json!({ "transfer": offer.id, "fromTenant": offer.from, "toTenant": offer.to });
    let event = |what, tenant| Event {
        who: &who,
        what,
        device_key: Some(key.as_str()),
        tenant: Some(tenant),
        reason: Some(&offer.wire.reason),
        detail: Some(&detail),
        ..Event::default()
    };
    let events = [event("given to another tenant", &offer.from), event("taken over from another tenant", &offer.to)];
    events::add(db, &events).await?;
    let device = devices::by_key(db, key).await?.ok_or_else(|| ApiError::new(ProblemCode::TransferUnknown))?;
    Ok(DeviceChange { device: device.to_device(), dry_run, effects })
}

/// Its ETag is another one.
async fn touch(db: &mut AnyConnection, key: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE devices SET updated_at = $1 WHERE key = $2").bind(now()).bind(key).execute(db).await?;
    Ok(())
}

/// An offer that is from or to the caller's tenant; all others are unknown.
async fn find(db: &mut AnyConnection, caller: &Caller, id: Uuid) -> Result<Offer, ApiError> {
    let row = sqlx::query(
        "SELECT transfers.*, registration_id, model FROM transfers JOIN devices ON devices.key = device_key
         WHERE id = $1 AND ($2 IS NULL OR from_tenant = $2 OR to_tenant = $2)",
    )
    .bind(id.to_string())
    .bind(&caller.tenant)
    .fetch_optional(db)
    .await?;
    read(&row.ok_or_else(|| ApiError::new(ProblemCode::TransferUnknown))?)
}

fn read(row: &AnyRow) -> Result<Offer, ApiError> {
    let id: String = row.try_get("id")?;
    let (from, to): (String, String) = (row.try_get("from_tenant")?, row.try_get("to_tenant")?);
    let expires_at: i64 = row.try_get("expires_at")?;
    let state = match crate::words::from_word(row.try_get("state")?).unwrap_or(TransferState::Withdrawn) {
        TransferState::Offered if expires_at <= now() => TransferState::Expired,
        state => state,
    };
    Ok(Offer {
        device_key: row.try_get("device_key")?,
        wire: Transfer {
            id: id.parse().unwrap_or_default(),
            registration_id: row.try_get("registration_id")?,
            model: row.try_get("model")?,
            from_tenant: from.clone(),
            to_tenant: to.clone(),
            reason: row.try_get("reason")?,
            state,
            offered_at: time(row.try_get("offered_at")?),
            expires_at: time(expires_at),
        },
        id,
        from,
        to,
        state,
    })
}
