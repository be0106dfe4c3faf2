//! SQL as SQLite reads it.
//!
//! A key travels as text. What SQLite keeps in a key column need not be of the column's type, and text and numbers
//! are different keys; so a key that is not of the usual type of its column has a mark before it:
//! ```text
//!  text, number            of a column with text or numbers: itself; SQLite gives the literal the column's affinity
//!  small hex               of a column with bytes
//!  \u{1} i|r|t|b  small hex of its text or bytes       anything else (`r`: of the number's bits as digits)
//! ```
//! In: names, columns, keys. Out: SQL. Never: a connection. Tests: below.

use super::{cells, ddl, declared, hash};
use crate::db::{Comparison, ControlTypes, Dialect, Engine, Order, RowEncoder, SelectParts, Side};
use crate::schema::{Column, Kind, Table, TableName};
use rusqlite::types::ValueRef;

/// SQLite's SQL.
#[derive(Debug)]
pub(super) struct Sqlite;

/// Comes before a key that is not of its column's usual type.
const MARK: char = '\u{1}';

/// A quoted identifier.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A quoted table name with its schema.
pub(super) fn table_name(table: &TableName) -> String {
    match &table.schema {
        Some(schema) => format!("{}.{}", ident(schema), ident(&table.name)),
        None => ident(&table.name),
    }
}

/// A string literal. SQLite ends a statement at a NUL: such a text is written in hex.
pub(super) fn text(value: &str) -> String {
    if value.contains('\0') {
        format!("CAST(X'{}' AS TEXT)", hex(value.as_bytes()))
    } else {
        format!("'{}'", value.replace('\'', "''"))
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair.filter(|pair| pair.len() == 2)?, 16).ok()).collect()
}

/// Whether values are usually bytes, or of any type: SQLite converts nothing when it compares them.
fn without_affinity(kind: &Kind) -> bool {
    kind.is_bytes() || matches!(kind, Kind::Any)
}

/// A key with its mark, as a literal.
fn marked(value: &str) -> Option<String> {
    let mut rest = value.strip_prefix(MARK)?.chars();
    let class = rest.next()?;
    let bytes = from_hex(rest.as_str())?;
    let shown = || String::from_utf8(bytes.clone()).ok();
    match class {
        'i' => Some(shown()?.parse::<i64>().ok()?.to_string()),
        'r' => Some(format!("shanty_real({})", shown()?.parse::<i64>().ok()?)),
        't' => Some(format!("CAST(X'{}' AS TEXT)", hex(&bytes))),
        'b' => Some(format!("X'{}'", hex(&bytes))),
        _ => None,
    }
}

/// The key text of a value; the same that [`Sqlite::key_select`] makes in SQL.
fn key_text(kind: &Kind, value: ValueRef<'_>) -> Option<String> {
    let with_mark = |class: char, bytes: &[u8]| Some(format!("{MARK}{class}{}", hex(bytes)));
    let plain = !without_affinity(kind);
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) if plain => Some(number.to_string()),
        ValueRef::Integer(number) => with_mark('i', number.to_string().as_bytes()),
        ValueRef::Real(number) => with_mark('r', number.to_bits().cast_signed().to_string().as_bytes()),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if plain && !text.starts_with(MARK) => Some(text.to_owned()),
            _ => with_mark('t', bytes),
        },
        ValueRef::Blob(bytes) if plain => with_mark('b', bytes),
        ValueRef::Blob(bytes) => Some(hex(bytes)),
    }
}

impl Dialect for Sqlite {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    fn ident(&self, name: &str) -> String {
        ident(name)
    }

    fn text(&self, value: &str) -> String {
        text(value)
    }

    fn literal(&self, column: &Column, value: &str) -> String {
        if let Some(literal) = marked(value) {
            return literal;
        }
        match &column.kind {
            Kind::Int { .. } | Kind::Bool => match value.parse::<i64>() {
                Ok(number) if number > i64::MIN => number.to_string(),
                _ => text(value),
            },
            kind if kind.is_bytes() => match from_hex(value) {
                Some(bytes) => format!("X'{}'", hex(&bytes)),
                None => text(value),
            },
            // Without a mark it is what bytes look like.
            Kind::Any => from_hex(value).map_or_else(|| text(value), |bytes| format!("X'{}'", hex(&bytes))),
            _ => text(value),
        }
    }

    fn select_expr(&self, column: &Column) -> String {
        ident(&column.name)
    }

    fn key_expr(&self, column: &Column) -> Option<String> {
        match column.kind {
            Kind::Float { .. } | Kind::Json { .. } => None,
            _ => Some(ident(&column.name)),
        }
    }

    fn key_select(&self, column: &Column) -> String {
        let name = ident(&column.name);
        let marked = format!(
            "char(1) || substr(typeof({name}), 1, 1) || lower(hex(CASE typeof({name}) WHEN 'real' \
             THEN shanty_bits({name}) ELSE {name} END))"
        );
        if without_affinity(&column.kind) {
            return format!(
                "CASE typeof({name}) WHEN 'null' THEN NULL WHEN 'blob' THEN lower(hex({name})) ELSE {marked} END"
            );
        }
        format!(
            "CASE WHEN typeof({name}) IN ('blob', 'real') OR substr({name}, 1, 1) = char(1) \
             THEN {marked} ELSE CAST({name} AS TEXT) END"
        )
    }

    fn compare(&self, key: &[(String, String)], comparison: Comparison) -> String {
        let operator = match comparison {
            Comparison::After => ">",
            Comparison::From => ">=",
            Comparison::UpTo => "<=",
            Comparison::Equal => {
                let parts: Vec<String> =
                    key.iter().map(|(expr, value)| format!("{expr} = {value}")).collect();
                return format!("({})", parts.join(" AND "));
            }
        };
        match key {
            [(expr, value)] => format!("({expr} {operator} {value})"),
            key => {
                let (exprs, values): (Vec<&str>, Vec<&str>) =
                    key.iter().map(|(expr, value)| (expr.as_str(), value.as_str())).unzip();
                format!("(({}) {operator} ({}))", exprs.join(", "), values.join(", "))
            }
        }
    }

    fn select(&self, query: &SelectParts<'_>) -> String {
        let mut sql = format!("SELECT {} FROM {}", query.columns(), table_name(query.table));
        if !query.filters.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&query.filters.join(" AND "));
        }
        if !query.order.is_empty() {
            let down = if query.direction == Order::Down { " DESC" } else { "" };
            let order: Vec<String> = query.order.iter().map(|expr| format!("{expr}{down}")).collect();
            sql.push_str(" ORDER BY ");
            sql.push_str(&order.join(", "));
        }
        match (query.limit, query.offset) {
            (None, 0) => {}
            (limit, offset) => {
                let limit = limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1);
                sql.push_str(&format!(" LIMIT {limit}"));
                if offset > 0 {
                    sql.push_str(&format!(" OFFSET {offset}"));
                }
            }
        }
        sql
    }

    fn clear(&self, table: &TableName) -> String {
        format!("DELETE FROM {}", table_name(table))
    }

    fn column_type(&self, kind: &Kind) -> Result<String, String> {
        declared::column_type(kind)
    }

    fn create_table(&self, table: &Table) -> Result<String, String> {
        ddl::create_table(table)
    }

    fn create_indexes(&self, table: &Table) -> Vec<String> {
        ddl::create_indexes(table)
    }

    fn after_load(&self, table: &Table) -> Vec<String> {
        ddl::after_load(table)
    }

    fn encoder(&self, columns: &[Column]) -> Box<dyn RowEncoder> {
        Box::new(cells::Encoder::new(columns))
    }

    fn hash_text(&self, side: &Side<'_>) -> Option<String> {
        hash::text(side)
    }

    fn row_hash(&self, texts: &[String], _same_engine: bool) -> String {
        hash::row(texts)
    }

    fn control_types(&self) -> ControlTypes {
        ControlTypes { name: "TEXT", number: "INTEGER", text: "TEXT", options: "" }
    }

    fn kill(&self, _backend: &str) -> Option<String> {
        None
    }

    fn raw_compatible(&self, source: &[Column], target: &[Column], key: &[usize]) -> bool {
        source.len() == target.len()
            && key.iter().all(|at| *at < source.len())
            && source.iter().zip(target).all(|(from, to)| from.kind == to.kind)
    }

    fn raw_key(&self, column: &Column, index: usize, row: &[u8]) -> Option<String> {
        let mut rest = row;
        for _ in 0..index {
            cells::take(&mut rest)?;
        }
        key_text(&column.kind, cells::take(&mut rest)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::column;
    use super::*;
    use rusqlite::Connection;

    fn kinds() -> [(Kind, &'static str); 5] {
        [
            (Kind::Int { bits: 64, unsigned: false }, "INT"),
            (Kind::Text { limit: None }, "TEXT"),
            (Kind::Bytes { limit: None }, "BLOB"),
            (Kind::Any, ""),
            (Kind::DateTime { digits: 6 }, "DATETIME"),
        ]
    }

    const VALUES: [&str; 16] = [
        "0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "-1e300",
        "0.1",
        "'12'",
        "'abc'",
        "'it''s'",
        "''",
        "char(1) || 'x'",
        "X''",
        "X'00ff'",
        "'2024-01-02 03:04:05'",
        "CAST(X'610062' AS TEXT)",
    ];

    /// Every value, of whatever type, is found again by its key, and keys part the rows as SQLite orders them.
    #[test]
    fn keys_come_back_as_the_same_values() {
        for (kind, declared) in kinds() {
            let db = Connection::open_in_memory().unwrap();
            crate::db::sqlite::functions::register(&db).unwrap();
            db.execute_batch(&format!("CREATE TABLE t (n INTEGER PRIMARY KEY, \"c\" {declared})")).unwrap();
            for value in VALUES {
                db.execute(&format!("INSERT INTO t (c) VALUES ({value})"), []).unwrap();
            }
            let column = column("c", kind.clone());
            let expr = Sqlite.key_expr(&column).unwrap();
            let sql = format!("SELECT n, {}, c FROM t", Sqlite.key_select(&column));
            let mut statement = db.prepare(&sql).unwrap();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let (n, key): (i64, String) = (row.get(0).unwrap(), row.get(1).unwrap());
                let mut cell = Vec::new();
                cells::push(row.get_ref(2).unwrap(), &mut cell);
                let raw = Sqlite.raw_key(&column, 0, &cell).unwrap();
                for key in [key, raw] {
                    let literal = Sqlite.literal(&column, &key);
                    let equal = Sqlite.compare(&[(expr.clone(), literal.clone())], Comparison::Equal);
                    let found = db
                        .prepare(&format!("SELECT n FROM t WHERE {equal}"))
                        .unwrap()
                        .query_map([], |row| row.get::<_, i64>(0))
                        .unwrap()
                        .map(Result::unwrap)
                        .collect::<Vec<_>>();
                    assert!(found.contains(&n), "{kind:?}: {key:?} as {literal} finds {found:?}, not {n}");
                    let count = |comparison| {
                        let filter = Sqlite.compare(&[(expr.clone(), literal.clone())], comparison);
                        db.query_row(&format!("SELECT count(*) FROM t WHERE {filter}"), [], |row| {
                            row.get::<_, i64>(0)
                        })
                        .unwrap()
                    };
                    assert_eq!(count(Comparison::After) + count(Comparison::UpTo), 16, "{kind:?} {literal}");
                    assert!(count(Comparison::From) > count(Comparison::After));
                }
            }
        }
    }

    #[test]
    fn a_key_of_several_columns_is_compared_as_a_whole() {
        let key = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "'x'".to_owned())];
        assert_eq!(Sqlite.compare(&key, Comparison::After), "((a, b) > (1, 'x'))");
        assert_eq!(Sqlite.compare(&key, Comparison::Equal), "(a = 1 AND b = 'x')");
        assert_eq!(Sqlite.compare(&key[..1], Comparison::UpTo), "(a <= 1)");
    }

    #[test]
    fn a_select_has_its_parts_in_order() {
        let name = TableName { schema: None, name: "t".to_owned() };
        let (exprs, order) = (["a".to_owned(), "b".to_owned()], ["a".to_owned(), "b".to_owned()]);
        let filters = ["(x)".to_owned(), "(y)".to_owned()];
        let parts = SelectParts {
            table: &name,
            exprs: &exprs,
            filters: &filters,
            order: &order,
            direction: Order::Down,
            limit: Some(5),
            offset: 2,
            keyset: true,
        };
        assert_eq!(
            Sqlite.select(&parts),
            "SELECT a AS shanty_0, b AS shanty_1 FROM \"t\" WHERE (x) AND (y) ORDER BY a DESC, b DESC LIMIT 5 OFFSET 2"
        );
        let parts = SelectParts { filters: &[], order: &[], limit: None, offset: 3, ..parts };
        assert_eq!(Sqlite.select(&parts), "SELECT a AS shanty_0, b AS shanty_1 FROM \"t\" LIMIT -1 OFFSET 3");
    }
}
