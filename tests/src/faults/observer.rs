//! What is seen of a cluster from outside: who leads, the fences, and runs that are started again and again.
//!
//! In: a stage, whom to ask. Out: sightings, samples of the fences, runs that were accepted. Never: waits for an answer
//! longer than [`ANSWER`]. Tests: `tests/tests/t70_faults.rs`.

use super::history::{Fences, Sighting, Submit};
use super::stage::Stage;
use crate::cluster::Client;
use crate::dataset::Database;
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};
use shanty_proto::v1::run::State;
use shanty_rt::clock::monotonic_ns;
use shanty_rt::coord::{Coord as _, Etcd, Keys};
use shanty_rt::task::Scope;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// For one answer.
const ANSWER: Duration = Duration::from_millis(300);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Between two runs while nothing is the matter.
const CALM: Duration = Duration::from_secs(1);
/// The same while a fault is done: one that was accepted just before it must not make the next one late.
const EAGER: Duration = Duration::from_millis(100);
/// A run that was accepted and runs nowhere is given up after this.
const FOLLOW: Duration = Duration::from_secs(20);

/// Whom to ask for runs, and whether to ask without a pause.
#[derive(Debug, Clone)]
struct Orders {
    clients: Vec<Client>,
    eager: bool,
}

#[derive(Debug, Default)]
struct Seen {
    sightings: Vec<Sighting>,
    fences: Vec<Fences>,
    submits: Vec<Submit>,
}

type Shared = Arc<Mutex<Seen>>;

/// Looks until it is dropped.
#[derive(Debug)]
pub(super) struct Observer {
    seen: Shared,
    orders: watch::Sender<Orders>,
    _looking: Scope,
}

impl Observer {
    /// Begins to look; runs that it starts send to `url`.
    pub(super) fn start(stage: &Stage, url: String) -> Observer {
        let seen = Shared::default();
        let orders = watch::Sender::new(Orders { clients: stage.others(None), eager: false });
        let mut scope = Scope::new();
        for node in &stage.cluster.masters {
            scope.spawn("sightings", look(node.name.clone(), Client::new(&node.address), seen.clone()));
        }
        let folders = stage.cluster.workers.iter().map(|node| stage.cluster.folder().join(&node.name));
        let ledgers = folders.map(|folder| Ledger::of(&folder));
        let store = stage.store_base.clone();
        scope.spawn("fences", sample(ledgers.collect(), store, stage.coord.clone(), seen.clone()));
        scope.spawn("runs", submit(orders.subscribe(), url, seen.clone()));
        Observer { seen, orders, _looking: scope }
    }

    /// From now on asks these for runs.
    pub(super) fn ask(&self, clients: Vec<Client>, eager: bool) {
        self.orders.send_replace(Orders { clients, eager });
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> (Vec<Sighting>, Vec<Fences>, Vec<Submit>) {
        let seen = lock(&self.seen);
        (seen.sightings.clone(), seen.fences.clone(), seen.submits.clone())
    }
}

fn lock(seen: &Shared) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn look(asked: String, client: Client, seen: Shared) {
    loop {
        if let Ok(Ok(now)) = tokio::time::timeout(ANSWER, client.get_cluster()).await {
            let sighting = Sighting { asked: asked.clone(), epoch: now.epoch, leader: now.leader };
            lock(&seen).sightings.push(sighting);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A worker's ledger. Its folder is held open: a sick disk that is laid over it later hides nothing of what was written.
struct Ledger {
    folder: Option<OwnedFd>,
}

impl Ledger {
    fn of(folder: &Path) -> Ledger {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ledger { folder: rustix::fs::open(folder, flags, Mode::empty()).ok() }
    }

    /// The largest epoch that its worker has obeyed; none when there is no ledger.
    fn epoch(&self) -> Option<u64> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.folder.as_ref()?, "ledger.json", flags, Mode::empty()).ok()?;
        let mut text = Vec::new();
        File::from(file).read_to_end(&mut text).ok()?;
        number(&text, "max_epoch")
    }
}

/// Reads the fences from the innermost outwards, so that each that is read later may have grown, never the other way round.
async fn sample(ledgers: Vec<Ledger>, store: Database, coord: Etcd, seen: Shared) {
    let key = Keys::new("test").term();
    loop {
        let workers = ledgers.iter().map(|ledger| ledger.epoch().unwrap_or(0)).collect();
        let read = tokio::time::timeout(ANSWER, store.try_rows("SELECT epoch FROM fence")).await;
        let cell = |rows: Vec<Vec<Option<String>>>| rows.first()?.first()?.as_ref()?.parse().ok();
        let stored = read.ok().and_then(Result::ok).and_then(cell);
        let term = tokio::time::timeout(ANSWER, coord.get(&key)).await;
        let term = term.ok().and_then(Result::ok).flatten().and_then(|entry| number(&entry.value, "term"));
        if let (Some(store), Some(term)) = (stored, term) {
            lock(&seen).fences.push(Fences { at_ns: monotonic_ns(), workers, store, term });
        }
        tokio::time::sleep(2 * LOOK).await;
    }
}

fn number(json: &[u8], field: &str) -> Option<u64> {
    serde_json::from_slice::<Value>(json).ok()?.get(field)?.as_u64()
}

async fn submit(mut orders: watch::Receiver<Orders>, url: String, seen: Shared) {
    let mut turn = 0;
    let mut followed = Scope::new();
    loop {
        followed.reap();
        let now = orders.borrow_and_update().clone();
        tokio::select! {
            () = once(&now, &mut turn, &url, &seen, &mut followed) => {}
            _ = orders.changed() => {}
        }
    }
}

/// Asks for one run, and has it followed until it runs: one that waits for a worker keeps no other from being asked for.
async fn once(orders: &Orders, turn: &mut usize, url: &str, seen: &Shared, followed: &mut Scope) {
    let spec = json!({ "spec": { "http_load": { "url": url, "rate": 5, "duration": "1s" } } });
    let client = &orders.clients[*turn % orders.clients.len()];
    let asked_ns = monotonic_ns();
    let Ok(Ok(run)) = tokio::time::timeout(ANSWER, client.start(&spec)).await else {
        *turn += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
        return;
    };
    let accepted_ns = monotonic_ns();
    let (name, epoch) = (run.name, run.epoch);
    let accepted = Submit { run: name.clone(), epoch, asked_ns, accepted_ns, running_ns: None, found: false };
    lock(seen).submits.push(accepted);
    followed.spawn("a run", follow(orders.clients.clone(), *turn, name, seen.clone()));
    tokio::time::sleep(if orders.eager { EAGER } else { CALM }).await;
}

fn note_running(seen: &Shared, run: &str) {
    let found = &mut lock(seen).submits;
    if let Some(submit) = found.iter_mut().find(|submit| submit.run == run) {
        submit.running_ns = Some(monotonic_ns());
    }
}

/// Asks about a run until it runs.
async fn follow(clients: Vec<Client>, mut turn: usize, name: String, seen: Shared) {
    let until = monotonic_ns() + u64::try_from(FOLLOW.as_nanos()).unwrap_or(0);
    while monotonic_ns() < until {
        let client = &clients[turn % clients.len()];
        match tokio::time::timeout(ANSWER, client.run(&name)).await {
            Ok(Ok(run)) if matches!(run.state(), State::Running | State::Succeeded) => {
                note_running(&seen, &name);
                // Its worker has sixteen slots: a run that waited for one would say nothing of the leader.
                let _ends_by_itself = tokio::time::timeout(ANSWER, client.cancel(&name)).await;
                return;
            }
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => turn += 1,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
