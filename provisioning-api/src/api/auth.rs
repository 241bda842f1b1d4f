//! Who makes a request, and whether they may.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use provisioning_api_contract::ProblemCode;

use crate::api::ApiError;
use crate::app::App;
use crate::role::Role;
use crate::tokens::{self, Caller};

/// Any role.
pub(super) struct Installer(pub(super) Caller);

/// Administrators only.
pub(super) struct Administrator(pub(super) Caller);

impl FromRequestParts<Arc<App>> for Installer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let unauthenticated = || ApiError::new(ProblemCode::Unauthenticated);
        let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
        let value = headers.next().and_then(|value| value.to_str().ok()).ok_or_else(unauthenticated)?;
        // Two of them may be read differently by whoever stands in between.
        if headers.next().is_some() {
            return Err(unauthenticated());
        }
        let (scheme, token) = value.split_once(' ').ok_or_else(unauthenticated)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(unauthenticated());
        }
        let caller = tokens::find(&app.store, token.trim()).await?.ok_or_else(unauthenticated)?;
        match app.pace.take(&caller.id) {
            Ok(()) => Ok(Self(caller)),
            Err(wait) => Err(ApiError::new(ProblemCode::Throttled).retry_after(Some(wait))),
        }
    }
}

impl FromRequestParts<Arc<App>> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Installer(caller) = Installer::from_request_parts(parts, app).await?;
        match caller.role {
            Role::Administrator => Ok(Self(caller)),
            Role::Installer => Err(ApiError::new(ProblemCode::Forbidden)),
        }
    }
}
