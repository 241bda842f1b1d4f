//! What the transaction asks of the device around it, and what it is told.

use std::fmt;

use zeroize::Zeroizing;

use super::super::{Assigned, Config, Failed, FailureCode};

/// Something that only the device around the state machine can do.
#[derive(Clone)]
pub enum Effect {
    /// Write these bytes in place of the last ones, so that a loss of power at any moment leaves either the former or
    /// these, whole. Answer [`EffectResult::Done`] when they are safely there, or [`EffectResult::Failed`]. They hold a
    /// credential.
    Persist(Zeroizing<Vec<u8>>),
    /// Make the device's P-256 key pair if it has none, and a CSR whose common name is the registration ID. Answer
    /// [`EffectResult::Csr`] (DER PKCS#10) or [`EffectResult::Failed`].
    MakeCsr,
    /// Is this leaf certificate (DER) for the device's key and registration ID? Answer [`EffectResult::Answer`].
    CheckLeaf(Vec<u8>),
    /// Is `signature` (Ed25519, or ECDSA P-256 with SHA-256 in DER) that of `public_key` (SubjectPublicKeyInfo DER) over
    /// `message`? Answer [`EffectResult::Answer`]. Asked only where [`Settings::checks_owner`](super::Settings) says so.
    VerifyOwner {
        /// The owner in force.
        public_key: Vec<u8>,
        /// What was signed.
        message: Vec<u8>,
        /// What the request carried.
        signature: Vec<u8>,
    },
    /// Leave any hub, end any registration, and register with this; report through
    /// [`DpsConfig::registration`](super::DpsConfig::registration), without end to the attempts only if an end is told.
    /// Answer [`EffectResult::Done`] at once.
    StartRegistration(Config),
    /// End the registration and leave the hub: the configuration is no longer in force. Answer [`EffectResult::Done`].
    StopRegistration,
    /// This configuration is in force and was assigned: work with its hub. Answer [`EffectResult::Done`] at once.
    UseHub {
        /// In case the hub is gone and the device must register again.
        config: Config,
        /// What DPS said last.
        assigned: Assigned,
        /// The certificate that DPS issued for the hub: DER, leaf first. Renew it before it ends. Empty: the hub knows
        /// the device by the configuration's credential.
        issued_chain: Vec<Vec<u8>>,
    },
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Persist(_) => "Persist",
            Self::MakeCsr => "MakeCsr",
            Self::CheckLeaf(_) => "CheckLeaf",
            Self::VerifyOwner { .. } => "VerifyOwner",
            Self::StartRegistration(_) => "StartRegistration",
            Self::StopRegistration => "StopRegistration",
            Self::UseHub { .. } => "UseHub",
        })
    }
}

/// What came of an [`Effect`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectResult {
    /// It is done.
    Done,
    /// It could not be done.
    Failed,
    /// The CSR, DER PKCS#10.
    Csr(Vec<u8>),
    /// Yes or no.
    Answer(bool),
}

/// What the device's DPS client has to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum RegistrationEvent {
    /// Another attempt to reach the network or the endpoint begins.
    Connecting,
    /// DPS took the request, or was asked again how it stands.
    Registering,
    /// DPS assigned a hub.
    Assigned(Assigned),
    /// DPS assigned a hub and issued a certificate for it. Both are kept in one write, as they were given together.
    Issued {
        /// With the certificate's end.
        assigned: Assigned,
        /// DER, leaf first; the shell has seen that the leaf is for the device's key and registration ID.
        chain: Vec<Vec<u8>>,
    },
    /// DPS refused for good, or the device's attempts ran out.
    Failed(Failure),
}

/// Why a registration ended without a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which kind.
    pub code: FailureCode,
    /// What DPS or the network said; cut at 256 bytes. No secrets.
    pub text: String,
    /// DPS's errorCode, or 0.
    pub dps_error_code: u32,
}

impl Failure {
    pub(super) fn into_wire(self) -> Failed {
        let mut text = self.text;
        text.truncate(text.floor_char_boundary(256));
        Failed { code: self.code.into(), text, dps_error_code: self.dps_error_code, rolled_back: true }
    }
}
