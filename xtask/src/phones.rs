//! The suites of the phones' own code: `android` on Robolectric, `swift` in a Debian that has a Swift compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bindings;
use crate::commands::{Outcome, root, run, target_folder};
use crate::prerequisites::{self, DEBOOTSTRAP};

/// The first Debian with a Swift compiler.
const DEBIAN: &str = "trixie";
/// What `swift test` needs there.
const PACKAGES: [&str; 5] = ["swiftlang", "libc6-dev", "libstdc++-14-dev", "git", "ca-certificates"];
/// Another place for that Debian (2.6 GB), so that several working copies share one.
const SWIFT_ROOT: &str = "LOWTOUCH_SWIFT_ROOT";

/// `bindings/android`: the library and the sample app, on Robolectric's Android 8 and 15.
pub(crate) fn android() -> Outcome {
    let programs = bindings::build()?;
    bindings::generate(&programs, "kotlin", &root().join("bindings/kotlin/target/generated-sources/uniffi"))?;
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--no-transfer-progress", "--quiet", "verify"]);
    maven.arg(format!("-Dlowtouch.target={}", programs.display()));
    run(maven.current_dir(root().join("bindings/android")))
}

/// Why `swift` cannot run: a Debian of its own takes root's rights.
pub(crate) fn why_no_swift() -> Option<String> {
    (!prerequisites::may_install()).then(|| "it installs a Debian with Swift beside this one, as root".to_owned())
}

/// `bindings/ios`: what is generated as Swift 5, the package on top as Swift 6, and its tests.
pub(crate) fn swift() -> Outcome {
    let programs = bindings::build()?;
    let generated = root().join("bindings/ios/Generated");
    let fresh = target_folder()?.join("swift-generated");
    bindings::generate(&programs, "swift", &fresh)?;
    place(&fresh, &generated)?;
    let debian = debian()?;
    let build = target_folder()?.join("swift-build");
    // Swift 6.0's own Observation library lacks a symbol, which it needs only to say that it gives up.
    let script = format!(
        "cd {}/bindings/ios && swift test --scratch-path {} -Xlinker -L{} -Xlinker --allow-shlib-undefined",
        root().display(),
        build.display(),
        programs.display()
    );
    let folders = [root(), target_folder()?];
    run(inside(&debian, &folders, &script)
        .env("LD_LIBRARY_PATH", &programs)
        .env("LOWTOUCH_TARGET", &programs)
        .env("HOME", "/root"))
}

/// The generated files where Package.swift looks for them.
fn place(fresh: &Path, to: &Path) -> Outcome {
    let copy = |from: &str, folder: &str, name: &str| {
        let folder = to.join(folder);
        fs::create_dir_all(&folder)?;
        let (from, to) = (fs::read(fresh.join(from))?, folder.join(name));
        // An unchanged file keeps its time, and nothing is compiled anew.
        if fs::read(&to).is_ok_and(|old| old == from) { Ok(()) } else { fs::write(to, from) }
    };
    let module = "module LowtouchBindingsFFI {\n    header \"LowtouchBindingsFFI.h\"\n    link \"lowtouch_bindings\"\n    export *\n}\n";
    copy("LowtouchBindings.swift", "LowtouchBindings", "LowtouchBindings.swift")
        .and_then(|()| copy("LowtouchBindingsFFI.h", "LowtouchBindingsFFI", "LowtouchBindingsFFI.h"))
        .and_then(|()| fs::write(to.join("LowtouchBindingsFFI/module.modulemap"), module))
        .map_err(|error| format!("{}: {error}", to.display()))
}

/// The Debian with Swift; installed the first time, in about three minutes.
pub(crate) fn debian() -> Outcome<PathBuf> {
    let folder = match std::env::var_os(SWIFT_ROOT) {
        Some(folder) => PathBuf::from(folder),
        None => target_folder()?.join("swift-root"),
    };
    let whole = folder.join("lowtouch-swift-is-whole");
    if whole.exists() {
        return Ok(folder);
    }
    prerequisites::ensure(&[DEBOOTSTRAP])?;
    run(Command::new("debootstrap").args(["--variant=minbase", DEBIAN]).arg(&folder))?;
    let broken = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::copy("/etc/resolv.conf", folder.join("etc/resolv.conf")).map_err(broken)?;
    let packages = PACKAGES.join(" ");
    let install = format!(
        "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends {packages} && apt-get clean"
    );
    run(&mut inside(&folder, &[], &install))?;
    fs::write(whole, "").map_err(broken)?;
    Ok(folder)
}

/// `script` in that Debian, which sees `folders` under their own names. The mounts are in a name space of their own and end with it.
pub(crate) fn inside(debian: &Path, folders: &[PathBuf], script: &str) -> Command {
    let mut steps = vec![
        // Swift finds its own libraries by /proc/self/exe.
        "mount -t proc proc \"$0/proc\"".to_owned(),
        "mount --rbind /dev \"$0/dev\"".to_owned(),
    ];
    for folder in folders {
        let folder = folder.display();
        steps.push(format!("mkdir -p \"$0{folder}\" && mount --bind \"{folder}\" \"$0{folder}\""));
    }
    steps.push("exec chroot \"$0\" sh -c \"$1\"".to_owned());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "sh", "-ec", &steps.join("\n")]).arg(debian).arg(script);
    // That Debian's own programs: rustup's are seen there too, in cargo's folder.
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
}
