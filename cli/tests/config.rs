//! `lowtouch config`, as a shell sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

struct Place(tempfile::TempDir);

impl Place {
    fn new(text: Option<&str>) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        if let Some(text) = text {
            std::fs::write(place.file(), text).unwrap();
        }
        place
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("lowtouch.toml")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    fn lowtouch(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lowtouch"));
        for (variable, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOWTOUCH_")) {
            command.env_remove(variable);
        }
        command.arg("--config").arg(self.file()).arg("--data-dir").arg(self.0.path().join("data"));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.lowtouch(arguments).output().unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_setting_is_set_listed_got_and_unset() {
    let place = Place::new(None);
    assert_eq!(stdout(&place.run(&["config", "path"])).trim(), place.file().display().to_string());
    assert!(place.run(&["config", "check"]).status.success());
    let set = place.run(&["config", "set", "api", "https://provisioning.example.com"]);
    assert!(set.status.success(), "{}", stderr(&set));
    assert_eq!(stdout(&place.run(&["config", "get", "api"])), "https://provisioning.example.com\n");
    let listed = place.run(&["config", "list"]);
    assert!(stdout(&listed).contains("lowtouch.toml:2") && stdout(&listed).contains("default"), "{}", stdout(&listed));

    let mut above = place.lowtouch(&["--json", "config", "get", "api"]);
    let above = above.env("LOWTOUCH_API", "https://other.example.com").output().unwrap();
    let line = lines(&above).remove(0);
    assert_eq!(
        (&line["value"], &line["source"]["name"]),
        (&"https://other.example.com".into(), &"LOWTOUCH_API".into())
    );

    assert!(place.run(&["config", "unset", "api"]).status.success());
    let not_set = place.run(&["config", "get", "api"]);
    assert_eq!((not_set.status.code(), stdout(&not_set).as_str()), (Some(2), ""));
    assert!(stderr(&not_set).contains("setting-not-set"), "{}", stderr(&not_set));
    // For a program, nothing is an answer too.
    assert_eq!(lines(&place.run(&["config", "get", "api", "--json"])).remove(0)["value"], Value::Null);
}

#[test]
fn an_override_is_warned_of_in_the_list() {
    let place = Place::new(Some("id-scope = \"0ne0000000B\"\n"));
    let listed = place.run(&["config", "list"]);
    assert!(listed.status.success());
    assert!(stderr(&listed).contains("id-scope: every device gets this ID scope"), "{}", stderr(&listed));
    let listed = lines(&place.run(&["config", "list", "--json"]));
    let scope = listed.iter().find(|line| line["key"] == "id-scope").unwrap();
    assert!(scope["warning"].as_str().unwrap().contains("every device"));
}

#[test]
fn what_is_wrong_with_the_file_is_said_with_line_and_mend_and_ends_a_pairing_before_anything_is_sent() {
    let label = r#"{"ver":"v1","name":"PROV_1","pop":"abcd1234","transport":"softap"}"#;
    for (text, code, line) in [
        ("secrets = \"file\"\napi = \"https://prov", "settings-torn", 2),
        ("# mine\napi-url = \"https://a.example\"\n", "settings-unknown-key", 2),
        ("log = \"loud\"\n", "settings-invalid", 1),
        ("token = \"MARKED\"\n", "settings-secret", 1),
    ] {
        let place = Place::new(Some(text));
        let device = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        device.set_nonblocking(true).unwrap();
        let link = format!("--link=http://{}", device.local_addr().unwrap());
        let pair = ["pair", label, "--api", "https://127.0.0.1:9", &link];
        let mut pair = place.lowtouch(&pair);
        let output = pair.env("LOWTOUCH_TOKEN", "t").output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}: {said}");
        assert!(said.contains(&format!("line {line}, column")) && said.contains("→"), "{text}: {said}");
        assert!(said.contains(code) && !said.contains("MARKED"), "{text}: {said}");
        assert!(device.accept().is_err(), "the device was asked");

        assert_eq!(place.run(&["config", "set", "log", "info"]).status.code(), Some(2), "{text}");
        assert_eq!(place.text(), text, "the file was written over");
    }
}

#[test]
fn check_names_all_that_is_wrong() {
    let place = Place::new(Some("apii = \"x\"\nlog = \"loud\"\nca-files = [\"none.pem\"]\nproxy = \"none\"\n"));
    let output = place.run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    for part in ["line 1", "line 2", "line 3", "The nearest one is api.", "none.pem"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let events = lines(&place.run(&["config", "check", "--json"]));
    assert_eq!(
        events.iter().map(|event| event["event"].as_str().unwrap()).collect::<Vec<_>>(),
        ["settings-problem", "settings-problem", "error"]
    );
}

#[test]
fn the_proxys_password_goes_into_the_secret_store_and_nowhere_else() {
    let place = Place::new(Some("secrets = \"file\"\nproxy = \"http://127.0.0.1:9\"\nproxy-user = \"me\"\n"));
    let refused = place.run(&["config", "set", "proxy-password", "MARKED"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(!stderr(&refused).contains("MARKED"));

    let set = |passphrase: &Path| {
        let mut child = place
            .lowtouch(&["--json", "config", "set", "proxy-password"])
            .env("LOWTOUCH_PASSPHRASE_FILE", passphrase)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"MARKED-password\n").unwrap();
        child.wait_with_output().unwrap()
    };
    let write = |name: &str, text: &str| {
        let path = place.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (right, wrong) = (write("right", "correct horse\n"), write("wrong", "battery\n"));
    let output = set(&right);
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(!place.text().contains("MARKED"));
    let file = std::fs::read(place.0.path().join("data/secrets.lowtouch")).unwrap();
    assert!(!String::from_utf8_lossy(&file).contains("MARKED"));
    let output = set(&wrong);
    assert_eq!(output.status.code(), Some(11));
    assert_eq!(lines(&output).remove(0)["code"], "secrets-passphrase-wrong");
    let output = set(Path::new(""));
    assert_eq!(lines(&output).remove(0)["code"], "secrets-passphrase-missing");
}

#[test]
fn a_file_that_was_named_and_is_a_folder_is_said() {
    let place = Place::new(None);
    std::fs::create_dir(place.file()).unwrap();
    let output = place.run(&["config", "list", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(lines(&output).remove(0)["code"], "settings-unreadable");
}
