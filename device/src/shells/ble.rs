//! The device as a GATT server on the simulated radio.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use lowtouch_links::simulated::{Characteristic, GattError, Peripheral, SERVICE, att_error, characteristics};
use uuid::Uuid;

use crate::responder::{App, Reply, Responder};

/// Longest attribute value (Bluetooth Core, Vol 3, Part F, 3.2.9).
const MAX_VALUE: usize = 512;

/// A transaction without an answer ends the bearer (Vol 3, Part F, 3.3.3).
const ATT_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct SimulatedPeripheral {
    responder: Responder,
    table: Vec<Characteristic>,
    app: Option<App>,
    values: HashMap<Uuid, Vec<u8>>,
}

impl SimulatedPeripheral {
    pub(crate) fn new(responder: Responder) -> Self {
        let table = characteristics(SERVICE, responder.endpoints().iter().copied());
        Self { responder, table, app: None, values: HashMap::new() }
    }
}

#[async_trait]
impl Peripheral for SimulatedPeripheral {
    async fn connect(&mut self) -> Result<Vec<Characteristic>, GattError> {
        self.disconnect().await;
        let app = self.responder.new_app();
        self.responder.connect(app).await;
        self.app = Some(app);
        Ok(self.table.clone())
    }

    async fn disconnect(&mut self) {
        self.values.clear();
        if let Some(gone) = self.app.take() {
            self.responder.disconnect(gone).await;
        }
    }

    async fn write(&mut self, characteristic: Uuid, value: &[u8]) -> Result<(), GattError> {
        let app = self.app.ok_or(GattError::Disconnected)?;
        let known = self.table.iter().find(|known| known.uuid == characteristic);
        let endpoint = &known.ok_or(GattError::Att(att_error::INVALID_HANDLE))?.endpoint;
        if value.len() > MAX_VALUE {
            return Err(GattError::Att(att_error::INVALID_LENGTH));
        }
        self.values.remove(&characteristic);
        match self.responder.handle(app, endpoint, value).await {
            Reply::Response(bytes) => {
                self.values.insert(characteristic, bytes);
                Ok(())
            }
            Reply::Refused => Err(GattError::Att(att_error::UNLIKELY)),
            Reply::Closed => Err(GattError::Disconnected),
            Reply::Silence => {
                tokio::time::sleep(ATT_TIMEOUT).await;
                Err(GattError::Disconnected)
            }
            Reply::UnknownEndpoint => Err(GattError::Att(att_error::INVALID_HANDLE)),
        }
    }

    async fn read(&mut self, characteristic: Uuid) -> Result<Vec<u8>, GattError> {
        self.app.ok_or(GattError::Disconnected)?;
        Ok(self.values.get(&characteristic).cloned().unwrap_or_default())
    }
}
