//! What attempts say: taken on, under way, changed, results, the end.
//!
//! Every message may come late or twice. Results are counted by their number, once; an end is taken when
//! all results before it are. What belongs to no run of ours any more is acknowledged, so that its worker
//! can forget it.

use super::command::{Command, Ending, Order, Outcome, Update};
use super::{Engine, Now};
use crate::store::{Mutation, SeriesRecord};
use shanty_model::id::{AttemptId, NodeId};
use shanty_model::kind::Shape;
use shanty_model::state::{RunEvent, RunState, ShardEvent, ShardState};

impl Engine {
    /// An attempt was taken on, began, was refused, or has applied a change.
    pub fn on_update(&mut self, now: Now, node: &NodeId, attempt: &AttemptId, update: Update) {
        self.heard(now, node);
        let epoch = self.epoch;
        let Some((run, index)) = self.find(node, attempt) else { return };
        let Some(machine) = self.runs.get_mut(&run) else { return };
        match update {
            Update::Accepted => {
                machine.advance_shard(now, index, ShardEvent::Accepted, "");
            }
            Update::Running => {
                machine.advance_shard(now, index, ShardEvent::Began, "");
                if machine.record.state == RunState::Planning {
                    machine.record.start_ms = machine.record.detail.start_unix_ns.map(|ns| ns / 1_000_000);
                    machine.advance(now, epoch, RunEvent::Began, "");
                }
            }
            Update::Refused(reason) => match machine.record.spec.shape() {
                Shape::Divisible => self.shard_refused(now, &run, index, &reason),
                Shape::Rate | Shape::Enumerable | Shape::OneShot | Shape::Composite => {
                    let attempt = machine.parts[index].attempt.as_ref();
                    let this_start = attempt.map(|attempt| (node.clone(), attempt.incarnation.clone()));
                    machine.unwilling.extend(this_start);
                    self.lose_part(now, &run, index, &format!("{node} refused: {reason}"));
                    self.reconcile(now, &run);
                }
            },
            Update::Changed(revision) => {
                let part = &mut machine.parts[index];
                part.applied = part.applied.max(revision);
                machine.settle_change(now, epoch);
            }
        }
    }

    /// A numbered piece of results.
    pub fn on_report(
        &mut self,
        now: Now,
        node: &NodeId,
        attempt: &AttemptId,
        sequence: u64,
        partial: Vec<u8>,
    ) {
        self.heard(now, node);
        let ack = |up_to| {
            Command::Tell(
                node.clone(),
                Order::Ack { attempt: attempt.clone(), sequence: up_to, ended: false },
            )
        };
        let Some((run, index)) = self.find(node, attempt) else {
            self.commands.push(ack(sequence));
            return;
        };
        let Some(machine) = self.runs.get_mut(&run) else { return };
        let absorbed = machine.parts[index].absorbed;
        if sequence <= absorbed {
            self.commands.push(ack(absorbed));
            return;
        }
        if sequence > absorbed.saturating_add(1) {
            // A piece before it is still to come: the worker sends in order, and again after it attaches.
            return;
        }
        machine.parts[index].absorbed = sequence;
        self.commands.push(ack(sequence));
        match machine.record.spec.shape() {
            Shape::Divisible => {
                self.take_checkpoint(now, &run, index, (attempt, node), (sequence, partial));
            }
            Shape::Rate | Shape::Enumerable | Shape::OneShot | Shape::Composite => {
                if let Err(error) = machine.tally.absorb(attempt.shard.index, node, &partial) {
                    let message = format!("{attempt} report {sequence}: {error}");
                    machine.note(now, true, "UNREADABLE_RESULTS", message);
                }
                let record = SeriesRecord { attempt: attempt.clone(), node: node.clone(), sequence, partial };
                self.commands.push(Command::store(Mutation::AppendSeries(record)));
            }
        }
    }

    /// An attempt has ended.
    pub fn on_ended(&mut self, now: Now, node: &NodeId, ending: Ending) {
        self.heard(now, node);
        let Ending { attempt, outcome, reason, last_sequence } = ending;
        let ack = Command::Tell(
            node.clone(),
            Order::Ack { attempt: attempt.clone(), sequence: last_sequence, ended: true },
        );
        let Some((run, index)) = self.find(node, &attempt) else {
            self.commands.push(ack);
            return;
        };
        let Some(machine) = self.runs.get_mut(&run) else { return };
        if machine.parts[index].absorbed < last_sequence {
            return;
        }
        self.commands.push(ack);
        if !machine.parts[index].is_active() {
            return;
        }
        match machine.record.spec.shape() {
            Shape::Divisible => self.end_shard_attempt(now, &run, index, outcome, &reason),
            Shape::Rate | Shape::Enumerable | Shape::OneShot | Shape::Composite => {
                self.end_attempt(now, &run, index, outcome, &reason);
                self.finish_if_ended(now, &run);
            }
        }
        self.reconcile(now, &run);
        self.finish_if_ended(now, &run);
    }

    fn end_attempt(
        &mut self,
        now: Now,
        run: &shanty_model::id::RunId,
        index: usize,
        outcome: Outcome,
        reason: &str,
    ) {
        let (epoch, patience) = (self.epoch, self.options.stop_patience);
        let Some(machine) = self.runs.get_mut(run) else { return };
        let stopping = machine.record.detail.stopping.is_some();
        let leaving = machine.parts[index].leaves_at_ns.is_some();
        match outcome {
            Outcome::Done => machine.end_part(now, index, ShardState::Done, "done", reason),
            Outcome::Cancelled if stopping => {
                machine.end_part(now, index, ShardState::Done, "cancelled", reason)
            }
            Outcome::Cancelled if leaving => {
                machine.end_part(now, index, ShardState::Yielded, "cancelled", "drained")
            }
            Outcome::Failed { transient: false } => {
                let node = machine.parts[index].node().map_or_else(String::new, |node| format!("{node}: "));
                machine.end_part(now, index, ShardState::Failed, "failed", reason);
                machine.stop(now, epoch, RunState::Failed, &format!("{node}{reason}"), patience);
            }
            Outcome::Failed { transient: true } | Outcome::Cancelled | Outcome::Orphaned => {
                self.lose_part(now, run, index, reason);
            }
        }
    }

    /// The run and part that hold this attempt on this worker; none of a run that has ended, though in this step: its
    /// report is made.
    fn find(&self, node: &NodeId, attempt: &AttemptId) -> Option<(shanty_model::id::RunId, usize)> {
        let runs = self.runs.get(&attempt.shard.run);
        let machine = runs.filter(|machine| !machine.record.state.is_terminal())?;
        let index = usize::try_from(attempt.shard.index).ok()?;
        let part = machine.parts.get(index)?;
        (part.is_at(attempt) && part.node() == Some(node)).then(|| (attempt.shard.run.clone(), index))
    }
}
