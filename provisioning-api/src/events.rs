//! The record of who did what and when. Rows are only ever added; nothing secret stands in them.

use serde_json::Value;
use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::store::now;

/// Adds one event, in the transaction of the change that it tells of.
pub(crate) async fn record(
    db: &mut SqliteConnection,
    who: &str,
    what: &str,
    device_key: Option<&str>,
    handoff_id: Option<Uuid>,
    detail: Option<&Value>,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO events (at, who, what, device_key, handoff_id, detail) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(now())
        .bind(who)
        .bind(what)
        .bind(device_key)
        .bind(handoff_id.map(|id| id.to_string()))
        .bind(detail.map(Value::to_string))
        .execute(db)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn an_event_can_neither_be_changed_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("db").display())).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        record(&mut tx, "Ida", "looked", None, None, None).await.unwrap();
        tx.commit().await.unwrap();
        for change in ["UPDATE events SET who = 'Eve'", "DELETE FROM events"] {
            let mut tx = store.begin().await.unwrap();
            let refused = sqlx::query(change).execute(&mut *tx).await.unwrap_err();
            assert!(refused.to_string().contains("append-only"));
        }
    }
}
