//! The certificates that devices were given, by a pairing or by a renewal: each is kept, and the same request gets the same again.

use provisioning_api_contract::CertificateResponse;
use sqlx::{AnyConnection, Row as _};

use crate::api::ApiError;
use crate::app::App;
use crate::authority::{Authority, Keys};
use crate::config::InstanceConfig;
use crate::pairing::rejected;
use crate::registration_id::RegistrationId;
use crate::store::{now, time};

/// What a device asks for.
pub(crate) struct Wish<'a> {
    pub(crate) device_key: &'a str,
    pub(crate) handoff_id: &'a str,
    /// The CA that signs now.
    pub(crate) authority: &'a Authority,
    /// SHA-256 in hex of what makes two requests the same.
    pub(crate) digest: &'a str,
}

impl Wish<'_> {
    /// What it got before.
    pub(crate) async fn before(&self, db: &mut AnyConnection) -> Result<Option<CertificateResponse>, ApiError> {
        let row = sqlx::query(
            "SELECT certificate, not_after FROM certificates
             WHERE device_key = $1 AND handoff_id = $2 AND authority = $3 AND csr_sha256 = $4",
        )
        .bind(self.device_key)
        .bind(self.handoff_id)
        .bind(&self.authority.fingerprint)
        .bind(self.digest)
        .fetch_optional(db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let leaf: Vec<u8> = row.try_get("certificate")?;
        Ok(Some(self.answer(&leaf, row.try_get("not_after")?)))
    }

    /// Signs the request (DER) and keeps the certificate; its serial number comes first. `instance` is where the device goes, when that is
    /// known: not every DPS takes every kind of key.
    pub(crate) async fn sign(
        &self,
        app: &App,
        db: &mut AnyConnection,
        csr: &[u8],
        spelled: &RegistrationId,
        instance: Option<&InstanceConfig>,
    ) -> Result<(String, CertificateResponse), ApiError> {
        let keys = if instance.is_some_and(|config| config.ed25519) { Keys::WithEd25519 } else { Keys::EveryDps };
        let issued = self.authority.sign(csr, spelled, app.limits.certificate_validity, keys).map_err(rejected)?;
        sqlx::query(
            "INSERT INTO certificates (serial, device_key, handoff_id, authority, csr_sha256, certificate, not_after, issued_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&issued.serial)
        .bind(self.device_key)
        .bind(self.handoff_id)
        .bind(&self.authority.fingerprint)
        .bind(self.digest)
        .bind(&issued.der)
        .bind(issued.not_after)
        .bind(now())
        .execute(db)
        .await?;
        Ok((issued.serial, self.answer(&issued.der, issued.not_after)))
    }

    fn answer(&self, leaf: &[u8], not_after: i64) -> CertificateResponse {
        CertificateResponse { certificate_chain: self.authority.chain(leaf), not_after: time(not_after) }
    }
}
