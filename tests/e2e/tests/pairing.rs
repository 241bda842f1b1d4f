//! The whole pairing, from a label to an assigned hub, with every part real but the radio.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use lowtouch_device::sim::{Attestation, Security, SimLink, Wifi};
use lowtouch_installer::pairing::WifiCredentials;
use lowtouch_installer::{ErrorCode, PairingEvent, Warning};
use lowtouch_test_support::{CERTIFICATE_POLICY, World, any_port, outcome, request, swtpm};
use provisioning_api::InstanceConfig;

#[tokio::test]
async fn a_device_is_paired_over_http_with_the_certificate_for_its_own_key() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;

    let paired = outcome(world.installer("app").await.pair(request(&device))).await.unwrap();

    assert_eq!(paired.registration_id, device.registration_id());
    assert_eq!(paired.attestation, provisioning_api_contract::Attestation::X509);
    let identities = world.hub_devices(device.registration_id());
    assert_eq!(identities.len(), 1, "one identity in one hub");
    assert_eq!(identities[0].hub, paired.hub);
}

#[tokio::test]
async fn a_device_is_paired_over_a_serial_line_with_a_derived_symmetric_key() {
    let world = World::start().await;
    let mut config = world.device_config(SimLink::Pty);
    config.attestations = vec![Attestation::SymmetricKey];
    let device = world.device(config).await;

    let paired = outcome(world.installer("app").await.pair(request(&device))).await.unwrap();

    assert_eq!(paired.attestation, provisioning_api_contract::Attestation::SymmetricKey);
    assert_eq!(world.hub_devices(device.registration_id())[0].hub, paired.hub);
}

#[tokio::test]
async fn a_device_is_paired_over_the_simulated_radio() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::BleSim(any_port()))).await;

    let paired = outcome(world.installer("app").await.pair(request(&device))).await.unwrap();

    assert_eq!(world.hub_devices(device.registration_id())[0].hub, paired.hub);
}

/// Connect to commit over BLE: round trips with a symmetric key and with a certificate chain.
async fn round_trips(world: &World) -> [u64; 2] {
    let installer = world.installer("app").await;
    let mut counted = [0; 2];
    for (count, attestation) in counted.iter_mut().zip([Attestation::SymmetricKey, Attestation::X509]) {
        let mut config = world.device_config(SimLink::BleSim(any_port()));
        config.attestations = vec![attestation];
        config.dps_ca_pem = Some(world.dps_roots());
        let device = world.device(config).await;
        *count = outcome(installer.pair(request(&device))).await.unwrap().round_trips_to_commit;
    }
    counted
}

#[tokio::test]
async fn from_connect_to_commit_a_symmetric_key_takes_six_exchanges_and_a_certificate_at_most_eight() {
    let world = World::with_instances(|instance| instance.ca_in_firmware = true).await;
    let [symmetric_key, certificate] = round_trips(&world).await;
    assert_eq!(symmetric_key, 6);
    assert!(certificate <= 8, "{certificate}");
}

#[tokio::test]
async fn handing_the_endpoints_ca_over_costs_one_exchange_more() {
    let [symmetric_key, certificate] = round_trips(&World::start().await).await;
    assert_eq!(symmetric_key, 7);
    assert!(certificate <= 8, "{certificate}");
}

#[tokio::test]
async fn a_device_without_a_network_gets_wifi_first() {
    let world = World::start().await;
    let mut config = world.device_config(SimLink::Http(any_port()));
    config.wifi = Some(Wifi { ssid: "Cold room 3".into(), passphrase: "correct horse".to_owned().into() });
    let device = world.device(config).await;
    let installer = world.installer("app").await;

    let without = outcome(installer.pair(request(&device))).await.unwrap_err();
    assert_eq!(without.code, ErrorCode::NetworkNeeded);

    let mut wrong = request(&device);
    wrong.wifi = Some(WifiCredentials::new("Cold room 3", "wrong horse".to_owned()));
    assert_eq!(outcome(installer.pair(wrong)).await.unwrap_err().code, ErrorCode::WifiWrongPassword);

    let mut right = request(&device);
    right.wifi = Some(WifiCredentials::new("Cold room 3", "correct horse".to_owned()));
    outcome(installer.pair(right)).await.unwrap();
}

#[tokio::test]
async fn devices_are_spread_over_the_dps_instances() {
    let world = World::start().await;
    let installer = world.installer("app").await;
    let mut instances = Vec::new();
    for _ in 0..4 {
        let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
        instances.push(outcome(installer.pair(request(&device))).await.unwrap().dps_instance);
    }
    instances.sort();
    assert_eq!(instances, ["dps-a", "dps-a", "dps-b", "dps-b"]);
}

#[tokio::test]
async fn a_paired_device_that_is_paired_again_stays_where_it_is() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    let installer = world.installer("app").await;
    let first = outcome(installer.pair(request(&device))).await.unwrap();
    let second = outcome(installer.pair(request(&device))).await.unwrap();
    assert_eq!((first.hub, first.dps_instance), (second.hub, second.dps_instance));
    assert_eq!(world.hub_devices(device.registration_id()).len(), 1);
}

#[tokio::test]
async fn the_app_says_that_this_firmware_does_not_check_its_owner() {
    let world = World::start().await;
    let mut config = world.device_config(SimLink::Http(any_port()));
    config.checks_owner = false;
    let device = world.device(config).await;
    let pairing = world.installer("app").await.pair(request(&device));
    let mut events = pairing.events();
    outcome(pairing).await.unwrap();
    let mut warned = false;
    while let Some(event) = events.next().await {
        warned |= matches!(event, PairingEvent::Warning { warning: Warning::OwnerNotChecked });
    }
    assert!(warned);
}

#[tokio::test]
async fn devices_in_the_field_with_older_security_are_paired_and_named() {
    let world = World::start().await;
    let installer = world.installer("app").await;
    for (security, warning) in
        [(Security::V1, Warning::SessionWithoutIntegrity), (Security::V2 { patch_ver: 0 }, Warning::SessionNonceReuse)]
    {
        let mut config = world.device_config(SimLink::Http(any_port()));
        config.security = security;
        let device = world.device(config).await;
        let pairing = installer.pair(request(&device));
        let mut events = pairing.events();
        outcome(pairing).await.unwrap();
        let mut warnings = Vec::new();
        while let Some(event) = events.next().await {
            if let PairingEvent::Warning { warning } = event {
                warnings.push(warning);
            }
        }
        assert!(warnings.contains(&warning), "{security:?}: {warnings:?}");
    }
}

#[tokio::test]
async fn security_0_needs_an_explicit_flag() {
    let world = World::start().await;
    let mut config = world.device_config(SimLink::Http(any_port()));
    config.security = Security::V0;
    let device = world.device(config).await;
    let installer = world.installer("app").await;
    assert_eq!(outcome(installer.pair(request(&device))).await.unwrap_err().code, ErrorCode::SecurityNoneRefused);
    let mut allowed = request(&device);
    allowed.security.allow_none = true;
    outcome(installer.pair(allowed)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_dps_issues_certificates_the_device_is_told_to_ask_and_shows_its_hub_what_it_got() {
    let issuing = |instance: &mut InstanceConfig| instance.certificate_policy = Some(CERTIFICATE_POLICY.into());
    let world = World::with_instances(issuing).await;
    for attestation in [Attestation::X509, Attestation::SymmetricKey] {
        for able in [true, false] {
            let mut config = world.device_config(SimLink::Http(any_port()));
            config.attestations = vec![attestation];
            config.certificate_from_dps = able;
            let device = world.device(config).await;
            let installer = world.installer(device.registration_id()).await;
            let paired = outcome(installer.pair(request(&device))).await.unwrap();
            let known = world.hub_devices(device.registration_id());
            assert_eq!((known.len(), &known[0].hub), (1, &paired.hub));
            let shown = device.hub().await.unwrap().certificate_chain;
            assert_eq!(known[0].certificate.is_some(), able, "{attestation:?}");
            if able {
                assert_eq!(known[0].certificate.as_ref(), shown.first());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_paired_by_its_tpm_and_another_tpm_is_not_taken_for_it() {
    let (Some(tpm), Some(other)) = (swtpm().await, swtpm().await) else { return };
    let world = World::start().await;
    let mut config = world.device_config(SimLink::Http(any_port()));
    config.attestations = vec![Attestation::Tpm];
    config.tpm = Some(tpm.at.clone());
    let device = world.device(config.clone()).await;
    let installer = world.installer("app").await;
    let paired = outcome(installer.pair(request(&device))).await.unwrap();
    assert_eq!(paired.attestation, provisioning_api_contract::Attestation::Tpm);
    let known = world.hub_devices(device.registration_id());
    assert_eq!((known.len(), &known[0].hub), (1, &paired.hub));
    assert!(known[0].tpm_key.is_some());
    device.stop().await;

    // The same name and label with another TPM in it.
    config.tpm = Some(other.at.clone());
    config.state_dir = world.data_folder("clone");
    let clone = lowtouch_device::sim::Simulated::start(config).await.unwrap();
    let refused = outcome(world.installer("another").await.pair(request(&clone))).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::AttestationMismatch);
}
