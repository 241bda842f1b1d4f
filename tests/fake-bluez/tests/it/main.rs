//! The real `ble://` link against a bluetoothd that does what a test says.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod ble;
mod common;
mod pairing;
