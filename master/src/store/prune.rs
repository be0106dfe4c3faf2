//! Pruning: history goes when its retention is over, in pieces so small that nobody waits for them.
//!
//! In: a mandate, the time, a [`Retention`]. Out: how much went. Never: touches a run that has not ended.
//! Tests: the conformance suite.

use super::read::in_states;
use super::row::run_key;
use super::transaction::Transaction;
use super::value::{Fields, Value, int, text};
use super::{Error, Retention, Store};
use crate::election::Mandate;
use shanty_model::epoch::Epoch;
use shanty_model::id::RunId;
use shanty_model::state::RunState;
use std::time::Duration;

/// Rows that go in one transaction.
const PIECE: u32 = 500;
/// Transactions of one call; the rest is for the next.
const PIECES: u32 = 400;
/// A piece is over within this time, or undone.
const PATIENCE: Duration = Duration::from_secs(5);
const DAY_MS: i64 = 24 * 3600 * 1000;

/// How much went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Runs, with their shards and attempts.
    pub runs: u64,
    /// Events of runs.
    pub events: u64,
    /// Pieces of results, those of dropped series too.
    pub series: u64,
    /// Answered requests.
    pub requests: u64,
    /// Node events.
    pub node_events: u64,
    /// Whether there is more to do at once.
    pub more: bool,
}

/// One call's work.
struct Pruning<'s> {
    store: &'s Store,
    epoch: Epoch,
    pieces_left: u32,
    pruned: Pruned,
}

impl Store {
    /// Removes history whose retention is over, up to a bound per call (some seconds of work): call it again
    /// while [`Pruned::more`]. Requests are kept for a day at least.
    ///
    /// # Errors
    /// As [`Store::commit`]; what went before the error is gone.
    pub async fn prune(
        &self,
        mandate: &Mandate<'_>,
        now_ms: i64,
        retention: Retention,
    ) -> Result<Pruned, Error> {
        let epoch = mandate.epoch();
        let mut pruning = Pruning { store: self, epoch, pieces_left: PIECES, pruned: Pruned::default() };
        pruning.dropped_series().await?;
        pruning.old_runs(now_ms.saturating_sub(retention.run_age_ms)).await?;
        pruning.surplus_runs(retention.runs_per_job).await?;
        pruning.requests(now_ms.saturating_sub(retention.request_age_ms.max(DAY_MS))).await?;
        pruning.node_events(retention.node_events).await?;
        pruning.pruned.more = pruning.pieces_left == 0;
        Ok(pruning.pruned)
    }
}

impl Pruning<'_> {
    /// Carries out statements in one transaction. Answers how many rows the last one touched.
    async fn piece(&mut self, statements: Vec<(&str, Vec<Value>)>) -> Result<u64, Error> {
        self.pieces_left = self.pieces_left.saturating_sub(1);
        let mut transaction = Transaction::begin(self.store, PATIENCE).await?;
        let done = async {
            transaction.check_fence(self.epoch).await?;
            let mut touched = 0;
            for (statement, values) in statements {
                touched = transaction.run("prune", statement, values).await?;
            }
            Ok(touched)
        }
        .await;
        match done {
            Ok(touched) => transaction.commit().await.map(|()| touched),
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    async fn ids(&self, statement: &str, values: Vec<Value>) -> Result<Vec<RunId>, Error> {
        let rows = self.store.rows("run", statement, values).await?;
        rows.iter().map(|row| Fields::new(row, "run").run_id()).collect()
    }

    async fn dropped_series(&mut self) -> Result<(), Error> {
        let statement = "SELECT job, number FROM run WHERE series_dropped = 1 ORDER BY job, number LIMIT ?";
        for run in self.ids(statement, vec![int(PIECE)]).await? {
            if !self.series(&run).await? {
                return Ok(());
            }
            // 2: nothing is left to remove; late pieces stay hidden and go with the run.
            let statement = "UPDATE run SET series_dropped = 2 WHERE job = ? AND number = ?";
            self.piece(vec![(statement, run_key(&run))]).await?;
        }
        Ok(())
    }

    /// Removes a run's pieces of results and its checkpoints. Answers whether all are gone.
    async fn series(&mut self, run: &RunId) -> Result<bool, Error> {
        while self.pieces_left > 0 {
            let mut values = run_key(run);
            values.push(int(PIECE - 1));
            let bound = "SELECT shard, attempt, sequence FROM series WHERE job = ? AND number = ? \
                 ORDER BY shard, attempt, sequence LIMIT 1 OFFSET ?";
            let rows = self.store.rows("series", bound, values).await?;
            let Some(row) = rows.first() else {
                let rest = vec![
                    ("DELETE FROM checkpoint WHERE job = ? AND number = ?", run_key(run)),
                    ("DELETE FROM series WHERE job = ? AND number = ?", run_key(run)),
                ];
                self.pruned.series += self.piece(rest).await?;
                return Ok(true);
            };
            let mut fields = Fields::new(row, "series");
            let (shard, attempt, sequence) = (fields.int()?, fields.int()?, fields.int()?);
            let statement = "DELETE FROM series WHERE job = ? AND number = ? AND (shard < ? OR (shard = ? AND \
                 (attempt < ? OR (attempt = ? AND sequence <= ?))))";
            let mut values = run_key(run);
            values.extend([int(shard), int(shard), int(attempt), int(attempt), int(sequence)]);
            self.pruned.series += self.piece(vec![(statement, values)]).await?;
        }
        Ok(false)
    }

    /// Removes a run's events. Answers whether all are gone.
    async fn events(&mut self, run: &RunId) -> Result<bool, Error> {
        while self.pieces_left > 0 {
            let first =
                "SELECT sequence FROM run_event WHERE job = ? AND number = ? ORDER BY sequence LIMIT 1";
            let rows = self.store.rows("run_event", first, run_key(run)).await?;
            let Some(row) = rows.first() else { return Ok(true) };
            let to = Fields::new(row, "run_event").int()?.saturating_add(i64::from(PIECE));
            let mut values = run_key(run);
            values.push(int(to));
            let statement = "DELETE FROM run_event WHERE job = ? AND number = ? AND sequence < ?";
            self.pruned.events += self.piece(vec![(statement, values)]).await?;
        }
        Ok(false)
    }

    /// Removes a run with all that belongs to it, the run itself last, so that what is left after a crash is
    /// found again.
    async fn run(&mut self, run: &RunId) -> Result<(), Error> {
        if self.series(run).await? && self.events(run).await? && self.pieces_left > 0 {
            let key = || run_key(run);
            self.pruned.runs += self
                .piece(vec![
                    ("DELETE FROM attempt WHERE job = ? AND number = ?", key()),
                    ("DELETE FROM shard WHERE job = ? AND number = ?", key()),
                    ("DELETE FROM run WHERE job = ? AND number = ?", key()),
                ])
                .await?;
        }
        Ok(())
    }

    async fn old_runs(&mut self, before_ms: i64) -> Result<(), Error> {
        let (is_ended, states) = in_states(RunState::ALL.into_iter().filter(|state| state.is_terminal()));
        let statement = format!(
            "SELECT job, number FROM run WHERE {is_ended} AND create_ms < ? AND COALESCE(end_ms, create_ms) < ? \
             ORDER BY create_ms LIMIT ?"
        );
        let mut values = states;
        values.extend([int(before_ms), int(before_ms), int(PIECE)]);
        for run in self.ids(&statement, values).await? {
            self.run(&run).await?;
        }
        Ok(())
    }

    async fn surplus_runs(&mut self, keep: u32) -> Result<(), Error> {
        let (is_ended, states) = in_states(RunState::ALL.into_iter().filter(|state| state.is_terminal()));
        let statement = format!(
            "SELECT job, COUNT(*) FROM run WHERE {is_ended} GROUP BY job HAVING COUNT(*) > ? ORDER BY job"
        );
        let mut values = states.clone();
        values.push(int(keep));
        for row in self.store.rows("run", &statement, values).await? {
            let job = Fields::new(&row, "run").text()?;
            let statement = format!(
                "SELECT job, number FROM run WHERE job = ? AND {is_ended} ORDER BY number DESC LIMIT ? OFFSET ?"
            );
            let mut values = vec![text(job)];
            values.extend(states.iter().cloned());
            values.extend([int(PIECE), int(keep)]);
            for run in self.ids(&statement, values).await? {
                self.run(&run).await?;
            }
        }
        Ok(())
    }

    async fn requests(&mut self, before_ms: i64) -> Result<(), Error> {
        while self.pieces_left > 0 {
            let bound =
                "SELECT time_ms FROM request_dedupe WHERE time_ms < ? ORDER BY time_ms LIMIT 1 OFFSET ?";
            let rows = self.store.rows("request", bound, vec![int(before_ms), int(PIECE - 1)]).await?;
            let to = rows.first().map(|row| Fields::new(row, "request").int()).transpose()?;
            let statement = "DELETE FROM request_dedupe WHERE time_ms < ?";
            let end = to.map_or(before_ms, |to| to.saturating_add(1));
            self.pruned.requests += self.piece(vec![(statement, vec![int(end)])]).await?;
            if to.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn node_events(&mut self, keep: u32) -> Result<(), Error> {
        let last = i64::from(self.store.last_node_event().await?).saturating_sub(i64::from(keep));
        while self.pieces_left > 0 {
            let first = "SELECT sequence FROM node_event WHERE sequence <= ? ORDER BY sequence LIMIT 1";
            let rows = self.store.rows("node_event", first, vec![int(last)]).await?;
            let Some(row) = rows.first() else { return Ok(()) };
            let to = Fields::new(row, "node_event").int()?.saturating_add(i64::from(PIECE)).min(last + 1);
            let statement = "DELETE FROM node_event WHERE sequence < ?";
            self.pruned.node_events += self.piece(vec![(statement, vec![int(to)])]).await?;
        }
        Ok(())
    }
}
