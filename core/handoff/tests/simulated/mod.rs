//! A shell around the device's transaction whose flash, DPS and power are a test's to command.
// Each test binary uses a part of it, and none is a crate that another could use.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use lowtouch_handoff::dps_config::{
    self, Assigned, Config, FailureCode, Network, Request, Response, SymmetricKeyCredential, X509Credential,
    client::{Call, Progress},
    config::Credential,
    device::{DpsConfig, Effect, EffectResult, Failure, Now, RegistrationEvent, Session, Settings, Step},
};

/// The device's own leaf certificate; any other is for another key.
pub const OWN_LEAF: [u8; 700] = [0x30; 700];

pub const REGISTRATION_ID: &str = "pump-0001";

/// The power went.
#[derive(Debug, PartialEq, Eq)]
pub struct Killed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    BeforeWrite(usize),
    AfterWrite(usize),
}

pub struct Simulated {
    pub device: DpsConfig,
    pub session: Session,
    pub settings: Settings,
    pub flash: Option<Vec<u8>>,
    pub since_boot: Duration,
    /// Writes since the beginning, over reboots.
    pub writes: usize,
    pub kill: Option<Kill>,
    pub fail_writes: bool,
    /// What the device's DPS client registers with right now.
    pub registering: Option<Config>,
    /// What it works with.
    pub hub: Option<(Config, Assigned)>,
    /// What DPS issued for it.
    pub issued_chain: Vec<Vec<u8>>,
    pub exchanges: usize,
    pub bytes_sent: usize,
    pub max_plain: usize,
    pub unix_s: Option<u64>,
    transfer: u32,
}

impl Simulated {
    pub fn new(settings: Settings) -> Self {
        Self {
            device: DpsConfig::boot(settings.clone(), None).unwrap(),
            session: Session::new([7; 32], 496),
            settings,
            flash: None,
            since_boot: Duration::ZERO,
            writes: 0,
            kill: None,
            fail_writes: false,
            registering: None,
            hub: None,
            issued_chain: Vec::new(),
            exchanges: 0,
            bytes_sent: 0,
            max_plain: 496,
            unix_s: None,
            transfer: 0,
        }
    }

    pub fn now(&self) -> Now {
        Now { since_boot: self.since_boot, unix_s: self.unix_s }
    }

    /// Off and on again: what was in memory is gone.
    pub fn reboot(&mut self) -> Result<(), Killed> {
        self.device = DpsConfig::boot(self.settings.clone(), self.flash.as_deref()).unwrap();
        self.new_session();
        self.since_boot = Duration::ZERO;
        self.registering = None;
        self.hub = None;
        self.issued_chain.clear();
        let step = self.device.start(self.now());
        self.run(step, false).map(|_| ())
    }

    pub fn new_session(&mut self) {
        self.session = Session::new([7; 32], self.max_plain);
    }

    /// One request in as many exchanges as it needs.
    pub fn ask(&mut self, request: &Request) -> Result<Response, Killed> {
        self.transfer += 1;
        let mut call = Call::new(request, self.max_plain, self.transfer);
        loop {
            let message = call.next().unwrap();
            assert!(message.len() <= self.max_plain, "a message of {} bytes", message.len());
            let reply = self.exchange(&message)?;
            assert!(reply.len() <= self.max_plain, "a reply of {} bytes", reply.len());
            match call.handle(&reply).unwrap() {
                Progress::More => {}
                Progress::Done(response) => return Ok(response),
            }
        }
    }

    pub fn exchange(&mut self, message: &[u8]) -> Result<Vec<u8>, Killed> {
        self.exchanges += 1;
        self.bytes_sent += message.len();
        let now = self.now();
        let step = self.device.handle(&mut self.session, message, Network::Connected, now);
        Ok(self.run(step, true)?.expect("a request has a reply"))
    }

    pub fn tell(&mut self, event: RegistrationEvent) -> Result<(), Killed> {
        let step = self.device.registration(event);
        self.run(step, false).map(|_| ())
    }

    pub fn assign(&mut self, hub: &str) -> Result<(), Killed> {
        self.tell(RegistrationEvent::Assigned(assigned(hub)))
    }

    pub fn fail(&mut self) -> Result<(), Killed> {
        self.tell(RegistrationEvent::Failed(Failure {
            code: FailureCode::Credential,
            text: "Unauthorized".to_owned(),
            dps_error_code: 401_002,
        }))
    }

    pub fn advance(&mut self, by: Duration) -> Result<(), Killed> {
        self.since_boot += by;
        while self.device.next_timeout().is_some_and(|at| at <= self.since_boot) {
            let step = self.device.tick(self.now());
            self.run(step, false)?;
        }
        Ok(())
    }

    /// What flash says about the configuration in force, read as a boot would.
    pub fn in_flash(&self) -> Option<(Config, Option<Assigned>)> {
        DpsConfig::boot(self.settings.clone(), self.flash.as_deref()).unwrap().in_force()
    }

    pub fn run(&mut self, mut step: Step, asked: bool) -> Result<Option<Vec<u8>>, Killed> {
        loop {
            let result = match step {
                Step::Reply(reply) => return Ok(Some(reply)),
                Step::Done => return Ok(None),
                Step::Perform(effect) => self.perform(effect)?,
            };
            let now = self.now();
            step = if asked {
                self.device.resume(Some(&mut self.session), result, now)
            } else {
                self.device.resume(None, result, now)
            };
        }
    }

    fn perform(&mut self, effect: Effect) -> Result<EffectResult, Killed> {
        Ok(match effect {
            Effect::Persist(record) => {
                if self.fail_writes {
                    return Ok(EffectResult::Failed);
                }
                self.writes += 1;
                if self.kill == Some(Kill::BeforeWrite(self.writes)) {
                    return Err(Killed);
                }
                self.flash = Some(record.to_vec());
                if self.kill == Some(Kill::AfterWrite(self.writes)) {
                    return Err(Killed);
                }
                EffectResult::Done
            }
            Effect::MakeCsr => EffectResult::Csr(vec![0x30; 240]),
            Effect::CheckLeaf(leaf) => EffectResult::Answer(leaf == OWN_LEAF),
            // The tests' signatures are the message behind the key.
            Effect::VerifyOwner { public_key, message, signature } => {
                EffectResult::Answer(signature == [public_key, message].concat())
            }
            Effect::StartRegistration(config) => {
                self.hub = None;
                self.registering = Some(config);
                EffectResult::Done
            }
            Effect::StopRegistration => {
                self.hub = None;
                self.registering = None;
                EffectResult::Done
            }
            Effect::UseHub { config, assigned, issued_chain } => {
                self.registering = None;
                self.hub = Some((config, assigned));
                self.issued_chain = issued_chain;
                EffectResult::Done
            }
        })
    }
}

pub fn settings() -> Settings {
    let mut settings = Settings::new(REGISTRATION_ID);
    settings.model = "Pump 3".to_owned();
    settings.firmware = "1.4.2".to_owned();
    settings
}

pub fn assigned(hub: &str) -> Assigned {
    Assigned {
        hub: hub.to_owned(),
        device_id: REGISTRATION_ID.to_owned(),
        substatus: "initialAssignment".to_owned(),
        certificate_ends: 0,
    }
}

/// A config with a chain of 1.2 kB.
pub fn x509(id_scope: &str) -> Config {
    Config {
        id_scope: id_scope.to_owned(),
        global_device_endpoint: "global.azure-devices-provisioning.net".to_owned(),
        registration_id: REGISTRATION_ID.to_owned(),
        credential: Some(Credential::X509(X509Credential {
            certificate_chain: vec![OWN_LEAF.to_vec(), vec![0x31; 500]],
        })),
        endpoint_ca: Vec::new(),
        owner_public_key: Vec::new(),
        certificate_from_dps: false,
    }
}

pub fn symmetric(id_scope: &str) -> Config {
    Config { credential: Some(Credential::SymmetricKey(SymmetricKeyCredential { key: vec![5; 32] })), ..x509(id_scope) }
}

pub fn result(response: &Response) -> dps_config::Result {
    response.result()
}
