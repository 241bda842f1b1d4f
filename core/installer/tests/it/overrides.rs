//! Settings that replace a part of what the API gave.

use lowtouch_handoff::dps_config::Attestation::SymmetricKey;
use lowtouch_installer::fault::Faults;
use lowtouch_installer::pairing::Overrides;
use lowtouch_installer::{Config, ErrorCode, Installer, PairingEvent, Warning};
use provisioning_api_contract as wire;

use crate::fake::{FakeDevice, StubApi, Trouble, code, request};

const GIVEN: &str = "0ne0000000A";
const SENT: &str = "0ne0000000B";

async fn installer(api: std::sync::Arc<StubApi>, overrides: Overrides) -> (tempfile::TempDir, Installer) {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    faults.virtual_time();
    let config = Config { faults, overrides, ..Config::new(dir.path()) };
    let installer = Installer::with_api(config, api).await.unwrap();
    (dir, installer)
}

fn scope() -> Overrides {
    Overrides { id_scope: Some(SENT.into()), global_device_endpoint: None }
}

#[tokio::test(start_paused = true)]
async fn an_id_scope_of_the_settings_is_sent_warned_of_and_kept_apart_from_what_the_api_gave() {
    let overrides = Overrides { global_device_endpoint: Some("dps.plant.example:8443".into()), ..scope() };
    let (_dir, installer) = installer(StubApi::new(wire::Attestation::SymmetricKey), overrides).await;
    let device = FakeDevice::new(&[SymmetricKey]);
    let pairing = installer.pair_over(request(2), device.link(Trouble::None));
    let mut events = pairing.events();
    let paired = pairing.outcome().await.unwrap();
    let (config, _) = device.in_force().unwrap();
    assert_eq!((config.id_scope.as_str(), paired.id_scope.as_str()), (SENT, SENT));
    assert_eq!(config.global_device_endpoint, "dps.plant.example:8443");

    let (mut allocated, mut warnings) = (None, Vec::new());
    while let Some(event) = events.next().await {
        match event {
            PairingEvent::Allocated { id_scope, .. } => allocated = Some(id_scope),
            PairingEvent::Warning { warning } => warnings.push(warning),
            _ => {}
        }
    }
    assert_eq!(allocated.as_deref(), Some(GIVEN), "the event says what the API gave");
    assert!(warnings.contains(&Warning::IdScopeOverridden { given: GIVEN.into(), sent: SENT.into() }), "{warnings:?}");
    let endpoint = |warning: &Warning| matches!(warning, Warning::EndpointOverridden { sent, .. } if sent.starts_with("dps.plant"));
    assert!(warnings.iter().any(endpoint), "{warnings:?}");

    let entry = installer.journal().show(paired.handoff_id).await.unwrap();
    let (given, sent) = (entry.given.unwrap(), entry.sent.unwrap());
    assert_eq!((given.id_scope.as_str(), sent.id_scope.as_str()), (GIVEN, SENT));
    assert_eq!(sent.global_device_endpoint, "dps.plant.example:8443");
    assert_ne!(given.global_device_endpoint, sent.global_device_endpoint);
}

#[tokio::test(start_paused = true)]
async fn without_overrides_or_with_the_same_values_nothing_is_warned_of_and_the_facts_agree() {
    let same = Overrides { id_scope: Some(GIVEN.into()), global_device_endpoint: None };
    for overrides in [Overrides::default(), same] {
        let (_dir, installer) = installer(StubApi::new(wire::Attestation::SymmetricKey), overrides).await;
        let pairing = installer.pair_over(request(2), FakeDevice::new(&[SymmetricKey]).link(Trouble::None));
        let mut events = pairing.events();
        let paired = pairing.outcome().await.unwrap();
        let entry = installer.journal().show(paired.handoff_id).await.unwrap();
        assert_eq!(entry.given.unwrap().id_scope, entry.sent.unwrap().id_scope);
        while let Some(event) = events.next().await {
            let overridden = |warning: &Warning| {
                matches!(warning, Warning::IdScopeOverridden { .. } | Warning::EndpointOverridden { .. })
            };
            assert!(!matches!(&event, PairingEvent::Warning { warning } if overridden(warning)), "{event:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_api_is_not_asked_for_a_device_that_was_sent_elsewhere() {
    let api = StubApi::new(wire::Attestation::SymmetricKey);
    // What the API finds in its own instance, for example of an earlier life of this device.
    *api.dps.lock().unwrap() = Some(wire::DpsRegistration {
        status: "assigned".into(),
        assigned_hub: Some("another-hub".into()),
        device_id: Some("device-1".into()),
        last_updated: None,
    });
    let (_dir, installer) = installer(api, scope()).await;
    let pairing = installer.pair_over(request(2), FakeDevice::new(&[SymmetricKey]).link(Trouble::GoneAfter(5)));
    assert_eq!(code(pairing.outcome().await), ErrorCode::LinkLost);
}
