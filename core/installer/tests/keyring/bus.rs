//! A session bus of our own, without service activation, and gnome-keyring on it.

use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zbus::fdo::DBusProxy;

pub(crate) const NAME: &str = "org.freedesktop.secrets";

pub(crate) struct Bus {
    _daemon: Child,
    _folder: TempDir,
    address: String,
}

impl Bus {
    pub(crate) async fn start() -> Bus {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bus.conf");
        let text = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/><allow user="*"/></policy>
</busconfig>"#,
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
        let address = timeout(Duration::from_secs(20), lines.next_line()).await.expect("dbus-daemon starts").unwrap();
        Bus { _daemon: daemon, _folder: folder, address: address.expect("dbus-daemon prints its address") }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) async fn connection(&self) -> zbus::Connection {
        zbus::connection::Builder::address(self.address()).unwrap().build().await.unwrap()
    }

    /// Until somebody is the keyring on this bus, or nobody.
    async fn wait_for_service(&self, there: bool) {
        let connection = self.connection().await;
        let bus = DBusProxy::new(&connection).await.unwrap();
        let wait = async {
            while bus.name_has_owner(NAME.try_into().unwrap()).await.unwrap() != there {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(20), wait).await.expect("gnome-keyring takes its name");
    }
}

/// Ends with this value.
pub(crate) struct GnomeKeyring<'a> {
    bus: &'a Bus,
    daemon: Child,
    home: TempDir,
}

impl<'a> GnomeKeyring<'a> {
    /// As after a desktop login: the login keyring is there and open.
    pub(crate) async fn unlocked(bus: &'a Bus) -> Self {
        Self::unlocked_in(bus, tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn unlocked_in(bus: &'a Bus, home: TempDir) -> Self {
        Self::start(bus, home, Some("password of the login keyring")).await
    }

    /// As in an SSH login: it runs, and there is no keyring in it.
    pub(crate) async fn without_login(bus: &'a Bus) -> Self {
        Self::start(bus, tempfile::tempdir().unwrap(), None).await
    }

    async fn start(bus: &'a Bus, home: TempDir, password: Option<&str>) -> Self {
        let mut command = Command::new("gnome-keyring-daemon");
        command.args(["--foreground", "--components=secrets"]).args(password.map(|_| "--unlock"));
        let folder = |name: &str| home.path().join(name);
        std::fs::create_dir_all(folder("run")).unwrap();
        let mut daemon = command
            .arg(format!("--control-directory={}", folder("run").display()))
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", folder("run"))
            .env("XDG_DATA_HOME", folder("data"))
            .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
            .env_remove("GNOME_KEYRING_CONTROL")
            .env_remove("DISPLAY")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("gnome-keyring-daemon (Debian: gnome-keyring) is needed");
        let mut input = daemon.stdin.take().unwrap();
        input.write_all(password.unwrap_or_default().as_bytes()).await.unwrap();
        drop(input);
        bus.wait_for_service(true).await;
        GnomeKeyring { bus, daemon, home }
    }

    /// As when the screen saver locks it.
    pub(crate) async fn lock(&self) {
        let connection = self.bus.connection().await;
        let all = ["/org/freedesktop/secrets/aliases/default"]
            .map(|path| zbus::zvariant::ObjectPath::try_from(path).unwrap());
        let interface = Some("org.freedesktop.Secret.Service");
        connection.call_method(Some(NAME), "/org/freedesktop/secrets", interface, "Lock", &(&all[..],)).await.unwrap();
    }

    /// Ends it; its folder stays for the next one.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.daemon.kill().await.unwrap();
        self.bus.wait_for_service(false).await;
        self.home
    }
}
