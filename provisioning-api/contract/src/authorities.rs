//! The CAs that sign devices' certificates.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

/// Where a device CA stands. They follow one another: next, current, former.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum AuthorityState {
    /// Has its enrollment groups and signs nothing yet.
    Next,
    /// Signs.
    Current,
    /// Signs nothing any more; devices with its certificates still register.
    Former,
    /// Its groups and its key are gone.
    Removed,
}

/// One device CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuthorityInfo {
    /// SHA-256 of its certificate, hexadecimal.
    pub fingerprint: String,
    /// Where it stands.
    pub state: AuthorityState,
    /// Whether certificate and key are the operator's files.
    pub from_files: bool,
    /// When its certificate ends.
    pub not_after: Timestamp,
    /// When it was first used here.
    pub created_at: Timestamp,
    /// How many devices' certificates of it have not ended.
    pub valid_certificates: u64,
    /// The name of its enrollment group at every DPS instance.
    pub enrollment_group: String,
    /// Its certificate, PEM.
    pub certificate: String,
}

/// `GET /v1/authorities`: the device CAs that DPS still knows, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuthorityList {
    /// Newest first.
    pub authorities: Vec<AuthorityInfo>,
}
