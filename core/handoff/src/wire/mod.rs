//! Wire types, generated from the `.proto` files by `tests/wire_is_current.rs`; never edited by hand. The comments of
//! the `.proto` files are their documentation.
// The generator copies the comments that the .proto files have and invents none for what explains itself.
#![allow(missing_docs, clippy::all, clippy::pedantic)]

use std::fmt;

/// docs/dps_config.proto
#[rustfmt::skip]
pub mod dps_config;

/// proto/device_state.proto
#[rustfmt::skip]
pub mod device_state;

/// proto/prov.proto: prov-config, prov-scan and prov-ctrl
#[rustfmt::skip]
pub mod prov;

/// Says how long a secret is and nothing else about it.
struct Hidden(usize);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0)
    }
}

impl fmt::Debug for dps_config::SymmetricKeyCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SymmetricKeyCredential").field("key", &Hidden(self.key.len())).finish()
    }
}

impl fmt::Debug for dps_config::StageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StageRequest")
            .field("handoff_id", &self.handoff_id)
            .field("lease_s", &self.lease_s)
            .field("config", &Hidden(self.config.len()))
            .field("digest", &self.digest)
            .field("signature_expires", &self.signature_expires)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for dps_config::Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("transfer", &self.transfer)
            .field("offset", &self.offset)
            .field("total", &self.total)
            .field("data", &Hidden(self.data.len()))
            .finish()
    }
}

impl fmt::Debug for device_state::Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("handoff_id", &self.handoff_id)
            .field("digest", &self.digest)
            .field("config", &Hidden(self.config.len()))
            .field("assigned", &self.assigned)
            .field("owner_public_key", &self.owner_public_key)
            .field("issued_chain", &self.issued_chain.len())
            .finish()
    }
}

impl fmt::Debug for device_state::Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged")
            .field("handoff_id", &self.handoff_id)
            .field("digest", &self.digest)
            .field("config", &Hidden(self.config.len()))
            .field("lease_s", &self.lease_s)
            .finish()
    }
}

impl fmt::Debug for prov::SetWifi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetWifi")
            .field("ssid", &String::from_utf8_lossy(&self.ssid))
            .field("passphrase", &Hidden(self.passphrase.len()))
            .field("bssid", &self.bssid)
            .field("channel", &self.channel)
            .finish()
    }
}
