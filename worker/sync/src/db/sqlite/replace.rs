//! Loading rows whose keys may be there already.
//!
//! With no other unique index than the key's an upsert does it. With one, a unique value may have moved between two
//! rows of the load, and no order of upserts works: the rows' old versions go first, then all are inserted; what
//! their columns outside the load held is put back.
//! In: cells, a key. Out: rows in the table. Never: a row changed that is not in the load.
//! Tests: `worker/sync/tests/databases/sqlite.rs`.

use super::dialect::{ident, table_name, text};
use super::{cells, ddl, error, write};
use crate::db::{Class, DbError, Load};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Where old values of columns outside the load are kept meanwhile.
const KEPT: &str = "temp.shanty_kept";

/// Writes all rows; see [`OnDuplicate::Replace`](crate::db::OnDuplicate::Replace).
pub(super) fn replace(
    handle: &Connection,
    load: &Load,
    key: &[String],
    newer: Option<&str>,
    rows: &[u8],
    count: u64,
) -> Result<(), DbError> {
    let set: Vec<String> = load
        .columns
        .iter()
        .filter(|column| !key.contains(&column.name))
        .map(|column| format!("{name} = excluded.{name}", name = ident(&column.name)))
        .collect();
    let names = list(key.iter().map(String::as_str));
    let action = if set.is_empty() {
        "NOTHING".to_owned()
    } else {
        let guard = newer.map(ident).map(|newer| {
            format!(" WHERE shanty_old.{newer} IS NULL OR excluded.{newer} >= shanty_old.{newer}")
        });
        format!("UPDATE SET {}{}", set.join(", "), guard.unwrap_or_default())
    };
    let tail = format!(" ON CONFLICT ({names}) DO {action}");
    let others = has_other_uniques(handle, load, key)?;
    let outside = if others { outside(handle, load)? } else { Vec::new() };
    if others {
        clear(handle, load, key, newer, &outside, rows, count)?;
    }
    let written = write::values(handle, load, &write::head(load, " AS shanty_old"), &tail, rows, count)?;
    if !outside.is_empty() {
        put_back(handle, load, key, &outside)?;
    }
    if newer.is_none() && !set.is_empty() { write::counted(written, count) } else { Ok(()) }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(ident).collect::<Vec<_>>().join(", ")
}

/// Whether a unique index other than the key's is on the table.
fn has_other_uniques(handle: &Connection, load: &Load, key: &[String]) -> Result<bool, DbError> {
    // A key that is the row's own number has no index; any unique index is another one then.
    let sql = format!("SELECT name FROM {} WHERE \"unique\"", ddl::pragma("index_list", &load.table));
    for index in strings(handle, &sql)? {
        let schema = text(load.table.schema.as_deref().unwrap_or("main"));
        let of = format!(
            "SELECT ifnull(name, '') FROM pragma_index_info({}, {schema}) ORDER BY seqno",
            text(&index)
        );
        let mut columns = strings(handle, &of)?;
        let mut key = key.to_vec();
        columns.sort();
        key.sort();
        if columns != key {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Columns that the load does not write, and that can be written.
fn outside(handle: &Connection, load: &Load) -> Result<Vec<String>, DbError> {
    let sql = format!("SELECT name FROM {} WHERE hidden = 0", ddl::pragma("table_xinfo", &load.table));
    let all = strings(handle, &sql)?;
    Ok(all.into_iter().filter(|name| load.columns.iter().all(|column| column.name != *name)).collect())
}

fn strings(handle: &Connection, sql: &str) -> Result<Vec<String>, DbError> {
    let mut statement = handle.prepare(sql).map_err(error::from)?;
    let rows = statement.query_map([], |row| row.get(0)).map_err(error::from)?;
    rows.collect::<Result<_, _>>().map_err(error::from)
}

/// Takes the rows' old versions out, those that are not newer.
fn clear(
    handle: &Connection,
    load: &Load,
    key: &[String],
    newer: Option<&str>,
    outside: &[String],
    rows: &[u8],
    count: u64,
) -> Result<(), DbError> {
    let table = table_name(&load.table);
    let at = |name: &str| {
        load.columns.iter().position(|column| column.name == name).ok_or_else(|| {
            DbError::new(Class::Other, format!("the load has no column {name}, which its key needs"))
        })
    };
    let mut bound = key.iter().map(|name| at(name)).collect::<Result<Vec<_>, _>>()?;
    let mut filter: Vec<String> =
        key.iter().enumerate().map(|(n, name)| format!("{} = ?{}", ident(name), n + 1)).collect();
    if let Some(newer) = newer {
        bound.push(at(newer)?);
        filter.push(format!("({name} IS NULL OR ?{} >= {name})", bound.len(), name = ident(newer)));
    }
    let filter = filter.join(" AND ");
    let mut statements = Vec::new();
    if !outside.is_empty() {
        let kept = list(key.iter().chain(outside).map(String::as_str));
        let make = format!(
            "DROP TABLE IF EXISTS {KEPT}; CREATE TEMP TABLE shanty_kept AS SELECT {kept} FROM {table} WHERE 0"
        );
        handle.execute_batch(&make).map_err(error::from)?;
        let keep = format!("INSERT INTO {KEPT} SELECT {kept} FROM {table} WHERE {filter}");
        statements.push(handle.prepare(&keep).map_err(error::from)?);
    }
    let delete = format!("DELETE FROM {table} WHERE {filter}");
    statements.push(handle.prepare(&delete).map_err(error::from)?);
    let mut rest = rows;
    let mut row = vec![ValueRef::Null; load.columns.len()];
    for _ in 0..count {
        for cell in &mut row {
            *cell = cells::take(&mut rest).ok_or_else(write::broken)?;
        }
        for statement in &mut statements {
            for (n, at) in bound.iter().enumerate() {
                write::bind(statement, n + 1, row.get(*at).copied().unwrap_or(ValueRef::Null))?;
            }
            statement.raw_execute().map_err(error::from)?;
        }
    }
    Ok(())
}

/// Gives the rows back what their columns outside the load held.
fn put_back(handle: &Connection, load: &Load, key: &[String], outside: &[String]) -> Result<(), DbError> {
    let set: Vec<String> =
        outside.iter().map(|name| format!("{name} = kept.{name}", name = ident(name))).collect();
    let filter: Vec<String> =
        key.iter().map(|name| format!("shanty_row.{name} = kept.{name}", name = ident(name))).collect();
    let sql = format!(
        "UPDATE {} AS shanty_row SET {} FROM {KEPT} AS kept WHERE {}; DROP TABLE {KEPT}",
        table_name(&load.table),
        set.join(", "),
        filter.join(" AND ")
    );
    handle.execute_batch(&sql).map_err(error::from)
}
