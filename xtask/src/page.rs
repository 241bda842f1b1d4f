//! The page (`ui/`), as the desktop app and `lowtouch serve` show it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use crate::commands::{Outcome, root, run, target_folder};
use crate::prerequisites::{self, NODE, NPM};

/// What it is built from, in `ui/`.
const SOURCES: [&str; 7] =
    ["src", "public", "scripts", "index.html", "package-lock.json", "tsconfig.json", "vite.config.ts"];

/// Builds it into `ui/dist`, unless nothing has changed since: what embeds it would be built again, too.
pub(crate) fn build() -> Outcome {
    let folder = root().join("ui");
    let built = newest(&folder.join("dist/index.html"));
    if built.is_some() && SOURCES.iter().all(|source| newest(&folder.join(source)) <= built) {
        return Ok(());
    }
    prerequisites::ensure(&[NODE, NPM])?;
    install("ui")?;
    run(&mut script("ui", "build"))
}

/// The suite `ui`: types, lints and tests of the page, then the page in Chromium in front of real parts.
pub(crate) fn test() -> Outcome {
    install("ui")?;
    for name in ["typecheck", "lint", "test"] {
        run(&mut script("ui", name))?;
    }
    install("tests/browser")?;
    let target = target_folder()?;
    let mut browser = script("tests/browser", "page");
    run(browser.env("PROGRAMS", target.join("debug")).env("SCREENSHOTS", target.join("screens/ui")))
}

/// A script of a folder's package.json.
fn script(folder: &str, name: &str) -> Command {
    let mut command = Command::new("npm");
    command.args(["run", "--silent", name]).current_dir(root().join(folder));
    command
}

/// When a file, or whatever is newest in a folder, was written.
fn newest(path: &Path) -> Option<SystemTime> {
    let inside = fs::read_dir(path).into_iter().flatten().flatten().filter_map(|entry| newest(&entry.path())).max();
    inside.max(fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

/// Installs what a folder's lock file names, unless that was done for this very file.
pub(crate) fn install(folder: &str) -> Outcome {
    let folder = root().join(folder);
    let read = |name: &str| fs::read_to_string(folder.join(name)).map_err(|error| format!("{name}: {error}"));
    let wanted = read("package-lock.json")?;
    let mark = "node_modules/.lowtouch-installed";
    if read(mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder))?;
    fs::write(folder.join(mark), wanted).map_err(|error| format!("{mark}: {error}"))
}
