//! The paths of the record of events.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use provisioning_api_contract::{Event, EventList, EventOrder, Problem, ProblemCode};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::ApiError;
use crate::api::auth::Auditor;
use crate::api::body::{Answer, DevicePath, Parameters};
use crate::app::App;
use crate::devices;
use crate::events::Row;
use crate::statement::Statement;
use crate::store::time;
use crate::tokens::Caller;

/// The longest page.
const MAX_PAGE: u32 = 500;

#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventParameters {
    /// Only of this device; case does not matter.
    device: Option<String>,
    /// Only by this account, as `who` spells it.
    who: Option<String>,
    /// Only of this kind, as `what` spells it.
    what: Option<String>,
    /// Only since then.
    since: Option<Timestamp>,
    /// Only before then.
    until: Option<Timestamp>,
    /// Which come first.
    #[serde(default)]
    order: EventOrder,
    /// `next` of the page before.
    cursor: Option<String>,
    /// At most so many, up to 500.
    limit: Option<u32>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageParameters {
    /// Which come first.
    #[serde(default)]
    order: EventOrder,
    /// `next` of the page before.
    cursor: Option<String>,
    /// At most so many, up to 500.
    limit: Option<u32>,
}

/// Who did what, when and why. For administrators and auditors; those of a tenant see its events.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    params(EventParameters),
    responses(
        (status = 200, description = "A page of events", body = EventList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Auditor(caller): Auditor,
    State(app): State<Arc<App>>,
    Parameters(parameters): Parameters<EventParameters>,
) -> Answer<EventList> {
    page(&app, &caller, parameters, None).await
}

/// What happened to a device since it is the caller's tenant's. For administrators and auditors.
#[utoipa::path(
    get,
    path = "/v1/devices/{registrationId}/events",
    tag = "events",
    params(
        ("registrationId" = String, Path, description = "As the device or the inventory spells it; case does not matter"),
        PageParameters,
    ),
    responses(
        (status = 200, description = "A page of events", body = EventList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn of_device(
    Auditor(caller): Auditor,
    State(app): State<Arc<App>>,
    DevicePath(id): DevicePath,
    Parameters(parameters): Parameters<PageParameters>,
) -> Answer<EventList> {
    let mut db = app.store.read().acquire().await?;
    let device = devices::find(&mut db, &caller, &id).await?;
    drop(db);
    let PageParameters { order, cursor, limit } = parameters;
    let parameters = EventParameters { order, cursor, limit, ..Default::default() };
    page(&app, &caller, parameters, Some(device.key())).await
}

async fn page(app: &App, caller: &Caller, parameters: EventParameters, key: Option<String>) -> Answer<EventList> {
    let limit = parameters.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let mut query = Statement::new("SELECT * FROM events WHERE 1 = 1");
    if let Some(tenant) = &caller.tenant {
        query.push(" AND tenant = ").bind(tenant);
    }
    if let Some(device) = &parameters.device {
        // All keys of this name: `A` is the character after `@`, and in no name.
        let name = device.to_ascii_lowercase();
        query.push(" AND (device_key = ").bind(name.clone());
        query.push(" OR (device_key >= ").bind(format!("{name}@"));
        query.push(" AND device_key < ").bind(format!("{name}A")).push("))");
    }
    if let Some(key) = key {
        query.push(" AND device_key = ").bind(key);
    }
    if let Some(who) = &parameters.who {
        query.push(" AND who = ").bind(who);
    }
    if let Some(what) = &parameters.what {
        query.push(" AND what = ").bind(what);
    }
    if let Some(since) = parameters.since {
        query.push(" AND at >= ").bind(since.as_millisecond());
    }
    if let Some(until) = parameters.until {
        query.push(" AND at < ").bind(until.as_millisecond());
    }
    if let Some(cursor) = &parameters.cursor {
        let wrong = || ApiError::new(ProblemCode::BadRequest).detail("cursor must be next of a page");
        let id: i64 = cursor.parse().map_err(|_| wrong())?;
        query.push(if parameters.order == EventOrder::Oldest { " AND id > " } else { " AND id < " }).bind(id);
    }
    query.push(if parameters.order == EventOrder::Oldest { " ORDER BY id LIMIT " } else { " ORDER BY id DESC LIMIT " });
    // One more tells whether there is a next page.
    query.bind(i64::from(limit) + 1);
    let mut db = app.store.read().acquire().await?;
    let rows = query.query(&db).fetch_all(&mut *db).await?;
    drop(db);
    let more = rows.len() > limit as usize;
    let rows = rows.iter().take(limit as usize).map(Row::read);
    let events: Vec<Event> = rows.map(|row| row.map(wire)).collect::<Result<_, _>>()?;
    let next = events.last().filter(|_| more).map(|event| event.id.to_string());
    Ok(Json(EventList { events, next }))
}

fn wire(row: Row) -> Event {
    Event {
        id: row.id,
        at: time(row.at),
        who: row.who,
        what: row.what,
        registration_id: row.device_key.map(|key| devices::name_of(&key).to_owned()),
        tenant: row.tenant,
        handoff_id: row.handoff_id.and_then(|id| id.parse().ok()),
        reason: row.reason,
        detail: row.detail.and_then(|text| serde_json::from_str(&text).ok()),
        hash: row.hash,
    }
}
