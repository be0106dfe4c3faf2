//! A term as its holder sees it: its epoch, its gates, and the way to end it.
//!
//! The gates keep a sick leader from renewing a lease that the network alone would keep alive: the core
//! loop ticks, the store does its work, the disk takes writes, or the term ends.
//! Tests: below.

use super::mandate::Authority;
use super::options::Timers;
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
use shanty_rt::clock;
use shanty_rt::pulse::Pulse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// A term that this master holds.
#[derive(Debug)]
pub struct Term {
    authority: Authority,
    since_unix_ms: i64,
    gates: Gates,
    /// Some after [`Term::resign`]: to whom.
    resigned: watch::Sender<Option<Option<NodeId>>>,
}

impl Term {
    /// A term of `epoch` with authority until `until` on CLOCK_BOOTTIME; its gates open now, one of them for as long as
    /// `disk` beats.
    pub(super) fn begin(epoch: Epoch, until: Duration, disk: Option<Arc<Pulse>>) -> Term {
        Term {
            authority: Authority::new(epoch, until),
            since_unix_ms: clock::unix_ms(),
            gates: Gates::new(clock::boottime(), disk),
            resigned: watch::Sender::new(None),
        }
    }

    /// A term for tests of the rooms that are handed one. It never ends by itself.
    #[doc(hidden)]
    #[must_use]
    pub fn for_test(epoch: Epoch) -> Term {
        Term::begin(epoch, Duration::from_secs(u64::from(u32::MAX)), None)
    }

    /// Its number.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.authority.epoch()
    }

    /// When it began, wall clock milliseconds since 1970, for people.
    #[must_use]
    pub fn since_unix_ms(&self) -> i64 {
        self.since_unix_ms
    }

    /// What must show signs of life.
    #[must_use]
    pub fn gates(&self) -> &Gates {
        &self.gates
    }

    /// Asks to end the term and hand over, to `target` if it is named, else to whoever is first by rank.
    /// The reign is dropped soon after; whatever must be flushed is flushed before this is called.
    pub fn resign(&self, target: Option<NodeId>) {
        self.resigned.send_replace(Some(target));
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Waits until somebody asks to resign.
    pub(super) async fn resigned(&self) -> Option<NodeId> {
        let mut asked = self.resigned.subscribe();
        let heard = asked.wait_for(Option::is_some).await.map(|target| target.clone().flatten());
        match heard {
            Ok(target) => target,
            // The sender is in `self`.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Signs of life that a renewal asks for.
#[derive(Debug)]
pub struct Gates {
    begun: Duration,
    ticked: AtomicBool,
    dispatched: Arc<Pulse>,
    stored: Pulse,
    disk: Option<Arc<Pulse>>,
}

/// A gate that has been silent for too long, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silent {
    Dispatch(Duration),
    Store(Duration),
    Disk(Duration),
}

impl Gates {
    fn new(now: Duration, disk: Option<Arc<Pulse>>) -> Gates {
        let ticked = AtomicBool::new(false);
        Gates { begun: now, ticked, dispatched: Arc::default(), stored: Pulse::new(), disk }
    }

    /// The core loop is alive: called by it once per round, at least each half second.
    pub fn tick_dispatch(&self) {
        self.dispatched.beat();
        self.ticked.store(true, Ordering::Release);
    }

    /// The core loop's signs of life, for others to look at.
    #[must_use]
    pub fn dispatched(&self) -> Arc<Pulse> {
        self.dispatched.clone()
    }

    /// The store did a canary that was sent at `sent`.
    pub(super) fn stored(&self, sent: Duration) {
        self.stored.beat_at(sent);
    }

    /// The first gate that is silent for too long at `now`.
    pub(super) fn silent(&self, now: Duration, dispatch_limit: Duration, timers: &Timers) -> Option<Silent> {
        let (dispatch, limit) = if self.ticked.load(Ordering::Acquire) {
            (self.dispatched.silence(now), dispatch_limit)
        } else {
            (now.saturating_sub(self.begun), dispatch_limit.max(timers.warm_up))
        };
        let store = self.stored.silence(now);
        let disk = self.disk.as_ref().map_or(Duration::ZERO, |disk| disk.silence(now));
        if dispatch > limit {
            Some(Silent::Dispatch(dispatch))
        } else if store > timers.canary_silence {
            Some(Silent::Store(store))
        } else if disk > timers.canary_silence {
            Some(Silent::Disk(disk))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_silent_after_its_limit_and_the_first_tick_may_take_longer() {
        let timers = Timers::for_ttl(Duration::from_secs(5));
        let (limit, s) = (Duration::from_secs(2), Duration::from_secs);
        let begun = clock::boottime();
        let gates = Gates::new(begun, None);
        gates.stored(begun + s(60));
        assert_eq!(gates.silent(begun + s(9), limit, &timers), None);
        assert_eq!(gates.silent(begun + s(11), limit, &timers), Some(Silent::Dispatch(s(11))));
        gates.tick_dispatch();
        assert!(matches!(gates.silent(begun + s(9), limit, &timers), Some(Silent::Dispatch(_))));
        assert_eq!(gates.silent(begun + s(1), limit, &timers), None);
    }

    #[test]
    fn a_store_that_does_nothing_is_silent_although_dispatch_ticks() {
        let timers = Timers::for_ttl(Duration::from_secs(5));
        let begun = clock::boottime();
        let gates = Gates::new(begun, None);
        gates.tick_dispatch();
        let later = begun + Duration::from_millis(4100);
        assert!(matches!(gates.silent(later, Duration::from_secs(60), &timers), Some(Silent::Store(_))));
        gates.stored(begun + Duration::from_secs(1));
        assert_eq!(gates.silent(later, Duration::from_secs(60), &timers), None);
    }

    #[test]
    fn a_disk_that_hangs_ends_a_term_although_all_else_beats() {
        let timers = Timers::for_ttl(Duration::from_secs(5));
        let disk = Arc::new(Pulse::new());
        let begun = clock::boottime();
        let gates = Gates::new(begun, Some(disk.clone()));
        gates.tick_dispatch();
        gates.stored(begun + Duration::from_secs(9));
        let later = begun + Duration::from_secs(9);
        assert!(matches!(gates.silent(later, Duration::from_secs(60), &timers), Some(Silent::Disk(_))));
        disk.beat_at(later);
        assert_eq!(gates.silent(later, Duration::from_secs(60), &timers), None);
    }

    #[tokio::test]
    async fn a_resignation_is_heard_even_when_it_came_first() {
        let term = Term::for_test(Epoch(3));
        let target: NodeId = "m2".parse().unwrap();
        term.resign(Some(target.clone()));
        assert_eq!(term.resigned().await, Some(target));
    }
}
