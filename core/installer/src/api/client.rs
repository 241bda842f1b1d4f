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
use crate::error::{ErrorCode, MissingRole, PairingError};
use crate::net::{Net, NetSettings, captive_portal, of_reqwest};
use crate::sign_in::TokenSource;

/// Longest answer that is read, in bytes. The longest real one, a downloaded work order of
/// 1,000 devices, has three megabytes.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Talks to one provisioning API as one caller, over HTTPS only. Makes every call once: retries live in
/// [`crate::retry`]. Only where a token is refused, the call is made once more with a renewed one. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    net: Net,
    base: Url,
    caller: Caller,
}

#[derive(Clone)]
enum Caller {
    /// A token from a file or the environment: nobody can renew it.
    Token(SecretString),
    /// Somebody who signed in.
    Account(TokenSource),
}

impl Client {
    /// Prepares a client; connects to nothing.
    ///
    /// # Errors
    /// `api-url-invalid`, `api-not-https`, `api-token-missing`.
    pub fn new(url: &str, token: Option<SecretString>, net: Net) -> Result<Client, PairingError> {
        let base = address(url)?;
        let token = token.filter(|token| !token.expose_secret().trim().is_empty()).ok_or(ErrorCode::ApiTokenMissing)?;
        Ok(Client { net, base, caller: Caller::Token(token) })
    }

    /// For an account that is signed in; its server and network settings are the account's.
    pub fn signed_in(tokens: TokenSource) -> Client {
        Client { net: tokens.net().clone(), base: tokens.account().server.clone(), caller: Caller::Account(tokens) }
    }

    /// `GET /v1/me`: who the caller is.
    ///
    /// # Errors
    /// By status and problem code.
    pub async fn me(&self) -> Result<wire::Me, PairingError> {
        self.call(Method::GET, &["me"], false, None::<&()>).await
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

    /// `GET /v1/work-orders`: the caller's own, the newest last.
    ///
    /// # Errors
    /// By status and problem code.
    pub async fn work_orders(&self) -> Result<wire::WorkOrderList, PairingError> {
        self.call(Method::GET, &["work-orders"], false, None::<&()>).await
    }

    /// `GET /v1/work-orders/{id}`: one with its devices.
    ///
    /// # Errors
    /// By status and problem code.
    pub async fn work_order(&self, id: Uuid) -> Result<wire::WorkOrder, PairingError> {
        self.call(Method::GET, &["work-orders", &id.to_string()], false, None::<&()>).await
    }

    /// `POST /v1/work-orders/{id}/offline`: what of it can be given ahead.
    ///
    /// # Errors
    /// By status and problem code.
    pub async fn offline_order(
        &self,
        id: Uuid,
        request: &wire::OfflineRequest,
    ) -> Result<wire::OfflineOrder, PairingError> {
        self.call(Method::POST, &["work-orders", &id.to_string(), "offline"], false, Some(request)).await
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
        let needs = if method == Method::PUT { "administrator" } else { "installer" };
        let body = match body {
            Some(body) => Some(Zeroizing::new(
                serde_json::to_vec(body)
                    .map_err(|error| PairingError::with_detail(ErrorCode::Internal, error.to_string()))?,
            )),
            None => None,
        };
        let tokens = match &self.caller {
            Caller::Token(token) => return self.once(method, &url, token, body.as_deref()).await,
            Caller::Account(tokens) => tokens,
        };
        let token = tokens.token().await?;
        let answer = match self.once(method.clone(), &url, &token, body.as_deref()).await {
            // Ended or revoked before its time by our count. A second refusal is the API's last word.
            Err(error) if error.code == ErrorCode::ApiUnauthenticated => {
                let token = tokens.instead_of(&token).await?;
                self.once(method, &url, &token, body.as_deref()).await
            }
            answer => answer,
        };
        answer.map_err(|mut error| {
            if error.code == ErrorCode::ApiForbidden {
                let account = tokens.account();
                let has = serde_json::to_value(account.role).ok();
                error.missing_role = Some(Box::new(MissingRole {
                    person: account.person.clone(),
                    has: has.as_ref().and_then(|role| role.as_str()).unwrap_or_default().to_owned(),
                    needs: needs.to_owned(),
                }));
            }
            error
        })
    }

    async fn once(
        &self,
        method: Method,
        url: &Url,
        token: &SecretString,
        body: Option<&Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, PairingError> {
        tracing::debug!(%method, path = url.path(), "API call");
        let mut request = self
            .net
            .client()
            .request(method, url.clone())
            .bearer_auth(token.expose_secret())
            .header("accept", "application/json, application/problem+json")
            .header("x-request-id", Uuid::new_v4().to_string());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let mut response = request.send().await.map_err(of_reqwest)?;
        let status = response.status();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (retry_after, content_type) = (header("retry-after"), header("content-type"));
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
        if captive_portal(status, content_type.as_deref(), &answer) {
            return Err(ErrorCode::CaptivePortal.into());
        }
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

/// The address of a provisioning API, if it can be one.
pub(crate) fn address(url: &str) -> Result<Url, PairingError> {
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
