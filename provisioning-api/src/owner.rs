//! The owner: whose devices these are, and the signature that an owned device asks for.
//!
//! One key pair for this installation, P-256: it is what a microcontroller can verify with what it has for TLS (mbedTLS has
//! no Ed25519), what secure elements do in hardware, and what every HSM and cloud key store can hold.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use provisioning_api_contract::{OwnerOperation, OwnerSignatureRequest, OwnerSignatureResponse, ProblemCode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SigningKey as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::api::ApiError;
use crate::app::App;
use crate::enrollments::Instance;
use crate::registration_id::RegistrationId;
use crate::store::Store;
use crate::tokens::Caller;
use crate::vault::{Vault, VaultError};
use crate::{events, pairing};

/// The name of the private key (PKCS#8 DER) in the vault.
const SECRET: &str = "owner-key";

/// A P-256 key pair, its private half encrypted at rest.
pub(crate) struct Owner {
    key: KeyPair,
}

/// Why there is no owner.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// Its key cannot be kept or had.
    #[error("the owner's key cannot be kept or had")]
    Vault(#[from] VaultError),
    /// Its key cannot be made or read.
    #[error("the owner's key is not usable")]
    Key(#[from] rcgen::Error),
    /// The database.
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
}

impl Owner {
    /// The owner in the database, or a new one.
    pub(crate) async fn open(store: &Store, vault: &Vault) -> Result<Self, OwnerError> {
        let mut tx = store.begin().await?;
        if let Some(der) = vault.get(&mut tx, SECRET).await? {
            let der = PrivatePkcs8KeyDer::from(der.as_slice());
            return Ok(Self { key: KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)? });
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        vault.put(&mut tx, SECRET, &Zeroizing::new(key.serialize_der())).await?;
        tx.commit().await?;
        tracing::warn!(
            "made the owner's key: without this database and its key file, devices that are handed over from now on can \
             only be taken back by their buttons"
        );
        Ok(Self { key })
    }

    /// SubjectPublicKeyInfo DER in base64.
    pub(crate) fn public_key(&self) -> String {
        STANDARD.encode(self.key.subject_public_key_info())
    }
}

/// Signs for a device that is allocated: a stage under this very hand-off and as the device is allocated, a reset while no
/// other hand-off is under way.
pub(crate) async fn sign(
    app: &App,
    id: &RegistrationId,
    request: &OwnerSignatureRequest,
    caller: &Caller,
) -> Result<OwnerSignatureResponse, ApiError> {
    let wrong = |what: &str| ApiError::new(ProblemCode::BadRequest).detail(what);
    let nonce = bytes(&request.nonce).ok_or_else(|| wrong("nonce must be 32 bytes in base64"))?;
    let digest = request.digest.as_deref().map(|text| bytes(text).ok_or(())).transpose();
    let digest = digest.map_err(|()| wrong("digest must be 32 bytes in base64"))?;
    let expires = expires(app.limits.owner_signature_validity)?;
    match (request.operation, &digest) {
        (OwnerOperation::Stage, Some(_)) | (OwnerOperation::Reset, None) => {}
        (OwnerOperation::Stage, None) => return Err(wrong("a stage is signed with the digest of its configuration")),
        _ => return Err(wrong("only a stage has a digest")),
    }
    let expires_at =
        i64::try_from(expires).ok().and_then(|at| Timestamp::from_second(at).ok()).unwrap_or(Timestamp::MAX);

    let mut tx = app.store.begin().await?;
    let message = match &digest {
        Some(digest) => {
            let device = pairing::hold(&mut tx, caller, id, request.handoff_id).await?;
            let instance = pairing::instance(app, device.dps_instance.as_deref().unwrap_or_default())?;
            stage_message(id, request.handoff_id, &nonce, digest, &terms(instance)?, expires)
        }
        None => {
            pairing::not_in_another(app, &mut tx, caller, id, request.handoff_id).await?;
            reset_message(id, &nonce, expires)
        }
    };
    let detail = json!({
        "operation": request.operation,
        "ownerKeyId": hex::encode(Sha256::digest(app.owner.key.subject_public_key_info())),
        "digest": digest.map(hex::encode),
        "nonce": hex::encode(nonce),
        "expires": expires_at,
    });
    events::record(
        &mut tx,
        &caller.who(),
        "owner's signature given",
        Some(&id.key()),
        Some(request.handoff_id),
        Some(&detail),
    )
    .await?;
    // Recorded first: no signature leaves that nobody could be asked about.
    tx.commit().await?;
    let signature = app.owner.key.sign(&message).map_err(|error| ApiError::internal(&error))?;
    Ok(OwnerSignatureResponse {
        owner_public_key: app.owner.public_key(),
        signature: STANDARD.encode(signature),
        expires: expires_at,
    })
}

/// Seconds since 1970.
fn expires(validity: Duration) -> Result<u64, ApiError> {
    let now = u64::try_from(Timestamp::now().as_second()).map_err(|error| ApiError::internal(&error))?;
    Ok(now.saturating_add(validity.as_secs()))
}

fn bytes(base64: &str) -> Option<[u8; 32]> {
    STANDARD.decode(base64).ok()?.try_into().ok()
}

/// What a signed configuration must say, but for its credential: as the API allocated it, whatever the app asks.
/// Whose digest it is only the app knows; but a device compares these with what it is given (docs/adr/0007).
struct Terms {
    id_scope: String,
    global_device_endpoint: String,
    /// DER.
    endpoint_ca: Vec<Vec<u8>>,
    /// SubjectPublicKeyInfo DER; empty: the owner stays who it is.
    owner_public_key: Vec<u8>,
}

fn terms(instance: &Instance) -> Result<Terms, ApiError> {
    let endpoint_ca = pairing::endpoint_ca(&instance.config).unwrap_or_default();
    let endpoint_ca = CertificateDer::pem_slice_iter(endpoint_ca.as_bytes())
        .map(|der| der.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| ApiError::internal(&error))?;
    Ok(Terms {
        id_scope: instance.config.id_scope.clone(),
        global_device_endpoint: instance.config.global_device_endpoint.clone(),
        endpoint_ca,
        owner_public_key: Vec::new(),
    })
}

/// What lets a configuration in: docs/dps-config.md, Owners. The devices' code has the same bytes; both are held to
/// docs/owner-signature-vectors.json.
fn stage_message(
    id: &RegistrationId,
    handoff_id: Uuid,
    nonce: &[u8; 32],
    digest: &[u8; 32],
    terms: &Terms,
    expires: u64,
) -> Vec<u8> {
    let mut message = b"lowtouch dps-config v1 stage\0".to_vec();
    with_len(&mut message, id.key().as_bytes());
    message.extend_from_slice(handoff_id.as_bytes());
    message.extend_from_slice(nonce);
    message.extend_from_slice(digest);
    with_len(&mut message, terms.id_scope.as_bytes());
    with_len(&mut message, terms.global_device_endpoint.as_bytes());
    let endpoint_ca: Vec<u8> = terms.endpoint_ca.iter().flat_map(Sha256::digest).collect();
    with_len(&mut message, &endpoint_ca);
    with_len(&mut message, &terms.owner_public_key);
    message.extend_from_slice(&expires.to_be_bytes());
    message
}

/// What takes the configuration from a device: docs/dps-config.md, Owners.
fn reset_message(id: &RegistrationId, nonce: &[u8; 32], expires: u64) -> Vec<u8> {
    let mut message = b"lowtouch dps-config v1 reset\0".to_vec();
    with_len(&mut message, id.key().as_bytes());
    message.extend_from_slice(nonce);
    message.extend_from_slice(&expires.to_be_bytes());
    message
}

/// The length, 2 bytes, big-endian, and the field. A field that is longer than any device takes gets a message that no
/// device makes.
fn with_len(message: &mut Vec<u8>, field: &[u8]) {
    message.extend_from_slice(&u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes());
    message.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn what_is_signed_is_what_devices_check() {
        let vectors: Value = serde_json::from_str(include_str!("../../docs/owner-signature-vectors.json")).unwrap();
        let bytes = |name: &str| hex::decode(vectors[name].as_str().unwrap()).unwrap();
        let (nonce, digest) = (bytes("nonce").try_into().unwrap(), bytes("digest").try_into().unwrap());
        let handoff_id = Uuid::from_slice(&bytes("handoffId")).unwrap();
        let expires = vectors["signatureExpires"].as_u64().unwrap();
        let id = RegistrationId::parse(vectors["registrationId"].as_str().unwrap()).unwrap();
        let said = &vectors["terms"];
        let decoded = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
        let terms = Terms {
            id_scope: said["idScope"].as_str().unwrap().to_owned(),
            global_device_endpoint: said["globalDeviceEndpoint"].as_str().unwrap().to_owned(),
            endpoint_ca: said["endpointCa"].as_array().unwrap().iter().map(decoded).collect(),
            owner_public_key: decoded(&said["ownerPublicKey"]),
        };
        assert_eq!(stage_message(&id, handoff_id, &nonce, &digest, &terms, expires), bytes("stageMessage"));
        assert_eq!(reset_message(&id, &nonce, expires), bytes("resetMessage"));
    }

    #[tokio::test]
    async fn the_owner_stays_the_same_and_its_private_key_is_not_in_the_database_in_the_clear() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("db");
        let mut private = None;
        let mut public = Vec::new();
        for _ in 0..2 {
            let store = Store::open(&format!("sqlite:{}", file.display())).await.unwrap();
            let vault = Vault::open(&folder.path().join("key"), &store).await.unwrap();
            let owner = Owner::open(&store, &vault).await.unwrap();
            public.push(owner.public_key());
            private = Some(owner.key.serialize_der());
            store.close().await;
        }
        assert_eq!(public[0], public[1]);
        let (database, private) = (std::fs::read(&file).unwrap(), private.unwrap());
        // The 32 bytes of the scalar begin at 36 in ring's PKCS#8 form; any 16 of them would be too many.
        let secret = &private[36..52];
        assert!(!database.windows(16).any(|window| window == secret));
    }
}
