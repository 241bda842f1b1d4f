//! What went over the air, from btmon's recording: format `btsnoop`, monitor datalink (BlueZ, src/shared/btsnoop.c).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where `guest-init` lets btmon write.
const RECORDING: &str = "/run/air.btsnoop";
const FILE_HEADER: usize = 16;
const RECORD_HEADER: usize = 24;
/// The first adapter, the app's: bits 16 and up of a record's flags.
const CENTRAL: u32 = 0;
/// Kinds of records, the lower bits: HCI command, ACL data sent.
const COMMAND: u32 = 2;
const ACL_SENT: u32 = 4;
/// 2000-01-01 in btsnoop's microseconds, and in Unix's.
const Y2000_SNOOP: u64 = 0x00e0_3ab4_4a67_6000;
const Y2000_UNIX: u64 = 946_684_800_000_000;
/// HCI LE Create Connection and its extended form, little-endian.
const CREATE_CONNECTION: [[u8; 2]; 2] = [[0x0d, 0x20], [0x43, 0x20]];
/// ATT's channel, and those that L2CAP gives out: bluetoothd opens some of them for ATT (EATT).
const ATT: u16 = 4;
const GIVEN_OUT: std::ops::RangeInclusive<u16> = 0x40..=0x7f;

/// A stretch of the recording.
pub(crate) struct Air {
    /// ATT requests that the app's adapter sent, by opcode, each a round trip.
    pub(crate) requests: Vec<(u8, SystemTime)>,
    /// When it began to connect.
    pub(crate) connecting: Vec<SystemTime>,
}

/// Everything recorded since `start`.
pub(crate) fn since(start: SystemTime) -> Air {
    let recording = std::fs::read(RECORDING).expect("btmon's recording");
    let mut air = Air { requests: Vec::new(), connecting: Vec::new() };
    let mut bearers = Bearers::default();
    let mut rest = recording.get(FILE_HEADER..).unwrap_or_default();
    while let Some((header, after)) = rest.split_at_checked(RECORD_HEADER) {
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let length = number(4) as usize;
        // The last record may be half written.
        let Some((data, next)) = after.split_at_checked(length) else { break };
        rest = next;
        let micros = u64::from_be_bytes(header[16..24].try_into().unwrap());
        let at = UNIX_EPOCH + Duration::from_micros(micros.saturating_sub(Y2000_SNOOP) + Y2000_UNIX);
        let (adapter, kind) = (number(8) >> 16, number(8) & 0xffff);
        if adapter != CENTRAL || at < start {
            continue;
        }
        if kind == COMMAND && CREATE_CONNECTION.iter().any(|opcode| data.starts_with(opcode)) {
            air.connecting.push(at);
        }
        if kind == ACL_SENT
            && let Some(opcode) = bearers.opcode(data)
            && is_request(opcode)
        {
            air.requests.push((opcode, at));
        }
    }
    air
}

/// Finds where ATT packets begin.
#[derive(Default)]
struct Bearers {
    /// Bytes still to come of a packet that is sent in pieces, by channel.
    rest: BTreeMap<u16, usize>,
}

impl Bearers {
    /// The opcode of the ATT packet that begins in this piece of ACL data.
    fn opcode(&mut self, data: &[u8]) -> Option<u8> {
        // Handle with flags, length; L2CAP: length, channel. Continuations on HCI have flag 01.
        if data.len() < 9 || data[1] >> 4 & 0b11 == 0b01 {
            return None;
        }
        let number = |at: usize| data.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]));
        let (length, channel) = (usize::from(number(4)?), number(6)?);
        if channel == ATT {
            return data.get(8).copied();
        }
        if !GIVEN_OUT.contains(&channel) {
            return None;
        }
        let rest = self.rest.entry(channel).or_default();
        if *rest > 0 {
            *rest = rest.saturating_sub(length);
            return None;
        }
        // The packet's whole length comes first.
        *rest = (usize::from(number(8)?) + 2).saturating_sub(length);
        data.get(10).copied()
    }
}

/// Requests have even opcodes; write and signed write commands (0x52, 0xd2) want no answer, confirmation (0x1e) is one.
fn is_request(opcode: u8) -> bool {
    opcode.is_multiple_of(2) && opcode < 0x1e && opcode > 0 || opcode == 0x20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_counted_once_on_either_bearer() {
        let mut bearers = Bearers::default();
        let plain = [0x2a, 0, 7, 0, 3, 0, 4, 0, 0x02, 0x05, 0x02];
        assert_eq!(bearers.opcode(&plain), Some(0x02));
        // A write of 5 bytes in two pieces on channel 0x41, and a read after it.
        let first = [0x2a, 0, 9, 0, 5, 0, 0x41, 0, 5, 0, 0x12, 0x1a, 0x00];
        let second = [0x2a, 0, 6, 0, 2, 0, 0x41, 0, 0xff, 0xff, 0xff];
        let read = [0x2a, 0, 9, 0, 5, 0, 0x41, 0, 3, 0, 0x0a, 0x1a, 0x00];
        assert_eq!(bearers.opcode(&first), Some(0x12));
        assert_eq!(bearers.opcode(&second), None);
        assert_eq!(bearers.opcode(&read), Some(0x0a));
        assert!(is_request(0x12) && is_request(0x0a) && !is_request(0x13) && !is_request(0x52) && !is_request(0x1e));
    }
}
