//! Tables that broke other tools, each with what must arrive.
//!
//! In: nothing. Out: [`Case`]s: statements for source and target, fields of the spec, and what the target must answer.
//! Never: an expectation made by the sync under test.
//! Tests: `tests/tests/t50_sync.rs` runs each.

use super::Engine;
use super::Engine::{MariaDb, Postgres, Sqlite};
use serde_json::{Value, json};

/// A table and what must become of it. Its name is the case's.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name, and the table's.
    pub name: &'static str,
    /// Where it comes from.
    pub from: Engine,
    /// Where it goes.
    pub to: Engine,
    /// Makes and fills it in the source.
    pub source: Vec<String>,
    /// Makes it in the target; empty when the sync shall do so.
    pub target: Vec<String>,
    /// More fields of the spec.
    pub spec: Value,
    /// What must become of it.
    pub outcome: Outcome,
    /// Lossy events that the report must count.
    pub lossy: Vec<(&'static str, i64)>,
}

/// What must become of a case.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The target answers the query with these rows.
    Rows(String, Vec<Vec<Option<&'static str>>>),
    /// Source and target answer with the same rows, in any order: each its own query.
    Same(String, String),
    /// The run fails, and says all of these words; the target has no rows.
    Fails(Vec<&'static str>),
}

fn case(name: &'static str, from: Engine, to: Engine, source: &[&str], outcome: Outcome) -> Case {
    let source = source.iter().map(|sql| sql.replace("{t}", name)).collect();
    let outcome = match outcome {
        Outcome::Rows(query, rows) => Outcome::Rows(query.replace("{t}", name), rows),
        Outcome::Same(a, b) => Outcome::Same(a.replace("{t}", name), b.replace("{t}", name)),
        fails @ Outcome::Fails(_) => fails,
    };
    Case { name, from, to, source, target: Vec::new(), spec: json!({}), outcome, lossy: Vec::new() }
}

impl Case {
    fn into_existing(mut self, statements: &[&str]) -> Case {
        self.target = statements.iter().map(|sql| sql.replace("{t}", self.name)).collect();
        self
    }

    fn with(mut self, spec: Value) -> Case {
        self.spec = spec;
        self
    }

    fn losing(mut self, event: &'static str, count: i64) -> Case {
        self.lossy.push((event, count));
        self
    }
}

fn same(query: &str) -> Outcome {
    Outcome::Same(query.to_owned(), query.to_owned())
}

fn same_as(source: &str, target: &str) -> Outcome {
    Outcome::Same(source.to_owned(), target.to_owned())
}

fn rows<const N: usize>(query: &str, rows: &[[&'static str; N]]) -> Outcome {
    let cell = |text: &&'static str| (*text != "NULL").then_some(*text);
    Outcome::Rows(query.to_owned(), rows.iter().map(|row| row.iter().map(cell).collect()).collect())
}

fn fails(words: &[&'static str]) -> Outcome {
    Outcome::Fails(words.to_vec())
}

/// All cases.
#[must_use]
pub fn all() -> Vec<Case> {
    [keys(), collations(), shapes(), numbers(), times(), texts()].concat()
}

/// Keys at the ends of their types, with gaps and with most rows in one place.
fn keys() -> Vec<Case> {
    let sums = "SELECT COUNT(*), MIN(id), MAX(id), SUM(v), COUNT(DISTINCT id) FROM {t}";
    vec![
        case("key_gap", Postgres, MariaDb, &[
            "CREATE TABLE {t} (id BIGINT PRIMARY KEY, v BIGINT NOT NULL)",
            "INSERT INTO {t} SELECT n, n * 3 FROM generate_series(1, 120000) AS n",
            "INSERT INTO {t} SELECT 300000000000 + n, n * 5 FROM generate_series(1, 120000) AS n",
            "ANALYZE {t}",
        ], same(sums)),
        case("key_gap_my", MariaDb, Postgres, &[
            "CREATE TABLE {t} (id BIGINT AUTO_INCREMENT PRIMARY KEY, v BIGINT NOT NULL) ENGINE=InnoDB",
            "INSERT INTO {t} SELECT seq, seq * 3 FROM seq_1_to_120000",
            "INSERT INTO {t} SELECT 300000000000 + seq, seq * 5 FROM seq_1_to_120000",
            "ANALYZE TABLE {t}",
        ], same(sums)),
        case("key_ends", Postgres, Postgres, &[
            "CREATE TABLE {t} (id BIGINT PRIMARY KEY, v INT)",
            "INSERT INTO {t} VALUES (-9223372036854775808, 1), (-1, 2), (0, 3), (1, 4), (9223372036854775807, 5)",
        ], rows("SELECT id, v FROM {t} ORDER BY id", &[
            ["-9223372036854775808", "1"], ["-1", "2"], ["0", "3"], ["1", "4"], ["9223372036854775807", "5"],
        ])).with(json!({ "page_rows": 1 })),
        case("key_unsigned", MariaDb, Postgres, &[
            "CREATE TABLE {t} (id BIGINT UNSIGNED PRIMARY KEY, v INT) ENGINE=InnoDB",
            "INSERT INTO {t} VALUES (0, 1), (1, 2), (9223372036854775807, 3), (9223372036854775808, 4), \
             (18446744073709551615, 5)",
        ], rows("SELECT id, v FROM {t} ORDER BY id", &[
            ["0", "1"], ["1", "2"], ["9223372036854775807", "3"], ["9223372036854775808", "4"],
            ["18446744073709551615", "5"],
        ])).with(json!({ "page_rows": 1 })),
        case("key_zero", MariaDb, MariaDb, &[
            "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
            "CREATE TABLE {t} (id INT AUTO_INCREMENT PRIMARY KEY, v INT) ENGINE=InnoDB",
            "INSERT INTO {t} VALUES (0, 1), (1, 2), (7, 3)",
        ], rows("SELECT id, v, (SELECT auto_increment FROM information_schema.tables WHERE table_name = '{t}' \
                 AND table_schema = DATABASE()) FROM {t} ORDER BY id",
            &[["0", "1", "8"], ["1", "2", "8"], ["7", "3", "8"]])),
        case("key_serial", MariaDb, Postgres, &[
            "CREATE TABLE {t} (id INT AUTO_INCREMENT PRIMARY KEY, v INT) ENGINE=InnoDB",
            "INSERT INTO {t} VALUES (5, 1), (41, 2)",
        ], rows("SELECT nextval(pg_get_serial_sequence('{t}', 'id')), count(*) FROM {t}", &[["42", "2"]])),
        case("key_snowflake", MariaDb, Postgres, &[
            "CREATE TABLE {t} (id BIGINT PRIMARY KEY, v BIGINT NOT NULL) ENGINE=InnoDB",
            "INSERT INTO {t} SELECT (seq * 7 << 22) + seq % 4096, seq FROM seq_1_to_150000",
            "ANALYZE TABLE {t}",
        ], same(sums)),
        case("key_binary", MariaDb, Postgres, &[
            "CREATE TABLE {t} (id BINARY(16) PRIMARY KEY, v INT NOT NULL) ENGINE=InnoDB",
            "INSERT INTO {t} SELECT UNHEX(MD5(seq)), seq FROM seq_1_to_5000",
            "INSERT INTO {t} VALUES (REPEAT(CHAR(0), 16), 5001), (REPEAT(CHAR(255), 16), 5002)",
        ], same_as("SELECT LOWER(HEX(id)), v FROM {t}", "SELECT encode(id, 'hex'), v FROM {t}"))
            .with(json!({ "page_rows": 700 })),
        case("key_binary_my", MariaDb, MariaDb, &[
            "CREATE TABLE {t} (id BINARY(16) PRIMARY KEY, v INT NOT NULL) ENGINE=InnoDB",
            "INSERT INTO {t} SELECT UNHEX(MD5(seq)), seq FROM seq_1_to_5000",
        ], same("SELECT HEX(id), v FROM {t}")).with(json!({ "page_rows": 700 })),
        case("key_uuid", Postgres, MariaDb, &[
            "CREATE TABLE {t} (id UUID PRIMARY KEY, v INT NOT NULL)",
            "INSERT INTO {t} SELECT md5(n::text)::uuid, n FROM generate_series(1, 5000) AS n",
        ], same_as("SELECT id::text, v FROM {t}", "SELECT LOWER(id), v FROM {t}")).with(json!({ "page_rows": 700 })),
        case("key_composite", Postgres, MariaDb, &[
            "CREATE TABLE {t} (tenant INT, at TIMESTAMP(6), seq INT, v INT NOT NULL, PRIMARY KEY (tenant, at, seq))",
            "INSERT INTO {t} SELECT CASE WHEN n % 10 = 0 THEN n % 97 + 2 ELSE 1 END, \
             timestamp '2024-01-01' + (n / 50) * interval '1 microsecond', n % 50, n \
             FROM generate_series(1, 180000) AS n",
            "ANALYZE {t}",
        ], same_as("SELECT COUNT(*), SUM(v), SUM(tenant::int8 * v), SUM((extract(microseconds FROM at))::int8 * v), \
                    SUM(seq::int8 * v) FROM {t}",
                   "SELECT COUNT(*), SUM(v), SUM(tenant * v), SUM(MICROSECOND(at) * v), SUM(seq * v) FROM {t}"))
            .with(json!({ "page_rows": 7000 })),
        case("key_composite_my", MariaDb, Sqlite, &[
            "CREATE TABLE {t} (tenant INT, kind ENUM('z','m','a'), seq INT, v INT NOT NULL, \
             PRIMARY KEY (tenant, kind, seq)) ENGINE=InnoDB",
            "INSERT INTO {t} SELECT IF(seq % 10 = 0, seq % 97 + 2, 1), ELT(seq % 3 + 1, 'z', 'm', 'a'), seq, seq \
             FROM seq_1_to_20000",
            "ANALYZE TABLE {t}",
        ], same("SELECT tenant, kind, seq, v FROM {t}")).with(json!({ "page_rows": 900 })),
        case("key_chosen", MariaDb, Postgres, &[
            "CREATE TABLE {t} (a INT NOT NULL, b VARCHAR(20) NOT NULL, v INT, UNIQUE KEY (b, a)) ENGINE=InnoDB",
            "INSERT INTO {t} SELECT seq % 7, CONCAT('k', seq), seq FROM seq_1_to_3000",
        ], same("SELECT a, b, v FROM {t}")).with(json!({ "page_rows": 500 })),
    ]
}

/// Text keys whose order is not that of their bytes.
fn collations() -> Vec<Case> {
    let mixed = "INSERT INTO {t} SELECT CONCAT(ELT(seq % 6 + 1, 'a', 'B', 'á', 'Z', 'ß', 'e'), \
                 ELT(seq % 4 + 1, 'x', 'Y', 'é', 'ss'), seq), seq FROM seq_1_to_4000";
    vec![
        case("collate_ci", MariaDb, MariaDb, &[
            "CREATE TABLE {t} (id VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci PRIMARY KEY, v INT) \
             ENGINE=InnoDB",
            mixed,
        ], same("SELECT HEX(id), v FROM {t}")).with(json!({ "page_rows": 300 })),
        case("collate_ci_pg", MariaDb, Postgres, &[
            "CREATE TABLE {t} (id VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci PRIMARY KEY, v INT) \
             ENGINE=InnoDB",
            mixed,
        ], same("SELECT id, v FROM {t}")).with(json!({ "page_rows": 300 })),
        case("collate_bin", MariaDb, Postgres, &[
            "CREATE TABLE {t} (id VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PRIMARY KEY, v INT) \
             ENGINE=InnoDB",
            "INSERT INTO {t} VALUES ('a', 1), ('A', 2), ('á', 3), ('ß', 4), ('ss', 5), ('x', 6), ('x ', 7), ('x  ', 8), \
             ('', 9)",
        ], same_as("SELECT CONCAT('[', id, ']'), v FROM {t}", "SELECT '[' || id || ']', v FROM {t}"))
            .with(json!({ "page_rows": 2 })),
        case("collate_icu", Postgres, Postgres, &[
            "CREATE TABLE {t} (id TEXT COLLATE \"en-x-icu\" PRIMARY KEY, v INT)",
            "INSERT INTO {t} SELECT (ARRAY['a', 'B', 'á', 'Z', 'ß', 'ss', 'A '])[n % 7 + 1] || n, n \
             FROM generate_series(1, 4000) AS n",
        ], same("SELECT id, v FROM {t}")).with(json!({ "page_rows": 300 })),
        case("collate_nocase", Sqlite, Postgres, &[
            "CREATE TABLE {t} (id TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, v INTEGER)",
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 3000) INSERT INTO {t} \
             SELECT CASE n % 4 WHEN 0 THEN 'a' WHEN 1 THEN 'B' WHEN 2 THEN 'ä' ELSE '_' END || n, n FROM s",
        ], same("SELECT id, v FROM {t}")).with(json!({ "page_rows": 300 })),
    ]
}

/// Tables of odd shapes.
fn shapes() -> Vec<Case> {
    let wide_columns = |n: std::ops::Range<u32>| n.map(|i| format!("c{i}")).collect::<Vec<_>>().join(", ");
    let wide_create = format!(
        "CREATE TABLE {{t}} (id INT PRIMARY KEY, {})",
        (0..499)
            .map(|i| format!("c{i} {}", ["INT", "VARCHAR(9)", "BIGINT"][i % 3]))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let wide_fill = format!(
        "INSERT INTO {{t}} SELECT n, {} FROM generate_series(1, 200) AS n",
        (0..499u32)
            .map(|i| format!("CASE WHEN n % 9 <> {} THEN n + {i} END", i % 9))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let wide_query = format!("SELECT id, {} FROM {{t}}", wide_columns(0..499));
    let odd = ["CREATE TABLE {t} (a INT, b VARCHAR(20))"];
    let counted = "SELECT a, b, COUNT(*) FROM {t} GROUP BY a, b";
    vec![
        case(
            "empty",
            Sqlite,
            Postgres,
            &["CREATE TABLE {t} (id INTEGER PRIMARY KEY, v TEXT)"],
            rows("SELECT count(*) FROM {t}", &[["0"]]),
        ),
        case(
            "empty_keyless",
            MariaDb,
            Postgres,
            &["CREATE TABLE {t} (v INT) ENGINE=InnoDB"],
            rows("SELECT count(*) FROM {t}", &[["0"]]),
        ),
        case(
            "equal_rows",
            MariaDb,
            Postgres,
            &[
                odd[0],
                "INSERT INTO {t} SELECT seq % 50, CONCAT('v', seq % 50) FROM seq_1_to_9000",
                "INSERT INTO {t} VALUES (NULL, NULL), (NULL, NULL)",
            ],
            same(counted),
        ),
        case(
            "equal_rows_pg",
            Postgres,
            MariaDb,
            &[odd[0], "INSERT INTO {t} SELECT n % 50, 'v' || n % 50 FROM generate_series(1, 9000) AS n"],
            same(counted),
        ),
        case(
            "equal_rows_lite",
            Sqlite,
            Sqlite,
            &[
                odd[0],
                "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 9000) INSERT INTO {t} \
             SELECT n % 50, 'v' || (n % 50) FROM s",
            ],
            same(counted),
        ),
        case(
            "null_in_unique",
            MariaDb,
            Postgres,
            &[
                "CREATE TABLE {t} (k INT NULL, v INT, UNIQUE KEY (k)) ENGINE=InnoDB",
                "INSERT INTO {t} VALUES (1, 1), (2, 2), (NULL, 3), (NULL, 4), (NULL, 4)",
            ],
            same("SELECT k, v, COUNT(*) FROM {t} GROUP BY k, v"),
        ),
        case(
            "large_row",
            Postgres,
            MariaDb,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, v TEXT)",
                "INSERT INTO {t} SELECT n, repeat(chr(64 + n) || 'é', CASE n WHEN 3 THEN 5592405 ELSE 10 END) \
             FROM generate_series(1, 5) AS n",
            ],
            same_as(
                "SELECT id, length(v), octet_length(v), md5(v) FROM {t}",
                "SELECT id, CHAR_LENGTH(v), LENGTH(v), MD5(v) FROM {t}",
            ),
        ),
        case(
            "large_row_my",
            MariaDb,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, v LONGBLOB) ENGINE=InnoDB",
                "INSERT INTO {t} SELECT seq, REPEAT(UNHEX('00ff5c09'), IF(seq = 3, 4194304, 10)) FROM seq_1_to_5",
            ],
            same_as("SELECT id, LENGTH(v), MD5(v) FROM {t}", "SELECT id, octet_length(v), md5(v) FROM {t}"),
        ),
        case("wide", Postgres, MariaDb, &[&wide_create, &wide_fill], same(&wide_query)),
        case(
            "swapped_pg",
            Postgres,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, u TEXT NOT NULL UNIQUE)",
                "INSERT INTO {t} VALUES (1, 'b'), (2, 'a'), (3, 'c')",
            ],
            rows("SELECT id, u FROM {t} ORDER BY id", &[["1", "b"], ["2", "a"], ["3", "c"], ["9", "z"]]),
        )
        .into_existing(&[
            "CREATE TABLE {t} (id INT PRIMARY KEY, u TEXT NOT NULL UNIQUE)",
            "INSERT INTO {t} VALUES (1, 'a'), (2, 'b'), (9, 'z')",
        ])
        .with(json!({ "on_existing": "UPSERT" })),
        case(
            "swapped_my",
            Postgres,
            MariaDb,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, u TEXT NOT NULL UNIQUE)",
                "INSERT INTO {t} VALUES (1, 'b'), (2, 'a'), (3, 'c')",
            ],
            rows("SELECT id, u FROM {t} ORDER BY id", &[["1", "b"], ["2", "a"], ["3", "c"], ["9", "z"]]),
        )
        .into_existing(&[
            "CREATE TABLE {t} (id INT PRIMARY KEY, u VARCHAR(20) NOT NULL UNIQUE) ENGINE=InnoDB",
            "INSERT INTO {t} VALUES (1, 'a'), (2, 'b'), (9, 'z')",
        ])
        .with(json!({ "on_existing": "UPSERT" })),
        case(
            "swapped_lite",
            MariaDb,
            Sqlite,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, u VARCHAR(20) NOT NULL UNIQUE) ENGINE=InnoDB",
                "INSERT INTO {t} VALUES (1, 'b'), (2, 'a'), (3, 'c')",
            ],
            rows("SELECT id, u FROM {t} ORDER BY id", &[["1", "b"], ["2", "a"], ["3", "c"], ["9", "z"]]),
        )
        .into_existing(&[
            "CREATE TABLE {t} (id INTEGER PRIMARY KEY, u TEXT NOT NULL UNIQUE)",
            "INSERT INTO {t} VALUES (1, 'a'), (2, 'b'), (9, 'z')",
        ])
        .with(json!({ "on_existing": "UPSERT" })),
    ]
}

/// Numbers that lose something on careless ways.
fn numbers() -> Vec<Case> {
    let floats =
        "INSERT INTO {t} VALUES (1, 8388608), (2, 16777217), (3, 1e-45), (4, 3.4028234e38), (5, -0.5)";
    let arrived = [
        ["1", "8388608"],
        ["2", "16777216"],
        ["3", "1.401298464324817e-45"],
        ["4", "3.4028234663852886e+38"],
        ["5", "-0.5"],
    ];
    let not_finite: [&str; 2] = [
        "CREATE TABLE {t} (id INT PRIMARY KEY, f DOUBLE PRECISION, n NUMERIC)",
        "INSERT INTO {t} VALUES (1, 'NaN', 'NaN'), (2, 'Infinity', '1.5'), (3, '-Infinity', '-2.25'), (4, 0.1, 7)",
    ];
    vec![
        case(
            "float",
            MariaDb,
            Postgres,
            &["CREATE TABLE {t} (id INT PRIMARY KEY, f FLOAT) ENGINE=InnoDB", floats],
            rows("SELECT id, f::float8 FROM {t} ORDER BY id", &arrived),
        ),
        case(
            "float_my",
            MariaDb,
            MariaDb,
            &["CREATE TABLE {t} (id INT PRIMARY KEY, f FLOAT) ENGINE=InnoDB", floats],
            same("SELECT id, CAST(f AS DOUBLE) FROM {t}"),
        ),
        case(
            "float_pg",
            Postgres,
            MariaDb,
            &["CREATE TABLE {t} (id INT PRIMARY KEY, f REAL)", floats],
            rows("SELECT id, REPLACE(CAST(f AS DOUBLE), 'e38', 'e+38') FROM {t} ORDER BY id", &arrived),
        ),
        case("nan", Postgres, Postgres, &not_finite, same("SELECT id, f, n FROM {t}")),
        case("nan_refused", Postgres, MariaDb, &not_finite, fails(&["NUMBER_NOT_FINITE", "(1)", "column f"])),
        case(
            "nan_to_null",
            Postgres,
            MariaDb,
            &not_finite,
            rows(
                "SELECT id, f, CAST(n AS DECIMAL(10,2)) FROM {t} ORDER BY id",
                &[["1", "NULL", "NULL"], ["2", "NULL", "1.50"], ["3", "NULL", "-2.25"], ["4", "0.1", "7.00"]],
            ),
        )
        .with(json!({ "on_lossy": "SET_NULL" }))
        .losing("NUMBER_NOT_FINITE", 4),
        case(
            "arrays",
            Postgres,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, a INT[], s TEXT[])",
                "INSERT INTO {t} VALUES (1, '{1,NULL,3}', '{\"a,b\",NULL,\"NULL\",\"\"}'), (2, '[0:1]={7,8}', '{}'), \
             (3, '{{1,2},{3,4}}', NULL)",
            ],
            same("SELECT id, a::text, s::text FROM {t}"),
        ),
        case(
            "narrowed",
            MariaDb,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, v INT) ENGINE=InnoDB",
                "INSERT INTO {t} VALUES (1, 5), (2, 40000), (3, -40000)",
            ],
            rows("SELECT id, v FROM {t} ORDER BY id", &[["1", "5"], ["2", "32767"], ["3", "-32768"]]),
        )
        .into_existing(&["CREATE TABLE {t} (id INT PRIMARY KEY, v SMALLINT)"])
        .with(json!({ "on_lossy": "CONVERT" }))
        .losing("INT_OUT_OF_RANGE", 2),
        case(
            "narrowed_refused",
            MariaDb,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, v INT) ENGINE=InnoDB",
                "INSERT INTO {t} VALUES (1, 5), (2, 40000)",
            ],
            fails(&["INT_OUT_OF_RANGE", "(2)", "column v"]),
        )
        .into_existing(&["CREATE TABLE {t} (id INT PRIMARY KEY, v SMALLINT)"]),
        case(
            "bools",
            MariaDb,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, v TINYINT(1)) ENGINE=InnoDB",
                "INSERT INTO {t} VALUES (1, 0), (2, 1), (3, 2), (4, -128)",
            ],
            rows("SELECT id, v FROM {t} ORDER BY id", &[["1", "0"], ["2", "1"], ["3", "2"], ["4", "-128"]]),
        ),
    ]
}

/// Times that not every engine has.
fn times() -> Vec<Case> {
    let zero: [&str; 3] = [
        "SET sql_mode = ''",
        "CREATE TABLE {t} (id INT PRIMARY KEY, d DATE, dt DATETIME) ENGINE=InnoDB",
        "INSERT INTO {t} VALUES (1, '0000-00-00', '0000-00-00 00:00:00'), (2, '2024-00-10', '2024-01-02 03:04:05'), \
         (3, '2024-02-29', NULL)",
    ];
    vec![
        case(
            "zero_dates_kept",
            MariaDb,
            MariaDb,
            &zero,
            same("SELECT id, CAST(d AS CHAR), CAST(dt AS CHAR) FROM {t}"),
        ),
        case("zero_dates_refused", MariaDb, Postgres, &zero, fails(&["DATE_ZERO", "(1)", "column d"])),
        case(
            "zero_dates_null",
            MariaDb,
            Postgres,
            &zero,
            rows(
                "SELECT id, d, dt FROM {t} ORDER BY id",
                &[["1", "NULL", "NULL"], ["2", "NULL", "2024-01-02 03:04:05"], ["3", "2024-02-29", "NULL"]],
            ),
        )
        .with(json!({ "on_lossy": "SET_NULL" }))
        .losing("DATE_ZERO", 3),
        case(
            "time_spans",
            MariaDb,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, v TIME(6)) ENGINE=InnoDB",
                "INSERT INTO {t} VALUES (1, '838:59:59'), (2, '-838:59:59'), (3, '-00:00:00.000001'), (4, '24:00:00')",
            ],
            rows(
                "SELECT id, extract(epoch FROM v)::numeric(20,6) FROM {t} ORDER BY id",
                &[
                    ["1", "3020399.000000"],
                    ["2", "-3020399.000000"],
                    ["3", "-0.000001"],
                    ["4", "86400.000000"],
                ],
            ),
        ),
        case(
            "time_spans_my",
            MariaDb,
            MariaDb,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, v TIME(6)) ENGINE=InnoDB",
                "INSERT INTO {t} VALUES (1, '838:59:59'), (2, '-838:59:59'), (3, '-00:00:00.000001'), (4, '24:00:00')",
            ],
            same("SELECT id, CAST(v AS CHAR) FROM {t}"),
        ),
        case(
            "infinite_dates",
            Postgres,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, d DATE, ts TIMESTAMP, tz TIMESTAMPTZ)",
                "INSERT INTO {t} VALUES (1, 'infinity', '-infinity', 'infinity'), (2, '0044-03-15 BC', '0044-03-15 12:00 BC', \
             '2024-03-31 02:30:00+02'), (3, '25000-01-01', '25000-01-01', '1969-12-31 23:59:59.999999+00')",
            ],
            same("SELECT id, d, ts, extract(epoch FROM tz) FROM {t}"),
        ),
        case(
            "zones",
            Postgres,
            MariaDb,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, tz TIMESTAMPTZ)",
                "INSERT INTO {t} VALUES (1, '2024-03-31 02:30:00+02'), (2, '1901-01-01 00:00:00.000001+00'), \
             (3, '2200-12-31 23:59:59.999999-11')",
            ],
            rows(
                "SELECT id, CAST(tz AS CHAR) FROM {t} ORDER BY id",
                &[
                    ["1", "2024-03-31 00:30:00.000000"],
                    ["2", "1901-01-01 00:00:00.000001"],
                    ["3", "2201-01-01 10:59:59.999999"],
                ],
            ),
        ),
    ]
}

/// Text and JSON with characters that not every engine takes.
fn texts() -> Vec<Case> {
    let nul: [&str; 2] = [
        "CREATE TABLE {t} (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET utf8mb4) ENGINE=InnoDB",
        "INSERT INTO {t} VALUES (1, 'plain'), (2, CONCAT('a', CHAR(0), 'b')), (3, CHAR(0))",
    ];
    vec![
        case("nul_refused", MariaDb, Postgres, &nul, fails(&["TEXT_NUL", "(2)", "column v"])),
        case(
            "nul_converted",
            MariaDb,
            Postgres,
            &nul,
            rows(
                "SELECT id, '[' || v || ']' FROM {t} ORDER BY id",
                &[["1", "[plain]"], ["2", "[ab]"], ["3", "[]"]],
            ),
        )
        .with(json!({ "on_lossy": "CONVERT" }))
        .losing("TEXT_NUL", 2),
        case("nul_kept", MariaDb, MariaDb, &nul, same("SELECT id, HEX(v) FROM {t}")),
        case(
            "emoji",
            MariaDb,
            Sqlite,
            &[
                "CREATE TABLE {t} (id VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, \
             v TEXT CHARACTER SET utf8mb4) ENGINE=InnoDB",
                "INSERT INTO {t} VALUES ('😀', '👩‍👩‍👧‍👦 family'), ('𝔘', 'ﬃ'), ('日本', NULL), ('~', '')",
            ],
            same("SELECT id, v FROM {t}"),
        )
        .with(json!({ "page_rows": 1 })),
        case(
            "latin1",
            MariaDb,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=InnoDB CHARACTER SET latin1",
                "INSERT INTO {t} VALUES (1, 'café'), (2, 'naïve €')",
            ],
            rows("SELECT id, v FROM {t} ORDER BY id", &[["1", "café"], ["2", "naïve €"]]),
        ),
        case(
            "copy_words",
            Postgres,
            MariaDb,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, v TEXT)",
                r"INSERT INTO {t} VALUES (1, '\N'), (2, '\.'), (3, ''), (4, NULL), (5, E'\\\t\n\r\f\v\b'), (6, 'NULL'), (7, ' ')",
            ],
            same_as(
                "SELECT id, encode(v::bytea, 'hex') FROM (SELECT id, convert_to(v, 'UTF8') AS v FROM {t}) AS x",
                "SELECT id, LOWER(HEX(v)) FROM {t}",
            ),
        ),
        case(
            "json_kept",
            Postgres,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, j JSON, b JSONB)",
                r#"INSERT INTO {t} VALUES (1, '{"a": 1, "a":  2}', '{"a":1,"a":2,"big":12345678901234567890.123}')"#,
            ],
            same("SELECT id, j::text, b::text FROM {t}"),
        ),
        case(
            "json_twice",
            Postgres,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, j JSON)",
                r#"INSERT INTO {t} VALUES (1, '{"b": 1, "a": 2}'), (2, '{"a": 1, "a": 2}')"#,
            ],
            rows(
                "SELECT id, j::text FROM {t} ORDER BY id",
                &[["1", r#"{"a": 2, "b": 1}"#], ["2", r#"{"a": 2}"#]],
            ),
        )
        .into_existing(&["CREATE TABLE {t} (id INT PRIMARY KEY, j JSONB)"])
        .with(json!({ "on_lossy": "CONVERT" }))
        .losing("JSON_KEY_TWICE", 1),
        case(
            "json_surrogate",
            Postgres,
            Postgres,
            &[
                "CREATE TABLE {t} (id INT PRIMARY KEY, j JSON)",
                r#"INSERT INTO {t} VALUES (1, '{"a": "\ud800"}')"#,
            ],
            fails(&["JSON_SURROGATE", "(1)", "column j"]),
        )
        .into_existing(&["CREATE TABLE {t} (id INT PRIMARY KEY, j JSONB)"]),
        case(
            "any_value",
            Sqlite,
            Sqlite,
            &[
                "CREATE TABLE {t} (id INTEGER PRIMARY KEY, v)",
                "INSERT INTO {t} VALUES (1, 1), (2, 1.5), (3, 'text'), (4, x'00ff'), (5, NULL), (6, '1')",
            ],
            same("SELECT id, typeof(v), hex(v) FROM {t}"),
        ),
        case(
            "not_a_number",
            Sqlite,
            Postgres,
            &[
                "CREATE TABLE {t} (id INTEGER PRIMARY KEY, v INTEGER)",
                "INSERT INTO {t} VALUES (1, 12), (2, 'twelve')",
            ],
            fails(&["VALUE_NOT_PARSED", "(2)", "column v"]),
        ),
    ]
}
