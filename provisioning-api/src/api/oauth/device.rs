//! Sign-in for what has no browser: the two endpoints and the page of RFC 8628.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use provisioning_api_contract::Problem;
use secrecy::ExposeSecret as _;

use crate::api::ApiError;
use crate::api::auth::Stranger;
use crate::api::oauth::form::{Body, Query};
use crate::api::oauth::pages;
use crate::api::oauth::wire::{OauthApprovalForm, OauthDeviceAuthorization, OauthDeviceForm, OauthError, Refusal};
use crate::app::App;
use crate::sign_in::{SignInError, device_flow};

/// Begins the sign-in of an app that has no browser (RFC 8628, 3.1).
#[utoipa::path(
    post,
    path = "/oauth/device_authorization",
    tag = "sign-in",
    security(),
    request_body(content = OauthDeviceForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What to show and what to poll with", body = OauthDeviceAuthorization),
        (status = 400, description = "As RFC 6749 (5.2) says", body = OauthError),
        (status = 401, description = "`invalid_client`", body = OauthError),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn begin(
    _: Stranger,
    State(app): State<Arc<App>>,
    Body(form): Body,
) -> Result<Json<OauthDeviceAuthorization>, Refusal> {
    form.check_client()?;
    let begun = device_flow::begin(&app.store).await?;
    let (page, user_code) = (format!("{}/oauth/device", app.public_url), begun.user_code.expose_secret());
    Ok(Json(OauthDeviceAuthorization {
        device_code: begun.device_code.expose_secret().to_owned(),
        user_code: user_code.to_owned(),
        verification_uri_complete: format!("{page}?user_code={user_code}"),
        verification_uri: page,
        expires_in: device_flow::LIFE.as_secs(),
        interval: device_flow::PAUSE.as_secs(),
    }))
}

/// The page on which a person approves what another screen shows.
#[utoipa::path(
    get,
    path = "/oauth/device",
    tag = "sign-in",
    security(),
    params(("user_code" = Option<String>, Query, description = "What the other screen shows")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 429, description = "A page: too many requests come from this address", body = String, content_type = "text/html"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn page(stranger: Result<Stranger, ApiError>, query: Result<Query, Refusal>) -> Response {
    if let Err(error) = stranger {
        return pages::too_often(&error);
    }
    let user_code = query.as_ref().ok().and_then(|Query(form)| form.get("user_code")).unwrap_or_default();
    pages::device(user_code, None)
}

/// The page's answer.
#[utoipa::path(
    post,
    path = "/oauth/device",
    tag = "sign-in",
    security(),
    request_body(content = OauthApprovalForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A page: the other screen goes on", body = String, content_type = "text/html"),
        (status = 400, description = "A page: one of the codes is not good", body = String, content_type = "text/html"),
        (status = 403, description = "A page: the form was sent from somewhere else", body = String, content_type = "text/html"),
        (status = 429, description = "A page: too many requests come from this address", body = String, content_type = "text/html"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn approve(
    stranger: Result<Stranger, ApiError>,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Body, Refusal>,
) -> Response {
    if let Err(error) = stranger {
        return pages::too_often(&error);
    }
    if !pages::is_from_here(&headers, &app.public_url) {
        return pages::foreign_form();
    }
    let Ok(Body(form)) = body else { return pages::wrong_link("The form did not arrive whole.") };
    let user_code = form.get("user_code").unwrap_or_default();
    let Some(invite) = form.get("invite") else {
        return pages::device(user_code, Some("Enter both codes."));
    };
    match device_flow::approve(&app.store, user_code, invite).await {
        Ok(()) => pages::approved(),
        Err(SignInError::InvalidGrant) => pages::device(user_code, Some(pages::CODES_NOT_GOOD)),
        Err(error) => Refusal::from(error).into_response(),
    }
}
