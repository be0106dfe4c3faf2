//! CREATE TABLE, secondary indexes, and what is left to do after a load.
//!
//! In: a table with this engine's kinds. Out: statements. Never: a statement run.
//! Tests: below; against a server in `worker/sync/tests/databases/mysql.rs`.

use super::literals::ident;
use super::types::{column_type, kind};
use crate::db::{Dialect, mysql::DIALECT};
use crate::schema::{Column, Kind, Table};

/// Bytes of a row outside TEXT and BLOB that InnoDB's format allows (65,535), less a margin.
const ROW: u64 = 64_000;
/// Characters of an index over long text that fit in 3,072 bytes.
const PREFIX: u32 = 191;

/// CREATE TABLE without secondary indexes.
///
/// # Errors
/// In words, naming the column.
pub(super) fn create_table(table: &Table) -> Result<String, String> {
    let mut lines = Vec::with_capacity(table.columns.len() + 1);
    let mut types = Vec::with_capacity(table.columns.len());
    for column in table.columns.iter().filter(|column| !column.generated) {
        let declared = declared(column).map_err(|error| format!("column {}: {error}", column.name))?;
        types.push((column, declared));
    }
    narrow(table, &mut types);
    for (column, declared) in &types {
        let collation = collation(column).map_or_else(String::new, |name| format!(" COLLATE {name}"));
        let mut line = format!("{} {declared}{collation}", ident(&column.name));
        // Said even where it is the default: TIMESTAMP columns have others.
        line.push_str(if column.nullable { " NULL" } else { " NOT NULL" });
        if column.auto && is_numbered(table, column) {
            line.push_str(" AUTO_INCREMENT");
        } else if let (Kind::Timestamp { digits }, false) = (&column.kind, column.nullable) {
            // Without one, older servers give it one that changes with every update of the row.
            let digits = if *digits == 0 { String::new() } else { format!("({digits})") };
            line.push_str(&format!(" DEFAULT CURRENT_TIMESTAMP{digits}"));
        }
        lines.push(line);
    }
    if !table.primary_key.is_empty() {
        let mut names = Vec::with_capacity(table.primary_key.len());
        for name in &table.primary_key {
            if let Some((column, declared)) = types.iter().find(|(column, _)| &column.name == name)
                && (declared.contains("text") || declared.contains("blob"))
            {
                return Err(format!(
                    "column {}: a key of {declared} is longer than the 768 characters that fit; shorten it",
                    column.name
                ));
            }
            names.push(ident(name));
        }
        lines.push(format!("PRIMARY KEY ({})", names.join(", ")));
    }
    Ok(format!(
        "CREATE TABLE {} (\n  {}\n) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
        DIALECT.table(&table.name),
        lines.join(",\n  ")
    ))
}

/// The column's own native type when it is one of this engine that means the same kind.
fn declared(column: &Column) -> Result<String, String> {
    let native = column.native.as_str();
    let after = native.rsplit_once(')').map_or(native, |(_, after)| after);
    let mut words = after.split_whitespace().skip(usize::from(after.len() == native.len()));
    // `timestamp(3) with time zone` begins like one of this engine's.
    let is_plain = words.all(|word| matches!(word, "unsigned" | "zerofill"));
    let is_ours = is_plain && kind(native) == column.kind && !matches!(column.kind, Kind::Other { .. });
    if is_ours { Ok(native.to_owned()) } else { column_type(&column.kind) }
}

/// AUTO_INCREMENT has to be the first column of a key.
fn is_numbered(table: &Table, column: &Column) -> bool {
    matches!(column.kind, Kind::Int { .. }) && table.primary_key.first() == Some(&column.name)
}

/// Makes the widest VARCHAR columns outside the key TEXT until a row fits.
fn narrow(table: &Table, types: &mut [(&Column, String)]) {
    let width = |declared: &str| -> u64 {
        match kind(declared) {
            Kind::Text { limit: Some(limit) } if declared.starts_with("varchar") => u64::from(limit) * 4,
            Kind::Bytes { limit: Some(limit) } if declared.starts_with("varbinary") => u64::from(limit),
            Kind::Char { length } => u64::from(length) * 4,
            Kind::Binary { length } => u64::from(length),
            _ => 12,
        }
    };
    let mut total: u64 = types.iter().map(|(_, declared)| width(declared) + 2).sum();
    while total > ROW {
        let free = types.iter_mut().filter(|(column, declared)| {
            declared.starts_with("var") && !table.primary_key.contains(&column.name)
        });
        let Some((_, declared)) = free.max_by_key(|(_, declared)| width(declared)) else { return };
        total = total.saturating_sub(width(declared)) + 12;
        *declared = if declared.starts_with("varchar") { "mediumtext".into() } else { "blob".into() };
    }
}

/// A collation that is this engine's by its name.
fn collation(column: &Column) -> Option<&str> {
    let name = column.collation.as_deref()?;
    let charset = name.split('_').next()?;
    let known = [
        "utf8mb4", "utf8mb3", "utf8", "latin1", "latin2", "latin5", "latin7", "ascii", "ucs2", "utf16",
        "utf16le", "utf32", "greek", "hebrew", "koi8r", "koi8u", "cp1250", "cp1251", "cp1256", "cp1257",
        "cp850", "cp852", "cp866", "cp932", "gbk", "gb2312", "gb18030", "big5", "sjis", "ujis", "euckr",
        "eucjpms", "tis620", "binary",
    ];
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (plain && known.contains(&charset)).then_some(name)
}

/// One ALTER TABLE with all secondary indexes; none when there are none.
pub(super) fn create_indexes(table: &Table) -> Vec<String> {
    let mut parts = Vec::with_capacity(table.indexes.len());
    for index in &table.indexes {
        let mut names = Vec::with_capacity(index.columns.len());
        for part in &index.columns {
            let long = table.column(&part.name).is_some_and(|column| {
                declared(column).is_ok_and(|declared| declared.contains("text") || declared.contains("blob"))
            });
            let prefix = part.prefix.or((long && !index.unique).then_some(PREFIX));
            let prefix = prefix.map_or_else(String::new, |prefix| format!("({prefix})"));
            let direction = if part.descending { " DESC" } else { "" };
            names.push(format!("{}{prefix}{direction}", ident(&part.name)));
        }
        let unique = if index.unique { "UNIQUE INDEX" } else { "INDEX" };
        parts.push(format!("ADD {unique} {} ({})", ident(&index.name), names.join(", ")));
    }
    if parts.is_empty() {
        return Vec::new();
    }
    vec![format!("ALTER TABLE {} {}", DIALECT.table(&table.name), parts.join(", "))]
}

/// InnoDB sets AUTO_INCREMENT past every value that is inserted; statistics are refreshed.
pub(super) fn after_load(table: &Table) -> Vec<String> {
    vec![format!("ANALYZE TABLE {}", DIALECT.table(&table.name))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Index, IndexColumn, TableName};

    fn column(name: &str, native: &str, kind: Kind) -> Column {
        Column {
            name: name.into(),
            native: native.into(),
            kind,
            nullable: false,
            generated: false,
            auto: false,
            default: None,
            collation: None,
        }
    }

    fn table(columns: Vec<Column>, key: &str) -> Table {
        Table {
            name: TableName { schema: None, name: "t".into() },
            columns,
            primary_key: vec![key.into()],
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
    fn a_table_keeps_native_types_that_mean_the_same_and_declares_the_others() {
        let mut id = column("id", "int(10) unsigned", Kind::Int { bits: 32, unsigned: true });
        id.auto = true;
        let mut name = column("name", "character varying(10)", Kind::Text { limit: Some(10) });
        name.collation = Some("utf8mb4_general_ci".into());
        let mut body = column("body", "text", Kind::Text { limit: None });
        body.collation = Some("en_US.utf8".into());
        let at = column("at", "timestamp(3) with time zone", Kind::Timestamp { digits: 3 });
        let sql = create_table(&table(vec![id, name, body, at], "id")).unwrap();
        for part in [
            "`id` int(10) unsigned NOT NULL AUTO_INCREMENT",
            "`name` varchar(10) COLLATE utf8mb4_general_ci NOT NULL",
            "`body` longtext NOT NULL",
            "`at` timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)",
            "PRIMARY KEY (`id`)",
        ] {
            assert!(sql.contains(part), "{part} in {sql}");
        }
    }

    #[test]
    fn wide_rows_become_text_and_long_keys_are_refused() {
        let wide: Vec<Column> = (0..3)
            .map(|at| {
                column(&format!("c{at}"), "", Kind::Text { limit: Some(if at == 0 { 100 } else { 9000 }) })
            })
            .collect();
        let sql = create_table(&table(wide, "c0")).unwrap();
        assert_eq!(sql.matches("mediumtext").count(), 1, "{sql}");
        let key = table(vec![column("k", "text", Kind::Text { limit: None })], "k");
        assert!(create_table(&key).unwrap_err().contains("column k"));
    }

    #[test]
    fn all_indexes_are_made_at_once() {
        let mut made = table(vec![column("a", "text", Kind::Text { limit: None })], "id");
        assert!(create_indexes(&made).is_empty());
        let index = |name: &str, prefix, descending| Index {
            name: name.into(),
            columns: vec![IndexColumn { name: "a".into(), prefix, descending }],
            unique: false,
        };
        made.indexes = vec![index("i", None, false), index("j", Some(5), true)];
        assert_eq!(
            create_indexes(&made),
            ["ALTER TABLE `t` ADD INDEX `i` (`a`(191)), ADD INDEX `j` (`a`(5) DESC)"]
        );
    }
}
