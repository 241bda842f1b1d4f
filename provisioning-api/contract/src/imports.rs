//! Bringing many devices into the inventory at once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ImportState {
    /// Rows are missing: bad ones, or the upload broke off. Upload the file again under the same ID.
    Open,
    /// Every row of the file is in the inventory.
    Complete,
}

/// The answer to `POST /v1/imports`, and `GET /v1/imports/{importId}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// The ID that the client chose.
    pub import_id: Uuid,
    /// Whose devices these are.
    pub tenant: String,
    /// Whether it is finished.
    pub state: ImportState,
    /// True: nothing was kept, the file was only looked through.
    pub dry_run: bool,
    /// How many rows of the file, from the first on, are in the inventory for good.
    pub committed_rows: u64,
    /// How many rows the last upload had.
    pub rows: u64,
    /// How many devices are new in the inventory, over all uploads (dry run: would be).
    pub added: u64,
    /// How many devices were there already with the same values.
    pub already_there: u64,
    /// How many rows of the last upload are bad.
    pub bad_rows: u64,
    /// The slots of its devices, where it asked for a staggered schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ImportSchedule>,
    /// What is wrong with the first of them. All are under `GET /v1/imports/{importId}/problems`, but those of a dry run.
    pub problems: Vec<ImportProblem>,
}

/// The slots that the devices of an import start in, so that no DPS instance gets more registrations a minute than it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImportSchedule {
    /// No slot lies before it.
    pub from: Timestamp,
    /// How many devices have a slot (dry run: would get one). The others get theirs when they are paired: no DPS instance has
    /// a place for them now.
    pub scheduled: u64,
    /// The first slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// The last slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Of a dry run: the slots of the first hundred devices, as the file has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<ImportSlot>,
}

/// A slot that an import would give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImportSlot {
    /// Whose it would be.
    pub registration_id: String,
    /// Where the device would register.
    pub dps_instance: String,
    /// When.
    pub starts_at: Timestamp,
}

/// What is wrong with one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImportProblem {
    /// The row's number, from 1, without the header; 0: the file as a whole.
    pub row: u64,
    /// The line that it begins at, from 1.
    pub line: u64,
    /// The column, or empty for the row as a whole.
    pub column: String,
    /// Stable, for programs.
    pub code: ImportProblemCode,
    /// For people.
    pub text: String,
}

/// A page of an import's problems, by row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImportProblemList {
    /// By row and column.
    pub problems: Vec<ImportProblem>,
    /// For the parameter `cursor` of the next page; absent: these were the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The stable codes of [`ImportProblem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ImportProblemCode {
    /// The file is not UTF-8.
    WrongEncoding,
    /// The file has no rows at all.
    Empty,
    /// The header has a column that is not known.
    UnknownColumn,
    /// The header lacks a column, or the row its value.
    Missing,
    /// The header has a column twice.
    DuplicateColumn,
    /// The row has more or fewer values than the header has columns.
    WrongNumberOfValues,
    /// The row is longer than 64 KiB: in CSV mostly a quote that is not closed.
    RowTooLong,
    /// The file ends within a row.
    Torn,
    /// The line is no JSON object.
    NotJson,
    /// The value is no text.
    WrongType,
    /// DPS takes no such registration ID.
    RegistrationId,
    /// The value is longer than allowed, or has characters that are not.
    BadValue,
    /// The attestation, ring or DPS instance is none that is known.
    UnknownValue,
    /// An endorsement key goes with the attestation `tpm`, and `tpm` with an endorsement key.
    EndorsementKey,
    /// Another row of the file has the same registration ID and other values.
    DuplicateInFile,
    /// The inventory has this device with other values.
    DifferentInInventory,
    /// More rows are bad than are worth looking at: the rest was not looked through.
    TooMany,
    /// A code that this build does not know.
    #[serde(other)]
    Unknown,
}
