//! The suites of `cargo xtask test`. Later work adds a line to [`SUITES`], not a script.

use std::process::Command;
use std::time::Instant;

use crate::commands::{Outcome, cargo, output, root, run, target_folder};
use crate::prerequisites::{
    self, C_COMPILER, CHROMIUM, DBUS_DAEMON, GNOME_KEYRING, JDK, MAVEN, NODE, NPM, PYTHON, SWTPM,
};
use crate::{api_fuzz, app, bindings, ble_vm, page, phones, postgres, window};

struct Suite {
    name: &'static str,
    about: &'static str,
    run: fn() -> Outcome,
    /// Why it cannot run on this machine.
    why_not: fn() -> Option<String>,
    /// Runs also when no suite is named.
    by_default: bool,
}

/// What [`Suite::why_not`] says for a suite that runs wherever the code is built.
fn runs_anywhere() -> Option<String> {
    None
}

/// What `lowtouch demo` pairs when nothing else is said.
const DEMO_DEVICES: usize = 3;

/// In the order in which they run: what is quick to fail comes first.
const SUITES: &[Suite] = &[
    Suite {
        name: "format",
        about: "rustfmt agrees with every file",
        run: format,
        why_not: runs_anywhere,
        by_default: true,
    },
    Suite {
        name: "rust",
        about: "every Rust test: units, properties, vectors, fuzz corpora, end to end",
        run: rust,
        why_not: runs_anywhere,
        by_default: true,
    },
    Suite {
        name: "sdk",
        about: "Microsoft's Node SDKs register against tests/azure-emulator",
        run: sdk,
        why_not: runs_anywhere,
        by_default: true,
    },
    Suite {
        name: "oidc",
        about: "sign-in and token checks against npm's oidc-provider, a certified issuer",
        run: oidc,
        why_not: runs_anywhere,
        by_default: true,
    },
    Suite {
        name: "pages",
        about: "the pages of sign-in in Chromium: axe, the keyboard alone, no script, hostile words",
        run: pages,
        why_not: runs_anywhere,
        by_default: true,
    },
    Suite {
        name: "fuzz-api",
        about: "schemathesis asks the provisioning API whatever its description allows, and more",
        run: fuzz_api,
        why_not: runs_anywhere,
        by_default: true,
    },
    Suite {
        name: "postgres",
        about: "the provisioning API's tests on PostgreSQL, and several replicas on one database",
        run: || {
            build_everything()?;
            postgres::test()
        },
        why_not: postgres::why_not,
        by_default: true,
    },
    Suite {
        name: "demo",
        about: "the demo pairs three devices and cleans up after itself",
        run: demo_suite,
        why_not: runs_anywhere,
        by_default: true,
    },
    Suite {
        name: "ui",
        about: "the page: types, lints, its own tests; then in Chromium, in front of `lowtouch serve` and simulated devices",
        run: ui,
        why_not: runs_anywhere,
        by_default: true,
    },
    Suite {
        name: "window",
        about: "the desktop app's real window: start, pair, see the hub, quit; what its page may not do",
        run: window_suite,
        why_not: window::why_not,
        by_default: true,
    },
    Suite {
        name: "kotlin",
        about: "the bindings on the JVM: pairings over a radio in Kotlin, cancelled, lost, broken, a hundred at once",
        run: || {
            prerequisites::ensure(&[JDK, MAVEN])?;
            bindings::kotlin()
        },
        why_not: runs_anywhere,
        by_default: true,
    },
    Suite {
        name: "android",
        about: "the Android library and the sample app on Android 8 and 15, as Robolectric has them",
        run: || {
            prerequisites::ensure(&[JDK, MAVEN])?;
            phones::android()
        },
        why_not: runs_anywhere,
        by_default: true,
    },
    Suite {
        name: "swift",
        about: "the Swift package with Swift 6 in a Debian of its own, which takes 3 minutes and 3 GB the first time",
        run: phones::swift,
        why_not: phones::why_no_swift,
        by_default: false,
    },
    Suite {
        name: "python",
        about: "the bindings in Python: a pairing, and the vectors of all languages",
        run: || {
            prerequisites::ensure(&[PYTHON])?;
            bindings::python()
        },
        why_not: runs_anywhere,
        by_default: true,
    },
    Suite {
        name: "mobile-check",
        about: "cargo check for Android and iOS, without their SDKs, in the Debian of the suite swift",
        run: bindings::mobile_check,
        why_not: phones::why_no_swift,
        by_default: false,
    },
    Suite {
        name: "ble",
        about: "pairings over Linux's own Bluetooth stack and a virtual radio, in a guest",
        run: ble_vm::test,
        why_not: ble_vm::why_not,
        by_default: true,
    },
    Suite {
        name: "lint",
        about: "clippy with the workspace's lints, warnings refused",
        run: lint,
        why_not: runs_anywhere,
        by_default: true,
    },
];

/// Prints the suites, a line each.
pub(crate) fn list() {
    for suite in SUITES {
        let only_named = if suite.by_default { "" } else { " (only when named)" };
        println!("{:<8} {}{only_named}", suite.name, suite.about);
    }
}

/// Runs the named suites, or those that run by default; goes on after a failure and names every one that failed.
pub(crate) fn run_all(names: &[String]) -> Outcome {
    if let Some(unknown) = names.iter().find(|name| SUITES.iter().all(|suite| suite.name != **name)) {
        let known: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        return Err(format!("there is no suite named {unknown}; the suites are {}", known.join(", ")));
    }
    prerequisites::ensure(&[C_COMPILER, DBUS_DAEMON, GNOME_KEYRING, SWTPM])?;
    let chosen = SUITES
        .iter()
        .filter(|suite| if names.is_empty() { suite.by_default } else { names.iter().any(|name| name == suite.name) });
    let mut lines = Vec::new();
    let (mut failed, mut skipped) = (0, 0);
    for suite in chosen {
        println!("\n== {} — {}", suite.name, suite.about);
        if let Some(why) = (suite.why_not)() {
            println!("SKIPPED: {why}");
            skipped += 1;
            lines.push(format!("{:<8} SKIPPED: {why}", suite.name));
            continue;
        }
        let start = Instant::now();
        let outcome = (suite.run)();
        let seconds = start.elapsed().as_secs();
        match outcome {
            Ok(()) => lines.push(format!("{:<8} passed in {seconds} s", suite.name)),
            Err(failure) => {
                failed += 1;
                lines.push(format!("{:<8} FAILED after {seconds} s: {failure}", suite.name));
            }
        }
    }
    let passed = lines.len() - failed - skipped;
    println!("\n{}\nsuites: {passed} passed, {failed} failed, {skipped} skipped", lines.join("\n"));
    if failed == 0 { Ok(()) } else { Err("not every suite passed".into()) }
}

fn format() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn lint() -> Outcome {
    let mut clippy = cargo(&["clippy", "--quiet", "--locked", "--all-targets"]);
    run(clippy.args(app::packages()).args(["--", "-D", "warnings"]))
}

fn rust() -> Outcome {
    build_everything()?;
    run(cargo(&["test", "--locked", "--no-fail-fast"]).args(app::packages()))
}

/// The page, then tests and programs in one go, so that they share their dependencies' features and nothing is compiled
/// twice.
pub(crate) fn build_everything() -> Outcome {
    page::build()?;
    run(cargo(&["build", "--locked", "--all-targets"]).args(app::packages()))
}

fn ui() -> Outcome {
    prerequisites::ensure(&[NODE, NPM, CHROMIUM])?;
    build_everything()?;
    page::test()
}

fn window_suite() -> Outcome {
    build_everything()?;
    window::test()
}

fn sdk() -> Outcome {
    prerequisites::ensure(&[NODE, NPM])?;
    build_everything()?;
    let folder = root().join("tests/azure-sdk");
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder))?;
    let emulator = target_folder()?.join("debug/azure-emulator");
    run(Command::new("npm").args(["test", "--silent"]).env("AZURE_EMULATOR_BIN", emulator).current_dir(&folder))
}

fn oidc() -> Outcome {
    prerequisites::ensure(&[NODE, NPM])?;
    build_everything()?;
    let folder = root().join("tests/oidc");
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder))?;
    // Of the whole workspace: some of its crates alone would want other features of their dependencies, and build them anew.
    run(cargo(&["test", "--locked", "--test", "oidc"]).args(app::packages()).args(["--", "--include-ignored"]))
}

fn pages() -> Outcome {
    prerequisites::ensure(&[NODE, NPM, CHROMIUM])?;
    build_everything()?;
    let folder = root().join("tests/browser");
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder))?;
    let program = target_folder()?.join("debug/provisioning-api");
    run(Command::new("npm")
        .args(["run", "--silent", "pages"])
        .env("PROVISIONING_API_BIN", program)
        .current_dir(&folder))
}

fn fuzz_api() -> Outcome {
    prerequisites::ensure(&[PYTHON])?;
    build_everything()?;
    api_fuzz::test()
}

fn demo_suite() -> Outcome {
    build_everything()?;
    let lowtouch = target_folder()?.join("debug/lowtouch");
    // Its processes and files are told from another demo's by the folder that they are in.
    let folder = std::env::temp_dir().join(format!("xtask-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let printed = output(Command::new(&lowtouch).args(["demo", "--json"]).env("TMPDIR", &folder));
    let mark = folder.display().to_string();
    let left = processes_that_name(&mark);
    let left_files = std::fs::read_dir(&folder).map_or(0, Iterator::count);
    std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let printed = printed?;
    let last = printed.lines().last().unwrap_or_default();
    let end: serde_json::Value =
        serde_json::from_str(last).map_err(|error| format!("the demo's last line is not JSON: {error}\n{printed}"))?;
    let hubs = end["devices"].as_array().map_or(0, |devices| devices.iter().filter(|d| d["hub"].is_string()).count());
    if end["event"] != "demo-finished" || hubs != DEMO_DEVICES {
        return Err(format!("{hubs} of {DEMO_DEVICES} devices have a hub; the demo printed:\n{printed}"));
    }
    if let Some(process) = left.first() {
        return Err(format!("the demo left a process behind: {process}"));
    }
    if left_files != 0 {
        return Err(format!("the demo left {left_files} files or folders behind in {mark}"));
    }
    println!("{hubs} passed, 0 failed");
    Ok(())
}

/// The command lines of running processes that contain `mark`; none where there is no /proc.
fn processes_that_name(mark: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(mark)).collect()
}

/// `cargo xtask demo`: builds what the demo starts, then becomes it.
pub(crate) fn demo(arguments: &[String]) -> Outcome {
    prerequisites::ensure(&[C_COMPILER])?;
    let programs = ["-p", "lowtouch-cli", "-p", "lowtouch-demo"];
    run(cargo(&["build", "--locked", "--bins"]).args(programs))?;
    let lowtouch = target_folder()?.join("debug/lowtouch");
    run(Command::new(lowtouch).arg("demo").args(arguments))
}
