//! Every type of MySQL and MariaDB with the values at its edges.

/// A column's declaration and values: each as SQL, and the text in which it is read.
pub(crate) struct Edges {
    pub(crate) name: &'static str,
    pub(crate) declared: &'static str,
    pub(crate) values: Vec<(String, Option<Vec<u8>>)>,
}

fn edges(name: &'static str, declared: &'static str, values: &[(&str, &[u8])]) -> Edges {
    let null = ("NULL".to_owned(), None);
    let values = values.iter().map(|(sql, text)| ((*sql).to_owned(), Some(text.to_vec())));
    Edges { name, declared, values: std::iter::once(null).chain(values).collect() }
}

/// Numbers whose text is their SQL.
fn plain(name: &'static str, declared: &'static str, values: &[&'static str]) -> Edges {
    let values: Vec<(&str, &[u8])> = values.iter().map(|text| (*text, text.as_bytes())).collect();
    edges(name, declared, &values)
}

/// Text and dates, whose text is their SQL without quotes.
fn quoted(name: &'static str, declared: &'static str, values: &[&str]) -> Edges {
    let sql: Vec<String> = values.iter().map(|text| format!("'{}'", text.replace('\'', "''"))).collect();
    let values: Vec<(&str, &[u8])> =
        sql.iter().map(String::as_str).zip(values.iter().map(|text| text.as_bytes())).collect();
    edges(name, declared, &values)
}

/// All of them.
pub(crate) fn all() -> Vec<Edges> {
    let ones = "1".repeat(64);
    let one = format!("{}1", "0".repeat(63));
    vec![
        plain("tiny", "tinyint(1)", &["-128", "127", "2", "0"]),
        plain("utiny", "tinyint unsigned", &["255", "0"]),
        plain("small", "smallint", &["-32768", "32767"]),
        plain("medium", "mediumint unsigned", &["16777215"]),
        plain("plain", "int", &["-2147483648", "2147483647"]),
        plain("padded", "int(12) unsigned zerofill", &["42", "4294967295"]),
        plain("big", "bigint", &["-9223372036854775808", "9223372036854775807"]),
        plain("ubig", "bigint unsigned", &["18446744073709551615", "0"]),
        plain(
            "dec",
            "decimal(65,30)",
            &["-12345678901234567890123456789012345.000000000000000000000000000001"],
        ),
        edges("money", "decimal(12,2) unsigned", &[("0", b"0.00"), ("9999999999.99", b"9999999999.99")]),
        edges(
            "single",
            "float",
            &[
                ("8388608", b"8388608"),
                ("16777217", b"16777216"),
                ("1e-45", b"1e-45"),
                ("3.4028234663852886e38", b"3.4028235e38"),
                ("-1.17549435e-38", b"-1.1754944e-38"),
                // MariaDB keeps no negative zero.
                ("'-0'", b"0"),
                ("0.1", b"0.1"),
            ],
        ),
        edges(
            "precise",
            "double",
            &[
                ("0.1", b"0.1"),
                ("1.7976931348623157e308", b"1.7976931348623157e308"),
                ("5e-324", b"5e-324"),
                ("123456789012345680000", b"1.2345678901234568e20"),
                ("'-0'", b"0"),
            ],
        ),
        quoted("day", "date", &["0000-00-00", "2024-00-10", "2024-02-31", "9999-12-31", "1000-01-01"]),
        quoted(
            "moment",
            "datetime(6)",
            &["0000-00-00 00:00:00.000000", "9999-12-31 23:59:59.999999", "1000-01-01 00:00:00.000001"],
        ),
        quoted("second", "datetime", &["2024-03-31 02:30:00", "2024-00-00 00:00:00"]),
        quoted(
            "instant",
            "timestamp(3) null",
            &["0000-00-00 00:00:00.000", "1970-01-01 00:00:01.000", "2038-01-19 03:14:07.999"],
        ),
        quoted("span", "time(6)", &["-838:59:59.999999", "838:59:59.000000", "-00:00:00.500000"]),
        plain("year", "year", &["0", "1901", "2155", "2000"]),
        quoted("fixed", "char(5)", &["", "ab", "🦀é"]),
        edges(
            "words",
            "varchar(80)",
            &[
                ("''", b""),
                ("'  blanks  '", b"  blanks  "),
                (r#"'a\\b\tc\nd\re\0f\'g"h\Zi'"#, b"a\\b\tc\nd\re\0f'g\"h\x1ai"),
                (r"'\\N'", b"\\N"),
                ("'NULL'", b"NULL"),
                ("'🦀é'", "🦀é".as_bytes()),
            ],
        ),
        quoted("latin", "varchar(20) character set latin1", &["é€"]),
        edges("long", "longtext", &[("repeat('xé\\n', 40000)", "xé\n".repeat(40_000).as_bytes())]),
        edges("bin", "binary(4)", &[("x'00'", b"\0\0\0\0"), ("x'27095c0a'", b"\x27\x09\x5c\x0a")]),
        edges(
            "vbin",
            "varbinary(20)",
            &[("''", b""), ("x'00ff0a090d5c27e29c'", b"\x00\xff\x0a\x09\x0d\x5c\x27\xe2\x9c")],
        ),
        edges(
            "blobs",
            "longblob",
            &[("repeat(x'00ff0a5c09', 20000)", &b"\x00\xff\x0a\x5c\x09".repeat(20_000))],
        ),
        edges("bit1", "bit(1)", &[("b'0'", b"0"), ("b'1'", b"1")]),
        edges("bit10", "bit(10)", &[("b'1111111111'", b"1111111111"), ("b'101'", b"0000000101")]),
        edges("bit64", "bit(64)", &[("18446744073709551615", ones.as_bytes()), ("1", one.as_bytes())]),
        quoted("doc", "json", &[r#"{"a": "🦀", "b": [1, 1.50, null]}"#, "[]"]),
        quoted("label", "enum('', 'b', 'it''s', '3', 'B,c')", &["", "b", "it's", "3", "B,c"]),
        quoted("labels", "set('a', 'it''s', '1')", &["", "a,1", "a,it's,1"]),
        quoted("ident", "uuid", &["00112233-4455-6677-8899-aabbccddeeff"]),
        quoted("ip", "inet6", &["2001:db8::1"]),
        edges(
            "place",
            "point",
            &[(
                "ST_GeomFromText('POINT(1 2)')",
                b"\0\0\0\0\x01\x01\0\0\0\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\x40",
            )],
        ),
    ]
}
