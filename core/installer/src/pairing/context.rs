//! What every step needs beside its own work: events, cancellation, deadlines, and where the tests break it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{ErrorCode, PairingError};
use crate::events::{EventLog, PairingEvent, Step, WaitingFor, Warning};
use crate::fault::{Faults, Point, Write};
use crate::retry::{Breaker, Endpoint, Policy, Told};

#[derive(Clone)]
pub(super) struct Context {
    pub(super) events: EventLog,
    pub(super) cancel: CancellationToken,
    pub(super) killed: CancellationToken,
    pub(super) faults: Faults,
    /// Link exchanges so far.
    pub(super) exchanges: Arc<AtomicU64>,
    pub(super) started: Instant,
    /// The provisioning API.
    pub(super) endpoint: Endpoint,
    /// Holds the steps' deadlines while this machine is offline.
    hold: Hold,
    /// What is logged belongs to this pairing.
    pub(super) span: tracing::Span,
}

impl Context {
    pub(super) fn new(faults: Faults) -> Self {
        Context {
            events: EventLog::new(),
            cancel: CancellationToken::new(),
            killed: CancellationToken::new(),
            faults,
            exchanges: Arc::default(),
            started: Instant::now(),
            endpoint: Endpoint::new("", Breaker::default(), Policy::API),
            hold: Hold::default(),
            span: tracing::info_span!(
                "pairing",
                handoff_id = tracing::field::Empty,
                registration_id = tracing::field::Empty
            ),
        }
    }

    pub(super) fn emit(&self, event: PairingEvent) {
        self.events.emit(event);
    }

    pub(super) fn warn(&self, warning: Warning) {
        self.emit(PairingEvent::Warning { warning });
    }

    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    pub(super) fn round_trips(&self) -> u64 {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// Does one step: events around it, cancelled when asked, ended at its deadline. The deadline stands still while this
    /// machine is offline: that time is nobody's fault, and has a limit of its own ([`Policy::offline`]).
    pub(super) async fn step<T>(
        &self,
        step: Step,
        waiting_for: WaitingFor,
        deadline: Duration,
        work: impl Future<Output = Result<T, PairingError>>,
    ) -> Result<T, PairingError> {
        let (start, before) = (Instant::now(), self.round_trips());
        tracing::debug!(step = step.as_str(), "step");
        self.emit(PairingEvent::StepStarted { step, waiting_for, deadline_s: deadline.as_secs() });
        self.pass(Point::BeforeStep(step)).await;
        let timed = self.hold.timeout(deadline, work);
        let done = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(ErrorCode::Cancelled.into()),
            done = timed => done.unwrap_or_else(|| {
                let code = match waiting_for {
                    WaitingFor::Device => ErrorCode::DeviceSilent,
                    WaitingFor::Api => ErrorCode::ApiTimeout,
                    WaitingFor::Cloud => ErrorCode::ConfirmTimeout,
                    WaitingFor::Journal => ErrorCode::JournalLocked,
                };
                Err(PairingError::with_detail(code, format!("not done after {} s", deadline.as_secs())))
            }),
        };
        let done = done.map_err(|error| error.at(step))?;
        self.pass(Point::AfterStep(step)).await;
        self.emit(PairingEvent::StepDone {
            step,
            seconds: start.elapsed().as_secs_f64(),
            round_trips: self.round_trips().saturating_sub(before),
        });
        Ok(done)
    }

    /// One journal write.
    pub(super) async fn write<T>(
        &self,
        write: Write,
        work: impl Future<Output = Result<T, PairingError>>,
    ) -> Result<T, PairingError> {
        self.pass(Point::BeforeWrite(write)).await;
        let done = {
            let _hold = self.faults.hold_clock();
            work.await?
        };
        self.pass(Point::AfterWrite(write)).await;
        Ok(done)
    }

    /// One call of the API, tried again as the retry layer says.
    pub(super) async fn api<T, Fut>(&self, step: Step, call: impl FnMut() -> Fut + Send) -> Result<T, PairingError>
    where
        Fut: Future<Output = Result<T, PairingError>> + Send,
    {
        // However the call ends, and be it by being dropped, the deadlines run again.
        let _resume = Resume(&self.hold);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let told = |told| match told {
            Told::Retrying { code, wait } => {
                self.emit(PairingEvent::Retrying { step, code, after_ms: ms(wait.delay), reason: wait.reason });
            }
            Told::Offline { at_most } => {
                self.hold.begin();
                self.emit(PairingEvent::Offline { step, at_most_s: at_most.as_secs() });
            }
            Told::Online { after } => {
                self.hold.end();
                self.emit(PairingEvent::Online { step, after_ms: ms(after) });
            }
            Told::Circuit { state, again_in } => self.emit(PairingEvent::Circuit {
                step,
                endpoint: self.endpoint.name().to_owned(),
                state,
                again_in_ms: again_in.map(ms),
            }),
        };
        self.endpoint.call(told, call).await
    }

    pub(super) async fn pass(&self, point: Point) {
        self.faults.pass(point, &self.killed, &self.cancel).await;
    }
}

/// Time that does not count against a deadline.
#[derive(Clone)]
struct Hold(Arc<watch::Sender<Held>>);

#[derive(Clone, Copy, Default)]
struct Held {
    total: Duration,
    since: Option<Instant>,
}

impl Default for Hold {
    fn default() -> Self {
        Hold(Arc::new(watch::Sender::new(Held::default())))
    }
}

impl Hold {
    fn begin(&self) {
        self.0.send_modify(|held| {
            held.since.get_or_insert_with(Instant::now);
        });
    }

    fn end(&self) {
        self.0.send_if_modified(|held| {
            let Some(since) = held.since.take() else { return false };
            held.total += since.elapsed();
            true
        });
    }

    /// `None` when `work` took longer than `deadline`, held time not counted.
    async fn timeout<T>(&self, deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
        let started = Instant::now();
        let mut held = self.0.subscribe();
        let before = held.borrow().total;
        let mut work = std::pin::pin!(work);
        loop {
            let Held { total, since } = *held.borrow_and_update();
            let ends = async {
                match since {
                    None => tokio::time::sleep_until(started + deadline + (total - before)).await,
                    // Held: the limit of the wait ends it.
                    Some(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                _ = held.changed() => {}
                () = ends => return None,
            }
        }
    }
}

struct Resume<'a>(&'a Hold);

impl Drop for Resume<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_stands_still_while_it_is_held_and_only_then() {
        let hold = Hold::default();
        let s = Duration::from_secs;
        assert_eq!(hold.timeout(s(10), tokio::time::sleep(s(9))).await, Some(()));
        assert_eq!(hold.timeout(s(10), tokio::time::sleep(s(11))).await, None);
        let work = async {
            for _ in 0..3 {
                tokio::time::sleep(s(3)).await;
                hold.begin();
                tokio::time::sleep(s(1000)).await;
                hold.end();
            }
        };
        assert_eq!(hold.timeout(s(10), work).await, Some(()));
        let start = Instant::now();
        let work = async {
            hold.begin();
            tokio::time::sleep(s(1000)).await;
            hold.end();
            std::future::pending::<()>().await;
        };
        assert_eq!(hold.timeout(s(10), work).await, None);
        assert_eq!(start.elapsed().as_secs(), 1010);
    }
}
