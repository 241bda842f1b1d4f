//! ETags: the version of a row, and what a caller last saw of it (RFC 9110, 8.8.3 and 13.1.1).

use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use provisioning_api_contract::ProblemCode;

use crate::api::ApiError;

/// A version as a strong ETag.
pub(crate) fn of(version: i64) -> String {
    format!("\"{version}\"")
}

/// What `If-Match` says.
#[derive(Debug, Clone)]
pub(crate) struct Seen(Vec<String>);

impl Seen {
    /// # Errors
    /// `precondition-required` when the header is missing: whoever changes something says what they saw.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let values = headers.get_all(IF_MATCH).iter().filter_map(|value| value.to_str().ok());
        let seen: Vec<_> = values.flat_map(|value| value.split(',')).map(|one| one.trim().to_owned()).collect();
        match seen.iter().any(|one| !one.is_empty()) {
            true => Ok(Self(seen)),
            false => Err(ApiError::new(ProblemCode::PreconditionRequired)),
        }
    }

    /// Whatever it is: for whoever has the database itself.
    pub(crate) fn whatever() -> Self {
        Self(vec!["*".into()])
    }

    /// # Errors
    /// `precondition-failed` when it was changed since.
    pub(crate) fn check(&self, version: i64) -> Result<(), ApiError> {
        let now = of(version);
        match self.0.iter().any(|one| one == "*" || *one == now) {
            true => Ok(()),
            false => Err(ApiError::new(ProblemCode::PreconditionFailed)),
        }
    }
}
