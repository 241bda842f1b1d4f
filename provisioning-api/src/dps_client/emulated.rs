//! The client against tests/azure-emulator.

use std::time::Duration;

use azure_emulator::{Config, Emulator, Fault, On, Running};
use provisioning_api_contract::InstanceState;
use tempfile::TempDir;

use super::bulk::BulkMode;
use super::*;
use crate::config::{DpsCredential, EntraApp, ServiceKey};

const SECRET: &str = "the-application-secret";

fn instance(running: &Running, credential: DpsCredential) -> InstanceConfig {
    let toml = format!(
        "[[instance]]\nname = 'one'\nid_scope = '{}'\nservice_endpoint = '{}'\nkey_file = 'key'\n",
        running.id_scope,
        running.url()
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), &running.service_key).unwrap();
    let file = folder.path().join("dps.toml");
    std::fs::write(&file, toml).unwrap();
    let read = crate::config::read_instances(&file).unwrap().remove(0);
    assert_eq!(read.state, InstanceState::Active);
    InstanceConfig { ca_pem: Some(running.ca_pem.clone()), credential, ..read }
}

fn shared_access(running: &Running) -> DpsCredential {
    DpsCredential::SharedAccess { policy: Config::POLICY.into(), key: ServiceKey::new(&running.service_key) }
}

fn limits() -> Limits {
    Limits { dps_attempt: Duration::from_secs(1), dps_budget: Duration::from_secs(6), ..Limits::default() }
}

async fn emulator(change: impl FnOnce(&mut Config)) -> (Running, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    change(&mut config);
    (Emulator::start(config).await.unwrap(), folder)
}

async fn client() -> (DpsClient, Running, TempDir) {
    let (running, folder) = emulator(|_| {}).await;
    let client = DpsClient::new(&instance(&running, shared_access(&running)), &limits()).unwrap();
    (client, running, folder)
}

fn enrollment(id: &str) -> Value {
    json!({ "registrationId": id, "attestation": { "type": "symmetricKey" } })
}

fn requests(running: &Running) -> usize {
    running.seen().len()
}

#[tokio::test]
async fn a_version_that_another_one_changed_is_neither_replaced_nor_removed() {
    let (client, _running, _folder) = client().await;
    let made = client.put_enrollment("a", &enrollment("a"), Expect::Nothing).await.unwrap();
    let twice = client.put_enrollment("a", &enrollment("a"), Expect::Nothing).await;
    assert!(matches!(twice, Err(DpsError::Conflict)), "{twice:?}");
    let changed = client.put_enrollment("a", &made.document, Expect::Version(&made.etag)).await.unwrap();
    assert_ne!(made.etag, changed.etag);
    let stale = client.put_enrollment("a", &made.document, Expect::Version(&made.etag)).await;
    assert!(matches!(stale, Err(DpsError::Conflict)), "{stale:?}");
    let stale = client.delete_enrollment("a", Some(&made.etag)).await;
    assert!(matches!(stale, Err(DpsError::Conflict)), "{stale:?}");
    assert_eq!(client.enrollment("a").await.unwrap().unwrap().etag, changed.etag);
    assert!(client.delete_enrollment("a", Some(&changed.etag)).await.unwrap());
    assert!(!client.delete_enrollment("a", None).await.unwrap());
    assert!(client.enrollment("a").await.unwrap().is_none());
}

#[tokio::test]
async fn many_enrollments_go_ten_in_a_request_and_those_that_fail_are_named() {
    let (client, running, _folder) = client().await;
    let many: Vec<_> = (0..25).map(|index| enrollment(&format!("d-{index}"))).collect();
    assert_eq!(client.bulk(BulkMode::Create, &many).await.unwrap(), []);
    assert_eq!(requests(&running), 3);
    let some = [enrollment("d-24"), enrollment("new")];
    let failures = client.bulk(BulkMode::Create, &some).await.unwrap();
    assert_eq!(failures.iter().map(|failure| failure.registration_id.as_str()).collect::<Vec<_>>(), ["d-24"]);
    assert_eq!(failures[0].error_code / 1000, 409);
    assert_eq!(client.bulk(BulkMode::Delete, &many).await.unwrap(), []);
    assert!(client.enrollment("d-3").await.unwrap().is_none());
    assert!(client.enrollment("new").await.unwrap().is_some());
}

#[tokio::test]
async fn throttling_faults_slowness_and_resets_are_waited_out() {
    let (client, running, _folder) = client().await;
    let soon = Some(Duration::from_secs(1));
    for (fault, answered) in [
        (Fault::Status { status: 429, retry_after: soon }, 2),
        (Fault::Status { status: 500, retry_after: None }, 2),
        (Fault::Reset, 2),
        // The emulator does not count what was given up before its answer.
        (Fault::Slow(Duration::from_millis(1500)), 1),
    ] {
        running.faults().inject(On::ServiceApi, fault.clone(), 1);
        let before = requests(&running);
        assert!(client.group("g").await.unwrap().is_none(), "{fault:?}");
        assert_eq!(requests(&running) - before, answered, "{fault:?}");
        assert_eq!(running.faults().waiting(), 0);
    }
    // Its answer was lost: the second try finds it made, which is a conflict for whoever wanted to make it.
    running.faults().inject(On::Enrollments, Fault::ResetAfter, 1);
    let lost = client.put_enrollment("b", &enrollment("b"), Expect::Nothing).await;
    assert!(matches!(lost, Err(DpsError::Conflict)), "{lost:?}");
    assert!(client.enrollment("b").await.unwrap().is_some());
}

#[tokio::test]
async fn an_instance_that_is_down_is_left_alone_and_callers_are_told_at_once() {
    let (client, running, _folder) = client().await;
    running.faults().inject(On::ServiceApi, Fault::Status { status: 503, retry_after: Some(Duration::ZERO) }, 100);
    let mut told = None;
    for _ in 0..4 {
        let error = client.group("g").await.unwrap_err();
        assert!(error.is_transient());
        if let DpsError::CircuitOpen { retry_after } = error {
            told = Some(retry_after);
        }
    }
    assert!(told.is_some_and(|wait| wait <= Duration::from_secs(20)), "{told:?}");
    assert_eq!(client.circuit(), provisioning_api_contract::Circuit::Open);
    let before = requests(&running);
    assert_eq!(before, 10, "no request after the one that opened it");
    assert!(client.group("g").await.is_err());
    assert_eq!(requests(&running), before);
}

#[tokio::test]
async fn the_operations_limit_is_never_passed() {
    let (running, _folder) = emulator(|_| {}).await;
    let limited = InstanceConfig { operations_per_minute: 20, ..instance(&running, shared_access(&running)) };
    let client = DpsClient::new(&limited, &limits()).unwrap();
    let mut refused = 0;
    for _ in 0..6 {
        if let Err(error) = client.group("g").await {
            assert!(matches!(error, DpsError::AtLimit { retry_after } if retry_after > Duration::ZERO), "{error:?}");
            refused += 1;
        }
    }
    assert!(refused >= 3, "a tenth at once, and the next one is more than an attempt away: {refused}");
    assert_eq!(requests(&running) + refused, 6);
}

#[tokio::test]
async fn an_application_of_entra_id_is_as_good_as_a_key_and_a_token_that_ended_is_replaced() {
    let app = |secret: &str| azure_emulator::EntraApp {
        tenant: "directory".into(),
        client_id: "application".into(),
        client_secret: secret.into(),
        token_lifetime: Duration::from_secs(3600),
    };
    let (running, _folder) = emulator(|config| config.entra = Some(app(SECRET))).await;
    let entra = |secret: &str| {
        DpsCredential::Entra(EntraApp {
            authority: running.url().parse().unwrap(),
            tenant: "directory".into(),
            client_id: "application".into(),
            client_secret: secret.into(),
        })
    };
    let config = instance(&running, entra(SECRET));
    assert!(!format!("{config:?}").contains(SECRET));
    let client = DpsClient::new(&config, &limits()).unwrap();
    assert!(client.group("g").await.unwrap().is_none());
    assert!(client.group("g").await.unwrap().is_none());
    assert_eq!(requests(&running), 3, "one token for both");
    running.revoke_entra_tokens();
    assert!(client.group("g").await.unwrap().is_none());
    assert_eq!(requests(&running), 6, "refused, a new token, and once more");

    // What was proven once is not proven again, and the group then refers to the instance's own certificate.
    let resource = crate::config::ResourceConfig {
        endpoint: running.url().parse().unwrap(),
        subscription: "subscription".into(),
        resource_group: "group".into(),
        name: "dps".into(),
    };
    let client = DpsClient::new(&InstanceConfig { resource: Some(resource), ..config.clone() }, &limits()).unwrap();
    let (authority, _) = crate::authority::Authority::make().unwrap();
    let before = client.create_group("g", GroupAttestation::CaReference { name: "ca" }).await;
    assert!(matches!(before, Err(DpsError::Rejected { status: 400 })), "{before:?}");
    let (other, _) = crate::authority::Authority::make().unwrap();
    let sign = |code: &str| other.sign_verification(code);
    let foreign = client.prove_possession("ca", authority.certificate_der(), sign).await;
    assert!(
        matches!(foreign, Err(DpsError::Rejected { status: 400 })),
        "another CA's signature proves nothing: {foreign:?}"
    );
    let sign = |code: &str| authority.sign_verification(code);
    for _ in 0..2 {
        assert!(client.prove_possession("ca", authority.certificate_der(), sign).await.unwrap());
    }
    assert_eq!(running.seen().iter().filter(|seen| seen.path.ends_with("/verify") && seen.status == 200).count(), 1);
    client.create_group("g", GroupAttestation::CaReference { name: "ca" }).await.unwrap();

    let stranger = DpsClient::new(&instance(&running, entra("guess")), &limits()).unwrap();
    let error = stranger.group("g").await.unwrap_err();
    assert!(matches!(error, DpsError::SignIn) && !error.is_transient(), "{error:?}");
}
