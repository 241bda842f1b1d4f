//! Holds ARCHITECTURE.md's rules on who may know whom against what cargo says of the tree.
#![allow(clippy::unwrap_used)] // a test that cannot ask cargo has failed

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// A crate of the tree, and the crates of the tree that it may use outside its tests.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("lowtouch-handoff", &[]),
    ("lowtouch-links", &["lowtouch-handoff"]),
    ("lowtouch-installer", &["lowtouch-handoff", "lowtouch-links", "provisioning-api-contract"]),
    ("lowtouch-cli", &["lowtouch-installer"]),
    ("lowtouch-app", &["lowtouch-installer"]),
    // No face: what the demo starts beside them.
    ("lowtouch-demo", &["azure-emulator", "lowtouch-device", "provisioning-api"]),
    ("lowtouch-bindings", &["lowtouch-installer"]),
    ("lowtouch-bindgen", &[]),
    ("lowtouch-device", &["lowtouch-handoff", "lowtouch-links"]),
    ("provisioning-api-contract", &[]),
    ("provisioning-api", &["provisioning-api-contract"]),
    ("azure-emulator", &[]),
];

/// Crates that would bring a clock, randomness, threads or the network into the sans-IO core.
const NEVER_IN_HANDOFF: &[&str] =
    &["tokio", "async-trait", "futures", "getrandom", "rand", "reqwest", "jiff", "uuid", "tracing", "sqlx"];

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    metadata
        .packages
        .iter()
        .map(|package| {
            let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
            (package.name.to_string(), normal.map(|dependency| dependency.name.clone()).collect())
        })
        .collect()
}

#[test]
fn every_crate_knows_only_whom_it_may_know() {
    let all = dependencies();
    for (name, allowed) in MAY_KNOW {
        let known: Vec<&String> = all[*name].iter().filter(|dependency| all.contains_key(*dependency)).collect();
        for dependency in known {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not know {dependency}");
        }
    }
}

#[test]
fn every_crate_that_is_shipped_has_a_rule() {
    let tests_and_tools =
        ["fake-bluez", "oidc-fixture", "lowtouch-test-support", "lowtouch-e2e", "lowtouch-ble-vm", "xtask"];
    for name in dependencies().keys() {
        let ruled = MAY_KNOW.iter().any(|(ruled, _)| ruled == name);
        assert!(ruled || tests_and_tools.contains(&name.as_str()), "{name} has no rule in MAY_KNOW");
    }
}

#[test]
fn the_device_protocols_have_no_clock_no_randomness_and_no_io() {
    let handoff = &dependencies()["lowtouch-handoff"];
    for forbidden in NEVER_IN_HANDOFF {
        assert!(!handoff.contains(*forbidden), "core/handoff must not use {forbidden}");
    }
}
