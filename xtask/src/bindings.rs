//! The suites of the bindings: `kotlin` and `python` run the generated code against real parts, `mobile-check` type-checks
//! the core for phones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::{Outcome, cargo, output, root, run, target_folder};

/// What is generated, and for which the library and the world are built.
pub(crate) fn build() -> Outcome<PathBuf> {
    let packages = ["-p", "lowtouch-bindings", "-p", "lowtouch-bindgen", "-p", "lowtouch-test-support"];
    run(cargo(&["build", "--locked", "--workspace"]).args(packages))?;
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
    generate(&programs, "kotlin", &project.join("target/generated-sources/uniffi"))?;
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
