//! The registration that a committed hand-off starts, as a task that can be ended.

use std::sync::Arc;

use lowtouch_handoff::dps_config::device::{Failure, RegistrationEvent};
use lowtouch_handoff::dps_config::{self, Config, FailureCode, config::Credential};
use secrecy::SecretSlice;
use tokio::sync::{mpsc, watch};

use super::Event;
use crate::dps_client::{DpsClient, DpsCredential, FailureKind, Progress, Registration, RegistrationFailure};
use crate::keys::DeviceKey;
use crate::power::Power;
use crate::retry::RetryPolicy;

pub(super) struct Job {
    pub(super) config: Config,
    pub(super) key: Arc<DeviceKey>,
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
    fn tell(&self, event: RegistrationEvent) {
        // Nobody listens any more when the device is being dropped.
        let _ = self.events.send(Event::Registration { generation: self.generation, event });
    }
}

/// Waits for the network, registers, and tells how it ended.
pub(super) async fn run(mut job: Job, told: Told) {
    told.tell(RegistrationEvent::Connecting);
    let online = tokio::time::timeout(job.policy.budget, job.online.wait_for(|online| *online)).await;
    let online = online.is_ok_and(|watched| watched.is_ok());
    let ended = match online {
        true => register(job, &told).await,
        false => Err(Failure {
            code: FailureCode::Unreachable,
            text: "the device is in no network".to_owned(),
            dps_error_code: 0,
        }),
    };
    told.tell(match ended {
        Ok(assigned) => RegistrationEvent::Assigned(assigned),
        Err(failure) => {
            tracing::warn!(code = ?failure.code, text = failure.text, "registration failed");
            RegistrationEvent::Failed(failure)
        }
    });
}

async fn register(job: Job, told: &Told) -> Result<dps_config::Assigned, Failure> {
    let credential = match job.config.credential {
        Some(Credential::X509(x509)) => {
            DpsCredential::X509 { chain: x509.certificate_chain, key: job.key.private_key() }
        }
        Some(Credential::SymmetricKey(symmetric)) => DpsCredential::SymmetricKey(SecretSlice::from(symmetric.key)),
        Some(Credential::Tpm(_)) | None => {
            return Err(Failure {
                code: FailureCode::Credential,
                text: "this device has no TPM".to_owned(),
                dps_error_code: 0,
            });
        }
    };
    let mut endpoint_ca = job.config.endpoint_ca;
    endpoint_ca.extend(job.extra_ca.iter().cloned());
    let registration = Registration {
        id_scope: job.config.id_scope,
        global_device_endpoint: job.config.global_device_endpoint,
        registration_id: job.config.registration_id,
        credential,
        endpoint_ca,
    };
    let client = DpsClient::new(&registration, &job.policy, &job.power).map_err(failure)?;
    let progress = |progress| {
        told.tell(match progress {
            Progress::Connecting(_) => RegistrationEvent::Connecting,
            Progress::Registering(_) => RegistrationEvent::Registering,
        });
    };
    let assigned = client.register(progress).await.map_err(failure)?;
    tracing::info!(hub = assigned.hub, device_id = assigned.device_id, "DPS assigned a hub");
    Ok(dps_config::Assigned { hub: assigned.hub, device_id: assigned.device_id, substatus: assigned.substatus })
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
