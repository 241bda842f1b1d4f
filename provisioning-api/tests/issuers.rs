//! Tokens of another issuer, which this test plays: what of them is accepted, and what its answers may be.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::StatusCode;
use axum::routing::get;
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use common::{Answer, Api, nobody};
use provisioning_api::{IssuerConfig, IssuerTenant, Role};
use provisioning_api_contract::{Me, ProblemCode};
use reqwest::Method;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use serde_json::{Value, json};

enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    fn p256() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap())
    }

    fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    /// Of these tests only: ring makes no RSA keys.
    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(include_bytes!("data/issuer-rsa2048.pk8")).unwrap())
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::P256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256", "x": BASE64.encode(x), "y": BASE64.encode(y) })
            }
            Self::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": BASE64.encode(key.public_key().as_ref()) })
            }
            Self::Rsa(key) => {
                let ring::rsa::PublicKeyComponents::<Vec<u8>> { n, e } = key.public().into();
                json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": BASE64.encode(n), "e": BASE64.encode(e) })
            }
        }
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let padding: &dyn ring::signature::RsaEncoding =
                    if algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                key.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.sign(header["alg"].as_str().unwrap(), message.as_bytes());
        format!("{message}.{}", BASE64.encode(signature))
    }
}

/// What the issuer answers with.
struct Says {
    issuer: String,
    keys: Vec<Value>,
    asked: u32,
    down: bool,
}

struct Played {
    url: String,
    ca_pem: String,
    says: Arc<Mutex<Says>>,
    handle: axum_server::Handle<SocketAddr>,
}

impl Played {
    async fn start() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let tls = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let says = Says { issuer: url.clone(), keys: Vec::new(), asked: 0, down: false };
        let says = Arc::new(Mutex::new(says));
        let (metadata, keys) = (says.clone(), says.clone());
        let base = url.clone();
        let routes = axum::Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async move || {
                    let says = metadata.lock().unwrap();
                    if says.down {
                        return Err(StatusCode::SERVICE_UNAVAILABLE);
                    }
                    Ok(Json(json!({ "issuer": says.issuer, "jwks_uri": format!("{base}/keys") })))
                }),
            )
            .route(
                "/keys",
                get(async move || {
                    let mut says = keys.lock().unwrap();
                    says.asked += 1;
                    Json(json!({ "keys": says.keys }))
                }),
            );
        let handle = axum_server::Handle::new();
        let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(tls))).unwrap();
        tokio::spawn(server.handle(handle.clone()).serve(routes.into_make_service()));
        Self { url, ca_pem, says, handle }
    }

    fn keys(&self, keys: Vec<Value>) {
        self.says.lock().unwrap().keys = keys;
    }

    fn asked(&self) -> u32 {
        self.says.lock().unwrap().asked
    }

    fn config(&self) -> IssuerConfig {
        IssuerConfig {
            issuer: self.url.clone(),
            audience: vec!["lowtouch-api".into()],
            client_id: "lowtouch-app".into(),
            scopes: vec!["openid".into()],
            role_claim: "realm_access.roles".into(),
            roles: vec![("admins".into(), Role::Administrator), ("field".into(), Role::Installer)],
            tenant: IssuerTenant::All,
            name_claim: "name".into(),
            ca_pem: Some(self.ca_pem.clone()),
        }
    }

    async fn api(&self, change: impl FnOnce(&mut IssuerConfig)) -> Api {
        let mut config = self.config();
        change(&mut config);
        Api::start_with(vec![nobody("north")], |options| options.issuers = vec![config]).await
    }

    fn claims(&self) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({
            "iss": self.url, "aud": ["lowtouch-api", "another"], "sub": "4711", "iat": now, "nbf": now, "exp": now + 300,
            "name": "Ines Field", "realm_access": { "roles": ["other", "field"] },
        })
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

/// `overlay` over `base`; null removes.
fn with(base: &Value, overlay: Value) -> Value {
    let mut base = base.as_object().unwrap().clone();
    for (name, value) in overlay.as_object().unwrap() {
        if value.is_null() {
            base.remove(name);
        } else {
            base.insert(name.clone(), value.clone());
        }
    }
    base.into()
}

async fn me(api: &Api, token: &str) -> Answer {
    api.send(Method::GET, "/v1/me", Some(token), None).await
}

#[track_caller]
fn is_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {}", String::from_utf8_lossy(&answer.body));
    answer.refused(401, ProblemCode::Unauthenticated);
    assert!(answer.headers["www-authenticate"].to_str().unwrap().contains("invalid_token"), "{what}");
}

#[tokio::test]
async fn good_tokens_of_every_allowed_algorithm_are_accepted_and_are_one_account() {
    let played = Played::start().await;
    let api = played.api(|_| {}).await;
    let (p256, ed25519, rsa) = (Key::p256(), Key::ed25519(), Key::rsa());
    // Keys of kinds that are not known, or that are for something else, do no harm.
    played.keys(vec![
        json!({ "kty": "AKP", "kid": "new", "alg": "ML-DSA-44", "pub": "AA" }),
        json!({ "kty": "oct", "kid": "shared", "k": "c2VjcmV0" }),
        p256.jwk("p256"),
        ed25519.jwk("ed"),
        rsa.jwk("rsa"),
    ]);
    let mut accounts = Vec::new();
    for (key, kid, algorithm) in
        [(&p256, "p256", "ES256"), (&ed25519, "ed", "EdDSA"), (&rsa, "rsa", "RS256"), (&rsa, "rsa", "PS256")]
    {
        for typ in [json!("at+jwt"), json!("JWT"), Value::Null] {
            let header = with(&json!({ "alg": algorithm, "kid": kid }), json!({ "typ": typ }));
            let me: Me = me(&api, &key.token(&header, &played.claims())).await.ok();
            assert_eq!((me.name.as_str(), me.role), ("Ines Field", provisioning_api_contract::Role::Installer));
            accounts.push(me.account_id);
        }
    }
    accounts.dedup();
    assert_eq!(accounts.len(), 1);
    // The role is what the token says today.
    let promoted = with(&played.claims(), json!({ "realm_access": { "roles": ["field", "admins"] } }));
    let promoted: Me = me(&api, &p256.token(&json!({ "alg": "ES256", "kid": "p256" }), &promoted)).await.ok();
    assert_eq!(promoted.role, provisioning_api_contract::Role::Administrator);
    assert_eq!(promoted.account_id, accounts[0]);
    // Another person is another account; a disabled one is out at the next call.
    let other = with(&played.claims(), json!({ "sub": "4712" }));
    let other: Me = me(&api, &p256.token(&json!({ "alg": "ES256", "kid": "p256" }), &other)).await.ok();
    assert_ne!(other.account_id, accounts[0]);
    assert!(api.running.office().set_account_disabled(&accounts[0], true).await.unwrap());
    is_refused(&me(&api, &p256.token(&json!({ "alg": "ES256", "kid": "p256" }), &played.claims())).await, "disabled");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_it_is_refused_and_the_answer_does_not_say_why() {
    let played = Played::start().await;
    let api = played.api(|_| {}).await;
    let (key, rsa) = (Key::p256(), Key::rsa());
    let stranger = Key::p256();
    played.keys(vec![key.jwk("k"), rsa.jwk("r"), with(&stranger.jwk("enc"), json!({ "use": "enc" }))]);
    let (header, claims, now) =
        (json!({ "alg": "ES256", "kid": "k" }), played.claims(), jiff::Timestamp::now().as_second());
    let _: Me = me(&api, &key.token(&header, &claims)).await.ok();

    // A minute is what the clocks may differ by.
    for (what, inside) in [("exp", json!({ "exp": now - 45 })), ("nbf", json!({ "nbf": now + 60 }))] {
        let answer = me(&api, &key.token(&header, &with(&claims, inside))).await;
        assert!(answer.status.is_success(), "{what} just inside the skew");
    }
    for (what, wrong) in [
        ("over", json!({ "exp": now - 61 })),
        ("before its time", json!({ "nbf": now + 75 })),
        ("no end", json!({ "exp": null })),
        ("an end that is no number", json!({ "exp": "tomorrow" })),
        ("another audience", json!({ "aud": "another" })),
        ("the app's audience", json!({ "aud": "lowtouch-app" })),
        ("no audience", json!({ "aud": null })),
        ("an empty audience", json!({ "aud": [] })),
        ("another issuer", json!({ "iss": "https://localhost:1" })),
        ("nearly the issuer", json!({ "iss": format!("{}/", played.url) })),
        ("no issuer", json!({ "iss": null })),
        ("several issuers", json!({ "iss": [played.url] })),
        ("no subject", json!({ "sub": null })),
        ("an empty subject", json!({ "sub": "" })),
        ("a subject without end", json!({ "sub": "x".repeat(300) })),
    ] {
        is_refused(&me(&api, &key.token(&header, &with(&claims, wrong))).await, what);
    }
    for (what, header, signer) in [
        ("a stranger's signature", header.clone(), &stranger),
        ("a key that is for encryption", json!({ "alg": "ES256", "kid": "enc" }), &stranger),
        ("a key that is not there", json!({ "alg": "ES256", "kid": "gone" }), &key),
        ("an ID of another kind of key", json!({ "alg": "ES256", "kid": "r" }), &key),
        ("a logout token", with(&header, json!({ "typ": "logout+jwt" })), &key),
        ("a proof", with(&header, json!({ "typ": "dpop+jwt" })), &key),
        ("extensions", with(&header, json!({ "crit": ["b64"], "b64": false })), &key),
        ("RS384", json!({ "alg": "RS384", "kid": "r" }), &rsa),
        ("an algorithm that is none", json!({ "alg": "ES257", "kid": "k" }), &key),
    ] {
        is_refused(&me(&api, &signer.token(&header, &claims)).await, what);
    }
    // No signature, and a public key as if it were a shared secret.
    let part = |value: &Value| BASE64.encode(value.to_string());
    for alg in ["none", "None", "NONE", "nOnE"] {
        for signature in ["", "AAAA"] {
            let token = format!("{}.{}.{signature}", part(&json!({ "alg": alg })), part(&claims));
            is_refused(&me(&api, &token).await, alg);
        }
    }
    let message = format!("{}.{}", part(&json!({ "alg": "HS256", "kid": "r" })), part(&claims));
    for secret in [rsa.jwk("r")["n"].as_str().unwrap().as_bytes().to_vec(), b"secret".to_vec()] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
        let signature = BASE64.encode(ring::hmac::sign(&key, message.as_bytes()));
        is_refused(&me(&api, &format!("{message}.{signature}")).await, "HS256");
    }
    // Damaged anywhere.
    let good = key.token(&header, &claims);
    for at in [5, good.find('.').unwrap() + 20, good.len() - 10] {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        is_refused(&me(&api, &String::from_utf8(bytes).unwrap()).await, "damaged");
    }
    for token in
        ["a.b.c", "..", &format!("{good}.x"), &good[..good.len() - 60], &format!("{good}{}", "A".repeat(20_000))]
    {
        is_refused(&me(&api, token).await, "torn");
    }
}

#[tokio::test]
async fn without_a_role_or_a_tenant_the_answer_says_what_is_missing() {
    let played = Played::start().await;
    let key = Key::p256();
    played.keys(vec![key.jwk("k")]);
    let token = |claims: Value| key.token(&json!({ "alg": "ES256" }), &claims);
    let api = played.api(|config| config.tenant = IssuerTenant::Claim("org.unit".into())).await;
    for roles in [json!({ "realm_access": null }), json!({ "realm_access": { "roles": ["other"] } })] {
        let problem = me(&api, &token(with(&played.claims(), roles))).await.refused(403, ProblemCode::Forbidden);
        assert!(problem.detail.unwrap().contains("role"));
    }
    for tenant in [json!({}), json!({ "org": { "unit": "nowhere" } })] {
        let problem = me(&api, &token(with(&played.claims(), tenant))).await.refused(403, ProblemCode::Forbidden);
        assert!(problem.detail.unwrap().contains("tenant"));
    }
    let me: Me = me(&api, &token(with(&played.claims(), json!({ "org": { "unit": "default" } })))).await.ok();
    assert_eq!(me.tenant.as_deref(), Some("default"));
}

#[tokio::test]
async fn keys_that_change_are_found_and_guessers_do_not_make_us_ask_and_ask() {
    let played = Played::start().await;
    let api = played.api(|_| {}).await;
    let keys: Vec<Key> = (0..3).map(|_| Key::p256()).collect();
    for (number, key) in keys.iter().enumerate() {
        let kid = format!("key-{number}");
        played.keys(vec![key.jwk(&kid)]);
        for _ in 0..3 {
            let _: Me = me(&api, &key.token(&json!({ "alg": "ES256", "kid": kid }), &played.claims())).await.ok();
        }
    }
    assert_eq!(played.asked(), 3);
    // The one before is not good any more.
    let old = keys[1].token(&json!({ "alg": "ES256", "kid": "key-1" }), &played.claims());
    is_refused(&me(&api, &old).await, "a key that was taken back");
    let asked = played.asked();
    for number in 0..20 {
        let token = keys[2].token(&json!({ "alg": "ES256", "kid": format!("guess-{number}") }), &played.claims());
        is_refused(&me(&api, &token).await, "a guess");
    }
    assert!(played.asked() <= asked + 1, "{}", played.asked());
    let _: Me = me(&api, &keys[2].token(&json!({ "alg": "ES256", "kid": "key-2" }), &played.claims())).await.ok();
}

#[tokio::test]
async fn while_an_issuer_is_down_its_known_keys_are_used_and_else_the_answer_is_to_come_back() {
    let played = Played::start().await;
    let api = played.api(|_| {}).await;
    let key = Key::p256();
    played.keys(vec![key.jwk("k")]);
    played.says.lock().unwrap().down = true;
    let token = key.token(&json!({ "alg": "ES256", "kid": "k" }), &played.claims());
    let answer = me(&api, &token).await;
    answer.refused(503, ProblemCode::IssuerUnavailable);
    assert!(answer.headers.contains_key("retry-after"));
    // Our own tokens do not depend on it.
    let _: Me = me(&api, &api.installer).await.ok();
    played.says.lock().unwrap().down = false;
    let _: Me = me(&api, &token).await.ok();
    played.says.lock().unwrap().down = true;
    let _: Me = me(&api, &token).await.ok();
    is_refused(&me(&api, &key.token(&json!({ "alg": "ES256", "kid": "x" }), &played.claims())).await, "unknown key");
}

#[tokio::test]
async fn metadata_that_is_another_issuers_is_not_believed() {
    let played = Played::start().await;
    let api = played.api(|_| {}).await;
    let key = Key::p256();
    played.keys(vec![key.jwk("k")]);
    played.says.lock().unwrap().issuer = "https://evil.example".into();
    let token = key.token(&json!({ "alg": "ES256", "kid": "k" }), &played.claims());
    me(&api, &token).await.refused(503, ProblemCode::IssuerUnavailable);
}

#[tokio::test]
async fn apps_are_told_who_signs_in_and_as_which_client() {
    let played = Played::start().await;
    let api = played.api(|_| {}).await;
    let resource: Value = api.send(Method::GET, "/.well-known/oauth-protected-resource", None, None).await.ok();
    assert_eq!(resource["authorization_servers"], json!([played.url, api.running.url]));
    assert_eq!(resource["lowtouch_client_id"], "lowtouch-app");
    assert_eq!(resource["lowtouch_clients"][1]["client_id"], "lowtouch");
}
