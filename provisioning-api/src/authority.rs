//! The CA that signs devices' certificates, and what it asks of a certificate request.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use zeroize::Zeroizing;

use crate::config::DeviceCa;
use crate::registration_id::RegistrationId;
use crate::store::now;
use crate::vault::VaultError;

/// A certificate is valid from a little before it is made: devices' clocks disagree with ours.
const SLACK: Duration = Duration::from_secs(60 * 60);

/// A CA that is made here, in seconds: ten years.
pub(crate) const CA_VALIDITY: u64 = 10 * 365 * 24 * 60 * 60;

pub(crate) struct Authority {
    /// SHA-256 of the certificate, hexadecimal.
    pub(crate) fingerprint: String,
    /// The signing certificate, for the enrollment group.
    pub(crate) certificate_pem: String,
    /// What a device sends after its own certificate: the signing certificate and those above it, self-signed ones left out.
    pub(crate) intermediates: Vec<Vec<u8>>,
    /// Milliseconds since 1970.
    pub(crate) not_after: i64,
    issuer_der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that was signed.
pub(crate) struct Issued {
    pub(crate) serial: String,
    pub(crate) der: Vec<u8>,
    /// Milliseconds since 1970.
    pub(crate) not_after: i64,
}

/// Why there is no CA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A file cannot be read.
    #[error("cannot read {0}")]
    Unreadable(std::path::PathBuf, #[source] std::io::Error),
    /// The certificates or the key are not what they should be.
    #[error("the device CA is not usable: {0}")]
    Unusable(&'static str),
    /// Making or reading a certificate failed.
    #[error("the device CA's certificate is not usable")]
    Certificate(#[from] rcgen::Error),
    /// Its key cannot be kept or had.
    #[error("the device CA's key cannot be kept or had")]
    Vault(#[from] VaultError),
    /// The database.
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
}

/// Why a certificate request is not signed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum CsrError {
    #[error("it is no PKCS#10 request in DER")]
    NotARequest,
    #[error("its signature is not by its own key")]
    Signature,
    #[error("its common name is not the registration ID")]
    Name,
    #[error("its key must be P-256, RSA of 2048 to 8192 bits, or, where the DPS instance takes it, Ed25519")]
    Key,
    #[error("it cannot be signed")]
    Signing,
    #[error("the CA ends too soon to sign it")]
    CaEnds,
}

impl Authority {
    /// The operator's own.
    pub(crate) fn from_files(files: &DeviceCa) -> Result<Self, AuthorityError> {
        let key = Zeroizing::new(read(&files.key)?);
        let pem = read(&files.certificates)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| AuthorityError::Unusable("its certificates are no PEM"))?;
        Self::from_parts(&chain, &key)
    }

    /// One that was made here; its key is PKCS#8 in PEM.
    pub(crate) fn from_database(certificate: Vec<u8>, key_pem: &[u8]) -> Result<Self, AuthorityError> {
        let key = Zeroizing::new(String::from_utf8_lossy(key_pem).into_owned());
        Self::from_parts(&[CertificateDer::from(certificate)], &key)
    }

    /// A new one, and its key (PKCS#8 in PEM) to be kept.
    pub(crate) fn make() -> Result<(Self, Zeroizing<String>), AuthorityError> {
        let (certificate, key) = make(CA_VALIDITY)?;
        Ok((Self::from_parts(&[certificate], &key)?, key))
    }

    /// Where the vault keeps its key.
    pub(crate) fn secret_name(fingerprint: &str) -> String {
        format!("device-ca-key/{fingerprint}")
    }

    /// Its enrollment group. The CA is part of the name, so that a new CA gets a group of its own and devices of the old one
    /// stay enrolled.
    pub(crate) fn group_id(fingerprint: &str) -> String {
        format!("lowtouch-x509-{}", fingerprint.get(..16).unwrap_or(fingerprint))
    }

    /// Its certificate.
    pub(crate) fn certificate_der(&self) -> &[u8] {
        self.issuer_der.as_slice()
    }

    fn from_parts(chain: &[CertificateDer<'static>], key_pem: &str) -> Result<Self, AuthorityError> {
        let first = chain.first().ok_or(AuthorityError::Unusable("there is no certificate"))?;
        let mut intermediates = Vec::new();
        for certificate in chain {
            let parsed = parse(certificate)?;
            if parsed.subject() != parsed.issuer() {
                intermediates.push(certificate.to_vec());
            }
        }
        let parsed = parse(first)?;
        if !parsed.is_ca() {
            return Err(AuthorityError::Unusable("its first certificate is no CA's"));
        }
        let key = KeyPair::from_pem(key_pem)?;
        if rcgen::PublicKeyData::subject_public_key_info(&key) != parsed.public_key().raw {
            return Err(AuthorityError::Unusable("the key is not its first certificate's"));
        }
        let not_after = parsed.validity().not_after.timestamp().saturating_mul(1000);
        Ok(Self {
            fingerprint: hex::encode(Sha256::digest(first)),
            certificate_pem: pem::encode(&pem::Pem::new("CERTIFICATE", first.to_vec())),
            intermediates,
            not_after,
            issuer_der: first.to_vec(),
            issuer: Issuer::from_ca_cert_der(first, key)?,
        })
    }

    /// Signs a request for this device. Of the request only the key is taken; name, use and validity are ours.
    pub(crate) fn sign(
        &self,
        csr: &[u8],
        id: &RegistrationId,
        validity: Duration,
        keys: Keys,
    ) -> Result<Issued, CsrError> {
        let key = check(csr, id, keys)?;
        let mut serial = [0_u8; 20];
        getrandom::fill(&mut serial).map_err(|_| CsrError::Signing)?;
        // Positive and of full length, as RFC 5280 4.1.2.2 asks; 158 random bits are left.
        serial[0] = serial[0] & 0x7f | 0x40;
        // Of a short life the slack is a small part, too: a device renews by the shares of it.
        let start = now() / 1000 - SLACK.min(validity / 10).as_secs() as i64;
        let end = (now() / 1000 + validity.as_secs() as i64).min(self.not_after / 1000);
        if end <= now() / 1000 {
            return Err(CsrError::CaEnds);
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = name(id.as_str());
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(start.max(0) as u64);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(end.max(0) as u64);
        let certificate = params.signed_by(&key, &self.issuer).map_err(|_| CsrError::Signing)?;
        Ok(Issued { serial: hex::encode(serial), der: certificate.der().to_vec(), not_after: end * 1000 })
    }

    /// A certificate (DER) for a verification code of DPS: it proves that we hold the CA's key, and is good for nothing else.
    pub(crate) fn sign_verification(&self, code: &str) -> Option<Vec<u8>> {
        let key = KeyPair::generate().ok()?;
        let start = (now() / 1000 - SLACK.as_secs() as i64).max(0) as u64;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(code);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(start);
        params.not_after = params.not_before + SLACK * 24;
        Some(params.signed_by(&key, &self.issuer).ok()?.der().to_vec())
    }

    /// The chain that a device gets: its own certificate first.
    pub(crate) fn chain(&self, leaf: &[u8]) -> Vec<String> {
        std::iter::once(leaf)
            .chain(self.intermediates.iter().map(Vec::as_slice))
            .map(|der| STANDARD.encode(der))
            .collect()
    }
}

/// SHA-256 (hexadecimal) of the key that a request (DER) is for: the same in every request of that key.
pub(crate) fn key_digest(csr: &[u8]) -> Result<String, CsrError> {
    let (_, request) = X509CertificationRequest::from_der(csr).map_err(|_| CsrError::NotARequest)?;
    Ok(hex::encode(Sha256::digest(request.certification_request_info.subject_pki.raw)))
}

/// Which kinds of keys devices may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// P-256, and RSA from 2048 bits.
    EveryDps,
    /// Ed25519 as well: the DPS instance takes it.
    WithEd25519,
}

/// What is asked of a request; its key, when all is well.
fn check(csr: &[u8], id: &RegistrationId, keys: Keys) -> Result<SubjectPublicKeyInfo, CsrError> {
    let (rest, request) = X509CertificationRequest::from_der(csr).map_err(|_| CsrError::NotARequest)?;
    if !rest.is_empty() {
        return Err(CsrError::NotARequest);
    }
    let info = &request.certification_request_info;
    let mut names = info.subject.iter_common_name();
    let same =
        names.next().and_then(|name| name.as_str().ok()).is_some_and(|name| name.eq_ignore_ascii_case(id.as_str()));
    if !same || names.next().is_some() {
        return Err(CsrError::Name);
    }
    let key = &info.subject_pki;
    // From RFC 5480 (2.1.1.1: prime256v1) and RFC 8410 (3: id-Ed25519).
    let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
    let good = match key.parsed() {
        Ok(PublicKey::EC(_)) => curve.as_deref() == Some("1.2.840.10045.3.1.7"),
        Ok(PublicKey::RSA(rsa)) => (2048..=8192).contains(&rsa.key_size()),
        _ => keys == Keys::WithEd25519 && key.algorithm.algorithm.to_id_string() == "1.3.101.112",
    };
    if !good {
        return Err(CsrError::Key);
    }
    request.verify_signature().map_err(|_| CsrError::Signature)?;
    SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| CsrError::Key)
}

fn make(validity: u64) -> Result<(CertificateDer<'static>, Zeroizing<String>), AuthorityError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&format!("Lowtouch device CA {:08x}", rand::random::<u32>()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let start = (now() / 1000 - SLACK.as_secs() as i64).max(0) as u64;
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(start);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(start + validity);
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().clone(), Zeroizing::new(key.serialize_pem())))
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// When a certificate (DER) ends, in seconds since 1970.
pub(crate) fn ends(certificate: &[u8]) -> Result<i64, AuthorityError> {
    let certificate = CertificateDer::from(certificate.to_vec());
    Ok(parse(&certificate)?.validity().not_after.timestamp())
}

fn parse<'a>(certificate: &'a CertificateDer<'static>) -> Result<X509Certificate<'a>, AuthorityError> {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed)
        .map_err(|_| AuthorityError::Unusable("a certificate of it is none"))
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    std::fs::read_to_string(path).map_err(|error| AuthorityError::Unreadable(path.into(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    fn id(text: &str) -> RegistrationId {
        RegistrationId::parse(text).unwrap()
    }

    fn csr(common_name: &str, algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(common_name);
        // What a request asks for beside its key is not granted.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.serialize_request(&KeyPair::generate_for(algorithm).unwrap()).unwrap().der().to_vec()
    }

    fn authority() -> Authority {
        let (certificate, key) = make(CA_VALIDITY).unwrap();
        Authority::from_parts(&[certificate], &key).unwrap()
    }

    fn fixture(text: &str) -> Vec<u8> {
        pem::parse(text).unwrap().into_contents()
    }

    #[test]
    fn a_good_request_gets_a_client_certificate_in_the_inventorys_spelling() {
        let authority = authority();
        for request in [
            csr("sn-1", &rcgen::PKCS_ECDSA_P256_SHA256),
            csr("SN-1", &rcgen::PKCS_ED25519),
            fixture(include_str!("../tests/data/rsa2048.csr.pem")),
        ] {
            let issued = authority.sign(&request, &id("SN-1"), YEAR, Keys::WithEd25519).unwrap();
            let (_, leaf) = X509Certificate::from_der(&issued.der).unwrap();
            let common_names: Vec<_> = leaf.subject().iter_common_name().map(|name| name.as_str().unwrap()).collect();
            assert_eq!(common_names, ["SN-1"]);
            let usage = leaf.extended_key_usage().unwrap().unwrap().value;
            assert!(usage.client_auth && !usage.server_auth);
            assert!(!leaf.is_ca());
            assert_eq!(issued.serial.len(), 40);
            assert_eq!(leaf.validity().not_after.timestamp() * 1000, issued.not_after);
            let pem = pem::parse(&authority.certificate_pem).unwrap();
            let (_, ca) = X509Certificate::from_der(pem.contents()).unwrap();
            leaf.verify_signature(Some(ca.public_key())).unwrap();
            assert_eq!(authority.chain(&issued.der).len(), 1, "the self-signed CA is left out");
        }
    }

    #[test]
    fn bad_requests_are_refused_each_with_its_reason() {
        let authority = authority();
        let refuse = |csr: &[u8]| authority.sign(csr, &id("SN-1"), YEAR, Keys::EveryDps).err().unwrap();
        let good = csr("SN-1", &rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(refuse(b"nonsense"), CsrError::NotARequest);
        assert_eq!(refuse(&[good.as_slice(), b"x"].concat()), CsrError::NotARequest);
        assert_eq!(refuse(&csr("SN-2", &rcgen::PKCS_ECDSA_P256_SHA256)), CsrError::Name);
        assert_eq!(refuse(&csr("SN-1", &rcgen::PKCS_ECDSA_P384_SHA384)), CsrError::Key);
        assert_eq!(refuse(&csr("SN-1", &rcgen::PKCS_ED25519)), CsrError::Key);
        assert_eq!(refuse(&fixture(include_str!("../tests/data/rsa1024.csr.pem"))), CsrError::Key);
        let mut changed = good.clone();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert!(matches!(refuse(&changed), CsrError::Signature | CsrError::NotARequest));
    }

    #[test]
    fn nothing_outlives_the_ca() {
        let authority = authority();
        let issued =
            authority.sign(&csr("a", &rcgen::PKCS_ECDSA_P256_SHA256), &id("a"), 100 * YEAR, Keys::EveryDps).unwrap();
        assert_eq!(issued.not_after, authority.not_after);
    }
}
