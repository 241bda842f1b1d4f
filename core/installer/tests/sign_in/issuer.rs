//! A provisioning API that is its own authorization server, and does as a test tells it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use provisioning_api_contract::{Me, Role};
use serde_json::json;
use tokio::sync::Notify;

use crate::server::{ca, serve, tls};

pub(crate) const INVITE: &str = "MARKED-INVITE";
pub(crate) const CODE: &str = "MARKED-code";

type Said = (u16, &'static str, String);

pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) ca_pem: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    url: OnceLock<String>,
    said_instead: Mutex<HashMap<String, Said>>,
    calls: Mutex<Vec<String>>,
    me: Mutex<Option<(String, String, Role)>>,
    /// Numbers the tokens; the newest refresh token is the only good one.
    generation: AtomicU32,
    /// Access tokens of earlier generations are refused.
    oldest_access: AtomicU32,
    lifetime: AtomicU64,
    renewals: AtomicU32,
    ended: AtomicBool,
    revoked: AtomicU32,
    invite_used: AtomicBool,
    any_invites: AtomicBool,
    forbidden: AtomicBool,
    refuse_all: AtomicBool,
    ahead_s: AtomicI64,
    device_answers: Mutex<Vec<String>>,
    device_began: Mutex<Option<Instant>>,
    polls: Mutex<Vec<Duration>>,
    hold: AtomicBool,
    held: Notify,
    released: Notify,
}

impl Issuer {
    pub(crate) async fn start() -> Issuer {
        let own = ca();
        let state = Arc::new(State::default());
        state.lifetime.store(900, SeqCst);
        let handler = {
            let state = state.clone();
            move |request: Request| {
                let state = state.clone();
                async move { state.serve(request).await }
            }
        };
        let address = serve(tls(&own, "localhost", false), Router::new().fallback(any(handler))).await;
        let url = format!("https://localhost:{}", address.port());
        state.url.set(url.clone()).unwrap();
        let issuer = Issuer { url, ca_pem: own.pem, state };
        issuer.be("1", "Ines", Role::Installer);
        issuer
    }

    /// Says this at that path instead of what is right.
    pub(crate) fn answer(&self, path: &str, said: Option<Said>) {
        let mut all = self.state.said_instead.lock().unwrap();
        match said {
            Some(said) => all.insert(path.to_owned(), said),
            None => all.remove(path),
        };
    }

    pub(crate) fn be(&self, id: &str, name: &str, role: Role) {
        *self.state.me.lock().unwrap() = Some((id.into(), name.into(), role));
    }

    pub(crate) fn lifetime(&self, seconds: u64) {
        self.state.lifetime.store(seconds, SeqCst);
    }

    pub(crate) fn forget_access_tokens(&self) {
        self.state.oldest_access.store(self.state.generation.load(SeqCst) + 1, SeqCst);
    }

    pub(crate) fn refuse_all(&self, refuse: bool) {
        self.state.refuse_all.store(refuse, SeqCst);
    }

    pub(crate) fn forbid(&self, forbid: bool) {
        self.state.forbidden.store(forbid, SeqCst);
    }

    pub(crate) fn clock_ahead(&self, seconds: i64) {
        self.state.ahead_s.store(seconds, SeqCst);
    }

    pub(crate) fn end_family(&self) {
        self.state.ended.store(true, SeqCst);
        self.forget_access_tokens();
    }

    pub(crate) fn family_ended(&self) -> bool {
        self.state.ended.load(SeqCst)
    }

    pub(crate) fn renew_invite(&self) {
        self.state.invite_used.store(false, SeqCst);
        self.state.ended.store(false, SeqCst);
    }

    pub(crate) fn any_number_of_invites(&self) {
        self.state.any_invites.store(true, SeqCst);
    }

    pub(crate) fn hold_renewals(&self, hold: bool) {
        self.state.hold.store(hold, SeqCst);
        if !hold {
            self.state.released.notify_one();
        }
    }

    pub(crate) async fn renewal_came(&self) {
        self.state.held.notified().await;
    }

    /// What polls of the device flow are told, in this order: an error of OAuth, `html`, or nothing for tokens.
    pub(crate) fn device_answers(&self, answers: &[&str]) {
        *self.state.device_answers.lock().unwrap() = answers.iter().rev().map(|&answer| answer.to_owned()).collect();
    }

    /// When they came, from the device code on.
    pub(crate) fn polls(&self) -> Vec<Duration> {
        self.state.polls.lock().unwrap().clone()
    }

    pub(crate) fn renewals(&self) -> u32 {
        self.state.renewals.load(SeqCst)
    }

    pub(crate) fn revoked(&self) -> u32 {
        self.state.revoked.load(SeqCst)
    }

    pub(crate) fn calls(&self, path: &str) -> usize {
        self.state.calls.lock().unwrap().iter().filter(|call| *call == path).count()
    }

    pub(crate) fn all_calls(&self) -> usize {
        self.state.calls.lock().unwrap().len()
    }
}

impl State {
    async fn serve(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        self.calls.lock().unwrap().push(path.clone());
        let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
        let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
        let instead = self.said_instead.lock().unwrap().get(&path).cloned();
        let mut answer = match instead {
            Some((status, content_type, body)) => {
                let status = StatusCode::from_u16(status).unwrap();
                (status, [("content-type", content_type), ("location", "https://elsewhere.example/")], body)
                    .into_response()
            }
            None => self.right(&path, &form, bearer.as_deref()).await,
        };
        let ahead = self.ahead_s.load(SeqCst);
        if ahead != 0 {
            let date = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead);
            let date = jiff::fmt::rfc2822::to_string(&date.to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
            answer.headers_mut().insert("date", date.parse().unwrap());
        }
        answer
    }

    async fn right(&self, path: &str, form: &HashMap<String, String>, bearer: Option<&str>) -> Response {
        let url = self.url.get().unwrap();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        match path {
            "/.well-known/oauth-protected-resource" => axum::Json(json!({
                "resource": url, "authorization_servers": [url], "bearer_methods_supported": ["header"],
                "lowtouch_client_id": "lowtouch",
            }))
            .into_response(),
            "/.well-known/oauth-authorization-server" => axum::Json(json!({
                "issuer": url, "token_endpoint": format!("{url}/oauth/token"),
                "authorization_endpoint": format!("{url}/oauth/authorize"),
                "device_authorization_endpoint": format!("{url}/oauth/device_authorization"),
                "revocation_endpoint": format!("{url}/oauth/revoke"),
                "lowtouch_invite_endpoint": format!("{url}/oauth/invite"),
                "code_challenge_methods_supported": ["S256"],
            }))
            .into_response(),
            "/oauth/invite" => {
                assert_eq!((field("client_id"), field("code_challenge_method")), ("lowtouch", "S256"));
                let again = self.invite_used.swap(true, SeqCst) && !self.any_invites.load(SeqCst);
                if field("invite") != INVITE || again {
                    return refused("invalid_grant");
                }
                axum::Json(json!({ "code": CODE, "expires_in": 60 })).into_response()
            }
            "/oauth/device_authorization" => {
                *self.device_began.lock().unwrap() = Some(Instant::now());
                axum::Json(json!({
                    "device_code": "MARKED-device-code", "user_code": "WDJB-MJHT",
                    "verification_uri": format!("{url}/oauth/device"), "expires_in": 60, "interval": 1,
                }))
                .into_response()
            }
            "/oauth/token" => self.token(form).await,
            "/oauth/revoke" => {
                assert!(field("token").starts_with("MARKED-refresh"));
                self.revoked.fetch_add(1, SeqCst);
                if field("token") == format!("MARKED-refresh-{}", self.generation.load(SeqCst)) {
                    self.ended.store(true, SeqCst);
                }
                StatusCode::OK.into_response()
            }
            other if other.starts_with("/.well-known/") => StatusCode::NOT_FOUND.into_response(),
            "/v1/me" => match self.refusal(bearer) {
                Some(refused) => refused,
                None => {
                    let (account_id, name, role) = self.me.lock().unwrap().clone().unwrap();
                    let expires_at = jiff::Timestamp::now();
                    let me = Me { account_id, name, role, tenant: Some("default".into()), expires_at };
                    axum::Json(me).into_response()
                }
            },
            _ => self.refusal(bearer).unwrap_or_else(|| problem(403, "forbidden")),
        }
    }

    fn refusal(&self, bearer: Option<&str>) -> Option<Response> {
        let number = bearer.and_then(|bearer| bearer.strip_prefix("Bearer MARKED-access-")?.parse::<u32>().ok());
        if number.is_none_or(|number| number < self.oldest_access.load(SeqCst)) || self.refuse_all.load(SeqCst) {
            return Some(problem(401, "unauthenticated"));
        }
        self.forbidden.load(SeqCst).then(|| problem(403, "forbidden"))
    }

    async fn token(&self, form: &HashMap<String, String>) -> Response {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        assert_eq!(field("client_id"), "lowtouch");
        match field("grant_type") {
            "authorization_code" => {
                assert!(field("code_verifier").len() >= 43);
                if field("code") != CODE {
                    return refused("invalid_grant");
                }
            }
            "refresh_token" => {
                if self.hold.load(SeqCst) {
                    self.held.notify_one();
                    self.released.notified().await;
                }
                let newest = format!("MARKED-refresh-{}", self.generation.load(SeqCst));
                if field("refresh_token") != newest || self.ended.load(SeqCst) {
                    self.ended.store(true, SeqCst);
                    return refused("invalid_grant");
                }
                self.renewals.fetch_add(1, SeqCst);
            }
            _ => {
                assert_eq!(field("device_code"), "MARKED-device-code");
                let began = self.device_began.lock().unwrap().unwrap();
                self.polls.lock().unwrap().push(began.elapsed());
                match self.device_answers.lock().unwrap().pop().as_deref() {
                    Some("html") => return "<html>Welcome".into_response(),
                    None | Some("") => {}
                    Some(error) => return refused(error),
                }
            }
        }
        let number = self.generation.fetch_add(1, SeqCst) + 1;
        axum::Json(json!({
            "access_token": format!("MARKED-access-{number}"), "token_type": "Bearer",
            "refresh_token": format!("MARKED-refresh-{number}"), "expires_in": self.lifetime.load(SeqCst),
        }))
        .into_response()
    }
}

fn refused(error: &str) -> Response {
    (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": error, "error_description": "not this time" })))
        .into_response()
}

fn problem(status: u16, code: &str) -> Response {
    let body = json!({
        "status": status, "title": "Title", "code": code, "requestId": "6f1c0e0e-2f1e-4c58-93c8-5a2f7f3a0b11",
    });
    (StatusCode::from_u16(status).unwrap(), [("content-type", "application/problem+json")], body.to_string())
        .into_response()
}
