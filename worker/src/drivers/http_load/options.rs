//! What the owner of a node may set for load tests on it.
//!
//! In: the node's configuration. Out: [`Options`] with everything decided by [`Options::settled`].
//! Tests: below.

use serde::{Deserialize, Serialize};
use shanty_model::kind::http_load::TargetPolicy;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Whether a load thread burns processor time to be punctual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spin {
    /// Never: it sleeps until each arrival is due.
    Eco,
    /// For at most 50 µs before an arrival, and only on a machine with more than two cores.
    #[default]
    Balanced,
    /// For at most 200 µs before every arrival, on any machine.
    Precise,
}

/// Options of the driver.
#[derive(Debug, Clone)]
pub struct Options {
    /// Load threads per attempt; none for the usable cores less one, at least one.
    pub threads: Option<NonZeroUsize>,
    /// Most arrivals per second of one attempt on this worker; a plan above it is refused.
    pub max_rate: f64,
    /// Open loop: connections of one attempt when its spec does not say.
    pub default_connections: u32,
    /// Most connections of one attempt on this worker, open or closed loop.
    pub max_connections: u32,
    /// Which addresses may be loaded, besides loopback and private ones.
    pub targets: TargetPolicy,
    /// Whether to burn processor time to be punctual.
    pub spin: Spin,
    /// An arrival later than this is dropped and counted instead of sent.
    pub catch_up: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            threads: None,
            max_rate: 1_000_000.0,
            default_connections: 1024,
            max_connections: 16_384,
            targets: TargetPolicy::default(),
            spin: Spin::default(),
            catch_up: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// Load threads on a machine with `cores` usable cores.
    pub(super) fn threads_on(&self, cores: usize) -> usize {
        self.threads.map_or_else(|| cores.saturating_sub(1).max(1), NonZeroUsize::get)
    }

    /// How long before an arrival a thread stops sleeping, on a machine with `cores` usable cores.
    pub(super) fn guard_on(&self, cores: usize) -> Duration {
        match self.spin {
            Spin::Eco => Duration::ZERO,
            Spin::Balanced if cores <= 2 => Duration::ZERO,
            Spin::Balanced => Duration::from_micros(50),
            Spin::Precise => Duration::from_micros(200),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_machine_keeps_one_thread_and_never_spins_by_default() {
        let options = Options::default();
        assert_eq!((1..5).map(|cores| options.threads_on(cores)).collect::<Vec<_>>(), [1, 1, 2, 3]);
        assert_eq!(options.guard_on(2), Duration::ZERO);
        assert_eq!(options.guard_on(3), Duration::from_micros(50));
        let precise = Options { spin: Spin::Precise, threads: NonZeroUsize::new(7), ..Options::default() };
        assert_eq!(precise.guard_on(1), Duration::from_micros(200));
        assert_eq!(precise.threads_on(2), 7);
    }
}
