//! What every request shares.

use std::collections::BTreeMap;

use tokio::sync::{Notify, Semaphore};

use crate::authorities::Authorities;
use crate::config::Limits;
use crate::enrollments::{Enrollments, Instance};
use crate::issuers::Issuers;
use crate::owner::Owners;
use crate::pace::Pace;
use crate::store::Store;
use crate::vault::Vault;

pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) authorities: Authorities,
    pub(crate) owners: Owners,
    /// By name.
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) limits: Limits,
    /// Of those who are known, by account.
    pub(crate) pace: Pace,
    /// Of those who are not, by address.
    pub(crate) strangers_pace: Pace,
    pub(crate) issuers: Issuers,
    /// `https://HOST[:PORT]`, without a slash at its end.
    pub(crate) public_url: String,
    /// Notified when something was written into the outbox.
    pub(crate) outbox: Notify,
    /// One for each import that goes on.
    pub(crate) imports: Semaphore,
}

impl App {
    pub(crate) fn enrollments(&self) -> Enrollments<'_> {
        Enrollments {
            store: &self.store,
            vault: &self.vault,
            authorities: &self.authorities,
            trust: self.limits.group_trust,
            patience: self.limits.dps_budget,
        }
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys are in it.
        f.write_str("App")
    }
}
