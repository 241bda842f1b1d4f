use std::collections::BTreeMap;
use std::sync::Arc;

use lowtouch_links::simulated::{Characteristic, Peripheral, SERVICE, characteristics};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::Rule;

/// What the fake bluetoothd knows, and what goes wrong.
pub struct World {
    /// The adapter `hci0`.
    pub adapter: AdapterState,
    /// By address, `AA:BB:…`.
    pub devices: BTreeMap<String, Device>,
    /// What goes wrong.
    pub rules: Vec<Rule>,
    /// `(interface's last part, property)` that is missing everywhere.
    pub missing: Vec<(&'static str, &'static str)>,
    pub(crate) scanning: bool,
    /// Counts the calls by member.
    pub(crate) calls: BTreeMap<String, usize>,
}

/// The adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterState {
    /// In use.
    On,
    /// Turned off.
    Off,
    /// Says that it is on; a kill switch stops everything it is asked to do.
    Blocked,
    /// Not there.
    Absent,
}

/// A device in reach.
pub struct Device {
    /// Advertised.
    pub name: Option<String>,
    /// dBm; `None`: an old acquaintance of BlueZ that is not heard.
    pub rssi: Option<i16>,
    /// Advertised.
    pub services: Vec<Uuid>,
    /// Advertised.
    pub service_data: BTreeMap<Uuid, Vec<u8>>,
    /// ATT_MTU; `None`: the property is missing.
    pub mtu: Option<u16>,
    /// What is connected to.
    pub gatt: Gatt,
    pub(crate) heard: bool,
    pub(crate) connected: bool,
    pub(crate) paths: u16,
}

/// A device's GATT server.
pub struct Gatt {
    /// Of the one custom service.
    pub service: Uuid,
    /// Whether characteristics have 0x2901 descriptors.
    pub descriptors: bool,
    /// As they are until the first connection; then the peripheral says.
    pub characteristics: Vec<Characteristic>,
    pub(crate) peripheral: Arc<Mutex<Box<dyn Peripheral>>>,
}

impl World {
    /// An adapter that is on, and these devices.
    #[must_use]
    pub fn new(devices: impl IntoIterator<Item = (&'static str, Device)>) -> Self {
        Self {
            adapter: AdapterState::On,
            devices: devices.into_iter().map(|(address, device)| (address.to_owned(), device)).collect(),
            rules: Vec::new(),
            missing: Vec::new(),
            scanning: false,
            calls: BTreeMap::new(),
        }
    }
}

impl Device {
    /// A provisioning device in reach, MTU 517.
    #[must_use]
    pub fn new(name: &str, peripheral: impl Peripheral + 'static) -> Self {
        Self {
            name: Some(name.to_owned()),
            rssi: Some(-60),
            services: vec![SERVICE],
            service_data: BTreeMap::new(),
            mtu: Some(517),
            gatt: Gatt {
                service: SERVICE,
                descriptors: true,
                characteristics: characteristics(SERVICE, ["prov-session", "proto-ver", "dps-config"]),
                peripheral: Arc::new(Mutex::new(Box::new(peripheral))),
            },
            heard: false,
            connected: false,
            paths: 0x10,
        }
    }
}
