//! The settings, for a page that shows and changes them.

use serde::{Deserialize, Serialize};

use super::{CommandError, Commands, Nothing};
use crate::settings::{self, Key, Setting, Settings, SettingsError, Source, Value};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SettingSeen {
    /// As it is written in the file.
    pub key: String,
    /// What holds; absent: nothing, and there is no default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Where that came from.
    pub source: SettingSource,
    /// What holds when nobody sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What it is for, a paragraph of plain English.
    pub about: String,
    /// What values look like, for example `https://HOST[:PORT]`.
    pub looks: String,
    /// Whether it takes several values.
    pub list: bool,
    /// What is wrong with it, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<CommandError>,
    /// What deserves a second look although it is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "from", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum SettingSource {
    /// Nobody set it.
    Default,
    /// The settings file.
    File {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, which stands above the file.
    Environment {
        /// Its name.
        name: String,
    },
    /// An option of the command line, which stands above everything.
    Flag {
        /// Its name.
        name: String,
    },
}

/// `setting_set`.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct SettingSet {
    /// Which.
    pub key: String,
    /// One value, or several for a list.
    pub values: Vec<String>,
}

/// `setting_unset`.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct SettingKey {
    /// Which.
    pub key: String,
}

impl Commands {
    /// `settings`.
    ///
    /// # Errors
    /// None for what is wrong with one key, which is said there; `settings-…` for a file that cannot be read at all.
    pub async fn settings(&self, _: Nothing) -> Result<Vec<SettingSeen>, CommandError> {
        let (settings, mut problems) = self.0.host.read_settings();
        problems.extend(settings.extra_ca_pem().err());
        let of_key = |problem: &SettingsError| problem.key.as_deref().is_some_and(|key| Key::named(key).is_some());
        if let Some(whole) = problems.iter().find(|problem| !of_key(problem)) {
            return Err(whole.clone().into());
        }
        Ok(settings.all().iter().map(|setting| seen(setting, &settings, &problems)).collect())
    }

    /// `setting_set`.
    ///
    /// # Errors
    /// `settings-…`, `api-…` and `proxy-invalid` for the value.
    pub async fn setting_set(&self, args: SettingSet) -> Result<SettingSeen, CommandError> {
        let key = Key::find(&args.key)?;
        settings::set(&self.0.host.settings_file, key, &args.values)?;
        self.changed();
        Ok(self.one(key))
    }

    /// `setting_unset`.
    ///
    /// # Errors
    /// `settings-…`.
    pub async fn setting_unset(&self, args: SettingKey) -> Result<SettingSeen, CommandError> {
        let key = Key::find(&args.key)?;
        settings::unset(&self.0.host.settings_file, key.as_str())?;
        self.changed();
        Ok(self.one(key))
    }

    fn one(&self, key: Key) -> SettingSeen {
        let (settings, problems) = self.0.host.read_settings();
        seen(&settings.get(key), &settings, &problems)
    }
}

fn seen(setting: &Setting, settings: &Settings, problems: &[SettingsError]) -> SettingSeen {
    let key = setting.key;
    let problem = problems.iter().find(|problem| problem.key.as_deref() == Some(key.as_str()));
    let warning = settings.warnings().into_iter().find(|(of, _)| *of == key);
    SettingSeen {
        key: key.as_str().into(),
        value: setting.value.clone(),
        source: match &setting.source {
            Source::Default => SettingSource::Default,
            Source::File { path, line, .. } => SettingSource::File { path: path.display().to_string(), line: *line },
            Source::Environment(name) => SettingSource::Environment { name: (*name).into() },
            Source::Flag(name) => SettingSource::Flag { name: (*name).into() },
        },
        default: key.default().map(str::to_owned),
        about: key.about().into(),
        looks: key.looks().into(),
        list: key.is_list(),
        problem: problem.map(|problem| problem.clone().into()),
        warning: warning.map(|(_, text)| text.to_owned()),
    }
}
