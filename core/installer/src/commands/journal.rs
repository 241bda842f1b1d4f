//! What was given, acknowledged and assigned.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CommandError, Commands, Nothing};
use crate::error::ErrorCode;
use crate::journal::{Counts, Entry, Filter, Stands};

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
    pub state: Option<Stands>,
    /// Only those whose name, registration ID, model, link, DPS instance, hub, device ID or hand-off ID contains this.
    pub text: Option<String>,
}

/// A page of the journal.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct JournalPage {
    /// Newest first.
    pub entries: Vec<JournalEntry>,
    /// How many there are on all pages, as they were asked for.
    pub total: u64,
    /// How many contain the text, each way that they can stand.
    pub counts: Counts,
    /// For `before` of the next page; absent: this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Uuid>,
}

/// A pairing of the journal as a page sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JournalEntry {
    /// As the journal has it.
    #[serde(flatten)]
    pub entry: Entry,
    /// Its label, where it was paired by this process and the label is still known: it can be paired again without a scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_id: Option<Uuid>,
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
        let filter = Filter { standing: args.state, text: args.text };
        let journal = self.journal_now().await?;
        let limit = args.limit.clamp(1, MOST);
        // One more than is shown, to know whether there is another page.
        let mut entries = journal.page(&filter, args.before, limit + 1).await?;
        let counts = journal.counts(&filter).await?;
        let total = match args.state {
            None => counts.all,
            Some(Stands::Open) => counts.open,
            Some(Stands::Assigned) => counts.assigned,
            Some(Stands::Failed) => counts.failed,
            Some(Stands::Untold) => counts.untold,
        };
        let more = entries.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            entries.pop();
        }
        let next = entries.last().filter(|_| more).map(|entry| entry.handoff_id);
        let entries = entries.into_iter().map(|entry| self.with_label(entry)).collect();
        Ok(JournalPage { entries, total, counts, next })
    }

    /// `journal_entry`.
    ///
    /// # Errors
    /// `journal-no-entry`, `journal-…`.
    pub async fn journal_entry(&self, args: HandoffRef) -> Result<JournalEntry, CommandError> {
        Ok(self.with_label(self.journal_now().await?.show(args.handoff_id).await?))
    }

    fn with_label(&self, entry: Entry) -> JournalEntry {
        let label_id = self.0.pairings.label_of(entry.handoff_id).filter(|id| self.0.labels.get(*id).is_ok());
        JournalEntry { entry, label_id }
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
