//! Whole pairings over Linux's real Bluetooth stack: the installer's `ble://` link (btleplug), bluetoothd, the kernel, a
//! virtual radio, and the device of `device/` as a GATT peripheral. DPS and the provisioning API run beside it.
//!
//! `cargo xtask test ble` runs it in a guest of its own (`guest-init`): it switches adapters and forgets devices, so it
//! refuses to touch those of a machine.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)] // a test program

mod radio;
mod scenarios;
mod sniffer;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::radio::Radio;
use crate::scenarios::{SCENARIOS, STEADY};

/// No scenario may take longer.
const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::var_os("LOWTOUCH_BLE_VM").is_none() {
        println!("run `cargo xtask test ble`: this program is for its guest");
        return ExitCode::FAILURE;
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).init();
    let radio = Radio::switch_on().await;
    // One after another: there is one radio.
    let (mut passed, mut failed) = (0, 0);
    let only = std::env::var("ONLY").unwrap_or_default();
    let count = if std::env::var_os("CUT").is_some() { SCENARIOS.len() } else { STEADY };
    for (name, scenario) in SCENARIOS.iter().take(count).filter(|(name, _)| name.contains(&only)) {
        radio.forget_devices().await;
        let start = Instant::now();
        // A task of its own turns a panic into a failure of this scenario only.
        let mut running = tokio::spawn(scenario(radio.clone()));
        let result = tokio::time::timeout(PATIENCE, &mut running).await;
        running.abort();
        let seconds = start.elapsed().as_secs_f32();
        if let Ok(Ok(())) = result {
            passed += 1;
            println!("ok     {name} ({seconds:.1} s)");
        } else {
            failed += 1;
            println!("FAILED {name} ({seconds:.1} s){}", if result.is_err() { ": it hangs" } else { "" });
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
