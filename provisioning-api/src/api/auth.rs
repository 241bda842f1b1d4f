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
//! | [`ReaderOrItself`] | yes | yes | yes | itself, else 404 | 401 |
//! | [`InstallerOrItself`] | yes | yes | 403 | itself, else 404 | 401 |
//! | [`Itself`] | 403 | 403 | 403 | itself, else 404 | 401 |
//!
//! Whose devices they see is [`Caller::tenant`]'s affair. tests/who_may.rs holds every path of openapi.json to this.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Query};
use axum::http::header;
use axum::http::request::Parts;
use provisioning_api_contract::ProblemCode;
use serde::Deserialize;

use crate::api::ApiError;
use crate::api::body::DevicePath;
use crate::app::App;
use crate::connection::{Connection, DeviceCertificate};
use crate::role::Role;
use crate::tokens::{self, Caller};
use crate::{accounts, devices};

/// Anybody, signed in or not, as often as the pace for addresses allows.
pub(super) struct Stranger;

/// Any valid token.
pub(super) struct SignedIn(pub(super) Caller);

/// All people: who reads what an installer's app needs.
pub(super) struct Reader(pub(super) Caller);

/// All people, and the device that the path names.
pub(super) struct ReaderOrItself(pub(super) Caller);

/// Who pairs, and the device that the path names.
pub(super) struct InstallerOrItself(pub(super) Caller);

/// The device that the path names, and the certificate that it showed.
pub(super) struct Itself(pub(super) Caller, pub(super) DeviceCertificate);

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
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            let device = parts.extensions.get::<Connection>().and_then(|connection| connection.device.clone());
            let caller = devices::itself(&app.store, &device.ok_or_else(unauthenticated)?).await?;
            let caller = caller.ok_or_else(unauthenticated)?;
            slow_down(app.pace.take(&caller.account_id))?;
            return Ok(Self(caller));
        }
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
        let token = token.trim();
        let caller = match tokens::find(&app.store, token).await? {
            None => match app.issuers.find(&app.store, token).await {
                Ok(caller) => caller,
                Err(error) => {
                    slow_down(app.strangers_pace.take_from(address(parts)))?;
                    return Err(error);
                }
            },
            known => known,
        };
        match caller {
            Some(caller) => {
                slow_down(app.pace.take(&caller.account_id))?;
                within(parts, app, caller).await.map(Self)
            }
            None => {
                // A wrong token costs its address a turn, so that who tries many is soon told to wait.
                slow_down(app.strangers_pace.take_from(address(parts)))?;
                Err(unauthenticated().invalid_token())
            }
        }
    }
}

#[derive(Deserialize)]
struct WithinTenant {
    tenant: Option<String>,
}

/// `?tenant=`: callers of no tenant act as if they were of this one.
async fn within(parts: &mut Parts, app: &App, caller: Caller) -> Result<Caller, ApiError> {
    let Ok(Query(WithinTenant { tenant: Some(tenant) })) = Query::try_from_uri(&parts.uri) else { return Ok(caller) };
    match &caller.tenant {
        Some(own) if *own == tenant => Ok(caller),
        // Whether there is such a tenant or not.
        Some(_) => Err(ApiError::new(ProblemCode::Forbidden)),
        None => {
            let mut db = app.store.read().acquire().await?;
            if !accounts::is_tenant(&mut db, &tenant).await? {
                return Err(ApiError::new(ProblemCode::BadRequest).detail("there is no tenant of that name"));
            }
            Ok(Caller { tenant: Some(tenant), ..caller })
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

/// As the extractor that it wraps, or the device that the path names, by its own certificate.
macro_rules! or_itself {
    ($extractor:ident: $($role:ident)|+) => {
        impl FromRequestParts<Arc<App>> for $extractor {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
                let SignedIn(caller) = SignedIn::from_request_parts(parts, app).await?;
                match caller.role {
                    $(Role::$role)|+ => Ok(Self(caller)),
                    Role::Device => {
                        let DevicePath(id) = DevicePath::from_request_parts(parts, app).await?;
                        let itself = parts.extensions.get::<Connection>().and_then(|one| one.device.as_ref());
                        if itself.is_some_and(|device| device.registration_id.name() == id.name()) {
                            return Ok(Self(caller));
                        }
                        // Another device is as unknown to it as one that does not exist.
                        Err(ApiError::new(ProblemCode::DeviceUnknown))
                    }
                    #[allow(unreachable_patterns, reason = "not every use leaves a role over")]
                    _ => Err(ApiError::new(ProblemCode::Forbidden)),
                }
            }
        }
    };
}

or_itself!(ReaderOrItself: Installer | Administrator | Auditor);
or_itself!(InstallerOrItself: Installer | Administrator);

impl FromRequestParts<Arc<App>> for Itself {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let ReaderOrItself(caller) = ReaderOrItself::from_request_parts(parts, app).await?;
        let shown = parts.extensions.get::<Connection>().and_then(|one| one.device.clone());
        match shown {
            Some(certificate) if caller.role == Role::Device => Ok(Self(caller, certificate)),
            _ => Err(ApiError::new(ProblemCode::Forbidden)),
        }
    }
}

fn slow_down(turn: Result<(), std::time::Duration>) -> Result<(), ApiError> {
    turn.map_err(|wait| ApiError::new(ProblemCode::Throttled).retry_after(Some(wait)))
}

fn address(parts: &Parts) -> IpAddr {
    let known = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    known.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(address)| address.ip())
}
