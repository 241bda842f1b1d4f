//! docs/owner-signature-vectors.json is what both sides sign and check, in whatever language they are written.
#![allow(clippy::unwrap_used)]

use lowtouch_handoff::dps_config::{OwnerKey, reset_signature_message, stage_signature_message};
use serde_json::Value;

#[test]
fn the_messages_are_those_of_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../../docs/owner-signature-vectors.json")).unwrap();
    let bytes = |name: &str| hex::decode(vectors[name].as_str().unwrap()).unwrap();
    let nonce = bytes("nonce").try_into().unwrap();
    let expires = vectors["signatureExpires"].as_u64().unwrap();
    let stage = stage_signature_message(
        &bytes("handoffId").try_into().unwrap(),
        &nonce,
        &bytes("digest").try_into().unwrap(),
        expires,
    );
    assert_eq!(hex::encode(stage), vectors["stageMessage"]);
    assert_eq!(hex::encode(reset_signature_message(&nonce, expires)), vectors["resetMessage"]);
    for key in vectors["keys"].as_array().unwrap() {
        let spki = hex::decode(key["ownerPublicKey"].as_str().unwrap()).unwrap();
        assert!(OwnerKey::parse(&spki).is_some(), "{}", key["algorithm"]);
    }
}
