//! What a scan hears.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::Target;
use crate::simulated::{SERVICE, SERVICE_COMMON};

const IMPROV: Uuid = Uuid::from_u128(0x00467768_6228_2272_4663_277478268000);
/// Improv's service data is advertised under the 16-bit UUID 0x4677: state, capabilities, four zeros.
const IMPROV_DATA: Uuid = Uuid::from_u128(0x00004677_0000_1000_8000_00805f9b34fb);
const IMPROV_PROVISIONED: u8 = 4;
const SMP: Uuid = Uuid::from_u128(0x8D53DC1D_1DB7_4CD3_868B_8A527460AA84);
/// HCI's "RSSI is not available" (Bluetooth Core, Vol 4, Part E, 7.7.65.2).
const NO_RSSI: i16 = 127;

/// How long a scan goes on after the first match, to notice a second device of that name: a device that advertises at
/// least once a second (Bluetooth's slow intervals go up to 1.28 s, provisioning firmware uses tens of milliseconds).
pub(crate) const NAMESAKES: Duration = Duration::from_millis(800);

/// One device that a scan heard.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The advertised name, if any.
    pub name: Option<String>,
    /// `AA:BB:CC:DD:EE:FF`; the system's own identifier where it hides addresses (macOS).
    pub address: String,
    /// Signal strength in dBm; `None` when the radio cannot tell.
    pub rssi: Option<i16>,
    /// The advertised services.
    pub services: Vec<Uuid>,
    /// What the device speaks, as far as its advertisement says.
    pub kind: Kind,
    /// Whether it is provisioned already. Only Improv advertises that.
    pub provisioned: Option<bool>,
}

/// What a device speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Espressif's provisioning, and Lowtouch's: one of its services, or a name that begins with `PROV_`.
    Protocomm,
    /// Improv Wi-Fi.
    Improv,
    /// MCUmgr.
    Smp,
    /// Something else, or it does not say.
    Unknown,
}

impl Kind {
    /// `protocomm`, `improv`, `smp` or `unknown`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protocomm => "protocomm",
            Self::Improv => "improv",
            Self::Smp => "smp",
            Self::Unknown => "unknown",
        }
    }
}

/// How far looking for a device has got.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The radio listens.
    Scanning,
    /// So many devices are heard, the right one not among them yet. Told when the number changes.
    Heard(usize),
    /// The right one, and only one, is heard.
    Matched(Found),
}

impl Found {
    /// What an advertisement says. `service_data` by its UUID.
    pub(crate) fn new(
        name: Option<String>,
        address: String,
        rssi: Option<i16>,
        services: Vec<Uuid>,
        service_data: &HashMap<Uuid, Vec<u8>>,
    ) -> Self {
        let has = |service: Uuid| services.contains(&service) || service_data.contains_key(&service);
        let improv = service_data.get(&IMPROV_DATA).and_then(|data| data.first().copied());
        let kind = if has(SERVICE) || has(SERVICE_COMMON) {
            Kind::Protocomm
        } else if has(IMPROV) || improv.is_some() {
            Kind::Improv
        } else if has(SMP) {
            Kind::Smp
        } else if name.as_deref().is_some_and(|name| name.starts_with("PROV_")) {
            Kind::Protocomm
        } else {
            Kind::Unknown
        };
        Self {
            name,
            address,
            rssi: rssi.filter(|rssi| *rssi != NO_RSSI),
            services,
            kind,
            provisioned: improv.map(|state| state >= IMPROV_PROVISIONED),
        }
    }

    pub(crate) fn is(&self, target: &Target) -> bool {
        match target {
            Target::Name(name) => self.name.as_deref() == Some(name),
            Target::Address(address) => self.address.eq_ignore_ascii_case(address),
        }
    }
}
