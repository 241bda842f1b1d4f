#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
use super::mishap::Mishap;
use crate::LinkError;

const LOCATION: &str = "Turn location on in the phone's settings; nothing is done with where you are.";

/// Why no Bluetooth adapter can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterProblem {
    /// The system's Bluetooth service does not run, or D-Bus itself.
    #[error("the system's Bluetooth service is not running")]
    NoService,
    /// There is no adapter.
    #[error("there is no Bluetooth adapter")]
    NoAdapter,
    /// The adapter is turned off.
    #[error("the Bluetooth adapter is off")]
    Off,
    /// A kill switch or airplane mode keeps it off.
    #[error("the Bluetooth adapter is blocked by airplane mode or a switch")]
    Blocked,
    /// This user may not use Bluetooth.
    #[error("this user may not use Bluetooth")]
    NoPermission,
    /// Android up to 11 hears no devices while location is off.
    #[error("location is off, and this phone hears no Bluetooth devices without it")]
    LocationOff,
}

impl AdapterProblem {
    /// A stable word for programs: `no-service`, `no-adapter`, `off`, `blocked`, `no-permission`, `location-off`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoService => "no-service",
            Self::NoAdapter => "no-adapter",
            Self::Off => "off",
            Self::Blocked => "blocked",
            Self::NoPermission => "no-permission",
            Self::LocationOff => "location-off",
        }
    }

    /// What the user can do about it: a whole sentence.
    #[must_use]
    pub fn mend(self) -> &'static str {
        if cfg!(target_os = "linux") {
            match self {
                Self::NoService => "Start it: sudo systemctl enable --now bluetooth (the package is called bluez).",
                Self::NoAdapter => {
                    "Plug in a Bluetooth adapter. If there is one, see whether the kernel knows it: bluetoothctl list."
                }
                Self::Off => "Turn it on: bluetoothctl power on.",
                Self::Blocked => "End airplane mode or flip the switch; then: rfkill unblock bluetooth.",
                Self::NoPermission => {
                    "Join the group that may: sudo usermod -aG bluetooth $USER, then log in again. In a container, \
                     share the system's D-Bus socket."
                }
                Self::LocationOff => LOCATION,
            }
        } else {
            match self {
                Self::NoService | Self::NoAdapter => {
                    "Plug in a Bluetooth adapter, or turn Bluetooth on in the settings."
                }
                Self::Off | Self::Blocked => "Turn Bluetooth on in the system's settings.",
                Self::NoPermission => "Allow this program to use Bluetooth in the system's privacy settings.",
                Self::LocationOff => LOCATION,
            }
        }
    }

    /// What to type in a terminal to mend it, where that is the way.
    #[must_use]
    pub fn command(self) -> Option<&'static str> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        match self {
            Self::NoService => Some("sudo systemctl enable --now bluetooth"),
            Self::NoAdapter => Some("bluetoothctl list"),
            Self::Off => Some("bluetoothctl power on"),
            Self::Blocked => Some("rfkill unblock bluetooth"),
            Self::NoPermission => Some("sudo usermod -aG bluetooth $USER"),
            Self::LocationOff => None,
        }
    }

    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
    pub(super) fn of(mishap: &Mishap) -> Option<Self> {
        Some(match mishap {
            Mishap::NoService => Self::NoService,
            Mishap::Denied => Self::NoPermission,
            Mishap::Blocked => Self::Blocked,
            Mishap::Off => Self::Off,
            _ => return None,
        })
    }
}

impl From<AdapterProblem> for LinkError {
    fn from(problem: AdapterProblem) -> Self {
        Self::Adapter { problem, mend: problem.mend() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_mends_is_the_one_that_the_sentence_names() {
        use AdapterProblem::{Blocked, LocationOff, NoAdapter, NoPermission, NoService, Off};
        for problem in [NoService, NoAdapter, Off, Blocked, NoPermission, LocationOff] {
            assert!(problem.command().is_none_or(|command| problem.mend().contains(command)), "{problem:?}");
        }
    }
}
