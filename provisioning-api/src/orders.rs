//! Work orders: who may reach which devices, and when. The rules in words: docs/work-orders.md.

use provisioning_api_contract::{
    AnyOf, Lifecycle, NewWorkOrder, OpeningHours, OrderDevice, OrderState, ProblemCode, WorkOrder, WorkOrderChange,
};
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use crate::api::ApiError;
use crate::app::App;
use crate::devices::{self, Record};
use crate::events;
use crate::hours::Hours;
use crate::placement::{self, Slots, Times};
use crate::registration_id::RegistrationId;
use crate::role::Role;
use crate::schedule::MINUTE;
use crate::store::{Store, count, flag, now, optional_count, time};
use crate::tokens::Caller;
use crate::words::{from_word, word};

/// A pairing that began while its order was open may go on for so long after its beginning, whether the order is closed
/// meanwhile or its hours end: the longest pairing, with a device that DPS throttles, has ten minutes.
const FINISH: i64 = 30 * MINUTE;

/// Devices in one order: its answer is read whole.
pub(crate) const MAX_DEVICES: usize = 1000;

/// Characters of a site's name.
const MAX_SITE: usize = 200;

/// A work order as the database has it.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    pub(crate) tenant: String,
    site: String,
    pub(crate) account_id: String,
    pub(crate) state: OrderState,
    any_model: Option<String>,
    at_most: Option<u32>,
    taken: u32,
    opens: Option<i64>,
    pub(crate) closes: Option<i64>,
    opening: Option<OpeningHours>,
    pub(crate) schedule: bool,
    created_at: i64,
    version: i64,
}

impl Order {
    fn hours(&self) -> Option<Hours> {
        self.opening.as_ref().and_then(Hours::parse)
    }

    /// Whether its devices can be paired at this time.
    pub(crate) fn is_open(&self, at: i64) -> bool {
        self.state == OrderState::Open
            && self.opens.is_none_or(|opens| opens <= at)
            && self.closes.is_none_or(|closes| at < closes)
            && match (&self.opening, self.hours()) {
                (None, _) => true,
                (Some(_), Some(hours)) => hours.is_open(at),
                // A time zone that this machine has lost: closed is the safe side.
                (Some(_), None) => false,
            }
    }

    /// When it opens next, if it is closed at that time; whatever its state.
    fn closed(&self, at: i64) -> Option<i64> {
        match self.opens {
            Some(opens) if at < opens => Some(opens),
            _ => self.hours().and_then(|hours| hours.opens_after(at)),
        }
    }

    /// For a device that is paired under it now: its slot.
    pub(crate) async fn slot(
        &self,
        db: &mut AnyConnection,
        slots: &mut Slots,
        device: &Record,
        instance: &placement::Known,
    ) -> Result<i64, ApiError> {
        let closed = |at| self.closed(at);
        let times = Times { from: device.schedule_from.unwrap_or_default(), closed: &closed, until: self.closes };
        let slot = slots.take(db, &device.key(), instance, &times).await?;
        slot.ok_or_else(|| {
            ApiError::new(ProblemCode::OrderNotOpen)
                .detail("the order ends before its DPS instance has a minute in which the device could register")
        })
    }

    pub(crate) fn to_wire(&self, devices: Vec<OrderDevice>) -> WorkOrder {
        WorkOrder {
            id: self.id,
            tenant: self.tenant.clone(),
            site: self.site.clone(),
            installer: self.account_id.clone(),
            state: self.state,
            open_now: self.is_open(now()),
            any_of: self.at_most.map(|at_most| AnyOf { model: self.any_model.clone(), at_most }),
            taken: self.taken,
            opens: self.opens.map(time),
            closes: self.closes.map(time),
            hours: self.opening.clone(),
            schedule: self.schedule,
            devices,
            created_at: time(self.created_at),
            etag: crate::etag::of(self.version),
        }
    }
}

// ---- who may reach a device --------------------------------------------------------------------------------------

/// Whether the order of an installer lets them reach this device now: one that names it, one that has room for it, or the
/// one that it is being paired under.
pub(crate) async fn admits(db: &mut AnyConnection, caller: &Caller, device: &Record) -> Result<bool, ApiError> {
    if admission(db, caller, device).await?.is_some() {
        return Ok(true);
    }
    may_finish(db, caller, device).await
}

/// The open order under which this installer may pair this device, one that names it before one that has room for it.
async fn admission(
    db: &mut AnyConnection,
    caller: &Caller,
    device: &Record,
) -> Result<Option<(Order, bool)>, ApiError> {
    let at = now();
    let rows = sqlx::query(
        "SELECT work_orders.*, CASE WHEN work_order_devices.device_key IS NULL THEN 0 ELSE 1 END AS named FROM work_orders
         LEFT JOIN work_order_devices ON order_id = id AND device_key = $1
         WHERE account_id = $2 AND state = 'open' AND tenant = $3
           AND (opens IS NULL OR opens <= $4) AND (closes IS NULL OR $4 < closes)
           AND (device_key IS NOT NULL OR (at_most > work_orders.taken AND (any_model IS NULL OR any_model = $5)))
         ORDER BY named DESC, number",
    )
    .bind(device.key())
    .bind(&caller.account_id)
    .bind(&device.tenant)
    .bind(at)
    .bind(&device.model)
    .fetch_all(db)
    .await?;
    for row in rows {
        let order = order(&row)?;
        if order.is_open(at) {
            return Ok(Some((order, flag(&row, "named")?)));
        }
    }
    Ok(None)
}

/// They began a pairing of it while the order was open, which was not called off since.
async fn may_finish(db: &mut AnyConnection, caller: &Caller, device: &Record) -> Result<bool, ApiError> {
    let age = now().saturating_sub(device.handoff_begun_at);
    let theirs = device.handoff_open && device.handoff_account.as_ref() == Some(&caller.account_id);
    if !theirs || !(0..FINISH).contains(&age) {
        return Ok(false);
    }
    is_in_an_order(db, caller, device).await
}

/// The device is in an order of theirs that was not called off, open or not.
async fn is_in_an_order(db: &mut AnyConnection, caller: &Caller, device: &Record) -> Result<bool, ApiError> {
    let found = sqlx::query(
        "SELECT 1 FROM work_orders JOIN work_order_devices ON order_id = id
         WHERE device_key = $1 AND account_id = $2 AND tenant = $3 AND state != 'cancelled' LIMIT 1",
    )
    .bind(device.key())
    .bind(&caller.account_id)
    .bind(&device.tenant)
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// As [`admits`], for telling how a pairing ended: an app that had no network tells it late, and it is true all the same.
pub(crate) async fn may_tell(db: &mut AnyConnection, caller: &Caller, device: &Record) -> Result<bool, ApiError> {
    let theirs = device.handoff_account.as_ref() == Some(&caller.account_id);
    Ok(theirs || is_in_an_order(db, caller, device).await? || admits(db, caller, device).await?)
}

/// Whether this device was given sealed to this installer, and was not assigned by a later pairing: then a hand-off that
/// the API never heard of may be true.
pub(crate) async fn was_given_offline(
    db: &mut AnyConnection,
    caller: &Caller,
    device: &Record,
) -> Result<bool, ApiError> {
    let given_at: Option<i64> = sqlx::query_scalar(
        "SELECT MAX(offline_at) FROM work_orders JOIN work_order_devices ON order_id = id
         WHERE device_key = $1 AND account_id = $2 AND tenant = $3",
    )
    .bind(device.key())
    .bind(&caller.account_id)
    .bind(&device.tenant)
    .fetch_one(db)
    .await?;
    let since = |at| device.lifecycle == Lifecycle::Assigned && device.handoff_begun_at > at;
    Ok(given_at.is_some_and(|at| !since(at)))
}

/// Counts a device in whose pairing begins. The transaction holds the writer's lock: "at most N" is N whoever else asks.
///
/// `None`: the caller needs no order, or goes on with a pairing that began while it was open.
///
/// # Errors
/// `device-unknown`, when no order of theirs is open for it.
pub(crate) async fn claim(
    db: &mut AnyConnection,
    caller: &Caller,
    device: &Record,
    handoff_id: Uuid,
) -> Result<Option<Order>, ApiError> {
    if caller.role != Role::Installer {
        return Ok(None);
    }
    let Some((order, named)) = admission(db, caller, device).await? else {
        return match device.handoff_id == Some(handoff_id) && may_finish(db, caller, device).await? {
            true => Ok(None),
            false => Err(ApiError::new(ProblemCode::DeviceUnknown)),
        };
    };
    if !named {
        let done = sqlx::query("UPDATE work_orders SET taken = taken + 1 WHERE id = $1 AND taken < at_most")
            .bind(order.id.to_string())
            .execute(&mut *db)
            .await?;
        if done.rows_affected() != 1 {
            return Err(ApiError::new(ProblemCode::DeviceUnknown));
        }
        add(db, order.id, &device.key(), true).await?;
        let detail = json!({ "workOrder": order.id, "site": order.site });
        events::record(db, &caller.who(), "taken for a work order", &device.key(), Some(handoff_id), Some(&detail))
            .await?;
    }
    Ok(Some(order))
}

async fn add(db: &mut AnyConnection, order: Uuid, device_key: &str, taken: bool) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO work_order_devices (order_id, device_key, added_at, taken) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(order.to_string())
    .bind(device_key)
    .bind(now())
    .bind(i64::from(taken))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

// ---- making, reading, changing -----------------------------------------------------------------------------------

/// Opens an order; a dry run gives the same answer and keeps nothing.
pub(crate) async fn open(
    app: &App,
    request: &NewWorkOrder,
    caller: &Caller,
    dry_run: bool,
) -> Result<WorkOrder, ApiError> {
    check(request)?;
    let mut tx = app.store.begin().await?;
    let answer = open_in(&mut tx, Some(app), request, caller).await?;
    match dry_run {
        true => tx.rollback().await?,
        false => tx.commit().await?,
    }
    Ok(answer)
}

/// As [`open`], within a transaction. Without the service devices can go where they could at the one that started last.
pub(crate) async fn open_in(
    tx: &mut AnyConnection,
    app: Option<&App>,
    request: &NewWorkOrder,
    caller: &Caller,
) -> Result<WorkOrder, ApiError> {
    let account = sqlx::query("SELECT role, tenant FROM accounts WHERE id = $1 AND disabled_at IS NULL")
        .bind(&request.installer)
        .fetch_optional(&mut *tx)
        .await?;
    let account = account.map(|row| -> Result<_, sqlx::Error> {
        Ok((row.try_get::<String, _>("role")?, row.try_get::<Option<String>, _>("tenant")?))
    });
    let own = match account.transpose()? {
        Some((role, own)) if Role::parse(&role) == Some(Role::Installer) => own,
        _ => return Err(bad("installer must be the ID of an installer's account")),
    };
    let tenant = match (&caller.tenant, own) {
        (Some(tenant), Some(own)) if *tenant != own => {
            return Err(bad("installer must be the ID of an installer's account"));
        }
        (_, Some(own)) => own,
        (Some(tenant), None) => tenant.clone(),
        (None, None) => request.tenant.clone().unwrap_or_else(|| devices::DEFAULT_TENANT.to_owned()),
    };
    if request.tenant.as_ref().is_some_and(|asked| *asked != tenant) {
        return Err(bad("the installer or you have no access to that tenant"));
    }
    let id = Uuid::new_v4();
    let at = now();
    sqlx::query(
        "INSERT INTO work_orders (id, tenant, site, account_id, state_at, any_model, at_most, opens, closes,
             hours_from, hours_until, time_zone, schedule, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $5)",
    )
    .bind(id.to_string())
    .bind(&tenant)
    .bind(request.site.trim())
    .bind(&request.installer)
    .bind(at)
    .bind(request.any_of.as_ref().and_then(|any| any.model.clone()))
    .bind(request.any_of.as_ref().map(|any| i64::from(any.at_most)))
    .bind(request.opens.map(|at| at.as_millisecond()))
    .bind(request.closes.map(|at| at.as_millisecond()))
    .bind(request.hours.as_ref().map(|hours| &hours.from))
    .bind(request.hours.as_ref().map(|hours| &hours.until))
    .bind(request.hours.as_ref().map(|hours| &hours.time_zone))
    .bind(i64::from(request.schedule))
    .bind(at)
    .execute(&mut *tx)
    .await?;
    let order = find_any(tx, id).await?;
    name_devices(tx, app, &order, &request.devices).await?;
    let detail = json!({
        "workOrder": id, "site": order.site, "installer": request.installer, "devices": request.devices,
        "anyOf": request.any_of, "opens": request.opens, "closes": request.closes, "hours": request.hours,
        "schedule": request.schedule,
    });
    events::record_of(tx, Some(&order.tenant), &caller.who(), "work order opened", &detail).await?;
    with_devices(tx, &order).await
}

/// Puts devices into an order, each with its slot if the order has a schedule.
async fn name_devices(
    db: &mut AnyConnection,
    app: Option<&App>,
    order: &Order,
    names: &[String],
) -> Result<(), ApiError> {
    let mut slots = Slots::default();
    for (index, name) in names.iter().enumerate() {
        let unknown = || bad(&format!("device {} of the list is not in the inventory", index + 1));
        let id = RegistrationId::parse(name).ok_or_else(unknown)?;
        let device = devices::of_tenant(db, &order.tenant, &id).await?.ok_or_else(unknown)?;
        add(db, order.id, &device.key(), false).await?;
        if order.schedule {
            let mut known = placement::known_to(app, db).await?;
            if app.is_none() && placement::candidates(&known).is_empty() {
                // No service has run yet: they get their slots when they are paired.
                continue;
            }
            let (instance, _) = placement::place(&known, db, &device, &device.key()).await?;
            known.retain(|one| one.candidate.name == instance);
            if let Some(instance) = known.first() {
                order.slot(db, &mut slots, &device, instance).await?;
            }
        }
    }
    slots.save(db).await?;
    Ok(())
}

/// The order, if the caller may know of it.
pub(crate) async fn find(db: &mut AnyConnection, caller: &Caller, id: Uuid) -> Result<Order, ApiError> {
    let installer = (caller.role == Role::Installer).then_some(&caller.account_id);
    let tenant = caller.tenant.as_ref().filter(|_| installer.is_none());
    // The database compares: to read another's order takes longer than to find none.
    let row = sqlx::query(
        "SELECT * FROM work_orders WHERE id = $1 AND ($2 IS NULL OR account_id = $2) AND ($3 IS NULL OR tenant = $3)",
    )
    .bind(id.to_string())
    .bind(installer)
    .bind(tenant)
    .fetch_optional(db)
    .await?;
    Ok(order(&row.ok_or_else(|| ApiError::new(ProblemCode::OrderUnknown))?)?)
}

async fn find_any(db: &mut AnyConnection, id: Uuid) -> Result<Order, ApiError> {
    let row = sqlx::query("SELECT * FROM work_orders WHERE id = $1").bind(id.to_string()).fetch_optional(db).await?;
    let row = row.ok_or_else(|| ApiError::new(ProblemCode::OrderUnknown))?;
    Ok(order(&row)?)
}

/// The order with its devices.
pub(crate) async fn with_devices(db: &mut AnyConnection, order: &Order) -> Result<WorkOrder, ApiError> {
    let rows = sqlx::query(
        "SELECT registration_id, lifecycle, starts_at FROM work_order_devices JOIN devices ON key = device_key
         WHERE order_id = $1 ORDER BY key",
    )
    .bind(order.id.to_string())
    .fetch_all(db)
    .await?;
    let mut devices = Vec::with_capacity(rows.len());
    for row in rows {
        let starts_at: Option<i64> = row.try_get("starts_at")?;
        devices.push(OrderDevice {
            registration_id: row.try_get("registration_id")?,
            lifecycle: from_word(row.try_get("lifecycle")?).unwrap_or(Lifecycle::Expected),
            starts_at: starts_at.filter(|_| order.schedule).map(time),
        });
    }
    Ok(order.to_wire(devices))
}

/// At most `limit` orders that were made after this one and that the caller may know of, without their devices.
pub(crate) async fn list(
    db: &mut AnyConnection,
    caller: &Caller,
    after: Option<Uuid>,
    state: Option<OrderState>,
    limit: u32,
) -> Result<Vec<WorkOrder>, ApiError> {
    let installer = (caller.role == Role::Installer).then_some(&caller.account_id);
    let rows = sqlx::query(
        "SELECT * FROM work_orders
         WHERE number > COALESCE((SELECT number FROM work_orders
             WHERE id = $1 AND ($2 IS NULL OR account_id = $2) AND ($3 IS NULL OR tenant = $3)), 0)
           AND ($2 IS NULL OR account_id = $2) AND ($3 IS NULL OR tenant = $3) AND ($4 IS NULL OR state = $4)
         ORDER BY number LIMIT $5",
    )
    .bind(after.map(|id| id.to_string()))
    .bind(installer)
    .bind(&caller.tenant)
    .bind(state.map(word))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok(order(row)?.to_wire(Vec::new()))).collect()
}

/// Changes an order that is as the caller saw it last.
pub(crate) async fn change(
    app: &App,
    id: Uuid,
    seen: &crate::etag::Seen,
    request: &WorkOrderChange,
    caller: &Caller,
) -> Result<WorkOrder, ApiError> {
    let mut tx = app.store.begin().await?;
    let order = find(&mut tx, caller, id).await?;
    seen.check(order.version)?;
    let conflict = |what: &str| Err(ApiError::new(ProblemCode::OrderNotOpen).detail(what));
    let state = request.state.unwrap_or(order.state);
    if order.state == OrderState::Cancelled {
        return conflict("a cancelled order stays cancelled");
    }
    if !matches!(state, OrderState::Open | OrderState::Closed | OrderState::Cancelled) {
        return Err(bad("state must be open, closed or cancelled"));
    }
    if request.at_most.is_some() && order.at_most.is_none() {
        return Err(bad("the order has no anyOf"));
    }
    if request.add.len() + request.remove.len() > MAX_DEVICES {
        return Err(bad("at most 1000 devices at once"));
    }
    sqlx::query(
        "UPDATE work_orders SET state = $2, state_at = CASE WHEN state = $2 THEN state_at ELSE $3 END,
             closes = COALESCE($4, closes), at_most = COALESCE($5, at_most), version = version + 1 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(word(state))
    .bind(now())
    .bind(request.closes.map(|at| at.as_millisecond()))
    .bind(request.at_most.map(i64::from))
    .execute(&mut *tx)
    .await?;
    for name in &request.remove {
        let Some(device) = RegistrationId::parse(name) else { continue };
        sqlx::query(
            "DELETE FROM work_order_devices WHERE order_id = $1
                 AND device_key = (SELECT key FROM devices WHERE name = $2 AND tenant = $3)",
        )
        .bind(id.to_string())
        .bind(device.name())
        .bind(&order.tenant)
        .execute(&mut *tx)
        .await?;
    }
    let order = find_any(&mut tx, id).await?;
    name_devices(&mut tx, Some(app), &order, &request.add).await?;
    let detail = json!({ "workOrder": id, "change": request });
    events::record_of(&mut tx, Some(&order.tenant), &caller.who(), "work order changed", &detail).await?;
    let answer = with_devices(&mut tx, &order).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Closes or cancels an order, whatever it was; for the operator's command line.
pub(crate) async fn end(store: &Store, id: Uuid, state: OrderState, caller: &Caller) -> Result<(), ApiError> {
    let mut tx = store.begin().await?;
    let tenant: Option<String> = sqlx::query_scalar(
        "UPDATE work_orders SET state = $2, state_at = $3, version = version + 1 WHERE id = $1 AND state != 'cancelled'
         RETURNING tenant",
    )
    .bind(id.to_string())
    .bind(word(state))
    .bind(now())
    .fetch_optional(&mut *tx)
    .await?;
    let tenant = tenant.ok_or_else(|| ApiError::new(ProblemCode::OrderUnknown))?;
    let detail = json!({ "workOrder": id, "change": { "state": state } });
    events::record_of(&mut tx, Some(&tenant), &caller.who(), "work order changed", &detail).await?;
    tx.commit().await?;
    Ok(())
}

pub(crate) fn check(request: &NewWorkOrder) -> Result<(), ApiError> {
    let site = request.site.trim();
    // What is shown on terminals and pages holds nothing that could move a cursor or turn the text around.
    let plain = |c: char| {
        !c.is_control()
            && !('\u{200e}'..='\u{200f}').contains(&c)
            && !('\u{2028}'..='\u{202e}').contains(&c)
            && !('\u{2066}'..='\u{2069}').contains(&c)
    };
    if site.is_empty() || site.chars().count() > MAX_SITE || !site.chars().all(plain) {
        return Err(bad("site must have 1 to 200 characters of plain text"));
    }
    if request.devices.is_empty() && request.any_of.is_none() {
        return Err(bad("an order names devices, or says how many of which model"));
    }
    if request.devices.len() > MAX_DEVICES {
        return Err(bad("an order has at most 1000 devices"));
    }
    if request
        .any_of
        .as_ref()
        .is_some_and(|any| any.at_most == 0 || any.model.as_ref().is_some_and(|model| model.len() > 128))
    {
        return Err(bad("anyOf is at most 1 or more devices, of a model with at most 128 bytes"));
    }
    if request.hours.as_ref().is_some_and(|hours| Hours::parse(hours).is_none()) {
        return Err(bad("hours are HH:MM to HH:MM in a time zone by its IANA name"));
    }
    if let (Some(opens), Some(closes)) = (request.opens, request.closes)
        && closes <= opens
    {
        return Err(bad("closes must be after opens"));
    }
    Ok(())
}

fn bad(what: &str) -> ApiError {
    ApiError::new(ProblemCode::BadRequest).detail(what)
}

fn order(row: &AnyRow) -> Result<Order, sqlx::Error> {
    let text = |column: &str| -> Result<Option<String>, sqlx::Error> { row.try_get(column) };
    let hours = text("hours_from")?.zip(text("hours_until")?).zip(text("time_zone")?);
    Ok(Order {
        id: row.try_get::<String, _>("id")?.parse().unwrap_or_default(),
        tenant: row.try_get("tenant")?,
        site: row.try_get("site")?,
        account_id: row.try_get("account_id")?,
        // A state of the future is not open.
        state: from_word(row.try_get("state")?).unwrap_or(OrderState::Closed),
        any_model: row.try_get("any_model")?,
        at_most: optional_count(row, "at_most")?,
        taken: count(row, "taken")?,
        opens: row.try_get("opens")?,
        closes: row.try_get("closes")?,
        opening: hours.map(|((from, until), time_zone)| OpeningHours { from, until, time_zone }),
        schedule: flag(row, "schedule")?,
        created_at: row.try_get("created_at")?,
        version: row.try_get("version")?,
    })
}
