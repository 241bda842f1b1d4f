//! How long the data of one chunk may be.

/// Bytes of data that fit beside an otherwise complete message of `empty_len` bytes (encoded with no data and the
/// largest offset) in `max_plain`: the data's tag and its two-byte length, and the enclosing length's second byte.
pub(super) fn room(max_plain: usize, empty_len: usize) -> usize {
    max_plain.saturating_sub(empty_len + 4).max(1)
}

/// `usize` as the wire's `uint32`; lengths here are far below the limit.
pub(super) fn wire_len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The wire's `uint32` as a length.
pub(super) fn len(wire: u32) -> usize {
    usize::try_from(wire).unwrap_or(usize::MAX)
}
