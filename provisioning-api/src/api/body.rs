//! JSON bodies and parameters, each refusal with our code and without echoing what came in.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use provisioning_api_contract::ProblemCode;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::api::ApiError;
use crate::registration_id::RegistrationId;

/// A body that is `T` in JSON.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(ApiError::new(ProblemCode::UnsupportedMediaType));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
            match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(ProblemCode::TooLarge).detail("a body may have 64 KiB"),
                _ => ApiError::new(ProblemCode::BadRequest).detail("the body broke off"),
            }
        })?;
        // serde's own words may quote the body, which may hold a secret.
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            ApiError::new(ProblemCode::BadRequest).detail(match error.classify() {
                serde_json::error::Category::Data => format!("the body is not what this path takes, at {place}"),
                _ => format!("the body is no JSON, at {place}"),
            })
        })
    }
}

/// The device that the path names.
pub(super) struct DevicePath(pub(super) RegistrationId);

impl<S: Send + Sync> FromRequestParts<S> for DevicePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let wrong = || {
            ApiError::new(ProblemCode::BadRequest).detail(
                "a registration ID has at most 128 of A-Z a-z 0-9 - . _ : and ends in a letter, a digit or a dash",
            )
        };
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| wrong())?;
        RegistrationId::parse(&text).map(Self).ok_or_else(wrong)
    }
}

/// The instance that the path names.
pub(super) struct NamePath(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for NamePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(name)).map_err(|_| ApiError::new(ProblemCode::NotFound))
    }
}

/// The ID that the path names.
pub(super) struct IdPath(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<Uuid>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id))
            .map_err(|_| ApiError::new(ProblemCode::BadRequest).detail("the path must name a UUID"))
    }
}

/// Parameters of the query.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(parameters) = Query::from_request_parts(parts, state).await.map_err(|_| {
            ApiError::new(ProblemCode::BadRequest).detail("a parameter of the query is not what this path takes")
        })?;
        Ok(Self(parameters))
    }
}

/// What handlers answer.
pub(super) type Answer<T> = Result<Json<T>, ApiError>;
