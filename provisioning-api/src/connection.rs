//! What a connection brings beside its requests: the device that it proved to be, and its place among those that are open.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsAcceptor;
use futures::future::BoxFuture;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tower::Layer as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::registration_id::RegistrationId;
use crate::tls::Trust;

/// A device's certificate, whose chain and possession TLS has verified.
#[derive(Debug, Clone)]
pub(crate) struct DeviceCertificate {
    pub(crate) registration_id: RegistrationId,
    pub(crate) not_after: Timestamp,
    /// Hexadecimal, as the database has it.
    pub(crate) serial: String,
    pub(crate) der: Vec<u8>,
    /// Its maker's: a CA for zero-touch stands above it. Else one of our own device CAs does.
    pub(crate) is_factorys: bool,
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
    trust: Trust,
    places: Arc<Semaphore>,
    /// For the first bytes of the first request.
    patience: Duration,
}

impl Acceptor {
    pub(crate) fn new(tls: RustlsAcceptor, trust: Trust, most: usize, patience: Duration) -> Self {
        Self { tls, trust, places: Arc::new(Semaphore::new(most)), patience }
    }
}

impl<I, S> Accept<I, S> for Acceptor
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Send + 'static,
{
    type Stream = Begins<TlsStream<I>>;
    type Service = AddExtension<S, Connection>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let handshake = self.tls.accept(stream, service);
        let (patience, trust) = (self.patience, self.trust.clone());
        Box::pin(async move {
            // Before the handshake, which costs more than all that comes after it.
            let place = place.map_err(|_| io::Error::other("too many connections"))?;
            let (stream, service) = handshake.await?;
            let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let device = read(shown, &trust);
            let connection = Connection { device, _place: Arc::new(place) };
            Ok((Begins::within(stream, patience), Extension(connection).layer(service)))
        })
    }
}

/// A stream whose peer must say something in time. hyper has no deadline until it knows from the first bytes whether they are
/// HTTP/1 or HTTP/2; from then on its own hold.
pub(crate) struct Begins<S> {
    stream: S,
    /// How many bytes tell, and until when; gone once they are here.
    missing: Option<(usize, Pin<Box<Sleep>>)>,
}

/// HTTP/2's connection preface, RFC 9113, 3.4.
const PREFACE: usize = 24;

impl<S> Begins<S> {
    fn within(stream: S, patience: Duration) -> Self {
        Self { stream, missing: Some((PREFACE, Box::pin(tokio::time::sleep(patience)))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begins<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some((missing, end)) = &mut self.missing else { return read };
        match read {
            Poll::Ready(read) => {
                *missing = missing.saturating_sub(buffer.filled().len() - before);
                if *missing == 0 {
                    self.missing = None;
                }
                Poll::Ready(read)
            }
            Poll::Pending => end.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begins<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The one name that a certificate is for: its common name, or without one its only DNS name.
fn read(chain: &[CertificateDer<'_>], trust: &Trust) -> Option<DeviceCertificate> {
    let (leaf, above) = chain.split_first()?;
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
        serial: hex::encode(certificate.raw_serial()),
        der: leaf.to_vec(),
        is_factorys: trust.is_factorys(leaf, above),
    })
}
