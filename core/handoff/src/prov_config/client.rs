//! The installer's side of `prov-config` and `prov-ctrl`: requests as bytes to seal, answers as opened bytes to parse.

use prost::Message;
use secrecy::ExposeSecret as _;

use super::{FailReason, ReplyError, WifiConnected, WifiCredentials, WifiCredentialsError, succeeded};
use crate::{
    protocomm::MAX_MESSAGE,
    wire::prov::{
        ConfigMsg, ConfigPayload, CtrlMsg, CtrlPayload, CtrlReprovision, CtrlReset, GetStatus, SetWifi, StationState,
        config_payload::Body, ctrl_payload, status_reply::Detail,
    },
};

/// How the device's connection stands.
#[derive(Debug, Clone, PartialEq)]
pub enum WifiStatus {
    /// It has an address.
    Connected(WifiConnected),
    /// It is trying.
    Connecting {
        /// How many attempts are left, where the firmware says it.
        attempts_remaining: Option<u32>,
    },
    /// Nothing was applied yet.
    Disconnected,
    /// It gave up. Clear that with [`reset`] before the next [`set`] and [`apply`].
    Failed(FailReason),
}

/// Gives the device a network; nothing happens before [`apply`].
///
/// # Errors
/// A length that no device takes.
pub fn set(credentials: &WifiCredentials) -> Result<Vec<u8>, WifiCredentialsError> {
    credentials.check()?;
    let set = SetWifi {
        ssid: credentials.ssid.clone(),
        passphrase: credentials.passphrase.expose_secret().to_vec(),
        bssid: credentials.bssid.map(|bssid| bssid.to_vec()).unwrap_or_default(),
        channel: credentials.channel,
    };
    Ok(payload(ConfigMsg::SetWifi, Some(Body::SetWifi(set))))
}

/// Reads the answer to [`set`].
///
/// # Errors
/// See [`ReplyError`]; `Refused(InvalidArgument)`: a length that this device does not take.
pub fn parse_set(reply: &[u8]) -> Result<(), ReplyError> {
    match decode::<ConfigPayload>(reply)?.body {
        Some(Body::SetReply(reply)) => succeeded(reply.status),
        _ => Err(ReplyError::WrongMessage),
    }
}

/// Lets the device connect.
#[must_use]
pub fn apply() -> Vec<u8> {
    payload(ConfigMsg::ApplyWifi, None)
}

/// Reads the answer to [`apply`].
///
/// # Errors
/// See [`ReplyError`]; `Refused(InternalError)`: a failed attempt stands and must be cleared with [`reset`], or nothing
/// was [`set`].
pub fn parse_apply(reply: &[u8]) -> Result<(), ReplyError> {
    match decode::<ConfigPayload>(reply)?.body {
        Some(Body::ApplyReply(reply)) => succeeded(reply.status),
        _ => Err(ReplyError::WrongMessage),
    }
}

/// Asks how the connection stands.
#[must_use]
pub fn get_status() -> Vec<u8> {
    payload(ConfigMsg::GetStatus, Some(Body::GetStatus(GetStatus {})))
}

/// Reads the answer to [`get_status`].
///
/// # Errors
/// See [`ReplyError`].
pub fn parse_status(reply: &[u8]) -> Result<WifiStatus, ReplyError> {
    let Some(Body::StatusReply(status)) = decode::<ConfigPayload>(reply)?.body else {
        return Err(ReplyError::WrongMessage);
    };
    succeeded(status.status)?;
    let state = StationState::try_from(status.state).map_err(|_| ReplyError::Garbage)?;
    Ok(match (state, status.detail) {
        (StationState::Connected, Some(Detail::Connected(connected))) => WifiStatus::Connected(connected),
        // Firmware that was not told to connect yet answers all zeroes, which reads as connected to nothing.
        (StationState::Connected | StationState::Disconnected, _) => WifiStatus::Disconnected,
        (StationState::Connecting, Some(Detail::AttemptFailed(attempt))) => {
            WifiStatus::Connecting { attempts_remaining: Some(attempt.attempts_remaining) }
        }
        (StationState::Connecting, _) => WifiStatus::Connecting { attempts_remaining: None },
        (StationState::Failed, Some(Detail::FailReason(reason))) => {
            WifiStatus::Failed(FailReason::try_from(reason).map_err(|_| ReplyError::Garbage)?)
        }
        // Reason 0 is the wrong password, and zeroes may be left out.
        (StationState::Failed, _) => WifiStatus::Failed(FailReason::Auth),
    })
}

/// Clears a failed attempt (endpoint [`CTRL_ENDPOINT`](super::CTRL_ENDPOINT)).
#[must_use]
pub fn reset() -> Vec<u8> {
    ctrl(CtrlMsg::Reset, ctrl_payload::Body::Reset(CtrlReset {}))
}

/// Makes a connected device take another network (endpoint [`CTRL_ENDPOINT`](super::CTRL_ENDPOINT)).
#[must_use]
pub fn reprovision() -> Vec<u8> {
    ctrl(CtrlMsg::Reprovision, ctrl_payload::Body::Reprovision(CtrlReprovision {}))
}

/// Reads the answer to [`reset`] or [`reprovision`].
///
/// # Errors
/// See [`ReplyError`]; `Refused(InternalError)`: there is nothing to clear.
pub fn parse_ctrl(reply: &[u8]) -> Result<(), ReplyError> {
    let reply = decode::<CtrlPayload>(reply)?;
    match CtrlMsg::try_from(reply.msg) {
        Ok(CtrlMsg::ResetReply | CtrlMsg::ReprovisionReply) => succeeded(reply.status),
        _ => Err(ReplyError::WrongMessage),
    }
}

pub(crate) fn decode<M: Message + Default>(reply: &[u8]) -> Result<M, ReplyError> {
    if reply.len() > MAX_MESSAGE {
        return Err(ReplyError::Garbage);
    }
    M::decode(reply).map_err(|_| ReplyError::Garbage)
}

fn payload(msg: ConfigMsg, body: Option<Body>) -> Vec<u8> {
    ConfigPayload { msg: msg.into(), body }.encode_to_vec()
}

fn ctrl(msg: CtrlMsg, body: ctrl_payload::Body) -> Vec<u8> {
    CtrlPayload { msg: msg.into(), status: 0, body: Some(body) }.encode_to_vec()
}
