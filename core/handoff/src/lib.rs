//! Device protocols as sans-IO state machines, both roles.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: bytes, time and entropy go in, bytes and
//! effects come out. So every protocol can be replayed byte for byte from a recording, and every phone, gateway and
//! simulated device runs the same code.

pub mod device;
pub mod dps_config;
#[doc(hidden)]
pub mod fuzzing;
pub mod proto_ver;
pub mod protocomm;
pub mod prov_config;
pub mod prov_scan;
pub mod wire;
