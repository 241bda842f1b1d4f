//! From the API's answers to the configuration that the device is given.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lowtouch_handoff::dps_config::client::OwnerSignature;
use lowtouch_handoff::dps_config::{
    self, Config, IdentifyResponse, Request, SymmetricKeyCredential, TpmCredential, X509Credential, client, config,
    request,
};
use prost::Message;
use provisioning_api_contract as wire;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{ErrorCode, PairingError};

/// How long a staged configuration lives without a commit, in seconds. The commit follows at once; what is left is for
/// a link that has to be opened again.
const LEASE_S: u32 = 300;

/// What the API gave for the device.
pub(super) enum Credential {
    /// DER, leaf first.
    Chain(Vec<Vec<u8>>),
    /// The device's own key.
    Key(Zeroizing<Vec<u8>>),
    /// Nothing: DPS knows its TPM.
    Tpm,
}

/// What the device can do, best first, in the API's words; what this build does not know is left out.
pub(super) fn attestations(identify: &IdentifyResponse) -> Vec<wire::Attestation> {
    identify
        .attestations()
        .filter_map(|attestation| match attestation {
            dps_config::Attestation::X509 => Some(wire::Attestation::X509),
            dps_config::Attestation::SymmetricKey => Some(wire::Attestation::SymmetricKey),
            dps_config::Attestation::Tpm => Some(wire::Attestation::Tpm),
            dps_config::Attestation::Unspecified => None,
        })
        .collect()
}

/// What can be asked for: what the device can do and the request allows. A TPM is known by its endorsement key.
pub(super) fn usable(identify: &IdentifyResponse, allowed: &[wire::Attestation]) -> Vec<wire::Attestation> {
    let of_device: Vec<_> = attestations(identify)
        .into_iter()
        .filter(|attestation| *attestation != wire::Attestation::Tpm || !identify.tpm_endorsement_key.is_empty())
        .collect();
    if allowed.is_empty() {
        return of_device;
    }
    allowed.iter().copied().filter(|attestation| of_device.contains(attestation)).collect()
}

/// The public keys of the device's TPM, if it told them.
pub(super) fn tpm_keys(identify: &IdentifyResponse) -> Option<wire::TpmKeys> {
    let text = |key: &[u8]| (!key.is_empty()).then(|| STANDARD.encode(key));
    Some(wire::TpmKeys {
        endorsement_key: text(&identify.tpm_endorsement_key)?,
        storage_root_key: text(&identify.tpm_storage_root_key),
    })
}

/// The answer is one to our question.
pub(super) fn check(
    allocation: &wire::Allocation,
    registration_id: &str,
    asked: &[wire::Attestation],
) -> Result<(), PairingError> {
    let wrong = |what: &str| Err(PairingError::with_detail(ErrorCode::ApiAnswerInvalid, what));
    if !allocation.registration_id.eq_ignore_ascii_case(registration_id) {
        return wrong("the allocation is for another registration ID");
    }
    if !asked.contains(&allocation.attestation) {
        return wrong("the allocation is for an attestation that was not offered");
    }
    if allocation.id_scope.is_empty() || allocation.global_device_endpoint.is_empty() {
        return wrong("the allocation has no ID scope or endpoint");
    }
    Ok(())
}

pub(super) fn certificate_request(handoff_id: Uuid, csr: &[u8]) -> wire::CertificateRequest {
    wire::CertificateRequest { handoff_id, csr: STANDARD.encode(csr) }
}

pub(super) fn chain(answer: &wire::CertificateResponse) -> Result<Credential, PairingError> {
    let chain: Result<Vec<_>, _> = answer.certificate_chain.iter().map(|der| STANDARD.decode(der)).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(Credential::Chain(chain)),
        _ => Err(PairingError::with_detail(ErrorCode::ApiAnswerInvalid, "the certificate chain cannot be read")),
    }
}

pub(super) fn key(answer: wire::SymmetricKeyResponse) -> Result<Credential, PairingError> {
    let text = Zeroizing::new(answer.key);
    match STANDARD.decode(text.as_bytes()).map(Zeroizing::new) {
        Ok(key) if (16..=64).contains(&key.len()) => Ok(Credential::Key(key)),
        _ => Err(PairingError::with_detail(ErrorCode::ApiAnswerInvalid, "the key cannot be read")),
    }
}

/// The request that stages the configuration, and the digest that both sides must come to.
pub(super) fn stage(
    handoff_id: Uuid,
    allocation: &wire::Allocation,
    credential: &Credential,
    new_owner: Vec<u8>,
    identify: &IdentifyResponse,
) -> Result<(Request, [u8; dps_config::DIGEST_LEN]), PairingError> {
    let endpoint_ca = match &allocation.endpoint_ca {
        None => Vec::new(),
        Some(pem) => CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(|der| der.map(|der| der.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| PairingError::with_detail(ErrorCode::ApiAnswerInvalid, "endpointCa is not PEM"))?,
    };
    let mut config = Config {
        id_scope: allocation.id_scope.clone(),
        global_device_endpoint: allocation.global_device_endpoint.clone(),
        registration_id: allocation.registration_id.clone(),
        credential: Some(match credential {
            Credential::Chain(chain) => config::Credential::X509(X509Credential { certificate_chain: chain.clone() }),
            Credential::Key(key) => config::Credential::SymmetricKey(SymmetricKeyCredential { key: key.to_vec() }),
            Credential::Tpm => config::Credential::Tpm(TpmCredential {}),
        }),
        endpoint_ca,
        owner_public_key: new_owner,
        // Older firmware would pass it over in silence.
        certificate_from_dps: allocation.certificate_from_dps && identify.certificate_from_dps,
    };
    let encoded = config.encode_to_vec();
    if let Some(config::Credential::SymmetricKey(credential)) = &mut config.credential {
        credential.key.zeroize();
    }
    Ok(client::stage_encoded(handoff_id.as_bytes(), LEASE_S, encoded, None))
}

/// Puts the owner's word under the request.
pub(super) fn sign(request: &mut Request, owner: OwnerSignature) {
    if let Some(request::Body::Stage(stage)) = &mut request.body {
        (stage.owner_signature, stage.signature_expires) = (owner.signature, owner.expires);
    }
}

/// The credential is not needed any more.
pub(super) fn wipe(request: &mut Request) {
    if let Some(request::Body::Stage(stage)) = &mut request.body {
        stage.config.zeroize();
    }
}
