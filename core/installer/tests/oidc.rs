//! Sign-in at npm's `oidc-provider`, a certified issuer, for an API that trusts it: `cargo xtask test oidc`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test that cannot go on stops, and tells its figures

#[path = "it/server.rs"]
#[allow(dead_code)] // shared
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lowtouch_installer::ErrorCode;
use lowtouch_installer::api::Client;
use lowtouch_installer::net::{NetSettings, Proxy};
use lowtouch_installer::secrets::{Memory, SecretStore as _};
use lowtouch_installer::sign_in::{Ask, SignIn, SignedIn};
use oidc_fixture::{Options, Page, Provider};
use provisioning_api_contract::{Me, Role};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::server::{ca, serve, tls};

struct Site {
    provider: Provider,
    api: String,
    store: Arc<Memory>,
    sign_in: SignIn,
    _folder: TempDir,
}

/// An API that believes the issuer's tokens. How it checks them is its own affair (provisioning-api/tests/oidc.rs).
async fn site(options: Options) -> Site {
    let provider = Provider::start(options).await;
    let own = ca();
    let api = Arc::new((std::sync::OnceLock::<String>::new(), provider.issuer.clone()));
    let router = Router::new()
        .route("/.well-known/oauth-protected-resource", get(resource))
        .route("/v1/me", get(me))
        .with_state(api.clone());
    let address = serve(tls(&own, "localhost", false), router).await;
    let url = format!("https://localhost:{}", address.port());
    api.0.set(url.clone()).unwrap();
    let folder = TempDir::new().unwrap();
    let store = Arc::new(Memory::new());
    let net = NetSettings {
        extra_ca_pem: Some(format!("{}\n{}", provider.ca_pem, own.pem)),
        proxy: Proxy::Direct,
        ..NetSettings::default()
    };
    let sign_in = SignIn::new(folder.path(), store.clone(), net);
    Site { provider, api: url, store, sign_in, _folder: folder }
}

type Api = Arc<(std::sync::OnceLock<String>, String)>;

async fn resource(State(api): State<Api>) -> Response {
    axum::Json(json!({
        "resource": api.0.get().unwrap(), "authorization_servers": [api.1], "lowtouch_client_id": "lowtouch",
        "scopes_supported": [],
    }))
    .into_response()
}

async fn me(headers: HeaderMap) -> Response {
    let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let expires_at = jiff::Timestamp::from_second(claims["exp"].as_i64().unwrap()).unwrap();
    if expires_at <= jiff::Timestamp::now() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let name = claims["sub"].as_str().unwrap().to_owned();
    let me = Me { account_id: name.clone(), name, role: Role::Installer, tenant: None, expires_at };
    axum::Json(me).into_response()
}

impl Site {
    async fn with_browser(&self, login: &str) -> SignedIn {
        let (asked, ask) = tokio::sync::oneshot::channel();
        let mut asked = Some(asked);
        let app = self.sign_in.with_browser(&self.api, None, move |ask| {
            let _ = asked.take().unwrap().send(ask);
        });
        let person = async {
            let Ask::Open { url } = ask.await.unwrap() else { panic!("another way to sign in") };
            let mut browser = self.provider.browser();
            let back = browser.sign_in(url, login).await.redirect.unwrap();
            browser.open(back).await
        };
        let (done, page): (_, Page) = tokio::join!(app, person);
        let done = done.unwrap();
        assert!(page.body.contains(&format!("Signed in as {login}")), "{}", page.body);
        done
    }

    /// What is kept of the refresh token now.
    async fn refresh_token(&self) -> String {
        let account = &self.sign_in.accounts().unwrap().all[0];
        let kept = self.store.get(&format!("sign-in {}", account.id)).await.unwrap().unwrap();
        let kept: Value = serde_json::from_str(kept.expose_secret()).unwrap();
        kept["refresh"].as_str().unwrap().to_owned()
    }

    /// As somebody would who has that refresh token.
    async fn use_refresh_token(&self, token: &str) -> u16 {
        let url: Url = format!("{}/token", self.provider.issuer).parse().unwrap();
        let form = [("grant_type", "refresh_token"), ("client_id", "lowtouch"), ("refresh_token", token)];
        self.provider.browser().post(url, &form).await.status
    }
}

#[tokio::test]
#[ignore = "needs npm's packages: cargo xtask test oidc"]
async fn a_person_signs_in_with_the_browser_stays_signed_in_and_a_stolen_old_token_ends_it() {
    // Ends soon, but not before the app has asked with it who it is: ends are whole seconds.
    let site = site(Options { access_ttl: 3, ..Options::default() }).await;
    let done = site.with_browser("ines").await;
    assert_eq!((done.account.person.as_str(), done.account.role), ("ines", Role::Installer));
    assert!(done.renewable && done.clock_wrong_by_s.is_none());
    assert_eq!(done.round_trips, 4, "two to find the issuer, the token, who it is");
    println!("browser: {} round trips, {:.2} s", done.round_trips, done.seconds);

    let client = Client::signed_in(site.sign_in.tokens(None).unwrap());
    let first = site.refresh_token().await;
    let until = Instant::now() + Duration::from_secs(20);
    while site.refresh_token().await == first {
        client.me().await.unwrap();
        assert!(Instant::now() < until, "the token was never renewed");
    }
    assert_eq!(site.use_refresh_token(&first).await, 400);
    let error = loop {
        match client.me().await {
            Ok(_) => assert!(Instant::now() < until, "the family goes on"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code, ErrorCode::SignedOut);
    assert!(site.sign_in.accounts().unwrap().all[0].signed_out);
}

#[tokio::test]
#[ignore = "needs npm's packages: cargo xtask test oidc"]
async fn a_person_signs_in_on_another_screen_and_signs_out_everywhere() {
    let site = site(Options::default()).await;
    let (asked, ask) = tokio::sync::oneshot::channel();
    let mut asked = Some(asked);
    let app = site.sign_in.with_device_code(&site.api, None, move |ask| {
        let _ = asked.take().unwrap().send(ask);
    });
    let person = async {
        let Ask::Enter { url, complete, code, .. } = ask.await.unwrap() else { panic!("another way to sign in") };
        assert_eq!(url.origin(), complete.as_ref().unwrap().origin());
        assert!(code.len() >= 8, "{code}");
        site.provider.browser().sign_in(complete.unwrap(), "ines").await
    };
    let (done, page) = tokio::join!(app, person);
    assert_eq!(page.status, 200, "{}", page.body);
    let done = done.unwrap();
    assert_eq!(done.account.person, "ines");
    println!("device code: {} round trips, {:.2} s", done.round_trips, done.seconds);

    // Another account beside it, and the first one's sign-out leaves it alone.
    let ada = site.with_browser("ada").await;
    assert_eq!(site.sign_in.accounts().unwrap().current, Some(ada.account.name));
    let refresh = site.refresh_token().await;
    let out = site.sign_in.sign_out(Some("ines")).await.unwrap();
    assert!(out.not_revoked.is_none(), "{out:?}");
    assert_eq!(site.use_refresh_token(&refresh).await, 400, "it is revoked at the issuer");
    assert_eq!(site.sign_in.valid(&site.api).await.unwrap().unwrap().person, "ada");
}
