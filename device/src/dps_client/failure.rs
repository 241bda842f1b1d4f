//! Why a registration did not succeed.

use std::error::Error as _;
use std::io;

use reqwest::StatusCode;

use super::answer::Answer;
use crate::retry::{Hint, Retry};

/// Longest text in a [`RegistrationFailure`], in bytes: what `dps-config` can carry.
const MAX_TEXT: usize = 256;

/// What a person can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// No route, no name, no connection, or somebody else answers.
    Unreachable,
    /// The endpoint's certificate is not trusted or is for another name.
    Tls,
    /// DPS refused the credential.
    Credential,
    /// DPS does not know the registration ID or the ID scope.
    NotFound,
    /// The enrollment is disabled.
    Disabled,
    /// DPS could not assign a hub.
    Assignment,
    /// Throttled or out of service for longer than the budget.
    Unavailable,
}

impl FailureKind {
    pub(super) fn is_passing(self) -> bool {
        matches!(self, Self::Unreachable | Self::Unavailable)
    }
}

/// Why a registration did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct RegistrationFailure {
    /// What a person can do about it.
    pub kind: FailureKind,
    /// What DPS or the network said; at most 256 bytes, no secrets.
    pub text: String,
    /// DPS's errorCode, or 0.
    pub dps_error_code: u32,
    pub(super) from_dps: bool,
    hint: Hint,
}

impl Retry for RegistrationFailure {
    fn hint(&self) -> Hint {
        self.hint
    }
}

impl RegistrationFailure {
    fn new(kind: FailureKind, hint: Hint, text: &str) -> Self {
        Self { kind, text: tidy(text), dps_error_code: 0, from_dps: false, hint }
    }

    fn said_by_dps(mut self, code: u32) -> Self {
        self.dps_error_code = code;
        self.from_dps = true;
        self
    }

    pub(super) fn unreachable(text: &str) -> Self {
        Self::new(FailureKind::Unreachable, Hint::Never, text)
    }

    /// Somebody answered, and not as DPS does: a captive portal, a proxy. It may pass.
    pub(super) fn nonsense(text: &str) -> Self {
        Self::new(FailureKind::Unreachable, Hint::Trouble, text)
    }

    pub(super) fn unavailable(text: &str) -> Self {
        Self::new(FailureKind::Unavailable, Hint::Never, text)
    }

    pub(super) fn tls(text: &str) -> Self {
        Self::new(FailureKind::Tls, Hint::Never, text)
    }

    pub(super) fn credential(text: &str) -> Self {
        Self::new(FailureKind::Credential, Hint::Never, text)
    }

    pub(super) fn assignment(code: u32, text: &str) -> Self {
        Self::new(FailureKind::Assignment, Hint::Never, text).said_by_dps(code)
    }

    pub(super) fn disabled(code: u32, text: &str) -> Self {
        Self::new(FailureKind::Disabled, Hint::Never, text).said_by_dps(code)
    }

    /// From an answer that is neither 200 nor 202.
    pub(super) fn from_answer(answer: &Answer) -> Self {
        let (kind, hint) = match answer.status {
            StatusCode::UNAUTHORIZED => (FailureKind::Credential, Hint::Never),
            StatusCode::FORBIDDEN => (FailureKind::Disabled, Hint::Never),
            StatusCode::NOT_FOUND => (FailureKind::NotFound, Hint::Never),
            StatusCode::TOO_MANY_REQUESTS => {
                (FailureKind::Unavailable, answer.retry_after.map_or(Hint::Throttled, Hint::After))
            }
            // 409: another registration of this device is under way.
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => (FailureKind::Unavailable, Hint::Trouble),
            status if status.is_server_error() => {
                (FailureKind::Unavailable, answer.retry_after.map_or(Hint::Trouble, Hint::After))
            }
            status if status.is_client_error() => (FailureKind::Assignment, Hint::Never),
            // A redirect or a 204: not DPS.
            _ => (FailureKind::Unreachable, Hint::Trouble),
        };
        let status = answer.status.as_u16();
        let text = match answer.message() {
            Some(message) => format!("HTTP {status}: {message}"),
            None => format!("HTTP {status}"),
        };
        Self::new(kind, hint, &text).said_by_dps(answer.error_code())
    }

    /// From a request that got no answer.
    pub(super) fn from_transport(error: &reqwest::Error) -> Self {
        match tls_error(error) {
            Some(rustls::Error::AlertReceived(alert)) if about_client_certificate(*alert) => {
                Self::credential(&format!("DPS refused the device's certificate during TLS: {alert:?}"))
            }
            Some(tls) => Self::tls(&tls.to_string()),
            None if error.is_timeout() => Self::new(FailureKind::Unreachable, Hint::Connection, "no answer in time"),
            None => Self::new(FailureKind::Unreachable, Hint::Connection, &innermost(error)),
        }
    }
}

fn about_client_certificate(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired
            | Alert::DecryptError
    )
}

/// An `io::Error` hides what it wraps from `source()`.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// The last cause says most ("Connection refused"), and names no URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut last: Option<&dyn std::error::Error> = None;
    let mut next = error.source();
    while let Some(error) = next {
        last = Some(error);
        next = error.source();
    }
    last.map_or_else(|| "no connection".to_owned(), ToString::to_string)
}

fn tidy(text: &str) -> String {
    let mut tidy = String::new();
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if tidy.len() + character.len_utf8() > MAX_TEXT {
            break;
        }
        tidy.push(character);
    }
    tidy
}
