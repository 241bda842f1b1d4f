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
use crate::scenarios::{SCENARIOS, Scenario};

/// bluetoothd 5.66 crashes now and then when a connection is cut (tests/ble-vm/README.md). What it took with it is tried again,
/// and said; a failure without a crash is a failure.
const TRIES: usize = 3;

/// Where `guest-init` writes how bluetoothd ended.
const BLUETOOTHD_LOG: &str = "/run/bluetoothd.log";

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
    for (name, scenario) in SCENARIOS.iter().filter(|(name, _)| name.contains(&only)) {
        let mut tries = 1;
        let outcome = loop {
            let before = crashes();
            let outcome = play(*scenario, &radio).await;
            if outcome.is_ok() || tries == TRIES || crashes() == before {
                break outcome;
            }
            tries += 1;
            println!("       {name}: bluetoothd crashed; again");
            radio.restart().await;
        };
        match outcome {
            Ok(seconds) => {
                passed += 1;
                println!("ok     {name} ({seconds:.1} s)");
            }
            Err(why) => {
                failed += 1;
                println!("FAILED {name}: {why}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How long it took, or what went wrong.
async fn play(scenario: Scenario, radio: &Radio) -> Result<f32, String> {
    radio.forget_devices().await;
    let start = Instant::now();
    // A task of its own turns a panic into a failure of this scenario only.
    let mut running = tokio::spawn(scenario(radio.clone()));
    let result = tokio::time::timeout(PATIENCE, &mut running).await;
    running.abort();
    let seconds = start.elapsed().as_secs_f32();
    match result {
        Ok(Ok(())) => Ok(seconds),
        Ok(Err(_)) => Err(format!("{seconds:.1} s")),
        Err(_) => Err(format!("it hangs after {seconds:.1} s")),
    }
}

/// How often bluetoothd ended by a fault of its own: not by our kill, which is 137.
fn crashes() -> usize {
    let log = std::fs::read_to_string(BLUETOOTHD_LOG).unwrap_or_default();
    log.lines().filter(|line| line.starts_with("guest: bluetoothd ended with") && !line.ends_with(" 137")).count()
}
