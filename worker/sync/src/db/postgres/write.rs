//! Rows into a table by COPY FROM.
//!
//! In: rows encoded as text or in binary, or a source's binary rows. Out: their count, or the server's error.
//! Never: a transaction of its own; a value changed on the way.
//! Tests: below, in `read`; against a server in `worker/sync/tests/databases/postgres.rs`.

use super::dialect::{UTF8, idents};
use super::session::Session;
use super::{error, raw, replace};
use crate::db::{Class, DbError, Dialect as _, Load, Loaded, NotOfItsKind, OnDuplicate, RowEncoder, Rows};
use crate::schema::Column;

/// Each slice is one message and one flush of the driver.
const SLICE: usize = 256 << 10;

/// See [`Connection::load`](crate::db::Connection::load).
pub(super) async fn load(
    session: &mut Session,
    load: &Load,
    rows: Rows<'_>,
    count: u64,
) -> Result<Loaded, DbError> {
    if !session.in_transaction() {
        return Err(DbError::new(Class::Other, "a load needs a transaction; begin one first"));
    }
    let result = match &load.on_duplicate {
        OnDuplicate::Fail => copy(session, &UTF8.table(&load.table), load, rows, count).await,
        OnDuplicate::Replace { key, newer } => {
            replace::replace(session, load, key, newer.as_deref(), rows, count).await
        }
    };
    let result = result.map(|()| Loaded { rows: count });
    session.noted(result)
}

/// Copies rows into `target`, a quoted name with the load's columns; an error when not exactly `count` arrived.
pub(super) async fn copy(
    session: &mut Session,
    target: &str,
    load: &Load,
    rows: Rows<'_>,
    count: u64,
) -> Result<(), DbError> {
    let columns = idents(load.columns.iter().map(|column| column.name.as_str()));
    let (format, head, body, tail): (_, &[u8], _, &[u8]) = match rows {
        Rows::Encoded(bytes) => ("text", &[], bytes, &[]),
        Rows::Raw(bytes) => ("binary", &raw::HEADER, bytes, &raw::TRAILER),
    };
    let statement = format!("COPY {target} ({columns}) FROM STDIN (FORMAT {format})");
    let driver = session.driver().await?;
    let copied = async {
        let mut copy = driver.copy_in_raw(&statement).await?;
        for part in [head, body, tail] {
            for slice in part.chunks(SLICE) {
                copy.send(slice).await?;
            }
        }
        copy.finish().await
    };
    let copied = copied.await.map_err(error::from_driver);
    let arrived = session.noted(copied)?;
    if arrived != count {
        return session.noted(Err(DbError::new(
            Class::Row,
            format!("{arrived} of {count} rows arrived in {target}; a trigger or a rule kept the others"),
        )));
    }
    Ok(())
}

/// Encodes rows as COPY's text.
#[derive(Debug)]
pub(super) struct TextEncoder {
    /// Whether a column is bytes, by index.
    bytes: Vec<bool>,
}

impl TextEncoder {
    /// An encoder for these target columns.
    pub(super) fn new(columns: &[Column]) -> TextEncoder {
        TextEncoder { bytes: columns.iter().map(|column| column.kind.is_bytes()).collect() }
    }

    #[cfg(test)]
    pub(super) fn plain(columns: usize) -> TextEncoder {
        TextEncoder { bytes: vec![false; columns] }
    }
}

impl RowEncoder for TextEncoder {
    fn cell(&self, column: usize, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), NotOfItsKind> {
        if column > 0 {
            out.push(b'\t');
        }
        match value {
            None => out.extend_from_slice(b"\\N"),
            Some(value) if self.bytes.get(column).copied().unwrap_or(false) => hex(value, out),
            Some(value) => escape(value, out),
        }
        Ok(())
    }

    fn end_row(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
    }
}

/// What COPY does not take as it is.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'\\' | b'\t' | b'\n' | b'\r')
}

/// Whether nothing in it needs a backslash; without branches, so that many bytes are looked at at once.
fn is_plain(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<16>();
    chunks.iter().all(|chunk| !chunk.iter().fold(false, |seen, byte| seen | is_special(*byte)))
        && !rest.iter().fold(false, |seen, byte| seen | is_special(*byte))
}

fn escape(value: &[u8], out: &mut Vec<u8>) {
    if is_plain(value) {
        out.extend_from_slice(value);
        return;
    }
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| is_special(*byte)) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        out.push(b'\\');
        out.push(match from.first() {
            Some(b'\t') => b't',
            Some(b'\n') => b'n',
            Some(b'\r') => b'r',
            _ => b'\\',
        });
        rest = from.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// `\x` and hex digits; the backslash itself needs one.
fn hex(value: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
    out.reserve(3 + value.len() * 2);
    out.extend_from_slice(b"\\\\x");
    out.extend(value.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_escaped() {
        let encoder = TextEncoder { bytes: vec![false, true, false] };
        let mut out = Vec::new();
        encoder.cell(0, Some(b"a\tb\\.\r\n and a longer text without any"), &mut out).unwrap();
        encoder.cell(1, Some(&[0, 0x5c, 0xff]), &mut out).unwrap();
        encoder.cell(2, None, &mut out).unwrap();
        encoder.end_row(&mut out);
        let expected = b"a\\tb\\\\.\\r\\n and a longer text without any\t\\\\x005cff\t\\N\n";
        assert_eq!(out, expected, "{}", String::from_utf8_lossy(&out));
    }
}
