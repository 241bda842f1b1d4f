//! A local Device Provisioning Service (DPS) with linked IoT hubs, for tests and the demo.
//!
//! Microsoft's SDKs cannot tell it from theirs for what they use: the device registration API (SAS and X.509 client
//! certificates, really verified), the service API for enrollments, groups, registrations and queries, allocation over
//! linked hubs, errors in Azure's shape, and throttling. `README.md` beside this crate says what is real and what is not.
//!
//! ```no_run
//! # async fn example() -> Result<(), azure_emulator::StartError> {
//! use azure_emulator::{Config, Emulator};
//! let running = Emulator::start(Config::new("/tmp/tls")).await?;
//! println!("{} {}", running.url(), running.id_scope);
//! running.stop().await;
//! # Ok(()) }
//! ```
#![warn(missing_docs)]

mod allocation;
mod app;
mod certificates;
pub mod command_line;
mod config;
mod device_api;
mod device_identity;
mod emulator;
mod enrollment;
mod entra;
mod error_body;
mod faults;
mod issuance;
mod resource_manager;
mod route;
mod sas;
mod service_api;
mod state;
mod tls;
mod tpm;

#[cfg(test)]
mod replay;

pub use config::{CertificatePolicy, Clock, Config, EntraApp, Hub};
pub use device_identity::{DeviceIdentity, SigningCa};
pub use emulator::{Emulator, HubDevice, Running, Seen, StartError};
pub use faults::{Fault, Faults, On};
