//! A real radio: BLE through btleplug (BlueZ on Linux, CoreBluetooth on macOS, WinRT on Windows). `docs/ble.md` explains
//! it for people.
//!
//! What is known of devices, their advertisements and their services is the same on phones, whose radio is
//! [`foreign`](crate::foreign).
//!
//! One task owns one peripheral and does one thing at a time with it; [`BleLink`] sends it commands. Every operation has
//! a deadline of ours, and every wait also watches for the connection's end. btleplug lives on a small runtime of its
//! own, so a link works from any runtime, and a future that is dropped leaves nothing half-done behind.

#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
mod adapter;
pub(crate) mod att;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
mod find;
pub(crate) mod found;
pub(crate) mod layout;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
mod link;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
mod mishap;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
mod owner;
mod problem;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
mod stack;
mod target;

#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
pub use adapter::adapter;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
pub use find::{find, scan};
pub use found::{Found, Kind, Progress};
pub use layout::{Layout, known_layout, known_layouts, remember_layouts};
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
pub use link::BleLink;
pub use problem::AdapterProblem;
pub use target::Target;

/// The longest value of a GATT attribute, in bytes (Bluetooth Core, Vol 3, Part F, 3.2.9).
pub const MAX_VALUE: usize = 512;
