//! Rows as they are loaded: cells parted by tabs, rows by newlines, with backslash escapes that LOAD DATA and
//! string literals of SQL read alike, so that one form serves both lanes (see [`super::lanes`]).
//!
//! Bytes and bits travel as hex. A value that the server would change without a word (a label by number or by
//! case, a fraction that a column does not keep, a NULL that becomes a number or the time of day) is
//! spoilt here so that the server refuses it.
//! In: canonical cells. Out: bytes. Never: an allocation per cell.
//! Tests: below; against a server in `worker/sync/tests/databases/mysql.rs`.

use crate::db::{NotOfItsKind, RowEncoder};
use crate::schema::{Column, Kind};
use std::io::Write as _;

/// Stands for NULL.
pub(super) const NULL: &[u8] = b"\\N";

/// Before a value that must be refused: no number, no date, no label begins so.
const SPOILT: &[u8] = b"not exactly storable: ";

#[derive(Debug)]
enum Form {
    Text,
    Int,
    Float32,
    Year,
    Seconds { digits: usize },
    Hex,
    Bits { bytes: usize },
    Enum(Vec<Vec<u8>>),
    Set(Vec<Vec<u8>>),
}

#[derive(Debug)]
struct Cell {
    form: Form,
    /// Whether NULL would become something else without a warning.
    spoils_null: bool,
}

/// Whether a column's cells travel as hex.
pub(super) fn is_hex(kind: &Kind) -> bool {
    kind.is_bytes() || matches!(kind, Kind::Bit { .. })
}

/// Encodes rows.
#[derive(Debug)]
pub(super) struct TextEncoder {
    cells: Vec<Cell>,
}

impl TextEncoder {
    pub(super) fn new(columns: &[Column]) -> TextEncoder {
        let labels = |labels: &[String]| labels.iter().map(|label| label.clone().into_bytes()).collect();
        let form = |kind: &Kind| match kind {
            kind if kind.is_bytes() => Form::Hex,
            Kind::Bit { width, .. } => {
                Form::Bits { bytes: usize::try_from(width.div_ceil(8)).unwrap_or_default() }
            }
            Kind::Bool | Kind::Int { .. } => Form::Int,
            Kind::Float { bits: 32 } => Form::Float32,
            Kind::Year => Form::Year,
            Kind::Time { digits, .. } | Kind::DateTime { digits } | Kind::Timestamp { digits } => {
                Form::Seconds { digits: usize::from(*digits) }
            }
            Kind::Date => Form::Seconds { digits: 0 },
            Kind::Enum { labels: known } => Form::Enum(labels(known)),
            Kind::Set { labels: known } => Form::Set(labels(known)),
            _ => Form::Text,
        };
        let cell = |column: &Column| Cell {
            form: form(&column.kind),
            spoils_null: !column.nullable && (column.auto || matches!(column.kind, Kind::Timestamp { .. })),
        };
        TextEncoder { cells: columns.iter().map(cell).collect() }
    }
}

impl RowEncoder for TextEncoder {
    fn cell(&self, column: usize, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), NotOfItsKind> {
        if column > 0 {
            out.push(b'\t');
        }
        let cell = self.cells.get(column);
        let Some(value) = value else {
            out.extend_from_slice(if cell.is_some_and(|cell| cell.spoils_null) { SPOILT } else { NULL });
            return Ok(());
        };
        match cell.map_or(&Form::Text, |cell| &cell.form) {
            Form::Text => escape(value, out),
            Form::Int => {
                let digits = value.strip_prefix(b"-").unwrap_or(value);
                if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                    out.extend_from_slice(SPOILT);
                    escape(value, out);
                } else {
                    out.extend_from_slice(value);
                }
            }
            Form::Float32 => float32(value, out),
            Form::Year => {
                out.extend(std::iter::repeat_n(b'0', 4_usize.saturating_sub(value.len())));
                escape(value, out);
            }
            Form::Seconds { digits } => {
                let fraction = value.iter().position(|&byte| byte == b'.').map(|at| at + 1);
                let lost = fraction.and_then(|at| value.get(at + digits..)).unwrap_or_default();
                if lost.iter().any(u8::is_ascii_digit) && lost.iter().any(|&byte| byte != b'0') {
                    out.extend_from_slice(SPOILT);
                }
                escape(value, out);
            }
            Form::Hex => hex(value, out),
            Form::Bits { bytes } => bits(value, *bytes, out),
            Form::Enum(labels) => {
                if !labels.iter().any(|label| label == value) {
                    out.extend_from_slice(SPOILT);
                }
                escape(value, out);
            }
            Form::Set(labels) => {
                let mut parts = value.split(|&byte| byte == b',');
                if !value.is_empty() && !parts.all(|part| labels.iter().any(|label| label == part)) {
                    out.extend_from_slice(SPOILT);
                }
                escape(value, out);
            }
        }
        Ok(())
    }

    fn end_row(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
    }
}

/// The letter that stands for a byte after a backslash; 0 for bytes that stand for themselves.
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    table[0] = b'0';
    table[b'\t' as usize] = b't';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\\' as usize] = b'\\';
    table[b'\'' as usize] = b'\'';
    table
};

fn escape(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(at) = rest.iter().position(|&byte| ESCAPES[usize::from(byte)] != 0) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        if let Some((&byte, tail)) = tail.split_first() {
            out.extend_from_slice(&[b'\\', ESCAPES[usize::from(byte)]]);
            rest = tail;
        }
    }
    out.extend_from_slice(rest);
}

/// As the double that equals the float: the server reads text as a double and rounds it to a float, and rounding
/// twice can end one bit beside.
fn float32(value: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(value).ok().and_then(|text| text.parse::<f32>().ok()) {
        // Writing to memory does not fail.
        Some(float) if float.is_finite() => drop(write!(out, "{:e}", f64::from(float))),
        _ => {
            out.extend_from_slice(SPOILT);
            escape(value, out);
        }
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn hex_byte(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

fn hex(value: &[u8], out: &mut Vec<u8>) {
    out.reserve(value.len().saturating_mul(2));
    for &byte in value {
        hex_byte(byte, out);
    }
}

/// Digits as the bytes of a big-endian number. Anything else becomes more bytes than the column takes.
fn bits(value: &[u8], bytes: usize, out: &mut Vec<u8>) {
    let has = value.len();
    if has > bytes.saturating_mul(8) || !value.iter().all(|digit| matches!(digit, b'0' | b'1')) {
        out.extend(std::iter::repeat_n(b'F', (bytes + 1).saturating_mul(2)));
        return;
    }
    let bit = |at: usize| {
        let from_left = (at + has).checked_sub(bytes * 8);
        u8::from(from_left.and_then(|at| value.get(at)) == Some(&b'1'))
    };
    for byte in 0..bytes {
        hex_byte((0..8).fold(0, |number, at| number << 1 | bit(byte * 8 + at)), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: Kind, value: Option<&str>) -> String {
        let column = Column {
            name: "c".into(),
            native: String::new(),
            kind,
            nullable: false,
            generated: false,
            auto: false,
            default: None,
            collation: None,
        };
        let mut out = Vec::new();
        TextEncoder::new(&[column]).cell(0, value.map(str::as_bytes), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_escaped_once_for_both_lanes() {
        let text = Kind::Text { limit: None };
        for (value, expected) in
            [("", ""), ("a\tb\nc\r\0'\\", "a\\tb\\nc\\r\\0\\'\\\\"), ("\\N", "\\\\N"), ("🦀é", "🦀é")]
        {
            assert_eq!(encoded(text.clone(), Some(value)), expected);
        }
        assert_eq!(encoded(text, None), "\\N");
        assert_eq!(encoded(Kind::Bytes { limit: None }, Some("\0'\n")), "00270A");
        assert_eq!(encoded(Kind::Year, Some("0")), "0000");
        assert_eq!(encoded(Kind::Float { bits: 32 }, Some("16777217")), "1.6777216e7");
        assert_eq!(encoded(Kind::Float { bits: 32 }, Some("-0")), "-0e0");
    }

    #[test]
    fn bits_become_a_number() {
        for (width, value, expected) in [
            (1, "1", "01"),
            (10, "1111111111", "03FF"),
            (10, "101", "0005"),
            (64, "1", "0000000000000001"),
            (8, "12", "FFFF"),
            (8, "111111111", "FFFF"),
        ] {
            assert_eq!(encoded(Kind::Bit { width, varying: false }, Some(value)), expected);
        }
    }

    #[test]
    fn whole_numbers_have_digits_only() {
        let int = Kind::Int { bits: 32, unsigned: false };
        for (value, taken) in
            [("-12", true), ("0", true), ("1.5", false), ("", false), ("-", false), ("1e3", false)]
        {
            assert_eq!(encoded(int.clone(), Some(value)) == value, taken, "{value}");
        }
    }

    #[test]
    fn what_the_server_would_change_silently_is_spoilt() {
        let spoilt = |kind: Kind, value| encoded(kind, value).starts_with("not exactly");
        let second = Kind::DateTime { digits: 3 };
        assert!(spoilt(second.clone(), Some("2024-01-01 00:00:00.0001")));
        assert!(!spoilt(second.clone(), Some("2024-01-01 00:00:00.123000")));
        assert!(!spoilt(second, Some("2024-01-01 00:00:00")));
        let labels = Kind::Enum { labels: vec!["a".into(), "b".into()] };
        assert!(!spoilt(labels.clone(), Some("b")));
        assert!(spoilt(labels.clone(), Some("B")) && spoilt(labels, Some("2")));
        let set = Kind::Set { labels: vec!["a".into(), "b".into()] };
        assert!(!spoilt(set.clone(), Some("a,b")) && !spoilt(set.clone(), Some("")));
        assert!(spoilt(set, Some("3")));
        assert!(spoilt(Kind::Timestamp { digits: 0 }, None));
        assert!(spoilt(Kind::Float { bits: 32 }, Some("NaN")));
    }
}
