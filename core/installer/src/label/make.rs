//! Makes a label and what the device's firmware needs to check it.

use lowtouch_handoff::protocomm::srp6a;
use secrecy::{ExposeSecret, SecretString};

use super::{DEFAULT_USERNAME, Label, LabelError, Network, Security, Transport};

/// Characters of a random proof of possession: none that is mistaken for another one (0 O, 1 l I, 2 Z, 5 S, 8 B, u v).
pub const POP_ALPHABET: &[u8] = b"34679acdefghjkmnpqrtwxy";

/// Characters in a random proof of possession: 16 of 23 are 72 bits, too many to try against a device.
pub const POP_LENGTH: usize = 16;

/// What a label is to be made of.
#[derive(Debug)]
pub struct NewLabel {
    /// What the device calls itself over the air. ESP-IDF advertises at most 29 bytes.
    pub name: String,
    /// Default: [`DEFAULT_USERNAME`].
    pub username: Option<String>,
    /// Default: a random one.
    pub pop: Option<SecretString>,
    /// How the device is reached.
    pub transport: Transport,
    /// Default use: [`Security::Srp6a`].
    pub security: Security,
}

/// A label and its counterpart in the firmware.
#[derive(Debug)]
pub struct MadeLabel {
    /// To be printed.
    pub label: Label,
    /// For the device; only with Security 2.
    pub srp6a: Option<SaltAndVerifier>,
}

/// What a device keeps instead of the password. Whoever reads it out can guess passwords offline: keep it in the firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaltAndVerifier {
    /// 16 bytes.
    pub salt: Vec<u8>,
    /// 384 bytes, big-endian.
    pub verifier: Vec<u8>,
}

/// Makes a label with a random proof of possession (unless one is given) and its salt and verifier.
///
/// # Errors
/// [`LabelError::CannotMake`] for a name, user name or proof of possession that no device can have.
pub fn make(new: NewLabel) -> Result<MadeLabel, LabelError> {
    if new.name.is_empty() {
        return Err(LabelError::CannotMake("the name is empty"));
    }
    if new.pop.as_ref().is_some_and(|pop| pop.expose_secret().is_empty()) && new.security == Security::Srp6a {
        return Err(LabelError::CannotMake("the proof of possession is empty"));
    }
    let username = new.username.unwrap_or_else(|| DEFAULT_USERNAME.into());
    if username.is_empty() {
        return Err(LabelError::CannotMake("the user name is empty"));
    }
    let given = new.pop.is_some();
    let mut pop = match new.pop {
        Some(pop) => pop,
        None => random_pop()?,
    };
    let srp6a = if new.security == Security::Srp6a {
        let mut rolls = 0;
        loop {
            match salt_and_verifier(&username, &pop)? {
                Some(made) => break Some(made),
                // One pair in 256 trips Espressif's Python tool; a random PoP is rolled again, a given one is used.
                None if !given && rolls < 64 => {
                    rolls += 1;
                    pop = random_pop()?;
                }
                None => return Err(LabelError::CannotMake("Espressif's tools cannot use this proof of possession")),
            }
        }
    } else {
        None
    };
    Ok(MadeLabel {
        label: Label {
            name: new.name,
            username,
            pop: Some(pop),
            transport: Some(new.transport),
            security: new.security,
            softap_password: None,
            network: Network::Wifi,
        },
        srp6a,
    })
}

/// `None`: not with this proof of possession.
fn salt_and_verifier(username: &str, pop: &SecretString) -> Result<Option<SaltAndVerifier>, LabelError> {
    let mut entropy = [0u8; 16];
    getrandom::fill(&mut entropy).map_err(|_| LabelError::CannotMake("the system gives no random numbers"))?;
    match srp6a::make_verifier(username, pop, &entropy) {
        Ok(srp6a::Verifier { salt, verifier }) => Ok(Some(SaltAndVerifier { salt, verifier })),
        Err(srp6a::VerifierError::Reroll) => Ok(None),
        Err(_) => Err(LabelError::CannotMake("the user name is longer than a device takes")),
    }
}

fn random_pop() -> Result<SecretString, LabelError> {
    let mut pop = String::with_capacity(POP_LENGTH);
    // Bytes past the last whole multiple are thrown away, so that every character is as likely as the others.
    let limit = 256 - 256 % POP_ALPHABET.len();
    while pop.len() < POP_LENGTH {
        let mut byte = [0u8];
        getrandom::fill(&mut byte).map_err(|_| LabelError::CannotMake("the system gives no random numbers"))?;
        if usize::from(byte[0]) < limit {
            pop.push(char::from(POP_ALPHABET[usize::from(byte[0]) % POP_ALPHABET.len()]));
        }
    }
    Ok(pop.into())
}
