//! A model of the store: the fence row, records with versions, results; batches done whole or not at all.
//!
//! ```text
//!   commit: fence looked at, shared lock ──work──► versions compared, done ──► answer, or nobody knows
//!   fence:  waits for the shared locks, raises the epoch
//! ```
//! In: batches under an epoch. Out: what the SQL store would answer. What is taken is checked at the instant of the commit.
//! Never: takes a batch in parts. Tests: with the simulation.

use super::fence::Fence;
use super::world::World;
use shanty_master::engine::Stored;
use shanty_master::store::{
    ActiveRun, AttemptRecord, CheckpointRecord, Error, JobRecord, Mutation, NodeRecord, RunRecord,
    SeriesRecord, ShardRecord,
};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, JobId, NodeId, RunId, ShardId};
use shanty_model::kind::Report;
use std::collections::BTreeMap;

/// The store.
#[derive(Debug)]
pub struct Store {
    /// Whether it answers.
    pub up: bool,
    /// Whether the outcome of one commit in this many is not told; 0 for none.
    pub ambiguous: u64,
    /// A commit may take this much longer, milliseconds.
    pub slow_ms: u64,
    /// The epoch that it was fenced with.
    pub epoch: Epoch,
    /// By which process.
    pub holder: String,
    /// Transactions that hold the shared lock on the fence row.
    pub readers: u32,
    /// Shards by name.
    pub shards: BTreeMap<ShardId, ShardRecord>,
    /// Runs by name.
    pub runs: BTreeMap<RunId, RunRecord>,
    /// Attempts by name.
    pub attempts: BTreeMap<AttemptId, AttemptRecord>,
    jobs: BTreeMap<JobId, JobRecord>,
    nodes: BTreeMap<NodeId, NodeRecord>,
    series: BTreeMap<(AttemptId, u64), SeriesRecord>,
    checkpoints: BTreeMap<ShardId, CheckpointRecord>,
    events: BTreeMap<RunId, u32>,
    last_node_event: u32,
}

impl Default for Store {
    fn default() -> Self {
        Store {
            up: true,
            ambiguous: 0,
            slow_ms: 0,
            epoch: Epoch::NONE,
            holder: String::new(),
            readers: 0,
            shards: BTreeMap::new(),
            runs: BTreeMap::new(),
            attempts: BTreeMap::new(),
            jobs: BTreeMap::new(),
            nodes: BTreeMap::new(),
            series: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            events: BTreeMap::new(),
            last_node_event: 0,
        }
    }
}

/// A row that has a version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Row<'b> {
    Job(&'b JobId),
    Run(&'b RunId),
    Shard(&'b ShardId),
    Attempt(&'b AttemptId),
    Event(&'b RunId),
    NodeEvent,
}

/// The row of a mutation, the version that it must have before, and then.
fn row(mutation: &Mutation) -> Option<(Row<'_>, u64, u64)> {
    Some(match mutation {
        Mutation::InsertJob(job) => (Row::Job(&job.id), 0, job.version),
        Mutation::UpdateJob(job) => (Row::Job(&job.id), job.version - 1, job.version),
        Mutation::InsertRun(run) => (Row::Run(&run.id), 0, run.version),
        Mutation::UpdateRun(run) => (Row::Run(&run.id), run.version - 1, run.version),
        Mutation::InsertShard(shard) => (Row::Shard(&shard.id), 0, shard.version),
        Mutation::UpdateShard(shard) => (Row::Shard(&shard.id), shard.version - 1, shard.version),
        Mutation::InsertAttempt(attempt) => (Row::Attempt(&attempt.id), 0, attempt.version),
        Mutation::UpdateAttempt(attempt) => (Row::Attempt(&attempt.id), attempt.version - 1, attempt.version),
        Mutation::AppendEvent(event) => {
            (Row::Event(&event.run), u64::from(event.sequence) - 1, u64::from(event.sequence))
        }
        Mutation::AppendNodeEvent(event) => {
            (Row::NodeEvent, u64::from(event.sequence) - 1, u64::from(event.sequence))
        }
        Mutation::AppendSeries(_)
        | Mutation::PutCheckpoint(_)
        | Mutation::DropSeries(_)
        | Mutation::RememberRequest(_)
        | Mutation::PutNode(_) => return None,
    })
}

impl Store {
    fn version(&self, row: &Row<'_>) -> u64 {
        match row {
            Row::Job(id) => self.jobs.get(*id).map_or(0, |job| job.version),
            Row::Run(id) => self.runs.get(*id).map_or(0, |run| run.version),
            Row::Shard(id) => self.shards.get(*id).map_or(0, |shard| shard.version),
            Row::Attempt(id) => self.attempts.get(*id).map_or(0, |attempt| attempt.version),
            Row::Event(run) => u64::from(self.events.get(*run).copied().unwrap_or(0)),
            Row::NodeEvent => u64::from(self.last_node_event),
        }
    }

    /// Whether every row is at the version that the batch expects.
    ///
    /// # Errors
    /// The first that is not.
    pub fn agrees(&self, batch: &[Mutation]) -> Result<(), Error> {
        let mut written: Vec<(Row<'_>, u64)> = Vec::new();
        for (row, before, then) in batch.iter().filter_map(row) {
            let in_batch = written.iter().rev().find(|(other, _)| *other == row).map(|(_, version)| *version);
            let stored = in_batch.unwrap_or_else(|| self.version(&row));
            if stored != before {
                return Err(Error::Conflict(format!("{row:?} is at {stored}, not {before}")));
            }
            written.push((row, then));
        }
        Ok(())
    }

    /// Whether the batch is what the store holds: the last row with a version decides.
    #[must_use]
    pub fn stands(&self, batch: &[Mutation]) -> bool {
        let last = batch.iter().rev().find(|mutation| row(mutation).is_some());
        last.is_none_or(|last| match last {
            Mutation::InsertJob(job) | Mutation::UpdateJob(job) => self.jobs.get(&job.id) == Some(job),
            Mutation::InsertRun(run) | Mutation::UpdateRun(run) => {
                self.runs.get(&run.id) == Some(run.as_ref())
            }
            Mutation::InsertShard(shard) | Mutation::UpdateShard(shard) => {
                self.shards.get(&shard.id) == Some(shard)
            }
            Mutation::InsertAttempt(attempt) | Mutation::UpdateAttempt(attempt) => {
                self.attempts.get(&attempt.id) == Some(attempt)
            }
            Mutation::AppendEvent(event) => self.events.get(&event.run) >= Some(&event.sequence),
            Mutation::AppendNodeEvent(event) => self.last_node_event >= event.sequence,
            _ => true,
        })
    }

    fn apply(&mut self, mutation: &Mutation) {
        match mutation {
            Mutation::InsertJob(job) | Mutation::UpdateJob(job) => {
                self.jobs.insert(job.id.clone(), job.clone());
            }
            Mutation::InsertRun(run) | Mutation::UpdateRun(run) => {
                self.runs.insert(run.id.clone(), run.as_ref().clone());
            }
            Mutation::InsertShard(shard) | Mutation::UpdateShard(shard) => {
                self.shards.insert(shard.id.clone(), shard.clone());
            }
            Mutation::InsertAttempt(attempt) | Mutation::UpdateAttempt(attempt) => {
                self.attempts.insert(attempt.id.clone(), attempt.clone());
            }
            Mutation::AppendEvent(event) => _ = self.events.insert(event.run.clone(), event.sequence),
            Mutation::AppendNodeEvent(event) => self.last_node_event = event.sequence,
            Mutation::AppendSeries(piece) => {
                let key = (piece.attempt.clone(), piece.sequence);
                self.series.entry(key).or_insert_with(|| piece.clone());
            }
            Mutation::PutCheckpoint(newest) => {
                self.checkpoints.insert(newest.attempt.shard.clone(), newest.clone());
            }
            Mutation::PutNode(node) => _ = self.nodes.insert(node.id.clone(), node.clone()),
            // Kept, to be looked at.
            Mutation::DropSeries(_) | Mutation::RememberRequest(_) => {}
        }
    }

    /// What a new leader reads.
    #[must_use]
    pub fn load(&self) -> Stored {
        let active = self.runs.values().filter(|run| !run.state.is_terminal());
        Stored {
            jobs: self.jobs.values().cloned().collect(),
            runs: active.map(|run| self.active(run)).collect(),
            nodes: self.nodes.values().cloned().collect(),
            last_node_event: self.last_node_event,
        }
    }

    fn active(&self, run: &RunRecord) -> ActiveRun {
        let (first, last) = bounds(&run.id);
        let shards: Vec<ShardRecord> =
            self.shards.range(first..=last).map(|(_, shard)| shard.clone()).collect();
        let newest = |shard: &ShardRecord| {
            self.attempts.get(&AttemptId { shard: shard.id.clone(), number: shard.attempt }).cloned()
        };
        let of_run = |attempt: &AttemptId| attempt.shard.run == run.id;
        ActiveRun {
            run: run.clone(),
            attempts: shards.iter().filter_map(newest).collect(),
            unread: self.newest_pieces(&run.id),
            checkpoints: self
                .checkpoints
                .values()
                .filter(|newest| of_run(&newest.attempt))
                .cloned()
                .collect(),
            shards,
        }
    }

    fn newest_pieces(&self, run: &RunId) -> Vec<(AttemptId, u64)> {
        let of_run = self.series.keys().filter(|(attempt, _)| attempt.shard.run == *run).cloned();
        of_run.collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    /// Up to `limit` pieces of results of a run after one of them.
    #[must_use]
    pub fn series_page(
        &self,
        run: &RunId,
        after: Option<&(AttemptId, u64)>,
        limit: usize,
    ) -> Vec<SeriesRecord> {
        let of_run = self.series.iter().filter(|((attempt, _), _)| attempt.shard.run == *run);
        let later = of_run.filter(|(key, _)| after.is_none_or(|after| *key > after));
        later.take(limit).map(|(_, piece)| piece.clone()).collect()
    }

    /// Whether results of an attempt still matter: its run goes on, and no later attempt has its shard.
    #[must_use]
    pub fn wants(&self, attempt: &AttemptId) -> bool {
        let goes_on = self.runs.get(&attempt.shard.run).is_some_and(|run| !run.state.is_terminal());
        let newest = self.shards.get(&attempt.shard).is_some_and(|shard| shard.attempt == attempt.number);
        let out = self.attempts.get(attempt).is_some_and(|record| record.outcome.is_empty());
        goes_on && newest && out
    }

    /// Number of the newest results of an attempt.
    #[must_use]
    pub fn newest_result(&self, attempt: &AttemptId) -> u64 {
        let series = self.series.range((attempt.clone(), 0)..=(attempt.clone(), u64::MAX)).next_back();
        let checkpoint = self.checkpoints.get(&attempt.shard).filter(|newest| newest.attempt == *attempt);
        let newest = series.map(|((_, sequence), _)| *sequence);
        newest.max(checkpoint.map(|newest| newest.sequence)).unwrap_or(0)
    }

    /// What a run's report says was done; none without one.
    #[must_use]
    pub fn reported(&self, run: &RunId) -> Option<u64> {
        match self.runs.get(run)?.report.as_ref()? {
            Report::HttpLoad(report) => Some(report.sent),
            Report::DbSync(report) => Some(report.rows),
        }
    }

    /// The results of a run that count.
    #[must_use]
    pub fn results(&self, run: &RunId) -> Vec<(AttemptId, u64)> {
        let series = self.series.keys().filter(|(attempt, _)| attempt.shard.run == *run).cloned();
        let (first, last) = bounds(run);
        let newest = self.checkpoints.range(first..=last);
        series.chain(newest.map(|(_, newest)| (newest.attempt.clone(), newest.sequence))).collect()
    }
}

fn bounds(run: &RunId) -> (ShardId, ShardId) {
    (ShardId { run: run.clone(), index: 0 }, ShardId { run: run.clone(), index: u32::MAX })
}

impl World {
    /// A transaction is at its commit. Checks what it does.
    pub(super) fn commit(&mut self, by: &str, epoch: Epoch, batch: &[Mutation]) {
        if epoch != self.store.epoch {
            self.violate(
                "I3",
                format!("the store is at {} and takes a batch of {by} in {epoch}", self.store.epoch),
            );
        }
        for mutation in batch {
            let is_new = match mutation {
                Mutation::AppendSeries(piece) => {
                    !self.store.series.contains_key(&(piece.attempt.clone(), piece.sequence))
                }
                _ => true,
            };
            self.store.apply(mutation);
            if let Mutation::InsertAttempt(attempt) = mutation {
                self.tell(&format!("{by} stores {} on {}", attempt.id, attempt.node));
            }
            if let Mutation::UpdateRun(run) = mutation
                && run.state.is_terminal()
            {
                self.tell(&format!("{by} stores {} {}", run.id, run.state.name()));
            }
            if !is_new {
                continue;
            }
            match mutation {
                Mutation::AppendSeries(piece) => {
                    let node = piece.node.to_string();
                    self.check_results(&piece.attempt, &node, piece.sequence, &piece.partial);
                }
                Mutation::PutCheckpoint(newest) => {
                    let node = newest.node.to_string();
                    self.check_results(&newest.attempt, &node, newest.sequence, &newest.partial);
                }
                _ => {}
            }
        }
        for mutation in batch {
            match mutation {
                Mutation::InsertAttempt(attempt) => self.check_attempts(&attempt.id.shard),
                Mutation::UpdateRun(run) if run.state.is_terminal() => self.check_report(&run.id),
                _ => {}
            }
        }
    }

    /// Whether a transaction of `epoch` may begin, and takes the shared lock on the fence row.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::Conflict`].
    pub(super) fn begin_commit(&mut self, epoch: Epoch, batch: &[Mutation]) -> Result<(), Error> {
        if epoch != self.store.epoch && self.fences.has(Fence::StoreEpoch) {
            return Err(Error::Fenced { stored: self.store.epoch, mine: epoch });
        }
        self.store.agrees(batch)?;
        if self.fences.has(Fence::StoreLock) {
            self.store.readers += 1;
        }
        Ok(())
    }

    /// The lock is given back.
    pub(super) fn end_commit(&mut self) {
        self.store.readers = self.store.readers.saturating_sub(1);
    }
}
