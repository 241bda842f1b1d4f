//! Signing in over the gateway at a real issuer, for the real provisioning API: `cargo xtask test oidc`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod gateway;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gateway::Gateway;
use oidc_fixture::{Options, Provider};
use reqwest::StatusCode;
use reqwest::header;
use serde_json::{Value, json};

/// A running `provisioning-api serve` that takes the tokens of an issuer; it ends with its standard input.
struct Api {
    child: Child,
    url: String,
    ca_pem: String,
    _folder: tempfile::TempDir,
}

impl Api {
    fn start(provider: &Provider) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("issuer.pem"), &provider.ca_pem).unwrap();
        std::fs::write(at("dps.key"), "a2V5").unwrap();
        std::fs::write(
            at("dps.toml"),
            "[[instance]]\nname = \"north\"\nid_scope = \"0ne00000001\"\n\
             service_endpoint = \"https://127.0.0.1:1\"\nkey_file = \"dps.key\"\n",
        )
        .unwrap();
        std::fs::write(
            at("issuers.toml"),
            format!(
                "[[issuer]]\nissuer = \"{}\"\naudience = \"lowtouch-api\"\nclient_id = \"lowtouch\"\n\
                 scopes = [\"openid\", \"offline_access\"]\nrole_claim = \"roles\"\nroles = {{ installer = \"installer\" }}\n\
                 tenant = \"default\"\nca_file = \"issuer.pem\"\n",
                provider.issuer
            ),
        )
        .unwrap();
        // Beside this program once the workspace was built.
        let program = Path::new(env!("CARGO_BIN_EXE_lowtouch")).with_file_name("provisioning-api");
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--until-stdin-closes"]);
        command.arg("--database").arg(format!("sqlite:{}", at("api.db").display()));
        command
            .arg("--tls-dir")
            .arg(at("tls"))
            .arg("--dps")
            .arg(at("dps.toml"))
            .arg("--issuers")
            .arg(at("issuers.toml"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let ready = lines.find_map(|line| line.strip_prefix("ready ").map(str::to_owned)).expect("it starts");
        std::thread::spawn(move || lines.count());
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let ca_pem = std::fs::read_to_string(ready["ca"].as_str().unwrap()).unwrap();
        Api { child, url: ready["url"].as_str().unwrap().into(), ca_pem, _folder: folder }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A gateway that keeps its secrets in a file of its own.
fn gateway() -> Gateway {
    Gateway::start_with(|prepared| {
        let passphrase = prepared.data.join("passphrase");
        std::fs::write(&passphrase, "a test's own\n").unwrap();
        prepared.command.env("LOWTOUCH_SECRETS", "file").env("LOWTOUCH_PASSPHRASE_FILE", passphrase);
    })
}

/// The events of a stream, one by one.
struct Events(reqwest::Response, String);

impl Events {
    async fn of(gateway: &Gateway, session: &str, args: &Value) -> Self {
        let request = gateway.post("/api/stream/sign_in", args).header(header::COOKIE, session);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        Events(answer, String::new())
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let data = event.strip_prefix("data: ").map(|data| serde_json::from_str(data).unwrap());
                self.1 = rest.to_owned();
                if data.is_some() {
                    return data;
                }
                continue;
            }
            let more = tokio::time::timeout(Duration::from_secs(60), self.0.chunk()).await.expect("news in time");
            self.1 += std::str::from_utf8(&more.unwrap()?).unwrap();
        }
    }
}

fn with_device_code(api: &Api, provider: &Provider) -> Value {
    json!({ "way": "device-code", "server": api.url, "caPem": format!("{}\n{}", api.ca_pem, provider.ca_pem) })
}

#[tokio::test]
#[ignore = "needs npm's packages: cargo xtask test oidc"]
async fn a_person_signs_in_over_the_gateway_with_a_code_on_another_screen() {
    let claims = [("ines".to_owned(), json!({ "roles": ["installer"] }))].into();
    let provider = Provider::start(Options { claims, ..Options::default() }).await;
    let api = Api::start(&provider);
    let gateway = gateway();
    let session = gateway.signed_in().await;

    let mut events = Events::of(&gateway, &session, &with_device_code(&api, &provider)).await;
    let asked = events.next().await.unwrap();
    assert_eq!(asked["event"], "device-code", "{asked}");
    assert!(asked["code"].as_str().unwrap().len() >= 8, "{asked}");
    let page = asked["completeUrl"].as_str().unwrap().parse().unwrap();
    let page = provider.browser().sign_in(page, "ines").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let done = events.next().await.unwrap();
    assert_eq!(done["event"], "signed-in", "{done}");
    assert_eq!(done["account"]["person"], "ines");
    assert_eq!(events.next().await, None, "the stream ends");
    let told = format!("{asked}{done}");
    assert!(!told.contains("eyJ"), "no token leaves the gateway: {told}");

    // The gateway works as this person from here on, and the API believes it.
    let (_, accounts) = gateway.call(&session, "accounts", &json!({})).await;
    assert_eq!(accounts["current"], done["account"]["name"]);
    let (status, orders) = gateway.call(&session, "orders", &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{orders}");
}

#[tokio::test]
#[ignore = "needs npm's packages: cargo xtask test oidc"]
async fn a_page_that_goes_away_while_it_waits_for_the_other_screen_leaves_no_account() {
    let provider = Provider::start(Options::default()).await;
    let api = Api::start(&provider);
    let gateway = gateway();
    let session = gateway.signed_in().await;
    let mut events = Events::of(&gateway, &session, &with_device_code(&api, &provider)).await;
    let page = events.next().await.unwrap()["completeUrl"].as_str().unwrap().parse().unwrap();
    drop(events);
    // The person confirms too late; the next sign-in asks for a code of its own.
    provider.browser().sign_in(page, "ines").await;
    let mut again = Events::of(&gateway, &session, &with_device_code(&api, &provider)).await;
    assert_eq!(again.next().await.unwrap()["event"], "device-code");
    let (_, accounts) = gateway.call(&session, "accounts", &json!({})).await;
    assert_eq!(accounts["all"], json!([]));
}

#[tokio::test]
#[ignore = "needs npm's packages: cargo xtask test oidc"]
async fn who_has_no_role_at_the_api_is_told_so_over_the_stream() {
    let provider = Provider::start(Options::default()).await;
    let api = Api::start(&provider);
    let gateway = gateway();
    let session = gateway.signed_in().await;
    let mut events = Events::of(&gateway, &session, &with_device_code(&api, &provider)).await;
    let page = events.next().await.unwrap()["completeUrl"].as_str().unwrap().parse().unwrap();
    provider.browser().sign_in(page, "nobody").await;
    let failed = events.next().await.unwrap();
    assert_eq!(
        (failed["event"].as_str(), failed["error"]["code"].as_str()),
        (Some("failed"), Some("no-role")),
        "{failed}"
    );
    assert_eq!(events.next().await, None);
    let (_, accounts) = gateway.call(&session, "accounts", &json!({})).await;
    assert_eq!(accounts["all"], json!([]));
}
