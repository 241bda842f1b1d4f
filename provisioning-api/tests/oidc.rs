//! Sign-in at npm's oidc-provider, a certified issuer, and its tokens at the API. `cargo xtask test oidc` runs it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{Answer, Api, nobody};
use oidc_fixture::{Options, Provider};
use provisioning_api::{IssuerConfig, IssuerTenant, Role};
use provisioning_api_contract::{Me, ProblemCode};
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

async fn start() -> (Provider, Api) {
    let claims = [("ines", json!({ "roles": ["installer"] })), ("ada", json!({ "roles": ["fleet", "installer"] }))];
    let claims = claims.map(|(name, claims)| (name.to_owned(), claims)).into();
    let provider = Provider::start(Options { claims, ..Options::default() }).await;
    let issuer = IssuerConfig {
        issuer: provider.issuer.clone(),
        audience: vec!["lowtouch-api".into()],
        client_id: "lowtouch".into(),
        scopes: vec!["openid".into(), "offline_access".into()],
        role_claim: "roles".into(),
        roles: vec![("fleet".into(), Role::Administrator), ("installer".into(), Role::Installer)],
        tenant: IssuerTenant::Named("default".into()),
        name_claim: "name".into(),
        ca_pem: Some(provider.ca_pem.clone()),
    };
    let api = Api::start_with(vec![nobody("north")], |options| options.issuers = vec![issuer]).await;
    (provider, api)
}

async fn me(api: &Api, token: &str) -> Answer {
    api.send(Method::GET, "/v1/me", Some(token), None).await
}

/// Device-code sign-in (RFC 8628) as an app does it: metadata from the API, the code, a person's browser, polling.
async fn device_code(provider: &Provider, api: &Api, login: &str) -> Value {
    let resource: Value = api.send(Method::GET, "/.well-known/oauth-protected-resource", None, None).await.ok();
    let issuer = resource["authorization_servers"][0].as_str().unwrap();
    let client = resource["lowtouch_client_id"].as_str().unwrap();
    let mut app = provider.browser();
    let metadata = app.open(Url::parse(&format!("{issuer}/.well-known/openid-configuration")).unwrap()).await;
    let metadata: Value = serde_json::from_str(&metadata.body).unwrap();
    let endpoint = |name: &str| Url::parse(metadata[name].as_str().unwrap()).unwrap();
    let scope = [("client_id", client), ("scope", "openid offline_access")];
    let begun = app.post(endpoint("device_authorization_endpoint"), &scope).await;
    let begun: Value = serde_json::from_str(&begun.body).unwrap();
    let page = Url::parse(begun["verification_uri_complete"].as_str().unwrap()).unwrap();
    provider.browser().sign_in(page, login).await;
    let poll = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", client),
        ("device_code", begun["device_code"].as_str().unwrap()),
    ];
    let answer = app.post(endpoint("token_endpoint"), &poll).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
#[ignore = "needs Node: cargo xtask test oidc"]
async fn who_signs_in_at_the_issuer_is_known_here_and_goes_on_when_its_keys_change() {
    let (mut provider, api) = start().await;
    let pkce = provider.tokens("ines").await;
    let before: Me = me(&api, pkce["access_token"].as_str().unwrap()).await.ok();
    assert_eq!((before.role, before.tenant.as_deref()), (provisioning_api_contract::Role::Installer, Some("default")));
    // An ID token says who signed in to the app; it is no key to the API.
    me(&api, pkce["id_token"].as_str().unwrap()).await.refused(401, ProblemCode::Unauthenticated);

    provider.rotate_key().await;
    // The old key is gone from the key set, but known here until a new one is seen.
    let _: Me = me(&api, pkce["access_token"].as_str().unwrap()).await.ok();
    let device = device_code(&provider, &api, "ada").await;
    let ada: Me = me(&api, device["access_token"].as_str().unwrap()).await.ok();
    assert_eq!(ada.role, provisioning_api_contract::Role::Administrator);
    assert_ne!(ada.account_id, before.account_id);
    me(&api, pkce["access_token"].as_str().unwrap()).await.refused(401, ProblemCode::Unauthenticated);
    let again = provider.tokens("ines").await;
    let again: Me = me(&api, again["access_token"].as_str().unwrap()).await.ok();
    assert_eq!(again.account_id, before.account_id);
    // Known, but without a role: told so.
    let nobody = provider.tokens("otto").await;
    let problem = me(&api, nobody["access_token"].as_str().unwrap()).await.refused(403, ProblemCode::Forbidden);
    assert!(problem.detail.unwrap().contains("role"));
}

#[tokio::test]
#[ignore = "needs Node: cargo xtask test oidc"]
async fn tokens_that_the_issuer_signed_for_others_or_for_another_time_are_refused() {
    let (mut provider, api) = start().await;
    let now = jiff::Timestamp::now().as_second();
    let good = json!({
        "iss": provider.issuer, "aud": "lowtouch-api", "sub": "ines", "exp": now + 300, "iat": now, "roles": ["installer"],
    });
    let mut ask = async |overlay: Value, header: Value| {
        let mut claims = good.as_object().unwrap().clone();
        claims.extend(overlay.as_object().unwrap().clone());
        let token = provider.sign(&header, &claims.into()).await;
        me(&api, &token).await
    };
    let none = json!({});
    assert!(ask(json!({}), none.clone()).await.status.is_success());
    assert!(ask(json!({ "exp": now - 40 }), none.clone()).await.status.is_success(), "within the skew");
    assert!(ask(json!({ "nbf": now + 60 }), none.clone()).await.status.is_success(), "within the skew");
    for wrong in [
        json!({ "aud": "another-api" }),
        json!({ "aud": "lowtouch" }),
        json!({ "iss": "https://localhost:1" }),
        json!({ "exp": now - 61 }),
        json!({ "nbf": now + 90 }),
    ] {
        ask(wrong, none.clone()).await.refused(401, ProblemCode::Unauthenticated);
    }
    ask(json!({}), json!({ "typ": "logout+jwt" })).await.refused(401, ProblemCode::Unauthenticated);
    ask(json!({}), json!({ "kid": "unknown" })).await.refused(401, ProblemCode::Unauthenticated);
}
