//! Security 1's key agreement: X25519, mixed with the proof of possession.

use aes::Aes256;
use ctr::Ctr128BE;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::channel::Channel;

/// The public key of a private one.
pub(super) fn public_key(private: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*private)).to_bytes()
}

/// The shared secret; `None` where their key has a low order, so that the secret would be known to anybody.
pub(super) fn agree(private: &[u8; 32], theirs: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    let shared = StaticSecret::from(*private).diffie_hellman(&PublicKey::from(*theirs));
    shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
}

/// The session's keystream: AES-256-CTR under the shared secret, xored with SHA-256 of the proof of possession if there is
/// one.
pub(super) fn keystream(shared: &[u8; 32], pop: &SecretString, device_random: &[u8; 16]) -> Ctr128BE<Aes256> {
    let mut key = Zeroizing::new(*shared);
    if !pop.expose_secret().is_empty() {
        let hash = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(pop.expose_secret().as_bytes())));
        for (byte, mask) in key.iter_mut().zip(hash.iter()) {
            *byte ^= mask;
        }
    }
    Channel::keystream(&key, device_random)
}
