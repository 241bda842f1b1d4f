use std::fmt;

use crc::{CRC_32_ISO_HDLC, Crc};

/// Version of the framing, exchanged in `Connect` and `Connected`.
pub const VERSION: u8 = 1;
/// The longest body in bytes, as protocomm has it over HTTP (`MAX_REQ_BODY_LEN` in ESP-IDF's `protocomm_httpd.c`).
pub const MAX_BODY: usize = 4096;
/// The longest endpoint name in bytes.
pub const MAX_ENDPOINT: usize = 64;

/// Kind, connection, sequence, length of the endpoint's name.
const HEADER: usize = 5;
const CHECKSUM: usize = 4;
const MAX_PLAIN: usize = HEADER + MAX_ENDPOINT + MAX_BODY + CHECKSUM;
/// COBS adds one byte, and one more for each whole 254.
const MAX_ENCODED: usize = MAX_PLAIN + MAX_PLAIN / 254 + 1;
const DELIMITER: u8 = 0;

/// The CRC of zlib and Ethernet; `esp_rom_crc32_le(0, …)` computes it on an ESP32.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// One frame. Debug output has the body's length only: with Security 0 the body is in the clear.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The number that the host drew for this connection; every frame of the connection carries it.
    pub connection: u16,
    /// 0 in `Connect`, then one more for each request, wrapping. An answer carries its request's.
    pub sequence: u8,
    /// The endpoint's name in a request, at most [`MAX_ENDPOINT`] bytes; empty in every other frame.
    pub endpoint: String,
    /// At most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
}

/// What a frame is. Values below 0x80 go to the device, the others to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A new connection begins; body: version.
    Connect = 0x01,
    /// A request to an endpoint.
    Request = 0x02,
    /// The connection ends; no answer.
    Disconnect = 0x03,
    /// Answer to `Connect`; body: version, longest body (16 bits, little-endian).
    Connected = 0x81,
    /// The endpoint's response.
    Response = 0x82,
    /// The endpoint's handler failed.
    Refused = 0x83,
    /// The device has no such endpoint.
    UnknownEndpoint = 0x84,
    /// The device knows no connection of this number (it restarted, or another one began).
    NotConnected = 0x85,
}

/// The endpoint's name or the body is longer than a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame holds at most {MAX_ENDPOINT} bytes of name and {MAX_BODY} of body")]
pub struct FrameTooLong;

/// The bytes for the line, delimiters on both sides included: the first one ends whatever text came before.
///
/// # Errors
/// [`FrameTooLong`].
pub fn encode(frame: &Frame) -> Result<Vec<u8>, FrameTooLong> {
    let name = frame.endpoint.as_bytes();
    if name.len() > MAX_ENDPOINT || frame.body.len() > MAX_BODY {
        return Err(FrameTooLong);
    }
    let mut plain = Vec::with_capacity(HEADER + name.len() + frame.body.len() + CHECKSUM);
    plain.push(frame.kind as u8);
    plain.extend(frame.connection.to_le_bytes());
    plain.push(frame.sequence);
    plain.push(u8::try_from(name.len()).map_err(|_| FrameTooLong)?);
    plain.extend(name);
    plain.extend(&frame.body);
    plain.extend(CRC.checksum(&plain).to_le_bytes());
    let mut line = vec![DELIMITER];
    line.extend(cobs::encode_vec(&plain));
    line.push(DELIMITER);
    Ok(line)
}

/// Finds the frames in a stream of bytes. Whatever is no frame (log text, broken frames, noise) is passed over: the next
/// delimiter is a new start. Holds at most one encoded frame.
#[derive(Default)]
pub struct Decoder {
    since_delimiter: Vec<u8>,
    too_long: bool,
}

impl Decoder {
    /// Nothing received yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the line in pieces of any size; answers with the frames that they completed.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for &byte in bytes {
            if byte == DELIMITER {
                if !self.too_long {
                    frames.extend(decode(&self.since_delimiter));
                }
                self.since_delimiter.clear();
                self.too_long = false;
            } else if self.since_delimiter.len() < MAX_ENCODED {
                self.since_delimiter.push(byte);
            } else {
                self.too_long = true;
            }
        }
        frames
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .field("connection", &self.connection)
            .field("sequence", &self.sequence)
            .field("endpoint", &self.endpoint)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("since_delimiter", &format_args!("{} bytes", self.since_delimiter.len()))
            .finish()
    }
}

fn decode(encoded: &[u8]) -> Option<Frame> {
    if encoded.len() < HEADER + CHECKSUM {
        return None;
    }
    let plain = cobs::decode_vec(encoded).ok()?;
    let (checked, checksum) = plain.split_last_chunk::<CHECKSUM>()?;
    if CRC.checksum(checked) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (&[kind, low, high, sequence, name_len], rest) = checked.split_first_chunk::<HEADER>()?;
    let (name, body) = rest.split_at_checked(usize::from(name_len))?;
    if name.len() > MAX_ENDPOINT || body.len() > MAX_BODY {
        return None;
    }
    Some(Frame {
        kind: Kind::from_byte(kind)?,
        connection: u16::from_le_bytes([low, high]),
        sequence,
        endpoint: std::str::from_utf8(name).ok()?.to_owned(),
        body: body.to_vec(),
    })
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Connect,
            Self::Request,
            Self::Disconnect,
            Self::Connected,
            Self::Response,
            Self::Refused,
            Self::UnknownEndpoint,
            Self::NotConnected,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}
