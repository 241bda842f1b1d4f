//! The network step: Wi-Fi through the standard `prov-config` endpoint.

use std::time::Duration;

use lowtouch_handoff::prov_config::{self, FailReason, ReplyError, Status, client, client::WifiStatus};
use lowtouch_links::Link;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::context::Context;
use super::refusal::shown;
use super::talk::{Chosen, Talk, choose, is_lost};
use super::{Deadlines, LinkFrom, NetworkRequest, NetworkSet, WifiCredentials};
use crate::error::{ErrorCode, PairingError};
use crate::events::{NetworkState, PairingEvent, Step, WaitingFor};

/// Between two questions how the connection stands. Espressif's own tools ask every 5 s, devices answer at once.
const POLL: Duration = Duration::from_secs(1);

/// How often a lost link is opened again for one exchange.
const RECONNECTS: u32 = 2;

/// Longest network name and passphrase, in bytes (IEEE 802.11 and ESP-IDF's fields).
const MAX_SSID: usize = 32;
const MAX_PASSPHRASE: usize = 63;

pub(super) fn check(wifi: &WifiCredentials) -> Result<(), PairingError> {
    let (ssid, passphrase) = (wifi.ssid.len(), wifi.passphrase.expose_secret().len());
    if ssid == 0 || ssid > MAX_SSID || passphrase > MAX_PASSPHRASE {
        let detail = format!("name: {ssid} bytes, passphrase: {passphrase} bytes");
        return Err(PairingError::with_detail(ErrorCode::WifiInvalid, detail));
    }
    Ok(())
}

pub(super) async fn only(
    context: Context,
    request: NetworkRequest,
    link: Option<Box<dyn Link>>,
) -> Result<NetworkSet, PairingError> {
    check(&request.wifi)?;
    let deadlines = request.deadlines;
    let from = match link {
        Some(link) => LinkFrom::Open(link),
        None => LinkFrom::Address(request.link.clone()),
    };
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
    let ip = step(&context, &mut talk, &chosen, &request.wifi, &deadlines).await?;
    let set = NetworkSet {
        name: request.label.name.clone(),
        link: talk.describe(),
        ssid: request.wifi.ssid.clone(),
        ip,
        round_trips: talk.traffic().exchanges,
        seconds: context.seconds(),
    };
    talk.close().await;
    Ok(set)
}

/// The network step. Returns the device's address on its network, if it says so.
pub(super) async fn step(
    context: &Context,
    talk: &mut Talk,
    chosen: &Chosen,
    wifi: &WifiCredentials,
    deadlines: &Deadlines,
) -> Result<Option<String>, PairingError> {
    let work = async {
        let set = set(context, talk, chosen, wifi);
        match tokio::time::timeout(deadlines.network, set).await {
            Ok(done) => done,
            Err(_) => Err(ErrorCode::WifiTimeout.into()),
        }
    };
    // The outer deadline is for what the inner one does not see, and later, so that the code is the inner one's.
    let whole = deadlines.network + deadlines.exchange;
    context.step(Step::Network, WaitingFor::Device, whole, work).await
}

async fn set(
    context: &Context,
    talk: &mut Talk,
    chosen: &Chosen,
    wifi: &WifiCredentials,
) -> Result<Option<String>, PairingError> {
    let credentials =
        prov_config::WifiCredentials::new(wifi.ssid.as_bytes(), wifi.passphrase.expose_secret().as_bytes());
    let set = client::set(&credentials)
        .map(Zeroizing::new)
        .map_err(|error| PairingError::with_detail(ErrorCode::WifiInvalid, error.to_string()))?;
    let mut line = Line { context, talk, chosen };
    context.emit(PairingEvent::Network { state: NetworkState::Sending });
    let mut cleared = false;
    loop {
        let sent = match line.ask(prov_config::ENDPOINT, &set, client::parse_set).await {
            Ok(()) => line.ask(prov_config::ENDPOINT, &client::apply(), client::parse_apply).await,
            refused => refused,
        };
        match sent {
            Ok(()) => break,
            Err(Failure::Said(ReplyError::Refused(Status::InvalidArgument))) => {
                return Err(ErrorCode::WifiInvalid.into());
            }
            // An earlier attempt that failed (or worked) stands in the way.
            Err(Failure::Said(ReplyError::Refused(_))) if !cleared => {
                cleared = true;
                line.clear().await?;
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    context.emit(PairingEvent::Network { state: NetworkState::Connecting });
    loop {
        let status = line.ask(prov_config::ENDPOINT, &client::get_status(), client::parse_status).await?;
        match status {
            WifiStatus::Connected(connected) => {
                context.emit(PairingEvent::Network { state: NetworkState::Connected });
                return Ok(Some(shown(&connected.ip4_addr)).filter(|ip| !ip.is_empty()));
            }
            WifiStatus::Failed(reason) => {
                // So that the next try needs no factory reset. Devices without prov-ctrl take the next set as it is.
                let _ = line.clear().await;
                context.emit(PairingEvent::Network { state: NetworkState::Failed });
                return Err(match reason {
                    FailReason::NotFound => ErrorCode::WifiNotFound.into(),
                    _ => ErrorCode::WifiWrongPassword.into(),
                });
            }
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

struct Line<'a> {
    context: &'a Context,
    talk: &'a mut Talk,
    chosen: &'a Chosen,
}

enum Failure {
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
    async fn ask<T>(
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

    async fn clear(&mut self) -> Result<(), PairingError> {
        let reset = self.ask(prov_config::CTRL_ENDPOINT, &client::reset(), client::parse_ctrl).await;
        match reset {
            Err(Failure::Said(ReplyError::Refused(_))) => {
                let again = self.ask(prov_config::CTRL_ENDPOINT, &client::reprovision(), client::parse_ctrl).await;
                Ok(again?)
            }
            other => Ok(other?),
        }
    }
}
