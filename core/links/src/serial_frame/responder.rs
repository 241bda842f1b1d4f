use std::fmt;

use super::codec::{Decoder, Frame, Kind, MAX_BODY, VERSION, encode};

/// The device's end of a serial line, without I/O. It executes no request twice: a repeated one is answered with the
/// answer that was given before, or not at all while the first is still being handled.
#[derive(Debug, Default)]
pub struct Responder {
    decoder: Decoder,
    connection: Option<Connection>,
}

/// What the device has to do now, in this order. Debug output has lengths in place of values.
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Write these bytes to the line, in one piece (no log text between them).
    Send(Vec<u8>),
    /// A host connected: the secured session starts afresh.
    Connected,
    /// The host is gone: forget the secured session.
    Disconnected,
    /// Handle the request and answer it with [`Responder::respond`].
    Request {
        /// Names the request in [`Responder::respond`].
        ticket: Ticket,
        /// The endpoint's name.
        endpoint: String,
        /// The request's bytes.
        body: Vec<u8>,
    },
}

/// One request; stale as soon as another connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    connection: u16,
    sequence: u8,
}

/// A request's answer. Debug output has the length in place of the value.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// At most 4096 bytes; more are sent as a refusal.
    Response(Vec<u8>),
    /// The handler failed.
    Refused,
    /// There is no such endpoint.
    UnknownEndpoint,
}

#[derive(Debug)]
struct Connection {
    number: u16,
    sequence: u8,
    state: State,
}

enum State {
    Fresh,
    Handling,
    Answered(Vec<u8>),
}

impl Responder {
    /// No host connected.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes from the line.
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<Action> {
        let mut actions = Vec::new();
        for frame in self.decoder.push(bytes) {
            match frame.kind {
                Kind::Connect => self.connect(&frame, &mut actions),
                Kind::Request => self.request(frame, &mut actions),
                Kind::Disconnect => self.disconnect(&frame, &mut actions),
                // Our own frames, come back over an echoing line.
                Kind::Connected | Kind::Response | Kind::Refused | Kind::UnknownEndpoint | Kind::NotConnected => {}
            }
        }
        actions
    }

    /// The bytes to write to the line in one piece; none when the host has gone on to another connection meanwhile.
    pub fn respond(&mut self, ticket: Ticket, answer: Answer) -> Vec<u8> {
        let Some(connection) = &mut self.connection else { return Vec::new() };
        if connection.number != ticket.connection
            || connection.sequence != ticket.sequence
            || !matches!(connection.state, State::Handling)
        {
            return Vec::new();
        }
        let (kind, body) = match answer {
            Answer::Response(body) if body.len() <= MAX_BODY => (Kind::Response, body),
            Answer::Response(_) | Answer::Refused => (Kind::Refused, Vec::new()),
            Answer::UnknownEndpoint => (Kind::UnknownEndpoint, Vec::new()),
        };
        let line = line(kind, ticket.connection, ticket.sequence, body);
        connection.state = State::Answered(line.clone());
        line
    }

    fn connect(&mut self, frame: &Frame, actions: &mut Vec<Action>) {
        let repeated = self.connection.as_ref().is_some_and(|connection| {
            connection.number == frame.connection && matches!(connection.state, State::Fresh)
        });
        if !repeated {
            if self.connection.is_some() {
                actions.push(Action::Disconnected);
            }
            self.connection = Some(Connection { number: frame.connection, sequence: 0, state: State::Fresh });
            actions.push(Action::Connected);
        }
        let [low, high] = u16::try_from(MAX_BODY).unwrap_or(u16::MAX).to_le_bytes();
        let body = vec![VERSION, low, high];
        actions.push(Action::Send(line(Kind::Connected, frame.connection, 0, body)));
    }

    fn request(&mut self, frame: Frame, actions: &mut Vec<Action>) {
        let ticket = Ticket { connection: frame.connection, sequence: frame.sequence };
        let current = self.connection.as_mut().filter(|own| own.number == frame.connection);
        if let Some(connection) = current {
            match &connection.state {
                State::Handling if frame.sequence == connection.sequence => return,
                State::Answered(line) if frame.sequence == connection.sequence => {
                    actions.push(Action::Send(line.clone()));
                    return;
                }
                State::Fresh | State::Answered(_) if frame.sequence == connection.sequence.wrapping_add(1) => {
                    connection.sequence = frame.sequence;
                    connection.state = State::Handling;
                    let Frame { endpoint, body, .. } = frame;
                    actions.push(Action::Request { ticket, endpoint, body });
                    return;
                }
                _ => {}
            }
        }
        let refusal = line(Kind::NotConnected, ticket.connection, ticket.sequence, Vec::new());
        actions.push(Action::Send(refusal));
    }

    fn disconnect(&mut self, frame: &Frame, actions: &mut Vec<Action>) {
        if self.connection.as_ref().is_some_and(|own| own.number == frame.connection) {
            self.connection = None;
            actions.push(Action::Disconnected);
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(line) => write!(f, "Send({} bytes)", line.len()),
            Self::Connected => f.write_str("Connected"),
            Self::Disconnected => f.write_str("Disconnected"),
            Self::Request { ticket, endpoint, body } => {
                write!(f, "Request({ticket:?}, {endpoint:?}, {} bytes)", body.len())
            }
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(body) => write!(f, "Response({} bytes)", body.len()),
            Self::Refused => f.write_str("Refused"),
            Self::UnknownEndpoint => f.write_str("UnknownEndpoint"),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "Fresh",
            Self::Handling => "Handling",
            Self::Answered(_) => "Answered",
        })
    }
}

fn line(kind: Kind, connection: u16, sequence: u8, body: Vec<u8>) -> Vec<u8> {
    let frame = Frame { kind, connection, sequence, endpoint: String::new(), body };
    // Cannot fail: the body was measured. An empty line would only be a lost frame.
    encode(&frame).unwrap_or_default()
}
