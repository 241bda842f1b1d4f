//! What an allocation costs beside the bare transaction that it makes, and how evenly devices lie after 100,000 of them.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a measurement prints and stops at the first fault

use std::time::Instant;

use provisioning_api::{Config, DpsCredential, InstanceConfig, Placement, Server, ServiceKey};
use provisioning_api_contract::InstanceState;

/// Instances to choose among.
const INSTANCES: u64 = 8;

/// Of each kind of transaction, measured in turns: a machine's drift hits both.
const ROUNDS: u32 = 20;
const EACH: u32 = 100;

/// Decisions alone.
const DECISIONS: u32 = 1_000_000;

fn instance(number: u64) -> InstanceConfig {
    InstanceConfig {
        name: format!("i{number}"),
        id_scope: format!("0ne{number}"),
        service_endpoint: "https://127.0.0.1:1".parse().unwrap(),
        global_device_endpoint: "127.0.0.1:1".into(),
        credential: DpsCredential::SharedAccess {
            policy: "provisioningserviceowner".into(),
            key: ServiceKey::new("a2V5"),
        },
        resource: None,
        operations_per_minute: 1000,
        ca_pem: None,
        ca_in_firmware: false,
        ed25519: false,
        certificate_policy: None,
        // Not all of one size.
        capacity: if number < INSTANCES / 2 { 1_000_000 } else { 250_000 },
        state: InstanceState::Active,
        placement: Placement::default(),
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let mut config =
        Config::new(format!("sqlite:{}", folder.path().join("api.db").display()), folder.path().join("tls"));
    config.dps = (0..INSTANCES).map(instance).collect();
    let api = Server::start(config).await.unwrap();
    let devices: u32 = std::env::var("DEVICES").map_or(100_000, |text| text.parse().unwrap());
    api.measure_fill(devices + 2 * ROUNDS * EACH).await.unwrap();

    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let first = devices + round * 2 * EACH;
        let start = Instant::now();
        for number in first..first + EACH {
            api.measure_allocation(number).await.unwrap();
        }
        ours.push(start.elapsed());
        let start = Instant::now();
        for number in first + EACH..first + 2 * EACH {
            api.measure_bare(number, &format!("i{}", number % 8)).await.unwrap();
        }
        bare.push(start.elapsed());
    }
    ours.sort_unstable();
    bare.sort_unstable();
    let a_second = |of: &[std::time::Duration]| f64::from(EACH) / of[of.len() / 2].as_secs_f64();
    let (ours, bare) = (a_second(&ours), a_second(&bare));
    println!(
        "| allocations a second, {INSTANCES} instances, one after the other | {ours:.0} | the bare transaction {bare:.0} | {:.2} |",
        ours / bare
    );
    let start = Instant::now();
    assert_eq!(api.measure_decision(DECISIONS).await.unwrap(), DECISIONS);
    let decisions = f64::from(DECISIONS) / start.elapsed().as_secs_f64();
    println!(
        "| decisions a second, without the database | {decisions:.0} | the bare transaction {bare:.0} | {:.0} |",
        decisions / bare
    );

    let start = Instant::now();
    for number in 0..devices {
        api.measure_allocation(number).await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    let usage = api.measure_usage().await.unwrap();
    let (total, capacity) = (usage.iter().sum::<i64>() as f64, 1_250_000.0 * INSTANCES as f64 / 2.0);
    let worst = usage.iter().enumerate().map(|(number, used)| {
        let fair = total * instance(number as u64).capacity as f64 / capacity;
        (*used as f64 / fair - 1.0).abs()
    });
    let worst = worst.fold(0.0, f64::max) * 100.0;
    assert!(worst <= 1.0, "{worst} % from even");
    println!(
        "| spread over {INSTANCES} instances after {total} devices ({seconds:.0} s) | {worst:.3} % from even | aim 1 % | {worst:.3} |"
    );
    api.stop().await;
}
