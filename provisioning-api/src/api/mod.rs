//! The HTTP side: routes, who may, and errors as problem details.

mod auth;
mod body;
mod error;
mod handlers;
mod openapi;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures::FutureExt as _;
use provisioning_api_contract::ProblemCode;
use uuid::Uuid;

pub(crate) use error::ApiError;
pub(crate) use openapi::description;

use crate::app::App;

/// A certificate request with an RSA key of 8192 bits has 3 kB in base64; nothing else is longer.
const MAX_BODY: usize = 64 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(handlers::health))
        .route("/v1/openapi.json", get(openapi::serve))
        .route("/v1/instances", get(handlers::instances))
        .route("/v1/devices/{registration_id}", get(handlers::device).put(handlers::put_device))
        .route("/v1/devices/{registration_id}/allocation", post(handlers::allocation))
        .route("/v1/devices/{registration_id}/certificate", post(handlers::certificate))
        .route("/v1/devices/{registration_id}/symmetric-key", post(handlers::symmetric_key))
        .route("/v1/devices/{registration_id}/owner-signature", post(handlers::owner_signature))
        .route("/v1/devices/{registration_id}/outcome", post(handlers::outcome))
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
    let started = Instant::now();
    // Nothing is shared that a panic could leave half-changed: transactions roll back, and locks are released.
    let work = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match tokio::time::timeout(app.limits.request_timeout, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => ApiError::new(ProblemCode::Internal).into_response(),
        Err(_elapsed) => ApiError::new(ProblemCode::Internal).detail("the request took too long").into_response(),
    };
    let mut response = error::render(response, request_id);
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
