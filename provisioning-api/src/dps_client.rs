//! The DPS service API (api-version 2021-10-01, or 2025-07-01-preview where the instance issues certificates) of one instance: enrollments, enrollment groups, registrations.
//!
//! The one retry layer towards DPS is here; nothing below retries. No request leaves past the instance's operations limit
//! ([`pace`]), and none while its circuit is open ([`circuit`]).

mod bulk;
mod circuit;
mod credential;
mod pace;
mod resource;

#[cfg(test)]
mod emulated;

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use provisioning_api_contract::DpsRegistration;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;
use zeroize::Zeroizing;

pub(crate) use self::bulk::{BulkFailure, BulkMode};
use self::circuit::Circuit;
use self::credential::Credential;
use self::pace::Pace;
use self::resource::Resource;
use crate::config::{DpsCredential, InstanceConfig, Limits};
use crate::https;

const API_VERSION: &str = "2021-10-01";

/// The first whose enrollments name a credential policy (`credentialPolicyName`).
const API_VERSION_WITH_POLICY: &str = "2025-07-01-preview";

/// Nobody is told to stay away for longer, whatever DPS says.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Answers are small; a longer one is none of DPS's.
const MAX_ANSWER: usize = 1024 * 1024;

/// A DPS instance's service API, asked by a credential policy or by none.
pub(crate) struct DpsClient {
    way: Arc<Way>,
    /// Every enrollment and group that is written names it.
    certificate_policy: Option<String>,
}

/// The way there, the same whatever is asked.
struct Way {
    http: reqwest::Client,
    endpoint: Url,
    credential: Credential,
    pace: Pace,
    circuit: Circuit,
    resource: Option<Resource>,
    attempt: Duration,
    budget: Duration,
}

/// Why DPS did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DpsError {
    #[error("the DPS instance did not answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("the DPS instance did not answer in time")]
    Deadline,
    #[error("the DPS instance is throttling")]
    Throttled { retry_after: Option<Duration> },
    #[error("the DPS instance had a fault of its own (HTTP {status})")]
    Fault { status: u16, retry_after: Option<Duration> },
    #[error("the DPS instance did not answer for a while and is left alone")]
    CircuitOpen { retry_after: Duration },
    #[error("the DPS instance is asked as often as its limit allows")]
    AtLimit { retry_after: Duration },
    #[error("the DPS instance refuses this API's credential (HTTP {status})")]
    Refused { status: u16 },
    #[error("Entra ID refuses this API's application or its secret")]
    SignIn,
    #[error("another one changed it at the same time")]
    Conflict,
    #[error("the DPS instance does not take the request (HTTP {status})")]
    Rejected { status: u16 },
    #[error("the DPS instance answered something that is none of its answers")]
    Garbage,
}

impl DpsError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Deadline | Self::Throttled { .. } | Self::Fault { .. })
    }

    /// Whether trying again later, with nothing changed, may help.
    pub(crate) fn is_transient(&self) -> bool {
        self.may_pass() || matches!(self, Self::CircuitOpen { .. } | Self::AtLimit { .. } | Self::Garbage)
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::Fault { retry_after, .. } => *retry_after,
            Self::CircuitOpen { retry_after } | Self::AtLimit { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

/// An enrollment group as DPS has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    pub(crate) etag: Option<String>,
    #[serde(default)]
    provisioning_status: Option<String>,
    #[serde(default)]
    credential_policy_name: Option<String>,
}

impl Group {
    pub(crate) fn is_enabled(&self) -> bool {
        self.provisioning_status.as_deref() != Some("disabled")
    }
}

/// How the devices of a new group attest.
pub(crate) enum GroupAttestation<'a> {
    /// By certificates that this one (PEM) signed.
    X509 { signing_certificate: &'a str },
    /// By certificates that the instance's own CA certificate of this name signed; it is verified there.
    CaReference { name: &'a str },
    /// By keys derived from this one.
    SymmetricKey { key: &'a [u8] },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    status: String,
    assigned_hub: Option<String>,
    device_id: Option<String>,
    last_updated_date_time_utc: Option<Timestamp>,
}

/// An individual enrollment as DPS has it.
#[derive(Debug)]
pub(crate) struct Enrollment {
    /// For `If-Match`.
    pub(crate) etag: String,
    /// All of it, without keys.
    pub(crate) document: Value,
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expect<'a> {
    /// Nothing: without `If-Match` DPS creates and never replaces.
    Nothing,
    /// This version; anything newer is left alone.
    Version(&'a str),
}

#[derive(Default)]
struct Call<'a> {
    method: Method,
    path: &'a [&'a str],
    body: Option<Zeroizing<Vec<u8>>>,
    if_match: Option<&'a str>,
}

impl DpsClient {
    pub(crate) fn new(
        instance: &InstanceConfig,
        limits: &Limits,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let http = https::client(instance.ca_pem.as_deref())?.connect_timeout(limits.dps_attempt).build()?;
        let resource = match (&instance.resource, &instance.credential) {
            (Some(config), DpsCredential::Entra(app)) => Some(Resource::new(config, app)?),
            _ => None,
        };
        let way = Way {
            http,
            endpoint: instance.service_endpoint.clone(),
            credential: Credential::new(&instance.credential)?,
            // However many replicas there are, all of them together stay within what is ours.
            pace: Pace::new(instance.operations_per_minute / limits.replicas),
            circuit: Circuit::default(),
            resource,
            attempt: limits.dps_attempt,
            budget: limits.dps_budget,
        };
        Ok(Self { way: Arc::new(way), certificate_policy: None })
    }

    /// The same instance, whose enrollments and groups name this credential policy from now on.
    pub(crate) fn by_policy(&self, certificate_policy: Option<String>) -> Self {
        Self { way: Arc::clone(&self.way), certificate_policy }
    }

    /// The group, if there is one.
    pub(crate) async fn group(&self, id: &str) -> Result<Option<Group>, DpsError> {
        self.call(Call { path: &["enrollmentGroups", id], ..Call::default() })
            .await?
            .map(|body| serde_json::from_slice(&body).map_err(|_| DpsError::Garbage))
            .transpose()
    }

    /// Makes a group. [`DpsError::Conflict`] when it exists: without `If-Match` DPS creates and never replaces.
    pub(crate) async fn create_group(&self, id: &str, attestation: GroupAttestation<'_>) -> Result<Group, DpsError> {
        let attestation = match attestation {
            GroupAttestation::X509 { signing_certificate } => json!({
                "type": "x509",
                "x509": { "signingCertificates": { "primary": { "certificate": signing_certificate } } },
            }),
            GroupAttestation::CaReference { name } => {
                json!({ "type": "x509", "x509": { "caReferences": { "primary": name } } })
            }
            // DPS asks for two keys; the second one is for rotation, which starts with the same.
            GroupAttestation::SymmetricKey { key } => {
                let key = STANDARD.encode(key);
                json!({ "type": "symmetricKey", "symmetricKey": { "primaryKey": key, "secondaryKey": key } })
            }
        };
        let group = json!({
            "enrollmentGroupId": id,
            "attestation": attestation,
            "provisioningStatus": "enabled",
            "reprovisionPolicy": { "updateHubAssignment": true, "migrateDeviceData": true },
        });
        let answer = self.put(&["enrollmentGroups", id], &group, Expect::Nothing).await?;
        serde_json::from_slice(&answer).map_err(|_| DpsError::Garbage)
    }

    /// Whether a group names the credential policy; true where there is none to be named.
    pub(crate) fn issues_by_policy(&self, group: &Group) -> bool {
        self.certificate_policy.is_none() || group.credential_policy_name == self.certificate_policy
    }

    /// The same for an individual enrollment.
    pub(crate) fn names_policy(&self, enrollment: &Enrollment) -> bool {
        let named = enrollment.document.get("credentialPolicyName").and_then(Value::as_str);
        self.certificate_policy.is_none() || named == self.certificate_policy.as_deref()
    }

    /// The group's primary symmetric key.
    pub(crate) async fn group_key(&self, id: &str) -> Result<Zeroizing<Vec<u8>>, DpsError> {
        let answer = self
            .call(Call {
                method: Method::POST,
                path: &["enrollmentGroups", id, "attestationmechanism"],
                body: Some(Zeroizing::new(b"{}".to_vec())),
                ..Call::default()
            })
            .await?
            .ok_or(DpsError::Conflict)?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| DpsError::Garbage)?;
        let key = answer.pointer("/symmetricKey/primaryKey").and_then(Value::as_str).ok_or(DpsError::Garbage)?;
        STANDARD.decode(key).map(Zeroizing::new).map_err(|_| DpsError::Garbage)
    }

    /// What DPS says of a device; `None` when it never registered.
    pub(crate) async fn registration(&self, id: &str) -> Result<Option<DpsRegistration>, DpsError> {
        let call = Call { path: &["registrations", id], ..Call::default() };
        let Some(body) = self.call(call).await? else { return Ok(None) };
        let registration: Registration = serde_json::from_slice(&body).map_err(|_| DpsError::Garbage)?;
        Ok(Some(DpsRegistration {
            status: registration.status,
            assigned_hub: registration.assigned_hub.filter(|hub| !hub.is_empty()),
            device_id: registration.device_id.filter(|id| !id.is_empty()),
            last_updated: registration.last_updated_date_time_utc,
        }))
    }

    /// Forgets a device's registration, so that it registers anew; false when there is none.
    pub(crate) async fn delete_registration(&self, id: &str) -> Result<bool, DpsError> {
        self.delete(&["registrations", id], None).await
    }

    /// The individual enrollment, if there is one.
    pub(crate) async fn enrollment(&self, id: &str) -> Result<Option<Enrollment>, DpsError> {
        let call = Call { path: &["enrollments", id], ..Call::default() };
        self.call(call).await?.map(|body| read_enrollment(&body)).transpose()
    }

    /// Makes an individual enrollment or replaces the version that is expected there. [`DpsError::Conflict`] when it finds
    /// another: look again and decide anew.
    pub(crate) async fn put_enrollment(
        &self,
        id: &str,
        document: &Value,
        expect: Expect<'_>,
    ) -> Result<Enrollment, DpsError> {
        let answer = self.put(&["enrollments", id], document, expect).await?;
        read_enrollment(&answer)
    }

    /// Removes an individual enrollment; false when there is none. With an ETag only that version.
    pub(crate) async fn delete_enrollment(&self, id: &str, etag: Option<&str>) -> Result<bool, DpsError> {
        self.delete(&["enrollments", id], etag).await
    }

    /// The enrollment group's document, without keys, if there is one.
    pub(crate) async fn group_document(&self, id: &str) -> Result<Option<Enrollment>, DpsError> {
        let call = Call { path: &["enrollmentGroups", id], ..Call::default() };
        self.call(call).await?.map(|body| read_enrollment(&body)).transpose()
    }

    /// Replaces the version of an enrollment group that is expected there.
    pub(crate) async fn put_group(
        &self,
        id: &str,
        document: &Value,
        expect: Expect<'_>,
    ) -> Result<Enrollment, DpsError> {
        let answer = self.put(&["enrollmentGroups", id], document, expect).await?;
        read_enrollment(&answer)
    }

    /// Removes an enrollment group; false when there is none.
    pub(crate) async fn delete_group(&self, id: &str, etag: Option<&str>) -> Result<bool, DpsError> {
        self.delete(&["enrollmentGroups", id], etag).await
    }

    /// Proves to the instance that we hold this CA's key, where Azure Resource Manager may be asked: the CA is then one of
    /// its verified certificates under this name. False: it may not be asked.
    pub(crate) async fn prove_possession(
        &self,
        name: &str,
        ca: &[u8],
        sign: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync,
    ) -> Result<bool, DpsError> {
        let Some(resource) = &self.way.resource else { return Ok(false) };
        self.retried(|| resource.prove_possession(&self.way.http, self.way.attempt, name, ca, &sign).boxed()).await?;
        Ok(true)
    }

    /// Whether the instance is being asked.
    pub(crate) fn circuit(&self) -> provisioning_api_contract::Circuit {
        self.way.circuit.state()
    }

    async fn put(&self, path: &[&str], document: &Value, expect: Expect<'_>) -> Result<Zeroizing<Vec<u8>>, DpsError> {
        let body = match &self.certificate_policy {
            None => document.to_string(),
            Some(policy) => {
                let mut document = document.clone();
                document["credentialPolicyName"] = policy.as_str().into();
                document.to_string()
            }
        };
        let body = Some(Zeroizing::new(body.into_bytes()));
        let if_match = match expect {
            Expect::Nothing => None,
            Expect::Version(etag) => Some(etag),
        };
        let call = Call { method: Method::PUT, path, body, if_match };
        self.call(call).await?.ok_or(DpsError::Rejected { status: 404 })
    }

    async fn delete(&self, path: &[&str], if_match: Option<&str>) -> Result<bool, DpsError> {
        let call = Call { method: Method::DELETE, path, body: None, if_match };
        Ok(self.call(call).await?.is_some())
    }

    /// One call with its retries. `None`: 404.
    async fn call(&self, call: Call<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, DpsError> {
        self.retried(|| self.attempt(&call).boxed()).await
    }

    /// The retries: `Retry-After` wins, else back-off with full jitter, all within the budget.
    async fn retried<'a, T>(&self, attempt: impl Fn() -> BoxFuture<'a, Result<T, DpsError>>) -> Result<T, DpsError> {
        let end = tokio::time::Instant::now() + self.way.budget;
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(4))
            .with_max_times(4);
        let work = attempt
            .retry(backoff)
            .when(DpsError::may_pass)
            .adjust(|error: &DpsError, planned| {
                let delay = match (planned?, error.retry_after()) {
                    (_, Some(told)) => told,
                    (planned, None) => planned.mul_f64(rand::random::<f64>()),
                };
                // Waiting past the end helps nobody: the caller is told to come back instead.
                (delay < end.saturating_duration_since(tokio::time::Instant::now())).then_some(delay)
            })
            .notify(|error, delay| tracing::debug!(%error, ?delay, "DPS is asked again"));
        tokio::time::timeout_at(end, work).await.unwrap_or(Err(DpsError::Deadline))
    }

    /// One try, when the circuit and the limit allow it.
    async fn attempt(&self, call: &Call<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, DpsError> {
        let leave = self.way.circuit.enter().map_err(|retry_after| DpsError::CircuitOpen { retry_after })?;
        self.way.pace.turn(self.way.attempt).await.map_err(|retry_after| DpsError::AtLimit { retry_after })?;
        let outcome =
            tokio::time::timeout(self.way.attempt, self.authorized(call)).await.unwrap_or(Err(DpsError::Deadline));
        match &outcome {
            Err(DpsError::Unreachable(_) | DpsError::Deadline | DpsError::Fault { .. } | DpsError::Garbage) => {
                if leave.failed() {
                    tracing::warn!(endpoint = %self.way.endpoint, "the DPS instance does not answer: it is left alone for a while");
                }
            }
            _ => leave.answered(),
        }
        outcome
    }

    /// A token that ended early, or was revoked, is replaced once.
    async fn authorized(&self, call: &Call<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, DpsError> {
        let host = self.way.endpoint.host_str().unwrap_or_default();
        let authorization = self.way.credential.authorization(&self.way.http, host).await?;
        match self.exchange(call, authorization.clone()).await {
            Err(DpsError::Refused { status: 401 }) if self.way.credential.forget(&authorization).await => {
                let authorization = self.way.credential.authorization(&self.way.http, host).await?;
                self.exchange(call, authorization).await
            }
            outcome => outcome,
        }
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        authorization: HeaderValue,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, DpsError> {
        let mut url = self.way.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(call.path);
        }
        let version = if self.certificate_policy.is_some() { API_VERSION_WITH_POLICY } else { API_VERSION };
        url.query_pairs_mut().append_pair("api-version", version);
        let mut request = self.way.http.request(call.method.clone(), url).header(AUTHORIZATION, authorization);
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json; charset=utf-8").body(body.to_vec());
        }
        if let Some(etag) = call.if_match {
            request = request.header(IF_MATCH, etag);
        }
        let mut response = request.send().await.map_err(|error| DpsError::Unreachable(error.without_url()))?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| DpsError::Unreachable(error.without_url()))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(DpsError::Garbage);
            }
            body.extend_from_slice(&chunk);
        }
        match status {
            StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(Some(body)),
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::TOO_MANY_REQUESTS => Err(DpsError::Throttled { retry_after }),
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Err(DpsError::Conflict),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(DpsError::Refused { status: status.as_u16() }),
            _ if status.is_server_error() => Err(DpsError::Fault { status: status.as_u16(), retry_after }),
            _ => Err(DpsError::Rejected { status: status.as_u16() }),
        }
    }
}

fn read_enrollment(body: &[u8]) -> Result<Enrollment, DpsError> {
    let document: Value = serde_json::from_slice(body).map_err(|_| DpsError::Garbage)?;
    let etag = document.get("etag").and_then(Value::as_str).ok_or(DpsError::Garbage)?.to_owned();
    Ok(Enrollment { etag, document })
}

/// HMAC-SHA256.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    #[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let told = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let then = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(then.duration_since(Timestamp::now())).unwrap_or_default()
        }
    };
    Some(told.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(retry_after(&headers), Some(Duration::ZERO));
        for absurd in ["18446744073709551615", "Tue, 31 Dec 2999 00:00:00 GMT"] {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(absurd));
            assert_eq!(retry_after(&headers), Some(LONGEST_PAUSE));
        }
        headers.insert(RETRY_AFTER, HeaderValue::from_static("soon"));
        assert_eq!(retry_after(&headers), None);
    }
}
