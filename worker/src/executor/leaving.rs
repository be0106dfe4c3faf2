//! From the stop to the end.
//!
//! ```text
//!  Serving ──stop──► Draining ──time up──► Cancelling ──┐
//!                        └──nothing under way───────────┴─► Flushing ──all acknowledged, or time up──► Over
//! ```
//! In: what is under way and kept, boot time. Out: the next phase.
//! Pure.
//! Tests: below.

use std::time::Duration;

/// For attempts that were asked to stop, until the executor ends them itself.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(10);
/// For the last results to be acknowledged.
const FLUSH: Duration = Duration::from_secs(3);

/// Where a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It takes work.
    Serving,
    /// It takes none, and waits for what it has to end or to be taken away.
    Draining {
        /// Boot time at which the rest is cancelled.
        until: Duration,
    },
    /// It has cancelled the rest.
    Cancelling {
        /// Boot time at which it no longer waits.
        until: Duration,
    },
    /// Nothing is under way; results without acknowledgement may still be kept.
    Flushing {
        /// Boot time at which it no longer waits.
        until: Duration,
    },
    /// It may exit.
    Over,
}

impl Phase {
    /// It was asked to leave.
    pub(super) fn leave(self, now: Duration, drain_timeout: Duration) -> Phase {
        match self {
            Phase::Serving => Phase::Draining { until: now + drain_timeout },
            // It leaves already.
            Phase::Draining { .. } | Phase::Cancelling { .. } | Phase::Flushing { .. } | Phase::Over => self,
        }
    }

    /// Whether it takes no more work.
    pub(super) fn is_leaving(self) -> bool {
        self != Phase::Serving
    }

    /// The next phase when `under_way` attempts run and `kept` are held in all.
    pub(super) fn step(self, now: Duration, under_way: usize, kept: usize) -> Phase {
        match self {
            Phase::Serving | Phase::Over => self,
            Phase::Draining { .. } | Phase::Cancelling { .. } if under_way == 0 => {
                Phase::Flushing { until: now + FLUSH }.step(now, under_way, kept)
            }
            Phase::Draining { until } if now >= until => {
                Phase::Cancelling { until: now + STOP_GRACE + FLUSH }
            }
            Phase::Flushing { .. } if kept == 0 => Phase::Over,
            Phase::Cancelling { until } | Phase::Flushing { until } if now >= until => Phase::Over,
            Phase::Draining { .. } | Phase::Cancelling { .. } | Phase::Flushing { .. } => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn an_idle_worker_leaves_at_once() {
        assert_eq!(Phase::Serving.leave(S, S * 30).step(S, 0, 0), Phase::Over);
    }

    #[test]
    fn work_gets_its_time_then_it_is_cancelled_then_results_are_flushed() {
        let draining = Phase::Serving.leave(S, S * 30);
        assert_eq!(draining.step(S * 30, 1, 1), draining);
        let cancelling = draining.step(S * 31, 1, 1);
        assert!(matches!(cancelling, Phase::Cancelling { .. }));
        assert_eq!(cancelling.leave(S * 32, S * 30), cancelling);
        let flushing = cancelling.step(S * 32, 0, 1);
        assert_eq!(flushing, Phase::Flushing { until: S * 35 });
        assert_eq!(flushing.step(S * 33, 0, 0), Phase::Over);
        assert_eq!(flushing.step(S * 35, 0, 1), Phase::Over);
        assert_eq!(cancelling.step(S * 60, 1, 1), Phase::Over);
    }

    #[test]
    fn a_serving_worker_stays() {
        assert_eq!(Phase::Serving.step(S, 0, 0), Phase::Serving);
    }
}
