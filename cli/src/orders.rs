//! `lowtouch orders list|show|download`, and `lowtouch journal sync`.

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use lowtouch_installer::error::{ErrorCode, PairingError};
use lowtouch_installer::{Config, Installer};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::access::Access;
use crate::args::{ApiArgs, Common, OrdersCommand};
use crate::failure::Failure;
use crate::output::{print, print_json, print_table};

/// `lowtouch orders …`.
pub(crate) async fn run(command: &OrdersCommand, common: &Common, json: bool) -> Result<(), Failure> {
    match command {
        OrdersCommand::List(api) => list(common, api, json).await,
        OrdersCommand::Show { api, id } => show(common, api, *id, json).await,
        OrdersCommand::Download { api, id } => download(common, api, *id, json).await,
    }
}

async fn installer(common: &Common, api: &ApiArgs) -> Result<Installer, Failure> {
    let access = Access::open(common, api)?;
    let config = Config { secrets: Some(access.secrets.clone()), ..access.config(api).await? };
    Ok(Installer::new(config).await?)
}

async fn list(common: &Common, api: &ApiArgs, json: bool) -> Result<(), Failure> {
    let installer = installer(common, api).await?;
    let downloaded = installer.downloaded_orders().await?;
    let orders = match client(&installer)?.work_orders().await {
        Ok(list) => list.work_orders,
        // What was downloaded is there for places without a network.
        Err(error)
            if matches!(error.code, ErrorCode::ApiUnreachable | ErrorCode::ApiTimeout) && !downloaded.is_empty() =>
        {
            downloaded.iter().map(|order| order.order.clone()).collect()
        }
        Err(error) => return Err(error.into()),
    };
    if json {
        for order in &orders {
            print_json(&event("order", order));
        }
        return Ok(());
    }
    if orders.is_empty() {
        print("You have no work orders. An administrator opens them.");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["Site", "State", "Open now", "Any devices", "Closes (UTC)", "Downloaded", "Order"]);
    for order in &orders {
        let any = order.any_of.as_ref().map(|any| {
            format!("{} of {} {}", order.taken, any.at_most, any.model.as_deref().unwrap_or("of any model"))
        });
        table.add_row([
            plain(&order.site),
            word(&order.state),
            yes(order.open_now),
            any.unwrap_or_default(),
            order.closes.map(|at| at.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default(),
            yes(downloaded.iter().any(|one| one.order.id == order.id)),
            order.id.to_string(),
        ]);
    }
    print_table(table);
    Ok(())
}

async fn show(common: &Common, api: &ApiArgs, id: Uuid, json: bool) -> Result<(), Failure> {
    let installer = installer(common, api).await?;
    let order = client(&installer)?.work_order(id).await?;
    if json {
        print_json(&event("order", &order));
        return Ok(());
    }
    print(&format!("{:<14}{}", "Site", plain(&order.site)));
    print(&format!("{:<14}{}{}", "State", word(&order.state), if order.open_now { ", open now" } else { "" }));
    if let Some(hours) = &order.hours {
        print(&format!("{:<14}{} to {}, {}", "Hours", hours.from, hours.until, plain(&hours.time_zone)));
    }
    if let Some(any) = &order.any_of {
        let model = any.model.as_deref().map_or_else(|| "any model".to_owned(), plain);
        print(&format!("{:<14}{} of {}, {model}", "Any devices", order.taken, any.at_most));
    }
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["Device", "Stands", "Its turn (UTC)"]);
    for device in &order.devices {
        let turn = device.starts_at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string());
        table.add_row([device.registration_id.clone(), word(&device.lifecycle), turn.unwrap_or_default()]);
    }
    print_table(table);
    Ok(())
}

async fn download(common: &Common, api: &ApiArgs, id: Uuid, json: bool) -> Result<(), Failure> {
    let order = installer(common, api).await?.download_order(id).await?;
    if json {
        let sealed: Vec<_> = order.sealed.iter().map(|device| &device.registration_id).collect();
        print_json(&json!({
            "event": "order-downloaded", "order": id, "notAfter": order.not_after, "sealed": sealed, "online": order.online,
        }));
        return Ok(());
    }
    print(&format!(
        "{} of {} devices can be paired without a network until {} (UTC).",
        order.sealed.len(),
        order.sealed.len() + order.online.len(),
        order.not_after.strftime("%Y-%m-%d %H:%M")
    ));
    for device in &order.online {
        print(&format!("  {} needs the network: {}", device.registration_id, reason(&word(&device.reason))));
    }
    Ok(())
}

/// `lowtouch journal sync`.
pub(crate) async fn sync(api: &ApiArgs, common: &Common, json: bool) -> Result<(), Failure> {
    let done = installer(common, api).await?.tell().await?;
    if json {
        let refused: Vec<_> = done.refused.iter().map(|(id, code)| json!({ "handoffId": id, "code": code })).collect();
        print_json(&json!({ "event": "journal-synced", "told": done.told, "refused": refused }));
        return Ok(());
    }
    print(&match done.told.len() {
        0 => "There was nothing to tell the provisioning API.".to_owned(),
        1 => "The provisioning API was told of 1 pairing.".to_owned(),
        several => format!("The provisioning API was told of {several} pairings."),
    });
    for (id, code) in &done.refused {
        print(&format!("  {id} was not taken: {}", code.hint()));
    }
    Ok(())
}

fn client(installer: &Installer) -> Result<&lowtouch_installer::api::Client, Failure> {
    installer.api().ok_or_else(|| PairingError::new(ErrorCode::ApiNotSet).into())
}

fn event(name: &str, value: &impl Serialize) -> Value {
    let mut object = json!({ "event": name });
    if let (Some(object), Ok(Value::Object(fields))) = (object.as_object_mut(), serde_json::to_value(value)) {
        object.extend(fields);
    }
    object
}

fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().as_ref().and_then(Value::as_str).unwrap_or("?").to_owned()
}

fn yes(is: bool) -> String {
    if is { "yes".into() } else { String::new() }
}

/// The API refuses what could move a cursor; a terminal does not take its word for it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn reason(word: &str) -> &str {
    match word {
        "certificateNeedsDevice" => "its certificate is signed for a request that only the device can make",
        "attestationOpen" => "keys are made ahead only for devices that are pinned to a symmetric key",
        "ownerNeedsDevice" => "it has an owner, who signs what the device asks for",
        "beingPaired" => "it is being paired by another at this moment",
        "noInstance" => "no DPS instance can take it now",
        "dpsUnavailable" => "its DPS instance did not answer",
        other => other,
    }
}
