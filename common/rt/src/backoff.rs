//! How long to wait before trying again: exponential with full jitter, bounded.
//! (M. Brooker, "Exponential Backoff And Jitter", 2015.)

use crate::simulation;
use std::time::Duration;

/// A series of waits.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
    state: u64,
}

impl Backoff {
    /// Waits between 0 and `first` before the first retry, then twice as long each time, at most `most`.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Backoff {
        let machine = || uuid::Uuid::new_v4().as_u64_pair().0;
        let seed = simulation::ask(|node| node.random()).unwrap_or_else(machine);
        Backoff { first, most, tries: 0, state: seed | 1 }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let ceiling = self.first.saturating_mul(1 << self.tries.min(16)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        // xorshift64 (Marsaglia 2003): spreads retries, decides nothing.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        ceiling.mul_f64((self.state >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// Begins again from the first wait.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_start_over_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for _ in 0..50 {
            assert!(backoff.next_wait() <= Duration::from_secs(1));
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
