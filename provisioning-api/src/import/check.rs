//! Whether a row is a device: everything that can be said of it without the inventory.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provisioning_api_contract::{Attestation, ImportProblem, ImportProblemCode, Ring};

use crate::config;
use crate::import::rows::{COLUMNS, Row, Values, problem};
use crate::registration_id::RegistrationId;
use crate::words::{from_word, word};

/// Longest model and site, in bytes.
const MAX_WORD: usize = 128;

/// A TPM2B_PUBLIC has two bytes of length before at most a few hundred (TPM 2.0 Library, Part 2, 12.2.5).
const ENDORSEMENT_KEY: std::ops::RangeInclusive<usize> = 32..=2048;

/// A device as an import says it; what is not said is not asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) number: u64,
    pub(super) line: u64,
    pub(super) name: String,
    pub(super) registration_id: String,
    pub(super) model: Option<String>,
    pub(super) attestation: Option<String>,
    pub(super) endorsement_key: Option<String>,
    pub(super) region: Option<String>,
    pub(super) ring: Option<String>,
    pub(super) dps_instance: Option<String>,
    pub(super) site: Option<String>,
}

impl Incoming {
    /// What it says, in the order of [`COLUMNS`].
    pub(super) fn said(&self) -> [Option<&str>; COLUMNS.len()] {
        [
            Some(&self.registration_id),
            self.model.as_deref(),
            self.attestation.as_deref(),
            self.endorsement_key.as_deref(),
            self.region.as_deref(),
            self.ring.as_deref(),
            self.dps_instance.as_deref(),
            self.site.as_deref(),
        ]
    }
}

/// The device, or all that is wrong with the row.
pub(super) fn check(row: Row, instances: &BTreeSet<String>) -> Result<Incoming, Vec<ImportProblem>> {
    let values = row.values.map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let mut wrong = |column: usize, code, text: &str| {
        let place = problem(code, COLUMNS[column], text);
        problems.push(ImportProblem { row: row.number, line: row.line, ..place });
    };
    let [id, model, attestation, endorsement_key, region, ring, dps_instance, site]: Values = values;
    let parsed = id.as_deref().and_then(RegistrationId::parse);
    match (&id, &parsed) {
        (None, _) => wrong(0, ImportProblemCode::Missing, "the row has no registration ID"),
        (Some(_), None) => wrong(
            0,
            ImportProblemCode::RegistrationId,
            "a registration ID has at most 128 of A-Z a-z 0-9 - . _ : and ends in a letter, a digit or a dash",
        ),
        _ => {}
    }
    for (column, value) in [(1, &model), (7, &site)] {
        if value.as_ref().is_some_and(|value| value.len() > MAX_WORD || value.chars().any(char::is_control)) {
            wrong(
                column,
                ImportProblemCode::BadValue,
                "the value has more than 128 bytes, or a character that does not print",
            );
        }
    }
    let in_region = region.as_deref().and_then(config::region);
    if region.is_some() && in_region.is_none() {
        wrong(4, ImportProblemCode::BadValue, "a region is 1 to 64 of a-z 0-9 -");
    }
    let attested: Option<Attestation> = attestation.as_deref().and_then(from_word);
    if attestation.is_some() && attested.is_none() {
        wrong(2, ImportProblemCode::UnknownValue, "the attestations are x509, symmetricKey and tpm");
    }
    let is_tpm = attested == Some(Attestation::Tpm);
    match &endorsement_key {
        Some(_) if !is_tpm && (attested.is_some() || attestation.is_none()) => {
            wrong(3, ImportProblemCode::EndorsementKey, "an endorsement key goes with the attestation tpm");
        }
        None if is_tpm => wrong(3, ImportProblemCode::EndorsementKey, "the attestation tpm needs an endorsement key"),
        Some(key) if STANDARD.decode(key).map_or(true, |key| !ENDORSEMENT_KEY.contains(&key.len())) => {
            wrong(3, ImportProblemCode::EndorsementKey, "the endorsement key is no TPM2B_PUBLIC in base64");
        }
        _ => {}
    }
    if ring.as_deref().is_some_and(|ring| from_word::<Ring>(ring).is_none_or(|known| word(known) != ring)) {
        wrong(5, ImportProblemCode::UnknownValue, "the rings are test and production");
    }
    if dps_instance.as_ref().is_some_and(|name| !instances.contains(name)) {
        wrong(6, ImportProblemCode::UnknownValue, "there is no DPS instance of that name");
    }
    match parsed {
        Some(id) if problems.is_empty() => Ok(Incoming {
            number: row.number,
            line: row.line,
            name: id.name(),
            registration_id: id.as_str().to_owned(),
            model,
            attestation,
            endorsement_key,
            region: in_region,
            ring,
            dps_instance,
            site,
        }),
        _ => Err(problems),
    }
}
