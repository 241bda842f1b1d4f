//! What this program is and how it stands.

use std::time::Duration;

use futures::stream::BoxStream;
use serde::Serialize;
use tokio::time::sleep;

use super::accounts::AccountSeen;
use super::host::HostKind;
use super::own::Identity;
use super::streams::{Changes, told};
use super::{CommandError, Commands, Nothing};
use crate::journal::{Counts, Filter};
use crate::retry::{Connectivity as _, Routes, Standing as Online};

/// What changes without a word of ours (the network, files that another program writes) is looked at so often.
const LOOK: Duration = Duration::from_secs(2);

/// What this program is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct About {
    /// Of this program.
    pub version: String,
    /// Who shows the page.
    pub host: HostKind,
    /// The system that it runs on: `linux`, `macos`, `windows`.
    pub system: &'static str,
    /// Folder of journal, accounts and logs.
    pub data_dir: String,
    /// The settings file.
    pub settings_file: String,
    /// Whether the demo's programs are there.
    pub demo_possible: bool,
}

/// How this program stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Standing {
    /// As whom the provisioning API is called; absent: nobody is signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountSeen>,
    /// A token of the host's stands in place of an account.
    pub by_token: bool,
    /// The provisioning API's address, of the account or of the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Why nobody can be called, where settings or accounts cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<CommandError>,
    /// Whether this machine has a network.
    pub online: bool,
    /// The demo. While it is on, pairings, journal and what is in reach are the demo's.
    pub demo: DemoSeen,
    /// Pairings that run in this process.
    pub running: usize,
    /// Pairings of the journal that are open: they run, or the next run finishes them.
    pub unfinished: u64,
    /// Pairings that ended and that the provisioning API has not been told of.
    pub untold: u64,
}

/// How the demo stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DemoSeen {
    /// How.
    pub state: DemoState,
    /// How many devices it has, or will have.
    pub devices: u16,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<CommandError>,
}

/// How the demo stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DemoState {
    /// It was not started.
    Off,
    /// Its parts come up.
    Starting,
    /// It can be paired with.
    On,
    /// It did not start, or a part of it ended.
    Failed,
}

impl Commands {
    /// `about`.
    ///
    /// # Errors
    /// None.
    pub async fn about(&self, _: Nothing) -> Result<About, CommandError> {
        let host = &self.0.host;
        Ok(About {
            version: host.version.clone(),
            host: host.kind,
            system: std::env::consts::OS,
            data_dir: host.data_dir.display().to_string(),
            settings_file: host.settings_file.display().to_string(),
            demo_possible: self.demo_possible(),
        })
    }

    /// `standing`.
    ///
    /// # Errors
    /// None.
    pub fn standing(&self, _: Nothing) -> Result<BoxStream<'static, Standing>, CommandError> {
        let commands = self.clone();
        Ok(told(move |tell| async move {
            let changes = Changes::new(tell);
            let mut news = commands.0.changed.subscribe();
            loop {
                news.borrow_and_update();
                changes.tell(commands.stands().await).await;
                tokio::select! {
                    _ = news.changed() => {}
                    () = sleep(LOOK) => {}
                }
            }
        }))
    }

    async fn stands(&self) -> Standing {
        let (by_token, account, problem) = match self.who().await {
            Ok(None) => (false, None, None),
            Ok(Some(Identity::Token)) => (true, None, None),
            Ok(Some(Identity::Account(account))) => (false, Some(AccountSeen::of(&account, true)), None),
            Err(error) => (false, None, Some(error)),
        };
        let server = account.as_ref().map(|account| account.server.clone());
        let server = server.or_else(|| self.0.host.read_settings().0.api());
        // A journal that cannot be opened is said where it is asked for.
        let counted = match self.journal_now().await {
            Ok(journal) => journal.counts(&Filter::default()).await.unwrap_or_default(),
            Err(_) => Counts::default(),
        };
        // From its making on the installer tells it by itself; nobody may have needed one since the app started.
        if counted.untold > 0 && problem.is_none() {
            let _ = self.installer().await;
        }
        Standing {
            account,
            by_token,
            server,
            problem,
            online: Routes.standing() == Online::Online,
            demo: self.0.demo.seen(),
            running: self.0.pairings.running(),
            unfinished: counted.open,
            untold: counted.untold,
        }
    }

    /// As whom; `None`: nobody is signed in. Asks no keyring and no network.
    async fn who(&self) -> Result<Option<Identity>, CommandError> {
        let settings = self.settings_now()?;
        match self.identity(&settings) {
            Ok(identity) => Ok(Some(identity)),
            Err(error) if error.error.code == crate::ErrorCode::ApiTokenMissing => Ok(None),
            Err(error) => Err(error),
        }
    }
}
