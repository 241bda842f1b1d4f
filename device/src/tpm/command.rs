//! The few commands of a TPM 2.0 that are needed, as bytes. No I/O.
//!
//! Source: TPM 2.0 Library, Part 3 (commands) and Part 2 (structures and constants).

use super::TpmError;

pub(super) const RH_OWNER: u32 = 0x4000_0001;
pub(super) const RH_NULL: u32 = 0x4000_0007;
pub(super) const RH_ENDORSEMENT: u32 = 0x4000_000b;

pub(super) const ALG_RSA: u16 = 0x0001;
pub(super) const ALG_AES: u16 = 0x0006;
pub(super) const ALG_SHA256: u16 = 0x000b;
pub(super) const ALG_NULL: u16 = 0x0010;
pub(super) const ALG_CFB: u16 = 0x0043;

const ST_NO_SESSIONS: u16 = 0x8001;
const ST_SESSIONS: u16 = 0x8002;
const RS_PASSWORD: u32 = 0x4000_0009;

/// Answers are at most this long (TPM2_MAX_RESPONSE_SIZE of the PC Client profile).
pub(super) const LONGEST_ANSWER: usize = 4096;
/// Tag, size, response code.
pub(super) const HEADER: usize = 10;

/// A kind of command, and its name for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(u32, &'static str);

pub(super) const EVICT_CONTROL: Kind = Kind(0x120, "EvictControl");
pub(super) const CREATE_PRIMARY: Kind = Kind(0x131, "CreatePrimary");
pub(super) const ACTIVATE_CREDENTIAL: Kind = Kind(0x147, "ActivateCredential");
pub(super) const POLICY_SECRET: Kind = Kind(0x151, "PolicySecret");
pub(super) const HMAC: Kind = Kind(0x155, "HMAC");
pub(super) const IMPORT: Kind = Kind(0x156, "Import");
pub(super) const LOAD: Kind = Kind(0x157, "Load");
pub(super) const FLUSH_CONTEXT: Kind = Kind(0x165, "FlushContext");
pub(super) const READ_PUBLIC: Kind = Kind(0x173, "ReadPublic");
pub(super) const START_AUTH_SESSION: Kind = Kind(0x176, "StartAuthSession");

/// How a handle of a command is authorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Auth {
    /// By the empty password.
    Empty,
    /// By this policy session.
    Policy(u32),
}

/// One command.
pub(super) struct Command<'a> {
    pub(super) kind: Kind,
    pub(super) handles: &'a [u32],
    /// Of the first handles, in their order.
    pub(super) auth: &'a [Auth],
    pub(super) parameters: Vec<u8>,
    /// How many handles its answer begins with.
    pub(super) answers_handles: usize,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) handles: Vec<u32>,
    pub(super) parameters: Vec<u8>,
}

impl Command<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for handle in self.handles {
            body.put_u32(*handle);
        }
        if !self.auth.is_empty() {
            let mut sessions = Vec::new();
            for auth in self.auth {
                sessions.put_u32(match auth {
                    Auth::Empty => RS_PASSWORD,
                    Auth::Policy(session) => *session,
                });
                // No nonce, no attributes (a policy session ends with its use), no HMAC or password.
                sessions.put_sized(&[]);
                sessions.push(0);
                sessions.put_sized(&[]);
            }
            body.put_u32(u32::try_from(sessions.len()).unwrap_or(u32::MAX));
            body.extend_from_slice(&sessions);
        }
        body.extend_from_slice(&self.parameters);
        let mut command = Vec::with_capacity(HEADER + body.len());
        command.put_u16(if self.auth.is_empty() { ST_NO_SESSIONS } else { ST_SESSIONS });
        command.put_u32(u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX));
        command.put_u32(self.kind.0);
        command.extend_from_slice(&body);
        command
    }

    /// Reads a whole answer to this command.
    pub(super) fn decode(&self, answer: &[u8]) -> Result<Answer, TpmError> {
        let whole = answer.len();
        let mut reader = Reader(answer);
        let (tag, size, code) = (reader.u16()?, reader.u32()?, reader.u32()?);
        if usize::try_from(size) != Ok(whole) {
            return Err(TpmError::Garbage);
        }
        if code != 0 {
            return Err(TpmError::Refused { command: self.kind.1, code });
        }
        let handles = (0..self.answers_handles).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        let parameters = if tag == ST_SESSIONS {
            let len = reader.u32()?;
            reader.take(usize::try_from(len).map_err(|_| TpmError::Garbage)?)?
        } else {
            reader.0
        };
        Ok(Answer { handles, parameters: parameters.to_vec() })
    }
}

/// How long an answer is, by its first bytes; `None`: no answer.
pub(super) fn answer_len(header: [u8; HEADER]) -> Option<usize> {
    let [_, _, a, b, c, d, ..] = header;
    let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    (HEADER..=LONGEST_ANSWER).contains(&len).then_some(len)
}

/// Big-endian, and with the length before it: as all of a TPM's structures are written.
pub(super) trait Put {
    fn put_u16(&mut self, value: u16);
    fn put_u32(&mut self, value: u32);
    fn put_sized(&mut self, bytes: &[u8]);
}

impl Put for Vec<u8> {
    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_sized(&mut self, bytes: &[u8]) {
        // Nothing that is written here is longer: blobs are cut out of answers that are shorter.
        self.put_u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        self.extend_from_slice(bytes);
    }
}

/// Reads what [`Put`] writes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], TpmError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(TpmError::Garbage)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TpmError> {
        self.take(N)?.try_into().map_err(|_| TpmError::Garbage)
    }

    pub(super) fn u16(&mut self) -> Result<u16, TpmError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, TpmError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn sized(&mut self) -> Result<&'a [u8], TpmError> {
        let len = self.u16()?;
        self.take(len.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hmac() -> Command<'static> {
        let mut parameters = Vec::new();
        parameters.put_sized(b"abc");
        parameters.put_u16(ALG_SHA256);
        Command { kind: HMAC, handles: &[0x8100_0100], auth: &[Auth::Empty], parameters, answers_handles: 0 }
    }

    #[test]
    fn a_command_is_laid_out_as_the_library_says() {
        // Tag, size, code, handle, size of the sessions, the empty password, the parameters.
        let expected = "8002 00000022 00000155 81000100 00000009 40000009 0000 00 0000 0003 616263 000b";
        assert_eq!(hex::encode(hmac().encode()), expected.replace(' ', ""));
    }

    #[test]
    fn a_refusal_names_the_command_and_the_code() {
        let answer = hex::decode("80010000000a0000018b").unwrap();
        let refused = hmac().decode(&answer).unwrap_err();
        assert!(matches!(refused, TpmError::Refused { command: "HMAC", code: 0x18b }), "{refused:?}");
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer: Vec<u8>, handles in 0..3_usize) {
            let _ = Command { answers_handles: handles, ..hmac() }.decode(&answer);
        }
    }
}
