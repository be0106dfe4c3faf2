//! Which arrivals are this thread's, and when each is due.
//!
//! ```text
//!   index:  0 1 2 3 4 5 6 7 …      pattern of places, laid over the index again and again
//!   due:    from the index alone   (shanty_model::rate)
//!   owner:  the part that holds at the due time
//! ```
//! A new plan takes over at an instant: arrivals due before it follow the old plan, those due at or after it
//! the new one, so that none is sent twice or skipped. A plan that was told late takes over late; the difference between
//! what was sent meanwhile and what it says is a [`Slip`], which is counted.
//! In: plans, instants. Out: due times, in order. Pure; nanoseconds since the run's start throughout.
//! Tests: `pacer_test.rs`.

use super::share::{Part, ThreadPlan};
use shanty_model::rate::{Arrivals, Load, Schedule, Sequence};

/// Walks over one thread's arrivals.
#[derive(Debug)]
pub(super) struct Pacer {
    course: Course,
    /// A plan that takes over at an instant.
    pending: Option<Pending>,
    /// Every arrival due before this instant has been taken.
    handled_ns: u64,
    /// Arrivals due before this instant are none of its own.
    begun_ns: u64,
    /// Where the measurement begins.
    warm_up_ns: u64,
    /// Of plans that took over late, not counted yet.
    slips: Vec<Slip>,
}

#[derive(Debug)]
struct Pending {
    /// The plan was to hold from this instant on.
    since_ns: u64,
    /// It takes over here.
    at_ns: u64,
    course: Course,
}

/// What a plan that took over late has moved. All of it was due in the warm-up, or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slip {
    /// The first instant that it is about.
    pub(super) from_ns: u64,
    /// Arrivals that were this thread's by the new plan, beyond those that it took by the old one: nobody sent them.
    pub(super) missed: u64,
    /// Arrivals that it took by the old plan beyond those that were its by the new one.
    pub(super) astray: u64,
}

/// An arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Its place among all arrivals of the run.
    pub(super) index: u64,
    /// When it is due.
    pub(super) due_ns: u64,
}

impl Pacer {
    /// At the run's start. A closed loop has no arrivals.
    pub(super) fn new(plan: &ThreadPlan, warm_up_ns: u64) -> Pacer {
        Pacer {
            course: Course::at(plan, 0),
            pending: None,
            handled_ns: 0,
            begun_ns: 0,
            warm_up_ns,
            slips: Vec::new(),
        }
    }

    /// Leaves out the arrivals due before `at_ns` and answers how many they were.
    pub(super) fn skip_to(&mut self, at_ns: u64) -> u64 {
        let skipped = self.course.owned_between(self.handled_ns, at_ns);
        self.course.seek(at_ns);
        self.handled_ns = self.handled_ns.max(at_ns);
        skipped
    }

    /// Leaves out the arrivals due before `at_ns`, which were somebody else's whatever any plan says.
    pub(super) fn begin_at(&mut self, at_ns: u64) {
        self.skip_to(at_ns);
        self.begun_ns = at_ns;
    }

    /// Lets `plan`, which was to hold since `since_ns`, hold for arrivals due from `at_ns` on, or from where it can without
    /// sending one twice.
    pub(super) fn adopt(&mut self, plan: &ThreadPlan, since_ns: u64, at_ns: u64) {
        // A plan that is already waiting was to take over earlier; the new one says the same up to there.
        let (since_ns, waiting) = self
            .pending
            .take()
            .map_or((since_ns, at_ns), |old| (old.since_ns.min(since_ns), old.at_ns.min(at_ns)));
        let first = plan.parts.first().map_or(0, |part| part.from_ns);
        let at_ns = waiting.max(self.handled_ns).max(first);
        self.pending = Some(Pending { since_ns, at_ns, course: Course::at(plan, at_ns) });
        self.switch_if_due();
    }

    /// What plans that took over late have moved since this was asked before.
    pub(super) fn take_slips(&mut self) -> Vec<Slip> {
        std::mem::take(&mut self.slips)
    }

    /// When the next arrival is due; none if there are no more.
    #[inline]
    pub(super) fn next_due(&self) -> Option<u64> {
        self.course.next.map(|arrival| arrival.due_ns)
    }

    /// The next arrival, if it is due at `now_ns`.
    #[inline]
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<Arrival> {
        match self.course.next {
            Some(arrival) if arrival.due_ns <= now_ns => {
                self.course.advance();
                self.switch_if_due();
                Some(arrival)
            }
            Some(_) | None => {
                self.handled_ns = self.handled_ns.max(now_ns.saturating_add(1));
                None
            }
        }
    }

    /// Every arrival due before this instant has been taken, at `now_ns`.
    pub(super) fn covered_ns(&self) -> u64 {
        self.next_due().unwrap_or(self.course.schedule.end_ns()).max(self.handled_ns)
    }

    fn switch_if_due(&mut self) {
        let Some(pending) = &self.pending else { return };
        if self.course.next.is_none_or(|arrival| arrival.due_ns >= pending.at_ns)
            && let Some(Pending { since_ns, at_ns, course }) = self.pending.take()
        {
            let mut old = std::mem::replace(&mut self.course, course);
            self.handled_ns = self.handled_ns.max(at_ns);
            let since_ns = since_ns.max(self.begun_ns);
            let measured = self.warm_up_ns.clamp(since_ns.min(at_ns), at_ns);
            self.slip(&mut old, since_ns, measured);
            self.slip(&mut old, measured, at_ns);
        }
    }

    /// Notes how what was taken by `old` from `from_ns` to `to_ns` differs from what the plan in force says.
    fn slip(&mut self, old: &mut Course, from_ns: u64, to_ns: u64) {
        if from_ns < to_ns {
            let (taken, owned) =
                (old.owned_between(from_ns, to_ns), self.course.owned_between(from_ns, to_ns));
            if taken != owned {
                let (missed, astray) = (owned.saturating_sub(taken), taken.saturating_sub(owned));
                self.slips.push(Slip { from_ns, missed, astray });
            }
        }
    }
}

/// A walk under one plan.
#[derive(Debug)]
struct Course {
    schedule: Schedule,
    sequence: Sequence,
    parts: Vec<Part>,
    /// The part walked in.
    part: usize,
    /// The first index that is beyond it.
    limit: u64,
    /// The next arrival is place `slot` of round `round` of the pattern.
    round: u64,
    slot: usize,
    next: Option<Arrival>,
}

impl Course {
    fn at(plan: &ThreadPlan, at_ns: u64) -> Course {
        let (schedule, arrivals, parts) = match &plan.load {
            Load::Open { schedule, arrivals } => (schedule.clone(), *arrivals, plan.parts.clone()),
            Load::Closed { end_ns, .. } => (Schedule::new(&[]).ended(*end_ns), Arrivals::Uniform, Vec::new()),
        };
        let sequence = Sequence::new(arrivals);
        let mut course =
            Course { schedule, sequence, parts, part: 0, limit: 0, round: 0, slot: 0, next: None };
        course.seek(at_ns);
        course
    }

    /// Goes to the first arrival due at or after `at_ns`.
    fn seek(&mut self, at_ns: u64) {
        let held = self.parts.partition_point(|part| part.from_ns <= at_ns);
        self.part = held.saturating_sub(1);
        self.enter(at_ns);
    }

    /// Goes to the first arrival of the part at hand, or a later one, due at or after `at_ns`.
    fn enter(&mut self, at_ns: u64) {
        let mut at_ns = at_ns;
        loop {
            let Some(part) = self.parts.get(self.part) else {
                self.next = None;
                return;
            };
            let start = self.sequence.count_before(&self.schedule, at_ns.max(part.from_ns));
            let until = self.parts.get(self.part + 1).map_or(u64::MAX, |next| next.from_ns);
            self.limit = self.sequence.count_before(&self.schedule, until);
            self.round = start / part.modulus;
            let rest = start % part.modulus;
            self.slot = part.places.partition_point(|place| *place < rest);
            if self.slot == part.places.len() {
                self.round += 1;
                self.slot = 0;
            }
            if self.find() {
                return;
            }
            self.part += 1;
            at_ns = 0;
        }
    }

    /// Sets `next` to the arrival at hand, if it is one of the part.
    fn find(&mut self) -> bool {
        let part = &self.parts[self.part];
        let Some(place) = part.places.get(self.slot) else { return false };
        let index = self.round * part.modulus + place;
        if index >= self.limit {
            return false;
        }
        let due = self.sequence.due(&self.schedule, index);
        self.next = due.map(|due_ns| Arrival { index, due_ns });
        due.is_some()
    }

    #[inline]
    fn advance(&mut self) {
        self.slot += 1;
        if self.slot == self.parts[self.part].places.len() {
            self.slot = 0;
            self.round += 1;
        }
        if !self.find() {
            self.part += 1;
            self.enter(0);
        }
    }

    /// Arrivals of this thread due in `from_ns..to_ns`.
    fn owned_between(&mut self, from_ns: u64, to_ns: u64) -> u64 {
        let mut total = 0;
        for (i, part) in self.parts.iter().enumerate() {
            let until = self.parts.get(i + 1).map_or(u64::MAX, |next| next.from_ns);
            let (from, to) = (from_ns.max(part.from_ns), to_ns.min(until));
            if from < to {
                let last = self.sequence.count_before(&self.schedule, to);
                let first = self.sequence.count_before(&self.schedule, from);
                total += part.owned_before(last) - part.owned_before(first);
            }
        }
        total
    }
}

impl Part {
    /// How many of the arrivals `0..index` are this thread's.
    fn owned_before(&self, index: u64) -> u64 {
        let in_rest = self.places.partition_point(|place| *place < index % self.modulus);
        (index / self.modulus) * self.places.len() as u64 + in_rest as u64
    }
}

#[cfg(test)]
#[path = "pacer_test.rs"]
mod tests;
