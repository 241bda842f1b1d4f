//! One entry function per decoder, shared by the fuzz targets (core/handoff/fuzz) and by tests/fuzz_corpus.rs, which
//! replays their corpus. Not part of the interface.
//!
//! An entry takes any bytes and must return: no panic, no endless loop, no promise broken (those are asserted). Where a
//! decoder takes several messages, the input is cut by 2-byte little-endian lengths; what does not fill a length is the last message.

use std::time::Duration;

use prost::Message;
use secrecy::SecretString;

use crate::device::{Device, Effect, EffectResult, Profile, Step};
use crate::dps_config::client::{Call, Progress};
use crate::dps_config::device::{DpsConfig, Effect as HandOffEffect, EffectResult as HandOffResult};
use crate::dps_config::device::{Now, Session, Settings, Step as HandOffStep};
use crate::dps_config::{Chunk, DEFAULT_MAX_CONFIG, Network, Request, Response, request, response};
use crate::protocomm::client::{Credentials, Handshake, Next};
use crate::protocomm::device::{DeviceSecurity, SecureSession};
use crate::protocomm::{self, srp6a};
use crate::prov_scan::device::{ScanOutcome, Scanner, Step as ScannerStep};
use crate::prov_scan::{self, client::Scan};
use crate::{dps_config, proto_ver, prov_config};

/// An entry function.
pub type Entry = fn(&[u8]);

/// Name (of the fuzz target and its corpus folder) and entry of every decoder.
pub const ENTRIES: &[(&str, Entry)] = &[
    ("protocomm-client", protocomm_client),
    ("protocomm-device", protocomm_device),
    ("proto-ver", version),
    ("dps-config-request", dps_config_request),
    ("dps-config-response", dps_config_response),
    ("dps-config-state", dps_config_state),
    ("chunk-reassembly", chunk_reassembly),
    ("prov-config-request", prov_config_request),
    ("prov-config-response", prov_config_response),
    ("prov-scan-request", prov_scan_request),
    ("prov-scan-response", prov_scan_response),
    ("device-connection", device_connection),
];

/// The entropy that all entries give, so that a corpus can hold whole handshakes.
pub const ENTROPY: [u8; 64] = [0x42; 64];

/// Effects that one request may cause; more is an endless loop.
const MAX_STEPS: usize = 64;

/// The credentials that the first byte of a protocomm input chooses.
#[must_use]
pub fn credentials(choice: u8) -> Credentials {
    let password = SecretString::from("abcd1234");
    match choice % 4 {
        0 => Credentials::Security0,
        1 => Credentials::Security1 { pop: password },
        patch_ver => Credentials::Security2 { username: "wifiprov".to_owned(), password, patch_ver: patch_ver - 2 },
    }
}

/// The device that the first byte of a protocomm input chooses; it fits [`credentials`].
#[must_use]
pub fn device_security(choice: u8) -> DeviceSecurity {
    let password = SecretString::from("abcd1234");
    match choice % 4 {
        0 => DeviceSecurity::Security0,
        1 => DeviceSecurity::Security1 { pop: password },
        patch_ver => {
            let made = srp6a::make_verifier("wifiprov", &password, &[7; 16]);
            let (salt, verifier) = made.map_or_else(|_| (vec![1], vec![2]), |made| (made.salt, made.verifier));
            DeviceSecurity::Security2 { username: "wifiprov".to_owned(), salt, verifier, patch_ver: patch_ver - 2 }
        }
    }
}

/// A scheme, then responses to the handshake and, once that stands, to sealed requests.
pub fn protocomm_client(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else { return };
    let Ok((mut handshake, _)) = Handshake::start(credentials(choice), &ENTROPY) else { return };
    let mut responses = messages(rest);
    for response in responses.by_ref() {
        match handshake.handle(response) {
            Ok(Next::Send(next, request)) => {
                assert!(request.len() <= protocomm::MAX_MESSAGE);
                handshake = next;
            }
            Ok(Next::Secured(mut session)) => {
                for sealed in responses {
                    let _ = session.seal(b"request");
                    let opened = session.open(sealed);
                    assert!(opened.is_err() || session.weakness().is_some() || sealed.len() >= 16);
                }
                return;
            }
            Err(_) => return,
        }
    }
}

/// A scheme, then requests: handshakes and sealed ones alike.
pub fn protocomm_device(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else { return };
    let mut device = SecureSession::new(device_security(choice));
    for request in messages(rest).take(8) {
        if device.is_secure() && device.open(request).is_ok() {
            let _ = device.seal(b"response");
            continue;
        }
        let answer = device.handshake(request, &ENTROPY);
        assert!(
            answer.is_ok_and(|answer| answer.len() <= protocomm::MAX_MESSAGE) || !device.is_secure() || choice % 4 > 1
        );
    }
}

/// A device's version answer. What is read is said again alike.
pub fn version(input: &[u8]) {
    if let Ok(read) = proto_ver::parse(input) {
        let said = read.to_json();
        if said.len() <= proto_ver::MAX_LEN {
            assert_eq!(proto_ver::parse(said.as_bytes()), Ok(read));
        }
    }
}

/// Opened requests to a device in one session.
pub fn dps_config_request(input: &[u8]) {
    let Ok(mut device) = DpsConfig::boot(Settings::new("fuzzed"), None) else { return };
    let mut session = Session::new([0x42; dps_config::NONCE_LEN], 496);
    for (n, request) in (0..).zip(messages(input)) {
        let now = Now::since_boot(Duration::from_secs(n));
        let step = device.handle(&mut session, request, Network::Unknown, now);
        let reply = perform(&mut device, &mut session, step, now);
        assert!(
            reply.is_some_and(|reply| reply.len() <= 496),
            "a request without an answer, or a longer one than fits"
        );
        let step = device.tick(now);
        perform(&mut device, &mut session, step, now);
    }
}

/// Answers to a request that is sent in one piece or, by the first byte, in chunks.
pub fn dps_config_response(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else { return };
    let request = if choice % 2 == 0 {
        dps_config::client::identify(true)
    } else {
        dps_config::client::stage_encoded(&[1; dps_config::HANDOFF_ID_LEN], 60, vec![7; 600], None).0
    };
    let mut call = Call::new(&request, 200, 1);
    for reply in messages(rest) {
        let Some(sent) = call.next() else { return };
        assert!(sent.len() <= 200);
        if !matches!(call.handle(reply), Ok(Progress::More)) {
            return;
        }
    }
}

/// What a device finds in its flash. What it writes after that, it must be able to read.
pub fn dps_config_state(input: &[u8]) {
    let Ok(mut device) = DpsConfig::boot(Settings::new("fuzzed"), Some(input)) else { return };
    let mut session = Session::new([0x42; dps_config::NONCE_LEN], 496);
    for seconds in [0, 100_000] {
        let now = Now::since_boot(Duration::from_secs(seconds));
        let step = if seconds == 0 { device.start(now) } else { device.tick(now) };
        perform(&mut device, &mut session, step, now);
    }
    let _ = (device.in_force(), device.status(), device.next_timeout());
    let step = device.button_reset();
    perform(&mut device, &mut session, step, Now::since_boot(Duration::ZERO));
}

/// Chunks with any transfer, offset, total and length, put together by both sides: 8 bytes of input make one.
pub fn chunk_reassembly(input: &[u8]) {
    let Ok(mut device) = DpsConfig::boot(Settings::new("fuzzed"), None) else { return };
    let mut session = Session::new([0x42; dps_config::NONCE_LEN], 496);
    let mut call = Call::new(&dps_config::client::identify(true), 496, 1);
    let now = Now::since_boot(Duration::ZERO);
    for &[transfer, offset_low, offset_high, total_low, total_high, len_low, len_high, fill] in input.as_chunks().0 {
        let chunk = Chunk {
            transfer: u32::from(transfer),
            offset: u32::from(u16::from_le_bytes([offset_low, offset_high])),
            total: u32::from(u16::from_le_bytes([total_low, total_high])),
            data: vec![fill; usize::from(u16::from_le_bytes([len_low, len_high]) % 1024)],
        };
        assert!(DEFAULT_MAX_CONFIG < usize::from(u16::MAX));
        let request = Request { body: Some(request::Body::Chunk(chunk.clone())) };
        let step = device.handle(&mut session, &request.encode_to_vec(), Network::Unknown, now);
        assert!(perform(&mut device, &mut session, step, now).is_some());
        if call.next().is_some() {
            let response = Response { body: Some(response::Body::Chunk(chunk)), ..Response::default() };
            let _ = call.handle(&response.encode_to_vec());
        }
    }
}

/// Opened requests of `prov-config` and, every second one, `prov-ctrl`.
pub fn prov_config_request(input: &[u8]) {
    let mut station = prov_config::device::Station::default();
    for (n, request) in messages(input).enumerate() {
        let step = if n % 2 == 0 { station.handle(request) } else { station.handle_ctrl(request) };
        if let prov_config::device::Step::Perform(_) = step {
            assert!(station.resume(n % 3 == 0).is_some());
        }
    }
}

/// An answer of `prov-config` or `prov-ctrl`.
pub fn prov_config_response(input: &[u8]) {
    let _ = prov_config::client::parse_set(input);
    let _ = prov_config::client::parse_apply(input);
    let _ = prov_config::client::parse_status(input);
    let _ = prov_config::client::parse_ctrl(input);
}

/// Opened requests of `prov-scan` to a device that hears nothing.
pub fn prov_scan_request(input: &[u8]) {
    let mut scanner = Scanner::default();
    for request in messages(input) {
        match scanner.handle(request, 496) {
            ScannerStep::Reply(reply) => assert!(reply.len() <= 496),
            ScannerStep::Perform(_) => assert!(scanner.resume(ScanOutcome::Heard(Vec::new())).is_some()),
            ScannerStep::Fail => {}
        }
    }
}

/// Answers to a scan.
pub fn prov_scan_response(input: &[u8]) {
    let mut scan = Scan::new(496);
    for reply in messages(input) {
        if scan.next().is_none() || scan.handle(reply).is_err() {
            return;
        }
    }
    let _ = prov_scan::client::parse_results(input);
}

/// Requests to a whole device without security; the first byte of each chooses the endpoint.
pub fn device_connection(input: &[u8]) {
    let endpoints = [
        proto_ver::ENDPOINT,
        protocomm::ENDPOINT,
        dps_config::ENDPOINT,
        prov_config::ENDPOINT,
        prov_config::CTRL_ENDPOINT,
        prov_scan::ENDPOINT,
        "unknown",
    ];
    let profile = Profile::new(DeviceSecurity::Security0, Settings::new("fuzzed"));
    let Ok(mut device) = Device::boot(profile, None) else { return };
    let mut connection = device.connect(512);
    for (n, message) in (0..).zip(messages(input)) {
        let Some((&choice, request)) = message.split_first() else { continue };
        let endpoint = endpoints[usize::from(choice) % endpoints.len()];
        let now = Now::since_boot(Duration::from_secs(n));
        let mut step = device.handle(&mut connection, endpoint, request, now, &ENTROPY);
        let mut steps = 0;
        while let Step::Perform(effect) = step {
            steps += 1;
            assert!(steps < MAX_STEPS, "effects without end");
            let result = match effect {
                Effect::HandOff(effect) => EffectResult::HandOff(result(&effect)),
                Effect::Wifi(_) => EffectResult::Wifi { begun: true },
                Effect::Scan(_) => EffectResult::Scan(ScanOutcome::Heard(Vec::new())),
                Effect::KeepWrongProofs(_) => EffectResult::WrongProofsKept,
            };
            step = device.resume(Some(&mut connection), result, now);
        }
    }
}

/// Performs effects until there is a reply or nothing more to do.
fn perform(device: &mut DpsConfig, session: &mut Session, mut step: HandOffStep, now: Now) -> Option<Vec<u8>> {
    for _ in 0..MAX_STEPS {
        match step {
            HandOffStep::Reply(reply) => return Some(reply),
            HandOffStep::Done => return None,
            HandOffStep::Perform(effect) => {
                step = device.resume(Some(session), result(&effect), now);
            }
        }
    }
    panic!("effects without end");
}

fn result(effect: &HandOffEffect) -> HandOffResult {
    match effect {
        HandOffEffect::Persist(state) => {
            let booted = DpsConfig::boot(Settings::new("fuzzed"), Some(state));
            assert!(booted.is_ok(), "a device that cannot read what it wrote");
            HandOffResult::Done
        }
        HandOffEffect::MakeCsr => HandOffResult::Csr(vec![0x30; 300]),
        HandOffEffect::CheckLeaf(_) | HandOffEffect::VerifyOwner { .. } => HandOffResult::Answer(true),
        _ => HandOffResult::Done,
    }
}

/// The input cut by 2-byte little-endian lengths.
fn messages(mut input: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = input.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (message, rest) = rest.split_at(len);
        input = rest;
        Some(message)
    })
}
