//! A table as PostgreSQL's catalog has it.
//!
//! In: names. Out: [`Table`] with kinds, keys, indexes, sizes and what stands in the way of a copy.
//! Never: a scan of the table. Tests: against a server in `worker/sync/tests/databases/postgres.rs`.

use super::dialect::{UTF8, text};
use super::session::Session;
use super::types::{self, Native};
use crate::db::{DbError, Dialect as _, TextRow};
use crate::schema::{Column, Index, IndexColumn, Table, TableName};

/// Tables in which the state of syncs is kept begin so.
const STATE: &str = "shanty\\_sync";

/// See [`Connection::tables`](crate::db::Connection::tables). Partitions are parts of their table, and what an
/// extension owns comes with it.
pub(super) async fn tables(session: &mut Session, schema: Option<&str>) -> Result<Vec<TableName>, DbError> {
    let schema = schema.map_or("current_schema()".to_owned(), text);
    let rows = session
        .ask(&format!(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {schema} AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
             AND c.relname NOT LIKE {} AND NOT EXISTS (SELECT FROM pg_depend d WHERE \
             d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
             ORDER BY c.relname COLLATE \"C\"",
            text(&format!("{STATE}%"))
        ))
        .await?;
    let name = |row: TextRow| {
        let mut cells = row.into_iter();
        let schema = cells.next().flatten();
        Some(TableName { schema, name: cells.next().flatten()? })
    };
    Ok(rows.into_iter().filter_map(name).collect())
}

/// See [`Connection::describe`](crate::db::Connection::describe).
pub(super) async fn describe(session: &mut Session, name: &TableName) -> Result<Option<Table>, DbError> {
    let quoted = text(&UTF8.table(name));
    let rows = session
        .ask(&format!(
            "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.reltuples::bigint, \
             pg_relation_size(c.oid), pg_table_size(c.oid), c.relrowsecurity, c.relforcerowsecurity, \
             (SELECT CASE WHEN min(l.reltuples) < 0 THEN -1 ELSE sum(l.reltuples) END::bigint \
              FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid WHERE p.isleaf), \
             (SELECT sum(pg_table_size(p.relid))::bigint FROM pg_partition_tree(c.oid) p WHERE p.isleaf) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = to_regclass({quoted}) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        ))
        .await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let at = |index: usize| row.get(index).and_then(Option::as_deref).unwrap_or_default();
    let number = |index: usize| at(index).parse::<i64>().ok();
    let oid = at(0).to_owned();
    let kind = at(3).to_owned();
    let (rows, bytes) = match kind.as_str() {
        "p" => (number(10), number(11)),
        _ => (rows_known(number(5), number(6)), number(7)),
    };
    let mut hindrances = hindrances(session, &oid).await?;
    if at(4) == "u" {
        hindrances.push(
            "it is UNLOGGED: a crash of the server empties it while the state of the sync stays; ALTER TABLE … SET LOGGED"
                .to_owned(),
        );
    }
    if at(8) == "t" {
        let forced = if at(9) == "t" { ", for its owner too" } else { "" };
        hindrances.push(format!("row security is on{forced}"));
    }
    let columns = columns(session, &oid).await?;
    let (primary_key, indexes, mut left_out) = indexes(session, &oid).await?;
    left_out.extend(constraints(session, &oid).await?);
    Ok(Some(Table {
        name: TableName { schema: Some(at(1).to_owned()), name: at(2).to_owned() },
        columns,
        primary_key,
        indexes,
        rows: rows.and_then(|rows| u64::try_from(rows).ok()),
        bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        transactional: kind != "f",
        view: matches!(kind.as_str(), "v" | "m" | "f"),
        hindrances,
        left_out,
        rowid: None,
    }))
}

/// Statistics say −1 (before version 14: 0) for a table that nobody has looked at; one without a page has no rows.
fn rows_known(counted: Option<i64>, main_bytes: Option<i64>) -> Option<i64> {
    match (counted, main_bytes) {
        (_, Some(0)) => Some(0),
        (Some(counted), _) if counted > 0 => Some(counted),
        _ => None,
    }
}

async fn columns(session: &mut Session, oid: &str) -> Result<Vec<Column>, DbError> {
    let rows = session
        .ask(&format!(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull OR t.typnotnull, a.attidentity <> '', \
             a.attgenerated <> '', pg_get_expr(d.adbin, d.adrelid), \
             CASE WHEN a.attcollation <> t.typcollation OR c.collname NOT IN ('default') THEN c.collname END, \
             b.typname, b.typtype, b.nspname = 'pg_catalog', b.typmod, format_type(b.oid, b.typmod), \
             array_to_json(ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = b.oid \
             ORDER BY e.enumsortorder)) \
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             LEFT JOIN pg_collation c ON c.oid = a.attcollation \
             CROSS JOIN LATERAL (WITH RECURSIVE base (oid, typmod, depth) AS ( \
             SELECT a.atttypid, a.atttypmod, 0 UNION ALL \
             SELECT u.typbasetype, u.typtypmod, base.depth + 1 FROM base JOIN pg_type u ON u.oid = base.oid \
             WHERE u.typtype = 'd') \
             SELECT base.oid, base.typmod, u.typname, u.typtype, n.nspname FROM base \
             JOIN pg_type u ON u.oid = base.oid JOIN pg_namespace n ON n.oid = u.typnamespace \
             ORDER BY base.depth DESC LIMIT 1) b \
             WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        ))
        .await?;
    Ok(rows.iter().map(column).collect())
}

fn column(row: &TextRow) -> Column {
    let text = |index: usize| row.get(index).cloned().flatten();
    let is = |index: usize| text(index).as_deref() == Some("t");
    let default = text(5);
    let (name, class, full) =
        (text(7).unwrap_or_default(), text(8).unwrap_or_default(), text(11).unwrap_or_default());
    let labels = text(12).and_then(|labels| serde_json::from_str(&labels).ok()).unwrap_or_default();
    let kind = types::kind(&Native {
        name: &name,
        class: &class,
        builtin: is(9),
        modifier: text(10).and_then(|modifier| modifier.parse().ok()).unwrap_or(-1),
        full: &full,
        labels,
    });
    let is_generated = is(4);
    Column {
        name: text(0).unwrap_or_default(),
        native: text(1).unwrap_or_default(),
        kind,
        nullable: !is(2),
        generated: is_generated,
        auto: is(3) || (!is_generated && default.as_deref().is_some_and(|sql| sql.starts_with("nextval("))),
        default: default.filter(|_| !is_generated),
        collation: text(6),
    }
}

/// The primary key, the other indexes, and what is left out.
async fn indexes(
    session: &mut Session,
    oid: &str,
) -> Result<(Vec<String>, Vec<Index>, Vec<String>), DbError> {
    let rows = session
        .ask(&format!(
            "SELECT i.indexrelid, x.relname, i.indisprimary, i.indisunique, \
             am.amname = 'btree' AND i.indpred IS NULL AND i.indisvalid AND NOT (0 = ANY (i.indkey::int2[])), \
             a.attname, (i.indoption[k.n] & 1) = 1, pg_get_indexdef(i.indexrelid) \
             FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am am ON am.oid = x.relam \
             CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS k (n) \
             LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n] \
             WHERE i.indrelid = {oid} ORDER BY x.relname COLLATE \"C\", i.indexrelid, k.n"
        ))
        .await?;
    let (mut primary_key, mut indexes, mut left_out) = (Vec::new(), Vec::<Index>::new(), Vec::new());
    let mut before = None;
    for row in &rows {
        let at = |index: usize| row.get(index).and_then(Option::as_deref).unwrap_or_default();
        let is_new = before.replace(at(0)) != Some(at(0));
        let name = at(5).to_owned();
        if at(2) == "t" {
            primary_key.push(name);
        } else if at(4) != "t" {
            if is_new {
                left_out.push(format!("index {}: {}", at(1), at(7)));
            }
        } else {
            if is_new {
                indexes.push(Index { name: at(1).to_owned(), columns: Vec::new(), unique: at(3) == "t" });
            }
            if let Some(index) = indexes.last_mut() {
                index.columns.push(IndexColumn { name, prefix: None, descending: at(6) == "t" });
            }
        }
    }
    Ok((primary_key, indexes, left_out))
}

/// Checks, foreign keys and exclusions of the table.
async fn constraints(session: &mut Session, oid: &str) -> Result<Vec<String>, DbError> {
    let rows = session
        .ask(&format!(
            "SELECT 'constraint ' || conname || ': ' || pg_get_constraintdef(oid) FROM pg_constraint \
             WHERE conrelid = {oid} AND contype IN ('c', 'f', 'x') ORDER BY conname COLLATE \"C\""
        ))
        .await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// What acts on rows as they are written: triggers, rules, other tables' foreign keys that change their rows.
async fn hindrances(session: &mut Session, oid: &str) -> Result<Vec<String>, DbError> {
    let rows = session
        .ask(&format!(
            "SELECT 'trigger ' || tgname || ': ' || pg_get_triggerdef(oid) FROM pg_trigger \
             WHERE tgrelid = {oid} AND NOT tgisinternal AND tgenabled <> 'D' \
             UNION ALL SELECT 'rule ' || rulename || ': ' || pg_get_ruledef(oid) FROM pg_rewrite \
             WHERE ev_class = {oid} AND ev_type <> '1' AND ev_enabled <> 'D' \
             UNION ALL SELECT 'foreign key ' || conname || ' of ' || conrelid::regclass || ': ' || \
             pg_get_constraintdef(oid) FROM pg_constraint WHERE confrelid = {oid} AND contype = 'f' \
             AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd')) AND conparentid = 0"
        ))
        .await?;
    let mut found: Vec<String> =
        rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    found.sort();
    Ok(found)
}
