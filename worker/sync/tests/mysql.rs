//! The engine `mysql` against a MariaDB of the test's own.

#[path = "support/mysql_server.rs"]
mod mysql_server;
#[path = "support/mysql_edges.rs"]
mod mysql_edges;

use shanty_sync::db::{
    Class, Comparison, Connection, DbError, Endpoint, Load, OnDuplicate, Order, RowSink, Rows, Select, SelectParts,
    Side, open,
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
    let order: Vec<String> =
        table.primary_key.iter().filter_map(|key| db.dialect().key_expr(table.column(key).unwrap())).collect();
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
            encoder.cell(at, cell.as_deref(), &mut out);
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
            let differ = format!("SELECT COUNT(*) FROM t_{name} a JOIN {copy} b USING (id) WHERE NOT (HEX(a.v) <=> HEX(b.v))");
            let differ = writer.query(&differ).await.unwrap();
            if differ[0][0].as_deref() != Some("0") {
                wrong.push(format!("{declared} over {lane:?}: {differ:?} differ in the server's eyes"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
