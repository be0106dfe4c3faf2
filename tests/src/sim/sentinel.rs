//! A sentinel: the brain and the ballot as they are; what it sees of masters and of its peers is simulated.
//!
//! In: probes and exchanges, whose fates the network decides. Out: what the sentinel does to etcd.
//! Tests: with the simulation.

use super::CLUSTER;
use super::coord::Line;
use super::master::Word;
use super::net::{Party, SENTINELS};
use super::node::SimNode;
use super::world::World;
use shanty_model::id::NodeId;
use shanty_rt::coord::{NodeInfo, Registration, Role};
use shanty_rt::simulation::{self, Node};
use shanty_rt::task::Scope;
use shanty_sentinel::play::{Health, Heard, Sign, Witnesses, play};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two probes of a master, and two words to a peer, milliseconds.
const EVERY_MS: u64 = 250;
/// After a refused connection.
const AGAIN_MS: u64 = 60;
/// For a connection, and for a first answer.
const PATIENCE_MS: (u64, u64) = (500, 750);
/// How often time is told to it.
const TICK: Duration = Duration::from_millis(100);
/// Life of its registration.
const TTL: Duration = Duration::from_secs(10);
/// What waits for it.
const WAITING: usize = 1024;

/// A sentinel.
pub struct Sentinel {
    pub(super) node: Arc<SimNode>,
    as_node: Arc<dyn Node>,
    pub(super) up: bool,
    life: u64,
    scope: Option<Scope>,
    ears: Option<mpsc::Sender<Heard>>,
}

impl Sentinel {
    /// A node on which no sentinel runs yet.
    #[must_use]
    pub fn new(node: Arc<SimNode>) -> Sentinel {
        Sentinel { as_node: node.clone(), node, up: false, life: 0, scope: None, ears: None }
    }
}

fn name(at: usize) -> NodeId {
    super::node_id(&Party::Sentinel(at).to_string())
}

impl World {
    /// A sentinel's process begins.
    pub(super) fn start_sentinel(&mut self, at: usize) {
        let keys = self.keys.clone();
        let sentinel = &mut self.sentinels[at];
        sentinel.life += 1;
        let line = Line { world: self.handle.clone(), me: Party::Sentinel(at), life: sentinel.life };
        let coord = Arc::new(line);
        let (tell, heard) = mpsc::channel(WAITING);
        let info = NodeInfo {
            node: name(at),
            role: Role::Sentinel,
            address: format!("{}:7070", Party::Sentinel(at)),
            incarnation: format!("{}.{}", Party::Sentinel(at), sentinel.life),
            version: String::new(),
            priority: 0,
        };
        let key = keys.node(Role::Sentinel, &info.node);
        let mut scope = Scope::new();
        simulation::enter(&sentinel.as_node, || {
            let keep = Registration::keep(coord.clone(), key, info, TTL, scope.token());
            // No other process has its name here.
            scope.spawn("registration", async { drop(keep.await) });
            scope.spawn("sentinel", play(name(at), CLUSTER, coord, heard, TICK));
        });
        (sentinel.up, sentinel.scope, sentinel.ears) = (true, Some(scope), Some(tell));
        let life = sentinel.life;
        self.tell(&format!("{}.{life} begins", Party::Sentinel(at)));
    }

    /// A sentinel's process is gone.
    pub(super) fn kill_sentinel(&mut self, at: usize) {
        let sentinel = &mut self.sentinels[at];
        if sentinel.up {
            (sentinel.up, sentinel.scope, sentinel.ears) = (false, None, None);
            let life = sentinel.life;
            self.tell(&format!("{}.{life} is killed", Party::Sentinel(at)));
        }
    }

    fn listens(&self, at: usize) -> bool {
        self.sentinels[at].up && !self.sentinels[at].node.is_paused()
    }

    fn hear(&self, at: usize, heard: Heard) {
        if let Some(ears) = &self.sentinels[at].ears {
            // A sentinel that does not read this much is over, or stands still.
            drop(ears.try_send(heard));
        }
    }

    /// A sentinel probes a master, for ever.
    pub(super) fn probe(&mut self, at: usize, master: usize) {
        let (me, it) = (Party::Sentinel(at), Party::Master(master));
        let dead = !self.masters[master].up;
        let pause_ms = if dead { AGAIN_MS } else { EVERY_MS };
        self.after(pause_ms, "a sentinel probes", move |world| world.probe(at, master));
        if !self.listens(at) {
            return;
        }
        if self.net.is_apart(me, it) {
            let sign = Sign::Unreachable("no connection".to_owned());
            return self.after(PATIENCE_MS.0, "a probe fails", move |world| world.sign(at, master, sign));
        }
        let Some(delay) = self.net.fate(me, it) else { return };
        self.after(delay, "a probe arrives", move |world| {
            if world.masters[master].up && world.masters[master].node.is_paused() {
                let sign = Sign::Unreachable("no answer".to_owned());
                return world
                    .after(PATIENCE_MS.1, "a probe fails", move |world| world.sign(at, master, sign));
            }
            let sign = if world.masters[master].up {
                Sign::Answered(health(world.masters[master].word(master)))
            } else {
                Sign::Refused
            };
            if let Some(delay) = world.net.fate(it, me) {
                world.after(delay, "a probe is answered", move |world| world.sign(at, master, sign));
            }
        });
    }

    fn sign(&self, at: usize, master: usize, sign: Sign) {
        self.hear(at, Heard::Master(super::master::name(master), sign));
    }

    /// Sentinels speak to each other, for ever.
    pub(super) fn exchange(&mut self, at: usize) {
        self.after(EVERY_MS, "a sentinel speaks to its peers", move |world| world.exchange(at));
        for other in (0..SENTINELS).filter(|other| *other != at) {
            let (me, it) = (Party::Sentinel(at), Party::Sentinel(other));
            if !self.listens(at) || !self.listens(other) {
                continue;
            }
            let (Some(there), Some(back)) = (self.net.fate(me, it), self.net.fate(it, me)) else { continue };
            self.after(there + back, "peers have spoken", move |world| {
                world.hear(at, Heard::Peer(name(other)));
                world.hear(other, Heard::Peer(name(at)));
            });
        }
    }
}

fn health(word: Word) -> Health {
    let Word { incarnation, leading, dispatch, store, eligible, unix_ms, witnesses } = word;
    let witnesses = witnesses.map_or_else(Witnesses::default, |(leader, attached, heard_within)| Witnesses {
        leader: Some(leader),
        attached,
        heard_within,
    });
    let (disk, priority, cpu, memory) = (Duration::ZERO, 100, 0.2, 0.2);
    Health {
        incarnation,
        leading,
        dispatch,
        store,
        disk,
        eligible,
        priority,
        cpu,
        memory,
        unix_ms,
        witnesses,
    }
}
