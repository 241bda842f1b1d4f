//! The durable record of every pairing: what the API gave, what the device acknowledged, and what device and DPS said
//! in the end are separate facts in it. It holds no secrets.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provisioning_api_contract::{self as wire, Attestation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use uuid::Uuid;

use crate::error::{ErrorCode, PairingError};
use crate::events::Step;
use crate::fault::{Faults, Write};
use crate::label::Label;

/// The journal's file in the data folder.
pub const FILE_NAME: &str = "journal.sqlite";

/// How long a write waits for another program's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Layouts of Bluetooth services that are kept, about 1 kB each.
const MAX_LAYOUTS: u32 = 1000;

/// The journal of one data folder. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    pool: SqlitePool,
    locks: Arc<PathBuf>,
    faults: Faults,
}

/// How a pairing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    /// Under way or interrupted; the next run for the same label finishes it.
    Open,
    /// The device is registered, and the API knows.
    Assigned,
    /// The device said that it failed, and the API knows; the next run begins anew.
    Failed,
}

impl State {
    /// As it is in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Assigned => "assigned",
            State::Failed => "failed",
        }
    }
}

/// Which pairings are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// How they stand.
    pub standing: Option<Stands>,
    /// What their name, registration ID, model, link, DPS instance, hub, device ID or hand-off ID contains (ASCII letters of
    /// either case).
    pub text: Option<String>,
}

/// How a pairing stands, for a list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stands {
    /// [`State::Open`].
    Open,
    /// [`State::Assigned`].
    Assigned,
    /// [`State::Failed`].
    Failed,
    /// Ended, and the API has not been told; these are open as well.
    Untold,
}

/// How many pairings stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(rename = "JournalCounts"))]
#[non_exhaustive]
pub struct Counts {
    /// However they stand.
    pub all: u64,
    /// Under way or interrupted.
    pub open: u64,
    /// Registered.
    pub assigned: u64,
    /// Failed.
    pub failed: u64,
    /// Ended, and the API has not been told.
    pub untold: u64,
}

const UNTOLD: &str = "(state = 'open' AND device_said_at IS NOT NULL AND recorded_at IS NULL)";

/// `?1`: a pattern, or nothing.
const CONTAINS: &str = "(?1 IS NULL OR name LIKE ?1 ESCAPE '\\' OR registration_id LIKE ?1 ESCAPE '\\'
    OR model LIKE ?1 ESCAPE '\\' OR link LIKE ?1 ESCAPE '\\' OR handoff_id LIKE ?1 ESCAPE '\\'
    OR given_instance LIKE ?1 ESCAPE '\\' OR device_hub LIKE ?1 ESCAPE '\\' OR dps_hub LIKE ?1 ESCAPE '\\'
    OR device_device_id LIKE ?1 ESCAPE '\\')";

impl Filter {
    fn like(&self) -> Option<String> {
        let text = self.text.as_deref().map(str::trim).filter(|text| !text.is_empty())?;
        let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        Some(format!("%{escaped}%"))
    }
}

/// One pairing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Entry {
    /// The idempotency key of the whole pairing.
    pub handoff_id: Uuid,
    /// The label's name for the device.
    pub name: String,
    /// The link of the last run.
    pub link: String,
    /// When the first run began.
    pub started_at: Timestamp,
    /// The last write.
    pub updated_at: Timestamp,
    /// How often it was run.
    pub runs: u32,
    /// How it stands.
    pub state: State,
    /// As the device said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_id: Option<String>,
    /// As the device said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// As the device said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// What the API gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
    /// What the device was sent: what the API gave, unless settings replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Sent>,
    /// What the device acknowledged.
    pub acknowledged: Acknowledged,
    /// What the device said in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_said: Option<DeviceSaid>,
    /// What DPS said, asked through the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dps_said: Option<DpsSaid>,
    /// When the API was told how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<Timestamp>,
    /// The last run's error, if it ended in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<EntryError>,
}

/// What the API gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Given {
    /// When.
    pub at: Timestamp,
    /// The DPS instance's name.
    pub dps_instance: String,
    /// `0ne…`.
    pub id_scope: String,
    /// Host or host:port.
    pub global_device_endpoint: String,
    /// How the device attests.
    pub attestation: Attestation,
}

/// What the device was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// `0ne…`.
    pub id_scope: String,
    /// Host or host:port.
    pub global_device_endpoint: String,
}

/// What the device acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Acknowledged {
    /// SHA-256 in hex of the configuration that was made for the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The device has staged it with this digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged_at: Option<Timestamp>,
    /// The commit was about to be sent: from here on the device may have it in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committing_at: Option<Timestamp>,
    /// The device has put it in force with this digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<Timestamp>,
}

/// What the device said in the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct DeviceSaid {
    /// When.
    pub at: Timestamp,
    /// `assigned` or `failed`.
    pub phase: String,
    /// The hub's host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// The hub's name for the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// DPS's substatus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substatus: Option<String>,
    /// Why it failed: a code of [`ErrorCode`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The device's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The device is on its old configuration again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<bool>,
}

/// What DPS said of the registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct DpsSaid {
    /// When.
    pub at: Timestamp,
    /// As DPS spells it.
    pub status: String,
    /// The hub's host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// The hub's name for the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct EntryError {
    /// When.
    pub at: Timestamp,
    /// A code of [`ErrorCode`].
    pub code: String,
    /// The step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

impl Journal {
    /// Opens the journal in `data_dir`, making folder, file and tables where they are not there.
    ///
    /// # Errors
    /// `journal-disk-full`, `journal-not-a-database`, `journal-newer`, `journal-locked`, `journal-permission`,
    /// `journal-failed`.
    pub async fn open(data_dir: &Path) -> Result<Journal, PairingError> {
        Self::open_with_faults(data_dir, Faults::default()).await
    }

    pub(crate) async fn open_with_faults(data_dir: &Path, faults: Faults) -> Result<Journal, PairingError> {
        let _hold = faults.hold_clock();
        let locks = data_dir.join("locks");
        std::fs::create_dir_all(&locks).map_err(|error| of_io(&error))?;
        let options = SqliteConnectOptions::new()
            .filename(data_dir.join(FILE_NAME))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A write that was reported is on the disk: what the device was sent must be known after a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new()
            // Writers would wait for each other anyway; one connection never finds its own sibling's lock.
            .max_connections(1)
            // A pool's own deadline runs on the tokio clock, which tests stop; SQLite's busy time-out is the limit here.
            .acquire_timeout(Duration::from_secs(3600))
            .connect_with(options)
            .await
            .map_err(of_sqlx)?;
        sqlx::migrate!("./migrations").run(&pool).await.map_err(|error| match error {
            sqlx::migrate::MigrateError::VersionMissing(version)
            | sqlx::migrate::MigrateError::VersionTooNew(version, _) => {
                PairingError::with_detail(ErrorCode::JournalNewer, format!("table version {version} is not known"))
            }
            sqlx::migrate::MigrateError::VersionMismatch(version) => {
                PairingError::with_detail(ErrorCode::JournalNewer, format!("table version {version} differs"))
            }
            sqlx::migrate::MigrateError::Execute(error) => of_sqlx(error),
            other => PairingError::with_detail(ErrorCode::JournalFailed, other.to_string()),
        })?;
        Ok(Journal { pool, locks: Arc::new(locks), faults })
    }

    /// Closes the file, after what is being written; nothing can be read or written afterwards.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// All pairings, newest first; at most `limit`.
    ///
    /// # Errors
    /// `journal-…`.
    pub async fn list(&self, limit: u32) -> Result<Vec<Entry>, PairingError> {
        let _hold = self.faults.hold_clock();
        let rows = sqlx::query("SELECT * FROM pairing ORDER BY started_at DESC, rowid DESC LIMIT ?")
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(of_sqlx)?;
        rows.iter().map(entry).collect()
    }

    /// How many pairings there are.
    ///
    /// # Errors
    /// `journal-…`.
    pub async fn count(&self) -> Result<u64, PairingError> {
        let _hold = self.faults.hold_clock();
        let row = sqlx::query("SELECT COUNT(*) FROM pairing").fetch_one(&self.pool).await.map_err(of_sqlx)?;
        let count: i64 = row.try_get(0).map_err(of_sqlx)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// What SQLite finds damaged in the file; `None` when it is whole.
    ///
    /// # Errors
    /// `journal-…`.
    pub async fn damage(&self) -> Result<Option<String>, PairingError> {
        let _hold = self.faults.hold_clock();
        let row = sqlx::query("PRAGMA integrity_check(1)").fetch_one(&self.pool).await.map_err(of_sqlx)?;
        let said: String = row.try_get(0).map_err(of_sqlx)?;
        Ok((said != "ok").then_some(said))
    }

    /// One pairing.
    ///
    /// # Errors
    /// `journal-no-entry` when there is none of this hand-off ID; `journal-…`.
    pub async fn show(&self, handoff_id: Uuid) -> Result<Entry, PairingError> {
        let _hold = self.faults.hold_clock();
        let row = sqlx::query("SELECT * FROM pairing WHERE handoff_id = ?")
            .bind(handoff_id.to_string())
            .fetch_optional(&self.pool)
            .await
            .map_err(of_sqlx)?;
        match row {
            Some(row) => entry(&row),
            None => Err(ErrorCode::JournalNoEntry.into()),
        }
    }

    /// The pairings of a device, newest first, by registration ID or label name (upper and lower case alike).
    ///
    /// # Errors
    /// `journal-…`.
    pub async fn of_device(&self, name: &str) -> Result<Vec<Entry>, PairingError> {
        let _hold = self.faults.hold_clock();
        let rows = sqlx::query(
            "SELECT * FROM pairing WHERE lower(registration_id) = lower(?1) OR lower(name) = lower(?1)
             ORDER BY started_at DESC, rowid DESC",
        )
        .bind(name)
        .fetch_all(&self.pool)
        .await
        .map_err(of_sqlx)?;
        rows.iter().map(entry).collect()
    }

    /// A page of the pairings that `filter` lets through, newest first. `before`: of the last one of the page above.
    ///
    /// # Errors
    /// `journal-…`.
    pub async fn page(&self, filter: &Filter, before: Option<Uuid>, limit: u32) -> Result<Vec<Entry>, PairingError> {
        let _hold = self.faults.hold_clock();
        let stands = match filter.standing {
            None => "1",
            Some(Stands::Open) => "state = 'open'",
            Some(Stands::Assigned) => "state = 'assigned'",
            Some(Stands::Failed) => "state = 'failed'",
            Some(Stands::Untold) => UNTOLD,
        };
        let page = format!(
            "SELECT * FROM pairing WHERE {stands} AND {CONTAINS} AND (?2 IS NULL OR (started_at, rowid) <
                 (SELECT started_at, rowid FROM pairing WHERE handoff_id = ?2))
             ORDER BY started_at DESC, rowid DESC LIMIT ?3"
        );
        // Put together of our own words alone.
        let rows = sqlx::query(sqlx::AssertSqlSafe(page))
            .bind(filter.like())
            .bind(before.map(|id| id.to_string()))
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(of_sqlx)?;
        rows.iter().map(entry).collect()
    }

    /// How many pairings contain the filter's text, each way that they can stand.
    ///
    /// # Errors
    /// `journal-…`.
    pub async fn counts(&self, filter: &Filter) -> Result<Counts, PairingError> {
        let _hold = self.faults.hold_clock();
        let query = format!(
            "SELECT COUNT(*), COALESCE(SUM(state = 'open'), 0), COALESCE(SUM(state = 'assigned'), 0),
                 COALESCE(SUM(state = 'failed'), 0), COALESCE(SUM({UNTOLD}), 0) FROM pairing WHERE {CONTAINS}"
        );
        let row =
            sqlx::query(sqlx::AssertSqlSafe(query)).bind(filter.like()).fetch_one(&self.pool).await.map_err(of_sqlx)?;
        let count =
            |at: usize| row.try_get::<i64, _>(at).map(|n| u64::try_from(n).unwrap_or_default()).map_err(of_sqlx);
        Ok(Counts { all: count(0)?, open: count(1)?, assigned: count(2)?, failed: count(3)?, untold: count(4)? })
    }

    /// The open pairing of this very label, if there is one: what [`begin`](Self::begin) would take up.
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
    pub(crate) async fn open_of(&self, label: &Label) -> Result<Option<Entry>, PairingError> {
        let _hold = self.faults.hold_clock();
        let row = sqlx::query(
            "SELECT * FROM pairing WHERE label_key = ? AND state = 'open'
             ORDER BY registration_id IS NULL, started_at DESC, rowid DESC LIMIT 1",
        )
        .bind(label_key(label))
        .fetch_optional(&self.pool)
        .await
        .map_err(of_sqlx)?;
        row.as_ref().map(entry).transpose()
    }

    /// Pairings that have ended and that the API has not been told of, oldest first.
    pub(crate) async fn untold(&self) -> Result<Vec<Entry>, PairingError> {
        let _hold = self.faults.hold_clock();
        let rows = sqlx::query(
            "SELECT * FROM pairing WHERE state = 'open' AND device_said_at IS NOT NULL AND recorded_at IS NULL
             ORDER BY started_at, rowid",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(of_sqlx)?;
        rows.iter().map(entry).collect()
    }

    /// Keeps a downloaded work order, sealed as it is; those whose end has come are forgotten.
    pub(crate) async fn keep_order(&self, order: &wire::OfflineOrder, now: Timestamp) -> Result<(), PairingError> {
        let document = serde_json::to_string(order)
            .map_err(|error| PairingError::with_detail(ErrorCode::Internal, error.to_string()))?;
        {
            let _hold = self.faults.hold_clock();
            // Not by `write`: that there is none of them is no fault.
            sqlx::query("DELETE FROM sealed_order WHERE not_after < ?")
                .bind(now.as_second())
                .execute(&self.pool)
                .await
                .map_err(of_sqlx)?;
        }
        self.write(
            sqlx::query(
                "INSERT INTO sealed_order (order_id, document, not_after, downloaded_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (order_id) DO UPDATE SET document = ?2, not_after = ?3, downloaded_at = ?4",
            )
            .bind(order.order.id.to_string())
            .bind(document)
            .bind(order.not_after.as_second())
            .bind(now.to_string()),
        )
        .await
    }

    /// Forgets what was downloaded for an account.
    async fn forget_orders(&self, account_id: &str) -> Result<(), PairingError> {
        let _hold = self.faults.hold_clock();
        sqlx::query("DELETE FROM sealed_order WHERE document ->> '$.accountId' = ?")
            .bind(account_id)
            .execute(&self.pool)
            .await
            .map_err(of_sqlx)?;
        Ok(())
    }

    /// As [`forget_orders`](Self::forget_orders), of the journal in this folder, if there is one.
    pub(crate) async fn forget_orders_in(data_dir: &Path, account_id: &str) -> Result<(), PairingError> {
        if !data_dir.join(FILE_NAME).exists() {
            return Ok(());
        }
        let journal = Self::open(data_dir).await?;
        let forgotten = journal.forget_orders(account_id).await;
        journal.close().await;
        forgotten
    }

    /// The downloaded work orders whose end has not come.
    pub(crate) async fn kept_orders(&self, now: Timestamp) -> Result<Vec<wire::OfflineOrder>, PairingError> {
        let _hold = self.faults.hold_clock();
        let documents: Vec<String> =
            sqlx::query_scalar("SELECT document FROM sealed_order WHERE not_after >= ? ORDER BY downloaded_at DESC")
                .bind(now.as_second())
                .fetch_all(&self.pool)
                .await
                .map_err(of_sqlx)?;
        // One of another version is of no use, and not worth failing for.
        Ok(documents.iter().filter_map(|document| serde_json::from_str(document).ok()).collect())
    }

    /// What was learned of the device's Bluetooth services, as [`keep_layout`](Self::keep_layout) was given it.
    pub(crate) async fn layout(&self, address: &str) -> Result<Option<String>, PairingError> {
        let _hold = self.faults.hold_clock();
        sqlx::query_scalar("SELECT layout FROM gatt_layout WHERE address = ?")
            .bind(address)
            .fetch_optional(&self.pool)
            .await
            .map_err(of_sqlx)
    }

    /// Keeps the layout of a device's Bluetooth services, or forgets it; the oldest go when there are very many.
    pub(crate) async fn keep_layout(&self, address: &str, layout: Option<&str>) -> Result<(), PairingError> {
        let Some(layout) = layout else {
            return self.write(sqlx::query("DELETE FROM gatt_layout WHERE address = ?").bind(address)).await;
        };
        self.write(
            sqlx::query(
                "INSERT INTO gatt_layout (address, layout, learned_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (address) DO UPDATE SET layout = ?2, learned_at = ?3",
            )
            .bind(address)
            .bind(layout)
            .bind(now()),
        )
        .await?;
        self.write(
            sqlx::query(
                "DELETE FROM gatt_layout WHERE address NOT IN
                 (SELECT address FROM gatt_layout ORDER BY learned_at DESC LIMIT ?)",
            )
            .bind(MAX_LAYOUTS),
        )
        .await
    }

    /// Nobody else on this machine pairs this device while the lock lives; the operating system frees it when the
    /// process dies.
    pub(crate) fn lock(&self, key: &str) -> Result<DeviceLock, PairingError> {
        let path = self.locks.join(key);
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(|error| of_io(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(DeviceLock { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(ErrorCode::AlreadyPairing.into()),
            Err(std::fs::TryLockError::Error(error)) => Err(of_io(&error)),
        }
    }

    /// The open pairing of this label, or a new one. With a registration ID, one of another device does not count.
    pub(crate) async fn begin(
        &self,
        label: &Label,
        link: &str,
        registration_id: Option<&str>,
    ) -> Result<(Entry, bool), PairingError> {
        self.fault(Write::Begin)?;
        let key = label_key(label);
        let open: Option<String> = sqlx::query_scalar(
            "SELECT handoff_id FROM pairing WHERE label_key = ?1 AND state = 'open'
             AND (?2 IS NULL OR registration_id IS NULL OR lower(registration_id) = lower(?2))
             ORDER BY registration_id IS NULL, started_at DESC, rowid DESC LIMIT 1",
        )
        .bind(&key)
        .bind(registration_id)
        .fetch_optional(&self.pool)
        .await
        .map_err(of_sqlx)?;
        let now = now();
        if let Some(handoff_id) = open {
            sqlx::query("UPDATE pairing SET runs = runs + 1, link = ?, updated_at = ? WHERE handoff_id = ?")
                .bind(link)
                .bind(&now)
                .bind(&handoff_id)
                .execute(&self.pool)
                .await
                .map_err(of_sqlx)?;
            let handoff_id = handoff_id.parse().map_err(|_| damaged("handoff_id"))?;
            return Ok((self.show(handoff_id).await?, true));
        }
        let handoff_id = Uuid::new_v4();
        sqlx::query(
            "INSERT INTO pairing (handoff_id, label_key, name, link, started_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(handoff_id.to_string())
        .bind(&key)
        .bind(&label.name)
        .bind(link)
        .bind(&now)
        .bind(&now)
        .execute(&self.pool)
        .await
        .map_err(of_sqlx)?;
        Ok((self.show(handoff_id).await?, false))
    }

    pub(crate) async fn identified(
        &self,
        handoff_id: Uuid,
        registration_id: &str,
        model: &str,
        firmware: &str,
    ) -> Result<(), PairingError> {
        self.fault(Write::Identified)?;
        self.write(
            sqlx::query(
                "UPDATE pairing SET registration_id = ?, model = ?, firmware = ?, updated_at = ? WHERE handoff_id = ?",
            )
            .bind(registration_id)
            .bind(model)
            .bind(firmware)
            .bind(now())
            .bind(handoff_id.to_string()),
        )
        .await
    }

    pub(crate) async fn given(&self, handoff_id: Uuid, given: &Given) -> Result<(), PairingError> {
        self.fault(Write::Given)?;
        self.write(
            sqlx::query(
                "UPDATE pairing SET given_at = ?1, given_instance = ?2, given_id_scope = ?3, given_endpoint = ?4,
                 given_attestation = ?5, updated_at = ?1 WHERE handoff_id = ?6",
            )
            .bind(given.at.to_string())
            .bind(&given.dps_instance)
            .bind(&given.id_scope)
            .bind(&given.global_device_endpoint)
            .bind(attestation_text(given.attestation))
            .bind(handoff_id.to_string()),
        )
        .await
    }

    /// The configuration is made and about to be staged; what an earlier run staged is no longer what counts.
    pub(crate) async fn prepared(&self, handoff_id: Uuid, digest: &str, sent: &Sent) -> Result<(), PairingError> {
        self.fault(Write::Prepared)?;
        self.write(
            sqlx::query(
                "UPDATE pairing SET prepared_at = ?1, digest = ?2, staged_at = NULL, committing_at = NULL,
                 committed_at = NULL, sent_id_scope = ?4, sent_endpoint = ?5, updated_at = ?1 WHERE handoff_id = ?3",
            )
            .bind(now())
            .bind(digest)
            .bind(handoff_id.to_string())
            .bind(&sent.id_scope)
            .bind(&sent.global_device_endpoint),
        )
        .await
    }

    pub(crate) async fn staged(&self, handoff_id: Uuid) -> Result<(), PairingError> {
        self.fault(Write::Staged)?;
        self.stamp("UPDATE pairing SET staged_at = ?1, updated_at = ?1 WHERE handoff_id = ?2", handoff_id).await
    }

    pub(crate) async fn committing(&self, handoff_id: Uuid) -> Result<(), PairingError> {
        self.fault(Write::Committing)?;
        self.stamp("UPDATE pairing SET committing_at = ?1, updated_at = ?1 WHERE handoff_id = ?2", handoff_id).await
    }

    pub(crate) async fn committed(&self, handoff_id: Uuid) -> Result<(), PairingError> {
        self.fault(Write::Committed)?;
        self.stamp("UPDATE pairing SET committed_at = ?1, updated_at = ?1 WHERE handoff_id = ?2", handoff_id).await
    }

    pub(crate) async fn device_said(&self, handoff_id: Uuid, said: &DeviceSaid) -> Result<(), PairingError> {
        self.fault(Write::DeviceSaid)?;
        self.write(
            sqlx::query(
                "UPDATE pairing SET device_said_at = ?1, device_phase = ?2, device_hub = ?3, device_device_id = ?4,
                 device_substatus = ?5, device_code = ?6, device_text = ?7, device_rolled_back = ?8, updated_at = ?1
                 WHERE handoff_id = ?9",
            )
            .bind(said.at.to_string())
            .bind(&said.phase)
            .bind(&said.hub)
            .bind(&said.device_id)
            .bind(&said.substatus)
            .bind(&said.code)
            .bind(&said.text)
            .bind(said.rolled_back)
            .bind(handoff_id.to_string()),
        )
        .await
    }

    pub(crate) async fn dps_said(&self, handoff_id: Uuid, said: &DpsSaid) -> Result<(), PairingError> {
        self.fault(Write::DpsSaid)?;
        self.write(
            sqlx::query(
                "UPDATE pairing SET dps_said_at = ?1, dps_status = ?2, dps_hub = ?3, dps_device_id = ?4, updated_at = ?1
                 WHERE handoff_id = ?5",
            )
            .bind(said.at.to_string())
            .bind(&said.status)
            .bind(&said.hub)
            .bind(&said.device_id)
            .bind(handoff_id.to_string()),
        )
        .await
    }

    /// The API knows how it ended; the pairing is closed.
    pub(crate) async fn recorded(&self, handoff_id: Uuid, state: State) -> Result<(), PairingError> {
        self.fault(Write::Recorded)?;
        self.write(
            sqlx::query(
                "UPDATE pairing SET recorded_at = ?1, state = ?2, updated_at = ?1, error_at = NULL, error_code = NULL,
                 error_step = NULL WHERE handoff_id = ?3",
            )
            .bind(now())
            .bind(state.as_str())
            .bind(handoff_id.to_string()),
        )
        .await
    }

    pub(crate) async fn error(&self, handoff_id: Uuid, error: &PairingError) -> Result<(), PairingError> {
        self.fault(Write::Error)?;
        self.write(
            sqlx::query(
                "UPDATE pairing SET error_at = ?1, error_code = ?2, error_step = ?3, updated_at = ?1 WHERE handoff_id = ?4",
            )
            .bind(now())
            .bind(error.code.as_str())
            .bind(error.step.map(Step::as_str))
            .bind(handoff_id.to_string()),
        )
        .await
    }

    async fn stamp(&self, statement: &'static str, handoff_id: Uuid) -> Result<(), PairingError> {
        self.write(sqlx::query(statement).bind(now()).bind(handoff_id.to_string())).await
    }

    async fn write(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<(), PairingError> {
        let done = query.execute(&self.pool).await.map_err(of_sqlx)?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(ErrorCode::JournalNoEntry.into()) }
    }

    fn fault(&self, write: Write) -> Result<(), PairingError> {
        if self.faults.disk_full(write) { Err(ErrorCode::JournalDiskFull.into()) } else { Ok(()) }
    }
}

/// Held while a device is being paired.
pub(crate) struct DeviceLock {
    _file: File,
}

/// Says which label, without its secrets: SHA-256 in hex of user name and name.
pub(crate) fn label_key(label: &Label) -> String {
    let mut hash = Sha256::new();
    hash.update(label.username.as_bytes());
    hash.update([0]);
    hash.update(label.name.as_bytes());
    hex::encode(hash.finalize())
}

/// Names a device's lock, however long its registration ID is.
pub(crate) fn device_key(registration_id: &str) -> String {
    format!("id-{}", hex::encode(Sha256::digest(registration_id.to_ascii_lowercase())))
}

pub(crate) fn attestation_text(attestation: Attestation) -> &'static str {
    match attestation {
        Attestation::X509 => "x509",
        Attestation::SymmetricKey => "symmetricKey",
        Attestation::Tpm => "tpm",
        _ => "unknown",
    }
}

fn now() -> String {
    Timestamp::now().to_string()
}

fn entry(row: &SqliteRow) -> Result<Entry, PairingError> {
    let text = |column: &'static str| row.try_get::<Option<String>, _>(column).map_err(of_sqlx);
    let needed = |column: &'static str| text(column)?.ok_or_else(|| damaged(column));
    let time = |column: &'static str| -> Result<Option<Timestamp>, PairingError> {
        text(column)?.map(|text| text.parse().map_err(|_| damaged(column))).transpose()
    };
    Ok(Entry {
        handoff_id: needed("handoff_id")?.parse().map_err(|_| damaged("handoff_id"))?,
        name: needed("name")?,
        link: needed("link")?,
        started_at: time("started_at")?.ok_or_else(|| damaged("started_at"))?,
        updated_at: time("updated_at")?.ok_or_else(|| damaged("updated_at"))?,
        runs: row.try_get("runs").map_err(of_sqlx)?,
        state: match needed("state")?.as_str() {
            "assigned" => State::Assigned,
            "failed" => State::Failed,
            _ => State::Open,
        },
        registration_id: text("registration_id")?,
        model: text("model")?,
        firmware: text("firmware")?,
        given: match time("given_at")? {
            None => None,
            Some(at) => Some(Given {
                at,
                dps_instance: needed("given_instance")?,
                id_scope: needed("given_id_scope")?,
                global_device_endpoint: needed("given_endpoint")?,
                attestation: serde_json::from_value(needed("given_attestation")?.into())
                    .map_err(|_| damaged("given_attestation"))?,
            }),
        },
        sent: match (text("sent_id_scope")?, text("sent_endpoint")?) {
            (Some(id_scope), Some(global_device_endpoint)) => Some(Sent { id_scope, global_device_endpoint }),
            _ => None,
        },
        acknowledged: Acknowledged {
            digest: text("digest")?,
            staged_at: time("staged_at")?,
            committing_at: time("committing_at")?,
            committed_at: time("committed_at")?,
        },
        device_said: match time("device_said_at")? {
            None => None,
            Some(at) => Some(DeviceSaid {
                at,
                phase: needed("device_phase")?,
                hub: text("device_hub")?,
                device_id: text("device_device_id")?,
                substatus: text("device_substatus")?,
                code: text("device_code")?,
                text: text("device_text")?,
                rolled_back: row.try_get("device_rolled_back").map_err(of_sqlx)?,
            }),
        },
        dps_said: match time("dps_said_at")? {
            None => None,
            Some(at) => Some(DpsSaid {
                at,
                status: needed("dps_status")?,
                hub: text("dps_hub")?,
                device_id: text("dps_device_id")?,
            }),
        },
        recorded_at: time("recorded_at")?,
        error: match time("error_at")? {
            None => None,
            Some(at) => Some(EntryError { at, code: needed("error_code")?, step: text("error_step")? }),
        },
    })
}

fn damaged(column: &str) -> PairingError {
    PairingError::with_detail(ErrorCode::JournalFailed, format!("{column} of a row cannot be read"))
}

fn of_io(error: &std::io::Error) -> PairingError {
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorCode::JournalDiskFull,
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => ErrorCode::JournalPermission,
        _ => ErrorCode::JournalFailed,
    };
    PairingError::with_detail(code, error.to_string())
}

/// SQLite's primary result codes: <https://www.sqlite.org/rescode.html>.
fn of_sqlx(error: sqlx::Error) -> PairingError {
    let code = match &error {
        sqlx::Error::Database(database) => {
            let number = database.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
            match number & 0xff {
                5 | 6 => ErrorCode::JournalLocked,
                13 => ErrorCode::JournalDiskFull,
                11 | 26 => ErrorCode::JournalNotADatabase,
                3 | 8 | 14 | 23 => ErrorCode::JournalPermission,
                _ => ErrorCode::JournalFailed,
            }
        }
        sqlx::Error::Io(error) => return of_io(error),
        _ => ErrorCode::JournalFailed,
    };
    PairingError::with_detail(code, error.to_string())
}
