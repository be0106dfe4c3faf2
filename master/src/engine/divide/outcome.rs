//! What attempts at shards say: results, refusals, ends; and losses.

use super::super::command::{Command, Order, Outcome};
use super::super::machine::Machine;
use super::super::{Engine, Now};
use crate::store::{CheckpointRecord, Mutation};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId, RunId};
use shanty_model::state::{RunState, ShardState};
use std::collections::BTreeMap;
use std::time::Duration;

/// Failures in a row, without the shard coming further, after which it has failed.
const FAILURES: u32 = 8;
/// Waits after the first failure of a row and most of all, doubled from one to the next.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Engine {
    /// Takes the newest results of a shard, with all that they found.
    pub(in super::super) fn take_checkpoint(
        &mut self,
        now: Now,
        run: &RunId,
        index: usize,
        (attempt, node): (&AttemptId, &NodeId),
        (sequence, partial): (u64, Vec<u8>),
    ) {
        let Some(machine) = self.runs.get_mut(run) else { return };
        let mut found = false;
        match machine.tally.absorb(attempt.shard.index, node, &partial) {
            Ok(absorbed) => {
                for note in absorbed.notes {
                    machine.note(now, note.warning, &note.reason, note.message);
                }
                if !absorbed.found.is_empty() {
                    found = machine.add_shards(absorbed.found) > 0;
                    machine.parts[index].course.awaits_cut = false;
                }
            }
            Err(error) => {
                machine.note(
                    now,
                    true,
                    "UNREADABLE_RESULTS",
                    format!("{attempt} report {sequence}: {error}"),
                );
            }
        }
        machine.ask_flow();
        let record = CheckpointRecord { attempt: attempt.clone(), node: node.clone(), sequence, partial };
        self.commands.push(Command::store(Mutation::PutCheckpoint(record)));
        if found {
            self.reconcile(now, run);
        }
    }

    /// A worker did not take a shard: another one may.
    pub(in super::super) fn shard_refused(&mut self, now: Now, run: &RunId, index: usize, reason: &str) {
        let Some(machine) = self.runs.get_mut(run) else { return };
        let Some(attempt) = &machine.parts[index].attempt else { return };
        let (node, this_start) = (attempt.node.clone(), (attempt.node.clone(), attempt.incarnation.clone()));
        machine.parts[index].course.refused.insert(this_start, now.boot);
        let message = format!("{node} refused: {reason}");
        if machine.hand_back(now, index, "lost", &message) {
            let text = format!("{} waits for another worker: {message}", machine.title(index));
            machine.note(now, true, "SHARD_REFUSED", text);
        }
        self.reconcile(now, run);
        self.finish_if_ended(now, run);
    }

    /// Attempts whose workers are gone or silent: their shards wait for others.
    pub(in super::super) fn lose_attempts(&mut self, now: Now, run: &RunId, lost: Vec<(usize, String)>) {
        let Some(machine) = self.runs.get_mut(run) else { return };
        let mut told: BTreeMap<(NodeId, String), Vec<String>> = BTreeMap::new();
        for (index, reason) in lost {
            let Some((node, attempt)) = machine.holder(index) else { continue };
            if !machine.hand_back(now, index, "lost", &reason) {
                continue;
            }
            // It may only be slow: whenever it reads this, it stops; until then the shard's number stops it.
            let order = Order::Cancel { attempt, reason: "others have this work".to_owned(), discard: true };
            machine.tell(node.clone(), order);
            told.entry((node, reason)).or_default().push(machine.title(index));
        }
        for ((node, reason), titles) in told {
            let what = match titles.as_slice() {
                [one] => format!("{one} goes"),
                many => format!("{} shards go", many.len()),
            };
            machine.note(now, true, "WORKER_LOST", format!("{node} lost: {reason}; {what} to others"));
        }
    }

    /// An attempt at a shard has ended.
    pub(in super::super) fn end_shard_attempt(
        &mut self,
        now: Now,
        run: &RunId,
        index: usize,
        outcome: Outcome,
        reason: &str,
    ) {
        let (epoch, patience) = (self.epoch, self.options.stop_patience);
        let Some(machine) = self.runs.get_mut(run) else { return };
        let stopping = machine.record.detail.stopping.is_some();
        match outcome {
            Outcome::Done => machine.end_part(now, index, ShardState::Done, "done", reason),
            Outcome::Failed { transient: false } => {
                machine.end_part(now, index, ShardState::Failed, "failed", reason);
                let why = machine.failure(index, reason);
                machine.stop(now, epoch, RunState::Failed, &why, patience);
            }
            Outcome::Failed { transient: true } if stopping => {
                machine.hand_back(now, index, "failed", reason);
            }
            Outcome::Failed { transient: true } => machine.retry(now, epoch, index, reason, patience),
            Outcome::Cancelled => {
                machine.hand_back(now, index, "cancelled", reason);
            }
            Outcome::Orphaned => {
                machine.hand_back(now, index, "orphaned", reason);
            }
        }
        machine.ask_flow();
    }
}

impl Machine {
    /// Lets a shard wait for another worker, at once; in a run that stops it is given up. Answers whether it
    /// waits.
    fn hand_back(&mut self, now: Now, index: usize, outcome: &str, reason: &str) -> bool {
        if self.record.detail.stopping.is_some() {
            self.end_part(now, index, ShardState::Yielded, outcome, reason);
            return false;
        }
        self.parts[index].course.retry_at = now.boot;
        self.requeue(now, index, outcome, reason)
    }

    /// Lets a shard that failed wait a while, or fails it when that has happened too often.
    fn retry(&mut self, now: Now, epoch: Epoch, index: usize, reason: &str, patience: Duration) {
        let advance = self.tally.advance(self.parts[index].shard.id.index);
        let course = &mut self.parts[index].course;
        course.failures = if advance > course.advance { 1 } else { course.failures + 1 };
        course.advance = course.advance.max(advance);
        let failures = course.failures;
        if failures >= FAILURES {
            self.end_part(now, index, ShardState::Failed, "failed", reason);
            let why = format!("{}, {failures} times in a row", self.failure(index, reason));
            self.stop(now, epoch, RunState::Failed, &why, patience);
            return;
        }
        let wait = RETRY.0.saturating_mul(1 << (failures - 1)).min(RETRY.1);
        let message = format!("{}; it is tried again in {} s", self.failure(index, reason), wait.as_secs());
        if self.requeue(now, index, "failed", reason) {
            self.parts[index].course.retry_at = now.boot + wait;
            self.note(now, true, "SHARD_FAILED_FOR_NOW", message);
        }
    }

    /// Which worker failed with which shard, and why.
    fn failure(&self, index: usize, reason: &str) -> String {
        let node = self.parts[index].node().map_or_else(String::new, |node| format!("{node}: "));
        format!("{node}{}: {reason}", self.title(index))
    }
}
