//! `provisioning-api`: serves the API, and administers its database.
#![allow(clippy::print_stdout, reason = "a command line speaks on standard output")]

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use provisioning_api::{Config, Role, Server, read_instances};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM or SIGINT
    Serve {
        /// sqlite:FILE, made when missing
        #[arg(long)]
        database: String,
        /// Address and port; port 0 takes a free one
        #[arg(long, default_value = "127.0.0.1:8443")]
        listen: SocketAddr,
        /// Holds ca.pem, server.pem and server.key; made when empty
        #[arg(long)]
        tls_dir: PathBuf,
        /// DPS instances (TOML); may be repeated
        #[arg(long, required = true)]
        dps: Vec<PathBuf>,
        /// The key that secrets in the database are encrypted under; made when missing [default: at-rest.key in the TLS folder]
        #[arg(long)]
        key_file: Option<PathBuf>,
        /// End when standard input closes as well
        #[arg(long)]
        until_stdin_closes: bool,
    },
    /// Issue a bearer token and print it, once
    Token {
        /// sqlite:FILE, made when missing
        #[arg(long)]
        database: String,
        /// What its holder may do
        #[arg(long)]
        role: Role,
        /// Whose it is, for the log
        #[arg(long)]
        name: String,
        /// How long it is valid
        #[arg(long, default_value_t = 30)]
        days: u32,
    },
}

#[tokio::main]
async fn main() -> miette::Result<()> {
    match Cli::parse().command {
        Command::Serve { database, listen, tls_dir, dps, key_file, .. } => {
            let mut instances = Vec::new();
            for file in dps {
                instances.extend(read_instances(&file).map_err(report)?);
            }
            Server::start(Config { database, listen, tls_dir, dps: instances, key_file }).await.map_err(report)?;
        }
        Command::Token { .. } => {}
    }
    Ok(())
}

fn report(error: impl std::error::Error + Send + Sync + 'static) -> miette::Report {
    miette::Report::from_err(error)
}
