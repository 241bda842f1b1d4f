//! A batch of rows against the inventory: all of it goes in, or nothing.

use std::collections::{HashMap, HashSet};

use provisioning_api_contract::{ImportProblem, ImportProblemCode, Lifecycle, ProblemCode};
use serde_json::json;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use crate::api::ApiError;
use crate::events::{self, Event};
use crate::import::check::Incoming;
use crate::import::rows::{COLUMNS, problem};
use crate::import::{Order, duplicate};
use crate::store::{Store, now};
use crate::words::word;
use crate::{life_cycle, outbox};

/// Rows of one INSERT; each has fifteen of SQLite's 32,766 variables.
const ROWS_AT_ONCE: usize = 500;

pub(super) enum Outcome {
    /// It is in.
    Committed { added: u64, already_there: u64 },
    /// It is not: it was only looked at, or has bad rows.
    Looked {
        bad: Vec<ImportProblem>,
        /// The numbers of the rows that the inventory has not yet.
        new: HashSet<u64>,
        already_there: u64,
    },
}

/// What the inventory makes of a batch.
struct Sorted<'a> {
    new: Vec<&'a Incoming>,
    /// Decommissioned ones that come back.
    revived: Vec<&'a Incoming>,
    already_there: u64,
    bad: Vec<ImportProblem>,
}

impl Sorted<'_> {
    fn looked(self) -> Outcome {
        let new = self.new.iter().chain(&self.revived).map(|incoming| incoming.number).collect();
        Outcome::Looked { bad: self.bad, new, already_there: self.already_there }
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
) -> Result<Outcome, ApiError> {
    let mut tx = store.begin().await?;
    let sorted = sort(&mut tx, order, batch).await?;
    if !sorted.bad.is_empty() {
        return Ok(sorted.looked());
    }
    let added = (sorted.new.len() + sorted.revived.len()) as u64;
    let moved = sqlx::query(
        "UPDATE imports SET committed_rows = committed_rows + ?3, prefix_hash = ?4, added = added + ?5,
             already_there = already_there + ?6, updated_at = ?7
         WHERE id = ?1 AND committed_rows = ?2",
    )
    .bind(order.id.to_string())
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
    insert(&mut tx, order, &sorted.new).await?;
    for incoming in &sorted.revived {
        revive(&mut tx, order, incoming).await?;
    }
    let detail = json!({ "import": order.id });
    let who = order.caller.who();
    let mut recorded = Vec::with_capacity(sorted.new.len() + sorted.revived.len());
    for (what, rows) in [("device added", &sorted.new), ("device taken into service again", &sorted.revived)] {
        recorded.extend(rows.iter().map(|incoming| Event {
            who: &who,
            what,
            device_key: Some(&incoming.key),
            tenant: Some(&order.tenant),
            detail: Some(&detail),
            ..Event::default()
        }));
    }
    events::add(&mut tx, &recorded).await?;
    tx.commit().await?;
    Ok(Outcome::Committed { added, already_there: sorted.already_there })
}

/// A device that the inventory has.
struct Known {
    tenant: String,
    lifecycle: Option<Lifecycle>,
    values: [Option<String>; COLUMNS.len()],
    /// Its row, if this very import brought it.
    row: Option<u64>,
}

async fn sort<'a>(db: &mut SqliteConnection, order: &Order, batch: &'a [Incoming]) -> Result<Sorted<'a>, ApiError> {
    let known = known(db, order, batch).await?;
    let mut sorted =
        Sorted { new: Vec::with_capacity(batch.len()), revived: Vec::new(), already_there: 0, bad: Vec::new() };
    let mut here: HashMap<&str, &Incoming> = HashMap::with_capacity(batch.len());
    for incoming in batch {
        let at = |code, column: &str, text: &str| ImportProblem {
            row: incoming.number,
            line: incoming.line,
            ..problem(code, column, text)
        };
        if let Some(before) = here.get(incoming.key.as_str()) {
            match before.said() == incoming.said() {
                true => sorted.already_there += 1,
                false => sorted.bad.push(duplicate(incoming, before.number)),
            }
            continue;
        }
        here.insert(&incoming.key, incoming);
        match known.get(&incoming.key) {
            None => sorted.new.push(incoming),
            // Whose it is, or that it exists at all, is not told.
            Some(known) if known.tenant != order.tenant => {
                let text = "this registration ID cannot be used here";
                sorted.bad.push(at(ImportProblemCode::Unavailable, COLUMNS[0], text));
            }
            Some(known) if known.lifecycle == Some(Lifecycle::Decommissioned) => sorted.revived.push(incoming),
            Some(known) => {
                let differs = |index: &usize| {
                    let said = incoming.said()[*index];
                    // What a row does not say is as it is; the spelling of the registration ID stays the first one.
                    *index > 0 && said.is_some() && said != known.values[*index].as_deref()
                };
                match ((0..COLUMNS.len()).find(differs), known.row) {
                    (None, _) => sorted.already_there += 1,
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

async fn known(
    db: &mut SqliteConnection,
    order: &Order,
    batch: &[Incoming],
) -> Result<HashMap<String, Known>, ApiError> {
    let mut found = HashMap::new();
    let import = order.id.to_string();
    for some in batch.chunks(ROWS_AT_ONCE) {
        let mut select = QueryBuilder::<Sqlite>::new(
            "SELECT key, tenant, lifecycle, registration_id, model, pinned_attestation, endorsement_key, region, ring,
                 pinned_instance, site, import_id, import_row
             FROM devices WHERE key IN (",
        );
        let mut keys = select.separated(", ");
        for incoming in some {
            keys.push_bind(&incoming.key);
        }
        select.push(")");
        for row in select.build().persistent(some.len() == ROWS_AT_ONCE).fetch_all(&mut *db).await? {
            let by_this = row.try_get::<Option<&str>, _>("import_id")? == Some(import.as_str());
            let import_row: Option<i64> = row.try_get("import_row")?;
            let known = Known {
                tenant: row.try_get("tenant")?,
                lifecycle: crate::words::from_word(row.try_get("lifecycle")?),
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
            found.insert(row.try_get("key")?, known);
        }
    }
    Ok(found)
}

async fn insert(db: &mut SqliteConnection, order: &Order, new: &[&Incoming]) -> Result<(), ApiError> {
    let (at, import) = (now(), order.id.to_string());
    for some in new.chunks(ROWS_AT_ONCE) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO devices (key, registration_id, tenant, model, pinned_attestation, endorsement_key, region, ring,
                 pinned_instance, site, import_id, import_row, lifecycle, created_at, updated_at) ",
        );
        insert.push_values(some, |mut values, incoming| {
            values.push_bind(&incoming.key).push_bind(&incoming.registration_id).push_bind(&order.tenant);
            values.push_bind(&incoming.model).push_bind(&incoming.attestation).push_bind(&incoming.endorsement_key);
            values.push_bind(&incoming.region).push_bind(incoming.ring.as_deref().unwrap_or("production"));
            values.push_bind(&incoming.dps_instance).push_bind(&incoming.site).push_bind(&import);
            values.push_bind(incoming.number as i64).push_bind(word(Lifecycle::Expected)).push_bind(at).push_bind(at);
        });
        insert.build().persistent(some.len() == ROWS_AT_ONCE).execute(&mut *db).await?;
    }
    Ok(())
}

/// A decommissioned device comes back as if it were new: what the row does not say is not asked for any more.
async fn revive(db: &mut SqliteConnection, order: &Order, incoming: &Incoming) -> Result<(), ApiError> {
    let standing = life_cycle::Standing { lifecycle: Lifecycle::Decommissioned, offered: false };
    let next = life_cycle::after(standing, life_cycle::Step::Import);
    let lifecycle = next.map_or(Lifecycle::Expected, |next| next.lifecycle);
    sqlx::query(
        "UPDATE devices SET model = ?2, pinned_attestation = ?3, endorsement_key = ?4, region = ?5, ring = ?6,
             pinned_instance = ?7, site = ?8, import_id = ?9, import_row = ?10, lifecycle = ?11, updated_at = ?12
         WHERE key = ?1",
    )
    .bind(&incoming.key)
    .bind(&incoming.model)
    .bind(&incoming.attestation)
    .bind(&incoming.endorsement_key)
    .bind(&incoming.region)
    .bind(incoming.ring.as_deref().unwrap_or("production"))
    .bind(&incoming.dps_instance)
    .bind(&incoming.site)
    .bind(order.id.to_string())
    .bind(incoming.number as i64)
    .bind(word(lifecycle))
    .bind(now())
    .execute(&mut *db)
    .await?;
    outbox::unbar(db, &incoming.key, &order.caller.who()).await
}
