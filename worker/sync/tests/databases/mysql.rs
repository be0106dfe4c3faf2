//! The engine `mysql` against a MariaDB of the test's own: every kind over both lanes, transactions, errors,
//! catalogs, hashes, TLS.
//!
//! In: a server (see `support/mysql_server.rs`). Never: a server of the machine.

use crate::support::{mysql_edges, mysql_server};
use shanty_sync::db::{
    Class, Comparison, Connection, DbError, Endpoint, Load, OnDuplicate, Order, RowSink, Rows, Select,
    SelectParts, Side, open,
};
use shanty_sync::schema::{Column, Kind, Table, TableName};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

type Row = Vec<Option<Vec<u8>>>;

/// Both ways in which rows get to the server.
const LANES: [&str; 2] = ["", "&local-infile=off"];

struct Bench {
    server: Arc<mysql_server::Server>,
    url: String,
}

fn bench() -> Option<Bench> {
    let server = mysql_server::shared()?;
    let url = server.url();
    Some(Bench { server, url })
}

impl Bench {
    async fn open(&self) -> Box<dyn Connection> {
        self.open_with("", false).await
    }

    async fn open_with(&self, options: &str, read_only: bool) -> Box<dyn Connection> {
        let endpoint = Endpoint::parse(&format!("{}{options}", self.url)).unwrap();
        open(&endpoint, read_only).await.unwrap()
    }
}

/// Keeps the rows of a read.
#[derive(Default)]
struct Kept {
    rows: Vec<Row>,
    row: Row,
    most: Option<usize>,
}

impl RowSink for Kept {
    fn cell(&mut self, value: Option<&[u8]>) {
        self.row.push(value.map(<[u8]>::to_vec));
    }
    fn end_row(&mut self) -> ControlFlow<()> {
        self.rows.push(std::mem::take(&mut self.row));
        if self.most == Some(self.rows.len()) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
    fn raw_row(&mut self, _row: &[u8]) -> ControlFlow<()> {
        unreachable!("mysql has no raw rows")
    }
}

async fn describe(db: &mut dyn Connection, name: &str) -> Table {
    db.describe(&table_name(name)).await.unwrap().unwrap()
}

fn table_name(name: &str) -> TableName {
    TableName { schema: None, name: name.into() }
}

async fn read_all(db: &mut dyn Connection, table: &Table) -> Vec<Row> {
    let exprs: Vec<String> = table.columns.iter().map(|column| db.dialect().select_expr(column)).collect();
    let order: Vec<String> = table
        .primary_key
        .iter()
        .filter_map(|key| db.dialect().key_expr(table.column(key).unwrap()))
        .collect();
    let sql = db.dialect().select(&SelectParts {
        table: &table.name,
        exprs: &exprs,
        filters: &[],
        order: &order,
        direction: Order::Up,
        limit: None,
        offset: 0,
        keyset: !table.primary_key.is_empty(),
    });
    let mut kept = Kept::default();
    db.read(Select { sql: &sql, columns: &table.columns, raw: false }, &mut kept).await.unwrap();
    kept.rows
}

fn encode(db: &dyn Connection, columns: &[Column], rows: &[Row]) -> Vec<u8> {
    let encoder = db.dialect().encoder(columns);
    let mut out = Vec::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            encoder.cell(at, cell.as_deref(), &mut out).unwrap();
        }
        encoder.end_row(&mut out);
    }
    out
}

/// Loads rows in a transaction of its own.
async fn load(db: &mut dyn Connection, table: &Table, on: OnDuplicate, rows: &[Row]) -> Result<(), DbError> {
    let load = Load { table: table.name.clone(), columns: table.columns.clone(), on_duplicate: on };
    let page = encode(db, &table.columns, rows);
    db.begin().await?;
    let count = u64::try_from(rows.len()).unwrap();
    match db.load(&load, Rows::Encoded(&page), count).await {
        Ok(_) => db.commit(true).await,
        Err(error) => {
            db.rollback().await.unwrap();
            Err(error)
        }
    }
}

fn row(cells: &[Option<&str>]) -> Row {
    cells.iter().map(|cell| cell.map(|text| text.as_bytes().to_vec())).collect()
}

fn shown(row: &Row) -> Vec<String> {
    row.iter()
        .map(|cell| cell.as_ref().map_or("NULL".into(), |cell| String::from_utf8_lossy(cell).into_owned()))
        .collect()
}

#[tokio::test]
async fn every_kind_comes_back_as_it_was_over_both_lanes() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    let mut wrong = Vec::new();
    for mysql_edges::Edges { name, declared, values } in mysql_edges::all() {
        db.execute(&format!("CREATE TABLE t_{name} (id bigint PRIMARY KEY, v {declared})")).await.unwrap();
        for (id, (sql, _)) in values.iter().enumerate() {
            // Id 0 is a value like any other.
            db.execute(&format!("INSERT INTO t_{name} VALUES ({id}, {sql})"))
                .await
                .unwrap_or_else(|error| panic!("{declared} {sql}: {error}"));
        }
        let source = describe(&mut *db, &format!("t_{name}")).await;
        let rows = read_all(&mut *db, &source).await;
        assert_eq!(rows.len(), values.len());
        for ((sql, expected), row) in values.iter().zip(&rows) {
            if row[1] != *expected {
                wrong.push(format!("{declared}: {sql} is read as {}", shown(row)[1]));
            }
        }
        for lane in LANES {
            let mut writer = bench.open_with(lane, false).await;
            let copy = format!("c_{name}_{}", lane.len());
            writer.execute(&format!("CREATE TABLE {copy} LIKE t_{name}")).await.unwrap();
            let target = describe(&mut *writer, &copy).await;
            assert_eq!(target.columns, source.columns);
            if let Err(error) = load(&mut *writer, &target, OnDuplicate::Fail, &rows).await {
                wrong.push(format!("{declared} over {lane:?}: {error}"));
            }
            if read_all(&mut *writer, &target).await != rows {
                wrong.push(format!("{declared} over {lane:?}: differs"));
            }
            // To the last bit, as the server sees it.
            let differ = format!(
                "SELECT COUNT(*) FROM t_{name} a JOIN {copy} b USING (id) WHERE NOT (HEX(a.v) <=> HEX(b.v))"
            );
            let differ = writer.query(&differ).await.unwrap();
            if differ[0][0].as_deref() != Some("0") {
                wrong.push(format!("{declared} over {lane:?}: {differ:?} differ in the server's eyes"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Loads one value into a table with one column beside the key.
async fn try_value(
    bench: &Bench,
    lane: &str,
    declared: &str,
    kind: Option<Kind>,
    text: Option<&str>,
) -> Result<(), DbError> {
    let mut db = bench.open_with(lane, false).await;
    db.execute(&format!("CREATE OR REPLACE TABLE v (id int PRIMARY KEY, v {declared})")).await.unwrap();
    let mut table = describe(&mut *db, "v").await;
    if let Some(kind) = kind {
        table.columns[1].kind = kind;
    }
    let rows = [row(&[Some("1"), text])];
    load(&mut *db, &table, OnDuplicate::Fail, &rows).await?;
    Ok(())
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_refused_over_both_lanes() {
    let Some(bench) = bench() else { return };
    let text = || Some(Kind::Text { limit: None });
    let cases: Vec<(&str, Option<Kind>, Option<&str>)> = vec![
        ("varchar(3)", None, Some("long")),
        ("tinyint", None, Some("300")),
        ("tinyint unsigned", None, Some("-1")),
        ("int", None, Some("1.5")),
        ("int", None, Some("")),
        ("int", None, Some("12a")),
        ("decimal(5,2)", None, Some("1.234")),
        ("decimal(5,2)", None, Some("1234.5")),
        ("date", None, Some("2024-13-01")),
        ("date", None, Some("2024-01-01 10:00:00")),
        ("datetime", None, Some("2024-01-01 00:00:00.5")),
        ("datetime(3)", None, Some("2024-01-01 00:00:00.0005")),
        ("timestamp", None, Some("2040-01-01 00:00:00")),
        ("time", None, Some("839:00:00")),
        ("time", None, Some("00:00:00.4")),
        ("year", None, Some("1800")),
        ("enum('a','b')", None, Some("c")),
        ("enum('a','b')", None, Some("A")),
        ("enum('a','b')", None, Some("2")),
        ("enum('a','b')", None, Some("")),
        ("set('a','b')", None, Some("a,c")),
        ("set('a','b')", None, Some("3")),
        ("json", None, Some("{")),
        ("bit(3)", None, Some("1000")),
        ("varbinary(2)", None, Some("abc")),
        ("int not null", None, None),
        ("varchar(9) not null", None, None),
        ("timestamp not null", None, None),
        ("double", None, Some("NaN")),
        ("double", None, Some("1e999")),
        ("float", None, Some("Infinity")),
        // Text of another character set's letters.
        ("varchar(9) character set latin1", None, Some("🦀")),
        ("varchar(9) character set ascii", text(), Some("é")),
        ("int check (v > 5)", None, Some("4")),
    ];
    let mut wrong = Vec::new();
    for (declared, kind, value) in cases {
        for lane in LANES {
            match try_value(&bench, lane, declared, kind.clone(), value).await {
                Err(error) if error.class == Class::Row => {}
                other => wrong.push(format!("{declared} {value:?} over {lane:?}: {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_refused_page_leaves_nothing_and_the_session_goes_on() {
    let Some(bench) = bench() else { return };
    for lane in LANES {
        let mut db = bench.open_with(lane, false).await;
        db.execute("CREATE OR REPLACE TABLE p (id int PRIMARY KEY, u int UNIQUE)").await.unwrap();
        let table = describe(&mut *db, "p").await;
        let page =
            |ids: &[(&str, &str)]| ids.iter().map(|(id, u)| row(&[Some(id), Some(u)])).collect::<Vec<_>>();
        load(&mut *db, &table, OnDuplicate::Fail, &page(&[("1", "10")])).await.unwrap();
        for duplicate in [[("2", "20"), ("1", "30")], [("2", "20"), ("3", "10")]] {
            let error = load(&mut *db, &table, OnDuplicate::Fail, &page(&duplicate)).await.unwrap_err();
            assert_eq!((error.class, error.code.as_str()), (Class::Row, "1062"), "{error}");
        }
        // More or fewer rows than said.
        for count in [1, 3] {
            db.begin().await.unwrap();
            let load = Load {
                table: table.name.clone(),
                columns: table.columns.clone(),
                on_duplicate: OnDuplicate::Fail,
            };
            let rows = encode(&*db, &table.columns, &page(&[("5", "50"), ("6", "60")]));
            let error = db.load(&load, Rows::Encoded(&rows), count).await.unwrap_err();
            assert_eq!(error.class, Class::Row, "{error}");
            db.rollback().await.unwrap();
        }
        assert_eq!(read_all(&mut *db, &table).await, page(&[("1", "10")]), "over {lane:?}");
    }
}

#[tokio::test]
async fn the_lane_is_the_one_that_the_server_allows() {
    // What the server allows is a setting of the whole server.
    let Some(server) = mysql_server::Server::start() else { return };
    let url = server.url();
    let bench = Bench { server: Arc::new(server), url };
    let mut db = bench.open().await;
    db.execute("CREATE TABLE l (v varchar(20))").await.unwrap();
    let table = describe(&mut *db, "l").await;
    let rows = vec![row(&[Some("")]), row(&[None]), row(&[Some("a\tb")])];
    let counters = "SHOW SESSION STATUS WHERE Variable_name IN ('Com_load', 'Com_insert')";
    // Allowed, forbidden, forbidden after the session began.
    for (before, after, expected) in [("1", "1", ["0", "1"]), ("0", "0", ["1", "0"]), ("1", "0", ["1", "1"])]
    {
        bench.server.must(&format!("SET GLOBAL local_infile = {before}"));
        let mut writer = bench.open().await;
        bench.server.must(&format!("SET GLOBAL local_infile = {after}"));
        load(&mut *writer, &table, OnDuplicate::Fail, &rows).await.unwrap();
        let counted = writer.query(counters).await.unwrap();
        let counted: Vec<&str> = counted.iter().filter_map(|row| row[1].as_deref()).collect();
        assert_eq!(counted, expected, "inserts and loads with local_infile = {before}, {after}");
    }
    let there = db.query("SELECT v, COUNT(*) FROM l GROUP BY v ORDER BY v").await.unwrap();
    let said: Vec<(Option<&str>, Option<&str>)> =
        there.iter().map(|row| (row[0].as_deref(), row[1].as_deref())).collect();
    assert_eq!(said, [(None, Some("3")), (Some(""), Some("3")), (Some("a\tb"), Some("3"))]);
}

#[tokio::test]
async fn rows_that_are_there_are_replaced_and_no_others() {
    let Some(bench) = bench() else { return };
    let key = || vec!["id".to_owned()];
    for lane in LANES {
        let mut db = bench.open_with(lane, false).await;
        for unique in ["", ", UNIQUE (u)"] {
            db.execute(&format!(
                "CREATE OR REPLACE TABLE r (id int PRIMARY KEY, u int, at datetime, own int DEFAULT 7, twice int AS (u * 2) STORED{unique})"
            ))
            .await
            .unwrap();
            db.execute("INSERT INTO r (id, u, at, own) VALUES (1, 10, '2024-01-01', 100), (2, 20, '2024-01-02', 200), (3, 30, NULL, 300)")
                .await
                .unwrap();
            let mut table = describe(&mut *db, "r").await;
            assert!(table.columns[4].generated);
            table.columns.truncate(3);
            let all = "SELECT id, u, at, own, twice FROM r ORDER BY id";
            // 1 and 2 exchange their values, 4 is new, 3 is left alone.
            let rows = [
                row(&[Some("1"), Some("20"), Some("2024-02-01 00:00:00")]),
                row(&[Some("2"), Some("10"), Some("2024-02-02 00:00:00")]),
                row(&[Some("4"), Some("40"), None]),
            ];
            let on = OnDuplicate::Replace { key: key(), newer: None };
            load(&mut *db, &table, on.clone(), &rows).await.unwrap();
            let told = |rows: Vec<Vec<Option<String>>>| -> Vec<String> {
                rows.into_iter()
                    .map(|row| {
                        row.into_iter()
                            .map(|cell| cell.unwrap_or("NULL".into()))
                            .collect::<Vec<_>>()
                            .join(" ")
                    })
                    .collect()
            };
            assert_eq!(
                told(db.query(all).await.unwrap()),
                [
                    "1 20 2024-02-01 00:00:00 100 40",
                    "2 10 2024-02-02 00:00:00 200 20",
                    "3 30 NULL 300 60",
                    "4 40 NULL 7 80"
                ],
                "{unique} {lane}"
            );
            // Older, equal, newer, from and to nothing.
            let rows = [
                row(&[Some("1"), Some("21"), Some("2024-01-31 23:59:59")]),
                row(&[Some("2"), Some("11"), Some("2024-02-02 00:00:00")]),
                row(&[Some("3"), Some("31"), Some("1999-01-01 00:00:00")]),
                row(&[Some("4"), Some("41"), None]),
                row(&[Some("5"), Some("50"), Some("2024-03-01 00:00:00")]),
            ];
            let newer = OnDuplicate::Replace { key: key(), newer: Some("at".into()) };
            load(&mut *db, &table, newer.clone(), &rows).await.unwrap();
            assert_eq!(
                told(db.query("SELECT id, u, own FROM r ORDER BY id").await.unwrap()),
                ["1 20 100", "2 11 200", "3 31 300", "4 41 7", "5 50 7"],
                "{unique} {lane}"
            );
            load(&mut *db, &table, newer, &[row(&[Some("5"), Some("55"), None])]).await.unwrap();
            assert_eq!(told(db.query("SELECT u FROM r WHERE id = 5").await.unwrap()), ["50"]);
            if !unique.is_empty() {
                // 11 belongs to row 2, which is not in the page: it is refused, and row 2 stays.
                let error =
                    load(&mut *db, &table, on, &[row(&[Some("9"), Some("11"), None])]).await.unwrap_err();
                assert_eq!((error.class, error.code.as_str()), (Class::Row, "1062"), "{error}");
                assert_eq!(told(db.query("SELECT id FROM r WHERE u = 11").await.unwrap()), ["2"]);
            }
        }
    }
}

#[tokio::test]
async fn errors_say_what_may_help() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    db.execute("CREATE TABLE e (id int PRIMARY KEY, v int)").await.unwrap();
    db.execute("INSERT INTO e VALUES (1, 1), (2, 2)").await.unwrap();
    for (sql, class) in [
        ("INSERT INTO e VALUES (1, 1)", Class::Row),
        ("INSERT INTO e VALUES (3, 99999999999)", Class::Row),
        ("SELECT * FROM nowhere", Class::Missing),
        ("SELECT nothing FROM e", Class::Missing),
        ("SELEC", Class::Other),
    ] {
        let error = db.execute(sql).await.unwrap_err();
        assert_eq!(error.class, class, "{sql}: {error}");
        assert!(!error.code.is_empty());
    }
    // The wrong password, database, port; nothing of the password is told.
    let wrong = |from: &str, to: &str| Endpoint::parse(&bench.url.replacen(from, to, 1)).unwrap();
    for (endpoint, class) in [
        (wrong("s3cr", "other"), Class::Denied),
        (wrong("/d", "/nowhere"), Class::Missing),
        (wrong(&format!(":{}/", bench.server.port), ":1/"), Class::Lost),
    ] {
        let error = open(&endpoint, true).await.err().unwrap();
        assert_eq!(error.class, class, "{error}");
        assert!(!error.to_string().contains("s3cr") && !error.to_string().contains("et%40"), "{error}");
    }
    let mut reader = bench.open_with("", true).await;
    let error = reader.execute("INSERT INTO e VALUES (7, 7)").await.unwrap_err();
    assert_eq!(error.class, Class::Denied, "{error}");

    // Two that wait for each other: one of them is told to try again.
    let mut other = bench.open().await;
    db.begin().await.unwrap();
    other.begin().await.unwrap();
    db.execute("UPDATE e SET v = 10 WHERE id = 1").await.unwrap();
    other.execute("UPDATE e SET v = 20 WHERE id = 2").await.unwrap();
    let (one, two) = futures_util::join!(
        db.execute("UPDATE e SET v = 11 WHERE id = 2"),
        other.execute("UPDATE e SET v = 21 WHERE id = 1")
    );
    let lost: Vec<DbError> = [one.err(), two.err()].into_iter().flatten().collect();
    assert!(matches!(&lost[..], [error] if error.class == Class::Busy && error.code == "1213"), "{lost:?}");
    db.rollback().await.unwrap();
    other.rollback().await.unwrap();

    // A lock is waited for, but not for ever.
    db.begin().await.unwrap();
    db.execute("UPDATE e SET v = 5 WHERE id = 1").await.unwrap();
    let began = std::time::Instant::now();
    let error = other.execute("UPDATE e SET v = 6 WHERE id = 1").await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (Class::Busy, "1205"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));

    // A session that is ended loses its transaction, its locks and its connection.
    let backend = db.backend().unwrap();
    let kill = other.dialect().kill(&backend).unwrap();
    other.execute(&kill).await.unwrap();
    assert_eq!(other.execute("UPDATE e SET v = 7 WHERE id = 1").await.unwrap(), 1);
    let error = db.execute("UPDATE e SET v = 8 WHERE id = 2").await.unwrap_err();
    assert_eq!(error.class, Class::Lost, "{error}");
    let error = db.query("SELECT 1").await.unwrap_err();
    assert_eq!(error.class, Class::Lost, "{error}");
}

#[tokio::test]
async fn a_session_that_is_ended_within_a_read_or_a_load_is_lost() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    db.execute("CREATE TABLE k (id int PRIMARY KEY, v varchar(100))").await.unwrap();
    db.execute("INSERT INTO k SELECT seq, REPEAT('x', 100) FROM seq_1_to_200000").await.unwrap();
    let table = describe(&mut *db, "k").await;
    /// Holds the reader up at its first row until the killer is done.
    struct Held {
        first: Option<tokio::sync::oneshot::Sender<()>>,
        go_on: std::sync::mpsc::Receiver<()>,
    }
    impl RowSink for Held {
        fn cell(&mut self, _value: Option<&[u8]>) {}
        fn end_row(&mut self) -> ControlFlow<()> {
            if let Some(first) = self.first.take() {
                first.send(()).unwrap();
                let _done = self.go_on.recv();
            }
            ControlFlow::Continue(())
        }
        fn raw_row(&mut self, _row: &[u8]) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    let url = bench.url.clone();
    let (first, seen) = tokio::sync::oneshot::channel();
    let (done, go_on) = std::sync::mpsc::channel();
    let backend = db.backend().unwrap();
    let killer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            seen.await.unwrap();
            let mut killer = open(&Endpoint::parse(&url).unwrap(), false).await.unwrap();
            let kill = killer.dialect().kill(&backend).unwrap();
            killer.execute(&kill).await.unwrap();
            done.send(()).unwrap();
        });
    });
    let mut sink = Held { first: Some(first), go_on };
    let sql = "SELECT id, v FROM k";
    let error = db.read(Select { sql, columns: &table.columns, raw: false }, &mut sink).await.unwrap_err();
    killer.join().unwrap();
    assert_eq!(error.class, Class::Lost, "{error}");
}

#[tokio::test]
async fn a_matched_row_counts_whether_it_changes_or_not() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    db.execute("CREATE TABLE m (id int PRIMARY KEY, v int)").await.unwrap();
    db.execute("INSERT INTO m VALUES (1, 1), (2, 1)").await.unwrap();
    assert_eq!(db.execute("UPDATE m SET v = 1 WHERE v = 1").await.unwrap(), 2);
    assert_eq!(db.execute("UPDATE m SET v = 1 WHERE v = 2").await.unwrap(), 0);
    // A transaction is all or nothing, and sees what others commit while it runs.
    let mut other = bench.open().await;
    db.begin().await.unwrap();
    assert_eq!(db.query("SELECT COUNT(*) FROM m").await.unwrap()[0][0].as_deref(), Some("2"));
    other.execute("INSERT INTO m VALUES (3, 3)").await.unwrap();
    assert_eq!(db.query("SELECT COUNT(*) FROM m").await.unwrap()[0][0].as_deref(), Some("3"));
    db.execute("DELETE FROM m").await.unwrap();
    db.rollback().await.unwrap();
    db.rollback().await.unwrap();
    assert_eq!(db.query("SELECT COUNT(*) FROM m").await.unwrap()[0][0].as_deref(), Some("3"));
    // A read may be ended early, and the session goes on.
    let table = describe(&mut *db, "m").await;
    let mut kept = Kept { most: Some(1), ..Kept::default() };
    let sql = "SELECT id, v FROM m ORDER BY id";
    db.read(Select { sql, columns: &table.columns, raw: false }, &mut kept).await.unwrap();
    assert_eq!(kept.rows.len(), 1);
    assert_eq!(db.query("SELECT 7").await.unwrap(), [[Some("7".to_owned())]]);
    let error = db.query("SELECT x'ff'").await.unwrap_err();
    assert_eq!(error.class, Class::Other);
    assert_eq!(db.query("SELECT NULL").await.unwrap(), [[None]]);
    db.close().await;
}

#[tokio::test]
async fn a_catalog_says_what_a_table_is() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    for sql in [
        "CREATE TABLE parent (id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY)",
        "CREATE TABLE c (b int NOT NULL, a varchar(200) COLLATE utf8mb4_bin NOT NULL, t text, f float(7,3),          j json, at timestamp(3) NOT NULL DEFAULT current_timestamp(3), sum int AS (b + 1) STORED, pid int unsigned,          CHECK (b > 0), PRIMARY KEY (a, b), KEY tt (t(10)), UNIQUE KEY bb (b DESC, pid), FULLTEXT (t),          CONSTRAINT fk FOREIGN KEY (pid) REFERENCES parent (id) ON DELETE CASCADE)",
        "CREATE TRIGGER tr BEFORE INSERT ON c FOR EACH ROW SET NEW.b = NEW.b",
        "CREATE TABLE my (x int) ENGINE=MyISAM",
        "CREATE TABLE pre (t text, PRIMARY KEY (t(5)))",
        "CREATE VIEW vw AS SELECT 1 AS one",
        "CREATE TABLE shanty_sync_shard (x int)",
    ] {
        db.execute(sql).await.unwrap();
    }
    let names: Vec<String> = db.tables(None).await.unwrap().into_iter().map(|table| table.name).collect();
    assert_eq!(names, ["c", "my", "parent", "pre"]);
    let table = describe(&mut *db, "c").await;
    assert!(table.name.schema.is_some() && table.transactional && !table.view);
    assert_eq!(table.primary_key, ["a", "b"]);
    let kind = |name: &str| table.column(name).unwrap().kind.clone();
    assert_eq!(kind("j"), Kind::Json { binary: false });
    assert_eq!(kind("f"), Kind::Float { bits: 32 });
    assert_eq!(table.column("a").unwrap().collation.as_deref(), Some("utf8mb4_bin"));
    assert!(table.column("sum").unwrap().generated);
    assert_eq!(table.column("at").unwrap().default.as_deref(), Some("current_timestamp(3)"));
    let index = |name: &str| table.indexes.iter().find(|index| index.name == name).unwrap();
    assert_eq!(index("tt").columns[0].prefix, Some(10));
    assert!(index("bb").unique && index("bb").columns[0].descending && !index("bb").columns[1].descending);
    let words = table.left_out.join("; ");
    for part in ["full-text index t", "foreign key fk to parent", "check CONSTRAINT_1: `b` > 0"] {
        assert!(words.contains(part), "{part} in {words}");
    }
    assert!(table.hindrances.join("; ").contains("trigger tr: runs before insert"), "{:?}", table.hindrances);
    let parent = describe(&mut *db, "parent").await;
    assert!(parent.column("id").unwrap().auto);
    assert!(
        parent.hindrances.join("; ").contains("foreign key fk of c: on delete cascade"),
        "{:?}",
        parent.hindrances
    );
    assert!(!describe(&mut *db, "my").await.transactional);
    assert!(describe(&mut *db, "vw").await.view);
    let prefixed = describe(&mut *db, "pre").await;
    assert!(prefixed.primary_key.is_empty() && prefixed.left_out.join("").contains("beginning"));
    assert!(db.describe(&table_name("nothing")).await.unwrap().is_none());

    // A copy of it made from its description takes its rows and has its indexes.
    let mut made = table.clone();
    made.name.name = "made".into();
    made.columns.retain(|column| !column.generated);
    let sql = db.dialect().create_table(&made).unwrap();
    db.execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    for sql in db.dialect().create_indexes(&made).into_iter().chain(db.dialect().after_load(&made)) {
        db.execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let copy = describe(&mut *db, "made").await;
    assert_eq!(
        copy.columns
            .iter()
            .map(|column| (&column.name, &column.native, &column.kind, &column.collation, column.nullable))
            .collect::<Vec<_>>(),
        made.columns
            .iter()
            .map(|column| (&column.name, &column.native, &column.kind, &column.collation, column.nullable))
            .collect::<Vec<_>>()
    );
    assert_eq!((copy.primary_key, copy.indexes), (made.primary_key, made.indexes));
    let identity = db.identity().await.unwrap();
    assert_eq!(bench.open().await.identity().await.unwrap(), identity);
    let other = Bench { server: bench.server.clone(), url: bench.server.url() };
    assert_ne!(other.open().await.identity().await.unwrap(), identity);
}

#[tokio::test]
async fn an_estimate_is_near_and_a_lag_is_only_a_replicas() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    db.execute("CREATE TABLE g (id int PRIMARY KEY, v int)").await.unwrap();
    db.execute("INSERT INTO g SELECT seq, seq FROM seq_1_to_20000").await.unwrap();
    db.execute("ANALYZE TABLE g").await.unwrap();
    let name = table_name("g");
    for (filter, from, to) in [
        ("", 15_000, 25_000),
        ("id > 5000 AND id <= 7000", 1_000, 4_000),
        ("id > 30000", 0, 10),
        ("1 = 0", 0, 0),
    ] {
        let rows = db.estimate(&name, filter).await.unwrap().unwrap();
        assert!((from..=to).contains(&rows), "{filter}: {rows}");
    }
    assert_eq!(db.lag().await.unwrap(), None);
    let column = describe(&mut *db, "g").await.columns[0].clone();
    assert!(db.histogram(&name, &column).await.unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_committed_later_below_the_safe_instant() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    db.execute("CREATE TABLE s (id int PRIMARY KEY, at timestamp(6) NULL, day datetime, n bigint)")
        .await
        .unwrap();
    db.execute("INSERT INTO s VALUES (1, NOW(6), NOW(), 41)").await.unwrap();
    let table = describe(&mut *db, "s").await;
    let at = table.column("at").unwrap();
    // A writer stamps a row and does not commit.
    let mut writer = bench.open().await;
    writer.begin().await.unwrap();
    writer.execute("INSERT INTO s VALUES (2, NOW(6), NOW(), 42)").await.unwrap();
    let stamp = writer.query("SELECT at, day FROM s WHERE id = 2").await.unwrap()[0].clone();
    let mut reader = bench.open_with("", true).await;
    // It stays below the stamp however long the writer takes.
    let until = std::time::Instant::now() + Duration::from_secs(4);
    while std::time::Instant::now() < until {
        for (column, stamp) in [(at, &stamp[0]), (table.column("day").unwrap(), &stamp[1])] {
            let (upper, _) = reader.safe_upper(&table.name, column).await.unwrap();
            assert!(upper < *stamp, "{upper:?} is not below {stamp:?}");
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    writer.commit(true).await.unwrap();
    // Then it moves past it.
    let mut passed = false;
    for _ in 0..40 {
        let (upper, words) = reader.safe_upper(&table.name, at).await.unwrap();
        assert_eq!(words, None);
        passed = upper > stamp[0];
        if passed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(passed, "the safe instant never passed a committed row");
    let (largest, words) = reader.safe_upper(&table.name, table.column("n").unwrap()).await.unwrap();
    assert_eq!(largest.as_deref(), Some("42"));
    assert!(words.is_some());
}

#[tokio::test]
async fn missing_privileges_are_named_with_their_grant() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    let name = table_name("t");
    db.execute("CREATE TABLE t (id int PRIMARY KEY, at timestamp(6) NULL)").await.unwrap();
    assert!(db.missing_privileges(&name, true).await.unwrap().is_empty());
    let database = db.query("SELECT DATABASE()").await.unwrap()[0][0].clone().unwrap();
    let user = format!("few_{database}");
    bench.server.must(&format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'p'; GRANT SELECT ON {database}.t TO '{user}'@'127.0.0.1'"));
    let url = format!("mysql://{user}:p@127.0.0.1:{}/{database}?ssl-mode=DISABLED", bench.server.port);
    let endpoint = Endpoint::parse(&url).unwrap();
    let mut few = open(&endpoint, false).await.unwrap();
    assert!(few.missing_privileges(&name, false).await.unwrap().is_empty());
    let words = few.missing_privileges(&name, true).await.unwrap();
    assert!(
        words[0].starts_with(&format!("INSERT, UPDATE, DELETE on {database}.t is missing: GRANT ")),
        "{words:?}"
    );
    let at = describe(&mut *few, "t").await.columns[1].clone();
    let (_, told) = few.safe_upper(&name, &at).await.unwrap();
    assert!(told.as_ref().is_some_and(|told| told.contains("GRANT PROCESS")), "{told:?}");
    // The statements that it names give what it misses.
    for word in words.iter().chain(&told) {
        let (_, grant) = word.split_once(": ").unwrap();
        bench.server.must(grant);
    }
    let mut enough = open(&endpoint, false).await.unwrap();
    assert_eq!(enough.missing_privileges(&name, true).await.unwrap(), Vec::<String>::new());
    assert_eq!(enough.safe_upper(&name, &at).await.unwrap().1, None);
    let table = describe(&mut *enough, "t").await;
    let on = OnDuplicate::Replace { key: vec!["id".into()], newer: Some("at".into()) };
    load(&mut *enough, &table, on, &[row(&[Some("1"), None])]).await.unwrap();
}

/// Keys under every kind that can be one, with the order and equality of their collations.
#[tokio::test]
async fn a_key_is_compared_as_the_server_orders_it() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    let tables = [
        (
            "k1",
            "a int, b varchar(10) COLLATE utf8mb4_general_ci",
            "(-1,'a'),(-1,'B'),(0,''),(0,'é'),(0,'z '),(5,'ß'),(5,'t'),(5,'🦀')",
        ),
        (
            "k2",
            "a varchar(9) CHARACTER SET latin1, b datetime(3)",
            "('A','2024-01-01'),('a ','2024-01-02'),('é','0000-00-00'),('f','9999-12-31 23:59:59.999'),('Z','2024-01-01 00:00:00.5')",
        ),
        (
            "k3",
            "a enum('z','a','m'), b bigint unsigned",
            "('z',0),('z',18446744073709551615),('a',1),('m',9223372036854775808),('a',2)",
        ),
        (
            "k4",
            "a binary(3), b decimal(20,5)",
            "(x'00',-1.5),(x'00',-1.50001),(x'ff00ff',0),(x'27095c',99999.99999),(x'61','-0.00001')",
        ),
        (
            "k5",
            "a set('x','y'), b bit(40)",
            "('x,y',b'1'),('y',b'111111111111111111111111111111111111'),('',b'0'),('x',b'10')",
        ),
        (
            "k6",
            "a time(2), b year",
            "('-838:59:59',0),('838:59:59',1901),('-00:00:00.01',2155),('00:00:00',2000),('00:00:00',0)",
        ),
        (
            "k7",
            "a uuid, b varchar(20) COLLATE utf8mb4_bin",
            "('00112233-4455-1677-8899-aabbccddeeff','a'),('00112233-4455-6677-8899-aabbccddeeff','A'),('ffffffff-ffff-1fff-8fff-ffffffffffff',''),('00112233-4455-1677-8899-aabbccddeeff','\\\\''x')",
        ),
    ];
    for (name, columns, values) in tables {
        db.execute(&format!("CREATE TABLE {name} ({columns}, PRIMARY KEY (a, b))")).await.unwrap();
        db.execute(&format!("INSERT INTO {name} VALUES {values}")).await.unwrap();
        let table = describe(&mut *db, name).await;
        let dialect = db.dialect();
        let exprs: Vec<String> =
            table.columns.iter().map(|column| dialect.key_expr(column).unwrap()).collect();
        let selects: Vec<String> = table.columns.iter().map(|column| dialect.key_select(column)).collect();
        let parts = |filters: &[String], order: &[String], direction| {
            let parts = SelectParts {
                table: &table.name,
                exprs: &selects,
                filters,
                order,
                direction,
                limit: None,
                offset: 0,
                keyset: true,
            };
            dialect.select(&parts)
        };
        let ordered = db.query(&parts(&[], &exprs, Order::Up)).await.unwrap();
        let mut down = db.query(&parts(&[], &exprs, Order::Down)).await.unwrap();
        down.reverse();
        assert_eq!(down, ordered);
        assert!(ordered.len() >= 4);
        for (at, key) in ordered.iter().enumerate() {
            let pairs: Vec<(String, String)> = exprs
                .iter()
                .zip(table.columns.iter().zip(key))
                .map(|(expr, (column, value))| {
                    (expr.clone(), dialect.literal(column, value.as_deref().unwrap()))
                })
                .collect();
            for (comparison, expected) in [
                (Comparison::After, &ordered[at + 1..]),
                (Comparison::From, &ordered[at..]),
                (Comparison::UpTo, &ordered[..=at]),
                (Comparison::Equal, &ordered[at..=at]),
            ] {
                let filter = [dialect.compare(&pairs, comparison)];
                let sql = parts(&filter, &exprs, Order::Up);
                let got = db.query(&sql).await.unwrap();
                assert_eq!(got, expected, "{name} {comparison:?} {sql}");
                // The key's index answers it, in order.
                let plan = db.query(&format!("EXPLAIN {sql}")).await.unwrap();
                let plan: Vec<String> = plan[0].iter().flatten().cloned().collect();
                assert!(!plan.join(" ").contains("filesort"), "{name} {comparison:?}: {plan:?}");
                // MariaDB finds a label by its index only when it is equal: from the first label on it walks the
                // key in order. All other kinds are a range.
                let is_label = matches!(table.columns[0].kind, Kind::Enum { .. } | Kind::Set { .. });
                let kinds: &[&str] = match comparison {
                    Comparison::Equal => &["const"],
                    _ if is_label => &["range", "const", "index"],
                    _ => &["range", "const"],
                };
                assert!(
                    plan.iter().any(|cell| kinds.contains(&cell.as_str())),
                    "{name} {filter:?}: {plan:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_rows_hash_is_md5_of_its_texts() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    db.execute(
        "CREATE TABLE h (id int PRIMARY KEY, z int(9) zerofill, d decimal(9,3), t datetime(6), s time(6), w char(9),          l varchar(9) CHARACTER SET latin1, x varbinary(9), b bit(10), y year, f float, j json)",
    )
    .await
    .unwrap();
    db.execute(
        "INSERT INTO h VALUES (1, 42, -1.250, '2024-01-02 03:04:05.678901', '-01:00:00.5', 'ab', 'é', x'00ff', b'101', 0, 1.5, '{}'),          (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    )
    .await
    .unwrap();
    let table = describe(&mut *db, "h").await;
    let dialect = db.dialect();
    let other = |name: &str, own: &Kind| match name {
        "d" => Kind::Decimal { size: Some((9, 2)), unsigned: false },
        "t" => Kind::DateTime { digits: 3 },
        _ => own.clone(),
    };
    let mut texts = Vec::new();
    for column in &table.columns {
        let other = other(&column.name, &column.kind);
        let text = dialect.hash_text(&Side { column, other: &other, same_engine: false });
        assert_eq!(text.is_none(), column.name == "j", "{}", column.name);
        assert!(dialect.hash_text(&Side { column, other: &other, same_engine: true }).is_some());
        texts.extend(text);
    }
    let sql = format!("SELECT {}, {} FROM h ORDER BY id", texts.join(", "), dialect.row_hash(&texts, false));
    let rows = db.query(&sql).await.unwrap();
    let expected =
        ["1", "42", "-1.25", "2024-01-02 03:04:05.678000", "-3600500000", "ab", "é", "00ff", "5", "0", "1.5"];
    let (first, hash) = rows[0].split_at(texts.len());
    assert_eq!(first.iter().map(|cell| cell.as_deref().unwrap()).collect::<Vec<_>>(), expected);
    // The hash as the server computes it from that very text.
    for (row, text) in [
        (&rows[0], expected.iter().map(|text| format!("{}:{text}", text.len())).collect::<String>()),
        (&rows[1], format!("1:2{}", "N".repeat(10))),
    ] {
        let oracle = db.query(&format!("SELECT CONV(LEFT(MD5('{text}'), 15), 16, 10)")).await.unwrap();
        assert_eq!(row.last(), oracle[0].first(), "{text}");
    }
    let hash: u64 = hash[0].as_deref().unwrap().parse().unwrap();
    assert!(hash < 1 << 60);
    let cheaper = dialect.row_hash(&texts, true);
    let cheap = db.query(&format!("SELECT {cheaper} FROM h ORDER BY id")).await.unwrap();
    let cheap: Vec<u64> = cheap.iter().map(|row| row[0].as_deref().unwrap().parse().unwrap()).collect();
    assert!(cheap.iter().all(|hash| *hash < 1 << 60) && cheap[0] != cheap[1]);
}

#[tokio::test]
async fn a_writer_that_is_dropped_gives_back_its_locks_and_leaves_nothing() {
    let Some(bench) = bench() else { return };
    let mut db = bench.open().await;
    db.execute("CREATE TABLE w (id int PRIMARY KEY, v varchar(200))").await.unwrap();
    db.execute("INSERT INTO w VALUES (0, 'x')").await.unwrap();
    let table = describe(&mut *db, "w").await;
    let rows: Vec<Row> =
        (1..20_000).map(|id| row(&[Some(&id.to_string()), Some(&"y".repeat(150))])).collect();
    for in_the_middle in [false, true] {
        let mut writer = bench.open().await;
        let page = encode(&*writer, &table.columns, &rows);
        let load = Load {
            table: table.name.clone(),
            columns: table.columns.clone(),
            on_duplicate: OnDuplicate::Fail,
        };
        writer.begin().await.unwrap();
        assert_eq!(writer.execute("UPDATE w SET v = 'z' WHERE id = 0").await.unwrap(), 1);
        let count = u64::try_from(rows.len()).unwrap();
        let mut loading = writer.load(&load, Rows::Encoded(&page), count);
        if in_the_middle {
            // Polled once: the statement is under way.
            let polled = futures_util::poll!(&mut loading);
            assert!(polled.is_pending());
        } else {
            (&mut loading).await.unwrap();
        }
        drop(loading);
        drop(writer);
        // Waits for the lock for as long as the server's patience is, which is longer than the drop takes.
        assert_eq!(db.execute("UPDATE w SET v = 'x' WHERE id = 0").await.unwrap(), 1);
        assert_eq!(db.query("SELECT COUNT(*) FROM w").await.unwrap()[0][0].as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn tls_is_as_strict_as_was_said() {
    let Some(openssl) = mysql_server::find("openssl") else { return };
    let made = |folder: &std::path::Path| {
        let script = "set -e; cd \"$1\"; \
            for ca in ca other; do \"$0\" req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=$ca -keyout $ca.key -out $ca.pem; done; \
            printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > ext; \
            \"$0\" req -newkey rsa:2048 -nodes -subj /CN=db -keyout key.pem -out csr.pem; \
            \"$0\" x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 -extfile ext -out cert.pem; \
            chmod a+r key.pem";
        let (openssl, folder) = (openssl.display().to_string(), folder.display().to_string());
        let said = mysql_server::output(&["sh", "-c", script, &openssl, &folder].map(str::to_owned));
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        ["cert", "key"].map(|part| format!("--ssl-{part}={folder}/{part}.pem")).to_vec()
    };
    let Some(server) = mysql_server::Server::start_with(made) else { return };
    let url = server.url();
    let connect = async |host: &str, options: &str| {
        let url = url.replace("127.0.0.1", host).replace("ssl-mode=DISABLED", options);
        let mut db = open(&Endpoint::parse(&url).unwrap(), true).await?;
        let cipher = db.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'").await?;
        Ok::<bool, DbError>(cipher[0][1].as_deref() != Some(""))
    };
    let ca = |name: &str| format!("&ssl-ca={}", server.file(name).display());
    assert_eq!(connect("127.0.0.1", "ssl-mode=DISABLED").await, Ok(false));
    assert_eq!(connect("127.0.0.1", "").await, Ok(true));
    assert_eq!(connect("127.0.0.1", "ssl-mode=REQUIRED").await, Ok(true));
    for mode in ["VERIFY_CA", "VERIFY_IDENTITY"] {
        assert_eq!(connect("127.0.0.1", &format!("ssl-mode={mode}{}", ca("ca.pem"))).await, Ok(true));
        let error = connect("127.0.0.1", &format!("ssl-mode={mode}{}", ca("other.pem"))).await.unwrap_err();
        assert_eq!(error.class, Class::Denied, "{error}");
        assert!(connect("127.0.0.1", &format!("ssl-mode={mode}")).await.is_err());
    }
    assert!(connect("localhost", &format!("ssl-mode=VERIFY_IDENTITY{}", ca("ca.pem"))).await.is_err());
    assert!(connect("127.0.0.1", &format!("ssl-mode=VERIFY_CA{}", ca("none.pem"))).await.is_err());

    // A server without TLS.
    let Some(bench) = bench() else { return };
    let plain = |options: &str| Endpoint::parse(&bench.url.replace("ssl-mode=DISABLED", options)).unwrap();
    assert!(open(&plain("ssl-mode=PREFERRED"), true).await.is_ok());
    let error = open(&plain("ssl-mode=REQUIRED"), true).await.err().unwrap();
    assert_eq!(error.class, Class::Denied, "{error}");
}
