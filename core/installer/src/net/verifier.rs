use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};

/// Longest name out of a foreign certificate that is shown, in characters.
const MAX_NAME: usize = 80;

/// The platform's verifier, word for word; only that a refusal also says whose certificate it was and when it is valid,
/// so that a person sees a proxy's own CA by its name and an expired certificate by its date.
#[derive(Debug)]
pub(super) struct Telling(pub(super) Arc<dyn ServerCertVerifier>);

/// A certificate that was refused.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    /// Why.
    pub(super) why: CertificateError,
    certificate: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", Error::InvalidCertificate(self.why.clone()), self.certificate)
    }
}

impl std::error::Error for Refused {}

impl ServerCertVerifier for Telling {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match (error, described(end_entity)) {
            (Error::InvalidCertificate(why), Some(certificate)) => {
                Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Refused { why, certificate }))))
            }
            (other, _) => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.0.root_hint_subjects()
    }
}

/// Why the verifier refused, whether or not [`Telling`] said more.
pub(crate) fn reason(error: &Error) -> Option<&CertificateError> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref::<Refused>().map(|refused| &refused.why)
        }
        Error::InvalidCertificate(why) => Some(why),
        _ => None,
    }
}

/// What [`Telling`] said.
pub(super) fn told(error: &Error) -> Option<&Refused> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref::<Refused>(),
        _ => None,
    }
}

fn described(der: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let day = |at: x509_parser::time::ASN1Time| {
        Timestamp::from_second(at.timestamp()).map_or_else(|_| "?".into(), |at| at.strftime("%Y-%m-%d").to_string())
    };
    // Somebody else's words: nothing that could disturb a terminal.
    let name = |name: &x509_parser::x509::X509Name<'_>| -> String {
        name.to_string().chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
    };
    let validity = certificate.validity();
    Some(format!(
        "the certificate is issued by {}, to {}, valid from {} to {}",
        name(certificate.issuer()),
        name(certificate.subject()),
        day(validity.not_before),
        day(validity.not_after),
    ))
}
