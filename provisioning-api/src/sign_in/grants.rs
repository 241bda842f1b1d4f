//! Authorization codes: what an invite is exchanged for, and what is exchanged for a session.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Row as _;

use crate::sign_in::sessions::{self, Lifetimes, Pair};
use crate::sign_in::{CLIENT_ID, SignInError, codes, invites};
use crate::store::{Store, now};

/// How long a code is good. RFC 6749, 4.1.2, recommends at most ten minutes; ours comes back within seconds.
pub(crate) const CODE: Duration = Duration::from_secs(60);

/// Uses an invite up and gives a code for it, bound to the challenge and to the redirection, if there is one.
pub(crate) async fn code_for_invite(
    store: &Store,
    invite: &str,
    challenge: &str,
    redirect_uri: Option<&str>,
) -> Result<SecretString, SignInError> {
    let code = codes::token("lowtouchc_")?;
    let mut tx = store.begin().await?;
    let (invite, account) = invites::redeem(&mut tx, invite, challenge, CODE.as_millis() as i64).await?;
    sqlx::query(
        "INSERT INTO authorization_codes (hash, invite_id, account_id, client_id, redirect_uri, code_challenge, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&codes::hash(code.expose_secret())[..])
    .bind(invite)
    .bind(account)
    .bind(CLIENT_ID)
    .bind(redirect_uri)
    .bind(challenge)
    .bind(now() + CODE.as_millis() as i64)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(code)
}

/// A session for a code, once. A code that comes a second time ends the session that it began (RFC 6749, 4.1.2).
pub(crate) async fn session_for_code(
    store: &Store,
    code: &str,
    verifier: &str,
    redirect_uri: Option<&str>,
    lifetimes: &Lifetimes,
) -> Result<Pair, SignInError> {
    let hash = codes::hash(code);
    let mut tx = store.begin().await?;
    let row = sqlx::query(
        "SELECT account_id, redirect_uri, code_challenge, expires_at, session_id FROM authorization_codes
         JOIN accounts ON accounts.id = account_id WHERE hash = $1 AND disabled_at IS NULL",
    )
    .bind(&hash[..])
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(SignInError::InvalidGrant)?;
    if let Some(session) = row.try_get::<Option<String>, _>("session_id")? {
        sessions::end(&mut tx, &session, "its code came twice").await?;
        tx.commit().await?;
        return Err(SignInError::InvalidGrant);
    }
    let challenge: String = row.try_get("code_challenge")?;
    let kept: Option<String> = row.try_get("redirect_uri")?;
    let in_time = now() < row.try_get::<i64, _>("expires_at")?;
    if !in_time || kept.as_deref() != redirect_uri || !codes::verifies(verifier, &challenge) {
        return Err(SignInError::InvalidGrant);
    }
    let (session, pair) = sessions::begin(&mut tx, row.try_get("account_id")?, lifetimes).await?;
    sqlx::query("UPDATE authorization_codes SET session_id = $1 WHERE hash = $2")
        .bind(session)
        .bind(&hash[..])
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(pair)
}
