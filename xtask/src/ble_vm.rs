//! The suite `ble`: boots a User-Mode Linux kernel with a virtual Bluetooth radio, and runs `lowtouch-ble-vm` in it.
//!
//! The guest is an ordinary process that sees this machine's files read-only; it needs neither root nor KVM. Everything
//! that it takes is in `tests/ble-vm` and in Debian's packages; the kernel is built once and kept in `target/ble-vm`.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::commands::{Outcome, output, root, run, target_folder};
use crate::{prerequisites, suites};

const SOURCE: &str = "linux-source-6.1";
/// What the guest runs, and the Debian package that brings it.
const GUEST_NEEDS: &[(&str, &str)] = &[
    ("/usr/libexec/bluetooth/bluetoothd", "bluez"),
    ("/usr/bin/btmon", "bluez"),
    ("/usr/bin/hcitool", "bluez"),
    ("/usr/bin/btvirt", "bluez-test-tools"),
    ("/usr/bin/dbus-daemon", "dbus"),
    ("/usr/sbin/ip", "iproute2"),
];
/// What building the kernel needs: files, programs, and the package that brings each.
const KERNEL_NEEDS: &[(&str, &str)] = &[
    ("/usr/src/linux-source-6.1.tar.xz", SOURCE),
    ("/usr/include/stdio.h", "libc6-dev"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("gcc", "gcc"),
    ("make", "make"),
    ("xz", "xz-utils"),
];
/// Most of the source by size, none of which is in this kernel.
const NOT_BUILT: &[&str] = &[
    "*/drivers/gpu/*.[ch]",
    "*/drivers/net/ethernet/*.[ch]",
    "*/drivers/net/wireless/*.[ch]",
    "*/drivers/media/*.[ch]",
    "*/drivers/scsi/*.[ch]",
    "*/drivers/staging/*.[ch]",
    "*/drivers/infiniband/*.[ch]",
    "*/sound/*.[ch]",
    "*/Documentation/*.rst",
    "*/Documentation/*.yaml",
    "*/tools/testing",
    "*/tools/perf",
    "*.dts",
    "*.dtsi",
];
/// It takes two minutes on two cores.
const BUILD_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// A run takes a minute on an idle machine, twice that on a busy one.
const RUN_DEADLINE: Duration = Duration::from_secs(240);

/// Why the suite cannot run on this machine, after what may be installed was installed.
pub(crate) fn why_not() -> Option<String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some("it needs Linux on x86_64".into());
    }
    let config = root().join("tests/ble-vm/uml-6.1.config");
    let cached = target_folder().and_then(|target| Ok(cached_kernel(&target.join("ble-vm"), config_key(&config)?)));
    let has_kernel = matches!(cached, Ok(Some(_)));
    let kernel = if has_kernel { &[] } else { KERNEL_NEEDS };
    prerequisites::why_missing(&[GUEST_NEEDS, kernel].concat())
}

/// Builds what is missing, boots the guest and runs the scenarios.
pub(crate) fn test() -> Outcome {
    let target = target_folder()?;
    let folder = target.join("ble-vm");
    let kernel = kernel(&folder)?;
    // Of the whole workspace: this crate alone would want other features of its dependencies, and build them anew.
    suites::build_everything()?;
    // For one run: where the guest may write, and where the kernel keeps its own files.
    let run = folder.join(format!("run-{}", std::process::id()));
    fs::create_dir_all(&run).map_err(|error| format!("cannot make {}: {error}", run.display()))?;
    let result = boot(&kernel, &run, &target.join("debug/lowtouch-ble-vm"));
    if result.is_ok() {
        // What a failure leaves is for a person to look at.
        let _ = fs::remove_dir_all(&run);
    }
    result
}

fn boot(kernel: &Path, run: &Path, program: &Path) -> Outcome {
    let log_path = run.join("guest.log");
    let log = File::create(&log_path).map_err(|error| format!("cannot make the guest's log: {error}"))?;
    let mut guest = Command::new(kernel);
    guest
        .args(["mem=256M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "panic=-1"])
        .args(["con=null", "con0=null,fd:1", "ssl=null", "random.trust_cpu=on"])
        .arg(format!("uml_dir={}/", run.display()))
        .arg(format!("init={}", root().join("tests/ble-vm/guest-init").display()))
        .arg(format!("PROGRAM={}", program.display()))
        .arg(format!("RESULT={}", run.display()))
        // The guest's memory is a file there; /dev/shm is too small in many containers.
        .env("TMPDIR", run)
        .stdin(Stdio::null())
        .stderr(log.try_clone().map_err(|error| format!("cannot share the guest's log: {error}"))?)
        .stdout(log);
    let ended = within(&mut guest, RUN_DEADLINE);
    let log = fs::read(&log_path).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let status = fs::read_to_string(run.join("status"));
    match (ended, status.as_deref().map(str::trim)) {
        (Ok(_), Ok("0")) => {
            for line in
                log.lines().filter(|line| ["ok ", "       ", "FAILED "].iter().any(|said| line.starts_with(said)))
            {
                println!("{line}");
            }
            let passed = log.lines().rev().find(|line| line.ends_with(" failed")).unwrap_or("0 passed, 0 failed");
            println!("{passed}");
            if passed.starts_with("0 ") { Err("no scenario ran in the guest".into()) } else { Ok(()) }
        }
        (ended, status) => {
            println!("{log}");
            Err(match (ended, status) {
                (Err(error), _) => format!("the guest: {error}; its log is above, and everything in {}", run.display()),
                (_, Ok(status)) => {
                    format!("scenarios failed (exit status {status}); recordings are in {}", run.display())
                }
                (Ok(ended), Err(_)) => format!("the guest did not get to its end ({ended}); its log is above"),
            })
        }
    }
}

/// The kernel for this configuration and source, built when there is none yet.
fn kernel(folder: &Path) -> Outcome<PathBuf> {
    let config = root().join("tests/ble-vm/uml-6.1.config");
    let key = config_key(&config)?;
    let Some(version) = source_version() else {
        return cached_kernel(folder, key).ok_or_else(|| format!("the package {SOURCE} is missing"));
    };
    let kernel = folder.join(format!("linux-{version}-{key:016x}"));
    if kernel.exists() {
        return Ok(kernel);
    }
    println!("building the guest's kernel from {SOURCE} {version}: two minutes or three");
    let build = folder.join(format!("build-{}", std::process::id()));
    let failed = |error: std::io::Error| format!("cannot prepare {}: {error}", build.display());
    fs::create_dir_all(&build).map_err(failed)?;
    let log_path = build.join("build.log");
    let log = File::create(&log_path).map_err(failed)?;
    let built = (|| {
        let archive = format!("/usr/src/{SOURCE}.tar.xz");
        let mut unpack = Command::new("tar");
        unpack.args(["-xf", &archive, "--strip-components=1", "-C"]).arg(&build);
        run(unpack.args(NOT_BUILT.iter().map(|files| format!("--exclude={files}"))))?;
        fs::copy(&config, build.join(".config")).map_err(failed)?;
        let jobs = format!("-j{}", std::thread::available_parallelism().map_or(2, usize::from));
        for arguments in [&["olddefconfig"][..], &[&jobs, "linux"]] {
            let mut make = Command::new("make");
            make.arg("ARCH=um").args(arguments).current_dir(&build).stdin(Stdio::null());
            make.stdout(log.try_clone().map_err(failed)?).stderr(log.try_clone().map_err(failed)?);
            let ended = within(&mut make, BUILD_DEADLINE)?;
            if !ended.success() {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                println!("{}", lines[lines.len().saturating_sub(30)..].join("\n"));
                return Err(format!("the guest's kernel does not build: {ended}"));
            }
        }
        run(Command::new("strip").arg(build.join("linux")))?;
        fs::rename(build.join("linux"), &kernel).map_err(failed)
    })();
    // A gigabyte, needed no more.
    let _ = fs::remove_dir_all(&build);
    built.map(|()| kernel)
}

/// A kernel of any version of the source, for this configuration.
fn cached_kernel(folder: &Path, key: u64) -> Option<PathBuf> {
    let ending = format!("-{key:016x}");
    let files = fs::read_dir(folder).ok()?.flatten().map(|file| file.path());
    files.into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(&ending)))
}

fn config_key(config: &Path) -> Outcome<u64> {
    let bytes = fs::read(config).map_err(|error| format!("cannot read {}: {error}", config.display()))?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Ok(hasher.finish())
}

/// The installed version of the kernel's source.
fn source_version() -> Option<String> {
    let query = ["-W", "-f", "${db:Status-Status} ${Version}", SOURCE];
    let said = output(Command::new("dpkg-query").args(query)).ok()?;
    Some(said.strip_prefix("installed ")?.trim().to_owned())
}

/// Runs a command in a process group of its own, and ends the whole group with it.
fn within(command: &mut Command, deadline: Duration) -> Outcome<ExitStatus> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.process_group(0).spawn().map_err(|error| format!("cannot run {name}: {error}"))?;
    let end = Instant::now() + deadline;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Err(error) => break Err(format!("cannot wait for {name}: {error}")),
            Ok(None) if Instant::now() > end => {
                break Err(format!("{name} was not done after {} s", deadline.as_secs()));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    end_group(&mut child);
    ended
}

/// Nothing of the group is left; there may be nothing any more.
fn end_group(leader: &mut Child) {
    let group = format!("-{}", leader.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let _ = leader.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_ended_with_its_children() {
        let start = Instant::now();
        let mut hangs = Command::new("sh");
        hangs.args(["-c", "sleep 60 & sleep 60"]);
        let error = within(&mut hangs, Duration::from_millis(100)).unwrap_err();
        assert!(error.contains("not done"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_kernel_is_kept_for_its_configuration() {
        let folder = std::env::temp_dir().join(format!("lowtouch-ble-vm-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("linux-6.1.1-00000000000000ff"), "").unwrap();
        assert!(cached_kernel(&folder, 0xff).is_some());
        assert!(cached_kernel(&folder, 0xfe).is_none());
        fs::remove_dir_all(&folder).unwrap();
    }
}
