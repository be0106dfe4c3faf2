//! What time brings: losses, late acceptances, changes that take too long, the rules, the end.

use super::machine::Machine;
use super::{Engine, Now};
use shanty_model::epoch::Epoch;
use shanty_model::id::RunId;
use shanty_model::kind::Shape;
use shanty_model::rate::Load;
use shanty_model::state::{RunEvent, RunState, ShardState};
use std::time::Duration;

/// Answers of a load run may take this long after its last request: the longest timeout, and a little.
const LAST_ANSWERS: Duration = Duration::from_secs(65);
/// A second tells something about reachability from this many requests on.
const ENOUGH_SAMPLES: u64 = 5;
/// The part of requests without a connection above which the target cannot be reached.
const UNREACHABLE_PART: f64 = 0.9;
/// A gap between two ticks after which this leader doubts itself rather than the workers.
const HELD_UP: Duration = Duration::from_secs(1);
/// Seconds in a row after which a run against an unreachable target is stopped.
const UNREACHABLE_SECONDS: u32 = 5;

impl Engine {
    /// Time has passed. `frozen` while the leader's authority is in doubt: then nothing is decided.
    pub fn on_tick(&mut self, now: Now, frozen: bool) {
        // A leader that was held up finds everybody silent: what they said waits to be read first.
        let gap = self.ticked.map_or(Duration::ZERO, |last| now.boot.saturating_sub(last));
        self.ticked = Some(now.boot);
        if gap > HELD_UP {
            self.deaf_until = now.boot + HELD_UP;
        }
        self.freeze(frozen);
        if frozen {
            return;
        }
        for run in self.runs.keys().cloned().collect::<Vec<_>>() {
            self.tick_run(now, &run);
        }
        self.forget_gone(now);
    }

    fn tick_run(&mut self, now: Now, run: &RunId) {
        let (epoch, options) = (self.epoch, self.options.clone());
        let overdue = self.overdue(now, run);
        let Some(machine) = self.runs.get_mut(run) else { return };
        match machine.record.spec.shape() {
            Shape::Divisible => {
                machine.tally.mark(machine.run_ns(now));
                self.lose_attempts(now, run, overdue);
            }
            Shape::Rate | Shape::Enumerable | Shape::OneShot | Shape::Composite => {
                for (index, reason) in overdue {
                    self.lose_part(now, run, index, &reason);
                }
            }
        }
        let Some(machine) = self.runs.get_mut(run) else { return };
        machine.dismiss_drained(now);
        machine.settle_change(now, epoch);
        machine.give_change_up(now, epoch);
        if let Some(reason) = machine.judge_reachability(now) {
            machine.stop(now, epoch, RunState::Failed, &reason, options.stop_patience);
        }
        if machine.stop_by.is_some_and(|by| now.boot >= by) {
            for index in machine.open().collect::<Vec<_>>() {
                machine.end_part(now, index, ShardState::Yielded, "lost", "did not say that it stopped");
            }
        }
        self.reconcile(now, run);
        self.finish_if_ended(now, run);
    }

    /// Active parts whose workers are away for too long, or do not answer, with the reason.
    fn overdue(&self, now: Now, run: &RunId) -> Vec<(usize, String)> {
        let Some(machine) = self.runs.get(run) else { return Vec::new() };
        if machine.stop_by.is_some() {
            return Vec::new();
        }
        let run_ns = machine.run_ns(now);
        let last_answers = u64::try_from(LAST_ANSWERS.as_nanos()).unwrap_or(u64::MAX);
        let mut overdue = Vec::new();
        // A leader that hears no worker is cut off itself: they keep their shares, which nobody else could take, and what
        // they hold, until their streams break.
        let hears = self
            .workers
            .values()
            .any(|worker| now.boot.saturating_sub(worker.heard) < self.options.load_silence);
        for index in machine.active() {
            let part = &machine.parts[index];
            let worker = part.node().and_then(|node| self.workers.get(node));
            let dead = worker.is_some_and(|worker| worker.dead_since.is_some());
            let silent = now.boot >= self.deaf_until
                && worker.is_some_and(|worker| {
                    let sends_load = machine.record.spec.shape() == Shape::Rate;
                    let reports = sends_load && part.shard.state == ShardState::Running;
                    let limit = match (sends_load, reports) {
                        (true, _) if dead => self.options.load_silence_confirmed,
                        (false, _) if dead => self.options.data_silence_confirmed,
                        (_, true) => self.options.load_silence,
                        (_, false) => self.options.session_timeout,
                    };
                    now.boot.saturating_sub(worker.heard) >= limit
                });
            let reason = if let Some(lost) = &part.lost {
                lost
            } else if part.away_since.is_some_and(|since| now.boot.saturating_sub(since) >= part.grace) {
                "its worker is gone"
            } else if part.away_since.is_none() && silent && dead {
                "its worker is silent, and sentinels find it dead"
            } else if part.away_since.is_none() && silent && hears {
                "its worker is silent"
            } else if matches!(part.shard.state, ShardState::Assigned) && now.boot >= part.accept_by {
                "its worker did not take it on in time"
            } else if machine
                .plan()
                .is_some_and(|plan| run_ns > plan.load.end_ns().saturating_add(last_answers))
            {
                "its worker did not come to an end"
            } else {
                continue;
            };
            overdue.push((index, reason.to_owned()));
        }
        overdue
    }
}

impl Machine {
    /// Ends the attempts of drained workers once their share is with others.
    fn dismiss_drained(&mut self, now: Now) {
        let at = self.run_ns(now);
        for index in self.active().collect::<Vec<_>>() {
            if self.parts[index].leaves_at_ns.is_some_and(|leaves| leaves < at && leaves > 0) {
                // Said once; 0 marks that it was, and the part still counts as leaving.
                self.parts[index].leaves_at_ns = Some(0);
                self.tell_cancel(index, "its worker drains", false);
            }
        }
    }

    /// A worker that attached again and was told to stop may not have heard it.
    pub(super) fn retell_cancel(&mut self, node: &shanty_model::id::NodeId) {
        let Some((_, reason)) = self.record.detail.stopping.clone() else { return };
        for index in self.active().collect::<Vec<_>>() {
            if self.parts[index].node() == Some(node) {
                self.tell_cancel(index, &reason, false);
            }
        }
    }

    /// A change is over when every worker has applied it.
    pub(super) fn settle_change(&mut self, now: Now, epoch: Epoch) {
        let Some(revision) = self.plan().map(|plan| plan.revision) else { return };
        if self.record.state == RunState::Changing && self.active().all(|i| self.parts[i].applied >= revision)
        {
            self.change_by = None;
            self.note(
                now,
                false,
                "CHANGE_APPLIED",
                format!("all workers have revision {revision} of the plan"),
            );
            self.advance(now, epoch, RunEvent::ChangeApplied, "");
        }
    }

    fn give_change_up(&mut self, now: Now, epoch: Epoch) {
        if self.record.state == RunState::Changing && self.change_by.is_some_and(|by| now.boot >= by) {
            self.change_by = None;
            let message = "not every worker has said yet that it applied the newest change".to_owned();
            self.note(now, true, "CHANGE_UNCONFIRMED", message);
            self.advance(now, epoch, RunEvent::ChangeApplied, "");
        }
    }

    /// Says once that nobody answers; a reason to stop when it lasts.
    fn judge_reachability(&mut self, now: Now) -> Option<String> {
        let now_second = u32::try_from(self.run_ns(now) / 1_000_000_000).unwrap_or(u32::MAX);
        let (total, failed, refused) = self.tally.reachability(self.judged_seconds)?;
        // A second is judged once all of it can have been reported.
        if now_second <= self.judged_seconds {
            return None;
        }
        let second = self.judged_seconds;
        self.judged_seconds += 1;
        if total < ENOUGH_SAMPLES || (failed as f64) < total as f64 * UNREACHABLE_PART {
            if total >= ENOUGH_SAMPLES {
                self.unreachable_seconds = 0;
            }
            return None;
        }
        self.unreachable_seconds += 1;
        let target = self.record.spec.target();
        let what = if refused * 2 > failed { "refuses connections" } else { "cannot be reached" };
        let message = format!(
            "{target} {what}: {failed} of {total} requests in second {second} had no connection; is it listening?"
        );
        if self.given.insert("TARGET_UNREACHABLE") {
            let reason = if refused * 2 > failed { "TARGET_REFUSES" } else { "TARGET_UNREACHABLE" };
            self.note(now, true, reason, message.clone());
        }
        let closed = matches!(self.plan().map(|plan| &plan.load), Some(Load::Closed { .. }));
        let limit = if closed { UNREACHABLE_SECONDS.min(3) } else { UNREACHABLE_SECONDS };
        (self.unreachable_seconds >= limit).then(|| format!("stopped: {message}"))
    }
}
