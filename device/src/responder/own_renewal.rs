//! The renewal of the certificate that proves the device to DPS, with a new key: the API signs, DPS takes it, and only then the device
//! switches.

use std::ops::Range;
use std::sync::Arc;

use lowtouch_handoff::dps_config::FailureCode;
use lowtouch_handoff::dps_config::config::Credential;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Event;
use super::registration::{Job, LONGEST_CERTIFICATE, LONGEST_CHAIN, register_with};
use super::renewal::{pause, wait_until_due};
use crate::certificate;
use crate::dps_client::DpsCredential;
use crate::keys::KeyError;
use crate::own_certificate::{Pair, Renewals};
use crate::power::PowerLost;
use crate::provisioning_api::{ApiAddress, RenewalClient};
use crate::sim::{SimError, certificates};
use crate::storage::{Flash, StorageError};

/// The shares of its life after which a device asks, each at its own moment. The API gives a new one from the half on.
const DUE: Range<f64> = 2.0 / 3.0..0.75;

/// Whom the device asks.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) address: ApiAddress,
    pub(super) ca: Arc<Vec<Vec<u8>>>,
}

impl Api {
    pub(super) fn new(address: ApiAddress) -> Result<Self, SimError> {
        let ca = address.ca_pem.as_deref().map(certificates).transpose()?.unwrap_or_default();
        Ok(Self { address, ca: Arc::new(ca) })
    }
}

/// Renews whatever is in force, over and over. It ends when it is dropped: when another configuration is in force.
pub(super) async fn run(mut job: Job, api: Api, flash: Flash, generation: u64, events: mpsc::UnboundedSender<Event>) {
    let Some(Credential::X509(handed_off)) = job.config.credential.clone() else { return };
    let handed_off = handed_off.certificate_chain;
    loop {
        let renewed = job.renewed.borrow().clone();
        let chain = renewed.as_ref().map_or(&handed_off, |pair| &pair.chain);
        let Some((leaf, validity)) = chain.first().and_then(|leaf| Some((leaf, certificate::validity(leaf)?))) else {
            tracing::error!("the device's certificate says no end; it is not renewed");
            return;
        };
        wait_until_due(validity, leaf, DUE).await;
        // It comes only when the device is in a network, and the senders live as long as the device.
        let _ = job.online.wait_for(|online| *online).await;
        match renew(&job, &api, &flash, &handed_off).await {
            Ok(Some(pair)) => {
                tracing::info!("the device's certificate is renewed, and DPS has taken it");
                let _ = events.send(Event::Renewed { generation, pair });
                // In force when the device says so.
                let _ = job.renewed.changed().await;
                continue;
            }
            Ok(None) => {}
            Err(Stopped::Power(PowerLost)) => std::future::pending().await,
            Err(Stopped::Flash(error)) => tracing::error!(%error, "the flash refuses the renewed certificate"),
        }
        pause(validity).await;
    }
}

enum Stopped {
    Power(PowerLost),
    Flash(StorageError),
}

impl From<StorageError> for Stopped {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::PowerLost(lost) => Self::Power(lost),
            error => Self::Flash(error),
        }
    }
}

/// One round: what an earlier one left is taken up. `None`: not yet; the log says why.
async fn renew(job: &Job, api: &Api, flash: &Flash, handed_off: &[Vec<u8>]) -> Result<Option<Arc<Pair>>, Stopped> {
    let id = job.config.registration_id.as_str();
    let mut renewals = Renewals::load(flash, handed_off.first().map(Vec::as_slice).unwrap_or_default())?;
    let next = match renewals.next() {
        Ok(next) => next,
        Err(KeyError::Storage(error)) => return Err(error.into()),
        Err(error) => {
            tracing::error!(%error, "the device makes no new key");
            return Ok(None);
        }
    };
    if next.chain.is_empty() {
        let Ok(csr) = next.key.csr(id) else {
            tracing::error!("the device makes no certificate request");
            return Ok(None);
        };
        let renewed = job.renewed.borrow().clone();
        let shown = match renewed.as_deref() {
            Some(pair) => pair.credential(),
            None => DpsCredential::X509 { chain: handed_off.to_vec(), key: job.key.private_key() },
        };
        let given = async {
            let client = RenewalClient::new(&api.address.url, &api.ca, id, &shown)?;
            job.policy.run(Instant::now() + job.policy.budget, || client.renew(&csr)).await
        };
        let chain = match given.await {
            Ok(chain) => chain,
            Err(error) => {
                tracing::warn!(%error, "the device's certificate is not renewed yet");
                return Ok(None);
            }
        };
        if !is_good(id, &chain, &next.key.public_key()) {
            tracing::error!("the API gave a certificate that is not for this device's new key");
            return Ok(None);
        }
        renewals.issued(chain)?;
    }
    let Some(credential) = renewals.made() else { return Ok(None) };
    match register_with(job, credential, |_| ()).await {
        Ok(_) => {
            renewals.switch()?;
            Ok(renewals.current)
        }
        Err(failure) => {
            tracing::warn!(code = ?failure.code, text = failure.text, "DPS has not taken the renewed certificate yet");
            if failure.code == FailureCode::Credential {
                // The one in force stays; the next round makes another.
                renewals.give_up()?;
            }
            Ok(None)
        }
    }
}

/// For this key and name, and small enough to be kept.
fn is_good(id: &str, chain: &[Vec<u8>], public_key: &[u8]) -> bool {
    chain.first().is_some_and(|leaf| certificate::is_for(leaf, id, public_key) && certificate::validity(leaf).is_some())
        && chain.len() <= LONGEST_CHAIN
        && chain.iter().all(|der| der.len() <= LONGEST_CERTIFICATE)
}
