//! What the service says of itself in the database, for the commands that run beside it.

use crate::store::Store;

/// Where clients find the service.
pub(crate) const PUBLIC_URL: &str = "public-url";

pub(crate) async fn put(store: &Store, name: &str, value: &str) -> Result<(), sqlx::Error> {
    let mut tx = store.begin().await?;
    sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2")
        .bind(name)
        .bind(value)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

pub(crate) async fn get(store: &Store, name: &str) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT value FROM settings WHERE name = $1").bind(name).fetch_optional(store.read()).await
}
