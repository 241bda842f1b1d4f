//! The provider's process.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use url::Url;

use crate::Browser;

/// Node's start is slow on a busy machine.
const READY_DEADLINE: Duration = Duration::from_secs(60);
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// How the provider behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// `aud` of the access tokens.
    pub audience: String,
    /// Public clients (no secret), with loopback redirects to `/finished` at any port.
    pub clients: Vec<String>,
    /// What an account's access tokens say beside the usual claims, by the name typed in at sign-in. Any other name
    /// signs in as well, with nothing beside.
    pub claims: BTreeMap<String, Value>,
    /// Seconds.
    pub access_ttl: u64,
    /// Seconds.
    pub refresh_ttl: u64,
    /// Seconds.
    pub device_ttl: u64,
    /// Seconds between polls of the device flow.
    pub interval: u64,
}

impl Default for Options {
    /// Audience `lowtouch-api`, client `lowtouch`, no claims, 15 minutes, 1 day, 10 minutes, 1 second.
    fn default() -> Self {
        Options {
            audience: "lowtouch-api".into(),
            clients: vec!["lowtouch".into()],
            claims: BTreeMap::new(),
            access_ttl: 900,
            refresh_ttl: 86_400,
            device_ttl: 600,
            interval: 1,
        }
    }
}

/// A running provider; it ends when this is dropped.
pub struct Provider {
    /// `https://localhost:PORT`, the `iss` of its tokens.
    pub issuer: String,
    /// The CA that signed its certificate, made for this run.
    pub ca_pem: String,
    options: Options,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
    _folder: TempDir,
}

impl Provider {
    /// Starts it and returns when it answers.
    pub async fn start(options: Options) -> Provider {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(
            here.join("node_modules/oidc-provider").is_dir(),
            "tests/oidc has no packages: run `cargo xtask test oidc`, or `npm ci` in that folder"
        );
        let folder = TempDir::new().expect("a folder");
        let ca_pem = certificates(folder.path());
        let arguments = json!({
            "cert": folder.path().join("cert.pem"), "key": folder.path().join("key.pem"),
            "audience": options.audience, "clients": options.clients, "claims": options.claims,
            "accessTtl": options.access_ttl, "refreshTtl": options.refresh_ttl, "deviceTtl": options.device_ttl,
            "interval": options.interval,
        });
        let mut process = Command::new("node")
            .arg(here.join("provider.mjs"))
            .arg(arguments.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node");
        let stdin = process.stdin.take().expect("standard input");
        let mut lines = BufReader::new(process.stdout.take().expect("standard output")).lines();
        let ready = answer(&mut lines, "ready", READY_DEADLINE).await;
        let issuer = ready["issuer"].as_str().expect("an issuer").to_owned();
        Provider { issuer, ca_pem, options, stdin, lines, _process: process, _folder: folder }
    }

    /// Changes the signing key, as providers do; the old one is no longer in the key set. Returns the new `kid`.
    pub async fn rotate_key(&mut self) -> String {
        self.stdin.write_all(b"rotate\n").await.expect("the provider listens");
        let rotated = answer(&mut self.lines, "rotated", ANSWER_DEADLINE).await;
        rotated["kid"].as_str().expect("a key ID").to_owned()
    }

    /// A token of exactly these claims, signed with the provider's key of today (RS256). `header` is laid over
    /// `{"alg":"RS256","typ":"at+jwt","kid":…}`.
    pub async fn sign(&mut self, header: &Value, claims: &Value) -> String {
        let line = format!("sign {}\n", json!({ "header": header, "claims": claims }));
        self.stdin.write_all(line.as_bytes()).await.expect("the provider listens");
        let signed = answer(&mut self.lines, "signed", ANSWER_DEADLINE).await;
        signed["token"].as_str().expect("a token").to_owned()
    }

    /// A person's browser that trusts this provider.
    pub fn browser(&self) -> Browser {
        Browser::new(&self.ca_pem)
    }

    /// Signs in as `login` at the first client (authorization code and PKCE) and returns the token endpoint's answer:
    /// `access_token` (a JWT), `refresh_token`, `id_token`, `expires_in`.
    pub async fn tokens(&self, login: &str) -> Value {
        let client = self.options.clients.first().expect("a client").clone();
        // No one listens there: the browser stops before it follows a redirect out of the provider.
        let redirect = "http://127.0.0.1:9/finished";
        let mut verifier = [0_u8; 32];
        getrandom::fill(&mut verifier).expect("random numbers");
        let verifier = URL_SAFE_NO_PAD.encode(verifier);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut url = Url::parse(&format!("{}/auth", self.issuer)).expect("a URL");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &client)
            .append_pair("redirect_uri", redirect)
            .append_pair("scope", "openid offline_access")
            .append_pair("state", "state")
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let mut browser = self.browser();
        let page = browser.sign_in(url, login).await;
        let back = page.redirect.unwrap_or_else(|| panic!("no redirect to the client: {} {}", page.url, page.body));
        let code = back
            .query_pairs()
            .find(|(name, _)| name == "code")
            .unwrap_or_else(|| panic!("no code in {back}"))
            .1
            .into_owned();
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &client),
            ("redirect_uri", redirect),
            ("code", &code),
            ("code_verifier", &verifier),
        ];
        let url = Url::parse(&format!("{}/token", self.issuer)).expect("a URL");
        let answer = browser.post(url, &form).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }
}

async fn answer(lines: &mut Lines<BufReader<ChildStdout>>, word: &str, deadline: Duration) -> Value {
    let line = tokio::time::timeout(deadline, lines.next_line()).await.expect("the provider answers in time");
    let line = line.expect("a readable line").expect("the provider goes on");
    let json = line.strip_prefix(word).unwrap_or_else(|| panic!("{line} does not begin with {word}"));
    serde_json::from_str(json).expect("JSON")
}

/// A CA, and a certificate for `localhost` from it; the CA's PEM.
fn certificates(folder: &Path) -> String {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let ca_pem = params.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned()];
    let certificate = CertificateParams::new(names).and_then(|params| params.signed_by(&key, &issuer));
    std::fs::write(folder.join("cert.pem"), certificate.expect("a certificate").pem()).expect("a file");
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("a file");
    ca_pem
}
