//! Devices register, are refused, throttled and moved, over real TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at once")]

mod common;

use azure_emulator::{Config, Fault, Hub, On, SigningCa};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Dps, derive, sas};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const KEY: [u8; 32] = [7; 32];

fn key_attestation() -> Value {
    json!({"type": "symmetricKey", "symmetricKey": {"primaryKey": STANDARD.encode(KEY), "secondaryKey": STANDARD.encode([8; 32])}})
}

fn signing(ca: &SigningCa) -> Value {
    json!({"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": ca.certificate_pem()}}}})
}

#[tokio::test]
async fn a_device_with_a_group_key_is_assigned_after_202_and_stands_in_the_hub() {
    let dps = Dps::start().await;
    dps.put_group("g", key_attestation()).await;
    let device = dps.with_key("Dev-1", &derive(&KEY, "Dev-1"));
    let accepted = device.register().await;
    assert_eq!((accepted.status, accepted.header("retry-after")), (StatusCode::ACCEPTED, Some("1")));
    assert_eq!(accepted.body["status"], "assigning");
    let operation_id = accepted.body["operationId"].as_str().unwrap().to_owned();
    assert_eq!(device.poll(&operation_id).await.status, StatusCode::ACCEPTED);
    assert!(dps.running.hub_devices().is_empty());
    let done = device.poll(&operation_id).await;
    assert_eq!(done.status, StatusCode::OK);
    let state = &done.body["registrationState"];
    assert_eq!((&done.body["status"], &state["substatus"]), (&json!("assigned"), &json!("initialAssignment")));
    assert_eq!((&state["deviceId"], &state["symmetricKey"]["enrollmentGroupId"]), (&json!("Dev-1"), &json!("g")));
    let devices = dps.running.hub_devices();
    assert_eq!(
        (devices.len(), devices[0].hub.as_str(), devices[0].device_id.as_str()),
        (1, state["assignedHub"].as_str().unwrap(), "Dev-1")
    );
    let looked_up = device.look_up().await;
    assert_eq!((looked_up.status, &looked_up.body), (StatusCode::OK, state));
    dps.running.stop().await;
}

#[tokio::test]
async fn individual_keys_primary_and_secondary_are_taken_with_both_spellings_of_sr() {
    let dps = Dps::start_with(|config: &mut Config| config.polls_per_10_s = None).await;
    dps.put_individual("dev", json!({"deviceId": "hub-name", "attestation": key_attestation()})).await;
    for key in [[7; 32], [8; 32]] {
        for slash in ["/", "%2F", "%2f"] {
            let mut device = dps.with_key("dev", &key);
            let resource = format!("{}/registrations/dev", dps.running.id_scope).replace('/', slash);
            device.token = Some(sas(&key, &resource, "registration", 60));
            assert_eq!(device.provision().await["registrationState"]["deviceId"], "hub-name");
        }
    }
}

#[tokio::test]
async fn an_individual_enrollment_decides_alone_even_where_a_group_would_let_the_device_in() {
    let dps = Dps::start().await;
    dps.put_group("g", key_attestation()).await;
    dps.put_individual("dev", json!({"attestation": {"type": "symmetricKey"}})).await;
    assert_eq!(dps.with_key("dev", &derive(&KEY, "dev")).register().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn wrong_tokens_are_refused() {
    let dps = Dps::start().await;
    dps.put_group("g", key_attestation()).await;
    let key = derive(&KEY, "dev");
    let scope = &dps.running.id_scope;
    let right = format!("{scope}/registrations/dev");
    let good = sas(&key, &right, "registration", 60);
    let cases = [
        ("the group's own key", Some(sas(&KEY, &right, "registration", 60))),
        ("another device's key", Some(sas(&derive(&KEY, "dev2"), &right, "registration", 60))),
        ("another resource", Some(sas(&key, &format!("{scope}/registrations/dev2"), "registration", 60))),
        ("another scope", Some(sas(&key, "0neFFFFFFFF/registrations/dev", "registration", 60))),
        ("another policy", Some(sas(&key, &right, "provisioningserviceowner", 60))),
        ("expired", Some(sas(&key, &right, "registration", -1))),
        ("a cut token", Some(good[..good.len() - 30].to_owned())),
        ("no token and no certificate", None),
    ];
    for (what, token) in cases {
        let mut device = dps.with_key("dev", &key);
        device.token = token;
        let answer = device.register().await;
        assert_eq!((answer.status, &answer.body["errorCode"]), (StatusCode::UNAUTHORIZED, &json!(401_002)), "{what}");
        assert_eq!(device.look_up().await.status, StatusCode::UNAUTHORIZED, "{what}");
    }
    let mut device = dps.with_key("dev", &key);
    device.token = Some(good);
    assert_eq!(device.register().await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_device_with_a_certificate_under_the_groups_is_assigned_directly_and_over_an_intermediate() {
    let dps = Dps::start().await;
    let ca = SigningCa::new("root").unwrap();
    dps.put_group("g", signing(&ca)).await;
    let below = ca.intermediate("line 1").unwrap().intermediate("line 1 b").unwrap();
    for (id, identity) in [("a", ca.device("a").unwrap()), ("b", below.device("b").unwrap())] {
        let done = dps.with_certificate(id, &identity).provision().await;
        assert_eq!(done["registrationState"]["x509"]["enrollmentGroupId"], "g");
    }
}

#[tokio::test]
async fn a_group_may_enroll_an_intermediate_ca_whose_root_nobody_shows() {
    let dps = Dps::start().await;
    let root = SigningCa::new("root").unwrap();
    let line = root.intermediate("line 1").unwrap();
    dps.put_group("g", signing(&line)).await;
    dps.with_certificate("a", &line.device("a").unwrap()).provision().await;
    let other = root.intermediate("line 2").unwrap();
    assert_eq!(
        dps.with_certificate("a", &other.device("a").unwrap()).register().await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn certificates_that_do_not_prove_the_registration_id_are_refused() {
    let dps = Dps::start().await;
    let ca = SigningCa::new("root").unwrap();
    dps.put_group("g", signing(&ca)).await;
    // The same name and another key: only the signature tells them apart.
    let foreign = SigningCa::new("root").unwrap();
    let past = ca.device_with("dev", |params| params.not_after = rcgen::date_time_ymd(2021, 1, 1)).unwrap();
    let future = ca.device_with("dev", |params| params.not_before = rcgen::date_time_ymd(2090, 1, 1)).unwrap();
    let for_servers = ca
        .device_with("dev", |params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth])
        .unwrap();
    // A device's certificate must not do as a CA.
    let leaf = ca.device("leaf").unwrap();
    let mut by_leaf = SigningCa::from_pem(&leaf.chain_pem, &leaf.key_pem).unwrap().device("dev").unwrap();
    by_leaf.chain_pem.push_str(&leaf.chain_pem);
    let cases = [
        ("a foreign CA of the same name", foreign.device("dev").unwrap()),
        ("another common name", ca.device("dev2").unwrap()),
        ("expired", past),
        ("not valid yet", future),
        ("for servers only", for_servers),
        ("issued by a device", by_leaf),
    ];
    for (what, identity) in cases {
        let answer = dps.with_certificate("dev", &identity).register().await;
        assert_eq!(
            (answer.status, &answer.body["message"]),
            (StatusCode::UNAUTHORIZED, &json!("Invalid certificate.")),
            "{what}"
        );
    }
    dps.with_certificate("dev", &ca.device("dev").unwrap()).provision().await;
}

#[tokio::test]
async fn a_certificate_without_its_private_key_does_not_get_through_the_handshake() {
    let dps = Dps::start().await;
    let ca = SigningCa::new("root").unwrap();
    dps.put_group("g", signing(&ca)).await;
    let stolen = ca.device("dev").unwrap();
    let thief = SigningCa::new("thief").unwrap().device("dev").unwrap();
    // rustls' client refuses such a pair itself, so the resolver below hands it out unchecked.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    use rustls::pki_types::pem::PemObject as _;
    let chain = vec![rustls::pki_types::CertificateDer::from_pem_slice(stolen.chain_pem.as_bytes()).unwrap()];
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(thief.key_pem.as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    #[derive(Debug)]
    struct Unchecked(Arc<rustls::sign::CertifiedKey>);
    impl rustls::client::ResolvesClientCert for Unchecked {
        fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
        fn has_certs(&self) -> bool {
            true
        }
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(dps.running.ca_pem.as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Unchecked(Arc::new(rustls::sign::CertifiedKey::new(chain, key)))));
    let client = reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().build().unwrap();
    let url =
        format!("{}/{}/registrations/dev/register?api-version=2019-03-31", dps.running.url(), dps.running.id_scope);
    assert!(client.put(url).json(&json!({"registrationId": "dev"})).send().await.is_err());
    assert!(dps.running.seen().iter().all(|seen| !seen.path.contains("/register")));
}

#[tokio::test]
async fn an_individual_certificate_must_be_that_very_one() {
    let dps = Dps::start().await;
    let ca = SigningCa::new("root").unwrap();
    let (enrolled, renewed) = (ca.device("dev").unwrap(), ca.device("dev").unwrap());
    // The C SDK sends base64 of PEM.
    let certificate = STANDARD.encode(&enrolled.chain_pem);
    let attestation =
        json!({"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": certificate}}}});
    dps.put_individual("dev", json!({"attestation": attestation})).await;
    dps.with_certificate("dev", &enrolled).provision().await;
    assert_eq!(dps.with_certificate("dev", &renewed).register().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_disabled_enrollment_ends_in_the_status_disabled() {
    let dps = Dps::start().await;
    dps.put_individual("dev", json!({"attestation": key_attestation(), "provisioningStatus": "disabled"})).await;
    let done = dps.with_key("dev", &KEY).provision().await;
    assert_eq!((&done["status"], &done["registrationState"]["assignedHub"]), (&json!("disabled"), &Value::Null));
    assert!(dps.running.hub_devices().is_empty());
}

#[tokio::test]
async fn registering_again_keeps_the_hub_and_a_changed_policy_moves_the_device_with_its_data() {
    let dps = Dps::start().await;
    let put = |hub: &str, reprovision: Value| json!({"attestation": key_attestation(), "allocationPolicy": "static", "iotHubHostName": format!("{hub}.azure-devices.net"), "reprovisionPolicy": reprovision});
    let moving = json!({"updateHubAssignment": true, "migrateDeviceData": true});
    dps.put_individual("dev", put("hub-1", moving.clone())).await;
    let device = dps.with_key("dev", &KEY);
    for _ in 0..2 {
        let state = device.provision().await["registrationState"].clone();
        assert_eq!(
            (&state["assignedHub"], &state["substatus"]),
            (&json!("hub-1.azure-devices.net"), &json!("initialAssignment"))
        );
    }
    for (hub, policy, at, substatus) in [
        ("hub-2", moving, "hub-2", "deviceDataMigrated"),
        ("hub-1", json!({"updateHubAssignment": true, "migrateDeviceData": false}), "hub-1", "deviceDataReset"),
        ("hub-2", json!({"updateHubAssignment": false, "migrateDeviceData": false}), "hub-1", "deviceDataReset"),
    ] {
        let answer = dps.service(Method::PUT, "/enrollments/dev", &[("if-match", "*")], Some(put(hub, policy))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let state = device_state(&dps).await;
        assert_eq!(
            (&state["assignedHub"], &state["substatus"]),
            (&json!(format!("{at}.azure-devices.net")), &json!(substatus))
        );
        let devices = dps.running.hub_devices();
        assert_eq!(devices.len(), 1, "{devices:?}");
        assert!(devices[0].hub.starts_with(at));
    }
}

/// Registers and asks by status lookup, which has no poll limit.
async fn device_state(dps: &Dps) -> Value {
    let device = dps.with_key("dev", &KEY);
    assert_eq!(device.register().await.status, StatusCode::ACCEPTED);
    assert_eq!(device.look_up().await.body["status"], "assigning");
    device.look_up().await.body
}

#[tokio::test]
async fn geo_latency_takes_the_nearest_hub_and_without_hubs_the_registration_fails() {
    let dps = Dps::start_with(|config: &mut Config| {
        config.hubs = vec![
            Hub::new("far").with_latency(Duration::from_millis(90)),
            Hub::new("near").with_latency(Duration::from_millis(9)),
        ];
    })
    .await;
    dps.put_individual("dev", json!({"attestation": key_attestation(), "allocationPolicy": "geoLatency"})).await;
    assert_eq!(
        dps.with_key("dev", &KEY).provision().await["registrationState"]["assignedHub"],
        "near.azure-devices.net"
    );

    let dps = Dps::start_with(|config: &mut Config| config.hubs.clear()).await;
    dps.put_individual("dev", json!({"attestation": key_attestation()})).await;
    let done = dps.with_key("dev", &KEY).provision().await;
    assert_eq!(done["status"], "failed");
    assert!(done["registrationState"]["errorCode"].is_u64());
}

#[tokio::test]
async fn too_many_registrations_a_minute_are_throttled_with_retry_after_until_the_minute_is_over() {
    let now = Arc::new(AtomicI64::new(jiff::Timestamp::now().as_second()));
    let clock = Arc::clone(&now);
    let dps = Dps::start_with(move |config: &mut Config| {
        config.throttle_per_min = Some(2);
        config.clock =
            azure_emulator::Clock::from_fn(move || jiff::Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap());
    })
    .await;
    dps.put_individual("dev", json!({"attestation": key_attestation()})).await;
    let device = dps.with_key("dev", &KEY);
    assert_eq!(device.register().await.status, StatusCode::ACCEPTED);
    now.fetch_add(20, Ordering::SeqCst);
    assert_eq!(device.register().await.status, StatusCode::ACCEPTED);
    let throttled = device.register().await;
    assert_eq!((throttled.status, throttled.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("40")));
    assert_eq!(throttled.body["errorCode"], 429_001);
    now.fetch_add(40, Ordering::SeqCst);
    assert_eq!(device.register().await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_device_that_polls_more_than_five_times_in_ten_seconds_is_throttled() {
    let now = jiff::Timestamp::now();
    let dps = Dps::start_with(|config: &mut Config| {
        config.assigning_polls = 100;
        config.clock = azure_emulator::Clock::from_fn(move || now);
    })
    .await;
    dps.put_individual("dev", json!({"attestation": key_attestation()})).await;
    let device = dps.with_key("dev", &KEY);
    let operation_id = device.register().await.body["operationId"].as_str().unwrap().to_owned();
    for _ in 0..5 {
        assert_eq!(device.poll(&operation_id).await.status, StatusCode::ACCEPTED);
    }
    let throttled = device.poll(&operation_id).await;
    assert_eq!((throttled.status, throttled.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("10")));
}

#[tokio::test]
async fn malformed_and_misdirected_requests_get_azures_errors() {
    let dps = Dps::start().await;
    dps.put_individual("dev", json!({"attestation": key_attestation()})).await;
    let device = dps.with_key("dev", &KEY);
    let mismatch = device.call(Method::PUT, "/register", json!({"registrationId": "dev2"})).await.unwrap();
    assert_eq!(mismatch.status, StatusCode::BAD_REQUEST);
    assert_eq!(device.call(Method::PUT, "/register", json!([])).await.unwrap().status, StatusCode::BAD_REQUEST);
    assert_eq!(device.poll("4.0.0").await.status, StatusCode::NOT_FOUND);
    assert_eq!(device.look_up().await.body["errorCode"], 404_202);
    assert_eq!(
        device.call(Method::DELETE, "/register", json!({})).await.unwrap().status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    let client = common::client(&dps.running.ca_pem, None);
    let old =
        format!("{}/{}/registrations/dev/register?api-version=2017-11-15", dps.running.url(), dps.running.id_scope);
    let old = client.put(old).body("{}").send().await.unwrap();
    assert_eq!(old.status(), StatusCode::BAD_REQUEST);
    assert!(old.text().await.unwrap().contains("Unknown api version"));
    let scope = format!("{}/0neFFFFFFFF/registrations/dev/register?{}", dps.running.url(), common::DEVICE);
    assert_eq!(client.put(scope).body("{}").send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn faults_meet_the_next_requests_they_cover_and_then_are_gone() {
    let dps = Dps::start().await;
    dps.put_individual("dev", json!({"attestation": key_attestation()})).await;
    let device = dps.with_key("dev", &KEY);
    let faults = dps.running.faults();

    faults.throttle(On::Register, Some(Duration::from_secs(7)), 1);
    faults.inject(On::DeviceApi, Fault::Status { status: 503, retry_after: None }, 1);
    let throttled = device.register().await;
    assert_eq!((throttled.status, throttled.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("7")));
    let unavailable = device.register().await;
    assert_eq!(
        (unavailable.status, &unavailable.body["errorCode"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!(503_001))
    );

    faults.inject(On::Register, Fault::RefuseCredential, 1);
    assert_eq!(device.register().await.status, StatusCode::UNAUTHORIZED);

    faults.inject(On::Register, Fault::Reset, 1);
    assert!(device.call(Method::PUT, "/register", json!({"registrationId": "dev"})).await.is_err());
    assert_eq!(device.look_up().await.status, StatusCode::NOT_FOUND, "nothing was done");
    faults.inject(On::Register, Fault::ResetAfter, 1);
    assert!(device.call(Method::PUT, "/register", json!({"registrationId": "dev"})).await.is_err());
    assert_eq!(device.look_up().await.status, StatusCode::OK, "it was done");

    faults.inject(On::Register, Fault::FailAssignment { error_code: 400_207, message: "no".into() }, 1);
    let done = device.provision().await;
    assert_eq!((&done["status"], &done["registrationState"]["errorCode"]), (&json!("failed"), &json!(400_207)));

    faults.inject(On::Lookup, Fault::Garbage, 1);
    assert!(device.look_up().await.body.is_string());

    faults.inject(On::Register, Fault::Slow(Duration::from_millis(300)), 1);
    let before = std::time::Instant::now();
    assert_eq!(device.register().await.status, StatusCode::ACCEPTED);
    assert!(before.elapsed() >= Duration::from_millis(300));
    assert_eq!(faults.waiting(), 0);
}
