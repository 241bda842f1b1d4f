//! The slots of a batch's devices, where the import asked for a staggered schedule.

use provisioning_api_contract::{ImportSchedule, ImportSlot, ProblemCode, Ring};
use sqlx::AnyConnection;

use crate::allocation::Wanted;
use crate::api::ApiError;
use crate::devices;
use crate::import::check::Incoming;
use crate::import::{Order, SHOWN};
use crate::placement::{self, Known, Slots, Times, decide};
use crate::store::{now, time};
use crate::words::from_word;

/// Gives each device a place and a slot. One that no DPS instance can take now gets its slot when it is paired.
pub(super) async fn give(
    db: &mut AnyConnection,
    order: &Order,
    keys: impl Iterator<Item = &str>,
    from: i64,
) -> Result<(), ApiError> {
    let mut known = placement::known_to(order.app.as_deref(), db).await?;
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

/// What a dry run knows of a device that would get a slot.
pub(super) enum Waiting {
    /// It is not there yet, or out of service; the key that it has.
    Comes(Option<String>),
    /// It is there, without a slot.
    Waits(String),
}

/// The slots that an import would give, one batch after the other; nothing of it is written.
pub(super) struct Rehearsal {
    known: Vec<Known>,
    slots: Slots,
    from: i64,
    given: ImportSchedule,
}

impl Rehearsal {
    pub(super) async fn begin(db: &mut AnyConnection, order: &Order, from: Option<i64>) -> Result<Self, ApiError> {
        let from = from.unwrap_or_else(now);
        let given = ImportSchedule { from: time(from), scheduled: 0, first: None, last: None, slots: Vec::new() };
        Ok(Self { known: placement::known_to(order.app.as_deref(), db).await?, slots: Slots::default(), from, given })
    }

    /// As [`give`] for one device.
    pub(super) async fn give(
        &mut self,
        db: &mut AnyConnection,
        order: &Order,
        incoming: &Incoming,
        waiting: &Waiting,
    ) -> Result<(), ApiError> {
        let (name, reserved) = match waiting {
            Waiting::Waits(key) => {
                let Some(device) = devices::by_key(db, key).await? else { return Ok(()) };
                let wanted = placement::wanted(db, &device).await?;
                let reserved = device.dps_instance.clone();
                (decide(&self.known, &wanted, reserved.as_deref()).map(str::to_owned), reserved)
            }
            Waiting::Comes(key) => {
                let wanted = Wanted {
                    tenant: &order.tenant,
                    region: incoming.region.as_deref(),
                    ring: incoming.ring.as_deref().and_then(from_word::<Ring>).unwrap_or_default(),
                    pin: incoming.dps_instance.as_deref(),
                    is_anothers: devices::is_held(db, &incoming.name, key.as_deref().unwrap_or_default()).await?,
                };
                (decide(&self.known, &wanted, None).map(str::to_owned), None)
            }
        };
        let Some(name) = name else { return Ok(()) };
        let Some(instance) = self.known.iter_mut().find(|one| one.candidate.name == name) else { return Ok(()) };
        instance.candidate.allocated += u64::from(reserved.as_ref() != Some(&name));
        let times = Times { from: self.from, closed: &|_| None, until: None };
        let Some(slot) = self.slots.next(db, instance, &times).await?.map(time) else { return Ok(()) };
        let given = &mut self.given;
        given.scheduled += 1;
        given.first = Some(given.first.map_or(slot, |first| first.min(slot)));
        given.last = Some(given.last.map_or(slot, |last| last.max(slot)));
        if given.slots.len() < SHOWN {
            let registration_id = incoming.registration_id.clone();
            given.slots.push(ImportSlot { registration_id, dps_instance: name, starts_at: slot });
        }
        Ok(())
    }

    pub(super) fn finish(self) -> ImportSchedule {
        self.given
    }
}
