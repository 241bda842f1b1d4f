//! An issuer's key set: where its metadata says, kept for a while, and asked for anew when a token names a key that is not in it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota};
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::https;
use crate::issuers::config::IssuerConfig;

/// A key that an issuer took back is not accepted for longer than this.
const AGE: Duration = Duration::from_secs(60 * 60);

/// With an issuer that cannot be asked, its last key set is used for so long.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// One answer of the issuer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Metadata and key sets are a few kilobytes.
const MAX_ANSWER: usize = 512 * 1024;

/// How often a token with an unknown key, which anybody can make, has the issuer asked: a few times at once, for an issuer may
/// change its keys at any moment, then once in half a minute.
const BURST: u32 = 4;
const PAUSE: Duration = Duration::from_secs(30);

pub(super) struct KeySet {
    http: reqwest::Client,
    issuer: String,
    known: Mutex<Option<Known>>,
    pace: DefaultDirectRateLimiter,
}

struct Known {
    keys: Arc<Vec<Jwk>>,
    at: Instant,
}

/// Why the key set cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum KeysError {
    #[error("the issuer does not answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("the issuer answers with status {0}")]
    Status(u16),
    #[error("the issuer's answer is not what it should be: {0}")]
    Malformed(&'static str),
    #[error("the issuer was asked too often")]
    Paced,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: Url,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Value>,
}

impl KeySet {
    pub(super) fn new(config: &IssuerConfig) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let http = https::client(config.ca_pem.as_deref())?.timeout(PATIENCE).build()?;
        let quota = Quota::with_period(PAUSE).ok_or("a pause")?.allow_burst(NonZeroU32::new(BURST).ok_or("a burst")?);
        let issuer = config.issuer.clone();
        Ok(Self { http, issuer, known: Mutex::new(None), pace: DefaultDirectRateLimiter::direct(quota) })
    }

    /// The key that signed a token of this header, `None` when the issuer has no such key.
    pub(super) async fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Option<Jwk>, KeysError> {
        // Held while the issuer is asked: who comes meanwhile waits for the same answer.
        let mut known = self.known.lock().await;
        if let Some(Known { keys, at }) = known.as_ref()
            && at.elapsed() < AGE
            && let Some(key) = choose(keys, kid, algorithm)
        {
            return Ok(Some(key));
        }
        let asked = match self.pace.check() {
            Ok(()) => self.ask().await,
            Err(_) => Err(KeysError::Paced),
        };
        match asked {
            Ok(keys) => {
                let key = choose(&keys, kid, algorithm);
                *known = Some(Known { keys: Arc::new(keys), at: Instant::now() });
                Ok(key)
            }
            Err(error) => match known.as_ref() {
                Some(Known { keys, at }) if at.elapsed() < STALE => {
                    tracing::warn!(%error, issuer = self.issuer, "an issuer's keys could not be looked at again");
                    Ok(choose(keys, kid, algorithm))
                }
                _ => Err(error),
            },
        }
    }

    async fn ask(&self) -> Result<Vec<Jwk>, KeysError> {
        let place = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata: Metadata = serde_json::from_slice(&self.get(&place).await?)
            .map_err(|_| KeysError::Malformed("its metadata has no issuer and jwks_uri"))?;
        // OpenID Connect Discovery, 4.3: or another could stand in for it.
        if metadata.issuer != self.issuer {
            return Err(KeysError::Malformed("its metadata is another issuer's"));
        }
        let keys: Keys = serde_json::from_slice(&self.get(metadata.jwks_uri.as_str()).await?)
            .map_err(|_| KeysError::Malformed("its key set is none"))?;
        // Keys of kinds that are not known here are no reason to do without the others (RFC 7517, 5).
        Ok(keys.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect())
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, KeysError> {
        let mut response = self.http.get(url).send().await.map_err(KeysError::Unreachable)?;
        if !response.status().is_success() {
            return Err(KeysError::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(KeysError::Unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err(KeysError::Malformed("it is too long"));
            }
        }
        Ok(body)
    }
}

/// The key of this ID, or without an ID the only one that fits, as long as it is for signatures by this algorithm.
fn choose(keys: &[Jwk], kid: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
    let mut fitting = keys.iter().filter(|key| fits(key, algorithm));
    match kid {
        Some(kid) => fitting.find(|key| key.common.key_id.as_deref() == Some(kid)).cloned(),
        None => fitting.next().filter(|_| fitting.next().is_none()).cloned(),
    }
}

fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256 | Algorithm::PS256) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let signs = key.common.public_key_use.as_ref().is_none_or(|what| *what == PublicKeyUse::Signature);
    let said = key.common.key_algorithm.as_ref();
    kind && signs && said.is_none_or(|said| said.to_string() == format!("{algorithm:?}"))
}
