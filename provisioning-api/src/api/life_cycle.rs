//! The paths of a device's life: reprovision, move, decommission, transfer, and the same with many.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use provisioning_api_contract::{
    BulkReport, BulkRequest, DecommissionRequest, DeviceChange, MoveRequest, Problem, ReprovisionRequest, Transfer,
    TransferList, TransferRequest,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::ApiError;
use crate::api::auth::{Administrator, Auditor};
use crate::api::body::{Answer, DevicePath, IdPath, JsonBody, Parameters};
use crate::app::App;
use crate::changes::{self, Change};
use crate::etag::{self, Seen};
use crate::registration_id::RegistrationId;
use crate::tokens::Caller;
use crate::transfers;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangeParameters {
    /// True: nothing is changed, and the answer says what would be.
    #[serde(default)]
    dry_run: bool,
}

type Tagged<T> = Result<([(HeaderName, String); 1], Json<T>), ApiError>;

async fn change(
    app: &App,
    caller: &Caller,
    id: &RegistrationId,
    headers: &HeaderMap,
    wanted: &Change,
    reason: &str,
    dry_run: bool,
) -> Tagged<DeviceChange> {
    let seen = Seen::of(headers)?;
    let (answer, version) = changes::change(app, caller, id, &seen, wanted, reason, dry_run).await?;
    Ok(([(header::ETAG, etag::of(version))], Json(answer)))
}

/// Says what DPS does with hub and data when the device registers again. For administrators.
#[utoipa::path(
    post,
    path = "/v1/devices/{registrationId}/reprovision",
    tag = "life cycle",
    params(
        ("registrationId" = String, Path, description = "As the device or the inventory spells it; case does not matter"),
        ("If-Match" = String, Header, description = "The device's ETag as it was last read, or *"),
        ChangeParameters,
    ),
    request_body = ReprovisionRequest,
    responses(
        (status = 200, description = "The device, and what follows", body = DeviceChange),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn reprovision(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    Parameters(parameters): Parameters<ChangeParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ReprovisionRequest>,
) -> Tagged<DeviceChange> {
    let wanted = Change::Reprovision(request.policy);
    change(&app, &caller, &id, &headers, &wanted, &request.reason, parameters.dry_run).await
}

/// Moves a device to another DPS instance; it must be paired again. For administrators.
#[utoipa::path(
    post,
    path = "/v1/devices/{registrationId}/move",
    tag = "life cycle",
    params(
        ("registrationId" = String, Path, description = "As the device or the inventory spells it; case does not matter"),
        ("If-Match" = String, Header, description = "The device's ETag as it was last read, or *"),
        ChangeParameters,
    ),
    request_body = MoveRequest,
    responses(
        (status = 200, description = "The device, and what follows", body = DeviceChange),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn move_device(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    Parameters(parameters): Parameters<ChangeParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<MoveRequest>,
) -> Tagged<DeviceChange> {
    let wanted = Change::Move(request.dps_instance);
    change(&app, &caller, &id, &headers, &wanted, &request.reason, parameters.dry_run).await
}

/// Takes a device out of service: DPS refuses it from then on. For administrators.
#[utoipa::path(
    post,
    path = "/v1/devices/{registrationId}/decommission",
    tag = "life cycle",
    params(
        ("registrationId" = String, Path, description = "As the device or the inventory spells it; case does not matter"),
        ("If-Match" = String, Header, description = "The device's ETag as it was last read, or *"),
        ChangeParameters,
    ),
    request_body = DecommissionRequest,
    responses(
        (status = 200, description = "The device, and what follows", body = DeviceChange),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn decommission(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    Parameters(parameters): Parameters<ChangeParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<DecommissionRequest>,
) -> Tagged<DeviceChange> {
    change(&app, &caller, &id, &headers, &Change::Decommission, &request.reason, parameters.dry_run).await
}

/// One change for many devices, as many as a dry run counted. For administrators.
#[utoipa::path(
    post,
    path = "/v1/bulk-changes",
    tag = "life cycle",
    params(ChangeParameters),
    request_body = BulkRequest,
    responses(
        (status = 200, description = "What was done, and what is left", body = BulkReport),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn bulk(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    Parameters(parameters): Parameters<ChangeParameters>,
    JsonBody(request): JsonBody<BulkRequest>,
) -> Answer<BulkReport> {
    changes::bulk(&app, &caller, &request, parameters.dry_run).await.map(Json)
}

/// Offers a device to another tenant. For administrators.
#[utoipa::path(
    post,
    path = "/v1/devices/{registrationId}/transfer",
    tag = "life cycle",
    params(
        ("registrationId" = String, Path, description = "As the device or the inventory spells it; case does not matter"),
        ("If-Match" = String, Header, description = "The device's ETag as it was last read, or *"),
    ),
    request_body = TransferRequest,
    responses(
        (status = 201, description = "The offer", body = Transfer),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn offer(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    headers: HeaderMap,
    JsonBody(request): JsonBody<TransferRequest>,
) -> Result<(StatusCode, Json<Transfer>), ApiError> {
    let seen = Seen::of(&headers)?;
    let transfer = transfers::offer(&app, &caller, &id, &seen, &request).await?;
    Ok((StatusCode::CREATED, Json(transfer)))
}

/// The open offers from and to the caller's tenant. For administrators and auditors.
#[utoipa::path(
    get,
    path = "/v1/transfers",
    tag = "life cycle",
    responses(
        (status = 200, description = "The offers, oldest first", body = TransferList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn transfers(Auditor(caller): Auditor, State(app): State<Arc<App>>) -> Answer<TransferList> {
    let mut db = app.store.read().acquire().await?;
    Ok(Json(TransferList { transfers: transfers::list(&mut db, &caller).await? }))
}

/// Takes an offered device over. For administrators of the tenant that it is offered to.
#[utoipa::path(
    post,
    path = "/v1/transfers/{transferId}/accept",
    tag = "life cycle",
    params(("transferId" = Uuid, Path, description = "The offer"), ChangeParameters),
    responses(
        (status = 200, description = "The device, which is the caller's tenant's from now on, and what follows", body = DeviceChange),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn accept(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    IdPath(id): IdPath,
    Parameters(parameters): Parameters<ChangeParameters>,
) -> Answer<DeviceChange> {
    let (_, change) = transfers::answer(&app, &caller, id, transfers::Answer::Accept, parameters.dry_run).await?;
    change.map(Json).ok_or_else(|| ApiError::internal(&std::io::Error::other("an acceptance without a change")))
}

/// Does not want an offered device. For administrators of the tenant that it is offered to.
#[utoipa::path(
    post,
    path = "/v1/transfers/{transferId}/decline",
    tag = "life cycle",
    params(("transferId" = Uuid, Path, description = "The offer")),
    responses(
        (status = 200, description = "The offer, which is over", body = Transfer),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn decline(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    IdPath(id): IdPath,
) -> Answer<Transfer> {
    let (transfer, _) = transfers::answer(&app, &caller, id, transfers::Answer::Decline, false).await?;
    Ok(Json(transfer))
}

/// Takes an offer back. For administrators of the tenant that made it.
#[utoipa::path(
    post,
    path = "/v1/transfers/{transferId}/withdraw",
    tag = "life cycle",
    params(("transferId" = Uuid, Path, description = "The offer")),
    responses(
        (status = 200, description = "The offer, which is over", body = Transfer),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn withdraw(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    IdPath(id): IdPath,
) -> Answer<Transfer> {
    let (transfer, _) = transfers::answer(&app, &caller, id, transfers::Answer::Withdraw, false).await?;
    Ok(Json(transfer))
}
