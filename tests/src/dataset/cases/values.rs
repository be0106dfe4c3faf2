//! Numbers, times and text that lose something on careless ways.
//!
//! In: nothing. Out: cases. Never: an expectation made by the sync under test.
//! Tests: `tests/tests/t50_sync.rs` runs each.

use super::{Case, case, fails, rows, same, same_as};
use crate::dataset::Engine::{MariaDb, Postgres, Sqlite};
use serde_json::json;

/// Numbers that lose something on careless ways.
pub(super) fn numbers() -> Vec<Case> {
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
            "floats",
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
pub(super) fn times() -> Vec<Case> {
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
pub(super) fn texts() -> Vec<Case> {
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
