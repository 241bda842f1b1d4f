//! What is around: devices that the radio hears, what one says of itself, Wi-Fi networks that it hears.

use lowtouch_installer as core;
use uuid::Uuid;

use crate::failure::mirror;
use crate::{Attestation, DevicePhase};

mirror! {
    /// What a device speaks.
    DeviceKind of core::DeviceKind {
        /// Espressif's provisioning, and Lowtouch's.
        Protocomm,
        /// Improv Wi-Fi.
        Improv,
        /// MCUmgr.
        Smp,
    }
}

/// One device that the radio hears.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct NearbyDevice {
    /// The advertised name, if any: what a label calls the device.
    pub name: Option<String>,
    /// Its address.
    pub address: String,
    /// Signal strength in dBm, if the radio can tell.
    pub rssi: Option<i16>,
    /// What it speaks.
    pub kind: DeviceKind,
    /// Whether it is provisioned already, if it advertises that.
    pub provisioned: Option<bool>,
}

impl From<core::DeviceInReach> for NearbyDevice {
    fn from(device: core::DeviceInReach) -> Self {
        Self {
            kind: device.speaks().into(),
            name: device.name,
            address: device.address,
            rssi: device.rssi,
            provisioned: device.provisioned,
        }
    }
}

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct DeviceInfo {
    /// The link.
    pub link: String,
    /// Of its provisioning protocol.
    pub version: String,
    /// 0, 1 or 2.
    pub security: u8,
    /// Of the security scheme.
    pub security_patch: u8,
    /// Its own words.
    pub capabilities: Vec<String>,
    /// What its `dps-config` endpoint can do, if it has one.
    pub lowtouch: Option<Vec<String>>,
    /// From inside the session, when a label was given.
    pub identity: Option<DeviceIdentity>,
}

/// What a device says of itself inside a session.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct DeviceIdentity {
    /// As on the label.
    pub registration_id: String,
    /// The device's own word.
    pub model: String,
    /// The device's own word.
    pub firmware: String,
    /// Best first.
    pub attestations: Vec<Attestation>,
    /// Where it stands.
    pub phase: DevicePhase,
    /// The hand-off in force, if any.
    pub active_handoff_id: Option<Uuid>,
    /// Somebody owns it.
    pub owned: bool,
    /// Whether the firmware checks the owner's signature.
    pub checks_owner: bool,
    /// Whether it is on a network; null when it does not know.
    pub on_network: Option<bool>,
}

impl From<core::pairing::DeviceInfo> for DeviceInfo {
    fn from(info: core::pairing::DeviceInfo) -> Self {
        Self {
            link: info.link,
            version: info.version,
            security: info.security,
            security_patch: info.security_patch,
            capabilities: info.capabilities,
            lowtouch: info.lowtouch,
            identity: info.identity.map(|identity| DeviceIdentity {
                registration_id: identity.registration_id,
                model: identity.model,
                firmware: identity.firmware,
                attestations: identity.attestations.into_iter().map(Attestation::from).collect(),
                phase: identity.phase.into(),
                active_handoff_id: identity.active_handoff_id,
                owned: identity.owned,
                checks_owner: identity.checks_owner,
                on_network: identity.on_network,
            }),
        }
    }
}

mirror! {
    /// How a Wi-Fi network lets devices in.
    WifiAuth of core::pairing::WifiAuth {
        /// Everybody.
        Open,
        /// WEP: broken since 2001.
        Wep,
        /// WPA with a passphrase.
        Wpa,
        /// WPA2 with a passphrase.
        Wpa2,
        /// WPA and WPA2.
        WpaWpa2,
        /// WPA3 with a passphrase.
        Wpa3,
        /// WPA2 and WPA3.
        Wpa2Wpa3,
        /// A user name or a certificate for each device.
        Enterprise,
    }
}

mirror! {
    /// Why a network cannot be chosen.
    NotJoinable of core::pairing::NotJoinable {
        /// It wants a user name or a certificate.
        Enterprise,
        /// WEP protects nothing.
        Wep,
        /// It does not tell its name; give the name as a hidden one's.
        Hidden,
    }
}

/// A network that the device hears.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct WifiNetwork {
    /// Its name, with what could deceive a reader escaped; empty for a hidden network.
    pub ssid: String,
    /// Of the strongest access point, in dBm: -30 is next to it, -90 is hardly heard.
    pub rssi: i32,
    /// How it lets devices in.
    pub auth: WifiAuth,
    /// Whether a passphrase lets a device in; null: not known.
    pub wants_passphrase: Option<bool>,
    /// How many access points have this name.
    pub access_points: u32,
    /// Whether it can be chosen.
    pub joinable: bool,
    /// Why not.
    pub reason: Option<NotJoinable>,
}

impl From<core::pairing::WifiNetwork> for WifiNetwork {
    fn from(network: core::pairing::WifiNetwork) -> Self {
        Self {
            ssid: network.ssid.to_string(),
            rssi: network.rssi,
            auth: network.auth.into(),
            wants_passphrase: network.auth.wants_passphrase(),
            access_points: network.access_points,
            joinable: network.joinable,
            reason: network.reason.map(NotJoinable::from),
        }
    }
}
