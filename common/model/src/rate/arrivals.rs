//! Arrivals: where on the expected count each arrival lies, by its index alone.
//!
//! Uniform: arrival `i` lies at `C = i`. Poisson: arrivals lie at random; the expected count is cut into
//! blocks of [`BLOCK`] arrivals, and within a block exactly [`BLOCK`] points are drawn uniformly and sorted.
//! That is a Poisson process conditioned on its count per block (the order-statistics property), so the
//! rate is exact over every block and every worker computes the same points from the seed alone.
//! Tests: below.

use super::schedule::{Schedule, UNIT};
use serde::{Deserialize, Serialize};

/// Arrivals in a block of the random sequence.
pub const BLOCK: u64 = 1024;

/// How arrivals are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Equal gaps at constant rate.
    Uniform,
    /// Random gaps as of independent users.
    Poisson {
        /// The same seed gives the same arrivals.
        seed: u64,
    },
}

/// The arrivals of one schedule in order of index, with the block at hand kept. Allocates only when made.
#[derive(Debug, Clone)]
pub struct Sequence {
    arrivals: Arrivals,
    /// Points of the block `at`, in units within the block, sorted. Empty for uniform arrivals.
    block: Vec<u64>,
    at: Option<u64>,
}

impl Sequence {
    /// The sequence of `arrivals`.
    #[must_use]
    pub fn new(arrivals: Arrivals) -> Sequence {
        let block = match arrivals {
            Arrivals::Uniform => Vec::new(),
            Arrivals::Poisson { .. } => Vec::with_capacity(usize::try_from(BLOCK).unwrap_or(0)),
        };
        Sequence { arrivals, block, at: None }
    }

    /// Where arrival `index` lies on the expected count, in units of 10⁻¹² arrivals.
    pub fn units(&mut self, index: u64) -> u128 {
        match self.arrivals {
            Arrivals::Uniform => u128::from(index) * UNIT,
            Arrivals::Poisson { seed } => {
                let block = index / BLOCK;
                self.load(seed, block);
                let within = usize::try_from(index % BLOCK).unwrap_or(0);
                u128::from(block * BLOCK) * UNIT + u128::from(self.block[within])
            }
        }
    }

    /// When arrival `index` is due, nanoseconds since the run's start; none if not before the end.
    pub fn due(&mut self, schedule: &Schedule, index: u64) -> Option<u64> {
        let units = self.units(index);
        schedule.instant_of(units)
    }

    /// How many arrivals are due before `at_ns`; equally, the index of the first due at or after it.
    pub fn count_before(&mut self, schedule: &Schedule, at_ns: u64) -> u64 {
        let Some(last) = at_ns.min(schedule.end_ns()).checked_sub(1) else { return 0 };
        let reached = schedule.units_at(last);
        let whole = u64::try_from(reached / UNIT).unwrap_or(u64::MAX);
        match self.arrivals {
            Arrivals::Uniform => whole.saturating_add(1),
            Arrivals::Poisson { seed } => {
                let block = whole / BLOCK;
                self.load(seed, block);
                let within = reached - u128::from(block * BLOCK) * UNIT;
                let before = self.block.partition_point(|point| u128::from(*point) <= within);
                block * BLOCK + u64::try_from(before).unwrap_or(0)
            }
        }
    }

    fn load(&mut self, seed: u64, block: u64) {
        if self.at == Some(block) {
            return;
        }
        let span = u128::from(BLOCK) * UNIT;
        self.block.clear();
        for i in 0..BLOCK {
            let random = mix(mix(seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_add(block.wrapping_mul(BLOCK) + i));
            let point = (u128::from(random) * span) >> 64;
            self.block.push(u64::try_from(point).unwrap_or(u64::MAX));
        }
        self.block.sort_unstable();
        self.at = Some(block);
    }
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijection that scatters a counter.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::schedule::Stage;
    use super::*;
    use proptest::prelude::*;

    fn schedule(rate_milli: u64, ms: u64) -> Schedule {
        Schedule::new(&[Stage { rate_milli, len_ns: ms * 1_000_000, ramp: false }])
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let schedule = schedule(10_000_000, 10_000);
        let mut sequence = Sequence::new(Arrivals::Poisson { seed: 7 });
        let due: Vec<u64> = (0..90_000).map(|i| sequence.due(&schedule, i).unwrap()).collect();
        let gaps: Vec<f64> = due.windows(2).map(|w| (w[1] - w[0]) as f64 / 1e5).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean - 1.0).abs() < 0.01, "mean {mean}");
        assert!((deviation - 1.0).abs() < 0.03, "standard deviation {deviation}");
        let short = gaps.iter().filter(|g| **g < 0.1).count() as f64 / gaps.len() as f64;
        assert!((short - 0.0952).abs() < 0.01, "share of gaps below a tenth: {short}");
    }

    #[test]
    fn another_seed_gives_other_arrivals() {
        let mut a = Sequence::new(Arrivals::Poisson { seed: 1 });
        let mut b = Sequence::new(Arrivals::Poisson { seed: 2 });
        assert!((0..100).all(|i| a.units(i) != b.units(i)));
    }

    proptest! {
        #[test]
        fn count_before_agrees_with_the_due_times(
            rate_milli in 1u64..3_000_000, ms in 1u64..4_000, at in 0u64..5_000_000_000, poisson in any::<bool>(),
        ) {
            let schedule = schedule(rate_milli, ms);
            let arrivals = if poisson { Arrivals::Poisson { seed: rate_milli } } else { Arrivals::Uniform };
            let mut sequence = Sequence::new(arrivals);
            let count = sequence.count_before(&schedule, at);
            if count > 0 {
                let last = sequence.due(&schedule, count - 1);
                prop_assert!(last.is_some_and(|due| due < at), "{last:?} {at}");
            }
            if let Some(next) = sequence.due(&schedule, count) {
                prop_assert!(next >= at);
            }
        }
    }
}
