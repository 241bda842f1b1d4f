//! The protobuf envelope of the handshake (`session.proto`, `sec0.proto`, `sec1.proto`, `sec2.proto` of protocomm).
//!
//! Only field numbers matter on the wire; the names are protocomm's. Enumerations are plain integers here, because a
//! value that we do not know must be told apart, not mapped to a default.

use prost::{Message, Oneof};

/// `msg` of a payload: who sends it and which of the two exchanges it belongs to.
pub(super) const COMMAND_0: i32 = 0;
pub(super) const RESPONSE_0: i32 = 1;
pub(super) const COMMAND_1: i32 = 2;
pub(super) const RESPONSE_1: i32 = 3;

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionData {
    #[prost(int32, tag = "2")]
    pub(super) sec_ver: i32,
    #[prost(oneof = "Scheme", tags = "10, 11, 12")]
    pub(super) scheme: Option<Scheme>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Scheme {
    #[prost(message, tag = "10")]
    Sec0(Sec0),
    #[prost(message, tag = "11")]
    Sec1(Sec1),
    #[prost(message, tag = "12")]
    Sec2(Sec2),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec0 {
    #[prost(int32, tag = "1")]
    pub(super) msg: i32,
    #[prost(oneof = "Sec0Body", tags = "20, 21")]
    pub(super) body: Option<Sec0Body>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Sec0Body {
    #[prost(message, tag = "20")]
    Command(Sec0Command),
    #[prost(message, tag = "21")]
    Response(Sec0Response),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec0Command {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec0Response {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec1 {
    #[prost(int32, tag = "1")]
    pub(super) msg: i32,
    #[prost(oneof = "Sec1Body", tags = "20, 21, 22, 23")]
    pub(super) body: Option<Sec1Body>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Sec1Body {
    #[prost(message, tag = "20")]
    Command0(Sec1Command0),
    #[prost(message, tag = "21")]
    Response0(Sec1Response0),
    #[prost(message, tag = "22")]
    Command1(Sec1Command1),
    #[prost(message, tag = "23")]
    Response1(Sec1Response1),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec1Command0 {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) client_pubkey: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec1Response0 {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) device_pubkey: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) device_random: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec1Command1 {
    #[prost(bytes = "vec", tag = "2")]
    pub(super) client_verify_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec1Response1 {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) device_verify_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec2 {
    #[prost(int32, tag = "1")]
    pub(super) msg: i32,
    #[prost(oneof = "Sec2Body", tags = "20, 21, 22, 23")]
    pub(super) body: Option<Sec2Body>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Sec2Body {
    #[prost(message, tag = "20")]
    Command0(Sec2Command0),
    #[prost(message, tag = "21")]
    Response0(Sec2Response0),
    #[prost(message, tag = "22")]
    Command1(Sec2Command1),
    #[prost(message, tag = "23")]
    Response1(Sec2Response1),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec2Command0 {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) client_username: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) client_pubkey: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec2Response0 {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) device_pubkey: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) device_salt: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec2Command1 {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) client_proof: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sec2Response1 {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) device_proof: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) device_nonce: Vec<u8>,
}

pub(super) fn sec0(msg: i32, body: Sec0Body) -> Vec<u8> {
    encode(0, Scheme::Sec0(Sec0 { msg, body: Some(body) }))
}

pub(super) fn sec1(msg: i32, body: Sec1Body) -> Vec<u8> {
    encode(1, Scheme::Sec1(Sec1 { msg, body: Some(body) }))
}

pub(super) fn sec2(msg: i32, body: Sec2Body) -> Vec<u8> {
    encode(2, Scheme::Sec2(Sec2 { msg, body: Some(body) }))
}

fn encode(sec_ver: i32, scheme: Scheme) -> Vec<u8> {
    SessionData { sec_ver, scheme: Some(scheme) }.encode_to_vec()
}
