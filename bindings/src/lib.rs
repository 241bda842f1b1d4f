//! The installer's use cases for apps in Kotlin, Swift and Python, by UniFFI.
//!
//! There is no logic here: every function converts, calls `lowtouch_installer` and converts back. What is shown is a record,
//! what happens is an enum with data, what goes wrong is a small enum for each operation whose every variant carries a
//! [`Failure`]. Secrets that go in are objects ([`Label`], [`Invite`], [`WifiCredentials`]), because records print
//! themselves in Kotlin and Swift.
//!
//! What only the phone has, the app implements: [`BleCentral`], [`SecretStore`], [`NetworkState`], [`LogSink`], and [`PhoneClock`]
//! where it has one. Every call of them has a deadline here, and an exception there is an error here.

#![allow(clippy::result_large_err, clippy::large_enum_variant)] // UniFFI has no boxes, and these are made once and given away

#[cfg(target_os = "android")]
mod android;
mod clock;
mod doctor;
mod error_code;
mod events;
mod failure;
mod installer;
mod journal;
mod label;
mod log;
mod nearby;
mod network;
mod orders;
mod pairing;
mod radio;
mod runtime;
mod secrets;
mod sign_in;

use uniffi::deps::anyhow;
use url::Url;
use uuid::Uuid;

pub use clock::{PhoneClock, PhoneClockError};
pub use doctor::{Check, CheckStatus, CheckTopic, Report};
pub use error_code::{ErrorCode, ErrorCodeWords, error_codes};
pub use events::{
    Attestation, CircuitState, DevicePhase, NetworkStep, PairingEvent, PairingWarning, RetryReason, Step, WaitingFor,
};
pub use failure::{
    AccountError, Action, DeviceError, Failure, InviteError, JournalError, LabelError, MissingRole, OrderError, Other,
    PairingError, SettingsError, SignInError,
};
pub use installer::{Installer, InstallerSettings};
pub use journal::{Acknowledged, DeviceSaid, DpsSaid, EntryError, EntryState, Given, JournalEntry, Told, Untellable};
pub use label::{Label, LabelSecurity, LabelTransport, WifiCredentials, read_qr_picture};
pub use log::{LogLevel, LogRecord, LogSink, LogSinkError};
pub use nearby::{DeviceIdentity, DeviceInfo, DeviceKind, NearbyDevice, NotJoinable, WifiAuth, WifiNetwork};
pub use network::{NetworkStanding, NetworkState, NetworkStateError};
pub use orders::{DownloadedOrder, OpeningHours, OrderState, WorkOrder};
pub use pairing::{NetworkJob, NetworkSet, Paired, Pairing, PairingRequest};
pub use radio::{
    BleAdvertisement, BleCentral, BleCharacteristic, BleCharacteristicId, BleConnection, BleError, BleScan,
    BleScanFilter, BleService, BleServiceData, OpenConnection, RunningScan,
};
pub use secrets::{SecretStore, SecretStoreError};
pub use sign_in::{
    Account, Accounts, BrowserSignIn, DeviceCodePrompt, DeviceCodeSignIn, Invite, Role, SignedIn, SignedOut,
};

uniffi::custom_type!(Uuid, String, {
    remote,
    lower: |uuid| uuid.to_string(),
    try_lift: |text| Ok(Uuid::parse_str(&text)?),
});

uniffi::custom_type!(Url, String, {
    remote,
    lower: |url| url.to_string(),
    try_lift: |text| Url::parse(&text).map_err(anyhow::Error::from),
});

uniffi::setup_scaffolding!();

/// The version of the core, for support: `0.1.0`.
#[uniffi::export]
pub fn core_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
