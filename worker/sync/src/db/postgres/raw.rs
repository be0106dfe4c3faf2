//! Rows in COPY's binary form: cutting a stream into rows, and reading keys.
//!
//! In: messages of a binary COPY; rows. Out: whole rows; key texts as [`Dialect::key_select`] gives them.
//! Never: a change of a row. Tests: below; against a server in `worker/sync/tests/databases/postgres.rs`.
//!
//! A row is the count of its fields (16 bits) and, for each, its length (32 bits, −1 for NULL) and its bytes. A
//! header stands before the first row, the count −1 after the last.
//!
//! [`Dialect::key_select`]: crate::db::Dialect::key_select

use super::read::misread;
use crate::db::{DbError, RowSink};
use crate::schema::{Column, Kind};
use std::fmt::Write as _;
use std::ops::ControlFlow;

/// What begins a COPY: signature, flags, length of an extension.
pub(super) const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What ends it.
pub(super) const TRAILER: [u8; 2] = [0xff, 0xff];

/// Cuts messages into rows.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// Whether the header is behind.
    has_begun: bool,
    /// Whether the trailer is behind.
    has_ended: bool,
    /// What begins in one message and ends in a later one.
    carried: Vec<u8>,
}

/// What stands at the beginning of some bytes.
enum Next {
    Row(usize),
    Trailer,
    Incomplete,
}

impl Splitter {
    pub(super) fn new() -> Splitter {
        Splitter::default()
    }

    /// One message.
    pub(super) fn take(&mut self, bytes: &[u8], sink: &mut dyn RowSink) -> Result<ControlFlow<()>, DbError> {
        if self.carried.is_empty() {
            let (flow, used) = self.rows(bytes, sink)?;
            self.carried.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(flow);
        }
        let mut carried = std::mem::take(&mut self.carried);
        carried.extend_from_slice(bytes);
        let (flow, used) = self.rows(&carried, sink)?;
        carried.drain(..used);
        self.carried = carried;
        Ok(flow)
    }

    /// The whole rows at the beginning of `bytes`, and their length together.
    fn rows(&mut self, bytes: &[u8], sink: &mut dyn RowSink) -> Result<(ControlFlow<()>, usize), DbError> {
        let mut at = 0;
        if !self.has_begun {
            let Some(head) = bytes.get(..HEADER.len()) else { return Ok((ControlFlow::Continue(()), 0)) };
            let extension = length(head.get(15..)).ok_or_else(misread)?;
            if !head.starts_with(HEADER.get(..11).unwrap_or_default()) {
                return Err(misread());
            }
            at = HEADER.len() + usize::try_from(extension).map_err(|_| misread())?;
            if bytes.len() < at {
                return Ok((ControlFlow::Continue(()), 0));
            }
            self.has_begun = true;
        }
        while !self.has_ended {
            let rest = bytes.get(at..).unwrap_or_default();
            match next(rest)? {
                Next::Row(end) => {
                    at += end;
                    if sink.raw_row(rest.get(..end).unwrap_or_default()).is_break() {
                        return Ok((ControlFlow::Break(()), at));
                    }
                }
                Next::Trailer => {
                    at += TRAILER.len();
                    self.has_ended = true;
                }
                Next::Incomplete => break,
            }
        }
        Ok((ControlFlow::Continue(()), at))
    }

    pub(super) fn forget(&mut self) {
        self.carried.clear();
    }

    /// An error when the stream ended before its trailer.
    pub(super) fn end(&self) -> Result<(), DbError> {
        if self.has_ended && self.carried.is_empty() { Ok(()) } else { Err(misread()) }
    }
}

fn next(bytes: &[u8]) -> Result<Next, DbError> {
    let Some(count) = bytes.first_chunk() else { return Ok(Next::Incomplete) };
    let count = i16::from_be_bytes(*count);
    if count == -1 {
        return Ok(Next::Trailer);
    }
    let mut at = 2;
    for _ in 0..count {
        let Some(length) = length(bytes.get(at..)) else { return Ok(Next::Incomplete) };
        at += 4;
        if length >= 0 {
            at += usize::try_from(length).map_err(|_| misread())?;
        } else if length != -1 {
            return Err(misread());
        }
    }
    Ok(if at <= bytes.len() { Next::Row(at) } else { Next::Incomplete })
}

fn length(bytes: Option<&[u8]>) -> Option<i32> {
    bytes?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

/// The fields of a row in their order; none for NULL.
pub(super) fn fields(row: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = row.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (head, after) = rest.split_first_chunk()?;
        match usize::try_from(i32::from_be_bytes(*head)) {
            Ok(length) => {
                let (field, next) = after.split_at_checked(length)?;
                rest = next;
                Some(Some(field))
            }
            Err(_null) => {
                rest = after;
                Some(None)
            }
        }
    })
}

/// The field `index` of a row; none for NULL or no such field.
fn field(row: &[u8], index: usize) -> Option<&[u8]> {
    fields(row).nth(index)?
}

/// Whether [`key`] reads values of the column.
pub(super) fn reads_key(column: &Column) -> bool {
    match column.kind {
        Kind::Bool
        | Kind::Int { .. }
        | Kind::Decimal { .. }
        | Kind::Date
        | Kind::Time { span: false, .. }
        | Kind::DateTime { .. }
        | Kind::Timestamp { .. }
        | Kind::Char { .. }
        | Kind::Text { .. }
        | Kind::Bytes { .. }
        | Kind::Uuid
        | Kind::Enum { .. } => true,
        Kind::Float { .. }
        | Kind::Time { span: true, .. }
        | Kind::Year
        | Kind::Binary { .. }
        | Kind::Bit { .. }
        | Kind::Json { .. }
        | Kind::Set { .. }
        | Kind::Interval
        | Kind::Other { .. }
        | Kind::Any => false,
    }
}

/// See [`Dialect::raw_key`](crate::db::Dialect::raw_key).
pub(super) fn key(column: &Column, index: usize, row: &[u8]) -> Option<String> {
    let value = field(row, index)?;
    match &column.kind {
        Kind::Bool => value.first().map(|byte| if *byte == 0 { "0" } else { "1" }.to_owned()),
        Kind::Int { unsigned: true, .. } => Some(u32::from_be_bytes(value.try_into().ok()?).to_string()),
        Kind::Int { .. } => integer(value).map(|value| value.to_string()),
        Kind::Decimal { .. } => numeric(value),
        Kind::Date => date(i32::from_be_bytes(value.try_into().ok()?)),
        Kind::Time { span: false, .. } => Some(clock(i64::from_be_bytes(value.try_into().ok()?))),
        Kind::DateTime { .. } | Kind::Timestamp { .. } => moment(i64::from_be_bytes(value.try_into().ok()?)),
        Kind::Char { .. } => {
            std::str::from_utf8(value).ok().map(|text| text.trim_end_matches(' ').to_owned())
        }
        Kind::Text { .. } | Kind::Enum { .. } => std::str::from_utf8(value).ok().map(str::to_owned),
        Kind::Bytes { .. } => Some(hex(value)),
        Kind::Uuid => {
            let digits = hex(value);
            let part = |from: usize, to: usize| digits.get(from..to);
            Some([part(0, 8)?, part(8, 12)?, part(12, 16)?, part(16, 20)?, part(20, 32)?].join("-"))
        }
        _ => None,
    }
}

fn integer(value: &[u8]) -> Option<i64> {
    match value.len() {
        2 => value.try_into().ok().map(|bytes| i64::from(i16::from_be_bytes(bytes))),
        4 => value.try_into().ok().map(|bytes| i64::from(i32::from_be_bytes(bytes))),
        8 => value.try_into().ok().map(i64::from_be_bytes),
        _ => None,
    }
}

fn hex(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len() * 2);
    for byte in value {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Four numbers of 16 bits (groups, weight of the first one, sign, digits after the point), then groups of four
/// decimal digits.
fn numeric(value: &[u8]) -> Option<String> {
    let (words, rest) = value.as_chunks::<2>();
    let [count, weight, sign, scale, groups @ ..] = words else { return None };
    if !rest.is_empty() || groups.len() != usize::from(u16::from_be_bytes(*count)) {
        return None;
    }
    let mut text = match u16::from_be_bytes(*sign) {
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        0x4000 => "-".to_owned(),
        _ => String::new(),
    };
    let weight = i32::from(i16::from_be_bytes(*weight));
    let scale = usize::from(u16::from_be_bytes(*scale));
    let group = |power: i32| {
        let index = usize::try_from(weight - power).ok();
        index.and_then(|index| groups.get(index)).map_or(0, |group| u16::from_be_bytes(*group))
    };
    if weight < 0 {
        text.push('0');
    }
    for power in (0..=weight).rev() {
        // Writing to a String does not fail.
        let _ = if power == weight {
            write!(text, "{}", group(power))
        } else {
            write!(text, "{:04}", group(power))
        };
    }
    if scale > 0 {
        text.push('.');
        let end = text.len() + scale;
        let mut power = -1;
        while text.len() < end {
            let _ = write!(text, "{:04}", group(power));
            power -= 1;
        }
        text.truncate(end);
    }
    Some(text)
}

/// Days since 2000-01-01.
fn date(days: i32) -> Option<String> {
    match days {
        i32::MAX => Some("infinity".to_owned()),
        i32::MIN => Some("-infinity".to_owned()),
        _ => {
            let (text, is_before) = day(i64::from(days));
            Some(if is_before { format!("{text} BC") } else { text })
        }
    }
}

/// Microseconds since 2000-01-01 00:00.
fn moment(micros: i64) -> Option<String> {
    const DAY: i64 = 86_400_000_000;
    match micros {
        i64::MAX => Some("infinity".to_owned()),
        i64::MIN => Some("-infinity".to_owned()),
        _ => {
            let (text, is_before) = day(micros.div_euclid(DAY));
            let time = clock(micros.rem_euclid(DAY));
            Some(format!("{text} {time}{}", if is_before { " BC" } else { "" }))
        }
    }
}

/// Microseconds since midnight.
fn clock(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text
}

/// `YYYY-MM-DD` of a day counted from 2000-01-01, in the proleptic Gregorian calendar, and whether it is before
/// the year 1.
fn day(days: i64) -> (String, bool) {
    // Eras of 400 years, years from March.
    let shifted = days + 730_425;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let is_before = year <= 0;
    let shown = if is_before { 1 - year } else { year };
    (format!("{shown:04}-{month:02}-{of_month:02}"), is_before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Kept(Vec<Vec<u8>>, usize);

    impl RowSink for Kept {
        fn cell(&mut self, _value: Option<&[u8]>) {}
        fn end_row(&mut self) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
        fn raw_row(&mut self, row: &[u8]) -> ControlFlow<()> {
            self.0.push(row.to_vec());
            if self.0.len() == self.1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }

    fn row(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut row = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
        for field in fields {
            row.extend(field.map_or(-1, |field| i32::try_from(field.len()).unwrap()).to_be_bytes());
            row.extend(field.unwrap_or_default());
        }
        row
    }

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

    proptest! {
        #[test]
        fn rows_are_found_however_messages_are_cut(
            rows in proptest::collection::vec(proptest::collection::vec(
                proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)), 0..4), 0..6),
            cut in 1_usize..40,
            most in 1_usize..8,
        ) {
            let rows: Vec<Vec<u8>> = rows
                .iter()
                .map(|fields| row(&fields.iter().map(Option::as_deref).collect::<Vec<_>>()))
                .collect();
            let mut stream = HEADER.to_vec();
            stream.extend(rows.iter().flatten());
            stream.extend(TRAILER);
            let mut splitter = Splitter::new();
            let mut kept = Kept(Vec::new(), most);
            for message in stream.chunks(cut) {
                if splitter.take(message, &mut kept).unwrap().is_break() {
                    break;
                }
            }
            if most > rows.len() {
                prop_assert!(splitter.end().is_ok());
            }
            prop_assert_eq!(kept.0, rows.into_iter().take(most).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_stream_that_is_cut_off_or_something_else_is_refused() {
        let mut kept = Kept(Vec::new(), usize::MAX);
        let mut splitter = Splitter::new();
        assert!(splitter.take(&HEADER, &mut kept).unwrap().is_continue());
        assert!(splitter.end().is_err());
        assert!(Splitter::new().take(&[7; 30], &mut kept).is_err());
    }

    #[test]
    fn keys_are_read() {
        let int = |bits| Kind::Int { bits, unsigned: false };
        let numeric = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let decimal = Kind::Decimal { size: None, unsigned: false };
        let cases: Vec<(Kind, Vec<u8>, &str)> = vec![
            (int(16), (-5_i16).to_be_bytes().to_vec(), "-5"),
            (int(32), i32::MIN.to_be_bytes().to_vec(), "-2147483648"),
            (int(64), i64::MAX.to_be_bytes().to_vec(), "9223372036854775807"),
            (Kind::Int { bits: 32, unsigned: true }, u32::MAX.to_be_bytes().to_vec(), "4294967295"),
            (Kind::Text { limit: None }, "naïve".into(), "naïve"),
            (Kind::Char { length: 4 }, "a   ".into(), "a"),
            (Kind::Bytes { limit: None }, vec![0, 255], "00ff"),
            (Kind::Uuid, (0..16).collect(), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
            (Kind::Date, 0_i32.to_be_bytes().to_vec(), "2000-01-01"),
            (Kind::Date, 59_i32.to_be_bytes().to_vec(), "2000-02-29"),
            (Kind::Date, (-730_119_i32).to_be_bytes().to_vec(), "0001-01-01"),
            (Kind::Date, (-730_120_i32).to_be_bytes().to_vec(), "0001-12-31 BC"),
            (Kind::Date, i32::MAX.to_be_bytes().to_vec(), "infinity"),
            (Kind::DateTime { digits: 6 }, (-1_i64).to_be_bytes().to_vec(), "1999-12-31 23:59:59.999999"),
            (Kind::Timestamp { digits: 6 }, 500_000_i64.to_be_bytes().to_vec(), "2000-01-01 00:00:00.5"),
            (Kind::Timestamp { digits: 6 }, i64::MIN.to_be_bytes().to_vec(), "-infinity"),
            (Kind::Time { digits: 6, span: false }, 86_400_000_000_i64.to_be_bytes().to_vec(), "24:00:00"),
            (decimal.clone(), numeric(&[2, 1, 0, 0, 12, 34]), "120034"),
            (decimal.clone(), numeric(&[1, 1, 0x4000, 2, 12]), "-120000.00"),
            (decimal.clone(), numeric(&[1, 0xffff, 0, 5, 1]), "0.00010"),
            (decimal.clone(), numeric(&[0, 0, 0, 2]), "0.00"),
            (decimal.clone(), numeric(&[1, 0xfffe, 0, 7, 1230]), "0.0000123"),
            (decimal, numeric(&[0, 0, 0xc000, 0]), "NaN"),
        ];
        for (kind, bytes, expected) in cases {
            let row = row(&[None, Some(&bytes), Some(b"x")]);
            let column = column(kind);
            assert!(reads_key(&column));
            assert_eq!(key(&column, 1, &row).as_deref(), Some(expected), "{column:?}");
            assert_eq!(key(&column, 0, &row), None);
            assert_eq!(key(&column, 3, &row), None);
        }
    }
}
