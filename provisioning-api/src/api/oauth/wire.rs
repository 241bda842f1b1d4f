//! Bodies in the form of the RFCs: snake case, unlike ours.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use provisioning_api_contract::ProblemCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::ApiError;
use crate::api::error::Verbatim;
use crate::sign_in::SignInError;

/// What `POST /oauth/invite` takes.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes; form.rs reads")]
pub(super) struct OauthInviteForm {
    /// `lowtouch`
    client_id: String,
    /// As it is in the link, or as a person types it.
    invite: String,
    /// SHA-256 of the verifier, 32 bytes in base64url.
    code_challenge: String,
    /// `S256`
    code_challenge_method: String,
}

/// What `POST /oauth/token` takes: `code` and `code_verifier`, `refresh_token`, or `device_code`, as `grant_type` says.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes; form.rs reads")]
pub(super) struct OauthTokenForm {
    /// `authorization_code`, `refresh_token` or `urn:ietf:params:oauth:grant-type:device_code`
    grant_type: String,
    /// `lowtouch`
    client_id: String,
    code: Option<String>,
    code_verifier: Option<String>,
    /// As in the authorization request, if there was one.
    redirect_uri: Option<String>,
    refresh_token: Option<String>,
    device_code: Option<String>,
}

/// What `POST /oauth/revoke` takes.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes; form.rs reads")]
pub(super) struct OauthRevokeForm {
    /// `lowtouch`
    client_id: String,
    /// A refresh token or an access token.
    token: String,
}

/// What `POST /oauth/device_authorization` takes.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes; form.rs reads")]
pub(super) struct OauthDeviceForm {
    /// `lowtouch`
    client_id: String,
}

/// What the page of `/oauth/device` sends.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes; form.rs reads")]
pub(super) struct OauthApprovalForm {
    user_code: String,
    invite: String,
}

/// What the page of `/oauth/authorize` sends: the request again, and the invite.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes; form.rs reads")]
pub(super) struct OauthAuthorizationForm {
    /// `code`
    response_type: String,
    /// `lowtouch`
    client_id: String,
    redirect_uri: String,
    state: Option<String>,
    code_challenge: String,
    /// `S256`
    code_challenge_method: String,
    invite: String,
}

/// RFC 6749, 5.1.
#[derive(Serialize, ToSchema)]
pub(super) struct OauthTokens {
    pub(super) access_token: String,
    /// `Bearer`
    pub(super) token_type: &'static str,
    /// Seconds.
    pub(super) expires_in: u64,
    /// Good once; the answer to its use has the next one.
    pub(super) refresh_token: String,
}

/// What an invite is exchanged for: the code of an ordinary token request without a redirect_uri.
#[derive(Serialize, ToSchema)]
pub(super) struct OauthCode {
    pub(super) code: String,
    /// Seconds.
    pub(super) expires_in: u64,
}

/// RFC 8628, 3.2.
#[derive(Serialize, ToSchema)]
pub(super) struct OauthDeviceAuthorization {
    pub(super) device_code: String,
    pub(super) user_code: String,
    pub(super) verification_uri: String,
    pub(super) verification_uri_complete: String,
    /// Seconds.
    pub(super) expires_in: u64,
    /// Seconds between two polls.
    pub(super) interval: u64,
}

/// RFC 6749, 5.2.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OauthError {
    /// A code of RFC 6749 (5.2), RFC 7009 (2.2.1) or RFC 8628 (3.5).
    pub(super) error: &'static str,
    /// For a person; never anything that the request carried.
    pub(super) error_description: String,
    /// RFC 6749 knows 400, and 401 for a client that is unknown.
    #[serde(skip)]
    status: u16,
}

impl OauthError {
    pub(super) fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { error, error_description: description.into(), status: 400 }
    }

    pub(super) fn invalid_request(description: &str) -> Self {
        Self::new("invalid_request", description)
    }

    pub(super) fn invalid_client() -> Self {
        Self { status: 401, ..Self::new("invalid_client", "this client is not known; the app's is lowtouch") }
    }
}

/// What these endpoints answer instead of what was asked for.
pub(super) enum Refusal {
    /// In the RFCs' form.
    Oauth(OauthError),
    /// In ours: faults and limits that the RFCs have no form for.
    Problem(ApiError),
}

impl From<OauthError> for Refusal {
    fn from(error: OauthError) -> Self {
        Self::Oauth(error)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Problem(error)
    }
}

impl From<SignInError> for Refusal {
    fn from(error: SignInError) -> Self {
        let code = match &error {
            SignInError::InvalidGrant => "invalid_grant",
            SignInError::AuthorizationPending => "authorization_pending",
            SignInError::SlowDown => "slow_down",
            SignInError::ExpiredToken => "expired_token",
            SignInError::Database(_) | SignInError::Random(_) => return Self::Problem(error.into()),
        };
        Self::Oauth(OauthError::new(code, error.to_string()))
    }
}

impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Database(error) => error.into(),
            SignInError::Random(error) => Self::internal(&error),
            // Only the OAuth endpoints can meet these, and they have their own form for them.
            other => Self::new(ProblemCode::BadRequest).detail(other.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(error) => error.into_response(),
            Self::Oauth(error) => {
                let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
                let mut response = (status, Json(error)).into_response();
                if status == StatusCode::UNAUTHORIZED {
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                response.extensions_mut().insert(Verbatim);
                response
            }
        }
    }
}
