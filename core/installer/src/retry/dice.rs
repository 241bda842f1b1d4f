use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Where jitter comes from: the system, or a seed, so that a test draws the same every time. Clones share one sequence.
#[derive(Clone)]
pub struct Dice(Option<Arc<Mutex<StdRng>>>);

impl Dice {
    /// Draws that nobody can foresee.
    pub fn random() -> Self {
        Dice(None)
    }

    /// The same draws for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Dice(Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// Evenly from `least` to `most`, both included; `most` where it is the smaller one.
    pub fn between(&self, least: Duration, most: Duration) -> Duration {
        let least = least.min(most);
        match &self.0 {
            None => rand::random_range(least..=most),
            Some(seeded) => seeded.lock().unwrap_or_else(PoisonError::into_inner).random_range(least..=most),
        }
    }
}

impl Default for Dice {
    fn default() -> Self {
        Dice::random()
    }
}

impl std::fmt::Debug for Dice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Dice(seeded)" } else { "Dice(random)" })
    }
}
