//! What a device says of itself, without a pairing.

use lowtouch_handoff::dps_config::{self, Network, response};

use super::hand_off::attestations;
use super::refusal::{of_response, shown};
use super::run::phase_of;
use super::talk::{Talk, step};
use super::{Deadlines, DeviceIdentity, DeviceInfo, LinkFrom, SecurityFlags};
use crate::error::PairingError;
use crate::events::Step;
use crate::label::Label;

pub(crate) async fn device_info(
    link: LinkFrom,
    label: Option<Label>,
    security: SecurityFlags,
    deadlines: Deadlines,
) -> Result<DeviceInfo, PairingError> {
    let (mut talk, said) = Talk::begin(link, &deadlines).await?;
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
        talk.begin_session(&label, &said, security, &deadlines).await?;
        let identify = dps_config::client::identify(false);
        let identify = async { talk.dps_config(&identify).await.and_then(of_response) };
        let answer = step(Step::Identify, deadlines.identify, identify).await?;
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
