//! Builds the page and the capabilities into the program (`tauri::tauri_build_context!`).
#![allow(clippy::print_stdout)] // cargo reads what a build script prints

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use tauri_build::{AppManifest, Attributes, CodegenContext};

/// The names of the commands. Each gets a permission of its own; a window has those that its capability lists.
macro_rules! commands {
    ($($kind:ident: $($name:ident)*;)*) => {
        const COMMANDS: &[&str] = &[$($(stringify!($name)),*),*];
    };
}
include!("src/table.rs");

/// What stands in for the page in a program that is built before the page is (for a test, a lint).
const NO_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Lowtouch</title>\
    <h1>The page is not built</h1><p><code>cargo xtask app</code> builds it, and this program with it.</p></html>\n";

fn main() -> ExitCode {
    let attributes =
        Attributes::new().app_manifest(AppManifest::new().commands(COMMANDS)).codegen(CodegenContext::new());
    match page().map_err(Into::into).and_then(|()| tauri_build::try_build(attributes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo:warning={error:#}");
            ExitCode::FAILURE
        }
    }
}

fn page() -> std::io::Result<()> {
    let page = Path::new("../ui/dist/index.html");
    if !page.exists() {
        fs::create_dir_all("../ui/dist")?;
        fs::write(page, NO_PAGE)?;
    }
    Ok(())
}
