//! What an operator does with the database beside the running service: tokens and the inventory.

use jiff::Timestamp;
use provisioning_api_contract::{
    Device, DeviceRequest, ImportProblem, ImportReport, NewWorkOrder, OrderState, ProblemCode, WorkOrder,
};
use secrecy::SecretString;
use sqlx::{Any, Transaction};
use tokio::io::AsyncReadExt as _;

use crate::accounts::{self, AccountInfo};
use crate::api::ApiError;
use crate::audit::{self, AuditReport};
use crate::devices::{self, DEFAULT_TENANT};
use crate::etag::Seen;
use crate::import::{Import, ImportFormat, Order, Schedule};
use crate::orders;
use crate::registration_id::RegistrationId;
use crate::role::Role;
use crate::settings;
use crate::sign_in::invites::{self, Guest, InviteInfo};
use crate::sign_in::{SignInError, codes};
use crate::store::Store;
use crate::tokens::{self, Caller, TokenInfo};
use uuid::Uuid;

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
    /// There is no such tenant.
    #[error("there is no tenant named {0}; `tenant add` makes one")]
    Tenant(String),
    /// The operating system gives no random numbers.
    #[error("{0}")]
    Random(String),
    /// DPS takes no such registration ID.
    #[error("a registration ID has at most 128 of A-Z a-z 0-9 - . _ : and ends in a letter, a digit or a dash")]
    RegistrationId,
    /// What was asked is not possible, in words.
    #[error("{0}")]
    Refused(String),
    /// The file cannot be read.
    #[error("the file cannot be read")]
    File(#[source] std::io::Error),
    /// It cannot be imported as asked; in words.
    #[error("{0}")]
    Import(String),
    /// The database did not do what was asked.
    #[error("the inventory could not be read or changed")]
    Inventory,
}

impl Office {
    /// Opens `sqlite:FILE`, which is made when missing, or `postgres://USER@HOST/DATABASE`.
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

    /// As [`Office::issue_token`], of an account that sees this tenant's devices only.
    ///
    /// # Errors
    /// [`OfficeError::Database`], also when there is no such tenant.
    pub async fn issue_tenant_token(
        &self,
        role: Role,
        name: &str,
        tenant: &str,
        days: u32,
    ) -> Result<(String, SecretString), OfficeError> {
        Ok(tokens::issue(&self.store, role, name, Some(tenant), days, OPERATOR).await?)
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
    /// [`OfficeError::RegistrationId`], [`OfficeError::Refused`] where it needs a reason, or the database's.
    pub async fn add_device(&self, registration_id: &str, device: &DeviceRequest) -> Result<bool, OfficeError> {
        self.add_device_of(None, registration_id, device).await
    }

    /// As [`Office::add_device`], into this tenant's inventory.
    ///
    /// # Errors
    /// [`OfficeError::Tenant`] and [`OfficeError::Refused`], too: several tenants have a device of this registration ID, and
    /// none was named.
    pub async fn add_device_of(
        &self,
        tenant: Option<&str>,
        registration_id: &str,
        device: &DeviceRequest,
    ) -> Result<bool, OfficeError> {
        let id = RegistrationId::parse(registration_id).ok_or(OfficeError::RegistrationId)?;
        if let Some(tenant) = tenant
            && !accounts::is_tenant(&mut *self.store.read().acquire().await?, tenant).await?
        {
            return Err(OfficeError::Tenant(tenant.into()));
        }
        let caller = Caller { tenant: tenant.map(Into::into), ..Caller::operator() };
        devices::put(&self.store, &id, device, &caller, Some(&Seen::whatever())).await.map_err(|error| {
            match error.code() {
                ProblemCode::BadRequest | ProblemCode::LifecycleConflict => refused(error),
                _ => inventory(error),
            }
        })
    }

    /// At most `limit` devices after this registration ID, in their order.
    ///
    /// # Errors
    /// The database's.
    pub async fn devices(&self, after: &str, limit: u32) -> Result<Vec<Device>, OfficeError> {
        devices::list(&self.store, after, limit).await.map_err(inventory)
    }

    /// Puts the devices of a file into the inventory of a tenant, a batch at a time, up to the first bad row; the same file
    /// under the same ID goes on where it ended. `dry_run` keeps nothing. With a `schedule` (from now on, or from a time on) its
    /// devices get slots, by the DPS instances of the service that started last.
    ///
    /// # Errors
    /// [`OfficeError::File`], [`OfficeError::Import`], or the database's.
    pub async fn import(
        &self,
        id: Uuid,
        tenant: Option<&str>,
        format: ImportFormat,
        dry_run: bool,
        schedule: Option<Option<Timestamp>>,
        mut file: impl tokio::io::AsyncRead + Unpin,
    ) -> Result<ImportReport, OfficeError> {
        let names = sqlx::query_scalar("SELECT name FROM instances").fetch_all(self.store.read()).await?;
        let order = Order {
            id,
            tenant: tenant.unwrap_or(DEFAULT_TENANT).to_owned(),
            caller: Caller::operator(),
            format,
            dry_run,
            instances: names.into_iter().collect(),
            schedule: schedule.map(|from| Schedule { from: from.map(Timestamp::as_millisecond) }),
            app: None,
        };
        let refused = |error: ApiError| match error.code() {
            ProblemCode::ImportConflict | ProblemCode::BadRequest => OfficeError::Import(error.words()),
            _ => inventory(error),
        };
        let mut import = Import::begin(&self.store, order).await.map_err(refused)?;
        let mut bytes = vec![0; 64 * 1024];
        while import.wants_more() {
            match file.read(&mut bytes).await.map_err(OfficeError::File)? {
                0 => break,
                read => import.push(&bytes[..read]).await.map_err(refused)?,
            }
        }
        import.finish().await.map_err(refused)
    }

    /// What is wrong with the rows of an import's last upload, after that row and column (`None`: from the first); at most 1,000.
    ///
    /// # Errors
    /// The database's.
    pub async fn import_problems(
        &self,
        id: Uuid,
        tenant: Option<&str>,
        after_row: Option<u64>,
        after_column: &str,
    ) -> Result<Vec<ImportProblem>, OfficeError> {
        let after = (after_row.map_or(-1, |row| i64::try_from(row).unwrap_or(i64::MAX)), after_column);
        let key = crate::import::key(tenant.unwrap_or(DEFAULT_TENANT), id);
        crate::import::problems(&self.store, &key, after, 1000).await.map(|(problems, _)| problems).map_err(inventory)
    }

    /// Goes through the chain of events, from this one on (`None`: from the first), and looks for the hash that was kept
    /// elsewhere, if one was.
    ///
    /// # Errors
    /// [`OfficeError::Database`]. What is wrong with the events is in the report.
    pub async fn verify_events(&self, from: Option<i64>, kept: Option<&str>) -> Result<AuditReport, OfficeError> {
        Ok(audit::verify(&self.store, from, kept).await?)
    }

    /// As [`Office::verify_events`], of a database that is opened for looking only: it may be a copy that cannot be written, and
    /// nothing of it is made or brought up to date first.
    ///
    /// # Errors
    /// [`OfficeError::Database`], also when there is none.
    pub async fn verify_events_at(
        database: &str,
        from: Option<i64>,
        kept: Option<&str>,
    ) -> Result<AuditReport, OfficeError> {
        Ok(audit::verify_at(database, from, kept).await?)
    }

    /// Makes an invite: its ID, the code, which cannot be had again, and when it ends.
    ///
    /// # Errors
    /// [`OfficeError::Tenant`] or the database's.
    pub async fn invite(
        &self,
        role: Role,
        name: &str,
        tenant: Option<&str>,
        minutes: u32,
    ) -> Result<(String, SecretString, Timestamp), OfficeError> {
        let mut tx = self.store.begin().await?;
        if let Some(tenant) = tenant
            && !accounts::is_tenant(&mut tx, tenant).await?
        {
            return Err(OfficeError::Tenant(tenant.into()));
        }
        let guest = Guest { role, name, tenant, minutes };
        let made = invites::make(&mut tx, &guest, OPERATOR).await.map_err(|error| match error {
            SignInError::Database(error) => OfficeError::Database(error),
            other => OfficeError::Random(other.to_string()),
        })?;
        tx.commit().await?;
        Ok((made.id, made.code, made.expires_at))
    }

    /// The link that an app opens and a QR shows.
    #[must_use]
    pub fn invite_link(server: &str, code: &SecretString) -> SecretString {
        codes::invite_link(server, code)
    }

    /// Where clients find the service, as it said when it last started.
    ///
    /// # Errors
    /// [`OfficeError::Database`].
    pub async fn public_url(&self) -> Result<Option<String>, OfficeError> {
        Ok(settings::get(&self.store, settings::PUBLIC_URL).await?)
    }

    /// The invites of the last week, newest first, without their codes.
    ///
    /// # Errors
    /// [`OfficeError::Database`].
    pub async fn invites(&self) -> Result<Vec<InviteInfo>, OfficeError> {
        Ok(invites::list(&self.store, &Caller::operator()).await?)
    }

    /// Withdraws an invite; false when no unused one has that ID.
    ///
    /// # Errors
    /// [`OfficeError::Database`].
    pub async fn withdraw_invite(&self, id: &str) -> Result<bool, OfficeError> {
        Ok(invites::withdraw(&self.store, id, &Caller::operator()).await?)
    }

    /// All accounts, by tenant and name.
    ///
    /// # Errors
    /// [`OfficeError::Database`].
    pub async fn accounts(&self) -> Result<Vec<AccountInfo>, OfficeError> {
        Ok(accounts::list(&self.store).await?)
    }

    /// Disables an account, which ends all that it was given at the next call, or enables it, so that it may sign in anew;
    /// false when that changes nothing.
    ///
    /// # Errors
    /// [`OfficeError::Database`].
    pub async fn set_account_disabled(&self, id: &str, disabled: bool) -> Result<bool, OfficeError> {
        Ok(accounts::set_disabled(&self.store, id, disabled, OPERATOR).await?)
    }

    /// Makes a tenant; false when it is there already.
    ///
    /// # Errors
    /// [`OfficeError::Database`].
    pub async fn add_tenant(&self, name: &str) -> Result<bool, OfficeError> {
        Ok(accounts::add_tenant(&self.store, name, OPERATOR).await?)
    }

    /// All tenants' names.
    ///
    /// # Errors
    /// [`OfficeError::Database`].
    pub async fn tenants(&self) -> Result<Vec<String>, OfficeError> {
        Ok(accounts::tenants(&self.store).await?)
    }

    /// Opens a work order for the installer whom `token` or `invite` knows by this name (and tenant, if they were given
    /// one); they become known when they are not.
    ///
    /// # Errors
    /// [`OfficeError::Refused`] says what is wrong with the order.
    pub async fn open_order(
        &self,
        installer: &str,
        tenant: Option<&str>,
        order: NewWorkOrder,
    ) -> Result<WorkOrder, OfficeError> {
        let (tx, order) = self.opened(installer, tenant, order).await?;
        tx.commit().await?;
        Ok(order)
    }

    /// As [`Office::open_order`], and keeps nothing: what the order would be, with the slots that its devices would get.
    ///
    /// # Errors
    /// As [`Office::open_order`].
    pub async fn rehearse_order(
        &self,
        installer: &str,
        tenant: Option<&str>,
        order: NewWorkOrder,
    ) -> Result<WorkOrder, OfficeError> {
        let (tx, order) = self.opened(installer, tenant, order).await?;
        tx.rollback().await?;
        Ok(order)
    }

    async fn opened(
        &self,
        installer: &str,
        tenant: Option<&str>,
        order: NewWorkOrder,
    ) -> Result<(Transaction<'static, Any>, WorkOrder), OfficeError> {
        let mut tx = self.store.begin().await?;
        let installer = accounts::local(&mut tx, Role::Installer, installer, tenant).await?;
        let order = NewWorkOrder { installer, ..order };
        orders::check(&order).map_err(refused)?;
        let order = orders::open_in(&mut tx, None, &order, &Caller::operator()).await.map_err(refused)?;
        Ok((tx, order))
    }

    /// At most `limit` work orders after this one, in the order in which they were made.
    ///
    /// # Errors
    /// The database's.
    pub async fn orders(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<WorkOrder>, OfficeError> {
        let mut db = self.store.read().acquire().await?;
        orders::list(&mut db, &Caller::operator(), after, None, limit).await.map_err(refused)
    }

    /// Closes or cancels a work order.
    ///
    /// # Errors
    /// [`OfficeError::Refused`]: there is none of that ID, or it was cancelled before.
    pub async fn end_order(&self, id: Uuid, state: OrderState) -> Result<(), OfficeError> {
        orders::end(&self.store, id, state, &Caller::operator()).await.map_err(refused)
    }

    /// Lets go of the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

fn refused(error: ApiError) -> OfficeError {
    OfficeError::Refused(error.words())
}

fn inventory(error: ApiError) -> OfficeError {
    tracing::error!(?error, "the inventory could not be read or changed");
    OfficeError::Inventory
}
