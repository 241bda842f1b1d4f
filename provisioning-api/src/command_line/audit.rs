//! `audit`: whether the record of events is as it was written.

use clap::Subcommand;
use miette::IntoDiagnostic as _;
use serde_json::json;

use super::{Database, say};
use crate::Office;

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Go through the chain of events, name the first one that does not fit, and print the last one's hash
    Verify {
        #[command(flatten)]
        database: Database,
        /// Begin at this event, and believe what is before
        #[arg(long)]
        from: Option<i64>,
        /// A hash that an earlier look printed, kept elsewhere: some event must have it
        #[arg(long, value_parser = hash)]
        head: Option<String>,
    },
}

pub(crate) async fn audit(command: Audit) -> miette::Result<()> {
    let Audit::Verify { database, from, head } = command;
    let report = Office::verify_events_at(&database.database, from, head.as_deref()).await.into_diagnostic()?;
    if let Some(fault) = report.fault {
        return Err(fault).into_diagnostic();
    }
    say(&json!({ "checked": report.checked, "last": report.last, "head": report.head }).to_string())
}

fn hash(text: &str) -> Result<String, String> {
    let good = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| text.to_owned()).ok_or_else(|| "64 hexadecimal digits".into())
}
