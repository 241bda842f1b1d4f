//! The installer's side of `dps-config`.

use std::fmt;

use prost::Message as _;
use zeroize::Zeroizing;

use super::{
    AbortRequest, Chunk, CommitRequest, Config, CsrRequest, DIGEST_LEN, HANDOFF_ID_LEN, IdentifyRequest, MAX_RESPONSE,
    MIN_PLAIN, MoreRequest, Request, ResetRequest, Response, StageRequest, StatusRequest, chunks, digest, request,
    response,
};

/// Asks the device who it is; with `with_csr` for its CSR too.
#[must_use]
pub fn identify(with_csr: bool) -> Request {
    of(request::Body::Identify(IdentifyRequest { with_csr }))
}

/// Asks the device for its CSR alone.
#[must_use]
pub fn csr() -> Request {
    of(request::Body::Csr(CsrRequest {}))
}

/// An owner's signature; see [`stage_signature_message`](super::stage_signature_message) and
/// [`reset_signature_message`](super::reset_signature_message) for what it covers.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnerSignature {
    /// Ed25519 (64 bytes) or ECDSA P-256 with SHA-256 (DER).
    pub signature: Vec<u8>,
    /// Seconds since 1970-01-01 UTC.
    pub expires: u64,
}

impl fmt::Debug for OwnerSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerSignature").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Stages `config` for `lease_s` seconds. The second value is the digest that the device must answer, and that commit
/// names.
#[must_use]
pub fn stage(
    handoff_id: &[u8; HANDOFF_ID_LEN],
    lease_s: u32,
    config: &Config,
    owner: Option<OwnerSignature>,
) -> (Request, [u8; DIGEST_LEN]) {
    stage_encoded(handoff_id, lease_s, config.encode_to_vec(), owner)
}

/// Stages a config that was encoded before, so that an owner could sign its digest.
#[must_use]
pub fn stage_encoded(
    handoff_id: &[u8; HANDOFF_ID_LEN],
    lease_s: u32,
    config: Vec<u8>,
    owner: Option<OwnerSignature>,
) -> (Request, [u8; DIGEST_LEN]) {
    let digest = digest(&config);
    let (owner_signature, signature_expires) = owner.map_or((Vec::new(), 0), |owner| (owner.signature, owner.expires));
    let request = of(request::Body::Stage(StageRequest {
        handoff_id: handoff_id.to_vec(),
        lease_s,
        config,
        digest: digest.to_vec(),
        owner_signature,
        signature_expires,
    }));
    (request, digest)
}

/// Puts the staged config in force.
#[must_use]
pub fn commit(handoff_id: &[u8; HANDOFF_ID_LEN], digest: &[u8; DIGEST_LEN]) -> Request {
    of(request::Body::Commit(CommitRequest { handoff_id: handoff_id.to_vec(), digest: digest.to_vec() }))
}

/// Drops the hand-off, staged or in its trial.
#[must_use]
pub fn abort(handoff_id: &[u8; HANDOFF_ID_LEN]) -> Request {
    of(request::Body::Abort(AbortRequest { handoff_id: handoff_id.to_vec() }))
}

/// Asks what became of the hand-off.
#[must_use]
pub fn status() -> Request {
    of(request::Body::Status(StatusRequest {}))
}

/// Takes configuration, credential and owner from the device.
#[must_use]
pub fn reset(owner: Option<OwnerSignature>) -> Request {
    let (owner_signature, signature_expires) = owner.map_or((Vec::new(), 0), |owner| (owner.signature, owner.expires));
    of(request::Body::Reset(ResetRequest { owner_signature, signature_expires }))
}

fn of(body: request::Body) -> Request {
    Request { body: Some(body) }
}

/// One request and its response, in as many exchanges as their sizes need.
///
/// Send what [`next`](Call::next) gives, sealed; hand the opened answer to [`handle`](Call::handle); until it says
/// [`Progress::Done`]. Every exchange may be repeated with the same bytes after a lost answer.
#[derive(Clone)]
pub struct Call {
    request: Zeroizing<Vec<u8>>,
    max_plain: usize,
    transfer: u32,
    restarts: u32,
    doing: Doing,
}

#[derive(Clone)]
enum Doing {
    /// The whole request in one message.
    Whole,
    /// Bytes of the request that the device has.
    Sending {
        sent: usize,
        in_flight: usize,
    },
    /// Part of the response.
    Joining {
        transfer: u32,
        total: usize,
        data: Vec<u8>,
    },
    Over,
}

/// What an answer brought.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // one at a time, on the stack, taken apart at once
pub enum Progress {
    /// Another exchange is needed: [`Call::next`].
    More,
    /// The whole response. Its `result` may be a refusal.
    Done(Response),
}

/// Why an answer is not one to this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It cannot be decoded.
    #[error("the device's answer cannot be decoded")]
    Garbage,
    /// It is an answer to another request.
    #[error("the device answered another request")]
    WrongBody,
    /// Its parts do not join, or the device lost the request's parts twice.
    #[error("the parts of a long message do not join")]
    ChunkOrder,
    /// Longer than [`MAX_RESPONSE`].
    #[error("the device's answer is too long")]
    TooLong,
    /// The call is over, or nothing was asked.
    #[error("an answer that nobody asked for")]
    Unasked,
}

impl Call {
    /// `max_plain`: the longest plaintext that one exchange of the link carries, in bytes (the link's largest value
    /// less the session's overhead; at least [`MIN_PLAIN`] is assumed). `transfer`: a number that differs from that of the
    /// call before, on the same session; only requests that need chunks carry it.
    #[must_use]
    pub fn new(request: &Request, max_plain: usize, transfer: u32) -> Self {
        let request = Zeroizing::new(request.encode_to_vec());
        let max_plain = max_plain.max(MIN_PLAIN);
        let doing = if request.len() <= max_plain { Doing::Whole } else { Doing::Sending { sent: 0, in_flight: 0 } };
        Self { request, max_plain, transfer, restarts: 0, doing }
    }

    /// The next message to send, or `None` when the call is over. Asking again gives the same message, for a repeat.
    #[allow(clippy::should_implement_trait)] // an iterator would promise that every call moves on
    pub fn next(&mut self) -> Option<Vec<u8>> {
        match &mut self.doing {
            Doing::Whole => Some(self.request.to_vec()),
            Doing::Sending { sent, in_flight } => {
                let total = chunks::wire_len(self.request.len());
                let empty = chunk(self.transfer, total, total, Vec::new()).encoded_len();
                let room = chunks::room(self.max_plain, empty);
                let data = self.request.get(*sent..)?;
                let data = data.get(..room).unwrap_or(data);
                *in_flight = data.len();
                let offset = chunks::wire_len(*sent);
                Some(chunk(self.transfer, offset, total, data.to_vec()).encode_to_vec())
            }
            Doing::Joining { transfer, data, .. } => {
                let more = MoreRequest { transfer: *transfer, offset: chunks::wire_len(data.len()) };
                Some(of(request::Body::More(more)).encode_to_vec())
            }
            Doing::Over => None,
        }
    }

    /// Takes the answer to the message that [`next`](Call::next) gave last.
    ///
    /// # Errors
    /// See [`CallError`]; the call is over then, and may be made anew.
    pub fn handle(&mut self, reply: &[u8]) -> Result<Progress, CallError> {
        let progress = self.take(reply);
        if progress.is_err() {
            self.doing = Doing::Over;
        }
        progress
    }

    fn take(&mut self, reply: &[u8]) -> Result<Progress, CallError> {
        if matches!(self.doing, Doing::Over) {
            return Err(CallError::Unasked);
        }
        if reply.len() > MAX_RESPONSE {
            return Err(CallError::TooLong);
        }
        let response = Response::decode(reply).map_err(|_| CallError::Garbage)?;
        match &response.body {
            Some(response::Body::ChunkReceived(kept)) => {
                let Doing::Sending { sent, in_flight } = &mut self.doing else {
                    return Err(CallError::WrongBody);
                };
                let now = *sent + *in_flight;
                // The last chunk is answered with the whole request's response, so `now` is short of the end here.
                if kept.transfer != self.transfer || chunks::len(kept.received) != now || now >= self.request.len() {
                    return Err(CallError::ChunkOrder);
                }
                *sent = now;
                *in_flight = 0;
                Ok(Progress::More)
            }
            Some(response::Body::Chunk(part)) => self.join(part),
            _ if response.result() == super::Result::ChunkOrder => self.restart(),
            _ => self.finish(response),
        }
    }

    /// The device forgot the parts (it may have rebooted): once more from the start.
    fn restart(&mut self) -> Result<Progress, CallError> {
        if self.restarts > 0 {
            return Err(CallError::ChunkOrder);
        }
        match self.doing {
            Doing::Sending { .. } => {
                self.restarts += 1;
                self.transfer = self.transfer.wrapping_add(1);
                self.doing = Doing::Sending { sent: 0, in_flight: 0 };
                Ok(Progress::More)
            }
            _ => Err(CallError::ChunkOrder),
        }
    }

    fn join(&mut self, part: &Chunk) -> Result<Progress, CallError> {
        let total = chunks::len(part.total);
        if total > MAX_RESPONSE {
            return Err(CallError::TooLong);
        }
        if part.data.is_empty() {
            return Err(CallError::ChunkOrder);
        }
        let data = match &mut self.doing {
            Doing::Joining { transfer, total: expected, data } => {
                if *transfer != part.transfer || *expected != total || chunks::len(part.offset) != data.len() {
                    return Err(CallError::ChunkOrder);
                }
                data.extend_from_slice(&part.data);
                std::mem::take(data)
            }
            _ if part.offset == 0 => part.data.clone(),
            _ => return Err(CallError::ChunkOrder),
        };
        if data.len() > total {
            return Err(CallError::ChunkOrder);
        }
        if data.len() < total {
            self.doing = Doing::Joining { transfer: part.transfer, total, data };
            return Ok(Progress::More);
        }
        let whole = Response::decode(data.as_slice()).map_err(|_| CallError::Garbage)?;
        match whole.body {
            Some(response::Body::Chunk(_) | response::Body::ChunkReceived(_)) => Err(CallError::WrongBody),
            _ => self.finish(whole),
        }
    }

    fn finish(&mut self, response: Response) -> Result<Progress, CallError> {
        // A refusal has no body; a body must be the one that was asked for.
        let asked = Request::decode(self.request.as_slice()).map_err(|_| CallError::Garbage)?;
        let fits = matches!(
            (&asked.body, &response.body),
            (_, None)
                | (Some(request::Body::Identify(_)), Some(response::Body::Identify(_)))
                | (Some(request::Body::Csr(_)), Some(response::Body::Csr(_)))
                | (Some(request::Body::Stage(_)), Some(response::Body::Stage(_)))
                | (Some(request::Body::Commit(_)), Some(response::Body::Commit(_)))
                | (Some(request::Body::Abort(_)), Some(response::Body::Abort(_)))
                | (Some(request::Body::Status(_)), Some(response::Body::Status(_)))
                | (Some(request::Body::Reset(_)), Some(response::Body::Reset(_)))
        );
        if !fits || (response.body.is_none() && response.result() == super::Result::Ok) {
            return Err(CallError::WrongBody);
        }
        self.doing = Doing::Over;
        Ok(Progress::Done(response))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

fn chunk(transfer: u32, offset: u32, total: u32, data: Vec<u8>) -> Request {
    of(request::Body::Chunk(Chunk { transfer, offset, total, data }))
}
