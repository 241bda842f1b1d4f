//! The server's own certificate: read from the TLS folder, or made there for a first try.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::store::now;
use crate::vault::write_private;

/// What is made here ends after a year: it is for trying things out.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(crate) struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) ca_pem: String,
    pub(crate) ca_file: PathBuf,
}

/// Why the server has no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file of the TLS folder cannot be read or written.
    #[error("cannot use {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// A file of the TLS folder does not hold what it should.
    #[error("{0} is not usable")]
    Unusable(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Making a certificate failed.
    #[error("cannot make a certificate")]
    Making(#[from] rcgen::Error),
}

impl Tls {
    pub(crate) fn open(folder: &Path) -> Result<Self, TlsError> {
        std::fs::create_dir_all(folder).map_err(|error| TlsError::File(folder.into(), error))?;
        let (ca_file, chain_file, key_file) =
            (folder.join("ca.pem"), folder.join("server.pem"), folder.join("server.key"));
        if !chain_file.exists() && !key_file.exists() {
            make(&ca_file, &chain_file, &key_file)?;
            tracing::warn!(folder = %folder.display(), "made a CA and a certificate for localhost, which nobody but this folder's readers trusts; for the field, put your own there");
        }
        let ca_pem = read(&ca_file)?;
        let key_pem = Zeroizing::new(read(&key_file)?);
        let chain: Vec<_> = CertificateDer::pem_slice_iter(read(&chain_file)?.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| TlsError::Unusable(chain_file.clone(), error.into()))?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|error| TlsError::Unusable(key_file.clone(), error.into()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| TlsError::Unusable(chain_file, error.into()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), ca_pem, ca_file })
    }
}

fn make(ca_file: &Path, chain_file: &Path, key_file: &Path) -> Result<(), TlsError> {
    let start =
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(now().max(0) as u64) - Duration::from_secs(60 * 60);
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, format!("Lowtouch local CA {:08x}", rand::random::<u32>()));
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (ca.not_before, ca.not_after) = (start, start + VALIDITY);
    let ca_certificate = ca.self_signed(&ca_key)?;

    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(String::from))?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.is_ca = IsCa::ExplicitNoCa;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    (server.not_before, server.not_after) = (start, start + VALIDITY);
    // The CA's key is dropped here: nothing else is ever signed under this CA.
    let certificate = server.signed_by(&key, &Issuer::new(ca, ca_key))?;

    let write =
        |path: &Path, text: &str| std::fs::write(path, text).map_err(|error| TlsError::File(path.into(), error));
    write_private(key_file, Zeroizing::new(key.serialize_pem()).as_bytes())
        .map_err(|error| TlsError::File(key_file.into(), error))?;
    write(ca_file, &ca_certificate.pem())?;
    write(chain_file, &certificate.pem())
}

fn read(path: &Path) -> Result<String, TlsError> {
    std::fs::read_to_string(path).map_err(|error| TlsError::File(path.into(), error))
}
