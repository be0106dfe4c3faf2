//! Arrivals beside their schedule: how far a window of 100 ms is off, and whether the machine itself explains it.
//!
//! The schedule is uniform, so arrival `i` is due at `start + i / rate`; the start is taken from the arrivals before the
//! fault. In: stamps of the target, stalls of the machine. Out: [`Pace`]. Never: a stall taken for a disturbance, or one
//! that is longer than the machine's taken for its.
//! Tests: below.

use super::witness::Stall;

const MS: u64 = 1_000_000;
const WINDOW_NS: u64 = 100 * MS;

/// What is said of a run's arrivals.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// The worst window: by how much of its arrivals it is off, 0 to 1 and over.
    pub worst: f64,
    /// The worst window with all arrivals moved back that the machine held up.
    pub worst_unexplained: f64,
    /// The latest arrival beside its due time.
    pub latest_ms: f64,
    /// The longest stall of the machine.
    pub stall_ms: f64,
}

impl Pace {
    /// The worse of both, part by part.
    #[must_use]
    pub fn worse(self, other: Pace) -> Pace {
        Pace {
            worst: self.worst.max(other.worst),
            worst_unexplained: self.worst_unexplained.max(other.worst_unexplained),
            latest_ms: self.latest_ms.max(other.latest_ms),
            stall_ms: self.stall_ms.max(other.stall_ms),
        }
    }
}

/// Judges arrivals at `rate` per second, of which the first `calm` are not disturbed by anything.
///
/// # Panics
/// When there are fewer than `calm`.
#[must_use]
pub(super) fn judge(stamps: &[u64], rate: f64, calm: usize, stalls: &[Stall]) -> Pace {
    let mut stamps = stamps.to_vec();
    stamps.sort_unstable();
    assert!(calm > 0 && stamps.len() >= calm, "{} arrivals, of which {calm} are calm", stamps.len());
    let gap = 1e9 / rate;
    let nth = |i: usize| ns(i as f64 * gap);
    // The quarter of the calm ones that came earliest beside the grid: nothing is early, some are late.
    let mut starts: Vec<u64> = (0..calm).map(|i| stamps[i].saturating_sub(nth(i))).collect();
    starts.sort_unstable();
    let start = starts[calm / 4];
    let due: Vec<u64> = (0..stamps.len()).map(|i| start + nth(i)).collect();
    let late = |i: usize| stamps[i].saturating_sub(due[i]);
    let latest = (0..stamps.len()).map(late).max().unwrap_or(0);
    // What the machine held up counts as of its due time.
    let moved: Vec<u64> = (0..stamps.len())
        .map(|i| if held_up(due[i], stamps[i], stalls) { due[i] } else { stamps[i] })
        .collect();
    let stall = stalls.iter().map(|stall| stall.to_ns - stall.from_ns).max().unwrap_or(0);
    // Windows lie half a gap before the grid, so that none stands on an edge.
    let from = start.saturating_sub(ns(gap / 2.0));
    Pace {
        worst: worst(&stamps, from, rate),
        worst_unexplained: worst(&moved, from, rate),
        latest_ms: ms(latest),
        stall_ms: ms(stall),
    }
}

/// Whether stalls cover what an arrival was late by, the last half millisecond excepted (waking up, and the way).
fn held_up(due: u64, at: u64, stalls: &[Stall]) -> bool {
    let covered: u64 = stalls
        .iter()
        .map(|stall| stall.to_ns.min(at).saturating_sub(stall.from_ns.max(due)))
        .max()
        .unwrap_or(0);
    at > due && covered + MS / 2 >= at - due
}

fn worst(stamps: &[u64], from: u64, rate: f64) -> f64 {
    let expected = rate * WINDOW_NS as f64 / 1e9;
    let mut sorted = stamps.to_vec();
    sorted.sort_unstable();
    let last = sorted.last().copied().unwrap_or(from);
    let whole = (last - from.min(last)) / WINDOW_NS;
    let off = |window: u64| {
        let (begin, end) = (from + window * WINDOW_NS, from + (window + 1) * WINDOW_NS);
        let count = sorted.partition_point(|at| *at < end) - sorted.partition_point(|at| *at < begin);
        (count as f64 / expected - 1.0).abs()
    };
    (0..whole).map(off).fold(0.0, f64::max)
}

fn ns(value: f64) -> u64 {
    u64::try_from(std::time::Duration::from_secs_f64(value / 1e9).as_nanos()).unwrap_or(u64::MAX)
}

fn ms(ns: u64) -> f64 {
    ns as f64 / MS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 7_000_000_000;
    const GAP: u64 = 2_500_000;

    fn grid(count: u64) -> Vec<u64> {
        (0..count).map(|i| START + i * GAP).collect()
    }

    #[test]
    fn what_comes_on_time_is_undisturbed() {
        let pace = judge(&grid(2000), 400.0, 400, &[]);
        assert_eq!((pace.worst, pace.worst_unexplained, pace.latest_ms), (0.0, 0.0, 0.0));
    }

    #[test]
    fn one_that_is_missing_and_one_too_many_are_seen() {
        let mut stamps = grid(2000);
        stamps.remove(1500);
        assert!(judge(&stamps, 400.0, 400, &[]).worst > 0.02);
        let mut stamps = grid(2000);
        stamps.push(stamps[1500] + GAP / 2);
        let pace = judge(&stamps, 400.0, 400, &[]);
        assert!(pace.worst > 0.02 && pace.worst_unexplained > 0.02, "{pace:?}");
    }

    #[test]
    fn only_a_stall_of_that_length_at_that_time_explains_lateness() {
        let mut stamps = grid(2000);
        // Nothing leaves from one edge of a window to 20 ms later; then all at once.
        let edge = START + 30 * WINDOW_NS - GAP / 2;
        for stamp in stamps.iter_mut().filter(|at| (edge - 10 * MS..edge + 10 * MS).contains(*at)) {
            *stamp = edge + 10 * MS;
        }
        let judged = |from_ns, to_ns| judge(&stamps, 400.0, 400, &[Stall { from_ns, to_ns }]);
        let explained = judged(edge - 10 * MS, edge + 10 * MS);
        assert!(explained.worst > 0.05 && explained.latest_ms > 15.0, "{explained:?}");
        assert!(explained.worst_unexplained == 0.0 && explained.stall_ms == 20.0, "{explained:?}");
        let short = judged(edge - 10 * MS, edge - 5 * MS);
        assert!(short.worst_unexplained > 0.05, "{short:?}");
        let elsewhere = judged(edge + 50 * MS, edge + 90 * MS);
        assert!(elsewhere.worst_unexplained > 0.05, "{elsewhere:?}");
    }
}
