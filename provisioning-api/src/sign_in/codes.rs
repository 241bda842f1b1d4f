//! Random codes and tokens, and their hashes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Without I, L, O and U: what is read aloud or from a screen stays what it is (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// RFC 8628, 6.1: consonants only, so that no words appear.
const CONSONANTS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// A token of 256 random bits after a prefix that tells those who search files what they found.
pub(crate) fn token(prefix: &str) -> Result<SecretString, getrandom::Error> {
    let mut random = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *random)?;
    let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(*random));
    Ok(SecretString::from(format!("{prefix}{}", *encoded)))
}

/// An invite's code: 80 random bits as four groups of four.
pub(crate) fn invite() -> Result<SecretString, getrandom::Error> {
    let mut random = Zeroizing::new([0_u8; 16]);
    getrandom::fill(&mut *random)?;
    grouped(random.iter().map(|byte| ALPHABET[usize::from(byte % 32)]))
}

/// A device's user code: 34 random bits as two groups of four. It opens nothing without an invite.
pub(crate) fn user_code() -> Result<SecretString, getrandom::Error> {
    let mut letters = Zeroizing::new(Vec::with_capacity(8));
    while letters.len() < 8 {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random)?;
        // Whatever would make some letters likelier than others is left out.
        let fair = random.iter().filter(|byte| **byte < 240).map(|byte| CONSONANTS[usize::from(byte % 20)]);
        let missing = 8 - letters.len();
        letters.extend(fair.take(missing));
    }
    grouped(letters.iter().copied())
}

fn grouped(letters: impl Iterator<Item = u8>) -> Result<SecretString, getrandom::Error> {
    let mut text = String::with_capacity(20);
    for (index, letter) in letters.enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(letter));
    }
    Ok(SecretString::from(text))
}

/// The hash that stands in the database for a token or a code that no person types.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The same for an invite's code as people type it: any case, any grouping, O for 0, I and L for 1.
pub(crate) fn hash_of_invite(typed: &str) -> [u8; 32] {
    let tidy = letters(typed).map(|letter| match letter {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    });
    hash(&Zeroizing::new(tidy.collect::<String>()))
}

/// The same for a user code as people type it: any case, any grouping.
pub(crate) fn hash_of_user_code(typed: &str) -> [u8; 32] {
    hash(&Zeroizing::new(letters(typed).collect::<String>()))
}

fn letters(typed: &str) -> impl Iterator<Item = char> {
    typed.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase())
}

/// Whether this verifier belongs to that S256 challenge (RFC 7636, 4.6).
pub(crate) fn verifies(verifier: &str, challenge: &str) -> bool {
    let is_verifier = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let made = URL_SAFE_NO_PAD.encode(hash(verifier));
    is_verifier & bool::from(made.as_bytes().ct_eq(challenge.as_bytes()))
}

/// Whether this can be an S256 challenge: 32 bytes in base64url.
pub(crate) fn is_challenge(text: &str) -> bool {
    text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok()
}

/// `lowtouch:invite#server=…&code=…`: in the fragment, so that no server's log sees the code.
pub(crate) fn invite_link(server: &str, code: &SecretString) -> SecretString {
    let server: String = url::form_urlencoded::byte_serialize(server.as_bytes()).collect();
    SecretString::from(format!("lowtouch:invite#server={server}&code={}", code.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_known_however_it_is_typed() {
        let code = invite().unwrap();
        let code = code.expose_secret();
        assert_eq!(code.len(), 19);
        let known = hash_of_invite(code);
        assert_eq!(hash_of_invite(&code.to_lowercase().replace('-', " ")), known);
        assert_eq!(hash_of_invite(&code.replace('-', "").replace('0', "o").replace('1', "l")), known);
        assert_ne!(hash_of_invite(invite().unwrap().expose_secret()), known);
    }

    #[test]
    fn a_user_code_is_two_groups_of_consonants() {
        let code = user_code().unwrap();
        let groups: Vec<&str> = code.expose_secret().split('-').collect();
        assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [4, 4]);
        assert!(groups.concat().bytes().all(|letter| CONSONANTS.contains(&letter)));
        assert_eq!(hash_of_user_code(&groups.concat().to_lowercase()), hash_of_user_code(code.expose_secret()));
    }

    /// RFC 7636, appendix B.
    #[test]
    fn a_verifier_belongs_to_its_challenge_only() {
        let (verifier, challenge) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(verifies(verifier, challenge) && is_challenge(challenge));
        assert!(!verifies(challenge, challenge));
        assert!(!verifies("short", &URL_SAFE_NO_PAD.encode(hash("short"))));
        assert!(!is_challenge(&challenge[1..]) && !is_challenge("="));
    }

    #[test]
    fn the_link_keeps_the_server_in_one_piece() {
        let code = SecretString::from("AAAA-BBBB-CCCC-DDDD");
        let link = invite_link("https://api.example:8443", &code);
        assert_eq!(
            link.expose_secret(),
            "lowtouch:invite#server=https%3A%2F%2Fapi.example%3A8443&code=AAAA-BBBB-CCCC-DDDD"
        );
    }
}
