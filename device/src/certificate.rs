//! What the device reads in a certificate for its own key.

use x509_parser::prelude::{FromDer as _, X509Certificate};

/// From when to when a certificate is good, in seconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) begins: u64,
    pub(crate) ends: u64,
}

/// Whether the certificate (DER) is for this key (SubjectPublicKeyInfo DER) and for this name alone.
pub(crate) fn is_for(certificate: &[u8], registration_id: &str, public_key: &[u8]) -> bool {
    let Ok(([], certificate)) = X509Certificate::from_der(certificate) else { return false };
    let mut names = certificate.subject().iter_common_name();
    let named =
        names.next().and_then(|name| name.as_str().ok()).is_some_and(|name| name.eq_ignore_ascii_case(registration_id));
    named && names.next().is_none() && certificate.public_key().raw == public_key
}

/// When the certificate (DER) is good; `None` when it says nothing that can be waited for.
pub(crate) fn validity(certificate: &[u8]) -> Option<Validity> {
    let Ok(([], certificate)) = X509Certificate::from_der(certificate) else { return None };
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).ok();
    let (begins, ends) = (seconds(certificate.validity().not_before)?, seconds(certificate.validity().not_after)?);
    (begins < ends).then_some(Validity { begins, ends })
}
