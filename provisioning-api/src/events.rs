//! The record of who did what and when. Rows are only ever added; nothing secret stands in them.
//!
//! Every row carries a hash over the one before it and over all of itself, so that nothing can be changed, removed or put
//! elsewhere without all that follows being made anew. Whoever adds an event changes the one row of `audit_head` first and
//! keeps its lock until the end of the transaction: the chain is whole whoever else writes, and from whichever process.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use crate::statement::Statement;
use crate::store::{Store, now};

/// What is before the first event.
pub(crate) const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Rows of one INSERT: SQLite takes 32,766 variables (sqlite.org/limits.html), and each has ten.
const ROWS_AT_ONCE: usize = 500;

/// What happened. The time, its number and its hash are given to it when it is recorded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Event<'a> {
    /// Who did it: [`crate::tokens::Caller::who`].
    pub(crate) who: &'a str,
    /// In a few words, the same for the same.
    pub(crate) what: &'a str,
    pub(crate) device_key: Option<&'a str>,
    pub(crate) handoff_id: Option<Uuid>,
    /// Whose it is, so that their auditors see it; absent: the device's at this moment, and without a device the operator's.
    pub(crate) tenant: Option<&'a str>,
    /// Why, in the words of whoever did it.
    pub(crate) reason: Option<&'a str>,
    pub(crate) detail: Option<&'a Value>,
}

/// Adds one event of a device, in the transaction of the change that it tells of.
pub(crate) async fn record(
    db: &mut AnyConnection,
    who: &str,
    what: &str,
    device_key: &str,
    handoff_id: Option<Uuid>,
    detail: Option<&Value>,
) -> Result<(), sqlx::Error> {
    add(db, &[Event { who, what, device_key: Some(device_key), handoff_id, detail, ..Event::default() }]).await
}

/// Adds one event that is about no device: of a tenant, whose auditors see it, or of none, which the operator's see.
pub(crate) async fn record_of(
    db: &mut AnyConnection,
    tenant: Option<&str>,
    who: &str,
    what: &str,
    detail: &Value,
) -> Result<(), sqlx::Error> {
    add(db, &[Event { who, what, tenant, detail: Some(detail), ..Event::default() }]).await
}

/// Adds events, in the transaction of the changes that they tell of. Events of several devices name their tenants.
pub(crate) async fn add(db: &mut AnyConnection, events: &[Event<'_>]) -> Result<(), sqlx::Error> {
    let Some(first) = events.first() else { return Ok(()) };
    let head = sqlx::query(
        "UPDATE audit_head SET turn = turn + 1 WHERE one = 1
         RETURNING event_id, hash, (SELECT MAX(id) FROM events) AS last, (SELECT tenant FROM devices WHERE key = $1) AS tenant",
    )
    .bind(first.device_key)
    .fetch_one(&mut *db)
    .await?;
    let (id, mut hash): (i64, String) = (head.try_get("event_id")?, head.try_get("hash")?);
    // What something else than this wrote after the head stays without a hash, for audit verify to name.
    let mut id = head.try_get::<Option<i64>, _>("last")?.map_or(id, |last| last.max(id));
    let tenant: Option<String> = head.try_get("tenant")?;
    let at = now();
    for some in events.chunks(ROWS_AT_ONCE) {
        let rows: Vec<Row> = some
            .iter()
            .map(|event| {
                id += 1;
                let mut row = Row {
                    id,
                    at,
                    who: event.who.into(),
                    what: event.what.into(),
                    device_key: event.device_key.map(Into::into),
                    handoff_id: event.handoff_id.map(|id| id.to_string()),
                    tenant: event.tenant.map(Into::into).or_else(|| tenant.clone()),
                    reason: event.reason.map(Into::into),
                    detail: event.detail.map(Value::to_string),
                    hash: None,
                };
                hash = row.link(&hash);
                row.hash = Some(hash.clone());
                row
            })
            .collect();
        let mut insert = Statement::new(
            "INSERT INTO events (id, at, who, what, device_key, handoff_id, tenant, reason, detail, hash) ",
        );
        insert.rows(&rows, |values, row| {
            values.bind(row.id).next(row.at).next(&row.who).next(&row.what);
            values.next(&row.device_key).next(&row.handoff_id).next(&row.tenant);
            values.next(&row.reason).next(&row.detail).next(&row.hash);
        });
        insert.query(db).persistent(rows.len() == 1 || rows.len() == ROWS_AT_ONCE).execute(&mut *db).await?;
    }
    set_head(db, id, &hash).await
}

/// Chains what was recorded before there was a chain: once, while nothing is chained yet. What has no hash later on was written
/// by something else, and keeps none.
pub(crate) async fn chain_old(store: &Store) -> Result<(), sqlx::Error> {
    let old = sqlx::query("SELECT 1 FROM audit_head WHERE event_id = 0 AND EXISTS (SELECT 1 FROM events)")
        .fetch_optional(store.read())
        .await?;
    if old.is_none() {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    let head = sqlx::query("UPDATE audit_head SET turn = turn + 1 WHERE one = 1 AND event_id = 0 RETURNING hash")
        .fetch_optional(&mut *tx)
        .await?;
    // Another process may have been first.
    let Some(head) = head else { return Ok(()) };
    let (mut id, mut hash): (i64, String) = (0, head.try_get("hash")?);
    loop {
        let rows = after(&mut tx, id).await?;
        let Some(last) = rows.last() else { break };
        id = last.id;
        for row in rows {
            hash = row.link(&hash);
            let update = sqlx::query("UPDATE events SET hash = $1 WHERE id = $2 AND hash IS NULL").bind(&hash);
            update.bind(row.id).execute(&mut *tx).await?;
        }
    }
    set_head(&mut tx, id, &hash).await?;
    tx.commit().await
}

async fn set_head(db: &mut AnyConnection, id: i64, hash: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE audit_head SET event_id = $1, hash = $2 WHERE one = 1").bind(id).bind(hash).execute(db).await?;
    Ok(())
}

/// The next events after this one, at most 1,000.
pub(crate) async fn after(db: &mut AnyConnection, id: i64) -> Result<Vec<Row>, sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM events WHERE id > $1 ORDER BY id LIMIT 1000").bind(id).fetch_all(db).await?;
    rows.iter().map(Row::read).collect()
}

/// An event as the database has it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) who: String,
    pub(crate) what: String,
    pub(crate) device_key: Option<String>,
    pub(crate) handoff_id: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) hash: Option<String>,
}

impl Row {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            at: row.try_get("at")?,
            who: row.try_get("who")?,
            what: row.try_get("what")?,
            device_key: row.try_get("device_key")?,
            handoff_id: row.try_get("handoff_id")?,
            tenant: row.try_get("tenant")?,
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
            hash: row.try_get("hash")?,
        })
    }

    /// The hash that this event has after that one: SHA-256 over `lowtouch event v1` and a zero byte, the hash before (as
    /// its 64 hexadecimal digits), number and time (8 bytes each, big-endian), and each text: a zero byte for none, else a
    /// one, its length (8 bytes, big-endian) and its UTF-8. In the order of docs/life-cycle.md.
    pub(crate) fn link(&self, previous: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(b"lowtouch event v1\0");
        hash.update(previous.as_bytes());
        hash.update(self.id.to_be_bytes());
        hash.update(self.at.to_be_bytes());
        let mut text = |text: Option<&str>| match text {
            None => hash.update([0]),
            Some(text) => {
                hash.update([1]);
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
        };
        text(Some(&self.who));
        text(Some(&self.what));
        text(self.device_key.as_deref());
        text(self.handoff_id.as_deref());
        text(self.tenant.as_deref());
        text(self.reason.as_deref());
        text(self.detail.as_deref());
        hex::encode(hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_database;

    #[tokio::test]
    async fn an_event_can_neither_be_changed_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&test_database::url(folder.path())).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        record_of(&mut tx, None, "Ida", "looked", &Value::Null).await.unwrap();
        tx.commit().await.unwrap();
        for change in ["UPDATE events SET who = 'Eve'", "UPDATE events SET hash = 'x'", "DELETE FROM events"] {
            let mut tx = store.begin().await.unwrap();
            let refused = sqlx::query(change).execute(&mut *tx).await.unwrap_err();
            assert!(refused.to_string().contains("append-only"));
        }
    }
}
