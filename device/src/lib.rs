//! A device as the field has them: it answers a hand-off, keeps what it was given as flash would, registers with DPS
//! and says what became of it.
//!
//! [`sim`] runs a whole simulated device in this process; the program `lowtouch-device` is [`command_line`] around it.
//! Firmware engineers find the same steps for real hardware in `docs/firmware-guide.md`.

mod certificate;
pub mod command_line;
pub mod dps_client;
pub mod faults;
mod hardware;
pub mod hub;
mod identity;
pub mod keys;
pub mod label;
mod own_certificate;
mod owner;
pub mod power;
mod provisioning_api;
mod responder;
pub mod retry;
mod shells;
pub mod sim;
pub mod storage;
pub mod tpm;
mod wifi;
