//! The device's own P-256 key pair: made by the device, kept by the device.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use zeroize::Zeroizing;

use crate::storage::{Flash, StorageError};

const RECORD: &str = "key";

/// The private key never leaves this device; only [`DeviceKey::csr`] does.
pub struct DeviceKey {
    pair: KeyPair,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The flash.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The cryptography.
    #[error("the device's key cannot be made or used")]
    Crypto(#[from] rcgen::Error),
}

impl DeviceKey {
    /// The key in the flash, or a new one. A damaged one is set aside: its certificate is worth nothing without it, and
    /// a new hand-off brings another.
    pub fn load_or_make(flash: &Flash) -> Result<Self, KeyError> {
        let kept = match flash.read(RECORD) {
            Ok(kept) => kept,
            Err(error @ StorageError::Damaged { .. }) => {
                let aside = flash.set_aside(RECORD)?;
                tracing::error!(%error, aside = %aside.display(), "the device key is lost; a new one is made");
                None
            }
            Err(error) => return Err(error.into()),
        };
        match kept {
            Some(der) => Self::of_pkcs8(&der),
            None => {
                let made = Self::make()?;
                flash.write(RECORD, made.pair.serialized_der())?;
                Ok(made)
            }
        }
    }

    /// A new key, which is nowhere yet.
    pub(crate) fn make() -> Result<Self, KeyError> {
        Ok(Self { pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)? })
    }

    /// A key that was kept: PKCS#8 DER.
    pub(crate) fn of_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let der = rustls::pki_types::PrivatePkcs8KeyDer::from(der);
        Ok(Self { pair: KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)? })
    }

    /// DER PKCS#10 whose common name is the registration ID.
    pub fn csr(&self, registration_id: &str) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, registration_id);
        Ok(params.serialize_request(&self.pair)?.der().to_vec())
    }

    /// SubjectPublicKeyInfo DER.
    pub fn public_key(&self) -> Vec<u8> {
        use rcgen::PublicKeyData as _;
        self.pair.subject_public_key_info()
    }

    /// PKCS#8 DER, for the TLS client of this very device.
    pub(crate) fn private_key(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.pair.serialized_der().to_vec())
    }
}

impl std::fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::FaultPlan;
    use crate::power::Power;

    fn flash(folder: &std::path::Path) -> Flash {
        let power = Power::new(FaultPlan::default()).switch_on();
        Flash::open(folder, power).unwrap()
    }

    #[test]
    fn the_key_outlives_a_reboot_and_its_csr_names_the_registration_id() {
        let folder = tempfile::tempdir().unwrap();
        let made = DeviceKey::load_or_make(&flash(folder.path())).unwrap();
        let loaded = DeviceKey::load_or_make(&flash(folder.path())).unwrap();
        assert_eq!(made.public_key(), loaded.public_key());
        let csr = loaded.csr("dev-1").unwrap();
        use x509_parser::prelude::{FromDer as _, X509CertificationRequest};
        let (_, csr) = X509CertificationRequest::from_der(&csr).unwrap();
        csr.verify_signature().unwrap();
        assert_eq!(csr.certification_request_info.subject.to_string(), "CN=dev-1");
    }

    #[test]
    fn a_damaged_key_is_set_aside_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let made = DeviceKey::load_or_make(&flash(folder.path())).unwrap();
        std::fs::write(folder.path().join("key"), b"-----BEGIN").unwrap();
        let other = DeviceKey::load_or_make(&flash(folder.path())).unwrap();
        assert_ne!(made.public_key(), other.public_key());
        assert!(folder.path().join("key.damaged").exists());
    }
}
