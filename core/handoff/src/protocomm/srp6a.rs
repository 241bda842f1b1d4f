//! SRP-6a as Security 2 uses it: RFC 5054's 3072-bit group with g = 5, and SHA-512.
//!
//! Names are RFC 5054's: N and g make the group, I and P are username and password, s is the salt, v the verifier, a and
//! b the private and A and B the public keys, S the premaster secret.

mod group;
mod powers_of_5;

use std::fmt;

use crypto_bigint::{U256, U512, U1024};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use self::group::Element;
use self::powers_of_5::power_of_5;

/// Longest username, in bytes. protocomm sets no limit; labels have about 8.
pub const MAX_USERNAME: usize = 256;

/// Length of N, of public keys and of a padded verifier, in bytes.
pub const GROUP_LEN: usize = 384;

/// Length of the salts that [`make_verifier`] makes, in bytes, as Espressif's tool makes them.
pub const SALT_LEN: usize = 16;

/// What the factory stores in the device: it proves knowledge of the password without holding it.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// [`SALT_LEN`] bytes, the first of them not 0.
    pub salt: Vec<u8>,
    /// g^x modulo N, big-endian, [`GROUP_LEN`] bytes. Not public: it allows offline guessing.
    pub verifier: Vec<u8>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// Makes the salt and verifier of a username and password (the label's `username` and `pop`).
///
/// `salt_entropy` is 16 fresh random bytes. A salt that would begin with 0 is replaced by one derived from it: Espressif's
/// Python tool drops such zeros and computes another verifier.
///
/// # Errors
/// [`VerifierError::Reroll`] for a password that Espressif's tool would get wrong: draw another.
pub fn make_verifier(
    username: &str,
    password: &SecretString,
    salt_entropy: &[u8; SALT_LEN],
) -> Result<Verifier, VerifierError> {
    if !is_username(username.as_bytes()) {
        return Err(VerifierError::Username);
    }
    if identity_hash(username.as_bytes(), password)[0] == 0 {
        return Err(VerifierError::Reroll);
    }
    let mut salt = salt_entropy.to_vec();
    while salt[0] == 0 {
        salt = sha512(&[b"lowtouch salt", &salt])[..SALT_LEN].to_vec();
    }
    let x = password_exponent(&salt, username.as_bytes(), password);
    let verifier = group::bytes(&power_of_5(&x)).to_vec();
    Ok(Verifier { salt, verifier })
}

/// Why there is no verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// The username is empty or longer than [`MAX_USERNAME`] bytes.
    #[error("the username must have 1 to {MAX_USERNAME} bytes")]
    Username,
    /// SHA-512 of `username:password` begins with a zero byte, which Espressif's Python tool gets wrong. One password in
    /// 256 does: draw another.
    #[error("this password does not work with every provisioning tool; choose another")]
    Reroll,
}

/// The group's prime N, big-endian (RFC 5054, appendix A, 3072 bits). For benches and for tests of refusals.
#[must_use]
pub fn group_prime() -> [u8; GROUP_LEN] {
    group::prime()
}

/// Why two halves make no premaster secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// The other side's public key is 0 modulo N or too long, or u = 0.
    TheirKey,
    /// The device's own verifier is 0 modulo N or too long.
    OurVerifier,
}

/// The premaster secret S, [`GROUP_LEN`] bytes.
pub(super) type Premaster = Zeroizing<[u8; GROUP_LEN]>;

/// A private key of either side: 256 bits of which the highest is set, so that g^a is never small.
pub(super) fn private_key(entropy: &[u8; 64]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&entropy[..32]);
    key[0] |= 0x80;
    key
}

pub(super) fn is_username(username: &[u8]) -> bool {
    (1..=MAX_USERNAME).contains(&username.len())
}

/// A = g^a.
pub(super) fn client_public(a: &[u8; 32]) -> [u8; GROUP_LEN] {
    group::bytes(&power_of_5(a))
}

/// S = (B - k g^x)^(a + u x).
pub(super) fn client_premaster(
    a: &[u8; 32],
    client_public: &[u8; GROUP_LEN],
    username: &[u8],
    password: &SecretString,
    salt: &[u8],
    device_public: &[u8],
) -> Result<Premaster, Unusable> {
    let device = group::element(device_public).ok_or(Unusable::TheirKey)?;
    if group::is_zero(&device) {
        return Err(Unusable::TheirKey);
    }
    let u = scrambler(client_public, device_public)?;
    let x = password_exponent(salt, username, password);
    let base = device - multiplier() * power_of_5(&x);
    // Only a device that knows the verifier, or a very unlucky one, hits this; S would be 0, known to everybody.
    if group::is_zero(&base) {
        return Err(Unusable::TheirKey);
    }
    let x = Zeroizing::new(U512::from_be_slice(&*x));
    let a = Zeroizing::new(U256::from_be_slice(a));
    let product: Zeroizing<U1024> = Zeroizing::new(U512::from_be_slice(&u).concatenating_mul(&*x));
    // (2^512 - 1)^2 + 2^256 < 2^1024: nothing wraps.
    let exponent = Zeroizing::new(product.wrapping_add(&a.resize()));
    Ok(Zeroizing::new(group::bytes(&base.pow(&*exponent))))
}

/// B = k v + g^b and S = (A v^u)^b.
pub(super) fn device_agreement(
    b: &[u8; 32],
    verifier: &[u8],
    client_public: &[u8; GROUP_LEN],
) -> Result<([u8; GROUP_LEN], Premaster), Unusable> {
    let verifier = group::element(verifier).ok_or(Unusable::OurVerifier)?;
    if group::is_zero(&verifier) {
        return Err(Unusable::OurVerifier);
    }
    let client = group::element(client_public).ok_or(Unusable::TheirKey)?;
    if group::is_zero(&client) {
        return Err(Unusable::TheirKey);
    }
    let device_public = group::bytes(&(multiplier() * verifier + power_of_5(b)));
    let u = scrambler(client_public, &device_public)?;
    let base = client * verifier.pow(&U512::from_be_slice(&u));
    let exponent = Zeroizing::new(U256::from_be_slice(b));
    Ok((device_public, Zeroizing::new(group::bytes(&base.pow(&*exponent)))))
}

/// What both sides compute from the premaster secret.
pub(super) struct Proofs {
    /// M = H((H(N) xor H(PAD(g))) | H(I) | s | A | B | K).
    pub(super) client: Zeroizing<[u8; 64]>,
    /// H(A | M | K).
    pub(super) device: Zeroizing<[u8; 64]>,
    /// The first half of K = H(S), S without its leading zeros: the AES-256 key.
    pub(super) key: Zeroizing<[u8; 32]>,
}

/// `client_public` and `device_public` as they were sent: a B with leading zeros may come shorter than [`GROUP_LEN`].
pub(super) fn proofs(
    username: &[u8],
    salt: &[u8],
    client_public: &[u8],
    device_public: &[u8],
    premaster: &Premaster,
) -> Proofs {
    let zeros = premaster.iter().take_while(|&&byte| byte == 0).count();
    let session = Zeroizing::new(sha512(&[&premaster[zeros..]]));
    let mut group_hash = sha512(&[&group::prime()]);
    for (byte, other) in group_hash.iter_mut().zip(sha512(&[&padded_generator()])) {
        *byte ^= other;
    }
    let client =
        Zeroizing::new(sha512(&[&group_hash, &sha512(&[username]), salt, client_public, device_public, &*session]));
    let device = Zeroizing::new(sha512(&[client_public, &*client, &*session]));
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&session[..32]);
    Proofs { client, device, key }
}

/// k = H(N | PAD(g)).
fn multiplier() -> Element {
    let hash = sha512(&[&group::prime(), &padded_generator()]);
    group::element(&hash).unwrap_or(Element::ZERO)
}

/// u = H(PAD(A) | PAD(B)); refused if 0, because S would then not depend on the password.
fn scrambler(client_public: &[u8; GROUP_LEN], device_public: &[u8]) -> Result<[u8; 64], Unusable> {
    let padding = GROUP_LEN.checked_sub(device_public.len()).ok_or(Unusable::TheirKey)?;
    let u = sha512(&[client_public, &[0; GROUP_LEN][..padding], device_public]);
    if u == [0; 64] {
        return Err(Unusable::TheirKey);
    }
    Ok(u)
}

/// x = H(s | H(I ":" P)).
fn password_exponent(salt: &[u8], username: &[u8], password: &SecretString) -> Zeroizing<[u8; 64]> {
    Zeroizing::new(sha512(&[salt, &*identity_hash(username, password)]))
}

fn identity_hash(username: &[u8], password: &SecretString) -> Zeroizing<[u8; 64]> {
    Zeroizing::new(sha512(&[username, b":", password.expose_secret().as_bytes()]))
}

fn padded_generator() -> [u8; GROUP_LEN] {
    let mut g = [0; GROUP_LEN];
    g[GROUP_LEN - 1] = 5;
    g
}

fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn a_salt_that_begins_with_zero_is_rolled_again() {
        let mut entropy = [7; SALT_LEN];
        let kept = make_verifier("wifiprov", &password("abcd1234"), &entropy).unwrap();
        assert_eq!(kept.salt, entropy);
        entropy[0] = 0;
        let rolled = make_verifier("wifiprov", &password("abcd1234"), &entropy).unwrap();
        assert_ne!(rolled.salt[0], 0);
        assert_eq!(rolled.salt.len(), SALT_LEN);
        assert_eq!(rolled.verifier.len(), GROUP_LEN);
    }

    #[test]
    fn credentials_whose_hash_begins_with_zero_are_refused() {
        let refused = (0..10_000)
            .map(|n| format!("pop{n}"))
            .find(|pop| identity_hash(b"wifiprov", &password(pop))[0] == 0)
            .unwrap();
        assert_eq!(make_verifier("wifiprov", &password(&refused), &[7; SALT_LEN]), Err(VerifierError::Reroll));
    }

    #[test]
    fn an_empty_or_overlong_username_gets_no_verifier() {
        for username in [String::new(), "u".repeat(MAX_USERNAME + 1)] {
            assert_eq!(make_verifier(&username, &password("abcd1234"), &[7; SALT_LEN]), Err(VerifierError::Username));
        }
    }

    #[test]
    fn multiples_of_the_prime_are_refused_as_public_keys() {
        let made = make_verifier("wifiprov", &password("abcd1234"), &[7; SALT_LEN]).unwrap();
        let a = private_key(&[1; 64]);
        for key in [[0; GROUP_LEN], group_prime()] {
            assert_eq!(device_agreement(&a, &made.verifier, &key).unwrap_err(), Unusable::TheirKey);
            assert_eq!(
                client_premaster(&a, &client_public(&a), b"wifiprov", &password("abcd1234"), &made.salt, &key)
                    .unwrap_err(),
                Unusable::TheirKey
            );
        }
    }

    #[test]
    fn a_device_key_that_makes_the_secret_zero_is_refused() {
        let made = make_verifier("wifiprov", &password("abcd1234"), &[7; SALT_LEN]).unwrap();
        let a = private_key(&[1; 64]);
        let key = group::bytes(&(multiplier() * group::element(&made.verifier).unwrap()));
        let premaster = client_premaster(&a, &client_public(&a), b"wifiprov", &password("abcd1234"), &made.salt, &key);
        assert_eq!(premaster.unwrap_err(), Unusable::TheirKey);
    }

    #[test]
    fn a_verifier_of_zero_is_refused() {
        let a = private_key(&[1; 64]);
        for verifier in [&[][..], &[0; GROUP_LEN], &group_prime(), &[1; GROUP_LEN + 1]] {
            assert_eq!(device_agreement(&a, verifier, &client_public(&a)).unwrap_err(), Unusable::OurVerifier);
        }
    }
}
