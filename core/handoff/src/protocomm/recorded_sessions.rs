//! Every recorded session again in the device's role (tests/vectors.rs has the client's).
//!
//! The recordings tell the device's public key, salt, random and nonce, but no private key of a device. Random, nonce and
//! salt go in as they would in production. The device's half of the key agreement is put in through [`Agreement`]: its
//! public key as recorded and the shared secret as the client's recorded private key gives it. Everything else (checks,
//! proofs, envelope, ciphers, state) is the device's own code, and every one of its messages must be the recorded one.
//!
//! The two refused Security 2 sessions tell no private key at all. There the device has a private key of its own, sends
//! the recorded public key, and must refuse the recorded proof, as ESP-IDF did.

use prost::Message;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::device::{Agreement, DeviceSecurity, Refusal, SecureSession};
use super::envelope::{Scheme, Sec1Body, Sec2Body, SessionData};
use super::srp6a::{self, GROUP_LEN, Premaster, Unusable};
use super::{security1, srp6a::Verifier};

// Each role reads part of it.
#[allow(dead_code)]
#[path = "../../tests/vectors/recorded.rs"]
mod recorded;

use recorded::{DEVICE_SECRET, Recorded};

/// A session's handshake, decoded.
#[derive(Default)]
struct Told {
    username: Vec<u8>,
    client_public: Vec<u8>,
    device_public: Vec<u8>,
    /// Security 1.
    device_random: Vec<u8>,
    /// Security 2.
    salt: Vec<u8>,
    nonce: Vec<u8>,
}

fn told(session: &Recorded) -> Told {
    let mut told = Told::default();
    let handshake = session.log.iter().take_while(|exchange| exchange.plain.is_none());
    for bytes in handshake.flat_map(|exchange| [Some(&exchange.request), exchange.response.as_ref()]) {
        let Some(bytes) = bytes else { continue };
        let message = SessionData::decode(bytes.as_slice()).unwrap();
        assert_eq!(&message.encode_to_vec(), bytes, "{}: our envelope is not theirs", session.name);
        match message.scheme.unwrap() {
            Scheme::Sec0(_) => panic!("no Security 0 session was recorded"),
            Scheme::Sec1(message) => match message.body.unwrap() {
                Sec1Body::Command0(command) => told.client_public = command.client_pubkey,
                Sec1Body::Response0(response) => {
                    told.device_public = response.device_pubkey;
                    told.device_random = response.device_random;
                }
                Sec1Body::Command1(_) | Sec1Body::Response1(_) => {}
            },
            Scheme::Sec2(message) => match message.body.unwrap() {
                Sec2Body::Command0(command) => {
                    told.username = command.client_username;
                    told.client_public = command.client_pubkey;
                }
                Sec2Body::Response0(response) => {
                    told.device_public = response.device_pubkey;
                    told.salt = response.device_salt;
                }
                Sec2Body::Command1(_) => {}
                Sec2Body::Response1(response) => told.nonce = response.device_nonce,
            },
        }
    }
    told
}

/// Gives the recorded public key, and the secret that the client's recorded private key makes with it.
struct FromRecording<'a> {
    session: &'a Recorded,
    told: &'a Told,
}

impl Agreement for FromRecording<'_> {
    fn security1(&self, _private: &[u8; 32], client: &[u8; 32]) -> Option<([u8; 32], Zeroizing<[u8; 32]>)> {
        let device: [u8; 32] = self.told.device_public.as_slice().try_into().unwrap();
        let client_private = self.session.client_private.unwrap();
        assert_eq!(client, &security1::public_key(&client_private));
        Some((device, security1::agree(&client_private, &device)?))
    }

    fn security2(
        &self,
        private: &[u8; 32],
        verifier: &[u8],
        client: &[u8; GROUP_LEN],
    ) -> Result<(Vec<u8>, Premaster), Unusable> {
        let premaster = match &self.session.client_private {
            Some(client_private) => srp6a::client_premaster(
                client_private,
                client,
                &self.told.username,
                &SecretString::from(DEVICE_SECRET),
                &self.told.salt,
                &self.told.device_public,
            )?,
            None => srp6a::device_agreement(private, verifier, client)?.1,
        };
        Ok((self.told.device_public.clone(), premaster))
    }
}

fn security(session: &Recorded, told: &Told) -> DeviceSecurity {
    if session.sec == 1 {
        let pop = if session.secret.is_empty() { "" } else { DEVICE_SECRET };
        return DeviceSecurity::Security1 { pop: SecretString::from(pop) };
    }
    let salt: [u8; 16] = told.salt.as_slice().try_into().unwrap();
    let Verifier { salt, verifier } =
        srp6a::make_verifier("wifiprov", &SecretString::from(DEVICE_SECRET), &salt).unwrap();
    DeviceSecurity::Security2 { username: "wifiprov".to_owned(), salt, verifier, patch_ver: session.patch_ver }
}

#[test]
fn our_device_answers_what_esp_idf_answered() {
    let mut exchanges = 0;
    let mut refusals = 0;
    for session in &recorded::sessions() {
        let name = &session.name;
        let told = told(session);
        let agreement = FromRecording { session, told: &told };
        let mut device = SecureSession::new(security(session, &told));
        for exchange in &session.log {
            exchanges += 1;
            let Some((plain_request, plain_response)) = &exchange.plain else {
                let mut entropy = [0x33; 64];
                if session.sec == 1 {
                    entropy[32..48].copy_from_slice(&told.device_random);
                } else {
                    let random = told.nonce.len().min(if session.patch_ver == 1 { 8 } else { 16 });
                    entropy[..random].copy_from_slice(&told.nonce[..random]);
                }
                let answer = device.handshake_by(&agreement, &exchange.request, &entropy);
                match &exchange.response {
                    Some(response) => assert_eq!(&answer.unwrap(), response, "{name}"),
                    None => {
                        refusals += 1;
                        assert_eq!(answer, Err(Refusal::WrongProof), "{name}");
                        assert!(!device.is_secure());
                    }
                }
                continue;
            };
            assert_eq!(&device.open(&exchange.request).unwrap(), plain_request, "{name}");
            let sealed = device.seal(plain_response).unwrap();
            assert_eq!(&sealed, exchange.response.as_ref().unwrap(), "{name}");
        }
        assert_eq!(device.is_secure(), !session.refused, "{name}");
    }
    assert_eq!((exchanges, refusals), (160, 4));
}
