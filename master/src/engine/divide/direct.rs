//! What attempts are told while they are out: their share of the limits, to cut, to hand back.
//!
//! Level-triggered: an attempt is told when what it should know differs from what it was told. A directive's
//! revision is the version under which the run is stored with it, so that a new leader's are always larger.

use super::super::command::{Order, Refused};
use super::super::machine::Machine;
use super::super::{Engine, Now, Worker};
use super::assign::Seat;
use super::count;
use shanty_model::id::{NodeId, RunId};
use shanty_model::kind::Change;
use shanty_model::state::{RunState, ShardState};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// A worker is idle for this long before a shard is cut for it.
const IDLE: Duration = Duration::from_secs(1);
/// A cut that was asked for counts as on its way for this long, and the shard is not asked again before.
const CUT_AGAIN: Duration = Duration::from_secs(5);
/// Less than this is not worth a cut.
const WORTH_CUTTING: u64 = 20_000;

impl Engine {
    /// Changes a run of shape divisible: limits of attempts under way, and how many there may be.
    ///
    /// # Errors
    /// [`Refused::Precondition`] when the run is stopping.
    pub(in super::super) fn change_divisible(
        &mut self,
        now: Now,
        id: &RunId,
        change: &Change,
    ) -> Result<(), Refused> {
        let machine = self.active_run(id)?;
        if machine.record.state == RunState::Stopping {
            return Err(Refused::Precondition {
                reason: "RUN_NOT_RUNNING",
                message: format!("run `{id}` is stopping; it can be changed while it is running"),
            });
        }
        let all = match machine.record.detail.change.take() {
            Some(older) => older.then(change.clone()),
            None => change.clone(),
        };
        machine.record.detail.change = Some(all);
        machine.note(now, false, "CHANGE", change.words());
        self.reconcile(now, id);
        Ok(())
    }
}

impl Machine {
    /// Number of the next directive or decision.
    pub(super) fn next_revision(&self) -> u32 {
        u32::try_from(self.record.version.saturating_add(1)).unwrap_or(u32::MAX)
    }

    /// Asks attempts to hand their shards back: those of draining workers, and the newest of more than there may
    /// be.
    pub(super) fn recall(&mut self, workers: &BTreeMap<NodeId, Worker>) {
        let drains = |node: Option<&NodeId>| {
            node.and_then(|node| workers.get(node)).is_some_and(|worker| worker.draining)
        };
        for index in self.active().collect::<Vec<_>>() {
            if !self.parts[index].course.recalled && drains(self.parts[index].node()) {
                self.recall_part(index, "its worker drains");
            }
        }
        let mut staying: Vec<usize> = self.active().filter(|i| !self.parts[*i].course.recalled).collect();
        let most = usize::try_from(self.most_attempts()).unwrap_or(usize::MAX);
        if staying.len() <= most {
            return;
        }
        // Whose sizes are unknown find or finish the work of others: they go on.
        staying.sort_by_key(|i| {
            let part = &self.parts[*i];
            let begun_ms = part.attempt.as_ref().map_or(0, |attempt| attempt.create_ms);
            (part.shard.size != 0, begun_ms, *i)
        });
        for index in staying.split_off(most) {
            self.recall_part(index, "fewer shards may be done at once");
        }
    }

    fn recall_part(&mut self, index: usize, reason: &str) {
        self.parts[index].course.recalled = true;
        self.tell_cancel(index, reason, false);
    }

    /// Asks the shard with the most left to give up a part of it when a worker has nothing to do.
    pub(super) fn cut(&mut self, now: Now, seats: &[Seat], room: u32) {
        let slots: u32 = seats.iter().filter(|seat| seat.is_fit).map(|seat| seat.free).sum();
        let idle = room.min(slots);
        let waits = self.parts.iter().any(|part| part.shard.state == ShardState::Pending);
        if waits || idle == 0 {
            self.pace.idle_since = None;
            return;
        }
        let since = *self.pace.idle_since.get_or_insert(now.boot);
        if now.boot.saturating_sub(since) < IDLE {
            return;
        }
        let is_recent = |at: Option<Duration>| at.is_some_and(|at| now.boot.saturating_sub(at) < CUT_AGAIN);
        let on_their_way = count(self.active().filter(|i| {
            let course = &self.parts[*i].course;
            course.awaits_cut && is_recent(course.cut_at)
        }));
        if on_their_way >= idle {
            return;
        }
        let largest = self
            .active()
            .filter(|i| {
                let part = &self.parts[*i];
                let runs = part.shard.state == ShardState::Running && part.away_since.is_none();
                runs && !part.course.recalled && !is_recent(part.course.cut_at)
            })
            .filter_map(|i| Some((self.tally.left_to_cut(self.parts[i].shard.id.index)?, Reverse(i))))
            .filter(|(left, _)| *left >= WORTH_CUTTING)
            .max();
        if let Some((_, Reverse(index))) = largest {
            let from = self.pace.cuts_from;
            let course = &mut self.parts[index].course;
            course.cuts = course.cuts.max(from).saturating_add(1);
            course.cut_at = Some(now.boot);
            course.awaits_cut = true;
        }
    }

    /// Tells every attempt what it should know and was not told.
    pub(super) fn direct(&mut self) {
        let spec = self.present_spec();
        let running = count(self.active());
        for index in self.active().collect::<Vec<_>>() {
            let part = &self.parts[index];
            let directive = spec.shard_directive(running, part.course.cuts);
            if part.away_since.is_some() || part.course.recalled || part.course.directive == directive {
                continue;
            }
            let Some((node, attempt)) = self.holder(index) else { continue };
            if let Some(unsent) = self.unsent_directive(&attempt) {
                directive.clone_into(unsent);
            } else {
                let revision = self.next_revision();
                self.parts[index].told = revision;
                self.touch();
                self.tell(node, Order::Change { attempt, revision, directive: directive.clone() });
            }
            self.parts[index].course.directive = directive;
        }
    }
}
