//! Whether the events are still as they were recorded.

use crate::events::{self, START};
use crate::store::Store;

/// What a look at the chain of events found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// How many events were looked at.
    pub checked: u64,
    /// The last event's number; 0 when there is none.
    pub last: i64,
    /// The last event's hash: keep it elsewhere, and say it the next time.
    pub head: String,
    /// The first thing that is wrong.
    pub fault: Option<AuditFault>,
}

impl AuditReport {
    fn start() -> Self {
        Self { checked: 0, last: 0, head: START.into(), fault: None }
    }
}

/// What is wrong with the events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditFault {
    /// This event was changed, or one before it was removed or put elsewhere.
    #[error(
        "event {0} does not follow from the one before it: it was changed, or events before it were removed or moved"
    )]
    Broken(i64),
    /// This event has no hash.
    #[error("event {0} has no hash: something else than this service wrote it")]
    Unchained(i64),
    /// Events are missing at the end.
    #[error("the last events are missing: the chain went on to event {expected} and now ends at {found}")]
    Cut {
        /// The last event that was recorded.
        expected: i64,
        /// The last one that is there.
        found: i64,
    },
    /// No event has the hash that was kept.
    #[error("no event has the hash that was kept elsewhere: events were removed from the end, or all were made anew")]
    HeadUnknown,
    /// Nothing is chained yet.
    #[error(
        "the events of this database are from before there was a chain: start the service on it once, which makes one"
    )]
    NoChain,
    /// There is no such event to begin with.
    #[error("there is no event {0} to begin with")]
    NoStart(i64),
}

/// As [`verify`], of a database that is left as it is: nothing in it is brought up to date before it is looked at.
pub(crate) async fn verify_at(url: &str, from: Option<i64>, kept: Option<&str>) -> Result<AuditReport, sqlx::Error> {
    let store = Store::open_to_look(url).await?;
    let report = verify(&store, from, kept).await;
    store.close().await;
    match report {
        // No such table: SQLite says it in words only (1, SQLITE_ERROR), PostgreSQL has 42P01.
        Err(sqlx::Error::Database(error)) if error.message().contains("audit_head") => {
            Ok(AuditReport { fault: Some(AuditFault::NoChain), ..AuditReport::start() })
        }
        report => report,
    }
}

/// Goes through the events from this one on (`None`: from the first) and looks for the hash that was kept elsewhere.
pub(crate) async fn verify(store: &Store, from: Option<i64>, kept: Option<&str>) -> Result<AuditReport, sqlx::Error> {
    // One view of the database, whoever writes meanwhile.
    let mut tx = store.view().await?;
    let mut report = AuditReport::start();
    let (expected, hash): (i64, String) =
        sqlx::query_as("SELECT event_id, hash FROM audit_head").fetch_one(&mut *tx).await?;
    if expected == 0 && !events::after(&mut tx, 0).await?.is_empty() {
        return Ok(AuditReport { fault: Some(AuditFault::NoChain), ..report });
    }
    if let Some(from) = from {
        let exists = sqlx::query("SELECT 1 FROM events WHERE id = $1").bind(from).fetch_optional(&mut *tx).await?;
        if exists.is_none() {
            return Ok(AuditReport { fault: Some(AuditFault::NoStart(from)), ..report });
        }
        let before: Option<(i64, Option<String>)> =
            sqlx::query_as("SELECT id, hash FROM events WHERE id < $1 ORDER BY id DESC LIMIT 1")
                .bind(from)
                .fetch_optional(&mut *tx)
                .await?;
        if let Some((id, hash)) = before {
            report.last = id;
            report.head = hash.unwrap_or_default();
        }
    }
    let mut found = kept.is_none_or(|kept| kept.eq_ignore_ascii_case(&report.head));
    loop {
        let rows = events::after(&mut tx, report.last).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let expected = row.link(&report.head);
            let fault = match &row.hash {
                None => Some(AuditFault::Unchained(row.id)),
                Some(hash) if *hash != expected => Some(AuditFault::Broken(row.id)),
                Some(_) => None,
            };
            if fault.is_some() {
                return Ok(AuditReport { fault, ..report });
            }
            found = found || kept.is_some_and(|kept| kept.eq_ignore_ascii_case(&expected));
            report.checked += 1;
            report.last = row.id;
            report.head = expected;
        }
    }
    if expected != report.last || hash != report.head {
        report.fault = Some(AuditFault::Cut { expected, found: report.last });
    } else if !found {
        report.fault = Some(AuditFault::HeadUnknown);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::str::FromStr as _;

    use serde_json::json;
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
    use uuid::Uuid;

    use super::*;
    use crate::events::Event;
    use crate::test_database;

    async fn store(folder: &tempfile::TempDir) -> Store {
        Store::open(&test_database::url(folder.path())).await.unwrap()
    }

    async fn fill(store: &Store, count: usize) {
        for number in 0..count {
            let detail = json!({ "number": number });
            let event = Event {
                who: "Ida",
                what: "looked",
                device_key: Some("sn-1"),
                handoff_id: Some(Uuid::from_u128(number as u128)),
                tenant: Some("north"),
                reason: Some("because"),
                detail: Some(&detail),
            };
            let mut tx = store.begin().await.unwrap();
            events::add(&mut tx, &[event.clone(), event]).await.unwrap();
            tx.commit().await.unwrap();
        }
    }

    /// What somebody does who has the database and takes the triggers off first.
    async fn tamper(store: &Store, statements: &[&'static str]) {
        let mut tx = store.begin().await.unwrap();
        let triggers: &[&'static str] = if test_database::is_postgres() {
            &["ALTER TABLE events DISABLE TRIGGER USER"]
        } else {
            &["DROP TRIGGER IF EXISTS events_are_not_changed", "DROP TRIGGER IF EXISTS events_are_not_removed"]
        };
        for trigger in triggers {
            sqlx::query(*trigger).execute(&mut *tx).await.unwrap();
        }
        for statement in statements {
            sqlx::query(*statement).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn fault_after(statements: &[&'static str]) -> Option<AuditFault> {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        fill(&store, 5).await;
        assert_eq!(verify(&store, None, None).await.unwrap().fault, None);
        tamper(&store, statements).await;
        verify(&store, None, None).await.unwrap().fault
    }

    #[tokio::test]
    async fn a_change_in_any_column_is_found_and_its_row_named() {
        for change in [
            "UPDATE events SET at = at + 1 WHERE id = 4",
            "UPDATE events SET who = 'Eve' WHERE id = 4",
            "UPDATE events SET what = 'was not here' WHERE id = 4",
            "UPDATE events SET device_key = 'sn-2' WHERE id = 4",
            "UPDATE events SET device_key = NULL WHERE id = 4",
            "UPDATE events SET handoff_id = NULL WHERE id = 4",
            "UPDATE events SET tenant = 'south' WHERE id = 4",
            "UPDATE events SET reason = '' WHERE id = 4",
            "UPDATE events SET detail = '{}' WHERE id = 4",
            "UPDATE events SET hash = (SELECT hash FROM events WHERE id = 3) WHERE id = 4",
        ] {
            assert_eq!(fault_after(&[change]).await, Some(AuditFault::Broken(4)), "{change}");
        }
        assert_eq!(fault_after(&["UPDATE events SET id = 40 WHERE id = 4"]).await, Some(AuditFault::Broken(5)));
        assert_eq!(fault_after(&["UPDATE events SET hash = NULL WHERE id = 4"]).await, Some(AuditFault::Unchained(4)));
    }

    #[tokio::test]
    async fn a_removed_event_and_two_that_changed_places_are_found() {
        assert_eq!(fault_after(&["DELETE FROM events WHERE id = 4"]).await, Some(AuditFault::Broken(5)));
        assert_eq!(fault_after(&["DELETE FROM events WHERE id = 1"]).await, Some(AuditFault::Broken(2)));
        let swap = [
            "UPDATE events SET id = 100 WHERE id = 4",
            "UPDATE events SET id = 4 WHERE id = 5",
            "UPDATE events SET id = 5 WHERE id = 100",
        ];
        assert_eq!(fault_after(&swap).await, Some(AuditFault::Broken(4)));
        let inserted = "INSERT INTO events (id, at, who, what, hash) VALUES (11, 0, 'Eve', 'was never here', NULL)";
        assert_eq!(fault_after(&[inserted]).await, Some(AuditFault::Unchained(11)));
    }

    #[tokio::test]
    async fn a_cut_end_is_found_by_the_head_that_was_kept_elsewhere() {
        assert_eq!(
            fault_after(&["DELETE FROM events WHERE id > 8"]).await,
            Some(AuditFault::Cut { expected: 10, found: 8 })
        );

        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        fill(&store, 4).await;
        let kept = verify(&store, None, None).await.unwrap().head;
        fill(&store, 1).await;
        let grown = verify(&store, None, Some(&kept.to_uppercase())).await.unwrap();
        assert_eq!((grown.fault, grown.checked), (None, 10));
        let later = grown.head;
        // Somebody who knows the table of the head as well.
        tamper(
            &store,
            &[
                "DELETE FROM events WHERE id > 8",
                "UPDATE audit_head SET event_id = 8, hash = (SELECT hash FROM events WHERE id = 8)",
            ],
        )
        .await;
        assert_eq!(verify(&store, None, Some(&kept)).await.unwrap().fault, None);
        assert_eq!(verify(&store, None, Some(&later)).await.unwrap().fault, Some(AuditFault::HeadUnknown));
    }

    #[tokio::test]
    async fn a_look_may_begin_in_the_middle() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        fill(&store, 5).await;
        tamper(&store, &["UPDATE events SET who = 'Eve' WHERE id = 4"]).await;
        assert_eq!(verify(&store, None, None).await.unwrap().fault, Some(AuditFault::Broken(4)));
        let rest = verify(&store, Some(5), None).await.unwrap();
        assert_eq!((rest.fault, rest.checked), (None, 6));
        assert_eq!(verify(&store, Some(99), None).await.unwrap().fault, Some(AuditFault::NoStart(99)));
    }

    #[tokio::test]
    async fn events_from_before_the_chain_are_chained_when_the_database_is_first_opened_and_none_later_on() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(&folder).await;
        let old =
            "INSERT INTO events (id, at, who, what) SELECT COALESCE(MAX(id), 0) + 1, 1, 'Ida', 'was early' FROM events
             UNION ALL SELECT COALESCE(MAX(id), 0) + 2, 2, 'Ole', 'too' FROM events";
        tamper(&first, &[old]).await;
        assert_eq!(verify(&first, None, None).await.unwrap().fault, Some(AuditFault::NoChain));
        first.close().await;
        let store = store(&folder).await;
        let report = verify(&store, None, None).await.unwrap();
        assert_eq!((report.fault, report.checked), (None, 2));
        // From then on nothing comes into the chain but what is recorded.
        tamper(&store, &[old]).await;
        fill(&store, 1).await;
        store.close().await;
        let store = self::store(&folder).await;
        let report = verify(&store, None, None).await.unwrap();
        assert_eq!((report.fault, report.checked), (Some(AuditFault::Unchained(3)), 2));
    }

    #[tokio::test]
    async fn a_database_from_before_the_chain_is_not_changed_by_a_look_and_said_to_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("old.db");
        let url = format!("sqlite:{}", file.display());
        let options = SqliteConnectOptions::from_str(&url).unwrap().create_if_missing(true);
        let old = SqlitePool::connect_with(options).await.unwrap();
        let mut migrator = sqlx::migrate!("migrations/sqlite");
        migrator.migrations = Cow::Owned(migrator.iter().filter(|one| one.version < 30).cloned().collect());
        migrator.run(&old).await.unwrap();
        sqlx::query("INSERT INTO events (at, who, what) VALUES (1, 'Ida', 'was early')").execute(&old).await.unwrap();
        old.close().await;
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(verify_at(&url, None, None).await.unwrap().fault, Some(AuditFault::NoChain));
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
        Store::open(&url).await.unwrap().close().await;
        let report = verify_at(&url, None, None).await.unwrap();
        assert_eq!((report.fault, report.checked), (None, 1));
    }

    #[tokio::test]
    async fn the_chain_is_whole_whoever_writes_at_once_and_from_however_many_processes() {
        let folder = tempfile::tempdir().unwrap();
        // Two stores on one file are to SQLite what two processes are.
        let (one, two) = (store(&folder).await, store(&folder).await);
        let writers = (0..8).map(|number| {
            let store = if number % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move { fill(&store, 10).await })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let report = verify(&two, None, None).await.unwrap();
        assert_eq!((report.fault, report.checked), (None, 160));
    }
}
