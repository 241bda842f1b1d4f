//! `cargo xtask app`: the desktop app, built and opened, or bundled.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::commands::{Outcome, cargo, output, root, run, target_folder, tool};
use crate::page;
use crate::prerequisites::{self, C_COMPILER, NODE, NPM};

/// What the app is built with on Linux: what must be there, and the Debian package that brings it.
const NEEDS: &[(&str, &str)] = &[("pkg-config", "pkg-config"), ("pkg-config webkit2gtk-4.1", "libwebkit2gtk-4.1-dev")];

/// The program that the demo starts, named as its package is: it lies beside the app, wherever that is installed.
const DEMO: &str = "lowtouch-demo";

/// What bundles are built in (Cargo.toml).
pub(crate) const PROFILE: &str = "small";

/// What packs the command line: it has no window, and a package of its own. Both read `cli/Cargo.toml`.
const CARGO_DEB: (&str, &str) = ("cargo-deb", "3.8.0");
const CARGO_RPM: (&str, &str) = ("cargo-generate-rpm", "0.21.1");

/// Why the app cannot be built on this machine, after what may be installed was installed.
pub(crate) fn why_not() -> Option<String> {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    WHY.get_or_init(|| if cfg!(target_os = "linux") { prerequisites::why_missing(NEEDS) } else { None }).clone()
}

/// What every suite builds. All of them the same, for each choice of packages wants other features of the dependencies.
pub(crate) fn packages() -> &'static [&'static str] {
    if why_not().is_none() { &["--workspace"] } else { &["--workspace", "--exclude", "lowtouch-app"] }
}

/// Builds page, app and what lies beside it, and becomes the app.
pub(crate) fn open(release: bool, arguments: &[String]) -> Outcome {
    prerequisites::ensure(&[C_COMPILER])?;
    if let Some(why) = why_not() {
        return Err(format!("the desktop app cannot be built here: {why}\n{INSTEAD}"));
    }
    page::build()?;
    let mut build = cargo(&["build", "--locked", "--bins", "-p", "lowtouch-app", "-p", DEMO]);
    if release {
        build.arg("--release");
    }
    run(&mut build)?;
    let program = target_folder()?.join(if release { "release" } else { "debug" }).join("lowtouch-app");
    if cfg!(target_os = "linux") && !["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| is_set(name)) {
        println!("There is no display here. The app is built: {}\n{INSTEAD}", program.display());
        return Ok(());
    }
    run(Command::new(program).args(arguments))
}

/// What shows the same page where there is no window.
const INSTEAD: &str = "`lowtouch serve` shows the same page in a browser: cargo run -p lowtouch-cli -- serve";

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Builds the bundles of this system (docs/releasing.md), or those that are named.
pub(crate) fn bundle(kinds: &[String]) -> Outcome {
    prerequisites::ensure(&[C_COMPILER, NODE, NPM])?;
    if let Some(why) = why_not() {
        return Err(format!("the desktop app cannot be built here: {why}"));
    }
    page::install("ui")?;
    page::install("app-tauri")?;
    let kinds = if kinds.is_empty() { default_kinds().to_owned() } else { kinds.join(",") };
    // At once: apart they want other features of their dependencies, and each would build these anew.
    run(&mut cargo(&["build", "--locked", "--profile", PROFILE, "--bins", "-p", DEMO, "-p", "lowtouch-cli"]))?;
    let demo = demo()?;
    let mut tauri = Command::new("npx");
    tauri.args(["tauri", "build", "--bundles", &kinds, "--config", &bundle_config(&demo)?]);
    // What follows is cargo's.
    run(tauri.args(["--", "--locked", "--profile", PROFILE]).current_dir(root().join("app-tauri")))?;
    let folder = target_folder()?.join(PROFILE).join("bundle");
    if !is_set(UPDATER_KEY) {
        pack_tighter(&folder.join("deb"))?;
    }
    pack_command_line(&kinds, &folder)?;
    println!("\nbundles in {}", folder.display());
    for kind in kinds.split(',') {
        for file in fs::read_dir(folder.join(kind)).into_iter().flatten().flatten() {
            if let Some(size) = file.metadata().ok().filter(fs::Metadata::is_file).map(|data| data.len()) {
                println!("{:>8.1} MB  {}", size as f64 / 1e6, file.file_name().to_string_lossy());
            }
        }
    }
    Ok(())
}

fn default_kinds() -> &'static str {
    match std::env::consts::OS {
        "macos" => "app,dmg",
        "windows" => "msi",
        _ => "deb,rpm",
    }
}

/// The demo's program under the name by which Tauri takes it into a bundle, with the processor's name at the end. It puts it
/// beside the app on every system, which is where the demo looks for it.
fn demo() -> Outcome<PathBuf> {
    let version =
        output(Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"))).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc -vV names no host")?;
    let folder = target_folder()?;
    let named = folder.join("siblings");
    fs::create_dir_all(&named).map_err(|error| format!("{}: {error}", named.display()))?;
    let to = named.join(format!("{DEMO}-{host}{EXE_SUFFIX}"));
    let from = folder.join(PROFILE).join(format!("{DEMO}{EXE_SUFFIX}"));
    fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
    Ok(named.join(DEMO))
}

/// Makes the command line's packages beside the app's.
fn pack_command_line(kinds: &str, folder: &Path) -> Outcome {
    for kind in kinds.split(',') {
        let ((name, version), arguments) = match kind {
            "deb" => (CARGO_DEB, &["deb", "--package", "lowtouch-cli", "--no-build", "--no-strip"][..]),
            "rpm" => (CARGO_RPM, &["generate-rpm", "--package", "cli", "--payload-compress", "xz"][..]),
            _ => continue,
        };
        let mut pack = Command::new(tool(name, version)?);
        pack.args(arguments).args(["--profile", PROFILE, "--output"]).arg(folder.join(kind));
        run(pack.current_dir(root()))?;
    }
    Ok(())
}

/// Tauri packs a deb with gzip; xz makes it a third smaller. The content stays what it is. Not where updates are on: Tauri signed what it
/// packed.
fn pack_tighter(folder: &Path) -> Outcome {
    let debs = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for deb in debs.filter(|path| path.extension().is_some_and(|extension| extension == "deb")) {
        let content = deb.with_extension("content");
        // Of a run that was ended in the middle.
        let _ = fs::remove_dir_all(&content);
        run(Command::new("dpkg-deb").arg("--raw-extract").args([&deb, &content]))?;
        run(Command::new("dpkg-deb").args(["--root-owner-group", "-Zxz", "-z9", "--build"]).args([&content, &deb]))?;
        fs::remove_dir_all(&content).map_err(|error| format!("{}: {error}", content.display()))?;
    }
    Ok(())
}

/// The environment variable whose key makes bundles that update themselves (docs/releasing.md).
const UPDATER_KEY: &str = "LOWTOUCH_UPDATER_PUBLIC_KEY";

/// What holds for bundles only: the demo's program, and, where a key is set, updates.
fn bundle_config(demo: &Path) -> Outcome<String> {
    let mut config = serde_json::json!({ "bundle": { "externalBin": [demo] } });
    if let Some(key) = std::env::var(UPDATER_KEY).ok().filter(|key| !key.is_empty()) {
        let endpoint = std::env::var("LOWTOUCH_UPDATER_URL")
            .map_err(|_| format!("{UPDATER_KEY} is set, LOWTOUCH_UPDATER_URL is not (docs/releasing.md)"))?;
        config["bundle"]["createUpdaterArtifacts"] = true.into();
        config["plugins"]["updater"] = serde_json::json!({ "pubkey": key, "endpoints": [endpoint] });
    }
    Ok(config.to_string())
}
