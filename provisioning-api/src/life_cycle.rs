//! Where a device can stand in its life, and what may be done with it there: a table, and nothing else.

use provisioning_api_contract::Lifecycle::{self, Allocated, Assigned, Decommissioned, Expected, Failed};

/// Where a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) lifecycle: Lifecycle,
    /// Whether it is on offer to another tenant: it stays whose it is, and goes on as before.
    pub(crate) offered: bool,
}

/// What is done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// An app was told its instance.
    Allocate,
    /// A pairing ended in an assignment.
    Assign,
    /// A pairing ended without one.
    Fail,
    /// It may no longer be where it is, and is to be allocated anew.
    Free,
    Reprovision,
    Move,
    Offer,
    Accept,
    /// Declined, withdrawn, or too late.
    Decline,
    Decommission,
    /// It stands in an import.
    Import,
}

/// What a step leads to.
enum To {
    Same,
    Is(Lifecycle),
}

/// What a step has to do with an offer.
enum Offer {
    Keeps,
    /// Only without one, and makes one.
    Makes,
    /// Only with one, and ends it.
    Needs,
    /// Ends it, if there is one.
    Ends,
}

const LIVE: &[Lifecycle] = &[Expected, Allocated, Assigned, Failed];
const TOLD: &[Lifecycle] = &[Allocated, Assigned, Failed];

/// docs/life-cycle.md has the same table for people.
const TABLE: &[(Step, &[Lifecycle], To, Offer)] = &[
    (Step::Allocate, LIVE, To::Is(Allocated), Offer::Keeps),
    (Step::Assign, TOLD, To::Is(Assigned), Offer::Keeps),
    // A reservation that was never told may fail as well.
    (Step::Fail, LIVE, To::Is(Failed), Offer::Keeps),
    (Step::Free, LIVE, To::Is(Expected), Offer::Keeps),
    (Step::Reprovision, TOLD, To::Same, Offer::Keeps),
    (Step::Move, LIVE, To::Is(Expected), Offer::Keeps),
    (Step::Offer, LIVE, To::Same, Offer::Makes),
    (Step::Accept, LIVE, To::Is(Expected), Offer::Needs),
    (Step::Decline, LIVE, To::Same, Offer::Needs),
    (Step::Decommission, LIVE, To::Is(Decommissioned), Offer::Ends),
    (Step::Import, &[Decommissioned], To::Is(Expected), Offer::Keeps),
];

/// Where the device stands after this; `None`: not from where it stands.
pub(crate) fn after(standing: Standing, step: Step) -> Option<Standing> {
    let (_, from, to, offer) = TABLE.iter().find(|(one, ..)| *one == step)?;
    let allowed = from.contains(&standing.lifecycle)
        && match offer {
            Offer::Makes => !standing.offered,
            Offer::Needs => standing.offered,
            Offer::Keeps | Offer::Ends => true,
        };
    allowed.then_some(Standing {
        lifecycle: match to {
            To::Same => standing.lifecycle,
            To::Is(lifecycle) => *lifecycle,
        },
        offered: match offer {
            Offer::Keeps => standing.offered,
            Offer::Makes => true,
            Offer::Needs | Offer::Ends => false,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEPS: [Step; 11] = [
        Step::Allocate,
        Step::Assign,
        Step::Fail,
        Step::Free,
        Step::Reprovision,
        Step::Move,
        Step::Offer,
        Step::Accept,
        Step::Decline,
        Step::Decommission,
        Step::Import,
    ];

    #[test]
    fn every_step_stands_in_the_table_once() {
        for step in STEPS {
            assert_eq!(TABLE.iter().filter(|(one, ..)| *one == step).count(), 1, "{step:?}");
        }
        assert_eq!(TABLE.len(), STEPS.len());
    }

    #[test]
    fn the_documents_have_the_same_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/life-cycle.md");
        let text = std::fs::read_to_string(path).unwrap();
        let word = |lifecycle: &Lifecycle| crate::words::word(lifecycle);
        for (step, from, to, offer) in TABLE {
            let from: Vec<_> = from.iter().map(word).collect();
            let to = match to {
                To::Same => "as before".to_owned(),
                To::Is(lifecycle) => word(lifecycle),
            };
            let offer = match offer {
                Offer::Keeps => "stays",
                Offer::Makes => "there must be none; made",
                Offer::Needs => "there must be one; ends",
                Offer::Ends => "ends",
            };
            let line = format!("| {step:?} | {} | {to} | {offer} |", from.join(", "));
            assert!(text.contains(&line), "docs/life-cycle.md lacks the line\n{line}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_done_in_whatever_order(steps in prop::collection::vec(prop::sample::select(&STEPS[..]), 0..60)) {
            let mut standing = Standing { lifecycle: Lifecycle::Expected, offered: false };
            for step in steps {
                let Some(next) = after(standing, step) else { continue };
                // Out of service is left by an import alone, and nothing that is out of service is on offer.
                if standing.lifecycle == Lifecycle::Decommissioned {
                    prop_assert_eq!(step, Step::Import);
                    prop_assert_eq!(next.lifecycle, Lifecycle::Expected);
                }
                if next.lifecycle == Lifecycle::Decommissioned {
                    prop_assert!(!next.offered);
                }
                // An offer is made once and ends once.
                prop_assert_eq!(next.offered && !standing.offered, step == Step::Offer);
                if step == Step::Accept || step == Step::Decline {
                    prop_assert!(standing.offered && !next.offered);
                }
                // A device is only assigned that an app was told of.
                if next.lifecycle == Lifecycle::Assigned && standing.lifecycle == Lifecycle::Expected {
                    prop_assert!(false, "assigned without an allocation");
                }
                // An administrator's change of place or owner always leads to a new pairing.
                if matches!(step, Step::Free | Step::Move | Step::Accept) {
                    prop_assert_eq!(next.lifecycle, Lifecycle::Expected);
                }
                standing = next;
            }
        }
    }
}
