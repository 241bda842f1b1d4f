//! `lowtouch doctor` and `lowtouch logs`, as a shell sees them.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const MARKED: [&str; 2] = ["lowtouch_MARKEDmarkedMARKEDmarkedMARKEDmarked12", "MARKED-pop-7"];

fn lowtouch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowtouch"));
    for variable in ["LOWTOUCH_API", "LOWTOUCH_LOG", "LOWTOUCH_WIFI_PASSPHRASE"] {
        command.env_remove(variable);
    }
    command
        .env("LOWTOUCH_TOKEN", MARKED[0])
        .env("LOWTOUCH_DATA_DIR", folder.join("data"))
        .env("LOWTOUCH_CONFIG_FILE", folder.join("lowtouch.toml"))
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn nobody() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("https://127.0.0.1:{port}")
}

#[test]
fn the_doctor_says_what_to_mend_within_five_seconds_and_its_exit_code_says_the_worst() {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let output = lowtouch(folder.path()).args(["--json", "doctor", "--api", &nobody()]).output().unwrap();
    // Five, and as much again for a machine that is busy.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(14), "{}", stdout(&output));
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines[0]["event"].as_str(), lines[0]["worst"].as_str()), (Some("doctor"), Some("failed")));
    let checks = lines[0]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 11);
    assert!(checks.iter().any(|check| check["topic"] == "network" && check["status"] == "failed"), "{checks:?}");
    assert_eq!(lines[1]["code"], "doctor-failed");
    let text = lowtouch(folder.path()).args(["doctor", "--api", &nobody()]).output().unwrap();
    assert!(stdout(&text).contains("✗ network") && stdout(&text).contains("→"), "{}", stdout(&text));
}

#[test]
fn a_bundle_has_the_logs_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let label = format!(r#"{{"ver":"v1","name":"PROV_1","pop":"{}","transport":"softap"}}"#, MARKED[1]);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let link = format!("--link=http://127.0.0.1:{port}");
    let output = lowtouch(folder.path())
        .args(["pair", &label, &link, "--api", &nobody()])
        .env("LOWTOUCH_LOG", "trace")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    let path = stdout(&lowtouch(folder.path()).args(["logs", "path"]).output().unwrap());
    let logs = Path::new(path.trim());
    let written: Vec<_> =
        std::fs::read_dir(logs).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    let written = String::from_utf8_lossy(&written.concat()).into_owned();
    assert!(written.contains("handoff_id"), "{written}");
    for line in written.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    let bundle = ["--json", "logs", "bundle", "bundle.zip", "--api", &nobody()].map(str::to_owned);
    let output = lowtouch(folder.path()).args(&bundle).output().unwrap();
    assert!(output.status.success(), "{}", stdout(&output));
    let said: Value = serde_json::from_str(stdout(&output).lines().next().unwrap()).unwrap();
    let names: Vec<_> = said["contents"]["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap().to_owned())
        .collect();
    for name in ["doctor.json", "journal.jsonl", "versions.json", "README.txt"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("logs/")), "{names:?}");
    for marked in MARKED {
        assert!(!written.contains(marked) && !stdout(&output).contains(marked));
    }
    // A name that is taken is not overwritten.
    let output = lowtouch(folder.path()).args(&bundle).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn several_processes_at_once_log_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..6)
        .map(|number| {
            let label = format!(r#"{{"ver":"v1","name":"PROV_{number}","pop":"abcd1234","transport":"softap"}}"#);
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            lowtouch(folder.path())
                .args(["pair", &label, &format!("--link=http://127.0.0.1:{port}"), "--api", &nobody()])
                .env("LOWTOUCH_LOG", "trace")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        child.wait().unwrap();
    }
    let mut files = 0;
    for file in std::fs::read_dir(folder.path().join("data/logs")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.is_empty());
            for line in text.lines() {
                assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
            }
        }
    }
    assert_eq!(files, 6);
}
