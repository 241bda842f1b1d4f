//! Ways to reach a device.
//!
//! A [`Link`] carries whole values to a device's named endpoints and brings the answers back: protocomm's transaction,
//! whatever is underneath. It knows nothing of what the bytes mean. [`open`] makes one from a [`LinkAddress`]:
//!
//! | address | link |
//! |---|---|
//! | `http://192.168.4.1:80` | [`http`]: protocomm over HTTP (SoftAP, or a gateway) |
//! | `serial:///dev/ttyUSB0?baud=115200` | [`serial`]: frames on a serial line, `docs/serial-framing.md` |
//! | `ble-sim://127.0.0.1:PORT?mtu=185&latency_ms=30` | [`simulated`]: BLE/GATT without a radio |
//! | `ble://NAME`, `ble://AA:BB:CC:DD:EE:FF` | [`ble`]: the real radio, `docs/ble.md` |
//!
//! On a phone the app has the radio: [`foreign`] makes the link.
//!
//! Every wait has a deadline ([`Deadlines`]) and goes through `tokio::time`, so that a paused clock simulates them all.
//! Nothing here retries an exchange: that is the caller's to decide, who knows whether the session can bear it.
#![warn(missing_docs)]

mod address;
pub mod ble;
mod deadlines;
mod error;
pub mod foreign;
pub mod http;
mod link;
pub mod serial;
pub mod serial_frame;
pub mod simulated;

pub use address::{AddressError, DEFAULT_BAUD, LinkAddress};
pub use deadlines::Deadlines;
pub use error::LinkError;
pub use link::{Link, Traffic};

/// Reaches the device at `address`. A returned link is connected: TCP is up, the serial device has said hello, or the
/// GATT characteristics are known.
///
/// # Errors
/// [`LinkError::NotFound`], [`LinkError::PermissionDenied`], [`LinkError::Busy`] and [`LinkError::Unsupported`] say why
/// there is nothing to talk to; [`LinkError::Timeout`] when the device does not answer within `deadlines.connect`.
pub async fn open(address: &LinkAddress, deadlines: Deadlines) -> Result<Box<dyn Link>, LinkError> {
    Ok(match address {
        LinkAddress::Http(url) => Box::new(http::HttpLink::open(url, deadlines).await?),
        LinkAddress::Serial { path, baud } => Box::new(serial::SerialLink::open(path, *baud, deadlines).await?),
        LinkAddress::BleSim { peripheral, radio } => {
            let remote = simulated::Remote::new(*peripheral, deadlines);
            let link = simulated::SimulatedLink::connect(Box::new(remote), radio.clone(), deadlines);
            Box::new(link.await?)
        }
        #[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
        LinkAddress::Ble { target } => Box::new(ble::BleLink::open(ble::Target::parse(target), deadlines).await?),
        #[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
        LinkAddress::Ble { .. } => {
            return Err(LinkError::Unsupported {
                what: "On this system the app itself uses Bluetooth. Use http:// or ble-sim:// here.".to_owned(),
            });
        }
    })
}
