use std::time::Duration;

/// What happens to a call instead of, or before, its normal answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This D-Bus error.
    Error(&'static str, &'static str),
    /// The normal answer, late.
    Slow(Duration),
    /// No answer ever.
    Never,
    /// The device disconnects; the call is answered as BlueZ does then.
    Disconnect,
    /// The call takes effect, then the device disconnects before the answer.
    DisconnectAfter,
    /// The adapter is pulled out.
    PullAdapter,
    /// This value instead of what was read.
    Value(Vec<u8>),
    /// The device's GATT objects go away and come back under other paths.
    ChangeServices,
}

/// Which call a fault meets.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) member: &'static str,
    pub(crate) skip: usize,
    pub(crate) times: usize,
    pub(crate) fault: Fault,
}

impl Rule {
    /// The first call of `member` (`Connect`, `WriteValue`, …; `ReadDescriptor` for a descriptor's `ReadValue`).
    #[must_use]
    pub fn first(member: &'static str, fault: Fault) -> Self {
        Self { member, skip: 0, times: 1, fault }
    }

    /// Every call of `member`.
    #[must_use]
    pub fn every(member: &'static str, fault: Fault) -> Self {
        Self { member, skip: 0, times: usize::MAX, fault }
    }

    /// The call after `skip` others of `member`.
    #[must_use]
    pub fn after(member: &'static str, skip: usize, fault: Fault) -> Self {
        Self { member, skip, times: 1, fault }
    }

    /// The fault, when it is this call's turn.
    pub(crate) fn meets(&mut self, member: &str) -> Option<Fault> {
        if self.member != member || self.times == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= usize::from(self.times != usize::MAX);
        Some(self.fault.clone())
    }
}
