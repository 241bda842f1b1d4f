//! `cargo xtask bench`: every figure beside a baseline of the same run, so that it means something on any machine.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::commands::{Outcome, cargo, run, target_folder};
use crate::prerequisites::{self, C_COMPILER};
use crate::{app, page, window};

/// Starts counted for the start-up figure.
const STARTS: usize = 51;

/// Measures everything and prints a table in Markdown, as docs/benchmarks.md holds it.
pub(crate) fn run_all() -> Outcome {
    prerequisites::ensure(&[C_COMPILER])?;
    run(&mut cargo(&["build", "--release", "--locked", "-p", "lowtouch-cli"]))?;
    run(&mut cargo(&["bench", "--locked", "-p", "lowtouch-handoff", "--bench", "security2"]))?;
    let target = target_folder()?;
    println!("\n| figure | measured | baseline of the same run | ratio |\n| --- | --- | --- | --- |");
    security2(&target)?;
    start_up(&target.join("release/lowtouch"))?;
    run(&mut cargo(&["bench", "--quiet", "--locked", "-p", "lowtouch-e2e", "--bench", "pairing"]))?;
    run(&mut cargo(&["bench", "--quiet", "--locked", "-p", "provisioning-api", "--bench", "allocation"]))?;
    the_app(&target.join(app::PROFILE).join("lowtouch-app"))
}

/// The desktop app's start, memory and size as bundles have it, where there can be a window.
fn the_app(program: &Path) -> Outcome {
    if let Some(why) = window::why_not() {
        println!("the desktop app is not measured: {why}");
        return Ok(());
    }
    page::build()?;
    run(&mut cargo(&["build", "--profile", app::PROFILE, "--locked", "-p", "lowtouch-app"]))?;
    window::measure(program)
}

/// The handshake's CPU time against the bare modular exponentiations that it needs.
fn security2(target: &Path) -> Outcome {
    for role in ["client", "device"] {
        let handshake = criterion_median(target, &format!("security2/{role}"))?;
        let bare = criterion_median(target, &format!("security2/{role}, bare exponentiations"))?;
        println!(
            "| Security 2 handshake, {role} | {:.2} ms | bare exponentiations {:.2} ms | {:.2} |",
            handshake / 1e6,
            bare / 1e6,
            handshake / bare
        );
    }
    Ok(())
}

/// Criterion's median in nanoseconds.
fn criterion_median(target: &Path, name: &str) -> Outcome<f64> {
    let file = target.join("criterion").join(name).join("new/estimates.json");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let estimates: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    estimates["median"]["point_estimate"].as_f64().ok_or_else(|| format!("{} has no median", file.display()))
}

/// `lowtouch --version` against `true`, and the size of the stripped program.
fn start_up(lowtouch: &Path) -> Outcome {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        ours.push(time(Command::new(lowtouch).arg("--version"))?);
        theirs.push(time(&mut Command::new("true"))?);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "| `lowtouch --version`, median of {STARTS} | {:.1} ms | `true` {:.1} ms | {:.1} |",
        millis(ours),
        millis(theirs),
        millis(ours) / millis(theirs)
    );
    let size = std::fs::metadata(lowtouch).map_err(|error| format!("{}: {error}", lowtouch.display()))?.len();
    println!("| stripped `lowtouch` | {:.1} MB | | |", size as f64 / 1e6);
    Ok(())
}

fn time(command: &mut Command) -> Outcome<Duration> {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).status().map_err(|error| error.to_string())?;
    if status.success() { Ok(start.elapsed()) } else { Err(format!("{:?} failed: {status}", command.get_program())) }
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
