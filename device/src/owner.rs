//! Is this the owner's signature?

use lowtouch_handoff::dps_config::OwnerKey;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};

/// Whether `signature` is that of `public_key` (SubjectPublicKeyInfo DER: P-256, or Ed25519) over `message`. A key that
/// cannot be read has signed nothing.
pub(crate) fn signed(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match OwnerKey::parse(public_key) {
        Some(OwnerKey::P256(point)) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
        }
        Some(OwnerKey::Ed25519(key)) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_signatures_of_the_vectors_hold_and_with_any_bit_changed_they_do_not() {
        let vectors: Value = serde_json::from_str(include_str!("../../docs/owner-signature-vectors.json")).unwrap();
        let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
        let keys = vectors["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 2);
        for key in keys {
            let public_key = bytes(&key["ownerPublicKey"]);
            for (message, signature) in [("stageMessage", "stageSignature"), ("resetMessage", "resetSignature")] {
                let (message, signature) = (bytes(&vectors[message]), bytes(&key[signature]));
                assert!(signed(&public_key, &message, &signature), "{}", key["algorithm"]);
                for bit in 0..signature.len() * 8 {
                    let mut changed = signature.clone();
                    changed[bit / 8] ^= 1 << (bit % 8);
                    assert!(!signed(&public_key, &message, &changed), "bit {bit} of the signature");
                }
                for bit in 0..message.len() * 8 {
                    let mut changed = message.clone();
                    changed[bit / 8] ^= 1 << (bit % 8);
                    assert!(!signed(&public_key, &changed, &signature), "bit {bit} of the message");
                }
                assert!(!signed(&public_key, &message, b""));
            }
        }
        let (of_one, other) = (bytes(&keys[0]["stageSignature"]), bytes(&keys[1]["ownerPublicKey"]));
        assert!(!signed(&other, &bytes(&vectors["stageMessage"]), &of_one));
        assert!(!signed(b"", b"", b""));
    }
}
