//! Both roles in one process: the whole device role, and a client that does what core/installer does, over a link that
//! loses, repeats and delays, with power and processes that end anywhere. Time is a number.

use std::collections::BTreeMap;
use std::time::Duration;

use lowtouch_handoff::device::{Connection, Device, Effect, EffectResult, Profile, Step};
use lowtouch_handoff::dps_config::client::{self, Call, Progress};
use lowtouch_handoff::dps_config::device::{
    DpsConfig, Effect as HandOffEffect, EffectResult as HandOffResult, Failure, Now, RegistrationEvent, Settings,
};
use lowtouch_handoff::dps_config::{
    self, Assigned, Config, FailureCode, Network, Phase, Request, Response, SymmetricKeyCredential, X509Credential,
    config::Credential, response,
};
use lowtouch_handoff::protocomm::client::{Credentials, Handshake, Next, Session};
use lowtouch_handoff::protocomm::device::DeviceSecurity;
use lowtouch_handoff::protocomm::{self, srp6a};
use lowtouch_handoff::prov_config::client::WifiStatus;
use lowtouch_handoff::prov_config::device::{Effect as WifiEffect, StationEvent};
use lowtouch_handoff::prov_config::{self, WifiConnected, WifiCredentials};
use lowtouch_handoff::{proto_ver, prov_scan};
use secrecy::SecretString;

pub const POP: &str = "marked-pop-7f3a9c";
pub const KEY: &[u8; 32] = b"marked-symmetric-key-32-bytes-ok";
pub const PASSPHRASE: &str = "marked-wifi-pass";
pub const ID: [u8; 16] = [0xa1; 16];
const OLD_ID: [u8; 16] = [0xee; 16];
const RID: &str = "pump-0001";
pub const LEASE_S: u32 = 120;

/// What the two speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// 0, 1, 2.
    pub security: u8,
    /// Of Security 2.
    pub patch: u8,
    pub x509: bool,
    pub wifi: bool,
    /// ATT_MTU, 23 to 517. A value may be longer; it then takes several operations, each of which can be lost.
    pub mtu: u16,
    /// The device was assigned before.
    pub was_assigned: bool,
    /// DPS refuses the new configuration.
    pub refused: bool,
}

/// What goes wrong at a message, counted from 0 over all runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Before the request arrives.
    LinkLostBefore,
    /// After the device has answered.
    LinkLostAfter,
    PowerLostBefore,
    PowerLostAfter,
    /// The app ends before the message is sent.
    KilledBefore,
    /// The app ends with the answer unread.
    KilledAfter,
    /// The request arrives twice, one after the other.
    Twice,
    /// The request arrives once more after the one that follows it.
    OnceMoreLater,
    /// The answer takes so long that a lease runs out.
    Slow,
}

pub const TROUBLES: [Trouble; 9] = [
    Trouble::LinkLostBefore,
    Trouble::LinkLostAfter,
    Trouble::PowerLostBefore,
    Trouble::PowerLostAfter,
    Trouble::KilledBefore,
    Trouble::KilledAfter,
    Trouble::Twice,
    Trouble::OnceMoreLater,
    Trouble::Slow,
];

/// What goes wrong at a write of the device, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtWrite {
    PowerLostBefore,
    PowerLostAfter,
}

#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub messages: BTreeMap<usize, Trouble>,
    pub writes: BTreeMap<usize, AtWrite>,
    /// Of each ATT operation.
    pub loss: f64,
    pub seed: u64,
    pub latency: Duration,
}

/// What the app keeps over a kill: the three facts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Journal {
    pub digest: Option<[u8; 32]>,
    pub staged: bool,
    pub committing: bool,
    pub committed: bool,
    pub said: Option<Phase>,
    /// Every hand-off ID that was ever sent.
    pub ids: Vec<[u8; 16]>,
}

/// Why a run did not get to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    Killed,
    /// More connections than a run may make, or an answer that means nothing.
    GaveUp,
}

enum Lost {
    Link,
    App,
    Refused,
}

pub struct Pair {
    pub spoken: Spoken,
    pub plan: Plan,
    pub journal: Journal,
    profile: Profile,
    device: Device,
    connection: Option<Connection>,
    flash: Option<Vec<u8>>,
    registering: bool,
    joining: bool,
    boot: Duration,
    pub clock: Duration,
    pub messages: usize,
    pub writes: usize,
    pub reconnects: usize,
    entropy: u64,
    late: Option<(String, Vec<u8>)>,
    random: u64,
    session: Option<Session>,
    transfer: u32,
    /// Everything that went over the link, and whether a session stood when it was sent.
    pub wire: Vec<(bool, Vec<u8>)>,
    pub ever_in_force: bool,
    pub ever_assigned: bool,
    pub ever_failed: bool,
}

impl Pair {
    pub fn new(spoken: Spoken, plan: Plan) -> Self {
        let pop = SecretString::from(POP);
        let security = match spoken.security {
            0 => DeviceSecurity::Security0,
            1 => DeviceSecurity::Security1 { pop },
            _ => {
                static MADE: std::sync::OnceLock<srp6a::Verifier> = std::sync::OnceLock::new();
                let made = MADE.get_or_init(|| srp6a::make_verifier("wifiprov", &pop, &[7; 16]).unwrap());
                DeviceSecurity::Security2 {
                    username: "wifiprov".to_owned(),
                    salt: made.salt.clone(),
                    verifier: made.verifier.clone(),
                    patch_ver: spoken.patch,
                }
            }
        };
        let mut profile = Profile::new(security, Settings::new(RID));
        profile.wifi = spoken.wifi;
        profile.other_network = if spoken.wifi { Network::Unknown } else { Network::Connected };
        let device = Device::boot(profile.clone(), None).unwrap();
        let random = plan.seed;
        let mut pair = Self {
            spoken,
            plan: Plan::default(),
            journal: Journal::default(),
            profile,
            device,
            connection: None,
            flash: None,
            registering: false,
            joining: false,
            boot: Duration::ZERO,
            clock: Duration::ZERO,
            messages: 0,
            writes: 0,
            reconnects: 0,
            entropy: 0,
            late: None,
            random,
            session: None,
            transfer: 0,
            wire: Vec::new(),
            ever_in_force: false,
            ever_assigned: false,
            ever_failed: false,
        };
        if spoken.was_assigned {
            pair.hand_over_the_old_one();
        }
        (pair.messages, pair.writes, pair.plan) = (0, 0, plan);
        pair.wire.clear();
        pair
    }

    /// What the device had before, set by the transaction itself.
    fn hand_over_the_old_one(&mut self) {
        let mut flash = None;
        let mut device = DpsConfig::boot(Settings::new(RID), None).unwrap();
        let mut session = dps_config::device::Session::new([0; 32], 496);
        let (stage, digest) = client::stage(&OLD_ID, LEASE_S, &old(), None);
        let now = Now::since_boot(Duration::ZERO);
        let mut steps = Vec::new();
        for request in [stage, client::commit(&OLD_ID, &digest)] {
            steps.push(device.handle(&mut session, &prost::Message::encode_to_vec(&request), Network::Connected, now));
            drive_alone(&mut device, &mut session, steps.pop().unwrap(), &mut flash);
        }
        let step = device.registration(RegistrationEvent::Assigned(assigned()));
        drive_alone(&mut device, &mut session, step, &mut flash);
        self.flash = flash;
        self.device = Device::boot(self.profile.clone(), self.flash.as_deref()).unwrap();
        let step = self.device.start(self.now());
        let _ = self.drive(step, false);
    }

    // ---- what a test looks at ------------------------------------------------------------------------------------

    fn stored(&self) -> DpsConfig {
        DpsConfig::boot(Settings::new(RID), self.flash.as_deref()).expect("a record that is whole")
    }

    pub fn in_force(&self) -> Option<(Config, Option<Assigned>)> {
        self.stored().in_force()
    }

    pub fn phase(&self) -> Phase {
        self.stored().status().phase()
    }

    pub fn is_whole(&self) -> bool {
        match self.in_force() {
            None => !self.spoken.was_assigned,
            Some((config, assigned)) if config == old() => assigned.is_some(),
            Some((config, _)) => config == new(self.spoken),
        }
    }

    /// Time passes with nobody there.
    pub fn wait(&mut self, time: Duration) {
        self.connection = None;
        self.clock += time;
        if self.device.next_timeout().is_some_and(|at| self.boot + at <= self.clock) {
            let step = self.device.tick(self.now());
            let _ = self.drive(step, false);
        }
    }

    // ---- the device ----------------------------------------------------------------------------------------------

    fn now(&self) -> Now {
        Now::since_boot(self.clock.saturating_sub(self.boot))
    }

    fn reboot(&mut self) {
        self.device = Device::boot(self.profile.clone(), self.flash.as_deref()).expect("a record that is whole");
        (self.connection, self.late) = (None, None);
        (self.registering, self.joining, self.boot) = (false, false, self.clock);
        let step = self.device.start(self.now());
        let _ = self.drive(step, false);
    }

    /// `Err`: the power went.
    fn drive(&mut self, mut step: Step, asked: bool) -> Result<Option<Vec<u8>>, ()> {
        loop {
            let result = match step {
                Step::Reply(reply) => return Ok(Some(reply)),
                Step::Fail(_) | Step::Done => return Ok(None),
                Step::Perform(Effect::HandOff(effect)) => EffectResult::HandOff(self.hand_off(effect)?),
                Step::Perform(Effect::Wifi(effect)) => {
                    self.joining = matches!(effect, WifiEffect::Connect(_));
                    EffectResult::Wifi { begun: true }
                }
                Step::Perform(Effect::Scan(_)) => EffectResult::Scan(prov_scan::device::ScanOutcome::Heard(Vec::new())),
                Step::Perform(Effect::KeepWrongProofs(_)) => EffectResult::WrongProofsKept,
            };
            let now = self.now();
            let connection = if asked { self.connection.as_mut() } else { None };
            step = self.device.resume(connection, result, now);
        }
    }

    fn hand_off(&mut self, effect: HandOffEffect) -> Result<HandOffResult, ()> {
        Ok(match effect {
            HandOffEffect::Persist(record) => {
                let number = self.writes;
                self.writes += 1;
                let trouble = self.plan.writes.get(&number).copied();
                if trouble != Some(AtWrite::PowerLostBefore) {
                    self.flash = Some(record.to_vec());
                    if let Some((config, assigned)) = self.in_force()
                        && config == new(self.spoken)
                    {
                        self.ever_in_force = true;
                        self.ever_assigned |= assigned.is_some();
                    }
                    self.ever_failed |= self.phase() == Phase::Failed;
                }
                if trouble.is_some() {
                    self.reboot();
                    return Err(());
                }
                HandOffResult::Done
            }
            HandOffEffect::MakeCsr => HandOffResult::Csr(vec![0x30; 240]),
            HandOffEffect::CheckLeaf(_) => HandOffResult::Answer(true),
            HandOffEffect::StartRegistration(_) => {
                self.registering = true;
                HandOffResult::Done
            }
            _ => {
                self.registering = false;
                HandOffResult::Done
            }
        })
    }

    /// What comes to the device from elsewhere.
    fn elsewhere(&mut self) {
        if self.joining {
            self.joining = false;
            self.device.station(StationEvent::Connected(WifiConnected {
                ip4_addr: "192.168.7.9".to_owned(),
                ..WifiConnected::default()
            }));
        }
        if self.registering {
            self.registering = false;
            let refused = self.spoken.refused && self.in_force().is_some_and(|(config, _)| config == new(self.spoken));
            let step = self.device.registration(if refused {
                RegistrationEvent::Failed(Failure {
                    code: FailureCode::Credential,
                    text: "Unauthorized".to_owned(),
                    dps_error_code: 401_002,
                })
            } else {
                RegistrationEvent::Assigned(assigned())
            });
            let _ = self.drive(step, false);
        }
    }

    fn at_device(&mut self, endpoint: &str, request: &[u8]) -> Result<Option<Vec<u8>>, ()> {
        if self.device.next_timeout().is_some_and(|at| self.boot + at <= self.clock) {
            let step = self.device.tick(self.now());
            self.drive(step, false)?;
        }
        let Some(mut connection) = self.connection.take() else { return Ok(None) };
        self.entropy += 1;
        let mut entropy = [0x5a; 64];
        entropy[..8].copy_from_slice(&self.entropy.to_be_bytes());
        let now = self.now();
        let step = self.device.handle(&mut connection, endpoint, request, now, &entropy);
        self.connection = Some(connection);
        self.drive(step, true)
    }

    // ---- the link ------------------------------------------------------------------------------------------------

    fn max_value(&self) -> usize {
        // A stack without long writes and reads carries one packet, but never less than the protocol's least.
        usize::from(self.spoken.mtu).saturating_sub(3).clamp(dps_config::MIN_PLAIN + 16, 512)
    }

    fn operations_lost(&mut self, len: usize) -> bool {
        let operations = len / (usize::from(self.spoken.mtu) - 5) + 1;
        (0..operations).any(|_| self.dice() < self.plan.loss)
    }

    /// SplitMix64.
    fn dice(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn exchange(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, Lost> {
        let number = self.messages;
        self.messages += 1;
        let trouble = self.plan.messages.get(&number).copied();
        if trouble == Some(Trouble::KilledBefore) {
            return Err(Lost::App);
        }
        self.clock += self.plan.latency;
        self.wire.push((self.session.is_some(), request.to_vec()));
        let lost = self.operations_lost(request.len());
        if lost || trouble == Some(Trouble::LinkLostBefore) {
            self.connection = None;
            return Err(Lost::Link);
        }
        if trouble == Some(Trouble::PowerLostBefore) {
            self.reboot();
            return Err(Lost::Link);
        }
        let reply = self.at_device(endpoint, request).map_err(|()| Lost::Link)?;
        if trouble == Some(Trouble::Twice) {
            let _ = self.at_device(endpoint, request);
        }
        if let Some((endpoint, late)) = self.late.take() {
            let _ = self.at_device(&endpoint, &late);
        }
        if trouble == Some(Trouble::OnceMoreLater) {
            self.late = Some((endpoint.to_owned(), request.to_vec()));
        }
        match trouble {
            Some(Trouble::Slow) => self.clock += Duration::from_secs(u64::from(LEASE_S) + 1),
            Some(Trouble::PowerLostAfter) => self.reboot(),
            Some(Trouble::KilledAfter) => return Err(Lost::App),
            _ => {}
        }
        self.clock += self.plan.latency;
        let reply = reply.ok_or(Lost::Refused)?;
        self.wire.push((self.session.is_some(), reply.clone()));
        let lost = self.operations_lost(reply.len());
        if lost || matches!(trouble, Some(Trouble::LinkLostAfter | Trouble::PowerLostAfter)) {
            self.connection = None;
            return Err(Lost::Link);
        }
        Ok(reply)
    }

    // ---- the client ----------------------------------------------------------------------------------------------

    /// One run of the app, from its start to its end.
    pub fn run(&mut self) -> Result<Phase, Stopped> {
        self.reconnects = 0;
        let ended = self.pair();
        (self.connection, self.session, self.late) = (None, None, None);
        ended
    }

    fn pair(&mut self) -> Result<Phase, Stopped> {
        self.connect()?;
        let Some(response::Body::Identify(identify)) = self.ask(&client::identify(true))?.body else {
            return Err(Stopped::GaveUp);
        };
        let known = self.journal.digest;
        let mut committed =
            identify.active_handoff_id == ID && known.is_none_or(|known| identify.active_digest == known);
        if !committed && self.journal.committing {
            let status = self.status()?;
            committed = status.handoff_id == ID && status.phase() != Phase::Staged;
        }
        if !committed {
            let staged = known.is_some() && identify.staged_handoff_id == ID;
            if !staged || !self.commit()? {
                if self.spoken.wifi {
                    self.network()?;
                }
                let (stage, digest) = client::stage(&ID, LEASE_S, &new(self.spoken), None);
                self.journal.digest = Some(digest);
                self.journal.ids.push(ID);
                let Some(response::Body::Stage(staged)) = self.ask(&stage)?.body else { return Err(Stopped::GaveUp) };
                assert_eq!(staged.digest, digest);
                self.journal.staged = true;
                if !self.commit()? {
                    return Err(Stopped::GaveUp);
                }
            }
        }
        for _ in 0..8 {
            let status = self.status()?;
            if status.handoff_id != ID {
                return Err(Stopped::GaveUp);
            }
            if matches!(status.phase(), Phase::Assigned | Phase::Failed) {
                self.journal.said = Some(status.phase());
                return Ok(status.phase());
            }
            self.elsewhere();
        }
        Err(Stopped::GaveUp)
    }

    fn commit(&mut self) -> Result<bool, Stopped> {
        self.journal.committing = true;
        let digest = self.journal.digest.unwrap();
        let answer = self.ask(&client::commit(&ID, &digest))?;
        let Some(response::Body::Commit(committed)) = answer.body else { return Ok(false) };
        assert_eq!(committed.digest, digest);
        self.journal.committed = true;
        Ok(true)
    }

    fn status(&mut self) -> Result<dps_config::StatusResponse, Stopped> {
        match self.ask(&client::status())?.body {
            Some(response::Body::Status(status)) => Ok(status),
            _ => Err(Stopped::GaveUp),
        }
    }

    fn network(&mut self) -> Result<(), Stopped> {
        let credentials = WifiCredentials::new(b"Shed", PASSPHRASE.as_bytes());
        let set = prov_config::client::set(&credentials).unwrap();
        let set = self.sealed(prov_config::ENDPOINT, &set)?;
        if prov_config::client::parse_set(&set).is_err() {
            return Ok(()); // It has joined before.
        }
        let apply = self.sealed(prov_config::ENDPOINT, &prov_config::client::apply())?;
        let _ = prov_config::client::parse_apply(&apply);
        for _ in 0..8 {
            self.elsewhere();
            let status = self.sealed(prov_config::ENDPOINT, &prov_config::client::get_status())?;
            match prov_config::client::parse_status(&status) {
                Ok(WifiStatus::Connected(_)) => return Ok(()),
                Ok(WifiStatus::Disconnected) => {
                    // The device has forgotten it with its power.
                    let _ = self.sealed(prov_config::ENDPOINT, &prov_config::client::set(&credentials).unwrap())?;
                    let _ = self.sealed(prov_config::ENDPOINT, &prov_config::client::apply())?;
                }
                Ok(_) => {}
                Err(_) => return Err(Stopped::GaveUp),
            }
        }
        Err(Stopped::GaveUp)
    }

    /// One call; a link that is lost is opened again and the call repeated.
    fn ask(&mut self, request: &Request) -> Result<Response, Stopped> {
        loop {
            match self.call(request) {
                Ok(response) => return Ok(response),
                Err(Lost::App) => return Err(Stopped::Killed),
                Err(Lost::Link | Lost::Refused) => self.connect()?,
            }
        }
    }

    fn call(&mut self, request: &Request) -> Result<Response, Lost> {
        self.transfer += 1;
        let overhead = self.session.as_ref().map_or(0, Session::overhead);
        let mut call = Call::new(request, self.max_value() - overhead, self.transfer);
        while let Some(message) = call.next() {
            let reply = self.once(dps_config::ENDPOINT, &message)?;
            // An answer that cannot be read is one of a session that is out of step.
            match call.handle(&reply).map_err(|_| Lost::Refused)? {
                Progress::More => {}
                Progress::Done(response) => return Ok(response),
            }
        }
        Err(Lost::Refused)
    }

    fn sealed(&mut self, endpoint: &str, plain: &[u8]) -> Result<Vec<u8>, Stopped> {
        loop {
            match self.once(endpoint, plain) {
                Ok(reply) => return Ok(reply),
                Err(Lost::App) => return Err(Stopped::Killed),
                Err(Lost::Link | Lost::Refused) => self.connect()?,
            }
        }
    }

    fn once(&mut self, endpoint: &str, plain: &[u8]) -> Result<Vec<u8>, Lost> {
        let sealed = self.session.as_mut().ok_or(Lost::Link)?.seal(plain).map_err(|_| Lost::Refused)?;
        let reply = self.exchange(endpoint, &sealed)?;
        self.session.as_mut().ok_or(Lost::Link)?.open(&reply).map_err(|_| Lost::Refused)
    }

    fn connect(&mut self) -> Result<(), Stopped> {
        loop {
            self.reconnects += 1;
            if self.reconnects > 60 {
                return Err(Stopped::GaveUp);
            }
            (self.session, self.late) = (None, None);
            self.connection = Some(self.device.connect(self.max_value()));
            match self.handshake() {
                Ok(session) => {
                    self.session = Some(session);
                    return Ok(());
                }
                Err(Lost::App) => return Err(Stopped::Killed),
                Err(Lost::Link | Lost::Refused) => {}
            }
        }
    }

    fn handshake(&mut self) -> Result<Session, Lost> {
        let said = self.exchange(proto_ver::ENDPOINT, b"---")?;
        let said = proto_ver::parse(&said).map_err(|_| Lost::Refused)?;
        assert_eq!((said.sec_ver, said.sec_patch_ver), (self.spoken.security, self.spoken.patch));
        let credentials = match self.spoken.security {
            0 => Credentials::Security0,
            1 => Credentials::Security1 { pop: SecretString::from(POP) },
            _ => Credentials::Security2 {
                username: "wifiprov".to_owned(),
                password: SecretString::from(POP),
                patch_ver: self.spoken.patch,
            },
        };
        self.entropy += 1;
        let mut entropy = [0xa5; 64];
        entropy[..8].copy_from_slice(&self.entropy.to_be_bytes());
        let (mut handshake, mut request) = Handshake::start(credentials, &entropy).unwrap();
        loop {
            let reply = self.exchange(protocomm::ENDPOINT, &request)?;
            match handshake.handle(&reply).map_err(|_| Lost::Refused)? {
                Next::Send(next, bytes) => (handshake, request) = (next, bytes),
                Next::Secured(session) => return Ok(session),
            }
        }
    }
}

fn drive_alone(
    device: &mut DpsConfig,
    session: &mut dps_config::device::Session,
    mut step: dps_config::device::Step,
    flash: &mut Option<Vec<u8>>,
) {
    while let dps_config::device::Step::Perform(effect) = step {
        if let HandOffEffect::Persist(record) = effect {
            *flash = Some(record.to_vec());
        }
        step = device.resume(Some(session), HandOffResult::Done, Now::since_boot(Duration::ZERO));
    }
}

fn assigned() -> Assigned {
    Assigned { hub: "hub".to_owned(), device_id: RID.to_owned(), substatus: String::new(), certificate_ends: 0 }
}

pub fn old() -> Config {
    Config {
        id_scope: "0ne000000FF".to_owned(),
        global_device_endpoint: "dps".to_owned(),
        registration_id: RID.to_owned(),
        credential: Some(Credential::SymmetricKey(SymmetricKeyCredential { key: vec![9; 32] })),
        endpoint_ca: Vec::new(),
        owner_public_key: Vec::new(),
        certificate_from_dps: false,
    }
}

pub fn new(spoken: Spoken) -> Config {
    let credential = if spoken.x509 {
        Credential::X509(X509Credential { certificate_chain: vec![vec![0x30; 700], vec![0x31; 500]] })
    } else {
        Credential::SymmetricKey(SymmetricKeyCredential { key: KEY.to_vec() })
    };
    Config { id_scope: "0ne0000000A".to_owned(), credential: Some(credential), ..old() }
}
