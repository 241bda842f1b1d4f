//! A device renews the certificate that it got here, over TLS with that certificate.
//!
//! The new one belongs to the same hand-off, comes from the CA that signs now, and is good beside the old one until that ends.
//! The same certificate and the same key get the same answer again, so that a device which lost it asks once more.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provisioning_api_contract::{Attestation, CertificateResponse, Lifecycle, ProblemCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, Row as _};

use crate::api::ApiError;
use crate::app::App;
use crate::authority::{self, CsrError};
use crate::certificates::Wish;
use crate::connection::DeviceCertificate;
use crate::pairing::{instance, rejected};
use crate::registration_id::RegistrationId;
use crate::store::now;
use crate::tokens::Caller;
use crate::{devices, events, outbox};

/// New certificates of one device within [`A_DAY`]: one for each key that it asks with.
const MOST_A_DAY: i64 = 10;
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One of our certificates.
pub(crate) struct Given {
    pub(crate) device_key: String,
    handoff_id: String,
    issued_at: i64,
    not_after: i64,
    is_revoked: bool,
    /// Its device was given to another tenant since.
    is_formers: bool,
}

impl Given {
    pub(crate) fn is_good(&self) -> bool {
        !self.is_revoked && !self.is_formers && now() < self.not_after
    }
}

/// A certificate that a device shows, if it is one of ours.
pub(crate) async fn given(
    db: &mut AnyConnection,
    certificate: &DeviceCertificate,
) -> Result<Option<Given>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT device_key, handoff_id, issued_at, not_after, revoked_at,
            (SELECT COUNT(*) FROM transfers WHERE transfers.device_key = certificates.device_key AND state = 'accepted'
                AND ended_at >= issued_at) AS formers
         FROM certificates WHERE serial = $1 AND certificate = $2",
    )
    .bind(&certificate.serial)
    .bind(&certificate.der)
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Given {
            device_key: row.try_get("device_key")?,
            handoff_id: row.try_get("handoff_id")?,
            issued_at: row.try_get("issued_at")?,
            not_after: row.try_get("not_after")?,
            is_revoked: row.try_get::<Option<i64>, _>("revoked_at")?.is_some(),
            is_formers: row.try_get::<i64, _>("formers")? > 0,
        })
    })
    .transpose()
}

/// Signs the request of a device that shows this certificate.
pub(crate) async fn renew(
    app: &App,
    caller: &Caller,
    certificate: &DeviceCertificate,
    csr: &str,
) -> Result<CertificateResponse, ApiError> {
    let csr = STANDARD.decode(csr.trim()).map_err(|_| rejected(CsrError::NotARequest))?;
    let its_key = authority::key_digest(&csr).map_err(rejected)?;
    let digest = hex::encode(Sha256::digest(format!("renews {} {its_key}", certificate.serial)));
    let mut db = app.store.read().acquire().await?;
    let (_, device) = good(&mut db, certificate).await?;
    drop(db);
    let instance = device.dps_instance.as_deref().map(|name| instance(app, name)).transpose()?;
    if let Some(instance) = instance {
        app.enrollments().ensure(instance, Attestation::X509).await?;
    }

    let mut tx = app.store.begin().await?;
    let authority = app.authorities.current(&mut tx, &app.vault).await.map_err(|error| ApiError::internal(&error))?;
    // Once more: it may have been revoked meanwhile.
    let (given, device) = good(&mut tx, certificate).await?;
    let wish =
        Wish { device_key: &given.device_key, handoff_id: &given.handoff_id, authority: &authority, digest: &digest };
    if let Some(answer) = wish.before(&mut tx).await? {
        drop(tx);
        if let Some(instance) = instance {
            outbox::finish_for(app, &given.device_key, &instance.config.name).await?;
        }
        return Ok(answer);
    }
    not_too_often(&mut tx, &given).await?;
    let spelled = RegistrationId::parse(&device.registration_id).ok_or_else(|| rejected(CsrError::Name))?;
    let (serial, answer) = wish.sign(app, &mut tx, &csr, &spelled, instance.map(|one| &one.config)).await?;
    let detail = json!({ "serial": serial, "authority": authority.fingerprint, "renews": certificate.serial });
    let handoff = given.handoff_id.parse().ok();
    events::record(&mut tx, &caller.who(), "certificate renewed", &given.device_key, handoff, Some(&detail)).await?;
    outbox::renew_policy(&mut tx, &device, &caller.who()).await?;
    tx.commit().await?;
    if let Some(instance) = instance {
        outbox::finish_for(app, &given.device_key, &instance.config.name).await?;
    }
    Ok(answer)
}

/// The certificate and its device, when both are good.
async fn good(db: &mut AnyConnection, certificate: &DeviceCertificate) -> Result<(Given, devices::Record), ApiError> {
    let given = given(db, certificate).await?;
    let given = given.ok_or_else(|| {
        ApiError::new(ProblemCode::NotAllocated).detail("it is no certificate of this API: the device is paired first")
    })?;
    let device = devices::by_key(db, &given.device_key).await?;
    let in_service = |device: &devices::Record| device.lifecycle != Lifecycle::Decommissioned;
    match device.filter(in_service) {
        Some(device) if given.is_good() => Ok((given, device)),
        _ => Err(ApiError::new(ProblemCode::Unauthenticated)),
    }
}

/// From half of its time on, and not with ever new keys.
async fn not_too_often(db: &mut AnyConnection, given: &Given) -> Result<(), ApiError> {
    let wait = |milliseconds: i64| {
        let wait = Duration::from_millis(milliseconds.max(1).unsigned_abs());
        ApiError::new(ProblemCode::Throttled).retry_after(Some(wait))
    };
    let half = given.issued_at + (given.not_after - given.issued_at) / 2;
    if now() < half {
        return Err(wait(half - now()).detail("a certificate is renewed from half of its time on"));
    }
    let day = A_DAY.as_millis() as i64;
    let (count, first): (i64, Option<i64>) =
        sqlx::query_as("SELECT COUNT(*), MIN(issued_at) FROM certificates WHERE device_key = $1 AND issued_at > $2")
            .bind(&given.device_key)
            .bind(now() - day)
            .fetch_one(db)
            .await?;
    if count >= MOST_A_DAY {
        let text = "the device had as many certificates as it may have in a day";
        return Err(wait(first.unwrap_or_default() + day - now()).detail(text));
    }
    Ok(())
}
