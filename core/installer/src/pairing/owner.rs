//! Whose device this is: what the API's owner means for a device that has one already.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lowtouch_handoff::dps_config::client::OwnerSignature;
use lowtouch_handoff::dps_config::{self, IdentifyResponse};
use provisioning_api_contract as wire;
use uuid::Uuid;

use crate::error::{ErrorCode, PairingError};
use crate::events::Warning;

/// Wrong codes before a session that a person may have mistyped; more were somebody who guesses.
const MISTYPED: u32 = 3;

/// What a hand-off to this device needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ownership {
    /// For the configuration: the key of the owner from now on; empty where the device has it already (it costs 93 bytes
    /// over the link).
    pub(super) new_owner: Vec<u8>,
    /// The device takes nothing without the owner's signature.
    pub(super) signed: bool,
}

/// Compares the device's owner with the API's.
///
/// A device of somebody else is left alone even where its firmware does not check: to take it by mistake is as bad as to
/// fail to. Its button gives it back to nobody.
pub(super) fn ownership(
    identify: &IdentifyResponse,
    allocation: &wire::Allocation,
) -> Result<(Ownership, Option<Warning>), PairingError> {
    let ours = allocation.owner_public_key.as_deref().map(|key| STANDARD.decode(key)).transpose();
    let ours = ours.map_err(|_| invalid("ownerPublicKey is not base64"))?;
    let theirs = identify.owner_key_id.as_slice();
    match ours {
        None if theirs.is_empty() => Ok((Ownership { new_owner: Vec::new(), signed: false }, None)),
        // An API that is older than owners can sign nothing.
        None if identify.checks_owner => Err(ErrorCode::NotOwner.into()),
        None => Ok((Ownership { new_owner: Vec::new(), signed: false }, Some(Warning::AlreadyOwned))),
        Some(ours) if theirs.is_empty() => Ok((Ownership { new_owner: ours, signed: false }, None)),
        Some(ours) if dps_config::owner_key_id(&ours) == theirs => {
            Ok((Ownership { new_owner: Vec::new(), signed: identify.checks_owner }, None))
        }
        // It was given to the API's owner by one whose key it keeps until now, and who signs once more.
        Some(ours) if former(allocation)?.iter().any(|key_id| key_id == theirs) => {
            Ok((Ownership { new_owner: ours, signed: identify.checks_owner }, None))
        }
        Some(_) => Err(PairingError::with_detail(ErrorCode::NotOwner, "the device keeps another owner's key")),
    }
}

fn former(allocation: &wire::Allocation) -> Result<Vec<Vec<u8>>, PairingError> {
    let ids = allocation.former_owner_key_ids.iter().map(|id| STANDARD.decode(id));
    ids.collect::<Result<_, _>>().map_err(|_| invalid("formerOwnerKeyIds are not base64"))
}

/// What the person should know of owner and label before anything is handed over.
pub(super) fn warnings(identify: &IdentifyResponse) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !identify.checks_owner {
        warnings.push(Warning::OwnerNotChecked);
    }
    if identify.wrong_proofs > MISTYPED {
        warnings.push(Warning::CodesGuessed { count: identify.wrong_proofs });
    }
    warnings
}

/// `holds` is what the device said of the key that it keeps.
pub(super) fn ask(handoff_id: Uuid, nonce: &[u8], digest: &[u8], holds: &[u8]) -> wire::OwnerSignatureRequest {
    wire::OwnerSignatureRequest {
        handoff_id,
        operation: wire::OwnerOperation::Stage,
        nonce: STANDARD.encode(nonce),
        digest: Some(STANDARD.encode(digest)),
        owner_key_id: Some(STANDARD.encode(holds)),
    }
}

pub(super) fn signature(answer: &wire::OwnerSignatureResponse) -> Result<OwnerSignature, PairingError> {
    let signature = STANDARD.decode(&answer.signature).map_err(|_| invalid("the signature is not base64"))?;
    let expires =
        u64::try_from(answer.expires.as_second()).map_err(|_| invalid("the signature's end is before 1970"))?;
    Ok(OwnerSignature { signature, expires })
}

fn invalid(what: &str) -> PairingError {
    PairingError::with_detail(ErrorCode::ApiAnswerInvalid, what)
}
