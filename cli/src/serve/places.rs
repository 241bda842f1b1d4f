//! How many connections there may be at once.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsAcceptor;
use tokio::net::TcpStream;
use tower::Layer as _;

/// How many connections are served. Eight browsers open six each at most; a proxy that speaks HTTP/1.1 opens one for each
/// stream of a bench. Far below the 1024 files that a process may usually have open.
const MOST: usize = 256;
/// How many of them one address may have, so that it does not keep everybody else out.
const MOST_OF_ONE: usize = MOST / 2;
/// How many more are told that the gateway is full. What comes on top of these is closed at once.
const MOST_TOLD: usize = 32;

/// Who is there.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    served: usize,
    of: BTreeMap<IpAddr, usize>,
    told: usize,
}

/// That of one connection, until it is dropped.
pub(super) struct Place {
    places: Places,
    of: IpAddr,
    served: Mutex<bool>,
}

impl Places {
    /// `None`: not even one to be told at.
    fn take(&self, of: IpAddr) -> Option<Place> {
        let mut taken = self.lock();
        let served = taken.serve(of);
        if !served {
            if taken.told >= MOST_TOLD {
                return None;
            }
            taken.told += 1;
        }
        drop(taken);
        Some(Place { places: self.clone(), of, served: Mutex::new(served) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn serve(&mut self, of: IpAddr) -> bool {
        let mine = self.of.get(&of).copied().unwrap_or_default();
        if self.served >= MOST || mine >= MOST_OF_ONE {
            return false;
        }
        self.served += 1;
        self.of.insert(of, mine + 1);
        true
    }
}

impl Place {
    /// Whether the connection is served; one that was told the gateway is full is as soon as there is room.
    pub(super) fn is_served(&self) -> bool {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if !*served {
            let mut taken = self.places.lock();
            if taken.serve(self.of) {
                taken.told -= 1;
                *served = true;
            }
        }
        *served
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let served = *self.served.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self.places.lock();
        if !served {
            taken.told -= 1;
            return;
        }
        taken.served -= 1;
        if let Some(mine) = taken.of.get_mut(&self.of) {
            *mine -= 1;
            if *mine == 0 {
                taken.of.remove(&self.of);
            }
        }
    }
}

/// TLS for as many connections as there are places. Requests find their connection's [`Place`] among the extensions.
#[derive(Clone)]
pub(super) struct Limited {
    pub(super) places: Places,
    pub(super) tls: RustlsAcceptor,
}

impl<S: Send + 'static> Accept<TcpStream, S> for Limited {
    type Stream = <RustlsAcceptor as Accept<TcpStream, S>>::Stream;
    type Service = AddExtension<S, Arc<Place>>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = stream.peer_addr().ok().and_then(|peer| self.places.take(peer.ip()));
        let tls = place.map(|place| (place, self.tls.accept(stream, service)));
        Box::pin(async move {
            let (place, tls) = tls.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (stream, service) = tls.await?;
            Ok((stream, Extension(Arc::new(place)).layer(service)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use axum_server::tls_rustls::RustlsConfig;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_connects_and_says_nothing_is_let_go_after_the_deadline_and_leaves_the_place() {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], key.signing_key.into())
            .unwrap();
        let tls = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(config)));
        let limited = Limited { places: Places::default(), tls: tls.handshake_timeout(Duration::from_secs(15)) };
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let handshake = limited.accept(accepted, ());
        assert_eq!(limited.places.lock().served, 1);
        let begun = tokio::time::Instant::now();
        assert_eq!(handshake.await.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
        assert_eq!(begun.elapsed().as_secs(), 15);
        let taken = limited.places.lock();
        assert!(taken.served == 0 && taken.of.is_empty());
        drop(silent);
    }

    #[test]
    fn a_connection_that_was_told_to_wait_is_served_when_another_ends() {
        let places = Places::default();
        let of = |last| IpAddr::from([10, 0, 0, last]);
        let mut all: Vec<_> = (0..MOST_OF_ONE).map(|_| places.take(of(1)).unwrap()).collect();
        let waiting = places.take(of(1)).unwrap();
        assert!(all.iter().all(Place::is_served) && !waiting.is_served());
        assert!(places.take(of(2)).unwrap().is_served(), "another address is served");
        all.pop();
        assert!(waiting.is_served());
        drop((all, waiting));
        let taken = places.lock();
        assert!(taken.served == 0 && taken.told == 0 && taken.of.is_empty());
    }

    #[test]
    fn who_comes_when_all_are_there_is_told_and_the_rest_is_turned_away() {
        let places = Places::default();
        let all: Vec<_> = (0..2 * MOST).map_while(|n| places.take([10, 0, (n % 4) as u8, 1].into())).collect();
        assert_eq!(all.len(), MOST + MOST_TOLD);
        assert_eq!(all.iter().filter(|place| place.is_served()).count(), MOST);
    }
}
