//! TLS towards DPS and the hub: always verified, against the system's roots and those that came with the hand-off.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::{DpsCredential, RegistrationFailure};

pub(crate) fn client_config(
    credential: &DpsCredential,
    endpoint_ca: &[Vec<u8>],
) -> Result<ClientConfig, RegistrationFailure> {
    let mut roots = RootCertStore::empty();
    for der in endpoint_ca {
        roots
            .add(CertificateDer::from(der.as_slice()))
            .map_err(|error| RegistrationFailure::tls(&format!("an endpoint CA cannot be used: {error}")))?;
    }
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "a part of the system's root certificates cannot be read");
    }
    roots.add_parsable_certificates(system.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| RegistrationFailure::tls(&error.to_string()))?
        .with_root_certificates(roots);
    match credential {
        DpsCredential::SymmetricKey(_) | DpsCredential::Tpm(_) => Ok(config.with_no_client_auth()),
        DpsCredential::X509 { chain, key } => {
            let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.to_vec()));
            config.with_client_auth_cert(chain, key).map_err(|error| {
                RegistrationFailure::credential(&format!("the device's certificate cannot be used: {error}"))
            })
        }
    }
}
