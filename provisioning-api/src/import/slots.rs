//! The slots of a batch's devices, where the import asked for a staggered schedule.

use provisioning_api_contract::ProblemCode;
use sqlx::AnyConnection;

use crate::api::ApiError;
use crate::devices;
use crate::import::Order;
use crate::placement::{self, Slots, Times};

/// Gives each device a place and a slot. One that no DPS instance can take now gets its slot when it is paired.
pub(super) async fn give(
    db: &mut AnyConnection,
    order: &Order,
    keys: impl Iterator<Item = &str>,
    from: i64,
) -> Result<(), ApiError> {
    let mut known = match &order.app {
        Some(app) => placement::known(app, db).await?,
        None => Vec::new(),
    };
    let times = Times { from, closed: &|_| None, until: None };
    let (mut slots, mut given) = (Slots::default(), Vec::new());
    for key in keys {
        let Some(device) = devices::by_key(db, key).await? else { continue };
        if device.schedule_from.is_none() {
            sqlx::query("UPDATE devices SET schedule_from = $1 WHERE key = $2")
                .bind(from)
                .bind(key)
                .execute(&mut *db)
                .await?;
        }
        if order.app.is_none() {
            continue;
        }
        let (name, is_new) = match placement::place(&known, db, &device, key).await {
            Ok(place) => place,
            Err(error) if error.code() == ProblemCode::NoInstance => continue,
            Err(error) => return Err(error),
        };
        let Some(instance) = known.iter_mut().find(|one| one.candidate.name == name) else { continue };
        instance.candidate.allocated += u64::from(is_new);
        given.extend(slots.take(db, key, instance, &times).await?);
    }
    slots.save(db).await?;
    sqlx::query(
        "UPDATE imports SET scheduled = scheduled + $2, first_slot = CASE WHEN first_slot < $3 THEN first_slot ELSE $3 END,
             last_slot = CASE WHEN last_slot > $4 THEN last_slot ELSE $4 END WHERE id = $1 AND $2 > 0",
    )
    .bind(order.key())
    .bind(given.len() as i64)
    .bind(given.iter().min())
    .bind(given.iter().max())
    .execute(db)
    .await?;
    Ok(())
}
