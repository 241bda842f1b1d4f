//! The suite `window`: the desktop app's real window on a display of its own, driven through WebDriver.

use std::path::Path;
use std::process::Command;

use crate::commands::{Outcome, root, run, target_folder, tool};
use crate::prerequisites::{self, NODE, NPM};
use crate::{app, page};

/// A display, a window manager, keys that are pressed, the bus, and WebKit's driver; then what else stands on a desk:
/// notifications, a panel with a tray (asked over the bus), and what a screen reader asks.
const NEEDS: &[(&str, &str)] = &[
    ("Xvfb", "xvfb"),
    ("openbox", "openbox"),
    ("xdotool", "xdotool"),
    ("import", "imagemagick"),
    ("dbus-daemon", "dbus-daemon"),
    ("WebKitWebDriver", "webkit2gtk-driver"),
    ("dunst", "dunst"),
    ("xfce4-panel", "xfce4-panel"),
    ("busctl", "systemd"),
    ("/usr/libexec/at-spi-bus-launcher", "at-spi2-core"),
    ("/usr/lib/python3/dist-packages/pyatspi", "python3-pyatspi"),
];

/// Between WebDriver and WebKit's own driver.
const TAURI_DRIVER: &str = "2.1.0";

pub(crate) fn why_not() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("it needs Linux".into());
    }
    app::why_not().or_else(|| prerequisites::why_missing(NEEDS))
}

/// The tests; [`app::packages`] and the page are built.
pub(crate) fn test() -> Outcome {
    npm(&["test", "--silent"])
}

/// Start, memory and size, for docs/benchmarks.md.
pub(crate) fn measure(program: &Path) -> Outcome {
    npm(&["run", "--silent", "measure", "--", &program.to_string_lossy()])
}

fn npm(arguments: &[&str]) -> Outcome {
    prerequisites::ensure(&[NODE, NPM])?;
    page::install("tests/window")?;
    let target = target_folder()?;
    let mut npm = Command::new("npm");
    npm.args(arguments).current_dir(root().join("tests/window"));
    npm.env("LOWTOUCH_APP", target.join("debug/lowtouch-app"));
    run(npm.env("TAURI_DRIVER", tool("tauri-driver", TAURI_DRIVER)?).env("SCREENS", target.join("screens")))
}
