//! D-Bus objects of the world: paths, properties, introspection.

use std::collections::HashMap;

use zbus::zvariant::{OwnedValue, Value};

use crate::world::{AdapterState, Device, World};

pub(crate) const ADAPTER: &str = "/org/bluez/hci0";
pub(crate) const ADAPTER1: &str = "org.bluez.Adapter1";
pub(crate) const DEVICE1: &str = "org.bluez.Device1";
pub(crate) const SERVICE1: &str = "org.bluez.GattService1";
pub(crate) const CHARACTERISTIC1: &str = "org.bluez.GattCharacteristic1";
pub(crate) const DESCRIPTOR1: &str = "org.bluez.GattDescriptor1";
const USER_DESCRIPTION: &str = "00002901-0000-1000-8000-00805f9b34fb";

pub(crate) type Properties = HashMap<String, OwnedValue>;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    Root,
    Adapter,
    Device(String),
    Service(String),
    Characteristic(String, usize),
    Descriptor(String, usize),
}

impl Object {
    pub(crate) fn device(&self) -> Option<&str> {
        match self {
            Self::Device(address) | Self::Service(address) => Some(address),
            Self::Characteristic(address, _) | Self::Descriptor(address, _) => Some(address),
            Self::Root | Self::Adapter => None,
        }
    }

    pub(crate) fn interface(&self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Adapter => ADAPTER1,
            Self::Device(_) => DEVICE1,
            Self::Service(_) => SERVICE1,
            Self::Characteristic(..) => CHARACTERISTIC1,
            Self::Descriptor(..) => DESCRIPTOR1,
        }
    }
}

fn owned<'a>(value: impl Into<Value<'a>>) -> OwnedValue {
    value.into().try_into().unwrap()
}

pub(crate) fn device_path(address: &str) -> String {
    format!("{ADAPTER}/dev_{}", address.replace(':', "_"))
}

impl World {
    /// The object at `path`, if there is one now.
    pub(crate) fn at(&self, path: &str) -> Option<Object> {
        if path == "/" {
            return Some(Object::Root);
        }
        if self.adapter == AdapterState::Absent {
            return None;
        }
        let mut parts = path.strip_prefix(ADAPTER)?.split('/').skip(1);
        let Some(device) = parts.next() else { return Some(Object::Adapter) };
        let address = device.strip_prefix("dev_")?.replace('_', ":");
        let found = self.devices.get(&address).filter(|found| self.lists(found))?;
        let Some(service) = parts.next() else { return Some(Object::Device(address)) };
        if !found.connected || service != format!("service{:04x}", found.paths) {
            return None;
        }
        let Some(characteristic) = parts.next() else { return Some(Object::Service(address)) };
        let index = usize::from_str_radix(characteristic.strip_prefix("char")?, 16).ok()?;
        if index >= found.gatt.characteristics.len() {
            return None;
        }
        match parts.next() {
            None => Some(Object::Characteristic(address, index)),
            Some("desc0001") if found.gatt.descriptors => Some(Object::Descriptor(address, index)),
            Some(_) => None,
        }
    }

    /// BlueZ has objects for what it hears, has heard in the last 30 s (here: ever), or is connected to.
    pub(crate) fn lists(&self, device: &Device) -> bool {
        device.heard || device.connected || device.rssi.is_none()
    }

    pub(crate) fn children(&self, object: &Object) -> Vec<String> {
        let device = object.device().and_then(|address| self.devices.get(address));
        match (object, device) {
            (Object::Device(_), Some(device)) if device.connected => vec![format!("service{:04x}", device.paths)],
            (Object::Service(_), Some(device)) => {
                (0..device.gatt.characteristics.len()).map(|index| format!("char{index:04x}")).collect()
            }
            (Object::Characteristic(..), Some(device)) if device.gatt.descriptors => vec!["desc0001".to_owned()],
            _ => Vec::new(),
        }
    }

    pub(crate) fn properties(&self, object: &Object) -> Properties {
        let mut all: Vec<(&str, OwnedValue)> = match object {
            Object::Root => Vec::new(),
            Object::Adapter => vec![
                ("Address", owned("00:1A:7D:DA:71:00")),
                ("AddressType", owned("public")),
                ("Modalias", owned("usb:v1D6Bp0246d0540")),
                ("Name", owned("fake")),
                ("Alias", owned("fake")),
                ("Powered", owned(self.adapter != AdapterState::Off)),
                ("Discovering", owned(self.scanning)),
            ],
            Object::Device(address) => {
                let device = &self.devices[address];
                let uuids: Vec<String> = device.services.iter().map(ToString::to_string).collect();
                let mut all = vec![
                    ("Address", owned(address.as_str())),
                    ("AddressType", owned("random")),
                    ("Alias", owned(device.name.clone().unwrap_or_else(|| address.replace(':', "-")))),
                    ("Paired", owned(false)),
                    ("Connected", owned(device.connected)),
                    ("ServicesResolved", owned(device.connected)),
                    ("Trusted", owned(false)),
                    ("Blocked", owned(false)),
                    ("LegacyPairing", owned(false)),
                    ("UUIDs", owned(uuids)),
                ];
                all.extend(device.name.as_deref().map(|name| ("Name", owned(name))));
                all.extend(device.rssi.filter(|_| self.scanning).map(|rssi| ("RSSI", owned(rssi))));
                let data: HashMap<String, Value<'_>> = device
                    .service_data
                    .iter()
                    .map(|(uuid, data)| (uuid.to_string(), Value::from(data.clone())))
                    .collect();
                all.push(("ServiceData", owned(data)));
                all
            }
            Object::Service(address) => {
                vec![("UUID", owned(self.devices[address].gatt.service.to_string())), ("Primary", owned(true))]
            }
            Object::Characteristic(address, index) => {
                let device = &self.devices[address];
                let mut all = vec![
                    ("UUID", owned(device.gatt.characteristics[*index].uuid.to_string())),
                    ("Flags", owned(vec!["read", "write"])),
                ];
                all.extend(device.mtu.map(|mtu| ("MTU", owned(mtu))));
                all
            }
            Object::Descriptor(..) => vec![("UUID", owned(USER_DESCRIPTION)), ("Flags", owned(vec!["read"]))],
        };
        all.retain(|(name, _)| {
            !self.missing.iter().any(|(interface, missing)| object.interface().ends_with(interface) && missing == name)
        });
        all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Everything that GetManagedObjects lists, by path.
    pub(crate) fn tree(&self) -> Vec<(String, Object)> {
        let mut tree = Vec::new();
        if self.adapter == AdapterState::Absent {
            return tree;
        }
        tree.push((ADAPTER.to_owned(), Object::Adapter));
        for (address, device) in &self.devices {
            if self.lists(device) {
                let mut open = vec![(device_path(address), Object::Device(address.clone()))];
                while let Some((path, object)) = open.pop() {
                    for child in self.children(&object) {
                        let child = format!("{path}/{child}");
                        if let Some(object) = self.at(&child) {
                            open.push((child, object));
                        }
                    }
                    tree.push((path, object));
                }
            }
        }
        tree
    }
}
