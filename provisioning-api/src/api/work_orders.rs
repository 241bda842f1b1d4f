//! The paths of work orders.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use provisioning_api_contract::{
    NewWorkOrder, OfflineOrder, OfflineRequest, OrderState, Problem, WorkOrder, WorkOrderChange, WorkOrderList,
};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::api::ApiError;
use crate::api::auth::{Administrator, Installer, Reader};
use crate::api::body::{Answer, IdPath, JsonBody, Parameters};
use crate::app::App;
use crate::etag::Seen;
use crate::{offline, orders};

/// The longest list that is answered at once.
const MAX_LIST: u32 = 200;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct OpenParameters {
    /// True: nothing is opened, and the answer says what would be, with the slots that a schedule would give.
    #[serde(default)]
    dry_run: bool,
}

/// Opens a work order. For administrators.
#[utoipa::path(
    post,
    path = "/v1/work-orders",
    tag = "work orders",
    params(OpenParameters),
    request_body = NewWorkOrder,
    responses(
        (status = 200, description = "Dry run: it would be so, under another ID", body = WorkOrder),
        (status = 201, description = "It is open", body = WorkOrder),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn open(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    Parameters(parameters): Parameters<OpenParameters>,
    JsonBody(request): JsonBody<NewWorkOrder>,
) -> Result<(StatusCode, Json<WorkOrder>), ApiError> {
    let order = orders::open(&app, &request, &caller, parameters.dry_run).await?;
    let status = if parameters.dry_run { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(order)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// Only orders in this state.
    state: Option<OrderState>,
    /// Start after this order.
    after: Option<Uuid>,
    /// At most so many, up to 200.
    limit: Option<u32>,
}

/// An installer's own orders; for administrators and auditors all of their tenant.
#[utoipa::path(
    get,
    path = "/v1/work-orders",
    tag = "work orders",
    params(ListParameters),
    responses(
        (status = 200, description = "The orders in the order in which they were made", body = WorkOrderList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Reader(caller): Reader,
    State(app): State<Arc<App>>,
    Parameters(parameters): Parameters<ListParameters>,
) -> Answer<WorkOrderList> {
    let limit = parameters.limit.unwrap_or(MAX_LIST).min(MAX_LIST);
    let mut db = app.store.read().acquire().await?;
    let work_orders = orders::list(&mut db, &caller, parameters.after, parameters.state, limit).await?;
    Ok(Json(WorkOrderList { work_orders }))
}

/// One order with its devices.
#[utoipa::path(
    get,
    path = "/v1/work-orders/{id}",
    tag = "work orders",
    params(("id" = Uuid, Path, description = "The order")),
    responses(
        (status = 200, description = "The order", body = WorkOrder),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(Reader(caller): Reader, State(app): State<Arc<App>>, IdPath(id): IdPath) -> Answer<WorkOrder> {
    let mut db = app.store.read().acquire().await?;
    let order = orders::find(&mut db, &caller, id).await?;
    orders::with_devices(&mut db, &order).await.map(Json)
}

/// Changes an order: closes or cancels it, adds and removes devices. For administrators.
#[utoipa::path(
    patch,
    path = "/v1/work-orders/{id}",
    tag = "work orders",
    params(
        ("id" = Uuid, Path, description = "The order"),
        ("If-Match" = String, Header, description = "The order's ETag as it was last read, or *"),
    ),
    request_body = WorkOrderChange,
    responses(
        (status = 200, description = "The order as it is now", body = WorkOrder),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    IdPath(id): IdPath,
    headers: HeaderMap,
    JsonBody(request): JsonBody<WorkOrderChange>,
) -> Answer<WorkOrder> {
    let seen = Seen::of(&headers)?;
    orders::change(&app, id, &seen, &request, &caller).await.map(Json)
}

/// An open order for use where there is no network, sealed for its installer's app. For its installer only.
#[utoipa::path(
    post,
    path = "/v1/work-orders/{id}/offline",
    tag = "work orders",
    params(("id" = Uuid, Path, description = "The order")),
    request_body = OfflineRequest,
    responses(
        (status = 200, description = "What can be given ahead, and what needs the API", body = OfflineOrder),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn offline(
    Installer(caller): Installer,
    State(app): State<Arc<App>>,
    IdPath(id): IdPath,
    JsonBody(request): JsonBody<OfflineRequest>,
) -> Answer<OfflineOrder> {
    offline::download(&app, id, &request, &caller).await.map(Json)
}
