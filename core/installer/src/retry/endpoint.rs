use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::breaker::{Blocked, Breaker, CircuitState, Pass};
use super::{Connectivity, Dice, Policy, Routes, Standing, Verdict, Wait, run_within};
use crate::api::verdict;
use crate::error::{ErrorCode, PairingError};

/// How often the network is looked for where nobody says that it changed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// One endpoint, with all that a call of it needs: retries, a circuit breaker, and patience while this machine is
/// offline. Cheap to clone; clones share breaker and network.
#[derive(Clone)]
pub struct Endpoint {
    /// Shown to people: nothing secret in it.
    name: Arc<str>,
    policy: Policy,
    dice: Dice,
    breaker: Breaker,
    connectivity: Arc<dyn Connectivity>,
}

/// What a call tells while it waits.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Told {
    /// It failed and is tried again.
    Retrying {
        /// Why it failed.
        code: ErrorCode,
        /// How long it waits, and why so long.
        wait: Wait,
    },
    /// This machine has no network. It costs no try.
    Offline {
        /// The call gives up after this.
        at_most: Duration,
    },
    /// The network is back.
    Online {
        /// How long it was away.
        after: Duration,
    },
    /// The circuit breaker holds this call, lets it try, or has closed after it.
    Circuit {
        /// How it stands.
        state: CircuitState,
        /// Where it is open: until when.
        again_in: Option<Duration>,
    },
}

impl Endpoint {
    /// With chance from the system and this machine's routing table.
    pub fn new(name: &str, breaker: Breaker, policy: Policy) -> Self {
        Endpoint { name: name.into(), policy, dice: Dice::random(), breaker, connectivity: Arc::new(Routes) }
    }

    /// With other chance and another word for "offline": a phone's, or a test's.
    #[must_use]
    pub fn with(self, dice: Dice, connectivity: Arc<dyn Connectivity>) -> Self {
        Endpoint { dice, connectivity, ..self }
    }

    /// The same for another endpoint.
    #[must_use]
    pub fn called(&self, name: &str, breaker: Breaker) -> Self {
        Endpoint { name: name.into(), breaker, ..self.clone() }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn dice(&self) -> Dice {
        self.dice.clone()
    }

    /// Its circuit breaker.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Makes a call, again where that may help. Nothing else retries: `op` makes it once each time.
    ///
    /// # Errors
    /// The last error of `op`; `offline` when the network does not come back within [`Policy::offline`];
    /// `api-unreachable` without a call when the circuit stays open beyond the budget.
    pub async fn call<T, Fut>(
        &self,
        told: impl Fn(Told) + Send + Sync,
        op: impl FnMut() -> Fut + Send,
    ) -> Result<T, PairingError>
    where
        Fut: Future<Output = Result<T, PairingError>> + Send,
    {
        let started = Instant::now();
        let away = Mutex::new(Duration::ZERO);
        let so_far = || *away.lock().unwrap_or_else(PoisonError::into_inner);
        let op = Mutex::new(op);
        let (told, op, away) = (&told, &op, &away);
        let guarded = || async move {
            loop {
                let left = || {
                    let spent = started.elapsed().saturating_sub(so_far());
                    self.policy.budget.saturating_sub(spent)
                };
                let pass = self.admitted(told, left).await?;
                let call = (op.lock().unwrap_or_else(PoisonError::into_inner))();
                let answer = call.await;
                match &answer {
                    Err(error) if self.is_offline(error) => {
                        drop(pass);
                        self.wait_for_network(told, away).await?;
                        continue;
                    }
                    Err(error) if verdict(error) == Verdict::Again => pass.failed(),
                    _ => {
                        let probe = pass.is_probe();
                        pass.answered();
                        if probe {
                            told(Told::Circuit { state: CircuitState::Closed, again_in: None });
                        }
                    }
                }
                return answer;
            }
        };
        let notify = |error: &PairingError, wait| told(Told::Retrying { code: error.code, wait });
        run_within(self.policy, &self.dice, so_far, verdict, notify, guarded).await
    }

    /// Not even asked while the circuit is open.
    async fn admitted(
        &self,
        told: &(impl Fn(Told) + Send + Sync),
        left: impl Fn() -> Duration,
    ) -> Result<Pass, PairingError> {
        loop {
            // Before the state is looked at, so that no change is missed.
            let changed = self.breaker.changed();
            let (state, again_in) = match self.breaker.pass() {
                Ok(pass) => {
                    if pass.is_probe() {
                        told(Told::Circuit { state: CircuitState::HalfOpen, again_in: None });
                    }
                    return Ok(pass);
                }
                Err(Blocked::For(again)) => (CircuitState::Open, Some(again)),
                Err(Blocked::Probing) => (CircuitState::HalfOpen, None),
            };
            told(Told::Circuit { state, again_in });
            let left = left();
            if again_in.unwrap_or_default() > left || left.is_zero() {
                let mut error =
                    PairingError::with_detail(ErrorCode::ApiUnreachable, "many calls in a row failed; not asked now");
                error.retry_after_s = Some(again_in.unwrap_or(Breaker::OPEN).as_secs() + 1);
                return Err(error);
            }
            let _ = timeout(again_in.unwrap_or(left), changed).await;
        }
    }

    /// The call never left this machine, and there is no network: nobody's fault, and not the endpoint's.
    fn is_offline(&self, error: &PairingError) -> bool {
        !self.policy.offline.is_zero() && error.has_not_left() && self.connectivity.standing() == Standing::Offline
    }

    async fn wait_for_network(
        &self,
        told: &(impl Fn(Told) + Send + Sync),
        away: &Mutex<Duration>,
    ) -> Result<(), PairingError> {
        let left = self.policy.offline.saturating_sub(*away.lock().unwrap_or_else(PoisonError::into_inner));
        let started = Instant::now();
        told(Told::Offline { at_most: left });
        let back = timeout(left, async {
            while self.connectivity.standing() == Standing::Offline {
                let _ = timeout(LOOK_AGAIN, self.connectivity.changed()).await;
            }
        });
        let back = back.await;
        let after = started.elapsed();
        *away.lock().unwrap_or_else(PoisonError::into_inner) += after;
        match back {
            Ok(()) => {
                told(Told::Online { after });
                Ok(())
            }
            Err(_) => Err(PairingError::with_detail(
                ErrorCode::Offline,
                format!("no network for {} s", self.policy.offline.as_secs()),
            )),
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.name).field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[derive(Default)]
    struct FakeNetwork {
        offline: AtomicBool,
        changed: Notify,
    }

    impl FakeNetwork {
        fn set(&self, offline: bool) {
            self.offline.store(offline, Ordering::SeqCst);
            self.changed.notify_waiters();
        }
    }

    #[async_trait::async_trait]
    impl Connectivity for FakeNetwork {
        fn standing(&self) -> Standing {
            if self.offline.load(Ordering::SeqCst) { Standing::Offline } else { Standing::Online }
        }

        async fn changed(&self) {
            self.changed.notified().await;
        }
    }

    struct Bench {
        endpoint: Endpoint,
        network: Arc<FakeNetwork>,
        told: Mutex<Vec<Told>>,
        calls: AtomicU32,
    }

    impl Bench {
        fn new(policy: Policy) -> Bench {
            let network = Arc::new(FakeNetwork::default());
            let endpoint = Endpoint::new("https://api.example", Breaker::default(), policy)
                .with(Dice::seeded(3), network.clone() as Arc<dyn Connectivity>);
            Bench { endpoint, network, told: Mutex::default(), calls: AtomicU32::new(0) }
        }

        async fn call(
            &self,
            answer: impl Fn(u32) -> Result<(), PairingError> + Send + Sync,
        ) -> Result<(), PairingError> {
            let answer = &answer;
            self.endpoint
                .call(
                    |told| self.told.lock().unwrap().push(told),
                    || async move {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        answer(self.calls.fetch_add(1, Ordering::SeqCst))
                    },
                )
                .await
        }

        fn told(&self) -> Vec<Told> {
            std::mem::take(&mut *self.told.lock().unwrap())
        }
    }

    fn no_way_out() -> PairingError {
        PairingError::new(ErrorCode::ApiUnreachable).not_left()
    }

    #[tokio::test(start_paused = true)]
    async fn offline_is_waited_for_and_costs_no_try_and_no_budget() {
        // A single try, and less budget than the network is away.
        let bench = Bench::new(Policy { tries: 1, budget: Duration::from_secs(1), ..Policy::API });
        bench.network.set(true);
        let started = Instant::now();
        let call = bench.call(|_| {
            let offline = bench.network.standing() == Standing::Offline;
            if offline { Err(no_way_out()) } else { Ok(()) }
        });
        let back = async {
            tokio::time::sleep(Duration::from_secs(600)).await;
            bench.network.set(false);
        };
        let (answer, ()) = tokio::join!(call, back);
        answer.unwrap();
        assert_eq!(bench.calls.load(Ordering::SeqCst), 2);
        assert!(started.elapsed() < Duration::from_secs(601), "it went on at once");
        let told = bench.told();
        assert!(
            matches!(told[..], [Told::Offline { at_most }, Told::Online { after }]
                if at_most == Policy::API.offline && after >= Duration::from_secs(599)),
            "{told:?}"
        );
        assert_eq!(bench.endpoint.breaker().state().0, CircuitState::Closed);
        assert_eq!(bench.endpoint.breaker().report("x").failures, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_that_stays_away_ends_in_its_own_error_after_its_own_limit() {
        let bench = Bench::new(Policy::API);
        bench.network.set(true);
        let started = Instant::now();
        let error = bench.call(|_| Err(no_way_out())).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Offline);
        let waited = started.elapsed();
        assert!(waited >= Policy::API.offline && waited < Policy::API.offline + Duration::from_secs(1), "{waited:?}");
        assert_eq!(bench.calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_that_comes_and_goes_does_not_prolong_the_limit_without_end() {
        let bench = Bench::new(Policy::API);
        bench.network.set(true);
        let started = Instant::now();
        let call = bench.call(|_| {
            bench.network.set(true);
            Err(no_way_out())
        });
        let flapping = async {
            loop {
                tokio::time::sleep(Duration::from_secs(7)).await;
                bench.network.set(false);
            }
        };
        let error = tokio::select! { answer = call => answer.unwrap_err(), () = flapping => unreachable!() };
        assert_eq!(error.code, ErrorCode::Offline);
        assert!(started.elapsed() < Policy::API.offline * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_is_down_while_there_is_a_network_is_a_failure_like_any_other() {
        let bench = Bench::new(Policy::API);
        let error = bench.call(|_| Err(no_way_out())).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ApiUnreachable);
        assert!(bench.calls.load(Ordering::SeqCst) > 1);
        // A call that somebody refused has left this machine, whatever the routing table says.
        let bench = Bench::new(Policy::API);
        bench.network.set(true);
        let error = bench.call(|_| Err(ErrorCode::ApiUnreachable.into())).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ApiUnreachable);
        assert!(bench.told().iter().all(|told| matches!(told, Told::Retrying { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_calls_one_tries_a_half_open_circuit_and_the_others_follow_it() {
        let bench = Bench::new(Policy::API);
        for _ in 0..Breaker::FAILURES {
            bench.endpoint.breaker().pass().unwrap().failed();
        }
        let under_way = AtomicU32::new(0);
        let most = AtomicU32::new(0);
        let first = AtomicBool::new(true);
        let started = Instant::now();
        let calls = (0..20).map(|_| {
            bench.endpoint.call(
                |told| bench.told.lock().unwrap().push(told),
                || async {
                    let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                    if first.load(Ordering::SeqCst) {
                        most.fetch_max(now, Ordering::SeqCst);
                    }
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    first.store(false, Ordering::SeqCst);
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, PairingError>(())
                },
            )
        });
        for answer in futures::future::join_all(calls).await {
            answer.unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 1, "more than one tried it");
        let took = started.elapsed();
        assert!(took >= Breaker::OPEN && took < Breaker::OPEN + Duration::from_secs(5), "{took:?}");
        let told = bench.told();
        let count = |state: CircuitState| {
            told.iter().filter(|told| matches!(told, Told::Circuit { state: of, .. } if *of == state)).count()
        };
        assert_eq!(count(CircuitState::Open), 20);
        assert_eq!(count(CircuitState::Closed), 1);
        assert_eq!(count(CircuitState::HalfOpen), 20, "one tries, nineteen wait for it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_circuit_that_stays_open_ends_the_call_within_its_budget() {
        let bench = Bench::new(Policy::API);
        for _ in 0..Breaker::FAILURES {
            bench.endpoint.breaker().pass().unwrap().failed();
        }
        let started = Instant::now();
        let error = bench.call(|_| Err(ErrorCode::ApiInternal.into())).await.unwrap_err();
        assert!(matches!(error.code, ErrorCode::ApiInternal | ErrorCode::ApiUnreachable));
        assert!(started.elapsed() <= Policy::API.budget + Duration::from_secs(1));
        assert!(bench.calls.load(Ordering::SeqCst) <= 3, "one try each time that it half-opens");
    }
}
