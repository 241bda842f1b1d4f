use std::fmt;

use async_trait::async_trait;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{Characteristic, GattError, Peripheral, Radio};
use crate::{Deadlines, Link, LinkError, Traffic};

/// The longest value of a GATT attribute, in bytes (Bluetooth Core, Vol 3, Part F, 3.2.9).
pub const MAX_VALUE: usize = 512;

/// A central on a simulated radio: write with response, then read, each of as many ATT operations as its length needs.
///
/// Latency, loss and disconnects are decided here, so that a [`Peripheral`] is a plain GATT server.
pub struct SimulatedLink {
    peripheral: Box<dyn Peripheral>,
    radio: Radio,
    random: StdRng,
    deadlines: Deadlines,
    characteristics: Vec<Characteristic>,
    connected: bool,
    /// What is known of the layout, from this or an earlier connection.
    known: Known,
    in_flight: bool,
    traffic: Traffic,
}

/// Of the layout. As over a real stack, what one connection has learned the next one need not ask again: the system keeps
/// the list of services and characteristics once it is whole, `core/links/src/ble` the descriptors' texts one by one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    characteristics: bool,
    texts: usize,
}

impl SimulatedLink {
    /// Connects and discovers.
    ///
    /// # Errors
    /// [`LinkError::Unsupported`] for settings that no radio has; [`LinkError::NotFound`], [`LinkError::Busy`],
    /// [`LinkError::Lost`], [`LinkError::Timeout`] as a real radio would.
    pub async fn connect(
        peripheral: Box<dyn Peripheral>,
        radio: Radio,
        deadlines: Deadlines,
    ) -> Result<Self, LinkError> {
        let mut link = Self::new(peripheral, radio, deadlines)?;
        link.reconnect().await?;
        Ok(link)
    }

    /// Not connected yet: the first [`Link::reconnect`] connects.
    ///
    /// # Errors
    /// [`LinkError::Unsupported`] for settings that no radio has.
    pub fn new(peripheral: Box<dyn Peripheral>, radio: Radio, deadlines: Deadlines) -> Result<Self, LinkError> {
        radio.check().map_err(|why| LinkError::Unsupported { what: why.to_owned() })?;
        Ok(Self {
            peripheral,
            random: StdRng::seed_from_u64(radio.seed),
            radio,
            deadlines,
            characteristics: Vec::new(),
            connected: false,
            known: Known { characteristics: false, texts: 0 },
            in_flight: false,
            traffic: Traffic::default(),
        })
    }

    /// What was discovered.
    #[must_use]
    pub fn characteristics(&self) -> &[Characteristic] {
        &self.characteristics
    }

    async fn discover(&mut self) -> Result<(), LinkError> {
        // The connection itself, then the MTU and the service by its UUID.
        self.trip().await?;
        let connected = self.peripheral.connect().await;
        self.characteristics = connected.map_err(|error| match error {
            GattError::Busy => LinkError::Busy { what: "the device".to_owned() },
            GattError::Protocol => LinkError::Garbage,
            _ => LinkError::NotFound { what: self.describe() },
        })?;
        self.connected = true;
        self.trip().await?;
        if self.radio.layout_known {
            return Ok(());
        }
        let characteristics = self.characteristics.len();
        if !self.known.characteristics {
            self.trip().await?;
            // Characteristics: 21 bytes each with a 128-bit UUID, as many to a response as fit, and an error for "no more".
            let to_a_response = (usize::from(self.radio.mtu) - 2) / 21;
            for _ in 0..characteristics.div_ceil(to_a_response) + 1 {
                self.trip().await?;
            }
            self.known.characteristics = true;
        }
        while self.known.texts < characteristics {
            // Its descriptors are looked up and its 0x2901 text is read.
            self.trip().await?;
            self.trip().await?;
            self.known.texts += 1;
        }
        Ok(())
    }

    async fn transact(&mut self, characteristic: Uuid, request: &[u8]) -> Result<Vec<u8>, Failure> {
        self.write(characteristic, request).await?;
        self.read(characteristic).await
    }

    async fn write(&mut self, characteristic: Uuid, value: &[u8]) -> Result<(), Failure> {
        let mtu = usize::from(self.radio.mtu);
        if value.len() > mtu - 3 {
            for _ in 0..value.len().div_ceil(mtu - 5) {
                self.trip().await?;
            }
        }
        let fate = self.operation();
        if fate == Fate::RequestLost {
            return Err(self.out_of_reach().await.into());
        }
        sleep(self.radio.latency).await;
        let written = self.peripheral.write(characteristic, value).await;
        if fate == Fate::ResponseLost {
            return Err(self.out_of_reach().await.into());
        }
        Ok(written?)
    }

    async fn read(&mut self, characteristic: Uuid) -> Result<Vec<u8>, Failure> {
        // A request or a response lost is the same to a read, which changes nothing.
        self.trip().await?;
        let value = self.peripheral.read(characteristic).await?;
        if value.len() > MAX_VALUE {
            return Err(LinkError::Garbage.into());
        }
        // A response that is full may have a continuation: read blob until one is not.
        for _ in 0..value.len() / (usize::from(self.radio.mtu) - 1) {
            self.trip().await?;
        }
        Ok(value)
    }

    /// One ATT operation that changes nothing at the peripheral.
    async fn trip(&mut self) -> Result<(), LinkError> {
        match self.operation() {
            Fate::Arrives => {
                sleep(self.radio.latency).await;
                Ok(())
            }
            Fate::RequestLost | Fate::ResponseLost => Err(self.out_of_reach().await),
        }
    }

    fn operation(&mut self) -> Fate {
        self.traffic.att_operations += 1;
        let lost = self.random.random_bool(self.radio.loss);
        let request = self.random.random_bool(0.5);
        match (lost, request) {
            _ if self.radio.disconnect_after == Some(self.traffic.att_operations - 1) => Fate::RequestLost,
            (false, _) => Fate::Arrives,
            (true, true) => Fate::RequestLost,
            (true, false) => Fate::ResponseLost,
        }
    }

    async fn out_of_reach(&mut self) -> LinkError {
        sleep(self.radio.supervision).await;
        self.disconnect().await;
        LinkError::Lost
    }

    async fn disconnect(&mut self) {
        if self.connected {
            self.connected = false;
            self.peripheral.disconnect().await;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Fate {
    Arrives,
    RequestLost,
    ResponseLost,
}

enum Failure {
    Gatt(GattError),
    Link(LinkError),
}

impl From<GattError> for Failure {
    fn from(error: GattError) -> Self {
        Self::Gatt(error)
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

#[async_trait]
impl Link for SimulatedLink {
    async fn exchange(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError> {
        if self.in_flight || !self.connected {
            return Err(LinkError::Interrupted);
        }
        if request.len() > MAX_VALUE {
            return Err(LinkError::TooLong { len: request.len(), max: MAX_VALUE });
        }
        let found = self.characteristics.iter().find(|found| found.endpoint == endpoint);
        let Some(characteristic) = found.map(|found| found.uuid) else {
            return Err(LinkError::UnknownEndpoint { endpoint: endpoint.to_owned() });
        };
        self.in_flight = true;
        self.traffic.exchanges += 1;
        self.traffic.bytes_sent += request.len() as u64;
        let after = self.deadlines.exchange;
        let response = match timeout(after, self.transact(characteristic, request)).await {
            Err(_) => return Err(LinkError::Timeout { what: "exchange", after }),
            Ok(Err(Failure::Link(error))) => return Err(error),
            Ok(Err(Failure::Gatt(GattError::Att(code)))) => {
                tracing::debug!(endpoint, code, "the peripheral answered with an ATT error");
                Err(LinkError::Refused { endpoint: endpoint.to_owned() })
            }
            Ok(Err(Failure::Gatt(error))) => {
                tracing::debug!(endpoint, %error, "the peripheral is gone");
                self.disconnect().await;
                return Err(LinkError::Lost);
            }
            Ok(Ok(response)) => {
                self.traffic.bytes_received += response.len() as u64;
                Ok(response)
            }
        };
        self.in_flight = false;
        response
    }

    fn max_value(&self) -> usize {
        MAX_VALUE
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    async fn reconnect(&mut self) -> Result<(), LinkError> {
        // Stays poisoned when this future is dropped or fails.
        self.in_flight = true;
        let after = self.deadlines.connect;
        let connected = timeout(after, async {
            self.disconnect().await;
            self.discover().await
        });
        connected.await.map_err(|_| LinkError::Timeout { what: "connect", after })??;
        self.in_flight = false;
        Ok(())
    }

    async fn close(&mut self) {
        let after = self.deadlines.exchange;
        // Nothing is left to do for a peripheral that does not let go in time.
        let _ = timeout(after, self.disconnect()).await;
    }

    fn describe(&self) -> String {
        format!("simulated BLE (MTU {}, {:?} an operation)", self.radio.mtu, self.radio.latency)
    }
}

impl fmt::Debug for SimulatedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedLink")
            .field("radio", &self.radio)
            .field("connected", &self.connected)
            .field("traffic", &self.traffic)
            .finish_non_exhaustive()
    }
}
