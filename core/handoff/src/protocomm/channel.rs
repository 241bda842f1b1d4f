//! What a finished handshake leaves behind, the same for both sides: the cipher and its place in the conversation.

use aes::Aes256;
use aes_gcm::aead::Aead;
use aes_gcm::aead::consts::U16;
use aes_gcm::{Aes256Gcm, AesGcm, KeyInit};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};

use super::Weakness;

/// Bytes that AES-GCM appends.
const TAG_LEN: usize = 16;

pub(super) enum Channel {
    Plain,
    /// Security 1: one keystream for the whole session, both directions in turn, verify messages included.
    Keystream(Box<Ctr128BE<Aes256>>),
    Gcm(Box<Gcm>),
}

pub(super) enum Gcm {
    /// `sec_patch_ver` 1: 8 bytes of session ID, then a counter that advances after every message of either direction.
    Counted {
        cipher: Aes256Gcm,
        session_id: [u8; 8],
        /// `None` when it is used up.
        counter: Option<u32>,
    },
    /// `sec_patch_ver` 0: the nonce never changes. ESP-IDF 5.4 sends 16 bytes.
    Fixed16 { cipher: AesGcm<Aes256, U16>, nonce: [u8; 16] },
    /// As above with 12 bytes.
    Fixed12 { cipher: Aes256Gcm, nonce: [u8; 12] },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelError {
    Forged,
    Exhausted,
}

impl Channel {
    pub(super) fn keystream(key: &[u8; 32], iv: &[u8; 16]) -> Ctr128BE<Aes256> {
        Ctr128BE::new(key.into(), iv.into())
    }

    /// `None` for a nonce whose length does not fit the patch version, or an unknown patch version.
    pub(super) fn gcm(key: &[u8; 32], nonce: &[u8], patch_ver: u8) -> Option<Self> {
        let gcm = match patch_ver {
            0 if nonce.len() == 16 => Gcm::Fixed16 { cipher: AesGcm::new(key.into()), nonce: nonce.try_into().ok()? },
            0 => Gcm::Fixed12 { cipher: Aes256Gcm::new(key.into()), nonce: nonce.try_into().ok()? },
            1 => {
                let nonce: [u8; 12] = nonce.try_into().ok()?;
                let (session_id, counter) = nonce.split_first_chunk::<8>()?;
                Gcm::Counted {
                    cipher: Aes256Gcm::new(key.into()),
                    session_id: *session_id,
                    counter: Some(u32::from_be_bytes(counter.try_into().ok()?)),
                }
            }
            _ => return None,
        };
        Some(Self::Gcm(Box::new(gcm)))
    }

    pub(super) fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, ChannelError> {
        match self {
            Self::Plain => Ok(plain.to_vec()),
            Self::Keystream(stream) => apply(stream, plain),
            Self::Gcm(gcm) => gcm.seal(plain),
        }
    }

    pub(super) fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, ChannelError> {
        match self {
            Self::Plain => Ok(sealed.to_vec()),
            Self::Keystream(stream) => apply(stream, sealed),
            Self::Gcm(gcm) => gcm.open(sealed),
        }
    }

    pub(super) fn overhead(&self) -> usize {
        match self {
            Self::Plain | Self::Keystream(_) => 0,
            Self::Gcm(_) => TAG_LEN,
        }
    }

    pub(super) fn weakness(&self) -> Option<Weakness> {
        match self {
            Self::Plain => Some(Weakness::NoEncryption),
            Self::Keystream(_) => Some(Weakness::NoMac),
            Self::Gcm(gcm) => match **gcm {
                Gcm::Counted { .. } => None,
                Gcm::Fixed16 { .. } | Gcm::Fixed12 { .. } => Some(Weakness::NonceNeverChanges),
            },
        }
    }
}

/// En- or decrypts with the next bytes of the keystream.
pub(super) fn apply(stream: &mut Ctr128BE<Aes256>, message: &[u8]) -> Result<Vec<u8>, ChannelError> {
    let mut message = message.to_vec();
    stream.try_apply_keystream(&mut message).map_err(|_| ChannelError::Exhausted)?;
    Ok(message)
}

impl Gcm {
    fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, ChannelError> {
        let sealed = match self {
            Self::Counted { cipher, session_id, counter } => {
                cipher.encrypt(&counted(session_id, *counter)?.into(), plain)
            }
            Self::Fixed16 { cipher, nonce } => cipher.encrypt(&(*nonce).into(), plain),
            Self::Fixed12 { cipher, nonce } => cipher.encrypt(&(*nonce).into(), plain),
        };
        // The only failure is a message of more than 64 GiB.
        let sealed = sealed.map_err(|_| ChannelError::Exhausted)?;
        self.advance();
        Ok(sealed)
    }

    /// A message that does not fit leaves the counter where it was, as with ESP-IDF.
    fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, ChannelError> {
        let plain = match self {
            Self::Counted { cipher, session_id, counter } => {
                cipher.decrypt(&counted(session_id, *counter)?.into(), sealed)
            }
            Self::Fixed16 { cipher, nonce } => cipher.decrypt(&(*nonce).into(), sealed),
            Self::Fixed12 { cipher, nonce } => cipher.decrypt(&(*nonce).into(), sealed),
        };
        let plain = plain.map_err(|_| ChannelError::Forged)?;
        self.advance();
        Ok(plain)
    }

    fn advance(&mut self) {
        if let Self::Counted { counter, .. } = self {
            *counter = counter.and_then(|n| n.checked_add(1));
        }
    }
}

fn counted(session_id: &[u8; 8], counter: Option<u32>) -> Result<[u8; 12], ChannelError> {
    let counter = counter.ok_or(ChannelError::Exhausted)?;
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(session_id);
    nonce[8..].copy_from_slice(&counter.to_be_bytes());
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_up_counter_ends_the_session_rather_than_repeat_a_nonce() {
        let nonce = [1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0xff, 0xfe];
        let mut channel = Channel::gcm(&[9; 32], &nonce, 1).unwrap();
        assert!(channel.seal(b"last but one").is_ok());
        assert!(channel.seal(b"last").is_ok());
        assert_eq!(channel.seal(b"one too many"), Err(ChannelError::Exhausted));
        assert_eq!(channel.open(&[0; 32]), Err(ChannelError::Exhausted));
    }

    #[test]
    fn only_the_patched_version_changes_its_nonce() {
        for (patch_ver, nonce, changes) in [(0, 16, false), (0, 12, false), (1, 12, true)] {
            let mut channel = Channel::gcm(&[9; 32], &vec![7; nonce], patch_ver).unwrap();
            let twice = [channel.seal(b"same").unwrap(), channel.seal(b"same").unwrap()];
            assert_eq!(twice[0] != twice[1], changes);
            assert_eq!(channel.weakness().is_none(), changes);
        }
    }

    #[test]
    fn a_nonce_of_another_length_makes_no_channel() {
        for (patch_ver, len) in [(1, 16), (1, 11), (1, 0), (0, 8), (0, 17), (2, 12)] {
            assert!(Channel::gcm(&[9; 32], &vec![7; len], patch_ver).is_none());
        }
    }

    #[test]
    fn a_forged_message_is_refused_and_the_true_one_still_opens() {
        let [mut one, mut other] = [0, 1].map(|_| Channel::gcm(&[9; 32], &[7; 12], 1).unwrap());
        let sealed = one.seal(b"hello").unwrap();
        let mut forged = sealed.clone();
        forged[0] ^= 1;
        assert_eq!(other.open(&forged), Err(ChannelError::Forged));
        assert_eq!(other.open(&sealed).unwrap(), b"hello");
    }
}
