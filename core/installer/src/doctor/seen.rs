use std::fmt;

use jiff::Timestamp;
use lowtouch_links::serial::Accessibility;
use provisioning_api_contract::Role;
use serde::{Deserialize, Serialize};

use super::finding::shown;
use crate::error::{ErrorCode, PairingError};
use crate::settings::{Key, Source, Wrong};

/// One thing that a check saw. `Display` says it in plain English; a page words it in its own language. No secrets. `why` and
/// `text` are the system's or a library's own English.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(tag = "seen", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Seen {
    /// A file or folder.
    Path {
        /// Where.
        path: String,
    },
    /// A mistake in the settings.
    Setting {
        /// `FILE:LINE:COLUMN` or an environment variable.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
        /// The key, if it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// What is wrong.
        problem: Wrong,
    },
    /// More of the same kind, which are not named.
    More {
        /// How many.
        count: usize,
    },
    /// A setting that is valid and deserves a second look.
    Override {
        /// Its key.
        key: String,
    },
    /// A host.
    Host {
        /// `HOST` or `HOST:PORT`.
        host: String,
    },
    /// Calls go through a proxy.
    Proxy {
        /// `HOST` or `HOST:PORT`.
        proxy: String,
    },
    /// A captive portal: the API's health was asked for, and this host answered.
    AnsweredBy {
        /// Who.
        host: String,
    },
    /// A captive portal: a page came where the API's health was due.
    Page,
    /// A captive portal: plain calls are sent elsewhere.
    SentTo {
        /// Where.
        host: String,
    },
    /// A captive portal says so itself (HTTP 511).
    SignInWanted,
    /// A certificate.
    Certificate {
        /// `CN=…, O=…`; absent where it cannot be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
        /// From when on it is valid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
        /// Until when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_after: Option<Timestamp>,
    },
    /// This machine's date.
    Today {
        /// Now.
        at: Timestamp,
    },
    /// By how much this machine's clock is off.
    Clock {
        /// Ahead of the server's; behind it: negative.
        seconds: i64,
    },
    /// An HTTP status.
    Http {
        /// What was asked for: `health`, `metadata`.
        of: String,
        /// 100 to 599.
        status: u16,
    },
    /// The API's version; absent: it does not say.
    Version {
        /// As the API says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// How long an answer took.
    Took {
        /// Milliseconds, the making of the connection included.
        ms: u64,
    },
    /// How long an answer took over a connection that was there already.
    TookAgain {
        /// Milliseconds.
        ms: u64,
    },
    /// Who is signed in.
    Person {
        /// As the API knows them.
        name: String,
        /// What they may do.
        role: Role,
        /// The account; absent: a token from a file or the environment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
    },
    /// Until when the token is valid.
    ValidUntil {
        /// Its end.
        at: Timestamp,
    },
    /// The system's keyring.
    Keyring {
        /// Its product name.
        name: String,
    },
    /// The encrypted file that secrets are kept in.
    SecretsFile {
        /// Where.
        path: String,
    },
    /// A Bluetooth adapter.
    Adapter {
        /// As the system calls it.
        name: String,
    },
    /// Why no Bluetooth adapter can be used.
    NoAdapter {
        /// `no-service`, `no-adapter`, `off`, `blocked`, `no-permission`, `location-off`.
        problem: String,
        /// The same in plain English.
        text: String,
        /// What to type in a terminal of this machine to mend it, where there is such a thing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<String>,
    },
    /// A serial port.
    Port {
        /// `/dev/ttyUSB0`, `COM3`.
        path: String,
        /// Whether it can be used.
        state: PortState,
    },
    /// Pairings in the journal.
    Pairings {
        /// How many.
        count: u64,
    },
    /// Room on the journal's disk.
    Room {
        /// Bytes that this user may still write; absent where the system cannot tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// A call failed with an error of its own.
    Error {
        /// Its code.
        code: ErrorCode,
        /// For support.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// The check did not end.
    NoAnswer {
        /// After how long.
        seconds: u64,
    },
    /// What a library, the system or a server said.
    Said {
        /// English, or whatever it speaks.
        text: String,
    },
}

/// Whether a serial port can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PortState {
    /// Nothing is known to be in the way.
    Ready,
    /// This user may not open it.
    Denied,
    /// Another program has it open.
    Busy,
}

impl Seen {
    pub(super) fn path(path: &std::path::Path) -> Seen {
        Seen::Path { path: path.display().to_string() }
    }

    pub(super) fn said(text: impl AsRef<str>) -> Seen {
        Seen::Said { text: shown(text.as_ref()) }
    }

    pub(super) fn error(error: &PairingError) -> Seen {
        Seen::Error { code: error.code, detail: error.detail.as_deref().map(shown) }
    }

    pub(super) fn setting(problem: &crate::settings::SettingsError) -> Seen {
        let place = match &problem.source {
            Source::Default => None,
            Source::File { path, line: line @ 1.., column } => Some(format!("{}:{line}:{column}", path.display())),
            source => Some(source.to_string()),
        };
        Seen::Setting { place, key: problem.key.as_deref().map(shown), problem: (*problem.wrong).clone() }
    }
}

fn day(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "an unknown day".into(), |at| at.strftime("%Y-%m-%d").to_string())
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Path { path } => f.write_str(path),
            Seen::Setting { place, key, problem } => {
                for part in [place, key].into_iter().flatten() {
                    write!(f, "{part}: ")?;
                }
                problem.fmt(f)
            }
            Seen::More { count } => write!(f, "and {count} more"),
            Seen::Override { key } => {
                write!(f, "{key}: {}", Key::named(key).and_then(Key::warning).unwrap_or("it is set"))
            }
            Seen::Host { host } => f.write_str(host),
            Seen::Proxy { proxy } => write!(f, "through the proxy {proxy}"),
            Seen::AnsweredBy { host } => write!(f, "{host} answered where the API's health was due"),
            Seen::Page => f.write_str("a page came where the API's health was due"),
            Seen::SentTo { host } => write!(f, "plain calls are sent to {host}"),
            Seen::SignInWanted => f.write_str("the network says so (511)"),
            Seen::Certificate { issuer, not_before, not_after } => {
                write!(f, "issued by {}", issuer.as_deref().unwrap_or("somebody unreadable"))?;
                match (not_before, not_after) {
                    (None, None) => Ok(()),
                    (None, end) => write!(f, ", until {}", day(*end)),
                    (begin, end) => write!(f, ", valid from {} to {}", day(*begin), day(*end)),
                }
            }
            Seen::Today { at } => write!(f, "here it is {}", day(Some(*at))),
            Seen::Clock { seconds } => {
                let side = if *seconds < 0 { "behind" } else { "ahead of" };
                match seconds.unsigned_abs() {
                    off @ 0..120 => write!(f, "{off} s {side} the server's"),
                    off => write!(f, "{} min {side} the server's", off / 60),
                }
            }
            Seen::Http { of, status } => write!(f, "{of}: HTTP {status}"),
            Seen::Version { version } => write!(f, "version {}", version.as_deref().unwrap_or("unknown")),
            Seen::Took { ms } => write!(f, "{ms} ms"),
            Seen::TookAgain { ms } => write!(f, "{ms} ms again"),
            Seen::Person { name, role, account } => {
                let role = serde_json::to_value(role).ok().and_then(|role| role.as_str().map(str::to_owned));
                let with = account.as_deref().unwrap_or("a token");
                write!(f, "{name} ({}) with {with}", role.unwrap_or_default())
            }
            Seen::ValidUntil { at } => write!(f, "the token is valid until {at}"),
            Seen::Keyring { name } => f.write_str(name),
            Seen::SecretsFile { path } => write!(f, "the encrypted file {path}"),
            Seen::Adapter { name } => f.write_str(name),
            Seen::NoAdapter { text, .. } => f.write_str(text),
            Seen::Port { path, state } => {
                let state = match state {
                    PortState::Ready => "ready",
                    PortState::Denied => "permission denied",
                    PortState::Busy => "busy",
                };
                write!(f, "{path} {state}")
            }
            Seen::Pairings { count } => write!(f, "{count} pairings"),
            Seen::Room { bytes: Some(bytes) } => write!(f, "{} MB free", bytes / 1_000_000),
            Seen::Room { bytes: None } => f.write_str("room unknown"),
            Seen::Error { code, detail } => {
                let hint = code.hint();
                let what = hint.split_once(". ").map_or(hint.trim_end_matches('.'), |(what, _)| what);
                match detail {
                    Some(detail) => write!(f, "{what}: {detail}"),
                    None => f.write_str(what),
                }
            }
            Seen::NoAnswer { seconds } => write!(f, "no answer after {seconds} s"),
            Seen::Said { text } => f.write_str(text),
        }
    }
}

impl From<&Accessibility> for PortState {
    fn from(accessibility: &Accessibility) -> Self {
        match accessibility {
            Accessibility::Ready => PortState::Ready,
            Accessibility::PermissionDenied { .. } => PortState::Denied,
            _ => PortState::Busy,
        }
    }
}
