//! What a server says of itself and its tables, and hashes.

use super::*;
use md5::{Digest as _, Md5};
use shanty_sync::db::Side;
use shanty_sync::schema::Kind;

async fn one(connection: &mut Box<dyn Connection>, sql: &str) -> Option<String> {
    connection.query(sql).await.unwrap().remove(0).remove(0)
}

#[test]
fn statistics_give_estimates_and_histograms() {
    with_database(|url| async move {
        let mut it = connect(&url, true).await;
        let mut writer = connect(&url, false).await;
        writer
            .execute(
                "CREATE TABLE t (id int PRIMARY KEY, y bytea, z timestamptz, v text);
                 INSERT INTO t SELECT n, decode(lpad(to_hex(n), 6, '0'), 'hex'), to_timestamp(n), 'it''s \\ {' || n FROM generate_series(1, 10000) n",
            )
            .await
            .unwrap();
        let table = described(&mut it, "t").await;
        assert!(it.histogram(&table.name, &table.columns[0]).await.unwrap().is_empty());
        writer.execute("ANALYZE t").await.unwrap();
        let estimate = it.estimate(&table.name, "id <= 2500").await.unwrap().unwrap();
        assert!((2000..3000).contains(&estimate), "{estimate}");
        assert_eq!(it.estimate(&table.name, "nothing = 1").await.unwrap_err().class, Class::Missing);
        for column in &table.columns {
            let bounds = it.histogram(&table.name, column).await.unwrap();
            assert!(bounds.len() > 50, "{}", column.name);
            // Each is a literal, and they grow.
            let dialect = it.dialect();
            let literals: Vec<String> = bounds.iter().map(|bound| dialect.literal(column, bound)).collect();
            let sql = format!(
                "SELECT ({}) = ARRAY(SELECT x FROM unnest({0}) x ORDER BY x)",
                format_args!("ARRAY[{}]", literals.join(", "))
            );
            assert_eq!(one(&mut it, &sql).await.as_deref(), Some("t"), "{}", column.name);
            let sql = format!(
                "SELECT count(*) FROM t WHERE {} <= {}",
                dialect.key_expr(column).unwrap(),
                literals[literals.len() / 2]
            );
            let below: u64 = one(&mut it, &sql).await.unwrap().parse().unwrap();
            assert!((4000..6000).contains(&below), "{}: {below}", column.name);
        }
    });
}

#[test]
fn a_database_is_the_same_by_every_session_and_no_other() {
    let Some(server) = Server::shared() else { return };
    block_on(async {
        let (one, other) = (server.database(""), server.database(""));
        let mut first = connect(&server.url_of(&one), true).await;
        let mut second = connect(&server.url_of(&one), false).await;
        let mut third = connect(&server.url_of(&other), true).await;
        let identity = first.identity().await.unwrap();
        assert_eq!(identity, second.identity().await.unwrap());
        assert_ne!(identity, third.identity().await.unwrap());
        assert_eq!(first.lag().await.unwrap(), None);
        assert!(first.server().starts_with("PostgreSQL 1"), "{}", first.server());
    });
}

#[test]
fn privileges_that_are_missing_are_named_with_their_grant() {
    let Some(server) = Server::shared() else { return };
    block_on(async {
        let database = server.database("");
        let mut owner = connect(&server.url_of(&database), false).await;
        let user = format!("limited_{database}");
        owner
            .execute(&format!(
                "REVOKE ALL ON DATABASE {database} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC;
                 CREATE ROLE {user} LOGIN PASSWORD 'x'; GRANT CONNECT ON DATABASE {database} TO {user};
                 CREATE TABLE t (id serial PRIMARY KEY); CREATE TABLE secret (id int); GRANT SELECT ON secret TO {user}"
            ))
            .await
            .unwrap();
        let mut limited = connect(&server.url_as(&user, "x", &database), false).await;
        let table = TableName { schema: Some("public".to_owned()), name: "t".to_owned() };
        for write in [false, true] {
            // What is granted as it is told leaves nothing missing.
            let mut rounds = 0;
            loop {
                let missing = limited.missing_privileges(&table, write).await.unwrap();
                if missing.is_empty() {
                    break;
                }
                rounds += 1;
                assert!(rounds < 4, "{missing:?}");
                for words in missing {
                    owner.execute(words.split_once(": ").unwrap().1).await.unwrap();
                }
            }
            assert!(rounds > 0);
        }
        let plan = load_of(
            &described(&mut limited, "t").await,
            OnDuplicate::Replace { key: vec!["id".to_owned()], newer: None },
        );
        load(&mut limited, &plan, Rows::Encoded(b"5\n"), 1).await.unwrap();
        let table = described(&mut limited, "t").await;
        for statement in limited.dialect().after_load(&table) {
            limited.execute(&statement).await.unwrap();
        }
        assert!(owner.missing_privileges(&table.name, true).await.unwrap().is_empty());
        // What a policy hides is an error, not an empty answer.
        owner.execute("ALTER TABLE secret ENABLE ROW LEVEL SECURITY").await.unwrap();
        let mut reader = connect(&server.url_as(&user, "x", &database), true).await;
        let columns = table.columns;
        let select = Select { sql: "SELECT id FROM secret", columns: &columns, raw: false };
        assert_eq!(reader.read(select, &mut Kept::new()).await.unwrap_err().class, Class::Denied);
    });
}

#[test]
fn the_safe_bound_lies_below_every_open_transaction() {
    let Some(server) = Server::shared() else { return };
    block_on(async {
        let database = server.database("");
        let url = server.url_of(&database);
        let mut it = connect(&url, true).await;
        let mut writer = connect(&url, false).await;
        writer
            .execute("CREATE TABLE t (id bigint PRIMARY KEY, z timestamptz, s timestamptz(0), l timestamp(3), d date)")
            .await
            .unwrap();
        let table = described(&mut it, "t").await;
        writer.begin().await.unwrap();
        // Nothing is written yet, and the start may be rounded down to the second.
        writer.query("SELECT 1").await.unwrap();
        let mut bounds = Vec::new();
        for column in &table.columns[1..] {
            let (bound, words) = it.safe_upper(&table.name, column).await.unwrap();
            let bound = bound.unwrap();
            assert_eq!(
                words.is_some(),
                column.kind == Kind::Date || column.native.contains("without"),
                "{words:?}"
            );
            bounds.push(format!("{} > {}", column.name, it.dialect().literal(column, &bound)));
        }
        writer.execute("INSERT INTO t VALUES (7, now(), now(), now(), now())").await.unwrap();
        writer.commit(true).await.unwrap();
        let sql = format!("SELECT {} FROM t", bounds.join(", "));
        let above = it.query(&sql).await.unwrap().remove(0);
        assert!(above.iter().all(|above| above.as_deref() == Some("t")), "{sql}: {above:?}");
        // It moves on once the transaction is over; the other reader's does not hold it.
        let mut reader = connect(&url, true).await;
        reader.begin().await.unwrap();
        reader.query("SELECT 1").await.unwrap();
        let column = &table.columns[1];
        let began = std::time::Instant::now();
        loop {
            let (bound, words) = it.safe_upper(&table.name, column).await.unwrap();
            assert_eq!(words, None);
            let sql = format!("SELECT z < {} FROM t", it.dialect().literal(column, &bound.unwrap()));
            if one(&mut it, &sql).await.as_deref() == Some("t") {
                break;
            }
            assert!(began.elapsed().as_secs() < 20);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let (bound, words) = it.safe_upper(&table.name, &table.columns[0]).await.unwrap();
        assert_eq!(bound.as_deref(), Some("7"));
        assert!(words.unwrap().contains("no time"));
        // Prepared transactions, and accounts that see no others.
        writer.execute("BEGIN; INSERT INTO t VALUES (8); PREPARE TRANSACTION 'p'").await.unwrap();
        let words = it.safe_upper(&table.name, column).await.unwrap().1;
        writer.execute("ROLLBACK PREPARED 'p'").await.unwrap();
        assert!(words.unwrap().contains("prepared"));
        let user = format!("blind_{database}");
        writer.execute(&format!("CREATE ROLE {user} LOGIN PASSWORD 'x'")).await.unwrap();
        let mut blind = connect(&server.url_as(&user, "x", &database), true).await;
        let words = blind.safe_upper(&table.name, column).await.unwrap().1;
        assert!(words.unwrap().contains("pg_read_all_stats"));
    });
}

#[test]
fn hashes_are_made_of_the_documented_texts() {
    with_database(|url| async move {
        let mut it = connect(&url, false).await;
        let dialect = it.dialect();
        it.execute(
            "CREATE TYPE mood AS ENUM ('sad', 'ok');
             CREATE TABLE t (b boolean, i int, n numeric(20,4), d date, t time, ts timestamp, z timestamptz(3), v interval,
             c char(4), x text COLLATE \"C\", u text COLLATE \"en-x-icu\", y bytea, w bit(10), m mood, id uuid, f float8, j jsonb, a int[], ip inet);
             INSERT INTO t VALUES (true, -5, 1.5, '2024-02-29', '23:59:59.5', '2024-01-02 03:04:05.678912', '2024-01-02 03:04:05.678+02',
             '-838:59:59', 'ab', 'ä', '', '\\x00ff', B'0000001010', 'ok', 'f47ac10b-58cc-4372-a567-0e02b2c3d479', 0.1, '{}', '{1}', '10.0.0.1'),
             (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        .await
        .unwrap();
        let table = described(&mut it, "t").await;
        let counterparts = [
            ("b", Kind::Int { bits: 8, unsigned: false }, Some("1")),
            ("i", Kind::Int { bits: 64, unsigned: false }, Some("-5")),
            ("n", Kind::Decimal { size: Some((20, 2)), unsigned: false }, Some("1.50")),
            ("n", Kind::Text { limit: None }, Some("1.5000")),
            ("d", Kind::Date, Some("2024-02-29")),
            ("t", Kind::Time { digits: 6, span: true }, Some("86399500000")),
            ("t", Kind::Time { digits: 0, span: true }, Some("86399000000")),
            ("ts", Kind::DateTime { digits: 3 }, Some("2024-01-02 03:04:05.678000")),
            ("ts", Kind::DateTime { digits: 0 }, Some("2024-01-02 03:04:05.000000")),
            ("z", Kind::Timestamp { digits: 6 }, Some("2024-01-02 01:04:05.678000")),
            ("v", Kind::Time { digits: 0, span: true }, Some("-3020399000000")),
            ("c", Kind::Text { limit: None }, Some("ab")),
            ("x", Kind::Text { limit: Some(10) }, Some("ä")),
            ("u", Kind::Text { limit: None }, Some("")),
            ("y", Kind::Bytes { limit: None }, Some("00ff")),
            ("w", Kind::Bit { width: 10, varying: false }, Some("a")),
            ("m", Kind::Enum { labels: vec!["ok".to_owned()] }, Some("ok")),
            ("id", Kind::Char { length: 36 }, Some("f47ac10b-58cc-4372-a567-0e02b2c3d479")),
            ("ip", Kind::Text { limit: None }, Some("10.0.0.1")),
            ("a", Kind::Text { limit: None }, Some("{1}")),
            ("f", Kind::Float { bits: 64 }, Some("0.1")),
            ("j", Kind::Json { binary: true }, None),
        ];
        let mut texts = Vec::new();
        let mut expected = String::new();
        for (name, other, value) in counterparts {
            let column = table.column(name).unwrap();
            let text = dialect.hash_text(&Side { column, other: &other, same_engine: false });
            assert_eq!(text.is_some(), value.is_some(), "{name}");
            let (Some(text), Some(value)) = (text, value) else { continue };
            let answer = it.query(&format!("SELECT {text} FROM t ORDER BY i")).await.unwrap();
            assert_eq!(answer, [[Some(value.to_owned())], [None]], "{name}: {text}");
            expected.push_str(&format!("{}:{value}", value.len()));
            texts.push(text);
        }
        let hash = |text: &str| {
            let digest = Md5::digest(text.as_bytes());
            let high = u64::from_be_bytes(digest[..8].try_into().unwrap());
            (high >> 4).to_string()
        };
        let answer =
            it.query(&format!("SELECT {} FROM t ORDER BY i", dialect.row_hash(&texts, false))).await.unwrap();
        assert_eq!(answer, [[Some(hash(&expected))], [Some(hash(&"N".repeat(texts.len())))]]);

        let texts: Vec<String> = table
            .columns
            .iter()
            .map(|column| {
                dialect.hash_text(&Side { column, other: &column.kind, same_engine: true }).unwrap()
            })
            .collect();
        let sql = format!("SELECT {} FROM t ORDER BY i", dialect.row_hash(&texts, true));
        let before = it.query(&sql).await.unwrap();
        let value: u64 = before[0][0].as_ref().unwrap().parse().unwrap();
        assert!(value < 1 << 60);
        for change in ["f = 0.1 + 1e-16", "j = '[]'", "u = ' '", "a = '[0:0]={1}'", "x = NULL, u = 'N'"] {
            it.begin().await.unwrap();
            it.execute(&format!("UPDATE t SET {change} WHERE i = -5")).await.unwrap();
            let after = it.query(&sql).await.unwrap();
            assert_ne!(after[0], before[0], "{change}");
            it.rollback().await.unwrap();
        }
    });
}

#[test]
fn a_database_in_another_encoding_has_the_same_hashes_and_texts() {
    let Some(server) = Server::shared() else { return };
    block_on(async {
        let url = server.url_of(&server.database("ENCODING 'LATIN1' TEMPLATE template0"));
        let mut it = connect(&url, false).await;
        assert!(it.server().ends_with(", LATIN1"), "{}", it.server());
        it.execute("CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t VALUES (1, 'ä')")
            .await
            .unwrap();
        let table = described(&mut it, "t").await;
        assert_eq!(read(&mut it, &table, false).await.rows, cells(&[&["1", "ä"]]));
        let texts = ["id::text".to_owned(), "x".to_owned()];
        let sql = format!("SELECT {} FROM t", it.dialect().row_hash(&texts, false));
        let digest = Md5::digest("1:12:ä".as_bytes());
        let expected = (u64::from_be_bytes(digest[..8].try_into().unwrap()) >> 4).to_string();
        assert_eq!(one(&mut it, &sql).await, Some(expected));
        // What the database cannot hold is a row's fault.
        let plan = load_of(&table, OnDuplicate::Fail);
        let error = load(&mut it, &plan, Rows::Encoded("2\t\u{1f980}\n".as_bytes()), 1).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (Class::Row, "22P05"));
    });
}
