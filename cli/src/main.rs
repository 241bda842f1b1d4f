//! The lowtouch command.
fn main() {}
