//! The database: opening it, its one writer, its many readers, and the time that rows carry.
//!
//! SQLite and PostgreSQL are asked with the same statements: `$1` for values, whole numbers for flags, `IS NOT DISTINCT FROM`,
//! no type that only one of them has. What differs stands here and in `migrations`.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{Any, AnyPool, ConnectOptions as _, Connection as _, Row as _, Transaction};
use url::Url;

use crate::database_url::{DatabaseUrl, UrlError};
use crate::events;

/// How long a request waits for its turn at the one writer, and for a connection.
const TURN: Duration = Duration::from_secs(10);

/// Readers at once, for each process.
const READERS: u32 = 8;

/// Whoever writes to PostgreSQL holds this advisory lock ("lowtouch" in ASCII): one writer over all replicas.
const WRITER: i64 = i64::from_be_bytes(*b"lowtouch");

/// The oldest PostgreSQL that is still looked after by its makers, as `server_version_num` has it.
const OLDEST_POSTGRES: i64 = 140_000;

/// Deadlines of PostgreSQL: for a lock, a statement, and a transaction whose process was lost with its machine.
const POSTGRES_DEADLINES: &str =
    "SET lock_timeout = '5s'; SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '30s'";
const POSTGRES_READERS: &str = "SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '30s'; SET default_transaction_read_only = on";

const SQLITE_READERS: &str = "PRAGMA query_only = ON";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

#[derive(Debug, Clone)]
pub(crate) struct Store {
    kind: Kind,
    read: AnyPool,
    write: AnyPool,
}

impl Store {
    /// Opens `sqlite:FILE`, made when missing (mode 0600), or `postgres://…`, and brings its tables up to date.
    pub(crate) async fn open(url: &str) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let store = match DatabaseUrl::parse(url).map_err(|error| sqlx::Error::Configuration(error.into()))? {
            DatabaseUrl::Sqlite { url, file } => Self::open_sqlite(url, &file).await?,
            DatabaseUrl::Postgres { url } => Self::open_postgres(&url).await?,
        };
        events::chain_old(&store).await?;
        Ok(store)
    }

    /// Opens a database that is there, for looking only: it may be a copy that cannot be written, and is left as it is, its
    /// tables included.
    pub(crate) async fn open_to_look(url: &str) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let (kind, read) = match DatabaseUrl::parse(url).map_err(|error| sqlx::Error::Configuration(error.into()))? {
            DatabaseUrl::Sqlite { url, file } => (Kind::Sqlite, look_sqlite(&url, &file).await?),
            DatabaseUrl::Postgres { url } => {
                reach(PgConnectOptions::from_url(&url)?).await?;
                (Kind::Postgres, pool(&url, READERS, POSTGRES_READERS).await?)
            }
        };
        // Whoever tries to write is told by the database.
        Ok(Self { kind, write: read.clone(), read })
    }

    async fn open_sqlite(url: Url, file: &Path) -> Result<Self, sqlx::Error> {
        make_private(file)?;
        let options = SqliteConnectOptions::from_url(&url)?.journal_mode(SqliteJournalMode::Wal);
        let first = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        migrate_sqlite(&first).await?;
        // An answer that was given must survive a power cut, or the next one differs. A statement waits for another
        // process's lock for 5 s, and references are checked: as the driver has it.
        let write = pool(&url, 1, "PRAGMA synchronous = FULL").await?;
        let read = pool(&read_only(url), READERS, SQLITE_READERS).await?;
        first.close().await;
        Ok(Self { kind: Kind::Sqlite, read, write })
    }

    async fn open_postgres(url: &Url) -> Result<Self, sqlx::Error> {
        // Another replica may be changing the tables.
        let patient =
            PgConnectOptions::from_url(url)?.options([("lock_timeout", "60s"), ("statement_timeout", "600s")]);
        let patient = patient.disable_statement_logging();
        reach(patient.clone()).await?;
        let options = PgPoolOptions::new().max_connections(1).acquire_timeout(TURN);
        let first = options.connect_with(patient).await?;
        fits(&first).await?;
        sqlx::migrate!("migrations/postgres").run(&first).await?;
        first.close().await;
        // One for writing is enough: writers take turns.
        let write = pool(url, 1, POSTGRES_DEADLINES).await?;
        let read = pool(url, READERS, POSTGRES_READERS).await?;
        Ok(Self { kind: Kind::Postgres, read, write })
    }

    /// For looking only.
    pub(crate) fn read(&self) -> &AnyPool {
        &self.read
    }

    /// One view of the database over several statements, whoever writes meanwhile.
    pub(crate) async fn view(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        match self.kind {
            Kind::Sqlite => self.read.begin().await,
            Kind::Postgres => self.read.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await,
        }
    }

    /// Begins a transaction that may write, and holds the writer's lock from its start.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        match self.kind {
            Kind::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await,
            Kind::Postgres => {
                // Each statement sees what was committed before it: so all that the writer before us left.
                let mut tx = self.write.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
                sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITER).execute(&mut *tx).await?;
                Ok(tx)
            }
        }
    }

    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

fn read_only(mut url: Url) -> Url {
    url.query_pairs_mut().append_pair("mode", "ro");
    url
}

/// SQLite keeps files beside a database in WAL mode, for those who only read it, too (sqlite.org/wal.html, 5). Where it cannot
/// make them, nobody else can have it open, and nothing of it is in them when there are none: then it does without.
async fn look_sqlite(url: &Url, file: &Path) -> Result<AnyPool, sqlx::Error> {
    std::fs::metadata(file).map_err(sqlx::Error::Io)?;
    let url = read_only(url.clone());
    let opened = async {
        let read = pool(&url, READERS, SQLITE_READERS).await?;
        sqlx::query("SELECT 1 FROM sqlite_schema").fetch_optional(&read).await?;
        Ok::<_, sqlx::Error>(read)
    };
    let error = match opened.await {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Err(error);
    }
    let mut alone = url.clone();
    alone.query_pairs_mut().append_pair("immutable", "true");
    pool(&alone, READERS, SQLITE_READERS).await
}

/// Connects once, without a pool, which would try on and at its end not say why.
async fn reach(options: PgConnectOptions) -> Result<(), sqlx::Error> {
    let connected = tokio::time::timeout(TURN, options.disable_statement_logging().connect()).await;
    connected.map_err(|_| no_answer())??.close().await
}

/// Connections that say this first.
async fn pool(url: &Url, connections: u32, first: &'static str) -> Result<AnyPool, sqlx::Error> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN)
        .after_connect(move |connection, _| {
            Box::pin(async move { sqlx::raw_sql(first).execute(connection).await.map(drop) })
        })
        // Statements' texts are of no use in a log, and a slow one's would be noise.
        .connect_with(AnyConnectOptions::from_url(url)?.disable_statement_logging())
        .await
}

async fn migrate_sqlite(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    let migrator = sqlx::migrate!("migrations/sqlite");
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

/// Whether the server is new enough and keeps every character.
async fn fits(pool: &PgPool) -> Result<(), sqlx::Error> {
    let unfit = |error: UrlError| sqlx::Error::Configuration(error.into());
    let version: String = sqlx::query_scalar("SHOW server_version_num").fetch_one(pool).await?;
    if version.parse::<i64>().is_ok_and(|version| version < OLDEST_POSTGRES) {
        return Err(unfit(UrlError::TooOld));
    }
    let encoding: String = sqlx::query_scalar("SHOW server_encoding").fetch_one(pool).await?;
    if encoding != "UTF8" { Err(unfit(UrlError::Encoding(encoding))) } else { Ok(()) }
}

fn no_answer() -> sqlx::Error {
    let words = format!("the database server did not answer within {} s", TURN.as_secs());
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, words))
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

/// A flag of a row: 0 or 1.
pub(crate) fn flag(row: &AnyRow, column: &str) -> Result<bool, sqlx::Error> {
    row.try_get::<i64, _>(column).map(|flag| flag != 0)
}

/// A number of a row that is never below 0, nor above 4,294,967,295.
pub(crate) fn count(row: &AnyRow, column: &str) -> Result<u32, sqlx::Error> {
    optional_count(row, column).map(Option::unwrap_or_default)
}

/// The same, where there may be none.
pub(crate) fn optional_count(row: &AnyRow, column: &str) -> Result<Option<u32>, sqlx::Error> {
    let number: Option<i64> = row.try_get(column)?;
    Ok(number.map(|number| u32::try_from(number.max(0)).unwrap_or(u32::MAX)))
}

/// Whether the database was in another's hands for too long, or away: worth a retry, unlike any other fault of it.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        // A server that restarts: its connections break, and for a while nobody listens.
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::NotConnected
                | ErrorKind::NotFound
                | ErrorKind::TimedOut
                | ErrorKind::UnexpectedEof
        ),
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_busy_code(&code)),
        _ => false,
    }
}

fn is_busy_code(code: &str) -> bool {
    match code {
        // PostgreSQL, appendix A of its manual: serialization, deadlock, lock not available, cancelled by a deadline, shut
        // down, not up yet, too many connections, a transaction that idled for too long.
        "40001" | "40P01" | "55P03" | "57014" | "57P01" | "57P02" | "57P03" | "53300" | "25P03" => true,
        // PostgreSQL's class for broken connections.
        code if code.len() == 5 && code.starts_with("08") => true,
        // SQLITE_BUSY (5) and SQLITE_LOCKED (6) with their extended codes, sqlite.org/rescode.html.
        code if code.len() < 5 => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6)),
        _ => false,
    }
}

/// Whether a text had a character that the database cannot keep: PostgreSQL has no NUL.
pub(crate) fn is_bad_text(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("22021"))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::str::FromStr as _;

    use super::*;
    use crate::test_database;

    #[tokio::test]
    #[ignore = "cargo xtask test postgres"]
    async fn both_databases_have_the_same_tables_columns_and_types() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Store::open(&format!("sqlite:{}", folder.path().join("db").display())).await.unwrap();
        let postgres = Store::open(&test_database::url(folder.path())).await.unwrap();
        let columns = async |store: &Store, sql: &'static str| {
            let mut columns: Vec<(String, String, String)> = sqlx::query_as(sql).fetch_all(store.read()).await.unwrap();
            columns.sort();
            columns
        };
        let in_sqlite = "SELECT one.name || '.' || info.name,
                 CASE info.type WHEN 'INTEGER' THEN 'bigint' WHEN 'BLOB' THEN 'bytea' ELSE lower(info.type) END,
                 CASE WHEN info.\"notnull\" = 1 OR info.pk > 0 THEN 'NO' ELSE 'YES' END
             FROM sqlite_schema AS one JOIN pragma_table_xinfo(one.name) AS info
             WHERE one.type = 'table' AND one.name NOT LIKE 'sqlite%' AND one.name <> '_sqlx_migrations'";
        let in_postgres =
            "SELECT CAST(table_name || '.' || column_name AS TEXT), CAST(data_type AS TEXT), CAST(is_nullable AS TEXT)
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'";
        let (ours, theirs) = (columns(&sqlite, in_sqlite).await, columns(&postgres, in_postgres).await);
        assert_eq!(ours, theirs);
        assert!(ours.len() > 100);
    }

    #[test]
    fn what_may_be_over_in_a_moment_is_told_from_what_is_a_fault() {
        for busy in ["5", "517", "6", "40001", "40P01", "55P03", "57014", "57P01", "57P03", "53300", "08006"] {
            assert!(is_busy_code(busy), "{busy}");
        }
        for fault in ["1", "19", "787", "2067", "23505", "42P01", "22021", "P0001", "42601", "00000"] {
            assert!(!is_busy_code(fault), "{fault}");
        }
    }

    /// As the version before names were each tenant's own left it.
    #[tokio::test]
    async fn an_older_database_keeps_its_devices_their_imports_and_their_names_at_dps() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("db").display());
        let old = SqlitePool::connect_with(SqliteConnectOptions::from_str(&url).unwrap().create_if_missing(true)).await;
        let old = old.unwrap();
        let mut migrator = sqlx::migrate!("migrations/sqlite");
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
