//! BLE/GATT without a radio: the same transactions, limits and faults, under `tokio::time`.
//!
//! A device is a [`Peripheral`]: a GATT server. [`SimulatedLink`] is the central that reaches it through a [`Radio`] of a
//! stated quality, in the same process, or through [`serve`] and [`Remote`] in another one (`ble-sim://`).

mod central;
mod peripheral;
mod radio;
mod remote;

pub use central::{MAX_VALUE, SimulatedLink};
pub use peripheral::{Characteristic, GattError, Peripheral, SERVICE, SERVICE_COMMON, att_error, characteristics};
pub use radio::Radio;
pub use remote::{Remote, serve};
