//! Settings, and what proxies and certificates do to the network.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod file;
mod proxy;
#[path = "../it/server.rs"]
mod server;
