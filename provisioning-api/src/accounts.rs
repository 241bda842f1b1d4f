//! Whose a token is: an account outlives its tokens, and its role and tenant are looked up at every request.

use sqlx::{Row as _, SqliteConnection};
use uuid::Uuid;

use crate::role::Role;
use crate::store::now;

/// The ID of the account that lives only here and has this role, name and tenant; made when there is none.
pub(crate) async fn local(
    db: &mut SqliteConnection,
    role: Role,
    name: &str,
    tenant: Option<&str>,
) -> Result<String, sqlx::Error> {
    let known = sqlx::query(
        "SELECT id FROM accounts WHERE role = ?1 AND name = ?2 AND COALESCE(tenant, '') = COALESCE(?3, '') AND issuer IS NULL AND disabled_at IS NULL
         ORDER BY created_at, id LIMIT 1",
    )
    .bind(role.as_str())
    .bind(name)
    .bind(tenant)
    .fetch_optional(&mut *db)
    .await?;
    if let Some(row) = known {
        return row.try_get("id");
    }
    let id = Uuid::new_v4().to_string();
    sqlx::query("INSERT INTO accounts (id, tenant, name, role, created_at) VALUES (?, ?, ?, ?, ?)")
        .bind(&id)
        .bind(tenant)
        .bind(name)
        .bind(role.as_str())
        .bind(now())
        .execute(db)
        .await?;
    Ok(id)
}
