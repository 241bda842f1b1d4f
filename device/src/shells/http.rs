//! protocomm over HTTP as ESP-IDF serves it from a SoftAP.
//!
//! One session at a time, named by a cookie: a request on a new connection without it ends the session that stood. A
//! request with another session's cookie (displaced, or from before a reboot) gets nowhere and disturbs nobody.
//! A handler's failure closes the socket without an answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::responder::{App, Reply, Responder};

/// ESP-IDF's limit of a request's body.
const MAX_BODY: usize = 4096;
/// How long a client may take to send a request's head or body.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// An ESP32's HTTP server has few sockets too.
const MAX_CONNECTIONS: usize = 16;

/// Serves until dropped.
pub(crate) async fn serve(listener: TcpListener, responder: Responder) -> Infallible {
    let shared = Arc::new(Shared { responder, current: Mutex::new(None), connections: AtomicU64::new(0) });
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve_connection(stream, Arc::clone(&shared)));
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

struct Shared {
    responder: Responder,
    /// Held from the look-up of a session to its handler's end, so that no other app takes the session in between.
    current: Mutex<Option<Current>>,
    connections: AtomicU64,
}

#[derive(Clone, Copy)]
struct Current {
    cookie: u32,
    connection: u64,
    app: App,
}

/// A handler failed: hyper drops the connection when the service answers an error.
#[derive(Debug, thiserror::Error)]
#[error("the handler failed")]
struct Failed;

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed);
    let service = service_fn(|request| answer(request, connection, &shared));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_DEADLINE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "the connection ended");
    }
}

async fn answer(request: Request<Incoming>, connection: u64, shared: &Shared) -> Result<Response<Full<Bytes>>, Failed> {
    let endpoint = request.uri().path().trim_start_matches('/').to_owned();
    if !shared.responder.has_endpoint(&endpoint) {
        return Ok(plain(StatusCode::NOT_FOUND));
    }
    if request.method() != Method::POST {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED));
    }
    let cookie = session_cookie(request.headers());
    let body = tokio::time::timeout(READ_DEADLINE, Limited::new(request.into_body(), MAX_BODY).collect());
    let body = body.await.map_err(|_| Failed)?.map_err(|_| Failed)?.to_bytes();
    let mut current = shared.current.lock().await;
    let session = shared.session(&mut current, connection, cookie).await;
    let reply = shared.responder.handle(session.app, &endpoint, &body).await;
    drop(current);
    if session.foreign {
        shared.responder.disconnect(session.app).await;
    }
    match reply {
        Reply::Response(bytes) => {
            let mut response = Response::new(Full::new(bytes.into()));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            if let Some(Ok(value)) = session.new_cookie.map(|cookie| HeaderValue::try_from(format!("session={cookie}")))
            {
                response.headers_mut().insert(SET_COOKIE, value);
            }
            Ok(response)
        }
        Reply::UnknownEndpoint => Ok(plain(StatusCode::NOT_FOUND)),
        Reply::Refused | Reply::Closed => Err(Failed),
        Reply::Silence => std::future::pending().await,
    }
}

impl Shared {
    /// The session that a request belongs to; without a cookie one may begin with it.
    async fn session(&self, current: &mut Option<Current>, connection: u64, cookie: Option<u32>) -> Session {
        let (session, ended) = self.find(current, connection, cookie);
        if let Some(ended) = ended {
            self.responder.disconnect(ended.app).await;
        }
        if session.foreign || session.new_cookie.is_some() {
            self.responder.connect(session.app).await;
        }
        session
    }

    /// That session, and the one that ends for it.
    fn find(&self, current: &mut Option<Current>, connection: u64, cookie: Option<u32>) -> (Session, Option<Current>) {
        match (&mut *current, cookie) {
            (Some(own), Some(cookie)) if cookie == own.cookie => {
                own.connection = connection;
                (Session { app: own.app, new_cookie: None, foreign: false }, None)
            }
            (Some(own), None) if own.connection == connection => {
                (Session { app: own.app, new_cookie: None, foreign: false }, None)
            }
            (_, Some(_)) => (Session { app: self.responder.new_app(), new_cookie: None, foreign: true }, None),
            (_, None) => {
                let begun = Current { cookie: rand::random(), connection, app: self.responder.new_app() };
                let session = Session { app: begun.app, new_cookie: Some(begun.cookie), foreign: false };
                (session, current.replace(begun))
            }
        }
    }
}

struct Session {
    app: App,
    new_cookie: Option<u32>,
    /// It lives for this one request.
    foreign: bool,
}

fn session_cookie(headers: &HeaderMap) -> Option<u32> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("session=")?.parse().ok())
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}
