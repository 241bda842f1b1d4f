//! A radio that the app has: on a phone the app itself uses Bluetooth, and the core asks it.
//!
//! The app implements [`Central`], [`Scan`] and [`Connection`]; [`ForeignLink`] makes a [`Link`](crate::Link) of them, with
//! the same layout of services, limits and counts as [`ble`](crate::ble). Every call has a deadline here: one that never
//! comes back costs that long and no longer. A dropped call is given up, and the app cleans up after it.

mod find;
mod link;

use std::collections::HashMap;

use async_trait::async_trait;
use uuid::Uuid;

pub use find::{find, scan};
pub use link::ForeignLink;

/// The phone's Bluetooth, in the central's role.
#[async_trait]
pub trait Central: Send + Sync {
    /// Listens from now on. `filter` is a hint: more may be heard.
    ///
    /// # Errors
    /// [`RadioError`] says why the radio does not listen.
    async fn scan(&self, filter: ScanFilter) -> Result<Box<dyn Scan>, RadioError>;

    /// Connects to the device with this address (of an [`Advertisement`]).
    ///
    /// # Errors
    /// [`RadioError::NotInReach`] when the phone gives up.
    async fn connect(&self, address: &str) -> Result<Box<dyn Connection>, RadioError>;
}

impl std::fmt::Debug for dyn Central {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the app's own radio")
    }
}

/// A radio that listens.
#[async_trait]
pub trait Scan: Send + Sync {
    /// The next advertisement, whenever it comes; a device that is heard again is told again.
    ///
    /// # Errors
    /// Why the radio does not listen any more.
    async fn next(&self) -> Result<Advertisement, RadioError>;

    /// Ends it. Called once more does nothing.
    async fn stop(&self);
}

/// A connected device.
#[async_trait]
pub trait Connection: Send + Sync {
    /// Asks for an MTU and says which one there is, 23 to 517. A refusal is an answer.
    ///
    /// # Errors
    /// [`RadioError::Disconnected`] and the like.
    async fn request_mtu(&self, mtu: u16) -> Result<u16, RadioError>;

    /// All services and characteristics; with `descriptions` also the texts of their 0x2901 descriptors.
    ///
    /// # Errors
    /// [`RadioError::Disconnected`] and the like.
    async fn discover(&self, descriptions: bool) -> Result<Vec<Service>, RadioError>;

    /// Writes a whole value with response; a long one in several pieces.
    ///
    /// # Errors
    /// [`RadioError::Att`] when the device's handler refuses.
    async fn write(&self, characteristic: &CharacteristicId, value: Vec<u8>) -> Result<(), RadioError>;

    /// Reads the whole value.
    ///
    /// # Errors
    /// [`RadioError::Att`] when the device refuses.
    async fn read(&self, characteristic: &CharacteristicId) -> Result<Vec<u8>, RadioError>;

    /// Comes back when the connection has ended by itself, and says why.
    async fn closed(&self) -> RadioError;

    /// Ends the connection and waits until the radio has let go. Called once more does nothing.
    async fn close(&self);
}

/// What a scan is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanFilter {
    /// Services of which a device advertises at least one; empty: all devices.
    pub services: Vec<Uuid>,
    /// The device's name, if one device is looked for.
    pub name: Option<String>,
}

/// What a device says of itself to everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// `AA:BB:CC:DD:EE:FF`, or the phone's own identifier where it hides addresses (iOS).
    pub address: String,
    /// Its name, if the advertisement has one.
    pub name: Option<String>,
    /// Signal strength in dBm, if the radio can tell.
    pub rssi: Option<i16>,
    /// The advertised services.
    pub services: Vec<Uuid>,
    /// Service data, by its UUID.
    pub service_data: HashMap<Uuid, Vec<u8>>,
}

/// A service of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its characteristics.
    pub characteristics: Vec<Characteristic>,
}

/// A characteristic of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Characteristic {
    /// Which one.
    pub id: CharacteristicId,
    /// Whether it can be read.
    pub readable: bool,
    /// Whether it can be written with response.
    pub writable: bool,
    /// Its 0x2901 descriptor's value, if that was asked for and there is one.
    pub description: Option<Vec<u8>>,
}

/// Names a characteristic of a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CharacteristicId {
    /// Of its service.
    pub service: Uuid,
    /// Its own.
    pub uuid: Uuid,
    /// Which of several with the same UUIDs, from 0.
    pub instance: u32,
}

/// Why the phone's radio could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RadioError {
    /// The person has not given the app these permissions, by the system's names.
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
    /// Location is off, and without it the system hides what is heard.
    #[error("location is off")]
    LocationOff,
    /// The system allows no further scan for a while.
    #[error("too many scans in a short time")]
    ScanThrottled,
    /// No connection came about.
    #[error("the device does not let itself be connected to")]
    NotInReach,
    /// The connection ended.
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
    /// Anything else, the app's own faults too. No secrets.
    #[error("{detail}")]
    Failed {
        /// What happened.
        detail: String,
    },
}
