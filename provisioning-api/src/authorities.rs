//! The CAs that sign devices' certificates, one after the other.
//!
//! A rotation overlaps: the next CA gets its enrollment group at every DPS instance before it signs anything, and the former
//! one keeps its groups until nothing that it signed is valid, so that no device is ever turned away. The groups are
//! apart because a CA's fingerprint is part of its group's name.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use provisioning_api_contract::{AuthorityInfo, AuthorityState, InstanceState, ProblemCode};
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use tokio::sync::Notify;

use crate::api::ApiError;
use crate::app::App;
use crate::authority::{Authority, AuthorityError, CA_VALIDITY};
use crate::config::DeviceCa;
use crate::enrollments::Instance;
use crate::store::{Store, flag, now, time};
use crate::tokens::Caller;
use crate::vault::Vault;
use crate::words::{from_word, word};
use crate::{events, placement};

/// Who it is in the events when nobody asked for it: a start, with other files or none.
const SERVICE: &str = "the API";

/// How often [`tend`] looks whether a CA of our own comes to its end.
pub(crate) const TEND: Duration = Duration::from_secs(60 * 60);

/// The CA that signs now, and the way to the others.
pub(crate) struct Authorities {
    current: RwLock<Arc<Authority>>,
    from_files: bool,
    /// Another one is there, or is not any more: TLS is to know.
    pub(crate) changed: Notify,
}

impl Authorities {
    /// The CA from files, or the one in the database, or a new one.
    pub(crate) async fn open(files: Option<&DeviceCa>, store: &Store, vault: &Vault) -> Result<Self, AuthorityError> {
        let current = match files {
            Some(files) => {
                let authority = Authority::from_files(files)?;
                let mut tx = store.begin().await?;
                let before = signing(&mut tx, true).await?;
                step_down(&mut tx).await?;
                insert(&mut tx, &authority, AuthorityState::Current, true).await?;
                if before.as_ref() != Some(&authority.fingerprint) {
                    let detail = json!({ "authority": authority.fingerprint, "fromFiles": true });
                    events::record_of(&mut tx, None, SERVICE, "device CA made current", &detail).await?;
                }
                tx.commit().await?;
                authority
            }
            None => own(store, vault).await?,
        };
        Ok(Self { current: RwLock::new(Arc::new(current)), from_files: files.is_some(), changed: Notify::new() })
    }

    /// The CA that signs now, as the database says it: another replica may have made the next one current.
    pub(crate) async fn current(
        &self,
        db: &mut AnyConnection,
        vault: &Vault,
    ) -> Result<Arc<Authority>, AuthorityError> {
        let known = self.known();
        if self.from_files {
            return Ok(known);
        }
        let row = sqlx::query(
            "SELECT fingerprint, certificate FROM authorities WHERE state = 'current' AND from_files = 0 AND fingerprint <> $1",
        )
        .bind(&known.fingerprint)
        .fetch_optional(&mut *db)
        .await?;
        let Some(row) = row else { return Ok(known) };
        let authority = Arc::new(load(db, vault, &row).await?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&authority);
        Ok(authority)
    }

    fn known(&self) -> Arc<Authority> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All of them that are still known to DPS, newest first.
pub(crate) async fn list(app: &App) -> Result<Vec<AuthorityInfo>, ApiError> {
    let rows = sqlx::query(
        "SELECT fingerprint, certificate, state, from_files, created_at,
            (SELECT COUNT(*) FROM certificates WHERE authority = fingerprint AND not_after > $1) AS valid
         FROM authorities WHERE state <> 'removed' ORDER BY created_at DESC, fingerprint",
    )
    .bind(now())
    .fetch_all(app.store.read())
    .await?;
    rows.iter().map(info).collect()
}

/// The certificates (DER) of those whose certificates devices may show, in a stable order.
pub(crate) async fn certificates(store: &Store) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar("SELECT certificate FROM authorities WHERE state <> 'removed' ORDER BY fingerprint")
        .fetch_all(store.read())
        .await
}

/// Makes the next CA and its enrollment group at every DPS instance. When there is a next one, goes on with that.
pub(crate) async fn prepare(app: &App, caller: &Caller) -> Result<AuthorityInfo, ApiError> {
    if app.authorities.from_files {
        return Err(ApiError::new(ProblemCode::AuthorityInUse)
            .detail("the device CA comes from files: start the API with the next one's, which makes its groups"));
    }
    let mut tx = app.store.begin().await?;
    let row = sqlx::query("SELECT fingerprint, certificate FROM authorities WHERE state = 'next' AND from_files = 0")
        .fetch_optional(&mut *tx)
        .await?;
    let next = match row {
        Some(row) => load(&mut tx, &app.vault, &row).await.map_err(broken)?,
        None => {
            let (next, key) = Authority::make().map_err(broken)?;
            app.vault.put(&mut tx, &Authority::secret_name(&next.fingerprint), key.as_bytes()).await?;
            insert(&mut tx, &next, AuthorityState::Next, false).await?;
            let detail = json!({ "authority": next.fingerprint });
            events::record_of(&mut tx, None, &caller.who(), "device CA made", &detail).await?;
            next
        }
    };
    tx.commit().await?;
    app.authorities.changed.notify_one();
    introduce(app, &next).await?;
    find(app, &next.fingerprint).await
}

/// From now on the next CA signs, and the current one is a former one.
pub(crate) async fn activate(app: &App, fingerprint: &str, caller: &Caller) -> Result<AuthorityInfo, ApiError> {
    let mut db = app.store.read().acquire().await?;
    let row = sqlx::query(
        "SELECT fingerprint, certificate, state FROM authorities WHERE fingerprint = $1 AND from_files = 0",
    )
    .bind(fingerprint)
    .fetch_optional(&mut *db)
    .await?
    .ok_or_else(unknown)?;
    match from_word(row.try_get("state")?) {
        Some(AuthorityState::Current) => return find(app, fingerprint).await,
        Some(AuthorityState::Next) => {}
        _ => {
            return Err(
                ApiError::new(ProblemCode::AuthorityInUse).detail("only the next CA can become the current one")
            );
        }
    }
    let next = load(&mut db, &app.vault, &row).await.map_err(broken)?;
    drop(db);
    // Once more: an instance may have been added since it was made.
    introduce(app, &next).await?;
    let mut tx = app.store.begin().await?;
    let still = sqlx::query("SELECT 1 FROM authorities WHERE fingerprint = $1 AND state = 'next'")
        .bind(fingerprint)
        .fetch_optional(&mut *tx)
        .await?;
    if still.is_some() {
        step_down(&mut tx).await?;
        sqlx::query("UPDATE authorities SET state = 'current' WHERE fingerprint = $1")
            .bind(fingerprint)
            .execute(&mut *tx)
            .await?;
        let detail = json!({ "authority": fingerprint });
        events::record_of(&mut tx, None, &caller.who(), "device CA made current", &detail).await?;
    }
    tx.commit().await?;
    find(app, fingerprint).await
}

/// Removes a former CA's enrollment groups from every DPS instance and its key from here, when nothing that it signed is
/// valid any more. Where an instance is down, its group goes when that is over ([`tend`]).
pub(crate) async fn remove(app: &App, fingerprint: &str, caller: &Caller) -> Result<(), ApiError> {
    let info = find(app, fingerprint).await?;
    let in_use = |why: &str| Err(ApiError::new(ProblemCode::AuthorityInUse).detail(why));
    if info.state == AuthorityState::Current {
        return in_use("it signs devices' certificates");
    }
    if info.valid_certificates > 0 {
        return in_use("devices have valid certificates of it");
    }
    for instance in in_service(app).await? {
        instance.dps.delete_group(&Authority::group_id(fingerprint), None).await?;
    }
    let mut tx = app.store.begin().await?;
    let done =
        sqlx::query("UPDATE authorities SET state = 'removed' WHERE fingerprint = $1 AND state IN ('next', 'former')")
            .bind(fingerprint)
            .execute(&mut *tx)
            .await?
            .rows_affected();
    if done > 0 {
        sqlx::query("DELETE FROM secrets WHERE name = $1")
            .bind(Authority::secret_name(fingerprint))
            .execute(&mut *tx)
            .await?;
        let detail = json!({ "authority": fingerprint });
        events::record_of(&mut tx, None, &caller.who(), "device CA removed", &detail).await?;
    }
    tx.commit().await?;
    app.authorities.changed.notify_one();
    Ok(())
}

/// Rotates a CA of our own before it ends, so that certificates can always be given for their full time; and removes what
/// removed ones left at instances that were down.
pub(crate) async fn tend(app: &App) -> Result<(), ApiError> {
    sweep(app).await?;
    if app.authorities.from_files {
        let left = app.authorities.known().not_after.saturating_sub(now());
        if left < milliseconds(app.limits.certificate_validity) {
            let ends = time(app.authorities.known().not_after);
            tracing::warn!(%ends, "the device CA from files ends sooner than the certificates that it should sign: give the next one");
        }
        return Ok(());
    }
    let mut db = app.store.read().acquire().await?;
    let current = app.authorities.current(&mut db, &app.vault).await.map_err(broken)?;
    drop(db);
    let left = current.not_after.saturating_sub(now());
    // Twice a certificate's time leaves its overlap whole; half of the CA's own time, or each new one would be too old at once.
    let enough = milliseconds(app.limits.certificate_validity).saturating_mul(2).min(CA_VALIDITY as i64 * 500);
    if left > enough {
        return Ok(());
    }
    tracing::warn!(ends = %time(current.not_after), "the device CA comes to its end: the next one takes over");
    let caller = Caller::operator();
    let next = prepare(app, &caller).await?;
    activate(app, &next.fingerprint, &caller).await.map(drop)
}

/// The enrollment group of this CA at every instance that is not down; there it is made when it is needed.
async fn introduce(app: &App, authority: &Authority) -> Result<(), ApiError> {
    for instance in in_service(app).await? {
        app.enrollments().introduce(instance, authority).await?;
    }
    Ok(())
}

/// The groups of removed CAs: gone but where an instance was down at that time.
async fn sweep(app: &App) -> Result<(), ApiError> {
    let removed: Vec<String> = sqlx::query_scalar("SELECT fingerprint FROM authorities WHERE state = 'removed'")
        .fetch_all(app.store.read())
        .await?;
    let instances = if removed.is_empty() { Vec::new() } else { in_service(app).await? };
    for fingerprint in &removed {
        for instance in &instances {
            if let Err(error) = instance.dps.delete_group(&Authority::group_id(fingerprint), None).await {
                let name = &instance.config.name;
                tracing::warn!(instance = name, %error, "a removed device CA may still have its group at a DPS instance");
            }
        }
    }
    Ok(())
}

/// The instances that are not down, as an administrator or else the configuration has it.
async fn in_service(app: &App) -> Result<Vec<&Instance>, ApiError> {
    let known = placement::known(app, &mut *app.store.read().acquire().await?).await?;
    let is_up = |instance: &&Instance| {
        let state = known.iter().find(|one| one.candidate.name == instance.config.name).map(|one| one.candidate.state);
        state != Some(InstanceState::Down)
    };
    Ok(app.instances.values().filter(is_up).collect())
}

async fn own(store: &Store, vault: &Vault) -> Result<Authority, AuthorityError> {
    let mut tx = store.begin().await?;
    let row = sqlx::query(
        "SELECT fingerprint, certificate FROM authorities WHERE from_files = 0 AND state IN ('current', 'former')
         ORDER BY state = 'current' DESC, created_at DESC, fingerprint LIMIT 1",
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = row {
        let authority = load(&mut tx, vault, &row).await?;
        if signing(&mut tx, false).await?.as_ref() != Some(&authority.fingerprint) {
            // Files were given the last time, and are not any more.
            step_down(&mut tx).await?;
            sqlx::query("UPDATE authorities SET state = 'current' WHERE fingerprint = $1")
                .bind(&authority.fingerprint)
                .execute(&mut *tx)
                .await?;
            let detail = json!({ "authority": authority.fingerprint });
            events::record_of(&mut tx, None, SERVICE, "device CA made current", &detail).await?;
        }
        tx.commit().await?;
        return Ok(authority);
    }
    let (authority, key) = Authority::make()?;
    vault.put(&mut tx, &Authority::secret_name(&authority.fingerprint), key.as_bytes()).await?;
    step_down(&mut tx).await?;
    insert(&mut tx, &authority, AuthorityState::Current, false).await?;
    let detail = json!({ "authority": authority.fingerprint });
    for what in ["device CA made", "device CA made current"] {
        events::record_of(&mut tx, None, SERVICE, what, &detail).await?;
    }
    tx.commit().await?;
    tracing::warn!(
        fingerprint = authority.fingerprint,
        "made a CA for devices' certificates; for the field, give your own with --device-ca"
    );
    Ok(authority)
}

async fn load(db: &mut AnyConnection, vault: &Vault, row: &AnyRow) -> Result<Authority, AuthorityError> {
    let name = Authority::secret_name(row.try_get("fingerprint")?);
    let key = vault.get(db, &name).await?.ok_or(AuthorityError::Unusable("its key is gone from the database"))?;
    Authority::from_database(row.try_get("certificate")?, &key)
}

/// The fingerprint of the one that signs, if it is from files or, as asked, made here.
async fn signing(db: &mut AnyConnection, from_files: bool) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT fingerprint FROM authorities WHERE state = 'current' AND from_files = $1")
        .bind(i64::from(from_files))
        .fetch_optional(db)
        .await
}

/// The current one, if any, becomes a former one.
async fn step_down(db: &mut AnyConnection) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE authorities SET state = 'former' WHERE state = 'current'").execute(db).await?;
    Ok(())
}

async fn insert(
    db: &mut AnyConnection,
    authority: &Authority,
    state: AuthorityState,
    from_files: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO authorities (fingerprint, certificate, created_at, state, from_files) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (fingerprint) DO UPDATE SET state = $4, from_files = $5",
    )
    .bind(&authority.fingerprint)
    .bind(authority.certificate_der())
    .bind(now())
    .bind(word(state))
    .bind(i64::from(from_files))
    .execute(db)
    .await?;
    Ok(())
}

async fn find(app: &App, fingerprint: &str) -> Result<AuthorityInfo, ApiError> {
    list(app).await?.into_iter().find(|info| info.fingerprint == fingerprint).ok_or_else(unknown)
}

fn info(row: &AnyRow) -> Result<AuthorityInfo, ApiError> {
    let der: Vec<u8> = row.try_get("certificate")?;
    let fingerprint: String = row.try_get("fingerprint")?;
    let not_after = crate::authority::ends(&der).map_err(broken)?;
    Ok(AuthorityInfo {
        enrollment_group: Authority::group_id(&fingerprint),
        fingerprint,
        state: from_word(row.try_get("state")?).unwrap_or(AuthorityState::Former),
        from_files: flag(row, "from_files")?,
        not_after: Timestamp::from_second(not_after).unwrap_or(Timestamp::MAX),
        created_at: time(row.try_get("created_at")?),
        valid_certificates: row.try_get::<i64, _>("valid")?.max(0) as u64,
        certificate: pem::encode(&pem::Pem::new("CERTIFICATE", der)),
    })
}

fn unknown() -> ApiError {
    ApiError::new(ProblemCode::NotFound).detail("there is no such device CA")
}

fn broken(error: AuthorityError) -> ApiError {
    match error {
        AuthorityError::Database(error) => error.into(),
        other => ApiError::internal(&other),
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
