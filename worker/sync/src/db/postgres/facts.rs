//! Answers about a server and what it knows of a table: estimates, identity, privileges, the safe bound, lag.
//!
//! In: names, conditions. Out: numbers and words. Never: a scan of a table, but for the largest value of a column
//! that is no time. Tests: against a server in `worker/sync/tests/databases/postgres.rs`.

use super::dialect::{UTF8, ident, text};
use super::session::{READER, Session};
use crate::db::{DbError, Dialect as _};
use crate::schema::{Column, Kind, TableName};
use std::time::Duration;

/// See [`Connection::estimate`](crate::db::Connection::estimate).
pub(super) async fn estimate(
    session: &mut Session,
    table: &TableName,
    filter: &str,
) -> Result<Option<u64>, DbError> {
    let sql = format!("EXPLAIN (FORMAT JSON) SELECT 1 FROM {} WHERE {filter}", UTF8.table(table));
    let plan = session.ask_one(&sql).await?.unwrap_or_default();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap_or_default();
    Ok(plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_u64))
}

/// See [`Connection::histogram`](crate::db::Connection::histogram).
pub(super) async fn histogram(
    session: &mut Session,
    table: &TableName,
    column: &Column,
) -> Result<Vec<String>, DbError> {
    let value = match column.kind {
        Kind::Bytes { .. } | Kind::Binary { .. } => "encode(b.bound::bytea, 'hex')",
        Kind::Timestamp { .. } => "(b.bound::timestamptz AT TIME ZONE 'UTC')::text",
        Kind::Bool => "b.bound::boolean::integer::text",
        _ => "b.bound",
    };
    // Statistics of a parent with its children come before its own: a query reads both.
    let rows = session
        .ask(&format!(
            "SELECT {value} FROM (SELECT s.histogram_bounds::text::text[] AS bounds FROM pg_stats s \
             JOIN pg_class c ON c.relname = s.tablename JOIN pg_namespace n ON n.oid = c.relnamespace \
             AND n.nspname = s.schemaname WHERE c.oid = to_regclass({}) AND s.attname = {} \
             ORDER BY s.inherited DESC LIMIT 1) h \
             CROSS JOIN LATERAL unnest(h.bounds) WITH ORDINALITY AS b (bound, place) ORDER BY b.place",
            text(&UTF8.table(table)),
            text(&column.name)
        ))
        .await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// See [`Connection::identity`](crate::db::Connection::identity). A replica has its primary's.
pub(super) async fn identity(session: &mut Session) -> Result<String, DbError> {
    let is_allowed =
        session.ask_one("SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')").await?;
    let cluster = if is_allowed.as_deref() == Some("t") {
        "(SELECT system_identifier::text FROM pg_control_system())"
    } else {
        "coalesce(host(inet_server_addr()), 'local') || ':' || current_setting('port')"
    };
    let sql = format!(
        "SELECT 'postgres:' || {cluster} || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) \
         || '/' || coalesce(current_schema(), '')"
    );
    Ok(session.ask_one(&sql).await?.unwrap_or_default())
}

/// See [`Connection::missing_privileges`](crate::db::Connection::missing_privileges).
pub(super) async fn missing_privileges(
    session: &mut Session,
    table: &TableName,
    write: bool,
) -> Result<Vec<String>, DbError> {
    let name = UTF8.table(table);
    let quoted = text(&name);
    // to_regclass refuses to look into a schema that may not be used; without a schema it passes such by.
    let found = match &table.schema {
        Some(schema) => format!(
            "SELECT {0}::text AS name, (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {0} AND c.relname = {1}) AS oid",
            text(schema),
            text(&table.name)
        ),
        None => format!(
            "SELECT coalesce(n.nspname, current_schema())::text AS name, c.oid FROM (SELECT to_regclass({quoted})) r (oid) \
             LEFT JOIN pg_class c ON c.oid = r.oid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace"
        ),
    };
    let rows = session
        .ask(&format!(
            "SELECT current_user, s.name, s.oid IS NOT NULL, \
             has_schema_privilege(to_regnamespace(quote_ident(s.name)), 'USAGE'), \
             has_schema_privilege(to_regnamespace(quote_ident(s.name)), 'CREATE'), \
             has_database_privilege(current_database(), 'TEMPORARY'), current_database() \
             FROM ({found}) s"
        ))
        .await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let at = |index: usize| row.get(index).and_then(Option::as_deref).unwrap_or_default();
    let user = ident(at(0));
    let schema = ident(at(1));
    let mut missing = Vec::new();
    let mut lacks = |what: &str, on: &str| {
        missing.push(format!("{what} on {on}: GRANT {what} ON {on} TO {user}"));
    };
    if at(3) == "f" {
        lacks("USAGE", &format!("SCHEMA {schema}"));
    }
    if write {
        if at(4) == "f" {
            lacks("CREATE", &format!("SCHEMA {schema}"));
        }
        if at(5) == "f" {
            lacks("TEMPORARY", &format!("DATABASE {}", ident(at(6))));
        }
    }
    if at(2) != "t" || at(3) == "f" {
        return Ok(missing);
    }
    let wanted: &[&str] = if write { &["SELECT", "INSERT", "UPDATE", "DELETE"] } else { &["SELECT"] };
    for privilege in wanted {
        let sql = format!("SELECT has_table_privilege({quoted}, '{privilege}')");
        if session.ask_one(&sql).await?.as_deref() == Some("f") {
            lacks(privilege, &format!("TABLE {name}"));
        }
    }
    if write {
        // Setting a counter asks for UPDATE, looking at it for SELECT.
        let sequences = session
            .ask(&format!(
                "SELECT s.oid::regclass, p.name FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' \
                 CROSS JOIN (VALUES ('SELECT'), ('UPDATE')) AS p (name) \
                 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass \
                 AND d.refobjid = {quoted}::regclass AND d.deptype IN ('a', 'i') \
                 AND NOT has_sequence_privilege(s.oid, p.name) ORDER BY 1, 2"
            ))
            .await?;
        for row in &sequences {
            if let [Some(sequence), Some(privilege)] = row.as_slice() {
                lacks(privilege, &format!("SEQUENCE {sequence}"));
            }
        }
    }
    Ok(missing)
}

/// See [`Connection::safe_upper`](crate::db::Connection::safe_upper).
///
/// A time is stamped with its transaction's start, rounded to the column's digits, so the bound lies one unit
/// below the start cut to them. A transaction that has begun this very moment may not be listed yet: the clock
/// itself is taken a little earlier.
pub(super) async fn safe_upper(
    session: &mut Session,
    table: &TableName,
    column: &Column,
) -> Result<(Option<String>, Option<String>), DbError> {
    let (cut, unit) = match column.kind {
        Kind::Timestamp { digits } | Kind::DateTime { digits } => {
            (format!("floor(e.least * 1e{digits}) / 1e{digits}"), format!("1e-{digits}"))
        }
        Kind::Date => ("floor(e.least / 86400) * 86400".to_owned(), "86400".to_owned()),
        _ => {
            let name = ident(&column.name);
            let sql = format!("SELECT max({name})::text FROM {}", UTF8.table(table));
            let words = format!(
                "{} is no time: a transaction that was given a smaller value may still be open",
                column.name
            );
            return Ok((session.ask_one(&sql).await?, Some(words)));
        }
    };
    let shown = if column.kind == Kind::Date { "::date" } else { "" };
    let rows = session
        .ask(&format!(
            "WITH open AS (SELECT xact_start, usename FROM pg_stat_activity \
             WHERE pid <> pg_backend_pid() AND coalesce(backend_type, '') NOT IN ('walsender', 'autovacuum worker', \
             'autovacuum launcher', 'checkpointer', 'background writer', 'walwriter', 'startup', 'archiver') \
             AND (datname = current_database() OR datname IS NULL) \
             AND NOT coalesce(application_name = '{READER}' AND usename = current_user, false)) \
             SELECT (to_timestamp(({cut}) - {unit}) AT TIME ZONE 'UTC'){shown}::text, pg_is_in_recovery(), \
             pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), \
             EXISTS (SELECT FROM open WHERE usename <> current_user), \
             EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database()) \
             FROM (SELECT extract(epoch FROM least(clock_timestamp() - interval '100 milliseconds', \
             (SELECT min(xact_start) FROM open), \
             (SELECT min(prepared) FROM pg_prepared_xacts WHERE database = current_database()), \
             CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() END))::numeric AS least) e"
        ))
        .await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let at = |index: usize| row.get(index).and_then(Option::as_deref).unwrap_or_default();
    let mut words = Vec::new();
    if at(1) == "t" {
        words.push(
            "this is a replica: transactions open on its primary are not seen; read from the primary or keep an overlap"
                .to_owned(),
        );
    }
    if at(2) != "t" && at(3) == "t" {
        words.push(
            "transactions of other accounts are not seen: GRANT pg_read_all_stats to this account".to_owned(),
        );
    }
    if at(4) == "t" {
        words.push(
            "prepared transactions are open: when they began is not known, only when they were prepared"
                .to_owned(),
        );
    }
    if !matches!(column.kind, Kind::Timestamp { .. }) {
        words.push(format!("{} has no zone: its values are taken as UTC", column.name));
    }
    let words = if words.is_empty() { None } else { Some(words.join("; ")) };
    Ok((row.first().cloned().flatten(), words))
}

/// See [`Connection::lag`](crate::db::Connection::lag).
pub(super) async fn lag(session: &mut Session) -> Result<Option<Duration>, DbError> {
    let micros = session
        .ask_one(
            "SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL \
             WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
             ELSE round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000000) \
             END::bigint",
        )
        .await?;
    Ok(micros.and_then(|micros| micros.parse().ok()).map(Duration::from_micros))
}
