//! Certificates for devices in tests: a signing CA for an enrollment group and leaves under it.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, Error, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::tls::named;

/// A CA whose certificate is enrolled as a group's signing certificate. P-256.
pub struct SigningCa {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// The CA certificates between this one and the one that made the first, nearest first.
    above: Vec<String>,
}

/// A device's certificate and key.
pub struct DeviceIdentity {
    /// PEM, leaf first, then the CAs below the one that [`SigningCa::new`] made.
    pub chain_pem: String,
    /// PKCS#8 in PEM.
    pub key_pem: String,
}

impl SigningCa {
    /// Makes a self-signed CA, valid for two years.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn new(common_name: &str) -> Result<Self, Error> {
        Self::new_with(common_name, |_| {})
    }

    /// The same with changed parameters, for tests of certificates that must be refused.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn new_with(common_name: &str, change: impl FnOnce(&mut CertificateParams)) -> Result<Self, Error> {
        let mut params = Self::params(common_name)?;
        change(&mut params);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Self::from_pem(&ca.pem(), &ca.key().serialize_pem())
    }

    /// Takes up a CA that was made before.
    ///
    /// # Errors
    /// When one of them is no PEM of its kind.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, KeyPair::from_pem(key_pem)?)?;
        Ok(Self { certificate_pem: certificate_pem.to_owned(), issuer, above: Vec::new() })
    }

    /// Makes a CA under this one.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn intermediate(&self, common_name: &str) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let certificate_pem = Self::params(common_name)?.signed_by(&key, &self.issuer)?.pem();
        let mut above = vec![certificate_pem.clone()];
        above.extend(self.above.iter().cloned());
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)?;
        Ok(Self { certificate_pem, issuer, above })
    }

    /// Makes a device's certificate: the common name is the registration ID, for client authentication, valid for a year.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn device(&self, registration_id: &str) -> Result<DeviceIdentity, Error> {
        self.device_with(registration_id, |_| {})
    }

    /// The same with changed parameters, for tests of certificates that must be refused.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn device_with(
        &self,
        registration_id: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<DeviceIdentity, Error> {
        let mut params = named(registration_id, 1)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?.pem();
        let chain_pem = std::iter::once(leaf).chain(self.above.iter().cloned()).collect::<Vec<_>>().concat();
        Ok(DeviceIdentity { chain_pem, key_pem: key.serialize_pem() })
    }

    /// What an enrollment group enrolls.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The CA's private key, PKCS#8 in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    fn params(common_name: &str) -> Result<CertificateParams, Error> {
        let mut params = named(common_name, 2)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

impl fmt::Debug for SigningCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningCa").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

impl fmt::Debug for DeviceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceIdentity").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}
