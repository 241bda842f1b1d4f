//! Work orders: what the API gives of them for places without a network. `telling.rs` tells it afterwards what was done there.
//!
//! What is downloaded stays sealed in the journal's database (HPKE, RFC 9180); the key that opens it is in the
//! [`SecretStore`](crate::secrets::SecretStore). docs/work-orders.md tells the whole story.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, Serializable as _};
use provisioning_api_contract as wire;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::api::Client;
use crate::error::{ErrorCode, PairingError};
use crate::installer::Installer;
use crate::secrets::SecretStore;

pub use wire::{OfflineOrder, OrderState, WorkOrder};

/// The name of the key among the secrets.
pub const SECRET: &str = "offline-orders";

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;

/// What of a device was downloaded, opened.
pub(crate) struct Unsealed {
    /// The work order.
    pub(crate) order: Uuid,
    /// Holds the device's key.
    pub(crate) device: wire::OfflineDevice,
}

impl Installer {
    /// Downloads an open work order for use where there is no network. Its credentials stay sealed; doing it again
    /// replaces what was there.
    ///
    /// # Errors
    /// `api-not-set`, the API's (`order-unknown`, `order-not-open`), the keyring's, `journal-…`.
    pub async fn download_order(&self, id: Uuid) -> Result<wire::OfflineOrder, PairingError> {
        let client = self.client()?;
        let store = self.secrets.as_ref().ok_or(ErrorCode::KeyringMissing)?;
        let key = match private_key(store.as_ref()).await? {
            Some(key) => key,
            None => {
                let (key, _) = X25519HkdfSha256::gen_keypair();
                let text = Zeroizing::new(STANDARD.encode(Zeroizing::new(key.to_bytes().to_vec())));
                store.set(SECRET, &SecretString::from(text.as_str())).await?;
                key
            }
        };
        let public = X25519HkdfSha256::sk_to_pk(&key);
        let request = wire::OfflineRequest { public_key: STANDARD.encode(public.to_bytes()) };
        let order = client.offline_order(id, &request).await?;
        // What does not open now will not open in the field.
        for sealed in &order.sealed {
            open(&key, &order, sealed).ok_or_else(|| {
                PairingError::with_detail(ErrorCode::ApiAnswerInvalid, "a sealed device does not open")
            })?;
        }
        self.journal.keep_order(&order, self.clock.now()).await?;
        Ok(order)
    }

    /// The work orders that whoever is signed in sees, as the API has them.
    ///
    /// # Errors
    /// `api-not-set` and the API's.
    pub async fn orders(&self) -> Result<Vec<WorkOrder>, PairingError> {
        Ok(self.client()?.work_orders().await?.work_orders)
    }

    /// The work orders that were downloaded and have not ended: those of whoever is signed in.
    ///
    /// # Errors
    /// `journal-…`.
    pub async fn downloaded_orders(&self) -> Result<Vec<wire::OfflineOrder>, PairingError> {
        let mut orders = self.journal.kept_orders(self.clock.now()).await?;
        if let Some(account) = &self.account_id {
            orders.retain(|order| order.account_id == *account);
        }
        Ok(orders)
    }

    /// What was downloaded for this device, opened; `None` also where it cannot be opened, which is said in the log.
    pub(crate) async fn sealed(&self, registration_id: &str) -> Option<Unsealed> {
        let store = self.secrets.as_ref()?;
        let orders = self.downloaded_orders().await.ok()?;
        let of_device = |sealed: &&wire::SealedDevice| sealed.registration_id.eq_ignore_ascii_case(registration_id);
        let (order, sealed) = orders.iter().find_map(|order| Some((order, order.sealed.iter().find(of_device)?)))?;
        if order.not_after < self.clock.now() {
            return None;
        }
        let key = match private_key(store.as_ref()).await {
            Ok(key) => key?,
            Err(error) => {
                tracing::warn!(code = %error.code, "the key of downloaded work orders cannot be had");
                return None;
            }
        };
        let device = open(&key, order, sealed)?;
        Some(Unsealed { order: order.order.id, device })
    }

    fn client(&self) -> Result<&Client, PairingError> {
        self.api().ok_or_else(|| ErrorCode::ApiNotSet.into())
    }
}

async fn private_key(store: &dyn SecretStore) -> Result<Option<PrivateKey>, PairingError> {
    let Some(text) = store.get(SECRET).await? else { return Ok(None) };
    let bytes = STANDARD.decode(text.expose_secret()).map(Zeroizing::new).unwrap_or_default();
    // One that cannot be read is replaced by the next download.
    Ok(PrivateKey::from_bytes(&bytes).ok())
}

fn open(key: &PrivateKey, order: &wire::OfflineOrder, sealed: &wire::SealedDevice) -> Option<wire::OfflineDevice> {
    let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&STANDARD.decode(&sealed.enc).ok()?).ok()?;
    let aad = wire::offline_aad(order.order.id, &order.account_id, &sealed.registration_id, order.not_after);
    let text = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        key,
        &enc,
        wire::OFFLINE_INFO,
        &STANDARD.decode(&sealed.ciphertext).ok()?,
        &aad,
    );
    serde_json::from_slice(&Zeroizing::new(text.ok()?)).ok()
}
