//! A device in this process (handoff's own device role) and something that stands in for the provisioning API.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use lowtouch_handoff::device::{Connection, Device, Effect, EffectResult, FailReason, Profile, Step};
use lowtouch_handoff::dps_config::device::{
    Effect as HandOffEffect, EffectResult as HandOffResult, Failure, Now, RegistrationEvent, Settings,
};
use lowtouch_handoff::dps_config::{
    Assigned, Attestation, Config, FailureCode, Network, owner_key_id, stage_signature_message,
};
use lowtouch_handoff::protocomm::device::DeviceSecurity;
use lowtouch_handoff::protocomm::srp6a::make_verifier;
use lowtouch_handoff::prov_config::device::{Effect as WifiEffect, StationEvent};
use lowtouch_handoff::prov_config::{FailReason as WifiFailReason, WifiConnected};
use lowtouch_handoff::prov_scan::{AccessPoint, device::ScanOutcome};
use lowtouch_installer::api::ProvisioningApi;
use lowtouch_installer::fault::Faults;
use lowtouch_installer::label::{self, Label};
use lowtouch_installer::pairing::PairRequest;
use lowtouch_installer::{Config as InstallerConfig, ErrorCode, Installer, PairingError};
use lowtouch_links::simulated::{
    Characteristic, GattError, MAX_VALUE, Peripheral, Radio, SERVICE, SimulatedLink, att_error, characteristics,
};
use lowtouch_links::{Deadlines, Link, LinkError, Traffic};
use provisioning_api_contract as wire;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

/// Marked, so that a leak can be searched for.
pub(crate) const POP: &str = "marked-pop-7f3a9c";
pub(crate) const KEY: [u8; 32] = *b"marked-symmetric-key-32-bytes-ok";
pub(crate) const WIFI_PASSWORD: &str = "marked-wifi-pass";
pub(crate) const HUB: &str = "hub-a.azure-devices.net";

pub(crate) fn label(security: u8) -> Label {
    let pop = POP;
    label::parse(&format!(
        r#"{{"ver":"v1","name":"PROV_1","username":"wifiprov","pop":"{pop}","transport":"ble","security":{security}}}"#
    ))
    .unwrap()
}

pub(crate) fn request(security: u8) -> PairRequest {
    PairRequest::new(label(security), "http://192.0.2.1:80".parse().unwrap())
}

/// `auth`: as ESP-IDF numbers it; 0 open, 3 WPA2, 5 enterprise.
pub(crate) fn access_point(ssid: &str, rssi: i32, auth: i32) -> AccessPoint {
    AccessPoint { ssid: ssid.into(), channel: 6, rssi, bssid: vec![2, 0, 0, 0, 0, 1], auth }
}

pub(crate) fn security(version: u8, pop: &str) -> DeviceSecurity {
    let pop = SecretString::from(pop.to_owned());
    match version {
        0 => DeviceSecurity::Security0,
        1 => DeviceSecurity::Security1 { pop },
        _ => {
            let made = make_verifier("wifiprov", &pop, &[7; 16]).unwrap();
            DeviceSecurity::Security2 {
                username: "wifiprov".into(),
                salt: made.salt,
                verifier: made.verifier,
                patch_ver: 1,
            }
        }
    }
}

/// What the device does with its configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dps {
    Assigns,
    Refuses,
    NeverAnswers,
}

/// What goes wrong on the link, by the number of the exchange, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)]
pub(crate) enum Trouble {
    None,
    /// From here on nothing is answered.
    SilentFrom(u64),
    /// The answer is noise.
    GarbageFrom(u64),
    /// The answer is longer than the link carries.
    TooLongFrom(u64),
    /// The answer is sealed for another session.
    ForeignFrom(u64),
    /// The handler fails, once: another app took the session.
    RefusedOnce(u64),
    /// The handler fails from here on.
    RefusedFrom(u64),
    /// The request never arrives and the link is gone; a new connection works.
    LostBefore(u64),
    /// The request arrives, the answer does not; a new connection works.
    LostAfter(u64),
    /// As before, and the device has lost power.
    PowerLostAfter(u64),
    /// The request arrives, the answer does not, and no new connection comes.
    GoneAfter(u64),
}

pub(crate) struct Inner {
    profile: Profile,
    device: Device,
    boot: Instant,
    pub(crate) flash: Option<Vec<u8>>,
    pub(crate) dps: Dps,
    coming: VecDeque<RegistrationEvent>,
    wifi_coming: VecDeque<StationEvent>,
    /// What comes of joining any network; `None`: it depends on the password.
    pub(crate) joining: Option<Vec<StationEvent>>,
    /// What a scan hears; `None`: it never ends.
    pub(crate) heard: Option<Vec<AccessPoint>>,
    /// Whether the firmware has the endpoint `prov-ctrl`.
    pub(crate) prov_ctrl: bool,
    /// The endpoints that were asked.
    pub(crate) asked: Vec<String>,
    pub(crate) wifi_password: Option<String>,
    /// The configurations that registrations began with.
    pub(crate) registrations: Vec<Config>,
    entropy: u64,
}

#[derive(Clone)]
pub(crate) struct FakeDevice(Arc<Mutex<Inner>>);

impl FakeDevice {
    pub(crate) fn new(attestations: &[Attestation]) -> Self {
        Self::with(security(2, POP), attestations)
    }

    pub(crate) fn with(security: DeviceSecurity, attestations: &[Attestation]) -> Self {
        let mut settings = Settings::new("device-1");
        settings.attestations = attestations.to_vec();
        settings.model = "Model T".into();
        settings.firmware = "1.0".into();
        let mut profile = Profile::new(security, settings);
        profile.wifi = false;
        profile.other_network = Network::Connected;
        Self::of(profile)
    }

    pub(crate) fn of(profile: Profile) -> Self {
        let device = Device::boot(profile.clone(), None).unwrap();
        FakeDevice(Arc::new(Mutex::new(Inner {
            profile,
            device,
            boot: Instant::now(),
            flash: None,
            dps: Dps::Assigns,
            coming: VecDeque::new(),
            wifi_coming: VecDeque::new(),
            joining: None,
            heard: Some(vec![access_point("Shed", -50, 3)]),
            prov_ctrl: true,
            asked: Vec::new(),
            wifi_password: None,
            registrations: Vec::new(),
            entropy: 1,
        })))
    }

    /// With another registration ID than `device-1`.
    pub(crate) fn named(self, registration_id: &str) -> Self {
        {
            let mut inner = self.lock();
            inner.profile.hand_off.registration_id = registration_id.into();
            inner.device = Device::boot(inner.profile.clone(), None).unwrap();
        }
        self
    }

    /// Expects Wi-Fi with this passphrase before anything else.
    pub(crate) fn with_wifi(self, passphrase: &str) -> Self {
        {
            let mut inner = self.lock();
            inner.profile.wifi = true;
            inner.profile.other_network = Network::Unknown;
            inner.wifi_password = Some(passphrase.into());
            inner.device = Device::boot(inner.profile.clone(), None).unwrap();
        }
        self
    }

    /// Can ask DPS for the certificate that it shows its hub.
    pub(crate) fn asking_dps(self) -> Self {
        {
            let mut inner = self.lock();
            inner.profile.hand_off.certificate_from_dps = true;
            inner.device = Device::boot(inner.profile.clone(), None).unwrap();
        }
        self
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(crate) fn link(&self, trouble: Trouble) -> Box<dyn Link> {
        Box::new(self.fake_link(trouble, 512))
    }

    pub(crate) fn fake_link(&self, trouble: Trouble, max: usize) -> FakeLink {
        let connection = self.lock().device.connect(max);
        FakeLink { device: self.clone(), connection: Some(connection), max, trouble, traffic: Traffic::default() }
    }

    /// Power off and on.
    pub(crate) fn reboot(&self) {
        let mut inner = self.lock();
        let flash = inner.flash.clone();
        inner.device = Device::boot(inner.profile.clone(), flash.as_deref()).unwrap();
        inner.coming.clear();
        inner.boot = Instant::now();
        let now = inner.now();
        let step = inner.device.start(now);
        inner.drive(None, step);
    }

    /// Something happens to its Wi-Fi.
    pub(crate) fn station(&self, event: StationEvent) {
        self.lock().device.station(event);
    }

    /// Hub and hand-off ID of the configuration in force.
    pub(crate) fn in_force(&self) -> Option<(Config, Option<Assigned>)> {
        self.lock().device.hand_off().in_force()
    }
}

enum Ended {
    Reply(Vec<u8>),
    Refused,
    Unknown,
    Nothing,
}

impl Inner {
    /// The hand-off that is staged and not committed.
    pub(crate) fn staged(&self) -> Option<Vec<u8>> {
        let status = self.device.status();
        (status.phase() == lowtouch_handoff::dps_config::Phase::Staged).then_some(status.handoff_id)
    }

    fn now(&self) -> Now {
        Now::since_boot(self.boot.elapsed())
    }

    fn drive(&mut self, mut connection: Option<&mut Connection>, mut step: Step) -> Ended {
        loop {
            let result = match step {
                Step::Reply(reply) => return Ended::Reply(reply),
                Step::Fail(failure) if failure.reason == FailReason::UnknownEndpoint => return Ended::Unknown,
                Step::Fail(_) => return Ended::Refused,
                Step::Done => return Ended::Nothing,
                Step::Perform(Effect::HandOff(effect)) => EffectResult::HandOff(self.hand_off(effect)),
                Step::Perform(Effect::Wifi(effect)) => {
                    if let WifiEffect::Connect(credentials) = effect {
                        let right = self.wifi_password.as_deref().map(str::as_bytes)
                            == Some(credentials.passphrase.expose_secret());
                        self.wifi_coming.push_back(StationEvent::Connecting { attempts_remaining: None });
                        if let Some(joining) = &self.joining {
                            self.wifi_coming.extend(joining.iter().cloned());
                        } else {
                            self.wifi_coming.push_back(if right {
                                StationEvent::Connected(WifiConnected {
                                    ip4_addr: "192.168.7.9".into(),
                                    ssid: credentials.ssid.clone(),
                                    ..WifiConnected::default()
                                })
                            } else {
                                StationEvent::Failed(WifiFailReason::Auth)
                            });
                        }
                    }
                    EffectResult::Wifi { begun: true }
                }
                Step::Perform(Effect::KeepWrongProofs(_)) => EffectResult::WrongProofsKept,
                Step::Perform(Effect::Scan(_)) => EffectResult::Scan(match &self.heard {
                    Some(heard) => ScanOutcome::Heard(heard.clone()),
                    None => ScanOutcome::Begun,
                }),
            };
            let now = self.now();
            step = self.device.resume(connection.as_deref_mut(), result, now);
        }
    }

    fn hand_off(&mut self, effect: HandOffEffect) -> HandOffResult {
        match effect {
            HandOffEffect::Persist(bytes) => {
                self.flash = Some(bytes.to_vec());
                HandOffResult::Done
            }
            HandOffEffect::MakeCsr => HandOffResult::Csr(vec![0x30; 290]),
            HandOffEffect::CheckLeaf(_) => HandOffResult::Answer(true),
            // As `StubApi` signs.
            HandOffEffect::VerifyOwner { public_key, message, signature } => {
                HandOffResult::Answer(signature == [public_key, message].concat())
            }
            HandOffEffect::StartRegistration(config) => {
                self.registrations.push(config);
                self.coming.push_back(RegistrationEvent::Connecting);
                self.coming.push_back(RegistrationEvent::Registering);
                match self.dps {
                    Dps::Assigns => self.coming.push_back(RegistrationEvent::Assigned(Assigned {
                        hub: HUB.into(),
                        device_id: "device-1".into(),
                        substatus: "initialAssignment".into(),
                        certificate_ends: 0,
                    })),
                    Dps::Refuses => self.coming.push_back(RegistrationEvent::Failed(Failure {
                        code: FailureCode::Credential,
                        text: "Unauthorized".into(),
                        dps_error_code: 401_002,
                    })),
                    Dps::NeverAnswers => {}
                }
                HandOffResult::Done
            }
            HandOffEffect::StopRegistration | HandOffEffect::UseHub { .. } => {
                self.coming.clear();
                HandOffResult::Done
            }
        }
    }

    fn handle(&mut self, connection: &mut Connection, endpoint: &str, request: &[u8]) -> Ended {
        if let Some(event) = self.coming.pop_front() {
            let step = self.device.registration(event);
            self.drive(None, step);
        }
        if let Some(event) = self.wifi_coming.pop_front() {
            self.device.station(event);
        }
        self.asked.push(endpoint.into());
        if endpoint == "prov-ctrl" && !self.prov_ctrl {
            return Ended::Unknown;
        }
        self.entropy += 1;
        let mut entropy = [0u8; 64];
        entropy[..8].copy_from_slice(&self.entropy.to_be_bytes());
        entropy[63] = 9;
        let now = self.now();
        let step = self.device.handle(connection, endpoint, request, now, &entropy);
        self.drive(Some(connection), step)
    }
}

pub(crate) struct FakeLink {
    device: FakeDevice,
    connection: Option<Connection>,
    max: usize,
    trouble: Trouble,
    traffic: Traffic,
}

#[async_trait]
impl Link for FakeLink {
    async fn exchange(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError> {
        let number = self.traffic.exchanges;
        self.traffic.exchanges += 1;
        self.traffic.bytes_sent += request.len() as u64;
        tokio::time::sleep(Duration::from_millis(30)).await;
        if matches!(self.trouble, Trouble::SilentFrom(n) if number >= n) {
            std::future::pending::<()>().await;
        }
        if self.trouble == Trouble::LostBefore(number) {
            self.connection = None;
            return Err(LinkError::Lost);
        }
        let refused = match self.trouble {
            Trouble::RefusedOnce(n) => number == n,
            Trouble::RefusedFrom(n) => number >= n,
            _ => false,
        };
        if refused {
            return Err(LinkError::Refused { endpoint: endpoint.into() });
        }
        let Some(connection) = &mut self.connection else { return Err(LinkError::Interrupted) };
        let ended = self.device.lock().handle(connection, endpoint, request);
        match self.trouble {
            Trouble::LostAfter(n) | Trouble::PowerLostAfter(n) | Trouble::GoneAfter(n) if n == number => {
                self.connection = None;
                if self.trouble == Trouble::PowerLostAfter(n) {
                    self.device.reboot();
                }
                return Err(LinkError::Lost);
            }
            Trouble::GarbageFrom(n) if number >= n => return Ok(b"\xff\x00garbage\x17".to_vec()),
            Trouble::TooLongFrom(n) if number >= n => return Ok(vec![8; self.max + 1]),
            _ => {}
        }
        let mut answer = match ended {
            Ended::Reply(answer) => answer,
            Ended::Refused => return Err(LinkError::Refused { endpoint: endpoint.into() }),
            Ended::Unknown => return Err(LinkError::UnknownEndpoint { endpoint: endpoint.into() }),
            Ended::Nothing => return Err(LinkError::Garbage),
        };
        if matches!(self.trouble, Trouble::ForeignFrom(n) if number >= n && endpoint == "dps-config") {
            let last = answer.len() - 1;
            answer[last] ^= 1;
        }
        self.traffic.bytes_received += answer.len() as u64;
        Ok(answer)
    }

    fn max_value(&self) -> usize {
        self.max
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    async fn reconnect(&mut self) -> Result<(), LinkError> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        match self.trouble {
            Trouble::SilentFrom(_) => std::future::pending().await,
            Trouble::GoneAfter(n) if self.traffic.exchanges > n => Err(LinkError::NotFound { what: "fake".into() }),
            _ => {
                self.connection = Some(self.device.lock().device.connect(self.max));
                Ok(())
            }
        }
    }

    async fn close(&mut self) {
        self.connection = None;
    }

    fn describe(&self) -> String {
        "fake".into()
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Stands in for the provisioning API.
pub(crate) struct StubApi {
    pub(crate) attestation: wire::Attestation,
    /// Answered in turn, before anything else, by every call.
    pub(crate) failures: Mutex<VecDeque<PairingError>>,
    /// The same, by the call of the outcome only.
    pub(crate) outcome_failures: Mutex<VecDeque<PairingError>>,
    pub(crate) handoff_ids: Mutex<Vec<uuid::Uuid>>,
    pub(crate) outcomes: Mutex<Vec<wire::OutcomeRequest>>,
    pub(crate) dps: Mutex<Option<wire::DpsRegistration>>,
    pub(crate) hangs: bool,
    /// SubjectPublicKeyInfo; `None`: an API that knows no owners.
    pub(crate) owner: Mutex<Option<Vec<u8>>>,
    /// Owners before that one.
    pub(crate) former: Mutex<Vec<Vec<u8>>>,
    /// How often it was asked to sign.
    pub(crate) signed: Mutex<u32>,
    /// Devices that can are to ask DPS for their certificates.
    pub(crate) certificate_from_dps: bool,
}

impl StubApi {
    pub(crate) fn new(attestation: wire::Attestation) -> Arc<Self> {
        Arc::new(Self::plain(attestation))
    }

    pub(crate) fn plain(attestation: wire::Attestation) -> Self {
        StubApi {
            attestation,
            failures: Mutex::default(),
            outcome_failures: Mutex::default(),
            handoff_ids: Mutex::default(),
            outcomes: Mutex::default(),
            dps: Mutex::default(),
            hangs: false,
            owner: Mutex::default(),
            former: Mutex::default(),
            signed: Mutex::default(),
            certificate_from_dps: false,
        }
    }

    async fn turn(&self) -> Result<(), PairingError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        match self.failures.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl ProvisioningApi for StubApi {
    async fn allocate(&self, rid: &str, request: &wire::AllocationRequest) -> Result<wire::Allocation, PairingError> {
        self.turn().await?;
        self.handoff_ids.lock().unwrap().push(request.handoff_id);
        Ok(wire::Allocation {
            registration_id: rid.into(),
            dps_instance: "dps-a".into(),
            id_scope: terms().id_scope.clone(),
            global_device_endpoint: terms().global_device_endpoint.clone(),
            endpoint_ca: None,
            attestation: self.attestation,
            allocated_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            starts_at: None,
            starts_in_s: None,
            certificate_from_dps: self.certificate_from_dps,
            owner_public_key: self.owner.lock().unwrap().as_deref().map(base64),
            former_owner_key_ids: self.former.lock().unwrap().iter().map(|key| base64(&owner_key_id(key))).collect(),
        })
    }

    async fn certificate(
        &self,
        _: &str,
        request: &wire::CertificateRequest,
    ) -> Result<wire::CertificateResponse, PairingError> {
        self.turn().await?;
        assert!(!request.csr.is_empty());
        use base64::Engine;
        let der = |len| base64::engine::general_purpose::STANDARD.encode(vec![0x30u8; len]);
        Ok(wire::CertificateResponse {
            certificate_chain: vec![der(600), der(600)],
            not_after: "2027-11-21T10:00:00Z".parse().unwrap(),
        })
    }

    async fn symmetric_key(
        &self,
        _: &str,
        _: &wire::SymmetricKeyRequest,
    ) -> Result<wire::SymmetricKeyResponse, PairingError> {
        self.turn().await?;
        use base64::Engine;
        Ok(wire::SymmetricKeyResponse { key: base64::engine::general_purpose::STANDARD.encode(KEY) })
    }

    async fn owner_signature(
        &self,
        rid: &str,
        request: &wire::OwnerSignatureRequest,
    ) -> Result<wire::OwnerSignatureResponse, PairingError> {
        self.turn().await?;
        *self.signed.lock().unwrap() += 1;
        let bytes = |text: &str| {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).unwrap().try_into().unwrap()
        };
        assert_eq!(request.operation, wire::OwnerOperation::Stage);
        let (nonce, digest) = (bytes(&request.nonce), bytes(request.digest.as_deref().unwrap()));
        let id = request.handoff_id;
        let owner = self.owner.lock().unwrap().clone().unwrap();
        let former = self.former.lock().unwrap().clone();
        let held = request.owner_key_id.as_deref().map(bytes);
        let signs = former.into_iter().find(|key| Some(owner_key_id(key)) == held);
        let mut terms = terms();
        if signs.is_some() {
            terms.owner_public_key = owner.clone();
        }
        let message = stage_signature_message(rid, id.as_bytes(), &nonce, &terms, &digest, 2_000_000_000);
        let owner = signs.unwrap_or(owner);
        Ok(wire::OwnerSignatureResponse {
            owner_public_key: base64(&owner),
            signature: base64(&[owner, message].concat()),
            expires: "2033-05-18T03:33:20Z".parse().unwrap(),
        })
    }

    async fn outcome(&self, _: &str, request: &wire::OutcomeRequest) -> Result<(), PairingError> {
        self.turn().await?;
        if let Some(error) = self.outcome_failures.lock().unwrap().pop_front() {
            return Err(error);
        }
        self.outcomes.lock().unwrap().push(request.clone());
        Ok(())
    }

    async fn device(&self, rid: &str, dps: bool) -> Result<wire::Device, PairingError> {
        self.turn().await?;
        Ok(wire::Device {
            registration_id: rid.into(),
            model: None,
            lifecycle: wire::Lifecycle::Allocated,
            dps_instance: Some("dps-a".into()),
            attestation: Some(self.attestation),
            handoff_id: None,
            outcome: None,
            region: None,
            ring: wire::Ring::default(),
            site: None,
            starts_at: None,
            pending: Vec::new(),
            dps: self.dps.lock().unwrap().clone().filter(|_| dps),
        })
    }
}

/// What this API allocates to every device, and what its owner signs.
fn terms() -> Config {
    Config {
        id_scope: "0ne0000000A".into(),
        global_device_endpoint: "global.azure-devices-provisioning.net".into(),
        ..Config::default()
    }
}

/// An installer with a journal in a folder of its own, over the stub.
pub(crate) struct Bench {
    /// Of the journal.
    #[allow(dead_code)]
    pub(crate) dir: tempfile::TempDir,
    pub(crate) api: Arc<StubApi>,
    pub(crate) faults: Faults,
    pub(crate) installer: Installer,
}

impl Bench {
    pub(crate) async fn new(attestation: wire::Attestation) -> Bench {
        Self::with_api(StubApi::new(attestation)).await
    }

    pub(crate) async fn with_api(api: Arc<StubApi>) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        faults.virtual_time();
        let config = InstallerConfig { faults: faults.clone(), ..InstallerConfig::new(dir.path()) };
        let installer = Installer::with_api(config, api.clone()).await.unwrap();
        Bench { dir, api, faults, installer }
    }

    pub(crate) async fn pair(&self, link: Box<dyn Link>) -> Result<lowtouch_installer::pairing::Paired, PairingError> {
        self.installer.pair_over(request(2), link).outcome().await
    }
}

pub(crate) fn code<T: std::fmt::Debug>(outcome: Result<T, PairingError>) -> ErrorCode {
    outcome.unwrap_err().code
}

/// The device as a GATT server, for links over a simulated radio.
pub(crate) struct FakePeripheral {
    device: FakeDevice,
    table: Vec<Characteristic>,
    connection: Option<Connection>,
    value: Vec<u8>,
}

impl FakeDevice {
    /// Over a simulated radio; not connected yet, as where the first connection fails.
    pub(crate) fn over(&self, radio: Radio) -> Box<dyn Link> {
        let endpoints = ["proto-ver", "prov-session", "prov-scan", "prov-config", "prov-ctrl", "dps-config"];
        let peripheral = FakePeripheral {
            device: self.clone(),
            table: characteristics(SERVICE, endpoints),
            connection: None,
            value: Vec::new(),
        };
        Box::new(SimulatedLink::new(Box::new(peripheral), radio, Deadlines::default()).unwrap())
    }
}

#[async_trait]
impl Peripheral for FakePeripheral {
    async fn connect(&mut self) -> Result<Vec<Characteristic>, GattError> {
        self.connection = Some(self.device.lock().device.connect(MAX_VALUE));
        Ok(self.table.clone())
    }

    async fn disconnect(&mut self) {
        self.connection = None;
        self.value.clear();
    }

    async fn write(&mut self, characteristic: uuid::Uuid, value: &[u8]) -> Result<(), GattError> {
        let known = self.table.iter().find(|known| known.uuid == characteristic);
        let endpoint = &known.ok_or(GattError::Att(att_error::INVALID_HANDLE))?.endpoint;
        let connection = self.connection.as_mut().ok_or(GattError::Disconnected)?;
        match self.device.lock().handle(connection, endpoint, value) {
            Ended::Reply(answer) => {
                self.value = answer;
                Ok(())
            }
            _ => Err(GattError::Att(att_error::UNLIKELY)),
        }
    }

    async fn read(&mut self, _: uuid::Uuid) -> Result<Vec<u8>, GattError> {
        Ok(self.value.clone())
    }
}
