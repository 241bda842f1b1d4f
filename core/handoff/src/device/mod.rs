//! The whole device role over one connection: an endpoint's name and bytes go in, a reply or an effect comes out.
//!
//! ```text
//! Device::boot → start → (shell performs effects, calls resume) …
//! link connects: connect → handle(endpoint, bytes) → Reply | Perform → resume → … → Reply | Fail
//! ```
//! Before the session is secure, only `proto-ver` and `prov-session` are answered. One request, its effects and its
//! reply are run to their end before the next request of any connection.

mod effect;
mod guesses;

use std::{fmt, time::Duration};

use self::guesses::Guesses;
pub use self::{
    effect::{Effect, EffectResult, FailReason, Failure, Step},
    guesses::GuessPolicy,
};
use crate::{
    dps_config::{
        self, Attestation, Network, StatusResponse,
        device::{DpsConfig, Now, RegistrationEvent, Settings, StateError},
    },
    proto_ver::{self, LowtouchVer, ProtoVer},
    protocomm::{
        self,
        device::{DeviceSecurity, Refusal, SecureSession},
    },
    prov_config::{
        self,
        device::{Station, StationEvent},
    },
    prov_scan::{self, device::Scanner},
};

/// Room that every security scheme may need on top of a plaintext, in bytes (AES-GCM's tag).
const OVERHEAD: usize = 16;

/// What a device is, from its factory and its firmware.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Security version and what proves possession.
    pub security: DeviceSecurity,
    /// Registration ID, model, attestations.
    pub hand_off: Settings,
    /// Whether the device takes Wi-Fi through `prov-scan`, `prov-config` and `prov-ctrl`.
    pub wifi: bool,
    /// Without Wi-Fi: what identify says about the network (wired, cellular).
    pub other_network: Network,
    /// What wrong proofs of possession lead to.
    pub guesses: GuessPolicy,
}

impl Profile {
    /// A device with Wi-Fi and the usual policy.
    #[must_use]
    pub fn new(security: DeviceSecurity, hand_off: Settings) -> Self {
        Self { security, hand_off, wifi: true, other_network: Network::Unknown, guesses: GuessPolicy::default() }
    }
}

/// One device. It outlives its connections.
#[derive(Debug)]
pub struct Device {
    profile: Profile,
    proto_ver: ProtoVer,
    hand_off: DpsConfig,
    station: Station,
    scanner: Scanner,
    guesses: Guesses,
    /// What follows when the count of wrong proofs is kept.
    held: Option<Held>,
}

/// What waits for the count of wrong proofs to be kept.
#[derive(Debug)]
enum Held {
    Fail(Failure),
    Reply(Vec<u8>),
    Button,
}

/// One connection of a link to the device.
pub struct Connection {
    session: SecureSession,
    hand_off: Option<dps_config::device::Session>,
    max_value: usize,
    /// Wrong proofs of possession before this session's right one.
    wrong_proofs: u32,
}

impl Device {
    /// The device as it starts, with what [`dps_config::device::Effect::Persist`] wrote last (`None`: nothing was ever
    /// written). Then call [`start`](Self::start).
    ///
    /// # Errors
    /// [`StateError`]: what is in flash is not a state.
    pub fn boot(profile: Profile, persisted: Option<&[u8]>) -> Result<Self, StateError> {
        Ok(Self {
            proto_ver: announce(&profile),
            hand_off: DpsConfig::boot(profile.hand_off.clone(), persisted)?,
            station: Station::default(),
            scanner: Scanner::default(),
            guesses: Guesses::default(),
            held: None,
            profile,
        })
    }

    /// After [`boot`](Self::boot): the count that [`Effect::KeepWrongProofs`] wrote last. Whoever has guessed goes on
    /// waiting.
    pub fn restore_wrong_proofs(&mut self, count: u32) {
        self.guesses = Guesses::before_restart(&self.profile.guesses, count);
    }

    /// What the stored state asks for: go on with a registration, use the hub that is known, or nothing.
    pub fn start(&mut self, now: Now) -> Step {
        let step = self.hand_off.start(now);
        background(step)
    }

    /// A link has connected. `max_value`: the longest value that it carries, in bytes (BLE 512, HTTP and serial 4096).
    #[must_use]
    pub fn connect(&self, max_value: usize) -> Connection {
        Connection {
            session: SecureSession::new(self.profile.security.clone()),
            hand_off: None,
            max_value,
            wrong_proofs: 0,
        }
    }

    /// Takes one request. `entropy`: 64 fresh random bytes for every call.
    pub fn handle(
        &mut self,
        connection: &mut Connection,
        endpoint: &str,
        request: &[u8],
        now: Now,
        entropy: &[u8; 64],
    ) -> Step {
        match endpoint {
            proto_ver::ENDPOINT => return Step::Reply(self.version(now.since_boot)),
            protocomm::ENDPOINT => return self.handshake(connection, request, now, entropy),
            dps_config::ENDPOINT => {}
            prov_config::ENDPOINT | prov_config::CTRL_ENDPOINT | prov_scan::ENDPOINT if self.profile.wifi => {}
            _ => return Step::Fail(Failure::of(FailReason::UnknownEndpoint)),
        }
        if !connection.session.is_secure() {
            return Step::Fail(Failure::of(FailReason::NotSecure));
        }
        if request.len() > connection.max_value {
            return Step::Fail(Failure::of(FailReason::TooLong));
        }
        let plain = match connection.session.open(request) {
            Ok(plain) => zeroize::Zeroizing::new(plain),
            Err(refusal) => return Step::Fail(Failure::of(FailReason::Session(refusal))),
        };
        let max_plain = connection.max_value.saturating_sub(OVERHEAD);
        match endpoint {
            dps_config::ENDPOINT => {
                let network = self.network();
                let session = connection.hand_off.get_or_insert_with(|| {
                    let mut nonce = [0; dps_config::NONCE_LEN];
                    nonce.copy_from_slice(&entropy[..dps_config::NONCE_LEN]);
                    dps_config::device::Session::new(nonce, max_plain).after_wrong_proofs(connection.wrong_proofs)
                });
                let step = self.hand_off.handle(session, &plain, network, now);
                connection.hand_off_step(step)
            }
            prov_scan::ENDPOINT => match self.scanner.handle(&plain, max_plain) {
                prov_scan::device::Step::Reply(reply) => connection.reply(&reply),
                prov_scan::device::Step::Perform(effect) => Step::Perform(Effect::Scan(effect)),
                prov_scan::device::Step::Fail => Step::Fail(Failure::of(FailReason::Undecodable)),
            },
            _ => {
                let step = if endpoint == prov_config::CTRL_ENDPOINT {
                    self.station.handle_ctrl(&plain)
                } else {
                    self.station.handle(&plain)
                };
                match step {
                    prov_config::device::Step::Reply(reply) => connection.reply(&reply),
                    prov_config::device::Step::Perform(effect) => Step::Perform(Effect::Wifi(effect)),
                    prov_config::device::Step::Fail => Step::Fail(Failure::of(FailReason::Undecodable)),
                }
            }
        }
    }

    /// Says what came of the effect that the last [`Step::Perform`] asked for. `connection`: the one whose request led to
    /// it; `None` for an effect without a request or when the connection is gone (what was done stays done).
    pub fn resume(&mut self, connection: Option<&mut Connection>, result: EffectResult, now: Now) -> Step {
        let reply = match result {
            EffectResult::HandOff(result) => {
                return match connection {
                    Some(connection) => {
                        let step = self.hand_off.resume(connection.hand_off.as_mut(), result, now);
                        connection.hand_off_step(step)
                    }
                    None => background(self.hand_off.resume(None, result, now)),
                };
            }
            EffectResult::Wifi { begun } => self.station.resume(begun),
            EffectResult::Scan(outcome) => self.scanner.resume(outcome),
            EffectResult::WrongProofsKept => {
                return match self.held.take() {
                    Some(Held::Fail(failure)) => Step::Fail(failure),
                    Some(Held::Reply(reply)) => Step::Reply(reply),
                    Some(Held::Button) => background(self.hand_off.button_reset()),
                    None => Step::Done,
                };
            }
        };
        match (reply, connection) {
            (Some(reply), Some(connection)) => connection.reply(&reply),
            _ => Step::Done,
        }
    }

    /// Takes what came of the registration.
    pub fn registration(&mut self, event: RegistrationEvent) -> Step {
        background(self.hand_off.registration(event))
    }

    /// Takes what came of the Wi-Fi connection.
    pub fn station(&mut self, event: StationEvent) {
        self.station.event(event);
    }

    /// Takes what a scan that was only begun has heard.
    pub fn scanned(&mut self, heard: Vec<prov_scan::AccessPoint>) {
        self.scanner.finished(heard);
    }

    /// Does what time asks for: call it at [`next_timeout`](Self::next_timeout).
    pub fn tick(&mut self, now: Now) -> Step {
        background(self.hand_off.tick(now))
    }

    /// When [`tick`](Self::tick) is due, since boot.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        self.hand_off.next_timeout()
    }

    /// The device's button: configuration, credential, owner and the count of wrong proofs go.
    pub fn button_reset(&mut self) -> Step {
        match std::mem::take(&mut self.guesses).wrong() {
            0 => background(self.hand_off.button_reset()),
            _ => self.keep_wrong_proofs(Held::Button),
        }
    }

    fn keep_wrong_proofs(&mut self, held: Held) -> Step {
        self.held = Some(held);
        Step::Perform(Effect::KeepWrongProofs(self.guesses.wrong()))
    }

    /// What the device would answer to a status request.
    #[must_use]
    pub fn status(&self) -> StatusResponse {
        self.hand_off.status()
    }

    /// The transaction, for looking at.
    #[must_use]
    pub fn hand_off(&self) -> &DpsConfig {
        &self.hand_off
    }

    /// Wrong proofs of possession since the last right one.
    #[must_use]
    pub fn wrong_proofs(&self) -> u32 {
        self.guesses.wrong()
    }

    fn network(&self) -> Network {
        if self.profile.wifi && self.profile.other_network != Network::Connected {
            self.station.network()
        } else {
            self.profile.other_network
        }
    }

    /// What the device says of itself, and whether wrong proofs of possession keep it from a handshake at the moment.
    fn version(&mut self, since_boot: Duration) -> Vec<u8> {
        let guarded = self.guesses.guarded(&self.profile.guesses, since_boot);
        if let Some(lowtouch) = &mut self.proto_ver.lowtouch {
            (lowtouch.wait_s, lowtouch.closed) = (guarded.wait_s, guarded.closed);
        }
        self.proto_ver.to_json().into_bytes()
    }

    fn handshake(&mut self, connection: &mut Connection, request: &[u8], now: Now, entropy: &[u8; 64]) -> Step {
        if let Some(failure) = self.guesses.in_the_way(&self.profile.guesses, now.since_boot) {
            return Step::Fail(failure);
        }
        // Any handshake ends the session that stood, and with it what was half sent.
        connection.hand_off = None;
        match connection.session.handshake(request, entropy) {
            Ok(reply) => {
                if !connection.session.is_secure() {
                    return Step::Reply(reply);
                }
                connection.wrong_proofs = std::mem::take(&mut self.guesses).wrong();
                match connection.wrong_proofs {
                    0 => Step::Reply(reply),
                    _ => self.keep_wrong_proofs(Held::Reply(reply)),
                }
            }
            // Kept before the refusal leaves: power that is cut when the guesser has heard of it takes nothing back.
            Err(Refusal::WrongProof) => {
                let failure = self.guesses.count(&self.profile.guesses, now.since_boot);
                self.keep_wrong_proofs(Held::Fail(failure))
            }
            Err(refusal) => match refusal {
                Refusal::OutOfTurn => protocomm::device::invalid_session(request).map(Step::Reply),
                _ => None,
            }
            .unwrap_or(Step::Fail(Failure::of(FailReason::Session(refusal)))),
        }
    }
}

impl Connection {
    /// Whether the handshake is complete.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.session.is_secure()
    }

    fn reply(&mut self, plain: &[u8]) -> Step {
        match self.session.seal(plain) {
            Ok(sealed) => Step::Reply(sealed),
            Err(refusal) => Step::Fail(Failure::of(FailReason::Session(refusal))),
        }
    }

    fn hand_off_step(&mut self, step: dps_config::device::Step) -> Step {
        match step {
            dps_config::device::Step::Reply(plain) => self.reply(&plain),
            step => background(step),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("max_value", &self.max_value).finish_non_exhaustive()
    }
}

/// A step that no request waits for.
fn background(step: dps_config::device::Step) -> Step {
    match step {
        dps_config::device::Step::Perform(effect) => Step::Perform(Effect::HandOff(effect)),
        dps_config::device::Step::Reply(_) | dps_config::device::Step::Done => Step::Done,
    }
}

/// What `proto-ver` says. `no_sec`, `no_pop` and `wifi_scan` are Espressif's words; those under `lowtouch` are of
/// docs/dps-config.md.
fn announce(profile: &Profile) -> ProtoVer {
    use secrecy::ExposeSecret as _;

    let mut cap = Vec::new();
    let (sec_ver, sec_patch_ver) = match &profile.security {
        DeviceSecurity::Security0 => {
            cap.push("no_sec".to_owned());
            (0, 0)
        }
        DeviceSecurity::Security1 { pop } => {
            if pop.expose_secret().is_empty() {
                cap.push("no_pop".to_owned());
            }
            (1, 0)
        }
        DeviceSecurity::Security2 { patch_ver, .. } => (2, *patch_ver),
    };
    if profile.wifi {
        cap.push("wifi_scan".to_owned());
    }
    let mut lowtouch: Vec<String> = profile
        .hand_off
        .attestations
        .iter()
        .filter_map(|attestation| match attestation {
            Attestation::X509 => Some("x509".to_owned()),
            Attestation::SymmetricKey => Some("symmetric_key".to_owned()),
            Attestation::Tpm => Some("tpm".to_owned()),
            Attestation::Unspecified => None,
        })
        .collect();
    if profile.hand_off.checks_owner {
        lowtouch.push("owner".to_owned());
    }
    if profile.hand_off.certificate_from_dps {
        lowtouch.push("certificate_from_dps".to_owned());
    }
    ProtoVer {
        ver: "v1.1".to_owned(),
        sec_ver,
        sec_patch_ver,
        cap,
        lowtouch: Some(LowtouchVer { ver: dps_config::VERSION.to_owned(), cap: lowtouch, wait_s: 0, closed: false }),
    }
}
