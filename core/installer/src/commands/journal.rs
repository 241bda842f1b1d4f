//! What was given, acknowledged and assigned.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CommandError, Commands, Nothing};
use crate::error::ErrorCode;
use crate::journal::{Entry, Filter, State};

/// The longest page.
const MOST: u32 = 500;

/// `journal`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JournalQuery {
    /// At most so many; 500 at most.
    pub limit: u32,
    /// The hand-off ID of the last entry of the page before.
    pub before: Option<Uuid>,
    /// Only those that stand so.
    pub state: Option<State>,
    /// Only those whose name, registration ID, model, link, hub or hand-off ID contains this.
    pub text: Option<String>,
}

/// A page of the journal.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct JournalPage {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// How many there are on all pages.
    pub total: u64,
}

/// One pairing of the journal.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandoffRef {
    /// Its hand-off ID.
    pub handoff_id: Uuid,
}

/// What the provisioning API was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ToldSeen {
    /// Pairings that it knows of now.
    pub told: Vec<Uuid>,
    /// Pairings that it did not take.
    pub refused: Vec<NotTold>,
}

/// A pairing that the provisioning API did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct NotTold {
    /// Which.
    pub handoff_id: Uuid,
    /// Why.
    pub code: ErrorCode,
}

impl Commands {
    /// `journal`.
    ///
    /// # Errors
    /// `journal-…`.
    pub async fn journal(&self, args: JournalQuery) -> Result<JournalPage, CommandError> {
        let filter = Filter { state: args.state, text: args.text };
        let (entries, total) = self.journal_now().await?.page(&filter, args.before, args.limit.min(MOST)).await?;
        Ok(JournalPage { entries, total })
    }

    /// `journal_entry`.
    ///
    /// # Errors
    /// `journal-no-entry`, `journal-…`.
    pub async fn journal_entry(&self, args: HandoffRef) -> Result<Entry, CommandError> {
        Ok(self.journal_now().await?.show(args.handoff_id).await?)
    }

    /// `journal_tell`.
    ///
    /// # Errors
    /// As [`Installer::tell`](crate::Installer::tell).
    pub async fn journal_tell(&self, _: Nothing) -> Result<ToldSeen, CommandError> {
        let done = self.installer().await?.tell().await?;
        self.changed();
        let refused = done.refused.into_iter().map(|(handoff_id, code)| NotTold { handoff_id, code });
        Ok(ToldSeen { told: done.told, refused: refused.collect() })
    }
}
