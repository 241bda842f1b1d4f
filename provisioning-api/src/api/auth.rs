//! Who makes a request, and whether they may. Every handler says it by the extractor that it takes:
//!
//! | extractor | installer | administrator | auditor | device | no token |
//! | --- | --- | --- | --- | --- | --- |
//! | [`Stranger`] | yes | yes | yes | yes | yes, each address at its own pace |
//! | [`SignedIn`] | yes | yes | yes | yes | 401 |
//! | [`Reader`] | yes | yes | yes | 403 | 401 |
//! | [`Installer`] | yes | yes | 403 | 403 | 401 |
//! | [`Auditor`] | 403 | yes | yes | 403 | 401 |
//! | [`Administrator`] | 403 | yes | 403 | 403 | 401 |
//!
//! Whose devices they see is [`Caller::tenant`]'s affair. tests/who_may.rs holds every path of openapi.json to this.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use provisioning_api_contract::ProblemCode;

use crate::api::ApiError;
use crate::app::App;
use crate::role::Role;
use crate::tokens::{self, Caller};

/// Anybody, signed in or not, as often as the pace for addresses allows.
pub(super) struct Stranger;

/// Any valid token.
pub(super) struct SignedIn(pub(super) Caller);

/// All people: who reads what an installer's app needs.
pub(super) struct Reader(pub(super) Caller);

/// Who pairs: installers and administrators.
pub(super) struct Installer(pub(super) Caller);

/// Who reads everything of their tenant: administrators and auditors.
pub(super) struct Auditor(pub(super) Caller);

/// Administrators only.
pub(super) struct Administrator(pub(super) Caller);

impl FromRequestParts<Arc<App>> for Stranger {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        slow_down(app.strangers_pace.take_from(address(parts)))?;
        Ok(Self)
    }
}

impl FromRequestParts<Arc<App>> for SignedIn {
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
        match tokens::find(&app.store, token.trim()).await? {
            Some(caller) => {
                slow_down(app.pace.take(&caller.account_id))?;
                Ok(Self(caller))
            }
            None => {
                // A wrong token costs its address a turn, so that who tries many is soon told to wait.
                slow_down(app.strangers_pace.take_from(address(parts)))?;
                Err(unauthenticated().invalid_token())
            }
        }
    }
}

/// An extractor for those of [`SignedIn`] who have one of these roles.
macro_rules! roles {
    ($extractor:ident: $($role:ident)|+) => {
        impl FromRequestParts<Arc<App>> for $extractor {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
                let SignedIn(caller) = SignedIn::from_request_parts(parts, app).await?;
                match caller.role {
                    $(Role::$role)|+ => Ok(Self(caller)),
                    _ => Err(ApiError::new(ProblemCode::Forbidden)),
                }
            }
        }
    };
}

roles!(Reader: Installer | Administrator | Auditor);
roles!(Installer: Installer | Administrator);
roles!(Auditor: Administrator | Auditor);
roles!(Administrator: Administrator);

fn slow_down(turn: Result<(), std::time::Duration>) -> Result<(), ApiError> {
    turn.map_err(|wait| ApiError::new(ProblemCode::Throttled).retry_after(Some(wait)))
}

fn address(parts: &Parts) -> IpAddr {
    let known = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    known.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(address)| address.ip())
}
