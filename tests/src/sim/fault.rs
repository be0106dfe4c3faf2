//! Faults: what a seed does to the world, and when it leaves it alone.
//!
//! ```text
//!   a seed picks some kinds and a pace (swarm testing) ─► faults begin, last, end ─► calm ─► one leader (I10)
//!   one seed in ten is calm but for the leader's death: then the successor is quick (SPEED)
//! ```
//! In: a seed. Out: troubles. Never: harms the ledger of a worker, the store's rows or etcd's keys.
//! Tests: with the simulation.

use super::check::CALM_MS;
use super::client::Call;
use super::moment::{Moment, Moments};
use super::net::{MASTERS, Party, SENTINELS};
use super::world::World;
use std::collections::BTreeMap;

/// Faults begin and end between these instants, milliseconds.
pub const FAULTS_MS: (u64, u64) = (3_000, 22_000);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Crash,
    Pause,
    Cut,
    CutOneWay,
    Isolate,
    EtcdAway,
    StoreAway,
    StoreSlow,
    StoreSilent,
    Loss,
    Slow,
    Twice,
    WallStep,
    WatchBreak,
    Resign,
    Stop,
    LeaderCrash,
    LeaderPause,
    LeaderFromEtcd,
    LeaderFromStore,
    LeaderApart,
    At(Moment),
}

const KINDS: [Kind; 25] = [
    Kind::Crash,
    Kind::Pause,
    Kind::Cut,
    Kind::CutOneWay,
    Kind::Isolate,
    Kind::EtcdAway,
    Kind::StoreAway,
    Kind::StoreSlow,
    Kind::StoreSilent,
    Kind::Loss,
    Kind::Slow,
    Kind::Twice,
    Kind::WallStep,
    Kind::WatchBreak,
    Kind::Resign,
    Kind::Stop,
    Kind::LeaderCrash,
    Kind::LeaderPause,
    Kind::LeaderFromEtcd,
    Kind::LeaderFromStore,
    Kind::LeaderApart,
    Kind::At(Moment::Voted),
    Kind::At(Moment::Ended),
    Kind::At(Moment::Taken),
    Kind::At(Moment::Followed),
];

/// Troubles under way.
#[derive(Debug, Default)]
pub struct Troubles {
    active: u64,
    kinds: Vec<Kind>,
    pace_ms: u64,
    /// Moments at which something comes in between.
    pub(super) moments: Moments,
    /// How many faults of each kind there were.
    pub counts: BTreeMap<String, u64>,
    /// Calms that were long enough to be checked.
    pub calms: u64,
    quiet: u64,
}

/// Takes a fault back.
pub(super) type Undo = Box<dyn FnOnce(&mut World) + Send>;

/// Whether nothing happens in this seed but the leader's death.
#[must_use]
pub fn is_calm(seed: u64) -> bool {
    seed % 10 == 9
}

impl World {
    /// Plans what this seed does.
    pub(super) fn plan_faults(&mut self, seed: u64) {
        if is_calm(seed) {
            let at_ms = self.dice.between(7_000, 14_000);
            return self.after(at_ms, "the leader dies", World::end_leader);
        }
        let most = self.dice.between(1, 8);
        for _ in 0..most {
            let kind = KINDS[self.dice.index(KINDS.len())];
            self.troubles.kinds.push(kind);
        }
        self.troubles.pace_ms = [400, 1000, 2500, 6000][self.dice.index(4)];
        self.after(FAULTS_MS.0, "faults begin", World::next_fault);
    }

    fn next_fault(&mut self) {
        let pause_ms = 1 + self.dice.below(2 * self.troubles.pace_ms);
        if self.now_ms + pause_ms < FAULTS_MS.1 {
            self.after(pause_ms, "a fault", World::next_fault);
        }
        let kind = self.troubles.kinds[self.dice.index(self.troubles.kinds.len())];
        self.begin_fault(kind);
    }

    /// A fault begins, unless there is nothing that it could hit.
    fn begin_fault(&mut self, kind: Kind) {
        let length_ms = self.length_of_fault();
        let leader = self.leading().unwrap_or_else(|| self.dice.index(MASTERS));
        let undo: Option<Undo> = match kind {
            Kind::Crash => {
                let party = self.someone();
                self.crash(party)
            }
            Kind::LeaderCrash => self.crash(Party::Master(leader)),
            Kind::Pause => {
                let party = self.someone();
                self.pause(party)
            }
            Kind::LeaderPause => self.pause(Party::Master(leader)),
            Kind::Cut => {
                let (one, other) = (self.anyone(), self.anyone());
                Some(self.cut(vec![(one, other), (other, one)]))
            }
            Kind::CutOneWay => {
                let (one, other) = (self.anyone(), self.anyone());
                Some(self.cut(vec![(one, other)]))
            }
            Kind::Isolate => {
                let one = self.anyone();
                let both = |other: Party| [(one, other), (other, one)];
                let lines = Party::all().into_iter().filter(|other| *other != one).flat_map(both);
                Some(self.cut(lines.collect()))
            }
            Kind::LeaderFromEtcd => {
                let (one, other) = (Party::Master(leader), Party::Etcd);
                Some(self.cut(vec![(one, other), (other, one)]))
            }
            Kind::LeaderFromStore => {
                let (one, other) = (Party::Master(leader), Party::Store);
                Some(self.cut(vec![(one, other), (other, one)]))
            }
            Kind::LeaderApart => {
                let one = Party::Master(leader);
                let lines =
                    [Party::Etcd, Party::Store].into_iter().flat_map(|other| [(one, other), (other, one)]);
                Some(self.cut(lines.collect()))
            }
            Kind::At(moment) => {
                self.troubles.moments.begin(moment);
                Some(Box::new(move |world| world.troubles.moments.end(moment)))
            }
            Kind::EtcdAway => self.take_etcd(),
            Kind::StoreAway => self.store.up.then(|| {
                self.store.up = false;
                Box::new(|world: &mut World| world.store.up = true) as Undo
            }),
            Kind::StoreSlow => {
                self.store.slow_ms = self.dice.between(50, 2_500);
                Some(Box::new(|world| world.store.slow_ms = 0))
            }
            Kind::StoreSilent => {
                self.store.ambiguous = self.dice.between(2, 8);
                Some(Box::new(|world| world.store.ambiguous = 0))
            }
            Kind::Loss => {
                self.net.loss = self.dice.between(3, 20);
                Some(Box::new(|world| world.net.loss = 0))
            }
            Kind::Slow => {
                self.net.slow_ms = self.dice.between(20, 2_500);
                Some(Box::new(|world| world.net.slow_ms = 0))
            }
            Kind::Twice => {
                self.net.twice = self.dice.between(2, 10);
                Some(Box::new(|world| world.net.twice = 0))
            }
            Kind::WallStep => {
                let party = self.someone();
                let by_ms = [900, 2_000, 3_600_000][self.dice.index(3)];
                let by_ms = if self.dice.one_in(2) { by_ms } else { -by_ms };
                self.node_of(party).step_wall(by_ms);
                self.tell(&format!("the clock of {party} is set by {by_ms} ms"));
                Some(Box::new(|_| {}))
            }
            Kind::WatchBreak => {
                let of = (!self.dice.one_in(3)).then(|| self.someone());
                self.break_watches(of);
                Some(Box::new(|_| {}))
            }
            Kind::Resign => {
                let calls = self.masters[leader].reign.as_ref().map(|reign| reign.calls.clone());
                calls
                    .is_some_and(|calls| calls.try_send(Call::Resign).is_ok())
                    .then(|| Box::new(|_: &mut World| {}) as Undo)
            }
            Kind::Stop => self.masters[leader].up.then(|| {
                self.masters[leader].stop();
                Box::new(move |world: &mut World| {
                    world.kill_master(leader);
                    world.start_master(leader);
                }) as Undo
            }),
        };
        let Some(undo) = undo else { return };
        self.trouble(&format!("{kind:?}"), length_ms, undo);
    }

    /// How long a fault lasts that begins now, milliseconds.
    pub(super) fn length_of_fault(&mut self) -> u64 {
        let longest = [300, 1500, 5_000, 8_000][self.dice.index(4)];
        self.dice.between(50, longest).min((FAULTS_MS.1 + 2_000).saturating_sub(self.now_ms)).max(50)
    }

    /// A fault has begun, and is taken back when its time is over.
    pub(super) fn trouble(&mut self, kind: &str, length_ms: u64, undo: Undo) {
        self.tell(&format!("FAULT {kind} for {length_ms} ms"));
        self.troubled(kind);
        let kind = kind.to_owned();
        self.after(length_ms, "a fault ends", move |world| {
            undo(world);
            world.tell(&format!("end of {kind}"));
            world.relieved();
        });
    }

    fn troubled(&mut self, kind: &str) {
        *self.troubles.counts.entry(kind.to_owned()).or_default() += 1;
        self.troubles.active += 1;
    }

    /// A trouble is over. When it was the last one, calm must bring one leader.
    pub(super) fn relieved(&mut self) {
        self.troubles.active = self.troubles.active.saturating_sub(1);
        if self.troubles.active > 0 {
            return;
        }
        let number = self.number();
        self.troubles.quiet = number;
        self.after(CALM_MS, "calm", move |world| {
            if world.troubles.active == 0 && world.troubles.quiet == number {
                world.troubles.calms += 1;
                world.check_leaders();
                world.check_orphans();
            }
        });
    }

    /// Who leads by its key.
    fn leading(&self) -> Option<usize> {
        let (_, info) = self.leader()?;
        (0..MASTERS).find(|at| super::master::name(*at) == info.node)
    }

    /// A node with processes.
    fn someone(&mut self) -> Party {
        let workers = self.workers.iter().filter(|worker| worker.life > 0).count();
        let at = self.dice.index(MASTERS + SENTINELS + workers);
        Party::all().into_iter().nth(at).unwrap_or(Party::Master(0))
    }

    fn anyone(&mut self) -> Party {
        match self.dice.below(6) {
            0 => Party::Etcd,
            1 => Party::Store,
            _ => self.someone(),
        }
    }

    fn node_of(&self, party: Party) -> &super::node::SimNode {
        match party {
            Party::Sentinel(at) => &self.sentinels[at].node,
            Party::Worker(at) => &self.workers[at].node,
            Party::Master(at) => &self.masters[at].node,
            Party::Etcd | Party::Store => &self.masters[0].node,
        }
    }

    fn pause(&mut self, party: Party) -> Option<Undo> {
        if self.node_of(party).is_paused() {
            return None;
        }
        self.node_of(party).pause(true);
        self.tell(&format!("{party} is paused"));
        Some(Box::new(move |world| {
            world.node_of(party).pause(false);
            world.tell(&format!("{party} goes on"));
        }))
    }

    pub(super) fn crash(&mut self, party: Party) -> Option<Undo> {
        let up = match party {
            Party::Master(at) => self.masters[at].up,
            Party::Sentinel(at) => self.sentinels[at].up,
            Party::Worker(at) => self.workers[at].up,
            Party::Etcd | Party::Store => false,
        };
        if !up {
            return None;
        }
        match party {
            Party::Master(at) => self.kill_master(at),
            Party::Sentinel(at) => self.kill_sentinel(at),
            Party::Worker(at) => self.kill_worker(at),
            Party::Etcd | Party::Store => {}
        }
        Some(Box::new(move |world| match party {
            Party::Master(at) if !world.masters[at].up => world.start_master(at),
            Party::Sentinel(at) => world.start_sentinel(at),
            Party::Worker(at) => world.start_worker(at),
            Party::Master(_) | Party::Etcd | Party::Store => {}
        }))
    }

    fn cut(&mut self, lines: Vec<(Party, Party)>) -> Undo {
        for (from, to) in &lines {
            self.net.cut(*from, *to, true);
        }
        if let Some((from, to)) = lines.first() {
            let (from, to) = (*from, *to);
            self.tell(&format!("cut {from} → {to} and {} more", lines.len() - 1));
        }
        Box::new(move |world| lines.into_iter().for_each(|(from, to)| world.net.cut(from, to, false)))
    }

    fn take_etcd(&mut self) -> Option<Undo> {
        if !self.etcd.up {
            return None;
        }
        self.etcd.up = false;
        self.etcd.refuses = self.dice.one_in(2);
        self.break_watches(None);
        Some(Box::new(|world| {
            world.etcd.up = true;
            let now_ms = world.now_ms;
            for (id, ends_ms) in world.etcd.extend_all(now_ms) {
                world.expect_end(id, ends_ms - now_ms);
            }
        }))
    }

    /// The leader dies or stands still, and nothing else happens.
    fn end_leader(&mut self) {
        let Some((entry, info)) = self.leader() else { return };
        let Some(at) = self.leading() else { return };
        let ends_ms = entry.lease.and_then(|id| self.etcd.lease(id)).map_or(0, |lease| lease.ends_ms);
        self.checks.successor_by = Some((info.epoch, ends_ms));
        let dies = self.dice.one_in(2);
        let party = Party::Master(at);
        let undo = if dies { self.crash(party) } else { self.pause(party) };
        self.troubled(if dies { "LeaderCrash" } else { "LeaderPause" });
        self.after(8_000, "the leader is back", move |world| {
            if let Some(undo) = undo {
                undo(world);
            }
            if world.checks.successor_by.take().is_some() {
                world.violate("SPEED", "the dead leader has no successor".to_owned());
            }
            world.relieved();
        });
    }
}
