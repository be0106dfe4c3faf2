//! Connections, and rows in and out, as tests of the engines like to see them.
//!
//! In: a URL. Out: rows. Never: an answer made up; an item that not every test program uses.

use shanty_sync::db::{
    Class, Connection, DbError, Dialect, Endpoint, Load, OnDuplicate, Order, RowSink, Rows, Select,
    SelectParts, open,
};
use shanty_sync::schema::{Column, Kind, Table, TableName};
use std::ops::ControlFlow;

/// A database that nobody else uses.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) url: String,
}

impl Database {
    /// A connection that writes.
    pub(crate) async fn writer(&self) -> Box<dyn Connection> {
        open(&Endpoint::parse(&self.url).unwrap(), false).await.unwrap()
    }

    /// A connection that only reads.
    pub(crate) async fn reader(&self) -> Box<dyn Connection> {
        open(&Endpoint::parse(&self.url).unwrap(), true).await.unwrap()
    }
}

/// A row as text.
pub(crate) type Row = Vec<Option<Vec<u8>>>;

/// A row from texts; `NULL` is NULL.
pub(crate) fn row(cells: &[&str]) -> Row {
    cells.iter().map(|cell| (*cell != "NULL").then(|| cell.as_bytes().to_vec())).collect()
}

/// A row for people.
pub(crate) fn shown(row: &[Option<Vec<u8>>]) -> String {
    let cells = row.iter().map(|cell| match cell {
        None => "NULL".to_owned(),
        Some(cell) => cell.escape_ascii().to_string(),
    });
    cells.collect::<Vec<_>>().join(" | ")
}

/// Keeps what it is given, up to so many rows.
#[derive(Debug, Default)]
pub(crate) struct Collect {
    pub(crate) rows: Vec<Row>,
    pub(crate) raw: Vec<Vec<u8>>,
    pub(crate) most: Option<usize>,
    pub(crate) row: Row,
}

impl Collect {
    fn go_on(&self) -> ControlFlow<()> {
        if self.most.is_some_and(|most| self.rows.len() + self.raw.len() >= most) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl RowSink for Collect {
    fn cell(&mut self, value: Option<&[u8]>) {
        self.row.push(value.map(<[u8]>::to_vec));
    }

    fn end_row(&mut self) -> ControlFlow<()> {
        self.rows.push(std::mem::take(&mut self.row));
        self.go_on()
    }

    fn raw_row(&mut self, row: &[u8]) -> ControlFlow<()> {
        self.raw.push(row.to_vec());
        self.go_on()
    }
}

/// A name in the connection's own schema.
pub(crate) fn name(name: &str) -> TableName {
    TableName { schema: None, name: name.to_owned() }
}

/// A column that was not described by anybody yet.
pub(crate) fn column(name: &str, kind: Kind) -> Column {
    Column {
        name: name.to_owned(),
        native: String::new(),
        kind,
        nullable: true,
        generated: false,
        auto: false,
        default: None,
        collation: None,
    }
}

/// A table to create; key columns take no NULL.
pub(crate) fn table(named: &str, mut columns: Vec<Column>, key: &[&str]) -> Table {
    for column in &mut columns {
        column.nullable &= !key.contains(&column.name.as_str());
    }
    Table {
        name: name(named),
        columns,
        primary_key: key.iter().map(|name| (*name).to_owned()).collect(),
        indexes: Vec::new(),
        rows: None,
        bytes: None,
        transactional: true,
        view: false,
        hindrances: Vec::new(),
        left_out: Vec::new(),
        rowid: None,
    }
}

/// Creates a table and answers it as its catalog has it.
pub(crate) async fn create(db: &mut dyn Connection, table: &Table) -> Table {
    let sql = db.dialect().create_table(table).unwrap();
    db.execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    db.describe(&table.name).await.unwrap().unwrap()
}

/// A whole SELECT of columns, in the order of these.
pub(crate) fn select(dialect: &dyn Dialect, table: &TableName, columns: &[Column], order: &[&str]) -> String {
    let exprs: Vec<String> = columns.iter().map(|column| dialect.select_expr(column)).collect();
    let order: Vec<String> = order
        .iter()
        .map(|name| dialect.key_expr(columns.iter().find(|column| column.name == *name).unwrap()).unwrap())
        .collect();
    dialect.select(&SelectParts {
        table,
        exprs: &exprs,
        filters: &[],
        order: &order,
        direction: Order::Up,
        limit: None,
        offset: 0,
        keyset: false,
    })
}

/// All rows of a table by its key.
pub(crate) async fn read(db: &mut dyn Connection, table: &Table) -> Vec<Row> {
    let order: Vec<&str> = table.primary_key.iter().map(String::as_str).collect();
    let sql = select(db.dialect(), &table.name, &table.columns, &order);
    let mut sink = Collect::default();
    let select = Select { sql: &sql, columns: &table.columns, raw: false };
    db.read(select, &mut sink).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    sink.rows
}

/// Rows in the form that a load takes.
pub(crate) fn encoded(dialect: &dyn Dialect, columns: &[Column], rows: &[Row]) -> Vec<u8> {
    let encoder = dialect.encoder(columns);
    let mut out = Vec::new();
    for row in rows {
        assert_eq!(row.len(), columns.len());
        for (at, cell) in row.iter().enumerate() {
            encoder.cell(at, cell.as_deref(), &mut out).unwrap();
        }
        encoder.end_row(&mut out);
    }
    out
}

/// What to load into a table.
pub(crate) fn load_of(table: &Table, on_duplicate: OnDuplicate) -> Load {
    Load { table: table.name.clone(), columns: table.columns.clone(), on_duplicate }
}

/// Loads within the transaction under way.
pub(crate) async fn load_in(db: &mut dyn Connection, load: &Load, rows: &[Row]) -> Result<u64, DbError> {
    let bytes = encoded(db.dialect(), &load.columns, rows);
    let count = u64::try_from(rows.len()).unwrap();
    db.load(load, Rows::Encoded(&bytes), count).await.map(|loaded| loaded.rows)
}

/// Loads in a transaction of its own; rolled back when it fails.
pub(crate) async fn load(db: &mut dyn Connection, load: &Load, rows: &[Row]) -> Result<u64, DbError> {
    db.begin().await?;
    match load_in(db, load, rows).await {
        Ok(loaded) => db.commit(false).await.map(|()| loaded),
        Err(error) => {
            if error.class != Class::Lost {
                db.rollback().await?;
            }
            Err(error)
        }
    }
}
