//! How this program reaches servers: TLS, proxy and deadlines, the same for the provisioning API, sign-in and doctor.

mod failure;
mod portal;
mod verifier;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{NoProxy, redirect, retry};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::clock::Clock;
use crate::error::{ErrorCode, PairingError};

use verifier::Telling;

pub use failure::of_reqwest;
pub(crate) use portal::captive_portal;
pub(crate) use verifier::reason;

/// What [`Net`] needs to know.
#[derive(Debug, Clone)]
pub struct NetSettings {
    /// CA certificates (PEM, any number) to trust beside the system's: the company's own.
    pub extra_ca_pem: Option<String>,
    /// Through which proxy.
    pub proxy: Proxy,
    /// For a connection to be made, TLS included.
    pub connect_timeout: Duration,
    /// For one call from its start to the last byte of its answer.
    pub call_timeout: Duration,
    /// By which certificates and tokens are judged.
    pub clock: Clock,
}

impl Default for NetSettings {
    /// The system's certificates and proxy; 10 s to connect, 30 s a call (the API itself waits for DPS meanwhile).
    fn default() -> Self {
        NetSettings {
            extra_ca_pem: None,
            proxy: Proxy::System,
            connect_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            clock: Clock::default(),
        }
    }
}

/// Through which proxy servers are reached. TLS goes through it end to end and is verified all the same.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Proxy {
    /// The one of the system: `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, or the settings of macOS and Windows.
    #[default]
    System,
    /// None, even if the system has one.
    Direct,
    /// This one, but for the hosts of `NO_PROXY`.
    Through {
        /// `http://HOST:PORT` or `https://HOST:PORT`, without user and password.
        url: Url,
        /// User and password, where it asks for them.
        login: Option<(String, SecretString)>,
    },
}

/// A prepared HTTPS client: TLS by the platform's verifier, over HTTPS only, follows no redirect, tries nothing twice.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Net {
    client: reqwest::Client,
}

impl Net {
    /// Prepares a client; connects to nothing.
    ///
    /// # Errors
    /// `api-ca-invalid`, `proxy-invalid`.
    pub fn new(settings: &NetSettings) -> Result<Net, PairingError> {
        Self::watched(settings, |verifier| verifier)
    }

    /// As [`new`](Self::new); `watch` may look on while certificates are verified. It gets the platform's verifier and has
    /// to leave the decision to it.
    pub(crate) fn watched(
        settings: &NetSettings,
        watch: impl FnOnce(Arc<dyn ServerCertVerifier>) -> Arc<dyn ServerCertVerifier>,
    ) -> Result<Net, PairingError> {
        let mut tls = tls(settings.extra_ca_pem.as_deref(), watch)?;
        tls.time_provider = Arc::new(settings.clock.clone());
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            // A redirect would carry the call elsewhere; there is no honest reason for one here.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.call_timeout)
            .user_agent(concat!("lowtouch/", env!("CARGO_PKG_VERSION")));
        match &settings.proxy {
            Proxy::System => {}
            Proxy::Direct => builder = builder.no_proxy(),
            Proxy::Through { url, login } => {
                let invalid = |error: reqwest::Error| {
                    PairingError::with_detail(ErrorCode::ProxyInvalid, error.without_url().to_string())
                };
                let mut proxy = reqwest::Proxy::all(url.clone()).map_err(invalid)?.no_proxy(NoProxy::from_env());
                if let Some((user, password)) = login {
                    proxy = proxy.basic_auth(user, password.expose_secret());
                }
                builder = builder.proxy(proxy);
            }
        }
        let client = builder
            .build()
            .map_err(|error| PairingError::with_detail(ErrorCode::Internal, error.without_url().to_string()))?;
        Ok(Net { client })
    }

    /// For calls. Turn its errors into codes with [`of_reqwest`].
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }
}

/// The certificates of a PEM text, at least one.
///
/// # Errors
/// What is wrong with it.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("it has no certificate".into()) } else { Ok(certificates) }
}

/// ring by name, the system's roots, and the added ones beside them.
pub(crate) fn tls(
    extra_ca_pem: Option<&str>,
    watch: impl FnOnce(Arc<dyn ServerCertVerifier>) -> Arc<dyn ServerCertVerifier>,
) -> Result<rustls::ClientConfig, PairingError> {
    let fault = |error: rustls::Error| PairingError::with_detail(ErrorCode::ApiCaInvalid, error.to_string());
    let extra = match extra_ca_pem {
        None => Vec::new(),
        Some(pem) => certificates(pem).map_err(|why| PairingError::with_detail(ErrorCode::ApiCaInvalid, why))?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(not(target_os = "android"))]
    let verifier = Verifier::new_with_extra_roots(extra, provider.clone()).map_err(fault)?;
    // Android's own store is asked there, and a company's CA is added to it by the company's device management.
    #[cfg(target_os = "android")]
    let verifier = {
        let _ = extra;
        Verifier::new(provider.clone()).map_err(fault)?
    };
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        // "dangerous" is rustls's word for any verifier but its own; this one is the platform's, and always verifies.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Telling(watch(Arc::new(verifier)))))
        .with_no_client_auth())
}
