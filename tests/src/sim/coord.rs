//! A node's line to etcd: the coordinator that masters and sentinels are given.
//!
//! ```text
//!   call ──fate──► etcd, one after the other ──fate──► answer, or none within the deadline
//!   watch: snapshot, changes in order; a line that is cut loses the stream, which then begins anew
//! ```
//! In: the calls of [`Coord`]. Out: what etcd would answer, or `Unreachable` although it was done, or done long after.
//! What a transaction does to the leader key is checked here, at the instant at which it is done.
//! Tests: with the simulation.

use super::fence::Fence;
use super::moment::Moment;
use super::net::Party;
use super::world::{Handle, World};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use shanty_rt::coord::record::{self, LeaderInfo};
use shanty_rt::coord::{Compare, Coord, Entry, Error, LeaseId, Op, TxnOutcome, WatchEvent};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long a call waits for its answer.
const PATIENCE: Duration = Duration::from_millis(800);
/// Events that wait for a node that does not read.
const WAITING: usize = 4096;
/// What etcd may take to notice that a lease is over, milliseconds.
const SCAN_MS: u64 = 500;
/// Sentinels that vote.
const VOTERS: [&str; 3] = ["s1", "s2", "s3"];

/// A line to etcd.
#[derive(Debug, Clone)]
pub struct Line {
    /// The world.
    pub world: Handle,
    /// Whose it is.
    pub me: Party,
    /// Which life of its process.
    pub life: u64,
}

/// A watch.
#[derive(Debug)]
pub struct Watch {
    owner: Party,
    prefix: String,
    out: mpsc::Sender<WatchEvent>,
    /// Whether it has a stream.
    lives: bool,
    /// When the newest event comes.
    last_ms: u64,
}

impl Line {
    async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut World) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, told) = oneshot::channel();
        let (me, deadline) = (self.me, Instant::now() + PATIENCE);
        self.world.with(|world| {
            let Some(delay) = world.net.fate(me, Party::Etcd) else { return };
            world.after(delay, what, move |world| {
                let answer = match (world.etcd.up, world.etcd.refuses) {
                    (true, _) => work(world),
                    (false, true) => Err(Error::Unreachable("no quorum".to_owned())),
                    (false, false) => return,
                };
                if let Some(delay) = world.net.fate(Party::Etcd, me) {
                    // Whoever asked may have given up.
                    world.after(delay, "etcd answers", move |_| drop(tell.send(answer)));
                }
            });
        });
        match timeout_at(deadline, told).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(_lost)) => sleep_until(deadline).await,
            Err(_elapsed) => {}
        }
        Err(Error::Unreachable("no answer".to_owned()))
    }
}

impl Coord for Line {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn version(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<(LeaseId, Duration), Error>> {
        let ttl_ms = millis(ttl);
        Box::pin(self.call("etcd grants", move |world| {
            let id = world.etcd.grant(world.now_ms, ttl_ms);
            world.expect_end(id, ttl_ms);
            Ok((id, ttl))
        }))
    }

    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration, Error>> {
        Box::pin(self.call("etcd renews", move |world| {
            let left = world.etcd.keep_alive(world.now_ms, lease);
            left.map(Duration::from_millis).ok_or(Error::LeaseGone)
        }))
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        let (me, life) = (self.me, self.life);
        Box::pin(self.call("etcd revokes", move |world| {
            world.check_removal(me, life, Some(lease));
            let events = world.etcd.revoke(lease);
            world.tell_watches(&events);
            Ok(())
        }))
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        let (key, me) = (key.to_owned(), self.me);
        Box::pin(async move {
            if let Some(entry) = self.world.with(|world| world.unlooked(me, &key)).flatten() {
                return Ok(Some(entry));
            }
            self.call("etcd reads", move |world| Ok(world.etcd.get(&key).cloned())).await
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        let prefix = prefix.to_owned();
        Box::pin(self.call("etcd lists", move |world| Ok(world.etcd.list(&prefix))))
    }

    fn txn(&self, when: Vec<Compare>, then: Vec<Op>) -> BoxFuture<'_, Result<TxnOutcome, Error>> {
        let (me, life) = (self.me, self.life);
        Box::pin(self.call("etcd transacts", move |world| world.transact(me, life, &when, then)))
    }

    fn watch(&self, prefix: &str) -> BoxStream<'static, WatchEvent> {
        let (out, events) = mpsc::channel(WAITING);
        let watch = Watch { owner: self.me, prefix: prefix.to_owned(), out, lives: false, last_ms: 0 };
        self.world.with(|world| {
            let id = world.number();
            world.watches.insert(id, watch);
            world.rebuild_watch(id);
        });
        let next = |mut events: mpsc::Receiver<WatchEvent>| async move {
            match events.recv().await {
                Some(event) => Some((event, events)),
                // The world is over.
                None => std::future::pending().await,
            }
        };
        stream::unfold(events, next).boxed()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl World {
    /// The leader key as a master took it, for a renewal that does not look.
    fn unlooked(&self, me: Party, key: &str) -> Option<Entry> {
        let Party::Master(at) = me else { return None };
        let blind = !self.fences.has(Fence::RenewalLooks) && key == self.keys.leader();
        let master = self.masters.get(at).filter(|master| blind && master.reign.is_some())?;
        master.taken.clone()
    }

    /// A transaction is done.
    pub(super) fn transact(
        &mut self,
        me: Party,
        life: u64,
        when: &[Compare],
        mut then: Vec<Op>,
    ) -> Result<TxnOutcome, Error> {
        let leader = self.keys.leader();
        let puts = |key: &str| then.iter().any(|op| matches!(op, Op::Put { key: put, .. } if put == key));
        let (takes, removes) =
            (puts(&leader), then.iter().any(|op| matches!(op, Op::Delete(key) if *key == leader)));
        if !when
            .iter()
            .all(|compare| self.is_left_out(me, compare, takes, removes) || self.etcd.holds(compare))
        {
            return Ok(self.etcd.refusal());
        }
        if self.etcd.lacks_lease(&then) {
            return Err(Error::LeaseGone);
        }
        if removes {
            self.check_removal(me, life, None);
        }
        if takes {
            self.check_taking(&then);
        }
        let votes = self.note_votes(me, &mut then);
        let (outcome, events) = self.etcd.apply(then);
        if takes && let Party::Master(at) = me {
            self.masters[at].taken = self.etcd.get(&leader).cloned();
        }
        self.tell_watches(&events);
        match me {
            Party::Master(_) if takes => self.moment(Moment::Taken, me),
            Party::Sentinel(_) if removes => self.moment(Moment::Ended, me),
            Party::Sentinel(_) if votes => self.moment(Moment::Voted, me),
            _ => {}
        }
        Ok(outcome)
    }

    /// Whether a condition is one of those that are left out.
    fn is_left_out(&self, me: Party, compare: &Compare, takes: bool, removes: bool) -> bool {
        let keys = &self.keys;
        let is_sentinel = matches!(me, Party::Sentinel(_));
        let fence = match compare {
            Compare::Absent(key) if takes && *key == keys.leader() => Fence::TakeAsRead,
            Compare::ModifiedAt(key, _) if takes && *key == keys.term() => Fence::TakeAsRead,
            Compare::CreatedAt(key, _) if removes && *key == keys.leader() && !is_sentinel => {
                Fence::ReleaseOwn
            }
            Compare::CreatedAt(key, _) if removes && *key == keys.leader() => Fence::DeposeAsVoted,
            Compare::ModifiedAt(key, _) if removes && *key == keys.term() => Fence::DeposeAsVoted,
            Compare::ModifiedAt(key, _) if removes && *key == keys.sentinel_set() => Fence::DeposeSet,
            Compare::ModifiedAt(key, _) if removes && *key == keys.pause() => Fence::DeposePause,
            Compare::ModifiedAt(key, _) if removes && key.starts_with(&keys.votes()) => {
                // A vote that was made up lies nowhere.
                if self.etcd.get(key).is_none() && !self.fences.has(Fence::Quorum) {
                    return true;
                }
                Fence::DeposeVotes
            }
            _ => return false,
        };
        !self.fences.has(fence)
    }

    /// Who casts which vote; and, when that fence is left out, one sentinel casts them all. Answers whether there are any.
    fn note_votes(&mut self, me: Party, then: &mut Vec<Op>) -> bool {
        let prefix = self.keys.votes();
        let mut others = Vec::new();
        let mut any = false;
        for op in then.iter() {
            let Op::Put { key, value, lease } = op else { continue };
            let Some(voter) = key.strip_prefix(&prefix) else { continue };
            any = true;
            self.tell(&format!("{me} votes as {voter}: {}", String::from_utf8_lossy(value)));
            self.checks.cast.insert(key.clone(), me.to_string());
            if !self.fences.has(Fence::OneVoteEach) {
                let names = VOTERS.iter().filter(|name| **name != voter);
                others.extend(names.map(|name| (format!("{prefix}{name}"), value.clone(), *lease)));
            }
        }
        for (key, value, lease) in others {
            self.checks.cast.insert(key.clone(), me.to_string());
            then.push(Op::Put { key, value, lease });
        }
        any
    }

    /// What a node is shown of what happened; when votes are not to be counted, a sentinel sees each as everybody's.
    fn shown(&self, to: Party, event: WatchEvent) -> Vec<WatchEvent> {
        if self.fences.has(Fence::Quorum) || !matches!(to, Party::Sentinel(_)) {
            return vec![event];
        }
        let prefix = self.keys.votes();
        let everybodys = |entry: &Entry| {
            let names = if entry.key.starts_with(&prefix) { VOTERS.as_slice() } else { &[] };
            let made_up = names.iter().map(|name| Entry { key: format!("{prefix}{name}"), ..entry.clone() });
            made_up.filter(|made_up| made_up.key != entry.key).chain([entry.clone()]).collect::<Vec<_>>()
        };
        match event {
            WatchEvent::Put(entry) => everybodys(&entry).into_iter().map(WatchEvent::Put).collect(),
            WatchEvent::Snapshot(entries) => {
                vec![WatchEvent::Snapshot(entries.iter().flat_map(everybodys).collect())]
            }
            WatchEvent::Delete { .. } => vec![event],
        }
    }

    /// The leader, as its key says.
    pub(super) fn leader(&self) -> Option<(Entry, LeaderInfo)> {
        let entry = self.etcd.get(&self.keys.leader())?.clone();
        let info = record::read(&entry.key, &entry.value)?;
        Some((entry, info))
    }

    /// A lease ends if nobody renews it.
    pub(super) fn expect_end(&mut self, id: LeaseId, in_ms: u64) {
        let late = self.dice.below(SCAN_MS);
        self.after(in_ms + late, "etcd looks for leases that are over", move |world| world.end_lease(id));
    }

    fn end_lease(&mut self, id: LeaseId) {
        let Some(ends_ms) = self.etcd.lease(id).map(|lease| lease.ends_ms) else { return };
        if !self.etcd.up {
            // Looked for again when it is.
            return;
        }
        if ends_ms > self.now_ms {
            return self.expect_end(id, ends_ms - self.now_ms);
        }
        if let Some((entry, info)) = self.leader()
            && entry.lease == Some(id)
        {
            self.tell(&format!("the lease of {} ({}) is over", info.node, info.epoch));
            self.checks.lapsed.insert(info.epoch);
        }
        let events = self.etcd.revoke(id);
        self.tell_watches(&events);
    }

    /// Shows changes to those who watch.
    pub(super) fn tell_watches(&mut self, events: &[WatchEvent]) {
        if events.is_empty() {
            return;
        }
        for id in self.watches.keys().copied().collect::<Vec<_>>() {
            let Some(watch) = self.watches.get_mut(&id) else { continue };
            if watch.out.is_closed() {
                self.watches.remove(&id);
                continue;
            }
            if !watch.lives {
                continue;
            }
            if self.net.is_apart(watch.owner, Party::Etcd) {
                self.break_watch(id);
                continue;
            }
            let at_ms = watch.last_ms.max(self.now_ms + self.net.delay());
            watch.last_ms = at_ms;
            let (out, owner) = (watch.out.clone(), watch.owner);
            let concerns = |event: &&WatchEvent| match event {
                WatchEvent::Put(entry) => entry.key.starts_with(&watch.prefix),
                WatchEvent::Delete { key, .. } => key.starts_with(&watch.prefix),
                WatchEvent::Snapshot(_) => true,
            };
            let seen: Vec<WatchEvent> = events.iter().filter(concerns).cloned().collect();
            let seen: Vec<WatchEvent> = seen.into_iter().flat_map(|event| self.shown(owner, event)).collect();
            self.after(at_ms - self.now_ms, "a watch tells", move |_| {
                // A node that is over, or so far behind that it is about to be.
                seen.into_iter().for_each(|event| drop(out.try_send(event)));
            });
        }
    }

    /// A watch loses its stream, and finds out a while later.
    pub(super) fn break_watch(&mut self, id: u64) {
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.lives = false;
            let silence = self.dice.between(500, 3500);
            self.after(silence, "a watch begins anew", move |world| world.rebuild_watch(id));
        }
    }

    /// Breaks all watches of a node, or all.
    pub(super) fn break_watches(&mut self, of: Option<Party>) {
        let hit = |watch: &Watch| watch.lives && of.is_none_or(|of| watch.owner == of);
        let ids: Vec<u64> = self.watches.iter().filter(|(_, watch)| hit(watch)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.break_watch(id));
    }

    fn rebuild_watch(&mut self, id: u64) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        if watch.out.is_closed() {
            self.watches.remove(&id);
            return;
        }
        if !self.etcd.up || self.net.is_apart(watch.owner, Party::Etcd) {
            let again = self.dice.between(100, 600);
            return self.after(again, "a watch begins anew", move |world| world.rebuild_watch(id));
        }
        let (out, owner) = (watch.out.clone(), watch.owner);
        let snapshot = WatchEvent::Snapshot(self.etcd.list(&watch.prefix));
        let at_ms = watch.last_ms.max(self.now_ms + self.net.delay());
        (watch.lives, watch.last_ms) = (true, at_ms);
        let seen = self.shown(owner, snapshot);
        self.after(at_ms - self.now_ms, "a watch shows all", move |_| {
            seen.into_iter().for_each(|event| drop(out.try_send(event)));
        });
    }
}
