//! The embedded authorization server's endpoints, in the forms of the RFCs that clients' libraries speak.

mod authorize;
mod device;
mod form;
mod pages;
mod token;
pub(super) mod well_known;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;

pub(super) use authorize::{__path_authorize, __path_submit};
pub(super) use device::{__path_approve, __path_begin, __path_page};
pub(super) use token::{__path_invite, __path_revoke, __path_token};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/.well-known/oauth-protected-resource", get(well_known::protected_resource))
        .route("/.well-known/oauth-authorization-server", get(well_known::authorization_server))
        .route("/oauth/invite", post(token::invite))
        .route("/oauth/token", post(token::token))
        .route("/oauth/revoke", post(token::revoke))
        .route("/oauth/authorize", get(authorize::authorize).post(authorize::submit))
        .route("/oauth/device_authorization", post(device::begin))
        .route("/oauth/device", get(device::page).post(device::approve))
}
