//! The device's side of `prov-config` and `prov-ctrl`: set → apply → connecting → connected, or failed until reset.

use prost::Message as _;

use super::{FailReason, Status, WifiConnected, WifiCredentials};
use crate::wire::{
    dps_config::Network,
    prov::{
        ApplyReply, ConfigMsg, ConfigPayload, CtrlMsg, CtrlPayload, CtrlReprovisionReply, CtrlResetReply, SetReply,
        SetWifi, StationState, StatusReply, WifiAttemptFailed, config_payload::Body, ctrl_payload,
        status_reply::Detail,
    },
};

/// The device's Wi-Fi station, as the endpoints see it. Keeping credentials over a reboot is the shell's affair: it
/// knows when they have worked.
#[derive(Debug)]
pub struct Station {
    wanted: Option<WifiCredentials>,
    state: State,
    pending: Option<Pending>,
}

#[derive(Debug)]
enum State {
    Idle,
    Connecting { attempts_remaining: Option<u32> },
    Connected(WifiConnected),
    Failed(FailReason),
}

#[derive(Debug, Clone, Copy)]
enum Pending {
    Apply,
    Reset,
    Reprovision,
}

/// Something that only the device around the state machine can do. Answer whether it was begun.
#[derive(Debug)]
pub enum Effect {
    /// Join this network, and tell through [`Station::event`] what comes of it.
    Connect(WifiCredentials),
    /// Stop trying, leave the network, forget it.
    Forget,
}

/// What the station has to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum StationEvent {
    /// It is trying.
    Connecting {
        /// How many attempts are left, if there is a limit.
        attempts_remaining: Option<u32>,
    },
    /// It has an address.
    Connected(WifiConnected),
    /// It gave up.
    Failed(FailReason),
    /// It is not connected and is not trying.
    Disconnected,
}

/// What to do with a request.
#[derive(Debug)]
pub enum Step {
    /// Answer with these bytes.
    Reply(Vec<u8>),
    /// Do this, then call [`Station::resume`].
    Perform(Effect),
    /// The request cannot be decoded, or an effect is being performed: the handler fails.
    Fail,
}

impl Default for Station {
    fn default() -> Self {
        Self { wanted: None, state: State::Idle, pending: None }
    }
}

impl Station {
    /// Takes an opened request of `prov-config`.
    pub fn handle(&mut self, request: &[u8]) -> Step {
        let Ok(request) = ConfigPayload::decode(request) else {
            return Step::Fail;
        };
        // The message type decides, as in ESP-IDF: clients leave empty bodies out.
        match ConfigMsg::try_from(request.msg) {
            Ok(ConfigMsg::GetStatus) => Step::Reply(payload(ConfigMsg::StatusReply, Body::StatusReply(self.status()))),
            Ok(ConfigMsg::SetWifi) => match request.body {
                Some(Body::SetWifi(set)) => {
                    let status = self.set(set).into();
                    Step::Reply(payload(ConfigMsg::SetReply, Body::SetReply(SetReply { status })))
                }
                _ => Step::Fail,
            },
            Ok(ConfigMsg::ApplyWifi) => match (&self.state, &self.wanted) {
                (State::Idle, Some(wanted)) if self.pending.is_none() => {
                    self.pending = Some(Pending::Apply);
                    Step::Perform(Effect::Connect(wanted.clone()))
                }
                _ => Step::Reply(applied(Status::InternalError)),
            },
            _ => Step::Fail,
        }
    }

    /// Takes an opened request of `prov-ctrl`.
    pub fn handle_ctrl(&mut self, request: &[u8]) -> Step {
        let Ok(request) = CtrlPayload::decode(request) else {
            return Step::Fail;
        };
        let (pending, fits) = match CtrlMsg::try_from(request.msg) {
            Ok(CtrlMsg::Reset) => (Pending::Reset, matches!(self.state, State::Failed(_))),
            Ok(CtrlMsg::Reprovision) => (Pending::Reprovision, matches!(self.state, State::Connected(_))),
            _ => return Step::Fail,
        };
        if !fits || self.pending.is_some() {
            return Step::Reply(cleared(pending, Status::InternalError));
        }
        self.pending = Some(pending);
        Step::Perform(Effect::Forget)
    }

    /// Says whether the effect was begun; the value is the request's answer. `None`: no effect was asked for.
    pub fn resume(&mut self, begun: bool) -> Option<Vec<u8>> {
        let pending = self.pending.take()?;
        let status = if begun { Status::Success } else { Status::InternalError };
        match pending {
            Pending::Apply => {
                // What became of it may have been told before this.
                if begun && matches!(self.state, State::Idle) {
                    self.state = State::Connecting { attempts_remaining: None };
                }
                Some(applied(status))
            }
            Pending::Reset | Pending::Reprovision => {
                if begun {
                    self.state = State::Idle;
                    self.wanted = None;
                }
                Some(cleared(pending, status))
            }
        }
    }

    /// Takes what came of the connection.
    pub fn event(&mut self, event: StationEvent) {
        self.state = match event {
            StationEvent::Connecting { attempts_remaining } => State::Connecting { attempts_remaining },
            StationEvent::Connected(connected) => State::Connected(connected),
            StationEvent::Failed(reason) => State::Failed(reason),
            StationEvent::Disconnected => State::Idle,
        };
    }

    /// What `dps-config` says about the network.
    #[must_use]
    pub fn network(&self) -> Network {
        match self.state {
            State::Connected(_) => Network::Connected,
            State::Connecting { .. } => Network::Unknown,
            State::Idle | State::Failed(_) => Network::Needed,
        }
    }

    fn set(&mut self, set: SetWifi) -> Status {
        let bssid = match set.bssid.len() {
            0 => None,
            6 => <[u8; 6]>::try_from(set.bssid.as_slice()).ok(),
            _ => return Status::InvalidArgument,
        };
        let wanted = WifiCredentials { ssid: set.ssid, passphrase: set.passphrase.into(), bssid, channel: set.channel };
        if wanted.check().is_err() {
            return Status::InvalidArgument;
        }
        self.wanted = Some(wanted);
        Status::Success
    }

    fn status(&self) -> StatusReply {
        let (state, detail) = match &self.state {
            State::Idle => (StationState::Disconnected, None),
            State::Connecting { attempts_remaining } => (
                StationState::Connecting,
                attempts_remaining
                    .map(|attempts_remaining| Detail::AttemptFailed(WifiAttemptFailed { attempts_remaining })),
            ),
            State::Connected(connected) => (StationState::Connected, Some(Detail::Connected(connected.clone()))),
            State::Failed(reason) => (StationState::Failed, Some(Detail::FailReason((*reason).into()))),
        };
        StatusReply { status: Status::Success.into(), state: state.into(), detail }
    }
}

fn applied(status: Status) -> Vec<u8> {
    payload(ConfigMsg::ApplyReply, Body::ApplyReply(ApplyReply { status: status.into() }))
}

fn payload(msg: ConfigMsg, body: Body) -> Vec<u8> {
    ConfigPayload { msg: msg.into(), body: Some(body) }.encode_to_vec()
}

fn cleared(pending: Pending, status: Status) -> Vec<u8> {
    let (msg, body) = match pending {
        Pending::Reprovision => {
            (CtrlMsg::ReprovisionReply, ctrl_payload::Body::ReprovisionReply(CtrlReprovisionReply {}))
        }
        Pending::Apply | Pending::Reset => (CtrlMsg::ResetReply, ctrl_payload::Body::ResetReply(CtrlResetReply {})),
    };
    CtrlPayload { msg: msg.into(), status: status.into(), body: Some(body) }.encode_to_vec()
}
