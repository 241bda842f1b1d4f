//! A hand-off that cannot half-happen: both roles over a link, a power supply and processes that fail anywhere.
// Clippy takes only functions marked #[test] for tests; this whole file is one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    missing_docs,
    unreachable_pub
)]

#[path = "pair/pair.rs"]
mod pair;

use std::collections::BTreeMap;
use std::time::Duration;

use lowtouch_handoff::dps_config::Phase;
use pair::{AtWrite, ID, KEY, LEASE_S, PASSPHRASE, POP, Pair, Plan, Spoken, Stopped, TROUBLES, Trouble, new, old};
use proptest::prelude::*;
use proptest::test_runner::{FailurePersistence, FileFailurePersistence};

const SPOKEN: Spoken =
    Spoken { security: 1, patch: 0, x509: false, wifi: true, mtu: 247, was_assigned: true, refused: false };

/// Every protocol, both credentials.
fn all() -> Vec<Spoken> {
    [(0, 0), (1, 0), (2, 0), (2, 1)]
        .into_iter()
        .flat_map(|(security, patch)| {
            [false, true].map(|x509| Spoken {
                security,
                patch,
                x509,
                wifi: !x509,
                mtu: if x509 { 517 } else { 185 },
                ..SPOKEN
            })
        })
        .collect()
}

/// What holds whenever nobody is in the middle of something.
fn check(pair: &Pair) {
    assert!(pair.is_whole(), "neither old nor new: {:?}", pair.in_force());
    let journal = &pair.journal;
    assert!(!journal.committed || pair.ever_in_force, "committed in the journal alone");
    let in_force = pair.in_force();
    let is_new = in_force.as_ref().is_some_and(|(config, _)| *config == new(pair.spoken));
    match journal.said {
        Some(Phase::Assigned) => {
            assert!(
                is_new && in_force.is_some_and(|(_, assigned)| assigned.is_some()),
                "assigned in the journal alone"
            );
        }
        Some(_) => {
            assert!(pair.ever_failed, "failed in the journal alone");
            assert!(!is_new, "rolled back in the journal alone");
        }
        None => {}
    }
    assert!(journal.ids.iter().all(|id| *id == ID), "one hand-off ID");
    secrets_stay_inside(pair);
}

/// PoP, key and passphrase in no byte that is not inside a session; in none at all where the session encrypts.
fn secrets_stay_inside(pair: &Pair) {
    for (secure, bytes) in &pair.wire {
        let shows = |secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!shows(POP.as_bytes()), "the PoP is never sent");
        if !secure || pair.spoken.security > 0 {
            assert!(!shows(KEY) && !shows(PASSPHRASE.as_bytes()), "a secret outside of a session");
        }
    }
}

/// Runs until it is at its end, as an installer would who tries again.
fn converge(pair: &mut Pair) -> Result<Phase, String> {
    for _ in 0..12 {
        match pair.run() {
            Ok(phase) => {
                check(pair);
                return Ok(phase);
            }
            Err(Stopped::Killed | Stopped::GaveUp) => check(pair),
        }
        // So that a hand-off that was half staged in another's name would be gone, and the guess counter calm.
        pair.clock += Duration::from_secs(61);
    }
    Err(format!("no end: {:?}", pair.journal))
}

#[test]
fn every_protocol_pairs_with_both_credentials_over_every_mtu() {
    for spoken in all() {
        for mtu in [23, 64, 185, 247, 512, 517] {
            let mut pair = Pair::new(Spoken { mtu, ..spoken }, Plan::default());
            assert_eq!(pair.run(), Ok(Phase::Assigned), "{spoken:?} {mtu}");
            check(&pair);
            assert_eq!(pair.writes, 3, "stage, commit, assigned");
        }
    }
}

#[test]
fn one_trouble_at_any_message_leaves_the_device_whole_and_a_rerun_finishes() {
    for spoken in all() {
        let mut undisturbed = Pair::new(spoken, Plan::default());
        undisturbed.run().unwrap();
        for number in 0..undisturbed.messages {
            for trouble in TROUBLES {
                let plan = Plan { messages: BTreeMap::from([(number, trouble)]), ..Plan::default() };
                let mut pair = Pair::new(spoken, plan);
                let ended = converge(&mut pair);
                assert_eq!(ended, Ok(Phase::Assigned), "{trouble:?} at {number}, {spoken:?}");
            }
        }
    }
}

#[test]
fn power_lost_at_any_write_leaves_the_device_whole_and_a_rerun_finishes() {
    for spoken in all() {
        for (refused, ending) in [(false, Phase::Assigned), (true, Phase::Failed)] {
            for number in 0..3 {
                for trouble in [AtWrite::PowerLostBefore, AtWrite::PowerLostAfter] {
                    let plan = Plan { writes: BTreeMap::from([(number, trouble)]), ..Plan::default() };
                    let mut pair = Pair::new(Spoken { refused, ..spoken }, plan);
                    assert_eq!(converge(&mut pair), Ok(ending), "{trouble:?} at {number}, {spoken:?}");
                }
            }
        }
    }
}

#[test]
fn a_lease_that_runs_out_gives_the_device_back_as_it_was() {
    for spoken in all() {
        let mut undisturbed = Pair::new(spoken, Plan::default());
        undisturbed.run().unwrap();
        let mut staged = 0;
        for number in 0..undisturbed.messages {
            let plan = Plan { messages: BTreeMap::from([(number, Trouble::KilledBefore)]), ..Plan::default() };
            let mut pair = Pair::new(spoken, plan);
            assert_eq!(pair.run(), Err(Stopped::Killed));
            staged += usize::from(pair.phase() == Phase::Staged);
            let before = pair.in_force();
            pair.wait(Duration::from_secs(u64::from(LEASE_S)));
            assert_ne!(pair.phase(), Phase::Staged, "killed at {number}, {spoken:?}");
            assert_eq!(pair.in_force(), before, "what was in force is left alone");
            if !pair.journal.committing {
                assert_eq!(before.map(|(config, _)| config), Some(old()));
            }
        }
        assert_eq!(staged, 1, "killed between stage and commit, {spoken:?}");
    }
}

fn spoken() -> impl Strategy<Value = Spoken> {
    let security = prop_oneof![3 => Just((0, 0)), 6 => Just((1, 0)), 1 => Just((2, 0)), 1 => Just((2, 1))];
    (security, any::<bool>(), any::<bool>(), 23..=517_u16, any::<bool>(), any::<bool>()).prop_map(
        |((security, patch), x509, wifi, mtu, was_assigned, refused)| Spoken {
            security,
            patch,
            x509,
            wifi,
            mtu,
            was_assigned,
            refused,
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let messages = prop::collection::btree_map(0..60_usize, prop::sample::select(TROUBLES.to_vec()), 0..8);
    let at_write = prop_oneof![Just(AtWrite::PowerLostBefore), Just(AtWrite::PowerLostAfter)];
    let writes = prop::collection::btree_map(0..8_usize, at_write, 0..3);
    let loss = prop_oneof![2 => Just(0.0), 1 => Just(0.02), 1 => Just(0.1)];
    (messages, writes, loss, any::<u64>(), 0..2000_u64).prop_map(|(messages, writes, loss, seed, latency_ms)| Plan {
        messages,
        writes,
        loss,
        seed,
        latency: Duration::from_millis(latency_ms),
    })
}

/// Seeds that failed once are tried first, by everybody.
fn kept() -> Option<Box<dyn FailurePersistence>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/pair.txt");
    Some(Box::new(FileFailurePersistence::Direct(path)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: kept(), ..ProptestConfig::default() })]

    #[test]
    fn any_troubles_leave_the_device_whole_and_reruns_finish(spoken in spoken(), plan in plan()) {
        // A long value over a tiny MTU that loses every tenth operation never arrives whole.
        let loss = if spoken.mtu < 185 { 0.0 } else { plan.loss };
        let mut pair = Pair::new(spoken, Plan { loss, ..plan });
        let ended = converge(&mut pair).map_err(TestCaseError::fail)?;
        let expected = if spoken.refused { Phase::Failed } else { Phase::Assigned };
        prop_assert_eq!(ended, expected);
    }
}
