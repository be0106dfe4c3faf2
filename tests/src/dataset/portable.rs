//! A table of the kinds that every engine has, with negative keys, NULLs, and text that needs care.
//!
//! In: an engine, a number of rows. Out: a filled table, made by the server itself.
//! Tests: `tests/tests/t50_sync.rs`.

use super::{Database, Engine, Fingerprint, Form, fingerprint};

/// The portable table.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl Portable {
    /// Its name.
    pub const TABLE: &'static str = "portable";

    /// The columns with their forms.
    pub const COLUMNS: [(&str, Form); 11] = [
        ("id", Form::Whole),
        ("flag", Form::Whole),
        ("small", Form::Whole),
        ("big", Form::Whole),
        ("amount", Form::Cents),
        ("ratio", Form::Eighths),
        ("name", Form::Text),
        ("body", Form::Text),
        ("data", Form::Bytes),
        ("day", Form::Day),
        ("at", Form::Micros),
    ];

    /// Makes and fills it.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn make(database: &Database, rows: u64) {
        let [create, fill] = statements(database.engine, rows);
        let index = "CREATE INDEX portable_small ON portable (small, day)";
        let unique = "CREATE UNIQUE INDEX portable_name ON portable (name)";
        database.run(&[create.as_str(), index, unique, &fill]).await;
    }

    /// What a copy of it must hold.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn print(database: &Database, table: &str) -> Fingerprint {
        fingerprint(database, table, &Portable::COLUMNS).await
    }
}

fn statements(engine: Engine, rows: u64) -> [String; 2] {
    let (types, options) = match engine {
        Engine::MariaDb => (
            ["TINYINT(1)", "DOUBLE", "VARBINARY(64)", "DATETIME(6)"],
            " ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        ),
        Engine::Postgres => (["BOOLEAN", "DOUBLE PRECISION", "BYTEA", "TIMESTAMP(6)"], ""),
        Engine::Sqlite => (["BOOLEAN", "DOUBLE", "BLOB", "DATETIME"], ""),
    };
    let [flag, double, bytes, micros] = types;
    let create = format!(
        "CREATE TABLE portable (id BIGINT NOT NULL PRIMARY KEY, flag {flag} NOT NULL, small SMALLINT NOT NULL, \
         big BIGINT, amount DECIMAL(12,2) NOT NULL, ratio {double}, name VARCHAR(60) NOT NULL, body TEXT, \
         data {bytes}, day DATE, at {micros} NOT NULL){options}"
    );
    let fill = match engine {
        Engine::MariaDb => format!(
            r#"INSERT INTO portable SELECT n * 3 - 3000, n % 2, (n * 7) % 60000 - 30000,
              IF(n % 5 = 0, NULL, n * 1000003 * IF(n % 2 = 0, 1, -1)), ((n * 37) % 1000000 - 500000) / 100,
              IF(n % 11 = 0, NULL, n / 8), CONCAT('name ', n, ' äß€😀'),
              IF(n % 7 = 0, NULL, CONCAT(REPEAT('tab\t newline\n return\r back\\slash ''quote'' "double" ', n % 4), n % 3)),
              IF(n % 6 = 0, NULL, IF(n % 9 = 0, '', UNHEX(MD5(n)))),
              IF(n % 8 = 0, NULL, DATE_ADD('1970-01-01', INTERVAL n % 20000 DAY)),
              DATE_ADD('2001-02-03 04:05:06', INTERVAL n * 1000003 MICROSECOND)
              FROM (SELECT CAST(seq AS SIGNED) AS n FROM seq_1_to_{rows}) AS numbers"#
        ),
        Engine::Postgres => format!(
            r#"INSERT INTO portable SELECT n * 3 - 3000, n % 2 = 1, (n * 7) % 60000 - 30000,
              CASE WHEN n % 5 <> 0 THEN n * 1000003 * CASE n % 2 WHEN 0 THEN 1 ELSE -1 END END,
              ((n * 37) % 1000000 - 500000) / 100.0, CASE WHEN n % 11 <> 0 THEN n / 8.0 END,
              'name ' || n || ' äß€😀',
              CASE WHEN n % 7 <> 0 THEN
                repeat(E'tab\t newline\n return\r back\\slash \'quote\' "double" ', (n % 4)::int) || n % 3 END,
              CASE WHEN n % 6 <> 0 THEN CASE WHEN n % 9 = 0 THEN '' ELSE decode(md5(n::text), 'hex') END END,
              CASE WHEN n % 8 <> 0 THEN date '1970-01-01' + (n % 20000)::int END,
              timestamp '2001-02-03 04:05:06' + n * interval '1000003 microseconds'
              FROM generate_series(1::int8, {rows}::int8) AS n"#
        ),
        Engine::Sqlite => format!(
            r#"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})
              INSERT INTO portable SELECT n * 3 - 3000, n % 2, (n * 7) % 60000 - 30000,
              CASE WHEN n % 5 <> 0 THEN n * 1000003 * CASE n % 2 WHEN 0 THEN 1 ELSE -1 END END,
              ((n * 37) % 1000000 - 500000) / 100.0, CASE WHEN n % 11 <> 0 THEN n / 8.0 END,
              'name ' || n || ' äß€😀',
              CASE WHEN n % 7 <> 0 THEN
                printf('%.*c', n % 4, char(9)) || char(10) || 'back\slash ''quote'' "double"' || n % 3 END,
              CASE WHEN n % 6 <> 0 THEN CASE WHEN n % 9 = 0 THEN x'' ELSE CAST('bytes ' || n AS BLOB) END END,
              CASE WHEN n % 8 <> 0 THEN date('1970-01-01', '+' || (n % 20000) || ' days') END,
              datetime('2001-02-03 04:05:06', '+' || n || ' seconds') || printf('.%06d', (n * 1003) % 1000000)
              FROM numbers"#
        ),
    };
    [create, fill]
}
