//! The owner's public key as it lies in a `Config`: the two kinds that a device can be asked to verify with.

/// An owner's public key, taken out of its SubjectPublicKeyInfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerKey<'a> {
    /// P-256; the point, uncompressed (65 bytes, first 0x04). Signatures are ECDSA with SHA-256 in DER.
    P256(&'a [u8]),
    /// Ed25519 (32 bytes). Signatures have 64 bytes.
    Ed25519(&'a [u8]),
}

/// SubjectPublicKeyInfo with id-ecPublicKey and prime256v1 (RFC 5480), up to the point.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// SubjectPublicKeyInfo with id-Ed25519 (RFC 8410), up to the key.
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl<'a> OwnerKey<'a> {
    /// Reads a SubjectPublicKeyInfo (DER). Each kind has exactly one DER form, so that no parser is needed: its fixed
    /// beginning, then the key. `None`: another kind of key, or none at all.
    #[must_use]
    pub fn parse(spki: &'a [u8]) -> Option<Self> {
        if let Some(point) = spki.strip_prefix(&P256) {
            return (point.len() == 65 && point[0] == 4).then_some(Self::P256(point));
        }
        spki.strip_prefix(&ED25519).filter(|key| key.len() == 32).map(Self::Ed25519)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_and_nothing_else_is_a_key() {
        let p256 = [&P256[..], &[4], &[7; 64]].concat();
        let ed25519 = [&ED25519[..], &[7; 32]].concat();
        assert_eq!(OwnerKey::parse(&p256), Some(OwnerKey::P256(&p256[26..])));
        assert_eq!(OwnerKey::parse(&ed25519), Some(OwnerKey::Ed25519(&[7; 32])));
        for key in [&p256, &ed25519] {
            assert_eq!(OwnerKey::parse(&key[..key.len() - 1]), None);
            assert_eq!(OwnerKey::parse(&[&key[..], &[0]].concat()), None);
            assert_eq!(OwnerKey::parse(&key[1..]), None);
        }
        let compressed = [&P256[..], &[2], &[7; 64]].concat();
        assert_eq!(OwnerKey::parse(&compressed), None);
        assert_eq!(OwnerKey::parse(b""), None);
        assert_eq!(OwnerKey::parse(b"owner"), None);
    }
}
