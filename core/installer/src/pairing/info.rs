//! What a device says of itself, without a pairing.

use lowtouch_handoff::dps_config::{self, Network, response};

use super::hand_off::attestations;
use super::refusal::{of_response, shown};
use super::run::phase_of;
use super::talk::{Talk, choose};
use super::{Deadlines, DeviceIdentity, DeviceInfo, LinkFrom, SecurityFlags};
use crate::error::{ErrorCode, PairingError};
use crate::events::Step;
use crate::label::Label;

pub(crate) async fn device_info(
    link: LinkFrom,
    label: Option<Label>,
    security: SecurityFlags,
    deadlines: Deadlines,
) -> Result<DeviceInfo, PairingError> {
    let late = |step: Step| PairingError::new(ErrorCode::DeviceSilent).at(step);
    let open = async {
        let mut talk = Talk::open(link, deadlines.exchange, deadlines.connect, Default::default()).await?;
        let said = talk.proto_ver().await?;
        Ok((talk, said))
    };
    let (mut talk, said) = tokio::time::timeout(deadlines.connect, open)
        .await
        .map_err(|_| late(Step::Connect))?
        .map_err(|error: PairingError| error.at(Step::Connect))?;
    let mut info = DeviceInfo {
        link: talk.describe(),
        version: shown(&said.ver),
        security: said.sec_ver,
        security_patch: said.sec_patch_ver,
        capabilities: said.cap.iter().map(|cap| shown(cap)).collect(),
        lowtouch: said.lowtouch.as_ref().map(|lowtouch| lowtouch.cap.iter().map(|cap| shown(cap)).collect()),
        identity: None,
    };
    if let (Some(label), Some(_)) = (label, &said.lowtouch) {
        let chosen = choose(&label, &said, security).map_err(|error| error.at(Step::Connect))?;
        tokio::time::timeout(deadlines.secure, talk.secure(&chosen, |_| {}))
            .await
            .map_err(|_| late(Step::Secure))?
            .map_err(|error| error.at(Step::Secure))?;
        let answer = tokio::time::timeout(deadlines.identify, talk.dps_config(&dps_config::client::identify(false)))
            .await
            .map_err(|_| late(Step::Identify))?
            .and_then(of_response)
            .map_err(|error| error.at(Step::Identify))?;
        if let Some(response::Body::Identify(identify)) = answer.body {
            info.identity = Some(DeviceIdentity {
                registration_id: shown(&identify.registration_id),
                model: shown(&identify.model),
                firmware: shown(&identify.firmware),
                attestations: attestations(&identify),
                phase: phase_of(identify.phase),
                active_handoff_id: uuid::Uuid::from_slice(&identify.active_handoff_id).ok(),
                owned: !identify.owner_key_id.is_empty(),
                checks_owner: identify.checks_owner,
                on_network: match identify.network() {
                    Network::Unknown => None,
                    network => Some(network == Network::Connected),
                },
            });
        }
    }
    talk.close().await;
    Ok(info)
}
