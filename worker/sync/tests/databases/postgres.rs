//! The engine `postgres` against a server: every kind both ways, transactions, errors, catalogs.
//!
//! In: a PostgreSQL of the test's own (see `support/postgres_server.rs`). Never: a server of the machine.

mod catalog;
mod facts;
mod kinds;
mod replacing;
mod speed;
mod trouble;

use crate::support::postgres_server as server;
use server::Server;
use shanty_sync::db::{
    Class, Connection, DbError, Endpoint, Load, OnDuplicate, RowSink, Rows, Select, SelectParts, open,
};
use shanty_sync::schema::{Column, Table, TableName};
use std::ops::ControlFlow;

/// Runs a test with a new database's URL.
fn with_database<F: Future<Output = ()>>(test: impl FnOnce(String) -> F) {
    let Some(server) = Server::shared() else { return };
    block_on(test(server.url()));
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

async fn connect(url: &str, read_only: bool) -> Box<dyn Connection> {
    open(&Endpoint::parse(url).unwrap(), read_only).await.unwrap()
}

fn named(name: &str) -> TableName {
    TableName { schema: None, name: name.to_owned() }
}

async fn described(connection: &mut Box<dyn Connection>, name: &str) -> Table {
    connection.describe(&named(name)).await.unwrap().unwrap()
}

/// Keeps what is read; `most` rows at most.
struct Kept {
    rows: Vec<Vec<Option<Vec<u8>>>>,
    row: Vec<Option<Vec<u8>>>,
    raw: Vec<Vec<u8>>,
    most: usize,
}

impl Kept {
    fn new() -> Kept {
        Kept { rows: Vec::new(), row: Vec::new(), raw: Vec::new(), most: usize::MAX }
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.rows.len() + self.raw.len() >= self.most {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// The first column, as text.
    fn firsts(&self) -> Vec<String> {
        self.rows.iter().map(|row| String::from_utf8(row[0].clone().unwrap()).unwrap()).collect()
    }
}

impl RowSink for Kept {
    fn cell(&mut self, value: Option<&[u8]>) {
        self.row.push(value.map(<[u8]>::to_vec));
    }
    fn end_row(&mut self) -> ControlFlow<()> {
        self.rows.push(std::mem::take(&mut self.row));
        self.flow()
    }
    fn raw_row(&mut self, row: &[u8]) -> ControlFlow<()> {
        self.raw.push(row.to_vec());
        self.flow()
    }
}

/// The query of a whole table, ordered by its first column.
fn whole(connection: &dyn Connection, table: &Table) -> String {
    let dialect = connection.dialect();
    let exprs: Vec<String> = table.columns.iter().map(|column| dialect.select_expr(column)).collect();
    let order: Vec<String> = exprs.first().cloned().into_iter().collect();
    dialect.select(&SelectParts {
        table: &table.name,
        exprs: &exprs,
        filters: &[],
        order: &order,
        direction: shanty_sync::db::Order::Up,
        limit: None,
        offset: 0,
        keyset: false,
    })
}

async fn read(connection: &mut Box<dyn Connection>, table: &Table, raw: bool) -> Kept {
    let sql = whole(connection.as_ref(), table);
    let mut kept = Kept::new();
    connection.read(Select { sql: &sql, columns: &table.columns, raw }, &mut kept).await.unwrap();
    kept
}

fn load_of(table: &Table, on_duplicate: OnDuplicate) -> Load {
    Load { table: table.name.clone(), columns: table.columns.clone(), on_duplicate }
}

fn encoded(connection: &dyn Connection, columns: &[Column], rows: &[Vec<Option<Vec<u8>>>]) -> Vec<u8> {
    let encoder = connection.dialect().encoder(columns);
    let mut out = Vec::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            encoder.cell(index, cell.as_deref(), &mut out).unwrap();
        }
        encoder.end_row(&mut out);
    }
    out
}

/// Loads rows in a transaction of their own.
async fn load(
    connection: &mut Box<dyn Connection>,
    load: &Load,
    rows: Rows<'_>,
    count: usize,
) -> Result<(), DbError> {
    connection.begin().await?;
    match connection.load(load, rows, u64::try_from(count).unwrap()).await {
        Ok(loaded) => {
            assert_eq!(usize::try_from(loaded.rows).unwrap(), count);
            connection.commit(false).await
        }
        Err(error) => {
            connection.rollback().await?;
            Err(error)
        }
    }
}

/// Rows of literals, cell by cell; `-` is NULL.
fn cells(rows: &[&[&str]]) -> Vec<Vec<Option<Vec<u8>>>> {
    let cell = |cell: &&str| (*cell != "-").then(|| cell.as_bytes().to_vec());
    rows.iter().map(|row| row.iter().map(cell).collect()).collect()
}

#[test]
fn a_table_goes_through_both_lanes() {
    with_database(|url| async move {
        let mut writer = connect(&url, false).await;
        writer
            .execute(
                "CREATE TABLE a1 (id bigint PRIMARY KEY, b boolean, t text, y bytea, z timestamptz, c char(4));
                 INSERT INTO a1 VALUES (1, true, E'tab\\tline\\n\\\\. \\\\N', '\\x00ff5c', '2024-01-02 03:04:05.6+02', 'x'),
                 (2, false, '', '', '0044-03-15 00:00:00+00 BC', ''), (3, NULL, NULL, NULL, NULL, NULL),
                 (4, true, '\u{1f980}', '\\x41', 'infinity', 'abcd')",
            )
            .await
            .unwrap();
        let mut reader = connect(&url, true).await;
        let source = described(&mut reader, "a1").await;
        let text = read(&mut reader, &source, false).await;
        let first = &text.rows[0];
        assert_eq!(first[1].as_deref(), Some(&b"1"[..]));
        assert_eq!(first[2].as_deref(), Some(&b"tab\tline\n\\. \\N"[..]));
        assert_eq!(first[3].as_deref(), Some(&[0, 0xff, 0x5c][..]));
        assert_eq!(first[4].as_deref(), Some(&b"2024-01-02 01:04:05.6"[..]));
        assert_eq!(first[5].as_deref(), Some(&b"x"[..]));
        assert_eq!(text.rows[1][4].as_deref(), Some(&b"0044-03-15 00:00:00 BC"[..]));
        assert_eq!(text.rows[2][1..], [None, None, None, None, None]);

        writer.execute("CREATE TABLE b1 (LIKE a1 INCLUDING ALL)").await.unwrap();
        let target = described(&mut writer, "b1").await;
        let payload = encoded(writer.as_ref(), &target.columns, &text.rows);
        load(&mut writer, &load_of(&target, OnDuplicate::Fail), Rows::Encoded(&payload), 4).await.unwrap();
        let same = "SELECT count(*) FROM a1 JOIN b1 USING (id) WHERE a1 IS NOT DISTINCT FROM b1";
        assert_eq!(writer.query(same).await.unwrap(), [[Some("4".to_owned())]]);

        let raw = read(&mut reader, &source, true).await;
        assert_eq!((raw.raw.len(), raw.rows.len()), (4, 0));
        writer.execute("TRUNCATE b1").await.unwrap();
        let payload = raw.raw.concat();
        load(&mut writer, &load_of(&target, OnDuplicate::Fail), Rows::Raw(&payload), 4).await.unwrap();
        assert_eq!(writer.query(same).await.unwrap(), [[Some("4".to_owned())]]);
        let dialect = writer.dialect();
        assert!(dialect.raw_compatible(&source.columns, &target.columns, &[0]));
        assert_eq!(dialect.raw_key(&source.columns[0], 0, &raw.raw[3]).as_deref(), Some("4"));
        writer.close().await;
        reader.close().await;
    });
}

#[test]
fn transactions_hold_and_errors_leave_the_session_usable() {
    with_database(|url| async move {
        let mut one = connect(&url, false).await;
        let mut other = connect(&url, false).await;
        one.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(3))").await.unwrap();
        let table = described(&mut one, "t").await;
        let plan = load_of(&table, OnDuplicate::Fail);

        one.begin().await.unwrap();
        assert_eq!(one.execute("INSERT INTO t VALUES (1, 'a')").await.unwrap(), 1);
        assert_eq!(other.query("SELECT count(*) FROM t").await.unwrap(), [[Some("0".to_owned())]]);
        one.commit(true).await.unwrap();
        assert_eq!(other.execute("UPDATE t SET v = v").await.unwrap(), 1);

        // Inside a COPY, before one, and where the server answers in a second word.
        for row in [["2", "long"], ["1", "a"], ["x", "a"]] {
            let payload = encoded(one.as_ref(), &table.columns, &cells(&[&row]));
            one.begin().await.unwrap();
            let error = one.load(&plan, Rows::Encoded(&payload), 1).await.unwrap_err();
            assert_eq!(error.class, Class::Row, "{error}");
            assert!(one.execute("SELECT 1").await.is_err());
            assert!(one.commit(false).await.is_err());
            assert_eq!(one.query("SELECT count(*) FROM t").await.unwrap(), [[Some("1".to_owned())]]);
        }
        // A rollback to a savepoint lets the transaction go on; nothing else does.
        one.begin().await.unwrap();
        one.execute("SAVEPOINT here").await.unwrap();
        one.load(&plan, Rows::Encoded(b"5\ta\n"), 2).await.unwrap_err();
        drop(one.execute("SELECT 1").await);
        assert!(one.commit(false).await.is_err());
        assert_eq!(one.query("SELECT count(*) FROM t").await.unwrap(), [[Some("1".to_owned())]]);
        one.begin().await.unwrap();
        one.execute("SAVEPOINT here").await.unwrap();
        one.load(&plan, Rows::Encoded(b"1\ta\n"), 1).await.unwrap_err();
        one.execute("ROLLBACK TO SAVEPOINT here").await.unwrap();
        one.load(&plan, Rows::Encoded(b"5\ta\n"), 1).await.unwrap();
        one.commit(false).await.unwrap();
        assert_eq!(one.execute("DELETE FROM t WHERE id = 5").await.unwrap(), 1);

        let missing = Load { table: named("nowhere"), ..plan };
        one.begin().await.unwrap();
        assert_eq!(one.load(&missing, Rows::Encoded(b"1\ta\n"), 1).await.unwrap_err().class, Class::Missing);
        one.rollback().await.unwrap();
        one.rollback().await.unwrap();

        let backend = other.backend();
        let mut kept = Kept::new();
        let select = Select { sql: "SELECT id FROM nowhere", columns: &table.columns[..1], raw: false };
        assert_eq!(other.read(select, &mut kept).await.unwrap_err().class, Class::Missing);
        let select = Select { sql: "SELECT id FROM t", ..select };
        other.read(select, &mut kept).await.unwrap();
        assert_eq!(kept.firsts(), ["1"]);
        assert_ne!(other.backend(), backend, "the session was replaced");
        assert_eq!(other.query("SELECT 1, NULL").await.unwrap(), [[Some("1".to_owned()), None]]);
    });
}
