//! Settings, and what proxies and certificates do to the network.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod file;
mod proxy;
#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "../it/server.rs"]
mod server;
