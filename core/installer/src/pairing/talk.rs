//! The talk with one device over one link: `proto-ver`, the session, and calls inside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lowtouch_handoff::dps_config::{self, Request, Response, client::Call, client::Progress};
use lowtouch_handoff::proto_ver::{self, ProtoVer};
use lowtouch_handoff::protocomm::client::{Credentials, Handshake, Next, Session};
use lowtouch_handoff::protocomm::{self, Weakness};
use lowtouch_links::foreign::ForeignLink;
use lowtouch_links::{Link, LinkError, Traffic};
use secrecy::SecretString;
use tokio::time::Instant;

use super::refusal::{of_call, of_handshake, of_link, of_session};
use super::{Deadlines, LinkFrom, SecurityFlags};
use crate::error::{ErrorCode, PairingError};
use crate::events::{Step, Warning};
use crate::label::{Label, Security};
use crate::retry::{Delays, Dice, Policy};

/// Most exchanges that one call may need: chunks of the smallest size for the longest message.
const MAX_EXCHANGES: usize = 512;

/// An open link and what was agreed over it.
pub(super) struct Talk {
    link: Box<dyn Link>,
    exchange: Duration,
    session: Option<Session>,
    sessions: u64,
    transfer: u32,
    in_sync: bool,
    exchanges: Arc<AtomicU64>,
}

/// What to bring to the handshake, chosen from label and device.
pub(super) struct Chosen {
    credentials: Credentials,
    pub(super) security: u8,
    pub(super) warnings: Vec<Warning>,
    /// The device can look for Wi-Fi networks.
    pub(super) wifi_scan: bool,
}

/// A step of what is done without a pairing, and told to nobody: a device that takes longer than `deadline` is silent.
pub(super) async fn step<T>(
    step: Step,
    deadline: Duration,
    work: impl Future<Output = Result<T, PairingError>>,
) -> Result<T, PairingError> {
    let done = tokio::time::timeout(deadline, work).await;
    done.unwrap_or_else(|_| Err(ErrorCode::DeviceSilent.into())).map_err(|error| error.at(step))
}

impl Talk {
    /// Opened, and what the device says of itself, without a pairing.
    pub(super) async fn begin(from: LinkFrom, deadlines: &Deadlines) -> Result<(Talk, ProtoVer), PairingError> {
        let open = async {
            let mut talk = Talk::open(from, deadlines.exchange, deadlines.connect, Arc::default()).await?;
            let said = talk.proto_ver().await?;
            Ok((talk, said))
        };
        step(Step::Connect, deadlines.connect, open).await
    }

    /// The session with a device that [`begin`](Self::begin) reached.
    pub(super) async fn begin_session(
        &mut self,
        label: &Label,
        said: &ProtoVer,
        security: SecurityFlags,
        deadlines: &Deadlines,
    ) -> Result<Chosen, PairingError> {
        let chosen = choose(label, said, security).map_err(|error| error.at(Step::Connect))?;
        step(Step::Secure, deadlines.secure, self.secure(&chosen, |_| {})).await?;
        Ok(chosen)
    }

    pub(super) async fn open(
        from: LinkFrom,
        exchange: Duration,
        connect: Duration,
        exchanges: Arc<AtomicU64>,
    ) -> Result<Talk, PairingError> {
        let mut patience = Patience::new();
        let link = match from {
            LinkFrom::Open(link) => link,
            from => loop {
                let deadlines = lowtouch_links::Deadlines { connect, exchange };
                let opened: Result<Box<dyn Link>, LinkError> = match &from {
                    LinkFrom::Radio(radio, target) => {
                        let opened = ForeignLink::open(radio.clone(), target.clone(), deadlines).await;
                        opened.map(|link| Box::new(link) as Box<dyn Link>)
                    }
                    LinkFrom::Address(address) => lowtouch_links::open(address, deadlines).await,
                    LinkFrom::Open(_) => Err(LinkError::Lost),
                };
                match opened {
                    Ok(link) => break link,
                    // It was there and was lost while connecting, as radios do. Nobody there is for a person to mend.
                    Err(LinkError::Lost) if patience.another_try(&ErrorCode::LinkLost.into()).await => {}
                    Err(error) => return Err(of_link(&error, None)),
                }
            },
        };
        let (session, transfer) = (None, rand::random());
        let talk = Talk { link, exchange, session, sessions: 0, transfer, in_sync: true, exchanges };
        talk.count();
        Ok(talk)
    }

    pub(super) fn describe(&self) -> String {
        self.link.describe()
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.link.traffic()
    }

    /// The longest plaintext that one exchange carries, in bytes.
    pub(super) fn max_plain(&self) -> usize {
        self.link.max_value().saturating_sub(self.session.as_ref().map_or(0, Session::overhead))
    }

    /// Which session this is, counted from 1: the device's nonce is another one in each.
    pub(super) fn sessions(&self) -> u64 {
        self.sessions
    }

    /// No exchange was left half-way, so that the session still counts as the device does.
    pub(super) fn in_sync(&self) -> bool {
        self.in_sync && self.session.is_some()
    }

    pub(super) async fn close(&mut self) {
        self.session = None;
        let _ = tokio::time::timeout(Duration::from_secs(2), self.link.close()).await;
    }

    /// What the device says of itself in the clear. A link that is lost is opened again. One refusal is no answer: another
    /// app may have taken the device's only session in that moment.
    pub(super) async fn proto_ver(&mut self) -> Result<ProtoVer, PairingError> {
        let mut patience = Patience::new();
        let mut refused = false;
        loop {
            let mut error = match self.ask_proto_ver().await {
                Err(error) if error.code == ErrorCode::LinkLost => error,
                Err(error) if error.code == ErrorCode::SessionFailed => {
                    if refused || !patience.another_try(&ErrorCode::LinkLost.into()).await {
                        return Err(ErrorCode::NotADevice.into());
                    }
                    refused = true;
                    continue;
                }
                other => return other,
            };
            loop {
                if !patience.another_try(&error).await {
                    return Err(error);
                }
                match self.reconnect().await {
                    Ok(()) => break,
                    Err(again) if is_lost(&again) => error = again,
                    Err(again) => return Err(again),
                }
            }
        }
    }

    async fn ask_proto_ver(&mut self) -> Result<ProtoVer, PairingError> {
        let answer = match self.exchange(proto_ver::ENDPOINT, b"---").await {
            Err(LinkError::UnknownEndpoint { .. }) => return Err(ErrorCode::NotADevice.into()),
            other => other.map_err(|error| of_link(&error, Some(proto_ver::ENDPOINT)))?,
        };
        proto_ver::parse(&answer).map_err(|error| {
            let code = match error {
                proto_ver::ProtoVerError::SecurityVersion(_) => ErrorCode::WrongSecurityVersion,
                proto_ver::ProtoVerError::TooLong => ErrorCode::DeviceAnswerTooLong,
                _ => ErrorCode::DeviceGarbage,
            };
            PairingError::with_detail(code, error.to_string())
        })
    }

    /// Makes the session. Returns what it does not protect against. A link that is lost meanwhile is opened again.
    pub(super) async fn secure(
        &mut self,
        chosen: &Chosen,
        attempt: impl Fn(u32) + Send,
    ) -> Result<Option<Warning>, PairingError> {
        match self.handshake(chosen).await {
            Err(error) if error.code == ErrorCode::LinkLost => self.again(chosen, attempt).await,
            other => other,
        }
    }

    async fn handshake(&mut self, chosen: &Chosen) -> Result<Option<Warning>, PairingError> {
        self.session = None;
        let mut entropy = zeroize::Zeroizing::new([0u8; 64]);
        getrandom::fill(entropy.as_mut_slice())
            .map_err(|_| PairingError::with_detail(ErrorCode::Internal, "the system gives no random numbers"))?;
        let (mut handshake, mut request) =
            Handshake::start(chosen.credentials.clone(), &entropy).map_err(|error| of_handshake(&error))?;
        // The longest handshake has two exchanges.
        for _ in 0..3 {
            let answer = match self.exchange(protocomm::ENDPOINT, &request).await {
                Ok(answer) => answer,
                Err(LinkError::Refused { .. }) => return Err(of_handshake(&handshake.refused())),
                Err(error) => return Err(of_link(&error, Some(protocomm::ENDPOINT))),
            };
            match handshake.handle(&answer).map_err(|error| of_handshake(&error))? {
                Next::Send(next, bytes) => (handshake, request) = (next, bytes),
                Next::Secured(session) => {
                    let warning = match session.weakness() {
                        None => None,
                        Some(Weakness::NoEncryption) => Some(Warning::SessionUnprotected),
                        Some(Weakness::NoMac) => Some(Warning::SessionWithoutIntegrity),
                        Some(_) => Some(Warning::SessionNonceReuse),
                    };
                    self.session = Some(session);
                    self.sessions += 1;
                    self.in_sync = true;
                    return Ok(warning);
                }
            }
        }
        Err(PairingError::with_detail(ErrorCode::SessionFailed, "the handshake does not end"))
    }

    /// One call of `dps-config`, in as many exchanges as it needs. A refusal of the device is `Ok` here.
    pub(super) async fn dps_config(&mut self, request: &Request) -> Result<Response, PairingError> {
        self.transfer = self.transfer.wrapping_add(1);
        let mut call = Call::new(request, self.max_plain(), self.transfer);
        for _ in 0..MAX_EXCHANGES {
            let Some(message) = call.next().map(zeroize::Zeroizing::new) else { break };
            let answer = self.ask(dps_config::ENDPOINT, &message).await?;
            match call.handle(&answer).map_err(|error| of_call(&error))? {
                Progress::More => {}
                Progress::Done(response) => return Ok(response),
            }
        }
        Err(PairingError::with_detail(ErrorCode::DeviceGarbage, "the call does not end"))
    }

    /// One sealed exchange with any endpoint.
    pub(super) async fn ask(&mut self, endpoint: &str, plain: &[u8]) -> Result<Vec<u8>, PairingError> {
        let Some(session) = &mut self.session else {
            return Err(PairingError::with_detail(ErrorCode::SessionFailed, "there is no session"));
        };
        self.in_sync = false;
        let sealed = session.seal(plain).map_err(|error| of_session(&error))?;
        let answer = self.exchange(endpoint, &sealed).await.map_err(|error| of_link(&error, Some(endpoint)))?;
        let Some(session) = &mut self.session else {
            return Err(PairingError::with_detail(ErrorCode::SessionFailed, "there is no session"));
        };
        let answer = session.open(&answer).map_err(|error| of_session(&error))?;
        self.in_sync = true;
        Ok(answer)
    }

    /// Opens the link and the session again after the link was lost. The device's own state survives that.
    pub(super) async fn again(
        &mut self,
        chosen: &Chosen,
        attempt: impl Fn(u32) + Send,
    ) -> Result<Option<Warning>, PairingError> {
        let mut patience = Patience::new();
        loop {
            attempt(patience.tries);
            let tried = match self.reconnect().await {
                Ok(()) => self.handshake(chosen).await,
                Err(error) => Err(error),
            };
            match tried {
                Err(error) if is_lost(&error) && patience.another_try(&error).await => {}
                other => return other,
            }
        }
    }

    async fn reconnect(&mut self) -> Result<(), PairingError> {
        self.session = None;
        let reconnected = tokio::time::timeout(self.exchange, self.link.reconnect()).await;
        self.count();
        match reconnected {
            Ok(result) => result.map_err(|error| of_link(&error, None)),
            Err(_) => Err(PairingError::with_detail(ErrorCode::DeviceSilent, "no new connection in time")),
        }
    }

    async fn exchange(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError> {
        let max = self.link.max_value();
        if request.len() > max {
            return Err(LinkError::TooLong { len: request.len(), max });
        }
        tracing::debug!(endpoint, bytes = request.len(), "exchange");
        let answer = tokio::time::timeout(self.exchange, self.link.exchange(endpoint, request)).await;
        self.count();
        let answer = match answer {
            Ok(answer) => answer?,
            Err(_) => return Err(LinkError::Timeout { what: "exchange", after: self.exchange }),
        };
        if answer.len() > max {
            return Err(LinkError::TooLong { len: answer.len(), max });
        }
        Ok(answer)
    }

    fn count(&self) {
        self.exchanges.store(self.link.traffic().exchanges, Ordering::Relaxed);
    }
}

/// How often a link is opened again: many times where the device is there and is lost again, as over a bad radio, and a
/// few times where nobody is there.
struct Patience {
    since: Instant,
    tries: u32,
    absent: Delays,
    dropped: Delays,
}

impl Patience {
    fn new() -> Self {
        let of = |policy| Delays::of(policy, Dice::random());
        let (absent, dropped) = (of(Policy::LINK), of(Policy::RADIO));
        Patience { since: Instant::now(), tries: 1, absent, dropped }
    }

    /// Waits and says yes, or no when the budget is used up.
    async fn another_try(&mut self, error: &PairingError) -> bool {
        let (delays, budget) = match error.code {
            ErrorCode::LinkLost => (&mut self.dropped, Policy::RADIO.budget),
            _ => (&mut self.absent, Policy::LINK.budget),
        };
        let Some(delay) = delays.next().filter(|delay| self.since.elapsed() + *delay < budget) else { return false };
        self.tries += 1;
        tokio::time::sleep(delay).await;
        true
    }
}

/// The link or the session is gone, and a new one may mend it.
pub(super) fn is_lost(error: &PairingError) -> bool {
    matches!(
        error.code,
        ErrorCode::LinkLost
            | ErrorCode::DeviceSilent
            | ErrorCode::DeviceNotFound
            | ErrorCode::SessionForeign
            | ErrorCode::SessionFailed
    )
}

/// Chooses the session's security from what the label says and what the device announces.
///
/// A device that announces less than its label may be somebody else's, set up to learn the credential; so it is refused
/// unless a person allows it. One that announces more is fine: nothing gets weaker.
pub(super) fn choose(label: &Label, device: &ProtoVer, flags: SecurityFlags) -> Result<Chosen, PairingError> {
    let of_device = Security::try_from(device.sec_ver)
        .map_err(|error| PairingError::with_detail(ErrorCode::WrongSecurityVersion, error))?;
    if let Some(lowtouch) = &device.lowtouch {
        if lowtouch.closed {
            return Err(PairingError::with_detail(ErrorCode::DeviceClosed, "closed after too many wrong codes"));
        }
        if lowtouch.wait_s > 0 {
            let detail = format!("the next code is taken in {} s", lowtouch.wait_s);
            let error = PairingError::with_detail(ErrorCode::DeviceSlowedDown, detail);
            return Err(PairingError { retry_after_s: Some(lowtouch.wait_s.into()), ..error });
        }
    }
    let mut warnings = Vec::new();
    if of_device < label.security {
        let detail = format!("label: {}, device: {}", u8::from(label.security), u8::from(of_device));
        if !flags.allow_downgrade {
            return Err(PairingError::with_detail(ErrorCode::SecurityDowngrade, detail));
        }
        warnings.push(Warning::SecurityDowngraded { label: label.security.into(), device: of_device.into() });
    }
    let credentials = match of_device {
        Security::None if !flags.allow_none => return Err(ErrorCode::SecurityNoneRefused.into()),
        Security::None => Credentials::Security0,
        Security::X25519 => {
            Credentials::Security1 { pop: label.pop.clone().unwrap_or_else(|| SecretString::from(String::new())) }
        }
        Security::Srp6a => Credentials::Security2 {
            username: label.username.clone(),
            password: label.pop.clone().ok_or_else(|| {
                PairingError::with_detail(ErrorCode::LabelIncomplete, "the device wants a proof of possession")
            })?,
            patch_ver: device.sec_patch_ver,
        },
    };
    let wifi_scan = device.cap.iter().any(|cap| cap == "wifi_scan");
    Ok(Chosen { credentials, security: of_device.into(), warnings, wifi_scan })
}
