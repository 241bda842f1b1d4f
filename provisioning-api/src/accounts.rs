//! Whose a token is: an account outlives its tokens, and its role and tenant are looked up at every request.

use jiff::Timestamp;
use serde_json::json;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use crate::events;
use crate::role::Role;
use crate::sign_in::sessions;
use crate::store::{Store, now, time};

/// An account as an operator sees it.
#[derive(Debug, Clone)]
pub struct AccountInfo {
    /// For disabling it.
    pub id: String,
    /// As a person knows it.
    pub name: String,
    /// The role's name.
    pub role: String,
    /// Whose devices it sees; absent: every tenant's.
    pub tenant: Option<String>,
    /// Of an external identity.
    pub issuer: Option<String>,
    /// Of an external identity.
    pub subject: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when nothing of it is valid.
    pub disabled_at: Option<Timestamp>,
}

/// The ID of the account that lives only here and has this role, name and tenant; made when there is none.
pub(crate) async fn local(
    db: &mut AnyConnection,
    role: Role,
    name: &str,
    tenant: Option<&str>,
) -> Result<String, sqlx::Error> {
    let known = sqlx::query(
        "SELECT id FROM accounts WHERE role = $1 AND name = $2 AND COALESCE(tenant, '') = COALESCE($3, '') AND issuer IS NULL AND disabled_at IS NULL
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
    sqlx::query("INSERT INTO accounts (id, tenant, name, role, created_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(&id)
        .bind(tenant)
        .bind(name)
        .bind(role.as_str())
        .bind(now())
        .execute(db)
        .await?;
    Ok(id)
}

/// Somebody whom another vouches for: an issuer, or a CA of devices' certificates.
pub(crate) struct External<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) name: &'a str,
    pub(crate) role: Role,
    pub(crate) tenant: Option<&'a str>,
}

/// What is known of an external account.
pub(crate) enum Known {
    /// Its ID.
    Active(String),
    Disabled,
    /// Its tenant is none of ours.
    NoTenant,
}

/// The account of this issuer and subject, made or brought up to date; of one that is disabled nothing is changed.
pub(crate) async fn external(store: &Store, who: &External<'_>) -> Result<Known, sqlx::Error> {
    let find = "SELECT id, name, role, tenant, disabled_at FROM accounts WHERE issuer = $1 AND subject = $2";
    let known = sqlx::query(find).bind(who.issuer).bind(who.subject).fetch_optional(store.read()).await?;
    if let Some(row) = known {
        let id: String = row.try_get("id")?;
        if row.try_get::<Option<i64>, _>("disabled_at")?.is_some() {
            return Ok(Known::Disabled);
        }
        let same = row.try_get::<String, _>("name")? == who.name
            && row.try_get::<String, _>("role")? == who.role.as_str()
            && row.try_get::<Option<String>, _>("tenant")?.as_deref() == who.tenant;
        if same {
            return Ok(Known::Active(id));
        }
    }
    let mut tx = store.begin().await?;
    if let Some(tenant) = who.tenant
        && !is_tenant(&mut tx, tenant).await?
    {
        return Ok(Known::NoTenant);
    }
    let row = sqlx::query(
        "INSERT INTO accounts (id, tenant, name, role, issuer, subject, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (issuer, subject) DO UPDATE SET tenant = $2, name = $3, role = $4 RETURNING id, disabled_at",
    )
    .bind(Uuid::new_v4().to_string())
    .bind(who.tenant)
    .bind(who.name)
    .bind(who.role.as_str())
    .bind(who.issuer)
    .bind(who.subject)
    .bind(now())
    .fetch_one(&mut *tx)
    .await?;
    // Another request may have been first, or an administrator.
    if row.try_get::<Option<i64>, _>("disabled_at")?.is_some() {
        return Ok(Known::Disabled);
    }
    let id: String = row.try_get("id")?;
    let detail = json!({ "account": id, "issuer": who.issuer, "role": who.role.as_str(), "tenant": who.tenant });
    events::record_of(&mut tx, who.tenant, who.name, "external account seen or changed", &detail).await?;
    tx.commit().await?;
    Ok(Known::Active(id))
}

/// All accounts, by tenant and name.
pub(crate) async fn list(store: &Store) -> Result<Vec<AccountInfo>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, name, role, tenant, issuer, subject, created_at, disabled_at FROM accounts ORDER BY COALESCE(tenant, ''), name, id",
    )
    .fetch_all(store.read())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(AccountInfo {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                role: row.try_get("role")?,
                tenant: row.try_get("tenant")?,
                issuer: row.try_get("issuer")?,
                subject: row.try_get("subject")?,
                created_at: time(row.try_get("created_at")?),
                disabled_at: row.try_get::<Option<i64>, _>("disabled_at")?.map(time),
            })
        })
        .collect()
}

/// Ends an account and everything that was given to it, or lets it sign in anew; false when that changes nothing.
pub(crate) async fn set_disabled(store: &Store, id: &str, disabled: bool, who: &str) -> Result<bool, sqlx::Error> {
    let mut tx = store.begin().await?;
    let changed = sqlx::query(
        "UPDATE accounts SET disabled_at = $1 WHERE id = $2 AND (disabled_at IS NULL) = ($1 IS NOT NULL) RETURNING tenant",
    )
    .bind(disabled.then(now))
    .bind(id)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(account) = &changed {
        let what = if disabled { "account disabled" } else { "account enabled" };
        events::record_of(&mut tx, account.try_get("tenant")?, who, what, &json!({ "account": id })).await?;
    }
    if changed.is_some() && disabled {
        let open: Vec<String> =
            sqlx::query_scalar("SELECT id FROM sessions WHERE account_id = $1 AND ended_at IS NULL")
                .bind(id)
                .fetch_all(&mut *tx)
                .await?;
        for session in open {
            sessions::end(&mut tx, &session, "the account was disabled").await?;
        }
        for statement in [
            "UPDATE tokens SET revoked_at = $1 WHERE account_id = $2 AND revoked_at IS NULL",
            "UPDATE invites SET withdrawn_at = $1 WHERE account_id = $2 AND used_at IS NULL AND withdrawn_at IS NULL",
        ] {
            sqlx::query(statement).bind(now()).bind(id).execute(&mut *tx).await?;
        }
    }
    tx.commit().await?;
    Ok(changed.is_some())
}

/// Whether there is such a tenant.
pub(crate) async fn is_tenant(db: &mut AnyConnection, name: &str) -> Result<bool, sqlx::Error> {
    let found = sqlx::query("SELECT 1 FROM tenants WHERE name = $1").bind(name).fetch_optional(db).await?;
    Ok(found.is_some())
}

/// Makes a tenant; false when it is there already.
pub(crate) async fn add_tenant(store: &Store, name: &str, who: &str) -> Result<bool, sqlx::Error> {
    let mut tx = store.begin().await?;
    let added = sqlx::query("INSERT INTO tenants (name, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(name)
        .bind(now())
        .execute(&mut *tx)
        .await?
        .rows_affected()
        > 0;
    if added {
        events::record_of(&mut tx, Some(name), who, "tenant added", &json!({ "tenant": name })).await?;
    }
    tx.commit().await?;
    Ok(added)
}

/// All tenants' names.
pub(crate) async fn tenants(store: &Store) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT name FROM tenants ORDER BY name").fetch_all(store.read()).await
}
