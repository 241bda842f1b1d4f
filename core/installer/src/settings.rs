//! The settings: one TOML file, the environment above it, options of the command line above that.
//!
//! Every key is in the table of [`Key`], and docs/configuration.md has the same table.

mod edit;
mod error;
mod key;
mod parse;
mod wrong;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use crate::error::{ErrorCode, PairingError};
use crate::net::{self, NetSettings, Proxy};
use crate::pairing::Overrides;
use crate::secrets::SecretStore;

pub use edit::{set, unset};
pub use error::{SettingsError, Source};
pub use key::{Key, Value};
pub use wrong::Wrong;

/// The file's name in the platform's folder for settings.
pub const FILE_NAME: &str = "lowtouch.toml";
/// Names the file, wherever it is.
pub const FILE_VARIABLE: &str = "LOWTOUCH_CONFIG_FILE";
/// The proxy's password, where it is not in the secret store.
pub const PROXY_PASSWORD_VARIABLE: &str = "LOWTOUCH_PROXY_PASSWORD";
/// The secret store's name for the proxy's password.
pub const PROXY_PASSWORD: &str = "proxy-password";

/// Reads one environment variable; a test gives its own.
pub type Environment<'a> = &'a (dyn Fn(&str) -> Option<OsString> + Sync);

/// All settings, each with where it came from.
#[derive(Debug, Clone)]
pub struct Settings {
    file: PathBuf,
    settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Which.
    pub key: Key,
    /// `None`: not set, and there is no default.
    pub value: Option<Value>,
    /// Where the value came from.
    pub source: Source,
}

/// Where secrets are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretsIn {
    /// The operating system's keyring.
    Keyring,
    /// A file that a passphrase encrypts.
    File,
}

/// The file in the platform's folder for settings; `None` for a user without a home folder.
pub fn default_file() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "lowtouch").map(|dirs| dirs.config_dir().join(FILE_NAME))
}

/// The process's own environment.
pub fn process_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

impl Settings {
    /// Reads file and environment. A file that is not there is an empty one.
    ///
    /// # Errors
    /// The first of [`problems`].
    pub fn load(file: &Path, environment: Environment<'_>) -> Result<Settings, SettingsError> {
        let (settings, problems) = Settings::read(file, environment);
        match problems.into_iter().next() {
            None => Ok(settings),
            Some(problem) => Err(problem),
        }
    }

    /// Without file and environment: the defaults.
    pub fn defaults() -> Settings {
        Settings { file: PathBuf::new(), settings: Key::ALL.iter().map(|&key| Setting::default_of(key)).collect() }
    }

    /// As far as they can be read, and everything that is wrong with them, in the order of the file.
    pub fn read(file: &Path, environment: Environment<'_>) -> (Settings, Vec<SettingsError>) {
        let mut settings = Settings { file: file.into(), ..Settings::defaults() };
        let (found, mut problems) = match parse::file(file) {
            Ok(read) => read,
            Err(problem) => (Vec::new(), vec![problem]),
        };
        for setting in found {
            settings.put(setting);
        }
        for &key in Key::ALL {
            // Set and empty is what a wrapper script leaves: as if not set.
            let Some(text) = environment(key.variable()).filter(|text| !text.is_empty()) else { continue };
            let source = Source::Environment(key.variable());
            match key.read_text(&text, Path::new("")) {
                Ok(value) => settings.put(Setting { key, value: Some(value), source }),
                Err(refused) => problems.push(refused.at(key, source)),
            }
        }
        (settings, problems)
    }

    /// Puts an option of the command line over everything else.
    ///
    /// # Errors
    /// `settings-invalid`, `settings-secret`.
    pub fn put_flag(&mut self, key: Key, flag: &'static str, values: &[String]) -> Result<(), SettingsError> {
        let source = Source::Flag(flag);
        let value = match (values, key.is_list()) {
            ([one], false) => Value::Text(one.trim().into()),
            (several, _) => Value::List(several.to_vec()),
        };
        let value = key.check(value, Path::new("")).map_err(|refused| refused.at(key, source.clone()))?;
        self.put(Setting { key, value: Some(value), source });
        Ok(())
    }

    fn put(&mut self, setting: Setting) {
        if let Some(place) = self.settings.iter_mut().find(|place| place.key == setting.key) {
            *place = setting;
        }
    }

    /// The file that was read, whether or not it is there.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All of them, in the order of [`Key::ALL`].
    pub fn all(&self) -> &[Setting] {
        &self.settings
    }

    /// One of them.
    pub fn get(&self, key: Key) -> Setting {
        self.settings.iter().find(|setting| setting.key == key).cloned().unwrap_or_else(|| Setting::default_of(key))
    }

    fn text(&self, key: Key) -> Option<String> {
        match self.get(key).value {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The provisioning API's address.
    pub fn api(&self) -> Option<String> {
        self.text(Key::Api)
    }

    /// What is handed to devices instead of what the API gives.
    pub fn overrides(&self) -> Overrides {
        Overrides { id_scope: self.text(Key::IdScope), global_device_endpoint: self.text(Key::GlobalDeviceEndpoint) }
    }

    /// Where secrets are kept.
    pub fn secrets(&self) -> SecretsIn {
        match self.text(Key::Secrets).as_deref() {
            Some("file") => SecretsIn::File,
            _ => SecretsIn::Keyring,
        }
    }

    /// What is logged: a level, or a filter of `tracing`.
    pub fn log(&self) -> Option<String> {
        self.text(Key::Log)
    }

    /// What deserves a second look although it is valid: each a key and a sentence.
    pub fn warnings(&self) -> Vec<(Key, &'static str)> {
        // The gravest first.
        let those = [Key::IdScope, Key::GlobalDeviceEndpoint];
        let set = those.into_iter().filter(|key| self.text(*key).is_some());
        set.filter_map(|key| Some((key, key.warning()?))).collect()
    }

    /// The company's certificates as one PEM text, read now.
    ///
    /// # Errors
    /// `file-unreadable` as `settings-invalid`, `api-ca-invalid`.
    pub fn extra_ca_pem(&self) -> Result<Option<String>, SettingsError> {
        let setting = self.get(Key::CaFiles);
        let Some(Value::List(files)) = setting.value else { return Ok(None) };
        let mut all = String::new();
        for file in &files {
            let pem = ca_file(Path::new(file)).map_err(|mut problem| {
                problem.source = setting.source.clone();
                problem
            })?;
            all.push_str(&pem);
            all.push('\n');
        }
        Ok((!files.is_empty()).then_some(all))
    }

    /// For [`net::Net`]: certificates, and the proxy with its password where it has a user. The password is the
    /// environment's, else the secret store's; the store is asked only then.
    ///
    /// # Errors
    /// As [`extra_ca_pem`](Self::extra_ca_pem); `proxy-password-missing`, and what the secret store says.
    pub async fn net(
        &self,
        secrets: &dyn SecretStore,
        environment: Environment<'_>,
    ) -> Result<NetSettings, PairingError> {
        // Read before anything is awaited: the environment's reader need not be `Send`.
        let of_environment = environment(PROXY_PASSWORD_VARIABLE)
            .and_then(|text| text.into_string().ok())
            .filter(|text| !text.is_empty());
        let extra_ca_pem = self.extra_ca_pem()?;
        let proxy = match self.text(Key::Proxy).as_deref() {
            None | Some("system") => Proxy::System,
            Some("none") => Proxy::Direct,
            Some(url) => {
                let url = Url::parse(url)
                    .map_err(|error| PairingError::with_detail(ErrorCode::ProxyInvalid, error.to_string()))?;
                let login = match self.text(Key::ProxyUser) {
                    None => None,
                    Some(user) => {
                        let password: Option<SecretString> = match of_environment {
                            Some(text) => Some(text.into()),
                            None => secrets.get(PROXY_PASSWORD).await?,
                        };
                        Some((user, password.ok_or(ErrorCode::ProxyPasswordMissing)?))
                    }
                };
                Proxy::Through { url, login }
            }
        };
        Ok(NetSettings { extra_ca_pem, proxy, ..NetSettings::default() })
    }
}

impl Setting {
    fn default_of(key: Key) -> Setting {
        Setting { key, value: key.default().map(|text| Value::Text(text.into())), source: Source::Default }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{value}"),
            None => f.write_str("(not set)"),
        }
    }
}

/// The text of a file of CA certificates, once every certificate in it is one.
fn ca_file(file: &Path) -> Result<String, SettingsError> {
    let name = || file.display().to_string();
    let refused = |code, wrong| SettingsError {
        code,
        key: Some(Key::CaFiles.as_str().into()),
        source: Source::Default,
        wrong: Box::new(wrong),
    };
    let pem = std::fs::read_to_string(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => refused(ErrorCode::ApiCaInvalid, Wrong::CaNotText { file: name() }),
        _ => refused(ErrorCode::SettingsInvalid, Wrong::CaUnreadable { file: name(), why: error.to_string() }),
    })?;
    let certificates = net::certificates(&pem)
        .map_err(|why| refused(ErrorCode::ApiCaInvalid, Wrong::CaNotPem { file: name(), why }))?;
    for (number, der) in (1..).zip(&certificates) {
        if let Err(error) = x509_parser::parse_x509_certificate(der) {
            let wrong = Wrong::CaDamaged { file: name(), number, why: error.to_string() };
            return Err(refused(ErrorCode::ApiCaInvalid, wrong));
        }
    }
    Ok(pem)
}
