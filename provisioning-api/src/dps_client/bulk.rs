//! Many individual enrollments at once: for the outbox, when many devices change together.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Call, DpsClient, DpsError};

/// How many enrollments DPS takes in one bulk operation (PROTOCOLS.md).
const LARGEST_BULK: usize = 10;

/// What a bulk operation does with each of its enrollments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum BulkMode {
    Create,
    Delete,
}

/// An enrollment that a bulk operation did not do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkFailure {
    pub(crate) registration_id: String,
    /// Azure's: the first three digits are an HTTP status.
    #[serde(default)]
    pub(crate) error_code: u64,
    #[serde(default)]
    pub(crate) error_status: String,
}

impl BulkFailure {
    /// There is no such enrollment.
    pub(crate) fn is_unknown(&self) -> bool {
        self.error_code / 1000 == 404
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkAnswer {
    is_successful: bool,
    #[serde(default)]
    errors: Vec<BulkFailure>,
}

impl DpsClient {
    /// Does the same with many individual enrollments, ten in a request; those that it was not done with come back. Each
    /// stands for itself: an error of the call may leave some of them done, so whoever repeats it expects that.
    pub(crate) async fn bulk(&self, mode: BulkMode, enrollments: &[Value]) -> Result<Vec<BulkFailure>, DpsError> {
        let mut failures = Vec::new();
        for some in enrollments.chunks(LARGEST_BULK) {
            let body = Zeroizing::new(json!({ "mode": mode, "enrollments": some }).to_string().into_bytes());
            let call = Call { method: Method::POST, path: &["enrollments"], body: Some(body), ..Call::default() };
            let answer = self.call(call).await?.ok_or(DpsError::Rejected { status: 404 })?;
            let answer: BulkAnswer = serde_json::from_slice(&answer).map_err(|_| DpsError::Garbage)?;
            if answer.is_successful != answer.errors.is_empty() {
                return Err(DpsError::Garbage);
            }
            failures.extend(answer.errors);
        }
        Ok(failures)
    }
}
