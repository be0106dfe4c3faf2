//! Runs of shape divisible: shards that are found on the way, each done by one worker after the other until it
//! is done.
//!
//! ```text
//!   reports ──► tally ──► follow_up ──► waiting shards ──► assigned under the caps ──► out
//!                 ▲                          ▲                                         │
//!                 └────── checkpoints ───────┴──── lost, handed back, failed for now ──┴──► done | failed
//! ```
//! Level-triggered like all of the engine: [`Engine::divide`] brings a run in line with what is, after whatever
//! may matter. Losing an attempt costs a page of work and nothing else: results and position are kept together
//! where the work is done, under the attempt's number, so that whoever is still at it cannot go on.
//!
//! | file | holds |
//! |---|---|
//! | `assign` | which worker gets which shard, and why; runs that nobody can do |
//! | `direct` | what attempts are told: limits, cuts, to hand back; a user's changes |
//! | `outcome` | what attempts say: results, ends, refusals; losses |
//!
//! In: the workers, the shards, the tally, time. Out: shards, attempts, orders. Never: what a shard's payload means.
//! Tests: `tests/divide`, `tests/divide_faults` with workers that are values; `tests/fuzz` with random lives.

mod assign;
mod direct;
mod outcome;

use super::machine::Machine;
use super::part::Part;
use super::{Engine, Now};
use shanty_model::id::{NodeId, RunId};
use shanty_model::kind::{Spec, Tally};
use shanty_model::state::ShardState;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is remembered of a shard besides its records.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// Failures in a row that another attempt might mend, without the shard coming further.
    failures: u32,
    /// How far it had come at the last of them.
    advance: u64,
    /// It is not assigned before then.
    retry_at: Duration,
    /// Starts of workers that have refused it, and when.
    refused: BTreeMap<(NodeId, String), Duration>,
    /// Whether its attempt was asked to hand it back.
    recalled: bool,
    /// The directive that its attempt was told; empty for none that is known.
    directive: String,
    /// Number of the newest ask for a cut; it only grows during an attempt.
    cuts: u32,
    /// When that was.
    cut_at: Option<Duration>,
    /// Whether that was not answered yet.
    awaits_cut: bool,
}

impl Course {
    /// Another attempt begins: it has been told nothing.
    fn begin(&mut self) {
        self.recalled = false;
        self.directive = String::new();
        self.cuts = 0;
        self.cut_at = None;
        self.awaits_cut = false;
    }

    /// Whether its attempt was asked to hand it back.
    pub(super) fn is_recalled(&self) -> bool {
        self.recalled
    }

    /// Its worker has attached again: it may have missed what it was told.
    pub(super) fn tell_anew(&mut self) {
        self.directive = String::new();
        self.recalled = false;
    }
}

/// What is remembered of a run besides its records.
#[derive(Debug, Default)]
pub struct Pace {
    /// Names of its shards.
    pub(super) names: BTreeSet<String>,
    /// Cuts are numbered from here, so that a new leader's are larger than those of the one before.
    pub(super) cuts_from: u32,
    /// Whether its shards were asked for what follows since something changed.
    is_flow_known: bool,
    /// Since when a worker has nothing to do although it could.
    idle_since: Option<Duration>,
}

impl Pace {
    /// That of a run with these parts.
    pub(super) fn of(parts: &[Part]) -> Pace {
        Pace { names: parts.iter().map(|part| part.shard.name.clone()).collect(), ..Pace::default() }
    }
}

impl Engine {
    /// Brings a run of shape divisible in line with its workers.
    pub(super) fn divide(&mut self, now: Now, run: &RunId) {
        let used = self.used();
        let mut seats = self.seats(now, run);
        let (epoch, options) = (self.epoch, self.options.clone());
        let Some(machine) = self.runs.get_mut(run) else { return };
        if machine.record.detail.stopping.is_some() || machine.record.state.is_terminal() {
            return;
        }
        machine.follow_up();
        machine.recall(&self.workers);
        let mut room = machine.room(&used);
        machine.assign(now, epoch, &mut seats, &mut room, &options);
        machine.cut(now, &seats, room);
        machine.direct();
        machine.await_workers(now, epoch, &seats, &options);
    }

    /// Attempts that use each resource, over all runs.
    fn used(&self) -> BTreeMap<String, u32> {
        let mut used = BTreeMap::new();
        for machine in self.runs.values() {
            let resources = machine.record.spec.resources();
            if resources.is_empty() {
                continue;
            }
            let out = count(machine.active());
            for resource in resources {
                *used.entry(resource.name).or_insert(0) += out;
            }
        }
        used
    }
}

impl Machine {
    /// The spec with all changes in force.
    fn present_spec(&self) -> Spec {
        match &self.record.detail.change {
            Some(change) => self.record.spec.changed(change),
            None => self.record.spec.clone(),
        }
    }

    /// Most attempts of this run alone.
    fn most_attempts(&self) -> u32 {
        self.present_spec().resources().iter().map(|resource| resource.most).min().unwrap_or(u32::MAX)
    }

    /// How many more attempts the caps allow.
    fn room(&self, used: &BTreeMap<String, u32>) -> u32 {
        let resources = self.present_spec().resources();
        let left = resources
            .iter()
            .map(|resource| resource.most.saturating_sub(used.get(&resource.name).copied().unwrap_or(0)));
        left.min().unwrap_or(u32::MAX)
    }

    /// The payloads and states of all shards.
    pub(super) fn steps(&self) -> Vec<(&str, ShardState)> {
        self.parts.iter().map(|part| (part.shard.payload.as_str(), part.shard.state)).collect()
    }

    /// Adds the shards that are due.
    fn follow_up(&mut self) {
        while !self.pace.is_flow_known {
            let due = self.record.spec.follow_up(&self.tally, &self.steps());
            self.pace.is_flow_known = self.add_shards(due) == 0;
        }
    }

    /// Something has changed that more shards may follow from.
    pub(super) fn ask_flow(&mut self) {
        self.pace.is_flow_known = false;
    }

    /// Whether nothing is left to do.
    pub(super) fn is_all_done(&self) -> bool {
        !self.parts.is_empty()
            && self.open().next().is_none()
            && self.record.spec.follow_up(&self.tally, &self.steps()).is_empty()
    }

    /// What a part's shard is, for people.
    fn title(&self, index: usize) -> String {
        title(&self.tally, &self.parts[index].shard)
    }
}

/// What a shard is, for people; its index where its kind has no name for it.
pub(super) fn title(tally: &Tally, shard: &crate::store::ShardRecord) -> String {
    let title = tally.shard_title(&shard.payload);
    if title.is_empty() { format!("shard {}", shard.id.index) } else { title }
}

fn count(parts: impl Iterator<Item = usize>) -> u32 {
    u32::try_from(parts.count()).unwrap_or(u32::MAX)
}
