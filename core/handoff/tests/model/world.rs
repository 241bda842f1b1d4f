//! What is explored: the device's real transaction and session, apps that use the real client, and what lies between.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use lowtouch_handoff::dps_config::client::{self, Call, Progress};
use lowtouch_handoff::dps_config::device::{
    DpsConfig, Effect, EffectResult, Failure, Now, RegistrationEvent, Session, Settings, Step,
};
use lowtouch_handoff::dps_config::{
    Assigned, Config, FailureCode, Network, Phase, Request, Response, Result as Said, StatusResponse,
    SymmetricKeyCredential, config::Credential, response,
};
use prost::Message as _;

pub const RID: &str = "pump-0001";
const LEASE_S: u32 = 60;

/// What may happen, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub name: &'static str,
    /// Installers, each with a hand-off of its own.
    pub apps: u8,
    /// The device was assigned before.
    pub was_assigned: bool,
    /// DPS may refuse the new configuration.
    pub refuses: bool,
    /// Every try of an app brings another credential, so another digest, as certificates do.
    pub new_credentials: bool,
    /// Longest plaintext, in bytes.
    pub max_plain: usize,
    /// Messages lost, in either direction; each costs the connection.
    pub losses: u8,
    /// Requests that arrive once more, at any later time.
    pub copies: u8,
    /// Also in a later session, which only Security 0 lets happen.
    pub across_sessions: bool,
    /// Losses of the device's power: at rest, before a write, after a write.
    pub power_cuts: u8,
    /// Apps killed.
    pub kills: u8,
    /// Leases that run out before their commit.
    pub expiries: u8,
    /// Presses of the device's button.
    pub buttons: u8,
    /// Writes that the device's flash refuses.
    pub refused_writes: u8,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The app (re)starts, connects and identifies.
    Start(usize),
    /// The app's request arrives.
    Deliver(usize, Power),
    /// The reply reaches the app.
    Answer(usize),
    /// The request or the reply under way is lost, and the connection with it.
    Lose(usize),
    /// The request arrives now, and once more later.
    Copy(usize),
    /// It arrives once more.
    Again(usize, Power),
    Kill(usize),
    PowerCut,
    Assign(Power),
    Refuse(Power),
    /// The lease's end passes.
    LateNow,
    /// The device's timer.
    Tick(Power),
    Button(Power),
}

/// What the device's power and flash do meanwhile; writes count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    Stays,
    CutBefore(u8),
    CutAfter(u8),
    RefusesWrite(u8),
}

/// What the app's journal holds: what a kill leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Journal {
    pub digest: Option<[u8; 32]>,
    pub staged: bool,
    pub committing: bool,
    pub committed: bool,
    pub said: Option<Ending>,
    /// Which credential the API gave last.
    pub credential: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    Assigned,
    Failed { rolled_back: bool },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ever {
    pub staged: bool,
    pub in_force: bool,
    pub assigned: bool,
    pub failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asking {
    Identify,
    Position,
    Stage,
    /// `taken_up`: staged by an earlier run.
    Commit {
        taken_up: bool,
    },
    Status,
}

#[derive(Clone)]
pub struct App {
    pub journal: Journal,
    session: Option<Session>,
    doing: Option<(Asking, Call)>,
    /// Which number the call's chunks carry, and whether it began anew.
    transfer: u32,
    restarted: bool,
    request: Option<Vec<u8>>,
    reply: Option<Vec<u8>>,
}

#[derive(Clone)]
pub struct World {
    bounds: &'static Bounds,
    device: DpsConfig,
    pub flash: Option<Vec<u8>>,
    /// Since the device started. It stands still but for leases that run out.
    clock: Duration,
    /// What the device's DPS client registers with.
    registering: Option<Vec<u8>>,
    /// What the device works with.
    hub: Option<Vec<u8>>,
    pub apps: Vec<App>,
    /// Requests that will arrive once more.
    copies: Vec<(usize, Vec<u8>)>,
    left: [u8; 7],
    /// What was ever true of each app's hand-off in flash.
    pub ever: Vec<Ever>,
    pub button_pressed: bool,
    /// The timer of a lease ran, and something was staged afterwards.
    pub staged_after_its_lease: bool,
    /// Most writes in one step since it was last set to 0; no part of the state.
    writes: u8,
}

const LOSS: usize = 0;
const COPY: usize = 1;
const CUT: usize = 2;
const KILL: usize = 3;
const EXPIRY: usize = 4;
const BUTTON: usize = 5;
const WRITE: usize = 6;

enum Driven {
    Reply(Vec<u8>),
    Quiet,
    PowerLost,
}

fn settings() -> Settings {
    Settings::new(RID)
}

pub fn handoff_id(app: usize) -> [u8; 16] {
    [0xa0 + app as u8; 16]
}

fn config(scope: u8, credential: u8) -> Config {
    Config {
        id_scope: format!("0ne{scope:08X}"),
        global_device_endpoint: "dps".to_owned(),
        registration_id: RID.to_owned(),
        credential: Some(Credential::SymmetricKey(SymmetricKeyCredential { key: vec![credential; 16] })),
        endpoint_ca: Vec::new(),
        owner_public_key: Vec::new(),
        certificate_from_dps: false,
    }
}

fn assigned(config: &Config) -> Assigned {
    Assigned {
        hub: format!("{}.hub", config.id_scope),
        device_id: RID.to_owned(),
        substatus: String::new(),
        certificate_ends: 0,
    }
}

/// Everything that a device may hold whole: nothing, the old configuration, one of an app's.
pub fn whole(bounds: &Bounds) -> Vec<Config> {
    let mut all = vec![config(0xff, 9)];
    for app in 0..bounds.apps {
        all.extend([config(app, 0), config(app, 1)]);
    }
    all
}

impl World {
    pub fn new(bounds: &'static Bounds) -> Self {
        let mut world = Self {
            bounds,
            device: DpsConfig::boot(settings(), None).unwrap(),
            flash: None,
            clock: Duration::ZERO,
            registering: None,
            hub: None,
            apps: vec![
                App {
                    journal: Journal::default(),
                    session: None,
                    doing: None,
                    transfer: 0,
                    restarted: false,
                    request: None,
                    reply: None,
                };
                bounds.apps.into()
            ],
            copies: Vec::new(),
            left: [
                bounds.losses,
                bounds.copies,
                bounds.power_cuts,
                bounds.kills,
                bounds.expiries,
                bounds.buttons,
                bounds.refused_writes,
            ],
            ever: vec![Ever::default(); bounds.apps.into()],
            button_pressed: false,
            staged_after_its_lease: false,
            writes: 0,
        };
        if bounds.was_assigned {
            let mut session = Session::new([0; 32], 496);
            let (stage, digest) = client::stage(&[0xee; 16], LEASE_S, &config(0xff, 9), None);
            for request in [stage, client::commit(&[0xee; 16], &digest)] {
                let step = world.device.handle(&mut session, &request.encode_to_vec(), Network::Connected, world.now());
                world.drive(step, Some(&mut session), Power::Stays);
            }
            world.device_event(RegistrationEvent::Assigned(assigned(&config(0xff, 9))), Power::Stays);
        }
        world
    }

    pub fn in_force(&self) -> Option<(Config, Option<Assigned>)> {
        DpsConfig::boot(settings(), self.flash.as_deref()).unwrap().in_force()
    }

    pub fn in_flash(&self) -> StatusResponse {
        DpsConfig::boot(settings(), self.flash.as_deref()).unwrap().status()
    }

    /// The configuration that the device acts on, registering or with a hub.
    pub fn acts_on(&self) -> Option<&Vec<u8>> {
        self.registering.as_ref().or(self.hub.as_ref())
    }

    pub fn ram_in_force(&self) -> Option<Vec<u8>> {
        self.device.in_force().map(|(config, _)| config.encode_to_vec())
    }

    pub fn has_staged(&self) -> bool {
        self.in_flash().phase() == Phase::Staged
    }

    fn now(&self) -> Now {
        Now::since_boot(self.clock)
    }

    /// The lease's end has passed and the device has not noticed.
    fn late(&self) -> bool {
        self.device.next_timeout().is_some_and(|end| end <= self.clock)
    }

    pub fn ended(&self) -> bool {
        self.apps.iter().all(|app| app.journal.said.is_some())
    }

    // ---- what can happen -----------------------------------------------------------------------------------------

    /// Adds what can happen next.
    pub fn actions(&self, actions: &mut Vec<Action>) {
        let mut powered = |action: fn(usize, Power) -> Action, app: usize, writes: u8| {
            actions.push(action(app, Power::Stays));
            for write in 1..=writes {
                if self.left[CUT] > 0 {
                    actions.extend([action(app, Power::CutBefore(write)), action(app, Power::CutAfter(write))]);
                }
                if self.left[WRITE] > 0 {
                    actions.push(action(app, Power::RefusesWrite(write)));
                }
            }
        };
        for (number, app) in self.apps.iter().enumerate() {
            if app.request.is_some() {
                powered(Action::Deliver, number, self.writes(Action::Deliver(number, Power::Stays)));
            }
        }
        for number in 0..self.copies.len() {
            powered(Action::Again, number, self.writes(Action::Again(number, Power::Stays)));
        }
        if self.registering.is_some() {
            powered(|_, power| Action::Assign(power), 0, 1);
            let new = self.in_force().is_some_and(|(config, _)| config.id_scope != "0ne000000FF");
            if self.bounds.refuses && new {
                powered(|_, power| Action::Refuse(power), 0, 1);
            }
        }
        if self.late() {
            powered(|_, power| Action::Tick(power), 0, 1);
        }
        if self.left[BUTTON] > 0 {
            powered(|_, power| Action::Button(power), 0, 1);
        }
        for (number, app) in self.apps.iter().enumerate() {
            if app.doing.is_none() && app.journal.said.is_none() {
                actions.push(Action::Start(number));
            }
            if app.reply.is_some() {
                actions.push(Action::Answer(number));
            }
            if self.left[LOSS] > 0 && (app.request.is_some() || app.reply.is_some()) {
                actions.push(Action::Lose(number));
            }
            if self.left[COPY] > 0 && app.request.is_some() {
                actions.push(Action::Copy(number));
            }
            if self.left[KILL] > 0 && app.doing.is_some() {
                actions.push(Action::Kill(number));
            }
        }
        if self.left[CUT] > 0 {
            actions.push(Action::PowerCut);
        }
        if self.left[EXPIRY] > 0 && !self.late() && self.device.next_timeout().is_some() {
            actions.push(Action::LateNow);
        }
    }

    /// Whether the apps come to their ends, one after the other in this order, when nothing fails any more.
    pub fn rerun_ends(&self, order: &[usize]) -> bool {
        /// Steps of one app; it needs some 20, with parts of 64 bytes some 40.
        const MOST: usize = 200;
        let mut world = self.clone();
        for &app in order {
            for _ in 0..MOST {
                match world.fair(app) {
                    Some(action) => world.act(action),
                    None => break,
                }
            }
        }
        world.ended()
    }

    /// What goes on by itself, with this app alone. `None`: it has heard the device's last word.
    fn fair(&self, number: usize) -> Option<Action> {
        let app = &self.apps[number];
        if app.journal.said.is_some() {
            None
        } else if self.late() {
            Some(Action::Tick(Power::Stays))
        } else if app.reply.is_some() {
            Some(Action::Answer(number))
        } else if app.request.is_some() {
            Some(Action::Deliver(number, Power::Stays))
        } else if self.registering.is_some() {
            Some(Action::Assign(Power::Stays))
        } else {
            Some(Action::Start(number))
        }
    }

    fn writes(&self, action: Action) -> u8 {
        if self.left[CUT] == 0 && self.left[WRITE] == 0 {
            return 0;
        }
        let mut probe = self.clone();
        probe.left[CUT] = 0;
        probe.writes = 0;
        probe.act(action);
        probe.writes
    }

    pub fn act(&mut self, action: Action) {
        match action {
            Action::Start(app) => self.start(app),
            Action::Deliver(app, power) => self.deliver(app, power),
            Action::Answer(app) => {
                let reply = self.apps[app].reply.take().unwrap();
                self.answer(app, &reply);
            }
            Action::Lose(app) => {
                self.left[LOSS] -= 1;
                self.reconnect(app);
            }
            Action::Copy(app) => {
                self.left[COPY] -= 1;
                self.copies.push((app, self.apps[app].request.clone().unwrap()));
                self.deliver(app, Power::Stays);
            }
            Action::Again(number, power) => {
                let (app, request) = self.copies.remove(number);
                // Nobody listens without a connection.
                if let Some(mut session) = self.apps[app].session.take() {
                    let now = self.now();
                    let step = self.device.handle(&mut session, &request, Network::Connected, now);
                    let driven = self.drive(step, Some(&mut session), power);
                    if !matches!(driven, Driven::PowerLost) {
                        self.apps[app].session = Some(session);
                    }
                }
            }
            Action::Kill(app) => {
                self.left[KILL] -= 1;
                self.stop(app);
            }
            Action::PowerCut => {
                self.left[CUT] -= 1;
                self.reboot();
            }
            Action::Assign(power) => {
                let config = Config::decode(self.registering.as_deref().unwrap_or_default()).unwrap();
                self.device_event(RegistrationEvent::Assigned(assigned(&config)), power);
            }
            Action::Refuse(power) => {
                let refused =
                    Failure { code: FailureCode::Credential, text: "Unauthorized".to_owned(), dps_error_code: 401_002 };
                self.device_event(RegistrationEvent::Failed(refused), power);
            }
            Action::LateNow => {
                self.left[EXPIRY] -= 1;
                self.clock = self.device.next_timeout().unwrap();
            }
            Action::Tick(power) => {
                let step = self.device.tick(self.now());
                self.drive(step, None, power);
                self.staged_after_its_lease |= power == Power::Stays && self.has_staged();
            }
            Action::Button(power) => {
                self.left[BUTTON] -= 1;
                self.button_pressed = true;
                let step = self.device.button_reset();
                self.drive(step, None, power);
            }
        }
    }

    fn note(&mut self) {
        let Some(flash) = self.flash.as_deref() else { return };
        let device = DpsConfig::boot(settings(), Some(flash)).unwrap();
        let status = device.status();
        for (app, ever) in self.ever.iter_mut().enumerate() {
            let of_app = |config: &Config| config.id_scope == format!("0ne{app:08X}");
            if let Some((config, assigned)) = device.in_force()
                && of_app(&config)
            {
                ever.in_force = true;
                ever.assigned |= assigned.is_some();
            }
            if status.handoff_id == handoff_id(app) {
                ever.staged |= status.phase() == Phase::Staged;
                ever.failed |= status.phase() == Phase::Failed;
            }
        }
    }

    // ---- the device ----------------------------------------------------------------------------------------------

    fn deliver(&mut self, app: usize, power: Power) {
        let request = self.apps[app].request.take().unwrap();
        let mut session = self.apps[app].session.take().unwrap();
        let step = self.device.handle(&mut session, &request, Network::Connected, self.now());
        if let Driven::Reply(reply) = self.drive(step, Some(&mut session), power) {
            self.apps[app].session = Some(session);
            self.apps[app].reply = Some(reply);
        }
    }

    fn device_event(&mut self, event: RegistrationEvent, power: Power) {
        self.registering = None;
        let step = self.device.registration(event);
        self.drive(step, None, power);
    }

    fn drive(&mut self, mut step: Step, mut session: Option<&mut Session>, power: Power) -> Driven {
        let mut write = 0;
        loop {
            let result = match step {
                Step::Reply(reply) => return Driven::Reply(reply),
                Step::Done => return Driven::Quiet,
                Step::Perform(Effect::Persist(record)) => {
                    write += 1;
                    self.writes = self.writes.max(write);
                    if power == Power::CutBefore(write) {
                        self.left[CUT] -= 1;
                        self.reboot();
                        return Driven::PowerLost;
                    }
                    if power == Power::RefusesWrite(write) {
                        self.left[WRITE] -= 1;
                        EffectResult::Failed
                    } else {
                        self.flash = Some(record.to_vec());
                        self.note();
                        if power == Power::CutAfter(write) {
                            self.left[CUT] -= 1;
                            self.reboot();
                            return Driven::PowerLost;
                        }
                        EffectResult::Done
                    }
                }
                Step::Perform(Effect::StartRegistration(config)) => {
                    (self.registering, self.hub) = (Some(config.encode_to_vec()), None);
                    EffectResult::Done
                }
                Step::Perform(Effect::UseHub { config, .. }) => {
                    (self.registering, self.hub) = (None, Some(config.encode_to_vec()));
                    EffectResult::Done
                }
                Step::Perform(Effect::StopRegistration) => {
                    (self.registering, self.hub) = (None, None);
                    EffectResult::Done
                }
                Step::Perform(effect) => panic!("{effect:?} is not part of this model"),
            };
            step = self.device.resume(session.as_deref_mut(), result, self.now());
        }
    }

    fn reboot(&mut self) {
        self.device = DpsConfig::boot(settings(), self.flash.as_deref()).unwrap();
        (self.registering, self.hub, self.clock) = (None, None, Duration::ZERO);
        let step = self.device.start(self.now());
        self.drive(step, None, Power::Stays);
        for app in 0..self.apps.len() {
            self.reconnect(app);
        }
    }

    // ---- the app, as core/installer/src/pairing/run.rs has it ----------------------------------------------------

    fn start(&mut self, app: usize) {
        let session = self.new_session(app);
        self.apps[app].session = Some(session);
        self.ask(app, Asking::Identify);
    }

    fn new_session(&mut self, app: usize) -> Session {
        self.drop_copies(app);
        Session::new([7; 32], self.bounds.max_plain)
    }

    /// What is under way in a session cannot be opened in the next.
    fn drop_copies(&mut self, app: usize) {
        if !self.bounds.across_sessions {
            self.copies.retain(|(of, _)| *of != app);
        }
    }

    /// The connection is gone: a new one, and the same call once more.
    fn reconnect(&mut self, app: usize) {
        if let Some((asking, _)) = self.apps[app].doing {
            let session = self.new_session(app);
            self.apps[app].session = Some(session);
            self.apps[app].reply = None;
            self.ask(app, asking);
        }
    }

    fn stop(&mut self, app: usize) {
        self.drop_copies(app);
        let app = &mut self.apps[app];
        (app.session, app.doing, app.request, app.reply) = (None, None, None, None);
    }

    fn ask(&mut self, number: usize, asking: Asking) {
        let app = &mut self.apps[number];
        let id = handoff_id(number);
        let digest = app.journal.digest.unwrap_or_default();
        let request: Request = match asking {
            Asking::Identify => client::identify(false),
            Asking::Position | Asking::Status => client::status(),
            Asking::Stage => client::stage(&id, LEASE_S, &config(number as u8, app.journal.credential), None).0,
            Asking::Commit { .. } => client::commit(&id, &digest),
        };
        app.transfer = 3 - app.transfer.max(1);
        app.restarted = false;
        let mut call = Call::new(&request, self.bounds.max_plain, app.transfer);
        app.request = call.next();
        app.doing = Some((asking, call));
    }

    fn answer(&mut self, number: usize, reply: &[u8]) {
        let app = &mut self.apps[number];
        let (asking, mut call) = app.doing.take().unwrap();
        app.restarted |= Response::decode(reply).is_ok_and(|response| response.result() == Said::ChunkOrder);
        match call.handle(reply) {
            Ok(Progress::More) => {
                app.request = call.next();
                app.doing = Some((asking, call));
            }
            Ok(Progress::Done(response)) => self.answered(number, asking, response),
            Err(_) => self.stop(number),
        }
    }

    fn answered(&mut self, number: usize, asking: Asking, response: Response) {
        let ours = handoff_id(number);
        let said = response.result();
        let journal = &mut self.apps[number].journal;
        let known = journal.digest;
        match (asking, response.body) {
            (Asking::Identify, Some(response::Body::Identify(identify))) => {
                let active = identify.active_handoff_id == ours;
                if active && known.is_none_or(|known| identify.active_digest == known) {
                    self.ask(number, Asking::Status);
                } else if journal.committing {
                    self.ask(number, Asking::Position);
                } else if known.is_some() && identify.staged_handoff_id == ours {
                    self.commit(number, true);
                } else {
                    self.stage(number);
                }
            }
            (Asking::Position, Some(response::Body::Status(status))) => {
                if status.handoff_id == ours && status.phase() != Phase::Staged {
                    self.ask(number, Asking::Status);
                } else if known.is_some() && status.handoff_id == ours {
                    self.commit(number, true);
                } else {
                    self.stage(number);
                }
            }
            (Asking::Stage, Some(response::Body::Stage(staged))) => {
                assert_eq!(Some(&staged.digest[..]), known.as_ref().map(|known| &known[..]));
                journal.staged = true;
                self.commit(number, false);
            }
            (Asking::Commit { .. }, Some(response::Body::Commit(committed))) => {
                assert_eq!(Some(&committed.digest[..]), known.as_ref().map(|known| &known[..]));
                journal.committed = true;
                self.ask(number, Asking::Status);
            }
            (Asking::Commit { taken_up: true }, None)
                if matches!(said, Said::UnknownHandoff | Said::DigestMismatch) =>
            {
                self.stage(number);
            }
            (Asking::Status, Some(response::Body::Status(status))) if status.handoff_id == ours => {
                match status.phase() {
                    Phase::Assigned => journal.said = Some(Ending::Assigned),
                    Phase::Failed => {
                        let rolled_back = status.failed.is_some_and(|failed| failed.rolled_back);
                        journal.said = Some(Ending::Failed { rolled_back });
                    }
                    // Asked again by and by; here: after a restart, so that asking in vain is no state of its own.
                    _ => {}
                }
                self.stop(number);
            }
            // A refusal, or somebody else's hand-off: this run ends, the next one begins with identify.
            _ => self.stop(number),
        }
    }

    fn stage(&mut self, number: usize) {
        let journal = &mut self.apps[number].journal;
        if self.bounds.new_credentials {
            journal.credential = 1 - journal.credential;
        }
        let (_, digest) = client::stage(&handoff_id(number), LEASE_S, &config(number as u8, journal.credential), None);
        journal.digest = Some(digest);
        self.ask(number, Asking::Stage);
    }

    fn commit(&mut self, number: usize, taken_up: bool) {
        self.apps[number].journal.committing = true;
        self.ask(number, Asking::Commit { taken_up });
    }
}

impl Hash for App {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.journal.hash(to);
        self.session.hash(to);
        (&self.request, &self.reply, self.transfer, self.restarted).hash(to);
        if let Some((asking, call)) = &self.doing {
            // What it would send next says where it stands.
            (asking, call.clone().next()).hash(to);
        }
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.device.hash(to);
        (&self.flash, self.clock, &self.registering, &self.hub, &self.apps).hash(to);
        (&self.copies, self.left, &self.ever, self.button_pressed, self.staged_after_its_lease).hash(to);
    }
}

/// For stateright's stories, which replay actions and look for the state that a fingerprint was of.
impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let of = |world: &Self| {
            let mut hasher = std::hash::DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        of(self) == of(other)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let journals: Vec<_> = self.apps.iter().map(|app| &app.journal).collect();
        f.debug_struct("World")
            .field("phase", &self.in_flash().phase())
            .field("in_force", &self.in_force().map(|(config, assigned)| (config.id_scope.clone(), assigned.is_some())))
            .field("journals", &journals)
            .field("ever", &self.ever)
            .finish_non_exhaustive()
    }
}
