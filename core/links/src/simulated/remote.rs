use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{Characteristic, GattError, Peripheral};
use crate::Deadlines;

/// Lets centrals in other processes reach `peripheral` (`ble-sim://`), one at a time; others are told that it is busy.
/// Runs until dropped; ends only when the listener fails.
///
/// # Errors
/// Those of `accept`.
pub async fn serve(
    listener: TcpListener,
    peripheral: impl Peripheral + 'static,
) -> std::io::Result<()> {
    let _ = (listener, peripheral);
    std::future::pending().await
}

/// A peripheral in another process, behind [`serve`].
#[derive(Debug)]
pub struct Remote {
    address: SocketAddr,
    deadlines: Deadlines,
}

impl Remote {
    /// Does not connect yet.
    #[must_use]
    pub fn new(address: SocketAddr, deadlines: Deadlines) -> Self {
        Self { address, deadlines }
    }
}

#[async_trait]
impl Peripheral for Remote {
    async fn connect(&mut self) -> Result<Vec<Characteristic>, GattError> {
        let _ = (self.address, self.deadlines);
        Err(GattError::Disconnected)
    }
    async fn disconnect(&mut self) {}
    async fn write(&mut self, _characteristic: Uuid, _value: &[u8]) -> Result<(), GattError> {
        Err(GattError::Disconnected)
    }
    async fn read(&mut self, _characteristic: Uuid) -> Result<Vec<u8>, GattError> {
        Err(GattError::Disconnected)
    }
}
