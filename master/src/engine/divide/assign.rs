//! Which worker gets which shard.
//!
//! Shards without a size come first, then larger before smaller. The worker with the fewest shards of the run is
//! taken, among these the one with the best score.

use super::super::command::{Assignment, Order};
use super::super::machine::Machine;
use super::super::{Engine, Now, Options};
use crate::placement::{Candidate, Decision, Needs, candidate};
use shanty_model::epoch::Epoch;
use shanty_model::id::RunId;
use shanty_model::state::{RunEvent, RunState, ShardEvent, ShardState};
use std::cmp::Reverse;
use std::time::Duration;

/// A worker that refused a shard is asked again after this if nobody else could take it.
const REFUSAL_HOLDS: Duration = Duration::from_secs(10);
/// Shards that a decision names.
const NAMED: usize = 3;

/// A worker as a run of shape divisible looks at it.
#[derive(Debug)]
pub(super) struct Seat {
    /// The worker with its score; its weight is the number of this run's attempts that it holds.
    pub(super) candidate: Candidate,
    /// Whether it could do this kind of work, were it free.
    pub(super) is_fit: bool,
    /// Attempts that it may still take.
    pub(super) free: u32,
    /// Databases that it can reach.
    connections: Vec<String>,
    /// Whether it is there and does the kind.
    does_kind: bool,
}

impl Engine {
    /// All workers as a run looks at them.
    pub(super) fn seats(&self, now: Now, run: &RunId) -> Vec<Seat> {
        let Some(machine) = self.runs.get(run) else { return Vec::new() };
        let needs = Needs::of(&machine.record.spec);
        let (busy, mine) = (self.busy(), machine.attempts_by_worker());
        self.workers
            .values()
            .map(|worker| {
                let arrival = &worker.arrival;
                let mut candidate = candidate(&worker.standing(now.boot, &self.options, 0), &needs);
                let is_fit = candidate.refusal.is_empty();
                let free = arrival.slots.saturating_sub(busy.get(&arrival.node).copied().unwrap_or(0));
                if is_fit && free == 0 {
                    candidate.refusal = "no free slot".to_owned();
                    candidate.score = 0.0;
                }
                candidate.weight = mine.get(&arrival.node).copied().unwrap_or(0);
                Seat {
                    candidate,
                    is_fit,
                    free,
                    connections: arrival.connections.clone(),
                    does_kind: worker.is_present(now.boot, &self.options)
                        && arrival.kinds.iter().any(|kind| kind == needs.kind),
                }
            })
            .collect()
    }
}

impl Machine {
    /// Assigns waiting shards to `seats` while there is `room` under the caps.
    pub(super) fn assign(
        &mut self,
        now: Now,
        epoch: Epoch,
        seats: &mut [Seat],
        room: &mut u32,
        options: &Options,
    ) {
        let mut named = Vec::new();
        let mut assigned = 0_usize;
        for index in self.waiting(now) {
            if *room == 0 || seats.iter().all(|seat| !seat.is_fit || seat.free == 0) {
                break;
            }
            let Some(place) = self.pick(now, index, seats) else { continue };
            let Some(seat) = seats.get_mut(place) else { continue };
            seat.free -= 1;
            seat.candidate.weight += 1;
            *room -= 1;
            self.give(now, epoch, index, &seat.candidate, options);
            assigned += 1;
            if named.len() < NAMED {
                named.push(format!("{} to {}", self.title(index), seat.candidate.node));
            }
        }
        if assigned == 0 {
            return;
        }
        let more = if assigned > named.len() {
            format!(" and {} more", assigned - named.len())
        } else {
            String::new()
        };
        let decision = Decision {
            time_ms: now.unix_ms(),
            reason: format!("{}{more}", named.join(", ")),
            revision: self.next_revision(),
            candidates: seats.iter().map(|seat| seat.candidate.clone()).collect(),
        };
        self.decided(decision);
    }

    /// Waiting shards in the order in which they are assigned.
    fn waiting(&self, now: Now) -> Vec<usize> {
        let mut waiting: Vec<usize> = (0..self.parts.len())
            .filter(|i| {
                let part = &self.parts[*i];
                part.shard.state == ShardState::Pending && part.course.retry_at <= now.boot
            })
            .collect();
        waiting.sort_by_key(|i| {
            let size = self.parts[*i].shard.size;
            (size != 0, Reverse(size))
        });
        waiting
    }

    /// The best of the workers that have not refused this shard, else of those whose refusal is long ago.
    fn pick(&self, now: Now, index: usize, seats: &[Seat]) -> Option<usize> {
        let refused = &self.parts[index].course.refused;
        let refusal = |seat: &Seat| {
            refused.get(&(seat.candidate.node.clone(), seat.candidate.incarnation.clone())).copied()
        };
        let nobody_is_willing = seats.iter().all(|seat| !seat.is_fit || refusal(seat).is_some());
        let may = |seat: &Seat| match refusal(seat) {
            None => true,
            Some(at) => nobody_is_willing && now.boot.saturating_sub(at) >= REFUSAL_HOLDS,
        };
        let free = seats.iter().enumerate().filter(|(_, seat)| seat.is_fit && seat.free > 0 && may(seat));
        let best = free.min_by(|(_, a), (_, b)| {
            let fewest = a.candidate.weight.cmp(&b.candidate.weight);
            fewest.then(b.candidate.score.total_cmp(&a.candidate.score))
        });
        best.map(|(place, _)| place)
    }

    fn give(&mut self, now: Now, epoch: Epoch, index: usize, to: &Candidate, options: &Options) {
        self.record.detail.start_unix_ns.get_or_insert(now.unix_ns);
        if self.record.state == RunState::Submitted {
            self.advance(now, epoch, RunEvent::Placed, "");
        }
        let part = &mut self.parts[index];
        part.course.begin();
        part.begin_attempt(now, epoch, (&to.node, &to.incarnation), now.boot + options.accept_timeout);
        self.advance_shard(now, index, ShardEvent::Assigned, "");
        self.send_assignment(now, index, options);
    }

    /// Sends the order to do a part's attempt again, if it is not about to be sent.
    pub(in super::super) fn assign_again(&mut self, now: Now, index: usize, options: &Options) {
        let attempt = self.holder(index).map(|(_, attempt)| attempt);
        if attempt.is_some_and(|attempt| self.unsent_directive(&attempt).is_none()) {
            self.send_assignment(now, index, options);
        }
    }

    /// Sends the order to do a part's attempt. Its share of the limits is put right before it goes, by
    /// [`Machine::direct`], when more is assigned in the same step.
    fn send_assignment(&mut self, now: Now, index: usize, options: &Options) {
        let (Some((node, attempt)), Ok(spec)) = (self.holder(index), self.record.spec.driver_json()) else {
            return;
        };
        let revision = self.next_revision();
        let cuts = self.parts[index].course.cuts;
        let directive = self.present_spec().shard_directive(super::count(self.active()), cuts);
        let assignment = Assignment {
            attempt,
            kind: self.record.spec.kind().to_owned(),
            spec,
            shard: self.parts[index].shard.payload.clone(),
            directive: directive.clone(),
            revision,
            start_unix_ns: self.record.detail.start_unix_ns.unwrap_or(now.unix_ns),
            orphan_limit: options.data_orphan_limit,
        };
        let part = &mut self.parts[index];
        part.told = revision;
        part.course.directive = directive;
        self.touch();
        self.tell(node, Order::Assign(Box::new(assignment)));
    }

    /// A run that nobody can do waits a while for somebody, and says so.
    pub(super) fn await_workers(&mut self, now: Now, epoch: Epoch, seats: &[Seat], options: &Options) {
        if self.active().next().is_some() || seats.iter().any(|seat| seat.is_fit) {
            self.alone_since = None;
            self.given.remove("WAITING_FOR_WORKERS");
            return;
        }
        let since = *self.alone_since.get_or_insert(now.boot);
        let why = self.why_nobody(seats);
        if self.given.insert("WAITING_FOR_WORKERS") {
            self.note(now, true, "WAITING_FOR_WORKERS", why.clone());
        }
        let has_begun = self.record.detail.start_unix_ns.is_some();
        let patience = if has_begun { options.data_patience } else { options.worker_patience * 6 };
        if now.boot.saturating_sub(since) >= patience {
            let (end, reason) = if has_begun {
                (RunState::Lost, format!("no worker could go on with it: {why}"))
            } else {
                (RunState::Failed, format!("no worker could take it in time: {why}"))
            };
            self.stop(now, epoch, end, &reason, Duration::ZERO);
        }
    }

    fn why_nobody(&self, seats: &[Seat]) -> String {
        let wanted = self.record.spec.connections();
        let able: Vec<&Seat> = seats.iter().filter(|seat| seat.does_kind).collect();
        let has = |seat: &Seat, name: &str| seat.connections.iter().any(|known| known == name);
        let missing = wanted.iter().find(|name| !able.iter().any(|seat| has(seat, name)));
        let have_all = able.iter().any(|seat| wanted.iter().all(|name| has(seat, name)));
        match (seats.len(), missing) {
            (0, _) => "no worker is attached: start one with `shanty worker --masters ADDRESS`".to_owned(),
            (n, _) if able.is_empty() => {
                format!("none of {n} workers does {}: see `shanty node list`", self.record.spec.kind())
            }
            (_, Some(name)) => format!(
                "no worker has the connection `{name}`: add it to [worker.connections.{name}] of a worker's \
                 configuration"
            ),
            (_, None) if !have_all => {
                format!("no worker has all of the connections `{}`: give one worker all", wanted.join("`, `"))
            }
            (n, None) => format!("none of {n} workers can take it: see `shanty node list`"),
        }
    }
}
