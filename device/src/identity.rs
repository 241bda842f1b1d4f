//! What the factory puts into the device: its registration ID and what it needs to know a label's holder by.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lowtouch_handoff::protocomm::device::DeviceSecurity;
use lowtouch_handoff::protocomm::srp6a::{VerifierError, make_verifier};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::label;
use crate::sim::{Security, SimConfig, SimError};
use crate::storage::Flash;

const RECORD: &str = "factory";

/// As it lies in the flash. With Security 2 the PoP is not in it.
#[derive(Clone, Serialize, Deserialize)]
struct Factory {
    registration_id: String,
    security: Kept,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
enum Kept {
    Security0,
    Security1 { pop: String },
    Security2 { username: String, salt: String, verifier: String, patch_ver: u8 },
}

/// A device that left the factory.
pub(crate) struct Identity {
    pub(crate) registration_id: String,
    pub(crate) security: DeviceSecurity,
    /// The label's JSON; without the PoP where that is on paper only.
    pub(crate) label: String,
    pub(crate) knows_pop: bool,
}

impl Identity {
    /// The identity in the flash, or a new one. What the configuration says expressly must agree with it or replaces it.
    pub(crate) fn load_or_make(flash: &Flash, config: &SimConfig) -> Result<Self, SimError> {
        let kept: Option<Factory> =
            match flash.read(RECORD)? {
                Some(bytes) => Some(serde_json::from_slice(&bytes).map_err(|_| {
                    SimError::Config("the state folder's factory record is not this program's".to_owned())
                })?),
                None => None,
            };
        let registration_id = match (&config.registration_id, &kept) {
            (Some(asked), Some(kept)) if *asked != kept.registration_id => {
                return Err(SimError::Config(format!(
                    "the state folder belongs to the device {}, not {asked}",
                    kept.registration_id
                )));
            }
            (Some(asked), _) => asked.clone(),
            (None, Some(kept)) => kept.registration_id.clone(),
            (None, None) => format!("lt-{}", hex::encode(rand::random::<[u8; 6]>())),
        };
        check_registration_id(&registration_id)?;

        // The PoP that was asked for, else the one that stands on a label that was printed, else the flash's own.
        let printed = config
            .label_out
            .as_ref()
            .and_then(|path| std::fs::read_to_string(path).ok())
            .as_deref()
            .and_then(label::pop_of);
        let known = [config.pop.clone(), printed].into_iter().flatten();
        let fitting = kept.as_ref().and_then(|kept| {
            kept.security.fits(config).then(|| match &kept.security {
                Kept::Security0 => Some(SecretString::default()),
                Kept::Security1 { pop } => {
                    let asked = config.pop.as_ref().is_none_or(|asked| asked.expose_secret() == pop);
                    asked.then(|| pop.clone().into())
                }
                Kept::Security2 { .. } => known.clone().find(|pop| kept.security.verifies(pop)),
            })
        });
        let (security, pop) = match (fitting, kept) {
            (Some(Some(pop)), Some(kept)) => (kept.security, Some(pop)),
            // Same device, and nobody says what stands on its label.
            (Some(None), Some(kept)) if config.pop.is_none() => (kept.security, None),
            _ => {
                let (security, pop) = manufacture(config)?;
                let factory = Factory { registration_id: registration_id.clone(), security };
                let record = serde_json::to_vec(&factory).unwrap_or_default();
                flash.write(RECORD, &zeroize::Zeroizing::new(record))?;
                (factory.security, Some(pop))
            }
        };
        let label = label::text(&registration_id, &config.link, config.security, &config.username, pop.as_ref());
        Ok(Self { registration_id, security: security.into_device()?, label, knows_pop: pop.is_some() })
    }
}

fn manufacture(config: &SimConfig) -> Result<(Kept, SecretString), SimError> {
    let mut pop = config.pop.clone().unwrap_or_else(label::random_pop);
    let (username, patch_ver) = match config.security {
        Security::V0 => return Ok((Kept::Security0, SecretString::default())),
        Security::V1 => return Ok((Kept::Security1 { pop: pop.expose_secret().to_owned() }, pop)),
        Security::V2 { patch_ver } => (config.username.clone(), patch_ver),
    };
    loop {
        match make_verifier(&username, &pop, &rand::random()) {
            Ok(made) => {
                let (salt, verifier) = (STANDARD.encode(made.salt), STANDARD.encode(made.verifier));
                return Ok((Kept::Security2 { username, salt, verifier, patch_ver }, pop));
            }
            Err(VerifierError::Reroll) if config.pop.is_none() => pop = label::random_pop(),
            Err(error) => return Err(SimError::Config(error.to_string())),
        }
    }
}

impl Kept {
    /// Whether it is of the security that is asked for.
    fn fits(&self, config: &SimConfig) -> bool {
        match (self, config.security) {
            (Self::Security0, Security::V0) | (Self::Security1 { .. }, Security::V1) => true,
            (Self::Security2 { username, patch_ver, .. }, Security::V2 { patch_ver: asked }) => {
                *patch_ver == asked && *username == config.username
            }
            _ => false,
        }
    }

    fn verifies(&self, pop: &SecretString) -> bool {
        let Self::Security2 { username, salt, verifier, .. } = self else { return false };
        let Ok(Ok(salt_bytes)) = STANDARD.decode(salt).map(<[u8; 16]>::try_from) else { return false };
        make_verifier(username, pop, &salt_bytes)
            .is_ok_and(|made| STANDARD.encode(made.salt) == *salt && STANDARD.encode(made.verifier) == *verifier)
    }

    fn into_device(self) -> Result<DeviceSecurity, SimError> {
        let bytes = |text: &str| {
            STANDARD.decode(text).map_err(|_| SimError::Config("the factory record is damaged".to_owned()))
        };
        Ok(match self {
            Self::Security0 => DeviceSecurity::Security0,
            Self::Security1 { pop } => DeviceSecurity::Security1 { pop: pop.into() },
            Self::Security2 { username, salt, verifier, patch_ver } => {
                DeviceSecurity::Security2 { username, salt: bytes(&salt)?, verifier: bytes(&verifier)?, patch_ver }
            }
        })
    }
}

/// At most 128 of `[A-Za-z0-9-._:]`, the last one alphanumeric or a dash (Azure DPS).
fn check_registration_id(id: &str) -> Result<(), SimError> {
    let allowed = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    let ends_well = id.bytes().last().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if allowed && ends_well && id.len() <= 128 {
        Ok(())
    } else {
        Err(SimError::Config(format!(
            "{id:?} is no registration ID: at most 128 of A-Z a-z 0-9 - . _ : and no punctuation but a dash at the end"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::FaultPlan;
    use crate::power::Power;
    use crate::sim::SimLink;

    fn flash(config: &SimConfig) -> Flash {
        let power = Power::new(FaultPlan::default()).switch_on();
        Flash::open(&config.state_dir, power).unwrap()
    }

    fn start(config: &SimConfig) -> Result<Identity, SimError> {
        Identity::load_or_make(&flash(config), config)
    }

    #[test]
    fn a_second_start_is_the_same_device_and_its_pop_is_not_in_the_flash() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = SimConfig::new(SimLink::Pty, folder.path().join("state"));
        let first = start(&config).unwrap();
        let label = first.label;
        let pop = label::pop_of(&label).unwrap();
        let again = start(&config).unwrap();
        assert_eq!(again.registration_id, first.registration_id);
        assert!(!again.label.contains("pop") && !again.knows_pop, "the PoP is on the label only");
        let record = std::fs::read(config.state_dir.join(RECORD)).unwrap();
        assert!(!String::from_utf8_lossy(&record).contains(pop.expose_secret()));

        config.label_out = Some(folder.path().join("label.json"));
        std::fs::write(folder.path().join("label.json"), &label).unwrap();
        assert_eq!(start(&config).unwrap().label, label, "a printed label is read back");
    }

    #[test]
    fn a_state_folder_of_another_device_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = SimConfig::new(SimLink::Pty, folder.path());
        config.registration_id = Some("one".into());
        start(&config).unwrap();
        config.registration_id = Some("two".into());
        assert!(matches!(start(&config), Err(SimError::Config(text)) if text.contains("one")));
    }

    #[test]
    fn a_new_pop_replaces_the_verifier_and_the_old_label_stops_working() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = SimConfig::new(SimLink::Pty, folder.path());
        config.pop = Some("first-pop".into());
        start(&config).unwrap();
        config.pop = Some("second-pop".into());
        assert!(start(&config).unwrap().label.contains("second-pop"));
        config.pop = None;
        config.label_out = Some(folder.path().join("label.json"));
        std::fs::write(config.label_out.as_ref().unwrap(), r#"{"pop":"first-pop"}"#).unwrap();
        assert!(!start(&config).unwrap().knows_pop);
    }

    #[test]
    fn registration_ids_that_dps_would_refuse_are_refused_here() {
        for bad in ["", "a.", "a b", "ä", &"a".repeat(129)] {
            assert!(check_registration_id(bad).is_err(), "{bad}");
        }
        for good in ["a", "A-1._:x", "a-", &"a".repeat(128)] {
            assert!(check_registration_id(good).is_ok(), "{good}");
        }
    }
}
