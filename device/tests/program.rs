//! The program `lowtouch-device` as scripts and the demo use it.
// Helpers of tests may panic as tests do; clippy's own exception sees only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::app::{App, symmetric};
use common::endpoint::{assigned_state, endpoint, ok};
use lowtouch_device::sim::{SimConfig, SimLink, Simulated};
use lowtouch_handoff::dps_config::{Config, Phase, Result as Code};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::Value;
use tempfile::TempDir;

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sim(folder: &TempDir, more: &[&str]) -> Program {
    let child = Command::new(env!("CARGO_BIN_EXE_lowtouch-device"))
        .arg("sim")
        .args(["--until-stdin-closes", "--state-dir"])
        .arg(folder.path().join("state"))
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Program(child)
}

fn ready(program: &mut Program) -> (Value, usize) {
    let lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
    for (before, line) in lines.enumerate() {
        if let Some(json) = line.unwrap().strip_prefix("ready ") {
            return (serde_json::from_str(json).unwrap(), before);
        }
    }
    panic!("the program ended before it was ready")
}

#[test]
fn it_says_when_it_is_ready_writes_the_label_and_ends_when_its_input_closes() {
    let folder = TempDir::new().unwrap();
    let label = folder.path().join("label.json");
    let more = ["--link", "pty", "--label-out", label.to_str().unwrap(), "--qr"];
    let mut program = sim(&folder, &more);
    let (said, drawn) = ready(&mut program);
    assert!(said["link"].as_str().unwrap().starts_with("serial:///dev/pts/"));
    assert!(said["registrationId"].as_str().unwrap().starts_with("lt-"));
    assert_eq!(said["label"]["security"], 2);
    assert!(drawn > 15, "the QR code stands above");
    let printed: Value = serde_json::from_str(&std::fs::read_to_string(&label).unwrap()).unwrap();
    assert_eq!(printed, said["label"]);
    drop(program.0.stdin.take());
    assert!(program.0.wait().unwrap().success());

    let mut again = sim(&folder, &more);
    let (said_again, _) = ready(&mut again);
    assert_eq!(said_again["label"], said["label"]);
    assert_eq!(said_again["registrationId"], said["registrationId"]);
}

#[test]
fn what_cannot_be_is_an_error_in_words() {
    let folder = TempDir::new().unwrap();
    for more in [
        &["--link", "carrier-pigeon"][..],
        &["--link", "serial:/dev/not-there"],
        &["--link", "pty", "--registration-id", "not allowed"],
        &["--link", "pty", "--wifi", "no-colon"],
        &["--link", "pty", "--dps-ca", "/not/there"],
    ] {
        let program = sim(&folder, more);
        let mut program = program;
        let output = {
            use std::io::Read as _;
            let mut text = String::new();
            program.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert!(!program.0.wait().unwrap().success(), "{more:?}");
        assert!(!output.trim().is_empty(), "{more:?}");
    }
}

#[tokio::test]
async fn sigusr1_presses_the_button_configuration_and_owner_are_gone_and_guesses_forgiven() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state");
    // Somebody's device, at which somebody else has guessed.
    let pop = {
        let endpoint = endpoint("127.0.0.1", vec![ok(assigned_state())]).await;
        let config = SimConfig::new(SimLink::Http("127.0.0.1:0".parse().unwrap()), state.clone());
        let device = Simulated::start(config).await.unwrap();
        let owner = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().subject_public_key_info();
        let config = Config { owner_public_key: owner, ..symmetric(&device, &endpoint.addr.to_string(), &endpoint.ca) };
        let mut app = App::connect(&device).await.unwrap();
        assert_eq!(app.hand_off([1; 16], &config).await.unwrap(), Code::Ok);
        app.end().await.unwrap();
        assert!(App::connect_with(&device, "not-the-code").await.is_err());
        let label: Value = serde_json::from_str(device.label()).unwrap();
        device.stop().await;
        label["pop"].as_str().unwrap().to_owned()
    };
    let pop = pop.as_str();
    let mut program = sim(&folder, &["--link", "http:127.0.0.1:0"]);
    let (said, _) = ready(&mut program);
    let (link, label) = (said["link"].as_str().unwrap(), &said["label"]);
    let before = App::connect_to(link, label, pop).await.unwrap().identify().await.unwrap();
    assert_eq!((before.phase(), before.wrong_proofs), (Phase::Assigned, 1), "both outlive the restart");
    assert!(!before.owner_key_id.is_empty());
    assert!(App::connect_to(link, label, "not-the-code").await.is_err());

    kill(Pid::from_raw(program.0.id().try_into().unwrap()), Signal::SIGUSR1).unwrap();
    let pressed = async {
        loop {
            let now = App::connect_to(link, label, pop).await.unwrap().identify().await.unwrap();
            if now.owner_key_id.is_empty() {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let now = tokio::time::timeout(Duration::from_secs(10), pressed).await.expect("the button does nothing");
    assert_eq!(now.phase(), Phase::Empty);
    assert_eq!(now.registration_id, before.registration_id, "it is still the same device");
    drop(program.0.stdin.take());
    assert!(program.0.wait().unwrap().success(), "and goes on until it is told to end");
}
