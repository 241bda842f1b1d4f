use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use lowtouch_links::simulated::GattError;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zbus::message::{Header, Type};
use zbus::zvariant::{ObjectPath, OwnedValue, Value};
use zbus::{Connection, Message, MessageStream};

use crate::objects::{ADAPTER, ADAPTER1, CHARACTERISTIC1, DEVICE1, Object, Properties, device_path};
use crate::world::{AdapterState, World};
use crate::{Bus, Fault};

/// The running service.
pub struct FakeBluez {
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    bus: Connection,
    world: Mutex<World>,
}

type Refused = (&'static str, String);

enum Reply {
    Nothing,
    Text(String),
    Value(OwnedValue),
    Properties(Properties),
    Bytes(Vec<u8>),
    Tree(HashMap<ObjectPath<'static>, HashMap<String, Properties>>),
    Never,
}

fn refused<T>(name: &'static str, message: &str) -> Result<T, Refused> {
    Err((name, message.to_owned()))
}

fn failed<T>(message: &str) -> Result<T, Refused> {
    refused("org.bluez.Error.Failed", message)
}

impl FakeBluez {
    /// Takes the name `org.bluez` on `bus` and answers for `world`.
    pub async fn start(bus: &Bus, world: World) -> Self {
        let bus = zbus::connection::Builder::address(bus.address()).unwrap().build().await.unwrap();
        let calls = MessageStream::from(&bus);
        bus.request_name("org.bluez").await.unwrap();
        let inner = Arc::new(Inner { bus, world: Mutex::new(world) });
        let task = tokio::spawn(serve(inner.clone(), calls));
        Self { inner, task }
    }

    /// Changes the world, without telling anybody.
    pub async fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut *self.inner.world.lock().await)
    }

    /// How often `member` was called.
    pub async fn calls(&self, member: &str) -> usize {
        self.inner.world.lock().await.calls.get(member).copied().unwrap_or(0)
    }

    /// Waits until `member` has been called `times` in all.
    pub async fn called(&self, member: &str, times: usize) {
        self.until(async || self.calls(member).await >= times, "the call comes").await;
    }

    /// Waits until no scan runs.
    pub async fn stopped_scanning(&self) {
        self.until(async || !self.is_scanning().await, "the scan stops").await;
    }

    async fn until(&self, holds: impl AsyncFn() -> bool, what: &str) {
        let waited = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), waited).await.expect(what);
    }

    /// Whether the device is connected.
    pub async fn is_connected(&self, address: &str) -> bool {
        self.inner.world.lock().await.devices[address].connected
    }

    /// Whether a scan runs.
    pub async fn is_scanning(&self) -> bool {
        self.inner.world.lock().await.scanning
    }

    /// The device goes out of reach.
    pub async fn disconnect(&self, address: &str) {
        self.inner.disconnect(address).await;
    }

    /// The adapter is pulled out: its objects vanish, as they do with BlueZ.
    pub async fn pull_adapter(&self) {
        self.inner.pull_adapter().await;
    }

    /// Sends `count` notifications of the device's first characteristic.
    pub async fn notify(&self, address: &str, count: usize) {
        let paths = self.inner.world.lock().await.devices[address].paths;
        let path = format!("{}/service{paths:04x}/char0000", device_path(address));
        for number in 0..count {
            let value = Value::from(vec![0u8; 20 + number % 200]);
            self.inner.changed(&path, CHARACTERISTIC1, "Value", value).await;
        }
    }

    /// The daemon ends, answering nothing that is pending; all connections with it. Gives the world back.
    pub async fn stop(self) -> World {
        self.task.abort();
        let _ = self.task.await;
        let _ = self.inner.bus.clone().close().await;
        let mut world = self.inner.world.lock().await;
        for device in world.devices.values_mut() {
            if std::mem::take(&mut device.connected) {
                device.gatt.peripheral.lock().await.disconnect().await;
            }
        }
        world.scanning = false;
        world.devices.values_mut().for_each(|device| device.heard = false);
        std::mem::replace(&mut world, World::new([]))
    }
}

async fn serve(inner: Arc<Inner>, mut calls: MessageStream) {
    while let Some(Ok(message)) = calls.next().await {
        if message.message_type() == Type::MethodCall {
            let inner = inner.clone();
            tokio::spawn(async move { inner.answer(&message).await });
        }
    }
}

impl Inner {
    async fn answer(&self, message: &Message) {
        let header = message.header();
        let path = header.path().map(ToString::to_string).unwrap_or_default();
        let member = header.member().map(ToString::to_string).unwrap_or_default();
        let interface = header.interface().map(ToString::to_string).unwrap_or_default();
        // The client may be gone, or this daemon be ending.
        let _ = match self.call(&path, &interface, &member, message).await {
            Ok(Reply::Nothing) => self.bus.reply(&header, &()).await,
            Ok(Reply::Text(text)) => self.bus.reply(&header, &text).await,
            Ok(Reply::Value(value)) => self.bus.reply(&header, &value).await,
            Ok(Reply::Properties(properties)) => self.bus.reply(&header, &properties).await,
            Ok(Reply::Bytes(bytes)) => self.bus.reply(&header, &bytes).await,
            Ok(Reply::Tree(tree)) => self.bus.reply(&header, &(tree,)).await,
            Ok(Reply::Never) => return,
            Err((name, text)) => self.refuse(&header, name, &text).await,
        };
    }

    async fn refuse(&self, header: &Header<'_>, name: &'static str, text: &str) -> zbus::Result<()> {
        self.bus.reply_error(header, name, &text).await
    }

    async fn call(&self, path: &str, interface: &str, member: &str, message: &Message) -> Result<Reply, Refused> {
        let (object, fault) = {
            let mut world = self.world.lock().await;
            let object = world.at(path);
            let counted = match &object {
                Some(Object::Descriptor(..)) if member == "ReadValue" => "ReadDescriptor",
                _ => member,
            };
            *world.calls.entry(counted.to_owned()).or_default() += 1;
            (object, world.rules.iter_mut().find_map(|rule| rule.meets(counted)))
        };
        let Some(object) = object else {
            return refused(
                "org.freedesktop.DBus.Error.UnknownObject",
                &format!("Method \"{member}\" with interface \"{interface}\" doesn't exist"),
            );
        };
        let mut after = None;
        match fault {
            None => {}
            Some(Fault::Error(name, text)) => return refused(name, text),
            Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Never) => return Ok(Reply::Never),
            Some(Fault::Disconnect) => {
                if let Some(address) = object.device() {
                    self.disconnect(address).await;
                }
                return failed(if member == "Connect" { "le-connection-abort-by-local" } else { "Operation failed" });
            }
            Some(Fault::PullAdapter) => {
                self.pull_adapter().await;
                return Ok(Reply::Never);
            }
            Some(Fault::ChangeServices) => {
                if let Some(address) = object.device() {
                    self.world.lock().await.devices.get_mut(address).unwrap().paths += 0x10;
                }
                return refused("org.freedesktop.DBus.Error.UnknownObject", "the characteristic is gone");
            }
            Some(fault @ (Fault::DisconnectAfter | Fault::Value(_))) => after = Some(fault),
        }
        let answer = self.perform(&object, interface, member, message).await;
        match (after, object.device()) {
            (Some(Fault::DisconnectAfter), Some(address)) => {
                self.disconnect(address).await;
                failed("Operation failed")
            }
            (Some(Fault::Value(value)), _) => answer.map(|_| Reply::Bytes(value)),
            _ => answer,
        }
    }

    async fn perform(
        &self,
        object: &Object,
        interface: &str,
        member: &str,
        message: &Message,
    ) -> Result<Reply, Refused> {
        match (object, interface.rsplit('.').next().unwrap_or_default(), member) {
            (_, "Introspectable", "Introspect") => {
                let children = self.world.lock().await.children(object);
                let nodes: String = children.iter().map(|child| format!("<node name=\"{child}\"/>")).collect();
                Ok(Reply::Text(format!("<node>{nodes}</node>")))
            }
            (Object::Root, "ObjectManager", "GetManagedObjects") => {
                let world = self.world.lock().await;
                let tree = world.tree().into_iter().map(|(path, object)| {
                    let interfaces = HashMap::from([(object.interface().to_owned(), world.properties(&object))]);
                    (ObjectPath::try_from(path).unwrap(), interfaces)
                });
                Ok(Reply::Tree(tree.collect()))
            }
            (_, "Properties", "GetAll") => Ok(Reply::Properties(self.world.lock().await.properties(object))),
            (_, "Properties", "Get") => {
                let (_, name): (String, String) = message.body().deserialize().unwrap();
                match self.world.lock().await.properties(object).remove(&name) {
                    Some(value) => Ok(Reply::Value(value)),
                    None => refused("org.freedesktop.DBus.Error.InvalidArgs", &format!("No such property '{name}'")),
                }
            }
            (Object::Adapter, "Properties", "Set") => match self.world.lock().await.adapter {
                AdapterState::Blocked => refused("org.bluez.Error.Blocked", "Blocked through rfkill"),
                _ => Ok(Reply::Nothing),
            },
            (Object::Adapter, "Adapter1", "SetDiscoveryFilter") => Ok(Reply::Nothing),
            (Object::Adapter, "Adapter1", "StartDiscovery") => self.scan(true).await,
            (Object::Adapter, "Adapter1", "StopDiscovery") => self.scan(false).await,
            (Object::Device(address), "Device1", "Connect") => self.connect(address).await,
            (Object::Device(address), "Device1", "Disconnect") => {
                self.disconnect(address).await;
                Ok(Reply::Nothing)
            }
            (Object::Characteristic(address, index), _, "WriteValue") => {
                let (value, _): (Vec<u8>, HashMap<String, OwnedValue>) = message.body().deserialize().unwrap();
                self.gatt(address, *index, Some(value)).await
            }
            (Object::Characteristic(address, index), _, "ReadValue") => self.gatt(address, *index, None).await,
            (Object::Descriptor(address, index), _, "ReadValue") => {
                let world = self.world.lock().await;
                Ok(Reply::Bytes(world.devices[address].gatt.characteristics[*index].endpoint.clone().into_bytes()))
            }
            _ => refused("org.freedesktop.DBus.Error.UnknownMethod", &format!("{interface}.{member}")),
        }
    }

    async fn scan(&self, on: bool) -> Result<Reply, Refused> {
        let heard: Vec<_> = {
            let mut world = self.world.lock().await;
            match world.adapter {
                AdapterState::On => {}
                _ => return refused("org.bluez.Error.NotReady", "Resource Not Ready"),
            }
            if !on && !world.scanning {
                return failed("No discovery started");
            }
            world.scanning = on;
            if on {
                world.devices.values_mut().for_each(|device| device.heard = true);
            }
            let listed = world.tree().into_iter().filter(|(_, object)| matches!(object, Object::Device(_)));
            listed.map(|(path, object)| (path, world.properties(&object))).collect()
        };
        for (path, properties) in heard.into_iter().filter(|_| on) {
            let path = ObjectPath::try_from(path).unwrap();
            let added = (path, HashMap::from([(DEVICE1, properties)]));
            let manager = "org.freedesktop.DBus.ObjectManager";
            let _ = self.bus.emit_signal(None::<&str>, "/", manager, "InterfacesAdded", &added).await;
        }
        self.changed(ADAPTER, ADAPTER1, "Discovering", on.into()).await;
        Ok(Reply::Nothing)
    }

    async fn connect(&self, address: &str) -> Result<Reply, Refused> {
        let peripheral = {
            let world = self.world.lock().await;
            let device = &world.devices[address];
            if device.connected {
                return Ok(Reply::Nothing);
            }
            device.gatt.peripheral.clone()
        };
        let characteristics = peripheral.lock().await.connect().await;
        let Ok(characteristics) = characteristics else { return failed("le-connection-abort-by-local") };
        {
            let mut world = self.world.lock().await;
            let device = world.devices.get_mut(address).unwrap();
            device.gatt.characteristics = characteristics;
            device.connected = true;
        }
        let path = device_path(address);
        self.changed(&path, DEVICE1, "Connected", true.into()).await;
        self.changed(&path, DEVICE1, "ServicesResolved", true.into()).await;
        Ok(Reply::Nothing)
    }

    async fn disconnect(&self, address: &str) {
        let peripheral = {
            let mut world = self.world.lock().await;
            let Some(device) = world.devices.get_mut(address) else { return };
            if !std::mem::take(&mut device.connected) {
                return;
            }
            device.gatt.peripheral.clone()
        };
        peripheral.lock().await.disconnect().await;
        let path = device_path(address);
        self.changed(&path, DEVICE1, "ServicesResolved", false.into()).await;
        self.changed(&path, DEVICE1, "Connected", false.into()).await;
    }

    async fn pull_adapter(&self) {
        let gone: Vec<_> = {
            let mut world = self.world.lock().await;
            let gone = world.tree();
            world.adapter = AdapterState::Absent;
            world.scanning = false;
            for device in world.devices.values_mut() {
                (device.heard, device.connected) = (false, false);
            }
            gone.into_iter().map(|(path, object)| (path, object.interface())).collect()
        };
        for (path, interface) in gone {
            let path = ObjectPath::try_from(path).unwrap();
            let manager = "org.freedesktop.DBus.ObjectManager";
            let removed = (path, vec![interface]);
            let _ = self.bus.emit_signal(None::<&str>, "/", manager, "InterfacesRemoved", &removed).await;
        }
    }

    async fn gatt(&self, address: &str, index: usize, written: Option<Vec<u8>>) -> Result<Reply, Refused> {
        let (peripheral, uuid) = {
            let world = self.world.lock().await;
            let gatt = &world.devices[address].gatt;
            (gatt.peripheral.clone(), gatt.characteristics[index].uuid)
        };
        if written.as_ref().is_some_and(|value| value.len() > 512) {
            return refused("org.bluez.Error.InvalidArguments", "Invalid argument length");
        }
        let mut peripheral = peripheral.lock().await;
        let done = match written {
            Some(value) => peripheral.write(uuid, &value).await.map(|()| Reply::Nothing),
            None => peripheral.read(uuid).await.map(Reply::Bytes),
        };
        drop(peripheral);
        match done {
            Ok(reply) => Ok(reply),
            Err(GattError::Att(code)) => failed(&format!("Operation failed with ATT error: {code:#04x}")),
            Err(_) => {
                self.disconnect(address).await;
                failed("Operation failed")
            }
        }
    }

    async fn changed(&self, path: &str, interface: &str, property: &str, value: Value<'_>) {
        let body = (interface, HashMap::from([(property, value)]), Vec::<String>::new());
        let properties = "org.freedesktop.DBus.Properties";
        let _ = self.bus.emit_signal(None::<&str>, path, properties, "PropertiesChanged", &body).await;
    }
}
