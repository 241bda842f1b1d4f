//! A TLS server with a certificate authority of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use lowtouch_installer::api::Client;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use secrecy::SecretString;

/// Marked, so that a leak can be searched for.
pub(crate) const TOKEN: &str = "marked-token";

pub(crate) struct Ca {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

pub(crate) fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Ca { pem, issuer: Issuer::new(params, key) }
}

pub(crate) fn tls(ca: &Ca, name: &str, expired: bool) -> axum_server::tls_rustls::RustlsConfig {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &ca.issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    axum_server::tls_rustls::RustlsConfig::from_config(Arc::new(config))
}

pub(crate) async fn serve(tls: axum_server::tls_rustls::RustlsConfig, router: Router) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let server = axum_server::from_tcp_rustls(listener, tls).unwrap();
    tokio::spawn(server.serve(router.into_make_service()));
    address
}

pub(crate) fn client(address: SocketAddr, ca: Option<&Ca>) -> Client {
    let token = Some(SecretString::from(TOKEN.to_owned()));
    Client::with_timeouts(
        &format!("https://localhost:{}", address.port()),
        token,
        ca.map(|ca| ca.pem.as_str()),
        Duration::from_secs(5),
        Duration::from_millis(2500),
    )
    .unwrap()
}
