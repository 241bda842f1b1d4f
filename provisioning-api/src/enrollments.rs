//! The enrollment groups that devices register under: one for each instance and attestation, made once and remembered.

use std::time::Duration;

use provisioning_api_contract::{Attestation, ReprovisionPolicy, TpmKeys};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Row as _};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::authorities::Authorities;
use crate::authority::{Authority, AuthorityError};
use crate::config::InstanceConfig;
use crate::dps_client::{DpsClient, DpsError, Expect, GroupAttestation};
use crate::store::{Store, now};
use crate::vault::{Vault, VaultError};
use crate::words::word;

/// Group keys have 512 bits, as those that Azure makes itself.
const GROUP_KEY_BYTES: usize = 64;

/// A DPS instance, and the way to it.
pub(crate) struct Instance {
    pub(crate) config: InstanceConfig,
    pub(crate) dps: DpsClient,
    /// One at a time makes groups; the others then find them made.
    making: Mutex<()>,
}

/// Where groups and their keys are kept.
pub(crate) struct Enrollments<'a> {
    pub(crate) store: &'a Store,
    pub(crate) vault: &'a Vault,
    pub(crate) authorities: &'a Authorities,
    pub(crate) trust: Duration,
    /// How long to wait while another request makes a group.
    pub(crate) patience: Duration,
}

/// Why a group is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EnrollmentError {
    #[error(transparent)]
    Dps(#[from] DpsError),
    #[error("the enrollment group {0} is disabled in DPS")]
    Disabled(String),
    #[error("the group's key cannot be kept or had")]
    Vault(#[from] VaultError),
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
    #[error("the device CA cannot be had")]
    Authority(#[from] AuthorityError),
    #[error("DPS knows another TPM under this registration ID")]
    OtherTpm,
    #[error("no group is made for this attestation")]
    Attestation,
}

impl Instance {
    pub(crate) fn new(config: InstanceConfig, dps: DpsClient) -> Self {
        Self { config, dps, making: Mutex::new(()) }
    }

    /// The credential policy by which it issues devices' certificates, as an administrator or else the configuration has it.
    pub(crate) async fn certificate_policy(&self, db: &mut AnyConnection) -> Result<Option<String>, sqlx::Error> {
        let changed: Option<Option<String>> =
            sqlx::query_scalar("SELECT certificate_policy FROM instances WHERE name = $1")
                .bind(&self.config.name)
                .fetch_optional(db)
                .await?;
        Ok(policy(changed.flatten(), self.config.certificate_policy.as_ref()))
    }

    /// The way to it for whatever makes or changes enrollments.
    pub(crate) async fn enrolling(&self, db: &mut AnyConnection) -> Result<DpsClient, sqlx::Error> {
        Ok(self.dps.by_policy(self.certificate_policy(db).await?))
    }
}

/// An enrollment's `reprovisionPolicy`; what nobody asked for otherwise migrates.
pub(crate) fn reprovisioning(policy: Option<ReprovisionPolicy>) -> Value {
    let (update_hub, migrate) = match policy {
        Some(ReprovisionPolicy::KeepData) => (false, false),
        Some(ReprovisionPolicy::Reset) => (true, false),
        _ => (true, true),
    };
    json!({ "updateHubAssignment": update_hub, "migrateDeviceData": migrate })
}

/// What an administrator said last counts, and nothing is "none".
pub(crate) fn policy(changed: Option<String>, configured: Option<&String>) -> Option<String> {
    changed.or_else(|| configured.cloned()).filter(|name| !name.is_empty())
}

impl Enrollments<'_> {
    /// The group exists in DPS when this returns; for X.509 with our CA, for symmetric keys with the key that we keep.
    pub(crate) async fn ensure(&self, instance: &Instance, attestation: Attestation) -> Result<(), EnrollmentError> {
        let (authority, policy) = {
            let mut db = self.store.read().acquire().await?;
            let policy = instance.certificate_policy(&mut db).await?;
            (self.authorities.current(&mut db, self.vault).await?, policy)
        };
        let group_id = group_id(&authority, attestation)?;
        // What is remembered of another policy is no longer true.
        let as_made = match &policy {
            Some(policy) => format!("{group_id} by {policy}"),
            None => group_id.clone(),
        };
        let dps = instance.dps.by_policy(policy);
        if self.remembered(instance, attestation, &as_made).await? == Remembered::Fresh {
            return Ok(());
        }
        // Whoever waits behind another's vain tries is told the same after the time that those may take.
        let _turn =
            tokio::time::timeout(self.patience, instance.making.lock()).await.map_err(|_| DpsError::Deadline)?;
        let remembered = self.remembered(instance, attestation, &as_made).await?;
        if remembered == Remembered::Fresh {
            return Ok(());
        }
        match self.make(instance, &dps, attestation, &group_id, &authority).await {
            Ok(etag) => self.remember(instance, attestation, &as_made, etag).await,
            // It was there the last time, and DPS' service API having a bad moment does not keep devices from registering.
            Err(EnrollmentError::Dps(error)) if remembered == Remembered::Stale && error.is_transient() => {
                tracing::warn!(instance = instance.config.name, group = group_id, %error, "could not look whether the enrollment group is still there");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The key that devices' keys of this instance are derived from; [`Enrollments::ensure`] has been here before.
    pub(crate) async fn group_key(&self, instance: &Instance) -> Result<Option<Zeroizing<Vec<u8>>>, EnrollmentError> {
        let mut db = self.store.read().acquire().await?;
        Ok(self.vault.get(&mut db, &key_name(instance)).await?)
    }

    /// The device's individual enrollment with this TPM and this policy exists in DPS when this returns, and names the credential
    /// policy where the instance has one.
    pub(crate) async fn ensure_tpm(
        &self,
        instance: &Instance,
        registration_id: &str,
        keys: &TpmKeys,
        policy: Option<ReprovisionPolicy>,
    ) -> Result<(), EnrollmentError> {
        let document = json!({
            "registrationId": registration_id,
            "attestation": {
                "type": "tpm",
                "tpm": { "endorsementKey": keys.endorsement_key, "storageRootKey": keys.storage_root_key },
            },
            "provisioningStatus": "enabled",
            "reprovisionPolicy": reprovisioning(policy),
        });
        let dps = instance.enrolling(&mut *self.store.read().acquire().await?).await?;
        for _ in 0..3 {
            if let Some(found) = dps.enrollment(registration_id).await? {
                let theirs = found.document.pointer("/attestation/tpm/endorsementKey").and_then(Value::as_str);
                if theirs != Some(&keys.endorsement_key) {
                    return Err(EnrollmentError::OtherTpm);
                }
                if found.document.get("provisioningStatus").and_then(Value::as_str) == Some("disabled") {
                    return Err(EnrollmentError::Disabled(registration_id.into()));
                }
                let flags = |document: &Value| {
                    ["updateHubAssignment", "migrateDeviceData"]
                        .map(|flag| document["reprovisionPolicy"][flag].as_bool().unwrap_or(true))
                };
                if flags(&found.document) == flags(&document) && dps.names_policy(&found) {
                    return Ok(());
                }
                let mut changed = found.document;
                changed["reprovisionPolicy"] = document["reprovisionPolicy"].clone();
                match dps.put_enrollment(registration_id, &changed, Expect::Version(&found.etag)).await {
                    Ok(_) => return Ok(()),
                    Err(DpsError::Conflict) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            match dps.put_enrollment(registration_id, &document, Expect::Nothing).await {
                Ok(_) => return Ok(()),
                // Its answer was lost, or another replica was quicker.
                Err(DpsError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(DpsError::Conflict.into())
    }

    /// The group of a CA that does not sign yet exists in DPS when this returns.
    pub(crate) async fn introduce(&self, instance: &Instance, authority: &Authority) -> Result<(), EnrollmentError> {
        let _turn =
            tokio::time::timeout(self.patience, instance.making.lock()).await.map_err(|_| DpsError::Deadline)?;
        let id = group_id(authority, Attestation::X509)?;
        let dps = instance.enrolling(&mut *self.store.read().acquire().await?).await?;
        self.make(instance, &dps, Attestation::X509, &id, authority).await.map(drop)
    }

    async fn make(
        &self,
        instance: &Instance,
        dps: &DpsClient,
        attestation: Attestation,
        id: &str,
        authority: &Authority,
    ) -> Result<Option<String>, EnrollmentError> {
        let key = match attestation {
            Attestation::SymmetricKey => Some(self.own_key(instance).await?),
            _ => None,
        };
        // Another replica may make it between our look and our PUT; then the second look finds it.
        for _ in 0..3 {
            if let Some(group) = dps.group(id).await? {
                if !group.is_enabled() {
                    return Err(EnrollmentError::Disabled(id.into()));
                }
                if let Some(own) = &key {
                    self.adopt_key(instance, id, own).await?;
                }
                if dps.issues_by_policy(&group) {
                    return Ok(group.etag);
                }
                // Made before the instance issued certificates, or by another policy: everything else of it stays.
                let Some(found) = dps.group_document(id).await? else { continue };
                match dps.put_group(id, &found.document, Expect::Version(&found.etag)).await {
                    Ok(changed) => {
                        tracing::info!(
                            instance = instance.config.name,
                            group = id,
                            "the enrollment group names the credential policy now"
                        );
                        return Ok(Some(changed.etag));
                    }
                    Err(DpsError::Conflict) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            let attestation = match &key {
                Some(key) => GroupAttestation::SymmetricKey { key },
                None => {
                    let sign = |code: &str| authority.sign_verification(code);
                    match dps.prove_possession(id, authority.certificate_der(), sign).await? {
                        true => GroupAttestation::CaReference { name: id },
                        false => GroupAttestation::X509 { signing_certificate: &authority.certificate_pem },
                    }
                }
            };
            match dps.create_group(id, attestation).await {
                Ok(group) => {
                    tracing::info!(instance = instance.config.name, group = id, "made an enrollment group");
                    return Ok(group.etag);
                }
                Err(DpsError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(DpsError::Conflict.into())
    }

    /// Our key for the group, kept before DPS is told: a crash in between must not leave a group whose key nobody has.
    async fn own_key(&self, instance: &Instance) -> Result<Zeroizing<Vec<u8>>, EnrollmentError> {
        let mut tx = self.store.begin().await?;
        if let Some(key) = self.vault.get(&mut tx, &key_name(instance)).await? {
            return Ok(key);
        }
        let mut key = Zeroizing::new(vec![0; GROUP_KEY_BYTES]);
        getrandom::fill(&mut key).map_err(VaultError::from)?;
        self.vault.put(&mut tx, &key_name(instance), &key).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// A group that is there already keeps its key, for devices may have been given keys of it; we learn it.
    async fn adopt_key(&self, instance: &Instance, id: &str, own: &[u8]) -> Result<(), EnrollmentError> {
        let theirs = instance.dps.group_key(id).await?;
        if theirs.as_slice() != own {
            tracing::warn!(
                instance = instance.config.name,
                group = id,
                "the enrollment group has a key that is not ours: taking it over"
            );
            let mut tx = self.store.begin().await?;
            self.vault.put(&mut tx, &key_name(instance), &theirs).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn remembered(
        &self,
        instance: &Instance,
        attestation: Attestation,
        id: &str,
    ) -> Result<Remembered, EnrollmentError> {
        let row = sqlx::query(
            "SELECT group_id, verified_at FROM enrollment_groups WHERE dps_instance = $1 AND attestation = $2",
        )
        .bind(place(instance))
        .bind(word(attestation))
        .fetch_optional(self.store.read())
        .await?;
        let Some(row) = row else { return Ok(Remembered::No) };
        if row.try_get::<String, _>("group_id")? != id {
            return Ok(Remembered::No);
        }
        let age = now().saturating_sub(row.try_get("verified_at")?);
        // A negative age is a clock that was put back: look again.
        Ok(if (0..self.trust.as_millis() as i64).contains(&age) { Remembered::Fresh } else { Remembered::Stale })
    }

    async fn remember(
        &self,
        instance: &Instance,
        attestation: Attestation,
        id: &str,
        etag: Option<String>,
    ) -> Result<(), EnrollmentError> {
        let mut tx = self.store.begin().await?;
        sqlx::query(
            "INSERT INTO enrollment_groups (dps_instance, attestation, group_id, etag, verified_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (dps_instance, attestation) DO UPDATE SET group_id = $3, etag = $4, verified_at = $5",
        )
        .bind(place(instance))
        .bind(word(attestation))
        .bind(id)
        .bind(etag)
        .bind(now())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

fn group_id(authority: &Authority, attestation: Attestation) -> Result<String, EnrollmentError> {
    match attestation {
        Attestation::X509 => Ok(Authority::group_id(&authority.fingerprint)),
        Attestation::SymmetricKey => Ok("lowtouch-symmetric".into()),
        _ => Err(EnrollmentError::Attestation),
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Remembered {
    No,
    Stale,
    Fresh,
}

/// What is remembered belongs to the ID scope, not to our name for it: the name may come to mean another instance.
fn place(instance: &Instance) -> &str {
    &instance.config.id_scope
}

fn key_name(instance: &Instance) -> String {
    format!("group-key/{}", place(instance))
}
