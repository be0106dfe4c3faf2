//! Commits: batches of mutations, each one transaction under the fence.
//!
//! In: a mandate and a batch. Out: done whole, or not at all; or nobody knows, and then [`Store::recommit`]
//! finds out. Never: decides what a conflict means.
//! Tests: the conformance suite.

use super::row::run_key;
use super::transaction::Transaction;
use super::value::Record;
use super::{AttemptRecord, CheckpointRecord, Error, Mutation, NodeRecord, SeriesRecord, ShardRecord, Store};
use crate::election::Mandate;
use shanty_model::epoch::Epoch;
use shanty_model::id::ShardId;
use std::collections::BTreeMap;
use std::time::Duration;

/// A transaction of a master is over within this time, or undone. The locks it waits for are given up after
/// 1 s by the database.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a batch was not done, and whether that is sure.
struct Failure {
    error: Error,
    is_sure: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, is_sure: true }
    }
}

impl Store {
    /// Does the whole batch under the mandate's epoch, or nothing of it.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the store is at another epoch: stop leading. [`Error::Conflict`] when a row is
    /// not at the version expected, or a name is taken; the text names the row. [`Error::Unavailable`] when
    /// the database did not do it in time: nobody knows, so the batch goes to [`Store::recommit`] next.
    pub async fn commit(&self, mandate: &Mandate<'_>, batch: &[Mutation]) -> Result<(), Error> {
        match self.attempt(mandate.epoch(), batch).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.is_sure => Err(failure.error),
            Err(failure) => {
                tracing::warn!(error = %failure.error, "commit without an answer, asking again");
                self.recommit(mandate, batch).await
            }
        }
    }

    /// Does a batch whose commit came back unavailable: if it was done after all, that is seen from its rows
    /// and is success.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn recommit(&self, mandate: &Mandate<'_>, batch: &[Mutation]) -> Result<(), Error> {
        match self.attempt(mandate.epoch(), batch).await {
            Ok(()) => Ok(()),
            // An earlier transaction still under way has been waited for: the row locks are its own.
            Err(Failure { error: Error::Conflict(why), .. }) => {
                if self.stands(batch).await? {
                    Ok(())
                } else {
                    Err(Error::Conflict(why))
                }
            }
            Err(failure) => Err(failure.error),
        }
    }

    async fn attempt(&self, epoch: Epoch, batch: &[Mutation]) -> Result<(), Failure> {
        let mut transaction = Transaction::begin(self, PATIENCE).await?;
        if let Err(error) = write(&mut transaction, self, epoch, batch).await {
            transaction.rollback().await;
            return Err(error.into());
        }
        transaction.commit().await.map_err(|error| Failure { error, is_sure: false })
    }

    /// Whether the batch is what the store holds. The last mutation of a row decides for all, as a batch is
    /// done whole.
    async fn stands(&self, batch: &[Mutation]) -> Result<bool, Error> {
        for mutation in batch.iter().rev() {
            return match mutation {
                Mutation::InsertJob(job) | Mutation::UpdateJob(job) => self.holds(job).await,
                Mutation::InsertRun(run) | Mutation::UpdateRun(run) => self.holds(run.as_ref()).await,
                Mutation::InsertShard(shard) | Mutation::UpdateShard(shard) => self.holds(shard).await,
                Mutation::InsertAttempt(attempt) | Mutation::UpdateAttempt(attempt) => {
                    self.holds(attempt).await
                }
                Mutation::AppendEvent(event) => self.holds(event).await,
                Mutation::RememberRequest(request) => self.holds(request).await,
                Mutation::AppendNodeEvent(event) => self.holds(event).await,
                // These do no harm twice and say nothing.
                Mutation::AppendSeries(_)
                | Mutation::PutCheckpoint(_)
                | Mutation::DropSeries(_)
                | Mutation::PutNode(_) => continue,
            };
        }
        Ok(true)
    }

    /// Whether the store holds exactly this record.
    async fn holds<R: Record>(&self, record: &R) -> Result<bool, Error> {
        let mut wanted = record.values()?;
        let keys = R::COLUMNS.get(..R::KEYS).unwrap_or_default().join(" = ? AND ");
        let key = wanted.iter().take(R::KEYS).cloned().collect();
        let found: Vec<R> = self.select(&format!("WHERE {keys} = ?"), key).await?;
        match found.first() {
            None => Ok(false),
            Some(found) => {
                let mut stored = found.values()?;
                Ok(stored.drain(..).eq(wanted.drain(..)))
            }
        }
    }
}

/// Inserts that wait to go together in one statement.
#[derive(Default)]
struct Pending<'b> {
    shards: Vec<&'b ShardRecord>,
    attempts: Vec<&'b AttemptRecord>,
}

impl Pending<'_> {
    async fn flush(&mut self, transaction: &mut Transaction) -> Result<(), Error> {
        transaction.insert(&std::mem::take(&mut self.shards), "").await?;
        transaction.insert(&std::mem::take(&mut self.attempts), "").await
    }
}

/// All mutations. Those of rows with a version are done in the order of the batch; what is only appended
/// goes last, many rows in one statement.
async fn write(
    transaction: &mut Transaction,
    store: &Store,
    epoch: Epoch,
    batch: &[Mutation],
) -> Result<(), Error> {
    transaction.check_fence(epoch).await?;
    let mut pending = Pending::default();
    let (mut events, mut node_events, mut series) = (Vec::new(), Vec::new(), Vec::new());
    // One statement sets a row once: the last of a shard counts.
    let mut checkpoints: BTreeMap<&ShardId, &CheckpointRecord> = BTreeMap::new();
    for mutation in batch {
        match mutation {
            Mutation::InsertJob(job) => transaction.insert(&[job], "").await?,
            Mutation::UpdateJob(job) => transaction.update(job).await?,
            Mutation::InsertRun(run) => transaction.insert(&[run.as_ref()], "").await?,
            Mutation::UpdateRun(run) => transaction.update(run.as_ref()).await?,
            Mutation::InsertShard(shard) => pending.shards.push(shard),
            Mutation::UpdateShard(shard) => {
                pending.flush(transaction).await?;
                transaction.update(shard).await?;
            }
            Mutation::InsertAttempt(attempt) => pending.attempts.push(attempt),
            Mutation::UpdateAttempt(attempt) => {
                pending.flush(transaction).await?;
                transaction.update(attempt).await?;
            }
            Mutation::AppendEvent(event) => events.push(event),
            Mutation::AppendSeries(piece) => series.push(piece),
            Mutation::PutCheckpoint(newest) => {
                checkpoints.insert(&newest.attempt.shard, newest);
            }
            Mutation::DropSeries(run) => {
                // Thousands of pieces would take longer than a transaction may: they are hidden now and
                // removed by `prune`.
                let statement =
                    "UPDATE run SET series_dropped = 1 WHERE job = ? AND number = ? AND series_dropped = 0";
                transaction.run("series", statement, run_key(run)).await?;
            }
            Mutation::RememberRequest(request) => transaction.insert(&[request], "").await?,
            Mutation::AppendNodeEvent(event) => node_events.push(event),
            Mutation::PutNode(node) => {
                transaction
                    .insert(&[node], &store.dialect.or_update(NodeRecord::COLUMNS[0], &["cordoned"]))
                    .await?;
            }
        }
    }
    pending.flush(transaction).await?;
    transaction.insert(&events, "").await?;
    transaction.insert(&node_events, "").await?;
    let (key, columns) = CheckpointRecord::COLUMNS.split_at(CheckpointRecord::KEYS);
    let in_place = store.dialect.or_update(&key.join(", "), columns);
    transaction.insert(&checkpoints.into_values().collect::<Vec<_>>(), &in_place).await?;
    transaction.insert::<SeriesRecord>(&series, &store.dialect.or_nothing("sequence")).await
}
