//! Gives a device back to nobody, over the air and with its owner's word.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lowtouch_handoff::dps_config::{self, response};
use lowtouch_links::LinkAddress;
use provisioning_api_contract as wire;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::refusal::{of_response, shown};
use super::talk::{Talk, step};
use super::{LinkFrom, SecurityFlags, owner};
use crate::error::{ErrorCode, PairingError};
use crate::events::Step;
use crate::installer::Installer;
use crate::label::Label;

/// A device that was reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DeviceReset {
    /// Which one.
    pub registration_id: String,
    /// It belonged to somebody, whose signature the API gave.
    pub was_owned: bool,
}

impl Installer {
    /// Takes configuration, credential and owner from a device: its registration ID, label and key stay. An owned device
    /// asks for its owner's signature, which the provisioning API gives for this device and session. What DPS and the
    /// API keep of the device stays as it is.
    ///
    /// When the answer is lost the device may be reset or not; run it again, that does no harm.
    ///
    /// # Errors
    /// As the steps connect, secure and identify of a pairing; `not-owner` where the device refuses the signature, and what
    /// the API says when it gives none.
    pub async fn reset_device(
        &self,
        link: &LinkAddress,
        label: &Label,
        security: SecurityFlags,
    ) -> Result<DeviceReset, PairingError> {
        let deadlines = self.deadlines;
        let from = LinkFrom::address(link, self.radio.as_ref());
        let (mut talk, said) = Talk::begin(from, &deadlines).await?;
        if said.lowtouch.is_none() {
            return Err(PairingError::new(ErrorCode::NotADevice).at(Step::Connect));
        }
        talk.begin_session(label, &said, security, &deadlines).await?;
        let done = step(Step::HandOff, deadlines.hand_off, self.reset_in(&mut talk)).await;
        talk.close().await;
        done
    }

    async fn reset_in(&self, talk: &mut Talk) -> Result<DeviceReset, PairingError> {
        let answer = talk.dps_config(&dps_config::client::identify(false)).await.and_then(of_response);
        let answer = answer.map_err(|error| error.at(Step::Identify))?;
        let Some(response::Body::Identify(identify)) = answer.body else {
            return Err(PairingError::new(ErrorCode::DeviceGarbage).at(Step::Identify));
        };
        let was_owned = !identify.owner_key_id.is_empty();
        // Also where the firmware does not check: an honest app leaves a stranger's device alone.
        let signature = match (was_owned, &self.api) {
            (false, _) => None,
            (true, None) => return Err(PairingError::new(ErrorCode::NotOwner).at(Step::HandOff)),
            (true, Some(api)) => {
                let ask = wire::OwnerSignatureRequest {
                    handoff_id: Uuid::new_v4(),
                    operation: wire::OwnerOperation::Reset,
                    nonce: STANDARD.encode(&identify.nonce),
                    digest: None,
                    owner_key_id: Some(STANDARD.encode(&identify.owner_key_id)),
                };
                let rid = identify.registration_id.as_str();
                let answer = self.endpoint.call(|_| {}, || api.owner_signature(rid, &ask)).await;
                Some(answer.and_then(|answer| owner::signature(&answer)).map_err(|error| error.at(Step::HandOff))?)
            }
        };
        let answer = talk.dps_config(&dps_config::client::reset(signature)).await.and_then(of_response);
        answer.map_err(|error| error.at(Step::HandOff))?;
        Ok(DeviceReset { registration_id: shown(&identify.registration_id), was_owned })
    }
}
