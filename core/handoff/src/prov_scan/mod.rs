//! The endpoint `prov-scan`: which Wi-Fi networks the device hears.
//!
//! [`client`] is the installer's side, [`device`] the device's.

pub mod client;
pub mod device;

pub use crate::wire::prov::{AccessPoint, AuthMode};

/// The endpoint's name.
pub const ENDPOINT: &str = "prov-scan";
