//! One function a path: who may, what is asked, and what is answered. The work is done elsewhere.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use provisioning_api_contract::{
    Allocation, AllocationRequest, CertificateRenewalRequest, CertificateRequest, CertificateResponse, Device,
    DeviceRequest, DpsRegistration, OutcomeRequest, OwnerSignatureRequest, OwnerSignatureResponse, Problem,
    ProblemCode, SymmetricKeyRequest, SymmetricKeyResponse,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::ApiError;
use crate::api::auth::{Administrator, Installer, InstallerOrItself, Itself, ReaderOrItself};
use crate::api::body::{Answer, DevicePath, JsonBody, Parameters};
use crate::app::App;
use crate::etag::{self, Seen};
use crate::{devices, instances, outbox, owner, pairing, renewal};

/// A device can do three attestations; a longer list is a mistake.
const MAX_ATTESTATIONS: usize = 8;

/// Whether the API answers and its database does.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    security(),
    responses(
        (status = 204, description = "Both do"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn health(State(app): State<Arc<App>>) -> Result<StatusCode, ApiError> {
    sqlx::query("SELECT 1").execute(app.store.read()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which DPS instance a device belongs to. The same device gets the same answer.
#[utoipa::path(
    post,
    path = "/v1/devices/{registrationId}/allocation",
    tag = "pairing",
    params(("registrationId" = String, Path, description = "As the device or the inventory spells it; case does not matter")),
    request_body = AllocationRequest,
    responses(
        (status = 200, description = "The device's instance; its enrollment exists there", body = Allocation),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn allocation(
    InstallerOrItself(caller): InstallerOrItself,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    JsonBody(request): JsonBody<AllocationRequest>,
) -> Answer<Allocation> {
    if request.attestations.is_empty() || request.attestations.len() > MAX_ATTESTATIONS {
        return Err(ApiError::new(ProblemCode::BadRequest).detail("attestations must name 1 to 8"));
    }
    pairing::allocate(&app, &id, &request, &caller).await.map(Json)
}

/// Signs the device's certificate request.
#[utoipa::path(
    post,
    path = "/v1/devices/{registrationId}/certificate",
    tag = "pairing",
    params(("registrationId" = String, Path, description = "As the device or the inventory spells it; case does not matter")),
    request_body = CertificateRequest,
    responses(
        (status = 200, description = "The certificate and what stands above it", body = CertificateResponse),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn certificate(
    Installer(caller): Installer,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    JsonBody(request): JsonBody<CertificateRequest>,
) -> Answer<CertificateResponse> {
    pairing::certify(&app, &id, request.handoff_id, &request.csr, &caller).await.map(Json)
}

/// Renews the certificate that the device shows in TLS, one of this API's device CA. The same certificate and key get the same
/// answer again; the old one stays good until it ends.
#[utoipa::path(
    post,
    path = "/v1/devices/{registrationId}/certificate/renewal",
    tag = "device",
    params(("registrationId" = String, Path, description = "The one in the certificate; case does not matter")),
    request_body = CertificateRenewalRequest,
    security(("deviceCertificate" = [])),
    responses(
        (status = 200, description = "The certificate and what stands above it", body = CertificateResponse),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn renewal(
    Itself(caller, certificate): Itself,
    State(app): State<Arc<App>>,
    JsonBody(request): JsonBody<CertificateRenewalRequest>,
) -> Answer<CertificateResponse> {
    renewal::renew(&app, &caller, &certificate, &request.csr).await.map(Json)
}

/// Derives the device's own symmetric key.
#[utoipa::path(
    post,
    path = "/v1/devices/{registrationId}/symmetric-key",
    tag = "pairing",
    params(("registrationId" = String, Path, description = "As the device or the inventory spells it; case does not matter")),
    request_body = SymmetricKeyRequest,
    responses(
        (status = 200, description = "The device's own key", body = SymmetricKeyResponse),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn symmetric_key(
    Installer(caller): Installer,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    JsonBody(request): JsonBody<SymmetricKeyRequest>,
) -> Answer<SymmetricKeyResponse> {
    pairing::derive_key(&app, &id, request.handoff_id, &caller).await.map(Json)
}

/// Signs, as the owner, what an owned device asks a signature for.
#[utoipa::path(
    post,
    path = "/v1/devices/{registrationId}/owner-signature",
    tag = "pairing",
    params(("registrationId" = String, Path, description = "As the device or the inventory spells it; case does not matter")),
    request_body = OwnerSignatureRequest,
    responses(
        (status = 200, description = "The owner's signature, good for a short time and one session", body = OwnerSignatureResponse),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn owner_signature(
    Installer(caller): Installer,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    JsonBody(request): JsonBody<OwnerSignatureRequest>,
) -> Answer<OwnerSignatureResponse> {
    owner::sign(&app, &id, &request, &caller).await.map(Json)
}

/// Keeps how a pairing ended, as the device said it. Repeating it changes nothing.
#[utoipa::path(
    post,
    path = "/v1/devices/{registrationId}/outcome",
    tag = "pairing",
    params(("registrationId" = String, Path, description = "As the device or the inventory spells it; case does not matter")),
    request_body = OutcomeRequest,
    responses(
        (status = 204, description = "It is kept"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn outcome(
    Installer(caller): Installer,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    JsonBody(request): JsonBody<OutcomeRequest>,
) -> Result<StatusCode, ApiError> {
    pairing::record_outcome(&app, &id, &request, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeviceParameters {
    /// Whether to ask the DPS instance for the registration as well.
    #[serde(default)]
    dps: bool,
}

/// Where a device stands.
#[utoipa::path(
    get,
    path = "/v1/devices/{registrationId}",
    tag = "inventory",
    params(
        ("registrationId" = String, Path, description = "As the device or the inventory spells it; case does not matter"),
        DeviceParameters,
    ),
    responses(
        (status = 200, description = "The device", body = Device),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn device(
    ReaderOrItself(caller): ReaderOrItself,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    Parameters(parameters): Parameters<DeviceParameters>,
) -> Result<([(HeaderName, String); 1], Json<Device>), ApiError> {
    let mut db = app.store.read().acquire().await?;
    let record = devices::find(&mut db, &caller, &id).await?;
    let pending = outbox::pending(&mut db, &record.key()).await?;
    // A slow DPS must not keep a connection of the database.
    drop(db);
    let mut device = Device { pending, ..record.to_device() };
    if let (true, Some(name)) = (parameters.dps, &device.dps_instance) {
        let instance = pairing::instance(&app, name)?;
        let never =
            || DpsRegistration { status: "unassigned".into(), assigned_hub: None, device_id: None, last_updated: None };
        device.dps = Some(instance.dps.registration(&record.registration_id).await?.unwrap_or_else(never));
    }
    Ok(([(header::ETAG, etag::of(record.version))], Json(device)))
}

/// Puts a device into the inventory, or changes what is asked of it there. For administrators.
///
/// A change by which the device loses its place at a DPS instance, or the instance or attestation that it was pinned to, needs
/// `If-Match` (428 without it) and a `reason`, as all changes of a device's life do.
#[utoipa::path(
    put,
    path = "/v1/devices/{registrationId}",
    tag = "inventory",
    params(
        ("registrationId" = String, Path, description = "Kept as it is spelled the first time"),
        ("If-Match" = Option<String>, Header, description = "The device's ETag as it was last read, or `*`; needed where the device loses its place, or what it was pinned to, else absent: whatever it is"),
    ),
    request_body = DeviceRequest,
    responses(
        (status = 200, description = "It was there and is changed", body = Device),
        (status = 201, description = "It is new", body = Device),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put_device(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    headers: HeaderMap,
    JsonBody(request): JsonBody<DeviceRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Device>), ApiError> {
    let seen = headers.contains_key(header::IF_MATCH).then(|| Seen::of(&headers)).transpose()?;
    if request.dps_instance.as_ref().is_some_and(|name| !instances::knows_name(&app, &caller, name)) {
        return Err(ApiError::new(ProblemCode::BadRequest).detail("there is no DPS instance of that name"));
    }
    if request.model.as_ref().is_some_and(|model| model.len() > 128) {
        return Err(ApiError::new(ProblemCode::BadRequest).detail("a model has at most 128 bytes"));
    }
    let is_new = devices::put(&app.store, &id, &request, &caller, seen.as_ref()).await?;
    let mut db = app.store.read().acquire().await?;
    let device = devices::find(&mut db, &caller, &id).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, [(header::ETAG, etag::of(device.version))], Json(device.to_device())))
}
