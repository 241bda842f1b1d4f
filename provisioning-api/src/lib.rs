//! The service that tells the app which DPS instance a device belongs to.
//!
//! [`Server::start`] serves the API of `provisioning-api-contract` over TLS until [`Running::stop`]; [`Office`]
//! administers its database. The executable `provisioning-api` is [`command_line`] over them.

mod accounts;
mod allocation;
mod api;
mod app;
mod audit;
mod authorities;
mod authority;
mod certificates;
mod changes;
pub mod command_line;
mod config;
mod connection;
mod credentials;
mod database_url;
mod devices;
mod dps_client;
mod enrollments;
mod etag;
mod events;
mod hours;
mod https;
mod import;
mod instances;
mod issuers;
mod life_cycle;
mod measure;
mod office;
mod offline;
mod orders;
mod outbox;
mod owner;
mod pace;
mod pairing;
mod placement;
mod registration_id;
mod renewal;
mod role;
mod schedule;
mod server;
mod settings;
mod sign_in;
mod statement;
mod store;
#[cfg(test)]
#[path = "../tests/common/database.rs"]
#[allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "as tests/common has it")]
mod test_database;
mod tls;
mod tokens;
mod transfers;
mod vault;
mod words;

pub use accounts::AccountInfo;
pub use audit::{AuditFault, AuditReport};
pub use authority::AuthorityError;
pub use config::{
    Config, ConfigError, DeviceCa, DpsCredential, EntraApp, InstanceConfig, Limits, Options, Placement, ResourceConfig,
    ServiceKey, read_instances,
};
pub use import::ImportFormat;
pub use issuers::{IssuerConfig, IssuerTenant, read_issuers};
pub use office::{Office, OfficeError};
pub use owner::OwnerError;
pub use role::Role;
pub use server::{Running, Server, StartError};
pub use sign_in::invites::InviteInfo;
pub use tls::TlsError;
pub use tokens::TokenInfo;
pub use vault::VaultError;

/// The API's description of itself: OpenAPI 3.1 in JSON.
#[must_use]
pub fn openapi() -> String {
    api::description()
}
