use std::collections::HashMap;

use async_trait::async_trait;
use fake_bluez::{Bus, Device, FakeBluez, Probe, Rule, World};
use lowtouch_links::simulated::{Characteristic, GattError, Peripheral, SERVICE, att_error, characteristics};
use uuid::Uuid;

pub(crate) const PROBE: &str = env!("CARGO_BIN_EXE_ble-probe");
pub(crate) const ADDRESS: &str = "C0:FF:EE:00:00:01";
pub(crate) const ENDPOINTS: [&str; 3] = ["prov-session", "proto-ver", "dps-config"];

/// A bus, a bluetoothd and a program that uses it.
pub(crate) struct Scene {
    // Dropped in this order.
    pub(crate) probe: Probe,
    pub(crate) bluez: FakeBluez,
    pub(crate) bus: Bus,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::of([(ADDRESS, Device::new("PROV_1", echo(SERVICE, ENDPOINTS)))]).await
    }

    pub(crate) async fn of(devices: impl IntoIterator<Item = (&'static str, Device)>) -> Self {
        let bus = Bus::start().await;
        let bluez = FakeBluez::start(&bus, World::new(devices)).await;
        let probe = Probe::start(PROBE, bus.address()).await;
        Self { probe, bluez, bus }
    }

    pub(crate) async fn rule(&self, rule: Rule) {
        self.bluez.change(|world| world.rules.push(rule)).await;
    }
}

/// Answers `ENDPOINT:REQUEST`, and refuses "refuse".
pub(crate) struct Echo {
    characteristics: Vec<Characteristic>,
    values: HashMap<Uuid, Vec<u8>>,
}

pub(crate) fn echo<'a>(service: Uuid, endpoints: impl IntoIterator<Item = &'a str>) -> Echo {
    Echo::with(characteristics(service, endpoints))
}

impl Echo {
    pub(crate) fn with(characteristics: Vec<Characteristic>) -> Self {
        Self { characteristics, values: HashMap::new() }
    }
}

#[async_trait]
impl Peripheral for Echo {
    async fn connect(&mut self) -> Result<Vec<Characteristic>, GattError> {
        Ok(self.characteristics.clone())
    }

    async fn disconnect(&mut self) {
        self.values.clear();
    }

    async fn write(&mut self, characteristic: Uuid, value: &[u8]) -> Result<(), GattError> {
        if value == b"refuse" {
            return Err(GattError::Att(att_error::UNLIKELY));
        }
        let found = self.characteristics.iter().find(|found| found.uuid == characteristic).unwrap();
        self.values.insert(characteristic, [found.endpoint.as_bytes(), b":", value].concat());
        Ok(())
    }

    async fn read(&mut self, characteristic: Uuid) -> Result<Vec<u8>, GattError> {
        Ok(self.values.get(&characteristic).cloned().unwrap_or_default())
    }
}
