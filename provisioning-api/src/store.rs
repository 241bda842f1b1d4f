//! The database: opening it, its one writer, its many readers, and the time that rows carry.

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Sqlite, Transaction};

use crate::events;

/// How long a statement waits for another process's lock.
const BUSY: Duration = Duration::from_secs(5);

/// How long a request waits for its turn at the one writer.
const TURN: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(crate) struct Store {
    read: SqlitePool,
    write: SqlitePool,
}

impl Store {
    /// Opens `sqlite:FILE`, makes it when missing (mode 0600), and brings its tables up to date.
    pub(crate) async fn open(url: &str) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An answer that was given must survive a power cut, or the next one differs.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            // Statements' texts are of no use in a log, and a slow one's would be noise.
            .disable_statement_logging();
        make_private(options.get_filename())?;
        let write =
            SqlitePoolOptions::new().max_connections(1).acquire_timeout(TURN).connect_with(options.clone()).await?;
        migrate(&write).await?;
        let read = SqlitePoolOptions::new()
            .max_connections(8)
            .acquire_timeout(TURN)
            .connect_with(options.read_only(true))
            .await?;
        let store = Self { read, write };
        events::chain_old(&store).await?;
        Ok(store)
    }

    /// For looking only.
    pub(crate) fn read(&self) -> &SqlitePool {
        &self.read
    }

    /// Begins a transaction that may write, and holds the writer's lock from its start.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.write.begin_with("BEGIN IMMEDIATE").await
    }

    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

async fn migrate(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    let migrator = sqlx::migrate!();
    let mut tries = 3;
    loop {
        tries -= 1;
        match migrator.run(pool).await {
            Ok(()) => return Ok(()),
            // SQLite knows no migration lock: when two processes open a new database at once, one of them finds the
            // other's tables, and all is well when it looks again.
            Err(error) if tries > 0 => tracing::debug!(%error, "the database was being made by another process"),
            Err(error) => return Err(error.into()),
        }
    }
}

fn make_private(file: &Path) -> Result<(), sqlx::Error> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop).map_err(sqlx::Error::Io)
}

/// Milliseconds since 1970, as rows carry time.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// The time that a row carries.
pub(crate) fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}

/// Whether the database was in another's hands for too long: worth a retry, unlike any other fault of it.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        // SQLITE_BUSY (5) and SQLITE_LOCKED (6) with their extended codes, sqlite.org/rescode.html.
        sqlx::Error::Database(error) => {
            error.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xff, 5 | 6))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// As the version before names were each tenant's own left it.
    #[tokio::test]
    async fn an_older_database_keeps_its_devices_their_imports_and_their_names_at_dps() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("db").display());
        let old = SqlitePool::connect_with(SqliteConnectOptions::from_str(&url).unwrap().create_if_missing(true)).await;
        let old = old.unwrap();
        let mut migrator = sqlx::migrate!();
        migrator.migrations = Cow::Owned(migrator.iter().filter(|one| one.version < 50).cloned().collect());
        migrator.run(&old).await.unwrap();
        for statement in [
            "INSERT INTO instances (name) VALUES ('north')",
            "INSERT INTO tenants (name, created_at) VALUES ('acme', 0)",
            "INSERT INTO devices (key, registration_id, tenant, created_at, updated_at, import_id, import_row)
             VALUES ('pump-1', 'PUMP-1', 'acme', 0, 0, '00000000-0000-0000-0000-000000000001', 1)",
            "UPDATE devices SET dps_instance = 'north', allocated_at = 1",
            "INSERT INTO imports (id, tenant, who, state, committed_rows, prefix_hash, created_at, updated_at)
             VALUES ('00000000-0000-0000-0000-000000000001', 'acme', 'x', 'open', 1, 'hash', 0, 0)",
            "INSERT INTO import_problems VALUES ('00000000-0000-0000-0000-000000000001', 2, 3, 'model', 'bad-value', 'x')",
            "INSERT INTO outbox (device_key, registration_id, dps_instance, task, who, due_at, created_at)
             VALUES ('pump-2', 'Pump-2', 'north', 'bar', 'x', 0, 0)",
        ] {
            sqlx::query(statement).execute(&old).await.unwrap();
        }
        old.close().await;
        let store = Store::open(&url).await.unwrap();
        let read =
            async |sql: &'static str| sqlx::query_scalar::<_, String>(sql).fetch_all(store.read()).await.unwrap();
        assert_eq!(read("SELECT name FROM devices").await, ["pump-1"]);
        let import = ["acme/00000000-0000-0000-0000-000000000001"];
        for sql in ["SELECT id FROM imports", "SELECT import_id FROM devices", "SELECT import_id FROM import_problems"]
        {
            assert_eq!(read(sql).await, import);
        }
        assert_eq!(read("SELECT name FROM held_names ORDER BY name").await, ["pump-1", "pump-2"]);
        // The database itself does not give a name to two devices.
        let mut tx = store.begin().await.unwrap();
        let other = "INSERT INTO devices (key, registration_id, tenant, created_at, updated_at) VALUES ('pump-1@x', 'pump-1', 'default', 0, 0)";
        sqlx::query(other).execute(&mut *tx).await.unwrap();
        let given = "UPDATE devices SET dps_instance = 'north' WHERE key = 'pump-1@x'";
        let refused = sqlx::query(given).execute(&mut *tx).await.unwrap_err();
        assert!(refused.to_string().contains("another device has this registration ID"), "{refused}");
    }
}
