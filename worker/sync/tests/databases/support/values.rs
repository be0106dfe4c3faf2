//! Values of each engine's own kinds, to the ends of their ranges.
//!
//! In: an engine. Out: kinds that its tables have, and texts of them. Never: a value that the engine itself refuses.

use shanty_sync::db::Engine;
use shanty_sync::schema::Kind;

/// Columns of a table with all kinds that an engine has: name, kind, values.
pub(crate) fn of(engine: Engine) -> Vec<(&'static str, Kind, Vec<Vec<u8>>)> {
    let mut all = portable();
    match engine {
        Engine::Mysql => all.extend(mysql()),
        Engine::Postgres => all.extend(postgres()),
        Engine::Sqlite => all.extend(sqlite()),
    }
    all
}

fn texts(values: &[&str]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.as_bytes().to_vec()).collect()
}

fn int(bits: u8, unsigned: bool) -> Kind {
    Kind::Int { bits, unsigned }
}

type Column = (&'static str, Kind, Vec<Vec<u8>>);

/// Kinds that all engines have.
fn portable() -> Vec<Column> {
    let days = ["1000-01-01", "1969-12-31", "2024-02-29", "9999-12-31"];
    let moments = [
        "1000-01-01 00:00:00",
        "1969-12-31 23:59:59.999999",
        "2024-02-29 12:34:56.5",
        "2024-02-29 12:34:56.000001",
        "9999-12-31 23:59:59.999999",
    ];
    let all_bytes: Vec<u8> = (0..=255).collect();
    vec![
        (
            "big",
            int(64, false),
            texts(&["0", "-1", "9223372036854775807", "-9223372036854775808", "9007199254740993", "42"]),
        ),
        (
            "dbl",
            Kind::Float { bits: 64 },
            texts(&[
                "0",
                "0.1",
                "1e-300",
                "1.7976931348623157e308",
                "-2.2250738585072014e-308",
                "8388608",
                "16777217",
                "123456789012345680",
                "0.30000000000000004",
            ]),
        ),
        (
            "txt",
            Kind::Text { limit: None },
            texts(&[
                "",
                " ",
                "plain",
                "trailing  ",
                "it's \"quoted\" `so` \\n \\\\ \\N",
                "tab\tline\nreturn\rfeed\u{c}vertical\u{b}back\u{8}",
                "ß ss a A á ✓ 🦀 e\u{301}",
                "NULL",
                "\\.",
                "\u{1}\u{7f}\u{80}",
                "}{,\"(",
            ]),
        ),
        (
            "blo",
            Kind::Bytes { limit: None },
            [vec![all_bytes], texts(&["", "\0", "\\", "abc", "\\x41"])].concat(),
        ),
        ("day", Kind::Date, texts(&days)),
        ("mom", Kind::DateTime { digits: 6 }, texts(&moments)),
        ("sec", Kind::DateTime { digits: 0 }, texts(&["2024-02-29 12:34:56", "1000-01-01 00:00:00"])),
        (
            "jsn",
            Kind::Json { binary: false },
            texts(&["{}", "[1, 2.5, \"x\", null, true]", "{\"a\": {\"b\": \"\\\"\"}}", "\"text\"", "0"]),
        ),
    ]
}

fn mysql() -> Vec<Column> {
    let labels = || ["a", "b c", "ü'\"", "x"].map(str::to_owned).to_vec();
    vec![
        ("tin", int(8, false), texts(&["-128", "127", "0", "2"])),
        ("utn", int(8, true), texts(&["255", "0"])),
        ("sml", int(16, false), texts(&["-32768", "32767"])),
        ("usm", int(16, true), texts(&["65535"])),
        ("med", int(24, false), texts(&["-8388608", "8388607"])),
        ("ume", int(24, true), texts(&["16777215"])),
        ("nrm", int(32, false), texts(&["-2147483648", "2147483647"])),
        ("unr", int(32, true), texts(&["4294967295"])),
        ("ubi", int(64, true), texts(&["18446744073709551615", "9223372036854775808", "0"])),
        (
            "dcm",
            Kind::Decimal { size: Some((65, 30)), unsigned: false },
            texts(&[
                "99999999999999999999999999999999999.999999999999999999999999999999",
                "-0.000000000000000000000000000001",
                "19.990000000000000000000000000000",
            ]),
        ),
        (
            "mny",
            Kind::Decimal { size: Some((10, 2)), unsigned: false },
            texts(&["99999999.99", "-0.10", "0.00"]),
        ),
        ("flt", Kind::Float { bits: 32 }, texts(&["8388608", "16777216", "1e-45", "3.4028235e38", "0.1"])),
        ("tst", Kind::Timestamp { digits: 6 }, texts(&["1970-01-01 00:00:01", "2038-01-19 03:14:07.999999"])),
        (
            "tim",
            Kind::Time { digits: 6, span: true },
            texts(&["-838:59:59", "838:59:59", "00:00:00", "12:34:56.000001"]),
        ),
        ("yea", Kind::Year, texts(&["1901", "2155"])),
        ("chr", Kind::Char { length: 5 }, texts(&["", "ab", "äöüß🦀"])),
        ("vch", Kind::Text { limit: Some(20) }, texts(&["äöüß🦀", "trailing "])),
        ("bin", Kind::Binary { length: 4 }, vec![vec![0, 255, 0, 0], b"abcd".to_vec()]),
        ("bit", Kind::Bit { width: 10, varying: false }, texts(&["0000000000", "1111111111", "0100000001"])),
        ("b64", Kind::Bit { width: 64, varying: false }, vec![vec![b'1'; 64], vec![b'0'; 64]]),
        ("enu", Kind::Enum { labels: labels() }, texts(&["a", "b c", "ü'\""])),
        ("set", Kind::Set { labels: labels() }, texts(&["", "a", "a,b c,x"])),
    ]
}

fn postgres() -> Vec<Column> {
    vec![
        ("boo", Kind::Bool, texts(&["0", "1"])),
        ("nze", Kind::Float { bits: 64 }, texts(&["-0"])),
        ("sml", int(16, false), texts(&["-32768", "32767"])),
        ("nrm", int(32, false), texts(&["-2147483648", "2147483647"])),
        (
            "num",
            Kind::Decimal { size: None, unsigned: false },
            texts(&[
                "NaN",
                "Infinity",
                "-Infinity",
                "0",
                "-1.50",
                "123456789012345678901234567890.123456789",
            ]),
        ),
        (
            "mny",
            Kind::Decimal { size: Some((10, 2)), unsigned: false },
            texts(&["99999999.99", "-0.10", "NaN"]),
        ),
        (
            "flt",
            Kind::Float { bits: 32 },
            texts(&["8388608", "1e-45", "3.4028235e38", "NaN", "-Infinity", "0.1"]),
        ),
        ("dnf", Kind::Float { bits: 64 }, texts(&["NaN", "Infinity", "-Infinity"])),
        (
            "tst",
            Kind::Timestamp { digits: 6 },
            texts(&["1970-01-01 00:00:00", "2050-06-01 00:00:00.25", "infinity"]),
        ),
        ("wid", Kind::Date, texts(&["infinity", "-infinity", "0044-03-15 BC", "10000-01-01"])),
        ("tim", Kind::Time { digits: 6, span: false }, texts(&["00:00:00", "24:00:00", "12:34:56.000001"])),
        (
            "ivl",
            Kind::Interval,
            texts(&["1 mon 3 days", "-838:59:59", "00:00:00", "1 year 2 mons -3 days +04:05:06.7"]),
        ),
        ("chr", Kind::Char { length: 5 }, texts(&["", "ab", "äöüß🦀"])),
        ("vch", Kind::Text { limit: Some(20) }, texts(&["äöüß🦀", "trailing "])),
        ("bit", Kind::Bit { width: 10, varying: false }, texts(&["0000000000", "0100000001"])),
        ("vbt", Kind::Bit { width: 10, varying: true }, texts(&["", "01", "1111111111"])),
        (
            "uid",
            Kind::Uuid,
            texts(&["00000000-0000-0000-0000-000000000000", "6f2c0a3e-0d6c-4e37-9d3b-0a1b2c3d4e5f"]),
        ),
        ("jsb", Kind::Json { binary: true }, texts(&["{\"a\": 1}", "[]", "12345678901234567890.5"])),
        ("arr", other("integer[]"), texts(&["{1,NULL,3}", "{}"])),
        ("ine", other("inet"), texts(&["192.168.0.1", "fe80::1/64"])),
    ]
}

fn other(native: &str) -> Kind {
    Kind::Other { native: native.to_owned(), bytes: false }
}

fn sqlite() -> Vec<Column> {
    vec![
        ("boo", Kind::Bool, texts(&["0", "1"])),
        ("inf", Kind::Float { bits: 64 }, texts(&["Infinity", "-Infinity"])),
        ("tst", Kind::Timestamp { digits: 6 }, texts(&["2050-06-01 00:00:00.25", "1970-01-01 00:00:00"])),
        ("tim", Kind::Time { digits: 6, span: false }, texts(&["00:00:00", "24:00:00", "12:34:56.000001"])),
        ("uid", Kind::Uuid, texts(&["6f2c0a3e-0d6c-4e37-9d3b-0a1b2c3d4e5f"])),
        ("nul", Kind::Text { limit: None }, texts(&["a\0b"])),
        ("any", Kind::Any, texts(&["i-5", "f0.25", "ttext", "b\0\u{7f}", "t12"])),
        ("mny", Kind::Decimal { size: Some((10, 2)), unsigned: false }, texts(&["19.99", "-0.5", "3"])),
    ]
}
