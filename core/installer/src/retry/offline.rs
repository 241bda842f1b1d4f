use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use async_trait::async_trait;

/// Whether this machine has a network at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// There is one, or nobody can tell.
    Online,
    /// There is none: no call can leave this machine.
    Offline,
}

/// What this machine knows of its own network. [`Routes`] asks the system; a phone implements it with what its system
/// tells (ConnectivityManager, NWPathMonitor).
#[async_trait]
pub trait Connectivity: Send + Sync {
    /// How it stands now. Answers at once.
    fn standing(&self) -> Standing;

    /// Comes back when it may have changed. Nobody relies on it alone: it is asked again after a few seconds.
    async fn changed(&self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Asks the system's routing table: without a route to the internet, over IPv4 or IPv6, this machine is offline. Sends
/// nothing, and needs no right and no name server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Routes;

/// Addresses that are nobody's, for documentation (RFC 5737, RFC 3849): only a default route leads to them.
const NOWHERE: [SocketAddr; 2] = [
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 443),
    SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 443),
];

impl Connectivity for Routes {
    fn standing(&self) -> Standing {
        let leads_out = |to: &SocketAddr| {
            let from: SocketAddr = match to {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            // "Connecting" a UDP socket looks up the route and sends nothing.
            UdpSocket::bind(from).and_then(|socket| socket.connect(to)).is_ok()
        };
        if NOWHERE.iter().any(leads_out) { Standing::Online } else { Standing::Offline }
    }
}
