//! bluetoothd's face on D-Bus without a radio: what btleplug asks of it, answered from a [`World`] that a test makes, on
//! a bus of its own ([`Bus`]). Every call can be made to fail, to wait, to go unanswered or to end the connection
//! ([`Fault`]). A device's GATT server is any [`lowtouch_links::simulated::Peripheral`]: the real device role too.
//!
//! btleplug reads `DBUS_SYSTEM_BUS_ADDRESS` once per process, so each test lets the program `ble-probe` do the radio work
//! ([`Probe`]).
//!
//! Modelled on BlueZ 5.66: doc/{adapter,device,gatt}-api.txt, src/{adapter,device,gatt-client}.c.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A test's own parts: a failure here is the test's.

mod bus;
mod faults;
mod objects;
mod probe;
mod service;
mod world;

pub use bus::Bus;
pub use faults::{Fault, Rule};
pub use probe::{Answer, Probe};
pub use service::FakeBluez;
pub use world::{AdapterState, Device, Gatt, World};
