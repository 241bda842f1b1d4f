//! A test's own database: a file of SQLite in its folder; or, when LOWTOUCH_TEST_DATABASE is the URL of a PostgreSQL server
//! (`cargo xtask test postgres` starts one), a copy of that server's `lowtouch_template`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use sqlx::AnyPool;

/// Of the server that the tests are to use; its path is a database to connect to for making others.
fn server() -> Option<String> {
    std::env::var("LOWTOUCH_TEST_DATABASE").ok().filter(|url| url.starts_with("postgres"))
}

pub fn is_postgres() -> bool {
    server().is_some()
}

/// The database of this folder, made at the first call.
pub fn url(folder: &Path) -> String {
    static MADE: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
    let Some(server) = server() else { return format!("sqlite:{}", folder.join("api.db").display()) };
    let name = name(folder);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if !made.contains_key(folder) {
        // Whose folder is gone has no test any more. The last ones go with the server.
        let over: Vec<PathBuf> = made.keys().filter(|folder| !folder.exists()).cloned().collect();
        for folder in over {
            if let Some(name) = made.remove(&folder) {
                ask(&server, &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"));
            }
        }
        ask(&server, &format!("CREATE DATABASE \"{name}\" TEMPLATE lowtouch_template"));
        made.insert(folder.into(), name.clone());
    }
    let (before, _) = server.rsplit_once('/').unwrap();
    format!("{before}/{name}")
}

fn name(folder: &Path) -> String {
    let letters = folder.to_str().unwrap().bytes().map(|byte| if byte.is_ascii_alphanumeric() { byte } else { b'_' });
    // The end tells folders apart; PostgreSQL cuts names after 63 bytes.
    let all: Vec<u8> = letters.collect();
    String::from_utf8(all[all.len().saturating_sub(60)..].to_vec()).unwrap()
}

fn ask(server: &str, sql: &str) {
    let done = Command::new("psql").args(["-X", "-q", "-d", server, "-c", sql]).output().unwrap();
    assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
}

/// What looks into a database beside the service.
pub async fn pool(url: &str) -> AnyPool {
    sqlx::any::install_default_drivers();
    AnyPool::connect(url).await.unwrap()
}

/// Holds the writer's turn.
pub async fn writer(pool: &AnyPool) -> sqlx::Transaction<'static, sqlx::Any> {
    if !is_postgres() {
        return pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    }
    let mut tx = pool.begin().await.unwrap();
    let turn = i64::from_be_bytes(*b"lowtouch");
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(turn).execute(&mut *tx).await.unwrap();
    tx
}
