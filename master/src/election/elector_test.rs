//! Electors together: on the memory coordinator, with a store that can fail and a line that can be cut.

use super::super::fence::FenceOutcome;
use super::*;
use futures_util::future::FutureExt as _;
use futures_util::stream::BoxStream;
use shanty_model::id::NodeId;
use shanty_rt::coord::record::{self, Ending, LeaderInfo};
use shanty_rt::coord::{Compare, Entry, Error, Memory, Op, TxnOutcome, WatchEvent};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

const TTL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(15);

/// A store that is nothing but its fence.
#[derive(Default)]
struct FakeStore {
    epoch: AtomicU64,
    hangs: AtomicBool,
    /// Fencing waits, as for transactions of an old master, while all else is answered.
    fence_waits: watch::Sender<bool>,
}

impl FakeStore {
    async fn turn(&self) {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending().await
        }
    }
}

impl FenceStore for FakeStore {
    fn fence(&self, epoch: Epoch) -> BoxFuture<'_, Result<FenceOutcome, FenceError>> {
        async move {
            self.turn().await;
            drop(self.fence_waits.subscribe().wait_for(|waits| !waits).await);
            let stored = self.epoch.fetch_max(epoch.0, Ordering::SeqCst);
            Ok(if stored > epoch.0 {
                FenceOutcome::Behind { stored: Epoch(stored) }
            } else {
                FenceOutcome::Fenced
            })
        }
        .boxed()
    }

    fn canary(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), FenceError>> {
        async move {
            self.turn().await;
            let stored = Epoch(self.epoch.load(Ordering::SeqCst));
            if stored == epoch { Ok(()) } else { Err(FenceError::Superseded { stored }) }
        }
        .boxed()
    }
}

/// A line to the coordinator that can be cut, and can lose the answer to a transaction.
#[derive(Debug, Clone, Default)]
struct Line {
    cut: Arc<AtomicBool>,
    /// What happens to the next transaction that takes the leader key: 1 lose its answer, 2 lose it.
    lose: Arc<AtomicU8>,
    /// Whoever reads a key waits for ever, as no coordinator with deadlines lets it.
    hangs: Arc<AtomicBool>,
    /// So does whoever changes one.
    stuck: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Far {
    memory: Memory,
    line: Line,
}

impl Far {
    fn reach(&self) -> Result<(), Error> {
        if self.line.cut.load(Ordering::SeqCst) { Err(Error::Unreachable("cut".to_owned())) } else { Ok(()) }
    }
}

impl Coord for Far {
    fn name(&self) -> &'static str {
        "far"
    }
    fn version(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        self.memory.version()
    }
    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<(LeaseId, Duration), Error>> {
        async move { self.reach().map(|()| self.memory.grant(ttl))?.await }.boxed()
    }
    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration, Error>> {
        async move { self.reach().map(|()| self.memory.keep_alive(lease))?.await }.boxed()
    }
    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.reach().map(|()| self.memory.revoke(lease))?.await }.boxed()
    }
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        async move {
            if self.line.hangs.load(Ordering::SeqCst) {
                std::future::pending().await
            }
            self.reach().map(|()| self.memory.get(key))?.await
        }
        .boxed()
    }
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        async move { self.reach().map(|()| self.memory.list(prefix))?.await }.boxed()
    }
    fn txn(&self, when: Vec<Compare>, then: Vec<Op>) -> BoxFuture<'_, Result<TxnOutcome, Error>> {
        async move {
            self.reach()?;
            if self.line.stuck.load(Ordering::SeqCst) {
                std::future::pending().await
            }
            let takes = when.iter().any(|compare| matches!(compare, Compare::Absent(_)));
            let fate = if takes { self.line.lose.swap(0, Ordering::SeqCst) } else { 0 };
            let lost = Err(Error::Unreachable("no answer".to_owned()));
            match fate {
                0 => self.memory.txn(when, then).await,
                1 => self.memory.txn(when, then).await.and(lost),
                _ => lost,
            }
        }
        .boxed()
    }
    fn watch(&self, prefix: &str) -> BoxStream<'static, WatchEvent> {
        self.memory.watch(prefix)
    }
}

/// Who holds a live mandate; two at once fail the test at its end.
#[derive(Default)]
struct Stage {
    live: Mutex<BTreeMap<NodeId, Epoch>>,
    clash: AtomicBool,
}

impl Stage {
    fn set(&self, node: &NodeId, live: Option<Epoch>) {
        let mut now = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        match live {
            Some(epoch) => _ = now.insert(node.clone(), epoch),
            None => _ = now.remove(node),
        }
        if now.len() > 1 {
            self.clash.store(true, Ordering::SeqCst);
        }
    }
}

/// What a test sees of a reign, and tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Shown {
    epoch: Option<Epoch>,
    live: bool,
}

struct Play {
    node: NodeId,
    stage: Arc<Stage>,
    shown: watch::Sender<Shown>,
    hung: Arc<AtomicBool>,
    resign_to: Arc<Mutex<Option<NodeId>>>,
}

/// Leaves the stage also when the reign is dropped.
struct Leave<'p>(&'p Play);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.stage.set(&self.0.node, None);
        self.0.shown.send_replace(Shown::default());
    }
}

impl Reign for Play {
    fn reign<'t>(&'t mut self, mandate: Mandate<'t>, term: &'t Term) -> BoxFuture<'t, ()> {
        async move {
            let play = &*self;
            let _leave = Leave(play);
            assert_eq!(term.epoch(), mandate.epoch());
            loop {
                let live = mandate.is_live();
                play.stage.set(&play.node, live.then(|| mandate.epoch()));
                play.shown.send_replace(Shown { epoch: Some(mandate.epoch()), live });
                if !play.hung.load(Ordering::SeqCst) {
                    term.gates().tick_dispatch();
                }
                if let Some(target) = play.resign_to.lock().unwrap().take() {
                    term.resign(Some(target));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        .boxed()
    }
}

struct Master {
    line: Line,
    shown: watch::Receiver<Shown>,
    hung: Arc<AtomicBool>,
    resign_to: Arc<Mutex<Option<NodeId>>>,
    leadership: watch::Receiver<Leadership>,
    members: watch::Receiver<Members>,
    pulse: Arc<Pulse>,
    stop: CancellationToken,
    scope: Scope,
}

impl Master {
    /// Waits until it reigns with a live mandate; answers its epoch.
    async fn reigns(&mut self) -> Epoch {
        self.shows(|shown| shown.live).await.epoch.unwrap()
    }

    async fn shows(&mut self, what: impl FnMut(&Shown) -> bool) -> Shown {
        *tokio::time::timeout(PATIENCE, self.shown.wait_for(what)).await.expect("in time").unwrap()
    }

    async fn sees(&mut self, what: impl FnMut(&Leadership) -> bool) -> Leadership {
        tokio::time::timeout(PATIENCE, self.leadership.wait_for(what))
            .await
            .expect("in time")
            .unwrap()
            .clone()
    }

    /// Waits until it knows of so many masters.
    async fn sees_masters(&mut self, count: usize) {
        let known = self.members.wait_for(|members| members.masters.len() == count);
        tokio::time::timeout(PATIENCE, known).await.expect("in time").unwrap();
    }
}

struct World {
    memory: Memory,
    store: Arc<FakeStore>,
    stage: Arc<Stage>,
    ttl: Duration,
}

impl World {
    fn new(ttl: Duration) -> World {
        World { memory: Memory::new(), store: Arc::default(), stage: Arc::default(), ttl }
    }

    fn master(&self, name: &str) -> Master {
        self.master_on(name, Line::default())
    }

    fn master_on(&self, name: &str, line: Line) -> Master {
        let node: NodeId = name.parse().unwrap();
        let mut options = Options::new("test", node.clone(), &format!("{name}:7070"));
        options.lease_ttl = self.ttl;
        options.dispatch_silence = self.ttl * 2 / 5;
        let coord = Arc::new(Far { memory: self.memory.clone(), line: line.clone() });
        let elector = Elector::new(coord, self.store.clone(), options);
        let (leadership, members, pulse) = (elector.leadership(), elector.members(), elector.pulse());
        let (shown, seen) = watch::channel(Shown::default());
        let (hung, resign_to) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Option<NodeId>>>::default());
        let mut play =
            Play { node, stage: self.stage.clone(), shown, hung: hung.clone(), resign_to: resign_to.clone() };
        let stop = CancellationToken::new();
        let mut scope = Scope::new();
        let until = stop.clone();
        scope.spawn("elector", async move { elector.run(&mut play, until).await });
        Master { line, shown: seen, hung, resign_to, leadership, members, pulse, stop, scope }
    }

    async fn leader_key(&self) -> Option<LeaderInfo> {
        let entry = self.memory.get(&Keys::new("test").leader()).await.unwrap()?;
        record::read(&entry.key, &entry.value)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(!self.stage.clash.load(Ordering::SeqCst), "two masters had a live mandate at once");
        }
    }
}

#[tokio::test]
async fn one_of_two_reigns_and_the_other_follows_when_it_dies() {
    let world = World::new(TTL);
    let mut first = world.master("m1");
    assert_eq!(first.reigns().await, Epoch(1));
    let mut second = world.master("m2");
    let seen = second.sees(|l| l.leader.is_some()).await;
    let leader = seen.leader.unwrap();
    assert_eq!((leader.node.as_str(), leader.address.as_str(), leader.epoch), ("m1", "m1:7070", Epoch(1)));
    assert!(!seen.mine);
    assert!(first.sees(|l| l.mine).await.leader.is_some());
    second.sees_masters(2).await;
    // Long enough that a lease which is not renewed would have ended.
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(*second.shown.borrow(), Shown::default());

    let died = Instant::now();
    drop(first.scope);
    assert_eq!(second.reigns().await, Epoch(2));
    assert!(died.elapsed() > TTL / 2, "nobody takes a key that its lease still holds");
    assert_eq!(world.store.epoch.load(Ordering::SeqCst), 2);
    assert_eq!(second.sees(|l| l.mine).await.largest_epoch, Epoch(2));
}

#[tokio::test]
async fn a_coordinator_that_has_gone_back_gives_no_term_out_twice() {
    let world = World::new(TTL);
    let mut master = world.master("m1");
    assert_eq!(master.reigns().await, Epoch(1));
    let keys = Keys::new("test");
    let then = vec![Op::Delete(keys.leader()), Op::Delete(keys.term()), Op::Delete(keys.history(1))];
    world.memory.txn(Vec::new(), then).await.unwrap();
    // The store would take the same master in the same term; workers would not notice that a reign began.
    let again = master.shows(|shown| shown.live && shown.epoch != Some(Epoch(1))).await;
    assert_eq!(again.epoch, Some(Epoch(2)));
    assert!(world.memory.get(&keys.history(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_master_whose_name_another_process_has_does_not_lead_until_it_is_free() {
    let world = World::new(TTL);
    let key = Keys::new("test").node(Role::Master, &"m1".parse().unwrap());
    let other = NodeInfo {
        incarnation: "other".to_owned(),
        ..Options::new("test", "m1".parse().unwrap(), "far:7070").node_info()
    };
    world
        .memory
        .txn(vec![], vec![Op::Put { key: key.clone(), value: other.to_value(), lease: None }])
        .await
        .unwrap();
    let mut master = world.master("m1");
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(*master.shown.borrow(), Shown::default());
    assert_eq!(world.leader_key().await, None);
    world.memory.txn(vec![], vec![Op::Delete(key)]).await.unwrap();
    assert_eq!(master.reigns().await, Epoch(1));
}

#[tokio::test]
async fn a_master_that_stops_hands_over_at_once() {
    let world = World::new(Duration::from_secs(8));
    let mut first = world.master("m1");
    first.reigns().await;
    let mut second = world.master("m2");
    first.sees_masters(2).await;
    let stopped = Instant::now();
    first.stop.cancel();
    assert_eq!(second.reigns().await, Epoch(2));
    assert!(stopped.elapsed() < Duration::from_secs(4), "it waited for the lease: {:?}", stopped.elapsed());
    first.scope.next_end().await;
    second.sees_masters(1).await;
}

#[tokio::test]
async fn a_store_that_is_ahead_raises_the_term() {
    let world = World::new(TTL);
    world.store.epoch.store(7, Ordering::SeqCst);
    let mut master = world.master("m1");
    assert_eq!(master.reigns().await, Epoch(8));
    assert_eq!(world.leader_key().await.unwrap().epoch, Epoch(8));
    assert_eq!(master.sees(|l| l.mine).await.largest_epoch, Epoch(8));
    // The raised term is the one that is renewed, and the next one follows it.
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(*master.shown.borrow(), Shown { epoch: Some(Epoch(8)), live: true });
    master.stop.cancel();
    master.scope.next_end().await;
    assert_eq!(world.master("m2").reigns().await, Epoch(9));
}

#[tokio::test]
async fn nobody_leads_before_the_store_refuses_the_old_epoch() {
    let world = World::new(Duration::from_secs(8));
    world.store.epoch.store(7, Ordering::SeqCst);
    world.store.fence_waits.send_replace(true);
    let mut master = world.master("m1");
    tokio::time::timeout(PATIENCE, async {
        while world.leader_key().await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it takes the key first");
    // It would say so at once; the lease lasts longer.
    tokio::select! {
        _ = master.shown.wait_for(|shown| shown.epoch.is_some()) => panic!("it reigns over a store that is not fenced"),
        _ = master.leadership.wait_for(|leadership| leadership.mine) => panic!("it announces itself before"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    assert_eq!(world.store.epoch.load(Ordering::SeqCst), 7);
    world.store.fence_waits.send_replace(false);
    assert_eq!(master.reigns().await, Epoch(8));
    assert_eq!(world.store.epoch.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn a_leader_that_cannot_renew_freezes_before_its_lease_ends_and_goes_on_if_it_still_can() {
    let world = World::new(Duration::from_secs(3));
    let mut first = world.master("m1");
    first.reigns().await;
    first.line.cut.store(true, Ordering::SeqCst);
    first.shows(|shown| !shown.live).await;
    let held = world.leader_key().await;
    first.line.cut.store(false, Ordering::SeqCst);
    assert_eq!(held.expect("frozen while the lease lived").epoch, Epoch(1));
    assert_eq!(first.reigns().await, Epoch(1), "the same term goes on");

    let mut second = world.master("m2");
    first.line.cut.store(true, Ordering::SeqCst);
    assert_eq!(second.reigns().await, Epoch(2));
    // It still reigns, frozen, or has learnt from the store that another leads.
    assert!(!first.shown.borrow().live);
    first.line.cut.store(false, Ordering::SeqCst);
    first.shows(|shown| shown.epoch.is_none()).await;
    assert_eq!(first.sees(|l| l.largest_epoch == Epoch(2)).await.leader.unwrap().node.as_str(), "m2");
}

#[tokio::test]
async fn a_leader_without_its_coordinator_stays_frozen_and_learns_from_the_store_that_it_is_old() {
    let world = World::new(TTL);
    let mut first = world.master("m1");
    first.reigns().await;
    first.line.cut.store(true, Ordering::SeqCst);
    first.shows(|shown| !shown.live).await;
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(*first.shown.borrow(), Shown { epoch: Some(Epoch(1)), live: false });
    let mut second = world.master("m2");
    assert_eq!(second.reigns().await, Epoch(2));
    first.shows(|shown| shown.epoch.is_none()).await;
}

#[tokio::test]
async fn a_hung_dispatch_loop_resigns() {
    let world = World::new(TTL);
    let mut first = world.master("m1");
    first.reigns().await;
    let mut second = world.master("m2");
    first.sees_masters(2).await;
    first.hung.store(true, Ordering::SeqCst);
    assert_eq!(second.reigns().await, Epoch(2));
    first.shows(|shown| shown.epoch.is_none()).await;
    first.hung.store(false, Ordering::SeqCst);
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(*first.shown.borrow(), Shown::default(), "it does not take the key back");
}

/// A reign that does not come back from being polled, as code that waits for a lock would not.
struct Blocked {
    release: std::sync::mpsc::Receiver<()>,
}

impl Reign for Blocked {
    fn reign<'t>(&'t mut self, _: Mandate<'t>, term: &'t Term) -> BoxFuture<'t, ()> {
        async move {
            term.gates().tick_dispatch();
            let _released = self.release.recv();
        }
        .boxed()
    }
}

// A thread that is no worker of the runtime is blocked: one of its workers might be the one that drives its timers, and
// then all of the runtime stands still, the renewal too, and the lease runs out.
#[tokio::test]
async fn the_key_of_a_leader_whose_thread_is_blocked_is_given_back_beside_it() {
    let world = World::new(Duration::from_secs(4));
    let mut options = Options::new("test", "m1".parse().unwrap(), "m1:7070");
    options.lease_ttl = world.ttl;
    options.dispatch_silence = world.ttl / 10;
    let coord = Arc::new(Far { memory: world.memory.clone(), line: Line::default() });
    let elector = Elector::new(coord, world.store.clone(), options);
    let (release, blocked) = std::sync::mpsc::channel();
    let (stop, runtime) = (CancellationToken::new(), tokio::runtime::Handle::current());
    let until = stop.clone();
    let thread = std::thread::spawn(move || {
        runtime.block_on(elector.run(&mut Blocked { release: blocked }, until));
    });

    let ended = Keys::new("test").ended(1);
    let ending = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(entry) = world.memory.get(&ended).await.unwrap() {
                return record::read::<Ending>(&entry.key, &entry.value).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("told by the renewal, since the elector is blocked");
    assert!(ending.reason.contains("the dispatch loop was silent"), "{}", ending.reason);
    assert!(world.leader_key().await.is_none());
    assert!(!thread.is_finished());
    stop.cancel();
    release.send(()).unwrap();
    let joined = async {
        while !thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, joined).await.expect("it ends once its reign comes back");
}

#[tokio::test]
async fn a_sick_leader_reigns_no_more_whether_or_not_it_can_give_the_key_back() {
    // Giving it back is waited for during three fifths of the lease.
    let world = World::new(Duration::from_secs(4));
    let mut master = world.master("m1");
    master.reigns().await;
    master.line.stuck.store(true, Ordering::SeqCst);
    world.store.hangs.store(true, Ordering::SeqCst);
    master.shows(|shown| !shown.live).await;
    let began = Instant::now();
    master.shows(|shown| shown.epoch.is_none()).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn without_a_store_nobody_leads_and_no_terms_are_used_up() {
    let world = World::new(TTL);
    let mut first = world.master("m1");
    first.reigns().await;
    let mut second = world.master("m2");
    world.store.hangs.store(true, Ordering::SeqCst);
    first.shows(|shown| shown.epoch.is_none()).await;
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(world.leader_key().await, None);
    world.store.hangs.store(false, Ordering::SeqCst);
    let back = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            epoch = first.reigns() => epoch,
            epoch = second.reigns() => epoch,
        }
    });
    assert_eq!(back.await.unwrap(), Epoch(2));
}

#[tokio::test]
async fn a_resigning_leader_chooses_its_successor() {
    let world = World::new(Duration::from_secs(4));
    let mut first = world.master("m1");
    first.reigns().await;
    let (_second, mut third) = (world.master("m2"), world.master("m3"));
    first.sees_masters(3).await;
    *first.resign_to.lock().unwrap() = Some("m3".parse().unwrap());
    assert_eq!(third.reigns().await, Epoch(2), "by rank it would have been m1 or m2");
    assert_eq!(first.sees(|l| l.largest_epoch == Epoch(2)).await.leader.unwrap().node.as_str(), "m3");
}

#[tokio::test]
async fn a_master_that_rests_leads_at_once_when_it_is_named() {
    let world = World::new(Duration::from_secs(4));
    let mut first = world.master("m1");
    first.reigns().await;
    let mut second = world.master("m2");
    first.sees_masters(2).await;
    first.hung.store(true, Ordering::SeqCst);
    assert_eq!(second.reigns().await, Epoch(2));
    first.hung.store(false, Ordering::SeqCst);
    *second.resign_to.lock().unwrap() = Some("m1".parse().unwrap());
    assert_eq!(first.reigns().await, Epoch(3), "m2 has had the time to take it back");
}

#[tokio::test]
async fn a_standby_shows_that_it_turns_and_one_that_hangs_does_not() {
    let world = World::new(TTL);
    let mut first = world.master("m1");
    first.reigns().await;
    let mut second = world.master("m2");
    second.sees(|l| l.leader.is_some()).await;
    // It looks at least twice in a lease, also without any news.
    tokio::time::sleep(TTL * 2).await;
    let silence = second.pulse.silence(clock::boottime());
    assert!(silence < TTL, "{silence:?}");
    second.line.hangs.store(true, Ordering::SeqCst);
    let patience = tokio::time::timeout(PATIENCE, async {
        while second.pulse.silence(clock::boottime()) < TTL * 2 {
            tokio::time::sleep(TTL / 10).await;
        }
    });
    patience.await.expect("it hangs, and is seen to");
}

#[tokio::test]
async fn a_lost_answer_is_read_back() {
    let world = World::new(TTL);
    let line = Line::default();
    line.lose.store(1, Ordering::SeqCst);
    let mut master = world.master_on("m1", line.clone());
    assert_eq!(master.reigns().await, Epoch(1), "the transaction was done");
    assert_eq!(line.lose.load(Ordering::SeqCst), 0);
    master.stop.cancel();
    master.scope.next_end().await;

    line.lose.store(2, Ordering::SeqCst);
    let mut master = world.master_on("m1", line.clone());
    assert_eq!(master.reigns().await, Epoch(2), "the transaction was not done, and was tried again");
    assert_eq!(line.lose.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_leader_whose_key_was_taken_away_and_made_anew_is_deposed_although_its_lease_lives() {
    let world = World::new(Duration::from_secs(5));
    let mut first = world.master("m1");
    first.reigns().await;
    let key = Keys::new("test").leader();
    let entry = world.memory.get(&key).await.unwrap().unwrap();
    // The same value on the same lease: only the create revision tells.
    world.memory.txn(Vec::new(), vec![Op::Delete(key.clone())]).await.unwrap();
    let again = Op::Put { key: key.clone(), value: entry.value, lease: entry.lease };
    world.memory.txn(vec![Compare::Absent(key.clone())], vec![again]).await.unwrap();
    first.shows(|shown| shown.epoch.is_none()).await;
    world.memory.revoke(entry.lease.unwrap()).await.unwrap();
    assert_eq!(first.reigns().await, Epoch(2));
}
