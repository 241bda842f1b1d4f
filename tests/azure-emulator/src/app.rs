//! One request from its arrival to its answer: faults, routing, API version, and the two APIs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use jiff::Timestamp;
use serde_json::Value;

use crate::config::{Clock, Config, Hub};
use crate::device_api;
use crate::emulator::Seen;
use crate::entra::{self, Directory};
use crate::error_body::AzureError;
use crate::faults::{Fault, Faults};
use crate::issuance::Issuance;
use crate::resource_manager::{self, Certificates};
use crate::route::Route;
use crate::service_api;
use crate::state::SharedState;
use crate::tls::Peer;

/// The longest body that is read.
const LONGEST_BODY: usize = 1024 * 1024;
/// How many requests are remembered for tests.
const REMEMBERED: usize = 10_000;
/// The API versions of the device side.
const DEVICE_VERSIONS: [&str; 3] = ["2019-03-31", "2021-06-01", WITH_ISSUANCE];
/// Of the service side. Azure took 2019-03-31 away in December 2024.
const SERVICE_VERSIONS: [&str; 2] = ["2021-10-01", WITH_ISSUANCE];
/// Of both: the first with certificate issuance.
const WITH_ISSUANCE: &str = "2025-07-01-preview";

/// What all requests share.
pub(crate) struct App {
    pub(crate) state: SharedState,
    pub(crate) faults: Arc<Faults>,
    pub(crate) id_scope: String,
    pub(crate) service_key: Vec<u8>,
    pub(crate) hubs: Vec<Hub>,
    pub(crate) throttle_per_min: Option<u32>,
    pub(crate) assigning_polls: u32,
    pub(crate) polls_per_10_s: Option<u32>,
    pub(crate) retry_after: Duration,
    pub(crate) clock: Clock,
    pub(crate) entra: Option<Directory>,
    pub(crate) certificates: Certificates,
    pub(crate) issuance: Issuance,
    seen: Mutex<VecDeque<Seen>>,
}

/// A request as the two APIs see it.
pub(crate) struct Call<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) peer: &'a Peer,
    pub(crate) now: Timestamp,
    /// The API version knows certificate issuance.
    pub(crate) with_issuance: bool,
}

impl App {
    pub(crate) fn new(config: Config, service_key: Vec<u8>, issuance: Issuance, faults: Arc<Faults>) -> Self {
        Self {
            state: SharedState::default(),
            faults,
            id_scope: config.id_scope,
            service_key,
            hubs: config.hubs,
            throttle_per_min: config.throttle_per_min,
            assigning_polls: config.assigning_polls,
            polls_per_10_s: config.polls_per_10_s,
            retry_after: config.retry_after,
            clock: config.clock,
            entra: config.entra.map(Directory::new),
            certificates: Certificates::default(),
            issuance,
            seen: Mutex::default(),
        }
    }

    /// The service for a connection; it needs a [`Peer`] in the request's extensions.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new().fallback(answer).with_state(self)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn remember(&self, method: &Method, uri: &Uri, status: StatusCode) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() == REMEMBERED {
            seen.pop_front();
        }
        seen.push_back(Seen { method: method.to_string(), path: uri.path().to_owned(), status: status.as_u16() });
    }
}

impl Call<'_> {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.header(header::AUTHORIZATION.as_str())
    }

    /// The body as JSON; an empty one is none.
    pub(crate) fn json(&self) -> Result<Option<Value>, AzureError> {
        if self.body.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(self.body).map(Some).map_err(|_| AzureError::bad_request("The body is not valid JSON."))
    }
}

async fn answer(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let now = app.clock.now();
    let response = match respond(&app, &peer, &parts.method, &parts.uri, &parts.headers, body, now).await {
        Ok(response) => response,
        Err(error) => error.into_response_at(now),
    };
    app.remember(&parts.method, &parts.uri, response.status());
    tracing::debug!(method = %parts.method, path = parts.uri.path(), status = response.status().as_u16(), "answered");
    response
}

async fn respond(
    app: &App,
    peer: &Peer,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
    now: Timestamp,
) -> Result<Response, AzureError> {
    let body = to_bytes(body, LONGEST_BODY).await.map_err(|_| AzureError::too_large())?;
    if let Some(directory) = app.entra.as_ref().filter(|directory| directory.is_token_endpoint(uri.path())) {
        return Ok(directory.token(&body, now));
    }
    if resource_manager::is_resource_path(uri.path()) {
        let call = Call { headers, body: &body, peer, now, with_issuance: false };
        let admits = |entra: &Directory| {
            call.authorization().is_some_and(|given| entra.admits(given, entra::RESOURCE_MANAGER, now))
        };
        if !app.entra.as_ref().is_some_and(admits) {
            return Err(AzureError::unauthorized());
        }
        return app.certificates.respond(&call, method, uri.path());
    }
    let route = Route::of(method, uri.path())?;
    let fault = app.faults.take(route.on());
    match &fault {
        Some(Fault::Status { status, retry_after }) => {
            return Err(AzureError::injected(*status, retry_after.map(|retry_after| retry_after.as_secs())));
        }
        Some(Fault::RefuseCredential) => return Err(AzureError::unauthorized()),
        Some(Fault::Garbage) => {
            return Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], "<html>{garbage").into_response());
        }
        Some(Fault::Reset) => {
            peer.reset();
            return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response());
        }
        _ => {}
    }
    let failure = match &fault {
        Some(Fault::FailAssignment { error_code, message }) => Some((*error_code, message.clone())),
        _ => None,
    };
    let with_issuance = check_version(&route, uri)? == WITH_ISSUANCE;
    let call = Call { headers, body: &body, peer, now, with_issuance };
    let response = match route {
        Route::Device { id_scope, registration_id, operation } => {
            if !id_scope.eq_ignore_ascii_case(&app.id_scope) {
                return Err(AzureError::no_such_scope());
            }
            device_api::respond(app, &call, &registration_id, operation, failure)?
        }
        Route::Service(operation) => service_api::respond(app, &call, operation)?,
    };
    match fault {
        Some(Fault::Slow(by)) => tokio::time::sleep(by).await,
        Some(Fault::ResetAfter) => peer.reset(),
        _ => {}
    }
    Ok(response)
}

fn check_version(route: &Route, uri: &Uri) -> Result<&'static str, AzureError> {
    let version = uri.query().and_then(|query| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name.eq_ignore_ascii_case("api-version"))
            .map(|(_, value)| value)
    });
    let known: &[&'static str] = match route {
        Route::Device { .. } => &DEVICE_VERSIONS,
        Route::Service(_) => &SERVICE_VERSIONS,
    };
    let asked = version.and_then(|version| known.iter().find(|known| **known == version));
    asked.copied().ok_or_else(|| AzureError::unknown_api_version(&uri.to_string()))
}
