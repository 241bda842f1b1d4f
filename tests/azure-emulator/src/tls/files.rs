//! The TLS folder: `ca.pem`, `ca.key`, `server.pem`, `server.key`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::FromDer as _;

use super::client_certificate::AnyClientCertificate;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The names that the server certificate stands for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What the TLS folder holds, ready for use.
pub(crate) struct TlsFiles {
    pub(crate) ca_pem: String,
    pub(crate) ca_file: PathBuf,
    pub(crate) server: Arc<ServerConfig>,
}

impl TlsFiles {
    /// Reads the folder, and first makes what is missing or has expired. Several instances may share a folder and start at once.
    pub(crate) fn load_or_make(dir: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(dir)?;
        let lock = File::create(dir.join(".lock"))?;
        lock.lock()?;
        let ca_file = dir.join("ca.pem");
        let ca_key_file = dir.join("ca.key");
        if !ca_file.exists() {
            let (certificate, key) = make_ca()?;
            write(&ca_key_file, &key, Secrecy::Secret)?;
            write(&ca_file, &certificate, Secrecy::Public)?;
        }
        let ca_pem = fs::read_to_string(&ca_file)?;
        let (certificate_file, key_file) = (dir.join("server.pem"), dir.join("server.key"));
        if !(key_file.exists() && is_usable(&certificate_file, &ca_pem)) {
            let ca_key = KeyPair::from_pem(&fs::read_to_string(&ca_key_file)?)?;
            let (certificate, key) = make_server(&Issuer::from_ca_cert_pem(&ca_pem, ca_key)?)?;
            write(&key_file, &key, Secrecy::Secret)?;
            write(&certificate_file, &certificate, Secrecy::Public)?;
        }
        let chain = CertificateDer::pem_file_iter(&certificate_file)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&key_file)?;
        drop(lock);

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(AnyClientCertificate::new(provider)))
            .with_single_cert(chain, key)?;
        // DPS speaks HTTP/1.1; and a reset must end one request, not all that share a connection.
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { ca_pem, ca_file, server: Arc::new(server) })
    }
}

/// Whether the server certificate is there, was issued by this CA, and will be valid for another day.
fn is_usable(certificate_file: &Path, ca_pem: &str) -> bool {
    let check = || -> Option<bool> {
        let server = CertificateDer::from_pem_file(certificate_file).ok()?;
        let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).ok()?;
        let (_, server) = x509_parser::prelude::X509Certificate::from_der(&server).ok()?;
        let (_, ca) = x509_parser::prelude::X509Certificate::from_der(&ca).ok()?;
        let tomorrow = Timestamp::now().checked_add(24.hours()).ok()?.as_second();
        Some(
            server.verify_signature(Some(ca.public_key())).is_ok()
                && tomorrow < server.validity().not_after.timestamp(),
        )
    };
    check().unwrap_or(false)
}

fn make_ca() -> Result<(String, String), rcgen::Error> {
    let mut params = named("azure-emulator test CA", 10)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    Ok((ca.pem(), ca.key().serialize_pem()))
}

fn make_server(ca: &Issuer<'_, KeyPair>) -> Result<(String, String), rcgen::Error> {
    let mut params = named("azure-emulator", 1)?;
    params.subject_alt_names = CertificateParams::new(NAMES.map(str::to_owned))?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, ca)?.pem(), key.serialize_pem()))
}

/// Parameters for a certificate of this common name, valid from yesterday for so many years.
pub(crate) fn named(common_name: &str, years: i16) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let start = today.yesterday().unwrap_or(today);
    let month = |date: jiff::civil::Date| date.month().unsigned_abs();
    let day = |date: jiff::civil::Date| date.day().unsigned_abs().min(28);
    params.not_before = rcgen::date_time_ymd(start.year().into(), month(start), day(start));
    params.not_after = rcgen::date_time_ymd((start.year() + years).into(), month(start), day(start));
    Ok(params)
}

enum Secrecy {
    Public,
    Secret,
}

/// Writes the whole file or nothing.
fn write(path: &Path, text: &str, secrecy: Secrecy) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(match secrecy {
            Secrecy::Public => 0o644,
            Secrecy::Secret => 0o600,
        });
    }
    #[cfg(not(unix))]
    let _ = secrecy;
    let mut file = options.open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, path)
}
