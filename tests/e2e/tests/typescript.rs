//! The page's side of the command table is what the table says.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::path::Path;

#[test]
fn the_generated_file_of_the_page_is_as_the_table_of_commands_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui/src/platform/generated.ts");
    let wanted = lowtouch_installer::commands::typescript::file();
    if std::env::var_os("UPDATE_TYPESCRIPT").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &wanted).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == wanted,
        "ui/src/platform/generated.ts is stale: run with UPDATE_TYPESCRIPT=1 and look at the difference"
    );
}
