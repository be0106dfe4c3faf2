//! Rows encoded in COPY's binary form: the server has nothing to parse, which is a third of its work, and hashes the very
//! bytes that are hashed here.
//!
//! In: cells in the text of their kinds. Out: raw rows. Never: a value that is not its text's; a kind whose binary form
//! depends on the database.
//! Tests: below; against a server in `worker/sync/tests/databases/postgres.rs`.

use super::types;
use crate::db::{NotOfItsKind, RowEncoder};
use crate::schema::{Column, Kind};

/// From 0000-03-01 to 2000-01-01, days.
const TO_2000: i64 = 730_425;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// How a column's text becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It is them.
    Same,
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// With as many digits after the point.
    Numeric(Option<u16>),
    Date,
    Moment,
    Uuid,
}

fn form(column: &Column) -> Option<Form> {
    if !types::travels_raw(column) {
        return None;
    }
    match column.kind {
        Kind::Char { .. } | Kind::Text { .. } | Kind::Enum { .. } | Kind::Bytes { .. } => Some(Form::Same),
        Kind::Bool => Some(Form::Bool),
        Kind::Int { bits: 16, unsigned: false } => Some(Form::Int2),
        Kind::Int { bits: 32, unsigned: false } => Some(Form::Int4),
        Kind::Int { bits: 64, unsigned: false } => Some(Form::Int8),
        Kind::Float { bits: 32 } => Some(Form::Float4),
        Kind::Float { bits: 64 } => Some(Form::Float8),
        Kind::Decimal { size, .. } => Some(Form::Numeric(size.map(|(_, scale)| scale))),
        Kind::Date => Some(Form::Date),
        Kind::DateTime { .. } | Kind::Timestamp { .. } => Some(Form::Moment),
        Kind::Uuid => Some(Form::Uuid),
        _ => None,
    }
}

/// Encodes rows in COPY's binary form.
#[derive(Debug)]
pub(super) struct BinaryEncoder {
    forms: Vec<Form>,
    /// What begins a row: how many fields it has.
    head: [u8; 2],
}

impl BinaryEncoder {
    /// An encoder for these target columns; none when a column's binary form is not known here.
    pub(super) fn new(columns: &[Column]) -> Option<BinaryEncoder> {
        let head = i16::try_from(columns.len()).ok()?.to_be_bytes();
        Some(BinaryEncoder { forms: columns.iter().map(form).collect::<Option<_>>()?, head })
    }
}

impl RowEncoder for BinaryEncoder {
    fn cell(&self, column: usize, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), NotOfItsKind> {
        if column == 0 {
            out.extend_from_slice(&self.head);
        }
        let Some(value) = value else {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        };
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        let form = self.forms.get(column).copied().unwrap_or(Form::Same);
        write(form, value, out).ok_or(NotOfItsKind)?;
        let length = i32::try_from(out.len() - at - 4).map_err(|_| NotOfItsKind)?;
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    fn end_row(&self, _out: &mut Vec<u8>) {}

    fn is_raw(&self) -> bool {
        true
    }
}

/// Appends the bytes of a value; none when its text is not one of the form.
fn write(form: Form, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match form {
        Form::Same => out.extend_from_slice(value),
        Form::Bool => out.push(match value {
            b"0" => 0,
            b"1" => 1,
            _ => return None,
        }),
        Form::Int2 => out.extend_from_slice(&i16::try_from(whole(value)?).ok()?.to_be_bytes()),
        Form::Int4 => out.extend_from_slice(&i32::try_from(whole(value)?).ok()?.to_be_bytes()),
        Form::Int8 => out.extend_from_slice(&whole(value)?.to_be_bytes()),
        Form::Float4 => {
            let float: f32 = text(value)?.parse().ok()?;
            is_in_range(value, float.into()).then(|| out.extend_from_slice(&float.to_be_bytes()))?;
        }
        Form::Float8 => {
            let float: f64 = text(value)?.parse().ok()?;
            is_in_range(value, float).then(|| out.extend_from_slice(&float.to_be_bytes()))?;
        }
        Form::Numeric(scale) => numeric(value, scale, out)?,
        Form::Date => {
            let days = match value {
                b"infinity" => i32::MAX,
                b"-infinity" => i32::MIN,
                _ => {
                    let (date, is_before) = era(value);
                    i32::try_from(day(date, is_before)?).ok()?
                }
            };
            out.extend_from_slice(&days.to_be_bytes());
        }
        Form::Moment => {
            let micros = match value {
                b"infinity" => i64::MAX,
                b"-infinity" => i64::MIN,
                _ => moment(value)?,
            };
            out.extend_from_slice(&micros.to_be_bytes());
        }
        Form::Uuid => uuid(value, out)?,
    }
    Some(())
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

fn whole(value: &[u8]) -> Option<i64> {
    text(value)?.parse().ok()
}

/// Whether a number that was read is infinite or zero only if its text says so: what is too large or too small for its
/// type is refused here as the server refuses its text.
fn is_in_range(text: &[u8], float: f64) -> bool {
    if float.is_infinite() {
        return !text.iter().any(u8::is_ascii_digit);
    }
    let mantissa = text.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
    float != 0.0 || !mantissa.iter().any(|byte| matches!(byte, b'1'..=b'9'))
}

/// Digits alone, at least one.
fn digits(value: &[u8]) -> Option<i64> {
    if value.is_empty() || value.len() > 9 {
        return None;
    }
    value.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// Groups of four decimal digits around the point, without those of zeros at both ends.
fn numeric(value: &[u8], scale: Option<u16>, out: &mut Vec<u8>) -> Option<()> {
    // The scale of 32 is what a server sends of an infinity, whatever it was given.
    let special = match value {
        b"NaN" => Some([0, 0, 0xc000, 0]),
        b"Infinity" => Some([0, 0, 0xd000, 32]),
        b"-Infinity" => Some([0, 0, 0xf000, 32]),
        _ => None,
    };
    if let Some(head) = special {
        out.extend_from_slice(&words(head));
        return Some(());
    }
    let (is_negative, plain) = match value {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let point = plain.iter().position(|byte| *byte == b'.');
    let (before, after) = match point {
        Some(at) => (plain.get(..at)?, plain.get(at + 1..)?),
        None => (plain, &[][..]),
    };
    let is_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if before.is_empty() && after.is_empty() || !is_digits(before) || !is_digits(after) {
        return None;
    }
    // Digits that the column does not have are left to the server, which rounds.
    let given = after.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    let scale = match scale {
        Some(scale) => usize::from(scale).max(given),
        None => after.len(),
    };
    let at = out.len();
    out.extend_from_slice(&[0; 8]);
    let start = out.len();
    let (first, rest) = before.split_at(before.len() % 4);
    let mut weight = i32::try_from(before.len().div_ceil(4)).ok()? - 1;
    let groups = std::iter::once(first).filter(|first| !first.is_empty()).chain(rest.chunks(4));
    let after = after.get(..given).unwrap_or_default().chunks(4);
    let mut group = |digits: &[u8], width: usize| {
        let value = digits.iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        let value = (digits.len()..width).fold(value, |value, _| value * 10);
        if value == 0 && out.len() == start {
            weight -= 1;
        } else {
            out.extend_from_slice(&value.to_be_bytes());
        }
    };
    groups.for_each(|digits| group(digits, 0));
    after.for_each(|digits| group(digits, 4));
    while out.len() > start && out.ends_with(&[0, 0]) {
        out.truncate(out.len() - 2);
    }
    let count = u16::try_from((out.len() - start) / 2).ok()?;
    let (weight, sign) = if count == 0 { (0, 0) } else { (weight, if is_negative { 0x4000 } else { 0 }) };
    let head = [count, i16::try_from(weight).ok()?.cast_unsigned(), sign, u16::try_from(scale).ok()?];
    out.get_mut(at..start)?.copy_from_slice(&words(head));
    Some(())
}

/// What stands before the groups of a number: how many they are, the weight of the first one, the sign, digits after the
/// point.
fn words(head: [u16; 4]) -> [u8; 8] {
    let mut bytes = [0; 8];
    for (place, word) in bytes.chunks_exact_mut(2).zip(head) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// A value without its era, and whether that is the one before ours.
fn era(value: &[u8]) -> (&[u8], bool) {
    match value.strip_suffix(b" BC") {
        Some(rest) => (rest, true),
        None => (value, false),
    }
}

/// Days since 2000-01-01 of `YYYY-MM-DD`, in the proleptic Gregorian calendar. A year may have more digits.
fn day(text: &[u8], is_before: bool) -> Option<i64> {
    let (year, rest) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let [b'-', m1, m2, b'-', d1, d2] = rest else { return None };
    if !(4..=7).contains(&year.len()) {
        return None;
    }
    let (year, month, of_month) = (digits(year)?, digits(&[*m1, *m2])?, digits(&[*d1, *d2])?);
    if year == 0 {
        return None;
    }
    let year = if is_before { 1 - year } else { year };
    let is_leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let last = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&of_month) {
        return None;
    }
    // Years from March, eras of 400 of them.
    let from_march = year - i64::from(month <= 2);
    let (era, of_era) = (from_march.div_euclid(400), from_march.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + of_month - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - TO_2000)
}

/// Microseconds since 2000-01-01 00:00 of `YYYY-MM-DD HH:MM:SS[.ffffff]`.
fn moment(value: &[u8]) -> Option<i64> {
    let (text, is_before) = era(value);
    let blank = text.iter().position(|byte| *byte == b' ')?;
    let (date, clock) = (text.get(..blank)?, text.get(blank + 1..)?);
    let (seconds, fraction) = clock.split_at_checked(8)?;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = seconds else { return None };
    let (hours, minutes, seconds) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?, digits(&[*s1, *s2])?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let micros = match fraction {
        [] => 0,
        [b'.', digits_of @ ..] if digits_of.len() <= 6 => {
            (digits_of.len()..6).try_fold(digits(digits_of)?, |value, _| value.checked_mul(10))?
        }
        _ => return None,
    };
    let clock = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros;
    day(date, is_before)?.checked_mul(DAY)?.checked_add(clock)
}

fn uuid(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut digits = value.iter().filter(|byte| **byte != b'-').map(|byte| char::from(*byte).to_digit(16));
    let start = out.len();
    while let Some(high) = digits.next() {
        out.push(u8::try_from(high? * 16 + digits.next()??).ok()?);
    }
    (out.len() - start == 16).then_some(())
}

#[cfg(test)]
mod tests {
    use super::super::raw;
    use super::*;
    use proptest::prelude::*;

    fn column(kind: Kind) -> Column {
        Column {
            name: "c".to_owned(),
            native: String::new(),
            kind,
            nullable: true,
            generated: false,
            auto: false,
            default: None,
            collation: None,
        }
    }

    fn encoded(kind: &Kind, value: &str) -> Option<Vec<u8>> {
        let encoder = BinaryEncoder::new(&[column(kind.clone())]).expect("a kind that is known");
        let mut row = Vec::new();
        encoder.cell(0, Some(value.as_bytes()), &mut row).ok()?;
        encoder.end_row(&mut row);
        Some(row)
    }

    /// What is read of it again as a key.
    fn again(kind: &Kind, value: &str) -> Option<String> {
        raw::key(&column(kind.clone()), 0, &encoded(kind, value)?)
    }

    const fn int(bits: u8) -> Kind {
        Kind::Int { bits, unsigned: false }
    }

    const fn decimal(size: Option<(u16, u16)>) -> Kind {
        Kind::Decimal { size, unsigned: false }
    }

    const MOMENT: Kind = Kind::DateTime { digits: 6 };

    #[test]
    fn values_are_read_again_as_they_were() {
        let cases: &[(Kind, &[&str])] = &[
            (int(16), &["-32768", "0", "32767"]),
            (int(32), &["-2147483648", "7"]),
            (int(64), &["-9223372036854775808", "9223372036854775807"]),
            (
                decimal(None),
                &[
                    "0",
                    "-1.50",
                    "0.00010",
                    "120034",
                    "10000",
                    "0.0000123",
                    "123456789.000100",
                    "NaN",
                    "-Infinity",
                ],
            ),
            (decimal(Some((20, 2))), &["0.00", "-0.01", "99999999.90", "10000.00"]),
            (
                Kind::Date,
                &[
                    "2000-01-01",
                    "2000-02-29",
                    "0001-01-01",
                    "0001-12-31 BC",
                    "0044-03-15 BC",
                    "12345-06-07",
                    "infinity",
                    "-infinity",
                ],
            ),
            (
                MOMENT,
                &[
                    "1999-12-31 23:59:59.999999",
                    "2024-02-29 00:00:00",
                    "0044-03-15 12:00:00.5 BC",
                    "294276-12-31 23:59:59",
                    "infinity",
                ],
            ),
            (Kind::Uuid, &["00010203-0405-0607-0809-0a0b0c0d0e0f"]),
            (Kind::Text { limit: None }, &["", "naïve"]),
        ];
        for (kind, values) in cases {
            for value in *values {
                assert_eq!(again(kind, value).as_deref(), Some(*value), "{kind:?}");
            }
        }
        for float in ["0", "-0", "0e9", "Infinity", "-Infinity", "NaN", "5e-324", "1.7976931348623157e308"] {
            assert!(encoded(&Kind::Float { bits: 64 }, float).is_some(), "{float}");
        }
        // As the column has it, not as it was given.
        assert_eq!(again(&decimal(Some((20, 2))), "-5").as_deref(), Some("-5.00"));
        assert_eq!(again(&decimal(Some((20, 2))), "1.5000").as_deref(), Some("1.50"));
        assert_eq!(again(&decimal(Some((20, 2))), "1.555").as_deref(), Some("1.555"), "the server rounds");
        assert_eq!(encoded(&decimal(None), "-0.00"), encoded(&decimal(None), "0.00"));
        assert_eq!(encoded(&decimal(None), "000.5"), encoded(&decimal(None), "0.5"));
        assert_eq!(encoded(&decimal(None), ".5"), encoded(&decimal(None), "0.5"));
    }

    #[test]
    fn a_row_is_its_count_and_its_fields() {
        let encoder =
            BinaryEncoder::new(&[column(Kind::Bool), column(int(16)), column(Kind::Float { bits: 32 })]);
        let encoder = encoder.unwrap();
        let mut row = Vec::new();
        for (at, value) in [Some(&b"1"[..]), None, Some(b"-0.5")].into_iter().enumerate() {
            encoder.cell(at, value, &mut row).unwrap();
        }
        assert_eq!(row, [0, 3, 0, 0, 0, 1, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 4, 0xbf, 0, 0, 0]);
    }

    #[test]
    fn what_is_no_value_of_its_kind_is_refused() {
        let cases: &[(Kind, &[&str])] = &[
            (Kind::Bool, &["", "2", "true"]),
            (int(16), &["", "32768", "-", "1.0", "abc"]),
            (decimal(None), &["", ".", "-", "1e5", "1.2.3", "x", "infinity"]),
            (
                Kind::Date,
                &[
                    "",
                    "2023-02-29",
                    "1900-02-29",
                    "2024-13-01",
                    "2024-00-01",
                    "2024-01-00",
                    "0000-00-00",
                    "24-01-01",
                    "2024-01-01 00:00:00",
                    "٢٠٢٤-01-01",
                ],
            ),
            (
                MOMENT,
                &[
                    "2024-01-01",
                    "2024-01-01 24:00:00",
                    "2024-01-01 00:60:00",
                    "2024-01-01 00:00:00.",
                    "2024-01-01 00:00:00.1234567",
                    "2024-01-01T00:00:00",
                    "2024-01-01 00:00:00+00",
                ],
            ),
            (
                Kind::Uuid,
                &["", "00010203-0405-0607-0809-0a0b0c0d0e0", "00010203-0405-0607-0809-0a0b0c0d0e0g"],
            ),
            (Kind::Float { bits: 64 }, &["", "x", "1,5", "1e400", "-1e400", "1e-400"]),
            (Kind::Float { bits: 32 }, &["1e39", "1e-46"]),
        ];
        for (kind, values) in cases {
            for value in *values {
                assert_eq!(encoded(kind, value), None, "{kind:?} {value:?}");
            }
        }
    }

    #[test]
    fn a_table_with_another_kind_goes_as_text() {
        let other = column(Kind::Other { native: "point".to_owned(), bytes: false });
        assert!(BinaryEncoder::new(&[column(int(64)), other]).is_none());
        let citext = Column { native: "citext".to_owned(), ..column(Kind::Text { limit: None }) };
        assert!(BinaryEncoder::new(&[citext]).is_none());
    }

    proptest! {
        #[test]
        fn numbers_are_read_again(whole in any::<i128>(), fraction in 0_u32..1_000_000, digits in 0_usize..=6) {
            let fraction = format!("{fraction:06}");
            let fraction = fraction.get(..digits).unwrap();
            let text = if digits == 0 { whole.to_string() } else { format!("{whole}.{fraction}") };
            prop_assert_eq!(again(&decimal(None), &text), Some(text));
        }

        #[test]
        fn every_day_is_read_again(days in -1_000_000_i32..100_000_000) {
            let mut row = vec![0, 1, 0, 0, 0, 4];
            row.extend(days.to_be_bytes());
            let text = raw::key(&column(Kind::Date), 0, &row).unwrap();
            prop_assert_eq!(encoded(&Kind::Date, &text), Some(row));
        }

        #[test]
        fn every_moment_is_read_again(micros in -60_000_000_000_000_000_i64..9_000_000_000_000_000_000) {
            let mut row = vec![0, 1, 0, 0, 0, 8];
            row.extend(micros.to_be_bytes());
            let text = raw::key(&column(MOMENT), 0, &row).unwrap();
            prop_assert_eq!(encoded(&MOMENT, &text), Some(row));
        }
    }
}
