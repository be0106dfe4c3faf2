//! How much time a certificate has left, and when somebody is to be told: once below a week, once below a day, once
//! when it is over.
//!
//! In: the end of a certificate's life and the time, Unix seconds. Out: words. Pure.
//! Tests: below.

use std::time::Duration;
use x509_cert::der::DateTime;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// From here on it is said.
const SOON: i64 = 7 * DAY;

/// What is left, from much to nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    #[default]
    Enough,
    Days,
    Hours,
    Nothing,
}

fn left(not_after: i64, now: i64) -> Left {
    match not_after.saturating_sub(now) {
        ..=0 => Left::Nothing,
        1..DAY => Left::Hours,
        DAY..SOON => Left::Days,
        SOON.. => Left::Enough,
    }
}

/// What is left in words, when that is less than a week: "expires in 3 days (2026-11-30T12:00:00Z)".
#[must_use]
pub fn remaining(not_after: i64, now: i64) -> Option<String> {
    let words = match left(not_after, now) {
        Left::Enough => return None,
        Left::Days | Left::Hours => format!("expires in {}", span(not_after.saturating_sub(now))),
        Left::Nothing => format!("expired {} ago", span(now.saturating_sub(not_after))),
    };
    Some(format!("{words} ({})", date(not_after)))
}

/// A time in words, rounded down.
pub(super) fn span(seconds: i64) -> String {
    let things = |count: i64, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    match seconds {
        DAY.. => things(seconds / DAY, "day"),
        HOUR..DAY => things(seconds / HOUR, "hour"),
        60..HOUR => things(seconds / 60, "minute"),
        _ => things(seconds.max(0), "second"),
    }
}

/// A time as people and programs read it.
pub(super) fn date(unix_s: i64) -> String {
    let since = Duration::from_secs(u64::try_from(unix_s).unwrap_or(0));
    DateTime::from_unix_duration(since).map_or_else(|_| format!("{unix_s} s"), |date| date.to_string())
}

/// Remembers what was said of one certificate.
#[derive(Debug, Default)]
pub struct Reminder {
    said: Left,
}

impl Reminder {
    /// What to say now; none when nothing has changed since it was said. A certificate that lives longer begins anew.
    pub fn due(&mut self, not_after: i64, now: i64) -> Option<String> {
        let left = left(not_after, now);
        let worse = left > self.said;
        self.said = left;
        remaining(not_after, now).filter(|_| worse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_below_a_week_once_below_a_day_and_once_at_the_end() {
        let end = 1_800_000_000;
        let mut reminder = Reminder::default();
        let mut said = Vec::new();
        for left in [9 * DAY, SOON, SOON - 1, 3 * DAY, DAY, DAY - 1, HOUR, 1, 0, -5 * DAY] {
            said.extend(reminder.due(end, end - left).map(|_| left));
        }
        assert_eq!(said, [SOON - 1, DAY - 1, 0]);
        assert_eq!(reminder.due(end + 90 * DAY, end), None, "a new certificate");
        assert!(reminder.due(end + 90 * DAY, end + 88 * DAY).is_some(), "which grows old as well");
    }

    #[test]
    fn words_say_how_long_and_until_when() {
        let end = 1_800_000_000;
        assert_eq!(remaining(end, end - 8 * DAY), None);
        let words = |left| remaining(end, end - left).unwrap();
        assert_eq!(words(3 * DAY + HOUR), "expires in 3 days (2027-01-15T08:00:00Z)");
        assert!(words(HOUR).starts_with("expires in 1 hour ("));
        assert!(words(-2 * DAY).starts_with("expired 2 days ago ("));
    }
}
