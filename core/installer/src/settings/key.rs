use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use serde::Serialize;
use url::Url;

use super::error::{SettingsError, Source};
use super::wrong::Wrong;
use crate::error::ErrorCode;

/// What a setting is set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(rename = "SettingValue"))]
#[serde(untagged)]
pub enum Value {
    /// One text.
    Text(String),
    /// Several.
    List(Vec<String>),
}

macro_rules! keys {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal, $variable:literal, $kind:ident, $default:expr;)*) => {
        /// Every setting. The texts are stable: files and scripts rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Key {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Key {
            /// All of them, in the order of docs/configuration.md.
            pub const ALL: &'static [Key] = &[$(Key::$variant,)*];

            /// As it is written in the file.
            pub fn as_str(self) -> &'static str {
                match self { $(Key::$variant => $text,)* }
            }

            /// The environment variable that stands above the file.
            pub fn variable(self) -> &'static str {
                match self { $(Key::$variant => $variable,)* }
            }

            /// What holds when nobody sets it.
            pub fn default(self) -> Option<&'static str> {
                match self { $(Key::$variant => $default,)* }
            }

            /// What it is for, in one paragraph.
            pub fn about(self) -> &'static str {
                match self { $(Key::$variant => concat!($($doc,)*).trim_ascii_start(),)* }
            }

            fn kind(self) -> Kind {
                match self { $(Key::$variant => Kind::$kind,)* }
            }
        }
    };
}

keys! {
    /// The provisioning API's address. Always https.
    Api = "api", "LOWTOUCH_API", Https, None;
    /// CA certificates of your company: files of PEM text, trusted beside the system's certificates, never instead of
    /// them. Relative names start at the settings file's folder.
    CaFiles = "ca-files", "LOWTOUCH_CA_FILES", Files, None;
    /// The HTTP proxy for the API and the sign-in: its address, `system` (HTTPS_PROXY, ALL_PROXY and NO_PROXY, or the
    /// settings of macOS and Windows) or `none`. Hosts in NO_PROXY are reached without it.
    Proxy = "proxy", "LOWTOUCH_PROXY", Proxy, Some("system");
    /// The user name for the proxy. Its password is a secret: `lowtouch config set proxy-password` asks for it.
    ProxyUser = "proxy-user", "LOWTOUCH_PROXY_USER", Word, None;
    /// Where tokens and passwords are kept: `keyring` (the operating system's) or `file` (encrypted under a passphrase).
    Secrets = "secrets", "LOWTOUCH_SECRETS", SecretsIn, Some("keyring");
    /// The global device endpoint that devices are given instead of the API's, `HOST` or `HOST:PORT`: for a private
    /// endpoint or another cloud.
    GlobalDeviceEndpoint = "global-device-endpoint", "LOWTOUCH_GLOBAL_DEVICE_ENDPOINT", Host, None;
    /// The ID scope that devices are given instead of the API's. It breaks the API's allocation, so every pairing warns.
    IdScope = "id-scope", "LOWTOUCH_ID_SCOPE", Scope, None;
    /// What is logged to standard error: `off`, `error`, `warn`, `info`, `debug`, `trace`, or parts with levels such as
    /// `info,lowtouch_installer=debug`. `-v` turns the log on too; the environment variable says more exactly what.
    Log = "log", "LOWTOUCH_LOG", Log, None;
}

enum Kind {
    Https,
    Files,
    Proxy,
    Word,
    SecretsIn,
    Host,
    Scope,
    Log,
}

/// Why a value is not taken.
pub(super) struct Refused {
    code: ErrorCode,
    wrong: Wrong,
}

impl Refused {
    /// What is wrong has a code of its own; a secret is one wherever it stands.
    fn with(self, code: ErrorCode) -> Self {
        if self.code == ErrorCode::SettingsSecret { self } else { Refused { code, ..self } }
    }

    pub(super) fn at(self, key: Key, source: Source) -> SettingsError {
        SettingsError { code: self.code, key: Some(key.as_str().into()), source, wrong: Box::new(self.wrong) }
    }
}

impl Key {
    /// The key of that name.
    pub fn named(text: &str) -> Option<Key> {
        Key::ALL.iter().copied().find(|key| key.as_str() == text)
    }

    /// As [`named`](Self::named), with the nearest name for one that there is not.
    ///
    /// # Errors
    /// `settings-unknown-key`, `settings-secret`.
    pub fn find(text: &str) -> Result<Key, SettingsError> {
        Key::named(text).ok_or_else(|| super::parse::unknown(text, Source::Default))
    }

    /// What values look like, for a table.
    pub fn looks(self) -> &'static str {
        match self.kind() {
            Kind::Https => "https://HOST[:PORT]",
            Kind::Files => "list of files",
            Kind::Proxy => "system, none, http://HOST:PORT, https://HOST:PORT",
            Kind::Word => "text",
            Kind::SecretsIn => "keyring, file",
            Kind::Host => "HOST[:PORT]",
            Kind::Scope => "0ne…",
            Kind::Log => "level or filter",
        }
    }

    /// What every pairing does while it is set, where that deserves a second look: a sentence without its full stop.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Key::IdScope => Some(
                "every device gets this ID scope, whatever DPS instance the API chose for it; unset it unless you were told to",
            ),
            Key::GlobalDeviceEndpoint => Some("every device gets this endpoint instead of the API's"),
            _ => None,
        }
    }

    /// Whether it takes a list.
    pub fn is_list(self) -> bool {
        matches!(self.kind(), Kind::Files)
    }

    /// A value as an environment variable or the command line writes it. A list is separated as in `PATH`.
    pub(super) fn read_text(self, text: &OsStr, folder: &Path) -> Result<Value, Refused> {
        if self.is_list() {
            let files = std::env::split_paths(text).filter(|file| !file.as_os_str().is_empty());
            let files: Vec<String> = files.map(|file| file.to_string_lossy().into_owned()).collect();
            return self.check(Value::List(files), folder);
        }
        match text.to_str() {
            // Whatever `tracing` understands, as it ever was.
            Some(text) if matches!(self.kind(), Kind::Log) => Ok(Value::Text(text.into())),
            Some(text) => self.check(Value::Text(text.trim().into()), folder),
            None => Err(invalid(Wrong::NotUnicode)),
        }
    }

    /// The value as it is kept, or why it is not taken. `folder`: where relative file names start.
    pub(super) fn check(self, value: Value, folder: &Path) -> Result<Value, Refused> {
        let text = match (&value, self.is_list()) {
            (Value::Text(text), false) => text.as_str(),
            (Value::List(files), true) => {
                for file in files {
                    refuse_secret(file)?;
                }
                let files = files.iter().map(|file| folder.join(file).to_string_lossy().into_owned());
                return Ok(Value::List(files.collect()));
            }
            (Value::Text(_), true) => return Err(invalid(Wrong::NotAList)),
            (Value::List(_), false) => return Err(invalid(Wrong::NotOneText)),
        };
        refuse_secret(text)?;
        match self.kind() {
            Kind::Https => https(text)?,
            Kind::Proxy => proxy(text).map_err(|refused| refused.with(ErrorCode::ProxyInvalid))?,
            Kind::Word if text.is_empty() || text.contains(char::is_whitespace) => {
                return Err(invalid(Wrong::NotAWord));
            }
            Kind::SecretsIn if !matches!(text, "keyring" | "file") => {
                return Err(invalid(Wrong::NotAPlaceForSecrets));
            }
            Kind::Host if !is_host(text) => return Err(invalid(Wrong::NotAHost)),
            Kind::Scope if !(3..=32).contains(&text.len()) || !text.bytes().all(|c| c.is_ascii_alphanumeric()) => {
                return Err(invalid(Wrong::NotAScope));
            }
            Kind::Log if !is_filter(text) => return Err(invalid(Wrong::NotAFilter)),
            _ => {}
        }
        Ok(value)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::List(texts) => f.write_str(&texts.join(", ")),
        }
    }
}

fn invalid(wrong: Wrong) -> Refused {
    Refused { code: ErrorCode::SettingsInvalid, wrong }
}

fn secret(wrong: Wrong) -> Refused {
    Refused { code: ErrorCode::SettingsSecret, wrong }
}

/// Whether a name of an unknown key means that somebody put a secret there.
pub(super) fn secret_key(name: &str) -> Option<Wrong> {
    let name = name.to_ascii_lowercase();
    let has = |word: &str| name.contains(word);
    if has("proxy") && (has("pass") || has("pwd") || has("secret")) {
        return Some(Wrong::ProxyPassword);
    }
    if has("wifi") && has("pass") {
        return Some(Wrong::WifiPassphrase);
    }
    let words = ["token", "password", "passphrase", "passwd", "pwd", "secret", "credential", "private-key", "api-key"];
    (words.iter().any(|word| has(word)) || name == "pop" || name.ends_with("_key")).then_some(Wrong::Secret)
}

/// What is a secret by its looks, wherever it stands.
fn refuse_secret(text: &str) -> Result<(), Refused> {
    let jwt = text.starts_with("eyJ") && text.matches('.').count() == 2;
    let wrong = if text.contains("PRIVATE KEY-----") {
        Wrong::PrivateKey
    } else if text.contains("SharedAccessKey=") || text.starts_with("SharedAccessSignature ") {
        Wrong::AccessKey
    } else if jwt || text.starts_with("lowtouch_") || text.starts_with("Bearer ") {
        Wrong::Token
    } else {
        return Ok(());
    };
    Err(secret(wrong))
}

fn https(text: &str) -> Result<(), Refused> {
    let not_valid = |refused: Refused| refused.with(ErrorCode::ApiUrlInvalid);
    let url = address(text, "https://provisioning.example.com").map_err(not_valid)?;
    match url.scheme() {
        "https" => {}
        "http" => return Err(invalid(Wrong::PlainHttp).with(ErrorCode::ApiNotHttps)),
        _ => return Err(not_valid(invalid(Wrong::NotHttps))),
    }
    no_login(&url, Wrong::LoginInAddress)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(not_valid(invalid(Wrong::MoreThanAnAddress)));
    }
    Ok(())
}

fn proxy(text: &str) -> Result<(), Refused> {
    if matches!(text, "system" | "none") {
        return Ok(());
    }
    let url = address(text, "http://proxy.example.com:3128")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(Wrong::NotAnHttpProxy));
    }
    no_login(&url, Wrong::LoginInProxy)?;
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(Wrong::MoreThanAProxy));
    }
    Ok(())
}

fn address(text: &str, example: &str) -> Result<Url, Refused> {
    let url = Url::parse(text)
        .map_err(|error| invalid(Wrong::NotAnAddress { why: error.to_string(), example: example.into() }))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(invalid(Wrong::NoHost { example: example.into() }));
    }
    Ok(url)
}

fn no_login(url: &Url, wrong: Wrong) -> Result<(), Refused> {
    if url.username().is_empty() && url.password().is_none() { Ok(()) } else { Err(secret(wrong)) }
}

fn is_host(text: &str) -> bool {
    let Ok(url) = Url::parse(&format!("https://{text}")) else { return false };
    let plain = !text.contains(['/', '?', '#', '@', ' ', '\\']);
    plain && !text.is_empty() && url.host_str().is_some_and(|host| !host.is_empty())
}

/// The part of `tracing`'s filters that a person writes: levels, for all or for a part of the program.
fn is_filter(text: &str) -> bool {
    let is_level = |text: &str| {
        ["off", "error", "warn", "info", "debug", "trace"].iter().any(|level| level.eq_ignore_ascii_case(text.trim()))
    };
    !text.is_empty()
        && text.split(',').all(|part| match part.rsplit_once('=') {
            Some((target, level)) => !target.trim().is_empty() && is_level(level),
            None => is_level(part),
        })
}
