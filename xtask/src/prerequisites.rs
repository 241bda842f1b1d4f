//! What a suite needs from the machine: installed through apt where we may, otherwise named exactly.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::commands::{Outcome, run};

/// A program that must answer, and the Debian packages that bring it.
pub(crate) struct Tool {
    program: &'static str,
    version_flag: &'static str,
    packages: &'static [&'static str],
    least_major: u32,
}

/// Builds SQLite and ring.
pub(crate) const C_COMPILER: Tool =
    Tool { program: "cc", version_flag: "--version", packages: &["gcc", "libc6-dev"], least_major: 0 };
/// The bus between the Bluetooth tests and their fake bluetoothd.
pub(crate) const DBUS_DAEMON: Tool =
    Tool { program: "dbus-daemon", version_flag: "--version", packages: &["dbus"], least_major: 0 };
/// The real Secret Service for the keyring tests.
pub(crate) const GNOME_KEYRING: Tool =
    Tool { program: "gnome-keyring-daemon", version_flag: "--version", packages: &["gnome-keyring"], least_major: 0 };
/// A TPM in software for the tests of TPM attestation.
pub(crate) const SWTPM: Tool =
    Tool { program: "swtpm", version_flag: "--version", packages: &["swtpm"], least_major: 0 };
/// Runs Microsoft's SDKs. Debian 12's own is 18, which is too old: then we say so.
pub(crate) const NODE: Tool =
    Tool { program: "node", version_flag: "--version", packages: &["nodejs"], least_major: 20 };
/// Installs Microsoft's SDKs.
pub(crate) const NPM: Tool = Tool { program: "npm", version_flag: "--version", packages: &["npm"], least_major: 0 };

/// Opens our pages as people do.
pub(crate) const CHROMIUM: Tool =
    Tool { program: "chromium", version_flag: "--version", packages: &["chromium"], least_major: 0 };

/// Makes the environment that schemathesis runs in. Debian keeps the module for that apart.
pub(crate) const PYTHON: Tool = Tool {
    program: "python3",
    version_flag: "-cimport ensurepip, venv; print(3)",
    packages: &["python3", "python3-venv"],
    least_major: 0,
};

/// Compiles and runs the Kotlin bindings. `javac` is what a runtime alone lacks.
pub(crate) const JDK: Tool =
    Tool { program: "javac", version_flag: "--version", packages: &["default-jdk-headless"], least_major: 17 };
/// Brings the Kotlin compiler, coroutines, JNA and JUnit.
pub(crate) const MAVEN: Tool = Tool { program: "mvn", version_flag: "--version", packages: &["maven"], least_major: 0 };

/// Lays a Debian that has a Swift compiler.
pub(crate) const DEBOOTSTRAP: Tool =
    Tool { program: "debootstrap", version_flag: "--version", packages: &["debootstrap"], least_major: 0 };

/// Makes sure that all of `tools` answer, or says exactly what to install.
pub(crate) fn ensure(tools: &[Tool]) -> Outcome {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !tool.answers()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|tool| tool.packages.iter().copied()).collect();
    if may_install() {
        install(&packages)?;
    }
    let still: Vec<String> = tools.iter().filter(|tool| !tool.answers()).map(Tool::wanted).collect();
    if still.is_empty() {
        return Ok(());
    }
    Err(format!("missing on this machine: {}\ninstall: sudo apt-get install {}", still.join(", "), packages.join(" ")))
}

/// Why not all of `needs` are there, after what may be installed was installed. A need is a file, a program on the PATH or
/// a library (`pkg-config NAME`), with the Debian package that brings it.
pub(crate) fn why_missing(needs: &[(&str, &str)]) -> Option<String> {
    let packages = missing(needs, is_there);
    if packages.is_empty() {
        return None;
    }
    let command = format!("sudo apt-get install {}", packages.join(" "));
    if !may_install() {
        return Some(format!("install what it needs: {command}"));
    }
    if let Err(error) = install(&packages) {
        return Some(format!("{error}; it needs: {command}"));
    }
    let still = missing(needs, is_there);
    (!still.is_empty()).then(|| format!("{} did not bring what it needs", still.join(", ")))
}

/// The packages to install, each once.
fn missing<'a>(needs: &[(&str, &'a str)], is_there: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let mut packages = Vec::new();
    for (what, package) in needs {
        if !packages.contains(package) && !is_there(what) {
            packages.push(*package);
        }
    }
    packages
}

fn is_there(what: &str) -> bool {
    if what.starts_with('/') {
        return Path::new(what).exists();
    }
    if let Some(library) = what.strip_prefix("pkg-config ") {
        let asked = Command::new("pkg-config").args(["--exists", library]).status();
        return asked.is_ok_and(|status| status.success());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(what).is_file())
}

/// Installs Debian packages; see [`may_install`].
pub(crate) fn install(packages: &[&str]) -> Outcome {
    println!("installing {}", packages.join(" "));
    run(Command::new("apt-get").args(["update", "-q"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-q", "-y", "--no-install-recommends"]).args(packages);
    run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Whether apt is there and we are root.
pub(crate) fn may_install() -> bool {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    root && Command::new("apt-get").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Tool {
    fn answers(&self) -> bool {
        let Ok(output) = Command::new(self.program).arg(self.version_flag).stderr(Stdio::null()).output() else {
            return false;
        };
        output.status.success() && major(&String::from_utf8_lossy(&output.stdout)) >= self.least_major
    }

    fn wanted(&self) -> String {
        if self.least_major == 0 {
            self.program.into()
        } else {
            format!("{} {} or newer", self.program, self.least_major)
        }
    }
}

/// The first number in a version line, `v20.1.0` → 20; 0 where there is none.
fn major(version: &str) -> u32 {
    let digits: String = version.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_tools_print() {
        assert_eq!(major("v20.20.2\n"), 20);
        assert_eq!(major("cc (Debian 12.2.0) 12.2.0"), 12);
        assert_eq!(major("no number"), 0);
    }

    #[test]
    fn what_is_missing_is_named_by_its_package() {
        let needs = [("flex", "flex"), ("/usr/bin/btmon", "bluez"), ("/usr/bin/hcitool", "bluez")];
        assert_eq!(missing(&needs, |_| true), Vec::<&str>::new());
        assert_eq!(missing(&needs, |what| what == "flex"), ["bluez"]);
        assert_eq!(missing(&needs, |_| false), ["flex", "bluez"]);
        assert!(is_there("/") && !is_there("/no/such/file") && !is_there("pkg-config no-such-library"));
    }

    #[test]
    fn a_missing_tool_is_named_with_its_version() {
        let tool =
            Tool { program: "no-such-program", version_flag: "--version", packages: &["nothing"], least_major: 20 };
        assert!(!tool.answers());
        assert_eq!(tool.wanted(), "no-such-program 20 or newer");
    }
}
