//! The two README commands, the suites and the benches.
fn main() {}
