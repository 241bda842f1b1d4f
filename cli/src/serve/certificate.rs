//! The gateway's certificate: the operator's files, or one of its own under a CA that stays.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::failure::Failure;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A certificate of our own ends after a year, and is renewed a month before.
const VALIDITY: Duration = Duration::from_secs(365 * DAY.as_secs());
const RENEWAL: Duration = Duration::from_secs(30 * DAY.as_secs());
/// The CA: whoever trusts it should not have to do so again.
const CA_VALIDITY: Duration = Duration::from_secs(10 * 365 * DAY.as_secs());

/// Where the certificate comes from.
#[derive(Clone)]
pub(crate) enum Certificate {
    Files { chain: PathBuf, key: PathBuf },
    Own { folder: PathBuf, names: Vec<String> },
}

/// A certificate that is served.
pub(crate) struct Opened {
    pub(crate) config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, as browsers show it.
    pub(crate) fingerprint: String,
    /// Of the gateway's own CA.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Certificate {
    /// The operator's.
    pub(crate) fn of_files(chain: PathBuf, key: PathBuf) -> Self {
        Certificate::Files { chain, key }
    }

    /// For these names and addresses, kept in `folder`.
    pub(crate) fn own(folder: PathBuf, names: Vec<String>) -> Self {
        Certificate::Own { folder, names }
    }

    /// Reads it; one of our own is made where there is none, and renewed where it is time or a name is missing.
    pub(crate) fn open(&self) -> Result<Opened, Failure> {
        if let Certificate::Own { folder, names } = self {
            tend(folder, names)?;
        }
        let (chain_file, key_file) = (self.chain(), self.key());
        let chain = certificates(&chain_file)?;
        let key = PrivateKeyDer::from_pem_slice(Zeroizing::new(read(&key_file)?).as_bytes())
            .map_err(|error| unusable(&key_file, error))?;
        let fingerprint = chain.first().map(|leaf| fingerprint(leaf)).unwrap_or_default();
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&chain_file, error))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| unusable(&chain_file, error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let ca_file = matches!(self, Certificate::Own { .. }).then(|| chain_file.with_file_name("ca.pem"));
        Ok(Opened { config: Arc::new(config), fingerprint, ca_file })
    }

    /// Looks at the files from time to time: what changed is served from the next connection on; what cannot be served
    /// is logged, and what was served before goes on. Never ends.
    pub(crate) async fn keep_fresh(self, serving: RustlsConfig, every: Duration) {
        let mut seen = self.changed_at();
        loop {
            tokio::time::sleep(every).await;
            let opened = self.open();
            let now = self.changed_at();
            match opened {
                Ok(opened) if now != seen => serving.reload_from_config(opened.config),
                Ok(_) => {}
                Err(failure) => {
                    tracing::error!(code = %failure.code, "the gateway's certificate is not usable: {failure}")
                }
            }
            seen = now;
        }
    }

    fn changed_at(&self) -> Vec<Option<SystemTime>> {
        [self.chain(), self.key()].iter().map(|file| std::fs::metadata(file).ok()?.modified().ok()).collect()
    }

    fn chain(&self) -> PathBuf {
        match self {
            Certificate::Files { chain, .. } => chain.clone(),
            Certificate::Own { folder, .. } => folder.join("server.pem"),
        }
    }

    fn key(&self) -> PathBuf {
        match self {
            Certificate::Files { key, .. } => key.clone(),
            Certificate::Own { folder, .. } => folder.join("server.key"),
        }
    }
}

/// Makes what is not there, and renews what ends soon or lacks a name. CA and key stay, so that nobody has to trust
/// anything anew.
fn tend(folder: &Path, names: &[String]) -> Result<(), Failure> {
    let (ca_file, ca_key_file) = (folder.join("ca.pem"), folder.join("ca.key"));
    let (chain_file, key_file) = (folder.join("server.pem"), folder.join("server.key"));
    let making = |error: rcgen::Error| unusable(folder, error);
    std::fs::create_dir_all(folder).map_err(|error| Failure::unwritable(folder, error))?;
    if !ca_file.exists() || !ca_key_file.exists() {
        let key = KeyPair::generate().map_err(making)?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "Lowtouch gateway's own CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_for(&mut ca, CA_VALIDITY);
        let certificate = ca.self_signed(&key).map_err(making)?;
        private(&ca_key_file, &key)?;
        replace(&ca_file, certificate.pem().as_bytes())?;
    }
    if !key_file.exists() {
        private(&key_file, &KeyPair::generate().map_err(making)?)?;
    } else if !is_due(&ca_file, &chain_file, names) {
        return Ok(());
    }
    let ca_key = KeyPair::from_pem(&Zeroizing::new(read(&ca_key_file)?)).map_err(making)?;
    let key = KeyPair::from_pem(&Zeroizing::new(read(&key_file)?)).map_err(making)?;
    let issuer = Issuer::from_ca_cert_pem(&read(&ca_file)?, &ca_key).map_err(making)?;
    let mut server = CertificateParams::new(names.to_vec()).map_err(making)?;
    server.distinguished_name.push(DnType::CommonName, "Lowtouch gateway");
    server.is_ca = IsCa::ExplicitNoCa;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    valid_for(&mut server, VALIDITY);
    replace(&chain_file, server.signed_by(&key, &issuer).map_err(making)?.pem().as_bytes())
}

fn is_due(ca_file: &Path, chain_file: &Path, names: &[String]) -> bool {
    let (Ok(chain), Ok(ca)) = (certificates(chain_file), certificates(ca_file)) else { return true };
    let (Some(leaf), Some(ca)) = (chain.first(), ca.first()) else { return true };
    let (Ok((_, leaf)), Ok((_, ca))) = (X509Certificate::from_der(leaf), X509Certificate::from_der(ca)) else {
        return true;
    };
    let known = names_of(&leaf);
    leaf.verify_signature(Some(ca.public_key())).is_err()
        || leaf.validity().not_after.timestamp() - now() < i64::try_from(RENEWAL.as_secs()).unwrap_or(i64::MAX)
        || names.iter().any(|name| !known.contains(name))
}

/// The names and addresses in a certificate.
fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let address = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        _ => <[u8; 16]>::try_from(bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
    };
    names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect()
}

/// From an hour ago, for clocks that are behind, to then.
fn valid_for(params: &mut CertificateParams, validity: Duration) {
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now().unsigned_abs());
    params.not_before = now - Duration::from_secs(60 * 60);
    params.not_after = now + validity;
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let bytes = Sha256::digest(certificate);
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    CertificateDer::pem_slice_iter(read(file)?.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(file, error))
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| Failure::unreadable("certificate file", file, error))
}

fn unusable(file: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    let message = format!("The certificate cannot be used: {}.", file.display());
    Failure::new(Exit::Usage, "certificate-unusable", message)
        .help("It must be PEM text, certificate and key belonging together. Move a damaged serve-tls folder away: a new one is made.")
        .because(error)
}

/// For its owner alone.
fn private(file: &Path, key: &KeyPair) -> Result<(), Failure> {
    let draft = file.with_extension("key.new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let text = Zeroizing::new(key.serialize_pem());
    let written = options.open(&draft).and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    written.and_then(|()| std::fs::rename(&draft, file)).map_err(|error| Failure::unwritable(file, error))
}

/// Wholly or not at all.
fn replace(file: &Path, text: &[u8]) -> Result<(), Failure> {
    let draft = file.with_extension("pem.new");
    std::fs::write(&draft, text)
        .and_then(|()| std::fs::rename(&draft, file))
        .map_err(|error| Failure::unwritable(file, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(extra: &[&str]) -> Vec<String> {
        ["localhost", "127.0.0.1", "::1"].iter().chain(extra).map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn its_own_certificate_is_made_once_and_gets_a_name_that_it_lacks_under_the_same_ca_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let own = |extra: &[&str]| Certificate::own(folder.path().join("tls"), names(extra));
        let first = own(&[]).open().unwrap();
        assert_eq!(own(&[]).open().unwrap().fingerprint, first.fingerprint);
        let ca = std::fs::read(first.ca_file.clone().unwrap()).unwrap();
        let key = std::fs::read(own(&[]).key()).unwrap();
        let second = own(&["gateway.example"]).open().unwrap();
        assert_ne!(second.fingerprint, first.fingerprint);
        assert_eq!(std::fs::read(second.ca_file.unwrap()).unwrap(), ca);
        assert_eq!(std::fs::read(own(&[]).key()).unwrap(), key);
        let chain = certificates(&own(&[]).chain()).unwrap();
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        assert_eq!(names_of(&leaf), names(&["gateway.example"]));
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        Certificate::own(folder.path().into(), names(&[])).open().unwrap();
        for file in ["ca.key", "server.key"] {
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn files_that_are_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        std::fs::write(&chain, "no certificate").unwrap();
        std::fs::write(&key, "no key").unwrap();
        assert_eq!(Certificate::of_files(chain.clone(), key).open().err().unwrap().code, "certificate-unusable");
        let missing = folder.path().join("missing.pem");
        assert_eq!(Certificate::of_files(chain, missing).open().err().unwrap().code, "file-unreadable");
    }
}
