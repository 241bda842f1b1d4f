//! The registration that a committed hand-off starts, as a task that can be ended.

use std::sync::Arc;

use lowtouch_handoff::dps_config::device::{Failure, RegistrationEvent};
use lowtouch_handoff::dps_config::{self, Config, FailureCode, config::Credential};
use secrecy::SecretSlice;
use tokio::sync::{mpsc, watch};

use super::Event;
use crate::certificate;
use crate::dps_client::{DpsClient, DpsCredential, FailureKind, Progress, Registration, RegistrationFailure};
use crate::keys::DeviceKey;
use crate::own_certificate::Pair;
use crate::power::Power;
use crate::retry::RetryPolicy;
use crate::tpm::Tpm;

/// Azure's have three certificates of about 1.5 kB; a chain is kept in the flash, beside another one.
pub(super) const LONGEST_CHAIN: usize = 5;
pub(super) const LONGEST_CERTIFICATE: usize = 3072;

#[derive(Clone)]
pub(super) struct Job {
    pub(super) config: Config,
    pub(super) key: Arc<DeviceKey>,
    /// What took the place of the hand-off's certificate and of that key towards DPS.
    pub(super) renewed: watch::Receiver<Option<Arc<Pair>>>,
    pub(super) tpm: Option<Arc<dyn Tpm>>,
    pub(super) extra_ca: Arc<Vec<Vec<u8>>>,
    pub(super) policy: RetryPolicy,
    pub(super) power: Power,
    pub(super) online: watch::Receiver<bool>,
}

/// Whom the task tells.
pub(super) struct Told {
    pub(super) generation: u64,
    pub(super) events: mpsc::UnboundedSender<Event>,
}

impl Told {
    pub(super) fn tell(&self, event: RegistrationEvent) {
        // Nobody listens any more when the device is being dropped.
        let _ = self.events.send(Event::Registration { generation: self.generation, event });
    }
}

/// Waits for the network, registers, and tells how it ended.
pub(super) async fn run(mut job: Job, told: Told) {
    told.tell(RegistrationEvent::Connecting);
    let online = tokio::time::timeout(job.policy.budget, job.online.wait_for(|online| *online)).await;
    let online = online.is_ok_and(|watched| watched.is_ok());
    let progress = |progress| {
        told.tell(match progress {
            Progress::Connecting(_) => RegistrationEvent::Connecting,
            Progress::Registering(_) => RegistrationEvent::Registering,
        });
    };
    let ended = match online {
        true => register(&job, progress).await,
        false => Err(Failure {
            code: FailureCode::Unreachable,
            text: "the device is in no network".to_owned(),
            dps_error_code: 0,
        }),
    };
    told.tell(ended.unwrap_or_else(|failure| {
        tracing::warn!(code = ?failure.code, text = failure.text, "registration failed");
        RegistrationEvent::Failed(failure)
    }));
}

/// One registration, with a certificate request where the configuration asks for one. What comes back is
/// [`RegistrationEvent::Assigned`] or [`RegistrationEvent::Issued`].
pub(super) async fn register(job: &Job, progress: impl Fn(Progress) + Sync) -> Result<RegistrationEvent, Failure> {
    let renewed = job.renewed.borrow().clone();
    let shown = shown_to_dps(&job.config, &job.key, renewed.as_deref(), job.tpm.as_ref())?;
    register_with(job, shown, progress).await
}

/// As [`register`], by this credential.
pub(super) async fn register_with(
    job: &Job,
    credential_shown: DpsCredential,
    progress: impl Fn(Progress) + Sync,
) -> Result<RegistrationEvent, Failure> {
    let Config { id_scope, global_device_endpoint, registration_id, .. } = job.config.clone();
    let mut endpoint_ca = job.config.endpoint_ca.clone();
    endpoint_ca.extend(job.extra_ca.iter().cloned());
    let csr = match job.config.certificate_from_dps {
        true => Some(job.key.csr(&registration_id).map_err(|_| credential("the device makes no certificate request"))?),
        false => None,
    };
    let registration = Registration {
        id_scope,
        global_device_endpoint,
        registration_id,
        credential: credential_shown,
        endpoint_ca,
        csr,
    };
    let client = DpsClient::new(&registration, &job.policy, &job.power).map_err(failure)?;
    let assigned = client.register(progress).await.map_err(failure)?;
    tracing::info!(hub = assigned.hub, device_id = assigned.device_id, "DPS assigned a hub");
    let chain = assigned.issued_chain;
    let mut assigned = dps_config::Assigned {
        hub: assigned.hub,
        device_id: assigned.device_id,
        substatus: assigned.substatus,
        certificate_ends: 0,
    };
    let Some(leaf) = chain.first().filter(|_| registration.csr.is_some()) else {
        if registration.csr.is_some() {
            tracing::warn!("DPS issued no certificate; the hub is shown what DPS is shown");
        }
        return Ok(RegistrationEvent::Assigned(assigned));
    };
    let validity = certificate::validity(leaf)
        .filter(|_| certificate::is_for(leaf, &registration.registration_id, &job.key.public_key()))
        .filter(|_| chain.len() <= LONGEST_CHAIN && chain.iter().all(|der| der.len() <= LONGEST_CERTIFICATE));
    let validity = validity.ok_or_else(|| credential("DPS issued a certificate that is not for this device's key"))?;
    assigned.certificate_ends = validity.ends;
    Ok(RegistrationEvent::Issued { assigned, chain })
}

/// What proves the device to DPS, and to the hub where DPS issued nothing for it.
pub(crate) fn shown_to_dps(
    config: &Config,
    key: &DeviceKey,
    renewed: Option<&Pair>,
    tpm: Option<&Arc<dyn Tpm>>,
) -> Result<DpsCredential, Failure> {
    match &config.credential {
        Some(Credential::X509(x509)) => Ok(match renewed {
            Some(pair) => pair.credential(),
            None => DpsCredential::X509 { chain: x509.certificate_chain.clone(), key: key.private_key() },
        }),
        Some(Credential::SymmetricKey(symmetric)) => {
            Ok(DpsCredential::SymmetricKey(SecretSlice::from(symmetric.key.clone())))
        }
        Some(Credential::Tpm(_)) => {
            let tpm = tpm.ok_or_else(|| credential("this device has no TPM"))?;
            Ok(DpsCredential::Tpm(Arc::clone(tpm)))
        }
        None => Err(credential("the configuration has no credential")),
    }
}

fn credential(text: &str) -> Failure {
    Failure { code: FailureCode::Credential, text: text.to_owned(), dps_error_code: 0 }
}

fn failure(failure: RegistrationFailure) -> Failure {
    let code = match failure.kind {
        FailureKind::Unreachable => FailureCode::Unreachable,
        FailureKind::Tls => FailureCode::Tls,
        FailureKind::Credential => FailureCode::Credential,
        FailureKind::NotFound => FailureCode::FailureNotFound,
        FailureKind::Disabled => FailureCode::Disabled,
        FailureKind::Assignment => FailureCode::Assignment,
        FailureKind::Unavailable => FailureCode::Unavailable,
    };
    Failure { code, text: failure.text, dps_error_code: failure.dps_error_code }
}
