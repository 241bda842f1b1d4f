//! Shared access signatures of the device registration API.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;
use url::form_urlencoded::byte_serialize;

use super::RegistrationFailure;

/// Long enough for a registration on a device whose clock is somewhat off.
const LIFE: Duration = Duration::from_secs(3600);

/// The value of the header `Authorization`, for an hour from now.
pub(super) fn token(
    id_scope: &str,
    registration_id: &str,
    key: &SecretSlice<u8>,
) -> Result<String, RegistrationFailure> {
    Unsigned::new(id_scope, registration_id).signed_with(key)
}

/// A token that somebody has to sign yet.
pub(super) struct Unsigned {
    resource: String,
    expires: u64,
}

impl Unsigned {
    /// Good for an hour from now.
    pub(super) fn new(id_scope: &str, registration_id: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self::until(id_scope, registration_id, (now + LIFE).as_secs())
    }

    fn until(id_scope: &str, registration_id: &str, expires: u64) -> Self {
        Self { resource: encode(format!("{id_scope}/registrations/{registration_id}").as_bytes()), expires }
    }

    /// What is signed, with HMAC-SHA256.
    pub(super) fn payload(&self) -> String {
        format!("{}\n{}", self.resource, self.expires)
    }

    pub(super) fn signed(&self, signature: &[u8]) -> String {
        let Self { resource, expires } = self;
        let signature = encode(STANDARD.encode(signature).as_bytes());
        format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn=registration")
    }

    fn signed_with(&self, key: &SecretSlice<u8>) -> Result<String, RegistrationFailure> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret())
            .map_err(|_| RegistrationFailure::credential("the symmetric key has a length that HMAC cannot use"))?;
        mac.update(self.payload().as_bytes());
        Ok(self.signed(&mac.finalize().into_bytes()))
    }
}

fn encode(bytes: &[u8]) -> String {
    byte_serialize(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_what_python_hmac_makes_of_the_same_input() {
        // Python: hmac.new(bytes(range(32)), b"0ne00000001%2Fregistrations%2Fdev-1\n1800000000", "sha256"), base64, quoted.
        let key = SecretSlice::from((0..32).collect::<Vec<u8>>());
        let token = Unsigned::until("0ne00000001", "dev-1", 1_800_000_000).signed_with(&key).unwrap();
        assert_eq!(
            token,
            "SharedAccessSignature sr=0ne00000001%2Fregistrations%2Fdev-1&sig=5cNOFJxgOuDJcW5nmiSCXodH6E%2FIq%2BCZ3e31pRvPStM%3D&se=1800000000&skn=registration"
        );
    }
}
