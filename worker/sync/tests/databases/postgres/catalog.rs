//! What catalogs say of tables, and tables made from descriptions.

use super::*;
use shanty_sync::schema::{Index, IndexColumn, Kind};

#[test]
fn a_table_is_described_as_it_is() {
    with_database(|url| async move {
        let mut it = connect(&url, false).await;
        it.execute(
            "CREATE TABLE parent (id int PRIMARY KEY);
             CREATE TABLE t (b int NOT NULL, a text COLLATE \"C\" NOT NULL, s serial, i bigint GENERATED ALWAYS AS IDENTITY,
             g int GENERATED ALWAYS AS (b + 1) STORED, d int DEFAULT 5, p int REFERENCES parent, e text COLLATE \"en-x-icu\",
             CHECK (b > 0), PRIMARY KEY (a, b));
             ALTER TABLE t DROP COLUMN d, ADD COLUMN d int DEFAULT 5;
             CREATE INDEX by_d ON t (d DESC, b); CREATE UNIQUE INDEX by_p ON t (p);
             CREATE INDEX by_lower ON t (lower(a)); CREATE INDEX few ON t (d) WHERE d > 1; CREATE INDEX h ON t USING hash (d);
             CREATE TABLE child (a text, b int, FOREIGN KEY (a, b) REFERENCES t ON UPDATE CASCADE);
             CREATE VIEW v AS SELECT * FROM t;
             CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING;
             ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        )
        .await
        .unwrap();
        assert_eq!(it.describe(&named("nothing")).await.unwrap(), None);
        let table = described(&mut it, "t").await;
        assert_eq!(table.name.to_string(), "public.t");
        assert_eq!(table.primary_key, ["a", "b"]);
        assert_eq!((table.rows, table.view, table.transactional), (Some(0), false, true));
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "s", "i", "g", "p", "e", "d"]);
        let column = |name: &str| table.column(name).unwrap().clone();
        assert!(!column("a").nullable && column("p").nullable);
        assert_eq!(column("a").collation.as_deref(), Some("C"));
        assert_eq!(column("e").collation.as_deref(), Some("en-x-icu"));
        assert!(column("s").auto && column("i").auto && !column("d").auto);
        assert!(column("g").generated && column("g").default.is_none());
        assert_eq!(column("d").default.as_deref(), Some("5"));
        let part = |name: &str, descending| IndexColumn { name: name.to_owned(), prefix: None, descending };
        let expected = [
            Index {
                name: "by_d".to_owned(),
                columns: vec![part("d", true), part("b", false)],
                unique: false,
            },
            Index { name: "by_p".to_owned(), columns: vec![part("p", false)], unique: true },
        ];
        assert_eq!(table.indexes, expected);
        for words in ["by_lower", "index few", "index h", "CHECK", "FOREIGN KEY (p)"] {
            assert!(table.left_out.iter().any(|left| left.contains(words)), "{words}: {:?}", table.left_out);
        }
        for words in ["foreign key", "rule r", "row security"] {
            assert!(
                table.hindrances.iter().any(|found| found.contains(words)),
                "{words}: {:?}",
                table.hindrances
            );
        }
        assert!(described(&mut it, "v").await.view);
        it.execute("CREATE TABLE shanty_sync_state (id int); CREATE UNLOGGED TABLE u (id int)")
            .await
            .unwrap();
        let tables: Vec<String> = it.tables(None).await.unwrap().into_iter().map(|name| name.name).collect();
        assert_eq!(tables, ["child", "parent", "t", "u"]);
        assert!(it.tables(Some("nowhere")).await.unwrap().is_empty());
        assert!(described(&mut it, "u").await.hindrances[0].contains("UNLOGGED"));
    });
}

#[test]
fn sizes_count_values_out_of_line_and_rows_are_known_after_analyze() {
    with_database(|url| async move {
        let mut it = connect(&url, false).await;
        it.execute(
            "CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t ALTER v SET STORAGE EXTERNAL;
             INSERT INTO t SELECT n, repeat('x', 100000) FROM generate_series(1, 20) n;
             CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
             INSERT INTO p SELECT generate_series(0, 149)",
        )
        .await
        .unwrap();
        let table = described(&mut it, "t").await;
        assert_eq!(table.rows, None);
        assert!(table.bytes.unwrap() > 2_000_000, "{:?}", table.bytes);
        it.execute("ANALYZE").await.unwrap();
        assert_eq!(described(&mut it, "t").await.rows, Some(20));
        let parted = described(&mut it, "p").await;
        assert_eq!(parted.rows, Some(150));
        assert!(parted.bytes.unwrap() > 0);
        let tables: Vec<String> = it.tables(None).await.unwrap().into_iter().map(|name| name.name).collect();
        assert_eq!(tables, ["p", "t"]);
    });
}

#[test]
fn tables_are_made_from_descriptions() {
    with_database(|url| async move {
        let mut it = connect(&url, false).await;
        let dialect = it.dialect();
        let column = |name: &str, kind: Kind, auto: bool| Column {
            name: name.to_owned(),
            native: String::new(),
            kind,
            nullable: !auto,
            generated: false,
            auto,
            default: None,
            collation: None,
        };
        let part = |name: &str, prefix| IndexColumn { name: name.to_owned(), prefix, descending: false };
        let table = Table {
            name: TableName { schema: Some("public".to_owned()), name: "made".to_owned() },
            columns: vec![
                column("id", Kind::Int { bits: 32, unsigned: true }, true),
                column("big", Kind::Int { bits: 64, unsigned: true }, false),
                column("e", Kind::Enum { labels: vec!["a".to_owned(), "it's\\".to_owned()] }, false),
                column("s", Kind::Set { labels: vec!["a".to_owned()] }, false),
                column("y", Kind::Year, false),
                column("t", Kind::Time { digits: 6, span: true }, false),
                column("x", Kind::Text { limit: None }, false),
                column("bin", Kind::Binary { length: 4 }, false),
            ],
            primary_key: vec!["id".to_owned()],
            indexes: vec![
                Index {
                    name: "by_x".to_owned(),
                    columns: vec![part("x", Some(3)), part("bin", Some(2))],
                    unique: true,
                },
                Index { name: "by_y".to_owned(), columns: vec![part("y", None)], unique: false },
            ],
            rows: None,
            bytes: None,
            transactional: true,
            view: false,
            hindrances: Vec::new(),
            left_out: Vec::new(),
            rowid: None,
        };
        it.execute(&dialect.create_table(&table).unwrap()).await.unwrap();
        for _ in 0..2 {
            for statement in dialect.create_indexes(&table) {
                it.execute(&statement).await.unwrap();
            }
        }
        let rows = cells(&[&[
            "4294967295",
            "18446744073709551615",
            "it's\\",
            "a",
            "0000",
            "-838:59:59",
            "abcd",
            "\u{1}\u{2}",
        ]]);
        let made = described(&mut it, "made").await;
        assert_eq!(made.indexes.len(), 1, "the other one is over expressions: {:?}", made.left_out);
        let plan = load_of(&made, OnDuplicate::Fail);
        let payload = encoded(it.as_ref(), &made.columns, &rows);
        load(&mut it, &plan, Rows::Encoded(&payload), 1).await.unwrap();
        let again = cells(&[&["5", "-", "a", "-", "-", "-", "abcX", "\u{1}\u{2}\u{3}"]]);
        let payload = encoded(it.as_ref(), &made.columns, &again);
        let error = load(&mut it, &plan, Rows::Encoded(&payload), 1).await.unwrap_err();
        assert_eq!(error.code, "23505", "a prefix is unique: {error}");
        let wrong = cells(&[&["5", "-", "b", "-", "-", "-", "-", "-"]]);
        let payload = encoded(it.as_ref(), &made.columns, &wrong);
        let error = load(&mut it, &plan, Rows::Encoded(&payload), 1).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (Class::Row, "23514"));
        assert!(!error.message.contains("Failing row"), "{error}");

        // Counters follow the largest value and never go back.
        it.execute("UPDATE made SET id = 50; CREATE SEQUENCE own; CREATE TABLE c (a serial PRIMARY KEY, b int DEFAULT nextval('own'));
                    INSERT INTO c VALUES (7, 9); SELECT setval('own', 100)").await.unwrap();
        for name in ["made", "c"] {
            let table = described(&mut it, name).await;
            for statement in dialect.after_load(&table) {
                it.execute(&statement).await.unwrap();
            }
        }
        let next = "SELECT nextval('made_id_seq'), nextval('c_a_seq'), nextval('own')";
        let next: Vec<String> = it.query(next).await.unwrap().remove(0).into_iter().flatten().collect();
        assert_eq!(next, ["51", "8", "101"]);
        assert_eq!(described(&mut it, "c").await.rows, Some(1));
    });
}
