//! Where the tests break a pairing: the app killed before or after a step or a journal write, the disk full under it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::events::Step;

/// A place in which a pairing can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Before the first thing of a step.
    BeforeStep(Step),
    /// After the last thing of a step, its journal writes included.
    AfterStep(Step),
    /// Before a journal write.
    BeforeWrite(Write),
    /// After a journal write.
    AfterWrite(Write),
    /// After the device has done what a message asked for, before this side has seen the answer.
    AfterSend(Message),
}

/// The journal writes of a pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Write {
    /// The entry with its hand-off ID.
    Begin,
    /// What the device said it is.
    Identified,
    /// What the API gave.
    Given,
    /// The digest of what will be staged.
    Prepared,
    /// The device acknowledged the stage.
    Staged,
    /// The commit is about to be sent.
    Committing,
    /// The device acknowledged the commit.
    Committed,
    /// The device said how it ended.
    DeviceSaid,
    /// DPS said how it ended, through the API.
    DpsSaid,
    /// The API knows how it ended.
    Recorded,
    /// It failed or was cancelled.
    Error,
}

impl Write {
    /// All of them.
    pub const ALL: [Write; 11] = [
        Write::Begin,
        Write::Identified,
        Write::Given,
        Write::Prepared,
        Write::Staged,
        Write::Committing,
        Write::Committed,
        Write::DeviceSaid,
        Write::DpsSaid,
        Write::Recorded,
        Write::Error,
    ];
}

/// Messages after which the answer can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Message {
    /// The last part of the stage.
    Stage,
    /// The commit.
    Commit,
}

pub(crate) struct ClockHold {
    _release: std::sync::mpsc::Sender<()>,
}

#[derive(Default)]
struct Armed {
    kill: BTreeSet<Point>,
    cancel: BTreeSet<Point>,
    disk_full: BTreeSet<Write>,
    seen: Vec<Point>,
    virtual_time: bool,
}

/// Shared by everything that one [`Installer`](crate::Installer) runs. Nothing is armed by default.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Armed>>);

impl Faults {
    /// The pairing's task ends at this point as if the process had been killed: no clean-up, no further write or message.
    pub fn kill_at(&self, point: Point) {
        self.lock().kill.insert(point);
    }

    /// The pairing is cancelled at this point.
    pub fn cancel_at(&self, point: Point) {
        self.lock().cancel.insert(point);
    }

    /// This journal write finds the disk full.
    pub fn disk_full_at(&self, write: Write) {
        self.lock().disk_full.insert(write);
    }

    /// The test's clock is paused. SQLite works on a thread of its own, which a paused tokio clock does not see: it would
    /// jump to the next deadline while a write is under way. So it is held meanwhile.
    pub fn virtual_time(&self) {
        self.lock().virtual_time = true;
    }

    /// Holds a paused clock until the guard is dropped; does nothing outside of tests.
    pub(crate) fn hold_clock(&self) -> Option<ClockHold> {
        if !self.lock().virtual_time {
            return None;
        }
        let (release, released) = std::sync::mpsc::channel::<()>();
        // tokio does not advance a paused clock while blocking work is under way.
        tokio::task::spawn_blocking(move || {
            let _ = released.recv();
        });
        Some(ClockHold { _release: release })
    }

    /// Nothing is armed any more.
    pub fn disarm(&self) {
        let mut armed = self.lock();
        armed.kill.clear();
        armed.cancel.clear();
        armed.disk_full.clear();
    }

    /// The points that were passed so far.
    pub fn seen(&self) -> Vec<Point> {
        self.lock().seen.clone()
    }

    pub(crate) fn disk_full(&self, write: Write) -> bool {
        self.lock().disk_full.contains(&write)
    }

    /// Never returns where a kill is armed; the pairing's task notices and is dropped.
    pub(crate) async fn pass(&self, point: Point, killed: &CancellationToken, cancel: &CancellationToken) {
        let (kills, cancels) = {
            let mut armed = self.lock();
            armed.seen.push(point);
            (armed.kill.contains(&point), armed.cancel.contains(&point))
        };
        if kills {
            killed.cancel();
            std::future::pending::<()>().await;
        }
        if cancels {
            cancel.cancel();
            tokio::task::yield_now().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Armed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
