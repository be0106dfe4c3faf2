//! A cluster in one thread, in virtual time, from one seed: the election, the registry, the engine, the sentinel's brain
//! and ballot as they are; etcd, the store, the network, workers and clocks simulated.
//!
//! | file | holds |
//! |---|---|
//! | `world` | all parties, the queue, true time |
//! | `node` | clocks, chance and pauses of a node |
//! | `net` | parties, cuts, fates of calls |
//! | `link` | the stream between a worker and a master |
//! | `etcd`, `coord` | the coordinator, and a line to it |
//! | `store`, `line` | the store, and a line to it |
//! | `master`, `past` | the elector, the loop of a reign, and what it reads beside |
//! | `sentinel` | the brain and the ballot, with probes and peers |
//! | `worker`, `target` | workers, and what syncs write |
//! | `client` | users |
//! | `fault` | what a seed does to them |
//! | `moment` | faults and hands that come just when something is done |
//! | `fence` | fences that can be left out, to see that it is noticed |
//! | `check` | the invariants |
//! | `history` | what happened |
//!
//! In: a seed, fences to leave out. Out: an [`Outcome`]. The same seed gives the same history.
//! Never: a thread, a socket, a file, the machine's clock. Tests: `tests/tests/t80_simulation.rs`; figures in
//! `docs/SIMULATION.md`.

pub mod check;
pub mod client;
pub mod coord;
pub mod dice;
pub mod etcd;
pub mod fault;
pub mod fence;
pub mod history;
pub mod line;
pub mod link;
pub mod master;
pub mod moment;
pub mod net;
pub mod node;
mod past;
pub mod sentinel;
pub mod store;
pub mod target;
pub mod worker;
pub mod world;

pub use check::Broken;
pub use fence::Fence;

use dice::Dice;
use fence::Fences;
use master::Master;
use net::{MASTERS, Party, SENTINELS, WORKERS};
use node::SimNode;
use sentinel::Sentinel;
use shanty_model::id::NodeId;
use shanty_rt::coord::Op;
use shanty_rt::coord::record::{self, SentinelSet};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use worker::Worker;
use world::{Handle, World};

/// Name of the cluster.
const CLUSTER: &str = "sim";
/// How long a seed lasts, milliseconds.
const LENGTH_MS: u64 = 35_000;
/// When CLOCK_BOOTTIME of the nodes began.
const BOOT: Duration = Duration::from_secs(1000);

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first invariant that broke.
    pub broken: Option<Broken>,
    /// The hash of its whole history.
    pub hash: u64,
    /// Steps that were done.
    pub steps: u64,
    /// Lines of its history: the last ones, or all.
    pub lines: Vec<String>,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Terms that began, terms that sentinels ended, requests acknowledged, calms checked.
    pub figures: [u64; 4],
}

impl Outcome {
    /// All that is needed to look into it.
    #[must_use]
    pub fn story(&self) -> String {
        let broken = self.broken.as_ref().map_or_else(
            || "nothing broke".to_owned(),
            |broken| format!("{} broke: {}", broken.invariant, broken.what),
        );
        format!(
            "{}\nseed {}: {broken}\nplay it again: SHANTY_SIM_SEED={} cargo test -p shanty-tests --test t80_simulation replay -- --nocapture",
            self.lines.join("\n"),
            self.seed,
            self.seed
        )
    }
}

fn node_id(name: &str) -> NodeId {
    name.parse().expect("a node's name")
}

/// Plays a seed with some fences left out. A `whole` history is kept from its beginning.
#[must_use]
pub fn play(seed: u64, without: &[Fence], whole: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let world = Handle::new(seed, Fences::without(without), whole);
        world.with(|world| world.populate(seed));
        world.run(LENGTH_MS).await;
        world.with(World::check_acknowledged);
        let world = world.end().expect("a world ends once");
        Outcome {
            seed,
            hash: world.history.hash(),
            steps: world.history.steps,
            lines: world.history.lines(),
            faults: world.troubles.counts.clone(),
            figures: [
                world.checks.terms,
                world.checks.deposed,
                world.client.acknowledged,
                world.troubles.calms,
            ],
            broken: world.broken,
        }
    })
}

impl World {
    /// An operator configures this many sentinels.
    fn configure(&mut self, count: usize) {
        let members = (0..count).map(|at| node_id(&Party::Sentinel(at).to_string())).collect();
        let key = self.keys.sentinel_set();
        let put = Op::Put { key, value: record::write(&SentinelSet { members }), lease: None };
        self.transact(Party::Etcd, 0, &[], vec![put]).expect("no lease is asked for");
    }

    /// Everybody begins.
    fn populate(&mut self, seed: u64) {
        let began = self.handle.began();
        // Sentinels pass over masters whose clocks are far from their own: a calm seed has none.
        let skewed = self.dice.one_in(2) && !fault::is_calm(seed);
        let node = |party: Party| {
            let mut dice = Dice::new(seed, &party.to_string());
            let gain_ppm = if skewed { i64::try_from(dice.below(200_001)).unwrap_or(0) - 100_000 } else { 0 };
            Arc::new(SimNode::new(began, BOOT + Duration::from_secs(dice.below(500)), gain_ppm, dice))
        };
        self.masters = (0..MASTERS).map(|at| Master::new(node(Party::Master(at)))).collect();
        self.sentinels = (0..SENTINELS).map(|at| Sentinel::new(node(Party::Sentinel(at)))).collect();
        self.workers = (0..WORKERS).map(|at| Worker::new(at, node(Party::Worker(at)))).collect();
        self.configure(SENTINELS);
        for at in 0..MASTERS {
            let late = self.dice.below(300);
            self.after(late, "a master begins", move |world| world.start_master(at));
        }
        for at in 0..SENTINELS {
            let late = self.dice.below(300);
            self.after(late, "a sentinel begins", move |world| world.start_sentinel(at));
            self.after(late, "a sentinel speaks to its peers", move |world| world.exchange(at));
            for master in 0..MASTERS {
                let late = late + self.dice.below(250);
                self.after(late, "a sentinel probes", move |world| world.probe(at, master));
            }
        }
        for at in 0..usize::try_from(self.dice.between(2, WORKERS as u64)).unwrap_or(WORKERS) {
            self.start_worker(at);
            let late = self.dice.below(400);
            self.after(late, "a worker works", move |world| world.worker_turn(at));
            for master in 0..MASTERS {
                let late = self.dice.below(300);
                self.after(late, "a worker knocks", move |world| world.knock(at, master));
            }
        }
        self.after(0, "links are looked at", World::look_at_links);
        self.after(0, "reigns are looked at", World::look_at_reigns);
        self.after(2_000, "a user asks", World::ask);
        self.plan_faults(seed);
    }
}
