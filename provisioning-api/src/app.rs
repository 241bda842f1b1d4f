//! What every request shares.

use std::collections::BTreeMap;

use crate::authority::Authority;
use crate::config::Limits;
use crate::enrollments::{Enrollments, Instance};
use crate::owner::Owner;
use crate::pace::Pace;
use crate::store::Store;
use crate::vault::Vault;

pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) authority: Authority,
    pub(crate) owner: Owner,
    /// By name.
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) limits: Limits,
    pub(crate) pace: Pace,
}

impl App {
    pub(crate) fn enrollments(&self) -> Enrollments<'_> {
        Enrollments {
            store: &self.store,
            vault: &self.vault,
            authority: &self.authority,
            trust: self.limits.group_trust,
            patience: self.limits.dps_budget,
        }
    }
}
