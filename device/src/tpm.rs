//! The device's TPM 2.0: it shows who it is, takes a key that was made for it, and signs with that key.

mod chip;
mod command;

use std::fmt;

pub use chip::{Chip, TpmAddress};

/// What a registration needs of a TPM. Calls block; a registration makes them on a thread that may.
pub trait Tpm: fmt::Debug + Send + Sync {
    /// The public parts of the endorsement key and of the storage root key, which are made when they are missing.
    fn public_keys(&self) -> Result<TpmPublicKeys, TpmError>;

    /// Takes the key in from the blob that DPS made for this TPM alone, in place of the one before it. It outlives a loss of power.
    fn activate(&self, blob: &[u8]) -> Result<(), TpmError>;

    /// HMAC-SHA256 with the key that was taken in last. At most 1024 bytes.
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, TpmError>;
}

/// Both as TPM2B_PUBLIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmPublicKeys {
    /// By this DPS knows the TPM.
    pub endorsement_key: Vec<u8>,
    /// Under this keys are taken in.
    pub storage_root_key: Vec<u8>,
}

/// Why the TPM did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TpmError {
    /// It cannot be reached.
    #[error("the TPM at {at} cannot be reached")]
    Unreachable {
        /// Where it was looked for.
        at: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It said no. The codes are in TPM 2.0 Library, Part 2, 6.6.
    #[error("the TPM refused {command} (0x{code:03x})")]
    Refused {
        /// What was asked of it.
        command: &'static str,
        /// Its response code.
        code: u32,
    },
    /// What came is no answer of a TPM.
    #[error("what answers at the TPM's place is no TPM")]
    Garbage,
    /// What DPS sent is none of its keys.
    #[error("what DPS sent is no key for a TPM")]
    Blob,
}
