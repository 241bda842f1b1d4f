//! The doctor against servers that are well, ill, somebody else's, or not there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _};
use axum::routing::get;
use lowtouch_installer::ErrorCode;
use lowtouch_installer::doctor::{Check, Examination, Finding, Identity, Report, SettingsSeen, Status, Topic};
use lowtouch_installer::net::{NetSettings, Proxy};
use lowtouch_installer::retry::{Connectivity, Standing};
use lowtouch_installer::secrets::{Memory, SecretStore, SecretsError};
use lowtouch_installer::settings::Settings;
use secrecy::SecretString;
use serde_json::json;

use crate::server::{Ca, ca, serve, tls};

struct Always(Standing);

#[async_trait]
impl Connectivity for Always {
    fn standing(&self) -> Standing {
        self.0
    }
}

/// A keyring that fails in one way.
struct Broken(fn() -> SecretsError);

#[async_trait]
impl SecretStore for Broken {
    async fn get(&self, _: &str) -> Result<Option<SecretString>, SecretsError> {
        Err((self.0)())
    }
    async fn set(&self, _: &str, _: &SecretString) -> Result<(), SecretsError> {
        Err((self.0)())
    }
    async fn delete(&self, _: &str) -> Result<(), SecretsError> {
        Err((self.0)())
    }
    fn describe(&self) -> String {
        "broken".into()
    }
}

/// As the provisioning API answers. `ahead_s`: how far its clock is.
fn well(ahead_s: i64, role: &'static str) -> Router {
    let metadata = json!({ "resource": "https://localhost", "authorization_servers": ["https://localhost"] });
    let me = json!({
        "accountId": "1", "name": "Anna", "role": role, "tenant": "default", "expiresAt": "2030-01-01T00:00:00Z",
    });
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead_s);
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    Router::new()
        .route("/healthz", get(async || StatusCode::NO_CONTENT))
        .route("/.well-known/oauth-protected-resource", get(async || axum::Json(metadata)))
        .route("/v1/openapi.json", get(async || axum::Json(json!({ "info": { "version": "7.7.7" } }))))
        .route("/v1/me", get(async || axum::Json(me)))
        .layer(axum::middleware::map_response(move |mut response: axum::response::Response| {
            let date = date.clone();
            async move {
                response.headers_mut().insert(header::DATE, date.parse().unwrap());
                response
            }
        }))
}

struct Bench {
    folder: tempfile::TempDir,
    examination: Examination,
}

impl Bench {
    fn new(api: Option<SocketAddr>, ca: &Ca) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let mut examination = Examination::new(folder.path());
        examination.api = api.map(|api| format!("https://localhost:{}", api.port()));
        examination.device_endpoint = match api {
            Some(api) => format!("localhost:{}", api.port()),
            None => format!("localhost:{}", closed().port()),
        };
        examination.net =
            NetSettings { extra_ca_pem: Some(ca.pem.clone()), proxy: Proxy::Direct, ..NetSettings::default() };
        examination.identity = Identity::Token(SecretString::from("t".to_owned()));
        examination.secrets = Some(Arc::new(Memory::default()));
        examination.connectivity = Arc::new(Always(Standing::Online));
        examination.plain_port = closed().port();
        Bench { folder, examination }
    }

    async fn well() -> Bench {
        let ca = ca();
        let api = serve(tls(&ca, "localhost", false), well(0, "installer")).await;
        Bench::new(Some(api), &ca)
    }

    async fn report(self) -> Report {
        let began = Instant::now();
        let report = self.examination.run().await;
        // Five, and as much again for a machine that is busy.
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert!(self.folder.path().exists());
        report
    }
}

/// A port on which nobody listens.
fn closed() -> SocketAddr {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn of(report: &Report, topic: Topic) -> &Check {
    report.of(topic).unwrap()
}

fn codes(report: &Report, topics: &[Topic]) -> Vec<String> {
    topics.iter().map(|topic| of(report, *topic).code.clone()).collect()
}

const SERVER: [Topic; 4] = [Topic::Network, Topic::Time, Topic::Tls, Topic::Api];

#[tokio::test]
async fn everything_well_is_said_to_be_well_and_names_version_issuer_and_account() {
    let report = Bench::well().await.report().await;
    assert_eq!(codes(&report, &SERVER), ["network-ok", "time-ok", "tls-ok", "api-ok"]);
    assert_eq!(of(&report, Topic::SignIn).code, "sign-in-ok", "{report:?}");
    assert_eq!(of(&report, Topic::Dps).code, "dps-ok");
    assert_eq!(of(&report, Topic::Keyring).code, "keyring-ok");
    assert_eq!(of(&report, Topic::Journal).code, "journal-new");
    assert!(of(&report, Topic::Api).seen.as_deref().unwrap().contains("version 7.7.7"));
    assert!(of(&report, Topic::Tls).seen.as_deref().unwrap().contains("issued by"));
    let account = of(&report, Topic::SignIn).seen.as_deref().unwrap();
    assert!(account.contains("Anna (installer)") && account.contains("2030"), "{account}");
    let topics: Vec<_> = report.checks.iter().map(|check| check.topic).collect();
    assert_eq!(topics, Topic::ALL);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_an_hour_has_failed_and_the_mend_is_said() {
    for ahead in [3600, -3600] {
        let ca = ca();
        let api = serve(tls(&ca, "localhost", false), well(ahead, "installer")).await;
        let report = Bench::new(Some(api), &ca).report().await;
        let time = of(&report, Topic::Time);
        assert_eq!((time.status, time.code.as_str()), (Status::Failed, "time-wrong"), "{time:?}");
        let side = if ahead > 0 { "behind" } else { "ahead of" };
        assert!(time.seen.as_deref().unwrap().contains(side), "{time:?}");
        assert!(time.mend.as_deref().unwrap().contains("set date and time"));
        assert_eq!(report.worst, Status::Failed);
    }
}

#[tokio::test]
async fn an_expired_certificate_a_foreign_one_and_one_for_another_name_are_told_apart() {
    let ca = ca();
    let expired = serve(tls(&ca, "localhost", true), well(0, "installer")).await;
    let report = Bench::new(Some(expired), &ca).report().await;
    assert_eq!(codes(&report, &SERVER), ["network-ok", "time-unknown", "tls-expired", "api-unseen"]);
    let tls_check = of(&report, Topic::Tls);
    assert!(tls_check.seen.as_deref().unwrap().contains("to 2020-02-01"), "{tls_check:?}");
    assert!(tls_check.mend.as_deref().unwrap().contains("date of this machine"));
    assert_eq!(of(&report, Topic::SignIn).code, "sign-in-unseen");
    assert_eq!(of(&report, Topic::Dps).code, "dps-tls");

    let foreign = serve(tls(&crate::server::ca(), "localhost", false), well(0, "installer")).await;
    let report = Bench::new(Some(foreign), &ca).report().await;
    assert_eq!(of(&report, Topic::Tls).code, "tls-untrusted");
    assert!(of(&report, Topic::Tls).seen.as_deref().unwrap().contains("issued by"));

    let other = serve(tls(&ca, "example.com", false), well(0, "installer")).await;
    let report = Bench::new(Some(other), &ca).report().await;
    assert_eq!(of(&report, Topic::Tls).code, "tls-name");
}

#[tokio::test]
async fn a_captive_portal_is_recognised_over_tls_and_over_plain_http() {
    let ca = ca();
    let page = || async { Html("<html>Welcome to the hotel</html>") };
    let elsewhere =
        || async { (StatusCode::FOUND, [(header::LOCATION, "https://portal.example/login")]).into_response() };
    for router in [Router::new().fallback(page), Router::new().fallback(elsewhere)] {
        let api = serve(tls(&ca, "localhost", false), router).await;
        let report = Bench::new(Some(api), &ca).report().await;
        assert_eq!(of(&report, Topic::Network).code, "captive-portal", "{report:?}");
        assert_eq!(of(&report, Topic::Api).status, Status::Skipped);
    }
    // The portal has no certificate for the API's name, or answers nothing at all on its port.
    let portal = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let plain_port = portal.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(portal, Router::new().fallback(elsewhere)).await });
    let foreign = serve(tls(&crate::server::ca(), "localhost", false), Router::new()).await;
    for api in [foreign, closed()] {
        let mut bench = Bench::new(Some(api), &ca);
        bench.examination.plain_port = plain_port;
        let report = bench.report().await;
        let network = of(&report, Topic::Network);
        assert_eq!(network.code, "captive-portal");
        assert!(network.seen.as_deref().unwrap().contains("portal.example"), "{network:?}");
    }
}

#[tokio::test]
async fn an_api_that_is_down_silent_ill_or_something_else_is_each_called_by_its_name() {
    let ca = ca();
    let report = Bench::new(Some(closed()), &ca).report().await;
    assert_eq!(codes(&report, &SERVER), ["network-unreachable", "time-unknown", "tls-unseen", "api-unseen"]);
    assert_eq!(of(&report, Topic::Dps).code, "dps-unreachable");

    let silent = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let report = Bench::new(Some(silent.local_addr().unwrap()), &ca).report().await;
    assert_eq!(of(&report, Topic::Network).code, "network-timeout");

    let ill = Router::new().fallback(async || StatusCode::SERVICE_UNAVAILABLE);
    let api = serve(tls(&ca, "localhost", false), ill).await;
    let report = Bench::new(Some(api), &ca).report().await;
    assert_eq!(of(&report, Topic::Api).code, "api-unwell");

    let other = serve(tls(&ca, "localhost", false), Router::new()).await;
    let report = Bench::new(Some(other), &ca).report().await;
    assert_eq!(of(&report, Topic::Api).code, "api-foreign");

    let older = Router::new().route("/healthz", get(async || StatusCode::NO_CONTENT));
    let api = serve(tls(&ca, "localhost", false), older).await;
    let report = Bench::new(Some(api), &ca).report().await;
    assert_eq!(of(&report, Topic::Api).code, "api-without-sign-in");
    assert_eq!(of(&report, Topic::SignIn).code, "sign-in-untold");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_no_network_problem() {
    let plain = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let api = plain.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(plain, Router::new()).await });
    let report = Bench::new(Some(api), &ca()).report().await;
    assert_eq!(of(&report, Topic::Tls).code, "tls-failed", "{report:?}");
}

#[tokio::test]
async fn a_proxy_that_opens_tls_is_named_by_its_issuer_and_one_that_is_not_there_by_its_address() {
    // Whatever is asked for, it connects to a server of its own, whose CA nobody here trusts.
    let inspector = serve(tls(&ca(), "localhost", false), Router::new()).await;
    let proxy = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy_address = proxy.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut caller, _)) = proxy.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(caller.read_u8().await.unwrap());
                }
                caller.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut server = tokio::net::TcpStream::connect(inspector).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
            });
        }
    });
    let through = |address: SocketAddr| Proxy::Through {
        url: format!("http://{address}").parse().unwrap(),
        login: Some(("user".into(), SecretString::from("marked-proxy-password".to_owned()))),
    };
    let ca = ca();
    // NO_PROXY of this shell may name localhost; the API has another name.
    let bench = |proxy| {
        let mut bench = Bench::new(None, &ca);
        bench.examination.api = Some("https://provisioning.example.com".into());
        bench.examination.net.proxy = proxy;
        bench
    };
    let report = bench(through(proxy_address)).report().await;
    let tls_check = of(&report, Topic::Tls);
    // The certificate is for localhost: the name or the issuer is what is wrong first.
    assert!(matches!(tls_check.code.as_str(), "tls-intercepted" | "tls-name"), "{tls_check:?}");
    assert!(tls_check.seen.as_deref().unwrap().contains("issued by"), "{tls_check:?}");
    let report = bench(through(closed())).report().await;
    let network = of(&report, Topic::Network);
    assert_eq!(network.code, "network-proxy", "{network:?}");
    assert!(!format!("{report:?}").contains("marked-proxy-password"));
}

#[tokio::test]
async fn without_a_network_nothing_is_blamed_but_that() {
    let ca = ca();
    let mut bench = Bench::new(None, &ca);
    bench.examination.api = Some("https://lowtouch.invalid".into());
    bench.examination.device_endpoint = "lowtouch.invalid".into();
    bench.examination.connectivity = Arc::new(Always(Standing::Offline));
    let report = bench.report().await;
    assert_eq!(codes(&report, &SERVER), ["network-none", "time-unknown", "tls-unseen", "api-unseen"]);
    assert_eq!(of(&report, Topic::Dps).code, "dps-unseen");
    assert_eq!(of(&report, Topic::SignIn).code, "sign-in-unseen");

    let mut bench = Bench::new(None, &ca);
    bench.examination.api = Some("https://lowtouch.invalid".into());
    let report = bench.report().await;
    assert_eq!(of(&report, Topic::Network).code, "network-name");
}

#[tokio::test]
async fn a_machine_on_which_nothing_is_set_says_what_to_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut examination = Examination::new(folder.path());
    examination.device_endpoint = closed().to_string();
    let report = examination.run().await;
    assert_eq!(of(&report, Topic::Api).code, "api-not-set");
    assert_eq!(of(&report, Topic::SignIn).code, "sign-in-none");
    assert!(of(&report, Topic::SignIn).mend.as_deref().unwrap().contains("lowtouch login"));
    assert_eq!(of(&report, Topic::Settings).status, Status::Skipped);
}

#[tokio::test]
async fn a_role_that_cannot_pair_and_a_token_that_is_refused_are_told_apart() {
    let ca = ca();
    let api = serve(tls(&ca, "localhost", false), well(0, "auditor")).await;
    let report = Bench::new(Some(api), &ca).report().await;
    let check = of(&report, Topic::SignIn);
    assert_eq!((check.status, check.code.as_str()), (Status::Warning, "sign-in-role"));
    let refuses = well(0, "installer").route("/v1/nothing", get(async || ())).fallback(async || ());
    let refuses = Router::new()
        .route("/v1/me", get(async || StatusCode::UNAUTHORIZED))
        .route("/healthz", get(async || StatusCode::NO_CONTENT))
        .merge(Router::new().fallback_service(refuses));
    let api = serve(tls(&ca, "localhost", false), refuses).await;
    let report = Bench::new(Some(api), &ca).report().await;
    let check = of(&report, Topic::SignIn);
    assert_eq!((check.status, check.code.as_str()), (Status::Failed, "sign-in-ended"), "{check:?}");
}

#[tokio::test]
async fn a_keyring_that_does_not_work_has_its_own_code_and_mend() {
    for (error, code) in [
        ((|| SecretsError::Locked) as fn() -> SecretsError, ErrorCode::KeyringLocked),
        (|| SecretsError::NoSessionBus, ErrorCode::KeyringNoSession),
    ] {
        let mut bench = Bench::well().await;
        bench.examination.secrets = Some(Arc::new(Broken(error)));
        bench.examination.identity = Identity::Nobody;
        let report = bench.report().await;
        let check = of(&report, Topic::Keyring);
        assert_eq!((check.status, check.code.as_str()), (Status::Failed, code.as_str()));
        assert_eq!(check.mend.as_deref(), Some(error().mend()));
        // With a token from elsewhere it is no obstacle.
        let mut bench = Bench::well().await;
        bench.examination.secrets = Some(Arc::new(Broken(error)));
        assert_eq!(of(&bench.report().await, Topic::Keyring).status, Status::Warning);
    }
}

#[tokio::test]
async fn a_check_that_hangs_ends_in_time_and_the_others_are_told_all_the_same() {
    struct Hanging;
    #[async_trait]
    impl SecretStore for Hanging {
        async fn get(&self, _: &str) -> Result<Option<SecretString>, SecretsError> {
            std::future::pending().await
        }
        async fn set(&self, _: &str, _: &SecretString) -> Result<(), SecretsError> {
            std::future::pending().await
        }
        async fn delete(&self, _: &str) -> Result<(), SecretsError> {
            std::future::pending().await
        }
        fn describe(&self) -> String {
            "hanging".into()
        }
    }
    let mut bench = Bench::well().await;
    bench.examination.secrets = Some(Arc::new(Hanging));
    let report = bench.report().await;
    assert_eq!(of(&report, Topic::Keyring).code, "not-in-time");
    assert_eq!(of(&report, Topic::Api).code, "api-ok");
}

#[tokio::test]
async fn a_damaged_journal_and_a_mistake_in_the_settings_are_found() {
    let mut bench = Bench::well().await;
    std::fs::write(bench.folder.path().join("journal.sqlite"), "not a database ".repeat(100)).unwrap();
    let file = bench.folder.path().join("lowtouch.toml");
    std::fs::write(&file, "api = \"https://a.example\"\nno-such-key = 1\n").unwrap();
    let (_, problems) = Settings::read(&file, &|_| None);
    bench.examination.settings = Some(SettingsSeen { file, problems, warnings: Vec::new() });
    let report = bench.report().await;
    let journal = of(&report, Topic::Journal);
    assert_eq!((journal.status, journal.code.as_str()), (Status::Failed, "journal-not-a-database"));
    let settings = of(&report, Topic::Settings);
    assert_eq!((settings.status, settings.code.as_str()), (Status::Failed, "settings-wrong"));
    assert!(settings.seen.as_deref().unwrap().contains(":2:1: no-such-key: there is no such setting"), "{settings:?}");
}

#[test]
fn the_findings_are_stable() {
    let lines: Vec<String> = Finding::ALL
        .iter()
        .map(|finding| {
            let mend = finding.mend().unwrap_or("-");
            format!("{:?} {} {:?}: {} | {mend}", finding.topic(), finding.code(), finding.status(), finding.text())
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn whatever_is_not_well_has_a_mend_and_every_code_is_explained() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/doctor.md")).unwrap();
    for finding in Finding::ALL {
        let bad = finding.status() >= Status::Warning;
        assert!(!bad || finding.mend().is_some(), "{}", finding.code());
        assert!(page.contains(&format!("`{}`", finding.code())), "docs/doctor.md lacks {}", finding.code());
    }
    for topic in Topic::ALL {
        assert_eq!(serde_json::to_value(topic).unwrap(), topic.as_str());
    }
}
