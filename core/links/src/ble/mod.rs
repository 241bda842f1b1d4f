//! A real radio: BLE through btleplug (BlueZ on Linux, CoreBluetooth on macOS, WinRT on Windows). `docs/ble.md` explains
//! it for people.
//!
//! One task owns one peripheral and does one thing at a time with it; [`BleLink`] sends it commands. Every operation has
//! a deadline of ours, and every wait also watches for the connection's end. btleplug lives on a small runtime of its
//! own, so a link works from any runtime, and a future that is dropped leaves nothing half-done behind.

mod adapter;
mod find;
mod layout;
mod link;
mod mishap;
mod owner;
mod stack;
mod target;

pub use adapter::{AdapterProblem, adapter};
pub use find::{Found, Kind, Progress, find, scan};
pub use layout::{Layout, known_layout, known_layouts, remember_layouts};
pub use link::BleLink;
pub use target::Target;

/// The longest value of a GATT attribute, in bytes (Bluetooth Core, Vol 3, Part F, 3.2.9).
pub const MAX_VALUE: usize = 512;
