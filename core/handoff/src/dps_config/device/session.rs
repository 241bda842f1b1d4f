//! What `dps-config` keeps for one secured session: its nonce, and the parts of long messages.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use prost::Message as _;
use zeroize::Zeroizing;

use super::{
    super::{
        Chunk, ChunkReceived, MIN_PLAIN, MoreRequest, NONCE_LEN, Request, Response, Result as Code, chunks, request,
        response,
    },
    refusal,
};

/// One secured session of one connection. A new handshake starts a new one. (`Clone` and `Hash`: see
/// [`DpsConfig`](super::DpsConfig).)
#[derive(Clone)]
pub struct Session {
    nonce: [u8; NONCE_LEN],
    wrong_proofs: u32,
    max_plain: usize,
    incoming: Option<Incoming>,
    outgoing: Option<(u32, Vec<u8>)>,
    transfers: u32,
}

/// A chunked request.
#[derive(Clone)]
struct Incoming {
    transfer: u32,
    total: usize,
    data: Zeroizing<Vec<u8>>,
    /// Length of the chunk that was kept last.
    last: usize,
    /// The answer to it, once it is known: what a repeated chunk gets.
    answer: Option<Vec<u8>>,
}

pub(super) enum Received {
    /// A whole request.
    Request(Box<Request>),
    /// Answered here.
    Reply(Vec<u8>),
}

impl Session {
    /// `nonce`: fresh random bytes. `max_plain`: the longest plaintext that the link carries back, in bytes (its largest
    /// value less the session's overhead).
    #[must_use]
    pub fn new(nonce: [u8; NONCE_LEN], max_plain: usize) -> Self {
        let max_plain = max_plain.max(MIN_PLAIN);
        Self { nonce, wrong_proofs: 0, max_plain, incoming: None, outgoing: None, transfers: 0 }
    }

    /// How many wrong proofs of possession came between the last right one and this session's.
    #[must_use]
    pub fn after_wrong_proofs(self, wrong_proofs: u32) -> Self {
        Self { wrong_proofs, ..self }
    }

    pub(super) fn wrong_proofs(&self) -> u32 {
        self.wrong_proofs
    }

    pub(super) fn nonce(&self) -> [u8; NONCE_LEN] {
        self.nonce
    }

    pub(super) fn receive(&mut self, request: &[u8], max: usize) -> Received {
        // One exchange carries at most what a link carries; this is a second fence.
        if request.len() > max.saturating_add(256) {
            return Received::Reply(self.aside(&refusal(Code::TooLarge, "the request is too long")));
        }
        let Ok(request) = Request::decode(request) else {
            return Received::Reply(self.aside(&refusal(Code::Invalid, "the request cannot be decoded")));
        };
        match request.body {
            Some(request::Body::Chunk(chunk)) => self.chunk(&chunk, max.saturating_add(256)),
            Some(request::Body::More(more)) => Received::Reply(self.more(&more)),
            _ => {
                self.incoming = None;
                self.outgoing = None;
                Received::Request(Box::new(request))
            }
        }
    }

    fn chunk(&mut self, chunk: &Chunk, max: usize) -> Received {
        let (offset, total) = (chunks::len(chunk.offset), chunks::len(chunk.total));
        if total > max {
            return Received::Reply(self.aside(&refusal(Code::TooLarge, "the request is too long")));
        }
        if chunk.data.is_empty() || chunk.data.len() > total {
            return Received::Reply(self.aside(&refusal(Code::Invalid, "an empty or overlong chunk")));
        }
        if let Some(incoming) = &self.incoming
            && incoming.repeats(chunk, offset, total)
            && let Some(answer) = &incoming.answer
        {
            return Received::Reply(answer.clone());
        }
        if offset == 0 {
            self.outgoing = None;
            self.incoming = Some(Incoming {
                transfer: chunk.transfer,
                total,
                data: Zeroizing::new(Vec::with_capacity(total)),
                last: 0,
                answer: None,
            });
        }
        let Some(incoming) = self.incoming.as_mut().filter(|incoming| {
            incoming.transfer == chunk.transfer
                && incoming.total == total
                && incoming.data.len() == offset
                && chunk.data.len() <= total - offset
        }) else {
            return Received::Reply(
                self.aside(&refusal(Code::ChunkOrder, "this chunk does not continue the transfer")),
            );
        };
        incoming.data.extend_from_slice(&chunk.data);
        incoming.last = chunk.data.len();
        incoming.answer = None;
        if incoming.data.len() < total {
            let received = Response {
                body: Some(response::Body::ChunkReceived(ChunkReceived {
                    transfer: chunk.transfer,
                    received: chunks::wire_len(incoming.data.len()),
                })),
                ..Response::default()
            }
            .encode_to_vec();
            incoming.answer = Some(received.clone());
            return Received::Reply(received);
        }
        match Request::decode(incoming.data.as_slice()) {
            Ok(Request { body: None | Some(request::Body::Chunk(_) | request::Body::More(_)) }) | Err(_) => {
                let invalid = refusal(Code::Invalid, "the joined request cannot be decoded");
                Received::Reply(self.answer(&invalid))
            }
            Ok(request) => Received::Request(Box::new(request)),
        }
    }

    fn more(&mut self, more: &MoreRequest) -> Vec<u8> {
        let offset = chunks::len(more.offset);
        match &self.outgoing {
            Some((transfer, response)) if *transfer == more.transfer && offset < response.len() => {
                self.part(*transfer, response, offset)
            }
            _ => self.aside(&refusal(Code::ChunkOrder, "there is no such part")),
        }
    }

    /// The answer to the request that was received last: kept for a repeat of its last chunk, and cut to parts where it
    /// is too long.
    pub(super) fn answer(&mut self, response: &Response) -> Vec<u8> {
        let whole = response.encode_to_vec();
        let reply = if whole.len() <= self.max_plain {
            whole
        } else {
            self.transfers = self.transfers.wrapping_add(1);
            let first = self.part(self.transfers, &whole, 0);
            self.outgoing = Some((self.transfers, whole));
            first
        };
        if let Some(incoming) = &mut self.incoming {
            incoming.answer = Some(reply.clone());
        }
        reply
    }

    /// An answer that is not one to a whole request and changes nothing.
    #[allow(clippy::unused_self)]
    pub(super) fn aside(&self, response: &Response) -> Vec<u8> {
        response.encode_to_vec()
    }

    fn part(&self, transfer: u32, whole: &[u8], offset: usize) -> Vec<u8> {
        let total = chunks::wire_len(whole.len());
        let with = |offset: u32, data: Vec<u8>| Response {
            body: Some(response::Body::Chunk(Chunk { transfer, offset, total, data })),
            ..Response::default()
        };
        let room = chunks::room(self.max_plain, with(total, Vec::new()).encoded_len());
        let rest = whole.get(offset..).unwrap_or_default();
        let data = rest.get(..room).unwrap_or(rest);
        with(chunks::wire_len(offset), data.to_vec()).encode_to_vec()
    }
}

impl Incoming {
    /// Whether this is the chunk that was kept last, once more.
    fn repeats(&self, chunk: &Chunk, offset: usize, total: usize) -> bool {
        self.transfer == chunk.transfer
            && self.total == total
            && self.last > 0
            && offset + self.last == self.data.len()
            && self.data.get(offset..) == Some(chunk.data.as_slice())
    }
}

impl Hash for Session {
    fn hash<H: Hasher>(&self, to: &mut H) {
        (self.nonce, self.max_plain, &self.outgoing, self.transfers).hash(to);
        if let Some(incoming) = &self.incoming {
            (incoming.transfer, incoming.total, incoming.data.as_slice(), incoming.last, &incoming.answer).hash(to);
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}
