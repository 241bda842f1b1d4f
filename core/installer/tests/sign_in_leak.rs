//! Marked secrets go through every way of signing in, well and badly, with trace logging on and the secrets in the encrypted
//! file; then everything that was written is searched. (A program of its own, for it is the log's only user.)
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

#[path = "sign_in/browser.rs"]
mod browser;
#[path = "sign_in/issuer.rs"]
#[allow(dead_code)] // shared
mod issuer;
#[path = "it/server.rs"]
#[allow(dead_code)] // shared
mod server;

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lowtouch_installer::PairingError;
use lowtouch_installer::api::Client;
use lowtouch_installer::logs::{self, Bundle};
use lowtouch_installer::net::{NetSettings, Proxy};
use lowtouch_installer::secrets::{AskPassphrase, EncryptedFile, PassphraseFor, SecretStore as _, SecretsError};
use lowtouch_installer::settings::{self, Key, PROXY_PASSWORD};
use lowtouch_installer::sign_in::{Invite, SignIn};
use secrecy::SecretString;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::issuer::Issuer;

const PASSPHRASE: &str = "MARKED-passphrase";
const PROXY_WORD: &str = "MARKED-proxy-word";

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

struct Person;

#[async_trait]
impl AskPassphrase for Person {
    async fn passphrase(&self, _: PassphraseFor) -> Result<SecretString, SecretsError> {
        Ok(PASSPHRASE.to_owned().into())
    }
}

/// What a person, a script or a support engineer sees of an outcome.
fn told<T: std::fmt::Debug>(outcome: &Result<T, PairingError>) -> String {
    match outcome {
        Ok(done) => format!("{done:?}\n"),
        Err(error) => format!("{error} {error:?} {:?}\n", error.detail),
    }
}

fn files(folder: &Path, into: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, into),
            false => into.extend(std::fs::read(&path).unwrap()),
        }
    }
}

#[tokio::test]
async fn no_secret_of_a_sign_in_reaches_log_file_event_error_or_bundle() {
    let log = Memory::default();
    let writer = log.clone();
    let folder = tempfile::tempdir().unwrap();
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .with_filter(tracing::level_filters::LevelFilter::TRACE),
        )
        .with(logs::layer(folder.path(), logs::filter(Some("trace"))))
        .init();
    let store = Arc::new(EncryptedFile::new(folder.path(), Arc::new(Person)));
    store.set(PROXY_PASSWORD, &PROXY_WORD.to_owned().into()).await.unwrap();
    let config = folder.path().join(settings::FILE_NAME);
    settings::set(&config, Key::Log, &["trace".into()]).unwrap();

    let mut written = String::new();
    for good in [true, false] {
        let issuer = Issuer::start().await;
        let net = NetSettings {
            extra_ca_pem: Some(issuer.ca_pem.clone()),
            proxy: Proxy::Direct,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(5),
            ..NetSettings::default()
        };
        let sign_in = SignIn::new(folder.path(), store.clone(), net);
        let invite = format!("lowtouch:invite#server={}&code={}", issuer.url, issuer::INVITE);
        let invite = Invite::parse(&invite).unwrap();
        written.push_str(&format!("{invite:?}"));
        if !good {
            let torn = (200, "application/json", r#"{"access_token":"MARKED-torn","#.to_owned());
            issuer.answer("/oauth/token", Some(torn));
        }
        written.push_str(&told(&sign_in.with_invite(&invite, None).await));
        written.push_str(&told(&sign_in.with_invite(&invite, None).await));
        issuer.device_answers(&["", ""]);
        written.push_str(&told(&sign_in.with_device_code(&issuer.url, None, |_| {}).await));
        for code in [issuer::CODE, "MARKED-unknown"] {
            let (asked, ask) = tokio::sync::oneshot::channel();
            let mut asked = Some(asked);
            let done = sign_in.with_browser(&issuer.url, None, move |ask| {
                let _ = asked.take().unwrap().send(ask);
            });
            let (done, page) =
                tokio::join!(done, async { browser::come_back(ask.await.unwrap(), &[("code", code)]).await });
            written.push_str(&told(&done));
            written.push_str(&page);
        }
        if good {
            issuer.forget_access_tokens();
            let client = Client::signed_in(sign_in.tokens(None).unwrap());
            written.push_str(&told(&client.me().await));
            issuer.end_family();
            written.push_str(&told(&client.me().await));
            written.push_str(&told(&sign_in.sign_out(None).await));
        }
    }
    let bundle = Bundle {
        data_dir: folder.path().to_owned(),
        settings: Some(std::fs::read_to_string(&config).unwrap()),
        ..Bundle::default()
    };
    let mut packed = std::io::Cursor::new(Vec::new());
    written.push_str(&format!("{:?}", bundle.write(&mut packed).unwrap()));

    let mut all = written.into_bytes();
    let mut archive = zip::ZipArchive::new(packed).unwrap();
    for index in 0..archive.len() {
        std::io::copy(&mut archive.by_index(index).unwrap(), &mut all).unwrap();
    }
    files(folder.path(), &mut all);
    all.extend(log.0.lock().unwrap().iter());
    let found = |word: &str| all.windows(word.len()).position(|window| window == word.as_bytes());
    assert!(found("Ines").is_some() && found("/v1/me").is_some(), "there is something to search");
    if let Some(at) = found("MARKED") {
        let around = &all[at.saturating_sub(200)..(at + 100).min(all.len())];
        panic!("a secret was written: {}", String::from_utf8_lossy(around));
    }
}
