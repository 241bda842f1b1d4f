//! A scripted DPS endpoint over TLS.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

pub(crate) type Scripted = (u16, Option<&'static str>, String);

#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) answers: Arc<Mutex<VecDeque<Scripted>>>,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
}

pub(crate) struct Endpoint {
    pub(crate) addr: SocketAddr,
    pub(crate) ca: Vec<u8>,
    pub(crate) script: Script,
    handle: axum_server::Handle<SocketAddr>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

/// Plays the answers in order; the last one is repeated for ever.
pub(crate) async fn endpoint(name: &str, answers: Vec<Scripted>) -> Endpoint {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let ca = certificate.der().to_vec();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let script = Script::default();
    script.answers.lock().unwrap().extend(answers);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    let router = Router::new().fallback(play).with_state(script.clone());
    let tls = axum_server::tls_rustls::RustlsConfig::from_config(Arc::new(config));
    let handle = axum_server::Handle::new();
    let server = axum_server::from_tcp_rustls(listener, tls).unwrap().handle(handle.clone());
    tokio::spawn(server.serve(router.into_make_service()));
    Endpoint { addr, ca, script, handle }
}

async fn play(State(script): State<Script>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let seen = Seen { method, path: uri.to_string(), authorization, body };
    script.seen.lock().unwrap().push(seen);
    let mut answers = script.answers.lock().unwrap();
    let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
    let (status, retry_after, body) = answer.unwrap();
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    if let Some(retry_after) = retry_after {
        response.headers_mut().insert("retry-after", retry_after.parse().unwrap());
    }
    if status == 302 {
        response.headers_mut().insert("location", "/elsewhere".parse().unwrap());
    }
    response
}

pub(crate) fn ok(body: Value) -> Scripted {
    (200, None, body.to_string())
}

pub(crate) fn error(status: u16, code: u32) -> Scripted {
    let body = json!({ "errorCode": code, "trackingId": "t", "message": "said DPS", "timestampUtc": "now" });
    (status, None, body.to_string())
}

/// What DPS says of a device that it has assigned to hub-1.
pub(crate) fn assigned_state() -> Value {
    json!({
        "registrationId": "dev:1", "status": "assigned", "substatus": "initialAssignment",
        "assignedHub": "hub-1.azure-devices.net", "deviceId": "dev:1",
    })
}

pub(crate) fn assigning(retry_after: Option<&'static str>) -> Scripted {
    (202, retry_after, json!({ "operationId": "4.op", "status": "assigning" }).to_string())
}
