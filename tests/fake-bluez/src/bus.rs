use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A dbus-daemon of our own.
pub struct Bus {
    _daemon: Child,
    folder: TempDir,
    address: String,
}

impl Bus {
    /// Starts it; it ends with this value.
    pub async fn start() -> Self {
        Self::with_policy(r#"<allow send_destination="*"/>"#).await
    }

    /// One on which nobody may call `org.bluez`, as for a user outside the group `bluetooth`.
    pub async fn that_denies_bluez() -> Self {
        Self::with_policy(r#"<allow send_destination="*"/><deny send_destination="org.bluez"/>"#).await
    }

    async fn with_policy(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bus.conf");
        let text = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow own="*"/><allow receive_sender="*"/>{policy}<allow user="*"/></policy></busconfig>"#,
            folder.path().join("bus").display()
        );
        std::fs::write(&config, text).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("dbus-daemon (Debian: dbus) is needed");
        let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
        let address = timeout(Duration::from_secs(10), lines.next_line()).await.expect("dbus-daemon starts").unwrap();
        Self { _daemon: daemon, folder, address: address.expect("dbus-daemon prints its address") }
    }

    /// For `DBUS_SYSTEM_BUS_ADDRESS`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A folder that lives as long as the bus.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
