//! Parameters as OAuth wants them: in a form, each at most once, unknown ones left aside (RFC 6749, 3.1 and 3.2).

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header;
use axum::http::request::Parts;
use zeroize::Zeroizing;

use crate::api::oauth::wire::{OauthError, Refusal};
use crate::sign_in::CLIENT_ID;

/// Nothing that a client sends is longer.
const MAX_VALUE: usize = 2048;

/// The parameters of a request.
pub(super) struct Form(BTreeMap<String, Zeroizing<String>>);

impl Form {
    fn parse(bytes: &[u8]) -> Result<Self, OauthError> {
        let mut values = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(bytes) {
            if value.len() > MAX_VALUE {
                return Err(OauthError::invalid_request("a parameter is too long"));
            }
            if values.insert(name.into_owned(), Zeroizing::new(value.into_owned())).is_some() {
                return Err(OauthError::invalid_request("a parameter is there twice"));
            }
        }
        Ok(Self(values))
    }

    /// The parameter, unless it is missing or empty, which is the same.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn need(&self, name: &str) -> Result<&str, OauthError> {
        self.get(name).ok_or_else(|| OauthError::invalid_request(&format!("{name} is missing")))
    }

    /// That the request is our app's.
    pub(super) fn check_client(&self) -> Result<(), OauthError> {
        if self.get("client_id") == Some(CLIENT_ID) { Ok(()) } else { Err(OauthError::invalid_client()) }
    }
}

/// Those of a body.
pub(super) struct Body(pub(super) Form);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
        {
            return Err(OauthError::invalid_request("the body must be application/x-www-form-urlencoded").into());
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| OauthError::invalid_request("the body is too large or broke off"))?;
        Ok(Self(Form::parse(&bytes)?))
    }
}

/// Those of the query.
pub(super) struct Query(pub(super) Form);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(Self(Form::parse(parts.uri.query().unwrap_or_default().as_bytes())?))
    }
}
