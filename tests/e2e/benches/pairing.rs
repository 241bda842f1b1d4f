//! What radio time is made of: exchanges and bytes of a whole pairing, and its seconds over a link of 30 ms an operation.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a measurement prints and stops at the first fault

use lowtouch_device::sim::{Attestation, SimLink};
use lowtouch_test_support::{World, any_port, outcome, request};

/// Milliseconds for one ATT operation: a connection interval of 30 ms, the longest that phones ask for by default.
const LATENCY_MS: u32 = 30;

#[tokio::main]
async fn main() {
    let world = World::with_instances(|instance| instance.ca_in_firmware = true).await;
    let installer = world.installer("app").await;
    for (attestation, name, aim) in
        [(Attestation::SymmetricKey, "symmetric key", 6), (Attestation::X509, "X.509, certificate chain", 8)]
    {
        let mut config = world.device_config(SimLink::BleSim(any_port()));
        config.attestations = vec![attestation];
        config.dps_ca_pem = Some(world.dps_roots());
        let device = world.device(config).await;
        let mut slow = request(&device);
        slow.link = format!("{}?mtu=247&latency_ms={LATENCY_MS}", device.address()).parse().unwrap();
        let paired = outcome(installer.pair(slow)).await.unwrap();
        let exchanges = paired.round_trips_to_commit;
        println!(
            "| exchanges from connect to commit, BLE, {name} | {exchanges} | aim {aim} | {:.2} |",
            exchanges as f64 / f64::from(aim)
        );
        println!(
            "| bytes of a whole pairing, {name} | {} sent, {} received | | |",
            paired.bytes_sent, paired.bytes_received
        );
        let floor = exchanges as f64 * 2.0 * f64::from(LATENCY_MS) / 1e3;
        println!(
            "| whole pairing, MTU 247, {LATENCY_MS} ms an ATT operation, {name} | {:.2} s | two operations an exchange to commit {floor:.2} s | {:.2} |",
            paired.seconds,
            paired.seconds / floor
        );
    }
}
