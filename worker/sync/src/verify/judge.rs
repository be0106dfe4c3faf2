//! Cells that no server hashes portably, hashed here: a source's cell is carried as the copy carries it, and then
//! both ends' cells are written in one form.
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
//! In: cells. Out: a digest of 60 bits. Never: two values that differ in one form, but for what the table says.
//! Tests: below.

use super::json;
use crate::schema::{Applied, Codec, Kind};
use md5::{Digest as _, Md5};
use shanty_model::kind::db_sync::OnLossy;

/// How the cells of one end are hashed.
pub(super) struct Judge {
    cells: Vec<Cell>,
}

struct Cell {
    /// The way to the target; none for the target's own.
    codec: Option<Codec>,
    on_lossy: OnLossy,
    nullable: bool,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Same,
    Json,
    Float32,
    Float64,
    Decimal,
    Fraction,
    Trimmed,
    /// By the tag of the storage class before it.
    Tagged,
}

fn form((source, target): &(Kind, Kind)) -> Form {
    match (source, target) {
        (_, Kind::Json { .. }) => Form::Json,
        (_, Kind::Float { bits: 32 }) => Form::Float32,
        (_, Kind::Float { .. }) => Form::Float64,
        (_, Kind::Decimal { .. }) => Form::Decimal,
        (_, Kind::DateTime { .. } | Kind::Timestamp { .. } | Kind::Time { .. } | Kind::Interval) => {
            Form::Fraction
        }
        (_, Kind::Any) => Form::Tagged,
        (Kind::Char { .. }, Kind::Text { .. }) | (_, Kind::Char { .. }) => Form::Trimmed,
        (Kind::Json { .. }, Kind::Text { .. }) => Form::Json,
        _ => Form::Same,
    }
}

impl Judge {
    /// The source's end; kinds are those of source and target.
    pub(super) fn of_source(
        codecs: Vec<Codec>,
        kinds: Vec<(Kind, Kind)>,
        nullable: Vec<bool>,
        on_lossy: OnLossy,
    ) -> Judge {
        let cells = codecs.into_iter().zip(kinds).zip(nullable).map(|((codec, kinds), nullable)| Cell {
            codec: Some(codec),
            on_lossy,
            nullable,
            form: form(&kinds),
        });
        Judge { cells: cells.collect() }
    }

    /// The target's end.
    pub(super) fn of_target(kinds: Vec<(Kind, Kind)>) -> Judge {
        let cell = |kinds| Cell { codec: None, on_lossy: OnLossy::Error, nullable: true, form: form(&kinds) };
        Judge { cells: kinds.into_iter().map(cell).collect() }
    }

    /// Adds cell number `at` to a row's digest. `made` and `formed` are memory used again.
    pub(super) fn add(&self, at: usize, value: Option<&[u8]>, digest: &mut Md5, scratch: &mut Scratch) {
        let Scratch { made, formed } = scratch;
        let Some(cell) = self.cells.get(at) else { return };
        let value = match (&cell.codec, value) {
            (_, None) => None,
            (None, Some(value)) => Some(value),
            (Some(codec), Some(value)) if codec.is_identity() => Some(value),
            (Some(codec), Some(value)) => match codec.apply(value, made) {
                Ok(Applied::Same) => Some(value),
                Ok(Applied::Written) => Some(made.as_slice()),
                Err(lossy) if cell.on_lossy == OnLossy::Convert && lossy.converted => Some(made.as_slice()),
                Err(_) if cell.on_lossy == OnLossy::SetNull && cell.nullable => None,
                // The copy could not write it, so nothing in the target is equal to it.
                Err(lossy) => {
                    digest.update(b"?");
                    Some(lossy.event.as_bytes())
                }
            },
        };
        let Some(value) = value else {
            digest.update(b"N");
            return;
        };
        formed.clear();
        cell.form.write(value, formed);
        digest.update(formed.len().to_string());
        digest.update(b":");
        digest.update(&formed);
    }
}

/// Memory that is used from cell to cell.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    made: Vec<u8>,
    formed: Vec<u8>,
}

impl Form {
    fn write(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Form::Same => out.extend_from_slice(value),
            Form::Json => json::write(value, out),
            Form::Float32 => match parse::<f32>(value) {
                Some(number) if number.is_nan() => out.extend_from_slice(b"NaN"),
                Some(number) => out.extend_from_slice(&number.to_bits().to_be_bytes()),
                None => out.extend_from_slice(value),
            },
            Form::Float64 => match parse::<f64>(value) {
                Some(number) if number.is_nan() => out.extend_from_slice(b"NaN"),
                Some(number) => out.extend_from_slice(&number.to_bits().to_be_bytes()),
                None => out.extend_from_slice(value),
            },
            Form::Decimal => decimal(value, out),
            Form::Fraction => out.extend_from_slice(without_zeros(value)),
            Form::Trimmed => out.extend_from_slice(trimmed(value, b' ')),
            Form::Tagged => match value.split_first() {
                Some((b'f', number)) => {
                    out.push(b'f');
                    Form::Float64.write(number, out);
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
pub(super) fn decimal(value: &[u8], out: &mut Vec<u8>) {
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
    let digits: Vec<u8> = whole.iter().chain(fraction).copied().collect();
    let Some(power) = power.filter(|_| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)) else {
        out.extend_from_slice(value);
        return;
    };
    let significant = trimmed(&digits, b'0');
    let dropped = digits.len() - significant.len();
    let first = significant.iter().position(|byte| *byte != b'0');
    let Some(significant) = first.and_then(|first| significant.get(first..)) else {
        out.push(b'0');
        return;
    };
    if negative {
        out.push(b'-');
    }
    out.extend_from_slice(significant);
    let shift = i64::try_from(dropped).unwrap_or(0) - i64::try_from(fraction.len()).unwrap_or(0);
    out.push(b'e');
    out.extend_from_slice(power.saturating_add(shift).to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, value: &str) -> String {
        let mut out = Vec::new();
        form.write(value.as_bytes(), &mut out);
        out.escape_ascii().to_string()
    }

    #[test]
    fn equal_numbers_have_one_form_and_others_do_not() {
        for (a, b) in
            [("1.50", "1.5"), ("100", "1e2"), ("-0.0010", "-1E-3"), ("0", "-0.00"), ("12e-1", "1.2")]
        {
            assert_eq!(written(Form::Decimal, a), written(Form::Decimal, b), "{a} {b}");
        }
        for (a, b) in [
            ("1.5", "1.51"),
            ("1", "-1"),
            ("1", "10"),
            ("NaN", "0"),
            ("12345678901234567890", "12345678901234567891"),
        ] {
            assert_ne!(written(Form::Decimal, a), written(Form::Decimal, b), "{a} {b}");
        }
    }

    #[test]
    fn floats_are_compared_by_their_bits() {
        assert_eq!(written(Form::Float64, "0.1"), written(Form::Float64, "1.0e-1"));
        assert_ne!(written(Form::Float64, "-0"), written(Form::Float64, "0"));
        assert_eq!(written(Form::Float32, "0.1"), written(Form::Float32, "0.100000001"));
        assert_ne!(written(Form::Float64, "0.1"), written(Form::Float64, "0.10000000000000002"));
        assert_ne!(written(Form::Float64, "Infinity"), written(Form::Float64, "NaN"));
    }

    #[test]
    fn times_and_padded_texts_end_alike() {
        assert_eq!(written(Form::Fraction, "2024-01-01 00:00:00.500000"), "2024-01-01 00:00:00.5");
        assert_eq!(written(Form::Fraction, "10:00:00.000"), "10:00:00");
        assert_eq!(written(Form::Fraction, "2024-01-10"), "2024-01-10");
        assert_eq!(written(Form::Trimmed, "a b  "), "a b");
    }
}
