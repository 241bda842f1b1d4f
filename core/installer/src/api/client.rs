use std::time::Duration;

use async_trait::async_trait;
use provisioning_api_contract as wire;
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::ProvisioningApi;
use super::failure::of_answer;
use crate::error::{ErrorCode, PairingError};
use crate::net::{Net, NetSettings, of_reqwest};

/// Longest answer that is read, in bytes. The longest real one, a list of instances, has a few kilobytes.
pub const MAX_ANSWER: usize = 256 * 1024;

/// Talks to one provisioning API with one token, over HTTPS only. Makes every call once: retries live in
/// [`crate::retry`]. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    net: Net,
    base: Url,
    token: SecretString,
}

impl Client {
    /// Prepares a client; connects to nothing.
    ///
    /// # Errors
    /// `api-url-invalid`, `api-not-https`, `api-token-missing`.
    pub fn new(url: &str, token: Option<SecretString>, net: Net) -> Result<Client, PairingError> {
        let base = base(url)?;
        let token = token.filter(|token| !token.expose_secret().trim().is_empty()).ok_or(ErrorCode::ApiTokenMissing)?;
        Ok(Client { net, base, token })
    }

    #[doc(hidden)]
    pub fn with_timeouts(
        url: &str,
        token: Option<SecretString>,
        extra_ca_pem: Option<&str>,
        connect: Duration,
        call: Duration,
    ) -> Result<Client, PairingError> {
        let settings = NetSettings {
            extra_ca_pem: extra_ca_pem.map(str::to_owned),
            connect_timeout: connect,
            call_timeout: call,
            ..NetSettings::default()
        };
        Self::new(url, token, Net::new(&settings)?)
    }

    /// `GET /v1/instances`: the DPS instances and how full they are.
    ///
    /// # Errors
    /// By status and problem code.
    pub async fn instances(&self) -> Result<wire::InstanceList, PairingError> {
        self.call(Method::GET, &["instances"], false, None::<&()>).await
    }

    /// `PUT /v1/devices/{registrationId}` (administrators): puts a device into the inventory.
    ///
    /// # Errors
    /// By status and problem code.
    pub async fn put_device(
        &self,
        registration_id: &str,
        request: &wire::DeviceRequest,
    ) -> Result<wire::Device, PairingError> {
        self.call(Method::PUT, &["devices", registration_id], false, Some(request)).await
    }

    /// As [`ProvisioningApi::device`], without the trait in scope.
    ///
    /// # Errors
    /// By status and problem code.
    pub async fn look_up(&self, registration_id: &str, dps: bool) -> Result<wire::Device, PairingError> {
        self.device(registration_id, dps).await
    }

    async fn call<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        dps: bool,
        body: Option<&impl Serialize>,
    ) -> Result<A, PairingError> {
        let answer = self.send(method, path, dps, body).await?;
        serde_json::from_slice(&answer)
            // serde's words may quote a value of the answer, which may be a key.
            .map_err(|error| {
                let at = format!("line {}, column {}", error.line(), error.column());
                PairingError::with_detail(ErrorCode::ApiAnswerInvalid, at)
            })
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        dps: bool,
        body: Option<&impl Serialize>,
    ) -> Result<Zeroizing<Vec<u8>>, PairingError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| PairingError::new(ErrorCode::ApiUrlInvalid))?
            .pop_if_empty()
            .push("v1")
            .extend(path);
        if dps {
            url.set_query(Some("dps=true"));
        }
        tracing::debug!(%method, path = url.path(), "API call");
        let mut request = self
            .net
            .client()
            .request(method, url)
            .bearer_auth(self.token.expose_secret())
            .header("accept", "application/json, application/problem+json")
            .header("x-request-id", Uuid::new_v4().to_string());
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(of_reqwest)?;
        let status = response.status();
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut answer = Zeroizing::new(Vec::new());
        while let Some(part) = response.chunk().await.map_err(of_reqwest)? {
            if answer.len() + part.len() > MAX_ANSWER {
                return Err(PairingError::with_detail(
                    ErrorCode::ApiAnswerTooLong,
                    format!("more than {MAX_ANSWER} bytes"),
                ));
            }
            answer.extend_from_slice(&part);
        }
        tracing::debug!(status = status.as_u16(), bytes = answer.len(), "API answer");
        if status.is_success() && status != StatusCode::ACCEPTED {
            Ok(answer)
        } else {
            Err(of_answer(status, retry_after.as_deref(), &answer))
        }
    }
}

#[async_trait]
impl ProvisioningApi for Client {
    async fn allocate(
        &self,
        registration_id: &str,
        request: &wire::AllocationRequest,
    ) -> Result<wire::Allocation, PairingError> {
        self.call(Method::POST, &["devices", registration_id, "allocation"], false, Some(request)).await
    }

    async fn certificate(
        &self,
        registration_id: &str,
        request: &wire::CertificateRequest,
    ) -> Result<wire::CertificateResponse, PairingError> {
        self.call(Method::POST, &["devices", registration_id, "certificate"], false, Some(request)).await
    }

    async fn symmetric_key(
        &self,
        registration_id: &str,
        request: &wire::SymmetricKeyRequest,
    ) -> Result<wire::SymmetricKeyResponse, PairingError> {
        self.call(Method::POST, &["devices", registration_id, "symmetric-key"], false, Some(request)).await
    }

    async fn owner_signature(
        &self,
        registration_id: &str,
        request: &wire::OwnerSignatureRequest,
    ) -> Result<wire::OwnerSignatureResponse, PairingError> {
        self.call(Method::POST, &["devices", registration_id, "owner-signature"], false, Some(request)).await
    }

    async fn outcome(&self, registration_id: &str, request: &wire::OutcomeRequest) -> Result<(), PairingError> {
        self.send(Method::POST, &["devices", registration_id, "outcome"], false, Some(request)).await.map(drop)
    }

    async fn device(&self, registration_id: &str, dps: bool) -> Result<wire::Device, PairingError> {
        self.call(Method::GET, &["devices", registration_id], dps, None::<&()>).await
    }
}

fn base(url: &str) -> Result<Url, PairingError> {
    let invalid = |why: &str| PairingError::with_detail(ErrorCode::ApiUrlInvalid, why);
    let url = Url::parse(url.trim()).map_err(|error| invalid(&error.to_string()))?;
    match url.scheme() {
        "https" => {}
        "http" => return Err(ErrorCode::ApiNotHttps.into()),
        _ => return Err(invalid("the scheme is not https")),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(invalid("the host is missing"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("a user name or password does not belong in it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("nothing may follow a ? or #"));
    }
    Ok(url)
}
