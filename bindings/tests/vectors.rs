//! The vectors that every language reads, against Rust's own side of the bindings.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::path::PathBuf;

use lowtouch_bindings::{ErrorCode, Label, LabelError, LabelTransport, PairingEvent, error_codes};
use serde_json::{Value, json};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

fn vectors(name: &str) -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(file(name)).unwrap()).unwrap()
}

/// `WebAddress` → `web-address`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// The variant's name of what `Debug` prints.
fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    kebab(text.split([' ', '(', '{']).next().unwrap())
}

#[test]
fn labels_are_read_as_in_every_language() {
    for vector in vectors("labels.json") {
        let read = Label::parse(vector["text"].as_str().unwrap().to_owned());
        let seen = match read {
            Ok(label) => json!({
                "name": label.name(),
                "transport": label.transport().map(|transport| match transport {
                    LabelTransport::Other { word } => word,
                    known => variant(&known),
                }),
                "security": variant(&label.security()),
                "link": label.link(),
            }),
            Err(LabelError::SomethingElse { other, failure }) => {
                json!({ "key": failure.hint_key, "other": variant(&other) })
            }
            Err(LabelError::Unusable { failure }) => json!({ "key": failure.hint_key, "other": null }),
        };
        let mut expected = vector.clone();
        expected.as_object_mut().unwrap().remove("text");
        assert_eq!(seen, expected, "{vector}");
    }
}

#[test]
fn the_list_of_codes_is_the_one_that_is_checked_in() {
    let codes: Vec<Value> = error_codes()
        .into_iter()
        .map(|words| {
            assert_ne!(words.code, ErrorCode::Unknown);
            json!({ "code": kebab(&format!("{:?}", words.code)), "key": words.key, "action": variant(&words.action) })
        })
        .collect();
    let lines: Vec<String> = codes.iter().map(|code| format!("  {code}")).collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(file("error-codes.json"), &text).unwrap();
    }
    let kept = std::fs::read_to_string(file("error-codes.json")).unwrap();
    assert!(kept == text, "bindings/vectors/error-codes.json is out of date: UPDATE_VECTORS=1 writes it");
}

#[test]
fn every_event_of_the_core_has_its_own_in_the_bindings() {
    let mut seen = std::collections::BTreeSet::new();
    for vector in vectors("events.json") {
        let core: lowtouch_installer::PairingEvent = serde_json::from_value(vector.clone()).unwrap();
        let event = PairingEvent::from(core);
        let name = vector["event"].as_str().unwrap();
        assert_eq!(variant(&event), name, "{vector}");
        if let PairingEvent::Warning { warning } = &event {
            assert_eq!(variant(warning), vector["warning"].as_str().unwrap());
        }
        assert!(!format!("{event:?}").contains("Unknown"), "{event:?}");
        seen.insert(name.to_owned());
    }
    // The compiler cannot count the core's variants from outside; its source can.
    let source = std::fs::read_to_string(file("../../core/installer/src/events.rs")).unwrap();
    let body = source.split("pub enum PairingEvent {").nth(1).unwrap().split("\n}\n").next().unwrap();
    let variants =
        body.lines().filter(|line| line.starts_with("    ") && line.ends_with(" {") && !line.starts_with("     "));
    let variants: std::collections::BTreeSet<_> =
        variants.map(|line| kebab(line.trim().trim_end_matches(" {"))).collect();
    assert_eq!(seen, variants);
}
