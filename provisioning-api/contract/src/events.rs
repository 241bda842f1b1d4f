//! The record of who did what, when and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

/// One event. Events are only ever added, and each carries a hash over the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its number. Events are ordered by it, whatever the clock did.
    pub id: i64,
    /// When, by the API's clock.
    pub at: Timestamp,
    /// The account's name and, in brackets, its ID.
    pub who: String,
    /// In a few words, the same for the same.
    pub what: String,
    /// The device's registration ID in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_id: Option<String>,
    /// Whose the device was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The pairing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff_id: Option<Uuid>,
    /// Why, in the words of whoever did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What else is to be known of it; its shape depends on `what`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub detail: Option<Value>,
    /// SHA-256 in hexadecimal, docs/life-cycle.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// `GET /v1/events`, `GET /v1/devices/{registrationId}/events`: a page of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventList {
    /// In the order that was asked for.
    pub events: Vec<Event>,
    /// For the parameter `cursor` of the next page; absent: these were the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// In which order events come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum EventOrder {
    /// The latest first.
    #[default]
    Newest,
    /// The first first.
    Oldest,
}
