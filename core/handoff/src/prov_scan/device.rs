//! The device's side of `prov-scan`.

use prost::Message as _;

use super::AccessPoint;
use crate::wire::prov::{
    ScanMsg, ScanPayload, ScanResultsReply, ScanStartReply, ScanStatusReply, Status, scan_payload::Body,
};

/// What was heard last.
#[derive(Debug, Default)]
pub struct Scanner {
    heard: Vec<AccessPoint>,
    finished: bool,
    pending: bool,
}

/// Something that only the device around the state machine can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Listen for access points. With `blocking`, answer [`ScanOutcome::Heard`] when it is done; else
    /// [`ScanOutcome::Begun`] at once, and [`Scanner::finished`] later.
    Scan {
        /// Whether the client waits for the end.
        blocking: bool,
        /// Listen only, send no probes.
        passive: bool,
        /// Channels before the device returns to its access point; 0: all at once.
        group_channels: u32,
        /// Time on each channel, in milliseconds.
        period_ms: u32,
    },
}

/// What came of [`Effect::Scan`].
#[derive(Debug, Clone, PartialEq)]
pub enum ScanOutcome {
    /// These, strongest first.
    Heard(Vec<AccessPoint>),
    /// The scan runs.
    Begun,
    /// The radio refused.
    Failed,
}

/// What to do with a request.
#[derive(Debug)]
pub enum Step {
    /// Answer with these bytes.
    Reply(Vec<u8>),
    /// Do this, then call [`Scanner::resume`].
    Perform(Effect),
    /// The request cannot be decoded, or a scan is being started: the handler fails.
    Fail,
}

impl Scanner {
    /// Takes an opened request. `max_plain`: the longest plaintext that the link carries back, in bytes; where not all
    /// that was asked for fits, fewer access points are answered.
    pub fn handle(&mut self, request: &[u8], max_plain: usize) -> Step {
        let Ok(request) = ScanPayload::decode(request) else {
            return Step::Fail;
        };
        match (ScanMsg::try_from(request.msg), request.body) {
            (Ok(ScanMsg::Start), body) if !self.pending => {
                let start = match body {
                    Some(Body::Start(start)) => start,
                    None => crate::wire::prov::ScanStart::default(),
                    Some(_) => return Step::Fail,
                };
                self.pending = true;
                Step::Perform(Effect::Scan {
                    blocking: start.blocking,
                    passive: start.passive,
                    group_channels: start.group_channels,
                    period_ms: start.period_ms,
                })
            }
            (Ok(ScanMsg::Status), _) => {
                let status =
                    ScanStatusReply { finished: self.finished, count: u32::try_from(self.heard.len()).unwrap_or(0) };
                Step::Reply(payload(ScanMsg::StatusReply, Status::Success, Body::ScanStatusReply(status)))
            }
            (Ok(ScanMsg::Results), Some(Body::Results(asked))) => {
                let start = usize::try_from(asked.start_index).unwrap_or(usize::MAX);
                let count = usize::try_from(asked.count).unwrap_or(usize::MAX);
                Step::Reply(self.results(start, count, max_plain))
            }
            _ => Step::Fail,
        }
    }

    /// Says what came of the scan; the value is the request's answer. `None`: no scan was asked for.
    pub fn resume(&mut self, outcome: ScanOutcome) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.pending) {
            return None;
        }
        let status = match outcome {
            ScanOutcome::Heard(heard) => {
                self.finished(heard);
                Status::Success
            }
            ScanOutcome::Begun => {
                self.heard.clear();
                self.finished = false;
                Status::Success
            }
            ScanOutcome::Failed => Status::InternalError,
        };
        Some(payload(ScanMsg::StartReply, status, Body::StartReply(ScanStartReply {})))
    }

    /// Takes what a scan that was only begun has heard.
    pub fn finished(&mut self, heard: Vec<AccessPoint>) {
        self.heard = heard;
        self.finished = true;
    }

    fn results(&self, start: usize, count: usize, max_plain: usize) -> Vec<u8> {
        let reply =
            |status, entries| payload(ScanMsg::ResultsReply, status, Body::ResultsReply(ScanResultsReply { entries }));
        let Some(mut asked) = start.checked_add(count).and_then(|end| self.heard.get(start..end)) else {
            return reply(Status::InternalError, Vec::new());
        };
        loop {
            let bytes = reply(Status::Success, asked.to_vec());
            if bytes.len() <= max_plain || asked.len() <= 1 {
                return bytes;
            }
            asked = &asked[..asked.len() - 1];
        }
    }
}

fn payload(msg: ScanMsg, status: Status, body: Body) -> Vec<u8> {
    ScanPayload { msg: msg.into(), status: status.into(), body: Some(body) }.encode_to_vec()
}
