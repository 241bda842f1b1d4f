//! The DPS service API (api-version 2021-10-01): enrollment groups and registrations of one instance.
//!
//! The one retry layer towards DPS is here; nothing below retries.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use provisioning_api_contract::DpsRegistration;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::config::{InstanceConfig, Limits};
use crate::store::now;

const API_VERSION: &str = "2021-10-01";

/// How long a SAS token is good for: long enough for clocks that disagree.
const SAS_SECONDS: i64 = 15 * 60;

/// Answers are small; a longer one is none of DPS's.
const MAX_ANSWER: usize = 1024 * 1024;

pub(crate) struct DpsClient {
    http: reqwest::Client,
    endpoint: Url,
    policy: String,
    key: Zeroizing<Vec<u8>>,
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
    #[error("the DPS instance refuses the key of its shared access policy (HTTP {status})")]
    Refused { status: u16 },
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
        self.may_pass() || matches!(self, Self::Garbage)
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::Fault { retry_after, .. } => *retry_after,
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

struct Call<'a> {
    method: Method,
    path: [&'a str; 2],
    suffix: Option<&'a str>,
    body: Option<Zeroizing<Vec<u8>>>,
}

impl DpsClient {
    pub(crate) fn new(
        instance: &InstanceConfig,
        limits: &Limits,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots: Vec<CertificateDer<'static>> = match &instance.ca_pem {
            Some(pem) => CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(roots, provider.clone())?;
        // `dangerous()` is rustls' word for any verifier of one's own; this one verifies against the platform's roots
        // and the instance's.
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(limits.dps_attempt)
            .build()?;
        Ok(Self {
            http,
            endpoint: instance.service_endpoint.clone(),
            policy: instance.policy.clone(),
            key: Zeroizing::new(STANDARD.decode(instance.key.expose())?),
            attempt: limits.dps_attempt,
            budget: limits.dps_budget,
        })
    }

    /// The group, if there is one.
    pub(crate) async fn group(&self, id: &str) -> Result<Option<Group>, DpsError> {
        self.call(Call { method: Method::GET, path: ["enrollmentGroups", id], suffix: None, body: None })
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
        let body = Zeroizing::new(group.to_string().into_bytes());
        let answer = self
            .call(Call { method: Method::PUT, path: ["enrollmentGroups", id], suffix: None, body: Some(body) })
            .await?
            .ok_or(DpsError::Rejected { status: 404 })?;
        serde_json::from_slice(&answer).map_err(|_| DpsError::Garbage)
    }

    /// The group's primary symmetric key.
    pub(crate) async fn group_key(&self, id: &str) -> Result<Zeroizing<Vec<u8>>, DpsError> {
        let answer = self
            .call(Call {
                method: Method::POST,
                path: ["enrollmentGroups", id],
                suffix: Some("attestationmechanism"),

                body: Some(Zeroizing::new(b"{}".to_vec())),
            })
            .await?
            .ok_or(DpsError::Conflict)?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| DpsError::Garbage)?;
        let key = answer.pointer("/symmetricKey/primaryKey").and_then(Value::as_str).ok_or(DpsError::Garbage)?;
        STANDARD.decode(key).map(Zeroizing::new).map_err(|_| DpsError::Garbage)
    }

    /// What DPS says of a device; `None` when it never registered.
    pub(crate) async fn registration(&self, id: &str) -> Result<Option<DpsRegistration>, DpsError> {
        let call = Call { method: Method::GET, path: ["registrations", id], suffix: None, body: None };
        let Some(body) = self.call(call).await? else { return Ok(None) };
        let registration: Registration = serde_json::from_slice(&body).map_err(|_| DpsError::Garbage)?;
        Ok(Some(DpsRegistration {
            status: registration.status,
            assigned_hub: registration.assigned_hub.filter(|hub| !hub.is_empty()),
            device_id: registration.device_id.filter(|id| !id.is_empty()),
            last_updated: registration.last_updated_date_time_utc,
        }))
    }

    /// One call with its retries: `Retry-After` wins, else back-off with full jitter, all within the budget. `None`: 404.
    async fn call(&self, call: Call<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, DpsError> {
        let end = tokio::time::Instant::now() + self.budget;
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(4))
            .with_max_times(4);
        let work = (|| self.attempt(&call))
            .retry(backoff)
            .when(DpsError::may_pass)
            .adjust(|error: &DpsError, planned| {
                let delay = match (planned?, error.retry_after()) {
                    (_, Some(told)) => told,
                    (planned, None) => planned.mul_f64(rand::random::<f64>()),
                };
                // Waiting past the end helps nobody: the caller is told to come back instead.
                (tokio::time::Instant::now() + delay < end).then_some(delay)
            })
            .notify(|error, delay| tracing::debug!(%error, ?delay, "DPS is asked again"));
        tokio::time::timeout_at(end, work).await.unwrap_or(Err(DpsError::Deadline))
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, DpsError> {
        tokio::time::timeout(self.attempt, self.exchange(call)).await.unwrap_or(Err(DpsError::Deadline))
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, DpsError> {
        let mut url = self.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(call.path).extend(call.suffix);
        }
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        let mut authorization = HeaderValue::from_str(&self.sas()).map_err(|_| DpsError::Garbage)?;
        authorization.set_sensitive(true);
        let mut request = self.http.request(call.method.clone(), url).header("authorization", authorization);
        if let Some(body) = &call.body {
            request = request.header("content-type", "application/json; charset=utf-8").body(body.to_vec());
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

    fn sas(&self) -> Zeroizing<String> {
        let expiry = now() / 1000 + SAS_SECONDS;
        sas_token(self.endpoint.host_str().unwrap_or_default(), &self.policy, &self.key, expiry)
    }
}

/// `SharedAccessSignature sr=…&sig=…&se=…&skn=…`: HMAC-SHA256 over the encoded resource, a line feed and the expiry (seconds since 1970).
fn sas_token(resource: &str, policy: &str, key: &[u8], expiry: i64) -> Zeroizing<String> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let resource = encode(resource);
    let signature = hmac(key, format!("{resource}\n{expiry}").as_bytes());
    let signature = encode(&STANDARD.encode(signature));
    Zeroizing::new(format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={}", encode(policy)))
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
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(then.duration_since(Timestamp::now())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hmac module.
    #[test]
    fn a_sas_token_signs_the_encoded_resource_and_its_expiry() {
        let token = sas_token("a.example", "provisioningserviceowner", b"key", 1_700_000_000);
        assert_eq!(
            token.as_str(),
            "SharedAccessSignature sr=a.example&sig=ncYGwhbHfMYE18cCojRp1BeHziVH7TaNmW0xy%2BoSglg%3D&se=1700000000&skn=provisioningserviceowner"
        );
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(retry_after(&headers), Some(Duration::ZERO));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("soon"));
        assert_eq!(retry_after(&headers), None);
    }
}
