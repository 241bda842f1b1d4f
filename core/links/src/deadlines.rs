use std::time::Duration;

/// How long a link waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For a connection: TCP connect, serial hello, BLE connect and discovery together.
    pub connect: Duration,
    /// For one whole exchange, request and response.
    pub exchange: Duration,
}

impl Default for Deadlines {
    /// Connect 10 s: Linux sends a SYN again after 1, 3 and 7 s (tcp(7), RFC 6298), so that three may be lost.
    /// Exchange 30 s: the ATT transaction time-out (Bluetooth Core 5.4, Vol 3, Part F, 3.3.3).
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), exchange: Duration::from_secs(30) }
    }
}
