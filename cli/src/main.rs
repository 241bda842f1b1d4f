//! The lowtouch command. It holds no logic of its own: everything is done by the installer crate, and said here.

mod access;
mod args;
mod config;
mod demo;
mod device;
mod doctor;
mod exit;
mod failure;
mod input;
mod interrupt;
mod journal;
mod label;
mod logs;
mod network;
mod orders;
mod output;
mod pair;
mod progress;
mod scan;
mod secrets;
mod serve;
mod sign_in;
mod story;
mod wifi;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use directories::ProjectDirs;

use crate::args::{Cli, Command, Common, DeviceCommand, JournalCommand, LabelCommand};
use crate::exit::Exit;
use crate::failure::Failure;

fn main() -> ExitCode {
    // Parsed before anything else is set up: `lowtouch --version` and `--help` answer at once.
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Unexpected.code()));
        }
    };
    // A demo leaves nothing behind, and a label is a secret that concerns nobody's log.
    logs::start(&cli.common, !matches!(cli.command, Command::Demo(_) | Command::Label(_)));
    match run(&cli) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            let exit = failure.exit;
            if cli.common.json {
                output::print_json(&failure.to_json());
            } else {
                // Fails only when it was called before; then errors look different, and say the same.
                let _ = miette::set_hook(Box::new(|_| Box::new(failure::Plain)));
                output::complain(format!("{:?}", miette::Report::new(failure)).trim_end());
            }
            exit.into()
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let json = cli.common.json;
    match &cli.command {
        Command::Label(LabelCommand::Make(arguments)) => label::make(arguments, json),
        Command::Label(LabelCommand::Read(arguments)) => label::read(arguments, json),
        Command::Pair(arguments) => block_on(pair::run(arguments, &cli.common, json)),
        Command::Network(arguments) => block_on(network::run(arguments, json)),
        Command::Device(DeviceCommand::Info(arguments)) => block_on(device::info(arguments, json)),
        Command::Device(DeviceCommand::Reset(arguments)) => block_on(device::reset(arguments, &cli.common, json)),
        Command::Scan(arguments) => block_on(scan::run(arguments, json)),
        Command::Journal(JournalCommand::List(arguments)) => {
            block_on(journal::list(arguments, &data_dir(&cli.common)?, json))
        }
        Command::Journal(JournalCommand::Show(arguments)) => {
            block_on(journal::show(arguments, &data_dir(&cli.common)?, json))
        }
        Command::Journal(JournalCommand::Sync(arguments)) => block_on(orders::sync(arguments, &cli.common, json)),
        Command::Orders(command) => block_on(orders::run(command, &cli.common, json)),
        Command::Config(command) => config::run(command, &cli.common, json),
        Command::Login(arguments) => block_on(sign_in::login(arguments, &cli.common, json)),
        Command::Logout(arguments) => block_on(sign_in::logout(arguments, &cli.common, json)),
        Command::Accounts(command) => block_on(sign_in::accounts(command, &cli.common, json)),
        Command::Whoami(arguments) => block_on(sign_in::whoami(arguments, &cli.common, json)),
        Command::Doctor(arguments) => block_on(doctor::run(arguments, &cli.common, json)),
        Command::Logs(command) => logs::run(command, &cli.common, json),
        Command::Serve(arguments) => serve::run(arguments, &cli.common, json),
        Command::Demo(arguments) => block_on(demo::run(arguments, json)),
    }
}

pub(crate) fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unexpected, "internal", "This program could not start.").because(error))?;
    let result = runtime.block_on(work);
    // A passphrase that nobody types any more must not keep the process alive.
    runtime.shutdown_background();
    result
}

pub(crate) fn data_dir(common: &Common) -> Result<PathBuf, Failure> {
    match &common.data_dir {
        Some(dir) => Ok(dir.clone()),
        None => ProjectDirs::from("", "", "lowtouch").map(|dirs| dirs.data_local_dir().to_owned()).ok_or_else(|| {
            Failure::new(Exit::Usage, "no-data-dir", "This user has no home folder, so the journal has no place.")
                .help("Name a folder with --data-dir or LOWTOUCH_DATA_DIR.")
        }),
    }
}
