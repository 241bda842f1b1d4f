//! The simulated power supply: it goes off at the points that the fault plan names, and takes everything with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::faults::{FaultPlan, KillPoint, Misanswer};

/// The power went off: whoever sees this stops at once and tells nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the power is off")]
pub struct PowerLost;

/// Shared by all parts of one simulated device. A handle belongs to one boot: what is left of an earlier boot has no
/// power, even when the device is on again.
#[derive(Debug, Clone)]
pub struct Power {
    inner: Arc<Mutex<Inner>>,
    on: Arc<watch::Sender<bool>>,
    /// Held while a record is written, so that no boot reads under the last write of the one before it.
    writing: Arc<Mutex<()>>,
    /// Cancelled when this boot's power goes off.
    token: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    plan: FaultPlan,
    armed: bool,
    unplugged: bool,
    boots: u32,
    writes: u32,
    messages: u32,
    dps_requests: u32,
    token: CancellationToken,
}

/// What a persisted write has to expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteNumber(u32);

impl Power {
    /// Off, and the plan counts nothing, until the device boots or [`Power::switch_on`].
    pub fn new(plan: FaultPlan) -> Self {
        let inner = Inner {
            plan,
            armed: false,
            unplugged: false,
            boots: 0,
            writes: 0,
            messages: 0,
            dps_requests: 0,
            token: CancellationToken::new(),
        };
        let token = CancellationToken::new();
        token.cancel();
        let (inner, on) = (Arc::new(Mutex::new(inner)), Arc::new(watch::Sender::new(false)));
        Self { inner, on, writing: Arc::default(), token }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power on, with the fault plan counting from here. The handle is for this boot.
    pub fn switch_on(&self) -> Self {
        let boot = self.boot();
        boot.arm();
        boot
    }

    /// Power on. The handle is for this boot.
    pub(crate) fn boot(&self) -> Self {
        let mut inner = self.inner();
        inner.boots += 1;
        inner.unplugged = false;
        inner.token = CancellationToken::new();
        self.on.send_replace(true);
        let token = inner.token.clone();
        drop(inner);
        Self { token, ..self.clone() }
    }

    /// Returns when this boot's power is off.
    pub(crate) async fn gone(&self) {
        self.token.cancelled().await;
    }

    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on the fault plan counts: what the factory did is behind.
    pub(crate) fn arm(&self) {
        self.inner().armed = true;
    }

    /// Power off, now, until [`Power::switch_on`] whatever the plan says.
    pub fn cut(&self) {
        let mut inner = self.inner();
        inner.unplugged = true;
        self.on.send_replace(false);
        inner.token.cancel();
    }

    /// Whether the power is on.
    pub fn is_on(&self) -> bool {
        *self.on.borrow()
    }

    /// Whether the power is on, to wait on.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.on.subscribe()
    }

    /// How often it was switched on.
    pub fn boots(&self) -> u32 {
        self.inner().boots
    }

    /// `None`: the device stays off.
    pub(crate) fn restart_after(&self) -> Option<Duration> {
        let inner = self.inner();
        inner.plan.restart_after.filter(|_| !inner.unplugged)
    }

    pub(crate) fn alive(&self) -> Result<(), PowerLost> {
        if self.token.is_cancelled() { Err(PowerLost) } else { Ok(()) }
    }

    fn strike(&self, inner: &mut Inner, point: KillPoint) -> Result<(), PowerLost> {
        self.alive()?;
        if let Some(index) = inner.plan.kill.iter().position(|planned| *planned == point) {
            inner.plan.kill.remove(index);
            tracing::info!(?point, "the fault plan takes the power away");
            self.on.send_replace(false);
            inner.token.cancel();
            return Err(PowerLost);
        }
        Ok(())
    }

    /// `Err(None)`: the power went; `Err(Some(_))`: the flash is full.
    pub(crate) fn write_begins(&self) -> Result<WriteNumber, Option<std::io::Error>> {
        let mut inner = self.inner();
        self.alive().map_err(|PowerLost| None)?;
        if !inner.armed {
            return Ok(WriteNumber(0));
        }
        inner.writes += 1;
        let number = inner.writes;
        self.strike(&mut inner, KillPoint::BeforeWrite(number)).map_err(|PowerLost| None)?;
        if inner.plan.disk_full.contains(&number) {
            return Err(Some(std::io::Error::from(std::io::ErrorKind::StorageFull)));
        }
        Ok(WriteNumber(number))
    }

    pub(crate) fn write_is_halfway(&self, number: WriteNumber) -> Result<(), PowerLost> {
        self.strike(&mut self.inner(), KillPoint::DuringWrite(number.0))
    }

    pub(crate) fn write_ends(&self, number: WriteNumber) -> Result<(), PowerLost> {
        self.strike(&mut self.inner(), KillPoint::AfterWrite(number.0))
    }

    /// A request has arrived over the link. Its number, and how the plan wants it answered.
    pub(crate) fn message_begins(&self) -> Result<(u32, Option<Misanswer>), PowerLost> {
        let mut inner = self.inner();
        inner.messages += 1;
        let number = inner.messages;
        self.strike(&mut inner, KillPoint::BeforeMessage(number))?;
        let planned = inner.plan.misanswers.iter().find(|(at, _)| *at == number);
        Ok((number, planned.map(|(_, misanswer)| *misanswer)))
    }

    pub(crate) fn message_ends(&self, number: u32) -> Result<(), PowerLost> {
        self.strike(&mut self.inner(), KillPoint::AfterMessage(number))
    }

    pub(crate) fn dps_request_begins(&self) -> Result<u32, PowerLost> {
        let mut inner = self.inner();
        inner.dps_requests += 1;
        let number = inner.dps_requests;
        self.strike(&mut inner, KillPoint::BeforeDpsRequest(number))?;
        Ok(number)
    }

    pub(crate) fn dps_request_ends(&self, number: u32) -> Result<(), PowerLost> {
        self.strike(&mut self.inner(), KillPoint::AfterDpsRequest(number))
    }
}
