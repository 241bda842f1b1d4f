use std::fmt;
use std::path::PathBuf;

use super::wrong::Wrong;
use crate::error::{ErrorCode, PairingError};

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The settings file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1; 0 for the file as a whole.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// An option of the command line.
    Flag(&'static str),
}

/// What is wrong with the settings. `Display` says where and what, [`Wrong::mend`] what to do. Quotes no value that may be
/// a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingsError {
    /// `settings-…`, `api-ca-invalid`.
    pub code: ErrorCode,
    /// The key as it is written there, if it is about one.
    pub key: Option<String>,
    /// Where.
    pub source: Source,
    /// What is wrong.
    pub wrong: Box<Wrong>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Source::File { path, line, .. } => write!(f, "{}:{line}", path.display()),
            Source::Environment(name) | Source::Flag(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Default => {}
            Source::File { path, line: 0, .. } => write!(f, "{}: ", path.display())?,
            Source::File { path, line, column } => write!(f, "{}, line {line}, column {column}: ", path.display())?,
            Source::Environment(name) | Source::Flag(name) => write!(f, "{name}: ")?,
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        self.wrong.fmt(f)
    }
}

impl std::error::Error for SettingsError {}

impl From<SettingsError> for PairingError {
    fn from(error: SettingsError) -> Self {
        PairingError::with_detail(error.code, format!("{error}. {}", error.wrong.mend()))
    }
}
