//! The device as a GATT server on this machine's own Bluetooth adapter, through BlueZ's D-Bus API.
//!
//! BlueZ calls [`gatt`]'s objects on the D-Bus connection's tasks. They only pass the operation on: everything of the
//! device happens inside [`Adapter::serve`], so nothing goes on when the power goes.

mod gatt;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt as _;
use lowtouch_links::simulated::{GattError, Peripheral as _, SERVICE, att_error, characteristics};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use zbus::fdo::{DBusProxy, ManagedObjects};
use zbus::zvariant::{ObjectPath, OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, MatchRule, Message, MessageStream, message};

use self::gatt::{ADVERTISEMENT, APPLICATION, Operation, Refusal, Request};
use super::ble::SimulatedPeripheral;
use crate::responder::Responder;

const BLUEZ: &str = "org.bluez";
const DEVICE: &str = "org.bluez.Device1";
const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
/// bluetoothd answers in milliseconds; a radio that it must disconnect takes two or three seconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// A Bluetooth adapter, and the name under which the device advertises itself on it.
pub(crate) struct Adapter {
    path: OwnedObjectPath,
    device_name: String,
    readvertise: Option<Duration>,
    /// Who has connected while the device was on.
    centrals: Mutex<HashSet<OwnedObjectPath>>,
}

impl Adapter {
    /// Finds the adapter, `hci1` or the first that can be a peripheral, and checks that it can be used.
    ///
    /// # Errors
    /// What is in the way, and the mend.
    pub(crate) async fn find(
        name: Option<&str>,
        device_name: String,
        readvertise: Option<Duration>,
    ) -> io::Result<Self> {
        let bus = system_bus().await?;
        let objects: ManagedObjects = call(&bus, "/", OBJECT_MANAGER, "GetManagedObjects", &()).await?;
        let mut adapters: Vec<_> = objects
            .iter()
            .filter(|(_, interfaces)| interfaces.keys().any(|name| name.as_str() == "org.bluez.Adapter1"))
            .collect();
        adapters.sort_by_key(|(path, _)| path.as_str());
        let known: Vec<&str> = adapters.iter().filter_map(|(path, _)| path.rsplit('/').next()).collect();
        let found = match name {
            Some(name) => adapters.iter().find(|(path, _)| path.rsplit('/').next() == Some(name)),
            None => adapters.first(),
        };
        let Some((path, interfaces)) = found else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                match (name, known.as_slice()) {
                    (Some(name), [_, ..]) => format!("there is no adapter {name}; there is {}", known.join(", ")),
                    _ => "this machine has no Bluetooth adapter: plug one in, and see whether `bluetoothctl list` shows it"
                        .to_owned(),
                },
            ));
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let property = |interface: &str, property: &str| {
            interfaces.iter().find(|(name, _)| name.as_str() == interface).and_then(|(_, all)| all.get(property))
        };
        if property("org.bluez.Adapter1", "Powered").is_some_and(|powered| powered.downcast_ref::<bool>() == Ok(false))
        {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                format!(
                    "the adapter {name} is off: switch it on with `bluetoothctl power on`, after `rfkill unblock \
                     bluetooth` where it is blocked"
                ),
            ));
        }
        match property("org.bluez.LEAdvertisingManager1", "SupportedInstances").map(|count| count.downcast_ref::<u8>())
        {
            None => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("the adapter {name} cannot be a Bluetooth LE peripheral: use another one, --link ble:hciN"),
            )),
            Some(Ok(0)) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("all advertisements of {name} are taken by other programs: end one of them"),
            )),
            Some(_) => {
                let path = (*path).clone();
                Ok(Self { path, device_name, readvertise, centrals: Mutex::default() })
            }
        }
    }

    /// Advertises and serves until dropped; returns only when the adapter is gone for good.
    pub(crate) async fn serve(&self, responder: Responder) -> io::Error {
        match self.try_serve(responder).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn try_serve(&self, responder: Responder) -> io::Result<std::convert::Infallible> {
        let bus = system_bus().await?;
        let table = characteristics(SERVICE, responder.endpoints().iter().copied());
        let mut peripheral = SimulatedPeripheral::new(responder);
        let (requests, mut requested) = mpsc::channel(4);
        gatt::publish(&bus, &table, &self.device_name, &requests).await.map_err(failed)?;
        let mut changes = Changes::of(&bus, &self.path).await.map_err(failed)?;
        let options: HashMap<&str, Value<'_>> = HashMap::new();
        let application = (ObjectPath::from_static_str_unchecked(APPLICATION), &options);
        self.call::<_, ()>(&bus, "org.bluez.GattManager1", "RegisterApplication", &application).await?;
        let advertisement = ObjectPath::from_static_str_unchecked(ADVERTISEMENT);
        let register = (&advertisement, &options);
        let manager = "org.bluez.LEAdvertisingManager1";
        self.call::<_, ()>(&bus, manager, "RegisterAdvertisement", &register).await?;
        let mut again = tokio::time::interval(self.readvertise.unwrap_or(Duration::MAX / 4));
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        again.reset();
        // The central that the device talks to; one at a time, as ESP-IDF has it.
        let mut central: Option<OwnedObjectPath> = None;
        loop {
            tokio::select! {
                // What bluetoothd said first is looked at first: a disconnect before the next central's write.
                biased;
                change = changes.next() => {
                    let (device, connected) = change.ok_or_else(gone)?;
                    tracing::debug!(%device, connected, "central");
                    if connected {
                        self.centrals().insert(device);
                    } else {
                        self.centrals().remove(&device);
                        if central.as_ref() == Some(&device) {
                            central = None;
                            peripheral.disconnect().await;
                        }
                    }
                }
                request = requested.recv() => {
                    let Some(Request { device, characteristic, operation, answer }) = request else { return Err(gone()) };
                    if let Operation::Released = operation {
                        return Err(gone());
                    }
                    let admitted = match &central {
                        Some(served) if *served != device => Err(GattError::Busy),
                        Some(_) => Ok(()),
                        None => peripheral.connect().await.map(drop),
                    };
                    let result = match (admitted, operation) {
                        (Err(error), _) => Err(error),
                        (Ok(()), Operation::Write(value)) => {
                            central = Some(device.clone());
                            peripheral.write(characteristic, &value).await.map(|()| Vec::new())
                        }
                        (Ok(()), _) => {
                            central = Some(device.clone());
                            peripheral.read(characteristic).await
                        }
                    };
                    let hang_up = result == Err(GattError::Disconnected);
                    // BlueZ may have stopped waiting.
                    let _ = answer.send(result.map_err(|error| match error {
                        GattError::Att(att_error::INVALID_LENGTH) => Refusal::InvalidValueLength(error.to_string()),
                        error => Refusal::Failed(error.to_string()),
                    }));
                    if hang_up {
                        hang_up_on(&bus, &device).await;
                    }
                }
                _ = again.tick(), if self.readvertise.is_some() && self.centrals().is_empty() => {
                    self.call::<_, ()>(&bus, manager, "UnregisterAdvertisement", &advertisement).await?;
                    self.call::<_, ()>(&bus, manager, "RegisterAdvertisement", &register).await?;
                }
            }
        }
    }

    /// What the radio does when the device loses its power: nobody stays connected. (A real radio's central notices
    /// only after its supervision time-out.)
    pub(crate) async fn drop_centrals(&self) {
        let centrals = std::mem::take(&mut *self.centrals());
        if centrals.is_empty() {
            return;
        }
        if let Ok(bus) = system_bus().await {
            for device in centrals {
                hang_up_on(&bus, &device).await;
            }
        }
    }

    fn centrals(&self) -> std::sync::MutexGuard<'_, HashSet<OwnedObjectPath>> {
        self.centrals.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn call<B, R>(&self, bus: &Connection, interface: &str, method: &str, body: &B) -> io::Result<R>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
        R: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
    {
        call(bus, &self.path, interface, method, body).await
    }
}

/// Which centrals come and go, in bluetoothd's own order.
struct Changes {
    received: mpsc::UnboundedReceiver<(OwnedObjectPath, bool)>,
    _listener: AbortOnDropHandle<()>,
}

impl Changes {
    /// Of the adapter. One stream of all that bluetoothd signals: two would not keep the order between "there is a central,
    /// not connected yet" and "it is connected". A task reads it, for a stream that waits stops the whole D-Bus connection.
    async fn of(bus: &Connection, adapter: &OwnedObjectPath) -> zbus::Result<Self> {
        let rule = MatchRule::builder().msg_type(message::Type::Signal).sender(BLUEZ)?.build();
        let mut signals = MessageStream::for_match_rule(rule, bus, None).await?;
        let mut ends = DBusProxy::new(bus).await?.receive_name_owner_changed_with_args(&[(0, BLUEZ)]).await?;
        let (sender, received) = mpsc::unbounded_channel();
        let adapter = adapter.as_str().to_owned();
        let listener = tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    signal = signals.next() => signal,
                    // This bluetoothd is gone, and what was registered with it.
                    _ = ends.next() => break,
                };
                let Some(Ok(signal)) = signal else { break };
                let change = connection_change(&signal).filter(|(device, _)| device.as_str().starts_with(&adapter));
                if change.is_some_and(|change| sender.send(change).is_err()) {
                    break;
                }
            }
        });
        Ok(Self { received, _listener: AbortOnDropHandle::new(listener) })
    }

    /// `None`: bluetoothd is gone.
    async fn next(&mut self) -> Option<(OwnedObjectPath, bool)> {
        self.received.recv().await
    }
}

/// The device that has connected or gone, if this signal says so.
fn connection_change(signal: &Message) -> Option<(OwnedObjectPath, bool)> {
    let (header, body) = (signal.header(), signal.body());
    match header.member()?.as_str() {
        // Of a central that was never here before, bluetoothd may say in one signal that it is there and connected.
        "InterfacesAdded" => {
            let (device, interfaces): (OwnedObjectPath, HashMap<&str, HashMap<&str, OwnedValue>>) =
                body.deserialize().ok()?;
            Some((device, connected(interfaces.get(DEVICE)?)?))
        }
        "InterfacesRemoved" => {
            let (device, interfaces): (OwnedObjectPath, Vec<&str>) = body.deserialize().ok()?;
            interfaces.contains(&DEVICE).then_some((device, false))
        }
        "PropertiesChanged" => {
            let (interface, changed, _): (&str, HashMap<&str, OwnedValue>, Vec<&str>) = body.deserialize().ok()?;
            let device = header.path()?.to_owned().into();
            if interface == DEVICE { Some((device, connected(&changed)?)) } else { None }
        }
        _ => None,
    }
}

fn connected(properties: &HashMap<&str, OwnedValue>) -> Option<bool> {
    properties.get("Connected")?.downcast_ref::<bool>().ok()
}

/// Best effort: it may be gone already.
async fn hang_up_on(bus: &Connection, device: &OwnedObjectPath) {
    if let Err(error) = call::<_, ()>(bus, device, DEVICE, "Disconnect", &()).await {
        tracing::debug!(%device, %error, "cannot hang up");
    }
}

async fn system_bus() -> io::Result<Connection> {
    Connection::system().await.map_err(|error| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("the D-Bus system bus, through which Bluetooth is reached, cannot be used: {error}"),
        )
    })
}

async fn call<B, R>(bus: &Connection, path: &str, interface: &str, method: &str, body: &B) -> io::Result<R>
where
    B: serde::Serialize + zbus::zvariant::DynamicType,
    R: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
{
    let called = bus.call_method(Some(BLUEZ), path, Some(interface), method, body);
    let reply = tokio::time::timeout(DEADLINE, called).await;
    let reply =
        reply.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("bluetoothd: no answer to {method}")))?;
    reply.map_err(failed)?.body().deserialize().map_err(failed)
}

/// bluetoothd's errors, with the mend where there is one.
fn failed(error: zbus::Error) -> io::Error {
    let zbus::Error::MethodError(name, text, _) = &error else { return io::Error::other(error) };
    let text = text.as_deref().unwrap_or_default();
    match name.as_str() {
        "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner" => io::Error::new(
            io::ErrorKind::NotFound,
            "bluetoothd does not run: install the package bluez and start it with `systemctl start bluetooth`",
        ),
        "org.freedesktop.DBus.Error.AccessDenied" | "org.bluez.Error.NotAuthorized" => io::Error::new(
            io::ErrorKind::PermissionDenied,
            "this user may not use Bluetooth: join the group bluetooth, or run as root",
        ),
        "org.bluez.Error.NotReady" => {
            io::Error::new(io::ErrorKind::NotConnected, "the adapter is off: `bluetoothctl power on`")
        }
        name => io::Error::other(format!("bluetoothd refused: {name} {text}")),
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the adapter was switched off or unplugged, or bluetoothd has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(property: &str, value: bool) -> Message {
        let changed = HashMap::from([(property, Value::from(value))]);
        Message::signal("/org/bluez/hci1/dev_00_AA_01_00_00_42", "org.freedesktop.DBus.Properties", "PropertiesChanged")
            .unwrap()
            .build(&(DEVICE, changed, Vec::<&str>::new()))
            .unwrap()
    }

    #[test]
    fn a_central_that_comes_or_goes_is_noticed_and_other_properties_are_not() {
        let (device, connected) = connection_change(&signal("Connected", false)).unwrap();
        assert_eq!((device.as_str(), connected), ("/org/bluez/hci1/dev_00_AA_01_00_00_42", false));
        assert!(connection_change(&signal("Connected", true)).unwrap().1);
        assert_eq!(connection_change(&signal("Paired", true)), None);

        let path = OwnedObjectPath::try_from("/org/bluez/hci1/dev_00_AA_01_00_00_42").unwrap();
        let interfaces = HashMap::from([(DEVICE, HashMap::from([("Connected", Value::from(true))]))]);
        let appeared = Message::signal("/", OBJECT_MANAGER, "InterfacesAdded").unwrap();
        let appeared = appeared.build(&(&path, interfaces)).unwrap();
        assert_eq!(connection_change(&appeared), Some((path.clone(), true)));

        let removed = |interface: &str| {
            let removed = Message::signal("/", OBJECT_MANAGER, "InterfacesRemoved").unwrap();
            connection_change(&removed.build(&(&path, vec![interface])).unwrap())
        };
        assert_eq!(removed(DEVICE), Some((path.clone(), false)));
        assert_eq!(removed("org.bluez.Battery1"), None);
    }
}
