//! Who is signed in, and invites.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Role {
    /// Pairs devices.
    Installer,
    /// Everything, within their tenant.
    Administrator,
    /// Reads everything of their tenant and changes nothing; never gets a credential.
    Auditor,
    /// A device with a certificate of its own: only itself.
    Device,
    /// A role that this build does not know.
    #[serde(other)]
    Unknown,
}

/// `GET /v1/me`: whose the token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// The account, which outlives its tokens.
    pub account_id: String,
    /// As a person knows it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whose devices it sees; absent: every tenant's (the operator's own people).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When this token ends.
    pub expires_at: Timestamp,
}

/// `POST /v1/invites` (administrators): lets one app sign in, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InviteRequest {
    /// `installer`, `administrator` or `auditor`.
    pub role: Role,
    /// Whom it is for, 1 to 128 characters. The same role, name and tenant is the same account again: a person's next phone.
    pub name: String,
    /// Whose devices the account sees; absent: as with whoever makes the invite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How many minutes it is good, 1 to 10080; absent: 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
}

/// The answer to [`InviteRequest`]. Not `Debug`: it is a secret, and cannot be had again.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NewInvite {
    /// For withdrawing it.
    pub id: String,
    /// What is typed, `XXXX-XXXX-XXXX-XXXX`.
    pub code: String,
    /// What a QR shows and an app opens, `lowtouch:invite#server=…&code=…`.
    pub link: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// An invite as administrators see it; its code cannot be had again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Invite {
    /// For withdrawing it.
    pub id: String,
    /// The account that it lets in.
    pub account_id: String,
    /// The account's name.
    pub name: String,
    /// The account's role.
    pub role: Role,
    /// The account's tenant; absent: every tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Who made it.
    pub made_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
    /// When it was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Timestamp>,
}

/// `GET /v1/invites`: newest first, a week back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct InviteList {
    /// Newest first.
    pub invites: Vec<Invite>,
}
