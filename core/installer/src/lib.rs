//! Use cases: labels, provisioning-API client, pairing, journal.
//!
//! [`Installer`] is the one object that the faces (command line, app, bindings) hold:
//!
//! ```no_run
//! # async fn example(token: secrecy::SecretString) -> Result<(), Box<dyn std::error::Error>> {
//! use lowtouch_installer::{Config, Installer, label, pairing::PairRequest};
//!
//! let installer = Installer::new(Config {
//!     api_url: Some("https://provisioning.example.com".into()),
//!     token: Some(token),
//!     ..Config::new("/var/lib/lowtouch")
//! })
//! .await?;
//! let label = label::parse(r#"{"ver":"v1","name":"PROV_1","pop":"abcd1234","transport":"softap"}"#)?;
//! let pairing = installer.pair(PairRequest::new(label, "http://192.168.4.1".parse()?));
//! let mut events = pairing.events();
//! while let Some(event) = events.next().await {
//!     println!("{event:?}");
//! }
//! let paired = pairing.outcome().await?;
//! println!("{}", paired.hub);
//! # Ok(()) }
//! ```
#![warn(missing_docs)]

pub mod api;
mod clock;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
pub mod commands;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
pub mod demo;
pub mod doctor;
pub mod error;
pub mod events;
#[doc(hidden)]
pub mod fault;
mod installer;
pub mod journal;
pub mod label;
pub mod logs;
pub mod net;
pub mod orders;
pub mod pairing;
mod radio;
pub mod retry;
pub mod secrets;
pub mod settings;
pub mod sign_in;
mod telling;

pub use clock::Clock;
pub use error::{Action, ErrorCode, PairingError};
pub use events::{Events, PairingEvent, Step, Warning};
pub use installer::{
    Config, Installer, device_info, device_info_over, network_only, network_only_over, wifi_scan, wifi_scan_over,
};
pub use lowtouch_links::LinkAddress;
/// What a device in reach speaks.
pub use lowtouch_links::ble::Kind as DeviceKind;
/// What an app with a radio of its own implements.
pub use lowtouch_links::foreign as app_radio;
/// How a device attests, as the API's contract has it.
pub use provisioning_api_contract::Attestation;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
pub use radio::scan;
pub use radio::{DeviceInReach, scan_by};
pub use telling::{Telling, Told};
