//! What a device checks in a `Config` before it keeps it.

use super::OwnerKey;
use crate::wire::dps_config::{Attestation, Config, Result as Code, config::Credential};

// Longest values, in bytes or entries. Azure's own ID scopes have 11 characters; 253 is the longest DNS name; a P-256
// SubjectPublicKeyInfo has 91 bytes, an Ed25519 one 44.
const MAX_ID_SCOPE: usize = 64;
const MAX_ENDPOINT: usize = 253 + 6;
const MAX_CERTIFICATES: usize = 8;
const MAX_OWNER_KEY: usize = 128;

/// Why a config is refused: the code that the device answers, and words for its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The answer's `result`.
    pub code: Code,
    /// The answer's `text`.
    pub text: &'static str,
}

/// Checks everything about a config that needs no key and no storage: lengths, characters, and that it is for this
/// device.
///
/// # Errors
/// What a device must answer.
pub fn check(config: &Config, registration_id: &str, attestations: &[Attestation]) -> Result<(), Refused> {
    let scope = config.id_scope.as_bytes();
    if scope.is_empty() {
        return refuse(Code::Invalid, "no ID scope");
    }
    if scope.len() > MAX_ID_SCOPE || config.global_device_endpoint.len() > MAX_ENDPOINT {
        return refuse(Code::TooLarge, "ID scope or endpoint too long");
    }
    if !scope.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'-' || *c == b'_') {
        return refuse(Code::Invalid, "the ID scope has other characters than letters and digits");
    }
    if !is_host_port(&config.global_device_endpoint) {
        return refuse(Code::Invalid, "the endpoint is not host or host:port");
    }
    let Some(credential) = &config.credential else {
        return refuse(Code::Invalid, "no credential");
    };
    let chain = match credential {
        Credential::X509(x509) => x509.certificate_chain.as_slice(),
        Credential::SymmetricKey(_) | Credential::Tpm(_) => &[],
    };
    if chain.len() > MAX_CERTIFICATES || config.endpoint_ca.len() > MAX_CERTIFICATES {
        return refuse(Code::TooLarge, "too many certificates");
    }
    if config.owner_public_key.len() > MAX_OWNER_KEY {
        return refuse(Code::TooLarge, "the owner's key is too long");
    }
    // Whoever takes a key that nobody can verify with belongs to nobody who could ever sign.
    if !config.owner_public_key.is_empty() && OwnerKey::parse(&config.owner_public_key).is_none() {
        return refuse(Code::Invalid, "the owner's key is neither P-256 nor Ed25519");
    }
    if !config.registration_id.eq_ignore_ascii_case(registration_id) {
        return refuse(Code::WrongRegistrationId, "for another registration ID");
    }
    let needs = match credential {
        Credential::X509(_) => Attestation::X509,
        Credential::SymmetricKey(_) => Attestation::SymmetricKey,
        Credential::Tpm(_) => Attestation::Tpm,
    };
    if !attestations.contains(&needs) {
        return refuse(Code::Unsupported, "this device cannot do that attestation");
    }
    match credential {
        Credential::X509(_) if chain.is_empty() || chain.iter().any(Vec::is_empty) => {
            return refuse(Code::Credential, "no certificate, or an empty one");
        }
        Credential::SymmetricKey(key) if !(16..=64).contains(&key.key.len()) => {
            return refuse(Code::Credential, "the key has not 16 to 64 bytes");
        }
        _ => {}
    }
    Ok(())
}

fn refuse(code: Code, text: &'static str) -> Result<(), Refused> {
    Err(Refused { code, text })
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn is_host_port(endpoint: &str) -> bool {
    let (host, port) = match endpoint.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, rest)) => {
            let v6_fits = !v6.is_empty() && v6.bytes().all(|c| c.is_ascii_hexdigit() || c == b':' || c == b'.');
            if !v6_fits || !(rest.is_empty() || rest.starts_with(':')) {
                return false;
            }
            return rest.is_empty() || is_port(&rest[1..]);
        }
        None => match endpoint.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (endpoint, None),
        },
    };
    let host_fits = !host.is_empty() && host.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'.' || c == b'-');
    host_fits && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}
