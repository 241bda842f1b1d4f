//! Bearer tokens: 256 random bits, kept as a hash, with an end and a way to revoke them.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Row as _;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::role::Role;
use crate::sign_in::codes;
use crate::store::{Store, now, time};
use crate::{accounts, events};

/// So that a token that got into a file is recognised by those who search for such.
pub(crate) const PREFIX: &str = "lowtouch_";

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Who makes a request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whose the token is, over all of their tokens.
    pub(crate) account_id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Whose devices they see; `None`: the operator's own people, who see every tenant's.
    pub(crate) tenant: Option<String>,
    /// When what they show ends.
    pub(crate) expires_at: Timestamp,
}

impl Caller {
    /// Whoever has the database itself.
    pub(crate) fn operator() -> Self {
        let name = "operator".to_owned();
        Self {
            account_id: "database".into(),
            name,
            role: Role::Administrator,
            tenant: None,
            expires_at: Timestamp::MAX,
        }
    }

    /// For the events.
    pub(crate) fn who(&self) -> String {
        format!("{} ({})", self.name, self.account_id)
    }

    /// Whether this tenant's devices are theirs to see.
    pub(crate) fn sees(&self, tenant: &str) -> bool {
        self.tenant.as_deref().is_none_or(|own| own == tenant)
    }
}

/// A token as an operator sees it; the token itself cannot be had again.
#[derive(Debug, Clone)]
pub struct TokenInfo {
    /// For revocation.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// The role's name.
    pub role: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Issues a token and returns its ID and itself, once.
pub(crate) async fn issue(
    store: &Store,
    role: Role,
    name: &str,
    tenant: Option<&str>,
    days: u32,
    who: &str,
) -> Result<(String, SecretString), sqlx::Error> {
    let token = codes::token(PREFIX).map_err(|error| sqlx::Error::Io(error.into()))?;
    let id = Uuid::new_v4().to_string();
    let mut tx = store.begin().await?;
    let account = accounts::local(&mut tx, role, name, tenant).await?;
    sqlx::query(
        "INSERT INTO tokens (id, account_id, hash, role, name, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&id)
    .bind(&account)
    .bind(&codes::hash(token.expose_secret())[..])
    .bind(role.as_str())
    .bind(name)
    .bind(now())
    .bind(now().saturating_add(i64::from(days) * DAY))
    .execute(&mut *tx)
    .await?;
    let detail = serde_json::json!({ "token": id, "role": role.as_str(), "name": name });
    events::record_of(&mut tx, tenant, who, "token issued", &detail).await?;
    tx.commit().await?;
    Ok((id, token))
}

/// Who holds this token, if it is valid now.
pub(crate) async fn find(store: &Store, token: &str) -> Result<Option<Caller>, sqlx::Error> {
    let presented = codes::hash(token);
    let row = sqlx::query(
        "SELECT account_id, accounts.name, accounts.role, accounts.tenant, hash, expires_at, revoked_at, disabled_at
         FROM tokens JOIN accounts ON accounts.id = account_id WHERE hash = $1",
    )
    .bind(&presented[..])
    .fetch_optional(store.read())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let kept: Vec<u8> = row.try_get("hash")?;
    // The index compares hashes byte by byte, which tells a guesser nothing of the token; this one is for certainty.
    let same = bool::from(kept.ct_eq(&presented));
    let revoked: Option<i64> = row.try_get("revoked_at")?;
    let disabled: Option<i64> = row.try_get("disabled_at")?;
    let valid = same && revoked.is_none() && disabled.is_none() && now() < row.try_get::<i64, _>("expires_at")?;
    let role = Role::parse(row.try_get("role")?);
    match role {
        Some(role) if valid => Ok(Some(Caller {
            account_id: row.try_get("account_id")?,
            name: row.try_get("name")?,
            role,
            tenant: row.try_get("tenant")?,
            expires_at: time(row.try_get("expires_at")?),
        })),
        _ => Ok(None),
    }
}

/// Ends a token at once; false when there is none of that ID that was still valid.
pub(crate) async fn revoke(store: &Store, id: &str, who: &str) -> Result<bool, sqlx::Error> {
    let mut tx = store.begin().await?;
    let ended = sqlx::query(
        "UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL
         RETURNING (SELECT tenant FROM accounts WHERE accounts.id = account_id) AS tenant",
    )
    .bind(now())
    .bind(id)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(ended) = &ended {
        let detail = serde_json::json!({ "token": id });
        events::record_of(&mut tx, ended.try_get("tenant")?, who, "token revoked", &detail).await?;
    }
    tx.commit().await?;
    Ok(ended.is_some())
}

/// All tokens of the command line, newest first; those of sign-ins are their sessions' affair.
pub(crate) async fn list(store: &Store) -> Result<Vec<TokenInfo>, sqlx::Error> {
    let rows = sqlx::query("SELECT id, name, role, expires_at, revoked_at FROM tokens WHERE session_id IS NULL ORDER BY created_at DESC, id")
        .fetch_all(store.read())
        .await?;
    rows.iter()
        .map(|row| {
            Ok(TokenInfo {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                role: row.try_get("role")?,
                expires_at: time(row.try_get("expires_at")?),
                revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(time),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_works_until_it_ends_or_is_revoked_and_is_not_in_the_database() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("db");
        let store = Store::open(&format!("sqlite:{}", file.display())).await.unwrap();
        let (id, token) = issue(&store, Role::Installer, "Ida", None, 1, "test").await.unwrap();
        let caller = find(&store, token.expose_secret()).await.unwrap().unwrap();
        assert_eq!((caller.name.as_str(), caller.role), ("Ida", Role::Installer));
        assert!(find(&store, "lowtouch_other").await.unwrap().is_none());

        let (_, ended) = issue(&store, Role::Installer, "Eve", None, 0, "test").await.unwrap();
        assert!(find(&store, ended.expose_secret()).await.unwrap().is_none());

        assert!(revoke(&store, &id, "test").await.unwrap());
        assert!(!revoke(&store, &id, "test").await.unwrap());
        assert!(find(&store, token.expose_secret()).await.unwrap().is_none());
        assert_eq!(list(&store).await.unwrap().len(), 2);

        store.close().await;
        let bytes = std::fs::read(&file).unwrap();
        let needle = token.expose_secret().as_bytes();
        assert!(!bytes.windows(needle.len()).any(|window| window == needle));
    }
}
