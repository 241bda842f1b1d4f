//! The hand-off's transaction: what a device takes, what it refuses, and what a loss of power leaves.
// The lint spares test functions, not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulated;

use std::time::Duration;

use lowtouch_handoff::dps_config::{
    self, Assigned, Attestation, Config, FailureCode, IdentifyResponse, Network, Phase, Result as Code, StatusResponse,
    client::{self, Call, CallError, OwnerSignature, Progress},
    config::Credential,
    device::{DpsConfig, RegistrationEvent, Session, Settings, StateError, Step},
    response::Body,
};
use proptest::prelude::*;
use prost::Message as _;
use simulated::{Kill, Killed, REGISTRATION_ID, Simulated, assigned, result, settings, symmetric, x509};

const A: [u8; 16] = [0xa; 16];
const B: [u8; 16] = [0xb; 16];

fn stage(device: &mut Simulated, id: &[u8; 16], config: &Config) -> Result<Code, Killed> {
    let (request, digest) = client::stage(id, 600, config, None);
    let response = device.ask(&request)?;
    if let Some(Body::Stage(staged)) = &response.body {
        assert_eq!(staged.digest, digest);
        assert_eq!(staged.lease_s, 600);
    }
    Ok(result(&response))
}

fn commit(device: &mut Simulated, id: &[u8; 16], config: &Config) -> Result<Code, Killed> {
    let digest = dps_config::digest(&config.encode_to_vec());
    let response = device.ask(&client::commit(id, &digest))?;
    if let Some(Body::Commit(committed)) = &response.body {
        assert_eq!(committed.digest, digest);
    }
    Ok(result(&response))
}

fn abort(device: &mut Simulated, id: &[u8; 16]) -> Result<Code, Killed> {
    Ok(result(&device.ask(&client::abort(id))?))
}

fn status(device: &mut Simulated) -> StatusResponse {
    match device.ask(&client::status()).unwrap().body {
        Some(Body::Status(status)) => status,
        other => panic!("{other:?}"),
    }
}

fn identify(device: &mut Simulated, with_csr: bool) -> IdentifyResponse {
    match device.ask(&client::identify(with_csr)).unwrap().body {
        Some(Body::Identify(identify)) => identify,
        other => panic!("{other:?}"),
    }
}

/// A device that was paired with config A.
fn paired() -> Simulated {
    let mut device = Simulated::new(settings());
    assert_eq!(stage(&mut device, &A, &x509("0neA")), Ok(Code::Ok));
    assert_eq!(commit(&mut device, &A, &x509("0neA")), Ok(Code::Ok));
    device.assign("hub-a").unwrap();
    device
}

#[test]
fn a_hand_off_ends_assigned_and_a_reboot_uses_the_hub_it_knows() {
    let mut device = Simulated::new(settings());
    assert_eq!(status(&mut device).phase(), Phase::Empty);
    assert_eq!(stage(&mut device, &A, &x509("0neA")), Ok(Code::Ok));
    assert_eq!(status(&mut device).phase(), Phase::Staged);
    assert_eq!(device.registering, None);
    assert_eq!(commit(&mut device, &A, &x509("0neA")), Ok(Code::Ok));
    assert_eq!(status(&mut device).phase(), Phase::Connecting);
    assert_eq!(device.registering, Some(x509("0neA")));
    device.tell(dps_config::device::RegistrationEvent::Registering).unwrap();
    device.tell(dps_config::device::RegistrationEvent::Registering).unwrap();
    let registering = status(&mut device);
    assert_eq!((registering.phase(), registering.attempts), (Phase::Registering, 2));
    device.assign("hub-a").unwrap();
    let done = status(&mut device);
    assert_eq!((done.phase(), done.handoff_id.as_slice()), (Phase::Assigned, A.as_slice()));
    assert_eq!(done.assigned, Some(assigned("hub-a")));
    device.reboot().unwrap();
    assert_eq!(device.hub, Some((x509("0neA"), assigned("hub-a"))));
    assert_eq!(status(&mut device).phase(), Phase::Assigned);
}

/// DPS assigns the hub and issues the nth certificate for it.
fn issue(device: &mut Simulated, nth: u8) -> Result<(), Killed> {
    let assigned = Assigned { certificate_ends: 1000 + u64::from(nth), ..assigned("hub") };
    device.tell(RegistrationEvent::Issued { assigned, chain: vec![vec![nth; 600], vec![0xca; 600]] })
}

#[test]
fn what_dps_issued_is_kept_with_the_assignment_in_one_write_and_outlives_a_reboot() {
    let mut device = Simulated::new(Settings { certificate_from_dps: true, ..settings() });
    assert!(identify(&mut device, false).certificate_from_dps);
    let config = Config { certificate_from_dps: true, ..symmetric("0neA") };
    assert_eq!(stage(&mut device, &A, &config).unwrap(), Code::Ok);
    assert_eq!(commit(&mut device, &A, &config).unwrap(), Code::Ok);
    assert!(device.registering.as_ref().unwrap().certificate_from_dps);
    let before = device.writes;
    issue(&mut device, 1).unwrap();
    assert_eq!(device.writes, before + 1);
    for _ in 0..2 {
        assert_eq!(device.issued_chain, [vec![1; 600], vec![0xca; 600]]);
        assert_eq!(status(&mut device).assigned.unwrap().certificate_ends, 1001);
        device.reboot().unwrap();
    }
    issue(&mut device, 1).unwrap();
    assert_eq!(device.writes, before + 1, "a repeat writes nothing");
}

#[test]
fn a_renewal_replaces_the_certificate_wholly_or_not_at_all_wherever_the_power_goes() {
    for kill in [None, Some(Kill::BeforeWrite(1)), Some(Kill::AfterWrite(1))] {
        let mut device = paired();
        issue(&mut device, 1).unwrap();
        device.fail().unwrap();
        assert_eq!(device.issued_chain[0], [1; 600], "a renewal that fails changes nothing");
        device.fail_writes = true;
        issue(&mut device, 2).unwrap();
        assert_eq!(device.in_flash().unwrap().1.unwrap().certificate_ends, 1001, "nor does a flash that is full");
        device.fail_writes = false;

        (device.writes, device.kill) = (0, kill);
        assert_eq!(issue(&mut device, 2).is_err(), kill.is_some());
        device.kill = None;
        device.reboot().unwrap();
        let kept = if kill == Some(Kill::BeforeWrite(1)) { 1 } else { 2 };
        assert_eq!(device.issued_chain, [vec![kept; 600], vec![0xca; 600]], "{kill:?}");
        assert_eq!(device.in_flash().unwrap().1.unwrap().certificate_ends, 1000 + u64::from(kept));
        assert_eq!(status(&mut device).phase(), Phase::Assigned);
    }
}

#[test]
fn the_next_hand_off_forgets_what_dps_issued_for_the_last_one_and_a_rollback_brings_it_back() {
    let mut device = paired();
    issue(&mut device, 1).unwrap();
    let config = symmetric("0neB");
    assert_eq!(stage(&mut device, &B, &config).unwrap(), Code::Ok);
    assert_eq!(commit(&mut device, &B, &config).unwrap(), Code::Ok);
    device.fail().unwrap();
    assert_eq!(device.issued_chain.len(), 2);
    assert_eq!(stage(&mut device, &B, &config).unwrap(), Code::Ok);
    assert_eq!(commit(&mut device, &B, &config).unwrap(), Code::Ok);
    device.assign("other").unwrap();
    device.reboot().unwrap();
    assert!(device.issued_chain.is_empty());
}

#[test]
fn a_reboot_in_the_trial_starts_the_registration_again() {
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &x509("0neA")).unwrap();
    commit(&mut device, &A, &x509("0neA")).unwrap();
    device.reboot().unwrap();
    assert_eq!(device.registering, Some(x509("0neA")));
    assert_eq!(status(&mut device).phase(), Phase::Connecting);
}

#[test]
fn a_failed_registration_rolls_back_to_the_old_configuration_and_says_so() {
    let mut device = paired();
    assert_eq!(stage(&mut device, &B, &x509("0neB")), Ok(Code::Ok));
    assert_eq!(commit(&mut device, &B, &x509("0neB")), Ok(Code::Ok));
    assert_eq!(device.hub, None);
    device.fail().unwrap();
    let failed = status(&mut device);
    assert_eq!((failed.phase(), failed.handoff_id.as_slice()), (Phase::Failed, B.as_slice()));
    let why = failed.failed.unwrap();
    assert_eq!((why.code(), why.dps_error_code, why.rolled_back), (FailureCode::Credential, 401_002, true));
    assert_eq!(device.hub, Some((x509("0neA"), assigned("hub-a"))));
    device.reboot().unwrap();
    assert_eq!(device.hub, Some((x509("0neA"), assigned("hub-a"))));
    assert_eq!(status(&mut device).phase(), Phase::Failed);
}

#[test]
fn a_first_registration_that_fails_leaves_the_device_without_a_configuration() {
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &x509("0neA")).unwrap();
    commit(&mut device, &A, &x509("0neA")).unwrap();
    device.fail().unwrap();
    assert_eq!(device.in_flash(), None);
    assert!(status(&mut device).failed.unwrap().rolled_back);
    assert_eq!(stage(&mut device, &A, &x509("0neA")), Ok(Code::Ok));
    assert_eq!(commit(&mut device, &A, &x509("0neA")), Ok(Code::Ok));
    device.assign("hub").unwrap();
    assert_eq!(status(&mut device).phase(), Phase::Assigned);
}

#[test]
fn stage_commit_and_abort_may_each_be_repeated_at_any_time() {
    let mut device = Simulated::new(settings());
    let config = x509("0neA");
    for _ in 0..3 {
        assert_eq!(stage(&mut device, &A, &config), Ok(Code::Ok));
    }
    assert_eq!(device.writes, 1, "a repeated stage wears no flash");
    for _ in 0..3 {
        assert_eq!(commit(&mut device, &A, &config), Ok(Code::Ok));
        assert_eq!(stage(&mut device, &A, &config), Ok(Code::Ok));
    }
    let writes = device.writes;
    device.assign("hub").unwrap();
    assert_eq!(commit(&mut device, &A, &config), Ok(Code::Ok));
    assert_eq!(stage(&mut device, &A, &config), Ok(Code::Ok));
    assert_eq!(status(&mut device).phase(), Phase::Assigned);
    assert_eq!(device.writes, writes + 1, "a repeat after commit writes nothing");

    assert_eq!(stage(&mut device, &B, &x509("0neB")), Ok(Code::Ok));
    for _ in 0..3 {
        assert_eq!(abort(&mut device, &B), Ok(Code::Ok));
    }
    assert_eq!(commit(&mut device, &B, &x509("0neB")), Ok(Code::UnknownHandoff));
    assert_eq!(status(&mut device).phase(), Phase::Assigned);
}

#[test]
fn a_commit_repeated_after_its_registration_failed_is_answered_and_status_says_what_happened() {
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &x509("0neA")).unwrap();
    commit(&mut device, &A, &x509("0neA")).unwrap();
    device.fail().unwrap();
    assert_eq!(commit(&mut device, &A, &x509("0neA")), Ok(Code::Ok));
    assert_eq!(status(&mut device).phase(), Phase::Failed);
    assert_eq!(device.in_flash(), None);
}

#[test]
fn abort_in_the_trial_goes_back_to_the_old_configuration() {
    let mut device = paired();
    stage(&mut device, &B, &x509("0neB")).unwrap();
    commit(&mut device, &B, &x509("0neB")).unwrap();
    assert_eq!(abort(&mut device, &B), Ok(Code::Ok));
    assert_eq!(device.registering, None);
    assert_eq!(device.hub, Some((x509("0neA"), assigned("hub-a"))));
    assert_eq!(status(&mut device).phase(), Phase::Assigned);
    assert_eq!(abort(&mut device, &A), Ok(Code::Unsupported), "an assigned hand-off cannot be aborted");
}

#[test]
fn abort_of_a_staged_hand_off_leaves_the_hub_connected() {
    let mut device = paired();
    stage(&mut device, &B, &x509("0neB")).unwrap();
    assert_eq!(abort(&mut device, &B), Ok(Code::Ok));
    assert_eq!(device.hub, Some((x509("0neA"), assigned("hub-a"))));
}

#[test]
fn another_hand_off_waits_for_the_lease_of_the_one_that_is_staged() {
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &x509("0neA")).unwrap();
    device.advance(Duration::from_millis(99_500)).unwrap();
    let (other, _) = client::stage(&B, 600, &x509("0neB"), None);
    let busy = device.ask(&other).unwrap();
    assert_eq!((result(&busy), busy.retry_after_s), (Code::Busy, 501));
    assert_eq!(identify(&mut device, false).staged_lease_left_s, 501);
    device.advance(Duration::from_millis(500_500)).unwrap();
    assert_eq!(status(&mut device).phase(), Phase::Empty);
    assert_eq!(commit(&mut device, &A, &x509("0neA")), Ok(Code::UnknownHandoff));
    assert_eq!(result(&device.ask(&other).unwrap()), Code::Ok);
}

#[test]
fn a_lease_that_ended_while_nobody_ticked_is_noticed_by_the_next_request() {
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &x509("0neA")).unwrap();
    device.since_boot += Duration::from_secs(600);
    assert_eq!(commit(&mut device, &A, &x509("0neA")), Ok(Code::UnknownHandoff));
    device.reboot().unwrap();
    assert_eq!(status(&mut device).phase(), Phase::Empty, "it is gone from flash too");
}

#[test]
fn a_lease_starts_again_in_full_after_a_reboot() {
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &x509("0neA")).unwrap();
    device.advance(Duration::from_secs(599)).unwrap();
    device.reboot().unwrap();
    assert_eq!(identify(&mut device, false).staged_lease_left_s, 600);
    assert_eq!(commit(&mut device, &A, &x509("0neA")), Ok(Code::Ok));
}

#[test]
fn repeating_a_stage_renews_its_lease() {
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &x509("0neA")).unwrap();
    device.advance(Duration::from_secs(500)).unwrap();
    stage(&mut device, &A, &x509("0neA")).unwrap();
    device.advance(Duration::from_secs(500)).unwrap();
    assert_eq!(commit(&mut device, &A, &x509("0neA")), Ok(Code::Ok));
}

#[test]
fn another_hand_off_is_refused_while_the_device_registers() {
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &x509("0neA")).unwrap();
    commit(&mut device, &A, &x509("0neA")).unwrap();
    assert_eq!(stage(&mut device, &B, &x509("0neB")), Ok(Code::Busy));
    assert_eq!(stage(&mut device, &A, &x509("0neB")), Ok(Code::Busy));
    device.assign("hub").unwrap();
    assert_eq!(stage(&mut device, &B, &x509("0neB")), Ok(Code::Ok));
}

#[test]
fn what_is_not_for_this_device_is_refused_with_the_code_that_says_why() {
    let with = |change: fn(&mut Config)| {
        let mut config = x509("0neA");
        change(&mut config);
        config
    };
    let cases: Vec<(Config, Code)> = vec![
        (with(|c| c.registration_id = "PUMP-0001".to_owned()), Code::Ok),
        (with(|c| c.registration_id = "pump-0002".to_owned()), Code::WrongRegistrationId),
        (with(|c| c.id_scope.clear()), Code::Invalid),
        (with(|c| c.id_scope = "0ne/A".to_owned()), Code::Invalid),
        (with(|c| c.id_scope = "0".repeat(65)), Code::TooLarge),
        (with(|c| c.global_device_endpoint.clear()), Code::Invalid),
        (with(|c| c.global_device_endpoint = "https://x".to_owned()), Code::Invalid),
        (with(|c| c.global_device_endpoint = "x:0".to_owned()), Code::Invalid),
        (with(|c| c.global_device_endpoint = "x:65536".to_owned()), Code::Invalid),
        (with(|c| c.global_device_endpoint = "127.0.0.1:8443".to_owned()), Code::Ok),
        (with(|c| c.global_device_endpoint = "[::1]:8443".to_owned()), Code::Ok),
        (with(|c| c.global_device_endpoint = "[::1]8443".to_owned()), Code::Invalid),
        (with(|c| c.credential = None), Code::Invalid),
        (with(|c| c.credential = Some(Credential::Tpm(dps_config::TpmCredential {}))), Code::Unsupported),
        (with(|c| c.owner_public_key = vec![0; 129]), Code::TooLarge),
        (with(|c| c.owner_public_key = vec![0x30; 91]), Code::Invalid),
        (with(|c| c.endpoint_ca = vec![vec![1]; 9]), Code::TooLarge),
    ];
    for (config, code) in cases {
        let mut device = Simulated::new(settings());
        assert_eq!(stage(&mut device, &A, &config), Ok(code), "{config:?}");
    }
    for (len, code) in [(15, Code::Credential), (16, Code::Ok), (64, Code::Ok), (65, Code::Credential)] {
        let mut config = symmetric("0neA");
        config.credential = Some(Credential::SymmetricKey(dps_config::SymmetricKeyCredential { key: vec![1; len] }));
        assert_eq!(stage(&mut Simulated::new(settings()), &A, &config), Ok(code), "a key of {len} bytes");
    }
    for (chain, code) in [
        (vec![], Code::Credential),
        (vec![vec![]], Code::Credential),
        (vec![b"another key's".to_vec()], Code::Credential),
        (vec![simulated::OWN_LEAF.to_vec(); 9], Code::TooLarge),
    ] {
        let mut config = x509("0neA");
        config.credential = Some(Credential::X509(dps_config::X509Credential { certificate_chain: chain }));
        let mut device = Simulated::new(settings());
        assert_eq!(stage(&mut device, &A, &config), Ok(code));
        assert_eq!(device.writes, 0, "nothing of it is kept");
    }
}

#[test]
fn malformed_stages_are_refused() {
    let mut device = Simulated::new(settings());
    let (request, _) = client::stage(&A, 600, &x509("0neA"), None);
    let with = |change: fn(&mut dps_config::StageRequest)| {
        let mut request = request.clone();
        if let Some(dps_config::request::Body::Stage(stage)) = &mut request.body {
            change(stage);
        }
        request
    };
    for (request, code) in [
        (with(|s| s.handoff_id = vec![1; 15]), Code::Invalid),
        (with(|s| s.lease_s = 9), Code::Invalid),
        (with(|s| s.lease_s = 86_401), Code::Invalid),
        (with(|s| s.digest = vec![1; 31]), Code::Invalid),
        (with(|s| s.digest = vec![1; 32]), Code::DigestMismatch),
        (with(|s| s.config[20] ^= 1), Code::DigestMismatch),
        (with(|s| (s.config, s.digest) = (vec![0xff], dps_config::digest(&[0xff]).to_vec())), Code::Invalid),
        (with(|s| s.config = vec![0; 8193]), Code::TooLarge),
        (dps_config::Request { body: None }, Code::Invalid),
        (client::commit(&A, &[0; 32]), Code::UnknownHandoff),
        (client::abort(&A), Code::UnknownHandoff),
    ] {
        assert_eq!(result(&device.ask(&request).unwrap_or_default()), code);
    }
    assert_eq!(device.writes, 0);
}

#[test]
fn commit_with_another_digest_than_the_staged_one_is_refused() {
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &x509("0neA")).unwrap();
    assert_eq!(commit(&mut device, &A, &x509("0neB")), Ok(Code::DigestMismatch));
    assert_eq!(commit(&mut device, &A, &x509("0neA")), Ok(Code::Ok));
    assert_eq!(commit(&mut device, &A, &x509("0neB")), Ok(Code::DigestMismatch));
}

#[test]
fn a_write_that_fails_is_said_and_leaves_the_old_state() {
    let mut device = paired();
    device.fail_writes = true;
    assert_eq!(stage(&mut device, &B, &x509("0neB")), Ok(Code::Storage));
    assert_eq!(status(&mut device).phase(), Phase::Assigned);
    device.fail_writes = false;
    assert_eq!(stage(&mut device, &B, &x509("0neB")), Ok(Code::Ok));
    device.fail_writes = true;
    assert_eq!(commit(&mut device, &B, &x509("0neB")), Ok(Code::Storage));
    assert_eq!(abort(&mut device, &B), Ok(Code::Storage));
    assert_eq!(result(&device.ask(&client::reset(None)).unwrap()), Code::Storage);
    assert_eq!(status(&mut device).phase(), Phase::Staged);
    assert_eq!(device.hub, Some((x509("0neA"), assigned("hub-a"))));
    device.fail_writes = false;
    assert_eq!(commit(&mut device, &B, &x509("0neB")), Ok(Code::Ok));
    device.fail_writes = true;
    device.assign("hub-b").unwrap();
    let unkept = status(&mut device);
    assert_eq!(unkept.phase(), Phase::Failed);
    assert_eq!(unkept.failed.map(|f| (f.code(), f.rolled_back)), Some((FailureCode::Storage, false)));
    device.fail_writes = false;
    device.reboot().unwrap();
    assert_eq!(device.registering, Some(x509("0neB")), "the trial goes on after a reboot");
}

#[test]
fn reset_takes_everything_and_can_be_repeated() {
    let mut device = paired();
    for _ in 0..2 {
        assert_eq!(result(&device.ask(&client::reset(None)).unwrap()), Code::Ok);
        assert_eq!((device.hub.clone(), device.registering.clone()), (None, None));
    }
    assert_eq!(device.in_flash(), None);
    let identify = identify(&mut device, false);
    assert_eq!((identify.phase(), identify.registration_id.as_str()), (Phase::Empty, REGISTRATION_ID));
}

/// An Ed25519 key of that name.
fn owner_key(name: &[u8]) -> Vec<u8> {
    let mut key = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".to_vec();
    key.extend_from_slice(name);
    key.resize(44, 0);
    key
}

#[test]
fn the_owner_of_the_first_hand_off_must_sign_the_second_one_and_the_reset() {
    let mut settings = settings();
    settings.checks_owner = true;
    let mut device = Simulated::new(settings);
    let mut config = x509("0neA");
    config.owner_public_key = owner_key(b"owner");
    assert_eq!(stage(&mut device, &A, &config), Ok(Code::Ok), "nobody owns it yet");
    assert_eq!(commit(&mut device, &A, &config), Ok(Code::Ok));
    device.assign("hub").unwrap();
    let identity = identify(&mut device, false);
    assert_eq!(identity.owner_key_id, dps_config::owner_key_id(&owner_key(b"owner")));
    assert!(identity.checks_owner);

    let second = x509("0neB");
    assert_eq!(stage(&mut device, &B, &second), Ok(Code::NotOwner));
    let nonce: [u8; 32] = identity.nonce.try_into().unwrap();
    let digest = dps_config::digest(&second.encode_to_vec());
    let message = dps_config::stage_signature_message(REGISTRATION_ID, &B, &nonce, &second, &digest, 1000);
    let sign =
        |key: &[u8], message: &[u8], expires| Some(OwnerSignature { signature: [key, message].concat(), expires });
    let by = |key: &[u8]| client::stage(&B, 600, &second, sign(key, &message, 1000)).0;
    assert_eq!(result(&device.ask(&by(&owner_key(b"thief"))).unwrap()), Code::NotOwner);
    device.unix_s = Some(1001);
    assert_eq!(result(&device.ask(&by(&owner_key(b"owner"))).unwrap()), Code::NotOwner, "expired");
    device.unix_s = Some(1000);
    assert_eq!(result(&device.ask(&by(&owner_key(b"owner"))).unwrap()), Code::Ok);
    assert_eq!(commit(&mut device, &B, &second), Ok(Code::Ok));
    device.assign("hub-b").unwrap();
    device.reboot().unwrap();
    assert_eq!(
        identify(&mut device, false).owner_key_id,
        dps_config::owner_key_id(&owner_key(b"owner")),
        "a config without an owner leaves the owner"
    );

    assert_eq!(result(&device.ask(&client::reset(None)).unwrap()), Code::NotOwner);
    let message = dps_config::reset_signature_message(REGISTRATION_ID, &nonce, 1000);
    let reset = client::reset(sign(&owner_key(b"owner"), &message, 1000));
    assert_eq!(result(&device.ask(&reset).unwrap()), Code::Ok);
    assert!(identify(&mut device, false).owner_key_id.is_empty());
}

#[test]
fn a_signature_is_for_one_device_and_for_what_the_owner_saw_of_the_configuration() {
    let mut device = Simulated::new(Settings { checks_owner: true, ..settings() });
    let first = Config { owner_public_key: owner_key(b"owner"), ..x509("0neA") };
    assert_eq!(stage(&mut device, &A, &first), Ok(Code::Ok));
    assert_eq!(commit(&mut device, &A, &first), Ok(Code::Ok));
    device.assign("hub").unwrap();
    let nonce: [u8; 32] = identify(&mut device, false).nonce.try_into().unwrap();
    let sent = Config { endpoint_ca: vec![b"root".to_vec()], ..x509("0neB") };
    let digest = dps_config::digest(&sent.encode_to_vec());
    let mut staged = |registration_id: &str, seen: &Config| {
        let message = dps_config::stage_signature_message(registration_id, &B, &nonce, seen, &digest, 1000);
        let signature = [owner_key(b"owner"), message].concat();
        result(
            &device.ask(&client::stage(&B, 600, &sent, Some(OwnerSignature { signature, expires: 1000 })).0).unwrap(),
        )
    };
    // Hand-off, nonce, digest, owner and end are all right: it was made for somebody else.
    for other in ["pump-0002", "pump-000", "pump-00011", ""] {
        assert_eq!(staged(other, &sent), Code::NotOwner, "{other}");
    }
    for seen in [
        Config { id_scope: "0neA".into(), ..sent.clone() },
        Config { global_device_endpoint: "dps.example".into(), ..sent.clone() },
        Config { endpoint_ca: vec![], ..sent.clone() },
        Config { endpoint_ca: vec![b"roo".to_vec(), b"t".to_vec()], ..sent.clone() },
        Config { owner_public_key: owner_key(b"another"), ..sent.clone() },
    ] {
        assert_eq!(staged(REGISTRATION_ID, &seen), Code::NotOwner, "{seen:?}");
    }
    // DPS does not tell cases apart; so neither does the owner.
    assert_eq!(staged("PUMP-0001", &sent), Code::Ok);

    let of = |registration_id: &str| {
        let message = dps_config::reset_signature_message(registration_id, &nonce, 1000);
        client::reset(Some(OwnerSignature { signature: [owner_key(b"owner"), message].concat(), expires: 1000 }))
    };
    assert_eq!(result(&device.ask(&of("pump-0002")).unwrap()), Code::NotOwner);
    assert_eq!(result(&device.ask(&of("Pump-0001")).unwrap()), Code::Ok);
}

#[test]
fn a_rollback_gives_the_device_back_to_its_former_owner() {
    let mut device = Simulated::new(settings());
    let owned = |scope, owner: &[u8]| Config { owner_public_key: owner_key(owner), ..x509(scope) };
    stage(&mut device, &A, &owned("0neA", b"first")).unwrap();
    commit(&mut device, &A, &owned("0neA", b"first")).unwrap();
    device.assign("hub").unwrap();
    stage(&mut device, &B, &owned("0neB", b"second")).unwrap();
    commit(&mut device, &B, &owned("0neB", b"second")).unwrap();
    assert_eq!(identify(&mut device, false).owner_key_id, dps_config::owner_key_id(&owner_key(b"second")));
    device.fail().unwrap();
    assert_eq!(identify(&mut device, false).owner_key_id, dps_config::owner_key_id(&owner_key(b"first")));
}

#[test]
fn the_button_gives_an_owned_device_back_to_nobody() {
    let mut device = paired();
    let step = device.device.button_reset();
    device.run(step, false).unwrap();
    assert_eq!(device.in_flash(), None);
    assert_eq!(device.hub, None);
}

#[test]
fn identify_gives_the_csr_in_the_same_exchange() {
    let mut device = paired();
    device.exchanges = 0;
    let with = identify(&mut device, true);
    assert_eq!((with.csr.len(), device.exchanges), (240, 1));
    assert_eq!(with.network(), Network::Connected);
    assert_eq!(with.active_handoff_id, A);
    assert!(identify(&mut device, false).csr.is_empty());
    let mut keys_only = Settings::new(REGISTRATION_ID);
    keys_only.attestations = vec![Attestation::SymmetricKey];
    let mut device = Simulated::new(keys_only);
    assert!(identify(&mut device, true).csr.is_empty());
    assert_eq!(result(&device.ask(&client::csr()).unwrap()), Code::Unsupported);
    assert_eq!(stage(&mut device, &A, &x509("0neA")), Ok(Code::Unsupported));
}

#[test]
fn over_ble_a_chain_of_1200_bytes_is_staged_in_three_exchanges_and_a_key_in_one() {
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &x509("0neA")).unwrap();
    assert_eq!(device.exchanges, 3);
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &symmetric("0neA")).unwrap();
    assert_eq!(device.exchanges, 1);
}

#[test]
fn responses_that_are_too_long_for_the_link_come_in_parts() {
    let mut device = paired();
    device.max_plain = 100;
    device.new_session();
    device.exchanges = 0;
    assert_eq!(identify(&mut device, true).csr, vec![0x30; 240]);
    assert!(device.exchanges > 4, "{}", device.exchanges);
}

// ---- chunks ---------------------------------------------------------------------------------------------------

fn chunk(transfer: u32, offset: usize, whole: &[u8], len: usize) -> Vec<u8> {
    dps_config::Request {
        body: Some(dps_config::request::Body::Chunk(dps_config::Chunk {
            transfer,
            offset: offset.try_into().unwrap(),
            total: whole.len().try_into().unwrap(),
            data: whole[offset..offset + len].to_vec(),
        })),
    }
    .encode_to_vec()
}

fn code(reply: &[u8]) -> Code {
    dps_config::Response::decode(reply).unwrap().result()
}

#[test]
fn a_chunk_out_of_order_is_refused_and_a_repeated_one_gets_the_same_answer() {
    let mut device = Simulated::new(settings());
    let whole = client::stage(&A, 600, &x509("0neA"), None).0.encode_to_vec();
    let first = device.exchange(&chunk(1, 0, &whole, 400)).unwrap();
    assert_eq!(device.exchange(&chunk(1, 0, &whole, 400)).unwrap(), first);
    assert_eq!(code(&device.exchange(&chunk(1, 401, &whole, 100)).unwrap()), Code::ChunkOrder);
    assert_eq!(code(&device.exchange(&chunk(2, 400, &whole, 100)).unwrap()), Code::ChunkOrder);
    let second = device.exchange(&chunk(1, 400, &whole, 400)).unwrap();
    assert_eq!(device.exchange(&chunk(1, 400, &whole, 400)).unwrap(), second);
    assert_eq!(code(&device.exchange(&chunk(1, 0, &whole, 399)).unwrap()), Code::Ok, "offset 0 starts again");
    device.exchange(&chunk(1, 399, &whole, 401)).unwrap();
    let last = chunk(1, 800, &whole, whole.len() - 800);
    let staged = device.exchange(&last).unwrap();
    let writes = device.writes;
    assert_eq!(device.exchange(&last).unwrap(), staged);
    assert_eq!(device.writes, writes, "a repeated last chunk does nothing twice");
    assert_eq!(status(&mut device).phase(), Phase::Staged);
    assert_eq!(code(&device.exchange(&last).unwrap()), Code::ChunkOrder, "the transfer is over");
}

#[test]
fn a_transfer_past_the_limit_is_refused_before_it_takes_memory() {
    let mut device = Simulated::new(settings());
    let huge = dps_config::Request {
        body: Some(dps_config::request::Body::Chunk(dps_config::Chunk {
            transfer: 1,
            offset: 0,
            total: u32::MAX,
            data: vec![0; 100],
        })),
    };
    assert_eq!(code(&device.exchange(&huge.encode_to_vec()).unwrap()), Code::TooLarge);
}

#[test]
fn a_call_starts_its_chunks_again_once_when_the_device_forgot_them() {
    let mut device = Simulated::new(settings());
    let (request, _) = client::stage(&A, 600, &x509("0neA"), None);
    let mut call = Call::new(&request, 496, 1);
    let reply = device.exchange(&call.next().unwrap()).unwrap();
    assert_eq!(call.handle(&reply), Ok(Progress::More));
    device.new_session();
    let mut done = None;
    while done.is_none() {
        let reply = device.exchange(&call.next().unwrap()).unwrap();
        if let Progress::Done(response) = call.handle(&reply).unwrap() {
            done = Some(response);
        }
    }
    assert_eq!(result(&done.unwrap()), Code::Ok);
    assert_eq!(call.handle(&[]), Err(CallError::Unasked));
}

#[test]
fn a_call_does_not_take_the_answer_to_another_request() {
    let mut device = Simulated::new(settings());
    let answer = device.exchange(&client::status().encode_to_vec()).unwrap();
    for (reply, error) in [
        (answer, CallError::WrongBody),
        (vec![0xff], CallError::Garbage),
        (vec![0; 20_000], CallError::TooLong),
        (vec![], CallError::WrongBody),
    ] {
        let mut call = Call::new(&client::identify(false), 496, 1);
        call.next();
        assert_eq!(call.handle(&reply), Err(error));
    }
}

// ---- power ----------------------------------------------------------------------------------------------------

/// The second pairing of a device that has a first one.
fn pair_b(device: &mut Simulated) -> Result<(), Killed> {
    assert_eq!(stage(device, &B, &x509("0neB"))?, Code::Ok);
    assert_eq!(commit(device, &B, &x509("0neB"))?, Code::Ok);
    device.assign("hub-b")
}

#[test]
fn a_device_killed_at_any_write_is_wholly_old_or_wholly_new_and_a_rerun_finishes() {
    let mut whole = paired();
    let before = whole.writes;
    pair_b(&mut whole).unwrap();
    assert_eq!(whole.writes - before, 3, "stage, commit, assigned");
    for write in before + 1..=whole.writes {
        for kill in [Kill::BeforeWrite(write), Kill::AfterWrite(write)] {
            let mut device = paired();
            device.kill = Some(kill);
            assert_eq!(pair_b(&mut device), Err(Killed), "{kill:?}");
            device.reboot().unwrap();
            let (config, known) = device.in_flash().unwrap();
            if config == x509("0neA") {
                assert_eq!(known, Some(assigned("hub-a")), "{kill:?}");
                assert_eq!(device.hub, Some((config, assigned("hub-a"))));
            } else {
                assert_eq!(config, x509("0neB"), "{kill:?}");
                assert!(device.hub.is_some() != device.registering.is_some());
            }
            pair_b(&mut device).unwrap();
            assert_eq!(device.hub, Some((x509("0neB"), assigned("hub-b"))), "{kill:?}");
            assert_eq!(status(&mut device).phase(), Phase::Assigned);
        }
    }
}

#[test]
fn a_device_killed_while_it_rolls_back_ends_on_the_old_configuration() {
    for before in [true, false] {
        let mut device = paired();
        stage(&mut device, &B, &x509("0neB")).unwrap();
        commit(&mut device, &B, &x509("0neB")).unwrap();
        let next = device.writes + 1;
        device.kill = Some(if before { Kill::BeforeWrite(next) } else { Kill::AfterWrite(next) });
        assert_eq!(device.fail(), Err(Killed));
        device.reboot().unwrap();
        if before {
            assert_eq!(device.registering, Some(x509("0neB")), "it tries again, and fails again");
            device.fail().unwrap();
        }
        assert_eq!(device.hub, Some((x509("0neA"), assigned("hub-a"))));
    }
}

#[test]
fn a_torn_or_foreign_record_is_an_error_and_never_an_empty_device() {
    let flash = paired().flash.unwrap();
    let boot = |record: &[u8]| DpsConfig::boot(settings(), Some(record)).map(|_| ());
    assert_eq!(boot(&flash), Ok(()));
    assert_eq!(boot(&[flash.clone(), vec![0xff; 100]].concat()), Ok(()), "flash pages are longer");
    for end in 0..flash.len() {
        assert_eq!(boot(&flash[..end]), Err(StateError::Torn), "cut at {end}");
    }
    for at in 0..flash.len() {
        let mut damaged = flash.clone();
        damaged[at] ^= 0x10;
        let outcome = boot(&damaged);
        match at {
            0..4 => assert_eq!(outcome, Err(StateError::Foreign)),
            4 => assert_eq!(outcome, Err(StateError::Version(0x11))),
            // Kept for later versions.
            5..8 => assert_eq!(outcome, Ok(())),
            _ => assert_eq!(outcome, Err(StateError::Torn), "damaged at {at}"),
        }
    }
}

#[test]
fn a_trial_whose_failure_could_not_be_written_registers_at_the_next_boot_whatever_was_staged_since() {
    let mut device = Simulated::new(settings());
    stage(&mut device, &A, &x509("0neA")).unwrap();
    commit(&mut device, &A, &x509("0neA")).unwrap();
    device.fail_writes = true;
    device.fail().unwrap();
    device.registering = None;
    device.fail_writes = false;
    assert_eq!(stage(&mut device, &B, &x509("0neB")), Ok(Code::Ok));
    assert_eq!(device.registering, None);
    device.reboot().unwrap();
    assert_eq!(device.registering, Some(x509("0neA")));
}

#[test]
fn nothing_that_is_printed_for_debugging_shows_a_key() {
    let mut device = Simulated::new(settings());
    let config = Config {
        credential: Some(Credential::SymmetricKey(dps_config::SymmetricKeyCredential { key: vec![219; 32] })),
        ..x509("0neA")
    };
    stage(&mut device, &A, &config).unwrap();
    let (request, _) = client::stage(&A, 600, &config, None);
    let printed = format!("{config:?} {request:?} {:?} {:?}", device.device, Call::new(&request, 64, 1));
    assert!(!printed.contains("219"), "{printed}");
}

// ---- anything at all ------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Op {
    Stage(usize, usize),
    Commit(usize, usize),
    Abort(usize),
    Advance(u64),
    Tick(u64),
    Reboot,
    Assign,
    Fail,
    Reset,
    Identify,
    /// At the next write, before or after it.
    Kill(bool),
    FailWrites(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..3usize, 0..2usize).prop_map(|(id, config)| Op::Stage(id, config)),
        5 => (0..3usize, 0..2usize).prop_map(|(id, config)| Op::Commit(id, config)),
        3 => (0..3usize).prop_map(Op::Abort),
        1 => (0..700u64).prop_map(Op::Advance),
        1 => (0..700u64).prop_map(Op::Tick),
        1 => Just(Op::Reboot),
        5 => Just(Op::Assign),
        1 => Just(Op::Fail),
        1 => Just(Op::Reset),
        1 => Just(Op::Identify),
        2 => any::<bool>().prop_map(Op::Kill),
        1 => any::<bool>().prop_map(Op::FailWrites),
    ]
}

const IDS: [[u8; 16]; 3] = [A, B, [0xc; 16]];

fn config_of(id: usize, config: usize) -> Config {
    if config == 0 { x509(&format!("0ne{id}")) } else { symmetric(&format!("0ne{id}")) }
}

fn apply(device: &mut Simulated, op: &Op, committed: &mut Vec<Config>) -> Result<(), Killed> {
    match *op {
        Op::Stage(id, config) => stage(device, &IDS[id], &config_of(id, config)).map(|_| ()),
        Op::Commit(id, config) => {
            committed.push(config_of(id, config));
            let code = commit(device, &IDS[id], &config_of(id, config))?;
            if code == Code::Ok {
                // A confirmed commit is in flash, or its end is.
                let ended = device.device.status();
                let in_flash = device.in_flash().map(|(config, _)| config);
                assert!(
                    in_flash == Some(config_of(id, config))
                        || ended.phase() == Phase::Failed
                        || device.fail_writes
                        || ended.phase() == Phase::Staged
                );
            }
            Ok(())
        }
        Op::Abort(id) => abort(device, &IDS[id]).map(|_| ()),
        Op::Advance(seconds) => device.advance(Duration::from_secs(seconds)),
        Op::Tick(seconds) => {
            device.since_boot += Duration::from_secs(seconds);
            Ok(())
        }
        Op::Reboot => device.reboot(),
        Op::Assign if device.registering.is_some() => device.assign("hub"),
        Op::Fail if device.registering.is_some() => {
            let failed = device.fail();
            device.registering = None;
            failed
        }
        Op::Assign | Op::Fail => Ok(()),
        Op::Reset => device.ask(&client::reset(None)).map(|_| ()),
        Op::Identify => device.ask(&client::identify(true)).map(|_| ()),
        Op::Kill(before) => {
            let next = device.writes + 1;
            device.kill = Some(if before { Kill::BeforeWrite(next) } else { Kill::AfterWrite(next) });
            Ok(())
        }
        Op::FailWrites(fail) => {
            device.fail_writes = fail;
            Ok(())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_device_is_wholly_on_one_configuration_and_a_rerun_converges(
        ops in proptest::collection::vec(op(), 1..40)
    ) {
        let mut device = Simulated::new(settings());
        let mut committed = Vec::new();
        let mut waits_for_boot = false;
        for op in &ops {
            let before = device.in_flash();
            let mut booted = matches!(op, Op::Reboot);
            if apply(&mut device, op, &mut committed).is_err() {
                device.kill = None;
                device.reboot().unwrap();
                booted = true;
            }
            let after = device.in_flash();
            if let Some((config, _)) = &after {
                prop_assert!(committed.contains(config), "in force and never committed");
            }
            // What was in force changes only by what may change it.
            if after.as_ref().map(|(config, _)| config) != before.as_ref().map(|(config, _)| config) {
                prop_assert!(matches!(op, Op::Commit(..) | Op::Abort(_) | Op::Fail | Op::Reset), "{op:?}");
            }
            // A trial whose end could not be written lies still until the next boot; what is staged meanwhile hides its failure.
            let lies_still = matches!(device.device.in_force(), Some((_, None))) && device.registering.is_none();
            let unwritten = device.fail_writes || device.device.status().failed.is_some();
            waits_for_boot = lies_still && (unwritten || waits_for_boot && !booted);
            // The shell works with what is in force, unless flash could not be written.
            if !unwritten && !waits_for_boot {
                let known = device.device.in_force();
                match known {
                    Some((config, Some(assigned))) => {
                        prop_assert_eq!(device.hub.clone(), Some((config, assigned)));
                    }
                    Some((config, None)) => prop_assert_eq!(device.registering.clone(), Some(config)),
                    None => prop_assert!(device.hub.is_none() && device.registering.is_none()),
                }
            }
        }
        // A rerun: the power is good, flash works, leases run out, registrations end.
        device.kill = None;
        device.fail_writes = false;
        device.reboot().unwrap();
        if device.registering.is_some() {
            device.assign("hub").unwrap();
        }
        device.advance(Duration::from_secs(601)).unwrap();
        let last = x509("0neZ");
        prop_assert_eq!(stage(&mut device, &[0xd; 16], &last), Ok(Code::Ok));
        prop_assert_eq!(commit(&mut device, &[0xd; 16], &last), Ok(Code::Ok));
        device.assign("hub-z").unwrap();
        device.reboot().unwrap();
        prop_assert_eq!(device.hub, Some((last, assigned("hub-z"))));
    }

    #[test]
    fn any_way_to_cut_a_request_joins_to_the_same(max_plain in 64usize..2000, chain in 1usize..4000) {
        let mut device = Simulated::new(settings());
        device.max_plain = max_plain;
        device.new_session();
        let mut config = x509("0neA");
        config.endpoint_ca = vec![vec![9; chain]];
        prop_assert_eq!(stage(&mut device, &A, &config), Ok(Code::Ok));
        prop_assert_eq!(commit(&mut device, &A, &config), Ok(Code::Ok));
        prop_assert_eq!(device.registering, Some(config));
    }

    #[test]
    fn no_bytes_make_the_device_panic(requests in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..8)) {
        let mut device = Simulated::new(settings());
        for request in requests {
            device.exchange(&request).unwrap();
        }
    }

    #[test]
    fn no_bytes_make_the_client_panic(replies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..8)) {
        let mut call = Call::new(&client::stage(&A, 60, &x509("0neA"), None).0, 300, 1);
        for reply in replies {
            call.next();
            let _ = call.handle(&reply);
        }
    }

    #[test]
    fn no_stored_bytes_make_the_device_panic(mut record in proptest::collection::vec(any::<u8>(), 0..200), magic: bool) {
        if magic && record.len() > 5 {
            record[..5].copy_from_slice(b"LTDC\x01");
        }
        let _ = DpsConfig::boot(settings(), Some(&record));
    }
}

#[test]
fn a_second_connection_is_told_busy_while_an_effect_is_performed() {
    let mut device = Simulated::new(settings());
    let request = client::identify(true).encode_to_vec();
    let step = device.device.handle(&mut device.session, &request, Network::Unknown, device_now());
    assert!(matches!(step, Step::Perform(_)));
    let mut other = Session::new([1; 32], 496);
    let step = device.device.handle(&mut other, &client::status().encode_to_vec(), Network::Unknown, device_now());
    let Step::Reply(reply) = step else { panic!("{step:?}") };
    assert_eq!(code(&reply), Code::Busy);
}

fn device_now() -> dps_config::device::Now {
    dps_config::device::Now::since_boot(Duration::ZERO)
}
