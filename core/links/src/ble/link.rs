use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::owner::{self, Command, State};
use super::{MAX_VALUE, Target, stack};
use crate::{Deadlines, Link, LinkError, Traffic};

/// A connection to a peripheral by radio.
///
/// [`Traffic::att_operations`] is reckoned from the MTU and the lengths, since no system shows its ATT packets; what
/// BlueZ discovers once and then remembers is counted for each connection.
pub struct BleLink {
    target: Target,
    deadlines: Deadlines,
    commands: mpsc::Sender<Command>,
    state: Arc<Mutex<State>>,
    in_flight: bool,
}

/// For what is not counted in a deadline: ending an old connection, and the Bluetooth service's own calls. Only a
/// backstop, for when the task itself hangs.
const SLACK: Duration = Duration::from_secs(15);

impl BleLink {
    /// Finds `target` within `deadlines.connect`, then connects and discovers within `deadlines.connect`.
    ///
    /// # Errors
    /// [`LinkError::Adapter`], [`LinkError::NotFound`], [`LinkError::Ambiguous`] for two devices of that name,
    /// [`LinkError::Timeout`] for a device that does not let itself be connected, [`LinkError::Garbage`] for one without
    /// a provisioning service.
    pub async fn open(target: Target, deadlines: Deadlines) -> Result<Self, LinkError> {
        let state = Arc::new(Mutex::new(State::default()));
        let (commands, inbox) = mpsc::channel(1);
        let (opened, is_open) = oneshot::channel();
        stack::detach(owner::serve(target.clone(), deadlines, state.clone(), opened, inbox))?;
        let after = deadlines.connect * 2 + SLACK;
        let open = timeout(after, is_open).await;
        open.map_err(|_| LinkError::Timeout { what: "connect", after })?.map_err(|_| LinkError::Lost)??;
        Ok(Self { target, deadlines, commands, state, in_flight: false })
    }

    /// The negotiated ATT MTU in bytes, 23 to 517.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.state().mtu
    }

    /// The signal's strength when the device was found, in dBm.
    #[must_use]
    pub fn rssi(&self) -> Option<i16> {
        self.state().rssi
    }

    /// The device's address.
    #[must_use]
    pub fn address(&self) -> String {
        self.state().address
    }

    fn state(&self) -> State {
        self.state.lock().map(|state| state.clone()).unwrap_or_default()
    }

    async fn ask<T>(
        &self,
        what: &'static str,
        after: Duration,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, LinkError> {
        let (answer, answered) = oneshot::channel();
        let asked = timeout(after, async {
            self.commands.send(command(answer)).await.map_err(|_| LinkError::Lost)?;
            answered.await.map_err(|_| LinkError::Lost)
        });
        asked.await.unwrap_or(Err(LinkError::Timeout { what, after }))
    }
}

#[async_trait]
impl Link for BleLink {
    async fn exchange(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError> {
        if self.in_flight {
            return Err(LinkError::Interrupted);
        }
        if request.len() > MAX_VALUE {
            return Err(LinkError::TooLong { len: request.len(), max: MAX_VALUE });
        }
        self.in_flight = true;
        let (endpoint, request) = (endpoint.to_owned(), request.to_vec());
        let after = self.deadlines.exchange + SLACK;
        let command = |answer| Command::Exchange { endpoint, request, answer };
        let response = self.ask("exchange", after, command).await.and_then(|response| response);
        self.in_flight =
            !matches!(response, Ok(_) | Err(LinkError::Refused { .. } | LinkError::UnknownEndpoint { .. }));
        response
    }

    fn max_value(&self) -> usize {
        MAX_VALUE
    }

    fn traffic(&self) -> Traffic {
        self.state().traffic
    }

    async fn reconnect(&mut self) -> Result<(), LinkError> {
        // Stays so when this future is dropped or fails.
        self.in_flight = true;
        let after = self.deadlines.connect * 2 + SLACK;
        self.ask("connect", after, |answer| Command::Reconnect { answer }).await??;
        self.in_flight = false;
        Ok(())
    }

    async fn close(&mut self) {
        self.in_flight = true;
        // Nothing is left to do for a service that does not let go in time.
        let _ = self.ask("close", self.deadlines.exchange, |answer| Command::Close { answer }).await;
    }

    fn describe(&self) -> String {
        format!("ble://{}", self.target)
    }
}

impl fmt::Debug for BleLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BleLink").field("target", &self.target).field("state", &self.state()).finish_non_exhaustive()
    }
}
