//! The gateway, over real TLS, as a browser and as somebody who is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use reqwest::header::{self, HeaderMap};
use reqwest::{Client, StatusCode};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

/// A running `lowtouch serve`; it ends with its standard input.
struct Gateway {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<Value>,
    url: String,
    code: String,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Gateway {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lowtouch"));
        for variable in ["LOWTOUCH_API", "LOWTOUCH_TOKEN", "LOWTOUCH_LOG"] {
            command.env_remove(variable);
        }
        command
            .env("LOWTOUCH_DATA_DIR", folder.path().join("data"))
            .env("LOWTOUCH_CONFIG_FILE", folder.path().join("lowtouch.toml"))
            .args(["serve", "--json", "--until-stdin-closes", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let ready: Value = lines.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(ready["event"], "serving");
        let ca = std::fs::read(ready["caFile"].as_str().unwrap()).unwrap();
        Self {
            client: client(&ca),
            url: ready["url"].as_str().unwrap().into(),
            code: ready["code"].as_str().unwrap().into(),
            child,
            stdin,
            lines,
            _folder: folder,
        }
    }

    fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).header(header::ORIGIN, &self.url).json(body)
    }

    async fn sign_in(&self, code: &str) -> reqwest::Response {
        self.post("/api/session", &json!({ "code": code })).send().await.unwrap()
    }

    /// What the cookie says, without its attributes.
    async fn signed_in(&self) -> String {
        let answer = self.sign_in(&self.code).await;
        assert_eq!(answer.status(), StatusCode::OK);
        cookie(answer.headers()).split(';').next().unwrap().to_owned()
    }

    async fn call(&self, cookie: &str, name: &str, args: &Value) -> (StatusCode, Value) {
        let request = self.post(&format!("/api/call/{name}"), args).header(header::COOKIE, cookie);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Waits for a line of this event.
    fn line(&self, event: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(30)).unwrap();
            if line["event"] == event {
                return line;
            }
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// Trusts this CA alone.
fn client(ca: &[u8]) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(config)
        .no_proxy()
        .http1_only()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

fn cookie(headers: &HeaderMap) -> String {
    headers[header::SET_COOKIE].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_code_lets_one_browser_in_once_and_signing_out_ends_that() {
    let mut gateway = Gateway::start();
    let (status, error) = gateway.call("", "about", &json!({})).await;
    assert_eq!((status, error["code"].as_str()), (StatusCode::UNAUTHORIZED, Some("gateway-session-missing")));
    let stream = gateway.post("/api/stream/standing", &json!({})).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::UNAUTHORIZED);

    let answer = gateway.sign_in(&gateway.code).await;
    let set = cookie(answer.headers());
    for attribute in ["__Host-lowtouch=", "; Path=/;", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.to_lowercase().contains("domain"), "{set}");
    let session = set.split(';').next().unwrap().to_owned();
    assert_eq!(gateway.line("signed-in")["from"], "127.0.0.1");

    let again = gateway.sign_in(&gateway.code).await;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(again.json::<Value>().await.unwrap()["code"], "gateway-code-wrong");

    let (status, about) = gateway.call(&session, "about", &json!({})).await;
    assert_eq!((status, about["host"].as_str()), (StatusCode::OK, Some("gateway")));

    // Whoever signs out ends the streams of that session.
    let request = gateway.post("/api/stream/standing", &json!({})).header(header::COOKIE, &session);
    let mut stream = request.send().await.unwrap();
    assert_eq!(stream.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert!(stream.chunk().await.unwrap().unwrap().starts_with(b"data: {"));
    let out = gateway.post("/api/session/end", &json!({})).header(header::COOKIE, &session).send().await.unwrap();
    assert!(cookie(out.headers()).contains("Max-Age=0"));
    while stream.chunk().await.unwrap().is_some() {}
    assert_eq!(gateway.call(&session, "about", &json!({})).await.0, StatusCode::UNAUTHORIZED);

    // Enter shows another code.
    gateway.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let code = gateway.line("code")["code"].as_str().unwrap().to_owned();
    assert_ne!(code, gateway.code);
    assert_eq!(gateway.sign_in(&code).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn wrong_codes_are_slowed_down() {
    let gateway = Gateway::start();
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let answer = gateway.sign_in("0000-0000").await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers().contains_key(header::RETRY_AFTER));
            let error: Value = answer.json().await.unwrap();
            assert_eq!(error["code"], "gateway-slowed-down");
            assert!(error["retryAfterS"].as_u64().unwrap() >= 1);
            statuses.push(StatusCode::TOO_MANY_REQUESTS);
        } else {
            statuses.push(answer.status());
        }
    }
    assert_eq!(statuses[..3], [StatusCode::UNAUTHORIZED; 3]);
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
    // The right one waits too.
    assert_eq!(gateway.sign_in(&gateway.code).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn foreign_names_and_foreign_pages_are_refused() {
    let gateway = Gateway::start();
    let session = gateway.signed_in().await;
    let foreign = gateway.client.get(&gateway.url).header(header::HOST, "evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(foreign.json::<Value>().await.unwrap()["code"], "gateway-foreign");

    let about = |origin: Option<&str>| {
        let url = format!("{}/api/call/about", gateway.url);
        let request = gateway.client.post(url).header(header::COOKIE, &session).json(&json!({}));
        origin.map_or_else(
            || request.try_clone().unwrap(),
            |origin| request.try_clone().unwrap().header(header::ORIGIN, origin),
        )
    };
    for origin in [None, Some("https://evil.example"), Some("null"), Some("http://127.0.0.1")] {
        assert_eq!(about(origin).send().await.unwrap().status(), StatusCode::FORBIDDEN, "{origin:?}");
    }
    assert_eq!(about(Some(&gateway.url)).send().await.unwrap().status(), StatusCode::OK);
    // A form can post without a script, but not with our content type.
    let form = gateway.client.post(format!("{}/api/call/about", gateway.url)).header(header::COOKIE, &session);
    let form = form.header(header::ORIGIN, &gateway.url).header(header::CONTENT_TYPE, "text/plain").body("{}");
    let form = form.send().await.unwrap();
    assert_eq!(form.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let put = gateway.client.put(&gateway.url).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn every_answer_has_the_policy_that_allows_files_of_the_gateway_alone() {
    let gateway = Gateway::start();
    let page = gateway.client.get(format!("{}/journal", gateway.url)).send().await.unwrap();
    let refused = gateway.sign_in("wrong").await;
    for answer in [page, refused] {
        let headers = answer.headers();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert!(headers[header::CACHE_CONTROL].to_str().unwrap().starts_with("no-"));
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_said_with_a_code_and_quotes_nothing() {
    let gateway = Gateway::start();
    let session = gateway.signed_in().await;
    let asked = |name: &'static str, args: Value| {
        let (gateway, session) = (&gateway, &session);
        async move {
            let (status, error) = gateway.call(session, name, &args).await;
            assert!(!error.to_string().contains("MARKED"), "{error}");
            (status.as_u16(), error["code"].as_str().unwrap_or_default().to_owned())
        }
    };
    assert_eq!(asked("no_such", json!({})).await, (404, "command-unknown".into()));
    assert_eq!(asked("label_read", json!({})).await, (400, "command-arguments".into()));
    assert_eq!(asked("label_read", json!({ "text": { "pop": "MARKED" } })).await, (400, "command-arguments".into()));
    assert_eq!(asked("label_read", json!({ "MARKED": "MARKED" })).await, (400, "command-arguments".into()));
    assert_eq!(asked("label_read", json!({ "text": "MARKED" })).await, (422, "label-not-a-label".into()));
    assert_eq!(
        asked("label_read", json!({ "text": "lowtouch:invite#server=https://a&code=MARKED" })).await,
        (422, "label-is-invite".into())
    );
    assert_eq!(asked("label_read", json!({ "text": "x".repeat(70_000) })).await, (413, "gateway-body-too-long".into()));
    assert_eq!(asked("pairing_start", json!({ "labelId": "00000000-0000-4000-8000-000000000000" })).await.0, 404);
    let broken = gateway.post("/api/call/about", &json!({})).header(header::COOKIE, &session).body("{\"MARKED");
    let broken = broken.send().await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    assert!(!broken.text().await.unwrap().contains("MARKED"));
    // A code in a path or query is no way in.
    let url = format!("{}/?code={}", gateway.url, gateway.code);
    assert!(!gateway.client.get(url).send().await.unwrap().headers().contains_key(header::SET_COOKIE));
    // A browser that is signed in sees no other way of signing in than those that work from afar.
    assert_eq!(asked("sign_in", json!({})).await.0, 404);
}

#[tokio::test]
async fn it_ends_with_its_standard_input_and_takes_its_streams_along() {
    let mut gateway = Gateway::start();
    let session = gateway.signed_in().await;
    let request = gateway.post("/api/stream/standing", &json!({})).header(header::COOKIE, &session);
    let mut stream = request.send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    drop(gateway.stdin.take());
    while let Ok(Some(_)) = stream.chunk().await {}
    assert!(gateway.child.wait().unwrap().success());
}
