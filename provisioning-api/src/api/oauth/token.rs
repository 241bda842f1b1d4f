//! Codes for invites, tokens for codes, refresh tokens and approved devices, and signing out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use provisioning_api_contract::Problem;
use secrecy::ExposeSecret as _;

use crate::api::auth::Stranger;
use crate::api::oauth::form::{Body, Form};
use crate::api::oauth::wire::{
    OauthCode, OauthError, OauthInviteForm, OauthRevokeForm, OauthTokenForm, OauthTokens, Refusal,
};
use crate::app::App;
use crate::sign_in::{codes, device_flow, grants, sessions};

/// Exchanges an invite for a code, without a browser: `client_id`, `invite`, `code_challenge`, `code_challenge_method=S256`.
///
/// An app that lost the answer may ask again with the same challenge while the code would be good; anybody else finds the invite used.
#[utoipa::path(
    post,
    path = "/oauth/invite",
    tag = "sign-in",
    security(),
    request_body(content = OauthInviteForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A code for the token endpoint", body = OauthCode),
        (status = 400, description = "`invalid_grant`: used, ended, withdrawn or unknown", body = OauthError),
        (status = 401, description = "`invalid_client`", body = OauthError),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn invite(
    _: Stranger,
    State(app): State<Arc<App>>,
    Body(form): Body,
) -> Result<Json<OauthCode>, Refusal> {
    form.check_client()?;
    let challenge = challenge(&form)?;
    let code = grants::code_for_invite(&app.store, form.need("invite")?, challenge, None).await?;
    Ok(Json(OauthCode { code: code.expose_secret().to_owned(), expires_in: grants::CODE.as_secs() }))
}

/// The challenge of a request that does PKCE as we want it.
pub(super) fn challenge(form: &Form) -> Result<&str, OauthError> {
    if form.need("code_challenge_method")? != "S256" {
        return Err(OauthError::invalid_request("code_challenge_method must be S256"));
    }
    let challenge = form.need("code_challenge")?;
    if !codes::is_challenge(challenge) {
        return Err(OauthError::invalid_request("code_challenge must be 32 bytes in base64url"));
    }
    Ok(challenge)
}

/// Tokens for a code, a refresh token, or an approved device (RFC 6749, 3.2).
#[utoipa::path(
    post,
    path = "/oauth/token",
    tag = "sign-in",
    security(),
    request_body(content = OauthTokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A pair of tokens", body = OauthTokens),
        (status = 400, description = "As RFC 6749 (5.2) and RFC 8628 (3.5) say", body = OauthError),
        (status = 401, description = "`invalid_client`", body = OauthError),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn token(
    _: Stranger,
    State(app): State<Arc<App>>,
    Body(form): Body,
) -> Result<Json<OauthTokens>, Refusal> {
    form.check_client()?;
    let lifetimes = app.limits.lifetimes();
    let pair = match form.need("grant_type")? {
        "authorization_code" => {
            let (code, verifier) = (form.need("code")?, form.need("code_verifier")?);
            grants::session_for_code(&app.store, code, verifier, form.get("redirect_uri"), &lifetimes).await?
        }
        "refresh_token" => sessions::refresh(&app.store, form.need("refresh_token")?, &lifetimes).await?,
        "urn:ietf:params:oauth:grant-type:device_code" => {
            device_flow::poll(&app.store, form.need("device_code")?, &lifetimes).await?
        }
        _ => return Err(OauthError::new("unsupported_grant_type", "the metadata names the grants").into()),
    };
    Ok(Json(OauthTokens {
        access_token: pair.access.expose_secret().to_owned(),
        token_type: "Bearer",
        expires_in: pair.expires_in.as_secs(),
        refresh_token: pair.refresh.expose_secret().to_owned(),
    }))
}

/// Signs out: the session of this refresh or access token ends (RFC 7009). A token that is unknown is no error.
#[utoipa::path(
    post,
    path = "/oauth/revoke",
    tag = "sign-in",
    security(),
    request_body(content = OauthRevokeForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is not good any more"),
        (status = 400, description = "As RFC 7009 says", body = OauthError),
        (status = 401, description = "`invalid_client`", body = OauthError),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revoke(_: Stranger, State(app): State<Arc<App>>, Body(form): Body) -> Result<StatusCode, Refusal> {
    form.check_client()?;
    sessions::revoke(&app.store, form.need("token")?).await?;
    Ok(StatusCode::OK)
}
