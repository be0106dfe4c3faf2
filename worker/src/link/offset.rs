//! The master's clock on ours.
//!
//! Each answered heartbeat is a sample: when it was sent and answered on our monotonic clock, and the
//! master's wall clock in between. The sample with the shortest way among the newest ones is believed (as
//! NTP's clock filter does); its error is at most half of that way. Our own wall clock plays no part, so
//! setting it moves nothing.
//! In: samples. Out: an instant of the master's clock as nanoseconds of CLOCK_MONOTONIC.
//! Tests: below.

use std::collections::VecDeque;

/// Samples kept: 16 s of heartbeats, in which clocks drift apart by less than a millisecond.
const KEPT: usize = 8;

/// The newest samples.
#[derive(Debug, Default)]
pub(super) struct Offset {
    samples: VecDeque<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    way_ns: u64,
    /// Master's wall clock minus our monotonic clock.
    ahead_ns: i128,
}

impl Offset {
    /// Adds a sample: sent and answered at nanoseconds of CLOCK_MONOTONIC, and the master's wall clock.
    pub(super) fn add(&mut self, sent_ns: u64, answered_ns: u64, master_unix_ns: i64) {
        let way_ns = answered_ns.saturating_sub(sent_ns);
        let middle = i128::from(sent_ns) + i128::from(way_ns / 2);
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { way_ns, ahead_ns: i128::from(master_unix_ns) - middle });
    }

    /// An instant of the master's wall clock on our CLOCK_MONOTONIC; none before the first sample.
    pub(super) fn to_monotonic_ns(&self, master_unix_ns: i64) -> Option<u64> {
        let best = self.samples.iter().min_by_key(|sample| sample.way_ns)?;
        let ours = i128::from(master_unix_ns) - best.ahead_ns;
        Some(u64::try_from(ours.max(0)).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_with_the_shortest_way_is_believed() {
        let mut offset = Offset::default();
        assert_eq!(offset.to_monotonic_ns(5), None);
        // The master is 1000 ahead. A slow answer on the way back looks like less.
        offset.add(100, 110, 1105);
        offset.add(200, 400, 1210);
        assert_eq!(offset.to_monotonic_ns(1500), Some(500));
        assert_eq!(offset.to_monotonic_ns(3), Some(0));
    }

    #[test]
    fn old_samples_are_forgotten() {
        let mut offset = Offset::default();
        offset.add(0, 2, 1001);
        for i in 1..=8 {
            offset.add(i * 100, i * 100 + 10, i64::try_from(i * 100 + 5 + 2000).unwrap());
        }
        assert_eq!(offset.to_monotonic_ns(2500), Some(500));
    }
}
