//! The owner: whose devices these are, and the signature that an owned device asks for.
//!
//! One key pair for each tenant, P-256: it is what a microcontroller can verify with what it has for TLS (mbedTLS has
//! no Ed25519), what secure elements do in hardware, and what every HSM and cloud key store can hold.

use std::collections::BTreeMap;
use std::sync::Arc;
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
use tokio::sync::Mutex;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::api::ApiError;
use crate::app::App;
use crate::devices::{self, DEFAULT_TENANT, Record};
use crate::enrollments::Instance;
use crate::registration_id::RegistrationId;
use crate::store::Store;
use crate::tokens::Caller;
use crate::vault::{Vault, VaultError};
use crate::{events, pairing};

/// The name of the private key (PKCS#8 DER) in the vault: of the tenant `default`, and of the others with their names behind it.
const SECRET: &str = "owner-key";

/// The owners: one key pair for each tenant, made when it is first needed.
pub(crate) struct Owners {
    keys: Mutex<BTreeMap<String, Arc<Owner>>>,
}

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

impl Owners {
    /// With the owner of the tenant `default`, who is made when there is none.
    pub(crate) async fn open(store: &Store, vault: &Vault) -> Result<Self, OwnerError> {
        let owners = Self { keys: Mutex::default() };
        owners.of(store, vault, DEFAULT_TENANT).await?;
        Ok(owners)
    }

    /// The tenant's. Not within a transaction: it may need one itself.
    pub(crate) async fn of(&self, store: &Store, vault: &Vault, tenant: &str) -> Result<Arc<Owner>, OwnerError> {
        let mut keys = self.keys.lock().await;
        if let Some(owner) = keys.get(tenant) {
            return Ok(owner.clone());
        }
        let owner = Arc::new(Owner::open(store, vault, tenant).await?);
        keys.insert(tenant.to_owned(), owner.clone());
        Ok(owner)
    }
}

impl App {
    /// Whose the tenant's devices are.
    pub(crate) async fn owner(&self, tenant: &str) -> Result<Arc<Owner>, ApiError> {
        let owner = self.owners.of(&self.store, &self.vault, tenant).await;
        owner.map_err(|error| match error {
            OwnerError::Database(error) | OwnerError::Vault(VaultError::Database(error)) => error.into(),
            error => ApiError::internal(&error),
        })
    }

    /// Whose keys the device may keep beside its own tenant's.
    pub(crate) async fn former_owners(&self, device: &Record) -> Result<Vec<Arc<Owner>>, ApiError> {
        let tenants: Vec<String> =
            sqlx::query_scalar("SELECT tenant FROM held_owners WHERE device_key = $1 AND tenant <> $2")
                .bind(device.key())
                .bind(&device.tenant)
                .fetch_all(self.store.read())
                .await?;
        let mut owners = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            owners.push(self.owner(&tenant).await?);
        }
        Ok(owners)
    }

    /// Their keys' IDs, as the app is told.
    pub(crate) async fn former_key_ids(&self, device: &Record) -> Result<Vec<String>, ApiError> {
        Ok(self.former_owners(device).await?.iter().map(|owner| STANDARD.encode(owner.key_id())).collect())
    }
}

impl Owner {
    async fn open(store: &Store, vault: &Vault, tenant: &str) -> Result<Self, OwnerError> {
        let name = match tenant {
            DEFAULT_TENANT => SECRET.to_owned(),
            tenant => format!("{SECRET}/{tenant}"),
        };
        let mut db = store.read().acquire().await?;
        if let Some(der) = vault.get(&mut db, &name).await? {
            return Self::read(&der);
        }
        drop(db);
        let mut tx = store.begin().await?;
        // Another process may have been faster.
        if let Some(der) = vault.get(&mut tx, &name).await? {
            return Self::read(&der);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        vault.put(&mut tx, &name, &Zeroizing::new(key.serialize_der())).await?;
        tx.commit().await?;
        tracing::warn!(
            tenant,
            "made the owner's key: without this database and its key file, devices that are handed over from now on can \
             only be taken back by their buttons"
        );
        Ok(Self { key })
    }

    fn read(der: &[u8]) -> Result<Self, OwnerError> {
        let der = PrivatePkcs8KeyDer::from(der);
        Ok(Self { key: KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)? })
    }

    /// SHA-256 of the public key.
    pub(crate) fn key_id(&self) -> [u8; 32] {
        Sha256::digest(self.key.subject_public_key_info()).into()
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

    // The owners' keys first: one that is made needs a transaction of its own.
    let mut db = app.store.read().acquire().await?;
    let device = devices::find_in_service(&mut db, caller, id).await?;
    drop(db);
    let tenant = device.tenant.clone();
    let owner = app.owner(&tenant).await?;
    let held = request.owner_key_id.as_deref().map(|text| bytes(text).ok_or(())).transpose();
    let held = held.map_err(|()| wrong("ownerKeyId must be 32 bytes in base64"))?;
    // The device is asked to believe in the key that it keeps, and given the owner's if that is another.
    let (signing, new_owner) = match held {
        Some(held) if held != owner.key_id() => {
            let former = app.former_owners(&device).await?.into_iter().find(|one| one.key_id() == held);
            let former = former.ok_or_else(|| wrong("the device keeps a key that is none of its owners'"))?;
            (former, owner.key.subject_public_key_info())
        }
        _ => (owner, Vec::new()),
    };

    let mut tx = app.store.begin().await?;
    let message = match &digest {
        Some(digest) => {
            let device = pairing::hold(&mut tx, caller, id, request.handoff_id).await?;
            if device.tenant != tenant {
                return Err(ApiError::new(ProblemCode::HandoffConflict));
            }
            let instance = pairing::instance(app, device.dps_instance.as_deref().unwrap_or_default())?;
            stage_message(id, request.handoff_id, &nonce, digest, &terms(instance, new_owner)?, expires)
        }
        None => {
            pairing::not_in_another(app, &mut tx, caller, id, request.handoff_id).await?;
            reset_message(id, &nonce, expires)
        }
    };
    let detail = json!({
        "operation": request.operation,
        "ownerKeyId": hex::encode(signing.key_id()),
        "digest": digest.map(hex::encode),
        "nonce": hex::encode(nonce),
        "expires": expires_at,
    });
    events::record(
        &mut tx,
        &caller.who(),
        "owner's signature given",
        &device.key(),
        Some(request.handoff_id),
        Some(&detail),
    )
    .await?;
    // Recorded first: no signature leaves that nobody could be asked about.
    tx.commit().await?;
    let signature = signing.key.sign(&message).map_err(|error| ApiError::internal(&error))?;
    Ok(OwnerSignatureResponse {
        owner_public_key: signing.public_key(),
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

fn terms(instance: &Instance, owner_public_key: Vec<u8>) -> Result<Terms, ApiError> {
    let endpoint_ca = pairing::endpoint_ca(&instance.config).unwrap_or_default();
    let endpoint_ca = CertificateDer::pem_slice_iter(endpoint_ca.as_bytes())
        .map(|der| der.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| ApiError::internal(&error))?;
    Ok(Terms {
        id_scope: instance.config.id_scope.clone(),
        global_device_endpoint: instance.config.global_device_endpoint.clone(),
        endpoint_ca,
        owner_public_key,
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
    with_len(&mut message, id.name().as_bytes());
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
    with_len(&mut message, id.name().as_bytes());
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
        let (mut public, mut others) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let store = Store::open(&format!("sqlite:{}", file.display())).await.unwrap();
            let vault = Vault::open(&folder.path().join("key"), &store).await.unwrap();
            let owners = Owners::open(&store, &vault).await.unwrap();
            let owner = owners.of(&store, &vault, DEFAULT_TENANT).await.unwrap();
            public.push(owner.public_key());
            private = Some(owner.key.serialize_der());
            let other = owners.of(&store, &vault, "north").await.unwrap();
            assert_ne!(other.key_id(), owner.key_id());
            others.push(other.public_key());
            store.close().await;
        }
        assert_eq!((&public[0], &others[0]), (&public[1], &others[1]));
        let (database, private) = (std::fs::read(&file).unwrap(), private.unwrap());
        // The 32 bytes of the scalar begin at 36 in ring's PKCS#8 form; any 16 of them would be too many.
        let secret = &private[36..52];
        assert!(!database.windows(16).any(|window| window == secret));
    }
}
