//! 5^e modulo N by a Lim-Lee comb: the base never changes, so 7 in 8 of its squarings are done once, at compile time of
//! this crate's author, and stand in `powers_of_5.bin`.
//!
//! The exponent is cut into 64-bit words, each word into 4 teeth of 16 bits. Row j of the table belongs to word j; its
//! entry p is the product of 5^(2^(64 j + 16 i)) over the bits i of p. A 256-bit exponent costs 15 squarings and 64
//! multiplications, a 512-bit one 15 and 128 (plainly: 256 and 80, 512 and 144).

use crypto_bigint::{CtAssign, CtEq, U3072};

use super::GROUP_LEN;
use super::group::Element;

const TEETH: usize = 4;
const TOOTH_BITS: usize = 16;
const WORDS: usize = 8;
const ENTRIES: usize = 1 << TEETH;

/// In Montgomery form (times 2^3072), little-endian, so that loading it is only copying.
static TABLE: [[U3072; ENTRIES]; WORDS] = decode(include_bytes!("powers_of_5.bin"));

/// 5^exponent modulo N for a big-endian exponent of whole 64-bit words, at most 8 of them. Time and memory accesses do not
/// depend on the exponent's value.
pub(super) fn power_of_5<const LEN: usize>(exponent: &[u8; LEN]) -> Element {
    const { assert!(LEN.is_multiple_of(8) && LEN / 8 <= WORDS) };
    let mut result = Element::ONE;
    for step in (0..TOOTH_BITS).rev() {
        result = result.square();
        for (row, word) in TABLE.iter().zip(exponent.rchunks_exact(8)) {
            let word = word.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
            result *= entry(row, pattern(word >> step));
        }
    }
    result
}

/// Bits 0, 16, 32 and 48 of the word.
fn pattern(word: u64) -> u64 {
    (0..TEETH).fold(0, |pattern, tooth| pattern | (word >> (tooth * TOOTH_BITS) & 1) << tooth)
}

/// The row's entry; all of the row is read whatever the index.
fn entry(row: &[U3072; ENTRIES], index: u64) -> Element {
    let mut chosen = row[0];
    for (i, candidate) in (0u64..).zip(row) {
        chosen.ct_assign(candidate, i.ct_eq(&index));
    }
    Element::from_montgomery(chosen)
}

const fn decode(bytes: &[u8; WORDS * ENTRIES * GROUP_LEN]) -> [[U3072; ENTRIES]; WORDS] {
    let mut table = [[U3072::ZERO; ENTRIES]; WORDS];
    let mut rest: &[u8] = bytes;
    let mut n = 0;
    while n < WORDS * ENTRIES {
        let (integer, after) = rest.split_at(GROUP_LEN);
        table[n / ENTRIES][n % ENTRIES] = U3072::from_le_slice(integer);
        rest = after;
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use crypto_bigint::{U256, U512};
    use proptest::prelude::*;

    use super::*;

    fn five() -> Element {
        Element::new(&U3072::from_u8(5))
    }

    #[test]
    fn every_entry_of_the_table_is_the_product_it_should_be() {
        for (j, row) in TABLE.iter().enumerate() {
            for (p, stored) in row.iter().enumerate() {
                let mut expected = Element::ONE;
                for i in 0..TEETH {
                    if p >> i & 1 == 1 {
                        let exponent = U512::ONE << u32::try_from(64 * j + TOOTH_BITS * i).unwrap();
                        expected *= five().pow(&exponent);
                    }
                }
                assert_eq!(
                    stored,
                    expected.as_montgomery(),
                    "row {j}, entry {p}: powers_of_5.bin is not what powers_of_5.rs describes"
                );
            }
        }
    }

    #[test]
    fn the_extreme_exponents_agree_with_plain_exponentiation() {
        for byte in [0x00, 0xff] {
            assert_eq!(power_of_5(&[byte; 64]), five().pow(&U512::from_be_slice(&[byte; 64])));
            assert_eq!(power_of_5(&[byte; 32]), five().pow(&U256::from_be_slice(&[byte; 32])));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_exponent_agrees_with_plain_exponentiation(exponent: [[u8; 32]; 2]) {
            let long: [u8; 64] = exponent.concat().try_into().unwrap();
            prop_assert_eq!(power_of_5(&long), five().pow(&U512::from_be_slice(&long)));
            prop_assert_eq!(power_of_5(&exponent[0]), five().pow(&U256::from_be_slice(&exponent[0])));
        }
    }
}
