//! Sessions: pairs of a short access token and a refresh token that is good once.
//!
//! Who presents a refresh token that was given up already is either a thief or was robbed: the session ends (RFC 9700,
//! 4.14.2). One exception keeps a lost answer from signing a person out: within [`Lifetimes::retry`] of its first use the
//! same refresh token gives another pair, as long as nobody has used the refresh token that it gave before; that one is void
//! from then on, its access token ended, and whoever holds it ends the session by presenting it. So a thief and the app can
//! never both go on, and which of them came first does not matter.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use crate::sign_in::{CLIENT_ID, SignInError, codes};
use crate::store::{Store, flag, now};
use crate::{events, tokens};

/// What is over for longer than this is removed, in milliseconds; the events remain.
const KEPT: i64 = 24 * 60 * 60 * 1000;

/// How long what a sign-in gives is good.
#[derive(Debug, Clone)]
pub(crate) struct Lifetimes {
    /// Of an access token.
    pub(crate) access: Duration,
    /// Of a refresh token that nobody uses.
    pub(crate) idle: Duration,
    /// For how long after its use a refresh token may be presented again by who lost the answer.
    pub(crate) retry: Duration,
}

/// What a token request is answered with.
pub(crate) struct Pair {
    pub(crate) access: SecretString,
    pub(crate) refresh: SecretString,
    /// Of the access token.
    pub(crate) expires_in: Duration,
}

/// A new session of this account, and its first pair.
pub(crate) async fn begin(
    db: &mut AnyConnection,
    account: &str,
    lifetimes: &Lifetimes,
) -> Result<(String, Pair), SignInError> {
    tidy(&mut *db).await?;
    let session = Uuid::new_v4().to_string();
    let tenant: Option<String> =
        sqlx::query_scalar("SELECT tenant FROM accounts WHERE id = $1").bind(account).fetch_one(&mut *db).await?;
    sqlx::query("INSERT INTO sessions (id, account_id, client_id, created_at) VALUES ($1, $2, $3, $4)")
        .bind(&session)
        .bind(account)
        .bind(CLIENT_ID)
        .bind(now())
        .execute(&mut *db)
        .await?;
    let detail = json!({ "session": session });
    events::record_of(&mut *db, tenant.as_deref(), &format!("account {account}"), "signed in", &detail).await?;
    let pair = pair(db, &session, lifetimes).await?;
    Ok((session, pair))
}

/// The next pair for a refresh token.
pub(crate) async fn refresh(store: &Store, token: &str, lifetimes: &Lifetimes) -> Result<Pair, SignInError> {
    let hash = codes::hash(token);
    let mut tx = store.begin().await?;
    let row = sqlx::query(
        "SELECT session_id, expires_at, used_at, replaced_by, void FROM refresh_tokens
         JOIN sessions ON sessions.id = session_id JOIN accounts ON accounts.id = sessions.account_id
         WHERE hash = $1 AND ended_at IS NULL AND disabled_at IS NULL",
    )
    .bind(&hash[..])
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(SignInError::InvalidGrant)?;
    let session: String = row.try_get("session_id")?;
    let used: Option<i64> = row.try_get("used_at")?;
    let void = flag(&row, "void")?;
    if used.is_none() && !void && now() >= row.try_get::<i64, _>("expires_at")? {
        return Err(SignInError::InvalidGrant);
    }
    let again = match used {
        None => !void,
        Some(used) => {
            let successor: Option<Vec<u8>> = row.try_get("replaced_by")?;
            let unused = sqlx::query("UPDATE refresh_tokens SET void = 1 WHERE hash = $1 AND used_at IS NULL AND $2")
                .bind(successor)
                .bind(!void && now() < used.saturating_add(lifetimes.retry.as_millis() as i64))
                .execute(&mut *tx)
                .await?
                .rows_affected();
            unused == 1
        }
    };
    if !again {
        end(&mut tx, &session, "a refresh token came twice").await?;
        tx.commit().await?;
        return Err(SignInError::InvalidGrant);
    }
    if used.is_some() {
        // The access token that went with the void one. Else the one before is left to end by itself: requests may be under
        // way with it.
        end_tokens(&mut tx, &session).await?;
    }
    let pair = pair(&mut tx, &session, lifetimes).await?;
    sqlx::query("UPDATE refresh_tokens SET used_at = COALESCE(used_at, $1), replaced_by = $2 WHERE hash = $3")
        .bind(now())
        .bind(&codes::hash(pair.refresh.expose_secret())[..])
        .bind(&hash[..])
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(pair)
}

/// Signs out whoever holds this refresh or access token: all of its session ends. Any other token is no error (RFC 7009, 2.2).
pub(crate) async fn revoke(store: &Store, token: &str) -> Result<(), SignInError> {
    let hash = codes::hash(token);
    let mut tx = store.begin().await?;
    let session: Option<String> = sqlx::query_scalar(
        "SELECT session_id FROM refresh_tokens WHERE hash = $1
         UNION ALL SELECT session_id FROM tokens WHERE hash = $1 AND session_id IS NOT NULL",
    )
    .bind(&hash[..])
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(session) = session {
        end(&mut tx, &session, "signed out").await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Ends a session and all of its tokens.
pub(crate) async fn end(db: &mut AnyConnection, session: &str, why: &str) -> Result<(), sqlx::Error> {
    let ended = sqlx::query("UPDATE sessions SET ended_at = $1, ended_why = $2 WHERE id = $3 AND ended_at IS NULL")
        .bind(now())
        .bind(why)
        .bind(session)
        .execute(&mut *db)
        .await?
        .rows_affected();
    if ended == 0 {
        return Ok(());
    }
    end_tokens(&mut *db, session).await?;
    let (account, tenant): (String, Option<String>) = sqlx::query_as(
        "SELECT accounts.id, tenant FROM sessions JOIN accounts ON accounts.id = account_id WHERE sessions.id = $1",
    )
    .bind(session)
    .fetch_one(&mut *db)
    .await?;
    let detail = json!({ "session": session, "why": why });
    events::record_of(db, tenant.as_deref(), &format!("account {account}"), "session ended", &detail).await
}

async fn end_tokens(db: &mut AnyConnection, session: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE session_id = $2 AND revoked_at IS NULL")
        .bind(now())
        .bind(session)
        .execute(db)
        .await?;
    Ok(())
}

async fn pair(db: &mut AnyConnection, session: &str, lifetimes: &Lifetimes) -> Result<Pair, SignInError> {
    let row = sqlx::query(
        "SELECT accounts.id, name, role FROM sessions JOIN accounts ON accounts.id = account_id WHERE sessions.id = $1",
    )
    .bind(session)
    .fetch_one(&mut *db)
    .await?;
    let (access, refresh) = (codes::token(tokens::PREFIX)?, codes::token("lowtouchr_")?);
    sqlx::query(
        "INSERT INTO tokens (id, account_id, hash, role, name, created_at, expires_at, session_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(Uuid::new_v4().to_string())
    .bind(row.try_get::<String, _>("id")?)
    .bind(&codes::hash(access.expose_secret())[..])
    .bind(row.try_get::<String, _>("role")?)
    .bind(row.try_get::<String, _>("name")?)
    .bind(now())
    .bind(now().saturating_add(lifetimes.access.as_millis() as i64))
    .bind(session)
    .execute(&mut *db)
    .await?;
    sqlx::query("INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES ($1, $2, $3)")
        .bind(&codes::hash(refresh.expose_secret())[..])
        .bind(session)
        .bind(now().saturating_add(lifetimes.idle.as_millis() as i64))
        .execute(&mut *db)
        .await?;
    Ok(Pair { access, refresh, expires_in: lifetimes.access })
}

/// Removes what has been over for long, so that the tables are as large as what is in use.
pub(crate) async fn tidy(db: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let over = now() - KEPT;
    for statement in [
        "DELETE FROM tokens WHERE session_id IS NOT NULL AND expires_at < $1",
        "DELETE FROM refresh_tokens WHERE expires_at < $1",
        "DELETE FROM authorization_codes WHERE expires_at < $1",
        "DELETE FROM device_authorizations WHERE expires_at < $1",
    ] {
        sqlx::query(statement).bind(over).execute(&mut *db).await?;
    }
    Ok(())
}
