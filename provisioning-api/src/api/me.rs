//! `GET /v1/me`.

use axum::Json;
use provisioning_api_contract::{Me, Problem};

use crate::api::auth::SignedIn;
use crate::api::body::Answer;

/// Whose the token is, what it allows, and until when.
#[utoipa::path(
    get,
    path = "/v1/me",
    tag = "sign-in",
    responses(
        (status = 200, description = "The account", body = Me),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn me(SignedIn(caller): SignedIn) -> Answer<Me> {
    Ok(Json(Me {
        account_id: caller.account_id,
        name: caller.name,
        role: caller.role.to_wire(),
        tenant: caller.tenant,
        expires_at: caller.expires_at,
    }))
}
