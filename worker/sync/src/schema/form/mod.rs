//! Values of one kind in a form in which equal ones are equal bytes, however an engine prints them.
//!
//! | the target's kind | form |
//! |---|---|
//! | Json | see `json` |
//! | Float | its bits; all NaN are one |
//! | Decimal | digits without zeros at the ends, and the power of ten |
//! | times | without zeros at the end of the fraction |
//! | Char at either end | without blanks at the end |
//! | all others | the text itself |
//!
//! In: cells. Out: bytes. Never: two values that differ in one form, but for what the table says; memory of its own for a
//! cell, but for JSON. Tests: below.

mod json;

use super::Kind;
use crate::db::Engine;
use std::io::Write as _;

/// How a cell is written so that it can be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellForm {
    /// As it is.
    Same,
    /// A document.
    Json,
    /// A number of 32 bits.
    Float32,
    /// A number of 64 bits.
    Float64,
    /// Decimal digits.
    Decimal,
    /// A time, with a fraction of a second.
    Fraction,
    /// Padded with blanks.
    Trimmed,
    /// By the tag of the storage class before it.
    Tagged,
}

impl CellForm {
    /// The form of a column's values at both ends.
    #[must_use]
    pub fn of(source: &Kind, target: &Kind) -> CellForm {
        match (source, target) {
            (_, Kind::Json { .. }) => CellForm::Json,
            (_, Kind::Float { bits: 32 }) => CellForm::Float32,
            (_, Kind::Float { .. }) => CellForm::Float64,
            (_, Kind::Decimal { .. }) => CellForm::Decimal,
            (_, Kind::DateTime { .. } | Kind::Timestamp { .. } | Kind::Time { .. } | Kind::Interval) => {
                CellForm::Fraction
            }
            (_, Kind::Any) => CellForm::Tagged,
            (Kind::Char { .. }, Kind::Text { .. }) | (_, Kind::Char { .. }) => CellForm::Trimmed,
            (Kind::Json { .. }, Kind::Text { .. }) => CellForm::Json,
            _ => CellForm::Same,
        }
    }

    /// The same, cheaper where both ends print equal values alike: one engine, one kind. JSON is kept as a text by some
    /// servers of an engine and in a form of their own by others; floating point may be printed with other digits.
    #[must_use]
    pub fn between(from: Engine, source: &Kind, to: Engine, target: &Kind) -> CellForm {
        match CellForm::of(source, target) {
            form @ (CellForm::Json | CellForm::Float32 | CellForm::Float64 | CellForm::Tagged) => form,
            _ if from == to && source == target => CellForm::Same,
            form => form,
        }
    }

    /// Appends a cell in this form.
    pub fn write(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            CellForm::Same => out.extend_from_slice(value),
            CellForm::Json => json::write(value, out),
            CellForm::Float32 => match parse::<f32>(value) {
                Some(number) if number.is_nan() => out.extend_from_slice(b"NaN"),
                Some(number) => out.extend_from_slice(&number.to_bits().to_be_bytes()),
                None => out.extend_from_slice(value),
            },
            CellForm::Float64 => match parse::<f64>(value) {
                Some(number) if number.is_nan() => out.extend_from_slice(b"NaN"),
                Some(number) => out.extend_from_slice(&number.to_bits().to_be_bytes()),
                None => out.extend_from_slice(value),
            },
            CellForm::Decimal => decimal(value, out),
            CellForm::Fraction => out.extend_from_slice(without_zeros(value)),
            CellForm::Trimmed => out.extend_from_slice(trimmed(value, b' ')),
            CellForm::Tagged => match value.split_first() {
                Some((b'f', number)) => {
                    out.push(b'f');
                    CellForm::Float64.write(number, out);
                }
                _ => out.extend_from_slice(value),
            },
        }
    }
}

fn parse<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn trimmed(value: &[u8], byte: u8) -> &[u8] {
    let end = value.iter().rposition(|other| *other != byte).map_or(0, |last| last + 1);
    value.get(..end).unwrap_or_default()
}

/// A time without zeros at the end of its fraction.
fn without_zeros(value: &[u8]) -> &[u8] {
    let is_fraction = |rest: &[u8]| rest.iter().all(u8::is_ascii_digit);
    match value.iter().rposition(|byte| *byte == b'.') {
        Some(point) if is_fraction(value.get(point + 1..).unwrap_or_default()) => {
            trimmed(trimmed(value, b'0'), b'.')
        }
        _ => value,
    }
}

/// A number's digits without zeros at the ends, then the power of ten by which they count; what is no number stays.
fn decimal(value: &[u8], out: &mut Vec<u8>) {
    let (negative, rest) = match value.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, value),
    };
    let at = rest.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(rest.len());
    let (mantissa, power) = rest.split_at(at);
    let power = match power.get(1..) {
        None => Some(0),
        Some(digits) => parse::<i64>(digits),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let (whole, fraction) = mantissa.split_at(point);
    let fraction = fraction.get(1..).unwrap_or_default();
    let digits = || whole.iter().chain(fraction).copied();
    let count = whole.len() + fraction.len();
    let Some(power) = power.filter(|_| count > 0 && digits().all(|digit| digit.is_ascii_digit())) else {
        out.extend_from_slice(value);
        return;
    };
    let zero = |digit: &u8| *digit == b'0';
    let leading = digits().take_while(zero).count();
    if leading == count {
        out.push(b'0');
        return;
    }
    let dropped = digits().rev().take_while(zero).count();
    if negative {
        out.push(b'-');
    }
    out.extend(digits().take(count - dropped).skip(leading));
    let shift = i64::try_from(dropped).unwrap_or(0) - i64::try_from(fraction.len()).unwrap_or(0);
    // Writing to a Vec cannot fail.
    let _never = write!(out, "e{}", power.saturating_add(shift));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: CellForm, value: &str) -> String {
        let mut out = Vec::new();
        form.write(value.as_bytes(), &mut out);
        out.escape_ascii().to_string()
    }

    #[test]
    fn equal_numbers_have_one_form_and_others_do_not() {
        for (a, b) in
            [("1.50", "1.5"), ("100", "1e2"), ("-0.0010", "-1E-3"), ("0", "-0.00"), ("12e-1", "1.2")]
        {
            assert_eq!(written(CellForm::Decimal, a), written(CellForm::Decimal, b), "{a} {b}");
        }
        for (a, b) in [
            ("1.5", "1.51"),
            ("1", "-1"),
            ("1", "10"),
            ("NaN", "0"),
            ("12345678901234567890", "12345678901234567891"),
        ] {
            assert_ne!(written(CellForm::Decimal, a), written(CellForm::Decimal, b), "{a} {b}");
        }
    }

    #[test]
    fn floats_are_compared_by_their_bits() {
        assert_eq!(written(CellForm::Float64, "0.1"), written(CellForm::Float64, "1.0e-1"));
        assert_ne!(written(CellForm::Float64, "-0"), written(CellForm::Float64, "0"));
        assert_eq!(written(CellForm::Float32, "0.1"), written(CellForm::Float32, "0.100000001"));
        assert_ne!(written(CellForm::Float64, "0.1"), written(CellForm::Float64, "0.10000000000000002"));
        assert_ne!(written(CellForm::Float64, "Infinity"), written(CellForm::Float64, "NaN"));
    }

    #[test]
    fn times_and_padded_texts_end_alike() {
        assert_eq!(written(CellForm::Fraction, "2024-01-01 00:00:00.500000"), "2024-01-01 00:00:00.5");
        assert_eq!(written(CellForm::Fraction, "10:00:00.000"), "10:00:00");
        assert_eq!(written(CellForm::Fraction, "2024-01-10"), "2024-01-10");
        assert_eq!(written(CellForm::Trimmed, "a b  "), "a b");
    }

    #[test]
    fn one_engine_prints_one_kind_in_one_way() {
        let decimal = |scale| Kind::Decimal { size: Some((12, scale)), unsigned: false };
        let between = |from, source: &Kind, to, target: &Kind| CellForm::between(from, source, to, target);
        let (mysql, postgres) = (Engine::Mysql, Engine::Postgres);
        assert_eq!(between(mysql, &decimal(2), mysql, &decimal(2)), CellForm::Same);
        assert_eq!(between(mysql, &decimal(2), mysql, &decimal(3)), CellForm::Decimal);
        assert_eq!(between(mysql, &decimal(2), postgres, &decimal(2)), CellForm::Decimal);
        let json = Kind::Json { binary: true };
        assert_eq!(between(mysql, &json, mysql, &json), CellForm::Json);
    }
}
