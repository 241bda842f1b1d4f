//! X.509 attestation: which certificates a device showed, and whether an enrollment vouches for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use crate::error_body::azure_time;

/// How many certificates may stand between a device and the group's signing certificate. Azure does not say; a chain longer
/// than this is no device's.
const LONGEST_CHAIN: usize = 6;

/// The certificates that the client showed in the TLS handshake, leaf first, in DER. The handshake proved that the client holds the
/// leaf's private key, and nothing else.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShownCertificates(pub(crate) Vec<Vec<u8>>);

impl ShownCertificates {
    /// The leaf's common name.
    pub(crate) fn common_name(&self) -> Option<String> {
        let leaf = parsed(self.0.first()?)?;
        let name = leaf.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
        Some(name)
    }

    /// Whether the leaf is exactly this certificate and valid now: individual enrollments.
    pub(crate) fn is(&self, enrolled: &[u8], now: Timestamp) -> bool {
        self.0.first().is_some_and(|leaf| leaf == enrolled && parsed(leaf).is_some_and(|leaf| is_valid(&leaf, now)))
    }

    /// Whether the leaf chains, over the other shown certificates, to this signing certificate, and everything on the way is
    /// valid now: enrollment groups. The signing certificate itself need not be shown, and need not be a root.
    pub(crate) fn chain_to(&self, signing: &[u8], now: Timestamp) -> bool {
        let Some(signing) = parsed(signing) else { return false };
        let mut shown = self.0.iter().map(|der| parsed(der));
        let Some(Some(leaf)) = shown.next() else { return false };
        let Some(others) = shown.collect::<Option<Vec<_>>>() else { return false };
        if others.len() > LONGEST_CHAIN || !is_valid(&leaf, now) || !may_be_client(&leaf) || !is_valid(&signing, now) {
            return false;
        }
        let mut current = &leaf;
        // How many CA certificates stand below the issuer that is looked at; a path length constraint limits it.
        for below in 0..=LONGEST_CHAIN {
            if has_issued(&signing, current, below) {
                return true;
            }
            let Some(issuer) = others.iter().find(|other| is_valid(other, now) && has_issued(other, current, below))
            else {
                return false;
            };
            current = issuer;
        }
        false
    }
}

/// Reads an enrollment's certificate in any of the forms that the SDKs send: PEM, base64 of PEM, base64 of DER. Gives the DER.
pub(crate) fn enrolled_certificate(text: &str) -> Option<Vec<u8>> {
    let der = if text.contains("-----BEGIN") {
        pem::parse(text).ok()?.into_contents()
    } else {
        let joined: String = text.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(joined).ok()?;
        if bytes.starts_with(b"-----BEGIN") { pem::parse(&bytes).ok()?.into_contents() } else { bytes }
    };
    parsed(&der)?;
    Some(der)
}

/// What Azure shows of an enrolled certificate in place of the certificate itself.
pub(crate) fn info(der: &[u8]) -> Option<Value> {
    let certificate = parsed(der)?;
    let validity = certificate.validity();
    Some(json!({
        "subjectName": certificate.subject().to_string(),
        "sha256Thumbprint": thumbprint(der),
        "issuerName": certificate.issuer().to_string(),
        "notBeforeUtc": azure_time(Timestamp::from_second(validity.not_before.timestamp()).ok()?),
        "notAfterUtc": azure_time(Timestamp::from_second(validity.not_after.timestamp()).ok()?),
        "serialNumber": hex::encode_upper(certificate.raw_serial()),
        "version": certificate.version().0 + 1,
    }))
}

/// SHA-256 of the DER, in capitals.
pub(crate) fn thumbprint(der: &[u8]) -> String {
    hex::encode_upper(Sha256::digest(der))
}

/// Whether it may sign others: a CA, and, where its key usage is limited, limited to that among others.
pub(crate) fn is_authority(der: &[u8]) -> bool {
    parsed(der).is_some_and(|certificate| may_sign(&certificate))
}

/// Whether every certificate can be read.
pub(crate) fn are_well_formed<'a>(mut ders: impl Iterator<Item = &'a [u8]>) -> bool {
    ders.all(|der| parsed(der).is_some())
}

fn parsed(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

fn is_valid(certificate: &X509Certificate<'_>, now: Timestamp) -> bool {
    ASN1Time::from_timestamp(now.as_second()).is_ok_and(|now| certificate.validity().is_valid_at(now))
}

fn may_be_client(leaf: &X509Certificate<'_>) -> bool {
    match leaf.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.any || usage.value.client_auth,
        Err(_) => false,
    }
}

fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    certificate.is_ca()
        && match certificate.key_usage() {
            Ok(None) => true,
            Ok(Some(usage)) => usage.value.key_cert_sign(),
            Err(_) => false,
        }
}

fn has_issued(issuer: &X509Certificate<'_>, subject: &X509Certificate<'_>, below: usize) -> bool {
    let long_enough = match issuer.basic_constraints() {
        Ok(Some(constraints)) => constraints
            .value
            .path_len_constraint
            .is_none_or(|longest| u32::try_from(below).is_ok_and(|below| below <= longest)),
        _ => false,
    };
    subject.issuer().as_raw() == issuer.subject().as_raw()
        && may_sign(issuer)
        && long_enough
        && subject.verify_signature(Some(issuer.public_key())).is_ok()
}
