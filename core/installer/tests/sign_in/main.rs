//! Sign-in against a server of this process that plays both, the provisioning API and its issuer, well or badly.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod browser;
mod issuer;
#[path = "../it/server.rs"]
#[allow(dead_code)] // shared
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use lowtouch_installer::api::{Client, ProvisioningApi as _};
use lowtouch_installer::net::{NetSettings, Proxy};
use lowtouch_installer::secrets::{Memory, SecretStore, SecretsError};
use lowtouch_installer::sign_in::{Ask, Invite, SignIn};
use lowtouch_installer::{Action, ErrorCode, PairingError};
use provisioning_api_contract as wire;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use self::browser::come_back;
use self::issuer::Issuer;
use crate::server::{ca, serve, tls};

fn code<T>(result: Result<T, PairingError>) -> ErrorCode {
    result.err().unwrap().code
}

/// Counts what a real keyring would be asked.
#[derive(Default)]
struct Counting {
    inner: Memory,
    reads: AtomicU32,
    writes: AtomicU32,
    broken: bool,
}

impl Counting {
    fn reads(&self) -> u32 {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl SecretStore for Counting {
    async fn get(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.broken { Err(SecretsError::Locked) } else { self.inner.get(name).await }
    }

    async fn set(&self, name: &str, value: &SecretString) -> Result<(), SecretsError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.inner.set(name, value).await
    }

    async fn delete(&self, name: &str) -> Result<(), SecretsError> {
        self.inner.delete(name).await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

struct App {
    issuer: Issuer,
    store: Arc<Counting>,
    folder: TempDir,
    sign_in: SignIn,
}

fn net(ca_pem: Option<&str>) -> NetSettings {
    NetSettings {
        extra_ca_pem: ca_pem.map(str::to_owned),
        proxy: Proxy::Direct,
        connect_timeout: Duration::from_secs(5),
        call_timeout: Duration::from_secs(5),
        ..NetSettings::default()
    }
}

async fn app() -> App {
    let issuer = Issuer::start().await;
    let store = Arc::new(Counting::default());
    let folder = TempDir::new().unwrap();
    let sign_in = SignIn::new(folder.path(), store.clone(), net(Some(&issuer.ca_pem)));
    App { issuer, store, folder, sign_in }
}

impl App {
    fn invite(&self) -> Invite {
        Invite::new(&self.issuer.url, issuer::INVITE.to_owned().into()).unwrap()
    }

    async fn signed_in(self) -> App {
        self.sign_in.with_invite(&self.invite(), None).await.unwrap();
        self
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("accounts.toml")).unwrap_or_default()
    }

    fn client(&self) -> Client {
        Client::signed_in(self.sign_in.tokens(None).unwrap())
    }
}

#[tokio::test]
async fn an_invite_signs_in_and_nothing_secret_is_in_a_file() {
    let app = app().await;
    let done = app.sign_in.with_invite(&app.invite(), None).await.unwrap();
    let port = app.issuer.url.rsplit(':').next().unwrap().to_owned();
    assert_eq!(done.account.name, format!("Ines@localhost:{port}"));
    assert_eq!(done.account.role, wire::Role::Installer);
    assert_eq!(done.round_trips, 5, "two to find the issuer, the invite, the token, who it is");
    assert!(done.renewable && done.clock_wrong_by_s.is_none());
    assert_eq!(app.client().me().await.unwrap().name, "Ines");

    assert!(app.file().contains("Ines"), "{}", app.file());
    for entry in std::fs::read_dir(app.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("MARKED"), "{text}");
    }
    let error = app.sign_in.with_invite(&app.invite(), None).await.unwrap_err();
    assert_eq!((error.code, error.action), (ErrorCode::InviteRefused, Action::AskAdministrator), "used twice");
    assert!(!format!("{error:?}").contains(issuer::INVITE));
}

#[tokio::test]
async fn the_same_person_again_keeps_the_account_and_the_old_sign_in_is_ended() {
    let app = app().await.signed_in().await;
    app.issuer.renew_invite();
    let again = app.sign_in.with_invite(&app.invite(), None).await.unwrap();
    let accounts = app.sign_in.accounts().unwrap();
    assert_eq!(accounts.all.len(), 1);
    assert_eq!(accounts.current, Some(again.account.name));
    assert_eq!(app.issuer.revoked(), 1);

    app.issuer.renew_invite();
    app.issuer.be("2", "Ida", wire::Role::Auditor);
    let other = app.sign_in.with_invite(&app.invite(), None).await.unwrap();
    let accounts = app.sign_in.accounts().unwrap();
    assert_eq!((accounts.all.len(), accounts.current.as_ref()), (2, Some(&other.account.name)));
    let ines = app.sign_in.use_account("ine").await.unwrap();
    assert_eq!(app.sign_in.accounts().unwrap().current, Some(ines.name.clone()));
    assert_eq!(app.sign_in.use_account("i").await.unwrap_err().code, ErrorCode::AccountUnknown, "both begin so");
    assert_eq!(app.sign_in.use_account("").await.unwrap_err().code, ErrorCode::AccountUnknown);

    app.sign_in.remove(&ines.name).await.unwrap();
    let accounts = app.sign_in.accounts().unwrap();
    assert_eq!((accounts.all.len(), accounts.current), (1, None));
    assert_eq!(app.sign_in.tokens(None).unwrap_err().code, ErrorCode::ApiTokenMissing);
}

#[tokio::test]
async fn two_windows_that_sign_in_at_once_leave_one_account_that_works() {
    let app = app().await;
    app.issuer.any_number_of_invites();
    let windows = (0..4).map(|_| {
        let sign_in = SignIn::new(app.folder.path(), app.store.clone(), net(Some(&app.issuer.ca_pem)));
        let invite = app.invite();
        async move { sign_in.with_invite(&invite, None).await }
    });
    for done in join_all(windows).await {
        done.unwrap();
    }
    let accounts = app.sign_in.accounts().unwrap();
    assert_eq!(accounts.all.len(), 1, "{accounts:?}");
    app.client().me().await.unwrap();
}

#[tokio::test]
async fn what_a_server_says_about_signing_in_is_not_believed_blindly() {
    let resource = "/.well-known/oauth-protected-resource";
    let metadata = "/.well-known/oauth-authorization-server";
    let html = |status| (status, "text/html", "<html>MARKED welcome".to_owned());
    let json = |text: &str| (200, "application/json", text.to_owned());
    let app = app().await;
    let url = &app.issuer.url;
    let own = |issuer: &str, token: &str, more: &str| {
        json(&format!(r#"{{"issuer":"{issuer}","token_endpoint":"{token}"{more}}}"#))
    };
    let here = |issuer: &str| {
        json(&format!(r#"{{"resource":"{url}","authorization_servers":["{issuer}"],"lowtouch_client_id":"lowtouch"}}"#))
    };
    for (path, answer, expected) in [
        (resource, html(404), ErrorCode::SignInUnsupported),
        (resource, html(200), ErrorCode::CaptivePortal),
        (resource, (511, "text/html", String::new()), ErrorCode::CaptivePortal),
        (resource, (302, "text/html", String::new()), ErrorCode::ApiRedirect),
        (resource, html(503), ErrorCode::SignInUnreachable),
        (resource, (429, "application/json", "{}".into()), ErrorCode::ApiThrottled),
        (resource, json("{"), ErrorCode::SignInAnswerInvalid),
        (resource, json("{}"), ErrorCode::SignInAnswerInvalid),
        (resource, json(&" ".repeat(300 * 1024)), ErrorCode::SignInAnswerInvalid),
        (resource, json(r#"{"resource":"https://other.example"}"#), ErrorCode::SignInMetadataInvalid),
        (resource, json(&format!(r#"{{"resource":"{url}"}}"#)), ErrorCode::SignInNotOffered),
        (resource, here("https://issuer.example"), ErrorCode::SignInNotOffered),
        (metadata, own("https://other.example", &format!("{url}/t"), ""), ErrorCode::SignInMetadataInvalid),
        (metadata, own(url, "http://localhost/t", ""), ErrorCode::SignInMetadataInvalid),
        (
            metadata,
            own(url, &format!("{url}/t"), r#","code_challenge_methods_supported":["plain"]"#),
            ErrorCode::SignInMetadataInvalid,
        ),
        (metadata, html(404), ErrorCode::SignInMetadataInvalid),
        (metadata, json("[]"), ErrorCode::SignInAnswerInvalid),
    ] {
        app.issuer.answer(path, Some(answer.clone()));
        let error = app.sign_in.with_invite(&app.invite(), None).await.unwrap_err();
        assert_eq!(error.code, expected, "{path} {answer:?} {error:?}");
        assert!(!format!("{error:?}").contains("MARKED"));
        app.issuer.answer(path, None);
    }
    assert_eq!(app.issuer.calls("/oauth/invite"), 0);
    app.sign_in.with_invite(&app.invite(), None).await.unwrap();
}

#[tokio::test]
async fn an_expired_certificate_a_proxy_that_breaks_tls_and_nobody_there_are_told_apart() {
    let own = ca();
    let store = || Arc::new(Memory::new());
    let folder = TempDir::new().unwrap();
    let try_it = |port: u16, trusted: Option<String>| {
        let sign_in = SignIn::new(folder.path(), store(), net(trusted.as_deref()));
        async move {
            let invite = Invite::new(&format!("https://localhost:{port}"), "c".to_owned().into()).unwrap();
            code(sign_in.with_invite(&invite, None).await)
        }
    };
    let expired = serve(tls(&own, "localhost", true), axum::Router::new()).await;
    assert_eq!(try_it(expired.port(), Some(own.pem.clone())).await, ErrorCode::ApiTlsExpired);
    // What a proxy that breaks TLS looks like: a certificate of its own making.
    let broken = serve(tls(&own, "localhost", false), axum::Router::new()).await;
    assert_eq!(try_it(broken.port(), None).await, ErrorCode::ApiTlsForeign);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(try_it(nobody.port(), None).await, ErrorCode::SignInUnreachable);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(try_it(silent.local_addr().unwrap().port(), None).await, ErrorCode::SignInUnreachable);
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_an_hour_is_said_and_the_sign_in_works() {
    let app = app().await;
    app.issuer.clock_ahead(3600);
    let done = app.sign_in.with_invite(&app.invite(), None).await.unwrap();
    let wrong = done.clock_wrong_by_s.unwrap();
    assert!((3590..=3610).contains(&wrong), "{wrong}");
    app.client().me().await.unwrap();
}

#[tokio::test]
async fn nothing_is_used_up_where_the_sign_in_could_not_be_kept() {
    let app = app().await;
    let broken = Arc::new(Counting { broken: true, ..Counting::default() });
    let sign_in = SignIn::new(app.folder.path(), broken, net(Some(&app.issuer.ca_pem)));
    assert_eq!(code(sign_in.with_invite(&app.invite(), None).await), ErrorCode::KeyringLocked);
    for damaged in ["account = [", "version = 99\n", "version = 1\n[[account]]\nname = \"x\"\n"] {
        std::fs::write(app.folder.path().join("accounts.toml"), damaged).unwrap();
        assert_eq!(
            code(app.sign_in.with_invite(&app.invite(), None).await),
            ErrorCode::AccountsUnreadable,
            "{damaged}"
        );
        assert_eq!(app.file(), damaged);
    }
    assert_eq!(app.issuer.calls("/oauth/invite"), 0);
}

#[tokio::test]
async fn one_who_has_no_role_is_told_so_and_nothing_is_kept() {
    let app = app().await;
    app.issuer.forbid(true);
    let error = app.sign_in.with_invite(&app.invite(), None).await.unwrap_err();
    assert_eq!((error.code, error.action), (ErrorCode::NoRole, Action::AskAdministrator));
    assert!(app.sign_in.accounts().unwrap().all.is_empty());
    assert_eq!(app.store.writes.load(Ordering::SeqCst), 0);
    assert_eq!(app.issuer.revoked(), 1);
}

#[tokio::test]
async fn a_missing_role_names_the_one_that_is_there_and_the_one_that_is_needed() {
    let app = app().await;
    app.issuer.be("1", "Ada", wire::Role::Auditor);
    let app = app.signed_in().await;
    let ask = wire::SymmetricKeyRequest { handoff_id: uuid::Uuid::nil() };
    let error = app.client().symmetric_key("d", &ask).await.err().unwrap();
    assert_eq!(error.code, ErrorCode::ApiForbidden);
    let role = error.missing_role.unwrap();
    assert_eq!((role.person.as_str(), role.has.as_str(), role.needs.as_str()), ("Ada", "auditor", "installer"));
}

#[tokio::test]
async fn a_browser_signs_in_and_its_page_says_how_it_went() {
    for (parameters, expected, words) in [
        (vec![("code", issuer::CODE)], None, "Signed in as Ines"),
        (vec![("code", "MARKED-unknown")], Some(ErrorCode::SignInRefused), "Not signed in"),
        (
            vec![("error", "access_denied"), ("error_description", "no")],
            Some(ErrorCode::SignInRefused),
            "Not signed in",
        ),
        (vec![("error", "temporarily_unavailable")], Some(ErrorCode::SignInUnreachable), "Not signed in"),
        (vec![("code", issuer::CODE), ("iss", "https://other.example")], Some(ErrorCode::SignInAnswerInvalid), "Not"),
        (vec![], Some(ErrorCode::SignInAnswerInvalid), "Not signed in"),
    ] {
        let app = app().await;
        let (asked, ask) = tokio::sync::oneshot::channel();
        let mut asked = Some(asked);
        let done = app.sign_in.with_browser(&app.issuer.url, None, move |ask| {
            let _ = asked.take().unwrap().send(ask);
        });
        let (done, page) = tokio::join!(done, async { come_back(ask.await.unwrap(), &parameters).await });
        assert_eq!(done.as_ref().err().map(|error| error.code), expected, "{parameters:?} {done:?}");
        assert!(page.contains(words) && !page.contains("MARKED"), "{page}");
        assert!(!format!("{done:?}").contains("MARKED"));
    }
}

#[tokio::test]
async fn a_device_code_is_asked_about_no_oftener_than_the_server_allows() {
    let app = app().await;
    app.issuer.device_answers(&["slow_down", ""]);
    let mut shown = Vec::new();
    let done = app.sign_in.with_device_code(&app.issuer.url, None, |ask| shown.push(ask)).await.unwrap();
    assert_eq!(done.account.person, "Ines");
    assert!(matches!(&shown[..], [Ask::Enter { code, .. }] if code == "WDJB-MJHT"), "{shown:?}");
    let polls = app.issuer.polls();
    assert_eq!(polls.len(), 2);
    assert!(polls[0] >= Duration::from_secs(1), "{polls:?}");
    assert!(polls[1] - polls[0] >= Duration::from_secs(6), "RFC 8628: five seconds more after slow_down: {polls:?}");
}

#[tokio::test]
async fn a_device_code_that_ends_or_is_refused_or_meets_a_captive_portal_ends_the_wait() {
    for (answers, expected) in [
        (&["authorization_pending", "expired_token"][..], ErrorCode::SignInExpired),
        (&["access_denied"], ErrorCode::SignInRefused),
        (&["html"], ErrorCode::CaptivePortal),
        (&["invalid_grant"], ErrorCode::SignInExpired),
    ] {
        let app = app().await;
        app.issuer.device_answers(answers);
        let done = app.sign_in.with_device_code(&app.issuer.url, None, |_| {});
        let done = tokio::time::timeout(Duration::from_secs(20), done).await.unwrap();
        assert_eq!(code(done), expected, "{answers:?}");
    }
}

#[tokio::test]
async fn a_token_is_read_once_and_renewed_before_its_end() {
    let app = app().await.signed_in().await;
    let before = app.store.reads();
    let tokens = app.sign_in.tokens(None).unwrap();
    let client = Client::signed_in(tokens.clone());
    for _ in 0..10 {
        client.me().await.unwrap();
    }
    assert_eq!((app.store.reads() - before, app.issuer.renewals()), (1, 0));

    // From now on every token has ended when it comes.
    app.issuer.lifetime(0);
    tokens.instead_of(&tokens.token().await.unwrap()).await.unwrap();
    for _ in 0..3 {
        client.me().await.unwrap();
    }
    assert_eq!(app.issuer.renewals(), 4);
    assert_eq!(app.store.reads() - before, 1, "who renews alone need not read again");
    assert!(!app.issuer.family_ended());
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let app = app().await.signed_in().await;
    app.issuer.forget_access_tokens();
    app.client().me().await.unwrap();
    assert_eq!(app.issuer.renewals(), 1);
    // A server that refuses the new one too has said its last word.
    app.issuer.refuse_all(true);
    let error = app.client().me().await.unwrap_err();
    assert_eq!((error.code, error.action), (ErrorCode::ApiUnauthenticated, Action::SignInAgain));
    assert_eq!((app.issuer.renewals(), app.issuer.calls("/v1/me")), (2, 5));
}

#[tokio::test]
async fn many_windows_renew_at_once_and_no_refresh_token_is_used_twice() {
    let app = app().await.signed_in().await;
    app.issuer.forget_access_tokens();
    // Each as another process would: of its own reading, with nothing shared but folder and keyring.
    let windows: Vec<_> = (0..8)
        .map(|_| SignIn::new(app.folder.path(), app.store.clone(), net(Some(&app.issuer.ca_pem))))
        .map(|sign_in| Client::signed_in(sign_in.tokens(None).unwrap()))
        .collect();
    let calls = windows.iter().flat_map(|client| (0..4).map(|_| client.me()));
    for answer in join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(app.issuer.renewals(), 1, "the others saw that one had renewed");
    app.issuer.lifetime(0);
    app.issuer.forget_access_tokens();
    for answer in join_all(windows.iter().map(Client::me)).await {
        answer.unwrap();
    }
    assert!(!app.issuer.family_ended());
}

#[tokio::test]
async fn who_is_cancelled_while_a_token_is_renewed_loses_nothing() {
    let app = app().await.signed_in().await;
    app.issuer.forget_access_tokens();
    app.issuer.hold_renewals(true);
    let client = app.client();
    let call = client.me();
    tokio::select! {
        _ = call => panic!("it is held"),
        () = app.issuer.renewal_came() => {}
    }
    app.issuer.hold_renewals(false);
    app.client().me().await.unwrap();
    assert!(!app.issuer.family_ended());
    assert_eq!(app.issuer.renewals(), 1);
}

#[tokio::test]
async fn a_revoked_sign_in_is_said_once_and_asks_nothing_more() {
    let app = app().await.signed_in().await;
    app.issuer.end_family();
    let client = app.client();
    let error = client.me().await.unwrap_err();
    assert_eq!((error.code, error.action), (ErrorCode::SignedOut, Action::SignInAgain));
    let calls = app.issuer.all_calls();
    assert_eq!(code(client.me().await), ErrorCode::SignedOut);
    assert_eq!(app.sign_in.tokens(None).unwrap_err().code, ErrorCode::SignedOut);
    assert_eq!(app.issuer.all_calls(), calls);
    assert!(app.sign_in.accounts().unwrap().all[0].signed_out);
    // And signing in again mends it.
    app.issuer.renew_invite();
    app.sign_in.with_invite(&app.invite(), None).await.unwrap();
    app.client().me().await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_is_down_costs_nobody_their_sign_in() {
    let app = app().await;
    app.issuer.lifetime(0);
    let app = app.signed_in().await;
    app.issuer.answer("/oauth/token", Some((503, "text/html", "<html>down".into())));
    let client = app.client();
    let error = client.me().await.unwrap_err();
    assert_eq!((error.code, error.action), (ErrorCode::SignInUnreachable, Action::Wait));
    assert_eq!(lowtouch_installer::api::verdict(&error), lowtouch_installer::retry::Verdict::Again);
    app.issuer.answer("/oauth/token", None);
    client.me().await.unwrap();
    assert!(!app.issuer.family_ended());
}

#[tokio::test]
async fn signing_out_revokes_and_forgets_even_where_the_server_is_gone() {
    let app = app().await.signed_in().await;
    let out = app.sign_in.sign_out(None).await.unwrap();
    assert!(out.not_revoked.is_none(), "{out:?}");
    assert!(app.issuer.family_ended());
    assert_eq!(app.sign_in.tokens(None).unwrap_err().code, ErrorCode::SignedOut);

    app.issuer.renew_invite();
    let app = app.signed_in().await;
    let held = app.client();
    app.issuer.answer("/oauth/revoke", Some((503, "text/plain", String::new())));
    let out = app.sign_in.sign_out(None).await.unwrap();
    assert_eq!(out.not_revoked.unwrap().code, ErrorCode::SignInUnreachable);
    let account = &app.sign_in.accounts().unwrap().all[0];
    assert!(app.store.get(&format!("sign-in {}", account.id)).await.unwrap().is_none(), "its secret is gone");
    assert_eq!(code(held.me().await), ErrorCode::SignedOut);
}

#[tokio::test]
async fn nobody_is_asked_again_for_what_is_still_valid() {
    let app = app().await.signed_in().await;
    assert_eq!(app.sign_in.valid(&app.issuer.url).await.unwrap().unwrap().person, "Ines");
    assert!(app.sign_in.valid("https://other.example").await.unwrap().is_none());
    app.issuer.be("1", "Ines", wire::Role::Administrator);
    let (account, _) = app.sign_in.who_am_i(None).await.unwrap();
    assert_eq!(account.role, wire::Role::Administrator);
    assert_eq!(app.sign_in.accounts().unwrap().all[0].role, wire::Role::Administrator, "the new role is kept");
    app.issuer.end_family();
    assert!(app.sign_in.valid(&app.issuer.url).await.unwrap().is_none());
}

#[tokio::test]
async fn a_page_of_the_network_in_between_is_no_answer_of_the_api() {
    let app = app().await.signed_in().await;
    app.issuer.answer("/v1/me", Some((200, "text/html", "<html>Welcome to our hotel".into())));
    let error = app.client().me().await.unwrap_err();
    assert_eq!((error.code, error.action), (ErrorCode::CaptivePortal, Action::CheckInternet));
    assert!(
        ExposeSecret::expose_secret(&app.sign_in.tokens(None).unwrap().token().await.unwrap()).starts_with("MARKED")
    );
}
