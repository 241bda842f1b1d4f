//! The thin shells around the device role: bytes from a link in, answers out.

pub(crate) mod ble;
pub(crate) mod bluez;
pub(crate) mod http;
pub(crate) mod line;
pub(crate) mod serial;
