//! Dates and times as text.
//!
//! In: `YYYY-MM-DD`, `HH:MM:SS[.ffffff]`, both with a blank between. Out: whether the target has them.
//! Never: shifts by a zone. Tests: `tests.rs`.

use super::{Applied, Verdict, converted, event, lost};

/// First and last second of MySQL's TIMESTAMP.
const INSTANTS: (&[u8], &[u8]) = (b"1970-01-01 00:00:01", b"2038-01-19 03:14:07");
/// First and last day of the targets that have four digits for a year.
const DAYS: (&[u8], &[u8]) = (b"0001-01-01", b"9999-12-31");

/// Days for a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct DateRule {
    /// Dates with zero parts are taken.
    pub zero: bool,
    /// Infinite dates, years before 1 and after 9999 are taken.
    pub wide: bool,
    /// The source may give a time behind the day.
    pub cut: bool,
}

/// What a text names.
enum Day {
    /// A day of the calendar.
    Plain,
    /// With a zero part.
    Zero,
    /// Infinite, before the year 1, after 9999; whether it lies in the past.
    Wide { past: bool },
    /// Nothing.
    No,
}

/// Takes the day apart from the time behind it, if there is one.
fn split(value: &[u8]) -> (&[u8], &[u8]) {
    let at = value.iter().position(|byte| matches!(byte, b' ' | b'T'));
    // A year of another era has its `BC` behind the time; it is looked for in the whole text.
    match at {
        Some(at) => (value.get(..at).unwrap_or_default(), value.get(at + 1..).unwrap_or_default()),
        None => (value, &[]),
    }
}

fn two(digits: &[u8]) -> Option<u8> {
    match digits {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some((a - b'0') * 10 + (b - b'0')),
        _ => None,
    }
}

fn day(text: &[u8]) -> Day {
    match text {
        [a, b, c, d, b'-', months @ .., b'-', e, f] if months.len() == 2 => {
            let (Some(century), Some(year)) = (two(&[*a, *b]), two(&[*c, *d])) else { return Day::No };
            let (Some(month), Some(day)) = (two(months), two(&[*e, *f])) else { return Day::No };
            let year = u16::from(century) * 100 + u16::from(year);
            if month > 12 || day > 31 {
                return Day::No;
            }
            if year == 0 || month == 0 || day == 0 {
                return Day::Zero;
            }
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            if day <= last { Day::Plain } else { Day::No }
        }
        b"infinity" => Day::Wide { past: false },
        b"-infinity" => Day::Wide { past: true },
        _ => {
            let year = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let rest = text.get(year..).unwrap_or_default();
            let is_rest = matches!(rest, [b'-', a, b, b'-', c, d]
                if two(&[*a, *b]).is_some() && two(&[*c, *d]).is_some());
            if (5..=7).contains(&year) && is_rest { Day::Wide { past: false } } else { Day::No }
        }
    }
}

/// As [`day`], with the era that may stand at the end of the whole value.
fn day_of(value: &[u8], text: &[u8]) -> Day {
    match day(text) {
        Day::Plain | Day::Wide { past: false } if value.ends_with(b" BC") => Day::Wide { past: true },
        other => other,
    }
}

impl DateRule {
    pub(super) fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        let (date, time) = split(value);
        let time = time.strip_suffix(b"BC").unwrap_or(time);
        match day_of(value, date) {
            Day::No => return lost(event::VALUE_NOT_PARSED),
            Day::Zero if !self.zero => return lost(event::DATE_ZERO),
            Day::Wide { past } if !self.wide => {
                out.extend_from_slice(if past { DAYS.0 } else { DAYS.1 });
                return converted(event::DATE_OUT_OF_RANGE);
            }
            Day::Wide { .. } if !time.is_empty() => return lost(event::VALUE_NOT_PARSED),
            Day::Plain | Day::Zero | Day::Wide { .. } => {}
        }
        if time.is_empty() {
            return Ok(Applied::Same);
        }
        if !self.cut {
            return lost(event::VALUE_NOT_PARSED);
        }
        let Some(clock) = Clock::parse(time) else { return lost(event::VALUE_NOT_PARSED) };
        out.extend_from_slice(date);
        if clock.is_midnight() { Ok(Applied::Written) } else { converted(event::DATETIME_CUT) }
    }
}

/// A time, taken apart.
struct Clock<'a> {
    negative: bool,
    hours: u32,
    minutes: u8,
    seconds: u8,
    /// Digits of the fraction without zeros at the end.
    fraction: &'a [u8],
    /// Whether it is in the one form that goes on as it is.
    canonical: bool,
    /// Text of it up to the seconds.
    whole: &'a [u8],
}

impl<'a> Clock<'a> {
    /// `[-]HH:MM[:SS[.f]]`, with a `Z` or `+00` behind for UTC.
    fn parse(text: &'a [u8]) -> Option<Clock<'a>> {
        let bare = [&b"Z"[..], b"+00:00", b"+00"].iter().find_map(|zone| text.strip_suffix(*zone));
        let text_bare = bare.unwrap_or(text);
        let (negative, clock) = match text_bare {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let dot = clock.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = match dot {
            Some(at) => (clock.get(..at)?, clock.get(at + 1..)?),
            None => (clock, &[][..]),
        };
        if dot.is_some() && (fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit)) {
            return None;
        }
        let colon = whole.iter().position(|byte| *byte == b':')?;
        let (hours, rest) = (whole.get(..colon)?, whole.get(colon + 1..)?);
        if !(1..=9).contains(&hours.len()) || !hours.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (minutes, seconds, short) = match rest {
            [a, b] if dot.is_none() => (two(&[*a, *b])?, 0, true),
            [a, b, b':', c, d] => (two(&[*a, *b])?, two(&[*c, *d])?, false),
            _ => return None,
        };
        if minutes > 59 || seconds > 59 {
            return None;
        }
        let zeros = fraction.iter().rev().take_while(|digit| **digit == b'0').count();
        Some(Clock {
            negative,
            hours: hours.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')),
            minutes,
            seconds,
            fraction: fraction.get(..fraction.len() - zeros)?,
            canonical: bare.is_none() && !short && hours.len() >= 2,
            whole,
        })
    }

    fn is_midnight(&self) -> bool {
        self.hours == 0 && self.minutes == 0 && self.seconds == 0 && self.fraction.is_empty()
    }

    /// Writes the time with at most `digits` of its fraction.
    fn write(&self, digits: u8, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        if self.whole.get(1) == Some(&b':') {
            out.push(b'0');
        }
        out.extend_from_slice(self.whole);
        if self.whole.iter().filter(|byte| **byte == b':').count() == 1 {
            out.extend_from_slice(b":00");
        }
        let kept = self.fraction.get(..usize::from(digits)).unwrap_or(self.fraction);
        if !kept.is_empty() {
            out.push(b'.');
            out.extend_from_slice(kept);
        }
    }

    fn fits(&self, digits: u8) -> bool {
        self.fraction.len() <= usize::from(digits)
    }
}

/// Dates with times for a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct DateTimeRule {
    pub date: DateRule,
    /// Digits of the fraction.
    pub digits: u8,
    /// MySQL's TIMESTAMP: 1970 to 2038.
    pub instant: bool,
}

impl DateTimeRule {
    pub(super) fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        let (date, time) = split(value);
        let day = day_of(value, date);
        match day {
            Day::No => return lost(event::VALUE_NOT_PARSED),
            // MySQL keeps the zero instant itself, and no other one with a zero part.
            Day::Zero if !self.date.zero => return lost(event::DATE_ZERO),
            Day::Wide { past } if !self.date.wide || self.instant => {
                let ends = if self.instant { INSTANTS } else { DAYS };
                out.extend_from_slice(if past { ends.0 } else { ends.1 });
                if !self.instant {
                    out.extend_from_slice(if past { b" 00:00:00" } else { b" 23:59:59" });
                    return converted(event::DATE_OUT_OF_RANGE);
                }
                return converted(event::TIMESTAMP_OUT_OF_RANGE);
            }
            Day::Plain | Day::Zero | Day::Wide { .. } => {}
        }
        if matches!(date, b"infinity" | b"-infinity") && time.is_empty() {
            return Ok(Applied::Same);
        }
        let time = time.strip_suffix(b" BC").unwrap_or(time);
        let midnight: &[u8] = b"00:00:00";
        let Some(clock) = Clock::parse(if time.is_empty() || time == b"BC" { midnight } else { time }) else {
            return lost(event::VALUE_NOT_PARSED);
        };
        if clock.negative || clock.hours > 23 {
            return lost(event::VALUE_NOT_PARSED);
        }
        if self.instant && matches!(day, Day::Plain) {
            // Texts of one length compare as the instants do.
            let mut text = Vec::with_capacity(32);
            text.extend_from_slice(date);
            text.push(b' ');
            clock.write(0, &mut text);
            if text.as_slice() < INSTANTS.0 || text.as_slice() > INSTANTS.1 {
                let past = text.as_slice() < INSTANTS.0;
                out.extend_from_slice(if past { INSTANTS.0 } else { INSTANTS.1 });
                return converted(event::TIMESTAMP_OUT_OF_RANGE);
            }
        }
        let is_same = clock.canonical && !time.is_empty() && value.get(date.len()) == Some(&b' ');
        if is_same && clock.fits(self.digits) && time != b"BC" {
            return Ok(Applied::Same);
        }
        out.extend_from_slice(date);
        out.push(b' ');
        clock.write(self.digits, out);
        if value.ends_with(b" BC") {
            out.extend_from_slice(b" BC");
        }
        if clock.fits(self.digits) { Ok(Applied::Written) } else { converted(event::TIME_ROUNDED) }
    }
}

/// Times for a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct TimeRule {
    /// Digits of the fraction.
    pub digits: u8,
    /// Up to 838:59:59 and negative ones, rather than a time of day.
    pub span: bool,
}

impl TimeRule {
    pub(super) fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> Verdict {
        let Some(clock) = Clock::parse(value) else { return lost(event::VALUE_NOT_PARSED) };
        let last = if self.span { (838, 59, 59) } else { (24, 0, 0) };
        let at = (clock.hours, clock.minutes, clock.seconds);
        let is_zero = clock.is_midnight();
        if at > last
            || (at == last && !clock.fraction.is_empty())
            || (clock.negative && !self.span && !is_zero)
        {
            return lost(event::TIME_OUT_OF_RANGE);
        }
        if clock.canonical && clock.fits(self.digits) && !(clock.negative && is_zero) {
            return Ok(Applied::Same);
        }
        let fits = clock.fits(self.digits);
        Clock { negative: clock.negative && !is_zero, ..clock }.write(self.digits, out);
        if fits { Ok(Applied::Written) } else { converted(event::TIME_ROUNDED) }
    }
}
