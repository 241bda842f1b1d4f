//! Tokens of other issuers: any OpenID Connect provider that signs its access tokens (JWT, RFC 9068 and its relatives).
//!
//! Of a token that is accepted: an issuer that is configured, signed by a key of that issuer's key set, by an algorithm of
//! [`ALGORITHMS`], for this API's audience, not over and not before its time (±[`SKEW`]), of a type that can be an access
//! token. Everything else is one answer, 401; our log says why.

mod config;
mod keys;
mod ring_crypto;

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use provisioning_api_contract::ProblemCode;
use serde_json::Value;

pub use config::{IssuerConfig, IssuerTenant, read_issuers};

use crate::accounts::{self, External};
use crate::api::ApiError;
use crate::issuers::keys::{KeySet, KeysError};
use crate::role::Role;
use crate::store::Store;
use crate::tokens::Caller;

/// How far an issuer's clock may be from ours. RFC 7519, 4.1.4: "usually no more than a few minutes".
pub(crate) const SKEW: Duration = Duration::from_secs(60);

/// Asymmetric ones that are in use: with a shared secret (HS*) whoever can check a token can make one, and `none` is none.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];

/// `typ` of access tokens: RFC 9068 says `at+jwt`, Entra ID and Keycloak say `JWT`. Logout tokens, proofs and the like say
/// something else.
const TYPES: [&str; 3] = ["at+jwt", "application/at+jwt", "jwt"];

/// A header field must have an end; Entra ID's tokens with many groups have 6 kB.
const MAX_TOKEN: usize = 16 * 1024;

/// The issuers whose tokens are accepted.
pub(crate) struct Issuers(Vec<Issuer>);

struct Issuer {
    config: IssuerConfig,
    keys: KeySet,
    validation: Validation,
}

/// Why a token is not accepted, for our log: the caller is told only that it is not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum Refused {
    #[error("it is no JWT")]
    NotAToken,
    #[error("its issuer is not configured")]
    Issuer,
    #[error("its algorithm is not allowed")]
    Algorithm,
    #[error("its type is not an access token's")]
    Type,
    #[error("it asks for extensions that are not known")]
    Critical,
    #[error("its key is not in the issuer's key set")]
    Key,
    #[error("its subject is missing")]
    Subject,
    #[error("it is not valid: {0}")]
    Invalid(&'static str),
}

impl Issuers {
    pub(crate) fn new(configs: Vec<IssuerConfig>) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        ring_crypto::install();
        let issuers = configs.into_iter().map(|config| {
            let mut validation = Validation::new(Algorithm::RS256);
            validation.leeway = SKEW.as_secs();
            validation.validate_nbf = true;
            validation.set_issuer(&[&config.issuer]);
            validation.set_audience(&config.audience);
            validation.required_spec_claims = HashSet::from(["exp", "iss", "aud", "sub"].map(str::to_owned));
            Ok(Issuer { keys: KeySet::new(&config)?, validation, config })
        });
        issuers.collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn configs(&self) -> impl Iterator<Item = &IssuerConfig> {
        self.0.iter().map(|issuer| &issuer.config)
    }

    /// Who holds this token; `None` when it is not accepted.
    pub(crate) async fn find(&self, store: &Store, token: &str) -> Result<Option<Caller>, ApiError> {
        if self.0.is_empty() || !looks_like_jwt(token) {
            return Ok(None);
        }
        match self.check(token).await {
            Ok((issuer, claims)) => issuer.caller(store, &claims).await,
            Err(Failure::Refused(reason)) => {
                tracing::info!(%reason, "an issuer's token was refused");
                Ok(None)
            }
            Err(Failure::Keys(error)) => {
                tracing::warn!(%error, "an issuer's keys cannot be had");
                Err(ApiError::new(ProblemCode::IssuerUnavailable).retry_after(Some(keys::PATIENCE)))
            }
        }
    }

    async fn check(&self, token: &str) -> Result<(&Issuer, Value), Failure> {
        // From an unverified token only this is taken: which issuer's keys to verify it with.
        let unverified = insecure_decode::<Value>(token).map_err(|_| Refused::NotAToken)?;
        let header = decode_header(token).map_err(|_| Refused::NotAToken)?;
        let named = unverified.claims.get("iss").and_then(Value::as_str);
        let issuer =
            self.0.iter().find(|issuer| Some(issuer.config.issuer.as_str()) == named).ok_or(Refused::Issuer)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Refused::Algorithm.into());
        }
        if header.typ.as_ref().is_some_and(|typ| !TYPES.contains(&typ.to_ascii_lowercase().as_str())) {
            return Err(Refused::Type.into());
        }
        if header.crit.as_ref().is_some_and(|critical| !critical.is_empty()) {
            return Err(Refused::Critical.into());
        }
        let jwk = issuer.keys.find(header.kid.as_deref(), header.alg).await?.ok_or(Refused::Key)?;
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| Refused::Key)?;
        // jsonwebtoken takes only algorithms of one family; which of ours it may be was decided above.
        let validation = Validation { algorithms: vec![header.alg], ..issuer.validation.clone() };
        let verified = decode::<Value>(token, &key, &validation).map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            Refused::Invalid(match error.kind() {
                ErrorKind::InvalidSignature => "signature",
                ErrorKind::ExpiredSignature => "over",
                ErrorKind::ImmatureSignature => "before its time",
                ErrorKind::InvalidAudience => "audience",
                ErrorKind::InvalidIssuer => "issuer",
                ErrorKind::MissingRequiredClaim(_) => "a claim is missing",
                _ => "form",
            })
        })?;
        Ok((issuer, verified.claims))
    }
}

enum Failure {
    Refused(Refused),
    Keys(KeysError),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        Self::Keys(error)
    }
}

impl Issuer {
    /// The account of (issuer, sub) with the role and the tenant that the claims give it today.
    async fn caller(&self, store: &Store, claims: &Value) -> Result<Option<Caller>, ApiError> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let Some(subject) = text("sub").filter(|subject| !subject.is_empty() && subject.len() <= 255) else {
            tracing::info!(reason = %Refused::Subject, "an issuer's token was refused");
            return Ok(None);
        };
        let role = self.role(claims).ok_or_else(|| {
            ApiError::new(ProblemCode::Forbidden).detail("the account has no role here; ask an administrator for one")
        })?;
        let tenant = match &self.config.tenant {
            IssuerTenant::All => None,
            IssuerTenant::Named(name) => Some(name.clone()),
            IssuerTenant::Claim(path) => {
                let missing = || ApiError::new(ProblemCode::Forbidden).detail("the account belongs to no tenant here");
                Some(at(claims, path).and_then(Value::as_str).ok_or_else(missing)?.to_owned())
            }
        };
        let name = [self.config.name_claim.as_str(), "name", "preferred_username", "email"]
            .into_iter()
            .find_map(|claim| at(claims, claim).and_then(Value::as_str).filter(|name| !name.trim().is_empty()));
        let name: String = name.unwrap_or(subject).chars().filter(|c| !c.is_control()).take(128).collect();
        let who = External { issuer: &self.config.issuer, subject, name: &name, role, tenant: tenant.as_deref() };
        let account_id = match accounts::external(store, &who).await? {
            accounts::Known::Active(id) => id,
            accounts::Known::Disabled => return Ok(None),
            accounts::Known::NoTenant => {
                return Err(ApiError::new(ProblemCode::Forbidden).detail("the account belongs to no tenant here"));
            }
        };
        let end = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        let expires_at = Timestamp::from_second(end as i64).unwrap_or(Timestamp::MAX);
        Ok(Some(Caller { account_id, name, role, tenant, expires_at }))
    }

    /// The first role of the mapping, in its order, that the claim has.
    fn role(&self, claims: &Value) -> Option<Role> {
        let claim = at(claims, &self.config.role_claim)?;
        let has = |wanted: &str| match claim {
            // Some issuers give one role as a text, some give several in one text (as `scp` and `scope` do).
            Value::String(text) => text.split(' ').any(|one| one == wanted) || text == wanted,
            Value::Array(values) => values.iter().any(|value| value.as_str() == Some(wanted)),
            _ => false,
        };
        self.config.roles.iter().find(|(value, _)| has(value)).map(|(_, role)| *role)
    }
}

/// A claim by its name, or by its path, `realm_access.roles`; a name with dots of its own (a URL) is tried first.
fn at<'a>(claims: &'a Value, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| path.split('.').try_fold(claims, |value, step| value.get(step)))
}

fn looks_like_jwt(token: &str) -> bool {
    token.len() <= MAX_TOKEN && token.bytes().filter(|byte| *byte == b'.').count() == 2
}
