//! A thousand pairings over a radio that loses connections: how many end paired, and what it cost. Prints rows in
//! Markdown. The real installer and the real device role, a simulated radio and a simulated clock.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a measurement prints and stops at the first fault

#[allow(dead_code)]
#[path = "../tests/it/fake.rs"]
mod fake;
#[allow(dead_code, unused_imports)] // what only its tests use
#[path = "../tests/it/loss.rs"]
mod loss;

use fake::{Bench, FakeDevice, HUB};
use lowtouch_handoff::dps_config::Attestation::{SymmetricKey, X509};
use provisioning_api_contract as wire;

/// `LOSS_PAIRINGS=50` for a quick look.
fn pairings() -> u64 {
    std::env::var("LOSS_PAIRINGS").ok().and_then(|number| number.parse().ok()).unwrap_or(1000)
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let pairings = pairings();
    println!(
        "| {pairings} pairings, ATT operations lost | paired | connections opened again, mean / most | seconds, median / 99 % |"
    );
    println!("|---|---|---|---|");
    for (credential, of_device, name) in
        [(wire::Attestation::SymmetricKey, SymmetricKey, "symmetric key"), (wire::Attestation::X509, X509, "X.509")]
    {
        let bench = Bench::new(credential).await;
        for (lost, layout_known) in [(0.0, false), (0.05, false), (0.2, false), (0.0, true), (0.05, true), (0.2, true)]
        {
            let (mut reconnects, mut seconds) = (Vec::new(), Vec::new());
            let mut failed = std::collections::BTreeMap::new();
            for seed in 0..pairings {
                let device = FakeDevice::new(&[of_device]);
                match loss::pair(&bench, &device, loss::radio(lost, layout_known, seed)).await {
                    Ok(tale) => {
                        assert_eq!(tale.paired.hub, HUB);
                        assert_eq!(device.lock().registrations.len(), 1, "one registration each");
                        reconnects.push(tale.reconnects);
                        seconds.push(tale.paired.seconds);
                    }
                    Err(error) => *failed.entry(format!("{} at {:?}", error.code, error.step)).or_insert(0) += 1,
                }
            }
            reconnects.sort_unstable();
            seconds.sort_by(f64::total_cmp);
            let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share) as usize];
            let layout = if layout_known { "layout known" } else { "layout discovered at every connection" };
            println!(
                "| {:.0} %, {name}, {layout} | {:.1} % {} | {:.1} / {} | {:.1} / {:.1} |",
                lost * 100.0,
                seconds.len() as f64 * 100.0 / pairings as f64,
                if failed.is_empty() { String::new() } else { format!("{failed:?}") },
                reconnects.iter().sum::<usize>() as f64 / reconnects.len() as f64,
                reconnects.last().unwrap(),
                at(0.5),
                at(0.99),
            );
        }
    }
}
