//! The settings, for a page that shows and changes them.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{CommandError, Commands, Nothing};
use crate::error::{ErrorCode, PairingError};
use crate::settings::{self, Key, PROXY_PASSWORD, Setting, Settings, SettingsError, Source, Value, Wrong};

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[non_exhaustive]
pub struct SettingsPage {
    /// The settings file, whether or not it is there.
    pub file: String,
    /// Every setting; at the end the proxy's password, which is a secret.
    pub settings: Vec<SettingSeen>,
    /// Everything that is wrong, also with the file as a whole and with keys that there are not.
    pub problems: Vec<SettingProblem>,
}

/// What is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct SettingProblem {
    /// The stable code.
    pub code: ErrorCode,
    /// The key as it is written there, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is wrong, for a page that has words of its own.
    pub problem: Wrong,
    /// What is wrong, in plain English. Quotes nothing that may be a secret.
    pub what: String,
    /// What to do about it, in plain English.
    pub mend: String,
    /// Where.
    pub source: SettingSource,
}

impl From<&SettingsError> for SettingProblem {
    fn from(error: &SettingsError) -> Self {
        SettingProblem {
            code: error.code,
            key: error.key.clone(),
            problem: (*error.wrong).clone(),
            what: error.wrong.to_string(),
            mend: error.wrong.mend(),
            source: SettingSource::of(&error.source),
        }
    }
}

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
    /// It is kept where secrets are, and never shown.
    pub secret: bool,
    /// Of a secret: whether there is one; absent where that cannot be told without asking the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_set: Option<bool>,
    /// What is wrong with it, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<SettingProblem>,
    /// What deserves a second look although it is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl SettingSource {
    fn of(source: &Source) -> Self {
        match source {
            Source::Default => SettingSource::Default,
            Source::File { path, line, .. } => SettingSource::File { path: path.display().to_string(), line: *line },
            Source::Environment(name) => SettingSource::Environment { name: (*name).into() },
            Source::Flag(name) => SettingSource::Flag { name: (*name).into() },
        }
    }
}

/// `setting_set`. Not `Debug`: a value may be the proxy's password.
#[derive(Clone, Deserialize)]
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

/// How long it is waited for the secret store to say whether it has the proxy's password.
const ASKING: Duration = Duration::from_secs(1);

impl Commands {
    /// `settings`.
    ///
    /// # Errors
    /// None: what is wrong is in the answer.
    pub async fn settings(&self, _: Nothing) -> Result<SettingsPage, CommandError> {
        let (settings, mut problems) = self.0.host.read_settings();
        problems.extend(settings.extra_ca_pem().err());
        let mut rows: Vec<SettingSeen> =
            settings.all().iter().map(|setting| seen(setting, &settings, &problems)).collect();
        rows.push(self.proxy_password(&settings).await);
        Ok(SettingsPage {
            file: self.0.host.settings_file.display().to_string(),
            settings: rows,
            problems: problems.iter().map(SettingProblem::from).collect(),
        })
    }

    /// `setting_set`.
    ///
    /// # Errors
    /// `settings-…`, `api-…` and `proxy-invalid` for the value; the secret store's for the proxy's password.
    pub async fn setting_set(&self, args: SettingSet) -> Result<SettingSeen, CommandError> {
        if args.key == PROXY_PASSWORD {
            let [password] = args.values.as_slice() else {
                let detail = "the proxy's password is one text";
                return Err(PairingError::with_detail(ErrorCode::SettingsInvalid, detail).into());
            };
            let password = SecretString::from(password.as_str());
            let settings = self.0.host.read_settings().0;
            self.store(&settings).set(PROXY_PASSWORD, &password).await?;
            self.0.own.forget().await;
            self.changed();
            return Ok(self.proxy_password(&settings).await);
        }
        let key = Key::find(&args.key)?;
        settings::set(&self.0.host.settings_file, key, &args.values)?;
        self.changed();
        Ok(self.one(key))
    }

    /// `setting_unset`. Also takes out a key that there is not, for a file that somebody else wrote.
    ///
    /// # Errors
    /// `settings-…`; the secret store's for the proxy's password.
    pub async fn setting_unset(&self, args: SettingKey) -> Result<Nothing, CommandError> {
        if args.key == PROXY_PASSWORD {
            let settings = self.0.host.read_settings().0;
            self.store(&settings).delete(PROXY_PASSWORD).await?;
            self.0.own.forget().await;
        } else if !settings::unset(&self.0.host.settings_file, &args.key)? {
            // A name that there is not and that was not there is most likely a slip.
            Key::find(&args.key)?;
        }
        self.changed();
        Ok(Nothing {})
    }

    fn one(&self, key: Key) -> SettingSeen {
        let (settings, problems) = self.0.host.read_settings();
        seen(&settings.get(key), &settings, &problems)
    }

    /// The store is asked only where the password would be used: it may have to ask the person.
    async fn proxy_password(&self, settings: &Settings) -> SettingSeen {
        let is_set = if settings.get(Key::ProxyUser).value.is_some() {
            let store = self.store(settings);
            let asked = tokio::time::timeout(ASKING, store.get(PROXY_PASSWORD)).await;
            asked.ok().and_then(Result::ok).map(|password| password.is_some())
        } else {
            None
        };
        SettingSeen {
            key: PROXY_PASSWORD.into(),
            value: None,
            source: SettingSource::Default,
            default: None,
            about: "The password for the proxy, where it has a user. It is kept where secrets are.".into(),
            looks: "text".into(),
            list: false,
            secret: true,
            is_set,
            problem: None,
            warning: None,
        }
    }
}

fn seen(setting: &Setting, settings: &Settings, problems: &[SettingsError]) -> SettingSeen {
    let key = setting.key;
    let problem = problems.iter().find(|problem| problem.key.as_deref() == Some(key.as_str()));
    let warning = settings.warnings().into_iter().find(|(of, _)| *of == key);
    SettingSeen {
        key: key.as_str().into(),
        value: setting.value.clone(),
        source: SettingSource::of(&setting.source),
        default: key.default().map(str::to_owned),
        about: key.about().into(),
        looks: key.looks().into(),
        list: key.is_list(),
        secret: false,
        is_set: None,
        problem: problem.map(SettingProblem::from),
        warning: warning.map(|(_, text)| text.to_owned()),
    }
}
