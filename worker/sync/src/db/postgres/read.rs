//! Rows of a query by COPY TO: as cells in their kinds' text form, or whole in binary.
//!
//! In: a SELECT and what its columns are. Out: cells or binary rows, handed to a [`RowSink`].
//! Never: an allocation per cell or per row; the driver's own is one shared slice per message.
//! Tests: below; against a server in `worker/sync/tests/databases/postgres.rs`.

use super::error;
use super::raw::Splitter;
use super::session::Session;
use crate::db::{Class, DbError, RowSink, Select};
use crate::schema::{Column, Kind};
use futures_util::TryStreamExt as _;
use std::ops::ControlFlow;

/// When nobody wants the rest of an answer, at most this much of it is read and thrown away before the session is
/// given up instead.
const MOST_UNWANTED: usize = 4 << 20;

/// See [`Connection::read`](crate::db::Connection::read).
pub(super) async fn read(
    session: &mut Session,
    select: Select<'_>,
    sink: &mut dyn RowSink,
) -> Result<(), DbError> {
    if select.sql.contains('\0') {
        return Err(DbError::new(Class::Row, "a NUL in a statement; PostgreSQL's text cannot hold it"));
    }
    let format = if select.raw { "binary" } else { "text" };
    let statement = format!("COPY ({}) TO STDOUT (FORMAT {format})", select.sql);
    let in_transaction = session.in_transaction();
    let driver = session.driver().await?;
    let (result, is_drained) = match driver.copy_out_raw(&statement).await {
        // The driver leaves the server's last word about the refused statement unread.
        Err(error) => (Err(error::from_driver(error)), false),
        Ok(mut messages) => {
            let mut lines = Lines::new(select.columns);
            let mut splitter = Splitter::new();
            let mut flow = Ok(ControlFlow::Continue(()));
            let mut unwanted = 0;
            loop {
                match messages.try_next().await {
                    Err(error) => break (Err(error::from_driver(error)), true),
                    Ok(None) => {
                        // Only what was wanted to its end must have one.
                        let ended = flow.and_then(|flow| match flow {
                            ControlFlow::Continue(()) if select.raw => splitter.end(),
                            ControlFlow::Continue(()) => lines.end(),
                            ControlFlow::Break(()) => Ok(()),
                        });
                        break (ended, true);
                    }
                    Ok(Some(bytes)) if matches!(flow, Ok(ControlFlow::Continue(()))) => {
                        flow =
                            if select.raw { splitter.take(&bytes, sink) } else { lines.take(&bytes, sink) };
                        if matches!(flow, Ok(ControlFlow::Break(()))) {
                            lines.forget();
                            splitter.forget();
                        }
                    }
                    Ok(Some(bytes)) => {
                        unwanted += bytes.len();
                        if unwanted > MOST_UNWANTED && !in_transaction {
                            break (flow.map(drop), false);
                        }
                    }
                }
            }
        }
    };
    let result = session.noted(result);
    if !is_drained {
        session.lose_count();
    }
    result
}

/// How a column's text in COPY becomes the text of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It is.
    Same,
    /// `t` and `f`.
    Bool,
    /// `\x` and hex digits.
    Hex,
    /// With the zone `+00`.
    Zone,
    /// With trailing blanks that mean nothing.
    Padded,
}

fn form(kind: &Kind) -> Form {
    match kind {
        Kind::Bool => Form::Bool,
        Kind::Bytes { .. } | Kind::Binary { .. } => Form::Hex,
        Kind::Timestamp { .. } => Form::Zone,
        Kind::Char { .. } => Form::Padded,
        _ => Form::Same,
    }
}

/// Takes COPY's text apart.
struct Lines {
    forms: Vec<Form>,
    /// The beginning of a line whose end is in a later message.
    carried: Vec<u8>,
    /// A cell while it is put together.
    cell: Vec<u8>,
}

impl Lines {
    fn new(columns: &[Column]) -> Lines {
        Lines {
            forms: columns.iter().map(|column| form(&column.kind)).collect(),
            carried: Vec::new(),
            cell: Vec::new(),
        }
    }

    /// One message. A server sends a line in each; nothing obliges it to.
    fn take(&mut self, bytes: &[u8], sink: &mut dyn RowSink) -> Result<ControlFlow<()>, DbError> {
        // A line's end is the only line feed that is not written as a backslash and a letter.
        let end = match bytes.iter().rposition(|byte| *byte == b'\n') {
            None => {
                self.carried.extend_from_slice(bytes);
                return Ok(ControlFlow::Continue(()));
            }
            Some(last) => last + 1,
        };
        let (whole, rest) = bytes.split_at(end);
        let flow = if self.carried.is_empty() {
            self.rows(whole, sink)
        } else {
            let mut carried = std::mem::take(&mut self.carried);
            carried.extend_from_slice(whole);
            let flow = self.rows(&carried, sink);
            carried.clear();
            self.carried = carried;
            flow
        };
        self.carried.extend_from_slice(rest);
        flow
    }

    /// Whole lines.
    fn rows(&mut self, mut lines: &[u8], sink: &mut dyn RowSink) -> Result<ControlFlow<()>, DbError> {
        let last = self.forms.len().saturating_sub(1);
        while !lines.is_empty() {
            for index in 0..=last {
                let form = self.forms.get(index).copied().unwrap_or(Form::Same);
                let (length, is_plain) = cell_end(lines);
                let (field, rest) = lines.split_at(length);
                let Some((delimiter, rest)) = rest.split_first() else { return Err(misread()) };
                if (*delimiter == b'\n') != (index == last) {
                    return Err(misread());
                }
                lines = rest;
                if is_plain && form == Form::Same {
                    sink.cell(Some(field));
                } else if field == b"\\N" {
                    sink.cell(None);
                } else {
                    sink.cell(Some(converted(form, field, is_plain, &mut self.cell)?));
                }
            }
            if sink.end_row().is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn forget(&mut self) {
        self.carried.clear();
    }

    fn end(&self) -> Result<(), DbError> {
        if self.carried.is_empty() { Ok(()) } else { Err(misread()) }
    }
}

/// Length of the first cell, and whether it has no backslash.
fn cell_end(bytes: &[u8]) -> (usize, bool) {
    let mut is_plain = true;
    let mut at = 0;
    loop {
        at += special(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            // What follows a backslash belongs to it.
            Some(b'\\') => {
                is_plain = false;
                at += 2;
            }
            _ => return (at.min(bytes.len()), is_plain),
        }
    }
}

/// Where the first tab, line feed or backslash is; the length when there is none.
fn special(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The high bit of each byte that is zero (and perhaps of later ones: the lowest is right).
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, _) = bytes.as_chunks::<8>();
    let mut at = 0;
    for chunk in words {
        let word = u64::from_le_bytes(*chunk);
        let found = zeros(word ^ (ONES * 0x09)) | zeros(word ^ (ONES * 0x0a)) | zeros(word ^ (ONES * 0x5c));
        if found != 0 {
            // At most 7.
            return at + usize::try_from(found.trailing_zeros() / 8).unwrap_or_default();
        }
        at += 8;
    }
    let tail = bytes.get(at..).unwrap_or_default();
    at + tail.iter().position(|byte| matches!(byte, b'\t' | b'\n' | b'\\')).unwrap_or(tail.len())
}

/// A cell in the text of its kind. `field` is not NULL.
fn converted<'a>(
    form: Form,
    field: &'a [u8],
    is_plain: bool,
    cell: &'a mut Vec<u8>,
) -> Result<&'a [u8], DbError> {
    if form == Form::Hex {
        // The backslash of `\x` is written as two.
        let digits = field.strip_prefix(b"\\\\x").ok_or_else(misread)?;
        cell.clear();
        unhex(digits, cell)?;
        return Ok(cell);
    }
    if is_plain && form == Form::Zone && field.ends_with(b" BC") {
        cell.clear();
        cell.extend_from_slice(field.strip_suffix(b"+00 BC").ok_or_else(misread)?);
        cell.extend_from_slice(b" BC");
        return Ok(cell);
    }
    let whole: &[u8] = if is_plain {
        field
    } else {
        unescape(field, cell);
        cell
    };
    Ok(match form {
        Form::Same | Form::Hex => whole,
        Form::Bool => match whole {
            b"t" => b"1",
            b"f" => b"0",
            _ => return Err(misread()),
        },
        // `infinity` has none.
        Form::Zone => whole.strip_suffix(b"+00").unwrap_or(whole),
        Form::Padded => {
            let end = whole.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
            whole.get(..end).unwrap_or_default()
        }
    })
}

/// Backslashes taken off, as COPY writes them.
fn unescape(field: &[u8], cell: &mut Vec<u8>) {
    cell.clear();
    let mut rest = field;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (before, from) = rest.split_at(at);
        cell.extend_from_slice(before);
        let letter = from.get(1).copied().unwrap_or(b'\\');
        cell.push(match letter {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'v' => 0x0b,
            other => other,
        });
        rest = from.get(2..).unwrap_or_default();
    }
    cell.extend_from_slice(rest);
}

fn unhex(digits: &[u8], out: &mut Vec<u8>) -> Result<(), DbError> {
    let (pairs, odd) = digits.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(misread());
    }
    out.reserve(pairs.len());
    let mut seen = 0;
    out.extend(pairs.iter().map(|[high, low]| {
        let (high, low) = (nibble(*high), nibble(*low));
        seen |= high | low;
        (high << 4) | (low & 0x0f)
    }));
    if seen > 0x0f { Err(misread()) } else { Ok(()) }
}

/// A digit's value; more than 15 for what is none.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0xf0,
    }
}

/// An answer that is not in the form that was asked for.
pub(super) fn misread() -> DbError {
    DbError::new(Class::Other, "rows of a COPY are not of the columns that were asked for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Kept {
        rows: Vec<Vec<Option<Vec<u8>>>>,
        row: Vec<Option<Vec<u8>>>,
    }

    impl RowSink for Kept {
        fn cell(&mut self, value: Option<&[u8]>) {
            self.row.push(value.map(<[u8]>::to_vec));
        }
        fn end_row(&mut self) -> ControlFlow<()> {
            self.rows.push(std::mem::take(&mut self.row));
            ControlFlow::Continue(())
        }
        fn raw_row(&mut self, _row: &[u8]) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
    }

    fn lines(forms: &[Form]) -> Lines {
        Lines { forms: forms.to_vec(), carried: Vec::new(), cell: Vec::new() }
    }

    fn one(form: Form, field: &str) -> Option<Vec<u8>> {
        let mut kept = Kept::default();
        let flow = lines(&[form]).take(format!("{field}\n").as_bytes(), &mut kept);
        assert_eq!(flow, Ok(ControlFlow::Continue(())));
        kept.rows.remove(0).remove(0)
    }

    #[test]
    fn cells_become_the_text_of_their_kind() {
        for (form, field, expected) in [
            (Form::Same, "", Some("")),
            (Form::Same, "\\N", None),
            (Form::Same, "\\\\N", Some("\\N")),
            (Form::Same, "\\\\.", Some("\\.")),
            (Form::Same, "a\\tb\\nc\\\\d\\r\\b\\f\\v", Some("a\tb\nc\\d\r\x08\x0c\x0b")),
            (Form::Bool, "t", Some("1")),
            (Form::Bool, "f", Some("0")),
            (Form::Bool, "\\N", None),
            (Form::Hex, "\\\\x", Some("")),
            (Form::Hex, "\\\\x6162", Some("ab")),
            (Form::Hex, "\\N", None),
            (Form::Zone, "2024-01-02 03:04:05.6+00", Some("2024-01-02 03:04:05.6")),
            (Form::Zone, "0044-03-15 00:00:00+00 BC", Some("0044-03-15 00:00:00 BC")),
            (Form::Zone, "-infinity", Some("-infinity")),
            (Form::Padded, "a b  ", Some("a b")),
            (Form::Padded, "   ", Some("")),
        ] {
            assert_eq!(one(form, field).as_deref(), expected.map(str::as_bytes), "{form:?} {field:?}");
        }
    }

    #[test]
    fn rows_of_other_columns_are_refused() {
        for text in ["a\n", "a\tb\tc\n", "\n", "a\tb\nc\n"] {
            assert!(lines(&[Form::Same; 2]).take(text.as_bytes(), &mut Kept::default()).is_err(), "{text:?}");
        }
        for text in ["x\n", "\\\\x6\n", "\\\\x6g\n", "6162\n"] {
            assert!(lines(&[Form::Hex]).take(text.as_bytes(), &mut Kept::default()).is_err(), "{text:?}");
        }
        let mut cut = lines(&[Form::Same]);
        assert!(cut.take(b"abc", &mut Kept::default()).is_ok());
        assert!(cut.end().is_err());
    }

    /// COPY's text of a row, written from its definition, byte by byte.
    fn copied(row: &[Option<Vec<u8>>]) -> Vec<u8> {
        let mut line = Vec::new();
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                line.push(b'\t');
            }
            match cell {
                None => line.extend(b"\\N"),
                Some(cell) => {
                    for byte in cell {
                        match byte {
                            b'\\' => line.extend(b"\\\\"),
                            b'\n' => line.extend(b"\\n"),
                            b'\t' => line.extend(b"\\t"),
                            b'\r' => line.extend(b"\\r"),
                            byte => line.push(*byte),
                        }
                    }
                }
            }
        }
        line.push(b'\n');
        line
    }

    fn cell() -> impl Strategy<Value = Option<Vec<u8>>> {
        let special = prop_oneof![Just(b'\\'), Just(b'\t'), Just(b'\n'), Just(b'N'), Just(b'.'), any::<u8>()];
        proptest::option::of(prop_oneof![
            proptest::collection::vec(special, 0..24),
            proptest::collection::vec(b'a'..=b'z', 0..40)
        ])
    }

    proptest! {
        #[test]
        fn any_cells_come_back_however_messages_are_cut(
            rows in proptest::collection::vec(proptest::collection::vec(cell(), 3), 0..6),
            cut in 1_usize..50,
        ) {
            let text: Vec<u8> = rows.iter().flat_map(|row| copied(row)).collect();
            let mut lines = lines(&[Form::Same; 3]);
            let mut kept = Kept::default();
            for message in text.chunks(cut) {
                prop_assert_eq!(lines.take(message, &mut kept), Ok(ControlFlow::Continue(())));
            }
            prop_assert!(lines.end().is_ok());
            prop_assert_eq!(kept.rows, rows);
        }

        #[test]
        fn the_encoder_is_read_back(row in proptest::collection::vec(cell(), 3)) {
            use crate::db::RowEncoder as _;
            let encoder = super::super::write::TextEncoder::plain(3);
            let mut text = Vec::new();
            for (index, cell) in row.iter().enumerate() {
                encoder.cell(index, cell.as_deref(), &mut text).unwrap();
            }
            encoder.end_row(&mut text);
            prop_assert_eq!(text, copied(&row));
        }
    }
}
