//! Signing in with the embedded authorization server, as an app does it over TLS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Answer, Api, finish};
use provisioning_api::Role;
use provisioning_api_contract::{Me, NewInvite, ProblemCode};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const VERIFIER: &str = "a-verifier-of-this-test-that-is-long-enough-for-rfc-7636";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

fn encoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn posted(http: &reqwest::Client, url: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    http.post(url).header("content-type", "application/x-www-form-urlencoded").body(encoded(fields))
}

/// What an app has once it is signed in.
struct Tokens {
    access: String,
    refresh: String,
}

trait SignIn {
    async fn invite(&self, role: Role, name: &str) -> String;
    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer;
    async fn redeem(&self, invite: &str, verifier: &str) -> Answer;
    async fn exchange(&self, code: &str, verifier: &str) -> Answer;
    async fn refresh(&self, token: &str) -> Answer;
    async fn sign_in(&self, invite: &str) -> Tokens;
    async fn me(&self, token: &str) -> Answer;
}

impl SignIn for Api {
    async fn invite(&self, role: Role, name: &str) -> String {
        let (_, code, _) = self.running.office().invite(role, name, None, 15).await.unwrap();
        code.expose_secret().to_owned()
    }

    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        finish(posted(&self.http, &format!("{}{path}", self.running.url), fields)).await
    }

    async fn redeem(&self, invite: &str, verifier: &str) -> Answer {
        let challenge = challenge(verifier);
        let fields = [
            ("client_id", "lowtouch"),
            ("invite", invite),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        self.form("/oauth/invite", &fields).await
    }

    async fn exchange(&self, code: &str, verifier: &str) -> Answer {
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", "lowtouch"),
            ("code", code),
            ("code_verifier", verifier),
        ];
        self.form("/oauth/token", &fields).await
    }

    async fn refresh(&self, token: &str) -> Answer {
        let fields = [("grant_type", "refresh_token"), ("client_id", "lowtouch"), ("refresh_token", token)];
        self.form("/oauth/token", &fields).await
    }

    async fn sign_in(&self, invite: &str) -> Tokens {
        let code: Value = self.redeem(invite, VERIFIER).await.ok();
        tokens(&self.exchange(code["code"].as_str().unwrap(), VERIFIER).await)
    }

    async fn me(&self, token: &str) -> Answer {
        self.send(Method::GET, "/v1/me", Some(token), None).await
    }
}

#[track_caller]
fn tokens(answer: &Answer) -> Tokens {
    let body: Value = answer.ok();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    Tokens { access: text("access_token"), refresh: text("refresh_token") }
}

/// An error in the form of RFC 6749, 5.2.
#[track_caller]
fn refused(answer: &Answer, error: &str) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    assert_eq!((answer.status.as_u16(), &body["error"]), (400, &json!(error)), "{body}");
    assert!(body["error_description"].is_string());
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[track_caller]
fn is_ended(answer: &Answer) {
    answer.refused(401, ProblemCode::Unauthenticated);
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Bearer error=\"invalid_token\", resource_metadata=\"https://"), "{challenge}");
}

#[tokio::test]
async fn an_app_finds_out_by_itself_how_to_sign_in() {
    let api = Api::start(vec![]).await;
    let answer = api.send(Method::GET, "/v1/me", None, None).await;
    answer.refused(401, ProblemCode::Unauthenticated);
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    let metadata = challenge.strip_prefix("Bearer resource_metadata=\"").unwrap().strip_suffix('"').unwrap();
    let resource: Value = finish(api.http.get(metadata)).await.ok();
    assert_eq!(resource["resource"], api.running.url);
    assert_eq!(resource["lowtouch_client_id"], "lowtouch");
    let issuer = resource["authorization_servers"][0].as_str().unwrap();
    let server: Value = finish(api.http.get(format!("{issuer}/.well-known/oauth-authorization-server"))).await.ok();
    assert_eq!(server["issuer"], issuer);
    assert_eq!(server["code_challenge_methods_supported"], json!(["S256"]));
    for endpoint in ["authorization_endpoint", "token_endpoint", "device_authorization_endpoint", "revocation_endpoint"]
    {
        assert!(server[endpoint].as_str().unwrap().starts_with(issuer), "{endpoint}");
    }
}

#[tokio::test]
async fn an_invite_lets_one_app_in_as_whom_it_is_for() {
    let api = Api::start(vec![]).await;
    let invite = api.invite(Role::Installer, "Ines").await;
    let signed_in = api.sign_in(&invite.to_lowercase().replace('-', " ")).await;
    let me: Me = api.me(&signed_in.access).await.ok();
    assert_eq!((me.name.as_str(), me.role, me.tenant), ("Ines", provisioning_api_contract::Role::Installer, None));
    let left = me.expires_at.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((880..=900).contains(&left), "{left}");
    refused(&api.redeem(&invite, "another-app-with-a-verifier-of-its-own-0123456789").await, "invalid_grant");
    // The next phone of the same person.
    let again = api.sign_in(&api.invite(Role::Installer, "Ines").await).await;
    let again: Me = api.me(&again.access).await.ok();
    assert_eq!(again.account_id, me.account_id);
}

#[tokio::test]
async fn of_all_who_use_an_invite_at_once_one_gets_in() {
    let api = Api::start(vec![]).await;
    let invite = api.invite(Role::Installer, "Ines").await;
    let verifiers: Vec<String> = (0..12).map(|number| format!("{VERIFIER}-{number}")).collect();
    let answers = futures::future::join_all(verifiers.iter().map(|verifier| api.redeem(&invite, verifier))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        refused(answer, "invalid_grant");
    }
}

#[tokio::test]
async fn of_all_who_use_a_code_or_a_refresh_token_at_once_at_most_one_goes_on() {
    let api = Api::start_with(vec![], |options| options.limits.refresh_retry = Duration::ZERO).await;
    let invite = api.invite(Role::Installer, "Ines").await;
    let code: Value = api.redeem(&invite, VERIFIER).await.ok();
    let code = code["code"].as_str().unwrap();
    let answers = futures::future::join_all((0..8).map(|_| api.exchange(code, VERIFIER))).await;
    let won: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    // A code that comes twice was stolen, and nobody knows who of the two the thief is.
    let won = tokens(won[0]);
    is_ended(&api.me(&won.access).await);

    let signed_in = api.sign_in(&api.invite(Role::Installer, "Ines").await).await;
    let answers = futures::future::join_all((0..8).map(|_| api.refresh(&signed_in.refresh))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    is_ended(&api.me(&signed_in.access).await);
}

#[tokio::test]
async fn an_app_that_lost_the_answer_to_its_invite_asks_again() {
    let api = Api::start(vec![]).await;
    let invite = api.invite(Role::Installer, "Ines").await;
    let lost: Value = api.redeem(&invite, VERIFIER).await.ok();
    let code: Value = api.redeem(&invite, VERIFIER).await.ok();
    refused(&api.exchange(lost["code"].as_str().unwrap(), VERIFIER).await, "invalid_grant");
    tokens(&api.exchange(code["code"].as_str().unwrap(), VERIFIER).await);
    refused(&api.redeem(&invite, VERIFIER).await, "invalid_grant");
}

#[tokio::test]
async fn refresh_tokens_rotate_and_one_that_comes_again_ends_the_sign_in() {
    let api = Api::start(vec![]).await;
    let first = api.sign_in(&api.invite(Role::Installer, "Ines").await).await;
    let second = tokens(&api.refresh(&first.refresh).await);
    // Requests that are under way with the access token from before are not cut off.
    let _: Me = api.me(&first.access).await.ok();
    let third = tokens(&api.refresh(&second.refresh).await);
    let _: Me = api.me(&third.access).await.ok();
    refused(&api.refresh(&first.refresh).await, "invalid_grant");
    refused(&api.refresh(&third.refresh).await, "invalid_grant");
    is_ended(&api.me(&third.access).await);
}

#[tokio::test]
async fn an_app_that_lost_the_answer_to_its_refresh_asks_again_and_only_one_of_the_answers_counts() {
    let api = Api::start(vec![]).await;
    let first = api.sign_in(&api.invite(Role::Installer, "Ines").await).await;
    let lost = tokens(&api.refresh(&first.refresh).await);
    let second = tokens(&api.refresh(&first.refresh).await);
    is_ended(&api.me(&lost.access).await);
    let _: Me = api.me(&second.access).await.ok();
    // The answer was not lost but stolen: its use ends the thief's and the app's sign-in.
    refused(&api.refresh(&lost.refresh).await, "invalid_grant");
    is_ended(&api.me(&second.access).await);
    refused(&api.refresh(&second.refresh).await, "invalid_grant");
}

#[tokio::test]
async fn after_the_time_for_lost_answers_a_second_use_is_a_theft() {
    let api = Api::start_with(vec![], |options| options.limits.refresh_retry = Duration::ZERO).await;
    let first = api.sign_in(&api.invite(Role::Installer, "Ines").await).await;
    let second = tokens(&api.refresh(&first.refresh).await);
    refused(&api.refresh(&first.refresh).await, "invalid_grant");
    refused(&api.refresh(&second.refresh).await, "invalid_grant");
}

#[tokio::test]
async fn signing_out_ends_the_whole_sign_in_and_no_other() {
    let api = Api::start(vec![]).await;
    let phone = api.sign_in(&api.invite(Role::Installer, "Ines").await).await;
    let laptop = api.sign_in(&api.invite(Role::Installer, "Ines").await).await;
    for token in [&phone.refresh, "unknown", &api.installer] {
        let answer = api.form("/oauth/revoke", &[("client_id", "lowtouch"), ("token", token)]).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    }
    is_ended(&api.me(&phone.access).await);
    refused(&api.refresh(&phone.refresh).await, "invalid_grant");
    let _: Me = api.me(&laptop.access).await.ok();
    // A token of the command line is the operator's to end.
    let _: Me = api.me(&api.installer).await.ok();
}

#[tokio::test]
async fn what_ends_is_over_at_the_next_call() {
    let api = Api::start_with(vec![], |options| {
        options.limits.access_token = Duration::ZERO;
        options.limits.refresh_idle = Duration::ZERO;
    })
    .await;
    let invite = api.invite(Role::Installer, "Ines").await;
    let code: Value = api.redeem(&invite, VERIFIER).await.ok();
    let pair: Value = api.exchange(code["code"].as_str().unwrap(), VERIFIER).await.ok();
    is_ended(&api.me(pair["access_token"].as_str().unwrap()).await);
    refused(&api.refresh(pair["refresh_token"].as_str().unwrap()).await, "invalid_grant");
}

#[tokio::test]
async fn a_disabled_account_is_out_at_the_next_call_in_every_way() {
    let api = Api::start(vec![]).await;
    let office = api.running.office();
    let signed_in = api.sign_in(&api.invite(Role::Installer, "Ines").await).await;
    let unused = api.invite(Role::Installer, "Ines").await;
    let pending: Value = api.redeem(&api.invite(Role::Installer, "Ines").await, VERIFIER).await.ok();
    let me: Me = api.me(&signed_in.access).await.ok();
    assert!(office.set_account_disabled(&me.account_id, true).await.unwrap());
    assert!(!office.set_account_disabled(&me.account_id, true).await.unwrap());
    is_ended(&api.me(&signed_in.access).await);
    refused(&api.refresh(&signed_in.refresh).await, "invalid_grant");
    refused(&api.redeem(&unused, VERIFIER).await, "invalid_grant");
    refused(&api.exchange(pending["code"].as_str().unwrap(), VERIFIER).await, "invalid_grant");
    // Enabled again, it may sign in anew, and no more.
    assert!(office.set_account_disabled(&me.account_id, false).await.unwrap());
    is_ended(&api.me(&signed_in.access).await);
    refused(&api.refresh(&signed_in.refresh).await, "invalid_grant");
    let again = api.sign_in(&api.invite(Role::Installer, "Ines").await).await;
    let again: Me = api.me(&again.access).await.ok();
    assert_eq!(again.account_id, me.account_id);
}

#[tokio::test]
async fn administrators_invite_list_and_withdraw_and_others_do_not() {
    let api = Api::start(vec![]).await;
    let administrator = Some(api.administrator.as_str());
    let body = json!({ "role": "auditor", "name": "Otto", "minutes": 5 });
    let answer = api.send(Method::POST, "/v1/invites", administrator, Some(body.clone())).await;
    assert_eq!(answer.status, 201);
    let invite: NewInvite = answer.ok();
    let server: String = url::form_urlencoded::byte_serialize(api.running.url.as_bytes()).collect();
    assert_eq!(invite.link, format!("lowtouch:invite#server={server}&code={}", invite.code));
    let otto = api.sign_in(&invite.code).await;
    let me: Me = api.me(&otto.access).await.ok();
    assert_eq!((me.name.as_str(), me.role), ("Otto", provisioning_api_contract::Role::Auditor));

    let second: NewInvite = api.send(Method::POST, "/v1/invites", administrator, Some(body.clone())).await.ok();
    for token in [&api.installer, &otto.access] {
        let other = Some(token.as_str());
        api.send(Method::POST, "/v1/invites", other, Some(body.clone())).await.refused(403, ProblemCode::Forbidden);
        let path = format!("/v1/invites/{}", second.id);
        api.send(Method::DELETE, &path, other, None).await.refused(403, ProblemCode::Forbidden);
    }
    api.send(Method::DELETE, &format!("/v1/invites/{}", second.id), administrator, None).await.done();
    refused(&api.redeem(&second.code, VERIFIER).await, "invalid_grant");
    let withdrawn = api.send(Method::DELETE, &format!("/v1/invites/{}", second.id), administrator, None).await;
    withdrawn.refused(404, ProblemCode::NotFound);

    let listed = api.send(Method::GET, "/v1/invites", Some(&otto.access), None).await;
    let text = String::from_utf8_lossy(&listed.body).into_owned();
    assert!(!text.contains(&invite.code) && text.contains("usedAt") && text.contains("withdrawnAt"), "{text}");

    for wrong in [
        json!({ "role": "device", "name": "x" }),
        json!({ "role": "king", "name": "x" }),
        json!({ "role": "installer", "name": " " }),
        json!({ "role": "installer", "name": "a\r\nb" }),
        json!({ "role": "installer", "name": "x".repeat(129) }),
        json!({ "role": "installer", "name": "x", "minutes": 0 }),
        json!({ "role": "installer", "name": "x", "minutes": 10081 }),
        json!({ "role": "installer", "name": "x", "tenant": "nowhere" }),
    ] {
        api.send(Method::POST, "/v1/invites", administrator, Some(wrong)).await.refused(400, ProblemCode::BadRequest);
    }
}

#[tokio::test]
async fn requests_that_are_not_as_the_rfcs_say_are_refused_with_their_codes() {
    let api = Api::start(vec![]).await;
    let invite = api.invite(Role::Installer, "Ines").await;
    let good = challenge(VERIFIER);
    let client = ("client_id", "lowtouch");
    for (fields, error) in [
        (vec![client, ("invite", &invite)], "invalid_request"),
        (vec![client, ("invite", &invite), ("code_challenge", &good)], "invalid_request"),
        (
            vec![client, ("invite", &invite), ("code_challenge", VERIFIER), ("code_challenge_method", "plain")],
            "invalid_request",
        ),
        (
            vec![client, ("invite", &invite), ("code_challenge", "short"), ("code_challenge_method", "S256")],
            "invalid_request",
        ),
        (vec![client, client, ("invite", &invite)], "invalid_request"),
        (vec![client, ("code_challenge", &good), ("code_challenge_method", "S256")], "invalid_request"),
        (
            vec![client, ("invite", "AAAA-AAAA"), ("code_challenge", &good), ("code_challenge_method", "S256")],
            "invalid_grant",
        ),
    ] {
        refused(&api.form("/oauth/invite", &fields).await, error);
    }
    let answer = api.form("/oauth/invite", &[("client_id", "other"), ("invite", &invite)]).await;
    assert_eq!((answer.status.as_u16(), answer.ok_or_body()["error"].clone()), (401, json!("invalid_client")));
    for (fields, error) in [
        (vec![client], "invalid_request"),
        (vec![client, ("grant_type", "password")], "unsupported_grant_type"),
        (vec![client, ("grant_type", "refresh_token")], "invalid_request"),
        (vec![client, ("grant_type", "refresh_token"), ("refresh_token", &api.installer)], "invalid_grant"),
        (vec![client, ("grant_type", "authorization_code"), ("code", "x")], "invalid_request"),
        (vec![client, ("grant_type", DEVICE_CODE), ("device_code", "x")], "invalid_grant"),
    ] {
        refused(&api.form("/oauth/token", &fields).await, error);
    }
    let json =
        api.http.post(format!("{}/oauth/token", api.running.url)).json(&json!({ "grant_type": "refresh_token" }));
    refused(&finish(json).await, "invalid_request");
    // None of this used the invite up; the wrong verifier does not either use the code up.
    let code: Value = api.redeem(&invite, VERIFIER).await.ok();
    let code = code["code"].as_str().unwrap();
    refused(&api.exchange(code, "a-wrong-verifier-that-is-long-enough-to-be-one-0000").await, "invalid_grant");
    tokens(&api.exchange(code, VERIFIER).await);
}

impl Answer {
    fn ok_or_body(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

/// A client that does not follow redirections, as this test plays the browser.
fn browser(api: &Api) -> reqwest::Client {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(api.running.ca_pem.as_bytes()).unwrap()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(Duration::from_secs(60));
    builder.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

#[tokio::test]
async fn a_person_signs_an_app_in_with_the_browser() {
    let api = Api::start(vec![]).await;
    let browser = browser(&api);
    let challenge = challenge(VERIFIER);
    let hostile = "\"><script>alert(1)</script>&'";
    let redirect = "http://127.0.0.1:49152/done";
    let fields = [
        ("response_type", "code"),
        ("client_id", "lowtouch"),
        ("redirect_uri", redirect),
        ("state", hostile),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let url = format!("{}/oauth/authorize", api.running.url);
    let page = finish(browser.get(format!("{url}?{}", encoded(&fields)))).await;
    assert_eq!(
        (page.status.as_u16(), &page.headers["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    for directive in
        ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self' http://127.0.0.1:49152", "base-uri 'none'"]
    {
        assert!(policy.contains(directive), "{policy}");
    }
    assert_eq!(page.headers["x-frame-options"], "DENY");
    let html = text(&page);
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;"), "{html}");
    assert!(
        html.contains("<label for=\"invite\">") && html.contains("lang=\"en\"") && html.contains("width=device-width")
    );

    let submit = async |invite: &str, origin: Option<&str>| {
        let mut all = fields.to_vec();
        all.push(("invite", invite));
        let request = posted(&browser, &url, &all);
        finish(match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        })
        .await
    };
    let wrong = submit("WRNG-C0DE-0000-0000", None).await;
    assert_eq!(wrong.status, 400);
    assert!(text(&wrong).contains("role=\"alert\"") && !text(&wrong).contains("WRNG-C0DE"));
    let invite = api.invite(Role::Installer, "Ines").await;
    assert_eq!(submit(&invite, Some("https://evil.example")).await.status, 403);
    let back = submit(&invite, Some(&api.running.url)).await;
    assert_eq!(back.status, 303);
    let location = url::Url::parse(back.headers["location"].to_str().unwrap()).unwrap();
    assert!(location.as_str().starts_with(redirect));
    let query: std::collections::BTreeMap<String, String> = location.query_pairs().into_owned().collect();
    assert_eq!((query["state"].as_str(), query["iss"].as_str()), (hostile, api.running.url.as_str()));

    // The code is bound to the address that it was sent to.
    refused(&api.exchange(&query["code"], VERIFIER).await, "invalid_grant");
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", "lowtouch"),
        ("code", &query["code"]),
        ("code_verifier", VERIFIER),
        ("redirect_uri", redirect),
    ];
    let me: Me = api.me(&tokens(&api.form("/oauth/token", &fields).await).access).await.ok();
    assert_eq!(me.name, "Ines");
}

#[tokio::test]
async fn a_link_that_is_not_our_apps_leads_nowhere() {
    let api = Api::start(vec![]).await;
    let browser = browser(&api);
    let challenge = challenge(VERIFIER);
    let good = [
        ("response_type", "code"),
        ("client_id", "lowtouch"),
        ("redirect_uri", "http://127.0.0.1:49152/"),
        ("state", "s"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let get = async |name: &str, value: &'static str| {
        let fields = good.map(|(known, old)| if known == name { (known, value) } else { (known, old) });
        finish(browser.get(format!("{}/oauth/authorize?{}", api.running.url, encoded(&fields)))).await
    };
    for (name, value) in [
        ("client_id", "other"),
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", "http://localhost:1/"),
        ("redirect_uri", "http://127.0.0.1:1/\r\nset-cookie: a=b"),
    ] {
        let answer = get(name, value).await;
        assert!(answer.status == 400 || !answer.headers.contains_key("set-cookie"), "{name} {value}");
        assert!(!answer.headers.contains_key("location"), "{name} {value}");
    }
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
    ] {
        let answer = get(name, value).await;
        let location = answer.headers["location"].to_str().unwrap();
        assert!(
            location.starts_with("http://127.0.0.1:49152/?") && location.contains(&format!("error={error}")),
            "{location}"
        );
        assert!(location.contains("state=s"), "{location}");
    }
}

#[tokio::test]
async fn a_screen_without_a_browser_is_signed_in_from_another() {
    let api = Api::start(vec![]).await;
    let poll = async |device_code: &str| {
        let fields = [("grant_type", DEVICE_CODE), ("client_id", "lowtouch"), ("device_code", device_code)];
        api.form("/oauth/token", &fields).await
    };
    let begun: Value = api.form("/oauth/device_authorization", &[("client_id", "lowtouch")]).await.ok();
    let device_code = begun["device_code"].as_str().unwrap();
    let user_code = begun["user_code"].as_str().unwrap();
    assert_eq!((&begun["interval"], &begun["expires_in"]), (&json!(5), &json!(600)));
    refused(&poll(device_code).await, "authorization_pending");
    refused(&poll(device_code).await, "slow_down");

    let page = finish(api.http.get(begun["verification_uri_complete"].as_str().unwrap())).await;
    assert!(text(&page).contains(&format!("value=\"{user_code}\"")));
    let invite = api.invite(Role::Installer, "Ines").await;
    let approve = async |user_code: &str, invite: &str| {
        api.form("/oauth/device", &[("user_code", user_code), ("invite", invite)]).await.status.as_u16()
    };
    // A wrong user code does not use the invite up, nor a wrong invite the user code.
    assert_eq!(approve("BBBB-BBBB", &invite).await, 400);
    assert_eq!(approve(user_code, "AAAA-AAAA-AAAA-AAAA").await, 400);
    assert_eq!(approve(&user_code.to_lowercase().replace('-', ""), &invite).await, 200);
    assert_eq!(approve(user_code, &invite).await, 400);

    // As if the pause had passed.
    let db = common::database::pool(&common::database::url(api.folder.path())).await;
    sqlx::query("UPDATE device_authorizations SET polled_at = polled_at - 60000").execute(&db).await.unwrap();
    let signed_in = tokens(&poll(device_code).await);
    let me: Me = api.me(&signed_in.access).await.ok();
    assert_eq!(me.name, "Ines");
    refused(&poll(device_code).await, "invalid_grant");
    is_ended(&api.me(&signed_in.access).await);

    let begun: Value = api.form("/oauth/device_authorization", &[("client_id", "lowtouch")]).await.ok();
    sqlx::query("UPDATE device_authorizations SET expires_at = 0").execute(&db).await.unwrap();
    refused(&poll(begun["device_code"].as_str().unwrap()).await, "expired_token");
}

#[tokio::test]
async fn who_guesses_is_told_to_wait() {
    let api = Api::start_with(vec![], |options| options.limits.strangers_per_minute = 5).await;
    for _ in 0..5 {
        refused(&api.redeem("AAAA-AAAA-AAAA-AAAA", VERIFIER).await, "invalid_grant");
    }
    let answer = api.redeem("AAAA-AAAA-AAAA-AAAA", VERIFIER).await;
    answer.refused(429, ProblemCode::Throttled);
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    api.me("lowtouch_a-guess").await.refused(429, ProblemCode::Throttled);
    // Whoever is known is not held up by guessers behind the same address.
    let _: Me = api.me(&api.installer).await.ok();
}

#[tokio::test]
async fn none_of_the_codes_and_tokens_is_in_the_database() {
    let api = Api::start(vec![]).await;
    let invite = api.invite(Role::Installer, "Ines").await;
    let code: Value = api.redeem(&invite, VERIFIER).await.ok();
    let code = code["code"].as_str().unwrap().to_owned();
    let pair = tokens(&api.exchange(&code, VERIFIER).await);
    let begun: Value = api.form("/oauth/device_authorization", &[("client_id", "lowtouch")]).await.ok();
    let secrets = [
        invite.clone(),
        invite.replace('-', ""),
        code,
        pair.access,
        pair.refresh,
        begun["device_code"].as_str().unwrap().to_owned(),
        begun["user_code"].as_str().unwrap().to_owned(),
    ];
    let folder = api.folder;
    api.running.stop().await;
    for file in ["api.db", "api.db-wal"] {
        let bytes = std::fs::read(folder.path().join(file)).unwrap_or_default();
        for secret in &secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} is in {file}");
        }
    }
}
