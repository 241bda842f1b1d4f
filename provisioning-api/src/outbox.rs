//! What is still to be done at DPS after a change of a device's life: written in the transaction of the change, worked off
//! after it, and finished on the next start when the service is killed in between. Everything in it may be done twice.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use provisioning_api_contract::{Attestation, Lifecycle, ReprovisionPolicy};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::api::ApiError;
use crate::app::App;
use crate::credentials::{self, Which};
use crate::devices::Record;
use crate::dps_client::{BulkFailure, BulkMode, DpsClient, DpsError, Enrollment, Expect};
use crate::enrollments::{EnrollmentError, Instance, reprovisioning};
use crate::events::{self, Event};
use crate::store::{flag, now};
use crate::words::{from_word, word};

/// Whoever works at a task has it for so long; then it was killed.
const LEASE: i64 = 60 * 1000;

/// Tasks of one kind at one instance that are taken together: DPS does as much with enrollments in one bulk operation.
const TOGETHER: i64 = 10;

/// Between two tries of a task that DPS did not do: doubled each time, from the first to the second.
const DELAYS: (i64, i64) = (2 * 1000, 15 * 60 * 1000);

/// DPS may ask for a shorter pause than that, and not for none.
const SHORTEST: i64 = 1000;

/// Other processes write tasks as well, and do not wake this one.
const POLL: Duration = Duration::from_secs(5);

/// Looks at an enrollment that others change at the same time.
const LOOKS: u32 = 3;

/// The error that is kept with a task is for people.
const MAX_TEXT: usize = 200;

/// What is to be done with one registration ID at one DPS instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Registration and individual enrollment go: the device is elsewhere.
    Remove,
    /// A disabled individual enrollment keeps it from registering, and the registration goes.
    Bar,
    /// The disabled enrollment goes.
    Unbar,
    /// An enrollment that a former life left there goes: the next one attests otherwise, or has no policy of its own.
    Forget,
    /// The enrollment names the credential that is in force, and the reprovisioning policy.
    Policy,
}

impl Task {
    const ALL: [Self; 5] = [Self::Remove, Self::Bar, Self::Unbar, Self::Forget, Self::Policy];

    fn as_str(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Bar => "bar",
            Self::Unbar => "unbar",
            Self::Forget => "forget",
            Self::Policy => "policy",
        }
    }
}

/// What became of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Dropped,
    AsAsked,
    /// The policy came with a new credential to where the device was barred.
    Lifted,
}

impl Done {
    fn words(self, task: Task) -> &'static str {
        match (self, task) {
            (Self::Dropped, _) => "task at DPS dropped: the device has gone on",
            (Self::Lifted, _) | (_, Task::Unbar) => "no longer barred at DPS",
            (_, Task::Remove) => "registration removed at DPS",
            (_, Task::Bar) => "barred at DPS",
            (_, Task::Forget) => "former enrollment removed at DPS",
            (_, Task::Policy) => "reprovisioning policy set at DPS",
        }
    }
}

/// A task to write down.
pub(crate) struct New<'a> {
    pub(crate) key: &'a str,
    pub(crate) registration_id: &'a str,
    pub(crate) instance: &'a str,
    pub(crate) task: Task,
    pub(crate) attestation: Option<Attestation>,
    /// Not before the device is assigned elsewhere.
    pub(crate) waits: bool,
    pub(crate) who: &'a str,
}

#[derive(Debug)]
struct Item {
    id: i64,
    key: String,
    registration_id: String,
    instance: String,
    task: Task,
    attestation: Option<Attestation>,
    who: String,
    tries: i64,
}

/// Why a task is not done yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TaskError {
    #[error(transparent)]
    Dps(#[from] DpsError),
    #[error(transparent)]
    Enrollment(#[from] EnrollmentError),
    #[error("the DPS instance is not configured any more")]
    NoInstance,
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
}

impl From<TaskError> for ApiError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Dps(error) => error.into(),
            TaskError::Enrollment(error) => error.into(),
            TaskError::Database(error) => error.into(),
            TaskError::NoInstance => ApiError::new(provisioning_api_contract::ProblemCode::NoInstance),
        }
    }
}

/// Writes a task down, in the transaction of the change that asks for it. [`App::outbox`] is to be notified after it.
pub(crate) async fn put(db: &mut AnyConnection, new: New<'_>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO outbox (device_key, registration_id, dps_instance, task, detail, who, waits, due_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
    )
    .bind(new.key)
    .bind(new.registration_id)
    .bind(new.instance)
    .bind(new.task.as_str())
    .bind(new.attestation.map(word))
    .bind(new.who)
    .bind(i64::from(new.waits))
    .bind(now())
    .execute(db)
    .await?;
    Ok(())
}

/// The device was assigned at this instance: what waited for that is due, but for what the device came back to. Where
/// something that was withdrawn would still let it in, it is barred.
pub(crate) async fn assigned(db: &mut AnyConnection, key: &str, instance: &str) -> Result<(), sqlx::Error> {
    let bars = credentials::are_withdrawn(db, key).await?;
    sqlx::query(
        "UPDATE outbox SET waits = 0, due_at = $3, done_at = CASE WHEN dps_instance = $2 THEN $3 END,
             task = CASE WHEN $4 AND dps_instance <> $2 THEN 'bar' ELSE task END
         WHERE device_key = $1 AND waits = 1 AND done_at IS NULL",
    )
    .bind(key)
    .bind(instance)
    .bind(now())
    .bind(bars)
    .execute(db)
    .await?;
    Ok(())
}

/// What the device was given is withdrawn: bars it at every instance that would take it, but for this one and those where it
/// may still be at work. Says where.
pub(crate) async fn bar_elsewhere(
    app: &App,
    db: &mut AnyConnection,
    device: &Record,
    here: Option<&str>,
    who: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let key = device.key();
    // A key is good where it was given, a certificate of ours wherever our CA is known.
    let former: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT dps_instance FROM outbox WHERE device_key = $1 AND detail = 'symmetricKey'",
    )
    .bind(&key)
    .fetch_all(&mut *db)
    .await?;
    let waiting: Vec<String> =
        sqlx::query_scalar("SELECT dps_instance FROM outbox WHERE device_key = $1 AND waits = 1 AND done_at IS NULL")
            .bind(&key)
            .fetch_all(&mut *db)
            .await?;
    let mut places = BTreeMap::new();
    if credentials::has_certificates(db, &key).await? {
        places.extend(app.instances.keys().map(|name| (name.clone(), Attestation::X509)));
    }
    let known = former.into_iter().filter(|name| app.instances.contains_key(name));
    places.extend(known.map(|name| (name, Attestation::SymmetricKey)));
    places.retain(|name, _| here != Some(name) && !waiting.contains(name));
    for (instance, attestation) in &places {
        let new = New {
            key: &key,
            registration_id: &device.registration_id,
            instance,
            task: Task::Bar,
            attestation: Some(*attestation),
            waits: false,
            who,
        };
        put(db, new).await?;
    }
    Ok(places.into_keys().collect())
}

/// The same at the instances that this service did not know when it was withdrawn.
async fn bar_at_new_instances(app: &App) -> Result<(), sqlx::Error> {
    const NOT_THERE: &str = "(dps_instance IS NULL OR dps_instance <> $1) AND NOT EXISTS
         (SELECT 1 FROM outbox AS one WHERE one.device_key = devices.key AND one.dps_instance = $1
          AND (one.task IN ('bar', 'lifted') OR (one.task = 'remove' AND one.done_at IS NULL)))";
    const CERTIFICATE: &str =
        "key IN (SELECT device_key FROM certificates WHERE revoked_at IS NOT NULL AND not_after > $2)";
    const KEY: &str = "key_generation > 0 AND EXISTS (SELECT 1 FROM outbox AS one WHERE one.device_key = devices.key
         AND one.dps_instance = $1 AND one.detail = 'symmetricKey')";
    for (withdrawn, attestation) in [(CERTIFICATE, Attestation::X509), (KEY, Attestation::SymmetricKey)] {
        for instance in app.instances.keys() {
            let mut tx = app.store.begin().await?;
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "INSERT INTO outbox (device_key, registration_id, dps_instance, task, detail, who, due_at, created_at)
                 SELECT key, registration_id, $1, 'bar', $3, 'the API', $2, $2 FROM devices WHERE {NOT_THERE} AND {withdrawn}"
            )))
            .bind(instance)
            .bind(now())
            .bind(word(attestation))
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// The device goes out of service: what waited for an assignment elsewhere waits no more, and bars it there too. Says where.
pub(crate) async fn bar_former(db: &mut AnyConnection, key: &str) -> Result<BTreeSet<String>, sqlx::Error> {
    let places: Vec<String> = sqlx::query_scalar(
        "UPDATE outbox SET waits = 0, due_at = $2, task = 'bar' WHERE device_key = $1 AND waits = 1 AND done_at IS NULL
         RETURNING dps_instance",
    )
    .bind(key)
    .bind(now())
    .fetch_all(db)
    .await?;
    Ok(places.into_iter().collect())
}

/// The device comes back into service: wherever it was barred, it no longer is. Where something that was withdrawn would let
/// it in, it stays barred until a pairing gives it another credential there.
pub(crate) async fn unbar(db: &mut AnyConnection, key: &str, who: &str) -> Result<(), ApiError> {
    if credentials::are_withdrawn(db, key).await? {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT dps_instance, registration_id, detail FROM outbox AS one WHERE device_key = $1 AND task = 'bar' AND NOT EXISTS
             (SELECT 1 FROM outbox AS later WHERE later.device_key = one.device_key AND later.dps_instance = one.dps_instance
              AND later.id > one.id AND later.task IN ('bar', 'unbar'))",
    )
    .bind(key)
    .fetch_all(&mut *db)
    .await?;
    for row in rows {
        let new = New {
            key,
            registration_id: row.try_get("registration_id")?,
            instance: row.try_get("dps_instance")?,
            task: Task::Unbar,
            attestation: row.try_get::<Option<&str>, _>("detail")?.and_then(from_word),
            waits: false,
            who,
        };
        put(db, new).await?;
    }
    Ok(())
}

/// A pairing goes on at this instance: what an earlier life of the device left there, and is in the way of this one, goes.
/// What stays gets the new credential with that ([`renew_policy`]).
pub(crate) async fn arrive(
    db: &mut AnyConnection,
    device: &Record,
    instance: &str,
    attestation: Attestation,
    who: &str,
) -> Result<(), sqlx::Error> {
    let key = device.key();
    let left = sqlx::query(
        "SELECT task, detail FROM outbox AS one WHERE device_key = $1 AND dps_instance = $2
             AND (task = 'bar' OR (task = 'remove' AND waits = 1 AND done_at IS NULL)) AND NOT EXISTS
                 (SELECT 1 FROM outbox AS later WHERE later.device_key = one.device_key
                  AND later.dps_instance = one.dps_instance AND later.id > one.id AND later.task IN ('unbar', 'forget'))
         ORDER BY id DESC LIMIT 1",
    )
    .bind(&key)
    .bind(instance)
    .fetch_optional(&mut *db)
    .await?;
    let Some(left) = left else { return Ok(()) };
    if attestation != Attestation::Tpm && has_enrollment(db, &key).await? {
        return Ok(());
    }
    let before: Option<Attestation> = left.try_get::<Option<&str>, _>("detail")?.and_then(from_word);
    let task = match left.try_get("task")? {
        "bar" => Task::Unbar,
        // The same TPM's enrollment is the same again.
        _ if attestation == Attestation::Tpm && before == Some(Attestation::Tpm) => return Ok(()),
        _ => Task::Forget,
    };
    let new = New {
        key: &key,
        registration_id: &device.registration_id,
        instance,
        task,
        attestation: before,
        waits: false,
        who,
    };
    put(db, new).await
}

/// Whether the device has an individual enrollment where it is, beside a TPM's: a group would be wrong for it.
async fn has_enrollment(db: &mut AnyConnection, key: &str) -> Result<bool, sqlx::Error> {
    let has_policy =
        matches!(reprovision_policy(db, key).await?, Some(ReprovisionPolicy::KeepData | ReprovisionPolicy::Reset));
    Ok(has_policy || credentials::are_withdrawn(db, key).await?)
}

/// What an administrator asked for last, if anything.
pub(crate) async fn reprovision_policy(
    db: &mut AnyConnection,
    key: &str,
) -> Result<Option<ReprovisionPolicy>, sqlx::Error> {
    let policy: Option<String> =
        sqlx::query_scalar("SELECT reprovision FROM devices WHERE key = $1").bind(key).fetch_one(db).await?;
    Ok(policy.as_deref().and_then(from_word))
}

/// The device may keep its tenant's key from now on: an app was given it.
pub(crate) async fn may_hold(db: &mut AnyConnection, key: &str) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO held_owners (device_key, tenant) SELECT key, tenant FROM devices WHERE key = $1 ON CONFLICT DO NOTHING")
        .bind(key)
        .execute(db)
        .await?;
    Ok(())
}

/// The device was assigned after a hand-off: it keeps its tenant's key, and no other's any more.
pub(crate) async fn holds(db: &mut AnyConnection, device: &Record) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM held_owners WHERE device_key = $1 AND tenant <> $2")
        .bind(device.key())
        .bind(&device.tenant)
        .execute(db)
        .await?;
    Ok(())
}

/// An individual enrollment, where the device is to have one, must know its new credential.
pub(crate) async fn renew_policy(db: &mut AnyConnection, device: &Record, who: &str) -> Result<(), sqlx::Error> {
    let key = device.key();
    let Some(instance) = &device.dps_instance else { return Ok(()) };
    if !has_enrollment(db, &key).await? {
        return Ok(());
    }
    let new = New {
        key: &key,
        registration_id: &device.registration_id,
        instance,
        task: Task::Policy,
        attestation: device.attestation,
        waits: false,
        who,
    };
    put(db, new).await
}

/// What is still to be done for a device, in words.
pub(crate) async fn pending(db: &mut AnyConnection, key: &str) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM outbox WHERE device_key = $1 AND done_at IS NULL ORDER BY id")
        .bind(key)
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| {
            let (what, instance): (&str, &str) = (row.try_get("task")?, row.try_get("dps_instance")?);
            let waits = if flag(row, "waits")? { ", once the device is assigned elsewhere" } else { "" };
            let error = row.try_get::<Option<&str>, _>("last_error")?.map(|error| format!(" ({error})"));
            Ok(format!("{what} at {instance}{waits}{}", error.unwrap_or_default()))
        })
        .collect()
}

/// Works off what is due, until it is aborted.
pub(crate) async fn work(app: Arc<App>) {
    let mut is_begun = false;
    loop {
        let some = async {
            if !is_begun {
                bar_at_new_instances(&app).await?;
                is_begun = true;
            }
            work_some(&app).await
        };
        match caught(some).await {
            Some(Ok(true)) => {}
            Some(Ok(false)) => {
                let _ = tokio::time::timeout(POLL, app.outbox.notified()).await;
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "the outbox cannot be worked at");
                tokio::time::sleep(POLL).await;
            }
            None => tokio::time::sleep(POLL).await,
        }
    }
}

/// `None`: it panicked, which is a mistake of ours in one task. The others are done all the same, and that one is tried again
/// when its lease is over.
async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    if outcome.is_err() {
        tracing::error!("working at the outbox panicked; it goes on with what else is to be done at DPS");
    }
    outcome.ok()
}

/// Takes the next tasks and tries them; false when none is due.
async fn work_some(app: &App) -> Result<bool, sqlx::Error> {
    let items = take(app).await?;
    let enrolled = enroll_together(app, &items).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "a bulk operation was not done; each is tried by itself");
        HashSet::new()
    });
    for item in &items {
        try_one(app, item, enrolled.contains(&item.id)).await?;
    }
    Ok(!items.is_empty())
}

async fn try_one(app: &App, item: &Item, enrolled: bool) -> Result<(), sqlx::Error> {
    match perform(app, item, enrolled).await {
        Ok(done) => finish(app, item, done).await?,
        Err(error) => {
            tracing::warn!(instance = item.instance, task = item.task.as_str(), %error, "a task at DPS is left for later");
            let delay = delay(item.tries, &error);
            let mut tx = app.store.begin().await?;
            sqlx::query("UPDATE outbox SET due_at = $2, taken_until = 0, last_error = $3 WHERE id = $1")
                .bind(item.id)
                .bind(now().saturating_add(delay))
                .bind(error.to_string().chars().take(MAX_TEXT).collect::<String>())
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// What many of these tasks do with individual enrollments, in one bulk operation: those are told with which it was done.
async fn enroll_together(app: &App, items: &[Item]) -> Result<HashSet<i64>, TaskError> {
    let mut done = HashSet::new();
    let (Some(first), true) = (items.first(), items.len() > 1) else { return Ok(done) };
    let instance = app.instances.get(&first.instance).ok_or(TaskError::NoInstance)?;
    let (mut still, mut documents) = (Vec::new(), Vec::new());
    for item in items {
        if is_past(item, &standing(app, &item.key).await?) {
            continue;
        }
        documents.push(match item.task {
            Task::Bar => barred(app, item).await?,
            Task::Remove | Task::Unbar | Task::Forget => json!({ "registrationId": item.registration_id }),
            Task::Policy => return Ok(done),
        });
        still.push(item);
    }
    // One that is there already is not created, and changed by itself.
    let mode = if first.task == Task::Bar { BulkMode::Create } else { BulkMode::Delete };
    let failures = instance.dps.bulk(mode, &documents).await?;
    for item in still {
        let failed = failures.iter().find(|one| one.registration_id.eq_ignore_ascii_case(&item.registration_id));
        let is_gone = |failure: &&BulkFailure| mode == BulkMode::Delete && failure.is_unknown();
        if failed.as_ref().is_none_or(is_gone) {
            done.insert(item.id);
        }
    }
    Ok(done)
}

/// Does at once what is due for a device at an instance: a pairing that is to go on there needs it done.
pub(crate) async fn finish_for(app: &App, key: &str, instance: &str) -> Result<(), TaskError> {
    let rows = sqlx::query(
        "SELECT * FROM outbox WHERE device_key = $1 AND dps_instance = $2 AND done_at IS NULL AND waits = 0 ORDER BY id",
    )
    .bind(key)
    .bind(instance)
    .fetch_all(app.store.read())
    .await?;
    for row in rows {
        let Some(item) = read(&row)? else { continue };
        let done = perform(app, &item, false).await?;
        finish(app, &item, done).await?;
    }
    Ok(())
}

fn delay(tries: i64, error: &TaskError) -> i64 {
    // Full jitter (DESIGN.md, one retry layer).
    let ceiling = DELAYS.0.saturating_mul(1 << tries.clamp(0, 20)).min(DELAYS.1);
    let doubled = (ceiling as f64 * rand::random::<f64>()) as i64;
    let TaskError::Dps(error) = error else { return doubled };
    let Some(told) = error.retry_after() else { return doubled };
    let told = i64::try_from(told.as_millis()).unwrap_or(i64::MAX).clamp(SHORTEST, DELAYS.1);
    match error {
        // Of our own making, for a caller who waits: thousands of tasks need not all come back as soon.
        DpsError::CircuitOpen { .. } | DpsError::AtLimit { .. } => told.max(doubled),
        _ => told,
    }
}

/// The next task that is due, and others of its kind at its instance.
async fn take(app: &App) -> Result<Vec<Item>, sqlx::Error> {
    // Of one device at one instance they are done in their order. Times that lie too far ahead are from before the clock
    // was put back.
    const DUE: &str = "done_at IS NULL AND waits = 0 AND (due_at <= $1 OR due_at > $1 + 3600000)
         AND (taken_until <= $1 OR taken_until > $1 + 3600000) AND NOT EXISTS
             (SELECT 1 FROM outbox AS earlier WHERE earlier.device_key = one.device_key
              AND earlier.dps_instance = one.dps_instance AND earlier.id < one.id AND earlier.done_at IS NULL AND earlier.waits = 0)";
    let at = now();
    let any = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT id FROM outbox AS one WHERE {DUE} LIMIT 1")))
        .bind(at)
        .fetch_optional(app.store.read())
        .await?;
    if any.is_none() {
        return Ok(Vec::new());
    }
    let mut tx = app.store.begin().await?;
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "UPDATE outbox SET taken_until = $2, tries = tries + 1
         WHERE id = (SELECT id FROM outbox AS one WHERE {DUE} ORDER BY due_at, id LIMIT 1) RETURNING *"
    )))
    .bind(at)
    .bind(at.saturating_add(LEASE))
    .fetch_optional(&mut *tx)
    .await?;
    let mut items: Vec<Item> = row.as_ref().map(read).transpose()?.flatten().into_iter().collect();
    if let Some(first) = items.first().filter(|first| first.task != Task::Policy) {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE outbox SET taken_until = $2, tries = tries + 1
             WHERE id IN (SELECT id FROM outbox AS one WHERE {DUE} AND dps_instance = $3 AND task = $4 ORDER BY due_at, id LIMIT $5)
             RETURNING *"
        )))
        .bind(at)
        .bind(at.saturating_add(LEASE))
        .bind(&first.instance)
        .bind(first.task.as_str())
        .bind(TOGETHER - 1)
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            items.extend(read(row)?);
        }
    }
    tx.commit().await?;
    Ok(items)
}

fn read(row: &AnyRow) -> Result<Option<Item>, sqlx::Error> {
    let task: &str = row.try_get("task")?;
    let Some(task) = Task::ALL.into_iter().find(|one| one.as_str() == task) else { return Ok(None) };
    Ok(Some(Item {
        id: row.try_get("id")?,
        key: row.try_get("device_key")?,
        registration_id: row.try_get("registration_id")?,
        instance: row.try_get("dps_instance")?,
        task,
        attestation: row.try_get::<Option<&str>, _>("detail")?.and_then(from_word),
        who: row.try_get("who")?,
        tries: row.try_get("tries")?,
    }))
}

/// What became of it is recorded once, however often it was done.
async fn finish(app: &App, item: &Item, done: Done) -> Result<(), sqlx::Error> {
    let mut tx = app.store.begin().await?;
    let first = sqlx::query("UPDATE outbox SET done_at = $1, last_error = NULL WHERE id = $2 AND done_at IS NULL")
        .bind(now())
        .bind(item.id)
        .execute(&mut *tx)
        .await?;
    if first.rows_affected() > 0 {
        if done == Done::Lifted {
            sqlx::query(
                "UPDATE outbox SET task = 'lifted' WHERE device_key = $1 AND dps_instance = $2 AND task = 'bar'
                     AND done_at IS NOT NULL AND id < $3",
            )
            .bind(&item.key)
            .bind(&item.instance)
            .bind(item.id)
            .execute(&mut *tx)
            .await?;
        }
        let detail = json!({ "dpsInstance": item.instance });
        let (who, what, device_key) = (&item.who, done.words(item.task), Some(item.key.as_str()));
        events::add(&mut tx, &[Event { who, what, device_key, detail: Some(&detail), ..Event::default() }]).await?;
    }
    tx.commit().await
}

/// Where the device is by now.
#[derive(Default)]
struct Now {
    lifecycle: Option<Lifecycle>,
    /// The instance that an app was told.
    instance: Option<String>,
    attestation: Option<Attestation>,
    policy: Option<ReprovisionPolicy>,
    /// A group would let in something that was withdrawn.
    has_withdrawn: bool,
}

async fn standing(app: &App, key: &str) -> Result<Now, TaskError> {
    let mut db = app.store.read().acquire().await?;
    let row = sqlx::query(
        "SELECT lifecycle, dps_instance, attestation, allocated_at, reprovision FROM devices WHERE key = $1",
    )
    .bind(key)
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(Now::default()) };
    let told = row.try_get::<Option<i64>, _>("allocated_at")?.is_some();
    Ok(Now {
        lifecycle: from_word(row.try_get("lifecycle")?),
        instance: row.try_get::<Option<String>, _>("dps_instance")?.filter(|_| told),
        attestation: row.try_get::<Option<&str>, _>("attestation")?.and_then(from_word),
        policy: row.try_get::<Option<&str>, _>("reprovision")?.and_then(from_word),
        has_withdrawn: credentials::are_withdrawn(&mut db, key).await?,
    })
}

/// Whether the device's life has gone past this task.
fn is_past(item: &Item, now: &Now) -> bool {
    let here = now.instance.as_deref() == Some(item.instance.as_str());
    let is_out = now.lifecycle == Some(Lifecycle::Decommissioned);
    match item.task {
        Task::Remove => here,
        Task::Bar => !is_out && (here || !now.has_withdrawn),
        Task::Unbar | Task::Forget => is_out,
        Task::Policy => !here || is_out,
    }
}

/// Does it, and says what is to be recorded. `enrolled`: with the enrollment it was done already.
async fn perform(app: &App, item: &Item, enrolled: bool) -> Result<Done, TaskError> {
    let instance = app.instances.get(&item.instance).ok_or(TaskError::NoInstance)?;
    let id = item.registration_id.as_str();
    if is_past(item, &standing(app, &item.key).await?) {
        return Ok(Done::Dropped);
    }
    let done = match item.task {
        Task::Bar if !enrolled => bar(app, instance, item).await?,
        Task::Policy => set_policy(app, instance, item).await?,
        Task::Remove | Task::Unbar | Task::Forget if !enrolled => {
            instance.dps.delete_enrollment(id, None).await?;
            Done::AsAsked
        }
        _ => Done::AsAsked,
    };
    if matches!(item.task, Task::Bar | Task::Remove) && done == Done::AsAsked {
        instance.dps.delete_registration(id).await?;
    }
    Ok(done)
}

/// An individual enrollment goes before the group, and a disabled one keeps the device out (learn.microsoft.com, "How to
/// disenroll a device from Azure IoT Hub Device Provisioning Service").
async fn bar(app: &App, instance: &Instance, item: &Item) -> Result<Done, TaskError> {
    let by_itself = barred(app, item).await?;
    let dps = instance.enrolling(&mut *app.store.read().acquire().await?).await?;
    for _ in 0..LOOKS {
        let before = dps.enrollment(&item.registration_id).await?;
        // Only what is read after the enrollment is as new as that: a pairing may go on there meanwhile.
        if is_past(item, &standing(app, &item.key).await?) {
            return Ok(Done::Dropped);
        }
        let document = match &before {
            None => by_itself.clone(),
            Some(before) => {
                let mut document = before.document.clone();
                if document.pointer("/attestation/type").and_then(Value::as_str) != Some("tpm") {
                    document["attestation"] = by_itself["attestation"].clone();
                }
                document["provisioningStatus"] = "disabled".into();
                document
            }
        };
        if write(&dps, &item.registration_id, before.as_ref(), &document).await? {
            return Ok(Done::AsAsked);
        }
    }
    Err(DpsError::Conflict.into())
}

/// The enrollment that bars a device which has none of its own.
async fn barred(app: &App, item: &Item) -> Result<Value, TaskError> {
    let attestation = match item.attestation {
        Some(Attestation::X509) => {
            credentials::certificates(&mut *app.store.read().acquire().await?, &item.key, Which::All).await?
        }
        _ => None,
    };
    Ok(json!({
        "registrationId": item.registration_id,
        // Nobody is to have this key.
        "attestation": attestation.unwrap_or_else(unknown_key),
        "provisioningStatus": "disabled",
    }))
}

/// Sets what DPS does when the device registers again, and with which credential it does. Groups migrate and take all that
/// we ever gave, so that a device for which that is right needs no enrollment of its own.
async fn set_policy(app: &App, instance: &Instance, item: &Item) -> Result<Done, TaskError> {
    let id = item.registration_id.as_str();
    let dps = instance.enrolling(&mut *app.store.read().acquire().await?).await?;
    for _ in 0..LOOKS {
        let before = dps.enrollment(id).await?;
        // After that, as in [`bar`]: of two who write a policy at once the later one knows more.
        let now = standing(app, &item.key).await?;
        if is_past(item, &now) {
            return Ok(Done::Dropped);
        }
        let is_tpm = now.attestation == Some(Attestation::Tpm);
        let is_barred = was_barred(app, item).await?;
        let done = if is_barred { Done::Lifted } else { Done::AsAsked };
        let has_policy = matches!(now.policy, Some(ReprovisionPolicy::KeepData | ReprovisionPolicy::Reset));
        if !is_tpm && !has_policy && !now.has_withdrawn {
            let Some(before) = before else { return Ok(done) };
            match dps.delete_enrollment(id, Some(&before.etag)).await {
                Err(DpsError::Conflict) => continue,
                other => other?,
            };
            return Ok(done);
        }
        let attestation = match now.attestation {
            Some(Attestation::SymmetricKey) => match app.enrollments().group_key(instance).await? {
                Some(group_key) => {
                    let mut db = app.store.read().acquire().await?;
                    let key = credentials::symmetric_key(&mut db, &group_key, &item.key, id).await?;
                    Some(json!({ "type": "symmetricKey", "symmetricKey": { "primaryKey": key, "secondaryKey": key } }))
                }
                None => None,
            },
            Some(Attestation::X509) => {
                let mut db = app.store.read().acquire().await?;
                credentials::certificates(&mut db, &item.key, Which::InForce).await?
            }
            _ => None,
        };
        // Without a credential it has not been there yet: the enrollment is made when it gets one.
        if attestation.is_none() && !is_tpm {
            return Ok(Done::AsAsked);
        }
        let mut document = match &before {
            Some(before) => before.document.clone(),
            None => json!({ "registrationId": id, "provisioningStatus": "enabled" }),
        };
        if let Some(attestation) = attestation {
            document["attestation"] = attestation;
        }
        // Whoever disabled it in Azure is the one to enable it there; a bar is ours.
        if is_barred {
            document["provisioningStatus"] = "enabled".into();
        }
        document["reprovisionPolicy"] = reprovisioning(now.policy);
        if write(&dps, id, before.as_ref(), &document).await? {
            return Ok(done);
        }
    }
    Err(DpsError::Conflict.into())
}

/// Whether this service disabled the enrollment, when it came to this task.
async fn was_barred(app: &App, item: &Item) -> Result<bool, sqlx::Error> {
    let bar = sqlx::query(
        "SELECT 1 FROM outbox AS one WHERE device_key = $1 AND dps_instance = $2 AND task = 'bar' AND done_at IS NOT NULL
             AND id < $3 AND NOT EXISTS (SELECT 1 FROM outbox AS later WHERE later.device_key = one.device_key
                 AND later.dps_instance = one.dps_instance AND later.id > one.id AND later.task = 'unbar') LIMIT 1",
    )
    .bind(&item.key)
    .bind(&item.instance)
    .bind(item.id)
    .fetch_optional(app.store.read())
    .await?;
    Ok(bar.is_some())
}

/// Writes an individual enrollment over the version that was read; false when another one was faster.
async fn write(dps: &DpsClient, id: &str, before: Option<&Enrollment>, document: &Value) -> Result<bool, DpsError> {
    let expect = before.map_or(Expect::Nothing, |before| Expect::Version(&before.etag));
    match dps.put_enrollment(id, document, expect).await {
        Ok(_) => Ok(true),
        Err(DpsError::Conflict) => Ok(false),
        Err(error) => Err(error),
    }
}

fn unknown_key() -> Value {
    let key = || STANDARD.encode(rand::random::<[u8; 32]>());
    json!({ "type": "symmetricKey", "symmetricKey": { "primaryKey": key(), "secondaryKey": key() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seconds: u64) -> TaskError {
        DpsError::Throttled { retry_after: Some(Duration::from_secs(seconds)) }.into()
    }

    #[test]
    fn what_dps_asks_for_counts_within_a_second_and_a_quarter_of_an_hour() {
        assert_eq!(delay(20, &told(7)), 7_000);
        assert_eq!(delay(1, &told(0)), SHORTEST);
        assert_eq!(delay(1, &told(u64::MAX)), DELAYS.1);
    }

    #[test]
    fn tasks_for_an_instance_that_does_not_answer_come_back_more_and_more_seldom() {
        let open = || TaskError::from(DpsError::CircuitOpen { retry_after: Duration::from_secs(20) });
        let mean = |tries| (0..1000).map(|_| delay(tries, &open())).sum::<i64>() / 1000;
        assert!(mean(1) >= 20_000);
        assert!(mean(20) > DELAYS.1 / 3, "{}", mean(20));
    }

    #[tokio::test]
    async fn a_panic_in_one_turn_does_not_end_the_next() {
        let torn = std::hint::black_box(None::<u32>);
        #[allow(clippy::unwrap_used, reason = "it is to panic")]
        let stumbles = async { torn.unwrap() };
        assert_eq!(caught(stumbles).await, None);
        assert_eq!(caught(async { 1 }).await, Some(1));
    }
}
