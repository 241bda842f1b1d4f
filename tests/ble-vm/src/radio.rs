//! The guest's two adapters, by way of bluetoothd.

use std::collections::HashMap;
use std::time::Duration;

use lowtouch_device::sim::SimLink;
use zbus::Connection;
use zbus::fdo::{DBusProxy, ObjectManagerProxy};
use zbus::names::BusName;
use zbus::zvariant::{OwnedObjectPath, Value};

const BLUEZ: &str = "org.bluez";
/// The app's; btleplug takes the first that is on.
const CENTRAL: &str = "/org/bluez/hci0";
const PERIPHERAL: &str = "/org/bluez/hci1";

/// The virtual radio.
#[derive(Clone)]
pub(crate) struct Radio {
    bus: Connection,
}

impl Radio {
    /// Waits for bluetoothd and switches both adapters on.
    pub(crate) async fn switch_on() -> Radio {
        let radio = Radio { bus: Connection::system().await.expect("the guest's D-Bus") };
        radio.both_on().await;
        radio
    }

    async fn both_on(&self) {
        for adapter in [CENTRAL, PERIPHERAL] {
            let mut tries = 0;
            while let Err(error) = self.power(adapter, true).await {
                tries += 1;
                assert!(tries < 200, "bluetoothd does not switch {adapter} on: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Ends bluetoothd without a word and waits for the next one, which `guest-init` starts.
    pub(crate) async fn restart(&self) {
        let bus = DBusProxy::new(&self.bus).await.expect("the bus");
        let name = BusName::try_from(BLUEZ).expect("a name");
        // It may be gone by itself.
        if let Ok(process) = bus.get_connection_unix_process_id(name.clone()).await {
            let owner = bus.get_name_owner(name.clone()).await.ok();
            run("kill", &["-KILL", &process.to_string()]).await;
            while owner.is_some() && bus.get_name_owner(name.clone()).await.ok() == owner {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        self.both_on().await;
    }

    async fn power(&self, adapter: &str, on: bool) -> zbus::Result<()> {
        let body = ("org.bluez.Adapter1", "Powered", Value::from(on));
        self.bus
            .call_method(Some(BLUEZ), adapter, Some("org.freedesktop.DBus.Properties"), "Set", &body)
            .await
            .map(drop)
    }

    /// How a device uses its end of the radio.
    pub(crate) fn device_link(&self) -> SimLink {
        // btvirt tells a scanner once about each advertiser that begins.
        SimLink::Ble { adapter: Some("hci1".to_owned()), readvertise: Some(Duration::from_millis(300)) }
    }

    /// As if none had ever been seen.
    pub(crate) async fn forget_devices(&self) {
        for device in self.devices("/org/bluez/").await {
            let adapter = &device[..PERIPHERAL.len()];
            let path = OwnedObjectPath::try_from(device.as_str()).expect("BlueZ's own path");
            // It may just be going by itself.
            let removed = self.bus.call_method(Some(BLUEZ), adapter, Some("org.bluez.Adapter1"), "RemoveDevice", &path);
            if let Err(error) = removed.await {
                println!("       {device} is not forgotten: {error}");
            }
        }
    }

    /// The connection is gone at once, for both sides; bluetoothd's own `Disconnect` waits two seconds first.
    pub(crate) async fn cut(&self) {
        let listed = hcitool(&["con"]).await;
        // `< LE 00:AA:01:01:00:01 handle 42 state 1 lm CENTRAL`
        let words = listed.split_whitespace().collect::<Vec<_>>();
        let handles: Vec<_> = words.windows(2).filter(|pair| pair[0] == "handle").map(|pair| pair[1]).collect();
        assert!(!handles.is_empty(), "a connection to cut: {listed}");
        for handle in handles {
            hcitool(&["ledc", handle]).await;
        }
    }

    async fn devices(&self, of: &str) -> Vec<String> {
        let manager = ObjectManagerProxy::new(&self.bus, BLUEZ, "/").await.expect("bluetoothd");
        let objects: HashMap<_, _> = manager.get_managed_objects().await.expect("bluetoothd's objects");
        let devices = objects.iter().filter(|(path, interfaces)| {
            path.starts_with(of) && interfaces.keys().any(|name| name.as_str() == "org.bluez.Device1")
        });
        devices.map(|(path, _)| path.to_string()).collect()
    }
}

/// Speaks to the app's adapter itself.
async fn hcitool(arguments: &[&str]) -> String {
    run("hcitool", &[&["-i", "hci0"], arguments].concat()).await
}

async fn run(program: &str, arguments: &[&str]) -> String {
    let said = tokio::process::Command::new(program).args(arguments).output().await.expect(program);
    String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr)
}
