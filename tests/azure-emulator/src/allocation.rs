//! Which of the linked hubs a device gets.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::config::Hub;
use crate::enrollment::{Allocation, Policy};

/// The hub for this registration ID (in lower case); `current` is where it stands already. The same question always has the same
/// answer, on every run. `None` when there is no hub to choose from.
pub(crate) fn choose<'a>(
    linked: &'a [Hub],
    allocation: &Allocation,
    registration_id: &str,
    current: Option<&str>,
) -> Option<&'a Hub> {
    let candidates = linked.iter().enumerate().filter(|(_, hub)| {
        allocation.hubs.is_empty() || allocation.hubs.iter().any(|name| name.eq_ignore_ascii_case(&hub.host_name))
    });
    match allocation.policy {
        // Evenly weighted: a device that has a hub stays there as long as it is a candidate.
        Policy::Hashed => {
            let candidates: Vec<_> = candidates.map(|(_, hub)| hub).filter(|hub| hub.allocation_weight > 0).collect();
            if let Some(stays) = candidates.iter().find(|hub| Some(hub.host_name.as_str()) == current) {
                return Some(stays);
            }
            candidates.into_iter().max_by(|a, b| score(a, registration_id).total_cmp(&score(b, registration_id)))
        }
        Policy::GeoLatency => candidates.min_by_key(|(place, hub)| (latency(*place, hub), *place)).map(|(_, hub)| hub),
        Policy::Static => candidates.map(|(_, hub)| hub).next(),
    }
}

fn latency(place: usize, hub: &Hub) -> Duration {
    hub.latency.unwrap_or_else(|| Duration::from_millis(10) * u32::try_from(place + 1).unwrap_or(u32::MAX))
}

/// Weighted rendezvous hashing: each hub wins its weight's share of all registration IDs, and a new hub takes only what it wins.
fn score(hub: &Hub, registration_id: &str) -> f64 {
    let digest = Sha256::new().chain_update(&hub.host_name).chain_update([0]).chain_update(registration_id).finalize();
    let top = digest.iter().take(4).fold(0_u32, |top, byte| top << 8 | u32::from(*byte));
    // In the open interval (0, 1), so that the logarithm is finite and negative.
    let uniform = (f64::from(top) + 0.5) / (f64::from(u32::MAX) + 1.0);
    -f64::from(hub.allocation_weight) / uniform.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocation(policy: Policy, hubs: &[&str]) -> Allocation {
        Allocation { policy, hubs: hubs.iter().map(|hub| (*hub).to_owned()).collect() }
    }

    fn share(hubs: &[Hub], of: &str) -> usize {
        let hashed = allocation(Policy::Hashed, &[]);
        (0..2000)
            .filter(|n| choose(hubs, &hashed, &format!("dev-{n}"), None).unwrap().host_name.starts_with(of))
            .count()
    }

    #[test]
    fn hashed_gives_each_hub_its_weight_in_devices() {
        let even = [Hub::new("a"), Hub::new("b")];
        assert!((900..1100).contains(&share(&even, "a")), "{}", share(&even, "a"));
        let uneven = [Hub::new("a").with_weight(3), Hub::new("b")];
        assert!((1400..1600).contains(&share(&uneven, "a")), "{}", share(&uneven, "a"));
    }

    #[test]
    fn hashed_keeps_a_device_where_it_is_while_that_hub_is_a_candidate() {
        let hubs = [Hub::new("a"), Hub::new("b"), Hub::new("c")];
        for hub in &hubs {
            let kept = choose(&hubs, &allocation(Policy::Hashed, &[]), "dev", Some(&hub.host_name)).unwrap();
            assert_eq!(kept, hub);
        }
        let elsewhere =
            choose(&hubs, &allocation(Policy::Hashed, &["B.azure-devices.net"]), "dev", Some("a.azure-devices.net"));
        assert_eq!(elsewhere, Some(&hubs[1]));
    }

    #[test]
    fn geo_latency_takes_the_nearest_and_by_default_the_first() {
        let hubs = [Hub::new("a"), Hub::new("b")];
        assert_eq!(choose(&hubs, &allocation(Policy::GeoLatency, &[]), "dev", None), Some(&hubs[0]));
        let hubs = [Hub::new("a"), Hub::new("b").with_latency(Duration::from_millis(3))];
        assert_eq!(choose(&hubs, &allocation(Policy::GeoLatency, &[]), "dev", None), Some(&hubs[1]));
    }

    #[test]
    fn without_hubs_there_is_no_answer() {
        for policy in [Policy::Hashed, Policy::GeoLatency, Policy::Static] {
            assert_eq!(choose(&[], &allocation(policy, &[]), "dev", None), None);
        }
    }
}
