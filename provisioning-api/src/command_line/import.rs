//! `device import`: a file into the inventory, without the service.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use miette::{IntoDiagnostic as _, WrapErr as _};
use provisioning_api_contract::{ImportProblem, ImportState};
use uuid::Uuid;

use super::{Database, say};
use crate::{ImportFormat, Office};

#[derive(Args)]
pub(crate) struct Import {
    #[command(flatten)]
    database: Database,
    /// CSV with a header, or with the ending .jsonl or .ndjson an object a line (docs/import.md)
    file: PathBuf,
    /// The import's ID: the same one to go on with the same file [default: a new one]
    #[arg(long)]
    id: Option<Uuid>,
    /// Whose devices these are [default: the tenant default]
    #[arg(long)]
    tenant: Option<String>,
    /// Let the devices start in slots, so that no DPS instance gets more registrations a minute than it may (docs/import.md)
    #[arg(long)]
    schedule: bool,
    /// No slot before this time (RFC 3339) [default: now]
    #[arg(long, requires = "schedule")]
    schedule_from: Option<Timestamp>,
    /// Only look the file through, and with --schedule print the slots that its devices would get
    #[arg(long)]
    dry_run: bool,
}

/// Prints each problem as a JSON object a line, and the report at the end.
pub(crate) async fn import(options: Import) -> miette::Result<()> {
    let ending = options.file.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let format = match ending.as_str() {
        "jsonl" | "ndjson" => ImportFormat::JsonLines,
        _ => ImportFormat::Csv,
    };
    let path = options.file.display();
    let file =
        tokio::fs::File::open(&options.file).await.into_diagnostic().wrap_err_with(|| format!("cannot read {path}"))?;
    let office = Office::open(&options.database.database).await.into_diagnostic()?;
    let id = options.id.unwrap_or_else(Uuid::new_v4);
    let tenant = options.tenant.as_deref();
    let schedule = options.schedule.then_some(options.schedule_from);
    let report = office.import(id, tenant, format, options.dry_run, schedule, file).await.into_diagnostic()?;
    if report.dry_run {
        report.problems.iter().try_for_each(print)?;
    } else {
        let mut after: Option<(u64, String)> = None;
        loop {
            let (row, column) = after.as_ref().map_or((None, ""), |(row, column)| (Some(*row), column.as_str()));
            let problems = office.import_problems(id, tenant, row, column).await.into_diagnostic()?;
            problems.iter().try_for_each(print)?;
            match problems.into_iter().last() {
                Some(last) => after = Some((last.row, last.column)),
                None => break,
            }
        }
    }
    office.close().await;
    let done = report.state == ImportState::Complete || (report.dry_run && report.bad_rows == 0);
    let mut summary = serde_json::to_value(&report).into_diagnostic()?;
    if let Some(summary) = summary.as_object_mut() {
        summary.remove("problems");
    }
    say(&summary.to_string())?;
    if !done {
        miette::bail!(
            help = format!("mend these rows and go on with --id {id}"),
            "{} rows are bad; {} rows are in the inventory",
            report.bad_rows,
            report.committed_rows
        );
    }
    Ok(())
}

fn print(problem: &ImportProblem) -> miette::Result<()> {
    say(&serde_json::to_string(problem).into_diagnostic()?)
}
