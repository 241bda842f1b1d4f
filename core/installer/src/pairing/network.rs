//! The network step: Wi-Fi through the standard `prov-config` endpoint.

use std::time::Duration;

use lowtouch_handoff::prov_config::{self, FailReason, ReplyError, Status, client, client::WifiStatus};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::context::Context;
use super::refusal::shown;
use super::scan::{LONGEST as LONGEST_LOOK, scan};
use super::talk::{Chosen, Talk, choose, is_lost};
use super::{Deadlines, LinkFrom, NetworkRequest, NetworkSet, WifiCredentials};
use crate::error::{ErrorCode, PairingError};
use crate::events::{NetworkState, PairingEvent, Step, WaitingFor, Warning};

/// Between two questions how the connection stands. Espressif's own tools ask every 5 s, devices answer at once.
const POLL: Duration = Duration::from_secs(1);

/// How often a lost link is opened again for one exchange.
const RECONNECTS: u32 = 2;

/// How long a device may be connected before it has an address.
const WITHOUT_ADDRESS: u32 = 10;

/// How long an attempt of somebody before, which the device is still at, is waited for.
const EARLIER_ATTEMPT: Duration = Duration::from_secs(30);

/// Looking why it failed must not take longer than the failure.
const LOOKING_WHY: Duration = Duration::from_secs(10);

pub(super) async fn only(
    context: Context,
    request: NetworkRequest,
    from: LinkFrom,
) -> Result<NetworkSet, PairingError> {
    request.wifi.check()?;
    let deadlines = request.deadlines;
    let exchanges = context.exchanges.clone();
    let (mut talk, device) = context
        .step(Step::Connect, WaitingFor::Device, deadlines.connect, async {
            let mut talk = Talk::open(from, deadlines.exchange, deadlines.connect, exchanges).await?;
            let device = talk.proto_ver().await?;
            Ok((talk, device))
        })
        .await?;
    let chosen = choose(&request.label, &device, request.security).map_err(|error| error.at(Step::Connect))?;
    for warning in &chosen.warnings {
        context.warn(warning.clone());
    }
    let attempt = |attempt| context.emit(PairingEvent::Reconnecting { attempt });
    let secure = talk.secure(&chosen, attempt);
    let warning = context.step(Step::Secure, WaitingFor::Device, deadlines.secure, secure).await?;
    context.emit(PairingEvent::Secured { security: chosen.security });
    if let Some(warning) = warning {
        context.warn(warning);
    }
    let ip = run(&context, &mut talk, &chosen, &request.wifi, &deadlines, Look::Twice).await?;
    let set = NetworkSet {
        name: request.label.name.clone(),
        link: talk.describe(),
        ssid: request.wifi.ssid.to_string(),
        ip,
        round_trips: talk.traffic().exchanges,
        seconds: context.seconds(),
    };
    talk.close().await;
    Ok(set)
}

/// The network step of a pairing. Returns the device's address on its network, if it says so.
pub(super) async fn step(
    context: &Context,
    talk: &mut Talk,
    chosen: &Chosen,
    wifi: &WifiCredentials,
    deadlines: &Deadlines,
) -> Result<Option<String>, PairingError> {
    // One look, so that a network that cannot be joined is named before it is tried. Whether one is missing is seen when
    // it cannot be joined.
    run(context, talk, chosen, wifi, deadlines, Look::Once).await
}

/// How hard to look around before the network is tried. A scan misses networks now and then, so it takes two to say that
/// one is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Once,
    Twice,
}

async fn run(
    context: &Context,
    talk: &mut Talk,
    chosen: &Chosen,
    wifi: &WifiCredentials,
    deadlines: &Deadlines,
    first: Look,
) -> Result<Option<String>, PairingError> {
    let work = async {
        let mut line = Line { context, talk, chosen };
        let can_look = chosen.wifi_scan && !wifi.hidden && wifi.auth.is_none();
        if can_look {
            look(&mut line, wifi, first).await?;
        }
        let failed = match tokio::time::timeout(deadlines.network, set(&mut line, wifi)).await {
            Ok(Ok(ip)) => return Ok(ip),
            Ok(Err(error)) => error,
            Err(_) => ErrorCode::WifiTimeout.into(),
        };
        let by_the_network =
            matches!(failed.code, ErrorCode::WifiNotFound | ErrorCode::WifiWrongPassword | ErrorCode::WifiTimeout);
        // An exchange that the deadline cut off leaves no session to ask in.
        if can_look
            && by_the_network
            && (first == Look::Once || failed.code == ErrorCode::WifiNotFound)
            && line.talk.in_sync()
        {
            why(&mut line, wifi, failed).await
        } else {
            Err(failed)
        }
    };
    // The outer deadline is for what the inner one does not see, and later, so that the code is the inner one's.
    let looks = match first {
        Look::Once => LONGEST_LOOK + LOOKING_WHY,
        Look::Twice => LONGEST_LOOK * 2,
    };
    let whole = deadlines.network + deadlines.exchange + looks;
    context.step(Step::Network, WaitingFor::Device, whole, work).await
}

/// Compares with what the device hears.
async fn look(line: &mut Line<'_>, wifi: &WifiCredentials, first: Look) -> Result<(), PairingError> {
    for again in [true, false] {
        let checked = match scan(line).await {
            Ok(networks) => wifi.check_against(&networks),
            // It is only a look: a device that cannot scan may still join.
            Err(Failure::Said(_)) => return Ok(()),
            Err(Failure::Link(error)) if cannot_scan(&error) => return Ok(()),
            Err(Failure::Link(error)) => return Err(error),
        };
        match checked {
            Err(error) if error.code == ErrorCode::WifiNotFound && first == Look::Once => return Ok(()),
            Err(error) if error.code == ErrorCode::WifiNotFound && again => {}
            other => return other,
        }
    }
    Ok(())
}

fn cannot_scan(error: &PairingError) -> bool {
    matches!(error.code, ErrorCode::NetworkUnsupported | ErrorCode::WifiScanFailed)
}

/// Looks what is around, to say more of a failure than the device can.
async fn why(
    line: &mut Line<'_>,
    wifi: &WifiCredentials,
    failed: PairingError,
) -> Result<Option<String>, PairingError> {
    let Ok(Ok(networks)) = tokio::time::timeout(LOOKING_WHY, scan(line)).await else { return Err(failed) };
    Err(match wifi.check_against(&networks) {
        Err(error) if error.code != ErrorCode::WifiNotFound => error,
        // The names that were seen.
        Err(error) if failed.code == ErrorCode::WifiNotFound => error,
        _ => failed,
    })
}

async fn set(line: &mut Line<'_>, wifi: &WifiCredentials) -> Result<Option<String>, PairingError> {
    let context = line.context;
    let credentials =
        prov_config::WifiCredentials::new(wifi.ssid.as_bytes(), wifi.passphrase.expose_secret().as_bytes());
    let set = client::set(&credentials)
        .map(Zeroizing::new)
        .map_err(|error| PairingError::with_detail(ErrorCode::WifiInvalid, error.to_string()))?;
    context.emit(PairingEvent::Network { state: NetworkState::Sending });
    let began = Instant::now();
    let mut cleared = false;
    loop {
        let sent = match line.ask(prov_config::ENDPOINT, &set, client::parse_set).await {
            Ok(()) => line.ask(prov_config::ENDPOINT, &client::apply(), client::parse_apply).await,
            refused => refused,
        };
        let failure = match sent {
            Ok(()) => break,
            Err(Failure::Said(ReplyError::Refused(Status::InvalidArgument))) => {
                return Err(ErrorCode::WifiInvalid.into());
            }
            Err(failure @ Failure::Said(ReplyError::Refused(_))) if !cleared => failure,
            Err(failure) => return Err(failure.into()),
        };
        // An earlier attempt that failed (or worked) stands in the way.
        match line.clear().await? {
            Cleared::Done => cleared = true,
            Cleared::Nothing => {
                let status = line.ask(prov_config::ENDPOINT, &client::get_status(), client::parse_status).await?;
                match status {
                    // Somebody's attempt is under way; only its end can be cleared.
                    WifiStatus::Connecting { .. } if began.elapsed() < EARLIER_ATTEMPT => {
                        tokio::time::sleep(POLL).await;
                    }
                    WifiStatus::Connecting { .. } => return Err(ErrorCode::WifiResetNeeded.into()),
                    // It has ended just now.
                    WifiStatus::Failed(_) | WifiStatus::Connected(_) if began.elapsed() < EARLIER_ATTEMPT => {}
                    _ => return Err(failure.into()),
                }
            }
            Cleared::Unsupported => return Err(ErrorCode::WifiResetNeeded.into()),
        }
    }
    context.emit(PairingEvent::Network { state: NetworkState::Connecting });
    let mut without_address = 0;
    loop {
        let status = line.ask(prov_config::ENDPOINT, &client::get_status(), client::parse_status).await?;
        match status {
            WifiStatus::Connected(connected) => {
                let ip = shown(&connected.ip4_addr);
                if !ip.is_empty() && ip != "0.0.0.0" {
                    context.emit(PairingEvent::Network { state: NetworkState::Connected });
                    return Ok(Some(ip));
                }
                without_address += 1;
                if without_address > WITHOUT_ADDRESS {
                    let _ = line.clear().await;
                    context.emit(PairingEvent::Network { state: NetworkState::Failed });
                    return Err(ErrorCode::WifiNoAddress.into());
                }
            }
            WifiStatus::Failed(reason) => {
                // So that the next try needs no factory reset.
                if let Ok(Cleared::Unsupported) = line.clear().await {
                    context.warn(Warning::WifiNotCleared);
                }
                context.emit(PairingEvent::Network { state: NetworkState::Failed });
                return Err(match reason {
                    FailReason::NotFound => ErrorCode::WifiNotFound.into(),
                    FailReason::Auth => ErrorCode::WifiWrongPassword.into(),
                });
            }
            _ => {}
        }
        tokio::time::sleep(POLL).await;
    }
}

pub(super) struct Line<'a> {
    pub(super) context: &'a Context,
    pub(super) talk: &'a mut Talk,
    pub(super) chosen: &'a Chosen,
}

/// What became of an attempt that stood in the way.
enum Cleared {
    Done,
    /// There is nothing that could be cleared now.
    Nothing,
    /// The firmware has no `prov-ctrl`.
    Unsupported,
}

pub(super) enum Failure {
    Said(ReplyError),
    Link(PairingError),
}

impl From<Failure> for PairingError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Link(error) => error,
            Failure::Said(error) => {
                let code = match error {
                    ReplyError::Refused(_) => ErrorCode::NetworkUnsupported,
                    _ => ErrorCode::DeviceGarbage,
                };
                PairingError::with_detail(code, error.to_string())
            }
        }
    }
}

impl Line<'_> {
    /// One exchange. A device that changes its channel for the new network may drop the link; then once more.
    pub(super) async fn ask<T>(
        &mut self,
        endpoint: &str,
        plain: &[u8],
        parse: impl Fn(&[u8]) -> Result<T, ReplyError>,
    ) -> Result<T, Failure> {
        let mut lost = 0;
        loop {
            match self.talk.ask(endpoint, plain).await {
                Ok(answer) => return parse(&answer).map_err(Failure::Said),
                Err(error) if is_lost(&error) && lost < RECONNECTS => {
                    lost += 1;
                    let context = self.context;
                    let attempt = |attempt| context.emit(PairingEvent::Reconnecting { attempt });
                    match self.talk.again(self.chosen, attempt).await {
                        Ok(_) => {}
                        Err(again) if is_lost(&again) => return Err(Failure::Link(error)),
                        Err(again) => return Err(Failure::Link(again)),
                    }
                }
                Err(error) => return Err(Failure::Link(error)),
            }
        }
    }

    async fn clear(&mut self) -> Result<Cleared, PairingError> {
        for request in [client::reset(), client::reprovision()] {
            match self.ask(prov_config::CTRL_ENDPOINT, &request, client::parse_ctrl).await {
                Ok(()) => return Ok(Cleared::Done),
                Err(Failure::Said(ReplyError::Refused(_))) => {}
                Err(Failure::Link(error)) if error.code == ErrorCode::NetworkUnsupported => {
                    return Ok(Cleared::Unsupported);
                }
                Err(other) => return Err(other.into()),
            }
        }
        Ok(Cleared::Nothing)
    }
}
