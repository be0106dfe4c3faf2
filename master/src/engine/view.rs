//! What the API shows of the engine.

use super::machine::Machine;
use super::{Engine, Now, Worker};
use crate::placement::{Needs, candidate};
use crate::store::{RunRecord, ShardRecord};
use shanty_model::id::{NodeId, RunId};
use shanty_model::kind::http_load::Closing;
use shanty_model::kind::{Progress, Report, Shape};
use std::collections::BTreeSet;

/// A run with how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct RunView {
    /// The run.
    pub record: RunRecord,
    /// Its shards by index.
    pub shards: Vec<ShardView>,
    /// How far it is; none before its plan.
    pub progress: Option<Progress>,
    /// Time since its start, nanoseconds.
    pub elapsed_ns: u64,
    /// When it is to end, nanoseconds since its start; none before its plan.
    pub end_ns: Option<u64>,
}

/// A shard with its share.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardView {
    /// The shard.
    pub record: ShardRecord,
    /// Its share in parts of `weight_total`.
    pub weight: u32,
    /// Sum of all weights.
    pub weight_total: u32,
    /// What it is, for people; empty where shards are all alike.
    pub title: String,
}

impl Engine {
    /// A run that has not ended.
    #[must_use]
    pub fn view(&self, now: Now, run: &RunId) -> Option<RunView> {
        self.runs.get(run).map(|machine| machine.view(now))
    }

    /// All runs that have not ended.
    pub fn views(&self, now: Now) -> impl Iterator<Item = RunView> {
        self.runs.values().map(move |machine| machine.view(now))
    }

    /// Runs that have ended in the steps since the last [`Engine::take_commands`], which forgets them.
    #[must_use]
    pub fn ended_views(&self, now: Now) -> Vec<RunView> {
        let ended = self.runs.values().filter(|machine| machine.record.state.is_terminal());
        ended.map(|machine| machine.view(now)).collect()
    }

    /// A job, whether removed or not.
    #[must_use]
    pub fn any_job(&self, id: &shanty_model::id::JobId) -> Option<&crate::store::JobRecord> {
        self.jobs.get(id)
    }

    /// The figures so far of a run that has not ended.
    #[must_use]
    pub fn report(&self, now: Now, run: &RunId) -> Option<Report> {
        self.runs.get(run)?.report(now)
    }

    /// The workers with their attempts out and the score that the placement would give them now.
    #[must_use]
    pub fn workers(&self, now: Now) -> Vec<(Worker, u32, f64, bool)> {
        let busy = self.busy();
        self.workers
            .values()
            .map(|worker| {
                let attempts = busy.get(&worker.arrival.node).copied().unwrap_or(0);
                let standing = worker.standing(now.boot, &self.options, attempts);
                let kind = worker.arrival.kinds.first().map_or("", String::as_str);
                let score = candidate(&standing, &Needs { kind, connections: Vec::new() }).score;
                (worker.clone(), attempts, score, standing.present)
            })
            .collect()
    }

    /// Whether a worker is known.
    #[must_use]
    pub fn knows(&self, node: &NodeId) -> bool {
        self.workers.contains_key(node)
    }
}

impl Machine {
    fn view(&self, now: Now) -> RunView {
        let elapsed_ns = self.run_ns(now);
        let progress = match self.record.spec.shape() {
            Shape::Divisible if self.record.detail.start_unix_ns.is_some() => {
                let nodes: BTreeSet<&NodeId> =
                    self.active().filter_map(|index| self.parts[index].node()).collect();
                let workers = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
                self.tally.shard_progress(elapsed_ns, &self.steps(), workers)
            }
            Shape::Divisible => None,
            Shape::Rate | Shape::Enumerable | Shape::OneShot | Shape::Composite => {
                let workers = u32::try_from(self.active().count()).unwrap_or(u32::MAX);
                let progress =
                    self.plan().and_then(|plan| self.tally.rate_progress(plan, elapsed_ns, workers));
                if self.unread.is_some() { progress.map(Progress::without_sums) } else { progress }
            }
        };
        let shards = self.parts.iter().map(|part| part.shard.clone()).collect();
        RunView {
            record: self.record.clone(),
            shards: ShardView::all(&self.record, shards, |payload| self.tally.shard_title(payload)),
            progress,
            elapsed_ns,
            end_ns: self.plan().map(|plan| plan.load.end_ns()),
        }
    }

    /// The figures so far, or the final ones once all parts have ended; none while some of before this leader are unread.
    pub(super) fn report(&self, now: Now) -> Option<Report> {
        let detail = &self.record.detail;
        if self.record.spec.shape() == Shape::Divisible {
            return detail.start_unix_ns.and_then(|_| self.tally.shard_report(self.run_ns(now)));
        }
        let plan = self.plan().filter(|_| self.unread.is_none())?;
        let until_ns = detail.stopped_at_ns.unwrap_or_else(|| self.run_ns(now));
        let whole = detail.stopping.is_none() && self.active().next().is_none();
        let closing = Closing { plan, until_ns, lost_shards: &detail.lost_shards, whole };
        self.tally.rate_report(closing)
    }
}

impl ShardView {
    /// The shards of a run that has ended, with their shares.
    #[must_use]
    pub fn stored(run: &RunRecord, shards: Vec<ShardRecord>) -> Vec<ShardView> {
        ShardView::all(run, shards, |payload| {
            run.report.as_ref().map(|report| report.shard_title(payload)).unwrap_or_default()
        })
    }

    fn all(run: &RunRecord, shards: Vec<ShardRecord>, title: impl Fn(&str) -> String) -> Vec<ShardView> {
        let (weights, weight_total) =
            run.detail.plan.as_ref().map(shanty_model::rate::Plan::weights).unwrap_or_default();
        shards
            .into_iter()
            .map(|record| {
                let index = usize::try_from(record.id.index).unwrap_or(usize::MAX);
                let weight = weights.get(index).copied().unwrap_or(0);
                let title = title(&record.payload);
                ShardView { record, weight, weight_total, title }
            })
            .collect()
    }
}
