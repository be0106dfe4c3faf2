//! Tables of odd shapes: empty, keyless, wide, with large rows, with swapped values.
//!
//! In: nothing. Out: cases. Never: an expectation made by the sync under test.
//! Tests: `tests/tests/t50_sync.rs` runs each.

use super::{Case, case, rows, same, same_as};
use crate::dataset::Engine::{MariaDb, Postgres, Sqlite};
use serde_json::json;

/// Tables of odd shapes.
pub(super) fn shapes() -> Vec<Case> {
    let wide_columns = |n: std::ops::Range<u32>| n.map(|i| format!("c{i}")).collect::<Vec<_>>().join(", ");
    let wide_create = format!(
        "CREATE TABLE {{t}} (id INT PRIMARY KEY, {})",
        (0..499)
            .map(|i| format!("c{i} {}", ["INT", "VARCHAR(4)", "BIGINT"][i % 3]))
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
