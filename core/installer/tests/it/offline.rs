//! Pairings while the network or the provisioning API comes and goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lowtouch_handoff::dps_config::Attestation::SymmetricKey;
use lowtouch_installer::retry::{Breaker, CircuitState, Connectivity, Dice, Policy, Reason, Standing};
use lowtouch_installer::{Config, ErrorCode, Installer, PairingError, PairingEvent, Step};
use provisioning_api_contract as wire;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::fake::{Bench, FakeDevice, StubApi, Trouble, code, request};

#[derive(Default)]
struct Network {
    offline: AtomicBool,
    changed: Notify,
}

impl Network {
    fn set(&self, offline: bool) {
        self.offline.store(offline, Ordering::SeqCst);
        self.changed.notify_waiters();
    }
}

#[async_trait]
impl Connectivity for Network {
    fn standing(&self) -> Standing {
        if self.offline.load(Ordering::SeqCst) { Standing::Offline } else { Standing::Online }
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}

async fn bench(policy: Policy) -> (Bench, Arc<Network>) {
    let network = Arc::new(Network::default());
    let mut bench = Bench::with_api(StubApi::new(wire::Attestation::SymmetricKey)).await;
    let config = Config {
        retry: policy,
        connectivity: network.clone(),
        dice: Dice::seeded(11),
        faults: bench.faults.clone(),
        ..Config::new(bench.dir.path())
    };
    bench.installer = Installer::with_api(config, bench.api.clone()).await.unwrap();
    (bench, network)
}

fn no_way_out() -> PairingError {
    PairingError::new(ErrorCode::ApiUnreachable).not_left()
}

fn fail(bench: &Bench, errors: impl IntoIterator<Item = PairingError>) {
    bench.api.failures.lock().unwrap().extend(errors);
}

#[tokio::test(start_paused = true)]
async fn without_a_network_a_pairing_waits_beyond_its_deadline_and_goes_on_when_it_is_back() {
    // One try and no more: waiting costs none. The step's deadline is shorter than the network is away.
    let (bench, network) = bench(Policy { tries: 1, ..Policy::API }).await;
    fail(&bench, [no_way_out()]);
    network.set(true);
    let device = FakeDevice::new(&[SymmetricKey]);
    let pairing = bench.installer.pair_over(request(2), device.link(Trouble::None));
    let mut events = pairing.events();
    let mut seen = Vec::new();
    let began = Instant::now();
    while let Some(event) = events.next().await {
        if let PairingEvent::Offline { step, at_most_s } = &event {
            assert_eq!((*step, *at_most_s), (Step::Allocate, Policy::API.offline.as_secs()));
            let network = network.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(600)).await;
                network.set(false);
            });
        }
        seen.push(event);
    }
    pairing.outcome().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(602), "it went on at once: {:?}", began.elapsed());
    assert!(seen.iter().any(|event| matches!(event, PairingEvent::Online { after_ms: 599_000.., .. })));
    assert!(!seen.iter().any(|event| matches!(event, PairingEvent::Retrying { .. })), "no try was used up");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_network_can_be_cancelled_at_once() {
    let (bench, network) = bench(Policy::API).await;
    fail(&bench, [no_way_out()]);
    network.set(true);
    let device = FakeDevice::new(&[SymmetricKey]);
    let pairing = bench.installer.pair_over(request(2), device.link(Trouble::None));
    let mut events = pairing.events();
    while !matches!(events.next().await.unwrap(), PairingEvent::Offline { .. }) {}
    let began = Instant::now();
    pairing.cancel();
    assert_eq!(code(pairing.outcome().await), ErrorCode::Cancelled);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_network_that_stays_away_ends_the_pairing_with_words_for_it_and_a_rerun_finishes() {
    let (bench, network) = bench(Policy::API).await;
    fail(&bench, [no_way_out()]);
    network.set(true);
    let device = FakeDevice::new(&[SymmetricKey]);
    let error = bench.pair(device.link(Trouble::None)).await.unwrap_err();
    assert_eq!((error.code, error.step), (ErrorCode::Offline, Some(Step::Allocate)));
    network.set(false);
    bench.pair(device.link(Trouble::None)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_wait_says_its_reason() {
    let (bench, _) = bench(Policy::API).await;
    let after = |code: ErrorCode, seconds| {
        let mut error = PairingError::new(code);
        error.retry_after_s = seconds;
        error
    };
    fail(
        &bench,
        [
            after(ErrorCode::ApiUnreachable, None),
            after(ErrorCode::ApiThrottled, Some(7)),
            after(ErrorCode::ApiThrottled, None),
            after(ErrorCode::ApiInternal, None),
        ],
    );
    let device = FakeDevice::new(&[SymmetricKey]);
    let pairing = bench.installer.pair_over(request(2), device.link(Trouble::None));
    let mut events = pairing.events();
    pairing.outcome().await.unwrap();
    let mut waits = Vec::new();
    while let Some(event) = events.next().await {
        if let PairingEvent::Retrying { code, after_ms, reason, .. } = event {
            waits.push((code, reason, after_ms));
        }
    }
    assert_eq!(waits[0], (ErrorCode::ApiUnreachable, Reason::Immediate, 0));
    assert_eq!(waits[1], (ErrorCode::ApiThrottled, Reason::RetryAfter, 7_000));
    assert_eq!((waits[2].0, waits[2].1), (ErrorCode::ApiThrottled, Reason::Throttled));
    assert!((1_000..=20_000).contains(&waits[2].2), "{waits:?}");
    assert_eq!((waits[3].0, waits[3].1), (ErrorCode::ApiInternal, Reason::BackOff));
}

#[tokio::test(start_paused = true)]
async fn an_api_that_is_down_opens_its_circuit_and_everybody_sees_that() {
    let (bench, _) = bench(Policy::API).await;
    // Two pairings use up their tries.
    fail(&bench, (0..2 * Policy::API.tries).map(|_| ErrorCode::ApiInternal.into()));
    let device = FakeDevice::new(&[SymmetricKey]);
    for _ in 0..2 {
        let _ = bench.pair(device.link(Trouble::None)).await;
    }
    let circuits = bench.installer.circuits();
    assert_eq!(circuits.len(), 1);
    assert_eq!(circuits[0].state, CircuitState::Open, "{circuits:?}");
    bench.api.failures.lock().unwrap().clear();
    let pairing = bench.installer.pair_over(request(2), device.link(Trouble::None));
    let mut events = pairing.events();
    pairing.outcome().await.unwrap();
    let mut states = Vec::new();
    while let Some(event) = events.next().await {
        if let PairingEvent::Circuit { state, endpoint, again_in_ms, .. } = event {
            assert_eq!(endpoint, "provisioning API");
            assert_eq!(again_in_ms.is_some(), state == CircuitState::Open);
            assert!(again_in_ms.unwrap_or_default() <= u64::try_from(Breaker::OPEN.as_millis()).unwrap());
            states.push(state);
        }
    }
    assert_eq!(states, [CircuitState::Open, CircuitState::HalfOpen, CircuitState::Closed]);
    assert_eq!(bench.installer.circuits()[0].state, CircuitState::Closed);
}

/// A pairing that the API was not told of: `errors` are what it hears.
async fn untold(bench: &Bench, errors: impl IntoIterator<Item = PairingError>) -> uuid::Uuid {
    bench.api.outcome_failures.lock().unwrap().extend(errors);
    let device = FakeDevice::new(&[SymmetricKey]);
    let paired = bench.pair(device.link(Trouble::None)).await.unwrap();
    bench.api.outcome_failures.lock().unwrap().clear();
    assert!(bench.api.outcomes.lock().unwrap().is_empty());
    paired.handoff_id
}

fn told(bench: &Bench) -> Vec<uuid::Uuid> {
    bench.api.outcomes.lock().unwrap().iter().map(|outcome| outcome.handoff_id).collect()
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_told_is_told_by_itself_when_the_network_is_back_and_once() {
    let (bench, network) = bench(Policy { tries: 1, ..Policy::API }).await;
    let id = untold(&bench, [ErrorCode::ApiInternal.into()]).await;
    network.set(true);
    bench.api.outcome_failures.lock().unwrap().extend([no_way_out(), no_way_out()]);
    // As if the app had been started twice.
    let mut telling = bench.installer.tell_in_background();
    let other = bench.installer.tell_in_background();
    let waits = tokio::time::timeout(Duration::from_secs(300), telling.changed()).await;
    assert!(waits.is_err(), "there was no network to tell it over");
    network.set(false);
    assert_eq!(telling.changed().await.told, [id]);
    // Long enough for many rounds of both.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(told(&bench), [id]);
    assert_eq!((telling.told().told.len(), other.told().told.len()), (1, 0));
    assert!(bench.installer.tell().await.unwrap().told.is_empty());

    // A pairing that ends untold while the app runs is told as well.
    let device = FakeDevice::new(&[SymmetricKey]);
    bench.api.outcome_failures.lock().unwrap().push_back(ErrorCode::ApiInternal.into());
    let next = bench.pair(device.link(Trouble::None)).await.unwrap().handoff_id;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(&bench), [id, next]);
}

#[tokio::test(start_paused = true)]
async fn what_the_api_refuses_is_asked_once_and_what_fails_is_asked_ever_more_rarely() {
    let (bench, _) = bench(Policy { tries: 1, ..Policy::API }).await;
    let id = untold(&bench, [ErrorCode::ApiInternal.into()]).await;
    let refusals = |code: ErrorCode| (0..1000).map(move |_| PairingError::new(code));
    bench.api.outcome_failures.lock().unwrap().extend(refusals(ErrorCode::HandoffConflict));
    let mut telling = bench.installer.tell_in_background();
    assert_eq!(telling.changed().await.refused, [(id, ErrorCode::HandoffConflict)]);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(bench.api.outcome_failures.lock().unwrap().len(), 999, "it was asked again");
    drop(telling);

    *bench.api.outcome_failures.lock().unwrap() = refusals(ErrorCode::ApiUnauthenticated).collect();
    let telling = bench.installer.tell_in_background();
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    let asked = 1000 - bench.api.outcome_failures.lock().unwrap().len();
    assert!((24..500).contains(&asked), "{asked} times in a day");
    // Ended by being dropped, and at once.
    drop(telling);
    let left = bench.api.outcome_failures.lock().unwrap().len();
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(bench.api.outcome_failures.lock().unwrap().len(), left);
    // A command that ends soon waits for no more than it said.
    let began = Instant::now();
    let ended = bench.installer.tell_in_background().finish(Duration::from_secs(2)).await;
    assert!(ended.told.is_empty() && began.elapsed() <= Duration::from_secs(2));
}
