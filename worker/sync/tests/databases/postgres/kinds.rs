//! Every kind of value, read, encoded, loaded and read again: as text and in binary.

use super::*;
use shanty_sync::db::{Dialect, Side};
use shanty_sync::schema::Kind;

/// Native types, the kinds that they are, and values as literals of the server.
fn kinds() -> Vec<(&'static str, Kind, Vec<&'static str>)> {
    let int = |bits| Kind::Int { bits, unsigned: false };
    let other = |native: &str| Kind::Other { native: native.to_owned(), bytes: false };
    let text = |limit| Kind::Text { limit };
    vec![
        ("boolean", Kind::Bool, vec!["t", "f"]),
        ("smallint", int(16), vec!["-32768", "0", "32767"]),
        ("integer", int(32), vec!["-2147483648", "0", "2147483647"]),
        ("bigint", int(64), vec!["-9223372036854775808", "9223372036854775807"]),
        ("oid", Kind::Int { bits: 32, unsigned: true }, vec!["0", "4294967295"]),
        (
            "numeric",
            Kind::Decimal { size: None, unsigned: false },
            vec![
                "NaN",
                "Infinity",
                "-Infinity",
                "0",
                "-0.00",
                "1e-300",
                "123456789012345678901234567890.10",
                "1.50",
            ],
        ),
        (
            "numeric(10,2)",
            Kind::Decimal { size: Some((10, 2)), unsigned: false },
            vec!["-99999999.99", "0.00", "0.10", "NaN"],
        ),
        (
            "real",
            Kind::Float { bits: 32 },
            vec!["8388608", "16777217", "1e-45", "3.4028235e38", "-0", "NaN", "Infinity", "-Infinity", "0.1"],
        ),
        (
            "double precision",
            Kind::Float { bits: 64 },
            vec![
                "5e-324",
                "1.7976931348623157e308",
                "0.1",
                "0.30000000000000004",
                "-0",
                "NaN",
                "-Infinity",
                "1e22",
            ],
        ),
        (
            "date",
            Kind::Date,
            vec![
                "infinity",
                "-infinity",
                "4713-01-01 BC",
                "0001-01-01",
                "2024-02-29",
                "5874897-12-31",
                "0001-12-31 BC",
            ],
        ),
        (
            "time(3) without time zone",
            Kind::Time { digits: 3, span: false },
            vec!["00:00:00", "24:00:00", "23:59:59.999", "12:00:00.5"],
        ),
        (
            "timestamp without time zone",
            Kind::DateTime { digits: 6 },
            vec![
                "infinity",
                "-infinity",
                "4713-01-01 00:00:00 BC",
                "294276-12-31 23:59:59.999999",
                "1999-12-31 23:59:59.5",
                "2000-01-01",
            ],
        ),
        (
            "timestamp(3) with time zone",
            Kind::Timestamp { digits: 3 },
            vec![
                "infinity",
                "-infinity",
                "0044-03-15 12:00:00+00 BC",
                "2024-03-31 02:30:00.123+02",
                "1900-01-01 00:00:00+00",
            ],
        ),
        ("character(5)", Kind::Char { length: 5 }, vec!["", "a", "a b  ", "abcde", " x"]),
        ("character varying(8)", text(Some(8)), vec!["", "a  ", "ÄÖÜß\u{1f980}"]),
        (
            "text",
            text(None),
            vec![
                "",
                "\\.",
                "\\N",
                "\t",
                "\n",
                "\r\n",
                "a\tb\nc\\d\r",
                "\\",
                "\\\\",
                "\u{1f980}\u{10ffff}",
                "NULL",
                "\u{1}\u{8}\u{b}\u{c}\u{7f}",
            ],
        ),
        ("name", text(Some(63)), vec!["abc"]),
        ("bytea", Kind::Bytes { limit: None }, vec!["\\x", "\\x00", "\\x5c2e0a"]),
        ("bit(10)", Kind::Bit { width: 10, varying: false }, vec!["0000000000", "1010101011"]),
        ("bit varying(10)", Kind::Bit { width: 10, varying: true }, vec!["", "1", "1010101011"]),
        ("bit varying", Kind::Bit { width: 0, varying: true }, vec!["", "10"]),
        (
            "json",
            Kind::Json { binary: false },
            vec!["{\"a\" :  1, \"a\": 2}", "\"\\u00e9\\n\\\\\"", "null", "[1.10]"],
        ),
        (
            "jsonb",
            Kind::Json { binary: true },
            vec!["{\"b\": 1, \"a\": [1, 2.50]}", "\"tab\\there\"", "null"],
        ),
        (
            "uuid",
            Kind::Uuid,
            vec!["00000000-0000-0000-0000-000000000000", "f47ac10b-58cc-4372-a567-0e02b2c3d479"],
        ),
        (
            "interval",
            Kind::Interval,
            vec!["1 year 2 mons 3 days 04:05:06.789", "-1 mons +2 days -03:04:05", "00:00:00", "-838:59:59"],
        ),
        (
            "mood",
            Kind::Enum { labels: vec!["sad".to_owned(), "ok".to_owned(), "it's\\".to_owned()] },
            vec!["it's\\", "sad"],
        ),
        ("email", text(Some(20)), vec!["a@b"]),
        ("integer[]", other("integer[]"), vec!["{}", "{1,NULL,3}", "[0:2]={1,2,3}", "{{1,2},{3,NULL}}"]),
        ("text[]", other("text[]"), vec!["{\"a\\\\b\",\"c\\\"d\",NULL,\"NULL\",\"\",\"tab\t\"}"]),
        ("int4range", other("int4range"), vec!["empty", "[1,5)", "(,)", "[3,)"]),
        ("inet", other("inet"), vec!["10.1.2.3/8", "::1"]),
        ("point", other("point"), vec!["(1.5,-2)"]),
        ("time with time zone", other("time with time zone"), vec!["04:05:06-08"]),
        ("mood[]", other("mood[]"), vec!["{sad,\"it's\\\\\"}"]),
        ("pair", other("pair"), vec!["(1,\"a,b\")"]),
        ("tsvector", other("tsvector"), vec!["'a':1A 'b''c':2"]),
        ("xml", other("xml"), vec!["<a>&lt;\n</a>"]),
    ]
}

#[test]
fn every_kind_goes_through_both_lanes() {
    with_database(|url| async move {
        let mut writer = connect(&url, false).await;
        let dialect = writer.dialect();
        writer
            .execute(
                "CREATE TYPE mood AS ENUM ('sad', 'ok', E'it''s\\\\');
                 CREATE DOMAIN email AS varchar(20) CHECK (VALUE LIKE '%@%');
                 CREATE TYPE pair AS (a int, b text)",
            )
            .await
            .unwrap();
        let mut reader = connect(&url, true).await;
        let (mut binary, mut hashed) = (Vec::new(), Vec::new());
        for (number, (native, kind, values)) in kinds().into_iter().enumerate() {
            let (from, to) = (format!("from{number}"), format!("to{number}"));
            writer.execute(&format!("CREATE TABLE {from} (id int PRIMARY KEY, v {native})")).await.unwrap();
            let rows: Vec<String> = values
                .iter()
                .enumerate()
                .map(|(id, value)| format!("({id}, {}::{native})", dialect.text(value)))
                .chain(["(99, NULL)".to_owned()])
                .collect();
            writer.execute(&format!("INSERT INTO {from} VALUES {}", rows.join(", "))).await.unwrap();
            let source = described(&mut reader, &from).await;
            let column = &source.columns[1];
            assert_eq!(column.kind, kind, "{native}");
            assert_eq!(column.native, native);

            writer.execute(&format!("CREATE TABLE {to} (LIKE {from})")).await.unwrap();
            let target = described(&mut writer, &to).await;
            let plan = load_of(&target, OnDuplicate::Fail);
            let text = read(&mut reader, &source, false).await;
            let payload = encoded(writer.as_ref(), &target.columns, &text.rows);
            load(&mut writer, &plan, Rows::Encoded(&payload), text.rows.len()).await.unwrap();
            same(&mut writer, &from, &to, native).await;
            assert_eq!(read(&mut writer, &target, false).await.rows, text.rows, "{native}");

            if let Some(rows) = encoded_raw(dialect, &target.columns, &text.rows) {
                writer.execute(&format!("TRUNCATE {to}")).await.unwrap();
                load(&mut writer, &plan, Rows::Raw(&rows.concat()), rows.len()).await.unwrap();
                same(&mut writer, &from, &to, native).await;
                assert_eq!(read(&mut writer, &target, false).await.rows, text.rows, "{native}");
                binary.push(native);
                // What was encoded is what the server keeps, to the last bit.
                let known = hashes_agree(&mut writer, &target, &rows).await;
                assert_eq!(known, native != "character(5)", "{native}");
            }
            let is_raw = dialect.raw_compatible(&source.columns, &target.columns, &[0]);
            assert_eq!(is_raw, !matches!(native, "mood[]" | "pair" | "xml"), "{native}");
            if is_raw {
                writer.execute(&format!("TRUNCATE {to}")).await.unwrap();
                let raw = read(&mut reader, &source, true).await.raw;
                load(&mut writer, &plan, Rows::Raw(&raw.concat()), raw.len()).await.unwrap();
                same(&mut writer, &from, &to, native).await;
                keys_agree(&mut reader, &source, &raw).await;
                if hashes_agree(&mut reader, &source, &raw).await {
                    hashed.push(native);
                }
            }
            // A column of the declared type is of the same kind.
            if !matches!(kind, Kind::Enum { .. } | Kind::Int { unsigned: true, .. }) {
                let declared = dialect.column_type(&column.kind).unwrap();
                writer.execute(&format!("ALTER TABLE {to} ADD COLUMN again {declared}")).await.unwrap();
                assert_eq!(described(&mut writer, &to).await.columns[2].kind, kind, "{native}: {declared}");
            }
        }
        for native in [
            "boolean",
            "smallint",
            "integer",
            "bigint",
            "numeric",
            "numeric(10,2)",
            "real",
            "double precision",
            "text",
            "bytea",
            "date",
            "timestamp without time zone",
            "timestamp(3) with time zone",
            "uuid",
            "mood",
        ] {
            assert!(hashed.contains(&native), "{native} is not among {hashed:?}");
            assert!(binary.contains(&native), "{native} is not among {binary:?}");
        }
    });
}

/// Each row in the server's binary form; none for columns that have none here.
fn encoded_raw(
    dialect: &dyn Dialect,
    columns: &[Column],
    rows: &[Vec<Option<Vec<u8>>>],
) -> Option<Vec<Vec<u8>>> {
    let encoder = dialect.raw_encoder(columns)?;
    let encoded = |row: &Vec<Option<Vec<u8>>>| {
        let mut out = Vec::new();
        for (at, cell) in row.iter().enumerate() {
            encoder.cell(at, cell.as_deref(), &mut out).unwrap();
        }
        encoder.end_row(&mut out);
        out
    };
    Some(rows.iter().map(encoded).collect())
}

/// A row that was read raw has the hash here that the server has for it. False where it is not known here.
async fn hashes_agree(reader: &mut Box<dyn Connection>, source: &Table, raw: &[Vec<u8>]) -> bool {
    let dialect = reader.dialect();
    let Some(hash) = dialect.raw_hasher(&source.columns) else { return false };
    let part = |column| dialect.hash_text(&Side { column, other: &column.kind, same_engine: true }).unwrap();
    let parts: Vec<String> = source.columns.iter().map(part).collect();
    let sql =
        format!("SELECT {} FROM {} ORDER BY id", dialect.row_hash(&parts, true), dialect.table(&source.name));
    let answer = reader.query(&sql).await.unwrap();
    let here: Vec<Vec<Option<String>>> = raw.iter().map(|row| vec![Some(hash(row).to_string())]).collect();
    assert_eq!(here, answer, "{}", source.columns[1].native);
    true
}

/// Both tables hold the same bytes.
async fn same(connection: &mut Box<dyn Connection>, from: &str, to: &str, what: &str) {
    // Binary output tells -0 from 0 and every NaN from every other one; text tells the rest.
    let sql = format!(
        "SELECT count(*) FILTER (WHERE a.v::text IS DISTINCT FROM b.v::text OR (a.v IS NULL) <> (b.v IS NULL)), \
         count(*) FROM {from} a FULL JOIN {to} b USING (id)"
    );
    let counts = connection.query(&sql).await.unwrap();
    let rows = connection.query(&format!("SELECT count(*) FROM {to}")).await.unwrap();
    assert_eq!(counts[0][0].as_deref(), Some("0"), "{what}");
    assert_eq!(counts[0][1], rows[0][0], "{what}");
}

/// Keys read from binary rows are those that the server prints, and mean the same rows.
async fn keys_agree(reader: &mut Box<dyn Connection>, source: &Table, raw: &[Vec<u8>]) {
    let dialect = reader.dialect();
    let column = &source.columns[1];
    if !dialect.raw_compatible(&source.columns, &source.columns, &[1]) {
        return;
    }
    let expr = dialect.key_expr(column).unwrap();
    let sql =
        format!("SELECT id, {} FROM {} ORDER BY id", dialect.key_select(column), dialect.table(&source.name));
    let printed = reader.query(&sql).await.unwrap();
    assert_eq!(printed.len(), raw.len());
    for (row, raw) in printed.iter().zip(raw) {
        let key = dialect.raw_key(column, 1, raw);
        assert_eq!(key, row[1], "{}", column.native);
        let Some(key) = key else { continue };
        let equal = dialect
            .compare(&[(expr.clone(), dialect.literal(column, &key))], shanty_sync::db::Comparison::Equal);
        let sql = format!("SELECT id FROM {} WHERE {equal}", dialect.table(&source.name));
        let found = reader.query(&sql).await.unwrap();
        assert!(found.iter().any(|found| found[0] == row[0]), "{}: {sql}", column.native);
    }
}

#[test]
fn bytes_of_all_values_and_long_texts_go_through() {
    with_database(|url| async move {
        let mut writer = connect(&url, false).await;
        writer
            .execute(
                "CREATE TABLE a (id int PRIMARY KEY, y bytea, t text);
                 INSERT INTO a SELECT n, decode(string_agg(lpad(to_hex((b + n) % 256), 2, '0'), '' ORDER BY b), 'hex'),
                 repeat(chr(n + 8) || E'\\\\', 100000) FROM generate_series(0, 7) n, generate_series(0, 255) b GROUP BY n;
                 INSERT INTO a SELECT 100, decode(repeat('00ff5c0a', 4000000), 'hex'), NULL;
                 CREATE TABLE b (LIKE a)",
            )
            .await
            .unwrap();
        let source = described(&mut writer, "a").await;
        let target = described(&mut writer, "b").await;
        let rows = read(&mut writer, &source, false).await.rows;
        assert_eq!(rows[0][1].as_deref(), Some(&(0..=255).collect::<Vec<u8>>()[..]));
        assert_eq!(rows[8][1].as_ref().map(Vec::len), Some(16_000_000));
        let payload = encoded(writer.as_ref(), &target.columns, &rows);
        load(&mut writer, &load_of(&target, OnDuplicate::Fail), Rows::Encoded(&payload), 9).await.unwrap();
        let sql = "SELECT count(*) FROM a JOIN b USING (id) WHERE a.y = b.y AND a.t IS NOT DISTINCT FROM b.t";
        assert_eq!(writer.query(sql).await.unwrap(), [[Some("9".to_owned())]]);
        let raw = read(&mut writer, &source, true).await.raw;
        writer.execute("TRUNCATE b").await.unwrap();
        load(&mut writer, &load_of(&target, OnDuplicate::Fail), Rows::Raw(&raw.concat()), 9).await.unwrap();
        assert_eq!(writer.query(sql).await.unwrap(), [[Some("9".to_owned())]]);
    });
}

#[test]
fn many_columns_and_odd_names_go_through() {
    with_database(|url| async move {
        let mut writer = connect(&url, false).await;
        let dialect = writer.dialect();
        writer.execute("CREATE SCHEMA \"Odd \"\"Schema\"").await.unwrap();
        let name =
            TableName { schema: Some("Odd \"Schema".to_owned()), name: "Täble \"x\".y'\\".to_owned() };
        let columns: Vec<String> = (0..500)
            .map(|number| format!("{} int", dialect.ident(&format!("Col {number} \"' \\"))))
            .collect();
        writer
            .execute(&format!(
                "CREATE TABLE {} ({}, PRIMARY KEY ({}))",
                dialect.table(&name),
                columns.join(", "),
                dialect.ident("Col 0 \"' \\")
            ))
            .await
            .unwrap();
        let table = writer.describe(&name).await.unwrap().unwrap();
        assert_eq!((&table.name, table.columns.len()), (&name, 500));
        assert_eq!(table.primary_key, ["Col 0 \"' \\"]);
        let row = |add: usize| {
            (0..500).map(|number| Some((number + add).to_string().into_bytes())).collect::<Vec<_>>()
        };
        let rows = vec![row(0), row(1000)];
        let payload = encoded(writer.as_ref(), &table.columns, &rows);
        load(&mut writer, &load_of(&table, OnDuplicate::Fail), Rows::Encoded(&payload), 2).await.unwrap();
        let replace =
            OnDuplicate::Replace { key: table.primary_key.clone(), newer: Some("Col 7 \"' \\".to_owned()) };
        load(&mut writer, &load_of(&table, replace), Rows::Encoded(&payload), 2).await.unwrap();
        assert_eq!(read(&mut writer, &table, false).await.rows, rows);
        assert_eq!(writer.tables(name.schema.as_deref()).await.unwrap(), [name]);
    });
}
