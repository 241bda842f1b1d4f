//! Certificate issuance: the policies that Azure Device Registry keeps for DPS, and their two CAs.
//!
//! Azure's keys are P-384 and its signatures SHA-384; a chain is the device's certificate, the policy's CA and the root.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SubjectPublicKeyInfo,
};
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};
use x509_parser::public_key::PublicKey;

use crate::config::CertificatePolicy;
use crate::tls::named;

/// P-256 and P-384 (RFC 5480, 2.1.1.1).
const CURVES: [&str; 2] = ["1.2.840.10045.3.1.7", "1.3.132.0.34"];

/// What the instance's namespace can issue.
#[derive(Default)]
pub(crate) struct Issuance {
    policies: Vec<CertificatePolicy>,
    authority: Option<Authority>,
}

struct Authority {
    root: Vec<u8>,
    issuing: CertifiedIssuer<'static, KeyPair>,
}

impl Issuance {
    pub(crate) fn new(policies: Vec<CertificatePolicy>) -> Result<Self, Error> {
        let authority = if policies.is_empty() { None } else { Some(Authority::new()?) };
        Ok(Self { policies, authority })
    }

    /// Whether a policy of this name is there.
    pub(crate) fn knows(&self, policy: &str) -> bool {
        self.policies.iter().any(|known| known.name == policy)
    }

    /// The root, in DER: what a hub trusts.
    pub(crate) fn root(&self) -> Option<&[u8]> {
        self.authority.as_ref().map(|authority| authority.root.as_slice())
    }

    /// The chain for a request (DER PKCS#10), or why it is refused.
    pub(crate) fn issue(
        &self,
        policy: &str,
        csr: &[u8],
        registration_id: &str,
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, &'static str> {
        let known = self.policies.iter().find(|known| known.name == policy);
        let (Some(policy), Some(authority)) = (known, &self.authority) else {
            return Err("The enrollment's credential policy is gone.");
        };
        let key = checked(csr, registration_id)?;
        authority.sign(&key, registration_id, policy.valid, now).map_err(|_| "The certificate cannot be issued.")
    }
}

impl Authority {
    fn new() -> Result<Self, Error> {
        let root = CertifiedIssuer::self_signed(params("azure-emulator namespace root", 1)?, key()?)?;
        let issuing = CertifiedIssuer::signed_by(params("azure-emulator credential policy", 0)?, key()?, &root)?;
        Ok(Self { root: root.der().to_vec(), issuing })
    }

    fn sign(
        &self,
        key: &SubjectPublicKeyInfo,
        registration_id: &str,
        valid: Duration,
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, registration_id);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let now = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + now;
        params.not_after = params.not_before + valid;
        let leaf = params.signed_by(key, &self.issuing)?;
        Ok(vec![leaf.der().to_vec(), self.issuing.der().to_vec(), self.root.clone()])
    }
}

fn key() -> Result<KeyPair, Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)
}

fn params(common_name: &str, below: u8) -> Result<CertificateParams, Error> {
    let mut params = named(common_name, 2)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// The request's key: its one name is the registration ID, the key is strong enough, and the request is signed with it.
fn checked(csr: &[u8], registration_id: &str) -> Result<SubjectPublicKeyInfo, &'static str> {
    const NOT_A_REQUEST: &str = "csr is not a certificate request.";
    let Ok(([], request)) = X509CertificationRequest::from_der(csr) else { return Err(NOT_A_REQUEST) };
    let info = &request.certification_request_info;
    let mut names = info.subject.iter_common_name().map(|name| name.as_str().ok());
    let is_ours = names.next().flatten().is_some_and(|name| name.eq_ignore_ascii_case(registration_id));
    if !is_ours || names.next().is_some() {
        return Err("The common name of csr is not the registration ID.");
    }
    let curve = info.subject_pki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    let strong = match info.subject_pki.parsed() {
        Ok(PublicKey::EC(_)) => curve.is_some_and(|oid| CURVES.contains(&oid.to_id_string().as_str())),
        Ok(PublicKey::RSA(rsa)) => rsa.key_size() >= 2048,
        _ => false,
    };
    if !strong {
        return Err("The key of csr is not of a kind that certificates are issued for.");
    }
    request.verify_signature().map_err(|_| "csr is not signed by its own key.")?;
    SubjectPublicKeyInfo::from_der(info.subject_pki.raw).map_err(|_| NOT_A_REQUEST)
}
