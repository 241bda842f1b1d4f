//! `lowtouch journal list|show`.

use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use lowtouch_installer::error::{ErrorCode, PairingError};
use lowtouch_installer::journal::{Entry, Journal, State};
use serde_json::{Value, json};

use crate::args::{JournalListArgs, JournalShowArgs};
use crate::failure::Failure;
use crate::output::{print, print_json, print_table};
use crate::story::attestation_text;

/// Among how many pairings a beginning of a hand-off ID is looked for.
const SEARCHED: u32 = 100_000;

/// `lowtouch journal list`.
pub(crate) async fn list(arguments: &JournalListArgs, data_dir: &Path, json: bool) -> Result<(), Failure> {
    let entries = Journal::open(data_dir).await?.list(arguments.limit).await?;
    if json {
        for entry in &entries {
            print_json(&as_event(entry));
        }
        return Ok(());
    }
    if entries.is_empty() {
        print("Nothing was paired from here yet. `lowtouch pair --help` says how.");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["Started (UTC)", "Device", "State", "Assigned hub", "Hand-off ID"]);
    for entry in &entries {
        table.add_row([
            entry.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            entry.registration_id.clone().unwrap_or_else(|| entry.name.clone()),
            state_text(entry),
            hub(entry).unwrap_or("").to_owned(),
            entry.handoff_id.to_string(),
        ]);
    }
    print_table(table);
    Ok(())
}

/// `lowtouch journal show`.
pub(crate) async fn show(arguments: &JournalShowArgs, data_dir: &Path, json: bool) -> Result<(), Failure> {
    let journal = Journal::open(data_dir).await?;
    let entry = find(&journal, arguments.id.trim()).await?;
    if json {
        print_json(&as_event(&entry));
        return Ok(());
    }
    for (name, value) in facts(&entry) {
        print(&format!("{name:<26}{value}"));
    }
    Ok(())
}

/// By the beginning of a hand-off ID, else by the device's name or registration ID: its newest pairing.
async fn find(journal: &Journal, id: &str) -> Result<Entry, Failure> {
    if let Some(entry) = journal.of_device(id).await?.into_iter().next() {
        return Ok(entry);
    }
    let beginning = id.to_lowercase();
    let mut found: Vec<Entry> = Vec::new();
    if !beginning.is_empty() {
        found = journal.list(SEARCHED).await?;
        found.retain(|entry| entry.handoff_id.to_string().starts_with(&beginning));
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::from(PairingError::new(ErrorCode::JournalNoEntry))
            .help("`lowtouch journal list` shows what there is; --data-dir says in which folder to look.")),
        several => Err(Failure::from(PairingError::new(ErrorCode::JournalNoEntry))
            .message(format!("{several} pairings begin with {id}."))
            .help("Give more characters of the hand-off ID.")),
    }
}

fn as_event(entry: &Entry) -> Value {
    let mut value = json!({ "event": "journal-entry" });
    if let (Value::Object(all), Ok(Value::Object(fields))) = (&mut value, serde_json::to_value(entry)) {
        all.extend(fields);
    }
    value
}

fn hub(entry: &Entry) -> Option<&str> {
    let by_device = entry.device_said.as_ref().and_then(|said| said.hub.as_deref());
    by_device.or_else(|| entry.dps_said.as_ref().and_then(|said| said.hub.as_deref()))
}

fn state_text(entry: &Entry) -> String {
    match (entry.state, &entry.error) {
        (State::Assigned, _) => "assigned".into(),
        (State::Failed, Some(error)) => format!("failed: {}", error.code),
        (State::Failed, None) => "failed".into(),
        (State::Open, Some(error)) => format!("interrupted: {}", error.code),
        (State::Open, None) => "under way or interrupted".into(),
        (other, _) => format!("{other:?}").to_lowercase(),
    }
}

/// The three kinds of facts apart: what the API gave, what the device acknowledged, what device and DPS said.
fn facts(entry: &Entry) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("hand-off ID", entry.handoff_id.to_string()),
        ("state", state_text(entry)),
        ("label", entry.name.clone()),
        ("link", entry.link.clone()),
        ("started", entry.started_at.to_string()),
        ("last change", entry.updated_at.to_string()),
        ("runs", entry.runs.to_string()),
    ];
    let mut put = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    put("registration ID", entry.registration_id.clone());
    put("model", entry.model.clone());
    put("firmware", entry.firmware.clone());
    if let Some(given) = &entry.given {
        put(
            "the API gave",
            Some(format!("{} ({}), {}", given.dps_instance, given.id_scope, attestation_text(&given.attestation))),
        );
        put("  global device endpoint", Some(given.global_device_endpoint.clone()));
        put("  at", Some(given.at.to_string()));
    }
    if let (Some(sent), Some(given)) = (&entry.sent, &entry.given) {
        let scope = (sent.id_scope != given.id_scope).then(|| format!("ID scope {}", sent.id_scope));
        let endpoint = (sent.global_device_endpoint != given.global_device_endpoint)
            .then(|| format!("endpoint {}", sent.global_device_endpoint));
        let differs: Vec<String> = [scope, endpoint].into_iter().flatten().collect();
        put("the device was sent", (!differs.is_empty()).then(|| format!("{}, by the settings", differs.join(", "))));
    }
    put("the device acknowledged", entry.acknowledged.digest.as_ref().map(|digest| format!("digest {digest}")));
    put("  staged", entry.acknowledged.staged_at.map(|at| at.to_string()));
    put("  commit begun", entry.acknowledged.committing_at.map(|at| at.to_string()));
    put("  committed", entry.acknowledged.committed_at.map(|at| at.to_string()));
    if let Some(said) = &entry.device_said {
        let parts = [&said.hub, &said.device_id, &said.substatus, &said.code, &said.text];
        let parts: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
        put("the device said", Some(format!("{} {}", said.phase, parts.join(", "))));
        put(
            "  old configuration",
            said.rolled_back.map(|back| if back { "in force again" } else { "replaced" }.to_owned()),
        );
        put("  at", Some(said.at.to_string()));
    }
    if let Some(said) = &entry.dps_said {
        let parts: Vec<_> = [&said.hub, &said.device_id].into_iter().flatten().map(String::as_str).collect();
        put("DPS said", Some(format!("{} {}", said.status, parts.join(", "))));
        put("  at", Some(said.at.to_string()));
    }
    put("the API was told", entry.recorded_at.map(|at| at.to_string()));
    if let Some(error) = &entry.error {
        let step = error.step.as_ref().map(|step| format!(" in step {step}")).unwrap_or_default();
        put("last error", Some(format!("{}{step}", error.code)));
    }
    facts
}
