use async_trait::async_trait;

use crate::LinkError;

/// Bytes to a device: one transaction after another with its named endpoints.
///
/// # After an error
/// [`LinkError::Refused`], [`LinkError::UnknownEndpoint`] and a request's [`LinkError::TooLong`] leave the link usable.
/// After every other error, and after a future of [`Link::exchange`] was dropped before it ended, nobody knows what the device has
/// seen: each further exchange answers [`LinkError::Interrupted`] until [`Link::reconnect`].
#[async_trait]
pub trait Link: Send {
    /// One transaction: `request` to `endpoint`, and its response. ESP-IDF refuses an empty request over HTTP, so send
    /// at least one byte, also where the endpoint does not look at it.
    ///
    /// Not cancel-safe: when the future is dropped, call [`Link::reconnect`] before the next exchange.
    ///
    /// # Errors
    /// See [`LinkError`] and "After an error" above.
    async fn exchange(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError>;

    /// The longest request and the longest response, in bytes: 512 over BLE, 4096 over HTTP and serial.
    fn max_value(&self) -> usize;

    /// What went over this link since it was opened, reconnects included.
    fn traffic(&self) -> Traffic;

    /// A new connection: the device forgets the secured session and a new one begins.
    ///
    /// # Errors
    /// Those of [`open`](crate::open).
    async fn reconnect(&mut self) -> Result<(), LinkError>;

    /// Says goodbye as far as the link can. It never waits longer than the exchange deadline and cannot fail.
    async fn close(&mut self);

    /// The link for people and events, without secrets: `http://192.168.4.1:80`.
    fn describe(&self) -> String;
}

/// What went over a link. Lengths are those of requests and responses, without the link's own headers and frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Exchanges begun.
    pub exchanges: u64,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of responses.
    pub bytes_received: u64,
    /// BLE only: ATT round trips, those of connecting and discovering included. One exchange is at least two.
    pub att_operations: u64,
}
