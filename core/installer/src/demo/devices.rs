//! The demo's devices: a simulator each, with a label.

use std::path::{Path, PathBuf};

use futures::future::try_join_all;
use lowtouch_links::LinkAddress;

use super::cloud::{Cloud, CloudError, text};
use super::process_tree::ProcessTree;
use crate::label::{self, Label};

/// The one Wi-Fi in reach of the devices that need one.
pub const WIFI_SSID: &str = "Plant 4";
/// Its passphrase. No secret: it opens nothing but the simulation.
pub const WIFI_PASSPHRASE: &str = "demo-passphrase";

/// A device that waits to be paired.
#[derive(Debug)]
pub struct DemoDevice {
    /// `pump-001` and so on.
    pub registration_id: String,
    /// How it is reached and attests.
    pub kind: Kind,
    /// Where it is.
    pub link: LinkAddress,
    /// Its label.
    pub label: Label,
    /// The file of its label's text.
    pub label_file: PathBuf,
}

/// How a device is reached and attests. The demo goes through them in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// HTTP, X.509.
    Http,
    /// A serial line, symmetric key.
    Serial,
    /// Simulated Bluetooth LE, X.509.
    BleSim,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Http, Kind::Serial, Kind::BleSim];

    /// For a heading.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Http => "over HTTP (its own Wi-Fi), X.509 from the device's CSR",
            Kind::Serial => "over a serial line, derived symmetric key",
            Kind::BleSim => "over simulated Bluetooth LE, X.509 from the device's CSR",
        }
    }

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Http => "HTTP",
            Kind::Serial => "serial line",
            Kind::BleSim => "simulated BLE",
        }
    }

    /// What the app's side adds to the address: a radio as phones have it, not a perfect one.
    fn settings(self) -> &'static str {
        if self == Kind::BleSim { "?mtu=247&latency_ms=30" } else { "" }
    }

    /// A device with its own Wi-Fi has no other network until it is given one.
    pub fn needs_wifi(self) -> bool {
        self == Kind::Http
    }

    fn link(self) -> &'static str {
        match self {
            Kind::Http => "http:127.0.0.1:0",
            Kind::Serial => "pty",
            Kind::BleSim => "ble-sim:127.0.0.1:0",
        }
    }

    fn attestation(self) -> &'static str {
        match self {
            Kind::Http | Kind::BleSim => "x509",
            Kind::Serial => "symmetricKey",
        }
    }
}

/// Puts `count` devices into the inventory and starts them.
///
/// # Errors
/// [`CloudError`].
pub async fn start(
    tree: &mut ProcessTree,
    program: &Path,
    cloud: &Cloud,
    count: u16,
) -> Result<Vec<DemoDevice>, CloudError> {
    let mut starting = Vec::new();
    for number in 1..=count {
        let kind = Kind::ALL[usize::from(number - 1) % Kind::ALL.len()];
        let registration_id = format!("pump-{number:03}");
        let state = tree.make_dir(&registration_id)?;
        let label_file = state.join("label.json");
        let mut arguments = vec![
            "lowtouch-device".to_owned(),
            "sim".into(),
            "--link".into(),
            kind.link().into(),
            "--registration-id".into(),
            registration_id.clone(),
            "--state-dir".into(),
            state.join("flash").display().to_string(),
            "--label-out".into(),
            label_file.display().to_string(),
            "--model".into(),
            "demo-pump".into(),
            "--until-stdin-closes".into(),
        ];
        if kind.needs_wifi() {
            arguments.extend(["--wifi".to_owned(), format!("{WIFI_SSID}:{WIFI_PASSPHRASE}")]);
        }
        starting.push((registration_id.clone(), kind, label_file, tree.start(&registration_id, program, arguments)?));
    }
    for (registration_id, kind, _, _) in &starting {
        cloud.expect_device(tree, program, registration_id, kind.attestation()).await?;
    }
    try_join_all(starting.into_iter().map(|(registration_id, kind, label_file, starting)| async move {
        let ready = starting.ready().await?;
        let unclear = || CloudError::ReadyLine { name: registration_id.clone(), said: "(holds a label)".into() };
        let link = text(&registration_id, &ready, "link").map_err(|_| unclear())?;
        let link = format!("{link}{}", kind.settings()).parse().map_err(|_| unclear())?;
        let label = match &ready["label"] {
            serde_json::Value::String(text) => label::parse(text),
            object => label::parse(&object.to_string()),
        };
        let label = label.map_err(|_| unclear())?;
        Ok(DemoDevice { kind, link, label, label_file, registration_id })
    }))
    .await
}
