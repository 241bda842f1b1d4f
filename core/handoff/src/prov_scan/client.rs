//! The installer's side of `prov-scan`.

use prost::Message as _;

use super::AccessPoint;
use crate::{
    prov_config::{ReplyError, client::decode, succeeded},
    wire::prov::{ScanMsg, ScanPayload, ScanResults, ScanStart, scan_payload::Body},
};

/// Most access points that are asked for in all. ESP-IDF keeps 16 unless its build says otherwise, and never more than
/// 255; a device that announces more lies, and the first ones are enough.
pub const MAX_RESULTS: u32 = 256;

/// Encoded size of the largest access point, in bytes: a 32-byte SSID (34), channel (3), a negative RSSI as ten-byte
/// varint (11), BSSID (8), auth (2), and its own head (2).
const LARGEST: usize = 60;

/// Starts a scan. `blocking`: the answer comes when the scan is done. `group_channels`: channels before the device
/// returns to its access point, 0 for all at once; `period_ms`: time on each channel.
#[must_use]
pub fn start(blocking: bool, passive: bool, group_channels: u32, period_ms: u32) -> Vec<u8> {
    let start = ScanStart { blocking, passive, group_channels, period_ms };
    payload(ScanMsg::Start, Some(Body::Start(start)))
}

/// Reads the answer to [`start`].
///
/// # Errors
/// See [`ReplyError`].
pub fn parse_start(reply: &[u8]) -> Result<(), ReplyError> {
    let reply = decode::<ScanPayload>(reply)?;
    match reply.body {
        Some(Body::StartReply(_)) => succeeded(reply.status),
        _ => Err(ReplyError::WrongMessage),
    }
}

/// Asks whether the scan is done.
#[must_use]
pub fn status() -> Vec<u8> {
    payload(ScanMsg::Status, None)
}

/// How the scan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanProgress {
    /// Whether it is done.
    pub finished: bool,
    /// How many access points were heard.
    pub count: u32,
}

/// Reads the answer to [`status`].
///
/// # Errors
/// See [`ReplyError`].
pub fn parse_status(reply: &[u8]) -> Result<ScanProgress, ReplyError> {
    let reply = decode::<ScanPayload>(reply)?;
    match reply.body {
        Some(Body::ScanStatusReply(status)) => {
            succeeded(reply.status)?;
            Ok(ScanProgress { finished: status.finished, count: status.count })
        }
        _ => Err(ReplyError::WrongMessage),
    }
}

/// Asks for `count` access points from `start_index` on. Never ask past the count: ESP-IDF before 5.5.5 crashes.
#[must_use]
pub fn results(start_index: u32, count: u32) -> Vec<u8> {
    payload(ScanMsg::Results, Some(Body::Results(ScanResults { start_index, count })))
}

/// Reads the answer to [`results`].
///
/// # Errors
/// See [`ReplyError`].
pub fn parse_results(reply: &[u8]) -> Result<Vec<AccessPoint>, ReplyError> {
    let reply = decode::<ScanPayload>(reply)?;
    match reply.body {
        Some(Body::ResultsReply(results)) => {
            succeeded(reply.status)?;
            Ok(results.entries)
        }
        _ => Err(ReplyError::WrongMessage),
    }
}

/// A whole scan: start, wait, fetch in pages that fit the link. Send what [`next`](Scan::next) gives, hand the answer to
/// [`handle`](Scan::handle).
#[derive(Debug)]
pub struct Scan {
    page: u32,
    group_channels: u32,
    found: Vec<AccessPoint>,
    doing: Doing,
}

#[derive(Debug)]
enum Doing {
    Starting,
    Waiting,
    Fetching { count: u32, asked: u32 },
    Over,
}

/// What an answer brought.
#[derive(Debug, Clone, PartialEq)]
pub enum ScanStep {
    /// Another exchange: [`Scan::next`].
    More,
    /// The scan still runs: wait a moment, then [`Scan::next`].
    Wait,
    /// All access points, as the device lists them.
    Done(Vec<AccessPoint>),
}

impl Scan {
    /// `max_plain`: the longest plaintext that one exchange of the link carries, in bytes.
    #[must_use]
    pub fn new(max_plain: usize) -> Self {
        Self::grouped(max_plain, 0)
    }

    /// As [`new`](Self::new), for a device whose own access point carries the link: after `group_channels` channels it
    /// goes back to its own one for a moment, so that the app does not lose it. 0: all channels at once.
    #[must_use]
    pub fn grouped(max_plain: usize, group_channels: u32) -> Self {
        let page = max_plain.saturating_sub(16) / LARGEST;
        Self {
            // Espressif's own apps ask for four at a time.
            page: u32::try_from(page.clamp(1, 4)).unwrap_or(1),
            group_channels,
            found: Vec::new(),
            doing: Doing::Starting,
        }
    }

    /// The next message to send, or `None` when the scan is over.
    #[allow(clippy::should_implement_trait)] // an iterator would promise that every call moves on
    pub fn next(&mut self) -> Option<Vec<u8>> {
        match &mut self.doing {
            Doing::Starting => Some(start(true, false, self.group_channels, 120)),
            Doing::Waiting => Some(status()),
            Doing::Fetching { count, asked } => {
                let have = u32::try_from(self.found.len()).unwrap_or(u32::MAX);
                *asked = self.page.min(count.saturating_sub(have));
                Some(results(have, *asked))
            }
            Doing::Over => None,
        }
    }

    /// Takes the answer to the message that [`next`](Scan::next) gave last.
    ///
    /// # Errors
    /// See [`ReplyError`]; the scan is over then.
    pub fn handle(&mut self, reply: &[u8]) -> Result<ScanStep, ReplyError> {
        let doing = std::mem::replace(&mut self.doing, Doing::Over);
        match doing {
            Doing::Starting => {
                parse_start(reply)?;
                self.doing = Doing::Waiting;
                Ok(ScanStep::More)
            }
            Doing::Waiting => {
                let progress = parse_status(reply)?;
                if !progress.finished {
                    self.doing = Doing::Waiting;
                    return Ok(ScanStep::Wait);
                }
                Ok(self.fetch(progress.count.min(MAX_RESULTS)))
            }
            Doing::Fetching { count, asked } => {
                let entries = parse_results(reply)?;
                if entries.len() > usize::try_from(asked).unwrap_or(0) {
                    return Err(ReplyError::WrongMessage);
                }
                // It announced more than it has: what it gave is all that there is.
                if entries.is_empty() {
                    return Ok(ScanStep::Done(std::mem::take(&mut self.found)));
                }
                self.found.extend(entries);
                Ok(self.fetch(count))
            }
            Doing::Over => Err(ReplyError::WrongMessage),
        }
    }

    fn fetch(&mut self, count: u32) -> ScanStep {
        if self.found.len() >= usize::try_from(count).unwrap_or(0) {
            return ScanStep::Done(std::mem::take(&mut self.found));
        }
        self.doing = Doing::Fetching { count, asked: 0 };
        ScanStep::More
    }
}

fn payload(msg: ScanMsg, body: Option<Body>) -> Vec<u8> {
    ScanPayload { msg: msg.into(), status: 0, body }.encode_to_vec()
}
