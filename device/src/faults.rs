//! Injected faults: power loss at a named point, and a flash that is full.

use std::time::Duration;

/// Where the simulated device loses its power. Counts start at 1 and run over the life of one [`Running`], reboots
/// included.
///
/// [`Running`]: crate::sim::Running
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KillPoint {
    /// Before the nth persisted write has touched the flash.
    BeforeWrite(u32),
    /// In the middle of the nth persisted write: the new bytes are on the flash, but not yet in force.
    DuringWrite(u32),
    /// After the nth persisted write is complete, before anything else happens.
    AfterWrite(u32),
    /// The nth request has arrived over the link and nothing has been done about it.
    BeforeMessage(u32),
    /// The nth request has been handled and its response is lost.
    AfterMessage(u32),
    /// The nth request to DPS is about to be sent.
    BeforeDpsRequest(u32),
    /// The nth request to DPS has been answered and the answer is lost.
    AfterDpsRequest(u32),
}

/// What goes wrong with a simulated device, and when. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan {
    /// Each point strikes once.
    pub kill: Vec<KillPoint>,
    /// After a kill the device boots again on the same address when this has passed; `None`: it stays off until
    /// [`Running::power_on`](crate::sim::Running::power_on).
    pub restart_after: Option<Duration>,
    /// The persisted writes (counted from 1) that fail with "no space left on device".
    pub disk_full: Vec<u32>,
    /// The requests over the link (counted from 1) that are answered wrongly, each once.
    pub misanswers: Vec<(u32, Misanswer)>,
}

/// How a request is answered wrongly. The request itself is handled, but for [`Misanswer::Refuse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misanswer {
    /// Never.
    Silence,
    /// With bytes that mean nothing.
    Garbage,
    /// With more bytes than the link may carry.
    TooLong,
    /// As a handler that fails: HTTP closes, BLE answers an ATT error, serial says refused.
    Refuse,
}

impl FaultPlan {
    /// One kill, after which the device boots again when `restart_after` has passed.
    pub fn kill_once(point: KillPoint, restart_after: Option<Duration>) -> Self {
        Self { kill: vec![point], restart_after, ..Self::default() }
    }
}
