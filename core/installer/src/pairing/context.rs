//! What every step needs beside its own work: events, cancellation, deadlines, and where the tests break it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::verdict;
use crate::error::{ErrorCode, PairingError};
use crate::events::{EventLog, PairingEvent, Step, WaitingFor, Warning};
use crate::fault::{Faults, Point, Write};
use crate::retry::{self, Breaker, Verdict};

#[derive(Clone)]
pub(super) struct Context {
    pub(super) events: EventLog,
    pub(super) cancel: CancellationToken,
    pub(super) killed: CancellationToken,
    pub(super) faults: Faults,
    /// Link exchanges so far.
    pub(super) exchanges: Arc<AtomicU64>,
    pub(super) started: Instant,
    /// Of the provisioning API.
    pub(super) breaker: Breaker,
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
            breaker: Breaker::default(),
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

    /// Does one step: events around it, cancelled when asked, ended at its deadline.
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
        let timed = tokio::time::timeout(deadline, work);
        let done = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(ErrorCode::Cancelled.into()),
            done = timed => done.unwrap_or_else(|_| {
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
    pub(super) async fn api<T, Fut>(&self, step: Step, mut call: impl FnMut() -> Fut) -> Result<T, PairingError>
    where
        Fut: Future<Output = Result<T, PairingError>>,
    {
        let notify = |error: &PairingError, delay: Duration| {
            let after_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            self.emit(PairingEvent::Retrying { step, code: error.code, after_ms });
        };
        let breaker = &self.breaker;
        let guarded = || {
            // Not even asked while the circuit is open; the wait is that of a `Retry-After`.
            let call = match breaker.open() {
                None => Ok(call()),
                Some(left) => {
                    let mut error = PairingError::with_detail(ErrorCode::ApiUnreachable, "many calls in a row failed");
                    error.retry_after_s = Some(left.as_secs() + 1);
                    Err(error)
                }
            };
            async move {
                let answer = call?.await;
                match &answer {
                    Err(error) if verdict(error) == Verdict::Again => breaker.failed(),
                    _ => breaker.answered(),
                }
                answer
            }
        };
        retry::run(retry::Policy::API, verdict, notify, guarded).await
    }

    pub(super) async fn pass(&self, point: Point) {
        self.faults.pass(point, &self.killed, &self.cancel).await;
    }
}
