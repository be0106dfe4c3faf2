//! How fast the reader may go: shares of the run's limits, and the source's own condition.
//!
//! In: what was read, the newest directive, looks at the source. Out: how long to wait.
//! Tests: below.

use shanty_model::kind::db_sync::{Directive, Throttle};
use std::time::Duration;

/// The condition of the source is looked at this often.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A debt of waiting never grows beyond this, so that a raised limit is felt soon.
const MOST_WAIT: Duration = Duration::from_secs(5);

/// What the reader owes to its limits.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When everything read so far is paid for.
    paid_at: Duration,
}

impl Pace {
    /// Counts a page that was read; `now` on a clock that only grows.
    pub(super) fn spend(&mut self, now: Duration, rows: u64, bytes: u64, limits: &Directive) {
        let cost = |amount: u64, per_second: f64| {
            if per_second > 0.0 { amount as f64 / per_second } else { 0.0 }
        };
        let seconds = cost(rows, limits.rows_per_second).max(cost(bytes, limits.bytes_per_second));
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(MOST_WAIT);
        self.paid_at = self.paid_at.max(now) + wait;
    }

    /// How long to wait before the next page.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.paid_at.saturating_sub(now)
    }

    /// The limits have changed: what was owed under the old ones is let go.
    pub(super) fn forgive(&mut self, now: Duration) {
        self.paid_at = self.paid_at.min(now);
    }
}

/// Most rows of a page under a limit: about a second's worth, so that pages come evenly.
pub(super) fn rows_of_a_second(limits: &Directive, average_bytes: u64) -> u64 {
    let by_rows = if limits.rows_per_second > 0.0 { limits.rows_per_second } else { f64::INFINITY };
    let by_bytes = if limits.bytes_per_second > 0.0 {
        limits.bytes_per_second / average_bytes.max(1) as f64
    } else {
        f64::INFINITY
    };
    let rows = by_rows.min(by_bytes);
    if rows >= 1e9 {
        return u64::MAX;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1e9")]
    let whole = rows.max(1.0) as u64;
    whole
}

/// Why the source wants to be spared, in words; none when it does not.
pub(super) fn sparing(throttle: &Throttle, lag: Option<Duration>, latency: Duration) -> Option<String> {
    match (throttle.max_source_lag, lag) {
        (Some(most), Some(lag)) if lag > most => {
            return Some(format!("the source is {lag:.0?} behind its primary, allowed are {most:.0?}"));
        }
        _ => {}
    }
    throttle
        .max_source_latency
        .filter(|most| latency > *most)
        .map(|most| format!("a look at the source took {latency:.0?}, allowed are {most:.0?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pages_cost_what_the_tighter_limit_says() {
        let mut pace = Pace::default();
        let limits = Directive { rows_per_second: 100.0, bytes_per_second: 1000.0, cuts: 0 };
        pace.spend(s(10), 100, 3000, &limits);
        assert_eq!(pace.wait(s(10)), s(3));
        pace.spend(s(11), 100, 0, &limits);
        assert_eq!(pace.wait(s(11)), s(3));
        assert_eq!(pace.wait(s(60)), s(0));
        pace.spend(s(60), 0, 0, &Directive::default());
        assert_eq!(pace.wait(s(60)), s(0), "time that was not used is not saved up");
    }

    #[test]
    fn a_changed_limit_lets_an_old_debt_go() {
        let mut pace = Pace::default();
        pace.spend(s(1), 1000, 0, &Directive { rows_per_second: 1.0, ..Directive::default() });
        pace.forgive(s(2));
        assert_eq!(pace.wait(s(2)), s(0));
    }

    #[test]
    fn a_page_holds_a_second_of_a_limit() {
        let limits = Directive { rows_per_second: 500.0, bytes_per_second: 10_000.0, cuts: 0 };
        assert_eq!(rows_of_a_second(&limits, 100), 100);
        assert_eq!(rows_of_a_second(&limits, 1), 500);
        assert_eq!(rows_of_a_second(&Directive::default(), 1), u64::MAX);
        assert_eq!(rows_of_a_second(&Directive { rows_per_second: 0.01, ..Directive::default() }, 1), 1);
    }

    #[test]
    fn a_source_is_spared_when_it_lags_or_is_slow() {
        let throttle = Throttle {
            max_source_lag: Some(s(5)),
            max_source_latency: Some(Duration::from_millis(100)),
            ..Throttle::default()
        };
        assert!(sparing(&throttle, Some(s(6)), s(0)).is_some_and(|why| why.contains("behind")));
        assert!(sparing(&throttle, None, s(1)).is_some_and(|why| why.contains("took")));
        assert_eq!(sparing(&throttle, Some(s(5)), Duration::from_millis(100)), None);
        assert_eq!(sparing(&Throttle::default(), Some(s(500)), s(500)), None);
    }
}
