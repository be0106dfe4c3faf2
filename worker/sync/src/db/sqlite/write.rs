//! Loading rows: prepared INSERTs of many rows, bound natively.
//!
//! In: cells. Out: rows in the table, within the transaction under way. Never: a row that was not counted.
//! Tests: `worker/sync/tests/databases/sqlite.rs`.

use super::dialect::{ident, table_name};
use super::{cells, error};
use crate::db::{Class, DbError, Load};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement};

/// Variables that a statement may have.
const VARIABLES: usize = 32_766;
/// Rows of a statement: beyond this the statement's own cost is gone.
const ROWS: usize = 64;

/// Inserts all rows; one whose key is there already is an error of class Row.
pub(super) fn insert(handle: &Connection, load: &Load, rows: &[u8], count: u64) -> Result<(), DbError> {
    let head = head(load, "");
    let inserted = values(handle, load, &head, "", rows, count)?;
    counted(inserted, count)
}

/// `INSERT INTO table [AS alias] (columns) VALUES `.
pub(super) fn head(load: &Load, alias: &str) -> String {
    let columns: Vec<String> = load.columns.iter().map(|column| ident(&column.name)).collect();
    format!("INSERT INTO {}{alias} ({}) VALUES ", table_name(&load.table), columns.join(", "))
}

/// Runs `head (?, …), … tail` over all rows, many at a time; answers the rows it changed.
pub(super) fn values(
    handle: &Connection,
    load: &Load,
    head: &str,
    tail: &str,
    rows: &[u8],
    count: u64,
) -> Result<u64, DbError> {
    let width = load.columns.len();
    let group = (VARIABLES / width.max(1)).clamp(1, ROWS);
    let one = format!("({})", vec!["?"; width].join(","));
    let sql = |rows: usize| format!("{head}{}{tail}", vec![one.as_str(); rows].join(","));
    let mut left = usize::try_from(count).map_err(|_| broken())?;
    let mut rest = rows;
    let mut changed = 0;
    for rows in [group, 1] {
        if left < rows {
            continue;
        }
        let mut statement = handle.prepare(&sql(rows)).map_err(error::from)?;
        while left >= rows {
            for at in 1..=rows * width {
                bind(&mut statement, at, cells::take(&mut rest).ok_or_else(broken)?)?;
            }
            let done = statement.raw_execute().map_err(error::from)?;
            changed += u64::try_from(done).unwrap_or(u64::MAX);
            left -= rows;
        }
    }
    if rest.is_empty() { Ok(changed) } else { Err(broken()) }
}

/// Binds a value to a variable, counted from 1.
pub(super) fn bind(statement: &mut Statement<'_>, at: usize, value: ValueRef<'_>) -> Result<(), DbError> {
    statement.raw_bind_parameter(at, ToSqlOutput::Borrowed(value)).map_err(error::from)
}

/// Whether as many rows were written as were handed over.
pub(super) fn counted(written: u64, count: u64) -> Result<(), DbError> {
    if written == count {
        return Ok(());
    }
    let words =
        format!("{written} rows were written of {count}: a trigger or a rule of the table keeps some out");
    Err(DbError::new(Class::Row, words))
}

/// Rows that are not as many as was said, or no rows at all.
pub(super) fn broken() -> DbError {
    DbError::new(Class::Other, "the rows to load are not as many whole rows as was said")
}
