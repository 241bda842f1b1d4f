//! Which of the credentials that a device was given are in force.
//!
//! An enrollment group lets in every certificate that our CA signed, at every DPS instance, and every device with the key that
//! comes of the group's, at its own. What was withdrawn is therefore kept out by an individual enrollment of the device, which
//! decides alone: where the device is it names what is in force, elsewhere it is disabled (outbox.rs).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sqlx::AnyConnection;

use crate::dps_client::hmac;
use crate::store::now;

/// The certificates of a device that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    InForce,
    /// Those that were withdrawn as well.
    All,
}

/// Withdraws all that the device was given so far, while its record still says where it is. How many certificates those are.
pub(crate) async fn withdraw(db: &mut AnyConnection, key: &str, why: &str) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "UPDATE devices SET key_generation = key_generation + 1 WHERE key = $1
             AND ((attestation = 'symmetricKey' AND allocated_at IS NOT NULL)
                 OR EXISTS (SELECT 1 FROM outbox WHERE device_key = $1 AND outbox.detail = 'symmetricKey'))",
    )
    .bind(key)
    .execute(&mut *db)
    .await?;
    let revoked = sqlx::query(
        "UPDATE certificates SET revoked_at = $2, revoked_why = $3 WHERE device_key = $1 AND revoked_at IS NULL",
    )
    .bind(key)
    .bind(now())
    .bind(why)
    .execute(db)
    .await?;
    Ok(revoked.rows_affected())
}

/// Whether a group would let in something that was withdrawn: then the device needs an enrollment of its own.
pub(crate) async fn are_withdrawn(db: &mut AnyConnection, key: &str) -> Result<bool, sqlx::Error> {
    let any = sqlx::query(
        "SELECT 1 FROM devices WHERE key = $1 AND (key_generation > 0 OR EXISTS
             (SELECT 1 FROM certificates WHERE device_key = $1 AND revoked_at IS NOT NULL AND not_after > $2))",
    )
    .bind(key)
    .bind(now())
    .fetch_optional(db)
    .await?;
    Ok(any.is_some())
}

/// Whether the device has certificates, in force or withdrawn, that have not ended.
pub(crate) async fn has_certificates(db: &mut AnyConnection, key: &str) -> Result<bool, sqlx::Error> {
    let any = sqlx::query("SELECT 1 FROM certificates WHERE device_key = $1 AND not_after > $2 LIMIT 1")
        .bind(key)
        .bind(now())
        .fetch_optional(db)
        .await?;
    Ok(any.is_some())
}

/// The symmetric key of the device that is in force, in base64, of its registration ID as the inventory spells it.
pub(crate) async fn symmetric_key(
    db: &mut AnyConnection,
    group_key: &[u8],
    key: &str,
    registration_id: &str,
) -> Result<String, sqlx::Error> {
    let generation: i64 =
        sqlx::query_scalar("SELECT key_generation FROM devices WHERE key = $1").bind(key).fetch_one(db).await?;
    Ok(STANDARD.encode(match generation {
        0 => hmac(group_key, registration_id.as_bytes()),
        // No registration ID has a zero byte: this is no key that the group would derive.
        generation => hmac(group_key, format!("{registration_id}\0{generation}").as_bytes()),
    }))
}

/// The attestation by the last certificate that the device was given, and the one before: it may use that until it has the new
/// one. `None`: it has none.
pub(crate) async fn certificates(
    db: &mut AnyConnection,
    key: &str,
    which: Which,
) -> Result<Option<Value>, sqlx::Error> {
    let ders: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT certificate FROM certificates WHERE device_key = $1 AND ($2 OR revoked_at IS NULL)
         ORDER BY issued_at DESC, serial LIMIT 2",
    )
    .bind(key)
    .bind(which == Which::All)
    .fetch_all(db)
    .await?;
    let certificates = ["primary", "secondary"].into_iter().zip(ders).map(|(name, der)| {
        let pem = pem::encode_config(
            &pem::Pem::new("CERTIFICATE", der),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        );
        (name.to_owned(), json!({ "certificate": pem }))
    });
    let certificates: serde_json::Map<_, _> = certificates.collect();
    Ok((!certificates.is_empty()).then(|| json!({ "type": "x509", "x509": { "clientCertificates": certificates } })))
}
