//! The commands that a newcomer types: `cargo xtask demo`, `cargo xtask test`; and `cargo xtask bench`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line talks to people

mod api_fuzz;
mod app;
mod bench;
mod bindings;
mod ble_vm;
mod commands;
mod page;
mod phones;
mod postgres;
mod prerequisites;
mod strings;
mod suites;
mod window;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, shows, tests and measures Lowtouch")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Pair three simulated devices end to end, here, with everything real but the radio
    Demo {
        /// Passed on to `lowtouch demo`: --keep, --devices N, --json
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the page that the app and `lowtouch serve` show, into ui/dist
    Page,
    /// Build the desktop app with its page and open it, or make bundles of it
    App {
        /// Optimised, as it is bundled
        #[arg(long)]
        release: bool,
        /// Make bundles instead: deb and rpm here, or those that are named (docs/releasing.md)
        #[arg(long, value_name = "KIND", num_args = 0.., value_delimiter = ',')]
        bundle: Option<Vec<String>>,
        /// Passed on to the app, for example an invite
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Run all suites, or the named ones
    Test {
        /// List the suites and stop
        #[arg(long)]
        list: bool,
        /// Suites to run; all of them when none is named
        suites: Vec<String>,
    },
    /// Make the phone apps' words from the desktop app's (bindings/strings)
    Strings,
    /// Measure, and print ratios against a baseline of the same run (docs/benchmarks.md)
    Bench,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo { arguments } => suites::demo(&arguments),
        Command::Page => page::build(),
        Command::App { bundle: Some(kinds), .. } => app::bundle(&kinds),
        Command::App { release, arguments, .. } => app::open(release, &arguments),
        Command::Test { list: true, .. } => {
            suites::list();
            Ok(())
        }
        Command::Test { suites, .. } => suites::run_all(&suites),
        Command::Strings => strings::write(),
        Command::Bench => bench::run_all(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}
