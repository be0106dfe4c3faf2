//! SQLite by itself: what its files, types and locks do that no other engine's do.

use crate::support::rows::{
    Collect, Database, column, create, encoded, load, load_in, load_of, name, read, row, select, shown, table,
};
use shanty_sync::db::{Class, Comparison, Connection, Endpoint, OnDuplicate, Rows, Select, open};
use shanty_sync::schema::{Kind, Table};
use std::time::Instant;

struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new() -> File {
        File { folder: tempfile::tempdir().unwrap() }
    }

    fn database(&self) -> Database {
        Database { url: format!("sqlite://{}", self.folder.path().join("a.db").display()) }
    }
}

const INT: Kind = Kind::Int { bits: 64, unsigned: false };
const TEXT: Kind = Kind::Text { limit: None };

async fn class_of_opening(url: &str, read_only: bool) -> Class {
    open(&Endpoint::parse(url).unwrap(), read_only).await.err().map(|error| error.class).unwrap()
}

async fn made(db: &mut dyn Connection, statements: &[&str]) {
    for sql in statements {
        db.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::test]
async fn a_missing_file_is_created_by_writers_only() {
    let file = File::new();
    let database = file.database();
    assert_eq!(class_of_opening(&database.url, true).await, Class::Missing);
    assert!(!file.folder.path().join("a.db").exists());
    let writer = database.writer().await;
    assert!(writer.server().starts_with("SQLite 3."));
    assert!(file.folder.path().join("a.db").exists());
    writer.close().await;
    let nowhere = format!("sqlite://{}/no/a.db", file.folder.path().display());
    assert_eq!(class_of_opening(&nowhere, false).await, Class::Missing);
    let text = file.folder.path().join("text");
    std::fs::write(&text, "this is no database, however long it may be".repeat(100)).unwrap();
    assert_eq!(class_of_opening(&format!("sqlite://{}", text.display()), false).await, Class::Other);
}

#[tokio::test]
async fn a_reader_never_writes() {
    let file = File::new();
    let mut writer = file.database().writer().await;
    made(writer.as_mut(), &["CREATE TABLE t (a)"]).await;
    let mut reader = file.database().reader().await;
    let refused = reader.execute("INSERT INTO t VALUES (1)").await.unwrap_err();
    assert_eq!(refused.class, Class::Denied, "{refused}");
    assert_eq!(writer.identity().await.unwrap(), reader.identity().await.unwrap());
    assert!(writer.missing_privileges(&name("t"), true).await.unwrap().is_empty());
    let other = File::new();
    assert_ne!(other.database().writer().await.identity().await.unwrap(), reader.identity().await.unwrap());
}

#[tokio::test]
async fn errors_have_their_class() {
    let file = File::new();
    let mut db = file.database().writer().await;
    let create = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL UNIQUE, c CHECK (c > 0))";
    made(db.as_mut(), &[create]).await;
    made(db.as_mut(), &["INSERT INTO t VALUES (1, 'a', 1)"]).await;
    for (sql, class) in [
        ("SELECT * FROM nowhere", Class::Missing),
        ("SELECT absent FROM t", Class::Missing),
        ("SELEC", Class::Other),
        ("INSERT INTO t VALUES (1, 'b', 1)", Class::Row),
        ("INSERT INTO t VALUES (2, 'a', 1)", Class::Row),
        ("INSERT INTO t VALUES (3, NULL, 1)", Class::Row),
        ("INSERT INTO t VALUES (4, 'd', 0)", Class::Row),
        ("INSERT INTO t VALUES ('x', 'd', 1)", Class::Row),
    ] {
        let error = db.execute(sql).await.unwrap_err();
        assert_eq!(error.class, class, "{sql}: {error}");
        assert!(!error.message.is_empty());
    }
    assert_eq!(db.execute("UPDATE t SET c = c").await.unwrap(), 1);
    assert_eq!(db.execute("CREATE TABLE u (a)").await.unwrap(), 0);
    let error = db.query("SELECT X'ff'").await.unwrap_err();
    assert_eq!(error.class, Class::Other);
}

#[tokio::test]
async fn a_second_writer_waits_and_is_told_busy() {
    let file = File::new();
    let (mut first, mut second) = (file.database().writer().await, file.database().writer().await);
    first.begin().await.unwrap();
    let began = Instant::now();
    let busy = second.begin().await.unwrap_err();
    assert_eq!(busy.class, Class::Busy, "{busy}");
    assert!(began.elapsed().as_secs() >= 4, "it gave up after {:?}", began.elapsed());
    first.rollback().await.unwrap();
    first.rollback().await.unwrap();
    second.begin().await.unwrap();
    second.commit(false).await.unwrap();
}

/// Values of every storage class in columns of every type, and what comes out.
#[tokio::test]
async fn a_value_is_delivered_as_what_it_is() {
    let file = File::new();
    let mut db = file.database().writer().await;
    made(
        db.as_mut(),
        &[
            "CREATE TABLE t (id INTEGER PRIMARY KEY, i INT, r REAL, s TEXT, b BLOB, x, d DATETIME)",
            "INSERT INTO t VALUES (1, 12, 1.5, 'text', X'00ff', 7, '2024-01-02 03:04:05')",
            "INSERT INTO t VALUES (2, 'abc', 'no', 5, 'b', 'seven', 1700000000)",
            "INSERT INTO t VALUES (3, 1.25, 3, X'ff', 4, 7.0, 2460000.5)",
            "INSERT INTO t VALUES (4, NULL, -0.0, '', X'', X'07', NULL)",
            "INSERT INTO t VALUES (5, -9223372036854775808, 9e999, 'a' || char(0) || 'b', NULL, NULL, '')",
        ],
    )
    .await;
    let t = db.describe(&name("t")).await.unwrap().unwrap();
    let rows: Vec<String> = read(db.as_mut(), &t).await.iter().map(|row| shown(row)).collect();
    assert_eq!(
        rows,
        [
            r"1 | 12 | 1.5 | text | \x00\xff | i7 | 2024-01-02 03:04:05",
            r"2 | abc | no | 5 | b | tseven | 1700000000",
            r"3 | 1.25 | 3 | \xff | 4 | f7 | 2460000.5",
            r"4 | NULL | 0 |  |  | b\x07 | NULL",
            r"5 | -9223372036854775808 | Infinity | a\x00b | NULL | NULL | ",
        ]
    );
}

/// Rows that are handed over unread keep the type of each value.
#[tokio::test]
async fn raw_rows_keep_the_type_of_each_value() {
    let file = File::new();
    let mut db = file.database().writer().await;
    made(
        db.as_mut(),
        &[
            "CREATE TABLE t (id INTEGER PRIMARY KEY, i INT, b BLOB, x)",
            "INSERT INTO t VALUES (1, 'abc', 5, 1), (2, X'00', 'text', '1'), (3, 1.5, X'01', NULL), (4, 4, 0.1, 1.0)",
            "CREATE TABLE u (id INTEGER PRIMARY KEY, i INT, b BLOB, x)",
        ],
    )
    .await;
    let (t, u) =
        (db.describe(&name("t")).await.unwrap().unwrap(), db.describe(&name("u")).await.unwrap().unwrap());
    let dialect = db.dialect();
    assert!(dialect.raw_compatible(&t.columns, &u.columns, &[0]));
    assert!(!dialect.raw_compatible(&t.columns, &u.columns[1..], &[0]));
    let sql = select(dialect, &t.name, &t.columns, &["id"]);
    let mut sink = Collect::default();
    db.read(Select { sql: &sql, columns: &t.columns, raw: true }, &mut sink).await.unwrap();
    let keys: Vec<_> = sink.raw.iter().map(|row| dialect.raw_key(&t.columns[0], 0, row).unwrap()).collect();
    assert_eq!(keys, ["1", "2", "3", "4"]);
    db.begin().await.unwrap();
    db.load(&load_of(&u, OnDuplicate::Fail), Rows::Raw(&sink.raw.concat()), 4).await.unwrap();
    db.commit(true).await.unwrap();
    let left = db
        .query(
            "SELECT id, typeof(i), i, typeof(b), b, typeof(x), x FROM t EXCEPT SELECT id, typeof(i), i, \
                         typeof(b), b, typeof(x), x FROM u",
        )
        .await
        .unwrap();
    assert_eq!(left, Vec::<Vec<Option<String>>>::new());
    assert_eq!(db.query("SELECT count(*) FROM u").await.unwrap(), [[Some("4".to_owned())]]);
}

#[tokio::test]
async fn a_table_is_described() {
    let file = File::new();
    let mut db = file.database().writer().await;
    made(
        db.as_mut(),
        &[
            "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
            "CREATE TABLE \"odd \"\"name\" (b TEXT, a INT, n VARCHAR(9) NOT NULL DEFAULT 'x', _rowid_ DATE, \
             g INT GENERATED ALWAYS AS (a + 1), p REFERENCES parent(id) ON DELETE CASCADE, CHECK (a > 0), \
             PRIMARY KEY (a, b), UNIQUE (n))",
            "CREATE INDEX plain ON \"odd \"\"name\" (n DESC, a)",
            "CREATE INDEX partial ON \"odd \"\"name\" (n) WHERE a > 5",
            "CREATE INDEX expression ON \"odd \"\"name\" (lower(n))",
            "CREATE TRIGGER watch AFTER INSERT ON \"odd \"\"name\" BEGIN SELECT 1; END",
            "CREATE TABLE bare (k TEXT PRIMARY KEY, v) WITHOUT ROWID",
            "CREATE VIEW seen AS SELECT 1 AS one",
            "CREATE TABLE shanty_sync_shard (a)",
            "INSERT INTO bare VALUES ('a', 1), ('b', 2)",
            "ANALYZE",
        ],
    )
    .await;
    let odd = db.describe(&name("ODD \"NAME")).await.unwrap().unwrap();
    assert_eq!(odd.name.to_string(), "main.odd \"name");
    assert_eq!(odd.primary_key, ["a", "b"]);
    let seen: Vec<_> = odd
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.kind.clone(), column.nullable, column.generated))
        .collect();
    let limited = Kind::Text { limit: Some(9) };
    assert_eq!(
        seen,
        [
            ("b", TEXT, true, false),
            ("a", INT, true, false),
            ("n", limited, false, false),
            ("_rowid_", Kind::Date, true, false),
            ("g", INT, true, true),
            ("p", Kind::Any, true, false),
        ]
    );
    assert_eq!(odd.columns[2].default.as_deref(), Some("'x'"));
    assert_eq!(odd.rowid.as_deref(), Some("rowid"));
    let indexes: Vec<_> = odd.indexes.iter().map(|index| (index.name.as_str(), index.unique)).collect();
    assert_eq!(indexes, [("plain", false), ("sqlite_autoindex_odd \"name_2", true)]);
    assert!(odd.indexes[0].columns[0].descending);
    assert_eq!(odd.hindrances, ["trigger watch"]);
    assert_eq!(
        odd.left_out,
        [
            "index expression, which is over an expression",
            "index partial, which is partial",
            "foreign key to parent",
            "checks",
        ]
    );
    let bare = db.describe(&name("bare")).await.unwrap().unwrap();
    assert_eq!((bare.rowid, bare.rows, bare.columns[0].nullable), (None, Some(2), false));
    let parent = db.describe(&name("parent")).await.unwrap().unwrap();
    assert!(parent.columns[0].auto && !parent.columns[0].nullable);
    assert!(db.describe(&name("seen")).await.unwrap().unwrap().view);
    assert_eq!(db.describe(&name("nothing")).await.unwrap(), None);
    let names: Vec<_> = db.tables(None).await.unwrap().into_iter().map(|table| table.name).collect();
    assert_eq!(names, ["bare", "odd \"name", "parent"]);
}

/// Pages by key, each from the last key of the one before, are the whole table, each row once.
#[tokio::test]
async fn pages_by_key_are_the_whole_table() {
    let file = File::new();
    let mut db = file.database().writer().await;
    made(
        db.as_mut(),
        &[
            "CREATE TABLE t (a TEXT COLLATE NOCASE, b BLOB, v INT, PRIMARY KEY (a, b)) WITHOUT ROWID",
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
             INSERT INTO t SELECT CASE i % 3 WHEN 0 THEN 'Ab' WHEN 1 THEN 'ä''\"' ELSE char(1) END || (i / 90), \
             CASE i % 4 WHEN 0 THEN i WHEN 1 THEN i || '' WHEN 2 THEN CAST(i AS BLOB) ELSE i + 0.1 END, i FROM n",
        ],
    )
    .await;
    let t = db.describe(&name("t")).await.unwrap().unwrap();
    let dialect = db.dialect();
    let key: Vec<_> = t.columns[..2].to_vec();
    let mut columns = t.columns.clone();
    columns.extend(["ka", "kb"].map(|name| column(name, TEXT)));
    let exprs: Vec<String> = (t.columns.iter().map(|column| dialect.select_expr(column)))
        .chain(key.iter().map(|column| dialect.key_select(column)))
        .collect();
    let order: Vec<String> = key.iter().map(|column| dialect.key_expr(column).unwrap()).collect();
    let mut seen = Vec::new();
    let mut filters: Vec<String> = Vec::new();
    loop {
        let parts = shanty_sync::db::SelectParts {
            table: &t.name,
            exprs: &exprs,
            filters: &filters,
            order: &order,
            direction: shanty_sync::db::Order::Up,
            limit: Some(7),
            offset: 0,
            keyset: true,
        };
        let sql = dialect.select(&parts);
        let mut sink = Collect::default();
        db.read(Select { sql: &sql, columns: &columns, raw: false }, &mut sink).await.unwrap();
        let Some(last) = sink.rows.last() else { break };
        let texts = last[3..].iter().map(|cell| String::from_utf8(cell.clone().unwrap()).unwrap());
        let pairs: Vec<(String, String)> = key
            .iter()
            .zip(texts)
            .map(|(column, text)| (dialect.key_expr(column).unwrap(), dialect.literal(column, &text)))
            .collect();
        filters = vec![dialect.compare(&pairs, Comparison::After)];
        seen.extend(sink.rows.into_iter().map(|row| String::from_utf8(row[2].clone().unwrap()).unwrap()));
        assert!(seen.len() <= 1000, "a page came twice");
    }
    let mut sorted: Vec<i64> = seen.iter().map(|v| v.parse().unwrap()).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..1000).collect::<Vec<i64>>());
}

/// A sink that has enough ends the read; the connection goes on.
#[tokio::test]
async fn a_read_may_be_ended_early() {
    let file = File::new();
    let mut db = file.database().writer().await;
    made(
        db.as_mut(),
        &[
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) \
         INSERT INTO t SELECT i, hex(zeroblob(20)) FROM n",
        ],
    )
    .await;
    let t = db.describe(&name("t")).await.unwrap().unwrap();
    let sql = select(db.dialect(), &t.name, &t.columns, &["a"]);
    for most in [1, 10, 50_000] {
        let mut sink = Collect { most: Some(most), ..Collect::default() };
        db.read(Select { sql: &sql, columns: &t.columns, raw: false }, &mut sink).await.unwrap();
        assert_eq!(sink.rows.len(), most);
    }
    assert_eq!(read(db.as_mut(), &t).await.len(), 200_000);
    let error =
        db.read(Select { sql: &sql, columns: &t.columns[..1], raw: false }, &mut Collect::default()).await;
    assert!(error.unwrap_err().message.contains("selects 2 columns"));
}

async fn people(db: &mut dyn Connection) -> Table {
    made(db, &[
        "CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT UNIQUE, at INT, note TEXT DEFAULT 'fresh')",
        "INSERT INTO people VALUES (1, 'a', 10, 'one'), (2, 'b', 10, 'two'), (3, 'c', 10, 'three')",
    ]).await;
    let mut people = db.describe(&name("people")).await.unwrap().unwrap();
    people.columns.pop();
    people
}

fn replace(newer: Option<&str>) -> OnDuplicate {
    OnDuplicate::Replace { key: vec!["id".to_owned()], newer: newer.map(str::to_owned) }
}

async fn people_now(db: &mut dyn Connection) -> Vec<String> {
    let rows = db
        .query("SELECT id || ' ' || email || ' ' || at || ' ' || note FROM people ORDER BY id")
        .await
        .unwrap();
    rows.into_iter().map(|row| row[0].clone().unwrap()).collect()
}

#[tokio::test]
async fn rows_are_replaced_and_no_other_ones() {
    let file = File::new();
    let mut db = file.database().writer().await;
    let people = people(db.as_mut()).await;
    // A unique value moves between two rows; what is not loaded stays; what is new gets its default.
    let rows = [row(&["1", "b", "11"]), row(&["2", "a", "9"]), row(&["7", "d", "11"])];
    load(db.as_mut(), &load_of(&people, replace(None)), &rows).await.unwrap();
    assert_eq!(people_now(db.as_mut()).await, ["1 b 11 one", "2 a 9 two", "3 c 10 three", "7 d 11 fresh"]);
    // An older version changes nothing; one as old does.
    let rows = [row(&["1", "x", "10"]), row(&["2", "y", "9"]), row(&["3", "z", "12"])];
    load(db.as_mut(), &load_of(&people, replace(Some("at"))), &rows).await.unwrap();
    assert_eq!(people_now(db.as_mut()).await, ["1 b 11 one", "2 y 9 two", "3 z 12 three", "7 d 11 fresh"]);
    // A row that is not in the load is not touched for its unique value's sake.
    let taken =
        load(db.as_mut(), &load_of(&people, replace(None)), &[row(&["1", "z", "13"])]).await.unwrap_err();
    assert_eq!(taken.class, Class::Row, "{taken}");
    assert_eq!(people_now(db.as_mut()).await, ["1 b 11 one", "2 y 9 two", "3 z 12 three", "7 d 11 fresh"]);
    // Twice in one load: the later one stays.
    let rows = [row(&["7", "e", "14"]), row(&["7", "f", "15"])];
    load(db.as_mut(), &load_of(&people, replace(None)), &rows).await.unwrap();
    assert_eq!(people_now(db.as_mut()).await.pop().unwrap(), "7 f 15 fresh");
}

#[tokio::test]
async fn a_row_that_does_not_arrive_is_seen() {
    let file = File::new();
    let mut db = file.database().writer().await;
    made(
        db.as_mut(),
        &[
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b INT)",
            "CREATE TRIGGER quiet BEFORE INSERT ON t WHEN NEW.a = 2 BEGIN SELECT RAISE(IGNORE); END",
        ],
    )
    .await;
    let t = db.describe(&name("t")).await.unwrap().unwrap();
    let rows = [row(&["1", "5"]), row(&["2", "5"]), row(&["3", "5"])];
    for on_duplicate in [OnDuplicate::Fail, replace_by("a")] {
        let error = load(db.as_mut(), &load_of(&t, on_duplicate), &rows).await.unwrap_err();
        assert_eq!(error.class, Class::Row, "{error}");
    }
    db.begin().await.unwrap();
    let load = load_of(&t, OnDuplicate::Fail);
    let bytes = encoded(db.dialect(), &t.columns, &rows);
    for count in [2, 4] {
        assert_eq!(db.load(&load, Rows::Encoded(&bytes), count).await.unwrap_err().class, Class::Other);
        db.rollback().await.unwrap();
        db.begin().await.unwrap();
    }
    assert_eq!(load_in(db.as_mut(), &load, &[]).await.unwrap(), 0);
    db.rollback().await.unwrap();
}

fn replace_by(key: &str) -> OnDuplicate {
    OnDuplicate::Replace { key: vec![key.to_owned()], newer: None }
}

/// A load of many columns stays below SQLite's limit of variables, and groups of rows do not lose the rest.
#[tokio::test]
async fn wide_and_long_loads_arrive_whole() {
    let file = File::new();
    let mut db = file.database().writer().await;
    let columns = (0..1000).map(|n| column(&format!("c{n}"), INT)).collect();
    let wide = create(db.as_mut(), &table("wide", columns, &["c0"])).await;
    let rows: Vec<_> = (0..70).map(|n| vec![Some(n.to_string().into_bytes()); 1000]).collect();
    load(db.as_mut(), &load_of(&wide, OnDuplicate::Fail), &rows).await.unwrap();
    assert_eq!(read(db.as_mut(), &wide).await, rows);
    let narrow = create(db.as_mut(), &table("narrow", vec![column("a", INT)], &["a"])).await;
    let rows: Vec<_> = (0..64 * 3 + 5).map(|n| vec![Some(n.to_string().into_bytes())]).collect();
    load(db.as_mut(), &load_of(&narrow, OnDuplicate::Fail), &rows).await.unwrap();
    assert_eq!(read(db.as_mut(), &narrow).await, rows);
}

/// A durable commit has put the log on the disk; the file alone, with its log, is the whole database.
#[tokio::test]
async fn a_commit_is_in_the_file_and_its_log() {
    let file = File::new();
    let mut db = file.database().writer().await;
    let mode = db.query("PRAGMA journal_mode").await.unwrap();
    assert_eq!(mode, [[Some("wal".to_owned())]]);
    let t = create(db.as_mut(), &table("t", vec![column("a", INT)], &["a"])).await;
    db.begin().await.unwrap();
    load_in(db.as_mut(), &load_of(&t, OnDuplicate::Fail), &[row(&["1"])]).await.unwrap();
    db.commit(true).await.unwrap();
    // As after a crash of this process: a copy of what is on the disk, taken while the database is open.
    let copy = tempfile::tempdir().unwrap();
    for name in ["a.db", "a.db-wal"] {
        std::fs::copy(file.folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let copied = Database { url: format!("sqlite://{}/a.db", copy.path().display()) };
    assert_eq!(read(copied.writer().await.as_mut(), &t).await, [row(&["1"])]);
}
