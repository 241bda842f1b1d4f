//! The phone's Bluetooth.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use lowtouch_installer::app_radio::{self as core, RadioError};
use uniffi::UnexpectedUniFFICallbackError;
use uuid::Uuid;

/// The phone's Bluetooth Low Energy, in the central's role. The app implements it.
///
/// Every call has a deadline in the core. A call that is given up is cancelled (the coroutine's job, the task); the app then
/// lets go of whatever it had begun.
#[uniffi::export(foreign)]
#[async_trait]
pub trait BleCentral: Send + Sync {
    /// Listens from now on.
    async fn scan(&self, filter: BleScanFilter) -> Result<RunningScan, BleError>;

    /// Connects to a device by its address. Errors that the phone's own stack makes (Android's 133) are tried again here.
    async fn connect(&self, address: String) -> Result<OpenConnection, BleError>;
}

/// A radio that listens.
#[uniffi::export(foreign)]
#[async_trait]
pub trait BleScan: Send + Sync {
    /// The next advertisement, whenever it comes; a device that is heard again is told again.
    async fn next(&self) -> Result<BleAdvertisement, BleError>;

    /// Ends it. Called once more does nothing.
    async fn stop(&self) -> Result<(), BleError>;
}

/// A connected device. One call at a time, but for `disconnected`, which waits beside the others.
#[uniffi::export(foreign)]
#[async_trait]
pub trait BleConnection: Send + Sync {
    /// Asks for an MTU and says which one there is, 23 to 517. A refusal is an answer, no error.
    async fn request_mtu(&self, mtu: u16) -> Result<u16, BleError>;

    /// All services and characteristics; with `descriptions` also the values of their 0x2901 descriptors.
    async fn discover(&self, descriptions: bool) -> Result<Vec<BleService>, BleError>;

    /// Writes a whole value with response, at most 512 bytes.
    async fn write(&self, characteristic: BleCharacteristicId, value: Vec<u8>) -> Result<(), BleError>;

    /// Reads the whole value, at most 512 bytes.
    async fn read(&self, characteristic: BleCharacteristicId) -> Result<Vec<u8>, BleError>;

    /// Comes back when the connection has ended by itself, with the system's number for why; at once when it has ended
    /// already.
    async fn disconnected(&self) -> Result<i32, BleError>;

    /// Ends the connection and waits until the radio has let go, at most 5 s. Called once more does nothing.
    async fn disconnect(&self) -> Result<(), BleError>;
}

/// A [`BleScan`]: rustc cannot yet see that a future with `Arc<dyn …>` in its result may change threads.
pub struct RunningScan(pub Arc<dyn BleScan>);

/// A [`BleConnection`], as [`RunningScan`].
pub struct OpenConnection(pub Arc<dyn BleConnection>);

uniffi::custom_newtype!(RunningScan, Arc<dyn BleScan>);
uniffi::custom_newtype!(OpenConnection, Arc<dyn BleConnection>);

/// What a scan is for. Only a hint: the core looks at everything that is heard.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct BleScanFilter {
    /// Services of which a device advertises at least one; empty: all devices.
    pub services: Vec<Uuid>,
    /// The device's name, if one device is looked for.
    pub name: Option<String>,
}

/// What a device says of itself to everybody.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct BleAdvertisement {
    /// `AA:BB:CC:DD:EE:FF`, or the phone's own identifier where it hides addresses (iOS).
    pub address: String,
    /// Its name, if the advertisement has one.
    pub name: Option<String>,
    /// Signal strength in dBm, if the radio can tell.
    pub rssi: Option<i16>,
    /// The advertised services.
    pub services: Vec<Uuid>,
    /// Service data.
    pub service_data: Vec<BleServiceData>,
}

/// Data that is advertised for a service.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct BleServiceData {
    /// The service.
    pub uuid: Uuid,
    /// The data.
    pub data: Vec<u8>,
}

/// A service of a device.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct BleService {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its characteristics.
    pub characteristics: Vec<BleCharacteristic>,
}

/// A characteristic of a service.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct BleCharacteristic {
    /// Which one.
    pub id: BleCharacteristicId,
    /// Whether it can be read.
    pub readable: bool,
    /// Whether it can be written with response.
    pub writable: bool,
    /// Its 0x2901 descriptor's value, if that was asked for and there is one.
    pub description: Option<Vec<u8>>,
}

/// Names a characteristic of a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, uniffi::Record)]
pub struct BleCharacteristicId {
    /// Of its service.
    pub service: Uuid,
    /// Its own.
    pub uuid: Uuid,
    /// Which of several with the same UUIDs, from 0.
    pub instance: u32,
}

/// Why the radio could not do it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Error, thiserror::Error)]
pub enum BleError {
    /// The person has not given the app these permissions.
    #[error("the app lacks the permission {}", .permissions.join(", "))]
    PermissionMissing {
        /// By the system's names.
        permissions: Vec<String>,
    },
    /// Bluetooth is off.
    #[error("Bluetooth is off")]
    AdapterOff,
    /// The phone has no Bluetooth LE.
    #[error("there is no Bluetooth LE")]
    NoAdapter,
    /// Location is off, and without it the system hides what is heard (Android up to 11).
    #[error("location is off")]
    LocationOff,
    /// The system allows no further scan for a while (Android: five in 30 s).
    #[error("too many scans in a short time")]
    ScanThrottled,
    /// No connection came about.
    #[error("the device does not let itself be connected to")]
    NotInReach,
    /// The connection ended before or during the call.
    #[error("disconnected (status {status})")]
    Disconnected {
        /// The system's number.
        status: i32,
    },
    /// The device answered with an ATT error.
    #[error("ATT error {code:#04x}")]
    Att {
        /// Of ATT.
        code: u8,
    },
    /// The device wants a Bluetooth pairing first.
    #[error("the device wants a Bluetooth pairing first")]
    WantsBonding,
    /// Anything else, an exception too. No secrets in it.
    #[error("{detail}")]
    Failed {
        /// What happened.
        detail: String,
    },
}

impl From<UnexpectedUniFFICallbackError> for BleError {
    fn from(error: UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { detail: error.reason }
    }
}

impl From<BleError> for RadioError {
    fn from(error: BleError) -> Self {
        match error {
            BleError::PermissionMissing { permissions } => Self::PermissionMissing { permissions },
            BleError::AdapterOff => Self::AdapterOff,
            BleError::NoAdapter => Self::NoAdapter,
            BleError::LocationOff => Self::LocationOff,
            BleError::ScanThrottled => Self::ScanThrottled,
            BleError::NotInReach => Self::NotInReach,
            BleError::Disconnected { status } => Self::Disconnected { status },
            BleError::Att { code } => Self::Att { code },
            BleError::WantsBonding => Self::WantsBonding,
            BleError::Failed { detail } => Self::Failed { detail },
        }
    }
}

/// The app's radio as the core's.
pub(crate) struct Radio(pub(crate) Arc<dyn BleCentral>);

struct Scan(Arc<dyn BleScan>);

struct Connection(Arc<dyn BleConnection>);

#[async_trait]
impl core::Central for Radio {
    async fn scan(&self, filter: core::ScanFilter) -> Result<Box<dyn core::Scan>, RadioError> {
        let scan = self.0.scan(BleScanFilter { services: filter.services, name: filter.name }).await?;
        Ok(Box::new(Scan(scan.0)))
    }

    async fn connect(&self, address: &str) -> Result<Box<dyn core::Connection>, RadioError> {
        Ok(Box::new(Connection(self.0.connect(address.to_owned()).await?.0)))
    }
}

#[async_trait]
impl core::Scan for Scan {
    async fn next(&self) -> Result<core::Advertisement, RadioError> {
        let heard = self.0.next().await?;
        let service_data = heard.service_data.into_iter().map(|service| (service.uuid, service.data));
        Ok(core::Advertisement {
            address: heard.address,
            name: heard.name,
            rssi: heard.rssi,
            services: heard.services,
            service_data: service_data.collect::<HashMap<_, _>>(),
        })
    }

    async fn stop(&self) {
        if let Err(error) = self.0.stop().await {
            tracing::debug!(%error, "the scan does not stop");
        }
    }
}

#[async_trait]
impl core::Connection for Connection {
    async fn request_mtu(&self, mtu: u16) -> Result<u16, RadioError> {
        Ok(self.0.request_mtu(mtu).await?)
    }

    async fn discover(&self, descriptions: bool) -> Result<Vec<core::Service>, RadioError> {
        let services = self.0.discover(descriptions).await?;
        let characteristic = |found: BleCharacteristic| core::Characteristic {
            id: core::CharacteristicId { service: found.id.service, uuid: found.id.uuid, instance: found.id.instance },
            readable: found.readable,
            writable: found.writable,
            description: found.description,
        };
        let service = |service: BleService| core::Service {
            uuid: service.uuid,
            characteristics: service.characteristics.into_iter().map(characteristic).collect(),
        };
        Ok(services.into_iter().map(service).collect())
    }

    async fn write(&self, characteristic: &core::CharacteristicId, value: Vec<u8>) -> Result<(), RadioError> {
        Ok(self.0.write(id(characteristic), value).await?)
    }

    async fn read(&self, characteristic: &core::CharacteristicId) -> Result<Vec<u8>, RadioError> {
        Ok(self.0.read(id(characteristic)).await?)
    }

    async fn closed(&self) -> RadioError {
        match self.0.disconnected().await {
            Ok(status) => RadioError::Disconnected { status },
            Err(error) => error.into(),
        }
    }

    async fn close(&self) {
        if let Err(error) = self.0.disconnect().await {
            tracing::debug!(%error, "the connection does not end");
        }
    }
}

fn id(characteristic: &core::CharacteristicId) -> BleCharacteristicId {
    BleCharacteristicId {
        service: characteristic.service,
        uuid: characteristic.uuid,
        instance: characteristic.instance,
    }
}
