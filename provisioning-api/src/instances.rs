//! The DPS instances as administrators see and change them, and the dry run of an allocation.

use provisioning_api_contract::{
    Considered, DryRun, DryRunRequest, Instance, InstanceChange, InstanceState, ProblemCode,
};
use serde_json::json;
use sqlx::AnyConnection;

use crate::allocation::{Wanted, choose, ruled_out};
use crate::api::ApiError;
use crate::app::App;
use crate::config::{is_policy_name, region};
use crate::devices::{self, DEFAULT_TENANT};
use crate::etag::{self, Seen};
use crate::events;
use crate::placement::{self, Known};
use crate::registration_id::RegistrationId;
use crate::tokens::Caller;
use crate::words::word;

/// Characters of a reason.
const MAX_REASON: usize = 512;

/// The instances that the caller may know of, by name.
pub(crate) async fn list(app: &App, caller: &Caller) -> Result<Vec<Instance>, ApiError> {
    let mut db = app.store.read().acquire().await?;
    let known = placement::known(app, &mut db).await?;
    Ok(known.iter().filter(|one| knows(caller, one)).map(|one| to_wire(app, one)).collect())
}

/// Shared ones and their own; an instance that the configuration lost says no more whose it was.
fn knows(caller: &Caller, one: &Known) -> bool {
    match &one.candidate.tenant {
        Some(tenant) => caller.sees(tenant),
        None => one.configured || caller.tenant.is_none(),
    }
}

/// The same by name, as far as devices can go there: any other name is as unknown as one that no instance has.
pub(crate) fn knows_name(app: &App, caller: &Caller, name: &str) -> bool {
    let known = app.instances.get(name).map(|instance| instance.config.placement.tenant.as_deref());
    known.is_some_and(|tenant| tenant.is_none_or(|tenant| caller.sees(tenant)))
}

fn to_wire(app: &App, one: &Known) -> Instance {
    let configured = app.instances.get(&one.candidate.name);
    let placement = configured.map(|instance| instance.config.placement.clone()).unwrap_or_default();
    Instance {
        name: one.candidate.name.clone(),
        id_scope: one.id_scope.clone(),
        global_device_endpoint: one.endpoint.clone(),
        state: one.candidate.state,
        allocated: one.candidate.allocated,
        capacity: one.candidate.capacity,
        registrations_per_minute: one.registrations_per_minute,
        region: placement.region,
        tenant: placement.tenant,
        ring: placement.ring,
        linked_hubs: placement.linked_hubs,
        stamp: placement.stamp,
        certificate_policy: one.certificate_policy.clone(),
        configured: one.configured,
        circuit: configured.map(|instance| instance.dps.circuit()),
        etag: etag::of(one.version),
    }
}

/// Changes an instance that is as the caller saw it last.
pub(crate) async fn change(
    app: &App,
    name: &str,
    seen: &Seen,
    request: &InstanceChange,
    caller: &Caller,
) -> Result<Instance, ApiError> {
    let wrong = |what: &str| ApiError::new(ProblemCode::BadRequest).detail(what);
    let reason = request.reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON {
        return Err(wrong("reason must have 1 to 512 characters"));
    }
    if request.registrations_per_minute == Some(0)
        || request.capacity.is_some_and(|capacity| capacity > i64::MAX as u64)
    {
        return Err(wrong("registrationsPerMinute must be above zero, and capacity below 2^63"));
    }
    let policy = request.certificate_policy.as_deref();
    if policy.is_some_and(|name| !name.is_empty() && !is_policy_name(name)) {
        return Err(wrong("certificatePolicy must have 1 to 128 characters, or none for no policy"));
    }
    let mut tx = app.store.begin().await?;
    let before = one(app, &mut tx, caller, name).await?;
    // A shared instance is everybody's, and changed by the operator's own people only.
    if caller.tenant.is_some() && before.candidate.tenant != caller.tenant {
        return Err(ApiError::new(ProblemCode::Forbidden));
    }
    seen.check(before.version)?;
    sqlx::query(
        "UPDATE instances SET version = version + 1,
             state = COALESCE($2, CASE WHEN $5 THEN NULL ELSE state END),
             capacity = COALESCE($3, CASE WHEN $5 THEN NULL ELSE capacity END),
             registrations_per_minute = COALESCE($4, CASE WHEN $5 THEN NULL ELSE registrations_per_minute END),
             certificate_policy = COALESCE($6, CASE WHEN $5 THEN NULL ELSE certificate_policy END)
         WHERE name = $1",
    )
    .bind(name)
    .bind(request.state.map(word::<InstanceState>))
    .bind(request.capacity.map(|capacity| capacity as i64))
    .bind(request.registrations_per_minute.map(i64::from))
    .bind(request.from_file)
    .bind(policy)
    .execute(&mut *tx)
    .await?;
    let after = one(app, &mut tx, caller, name).await?;
    let said = |known: &Known| {
        json!({
            "state": known.candidate.state,
            "capacity": known.candidate.capacity,
            "registrationsPerMinute": known.registrations_per_minute,
            "certificatePolicy": known.certificate_policy,
        })
    };
    let detail = json!({ "dpsInstance": name, "before": said(&before), "after": said(&after), "reason": reason });
    let tenant = before.candidate.tenant.as_deref();
    events::record_of(&mut tx, tenant, &caller.who(), "instance changed", &detail).await?;
    tx.commit().await?;
    Ok(to_wire(app, &after))
}

async fn one(app: &App, db: &mut AnyConnection, caller: &Caller, name: &str) -> Result<Known, ApiError> {
    let known = placement::known(app, db).await?;
    let one = known.into_iter().find(|one| one.candidate.name == name && knows(caller, one));
    one.ok_or_else(|| ApiError::new(ProblemCode::NotFound))
}

/// Where a device would go, and why. Reserves nothing.
pub(crate) async fn dry_run(app: &App, request: &DryRunRequest, caller: &Caller) -> Result<DryRun, ApiError> {
    let wrong = |what: &str| ApiError::new(ProblemCode::BadRequest).detail(what);
    let mut db = app.store.read().acquire().await?;
    let known = placement::known(app, &mut db).await?;
    let mut candidates = placement::candidates(&known);
    let device = match &request.registration_id {
        Some(id) => {
            let others = request.tenant.is_some()
                || request.region.is_some()
                || request.ring.is_some()
                || request.dps_instance.is_some();
            if others {
                return Err(wrong("with a registrationId the device's own attributes count"));
            }
            let id = RegistrationId::parse(id).ok_or_else(|| ApiError::new(ProblemCode::DeviceUnknown))?;
            Some(devices::find(&mut db, caller, &id).await?)
        }
        None => None,
    };
    if request.tenant.as_ref().is_some_and(|tenant| !caller.sees(tenant)) {
        return Err(ApiError::new(ProblemCode::Forbidden));
    }
    let given_region = match &request.region {
        Some(text) => Some(region(text).ok_or_else(|| wrong("a region is 1 to 64 of a-z 0-9 -"))?),
        None => None,
    };
    let own = caller.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
    let wanted = match &device {
        Some(device) => placement::wanted(&mut db, device).await?,
        None => Wanted {
            tenant: request.tenant.as_deref().unwrap_or(own),
            region: given_region.as_deref(),
            ring: request.ring.unwrap_or_default(),
            pin: request.dps_instance.as_deref(),
            is_anothers: false,
        },
    };
    let at = device.as_ref().and_then(|device| device.dps_instance.as_deref());
    for one in candidates.iter_mut().filter(|one| Some(one.name.as_str()) == at) {
        one.allocated = one.allocated.saturating_sub(1);
    }
    let settled = at.is_some() && device.as_ref().is_some_and(|device| device.allocated_at.is_some());
    let kept = at.filter(|name| {
        let may = |name: &str| {
            candidates.iter().any(|one| one.name == name && ruled_out(one, &wanted, &candidates).is_empty())
        };
        settled || may(name)
    });
    let chosen = kept.map(str::to_owned).or_else(|| choose(&candidates, &wanted).map(|one| one.name.clone()));
    let instances = candidates
        .iter()
        .filter(|one| known.iter().any(|known| known.candidate.name == one.name && knows(caller, known)))
        .map(|one| Considered {
            name: one.name.clone(),
            ruled_out: ruled_out(one, &wanted, &candidates),
            allocated: one.allocated,
            capacity: one.capacity,
            used_ppm: u64::try_from(u128::from(one.allocated) * 1_000_000 / u128::from(one.capacity.max(1)))
                .unwrap_or(u64::MAX),
        })
        .collect();
    Ok(DryRun { chosen, settled, instances })
}
