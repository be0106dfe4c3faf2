//! One run with its parts: the state machine's records, the plan, the tally, and what must be stored.

use super::Now;
use super::command::{Assignment, Command, Order};
use super::divide::Pace;
use super::on_past::Unread;
use super::on_run::nanos;
use super::part::{Dirty, Part};
use super::reconcile::RESCORE_EVERY;
use crate::placement::Decision;
use crate::store::{AttemptRecord, EventBody, EventRecord, Mutation, RunRecord, ShardRecord};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId, ShardId};
use shanty_model::kind::{ShardDraft, Tally};
use shanty_model::rate::Plan;
use shanty_model::state::{RunEvent, RunState, ShardEvent, ShardState};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Placement decisions kept with a run, the newest in any case.
const KEPT_DECISIONS: usize = 16;
/// Candidates of all of them together: they are stored with each change of the run.
const KEPT_CANDIDATES: usize = 2_000;

/// A run that has not ended.
#[derive(Debug)]
pub struct Machine {
    /// The run as it is stored.
    pub record: RunRecord,
    /// Its parts by shard index.
    pub parts: Vec<Part>,
    /// Its results so far.
    pub tally: Tally,
    /// When it was taken up by this leader.
    pub since: Duration,
    /// Since when no worker has a part in it.
    pub alone_since: Option<Duration>,
    /// When workers must have stopped by.
    pub stop_by: Option<Duration>,
    /// Until when a change may be on its way.
    pub change_by: Option<Duration>,
    /// Notes that are given once.
    pub given: BTreeSet<&'static str>,
    /// Workers that have refused it or failed with it, by incarnation: they are not asked again.
    pub unwilling: BTreeSet<(NodeId, String)>,
    /// The largest number of an attempt that a worker has told, by shard, of shards that may not be there any more.
    pub told_numbers: BTreeMap<u32, u32>,
    /// Results of before this leader that are not in the tally yet; none when all are.
    pub unread: Option<Unread>,
    /// Seconds of the run, before this one, that the rules have looked at.
    pub judged_seconds: u32,
    /// Seconds in a row in which the target could not be reached.
    pub unreachable_seconds: u32,
    /// When shares may be looked at again.
    pub rescore_at: Duration,
    /// What a run of shape divisible remembers.
    pub pace: Pace,
    dirty: bool,
    fresh: bool,
    /// Attempts that have ended and whose shards wait again.
    past: Vec<AttemptRecord>,
    events: Vec<EventRecord>,
    orders: Vec<(NodeId, Order)>,
}

impl Machine {
    /// A machine for `record`. `fresh` when it is not in the store yet.
    pub fn new(record: RunRecord, parts: Vec<Part>, since: Duration, fresh: bool) -> Machine {
        let tally = record.spec.tally();
        let pace = Pace::of(&parts);
        Machine {
            record,
            parts,
            tally,
            since,
            alone_since: None,
            stop_by: None,
            change_by: None,
            given: BTreeSet::new(),
            unwilling: BTreeSet::new(),
            told_numbers: BTreeMap::new(),
            unread: None,
            judged_seconds: 0,
            unreachable_seconds: 0,
            rescore_at: since + RESCORE_EVERY,
            pace,
            dirty: fresh,
            fresh,
            past: Vec::new(),
            events: Vec::new(),
            orders: Vec::new(),
        }
    }

    /// Whether it has ended and may be forgotten.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.record.state.is_terminal() && !self.dirty
    }

    /// Time since the run's start, nanoseconds; 0 before it.
    #[must_use]
    pub fn run_ns(&self, now: Now) -> u64 {
        self.record.detail.start_unix_ns.map_or(0, |start| u64::try_from(now.unix_ns - start).unwrap_or(0))
    }

    /// When a change of the shares that is decided now takes effect, nanoseconds since the run's start.
    #[must_use]
    pub fn switch_at(&self, now: Now, lead: Duration) -> u64 {
        let (now_ns, lead_ns) = (self.run_ns(now), nanos(lead));
        self.plan().map_or(now_ns.saturating_add(lead_ns), |plan| plan.switch_at(now_ns, lead_ns))
    }

    /// The plan, once there is one.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        self.record.detail.plan.as_ref()
    }

    /// How many attempts are out, by worker.
    #[must_use]
    pub fn attempts_by_worker(&self) -> BTreeMap<&NodeId, u32> {
        let mut attempts = BTreeMap::new();
        for node in self.active().filter_map(|index| self.parts[index].node()) {
            *attempts.entry(node).or_insert(0) += 1;
        }
        attempts
    }

    /// Parts whose attempts are still out.
    pub fn active(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.parts.len()).filter(|i| self.parts[*i].is_active())
    }

    /// Parts whose shards have not ended, with an attempt out or without.
    pub fn open(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.parts.len()).filter(|i| self.parts[*i].is_open())
    }

    /// Moves the run on; an event that does not apply changes nothing.
    pub fn advance(&mut self, now: Now, epoch: Epoch, event: RunEvent, reason: &str) {
        let from = self.record.state;
        let Ok(to) = from.on(event) else { return };
        self.record.state = to;
        self.record.epoch = epoch;
        reason.clone_into(&mut self.record.reason);
        self.dirty = true;
        // A change on its way is told by notes; to those who watch, the run goes on.
        let goes_on = |state| matches!(state, RunState::Running | RunState::Changing);
        if from != to && !(goes_on(from) && goes_on(to)) {
            self.event(now, EventBody::State { from, to, reason: reason.to_owned() });
        }
    }

    /// Moves a part's shard on; an event that does not apply changes nothing. Answers whether it did.
    pub fn advance_shard(&mut self, now: Now, index: usize, event: ShardEvent, reason: &str) -> bool {
        let part = &mut self.parts[index];
        let Ok(state) = part.shard.state.on(event) else { return false };
        part.shard.state = state;
        reason.clone_into(&mut part.shard.reason);
        part.dirty.shard = true;
        let body = EventBody::Shard {
            shard: part.shard.id.clone(),
            attempt: part.shard.attempt,
            node: part.shard.node.clone(),
            state,
            reason: reason.to_owned(),
        };
        self.event(now, body);
        true
    }

    /// Ends a part's attempt, if one is out, and its shard.
    pub fn end_part(&mut self, now: Now, index: usize, state: ShardState, outcome: &str, reason: &str) {
        if self.advance_shard(now, index, ShardEvent::Ended(state), reason) {
            self.parts[index].end_attempt(now, outcome, reason);
        }
    }

    /// Ends a part's attempt; its shard waits for a worker again. Answers whether an attempt was out.
    pub fn requeue(&mut self, now: Now, index: usize, outcome: &str, reason: &str) -> bool {
        if !self.parts[index].is_active() || !self.advance_shard(now, index, ShardEvent::Requeued, reason) {
            return false;
        }
        let part = &mut self.parts[index];
        part.end_attempt(now, outcome, reason);
        part.dirty.attempt = false;
        self.past.extend(part.attempt.take());
        true
    }

    /// Adds a part for `node`; it is sent with the next [`Machine::tell_plan`].
    pub fn add_part(
        &mut self,
        now: Now,
        epoch: Epoch,
        node: &NodeId,
        incarnation: &str,
        accept_by: Duration,
    ) {
        let mut part = self.next_part(ShardDraft::default());
        part.begin_attempt(now, epoch, (node, incarnation), accept_by);
        self.parts.push(part);
    }

    /// Adds the shards of `drafts` that are not there yet; they wait for workers. Answers how many there were.
    pub fn add_shards(&mut self, drafts: Vec<ShardDraft>) -> usize {
        let before = self.parts.len();
        for draft in drafts {
            if self.pace.names.insert(draft.name.clone()) {
                let part = self.next_part(draft);
                self.parts.push(part);
            }
        }
        self.parts.len() - before
    }

    fn next_part(&self, draft: ShardDraft) -> Part {
        let ShardDraft { name, payload, size } = draft;
        let index = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        let mut part = Part::waiting(ShardRecord {
            id: ShardId { run: self.record.id.clone(), index },
            name,
            payload,
            size,
            state: ShardState::Pending,
            attempt: 0,
            node: None,
            reason: String::new(),
            version: 0,
        });
        part.told_number = self.told_numbers.get(&index).copied().unwrap_or(0);
        part
    }

    /// Sends the plan to every active part that was told an older one.
    pub fn tell_plan(&mut self, now: Now, orphan_limit: Duration) {
        let Some(revision) = self.plan().map(|plan| plan.revision) else { return };
        let is_due = |part: &Part| part.told < revision && part.away_since.is_none();
        let due: Vec<usize> = self.active().filter(|index| is_due(&self.parts[*index])).collect();
        // Mostly nobody is: a plan of a thousand shares is not copied to learn that.
        if due.is_empty() {
            return;
        }
        let Some(plan) = self.record.detail.plan.clone() else { return };
        let directives = plan.directives();
        for index in due {
            let Ok(directive) = serde_json::to_string(&directives.of(index)) else { continue };
            let Some((node, attempt)) = self.holder(index) else { continue };
            let order = if self.parts[index].shard.state == ShardState::Pending {
                let Ok(spec) = self.record.spec.driver_json() else { continue };
                self.advance_shard(now, index, ShardEvent::Assigned, "");
                Order::Assign(Box::new(Assignment {
                    attempt,
                    kind: self.record.spec.kind().to_owned(),
                    spec,
                    shard: self.parts[index].shard.payload.clone(),
                    directive,
                    revision: plan.revision,
                    start_unix_ns: self.record.detail.start_unix_ns.unwrap_or(now.unix_ns),
                    orphan_limit,
                }))
            } else {
                Order::Change { attempt, revision: plan.revision, directive }
            };
            self.parts[index].told = plan.revision;
            self.tell(node, order);
        }
    }

    /// The worker and the name of a part's newest attempt; none while its shard waits.
    #[must_use]
    pub fn holder(&self, index: usize) -> Option<(NodeId, AttemptId)> {
        self.parts[index].attempt.as_ref().map(|attempt| (attempt.node.clone(), attempt.id.clone()))
    }

    /// Asks the worker of a part to stop its attempt.
    pub fn tell_cancel(&mut self, index: usize, reason: &str, discard: bool) {
        if let Some((node, attempt)) = self.holder(index) {
            self.tell(node, Order::Cancel { attempt, reason: reason.to_owned(), discard });
        }
    }

    /// The order for an attempt that waits to be sent, whose directive may still be replaced.
    pub(super) fn unsent_directive(&mut self, of: &AttemptId) -> Option<&mut String> {
        self.orders.iter_mut().find_map(|(_, order)| match order {
            Order::Assign(assignment) if assignment.attempt == *of => Some(&mut assignment.directive),
            Order::Change { attempt, directive, .. } if attempt == of => Some(directive),
            Order::Assign(_)
            | Order::Change { .. }
            | Order::Cancel { .. }
            | Order::Ack { .. }
            | Order::Drain(_) => None,
        })
    }

    /// Sends an order after the next commit.
    pub fn tell(&mut self, node: NodeId, order: Order) {
        self.orders.push((node, order));
    }

    /// Keeps a placement decision.
    pub fn decided(&mut self, decision: Decision) {
        let placements = &mut self.record.detail.placements;
        placements.push(decision);
        let mut candidates = 0;
        let fits = |decision: &&Decision| {
            candidates += decision.candidates.len();
            candidates <= KEPT_CANDIDATES
        };
        let kept = placements.iter().rev().take(KEPT_DECISIONS).take_while(fits).count().max(1);
        placements.drain(..placements.len() - kept);
        self.dirty = true;
    }

    /// Gives a note.
    pub fn note(&mut self, now: Now, warning: bool, reason: &str, message: String) {
        self.event(now, EventBody::Note { warning, reason: reason.to_owned(), message });
    }

    /// Marks the run as changed, to be stored with the next commit.
    pub fn touch(&mut self) {
        self.dirty = true;
    }

    /// Asks the run to stop: it shall end in `end` once its workers have.
    pub fn stop(&mut self, now: Now, epoch: Epoch, end: RunState, reason: &str, patience: Duration) {
        if self.record.detail.stopping.is_some() || self.record.state.is_terminal() {
            return;
        }
        let at = self.run_ns(now);
        self.record.detail.stopping = Some((end, reason.to_owned()));
        self.record.detail.stopped_at_ns = Some(at);
        self.stop_by = Some(now.boot + patience);
        self.advance(now, epoch, RunEvent::StopAsked, reason);
        for index in self.open().collect::<Vec<_>>() {
            if self.parts[index].is_active() {
                self.tell_cancel(index, reason, false);
            } else {
                self.end_part(now, index, ShardState::Yielded, "", reason);
            }
        }
    }

    fn event(&mut self, now: Now, body: EventBody) {
        self.record.sequence += 1;
        self.dirty = true;
        let (run, sequence) = (self.record.id.clone(), self.record.sequence);
        self.events.push(EventRecord { run, sequence, time_ms: now.unix_ms(), body });
    }

    /// Hands over what must be stored and told since the last time.
    pub fn flush(&mut self, commands: &mut Vec<Command>) {
        if self.dirty {
            self.record.version += 1;
            let record = Box::new(self.record.clone());
            let mutation = if self.fresh { Mutation::InsertRun(record) } else { Mutation::UpdateRun(record) };
            commands.push(Command::store(mutation));
            (self.dirty, self.fresh) = (false, false);
        }
        commands.extend(self.past.drain(..).map(stored_attempt));
        for part in &mut self.parts {
            if part.dirty.shard {
                part.shard.version += 1;
                let shard = part.shard.clone();
                let insert = shard.version == 1;
                commands.push(Command::store(if insert {
                    Mutation::InsertShard(shard)
                } else {
                    Mutation::UpdateShard(shard)
                }));
            }
            if part.dirty.attempt
                && let Some(attempt) = &mut part.attempt
            {
                commands.push(stored_attempt(attempt.clone()));
                attempt.version += 1;
            }
            part.dirty = Dirty::default();
        }
        commands.extend(self.events.drain(..).map(|event| Command::store(Mutation::AppendEvent(event))));
        commands.extend(self.orders.drain(..).map(|(node, order)| Command::Tell(node, order)));
    }
}

/// Stores an attempt's next version.
fn stored_attempt(mut attempt: AttemptRecord) -> Command {
    attempt.version += 1;
    Command::store(if attempt.version == 1 {
        Mutation::InsertAttempt(attempt)
    } else {
        Mutation::UpdateAttempt(attempt)
    })
}
