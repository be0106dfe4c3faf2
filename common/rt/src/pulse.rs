//! A pulse: the last sign of life of something, written by one and read by many.
//!
//! In: beats. Out: for how long there was none. CLOCK_BOOTTIME. Never: decides what is too long.
//! Tests: below.

use crate::clock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The last sign of life of something.
#[derive(Debug)]
pub struct Pulse {
    /// CLOCK_BOOTTIME in nanoseconds.
    at_ns: AtomicU64,
}

impl Pulse {
    /// A pulse that beats now.
    #[must_use]
    pub fn new() -> Pulse {
        Pulse { at_ns: AtomicU64::new(nanos(clock::boottime())) }
    }

    /// A sign of life.
    pub fn beat(&self) {
        self.beat_at(clock::boottime());
    }

    /// A sign of life of an instant that has passed; an earlier one than known already changes nothing.
    pub fn beat_at(&self, at: Duration) {
        self.at_ns.fetch_max(nanos(at), Ordering::AcqRel);
    }

    /// For how long there was no sign of life at `now`.
    #[must_use]
    pub fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_nanos(self.at_ns.load(Ordering::Acquire)))
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse::new()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_newest_beat() {
        let pulse = Pulse::new();
        let now = clock::boottime();
        pulse.beat_at(now + Duration::from_secs(5));
        pulse.beat_at(now + Duration::from_secs(3));
        assert_eq!(pulse.silence(now + Duration::from_secs(9)), Duration::from_secs(4));
        assert_eq!(pulse.silence(now), Duration::ZERO);
    }
}
