//! TLS towards DPS, the hub and the provisioning API: always verified, against the system's roots and those that came with the hand-off.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::{DpsCredential, RegistrationFailure};

/// One connection attempt, TLS included.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// One request with its answer.
const REQUEST_DEADLINE: Duration = Duration::from_secs(20);

/// HTTP over it, towards this server: every wait has an end, nothing is repeated or followed behind our back, and no proxy stands between
/// a device and its own machine.
pub(crate) fn http_client(tls: ClientConfig, server: &Url) -> Result<reqwest::Client, reqwest::Error> {
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_DEADLINE)
        .timeout(REQUEST_DEADLINE)
        .user_agent(concat!("lowtouch-device/", env!("CARGO_PKG_VERSION")));
    let loopback = match server.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if loopback { http.no_proxy() } else { http }.build()
}

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
