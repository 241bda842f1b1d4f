use std::fmt;

use serde::{Deserialize, Serialize};

use super::settings::SettingProblem;
use crate::error::{ErrorCode, PairingError};
use crate::secrets::SecretsError;
use crate::settings::SettingsError;

/// Why a command did not work: an error as a pairing has it, with its words beside it. No secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[non_exhaustive]
pub struct CommandError {
    /// Code, action, and detail for support.
    #[serde(flatten)]
    pub error: PairingError,
    /// What happened and what to do next, in plain English. A page that speaks another language has words of its own.
    pub hint: String,
    /// What is wrong with the settings, where it is that; the detail says the same in plain English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub setting: Option<Box<SettingProblem>>,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hint)
    }
}

impl std::error::Error for CommandError {}

impl From<PairingError> for CommandError {
    fn from(error: PairingError) -> Self {
        CommandError { hint: error.hint().into(), error, setting: None }
    }
}

impl From<ErrorCode> for CommandError {
    fn from(code: ErrorCode) -> Self {
        PairingError::new(code).into()
    }
}

impl From<SettingsError> for CommandError {
    fn from(error: SettingsError) -> Self {
        let setting = Some(Box::new(SettingProblem::from(&error)));
        CommandError { setting, ..PairingError::from(error).into() }
    }
}

impl From<SecretsError> for CommandError {
    fn from(error: SecretsError) -> Self {
        PairingError::from(error).into()
    }
}
