//! The server's own certificate: read from the TLS folder, or made there for a first try; and looked after while it runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::app::App;
use crate::authorities;
use crate::store::now;
use crate::vault::write_private;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate that is made here ends after a year, and is renewed a month before.
const VALIDITY: Duration = Duration::from_secs(365 * DAY.as_secs());
const RENEWAL: Duration = Duration::from_secs(30 * DAY.as_secs());

/// The CA that is made here: whoever trusts it should not have to do so again.
const CA_VALIDITY: Duration = Duration::from_secs(10 * 365 * DAY.as_secs());

/// Where the certificate comes from, and whose certificates devices may show.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    folder: PathBuf,
    /// CAs of devices; none: nobody is asked for a certificate.
    zero_touch_ca: Vec<PathBuf>,
    /// Of a certificate that is made here.
    names: Vec<String>,
    trust: Trust,
}

/// Whose certificates devices may show, beside those of our own device CAs: the CAs for zero-touch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust(Arc<RwLock<Option<Arc<dyn ClientCertVerifier>>>>);

impl Trust {
    /// Whether one of these stands above a certificate. TLS has found that one of them, or one of our own, does.
    pub(crate) fn is_factorys(&self, leaf: &CertificateDer<'_>, above: &[CertificateDer<'_>]) -> bool {
        let verifier = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        verifier.is_some_and(|verifier| verifier.verify_client_cert(leaf, above, UnixTime::now()).is_ok())
    }
}

pub(crate) struct Tls {
    pub(crate) ca_pem: String,
    pub(crate) ca_file: PathBuf,
    pub(crate) files: Files,
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
    /// Reads the certificate, or makes one for localhost and `host`.
    pub(crate) fn open(folder: &Path, zero_touch_ca: &[PathBuf], host: Option<&str>) -> Result<Self, TlsError> {
        std::fs::create_dir_all(folder).map_err(|error| TlsError::File(folder.into(), error))?;
        let mut names = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
        names.extend(host.map(str::to_owned).filter(|host| !names.contains(host)));
        let trust = Trust::default();
        let files = Files { folder: folder.into(), zero_touch_ca: zero_touch_ca.to_vec(), names, trust };
        if !files.chain().exists() && !files.key().exists() {
            files.make(VALIDITY)?;
            tracing::warn!(folder = %folder.display(), "made a CA and a certificate for localhost, which nobody but this folder's readers trusts; for the field, put your own there");
        }
        files.renew()?;
        let ca_file = files.ca();
        Ok(Self { ca_pem: read(&ca_file)?, ca_file, files })
    }
}

impl Files {
    fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The key of a CA that was made here; an operator's own is not in this folder.
    fn ca_key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    fn chain(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    /// Looks at the files from time to time: what changed is served from the next connection on, what cannot be served is told
    /// once, and what was served before goes on. The same for the device CAs, which other replicas change as well. Never ends.
    pub(crate) async fn keep_fresh(self, serving: RustlsConfig, mut device_cas: Vec<Vec<u8>>, app: Arc<App>) {
        let mut seen = self.state();
        loop {
            let _ = tokio::time::timeout(app.limits.tls_check, app.authorities.changed.notified()).await;
            let now = authorities::certificates(&app.store).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the device CAs cannot be read");
                device_cas.clone()
            });
            let changed = now != device_cas;
            device_cas = now;
            let (files, own) = (self.clone(), device_cas.clone());
            // Small files; but a folder may be on a network.
            let looked = tokio::task::spawn_blocking(move || {
                let renewed = files.renew();
                let state = files.state();
                let loaded = (changed || state != seen).then(|| files.load(&own));
                (renewed, state, loaded)
            });
            let Ok((renewed, state, loaded)) = looked.await else { return };
            if let Err(error) = renewed {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the server's certificate could not be renewed"
                );
            }
            match loaded {
                Some(Ok(config)) => {
                    serving.reload_from_config(config);
                    tracing::info!("the server's certificate or the CAs of devices changed");
                }
                Some(Err(error)) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the server's new certificate is not usable; the one from before is served"
                    );
                }
                None => {}
            }
            seen = state;
        }
    }

    /// What tells that a file was changed.
    fn state(&self) -> Vec<Option<(SystemTime, u64)>> {
        let files = [self.chain(), self.key()].into_iter().chain(self.zero_touch_ca.iter().cloned());
        files
            .map(|file| {
                let about = std::fs::metadata(file).ok()?;
                Some((about.modified().ok()?, about.len()))
            })
            .collect()
    }

    /// With these device CAs (DER) of our own, whose certificates devices may show, too.
    pub(crate) fn load(&self, device_cas: &[Vec<u8>]) -> Result<Arc<ServerConfig>, TlsError> {
        let (chain_file, key_file) = (self.chain(), self.key());
        let chain = certificates(&chain_file)?;
        let key = PrivateKeyDer::from_pem_slice(Zeroizing::new(read(&key_file)?).as_bytes())
            .map_err(|error| TlsError::Unusable(key_file, error.into()))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable(chain_file.clone(), error.into()))?;
        let builder = match self.device_verifier(device_cas)? {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut config =
            builder.with_single_cert(chain, key).map_err(|error| TlsError::Unusable(chain_file, error.into()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Who shows a certificate must show a good one; who shows none is a person with a token.
    fn device_verifier(&self, device_cas: &[Vec<u8>]) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let mut roots = RootCertStore::empty();
        for file in &self.zero_touch_ca {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| TlsError::Unusable(file.clone(), error.into()))?;
            }
        }
        let file = self.zero_touch_ca.first().cloned().unwrap_or_else(|| self.folder.clone());
        let verifier = |roots: RootCertStore| {
            if roots.is_empty() {
                return Ok(None);
            }
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated();
            built.build().map(Some).map_err(|error| TlsError::Unusable(file.clone(), error.into()))
        };
        let factorys = verifier(roots.clone())?;
        for ca in device_cas {
            roots
                .add(CertificateDer::from(ca.clone()))
                .map_err(|error| TlsError::Unusable(file.clone(), error.into()))?;
        }
        let all = verifier(roots)?;
        *self.trust.0.write().unwrap_or_else(PoisonError::into_inner) = factorys;
        Ok(all)
    }

    pub(crate) fn trust(&self) -> Trust {
        self.trust.clone()
    }

    /// Makes a CA, and a certificate under it.
    fn make(&self, validity: Duration) -> Result<(), TlsError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, format!("Lowtouch local CA {:08x}", rand::random::<u32>()));
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_for(&mut ca, CA_VALIDITY);
        let ca_certificate = ca.self_signed(&ca_key)?;
        let key = KeyPair::generate()?;
        let certificate = self.sign(&key, &Issuer::new(ca, &ca_key), validity)?;
        private(&self.ca_key(), &ca_key)?;
        private(&self.key(), &key)?;
        replace(&self.ca(), &ca_certificate.pem())?;
        replace(&self.chain(), &certificate)
    }

    /// Renews a certificate that was made here before it ends, or when it lacks a name. CA and key stay, so that nobody has to
    /// trust anything anew and only one file changes. Whatever else is in the folder is the operator's, and is left alone.
    fn renew(&self) -> Result<(), TlsError> {
        if !self.ca_key().exists() {
            return Ok(());
        }
        let unusable = |file: PathBuf| move |error: rcgen::Error| TlsError::Unusable(file, error.into());
        let (ca, chain) = (certificates(&self.ca())?, certificates(&self.chain())?);
        let (Some(ca), Some(leaf)) = (ca.first(), chain.first()) else { return Ok(()) };
        let (Ok((_, parsed_ca)), Ok((_, parsed))) = (X509Certificate::from_der(ca), X509Certificate::from_der(leaf))
        else {
            return Ok(());
        };
        if parsed.verify_signature(Some(parsed_ca.public_key())).is_err() {
            return Ok(());
        }
        let left = parsed.validity().not_after.timestamp() - now() / 1000;
        let known = names_of(&parsed);
        let named = self.names.iter().all(|name| known.contains(name));
        if named && left > RENEWAL.as_secs() as i64 {
            return Ok(());
        }
        let ca_key = KeyPair::from_pem(&Zeroizing::new(read(&self.ca_key())?)).map_err(unusable(self.ca_key()))?;
        let key = KeyPair::from_pem(&Zeroizing::new(read(&self.key())?)).map_err(unusable(self.key()))?;
        let issuer = Issuer::from_ca_cert_der(ca, &ca_key).map_err(unusable(self.ca()))?;
        let ca_left = parsed_ca.validity().not_after.timestamp() - now() / 1000;
        let validity = VALIDITY.min(Duration::from_secs(ca_left.max(0) as u64));
        if named && validity <= Duration::from_secs(left.max(0) as u64) {
            // Its CA ends as soon: there is nothing to gain.
            return Ok(());
        }
        replace(&self.chain(), &self.sign(&key, &issuer, validity)?)?;
        tracing::info!("renewed the server's certificate");
        Ok(())
    }

    fn sign<K: rcgen::SigningKey>(
        &self,
        key: &KeyPair,
        issuer: &Issuer<'_, K>,
        validity: Duration,
    ) -> Result<String, TlsError> {
        let mut server = CertificateParams::new(self.names.clone())?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        server.is_ca = IsCa::ExplicitNoCa;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        valid_for(&mut server, validity);
        Ok(server.signed_by(key, issuer)?.pem())
    }
}

/// From an hour ago, for clocks that are behind, to then.
fn valid_for(params: &mut CertificateParams, validity: Duration) {
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(now().max(0) as u64);
    params.not_before = now - Duration::from_secs(60 * 60);
    params.not_after = now + validity;
}

/// The names and addresses in a certificate, as [`Files::names`] spells them.
fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
            },
            _ => None,
        })
        .collect()
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(read(file)?.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Unusable(file.into(), error.into()))
}

fn private(file: &Path, key: &KeyPair) -> Result<(), TlsError> {
    write_private(file, Zeroizing::new(key.serialize_pem()).as_bytes())
        .map_err(|error| TlsError::File(file.into(), error))
}

/// Wholly or not at all.
fn replace(file: &Path, text: &str) -> Result<(), TlsError> {
    let draft = file.with_extension("pem.new");
    std::fs::write(&draft, text)
        .and_then(|()| std::fs::rename(&draft, file))
        .map_err(|error| TlsError::File(file.into(), error))
}

fn read(path: &Path) -> Result<String, TlsError> {
    std::fs::read_to_string(path).map_err(|error| TlsError::File(path.into(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Files {
        let names = vec!["localhost".into(), "::1".into()];
        Files { folder: folder.into(), zero_touch_ca: Vec::new(), names, trust: Trust::default() }
    }

    fn days_left(files: &Files) -> i64 {
        let chain = certificates(&files.chain()).unwrap();
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        let ca = certificates(&files.ca()).unwrap();
        let (_, ca) = X509Certificate::from_der(&ca[0]).unwrap();
        leaf.verify_signature(Some(ca.public_key())).unwrap();
        (leaf.validity().not_after.timestamp() - now() / 1000) / (24 * 60 * 60)
    }

    #[test]
    fn a_certificate_that_was_made_here_is_renewed_before_it_ends_and_ca_and_key_stay() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        files.make(20 * DAY).unwrap();
        let before = (read(&files.ca()).unwrap(), read(&files.key()).unwrap());
        assert!((19..=20).contains(&days_left(&files)));
        files.renew().unwrap();
        assert!(days_left(&files) >= 364);
        assert_eq!((read(&files.ca()).unwrap(), read(&files.key()).unwrap()), before);
        files.load(&[]).unwrap();
        let renewed = read(&files.chain()).unwrap();
        files.renew().unwrap();
        assert_eq!(read(&files.chain()).unwrap(), renewed, "it is renewed once");
    }

    #[test]
    fn a_certificate_that_lacks_the_public_name_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        files.make(VALIDITY).unwrap();
        let with_name = Files { names: vec!["localhost".into(), "api.example".into()], ..files.clone() };
        with_name.renew().unwrap();
        let chain = certificates(&files.chain()).unwrap();
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        assert_eq!(names_of(&leaf), ["localhost", "api.example"]);
    }

    #[test]
    fn an_operators_own_certificate_is_left_alone() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (files, foreign) = (files(folder.path()), files(other.path()));
        files.make(DAY).unwrap();
        foreign.make(DAY).unwrap();
        for file in ["server.pem", "server.key"] {
            std::fs::copy(other.path().join(file), folder.path().join(file)).unwrap();
        }
        let before = read(&files.chain()).unwrap();
        files.renew().unwrap();
        assert_eq!(read(&files.chain()).unwrap(), before);
    }
}
