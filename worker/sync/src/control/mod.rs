//! The state of a sync, kept in the target beside the rows: the truth about what was written.
//!
//! ```text
//!  shanty_sync_table   one row per table of a run: what the plan decided
//!  shanty_sync_shard   one row per shard: whose it is, where its copy stands
//!  shanty_sync_mark    one row per incremental sync: its watermark
//!  shanty_sync_reject  rows that the target refused
//! ```
//! A page is one transaction: the shard's row is moved on first, if it is still ours; then the rows are
//! written; then both are committed. So rows and position cannot part, whatever dies; and who was overtaken
//! finds the row moved and writes nothing.
//!
//! `attempt` is the number of the attempt that holds the shard; it only grows. `seq` grows with every
//! change, so that a transaction of the same attempt over an older connection fails as well.
//!
//! In: a run's name, steps, pieces. Out: shards held, [`SyncError::Fenced`]. Never: a row without its position.
//! Tests: `worker/sync/tests/databases/`, on all engines.

mod shard;
mod statement;
mod tables;

pub use shard::{Held, Position};

use crate::db::Connection;
use crate::error::{Doing, SyncError};
use crate::plan::{Piece, TablePlan};
use shanty_model::kind::db_sync::Step;
use statement::Statements;

/// Names of the tables that hold the state of syncs.
pub const TABLES: [&str; 4] =
    ["shanty_sync_table", "shanty_sync_shard", "shanty_sync_mark", "shanty_sync_reject"];

/// The state of one run.
#[derive(Debug, Clone)]
pub struct Control {
    run: String,
}

/// A shard as the state has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What it does.
    pub step: Step,
    /// Rows thought to be in it when it was made.
    pub size: u64,
    /// Whether it is done.
    pub done: bool,
    /// What the step keeps for itself.
    pub detail: String,
}

impl Control {
    /// The state of the run of this name that began at `start_unix_ns`: a name used again by another
    /// cluster, or after the master's store was made anew, is another run.
    #[must_use]
    pub fn new(run: &str, start_unix_ns: i64) -> Control {
        Control { run: format!("{run}@{start_unix_ns:x}") }
    }

    fn statements<'a>(&'a self, target: &dyn Connection) -> Statements<'a> {
        Statements { dialect: target.dialect(), run: &self.run }
    }

    /// Makes the tables if they are missing.
    ///
    /// # Errors
    /// The database's.
    pub async fn prepare(&self, target: &mut dyn Connection) -> Result<(), SyncError> {
        for sql in self.statements(target).create() {
            // Two workers may make them at once; the second one finds them.
            if target.execute(&sql).await.is_err() {
                target
                    .execute(&sql)
                    .await
                    .doing("making the tables that keep the state of syncs in the target")?;
            }
        }
        Ok(())
    }

    /// Keeps what the plan decided about a table; what is kept already stays.
    ///
    /// # Errors
    /// The database's.
    pub async fn put_table(&self, target: &mut dyn Connection, plan: &TablePlan) -> Result<(), SyncError> {
        let json = serde_json::to_string(plan).map_err(|error| SyncError::permanent(error.to_string()))?;
        let sql = self.statements(target).insert_table(plan.table, &json);
        target.execute(&sql).await.doing("keeping the plan of a table in the target")?;
        Ok(())
    }

    /// The statement that puts a table's plan in the place of the one that is kept.
    ///
    /// # Errors
    /// When the plan cannot be written down.
    pub fn replace_table(&self, target: &dyn Connection, plan: &TablePlan) -> Result<String, SyncError> {
        let json = serde_json::to_string(plan).map_err(|error| SyncError::permanent(error.to_string()))?;
        Ok(self.statements(target).update_table(plan.table, &json))
    }

    /// The plans of all tables, by number.
    ///
    /// # Errors
    /// The database's.
    pub async fn tables(&self, target: &mut dyn Connection) -> Result<Vec<TablePlan>, SyncError> {
        let sql = self.statements(target).select_tables();
        let rows = target.query(&sql).await.doing("reading the plans of the tables in the target")?;
        rows.iter().map(tables::parse).collect()
    }

    /// The plan of one table.
    ///
    /// # Errors
    /// The database's; `Permanent` when there is none.
    pub async fn table(&self, target: &mut dyn Connection, table: u32) -> Result<TablePlan, SyncError> {
        let sql = self.statements(target).select_table(table);
        let rows = target.query(&sql).await.doing("reading the plan of a table in the target")?;
        rows.first().map_or_else(|| Err(missing(&self.run, &format!("table {table}"))), tables::parse)
    }

    /// The statement that makes the row of a shard, for a transaction that does more.
    #[must_use]
    pub fn add(&self, target: &dyn Connection, step: Step, piece: &Piece, size: u64) -> String {
        self.statements(target).insert_shard(step, piece, size)
    }

    /// All shards with a row.
    ///
    /// # Errors
    /// The database's.
    pub async fn shards(&self, target: &mut dyn Connection) -> Result<Vec<Known>, SyncError> {
        let sql = self.statements(target).select_shards();
        let rows = target.query(&sql).await.doing("reading the shards in the target")?;
        rows.iter().map(shard::parse_known).collect()
    }

    /// Where a shard stands.
    ///
    /// # Errors
    /// The database's; `Permanent` when there is no such shard.
    pub async fn position(&self, target: &mut dyn Connection, step: Step) -> Result<Position, SyncError> {
        let sql = self.statements(target).select_shard(step);
        let rows = target.query(&sql).await.doing("reading a shard in the target")?;
        let row = rows.first().ok_or_else(|| missing(&self.run, &step.to_string()))?;
        shard::parse(row)
    }

    /// A watermark that an earlier run left.
    ///
    /// # Errors
    /// The database's.
    pub async fn mark(&self, target: &mut dyn Connection, stream: &str) -> Result<Option<String>, SyncError> {
        let sql = self.statements(target).select_mark(stream);
        let rows = target.query(&sql).await.doing("reading the watermark in the target")?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// The statements that set a watermark, for a transaction that does more.
    #[must_use]
    pub fn set_mark(&self, target: &dyn Connection, stream: &str, watermark: &str) -> Vec<String> {
        self.statements(target).put_mark(stream, watermark)
    }

    /// The statement that keeps a refused row, for the transaction of its page.
    #[must_use]
    pub fn reject(&self, target: &dyn Connection, rejected: &Rejected<'_>) -> String {
        self.statements(target).insert_reject(rejected)
    }

    /// Keys of the rows that the copy of a table, or of one part of it, has put aside.
    ///
    /// # Errors
    /// The database's.
    pub async fn rejected(
        &self,
        target: &mut dyn Connection,
        table: u32,
        part: Option<u32>,
    ) -> Result<Vec<String>, SyncError> {
        let sql = self.statements(target).select_rejected(table, part);
        let rows = target.query(&sql).await.doing("reading which rows were put aside in the target")?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    /// Removes the state of the run; watermarks and refused rows stay.
    ///
    /// # Errors
    /// The database's.
    pub async fn close(&self, target: &mut dyn Connection) -> Result<(), SyncError> {
        for sql in self.statements(target).delete_run() {
            target.execute(&sql).await.doing("removing the state of the sync from the target")?;
        }
        Ok(())
    }
}

/// A row that the target refused.
#[derive(Debug, Clone, Copy)]
pub struct Rejected<'a> {
    /// The shard.
    pub step: Step,
    /// Number of the row among the shard's refused ones.
    pub number: u64,
    /// The target table.
    pub table: &'a str,
    /// Its key.
    pub key: &'a str,
    /// The target's words.
    pub reason: &'a str,
    /// md5 of the row as it was to be written, in hex.
    pub digest: &'a str,
}

fn missing(run: &str, what: &str) -> SyncError {
    SyncError::permanent(format!(
        "the target holds no state for {what} of run {run}: is the target's connection the same database on every \
         worker? A file (SQLite) must be on the worker that planned"
    ))
}
