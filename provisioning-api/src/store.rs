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
