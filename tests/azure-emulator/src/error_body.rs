//! Errors as Azure words them: `{errorCode, trackingId, message, timestampUtc}`.
//!
//! The first three digits of a code are the HTTP status. Codes seen from the real service: 401002 `Unauthorized` and
//! `Invalid certificate.`, 404201, 409203 `Precondition failed.`, and the other shape of [`AzureError::unknown_api_version`].
//! The others keep to that pattern; clients should decide by the HTTP status.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// One refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AzureError {
    pub(crate) status: StatusCode,
    pub(crate) code: u32,
    pub(crate) message: String,
    /// Whole seconds, for the header `Retry-After`.
    pub(crate) retry_after: Option<u64>,
    uri: Option<String>,
    /// A key for the TPM that asked, in base64.
    authentication_key: Option<String>,
}

impl AzureError {
    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None, uri: None, authentication_key: None }
    }

    /// No credential, or not the right one.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 401_002, "Unauthorized")
    }

    /// A TPM has not proven itself yet: with this key, of which only it can make use, it does.
    pub(crate) fn tpm_challenge(blob: &[u8]) -> Self {
        Self { authentication_key: Some(STANDARD.encode(blob)), ..Self::unauthorized() }
    }

    /// A client certificate that is not valid now, not for this registration ID, or not under the enrollment's certificate.
    pub(crate) fn invalid_certificate() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 401_002, "Invalid certificate.")
    }

    /// The body or a parameter is malformed; the text says what.
    pub(crate) fn bad_request(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 400_004, what)
    }

    /// Azure words this one in the way of IoT Hub.
    pub(crate) fn unknown_api_version(uri: &str) -> Self {
        Self { uri: Some(uri.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, 400_000, "ArgumentInvalid") }
    }

    /// No such path.
    pub(crate) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, 404_001, "Not found")
    }

    /// The ID scope is another instance's.
    pub(crate) fn no_such_scope() -> Self {
        Self::new(StatusCode::NOT_FOUND, 404_002, "IdScope not found")
    }

    /// No individual enrollment or enrollment group of this name.
    pub(crate) fn no_such_enrollment() -> Self {
        Self::new(StatusCode::NOT_FOUND, 404_201, "Enrollment not found")
    }

    /// The device has not registered (here).
    pub(crate) fn no_such_registration() -> Self {
        Self::new(StatusCode::NOT_FOUND, 404_202, "Registration not found")
    }

    /// The operation ID is not this registration's.
    pub(crate) fn no_such_operation() -> Self {
        Self::new(StatusCode::NOT_FOUND, 404_204, "Operation not found")
    }

    /// The path knows other methods.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, 405_001, "Method not allowed")
    }

    /// `PUT` without `If-Match` on what is there already.
    pub(crate) fn already_exists() -> Self {
        Self::new(StatusCode::CONFLICT, 409_201, "Enrollment already exists")
    }

    /// `If-Match` is not the current ETag.
    pub(crate) fn precondition_failed() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, 412_001, "Precondition failed.")
    }

    /// The body is longer than 1 MiB.
    pub(crate) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, 413_001, "Request body is too large")
    }

    /// Too many requests.
    pub(crate) fn throttled(retry_after: Option<u64>) -> Self {
        Self {
            retry_after,
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, 429_001, "Operations are being throttled for this tenant.")
        }
    }

    /// A status that a test asked for.
    pub(crate) fn injected(status: u16, retry_after: Option<u64>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Self::throttled(retry_after);
        }
        let message = status.canonical_reason().unwrap_or("Error");
        Self { retry_after, ..Self::new(status, u32::from(status.as_u16()) * 1000 + 1, message) }
    }

    /// The body; the tracking ID stands in the header `x-ms-request-id` as well.
    pub(crate) fn body(&self, tracking_id: Uuid, now: Timestamp) -> Value {
        match &self.uri {
            Some(uri) => json!({
                "Message": format!("ErrorCode:ArgumentInvalid;Unknown api version; uri: {uri}"),
                "ExceptionMessage": format!("Tracking ID:{}-TimeStamp:{now}", tracking_id.simple().to_string().to_uppercase()),
            }),
            None => {
                let mut body = json!({
                    "errorCode": self.code,
                    "trackingId": tracking_id,
                    "message": self.message,
                    "timestampUtc": azure_time(now),
                });
                if let Some(key) = &self.authentication_key {
                    body["authenticationKey"] = key.as_str().into();
                    body["keyName"] = "registration".into();
                }
                body
            }
        }
    }

    pub(crate) fn into_response_at(self, now: Timestamp) -> Response {
        let tracking_id = Uuid::new_v4();
        let mut response = json_response(self.status, &self.body(tracking_id, now));
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&tracking_id.to_string()) {
            headers.insert("x-ms-request-id", value);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// JSON with the content type that Azure gives.
pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string()).into_response()
}

/// `2026-11-20T23:07:46.9520080Z`: seven digits, as .NET writes them.
pub(crate) fn azure_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.7fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_body_stays_as_it_is() {
        let now: Timestamp = "2026-11-20T23:07:46.952008Z".parse().unwrap();
        let all = [
            AzureError::unauthorized(),
            AzureError::invalid_certificate(),
            AzureError::bad_request("what is wrong"),
            AzureError::unknown_api_version("/enrollments/a?api-version=2019-03-31"),
            AzureError::no_such_path(),
            AzureError::no_such_scope(),
            AzureError::no_such_enrollment(),
            AzureError::no_such_registration(),
            AzureError::no_such_operation(),
            AzureError::method_not_allowed(),
            AzureError::already_exists(),
            AzureError::precondition_failed(),
            AzureError::too_large(),
            AzureError::throttled(Some(5)),
            AzureError::injected(500, None),
            AzureError::injected(503, Some(2)),
        ];
        let all: Vec<Value> = all
            .iter()
            .map(|error| json!({"status": error.status.as_u16(), "retryAfter": error.retry_after, "body": error.body(Uuid::nil(), now)}))
            .collect();
        insta::assert_json_snapshot!(all);
    }
}
