//! How an engine writes SQL and encodes rows. Pure: text in, text out.
//!
//! In: names, columns, canonical values. Out: SQL fragments in the engine's own words.
//! Never: a connection; a value that is not quoted by [`Dialect::text`] or [`Dialect::literal`].
//! Tests: in each engine's room as tables; against servers in `worker/sync/tests/`.

use crate::schema::{Column, Kind, Table, TableName};
use std::fmt;

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Engine {
    /// MySQL, MariaDB, TiDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Mysql => "mysql",
            Engine::Postgres => "postgres",
            Engine::Sqlite => "sqlite",
        })
    }
}

/// How a key is compared with given values, as a whole: (a, b) against (x, y).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Greater.
    After,
    /// Greater or equal.
    From,
    /// Less or equal.
    UpTo,
    /// Equal.
    Equal,
}

/// Which way a query is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    Up,
    /// Largest first.
    Down,
}

/// Which end of a sync a hash is made for; kinds may differ between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side<'a> {
    /// The column here.
    pub column: &'a Column,
    /// The kind of the same column at the other end.
    pub other: &'a Kind,
    /// Whether both ends are the same engine: cheaper forms may be used.
    pub same_engine: bool,
}

/// A value that is none of its column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a value of its column's type")]
pub struct NotOfItsKind;

/// Encodes rows into the form that [`Connection::load`] of the same engine takes.
///
/// [`Connection::load`]: super::Connection::load
pub trait RowEncoder: Send + Sync {
    /// Appends the cell of the target column `column` (index in the load's columns, in order from 0); `value`
    /// is in the text form of the column's kind (see [`Kind`]), none for NULL.
    ///
    /// # Errors
    /// When it is not; the row is of no use then. An encoder whose server looks at values may leave that to it.
    fn cell(&self, column: usize, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), NotOfItsKind>;
    /// Ends the row.
    fn end_row(&self, out: &mut Vec<u8>);
    /// Whether its rows are raw ones (see [`Rows::Raw`]).
    ///
    /// [`Rows::Raw`]: super::Rows::Raw
    fn is_raw(&self) -> bool {
        false
    }
}

/// The hash of a raw row (see [`Rows::Raw`]): 60 bits.
///
/// [`Rows::Raw`]: super::Rows::Raw
pub type RawHasher = fn(&[u8]) -> u64;

/// How an engine writes SQL.
pub trait Dialect: Send + Sync + fmt::Debug {
    /// The engine.
    fn engine(&self) -> Engine;

    /// A quoted identifier.
    fn ident(&self, name: &str) -> String;

    /// A quoted table name with its schema.
    fn table(&self, table: &TableName) -> String {
        match &table.schema {
            Some(schema) => format!("{}.{}", self.ident(schema), self.ident(&table.name)),
            None => self.ident(&table.name),
        }
    }

    /// A string literal. `value` holds no NUL.
    fn text(&self, value: &str) -> String;

    /// A literal of a value of `column` that compares with [`Dialect::key_expr`] as the column itself would,
    /// using its index. `value` is the text of [`Dialect::key_select`].
    fn literal(&self, column: &Column, value: &str) -> String;

    /// The expression whose result [`Connection::read`] delivers in the text form of the column's kind.
    ///
    /// [`Connection::read`]: super::Connection::read
    fn select_expr(&self, column: &Column) -> String;

    /// The expression to order and compare by; none when the column's values cannot be ordered or compared
    /// exactly by the server (floats, JSON, geometry). Where the type's own order is that of something
    /// else (an enum's index), it is that.
    fn key_expr(&self, column: &Column) -> Option<String>;

    /// The expression that [`Dialect::literal`] understands, as UTF-8 text: bytes as small hex.
    fn key_select(&self, column: &Column) -> String;

    /// A comparison of a whole key with literals, in the form that the engine answers from an index.
    fn compare(&self, key: &[(String, String)], comparison: Comparison) -> String;

    /// A whole SELECT: `exprs` from `table` where all of `filters` hold, ordered by `order` expressions (empty for
    /// no order), at most `limit` rows after `offset` rows. Where the engine tends to choose another index
    /// than the primary key for a keyset page, `keyset` asks it not to.
    fn select(&self, query: &SelectParts<'_>) -> String;

    /// The type to declare for a kind in CREATE TABLE.
    ///
    /// # Errors
    /// In words, when the engine has no type that holds every value of the kind.
    fn column_type(&self, kind: &Kind) -> Result<String, String>;

    /// CREATE TABLE with columns, NOT NULL, the primary key and what numbers rows, but without secondary indexes.
    /// `table` has this engine's kinds already.
    ///
    /// # Errors
    /// In words, naming the column.
    fn create_table(&self, table: &Table) -> Result<String, String>;

    /// The statement that makes the primary key of `table` after its rows are in, which is quicker than keeping it up
    /// while they come; none for an engine that keeps its rows in the order of the key.
    fn create_key(&self, table: &Table) -> Option<String> {
        let _ = table;
        None
    }

    /// Statements that make the secondary indexes of `table`, to be run after the load.
    fn create_indexes(&self, table: &Table) -> Vec<String>;

    /// Statements that set counters (sequences, AUTO_INCREMENT) past the largest value and refresh statistics.
    fn after_load(&self, table: &Table) -> Vec<String>;

    /// A statement that deletes all rows of a table.
    fn clear(&self, table: &TableName) -> String {
        format!("TRUNCATE TABLE {}", self.table(table))
    }

    /// The encoder of rows with these target columns.
    fn encoder(&self, columns: &[Column]) -> Box<dyn RowEncoder>;

    /// One that makes raw rows of them, where the engine takes those quicker; none where it does not, or where the form of
    /// a column is not known here.
    fn raw_encoder(&self, columns: &[Column]) -> Option<Box<dyn RowEncoder>> {
        let _ = columns;
        None
    }

    /// Text of a value for a hash, NULL for NULL, the same on both ends for equal values whatever the engines; none for
    /// kinds whose text no SQL makes portable (JSON across engines). Either end alone may say none.
    ///
    /// | kinds of both ends | text |
    /// |---|---|
    /// | whole numbers, years, Bool | decimal digits; 1 and 0 |
    /// | Decimal | with as many digits after the point as the smaller scale of both |
    /// | Date, or Date and a moment | as a cell's; `YYYY-MM-DD` of the moment |
    /// | DateTime, Timestamp | `YYYY-MM-DD HH:MM:SS.ffffff` in UTC: the fraction cut to the digits that both ends have, then filled up to six with zeros |
    /// | Time, or a span and Interval | whole microseconds with a sign, cut likewise |
    /// | bytes | small hex |
    /// | Bit | a cell's text; without zeros in front between two widths |
    /// | text, Enum, Set | itself; without blanks at the end when either end is Char |
    /// | Uuid, also against text | small letters |
    /// | Float of equal width | the shortest digits that are read back as the same number; engines may write rare numbers in different ways, so rows that differ are looked at again by their cells |
    /// | anything else against text | a cell's text, as it was written into the target |
    ///
    fn hash_text(&self, side: &Side<'_>) -> Option<String>;

    /// What both ends must have in common for `same_engine`: servers of one engine may differ in it.
    fn hash_family(&self) -> &'static str {
        match self.engine() {
            Engine::Mysql => "mysql",
            Engine::Postgres => "postgres",
            Engine::Sqlite => "sqlite",
        }
    }

    /// A hash of a row from its columns' [`Dialect::hash_text`]: an integer from 0 to 2⁶⁰−1, the same on all engines.
    /// It is made of the first 15 hex digits of md5 over, for each column, `N` for NULL or
    /// `<length in bytes>:<text>`. With `same_engine` any cheaper hash of the engine's own may be taken, and
    /// [`Dialect::hash_text`] may be what that hash takes instead of a text.
    fn row_hash(&self, texts: &[String], same_engine: bool) -> String;

    /// Statements that create the tables in which the state of a sync is kept, if they are missing; see the
    /// room `control`. Types: text keys up to 190 characters, whole numbers of 64 bits, long text.
    fn control_types(&self) -> ControlTypes;

    /// A statement that ends another session of the same account by the name that [`Connection::backend`] gave;
    /// none where sessions cannot be ended.
    ///
    /// [`Connection::backend`]: super::Connection::backend
    fn kill(&self, backend: &str) -> Option<String>;

    /// Whether the sources' binary rows may be handed to these target columns without being looked at: same
    /// engine, same native types, same order. Keys must be readable by [`Dialect::raw_key`].
    fn raw_compatible(&self, source: &[Column], target: &[Column], key: &[usize]) -> bool {
        let _ = (source, target, key);
        false
    }

    /// The key text of a field of a raw row (see [`Rows::Raw`]); none when it cannot be read.
    ///
    /// [`Rows::Raw`]: super::Rows::Raw
    fn raw_key(&self, column: &Column, index: usize, row: &[u8]) -> Option<String> {
        let _ = (column, index, row);
        None
    }

    /// Makes of a raw row with these columns what the server answers for their [`Dialect::row_hash`] with `same_engine`;
    /// none where that is not known here.
    fn raw_hasher(&self, columns: &[Column]) -> Option<RawHasher> {
        let _ = columns;
        None
    }
}

/// The parts of a SELECT.
#[derive(Debug, Clone, Copy)]
pub struct SelectParts<'a> {
    /// The table.
    pub table: &'a TableName,
    /// Expressions to select.
    pub exprs: &'a [String],
    /// Conditions that all hold; a user's own one is in parentheses already.
    pub filters: &'a [String],
    /// Expressions to order by.
    pub order: &'a [String],
    /// Which way.
    pub direction: Order,
    /// Most rows; none for all.
    pub limit: Option<u64>,
    /// Rows to skip.
    pub offset: u64,
    /// Whether it is a page of the primary key and must be read by it.
    pub keyset: bool,
}

impl SelectParts<'_> {
    /// The expressions, each under a name of its own: an ORDER BY means the table's columns and never a result that
    /// happens to be called like one (`"id"::text` would be called `id`, and order by text).
    #[must_use]
    pub fn columns(&self) -> String {
        let named: Vec<String> =
            self.exprs.iter().enumerate().map(|(i, expr)| format!("{expr} AS shanty_{i}")).collect();
        named.join(", ")
    }
}

/// Types of the columns in which the state of a sync is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlTypes {
    /// Text of up to 190 characters compared byte by byte, fit for a primary key.
    pub name: &'static str,
    /// Whole numbers of 64 bits.
    pub number: &'static str,
    /// Text without a limit that matters.
    pub text: &'static str,
    /// What follows the closing parenthesis of CREATE TABLE.
    pub options: &'static str,
}
