//! What a device keeps in its flash, and the envelope that tells a torn or foreign record from its own.

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Config, DIGEST_LEN, HANDOFF_ID_LEN, digest};
use crate::wire::device_state::{Kept, PersistentState};

const MAGIC: [u8; 4] = *b"LTDC";
const VERSION: u8 = 1;
/// Magic, version, three zero bytes, the payload's length (big-endian), SHA-256 of the payload.
const HEADER: usize = 4 + 1 + 3 + 4 + 32;

/// Why a persisted record cannot be used. The device shows it and waits for its button: it must not pretend to be new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Written by something else.
    #[error("the stored state was not written by this firmware")]
    Foreign,
    /// Written by a later firmware.
    #[error("the stored state has version {0}, which this firmware does not know")]
    Version(u8),
    /// Its checksum is wrong or its end is missing.
    #[error("the stored state is damaged")]
    Torn,
    /// It is whole, and contradicts itself.
    #[error("the stored state contradicts itself")]
    Contradiction,
}

pub(super) fn encode(state: &PersistentState) -> Zeroizing<Vec<u8>> {
    let payload = Zeroizing::new(state.encode_to_vec());
    let mut record = Zeroizing::new(Vec::with_capacity(HEADER + payload.len()));
    record.extend_from_slice(&MAGIC);
    record.extend_from_slice(&[VERSION, 0, 0, 0]);
    record.extend_from_slice(&super::chunks::wire_len(payload.len()).to_be_bytes());
    record.extend_from_slice(&Sha256::digest(payload.as_slice()));
    record.extend_from_slice(&payload);
    record
}

pub(super) fn decode(record: &[u8]) -> Result<PersistentState, StateError> {
    let (magic, rest) = record.split_at_checked(4).ok_or(StateError::Torn)?;
    if magic != MAGIC {
        return Err(StateError::Foreign);
    }
    let (version, rest) = rest.split_at_checked(4).ok_or(StateError::Torn)?;
    if version[0] != VERSION {
        return Err(StateError::Version(version[0]));
    }
    let (len, rest) = rest.split_at_checked(4).ok_or(StateError::Torn)?;
    let (checksum, payload) = rest.split_at_checked(32).ok_or(StateError::Torn)?;
    // Flash pages are often read with what follows the record.
    let len = len.iter().fold(0usize, |len, byte| (len << 8) | usize::from(*byte));
    let payload = payload.get(..len).ok_or(StateError::Torn)?;
    if Sha256::digest(payload).as_slice() != checksum {
        return Err(StateError::Torn);
    }
    let state = PersistentState::decode(payload).map_err(|_| StateError::Contradiction)?;
    if is_consistent(&state) { Ok(state) } else { Err(StateError::Contradiction) }
}

fn is_consistent(state: &PersistentState) -> bool {
    let kept = |kept: &Kept| config_fits(&kept.handoff_id, &kept.digest, &kept.config);
    state.in_force.as_ref().is_none_or(kept)
        && state.previous.as_ref().is_none_or(|previous| kept(previous) && previous.assigned.is_some())
        && state.staged.as_ref().is_none_or(|staged| config_fits(&staged.handoff_id, &staged.digest, &staged.config))
}

fn config_fits(handoff_id: &[u8], kept_digest: &[u8], config: &[u8]) -> bool {
    handoff_id.len() == HANDOFF_ID_LEN
        && kept_digest.len() == DIGEST_LEN
        && digest(config) == kept_digest
        && Config::decode(config).is_ok()
}
