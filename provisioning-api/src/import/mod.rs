//! Many devices into the inventory at once, from a file that is never wholly in memory.
//!
//! Rows are committed in batches of [`BATCH`], each wholly or not at all, from the first row on. At the first bad row the
//! committing ends, and the rest is only looked through, so that one upload tells all that is wrong. An import has an ID: a
//! file that is uploaded again under it goes on after the last committed row, if all before it is as it was.

mod check;
mod inventory;
mod rows;
mod slots;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use provisioning_api_contract::{
    ImportProblem, ImportProblemCode, ImportReport, ImportSchedule, ImportState, ProblemCode,
};
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use crate::api::ApiError;
use crate::app::App;
use crate::import::check::{Incoming, check};
use crate::import::inventory::Outcome;
use crate::import::rows::{Rows, problem};
use crate::import::slots::{Rehearsal, Waiting};
use crate::statement::Statement;
use crate::store::{Store, now, time};
use crate::tokens::Caller;

pub use crate::import::rows::ImportFormat;

/// Rows that are committed together. Small enough that whoever else writes waits for milliseconds.
pub(crate) const BATCH: usize = 1000;

/// How many problems the report of an upload shows itself.
const SHOWN: usize = 100;

/// With more bad rows than that a file is not looked through any further.
const MAX_BAD_ROWS: u64 = 100_000;

/// Problems that are written together.
const PROBLEMS_AT_ONCE: usize = 500;

/// What is imported, by whom and how.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    pub(crate) tenant: String,
    pub(crate) caller: Caller,
    pub(crate) format: ImportFormat,
    /// Keeps nothing.
    pub(crate) dry_run: bool,
    /// The DPS instances that a row may name.
    pub(crate) instances: BTreeSet<String>,
    /// Whether its devices get slots of a staggered schedule, from now on or from a time on.
    pub(crate) schedule: Option<Schedule>,
    /// The service; without it devices can go where they could at the one that started last.
    pub(crate) app: Option<Arc<App>>,
}

/// A staggered schedule that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// No slot before it; absent: from the beginning of the import on.
    pub(crate) from: Option<i64>,
}

impl Order {
    /// Import IDs are each tenant's own.
    fn key(&self) -> String {
        key(&self.tenant, self.id)
    }
}

/// What an import is found by in the database.
pub(crate) fn key(tenant: &str, id: Uuid) -> String {
    format!("{tenant}/{id}")
}

/// An upload that goes on: [`Import::push`] for each piece, [`Import::finish`] at the end. Dropped in between, all that was
/// committed stays.
pub(crate) struct Import {
    store: Store,
    order: Order,
    reader: Rows,
    read: Vec<rows::Row>,
    batch: Vec<Incoming>,
    /// The hash up to the last row of the batch.
    prefix: [u8; 32],
    /// How many rows were committed when this upload began, and the hash over them.
    resumed_at: u64,
    resumed_prefix: String,
    complete_before: bool,
    /// From when on its devices' slots may lie, if it asked for a schedule.
    schedule_from: Option<i64>,
    committed: u64,
    /// No more is committed: a row was bad, or nothing is to be kept.
    looking_only: bool,
    /// The rows that were only looked through: what they said, and where it stood.
    seen: HashMap<[u8; 16], ([u8; 16], u64)>,
    problems: Vec<ImportProblem>,
    report: ImportReport,
    /// Of a dry run that asks for a schedule.
    rehearsal: Option<Rehearsal>,
    last_bad: u64,
    /// The rest of the file is of no interest.
    over: bool,
}

impl Import {
    pub(crate) async fn begin(store: &Store, order: Order) -> Result<Self, ApiError> {
        let Before { resumed_at, resumed_prefix, state, added, already_there, schedule_from } =
            if order.dry_run { Before::default() } else { open(store, &order).await? };
        let rehearsal = match order.schedule.filter(|_| order.dry_run) {
            Some(schedule) => Some(Rehearsal::begin(&mut *store.read().acquire().await?, &order, schedule.from).await?),
            None => None,
        };
        let report = ImportReport {
            import_id: order.id,
            tenant: order.tenant.clone(),
            state: ImportState::Open,
            dry_run: order.dry_run,
            committed_rows: resumed_at,
            rows: 0,
            added,
            already_there,
            bad_rows: 0,
            schedule: None,
            problems: Vec::new(),
        };
        Ok(Self {
            store: store.clone(),
            reader: Rows::new(order.format),
            read: Vec::new(),
            batch: Vec::with_capacity(BATCH),
            prefix: [0; 32],
            resumed_at,
            resumed_prefix,
            complete_before: state == Some(ImportState::Complete),
            schedule_from,
            committed: resumed_at,
            looking_only: order.dry_run,
            order,
            seen: HashMap::new(),
            problems: Vec::new(),
            report,
            rehearsal,
            last_bad: 0,
            over: false,
        })
    }

    /// Whether more of the file would be looked at.
    pub(crate) fn wants_more(&self) -> bool {
        !self.over
    }

    /// Takes the next bytes of the file.
    pub(crate) async fn push(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        if self.over {
            return Ok(());
        }
        let mut read = std::mem::take(&mut self.read);
        let done = self.reader.push(bytes, &mut read);
        self.take(&mut read).await?;
        self.read = read;
        if let Err(problem) = done {
            self.whole_file_is_bad(problem).await?;
        }
        Ok(())
    }

    /// The file is at its end.
    pub(crate) async fn finish(mut self) -> Result<ImportReport, ApiError> {
        if !self.over {
            let mut read = std::mem::take(&mut self.read);
            let done = self.reader.finish(&mut read);
            self.take(&mut read).await?;
            match done {
                Err(problem) => self.whole_file_is_bad(problem).await?,
                Ok(()) => self.flush().await?,
            }
        }
        if self.report.rows < self.resumed_at && self.report.bad_rows == 0 {
            return Err(changed());
        }
        self.keep_problems().await?;
        let complete = !self.looking_only && self.report.bad_rows == 0;
        self.report.state = if complete { ImportState::Complete } else { ImportState::Open };
        self.report.committed_rows = self.committed;
        if !self.order.dry_run {
            let state = if complete { "complete" } else { "open" };
            let mut tx = self.store.begin().await?;
            sqlx::query("UPDATE imports SET state = $1, bad_rows = $2, rows_seen = $3, updated_at = $4 WHERE id = $5 AND committed_rows = $6")
                .bind(state)
                .bind(self.report.bad_rows as i64)
                .bind(self.report.rows as i64)
                .bind(now())
                .bind(self.order.key())
                .bind(self.committed as i64)
                .execute(&mut *tx)
                .await?;
            self.report.schedule = schedule(&mut tx, &self.order.key()).await?;
            tx.commit().await?;
        }
        if let Some(rehearsal) = self.rehearsal {
            self.report.schedule = Some(rehearsal.finish());
        }
        Ok(self.report)
    }

    async fn take(&mut self, read: &mut Vec<rows::Row>) -> Result<(), ApiError> {
        for row in read.drain(..) {
            if self.over {
                break;
            }
            self.report.rows = row.number;
            // Rows that are in the inventory from an earlier upload: only that they are the same is of interest.
            if row.number <= self.resumed_at {
                if row.number == self.resumed_at && hex::encode(row.prefix) != self.resumed_prefix {
                    return Err(changed());
                }
                continue;
            }
            if self.complete_before {
                return Err(changed());
            }
            let (number, prefix) = (row.number, row.prefix);
            match check(row, &self.order.instances) {
                Ok(incoming) => {
                    self.batch.push(incoming);
                    self.prefix = prefix;
                }
                Err(problems) => {
                    self.bad(problems);
                    // Its batch is not committed: all of it or nothing.
                    self.looking_only = true;
                }
            }
            if self.batch.len() >= BATCH || number.saturating_sub(self.committed) % BATCH as u64 == 0 {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Commits the batch, or looks it through.
    async fn flush(&mut self) -> Result<(), ApiError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let from = std::time::Instant::now();
        let outcome = if self.looking_only {
            inventory::look(&self.store, &self.order, &batch).await?
        } else {
            let place = (self.committed, hex::encode(self.prefix));
            inventory::commit(&self.store, &self.order, &batch, place, self.schedule_from).await?
        };
        match outcome {
            Outcome::Committed { added, already_there } => {
                self.committed += batch.len() as u64;
                self.report.added += added;
                self.report.already_there += already_there;
                // Another process that waits for the database is not woken but looks now and then: leave it a gap.
                tokio::time::sleep(from.elapsed() / 8).await;
            }
            Outcome::Looked { bad, new, waiting, already_there } => {
                let fresh = self.look_at(&batch, bad, &new, already_there);
                self.rehearse(&batch, &fresh, &waiting).await?;
            }
        }
        self.batch = batch;
        self.batch.clear();
        if self.problems.len() >= PROBLEMS_AT_ONCE {
            self.keep_problems().await?;
        }
        Ok(())
    }

    /// The slots that these rows' devices would get.
    async fn rehearse(
        &mut self,
        batch: &[Incoming],
        fresh: &HashSet<u64>,
        waiting: &HashMap<u64, Waiting>,
    ) -> Result<(), ApiError> {
        let Some(rehearsal) = &mut self.rehearsal else { return Ok(()) };
        let mut db = self.store.read().acquire().await?;
        for incoming in batch.iter().filter(|incoming| fresh.contains(&incoming.number)) {
            if let Some(waiting) = waiting.get(&incoming.number) {
                rehearsal.give(&mut db, &self.order, incoming, waiting).await?;
            }
        }
        Ok(())
    }

    /// Nothing of this batch was committed. Rows of earlier batches that were only looked at are not in the inventory, so
    /// that it cannot tell what came twice. Returns the good rows whose devices came for the first time.
    fn look_at(
        &mut self,
        batch: &[Incoming],
        bad: Vec<ImportProblem>,
        new: &HashSet<u64>,
        already_there: u64,
    ) -> HashSet<u64> {
        let mut fresh = HashSet::new();
        self.looking_only = true;
        let bad_rows: HashSet<u64> = bad.iter().map(|problem| problem.row).collect();
        let first = batch.first().map_or(0, |incoming| incoming.number);
        let (mut added, mut there) = (0, already_there);
        bad.into_iter().for_each(|problem| self.bad(vec![problem]));
        for incoming in batch.iter().filter(|incoming| !bad_rows.contains(&incoming.number)) {
            let mut content = Sha256::new();
            for said in incoming.said() {
                content.update([u8::from(said.is_some())]);
                content.update(said.unwrap_or_default().as_bytes());
                content.update([0]);
            }
            let (key, content) = (short(Sha256::digest(&incoming.name).into()), short(content.finalize().into()));
            let is_new = new.contains(&incoming.number);
            match self.seen.get(&key) {
                // Within the batch it was told apart already.
                Some((_, row)) if *row >= first => {}
                Some((before, _)) if *before == content => there += u64::from(is_new),
                Some((_, row)) => {
                    let problem = duplicate(incoming, *row);
                    self.bad(vec![problem]);
                }
                None => {
                    self.seen.insert(key, (content, incoming.number));
                    fresh.insert(incoming.number);
                    added += u64::from(is_new);
                }
            }
        }
        if self.order.dry_run {
            self.report.added += added;
            self.report.already_there += there;
        }
        fresh
    }

    fn bad(&mut self, problems: Vec<ImportProblem>) {
        for problem in problems {
            if problem.row != self.last_bad || self.report.bad_rows == 0 {
                self.report.bad_rows += 1;
                self.last_bad = problem.row;
            }
            if self.report.problems.len() < SHOWN {
                self.report.problems.push(problem.clone());
            }
            if !self.order.dry_run {
                self.problems.push(problem);
            }
        }
        if self.report.bad_rows >= MAX_BAD_ROWS && !self.over {
            self.over = true;
            let text = format!("{MAX_BAD_ROWS} rows are bad; the rest of the file was not looked through");
            let problem = problem(ImportProblemCode::TooMany, "", &text);
            self.report.problems.push(problem.clone());
            self.problems.push(problem);
        }
    }

    /// Nothing more can be read.
    async fn whole_file_is_bad(&mut self, problem: ImportProblem) -> Result<(), ApiError> {
        self.flush().await?;
        self.looking_only = true;
        self.over = true;
        self.bad(vec![problem]);
        Ok(())
    }

    async fn keep_problems(&mut self) -> Result<(), ApiError> {
        let problems = std::mem::take(&mut self.problems);
        for some in problems.chunks(PROBLEMS_AT_ONCE) {
            let mut insert =
                Statement::new("INSERT INTO import_problems (import_id, row_number, line, column_name, code, text) ");
            insert.rows(some, |values, problem| {
                values.bind(self.order.key()).next(problem.row as i64).next(problem.line as i64);
                values.next(&problem.column).next(crate::words::word(problem.code)).next(&problem.text);
            });
            insert.push(" ON CONFLICT DO NOTHING");
            let mut tx = self.store.begin().await?;
            insert.query(&tx).persistent(false).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Where an import stands.
#[derive(Default)]
struct Before {
    resumed_at: u64,
    resumed_prefix: String,
    state: Option<ImportState>,
    added: u64,
    already_there: u64,
    schedule_from: Option<i64>,
}

/// Where the import stands; it is made when it is new. What was wrong in the upload before is forgotten.
async fn open(store: &Store, order: &Order) -> Result<Before, ApiError> {
    let mut tx = store.begin().await?;
    let (key, at) = (order.key(), now());
    let made = sqlx::query(
        "INSERT INTO imports (id, tenant, who, state, prefix_hash, created_at, updated_at, schedule_from)
         SELECT $1, $2, $3, 'open', '', $4, $4, $5 WHERE EXISTS (SELECT 1 FROM tenants WHERE name = $2)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(&key)
    .bind(&order.tenant)
    .bind(order.caller.who())
    .bind(at)
    .bind(order.schedule.map(|schedule| schedule.from.unwrap_or(at)))
    .execute(&mut *tx)
    .await?;
    let row = sqlx::query("SELECT * FROM imports WHERE id = $1").bind(&key).fetch_optional(&mut *tx).await?;
    let Some(row) = row else {
        return Err(ApiError::new(ProblemCode::BadRequest).detail("there is no tenant of that name"));
    };
    let schedule_from: Option<i64> = row.try_get("schedule_from")?;
    let same = match order.schedule {
        None => schedule_from.is_none(),
        Some(Schedule { from: None }) => schedule_from.is_some(),
        Some(Schedule { from }) => schedule_from == from,
    };
    if made.rows_affected() == 0 && !same {
        let text = "the import was begun with another schedule; go on with that one, or take another ID";
        return Err(ApiError::new(ProblemCode::ImportConflict).detail(text));
    }
    sqlx::query("DELETE FROM import_problems WHERE import_id = $1").bind(&key).execute(&mut *tx).await?;
    let count = |column: &str| -> Result<u64, sqlx::Error> { Ok(row.try_get::<i64, _>(column)?.max(0) as u64) };
    let before = Before {
        resumed_at: count("committed_rows")?,
        resumed_prefix: row.try_get("prefix_hash")?,
        state: Some(match row.try_get::<&str, _>("state")? {
            "complete" => ImportState::Complete,
            _ => ImportState::Open,
        }),
        added: count("added")?,
        already_there: count("already_there")?,
        schedule_from,
    };
    tx.commit().await?;
    Ok(before)
}

/// The slots of an import's devices, if it asked for a schedule.
pub(crate) async fn schedule(db: &mut AnyConnection, key: &str) -> Result<Option<ImportSchedule>, sqlx::Error> {
    let row = sqlx::query("SELECT schedule_from, scheduled, first_slot, last_slot FROM imports WHERE id = $1")
        .bind(key)
        .fetch_one(db)
        .await?;
    let Some(from) = row.try_get::<Option<i64>, _>("schedule_from")? else { return Ok(None) };
    Ok(Some(ImportSchedule {
        from: time(from),
        scheduled: row.try_get::<i64, _>("scheduled")?.max(0) as u64,
        first: row.try_get::<Option<i64>, _>("first_slot")?.map(time),
        last: row.try_get::<Option<i64>, _>("last_slot")?.map(time),
        slots: Vec::new(),
    }))
}

fn changed() -> ApiError {
    ApiError::new(ProblemCode::ImportConflict).detail(
        "the rows that were committed under this import ID are not those that the file begins with; take another ID for another file",
    )
}

fn duplicate(incoming: &Incoming, row: u64) -> ImportProblem {
    let text = format!("row {row} has the same registration ID and other values");
    let place = problem(ImportProblemCode::DuplicateInFile, "registrationId", &text);
    ImportProblem { row: incoming.number, line: incoming.line, ..place }
}

fn short(hash: [u8; 32]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}

/// Those after this row and column, and whether there are more.
pub(crate) async fn problems(
    store: &Store,
    key: &str,
    after: (i64, &str),
    limit: u32,
) -> Result<(Vec<ImportProblem>, bool), ApiError> {
    let rows = sqlx::query(
        "SELECT * FROM import_problems WHERE import_id = $1 AND (row_number > $2 OR (row_number = $2 AND column_name > $3))
         ORDER BY row_number, column_name LIMIT $4",
    )
    .bind(key)
    .bind(after.0)
    .bind(after.1)
    .bind(i64::from(limit) + 1)
    .fetch_all(store.read())
    .await?;
    let more = rows.len() > limit as usize;
    let read = |row: &AnyRow| -> Result<ImportProblem, ApiError> {
        Ok(ImportProblem {
            row: row.try_get::<i64, _>("row_number")?.max(0) as u64,
            line: row.try_get::<i64, _>("line")?.max(0) as u64,
            column: row.try_get("column_name")?,
            code: crate::words::from_word(row.try_get("code")?).unwrap_or(ImportProblemCode::Unknown),
            text: row.try_get("text")?,
        })
    };
    Ok((rows.iter().take(limit as usize).map(read).collect::<Result<_, _>>()?, more))
}
