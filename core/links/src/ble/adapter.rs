use std::path::Path;
use std::time::Duration;

use btleplug::api::{Central as _, CentralState};
use btleplug::platform::Adapter;
use tokio::time::timeout;

use super::mishap::Mishap;
use super::stack;
use crate::LinkError;

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
}

impl AdapterProblem {
    /// A stable word for programs: `no-service`, `no-adapter`, `off`, `blocked`, `no-permission`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoService => "no-service",
            Self::NoAdapter => "no-adapter",
            Self::Off => "off",
            Self::Blocked => "blocked",
            Self::NoPermission => "no-permission",
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
            }
        } else {
            match self {
                Self::NoService | Self::NoAdapter => {
                    "Plug in a Bluetooth adapter, or turn Bluetooth on in the settings."
                }
                Self::Off | Self::Blocked => "Turn Bluetooth on in the system's settings.",
                Self::NoPermission => "Allow this program to use Bluetooth in the system's privacy settings.",
            }
        }
    }

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

/// How long an adapter may take to say whether it is on.
const ASKING: Duration = Duration::from_secs(2);

/// The first adapter that is on, by name. A radio that is off stays off: somebody may have had a reason.
pub(super) async fn usable() -> Result<Adapter, LinkError> {
    let adapters = stack::adapters().await?;
    if adapters.is_empty() {
        return Err(AdapterProblem::NoAdapter.into());
    }
    // The system lists them in no order; it is the same one every time by their names: hci0 before hci1.
    let mut named = Vec::new();
    for adapter in adapters {
        let name = timeout(ASKING, adapter.adapter_info()).await;
        named.push((name.ok().and_then(Result::ok).unwrap_or_default(), adapter));
    }
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (_, adapter) in named {
        if is_on(&adapter).await {
            return Ok(adapter);
        }
    }
    let blocked = cfg!(target_os = "linux") && is_blocked(Path::new("/sys/class/rfkill"));
    Err(if blocked { AdapterProblem::Blocked } else { AdapterProblem::Off }.into())
}

/// The name of the adapter that would be used.
///
/// # Errors
/// [`LinkError::Adapter`] says why there is none; [`LinkError::Lost`] or another when the Bluetooth service fails.
pub async fn adapter() -> Result<String, LinkError> {
    stack::run(async {
        let adapter = usable().await?;
        Ok(timeout(ASKING, adapter.adapter_info()).await.ok().and_then(Result::ok).unwrap_or_default())
    })
    .await?
}

async fn is_on(adapter: &Adapter) -> bool {
    // CoreBluetooth says "unknown" until it has started.
    let state = timeout(ASKING, adapter.adapter_state()).await;
    matches!(state, Ok(Ok(CentralState::PoweredOn | CentralState::Unknown)))
}

/// Whether a kill switch holds a Bluetooth radio: the kernel's Documentation/ABI/stable/sysfs-class-rfkill.
fn is_blocked(rfkill: &Path) -> bool {
    let switches = std::fs::read_dir(rfkill).into_iter().flatten().flatten();
    switches.map(|switch| switch.path()).any(|switch| {
        let says = |file: &str| std::fs::read_to_string(switch.join(file)).unwrap_or_default().trim().to_owned();
        says("type") == "bluetooth" && (says("soft") == "1" || says("hard") == "1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_switch_counts_when_it_is_bluetooths() {
        let folder = tempfile::tempdir().unwrap();
        let switch = |name: &str, kind: &str, soft: &str, hard: &str| {
            let switch = folder.path().join(name);
            std::fs::create_dir(&switch).unwrap();
            for (file, text) in [("type", kind), ("soft", soft), ("hard", hard)] {
                std::fs::write(switch.join(file), format!("{text}\n")).unwrap();
            }
        };
        assert!(!is_blocked(folder.path()));
        switch("rfkill0", "wlan", "1", "1");
        switch("rfkill1", "bluetooth", "0", "0");
        assert!(!is_blocked(folder.path()));
        switch("rfkill2", "bluetooth", "0", "1");
        assert!(is_blocked(folder.path()));
    }
}
