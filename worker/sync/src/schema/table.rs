//! A table as its catalog describes it.

use super::Kind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Name of a table; without a schema it is looked for in the connection's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// Schema (PostgreSQL), database (MySQL), attached database (SQLite).
    pub schema: Option<String>,
    /// Name.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name as stored.
    pub name: String,
    /// Type as its server writes it, for example `int(10) unsigned`.
    pub native: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Computed by the database: never written.
    pub generated: bool,
    /// Numbered by the database when not given (AUTO_INCREMENT, identity, serial).
    pub auto: bool,
    /// Default in the engine's own SQL; none for none.
    pub default: Option<String>,
    /// Collation of text; none for the database's default or no text.
    pub collation: Option<String>,
}

/// A column of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexColumn {
    /// Name of the column.
    pub name: String,
    /// Only this many characters of it (MySQL).
    pub prefix: Option<u32>,
    /// Whether it is ordered downwards.
    pub descending: bool,
}

/// A secondary index over plain columns. Indexes over expressions and partial ones are not described here; they
/// are named in [`Table::left_out`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Name.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<IndexColumn>,
    /// Whether values are unique.
    pub unique: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Name with its schema.
    pub name: TableName,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// Columns of the primary key in the key's order; empty for none. SQLite tables without one but with a rowid
    /// still have none here; see `rowid`.
    pub primary_key: Vec<String>,
    /// Secondary indexes.
    pub indexes: Vec<Index>,
    /// Rows by the server's statistics; none when it does not know.
    pub rows: Option<u64>,
    /// Bytes of the rows by the server's statistics, out-of-line values included; none when unknown.
    pub bytes: Option<u64>,
    /// Whether it takes part in transactions (not MyISAM, Aria, MEMORY, CSV).
    pub transactional: bool,
    /// Whether it is a view.
    pub view: bool,
    /// What acts on rows as they are written, in words: triggers, row security, rules, foreign keys that
    /// other tables have on it with cascades.
    pub hindrances: Vec<String>,
    /// What a copy of it will not have, in words: expression indexes, checks, foreign keys.
    pub left_out: Vec<String>,
    /// Name under which SQLite's hidden row number can be selected; none elsewhere.
    pub rowid: Option<String>,
}

impl Table {
    /// The column of that name: exactly, or else the only one that differs in case alone.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name).or_else(|| {
            let mut alike = self.columns.iter().filter(|column| column.name.eq_ignore_ascii_case(name));
            alike.next().filter(|_| alike.next().is_none())
        })
    }
}
