use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::secrets::SecretStore;
use crate::settings::{Key, Settings, SettingsError, process_environment};

/// Who shows the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HostKind {
    /// The desktop app, on the machine in front of the person.
    Desktop,
    /// `lowtouch serve`: the person sits elsewhere.
    Gateway,
}

/// Where secrets are kept, as the settings say, for a data folder. Asked again when the settings change.
pub type SecretsFor = Arc<dyn Fn(&Settings, &Path) -> Arc<dyn SecretStore> + Send + Sync>;

/// What a host tells the commands.
#[derive(Clone)]
pub struct Host {
    /// Who it is.
    pub kind: HostKind,
    /// Of the program, for `about`.
    pub version: String,
    /// Folder of journal, accounts and logs.
    pub data_dir: PathBuf,
    /// The settings file, whether or not it is there.
    pub settings_file: PathBuf,
    /// Options of the command line above file and environment.
    pub options: Vec<(Key, &'static str, Vec<String>)>,
    /// Where secrets are kept.
    pub secrets: SecretsFor,
    /// A token in place of an account.
    pub token: Option<SecretString>,
    /// As which account to begin, in place of the current one; holds until another is chosen on the page.
    pub account: Option<String>,
    /// The folder of the demo's programs; without one that of this program.
    pub demo_programs: Option<PathBuf>,
    /// Reads one environment variable.
    pub environment: fn(&str) -> Option<OsString>,
}

impl Host {
    /// Without a token and options, with this process's environment.
    pub fn new(
        kind: HostKind,
        version: impl Into<String>,
        data_dir: impl Into<PathBuf>,
        settings_file: impl Into<PathBuf>,
        secrets: SecretsFor,
    ) -> Host {
        Host {
            kind,
            version: version.into(),
            data_dir: data_dir.into(),
            settings_file: settings_file.into(),
            options: Vec::new(),
            secrets,
            token: None,
            account: None,
            demo_programs: None,
            environment: process_environment,
        }
    }

    /// As far as they can be read, and what is wrong with them.
    pub(super) fn read_settings(&self) -> (Settings, Vec<SettingsError>) {
        let (mut settings, mut problems) = Settings::read(&self.settings_file, &self.environment);
        for (key, option, values) in &self.options {
            problems.extend(settings.put_flag(*key, option, values).err());
        }
        (settings, problems)
    }

    pub(super) fn settings(&self) -> Result<Settings, SettingsError> {
        let (settings, problems) = self.read_settings();
        problems.into_iter().next().map_or(Ok(settings), Err)
    }
}
