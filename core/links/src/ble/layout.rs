use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::LinkError;
use crate::simulated::{self, SERVICE, SERVICE_COMMON};

/// More services than this are no provisioning device (ESP-IDF's have three).
const MAX_SERVICES: usize = 64;
/// More characteristics than this, over all services, are no provisioning device.
const MAX_CHARACTERISTICS: usize = 256;
/// A longer user description is no endpoint's name, in bytes.
const MAX_NAME: usize = 64;
/// Layouts kept in memory; when there are more, all are forgotten and read again. Each is about 1 kB.
const MAX_KEPT: usize = 1024;
/// Services with 16-bit UUIDs are the Bluetooth SIG's: GAP, GATT, Device Information, …
const SIG_BASE: u128 = 0x00000000_0000_1000_8000_00805f9b34fb;
/// What a provisioning service has, with a fixed place: PROTOCOLS of ESP-IDF's protocomm_ble. Custom endpoints count up
/// from ff54; a Lowtouch device's first one is `dps-config`.
const FIXED: [&str; 6] = ["prov-ctrl", "prov-scan", "prov-session", "prov-config", "proto-ver", "dps-config"];

/// Where a device's endpoints are: what its 0x2901 descriptors said when they were read.
///
/// Kept in memory for each device, so that a later connection of the same process need not read the descriptors again;
/// a program may keep them longer with [`known_layout`] and [`remember_layouts`]. A layout whose characteristics are not
/// those that the device has now is not used, and one that turns out wrong is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    address: String,
    service: Uuid,
    characteristics: Vec<Uuid>,
    endpoints: BTreeMap<String, Uuid>,
}

static KNOWN: Mutex<BTreeMap<String, Layout>> = Mutex::new(BTreeMap::new());

/// The layouts that this process knows.
#[must_use]
pub fn known_layouts() -> Vec<Layout> {
    KNOWN.lock().map(|known| known.values().cloned().collect()).unwrap_or_default()
}

/// The layout of the device with this address, if this process knows it and nothing was wrong with it.
#[must_use]
pub fn known_layout(address: &str) -> Option<Layout> {
    KNOWN.lock().ok()?.get(address).cloned()
}

/// Adds layouts that [`known_layouts`] gave at another time.
pub fn remember_layouts(layouts: impl IntoIterator<Item = Layout>) {
    for layout in layouts {
        remember(layout);
    }
}

pub(crate) fn remember(layout: Layout) {
    if let Ok(mut known) = KNOWN.lock() {
        if known.len() >= MAX_KEPT {
            known.clear();
        }
        known.insert(layout.address.clone(), layout);
    }
}

pub(crate) fn forget(address: &str) {
    if let Ok(mut known) = KNOWN.lock() {
        known.remove(address);
    }
}

/// A characteristic as the radio below gives it.
pub(crate) trait Characteristic {
    fn uuid(&self) -> Uuid;
}

/// The service to talk to, and its characteristics in the order of their UUIDs.
pub(crate) struct Candidate<C> {
    service: Uuid,
    pub(crate) characteristics: Vec<C>,
}

impl<C: Characteristic> Candidate<C> {
    /// The provisioning service among `services` (each its UUID and its characteristics), or the ones that might be it when
    /// none has a known UUID.
    pub(crate) fn among<L: IntoIterator<Item = C>>(
        services: impl IntoIterator<Item = (Uuid, L)>,
    ) -> Result<Vec<Self>, LinkError> {
        let mut characteristics = 0;
        let mut candidates = Vec::new();
        for (count, (service, its_characteristics)) in services.into_iter().enumerate() {
            let its_characteristics: Vec<C> = its_characteristics.into_iter().collect();
            characteristics += its_characteristics.len();
            if count >= MAX_SERVICES || characteristics > MAX_CHARACTERISTICS {
                return Err(LinkError::Garbage);
            }
            if service.as_u128() & !(0xffff << 96) != SIG_BASE && !its_characteristics.is_empty() {
                candidates.push(Self { service, characteristics: its_characteristics });
            }
        }
        let derived = |candidate: &Self| {
            let fixed = simulated::characteristics(candidate.service, ["prov-session"]);
            fixed.iter().any(|fixed| candidate.characteristics.iter().any(|found| found.uuid() == fixed.uuid))
        };
        for known in [SERVICE, SERVICE_COMMON] {
            if let Some(index) = candidates.iter().position(|candidate| candidate.service == known) {
                return Ok(vec![candidates.swap_remove(index)]);
            }
        }
        if let Some(index) = candidates.iter().position(derived) {
            return Ok(vec![candidates.swap_remove(index)]);
        }
        if candidates.is_empty() { Err(LinkError::Garbage) } else { Ok(candidates) }
    }

    /// The endpoints as an earlier connection learned them, if the device is still the same.
    pub(crate) fn known(&self, address: &str) -> Option<Layout> {
        let known = KNOWN.lock().ok()?.get(address)?.clone();
        let same = known.service == self.service
            && known.characteristics.len() == self.characteristics.len()
            && known.characteristics.iter().all(|uuid| self.characteristics.iter().any(|now| now.uuid() == *uuid))
            && known.endpoints.values().all(|uuid| known.characteristics.contains(uuid));
        same.then_some(known)
    }

    /// The endpoints by what the descriptors say (`texts`, by characteristic), and by their UUIDs where those say nothing.
    pub(crate) fn layout(&self, address: &str, texts: &BTreeMap<Uuid, Vec<u8>>) -> Layout {
        let mut endpoints = BTreeMap::new();
        for (uuid, text) in texts {
            if let Some(name) = endpoint_name(text) {
                // The first of two that claim the same name.
                endpoints.entry(name).or_insert(*uuid);
            }
        }
        for fixed in simulated::characteristics(self.service, FIXED) {
            let unnamed = !endpoints.values().any(|uuid| *uuid == fixed.uuid);
            if unnamed && self.characteristics.iter().any(|found| found.uuid() == fixed.uuid) {
                endpoints.entry(fixed.endpoint).or_insert(fixed.uuid);
            }
        }
        Layout {
            address: address.to_owned(),
            service: self.service,
            characteristics: self.characteristics.iter().map(Characteristic::uuid).collect(),
            endpoints,
        }
    }
}

impl Layout {
    /// Whose layout it is: [`BleLink::address`](super::BleLink::address).
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn service(&self) -> Uuid {
        self.service
    }

    pub(crate) fn characteristic(&self, endpoint: &str) -> Option<Uuid> {
        self.endpoints.get(endpoint).copied()
    }

    pub(crate) fn speaks_protocomm(&self) -> bool {
        self.endpoints.contains_key("prov-session")
    }
}

fn endpoint_name(text: &[u8]) -> Option<String> {
    // Some firmware counts the C string's end in.
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    let plain = !text.is_empty() && text.len() <= MAX_NAME && text.iter().all(u8::is_ascii_graphic);
    plain.then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Service = (Uuid, Vec<Uuid>);

    impl Characteristic for Uuid {
        fn uuid(&self) -> Uuid {
            *self
        }
    }

    fn service(uuid: Uuid, characteristics: impl IntoIterator<Item = Uuid>) -> Service {
        (uuid, characteristics.into_iter().collect())
    }

    fn provisioning(uuid: Uuid) -> Service {
        service(uuid, simulated::characteristics(uuid, FIXED).into_iter().map(|found| found.uuid))
    }

    #[test]
    fn what_a_descriptor_says_goes_before_the_uuid() {
        let own = provisioning(SERVICE);
        let candidate = Candidate::among([own]).unwrap().remove(0);
        let uuids = simulated::characteristics(SERVICE, FIXED);
        let texts = BTreeMap::from([
            (uuids[5].uuid, b"prov-session\0".to_vec()),
            (uuids[2].uuid, b"dps-config".to_vec()),
            (uuids[0].uuid, b"\xff\xfe".to_vec()),
        ]);
        let layout = candidate.layout("X", &texts);
        assert_eq!(layout.characteristic("prov-session"), Some(uuids[5].uuid));
        assert_eq!(layout.characteristic("dps-config"), Some(uuids[2].uuid));
        assert_eq!(layout.characteristic("prov-ctrl"), Some(uuids[0].uuid));
        assert_eq!(layout.characteristic("proto-ver"), Some(uuids[4].uuid));
    }

    #[test]
    fn the_service_is_found_by_its_uuid_or_by_its_characteristics() {
        let foreign = Uuid::from_u128(0x12345678_1234_1234_1234_1234567890ab);
        let gap = service(Uuid::from_u128(0x00001800_0000_1000_8000_00805f9b34fb), [foreign]);
        let other = service(Uuid::from_u128(7), [foreign]);
        for uuid in [SERVICE, SERVICE_COMMON, foreign] {
            let found = Candidate::among([gap.clone(), other.clone(), provisioning(uuid)]).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].service, uuid);
        }
        assert_eq!(Candidate::among([gap.clone(), other]).unwrap().len(), 1);
        assert!(matches!(Candidate::among([gap]), Err(LinkError::Garbage)));
    }

    #[test]
    fn a_device_with_endless_services_or_characteristics_is_garbage() {
        let many = (0..MAX_SERVICES as u128 + 1).map(|number| service(Uuid::from_u128(number), [SERVICE]));
        assert!(matches!(Candidate::among(many), Err(LinkError::Garbage)));
        let many = (0..MAX_CHARACTERISTICS as u128 + 1).map(Uuid::from_u128);
        assert!(matches!(Candidate::among([service(SERVICE, many)]), Err(LinkError::Garbage)));
    }

    #[test]
    fn a_kept_layout_serves_only_the_device_it_was_read_from() {
        let candidate = Candidate::among([provisioning(SERVICE)]).unwrap().remove(0);
        let layout = candidate.layout("kept:1", &BTreeMap::new());
        remember_layouts([layout.clone()]);
        assert!(known_layouts().contains(&layout));
        assert_eq!(candidate.known("kept:1"), Some(layout));
        assert_eq!(candidate.known("kept:2"), None);
        let mut updated = provisioning(SERVICE);
        updated.1.pop();
        assert_eq!(Candidate::among([updated]).unwrap()[0].known("kept:1"), None);
        forget("kept:1");
        assert_eq!(candidate.known("kept:1"), None);
    }
}
