//! Rows whose keys are in the table already.
//!
//! In: rows, their key, perhaps a column that says which version is newer. Out: the table with these rows.
//! Never: a change of another row. Tests: against a server in `worker/sync/tests/databases/postgres.rs`.
//!
//! The rows go into a temporary table and from there by INSERT … ON CONFLICT. When that meets a unique value that
//! another row of the load gives up, it is undone, and the rows with these keys are taken out and put
//! back. Columns that the load does not have keep their values both ways.

use super::dialect::{UTF8, ident, idents, text};
use super::session::Session;
use super::write;
use crate::db::{Class, DbError, Dialect as _, Load, Rows};

/// The rows of the load.
const NEW: &str = "pg_temp.shanty_load";
/// What the rows of the load keep of the rows that they replace.
const KEPT: &str = "pg_temp.shanty_kept";

/// Replaces; see [`OnDuplicate::Replace`](crate::db::OnDuplicate::Replace).
pub(super) async fn replace(
    session: &mut Session,
    load: &Load,
    key: &[String],
    newer: Option<&str>,
    rows: Rows<'_>,
    count: u64,
) -> Result<(), DbError> {
    let table = UTF8.table(&load.table);
    let columns = idents(load.columns.iter().map(|column| column.name.as_str()));
    session
        .run(&format!(
            "CREATE TEMPORARY TABLE shanty_load ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA"
        ))
        .await?;
    write::copy(session, NEW, load, rows, count).await?;
    session.run("SAVEPOINT shanty_replace").await?;
    // Identities that are always numbered by the server can be inserted but not updated.
    let is_numbered = |name: &str| load.columns.iter().any(|column| column.name == name && column.auto);
    let others: Vec<&str> = load.columns.iter().map(|column| column.name.as_str()).collect();
    let others: Vec<&str> = others.into_iter().filter(|name| !key.iter().any(|key| key == name)).collect();
    let is_updatable = !others.iter().any(|name| is_numbered(name));
    let upserted = if is_updatable {
        let sql = upsert(&table, &columns, key, &others, newer);
        session.run(&sql).await
    } else {
        Err(DbError { class: Class::Row, code: UNIQUE.to_owned(), message: String::new() })
    };
    match upserted {
        // With a guard, or with nothing to change, rows may rightly stay as they are.
        Ok(touched) if newer.is_some() || others.is_empty() || touched == count => {}
        Ok(touched) => return Err(kept_out(touched, count, &table)),
        Err(error) if error.code == UNIQUE => {
            session.run("ROLLBACK TO SAVEPOINT shanty_replace").await?;
            take_out_and_put_back(session, &table, load, key, newer, count).await?;
        }
        Err(error) => return Err(error),
    }
    session.run(&format!("DROP TABLE {NEW}")).await?;
    Ok(())
}

const UNIQUE: &str = "23505";

fn upsert(table: &str, columns: &str, key: &[String], others: &[&str], newer: Option<&str>) -> String {
    let keys = idents(key.iter().map(String::as_str));
    let action = if others.is_empty() {
        "NOTHING".to_owned()
    } else {
        let changes: Vec<String> =
            others.iter().map(|name| format!("{0} = EXCLUDED.{0}", ident(name))).collect();
        let guard = newer.map_or(String::new(), |name| {
            format!(" WHERE NOT ({})", is_older("EXCLUDED", "shanty_old", name))
        });
        format!("UPDATE SET {}{guard}", changes.join(", "))
    };
    format!(
        "INSERT INTO {table} AS shanty_old ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {NEW} \
         ON CONFLICT ({keys}) DO {action}"
    )
}

/// Whether the new version is older than the one that is there. No value at all is older than any.
fn is_older(new: &str, old: &str, column: &str) -> String {
    let column = ident(column);
    format!(
        "coalesce({new}.{column} < {old}.{column}, {new}.{column} IS NULL AND {old}.{column} IS NOT NULL)"
    )
}

fn kept_out(arrived: u64, wanted: u64, table: &str) -> DbError {
    let message =
        format!("{arrived} of {wanted} rows arrived in {table}; a trigger or a rule kept the others");
    DbError::new(Class::Row, message)
}

async fn take_out_and_put_back(
    session: &mut Session,
    table: &str,
    load: &Load,
    key: &[String],
    newer: Option<&str>,
    count: u64,
) -> Result<(), DbError> {
    let quoted = text(table);
    let cascades = session
        .ask_one(&format!(
            "SELECT string_agg(conrelid::regclass::text, ', ') FROM pg_constraint \
             WHERE contype = 'f' AND confrelid = {quoted}::regclass AND confdeltype IN ('c', 'n', 'd')"
        ))
        .await?;
    if let Some(others) = cascades {
        return Err(DbError::new(
            Class::Row,
            format!(
                "unique values of {table} moved between rows, and taking rows out would change {others}; \
                 drop those foreign keys while the sync runs, or make the unique constraints deferrable"
            ),
        ));
    }
    let same = |one: &str, other: &str| {
        let pairs: Vec<String> =
            key.iter().map(|name| format!("{one}.{0} = {other}.{0}", ident(name))).collect();
        pairs.join(" AND ")
    };
    let mut wanted_rows = count;
    if let Some(name) = newer {
        wanted_rows -= session
            .run(&format!(
                "DELETE FROM {NEW} AS n USING {table} AS o WHERE {} AND {}",
                same("n", "o"),
                is_older("n", "o", name)
            ))
            .await?
            .min(count);
    }
    let loaded = |name: &str| load.columns.iter().any(|column| column.name == name);
    let all = session
        .ask(&format!(
            "SELECT attname FROM pg_attribute WHERE attrelid = {quoted}::regclass AND attnum > 0 \
             AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"
        ))
        .await?;
    let all: Vec<String> = all.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    let kept: Vec<&str> = all.iter().map(String::as_str).filter(|name| !loaded(name)).collect();
    let columns: Vec<&str> = load.columns.iter().map(|column| column.name.as_str()).collect();
    let plain = idents(columns.iter().copied());
    let keys = idents(key.iter().map(String::as_str));
    let first = if kept.is_empty() {
        None
    } else {
        let wanted = idents(key.iter().map(String::as_str).chain(kept.iter().copied()));
        session
            .run(&format!(
                "CREATE TEMPORARY TABLE shanty_kept ON COMMIT DROP AS SELECT {wanted} FROM {table} \
                 WHERE ({keys}) IN (SELECT {keys} FROM {NEW})"
            ))
            .await?;
        let from_new = columns.iter().map(|name| format!("n.{}", ident(name)));
        let from_old = kept.iter().map(|name| format!("k.{}", ident(name)));
        let from: Vec<String> = from_new.chain(from_old).collect();
        Some(format!(
            "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {NEW} n JOIN {KEPT} k ON {}",
            idents(columns.iter().chain(kept.iter()).copied()),
            from.join(", "),
            same("n", "k")
        ))
    };
    session.run(&format!("DELETE FROM {table} AS o USING {NEW} AS n WHERE {}", same("o", "n"))).await?;
    let mut rest =
        format!("INSERT INTO {table} ({plain}) OVERRIDING SYSTEM VALUE SELECT {plain} FROM {NEW} n");
    let mut arrived = 0;
    if let Some(first) = first {
        arrived += session.run(&first).await?;
        rest.push_str(&format!(" WHERE NOT EXISTS (SELECT FROM {KEPT} k WHERE {})", same("n", "k")));
    }
    arrived += session.run(&rest).await?;
    if arrived != wanted_rows {
        return Err(kept_out(arrived, wanted_rows, table));
    }
    if !kept.is_empty() {
        session.run(&format!("DROP TABLE {KEPT}")).await?;
    }
    Ok(())
}
