//! The TLS folder, and the program around the library.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at once")]

mod common;

use std::process::Stdio;
use std::time::Duration;

use azure_emulator::{Config, Emulator, SigningCa, StartError};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_tls_folder_is_made_once_and_used_again_by_instances_that_start_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Emulator::start(Config::new(folder.path().join("tls")));
    let (one, two) = tokio::join!(start(), start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.ca_pem, two.ca_pem);
    assert_ne!(one.addr, two.addr);
    for running in [&one, &two] {
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("https://{host}:{}/", running.addr.port());
            assert_eq!(common::client(&one.ca_pem, None).get(url).send().await.unwrap().status(), 404);
        }
    }
    let stranger = SigningCa::new("stranger").unwrap();
    assert!(common::client(stranger.certificate_pem(), None).get(one.url()).send().await.is_err());
    let ca_pem = one.ca_pem.clone();
    one.stop().await;
    two.stop().await;
    let again = start().await.unwrap();
    assert_eq!((again.ca_pem.clone(), std::fs::read_to_string(&again.ca_file).unwrap()), (ca_pem.clone(), ca_pem));
}

#[tokio::test]
async fn after_stop_the_port_is_free_and_a_taken_port_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    let first = Emulator::start(config.clone()).await.unwrap();
    config.listen = first.addr;
    assert!(matches!(Emulator::start(config.clone()).await, Err(StartError::Listen { .. })));
    first.stop().await;
    Emulator::start(config).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    config.service_key = "not base64!".into();
    assert!(matches!(Emulator::start(config).await, Err(StartError::Config(_))));
    std::fs::write(folder.path().join("ca.pem"), "not a certificate").unwrap();
    assert!(matches!(Emulator::start(Config::new(folder.path())).await, Err(StartError::Tls { .. })));
}

#[tokio::test]
async fn secrets_do_not_show_in_debug() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new(folder.path());
    let key = config.service_key.clone();
    let debug = format!("{config:?}");
    let running = Emulator::start(config).await.unwrap();
    assert!(!format!("{debug}{running:?}").contains(&key));
}

async fn program(tls_dir: &std::path::Path, more: &[&str]) -> (Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_azure-emulator"))
        .args([
            "--https",
            "127.0.0.1:0",
            "--id-scope",
            "0ne00000001",
            "--service-key",
            "AAAA",
            "--hub",
            "north",
            "--hub",
            "south,latency=5,weight=2",
        ])
        .args(["--throttle", "100/min", "--tls-dir"])
        .arg(tls_dir)
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let ready = serde_json::from_str(line.strip_prefix("ready ").unwrap()).unwrap();
    (child, ready)
}

#[tokio::test]
async fn the_program_says_that_it_is_ready_and_ends_when_its_standard_input_does() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, ready) = program(folder.path(), &["--until-stdin-closes"]).await;
    assert_eq!(
        (&ready["idScope"], ready["ca"].as_str().unwrap()),
        (&"0ne00000001".into(), folder.path().join("ca.pem").to_str().unwrap())
    );
    let ca_pem = std::fs::read_to_string(ready["ca"].as_str().unwrap()).unwrap();
    let answer = common::client(&ca_pem, None).get(ready["https"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    drop(child.stdin.take());
    assert!(tokio::time::timeout(DEADLINE, child.wait()).await.unwrap().unwrap().success());
}

#[cfg(unix)]
#[tokio::test]
async fn the_program_ends_cleanly_at_sigterm_and_sigint_and_not_when_its_standard_input_does() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, ready) = program(folder.path(), &[]).await;
        drop(child.stdin.take());
        let ca_pem = std::fs::read_to_string(ready["ca"].as_str().unwrap()).unwrap();
        common::client(&ca_pem, None).get(ready["https"].as_str().unwrap()).send().await.unwrap();
        let killed =
            Command::new("kill").args(["-s", signal, &child.id().unwrap().to_string()]).status().await.unwrap();
        assert!(killed.success());
        assert!(tokio::time::timeout(DEADLINE, child.wait()).await.unwrap().unwrap().success(), "{signal}");
    }
}
