//! The device around the protocol's state machine: performs its effects on flash, key, radio and network, one request
//! at a time.

mod own_renewal;
mod registration;
mod renewal;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lowtouch_handoff::device::{Connection, Device, Effect, EffectResult, FailReason, Profile, Step};
use lowtouch_handoff::dps_config::device::{Effect as HandOff, EffectResult as HandOffResult, Now, Settings};
use lowtouch_handoff::dps_config::{self, Config, Network, StatusResponse, config::Credential};
use lowtouch_handoff::prov_config::device::{Effect as WifiEffect, StationEvent};
use lowtouch_handoff::prov_config::{self, FailReason as WifiFailReason, WifiConnected, WifiCredentials};
use lowtouch_handoff::prov_scan::device::{Effect as ScanEffect, ScanOutcome};
use lowtouch_handoff::prov_scan::{self, AccessPoint};
use lowtouch_handoff::{proto_ver, protocomm};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard, Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::certificate;
use crate::faults::Misanswer;
use crate::hub::HubIdentity;
use crate::identity::Identity;
use crate::keys::DeviceKey;
use crate::own_certificate::{Pair, Renewals};
use crate::owner;
use crate::power::{Power, PowerLost};
use crate::sim::{Attestation, SimConfig, SimError};
use crate::storage::{Flash, StorageError};
use crate::tpm::{Chip, Tpm, TpmPublicKeys};
use crate::wifi::{self, Heard, JoinError};
pub(crate) use registration::shown_to_dps;

/// The record that [`HandOff::Persist`] writes.
const CONFIG_RECORD: &str = "config";
/// The Wi-Fi network that worked last; empty: none.
const WIFI_RECORD: &str = "wifi";
/// How many wrong proofs of possession came since the last right one: 4 bytes, big-endian.
const GUESSES_RECORD: &str = "guesses";
/// What the status answer recommends while the device registers.
const POLL_AFTER_MS: u32 = 250;

/// One app's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct App(u64);

/// What a shell does with a request.
#[derive(Debug)]
pub(crate) enum Reply {
    Response(Vec<u8>),
    Refused,
    /// Refused, and the connection is to be closed.
    Closed,
    UnknownEndpoint,
    /// The fault plan wants no answer.
    Silence,
}

/// A booted device; the shells share it.
#[derive(Clone)]
pub(crate) struct Responder(Arc<Shared>);

struct Shared {
    power: Power,
    endpoints: Vec<&'static str>,
    max_value: usize,
    apps: AtomicU64,
    /// Something happened that may have moved the next time-out.
    changed: Notify,
    core: Mutex<Core>,
}

struct Core {
    device: Device,
    connections: HashMap<App, Connection>,
    booted: Instant,
    power: Power,
    flash: Flash,
    key: Arc<DeviceKey>,
    tpm: Option<Arc<dyn Tpm>>,
    registration_id: String,
    config: Arc<SimConfig>,
    endpoint_ca: Arc<Vec<Vec<u8>>>,
    online: watch::Sender<bool>,
    events: mpsc::UnboundedSender<Event>,
    registration: Option<Running>,
    /// What took the place of the hand-off's certificate towards DPS.
    renewed: watch::Sender<Option<Arc<Pair>>>,
    renewing: Option<Running>,
    hub: Option<HubIdentity>,
    /// What the hub is known by.
    in_use: Option<(Config, dps_config::Assigned, Vec<Vec<u8>>)>,
    api: Option<own_renewal::Api>,
    joining: Option<Running>,
    generation: u64,
}

/// A task of the device, and the number that its events carry: those of a task that was ended count no more.
struct Running {
    generation: u64,
    _task: AbortOnDropHandle<()>,
}

/// What the device's own tasks have to tell.
pub(crate) enum Event {
    Registration {
        generation: u64,
        event: dps_config::device::RegistrationEvent,
    },
    /// The device's own certificate was renewed; the flash has it.
    Renewed {
        generation: u64,
        pair: Arc<Pair>,
    },
    Joined {
        generation: u64,
        credentials: WifiCredentials,
        result: Result<Heard, JoinError>,
        keep: bool,
    },
}

/// The Wi-Fi record.
#[derive(Serialize, Deserialize)]
struct KeptWifi {
    ssid: Vec<u8>,
    passphrase: String,
}

impl Responder {
    /// Boots the device from its flash. The events are for [`Responder::run`].
    pub(crate) async fn boot(
        config: Arc<SimConfig>,
        identity: &Identity,
        endpoint_ca: Arc<Vec<Vec<u8>>>,
        power: Power,
        flash: Flash,
        max_value: usize,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Event>), SimError> {
        let key = DeviceKey::load_or_make(&flash)?;
        // From here on the fault plan counts.
        power.arm();
        let persisted = flash.read(CONFIG_RECORD)?;
        let kept_wifi = config.has_wifi().then(|| read_wifi(&flash)).transpose()?.flatten();
        let (tpm, tpm_keys) = match config.tpm.clone() {
            None => (None, None),
            Some(at) => {
                let tpm: Arc<dyn Tpm> = Arc::new(Chip::new(at));
                let asked = Arc::clone(&tpm);
                // Made at the first start, which takes an RSA key's time.
                let keys = tokio::task::spawn_blocking(move || asked.public_keys()).await;
                (Some(tpm), Some(keys.map_err(|_| SimError::Ended)?.map_err(SimError::Tpm)?))
            }
        };
        let mut device =
            Device::boot(profile(&config, identity, tpm_keys), persisted.as_ref().map(|bytes| bytes.as_slice()))
                .map_err(SimError::State)?;
        device.restore_wrong_proofs(read_wrong_proofs(&flash)?);
        let (events, received) = mpsc::unbounded_channel();
        let api = config.renewal_api.clone().map(own_renewal::Api::new).transpose()?;
        let mut core = Core {
            device,
            connections: HashMap::new(),
            booted: Instant::now(),
            power: power.clone(),
            flash,
            key: Arc::new(key),
            tpm,
            registration_id: identity.registration_id.clone(),
            endpoint_ca,
            online: watch::Sender::new(!config.has_wifi()),
            events,
            registration: None,
            renewed: watch::Sender::new(None),
            renewing: None,
            hub: None,
            in_use: None,
            api,
            joining: None,
            generation: 0,
            config: Arc::clone(&config),
        };
        if let Some(credentials) = kept_wifi {
            core.device.station(StationEvent::Connecting { attempts_remaining: None });
            core.join(credentials, false);
        }
        let at = core.now();
        let step = core.device.start(at);
        core.settle(step, None)?;
        let mut endpoints = vec![proto_ver::ENDPOINT, protocomm::ENDPOINT, dps_config::ENDPOINT];
        if config.has_wifi() {
            endpoints.extend([prov_scan::ENDPOINT, prov_config::ENDPOINT]);
            endpoints.extend(config.prov_ctrl.then_some(prov_config::CTRL_ENDPOINT));
        }
        let (apps, changed) = (AtomicU64::new(0), Notify::new());
        let shared = Shared { power, endpoints, max_value, apps, changed, core: Mutex::new(core) };
        Ok((Self(Arc::new(shared)), received))
    }

    /// The button held at power-on: what was handed off is gone, even when it cannot be read any more.
    pub(crate) fn forget(flash: &Flash) -> Result<(), StorageError> {
        flash.remove(GUESSES_RECORD)?;
        Renewals::forget(flash)?;
        flash.remove(CONFIG_RECORD)
    }

    pub(crate) fn endpoints(&self) -> &[&'static str] {
        &self.0.endpoints
    }

    pub(crate) fn has_endpoint(&self, endpoint: &str) -> bool {
        self.0.endpoints.contains(&endpoint)
    }

    /// Names a connection that is about to begin.
    pub(crate) fn new_app(&self) -> App {
        App(self.0.apps.fetch_add(1, Ordering::Relaxed))
    }

    /// A session starts afresh.
    pub(crate) async fn connect(&self, app: App) {
        let mut core = self.0.core.lock().await;
        let connection = core.device.connect(self.0.max_value);
        core.connections.insert(app, connection);
    }

    /// A session is over.
    pub(crate) async fn disconnect(&self, app: App) {
        self.0.core.lock().await.connections.remove(&app);
    }

    /// Handles one request. Never returns when the power goes off meanwhile.
    pub(crate) async fn handle(&self, app: App, endpoint: &str, request: &[u8]) -> Reply {
        match self.try_handle(app, endpoint, request).await {
            Ok(reply) => reply,
            // The whole device is being dropped.
            Err(PowerLost) => std::future::pending().await,
        }
    }

    async fn try_handle(&self, app: App, endpoint: &str, request: &[u8]) -> Result<Reply, PowerLost> {
        let (number, misanswer) = self.0.power.message_begins()?;
        if misanswer == Some(Misanswer::Refuse) {
            return Ok(Reply::Refused);
        }
        if !self.has_endpoint(endpoint) {
            return Ok(Reply::UnknownEndpoint);
        }
        let mut core = self.0.core.lock().await;
        // Nothing is awaited from here to the end: a client that goes away cannot leave a request half handled.
        let at = core.now();
        let Core { device, connections, .. } = &mut *core;
        let reply = match connections.get_mut(&app) {
            None => Reply::Refused,
            Some(connection) => {
                let step = device.handle(connection, endpoint, request, at, &rand::random::<Entropy>().0);
                core.settle(step, Some(app))?
            }
        };
        drop(core);
        self.0.changed.notify_one();
        self.0.power.message_ends(number)?;
        Ok(match (misanswer, reply) {
            (Some(Misanswer::Silence), _) => Reply::Silence,
            (Some(Misanswer::Garbage), _) => Reply::Response(vec![0xff; 17]),
            (Some(Misanswer::TooLong), _) => Reply::Response(vec![0x0a; self.0.max_value + 1]),
            (_, reply) => reply,
        })
    }

    /// What the device's display shows.
    pub(crate) async fn status(&self) -> StatusResponse {
        self.0.core.lock().await.device.status()
    }

    /// Whom the device works with.
    pub(crate) async fn hub(&self) -> Option<HubIdentity> {
        self.0.core.lock().await.hub.clone()
    }

    /// The device's button.
    pub(crate) async fn press_reset_button(&self) -> Result<(), PowerLost> {
        let mut core = self.0.core.lock().await;
        let step = core.device.button_reset();
        core.settle(step, None)?;
        Ok(())
    }

    /// Takes the tasks' events and does what time asks for, until dropped.
    pub(crate) async fn run(self, mut events: mpsc::UnboundedReceiver<Event>) {
        loop {
            let due = {
                let core = self.0.core.lock().await;
                core.device.next_timeout().and_then(|since_boot| core.booted.checked_add(since_boot))
            };
            let worked = tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.core().await.event(event),
                    None => return,
                },
                () = until(due) => {
                    let mut core = self.core().await;
                    let at = core.now();
                    let step = core.device.tick(at);
                    core.settle(step, None).map(|_| ())
                }
                () = self.0.changed.notified() => Ok(()),
            };
            if worked.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn core(&self) -> MutexGuard<'_, Core> {
        self.0.core.lock().await
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// 64 random bytes; rand's arrays end at 32.
struct Entropy([u8; 64]);

impl rand::distr::Distribution<Entropy> for rand::distr::StandardUniform {
    fn sample<R: rand::Rng + ?Sized>(&self, rng: &mut R) -> Entropy {
        let mut bytes = [0; 64];
        rng.fill_bytes(&mut bytes);
        Entropy(bytes)
    }
}

fn now(booted: Instant) -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    Now { since_boot: booted.elapsed(), unix_s: unix.as_ref().map(Duration::as_secs) }
}

impl Core {
    fn now(&self) -> Now {
        now(self.booted)
    }

    /// Performs what a step asks for until it is settled.
    fn settle(&mut self, mut step: Step, app: Option<App>) -> Result<Reply, PowerLost> {
        loop {
            match step {
                Step::Perform(effect) => {
                    let result = self.perform(effect)?;
                    let now = self.now();
                    let connection = app.and_then(|app| self.connections.get_mut(&app));
                    step = self.device.resume(connection, result, now);
                }
                Step::Reply(bytes) => return Ok(Reply::Response(bytes)),
                Step::Done => return Ok(Reply::Refused),
                Step::Fail(failure) => {
                    tracing::info!(reason = %failure.reason, "a request is refused");
                    return Ok(match failure.reason {
                        FailReason::UnknownEndpoint => Reply::UnknownEndpoint,
                        _ if failure.close => Reply::Closed,
                        _ => Reply::Refused,
                    });
                }
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Result<EffectResult, PowerLost> {
        Ok(match effect {
            Effect::HandOff(effect) => EffectResult::HandOff(self.perform_hand_off(effect)?),
            Effect::Wifi(WifiEffect::Connect(credentials)) => {
                self.join(credentials, true);
                EffectResult::Wifi { begun: true }
            }
            Effect::Wifi(WifiEffect::Forget) => {
                self.joining = None;
                self.online.send_replace(false);
                EffectResult::Wifi { begun: done(self.flash.write(WIFI_RECORD, &[]))? }
            }
            Effect::Scan(ScanEffect::Scan { .. }) => {
                let heard = wifi::scan(self.config.wifi.as_ref(), self.config.around.as_deref());
                EffectResult::Scan(ScanOutcome::Heard(heard.into_iter().map(access_point).collect()))
            }
            Effect::KeepWrongProofs(count) => {
                // A flash that refuses to write costs the count at the next restart, and nothing else.
                done(self.flash.write(GUESSES_RECORD, &count.to_be_bytes()))?;
                EffectResult::WrongProofsKept
            }
        })
    }

    fn perform_hand_off(&mut self, effect: HandOff) -> Result<HandOffResult, PowerLost> {
        Ok(match effect {
            HandOff::Persist(record) => match done(self.flash.write(CONFIG_RECORD, &record))? {
                true => HandOffResult::Done,
                false => HandOffResult::Failed,
            },
            HandOff::MakeCsr => match self.key.csr(&self.registration_id) {
                Ok(csr) => HandOffResult::Csr(csr),
                Err(error) => {
                    tracing::error!(%error, "no CSR");
                    HandOffResult::Failed
                }
            },
            HandOff::CheckLeaf(leaf) => {
                HandOffResult::Answer(certificate::is_for(&leaf, &self.registration_id, &self.key.public_key()))
            }
            HandOff::VerifyOwner { public_key, message, signature } => {
                HandOffResult::Answer(owner::signed(&public_key, &message, &signature))
            }
            HandOff::StartRegistration(config) => {
                self.leave_hub();
                self.use_renewed(&config)?;
                let generation = self.next_generation();
                let told = registration::Told { generation, events: self.events.clone() };
                let task = registration::run(self.registering(config), told);
                self.registration = Some(Running { generation, _task: AbortOnDropHandle::new(tokio::spawn(task)) });
                HandOffResult::Done
            }
            HandOff::StopRegistration => {
                self.leave_hub();
                if self.device.status().handoff_id.is_empty() {
                    // Reset: nothing is in force any more, and no key of a former life is left.
                    done(Renewals::forget(&self.flash))?;
                }
                HandOffResult::Done
            }
            HandOff::UseHub { config, assigned, issued_chain } => {
                // The hub is known: DPS is not asked again until somebody tells the device to, or its certificate is to be renewed.
                self.registration = None;
                tracing::info!(
                    hub = assigned.hub,
                    device_id = assigned.device_id,
                    certificate_ends = assigned.certificate_ends,
                    "uses the assigned hub"
                );
                self.use_renewed(&config)?;
                self.in_use = Some((config.clone(), assigned, issued_chain.clone()));
                self.show_hub();
                self.keep_own_certificate(&config);
                if let Some(leaf) = issued_chain.into_iter().next().filter(|_| config.certificate_from_dps) {
                    let generation = self.next_generation();
                    let told = registration::Told { generation, events: self.events.clone() };
                    let task = tokio::spawn(renewal::run(self.registering(config), leaf, told));
                    self.registration = Some(Running { generation, _task: AbortOnDropHandle::new(task) });
                }
                HandOffResult::Done
            }
        })
    }

    fn leave_hub(&mut self) {
        (self.registration, self.renewing, self.hub, self.in_use) = (None, None, None, None);
    }

    /// What the hub is shown, by what is in force now.
    fn show_hub(&mut self) {
        let renewed = self.renewed.borrow().clone();
        self.hub = self.in_use.as_ref().and_then(|(config, assigned, issued_chain)| {
            let (tpm, ca) = (self.tpm.as_ref(), &self.endpoint_ca);
            HubIdentity::new(config, assigned, issued_chain, &self.key, renewed.as_deref(), tpm, ca)
        });
    }

    /// Of what was renewed only what follows this very hand-off's certificate counts.
    fn use_renewed(&mut self, config: &Config) -> Result<(), PowerLost> {
        let renewed = match &config.credential {
            Some(Credential::X509(x509)) => {
                let leaf = x509.certificate_chain.first().map(Vec::as_slice).unwrap_or_default();
                match Renewals::load(&self.flash, leaf) {
                    Ok(renewals) => renewals.current,
                    Err(StorageError::PowerLost(lost)) => return Err(lost),
                    Err(error) => {
                        tracing::error!(%error, "the renewed certificate cannot be read; the one before is used");
                        None
                    }
                }
            }
            _ => None,
        };
        self.renewed.send_replace(renewed);
        Ok(())
    }

    /// Renews the certificate of the company's CA before it ends, where the firmware knows whom to ask.
    fn keep_own_certificate(&mut self, config: &Config) {
        self.renewing = None;
        let (Some(api), Some(Credential::X509(_))) = (self.api.clone(), &config.credential) else { return };
        let generation = self.next_generation();
        // It is for DPS; whether DPS issues another one for the hub is not asked here.
        let job = registration::Job {
            config: Config { certificate_from_dps: false, ..config.clone() },
            ..self.registering(config.clone())
        };
        let task = own_renewal::run(job, api, self.flash.clone(), generation, self.events.clone());
        self.renewing = Some(Running { generation, _task: AbortOnDropHandle::new(tokio::spawn(task)) });
    }

    fn registering(&self, mut config: Config) -> registration::Job {
        // Firmware that cannot do it does not know the field.
        config.certificate_from_dps &= self.config.certificate_from_dps;
        registration::Job {
            config,
            key: Arc::clone(&self.key),
            renewed: self.renewed.subscribe(),
            tpm: self.tpm.clone(),
            extra_ca: Arc::clone(&self.endpoint_ca),
            policy: self.config.retry.clone(),
            power: self.power.clone(),
            online: self.online.subscribe(),
        }
    }

    fn join(&mut self, credentials: WifiCredentials, keep: bool) {
        let generation = self.next_generation();
        let (events, config) = (self.events.clone(), Arc::clone(&self.config));
        let task = async move {
            tokio::time::sleep(wifi::JOINING_TAKES).await;
            let passphrase = String::from_utf8_lossy(credentials.passphrase.expose_secret()).into_owned();
            let passphrase = SecretString::from(passphrase);
            let result = wifi::join(config.wifi.as_ref(), config.around.as_deref(), &credentials.ssid, &passphrase);
            // Nobody listens any more when the device is being dropped.
            let _ = events.send(Event::Joined { generation, credentials, result, keep });
        };
        self.joining = Some(Running { generation, _task: AbortOnDropHandle::new(tokio::spawn(task)) });
    }

    fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    fn event(&mut self, event: Event) -> Result<(), PowerLost> {
        let is = |running: &Option<Running>, generation| {
            running.as_ref().is_some_and(|running| running.generation == generation)
        };
        match event {
            Event::Registration { generation, event } if is(&self.registration, generation) => {
                let step = self.device.registration(event);
                self.settle(step, None)?;
            }
            Event::Joined { generation, credentials, result, keep } if is(&self.joining, generation) => {
                self.joining = None;
                match result {
                    Ok(joined) => {
                        if keep {
                            self.keep_wifi(&credentials)?;
                        }
                        self.device.station(StationEvent::Connected(connected(&credentials, joined)));
                        self.online.send_replace(true);
                    }
                    Err(JoinError::Auth) => self.device.station(StationEvent::Failed(WifiFailReason::Auth)),
                    Err(JoinError::NotFound) => self.device.station(StationEvent::Failed(WifiFailReason::NotFound)),
                }
            }
            Event::Renewed { generation, pair } if is(&self.renewing, generation) => {
                self.renewed.send_replace(Some(pair));
                self.show_hub();
            }
            Event::Registration { .. } | Event::Joined { .. } | Event::Renewed { .. } => {}
        }
        Ok(())
    }

    fn keep_wifi(&self, credentials: &WifiCredentials) -> Result<(), PowerLost> {
        let kept = KeptWifi {
            ssid: credentials.ssid.clone(),
            passphrase: String::from_utf8_lossy(credentials.passphrase.expose_secret()).into_owned(),
        };
        let record = zeroize::Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        // Connected all the same; the next boot will ask for the network step again.
        done(self.flash.write(WIFI_RECORD, &record)).map(|_kept| ())
    }
}

/// Whether a write is on the flash.
fn done(written: Result<(), StorageError>) -> Result<bool, PowerLost> {
    match written {
        Ok(()) => Ok(true),
        Err(StorageError::PowerLost(lost)) => Err(lost),
        Err(error) => {
            tracing::error!(%error, "the flash refuses a write");
            Ok(false)
        }
    }
}

/// A record that cannot be read counts as many: whoever damaged it must not be let off.
fn read_wrong_proofs(flash: &Flash) -> Result<u32, StorageError> {
    match flash.read(GUESSES_RECORD) {
        Ok(None) => Ok(0),
        Ok(Some(record)) => Ok(<[u8; 4]>::try_from(record.as_slice()).map_or(u32::MAX, u32::from_be_bytes)),
        Err(StorageError::Damaged { .. } | StorageError::Newer { .. }) => Ok(u32::MAX),
        Err(error) => Err(error),
    }
}

fn read_wifi(flash: &Flash) -> Result<Option<WifiCredentials>, SimError> {
    let record = match flash.read(WIFI_RECORD) {
        Ok(record) => record,
        Err(error @ StorageError::Damaged { .. }) => {
            let aside = flash.set_aside(WIFI_RECORD)?;
            tracing::error!(%error, aside = %aside.display(), "the Wi-Fi network is lost; the network step is needed");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let kept = record.and_then(|record| serde_json::from_slice::<KeptWifi>(&record).ok());
    Ok(kept.map(|kept| WifiCredentials::new(&kept.ssid, kept.passphrase.as_bytes())))
}

fn profile(config: &SimConfig, identity: &Identity, tpm_keys: Option<TpmPublicKeys>) -> Profile {
    let mut settings = Settings::new(&identity.registration_id);
    settings.model = config.model.clone();
    settings.firmware = config.firmware.clone();
    if let Some(keys) = tpm_keys {
        settings.tpm_keys = (keys.endorsement_key, keys.storage_root_key);
    }
    settings.checks_owner = config.checks_owner;
    settings.certificate_from_dps = config.certificate_from_dps;
    settings.poll_after_ms = POLL_AFTER_MS;
    settings.attestations = config
        .attestations
        .iter()
        .map(|attestation| match attestation {
            Attestation::X509 => dps_config::Attestation::X509,
            Attestation::SymmetricKey => dps_config::Attestation::SymmetricKey,
            Attestation::Tpm => dps_config::Attestation::Tpm,
        })
        .collect();
    let mut profile = Profile::new(identity.security.clone(), settings);
    profile.guesses = config.guesses;
    profile.wifi = config.has_wifi();
    profile.other_network = if profile.wifi { Network::Unknown } else { Network::Connected };
    profile
}

fn access_point(heard: Heard) -> AccessPoint {
    AccessPoint {
        ssid: heard.ssid,
        channel: heard.channel.into(),
        rssi: heard.rssi.into(),
        bssid: heard.bssid.to_vec(),
        auth: heard.auth.into(),
    }
}

fn connected(credentials: &WifiCredentials, joined: Heard) -> WifiConnected {
    WifiConnected {
        ip4_addr: "192.168.50.23".to_owned(),
        auth_mode: joined.auth.into(),
        // A hidden network's name is known by who joins it.
        ssid: credentials.ssid.clone(),
        bssid: joined.bssid.to_vec(),
        channel: joined.channel.into(),
    }
}
