//! The endpoint `dps-config`: hands an ID scope and a credential to a device, and tells what became of it.
//!
//! docs/dps-config.md is the specification, docs/dps_config.proto the wire format. [`client`] is the installer's side,
//! [`device`] the device's.

mod check;
mod chunks;
pub mod client;
pub mod device;
mod owner;
mod state;

use sha2::{Digest as _, Sha256};

pub use crate::wire::dps_config::*;
pub use check::{Refused, check as check_config};
pub use owner::OwnerKey;

/// The endpoint's name, as `proto-ver` and the 0x2901 descriptor spell it.
pub const ENDPOINT: &str = "dps-config";

/// The version that `proto-ver` announces under `lowtouch.ver`.
pub const VERSION: &str = "v1";

/// Length of a hand-off ID, in bytes.
pub const HANDOFF_ID_LEN: usize = 16;

/// Length of a digest (SHA-256), in bytes.
pub const DIGEST_LEN: usize = 32;

/// Length of a session's nonce, in bytes.
pub const NONCE_LEN: usize = 32;

/// Shortest lease, in seconds.
pub const MIN_LEASE_S: u32 = 10;

/// Longest lease, in seconds: a day.
pub const MAX_LEASE_S: u32 = 86_400;

/// Longest encoded `Config` and longest chunked `Request` that a device takes unless it says otherwise, in bytes.
pub const DEFAULT_MAX_CONFIG: usize = 8192;

/// Longest `Response` that a client joins from chunks, in bytes.
pub const MAX_RESPONSE: usize = 16_384;

/// The least room for one plaintext that chunks are cut for, in bytes: an MTU of 23 is joined by the link's long
/// writes, so no link carries less.
pub const MIN_PLAIN: usize = 64;

/// SHA-256 of an encoded `Config`.
#[must_use]
pub fn digest(config: &[u8]) -> [u8; DIGEST_LEN] {
    Sha256::digest(config).into()
}

/// The ID of an owner: SHA-256 of the public key's SubjectPublicKeyInfo in DER.
#[must_use]
pub fn owner_key_id(owner_public_key: &[u8]) -> [u8; 32] {
    Sha256::digest(owner_public_key).into()
}

/// What an owner signs so that an owned device takes a hand-off: all of `config` but its credential in the clear, and
/// `digest` for the whole (docs/adr/0007). `registration_id`: the device's, in any spelling. `expires`: seconds since
/// 1970-01-01 UTC. For a `config` that [`check_config`] lets through.
#[must_use]
pub fn stage_signature_message(
    registration_id: &str,
    handoff_id: &[u8; HANDOFF_ID_LEN],
    nonce: &[u8; NONCE_LEN],
    config: &Config,
    digest: &[u8; DIGEST_LEN],
    expires: u64,
) -> Vec<u8> {
    let mut message = b"lowtouch dps-config v1 stage\0".to_vec();
    with_len(&mut message, registration_id.to_ascii_lowercase().as_bytes());
    message.extend_from_slice(handoff_id);
    message.extend_from_slice(nonce);
    message.extend_from_slice(digest);
    with_len(&mut message, config.id_scope.as_bytes());
    with_len(&mut message, config.global_device_endpoint.as_bytes());
    let endpoint_ca: Vec<u8> = config.endpoint_ca.iter().flat_map(Sha256::digest).collect();
    with_len(&mut message, &endpoint_ca);
    with_len(&mut message, &config.owner_public_key);
    message.extend_from_slice(&expires.to_be_bytes());
    message
}

/// What an owner signs so that an owned device resets. `registration_id`: the device's, in any spelling. `expires`:
/// seconds since 1970-01-01 UTC.
#[must_use]
pub fn reset_signature_message(registration_id: &str, nonce: &[u8; NONCE_LEN], expires: u64) -> Vec<u8> {
    let mut message = b"lowtouch dps-config v1 reset\0".to_vec();
    with_len(&mut message, registration_id.to_ascii_lowercase().as_bytes());
    message.extend_from_slice(nonce);
    message.extend_from_slice(&expires.to_be_bytes());
    message
}

/// The length, 2 bytes, big-endian, and the field. All of them are far shorter than 64 KiB; a longer one gets a message
/// that nobody signs.
fn with_len(message: &mut Vec<u8>, field: &[u8]) {
    message.extend_from_slice(&u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes());
    message.extend_from_slice(field);
}
