//! Sign-in for what has no browser (RFC 8628): the device shows a code, a person approves it elsewhere with an invite.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Row as _;

use crate::sign_in::sessions::{self, Lifetimes, Pair};
use crate::sign_in::{CLIENT_ID, SignInError, codes, invites};
use crate::store::{Store, now};

/// How long a person has to approve.
pub(crate) const LIFE: Duration = Duration::from_secs(10 * 60);

/// How long the app waits between two polls, RFC 8628's default; each poll that comes sooner makes it longer by as much.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);

/// What a device shows and what it polls with.
pub(crate) struct Begun {
    pub(crate) device_code: SecretString,
    pub(crate) user_code: SecretString,
}

pub(crate) async fn begin(store: &Store) -> Result<Begun, SignInError> {
    let (device_code, user_code) = (codes::token("lowtouchd_")?, codes::user_code()?);
    let mut tx = store.begin().await?;
    sessions::tidy(&mut tx).await?;
    sqlx::query(
        "INSERT INTO device_authorizations (hash, user_code, client_id, expires_at, pause) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&codes::hash(device_code.expose_secret())[..])
    .bind(&codes::hash_of_user_code(user_code.expose_secret())[..])
    .bind(CLIENT_ID)
    .bind(now() + LIFE.as_millis() as i64)
    .bind(PAUSE.as_millis() as i64)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Begun { device_code, user_code })
}

/// Approves the device that shows this user code with this invite. Either both are used or neither.
pub(crate) async fn approve(store: &Store, user_code: &str, invite: &str) -> Result<(), SignInError> {
    let mut tx = store.begin().await?;
    let user_code = codes::hash_of_user_code(user_code);
    let waiting = sqlx::query(
        "SELECT 1 FROM device_authorizations WHERE user_code = $1 AND account_id IS NULL AND expires_at > $2",
    )
    .bind(&user_code[..])
    .bind(now())
    .fetch_optional(&mut *tx)
    .await?;
    if waiting.is_none() {
        return Err(SignInError::InvalidGrant);
    }
    // No challenge: an invite that was used here is used.
    let (_, account) = invites::redeem(&mut tx, invite, "", 0).await?;
    sqlx::query("UPDATE device_authorizations SET account_id = $1 WHERE user_code = $2")
        .bind(account)
        .bind(&user_code[..])
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// A session, once approved.
pub(crate) async fn poll(store: &Store, device_code: &str, lifetimes: &Lifetimes) -> Result<Pair, SignInError> {
    let hash = codes::hash(device_code);
    let mut tx = store.begin().await?;
    let row = sqlx::query(
        "SELECT device_authorizations.account_id, expires_at, pause, polled_at, session_id, disabled_at
         FROM device_authorizations LEFT JOIN accounts ON accounts.id = account_id WHERE hash = $1",
    )
    .bind(&hash[..])
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(SignInError::InvalidGrant)?;
    if let Some(session) = row.try_get::<Option<String>, _>("session_id")? {
        sessions::end(&mut tx, &session, "its device code came twice").await?;
        tx.commit().await?;
        return Err(SignInError::InvalidGrant);
    }
    if now() >= row.try_get::<i64, _>("expires_at")? {
        return Err(SignInError::ExpiredToken);
    }
    let pause: i64 = row.try_get("pause")?;
    let soon = row.try_get::<Option<i64>, _>("polled_at")?.is_some_and(|polled| now() < polled + pause - JITTER);
    let account: Option<String> = row.try_get("account_id")?;
    let answer = match account {
        _ if soon => Err(SignInError::SlowDown),
        None => Err(SignInError::AuthorizationPending),
        Some(_) if row.try_get::<Option<i64>, _>("disabled_at")?.is_some() => Err(SignInError::InvalidGrant),
        Some(account) => Ok(sessions::begin(&mut tx, &account, lifetimes).await?),
    };
    let (session, answer) = match answer {
        Ok((session, pair)) => (Some(session), Ok(pair)),
        Err(error) => (None, Err(error)),
    };
    sqlx::query("UPDATE device_authorizations SET polled_at = $1, pause = $2, session_id = $3 WHERE hash = $4")
        .bind(now())
        .bind(if soon { pause + PAUSE.as_millis() as i64 } else { pause })
        .bind(session)
        .bind(&hash[..])
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    answer
}

/// A poll that was sent in time may arrive this much sooner after the one before, in milliseconds.
const JITTER: i64 = 500;
