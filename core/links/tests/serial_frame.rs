//! The frame codec and the device's responder.
// Clippy takes only functions marked #[test] for tests; this whole file is one.
#![allow(clippy::unwrap_used)]

use lowtouch_links::serial_frame::{
    Action, Answer, Decoder, Frame, FrameTooLong, Kind, MAX_BODY, Responder, VERSION, encode,
};
use proptest::{collection::vec, prelude::*, sample::select};

fn frame(kind: Kind, connection: u16, sequence: u8, endpoint: &str, body: &[u8]) -> Frame {
    Frame { kind, connection, sequence, endpoint: endpoint.to_owned(), body: body.to_vec() }
}

fn request(sequence: u8, body: &[u8]) -> Vec<u8> {
    encode(&frame(Kind::Request, 0x1234, sequence, "dps-config", body)).unwrap()
}

fn hello(connection: u16) -> Vec<u8> {
    encode(&frame(Kind::Connect, connection, 0, "", &[VERSION])).unwrap()
}

/// A responder that has been said hello to.
fn connected() -> Responder {
    let mut responder = Responder::new();
    assert_eq!(responder.receive(&hello(0x1234))[0], Action::Connected);
    responder
}

fn ticket(actions: &[Action]) -> lowtouch_links::serial_frame::Ticket {
    match actions {
        [Action::Request { ticket, .. }] => *ticket,
        other => panic!("no single request: {other:?}"),
    }
}

fn sent(actions: &[Action]) -> Frame {
    match actions {
        [Action::Send(line)] => decode(line),
        other => panic!("no single line: {other:?}"),
    }
}

fn decode(line: &[u8]) -> Frame {
    let frames = Decoder::new().push(line);
    assert_eq!(frames.len(), 1);
    frames.into_iter().next().unwrap()
}

#[test]
fn the_documented_example_is_what_goes_over_the_line() {
    let documented = include_str!("../../../docs/serial-framing.md");
    for frame in [
        frame(Kind::Connect, 0x1234, 0, "", &[VERSION]),
        frame(Kind::Connected, 0x1234, 0, "", &[VERSION, 0x00, 0x10]),
        frame(Kind::Request, 0x1234, 1, "proto-ver", b"ESP"),
        frame(Kind::Refused, 0x1234, 1, "", b""),
    ] {
        let line = encode(&frame).unwrap();
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(documented.contains(&hex.join(" ")), "{hex:?}");
    }
}

#[test]
fn what_does_not_fit_is_not_encoded() {
    let long = "e".repeat(65);
    assert_eq!(encode(&frame(Kind::Request, 1, 1, &long, b"")), Err(FrameTooLong));
    assert_eq!(encode(&frame(Kind::Request, 1, 1, "e", &[0; MAX_BODY + 1])), Err(FrameTooLong));
}

#[test]
fn log_text_before_and_after_a_frame_on_the_same_line_loses_nothing() {
    let mut line = b"I (312) boot: ESP-IDF v5.5\r\nI (400) main: ".to_vec();
    line.extend(request(1, b"a"));
    line.extend(b"W (500) wifi: ");
    line.extend(request(2, b"b"));
    let bodies: Vec<_> = Decoder::new().push(&line).into_iter().map(|frame| frame.body).collect();
    assert_eq!(bodies, [b"a", b"b"]);
}

#[test]
fn an_endless_line_without_a_delimiter_is_dropped_and_the_next_frame_found() {
    let mut decoder = Decoder::new();
    for _ in 0..100 {
        assert!(decoder.push(&[b'x'; 1000]).is_empty());
    }
    assert_eq!(decoder.push(&request(1, b"a")).len(), 1);
}

#[test]
fn a_repeated_request_is_answered_again_and_handled_once() {
    let mut responder = connected();
    let ticket = ticket(&responder.receive(&request(1, b"a")));
    assert!(responder.receive(&request(1, b"a")).is_empty(), "still being handled");
    let answer = responder.respond(ticket, Answer::Response(b"done".to_vec()));
    assert_eq!(decode(&answer).body, b"done");
    assert_eq!(responder.receive(&request(1, b"a")), [Action::Send(answer)]);
    assert!(responder.respond(ticket, Answer::Refused).is_empty(), "answered already");
}

#[test]
fn refusals_and_unknown_endpoints_have_answers_of_their_own() {
    let mut responder = connected();
    for (sequence, answer, kind) in [
        (1, Answer::Refused, Kind::Refused),
        (2, Answer::UnknownEndpoint, Kind::UnknownEndpoint),
        (3, Answer::Response(vec![0; MAX_BODY + 1]), Kind::Refused),
    ] {
        let ticket = ticket(&responder.receive(&request(sequence, b"")));
        let answer = decode(&responder.respond(ticket, answer));
        assert_eq!((answer.kind, answer.sequence, answer.connection), (kind, sequence, 0x1234));
    }
}

#[test]
fn a_request_without_a_connection_or_out_of_order_is_told_so() {
    let mut restarted = Responder::new();
    assert_eq!(sent(&restarted.receive(&request(4, b""))).kind, Kind::NotConnected);
    let mut responder = connected();
    assert_eq!(sent(&responder.receive(&request(2, b""))).kind, Kind::NotConnected);
    assert_eq!(sent(&responder.receive(&request(0, b""))).kind, Kind::NotConnected);
    ticket(&responder.receive(&request(1, b"")));
}

#[test]
fn a_repeated_hello_is_one_connection_and_a_new_one_makes_old_answers_stale() {
    let mut responder = connected();
    assert_eq!(sent(&responder.receive(&hello(0x1234))).kind, Kind::Connected);
    let old = ticket(&responder.receive(&request(1, b"")));
    let actions = responder.receive(&hello(0x9999));
    assert_eq!(actions[..2], [Action::Disconnected, Action::Connected]);
    // Also while the new connection has a request of the same sequence number.
    let same = encode(&frame(Kind::Request, 0x9999, 1, "dps-config", b"")).unwrap();
    let new = ticket(&responder.receive(&same));
    assert!(responder.respond(old, Answer::Response(b"late".to_vec())).is_empty());
    assert!(!responder.respond(new, Answer::Refused).is_empty());
    let goodbye = encode(&frame(Kind::Disconnect, 0x9999, 0, "", b"")).unwrap();
    assert_eq!(responder.receive(&goodbye), [Action::Disconnected]);
    assert_eq!(responder.receive(&goodbye), []);
}

#[test]
fn debug_output_never_shows_a_value_since_security_0_carries_it_in_the_clear() {
    let mut responder = connected();
    let actions = responder.receive(&request(1, b"passphrase"));
    let answer = Answer::Response(b"passphrase".to_vec());
    let shown = format!("{:?} {:?}", frame(Kind::Request, 1, 1, "e", b"passphrase"), actions);
    let shown = format!("{shown} {answer:?} {:?} {responder:?}", Action::Send(request(1, b"passphrase")));
    let bytes: Vec<String> = b"passphrase".iter().map(u8::to_string).collect();
    assert!(!shown.contains("passphrase") && !shown.contains(&bytes.join(", ")), "{shown}");
    responder.respond(ticket(&actions), answer);
    assert!(!format!("{responder:?}").contains(&bytes.join(", ")));
}

#[test]
fn sequence_numbers_wrap_around() {
    let mut responder = connected();
    for number in 1..=600_u32 {
        let ticket = ticket(&responder.receive(&request(number as u8, b"")));
        assert!(!responder.respond(ticket, Answer::Refused).is_empty());
    }
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let kind = select(vec![
        Kind::Connect,
        Kind::Request,
        Kind::Disconnect,
        Kind::Connected,
        Kind::Response,
        Kind::Refused,
        Kind::UnknownEndpoint,
        Kind::NotConnected,
    ]);
    let body = prop_oneof![vec(any::<u8>(), 0..600), vec(Just(0_u8), 0..=MAX_BODY)];
    (kind, any::<u16>(), any::<u8>(), "[a-zé-]{0,16}", body)
        .prop_map(|(kind, connection, sequence, endpoint, body)| Frame { kind, connection, sequence, endpoint, body })
}

proptest! {
    #[test]
    fn the_decoder_takes_any_bytes(bytes in vec(any::<u8>(), 0..5000)) {
        Decoder::new().push(&bytes);
        Responder::new().receive(&bytes);
    }

    #[test]
    fn every_frame_is_found_between_noise_in_pieces_of_any_size(
        parts in vec((vec(any::<u8>(), 0..50), any_frame()), 1..6),
        piece in 1_usize..300,
    ) {
        let mut line = Vec::new();
        for (noise, frame) in &parts {
            line.extend(noise);
            line.extend(encode(frame).unwrap());
        }
        let mut decoder = Decoder::new();
        let found: Vec<Frame> = line.chunks(piece).flat_map(|piece| decoder.push(piece)).collect();
        let expected: Vec<Frame> = parts.into_iter().map(|(_, frame)| frame).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_frame_with_a_flipped_bit_never_passes_for_another_one(
        frame in any_frame(),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let mut line = encode(&frame).unwrap();
        let at = at.index(line.len());
        line[at] ^= 1 << bit;
        for found in Decoder::new().push(&line) {
            prop_assert_eq!(found, frame.clone());
        }
    }
}
