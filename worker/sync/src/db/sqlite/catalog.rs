//! What a file says about its tables.
//!
//! In: names. Out: tables in the words of all engines. Never: a row of a user's table. Tests:
//! `worker/sync/tests/databases/sqlite.rs`.

use super::dialect::{Sqlite, ident, table_name, text};
use super::{ddl, declared, error};
use crate::db::{Class, DbError, Dialect as _};
use crate::schema::{Column, Index, IndexColumn, Kind, Table, TableName};
use rusqlite::{Connection, OptionalExtension as _, Row};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Names of the tables of a schema.
pub(super) fn tables(handle: &Connection, schema: &str) -> Result<Vec<TableName>, DbError> {
    let sql = format!(
        "SELECT name FROM pragma_table_list WHERE type = 'table' AND schema = {} \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'shanty\\_sync\\_%' ESCAPE '\\' ORDER BY name",
        text(schema)
    );
    let names: Vec<String> = list(handle, &sql, |row| row.get(0))?;
    Ok(names.into_iter().map(|name| TableName { schema: Some(schema.to_owned()), name }).collect())
}

fn list<T>(
    handle: &Connection,
    sql: &str,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, DbError> {
    let mut statement = handle.prepare(sql).map_err(error::from)?;
    let rows = statement.query_map([], row).map_err(error::from)?;
    rows.collect::<Result<_, _>>().map_err(error::from)
}

/// A table; none when there is none.
pub(super) fn describe(handle: &Connection, wanted: &TableName) -> Result<Option<Table>, DbError> {
    let schema = wanted.schema.as_deref().unwrap_or("main");
    let sql = format!(
        "SELECT name, type, wr FROM pragma_table_list WHERE schema = {} AND name = {} COLLATE NOCASE",
        text(schema),
        text(&wanted.name)
    );
    let found = handle
        .query_row(&sql, [], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?)))
        .optional()
        .map_err(error::from)?;
    let Some((name, sort, without_rowid)) = found else { return Ok(None) };
    let name = TableName { schema: Some(schema.to_owned()), name };
    let (columns, primary_key) = columns(handle, &name, without_rowid)?;
    let rowid = ["rowid", "_rowid_", "oid"]
        .into_iter()
        .find(|rowid| columns.iter().all(|column| !column.name.eq_ignore_ascii_case(rowid)))
        .filter(|_| sort == "table" && !without_rowid)
        .map(str::to_owned);
    let (indexes, mut left_out) = indexes(handle, &name)?;
    left_out.extend(foreign_keys(handle, &name)?);
    let creation = creation(handle, &name)?;
    if creation.to_ascii_uppercase().contains("CHECK") {
        left_out.push("checks".to_owned());
    }
    Ok(Some(Table {
        columns,
        primary_key,
        indexes,
        rows: rows(handle, &name)?,
        bytes: None,
        transactional: true,
        view: sort == "view",
        hindrances: triggers(handle, &name)?,
        left_out,
        rowid,
        name,
    }))
}

fn columns(
    handle: &Connection,
    table: &TableName,
    without_rowid: bool,
) -> Result<(Vec<Column>, Vec<String>), DbError> {
    let sql = format!(
        "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM {} WHERE hidden <> 1 ORDER BY cid",
        ddl::pragma("table_xinfo", table)
    );
    let mut columns: Vec<(i64, Column)> = list(handle, &sql, |row| {
        let native: String = row.get(1)?;
        let kind = declared::kind(&native);
        let (key, hidden): (i64, i64) = (row.get(4)?, row.get(5)?);
        let column = Column {
            name: row.get(0)?,
            native,
            kind,
            nullable: !row.get::<_, bool>(2)?,
            generated: hidden > 1,
            auto: false,
            default: row.get(3)?,
            collation: None,
        };
        Ok((key, column))
    })?;
    let in_key = columns.iter().filter(|(key, _)| *key > 0).count();
    for (key, column) in &mut columns {
        // The row's own number; in tables without one the key's columns are never NULL either.
        let is_number =
            *key > 0 && in_key == 1 && !without_rowid && column.native.eq_ignore_ascii_case("INTEGER");
        column.auto = is_number;
        column.nullable &= !(is_number || (*key > 0 && without_rowid));
    }
    let mut key: Vec<(i64, String)> =
        columns.iter().filter(|(key, _)| *key > 0).map(|(key, column)| (*key, column.name.clone())).collect();
    key.sort();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    Ok((columns, key.into_iter().map(|(_, name)| name).collect()))
}

fn indexes(handle: &Connection, table: &TableName) -> Result<(Vec<Index>, Vec<String>), DbError> {
    let sql = format!(
        "SELECT name, \"unique\", partial FROM {} WHERE origin <> 'pk' ORDER BY name",
        ddl::pragma("index_list", table)
    );
    let named: Vec<(String, bool, bool)> =
        list(handle, &sql, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let (mut indexes, mut left_out) = (Vec::new(), Vec::new());
    for (name, unique, partial) in named {
        let schema = text(table.schema.as_deref().unwrap_or("main"));
        let sql = format!(
            "SELECT name, desc FROM pragma_index_xinfo({}, {schema}) WHERE key ORDER BY seqno",
            text(&name)
        );
        let columns: Vec<(Option<String>, bool)> = list(handle, &sql, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let plain: Option<Vec<IndexColumn>> = columns
            .into_iter()
            .map(|(name, descending)| Some(IndexColumn { name: name?, prefix: None, descending }))
            .collect();
        match plain {
            Some(_) if partial => left_out.push(format!("index {name}, which is partial")),
            Some(columns) => indexes.push(Index { name, columns, unique }),
            None => left_out.push(format!("index {name}, which is over an expression")),
        }
    }
    Ok((indexes, left_out))
}

fn foreign_keys(handle: &Connection, table: &TableName) -> Result<Vec<String>, DbError> {
    let sql =
        format!("SELECT DISTINCT id, \"table\" FROM {} ORDER BY id", ddl::pragma("foreign_key_list", table));
    list(handle, &sql, |row| Ok(format!("foreign key to {}", row.get::<_, String>(1)?)))
}

fn schema_table(table: &TableName) -> String {
    format!("{}.sqlite_schema", ident(table.schema.as_deref().unwrap_or("main")))
}

fn creation(handle: &Connection, table: &TableName) -> Result<String, DbError> {
    let sql = format!("SELECT sql FROM {} WHERE name = {}", schema_table(table), text(&table.name));
    let found: Option<Option<String>> =
        handle.query_row(&sql, [], |row| row.get(0)).optional().map_err(error::from)?;
    Ok(found.flatten().unwrap_or_default())
}

fn triggers(handle: &Connection, table: &TableName) -> Result<Vec<String>, DbError> {
    let sql = format!(
        "SELECT name FROM {} WHERE type = 'trigger' AND tbl_name = {} ORDER BY name",
        schema_table(table),
        text(&table.name)
    );
    list(handle, &sql, |row| Ok(format!("trigger {}", row.get::<_, String>(0)?)))
}

/// Rows as ANALYZE counted them, the whole table's being the largest count of its indexes.
fn rows(handle: &Connection, table: &TableName) -> Result<Option<u64>, DbError> {
    let stat = TableName { schema: table.schema.clone(), name: "sqlite_stat1".to_owned() };
    let sql = format!("SELECT stat FROM {} WHERE tbl = {}", table_name(&stat), text(&table.name));
    match list(handle, &sql, |row| row.get::<_, Option<String>>(0)) {
        Ok(stats) => Ok(stats.into_iter().filter_map(|stat| stat?.split(' ').next()?.parse().ok()).max()),
        Err(missing) if missing.class == Class::Missing => Ok(None),
        Err(failed) => Err(failed),
    }
}

/// The largest value of a column as the text of its key.
///
/// # Errors
/// Other, for a column that has no order.
pub(super) fn largest(table: &TableName, column: &Column) -> Result<String, DbError> {
    let Some(expr) = Sqlite.key_expr(column).filter(|_| column.kind != Kind::Any) else {
        let words = format!("column {} has no order that shows what is newer", column.name);
        return Err(DbError::new(Class::Other, words));
    };
    Ok(format!(
        "SELECT {} FROM {} WHERE {expr} IS NOT NULL ORDER BY {expr} DESC LIMIT 1",
        Sqlite.key_select(column),
        table_name(table)
    ))
}

/// What tells a file from all others: where it is, and which one it is there.
pub(super) fn identity(path: &Path) -> std::io::Result<String> {
    let place = path.canonicalize()?;
    let which = place.metadata()?;
    Ok(format!("sqlite:{}:{}:{}", place.display(), which.dev(), which.ino()))
}

/// What this account lacks for writing a file and the log beside it.
pub(super) fn missing_privileges(path: &Path) -> Vec<String> {
    let mut missing = Vec::new();
    // Asked of SQLite: opening the file otherwise and closing it would let go of SQLite's locks on it.
    let writable = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|handle| handle.is_readonly("main"));
    if !matches!(writable, Ok(false)) {
        missing.push(format!("the file is not writable: chmod u+w {0} or chown it", path.display()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let probe = folder.join(format!(".shanty-probe-{}", std::process::id()));
    match std::fs::File::create_new(&probe) {
        Ok(_) => {
            let _gone = std::fs::remove_file(&probe);
        }
        Err(_) => missing.push(format!(
            "the folder is not writable, where SQLite keeps its log: chmod u+w {0} or chown it",
            folder.display()
        )),
    }
    missing
}
