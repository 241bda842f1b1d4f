//! The service that tells the app which DPS instance a device belongs to.
//!
//! [`Server::start`] serves the API of `provisioning-api-contract` over TLS until [`Running::stop`]; [`Office`]
//! administers its database. The executable `provisioning-api` is a command line over this library.

mod accounts;
mod allocation;
mod api;
mod app;
mod authority;
mod config;
mod devices;
#[allow(dead_code, reason = "the life cycle and TPM enrollments use the rest next")]
mod dps_client;
mod enrollments;
mod events;
mod office;
mod owner;
mod pace;
mod pairing;
mod registration_id;
mod role;
mod server;
mod store;
mod tls;
mod tokens;
mod vault;
mod words;

pub use authority::AuthorityError;
pub use config::{
    Config, ConfigError, DeviceCa, DpsCredential, EntraApp, InstanceConfig, Limits, Options, ServiceKey, read_instances,
};
pub use office::{Office, OfficeError};
pub use owner::OwnerError;
pub use role::Role;
pub use server::{Running, Server, StartError};
pub use tls::TlsError;
pub use tokens::TokenInfo;
pub use vault::VaultError;

/// The API's description of itself: OpenAPI 3.1 in JSON.
#[must_use]
pub fn openapi() -> String {
    api::description()
}
