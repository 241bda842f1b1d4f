//! A gateway for tests: the real program, over real TLS.
#![allow(dead_code, reason = "shared by tests that need different parts of it")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use reqwest::header::{self, HeaderMap};
use reqwest::{Client, ClientBuilder, StatusCode};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

/// One that is about to start.
pub(crate) struct Prepared {
    pub(crate) command: Command,
    /// Its data folder.
    pub(crate) data: PathBuf,
}

/// A running `lowtouch serve`; it ends with its standard input.
pub(crate) struct Gateway {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) lines: mpsc::Receiver<Value>,
    pub(crate) url: String,
    pub(crate) code: String,
    pub(crate) client: Client,
    pub(crate) ca: Vec<u8>,
    _folder: tempfile::TempDir,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// `prepared` gets the command; its data folder is `LOWTOUCH_DATA_DIR` and there already.
    pub(crate) fn start_with(prepared: impl FnOnce(&mut Prepared)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lowtouch"));
        for variable in ["LOWTOUCH_API", "LOWTOUCH_TOKEN", "LOWTOUCH_LOG"] {
            command.env_remove(variable);
        }
        command
            .env("LOWTOUCH_DATA_DIR", &data)
            // No keyring of this machine's is touched.
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
            .env("LOWTOUCH_CONFIG_FILE", folder.path().join("lowtouch.toml"))
            .args(["serve", "--json", "--until-stdin-closes", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut prepared_command = Prepared { command, data };
        prepared(&mut prepared_command);
        let mut child = prepared_command.command.spawn().unwrap();
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
            ca,
            _folder: folder,
        }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).header(header::ORIGIN, &self.url).json(body)
    }

    pub(crate) async fn sign_in(&self, code: &str) -> reqwest::Response {
        self.post("/api/session", &json!({ "code": code })).send().await.unwrap()
    }

    /// What the cookie says, without its attributes.
    pub(crate) async fn signed_in(&self) -> String {
        let answer = self.sign_in(&self.code).await;
        assert_eq!(answer.status(), StatusCode::OK);
        cookie(answer.headers()).split(';').next().unwrap().to_owned()
    }

    pub(crate) async fn call(&self, cookie: &str, name: &str, args: &Value) -> (StatusCode, Value) {
        let request = self.post(&format!("/api/call/{name}"), args).header(header::COOKIE, cookie);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// All events of a stream that ends.
    pub(crate) async fn stream(&self, cookie: &str, name: &str, args: &Value) -> Vec<Value> {
        let request = self.post(&format!("/api/stream/{name}"), args).header(header::COOKIE, cookie);
        let text = request.send().await.unwrap().text().await.unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    /// Waits for a line of this event.
    pub(crate) fn line(&self, event: &str) -> Value {
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
pub(crate) fn client(ca: &[u8]) -> Client {
    builder(ca).build().unwrap()
}

pub(crate) fn builder(ca: &[u8]) -> ClientBuilder {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder().tls_backend_preconfigured(config).no_proxy().http1_only().timeout(Duration::from_secs(60))
}

pub(crate) fn cookie(headers: &HeaderMap) -> String {
    headers[header::SET_COOKIE].to_str().unwrap().to_owned()
}
