//! From control to a load thread: the newest word holds, and an eventfd wakes the sleeper.
//!
//! A mailbox instead of a channel, since it cannot fill: a newer plan takes the place of an older one that was
//! not read yet, and a stop is never taken back.
//! In: plans, a stop, empty deltas. Out: the same. Never: blocks longer than a move of a few words takes.
//! Tests: below.

use super::recorder::Delta;
use super::share::ThreadPlan;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// Send nothing more, wait a moment for answers, hand over what was counted.
    Soon,
    /// Nobody waits for results any more.
    Now,
}

/// A plan to go over to.
#[derive(Debug)]
pub(super) struct NewPlan {
    /// Number of its revision.
    pub(super) revision: u32,
    /// It was to hold from this instant on.
    pub(super) since_ns: u64,
    /// It holds for arrivals due from this instant on: later, when it was told late.
    pub(super) from_ns: u64,
    /// The plan.
    pub(super) plan: ThreadPlan,
}

#[derive(Debug, Default)]
struct Letters {
    plan: Option<NewPlan>,
    stop: Option<Stop>,
    /// At most as many as a recorder owns.
    empty: Vec<Delta>,
}

/// The mailbox of one thread.
#[derive(Debug)]
pub(super) struct Mailbox {
    letters: Mutex<Letters>,
    wake: OwnedFd,
}

impl Mailbox {
    /// An empty one.
    ///
    /// # Errors
    /// The system's, when it has no descriptor left.
    pub(super) fn new() -> std::io::Result<Mailbox> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Mailbox { letters: Mutex::default(), wake })
    }

    /// Becomes readable, by edge, when something new is in it.
    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Puts a plan in; the one with the larger revision stays. Two that follow each other hold from where the
    /// earlier one would have.
    pub(super) fn plan(&self, plan: NewPlan) {
        {
            let mut letters = self.lock();
            let (since_ns, from_ns) = letters.plan.as_ref().map_or((plan.since_ns, plan.from_ns), |unread| {
                (unread.since_ns.min(plan.since_ns), unread.from_ns.min(plan.from_ns))
            });
            letters.plan = Some(NewPlan { since_ns, from_ns, ..plan });
        }
        self.ring();
    }

    /// Asks to stop; the more urgent wish stays.
    pub(super) fn stop(&self, stop: Stop) {
        {
            let mut letters = self.lock();
            letters.stop = letters.stop.max(Some(stop));
        }
        self.ring();
    }

    /// Gives an empty delta back. Does not wake: it is needed once a second.
    pub(super) fn give_back(&self, delta: Delta) {
        self.lock().empty.push(delta);
    }

    /// A plan and the wish to stop, if there are.
    pub(super) fn read(&self) -> (Option<NewPlan>, Option<Stop>) {
        let mut letters = self.lock();
        (letters.plan.take(), letters.stop)
    }

    /// An empty delta, if one came back.
    pub(super) fn empty(&self) -> Option<Delta> {
        self.lock().empty.pop()
    }

    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        if let Err(error) = rustix::io::write(&self.wake, &1u64.to_ne_bytes()) {
            tracing::warn!(%error, "cannot wake a load thread; it will look within a second");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_model::rate::Load;

    fn plan(revision: u32, from_ns: u64) -> NewPlan {
        let plan = ThreadPlan { load: Load::Closed { connections: 1, end_ns: 1 }, parts: Vec::new() };
        NewPlan { revision, since_ns: from_ns - 1, from_ns, plan }
    }

    #[test]
    fn the_newest_plan_holds_from_the_earliest_unread_instant_and_a_stop_stays() {
        let mailbox = Mailbox::new().unwrap();
        mailbox.plan(plan(2, 50));
        mailbox.plan(plan(3, 70));
        mailbox.stop(Stop::Now);
        mailbox.stop(Stop::Soon);
        let (read, stop) = mailbox.read();
        assert!(read.is_some_and(|p| (p.revision, p.since_ns, p.from_ns) == (3, 49, 50)));
        assert_eq!(stop, Some(Stop::Now));
        let (read, stop) = mailbox.read();
        assert!(read.is_none());
        assert_eq!(stop, Some(Stop::Now));
    }
}
