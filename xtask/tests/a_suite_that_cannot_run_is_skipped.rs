//! `cargo xtask test ble` on a machine where its kernel cannot be built and nothing can be installed.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

#[test]
fn a_suite_that_cannot_run_is_skipped_and_says_what_to_install() {
    let folder = std::env::temp_dir().join(format!("xtask-skip-{}", std::process::id()));
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).unwrap();
    // Every program of this machine but these two.
    let path = std::env::var_os("PATH").unwrap();
    for program in std::env::split_paths(&path).filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
        if !["flex", "apt-get"].iter().any(|without| program.file_name() == *without) {
            // The first of a name counts.
            let _ = symlink(program.path(), programs.join(program.file_name()));
        }
    }

    let run = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["test", "ble"])
        .env("PATH", &programs)
        // No kernel is kept there.
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .output()
        .unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    let why = said.lines().find(|line| line.starts_with("SKIPPED: ")).unwrap_or_else(|| panic!("{said}"));
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        assert!(why.contains("sudo apt-get install") && why.contains("flex"), "{why}");
    }
    assert!(said.trim_end().ends_with("suites: 0 passed, 0 failed, 1 skipped"), "{said}");
}
