//! Invites: one use, a short life, kept as a hash, bound to the account that they let in.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use crate::role::Role;
use crate::sign_in::{SignInError, codes};
use crate::store::{Store, now, time};
use crate::tokens::Caller;
use crate::{accounts, events};

const MINUTE: i64 = 60 * 1000;

/// How far back the list goes, in milliseconds.
const LISTED: i64 = 7 * 24 * 60 * MINUTE;

/// Whom an invite is for.
pub(crate) struct Guest<'a> {
    pub(crate) role: Role,
    pub(crate) name: &'a str,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) minutes: u32,
}

/// An invite as it is made: the code is here and nowhere else.
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) code: SecretString,
    pub(crate) expires_at: Timestamp,
}

/// An invite as it is kept.
#[derive(Debug, Clone)]
pub struct InviteInfo {
    /// For withdrawing it.
    pub id: String,
    /// The account that it lets in.
    pub account_id: String,
    /// The account's name.
    pub name: String,
    /// The account's role, by name.
    pub role: String,
    /// The account's tenant.
    pub tenant: Option<String>,
    /// Who made it.
    pub made_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// When it was withdrawn.
    pub withdrawn_at: Option<Timestamp>,
}

/// Makes an invite. The tenant exists.
pub(crate) async fn make(db: &mut AnyConnection, guest: &Guest<'_>, who: &str) -> Result<Made, SignInError> {
    let account = accounts::local(&mut *db, guest.role, guest.name, guest.tenant).await?;
    let (id, code) = (Uuid::new_v4().to_string(), codes::invite()?);
    let expires_at = now().saturating_add(i64::from(guest.minutes) * MINUTE);
    sqlx::query(
        "INSERT INTO invites (id, hash, account_id, made_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&id)
    .bind(&codes::hash_of_invite(code.expose_secret())[..])
    .bind(&account)
    .bind(who)
    .bind(now())
    .bind(expires_at)
    .execute(&mut *db)
    .await?;
    let detail = json!({
        "invite": id, "account": account, "role": guest.role.as_str(), "name": guest.name, "tenant": guest.tenant,
    });
    events::record_of(db, guest.tenant, who, "invite made", &detail).await?;
    Ok(Made { id, code, expires_at: time(expires_at) })
}

/// Uses the invite up for an app that holds this challenge's verifier, and returns the invite and the account.
///
/// One transaction sees the invite unused, and only one. An app that lost the answer may ask again with the same challenge
/// until its code would have ended; a code that it got meanwhile is void, and one that became a session stays.
pub(crate) async fn redeem(
    db: &mut AnyConnection,
    typed: &str,
    challenge: &str,
    retry: i64,
) -> Result<(String, String), SignInError> {
    let row = sqlx::query(
        "SELECT invites.id, account_id, used_at, used_challenge, tenant FROM invites JOIN accounts ON accounts.id = account_id
         WHERE hash = $1 AND withdrawn_at IS NULL AND disabled_at IS NULL AND (used_at IS NOT NULL OR expires_at > $2)",
    )
    .bind(&codes::hash_of_invite(typed)[..])
    .bind(now())
    .fetch_optional(&mut *db)
    .await?
    .ok_or(SignInError::InvalidGrant)?;
    let (id, account): (String, String) = (row.try_get("id")?, row.try_get("account_id")?);
    match row.try_get::<Option<i64>, _>("used_at")? {
        None => {
            sqlx::query("UPDATE invites SET used_at = $1, used_challenge = $2 WHERE id = $3")
                .bind(now())
                .bind(challenge)
                .bind(&id)
                .execute(&mut *db)
                .await?;
            let detail = json!({ "invite": id });
            events::record_of(db, row.try_get("tenant")?, &format!("account {account}"), "invite used", &detail)
                .await?;
            Ok((id, account))
        }
        Some(used) => {
            let same = row.try_get::<Option<String>, _>("used_challenge")?.as_deref() == Some(challenge);
            let voided =
                sqlx::query("DELETE FROM authorization_codes WHERE invite_id = $1 AND session_id IS NULL AND $2")
                    .bind(&id)
                    .bind(same && now() < used.saturating_add(retry))
                    .execute(&mut *db)
                    .await?
                    .rows_affected();
            if voided == 1 { Ok((id, account)) } else { Err(SignInError::InvalidGrant) }
        }
    }
}

/// Ends an unused invite; false when there is none of that ID to be seen by this caller.
pub(crate) async fn withdraw(store: &Store, id: &str, caller: &Caller) -> Result<bool, sqlx::Error> {
    let mut tx = store.begin().await?;
    let ended = sqlx::query(
        "UPDATE invites SET withdrawn_at = $1 WHERE id = $2 AND used_at IS NULL AND withdrawn_at IS NULL
         AND account_id IN (SELECT id FROM accounts WHERE $3 IS NULL OR tenant = $3)
         RETURNING (SELECT tenant FROM accounts WHERE accounts.id = account_id) AS tenant",
    )
    .bind(now())
    .bind(id)
    .bind(&caller.tenant)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(ended) = &ended {
        let detail = json!({ "invite": id });
        events::record_of(&mut tx, ended.try_get("tenant")?, &caller.who(), "invite withdrawn", &detail).await?;
    }
    tx.commit().await?;
    Ok(ended.is_some())
}

/// Those of the last week that this caller may see, newest first.
pub(crate) async fn list(store: &Store, caller: &Caller) -> Result<Vec<InviteInfo>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT invites.id, account_id, name, role, tenant, made_by, invites.created_at, expires_at, used_at, withdrawn_at
         FROM invites JOIN accounts ON accounts.id = account_id
         WHERE invites.created_at > $1 AND ($2 IS NULL OR tenant = $2) ORDER BY invites.created_at DESC, invites.id LIMIT 1000",
    )
    .bind(now() - LISTED)
    .bind(&caller.tenant)
    .fetch_all(store.read())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(InviteInfo {
                id: row.try_get("id")?,
                account_id: row.try_get("account_id")?,
                name: row.try_get("name")?,
                role: row.try_get("role")?,
                tenant: row.try_get("tenant")?,
                made_by: row.try_get("made_by")?,
                created_at: time(row.try_get("created_at")?),
                expires_at: time(row.try_get("expires_at")?),
                used_at: row.try_get::<Option<i64>, _>("used_at")?.map(time),
                withdrawn_at: row.try_get::<Option<i64>, _>("withdrawn_at")?.map(time),
            })
        })
        .collect()
}
