//! A device on a serial port, in the frames of `docs/serial-framing.md`.

mod line;
mod port;
mod ports;

pub use line::SerialLink;
pub use ports::{Accessibility, Port, ports};
