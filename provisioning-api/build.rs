//! The migrations are embedded at compile time, so a changed one must compile the crate again.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
