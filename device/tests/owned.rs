//! A device that belongs to somebody, at the level of the protocol: what is signed, by whom, when, and for which session;
//! and what a guesser of its PoP meets.
// Helpers of tests may panic as tests do; clippy's own exception sees only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::app::{App, AppError, deadlines, symmetric};
use common::endpoint::{Endpoint, assigned_state, endpoint, ok};
use lowtouch_device::sim::{Running, SimConfig, SimLink, Simulated};
use lowtouch_handoff::device::GuessPolicy;
use lowtouch_handoff::dps_config::client::{OwnerSignature, commit, reset, stage};
use lowtouch_handoff::dps_config::{
    self, Config, Request, Result as Code, reset_signature_message, stage_signature_message,
};
use lowtouch_handoff::proto_ver::{self, LowtouchVer};
use lowtouch_handoff::protocomm::client::HandshakeError;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _, SigningKey as _};
use tempfile::TempDir;

const FIRST: [u8; 16] = [1; 16];
const SECOND: [u8; 16] = [2; 16];

fn sim(folder: &TempDir) -> SimConfig {
    let mut config = SimConfig::new(SimLink::Http("127.0.0.1:0".parse().unwrap()), folder.path().join("state"));
    config.registration_id = Some("dev:1".into());
    config
}

fn in_a_minute() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 60
}

fn code(response: &dps_config::Response) -> Code {
    Code::try_from(response.result).unwrap()
}

/// A device that is assigned and belongs to `owner`.
async fn owned(config: SimConfig, owner: &KeyPair) -> (Running, Endpoint) {
    let endpoint = endpoint("127.0.0.1", vec![ok(assigned_state())]).await;
    let device = Simulated::start(config).await.unwrap();
    let mut app = App::connect(&device).await.unwrap();
    let config = Config {
        owner_public_key: owner.subject_public_key_info(),
        certificate_from_dps: false,
        ..symmetric(&device, &endpoint.addr.to_string(), &endpoint.ca)
    };
    assert_eq!(app.hand_off(FIRST, &config).await.unwrap(), Code::Ok, "nobody owns it yet");
    app.end().await.unwrap();
    (device, endpoint)
}

/// Another configuration, and what its stage is with this key, nonce and end.
struct Second(Config);

impl Second {
    fn of(device: &Running, endpoint: &Endpoint) -> Self {
        Self(Config { id_scope: "0ne2".into(), ..symmetric(device, &endpoint.addr.to_string(), &endpoint.ca) })
    }

    fn digest(&self) -> [u8; 32] {
        stage(&SECOND, 60, &self.0, None).1
    }

    fn signed(&self, by: &KeyPair, nonce: &[u8], expires: u64) -> Request {
        self.signed_for("dev:1", by, nonce, expires)
    }

    fn signed_for(&self, registration_id: &str, by: &KeyPair, nonce: &[u8], expires: u64) -> Request {
        let (nonce, digest) = (nonce.try_into().unwrap(), self.digest());
        let message = stage_signature_message(registration_id, &SECOND, nonce, &self.0, &digest, expires);
        self.with(Some(OwnerSignature { signature: by.sign(&message).unwrap(), expires }))
    }

    fn with(&self, owner: Option<OwnerSignature>) -> Request {
        stage(&SECOND, 60, &self.0, owner).0
    }
}

#[tokio::test]
async fn an_owned_device_takes_only_what_its_owner_signed_for_this_session() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let folder = TempDir::new().unwrap();
        let (owner, thief) = (KeyPair::generate_for(algorithm).unwrap(), KeyPair::generate_for(algorithm).unwrap());
        let (device, endpoint) = owned(sim(&folder), &owner).await;
        let second = Second::of(&device, &endpoint);

        let mut app = App::connect(&device).await.unwrap();
        let identity = app.identify().await.unwrap();
        assert!(identity.checks_owner);
        assert_eq!(identity.owner_key_id, dps_config::owner_key_id(&owner.subject_public_key_info()));
        let (nonce, expires) = (identity.nonce, in_a_minute());

        let unsigned = second.with(None);
        let foreign = second.signed(&thief, &nonce, expires);
        let expired = second.signed(&owner, &nonce, expires - 120);
        let of_another_device = second.signed_for("dev:2", &owner, &nonce, expires);
        let of_another_session = second.signed(&owner, &[7; 32], expires);
        let mut flipped = second.signed(&owner, &nonce, expires);
        let Some(dps_config::request::Body::Stage(body)) = &mut flipped.body else { unreachable!() };
        body.owner_signature[20] ^= 1;
        let mut prolonged = second.signed(&owner, &nonce, expires);
        let Some(dps_config::request::Body::Stage(body)) = &mut prolonged.body else { unreachable!() };
        body.signature_expires += 1;
        for (what, request) in [
            ("unsigned", unsigned),
            ("foreign", foreign),
            ("expired", expired),
            ("of another device of the same owner, with this one's nonce", of_another_device),
            ("of another session", of_another_session),
            ("a bit changed", flipped),
            ("its end changed", prolonged),
        ] {
            assert_eq!(code(&app.call(&request).await.unwrap()), Code::NotOwner, "{what}");
        }

        // Heard in one session, it is worth nothing in the next: the replay.
        let signed = second.signed(&owner, &nonce, expires);
        assert_eq!(code(&app.call(&signed).await.unwrap()), Code::Ok);
        let mut later = App::connect(&device).await.unwrap();
        assert_eq!(code(&later.call(&signed).await.unwrap()), Code::NotOwner, "replayed");
        let identity = later.identify().await.unwrap();
        assert_ne!(identity.nonce, nonce);
        assert_eq!(identity.active_handoff_id, FIRST, "nothing of all this is in force");

        let signed = second.signed(&owner, &identity.nonce, in_a_minute());
        assert_eq!(code(&later.call(&signed).await.unwrap()), Code::Ok);
        assert_eq!(code(&later.call(&commit(&SECOND, &second.digest())).await.unwrap()), Code::Ok);
        later.end().await.unwrap();
        let identity = later.identify().await.unwrap();
        assert!(!identity.owner_key_id.is_empty(), "a configuration without an owner leaves the owner");
        device.stop().await;
    }
}

#[tokio::test]
async fn a_reset_over_the_air_needs_the_owner_and_the_button_needs_nobody() {
    let folder = TempDir::new().unwrap();
    let owner = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let (device, endpoint) = owned(sim(&folder), &owner).await;
    let second = Second::of(&device, &endpoint);
    let replayed = App::connect(&device).await.unwrap().identify().await.unwrap().nonce.try_into().unwrap();
    let mut app = App::connect(&device).await.unwrap();
    let nonce: [u8; 32] = app.identify().await.unwrap().nonce.try_into().unwrap();
    let expires = in_a_minute();
    assert_eq!(code(&app.call(&reset(None)).await.unwrap()), Code::NotOwner);
    // What was signed for a stage resets nothing.
    let message = stage_signature_message("dev:1", &SECOND, &nonce, &second.0, &second.digest(), expires);
    let signature = owner.sign(&message).unwrap();
    assert_eq!(code(&app.call(&reset(Some(OwnerSignature { signature, expires }))).await.unwrap()), Code::NotOwner);
    let thief = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    for (what, by, registration_id, nonce, expires) in [
        ("for another device", &owner, "dev:2", &nonce, expires),
        ("foreign", &thief, "dev:1", &nonce, expires),
        ("expired", &owner, "dev:1", &nonce, expires - 120),
        ("of another session", &owner, "dev:1", &replayed, expires),
    ] {
        let signature = by.sign(&reset_signature_message(registration_id, nonce, expires)).unwrap();
        let asked = reset(Some(OwnerSignature { signature, expires }));
        assert_eq!(code(&app.call(&asked).await.unwrap()), Code::NotOwner, "{what}");
    }
    let signature = owner.sign(&reset_signature_message("dev:1", &nonce, expires)).unwrap();
    assert_eq!(code(&app.call(&reset(Some(OwnerSignature { signature, expires }))).await.unwrap()), Code::Ok);
    assert!(app.identify().await.unwrap().owner_key_id.is_empty());
    device.stop().await;

    let folder = TempDir::new().unwrap();
    let (device, endpoint) = owned(sim(&folder), &owner).await;
    let second = Second::of(&device, &endpoint);
    device.press_reset_button().await;
    let mut app = App::connect(&device).await.unwrap();
    let identity = app.identify().await.unwrap();
    assert!(identity.owner_key_id.is_empty() && identity.active_handoff_id.is_empty());
    assert_eq!(app.hand_off(SECOND, &second.0).await.unwrap(), Code::Ok);
}

#[tokio::test]
async fn the_owner_outlives_a_loss_of_power() {
    let folder = TempDir::new().unwrap();
    let owner = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let (device, endpoint) = owned(sim(&folder), &owner).await;
    device.kill().await;
    device.power_on().await.unwrap();
    let mut app = App::connect(&device).await.unwrap();
    let second = Second::of(&device, &endpoint);
    assert_eq!(code(&app.call(&second.with(None)).await.unwrap()), Code::NotOwner);
}

#[tokio::test]
async fn firmware_that_does_not_check_keeps_the_owner_and_says_so() {
    let folder = TempDir::new().unwrap();
    let mut config = sim(&folder);
    config.checks_owner = false;
    let owner = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let (device, endpoint) = owned(config, &owner).await;
    assert!(!said(&device).await.cap.contains(&"owner".to_owned()));
    let mut app = App::connect(&device).await.unwrap();
    let identity = app.identify().await.unwrap();
    assert!(!identity.checks_owner && !identity.owner_key_id.is_empty());
    assert_eq!(app.hand_off(SECOND, &Second::of(&device, &endpoint).0).await.unwrap(), Code::Ok);
}

#[tokio::test]
async fn a_key_that_nobody_can_verify_with_becomes_no_owner() {
    let folder = TempDir::new().unwrap();
    let device = Simulated::start(sim(&folder)).await.unwrap();
    let mut app = App::connect(&device).await.unwrap();
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().subject_public_key_info();
    for key in [p384, b"key".to_vec()] {
        let config = Config { owner_public_key: key, ..symmetric(&device, "127.0.0.1:1", &[]) };
        assert_eq!(app.hand_off(FIRST, &Config { endpoint_ca: Vec::new(), ..config }).await.unwrap(), Code::Invalid);
    }
}

/// What the device says of itself in the clear.
async fn said(device: &Running) -> LowtouchVer {
    let mut link = lowtouch_links::open(&device.address().parse().unwrap(), deadlines()).await.unwrap();
    let answer = link.exchange(proto_ver::ENDPOINT, b"---").await.unwrap();
    proto_ver::parse(&answer).unwrap().lowtouch.unwrap()
}

async fn guess(device: &Running) -> HandshakeError {
    match App::connect_with(device, "not-the-code").await {
        Err(AppError::Handshake(error)) => error,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("let in"),
    }
}

#[tokio::test]
async fn wrong_pops_slow_the_device_down_over_all_connections_and_then_close_it() {
    for link in
        [SimLink::Http("127.0.0.1:0".parse().unwrap()), SimLink::BleSim("127.0.0.1:0".parse().unwrap()), SimLink::Pty]
    {
        let folder = TempDir::new().unwrap();
        let mut config = sim(&folder);
        config.link = link.clone();
        config.guesses = GuessPolicy {
            free: 2,
            first_wait: Duration::from_millis(300),
            longest_wait: Duration::from_millis(300),
            close_after: 5,
        };
        let device = Simulated::start(config).await.unwrap();
        for _ in 0..3 {
            assert_eq!(guess(&device).await, HandshakeError::WrongPop, "{link:?}");
        }
        assert_eq!(said(&device).await.wait_s, 1, "{link:?}");
        let right = App::connect(&device).await.err();
        assert!(matches!(right, Some(AppError::Handshake(HandshakeError::WrongSecurityVersion))), "{right:?}");

        open(&device).await;
        let mut app = App::connect(&device).await.unwrap();
        assert_eq!(app.identify().await.unwrap().wrong_proofs, 3, "the device tells who holds the right code");
        drop(app);
        for _ in 0..5 {
            open(&device).await;
            assert_eq!(guess(&device).await, HandshakeError::WrongPop, "{link:?}");
        }
        assert!(said(&device).await.closed, "{link:?}");
        assert!(App::connect(&device).await.is_err(), "{link:?}: closed to the right code too");

        // Power gone and back, or its button.
        device.kill().await;
        device.power_on().await.unwrap();
        assert!(!said(&device).await.closed, "{link:?}: opened by its power");
        let right = App::connect(&device).await.err();
        assert!(right.is_some(), "{link:?}: but no faster for it");
        open(&device).await;
        App::connect(&device).await.unwrap();
        for _ in 0..5 {
            open(&device).await;
            assert_eq!(guess(&device).await, HandshakeError::WrongPop, "{link:?}");
        }
        device.press_reset_button().await;
        App::connect(&device).await.unwrap();
    }
}

/// Waits until the device takes another handshake.
async fn open(device: &Running) {
    let waiting = async {
        while said(device).await.wait_s > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("a wait ends");
}
