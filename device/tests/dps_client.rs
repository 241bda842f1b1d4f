//! The DPS client against a scripted endpoint.
// Helpers of tests may panic as tests do; clippy's own exception sees only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::Method;
use common::endpoint::{Endpoint, assigned_state, assigning, endpoint, error, ok};
use lowtouch_device::dps_client::{
    Assigned, DpsClient, DpsCredential, FailureKind, Progress, Registration, RegistrationFailure,
};
use lowtouch_device::faults::{FaultPlan, KillPoint};
use lowtouch_device::power::Power;
use lowtouch_device::retry::RetryPolicy;
use secrecy::SecretSlice;
use serde_json::json;

fn quick() -> RetryPolicy {
    RetryPolicy {
        base: Duration::from_millis(5),
        cap: Duration::from_millis(20),
        retries: 3,
        budget: Duration::from_secs(8),
        throttle_cap: Duration::from_secs(1),
    }
}

fn registration(endpoint: &Endpoint) -> Registration {
    Registration {
        id_scope: "0ne00000001".into(),
        global_device_endpoint: endpoint.addr.to_string(),
        registration_id: "dev:1".into(),
        credential: DpsCredential::SymmetricKey(SecretSlice::from(vec![7; 32])),
        csr: None,
        endpoint_ca: vec![endpoint.ca.clone()],
    }
}

async fn register(registration: &Registration) -> Result<Assigned, RegistrationFailure> {
    let power = Power::new(FaultPlan::default()).switch_on();
    let policy = quick();
    DpsClient::new(registration, &policy, &power)?.register(|_| {}).await
}

fn assigned() -> Assigned {
    Assigned {
        hub: "hub-1.azure-devices.net".into(),
        device_id: "dev:1".into(),
        substatus: "initialAssignment".into(),
        issued_chain: Vec::new(),
    }
}

#[tokio::test]
async fn an_assignment_that_exists_is_used_and_costs_one_request() {
    let endpoint = endpoint("127.0.0.1", vec![ok(assigned_state())]).await;
    assert_eq!(register(&registration(&endpoint)).await.unwrap(), assigned());
    let seen = endpoint.script.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, Method::POST);
    assert_eq!(seen[0].path, "/0ne00000001/registrations/dev:1?api-version=2021-06-01");
    assert_eq!(seen[0].body, json!({ "registrationId": "dev:1" }));
}

#[tokio::test]
async fn a_device_that_dps_has_not_seen_registers_and_polls_as_retry_after_says() {
    let done = json!({ "operationId": "4.op", "status": "assigned", "registrationState": assigned_state() });
    let answers = vec![error(404, 404_201), assigning(Some("1")), assigning(Some("1")), ok(done)];
    let endpoint = endpoint("127.0.0.1", answers).await;
    let told = Mutex::new(Vec::new());
    let (policy, power) = (quick(), Power::new(FaultPlan::default()).switch_on());
    let registration = registration(&endpoint);
    let started = Instant::now();
    let client = DpsClient::new(&registration, &policy, &power).unwrap();
    let result = client.register(|progress| told.lock().unwrap().push(progress)).await;
    assert_eq!(result.unwrap(), assigned());
    assert!(started.elapsed() >= Duration::from_secs(2), "two answers said to wait a second");
    use Progress::{Connecting, Registering};
    assert_eq!(*told.lock().unwrap(), [Connecting(1), Connecting(2), Registering(0), Registering(1)]);
    let seen = endpoint.script.seen.lock().unwrap().clone();
    let calls: Vec<_> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    assert_eq!(
        calls,
        [
            "POST /0ne00000001/registrations/dev:1?api-version=2021-06-01",
            "PUT /0ne00000001/registrations/dev:1/register?api-version=2021-06-01",
            "GET /0ne00000001/registrations/dev:1/operations/4.op?api-version=2021-06-01",
            "GET /0ne00000001/registrations/dev:1/operations/4.op?api-version=2021-06-01",
        ]
    );
    assert!(seen.iter().all(|seen| {
        seen.authorization.as_ref().is_some_and(|token| {
            token.starts_with("SharedAccessSignature sr=0ne00000001%2Fregistrations%2Fdev%3A1&sig=")
                && token.ends_with("&skn=registration")
        })
    }));
}

#[tokio::test]
async fn what_dps_refuses_for_good_is_classified_and_not_repeated() {
    let failed = |status: &str| {
        let state = json!({ "status": status, "errorCode": 400_207, "errorMessage": "no hub left" });
        ok(json!({ "operationId": "4.op", "status": status, "registrationState": state }))
    };
    let table = [
        (error(401, 401_002), FailureKind::Credential, 401_002),
        (error(403, 403_002), FailureKind::Disabled, 403_002),
        (error(404, 404_201), FailureKind::NotFound, 404_201),
        (error(400, 400_004), FailureKind::Assignment, 400_004),
        (failed("failed"), FailureKind::Assignment, 400_207),
        (failed("disabled"), FailureKind::Disabled, 400_207),
    ];
    for (answer, kind, code) in table {
        let endpoint = endpoint("127.0.0.1", vec![error(404, 404_201), answer]).await;
        let failure = register(&registration(&endpoint)).await.unwrap_err();
        assert_eq!((failure.kind, failure.dps_error_code), (kind, code), "{failure}");
        assert!(failure.text.contains("said DPS") || failure.text.contains("no hub left"), "{failure}");
        assert_eq!(endpoint.script.seen.lock().unwrap().len(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn a_throttled_device_waits_as_it_is_told_and_then_succeeds() {
    let answers = vec![(429, Some("1"), String::new()), ok(assigned_state())];
    let endpoint = endpoint("127.0.0.1", answers).await;
    let started = Instant::now();
    assert_eq!(register(&registration(&endpoint)).await.unwrap(), assigned());
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_service_in_trouble_is_asked_a_few_times_and_then_given_up() {
    let endpoint = endpoint("127.0.0.1", vec![error(503, 0)]).await;
    let failure = register(&registration(&endpoint)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(endpoint.script.seen.lock().unwrap().len(), 4, "one try and three more");
}

#[tokio::test]
async fn an_answer_that_asks_to_wait_past_the_budget_ends_the_registration_at_once() {
    let endpoint = endpoint("127.0.0.1", vec![(503, Some("3600"), String::new())]).await;
    let started = Instant::now();
    assert_eq!(register(&registration(&endpoint)).await.unwrap_err().kind, FailureKind::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_captive_portal_is_not_taken_for_dps() {
    for answer in
        [(200, None, "<html>log in</html>".to_owned()), (302, None, String::new()), (200, None, "x".repeat(100_000))]
    {
        let endpoint = endpoint("127.0.0.1", vec![answer]).await;
        assert_eq!(register(&registration(&endpoint)).await.unwrap_err().kind, FailureKind::Unreachable);
        let seen = endpoint.script.seen.lock().unwrap().clone();
        assert!(seen.iter().all(|seen| seen.path.starts_with("/0ne00000001/")), "a redirect was followed");
    }
}

#[tokio::test]
async fn nobody_at_the_endpoint_is_unreachable() {
    let endpoint = endpoint("127.0.0.1", vec![ok(assigned_state())]).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registration = Registration { global_device_endpoint: closed.to_string(), ..registration(&endpoint) };
    let failure = register(&registration).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.text.to_lowercase().contains("refused"), "{failure}");
}

#[tokio::test]
async fn an_endpoint_that_is_not_trusted_or_has_another_name_is_a_tls_failure_and_sees_nothing() {
    let untrusted = endpoint("127.0.0.1", vec![ok(assigned_state())]).await;
    let without_ca = Registration { endpoint_ca: Vec::new(), ..registration(&untrusted) };
    assert_eq!(register(&without_ca).await.unwrap_err().kind, FailureKind::Tls);
    let misnamed = endpoint("dps.example.com", vec![ok(assigned_state())]).await;
    let failure = register(&registration(&misnamed)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Tls, "{failure}");
    assert!(untrusted.script.seen.lock().unwrap().is_empty());
    assert!(misnamed.script.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_is_more_than_a_host_is_refused_before_anything_is_sent() {
    let real = endpoint("127.0.0.1", vec![ok(assigned_state())]).await;
    for bad in ["", "host/path", "user@host", "host?x", "http://host"] {
        let registration = Registration { global_device_endpoint: bad.into(), ..registration(&real) };
        assert_eq!(register(&registration).await.unwrap_err().kind, FailureKind::Unreachable, "{bad}");
    }
}

#[tokio::test]
async fn a_device_that_loses_power_before_a_request_sends_nothing() {
    let endpoint = endpoint("127.0.0.1", vec![error(404, 404_201), assigning(None)]).await;
    let power = Power::new(FaultPlan::kill_once(KillPoint::BeforeDpsRequest(2), None)).switch_on();
    let (registration, policy) = (registration(&endpoint), quick());
    let client = DpsClient::new(&registration, &policy, &power).unwrap();
    let mut on = power.watch();
    tokio::select! {
        _ = client.register(|_| {}) => panic!("a dead device has no result"),
        off = on.wait_for(|on| !on) => assert!(off.is_ok()),
    }
    assert_eq!(endpoint.script.seen.lock().unwrap().len(), 1);
}
