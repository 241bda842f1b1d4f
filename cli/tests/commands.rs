//! The built command, as a shell sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const LABEL: &str = r#"{"ver":"v1","name":"PROV_CE03C0","username":"wifiprov","pop":"abcd1234","transport":"softap"}"#;

/// `lowtouch`, with a data folder of its own and nothing from this shell's environment that it listens to.
fn lowtouch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowtouch"));
    for variable in ["LOWTOUCH_API", "LOWTOUCH_TOKEN", "LOWTOUCH_WIFI_PASSPHRASE", "LOWTOUCH_LOG"] {
        command.env_remove(variable);
    }
    command.env("LOWTOUCH_DATA_DIR", folder.join("data")).env("LOWTOUCH_CONFIG_FILE", folder.join("lowtouch.toml"));
    command.stdin(Stdio::null());
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The last line of `--json`.
fn last(output: &Output) -> Value {
    serde_json::from_str(stdout(output).lines().last().unwrap()).unwrap()
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn the_version_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let output = lowtouch(folder.path()).arg("--version").output().unwrap();
    assert!(output.status.success());
    assert_eq!(stdout(&output).trim(), format!("lowtouch {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_label_that_is_none_says_what_it_is_instead_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = lowtouch(folder.path())
        .args(["pair", "https://example.com/a", "--link", "http://127.0.0.1:9", "--api", "https://127.0.0.1:9"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = stderr(&output);
    assert!(text.starts_with("✗ This is not a device label."), "{text}");
    assert!(text.contains("a web address"), "{text}");
    assert!(text.trim_end().ends_with("label-not-a-label · exit code 3"), "{text}");
}

#[test]
fn a_device_that_nobody_answers_for_ends_with_the_link_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let output = lowtouch(folder.path())
        .args(["--json", "pair", LABEL, "--api", "https://127.0.0.1:9"])
        .arg(format!("--link=http://127.0.0.1:{}", closed_port()))
        .env("LOWTOUCH_TOKEN", "t")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
    assert_eq!(last(&output)["exitCode"], 4);
    // The try is in the journal.
    let output = lowtouch(folder.path()).args(["--json", "journal", "list"]).output().unwrap();
    assert_eq!(last(&output)["name"], "PROV_CE03C0");
    let id = last(&output)["handoffId"].as_str().unwrap().to_owned();
    let output = lowtouch(folder.path()).args(["journal", "show", &id[..8]]).output().unwrap();
    assert!(stdout(&output).contains(&id));
}

#[cfg(target_os = "linux")]
#[test]
fn a_scan_without_bluetooth_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("unix:path={}", folder.path().join("nowhere").display());
    let scan = |arguments: &[&str]| {
        lowtouch(folder.path()).args(arguments).env("DBUS_SYSTEM_BUS_ADDRESS", &nowhere).output().unwrap()
    };
    let output = scan(&["scan", "--json"]);
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
    assert_eq!(last(&output)["code"], "bluetooth-unavailable");
    let text = stderr(&scan(&["scan"]));
    assert!(text.contains("Bluetooth service is not running"), "{text}");
    assert!(text.contains("systemctl enable --now bluetooth"), "{text}");
    // A label's device is looked for by its name.
    let label = LABEL.replace("softap", "ble");
    let output = scan(&["device", "info", &label, "--json"]);
    assert_eq!(last(&output)["code"], "bluetooth-unavailable");
}

#[test]
fn an_api_address_without_tls_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let device = TcpListener::bind("127.0.0.1:0").unwrap();
    device.set_nonblocking(true).unwrap();
    let output = lowtouch(folder.path())
        .args(["--json", "pair", LABEL, "--api", "http://127.0.0.1:9"])
        .arg(format!("--link=http://{}", device.local_addr().unwrap()))
        .env("LOWTOUCH_TOKEN", "t")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(last(&output)["code"], "api-not-https");
    assert!(device.accept().is_err(), "the device was asked");
}

#[test]
fn a_token_is_needed_and_is_never_an_argument() {
    let folder = tempfile::tempdir().unwrap();
    let pair = ["--json", "pair", LABEL, "--link", "http://127.0.0.1:9", "--api", "https://127.0.0.1:9"];
    let output = lowtouch(folder.path()).args(pair).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(last(&output)["code"], "api-token-missing");
    let output = lowtouch(folder.path()).args(pair).args(["--token", "t"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_passphrase_that_cannot_be_asked_for_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = lowtouch(folder.path()).args(["--json", "network", LABEL, "--wifi", "Plant 4"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(last(&output)["code"], "passphrase-missing");
}

#[test]
fn a_link_that_is_none_is_a_usage_error_that_names_the_forms() {
    let folder = tempfile::tempdir().unwrap();
    let output = lowtouch(folder.path()).args(["device", "info", "--link", "usb:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("serial:///dev/"), "{}", stderr(&output));
}

#[test]
fn a_journal_entry_that_does_not_exist_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = lowtouch(folder.path()).args(["journal", "show", "0f0f"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("lowtouch journal list"), "{}", stderr(&output));
}

#[test]
fn a_journal_that_is_something_else_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data/journal.sqlite");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let content = "not a database ".repeat(100);
    std::fs::write(&file, &content).unwrap();
    let output = lowtouch(folder.path()).args(["--json", "journal", "list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(11));
    assert_eq!(last(&output)["code"], "journal-not-a-database");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
}

#[test]
fn an_empty_journal_says_how_to_fill_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = lowtouch(folder.path()).args(["journal", "list"]).output().unwrap();
    assert!(output.status.success());
    assert!(stdout(&output).contains("lowtouch pair"), "{}", stdout(&output));
}

#[test]
fn a_label_goes_round_from_its_making_through_a_picture_to_its_reading() {
    let folder = tempfile::tempdir().unwrap();
    let [png, svg, header] = ["label.png", "label.svg", "sec2.h"].map(|name| folder.path().join(name));
    let output = lowtouch(folder.path())
        .args(["--json", "label", "make", "--name", "PROV_1", "--transport", "softap"])
        .arg("--qr")
        .arg(&png)
        .arg("--qr")
        .arg(&svg)
        .arg("--header")
        .arg(&header)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stdout(&output));
    let made = last(&output);
    assert_eq!(made["salt"].as_str().unwrap().len(), 32);
    assert_eq!(made["verifier"].as_str().unwrap().len(), 768);
    let text: Value = serde_json::from_str(made["label"].as_str().unwrap()).unwrap();

    let output = lowtouch(folder.path()).args(["--json", "label", "read", "--show-pop"]).arg(&png).output().unwrap();
    assert!(output.status.success(), "{}", stdout(&output));
    let read = last(&output);
    assert_eq!(read["name"], "PROV_1");
    assert_eq!(read["pop"], text["pop"]);
    assert_eq!(read["transport"], "softap");
    assert_eq!(read["security"], 2);

    let header = std::fs::read_to_string(&header).unwrap();
    assert!(header.contains("sec2_salt[16]") && header.contains("sec2_verifier[384]"), "{header}");
    let first = &made["verifier"].as_str().unwrap()[..2];
    assert!(header.contains(&format!("sec2_verifier[384] = {{\n    0x{first},")), "{header}");
    assert!(!header.contains(text["pop"].as_str().unwrap()), "the PoP is in the firmware's header");
    assert!(std::fs::read_to_string(&svg).unwrap().contains("<svg"));

    // Made again under the same name, the first label would be lost.
    let output = lowtouch(folder.path())
        .args(["--json", "label", "make", "--name", "PROV_2", "--qr"])
        .arg(&png)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(last(&output)["code"], "file-exists");
}

#[test]
fn reading_a_label_does_not_show_its_secrets_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let output = lowtouch(folder.path()).args(["label", "read", LABEL]).output().unwrap();
    assert!(output.status.success());
    assert!(stdout(&output).contains("PROV_CE03C0") && !stdout(&output).contains("abcd1234"), "{}", stdout(&output));
    let output = lowtouch(folder.path()).args(["label", "read", "--show-pop", LABEL]).output().unwrap();
    assert!(stdout(&output).contains("abcd1234"));
}

#[cfg(unix)]
#[test]
fn a_demo_that_was_not_built_says_how_to_build_it() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("lowtouch");
    std::fs::copy(env!("CARGO_BIN_EXE_lowtouch"), &alone).unwrap();
    let output = Command::new(&alone).args(["--json", "demo"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(last(&output)["help"].as_str().unwrap().contains("cargo xtask demo"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_cancels_a_pairing_whose_device_is_silent() {
    use std::io::{BufRead as _, BufReader};

    let folder = tempfile::tempdir().unwrap();
    // Accepts connections (the system does) and never says a word.
    let device = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = lowtouch(folder.path())
        .args(["--json", "pair", LABEL, "--api", "https://127.0.0.1:9"])
        .arg(format!("--link=http://{}", device.local_addr().unwrap()))
        .env("LOWTOUCH_TOKEN", "t")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.contains(r#""step":"connect""#)).expect("the pairing connects");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let last: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_eq!(last["code"], "cancelled");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn neither_output_nor_log_holds_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let [pop, token, passphrase] = ["MARKED-pop-1", "MARKED-token-2", "MARKED-wifi-3"];
    for json in [&["--json"][..], &[]] {
        let output = lowtouch(folder.path())
            .args(json)
            .args(["-vv", "pair", &LABEL.replace("abcd1234", pop), "--api", "https://127.0.0.1:9", "--wifi", "Plant 4"])
            .arg(format!("--link=http://127.0.0.1:{}", closed_port()))
            .env("LOWTOUCH_TOKEN", token)
            .env("LOWTOUCH_WIFI_PASSPHRASE", passphrase)
            .env("LOWTOUCH_LOG", "trace")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4));
        let written = stdout(&output) + &stderr(&output);
        assert!(!written.contains("MARKED"), "{written}");
    }
    for file in ["journal.sqlite", "journal.sqlite-wal"] {
        let bytes = std::fs::read(folder.path().join("data").join(file)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("MARKED"), "a secret is in {file}");
    }
}
