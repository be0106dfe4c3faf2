//! Cells as bytes: the form of rows from reader to session, of raw rows, and of what is loaded.
//!
//! ```text
//!  row  = cell…                     as many as there are columns
//!  cell = 0 | 1 i64 | 2 f64 | 3 length:u32 text | 4 length:u32 bytes       little-endian
//! ```
//! In: values of SQLite, text of kinds. Out: cells; text of kinds again. Never: an allocation per cell.
//! Tests: below.

use crate::db::{NotOfItsKind, RowEncoder};
use crate::schema::{Column, Kind};
use rusqlite::types::ValueRef;
use std::io::Write as _;

const NULL: u8 = 0;
const INT: u8 = 1;
const FLOAT: u8 = 2;
const TEXT: u8 = 3;
const BYTES: u8 = 4;

/// Appends a value as a cell. Values over 4 GiB do not exist in SQLite.
pub(super) fn push(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => out.push(NULL),
        ValueRef::Integer(number) => {
            out.push(INT);
            out.extend_from_slice(&number.to_le_bytes());
        }
        ValueRef::Real(number) => {
            out.push(FLOAT);
            out.extend_from_slice(&number.to_le_bytes());
        }
        ValueRef::Text(text) => push_long(TEXT, text, out),
        ValueRef::Blob(bytes) => push_long(BYTES, bytes, out),
    }
}

fn push_long(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.push(tag);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Takes the first cell off; none when the bytes are no cells.
pub(super) fn take<'a>(cells: &mut &'a [u8]) -> Option<ValueRef<'a>> {
    let (tag, rest) = cells.split_first()?;
    let (value, rest) = match *tag {
        NULL => (ValueRef::Null, rest),
        INT => {
            let (number, rest) = rest.split_first_chunk::<8>()?;
            (ValueRef::Integer(i64::from_le_bytes(*number)), rest)
        }
        FLOAT => {
            let (number, rest) = rest.split_first_chunk::<8>()?;
            (ValueRef::Real(f64::from_le_bytes(*number)), rest)
        }
        TEXT | BYTES => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            (if *tag == TEXT { ValueRef::Text(bytes) } else { ValueRef::Blob(bytes) }, rest)
        }
        _ => return None,
    };
    *cells = rest;
    Some(value)
}

/// The text of a value as a cell of a column; none for NULL. Numbers are written into `scratch`.
pub(super) fn text<'a>(value: ValueRef<'a>, any: bool, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    scratch.clear();
    let (tag, bytes) = match value {
        ValueRef::Null => return None,
        ValueRef::Integer(number) => {
            if any {
                scratch.push(b'i');
            }
            write_int(number, scratch);
            return Some(scratch);
        }
        ValueRef::Real(number) => {
            if any {
                scratch.push(b'f');
            }
            write_float(number, scratch);
            return Some(scratch);
        }
        ValueRef::Text(text) => (b't', text),
        ValueRef::Blob(bytes) => (b'b', bytes),
    };
    if !any {
        return Some(bytes);
    }
    scratch.push(tag);
    scratch.extend_from_slice(bytes);
    Some(scratch)
}

/// Decimal digits of a whole number.
pub(super) fn write_int(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        if let (Some(place), Ok(digit)) = (digits.get_mut(at), u8::try_from(rest % 10)) {
            *place = b'0' + digit;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// The shortest text that reads back to the same bits.
pub(super) fn write_float(number: f64, out: &mut Vec<u8>) {
    let size = number.abs();
    // Writing to memory does not fail.
    let _written = if number.is_infinite() {
        out.write_all(if number > 0.0 { b"Infinity" } else { b"-Infinity" })
    } else if number.is_nan() {
        out.write_all(b"NaN")
    } else if size == 0.0 || (1e-5..1e16).contains(&size) {
        write!(out, "{number}")
    } else {
        write!(out, "{number:e}")
    };
}

/// How a cell of a column is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Int,
    Float,
    Bytes,
    Any,
    Text,
}

/// Encodes rows for a load.
#[derive(Debug)]
pub(super) struct Encoder {
    forms: Vec<Form>,
}

impl Encoder {
    /// For rows with these columns.
    pub(super) fn new(columns: &[Column]) -> Encoder {
        let form = |column: &Column| match &column.kind {
            Kind::Bool | Kind::Int { .. } | Kind::Year => Form::Int,
            Kind::Float { .. } => Form::Float,
            Kind::Any => Form::Any,
            kind if kind.is_bytes() => Form::Bytes,
            // Decimals too: a numeric column makes a number of them, a text column keeps every digit.
            _ => Form::Text,
        };
        Encoder { forms: columns.iter().map(form).collect() }
    }
}

impl RowEncoder for Encoder {
    fn cell(&self, column: usize, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), NotOfItsKind> {
        let Some(value) = value else {
            push(ValueRef::Null, out);
            return Ok(());
        };
        let form = self.forms.get(column).copied().unwrap_or(Form::Text);
        let (form, value) = match (form, value) {
            (Form::Any, [b'i', rest @ ..]) => (Form::Int, rest),
            (Form::Any, [b'f', rest @ ..]) => (Form::Float, rest),
            (Form::Any, [b'b', rest @ ..]) => (Form::Bytes, rest),
            (Form::Any, [_, rest @ ..]) => (Form::Text, rest),
            (form, value) => (form, value),
        };
        let number = match form {
            Form::Int => read_int(value).map(ValueRef::Integer),
            Form::Float => {
                std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).map(ValueRef::Real)
            }
            Form::Bytes => Some(ValueRef::Blob(value)),
            Form::Any | Form::Text => None,
        };
        // Text that is no number of the column's type is kept as it is, as SQLite itself would.
        push(number.unwrap_or(ValueRef::Text(value)), out);
        Ok(())
    }

    fn end_row(&self, out: &mut Vec<u8>) {
        let _ = out;
    }
}

fn read_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number = 0i64;
    for byte in digits {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?;
        number = if negative { number.checked_sub(digit)? } else { number.checked_add(digit)? };
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::super::testing::column;
    use super::*;
    use proptest::prelude::*;

    fn round(kind: Kind, value: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let any = kind == Kind::Any;
        let mut cells = Vec::new();
        Encoder::new(&[column("c", kind)]).cell(0, Some(value), &mut cells).unwrap();
        let mut rest = cells.as_slice();
        let taken = take(&mut rest).unwrap();
        assert!(rest.is_empty());
        let text = text(taken, any, &mut Vec::new()).map(<[u8]>::to_vec);
        (cells, text)
    }

    #[test]
    fn a_cell_is_kept_as_its_kind_says() {
        let int = || Kind::Int { bits: 64, unsigned: false };
        for (kind, value, tag) in [
            (int(), "-9223372036854775808", INT),
            (int(), "9223372036854775807", INT),
            (int(), "0", INT),
            (int(), "abc", TEXT),
            (int(), "9223372036854775808", TEXT),
            (int(), "", TEXT),
            (Kind::Float { bits: 64 }, "0.1", FLOAT),
            (Kind::Float { bits: 64 }, "-Infinity", FLOAT),
            (Kind::Float { bits: 64 }, "1e300", FLOAT),
            (Kind::Float { bits: 64 }, "five", TEXT),
            (Kind::Text { limit: None }, "12", TEXT),
            (Kind::Bytes { limit: None }, "12", BYTES),
            (Kind::Decimal { size: None, unsigned: false }, "1.50", TEXT),
            (Kind::Any, "i12", INT),
            (Kind::Any, "f1.5", FLOAT),
            (Kind::Any, "t12", TEXT),
            (Kind::Any, "b12", BYTES),
        ] {
            let (cells, text) = round(kind.clone(), value.as_bytes());
            assert_eq!(cells[0], tag, "{kind:?} {value}");
            assert_eq!(text.as_deref(), Some(value.as_bytes()), "{kind:?} {value}");
        }
    }

    #[test]
    fn broken_cells_are_seen() {
        for mut broken in [&b""[..], &[9], &[INT, 1, 2], &[TEXT, 5, 0, 0, 0, b'a'], &[BYTES, 1]] {
            assert!(take(&mut broken).is_none());
        }
    }

    proptest! {
        #[test]
        fn numbers_read_back_to_the_same_bits(int in any::<i64>(), bits in any::<u64>()) {
            let mut out = Vec::new();
            write_int(int, &mut out);
            prop_assert_eq!(std::str::from_utf8(&out).unwrap().parse::<i64>().unwrap(), int);
            prop_assert_eq!(read_int(&out), Some(int));
            let float = f64::from_bits(bits);
            out.clear();
            write_float(float, &mut out);
            let read: f64 = std::str::from_utf8(&out).unwrap().parse().unwrap();
            prop_assert!(read.to_bits() == bits || (read.is_nan() && float.is_nan()));
        }
    }
}
