//! How PostgreSQL writes SQL.
//!
//! In: names, columns, canonical values. Out: SQL. Never: a connection.
//! Tests: below; against a server in `worker/sync/tests/databases/postgres.rs`.

use super::binary::BinaryEncoder;
use super::{ddl, hash, raw, record, types, write};
use crate::db::{Comparison, ControlTypes, Dialect, Engine, Order, RawHasher, RowEncoder, SelectParts, Side};
use crate::schema::{Column, Kind, Table};
use std::fmt::Write as _;

/// PostgreSQL's SQL.
#[derive(Debug)]
pub(super) struct Postgres {
    /// Whether the database keeps its texts in UTF-8. Their bytes are what is hashed.
    utf8: bool,
    /// Whether the server hashes whole records: from 14 on.
    records: bool,
}

/// For databases in UTF-8.
pub(super) static UTF8: Postgres = Postgres { utf8: true, records: true };
/// For databases in another encoding.
static OTHER: Postgres = Postgres { utf8: false, records: true };
/// The same of servers before 14.
static UTF8_BEFORE_14: Postgres = Postgres { utf8: true, records: false };
static OTHER_BEFORE_14: Postgres = Postgres { utf8: false, records: false };

/// The SQL of a server: whether it keeps texts in UTF-8, and its version as it counts itself (`150004`).
pub(super) fn of_server(is_utf8: bool, version: i32) -> &'static Postgres {
    match (is_utf8, version >= 140_000) {
        (true, true) => &UTF8,
        (false, true) => &OTHER,
        (true, false) => &UTF8_BEFORE_14,
        (false, false) => &OTHER_BEFORE_14,
    }
}

/// A quoted identifier.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string literal that reads the same whatever `standard_conforming_strings` says.
pub(super) fn text(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// Quoted names, separated by commas.
pub(super) fn idents<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(ident).collect::<Vec<_>>().join(", ")
}

impl Dialect for Postgres {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn ident(&self, name: &str) -> String {
        ident(name)
    }

    fn text(&self, value: &str) -> String {
        text(value)
    }

    fn literal(&self, column: &Column, value: &str) -> String {
        match column.kind {
            Kind::Bytes { .. } | Kind::Binary { .. } => format!("decode({}, 'hex')", text(value)),
            _ => format!("{}::{}", text(value), types::compared(column)),
        }
    }

    fn select_expr(&self, column: &Column) -> String {
        ident(&column.name)
    }

    fn key_expr(&self, column: &Column) -> Option<String> {
        types::is_ordered(&column.kind).then(|| ident(&column.name))
    }

    fn key_select(&self, column: &Column) -> String {
        let name = ident(&column.name);
        let value = match column.kind {
            Kind::Bytes { .. } | Kind::Binary { .. } => format!("encode({name}, 'hex')"),
            Kind::Timestamp { .. } => format!("({name} AT TIME ZONE 'UTC')::text"),
            Kind::Bool => format!("{name}::integer::text"),
            _ => format!("{name}::text"),
        };
        // A result named like the column would be what ORDER BY means by that name: an order of texts.
        format!("({value} || '')")
    }

    fn compare(&self, key: &[(String, String)], comparison: Comparison) -> String {
        let operator = match comparison {
            Comparison::After => ">",
            Comparison::From => ">=",
            Comparison::UpTo => "<=",
            Comparison::Equal => "=",
        };
        match key {
            [] => "true".to_owned(),
            [(expr, literal)] => format!("{expr} {operator} {literal}"),
            _ => {
                let left: Vec<&str> = key.iter().map(|(expr, _)| expr.as_str()).collect();
                let right: Vec<&str> = key.iter().map(|(_, literal)| literal.as_str()).collect();
                format!("({}) {operator} ({})", left.join(", "), right.join(", "))
            }
        }
    }

    fn select(&self, query: &SelectParts<'_>) -> String {
        let mut sql = format!("SELECT {} FROM {}", query.columns(), self.table(query.table));
        if !query.filters.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&query.filters.join(" AND "));
        }
        if !query.order.is_empty() {
            let downwards = match query.direction {
                Order::Up => "",
                Order::Down => " DESC",
            };
            let order: Vec<String> = query.order.iter().map(|expr| format!("{expr}{downwards}")).collect();
            sql.push_str(" ORDER BY ");
            sql.push_str(&order.join(", "));
        }
        // Writing to a String does not fail.
        if let Some(limit) = query.limit {
            let _ = write!(sql, " LIMIT {limit}");
        }
        if query.offset > 0 {
            let _ = write!(sql, " OFFSET {}", query.offset);
        }
        sql
    }

    fn column_type(&self, kind: &Kind) -> Result<String, String> {
        types::declared(kind)
    }

    fn create_table(&self, table: &Table) -> Result<String, String> {
        ddl::create_table(self, table)
    }

    fn create_key(&self, table: &Table) -> Option<String> {
        ddl::create_key(self, table)
    }

    fn create_indexes(&self, table: &Table) -> Vec<String> {
        ddl::create_indexes(self, table)
    }

    fn after_load(&self, table: &Table) -> Vec<String> {
        ddl::after_load(self, table)
    }

    fn encoder(&self, columns: &[Column]) -> Box<dyn RowEncoder> {
        Box::new(write::TextEncoder::new(columns))
    }

    fn raw_encoder(&self, columns: &[Column]) -> Option<Box<dyn RowEncoder>> {
        Some(Box::new(BinaryEncoder::new(columns)?))
    }

    fn hash_text(&self, side: &Side<'_>) -> Option<String> {
        if side.same_engine && self.records { hash::part(side) } else { hash::text(side) }
    }

    fn row_hash(&self, texts: &[String], same_engine: bool) -> String {
        if same_engine && self.records {
            hash::record(texts)
        } else {
            hash::row(texts, same_engine, self.utf8)
        }
    }

    fn hash_family(&self) -> &'static str {
        match (self.utf8, self.records) {
            (true, true) => "postgres",
            (false, true) => "postgres in another encoding",
            (true, false) => "postgres before 14",
            (false, false) => "postgres before 14 in another encoding",
        }
    }

    fn control_types(&self) -> ControlTypes {
        ControlTypes {
            name: "varchar(190) COLLATE \"C\"",
            number: "bigint",
            text: "text",
            // Room on each page for the next version of a row that is updated with every page of data.
            options: " WITH (fillfactor = 50)",
        }
    }

    fn kill(&self, backend: &str) -> Option<String> {
        // A number of a process may have been given to somebody else: its start decides.
        let (process, started) = backend.split_once('.')?;
        let process: i32 = process.parse().ok()?;
        let started: i64 = started.parse().ok()?;
        Some(format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = {process} AND \
             round(extract(epoch FROM backend_start) * 1000000)::bigint = {started}"
        ))
    }

    fn raw_compatible(&self, source: &[Column], target: &[Column], key: &[usize]) -> bool {
        let same = |(source, target): (&Column, &Column)| {
            source.native == target.native && source.kind == target.kind && types::travels_raw(source)
        };
        source.len() == target.len()
            && source.iter().zip(target).all(same)
            && key.iter().all(|index| source.get(*index).is_some_and(raw::reads_key))
    }

    fn raw_key(&self, column: &Column, index: usize, row: &[u8]) -> Option<String> {
        raw::key(column, index, row)
    }

    fn raw_hasher(&self, columns: &[Column]) -> Option<RawHasher> {
        // Texts are sent in UTF-8 and hashed as they are kept.
        (self.records && self.utf8 && hash::is_of_sent(columns)).then_some(record::hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TableName;

    fn column(name: &str, native: &str, kind: Kind) -> Column {
        Column {
            name: name.to_owned(),
            native: native.to_owned(),
            kind,
            nullable: true,
            generated: false,
            auto: false,
            default: None,
            collation: None,
        }
    }

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(UTF8.ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(UTF8.text("it's"), "'it''s'");
        assert_eq!(UTF8.text("\\'"), "E'\\\\'''");
        let name = TableName { schema: Some("S".to_owned()), name: "t".to_owned() };
        assert_eq!(UTF8.table(&name), "\"S\".\"t\"");
    }

    #[test]
    fn literals_have_the_columns_type_without_its_length() {
        for (native, kind, value, expected) in [
            ("integer", Kind::Int { bits: 32, unsigned: false }, "-5", "'-5'::integer"),
            ("character varying(3)", Kind::Text { limit: Some(3) }, "abcd", "'abcd'::character varying"),
            ("character(3)", Kind::Char { length: 3 }, "a", "'a'::bpchar"),
            ("bytea", Kind::Bytes { limit: None }, "00ff", "decode('00ff', 'hex')"),
            ("bit(3)", Kind::Bit { width: 3, varying: false }, "101", "'101'::bit(3)"),
            (
                "timestamp(3) with time zone",
                Kind::Timestamp { digits: 3 },
                "2024-01-01 00:00:00",
                "'2024-01-01 00:00:00'::timestamp with time zone",
            ),
        ] {
            assert_eq!(UTF8.literal(&column("c", native, kind), value), expected);
        }
    }

    #[test]
    fn keys_are_compared_as_rows() {
        let one = [("\"a\"".to_owned(), "1".to_owned())];
        assert_eq!(UTF8.compare(&one, Comparison::From), "\"a\" >= 1");
        let two = [("\"a\"".to_owned(), "1".to_owned()), ("\"b\"".to_owned(), "2".to_owned())];
        assert_eq!(UTF8.compare(&two, Comparison::After), "(\"a\", \"b\") > (1, 2)");
        assert_eq!(UTF8.compare(&two, Comparison::Equal), "(\"a\", \"b\") = (1, 2)");
    }

    #[test]
    fn a_select_has_its_parts() {
        let table = TableName { schema: None, name: "t".to_owned() };
        let exprs = ["\"a\"".to_owned()];
        let filters = ["x".to_owned(), "y".to_owned()];
        let mut parts = SelectParts {
            table: &table,
            exprs: &exprs,
            filters: &filters,
            order: &exprs,
            direction: Order::Down,
            limit: Some(5),
            offset: 7,
            keyset: true,
        };
        assert_eq!(
            UTF8.select(&parts),
            "SELECT \"a\" AS shanty_0 FROM \"t\" WHERE x AND y ORDER BY \"a\" DESC LIMIT 5 OFFSET 7"
        );
        parts = SelectParts { filters: &[], order: &[], limit: None, offset: 0, ..parts };
        assert_eq!(UTF8.select(&parts), "SELECT \"a\" AS shanty_0 FROM \"t\"");
    }

    #[test]
    fn a_key_that_is_shown_is_not_what_order_by_means() {
        let id = column("id", "integer", Kind::Int { bits: 32, unsigned: false });
        assert_eq!(UTF8.key_select(&id), "(\"id\"::text || '')");
        let bytes = column("y", "bytea", Kind::Bytes { limit: None });
        assert_eq!(UTF8.key_select(&bytes), "(encode(\"y\", 'hex') || '')");
    }

    #[test]
    fn a_session_is_ended_by_its_number_and_start() {
        let sql = UTF8.kill("12.1700000000000000").unwrap();
        assert!(sql.contains("pid = 12 ") && sql.contains("= 1700000000000000"), "{sql}");
        assert_eq!(UTF8.kill("12"), None);
        assert_eq!(UTF8.kill("1 OR 1=1.2"), None);
    }

    #[test]
    fn rows_of_common_types_are_hashed_by_the_server_and_here() {
        let id = column("id", "bigint", Kind::Int { bits: 64, unsigned: false });
        let name = column("name", "character varying(9)", Kind::Text { limit: Some(9) });
        let blank = column("blank", "character(9)", Kind::Char { length: 9 });
        assert!(UTF8.raw_hasher(&[id.clone(), name.clone()]).is_some());
        // It is sent with its blanks and hashed without.
        assert!(UTF8.raw_hasher(&[id.clone(), blank]).is_none());
        assert!(OTHER.raw_hasher(&[id.clone(), name.clone()]).is_none());
        assert!(UTF8_BEFORE_14.raw_hasher(&[id, name]).is_none());
    }

    #[test]
    fn only_equal_types_travel_raw() {
        let id = column("id", "bigint", Kind::Int { bits: 64, unsigned: false });
        let name = column("name", "text", Kind::Text { limit: None });
        let money = column("m", "money", Kind::Other { native: "money".to_owned(), bytes: false });
        let ints = column("i", "integer[]", Kind::Other { native: "integer[]".to_owned(), bytes: false });
        let moods = column("i", "mood[]", Kind::Other { native: "mood[]".to_owned(), bytes: false });
        let citext = column("c", "citext", Kind::Text { limit: None });
        let price = column("p", "numeric", Kind::Decimal { size: None, unsigned: false });
        let same = |columns: &[Column], key: &[usize]| UTF8.raw_compatible(columns, columns, key);
        assert!(same(&[id.clone(), name.clone(), ints], &[0, 1]));
        assert!(!same(&[id.clone(), money], &[0]));
        assert!(!same(&[id.clone(), moods], &[0]));
        assert!(!same(&[id.clone(), citext], &[0]));
        assert!(same(&[id.clone(), price.clone()], &[0]));
        assert!(!same(&[id.clone(), price], &[2]));
        let wide = column("name", "character varying(9)", Kind::Text { limit: Some(9) });
        assert!(!UTF8.raw_compatible(&[id.clone(), name], &[id, wide], &[0]));
    }
}
