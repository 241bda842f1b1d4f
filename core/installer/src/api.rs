//! The provisioning API's client.

mod client;
mod failure;

use async_trait::async_trait;
use provisioning_api_contract as wire;

use crate::error::PairingError;

pub(crate) use client::address;
pub use client::{Client, MAX_ANSWER};
pub(crate) use failure::asked as retry_after;
pub use failure::verdict;

/// The calls of a pairing. [`Client`] makes them over HTTPS; a test can stand in for it.
#[async_trait]
pub trait ProvisioningApi: Send + Sync {
    /// `POST /v1/devices/{registrationId}/allocation`: where does the device belong?
    async fn allocate(
        &self,
        registration_id: &str,
        request: &wire::AllocationRequest,
    ) -> Result<wire::Allocation, PairingError>;

    /// `POST /v1/devices/{registrationId}/certificate`: a certificate for the device's own key.
    async fn certificate(
        &self,
        registration_id: &str,
        request: &wire::CertificateRequest,
    ) -> Result<wire::CertificateResponse, PairingError>;

    /// `POST /v1/devices/{registrationId}/symmetric-key`: the device's own key.
    async fn symmetric_key(
        &self,
        registration_id: &str,
        request: &wire::SymmetricKeyRequest,
    ) -> Result<wire::SymmetricKeyResponse, PairingError>;

    /// `POST /v1/devices/{registrationId}/owner-signature`: the owner's word for a device that asks for it.
    async fn owner_signature(
        &self,
        registration_id: &str,
        request: &wire::OwnerSignatureRequest,
    ) -> Result<wire::OwnerSignatureResponse, PairingError>;

    /// `POST /v1/devices/{registrationId}/outcome`: how the pairing ended.
    async fn outcome(&self, registration_id: &str, request: &wire::OutcomeRequest) -> Result<(), PairingError>;

    /// `GET /v1/devices/{registrationId}`; with `dps` the API also asks DPS.
    async fn device(&self, registration_id: &str, dps: bool) -> Result<wire::Device, PairingError>;
}
