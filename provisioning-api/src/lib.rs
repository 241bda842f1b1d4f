//! The service that tells the app which DPS instance a device belongs to.
//!
//! [`Server::start`] serves the API of `provisioning-api-contract` over TLS until [`Running::stop`]. The executable
//! `provisioning-api` is a command line over this library.

mod config;
mod role;
mod server;

pub use config::{Config, ConfigError, InstanceConfig, ServiceKey, read_instances};
pub use role::Role;
pub use server::{Running, Server, StartError};
