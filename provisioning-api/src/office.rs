//! What an operator does with the database beside the running service: tokens and the inventory.

use provisioning_api_contract::{Device, DeviceRequest};
use secrecy::SecretString;

use crate::api::ApiError;
use crate::devices;
use crate::registration_id::RegistrationId;
use crate::role::Role;
use crate::store::Store;
use crate::tokens::{self, Caller, TokenInfo};

/// Whoever has the database is its operator.
const OPERATOR: &str = "operator";

/// The administration of a database; the service may run on it at the same time.
#[derive(Debug, Clone)]
pub struct Office {
    store: Store,
}

/// Why the administration did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfficeError {
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
    /// DPS takes no such registration ID.
    #[error("a registration ID has at most 128 of A-Z a-z 0-9 - . _ : and ends in a letter, a digit or a dash")]
    RegistrationId,
    /// The database did not do what was asked.
    #[error("the inventory could not be read or changed")]
    Inventory,
}

impl Office {
    /// Opens `sqlite:FILE`, which is made when missing.
    ///
    /// # Errors
    /// [`OfficeError::Database`].
    pub async fn open(database: &str) -> Result<Self, OfficeError> {
        Ok(Self { store: Store::open(database).await? })
    }

    pub(crate) fn over(store: Store) -> Self {
        Self { store }
    }

    /// Issues a bearer token: its ID, for revocation, and itself, which cannot be had again.
    ///
    /// # Errors
    /// [`OfficeError::Database`].
    pub async fn issue_token(&self, role: Role, name: &str, days: u32) -> Result<(String, SecretString), OfficeError> {
        Ok(tokens::issue(&self.store, role, name, None, days, OPERATOR).await?)
    }

    /// Ends a token at once; false when no valid token has that ID.
    ///
    /// # Errors
    /// [`OfficeError::Database`].
    pub async fn revoke_token(&self, id: &str) -> Result<bool, OfficeError> {
        Ok(tokens::revoke(&self.store, id, OPERATOR).await?)
    }

    /// All tokens, newest first.
    ///
    /// # Errors
    /// [`OfficeError::Database`].
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, OfficeError> {
        Ok(tokens::list(&self.store).await?)
    }

    /// Puts a device into the inventory or changes it there; true when it is new.
    ///
    /// # Errors
    /// [`OfficeError::RegistrationId`] or the database's.
    pub async fn add_device(&self, registration_id: &str, device: &DeviceRequest) -> Result<bool, OfficeError> {
        let id = RegistrationId::parse(registration_id).ok_or(OfficeError::RegistrationId)?;
        devices::put(&self.store, &id, device, &Caller::operator()).await.map_err(inventory)
    }

    /// At most `limit` devices after this registration ID, in their order.
    ///
    /// # Errors
    /// The database's.
    pub async fn devices(&self, after: &str, limit: u32) -> Result<Vec<Device>, OfficeError> {
        devices::list(&self.store, after, limit).await.map_err(inventory)
    }

    /// Lets go of the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

fn inventory(error: ApiError) -> OfficeError {
    tracing::error!(?error, "the inventory could not be read or changed");
    OfficeError::Inventory
}
