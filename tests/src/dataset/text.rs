//! Values as the same text on every engine, and a table as one number.
//!
//! A column has a [`Form`]: what its values are, whatever type each engine keeps them in. A row's line is the text
//! of its columns; a table's fingerprint is the number of its lines and the sum of their md5 (60 bits of each), so
//! that the order of rows does not matter and equal rows count each.
//!
//! In: columns with forms. Out: SQL of the engine; lines; fingerprints. Never: SQL of the sync under test.
//! Tests: below; `tests/tests/t50_sync.rs` compares tables that differ in one value.

use super::{Database, Engine};
use md5::{Digest as _, Md5};

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Whole numbers and booleans.
    Whole,
    /// Decimals with two digits after the point.
    Cents,
    /// Floating point that is a multiple of an eighth.
    Eighths,
    /// Text.
    Text,
    /// Bytes, as hex.
    Bytes,
    /// Days.
    Day,
    /// Times with whole seconds.
    Second,
    /// Times with microseconds.
    Micros,
}

impl Form {
    /// The expression for a column's value as text.
    #[must_use]
    pub fn sql(self, engine: Engine, column: &str) -> String {
        let c = column;
        match engine {
            Engine::MariaDb => match self {
                Form::Whole | Form::Cents => format!("CAST({c} AS CHAR CHARACTER SET utf8mb4)"),
                Form::Eighths => format!("CAST(CAST({c} * 8 AS SIGNED) AS CHAR CHARACTER SET utf8mb4)"),
                Form::Text => format!("CONVERT({c} USING utf8mb4)"),
                Form::Bytes => format!("LOWER(HEX({c}))"),
                Form::Day => format!("DATE_FORMAT({c}, '%Y-%m-%d')"),
                Form::Second => format!("DATE_FORMAT({c}, '%Y-%m-%d %H:%i:%s')"),
                Form::Micros => format!("DATE_FORMAT({c}, '%Y-%m-%d %H:%i:%s.%f')"),
            },
            Engine::Postgres => match self {
                Form::Whole => {
                    format!("CASE {c}::text WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE {c}::text END")
                }
                Form::Cents => format!("{c}::numeric(30,2)::text"),
                Form::Eighths => format!("({c} * 8)::int8::text"),
                Form::Text => format!("{c}::text"),
                Form::Bytes => format!("encode({c}, 'hex')"),
                Form::Day => format!("to_char({c}, 'YYYY-MM-DD')"),
                Form::Second => format!("to_char({c}, 'YYYY-MM-DD HH24:MI:SS')"),
                Form::Micros => format!("to_char({c}, 'YYYY-MM-DD HH24:MI:SS.US')"),
            },
            Engine::Sqlite => match self {
                Form::Whole => format!("CAST(CAST({c} AS INTEGER) AS TEXT)"),
                Form::Cents => format!("CASE WHEN {c} IS NOT NULL THEN printf('%.2f', {c}) END"),
                Form::Eighths => format!("CAST(CAST({c} * 8 AS INTEGER) AS TEXT)"),
                Form::Text => format!("CAST({c} AS TEXT)"),
                Form::Bytes => format!("CASE WHEN {c} IS NOT NULL THEN lower(hex({c})) END"),
                Form::Day => format!("substr({c}, 1, 10)"),
                Form::Second => format!("substr(replace({c}, 'T', ' '), 1, 19)"),
                Form::Micros => format!(
                    "CASE length({c}) WHEN 19 THEN {c} || '.000000' ELSE substr({c} || '000000', 1, 26) END"
                ),
            },
        }
    }
}

/// A table as one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Rows.
    pub rows: u64,
    /// Sum of the lines' hashes, decimal.
    pub sum: String,
}

fn line(engine: Engine, columns: &[(&str, Form)]) -> String {
    let cells: Vec<String> =
        columns.iter().map(|(name, form)| format!("COALESCE({}, '~')", form.sql(engine, name))).collect();
    match engine {
        Engine::MariaDb | Engine::Postgres => format!("CONCAT_WS('|', {})", cells.join(", ")),
        Engine::Sqlite => cells.join(" || '|' || "),
    }
}

/// The lines of a table, sorted.
///
/// # Panics
/// When the database refuses the query.
pub async fn lines(database: &Database, table: &str, columns: &[(&str, Form)]) -> Vec<String> {
    let rows = database.rows(&format!("SELECT {} FROM {table}", line(database.engine, columns))).await;
    let mut lines: Vec<String> = rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
    lines.sort();
    lines
}

/// The fingerprint of a table, by the server where it has md5.
///
/// # Panics
/// When the database refuses the query.
pub async fn fingerprint(database: &Database, table: &str, columns: &[(&str, Form)]) -> Fingerprint {
    let line = line(database.engine, columns);
    let hash = match database.engine {
        Engine::MariaDb => "CAST(CONV(LEFT(MD5(line), 15), 16, 10) AS UNSIGNED)",
        Engine::Postgres => "('x0' || left(md5(line), 15))::bit(64)::int8",
        Engine::Sqlite => {
            let lines = lines(database, table, columns).await;
            let sum: u128 = lines.iter().map(|line| u128::from(hash(line))).sum();
            let rows = u64::try_from(lines.len()).expect("a count");
            return Fingerprint { rows, sum: sum.to_string() };
        }
    };
    let sql =
        format!("SELECT COUNT(*), COALESCE(SUM({hash}), 0) FROM (SELECT {line} AS line FROM {table}) AS l");
    let mut row = database.rows(&sql).await.pop().expect("a row");
    let sum = row.pop().flatten().expect("a sum");
    let rows = row.pop().flatten().expect("a count").parse().expect("a number");
    Fingerprint { rows, sum }
}

fn hash(line: &str) -> u64 {
    let digest = Md5::digest(line.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first) >> 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_first_fifteen_digits_of_md5() {
        // md5("a") = 0cc175b9c0f1b6a831c399e269772661
        assert_eq!(hash("a"), 0x0cc1_75b9_c0f1_b6a8 >> 4);
    }
}
