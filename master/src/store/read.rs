//! Reads: what the store holds. They need no mandate: any master answers from it.
//!
//! In: names, filters, places to go on from. Out: records. Large results are read in pages.
//! Tests: the conformance suite.

use super::error::trouble;
use super::row::run_key;
use super::transaction::in_time;
use super::value::{Fields, Record, Value, arguments, int, text};
use super::{
    AttemptRecord, CheckpointRecord, Error, EventRecord, JobRecord, NodeEventRecord, NodeRecord,
    RequestRecord, RunFilter, RunRecord, SeriesRecord, ShardRecord, Store,
};
use shanty_model::id::{AttemptId, JobId, RunId};
use shanty_model::state::RunState;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Executor as _};
use std::time::Duration;
use tokio::time::Instant;

/// A read that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A place in a list of runs: the last one seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCursor {
    /// Its `create_ms`.
    pub create_ms: i64,
    /// Its name.
    pub id: RunId,
}

impl From<&RunRecord> for RunCursor {
    fn from(run: &RunRecord) -> RunCursor {
        RunCursor { create_ms: run.create_ms, id: run.id.clone() }
    }
}

/// `state IN (?, …)` and its values.
pub(super) fn in_states(states: impl IntoIterator<Item = RunState>) -> (String, Vec<Value>) {
    let values: Vec<Value> = states.into_iter().map(|state| text(state.name())).collect();
    (format!("state IN ({})", vec!["?"; values.len()].join(", ")), values)
}

/// All functions fail with [`Error::Unavailable`] when the database does not answer within 10 s and with
/// [`Error::Corrupt`] when a row makes no sense; a name that is not there is none or empty.
#[expect(clippy::missing_errors_doc, reason = "said once for all of them above")]
impl Store {
    pub(super) async fn rows(
        &self,
        what: &str,
        statement: &str,
        values: Vec<Value>,
    ) -> Result<Vec<AnyRow>, Error> {
        let statement = AssertSqlSafe(self.dialect.with_placeholders(statement));
        let query = sqlx::query_with(statement, arguments(values)?);
        in_time(Instant::now() + PATIENCE, what, async {
            self.pool.fetch_all(query).await.map_err(|error| trouble(what, error))
        })
        .await
    }

    /// The records of a table for which `tail` (WHERE, ORDER BY, LIMIT) holds.
    pub(super) async fn select<R: Record>(&self, tail: &str, values: Vec<Value>) -> Result<Vec<R>, Error> {
        let statement = format!("SELECT {} FROM {} {tail}", R::COLUMNS.join(", "), R::TABLE);
        let rows = self.rows(R::TABLE, &statement, values).await?;
        rows.iter().map(|row| R::read(&mut Fields::new(row, R::TABLE))).collect()
    }

    async fn select_one<R: Record>(&self, tail: &str, values: Vec<Value>) -> Result<Option<R>, Error> {
        Ok(self.select(tail, values).await?.pop())
    }

    /// A run.
    pub async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, Error> {
        self.select_one("WHERE job = ? AND number = ?", run_key(id)).await
    }

    /// Up to `limit` runs, newest first, after the one at `after`.
    pub async fn runs(
        &self,
        filter: &RunFilter,
        after: Option<&RunCursor>,
        limit: u32,
    ) -> Result<Vec<RunRecord>, Error> {
        let mut conditions = vec!["1 = 1".to_owned()];
        let mut values = Vec::new();
        if let Some(job) = &filter.job {
            conditions.push("job = ?".to_owned());
            values.push(text(job));
        }
        if !filter.states.is_empty() {
            let (condition, states) = in_states(filter.states.iter().copied());
            conditions.push(condition);
            values.extend(states);
        }
        if let Some(after) = after {
            conditions
                .push("create_ms <= ? AND (create_ms < ? OR job < ? OR (job = ? AND number < ?))".to_owned());
            values.extend([
                int(after.create_ms),
                int(after.create_ms),
                text(&after.id.job),
                text(&after.id.job),
                int(after.id.number),
            ]);
        }
        values.push(int(limit));
        let tail = format!(
            "WHERE {} ORDER BY create_ms DESC, job DESC, number DESC LIMIT ?",
            conditions.join(" AND ")
        );
        self.select(&tail, values).await
    }

    /// A job, removed ones too.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobRecord>, Error> {
        self.select_one("WHERE id = ?", vec![text(id)]).await
    }

    /// Every job, removed ones too: what a new leader holds.
    pub async fn all_jobs(&self) -> Result<Vec<JobRecord>, Error> {
        self.select("ORDER BY id", Vec::new()).await
    }

    /// Up to `limit` jobs that are not removed, by name, after `after`.
    pub async fn jobs(&self, after: Option<&JobId>, limit: u32) -> Result<Vec<JobRecord>, Error> {
        let after = after.map_or("", JobId::as_str);
        self.select("WHERE deleted = 0 AND id > ? ORDER BY id LIMIT ?", vec![text(after), int(limit)]).await
    }

    /// Up to `limit` shards of a run by index, after `after_index`.
    pub async fn shards(
        &self,
        run: &RunId,
        after_index: Option<u32>,
        limit: u32,
    ) -> Result<Vec<ShardRecord>, Error> {
        let mut values = run_key(run);
        values.extend([int(after_index.map_or(-1, i64::from)), int(limit)]);
        self.select("WHERE job = ? AND number = ? AND shard > ? ORDER BY shard LIMIT ?", values).await
    }

    /// All attempts of a run, by shard and number.
    pub async fn attempts(&self, run: &RunId) -> Result<Vec<AttemptRecord>, Error> {
        self.select("WHERE job = ? AND number = ? ORDER BY shard, attempt", run_key(run)).await
    }

    /// Up to `limit` events of a run after `after_sequence`.
    pub async fn events(
        &self,
        run: &RunId,
        after_sequence: u32,
        limit: u32,
    ) -> Result<Vec<EventRecord>, Error> {
        let mut values = run_key(run);
        values.extend([int(after_sequence), int(limit)]);
        self.select("WHERE job = ? AND number = ? AND sequence > ? ORDER BY sequence LIMIT ?", values).await
    }

    /// All pieces of results of a run, by attempt and number; none once they were dropped.
    pub async fn series(&self, run: &RunId) -> Result<Vec<SeriesRecord>, Error> {
        if self.are_results_dropped(run).await? {
            return Ok(Vec::new());
        }
        self.select("WHERE job = ? AND number = ? ORDER BY shard, attempt, sequence", run_key(run)).await
    }

    /// Up to `limit` pieces of results of one attempt that are numbered `from..=through`, in their order, dropped ones too.
    /// Bounded by the primary key on both ends: however many there are, a page costs what is on it.
    pub async fn series_of(
        &self,
        attempt: &AttemptId,
        from: u64,
        through: u64,
        limit: u32,
    ) -> Result<Vec<SeriesRecord>, Error> {
        let sequence = |sequence: u64| int(i64::try_from(sequence).unwrap_or(i64::MAX));
        let mut values = run_key(&attempt.shard.run);
        values.extend([int(attempt.shard.index), int(attempt.number)]);
        values.extend([sequence(from), sequence(through), int(limit)]);
        let tail = "WHERE job = ? AND number = ? AND shard = ? AND attempt = ? AND sequence >= ? AND sequence <= ? \
                    ORDER BY sequence LIMIT ?";
        self.select(tail, values).await
    }

    /// The newest results of each shard of a run that has some, by index; none once they were dropped.
    pub async fn checkpoints(&self, run: &RunId) -> Result<Vec<CheckpointRecord>, Error> {
        if self.are_results_dropped(run).await? {
            return Ok(Vec::new());
        }
        self.select("WHERE job = ? AND number = ? ORDER BY shard", run_key(run)).await
    }

    async fn are_results_dropped(&self, run: &RunId) -> Result<bool, Error> {
        let dropped = "SELECT series_dropped FROM run WHERE job = ? AND number = ?";
        let rows = self.rows("run", dropped, run_key(run)).await?;
        rows.first().map_or(Ok(false), |row| Ok(Fields::new(row, "run").int()? != 0))
    }

    /// An answered request.
    pub async fn request(&self, id: &str) -> Result<Option<RequestRecord>, Error> {
        self.select_one("WHERE id = ?", vec![text(id)]).await
    }

    /// Up to `limit` node events after the one numbered `after`.
    pub async fn node_events(&self, after: u32, limit: u32) -> Result<Vec<NodeEventRecord>, Error> {
        self.select("WHERE sequence > ? ORDER BY sequence LIMIT ?", vec![int(after), int(limit)]).await
    }

    /// Number of the newest node event; 0 before the first.
    pub async fn last_node_event(&self) -> Result<u32, Error> {
        let newest = "SELECT sequence FROM node_event ORDER BY sequence DESC LIMIT 1";
        let rows = self.rows("node event", newest, vec![]).await?;
        rows.first().map_or(Ok(0), |row| Fields::new(row, "node_event").number())
    }

    /// What is kept about nodes, by name.
    pub async fn nodes(&self) -> Result<Vec<NodeRecord>, Error> {
        self.select("ORDER BY id", vec![]).await
    }
}
