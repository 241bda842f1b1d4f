//! A device whose certificate of the company's CA comes to its end renews it by itself, and DPS takes the new one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::time::Duration;

use lowtouch_device::sim::{ApiAddress, Attestation, Running, SimLink};
use lowtouch_test_support::{World, any_port, outcome, request};
use provisioning_api::{Limits, Options};

/// A device renews at two thirds of this, and the test sees two of them.
const LIFE: Duration = Duration::from_secs(20);

/// What the device shows its hub, as soon as it is another certificate than these.
async fn shows_another(device: &Running, than: &[Vec<u8>]) -> Vec<u8> {
    let waiting = async {
        loop {
            let hub = device.hub().await;
            if let Some(leaf) = hub.and_then(|hub| hub.certificate_chain.into_iter().next())
                && !than.contains(&leaf)
            {
                return leaf;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(LIFE * 3, waiting).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_renews_its_certificate_before_it_ends_and_connects_with_the_new_one_after_a_restart() {
    let limits = Limits { certificate_validity: LIFE, ..Limits::default() };
    let world = World::with(|_| {}, Options { limits, ..Options::default() }).await;
    let mut config = world.device_config(SimLink::Http(any_port()));
    config.attestations = vec![Attestation::X509];
    config.renewal_api =
        Some(ApiAddress { url: world.api.url.parse().unwrap(), ca_pem: Some(world.api.ca_pem.clone()) });
    let device = world.device(config.clone()).await;
    let paired = outcome(world.installer("app").await.pair(request(&device))).await.unwrap();
    let first = shows_another(&device, &[]).await;
    let registered = |world: &World| {
        let seen = world.dps.iter().flat_map(azure_emulator::Running::seen);
        seen.filter(|one| one.path.contains("/registrations/") && one.status == 200).count()
    };
    let before = registered(&world);
    let second = shows_another(&device, std::slice::from_ref(&first)).await;
    assert!(registered(&world) > before, "DPS has seen the new certificate before the device switched");

    // The flash has it: after a power cut it is what the device shows, and what it renews in its turn.
    device.kill().await;
    device.power_on().await.unwrap();
    assert_eq!(shows_another(&device, &[]).await, second);
    let third = shows_another(&device, &[first.clone(), second.clone()]).await;
    let hub = device.hub().await.unwrap();
    assert_eq!((hub.hub.as_str(), hub.certificate_chain.first()), (paired.hub.as_str(), Some(&third)));

    // Reset, it is as new: no key of its former life is left.
    let record = config.state_dir.join("renewed");
    assert!(record.exists());
    device.press_reset_button().await;
    assert!(!record.exists() && device.hub().await.is_none());
    device.stop().await;
}
