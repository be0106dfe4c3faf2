//! A new leader begins from the store: every unfinished run with its plan and parts. Results are read later ([`super::on_past`]).
//!
//! Attempts are presumed to go on: their workers hold the plan. Each gets a grace to attach and say so.

use super::machine::Machine;
use super::on_past::Unread;
use super::part::Part;
use super::{Engine, Now, Options};
use crate::store::{ActiveRun, CheckpointRecord, JobRecord, NodeRecord};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId};
use shanty_model::kind::Shape;
use shanty_model::state::ShardState;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the store held when the term began.
#[derive(Debug, Default)]
pub struct Stored {
    /// All jobs, the removed ones included.
    pub jobs: Vec<JobRecord>,
    /// Unfinished runs.
    pub runs: Vec<ActiveRun>,
    /// What is kept about nodes.
    pub nodes: Vec<NodeRecord>,
    /// Number of the newest node event.
    pub last_node_event: u32,
}

impl Engine {
    /// The engine of a new term.
    #[must_use]
    pub fn take_over(now: Now, epoch: Epoch, me: &NodeId, options: Options, stored: Stored) -> Engine {
        let mut engine = Engine {
            epoch,
            jobs: stored.jobs.into_iter().map(|job| (job.id.clone(), job)).collect(),
            runs: BTreeMap::new(),
            workers: BTreeMap::new(),
            cordoned: stored.nodes.into_iter().map(|node| (node.id, node.cordoned)).collect(),
            told_runs: BTreeMap::new(),
            last_node_event: stored.last_node_event,
            ticked: None,
            frozen: false,
            deaf_until: Duration::ZERO,
            apart: BTreeMap::new(),
            commands: Vec::new(),
            options,
        };
        for active in stored.runs {
            let machine = adopt(now, active, &engine.options);
            engine.runs.insert(machine.record.id.clone(), machine);
        }
        let message = format!("{me} leads in term {epoch} with {} runs under way", engine.runs.len());
        engine.node_event(now, me, "LEADER_ELECTED", message);
        engine
    }
}

fn adopt(now: Now, active: ActiveRun, options: &Options) -> Machine {
    let grace = options.takeover_grace;
    let mut parts = Vec::with_capacity(active.shards.len());
    let mut attempts: BTreeMap<_, _> =
        active.attempts.into_iter().map(|attempt| (attempt.id.shard.clone(), attempt)).collect();
    for shard in active.shards {
        // Of a shard that waits the newest attempt has ended.
        let waits = shard.state == ShardState::Pending && active.run.spec.shape() == Shape::Divisible;
        let attempt = attempts.remove(&shard.id).filter(|_| !waits);
        parts.push(Part::stored(shard, attempt, now.boot, grace));
    }
    let mut machine = Machine::new(active.run, parts, now.boot, false);
    for (attempt, newest) in &active.unread {
        machine.goes_on_from(attempt, *newest);
    }
    for CheckpointRecord { attempt, node, sequence, partial } in active.checkpoints {
        // What it brought besides figures was stored with it, and what could not be read was told when it came.
        let _told = machine.tally.absorb(attempt.shard.index, &node, &partial);
        machine.goes_on_from(&attempt, sequence);
    }
    machine.unread = Unread::new(active.unread);
    machine.pace.cuts_from = u32::try_from(machine.record.version).unwrap_or(u32::MAX);
    if machine.record.detail.stopping.is_some() {
        machine.stop_by = Some(now.boot + grace.max(Duration::from_secs(1)));
    }
    machine.judged_seconds = u32::try_from(machine.run_ns(now) / 1_000_000_000).unwrap_or(u32::MAX);
    machine
}

impl Machine {
    /// What an attempt sends up to this number is stored.
    fn goes_on_from(&mut self, attempt: &AttemptId, sequence: u64) {
        let part = usize::try_from(attempt.shard.index).ok().and_then(|index| self.parts.get_mut(index));
        if let Some(part) = part.filter(|part| part.is_at(attempt)) {
            part.absorbed = part.absorbed.max(sequence);
        }
    }
}
