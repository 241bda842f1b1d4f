//! Secrets stay out of the log and out of the database: a whole flow with everything logged, and then a search.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Api, csr, device_sas, emulator, instance, register};
use provisioning_api_contract::{CertificateResponse, Device, SymmetricKeyResponse};
use secrecy::ExposeSecret as _;
use sha2::Digest as _;
use uuid::Uuid;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Signs in with an invite, refreshes, and returns every secret on the way.
async fn sign_in(api: &Api) -> [String; 6] {
    let (_, invite, _) =
        api.running.office().invite(provisioning_api::Role::Installer, "Ines", None, 15).await.unwrap();
    let invite = invite.expose_secret().to_owned();
    let verifier = "a-verifier-that-is-a-secret-until-it-is-used-0123456789".to_owned();
    let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(&verifier));
    let post = async |path: &str, fields: &[(&str, &str)]| -> serde_json::Value {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", "lowtouch")
            .extend_pairs(fields)
            .finish();
        let request = api.http.post(format!("{}{path}", api.running.url));
        common::finish(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await.ok()
    };
    let fields = [("invite", invite.as_str()), ("code_challenge", &challenge), ("code_challenge_method", "S256")];
    let code = post("/oauth/invite", &fields).await["code"].as_str().unwrap().to_owned();
    let fields = [("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", &verifier)];
    let tokens = post("/oauth/token", &fields).await;
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let (access, refresh) = (text(&tokens["access_token"]), text(&tokens["refresh_token"]));
    let tokens = post("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", &refresh)]).await;
    [invite, verifier, code, access, refresh, text(&tokens["refresh_token"])]
}

#[tokio::test]
async fn no_secret_is_in_the_log_or_the_database_after_a_whole_flow() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let (dps, _folder) = emulator().await;
    let api = Api::start(vec![instance("north", &dps)]).await;
    for id in ["sn-1", "sn-2"] {
        api.add(id).await;
    }
    let handoff = Uuid::new_v4();
    Api::allocated(&api.allocate("sn-1", handoff, &["x509"]).await);
    let _: CertificateResponse = api.certificate("sn-1", handoff, &csr("sn-1").0).await.ok();
    api.assigned("sn-1", handoff).await.done();
    let allocation = Api::allocated(&api.allocate("sn-2", handoff, &["symmetricKey"]).await);
    let key: SymmetricKeyResponse = api.symmetric_key("sn-2", handoff).await.ok();
    api.failed("sn-2", handoff).await.done();
    let _: Device = api.get("/v1/devices/sn-1?dps=true").await.ok();
    api.send(reqwest::Method::GET, "/v1/devices/sn-1", Some("lowtouch_wrong-but-secret"), None).await;
    let signed_in = sign_in(&api).await;
    // It is the device's key indeed; what this says of the log is the emulator's and this test's affair.
    let before = log.0.lock().unwrap().clone();
    assert!(register(&common::client(&dps.ca_pem), &allocation, Some(device_sas(&allocation, &key.key))).await.is_ok());

    let group_key = common::group_key(&dps).await;
    let at_rest = std::fs::read_to_string(api.folder.path().join("tls/at-rest.key")).unwrap();
    let server_key = std::fs::read_to_string(api.folder.path().join("tls/server.key")).unwrap();
    let secrets = [
        ("installer's token", api.installer.as_str()),
        ("administrator's token", &api.administrator),
        ("wrong token", "lowtouch_wrong-but-secret"),
        ("device key", &key.key),
        ("group key", &group_key),
        ("invite", &signed_in[0]),
        ("verifier", &signed_in[1]),
        ("code", &signed_in[2]),
        ("access token", &signed_in[3]),
        ("refresh token", &signed_in[4]),
        ("refreshed token", &signed_in[5]),
        ("service key", &dps.service_key),
        ("key at rest", at_rest.trim()),
        ("server's key", server_key.lines().nth(1).unwrap()),
        ("a private key", "PRIVATE KEY"),
        ("SAS token", "SharedAccessSignature sr="),
    ];
    assert!(contains(&before, "request"), "the log was captured");
    for (name, secret) in secrets {
        if let Some(line) = String::from_utf8_lossy(&before).lines().find(|line| line.contains(secret)) {
            panic!("the {name} is in the log: {line}");
        }
    }
    let folder = api.folder;
    api.running.stop().await;
    for file in ["api.db", "api.db-wal"] {
        let bytes = std::fs::read(folder.path().join(file)).unwrap_or_default();
        for (name, secret) in secrets {
            assert!(!contains(&bytes, secret), "the {name} is in {file}");
        }
    }
}
