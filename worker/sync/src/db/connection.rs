//! What one connection to a database can do.
//!
//! In: SQL made by the same engine's [`Dialect`]. Out: rows, counts, descriptions, [`DbError`].
//! Never: reconnects by itself, retries by itself, logs a value.
//! Tests: `worker/sync/tests/`, one conformance suite over all engines.

use super::{DbError, Dialect};
use crate::schema::{Column, Table, TableName};
use futures_util::future::BoxFuture;
use std::ops::ControlFlow;
use std::time::Duration;

/// A row of a small answer, as text.
pub type TextRow = Vec<Option<String>>;

/// Takes the rows of a read.
pub trait RowSink: Send {
    /// The next cell of the row, in the text form of the column's kind; none for NULL.
    fn cell(&mut self, value: Option<&[u8]>);
    /// The row is whole. `Break` ends the read: the rest is not delivered.
    fn end_row(&mut self) -> ControlFlow<()>;
    /// A whole row in the engine's own binary form, when [`Select::raw`] was asked for; nothing else is called then.
    fn raw_row(&mut self, row: &[u8]) -> ControlFlow<()>;
}

/// A read of many rows.
#[derive(Debug, Clone, Copy)]
pub struct Select<'a> {
    /// The query; it selects [`Dialect::select_expr`] of each of `columns` in order.
    pub sql: &'a str,
    /// What comes back.
    pub columns: &'a [Column],
    /// Whether rows are wanted in the engine's binary form (see [`Dialect::raw_compatible`]).
    pub raw: bool,
}

/// Rows in the form in which they are loaded.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// Made by [`Dialect::encoder`].
    Encoded(&'a [u8]),
    /// Rows of [`RowSink::raw_row`], one after the other, or made by [`Dialect::raw_encoder`].
    Raw(&'a [u8]),
}

/// What happens to a row whose key is in the table already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnDuplicate {
    /// An error of class [`Row`](super::Class::Row).
    Fail,
    /// The row there is changed to this one, and no other one, also when a unique value moved between two rows of
    /// the load. With `newer` only if that column's new value is not smaller than the old one.
    Replace {
        /// Key columns.
        key: Vec<String>,
        /// Column that decides which of two versions is newer.
        newer: Option<String>,
    },
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The table.
    pub table: TableName,
    /// Columns in the order of the encoded cells.
    pub columns: Vec<Column>,
    /// What happens to a row whose key is there already.
    pub on_duplicate: OnDuplicate,
}

/// What a load did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Rows handed over.
    pub rows: u64,
}

/// What [`Connection::safe_upper`] answers: the value, none without rows; and why it is less certain than it could be.
pub type SafeUpper = (Option<String>, Option<String>);

/// One session with a database.
///
/// Futures may be dropped only if the connection is dropped too.
pub trait Connection: Send {
    /// The engine's SQL.
    fn dialect(&self) -> &'static dyn Dialect;

    /// Name of this session for [`Dialect::kill`]; none where it has none.
    fn backend(&self) -> Option<String>;

    /// What the server calls itself, for people: product and version.
    fn server(&self) -> String;

    /// Runs one statement that answers few rows, each value as the server's text (bytes that are no UTF-8 are an
    /// error of class Other).
    fn query<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Vec<TextRow>, DbError>>;

    /// Runs one statement; answers the rows that it matched, changed or not.
    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<u64, DbError>>;

    /// Begins a transaction in which statements see what was committed before each of them and row locks wait for
    /// at most a few seconds (SQLite: takes the write lock at once).
    fn begin(&mut self) -> BoxFuture<'_, Result<(), DbError>>;

    /// Commits. With `durable` the answer comes after the data is safe from a crash of the server; otherwise it
    /// may be given before, as long as transactions are lost only in order, the last ones first.
    fn commit(&mut self, durable: bool) -> BoxFuture<'_, Result<(), DbError>>;

    /// Rolls back; nothing happens outside a transaction.
    fn rollback(&mut self) -> BoxFuture<'_, Result<(), DbError>>;

    /// Names of the tables (not views) of a schema, of the connection's own with none; without those in which the
    /// state of syncs is kept.
    fn tables<'a>(&'a mut self, schema: Option<&'a str>) -> BoxFuture<'a, Result<Vec<TableName>, DbError>>;

    /// A table as its catalog has it; none when there is none. The name comes back with its schema filled in.
    fn describe<'a>(&'a mut self, table: &'a TableName) -> BoxFuture<'a, Result<Option<Table>, DbError>>;

    /// Rows that a condition holds for, by the server's estimate and at its cost of milliseconds; none when it has
    /// no estimate.
    fn estimate<'a>(
        &'a mut self,
        table: &'a TableName,
        filter: &'a str,
    ) -> BoxFuture<'a, Result<Option<u64>, DbError>>;

    /// Values of a column that part the table into pieces of about equal size, growing, as text for
    /// [`Dialect::literal`]; empty when the server keeps no such statistics.
    fn histogram<'a>(
        &'a mut self,
        table: &'a TableName,
        column: &'a Column,
    ) -> BoxFuture<'a, Result<Vec<String>, DbError>>;

    /// What tells this database from all others, whatever name it was reached by; two connections with the same
    /// identity see the same tables.
    fn identity(&mut self) -> BoxFuture<'_, Result<String, DbError>>;

    /// The privileges that the account lacks for reading (`write` false) or for writing and keeping state beside
    /// the table, in words with the statement that grants them; empty when nothing is missing or nobody can tell.
    fn missing_privileges<'a>(
        &'a mut self,
        table: &'a TableName,
        write: bool,
    ) -> BoxFuture<'a, Result<Vec<String>, DbError>>;

    /// A value of `column` (a timestamp or a number that grows), as text for [`Dialect::literal`], below which no
    /// open transaction can still write a row: the instant before the oldest open transaction began, on the
    /// server's clock; the largest value there is for columns that are not times. The second part says in words
    /// when less is certain (a privilege is missing).
    fn safe_upper<'a>(
        &'a mut self,
        table: &'a TableName,
        column: &'a Column,
    ) -> BoxFuture<'a, Result<SafeUpper, DbError>>;

    /// How far a replica is behind; none when this is no replica or nobody can tell.
    fn lag(&mut self) -> BoxFuture<'_, Result<Option<Duration>, DbError>>;

    /// Delivers the rows of a query to `sink`.
    fn read<'a>(
        &'a mut self,
        select: Select<'a>,
        sink: &'a mut dyn RowSink,
    ) -> BoxFuture<'a, Result<(), DbError>>;

    /// Writes rows, inside the transaction under way. `count` is how many there are; that other ones were written,
    /// or that a value was changed on the way (clipped, rounded, replaced), is an error of class Row and the
    /// transaction must be rolled back.
    fn load<'a>(
        &'a mut self,
        load: &'a Load,
        rows: Rows<'a>,
        count: u64,
    ) -> BoxFuture<'a, Result<Loaded, DbError>>;

    /// Ends the session.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}
