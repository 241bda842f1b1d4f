//! What the radio hears.

use std::time::Duration;

use lowtouch_links::{ble, foreign};
use serde::Serialize;
use uuid::Uuid;

use crate::error::PairingError;
use crate::pairing::link_error;

/// One device that a scan heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DeviceInReach {
    /// The advertised name, if any: what a label calls the device.
    pub name: Option<String>,
    /// `AA:BB:CC:DD:EE:FF`; the system's own identifier where it hides addresses (macOS).
    pub address: String,
    /// Signal strength in dBm, if the radio can tell.
    pub rssi: Option<i16>,
    /// `protocomm` (what Lowtouch pairs), `improv`, `smp` or `unknown`.
    pub kind: &'static str,
    /// Whether it is provisioned already, if it advertises that.
    pub provisioned: Option<bool>,
    /// The advertised services.
    pub services: Vec<Uuid>,
    /// As `kind`.
    #[serde(skip)]
    speaks: ble::Kind,
}

impl DeviceInReach {
    /// What it speaks.
    pub fn speaks(&self) -> ble::Kind {
        self.speaks
    }
}

/// Listens for `duration`; strongest first, devices of other kinds too.
///
/// # Errors
/// `bluetooth-unavailable` with the reason and the mend in its detail, `link-permission-denied`, `link-lost`.
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
pub async fn scan(duration: Duration) -> Result<Vec<DeviceInReach>, PairingError> {
    let found = ble::scan(duration).await.map_err(|error| link_error(&error))?;
    Ok(found.into_iter().map(DeviceInReach::from).collect())
}

/// As [`scan`], by the app's own radio.
///
/// # Errors
/// As [`scan`].
pub async fn scan_by(radio: &dyn foreign::Central, duration: Duration) -> Result<Vec<DeviceInReach>, PairingError> {
    let found = foreign::scan(radio, duration).await.map_err(|error| link_error(&error))?;
    Ok(found.into_iter().map(DeviceInReach::from).collect())
}

impl From<ble::Found> for DeviceInReach {
    fn from(found: ble::Found) -> Self {
        DeviceInReach {
            name: found.name,
            address: found.address,
            rssi: found.rssi,
            kind: found.kind.as_str(),
            speaks: found.kind,
            provisioned: found.provisioned,
            services: found.services,
        }
    }
}
