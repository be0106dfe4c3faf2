//! CREATE TABLE and CREATE INDEX.
//!
//! In: a table with kinds of SQLite. Out: statements. Never: a name that is not quoted.
//! Tests: below; against files in `worker/sync/tests/databases/sqlite.rs`.

use super::declared::column_type;
use super::dialect::{ident, table_name, text};
use crate::schema::{Column, Index, Kind, Table, TableName};

/// See [`Dialect::create_table`](crate::db::Dialect::create_table).
pub(super) fn create_table(table: &Table) -> Result<String, String> {
    let number = row_number(table);
    let mut parts = Vec::with_capacity(table.columns.len() + 1);
    for column in &table.columns {
        if number.is_some_and(|number| number.name == column.name) {
            // A name for the row's own number: kept in order, found without an index.
            parts.push(format!("{} INTEGER PRIMARY KEY", ident(&column.name)));
            continue;
        }
        let declared = column_type(&column.kind).map_err(|why| format!("column {}: {why}", column.name))?;
        let collation = collation(column).map(|name| format!(" COLLATE {name}")).unwrap_or_default();
        let in_key = table.primary_key.contains(&column.name);
        let not_null = if column.nullable && !in_key { "" } else { " NOT NULL" };
        let blank = if declared.is_empty() { "" } else { " " };
        parts.push(format!("{}{blank}{declared}{collation}{not_null}", ident(&column.name)));
    }
    if number.is_none() && !table.primary_key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", names(&table.primary_key)));
    }
    Ok(format!("CREATE TABLE {} ({})", table_name(&table.name), parts.join(", ")))
}

/// The column that is the row's own number: the only one of the key, of whole numbers.
fn row_number(table: &Table) -> Option<&Column> {
    let [key] = table.primary_key.as_slice() else { return None };
    table.column(key).filter(|column| matches!(column.kind, Kind::Int { .. }))
}

/// The column's collation where SQLite has it.
fn collation(column: &Column) -> Option<&str> {
    column.collation.as_deref().filter(|name| matches!(*name, "NOCASE" | "RTRIM"))
}

fn names(columns: &[String]) -> String {
    columns.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ")
}

/// See [`Dialect::create_indexes`](crate::db::Dialect::create_indexes).
pub(super) fn create_indexes(table: &Table) -> Vec<String> {
    table.indexes.iter().map(|index| create_index(&table.name, index)).collect()
}

fn create_index(table: &TableName, index: &Index) -> String {
    let columns: Vec<String> = index
        .columns
        .iter()
        .map(|column| {
            let name = ident(&column.name);
            // A prefix decides what is unique; for finding rows the whole value does as well.
            let expr = match column.prefix.filter(|_| index.unique) {
                Some(length) => format!("substr({name}, 1, {length})"),
                None => name,
            };
            format!("{expr}{}", if column.descending { " DESC" } else { "" })
        })
        .collect();
    let unique = if index.unique { "UNIQUE " } else { "" };
    let name = TableName { schema: table.schema.clone(), name: index_name(table, &index.name) };
    format!(
        "CREATE {unique}INDEX IF NOT EXISTS {} ON {} ({})",
        table_name(&name),
        ident(&table.name),
        columns.join(", ")
    )
}

/// Names of indexes are one per database in SQLite, one per table elsewhere: the table's name is put before.
fn index_name(table: &TableName, index: &str) -> String {
    let bare = index.strip_prefix("sqlite_autoindex_").unwrap_or(index);
    if bare.starts_with(&table.name) { bare.to_owned() } else { format!("{}_{bare}", table.name) }
}

/// See [`Dialect::after_load`](crate::db::Dialect::after_load). Rows number themselves past the largest one.
pub(super) fn after_load(table: &Table) -> Vec<String> {
    vec![format!("ANALYZE {}", table_name(&table.name))]
}

/// A pragma about a table, as a table to select from.
pub(super) fn pragma(pragma: &str, table: &TableName) -> String {
    let schema = table.schema.as_deref().unwrap_or("main");
    format!("pragma_{pragma}({}, {})", text(&table.name), text(schema))
}

#[cfg(test)]
mod tests {
    use super::super::testing::column;
    use super::*;
    use crate::schema::IndexColumn;

    fn table(columns: Vec<Column>, key: &[&str]) -> Table {
        Table {
            name: TableName { schema: Some("main".to_owned()), name: "t\"x".to_owned() },
            columns,
            primary_key: key.iter().map(|name| (*name).to_owned()).collect(),
            indexes: Vec::new(),
            rows: None,
            bytes: None,
            transactional: true,
            view: false,
            hindrances: Vec::new(),
            left_out: Vec::new(),
            rowid: None,
        }
    }

    #[test]
    fn a_table_is_created_with_its_key() {
        let int = || Kind::Int { bits: 64, unsigned: false };
        let mut name = column("name", Kind::Text { limit: None });
        name.nullable = false;
        name.collation = Some("NOCASE".to_owned());
        let single = table(vec![column("id", int()), name.clone(), column("any", Kind::Any)], &["id"]);
        assert_eq!(
            create_table(&single).unwrap(),
            "CREATE TABLE \"main\".\"t\"\"x\" (\"id\" INTEGER PRIMARY KEY, \"name\" TEXT COLLATE NOCASE NOT NULL, \"any\")"
        );
        let double = table(vec![column("a", int()), column("b", Kind::Uuid)], &["b", "a"]);
        assert_eq!(
            create_table(&double).unwrap(),
            "CREATE TABLE \"main\".\"t\"\"x\" (\"a\" INTEGER NOT NULL, \"b\" UUID NOT NULL, PRIMARY KEY (\"b\", \"a\"))"
        );
        let wrong = table(vec![column("span", Kind::Interval)], &[]);
        assert!(create_table(&wrong).unwrap_err().starts_with("column span: "));
    }

    #[test]
    fn indexes_have_names_of_their_own() {
        let mut indexed = table(vec![], &[]);
        let part = |name: &str, prefix, descending| IndexColumn { name: name.to_owned(), prefix, descending };
        indexed.name.name = "t".to_owned();
        indexed.indexes = vec![
            Index { name: "by_a".to_owned(), columns: vec![part("a", Some(4), true)], unique: false },
            Index {
                name: "sqlite_autoindex_t_1".to_owned(),
                columns: vec![part("a", Some(4), false), part("b", None, false)],
                unique: true,
            },
        ];
        assert_eq!(
            create_indexes(&indexed),
            [
                "CREATE INDEX IF NOT EXISTS \"main\".\"t_by_a\" ON \"t\" (\"a\" DESC)",
                "CREATE UNIQUE INDEX IF NOT EXISTS \"main\".\"t_1\" ON \"t\" (substr(\"a\", 1, 4), \"b\")",
            ]
        );
    }
}
