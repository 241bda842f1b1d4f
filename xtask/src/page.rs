//! The page (`ui/`), as the desktop app and `lowtouch serve` show it.

use std::fs;
use std::process::Command;

use crate::commands::{Outcome, root, run};
use crate::prerequisites::{self, NODE, NPM};

/// Builds it into `ui/dist`.
pub(crate) fn build() -> Outcome {
    prerequisites::ensure(&[NODE, NPM])?;
    install("ui")?;
    run(Command::new("npm").args(["run", "--silent", "build"]).current_dir(root().join("ui")))
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
