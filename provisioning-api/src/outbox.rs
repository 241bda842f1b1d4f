//! What is still to be done at DPS after a change of a device's life: written in the transaction of the change, worked off
//! after it, and finished on the next start when the service is killed in between. Everything in it may be done twice.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provisioning_api_contract::{Attestation, Lifecycle, ReprovisionPolicy};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::api::ApiError;
use crate::app::App;
use crate::devices::Record;
use crate::dps_client::{BulkFailure, BulkMode, DpsError, Expect, hmac};
use crate::enrollments::{EnrollmentError, Instance};
use crate::events::{self, Event};
use crate::store::{flag, now};
use crate::words::{from_word, word};

/// Whoever works at a task has it for so long; then it was killed.
const LEASE: i64 = 60 * 1000;

/// Tasks of one kind at one instance that are taken together: DPS does as much with enrollments in one bulk operation.
const TOGETHER: i64 = 10;

/// Between two tries of a task that DPS did not do: doubled each time, from the first to the second.
const DELAYS: (i64, i64) = (2 * 1000, 15 * 60 * 1000);

/// Other processes write tasks as well, and do not wake this one.
const POLL: Duration = Duration::from_secs(5);

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
    /// The reprovisioning policy is set.
    Policy,
}

impl Task {
    const ALL: [Self; 4] = [Self::Remove, Self::Bar, Self::Unbar, Self::Policy];

    fn as_str(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Bar => "bar",
            Self::Unbar => "unbar",
            Self::Policy => "policy",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Remove => "registration removed at DPS",
            Self::Bar => "barred at DPS",
            Self::Unbar => "no longer barred at DPS",
            Self::Policy => "reprovisioning policy set at DPS",
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

/// The device was assigned at this instance: what waited for that is due, but for what the device came back to.
pub(crate) async fn assigned(db: &mut AnyConnection, key: &str, instance: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE outbox SET waits = 0, due_at = $3, done_at = CASE WHEN dps_instance = $2 THEN $3 END
         WHERE device_key = $1 AND waits = 1 AND done_at IS NULL",
    )
    .bind(key)
    .bind(instance)
    .bind(now())
    .execute(db)
    .await?;
    Ok(())
}

/// The device goes out of service: what waited for an assignment elsewhere waits no more, and bars it there too.
pub(crate) async fn bar_former(db: &mut AnyConnection, key: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE outbox SET waits = 0, due_at = $2, task = 'bar' WHERE device_key = $1 AND waits = 1 AND done_at IS NULL")
        .bind(key)
        .bind(now())
        .execute(db)
        .await?;
    Ok(())
}

/// The device comes back into service: wherever it was barred, it no longer is.
pub(crate) async fn unbar(db: &mut AnyConnection, key: &str, who: &str) -> Result<(), ApiError> {
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

/// An individual enrollment, where a reprovisioning policy made one, must know the device's new credential.
pub(crate) async fn renew_policy(db: &mut AnyConnection, device: &Record, who: &str) -> Result<(), sqlx::Error> {
    let key = device.key();
    let policy: Option<String> =
        sqlx::query_scalar("SELECT reprovision FROM devices WHERE key = $1").bind(&key).fetch_one(&mut *db).await?;
    let policy: Option<ReprovisionPolicy> = policy.as_deref().and_then(from_word);
    let (Some(ReprovisionPolicy::KeepData | ReprovisionPolicy::Reset), Some(instance)) = (policy, &device.dps_instance)
    else {
        return Ok(());
    };
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
    loop {
        match work_some(&app).await {
            Ok(true) => {}
            Ok(false) => {
                let _ = tokio::time::timeout(POLL, app.outbox.notified()).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the outbox cannot be worked at");
                tokio::time::sleep(POLL).await;
            }
        }
    }
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
        Ok(detail) => finish(app, item, detail).await?,
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
            Task::Remove | Task::Unbar => json!({ "registrationId": item.registration_id }),
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
        let detail = perform(app, &item, false).await?;
        finish(app, &item, detail).await?;
    }
    Ok(())
}

fn delay(tries: i64, error: &TaskError) -> i64 {
    let told = match error {
        TaskError::Dps(error) => error.retry_after().map(|told| told.as_millis() as i64),
        _ => None,
    };
    // Full jitter (DESIGN.md, one retry layer).
    let ceiling = DELAYS.0.saturating_mul(1 << tries.clamp(0, 20)).min(DELAYS.1);
    told.unwrap_or_else(|| (ceiling as f64 * rand::random::<f64>()) as i64)
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
async fn finish(app: &App, item: &Item, what: &'static str) -> Result<(), sqlx::Error> {
    let mut tx = app.store.begin().await?;
    let done = sqlx::query("UPDATE outbox SET done_at = $1, last_error = NULL WHERE id = $2 AND done_at IS NULL")
        .bind(now())
        .bind(item.id)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() > 0 {
        let detail = json!({ "dpsInstance": item.instance });
        let (who, device_key) = (&item.who, Some(item.key.as_str()));
        events::add(&mut tx, &[Event { who, what, device_key, detail: Some(&detail), ..Event::default() }]).await?;
    }
    tx.commit().await
}

/// Where the device is by now.
struct Now {
    lifecycle: Option<Lifecycle>,
    /// The instance that an app was told.
    instance: Option<String>,
    attestation: Option<Attestation>,
    policy: Option<ReprovisionPolicy>,
}

async fn standing(app: &App, key: &str) -> Result<Now, TaskError> {
    let row = sqlx::query(
        "SELECT lifecycle, dps_instance, attestation, allocated_at, reprovision FROM devices WHERE key = $1",
    )
    .bind(key)
    .fetch_optional(app.store.read())
    .await?;
    let Some(row) = row else {
        return Ok(Now { lifecycle: None, instance: None, attestation: None, policy: None });
    };
    let told = row.try_get::<Option<i64>, _>("allocated_at")?.is_some();
    Ok(Now {
        lifecycle: from_word(row.try_get("lifecycle")?),
        instance: row.try_get::<Option<String>, _>("dps_instance")?.filter(|_| told),
        attestation: row.try_get::<Option<&str>, _>("attestation")?.and_then(from_word),
        policy: row.try_get::<Option<&str>, _>("reprovision")?.and_then(from_word),
    })
}

/// Whether the device's life has gone past this task.
fn is_past(item: &Item, now: &Now) -> bool {
    let here = now.instance.as_deref() == Some(item.instance.as_str());
    let is_out = now.lifecycle == Some(Lifecycle::Decommissioned);
    match item.task {
        Task::Remove => here,
        Task::Bar => !is_out,
        Task::Unbar => is_out,
        Task::Policy => !here || is_out,
    }
}

/// Does it, and says what is to be recorded. `enrolled`: with the enrollment it was done already.
async fn perform(app: &App, item: &Item, enrolled: bool) -> Result<&'static str, TaskError> {
    let instance = app.instances.get(&item.instance).ok_or(TaskError::NoInstance)?;
    let now = standing(app, &item.key).await?;
    let id = item.registration_id.as_str();
    if is_past(item, &now) {
        return Ok("task at DPS dropped: the device has gone on");
    }
    match item.task {
        Task::Bar if !enrolled => bar(app, instance, item).await?,
        Task::Remove | Task::Unbar if !enrolled => {
            instance.dps.delete_enrollment(id, None).await?;
        }
        Task::Policy => set_policy(app, instance, &item.key, id, now.attestation, now.policy).await?,
        Task::Bar | Task::Remove | Task::Unbar => {}
    }
    if matches!(item.task, Task::Bar | Task::Remove) {
        instance.dps.delete_registration(id).await?;
    }
    Ok(item.task.done())
}

/// An individual enrollment goes before the group, and a disabled one keeps the device out (learn.microsoft.com, "How to
/// disenroll a device from Azure IoT Hub Device Provisioning Service").
async fn bar(app: &App, instance: &Instance, item: &Item) -> Result<(), TaskError> {
    let by_itself = barred(app, item).await?;
    change(app, instance, &item.registration_id, |before| {
        let Some(mut document) = before else { return by_itself.clone() };
        if document.pointer("/attestation/type").and_then(Value::as_str) != Some("tpm") {
            document["attestation"] = by_itself["attestation"].clone();
        }
        document["provisioningStatus"] = "disabled".into();
        document
    })
    .await
}

/// The enrollment that bars a device which has none of its own.
async fn barred(app: &App, item: &Item) -> Result<Value, TaskError> {
    let attestation = match item.attestation {
        Some(Attestation::X509) => certificate(app, &item.key).await?,
        _ => None,
    };
    Ok(json!({
        "registrationId": item.registration_id,
        // Nobody is to have this key.
        "attestation": attestation.unwrap_or_else(unknown_key),
        "provisioningStatus": "disabled",
    }))
}

/// Sets what DPS does when the device registers again. Groups migrate, so that a device for which that is right needs no
/// enrollment of its own.
pub(crate) async fn set_policy(
    app: &App,
    instance: &Instance,
    key: &str,
    id: &str,
    attestation: Option<Attestation>,
    policy: Option<ReprovisionPolicy>,
) -> Result<(), TaskError> {
    let is_tpm = attestation == Some(Attestation::Tpm);
    let (update_hub, migrate) = match policy {
        Some(ReprovisionPolicy::KeepData) => (false, false),
        Some(ReprovisionPolicy::Reset) => (true, false),
        _ if is_tpm => (true, true),
        _ => {
            instance.dps.delete_enrollment(id, None).await?;
            return Ok(());
        }
    };
    let attestation = match attestation {
        Some(Attestation::SymmetricKey) => match app.enrollments().group_key(instance).await? {
            Some(group_key) => {
                let key = STANDARD.encode(hmac(&group_key, id.as_bytes()));
                Some(json!({ "type": "symmetricKey", "symmetricKey": { "primaryKey": key, "secondaryKey": key } }))
            }
            None => None,
        },
        Some(Attestation::X509) => certificate(app, key).await?,
        _ => None,
    };
    // Without a credential it has not been there yet: the enrollment is made when it gets one.
    if attestation.is_none() && !is_tpm {
        return Ok(());
    }
    change(app, instance, id, |before| {
        let mut document = before.unwrap_or_else(|| json!({ "registrationId": id, "provisioningStatus": "enabled" }));
        if let Some(attestation) = &attestation {
            document["attestation"] = attestation.clone();
        }
        document["reprovisionPolicy"] = json!({ "updateHubAssignment": update_hub, "migrateDeviceData": migrate });
        document
    })
    .await
}

/// Reads, changes and writes an individual enrollment; anew when another one was faster.
async fn change(
    app: &App,
    instance: &Instance,
    id: &str,
    edit: impl Fn(Option<Value>) -> Value,
) -> Result<(), TaskError> {
    let dps = instance.enrolling(&mut *app.store.read().acquire().await?).await?;
    for _ in 0..3 {
        let before = dps.enrollment(id).await?;
        let etag = before.as_ref().map(|before| before.etag.clone());
        let document = edit(before.map(|before| before.document));
        let expect = etag.as_deref().map_or(Expect::Nothing, Expect::Version);
        match dps.put_enrollment(id, &document, expect).await {
            Err(DpsError::Conflict) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
    Err(DpsError::Conflict.into())
}

/// By the last certificate that the device was given, and the one before: it may use that until it has the new one.
async fn certificate(app: &App, key: &str) -> Result<Option<Value>, TaskError> {
    let ders: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT certificate FROM certificates WHERE device_key = $1 ORDER BY issued_at DESC, serial LIMIT 2",
    )
    .bind(key)
    .fetch_all(app.store.read())
    .await?;
    let certificates = ["primary", "secondary"].into_iter().zip(ders).map(|(name, der)| {
        let pem = pem::encode_config(
            &pem::Pem::new("CERTIFICATE", der),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        );
        (name.to_owned(), json!({ "certificate": pem }))
    });
    let certificates: serde_json::Map<_, _> = certificates.collect();
    Ok((!certificates.is_empty()).then(|| json!({ "type": "x509", "x509": { "clientCertificates": certificates } })))
}

fn unknown_key() -> Value {
    let key = || STANDARD.encode(rand::random::<[u8; 32]>());
    json!({ "type": "symmetricKey", "symmetricKey": { "primaryKey": key(), "secondaryKey": key() } })
}
