//! The end of a command that did not work: what happened, what to do, and, small below, the code for support.

use std::error::Error;
use std::fmt;
use std::path::Path;

use console::style;
use lowtouch_installer::error::{ErrorCode, PairingError};
use lowtouch_installer::settings::SettingsError;
use miette::{Diagnostic, ReportHandler};
use serde_json::{Value, json};

use crate::exit::Exit;

/// What is shown and how the process ends.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Stable, for programs and support.
    pub(crate) code: String,
    message: String,
    help: Option<String>,
    detail: Vec<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure of the command line's own.
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self { exit, code: code.into(), message: message.into(), help: None, detail: Vec::new(), source: None }
    }

    /// Says in other words what happened.
    pub(crate) fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// What to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Why it happened.
    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A file that the command line names and that cannot be read.
    pub(crate) fn unreadable(what: &str, path: &Path, error: std::io::Error) -> Self {
        Self::new(Exit::Usage, "file-unreadable", format!("The {what} {} cannot be read.", path.display()))
            .help("Check the name and that you may read the file.")
            .because(error)
    }

    /// A file that cannot be written.
    pub(crate) fn unwritable(path: &Path, error: std::io::Error) -> Self {
        Self::new(Exit::Storage, "file-unwritable", format!("{} cannot be written.", path.display()))
            .help("Check that the folder exists, that you may write to it and that the disk is not full.")
            .because(error)
    }

    /// Ctrl-C.
    pub(crate) fn cancelled() -> Self {
        Self::from(PairingError::new(ErrorCode::Cancelled))
    }

    /// The last line of `--json`.
    pub(crate) fn to_json(&self) -> Value {
        let mut causes = Vec::new();
        let mut cause = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        causes.extend(self.detail.iter().cloned());
        json!({
            "event": "error",
            "code": self.code,
            "exitCode": self.exit.code(),
            "message": self.message,
            "help": self.help,
            "detail": causes,
        })
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Failure::new(exit_of(error.code), error.code.as_str(), format!("{error}.")).help(error.wrong.mend())
    }
}

impl From<PairingError> for Failure {
    fn from(error: PairingError) -> Self {
        // The hint says what happened in its first sentence and what to do in the others.
        let (message, help) = match error.hint().split_once(". ") {
            Some((message, help)) => (format!("{message}."), Some(help.to_owned())),
            None => (error.hint().to_owned(), None),
        };
        let help = help.or_else(|| action_text(&error).map(str::to_owned));
        let help = match (help, option_text(error.code)) {
            (Some(help), Some(option)) => Some(format!("{help} {option}")),
            (help, option) => help.or_else(|| option.map(str::to_owned)),
        };
        let (message, help) = match &error.missing_role {
            Some(role) => (
                format!(
                    "You are signed in as {} with the role {}; this needs the role {}.",
                    role.person, role.has, role.needs
                ),
                Some("Ask an administrator for it, or use another account: `lowtouch accounts list`.".to_owned()),
            ),
            None => (message, help),
        };
        let mut detail = Vec::new();
        detail.extend(error.step.map(|step| format!("step: {}", step.as_str())));
        detail.extend(error.detail.clone());
        detail.extend(error.retry_after_s.map(|seconds| format!("try again after {seconds} s")));
        detail.extend(error.request_id.map(|id| format!("request ID: {id}")));
        Self { exit: exit_of(error.code), code: error.code.as_str().into(), message, help, detail, source: None }
    }
}

fn action_text(error: &PairingError) -> Option<&'static str> {
    use lowtouch_installer::error::Action;
    Some(match error.action {
        Action::Retry => "Try again; it continues where it stopped.",
        Action::Wait => "Wait a few minutes, then try again.",
        Action::ContactSupport => "Send the lines below to your support.",
        Action::UpdateApp => "Install a newer version of this program.",
        Action::UpdateFirmware => "The device needs newer firmware.",
        Action::AskAdministrator => "Ask an administrator of the provisioning API.",
        Action::CheckLabel => "Scan the label again.",
        _ => return None,
    })
}

/// What the hint cannot know, because it speaks to users of every face: the option that helps here.
fn option_text(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::ApiTlsForeign => "The option for that is --ca FILE.",
        ErrorCode::ApiNotSet => "The option for that is --api URL.",
        ErrorCode::ApiUnauthenticated => {
            "`lowtouch login` signs you in; a new token goes into --token-file FILE or LOWTOUCH_TOKEN."
        }
        ErrorCode::ApiTokenMissing => {
            "`lowtouch login` signs you in. For scripts there are tokens: --token-file FILE or LOWTOUCH_TOKEN."
        }
        ErrorCode::SignedOut | ErrorCode::NoRole => "That is `lowtouch login`.",
        ErrorCode::SignInBlocked => "The option for that is --device-code.",
        ErrorCode::AccountUnknown => "`lowtouch accounts list` shows them.",
        ErrorCode::NetworkNeeded => "The option for that is --wifi SSID.",
        ErrorCode::WifiNotFound => {
            "`lowtouch network --scan` shows what the device sees; --wifi-hidden is for a hidden one."
        }
        ErrorCode::DeviceNotFound => "The link was given with --link, or is the label's own.",
        ErrorCode::SecurityNoneRefused => "The option for that is --allow-security-0.",
        ErrorCode::SecurityDowngrade => "Where you know the reason, --allow-downgrade allows it.",
        ErrorCode::DeviceUnknown => {
            "That is done with `provisioning-api device add` and `provisioning-api order open`."
        }
        ErrorCode::DpsConfigMissing => "`lowtouch network` can still give it Wi-Fi.",
        _ => return None,
    })
}

/// The exit code of every error of the installer; a table in docs/exit-codes.md that a test compares.
pub(crate) fn exit_of(code: ErrorCode) -> Exit {
    use ErrorCode as C;
    match code {
        C::LabelEmpty
        | C::LabelNotALabel
        | C::LabelIncomplete
        | C::LabelUnsupported
        | C::LabelIsInvite
        | C::LabelForgotten
        | C::PictureUnreadable
        | C::PictureTooLarge
        | C::PictureWithoutCode
        | C::PictureWithSeveralCodes => Exit::Label,

        C::LinkUnsupported
        | C::ApiNotSet
        | C::ApiUrlInvalid
        | C::ApiNotHttps
        | C::ApiCaInvalid
        | C::ProxyInvalid
        | C::ProxyPasswordMissing
        | C::OverrideRefused
        | C::SettingsUnreadable
        | C::SettingsTorn
        | C::SettingsUnknownKey
        | C::SettingsInvalid
        | C::SettingsSecret
        | C::InviteInvalid
        | C::AccountUnknown
        | C::OrderUnknown
        | C::PairingForgotten
        | C::CommandUnknown
        | C::CommandArguments
        | C::GatewayForeign
        | C::GatewayBodyTooLong
        | C::DemoNotBuilt
        | C::JournalNoEntry => Exit::Usage,

        C::DeviceNotFound
        | C::LinkPermissionDenied
        | C::BluetoothUnavailable
        | C::DeviceAmbiguous
        | C::LinkBusy
        | C::LinkLost
        | C::DeviceSilent
        | C::DeviceGarbage
        | C::DeviceAnswerTooLong
        | C::NotADevice
        | C::SessionForeign
        | C::SessionFailed => Exit::Link,

        C::WrongPop | C::WrongSecurityVersion | C::SecurityDowngrade | C::SecurityNoneRefused => Exit::WrongPop,

        C::ApiTokenMissing
        | C::ApiUnauthenticated
        | C::ApiForbidden
        | C::SignInRefused
        | C::SignInExpired
        | C::SignInBlocked
        | C::BrowserElsewhere
        | C::GatewaySessionMissing
        | C::GatewayCodeWrong
        | C::GatewaySlowedDown
        | C::SignedOut
        | C::NoRole
        | C::InviteRefused => Exit::SignIn,

        C::Offline
        | C::CaptivePortal
        | C::SignInUnsupported
        | C::SignInNotOffered
        | C::SignInMetadataInvalid
        | C::SignInUnreachable
        | C::SignInAnswerInvalid
        | C::ApiUnreachable
        | C::ProxyUnreachable
        | C::ProxyLogin
        | C::ProxyRefused
        | C::ApiTimeout
        | C::ApiTlsExpired
        | C::ApiTlsForeign
        | C::ApiRedirect
        | C::ApiNotFound
        | C::ApiRequestRejected
        | C::ApiThrottled
        | C::NoInstance
        | C::DpsUnavailable
        | C::ApiInternal
        | C::ApiAnswerInvalid
        | C::ApiAnswerTooLong => Exit::Api,

        C::DpsConfigMissing
        | C::DeviceClosed
        | C::DeviceSlowedDown
        | C::RegistrationIdInvalid
        | C::NoAttestation
        | C::DeviceBusy
        | C::NotOwner
        | C::DeviceTooSmall
        | C::DeviceUnsupported
        | C::CredentialRefused
        | C::DeviceRefused
        | C::DigestMismatch
        | C::HandoffExpired
        | C::DeviceStorage
        | C::DeviceInternal
        | C::EndpointUnreachable
        | C::EndpointTls
        | C::DpsCredential
        | C::DpsNotFound
        | C::DpsDisabled
        | C::DpsAssignmentFailed
        | C::DpsThrottled
        | C::DeviceFailed => Exit::Refused,

        C::NetworkNeeded
        | C::WifiInvalid
        | C::WifiWrongPassword
        | C::WifiNotFound
        | C::WifiTimeout
        | C::WifiEnterprise
        | C::WifiSecurityDiffers
        | C::WifiNoAddress
        | C::WifiResetNeeded
        | C::WifiScanFailed
        | C::NetworkUnsupported => Exit::Network,

        C::AlreadyPairing
        | C::TooManyPairings
        | C::GatewayFull
        | C::WrongDevice
        | C::DeviceUnknown
        | C::HandoffConflict
        | C::NotAllocated
        | C::AttestationMismatch
        | C::SlotLater
        | C::OrderNotOpen
        | C::CsrRejected => Exit::Device,

        C::JournalDiskFull
        | C::JournalNotADatabase
        | C::JournalNewer
        | C::JournalLocked
        | C::JournalPermission
        | C::JournalFailed
        | C::SettingsUnwritable
        | C::FileUnwritable
        | C::AccountsUnreadable
        | C::AccountsFailed
        | C::AccountsBusy
        | C::KeyringNoSession
        | C::KeyringMissing
        | C::KeyringLocked
        | C::KeyringNotSetUp
        | C::KeyringDenied
        | C::KeyringTimeout
        | C::KeyringFailed
        | C::SecretsPassphraseMissing
        | C::SecretsPassphraseWrong
        | C::SecretsFileDamaged
        | C::SecretsFileBusy
        | C::SecretsFileFailed => Exit::Storage,

        C::ConfirmTimeout => Exit::Unconfirmed,
        C::Cancelled => Exit::Cancelled,
        // `Internal`, `DemoFailed`, and what a newer installer adds: a test fails until it is given a place above.
        _ => Exit::Unexpected,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl Diagnostic for Failure {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("{} · exit code {}", self.code, self.exit.code())))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn url<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.detail.is_empty()).then(|| Box::new(self.detail.join("; ")) as Box<dyn fmt::Display>)
    }
}

/// Shows a [`Diagnostic`] as an installer reads it: large what happened and what to do, small below what support wants.
#[derive(Debug)]
pub(crate) struct Plain;

impl ReportHandler for Plain {
    fn debug(&self, error: &dyn Diagnostic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", style("✗").red().bold().for_stderr(), style(error).bold().for_stderr())?;
        if let Some(help) = error.help() {
            writeln!(f, "  → {help}")?;
        }
        let mut small = Vec::new();
        let mut cause = error.source();
        while let Some(source) = cause {
            small.push(source.to_string());
            cause = source.source();
        }
        small.extend(error.url().map(|detail| detail.to_string()));
        small.extend(error.code().map(|code| code.to_string()));
        for line in small {
            writeln!(f, "  {}", style(line).dim().for_stderr())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes that this crate adds to the installer's.
    const OWN: [(&str, Exit); 19] = [
        ("doctor-warned", Exit::Warned),
        ("doctor-failed", Exit::Ill),
        ("demo-process", Exit::Unexpected),
        ("demo-not-built", Exit::Usage),
        ("file-exists", Exit::Usage),
        ("file-unreadable", Exit::Usage),
        ("link-missing", Exit::Usage),
        ("listen-failed", Exit::Usage),
        ("certificate-unusable", Exit::Usage),
        ("no-data-dir", Exit::Usage),
        ("no-verifier", Exit::Usage),
        ("passphrase-missing", Exit::Usage),
        ("password-missing", Exit::Usage),
        ("setting-not-set", Exit::Usage),
        ("unknown-format", Exit::Usage),
        ("wifi-missing", Exit::Usage),
        ("label-file-unreadable", Exit::Label),
        ("file-unwritable", Exit::Storage),
        ("internal", Exit::Unexpected),
    ];

    #[test]
    fn every_error_code_has_an_exit_code_of_its_own_choosing() {
        for &code in ErrorCode::ALL {
            let chosen =
                exit_of(code) != Exit::Unexpected || matches!(code, ErrorCode::Internal | ErrorCode::DemoFailed);
            assert!(chosen, "{code} has no place in exit_of");
        }
    }

    #[test]
    fn the_documentation_lists_every_error_code_under_its_exit_code() {
        let page = include_str!("../../docs/exit-codes.md");
        for exit in Exit::ALL {
            let codes: Vec<_> =
                ErrorCode::ALL.iter().filter(|&&code| exit_of(code) == exit).map(|code| format!("`{code}`")).collect();
            let row = page
                .lines()
                .find(|line| line.starts_with(&format!("| {} |", exit.code())))
                .unwrap_or_else(|| panic!("docs/exit-codes.md has no row for {}", exit.code()));
            let documented: Vec<_> = row.split('|').nth(4).unwrap_or_default().split(',').map(str::trim).collect();
            for code in &codes {
                assert!(
                    documented.contains(&code.as_str()),
                    "row {} lacks {code}; it has: {}",
                    exit.code(),
                    codes.join(", ")
                );
            }
            for code in documented.iter().filter(|code| !code.is_empty()) {
                let own = OWN.iter().any(|&(known, end)| format!("`{known}`") == **code && end == exit);
                assert!(
                    own || codes.iter().any(|known| known == code),
                    "row {} has {code}, which ends otherwise",
                    exit.code()
                );
            }
        }
    }

    #[test]
    fn the_help_lists_every_exit_code() {
        for exit in Exit::ALL {
            let line = format!("{:>5}  ", exit.code());
            assert!(
                crate::exit::HELP.lines().any(|text| text.starts_with(&line)),
                "{} is not in the help",
                exit.code()
            );
        }
    }

    #[test]
    fn an_error_says_what_happened_then_what_to_do_then_the_code() {
        let failure = Failure::from(PairingError::with_detail(ErrorCode::WrongPop, "status 1"));
        let mut text = String::new();
        struct Show<'a>(&'a Failure);
        impl fmt::Display for Show<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Plain.debug(self.0, f)
            }
        }
        fmt::write(&mut text, format_args!("{}", Show(&failure))).unwrap();
        insta::assert_snapshot!(console::strip_ansi_codes(&text), @r"
        ✗ The code on the label does not match this device.
          → Check that the label belongs to it and was typed in exactly.
          status 1
          wrong-pop · exit code 5
        ");
    }
}
