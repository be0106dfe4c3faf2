//! A new leader begins from the store: every unfinished run with its plan, parts and results.
//!
//! Attempts are presumed to go on: their workers hold the plan. Each gets a grace to attach and say so.

use super::machine::{Machine, Part};
use super::{Engine, Now, Options};
use crate::store::{ActiveRun, JobRecord, NodeRecord};
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
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
            last_node_event: stored.last_node_event,
            ticked: None,
            deaf_until: Duration::ZERO,
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
    for shard in active.shards {
        let attempt = active.attempts.iter().find(|attempt| attempt.id.shard == shard.id);
        if let Some(attempt) = attempt {
            parts.push(Part::stored(shard, attempt.clone(), now.boot, grace));
        }
    }
    let mut machine = Machine::new(active.run, parts, now.boot, false);
    for piece in active.series {
        let shard = piece.attempt.shard.index;
        // What could not be read was told when it came.
        let _told = machine.tally.absorb(shard, &piece.node, &piece.partial);
        let part = usize::try_from(shard).ok().and_then(|index| machine.parts.get_mut(index));
        if let Some(part) = part.filter(|part| part.attempt.id == piece.attempt) {
            part.absorbed = part.absorbed.max(piece.sequence);
        }
    }
    if machine.record.detail.stopping.is_some() {
        machine.stop_by = Some(now.boot + grace.max(Duration::from_secs(1)));
    }
    machine.judged_seconds = u32::try_from(machine.run_ns(now) / 1_000_000_000).unwrap_or(u32::MAX);
    machine
}
