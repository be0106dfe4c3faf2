//! A worker as its masters know one: obeys the largest epoch, holds attempts, numbers results and keeps them until they
//! are acknowledged.
//!
//! ```text
//!   links ─► obeys? (ledger, then whoever leads) ─► held attempts ─► results, told in order to the leader
//! ```
//! In: words of masters, time. Out: words to masters. The ledger outlives its process, all else goes with it.
//! Tests: with the simulation; the worker itself has tests of its own.

use super::check::Piece;
use super::fence::Fence;
use super::link::{Down, Up};
use super::moment::Moment;
use super::net::{MASTERS, Party};
use super::node::SimNode;
use super::target::Worked;
use super::world::World;
use shanty_master::engine::{Arrival, Assignment, Ending, Held as HeldWord, Order, Outcome, Update};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId};
use shanty_model::kind::db_sync::Step;
use shanty_model::kind::http_load;
use shanty_model::rate::Directive;
use shanty_model::telemetry::Telemetry;
use shanty_rt::simulation::Node as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Between two pieces of work, milliseconds.
const WORK_MS: u64 = 400;
/// Attempts at once.
const SLOTS: u32 = 4;

/// A session that leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leading {
    link: u64,
    master: usize,
    epoch: Epoch,
}

/// A worker.
pub struct Worker {
    pub(super) name: NodeId,
    pub(super) node: Arc<SimNode>,
    pub(super) up: bool,
    pub(super) life: u64,
    pub(super) links: [Option<u64>; MASTERS],
    /// The ledger.
    pub(super) max_epoch: Epoch,
    leading: Option<Leading>,
    /// The leader heard last, and when.
    heard: Option<(usize, Duration)>,
    held: BTreeMap<AttemptId, Held>,
    /// Attempts whose end was acknowledged, and in which term.
    over: BTreeMap<AttemptId, Epoch>,
    drained: bool,
}

/// What an attempt does.
#[derive(Debug)]
enum Work {
    /// Turns so far, and the end; a report each third turn.
    Rate {
        directive: Directive,
        turns: u32,
        end_ms: u64,
    },
    Sync(Step),
}

#[derive(Debug)]
struct Held {
    work: Work,
    /// Number of the newest change.
    change: u32,
    /// Results without acknowledgement, by number.
    kept: BTreeMap<u64, Vec<u8>>,
    newest: u64,
    sent: u64,
    told: (bool, u32, bool),
    end: Option<Outcome>,
    stops: bool,
}

impl Held {
    /// Number of the newest result that was acknowledged.
    fn acked(&self) -> u64 {
        self.kept.keys().next().map_or(self.newest, |first| first - 1)
    }
}

/// The figures of a worker that is well.
#[must_use]
pub fn figures() -> Telemetry {
    Telemetry { cores: 2.0, memory_total_bytes: 1 << 30, ..Telemetry::default() }
}

impl Worker {
    /// A node on which no worker runs yet.
    #[must_use]
    pub fn new(at: usize, node: Arc<SimNode>) -> Worker {
        Worker {
            name: super::node_id(&Party::Worker(at).to_string()),
            node,
            up: false,
            life: 0,
            links: [None; MASTERS],
            max_epoch: Epoch::NONE,
            leading: None,
            heard: None,
            held: BTreeMap::new(),
            over: BTreeMap::new(),
            drained: false,
        }
    }

    /// What it says when it attaches.
    #[must_use]
    pub fn arrival(&self) -> Arrival {
        Arrival {
            node: self.name.clone(),
            incarnation: format!("{}.{}", self.name, self.life),
            version: "0".into(),
            kinds: vec!["http_load".into(), "db_sync".into()],
            slots: SLOTS,
            labels: BTreeMap::new(),
            connections: vec!["shop".into(), "dw".into()],
            door: String::new(),
            telemetry: figures(),
        }
    }

    /// The directive that an attempt under way has in force.
    #[must_use]
    pub fn directive(&self, attempt: &AttemptId) -> Option<&Directive> {
        match self.held.get(attempt).filter(|held| held.end.is_none() && self.up).map(|held| &held.work) {
            Some(Work::Rate { directive, .. }) => Some(directive),
            Some(Work::Sync(_)) | None => None,
        }
    }

    /// The attempts that run on it.
    pub fn running(&self) -> impl Iterator<Item = &AttemptId> {
        let runs = |held: &&Held| held.end.is_none() && !held.stops;
        self.held.iter().filter(move |(_, held)| self.up && runs(held)).map(|(attempt, _)| attempt)
    }

    fn inventory(&self) -> Vec<HeldWord> {
        let words = self.held.iter().map(|(attempt, held)| HeldWord {
            attempt: attempt.clone(),
            revision: held.change,
            acked: held.acked(),
            ended: held.end.is_some(),
        });
        words.collect()
    }
}

impl World {
    /// A worker's process begins.
    pub(super) fn start_worker(&mut self, at: usize) {
        let keeps = self.fences.has(Fence::WorkerLedger);
        let worker = &mut self.workers[at];
        worker.life += 1;
        worker.up = true;
        (worker.leading, worker.heard, worker.drained) = (None, None, false);
        worker.links = [None; MASTERS];
        worker.held.clear();
        worker.over.clear();
        if !keeps {
            worker.max_epoch = Epoch::NONE;
        }
        let life = worker.life;
        self.tell(&format!("{}.{life} begins", Party::Worker(at)));
    }

    /// A worker's process is gone.
    pub(super) fn kill_worker(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        if worker.up {
            worker.up = false;
            worker.links = [None; MASTERS];
            let life = worker.life;
            self.tell(&format!("{}.{life} is killed", Party::Worker(at)));
        }
    }

    /// A worker works, and beats, for ever.
    pub(super) fn worker_turn(&mut self, at: usize) {
        self.after(WORK_MS, "a worker works", move |world| world.worker_turn(at));
        if !self.workers[at].up || self.workers[at].node.is_paused() {
            return;
        }
        for attempt in self.workers[at].held.keys().cloned().collect::<Vec<_>>() {
            self.work(at, &attempt);
        }
        let worker = &self.workers[at];
        let now = worker.node.boottime();
        let heard =
            worker.heard.map(|(master, when)| (super::master::name(master), now.saturating_sub(when)));
        for link in worker.links.into_iter().flatten() {
            self.say_up(link, Up::Beat(heard.clone()));
        }
        self.pump(at);
    }

    /// A word of a master.
    pub(super) fn worker_hears(&mut self, at: usize, link: u64, said: Down) {
        let worker = &mut self.workers[at];
        if let Some(leading) = worker.leading.filter(|leading| leading.link == link) {
            worker.heard = Some((leading.master, worker.node.boottime()));
        }
        match said {
            Down::Welcome(claim) => {
                let leads = claim.is_some_and(|epoch| self.claims(at, link, epoch) == Some(true));
                if leads {
                    self.tell_anew(at);
                } else {
                    let held = self.workers[at].inventory();
                    self.say_up(link, Up::Inventory(held));
                }
            }
            Down::Beat(None) => {}
            Down::Beat(Some(epoch)) => {
                if self.claims(at, link, epoch) == Some(true) {
                    self.tell_anew(at);
                }
            }
            Down::Announce(epoch) => {
                if self.claims(at, link, epoch).is_some() {
                    self.tell_anew(at);
                }
            }
            Down::Order(epoch, order) => self.order(at, link, epoch, order),
        }
        self.pump(at);
    }

    /// The stream with a master is gone.
    pub(super) fn worker_loses(&mut self, at: usize, master: usize, link: u64) {
        let worker = &mut self.workers[at];
        if worker.links[master] == Some(link) {
            worker.links[master] = None;
        }
        worker.leading.take_if(|leading| leading.link == link);
    }

    /// A session claims to lead: none when it is not obeyed, true when it leads from now on.
    fn claims(&mut self, at: usize, link: u64, epoch: Epoch) -> Option<bool> {
        let master = self.links.get(&link)?.master;
        let checks_epoch = self.fences.has(Fence::WorkerEpoch);
        let worker = &mut self.workers[at];
        if checks_epoch && !worker.max_epoch.admits(epoch) {
            return None;
        }
        let news = match worker.leading {
            Some(leading) if leading.link == link && leading.epoch == epoch => false,
            Some(leading) => {
                let newer = epoch > leading.epoch
                    || (epoch == leading.epoch && master == leading.master && link > leading.link)
                    || !checks_epoch;
                if !newer {
                    return None;
                }
                true
            }
            None => true,
        };
        worker.max_epoch = worker.max_epoch.max(epoch);
        worker.leading = Some(Leading { link, master, epoch });
        worker.heard = Some((master, worker.node.boottime()));
        if news {
            self.tell(&format!("{} follows {} in {epoch}", Party::Worker(at), Party::Master(master)));
            self.moment(Moment::Followed, Party::Worker(at));
        }
        self.check_obedience(at, epoch);
        Some(news)
    }

    fn tell_anew(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        let Some(leading) = worker.leading else { return };
        let held = worker.inventory();
        for held in worker.held.values_mut() {
            held.told = (false, 0, false);
            held.sent = 0;
        }
        self.say_up(leading.link, Up::Inventory(held));
    }

    fn order(&mut self, at: usize, link: u64, epoch: Epoch, order: Order) {
        if let Order::Ack { attempt, sequence, ended } = order {
            if self.workers[at].leading.is_some_and(|leading| leading.link == link) {
                self.acked(at, &attempt, sequence, ended);
            }
            return;
        }
        match self.claims(at, link, epoch) {
            None => return,
            Some(true) => self.tell_anew(at),
            Some(false) => {}
        }
        match order {
            Order::Assign(assignment) => self.assigned(at, link, epoch, *assignment),
            Order::Change { attempt, revision, directive } => {
                self.changed(at, &attempt, revision, &directive)
            }
            Order::Cancel { attempt, discard, .. } => {
                if let Some(held) = self.workers[at].held.get_mut(&attempt) {
                    held.stops = true;
                    if discard {
                        // Results that nobody wants: those without acknowledgement never were.
                        held.newest = held.acked();
                        held.kept.clear();
                    }
                }
            }
            Order::Drain(drained) => self.workers[at].drained = drained,
            Order::Ack { .. } => {}
        }
    }

    fn acked(&mut self, at: usize, attempt: &AttemptId, sequence: u64, ended: bool) {
        let worker = &mut self.workers[at];
        let Some(epoch) = worker.leading.map(|leading| leading.epoch) else { return };
        let Some(held) = worker.held.get_mut(attempt) else { return };
        let acked = held.kept.keys().take_while(|number| **number <= sequence).copied().max().unwrap_or(0);
        held.kept.retain(|number, _| *number > sequence);
        if ended && held.end.is_some() {
            worker.held.remove(attempt);
            worker.over.insert(attempt.clone(), epoch);
        }
        self.check_ack(attempt, acked);
    }

    fn assigned(&mut self, at: usize, link: u64, epoch: Epoch, assignment: Assignment) {
        let Assignment { attempt, kind, shard, directive, revision, start_unix_ns, .. } = assignment;
        if let Some(held) = self.workers[at].held.get_mut(&attempt) {
            held.told = (false, 0, held.told.2);
            return self.changed(at, &attempt, revision, &directive);
        }
        let worker = &self.workers[at];
        let siblings = worker.held.keys().filter(|held| held.shard == attempt.shard);
        let newest = siblings.map(|held| held.number).max().unwrap_or(0);
        let busy = worker.held.values().filter(|held| held.end.is_none()).count();
        let refusal = if worker.over.get(&attempt).is_some_and(|acknowledged| *acknowledged >= epoch) {
            Some("it has ended here")
        } else if worker.drained {
            Some("drained")
        } else if newest > attempt.number {
            Some("a newer attempt is held")
        } else if busy >= SLOTS as usize {
            Some("no room")
        } else {
            None
        };
        if let Some(why) = refusal {
            return self.say_up(link, Up::Update(attempt, Update::Refused(why.to_owned())));
        }
        let work = if kind == "http_load" {
            let Ok(directive) = serde_json::from_str::<Directive>(&directive) else { return };
            let master = self.links.get(&link).map_or(0, |link| link.master);
            let lead_ns = start_unix_ns - self.masters[master].node.unix_ns()
                + i64::try_from(directive.load.end_ns()).unwrap_or(0);
            let end_ms = self.now_ms + u64::try_from(lead_ns / 1_000_000).unwrap_or(0);
            Work::Rate { directive, turns: 0, end_ms }
        } else {
            let Ok(step) = serde_json::from_str(&shard) else { return };
            Work::Sync(step)
        };
        self.tell(&format!("{} takes {attempt}", Party::Worker(at)));
        let held = Held {
            work,
            change: revision,
            kept: BTreeMap::new(),
            newest: 0,
            sent: 0,
            told: (false, 0, false),
            end: None,
            stops: false,
        };
        let worker = &mut self.workers[at];
        for (other, held) in &mut worker.held {
            held.stops |= other.shard == attempt.shard;
        }
        worker.held.insert(attempt.clone(), held);
        self.check_shares(&attempt.shard.run);
    }

    fn changed(&mut self, at: usize, attempt: &AttemptId, revision: u32, text: &str) {
        let Some(held) = self.workers[at].held.get_mut(attempt) else { return };
        if revision <= held.change {
            return;
        }
        held.change = revision;
        if let Work::Rate { directive, .. } = &mut held.work
            && let Ok(newer) = serde_json::from_str(text)
        {
            *directive = newer;
        }
        self.check_shares(&attempt.shard.run);
    }

    /// An attempt does a piece of its work.
    fn work(&mut self, at: usize, attempt: &AttemptId) {
        let (now_ms, name) = (self.now_ms, self.workers[at].name.to_string());
        let Some(held) = self.workers[at].held.get_mut(attempt) else { return };
        if held.end.is_some() {
            return;
        }
        if held.stops {
            held.end = Some(Outcome::Cancelled);
            return;
        }
        let (partial, amount, over) = match &mut held.work {
            Work::Rate { turns, end_ms, .. } => {
                *turns += 1;
                if now_ms < *end_ms && *turns % 3 != 0 {
                    return;
                }
                let sent = self.dice.between(1, 90);
                let statuses = BTreeMap::from([(200, sent)]);
                let second = *turns * 2 / 5;
                let partial = http_load::Partial {
                    second,
                    sent,
                    completed: sent,
                    statuses,
                    ..http_load::Partial::default()
                };
                (rmp_serde::to_vec_named(&partial), sent, now_ms >= *end_ms)
            }
            Work::Sync(step) => match self.targets.work(&mut self.dice, attempt, *step) {
                Worked::Fenced => {
                    held.end = Some(Outcome::Failed { transient: true });
                    return;
                }
                Worked::Report(partial, over) => (rmp_serde::to_vec_named(&partial), partial.rows, over),
            },
        };
        let Ok(partial) = partial else { return };
        held.newest += 1;
        held.kept.insert(held.newest, partial.clone());
        if over {
            held.end = Some(Outcome::Done);
        }
        let made = self.checks.made.entry(attempt.clone()).or_insert_with(|| (name, Vec::new()));
        made.1.push(Piece { partial, amount });
    }

    /// Says what is due to the leader.
    fn pump(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        let Some(leading) = worker.leading else { return };
        let mut due = Vec::new();
        for (attempt, held) in &mut worker.held {
            if !held.told.0 {
                held.told.0 = true;
                due.push(Up::Update(attempt.clone(), Update::Accepted));
                due.push(Up::Update(attempt.clone(), Update::Running));
            }
            if held.told.1 < held.change {
                held.told.1 = held.change;
                due.push(Up::Update(attempt.clone(), Update::Changed(held.change)));
            }
            for (number, partial) in held.kept.range(held.sent + 1..) {
                due.push(Up::Report(attempt.clone(), *number, partial.clone()));
                held.sent = *number;
            }
            if let Some(outcome) = held.end
                && !held.told.2
            {
                held.told.2 = true;
                let (attempt, reason, last_sequence) = (attempt.clone(), String::new(), held.newest);
                due.push(Up::Ended(Ending { attempt, outcome, reason, last_sequence }));
            }
        }
        due.into_iter().for_each(|said| self.say_up(leading.link, said));
    }
}
