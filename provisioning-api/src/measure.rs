//! For benches/allocation.rs: the allocation's one transaction, and the same transaction without a decision.

use provisioning_api_contract::{AllocationRequest, Attestation};
use serde_json::json;
use sqlx::Row as _;
use uuid::Uuid;

use crate::allocation::choose;
use crate::devices::{self, Record};
use crate::registration_id::RegistrationId;
use crate::server::Running;
use crate::store::now;
use crate::tokens::Caller;
use crate::{events, pairing, placement};

type Faults = Box<dyn std::error::Error + Send + Sync>;

fn name(number: u32) -> RegistrationId {
    RegistrationId::parse(&format!("m-{number}")).unwrap_or_else(|| unreachable!("a letter, a dash and a number"))
}

fn failed(error: &crate::api::ApiError) -> Faults {
    error.words().into()
}

#[doc(hidden)]
impl Running {
    /// Puts devices into the inventory, in one transaction.
    pub async fn measure_fill(&self, count: u32) -> Result<(), Faults> {
        let mut tx = self.app.store.begin().await?;
        for number in 0..count {
            let id = name(number);
            sqlx::query("INSERT INTO devices (key, registration_id, created_at, updated_at) VALUES ($1, $1, 0, 0)")
                .bind(id.name())
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// One allocation, but for what DPS does.
    pub async fn measure_allocation(&self, number: u32) -> Result<(), Faults> {
        let request = AllocationRequest {
            handoff_id: Uuid::new_v4(),
            attestations: vec![Attestation::SymmetricKey],
            model: None,
            firmware: None,
            tpm: None,
            certificate_from_dps: false,
        };
        let done = pairing::reserve(&self.app, &name(number), &request, &Caller::operator()).await;
        done.map(drop).map_err(|error| failed(&error))
    }

    /// What an allocation reads and writes, at an instance that is known beforehand.
    pub async fn measure_bare(&self, number: u32, instance: &str) -> Result<(), Faults> {
        let (id, caller) = (name(number), Caller::operator());
        let mut tx = self.app.store.begin().await?;
        let device: Option<Record> =
            devices::of_tenant(&mut tx, devices::DEFAULT_TENANT, &id).await.map_err(|error| failed(&error))?;
        let key = device.map(|device| device.key()).unwrap_or_default();
        sqlx::query("SELECT * FROM instances ORDER BY name").fetch_all(&mut *tx).await?;
        sqlx::query(
            "UPDATE devices SET dps_instance = $2, attestation = 'symmetricKey', handoff_id = $3, handoff_account = $4,
                 handoff_at = $5, handoff_begun_at = $5, handoff_open = 1, reserved_at = $5, reserved_until = $5, updated_at = $5
             WHERE key = $1",
        )
        .bind(&key)
        .bind(instance)
        .bind(Uuid::new_v4().to_string())
        .bind(&caller.account_id)
        .bind(now())
        .execute(&mut *tx)
        .await?;
        let detail = json!({ "dpsInstance": instance, "attestation": "symmetricKey" });
        events::record(&mut tx, &caller.who(), "instance reserved", &key, Some(Uuid::new_v4()), Some(&detail)).await?;
        Ok(tx.commit().await?)
    }

    /// The decision alone, so many times, over the instances as they are; returns how often one was chosen.
    pub async fn measure_decision(&self, times: u32) -> Result<u32, Faults> {
        let mut db = self.app.store.read().acquire().await?;
        let known = placement::known(&self.app, &mut db).await.map_err(|error| failed(&error))?;
        let candidates = placement::candidates(&known);
        let wanted = crate::allocation::Wanted {
            tenant: devices::DEFAULT_TENANT,
            region: None,
            ring: provisioning_api_contract::Ring::Production,
            pin: None,
            is_anothers: false,
        };
        Ok((0..times).filter(|_| choose(std::hint::black_box(&candidates), &wanted).is_some()).count() as u32)
    }

    /// How many devices each instance has.
    pub async fn measure_usage(&self) -> Result<Vec<i64>, Faults> {
        let rows =
            sqlx::query("SELECT allocated FROM instances ORDER BY name").fetch_all(self.app.store.read()).await?;
        Ok(rows.iter().map(|row| row.try_get("allocated")).collect::<Result<_, _>>()?)
    }
}
