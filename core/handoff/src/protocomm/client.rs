//! The installer's side of a protocomm session.

use std::fmt;

use aes::Aes256;
use ctr::Ctr128BE;
use prost::Message;
use secrecy::SecretString;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::channel::{self, Channel, ChannelError};
use super::envelope::{
    self, COMMAND_0, COMMAND_1, RESPONSE_0, RESPONSE_1, Scheme, Sec0Body, Sec0Command, Sec1Body, Sec1Command0,
    Sec1Command1, Sec2Body, Sec2Command0, Sec2Command1, SessionData,
};
use super::srp6a::{self, GROUP_LEN, Proofs, Unusable};
use super::{MAX_MESSAGE, Status, Weakness, security1};

/// What the client brings to the handshake. Which variant: `sec_ver` of the device's `proto-ver`; what is in it: the
/// device's label.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// No protection at all. Only behind an explicit flag.
    Security0,
    /// X25519 and AES-CTR.
    Security1 {
        /// The proof of possession; empty for a device that announces `no_pop`.
        pop: SecretString,
    },
    /// SRP-6a and AES-GCM.
    Security2 {
        /// The label's `username`, 1 to [`MAX_USERNAME`](super::srp6a::MAX_USERNAME) bytes.
        username: String,
        /// The label's `pop`.
        password: SecretString,
        /// `sec_patch_ver` of the device's `proto-ver`: 0 (absent) or 1.
        patch_ver: u8,
    },
}

/// A handshake in flight: it waits for the device's response to the request that was handed out last.
pub struct Handshake(State);

/// What was sent last.
enum State {
    Sec0Command,
    Sec1Command0 {
        private: Zeroizing<[u8; 32]>,
        public: [u8; 32],
        pop: SecretString,
    },
    Sec1Command1 {
        stream: Box<Ctr128BE<Aes256>>,
        public: [u8; 32],
    },
    Sec2Command0 {
        username: String,
        password: SecretString,
        patch_ver: u8,
        private: Zeroizing<[u8; 32]>,
        public: Box<[u8; GROUP_LEN]>,
    },
    Sec2Command1 {
        proofs: Proofs,
        patch_ver: u8,
    },
}

impl Handshake {
    /// Starts a handshake and returns the first request for the endpoint [`ENDPOINT`](super::ENDPOINT).
    ///
    /// `entropy` is 64 fresh random bytes; their first 32 become the client's private key.
    ///
    /// # Errors
    /// [`HandshakeError::Username`] for an empty or overlong username, [`HandshakeError::PatchVersion`] for a
    /// `sec_patch_ver` that is not known.
    pub fn start(credentials: Credentials, entropy: &[u8; 64]) -> Result<(Handshake, Vec<u8>), HandshakeError> {
        let (state, request) = match credentials {
            Credentials::Security0 => {
                let body = Sec0Body::Command(Sec0Command {});
                (State::Sec0Command, envelope::sec0(COMMAND_0, body))
            }
            Credentials::Security1 { pop } => {
                let mut private = Zeroizing::new([0; 32]);
                private.copy_from_slice(&entropy[..32]);
                let public = security1::public_key(&private);
                let body = Sec1Body::Command0(Sec1Command0 { client_pubkey: public.to_vec() });
                let state = State::Sec1Command0 { private, public, pop };
                (state, envelope::sec1(COMMAND_0, body))
            }
            Credentials::Security2 { username, password, patch_ver } => {
                if !srp6a::is_username(username.as_bytes()) {
                    return Err(HandshakeError::Username);
                }
                if patch_ver > 1 {
                    return Err(HandshakeError::PatchVersion(patch_ver));
                }
                let private = srp6a::private_key(entropy);
                let public = Box::new(srp6a::client_public(&private));
                let body = Sec2Body::Command0(Sec2Command0 {
                    client_username: username.clone().into_bytes(),
                    client_pubkey: public.to_vec(),
                });
                let state = State::Sec2Command0 { username, password, patch_ver, private, public };
                (state, envelope::sec2(COMMAND_0, body))
            }
        };
        Ok((Self(state), request))
    }

    /// Takes the device's response to the last request.
    ///
    /// # Errors
    /// See [`HandshakeError`]; the handshake is over and a new one may be started on the same link.
    pub fn handle(self, response: &[u8]) -> Result<Next, HandshakeError> {
        if response.len() > MAX_MESSAGE {
            return Err(HandshakeError::TooLong(response.len()));
        }
        let response = SessionData::decode(response).map_err(|_| HandshakeError::Garbage)?;
        if response.sec_ver != self.security_version() {
            return Err(HandshakeError::WrongSecurityVersion);
        }
        match (self.0, response.scheme) {
            (State::Sec0Command, Some(Scheme::Sec0(response))) => sec0_response(response),
            (State::Sec1Command0 { private, public, pop }, Some(Scheme::Sec1(response))) => {
                sec1_response0(response, &private, public, &pop)
            }
            (State::Sec1Command1 { stream, public }, Some(Scheme::Sec1(response))) => {
                sec1_response1(response, stream, &public)
            }
            (State::Sec2Command0 { username, password, patch_ver, private, public }, Some(Scheme::Sec2(response))) => {
                sec2_response0(response, &username, &password, patch_ver, &private, &public)
            }
            (State::Sec2Command1 { proofs, patch_ver }, Some(Scheme::Sec2(response))) => {
                sec2_response1(response, &proofs, patch_ver)
            }
            _ => Err(HandshakeError::Garbage),
        }
    }

    /// Says what it means that the link reported the device's refusal of the last request (BLE: an ATT error, HTTP: a
    /// closed socket) in place of a response: [`HandshakeError::WrongSecurityVersion`] for the first request,
    /// [`HandshakeError::WrongPop`] for the second.
    #[must_use]
    pub fn refused(self) -> HandshakeError {
        match self.0 {
            State::Sec0Command | State::Sec1Command0 { .. } | State::Sec2Command0 { .. } => {
                HandshakeError::WrongSecurityVersion
            }
            State::Sec1Command1 { .. } | State::Sec2Command1 { .. } => HandshakeError::WrongPop,
        }
    }

    fn security_version(&self) -> i32 {
        match self.0 {
            State::Sec0Command => 0,
            State::Sec1Command0 { .. } | State::Sec1Command1 { .. } => 1,
            State::Sec2Command0 { .. } | State::Sec2Command1 { .. } => 2,
        }
    }
}

fn sec0_response(response: envelope::Sec0) -> Result<Next, HandshakeError> {
    let (RESPONSE_0, Some(Sec0Body::Response(response))) = (response.msg, response.body) else {
        return Err(HandshakeError::Garbage);
    };
    success(response.status)?;
    Ok(Next::Secured(Session(Channel::Plain)))
}

fn sec1_response0(
    response: envelope::Sec1,
    private: &[u8; 32],
    public: [u8; 32],
    pop: &SecretString,
) -> Result<Next, HandshakeError> {
    let (RESPONSE_0, Some(Sec1Body::Response0(response))) = (response.msg, response.body) else {
        return Err(HandshakeError::Garbage);
    };
    success(response.status)?;
    let device: [u8; 32] = exactly(&response.device_pubkey)?;
    let random: [u8; 16] = exactly(&response.device_random)?;
    let shared = security1::agree(private, &device).ok_or(HandshakeError::LowOrderKey)?;
    let mut stream = Box::new(security1::keystream(&shared, pop, &random));
    let client_verify_data = channel::apply(&mut stream, &device).map_err(|_| HandshakeError::Garbage)?;
    let body = Sec1Body::Command1(Sec1Command1 { client_verify_data });
    Ok(Next::Send(Handshake(State::Sec1Command1 { stream, public }), envelope::sec1(COMMAND_1, body)))
}

fn sec1_response1(
    response: envelope::Sec1,
    mut stream: Box<Ctr128BE<Aes256>>,
    public: &[u8; 32],
) -> Result<Next, HandshakeError> {
    let (RESPONSE_1, Some(Sec1Body::Response1(response))) = (response.msg, response.body) else {
        return Err(HandshakeError::Garbage);
    };
    proof_accepted(response.status)?;
    let proof: [u8; 32] = exactly(&response.device_verify_data)?;
    let decrypted = channel::apply(&mut stream, &proof).map_err(|_| HandshakeError::Garbage)?;
    if !bool::from(decrypted.ct_eq(public)) {
        return Err(HandshakeError::DeviceNotProven);
    }
    Ok(Next::Secured(Session(Channel::Keystream(stream))))
}

fn sec2_response0(
    response: envelope::Sec2,
    username: &str,
    password: &SecretString,
    patch_ver: u8,
    private: &[u8; 32],
    public: &[u8; GROUP_LEN],
) -> Result<Next, HandshakeError> {
    let (RESPONSE_0, Some(Sec2Body::Response0(response))) = (response.msg, response.body) else {
        return Err(HandshakeError::Garbage);
    };
    success(response.status)?;
    let (salt, device) = (response.device_salt, response.device_pubkey);
    if salt.is_empty() || device.is_empty() {
        return Err(HandshakeError::Garbage);
    }
    let username = username.as_bytes();
    let premaster = srp6a::client_premaster(private, public, username, password, &salt, &device).map_err(
        |unusable| match unusable {
            Unusable::TheirKey | Unusable::OurVerifier => HandshakeError::ForbiddenKey,
        },
    )?;
    let proofs = srp6a::proofs(username, &salt, public, &device, &premaster);
    let body = Sec2Body::Command1(Sec2Command1 { client_proof: proofs.client.to_vec() });
    Ok(Next::Send(Handshake(State::Sec2Command1 { proofs, patch_ver }), envelope::sec2(COMMAND_1, body)))
}

fn sec2_response1(response: envelope::Sec2, proofs: &Proofs, patch_ver: u8) -> Result<Next, HandshakeError> {
    let (RESPONSE_1, Some(Sec2Body::Response1(response))) = (response.msg, response.body) else {
        return Err(HandshakeError::Garbage);
    };
    proof_accepted(response.status)?;
    let proof: [u8; 64] = exactly(&response.device_proof)?;
    if !bool::from(proof.ct_eq(&*proofs.device)) {
        return Err(HandshakeError::DeviceNotProven);
    }
    Channel::gcm(&proofs.key, &response.device_nonce, patch_ver)
        .map(|channel| Next::Secured(Session(channel)))
        .ok_or(HandshakeError::Garbage)
}

fn success(status: i32) -> Result<(), HandshakeError> {
    match Status::from_number(status) {
        Some(Status::Success) => Ok(()),
        Some(Status::InvalidSecScheme) => Err(HandshakeError::WrongSecurityVersion),
        Some(status) => Err(HandshakeError::Device(status)),
        None => Err(HandshakeError::Garbage),
    }
}

/// As [`success`], for the answer to our proof: ESP-IDF refuses a wrong one without an answer, others may say so.
fn proof_accepted(status: i32) -> Result<(), HandshakeError> {
    success(status).map_err(|error| match error {
        HandshakeError::Device(Status::CryptoError) => HandshakeError::WrongPop,
        other => other,
    })
}

fn exactly<const LEN: usize>(bytes: &[u8]) -> Result<[u8; LEN], HandshakeError> {
    bytes.try_into().map_err(|_| HandshakeError::Garbage)
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

/// What to do after a response.
#[derive(Debug)]
pub enum Next {
    /// Send these bytes to the endpoint [`ENDPOINT`](super::ENDPOINT) and give the response to the handshake.
    Send(Handshake, Vec<u8>),
    /// The session stands.
    Secured(Session),
}

/// A session that stands. Requests are sealed and responses opened strictly in turn, one after the other: both sides
/// count them (Security 2) or share one keystream (Security 1). After a lost message start a new handshake.
pub struct Session(Channel);

impl Session {
    /// Encrypts a request for any endpoint but `proto-ver` and `prov-session`.
    ///
    /// # Errors
    /// [`SessionError::Exhausted`] after 2³² messages.
    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, SessionError> {
        Ok(self.0.seal(plain)?)
    }

    /// Decrypts a response.
    ///
    /// # Errors
    /// [`SessionError::Forged`] where the device's tag does not fit: changed on the way, or out of turn. Security 0 and 1
    /// cannot tell.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, SessionError> {
        Ok(self.0.open(sealed)?)
    }

    /// By how many bytes [`seal`](Self::seal) makes a message longer: 16 for Security 2, else 0.
    #[must_use]
    pub fn overhead(&self) -> usize {
        self.0.overhead()
    }

    /// What this session does not protect against, `None` for Security 2 as it should be.
    #[must_use]
    pub fn weakness(&self) -> Option<Weakness> {
        self.0.weakness()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The device refused our proof: the proof of possession (or the username) is not this device's.
    #[error("the device refused the proof of possession")]
    WrongPop,
    /// The device could not prove that it knows the proof of possession: it is not the device on the label.
    #[error("the device could not prove that it belongs to this label")]
    DeviceNotProven,
    /// The device speaks another security version than the credentials are for.
    #[error("the device uses another security version")]
    WrongSecurityVersion,
    /// The device answered with a status other than success.
    #[error("the device answered with status {0:?}")]
    Device(Status),
    /// The response cannot be decoded, lacks a field, or is not the answer to our request.
    #[error("the device's answer makes no sense")]
    Garbage,
    /// The response is longer than [`MAX_MESSAGE`](super::MAX_MESSAGE).
    #[error("the device's answer is too long ({0} bytes)")]
    TooLong(usize),
    /// Security 1: the device's public key has a low order, so the shared secret would be known to anybody.
    #[error("the device sent an unsafe public key")]
    LowOrderKey,
    /// Security 2: the device's public key is 0 modulo N, too long, or makes u = 0.
    #[error("the device sent a public key that the protocol forbids")]
    ForbiddenKey,
    /// The username is empty or longer than [`MAX_USERNAME`](super::srp6a::MAX_USERNAME) bytes.
    #[error("the username must have 1 to {} bytes", super::srp6a::MAX_USERNAME)]
    Username,
    /// A `sec_patch_ver` that is neither 0 nor 1.
    #[error("unknown sec_patch_ver {0}")]
    PatchVersion(u8),
}

/// Why a message was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The message was changed on the way, came out of turn, or belongs to another session.
    #[error("the message does not belong to this session")]
    Forged,
    /// The message counter is used up; make a new session.
    #[error("the session has carried as many messages as it may")]
    Exhausted,
}

impl From<ChannelError> for SessionError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Forged => Self::Forged,
            ChannelError::Exhausted => Self::Exhausted,
        }
    }
}
