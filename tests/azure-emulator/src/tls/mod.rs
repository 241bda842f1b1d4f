//! TLS: the files, the handshake with its optional client certificate, and the stream that a fault can reset.

mod accept;
mod client_certificate;
mod files;

pub(crate) use accept::{Peer, TlsAccept};
pub(crate) use files::{TlsFiles, named};
