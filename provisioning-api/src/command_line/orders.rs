//! `order`: who may pair which devices, and when.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use miette::IntoDiagnostic as _;
use provisioning_api_contract::{AnyOf, NewWorkOrder, OpeningHours, OrderState};
use uuid::Uuid;

use super::{Database, say};
use crate::Office;

#[derive(Subcommand)]
pub(crate) enum Order {
    /// Open a work order and print it: an installer reaches the devices of their open orders, and no others
    Open(Box<Open>),
    /// Print orders, one JSON object a line
    List {
        #[command(flatten)]
        database: Database,
        /// Start after this order
        #[arg(long)]
        after: Option<Uuid>,
        /// At most so many
        #[arg(long, default_value_t = 200)]
        limit: u32,
    },
    /// End an order; pairings that have begun may finish
    Close {
        #[command(flatten)]
        database: Database,
        /// Its ID, as `order list` shows it
        id: Uuid,
    },
    /// Call an order off, with effect at once and for good
    Cancel {
        #[command(flatten)]
        database: Database,
        /// Its ID, as `order list` shows it
        id: Uuid,
    },
}

#[derive(Args)]
pub(crate) struct Open {
    #[command(flatten)]
    database: Database,
    /// Who: the name that `token` or `invite` was given
    #[arg(long)]
    installer: String,
    /// The tenant that the account was given there, if it was given one
    #[arg(long)]
    installer_tenant: Option<String>,
    /// Where
    #[arg(long)]
    site: String,
    /// Whose devices [default: the account's tenant, or "default"]
    #[arg(long)]
    tenant: Option<String>,
    /// A device by its registration ID; may be repeated
    #[arg(long = "device")]
    devices: Vec<String>,
    /// Any devices of this model, beside the named ones
    #[arg(long, requires = "at_most", conflicts_with = "any_model")]
    model: Option<String>,
    /// Any devices whatsoever, beside the named ones
    #[arg(long, requires = "at_most")]
    any_model: bool,
    /// At most so many of them
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    at_most: Option<u32>,
    /// Not before this time: 2026-12-01T07:00:00Z
    #[arg(long)]
    opens: Option<Timestamp>,
    /// Not from this time on
    #[arg(long)]
    closes: Option<Timestamp>,
    /// Only in these hours of each day: 08:00-17:00
    #[arg(long, requires = "time_zone", value_parser = hours)]
    hours: Option<(String, String)>,
    /// By the clock of this time zone: Europe/Berlin
    #[arg(long, requires = "hours")]
    time_zone: Option<String>,
    /// Give each device a slot to start in, so that no DPS instance gets more registrations a minute than it may
    #[arg(long)]
    schedule: bool,
    /// Open nothing: print the order as it would be, with the slots of its devices
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn order(command: Order) -> miette::Result<()> {
    match command {
        Order::Open(open) => {
            let open = *open;
            let office = Office::open(&open.database.database).await.into_diagnostic()?;
            let any = open.any_model || open.model.is_some();
            let request = NewWorkOrder {
                site: open.site,
                installer: String::new(),
                tenant: open.tenant,
                devices: open.devices,
                any_of: open.at_most.filter(|_| any).map(|at_most| AnyOf { model: open.model, at_most }),
                opens: open.opens,
                closes: open.closes,
                hours: open.hours.zip(open.time_zone).map(|((from, until), time_zone)| OpeningHours {
                    from,
                    until,
                    time_zone,
                }),
                schedule: open.schedule,
            };
            let tenant = open.installer_tenant.as_deref();
            let order = match open.dry_run {
                true => office.rehearse_order(&open.installer, tenant, request).await,
                false => office.open_order(&open.installer, tenant, request).await,
            };
            let order = order.into_diagnostic()?;
            say(&serde_json::to_string(&order).into_diagnostic()?)
        }
        Order::List { database, after, limit } => {
            let office = Office::open(&database.database).await.into_diagnostic()?;
            for order in office.orders(after, limit).await.into_diagnostic()? {
                say(&serde_json::to_string(&order).into_diagnostic()?)?;
            }
            Ok(())
        }
        Order::Close { database, id } => end(&database, id, OrderState::Closed).await,
        Order::Cancel { database, id } => end(&database, id, OrderState::Cancelled).await,
    }
}

async fn end(database: &Database, id: Uuid, state: OrderState) -> miette::Result<()> {
    let office = Office::open(&database.database).await.into_diagnostic()?;
    office.end_order(id, state).await.into_diagnostic()
}

fn hours(text: &str) -> Result<(String, String), String> {
    let (from, until) = text.split_once('-').ok_or("HH:MM-HH:MM")?;
    Ok((from.into(), until.into()))
}
