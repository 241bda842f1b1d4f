//! docs/owner-signature-vectors.json is what both sides sign and check, in whatever language they are written.
#![allow(clippy::unwrap_used)]

use lowtouch_handoff::dps_config::{Config, OwnerKey, digest, reset_signature_message, stage_signature_message};
use prost::Message as _;
use serde_json::Value;

#[test]
fn the_messages_are_those_of_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../../docs/owner-signature-vectors.json")).unwrap();
    let bytes = |name: &str| hex::decode(vectors[name].as_str().unwrap()).unwrap();
    let nonce = bytes("nonce").try_into().unwrap();
    let expires = vectors["signatureExpires"].as_u64().unwrap();
    let registration_id = vectors["registrationId"].as_str().unwrap();
    let config = Config::decode(bytes("config").as_slice()).unwrap();
    let terms = &vectors["terms"];
    assert_eq!(config.id_scope, terms["idScope"]);
    assert_eq!(config.global_device_endpoint, terms["globalDeviceEndpoint"]);
    assert_eq!(
        config.endpoint_ca.iter().map(hex::encode).collect::<Vec<_>>(),
        serde_json::from_value::<Vec<String>>(terms["endpointCa"].clone()).unwrap()
    );
    assert_eq!(hex::encode(&config.owner_public_key), terms["ownerPublicKey"]);
    assert_eq!(hex::encode(digest(&bytes("config"))), vectors["digest"]);
    let handoff_id = bytes("handoffId").try_into().unwrap();
    let digest = digest(&bytes("config"));
    for spelled in [registration_id, &registration_id.to_uppercase()] {
        let stage = stage_signature_message(spelled, &handoff_id, &nonce, &config, &digest, expires);
        assert_eq!(hex::encode(stage), vectors["stageMessage"]);
        assert_eq!(hex::encode(reset_signature_message(spelled, &nonce, expires)), vectors["resetMessage"]);
    }
    for key in vectors["keys"].as_array().unwrap() {
        let spki = hex::decode(key["ownerPublicKey"].as_str().unwrap()).unwrap();
        assert!(OwnerKey::parse(&spki).is_some(), "{}", key["algorithm"]);
    }
}
