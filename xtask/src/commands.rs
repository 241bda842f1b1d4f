//! Running other programs, with words when they fail.

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What went wrong, in a sentence that says what to do.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The checkout's top folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The cargo that runs us, in the checkout's top folder.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    // What the cargo that runs us says of this package: ring's build script would be run again for it, and all above built anew.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end, its output shown.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let shown = show(command);
    let status = command.status().map_err(|error| format!("cannot run {shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown} failed: {status}")) }
}

/// Runs a command to its end and returns what it printed on standard output.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let shown = show(command);
    let output = command.output().map_err(|error| format!("cannot run {shown}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{shown} failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where cargo puts what it builds in the debug profile.
pub(crate) fn target_folder() -> Outcome<PathBuf> {
    let metadata = output(&mut cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| "cargo metadata names no target folder".into())
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A program of crates.io that nothing links: in target/tools, built once for each version.
pub(crate) fn tool(name: &str, version: &str) -> Outcome<PathBuf> {
    let tools = target_folder()?.join("tools").join(format!("{name}-{version}"));
    let program = tools.join("bin").join(format!("{name}{EXE_SUFFIX}"));
    if !program.exists() {
        let mut install = cargo(&["install", "--quiet", "--locked", "--no-track", "--version", version, name]);
        // It has nothing to do with what the suites build.
        run(install.arg("--root").arg(&tools).env("CARGO_TARGET_DIR", tools.join("target")))?;
        let _ = std::fs::remove_dir_all(tools.join("target"));
    }
    Ok(program)
}
