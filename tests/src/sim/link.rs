//! The standing stream between a worker and a master.
//!
//! ```text
//!   worker ─knocks─► link ─► a task of the master ─► its registry
//!   in order both ways; late while the line is cut or an end stands still; closed when that lasts, each end by itself
//! ```
//! In: what both say. Out: the same, later, perhaps twice. Never: loses a message and goes on.
//! Tests: with the simulation.

use super::master;
use super::net::Party;
use super::world::World;
use shanty_master::engine::{Ending, Held, Order, Update};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId};
use shanty_rt::simulation;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two knocks of a worker at a master that it has no link with, milliseconds.
const KNOCK_MS: u64 = 300;
/// Between two looks at all links.
const LOOK_MS: u64 = 500;
/// Between two tries to get a message through.
const RETRY_MS: u64 = 100;
/// Messages that wait for a master that does not read.
const WAITING: usize = 1024;

/// What a worker says.
#[derive(Debug, Clone)]
pub enum Up {
    /// That it lives, and whom it heard lead how long ago.
    Beat(Option<(NodeId, Duration)>),
    /// What it holds.
    Inventory(Vec<Held>),
    /// Where an attempt is.
    Update(AttemptId, Update),
    /// Results.
    Report(AttemptId, u64, Vec<u8>),
    /// An attempt's end.
    Ended(Ending),
}

/// What a master says.
#[derive(Debug, Clone)]
pub enum Down {
    /// The first word: whether it leads.
    Welcome(Option<Epoch>),
    /// That it lives, and whether it leads.
    Beat(Option<Epoch>),
    /// That it leads from now on.
    Announce(Epoch),
    /// An order.
    Order(Epoch, Order),
}

/// A link.
pub struct Link {
    pub(super) worker: usize,
    pub(super) master: usize,
    worker_life: u64,
    master_life: u64,
    /// None when the master's end is closed.
    inbox: Option<mpsc::Sender<Up>>,
    at_worker: bool,
    up: VecDeque<Up>,
    down: VecDeque<Down>,
    up_ms: u64,
    down_ms: u64,
    blocked_ms: Option<u64>,
    /// How long the ends bear silence.
    patience_ms: u64,
}

impl World {
    /// A worker knocks at a master, for ever.
    pub(super) fn knock(&mut self, worker: usize, master: usize) {
        self.after(KNOCK_MS, "a worker knocks", move |world| world.knock(worker, master));
        let (w, m) = (&self.workers[worker], &self.masters[master]);
        let able = w.up && !w.node.is_paused() && m.up && !m.node.is_paused();
        let apart = self.net.is_apart(Party::Worker(worker), Party::Master(master));
        if !able || apart || w.links[master].is_some() {
            return;
        }
        let (worker_life, master_life) = (w.life, m.life);
        let id = self.number();
        let (inbox, said) = mpsc::channel(WAITING);
        let link = Link {
            worker,
            master,
            worker_life,
            master_life,
            inbox: Some(inbox),
            at_worker: true,
            up: VecDeque::new(),
            down: VecDeque::new(),
            up_ms: 0,
            down_ms: 0,
            blocked_ms: None,
            patience_ms: self.dice.between(2_000, 6_000),
        };
        self.links.insert(id, link);
        self.workers[worker].links[master] = Some(id);
        let arrival = self.workers[worker].arrival();
        let handle = self.handle.clone();
        let m = &mut self.masters[master];
        let serve = master::serve(handle, id, master, m.registry.clone(), arrival, said);
        if let Some(scope) = &mut m.scope {
            simulation::enter(&m.as_node, || scope.spawn("link", serve));
        }
    }

    /// A worker says something.
    pub(super) fn say_up(&mut self, id: u64, said: Up) {
        let delay = self.net.delay();
        let now_ms = self.now_ms;
        let Some(link) = self.links.get_mut(&id).filter(|link| link.at_worker) else { return };
        link.up.push_back(said);
        link.up_ms = link.up_ms.max(now_ms + delay);
        let at_ms = link.up_ms;
        self.after(at_ms - now_ms, "a master hears", move |world| world.hear_up(id));
    }

    fn hear_up(&mut self, id: u64) {
        let Some(link) = self.links.get(&id) else { return };
        if self.net.is_cut(Party::Worker(link.worker), Party::Master(link.master)) {
            return self.after(RETRY_MS, "a line is tried again", move |world| world.hear_up(id));
        }
        let again = self.net.again();
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(said) = link.up.pop_front() else { return };
        let Some(inbox) = link.inbox.clone() else { return };
        if let Some(later) = again {
            let said = said.clone();
            self.after(later, "a message comes twice", move |world| world.say_up(id, said));
        }
        if inbox.try_send(said).is_err() {
            self.close_at_master(id);
        }
    }

    /// A master says something.
    pub(super) fn say_down(&mut self, id: u64, said: Down) {
        let delay = self.net.delay();
        let now_ms = self.now_ms;
        let Some(link) = self.links.get_mut(&id).filter(|link| link.at_worker) else { return };
        link.down.push_back(said);
        link.down_ms = link.down_ms.max(now_ms + delay);
        let at_ms = link.down_ms;
        self.after(at_ms - now_ms, "a worker hears", move |world| world.hear_down(id));
    }

    fn hear_down(&mut self, id: u64) {
        let Some(link) = self.links.get(&id) else { return };
        let (worker, master) = (link.worker, link.master);
        let stuck = self.net.is_cut(Party::Master(master), Party::Worker(worker));
        if stuck || self.workers[worker].node.is_paused() {
            return self.after(RETRY_MS, "a line is tried again", move |world| world.hear_down(id));
        }
        let again = self.net.again();
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(said) = link.down.pop_front() else { return };
        if !link.at_worker || self.workers[worker].life != link.worker_life || !self.workers[worker].up {
            return;
        }
        if let Some(later) = again
            && !matches!(said, Down::Welcome(_))
        {
            let said = said.clone();
            self.after(later, "a message comes twice", move |world| world.say_down(id, said));
        }
        self.worker_hears(worker, id, said);
    }

    /// The master's end is closed.
    pub(super) fn close_at_master(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.inbox = None;
        if !link.at_worker {
            self.links.remove(&id);
        }
    }

    fn close_at_worker(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.at_worker = false;
        let (worker, master, life) = (link.worker, link.master, link.worker_life);
        if link.inbox.is_none() {
            self.links.remove(&id);
        }
        if self.workers[worker].life == life {
            self.worker_loses(worker, master, id);
        }
    }

    /// Ends see that the other one is gone, for ever.
    pub(super) fn look_at_links(&mut self) {
        self.after(LOOK_MS, "links are looked at", World::look_at_links);
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            let now_ms = self.now_ms;
            let Some(link) = self.links.get_mut(&id) else { continue };
            let (worker, master) = (&self.workers[link.worker], &self.masters[link.master]);
            let apart = self.net.is_apart(Party::Worker(link.worker), Party::Master(link.master));
            let stuck = apart || worker.node.is_paused() || master.node.is_paused();
            let since = link.blocked_ms.filter(|_| stuck).unwrap_or(now_ms);
            link.blocked_ms = stuck.then_some(since);
            let given_up = now_ms - since >= link.patience_ms;
            let worker_gone = !worker.up || worker.life != link.worker_life;
            let master_gone = !master.up || master.life != link.master_life || link.inbox.is_none();
            let worker_closed = !link.at_worker;
            if given_up || (!apart && (worker_gone || worker_closed)) {
                self.close_at_master(id);
            }
            if given_up || worker_gone || (!apart && master_gone) {
                self.close_at_worker(id);
            }
        }
    }
}
