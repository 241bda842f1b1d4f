//! The tokens of one account, in memory and as they are kept.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::{ErrorCode, PairingError};

/// A token is renewed this long before its end, or in the last fifth of its life if that is shorter.
const MARGIN: Duration = Duration::from_secs(60);

/// What Windows' Credential Manager takes in one item is 2,560 bytes (CRED_MAX_CREDENTIAL_BLOB_SIZE). Where both tokens are
/// longer (large JWTs), only the one that renews is kept.
const MOST_ON_WINDOWS: usize = 2500;

/// What a token endpoint gave.
pub(super) struct Granted {
    pub(super) access: SecretString,
    pub(super) refresh: Option<SecretString>,
    /// From the answer on; `None`: the issuer does not say.
    pub(super) lifetime: Option<Duration>,
}

/// The tokens, and what time has to do with them.
#[derive(Clone)]
pub(super) struct Tokens {
    /// Changes with every renewal, and is no secret.
    pub(super) generation: Uuid,
    pub(super) access: Option<SecretString>,
    pub(super) refresh: Option<SecretString>,
    lifetime: Option<Duration>,
    /// By this machine's clock, right or wrong: only the time since then counts.
    received_at: Timestamp,
    /// How old they were, and when that was, by a clock that nobody sets.
    age: (Duration, Instant),
}

#[derive(Deserialize)]
struct Kept {
    generation: Uuid,
    access: Option<SecretString>,
    refresh: Option<SecretString>,
    received_at: Timestamp,
    lifetime_s: Option<u64>,
}

/// As [`Kept`]: secrets are written only where that is meant.
#[derive(Serialize)]
struct Keep<'a> {
    version: u32,
    generation: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<&'a str>,
    received_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime_s: Option<u64>,
}

impl Tokens {
    /// Given just now. An answer without a new refresh token leaves the old one in force (RFC 6749, 6).
    pub(super) fn new(granted: Granted, before: Option<&Tokens>, now: Timestamp) -> Tokens {
        Tokens {
            generation: Uuid::new_v4(),
            access: Some(granted.access),
            refresh: granted.refresh.or_else(|| before.and_then(|tokens| tokens.refresh.clone())),
            lifetime: granted.lifetime,
            received_at: now,
            age: (Duration::ZERO, Instant::now()),
        }
    }

    /// As a [`SecretStore`](crate::secrets::SecretStore) keeps it.
    pub(super) fn to_secret(&self) -> Result<SecretString, PairingError> {
        let mut kept = Keep {
            version: 1,
            generation: self.generation,
            access: self.access.as_ref().map(SecretString::expose_secret),
            refresh: self.refresh.as_ref().map(SecretString::expose_secret),
            received_at: self.received_at,
            lifetime_s: self.lifetime.map(|lifetime| lifetime.as_secs()),
        };
        let json = |kept: &Keep<'_>| serde_json::to_string(kept).map_err(|_| PairingError::new(ErrorCode::Internal));
        let mut secret = Zeroizing::new(json(&kept)?);
        if cfg!(windows) && secret.len() > MOST_ON_WINDOWS && kept.refresh.is_some() {
            kept.access = None;
            secret = Zeroizing::new(json(&kept)?);
        }
        Ok(SecretString::from(secret.as_str()))
    }

    /// `None` for what this program did not write; then a person has to sign in again.
    pub(super) fn from_secret(secret: &SecretString, now: Timestamp) -> Option<Tokens> {
        let kept: Kept = serde_json::from_str(secret.expose_secret()).ok()?;
        let lifetime = kept.lifetime_s.map(Duration::from_secs);
        // A clock that was put back since then says nothing about the age: taken for too old.
        let age = Duration::try_from(now.duration_since(kept.received_at)).unwrap_or(lifetime.unwrap_or_default());
        Some(Tokens {
            generation: kept.generation,
            access: kept.access,
            refresh: kept.refresh,
            lifetime,
            received_at: kept.received_at,
            age: (age, Instant::now()),
        })
    }

    /// The access token, if it is good for a while yet.
    pub(super) fn good(&self, now: Timestamp) -> Option<&SecretString> {
        self.access_before(now, self.lifetime.map(|lifetime| lifetime - MARGIN.min(lifetime / 5)))
    }

    /// The access token, if it has not ended yet.
    pub(super) fn not_ended(&self, now: Timestamp) -> Option<&SecretString> {
        self.access_before(now, self.lifetime)
    }

    fn access_before(&self, now: Timestamp, end: Option<Duration>) -> Option<&SecretString> {
        // The steady clock stands still while a computer sleeps, the other one may be set: the later of both counts.
        let (age, then) = self.age;
        let steady = age.saturating_add(then.elapsed());
        let other = Duration::try_from(now.duration_since(self.received_at)).unwrap_or_default();
        let ended = end.is_some_and(|end| steady.max(other) >= end);
        self.access.as_ref().filter(|_| !ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(lifetime: Option<u64>, now: Timestamp) -> Tokens {
        let granted = Granted {
            access: "a".to_owned().into(),
            refresh: Some("r".to_owned().into()),
            lifetime: lifetime.map(Duration::from_secs),
        };
        Tokens::new(granted, None, now)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_a_minute_before_its_end_and_a_short_one_in_its_last_fifth() {
        let now = at("2026-11-22T01:00:00Z");
        let fifteen = tokens(Some(900), now);
        tokio::time::advance(Duration::from_secs(839)).await;
        assert!(fifteen.good(now).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(fifteen.good(now).is_none());
        assert!(fifteen.not_ended(now).is_some());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(fifteen.not_ended(now).is_none());
        let short = tokens(Some(10), now);
        tokio::time::advance(Duration::from_secs(8)).await;
        assert!(short.good(now).is_none() && short.not_ended(now).is_some());
        assert!(tokens(None, now).good(now).is_some(), "no end is known: it is good until it is refused");
        assert!(tokens(Some(0), now).good(now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_wrong_by_an_hour_changes_nothing_and_one_that_is_set_renews_early() {
        let wrong = at("2026-11-22T02:00:00Z");
        let kept = tokens(Some(900), wrong).to_secret().unwrap();
        let again = |now: &str| Tokens::from_secret(&kept, at(now)).unwrap();
        assert!(again("2026-11-22T02:01:00Z").good(at("2026-11-22T02:01:00Z")).is_some());
        // Put right, or put forward: it cannot be known how old the token is.
        assert!(again("2026-11-22T01:01:00Z").good(at("2026-11-22T01:01:00Z")).is_none());
        assert!(again("2026-11-22T03:01:00Z").good(at("2026-11-22T03:01:00Z")).is_none());
        // A computer that slept: the steady clock has not moved.
        assert!(tokens(Some(900), wrong).good(at("2026-11-22T02:20:00Z")).is_none());
    }

    #[test]
    fn what_another_program_wrote_is_no_sign_in() {
        for text in ["", "{}", "lowtouch_abc", r#"{"version":1}"#] {
            assert!(Tokens::from_secret(&text.to_owned().into(), Timestamp::UNIX_EPOCH).is_none(), "{text}");
        }
    }
}
