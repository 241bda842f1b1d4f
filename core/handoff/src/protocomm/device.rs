//! The device's side of a protocomm session.

use std::fmt;

use aes::Aes256;
use ctr::Ctr128BE;
use prost::Message;
use secrecy::SecretString;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::channel::{self, Channel, ChannelError};
use super::envelope::{
    self, COMMAND_0, COMMAND_1, RESPONSE_0, RESPONSE_1, Scheme, Sec0, Sec0Body, Sec0Response, Sec1, Sec1Body,
    Sec1Response0, Sec1Response1, Sec2, Sec2Body, Sec2Response0, Sec2Response1, SessionData,
};
use super::srp6a::{self, GROUP_LEN, Premaster, Proofs, Unusable};
use super::{MAX_MESSAGE, Status, security1};

/// What the device was given in the factory.
#[derive(Clone)]
pub enum DeviceSecurity {
    /// No protection at all.
    Security0,
    /// X25519 and AES-CTR.
    Security1 {
        /// The proof of possession; empty for none (`no_pop`).
        pop: SecretString,
    },
    /// SRP-6a and AES-GCM. The device does not know the password, only its verifier.
    Security2 {
        /// The label's `username`.
        username: String,
        /// The verifier's salt, 1 to 64 bytes, as [`make_verifier`](super::srp6a::make_verifier) made it.
        salt: Vec<u8>,
        /// g^x modulo N, big-endian, at most 384 bytes.
        verifier: Vec<u8>,
        /// 1: the nonce advances; 0: it never changes, as ESP-IDF up to 5.4 has it (for tests and old clients only).
        patch_ver: u8,
    },
}

impl fmt::Debug for DeviceSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Security0 => "Security0",
            Self::Security1 { .. } => "Security1",
            Self::Security2 { .. } => "Security2",
        })
    }
}

/// One link connection's session. A new connection starts with a new one.
pub struct SecureSession {
    security: DeviceSecurity,
    state: State,
}

enum State {
    Idle,
    Sec1Command0Answered { stream: Box<Ctr128BE<Aes256>>, client: [u8; 32], device: [u8; 32] },
    Sec2Command0Answered { proofs: Proofs, username_fits: bool },
    Secure(Channel),
}

impl SecureSession {
    /// No session yet: the first request must be a handshake's.
    #[must_use]
    pub fn new(security: DeviceSecurity) -> Self {
        Self { security, state: State::Idle }
    }

    /// Answers one request of the endpoint [`ENDPOINT`](super::ENDPOINT). `entropy` is 64 fresh random bytes for every
    /// call. A client may start again at any time; that ends the session that stood.
    ///
    /// # Errors
    /// See [`Refusal`]. A wrong proof ends the handshake: each guess costs a whole one.
    pub fn handshake(&mut self, request: &[u8], entropy: &[u8; 64]) -> Result<Vec<u8>, Refusal> {
        self.handshake_by(&Computed, request, entropy)
    }

    pub(super) fn handshake_by(
        &mut self,
        agreement: &impl Agreement,
        request: &[u8],
        entropy: &[u8; 64],
    ) -> Result<Vec<u8>, Refusal> {
        if request.len() > MAX_MESSAGE {
            return Err(Refusal::TooLong);
        }
        let request = SessionData::decode(request).map_err(|_| Refusal::Garbage)?;
        if request.sec_ver != self.security.version() {
            return Err(Refusal::WrongSecurityVersion);
        }
        match request.scheme {
            Some(Scheme::Sec0(request)) if request.msg == COMMAND_0 => self.sec0_command(&request),
            Some(Scheme::Sec1(Sec1 { msg: COMMAND_0, body: Some(Sec1Body::Command0(command)) })) => {
                self.sec1_command0(agreement, &command.client_pubkey, entropy)
            }
            Some(Scheme::Sec1(Sec1 { msg: COMMAND_1, body: Some(Sec1Body::Command1(command)) })) => {
                self.sec1_command1(&command.client_verify_data)
            }
            Some(Scheme::Sec2(Sec2 { msg: COMMAND_0, body: Some(Sec2Body::Command0(command)) })) => {
                self.sec2_command0(agreement, &command.client_username, &command.client_pubkey, entropy)
            }
            Some(Scheme::Sec2(Sec2 { msg: COMMAND_1, body: Some(Sec2Body::Command1(command)) })) => {
                self.sec2_command1(&command.client_proof, entropy)
            }
            _ => Err(Refusal::Garbage),
        }
    }

    /// Decrypts a request.
    ///
    /// # Errors
    /// [`Refusal::NoSession`], [`Refusal::Forged`], [`Refusal::Exhausted`]. After a forged request the session stands as
    /// it was.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Refusal> {
        Ok(self.channel()?.open(sealed)?)
    }

    /// Encrypts the response to the request that was opened last.
    ///
    /// # Errors
    /// [`Refusal::NoSession`], [`Refusal::Exhausted`].
    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, Refusal> {
        Ok(self.channel()?.seal(plain)?)
    }

    /// By how many bytes [`seal`](Self::seal) makes a message longer: 16 for Security 2, else 0.
    #[must_use]
    pub fn overhead(&self) -> usize {
        match &self.state {
            State::Secure(channel) => channel.overhead(),
            _ => 0,
        }
    }

    /// Whether the handshake is complete.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self.state, State::Secure(_))
    }

    fn channel(&mut self) -> Result<&mut Channel, Refusal> {
        match &mut self.state {
            State::Secure(channel) => Ok(channel),
            _ => Err(Refusal::NoSession),
        }
    }

    fn sec0_command(&mut self, request: &Sec0) -> Result<Vec<u8>, Refusal> {
        let (DeviceSecurity::Security0, Some(Sec0Body::Command(_)) | None) = (&self.security, &request.body) else {
            return Err(Refusal::Garbage);
        };
        self.state = State::Secure(Channel::Plain);
        let status = Status::Success as i32;
        let body = Sec0Body::Response(Sec0Response { status });
        Ok(envelope::sec0(RESPONSE_0, body))
    }

    fn sec1_command0(
        &mut self,
        agreement: &impl Agreement,
        client: &[u8],
        entropy: &[u8; 64],
    ) -> Result<Vec<u8>, Refusal> {
        let DeviceSecurity::Security1 { pop } = &self.security else {
            return Err(Refusal::Garbage);
        };
        let client: [u8; 32] = client.try_into().map_err(|_| Refusal::Garbage)?;
        let mut private = Zeroizing::new([0; 32]);
        private.copy_from_slice(&entropy[..32]);
        let mut random = [0; 16];
        random.copy_from_slice(&entropy[32..48]);
        let (device, shared) = agreement.security1(&private, &client).ok_or(Refusal::LowOrderKey)?;
        self.state = State::Sec1Command0Answered {
            stream: Box::new(security1::keystream(&shared, pop, &random)),
            client,
            device,
        };
        let body = Sec1Body::Response0(Sec1Response0 {
            status: Status::Success as i32,
            device_pubkey: device.to_vec(),
            device_random: random.to_vec(),
        });
        Ok(envelope::sec1(RESPONSE_0, body))
    }

    fn sec1_command1(&mut self, proof: &[u8]) -> Result<Vec<u8>, Refusal> {
        let State::Sec1Command0Answered { mut stream, client, device } =
            self.take_state_if(|state| matches!(state, State::Sec1Command0Answered { .. }))?
        else {
            return Err(Refusal::OutOfTurn);
        };
        let proof: [u8; 32] = proof.try_into().map_err(|_| Refusal::ProofLength)?;
        let decrypted = channel::apply(&mut stream, &proof)?;
        if !bool::from(decrypted.ct_eq(&device)) {
            return Err(Refusal::WrongProof);
        }
        let body = Sec1Body::Response1(Sec1Response1 {
            status: Status::Success as i32,
            device_verify_data: channel::apply(&mut stream, &client)?,
        });
        self.state = State::Secure(Channel::Keystream(stream));
        Ok(envelope::sec1(RESPONSE_1, body))
    }

    fn sec2_command0(
        &mut self,
        agreement: &impl Agreement,
        client_username: &[u8],
        client: &[u8],
        entropy: &[u8; 64],
    ) -> Result<Vec<u8>, Refusal> {
        let DeviceSecurity::Security2 { username, salt, verifier, patch_ver } = &self.security else {
            return Err(Refusal::Garbage);
        };
        if !srp6a::is_username(username.as_bytes()) || salt.is_empty() || *patch_ver > 1 {
            return Err(Refusal::OwnCredentials);
        }
        if !srp6a::is_username(client_username) {
            return Err(Refusal::Username);
        }
        let client: &[u8; GROUP_LEN] = client.try_into().map_err(|_| Refusal::ForbiddenKey)?;
        let private = srp6a::private_key(entropy);
        let (device, premaster) =
            agreement.security2(&private, verifier, client).map_err(|unusable| match unusable {
                Unusable::TheirKey => Refusal::ForbiddenKey,
                Unusable::OurVerifier => Refusal::OwnCredentials,
            })?;
        let proofs = srp6a::proofs(client_username, salt, client, &device, &premaster);
        let body = Sec2Body::Response0(Sec2Response0 {
            status: Status::Success as i32,
            device_pubkey: device,
            device_salt: salt.clone(),
        });
        self.state = State::Sec2Command0Answered {
            proofs,
            // Told only with the proof, so that usernames cannot be tried one by one.
            username_fits: username.as_bytes().ct_eq(client_username).into(),
        };
        Ok(envelope::sec2(RESPONSE_0, body))
    }

    fn sec2_command1(&mut self, proof: &[u8], entropy: &[u8; 64]) -> Result<Vec<u8>, Refusal> {
        let State::Sec2Command0Answered { proofs, username_fits } =
            self.take_state_if(|state| matches!(state, State::Sec2Command0Answered { .. }))?
        else {
            return Err(Refusal::OutOfTurn);
        };
        let DeviceSecurity::Security2 { patch_ver, .. } = self.security else {
            return Err(Refusal::OutOfTurn);
        };
        let proof: &[u8; 64] = proof.try_into().map_err(|_| Refusal::ProofLength)?;
        if !(bool::from(proof.ct_eq(&*proofs.client)) && username_fits) {
            return Err(Refusal::WrongProof);
        }
        let nonce = first_nonce(patch_ver, entropy);
        let channel = Channel::gcm(&proofs.key, &nonce, patch_ver).ok_or(Refusal::OwnCredentials)?;
        self.state = State::Secure(channel);
        let body = Sec2Body::Response1(Sec2Response1 {
            status: Status::Success as i32,
            device_proof: proofs.device.to_vec(),
            device_nonce: nonce,
        });
        Ok(envelope::sec2(RESPONSE_1, body))
    }

    /// Takes the state out where it is the one wanted, and leaves no handshake behind; else leaves it as it is.
    fn take_state_if(&mut self, wanted: impl Fn(&State) -> bool) -> Result<State, Refusal> {
        if !wanted(&self.state) {
            return Err(Refusal::OutOfTurn);
        }
        Ok(std::mem::replace(&mut self.state, State::Idle))
    }
}

/// The answer to a proof that belongs to no handshake of this session, with the status
/// [`InvalidSession`](Status::InvalidSession): another app or a reboot came between. ESP-IDF fails its handler here, which
/// an app cannot tell from a wrong proof. `None` where the request is no proof.
#[must_use]
pub fn invalid_session(request: &[u8]) -> Option<Vec<u8>> {
    let status = Status::InvalidSession as i32;
    match SessionData::decode(request).ok()?.scheme? {
        Scheme::Sec1(Sec1 { msg: COMMAND_1, .. }) => {
            let body = Sec1Body::Response1(Sec1Response1 { status, ..Sec1Response1::default() });
            Some(envelope::sec1(RESPONSE_1, body))
        }
        Scheme::Sec2(Sec2 { msg: COMMAND_1, .. }) => {
            let body = Sec2Body::Response1(Sec2Response1 { status, ..Sec2Response1::default() });
            Some(envelope::sec2(RESPONSE_1, body))
        }
        _ => None,
    }
}

/// 8 random bytes and a counter that begins with 1; for `sec_patch_ver` 0 16 random bytes, as ESP-IDF 5.4 has it.
fn first_nonce(patch_ver: u8, entropy: &[u8; 64]) -> Vec<u8> {
    if patch_ver == 0 {
        return entropy[..16].to_vec();
    }
    [&entropy[..8], &1u32.to_be_bytes()].concat()
}

impl DeviceSecurity {
    /// `sec_ver` as [`proto_ver`](crate::proto_ver) announces it.
    fn version(&self) -> i32 {
        match self {
            Self::Security0 => 0,
            Self::Security1 { .. } => 1,
            Self::Security2 { .. } => 2,
        }
    }
}

/// Makes the device's public key and the shared secret out of its private key. A recording tells the two but not the
/// private key, so the replay of recorded sessions puts them in here.
pub(super) trait Agreement {
    fn security1(&self, private: &[u8; 32], client: &[u8; 32]) -> Option<([u8; 32], Zeroizing<[u8; 32]>)>;

    fn security2(
        &self,
        private: &[u8; 32],
        verifier: &[u8],
        client: &[u8; GROUP_LEN],
    ) -> Result<(Vec<u8>, Premaster), Unusable>;
}

struct Computed;

impl Agreement for Computed {
    fn security1(&self, private: &[u8; 32], client: &[u8; 32]) -> Option<([u8; 32], Zeroizing<[u8; 32]>)> {
        let shared = security1::agree(private, client)?;
        Some((security1::public_key(private), shared))
    }

    fn security2(
        &self,
        private: &[u8; 32],
        verifier: &[u8],
        client: &[u8; GROUP_LEN],
    ) -> Result<(Vec<u8>, Premaster), Unusable> {
        let (device, premaster) = srp6a::device_agreement(private, verifier, client)?;
        Ok((device.to_vec(), premaster))
    }
}

impl fmt::Debug for SecureSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureSession").finish_non_exhaustive()
    }
}

/// Why the device's handler fails. The reason is for the device's own log: the client sees only that the handler failed
/// (BLE: an ATT error, HTTP: the socket closes), as with ESP-IDF, and a guesser learns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The client's proof is wrong: somebody guessed, or misread the label. Count these.
    #[error("wrong proof of possession")]
    WrongProof,
    /// The proof has not 64 bytes (Security 2) or 32 bytes (Security 1).
    #[error("a proof of the wrong length")]
    ProofLength,
    /// The request is for another security version.
    #[error("a handshake of another security version")]
    WrongSecurityVersion,
    /// The request cannot be decoded or lacks a field.
    #[error("a request that makes no sense")]
    Garbage,
    /// The request is longer than [`MAX_MESSAGE`](super::MAX_MESSAGE).
    #[error("a request that is too long")]
    TooLong,
    /// The second half of a handshake without its first.
    #[error("a proof without a handshake")]
    OutOfTurn,
    /// Security 1: a public key of low order.
    #[error("a public key of low order")]
    LowOrderKey,
    /// Security 2: A ≡ 0 (mod N), A that has not 384 bytes, or u = 0.
    #[error("a public key that the protocol forbids")]
    ForbiddenKey,
    /// The username is empty or too long.
    #[error("an empty or overlong username")]
    Username,
    /// The device's own salt, verifier or `sec_patch_ver` cannot be used.
    #[error("the device's own credentials cannot be used")]
    OwnCredentials,
    /// No handshake was completed on this connection.
    #[error("no session")]
    NoSession,
    /// The message was changed on the way, came out of turn, or belongs to another session.
    #[error("a message that does not belong to this session")]
    Forged,
    /// The message counter is used up.
    #[error("the session has carried as many messages as it may")]
    Exhausted,
}

impl From<ChannelError> for Refusal {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Forged => Self::Forged,
            ChannelError::Exhausted => Self::Exhausted,
        }
    }
}
