//! Exit codes: a stable list, documented in docs/exit-codes.md and in `lowtouch --help`.

use std::process::ExitCode;

/// How the command ended, named by what the person should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done = 0,
    /// Something that should not happen; worth a report.
    Unexpected = 1,
    /// The command line, or a file that it names.
    Usage = 2,
    /// The label.
    Label = 3,
    /// The device cannot be reached, went silent, or speaks another protocol.
    Link = 4,
    /// The device does not accept the label's PoP, or is less secure than its label.
    WrongPop = 5,
    /// The provisioning API does not accept the token.
    SignIn = 6,
    /// The provisioning API cannot be reached, or cannot answer now.
    Api = 7,
    /// The device or DPS refused; the device keeps its old configuration.
    Refused = 8,
    /// The device could not join the Wi-Fi, or needs one.
    Network = 9,
    /// This device may not be paired from here, or not now.
    Device = 10,
    /// The journal, or another local file that is needed, cannot be written.
    Storage = 11,
    /// The device has its new configuration, but has not said yet that it is registered.
    Unconfirmed = 12,
    /// `lowtouch doctor` found something that needs a look.
    Warned = 13,
    /// `lowtouch doctor` found something that has to be mended.
    Ill = 14,
    /// Ctrl-C.
    Cancelled = 130,
}

impl Exit {
    /// All of them, in order.
    #[cfg(test)]
    pub(crate) const ALL: [Exit; 16] = [
        Exit::Done,
        Exit::Unexpected,
        Exit::Usage,
        Exit::Label,
        Exit::Link,
        Exit::WrongPop,
        Exit::SignIn,
        Exit::Api,
        Exit::Refused,
        Exit::Network,
        Exit::Device,
        Exit::Storage,
        Exit::Unconfirmed,
        Exit::Warned,
        Exit::Ill,
        Exit::Cancelled,
    ];

    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// The table for `lowtouch --help`. docs/exit-codes.md says more; a test compares the two.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done
    1  unexpected: a defect, worth a report
    2  usage: the command line, or a file that it names
    3  the label cannot be read, or is no label
    4  the device cannot be reached, went silent, or speaks another protocol
    5  the device does not accept the label's code (PoP), or is less secure than its label
    6  the provisioning API does not accept the token: sign in again
    7  the provisioning API cannot be reached, or cannot answer now: try again later
    8  the device or DPS refused; the device keeps its old configuration
    9  the device could not join the Wi-Fi, or needs one
   10  this device may not be paired from here, or not now
   11  the journal or another local file cannot be written
   12  handed over but not confirmed yet: run the same command again later
   13  doctor: pairing may work, and something needs a look
   14  doctor: something has to be mended before pairing works
  130  cancelled with Ctrl-C

Start with `lowtouch demo`: it needs no device and no account.";
