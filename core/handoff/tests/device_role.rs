//! A device and an installer over one connection with real sessions.
// The lint spares test functions, not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use lowtouch_handoff::{
    device::{Connection, Device, Effect, EffectResult, FailReason, Profile, Step},
    dps_config::{
        self, Config, Network, Phase, Response, Result as Code, SymmetricKeyCredential, X509Credential,
        client::{self, Call, Progress},
        config::Credential,
        device as hand_off,
        device::{Now, RegistrationEvent, Settings},
        response::Body,
    },
    proto_ver,
    protocomm::{
        client::{Credentials, Handshake, Next, Session},
        device::{DeviceSecurity, Refusal},
        srp6a,
    },
    prov_config::{self, device::StationEvent},
    prov_scan,
};

const ID: [u8; 16] = [1; 16];

struct Shell {
    device: Device,
    now: Duration,
    entropy: u8,
    exchanges: usize,
    registering: Option<Config>,
    profile: Profile,
    kept_wrong_proofs: u32,
}

impl Shell {
    /// Seconds to wait and whether the device is closed, as `proto-ver` says it.
    fn said(&mut self) -> (u32, bool) {
        let connection = &mut self.device.connect(512);
        let answer = self.exchange(connection, "proto-ver", b"---").unwrap();
        let lowtouch = lowtouch_handoff::proto_ver::parse(&answer).unwrap().lowtouch.unwrap();
        (lowtouch.wait_s, lowtouch.closed)
    }

    fn new() -> Self {
        let verifier = srp6a::make_verifier("wifiprov", &"abcd1234".to_owned().into(), &[3; 16]).unwrap();
        Self::with(DeviceSecurity::Security2 {
            username: "wifiprov".to_owned(),
            salt: verifier.salt.clone(),
            verifier: verifier.verifier.to_vec(),
            patch_ver: 1,
        })
    }

    fn with(security: DeviceSecurity) -> Self {
        let profile = Profile::new(security, Settings::new("pump-0001"));
        Self {
            device: Device::boot(profile.clone(), None).unwrap(),
            profile,
            now: Duration::ZERO,
            entropy: 0,
            exchanges: 0,
            registering: None,
            kept_wrong_proofs: 0,
        }
    }

    /// Power off and on.
    fn reboot(&mut self) {
        self.device = Device::boot(self.profile.clone(), None).unwrap();
        self.device.restore_wrong_proofs(self.kept_wrong_proofs);
        self.now = Duration::ZERO;
    }

    fn button(&mut self) {
        let Step::Perform(Effect::KeepWrongProofs(0)) = self.device.button_reset() else { panic!("the count stays") };
        self.kept_wrong_proofs = 0;
        let now = Now::since_boot(self.now);
        let step = self.device.resume(None, EffectResult::WrongProofsKept, now);
        assert!(matches!(step, Step::Perform(Effect::HandOff(hand_off::Effect::Persist(_)))));
        self.device.resume(None, EffectResult::HandOff(hand_off::EffectResult::Done), now);
    }

    fn entropy(&mut self) -> [u8; 64] {
        self.entropy += 1;
        [self.entropy; 64]
    }

    fn exchange(&mut self, connection: &mut Connection, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, FailReason> {
        self.exchanges += 1;
        assert!(request.len() <= 512, "{endpoint}: {} bytes", request.len());
        let entropy = self.entropy();
        let now = Now::since_boot(self.now);
        let mut step = self.device.handle(connection, endpoint, request, now, &entropy);
        loop {
            let result = match step {
                Step::Reply(reply) => {
                    assert!(reply.len() <= 512, "{endpoint}: {} bytes", reply.len());
                    return Ok(reply);
                }
                Step::Fail(failure) => return Err(failure.reason),
                Step::Done => panic!("a request without an answer"),
                Step::Perform(Effect::HandOff(effect)) => EffectResult::HandOff(match effect {
                    hand_off::Effect::MakeCsr => hand_off::EffectResult::Csr(vec![0x30; 240]),
                    hand_off::Effect::CheckLeaf(_) => hand_off::EffectResult::Answer(true),
                    hand_off::Effect::StartRegistration(config) => {
                        self.registering = Some(config);
                        hand_off::EffectResult::Done
                    }
                    _ => hand_off::EffectResult::Done,
                }),
                Step::Perform(Effect::Wifi(_)) => EffectResult::Wifi { begun: true },
                Step::Perform(Effect::Scan(_)) => EffectResult::Scan(prov_scan::device::ScanOutcome::Heard(Vec::new())),
                Step::Perform(Effect::KeepWrongProofs(count)) => {
                    self.kept_wrong_proofs = count;
                    EffectResult::WrongProofsKept
                }
            };
            step = self.device.resume(Some(connection), result, now);
        }
    }

    fn secure(&mut self, connection: &mut Connection, pop: &str) -> Result<Session, FailReason> {
        let credentials =
            Credentials::Security2 { username: "wifiprov".to_owned(), password: pop.to_owned().into(), patch_ver: 1 };
        let entropy = self.entropy();
        let (mut handshake, mut request) = Handshake::start(credentials, &entropy).unwrap();
        loop {
            let response = self.exchange(connection, "prov-session", &request)?;
            match handshake.handle(&response).unwrap() {
                Next::Send(next, bytes) => (handshake, request) = (next, bytes),
                Next::Secured(session) => return Ok(session),
            }
        }
    }

    fn ask(&mut self, connection: &mut Connection, session: &mut Session, request: &dps_config::Request) -> Response {
        let mut call = Call::new(request, 512 - session.overhead(), u32::try_from(self.exchanges).unwrap());
        loop {
            let sealed = session.seal(&call.next().unwrap()).unwrap();
            let reply = self.exchange(connection, dps_config::ENDPOINT, &sealed).unwrap();
            if let Progress::Done(response) = call.handle(&session.open(&reply).unwrap()).unwrap() {
                return response;
            }
        }
    }
}

fn config(credential: Credential) -> Config {
    Config {
        id_scope: "0ne00ABCDEF".to_owned(),
        global_device_endpoint: "global.azure-devices-provisioning.net".to_owned(),
        registration_id: "pump-0001".to_owned(),
        credential: Some(credential),
        ..Config::default()
    }
}

fn exchanges_of(config: &Config, with_csr: bool) -> usize {
    let mut shell = Shell::new();
    let connection = &mut shell.device.connect(512);
    let ver = shell.exchange(connection, "proto-ver", b"---").unwrap();
    assert_eq!(proto_ver::parse(&ver).unwrap().lowtouch.unwrap().ver, "v1");
    let session = &mut shell.secure(connection, "abcd1234").unwrap();
    let identity = shell.ask(connection, session, &client::identify(with_csr));
    let Some(Body::Identify(identity)) = identity.body else { panic!() };
    assert_eq!((identity.registration_id.as_str(), identity.nonce.len()), ("pump-0001", 32));
    let (stage, digest) = client::stage(&ID, 600, config, None);
    assert_eq!(shell.ask(connection, session, &stage).result(), Code::Ok);
    assert_eq!(shell.ask(connection, session, &client::commit(&ID, &digest)).result(), Code::Ok);
    let exchanges = shell.exchanges;
    assert_eq!(shell.registering.as_ref(), Some(config));
    let step = shell.device.registration(RegistrationEvent::Assigned(dps_config::Assigned::default()));
    assert!(matches!(step, Step::Perform(Effect::HandOff(hand_off::Effect::Persist(_)))));
    let now = Now::since_boot(shell.now);
    let step = shell.device.resume(None, EffectResult::HandOff(hand_off::EffectResult::Done), now);
    assert!(matches!(step, Step::Perform(Effect::HandOff(hand_off::Effect::UseHub { .. }))));
    assert!(matches!(shell.device.resume(None, EffectResult::HandOff(hand_off::EffectResult::Done), now), Step::Done));
    assert_eq!(shell.device.status().phase(), Phase::Assigned);
    exchanges
}

#[test]
fn connect_to_commit_over_ble_takes_eight_exchanges_with_a_chain_of_1200_bytes_and_six_with_a_key() {
    let chain = vec![vec![0x30; 700], vec![0x31; 500]];
    let x509 = config(Credential::X509(X509Credential { certificate_chain: chain }));
    assert_eq!(exchanges_of(&x509, true), 8);
    let key = config(Credential::SymmetricKey(SymmetricKeyCredential { key: vec![1; 32] }));
    assert_eq!(exchanges_of(&key, false), 6);
}

#[test]
fn nothing_but_proto_ver_and_prov_session_is_answered_before_the_session_is_secure() {
    let mut shell = Shell::new();
    let connection = &mut shell.device.connect(512);
    assert!(shell.exchange(connection, "proto-ver", b"").is_ok());
    for endpoint in ["dps-config", "prov-config", "prov-scan", "prov-ctrl"] {
        assert_eq!(shell.exchange(connection, endpoint, &[]), Err(FailReason::NotSecure), "{endpoint}");
    }
    assert_eq!(shell.exchange(connection, "custom", &[]), Err(FailReason::UnknownEndpoint));
    let session = &mut shell.secure(connection, "abcd1234").unwrap();
    assert_eq!(
        shell.exchange(connection, "dps-config", &[0; 40]),
        Err(FailReason::Session(Refusal::Forged)),
        "and what is not sealed is not answered after"
    );
    let _ = session;
}

#[test]
fn one_connections_session_opens_nothing_on_another() {
    let mut shell = Shell::new();
    let first = &mut shell.device.connect(512);
    let session = &mut shell.secure(first, "abcd1234").unwrap();
    let second = &mut shell.device.connect(512);
    let sealed = session.seal(&[0x32, 0]).unwrap();
    assert_eq!(shell.exchange(second, "dps-config", &sealed), Err(FailReason::NotSecure));
    shell.secure(second, "abcd1234").unwrap();
    assert_eq!(shell.exchange(second, "dps-config", &sealed), Err(FailReason::Session(Refusal::Forged)));
}

#[test]
fn a_guesser_is_slowed_down_and_then_shut_out_and_the_right_code_clears_the_count() {
    let mut shell = Shell::new();
    let guess = |shell: &mut Shell, pop: &str| {
        let connection = &mut shell.device.connect(512);
        shell.secure(connection, pop).map(|_| ())
    };
    let wrong = Err(FailReason::Session(Refusal::WrongProof));
    for _ in 0..4 {
        assert_eq!(guess(&mut shell, "wrong"), wrong);
    }
    let wait = |seconds| Err(FailReason::SlowedDown { wait: Duration::from_secs(seconds) });
    assert_eq!(guess(&mut shell, "abcd1234"), wait(1));
    assert_eq!(shell.said(), (1, false), "proto-ver tells an app to wait");
    shell.now += Duration::from_secs(1);
    assert_eq!(guess(&mut shell, "wrong"), wrong);
    assert_eq!(guess(&mut shell, "abcd1234"), wait(2));
    assert_eq!(shell.device.wrong_proofs(), 5);
    shell.now += Duration::from_secs(2);
    {
        let connection = &mut shell.device.connect(512);
        let session = &mut shell.secure(connection, "abcd1234").unwrap();
        let Some(Body::Identify(identity)) = shell.ask(connection, session, &client::identify(false)).body else {
            panic!()
        };
        assert_eq!(identity.wrong_proofs, 5, "the owner hears of it");
    }
    assert_eq!(shell.device.wrong_proofs(), 0);
    assert_eq!(shell.said(), (0, false));
    for _ in 0..20 {
        assert_eq!(guess(&mut shell, "wrong"), wrong);
        shell.now += Duration::from_secs(60);
    }
    assert_eq!(guess(&mut shell, "abcd1234"), Err(FailReason::Closed));
    shell.now += Duration::from_secs(86_400);
    assert_eq!(guess(&mut shell, "abcd1234"), Err(FailReason::Closed));
    assert_eq!(shell.said(), (0, true), "proto-ver tells an app to ask for the button");
    shell.button();
    assert_eq!(guess(&mut shell, "abcd1234"), Ok(()));
}

#[test]
fn who_cuts_the_power_does_not_guess_any_faster_and_a_device_closed_from_afar_is_opened_by_its_switch() {
    let mut shell = Shell::new();
    let guess = |shell: &mut Shell, pop: &str| {
        let connection = &mut shell.device.connect(512);
        shell.secure(connection, pop).map(|_| ())
    };
    let wrong = Err(FailReason::Session(Refusal::WrongProof));
    let wait = |seconds| Err(FailReason::SlowedDown { wait: Duration::from_secs(seconds) });
    for number in 1..=4 {
        assert_eq!(guess(&mut shell, "wrong"), wrong);
        assert_eq!(shell.kept_wrong_proofs, number, "kept before the refusal leaves");
    }
    shell.reboot();
    assert_eq!(guess(&mut shell, "abcd1234"), wait(1), "the wait begins again");
    let mut waited = 0;
    for _ in 0..30 {
        shell.reboot();
        let (wait_s, closed) = shell.said();
        assert!(!closed);
        shell.now += Duration::from_secs(u64::from(wait_s));
        waited += wait_s;
        assert_eq!(guess(&mut shell, "wrong"), wrong);
    }
    assert!(waited > 24 * 60, "a guess a minute, with a reboot for each: {waited} s");
    assert_eq!(guess(&mut shell, "abcd1234"), Err(FailReason::Closed));
    shell.reboot();
    assert_eq!(guess(&mut shell, "abcd1234"), wait(60));
    shell.now += Duration::from_secs(60);
    assert_eq!(guess(&mut shell, "abcd1234"), Ok(()));
    assert_eq!(shell.kept_wrong_proofs, 0, "the right code clears what is kept");
}

#[test]
fn identify_says_whether_the_network_step_is_needed() {
    let mut shell = Shell::new();
    let connection = &mut shell.device.connect(512);
    let session = &mut shell.secure(connection, "abcd1234").unwrap();
    let network = |shell: &mut Shell, connection: &mut Connection, session: &mut Session| match shell
        .ask(connection, session, &client::identify(false))
        .body
    {
        Some(Body::Identify(identity)) => identity.network(),
        other => panic!("{other:?}"),
    };
    assert_eq!(network(&mut shell, connection, session), Network::Needed);
    let wifi = prov_config::WifiCredentials::new(b"HomeNet", b"secret pass");
    for request in [prov_config::client::set(&wifi).unwrap(), prov_config::client::apply()] {
        let sealed = session.seal(&request).unwrap();
        let reply = shell.exchange(connection, "prov-config", &sealed).unwrap();
        session.open(&reply).unwrap();
    }
    shell.device.station(StationEvent::Connected(prov_config::WifiConnected::default()));
    assert_eq!(network(&mut shell, connection, session), Network::Connected);
}

#[test]
fn the_nonce_is_another_one_in_every_session() {
    let mut shell = Shell::new();
    let connection = &mut shell.device.connect(512);
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let session = &mut shell.secure(connection, "abcd1234").unwrap();
        for _ in 0..2 {
            let Some(Body::Identify(identity)) = shell.ask(connection, session, &client::identify(false)).body else {
                panic!()
            };
            nonces.push(identity.nonce);
        }
    }
    assert_eq!(nonces[0], nonces[1]);
    assert_eq!(nonces[2], nonces[3]);
    assert_ne!(nonces[0], nonces[2]);
}

#[test]
fn a_request_whose_connection_goes_while_flash_is_written_is_still_done() {
    let mut shell = Shell::new();
    let connection = &mut shell.device.connect(4096);
    let session = &mut shell.secure(connection, "abcd1234").unwrap();
    let key = config(Credential::SymmetricKey(SymmetricKeyCredential { key: vec![1; 32] }));
    let (stage, _) = client::stage(&ID, 600, &key, None);
    let sealed = session.seal(&Call::new(&stage, 4080, 1).next().unwrap()).unwrap();
    let now = Now::since_boot(Duration::ZERO);
    let step = shell.device.handle(connection, "dps-config", &sealed, now, &[9; 64]);
    assert!(matches!(step, Step::Perform(Effect::HandOff(hand_off::Effect::Persist(_)))));
    let step = shell.device.resume(None, EffectResult::HandOff(hand_off::EffectResult::Done), now);
    assert!(matches!(step, Step::Done));
    assert_eq!(shell.device.status().phase(), Phase::Staged);
}
