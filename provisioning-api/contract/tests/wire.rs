//! How each type looks on the wire. A change here is a change for every client in the field.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use jiff::Timestamp;
use provisioning_api_contract::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// Its JSON, after checking that it reads back as the same JSON.
fn wire<T: Serialize + DeserializeOwned>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap();
    let back: T = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    text
}

fn at() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

#[test]
fn requests_look_like_this() {
    let handoff_id = Uuid::nil();
    insta::assert_snapshot!(wire(&AllocationRequest { handoff_id, attestations: vec![Attestation::X509, Attestation::SymmetricKey, Attestation::Tpm], model: Some("M1".into()), firmware: None, tpm: None, certificate_from_dps: false }), @r#"{"handoffId":"00000000-0000-0000-0000-000000000000","attestations":["x509","symmetricKey","tpm"],"model":"M1"}"#);
    insta::assert_snapshot!(wire(&CertificateRequest { handoff_id, csr: "AAAA".into() }), @r#"{"handoffId":"00000000-0000-0000-0000-000000000000","csr":"AAAA"}"#);
    insta::assert_snapshot!(wire(&SymmetricKeyRequest { handoff_id }), @r#"{"handoffId":"00000000-0000-0000-0000-000000000000"}"#);
    insta::assert_snapshot!(wire(&OwnerSignatureRequest { handoff_id, operation: OwnerOperation::Stage, nonce: "AAAA".into(), digest: Some("BBBB".into()), owner_key_id: None }), @r#"{"handoffId":"00000000-0000-0000-0000-000000000000","operation":"stage","nonce":"AAAA","digest":"BBBB"}"#);
    insta::assert_snapshot!(wire(&OwnerSignatureRequest { handoff_id, operation: OwnerOperation::Reset, nonce: "AAAA".into(), digest: None, owner_key_id: None }), @r#"{"handoffId":"00000000-0000-0000-0000-000000000000","operation":"reset","nonce":"AAAA"}"#);
    let outcome = Outcome::Assigned {
        assigned_hub: "hub-1".into(),
        device_id: "sn-1".into(),
        substatus: Some("initialAssignment".into()),
    };
    insta::assert_snapshot!(wire(&OutcomeRequest { handoff_id, outcome }), @r#"{"handoffId":"00000000-0000-0000-0000-000000000000","outcome":{"status":"assigned","assignedHub":"hub-1","deviceId":"sn-1","substatus":"initialAssignment"}}"#);
    let outcome = Outcome::Failed { code: "cancelled".into(), text: "by hand".into() };
    insta::assert_snapshot!(wire(&OutcomeRequest { handoff_id, outcome }), @r#"{"handoffId":"00000000-0000-0000-0000-000000000000","outcome":{"status":"failed","code":"cancelled","text":"by hand"}}"#);
    insta::assert_snapshot!(wire(&DeviceRequest { model: None, attestation: Some(Attestation::X509), dps_instance: Some("north".into()), region: Some("eu".into()), ring: Some(Ring::Test), reason: Some("sold".into()) }), @r#"{"attestation":"x509","dpsInstance":"north","region":"eu","ring":"test","reason":"sold"}"#);
}

#[test]
fn answers_look_like_this() {
    let allocation = Allocation {
        registration_id: "SN-1".into(),
        dps_instance: "north".into(),
        id_scope: "0ne1".into(),
        global_device_endpoint: "127.0.0.1:1".into(),
        endpoint_ca: None,
        attestation: Attestation::X509,
        allocated_at: at(),
        owner_public_key: None,
        former_owner_key_ids: Vec::new(),
        starts_at: None,
        starts_in_s: None,
        certificate_from_dps: false,
    };
    insta::assert_snapshot!(wire(&allocation), @r#"{"registrationId":"SN-1","dpsInstance":"north","idScope":"0ne1","globalDeviceEndpoint":"127.0.0.1:1","attestation":"x509","allocatedAt":"2026-11-21T12:00:00Z"}"#);
    insta::assert_snapshot!(wire(&CertificateResponse { certificate_chain: vec!["AAAA".into()], not_after: at() }), @r#"{"certificateChain":["AAAA"],"notAfter":"2026-11-21T12:00:00Z"}"#);
    insta::assert_snapshot!(wire(&SymmetricKeyResponse { key: "AAAA".into() }), @r#"{"key":"AAAA"}"#);
    let owned = Allocation { owner_public_key: Some("AAAA".into()), ..allocation };
    assert!(wire(&owned).ends_with(r#","ownerPublicKey":"AAAA"}"#));
    let signature = OwnerSignatureResponse { owner_public_key: "AAAA".into(), signature: "BBBB".into(), expires: at() };
    insta::assert_snapshot!(wire(&signature), @r#"{"ownerPublicKey":"AAAA","signature":"BBBB","expires":"2026-11-21T12:00:00Z"}"#);
    let device = Device {
        registration_id: "SN-1".into(),
        model: None,
        lifecycle: Lifecycle::Assigned,
        dps_instance: Some("north".into()),
        attestation: Some(Attestation::SymmetricKey),
        handoff_id: Some(Uuid::nil()),
        outcome: Some(Outcome::Failed { code: "c".into(), text: String::new() }),
        region: None,
        ring: Ring::Production,
        site: None,
        starts_at: None,
        pending: Vec::new(),
        dps: Some(DpsRegistration {
            status: "unassigned".into(),
            assigned_hub: None,
            device_id: None,
            last_updated: Some(at()),
        }),
    };
    insta::assert_snapshot!(wire(&device), @r#"{"registrationId":"SN-1","lifecycle":"assigned","dpsInstance":"north","attestation":"symmetricKey","handoffId":"00000000-0000-0000-0000-000000000000","outcome":{"status":"failed","code":"c","text":""},"ring":"production","dps":{"status":"unassigned","lastUpdated":"2026-11-21T12:00:00Z"}}"#);
    let instance = Instance {
        name: "north".into(),
        id_scope: "0ne1".into(),
        global_device_endpoint: "127.0.0.1:1".into(),
        state: InstanceState::Draining,
        allocated: 1,
        capacity: 2,
        registrations_per_minute: 3,
        region: Some("eu".into()),
        tenant: None,
        ring: Ring::Production,
        linked_hubs: Vec::new(),
        stamp: None,
        certificate_policy: None,
        configured: true,
        circuit: Some(Circuit::HalfOpen),
        etag: "\"1\"".into(),
    };
    insta::assert_snapshot!(wire(&InstanceList { instances: vec![instance] }), @r#"{"instances":[{"name":"north","idScope":"0ne1","globalDeviceEndpoint":"127.0.0.1:1","state":"draining","allocated":1,"capacity":2,"registrationsPerMinute":3,"region":"eu","ring":"production","configured":true,"circuit":"halfOpen","etag":"\"1\""}]}"#);
}

#[test]
fn a_problem_looks_like_this_and_an_unknown_code_is_read_as_unknown() {
    let problem = Problem {
        kind: "about:blank".into(),
        status: 409,
        title: "T".into(),
        detail: None,
        code: ProblemCode::HandoffConflict,
        request_id: Uuid::nil(),
    };
    let text = wire(&problem);
    insta::assert_snapshot!(text, @r#"{"type":"about:blank","status":409,"title":"T","code":"handoff-conflict","requestId":"00000000-0000-0000-0000-000000000000"}"#);
    let newer: Problem = serde_json::from_str(&text.replace("handoff-conflict", "of-the-future")).unwrap();
    assert_eq!(newer.code, ProblemCode::Unknown);
}
