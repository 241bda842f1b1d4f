//! What the doctor finds.

use std::time::{Duration, SystemTime};

use lowtouch_installer::doctor as core;

use crate::events::seconds;
use crate::failure::mirror;

mirror! {
    /// What a check is about.
    CheckTopic of core::Topic {
        /// The settings.
        Settings,
        /// The way to the provisioning API: route, name, proxy, captive portal.
        Network,
        /// The phone's clock.
        Time,
        /// The provisioning API's certificate.
        Tls,
        /// The provisioning API itself.
        Api,
        /// Who is signed in.
        SignIn,
        /// The global device endpoint.
        Dps,
        /// Where secrets are kept.
        Keyring,
        /// Bluetooth.
        Adapter,
        /// Serial ports.
        Ports,
        /// The journal, and room for it.
        Journal,
    }
}

mirror! {
    /// How a check ended; the later ones are worse.
    CheckStatus of core::Status {
        /// All is well.
        Ok,
        /// Not looked at.
        Skipped,
        /// Pairing may work; something should be looked after.
        Warning,
        /// Pairing will not work before this is mended.
        Failed,
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct Check {
    /// What it is about.
    pub topic: CheckTopic,
    /// How it ended.
    pub status: CheckStatus,
    /// The finding's stable text: the key of the app's own words.
    pub hint_key: String,
    /// What that means, in plain English.
    pub text: String,
    /// What exactly was seen.
    pub seen: Option<String>,
    /// What to do about it.
    pub mend: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct Report {
    /// When.
    pub at: SystemTime,
    /// Of the core.
    pub version: String,
    /// The worst status of all checks; `Skipped` is no worse than `Ok`.
    pub worst: CheckStatus,
    /// How long it took.
    pub took: Duration,
    /// All checks, in the order of their topics.
    pub checks: Vec<Check>,
}

impl From<core::Report> for Report {
    fn from(report: core::Report) -> Self {
        let check = |check: core::Check| Check {
            topic: check.topic.into(),
            status: check.status.into(),
            hint_key: check.code,
            text: check.text,
            seen: check.seen,
            mend: check.mend,
            took: seconds(check.seconds),
        };
        Self {
            at: report.at.into(),
            version: report.version,
            worst: report.worst.into(),
            took: seconds(report.seconds),
            checks: report.checks.into_iter().map(check).collect(),
        }
    }
}
