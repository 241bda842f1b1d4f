//! `invite`, `account` and `tenant`: who may come in, and who may not any more.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use miette::{IntoDiagnostic as _, WrapErr as _};
use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::Url;

use super::{Database, say};
use crate::{Office, Role};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Invite {
    #[command(subcommand)]
    command: Option<InviteCommand>,
    #[command(flatten)]
    new: Option<New>,
}

#[derive(Args)]
struct New {
    // Not flattened: clap takes an optional group for absent when its only given arguments are a group's within it.
    /// sqlite:FILE, made when missing, or postgres://USER@HOST/DATABASE (docs/configuration.md)
    #[arg(long)]
    database: String,
    /// What the account may do
    #[arg(long)]
    role: Role,
    /// Whom it is for; the same role, name and tenant is the same account again
    #[arg(long)]
    name: String,
    /// Whose devices the account sees [default: every tenant's]
    #[arg(long)]
    tenant: Option<String>,
    /// How many minutes it is good
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=10080))]
    minutes: u32,
    /// Draw the QR into this file (.svg or .png) instead of the terminal
    #[arg(long)]
    qr: Option<PathBuf>,
    /// Where apps find the service [default: as it said when it last started]
    #[arg(long)]
    server: Option<Url>,
}

#[derive(Subcommand)]
enum InviteCommand {
    /// Show the invites of the last week (not their codes)
    List {
        #[command(flatten)]
        database: Database,
    },
    /// End an invite that nobody has used
    Withdraw {
        #[command(flatten)]
        database: Database,
        /// Its ID, as `invite list` shows it
        id: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Account {
    /// Show all accounts
    List {
        #[command(flatten)]
        database: Database,
    },
    /// End an account: its tokens, sign-ins and invites end at once
    Disable {
        #[command(flatten)]
        database: Database,
        /// Its ID, as `account list` shows it
        id: String,
    },
    /// Let a disabled account sign in anew; what it had before stays ended
    Enable {
        #[command(flatten)]
        database: Database,
        /// Its ID, as `account list` shows it
        id: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant
    Add {
        #[command(flatten)]
        database: Database,
        /// Its name
        name: String,
    },
    /// Show all tenants
    List {
        #[command(flatten)]
        database: Database,
    },
}

pub(crate) async fn invite(invite: Invite) -> miette::Result<()> {
    match (invite.command, invite.new) {
        (Some(InviteCommand::List { database }), _) => {
            let office = Office::open(&database.database).await.into_diagnostic()?;
            for invite in office.invites().await.into_diagnostic()? {
                let at = |time: Option<jiff::Timestamp>| time.map(|time| time.to_string());
                say(&json!({
                    "id": invite.id, "accountId": invite.account_id, "name": invite.name, "role": invite.role,
                    "tenant": invite.tenant, "madeBy": invite.made_by, "createdAt": at(Some(invite.created_at)),
                    "expiresAt": at(Some(invite.expires_at)), "usedAt": at(invite.used_at),
                    "withdrawnAt": at(invite.withdrawn_at),
                })
                .to_string())?;
            }
            Ok(())
        }
        (Some(InviteCommand::Withdraw { database, id }), _) => {
            let office = Office::open(&database.database).await.into_diagnostic()?;
            if !office.withdraw_invite(&id).await.into_diagnostic()? {
                miette::bail!("no unused invite has the ID {id}");
            }
            Ok(())
        }
        (None, Some(new)) => make(new).await,
        (None, None) => miette::bail!("say --database, --role and --name"),
    }
}

async fn make(new: New) -> miette::Result<()> {
    let office = Office::open(&new.database).await.into_diagnostic()?;
    let server = match new.server {
        Some(url) => Some(url.as_str().trim_end_matches('/').to_owned()),
        None => office.public_url().await.into_diagnostic()?,
    };
    let Some(server) = server else {
        miette::bail!("the service never ran on this database: say --server, where apps find it");
    };
    if let Some(file) = &new.qr {
        format(file)?;
    }
    let (_, code, expires) =
        office.invite(new.role, &new.name, new.tenant.as_deref(), new.minutes).await.into_diagnostic()?;
    let link = Office::invite_link(&server, &code);
    // The link is the first line, and with a pipe the only one.
    say(link.expose_secret())?;
    let qr = QrCode::with_error_correction_level(link.expose_secret(), EcLevel::M).into_diagnostic()?;
    if let Some(file) = &new.qr {
        draw(&qr, file)?;
    } else if std::io::stdout().is_terminal() {
        // Drawn for a dark background; readers take the inverse as well.
        let drawn = qr
            .render::<unicode::Dense1x2>()
            .dark_color(unicode::Dense1x2::Light)
            .light_color(unicode::Dense1x2::Dark)
            .build();
        say(&drawn)?;
    }
    if std::io::stdout().is_terminal() {
        say(&format!("Code for typing: {}\nGood for one sign-in until {expires}", shown(&code)))?;
    }
    Ok(())
}

fn shown(code: &SecretString) -> &str {
    code.expose_secret()
}

enum Format {
    Svg,
    Png,
}

fn format(file: &Path) -> miette::Result<Format> {
    match file.extension().unwrap_or_default().to_string_lossy().to_lowercase().as_str() {
        "svg" => Ok(Format::Svg),
        "png" => Ok(Format::Png),
        _ => miette::bail!("{} must end in .svg or .png", file.display()),
    }
}

fn draw(qr: &QrCode, file: &Path) -> miette::Result<()> {
    let bytes = match format(file)? {
        Format::Svg => qr.render::<svg::Color<'_>>().min_dimensions(240, 240).build().into_bytes(),
        Format::Png => {
            let mut png = std::io::Cursor::new(Vec::new());
            let picture = qr.render::<image::Luma<u8>>().module_dimensions(8, 8).build();
            picture.write_to(&mut png, image::ImageFormat::Png).into_diagnostic()?;
            png.into_inner()
        }
    };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // Whoever reads it can sign in.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(file).and_then(|mut file| file.write_all(&bytes));
    written.into_diagnostic().wrap_err_with(|| format!("cannot write {}", file.display()))
}

pub(crate) async fn account(command: Account) -> miette::Result<()> {
    let (database, id, disabled) = match command {
        Account::List { database } => {
            let office = Office::open(&database.database).await.into_diagnostic()?;
            for account in office.accounts().await.into_diagnostic()? {
                say(&json!({
                    "id": account.id, "name": account.name, "role": account.role, "tenant": account.tenant,
                    "issuer": account.issuer, "subject": account.subject, "createdAt": account.created_at.to_string(),
                    "disabledAt": account.disabled_at.map(|at| at.to_string()),
                })
                .to_string())?;
            }
            return Ok(());
        }
        Account::Disable { database, id } => (database, id, true),
        Account::Enable { database, id } => (database, id, false),
    };
    let office = Office::open(&database.database).await.into_diagnostic()?;
    if !office.set_account_disabled(&id, disabled).await.into_diagnostic()? {
        let other = if disabled { "enabled" } else { "disabled" };
        miette::bail!("no {other} account has the ID {id}");
    }
    Ok(())
}

pub(crate) async fn tenant(command: Tenant) -> miette::Result<()> {
    match command {
        Tenant::Add { database, name } => {
            if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
                miette::bail!("a tenant's name has 1 to 64 bytes and no control characters");
            }
            let office = Office::open(&database.database).await.into_diagnostic()?;
            if !office.add_tenant(&name).await.into_diagnostic()? {
                miette::bail!("there is a tenant named {name} already");
            }
        }
        Tenant::List { database } => {
            let office = Office::open(&database.database).await.into_diagnostic()?;
            for tenant in office.tenants().await.into_diagnostic()? {
                say(&json!({ "name": tenant }).to_string())?;
            }
        }
    }
    Ok(())
}
