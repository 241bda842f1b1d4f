//! The installer against a device in this process, a stub of the provisioning API, and real TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on stops

mod api;
mod doctor;
mod early_loss;
mod error;
mod fake;
mod journal;
mod label;
mod loss;
mod network;
mod offline;
mod overrides;
mod owner;
mod pairing;
mod server;
mod whole;
