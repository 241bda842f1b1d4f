//! Which DPS instance a device goes to: a pure decision over what is known of the instances. The rules in words:
//! docs/allocation.md.

use provisioning_api_contract::{InstanceState, Ring, RuledOut};

/// An instance as the decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    /// Absent: shared by all tenants.
    pub(crate) tenant: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) ring: Ring,
    pub(crate) state: InstanceState,
    /// Devices that it has, reservations included.
    pub(crate) allocated: u64,
    /// Devices that it may have.
    pub(crate) capacity: u64,
}

/// What is asked for: a device as the decision sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    pub(crate) tenant: &'a str,
    /// Where its data must stay; absent: anywhere.
    pub(crate) region: Option<&'a str>,
    pub(crate) ring: Ring,
    /// The only instance that it may go to.
    pub(crate) pin: Option<&'a str>,
    /// Another tenant's device was allocated under its registration ID.
    pub(crate) is_anothers: bool,
}

impl Wanted<'_> {
    fn owns(&self, candidate: &Candidate) -> bool {
        candidate.tenant.as_deref() == Some(self.tenant)
    }

    /// The rules of place, which neither state nor load changes.
    fn is_in_place(&self, candidate: &Candidate) -> bool {
        candidate.ring == self.ring && self.region.is_none_or(|region| candidate.region.as_deref() == Some(region))
    }
}

/// The hard rules: every one that keeps this instance, one of `all`, from taking one more device.
pub(crate) fn ruled_out(candidate: &Candidate, wanted: &Wanted<'_>, all: &[Candidate]) -> Vec<RuledOut> {
    let own = all.iter().any(|one| wanted.owns(one) && wanted.is_in_place(one));
    rules(candidate, wanted, own).collect()
}

/// `own`: the device's tenant has an instance for this place.
fn rules<'a>(candidate: &'a Candidate, wanted: &'a Wanted<'_>, own: bool) -> impl Iterator<Item = RuledOut> + 'a {
    let broken = [
        (candidate.tenant.is_some() && !wanted.owns(candidate), RuledOut::OtherTenant),
        (candidate.tenant.is_none() && own, RuledOut::Shared),
        (wanted.region.is_some_and(|region| candidate.region.as_deref() != Some(region)), RuledOut::Region),
        (candidate.ring != wanted.ring, RuledOut::Ring),
        (candidate.state == InstanceState::Draining, RuledOut::Draining),
        // A state of the future is none that takes devices.
        (!matches!(candidate.state, InstanceState::Active | InstanceState::Draining), RuledOut::Down),
        // There is no place for it, and why is the other tenant's affair.
        (candidate.allocated >= candidate.capacity || wanted.is_anothers, RuledOut::Full),
        (wanted.pin.is_some_and(|name| name != candidate.name), RuledOut::Pinned),
    ];
    broken.into_iter().filter_map(|(breaks, rule)| breaks.then_some(rule))
}

/// Of the instances that the hard rules leave, the least used by share of capacity; ties go to the first name.
pub(crate) fn choose<'a>(candidates: &'a [Candidate], wanted: &Wanted<'_>) -> Option<&'a Candidate> {
    let own = candidates.iter().any(|one| wanted.owns(one) && wanted.is_in_place(one));
    candidates
        .iter()
        .filter(|candidate| rules(candidate, wanted, own).next().is_none())
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

    fn candidate(name: &str, allocated: u64, capacity: u64) -> Candidate {
        Candidate {
            name: name.into(),
            tenant: None,
            region: None,
            ring: Ring::Production,
            state: InstanceState::Active,
            allocated,
            capacity,
        }
    }

    const ANYTHING: Wanted<'_> =
        Wanted { tenant: "default", region: None, ring: Ring::Production, pin: None, is_anothers: false };

    fn one_of(names: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
        prop::option::of(prop::sample::select(names).prop_map(str::to_owned))
    }

    fn any_ring() -> impl Strategy<Value = Ring> {
        prop_oneof![3 => Just(Ring::Production), 1 => Just(Ring::Test)]
    }

    fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let state = prop_oneof![
            3 => Just(InstanceState::Active),
            1 => Just(InstanceState::Draining),
            1 => Just(InstanceState::Down),
        ];
        let one = (one_of(&["acme", "globex"]), one_of(&["eu", "us"]), any_ring(), state, 0..50_u64, 0..50_u64);
        prop::collection::vec(one, 0..8).prop_map(|all| {
            all.into_iter()
                .enumerate()
                .map(|(index, (tenant, region, ring, state, allocated, capacity))| Candidate {
                    name: format!("i{index}"),
                    tenant,
                    region,
                    ring,
                    state,
                    allocated,
                    capacity,
                })
                .collect()
        })
    }

    type Owned = (String, Option<String>, Ring, Option<String>, bool);

    fn any_device() -> impl Strategy<Value = Owned> {
        let tenant = prop::sample::select(&["acme", "globex", "default"]).prop_map(str::to_owned);
        let is_anothers = prop_oneof![9 => Just(false), 1 => Just(true)];
        (tenant, one_of(&["eu", "us", "cn"]), any_ring(), one_of(&["i0", "i1", "i5", "gone"]), is_anothers)
    }

    fn wanted(device: &Owned) -> Wanted<'_> {
        let (tenant, region, ring, pin, is_anothers) = device;
        Wanted { tenant, region: region.as_deref(), ring: *ring, pin: pin.as_deref(), is_anothers: *is_anothers }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Each rule is written here once more, in other words than above.
        #[test]
        fn no_hard_rule_is_ever_broken_and_nobody_is_used_less(candidates in any_candidates(), device in any_device()) {
            let wanted = wanted(&device);
            let (tenant, region, ring, pin, is_anothers) = &device;
            let at_home = |one: &Candidate| one.ring == *ring && (region.is_none() || one.region == *region);
            let has_own = candidates.iter().any(|one| one.tenant.as_ref() == Some(tenant) && at_home(one));
            let may = |one: &Candidate| {
                let isolated = match &one.tenant { Some(other) => other == tenant, None => !has_own };
                let takes = one.state == InstanceState::Active && one.allocated < one.capacity;
                !is_anothers && isolated && at_home(one) && takes && pin.as_ref().is_none_or(|name| *name == one.name)
            };
            for one in &candidates {
                prop_assert_eq!(ruled_out(one, &wanted, &candidates).is_empty(), may(one), "{:?}", one);
            }
            let allowed: Vec<_> = candidates.iter().filter(|one| may(one)).collect();
            match choose(&candidates, &wanted) {
                None => prop_assert!(allowed.is_empty()),
                Some(chosen) => {
                    prop_assert!(may(chosen));
                    for other in allowed {
                        let (left, right) = (chosen.allocated * other.capacity, other.allocated * chosen.capacity);
                        prop_assert!(left < right || (left == right && chosen.name <= other.name));
                    }
                }
            }
        }

        #[test]
        fn the_order_of_the_instances_does_not_matter(
            (candidates, shuffled) in any_candidates().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
            device in any_device(),
        ) {
            prop_assert_eq!(choose(&candidates, &wanted(&device)), choose(&shuffled, &wanted(&device)));
        }

        #[test]
        fn devices_spread_by_capacity_to_within_one_device_an_instance(capacities in prop::collection::vec(1..60_u64, 1..5)) {
            let mut instances: Vec<_> = capacities.iter().enumerate()
                .map(|(index, &capacity)| candidate(&format!("i{index}"), 0, capacity)).collect();
            let total: u64 = capacities.iter().sum();
            for device in 1..=total {
                let name = choose(&instances, &ANYTHING).unwrap().name.clone();
                instances.iter_mut().find(|i| i.name == name).unwrap().allocated += 1;
                for instance in &instances {
                    let fair = device as f64 * instance.capacity as f64 / total as f64;
                    prop_assert!((instance.allocated as f64 - fair).abs() <= capacities.len() as f64);
                }
            }
            prop_assert!(choose(&instances, &ANYTHING).is_none());
        }
    }

    /// The share of each instance, of its fair share, after as many devices.
    fn spread(capacities: &[u64], devices: u64) -> Vec<f64> {
        let mut instances: Vec<_> = capacities
            .iter()
            .enumerate()
            .map(|(index, &capacity)| candidate(&format!("i{index}"), 0, capacity))
            .collect();
        for _ in 0..devices {
            let name = choose(&instances, &ANYTHING).unwrap().name.clone();
            instances.iter_mut().find(|i| i.name == name).unwrap().allocated += 1;
        }
        let total: u64 = capacities.iter().sum();
        instances
            .iter()
            .map(|one| one.allocated as f64 / (devices as f64 * one.capacity as f64 / total as f64))
            .collect()
    }

    #[test]
    fn a_hundred_thousand_devices_spread_within_one_percent_of_even() {
        for capacities in [vec![1_000_000; 7], vec![1_000_000, 500_000, 250_000, 100_000]] {
            for share in spread(&capacities, 100_000) {
                assert!((share - 1.0).abs() <= 0.01, "{share} of its fair share, with capacities {capacities:?}");
            }
        }
    }

    #[test]
    fn ties_go_to_the_first_name() {
        let both = [candidate("b", 1, 10), candidate("a", 2, 20)];
        assert_eq!(choose(&both, &ANYTHING).unwrap().name, "a");
    }

    #[test]
    fn a_tenant_with_an_instance_of_its_own_never_shares_one_even_when_its_own_is_down() {
        let own = Candidate { tenant: Some("acme".into()), state: InstanceState::Down, ..candidate("own", 0, 10) };
        let all = [own, candidate("shared", 0, 10)];
        let acme = Wanted { tenant: "acme", ..ANYTHING };
        assert_eq!(choose(&all, &acme), None);
        assert_eq!(ruled_out(&all[1], &acme, &all), [RuledOut::Shared]);
        assert_eq!(choose(&all, &ANYTHING).unwrap().name, "shared");
        // In another ring it has none of its own.
        let mut test = candidate("test", 0, 10);
        test.ring = Ring::Test;
        let all = [all[0].clone(), test];
        assert_eq!(choose(&all, &Wanted { ring: Ring::Test, ..acme }).unwrap().name, "test");
    }
}
