//! Reading many rows: the text protocol, streamed, each cell in the text form of its kind.
//!
//! The server prints almost every type in that form. Two are put right here, since it is cheaper than in SQL:
//! FLOAT comes as a double (see `select_expr` in [`super::literals`]) and is printed as the shortest text of its
//! 32 bits; BIT comes as bytes and is printed as digits.
//! In: a [`Select`]. Out: cells to a [`RowSink`]. Never: a row kept; raw rows.
//! Tests: below; against a server in `worker/sync/tests/databases/mysql.rs`.

use super::failure::db_error;
use super::session::Session;
use crate::db::{Class, DbError, RowSink, Select};
use crate::schema::{Column, Kind};
use mysql_async::Value;
use mysql_async::prelude::Queryable as _;
use std::io::Write as _;
use std::ops::ControlFlow;

/// What is done to the server's text of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    AsIs,
    Float32,
    Bits(u32),
}

fn form(column: &Column) -> Form {
    match &column.kind {
        Kind::Float { bits: 32 } => Form::Float32,
        Kind::Bit { width, .. } => Form::Bits(*width),
        _ => Form::AsIs,
    }
}

/// Delivers the rows of a query.
///
/// # Errors
/// The server's; `Other` when raw rows are asked for or the columns are not as many as said.
pub(super) async fn read(
    session: &mut Session,
    select: Select<'_>,
    sink: &mut dyn RowSink,
) -> Result<(), DbError> {
    if select.raw {
        return Err(DbError::new(Class::Other, "mysql has no raw rows"));
    }
    let forms: Vec<Form> = select.columns.iter().map(form).collect();
    let mut scratch = Vec::with_capacity(64);
    let mut rows = session.conn.query_iter(select.sql).await.map_err(db_error)?;
    while let Some(row) = rows.next().await.map_err(db_error)? {
        if row.len() != forms.len() {
            let words = format!("{} columns were asked for and {} came", forms.len(), row.len());
            return Err(DbError::new(Class::Other, words));
        }
        for (at, form) in forms.iter().enumerate() {
            let Some(Value::Bytes(bytes)) = row.as_ref(at) else {
                sink.cell(None);
                continue;
            };
            match form {
                Form::AsIs => sink.cell(Some(bytes)),
                Form::Float32 => {
                    scratch.clear();
                    short_float(bytes, &mut scratch)?;
                    sink.cell(Some(&scratch));
                }
                Form::Bits(width) => {
                    scratch.clear();
                    digits(bytes, *width, &mut scratch);
                    sink.cell(Some(&scratch));
                }
            }
        }
        if let ControlFlow::Break(()) = sink.end_row() {
            break;
        }
    }
    rows.drop_result().await.map_err(db_error)
}

/// The shortest text of the float that the text of a double names.
fn short_float(double: &[u8], out: &mut Vec<u8>) -> Result<(), DbError> {
    let value = std::str::from_utf8(double).ok().and_then(|text| text.parse::<f32>().ok());
    let Some(value) = value else {
        let words = format!("`{}` came for a float", String::from_utf8_lossy(double));
        return Err(DbError::new(Class::Other, words));
    };
    let written = if (1e-5..1e16).contains(&value.abs()) || value == 0.0 {
        write!(out, "{value}")
    } else {
        write!(out, "{value:e}")
    };
    written.map_err(|error| DbError::new(Class::Other, error.to_string()))
}

/// The lowest `width` bits of a big-endian number as digits.
fn digits(bytes: &[u8], width: u32, out: &mut Vec<u8>) {
    let all = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| b'0' + (byte >> bit & 1)));
    let has = bytes.len().saturating_mul(8);
    let width = usize::try_from(width).unwrap_or(has);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(has)));
    out.extend(all.skip(has.saturating_sub(width)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_as_short_as_their_bits_allow() {
        for (double, expected) in [
            ("0.10000000149011612", "0.1"),
            ("8388608", "8388608"),
            ("16777216", "16777216"),
            ("1.401298464324817e-45", "1e-45"),
            ("3.4028234663852886e38", "3.4028235e38"),
            ("-0", "-0"),
            ("0", "0"),
        ] {
            let mut out = Vec::new();
            short_float(double.as_bytes(), &mut out).unwrap();
            assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
            let again: f32 = expected.parse().unwrap();
            assert_eq!(again.to_bits(), double.parse::<f32>().unwrap().to_bits());
        }
        assert!(short_float(b"x", &mut Vec::new()).is_err());
    }

    #[test]
    fn bits_are_as_many_as_the_column_is_wide() {
        for (bytes, width, expected) in
            [(&[1][..], 1, "1"), (&[3, 255], 10, "1111111111"), (&[0], 3, "000"), (&[5], 12, "000000000101")]
        {
            let mut out = Vec::new();
            digits(bytes, width, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
