//! The HTTP side: routes, who may, and errors as problem details.

mod allocations;
mod auth;
mod authorities;
mod body;
mod docs;
mod error;
mod events;
mod handlers;
mod imports;
mod invites;
mod life_cycle;
mod me;
mod oauth;
mod openapi;
mod work_orders;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, patch, post};
use futures::FutureExt as _;
use provisioning_api_contract::ProblemCode;
use uuid::Uuid;

pub(crate) use error::ApiError;
pub(crate) use openapi::description;

use crate::app::App;

/// A certificate request with an RSA key of 8192 bits has 3 kB in base64; nothing else is longer.
const MAX_BODY: usize = 64 * 1024;

/// Whose uploads have their own bounds.
const IMPORTS: &str = "/v1/imports";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(handlers::health))
        .route("/v1/openapi.json", get(openapi::serve))
        .route("/v1/instances", get(allocations::list))
        .route("/v1/instances/{name}", patch(allocations::change))
        .route("/v1/allocations/dry-run", post(allocations::dry_run))
        .route("/v1/work-orders", get(work_orders::list).post(work_orders::open))
        .route("/v1/work-orders/{id}", get(work_orders::one).patch(work_orders::change))
        .route("/v1/work-orders/{id}/offline", post(work_orders::offline))
        .route("/v1/devices/{registration_id}", get(handlers::device).put(handlers::put_device))
        .route("/v1/devices/{registration_id}/allocation", post(handlers::allocation))
        .route("/v1/devices/{registration_id}/certificate", post(handlers::certificate))
        .route("/v1/devices/{registration_id}/certificate/renewal", post(handlers::renewal))
        .route("/v1/devices/{registration_id}/symmetric-key", post(handlers::symmetric_key))
        .route("/v1/devices/{registration_id}/owner-signature", post(handlers::owner_signature))
        .route("/v1/devices/{registration_id}/outcome", post(handlers::outcome))
        .route("/v1/devices/{registration_id}/reprovision", post(life_cycle::reprovision))
        .route("/v1/devices/{registration_id}/move", post(life_cycle::move_device))
        .route("/v1/devices/{registration_id}/decommission", post(life_cycle::decommission))
        .route("/v1/devices/{registration_id}/transfer", post(life_cycle::offer))
        .route("/v1/devices/{registration_id}/events", get(events::of_device))
        .route("/v1/bulk-changes", post(life_cycle::bulk))
        .route("/v1/transfers", get(life_cycle::transfers))
        .route("/v1/transfers/{transfer_id}/accept", post(life_cycle::accept))
        .route("/v1/transfers/{transfer_id}/decline", post(life_cycle::decline))
        .route("/v1/transfers/{transfer_id}/withdraw", post(life_cycle::withdraw))
        .route("/v1/events", get(events::list))
        .route(IMPORTS, post(imports::import))
        .route("/v1/imports/{import_id}", get(imports::one))
        .route("/v1/imports/{import_id}/problems", get(imports::list_problems))
        .route("/v1/authorities", get(authorities::list).post(authorities::prepare))
        .route("/v1/authorities/{fingerprint}", delete(authorities::remove))
        .route("/v1/authorities/{fingerprint}/activation", post(authorities::activate))
        .route("/v1/me", get(me::me))
        .route("/v1/invites", get(invites::list).post(invites::make))
        .route("/v1/invites/{invite_id}", delete(invites::withdraw))
        .merge(docs::routes())
        .merge(oauth::routes())
        .fallback(async || ApiError::new(ProblemCode::NotFound))
        .method_not_allowed_fallback(async || ApiError::new(ProblemCode::MethodNotAllowed))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(app.clone(), around))
        .with_state(app)
}

/// Around every request: an ID, a deadline, one line in the log, and every error as a problem.
async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let request_id = Uuid::new_v4();
    let method = request.method().clone();
    // The pattern, not the path: a path may carry anything.
    let path =
        request.extensions().get::<MatchedPath>().map_or("(no such path)".to_owned(), |path| path.as_str().to_owned());
    let longest = if path == IMPORTS { app.limits.import_timeout } else { app.limits.request_timeout };
    let started = Instant::now();
    // Nothing is shared that a panic could leave half-changed: transactions roll back, and locks are released.
    let work = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match tokio::time::timeout(longest, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => ApiError::new(ProblemCode::Internal).into_response(),
        Err(_elapsed) => ApiError::new(ProblemCode::Internal).detail("the request took too long").into_response(),
    };
    let mut response = error::render(response, request_id, &app.public_url);
    let status = response.status().as_u16();
    tracing::info!(%request_id, %method, path, status, milliseconds = started.elapsed().as_millis() as u64, "request");
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
