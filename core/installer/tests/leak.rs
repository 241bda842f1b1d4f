//! Marked secrets go through whole pairings with trace logging on; then everything that was written is searched.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

#[path = "it/fake.rs"]
#[allow(dead_code)]
mod fake;
#[path = "it/server.rs"]
#[allow(dead_code)]
mod server;

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake::{Bench, Dps, FakeDevice, KEY, POP, Trouble, WIFI_PASSWORD, request};
use lowtouch_handoff::dps_config::Attestation::SymmetricKey;
use lowtouch_installer::api::ProvisioningApi;
use lowtouch_installer::doctor::{Examination, Identity};
use lowtouch_installer::logs::{self, Bundle};
use lowtouch_installer::net::Proxy;
use lowtouch_installer::pairing::WifiCredentials;
use lowtouch_installer::secrets::{Memory as Secrets, SecretStore as _};
use provisioning_api_contract as wire;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn files(dir: &Path, into: &mut Vec<u8>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.extend(std::fs::read(&path).unwrap());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_reaches_log_events_errors_or_journal() {
    let log = Memory::default();
    let writer = log.clone();
    let support = tempfile::tempdir().unwrap();
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .with_filter(tracing::level_filters::LevelFilter::TRACE),
        )
        .with(logs::layer(support.path(), logs::filter(Some("trace"))))
        .init();

    let mut written = Vec::new();
    for (version, dps, trouble) in [
        (2, Dps::Assigns, Trouble::None),
        (2, Dps::Refuses, Trouble::None),
        (2, Dps::Assigns, Trouble::LostAfter(10)),
        (2, Dps::Assigns, Trouble::GarbageFrom(7)),
        (1, Dps::Assigns, Trouble::None),
    ] {
        let bench = Bench::new(wire::Attestation::SymmetricKey).await;
        let device = FakeDevice::with(fake::security(version, POP), &[SymmetricKey]).with_wifi(WIFI_PASSWORD);
        device.lock().dps = dps;
        for passphrase in ["marked-wifi-wrong", WIFI_PASSWORD] {
            let mut request = request(version);
            request.wifi = Some(WifiCredentials::new("Shed", passphrase.to_owned()));
            written.extend(format!("{request:?}").into_bytes());
            let pairing = bench.installer.pair_over(request, device.link(trouble));
            let mut events = pairing.events();
            let outcome = pairing.outcome().await;
            written.extend(format!("{outcome:?}").into_bytes());
            while let Some(event) = events.next().await {
                written.extend(format!("{event:?}").into_bytes());
                written.extend(serde_json::to_vec(&event).unwrap());
            }
        }
        for entry in bench.installer.journal().list(10).await.unwrap() {
            written.extend(serde_json::to_vec(&entry).unwrap());
        }
        files(bench.dir.path(), &mut written);
        let flash = device.lock().flash.clone().unwrap_or_default();
        if dps == Dps::Assigns && trouble == Trouble::None {
            assert!(contains(&flash, &KEY), "the search finds what is there");
        }
    }
    over_tls().await;
    written.extend(doctor_and_bundle(support.path()).await);
    files(support.path(), &mut written);
    written.extend(log.0.lock().unwrap().iter());
    assert!(
        contains(&written, b"device-1") && contains(&written, b"exchange") && contains(&written, b"API answer"),
        "there is something to search"
    );
    for secret in [
        POP.as_bytes(),
        &KEY,
        STANDARD.encode(KEY).as_bytes(),
        hex::encode(KEY).as_bytes(),
        format!("{KEY:?}").trim_matches(['[', ']']).as_bytes(),
        WIFI_PASSWORD.as_bytes(),
        b"marked-wifi-wrong",
        server::TOKEN.as_bytes(),
        PROXY_PASSWORD.as_bytes(),
        KEYRING_PASSWORD.as_bytes(),
    ] {
        assert!(!contains(&written, secret), "{}", String::from_utf8_lossy(secret));
    }
}

const PROXY_PASSWORD: &str = "marked-proxy-password";
const KEYRING_PASSWORD: &str = "marked-keyring-password";

/// The doctor with a token and a proxy's password against nobody, and the bundle of all that was logged: as they are said,
/// and as they are packed.
async fn doctor_and_bundle(data_dir: &Path) -> Vec<u8> {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let secrets = Secrets::default();
    secrets.set("doctor", &KEYRING_PASSWORD.to_owned().into()).await.unwrap();
    let mut examination = Examination::new(data_dir);
    examination.api = Some("https://provisioning.example.com".into());
    examination.device_endpoint = nobody.to_string();
    examination.net.proxy = Proxy::Through {
        url: format!("http://{nobody}").parse().unwrap(),
        login: Some(("user".into(), PROXY_PASSWORD.to_owned().into())),
    };
    examination.identity = Identity::Token(server::TOKEN.to_owned().into());
    examination.secrets = Some(Arc::new(secrets));
    let report = examination.run().await;
    let mut written = format!("{report:?}{}", serde_json::to_string(&report).unwrap()).into_bytes();
    let settings = format!("api = \"https://a.example\"\nproxy-password = \"{PROXY_PASSWORD}\"\n");
    let bundle =
        Bundle { data_dir: data_dir.to_owned(), report: Some(&report), settings: Some(settings), ..Bundle::default() };
    let mut packed = std::io::Cursor::new(Vec::new());
    let contents = bundle.write(&mut packed).unwrap();
    assert!(contents.files.iter().any(|file| file.name.starts_with("logs/")), "{contents:?}");
    written.extend(format!("{contents:?}").into_bytes());
    let mut archive = zip::ZipArchive::new(packed).unwrap();
    for index in 0..archive.len() {
        std::io::copy(&mut archive.by_index(index).unwrap(), &mut written).unwrap();
    }
    written
}

/// The real client, so that the log of everything under it is in the search.
async fn over_tls() {
    tokio::time::resume();
    let ca = server::ca();
    let key = STANDARD.encode(KEY);
    let answer = axum::Json(serde_json::json!({ "key": key }));
    let router = axum::Router::new().fallback(axum::routing::any(move || async move { answer }));
    let address = server::serve(server::tls(&ca, "localhost", false), router).await;
    let client = server::client(address, Some(&ca));
    let ask = wire::SymmetricKeyRequest { handoff_id: uuid::Uuid::nil() };
    assert_eq!(client.symmetric_key("device-1", &ask).await.unwrap().key, key);
    // An answer of the wrong shape: its words must not be quoted in the error.
    let error = client.instances().await.unwrap_err();
    assert!(!format!("{error:?}").contains(&key));
}

fn contains(written: &[u8], secret: &[u8]) -> bool {
    written.windows(secret.len()).any(|window| window == secret)
}
