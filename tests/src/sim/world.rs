//! The world: all parties, one queue of what will happen, and true time.
//!
//! ```text
//!   seed ─► faults, fates ─┐
//!   masters, sentinels ────┼─► queue ─► one step after the other ─► checks after each
//!   workers, client ───────┘   (true time, milliseconds; tokio's clock is paused and jumps to the next)
//! ```
//! In: a seed, the fences that stand. Out: a history, and the first invariant that broke.
//! Masters and sentinels are tasks; workers, etcd, the store and the network are values that the steps change.
//! Never: reads a clock or a chance that does not follow from the seed. Tests: `tests/tests/t80_simulation.rs`.

use super::check::{Broken, Checks};
use super::client::Client;
use super::coord::Watch;
use super::dice::Dice;
use super::etcd::Etcd;
use super::fault::Troubles;
use super::fence::Fences;
use super::history::History;
use super::link::Link;
use super::master::Master;
use super::net::Net;
use super::sentinel::Sentinel;
use super::store::Store;
use super::target::Targets;
use super::worker::Worker;
use shanty_rt::coord::Keys;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Something that will happen.
type Act = Box<dyn FnOnce(&mut World) + Send>;

struct Due {
    at_ms: u64,
    number: u64,
    what: &'static str,
    act: Act,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at_ms, self.number) == (other.at_ms, other.number)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ms, self.number).cmp(&(other.at_ms, other.number))
    }
}

/// The world.
pub struct World {
    /// True time since the beginning, milliseconds.
    pub now_ms: u64,
    pub(super) handle: Handle,
    pub(super) keys: Keys,
    pub(super) dice: Dice,
    pub(super) net: Net,
    pub(super) etcd: Etcd,
    pub(super) watches: BTreeMap<u64, Watch>,
    pub(super) store: Store,
    pub(super) masters: Vec<Master>,
    pub(super) sentinels: Vec<Sentinel>,
    pub(super) workers: Vec<Worker>,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) targets: Targets,
    pub(super) client: Client,
    pub(super) fences: Fences,
    pub(super) checks: Checks,
    pub(super) troubles: Troubles,
    /// What happened.
    pub history: History,
    /// The first invariant that broke.
    pub broken: Option<Broken>,
    pub(super) last_number: u64,
    queue: BinaryHeap<Reverse<Due>>,
    /// When the next step is waited for.
    wakes_at_ms: u64,
    wake: Arc<Notify>,
}

/// A handle on the world, for tasks.
#[derive(Clone)]
pub struct Handle {
    world: Arc<Mutex<Option<World>>>,
    began: Instant,
    wake: Arc<Notify>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    /// Does `work` on the world as it is now. Nothing once the world is over.
    pub fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> Option<T> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let world = world.as_mut()?;
        world.now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(work(world))
    }

    /// When true time began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// A world of `seed` in which nobody lives yet.
    #[must_use]
    pub fn new(seed: u64, fences: Fences, whole: bool) -> Handle {
        let wake = Arc::new(Notify::new());
        let handle = Handle { world: Arc::default(), began: Instant::now(), wake: wake.clone() };
        let world = World {
            now_ms: 0,
            handle: handle.clone(),
            keys: Keys::new(super::CLUSTER),
            dice: Dice::new(seed, "world"),
            net: Net::new(Dice::new(seed, "net")),
            etcd: Etcd::default(),
            watches: BTreeMap::new(),
            store: Store::default(),
            masters: Vec::new(),
            sentinels: Vec::new(),
            workers: Vec::new(),
            links: BTreeMap::new(),
            targets: Targets::default(),
            client: Client::default(),
            fences,
            checks: Checks::default(),
            troubles: Troubles::default(),
            history: History::new(whole),
            broken: None,
            last_number: 0,
            queue: BinaryHeap::new(),
            wakes_at_ms: 0,
            wake,
        };
        *handle.world.lock().unwrap_or_else(PoisonError::into_inner) = Some(world);
        handle
    }

    /// Lets the world go on until `until_ms`, or until an invariant breaks.
    pub async fn run(&self, until_ms: u64) {
        loop {
            let next = self.with(|world| world.steps(until_ms)).flatten();
            let Some(next) = next else { return };
            let at = self.began + Duration::from_millis(next);
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(at) => {}
            }
        }
    }

    /// The end of the world, with what is left of it.
    #[must_use]
    pub fn end(&self) -> Option<World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl World {
    /// A number that was not given before.
    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Does `act` in `delay_ms`.
    pub(super) fn after(
        &mut self,
        delay_ms: u64,
        what: &'static str,
        act: impl FnOnce(&mut World) + Send + 'static,
    ) {
        let at_ms = self.now_ms + delay_ms;
        let number = self.number();
        self.queue.push(Reverse(Due { at_ms, number, what, act: Box::new(act) }));
        if at_ms < self.wakes_at_ms {
            self.wakes_at_ms = at_ms;
            self.wake.notify_one();
        }
    }

    /// Tells the history.
    pub(super) fn tell(&mut self, line: &str) {
        self.history.tell(self.now_ms, line);
    }

    /// An invariant is broken.
    pub(super) fn violate(&mut self, invariant: &'static str, what: String) {
        self.tell(&format!("BROKEN {invariant}: {what}"));
        if self.broken.is_none() {
            self.broken = Some(Broken { invariant, what });
        }
    }

    /// Does all that is due. Answers when the next is; none when it is over.
    fn steps(&mut self, until_ms: u64) -> Option<u64> {
        self.wakes_at_ms = 0;
        while let Some(Reverse(next)) = self.queue.peek() {
            if self.broken.is_some() || self.now_ms >= until_ms {
                return None;
            }
            if next.at_ms > self.now_ms {
                self.wakes_at_ms = next.at_ms;
                return Some(next.at_ms.min(until_ms));
            }
            let Reverse(Due { what, act, .. }) = self.queue.pop()?;
            self.history.step(self.now_ms, what);
            act(self);
            self.check_epochs();
        }
        None
    }
}
