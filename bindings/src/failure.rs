//! What went wrong: for each operation an enum of what a caller does differently, each variant with the whole story.

use std::time::Duration;

use lowtouch_installer as core;
use uuid::Uuid;

use crate::{ErrorCode, Step};

/// Makes an enum of the core's values of the same names, and `Unknown` for those of a later core.
macro_rules! mirror {
    ($(#[$meta:meta])* $name:ident of $core:path { $($(#[$doc:meta])* $variant:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
            /// One that these bindings do not know.
            Unknown,
        }

        impl From<$core> for $name {
            #[allow(unreachable_patterns, reason = "some of the core's enums may grow")]
            fn from(core: $core) -> Self {
                use $core as Core;
                match core {
                    $(Core::$variant => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }
        }
    };
}
pub(crate) use mirror;

mirror! {
    /// What the person with the device can do about an error.
    Action of core::Action {
        /// Run the same pairing again; it continues where it stopped.
        Retry,
        /// Wait a while ([`Failure::retry_after`]), then run the same pairing again.
        Wait,
        /// Sign in again.
        SignInAgain,
        /// Give this app access to the radio.
        GrantPermission,
        /// Go nearer to the device, check its power.
        MoveCloser,
        /// Press the device's button.
        PressButton,
        /// Compare the code (proof of possession) with the label.
        CheckPop,
        /// Scan the right label again.
        CheckLabel,
        /// Check the link address that was given.
        CheckLink,
        /// Check the Wi-Fi name and passphrase.
        CheckWifi,
        /// Check the phone's own internet connection.
        CheckInternet,
        /// Check the date and time of the phone, then the server's certificate.
        CheckClock,
        /// Check the settings: server address, added certificates, Bluetooth.
        CheckSettings,
        /// Free some disk space.
        FreeDiskSpace,
        /// Install a newer version of this app.
        UpdateApp,
        /// The device needs newer firmware.
        UpdateFirmware,
        /// An administrator of the provisioning API has to change something.
        AskAdministrator,
        /// Send code and detail to support.
        ContactSupport,
        /// Nothing to do.
        Nothing,
    }
}

/// What went wrong and what to do about it. Holds no secrets.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Failure {
    /// The stable code.
    pub code: ErrorCode,
    /// What to do about it.
    pub action: Action,
    /// The code's text, for example `wrong-pop`: the key of the app's own words.
    pub hint_key: String,
    /// What happened and what to do next, in plain English.
    pub hint: String,
    /// The step in which it happened, if a pairing was under way.
    pub step: Option<Step>,
    /// For support: what exactly was seen. English.
    pub detail: Option<String>,
    /// After how long it makes sense to try again, if the other side said so.
    pub retry_after: Option<Duration>,
    /// The API's name for the failed call, to be quoted to its operator.
    pub request_id: Option<Uuid>,
    /// Which role is there and which one is needed, where that is why.
    pub missing_role: Option<MissingRole>,
}

/// Who is signed in, what they may do, and what was needed.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct MissingRole {
    /// As the API knows them.
    pub person: String,
    /// The role that is there, for example `auditor`.
    pub has: String,
    /// The role that is needed, for example `installer`.
    pub needs: String,
}

impl From<core::PairingError> for Failure {
    fn from(error: core::PairingError) -> Self {
        Self {
            code: error.code.into(),
            action: error.action.into(),
            hint_key: error.code.as_str().to_owned(),
            hint: error.hint().to_owned(),
            step: error.step.map(Step::from),
            detail: error.detail,
            retry_after: error.retry_after_s.map(Duration::from_secs),
            request_id: error.request_id,
            missing_role: error.missing_role.map(|role| MissingRole {
                person: role.person,
                has: role.has,
                needs: role.needs,
            }),
        }
    }
}

/// Makes the error of one operation: its variants by the core's codes or actions, and `Failed` for all others.
macro_rules! operation_error {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $($kind:ident::$value:ident)|+,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, uniffi::Error, thiserror::Error)]
        pub enum $name {
            $(
                $(#[$doc])*
                #[error("{} ({})", .failure.hint, .failure.hint_key)]
                $variant {
                    /// The whole story.
                    failure: Failure,
                },
            )*
            /// Any other reason; its action says what to do.
            #[error("{} ({})", .failure.hint, .failure.hint_key)]
            Failed {
                /// The whole story.
                failure: Failure,
            },
        }

        impl From<core::PairingError> for $name {
            fn from(error: core::PairingError) -> Self {
                use core::{Action, ErrorCode};
                $(if $(operation_error!(@is error $kind $value))||+ {
                    return Self::$variant { failure: error.into() };
                })*
                let _ = (Action::Nothing, ErrorCode::Internal);
                Self::Failed { failure: error.into() }
            }
        }
    };
    (@is $error:ident Action $value:ident) => { $error.action == Action::$value };
    (@is $error:ident ErrorCode $value:ident) => { $error.code == ErrorCode::$value };
}

operation_error! {
    /// Why a pairing ended without success.
    PairingError {
        /// Cancelled. Run it again to go on where it stopped.
        Cancelled = ErrorCode::Cancelled,
        /// Sign in, then run it again.
        SignInNeeded = Action::SignInAgain,
        /// The app lacks a permission; `failure.detail` names it.
        PermissionNeeded = Action::GrantPermission,
    }
}

operation_error! {
    /// Why a device could not be asked or set up without a pairing.
    DeviceError {
        /// Cancelled.
        Cancelled = ErrorCode::Cancelled,
        /// The app lacks a permission; `failure.detail` names it.
        PermissionNeeded = Action::GrantPermission,
    }
}

operation_error! {
    /// Why nobody signed in.
    SignInError {
        /// Given up by the app.
        Cancelled = ErrorCode::Cancelled,
        /// Begin again: it was refused, not finished in time, or the invite is used up.
        StartAgain = ErrorCode::SignInExpired | ErrorCode::SignInRefused | ErrorCode::InviteRefused,
        /// The network wants a sign-in of its own first.
        CaptivePortal = ErrorCode::CaptivePortal,
    }
}

operation_error! {
    /// Why the accounts of this phone cannot be read or changed.
    AccountError {
        /// There is no such account, or nobody is signed in.
        NotThere = ErrorCode::AccountUnknown | ErrorCode::ApiTokenMissing,
    }
}

operation_error! {
    /// Why the journal cannot be read.
    JournalError {
        /// There is no such pairing.
        NotThere = ErrorCode::JournalNoEntry,
        /// Nobody is signed in whom the API would hear.
        SignInNeeded = Action::SignInAgain,
    }
}

operation_error! {
    /// Why a work order cannot be had.
    OrderError {
        /// There is no such order, or it is not open now.
        NotOpen = ErrorCode::OrderUnknown | ErrorCode::OrderNotOpen,
        /// Sign in first.
        SignInNeeded = Action::SignInAgain,
    }
}

operation_error! {
    /// Why an [`Installer`](crate::Installer) cannot be made or ended.
    SettingsError {
        /// A setting cannot be used.
        Invalid = Action::CheckSettings,
    }
}

operation_error! {
    /// Why a text is no invite.
    InviteError {
        /// It is something else.
        NotAnInvite = ErrorCode::InviteInvalid,
    }
}

/// What was read instead of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Other {
    /// An invite: sign in with it.
    Invite,
    /// `https://…`
    WebAddress,
    /// `WIFI:…`
    WifiCode,
    /// `MT:…`
    MatterCode,
    /// `X-HM://…`
    HomeKitCode,
    /// `DPP:…`
    EasyConnectCode,
    /// A contact or calendar entry.
    ContactOrEvent,
    /// Letters and digits.
    SerialNumber,
    /// JSON of something else.
    OtherJson,
    /// Longer than any label.
    TooLong,
    /// Any other text.
    OtherText,
}

impl From<core::label::ReadInstead> for Other {
    fn from(read: core::label::ReadInstead) -> Self {
        use core::label::ReadInstead as Core;
        match read {
            Core::Invite => Self::Invite,
            Core::WebAddress => Self::WebAddress,
            Core::WifiCode => Self::WifiCode,
            Core::MatterCode => Self::MatterCode,
            Core::HomeKitCode => Self::HomeKitCode,
            Core::EasyConnectCode => Self::EasyConnectCode,
            Core::ContactOrEvent => Self::ContactOrEvent,
            Core::SerialNumber => Self::SerialNumber,
            Core::OtherJson => Self::OtherJson,
            Core::TooLong => Self::TooLong,
            _ => Self::OtherText,
        }
    }
}

/// Why a text or picture is no label.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Error, thiserror::Error)]
pub enum LabelError {
    /// Something else was read.
    #[error("{} ({})", .failure.hint, .failure.hint_key)]
    SomethingElse {
        /// What it is.
        other: Other,
        /// The whole story.
        failure: Failure,
    },
    /// It is a label, or none at all, and cannot be used.
    #[error("{} ({})", .failure.hint, .failure.hint_key)]
    Unusable {
        /// The whole story.
        failure: Failure,
    },
}

impl From<core::label::LabelError> for LabelError {
    fn from(error: core::label::LabelError) -> Self {
        let other = match &error {
            core::label::LabelError::NotALabel(other) => Some((*other).into()),
            _ => None,
        };
        let failure = core::PairingError::from(error).into();
        match other {
            Some(other) => Self::SomethingElse { other, failure },
            None => Self::Unusable { failure },
        }
    }
}
