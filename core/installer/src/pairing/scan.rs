//! Which Wi-Fi networks the device hears, through the standard `prov-scan` endpoint.

use std::time::Duration;

use lowtouch_handoff::prov_config::ReplyError;
use lowtouch_handoff::prov_scan::{self, client::Scan, client::ScanStep};

use super::context::Context;
use super::network::{Failure, Line};
use super::talk::Talk;
use super::wifi::{WifiNetwork, grouped};
use super::{Deadlines, LinkFrom, SecurityFlags};
use crate::error::{ErrorCode, PairingError};
use crate::events::{NetworkState, PairingEvent, Step};
use crate::fault::Faults;
use crate::label::Label;

/// Between two questions whether the scan is done.
const POLL: Duration = Duration::from_millis(500);

/// A scan of 13 channels takes about 2 s, of both bands about 5 s.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// Channels between which a device whose own access point carries the link looks after that, as Espressif's tools do.
const SOFT_AP_CHANNELS: u32 = 5;

pub(crate) async fn wifi_scan(
    link: LinkFrom,
    label: Label,
    security: SecurityFlags,
    deadlines: Deadlines,
) -> Result<Vec<WifiNetwork>, PairingError> {
    let context = Context::new(Faults::default());
    let (mut talk, said) = Talk::begin(link, &deadlines).await?;
    let chosen = talk.begin_session(&label, &said, security, &deadlines).await?;
    let networks = scan(&mut Line { context: &context, talk: &mut talk, chosen: &chosen })
        .await
        .map_err(|failure| refused(failure).at(Step::Network));
    talk.close().await;
    networks
}

/// One scan. Three exchanges for up to four access points, and one for each four more.
pub(super) async fn scan(line: &mut Line<'_>) -> Result<Vec<WifiNetwork>, Failure> {
    line.context.emit(PairingEvent::Network { state: NetworkState::Scanning });
    let heard = async {
        let group = if line.talk.describe().starts_with("http:") { SOFT_AP_CHANNELS } else { 0 };
        let mut scan = Scan::grouped(line.talk.max_plain(), group);
        loop {
            let Some(request) = scan.next() else { return Err(Failure::Said(ReplyError::WrongMessage)) };
            // What the state machine says of the answer is the answer's parse.
            let answer = line.ask(prov_scan::ENDPOINT, &request, |answer| Ok(answer.to_vec())).await?;
            match scan.handle(&answer).map_err(Failure::Said)? {
                ScanStep::More => {}
                ScanStep::Wait => tokio::time::sleep(POLL).await,
                ScanStep::Done(heard) => return Ok(grouped(&heard)),
            }
        }
    };
    tokio::time::timeout(LONGEST, heard).await.unwrap_or_else(|_| {
        let detail = format!("the scan is not done after {} s", LONGEST.as_secs());
        Err(Failure::Link(PairingError::with_detail(ErrorCode::WifiScanFailed, detail)))
    })
}

fn refused(failure: Failure) -> PairingError {
    match failure {
        Failure::Said(error) => PairingError::with_detail(ErrorCode::WifiScanFailed, error.to_string()),
        Failure::Link(error) => error,
    }
}
