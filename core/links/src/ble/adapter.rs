use std::path::Path;
use std::time::Duration;

use btleplug::api::{Central as _, CentralState};
use btleplug::platform::Adapter;
use tokio::time::timeout;

use super::{AdapterProblem, stack};
use crate::LinkError;

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
