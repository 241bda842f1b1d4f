//! The gateway's HTTP: the page, the session, calls and streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use axum::{Json, Router};
use futures::StreamExt as _;
use lowtouch_installer::commands::{CommandError, Commands};
use lowtouch_installer::error::{ErrorCode, PairingError};
use lowtouch_installer::label::MAX_PICTURE_BYTES;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::codes::{Codes, Try};
use super::guard::{self, Names};
use super::page;
use super::places::Place;
use super::sessions::{self, Life, Sessions};

/// `__Host-`: browsers take it over TLS alone, for this host alone and for every path.
const COOKIE: &str = "__Host-lowtouch";
/// Of arguments; a picture of the largest kind in base64, and what is around it.
const PICTURE: usize = MAX_PICTURE_BYTES / 3 * 4 + 4096;
/// Of arguments that hold no picture.
const BODY: usize = 64 << 10;
/// How long a body may take.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// When it may be worth asking again at a gateway that is full.
const FULL_RETRY: Duration = Duration::from_secs(10);
/// So that a stream without news is known to live, by the page and by what stands between.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Everything is in files of our own: no inline script, no inline style, no other host. The page is built so that Mantine
/// writes no style element (ui/vite.config.ts), so not even a nonce is needed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
    font-src 'self'; connect-src 'self'; media-src 'self' blob: mediastream:; worker-src 'self'; manifest-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// Of every answer. No Strict-Transport-Security: there is no plain HTTP here, and with the gateway's own certificate it
/// would lock out whoever has not added its CA yet.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), clipboard-write=(self), geolocation=(), microphone=()",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What requests share.
pub(crate) struct Gateway {
    pub(crate) commands: Commands,
    pub(crate) codes: Codes,
    pub(crate) sessions: Sessions,
    pub(crate) names: Names,
}

type Shared = State<Arc<Gateway>>;

/// Page and API.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/api/session", post(sign_in))
        .route("/api/session/end", post(sign_out))
        .route("/api/call/{name}", post(call))
        .route("/api/stream/{name}", post(stream))
        .route("/api/{*rest}", any(no_such))
        .fallback(show)
        .layer(middleware::from_fn_with_state(gateway.clone(), guarded))
        .with_state(gateway)
}

/// The checks before everything else, and the headers of every answer.
async fn guarded(State(gateway): Shared, request: Request, next: Next) -> Response {
    let version = request.version();
    let mut response = match admitted(&gateway, &request) {
        Ok(()) => next.run(request).await,
        Err(refused) => {
            let mut response = refused.into_response();
            // The place is for somebody else then. (HTTP/2 has no such header; there the client ends it.)
            if response.status() == StatusCode::SERVICE_UNAVAILABLE && version < Version::HTTP_2 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn admitted(gateway: &Gateway, request: &Request) -> Result<(), Refused> {
    // Without one there are no connections: a test.
    if request.extensions().get::<Arc<Place>>().is_some_and(|place| !place.is_served()) {
        let mut error = PairingError::new(ErrorCode::GatewayFull);
        error.retry_after_s = Some(FULL_RETRY.as_secs());
        return Err(error.into());
    }
    let authority =
        guard::authority(request.uri(), request.headers()).filter(|authority| gateway.names.know(authority));
    let Some(authority) = authority else {
        return Err(Refused(StatusCode::MISDIRECTED_REQUEST, ErrorCode::GatewayForeign.into()));
    };
    match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        Method::POST if !guard::from_own_page(request.headers(), &authority) => {
            Err(Refused(StatusCode::FORBIDDEN, ErrorCode::GatewayForeign.into()))
        }
        Method::POST => Ok(()),
        _ => Err(Refused(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::CommandUnknown.into())),
    }
}

/// `POST /api/session`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    code: SecretString,
}

async fn sign_in(
    State(gateway): Shared,
    ConnectInfo(who): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let asked: SignIn = serde_json::from_value(arguments(&headers, body, BODY).await?).map_err(|_| malformed())?;
    match gateway.codes.try_code(&asked.code, who.ip()) {
        Try::Right => {}
        Try::Wrong => return Err(ErrorCode::GatewayCodeWrong.into()),
        Try::TooSoon(wait) => {
            let mut error = PairingError::new(ErrorCode::GatewaySlowedDown);
            error.retry_after_s = Some(wait.as_secs() + 1);
            return Err(error.into());
        }
    }
    // A browser that signs in again has one session.
    if let Some(before) = cookie(&headers) {
        gateway.sessions.end(&before);
    }
    let secret = gateway.sessions.begin().ok_or(ErrorCode::Internal)?;
    Ok(with_cookie(secret.expose_secret(), sessions::LIFE))
}

async fn sign_out(State(gateway): Shared, headers: HeaderMap) -> Response {
    if let Some(secret) = cookie(&headers) {
        gateway.sessions.end(&secret);
    }
    with_cookie("", Duration::ZERO)
}

async fn call(
    State(gateway): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    session(&gateway, &headers)?;
    let limit = if name.ends_with("_picture") { PICTURE } else { BODY };
    let args = arguments(&headers, body, limit).await?;
    Ok(Json(gateway.commands.call(&name, args).await?))
}

async fn stream(
    State(gateway): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let life = session(&gateway, &headers)?;
    let args = arguments(&headers, body, BODY).await?;
    // Dropped with the answer's body when the browser goes, and so cancelled.
    let events = gateway.commands.stream(&name, args)?;
    let events = events.take_until(life.ended());
    let events = events.map(|event| Event::default().json_data(event));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

async fn no_such() -> Refused {
    ErrorCode::CommandUnknown.into()
}

async fn show(request: Request) -> Response {
    if request.method() == Method::POST {
        return Refused::from(ErrorCode::CommandUnknown).into_response();
    }
    page::answer(request.uri().path(), request.headers())
}

fn session(gateway: &Gateway, headers: &HeaderMap) -> Result<Life, Refused> {
    let secret = cookie(headers).ok_or(ErrorCode::GatewaySessionMissing)?;
    Ok(gateway.sessions.of(&secret).ok_or(ErrorCode::GatewaySessionMissing)?)
}

fn cookie(headers: &HeaderMap) -> Option<SecretString> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| SecretString::from(value))
}

fn with_cookie(secret: &str, life: Duration) -> Response {
    let cookie = format!("{COOKIE}={secret}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict", life.as_secs());
    let mut response = Json(json!({})).into_response();
    match HeaderValue::from_str(&cookie) {
        Ok(mut value) => {
            value.set_sensitive(true);
            response.headers_mut().insert(header::SET_COOKIE, value);
            response
        }
        Err(_) => Refused::from(ErrorCode::Internal).into_response(),
    }
}

async fn arguments(headers: &HeaderMap, body: Body, limit: usize) -> Result<Value, Refused> {
    let json = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if json.is_none_or(|kind| kind.split(';').next().unwrap_or_default().trim() != "application/json") {
        return Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::CommandArguments.into()));
    }
    let bytes = tokio::time::timeout(BODY_DEADLINE, axum::body::to_bytes(body, limit)).await;
    let bytes: Bytes = match bytes {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            let long =
                std::error::Error::source(&error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
            return Err(if long { ErrorCode::GatewayBodyTooLong.into() } else { malformed() });
        }
        Err(_) => return Err(Refused(StatusCode::REQUEST_TIMEOUT, ErrorCode::CommandArguments.into())),
    };
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    // serde's words could quote what is secret.
    serde_json::from_slice(&bytes).map_err(|_| malformed())
}

fn malformed() -> Refused {
    PairingError::with_detail(ErrorCode::CommandArguments, "the body is not the JSON that was expected").into()
}

/// An error and its HTTP status.
struct Refused(StatusCode, CommandError);

impl<E: Into<CommandError>> From<E> for Refused {
    fn from(error: E) -> Self {
        let error = error.into();
        Refused(status(error.error.code), error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused(status, error) = self;
        let wait = error.error.retry_after_s;
        let mut response = (status, Json(error)).into_response();
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

/// 401 means the gateway's own session alone: who is not signed in at a provisioning API has a session all the same.
fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as C;
    match code {
        C::GatewaySessionMissing | C::GatewayCodeWrong => StatusCode::UNAUTHORIZED,
        C::GatewayForeign => StatusCode::FORBIDDEN,
        C::GatewaySlowedDown | C::TooManyPairings => StatusCode::TOO_MANY_REQUESTS,
        C::GatewayFull => StatusCode::SERVICE_UNAVAILABLE,
        C::GatewayBodyTooLong => StatusCode::PAYLOAD_TOO_LARGE,
        C::CommandArguments => StatusCode::BAD_REQUEST,
        C::CommandUnknown | C::LabelForgotten | C::PairingForgotten | C::JournalNoEntry => StatusCode::NOT_FOUND,
        C::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        // What the command itself came to.
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use lowtouch_installer::commands::{Host, HostKind, SecretsFor};
    use lowtouch_installer::secrets::{Memory, SecretStore};
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt as _;

    use super::*;

    fn gateway(folder: &std::path::Path) -> (Arc<Gateway>, Weak<dyn SecretStore>) {
        let store: Arc<dyn SecretStore> = Arc::new(Memory::default());
        let alive = Arc::downgrade(&store);
        let secrets: SecretsFor = Arc::new(move |_, _| store.clone());
        let host = Host::new(HostKind::Gateway, "0", folder, folder.join("lowtouch.toml"), secrets);
        let gateway = Gateway {
            commands: Commands::new(host),
            codes: Codes::default(),
            sessions: Sessions::new(CancellationToken::new()),
            names: Names::of_machine([127, 0, 0, 1].into(), &[]),
        };
        (Arc::new(gateway), alive)
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_reader_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (gateway, alive) = gateway(folder.path());
        let cookie = format!("{COOKIE}={}", gateway.sessions.begin().unwrap().expose_secret());
        let request = Request::post("https://127.0.0.1/api/stream/standing")
            .header(header::ORIGIN, "https://127.0.0.1")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::COOKIE, cookie)
            .body(Body::from("{}"))
            .unwrap();
        let response = router(gateway).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let mut body = response.into_body().into_data_stream();
        let first = body.next().await.unwrap().unwrap();
        assert!(first.starts_with(b"data: {"), "{first:?}");
        // The stream's work is the last that holds the commands.
        assert!(alive.upgrade().is_some());
        drop(body);
        tokio::time::timeout(Duration::from_secs(10), async {
            while alive.upgrade().is_some() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the stream's work has ended");
    }
}
