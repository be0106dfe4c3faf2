//! Every row of the type mapping as values: what goes on as it is, what is written anew, what would be lost.

use super::{Applied, Codec, Lossy, event};
use crate::db::Engine::{self, Mysql as M, Postgres as P, Sqlite as S};
use crate::schema::{Column, Kind, pair};
use proptest::prelude::*;

fn column(kind: &Kind) -> Column {
    Column {
        name: "c".to_owned(),
        native: format!("{kind:?}"),
        kind: kind.clone(),
        nullable: true,
        generated: false,
        auto: false,
        default: None,
        collation: None,
    }
}

fn codec(from: Engine, source: &Kind, to: Engine, target: &Kind) -> Codec {
    pair(from, &column(source), to, &column(target)).unwrap()
}

/// What a value comes to, in words: `=` as it is, `text` written, `EVENT text` lossy with a nearest value, `EVENT`
/// lossy without.
fn outcome(codec: &Codec, value: &[u8]) -> String {
    let mut out = b"rest of the last value".to_vec();
    match codec.apply(value, &mut out) {
        Ok(Applied::Same) => "=".to_owned(),
        Ok(Applied::Written) => String::from_utf8_lossy(&out).into_owned(),
        Err(Lossy { event, converted: true }) => format!("{event} {}", String::from_utf8_lossy(&out)),
        Err(Lossy { event, converted: false }) => event.to_owned(),
    }
}

fn int(bits: u8) -> Kind {
    Kind::Int { bits, unsigned: false }
}

fn unsigned(bits: u8) -> Kind {
    Kind::Int { bits, unsigned: true }
}

fn decimal(digits: u16, scale: u16) -> Kind {
    Kind::Decimal { size: Some((digits, scale)), unsigned: false }
}

const NUMERIC: Kind = Kind::Decimal { size: None, unsigned: false };
const DOUBLE: Kind = Kind::Float { bits: 64 };
const FLOAT: Kind = Kind::Float { bits: 32 };
const TEXT: Kind = Kind::Text { limit: None };
const BLOB: Kind = Kind::Bytes { limit: None };
const JSON: Kind = Kind::Json { binary: false };
const JSONB: Kind = Kind::Json { binary: true };
const CLOCK: Kind = Kind::Time { digits: 6, span: false };
const SPAN: Kind = Kind::Time { digits: 6, span: true };
const DATETIME: Kind = Kind::DateTime { digits: 6 };
const SECONDS: Kind = Kind::DateTime { digits: 0 };
const INSTANT: Kind = Kind::Timestamp { digits: 6 };

fn text(limit: u32) -> Kind {
    Kind::Text { limit: Some(limit) }
}

fn labels(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

fn bit(width: u32, varying: bool) -> Kind {
    Kind::Bit { width, varying }
}

fn other(native: &str) -> Kind {
    Kind::Other { native: native.to_owned(), bytes: false }
}

type Case<'a> = (Engine, Kind, Engine, Kind, &'a str, &'a str);

fn check(cases: &[Case<'_>]) {
    for (from, source, to, target, value, expected) in cases {
        let codec = codec(*from, source, *to, target);
        let seen = outcome(&codec, value.as_bytes());
        assert_eq!(seen, *expected, "{from} {source:?} → {to} {target:?}: {value:?} by {codec:?}");
    }
}

#[test]
fn whole_numbers() {
    let year = || Kind::Year;
    check(&[
        (M, int(64), P, int(64), "-9223372036854775808", "="),
        (M, unsigned(64), P, int(64), "9223372036854775807", "="),
        (M, unsigned(64), P, int(64), "9223372036854775808", "INT_OUT_OF_RANGE 9223372036854775807"),
        (M, unsigned(64), P, int(64), "12", "="),
        (M, unsigned(64), P, decimal(20, 0), "18446744073709551615", "="),
        (M, unsigned(64), S, TEXT, "18446744073709551615", "="),
        (M, int(64), M, unsigned(64), "-1", "INT_OUT_OF_RANGE 0"),
        (M, int(32), P, int(16), "32767", "="),
        (M, int(32), P, int(16), "32768", "INT_OUT_OF_RANGE 32767"),
        (M, int(32), P, int(16), "-32769", "INT_OUT_OF_RANGE -32768"),
        (M, int(8), P, Kind::Bool, "1", "="),
        (M, int(8), P, Kind::Bool, "0", "="),
        (M, int(8), P, Kind::Bool, "2", "BOOL_NOT_0_OR_1 1"),
        (M, int(8), P, Kind::Bool, "-1", "BOOL_NOT_0_OR_1 1"),
        (P, Kind::Bool, M, int(8), "1", "="),
        (S, TEXT, P, Kind::Bool, "TRUE", "1"),
        (S, TEXT, P, Kind::Bool, "f", "0"),
        (S, TEXT, P, Kind::Bool, "yes", "VALUE_NOT_PARSED"),
        (S, int(64), P, Kind::Bool, "1.0", "1"),
        // SQLite vouches for nothing.
        (S, int(64), P, int(64), "12", "="),
        (S, int(64), P, int(64), "abc", "VALUE_NOT_PARSED"),
        (S, int(64), P, int(64), "", "VALUE_NOT_PARSED"),
        (S, int(64), P, int(64), "-", "VALUE_NOT_PARSED"),
        (S, int(64), P, int(64), "007", "7"),
        (S, int(64), P, int(64), "+7", "7"),
        (S, int(64), P, int(64), "-0", "0"),
        (S, int(64), P, int(64), "5.0", "5"),
        (S, int(64), P, int(64), "5.5", "DECIMAL_ROUNDED 6"),
        (S, int(64), P, int(64), "-0.5", "DECIMAL_ROUNDED -1"),
        (S, int(64), P, int(64), "1e3", "1000"),
        (S, int(64), P, int(64), "1e300", "INT_OUT_OF_RANGE 9223372036854775807"),
        (S, int(64), P, int(64), "1e999999", "INT_OUT_OF_RANGE 9223372036854775807"),
        (S, int(64), P, int(32), "2147483648", "INT_OUT_OF_RANGE 2147483647"),
        (P, NUMERIC, M, int(64), "NaN", "NUMBER_NOT_FINITE"),
        (P, DOUBLE, M, int(64), "Infinity", "NUMBER_NOT_FINITE"),
        (P, int(32), M, year(), "1999", "1999"),
        (P, int(32), M, year(), "0", "0000"),
        (P, int(32), M, year(), "69", "INT_OUT_OF_RANGE 1901"),
        (P, int(32), M, year(), "2156", "INT_OUT_OF_RANGE 2155"),
        (M, year(), P, int(16), "1999", "="),
        (M, bit(4, false), P, int(16), "1010", "10"),
        (M, bit(64, false), P, int(64), &"1".repeat(64), "INT_OUT_OF_RANGE 9223372036854775807"),
    ]);
}

#[test]
fn decimals_and_floating_point() {
    let nine = "9".repeat(70);
    let positive = Kind::Decimal { size: Some((6, 2)), unsigned: true };
    check(&[
        (M, decimal(10, 2), P, decimal(10, 2), "19.99", "="),
        (M, decimal(10, 4), P, decimal(10, 2), "19.9900", "="),
        (M, decimal(10, 4), P, decimal(10, 2), "19.9949", "DECIMAL_ROUNDED 19.99"),
        (M, decimal(10, 4), P, decimal(10, 2), "-19.9950", "DECIMAL_ROUNDED -20"),
        (M, decimal(10, 4), P, decimal(10, 2), "0.0049", "DECIMAL_ROUNDED 0"),
        (M, decimal(10, 4), P, decimal(4, 2), "99.9950", "DECIMAL_OVERFLOW 99.99"),
        (M, decimal(10, 4), P, decimal(4, 2), "-100.00", "DECIMAL_OVERFLOW -99.99"),
        (P, NUMERIC, M, decimal(65, 30), &nine, &format!("DECIMAL_OVERFLOW {}.{}", &nine[..35], &nine[..30])),
        (P, NUMERIC, M, decimal(65, 30), "NaN", "NUMBER_NOT_FINITE"),
        (P, decimal(5, 2), M, decimal(5, 2), "NaN", "NUMBER_NOT_FINITE"),
        (P, decimal(5, 2), P, decimal(5, 2), "NaN", "="),
        (P, NUMERIC, P, decimal(5, 2), "NaN", "="),
        (P, NUMERIC, P, decimal(5, 2), "-Infinity", "NUMBER_NOT_FINITE"),
        (P, NUMERIC, P, NUMERIC, "-Infinity", "="),
        (P, NUMERIC, S, TEXT, "Infinity", "="),
        (P, decimal(6, 2), M, positive.clone(), "-0.01", "DECIMAL_OVERFLOW 0"),
        (P, decimal(6, 2), M, positive, "0.01", "="),
        (S, TEXT, P, decimal(10, 2), "19.99", "="),
        (S, TEXT, P, decimal(10, 2), " 1", "VALUE_NOT_PARSED"),
        (S, TEXT, P, decimal(10, 2), "1.", "1"),
        (S, DOUBLE, P, decimal(30, 2), "1e21", "1000000000000000000000"),
        (S, DOUBLE, P, decimal(30, 8), "-1.5e-7", "-0.00000015"),
        (S, DOUBLE, P, decimal(30, 7), "1.5e-7", "DECIMAL_ROUNDED 0.0000002"),
        (M, decimal(30, 10), S, decimal(30, 10), "1.5", "="),
        (
            M,
            decimal(30, 10),
            S,
            decimal(30, 10),
            "12345678901234567.25",
            "FLOAT_ROUNDED 1.2345678901234568e16",
        ),
        (M, decimal(30, 0), S, decimal(30, 0), "9007199254740993", "="),
        (M, DOUBLE, P, DOUBLE, "1e308", "="),
        (P, DOUBLE, M, DOUBLE, "NaN", "NUMBER_NOT_FINITE"),
        (P, DOUBLE, M, DOUBLE, "-Infinity", "NUMBER_NOT_FINITE"),
        (P, DOUBLE, M, DOUBLE, "-0", "FLOAT_ROUNDED 0"),
        (P, DOUBLE, P, DOUBLE, "-0", "="),
        (P, DOUBLE, S, DOUBLE, "NaN", "NUMBER_NOT_FINITE"),
        (P, DOUBLE, S, DOUBLE, "Infinity", "="),
        (M, DOUBLE, S, DOUBLE, "-0", "FLOAT_ROUNDED 0"),
        (M, DOUBLE, S, DOUBLE, "-0.0", "FLOAT_ROUNDED 0"),
        (M, DOUBLE, S, DOUBLE, "-0.5", "="),
        (M, decimal(5, 2), S, DOUBLE, "-0.00", "="),
        (M, DOUBLE, P, FLOAT, "0.5", "="),
        (M, DOUBLE, P, FLOAT, "16777217", "FLOAT_ROUNDED 1.6777216e7"),
        (M, DOUBLE, P, FLOAT, "1e300", "FLOAT_OVERFLOW"),
        (M, FLOAT, P, FLOAT, "8388608", "="),
        (M, FLOAT, P, DOUBLE, "8388608", "="),
        (M, int(64), P, DOUBLE, "9007199254740993", "FLOAT_ROUNDED 9.007199254740992e15"),
        (M, int(64), P, DOUBLE, "9007199254740992", "="),
        (S, DOUBLE, P, DOUBLE, "1e-400", "FLOAT_ROUNDED 0e0"),
        (S, DOUBLE, P, DOUBLE, "five", "VALUE_NOT_PARSED"),
    ]);
}

#[test]
fn dates_and_times() {
    check(&[
        (M, Kind::Date, P, Kind::Date, "2024-02-29", "="),
        (M, Kind::Date, P, Kind::Date, "0000-00-00", "DATE_ZERO"),
        (M, Kind::Date, P, Kind::Date, "2024-00-10", "DATE_ZERO"),
        (M, Kind::Date, P, Kind::Date, "2024-10-00", "DATE_ZERO"),
        (M, Kind::Date, M, Kind::Date, "0000-00-00", "="),
        (M, Kind::Date, S, Kind::Date, "0000-00-00", "="),
        (M, DATETIME, P, DATETIME, "0000-00-00 00:00:00", "DATE_ZERO"),
        (M, INSTANT, P, INSTANT, "0000-00-00 00:00:00", "DATE_ZERO"),
        (S, Kind::Date, P, Kind::Date, "2023-02-29", "VALUE_NOT_PARSED"),
        (S, Kind::Date, P, Kind::Date, "2460000.5", "VALUE_NOT_PARSED"),
        (S, Kind::Date, P, Kind::Date, "1700000000", "VALUE_NOT_PARSED"),
        (P, Kind::Date, M, Kind::Date, "infinity", "DATE_OUT_OF_RANGE 9999-12-31"),
        (P, Kind::Date, M, Kind::Date, "-infinity", "DATE_OUT_OF_RANGE 0001-01-01"),
        (P, Kind::Date, M, Kind::Date, "0044-03-15 BC", "DATE_OUT_OF_RANGE 0001-01-01"),
        (P, Kind::Date, M, Kind::Date, "10000-01-01", "DATE_OUT_OF_RANGE 9999-12-31"),
        (P, Kind::Date, S, Kind::Date, "0044-03-15 BC", "="),
        (S, Kind::Date, P, Kind::Date, "0044-03-15 BC", "="),
        (P, Kind::Date, P, Kind::Date, "infinity", "="),
        (P, DATETIME, M, DATETIME, "10000-01-01 00:00:00", "DATE_OUT_OF_RANGE 9999-12-31 23:59:59"),
        (P, DATETIME, M, DATETIME, "0044-03-15 01:02:03 BC", "DATE_OUT_OF_RANGE 0001-01-01 00:00:00"),
        (P, DATETIME, M, SECONDS, "2024-01-01 10:00:00.5", "TIME_ROUNDED 2024-01-01 10:00:00"),
        (P, DATETIME, M, SECONDS, "2024-01-01 10:00:00.000000", "="),
        (
            P,
            DATETIME,
            M,
            Kind::DateTime { digits: 3 },
            "2024-01-01 10:00:00.123900",
            "TIME_ROUNDED 2024-01-01 10:00:00.123",
        ),
        (P, INSTANT, M, INSTANT, "2038-01-19 03:14:07.5", "="),
        (P, INSTANT, M, INSTANT, "2038-01-19 03:14:08", "TIMESTAMP_OUT_OF_RANGE 2038-01-19 03:14:07"),
        (P, INSTANT, M, INSTANT, "1970-01-01 00:00:00", "TIMESTAMP_OUT_OF_RANGE 1970-01-01 00:00:01"),
        (P, INSTANT, M, INSTANT, "infinity", "TIMESTAMP_OUT_OF_RANGE 2038-01-19 03:14:07"),
        (P, INSTANT, M, DATETIME, "2050-01-01 00:00:00.25", "="),
        (P, INSTANT, P, DATETIME, "2050-01-01 00:00:00.25", "="),
        (M, Kind::Date, P, DATETIME, "2024-01-02", "2024-01-02 00:00:00"),
        (M, DATETIME, P, Kind::Date, "2024-01-02 00:00:00.000000", "2024-01-02"),
        (M, DATETIME, P, Kind::Date, "2024-01-02 00:00:00.000001", "DATETIME_CUT 2024-01-02"),
        (S, INSTANT, P, INSTANT, "2024-01-02T03:04:05Z", "2024-01-02 03:04:05"),
        (S, INSTANT, P, INSTANT, "2024-01-02 03:04", "2024-01-02 03:04:00"),
        (S, INSTANT, P, INSTANT, "2024-01-02 25:04:00", "VALUE_NOT_PARSED"),
        (S, INSTANT, P, INSTANT, "2024-01-02 03:04:05+02:00", "VALUE_NOT_PARSED"),
        (S, INSTANT, P, INSTANT, "2024-01-02 -3:04:05", "VALUE_NOT_PARSED"),
        (M, SPAN, P, CLOCK, "23:59:59.5", "="),
        (M, SPAN, P, CLOCK, "24:00:00", "="),
        (M, SPAN, P, CLOCK, "24:00:01", "TIME_OUT_OF_RANGE"),
        (M, SPAN, P, CLOCK, "-00:00:01", "TIME_OUT_OF_RANGE"),
        (M, SPAN, P, CLOCK, "838:59:59", "TIME_OUT_OF_RANGE"),
        (M, SPAN, P, Kind::Interval, "-838:59:59", "="),
        (P, Kind::Interval, M, SPAN, "-838:59:59", "="),
        (P, Kind::Interval, M, SPAN, "839:00:00", "TIME_OUT_OF_RANGE"),
        (P, Kind::Interval, M, SPAN, "1 mon 3 days", "VALUE_NOT_PARSED"),
        (P, CLOCK, M, Kind::Time { digits: 0, span: true }, "10:00:00.25", "TIME_ROUNDED 10:00:00"),
        (P, CLOCK, M, SPAN, "24:00:00", "="),
        (P, Kind::Interval, M, TEXT, "1 mon 3 days", "="),
    ]);
}

#[test]
fn text_and_bytes() {
    let char4 = || Kind::Char { length: 4 };
    check(&[
        (M, TEXT, P, TEXT, "plain ✓ 🦀", "="),
        (M, TEXT, P, TEXT, "a\0b", "TEXT_NUL ab"),
        (P, TEXT, P, TEXT, "plain", "="),
        (M, TEXT, S, TEXT, "a\0b", "="),
        (S, TEXT, P, TEXT, "a\0b", "TEXT_NUL ab"),
        (P, TEXT, M, text(3), "äöü", "="),
        (P, TEXT, M, text(3), "äöüß", "TEXT_TRUNCATED äöü"),
        (P, text(3), M, text(3), "äöü", "="),
        (S, text(3), M, text(3), "äöüß", "TEXT_TRUNCATED äöü"),
        (P, TEXT, S, text(3), "longer", "="),
        (P, TEXT, M, char4(), "ab  ", "TEXT_BLANKS_TRIMMED ab"),
        (P, TEXT, M, char4(), "ab", "="),
        (P, TEXT, M, char4(), "abcde", "TEXT_TRUNCATED abcd"),
        (P, TEXT, M, char4(), "abcd      ", "TEXT_BLANKS_TRIMMED abcd"),
        (P, char4(), M, char4(), "ab  ", "="),
        (P, char4(), M, TEXT, "ab  ", "ab"),
        (M, Kind::Uuid, P, Kind::Char { length: 36 }, "6f2c0a3e-0d6c-4e37-9d3b-0a1b2c3d4e5f", "="),
        (
            S,
            Kind::Uuid,
            P,
            Kind::Uuid,
            "{6F2C0A3E-0D6C-4E37-9D3B-0A1B2C3D4E5F}",
            "6f2c0a3e-0d6c-4e37-9d3b-0a1b2c3d4e5f",
        ),
        (
            S,
            Kind::Uuid,
            P,
            Kind::Uuid,
            "6f2c0a3e0d6c4e379d3b0a1b2c3d4e5f",
            "6f2c0a3e-0d6c-4e37-9d3b-0a1b2c3d4e5f",
        ),
        (S, Kind::Uuid, P, Kind::Uuid, "6f2c0a3e0d6c4e379d3b0a1b2c3d4e5g", "VALUE_NOT_PARSED"),
        (S, Kind::Uuid, P, Kind::Uuid, "6f2c0a3e-0d6c-4e379-d3b-0a1b2c3d4e5f", "VALUE_NOT_PARSED"),
        (M, Kind::Char { length: 36 }, P, Kind::Uuid, "6f2c0a3e-0d6c-4e37-9d3b-0a1b2c3d4e5f", "="),
        (M, Kind::Binary { length: 4 }, P, BLOB, "ab\0\0", "="),
        (P, BLOB, M, Kind::Binary { length: 4 }, "ab", "BYTES_PADDED ab\0\0"),
        (P, BLOB, M, Kind::Binary { length: 1 }, "ab", "BYTES_TRUNCATED a"),
        (P, BLOB, M, Kind::Bytes { limit: Some(1) }, "ab", "BYTES_TRUNCATED a"),
        (P, BLOB, S, Kind::Bytes { limit: Some(1) }, "ab", "="),
        (M, Kind::Enum { labels: labels(&["a", "b"]) }, P, TEXT, "a", "="),
        (
            M,
            Kind::Enum { labels: labels(&["a", "b"]) },
            P,
            Kind::Enum { labels: labels(&["b", "a"]) },
            "",
            "ENUM_UNKNOWN_LABEL",
        ),
        (P, Kind::Enum { labels: labels(&["a"]) }, M, Kind::Enum { labels: labels(&["a", "b"]) }, "a", "="),
        (P, TEXT, M, Kind::Enum { labels: labels(&["a", "b"]) }, "A", "ENUM_UNKNOWN_LABEL"),
        (P, TEXT, M, Kind::Set { labels: labels(&["a", "b"]) }, "b,a", "="),
        (P, TEXT, M, Kind::Set { labels: labels(&["a", "b"]) }, "", "="),
        (P, TEXT, M, Kind::Set { labels: labels(&["a", "b"]) }, "a,c", "ENUM_UNKNOWN_LABEL"),
        (M, Kind::Set { labels: labels(&["a"]) }, P, TEXT, "a", "="),
        (P, other("inet"), P, other("inet"), "::1/128", "="),
        (P, other("inet"), M, TEXT, "::1/128", "="),
        (M, TEXT, P, other("inet"), "::1", "="),
        (M, bit(3, false), P, bit(3, false), "101", "="),
        (M, bit(3, false), P, bit(5, false), "101", "00101"),
        (M, bit(3, false), P, bit(5, true), "101", "="),
        (M, bit(3, false), P, bit(2, false), "011", "11"),
        (M, bit(3, false), P, bit(2, false), "111", "BIT_WIDTH 11"),
        (P, bit(3, true), M, bit(2, false), "012", "VALUE_NOT_PARSED"),
        (M, bit(1, false), P, Kind::Bool, "1", "="),
        (P, Kind::Bool, M, bit(1, false), "1", "="),
        (M, bit(3, false), S, TEXT, "101", "="),
    ]);
    let broken = b"a\xffb";
    assert_eq!(outcome(&codec(S, &TEXT, P, &TEXT), broken), "TEXT_NOT_UTF8 a\u{fffd}b");
    assert_eq!(outcome(&codec(M, &BLOB, P, &TEXT), broken), "TEXT_NOT_UTF8 a\u{fffd}b");
    assert_eq!(outcome(&codec(M, &BLOB, P, &BLOB), broken), "=");
}

#[test]
fn json() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    check(&[
        (M, JSONB, P, JSONB, r#"{"a": "\\u0000"}"#, "="),
        (M, JSONB, P, JSONB, r#"{"a": "x\u0000y"}"#, r#"JSON_NUL {"a": "xy"}"#),
        (M, JSONB, P, JSON, r#"{"a": "x\u0000y"}"#, "="),
        (
            P,
            JSON,
            P,
            JSONB,
            r#"["\ud83e\udd80", "\ud83e", "\udd80x"]"#,
            r#"JSON_SURROGATE ["\ud83e\udd80", "\ufffd", "\ufffdx"]"#,
        ),
        (P, JSON, P, JSONB, r#"{"a": 1, "\u0061": 2}"#, r#"JSON_KEY_TWICE {"a": 1, "\u0061": 2}"#),
        (P, JSON, P, JSONB, r#"{"a": {"b": 1}, "b": [{"a": 1}, {"a": 2}]}"#, "="),
        (P, JSONB, M, JSONB, r#"{"a": 18446744073709551615}"#, "="),
        (
            P,
            JSONB,
            M,
            JSONB,
            r#"{"a": 18446744073709551616}"#,
            r#"JSON_NUMBER_ROUNDED {"a": 18446744073709551616}"#,
        ),
        (
            P,
            JSONB,
            M,
            JSONB,
            r#"{"a": 0.1234567890123456789}"#,
            r#"JSON_NUMBER_ROUNDED {"a": 0.1234567890123456789}"#,
        ),
        (P, JSONB, M, JSONB, "[-12.5e3, 0.001]", "="),
        (P, JSONB, M, JSONB, "1e400", "JSON_NUMBER_ROUNDED 1e400"),
        (P, JSONB, M, JSON, "1e400", "="),
        (P, JSONB, P, JSONB, "1e400", "="),
        (P, JSONB, S, JSON, r#"{"a":1}"#, "="),
        (S, JSON, P, JSON, r#"{"a":1"#, "VALUE_NOT_PARSED"),
        (S, TEXT, M, JSON, " [1, true, null, \"x\\n\"] ", "="),
        (S, TEXT, M, JSON, &deep(100), "="),
        (S, TEXT, M, JSON, &deep(101), "VALUE_NOT_PARSED"),
        (P, other("integer[]"), M, JSON, "{1,NULL,3}", r#"["1",null,"3"]"#),
        (
            P,
            other("text[]"),
            M,
            JSON,
            r#"{{a,"b \"c\\"},{"NULL","},{"}}"#,
            r#"[["a","b \"c\\"],["NULL","},{"]]"#,
        ),
        (P, other("text[]"), M, JSON, "{}", "[]"),
        (P, other("text[]"), M, JSON, "[0:1]={a,b}", "VALUE_NOT_PARSED"),
        (P, other("integer[]"), M, TEXT, "{1,NULL,3}", "="),
    ]);
    let strict = codec(S, &TEXT, M, &JSON);
    for bad in [
        "",
        "{",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "01",
        "1.",
        "-",
        "\"\\x\"",
        "\"\n\"",
        "tru",
        "1 2",
        "]",
        "{\"a\":1]",
    ] {
        assert_eq!(outcome(&strict, bad.as_bytes()), "VALUE_NOT_PARSED", "{bad}");
        assert!(serde_json::from_str::<serde_json::Value>(bad).is_err(), "{bad}");
    }
}

#[test]
fn values_of_any_type() {
    let any = || Kind::Any;
    check(&[
        (S, any(), P, int(64), "i12", "12"),
        (S, any(), P, int(64), "tabc", "VALUE_NOT_PARSED"),
        (S, any(), P, TEXT, "f1.5", "1.5"),
        (S, any(), P, int(16), "i70000", "INT_OUT_OF_RANGE 32767"),
        (S, any(), S, any(), "bxyz", "="),
        (M, int(64), S, any(), "12", "i12"),
        (M, BLOB, S, any(), "12", "b12"),
        (M, DOUBLE, S, any(), "1.5", "f1.5"),
        (P, Kind::Date, S, any(), "2024-01-01", "t2024-01-01"),
    ]);
}

#[test]
fn what_does_not_go_is_told_with_both_types() {
    for (source, target) in [
        (BLOB, int(32)),
        (DATETIME, int(64)),
        (int(32), Kind::Date),
        (int(32), BLOB),
        (Kind::Uuid, Kind::Binary { length: 16 }),
        (Kind::Date, CLOCK),
        (other("int4range"), other("int8range")),
        (int(32), JSON),
        (DOUBLE, Kind::Interval),
    ] {
        let told = pair(P, &column(&source), M, &column(&target)).unwrap_err();
        assert!(told.contains(&format!("{source:?}")) && told.contains(&format!("{target:?}")), "{told}");
        assert!(told.contains("change the target column's type"), "{told}");
    }
}

#[test]
fn what_a_typed_engine_vouches_for_is_not_looked_at() {
    for (from, source, to, target) in [
        (P, int(64), P, int(64)),
        (P, int(32), M, int(32)),
        (P, TEXT, M, TEXT),
        (P, TEXT, P, TEXT),
        (M, TEXT, M, TEXT),
        (M, int(64), P, int(64)),
        (M, decimal(10, 2), P, decimal(10, 2)),
        (M, DOUBLE, P, DOUBLE),
        (M, FLOAT, P, FLOAT),
        (M, DATETIME, M, DATETIME),
        (P, DATETIME, P, DATETIME),
        (P, JSONB, P, JSONB),
        (M, BLOB, P, BLOB),
        (P, Kind::Uuid, P, Kind::Uuid),
        (S, TEXT, S, TEXT),
        (P, Kind::Bool, P, Kind::Bool),
        (M, unsigned(64), P, decimal(20, 0)),
        (S, Kind::Any, S, Kind::Any),
    ] {
        assert!(codec(from, &source, to, &target).is_identity(), "{from} {source:?} → {to} {target:?}");
    }
}

#[test]
fn the_list_of_events_is_closed() {
    let source = include_str!("event.rs");
    let named: Vec<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split_once(": &str = "))
        .map(|(name, value)| {
            assert_eq!(format!("\"{name}\";"), value);
            name
        })
        .collect();
    assert_eq!(named, event::ALL);
    let tests = include_str!("tests.rs");
    for name in named {
        assert!(tests.matches(&format!("\"{name}")).count() > 0, "no test sees {name}");
    }
}

proptest! {
    /// What goes into a decimal of another size is what arithmetic by whole numbers says.
    #[test]
    fn decimals_are_rounded_as_whole_numbers_say(units in -10_000_000i64..10_000_000) {
        let value = format!("{}{}.{:03}", if units < 0 { "-" } else { "" }, units.abs() / 1000, units.abs() % 1000);
        let seen = outcome(&codec(M, &decimal(9, 3), P, &decimal(5, 1)), value.as_bytes());
        let tenths = (units.abs() + 50) / 100;
        let is_large = tenths > 99_999;
        let exact = units % 100 == 0;
        match (is_large, exact) {
            (true, _) => prop_assert!(seen.starts_with("DECIMAL_OVERFLOW"), "{} {}", value, seen),
            (false, true) => prop_assert_eq!(seen, "="),
            (false, false) => {
                let text = seen.strip_prefix("DECIMAL_ROUNDED ").map(str::to_owned).unwrap_or_default();
                let read: f64 = text.parse().unwrap_or(f64::NAN);
                prop_assert_eq!(read.abs() * 10.0, f64::from(u32::try_from(tenths).unwrap_or(0)), "{}", value);
            }
        }
    }

    /// No text makes a codec panic, and what it lets through into whole numbers is one.
    #[test]
    fn any_text_is_judged(value in "[-+0-9a-zA-Z.: T\\\\\"{},\\[\\]]{0,24}") {
        for target in [int(64), decimal(9, 2), DOUBLE, Kind::Bool, Kind::Date, DATETIME, INSTANT, CLOCK, SPAN, JSONB, Kind::Uuid, bit(4, false), text(5)] {
            for to in [P, M, S] {
                let codec = codec(S, &TEXT, to, &target);
                let seen = outcome(&codec, value.as_bytes());
                if target == int(64) && seen == "=" {
                    prop_assert!(value.parse::<i64>().is_ok());
                }
                if target == JSONB && seen == "=" && to == P {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&value).is_ok(), "{}", value);
                }
                if target == FLOAT && seen == "=" {
                    prop_assert!(value.parse::<f32>().is_ok());
                }
            }
        }
    }
}
