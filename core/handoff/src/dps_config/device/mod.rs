//! The device's side of `dps-config`: a transaction that a loss of power cannot leave half done.
//!
//! Stage → commit → trial (the new configuration is in force, the old one kept) → assigned, or rolled back. Bytes,
//! events and time go in; replies and [`Effect`]s come out. A reply that says something is kept leaves only after the
//! shell has confirmed that it is.

mod effect;
mod session;

use std::{
    collections::VecDeque,
    hash::{Hash, Hasher},
    time::Duration,
};

use prost::Message as _;

use self::session::Received;
pub use self::{
    effect::{Effect, EffectResult, Failure, RegistrationEvent},
    session::Session,
};
pub use super::state::StateError;
use super::{
    AbortResponse, Attestation, CommitRequest, CommitResponse, Config, CsrResponse, DEFAULT_MAX_CONFIG, DIGEST_LEN,
    HANDOFF_ID_LEN, IdentifyResponse, MAX_LEASE_S, MIN_LEASE_S, NONCE_LEN, Network, Phase, Request, ResetResponse,
    Response, Result as Code, StageRequest, StageResponse, StatusResponse, check_config, config, digest, owner_key_id,
    request, reset_signature_message, response, stage_signature_message, state,
};
use crate::wire::{
    device_state::{Ended, Kept, PersistentState, Staged},
    dps_config::{Assigned, Failed, FailureCode},
};

/// Who the device is and what it can do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// As on the label.
    pub registration_id: String,
    /// Shown by the app.
    pub model: String,
    /// Shown by the app.
    pub firmware: String,
    /// Best first.
    pub attestations: Vec<Attestation>,
    /// Whether the shell answers [`Effect::VerifyOwner`]; false: signatures are not asked for.
    pub checks_owner: bool,
    /// Longest encoded `Config`, and longest chunked request, in bytes.
    pub max_config: usize,
    /// What the status answer recommends while the device registers, in milliseconds.
    pub poll_after_ms: u32,
    /// TPM 2.0 endorsement key and storage root key (TPM2B_PUBLIC); empty without a TPM.
    pub tpm_keys: (Vec<u8>, Vec<u8>),
    /// Whether the shell asks DPS for a certificate where a configuration says so, and renews it.
    pub certificate_from_dps: bool,
}

impl Settings {
    /// A device with this registration ID that can do X.509 and symmetric keys and does not check owners.
    #[must_use]
    pub fn new(registration_id: &str) -> Self {
        Self {
            registration_id: registration_id.to_owned(),
            model: String::new(),
            firmware: String::new(),
            attestations: vec![Attestation::X509, Attestation::SymmetricKey],
            checks_owner: false,
            max_config: DEFAULT_MAX_CONFIG,
            poll_after_ms: 500,
            tpm_keys: (Vec::new(), Vec::new()),
            certificate_from_dps: false,
        }
    }
}

/// The time, as the device knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the device started; leases run on this.
    pub since_boot: Duration,
    /// Seconds since 1970-01-01 UTC, where the device knows them.
    pub unix_s: Option<u64>,
}

impl Now {
    /// A device without a clock.
    #[must_use]
    pub fn since_boot(since_boot: Duration) -> Self {
        Self { since_boot, unix_s: None }
    }
}

/// What to do next.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "handed on at once and never kept in numbers")]
pub enum Step {
    /// Answer the request with these bytes (a plaintext: seal it).
    Reply(Vec<u8>),
    /// Do this, then call `resume` with what came of it. Nothing else is taken meanwhile.
    Perform(Effect),
    /// Nothing.
    Done,
}

/// The transaction of one device. It outlives connections; each has its own [`Session`].
///
/// `Clone` and `Hash` are for tests that explore every order of events; two of a hash behave alike while no effect is
/// being performed.
#[derive(Debug, Clone)]
pub struct DpsConfig {
    settings: Settings,
    /// What is in flash.
    state: PersistentState,
    /// When the staged hand-off's lease ends, since boot.
    lease_ends: Option<Duration>,
    trial: Trial,
    pending: Option<Pending>,
    /// Events that came while an effect was being performed.
    waiting: VecDeque<RegistrationEvent>,
}

/// What a trial has come to; forgotten by a reboot, which starts the registration again.
#[derive(Debug, Default, Clone, Hash)]
struct Trial {
    registering: bool,
    attempts: u32,
    /// The trial ended and its end could not be written.
    unkept: Option<Failed>,
}

/// What an effect is performed for.
#[derive(Debug, Clone)]
enum Pending {
    Persist { next: Box<PersistentState>, then: Then },
    StageOwner { stage: Box<Staged>, leaf: Option<Vec<u8>> },
    StageLeaf { stage: Box<Staged> },
    ResetOwner,
    IdentifyCsr(Box<IdentifyResponse>),
    Csr,
    Effects { rest: VecDeque<Effect>, answer: Option<Box<Response>> },
}

/// What follows a write.
#[derive(Debug, Clone)]
enum Then {
    /// An expired lease was dropped; now the request.
    Request(Box<Asked>),
    Expired,
    Staged,
    Committed,
    Aborted {
        trial: bool,
    },
    Reset {
        answer: bool,
    },
    Assigned,
    RolledBack(Failed),
}

#[derive(Debug, Clone)]
struct Asked {
    request: Request,
    nonce: [u8; NONCE_LEN],
    wrong_proofs: u32,
    network: Network,
}

enum Outcome {
    Answer(Response),
    Perform(Effect),
    Done,
}

impl DpsConfig {
    /// The device as it starts, with what it wrote last (`None`: nothing was ever written). Then call
    /// [`start`](Self::start).
    ///
    /// # Errors
    /// [`StateError`]: what is in flash is not a state.
    pub fn boot(settings: Settings, persisted: Option<&[u8]>) -> Result<Self, StateError> {
        Ok(Self {
            settings,
            state: persisted.map(state::decode).transpose()?.unwrap_or_default(),
            lease_ends: None,
            trial: Trial::default(),
            pending: None,
            waiting: VecDeque::new(),
        })
    }

    /// What the state asks for after boot: go on with a registration, use the hub that is known, or nothing. A staged
    /// hand-off's lease starts again in full, because the device may not know how long it was off.
    pub fn start(&mut self, now: Now) -> Step {
        self.lease_ends = self.state.staged.as_ref().map(|staged| lease_end(staged, now));
        let step = self.take_up(None);
        self.finish(step, None)
    }

    /// Takes one opened request of a session. `network`: what identify says about it.
    pub fn handle(&mut self, session: &mut Session, request: &[u8], network: Network, now: Now) -> Step {
        if self.pending.is_some() {
            return Step::Reply(session.aside(&busy(1)));
        }
        let outcome = match session.receive(request, self.settings.max_config) {
            Received::Reply(reply) => return Step::Reply(reply),
            Received::Request(request) => {
                let (nonce, wrong_proofs) = (session.nonce(), session.wrong_proofs());
                let asked = Asked { request: *request, nonce, wrong_proofs, network };
                match self.expired(now) {
                    Some(next) => self.persist(next, Then::Request(Box::new(asked))),
                    None => self.request(asked, now),
                }
            }
        };
        self.finish(outcome, Some(session))
    }

    /// Says what came of the effect. `session`: the one whose request led to it; `None` for an effect without a request
    /// or when the connection is gone (its reply is dropped, what was done stays done).
    pub fn resume(&mut self, session: Option<&mut Session>, result: EffectResult, now: Now) -> Step {
        let outcome = match self.pending.take() {
            Some(pending) => self.performed(pending, result, now),
            None => Outcome::Done,
        };
        self.finish(outcome, session)
    }

    /// Takes what came of the registration that [`Effect::StartRegistration`] asked for.
    pub fn registration(&mut self, event: RegistrationEvent) -> Step {
        if self.pending.is_some() {
            self.waiting.push_back(event);
            return Step::Done;
        }
        let outcome = self.registered(event);
        self.finish(outcome, None)
    }

    /// Does what time asks for: call it at [`next_timeout`](Self::next_timeout).
    pub fn tick(&mut self, now: Now) -> Step {
        if self.pending.is_some() {
            return Step::Done;
        }
        let outcome = match self.expired(now) {
            Some(next) => self.persist(next, Then::Expired),
            None => match self.waiting.pop_front() {
                Some(event) => self.registered(event),
                None => Outcome::Done,
            },
        };
        self.finish(outcome, None)
    }

    /// When [`tick`](Self::tick) is due, since boot.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        if self.waiting.is_empty() { self.lease_ends } else { Some(Duration::ZERO) }
    }

    /// The device's button: configuration, credential and owner go, whoever the owner is. While an effect is being
    /// performed, nothing happens: resume first.
    pub fn button_reset(&mut self) -> Step {
        if self.pending.is_some() {
            return Step::Done;
        }
        let outcome = self.persist(PersistentState::default(), Then::Reset { answer: false });
        self.finish(outcome, None)
    }

    /// The configuration in force, and the hub it was assigned (`None`: the trial still runs).
    #[must_use]
    pub fn in_force(&self) -> Option<(Config, Option<Assigned>)> {
        let kept = self.state.in_force.as_ref()?;
        Some((decode_config(&kept.config), kept.assigned.clone()))
    }

    /// What [`Request::Status`](request::Body::Status) would answer, for the device's own display.
    #[must_use]
    pub fn status(&self) -> StatusResponse {
        let (phase, handoff_id, digest) = match (&self.state.staged, &self.state.in_force) {
            (Some(staged), _) => (Phase::Staged, &staged.handoff_id, &staged.digest),
            (None, Some(kept)) if kept.assigned.is_none() => {
                let phase = match (&self.trial.unkept, self.trial.registering) {
                    (Some(_), _) => Phase::Failed,
                    (None, true) => Phase::Registering,
                    (None, false) => Phase::Connecting,
                };
                (phase, &kept.handoff_id, &kept.digest)
            }
            (None, kept) => match (self.failed(), kept) {
                (Some(ended), _) => (Phase::Failed, &ended.handoff_id, &ended.digest),
                (None, Some(kept)) => (Phase::Assigned, &kept.handoff_id, &kept.digest),
                (None, None) => return StatusResponse::default(),
            },
        };
        let mut status = StatusResponse {
            phase: phase.into(),
            handoff_id: handoff_id.clone(),
            digest: digest.clone(),
            ..StatusResponse::default()
        };
        match phase {
            Phase::Connecting | Phase::Registering => {
                status.poll_after_ms = self.settings.poll_after_ms;
                status.attempts = self.trial.attempts;
            }
            Phase::Assigned => {
                status.assigned = self.state.in_force.as_ref().and_then(|kept| kept.assigned.clone());
            }
            Phase::Failed => {
                status.failed =
                    self.trial.unkept.clone().or_else(|| self.failed().and_then(|ended| ended.failed.clone()));
            }
            Phase::Empty | Phase::Staged => {}
        }
        status
    }

    fn failed(&self) -> Option<&Ended> {
        self.state.last.as_ref().filter(|ended| ended.failed.is_some())
    }

    fn in_trial(&self) -> bool {
        self.trial.unkept.is_none() && self.state.in_force.as_ref().is_some_and(|kept| kept.assigned.is_none())
    }

    fn owner(&self) -> &[u8] {
        self.state.in_force.as_ref().map_or(&[], |kept| &kept.owner_public_key)
    }

    // ---- requests --------------------------------------------------------------------------------------------

    fn request(&mut self, asked: Asked, now: Now) -> Outcome {
        let Asked { request, nonce, wrong_proofs, network } = asked;
        match request.body {
            Some(request::Body::Identify(identify)) => {
                self.identify(identify.with_csr, nonce, wrong_proofs, network, now)
            }
            Some(request::Body::Csr(_)) if !self.can_x509() => refuse(Code::Unsupported, "this device makes no CSR"),
            Some(request::Body::Csr(_)) => self.perform(Effect::MakeCsr, Pending::Csr),
            Some(request::Body::Stage(stage)) => self.stage(stage, &nonce, now),
            Some(request::Body::Commit(commit)) => self.commit(&commit),
            Some(request::Body::Abort(abort)) => self.abort(&abort.handoff_id),
            Some(request::Body::Status(_)) => answer(response::Body::Status(self.status())),
            Some(request::Body::Reset(reset)) => {
                if !self.settings.checks_owner || self.owner().is_empty() {
                    return self.reset();
                }
                if reset.owner_signature.is_empty() || has_passed(reset.signature_expires, now) {
                    return refuse(Code::NotOwner, "the reset is not signed by the owner");
                }
                let effect = Effect::VerifyOwner {
                    public_key: self.owner().to_vec(),
                    message: reset_signature_message(&self.settings.registration_id, &nonce, reset.signature_expires),
                    signature: reset.owner_signature,
                };
                self.perform(effect, Pending::ResetOwner)
            }
            Some(request::Body::Chunk(_) | request::Body::More(_)) | None => refuse(Code::Invalid, "an empty request"),
        }
    }

    fn can_x509(&self) -> bool {
        self.settings.attestations.contains(&Attestation::X509)
    }

    fn identify(
        &mut self,
        with_csr: bool,
        nonce: [u8; NONCE_LEN],
        wrong_proofs: u32,
        network: Network,
        now: Now,
    ) -> Outcome {
        let status = self.status();
        let kept = self.state.in_force.as_ref();
        let lease_left = self.lease_ends.map_or(Duration::ZERO, |end| end.saturating_sub(now.since_boot));
        let owner = self.owner();
        let response = IdentifyResponse {
            registration_id: self.settings.registration_id.clone(),
            model: self.settings.model.clone(),
            firmware: self.settings.firmware.clone(),
            attestations: self.settings.attestations.iter().map(|a| (*a).into()).collect(),
            nonce: nonce.to_vec(),
            phase: status.phase,
            active_handoff_id: kept.map(|kept| kept.handoff_id.clone()).unwrap_or_default(),
            active_digest: kept.map(|kept| kept.digest.clone()).unwrap_or_default(),
            staged_handoff_id: self.state.staged.as_ref().map(|staged| staged.handoff_id.clone()).unwrap_or_default(),
            staged_lease_left_s: seconds_up(lease_left),
            owner_key_id: if owner.is_empty() { Vec::new() } else { owner_key_id(owner).to_vec() },
            checks_owner: self.settings.checks_owner,
            network: network.into(),
            csr: Vec::new(),
            tpm_endorsement_key: self.settings.tpm_keys.0.clone(),
            tpm_storage_root_key: self.settings.tpm_keys.1.clone(),
            wrong_proofs,
            certificate_from_dps: self.settings.certificate_from_dps,
        };
        if with_csr && self.can_x509() {
            self.perform(Effect::MakeCsr, Pending::IdentifyCsr(Box::new(response)))
        } else {
            answer(response::Body::Identify(response))
        }
    }

    fn stage(&mut self, stage: StageRequest, nonce: &[u8; NONCE_LEN], now: Now) -> Outcome {
        let Ok(handoff_id) = <[u8; HANDOFF_ID_LEN]>::try_from(stage.handoff_id.as_slice()) else {
            return refuse(Code::Invalid, "the hand-off ID has not 16 bytes");
        };
        if !(MIN_LEASE_S..=MAX_LEASE_S).contains(&stage.lease_s) {
            return refuse(Code::Invalid, "the lease is not 10 to 86400 seconds");
        }
        let Ok(digest_sent) = <[u8; DIGEST_LEN]>::try_from(stage.digest.as_slice()) else {
            return refuse(Code::Invalid, "the digest has not 32 bytes");
        };
        if stage.config.len() > self.settings.max_config {
            return refuse(Code::TooLarge, "the config is too long");
        }
        if digest(&stage.config) != digest_sent {
            return refuse(Code::DigestMismatch, "the digest is not that of the config");
        }
        if let Some(refusal) = self.in_the_way(&handoff_id, &digest_sent, now) {
            return refusal;
        }
        if let Some(kept) = &self.state.in_force
            && kept.handoff_id == handoff_id
            && kept.digest == digest_sent
            && self.trial.unkept.is_none()
        {
            // Committed before: a repeat whose answer was lost. There is nothing to stage.
            return answer(response::Body::Stage(StageResponse {
                digest: digest(&kept.config).to_vec(),
                lease_s: stage.lease_s,
            }));
        }
        let config = match Config::decode(stage.config.as_slice()) {
            Ok(config) => config,
            Err(_) => return refuse(Code::Invalid, "the config cannot be decoded"),
        };
        if let Err(refused) = check_config(&config, &self.settings.registration_id, &self.settings.attestations) {
            return refuse(refused.code, refused.text);
        }
        let leaf = match &config.credential {
            Some(config::Credential::X509(x509)) => x509.certificate_chain.first().cloned(),
            _ => None,
        };
        let staged = Box::new(Staged {
            handoff_id: stage.handoff_id,
            digest: stage.digest,
            config: stage.config,
            lease_s: stage.lease_s,
        });
        if self.settings.checks_owner && !self.owner().is_empty() {
            if stage.owner_signature.is_empty() || has_passed(stage.signature_expires, now) {
                return refuse(Code::NotOwner, "the hand-off is not signed by the owner");
            }
            let effect = Effect::VerifyOwner {
                public_key: self.owner().to_vec(),
                message: stage_signature_message(
                    &self.settings.registration_id,
                    &handoff_id,
                    nonce,
                    &config,
                    &digest_sent,
                    stage.signature_expires,
                ),
                signature: stage.owner_signature,
            };
            return self.perform(effect, Pending::StageOwner { stage: staged, leaf });
        }
        self.stage_owned(staged, leaf, now)
    }

    /// Another hand-off that must end first.
    fn in_the_way(&self, handoff_id: &[u8], digest: &[u8], now: Now) -> Option<Outcome> {
        if let (Some(staged), Some(end)) = (&self.state.staged, self.lease_ends)
            && staged.handoff_id != handoff_id
        {
            return Some(Outcome::Answer(busy(seconds_up(end.saturating_sub(now.since_boot)))));
        }
        let kept = self.state.in_force.as_ref()?;
        (self.in_trial() && (kept.handoff_id != handoff_id || kept.digest != digest)).then(|| Outcome::Answer(busy(30)))
    }

    fn stage_owned(&mut self, stage: Box<Staged>, leaf: Option<Vec<u8>>, now: Now) -> Outcome {
        match leaf {
            Some(leaf) => self.perform(Effect::CheckLeaf(leaf), Pending::StageLeaf { stage }),
            None => self.keep_staged(*stage, now),
        }
    }

    fn keep_staged(&mut self, stage: Staged, now: Now) -> Outcome {
        if self.state.staged.as_ref() == Some(&stage) {
            // A repeat: flash has it, only the lease starts again.
            return self.staged(now);
        }
        let next = PersistentState { staged: Some(stage), ..self.state.clone() };
        self.persist(next, Then::Staged)
    }

    fn staged(&mut self, now: Now) -> Outcome {
        let Some(staged) = &self.state.staged else {
            return refuse(Code::Internal, "nothing is staged");
        };
        self.lease_ends = Some(lease_end(staged, now));
        answer(response::Body::Stage(StageResponse {
            digest: digest(&staged.config).to_vec(),
            lease_s: staged.lease_s,
        }))
    }

    fn commit(&mut self, commit: &CommitRequest) -> Outcome {
        if commit.handoff_id.len() != HANDOFF_ID_LEN || commit.digest.len() != DIGEST_LEN {
            return refuse(Code::Invalid, "the hand-off ID or the digest has a wrong length");
        }
        if let Some(staged) = &self.state.staged
            && staged.handoff_id == commit.handoff_id
        {
            if staged.digest != commit.digest {
                return refuse(Code::DigestMismatch, "another config is staged");
            }
            let own = decode_config(&staged.config).owner_public_key;
            let in_force = Kept {
                handoff_id: staged.handoff_id.clone(),
                digest: staged.digest.clone(),
                config: staged.config.clone(),
                assigned: None,
                owner_public_key: if own.is_empty() { self.owner().to_vec() } else { own },
                issued_chain: Vec::new(),
            };
            // Only a configuration that has worked is worth going back to.
            let previous = match &self.state.in_force {
                Some(kept) if kept.assigned.is_some() => Some(kept.clone()),
                _ => self.state.previous.clone(),
            };
            let next = PersistentState { in_force: Some(in_force), previous, staged: None, last: None };
            return self.persist(next, Then::Committed);
        }
        // A repeat whose answer was lost: what became of it is for status to say.
        let kept = self.state.in_force.as_ref().map(|kept| (&kept.handoff_id, &kept.digest));
        let failed = self.failed().map(|ended| (&ended.handoff_id, &ended.digest));
        for (handoff_id, digest) in [kept, failed].into_iter().flatten() {
            if *handoff_id == commit.handoff_id {
                if *digest != commit.digest {
                    return refuse(Code::DigestMismatch, "another config was committed");
                }
                return answer(response::Body::Commit(CommitResponse { digest: digest.clone() }));
            }
        }
        refuse(Code::UnknownHandoff, "no such hand-off is staged")
    }

    fn abort(&mut self, handoff_id: &[u8]) -> Outcome {
        if handoff_id.len() != HANDOFF_ID_LEN {
            return refuse(Code::Invalid, "the hand-off ID has not 16 bytes");
        }
        if let Some(staged) = &self.state.staged
            && staged.handoff_id == handoff_id
        {
            let next = PersistentState {
                staged: None,
                last: Some(Ended {
                    handoff_id: staged.handoff_id.clone(),
                    digest: staged.digest.clone(),
                    failed: None,
                }),
                ..self.state.clone()
            };
            return self.persist(next, Then::Aborted { trial: false });
        }
        if let Some(kept) = &self.state.in_force
            && kept.handoff_id == handoff_id
        {
            if kept.assigned.is_some() {
                return refuse(Code::Unsupported, "this hand-off is assigned already");
            }
            let next = PersistentState {
                in_force: self.state.previous.clone(),
                previous: None,
                staged: self.state.staged.clone(),
                last: Some(Ended { handoff_id: kept.handoff_id.clone(), digest: kept.digest.clone(), failed: None }),
            };
            return self.persist(next, Then::Aborted { trial: true });
        }
        match &self.state.last {
            Some(ended) if ended.handoff_id == handoff_id => answer(response::Body::Abort(AbortResponse {})),
            _ => refuse(Code::UnknownHandoff, "no such hand-off is staged"),
        }
    }

    fn reset(&mut self) -> Outcome {
        self.persist(PersistentState::default(), Then::Reset { answer: true })
    }

    // ---- effects ---------------------------------------------------------------------------------------------

    fn perform(&mut self, effect: Effect, pending: Pending) -> Outcome {
        self.pending = Some(pending);
        Outcome::Perform(effect)
    }

    fn persist(&mut self, next: PersistentState, then: Then) -> Outcome {
        let record = state::encode(&next);
        let next = Box::new(next);
        self.perform(Effect::Persist(record), Pending::Persist { next, then })
    }

    fn effects(&mut self, effects: impl IntoIterator<Item = Effect>, answer: Option<Response>) -> Outcome {
        let mut rest: VecDeque<Effect> = effects.into_iter().collect();
        match (rest.pop_front(), answer) {
            (Some(effect), answer) => {
                let answer = answer.map(Box::new);
                self.perform(effect, Pending::Effects { rest, answer })
            }
            (None, Some(answer)) => Outcome::Answer(answer),
            (None, None) => Outcome::Done,
        }
    }

    fn performed(&mut self, pending: Pending, result: EffectResult, now: Now) -> Outcome {
        let held = matches!(result, EffectResult::Answer(true));
        match pending {
            Pending::Persist { next, then } => match result {
                EffectResult::Done => self.persisted(*next, then, now),
                _ => self.not_persisted(then, now),
            },
            Pending::StageOwner { stage, leaf } if held => self.stage_owned(stage, leaf, now),
            Pending::ResetOwner if held => self.reset(),
            Pending::StageOwner { .. } | Pending::ResetOwner => {
                refuse(Code::NotOwner, "the signature is not the owner's")
            }
            Pending::StageLeaf { stage } if held => self.keep_staged(*stage, now),
            Pending::StageLeaf { .. } => refuse(Code::Credential, "the leaf certificate is not for this device's key"),
            Pending::IdentifyCsr(mut identify) => match result {
                EffectResult::Csr(csr) => {
                    identify.csr = csr;
                    answer(response::Body::Identify(*identify))
                }
                _ => refuse(Code::Internal, "no CSR could be made"),
            },
            Pending::Csr => match result {
                EffectResult::Csr(csr) => answer(response::Body::Csr(CsrResponse { csr })),
                _ => refuse(Code::Internal, "no CSR could be made"),
            },
            Pending::Effects { rest, answer } => self.effects(rest, answer.map(|answer| *answer)),
        }
    }

    /// The new state is in flash.
    fn persisted(&mut self, next: PersistentState, then: Then, now: Now) -> Outcome {
        let was_in_force = self.state.in_force.is_some();
        self.state = next;
        if self.state.staged.is_none() {
            self.lease_ends = None;
        }
        match then {
            Then::Request(asked) => self.request(*asked, now),
            Then::Expired => Outcome::Done,
            Then::Staged => self.staged(now),
            Then::Committed => {
                let digest = self.state.in_force.as_ref().map(|kept| kept.digest.clone());
                let committed = CommitResponse { digest: digest.unwrap_or_default() };
                self.take_up(Some(ok(response::Body::Commit(committed))))
            }
            Then::Aborted { trial } => {
                let aborted = Some(ok(response::Body::Abort(AbortResponse {})));
                if !trial {
                    return self.effects(None, aborted);
                }
                self.trial = Trial::default();
                let stop = Some(Effect::StopRegistration);
                self.effects(stop.into_iter().chain(self.take_up_effect()), aborted)
            }
            Then::Reset { answer } => {
                self.trial = Trial::default();
                let answer = answer.then(|| ok(response::Body::Reset(ResetResponse {})));
                self.effects(was_in_force.then_some(Effect::StopRegistration), answer)
            }
            Then::Assigned | Then::RolledBack(_) => self.take_up(None),
        }
    }

    /// Flash refused; what was in force still is.
    fn not_persisted(&mut self, then: Then, now: Now) -> Outcome {
        match then {
            // Dropped from memory only: the next write drops it from flash, and a reboot starts its lease again.
            Then::Request(asked) => {
                self.forget_staged();
                self.request(*asked, now)
            }
            Then::Expired => {
                self.forget_staged();
                Outcome::Done
            }
            Then::Assigned => {
                self.trial.unkept = Some(Failed {
                    code: FailureCode::Storage.into(),
                    text: "assigned, but the hub could not be stored".to_owned(),
                    dps_error_code: 0,
                    rolled_back: false,
                });
                Outcome::Done
            }
            Then::RolledBack(failed) => {
                self.trial.unkept = Some(Failed { rolled_back: false, ..failed });
                Outcome::Done
            }
            Then::Reset { answer: false } => Outcome::Done,
            Then::Staged | Then::Committed | Then::Aborted { .. } | Then::Reset { answer: true } => {
                refuse(Code::Storage, "flash could not be written")
            }
        }
    }

    fn forget_staged(&mut self) {
        self.state.staged = None;
        self.lease_ends = None;
    }

    /// Acts on what is in force now.
    fn take_up(&mut self, answer: Option<Response>) -> Outcome {
        self.trial = Trial::default();
        self.effects(self.take_up_effect(), answer)
    }

    /// Registers what is in force, or uses its hub.
    fn take_up_effect(&self) -> Option<Effect> {
        let kept = self.state.in_force.as_ref()?;
        let config = decode_config(&kept.config);
        Some(match kept.assigned.clone() {
            Some(assigned) => Effect::UseHub { config, assigned, issued_chain: kept.issued_chain.clone() },
            None => Effect::StartRegistration(config),
        })
    }

    fn finish(&mut self, outcome: Outcome, session: Option<&mut Session>) -> Step {
        match (outcome, session) {
            (Outcome::Perform(effect), _) => Step::Perform(effect),
            (Outcome::Answer(response), Some(session)) => Step::Reply(session.answer(&response)),
            (Outcome::Answer(_), None) | (Outcome::Done, _) => Step::Done,
        }
    }

    // ---- registration and time -------------------------------------------------------------------------------

    fn registered(&mut self, event: RegistrationEvent) -> Outcome {
        let Some(kept) = &self.state.in_force else {
            return Outcome::Done;
        };
        let trial = kept.assigned.is_none();
        match event {
            RegistrationEvent::Connecting | RegistrationEvent::Registering => {
                let registering = matches!(event, RegistrationEvent::Registering);
                self.trial.attempts =
                    if self.trial.registering == registering { self.trial.attempts.saturating_add(1) } else { 1 };
                self.trial.registering = registering;
                Outcome::Done
            }
            RegistrationEvent::Assigned(assigned) => self.assigned(assigned, Vec::new()),
            RegistrationEvent::Issued { assigned, chain } => self.assigned(assigned, chain),
            // A device that was assigned keeps its configuration: its own DPS client tries again later.
            RegistrationEvent::Failed(_) if !trial => Outcome::Done,
            RegistrationEvent::Failed(failure) => {
                let failed = failure.into_wire();
                let next = PersistentState {
                    in_force: self.state.previous.clone(),
                    previous: None,
                    staged: self.state.staged.clone(),
                    last: Some(Ended {
                        handoff_id: kept.handoff_id.clone(),
                        digest: kept.digest.clone(),
                        failed: Some(failed.clone()),
                    }),
                };
                self.persist(next, Then::RolledBack(failed))
            }
        }
    }

    fn assigned(&mut self, assigned: Assigned, issued_chain: Vec<Vec<u8>>) -> Outcome {
        let Some(kept) = &self.state.in_force else {
            return Outcome::Done;
        };
        let trial = kept.assigned.is_none();
        if kept.assigned.as_ref() == Some(&assigned) && kept.issued_chain == issued_chain {
            return Outcome::Done;
        }
        let next = PersistentState {
            in_force: Some(Kept { assigned: Some(assigned), issued_chain, ..kept.clone() }),
            previous: None,
            staged: self.state.staged.clone(),
            last: self.state.last.clone().filter(|_| !trial),
        };
        self.persist(next, Then::Assigned)
    }

    /// The state without a staged hand-off whose lease is over.
    fn expired(&self, now: Now) -> Option<PersistentState> {
        self.lease_ends.filter(|end| *end <= now.since_boot)?;
        Some(PersistentState { staged: None, ..self.state.clone() })
    }
}

impl Hash for DpsConfig {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.state.hash(to);
        self.lease_ends.hash(to);
        self.trial.hash(to);
        self.pending.is_some().hash(to);
        self.waiting.len().hash(to);
    }
}

fn lease_end(staged: &Staged, now: Now) -> Duration {
    now.since_boot + Duration::from_secs(staged.lease_s.min(MAX_LEASE_S).into())
}

/// Whole seconds, rounded up, so that 0 means over.
fn seconds_up(left: Duration) -> u32 {
    let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX)
}

/// A device without a clock relies on the nonce alone.
fn has_passed(expires: u64, now: Now) -> bool {
    now.unix_s.is_some_and(|unix_s| unix_s > expires)
}

/// A config that was checked when it was kept.
fn decode_config(config: &[u8]) -> Config {
    Config::decode(config).unwrap_or_default()
}

fn ok(body: response::Body) -> Response {
    Response { body: Some(body), ..Response::default() }
}

fn answer(body: response::Body) -> Outcome {
    Outcome::Answer(ok(body))
}

fn refuse(code: Code, text: &str) -> Outcome {
    Outcome::Answer(refusal(code, text))
}

fn refusal(code: Code, text: &str) -> Response {
    Response { result: code.into(), text: text.to_owned(), ..Response::default() }
}

fn busy(retry_after_s: u32) -> Response {
    Response { retry_after_s, ..refusal(Code::Busy, "another hand-off is under way") }
}
