//! What a new leader reads: every run that has not ended, with all that belongs to it.
//!
//! In: nothing. Out: [`ActiveRun`]s. Never: asks run by run, for nobody dispatches meanwhile; reads results, but for the newest of
//! each shard of a kind that keeps no others.
//! Tests: the conformance suite.

use super::read::in_states;
use super::value::{Fields, Value};
use super::{ActiveRun, AttemptRecord, CheckpointRecord, Error, RunRecord, ShardRecord, Store};
use shanty_model::id::{AttemptId, RunId};
use shanty_model::state::RunState;
use std::collections::BTreeMap;

/// `state IN (…)` for runs that have not ended, and its values.
fn unended() -> (String, Vec<Value>) {
    in_states(RunState::ALL.into_iter().filter(|state| !state.is_terminal()))
}

/// Joins the rows of a table that belong to such runs.
fn of_unended() -> (String, Vec<Value>) {
    let (in_states, states) = unended();
    let runs = format!("SELECT job AS of_job, number AS of_number FROM run WHERE {in_states}");
    (format!("JOIN ({runs}) unended ON job = of_job AND number = of_number"), states)
}

/// Joins the newest attempt of each of their shards.
fn newest_of(join: &str) -> String {
    let shards = format!(
        "SELECT job AS at_job, number AS at_number, shard AS at_shard, attempt AS newest FROM shard {join}"
    );
    format!(
        "JOIN ({shards}) held ON job = at_job AND number = at_number AND shard = at_shard AND attempt = newest"
    )
}

/// The end of each attempt's results by their key: all of them together may be hundreds of thousands.
const LAST_PIECE: &str = "SELECT MAX(s.sequence) FROM series s WHERE s.job = attempt.job AND \
     s.number = attempt.number AND s.shard = attempt.shard AND s.attempt = attempt.attempt";

impl Store {
    /// All runs that have not ended, oldest first, with all that belongs to them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database does not answer within 10 s, [`Error::Corrupt`] when a row makes no sense.
    pub async fn load_active(&self) -> Result<Vec<ActiveRun>, Error> {
        let (in_states, states) = unended();
        let oldest_first = format!("WHERE {in_states} ORDER BY create_ms, job, number");
        let runs = self.select::<RunRecord>(&oldest_first, states).await?;
        let order: Vec<RunId> = runs.iter().map(|run| run.id.clone()).collect();
        let mut active: BTreeMap<RunId, ActiveRun> =
            runs.into_iter().map(|run| (run.id.clone(), ActiveRun::new(run))).collect();
        let (join, states) = of_unended();
        let by_shard = format!("{join} ORDER BY job, number, shard");
        for shard in self.select::<ShardRecord>(&by_shard, states.clone()).await? {
            if let Some(run) = active.get_mut(&shard.id.run) {
                run.shards.push(shard);
            }
        }
        let newest = format!("{} ORDER BY job, number, shard", newest_of(&join));
        for attempt in self.select::<AttemptRecord>(&newest, states.clone()).await? {
            if let Some(run) = active.get_mut(&attempt.id.shard.run) {
                run.attempts.push(attempt);
            }
        }
        for (attempt, newest) in self.newest_pieces(&join, states.clone()).await? {
            if let Some(run) = active.get_mut(&attempt.shard.run) {
                run.unread.push((attempt, newest));
            }
        }
        for newest in self.select::<CheckpointRecord>(&by_shard, states).await? {
            if let Some(run) = active.get_mut(&newest.attempt.shard.run) {
                run.checkpoints.push(newest);
            }
        }
        Ok(order.into_iter().filter_map(|id| active.remove(&id)).collect())
    }

    /// The number of the newest piece of results of each attempt that has some.
    async fn newest_pieces(&self, join: &str, states: Vec<Value>) -> Result<Vec<(AttemptId, u64)>, Error> {
        let statement = format!(
            "SELECT job, number, shard, attempt, ({LAST_PIECE}) AS newest FROM attempt {join} \
             ORDER BY job, number, shard, attempt"
        );
        let mut newest = Vec::new();
        for row in &self.rows("series", &statement, states).await? {
            let mut fields = Fields::new(row, "series");
            let attempt = fields.attempt_id()?;
            if let Some(sequence) = fields.opt_int()? {
                newest.push((attempt, u64::try_from(sequence).unwrap_or(0)));
            }
        }
        Ok(newest)
    }
}

impl ActiveRun {
    /// A run to which nothing belongs yet.
    fn new(run: RunRecord) -> ActiveRun {
        ActiveRun {
            run,
            shards: Vec::new(),
            attempts: Vec::new(),
            unread: Vec::new(),
            checkpoints: Vec::new(),
        }
    }
}
