//! The suites of the bindings: `kotlin` and `python` run the generated code against real parts, `mobile-check` type-checks
//! the core for phones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::{Outcome, cargo, root, run, target_folder};
use crate::phones;
use crate::suites::build_everything;

/// Set, the listings of `bindings/api` are written anew.
const UPDATE: &str = "UPDATE_BINDINGS_API";

/// The library, the generator and the world, as parts of the whole workspace, so that nothing is compiled twice.
pub(crate) fn build() -> Outcome<PathBuf> {
    // All of it, as for every suite: a part would want other features of its dependencies, and build them anew.
    build_everything()?;
    Ok(target_folder()?.join("debug"))
}

/// Generates one language's code into `to`.
pub(crate) fn generate(programs: &Path, language: &str, to: &Path) -> Outcome {
    let library =
        programs.join(format!("{}lowtouch_bindings{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
    fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    let mut generator = Command::new(programs.join("lowtouch-bindgen"));
    generator.args(["generate", "--no-format", "--language", language, "--out-dir"]).arg(to).arg(library);
    run(generator.current_dir(root()))
}

/// `bindings/kotlin`: the JVM artifact and its tests.
pub(crate) fn kotlin() -> Outcome {
    let programs = build()?;
    let project = root().join("bindings/kotlin");
    let generated = project.join("target/generated-sources/uniffi");
    generate(&programs, "kotlin", &generated)?;
    check_listing("kotlin.txt", &generated.join("io/lowtouch/lowtouch_bindings.kt"), kotlin_declares)?;
    let swift = target_folder()?.join("swift-bindings");
    generate(&programs, "swift", &swift)?;
    check_listing("swift.txt", &swift.join("LowtouchBindings.swift"), swift_declares)?;
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--no-transfer-progress", "--quiet", "verify"]);
    maven.arg(format!("-Dlowtouch.target={}", programs.display()));
    run(maven.current_dir(&project))
}

/// `bindings/python`: one pairing, and the vectors.
pub(crate) fn python() -> Outcome {
    let programs = build()?;
    // Python loads the library that lies beside the module.
    let module = target_folder()?.join("python-bindings");
    generate(&programs, "python", &module)?;
    let library = format!("{}lowtouch_bindings{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    fs::copy(programs.join(&library), module.join(&library)).map_err(|error| format!("{library}: {error}"))?;
    let mut python = Command::new("python3");
    python.args(["-m", "unittest", "-v", "smoke"]).env("PYTHONPATH", &module).env("LOWTOUCH_TARGET", &programs);
    run(python.current_dir(root().join("bindings/python")))
}

/// The phones that the core is type-checked for.
const PHONES: [&str; 3] = ["aarch64-linux-android", "armv7-linux-androideabi", "aarch64-apple-ios"];

/// `cargo check` for phones, without their SDKs: the standard library is checked from its source, and what is C is left out
/// (`CC` does nothing). It shows that every line compiles there; nothing is linked or run.
pub(crate) fn mobile_check() -> Outcome {
    let debian = phones::debian()?;
    let packages = "rustc-web cargo-web rust-web-src";
    let install = format!(
        "dpkg -s {packages} >/dev/null 2>&1 || \
         {{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends {packages}; }}"
    );
    run(&mut phones::inside(&debian, &[], &install))?;
    let (top, target) = (root(), target_folder()?.join("mobile-check"));
    fs::create_dir_all(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    // Downloads are the affair of the cargo outside.
    let home = std::env::var_os("HOME").unwrap_or_default();
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(|| Path::new(&home).join(".cargo"), PathBuf::from);
    let library = debian.join("usr/lib/rustlib/src/rust/library/Cargo.toml");
    run(cargo(&["fetch", "--manifest-path"]).arg(library).env("RUSTC_BOOTSTRAP", "1"))?;
    let mut failed = Vec::new();
    for phone in PHONES {
        run(&mut cargo(&["fetch", "--locked", "--target", phone]))?;
        let word = phone.replace('-', "_");
        let script = format!(
            "cd {} && cargo check --locked --offline -Zbuild-std=std,panic_unwind --lib -p lowtouch-bindings --target {phone}",
            top.display()
        );
        let mut check = phones::inside(&debian, &[top.clone(), target.clone(), cargo_home.clone()], &script);
        check.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", &target).env("CARGO_HOME", &cargo_home);
        check.env(format!("CC_{word}"), "/bin/true").env(format!("AR_{word}"), "/bin/true");
        // Without a folder in its place, Apple's SDK would be looked for by a program of Apple's.
        check.env("SDKROOT", &target).env("IPHONEOS_DEPLOYMENT_TARGET", "16.0");
        if run(&mut check).is_err() {
            failed.push(phone);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("does not compile for {}", failed.join(", "))) }
}

/// Holds the generated API against the listing in `bindings/api`, which people read in a change.
fn check_listing(name: &str, generated: &Path, declares: fn(&str) -> bool) -> Outcome {
    let text = fs::read_to_string(generated).map_err(|error| format!("{}: {error}", generated.display()))?;
    let now = listing(&text, declares);
    let file = root().join("bindings/api").join(name);
    let told = |error| format!("{}: {error}", file.display());
    if std::env::var_os(UPDATE).is_some() {
        return fs::write(&file, now).map_err(told);
    }
    if fs::read_to_string(&file).map_err(told)? == now {
        return Ok(());
    }
    Err(format!("the generated API is another one than bindings/api/{name}; if that is meant, {UPDATE}=1 writes it"))
}

/// The public declarations of a generated file, a line each, without comments and bodies.
fn listing(text: &str, declares: fn(&str) -> bool) -> String {
    let mut listing = String::new();
    let mut lines = text.lines();
    let mut comment = false;
    // What UniFFI brings along for every crate comes first.
    let mut begun = false;
    while let Some(line) = lines.next() {
        let mut plain = line.trim();
        comment |= plain.starts_with("/*");
        if comment {
            let Some((_, behind)) = plain.split_once("*/") else { continue };
            comment = false;
            plain = behind.trim();
        }
        begun |= plain.starts_with("public interface") || plain.starts_with("public protocol");
        if !begun || !declares(plain) {
            continue;
        }
        let indent = " ".repeat(line.len() - line.trim_start().len());
        let mut whole = plain.to_owned();
        let open = |text: &str| text.matches('(').count() > text.matches(')').count();
        while open(&whole) {
            let Some(mut next) = lines.next().map(str::trim) else { break };
            comment |= next.starts_with("/*");
            if comment {
                let Some((_, behind)) = next.split_once("*/") else { continue };
                comment = false;
                next = behind.trim();
            }
            whole.push(' ');
            whole.push_str(next);
        }
        // Without the body: neither language has a brace in what it declares here.
        let head = whole.split('{').next().unwrap_or_default();
        let head = head.split_whitespace().collect::<Vec<_>>().join(" ");
        listing.push_str(&format!(
            "{indent}{}\n",
            head.replace('`', "").replace(" ,", ",").replace("( ", "(").replace(" )", ")")
        ));
    }
    listing
}

/// Of every name that it generates for an API, and of no other, UniFFI writes backticks in Kotlin.
fn kotlin_declares(line: &str) -> bool {
    let ours = ["Uniffi", "uniffi", "Ffi", "NoHandle", "override", "Impl:", "Impl ", "private", "internal"];
    if ours.iter().any(|word| line.contains(word)) {
        return false;
    }
    let heads =
        ["public interface ", "open class ", "data class ", "sealed class ", "enum class ", "class ", "object "];
    let member = line.contains("fun `") || line.contains("val `") || line.contains("constructor(`");
    let entry = line.ends_with([',', ';']) && line.len() > 1;
    let capitals = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let entry = entry && line.starts_with(|c: char| c.is_ascii_uppercase()) && !line.starts_with("UNIFFI");
    member
        || heads.iter().any(|head| line.starts_with(head))
        || line.starts_with("public typealias")
        || (entry && line.trim_end_matches([',', ';']).chars().all(capitals))
}

fn swift_declares(line: &str) -> bool {
    let inner = [
        "Ffi",
        "uniffi",
        "Uniffi",
        "RustBuffer",
        "oHandle",
        "Impl",
        "open func",
        "static func read",
        "static func write",
        "static func lift",
        "static func lower",
        "public init()",
    ];
    let heads = [
        "public protocol ",
        "public struct ",
        "public indirect enum ",
        "public enum ",
        "open class ",
        "public convenience init",
        "public init(",
        "public static func ",
        "public func ",
        "public let ",
        "public var ",
        "public typealias ",
        "case ",
        "func ",
    ];
    // `case` of a `switch`, not of an enum.
    let branch = line.starts_with("case .")
        || line.starts_with("case let ")
        || (line.starts_with("case ") && line.contains(':') && !line.contains('('));
    !branch && heads.iter().any(|head| line.starts_with(head)) && inner.iter().all(|word| !line.contains(word))
}
