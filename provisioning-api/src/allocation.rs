//! Which DPS instance a device goes to: a pure decision over what is known of the instances.

use provisioning_api_contract::InstanceState;

/// An instance as the decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) state: InstanceState,
    /// Devices that it has, reservations included.
    pub(crate) allocated: u64,
    /// Devices that it may have.
    pub(crate) capacity: u64,
}

/// Why an instance was not considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuledOut {
    /// It is draining or down.
    State(InstanceState),
    /// It has as many devices as it may.
    Full,
    /// The device may only go to another one.
    Pinned,
}

/// The hard rules: whether this instance may take one more device.
pub(crate) fn ruled_out(candidate: &Candidate, pinned: Option<&str>) -> Option<RuledOut> {
    if pinned.is_some_and(|name| name != candidate.name) {
        return Some(RuledOut::Pinned);
    }
    match candidate.state {
        InstanceState::Active if candidate.allocated < candidate.capacity => None,
        InstanceState::Active => Some(RuledOut::Full),
        state => Some(RuledOut::State(state)),
    }
}

/// Of the instances that the hard rules leave, the least used by share of capacity; ties go to the first name.
pub(crate) fn choose<'a>(candidates: &'a [Candidate], pinned: Option<&str>) -> Option<&'a Candidate> {
    candidates
        .iter()
        .filter(|candidate| ruled_out(candidate, pinned).is_none())
        // a/b < c/d without rounding: a·d < c·b. Capacities are above zero, or the instance would be full.
        .min_by(|a, b| {
            let left = u128::from(a.allocated) * u128::from(b.capacity);
            let right = u128::from(b.allocated) * u128::from(a.capacity);
            left.cmp(&right).then_with(|| a.name.cmp(&b.name))
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(name: &str, state: InstanceState, allocated: u64, capacity: u64) -> Candidate {
        Candidate { name: name.into(), state, allocated, capacity }
    }

    fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let state = prop_oneof![
            3 => Just(InstanceState::Active),
            1 => Just(InstanceState::Draining),
            1 => Just(InstanceState::Down),
        ];
        prop::collection::vec((state, 0..50_u64, 0..50_u64), 0..6).prop_map(|all| {
            all.into_iter()
                .enumerate()
                .map(|(index, (state, allocated, capacity))| {
                    candidate(&format!("i{index}"), state, allocated, capacity)
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn no_hard_rule_is_ever_broken_and_nobody_is_used_less(candidates in any_candidates(), pin in prop::option::of(0..6_usize)) {
            let pinned = pin.map(|index| format!("i{index}"));
            let allowed: Vec<_> = candidates.iter().filter(|c| ruled_out(c, pinned.as_deref()).is_none()).collect();
            match choose(&candidates, pinned.as_deref()) {
                None => prop_assert!(allowed.is_empty()),
                Some(chosen) => {
                    prop_assert_eq!(chosen.state, InstanceState::Active);
                    prop_assert!(chosen.allocated < chosen.capacity);
                    prop_assert!(pinned.is_none_or(|name| name == chosen.name));
                    for other in allowed {
                        prop_assert!(chosen.allocated * other.capacity <= other.allocated * chosen.capacity);
                    }
                }
            }
        }

        #[test]
        fn the_order_of_the_instances_does_not_matter(candidates in any_candidates()) {
            let mut reversed = candidates.clone();
            reversed.reverse();
            prop_assert_eq!(choose(&candidates, None), choose(&reversed, None));
        }

        #[test]
        fn devices_spread_by_capacity_to_within_one_device(capacities in prop::collection::vec(1..200_u64, 1..5)) {
            let mut instances: Vec<_> = capacities.iter().enumerate()
                .map(|(index, &capacity)| candidate(&format!("i{index}"), InstanceState::Active, 0, capacity)).collect();
            let total: u64 = capacities.iter().sum();
            for device in 1..=total {
                let name = choose(&instances, None).unwrap().name.clone();
                instances.iter_mut().find(|i| i.name == name).unwrap().allocated += 1;
                for instance in &instances {
                    let fair = device as f64 * instance.capacity as f64 / total as f64;
                    prop_assert!((instance.allocated as f64 - fair).abs() <= capacities.len() as f64);
                }
            }
            prop_assert!(choose(&instances, None).is_none());
        }
    }

    #[test]
    fn ties_go_to_the_first_name() {
        let both = [candidate("b", InstanceState::Active, 1, 10), candidate("a", InstanceState::Active, 2, 20)];
        assert_eq!(choose(&both, None).unwrap().name, "a");
    }
}
