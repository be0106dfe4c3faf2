//! A master: the elector, the registry and the engine as they are, the store and the network simulated.
//!
//! ```text
//!   Elector ─► reign: calls, events of workers, ticks ─► Engine ─► 1. commit  2. orders, answers
//!   links ───► Registry ──► events
//! ```
//! The loop is the one of `master::runtime`, with the simulated store in place of the SQL one.
//! In: a life after the other on one node. Out: terms. Never: decides anything itself.
//! Tests: with the simulation.

use super::CLUSTER;
use super::client::{self, Call};
use super::coord::Line;
use super::fence::Fence;
use super::line::{StoreLine, look_at_store};
use super::link::{Down, Up};
use super::net::Party;
use super::node::SimNode;
use super::past;
use super::world::{Handle, World};
use futures_util::future::BoxFuture;
use shanty_master::election::{Elector, Leadership, Mandate, Options, Reign, Term};
use shanty_master::engine::{self, Arrival, Command, Engine, Now, Order};
use shanty_master::registry::{Outbound, Registry, WorkerEvent};
use shanty_master::runtime::turn;
use shanty_master::store::{Error, Mutation};
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
use shanty_rt::clock;
use shanty_rt::coord::Entry;
use shanty_rt::pulse::Pulse;
use shanty_rt::simulation::{self, Node};
use shanty_rt::task::Scope;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How often time is told to the engine.
const TICK: Duration = Duration::from_millis(100);
/// A worker that said something within this lives: nobody else may have its name.
const ALIVE_WITHIN: Duration = Duration::from_secs(4);
/// Between two tries of a commit.
const AGAIN: Duration = Duration::from_millis(200);
/// Worker events that wait.
const EVENTS: usize = 4096;

/// A master.
pub struct Master {
    pub(super) node: Arc<SimNode>,
    pub(super) as_node: Arc<dyn Node>,
    pub(super) up: bool,
    /// Which life of its process; 0 before the first.
    pub(super) life: u64,
    pub(super) scope: Option<Scope>,
    pub(super) registry: Arc<Registry>,
    pub(super) reign: Option<Reigning>,
    /// The leader key as it was taken last.
    pub(super) taken: Option<Entry>,
    leadership: Option<watch::Receiver<Leadership>>,
    /// The store answered it.
    stored: Option<Arc<Pulse>>,
    stop: CancellationToken,
}

/// A reign.
pub struct Reigning {
    pub(super) epoch: Epoch,
    pub(super) life: u64,
    /// Whether its mandate was living at the last tick.
    pub(super) live: bool,
    pub(super) calls: mpsc::Sender<Call>,
    dispatched: Arc<Pulse>,
}

/// What a master says of itself.
pub struct Word {
    /// Its process.
    pub incarnation: String,
    /// Its term.
    pub leading: Option<Epoch>,
    /// Since its loop turned.
    pub dispatch: Duration,
    /// Since its store answered.
    pub store: Duration,
    /// Whether it may lead.
    pub eligible: bool,
    /// Its wall clock.
    pub unix_ms: i64,
    /// The leader that its workers were asked about, how many there are, and how many heard it.
    pub witnesses: Option<(NodeId, u32, [u32; 5])>,
}

impl Master {
    /// A node on which no master runs yet.
    #[must_use]
    pub fn new(node: Arc<SimNode>) -> Master {
        Master {
            as_node: node.clone(),
            node,
            up: false,
            life: 0,
            scope: None,
            registry: Arc::new(Registry::new()),
            reign: None,
            taken: None,
            leadership: None,
            stored: None,
            stop: CancellationToken::new(),
        }
    }

    /// What it says of itself to those who ask.
    #[must_use]
    pub fn word(&self, at: usize) -> Word {
        simulation::enter(&self.as_node, || {
            let now = clock::boottime();
            let leader = self.leadership.as_ref().and_then(|seen| seen.borrow().leader.clone());
            let other = leader.map(|info| info.node).filter(|node| *node != name(at));
            let silence =
                |pulse: Option<&Arc<Pulse>>| pulse.map_or(Duration::ZERO, |pulse| pulse.silence(now));
            Word {
                incarnation: format!("{}.{}", Party::Master(at), self.life),
                leading: self.reign.as_ref().map(|reign| reign.epoch),
                dispatch: silence(self.reign.as_ref().map(|reign| &reign.dispatched)),
                store: silence(self.stored.as_ref()),
                eligible: !self.stop.is_cancelled(),
                unix_ms: clock::unix_ms(),
                witnesses: other.map(|node| {
                    let (attached, heard) = self.registry.witnesses(&node, now);
                    (node, attached, heard)
                }),
            }
        })
    }

    /// Asks it to end as by SIGTERM.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

/// A master's name.
#[must_use]
pub fn name(at: usize) -> NodeId {
    super::node_id(&Party::Master(at).to_string())
}

impl World {
    /// A master's process begins.
    pub(super) fn start_master(&mut self, at: usize) {
        let handle = self.handle.clone();
        let master = &mut self.masters[at];
        master.life += 1;
        let (life, incarnation) = (master.life, format!("{}.{}", Party::Master(at), master.life));
        let store = StoreLine { world: handle.clone(), me: at, incarnation: incarnation.clone() };
        let coord = Line { world: handle.clone(), me: Party::Master(at), life };
        let mut options = Options::new(CLUSTER, name(at), &format!("{}:7070", Party::Master(at)));
        options.incarnation = incarnation;
        let (registry, stop) = (Arc::new(Registry::new()), CancellationToken::new());
        let mut scope = Scope::new();
        simulation::enter(&master.as_node, || {
            let elector = Elector::new(Arc::new(coord), Arc::new(store.clone()), options);
            master.leadership = Some(elector.leadership());
            let stored = Arc::new(Pulse::new());
            master.stored = Some(stored.clone());
            let mut throne = Throne {
                world: handle.clone(),
                me: at,
                life,
                registry: registry.clone(),
                store: store.clone(),
            };
            let until = stop.clone();
            scope.spawn("master", async move { elector.run(&mut throne, until).await });
            scope.spawn("condition", look_at_store(store, stored));
        });
        (master.scope, master.registry, master.stop) = (Some(scope), registry, stop);
        (master.up, master.reign) = (true, None);
        self.tell(&format!("{}.{life} begins", Party::Master(at)));
    }

    /// A master's process is gone.
    pub(super) fn kill_master(&mut self, at: usize) {
        let master = &mut self.masters[at];
        if master.up {
            (master.up, master.scope, master.reign) = (false, None, None);
            let life = master.life;
            self.tell(&format!("{}.{life} is killed", Party::Master(at)));
        }
    }
}

/// The master's end of a link, for as long as both ends are open.
pub(super) async fn serve(
    world: Handle,
    link: u64,
    me: usize,
    registry: Arc<Registry>,
    arrival: Arrival,
    mut said: mpsc::Receiver<Up>,
) {
    let node = arrival.node.clone();
    let standing = || world.with(|world| world.masters[me].reign.as_ref().map(|reign| reign.epoch)).flatten();
    let say = |word: Down| world.with(|world| world.say_down(link, word));
    let Ok((session, mut outbox)) = registry.attach(arrival, ALIVE_WITHIN).await else {
        world.with(|world| world.close_at_master(link));
        return;
    };
    say(Down::Welcome(standing()));
    let mut counts = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            word = said.recv() => {
                let Some(word) = word else { break };
                let event = match word {
                    Up::Beat(heard) => {
                        if let Some((leader, ago)) = heard {
                            registry.heard_leader(&node, session, leader, clock::boottime().saturating_sub(ago));
                        }
                        say(Down::Beat(standing()));
                        WorkerEvent::Heartbeat(node.clone(), super::worker::figures(), 0)
                    }
                    Up::Inventory(held) => WorkerEvent::Inventory(node.clone(), held),
                    Up::Update(attempt, update) => WorkerEvent::Update(node.clone(), attempt, update),
                    Up::Report(attempt, sequence, partial) => {
                        let read = world.with(|world| world.misread(&mut counts, &node, &attempt, sequence));
                        let (node, attempt, sequence) = read.unwrap_or((node.clone(), attempt, sequence));
                        WorkerEvent::Report(node, attempt, sequence, partial)
                    }
                    Up::Ended(ending) => WorkerEvent::Ended(node.clone(), ending),
                };
                registry.forward(&node, session, event).await;
            }
            out = outbox.recv() => match out {
                Some(Outbound::Announce(epoch)) => _ = say(Down::Announce(epoch)),
                Some(Outbound::Order(epoch, order)) => _ = say(Down::Order(epoch, order)),
                Some(Outbound::Check { .. } | Outbound::Twin(_)) => {}
                None => break,
            },
        }
    }
    registry.detach(&node, session).await;
    world.with(|world| world.close_at_master(link));
}

impl World {
    /// Whose results these are taken for, and which ones, when a fence is left out.
    fn misread(
        &self,
        counts: &mut BTreeMap<shanty_model::id::AttemptId, u64>,
        node: &NodeId,
        attempt: &shanty_model::id::AttemptId,
        sequence: u64,
    ) -> (NodeId, shanty_model::id::AttemptId, u64) {
        let (mut by, mut of, mut number) = (node.clone(), attempt.clone(), sequence);
        if !self.fences.has(Fence::ResultsAttempt)
            && let Some(shard) = self.store.shards.get(&attempt.shard)
            && let Some(newest) = &shard.node
        {
            (by, of.number) = (newest.clone(), shard.attempt);
        }
        if !self.fences.has(Fence::ResultsNumber) {
            let count = counts.entry(attempt.clone()).or_insert(sequence - 1);
            *count += 1;
            number = *count;
        }
        (by, of, number)
    }
}

/// The reign of one life.
struct Throne {
    world: Handle,
    me: usize,
    life: u64,
    registry: Arc<Registry>,
    store: StoreLine,
}

impl Reign for Throne {
    fn reign<'t>(&'t mut self, mandate: Mandate<'t>, term: &'t Term) -> BoxFuture<'t, ()> {
        Box::pin(async move {
            // Whatever way this future ends, the door is closed behind it.
            let _door = Door { world: &self.world, registry: &self.registry, me: self.me, life: self.life };
            let epoch = mandate.epoch();
            if let Err(error) = self.lead(mandate, term).await {
                self.world.with(|world| {
                    world.tell(&format!("{} ends {epoch} from within: {error}", name(self.me)))
                });
            }
        })
    }
}

struct Door<'a> {
    world: &'a Handle,
    registry: &'a Registry,
    me: usize,
    life: u64,
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        self.registry.stand_by();
        self.world.with(|world| {
            let master = &mut world.masters[self.me];
            if let Some(reign) = master.reign.take_if(|reign| reign.life == self.life) {
                world.tell(&format!("{} reigns no more in {}", name(self.me), reign.epoch));
            }
        });
    }
}

fn now() -> Now {
    Now { unix_ns: clock::unix_ns(), boot: clock::boottime() }
}

impl Throne {
    async fn lead<'t>(&self, mandate: Mandate<'t>, term: &'t Term) -> Result<(), Error> {
        let epoch = mandate.epoch();
        let stored = self.store.load().await?;
        let engine = Engine::take_over(now(), epoch, &name(self.me), engine::Options::default(), stored);
        let unread = engine.unread().into_iter().map(|(run, _)| run).collect();
        let (calls, incoming) = mpsc::channel(client::CALLS);
        let to_core = calls.clone();
        let (sink, events) = mpsc::channel(EVENTS);
        self.world.with(|world| {
            world.tell(&format!("{} reigns in {epoch}", name(self.me)));
            let dispatched = term.gates().dispatched();
            world.masters[self.me].reign =
                Some(Reigning { epoch, life: self.life, live: true, calls, dispatched });
        });
        let announce = async {
            self.registry.lead(epoch, sink).await;
            std::future::pending::<()>().await;
        };
        let past = async {
            past::read(&self.store, unread, &to_core).await;
            std::future::pending::<()>().await;
        };
        let mut core = Core { throne: self, engine, mandate, term };
        tokio::select! {
            biased;
            () = announce => Ok(()),
            () = past => Ok(()),
            ended = core.run(incoming, events) => ended,
        }
    }
}

/// The owner of the engine in one term.
struct Core<'t> {
    throne: &'t Throne,
    engine: Engine,
    mandate: Mandate<'t>,
    term: &'t Term,
}

impl Core<'_> {
    async fn run(
        &mut self,
        mut calls: mpsc::Receiver<Call>,
        mut events: mpsc::Receiver<WorkerEvent>,
    ) -> Result<(), Error> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let mut asked = None;
            tokio::select! {
                biased;
                _ = tick.tick() => {
                    let live = self.is_live();
                    self.show(live);
                    self.engine.on_tick(now(), !live);
                }
                call = calls.recv() => match call {
                    Some(call) => asked = self.take(call),
                    None => return Ok(()),
                },
                event = events.recv() => {
                    let Some(event) = event else { return Ok(()) };
                    let frozen = !self.is_live();
                    self.engine.freeze(frozen);
                    for event in turn(event, &mut events) {
                        self.hear(event);
                    }
                }
            }
            self.carry_out(asked).await?;
            self.term.gates().tick_dispatch();
        }
    }

    /// Whether it may begin anything new; always, when that fence is left out.
    fn is_live(&self) -> bool {
        let blind = self.throne.world.with(|world| !world.fences.has(Fence::Frozen)).unwrap_or(false);
        blind || self.mandate.is_live()
    }

    /// I12: a lease that is over ends no living mandate.
    fn show(&self, live: bool) {
        let epoch = self.mandate.epoch();
        self.throne.world.with(|world| {
            if let Some(reign) = &mut world.masters[self.throne.me].reign {
                reign.live = live;
            }
            if live && world.checks.lapsed.contains(&epoch) {
                world.violate(
                    "I12",
                    format!("{} is live in {epoch}, whose lease is over", name(self.throne.me)),
                );
            }
        });
    }

    fn take(&mut self, call: Call) -> Option<client::Done> {
        match call {
            Call::Resign => self.term.resign(None),
            Call::Past(run, pieces, last) => self.engine.on_past(&run, &pieces, last),
            call => return self.ask(call),
        }
        None
    }

    fn ask(&mut self, call: Call) -> Option<client::Done> {
        if self.is_live() { client::step(&mut self.engine, now(), call) } else { None }
    }

    fn hear(&mut self, event: WorkerEvent) {
        let (engine, at) = (&mut self.engine, now());
        match event {
            WorkerEvent::Attached(arrival) => engine.on_attached(at, arrival),
            WorkerEvent::Inventory(node, held) => engine.on_inventory(at, &node, &held),
            WorkerEvent::Heartbeat(node, figures, offset) => engine.on_heartbeat(at, &node, figures, offset),
            WorkerEvent::Gone(node, incarnation) => engine.on_gone(at, &node, &incarnation),
            WorkerEvent::Leaving(node, reason) => engine.on_leaving(at, &node, &reason),
            WorkerEvent::Update(node, attempt, update) => engine.on_update(at, &node, &attempt, update),
            WorkerEvent::Report(node, attempt, sequence, partial) => {
                engine.on_report(at, &node, &attempt, sequence, partial);
            }
            WorkerEvent::Ended(node, ending) => engine.on_ended(at, &node, ending),
            WorkerEvent::Twin(node) => engine.on_twin(at, &node),
        }
    }

    /// Stores what was decided, then tells the workers and the caller.
    async fn carry_out(&mut self, asked: Option<client::Done>) -> Result<(), Error> {
        let mut batch = Vec::new();
        let mut orders = Vec::new();
        for command in self.engine.take_commands() {
            match command {
                Command::Store(mutation) => batch.push(*mutation),
                Command::Tell(node, order) => orders.push((node, order)),
            }
        }
        let world = &self.throne.world;
        let first = world.with(|world| world.fences.has(Fence::CommitFirst)).unwrap_or(true);
        let dispatches = batch.iter().any(|mutation| matches!(mutation, Mutation::InsertAttempt(_)));
        if dispatches && !self.mandate.is_live() {
            let what = format!("{} gives work out, frozen", name(self.throne.me));
            world.with(|world| world.violate("I12", what));
        }
        if !first {
            self.send(std::mem::take(&mut orders));
        }
        if !batch.is_empty() {
            self.commit(Arc::new(batch)).await?;
        }
        self.send(orders);
        if let Some(done) = asked {
            world.with(|world| world.acknowledge(done));
        }
        Ok(())
    }

    fn send(&self, orders: Vec<(NodeId, Order)>) {
        for (node, order) in orders {
            self.throne.registry.send(&node, Outbound::Order(self.mandate.epoch(), order));
        }
    }

    /// Commits, trying again while the store is away and this master may still act.
    async fn commit(&self, batch: Arc<Vec<Mutation>>) -> Result<(), Error> {
        let (store, epoch) = (&self.throne.store, self.mandate.epoch());
        let mut done = store.commit(epoch, batch.clone()).await;
        while matches!(done, Err(Error::Unavailable(_))) && self.mandate.is_live() {
            tokio::time::sleep(AGAIN).await;
            done = store.recommit(epoch, batch.clone()).await;
        }
        done
    }
}
