//! Keys at the ends of their types, with gaps and skew, and text keys whose order is not that of their bytes.
//!
//! In: nothing. Out: cases. Never: an expectation made by the sync under test.
//! Tests: `tests/tests/t50_sync.rs` runs each.

use super::{Case, case, rows, same, same_as};
use crate::dataset::Engine::{MariaDb, Postgres, Sqlite};
use serde_json::json;

/// Keys at the ends of their types, with gaps and with most rows in one place.
pub(super) fn keys() -> Vec<Case> {
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
pub(super) fn collations() -> Vec<Case> {
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
