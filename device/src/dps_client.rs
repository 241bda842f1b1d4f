//! Registers the device with DPS over HTTPS: status lookup first, then registration and polling.
//!
//! Source of paths and answers: Microsoft's DPS device registration REST API, version 2021-06-01, and with a certificate request
//! 2025-07-01-preview.

mod answer;
mod failure;
mod sas;
pub(crate) mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use secrecy::SecretSlice;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use crate::power::Power;
use crate::retry::RetryPolicy;
use crate::tpm::{Tpm, TpmError};
use answer::{Answer, RegistrationState};
pub use failure::{FailureKind, RegistrationFailure};

const API_VERSION: &str = "2021-06-01";
/// The first that takes a certificate request.
const API_VERSION_WITH_CSR: &str = "2025-07-01-preview";
/// Between polls when DPS gives no `Retry-After`: its limit is 5 polls in 10 s per device.
const POLL_EVERY: Duration = Duration::from_secs(2);
/// However short `Retry-After` is.
const POLL_AT_LEAST: Duration = Duration::from_millis(200);

/// Whom to register, where, and how to prove it.
pub struct Registration {
    /// `0ne…`
    pub id_scope: String,
    /// Host or host:port.
    pub global_device_endpoint: String,
    /// The device's registration ID.
    pub registration_id: String,
    /// What proves it.
    pub credential: DpsCredential,
    /// DER certificates to trust beside the system's roots.
    pub endpoint_ca: Vec<Vec<u8>>,
    /// DER PKCS#10 for the device's own key: DPS is to issue a certificate for the hub.
    pub csr: Option<Vec<u8>>,
}

/// What proves the registration ID to DPS.
pub enum DpsCredential {
    /// A TLS client certificate.
    X509 {
        /// DER, leaf first.
        chain: Vec<Vec<u8>>,
        /// The leaf's private key, PKCS#8 DER.
        key: Zeroizing<Vec<u8>>,
    },
    /// The device's own derived key, decoded.
    SymmetricKey(SecretSlice<u8>),
    /// A TPM that DPS knows: it is given a key to sign with when it registers.
    Tpm(Arc<dyn Tpm>),
}

/// How far a registration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// DPS is being asked for the nth time.
    Connecting(u32),
    /// DPS has taken the registration and was asked n times what became of it.
    Registering(u32),
}

/// DPS has assigned the device to a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The hub's host name.
    pub hub: String,
    /// The hub's name for the device.
    pub device_id: String,
    /// As DPS spells it; empty when it says none.
    pub substatus: String,
    /// What DPS issued for the registration's `csr`: DER, leaf first. Empty: nothing. It is not looked into here.
    pub issued_chain: Vec<Vec<u8>>,
}

/// Registers one device once.
pub struct DpsClient<'a> {
    registration: &'a Registration,
    policy: &'a RetryPolicy,
    power: &'a Power,
    http: reqwest::Client,
    base: Url,
}

impl<'a> DpsClient<'a> {
    /// Prepares TLS; connects to nothing.
    pub fn new(
        registration: &'a Registration,
        policy: &'a RetryPolicy,
        power: &'a Power,
    ) -> Result<Self, RegistrationFailure> {
        let endpoint = &registration.global_device_endpoint;
        let base = Url::parse(&format!("https://{endpoint}/"))
            .ok()
            .filter(|url| {
                url.host().is_some() && url.username().is_empty() && url.path() == "/" && url.query().is_none()
            })
            .ok_or_else(|| RegistrationFailure::unreachable("the global device endpoint is no host name"))?;
        let tls = tls::client_config(&registration.credential, &registration.endpoint_ca)?;
        let http = tls::http_client(tls, &base).map_err(|error| RegistrationFailure::from_transport(&error))?;
        Ok(Self { registration, policy, power, http, base })
    }

    /// Asks DPS for the device's hub: an assignment that exists is used, else the device registers. With a certificate request or a TPM
    /// it registers in any case, because only that brings a certificate, and a key for the hub.
    ///
    /// Returns within the policy's budget plus one request.
    pub async fn register(&self, progress: impl Fn(Progress) + Sync) -> Result<Assigned, RegistrationFailure> {
        let deadline = Instant::now() + self.policy.budget;
        let attempts = AtomicU32::new(0);
        let connecting = || progress(Progress::Connecting(attempts.fetch_add(1, Ordering::Relaxed) + 1));
        let tpm_keys = self.tpm_keys().await?;
        if self.registration.csr.is_none()
            && tpm_keys.is_none()
            && let Some(assigned) = self.look_up(deadline, &connecting).await?
        {
            return Ok(assigned);
        }
        let mut begun_again = false;
        loop {
            if let Some(keys) = &tpm_keys {
                self.prove_tpm(keys, deadline, &connecting).await?;
            }
            let answer = self.begin(tpm_keys.as_ref(), deadline, &connecting).await?;
            match self.follow(answer, deadline, &progress).await {
                // DPS forgets operations in time; a registration may be repeated without harm.
                Err(failure) if failure.kind == FailureKind::NotFound && !begun_again => begun_again = true,
                ended => return ended,
            }
        }
    }

    /// `None`: DPS knows no assignment, or would not say; only a full registration can tell.
    async fn look_up(
        &self,
        deadline: Instant,
        attempt: &(impl Fn() + Sync),
    ) -> Result<Option<Assigned>, RegistrationFailure> {
        let url = self.url(&["registrations", &self.registration.registration_id]);
        let body = json!({ "registrationId": self.registration.registration_id });
        let result = self.policy.run(deadline, || async {
            attempt();
            self.send(Method::POST, url.clone(), Some(&body)).await
        });
        match result.await {
            Ok(answer) => Ok(answer.state().and_then(RegistrationState::assigned)),
            // The answer to 401, 403 and 404 is a full registration, whose answer then counts.
            Err(failure) if failure.from_dps && !failure.kind.is_passing() => {
                tracing::debug!(%failure, "no assignment to look up");
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// What a registration says of the device's TPM; `None`: it has none, or shows DPS something else.
    async fn tpm_keys(&self) -> Result<Option<Value>, RegistrationFailure> {
        if !matches!(self.registration.credential, DpsCredential::Tpm(_)) {
            return Ok(None);
        }
        let keys = self.with_tpm(|tpm| tpm.public_keys()).await?;
        Ok(Some(json!({
            "endorsementKey": STANDARD.encode(keys.endorsement_key),
            "storageRootKey": STANDARD.encode(keys.storage_root_key),
        })))
    }

    /// Asks without a token. DPS refuses, and gives a key that only this TPM can take in.
    async fn prove_tpm(
        &self,
        keys: &Value,
        deadline: Instant,
        attempt: &(impl Fn() + Sync),
    ) -> Result<(), RegistrationFailure> {
        let url = self.url(&["registrations", &self.registration.registration_id, "register"]);
        let body = json!({ "registrationId": self.registration.registration_id, "tpm": keys });
        let challenge = self.policy.run(deadline, || async {
            attempt();
            let number = alive(self.power.dps_request_begins()).await;
            let answer = self.answer(Method::PUT, url.clone(), Some(&body), None).await;
            alive(self.power.dps_request_ends(number)).await;
            let answer = answer?;
            match answer.authentication_key() {
                Some(blob) if answer.status == StatusCode::UNAUTHORIZED => Ok(blob),
                _ => Err(RegistrationFailure::from_answer(&answer)),
            }
        });
        let blob = challenge.await?;
        self.with_tpm(move |tpm| tpm.activate(&blob)).await
    }

    /// A TPM's calls block.
    async fn with_tpm<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Tpm) -> Result<T, TpmError> + Send + 'static,
    ) -> Result<T, RegistrationFailure> {
        let DpsCredential::Tpm(tpm) = &self.registration.credential else {
            return Err(RegistrationFailure::credential("this device has no TPM"));
        };
        let tpm = Arc::clone(tpm);
        let done = tokio::task::spawn_blocking(move || work(tpm.as_ref())).await;
        let done = done.map_err(|_| RegistrationFailure::credential("the TPM's work was cut short"))?;
        done.map_err(|error| RegistrationFailure::credential(&error.to_string()))
    }

    async fn begin(
        &self,
        tpm_keys: Option<&Value>,
        deadline: Instant,
        attempt: &(impl Fn() + Sync),
    ) -> Result<Answer, RegistrationFailure> {
        let url = self.url(&["registrations", &self.registration.registration_id, "register"]);
        let mut body = json!({ "registrationId": self.registration.registration_id });
        if let Some(keys) = tpm_keys {
            body["tpm"] = keys.clone();
        }
        if let Some(csr) = &self.registration.csr {
            body["csr"] = STANDARD.encode(csr).into();
        }
        let request = || async {
            attempt();
            self.send(Method::PUT, url.clone(), Some(&body)).await
        };
        self.policy.run(deadline, request).await
    }

    async fn follow(
        &self,
        mut answer: Answer,
        deadline: Instant,
        progress: &(impl Fn(Progress) + Sync),
    ) -> Result<Assigned, RegistrationFailure> {
        let mut polls = 0;
        loop {
            if let Some(ended) = answer.ended() {
                // The hub's key comes with the hub, and takes the place of DPS's.
                if let (Ok(_), Some(blob), DpsCredential::Tpm(_)) =
                    (&ended, answer.hub_key(), &self.registration.credential)
                {
                    self.with_tpm(move |tpm| tpm.activate(&blob)).await?;
                }
                return ended;
            }
            let Some(operation) = answer.operation_id().map(str::to_owned) else {
                return Err(RegistrationFailure::nonsense("DPS gave neither an operation ID nor a result"));
            };
            progress(Progress::Registering(polls));
            let wait = answer.retry_after.map_or(POLL_EVERY, |told| told.max(POLL_AT_LEAST));
            if Instant::now() + wait > deadline {
                return Err(RegistrationFailure::unavailable("DPS is still assigning, and the time is up"));
            }
            tokio::time::sleep(wait).await;
            polls += 1;
            let url = self.url(&["registrations", &self.registration.registration_id, "operations", &operation]);
            answer = self.policy.run(deadline, || self.send(Method::GET, url.clone(), None)).await?;
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().push(&self.registration.id_scope).extend(path);
        }
        let version = if self.registration.csr.is_some() { API_VERSION_WITH_CSR } else { API_VERSION };
        url.set_query(Some(&format!("api-version={version}")));
        url
    }

    /// One request. The power may go off around it, and then this never returns.
    async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answer, RegistrationFailure> {
        let number = alive(self.power.dps_request_begins()).await;
        let answer = self.exchange(method, url, body).await;
        alive(self.power.dps_request_ends(number)).await;
        answer
    }

    async fn exchange(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answer, RegistrationFailure> {
        let (scope, id) = (&self.registration.id_scope, &self.registration.registration_id);
        let token = match &self.registration.credential {
            DpsCredential::X509 { .. } => None,
            DpsCredential::SymmetricKey(key) => Some(sas::token(scope, id, key)?),
            DpsCredential::Tpm(_) => {
                let unsigned = sas::Unsigned::new(scope, id);
                let payload = unsigned.payload();
                let signature = self.with_tpm(move |tpm| tpm.sign(payload.as_bytes())).await?;
                Some(unsigned.signed(&signature))
            }
        };
        let answer = self.answer(method, url, body, token).await?;
        if answer.status == StatusCode::OK || answer.status == StatusCode::ACCEPTED {
            Ok(answer)
        } else {
            Err(RegistrationFailure::from_answer(&answer))
        }
    }

    /// Whatever DPS says.
    async fn answer(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
        token: Option<String>,
    ) -> Result<Answer, RegistrationFailure> {
        let mut request = self.http.request(method, url);
        if let Some(token) = token {
            request = request.header(reqwest::header::AUTHORIZATION, token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| RegistrationFailure::from_transport(&error))?;
        Answer::read(response).await
    }
}

async fn alive<T>(powered: Result<T, crate::power::PowerLost>) -> T {
    match powered {
        Ok(value) => value,
        // The whole device is being dropped; nothing may happen any more.
        Err(_) => std::future::pending().await,
    }
}
