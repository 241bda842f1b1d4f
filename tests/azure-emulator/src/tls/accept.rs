//! Accepts a TLS connection and tells its requests who is at the other end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use futures::future::BoxFuture;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::Layer as _;

use crate::certificates::ShownCertificates;

/// How long a client may take over the handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// The other end of a request's connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub(crate) certificates: Arc<ShownCertificates>,
    reset: Arc<AtomicBool>,
}

impl Peer {
    #[cfg(test)]
    pub(crate) fn with_certificates(certificates: ShownCertificates) -> Self {
        Self { certificates: Arc::new(certificates), reset: Arc::default() }
    }

    /// Resets the connection in place of the next bytes that would go out.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
    }
}

/// The TLS handshake, for axum-server.
#[derive(Clone)]
pub(crate) struct TlsAccept(TlsAcceptor);

impl TlsAccept {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        Self(TlsAcceptor::from(config))
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for TlsAccept {
    type Stream = TlsStream<Resettable>;
    type Service = AddExtension<S, Peer>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let acceptor = self.0.clone();
        Box::pin(async move {
            stream.set_nodelay(true)?;
            let reset = Arc::new(AtomicBool::new(false));
            let stream = Resettable { stream, reset: Arc::clone(&reset) };
            let stream = tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await??;
            let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificates = Arc::new(ShownCertificates(shown.iter().map(|der| der.to_vec()).collect()));
            Ok((stream, Extension(Peer { certificates, reset }).layer(service)))
        })
    }
}

/// A TCP stream that ends in a reset once it is told to.
pub(crate) struct Resettable {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Resettable {
    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        let this = self.get_mut();
        if this.reset.load(Ordering::Acquire) {
            // With no linger time the kernel answers with RST, not FIN, when the stream is dropped.
            this.stream.set_zero_linger()?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(Pin::new(&mut this.stream))
    }
}

impl AsyncRead for Resettable {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream()?.poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
