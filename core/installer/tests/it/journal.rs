use lowtouch_installer::ErrorCode;
use lowtouch_installer::journal::{FILE_NAME, Journal};
use uuid::Uuid;

use crate::fake::code;

async fn open(dir: &std::path::Path) -> Result<(), lowtouch_installer::PairingError> {
    Journal::open(dir).await.map(drop)
}

#[tokio::test]
async fn a_new_journal_is_empty_and_a_second_opening_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("a/b")).await.unwrap();
    assert!(journal.list(10).await.unwrap().is_empty());
    assert_eq!(code(journal.show(Uuid::nil()).await), ErrorCode::JournalNoEntry);
    open(&dir.path().join("a/b")).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    std::fs::write(&file, "this is a shopping list and not a database, and long enough to be looked at".repeat(20))
        .unwrap();
    let before = std::fs::read(&file).unwrap();
    assert_eq!(code(open(dir.path()).await), ErrorCode::JournalNotADatabase);
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_journal_of_a_newer_version_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join(FILE_NAME));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (9999, 'future', '2030-01-01', TRUE, X'00', 0)")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    assert_eq!(code(open(dir.path()).await), ErrorCode::JournalNewer);
}

#[tokio::test]
async fn a_journal_that_another_program_holds_is_called_locked() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join(FILE_NAME));
    let pool =
        sqlx::SqlitePool::connect_with(options.locking_mode(sqlx::sqlite::SqliteLockingMode::Exclusive)).await.unwrap();
    let mut held = pool.acquire().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut *held).await.unwrap();
    assert_eq!(code(open(dir.path()).await), ErrorCode::JournalLocked);
}

#[tokio::test]
async fn a_folder_in_the_way_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(FILE_NAME)).unwrap();
    let found = code(open(dir.path()).await);
    assert!(matches!(found, ErrorCode::JournalPermission | ErrorCode::JournalFailed), "{found}");
}
