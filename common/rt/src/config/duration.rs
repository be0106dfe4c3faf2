//! Durations as people write them: `250ms`, `5s`, `1m30s`, `2h`.
//!
//! In: text with a unit, several parts or a fraction allowed; a bare number is refused, because nobody can
//! tell its unit. Out: `Duration`, and the shortest text that means the same.
//! Use: `#[serde(with = "shanty_rt::config::duration")]`.
//! Tests: below.

use serde::{Deserializer, Serializer, de};
use std::time::Duration;

/// Units, longest first, with their nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a duration; write a number with a unit (ns, us, ms, s, m, h, d), for example \"250ms\", \"5s\" or \"1m30s\""
)]
pub struct InvalidDuration(String);

/// Reads a duration.
///
/// # Errors
/// [`InvalidDuration`] with the forms that are allowed.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration(text.to_owned());
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total_ns: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(invalid)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        total_ns = total_ns.checked_add(scaled(number, *unit_ns).ok_or_else(invalid)?).ok_or_else(invalid)?;
        rest = after;
    }
    Ok(Duration::from_nanos(u64::try_from(total_ns).map_err(|_| invalid())?))
}

/// `number × unit_ns`, with a decimal fraction of up to nine digits.
fn scaled(number: &str, unit_ns: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some(u128::from(whole) * u128::from(unit_ns) + u128::from(part) * u128::from(unit_ns) / scale)
}

/// The shortest text that means `duration`: one whole number of its largest unit that divides it.
#[must_use]
pub fn print(duration: Duration) -> String {
    let ns = duration.as_nanos();
    if ns == 0 {
        return "0s".to_owned();
    }
    let (name, unit_ns) = UNITS
        .iter()
        .find(|(_, unit_ns)| ns.is_multiple_of(u128::from(*unit_ns)))
        .copied()
        .unwrap_or(("ns", 1));
    format!("{}{name}", ns / u128::from(unit_ns))
}

/// Writes a duration as text, for serde.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&print(*duration))
}

/// Reads a duration from text, for serde.
///
/// # Errors
/// The text with the forms that are allowed.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Text;
    impl de::Visitor<'_> for Text {
        type Value = String;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a duration with its unit, for example \"5s\" or \"250ms\"")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }
    parse(&deserializer.deserialize_str(Text)?).map_err(de::Error::custom)
}

/// The same for an `Option<Duration>`: `#[serde(with = "shanty_rt::config::duration::option")]`.
pub mod option {
    use super::{Deserializer, Duration, Serializer, de};
    use serde::Deserialize as _;

    /// Writes it as text or nothing.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&super::print(*duration)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads it from text or nothing.
    ///
    /// # Errors
    /// The text with the forms that are allowed.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| super::parse(&text)).transpose().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        for (text, ms) in
            [("250ms", 250), ("5s", 5_000), ("1.5s", 1_500), ("2m", 120_000), ("1m30s", 90_000), ("0s", 0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(parse("50us"), Ok(Duration::from_micros(50)));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_forms() {
        for text in ["", "5", "s", "5 s", "5x", "-1s", "1.s", ".5s", "5s3", "9999999999999999999d"] {
            assert!(parse(text).is_err_and(|e| e.to_string().contains("250ms")), "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        for ns in [0, 1, 1_000, 1_500_000, 1_000_000_000, 90_000_000_000, 86_400_000_000_000, 12_345_678_901]
        {
            let duration = Duration::from_nanos(ns);
            assert_eq!(parse(&print(duration)), Ok(duration), "{}", print(duration));
        }
        assert_eq!(print(Duration::from_secs(90)), "90s");
    }
}
