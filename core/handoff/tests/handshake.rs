//! Client and device with each other, and what each refuses.

// Helper functions of tests are tests too.
#![allow(clippy::unwrap_used)]

use lowtouch_handoff::protocomm::client::{Credentials, Handshake, HandshakeError, Next, Session};
use lowtouch_handoff::protocomm::device::{DeviceSecurity, Refusal, SecureSession};
use lowtouch_handoff::protocomm::{MAX_MESSAGE, Status, Weakness, srp6a};
use proptest::prelude::*;
use secrecy::SecretString;

const CLIENT_ENTROPY: [u8; 64] = [0x11; 64];
const DEVICE_ENTROPY: [u8; 64] = [0x22; 64];

fn device2(username: &str, password: &str, patch_ver: u8) -> DeviceSecurity {
    let made = srp6a::make_verifier(username, &SecretString::from(password), &[7; 16]).unwrap();
    DeviceSecurity::Security2 { username: username.to_owned(), salt: made.salt, verifier: made.verifier, patch_ver }
}

fn client2(username: &str, password: &str, patch_ver: u8) -> Credentials {
    Credentials::Security2 { username: username.to_owned(), password: SecretString::from(password), patch_ver }
}

fn device1(pop: &str) -> DeviceSecurity {
    DeviceSecurity::Security1 { pop: SecretString::from(pop) }
}

fn client1(pop: &str) -> Credentials {
    Credentials::Security1 { pop: SecretString::from(pop) }
}

/// Why a pairing of the two did not come about.
#[derive(Debug, PartialEq)]
enum Failure {
    Client(HandshakeError),
    Device(Refusal),
}

/// Runs the handshake; `on_the_way` may change each message (numbered from 0).
fn shake(
    credentials: Credentials,
    device: &mut SecureSession,
    mut on_the_way: impl FnMut(usize, &mut Vec<u8>),
) -> Result<Session, Failure> {
    let (mut handshake, mut request) = Handshake::start(credentials, &CLIENT_ENTROPY).map_err(Failure::Client)?;
    let mut n = 0;
    loop {
        on_the_way(n, &mut request);
        let mut response = device.handshake(&request, &DEVICE_ENTROPY).map_err(Failure::Device)?;
        on_the_way(n + 1, &mut response);
        n += 2;
        match handshake.handle(&response).map_err(Failure::Client)? {
            Next::Send(next, bytes) => (handshake, request) = (next, bytes),
            Next::Secured(session) => return Ok(session),
        }
    }
}

fn converse(client: &mut Session, device: &mut SecureSession, request: &[u8], response: &[u8]) {
    let sealed = client.seal(request).unwrap();
    assert_eq!(sealed.len(), request.len() + client.overhead());
    assert_eq!(device.open(&sealed).unwrap(), request);
    let sealed = device.seal(response).unwrap();
    assert_eq!(client.open(&sealed).unwrap(), response);
}

fn first_request(credentials: Credentials) -> Vec<u8> {
    Handshake::start(credentials, &CLIENT_ENTROPY).unwrap().1
}

/// The hand-made Command0 of Security 2, for keys and names that our client would not send.
fn command0(username: &[u8], public: &[u8]) -> Vec<u8> {
    let mut inner = Vec::new();
    field(&mut inner, &[0x0a], username);
    field(&mut inner, &[0x12], public);
    let mut payload = Vec::new();
    field(&mut payload, &[0xa2, 0x01], &inner);
    let mut message = vec![0x10, 2];
    field(&mut message, &[0x62], &payload);
    message
}

/// The hand-made Response0 of Security 2.
fn response0(public: &[u8], salt: &[u8]) -> Vec<u8> {
    let mut inner = Vec::new();
    field(&mut inner, &[0x12], public);
    field(&mut inner, &[0x1a], salt);
    let mut payload = vec![0x08, 1];
    field(&mut payload, &[0xaa, 0x01], &inner);
    let mut message = vec![0x10, 2];
    field(&mut message, &[0x62], &payload);
    message
}

fn field(message: &mut Vec<u8>, tag: &[u8], value: &[u8]) {
    message.extend(tag);
    let mut len = value.len();
    while len > 127 {
        message.push(len as u8 & 127 | 128);
        len >>= 7;
    }
    message.push(len as u8);
    message.extend(value);
}

#[test]
fn every_security_version_makes_a_session_and_names_its_weakness() {
    let cases = [
        (Credentials::Security0, DeviceSecurity::Security0, Some(Weakness::NoEncryption), 0),
        (client1("abcd1234"), device1("abcd1234"), Some(Weakness::NoMac), 0),
        (client1(""), device1(""), Some(Weakness::NoMac), 0),
        (client2("u", "p", 0), device2("u", "p", 0), Some(Weakness::NonceNeverChanges), 16),
        (client2("u", "p", 1), device2("u", "p", 1), None, 16),
    ];
    for (credentials, security, weakness, overhead) in cases {
        let mut device = SecureSession::new(security);
        assert!(!device.is_secure());
        assert_eq!(device.open(&[0; 20]), Err(Refusal::NoSession));
        assert_eq!(device.seal(&[0; 20]), Err(Refusal::NoSession));
        let mut client = shake(credentials, &mut device, |_, _| {}).unwrap();
        assert!(device.is_secure());
        assert_eq!((client.weakness(), client.overhead()), (weakness, overhead));
        for _ in 0..3 {
            converse(&mut client, &mut device, b"request", b"response");
            converse(&mut client, &mut device, b"", b"");
        }
    }
}

#[test]
fn a_wrong_proof_of_possession_is_refused_and_costs_a_whole_handshake() {
    for (credentials, security) in [
        (client1("wrong"), device1("abcd1234")),
        (client1(""), device1("abcd1234")),
        (client2("u", "wrong", 1), device2("u", "p", 1)),
        (client2("other", "p", 1), device2("u", "p", 1)),
    ] {
        let mut device = SecureSession::new(security);
        let mut proof = Vec::new();
        let outcome = shake(credentials, &mut device, |n, bytes| {
            if n == 2 {
                proof.clone_from(bytes);
            }
        });
        assert_eq!(outcome.unwrap_err(), Failure::Device(Refusal::WrongProof));
        assert!(!device.is_secure());
        assert_eq!(device.handshake(&proof, &DEVICE_ENTROPY), Err(Refusal::OutOfTurn));
    }
}

#[test]
fn a_device_that_cannot_prove_itself_is_told_apart_from_a_wrong_pop() {
    for (credentials, security) in
        [(client1("abcd1234"), device1("abcd1234")), (client2("u", "p", 1), device2("u", "p", 1))]
    {
        let mut device = SecureSession::new(security);
        let outcome = shake(credentials, &mut device, |n, bytes| {
            if n == 3 {
                // Inside the proof of either scheme.
                bytes[14] ^= 1;
            }
        });
        assert_eq!(outcome.unwrap_err(), Failure::Client(HandshakeError::DeviceNotProven));
    }
}

#[test]
fn a_wrong_security_version_is_refused_by_both_sides() {
    let mut device = SecureSession::new(device1("abcd1234"));
    let outcome = shake(client2("u", "p", 1), &mut device, |_, _| {});
    assert_eq!(outcome.unwrap_err(), Failure::Device(Refusal::WrongSecurityVersion));
    let (handshake, _) = Handshake::start(client2("u", "p", 1), &CLIENT_ENTROPY).unwrap();
    assert_eq!(handshake.refused(), HandshakeError::WrongSecurityVersion);

    let answer = device.handshake(&first_request(client1("abcd1234")), &DEVICE_ENTROPY).unwrap();
    let (handshake, _) = Handshake::start(client2("u", "p", 1), &CLIENT_ENTROPY).unwrap();
    assert_eq!(handshake.handle(&answer).unwrap_err(), HandshakeError::WrongSecurityVersion);
}

#[test]
fn a_device_that_states_a_reason_is_quoted() {
    for (number, expected) in [
        (1, HandshakeError::WrongSecurityVersion),
        (3, HandshakeError::Device(Status::TooManySessions)),
        (6, HandshakeError::Device(Status::CryptoError)),
        (99, HandshakeError::Garbage),
    ] {
        let (handshake, _) = Handshake::start(client1("abcd1234"), &CLIENT_ENTROPY).unwrap();
        // SessionData{sec_ver 1, sec1{msg 1, sr0{status}}}
        let answer = [0x10, 1, 0x5a, 7, 0x08, 1, 0xaa, 0x01, 2, 0x08, number];
        assert_eq!(handshake.handle(&answer).unwrap_err(), expected);
    }
}

#[test]
fn a_second_handshake_replaces_the_session() {
    let mut device = SecureSession::new(device2("u", "p", 1));
    let mut first = shake(client2("u", "p", 1), &mut device, |_, _| {}).unwrap();
    converse(&mut first, &mut device, b"one", b"two");
    let mut second = shake(client2("u", "p", 1), &mut device, |_, _| {}).unwrap();
    converse(&mut second, &mut device, b"three", b"four");
}

#[test]
fn garbage_on_the_handshake_does_not_end_a_session_that_stands() {
    let mut device = SecureSession::new(device2("u", "p", 1));
    let mut client = shake(client2("u", "p", 1), &mut device, |_, _| {}).unwrap();
    assert_eq!(device.handshake(b"\xff\xff", &DEVICE_ENTROPY), Err(Refusal::Garbage));
    converse(&mut client, &mut device, b"still", b"here");
}

#[test]
fn a_device_refuses_client_keys_that_would_let_anybody_in() {
    let prime = srp6a::group_prime();
    for public in [vec![0; 384], prime.to_vec(), vec![], vec![0; 1], prime[1..].to_vec(), vec![2; 385]] {
        let mut device = SecureSession::new(device2("u", "p", 1));
        let answer = device.handshake(&command0(b"u", &public), &DEVICE_ENTROPY);
        assert_eq!(answer, Err(Refusal::ForbiddenKey), "{} bytes", public.len());
        assert!(!device.is_secure());
    }
}

#[test]
fn a_client_refuses_device_keys_that_make_the_secret_known() {
    let prime = srp6a::group_prime();
    for public in [vec![0; 384], prime.to_vec(), vec![0; 1], vec![2; 385]] {
        let (handshake, _) = Handshake::start(client2("u", "p", 1), &CLIENT_ENTROPY).unwrap();
        let error = handshake.handle(&response0(&public, &[7; 16])).unwrap_err();
        assert_eq!(error, HandshakeError::ForbiddenKey, "{} bytes", public.len());
    }
    for (public, salt) in [(&[2; 384][..], &[][..]), (&[], &[7; 16])] {
        let (handshake, _) = Handshake::start(client2("u", "p", 1), &CLIENT_ENTROPY).unwrap();
        let error = handshake.handle(&response0(public, salt)).unwrap_err();
        assert_eq!(error, HandshakeError::Garbage);
    }
}

#[test]
fn both_sides_refuse_x25519_keys_of_low_order() {
    let mut low_order = vec![[0; 32]];
    low_order.push(std::array::from_fn(|i| u8::from(i == 0)));
    // p - 1, p and p + 1 for p = 2^255 - 19.
    for low in [0xec, 0xed, 0xee] {
        low_order.push(std::array::from_fn(|i| match i {
            0 => low,
            31 => 0x7f,
            _ => 0xff,
        }));
    }
    for key in low_order {
        let mut request = first_request(client1("abcd1234"));
        let at = request.len() - 32;
        request[at..].copy_from_slice(&key);
        let mut device = SecureSession::new(device1("abcd1234"));
        assert_eq!(device.handshake(&request, &DEVICE_ENTROPY), Err(Refusal::LowOrderKey));

        let outcome = shake(client1("abcd1234"), &mut device, |n, bytes| {
            if n == 1 {
                // SessionData{2: 1, 11: {1: 1, 21: {2: key, 3: random}}}
                bytes[11..43].copy_from_slice(&key);
            }
        });
        assert_eq!(outcome.unwrap_err(), Failure::Client(HandshakeError::LowOrderKey));
    }
}

#[test]
fn a_proof_of_another_length_is_refused() {
    for len in [0, 1, 63, 65, 128] {
        let mut device = SecureSession::new(device2("u", "p", 1));
        device.handshake(&first_request(client2("u", "p", 1)), &DEVICE_ENTROPY).unwrap();
        let mut inner = Vec::new();
        field(&mut inner, &[0x0a], &vec![1; len]);
        let mut payload = vec![0x08, 2];
        field(&mut payload, &[0xb2, 0x01], &inner);
        let mut message = vec![0x10, 2];
        field(&mut message, &[0x62], &payload);
        assert_eq!(device.handshake(&message, &DEVICE_ENTROPY), Err(Refusal::ProofLength));
    }
}

#[test]
fn an_empty_or_overlong_username_is_refused_by_both_sides() {
    for username in [String::new(), "u".repeat(srp6a::MAX_USERNAME + 1)] {
        let mut device = SecureSession::new(device2("u", "p", 1));
        let request = command0(username.as_bytes(), &[2; 384]);
        assert_eq!(device.handshake(&request, &DEVICE_ENTROPY), Err(Refusal::Username));
        let started = Handshake::start(client2(&username, "p", 1), &CLIENT_ENTROPY);
        assert_eq!(started.unwrap_err(), HandshakeError::Username);
    }
}

#[test]
fn an_unknown_patch_version_is_refused_by_both_sides() {
    let started = Handshake::start(client2("u", "p", 2), &CLIENT_ENTROPY);
    assert_eq!(started.unwrap_err(), HandshakeError::PatchVersion(2));
    let mut device = SecureSession::new(device2("u", "p", 2));
    let answer = device.handshake(&first_request(client2("u", "p", 1)), &DEVICE_ENTROPY);
    assert_eq!(answer, Err(Refusal::OwnCredentials));
}

#[test]
fn a_message_longer_than_any_link_carries_is_refused() {
    let long = vec![0; MAX_MESSAGE + 1];
    let mut device = SecureSession::new(DeviceSecurity::Security0);
    assert_eq!(device.handshake(&long, &DEVICE_ENTROPY), Err(Refusal::TooLong));
    let (handshake, _) = Handshake::start(Credentials::Security0, &CLIENT_ENTROPY).unwrap();
    assert_eq!(handshake.handle(&long).unwrap_err(), HandshakeError::TooLong(MAX_MESSAGE + 1));
}

#[test]
fn a_proof_without_a_handshake_is_refused() {
    for (credentials, security) in
        [(client1("abcd1234"), device1("abcd1234")), (client2("u", "p", 1), device2("u", "p", 1))]
    {
        let mut proof = Vec::new();
        let mut device = SecureSession::new(security.clone());
        shake(credentials, &mut device, |n, bytes| {
            if n == 2 {
                proof.clone_from(bytes);
            }
        })
        .unwrap();
        let mut fresh = SecureSession::new(security);
        assert_eq!(fresh.handshake(&proof, &DEVICE_ENTROPY), Err(Refusal::OutOfTurn));
        assert_eq!(device.handshake(&proof, &DEVICE_ENTROPY), Err(Refusal::OutOfTurn));
    }
}

#[test]
fn nothing_secret_is_in_what_debug_prints() {
    let secret = "pop-that-must-not-be-seen";
    let mut device = SecureSession::new(device2("u", secret, 1));
    let credentials = client2("u", secret, 1);
    let mut seen = format!("{credentials:?}{device:?}{:?}", device2("u", secret, 1));
    let session = shake(credentials, &mut device, |_, _| {}).unwrap();
    seen += &format!("{session:?}{device:?}{:?}{:?}", client1(secret), device1(secret));
    assert!(!seen.contains(secret), "{seen}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn client_and_device_agree_for_any_username_and_password(
        username in "\\PC{1,24}", password in "\\PC{0,24}", patch_ver in 0..=1u8,
        salt: [u8; 16], client_entropy: [[u8; 32]; 2], device_entropy: [[u8; 32]; 2],
        request: Vec<u8>, response: Vec<u8>,
    ) {
        let secret = SecretString::from(password.as_str());
        let made = srp6a::make_verifier(&username, &secret, &salt);
        prop_assume!(made != Err(srp6a::VerifierError::Reroll));
        let made = made.unwrap();
        let mut device = SecureSession::new(DeviceSecurity::Security2 {
            username: username.clone(), salt: made.salt, verifier: made.verifier, patch_ver,
        });
        let client_entropy: [u8; 64] = client_entropy.concat().try_into().unwrap();
        let device_entropy: [u8; 64] = device_entropy.concat().try_into().unwrap();
        let (client, sent) = Handshake::start(client2(&username, &password, patch_ver), &client_entropy).unwrap();
        let answer = device.handshake(&sent, &device_entropy).unwrap();
        let Next::Send(client, sent) = client.handle(&answer).unwrap() else { panic!("no proof") };
        let answer = device.handshake(&sent, &device_entropy).unwrap();
        let Next::Secured(mut client) = client.handle(&answer).unwrap() else { panic!("no session") };
        converse(&mut client, &mut device, &request, &response);
        converse(&mut client, &mut device, &response, &request);
    }

    #[test]
    fn security_1_agrees_for_any_proof_of_possession(pop in "\\PC{0,24}", request: Vec<u8>, response: Vec<u8>) {
        let mut device = SecureSession::new(device1(&pop));
        let mut client = shake(client1(&pop), &mut device, |_, _| {}).unwrap();
        converse(&mut client, &mut device, &request, &response);
        converse(&mut client, &mut device, &response, &request);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_one_byte_changed_on_the_way_is_noticed_with_security_2(
        which in 0..6usize, at: prop::sample::Index, flip in 1..=255u8, patch_ver in 0..=1u8,
    ) {
        let change = |n: usize, bytes: &mut Vec<u8>| {
            if n == which {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
            }
        };
        let mut device = SecureSession::new(device2("wifiprov", "abcd1234", patch_ver));
        // The first exchange after the handshake counts too: a changed nonce shows there.
        let Ok(mut client) = shake(client2("wifiprov", "abcd1234", patch_ver), &mut device, change) else {
            prop_assert!(which < 4);
            return Ok(());
        };
        let mut sealed = client.seal(b"a request").unwrap();
        change(4, &mut sealed);
        let Ok(request) = device.open(&sealed) else {
            prop_assert!((3..=4).contains(&which), "message {which}");
            return Ok(());
        };
        prop_assert_eq!(request, b"a request");
        let mut sealed = device.seal(b"a response").unwrap();
        change(5, &mut sealed);
        prop_assert_eq!(which, 5);
        prop_assert!(client.open(&sealed).is_err());
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic_a_client(bytes: Vec<u8>, which in 0..4usize) {
        let credentials = [Credentials::Security0, client1("p"), client2("u", "p", 0), client2("u", "p", 1)];
        let (handshake, _) = Handshake::start(credentials[which].clone(), &CLIENT_ENTROPY).unwrap();
        let _ = handshake.handle(&bytes);
    }

    #[test]
    fn random_bytes_never_panic_a_device(messages: Vec<Vec<u8>>, which in 0..3usize) {
        let security = [
            DeviceSecurity::Security0,
            device1("p"),
            DeviceSecurity::Security2 { username: "u".into(), salt: vec![1], verifier: vec![2], patch_ver: 1 },
        ];
        let mut device = SecureSession::new(security[which].clone());
        for message in &messages {
            let _ = device.handshake(message, &DEVICE_ENTROPY);
            let _ = device.open(message);
        }
    }

    #[test]
    fn random_bytes_never_panic_a_session(messages: Vec<Vec<u8>>, which in 0..2usize) {
        let mut device = SecureSession::new([DeviceSecurity::Security0, device1("p")][which].clone());
        let mut client = shake([Credentials::Security0, client1("p")][which].clone(), &mut device, |_, _| {}).unwrap();
        for message in &messages {
            let _ = client.open(message);
            let _ = device.open(message);
        }
    }
}
