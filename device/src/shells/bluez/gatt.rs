//! The objects that BlueZ reads and calls: a service, its characteristics, their descriptions, an advertisement.

use std::collections::HashMap;

use lowtouch_links::simulated::{Characteristic, SERVICE};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;
use zbus::Connection;
use zbus::zvariant::{ObjectPath, OwnedObjectPath, OwnedValue};

/// The root of everything below.
pub(super) const APPLICATION: &str = "/org/lowtouch";
pub(super) const ADVERTISEMENT: &str = "/org/lowtouch/advertisement";
const THE_SERVICE: &str = "/org/lowtouch/service0";
/// Characteristic User Description (Bluetooth Core, Vol 3, Part G, 3.3.3.2).
const DESCRIPTION: &str = "00002901-0000-1000-8000-00805f9b34fb";

/// A GATT operation of a central, or the end of the advertisement.
pub(super) struct Request {
    pub(super) device: OwnedObjectPath,
    pub(super) characteristic: Uuid,
    pub(super) operation: Operation,
    pub(super) answer: oneshot::Sender<Result<Vec<u8>, Refusal>>,
}

pub(super) enum Operation {
    Write(Vec<u8>),
    Read,
    /// BlueZ has taken the advertisement away.
    Released,
}

/// What BlueZ turns into an ATT error: 0x0e, 0x0d, 0x07.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.bluez.Error")]
pub(super) enum Refusal {
    #[zbus(error)]
    ZBus(zbus::Error),
    Failed(String),
    InvalidValueLength(String),
    InvalidOffset(String),
}

/// Puts all objects on the bus.
pub(super) async fn publish(
    bus: &Connection,
    table: &[Characteristic],
    device_name: &str,
    requests: &mpsc::Sender<Request>,
) -> zbus::Result<()> {
    let server = bus.object_server();
    server.at(APPLICATION, zbus::fdo::ObjectManager).await?;
    server.at(THE_SERVICE, Service).await?;
    for (number, characteristic) in table.iter().enumerate() {
        let path = format!("{THE_SERVICE}/char{number}");
        let described = Description {
            characteristic: OwnedObjectPath::try_from(path.as_str())?,
            text: characteristic.endpoint.clone(),
        };
        server.at(format!("{path}/desc0"), described).await?;
        server.at(path, Endpoint { uuid: characteristic.uuid, requests: requests.clone() }).await?;
    }
    let advertisement = Advertisement { device_name: device_name.to_owned(), requests: requests.clone() };
    server.at(ADVERTISEMENT, advertisement).await?;
    Ok(())
}

struct Service;

#[zbus::interface(name = "org.bluez.GattService1")]
impl Service {
    #[zbus(property, name = "UUID")]
    fn uuid(&self) -> String {
        SERVICE.to_string()
    }

    #[zbus(property)]
    fn primary(&self) -> bool {
        true
    }
}

/// A characteristic. What it is asked goes to the device.
struct Endpoint {
    uuid: Uuid,
    requests: mpsc::Sender<Request>,
}

#[zbus::interface(name = "org.bluez.GattCharacteristic1")]
impl Endpoint {
    #[zbus(property, name = "UUID")]
    fn uuid(&self) -> String {
        self.uuid.to_string()
    }

    #[zbus(property)]
    fn service(&self) -> OwnedObjectPath {
        ObjectPath::from_static_str_unchecked(THE_SERVICE).into()
    }

    #[zbus(property)]
    fn flags(&self) -> Vec<&str> {
        vec!["read", "write"]
    }

    async fn read_value(&self, options: HashMap<String, OwnedValue>) -> Result<Vec<u8>, Refusal> {
        let value = self.ask(Operation::Read, &options).await?;
        from_offset(value, &options)
    }

    async fn write_value(&self, value: Vec<u8>, options: HashMap<String, OwnedValue>) -> Result<(), Refusal> {
        // BlueZ joins prepared writes before it calls.
        if offset(&options) != 0 {
            return Err(Refusal::InvalidOffset("a request is written whole".to_owned()));
        }
        self.ask(Operation::Write(value), &options).await.map(drop)
    }
}

impl Endpoint {
    async fn ask(&self, operation: Operation, options: &HashMap<String, OwnedValue>) -> Result<Vec<u8>, Refusal> {
        let off = || Refusal::Failed("the device is off".to_owned());
        let device = options.get("device").and_then(|device| device.downcast_ref::<ObjectPath<'_>>().ok());
        let device = device.ok_or_else(|| Refusal::Failed("a central without a name".to_owned()))?.into();
        let (answer, answered) = oneshot::channel();
        let request = Request { device, characteristic: self.uuid, operation, answer };
        self.requests.send(request).await.map_err(|_| off())?;
        answered.await.map_err(|_| off())?
    }
}

/// A characteristic's 0x2901 descriptor: the endpoint's name, by which apps find it.
struct Description {
    characteristic: OwnedObjectPath,
    text: String,
}

#[zbus::interface(name = "org.bluez.GattDescriptor1")]
impl Description {
    #[zbus(property, name = "UUID")]
    fn uuid(&self) -> &str {
        DESCRIPTION
    }

    #[zbus(property)]
    fn characteristic(&self) -> OwnedObjectPath {
        self.characteristic.clone()
    }

    #[zbus(property)]
    fn flags(&self) -> Vec<&str> {
        vec!["read"]
    }

    fn read_value(&self, options: HashMap<String, OwnedValue>) -> Result<Vec<u8>, Refusal> {
        from_offset(self.text.clone().into_bytes(), &options)
    }
}

struct Advertisement {
    device_name: String,
    requests: mpsc::Sender<Request>,
}

#[zbus::interface(name = "org.bluez.LEAdvertisement1")]
impl Advertisement {
    #[zbus(property, name = "Type")]
    fn kind(&self) -> &str {
        "peripheral"
    }

    #[zbus(property, name = "ServiceUUIDs")]
    fn service_uuids(&self) -> Vec<String> {
        vec![SERVICE.to_string()]
    }

    #[zbus(property)]
    fn local_name(&self) -> &str {
        &self.device_name
    }

    /// Without it bluetoothd's own scanners do not show the device.
    #[zbus(property)]
    fn discoverable(&self) -> bool {
        true
    }

    async fn release(&self) {
        let (answer, _) = oneshot::channel();
        let device = ObjectPath::from_static_str_unchecked("/").into();
        let released = Request { device, characteristic: Uuid::nil(), operation: Operation::Released, answer };
        // Nobody listens when the device is off.
        let _ = self.requests.send(released).await;
    }
}

fn offset(options: &HashMap<String, OwnedValue>) -> usize {
    options.get("offset").and_then(|offset| offset.downcast_ref::<u16>().ok()).map_or(0, usize::from)
}

/// The rest of a value that is longer than one ATT response.
fn from_offset(value: Vec<u8>, options: &HashMap<String, OwnedValue>) -> Result<Vec<u8>, Refusal> {
    let rest = value.get(offset(options)..);
    rest.map(<[u8]>::to_vec).ok_or_else(|| Refusal::InvalidOffset("past the value's end".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::zvariant::Value;

    fn at(offset: u16) -> HashMap<String, OwnedValue> {
        HashMap::from([("offset".to_owned(), Value::from(offset).try_to_owned().unwrap())])
    }

    #[test]
    fn a_long_value_is_read_in_pieces_and_never_past_its_end() {
        let value = b"abcdef".to_vec();
        assert_eq!(from_offset(value.clone(), &HashMap::new()).unwrap(), b"abcdef");
        assert_eq!(from_offset(value.clone(), &at(4)).unwrap(), b"ef");
        assert_eq!(from_offset(value.clone(), &at(6)).unwrap(), b"");
        assert!(matches!(from_offset(value, &at(7)), Err(Refusal::InvalidOffset(_))));
    }
}
