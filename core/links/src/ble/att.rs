//! What ATT's operations cost, and its limits.

use super::MAX_VALUE;

/// ATT's smallest MTU, in bytes (Bluetooth Core, Vol 3, Part G, 5.2.1).
pub(crate) const MIN_MTU: u16 = 23;
/// The largest that makes a difference: 512 bytes of value and the longest header.
pub(crate) const MAX_MTU: u16 = 517;

/// A value that fits into a write request goes as one; a longer one as prepared writes and their execution (BlueZ:
/// `bt_gatt_client_write_long_value`).
pub(crate) fn write_operations(len: usize, mtu: usize) -> u64 {
    if len <= mtu - 3 { 1 } else { len.div_ceil(mtu - 5) as u64 + 1 }
}

/// A full response may have a continuation: read blobs until one is not full (BlueZ: `bt_gatt_client_read_long_value`).
pub(crate) fn read_operations(len: usize, mtu: usize) -> u64 {
    1 + if len >= MAX_VALUE { len.div_ceil(mtu - 1) as u64 - 1 } else { (len / (mtu - 1)) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_cost_as_many_operations_as_att_needs() {
        assert_eq!([0, 20, 21, 36, 37].map(|len| write_operations(len, 23)), [1, 1, 3, 3, 4]);
        assert_eq!([0, 21, 22, 44].map(|len| read_operations(len, 23)), [1, 1, 2, 3]);
        assert_eq!((write_operations(512, 517), read_operations(512, 517)), (1, 1));
        assert_eq!((write_operations(512, 23), read_operations(512, 23)), (30, 24));
    }
}
