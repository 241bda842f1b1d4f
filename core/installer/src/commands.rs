//! One table of commands for every page: the desktop app hosts it over IPC, `lowtouch serve` over HTTP.
//!
//! [`Commands`] is what a host holds, one for a process. Each command takes one object of arguments and gives one answer
//! ([`Commands::call`]), or a stream of them ([`Commands::stream`]); dropping a stream is how it is cancelled. The table
//! below is the only list: names, arguments, answers, the dispatch and the page's TypeScript (feature `typescript`) all
//! come of it. docs/adr/0008-command-table.md says why.
//!
//! The page never holds a secret that it has given once: a label's text becomes a `labelId`, and the label stays here.

mod accounts;
mod demo;
mod doctor;
mod error;
mod host;
mod journal;
mod labels;
mod nearby;
mod orders;
mod own;
mod pairings;
mod settings;
mod standing;
mod streams;
mod table;
#[cfg(feature = "typescript")]
pub mod typescript;

use std::sync::Arc;

use tokio::sync::watch;

pub use self::accounts::{
    AccountNamed, AccountSeen, AccountsSeen, InvitePicture, InviteSeen, InviteText, SignInEvent, SignInWay, SignInWith,
    SignedOutSeen,
};
pub use self::demo::{DemoEvent, DemoWith};
pub use self::doctor::LogsBundle;
pub use self::error::CommandError;
pub use self::host::{Host, HostKind, SecretsFor};
pub use self::journal::{HandoffRef, JournalEntry, JournalPage, JournalQuery, NotTold, ToldSeen};
pub use self::labels::{DeviceInfoOf, LabelCode, LabelPicture, LabelSeen, LabelText, Unfinished, WifiNetworksOf};
pub use self::nearby::{NearbyDevice, NearbySeen, NearbySource, NearbyWifi, SourceState, Usable, Via};
pub use self::orders::{OrderDownloaded, OrderRef, OrderSeen, OrdersSeen};
pub use self::pairings::{PairingRef, PairingSeen, PairingStart, PairingState, WifiGiven};
pub use self::settings::{SettingKey, SettingProblem, SettingSeen, SettingSet, SettingSource, SettingsPage};
pub use self::standing::{About, DemoSeen, DemoState, Standing};
pub use self::table::{Command, Kind};

use self::table::command_table;
use crate::doctor::Report;
use crate::events::PairingEvent;
use crate::pairing::{DeviceInfo, WifiNetwork};
use serde::{Deserialize, Serialize};

/// No arguments, or nothing to answer: `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "Record<string, never>"))]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Everything that a page can ask for. Cheap to clone; the last clone that goes takes pairings and demo with it.
#[derive(Clone)]
pub struct Commands(Arc<Inner>);

struct Inner {
    host: Host,
    own: own::Own,
    labels: labels::Labels,
    invites: accounts::Invites,
    pairings: pairings::Pairings,
    demo: demo::Demo,
    /// Counts up whenever something that [`Standing`] shows may have changed.
    changed: watch::Sender<u64>,
}

impl Commands {
    /// Opens nothing yet. Must be called within a tokio runtime.
    pub fn new(host: Host) -> Commands {
        Commands(Arc::new(Inner {
            own: own::Own::new(host.account.clone()),
            host,
            labels: labels::Labels::default(),
            invites: accounts::Invites::default(),
            pairings: pairings::Pairings::default(),
            demo: demo::Demo::default(),
            changed: watch::Sender::new(0),
        }))
    }

    /// Cancels what runs and ends the demo, and waits for both. For a host that is about to end.
    pub async fn end(&self) {
        self.0.pairings.cancel_all();
        self.0.demo.stop().await;
        self.0.pairings.ended().await;
    }

    fn changed(&self) {
        self.0.changed.send_modify(|count| *count += 1);
    }
}

command_table! {
    calls {
        /// What this program is and what it can do.
        about(Nothing) -> About;

        /// Reads a label's text (the QR code's). The label stays here; the answer names it.
        label_read(LabelText) -> LabelSeen;
        /// Reads the QR code in a picture, PNG or JPEG.
        label_read_picture(LabelPicture) -> LabelSeen;
        /// Makes a label of what a person types: name, code (PoP) and link.
        label_from_code(LabelCode) -> LabelSeen;
        /// Which Wi-Fi networks the device hears.
        wifi_networks(WifiNetworksOf) -> Vec<WifiNetwork>;
        /// What a device says of itself; more of it where its label is given.
        device_info(DeviceInfoOf) -> DeviceInfo;

        /// Begins a pairing. An earlier one of the same label that was interrupted is finished by it.
        pairing_start(PairingStart) -> PairingRef;
        /// Ends a pairing at the next possible moment; a pairing that has ended stays as it is.
        pairing_cancel(PairingRef) -> Nothing;
        /// The pairings of this process, newest first.
        pairings(Nothing) -> Vec<PairingSeen>;

        /// A page of the journal, newest first.
        journal(JournalQuery) -> JournalPage;
        /// One pairing of the journal.
        journal_entry(HandoffRef) -> JournalEntry;
        /// Tells the provisioning API of every pairing that ended while it could not be reached.
        journal_tell(Nothing) -> ToldSeen;

        /// The account's work orders, and which of them are downloaded. Without a network those that are downloaded.
        orders(Nothing) -> OrdersSeen;
        /// One work order with its devices.
        order(OrderRef) -> OrderSeen;
        /// Downloads an open work order for use where there is no network.
        order_download(OrderRef) -> OrderDownloaded;

        /// Who is signed in where.
        accounts(Nothing) -> AccountsSeen;
        /// Makes an account the current one.
        account_use(AccountNamed) -> AccountSeen;
        /// Ends an account's sign-in; it stays in the list.
        account_sign_out(AccountNamed) -> SignedOutSeen;
        /// As `account_sign_out`, and takes the account from the list.
        account_remove(AccountNamed) -> SignedOutSeen;
        /// Where an invite leads. It is not used by that, and stays here.
        invite_read(InviteText) -> InviteSeen;
        /// The same for the QR code in a picture, PNG or JPEG.
        invite_read_picture(InvitePicture) -> InviteSeen;

        /// Every setting, its value and where it came from, and what is wrong.
        settings(Nothing) -> SettingsPage;
        /// Writes a setting into the file and answers what holds now.
        setting_set(SettingSet) -> SettingSeen;
        /// Takes a setting out of the file, also one that there is not.
        setting_unset(SettingKey) -> Nothing;

        /// Looks at everything that a pairing stands on.
        doctor(Nothing) -> Report;
        /// Logs, doctor's report, settings and journal in one zip file for support. It is sent nowhere.
        logs_bundle(Nothing) -> LogsBundle;

        /// Ends the demo and everything that it started. Answers when it is gone.
        demo_stop(Nothing) -> Nothing;
    }
    streams {
        /// How this program stands: at once, and whenever that changes.
        standing(Nothing) -> Standing;
        /// The devices in reach and the ways in which they are looked for: at once, and whenever that changes.
        nearby(Nothing) -> NearbySeen;
        /// Everything that a pairing told and tells, from the first event on; ends after the final one.
        pairing_watch(PairingRef) -> PairingEvent;
        /// Signs in; ends after `signed-in` or `failed`.
        sign_in(SignInWith) -> SignInEvent;
        /// Starts the demo; ends after `ready` or `failed`. The demo itself goes on until `demo_stop`.
        demo_start(DemoWith) -> DemoEvent;
    }
}
