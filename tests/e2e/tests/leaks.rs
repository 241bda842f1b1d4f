//! Marked secrets go through a whole pairing with trace logging on; then everything that was written is searched.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lowtouch_device::sim::{Attestation, SimLink, Wifi};
use lowtouch_installer::pairing::WifiCredentials;
use lowtouch_test_support::{World, any_port, outcome, request};
use secrecy::ExposeSecret;

const POP: &str = "MARKEDPOP7391";
const PASSPHRASE: &str = "MARKEDWIFI5527";

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

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_log_event_journal_or_database() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .init();

    let world = World::start().await;
    let mut events = Vec::new();
    for attestation in [Attestation::X509, Attestation::SymmetricKey] {
        let mut config = world.device_config(SimLink::Http(any_port()));
        config.pop = Some(POP.to_owned().into());
        config.attestations = vec![attestation];
        config.wifi = Some(Wifi { ssid: "site".into(), passphrase: PASSPHRASE.to_owned().into() });
        let device = world.device(config).await;
        let mut request = request(&device);
        request.wifi = Some(WifiCredentials::new("site", PASSPHRASE.to_owned()));
        let pairing = world.installer("app").await.pair(request);
        let mut stream = pairing.events();
        outcome(pairing).await.unwrap();
        while let Some(event) = stream.next().await {
            events.push(format!("{event:?}"));
        }
    }

    let mut written =
        vec![("log".to_owned(), log.0.lock().unwrap().clone()), ("events".into(), events.join("\n").into())];
    for file in files(&world.data_folder("app")).into_iter().chain(files_named(world.folder(), "api.sqlite")) {
        // SQLite's shared memory goes when the last connection closes.
        if let Ok(bytes) = std::fs::read(&file) {
            written.push((file.display().to_string(), bytes));
        }
    }
    let service_keys: Vec<&str> = world.dps.iter().map(|dps| dps.service_key.as_str()).collect();
    let mut secrets = vec![POP, PASSPHRASE, world.token.expose_secret()];
    secrets.extend(service_keys);
    for (name, bytes) in &written {
        for secret in &secrets {
            assert!(!contains(bytes, secret), "a secret is in {name}");
        }
    }
    assert!(written[0].1.len() > 1000, "trace logging was on");
    assert!(written.len() >= 4, "the journal and the API's database were searched");
}

fn files_named(folder: &Path, start: &str) -> Vec<std::path::PathBuf> {
    let of_name =
        |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    files(folder).into_iter().filter(of_name).collect()
}
