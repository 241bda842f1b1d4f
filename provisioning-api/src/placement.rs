//! What the allocation decides over, as the database has it: instances as they are now, reservations, and slots.

use std::collections::{BTreeMap, BTreeSet};

use provisioning_api_contract::{InstanceState, ProblemCode, Ring};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, Row as _, Transaction};

use crate::allocation::{Candidate, Wanted, choose, ruled_out};
use crate::api::ApiError;
use crate::app::App;
use crate::config::{InstanceConfig, Placement};
use crate::devices::{self, Record};
use crate::enrollments::policy;
use crate::events;
use crate::schedule::{self, MINUTE};
use crate::store::{Store, count, now};
use crate::words::from_word;

/// How long a reservation that nobody took up keeps its place: a working day's pairing may be tried again the next
/// morning, and a dead one gives its place back within two days.
pub(crate) const RESERVATION_HOLD: i64 = 24 * 60 * MINUTE;

/// A slot is the device's until a minute after it; then others may have been told to start in its place.
const SLOT_GRACE: i64 = MINUTE;

/// What was written down for further in the future than this was written before the clock was put back.
pub(crate) const CLOCK_SKEW: i64 = 5 * MINUTE;

/// Reservations that are given back in one transaction: everybody else waits for it.
const STALE_AT_ONCE: u64 = 1000;

/// How long what is past of the slots is kept.
const SLOTS_KEPT: i64 = 24 * 60;

/// An instance as it is now: the configuration, and what administrators changed since.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) candidate: Candidate,
    pub(crate) registrations_per_minute: u32,
    pub(crate) certificate_policy: Option<String>,
    pub(crate) version: i64,
    /// Whether this server's configuration has it; one that it has not is no candidate.
    pub(crate) configured: bool,
    pub(crate) id_scope: String,
    pub(crate) endpoint: String,
}

/// What the configuration says of an instance, as far as the allocation goes by it; the database keeps it for the command line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Configured {
    state: InstanceState,
    capacity: u64,
    tenant: Option<String>,
    region: Option<String>,
    ring: Ring,
    registrations_per_minute: u32,
    certificate_policy: Option<String>,
}

impl Configured {
    pub(crate) fn of(config: &InstanceConfig) -> Self {
        let placement = config.placement.clone();
        Self {
            state: config.state,
            capacity: config.capacity,
            tenant: placement.tenant,
            region: placement.region,
            ring: placement.ring,
            registrations_per_minute: placement.registrations_per_minute,
            certificate_policy: config.certificate_policy.clone(),
        }
    }
}

/// All instances that the database knows, by name, as this server's configuration has them.
pub(crate) async fn known(app: &App, db: &mut AnyConnection) -> Result<Vec<Known>, ApiError> {
    read(db, |name, _| Ok(app.instances.get(name).map(|instance| Configured::of(&instance.config)))).await
}

/// The same where there may be no server: then as the one that started last has them.
pub(crate) async fn known_to(app: Option<&App>, db: &mut AnyConnection) -> Result<Vec<Known>, ApiError> {
    match app {
        Some(app) => known(app, db).await,
        None => known_offline(db).await,
    }
}

async fn known_offline(db: &mut AnyConnection) -> Result<Vec<Known>, ApiError> {
    read(db, |_, row| {
        let kept: Option<&str> = row.try_get("configured")?;
        Ok(kept.and_then(|kept| serde_json::from_str(kept).ok()))
    })
    .await
}

async fn read(
    db: &mut AnyConnection,
    configured: impl Fn(&str, &AnyRow) -> Result<Option<Configured>, sqlx::Error>,
) -> Result<Vec<Known>, ApiError> {
    let rows = sqlx::query("SELECT * FROM instances ORDER BY name").fetch_all(db).await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let name: String = row.try_get("name")?;
        let config = configured(&name, &row)?;
        let state: Option<InstanceState> = row.try_get::<Option<String>, _>("state")?.as_deref().and_then(from_word);
        let number = |column: &str| -> Result<Option<u64>, sqlx::Error> {
            Ok(row.try_get::<Option<i64>, _>(column)?.map(|number| number.max(0) as u64))
        };
        let per_minute = config.as_ref().map(|config| config.registrations_per_minute);
        all.push(Known {
            registrations_per_minute: number("registrations_per_minute")?
                .and_then(|limit| u32::try_from(limit).ok())
                .or(per_minute)
                .unwrap_or(Placement::default().registrations_per_minute),
            certificate_policy: policy(
                row.try_get("certificate_policy")?,
                config.as_ref().and_then(|config| config.certificate_policy.as_ref()),
            ),
            version: row.try_get("version")?,
            configured: config.is_some(),
            id_scope: row.try_get("id_scope")?,
            endpoint: row.try_get("endpoint")?,
            candidate: Candidate {
                state: state.or(config.as_ref().map(|config| config.state)).unwrap_or(InstanceState::Down),
                allocated: number("allocated")?.unwrap_or(0),
                capacity: number("capacity")?.or(config.as_ref().map(|config| config.capacity)).unwrap_or(0),
                ring: config.as_ref().map(|config| config.ring).unwrap_or_default(),
                region: config.as_ref().and_then(|config| config.region.clone()),
                tenant: config.and_then(|config| config.tenant),
                name,
            },
        });
    }
    Ok(all)
}

/// Those that a decision may be made over.
pub(crate) fn candidates(known: &[Known]) -> Vec<Candidate> {
    known.iter().filter(|one| one.configured).map(|one| one.candidate.clone()).collect()
}

/// The device as the decision sees it.
pub(crate) async fn wanted<'a>(db: &mut AnyConnection, device: &'a Record) -> Result<Wanted<'a>, sqlx::Error> {
    let is_anothers = devices::is_anothers(db, device).await?;
    Ok(Wanted {
        is_anothers,
        tenant: &device.tenant,
        region: device.region.as_deref(),
        ring: device.ring,
        pin: device.pinned_instance.as_deref(),
    })
}

/// The instance that the device has, or the one that it gets: reserved, if it is not told of yet. And whether that is new.
///
/// # Errors
/// `no-instance`.
pub(crate) async fn place(
    known: &[Known],
    db: &mut AnyConnection,
    device: &Record,
    key: &str,
) -> Result<(String, bool), ApiError> {
    let none = |why: &str| ApiError::new(ProblemCode::NoInstance).detail(why);
    if let (Some(name), Some(_)) = (&device.dps_instance, device.allocated_at) {
        let in_service = known.iter().any(|one| {
            let state = one.candidate.state;
            one.configured
                && one.candidate.name == *name
                && matches!(state, InstanceState::Active | InstanceState::Draining)
        });
        return if in_service {
            Ok((name.clone(), false))
        } else {
            Err(none("the device's DPS instance is out of service"))
        };
    }
    let wanted = wanted(db, device).await?;
    let Some(name) = decide(known, &wanted, device.dps_instance.as_deref()) else {
        let candidates = candidates(known);
        let reasons: Vec<_> = candidates.iter().map(|one| (&one.name, ruled_out(one, &wanted, &candidates))).collect();
        let name_is_anothers = wanted.is_anothers;
        tracing::warn!(?reasons, name_is_anothers, device = key, "no DPS instance can take a device");
        return Err(none("every DPS instance is full, draining, down, or not allowed for this device"));
    };
    if device.dps_instance.as_deref() == Some(name) {
        return Ok((name.to_owned(), false));
    }
    let at = now();
    sqlx::query(
        "UPDATE devices SET dps_instance = $2, attestation = NULL, reserved_at = $3, reserved_until = $4 WHERE key = $1",
    )
    .bind(key)
    .bind(name)
    .bind(at)
    .bind(at.saturating_add(RESERVATION_HOLD))
    .execute(db)
    .await?;
    Ok((name.to_owned(), true))
}

/// The instance where the device has a place that nobody was told of, if that is still good, or the one that it gets.
pub(crate) fn decide<'a>(known: &'a [Known], wanted: &Wanted<'_>, reserved: Option<&str>) -> Option<&'a str> {
    let mut candidates = candidates(known);
    // Without the device's own reservation, which it may keep or give up.
    for one in candidates.iter_mut().filter(|one| Some(one.name.as_str()) == reserved) {
        one.allocated = one.allocated.saturating_sub(1);
    }
    let may = |one: &&Candidate| ruled_out(one, wanted, &candidates).is_empty();
    let kept = candidates.iter().find(|one| Some(one.name.as_str()) == reserved).filter(may);
    let chosen = kept.or_else(|| choose(&candidates, wanted))?;
    known.iter().map(|one| one.candidate.name.as_str()).find(|name| *name == chosen.name)
}

/// Begins a transaction in which the places of reservations that nobody took up are given back, and of those that were made
/// before the clock was put back: their time to be taken up may be years away.
pub(crate) async fn begin(store: &Store) -> Result<Transaction<'static, Any>, sqlx::Error> {
    loop {
        let mut tx = store.begin().await?;
        if release_stale(&mut tx).await? < STALE_AT_ONCE {
            return Ok(tx);
        }
        tx.commit().await?;
    }
}

async fn release_stale(db: &mut AnyConnection) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE devices SET dps_instance = NULL, attestation = NULL, reserved_at = NULL, reserved_until = NULL
         WHERE key IN (SELECT key FROM devices WHERE allocated_at IS NULL AND dps_instance IS NOT NULL AND reserved_until < $1
             UNION ALL SELECT key FROM devices WHERE allocated_at IS NULL AND dps_instance IS NOT NULL AND reserved_at > $3
                 AND reserved_until >= $1
             LIMIT $2)",
    )
    .bind(now())
    .bind(STALE_AT_ONCE as i64)
    .bind(now().saturating_add(CLOCK_SKEW))
    .execute(&mut *db)
    .await?;
    if done.rows_affected() > 0 {
        let detail = json!({ "count": done.rows_affected() });
        events::record_of(db, None, "the API", "reservations released", &detail).await?;
    }
    Ok(done.rows_affected())
}

/// When a site is closed, and between when slots are of use.
pub(crate) struct Times<'a> {
    /// No slot before it.
    pub(crate) from: i64,
    /// When it opens next, if it is closed at that time.
    pub(crate) closed: &'a (dyn Fn(i64) -> Option<i64> + Send + Sync),
    /// No slot from here on.
    pub(crate) until: Option<i64>,
}

/// The slots of one transaction, all by the same hours: those of an instance are read once, and what changed is written by
/// [`Slots::save`].
#[derive(Default)]
pub(crate) struct Slots {
    /// By instance and [`Times::from`], the last slot that was given: what lies in between is full or closed.
    last: BTreeMap<(String, i64), i64>,
    taken: BTreeMap<String, BTreeMap<i64, u32>>,
    changed: BTreeSet<(String, i64)>,
}

impl Slots {
    /// The slot that the device has, if it is still good, or the first one that is free; `None` when there is none in time.
    pub(crate) async fn take(
        &mut self,
        db: &mut AnyConnection,
        device_key: &str,
        instance: &Known,
        times: &Times<'_>,
    ) -> Result<Option<i64>, sqlx::Error> {
        let (name, at) = (&instance.candidate.name, now());
        let row = sqlx::query("SELECT starts_at, slot_instance, slot_taken_at FROM devices WHERE key = $1")
            .bind(device_key)
            .fetch_one(&mut *db)
            .await?;
        let starts_at: Option<i64> = row.try_get("starts_at")?;
        let place: Option<String> = row.try_get("slot_instance")?;
        let taken_at: Option<i64> = row.try_get("slot_taken_at")?;
        let good = |slot: &i64| {
            place.as_ref() == Some(name)
                && *slot >= (at - SLOT_GRACE).max(times.from)
                && (times.closed)(*slot).is_none()
                && taken_at.is_some_and(|taken| taken <= at + CLOCK_SKEW)
                && times.until.is_none_or(|until| *slot < until)
        };
        if let Some(slot) = starts_at.filter(good) {
            return Ok(Some(slot));
        }
        let Some(slot) = self.next(db, instance, times).await? else { return Ok(None) };
        sqlx::query(
            "UPDATE devices SET starts_at = $2, slot_instance = $3, slot_taken_at = $4,
                 reserved_until = CASE WHEN reserved_until > $5 THEN reserved_until ELSE $5 END WHERE key = $1",
        )
        .bind(device_key)
        .bind(slot)
        .bind(name)
        .bind(at)
        // A device that is to start tomorrow keeps its place until then.
        .bind(slot.saturating_add(RESERVATION_HOLD))
        .execute(db)
        .await?;
        Ok(Some(slot))
    }

    /// The first slot that is free, which is taken from now on; no device has it yet, and nothing is written.
    pub(crate) async fn next(
        &mut self,
        db: &mut AnyConnection,
        instance: &Known,
        times: &Times<'_>,
    ) -> Result<Option<i64>, sqlx::Error> {
        let (name, at) = (&instance.candidate.name, now());
        if !self.taken.contains_key(name) {
            let rows = sqlx::query("SELECT minute, taken FROM slots WHERE dps_instance = $1 AND minute >= $2")
                .bind(name)
                .bind(at.div_euclid(MINUTE))
                .fetch_all(db)
                .await?;
            let mut minutes = BTreeMap::new();
            for row in rows {
                minutes.insert(row.try_get("minute")?, count(&row, "taken")?);
            }
            self.taken.insert(name.clone(), minutes);
        }
        let minutes = self.taken.entry(name.clone()).or_default();
        let asked = (name.clone(), times.from);
        let full_until = self.last.get(&asked).map_or(at, |last| last.div_euclid(MINUTE) * MINUTE);
        let from = at.max(times.from).max(full_until);
        let slot = schedule::take(minutes, instance.registrations_per_minute, from, times.closed)
            .filter(|slot| times.until.is_none_or(|until| *slot < until));
        let Some(slot) = slot else { return Ok(None) };
        self.last.insert(asked, slot);
        self.changed.insert((name.clone(), slot.div_euclid(MINUTE)));
        Ok(Some(slot))
    }

    /// Writes what was taken, and forgets what is long past.
    pub(crate) async fn save(self, db: &mut AnyConnection) -> Result<(), sqlx::Error> {
        for (name, minute) in &self.changed {
            let taken = self.taken.get(name).and_then(|minutes| minutes.get(minute)).copied().unwrap_or(0);
            sqlx::query(
                "INSERT INTO slots (dps_instance, minute, taken) VALUES ($1, $2, $3)
                 ON CONFLICT (dps_instance, minute) DO UPDATE SET taken = $3",
            )
            .bind(name)
            .bind(minute)
            .bind(i64::from(taken))
            .execute(&mut *db)
            .await?;
        }
        if !self.changed.is_empty() {
            sqlx::query("DELETE FROM slots WHERE minute < $1")
                .bind(now().div_euclid(MINUTE) - SLOTS_KEPT)
                .execute(db)
                .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_database;

    async fn store(folder: &std::path::Path) -> Store {
        let store = Store::open(&test_database::url(folder)).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        sqlx::query("INSERT INTO instances (name) VALUES ('north')").execute(&mut *tx).await.unwrap();
        for key in ["a", "b", "c"] {
            sqlx::query("INSERT INTO devices (key, registration_id, created_at, updated_at) VALUES ($1, $1, 0, 0)")
                .bind(key)
                .execute(&mut *tx)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        store
    }

    /// A place at north, from `at` to `until`, milliseconds from now.
    async fn reserve(db: &mut AnyConnection, key: &str, at: i64, until: i64, allocated: Option<i64>) {
        sqlx::query(
            "UPDATE devices SET dps_instance = 'north', reserved_at = $2, reserved_until = $3, allocated_at = $4 WHERE key = $1",
        )
        .bind(key)
        .bind(now() + at)
        .bind(now() + until)
        .bind(allocated)
        .execute(db)
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_reservation_that_nobody_took_up_gives_its_place_back_and_an_allocation_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let mut tx = store.begin().await.unwrap();
        for (key, until, allocated) in [("a", -1, None), ("b", 60_000, None), ("c", -1, Some(1))] {
            reserve(&mut tx, key, -60_000, until, allocated).await;
        }
        assert_eq!(release_stale(&mut tx).await.unwrap(), 1);
        assert_eq!(release_stale(&mut tx).await.unwrap(), 0);
        let left: i64 = sqlx::query_scalar("SELECT allocated FROM instances").fetch_one(&mut *tx).await.unwrap();
        assert_eq!(left, 2);
    }

    #[tokio::test]
    async fn a_reservation_of_before_the_clock_was_put_back_gives_its_place_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let year = 365 * 24 * 60 * MINUTE;
        let mut tx = store.begin().await.unwrap();
        // Made a year later than now; made now, for a slot of next year; told to an app, whenever that was.
        let all =
            [("a", year, year + RESERVATION_HOLD, None), ("b", 0, year, None), ("c", year, year, Some(now() + year))];
        for (key, at, until, allocated) in all {
            reserve(&mut tx, key, at, until, allocated).await;
        }
        assert_eq!(release_stale(&mut tx).await.unwrap(), 1);
        let placed =
            sqlx::query_scalar::<_, String>("SELECT key FROM devices WHERE dps_instance = 'north' ORDER BY key");
        assert_eq!(placed.fetch_all(&mut *tx).await.unwrap(), ["b", "c"]);
    }

    fn known(name: &str, allocated: u64) -> Known {
        Known {
            candidate: Candidate {
                name: name.into(),
                tenant: None,
                region: None,
                ring: Ring::Production,
                state: InstanceState::Active,
                allocated,
                capacity: 10,
            },
            registrations_per_minute: 1,
            certificate_policy: None,
            version: 1,
            configured: true,
            id_scope: String::new(),
            endpoint: String::new(),
        }
    }

    #[test]
    fn a_device_keeps_the_place_that_it_has_though_another_instance_is_less_used_by_now() {
        let wanted = Wanted { tenant: "default", region: None, ring: Ring::Production, pin: None, is_anothers: false };
        let mut all = [known("north", 10), known("south", 0)];
        // Full with the device itself in it.
        assert_eq!(decide(&all, &wanted, Some("north")), Some("north"));
        assert_eq!(decide(&all, &wanted, None), Some("south"));
        all[0].candidate.state = InstanceState::Down;
        assert_eq!(decide(&all, &wanted, Some("north")), Some("south"));
    }

    #[tokio::test]
    async fn a_slot_of_before_the_clock_was_put_back_is_replaced_and_a_good_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let north = known("north", 0);
        let times = Times { from: 0, closed: &|_| None, until: None };
        let mut tx = store.begin().await.unwrap();
        let mut slots = Slots::default();
        let first = slots.take(&mut tx, "a", &north, &times).await.unwrap().unwrap();
        let second = slots.take(&mut tx, "b", &north, &times).await.unwrap().unwrap();
        assert!(second - first >= MINUTE);
        slots.save(&mut tx).await.unwrap();
        // Read again from the database: the same for the same device, and what is taken stays taken.
        let mut slots = Slots::default();
        assert_eq!(slots.take(&mut tx, "b", &north, &times).await.unwrap(), Some(second));
        assert!(slots.take(&mut tx, "c", &north, &times).await.unwrap().unwrap() - second >= MINUTE);
        slots.save(&mut tx).await.unwrap();
        // As if all that had been done a year later than now: nobody waits for a year.
        let year = 365 * 24 * 60 * MINUTE;
        sqlx::query("UPDATE devices SET starts_at = starts_at + $1, slot_taken_at = slot_taken_at + $1")
            .bind(year)
            .execute(&mut *tx)
            .await
            .unwrap();
        let again = Slots::default().take(&mut tx, "a", &north, &times).await.unwrap().unwrap();
        assert!(again < now() + 60 * MINUTE, "{} minutes", (again - now()) / MINUTE);
        // One that is past is replaced by one that is not.
        sqlx::query("UPDATE devices SET starts_at = $1, slot_taken_at = $1")
            .bind(now() - year)
            .execute(&mut *tx)
            .await
            .unwrap();
        assert!(Slots::default().take(&mut tx, "a", &north, &times).await.unwrap().unwrap() >= now() - MINUTE);
    }
}
