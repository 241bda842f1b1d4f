//! Errors on their way out: from what happened to a problem with a stable code.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use provisioning_api_contract::{Problem, ProblemCode};
use uuid::Uuid;

use crate::authority::AuthorityError;
use crate::dps_client::DpsError;
use crate::enrollments::EnrollmentError;
use crate::store::{is_bad_text, is_busy};
use crate::vault::VaultError;

/// What a handler answers when it does not do what was asked.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    code: ProblemCode,
    detail: Option<String>,
    retry_after: Option<Duration>,
    /// For our own log only.
    cause: Option<String>,
    /// Whether a token was shown, which was not valid (RFC 6750, 3.1).
    invalid_token: bool,
}

/// Marks a response that is in its right form already, whatever its status.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verbatim;

impl ApiError {
    pub(crate) fn new(code: ProblemCode) -> Self {
        Self { code, detail: None, retry_after: None, cause: None, invalid_token: false }
    }

    pub(crate) fn code(&self) -> ProblemCode {
        self.code
    }

    /// For whoever asks in the same process: what happened.
    pub(crate) fn words(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}: {detail}", title(self.code)),
            None => title(self.code).to_owned(),
        }
    }

    /// Words for this time; never anything that the request carried.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// How long whoever asked is to wait.
    pub(crate) fn waits(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(crate) fn invalid_token(mut self) -> Self {
        self.invalid_token = true;
        self
    }

    pub(crate) fn internal(cause: &dyn std::error::Error) -> Self {
        let mut text = cause.to_string();
        let mut next = cause.source();
        while let Some(error) = next {
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        Self { cause: Some(text), ..Self::new(ProblemCode::Internal) }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        if is_busy(&error) {
            return Self::new(ProblemCode::Throttled)
                .detail("the database is busy")
                .retry_after(Some(Duration::from_secs(1)));
        }
        if is_bad_text(&error) {
            return Self::new(ProblemCode::BadRequest).detail("a text has a character that cannot be kept: NUL");
        }
        Self::internal(&error)
    }
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Database(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

impl From<DpsError> for ApiError {
    fn from(error: DpsError) -> Self {
        let after = error.retry_after();
        let cause = Self::internal(&error).cause;
        Self { cause, ..Self::new(ProblemCode::DpsUnavailable).detail(error.to_string()).retry_after(after) }
    }
}

impl From<EnrollmentError> for ApiError {
    fn from(error: EnrollmentError) -> Self {
        match error {
            EnrollmentError::Dps(error) => error.into(),
            EnrollmentError::Vault(error) => error.into(),
            EnrollmentError::Database(error) => error.into(),
            EnrollmentError::OtherTpm => Self::new(ProblemCode::AttestationMismatch).detail(error.to_string()),
            EnrollmentError::Disabled(_) => Self::new(ProblemCode::DpsUnavailable).detail(error.to_string()),
            EnrollmentError::Authority(AuthorityError::Database(error)) => error.into(),
            EnrollmentError::Authority(_) | EnrollmentError::Attestation => Self::internal(&error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = status(self.code).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Makes a problem of every error: of our own ones and of those that the framework answers by itself.
///
/// `public_url` is where a client without a token reads how to get one (RFC 9728, 5.1).
pub(super) fn render(mut response: Response, request_id: Uuid, public_url: &str) -> Response {
    if response.extensions().get::<Verbatim>().is_some() {
        return response;
    }
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error,
        None if response.status().is_client_error() || response.status().is_server_error() => {
            ApiError::new(code(response.status()))
        }
        None => return response,
    };
    let status = status(error.code);
    if let Some(cause) = &error.cause {
        tracing::error!(%request_id, cause, "a request failed");
    }
    let problem = Problem {
        kind: "about:blank".into(),
        status: status.as_u16(),
        title: title(error.code).into(),
        detail: error.detail,
        code: error.code,
        request_id,
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let allow = response.headers_mut().remove(header::ALLOW);
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(allow) = allow {
        headers.insert(header::ALLOW, allow);
    }
    if let Some(after) = error.retry_after {
        // Rounded up: early is of no use.
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1000).max(1) as u64));
    }
    if error.code == ProblemCode::Unauthenticated {
        let invalid = if error.invalid_token { "error=\"invalid_token\", " } else { "" };
        let metadata = format!("{public_url}/.well-known/oauth-protected-resource");
        if let Ok(challenge) = HeaderValue::from_str(&format!("Bearer {invalid}resource_metadata=\"{metadata}\"")) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
    answer
}

fn status(code: ProblemCode) -> StatusCode {
    match code {
        ProblemCode::BadRequest => StatusCode::BAD_REQUEST,
        ProblemCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ProblemCode::Forbidden => StatusCode::FORBIDDEN,
        ProblemCode::DeviceUnknown
        | ProblemCode::OrderUnknown
        | ProblemCode::ImportUnknown
        | ProblemCode::TransferUnknown
        | ProblemCode::NotFound => StatusCode::NOT_FOUND,
        ProblemCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ProblemCode::HandoffConflict
        | ProblemCode::NotAllocated
        | ProblemCode::AttestationMismatch
        | ProblemCode::AuthorityInUse => StatusCode::CONFLICT,
        ProblemCode::OrderNotOpen
        | ProblemCode::ImportConflict
        | ProblemCode::TransferEnded
        | ProblemCode::LifecycleConflict => StatusCode::CONFLICT,
        ProblemCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ProblemCode::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
        ProblemCode::CsrRejected => StatusCode::UNPROCESSABLE_ENTITY,
        ProblemCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ProblemCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ProblemCode::Throttled => StatusCode::TOO_MANY_REQUESTS,
        // A matter of how things stand, not a fault: only an administrator changes it.
        ProblemCode::NoInstance => StatusCode::CONFLICT,
        ProblemCode::IssuerUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        ProblemCode::DpsUnavailable => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The same words for the same code.
fn title(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::BadRequest => "The request is malformed",
        ProblemCode::Unauthenticated => "There is no valid token",
        ProblemCode::Forbidden => "The token's role does not allow this",
        ProblemCode::DeviceUnknown => "This device is not expected here",
        ProblemCode::OrderUnknown => "There is no such work order",
        ProblemCode::OrderNotOpen => "The work order is not open for this",
        ProblemCode::PreconditionFailed => "It was changed since it was read",
        ProblemCode::PreconditionRequired => "If-Match must say what was read",
        ProblemCode::ImportUnknown => "There is no such import",
        ProblemCode::ImportConflict => "The import ID is another file's or upload's",
        ProblemCode::TransferUnknown => "There is no such offer",
        ProblemCode::TransferEnded => "The offer is over",
        ProblemCode::LifecycleConflict => "This cannot be done with the device now",
        ProblemCode::NotFound => "There is no such path",
        ProblemCode::MethodNotAllowed => "The path knows other methods",
        ProblemCode::HandoffConflict => "The device is being paired by another",
        ProblemCode::NotAllocated => "The device has no such allocation",
        ProblemCode::AttestationMismatch => "No attestation that the device can do is allowed for it",
        ProblemCode::AuthorityInUse => "The device CA is in use",
        ProblemCode::CsrRejected => "The certificate request is not acceptable",
        ProblemCode::TooLarge => "The body is too large",
        ProblemCode::UnsupportedMediaType => "The body must be JSON",
        ProblemCode::Throttled => "Too many requests",
        ProblemCode::IssuerUnavailable => "The token's issuer cannot be asked for its keys now",
        ProblemCode::NoInstance => "No DPS instance can take this device now",
        ProblemCode::DpsUnavailable => "The DPS instance did not do what was asked",
        _ => "The API has a fault",
    }
}

/// The code for an answer that the framework gave by itself.
fn code(status: StatusCode) -> ProblemCode {
    match status {
        StatusCode::NOT_FOUND => ProblemCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ProblemCode::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemCode::UnsupportedMediaType,
        status if status.is_client_error() => ProblemCode::BadRequest,
        _ => ProblemCode::Internal,
    }
}
