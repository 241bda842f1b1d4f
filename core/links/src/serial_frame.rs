//! Frames on a serial line, as `docs/serial-framing.md` specifies them: COBS, CRC-32, one delimiter on each side.
//!
//! [`encode`] and [`Decoder`] are for both ends; [`Responder`] is the device's end without I/O: bytes in, actions out.

mod codec;
mod responder;

pub use codec::{Decoder, Frame, FrameTooLong, Kind, MAX_BODY, MAX_ENDPOINT, VERSION, encode};
pub use responder::{Action, Answer, Responder, Ticket};
