//! What the plan decided about one table: everything that a worker needs to copy a piece of it.
//!
//! It is made once per run and kept in the target, so that all workers read and write the same columns however
//! the tables change meanwhile.

use super::piece::Piece;
use crate::db::{Engine, OnDuplicate};
use crate::schema::{Column, Table, TableName};
use serde::{Deserialize, Serialize};
use shanty_model::kind::db_sync::VerifyBy;

/// A column on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// In the source.
    pub source: Column,
    /// In the target.
    pub target: Column,
}

/// A table on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlan {
    /// Its number in the run.
    pub table: u32,
    /// Name in the source, with its schema.
    pub source: TableName,
    /// The source's engine.
    pub source_engine: EngineName,
    /// The target table as it is, or is to be made.
    pub target: Table,
    /// Columns to copy, in the target's order.
    pub columns: Vec<Pair>,
    /// Columns that identify a row; empty when nothing does.
    pub key: Vec<Pair>,
    /// Source columns by which its rows are ordered: the key, or a hidden row number; empty when nothing orders
    /// them.
    pub order: Vec<Column>,
    /// Whether that is the source's primary key, so that pages can be told to be read by it.
    pub primary: bool,
    /// Conditions in the source's SQL that all hold.
    pub filters: Vec<String>,
    /// The column by which changed rows are found.
    pub diff: Option<Pair>,
    /// What happens to a row whose key is in the target already.
    pub on_duplicate: Duplicate,
    /// Whether this run makes the target table.
    pub creates: bool,
    /// Whether the primary key of the table that is made is made after the rows.
    pub key_later: bool,
    /// Whether rows in the target are deleted before the copy.
    pub truncates: bool,
    /// Rows by the source's statistics.
    pub rows_estimated: Option<u64>,
    /// In which pieces it is compared.
    pub verify_by: VerifyBy,
    /// What the copy will not have.
    pub left_out: Vec<String>,
    /// The watermark that holds after this run; none for a full copy.
    pub watermark: Option<String>,
    /// Name under which the watermark is kept.
    pub stream: Option<String>,
    /// The watermark of the run before.
    pub since: Option<String>,
    /// What an incremental run copies; none for all of the table.
    pub window: Option<Vec<Piece>>,
}

/// An engine's name, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineName {
    /// MySQL, MariaDB, TiDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl From<Engine> for EngineName {
    fn from(engine: Engine) -> EngineName {
        match engine {
            Engine::Mysql => EngineName::Mysql,
            Engine::Postgres => EngineName::Postgres,
            Engine::Sqlite => EngineName::Sqlite,
        }
    }
}

/// What happens to a row whose key is in the target already, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicate {
    /// It is an error.
    Fail,
    /// The row there is replaced.
    Replace,
    /// The row there is replaced unless its `diff` column is newer.
    ReplaceOlder,
}

impl TablePlan {
    /// Takes over the native types of a table that the run made: its columns are planned by their kinds alone, and
    /// those stay.
    ///
    /// # Errors
    /// The name of a column that is not there.
    pub fn take_natives(&mut self, there: &Table) -> Result<(), String> {
        for pair in self.columns.iter_mut().chain(&mut self.key) {
            let column = there.column(&pair.target.name).ok_or_else(|| pair.target.name.clone())?;
            pair.target.native.clone_from(&column.native);
        }
        Ok(())
    }

    /// What a load is told about rows that are there already.
    #[must_use]
    pub fn on_duplicate(&self) -> OnDuplicate {
        let key = || self.key.iter().map(|pair| pair.target.name.clone()).collect();
        match self.on_duplicate {
            Duplicate::Fail => OnDuplicate::Fail,
            Duplicate::Replace => OnDuplicate::Replace { key: key(), newer: None },
            Duplicate::ReplaceOlder => OnDuplicate::Replace {
                key: key(),
                newer: self.diff.as_ref().map(|pair| pair.target.name.clone()),
            },
        }
    }
}
