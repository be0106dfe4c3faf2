//! What came to the target around an instant: windows of 100 ms, as bars and as figures.
//!
//! In: the file that the target writes. Out: counts, a line of bars. Pure but for reading the file.
//! Tests: below.

use std::path::Path;

/// Length of a window, microseconds.
const WINDOW_US: i64 = 100_000;
/// Eighths of a full bar; what was scheduled is six of them, so that more can be seen too.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SCHEDULED: u64 = 6;

/// Instants of arrivals, microseconds since 1970, in order.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Vec<i64>);

impl Arrivals {
    /// What the target has written so far; what cannot be read has not come yet.
    pub(super) fn read(path: &Path) -> Arrivals {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut all: Vec<i64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        all.sort_unstable();
        Arrivals(all)
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Arrivals in each of `count` windows from `from` on.
    fn windows(&self, from: i64, count: usize) -> Vec<u64> {
        let mut windows = vec![0; count];
        for at in &self.0 {
            let window = usize::try_from((at - from).div_euclid(WINDOW_US)).ok();
            if let Some(window) = window.and_then(|window| windows.get_mut(window)) {
                *window += 1;
            }
        }
        windows
    }

    /// All whole windows before `instant` and after it.
    pub(super) fn around(&self, instant: i64) -> (Vec<u64>, Vec<u64>) {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return (vec![], vec![]) };
        let whole = |us: i64| usize::try_from(us / WINDOW_US).unwrap_or(0);
        let before = whole(instant - first);
        let from = instant - i64::try_from(before).unwrap_or(0) * WINDOW_US;
        (self.windows(from, before), self.windows(instant, whole(last - instant)))
    }
}

/// How far the worst window is from `scheduled` arrivals, in percent of it.
pub(super) fn worst(windows: &[u64], scheduled: u64) -> f64 {
    let most = windows.iter().map(|count| count.abs_diff(scheduled)).max().unwrap_or(0);
    most as f64 * 100.0 / scheduled.max(1) as f64
}

/// A bar for each window.
pub(super) fn bars(windows: &[u64], scheduled: u64) -> String {
    let eighths = |count: u64| usize::try_from((count * SCHEDULED + scheduled / 2) / scheduled.max(1));
    let bar = |count: &u64| match eighths(*count).unwrap_or(BARS.len()) {
        0 => ' ',
        some => BARS[some.min(BARS.len()) - 1],
    };
    windows.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted_from_the_instant_both_ways() {
        // One arrival each 10 ms from 5 ms on, and a hole from 300 ms to 400 ms.
        let all = (0..100).map(|n| 5_000 + n * 10_000).filter(|at| !(300_000..400_000).contains(at));
        let arrivals = Arrivals(all.collect());
        let (before, after) = arrivals.around(250_000);
        assert_eq!((before.as_slice(), after.len()), (&[10, 10][..], 7));
        assert_eq!(after[..3], [5, 5, 10], "the hole lies in both");
        assert!(worst(&before, 10) < 0.1 && (worst(&after, 10) - 50.0).abs() < 0.1);
    }

    #[test]
    fn a_bar_of_what_was_scheduled_leaves_room_above_it() {
        assert_eq!(bars(&[0, 1, 50, 100, 117, 500], 100), "  ▃▆▇█");
    }

    #[test]
    fn nothing_came_from_a_file_that_is_not_there() {
        let arrivals = Arrivals::read(Path::new("/no/such/file"));
        assert_eq!((arrivals.count(), arrivals.around(0)), (0, (vec![], vec![])));
    }
}
