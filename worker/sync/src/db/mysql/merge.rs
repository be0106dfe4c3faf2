//! Writing rows whose keys may be in the table already.
//!
//! ```text
//!   rows ──► temporary table ──┬─ drop rows that are older than the table's (with `newer`)
//!                              ├─ no other unique index: INSERT … ON DUPLICATE KEY UPDATE
//!                              └─ else: take over the other columns, DELETE the keys, INSERT
//! ```
//! ON DUPLICATE KEY UPDATE changes whichever row any unique index finds, so with a second unique index it could
//! change a row with another key; and two rows that exchanged a unique value cannot be updated one by one.
//! REPLACE is never used: it deletes rows with other keys.
//! In: rows, a key. Out: exactly those keys with the new values. Never: another row changed.
//! Tests: `worker/sync/tests/databases/mysql.rs`.

use super::literals::{ident, text};
use super::session::Session;
use super::{DIALECT, lanes};
use crate::db::{Class, DbError, Dialect as _, Load};
use crate::schema::TableName;

/// What the temporary table is called; there is one at a time per session.
const STAGE: &str = "shanty_sync_stage";

/// Writes rows over those with the same key.
///
/// # Errors
/// The server's; `Row` when a row was refused, skipped or changed.
pub(super) async fn replace(
    session: &mut Session,
    load: &Load,
    key: &[String],
    newer: Option<&str>,
    rows: &[u8],
    count: u64,
) -> Result<(), DbError> {
    if key.is_empty() {
        return Err(DbError::new(
            Class::Other,
            format!("{}: rows cannot be replaced without a key", load.table),
        ));
    }
    let table = DIALECT.table(&load.table);
    let stage_name = TableName {
        schema: load.table.schema.clone().or_else(|| session.database.clone()),
        name: STAGE.to_owned(),
    };
    let stage = DIALECT.table(&stage_name);
    let others = Others::of(session, &load.table, key).await?;
    let loaded: Vec<String> = load.columns.iter().map(|column| ident(&column.name)).collect();
    let extra: Vec<String> = if others.has_unique {
        let is_loaded = |name: &&String| load.columns.iter().any(|column| &&column.name == name);
        others.plain_columns.iter().filter(|name| !is_loaded(name)).map(|name| ident(name)).collect()
    } else {
        Vec::new()
    };
    if let Some(auto) = others.auto.as_ref().filter(|auto| extra.contains(&ident(auto))) {
        let words = format!("{}: its column {auto} numbers rows and is not loaded; load it too", load.table);
        return Err(DbError::new(Class::Other, words));
    }
    let all: Vec<String> = loaded.iter().chain(&extra).cloned().collect();
    let keys: Vec<String> = key.iter().map(|name| ident(name)).collect();
    let on: Vec<String> = keys.iter().map(|key| format!("t.{key} = s.{key}")).collect();
    let on = on.join(" AND ");

    session.execute(&format!("DROP TEMPORARY TABLE IF EXISTS {stage}")).await?;
    session
        .execute(&format!(
            "CREATE TEMPORARY TABLE {stage} (PRIMARY KEY ({})) ENGINE=InnoDB SELECT {} FROM {table} LIMIT 0",
            keys.join(", "),
            all.join(", ")
        ))
        .await?;
    lanes::fill(session, &stage, &load.columns, rows, count).await?;
    let mut left = count;
    if let Some(newer) = newer {
        let newer = ident(newer);
        // Locks the rows that are looked at: nobody else writes them until the commit.
        session.query(&format!("SELECT COUNT(*) FROM {table} t JOIN {stage} s ON {on} FOR UPDATE")).await?;
        let dropped = session
            .execute(&format!(
                "DELETE s FROM {stage} s JOIN {table} t ON {on} \
                 WHERE t.{newer} > s.{newer} OR (s.{newer} IS NULL AND t.{newer} IS NOT NULL)"
            ))
            .await?;
        left = left.saturating_sub(dropped);
    }
    if others.has_unique {
        if !extra.is_empty() {
            let sets: Vec<String> = extra.iter().map(|name| format!("s.{name} = t.{name}")).collect();
            session
                .execute(&format!("UPDATE {stage} s JOIN {table} t ON {on} SET {}", sets.join(", ")))
                .await?;
        }
        session.execute(&format!("DELETE t FROM {table} t JOIN {stage} s ON {on}")).await?;
        let names = all.join(", ");
        let insert = format!("INSERT INTO {table} ({names}) SELECT {names} FROM {stage}");
        let written = lanes::run(session, insert.as_bytes()).await?;
        if written != left {
            let words = format!("{left} rows were to be written to {table} and {written} were");
            return Err(DbError::new(Class::Row, words));
        }
    } else {
        let sets: Vec<String> = loaded.iter().map(|name| format!("{name} = VALUES({name})")).collect();
        let names = loaded.join(", ");
        let insert = format!(
            "INSERT INTO {table} ({names}) SELECT {names} FROM {stage} ON DUPLICATE KEY UPDATE {}",
            sets.join(", ")
        );
        lanes::run(session, insert.as_bytes()).await?;
    }
    session.execute(&format!("DROP TEMPORARY TABLE IF EXISTS {stage}")).await?;
    Ok(())
}

/// What else the table has.
struct Others {
    /// A unique index beside the key.
    has_unique: bool,
    /// Columns that can be written.
    plain_columns: Vec<String>,
    /// The one that numbers rows.
    auto: Option<String>,
}

impl Others {
    async fn of(session: &mut Session, table: &TableName, key: &[String]) -> Result<Others, DbError> {
        let schema = table.schema.as_deref().map_or_else(|| "DATABASE()".to_owned(), text);
        let place = format!("TABLE_SCHEMA = {schema} AND TABLE_NAME = {}", text(&table.name));
        let indexes = session
            .query(&format!(
                "SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE {place} \
                 AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX"
            ))
            .await?;
        let mut by_name: Vec<(String, Vec<String>)> = Vec::new();
        for row in indexes {
            let mut cells = row.into_iter();
            let (name, column) = (cells.next().flatten().unwrap_or_default(), cells.next().flatten());
            match by_name.last_mut().filter(|(last, _)| *last == name) {
                Some((_, columns)) => columns.extend(column),
                None => by_name.push((name, column.into_iter().collect())),
            }
        }
        // An index over the same columns finds the same rows.
        let is_key = |columns: &[String]| {
            columns.len() == key.len()
                && columns.iter().all(|column| key.iter().any(|key| key.eq_ignore_ascii_case(column)))
        };
        let has_unique = by_name.iter().any(|(_, columns)| !is_key(columns));
        if !by_name.iter().any(|(_, columns)| is_key(columns)) {
            let words = format!("{table}: no unique index over ({}); make one", key.join(", "));
            return Err(DbError::new(Class::Other, words));
        }
        let columns = session
            .query(&format!(
                "SELECT COLUMN_NAME, EXTRA LIKE '%auto_increment%' FROM information_schema.COLUMNS WHERE {place} \
                 AND EXTRA NOT LIKE '%VIRTUAL%' AND EXTRA NOT LIKE '%STORED%' AND EXTRA NOT LIKE '%PERSISTENT%' \
                 ORDER BY ORDINAL_POSITION"
            ))
            .await?;
        let is_auto = |row: &&Vec<Option<String>>| row.get(1) == Some(&Some("1".to_owned()));
        let name = |row: &Vec<Option<String>>| row.first().cloned().flatten();
        let auto = columns.iter().find(is_auto).and_then(name);
        let plain_columns = columns.iter().filter_map(name).collect();
        Ok(Others { has_unique, plain_columns, auto })
    }
}
