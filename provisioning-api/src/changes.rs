//! What administrators do with a device: reprovision, move, decommission. Everything here is done in one transaction; what is
//! to be done at DPS is written into the outbox with it. A dry run does the same and takes it back.

use provisioning_api_contract::{
    BulkOperation, BulkReport, BulkRequest, BulkSelection, DeviceChange, Effect, EffectKind, Lifecycle, ProblemCode,
    ReprovisionPolicy,
};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Row as _};

use crate::allocation::ruled_out;
use crate::api::ApiError;
use crate::app::App;
use crate::credentials;
use crate::devices::{self, Record};
use crate::etag::Seen;
use crate::events::{self, Event};
use crate::instances::knows_name;
use crate::life_cycle::{self, Standing, Step};
use crate::outbox::{self, New, Task};
use crate::placement;
use crate::registration_id::RegistrationId;
use crate::statement::Statement;
use crate::store::now;
use crate::tokens::Caller;
use crate::words::word;

/// The longest reason, in characters.
const MAX_REASON: usize = 500;

/// Devices of one bulk request: nobody else writes meanwhile.
pub(crate) const MAX_BULK: usize = 200;

/// What is done with a device.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Reprovision(ReprovisionPolicy),
    Move(String),
    Decommission,
}

impl Change {
    fn step(&self) -> Step {
        match self {
            Self::Reprovision(_) => Step::Reprovision,
            Self::Move(_) => Step::Move,
            Self::Decommission => Step::Decommission,
        }
    }

    fn what(&self) -> &'static str {
        match self {
            Self::Reprovision(_) => "reprovisioning asked for",
            Self::Move(_) => "moved to another DPS instance",
            Self::Decommission => "decommissioned",
        }
    }

    fn detail(&self, device: &Record) -> Value {
        match self {
            Self::Reprovision(policy) => json!({ "policy": policy }),
            Self::Move(to) => json!({ "from": device.dps_instance, "to": to }),
            Self::Decommission => json!({ "dpsInstance": device.dps_instance }),
        }
    }
}

/// Changes one device as it was last seen.
pub(crate) async fn change(
    app: &App,
    caller: &Caller,
    id: &RegistrationId,
    seen: &Seen,
    change: &Change,
    reason: &str,
    dry_run: bool,
) -> Result<(DeviceChange, i64), ApiError> {
    let reason = check_reason(reason)?;
    let mut tx = app.store.begin().await?;
    let device = devices::find(&mut tx, caller, id).await?;
    seen.check(device.version)?;
    let effects = apply(app, &mut tx, caller, &device, change, reason).await?;
    let after = devices::find(&mut tx, caller, id).await?;
    let answer = DeviceChange { device: after.to_device(), dry_run, effects };
    // Not committed, it is taken back.
    if !dry_run {
        tx.commit().await?;
        app.outbox.notify_one();
    }
    Ok((answer, if dry_run { device.version } else { after.version }))
}

async fn apply(
    app: &App,
    db: &mut AnyConnection,
    caller: &Caller,
    device: &Record,
    change: &Change,
    reason: &str,
) -> Result<Vec<Effect>, ApiError> {
    let after = step(db, device, change.step()).await?;
    let (key, who) = (device.key(), caller.who());
    let mut effects = Vec::new();
    if device.handoff_open && !matches!(change, Change::Reprovision(_)) {
        effects.push(effect(
            EffectKind::HandoffEnded,
            None,
            "the pairing that goes on ends without an assignment",
            true,
        ));
    }
    match change {
        Change::Reprovision(policy) => reprovision(db, device, *policy, &who, &mut effects).await?,
        Change::Move(to) => move_to(app, db, caller, device, to, &mut effects).await?,
        Change::Decommission => decommission(app, db, device, reason, &who, &mut effects).await?,
    }
    sqlx::query("UPDATE devices SET lifecycle = $2, updated_at = $3 WHERE key = $1")
        .bind(&key)
        .bind(word(after.lifecycle))
        .bind(now())
        .execute(&mut *db)
        .await?;
    let detail = change.detail(device);
    let event = Event {
        who: &who,
        what: change.what(),
        device_key: Some(&key),
        reason: Some(reason),
        detail: Some(&detail),
        ..Event::default()
    };
    events::add(db, &[event]).await?;
    Ok(effects)
}

/// Where the device stands after this, if it may be done with it now.
pub(crate) async fn step(db: &mut AnyConnection, device: &Record, step: Step) -> Result<Standing, ApiError> {
    let offer = sqlx::query("SELECT 1 FROM transfers WHERE device_key = $1 AND state = 'offered' AND expires_at > $2")
        .bind(device.key())
        .bind(now())
        .fetch_optional(db)
        .await?;
    let standing = Standing { lifecycle: device.lifecycle, offered: offer.is_some() };
    life_cycle::after(standing, step).ok_or_else(|| {
        let offer = if standing.offered { " and on offer to another tenant" } else { "" };
        let text =
            format!("the device is {}{offer}; docs/life-cycle.md says what can be done then", word(device.lifecycle));
        ApiError::new(ProblemCode::LifecycleConflict).detail(text)
    })
}

async fn reprovision(
    db: &mut AnyConnection,
    device: &Record,
    policy: ReprovisionPolicy,
    who: &str,
    effects: &mut Vec<Effect>,
) -> Result<(), ApiError> {
    let key = device.key();
    sqlx::query("UPDATE devices SET reprovision = $1 WHERE key = $2")
        .bind(word(policy))
        .bind(&key)
        .execute(&mut *db)
        .await?;
    if let Some(instance) = told(device) {
        put(db, device, instance, Task::Policy, false, who).await?;
        let (kept, undone) = match policy {
            ReprovisionPolicy::KeepData => ("it keeps its hub and its data when it registers again", true),
            ReprovisionPolicy::Reset => {
                ("when another hub gets it, its twin starts anew; what was in it is gone", false)
            }
            _ => ("when another hub gets it, its twin goes with it", true),
        };
        effects.push(effect(EffectKind::PolicySet, Some(instance), kept, undone));
    }
    effects.push(effect(EffectKind::RegisterAgain, None, "nothing happens before the device registers again", true));
    Ok(())
}

async fn move_to(
    app: &App,
    db: &mut AnyConnection,
    caller: &Caller,
    device: &Record,
    to: &str,
    effects: &mut Vec<Effect>,
) -> Result<(), ApiError> {
    if device.dps_instance.as_deref() == Some(to) && device.allocated_at.is_some() {
        return Err(ApiError::new(ProblemCode::BadRequest).detail("the device is at this DPS instance already"));
    }
    let known = placement::known(app, db).await?;
    let candidates = placement::candidates(&known);
    let there = || ApiError::new(ProblemCode::BadRequest).detail("there is no DPS instance of that name");
    let candidate = candidates.iter().find(|one| one.name == to && knows_name(app, caller, to)).ok_or_else(there)?;
    let mut pinned = device.clone();
    pinned.pinned_instance = Some(to.to_owned());
    let against = ruled_out(candidate, &placement::wanted(db, &pinned).await?, &candidates);
    if !against.is_empty() {
        let words: Vec<_> = against.into_iter().map(word).collect();
        let text = format!("the DPS instance cannot take this device: {}", words.join(", "));
        return Err(ApiError::new(ProblemCode::NoInstance).detail(text));
    }
    free(db, device).await?;
    sqlx::query("UPDATE devices SET pinned_instance = $2, dps_instance = $2, reserved_at = $3, reserved_until = $4 WHERE key = $1")
        .bind(device.key())
        .bind(to)
        .bind(now())
        .bind(now().saturating_add(placement::RESERVATION_HOLD))
        .execute(&mut *db)
        .await?;
    leave(db, device, &caller.who(), effects).await
}

/// The former registration goes when there is a new one.
pub(crate) async fn leave(
    db: &mut AnyConnection,
    device: &Record,
    who: &str,
    effects: &mut Vec<Effect>,
) -> Result<(), ApiError> {
    if let Some(instance) = told(device) {
        put(db, device, instance, Task::Remove, true, who).await?;
        let text =
            "its registration there is removed once the device is assigned elsewhere; until then it works as before";
        effects.push(effect(EffectKind::RegistrationRemovedLater, Some(instance), text, true));
    }
    effects.push(effect(EffectKind::PairAgain, None, "the device must be paired to learn its new ID scope", true));
    Ok(())
}

async fn decommission(
    app: &App,
    db: &mut AnyConnection,
    device: &Record,
    reason: &str,
    who: &str,
    effects: &mut Vec<Effect>,
) -> Result<(), ApiError> {
    let key = device.key();
    let revoked = credentials::withdraw(db, &key, reason).await?;
    free(db, device).await?;
    sqlx::query("UPDATE devices SET reprovision = NULL, schedule_from = NULL WHERE key = $1")
        .bind(&key)
        .execute(&mut *db)
        .await?;
    if let Some(instance) = told(device) {
        put(db, device, instance, Task::Bar, false, who).await?;
        barred_there(instance, effects);
    }
    for instance in outbox::bar_elsewhere(app, db, device, told(device), who).await? {
        barred_there(&instance, effects);
    }
    for instance in outbox::bar_former(db, &key).await? {
        barred_there(&instance, effects);
    }
    certificates_revoked(revoked, effects);
    let ended = sqlx::query("UPDATE transfers SET state = 'withdrawn', ended_by = $2, ended_at = $3 WHERE device_key = $1 AND state = 'offered'")
        .bind(&key)
        .bind(who)
        .bind(now())
        .execute(&mut *db)
        .await?
        .rows_affected();
    if ended > 0 {
        effects.push(effect(EffectKind::OfferEnded, None, "its offer to another tenant ends", true));
    }
    leave_orders(db, &key, effects).await
}

fn barred_there(instance: &str, effects: &mut Vec<Effect>) {
    let text =
        "its registration is removed, and DPS refuses it from then on; only a new import takes it into service again";
    effects.push(effect(EffectKind::Barred, Some(instance), text, false));
}

pub(crate) fn certificates_revoked(how_many: u64, effects: &mut Vec<Effect>) {
    if how_many > 0 {
        let text = format!("{how_many} certificates are marked as revoked");
        effects.push(effect(EffectKind::CertificatesRevoked, None, &text, false));
    }
}

/// Installers of open orders see the device no more.
pub(crate) async fn leave_orders(db: &mut AnyConnection, key: &str, effects: &mut Vec<Effect>) -> Result<(), ApiError> {
    let left = sqlx::query(
        "DELETE FROM work_order_devices WHERE device_key = $1 AND order_id IN (SELECT id FROM work_orders WHERE state = 'open')",
    )
    .bind(key)
    .execute(db)
    .await?;
    if left.rows_affected() > 0 {
        effects.push(effect(EffectKind::OrdersEnded, None, "it leaves the open work orders", true));
    }
    Ok(())
}

/// Without instance, hand-off and reservation.
pub(crate) async fn free(db: &mut AnyConnection, device: &Record) -> Result<(), ApiError> {
    sqlx::query(
        "UPDATE devices SET dps_instance = NULL, attestation = NULL, allocated_at = NULL, handoff_id = NULL, handoff_open = 0,
             handoff_account = NULL, starts_at = NULL, slot_instance = NULL, slot_taken_at = NULL, reserved_at = NULL, reserved_until = NULL
         WHERE key = $1",
    )
    .bind(device.key())
    .execute(db)
    .await?;
    Ok(())
}

/// The instance that an app was told.
pub(crate) fn told(device: &Record) -> Option<&str> {
    device.dps_instance.as_deref().filter(|_| device.allocated_at.is_some())
}

async fn put(
    db: &mut AnyConnection,
    device: &Record,
    instance: &str,
    task: Task,
    waits: bool,
    who: &str,
) -> Result<(), ApiError> {
    let new = New {
        key: &device.key(),
        registration_id: &device.registration_id,
        instance,
        task,
        attestation: device.attestation,
        waits,
        who,
    };
    Ok(outbox::put(db, new).await?)
}

pub(crate) fn effect(kind: EffectKind, dps_instance: Option<&str>, text: &str, can_be_undone: bool) -> Effect {
    Effect { kind, dps_instance: dps_instance.map(Into::into), text: text.into(), can_be_undone }
}

/// Why something dangerous is done is asked for, and kept.
pub(crate) fn check_reason(reason: &str) -> Result<&str, ApiError> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
        let text = "reason must have 1 to 500 characters, all of which print";
        return Err(ApiError::new(ProblemCode::BadRequest).detail(text));
    }
    Ok(reason)
}

/// The same with many devices, as many as were counted before.
pub(crate) async fn bulk(
    app: &App,
    caller: &Caller,
    request: &BulkRequest,
    dry_run: bool,
) -> Result<BulkReport, ApiError> {
    let wrong = |text: &str| ApiError::new(ProblemCode::BadRequest).detail(text);
    let reason = check_reason(&request.reason)?;
    let change = match (request.operation, &request.dps_instance) {
        (BulkOperation::Move, Some(to)) => Change::Move(to.clone()),
        (BulkOperation::Move, None) => return Err(wrong("a move needs dpsInstance")),
        (BulkOperation::Decommission, None) => Change::Decommission,
        (BulkOperation::Decommission, Some(_)) => return Err(wrong("only a move has dpsInstance")),
        _ => return Err(wrong("this is not known")),
    };
    if !dry_run && request.expected.is_none() {
        return Err(wrong("say in expected how many devices the dry run counted"));
    }
    let mut tx = app.store.begin().await?;
    let chosen = select(&mut tx, caller, &request.select, &change).await?;
    let count = chosen.0;
    if request.expected.is_some_and(|expected| expected != count) {
        let text = format!("the selection has {count} devices now; look at it once more with a dry run");
        return Err(ApiError::new(ProblemCode::PreconditionFailed).detail(text));
    }
    let mut effects: Vec<Effect> = Vec::new();
    let mut registration_ids = Vec::with_capacity(chosen.1.len());
    for key in chosen.1 {
        let Some(device) = devices::by_key(&mut tx, &key).await? else { continue };
        for effect in apply(app, &mut tx, caller, &device, &change, reason).await? {
            if !effects.iter().any(|one| one.kind == effect.kind && one.dps_instance == effect.dps_instance) {
                effects.push(effect);
            }
        }
        registration_ids.push(device.registration_id);
    }
    if !dry_run {
        tx.commit().await?;
        app.outbox.notify_one();
    }
    let done = registration_ids.len() as u64;
    let changed = if dry_run { 0 } else { done };
    Ok(BulkReport { dry_run, count, changed, remaining: count - changed, registration_ids, effects })
}

/// How many devices there are, and the keys of the first of them.
async fn select(
    db: &mut AnyConnection,
    caller: &Caller,
    wanted: &BulkSelection,
    change: &Change,
) -> Result<(u64, Vec<String>), ApiError> {
    if *wanted == BulkSelection::default() {
        return Err(ApiError::new(ProblemCode::BadRequest).detail("select must say something"));
    }
    let ids = wanted.registration_ids.as_deref().unwrap_or_default();
    if ids.len() > MAX_BULK {
        return Err(ApiError::new(ProblemCode::BadRequest).detail("registrationIds has at most 200"));
    }
    let filter = |query: &mut Statement| {
        query.push(" FROM devices WHERE lifecycle <> ").bind(word(Lifecycle::Decommissioned));
        if let Some(tenant) = &caller.tenant {
            query.push(" AND tenant = ").bind(tenant.clone());
        }
        if let Some(instance) = &wanted.dps_instance {
            query.push(" AND dps_instance = ").bind(instance.clone());
        }
        if let Some(model) = &wanted.model {
            query.push(" AND model = ").bind(model.clone());
        }
        if let Some(site) = &wanted.site {
            query.push(" AND site = ").bind(site.clone());
        }
        // Those that are there already need not move.
        if let Change::Move(to) = change {
            query.push(" AND (dps_instance IS NULL OR dps_instance <> ").bind(to.clone()).push(")");
        }
        if wanted.registration_ids.is_some() {
            query.push(" AND name IN ").list(ids, |names, id| {
                names.bind(id.to_ascii_lowercase());
            });
        }
    };
    let mut count = Statement::new("SELECT COUNT(*)");
    filter(&mut count);
    let count: i64 = count.query(db).persistent(false).fetch_one(&mut *db).await?.try_get(0)?;
    let mut first = Statement::new("SELECT key");
    filter(&mut first);
    first.push(" ORDER BY key LIMIT ").bind(MAX_BULK as i64);
    let rows = first.query(db).persistent(false).fetch_all(db).await?;
    let first = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok((count.max(0) as u64, first))
}
