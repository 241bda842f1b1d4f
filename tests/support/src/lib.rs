//! Starts the real parts of Lowtouch in one process: DPS instances, the provisioning API, devices and installers.
//!
//! Nothing here plays a role of its own: the emulated DPS answers over TLS, the API keeps SQLite files, devices keep
//! state folders, and all of it goes with the [`World`]'s folder.
#![allow(clippy::expect_used, clippy::missing_panics_doc)] // a test that cannot set its world up has failed

mod swtpm;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lowtouch_device::sim::{self, SimConfig, SimLink, Simulated};
use lowtouch_installer::pairing::{PairRequest, Paired, Pairing};
use lowtouch_installer::{Config, Installer, PairingError, label};
use provisioning_api::InstanceConfig;
use provisioning_api_contract::{AnyOf, DeviceRequest, InstanceState, NewWorkOrder};
use secrecy::SecretString;
use tempfile::TempDir;

pub use swtpm::{Swtpm, swtpm};

/// A pairing of a test that takes longer than this hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The credential policy that the DPS instances know; an instance that is configured with it has devices' certificates issued.
pub const CERTIFICATE_POLICY: &str = "field";

/// Two DPS instances with two hubs each, and the provisioning API over both.
pub struct World {
    /// The DPS instances `dps-a` and `dps-b`.
    pub dps: Vec<azure_emulator::Running>,
    /// The provisioning API.
    pub api: provisioning_api::Running,
    /// An installer's token.
    pub token: SecretString,
    folder: TempDir,
    devices: AtomicU32,
}

impl World {
    /// Starts everything; each world has its own ports and folder.
    pub async fn start() -> World {
        World::with_instances(|_| {}).await
    }

    /// As [`World::start`], with instances that are configured otherwise.
    pub async fn with_instances(change: fn(&mut InstanceConfig)) -> World {
        World::with(change, provisioning_api::Options::default()).await
    }

    /// As [`World::with_instances`], with an API of other limits.
    pub async fn with(change: fn(&mut InstanceConfig), options: provisioning_api::Options) -> World {
        let folder = TempDir::new().expect("a folder for the world");
        let mut dps = Vec::new();
        let mut instances = Vec::new();
        for name in ["dps-a", "dps-b"] {
            let mut config = azure_emulator::Config::new(folder.path().join(name));
            config.hubs = ["1", "2"].iter().map(|hub| azure_emulator::Hub::new(&format!("{name}-hub-{hub}"))).collect();
            // Real DPS says 3 s; nothing here depends on how long a test waits.
            config.retry_after = Duration::ZERO;
            config.polls_per_10_s = None;
            config.certificate_policies = vec![azure_emulator::CertificatePolicy {
                name: CERTIFICATE_POLICY.into(),
                valid: Duration::from_secs(30 * 24 * 60 * 60),
            }];
            let running = azure_emulator::Emulator::start(config).await.expect("an emulated DPS");
            let mut instance = InstanceConfig {
                name: name.into(),
                id_scope: running.id_scope.clone(),
                service_endpoint: running.url().parse().expect("the emulator's URL"),
                global_device_endpoint: running.endpoint(),
                credential: provisioning_api::DpsCredential::SharedAccess {
                    policy: azure_emulator::Config::POLICY.into(),
                    key: provisioning_api::ServiceKey::new(&running.service_key),
                },
                resource: None,
                operations_per_minute: 1000,
                ca_pem: Some(running.ca_pem.clone()),
                ca_in_firmware: false,
                ed25519: false,
                certificate_policy: None,
                capacity: 1_000_000,
                state: InstanceState::Active,
                placement: provisioning_api::Placement::default(),
            };
            change(&mut instance);
            instances.push(instance);
            dps.push(running);
        }
        let config = provisioning_api::Config {
            database: format!("sqlite:{}", folder.path().join("api.sqlite").display()).into(),
            listen: ([127, 0, 0, 1], 0).into(),
            tls_dir: folder.path().join("api-tls"),
            dps: instances,
            key_file: None,
        };
        let api = provisioning_api::Server::start_with(config, options).await.expect("the provisioning API");
        let token = api.issue_token(provisioning_api::Role::Installer, "test").await.expect("a token");
        api.office().open_order("test", None, any_devices()).await.expect("a work order for the world's devices");
        World { dps, api, token, folder, devices: AtomicU32::new(0) }
    }

    /// Where everything is kept; a leak test searches it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new device with its own state folder, not in the inventory, not started.
    pub fn device_config(&self, link: SimLink) -> SimConfig {
        let number = self.devices.fetch_add(1, Ordering::Relaxed);
        let mut config = SimConfig::new(link, self.folder.path().join(format!("device-{number}")));
        config.registration_id = Some(format!("device-{number}"));
        config
    }

    /// The roots of both DPS instances (PEM), as firmware can hold them.
    pub fn dps_roots(&self) -> String {
        self.dps.iter().map(|dps| dps.ca_pem.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// Starts a device that the inventory expects.
    pub async fn device(&self, config: SimConfig) -> sim::Running {
        self.expect(config.registration_id.as_deref().unwrap_or_default()).await;
        Simulated::start(config).await.expect("a simulated device")
    }

    /// Puts a registration ID into the inventory.
    pub async fn expect(&self, registration_id: &str) {
        self.api.add_device(registration_id, DeviceRequest::default()).await.expect("room in the inventory");
    }

    /// The settings of an installer whose journal is in `folder` of this world.
    pub fn installer_config(&self, folder: &str) -> Config {
        Config {
            api_url: Some(self.api.url.clone()),
            token: Some(self.token.clone()),
            extra_ca_pem: Some(self.api.ca_pem.clone()),
            ..Config::new(self.data_folder(folder))
        }
    }

    /// Where that installer's journal is.
    pub fn data_folder(&self, folder: &str) -> PathBuf {
        self.folder.path().join(folder)
    }

    /// An installer with a journal of its own.
    pub async fn installer(&self, folder: &str) -> Installer {
        Installer::new(self.installer_config(folder)).await.expect("an installer")
    }

    /// Every hub identity that the emulated DPS instances have made for a registration ID.
    pub fn hub_devices(&self, registration_id: &str) -> Vec<azure_emulator::HubDevice> {
        let all = self.dps.iter().flat_map(azure_emulator::Running::hub_devices);
        all.filter(|device| device.registration_id.eq_ignore_ascii_case(registration_id)).collect()
    }
}

/// What it takes to pair this device: its label and its link.
pub fn request(device: &sim::Running) -> PairRequest {
    let label = label::parse(device.label()).expect("the device's own label");
    PairRequest::new(label, device.address().parse().expect("the device's own address"))
}

/// Waits for a pairing's end, but not for ever.
///
/// # Errors
/// The pairing's.
pub async fn outcome(pairing: Pairing) -> Result<Paired, PairingError> {
    tokio::time::timeout(PATIENCE, pairing.outcome()).await.expect("a pairing ends within its deadlines")
}

/// A work order for whatever devices a test makes.
pub fn any_devices() -> NewWorkOrder {
    NewWorkOrder {
        site: "The world".into(),
        installer: String::new(),
        tenant: None,
        devices: Vec::new(),
        any_of: Some(AnyOf { model: None, at_most: u32::MAX }),
        opens: None,
        closes: None,
        hours: None,
        schedule: false,
    }
}

/// A loopback address with a port that the system chooses.
pub fn any_port() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
}
