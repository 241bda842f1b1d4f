//! What a device shows its hub.

use std::sync::Arc;

use lowtouch_handoff::dps_config::{Assigned, Config};
use rustls::ClientConfig;

use crate::dps_client::{DpsCredential, tls};
use crate::keys::DeviceKey;
use crate::own_certificate::Pair;
use crate::responder::shown_to_dps;
use crate::tpm::Tpm;

/// The hub that a device was assigned, and what it connects to it with.
#[derive(Clone)]
#[non_exhaustive]
pub struct HubIdentity {
    /// The hub's host name.
    pub hub: String,
    /// The hub's name for the device.
    pub device_id: String,
    /// The certificate that the hub is shown: DER, leaf first. Empty: the device signs with its symmetric key or its TPM.
    pub certificate_chain: Vec<Vec<u8>>,
    /// TLS towards the hub, with that certificate and its key; the hub is verified as ever.
    pub tls: Arc<ClientConfig>,
}

impl HubIdentity {
    /// With what DPS issued, else with what DPS is shown. `None` when that cannot be used, which the log then says.
    pub(crate) fn new(
        config: &Config,
        assigned: &Assigned,
        issued_chain: &[Vec<u8>],
        key: &DeviceKey,
        renewed: Option<&Pair>,
        tpm: Option<&Arc<dyn Tpm>>,
        extra_ca: &[Vec<u8>],
    ) -> Option<Self> {
        let credential = if issued_chain.is_empty() {
            shown_to_dps(config, key, renewed, tpm).ok()?
        } else {
            DpsCredential::X509 { chain: issued_chain.to_vec(), key: key.private_key() }
        };
        let tls = tls::client_config(&credential, extra_ca);
        let tls = tls.inspect_err(|error| tracing::error!(%error, "the hub cannot be shown who this is")).ok()?;
        let certificate_chain = match credential {
            DpsCredential::X509 { chain, .. } => chain,
            DpsCredential::SymmetricKey(_) | DpsCredential::Tpm(_) => Vec::new(),
        };
        let (hub, device_id) = (assigned.hub.clone(), assigned.device_id.clone());
        Some(Self { hub, device_id, certificate_chain, tls: Arc::new(tls) })
    }
}

impl std::fmt::Debug for HubIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubIdentity")
            .field("hub", &self.hub)
            .field("device_id", &self.device_id)
            .finish_non_exhaustive()
    }
}
