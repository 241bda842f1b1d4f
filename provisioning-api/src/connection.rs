//! What a connection brings beside its requests: the device that it proved to be, and its place among those that are open.

use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsAcceptor;
use futures::future::BoxFuture;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;
use tower::Layer as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::registration_id::RegistrationId;

/// A device's certificate, whose chain and possession TLS has verified.
#[derive(Debug, Clone)]
pub(crate) struct DeviceCertificate {
    pub(crate) registration_id: RegistrationId,
    pub(crate) not_after: Timestamp,
}

/// Of one connection; every request of it has it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) device: Option<DeviceCertificate>,
    _place: Arc<OwnedSemaphorePermit>,
}

/// Does the TLS handshake, and turns connections away when there are too many.
#[derive(Debug, Clone)]
pub(crate) struct Acceptor {
    tls: RustlsAcceptor,
    places: Arc<Semaphore>,
}

impl Acceptor {
    pub(crate) fn new(tls: RustlsAcceptor, most: usize) -> Self {
        Self { tls, places: Arc::new(Semaphore::new(most)) }
    }
}

impl<I, S> Accept<I, S> for Acceptor
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Send + 'static,
{
    type Stream = TlsStream<I>;
    type Service = AddExtension<S, Connection>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let handshake = self.tls.accept(stream, service);
        Box::pin(async move {
            // Before the handshake, which costs more than all that comes after it.
            let place = place.map_err(|_| io::Error::other("too many connections"))?;
            let (stream, service) = handshake.await?;
            let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let device = leaf.and_then(read);
            let connection = Connection { device, _place: Arc::new(place) };
            Ok((stream, Extension(connection).layer(service)))
        })
    }
}

/// The one name that a certificate is for: its common name, or without one its only DNS name.
fn read(leaf: &CertificateDer<'_>) -> Option<DeviceCertificate> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let mut common = certificate.subject().iter_common_name().map(|name| name.as_str());
    let name = match (common.next(), common.next()) {
        (Some(name), None) => name.ok()?.to_owned(),
        (None, _) => {
            let names = certificate.subject_alternative_name().ok()??;
            let mut names = names.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            });
            names.next().filter(|_| names.next().is_none())?.to_owned()
        }
        _ => return None,
    };
    let end = certificate.validity().not_after.timestamp();
    Some(DeviceCertificate {
        registration_id: RegistrationId::parse(&name)?,
        not_after: Timestamp::from_second(end).unwrap_or(Timestamp::MAX),
    })
}
