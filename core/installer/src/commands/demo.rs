//! The demo: its world stands in for the provisioning API, the journal and what is in reach.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::labels::Kept;
use super::nearby::{NearbyDevice, NearbyWifi, Usable, Via};
use super::standing::{DemoSeen, DemoState};
use super::streams::told;
use super::{CommandError, Commands, Inner, Nothing};
use crate::demo::{Cloud, DemoDevice, ProcessTree, WIFI_PASSPHRASE, WIFI_SSID, find_program, start_devices};
use crate::error::{ErrorCode, PairingError};
use crate::installer::{Config, Installer};
use crate::pairing::WifiCredentials;
use crate::secrets::Memory;

/// How many devices a demo may have.
const DEVICES: std::ops::RangeInclusive<u16> = 1..=32;

/// `demo_start`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct DemoWith {
    /// 1 to 32; over HTTP, over a serial line and over simulated Bluetooth in turn.
    pub devices: u16,
}

/// How the demo comes up.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum DemoEvent {
    /// One of its programs is ready.
    PartStarted {
        /// `azure-emulator-north`, `provisioning-api`, `pump-001` and so on.
        name: String,
    },
    /// The end: all of it is ready.
    Ready {
        /// As `nearby` shows them.
        devices: Vec<NearbyDevice>,
    },
    /// The end: it did not start.
    Failed {
        /// Why.
        error: CommandError,
    },
}

/// What the demo is at the moment.
#[derive(Clone, Default)]
enum Now {
    #[default]
    Off,
    Starting(u16),
    On(Arc<World>),
    Failed(CommandError),
}

/// A demo that is on.
pub(super) struct World {
    /// With the demo's API, token and journal.
    pub(super) installer: Installer,
    devices: Vec<InReach>,
}

struct InReach {
    label_id: Uuid,
    needs_wifi: bool,
    shown: NearbyDevice,
}

/// Off at first.
#[derive(Default)]
pub(super) struct Demo {
    now: watch::Sender<Now>,
    /// Of the demo that runs or starts.
    stop: std::sync::Mutex<CancellationToken>,
    /// One start or stop at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.stop_token().cancel();
    }
}

impl World {
    /// Of the demo's devices as `nearby` shows them. `paired`: whether one was, in this demo.
    pub(super) fn in_reach(&self, paired: impl Fn(Uuid) -> bool) -> Vec<NearbyDevice> {
        let shown = self
            .devices
            .iter()
            .map(|device| NearbyDevice { provisioned: Some(paired(device.label_id)), ..device.shown.clone() });
        shown.collect()
    }

    /// The demo's Wi-Fi for a device of it that needs one, unless another one was given for it.
    pub(super) fn wifi_for(&self, label: Uuid, given: Option<WifiCredentials>) -> Option<WifiCredentials> {
        use secrecy::ExposeSecret as _;
        let needs = self.devices.iter().any(|device| device.label_id == label && device.needs_wifi);
        let ours = || WifiCredentials::new(WIFI_SSID, WIFI_PASSPHRASE.to_owned());
        match given {
            None if needs => Some(ours()),
            // The page knows the name alone.
            Some(given)
                if needs
                    && given.ssid.as_bytes() == WIFI_SSID.as_bytes()
                    && given.passphrase.expose_secret().is_empty() =>
            {
                Some(ours())
            }
            given => given,
        }
    }
}

impl Demo {
    /// The world, while the demo is on.
    pub(super) fn world(&self) -> Option<Arc<World>> {
        match &*self.now.borrow() {
            Now::On(world) => Some(world.clone()),
            _ => None,
        }
    }

    pub(super) fn seen(&self) -> DemoSeen {
        match &*self.now.borrow() {
            Now::Off => DemoSeen { state: DemoState::Off, devices: 0, error: None },
            Now::Starting(devices) => DemoSeen { state: DemoState::Starting, devices: *devices, error: None },
            Now::On(world) => DemoSeen {
                state: DemoState::On,
                devices: u16::try_from(world.devices.len()).unwrap_or(u16::MAX),
                error: None,
            },
            Now::Failed(error) => DemoSeen { state: DemoState::Failed, devices: 0, error: Some(error.clone()) },
        }
    }

    fn stop_token(&self) -> CancellationToken {
        self.stop.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Asks what runs to end, and waits until it has.
    pub(super) async fn stop(&self) {
        self.stop_token().cancel();
        let mut now = self.now.subscribe();
        let _ = now.wait_for(|now| !matches!(now, Now::Starting(_) | Now::On(_))).await;
    }
}

impl Commands {
    /// `demo_start`. A demo that is on with as many devices is taken as it is; one with more or fewer is started anew.
    ///
    /// # Errors
    /// `command-arguments` for a number of devices that cannot be.
    pub fn demo_start(&self, args: DemoWith) -> Result<BoxStream<'static, DemoEvent>, CommandError> {
        if !DEVICES.contains(&args.devices) {
            let detail = format!("expected {} to {} devices", DEVICES.start(), DEVICES.end());
            return Err(PairingError::with_detail(ErrorCode::CommandArguments, detail).into());
        }
        let commands = self.clone();
        Ok(told(move |tell| async move {
            let (sender, mut names) = mpsc::unbounded_channel();
            // The start goes on when nobody listens any more.
            let mut started = tokio::spawn(start(commands, args.devices, sender));
            let end = loop {
                tokio::select! {
                    biased;
                    Some(name) = names.recv() => tell.tell(DemoEvent::PartStarted { name }).await,
                    end = &mut started => break end,
                }
            };
            let end = end.unwrap_or_else(|stopped| {
                Err(PairingError::with_detail(ErrorCode::Internal, stopped.to_string()).into())
            });
            tell.tell(match end {
                Ok(devices) => DemoEvent::Ready { devices },
                Err(error) => DemoEvent::Failed { error },
            })
            .await;
        }))
    }

    /// `demo_stop`.
    ///
    /// # Errors
    /// None.
    pub async fn demo_stop(&self, _: Nothing) -> Result<Nothing, CommandError> {
        self.end_demo().await;
        Ok(Nothing {})
    }

    async fn end_demo(&self) {
        let labels: Vec<Uuid> = self
            .0
            .demo
            .world()
            .map(|world| world.devices.iter().map(|device| device.label_id).collect())
            .unwrap_or_default();
        self.0.pairings.forget_demo().await;
        self.0.demo.stop().await;
        self.0.labels.forget(&labels);
        self.0.demo.now.send_if_modified(|now| {
            let failed = matches!(now, Now::Failed(_));
            if failed {
                *now = Now::Off;
            }
            failed
        });
        self.changed();
    }
}

async fn start(
    commands: Commands,
    count: u16,
    names: mpsc::UnboundedSender<String>,
) -> Result<Vec<NearbyDevice>, CommandError> {
    let _turn = commands.0.demo.turn.lock().await;
    if let Some(world) = commands.0.demo.world() {
        if world.devices.len() == usize::from(count) {
            return Ok(world.in_reach(|label| commands.0.pairings.done(label)));
        }
        commands.end_demo().await;
    }
    let stop = CancellationToken::new();
    *commands.0.demo.stop.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = stop.clone();
    commands.0.demo.now.send_replace(Now::Starting(count));
    commands.changed();
    let built = tokio::select! {
        built = build(&commands, count, names) => built,
        () = stop.cancelled() => Err(ErrorCode::Cancelled.into()),
    };
    let result = match built {
        Ok((tree, world)) => {
            let devices = world.in_reach(|_| false);
            commands.0.demo.now.send_replace(Now::On(world));
            tokio::spawn(keep(Arc::downgrade(&commands.0), tree, stop));
            Ok(devices)
        }
        Err(error) => {
            let cancelled = error.error.code == ErrorCode::Cancelled;
            commands.0.demo.now.send_replace(if cancelled { Now::Off } else { Now::Failed(error.clone()) });
            Err(error)
        }
    };
    commands.changed();
    result
}

async fn build(
    commands: &Commands,
    count: u16,
    names: mpsc::UnboundedSender<String>,
) -> Result<(ProcessTree, Arc<World>), CommandError> {
    let program = commands.demo_program()?;
    let mut tree = ProcessTree::new().map_err(failed)?;
    tree.tell(names);
    let cloud = Cloud::start(&mut tree, &program).await.map_err(failed)?;
    let devices = start_devices(&mut tree, &program, &cloud, count).await.map_err(failed)?;
    let config = Config {
        api_url: Some(cloud.api.clone()),
        token: Some(cloud.token.clone()),
        extra_ca_pem: Some(cloud.ca_pem.clone()),
        proxy: crate::net::Proxy::Direct,
        secrets: Some(Arc::new(Memory::default())),
        ..Config::new(tree.make_dir("journal").map_err(failed)?)
    };
    let installer = Installer::new(config).await?;
    let devices = devices.into_iter().map(|device| in_reach(commands, device)).collect();
    Ok((tree, Arc::new(World { installer, devices })))
}

fn in_reach(commands: &Commands, device: DemoDevice) -> InReach {
    let shown = NearbyDevice {
        link: device.link.to_string(),
        name: Some(device.label.name.clone()),
        address: None,
        rssi: None,
        kind: "protocomm".into(),
        provisioned: Some(false),
        via: Via::Demo,
        usable: Usable::Ready,
        label_id: None,
        wifi: device.kind.needs_wifi().then(|| NearbyWifi { ssid: WIFI_SSID.into() }),
    };
    let needs_wifi = device.kind.needs_wifi();
    let label_id = commands.0.labels.keep(Kept { label: device.label, link: Some(device.link) });
    InReach { label_id, needs_wifi, shown: NearbyDevice { label_id: Some(label_id), ..shown } }
}

/// Ends the processes when the demo is to stop, when the commands go, or when one of them ends by itself.
async fn keep(inner: std::sync::Weak<Inner>, mut tree: ProcessTree, stop: CancellationToken) {
    let died = tokio::select! {
        () = stop.cancelled() => None,
        died = tree.first_end() => Some(died),
    };
    tree.stop().await;
    if let Some(inner) = inner.upgrade() {
        inner.demo.now.send_replace(died.map_or(Now::Off, |died| Now::Failed(failed(died))));
        inner.changed.send_modify(|count| *count += 1);
    }
}

fn failed(error: impl std::error::Error) -> CommandError {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        said.push_str(&format!(": {source}"));
        cause = source.source();
    }
    PairingError::with_detail(ErrorCode::DemoFailed, crate::logs::redact(&said).into_owned()).into()
}

impl Commands {
    fn demo_program(&self) -> Result<PathBuf, CommandError> {
        let folder: PathBuf = match &self.0.host.demo_programs {
            Some(folder) => folder.clone(),
            None => {
                let own = std::env::current_exe();
                own.ok().and_then(|own| own.parent().map(Path::to_owned)).unwrap_or_default()
            }
        };
        find_program(&folder)
            .map_err(|missing| PairingError::with_detail(ErrorCode::DemoNotBuilt, missing.to_string()).into())
    }

    /// Whether the demo's program is there.
    pub(super) fn demo_possible(&self) -> bool {
        self.demo_program().is_ok()
    }
}
