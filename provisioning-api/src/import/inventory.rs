//! A batch of rows against the inventory: all of it goes in, or nothing.

use std::collections::{HashMap, HashSet};

use provisioning_api_contract::{ImportProblem, ImportProblemCode, Lifecycle, ProblemCode};
use serde_json::json;
use sqlx::{AnyConnection, Row as _};

use crate::api::ApiError;
use crate::events::{self, Event};
use crate::import::check::Incoming;
use crate::import::rows::{COLUMNS, problem};
use crate::import::slots::Waiting;
use crate::import::{Order, duplicate, slots};
use crate::statement::Statement;
use crate::store::{Store, now};
use crate::words::word;
use crate::{devices, life_cycle, outbox};

/// Rows of one INSERT; each has sixteen of SQLite's 32,766 variables.
const ROWS_AT_ONCE: usize = 500;

pub(super) enum Outcome {
    /// It is in.
    Committed { added: u64, already_there: u64 },
    /// It is not: it was only looked at, or has bad rows.
    Looked {
        bad: Vec<ImportProblem>,
        /// The numbers of the rows that the inventory has not yet.
        new: HashSet<u64>,
        /// By their rows' numbers, the devices that a schedule gives slots.
        waiting: HashMap<u64, Waiting>,
        already_there: u64,
    },
}

/// What the inventory makes of a batch.
struct Sorted<'a> {
    /// Each with its key.
    new: Vec<(String, &'a Incoming)>,
    /// Decommissioned ones that come back.
    revived: Vec<(String, &'a Incoming)>,
    already_there: u64,
    /// The keys of those that are there and were never allocated, nor given a slot, and their rows.
    without_slot: Vec<(String, u64)>,
    bad: Vec<ImportProblem>,
}

impl Sorted<'_> {
    fn looked(self) -> Outcome {
        let new = self.new.iter().chain(&self.revived).map(|(_, incoming)| incoming.number).collect();
        let mut waiting = HashMap::new();
        waiting.extend(self.new.into_iter().map(|(_, incoming)| (incoming.number, Waiting::Comes(None))));
        waiting.extend(self.revived.into_iter().map(|(key, incoming)| (incoming.number, Waiting::Comes(Some(key)))));
        waiting.extend(self.without_slot.into_iter().map(|(key, row)| (row, Waiting::Waits(key))));
        Outcome::Looked { bad: self.bad, new, waiting, already_there: self.already_there }
    }
}

/// Looks only.
pub(super) async fn look(store: &Store, order: &Order, batch: &[Incoming]) -> Result<Outcome, ApiError> {
    let mut db = store.read().acquire().await?;
    let sorted = sort(&mut db, order, batch).await?;
    Ok(sorted.looked())
}

/// Puts the batch in, after the rows that are in already; `place` is how many those are, and the hash with this batch.
pub(super) async fn commit(
    store: &Store,
    order: &Order,
    batch: &[Incoming],
    place: (u64, String),
    schedule_from: Option<i64>,
) -> Result<Outcome, ApiError> {
    let mut tx = store.begin().await?;
    let sorted = sort(&mut tx, order, batch).await?;
    if !sorted.bad.is_empty() {
        return Ok(sorted.looked());
    }
    let added = (sorted.new.len() + sorted.revived.len()) as u64;
    let moved = sqlx::query(
        "UPDATE imports SET committed_rows = committed_rows + $3, prefix_hash = $4, added = added + $5,
             already_there = already_there + $6, updated_at = $7
         WHERE id = $1 AND committed_rows = $2",
    )
    .bind(order.key())
    .bind(place.0 as i64)
    .bind(batch.len() as i64)
    .bind(&place.1)
    .bind(added as i64)
    .bind(sorted.already_there as i64)
    .bind(now())
    .execute(&mut *tx)
    .await?;
    if moved.rows_affected() == 0 {
        let text = "the same import goes on in another upload";
        return Err(ApiError::new(ProblemCode::ImportConflict).detail(text));
    }
    insert(&mut tx, order, &sorted.new, schedule_from).await?;
    for (key, incoming) in &sorted.revived {
        revive(&mut tx, order, key, incoming, schedule_from).await?;
    }
    let detail = json!({ "import": order.id });
    let who = order.caller.who();
    let event = |what, key| Event {
        who: &who,
        what,
        device_key: Some(key),
        tenant: Some(&order.tenant),
        detail: Some(&detail),
        ..Event::default()
    };
    let mut recorded = Vec::with_capacity(sorted.new.len() + sorted.revived.len());
    recorded.extend(sorted.new.iter().map(|(key, _)| event("device added", key.as_str())));
    recorded.extend(sorted.revived.iter().map(|(key, _)| event("device taken into service again", key.as_str())));
    events::add(&mut tx, &recorded).await?;
    if let Some(from) = schedule_from {
        let come = sorted.new.iter().chain(&sorted.revived).map(|(key, incoming)| (incoming.number, key.as_str()));
        let there = sorted.without_slot.iter().map(|(key, row)| (*row, key.as_str()));
        let mut waiting: Vec<_> = come.chain(there).collect();
        // First come, first served, as the file has them.
        waiting.sort_unstable();
        slots::give(&mut tx, order, waiting.into_iter().map(|(_, key)| key), from).await?;
    }
    tx.commit().await?;
    Ok(Outcome::Committed { added, already_there: sorted.already_there })
}

/// A device that the inventory has.
struct Known {
    key: String,
    lifecycle: Option<Lifecycle>,
    waits_for_slot: bool,
    values: [Option<String>; COLUMNS.len()],
    /// Its row, if this very import brought it.
    row: Option<u64>,
}

async fn sort<'a>(db: &mut AnyConnection, order: &Order, batch: &'a [Incoming]) -> Result<Sorted<'a>, ApiError> {
    let (known, taken) = known(db, order, batch).await?;
    let mut sorted = Sorted {
        new: Vec::with_capacity(batch.len()),
        revived: Vec::new(),
        already_there: 0,
        without_slot: Vec::new(),
        bad: Vec::new(),
    };
    let mut here: HashMap<&str, &Incoming> = HashMap::with_capacity(batch.len());
    for incoming in batch {
        let at = |code, column: &str, text: &str| ImportProblem {
            row: incoming.number,
            line: incoming.line,
            ..problem(code, column, text)
        };
        if let Some(before) = here.get(incoming.name.as_str()) {
            match before.said() == incoming.said() {
                true => sorted.already_there += 1,
                false => sorted.bad.push(duplicate(incoming, before.number)),
            }
            continue;
        }
        here.insert(&incoming.name, incoming);
        match known.get(&incoming.name) {
            None => {
                let key = devices::new_key(&incoming.name, taken.contains(&incoming.name));
                sorted.new.push((key, incoming));
            }
            Some(known) if known.lifecycle == Some(Lifecycle::Decommissioned) => {
                sorted.revived.push((known.key.clone(), incoming));
            }
            Some(known) => {
                let differs = |index: &usize| {
                    let said = incoming.said()[*index];
                    // What a row does not say is as it is; the spelling of the registration ID stays the first one.
                    *index > 0 && said.is_some() && said != known.values[*index].as_deref()
                };
                match ((0..COLUMNS.len()).find(differs), known.row) {
                    (None, _) => {
                        sorted.already_there += 1;
                        sorted.without_slot.extend(known.waits_for_slot.then(|| (known.key.clone(), incoming.number)));
                    }
                    (Some(_), Some(row)) => sorted.bad.push(duplicate(incoming, row)),
                    (Some(column), None) => {
                        let text = "the inventory has this device with another value";
                        sorted.bad.push(at(ImportProblemCode::DifferentInInventory, COLUMNS[column], text));
                    }
                }
            }
        }
    }
    Ok(sorted)
}

/// The tenant's devices of these names, and the names that are any device's key.
async fn known(
    db: &mut AnyConnection,
    order: &Order,
    batch: &[Incoming],
) -> Result<(HashMap<String, Known>, HashSet<String>), ApiError> {
    let (mut found, mut taken) = (HashMap::new(), HashSet::new());
    let import = order.key();
    for some in batch.chunks(ROWS_AT_ONCE) {
        let mut select = Statement::new(
            "SELECT key, name, tenant, lifecycle, registration_id, model, pinned_attestation, endorsement_key, region, ring,
                 pinned_instance, site, import_id, import_row, allocated_at, starts_at
             FROM devices WHERE name IN ",
        );
        select.list(some, |names, incoming| {
            names.bind(&incoming.name);
        });
        for row in select.query(db).persistent(some.len() == ROWS_AT_ONCE).fetch_all(&mut *db).await? {
            let (key, name): (String, String) = (row.try_get("key")?, row.try_get("name")?);
            if key == name {
                taken.insert(name.clone());
            }
            // Whose the others are, or that there are any, is not told.
            if row.try_get::<&str, _>("tenant")? != order.tenant {
                continue;
            }
            let by_this = row.try_get::<Option<&str>, _>("import_id")? == Some(import.as_str());
            let import_row: Option<i64> = row.try_get("import_row")?;
            let known = Known {
                key,
                lifecycle: crate::words::from_word(row.try_get("lifecycle")?),
                waits_for_slot: row.try_get::<Option<i64>, _>("allocated_at")?.is_none()
                    && row.try_get::<Option<i64>, _>("starts_at")?.is_none(),
                values: [
                    row.try_get("registration_id")?,
                    row.try_get("model")?,
                    row.try_get("pinned_attestation")?,
                    row.try_get("endorsement_key")?,
                    row.try_get("region")?,
                    row.try_get("ring")?,
                    row.try_get("pinned_instance")?,
                    row.try_get("site")?,
                ],
                row: import_row.filter(|_| by_this).map(|row| row.max(0) as u64),
            };
            found.insert(name, known);
        }
    }
    Ok((found, taken))
}

async fn insert(
    db: &mut AnyConnection,
    order: &Order,
    new: &[(String, &Incoming)],
    schedule_from: Option<i64>,
) -> Result<(), ApiError> {
    let (at, import) = (now(), order.key());
    for some in new.chunks(ROWS_AT_ONCE) {
        let mut insert = Statement::new(
            "INSERT INTO devices (key, registration_id, tenant, model, pinned_attestation, endorsement_key, region, ring,
                 pinned_instance, site, import_id, import_row, lifecycle, created_at, updated_at, schedule_from) ",
        );
        insert.rows(some, |values, (key, incoming)| {
            values.bind(key).next(&incoming.registration_id).next(&order.tenant);
            values.next(&incoming.model).next(&incoming.attestation).next(&incoming.endorsement_key);
            values.next(&incoming.region).next(incoming.ring.as_deref().unwrap_or("production"));
            values.next(&incoming.dps_instance).next(&incoming.site).next(&import);
            values.next(incoming.number as i64).next(word(Lifecycle::Expected)).next(at).next(at);
            values.next(schedule_from);
        });
        insert.query(db).persistent(some.len() == ROWS_AT_ONCE).execute(&mut *db).await?;
    }
    Ok(())
}

/// A decommissioned device comes back as if it were new: what the row does not say is not asked for any more.
async fn revive(
    db: &mut AnyConnection,
    order: &Order,
    key: &str,
    incoming: &Incoming,
    schedule_from: Option<i64>,
) -> Result<(), ApiError> {
    let standing = life_cycle::Standing { lifecycle: Lifecycle::Decommissioned, offered: false };
    let next = life_cycle::after(standing, life_cycle::Step::Import);
    let lifecycle = next.map_or(Lifecycle::Expected, |next| next.lifecycle);
    sqlx::query(
        "UPDATE devices SET model = $2, pinned_attestation = $3, endorsement_key = $4, region = $5, ring = $6,
             pinned_instance = $7, site = $8, import_id = $9, import_row = $10, lifecycle = $11, updated_at = $12, schedule_from = $13
         WHERE key = $1",
    )
    .bind(key)
    .bind(&incoming.model)
    .bind(&incoming.attestation)
    .bind(&incoming.endorsement_key)
    .bind(&incoming.region)
    .bind(incoming.ring.as_deref().unwrap_or("production"))
    .bind(&incoming.dps_instance)
    .bind(&incoming.site)
    .bind(order.key())
    .bind(incoming.number as i64)
    .bind(word(lifecycle))
    .bind(now())
    .bind(schedule_from)
    .execute(&mut *db)
    .await?;
    outbox::unbar(db, key, &order.caller.who()).await
}
