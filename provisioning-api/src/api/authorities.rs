//! The device CAs: looking, rotating, removing.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use provisioning_api_contract::{AuthorityInfo, AuthorityList, Problem, ProblemCode};

use crate::api::ApiError;
use crate::api::auth::{Administrator, Auditor};
use crate::api::body::Answer;
use crate::app::App;
use crate::authorities;
use crate::tokens::Caller;

/// The CAs that sign devices' certificates, newest first. For administrators and auditors.
#[utoipa::path(
    get,
    path = "/v1/authorities",
    tag = "operation",
    responses(
        (status = 200, description = "Those that DPS still knows", body = AuthorityList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::api) async fn list(_: Auditor, State(app): State<Arc<App>>) -> Answer<AuthorityList> {
    Ok(Json(AuthorityList { authorities: authorities::list(&app).await? }))
}

/// Makes the next CA and its enrollment group at every DPS instance. Repeating it goes on with the same one. For
/// the operator's administrators.
#[utoipa::path(
    post,
    path = "/v1/authorities",
    tag = "operation",
    responses(
        (status = 200, description = "The next CA; it signs nothing yet", body = AuthorityInfo),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::api) async fn prepare(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
) -> Answer<AuthorityInfo> {
    operator(&caller)?;
    authorities::prepare(&app, &caller).await.map(Json)
}

/// From now on the next CA signs. For the operator's administrators.
#[utoipa::path(
    post,
    path = "/v1/authorities/{fingerprint}/activation",
    tag = "operation",
    params(("fingerprint" = String, Path, description = "SHA-256 of its certificate, hexadecimal")),
    responses(
        (status = 200, description = "It signs", body = AuthorityInfo),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::api) async fn activate(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    Path(fingerprint): Path<String>,
) -> Answer<AuthorityInfo> {
    operator(&caller)?;
    authorities::activate(&app, &fingerprint, &caller).await.map(Json)
}

/// Removes a CA of which no certificate is valid: its enrollment groups and its key. For the operator's
/// administrators.
#[utoipa::path(
    delete,
    path = "/v1/authorities/{fingerprint}",
    tag = "operation",
    params(("fingerprint" = String, Path, description = "SHA-256 of its certificate, hexadecimal")),
    responses(
        (status = 204, description = "DPS knows it no more"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::api) async fn remove(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    Path(fingerprint): Path<String>,
) -> Result<StatusCode, ApiError> {
    operator(&caller)?;
    authorities::remove(&app, &fingerprint, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The CA is every tenant's: one tenant's administrators do not change it.
fn operator(caller: &Caller) -> Result<(), ApiError> {
    match caller.tenant {
        None => Ok(()),
        Some(_) => Err(ApiError::new(ProblemCode::Forbidden)),
    }
}
