//! The program `lowtouch-device` as scripts and the demo use it.
// Helpers of tests may panic as tests do; clippy's own exception sees only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

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
