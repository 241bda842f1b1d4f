//! The paths of the DPS instances and of the decision over them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use provisioning_api_contract::{DryRun, DryRunRequest, Instance, InstanceChange, InstanceList, Problem};

use crate::api::ApiError;
use crate::api::auth::{Administrator, Auditor};
use crate::api::body::{Answer, JsonBody, NamePath};
use crate::app::App;
use crate::etag::Seen;
use crate::instances;

/// The DPS instances and how full they are. For administrators and auditors.
#[utoipa::path(
    get,
    path = "/v1/instances",
    tag = "operation",
    responses(
        (status = 200, description = "The instances by name", body = InstanceList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(Auditor(caller): Auditor, State(app): State<Arc<App>>) -> Answer<InstanceList> {
    Ok(Json(InstanceList { instances: instances::list(&app, &caller).await? }))
}

/// Changes an instance's state or capacity while the API runs. For administrators.
#[utoipa::path(
    patch,
    path = "/v1/instances/{name}",
    tag = "operation",
    params(
        ("name" = String, Path, description = "The instance's name here"),
        ("If-Match" = String, Header, description = "The instance's ETag as it was last read, or *"),
    ),
    request_body = InstanceChange,
    responses(
        (status = 200, description = "The instance as it is now", body = Instance),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    NamePath(name): NamePath,
    headers: HeaderMap,
    JsonBody(request): JsonBody<InstanceChange>,
) -> Answer<Instance> {
    let seen = Seen::of(&headers)?;
    instances::change(&app, &name, &seen, &request, &caller).await.map(Json)
}

/// Where a device would go, and why; nothing is reserved. For administrators and auditors.
#[utoipa::path(
    post,
    path = "/v1/allocations/dry-run",
    tag = "operation",
    request_body = DryRunRequest,
    responses(
        (status = 200, description = "What would be decided, and over what", body = DryRun),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn dry_run(
    Auditor(caller): Auditor,
    State(app): State<Arc<App>>,
    JsonBody(request): JsonBody<DryRunRequest>,
) -> Result<Json<DryRun>, ApiError> {
    instances::dry_run(&app, &request, &caller).await.map(Json)
}
