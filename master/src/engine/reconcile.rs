//! Who has a part in a run of shape rate, and who should: level-triggered, after every event that may matter.
//!
//! ```text
//!   workers as they are ──► lost parts ─┐
//!                       ──► leaving ────┼──► one new split of the plan ──► told to all at once
//!                       ──► joining ────┘
//! ```

use super::machine::Machine;
use super::on_run::nanos;
use super::{Engine, Now, Options};
use crate::placement::{Candidate, Decision, Needs, candidate, rescored, whole_score};
use shanty_model::epoch::Epoch;
use shanty_model::id::{NodeId, RunId};
use shanty_model::kind::Shape;
use shanty_model::rate::Plan;
use shanty_model::state::{RunEvent, RunState, ShardState};
use std::collections::BTreeMap;
use std::time::Duration;

/// A worker does not join a run that ends sooner than this.
const WORTH_JOINING: Duration = Duration::from_secs(2);
/// Shares of a run under way are looked at this often, by a new leader too.
pub(super) const RESCORE_EVERY: Duration = Duration::from_secs(5);

impl Engine {
    pub(super) fn reconcile_all(&mut self, now: Now) {
        for run in self.runs.keys().cloned().collect::<Vec<_>>() {
            self.reconcile(now, &run);
        }
    }

    /// Brings the parts of a run in line with the workers; not while this leader's authority is in doubt.
    pub(super) fn reconcile(&mut self, now: Now, run: &RunId) {
        if self.frozen {
            return;
        }
        match self.runs.get(run).map(|machine| machine.record.spec.shape()) {
            Some(Shape::Rate) => self.share_out(now, run),
            Some(Shape::Divisible) => self.divide(now, run),
            // No kind has one of these.
            Some(Shape::Enumerable | Shape::OneShot | Shape::Composite) | None => {}
        }
    }

    fn share_out(&mut self, now: Now, run: &RunId) {
        let candidates = self.candidates(now, run);
        let (epoch, options) = (self.epoch, self.options.clone());
        let Some(machine) = self.runs.get_mut(run) else { return };
        if machine.record.detail.stopping.is_some() || machine.record.state.is_terminal() {
            return;
        }
        let before = machine.record.detail.plan.as_ref().map(Plan::scores).unwrap_or_default().to_vec();
        let mut scores = before.clone();
        let mut reasons = machine.zero_inactive(&mut scores);
        let mut lead = options.lead;
        // What nobody waits for is not moved while a worker that does a part cannot be told.
        if machine.is_heard() {
            reasons.extend(machine.let_leave(now, &self.workers, &mut scores, &options));
            reasons.extend(machine.let_join(now, epoch, &candidates, &mut scores, &options));
            if scores == before {
                lead = options.shift_lead;
                reasons.extend(machine.shift(now, &self.workers, &mut scores));
            }
        }
        if scores != before {
            machine.split(now, epoch, scores, &reasons.join(", "), candidates, lead);
        }
        machine.tell_plan(now, options.orphan_limit);
        machine.wait_for_workers(now, epoch, &self.workers, &options);
    }

    /// Gives a part up because its worker cannot do it any more; the next reconciliation, in the same step, shares it
    /// out. A frozen leader may not share anything, so the part stays as it is until the first tick after that.
    pub(super) fn lose_part(&mut self, now: Now, run: &RunId, index: usize, reason: &str) {
        let lead = self.options.lead;
        let frozen = self.frozen;
        let Some(machine) = self.runs.get_mut(run) else { return };
        if !machine.parts[index].is_active() {
            return;
        }
        if frozen {
            machine.parts[index].lost.get_or_insert_with(|| reason.to_owned());
            return;
        }
        let Some(node) = machine.parts[index].node().cloned() else { return };
        let had_share = machine.plan().is_some_and(|plan| plan.scores().get(index).copied().unwrap_or(0) > 0);
        machine.end_part(now, index, ShardState::Yielded, "lost", reason);
        // It may only be slow: whenever it reads this, it stops.
        machine.tell_cancel(index, "others have this work", false);
        if had_share {
            let at = machine.switch_at(now, lead);
            let shard = machine.parts[index].shard.id.index;
            machine.record.detail.lost_shards.push((shard, at));
        }
        machine.note(
            now,
            true,
            "WORKER_LOST",
            format!("{node} lost: {reason}; its share goes to the others"),
        );
    }

    fn candidates(&self, now: Now, run: &RunId) -> Vec<Candidate> {
        let Some(machine) = self.runs.get(run) else { return Vec::new() };
        let needs = Needs::of(&machine.record.spec);
        let (busy, mine) = (self.busy(), machine.attempts_by_worker());
        let standing = |worker: &super::Worker| {
            let out = |of: &BTreeMap<&NodeId, u32>| of.get(&worker.arrival.node).copied().unwrap_or(0);
            worker.standing(now.boot, &self.options, out(&busy).saturating_sub(out(&mine)))
        };
        self.workers.values().map(|worker| candidate(&standing(worker), &needs)).collect()
    }

    /// Attempts out, by worker.
    pub(super) fn busy(&self) -> BTreeMap<&NodeId, u32> {
        let mut busy = BTreeMap::new();
        for (node, attempts) in self.runs.values().flat_map(Machine::attempts_by_worker) {
            *busy.entry(node).or_insert(0) += attempts;
        }
        busy
    }
}

type Workers = BTreeMap<NodeId, super::Worker>;

impl Machine {
    /// Whether each worker that does a part of it can be told what changes.
    fn is_heard(&self) -> bool {
        self.active().all(|index| self.parts[index].away_since.is_none())
    }

    /// Parts that have ended own nothing from now on.
    fn zero_inactive(&self, scores: &mut [u64]) -> Vec<String> {
        let mut reasons = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            if !part.is_active()
                && scores.get(index).is_some_and(|score| *score > 0)
                && self.is_going_on(index)
            {
                scores[index] = 0;
                reasons.extend(part.node().map(|node| format!("worker {node} lost")));
            }
        }
        reasons
    }

    /// Whether the end of this part leaves work to others: not when it came to the end of the plan.
    fn is_going_on(&self, index: usize) -> bool {
        match self.parts[index].shard.state {
            ShardState::Yielded | ShardState::Failed => true,
            ShardState::Done
            | ShardState::Pending
            | ShardState::Assigned
            | ShardState::Accepted
            | ShardState::Running => false,
        }
    }

    /// Parts of draining workers hand their share over, as long as somebody else can take it.
    fn let_leave(
        &mut self,
        now: Now,
        workers: &Workers,
        scores: &mut [u64],
        options: &Options,
    ) -> Vec<String> {
        let at = self.switch_at(now, options.lead);
        let mut reasons = Vec::new();
        for index in self.active().collect::<Vec<_>>() {
            let Some(node) = self.parts[index].node().cloned() else { continue };
            let drains = workers.get(&node).is_some_and(|worker| worker.draining);
            let others = scores.iter().enumerate().any(|(i, score)| i != index && *score > 0);
            if drains && others && self.parts[index].leaves_at_ns.is_none() && scores[index] > 0 {
                scores[index] = 0;
                self.parts[index].leaves_at_ns = Some(at);
                reasons.push(format!("worker {node} drained"));
            }
        }
        reasons
    }

    /// Eligible workers without a part get one.
    fn let_join(
        &mut self,
        now: Now,
        epoch: Epoch,
        candidates: &[Candidate],
        scores: &mut Vec<u64>,
        options: &Options,
    ) -> Vec<String> {
        let ends_soon = self
            .plan()
            .is_some_and(|plan| plan.load.end_ns().saturating_sub(self.run_ns(now)) < nanos(WORTH_JOINING));
        let is_start = self.plan().is_none();
        let mut reasons = Vec::new();
        let with_part = self.attempts_by_worker();
        let joins = |candidate: &&Candidate| {
            let this_start = || (candidate.node.clone(), candidate.incarnation.clone());
            candidate.score > 0.0
                && !with_part.contains_key(&candidate.node)
                && !self.unwilling.contains(&this_start())
        };
        let joining: Vec<&Candidate> =
            if ends_soon { Vec::new() } else { candidates.iter().filter(joins).collect() };
        for candidate in joining {
            let incarnation = candidate.incarnation.clone();
            self.add_part(now, epoch, &candidate.node, &incarnation, now.boot + options.accept_timeout);
            scores.push(whole_score(candidate.score).max(1));
            if !is_start {
                reasons.push(format!("worker {} joined", candidate.node));
            }
        }
        if is_start && !scores.is_empty() {
            reasons.push("start".to_owned());
        }
        reasons
    }

    /// Saturated workers lose a part of their share to the others, now and then.
    fn shift(&mut self, now: Now, workers: &Workers, scores: &mut [u64]) -> Vec<String> {
        if now.boot < self.rescore_at || self.record.state != RunState::Running {
            return Vec::new();
        }
        self.rescore_at = now.boot + RESCORE_EVERY;
        let lateness: Vec<f64> = self
            .parts
            .iter()
            .map(|part| {
                let worker = part.node().and_then(|node| workers.get(node));
                worker.map_or(0.0, |worker| worker.arrival.telemetry.lateness_p99_ms)
            })
            .collect();
        match rescored(scores, &lateness) {
            Some(shifted) => {
                scores.copy_from_slice(&shifted);
                vec!["send lateness".to_owned()]
            }
            None => Vec::new(),
        }
    }

    /// Makes the plan, or a new revision of it, and records why.
    fn split(
        &mut self,
        now: Now,
        epoch: Epoch,
        scores: Vec<u64>,
        reason: &str,
        mut candidates: Vec<Candidate>,
        lead: Duration,
    ) {
        let at = self.switch_at(now, lead);
        let Some(load) = self.record.spec.load() else { return };
        match self.record.detail.plan.as_mut() {
            Some(plan) => plan.change_split(at, scores),
            None => {
                let lead = i64::try_from(lead.as_nanos()).unwrap_or(0);
                self.record.detail.start_unix_ns = Some(now.unix_ns + lead);
                self.record.detail.plan = Some(Plan::new(load, scores));
                self.advance(now, epoch, RunEvent::Placed, "");
            }
        }
        let Some((weights, revision)) = self.plan().map(|plan| (plan.weights().0, plan.revision)) else {
            return;
        };
        let active = self.parts.iter().zip(weights).filter(|(part, _)| part.is_active());
        let weights: BTreeMap<&NodeId, u32> =
            active.filter_map(|(part, weight)| Some((part.node()?, weight))).collect();
        for candidate in &mut candidates {
            candidate.weight = weights.get(&candidate.node).copied().unwrap_or(candidate.weight);
        }
        if self.record.state == RunState::Running {
            self.note(
                now,
                false,
                "SHARES_CHANGED",
                format!("{reason}: new shares from {:.3} s on", at as f64 / 1e9),
            );
        }
        let (time_ms, reason) = (now.unix_ms(), reason.to_owned());
        self.decided(Decision { time_ms, reason, revision, candidates });
    }

    /// A run that nobody does waits a while for somebody, and says so.
    fn wait_for_workers(&mut self, now: Now, epoch: Epoch, workers: &Workers, options: &Options) {
        let ended = self.plan().is_some_and(|plan| self.run_ns(now) >= plan.load.end_ns());
        if ended || self.active().next().is_some() {
            self.alone_since = None;
            return;
        }
        let since = *self.alone_since.get_or_insert(now.boot);
        if self.given.insert("WAITING_FOR_WORKERS") {
            let message = match workers.len() {
                0 => "no worker is attached: start one with `shanty worker --masters ADDRESS`".to_owned(),
                n => format!("none of {n} workers can take it: see `shanty node list`"),
            };
            self.note(now, true, "WAITING_FOR_WORKERS", message);
        }
        let patience =
            if self.plan().is_some() { options.worker_patience } else { options.worker_patience * 6 };
        if now.boot.saturating_sub(since) >= patience {
            let (end, reason) = match self.plan() {
                Some(_) => (RunState::Lost, "every worker of it was lost"),
                None => (RunState::Failed, "no worker could take it in time"),
            };
            self.stop(now, epoch, end, reason, Duration::ZERO);
        }
    }
}
