//! The steps of a pairing, one after the other.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lowtouch_handoff::dps_config::{self, IdentifyResponse, Network, Phase, StatusResponse, response};
use lowtouch_handoff::proto_ver::ProtoVer;
use lowtouch_links::{Link, Traffic};
use provisioning_api_contract as wire;
use uuid::Uuid;

use super::context::Context;
use super::hand_off::{self, Credential};
use super::owner::{self, Ownership, ownership};
use super::refusal::{of_failed, of_response, shown};
use super::talk::{Chosen, Talk, choose, is_lost};
use super::{LinkFrom, Overrides, PairRequest, Paired, network, radio, slot};
use crate::api::ProvisioningApi;
use crate::error::{ErrorCode, PairingError};
use crate::events::{DevicePhase, PairingEvent, Step, WaitingFor, Warning};
use crate::fault::{Message, Point, Write};
use crate::installer::Installer;
use crate::journal::{self, DeviceLock, DeviceSaid, DpsSaid, Entry, Given, Journal, Sent, State, label_key};

/// How often a session that the device does not answer in is made anew for one call.
const RECONNECTS: u32 = 2;

/// How often a link that dropped is opened again for one call: a bad radio drops many, a long call is many exchanges.
const RECONNECTS_AFTER_DROPS: u32 = 200;

/// How often a signed hand-off is signed again because the link was lost on its way, and with it the nonce.
const SIGNED_AGAIN: u32 = 40;

/// How far this machine's clock and DPS's may differ.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(10);

/// How long DPS is asked what became of a device that is out of reach, while a person stands there.
const ASK_DPS_WITHIN: Duration = Duration::from_secs(120);

/// How long an API is given to answer that may well be out of reach.
const ONE_TRY: Duration = Duration::from_secs(10);

/// Once a pairing is cancelled the device is told at most this long.
const ABORT_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn run(
    mut context: Context,
    installer: Installer,
    request: PairRequest,
    link: Option<Box<dyn Link>>,
) -> Result<Paired, PairingError> {
    let api = installer.api.clone().ok_or(ErrorCode::ApiNotSet)?;
    context.endpoint = installer.endpoint.clone();
    if let Some(wifi) = &request.wifi {
        wifi.check()?;
    }
    let shown_link = link.as_ref().map_or_else(|| request.link.to_string(), |link| link.describe());
    let journal = installer.journal.clone();
    let (lock, (entry, resumed)) = context
        .step(Step::Discover, WaitingFor::Journal, installer.deadlines.discover, async {
            let lock = journal.lock(&label_key(&request.label))?;
            let begun = context.write(Write::Begin, journal.begin(&request.label, &shown_link, None)).await?;
            Ok((lock, begun))
        })
        .await?;
    let mut run = Run {
        context,
        installer,
        journal,
        api,
        shown_link,
        entry,
        locks: vec![lock],
        to_commit: None,
        staged: false,
        nonce: (0, Vec::new()),
        without_api: false,
        layouts: None,
    };
    run.started(&request, resumed);

    let from = match link {
        Some(link) => LinkFrom::Open(link),
        None => LinkFrom::address(&request.link, run.installer.radio.as_ref()),
    };
    let mut talk = None;
    let outcome = run.with_device(&request, from, &mut talk).await;
    let outcome = match outcome {
        Err(error) if is_lost(&error) => run.without_device(error).await,
        other => other,
    };
    let outcome = match outcome {
        Ok(ended) => {
            let link = talk.as_ref().map_or_else(|| run.shown_link.clone(), Talk::describe);
            let traffic = talk.as_ref().map(Talk::traffic).unwrap_or_default();
            run.record(ended, link, traffic).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = &outcome {
        run.failed(error, talk.as_mut()).await;
    }
    if let Some(layouts) = run.layouts.take() {
        layouts.keep().await;
    }
    if let Some(mut talk) = talk {
        talk.close().await;
    }
    outcome
}

struct Run {
    context: Context,
    installer: Installer,
    journal: Journal,
    api: Arc<dyn ProvisioningApi>,
    shown_link: String,
    entry: Entry,
    locks: Vec<DeviceLock>,
    /// Exchanges until the commit was acknowledged.
    to_commit: Option<u64>,
    /// Staged and not committed.
    staged: bool,
    /// The device's nonce, and the session that it is of.
    nonce: (u64, Vec<u8>),
    /// It goes by what was downloaded: the API is told once, and otherwise later.
    without_api: bool,
    /// Of the device's Bluetooth services.
    layouts: Option<radio::Layouts>,
}

/// How a registration ended.
enum Ended {
    Assigned { hub: String, device_id: String, substatus: Option<String> },
    Failed(PairingError),
}

/// How far an earlier run of this hand-off came, as the device says.
enum Position {
    New,
    Staged([u8; dps_config::DIGEST_LEN]),
    Committed,
}

impl Run {
    fn id(&self) -> Uuid {
        self.entry.handoff_id
    }

    fn started(&self, request: &PairRequest, resumed: bool) {
        self.context.span.record("handoff_id", tracing::field::display(self.id()));
        self.context.emit(PairingEvent::Started {
            handoff_id: self.id(),
            resumed,
            name: request.label.name.clone(),
            link: self.shown_link.clone(),
        });
    }

    async fn with_device(
        &mut self,
        request: &PairRequest,
        from: LinkFrom,
        open: &mut Option<Talk>,
    ) -> Result<Ended, PairingError> {
        let deadlines = self.installer.deadlines;
        let context = self.context.clone();
        let from = radio::found(&context, from, deadlines.connect).await?;
        self.layouts = Some(radio::Layouts::recall(&self.journal, &from).await);

        let (talk, device) = context
            .step(Step::Connect, WaitingFor::Device, deadlines.connect, async {
                let exchanges = context.exchanges.clone();
                let talk = open.insert(Talk::open(from, deadlines.exchange, deadlines.connect, exchanges).await?);
                let device = talk.proto_ver().await?;
                Ok((talk, device))
            })
            .await?;
        let chosen = self.choose(request, &device)?;

        let attempt = |attempt| context.emit(PairingEvent::Reconnecting { attempt });
        let secure = talk.secure(&chosen, attempt);
        let warning = context.step(Step::Secure, WaitingFor::Device, deadlines.secure, secure).await?;
        context.emit(PairingEvent::Secured { security: chosen.security });
        if let Some(warning) = warning {
            context.warn(warning);
        }

        let (identify, position) = context
            .step(Step::Identify, WaitingFor::Device, deadlines.identify, self.identify(request, talk, &chosen))
            .await?;

        match position {
            Position::Committed => {
                if self.entry.given.is_none() {
                    let allocate = self.allocate(request, &identify, talk, &chosen, false);
                    context.step(Step::Allocate, WaitingFor::Api, deadlines.allocate, allocate).await?;
                }
            }
            Position::Staged(digest) => {
                let work = self.commit(talk, &chosen, digest);
                let committed = context.step(Step::HandOff, WaitingFor::Device, deadlines.hand_off, work).await;
                match committed {
                    Ok(()) => {}
                    // The lease ran out meanwhile, or something else was staged: from the start, with the same ID.
                    Err(error) if matches!(error.code, ErrorCode::HandoffExpired | ErrorCode::DigestMismatch) => {
                        self.whole(request, &identify, talk, &chosen).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
            Position::New => self.whole(request, &identify, talk, &chosen).await?,
        }

        context.step(Step::Confirm, WaitingFor::Cloud, deadlines.confirm, self.confirm(talk, &chosen)).await
    }

    fn choose(&self, request: &PairRequest, device: &ProtoVer) -> Result<Chosen, PairingError> {
        let at = |error: PairingError| error.at(Step::Connect);
        let chosen = choose(&request.label, device, request.security).map_err(at)?;
        for warning in &chosen.warnings {
            self.context.warn(warning.clone());
        }
        match &device.lowtouch {
            None => Err(at(ErrorCode::DpsConfigMissing.into())),
            Some(lowtouch) if lowtouch.ver != dps_config::VERSION => {
                let detail = format!("dps-config {}", shown(&lowtouch.ver));
                Err(at(PairingError::with_detail(ErrorCode::DeviceUnsupported, detail)))
            }
            Some(_) => Ok(chosen),
        }
    }

    // ---- identify ------------------------------------------------------------------------------------------------

    async fn identify(
        &mut self,
        request: &PairRequest,
        talk: &mut Talk,
        chosen: &Chosen,
    ) -> Result<(IdentifyResponse, Position), PairingError> {
        // The CSR in the same exchange, unless it cannot be needed.
        let may_x509 = request.attestations.is_empty() || request.attestations.contains(&wire::Attestation::X509);
        let fresh = self.entry.acknowledged.committing_at.is_none();
        let answer = self.call(talk, chosen, &dps_config::client::identify(may_x509 && fresh)).await?;
        let Some(response::Body::Identify(identify)) = answer.body else { return Err(no_body()) };
        self.nonce = (talk.sessions(), identify.nonce.clone());
        if !is_registration_id(&identify.registration_id) {
            return Err(ErrorCode::RegistrationIdInvalid.into());
        }
        let registration_id = identify.registration_id.clone();
        if self.entry.registration_id.as_ref().is_some_and(|known| !known.eq_ignore_ascii_case(&registration_id)) {
            // Another device whose label has the same name: its pairing is another one.
            let begin = self.journal.begin(&request.label, &self.shown_link, Some(&registration_id));
            let (entry, resumed) = self.context.write(Write::Begin, begin).await?;
            self.entry = entry;
            self.started(request, resumed);
        }
        self.locks.push(self.journal.lock(&journal::device_key(&registration_id))?);
        let (model, firmware) = (shown(&identify.model), shown(&identify.firmware));
        let identified = self.journal.identified(self.id(), &registration_id, &model, &firmware);
        self.context.write(Write::Identified, identified).await?;
        self.entry.registration_id = Some(registration_id.clone());
        self.context.span.record("registration_id", registration_id.as_str());
        self.context.emit(PairingEvent::DeviceIdentified {
            registration_id,
            model,
            firmware,
            attestations: hand_off::attestations(&identify),
            phase: phase_of(identify.phase),
        });
        for warning in owner::warnings(&identify) {
            self.context.warn(warning);
        }
        let position = self.position(talk, chosen, &identify).await?;
        Ok((identify, position))
    }

    async fn position(
        &mut self,
        talk: &mut Talk,
        chosen: &Chosen,
        identify: &IdentifyResponse,
    ) -> Result<Position, PairingError> {
        let id = self.id();
        let ours = id.as_bytes().as_slice();
        let known = self.entry.acknowledged.digest.as_deref().and_then(digest_of);
        if identify.active_handoff_id == ours && known.is_none_or(|known| identify.active_digest == known) {
            return Ok(Position::Committed);
        }
        if self.entry.acknowledged.committing_at.is_some() {
            // The commit may have arrived and the device may have rolled back since: its status says so.
            let status = self.status(talk, chosen).await?;
            if status.handoff_id == ours && status.phase() != Phase::Staged {
                return Ok(Position::Committed);
            }
        }
        match known {
            Some(known) if identify.staged_handoff_id == ours && self.entry.given.is_some() => {
                Ok(Position::Staged(known))
            }
            _ => Ok(Position::New),
        }
    }

    // ---- allocate, network, hand off -----------------------------------------------------------------------------

    async fn whole(
        &mut self,
        request: &PairRequest,
        identify: &IdentifyResponse,
        talk: &mut Talk,
        chosen: &Chosen,
    ) -> Result<(), PairingError> {
        let deadlines = self.installer.deadlines;
        let context = self.context.clone();
        let allocate = self.allocate(request, identify, talk, chosen, true);
        let given = context.step(Step::Allocate, WaitingFor::Api, deadlines.allocate, allocate).await?;
        let Some((allocation, credential, owner)) = given else { return Err(ErrorCode::Internal.into()) };
        slot::wait(&context, &allocation).await?;
        let (allocation, sent) = self.overridden(allocation, owner.signed)?;

        let wants =
            identify.network() == Network::Needed || (identify.network() == Network::Unknown && request.wifi.is_some());
        if wants {
            let Some(wifi) = &request.wifi else {
                return Err(PairingError::new(ErrorCode::NetworkNeeded).at(Step::Network));
            };
            network::step(&context, talk, chosen, wifi, &deadlines).await?;
        }

        let work = async {
            let (mut stage, digest) = hand_off::stage(self.id(), &allocation, &credential, owner.new_owner, identify)?;
            let shown_digest = hex::encode(digest);
            self.context.write(Write::Prepared, self.journal.prepared(self.id(), &shown_digest, &sent)).await?;
            self.entry.sent = Some(sent);
            let answer = if owner.signed {
                self.stage_signed(identify, talk, chosen, &mut stage, &digest).await
            } else {
                self.call(talk, chosen, &stage).await
            };
            hand_off::wipe(&mut stage);
            let Some(response::Body::Stage(staged)) = answer?.body else { return Err(no_body()) };
            if staged.digest != digest {
                return Err(ErrorCode::DigestMismatch.into());
            }
            self.staged = true;
            self.context.pass(Point::AfterSend(Message::Stage)).await;
            self.context.write(Write::Staged, self.journal.staged(self.id())).await?;
            self.commit(talk, chosen, digest).await
        };
        context.step(Step::HandOff, WaitingFor::Device, deadlines.hand_off, work).await
    }

    /// What the device is sent: what the API gave, but for what settings replace. Both stay in the journal.
    fn overridden(
        &self,
        mut allocation: wire::Allocation,
        signed: bool,
    ) -> Result<(wire::Allocation, Sent), PairingError> {
        let Overrides { id_scope, global_device_endpoint } = &self.installer.overrides;
        let mut warnings = Vec::new();
        if let Some(sent) = id_scope.as_ref().filter(|sent| **sent != allocation.id_scope) {
            let given = std::mem::replace(&mut allocation.id_scope, sent.clone());
            warnings.push(Warning::IdScopeOverridden { given, sent: sent.clone() });
        }
        if let Some(sent) = global_device_endpoint.as_ref().filter(|sent| **sent != allocation.global_device_endpoint) {
            let given = std::mem::replace(&mut allocation.global_device_endpoint, sent.clone());
            warnings.push(Warning::EndpointOverridden { given, sent: sent.clone() });
        }
        if signed && !warnings.is_empty() {
            // The owner signs what the API allocated and nothing else, so the device would refuse.
            return Err(PairingError::new(ErrorCode::OverrideRefused).at(Step::HandOff));
        }
        warnings.into_iter().for_each(|warning| self.context.warn(warning));
        let sent = Sent {
            id_scope: allocation.id_scope.clone(),
            global_device_endpoint: allocation.global_device_endpoint.clone(),
        };
        Ok((allocation, sent))
    }

    /// Stages with the owner's signature. It is for one session only: when the link was lost on the way, the device has a
    /// new nonce, and the owner is asked again.
    async fn stage_signed(
        &mut self,
        device: &IdentifyResponse,
        talk: &mut Talk,
        chosen: &Chosen,
        stage: &mut dps_config::Request,
        digest: &[u8; dps_config::DIGEST_LEN],
    ) -> Result<dps_config::Response, PairingError> {
        let mut again = 0;
        loop {
            if self.nonce.0 != talk.sessions() {
                let answer = self.call(talk, chosen, &dps_config::client::identify(false)).await?;
                let Some(response::Body::Identify(identify)) = answer.body else { return Err(no_body()) };
                self.nonce = (talk.sessions(), identify.nonce);
            }
            let ask = owner::ask(self.id(), &self.nonce.1, digest, &device.owner_key_id);
            let rid = device.registration_id.as_str();
            let answer = self.context.api(Step::HandOff, || self.api.owner_signature(rid, &ask)).await?;
            hand_off::sign(stage, owner::signature(&answer)?);
            match self.call(talk, chosen, stage).await {
                Err(error)
                    if error.code == ErrorCode::NotOwner && self.nonce.0 != talk.sessions() && again < SIGNED_AGAIN =>
                {
                    again += 1;
                }
                other => return other,
            }
        }
    }

    /// Where the device belongs, by the API or, where it cannot be reached, by what was downloaded; then with its key.
    async fn ask_where(
        &mut self,
        rid: &str,
        ask: &wire::AllocationRequest,
    ) -> Result<(wire::Allocation, Option<String>), PairingError> {
        let sealed = self.installer.sealed(rid).await.filter(|sealed| {
            // Not what an earlier run of this pairing was given: then the device may hold that already.
            self.entry.given.is_none() && ask.attestations.contains(&sealed.device.allocation.attestation)
        });
        let Some(sealed) = sealed else {
            let allocation = self.context.api(Step::Allocate, || self.api.allocate(rid, ask)).await?;
            return Ok((allocation, None));
        };
        // One try: what was downloaded is there so that nobody waits for a network.
        let answer = tokio::time::timeout(ONE_TRY, self.api.allocate(rid, ask)).await;
        let code = match answer {
            Ok(Ok(allocation)) => return Ok((allocation, None)),
            Ok(Err(error)) => match error.code {
                ErrorCode::ApiUnreachable | ErrorCode::ApiTimeout | ErrorCode::Offline => error.code,
                _ => return Err(error),
            },
            Err(_) => ErrorCode::ApiTimeout,
        };
        tracing::info!(%code, order = %sealed.order, "paired with what was downloaded");
        self.context.emit(PairingEvent::Unsealed { order: sealed.order });
        self.without_api = true;
        Ok((sealed.device.allocation, Some(sealed.device.key)))
    }

    /// `with_credential` false: only to learn again where the device belongs.
    async fn allocate(
        &mut self,
        request: &PairRequest,
        identify: &IdentifyResponse,
        talk: &mut Talk,
        chosen: &Chosen,
        with_credential: bool,
    ) -> Result<Option<(wire::Allocation, Credential, Ownership)>, PairingError> {
        let attestations = hand_off::usable(identify, &request.attestations);
        if attestations.is_empty() {
            return Err(ErrorCode::NoAttestation.into());
        }
        let (id, rid) = (self.id(), identify.registration_id.as_str());
        let ask = wire::AllocationRequest {
            handoff_id: id,
            attestations,
            model: Some(shown(&identify.model)).filter(|model| !model.is_empty()),
            firmware: Some(shown(&identify.firmware)).filter(|firmware| !firmware.is_empty()),
            tpm: hand_off::tpm_keys(identify),
            certificate_from_dps: identify.certificate_from_dps,
        };
        let (allocation, sealed_key) = self.ask_where(rid, &ask).await?;
        hand_off::check(&allocation, rid, &ask.attestations)?;
        // Before a credential is made for it and anything is sent to it.
        let owner = match with_credential {
            true => {
                let (owner, warning) = ownership(identify, &allocation)?;
                warning.into_iter().for_each(|warning| self.context.warn(warning));
                owner
            }
            false => Ownership { new_owner: Vec::new(), signed: false },
        };
        let given = Given {
            at: Timestamp::now(),
            dps_instance: allocation.dps_instance.clone(),
            id_scope: allocation.id_scope.clone(),
            global_device_endpoint: allocation.global_device_endpoint.clone(),
            attestation: allocation.attestation,
        };
        self.context.write(Write::Given, self.journal.given(id, &given)).await?;
        self.entry.given = Some(given);
        self.context.emit(PairingEvent::Allocated {
            dps_instance: allocation.dps_instance.clone(),
            id_scope: allocation.id_scope.clone(),
            global_device_endpoint: allocation.global_device_endpoint.clone(),
            attestation: allocation.attestation,
        });
        if !with_credential {
            return Ok(None);
        }
        let credential = match allocation.attestation {
            wire::Attestation::X509 => {
                let csr = if identify.csr.is_empty() {
                    let answer = self.call(talk, chosen, &dps_config::client::csr()).await?;
                    let Some(response::Body::Csr(csr)) = answer.body else { return Err(no_body()) };
                    csr.csr
                } else {
                    identify.csr.clone()
                };
                let ask = hand_off::certificate_request(id, &csr);
                let answer = self.context.api(Step::Allocate, || self.api.certificate(rid, &ask)).await?;
                hand_off::chain(&answer)?
            }
            wire::Attestation::SymmetricKey if sealed_key.is_some() => {
                hand_off::key(wire::SymmetricKeyResponse { key: sealed_key.unwrap_or_default() })?
            }
            wire::Attestation::SymmetricKey => {
                let ask = wire::SymmetricKeyRequest { handoff_id: id };
                let answer = self.context.api(Step::Allocate, || self.api.symmetric_key(rid, &ask)).await?;
                hand_off::key(answer)?
            }
            wire::Attestation::Tpm => Credential::Tpm,
            _ => return Err(ErrorCode::NoAttestation.into()),
        };
        Ok(Some((allocation, credential, owner)))
    }

    async fn commit(
        &mut self,
        talk: &mut Talk,
        chosen: &Chosen,
        digest: [u8; dps_config::DIGEST_LEN],
    ) -> Result<(), PairingError> {
        self.context.write(Write::Committing, self.journal.committing(self.id())).await?;
        self.staged = false;
        let commit = dps_config::client::commit(self.id().as_bytes(), &digest);
        let answer = self.call(talk, chosen, &commit).await?;
        self.context.pass(Point::AfterSend(Message::Commit)).await;
        let Some(response::Body::Commit(committed)) = answer.body else { return Err(no_body()) };
        if committed.digest != digest {
            return Err(ErrorCode::DigestMismatch.into());
        }
        self.to_commit = Some(self.context.round_trips());
        self.context.write(Write::Committed, self.journal.committed(self.id())).await?;
        self.context.emit(PairingEvent::HandedOff { digest: hex::encode(digest) });
        Ok(())
    }

    // ---- confirm -------------------------------------------------------------------------------------------------

    async fn confirm(&mut self, talk: &mut Talk, chosen: &Chosen) -> Result<Ended, PairingError> {
        let mut last = None;
        loop {
            let status = self.status(talk, chosen).await?;
            let phase = phase_of(status.phase);
            if status.handoff_id != self.id().as_bytes() {
                // Reset by its button, or somebody else's hand-off came in between.
                let code =
                    if status.handoff_id.is_empty() { ErrorCode::HandoffExpired } else { ErrorCode::HandoffConflict };
                return Err(code.into());
            }
            if last != Some((phase, status.attempts)) {
                last = Some((phase, status.attempts));
                self.context.emit(PairingEvent::DeviceStatus { phase, attempts: status.attempts });
            }
            match status.phase() {
                Phase::Assigned => return self.device_assigned(status).await,
                Phase::Failed => return self.device_failed(status).await,
                _ => {}
            }
            let wait = match status.poll_after_ms {
                0 => 1000,
                asked => asked.clamp(100, 10_000),
            };
            tokio::time::sleep(Duration::from_millis(wait.into())).await;
        }
    }

    async fn device_assigned(&mut self, status: StatusResponse) -> Result<Ended, PairingError> {
        let assigned = status.assigned.unwrap_or_default();
        if assigned.hub.is_empty() || assigned.device_id.is_empty() {
            return Err(PairingError::with_detail(ErrorCode::DeviceGarbage, "assigned without hub or device ID"));
        }
        let substatus = Some(shown(&assigned.substatus)).filter(|substatus| !substatus.is_empty());
        let (hub, device_id) = (shown(&assigned.hub), shown(&assigned.device_id));
        let said = DeviceSaid {
            at: Timestamp::now(),
            phase: "assigned".into(),
            hub: Some(hub.clone()),
            device_id: Some(device_id.clone()),
            substatus: substatus.clone(),
            code: None,
            text: None,
            rolled_back: None,
        };
        self.context.write(Write::DeviceSaid, self.journal.device_said(self.id(), &said)).await?;
        Ok(Ended::Assigned { hub, device_id, substatus })
    }

    async fn device_failed(&mut self, status: StatusResponse) -> Result<Ended, PairingError> {
        let failed = status.failed.unwrap_or_default();
        let error = of_failed(&failed);
        let said = DeviceSaid {
            at: Timestamp::now(),
            phase: "failed".into(),
            hub: None,
            device_id: None,
            substatus: None,
            code: Some(error.code.as_str().into()),
            text: Some(shown(&failed.text)),
            rolled_back: Some(failed.rolled_back),
        };
        self.context.write(Write::DeviceSaid, self.journal.device_said(self.id(), &said)).await?;
        Ok(Ended::Failed(error.at(Step::Confirm)))
    }

    /// The link is gone for good. If the device may have the configuration in force, DPS knows how it ended.
    async fn without_device(&mut self, lost: PairingError) -> Result<Ended, PairingError> {
        self.entry = self.journal.show(self.id()).await?;
        if let Some(said) = &self.entry.device_said
            && let (Some(hub), Some(device_id)) = (said.hub.clone(), said.device_id.clone())
        {
            return Ok(Ended::Assigned { hub, device_id, substatus: said.substatus.clone() });
        }
        let (Some(registration_id), Some(given), Some(committing_at)) =
            (self.entry.registration_id.clone(), self.entry.given.clone(), self.entry.acknowledged.committing_at)
        else {
            return Err(lost);
        };
        if self.entry.sent.as_ref().is_some_and(|sent| sent.id_scope != given.id_scope) {
            // The API would look into the instance that it chose, which is not the one that the device was sent to.
            return Err(lost);
        }
        let context = self.context.clone();
        let deadline = self.installer.deadlines.confirm.min(ASK_DPS_WITHIN);
        let ask_dps = async {
            let mut delay = Duration::from_secs(2);
            loop {
                let device = context.api(Step::Confirm, || self.api.device(&registration_id, true)).await?;
                let here = device.dps_instance.as_ref().is_none_or(|instance| *instance == given.dps_instance);
                if let (true, Some(dps)) = (here, device.dps)
                    // An older registration says nothing of this hand-off.
                    && dps.last_updated.is_none_or(|at| at + CLOCK_SKEW >= committing_at)
                {
                    let said = DpsSaid {
                        at: Timestamp::now(),
                        status: dps.status.clone(),
                        hub: dps.assigned_hub.clone(),
                        device_id: dps.device_id.clone(),
                    };
                    context.write(Write::DpsSaid, self.journal.dps_said(self.id(), &said)).await?;
                    if let ("assigned", Some(hub), Some(device_id)) =
                        (dps.status.as_str(), dps.assigned_hub, dps.device_id)
                    {
                        return Ok(Ended::Assigned { hub, device_id, substatus: None });
                    }
                }
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(Duration::from_secs(20));
            }
        };
        match context.step(Step::Confirm, WaitingFor::Cloud, deadline, ask_dps).await {
            Ok(ended) => {
                context.warn(Warning::ConfirmedByApi);
                Ok(ended)
            }
            Err(error) if error.code == ErrorCode::Cancelled => Err(error),
            // What went wrong first is what a person can mend.
            Err(_) => Err(lost),
        }
    }

    // ---- record --------------------------------------------------------------------------------------------------

    async fn record(&mut self, ended: Ended, link: String, traffic: Traffic) -> Result<Paired, PairingError> {
        let outcome = match &ended {
            Ended::Assigned { hub, device_id, substatus } => wire::Outcome::Assigned {
                assigned_hub: hub.clone(),
                device_id: device_id.clone(),
                substatus: substatus.clone(),
            },
            Ended::Failed(error) => wire::Outcome::Failed {
                code: error.code.as_str().into(),
                text: error.detail.clone().unwrap_or_default(),
            },
        };
        let state = if matches!(ended, Ended::Assigned { .. }) { State::Assigned } else { State::Failed };
        let registration_id = self.entry.registration_id.clone().unwrap_or_default();
        let ask = wire::OutcomeRequest { handoff_id: self.id(), outcome };
        let context = self.context.clone();
        let work = async {
            let told = if self.without_api {
                let once = tokio::time::timeout(ONE_TRY, self.api.outcome(&registration_id, &ask)).await;
                once.unwrap_or_else(|_| Err(ErrorCode::ApiTimeout.into()))
            } else {
                context.api(Step::Record, || self.api.outcome(&registration_id, &ask)).await
            };
            match told {
                Ok(()) => context.write(Write::Recorded, self.journal.recorded(self.id(), state)).await,
                Err(error) => {
                    // The entry stays open: the next run tells the API. The device is what it is all the same.
                    context.warn(Warning::OutcomeNotRecorded { code: error.code });
                    Ok(())
                }
            }
        };
        context.step(Step::Record, WaitingFor::Api, self.installer.deadlines.record, work).await?;
        let (hub, device_id, substatus) = match ended {
            Ended::Assigned { hub, device_id, substatus } => (hub, device_id, substatus),
            Ended::Failed(error) => return Err(error),
        };
        let Some(given) = self.entry.given.clone() else { return Err(ErrorCode::Internal.into()) };
        Ok(Paired {
            handoff_id: self.id(),
            registration_id,
            link,
            attestation: given.attestation,
            dps_instance: given.dps_instance,
            id_scope: self.entry.sent.as_ref().map_or(given.id_scope, |sent| sent.id_scope.clone()),
            hub,
            device_id,
            substatus,
            round_trips_to_commit: self.to_commit.unwrap_or(0),
            round_trips: traffic.exchanges,
            bytes_sent: traffic.bytes_sent,
            bytes_received: traffic.bytes_received,
            seconds: self.context.seconds(),
        })
    }

    async fn failed(&mut self, error: &PairingError, talk: Option<&mut Talk>) {
        if self.staged
            && error.code == ErrorCode::Cancelled
            && let Some(talk) = talk.filter(|talk| talk.in_sync())
        {
            // So that the device is free for others at once; without this its lease runs out.
            let abort = dps_config::client::abort(self.id().as_bytes());
            let _ = tokio::time::timeout(ABORT_WITHIN, talk.dps_config(&abort)).await;
        }
        let noted = self.context.write(Write::Error, self.journal.error(self.id(), error)).await;
        if let Err(not_noted) = noted {
            tracing::warn!(code = %not_noted.code, "the journal could not note the error");
        }
    }

    // ---- calls ---------------------------------------------------------------------------------------------------

    async fn status(&self, talk: &mut Talk, chosen: &Chosen) -> Result<StatusResponse, PairingError> {
        let answer = self.call(talk, chosen, &dps_config::client::status()).await?;
        match answer.body {
            Some(response::Body::Status(status)) => Ok(status),
            _ => Err(no_body()),
        }
    }

    /// One call. If the link is lost it is opened again and the call repeated: every call of ours may be, as the device
    /// knows it by its hand-off ID.
    async fn call(
        &self,
        talk: &mut Talk,
        chosen: &Chosen,
        request: &dps_config::Request,
    ) -> Result<dps_config::Response, PairingError> {
        let (mut lost, mut dropped, mut busy) = (0, 0, 0);
        loop {
            match talk.dps_config(request).await {
                Ok(response) => match of_response(response) {
                    // Busy for a moment only: writing its flash, for example.
                    Err(error) if error.retry_after_s.is_some_and(|s| s <= 2) && busy < 3 => {
                        busy += 1;
                        tokio::time::sleep(Duration::from_secs(error.retry_after_s.unwrap_or(1))).await;
                    }
                    other => return other,
                },
                Err(error) if is_lost(&error) && lost < RECONNECTS && dropped < RECONNECTS_AFTER_DROPS => {
                    let dropping = error.code == ErrorCode::LinkLost;
                    dropped += u32::from(dropping);
                    lost += u32::from(!dropping);
                    let attempt = |attempt| self.context.emit(PairingEvent::Reconnecting { attempt });
                    match talk.again(chosen, attempt).await {
                        Ok(_) => {}
                        // The code of the label was right a moment ago, so that is not what is wrong now.
                        Err(again) if is_lost(&again) || again.code == ErrorCode::WrongPop => return Err(error),
                        Err(again) => return Err(again),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn no_body() -> PairingError {
    PairingError::with_detail(ErrorCode::DeviceGarbage, "the answer has no body")
}

fn digest_of(hex_text: &str) -> Option<[u8; dps_config::DIGEST_LEN]> {
    hex::decode(hex_text).ok()?.try_into().ok()
}

/// A number that this build does not know is not the default phase.
pub(super) fn phase_of(number: i32) -> DevicePhase {
    match Phase::try_from(number) {
        Ok(Phase::Empty) => DevicePhase::Empty,
        Ok(Phase::Staged) => DevicePhase::Staged,
        Ok(Phase::Connecting) => DevicePhase::Connecting,
        Ok(Phase::Registering) => DevicePhase::Registering,
        Ok(Phase::Assigned) => DevicePhase::Assigned,
        Ok(Phase::Failed) => DevicePhase::Failed,
        Err(_) => DevicePhase::Unknown,
    }
}

/// At most 128 of `[A-Za-z0-9-._:]`, the last one alphanumeric or a dash (Azure's rule).
fn is_registration_id(text: &str) -> bool {
    text.len() <= 128
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._:".contains(&c))
        && text.bytes().last().is_some_and(|c| c.is_ascii_alphanumeric() || c == b'-')
}

#[cfg(test)]
mod tests {
    use super::is_registration_id;

    #[test]
    fn registration_ids_are_azures() {
        for good in ["a", "A-1", "a.b:c_d-", "0"] {
            assert!(is_registration_id(good), "{good}");
        }
        for bad in ["", ".", "..", "a.", "a_", "a b", "ä", "a/b", &"x".repeat(129)] {
            assert!(!is_registration_id(bad), "{bad}");
        }
    }
}
