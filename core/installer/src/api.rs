//! The provisioning API's client.

use provisioning_api_contract as wire;
use secrecy::SecretString;
use url::Url;

use crate::error::{ErrorCode, PairingError};

/// Talks to one provisioning API with one token. Cheap to clone. Retries live in [`crate::retry`].
#[derive(Clone)]
pub struct Client {
    #[allow(dead_code)]
    url: Url,
}

impl Client {
    /// Prepares a client; connects to nothing.
    ///
    /// # Errors
    /// `api-url-invalid`, `api-not-https`, `api-token-missing`, `api-ca-invalid`.
    pub fn new(url: &str, _token: Option<SecretString>, _extra_ca_pem: Option<&str>) -> Result<Client, PairingError> {
        let url = Url::parse(url).map_err(|error| PairingError::with_detail(ErrorCode::ApiUrlInvalid, error.to_string()))?;
        Ok(Client { url })
    }

    /// `POST /v1/devices/{registrationId}/allocation`.
    ///
    /// # Errors
    /// By status and problem code; see [`ErrorCode`].
    pub async fn allocate(&self, _registration_id: &str, _request: &wire::AllocationRequest) -> Result<wire::Allocation, PairingError> {
        Err(ErrorCode::Internal.into())
    }

    /// `GET /v1/devices/{registrationId}`, with `dps` also asking DPS.
    ///
    /// # Errors
    /// By status and problem code; see [`ErrorCode`].
    pub async fn device(&self, _registration_id: &str, _dps: bool) -> Result<wire::Device, PairingError> {
        Err(ErrorCode::Internal.into())
    }

    /// `GET /v1/instances`.
    ///
    /// # Errors
    /// By status and problem code; see [`ErrorCode`].
    pub async fn instances(&self) -> Result<wire::InstanceList, PairingError> {
        Err(ErrorCode::Internal.into())
    }
}
