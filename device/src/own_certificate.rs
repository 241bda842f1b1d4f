//! The certificate that proves the device to DPS, once it was renewed: with its key, in one record of the flash.
//!
//! A key and its certificate are written together or not at all, and what was in force before stays in force until DPS has
//! taken the new pair. So the power may go at any moment: the device has a pair that works, and goes on where it was.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::dps_client::DpsCredential;
use crate::keys::{DeviceKey, KeyError};
use crate::storage::{Flash, StorageError};

const RECORD: &str = "renewed";

/// A certificate (DER, leaf first) and its key.
pub(crate) struct Pair {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: DeviceKey,
}

impl Pair {
    pub(crate) fn credential(&self) -> DpsCredential {
        DpsCredential::X509 { chain: self.chain.clone(), key: self.key.private_key() }
    }
}

/// As it lies in the flash.
#[derive(Serialize, Deserialize, Default)]
struct Kept {
    /// SHA-256 of the certificate that the hand-off brought. What follows another one is of no use to this one.
    follows: String,
    /// What was renewed, and DPS has taken.
    current: Option<KeptPair>,
    /// What is being made: a key, and its certificate as soon as there is one.
    next: Option<KeptPair>,
}

#[derive(Serialize, Deserialize)]
struct KeptPair {
    /// PKCS#8 DER in base64.
    key: String,
    chain: Vec<String>,
}

impl Drop for KeptPair {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl KeptPair {
    fn of(pair: &Pair) -> Self {
        let chain = pair.chain.iter().map(|der| STANDARD.encode(der)).collect();
        Self { key: STANDARD.encode(pair.key.private_key()), chain }
    }

    fn read(&self) -> Option<Pair> {
        let key = Zeroizing::new(STANDARD.decode(&self.key).ok()?);
        let chain = self.chain.iter().map(|der| STANDARD.decode(der)).collect::<Result<_, _>>().ok()?;
        Some(Pair { chain, key: DeviceKey::of_pkcs8(&key).ok()? })
    }
}

/// The pairs that follow one certificate of a hand-off.
pub(crate) struct Renewals {
    flash: Flash,
    follows: String,
    pub(crate) current: Option<Arc<Pair>>,
    next: Option<Pair>,
}

impl Renewals {
    /// What the flash has. A damaged record is set aside: the hand-off's certificate may still be good.
    pub(crate) fn load(flash: &Flash, handed_off: &[u8]) -> Result<Self, StorageError> {
        let follows = hex::encode(Sha256::digest(handed_off));
        let record = match flash.read(RECORD) {
            Err(error @ StorageError::Damaged { .. }) => {
                let aside = flash.set_aside(RECORD)?;
                tracing::error!(%error, aside = %aside.display(), "the renewed certificate is lost; the one before is used");
                None
            }
            other => other?,
        };
        let kept = record.and_then(|record| serde_json::from_slice::<Kept>(&record).ok());
        let kept = kept.filter(|kept| kept.follows == follows).unwrap_or_default();
        let read = |kept: Option<KeptPair>| kept.as_ref().and_then(KeptPair::read);
        Ok(Self { flash: flash.clone(), follows, current: read(kept.current).map(Arc::new), next: read(kept.next) })
    }

    /// Forgets them all, in every hand-off.
    pub(crate) fn forget(flash: &Flash) -> Result<(), StorageError> {
        flash.remove(RECORD)
    }

    /// The pair that is being made. Its key is in the flash before anybody hears of it, so that a device which lost the answer asks
    /// with the same key.
    pub(crate) fn next(&mut self) -> Result<&Pair, KeyError> {
        let pair = match self.next.take() {
            Some(pair) => pair,
            None => {
                let pair = Pair { chain: Vec::new(), key: DeviceKey::make()? };
                self.keep(Some(&pair))?;
                pair
            }
        };
        Ok(self.next.insert(pair))
    }

    /// It has its certificate.
    pub(crate) fn issued(&mut self, chain: Vec<Vec<u8>>) -> Result<(), StorageError> {
        if let Some(pair) = self.next.take() {
            let pair = Pair { chain, ..pair };
            self.keep(Some(&pair))?;
            self.next = Some(pair);
        }
        Ok(())
    }

    /// What is shown to DPS to see whether it takes it; `None`: there is no certificate yet.
    pub(crate) fn made(&self) -> Option<DpsCredential> {
        self.next.as_ref().filter(|pair| !pair.chain.is_empty()).map(Pair::credential)
    }

    /// DPS has taken it: it is in force from now on.
    pub(crate) fn switch(&mut self) -> Result<(), StorageError> {
        if let Some(pair) = self.next.take() {
            let before = self.current.replace(Arc::new(pair));
            let kept = self.keep(None);
            if kept.is_err() {
                // After the next restart the former one would be in force, so it is until then.
                self.current = before;
            }
            kept?;
        }
        Ok(())
    }

    /// Nobody takes it: another one is made.
    pub(crate) fn give_up(&mut self) -> Result<(), StorageError> {
        self.next = None;
        self.keep(None)
    }

    fn keep(&self, next: Option<&Pair>) -> Result<(), StorageError> {
        let kept = Kept {
            follows: self.follows.clone(),
            current: self.current.as_deref().map(KeptPair::of),
            next: next.map(KeptPair::of),
        };
        let record = Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        self.flash.write(RECORD, &record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate;
    use crate::faults::{FaultPlan, KillPoint};
    use crate::power::Power;
    use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};

    const HANDED_OFF: &[u8] = b"the certificate of the hand-off";

    fn ca() -> Issuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        Issuer::new(params, KeyPair::generate().unwrap())
    }

    fn signs(ca: &Issuer<'static, KeyPair>, key: &DeviceKey) -> Vec<Vec<u8>> {
        let csr = key.csr("dev-1").unwrap();
        let request = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
        vec![request.signed_by(ca).unwrap().der().to_vec()]
    }

    fn is_whole(pair: &Pair) -> bool {
        pair.chain.first().is_some_and(|leaf| certificate::is_for(leaf, "dev-1", &pair.key.public_key()))
    }

    /// One renewal, as far as the power lasts.
    fn renews(flash: &Flash, ca: &Issuer<'static, KeyPair>, asked: &mut Vec<Vec<u8>>) -> Result<(), StorageError> {
        let mut renewals = Renewals::load(flash, HANDED_OFF)?;
        let next = renewals.next().map_err(|error| match error {
            KeyError::Storage(error) => error,
            other => panic!("{other}"),
        })?;
        if next.chain.is_empty() {
            asked.push(next.key.public_key());
            let chain = signs(ca, &next.key);
            renewals.issued(chain)?;
        }
        assert!(renewals.made().is_some());
        renewals.switch()
    }

    #[test]
    fn whenever_the_power_goes_the_pair_in_force_is_whole_and_the_renewal_goes_on_with_the_same_key() {
        let ca = ca();
        for write in 4..=6 {
            for point in [KillPoint::BeforeWrite(write), KillPoint::DuringWrite(write), KillPoint::AfterWrite(write)] {
                let folder = tempfile::tempdir().unwrap();
                let flash = |plan| Flash::open(folder.path(), Power::new(plan).switch_on()).unwrap();
                let dying = flash(FaultPlan::kill_once(point, None));
                // A first renewal is behind it: three writes.
                let mut asked = Vec::new();
                renews(&dying, &ca, &mut asked).unwrap();
                let before = Renewals::load(&dying, HANDED_OFF).unwrap().current.unwrap().chain.clone();
                let struck = renews(&dying, &ca, &mut asked);
                assert!(matches!(struck, Err(StorageError::PowerLost(_))), "{point:?}");
                let rebooted = flash(FaultPlan::default());
                let current = Renewals::load(&rebooted, HANDED_OFF).unwrap().current.unwrap();
                assert!(is_whole(&current), "{point:?}");
                assert_eq!(current.chain != before, point == KillPoint::AfterWrite(6), "{point:?}");
                if point != KillPoint::AfterWrite(6) {
                    renews(&rebooted, &ca, &mut asked).unwrap();
                    let current = Renewals::load(&rebooted, HANDED_OFF).unwrap().current.unwrap();
                    assert!(is_whole(&current) && current.chain != before, "{point:?}");
                }
                // The first renewal's key, and one for the second, which the API was asked with once more at most.
                asked.dedup();
                assert_eq!(asked.len(), 2, "{point:?}");
            }
        }
    }

    #[test]
    fn what_follows_another_hand_offs_certificate_does_not_count_and_is_there_when_that_comes_back() {
        let (ca, folder) = (ca(), tempfile::tempdir().unwrap());
        let flash = Flash::open(folder.path(), Power::new(FaultPlan::default()).switch_on()).unwrap();
        renews(&flash, &ca, &mut Vec::new()).unwrap();
        assert!(Renewals::load(&flash, b"another").unwrap().current.is_none());
        assert!(Renewals::load(&flash, HANDED_OFF).unwrap().current.is_some());
        Renewals::forget(&flash).unwrap();
        assert!(Renewals::load(&flash, HANDED_OFF).unwrap().current.is_none());
    }

    #[test]
    fn a_damaged_record_is_set_aside_and_the_hand_offs_certificate_counts_again() {
        let (ca, folder) = (ca(), tempfile::tempdir().unwrap());
        let flash = Flash::open(folder.path(), Power::new(FaultPlan::default()).switch_on()).unwrap();
        renews(&flash, &ca, &mut Vec::new()).unwrap();
        std::fs::write(folder.path().join(RECORD), b"torn").unwrap();
        assert!(Renewals::load(&flash, HANDED_OFF).unwrap().current.is_none());
        assert!(folder.path().join("renewed.damaged").exists());
    }

    #[test]
    fn one_that_dps_does_not_take_is_given_up_and_the_one_in_force_stays() {
        let (ca, folder) = (ca(), tempfile::tempdir().unwrap());
        let flash = Flash::open(folder.path(), Power::new(FaultPlan::default()).switch_on()).unwrap();
        renews(&flash, &ca, &mut Vec::new()).unwrap();
        let mut renewals = Renewals::load(&flash, HANDED_OFF).unwrap();
        let before = renewals.current.as_ref().unwrap().chain.clone();
        let refused = signs(&ca, &renewals.next().unwrap().key);
        renewals.issued(refused).unwrap();
        renewals.give_up().unwrap();
        let mut renewals = Renewals::load(&flash, HANDED_OFF).unwrap();
        assert_eq!(renewals.current.as_ref().unwrap().chain, before);
        assert!(renewals.made().is_none() && renewals.next().unwrap().chain.is_empty());
    }
}
