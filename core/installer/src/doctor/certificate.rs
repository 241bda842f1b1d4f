//! What a server shows as its certificate, whether or not it is trusted.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::finding::shown;
use crate::net::reason;

/// Watches verifications: it notes the certificate and how the real verifier decided, and decides nothing itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Option<Certificate>>>);

/// A certificate and the verdict on it.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    /// `CN=…, O=…`, what could disturb a terminal taken out; `None`: not readable.
    pub(super) issuer: Option<String>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) not_after: Option<Timestamp>,
    /// `None`: trusted. Without what [`Net`](crate::net::Net) wraps around it.
    pub(super) refused: Option<rustls::Error>,
}

impl Watch {
    pub(super) fn seen(&self) -> Option<Certificate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn over(&self, verifier: Arc<dyn ServerCertVerifier>) -> Arc<dyn ServerCertVerifier> {
        Arc::new(Watched { verifier, watch: self.clone() })
    }

    fn note(&self, certificate: &CertificateDer<'_>, verdict: &Result<ServerCertVerified, rustls::Error>) {
        let refused = verdict.as_ref().err().map(|error| match reason(error) {
            Some(reason) => rustls::Error::InvalidCertificate(reason.clone()),
            None => error.clone(),
        });
        let seen = match x509_parser::parse_x509_certificate(certificate) {
            Ok((_, certificate)) => {
                let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
                Certificate {
                    issuer: Some(shown(&certificate.issuer().to_string())),
                    not_before: at(certificate.validity().not_before),
                    not_after: at(certificate.validity().not_after),
                    refused,
                }
            }
            Err(_) => Certificate { issuer: None, not_before: None, not_after: None, refused },
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

#[derive(Debug)]
struct Watched {
    verifier: Arc<dyn ServerCertVerifier>,
    watch: Watch,
}

impl ServerCertVerifier for Watched {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        self.watch.note(end_entity, &verdict);
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[rustls::DistinguishedName]> {
        self.verifier.root_hint_subjects()
    }
}

/// Whether the issuer is known to sell or make programs that open TLS. Only for words: nothing is trusted for it.
pub(super) fn is_inspector(issuer: &str) -> bool {
    const NAMES: [&str; 28] = [
        "zscaler",
        "fortinet",
        "fortigate",
        "palo alto",
        "netskope",
        "blue coat",
        "bluecoat",
        "umbrella",
        "sophos",
        "mcafee",
        "kaspersky",
        "avast",
        "bitdefender",
        "check point",
        "checkpoint",
        "forcepoint",
        "barracuda",
        "untangle",
        "mitmproxy",
        "charles proxy",
        "fiddler",
        "portswigger",
        "squid",
        "watchguard",
        "trend micro",
        "websense",
        "cato networks",
        "iboss",
    ];
    let issuer = issuer.to_lowercase();
    NAMES.iter().any(|name| issuer.contains(name))
}
