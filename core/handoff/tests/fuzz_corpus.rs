//! Replays the fuzz targets' corpus (fuzz/corpus/<target>/) through the same entry functions, in every ordinary run.

// Helper functions of tests are tests too.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use lowtouch_handoff::device::{Device, Profile, Step};
use lowtouch_handoff::dps_config::{self, client, device::Now, device::Settings};
use lowtouch_handoff::fuzzing::{ENTRIES, ENTROPY, credentials, device_security};
use lowtouch_handoff::protocomm::client::{Handshake, Next};
use lowtouch_handoff::protocomm::device::{DeviceSecurity, SecureSession};
use lowtouch_handoff::{prov_config, prov_scan};

fn fuzz() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn file_names(folder: PathBuf) -> BTreeSet<String> {
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_input_of_the_corpus_is_taken_without_a_panic() {
    for (name, entry) in ENTRIES {
        let folder = fuzz().join("corpus").join(name);
        let inputs = file_names(folder.clone());
        assert!(inputs.len() >= 2, "{name} has no corpus");
        for input in inputs {
            println!("{name}/{input}");
            let bytes = fs::read(folder.join(input)).unwrap();
            entry(&bytes);
            // What a fuzzer tries first: pieces of it.
            for len in (0..bytes.len()).step_by(bytes.len() / 7 + 1) {
                entry(&bytes[..len]);
                entry(&bytes[len..]);
            }
        }
    }
}

/// A short fuzz in every run, always the same one: cuts, flips, repeats and numbers that break lengths.
#[test]
fn mutations_of_the_corpus_are_taken_without_a_panic() {
    // How many per input, for a longer run by hand.
    let rounds = std::env::var("LOWTOUCH_MUTATIONS").map_or(60, |text| text.parse().unwrap());
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    for (name, entry) in ENTRIES {
        let folder = fuzz().join("corpus").join(name);
        for input in file_names(folder.clone()) {
            let seed = fs::read(folder.join(&input)).unwrap();
            for round in 0..rounds {
                let mut bytes = seed.clone();
                for _ in 0..=random.below(4) {
                    random.mutate(&mut bytes);
                }
                let outcome = std::panic::catch_unwind(|| entry(&bytes));
                assert!(outcome.is_ok(), "{name}/{input}, round {round}: {}", hex::encode(&bytes));
            }
        }
    }
}

struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit.max(1)
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        match (self.below(6), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << self.below(8),
            (1, Some(byte)) => *byte = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
            (2, _) => bytes.truncate(at),
            (3, Some(_)) => drop(bytes.remove(at)),
            (4, _) => bytes.insert(at, self.below(256) as u8),
            _ => {
                let piece = bytes[self.below(at + 1)..at].to_vec();
                bytes.extend(piece);
            }
        }
    }
}

#[test]
fn every_entry_has_a_fuzz_target_and_every_target_and_corpus_an_entry() {
    let names: BTreeSet<String> = ENTRIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(file_names(fuzz().join("corpus")), names);
    let targets = file_names(fuzz().join("fuzz_targets"));
    assert_eq!(targets, names.iter().map(|name| name.replace('-', "_") + ".rs").collect());
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is not in fuzz/Cargo.toml");
    }
}

/// Messages as the entries cut them.
fn joined<'a>(first: &[u8], messages: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut bytes = first.to_vec();
    for message in messages {
        bytes.extend(u16::try_from(message.len()).unwrap().to_le_bytes());
        bytes.extend(message);
    }
    bytes
}

/// The requests and responses of a handshake and two exchanges.
fn conversation(choice: u8) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut device = SecureSession::new(device_security(choice));
    let (mut handshake, mut request) = Handshake::start(credentials(choice), &ENTROPY).unwrap();
    let (mut requests, mut responses) = (Vec::new(), Vec::new());
    let mut session = loop {
        let response = device.handshake(&request, &ENTROPY).unwrap();
        requests.push(request);
        responses.push(response.clone());
        match handshake.handle(&response).unwrap() {
            Next::Send(next, bytes) => (handshake, request) = (next, bytes),
            Next::Secured(session) => break session,
        }
    };
    for _ in 0..2 {
        let request = session.seal(b"request").unwrap();
        device.open(&request).unwrap();
        let response = device.seal(b"response").unwrap();
        session.open(&response).unwrap();
        requests.push(request);
        responses.push(response);
    }
    (requests, responses)
}

/// Writes the seeds, from real conversations. Inputs that a fuzzer found have other names and are left alone.
#[test]
#[ignore = "writes into the source folder"]
fn writes_the_seeds() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = fuzz().join("corpus").join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    };
    for choice in 0..4 {
        let (requests, responses) = conversation(choice);
        write("protocomm-device", &format!("handshake-{choice}"), &joined(&[choice], &requests));
        write("protocomm-client", &format!("handshake-{choice}"), &joined(&[choice], &responses));
        write("protocomm-client", &format!("echo-{choice}"), &joined(&[choice], &requests));
    }
    write(
        "proto-ver",
        "esp-idf-5.4",
        b"{\n\t\"prov\":\t{\n\t\t\"ver\":\t\"v1.1\",\n\t\t\"sec_ver\":\t2,\n\t\t\"cap\":\t[\"wifi_scan\"]\n\t}\n}",
    );
    write("proto-ver", "old", br#"{"prov":{"ver":"v1.0","cap":["no_sec"]}}"#);
    write(
        "proto-ver",
        "lowtouch",
        br#"{"prov":{"ver":"v1.1","sec_ver":2,"sec_patch_ver":1,"cap":[]},"lowtouch":{"ver":"v1","cap":["x509"]}}"#,
    );

    let id = [1; dps_config::HANDOFF_ID_LEN];
    let config = dps_config::Config {
        id_scope: "0ne00000000".to_owned(),
        global_device_endpoint: "global.azure-devices-provisioning.net".to_owned(),
        registration_id: "fuzzed".to_owned(),
        credential: Some(dps_config::config::Credential::SymmetricKey(dps_config::SymmetricKeyCredential {
            key: vec![5; 32],
        })),
        ..Default::default()
    };
    let staged = prost::Message::encode_to_vec(&config);
    let (stage, digest) = client::stage_encoded(&id, 60, staged, None);
    let whole: Vec<_> = [
        client::identify(true),
        client::csr(),
        stage,
        client::commit(&id, &digest),
        client::status(),
        client::abort(&id),
        client::reset(None),
    ]
    .iter()
    .map(prost::Message::encode_to_vec)
    .collect();
    write("dps-config-request", "hand-off", &joined(&[], &whole));
    let mut long = config;
    long.endpoint_ca = vec![vec![7; 900]];
    let (long, _) = client::stage(&id, 60, &long, None);
    let mut call = client::Call::new(&long, 200, 3);
    let chunks = answered(&mut call);
    write("dps-config-request", "chunks", &joined(&[], &chunks.0));
    write("dps-config-response", "chunks", &joined(&[1], &chunks.1));
    let mut call = client::Call::new(&client::identify(true), 200, 3);
    write("dps-config-response", "identify", &joined(&[0], &answered(&mut call).1));
    write("dps-config-state", "staged", &persisted(&whole[2..3]));
    write("dps-config-state", "committed", &persisted(&whole[2..4]));
    write("chunk-reassembly", "in-order", &[1, 0, 0, 20, 0, 10, 0, 0, 1, 10, 0, 20, 0, 10, 0, 0]);
    write(
        "chunk-reassembly",
        "overlap",
        &[1, 0, 0, 20, 0, 10, 0, 9, 1, 5, 0, 20, 0, 15, 0, 9, 1, 0, 0, 255, 255, 1, 0, 9],
    );

    let wifi = prov_config::WifiCredentials::new(b"HomeNet", b"secret pass");
    let network = [
        prov_config::client::set(&wifi).unwrap(),
        prov_config::client::reset(),
        prov_config::client::apply(),
        prov_config::client::reprovision(),
        prov_config::client::get_status(),
    ];
    write("prov-config-request", "set-apply-status", &joined(&[], &network));
    write("prov-config-request", "status-first", &joined(&[], &network[4..]));
    for (name, text) in [
        ("connected", "08015a255a230a0c3139322e3136382e372e343210031a07486f6d654e657422060211223344552806"),
        ("connecting", "08015a021001"),
        ("set", "08036a00"),
    ] {
        write("prov-config-response", name, &hex::decode(text).unwrap());
    }
    let scan =
        [prov_scan::client::start(true, false, 0, 120), prov_scan::client::status(), prov_scan::client::results(0, 4)];
    write("prov-scan-request", "start-status-results", &joined(&[], &scan));
    write("prov-scan-request", "results-first", &joined(&[], &scan[2..]));
    let heard = ["08015a00", "08036a0408011001", "08057a180a160a07486f6d654e6574100118d7ffffffffffffffff01"]
        .map(|text| hex::decode(text).unwrap());
    write("prov-scan-response", "one-found", &joined(&[], &heard));
    write("prov-scan-response", "refused", &joined(&[], &[vec![0x08, 1, 0x10, 5]]));

    let at = |endpoint: u8, request: &[u8]| [&[endpoint], request].concat();
    let hello = at(1, &[0x52, 3, 0xa2, 1, 0]);
    let mut all = vec![at(0, b""), hello.clone()];
    all.extend(whole.iter().map(|request| at(2, request)));
    write("device-connection", "hand-off", &joined(&[], &all));
    let mut all = vec![at(2, b""), hello, at(6, b"")];
    all.extend(scan.iter().map(|request| at(5, request)));
    all.extend(network.iter().map(|request| at(3, request)));
    write("device-connection", "network", &joined(&[], &all));
}

/// What a client sends and a device answers, until the call is done.
fn answered(call: &mut client::Call) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut device = Device::boot(Profile::new(DeviceSecurity::Security0, Settings::new("fuzzed")), None).unwrap();
    let mut connection = device.connect(200 + 16);
    let now = Now::since_boot(std::time::Duration::ZERO);
    device.handle(&mut connection, "prov-session", &[0x52, 3, 0xa2, 1, 0], now, &ENTROPY);
    let (mut sent, mut answers) = (Vec::new(), Vec::new());
    while let Some(request) = call.next() {
        let mut step = device.handle(&mut connection, "dps-config", &request, now, &ENTROPY);
        let answer = loop {
            step = match step {
                Step::Reply(answer) => break answer,
                Step::Perform(effect) => device.resume(Some(&mut connection), done(&effect).1, now),
                other => panic!("{other:?}"),
            };
        };
        sent.push(request);
        answers.push(answer.clone());
        call.handle(&answer).unwrap();
    }
    (sent, answers)
}

/// What the device wrote last after these requests.
fn persisted(requests: &[Vec<u8>]) -> Vec<u8> {
    let mut device = Device::boot(Profile::new(DeviceSecurity::Security0, Settings::new("fuzzed")), None).unwrap();
    let mut connection = device.connect(512);
    let now = Now::since_boot(std::time::Duration::ZERO);
    device.handle(&mut connection, "prov-session", &[0x52, 3, 0xa2, 1, 0], now, &ENTROPY);
    let mut written = Vec::new();
    for request in requests {
        let mut step = device.handle(&mut connection, "dps-config", request, now, &ENTROPY);
        while let Step::Perform(effect) = step {
            let (state, result) = done(&effect);
            written = state.unwrap_or(written);
            step = device.resume(Some(&mut connection), result, now);
        }
    }
    assert!(!written.is_empty());
    written
}

fn done(effect: &lowtouch_handoff::device::Effect) -> (Option<Vec<u8>>, lowtouch_handoff::device::EffectResult) {
    use lowtouch_handoff::device::{Effect, EffectResult};
    use lowtouch_handoff::dps_config::device::{Effect as HandOff, EffectResult as Result};
    let Effect::HandOff(effect) = effect else { panic!("{effect:?}") };
    let (state, result) = match effect {
        HandOff::Persist(state) => (Some(state.to_vec()), Result::Done),
        HandOff::MakeCsr => (None, Result::Csr(vec![0x30; 300])),
        HandOff::CheckLeaf(_) | HandOff::VerifyOwner { .. } => (None, Result::Answer(true)),
        _ => (None, Result::Done),
    };
    (state, EffectResult::HandOff(result))
}
